package pipeline

import (
	"go.uber.org/zap"

	"simtrap/heuristics"
)

// Result is what a run found.
type Result struct {
	Findings []heuristics.Finding // every line with evidence of its own, worst first
	Losses   []Loss               // everything lost or left aside, by stage
	Stats    Stats
}

// Stats is what a run read.
type Stats struct {
	Frames, Bytes uint64
	Messages      uint64 // SIP messages
	H323          uint64 // messages of H.323: call signalling and registration
	Calls         uint64
	Streams       uint64 // confirmed voice streams, one way
	Records       uint64 // of gateways' own protocols
	Lines         uint64 // with a profile
	First, Last   int64  // ns since the Unix epoch
}

// Loss is one reason why something was not looked at, or not to its end.
type Loss struct {
	Stage, Reason string
	Count         uint64
}

// seen gives the counts so far.
func (r *run) seen() Stats {
	s, j := r.stats, &r.join.stats
	s.Messages, s.Calls, s.Streams, s.Records = j.messages, j.calls, j.streams, j.records
	s.H323 = j.signals
	s.Lines = r.join.lines.Counters().Lines
	return s
}

func (r *run) result() *Result {
	j := &r.join.stats
	res := &Result{Findings: r.join.lines.Findings(true, r.cfg.Ledgers)}
	res.Stats = r.seen()
	res.Losses = r.losses()
	r.cfg.Log.Debug("input read", zap.Uint64("frames", r.stats.Frames), zap.Uint64("messages", j.messages), zap.Uint64("calls", j.calls),
		zap.Uint64("streams", j.streams), zap.Uint64("records", j.records), zap.Int("findings", len(res.Findings)))
	for _, l := range res.Losses {
		r.cfg.Log.Debug("passed over", zap.String("stage", l.Stage), zap.String("reason", l.Reason), zap.Uint64("count", l.Count))
	}
	return res
}
