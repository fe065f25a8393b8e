package report

import (
	"math"
	"time"

	"simtrap/heuristics"
	"simtrap/report/reportpb"
	"simtrap/report/show"
)

// Parts gives other pages than those of this package the same words, and the same
// ledger. Its methods may be called side by side.
type Parts struct {
	language Language
	t        *translator
}

// NewParts gives the parts in a language. More are pairs of English words, or
// patterns, and their Chinese, beside those that this package knows.
func NewParts(l Language, more ...[2]string) *Parts {
	p := &Parts{language: l, t: newTranslator(l)}
	if p.t != nil {
		for _, e := range more {
			p.t.add(e[0], e[1])
		}
		p.t.order()
	}
	return p
}

// Language gives the one that they are in.
func (p *Parts) Language() Language { return p.language }

// Text translates English words or a sentence; what is not known is given back as it
// is. It is text, not markup.
func (p *Parts) Text(s string) string { return p.t.text(s) }

// Known says whether all of a text has a translation; in English it always has.
func (p *Parts) Known(s string) bool {
	if p.t == nil {
		return true
	}
	_, ok := p.t.try(s, 4)
	return ok
}

// Style is the style sheet that the markup of parts needs.
func Style() string { return pageStyle }

// Words are those that the templates of package show need.
func (p *Parts) Words() show.Words { return p.t.wording() }

// Ledger gives the ledger of a finding as the templates of package show draw it, nil for
// a finding without reasons.
func (p *Parts) Ledger(m *reportpb.Finding) *show.Ledger { return p.t.waterfall(ledgerOf(m)) }

// Long says how long a stretch of time was, in English.
func Long(d time.Duration) string { return long(d) }

// InWords says what a finding's verdict claims and what it does not, in English.
func InWords(m *reportpb.Finding) string {
	return inWords(&heuristics.Finding{Verdict: verdictOf(m.GetVerdict()), Proof: m.GetProof()})
}

// ledgerOf gives what a waterfall draws of a message. The margin against a household
// is in none.
func ledgerOf(m *reportpb.Finding) *heuristics.Finding {
	f := &heuristics.Finding{Nearest: m.GetNearest(), Margin: unknownOr(m.Margin), AgainstHome: math.NaN()}
	for _, s := range m.GetSignals() {
		f.Signals = append(f.Signals, heuristics.Row{ID: s.GetId(), Family: s.GetFamily(), Nats: unknownOr(s.Nats), Against: s.GetAgainst(), Detail: s.GetDetail()})
	}
	return f
}

func unknownOr(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// verdictOf is the inverse of verdict. One that only a newer schema knows is none.
func verdictOf(v reportpb.Verdict) heuristics.Verdict {
	for w := heuristics.Case; w > heuristics.None; w-- {
		if verdict(w) == v {
			return w
		}
	}
	return heuristics.None
}

// VerdictName gives the word of a verdict.
func VerdictName(v reportpb.Verdict) string { return verdictName(v) }

// NatsText writes a log-likelihood ratio to one decimal; "?" for nil.
func NatsText(v *float64) string { return total(unknownOr(v)) }

// Count writes a number with commas between thousands.
func Count[T int | int64 | uint64](n T) string { return count(n) }

// DeviceText says what a device appears to be, in English.
func DeviceText(d *reportpb.Device) string {
	return device(heuristics.Device{Vendor: d.GetVendor(), Model: d.GetModel(), Channels: int(d.GetChannels())})
}

// CallsText says what the calls of a line were, in English.
func CallsText(c *reportpb.Calls) string {
	return calls(heuristics.Calls{
		Inbound: int(c.GetInbound()), Outbound: int(c.GetOutbound()), Answered: int(c.GetAnswered()), Verified: int(c.GetVerified()),
		PeakConcurrent: int(c.GetPeakConcurrent()), DistinctCalled: int(c.GetDistinctCalled()), Streams: int(c.GetStreams()), TalkSeconds: int(c.GetTalkSeconds()),
	})
}
