package report

import (
	"io"
	"strings"

	"simtrap/heuristics"
)

// Summary is what stands at the end of a replay.
type Summary struct {
	Frames, Bytes uint64
	Messages      uint64 // SIP messages
	H323          uint64 // messages of H.323
	Calls         uint64
	Streams       uint64 // media streams
	Records       uint64 // of gateways' own protocols
	Lines         uint64
	First, Last   int64 // times of the first and last frame, ns since the Unix epoch

	// Verdicts counts lines by verdict.
	Verdicts [heuristics.Case + 1]uint64

	// Losses is everything that was not looked at, or was given up for want of
	// room, in the order of the stages.
	Losses []Loss

	// Damages is what was wrong with the inputs.
	Damages []error
}

// Loss is one reason for which one stage passed something over.
type Loss struct {
	Stage, Reason string
	Count         uint64
}

// CountVerdicts fills in Verdicts.
func (s *Summary) CountVerdicts(findings []heuristics.Finding) {
	s.Verdicts = [heuristics.Case + 1]uint64{}
	for i := range findings {
		s.Verdicts[min(findings[i].Verdict, heuristics.Case)]++
	}
}

// maxDamages is how many damaged inputs a summary names.
const maxDamages = 20

// WriteSummary writes s for people to read. Options.Names and the naming of
// lines are not used.
func WriteSummary(w io.Writer, s *Summary, o Options) error {
	t := newTable(o)
	read := counted(s.Frames, "frame") + ", " + size(s.Bytes)
	if s.Frames > 0 {
		read += ", " + span(s.First, s.Last)
	}
	t.row("read", read)
	messages := counted(s.Messages, "SIP message")
	if s.H323 > 0 {
		messages += ", " + counted(s.H323, "H.323 message")
	}
	t.row("found", counted(s.Calls, "call")+", "+counted(s.Streams, "voice stream")+", "+
		messages+", "+counted(s.Records, "control record")+" on "+counted(s.Lines, "line"))
	t.row("verdicts", count(s.Verdicts[heuristics.Case])+" case, "+count(s.Verdicts[heuristics.Review])+" review, "+
		count(s.Verdicts[heuristics.Watch])+" watch, "+count(s.Verdicts[heuristics.None])+" below")
	t.rows("passed over", t.losses(s.Losses))
	var damages []string
	for i, err := range s.Damages {
		if i == maxDamages {
			damages = append(damages, "and "+count(len(s.Damages)-maxDamages)+" more")
			break
		}
		damages = append(damages, err.Error())
	}
	t.rows("damaged", damages)
	return t.flush(w)
}

// losses gives one text for each stage. Reasons have commas of their own, so
// they are translated one by one.
func (t *table) losses(list []Loss) []string {
	var stages []string
	var texts [][]string
	for _, l := range list {
		if l.Count == 0 {
			continue
		}
		if n := len(stages); n == 0 || stages[n-1] != l.Stage {
			stages = append(stages, l.Stage)
			texts = append(texts, nil)
		}
		text := count(l.Count) + " " + l.Reason
		if t.t != nil { // a number before a noun wants a measure word there
			text = t.t.text(l.Reason) + " " + count(l.Count)
		}
		texts[len(texts)-1] = append(texts[len(texts)-1], text)
	}
	colon, comma := t.t.mark(": "), t.t.mark(", ")
	for i, stage := range stages {
		stages[i] = t.t.text(stage) + colon + strings.Join(texts[i], comma)
	}
	return stages
}
