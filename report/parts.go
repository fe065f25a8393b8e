package report

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

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

// Line gives what the templates of package show tell of a finding as a message has it: of
// its calls when the line was active, of its clock what the finding says. What is an
// identity in it is shown as it stands.
func (p *Parts) Line(m *reportpb.Finding, id string) *show.Line {
	l := &show.Line{ID: id, Under: true, Claim: InWords(m), Ledger: p.Ledger(m), Calls: ActiveTimes(m, id)}
	tr, mark := p.t.text, p.t.mark
	fact := func(name, text string) {
		if text != "" {
			l.Facts = append(l.Facts, show.Fact{Name: name, Text: text})
		}
	}
	margin := NatsText(m.Margin) + " " + tr("nats")
	if m.GetNearest() != "" {
		margin += mark(", ") + tr("nearest lookalike") + mark(": ") + tr(m.GetNearest())
	}
	fact("Score", NatsText(m.Score)+" "+tr("nats against the population"))
	fact("Margin", margin)
	if m.GetDeclared() {
		fact("Declared", tr("on the operator's register of declared gateways"))
	}
	fact("Device", tr(DeviceText(m.GetDevice())))
	fact("Calls", tr(CallsText(m.GetCalls())))
	if m.GetSubscriber() != "" {
		l.Facts = append(l.Facts, show.Fact{Name: "Subscriber", Text: m.GetSubscriber(), Code: true})
	}
	fact("Time", tr(span(nanos(m.GetFirstSeen()), nanos(m.GetLastSeen()))))
	for _, s := range m.GetSignals() {
		if s.GetId() == proofID {
			fact("Proof", tr(s.GetDetail()))
			break
		}
	}
	links := m.GetLinks()
	if links != nil && links.ClockPpm != nil && links.GetClockErrorPpm() > 0 {
		l.Clocks = show.Readings(id, clockWords, []show.Reading{{Name: "finding", From: nanos(m.GetFirstSeen()), To: nanos(m.GetLastSeen()), PPM: links.GetClockPpm(), Error: links.GetClockErrorPpm()}})
	}
	l.Stacks = stacks(links.GetStack(), links.GetContact(), links.GetCname(), links.GetAccounts())
	for _, c := range m.GetControllers()[:min(len(m.GetControllers()), maxPageRows)] {
		l.Controllers = append(l.Controllers, show.Controller{Link: show.Link{Text: c.GetAddr()}, Role: c.GetRole()})
	}
	for _, c := range m.GetCards()[:min(len(m.GetCards()), maxPageRows)] {
		l.Cards = append(l.Cards, show.Card{{Text: c.GetImsi()}, {Text: c.GetImei()}, {Text: c.GetIccid()}, {Text: c.GetMsisdn()}})
	}
	l.Unseen = m.GetUnseen()[:min(len(m.GetUnseen()), maxUnseen)]
	l.MoreControllers, l.MoreCards, l.MoreUnseen = len(m.GetControllers())-len(l.Controllers), len(m.GetCards())-len(l.Cards), len(m.GetUnseen())-len(l.Unseen)
	return l
}

// clockWords are beside the readings of findings.
const clockWords = "How fast the line's sending clock was, with its uncertainty, finding by finding. One chassis stays at one height."

// ActiveTimes gives when a line was active as it is drawn, nil where it is not told.
func ActiveTimes(m *reportpb.Finding, id string) *show.Drawing {
	times := []int64{nanos(m.GetFirstSeen()), nanos(m.GetLastSeen())}
	var list []show.Span
	for _, s := range m.GetLinks().GetActive() {
		list = append(list, show.Span{From: nanos(s.GetFrom()), To: nanos(s.GetTo())})
		times = append(times, nanos(s.GetFrom()), nanos(s.GetTo()))
	}
	return show.Active(id, list, show.Over(times...))
}

// nanos gives a message's time, ns since the Unix epoch.
func nanos(t *timestamppb.Timestamp) int64 { return t.AsTime().UnixNano() }

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
