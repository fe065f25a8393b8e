package pages

import (
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/query"
	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
	"simtrap/report/show"
)

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// told gives what templates tell of a line's finding, beside its calls and the readings of
// its clock.
func (k *look) told(q *querypb.Finding) *show.Line {
	f := q.GetFinding()
	l := &show.Line{ID: "x", Full: true, Claim: report.InWords(f), Ledger: k.parts.Ledger(f)}
	tr := k.parts.Text
	fact := func(name, text string) {
		if text != "" {
			l.Facts = append(l.Facts, show.Fact{Name: name, Text: text})
		}
	}
	fact("Score", report.NatsText(f.Score)+" "+tr("nats against the population"))
	margin := report.NatsText(f.Margin) + " " + tr("nats")
	if f.GetNearest() != "" {
		mark := k.parts.Words().Mark
		margin += mark(", ") + tr("nearest lookalike") + mark(": ") + tr(f.GetNearest())
	}
	fact("Margin", margin)
	if f.GetDeclared() {
		fact("Declared", tr("on the operator's register of declared gateways"))
	}
	fact("Device", tr(report.DeviceText(f.GetDevice())))
	fact("Calls", tr(report.CallsText(f.GetCalls())))
	if f.GetSubscriber() != "" {
		l.Facts = append(l.Facts, show.Fact{Name: "Subscriber", Text: f.GetSubscriber(), Code: true})
	}
	fact("Sensor", q.GetSensor())
	fact("Time", utc(f.GetFirstSeen())+" – "+utc(f.GetLastSeen()))
	for _, x := range [...][3]string{{"Box", q.GetBoxId(), "/boxes/"}, {"Ring", q.GetRingId(), "/rings/"}} {
		if x[1] != "" {
			l.Facts = append(l.Facts, show.Fact{Name: x[0], Links: []show.Link{{Text: short(x[1]), Address: x[2] + x[1]}}})
		}
	}
	fact("Outcome", tr(outcomeName(q.GetOutcome())))

	links := f.GetLinks()
	for _, x := range [...][2]string{{"Header shape", links.GetStack()}, {"Contact", links.GetContact()}, {"CNAME", links.GetCname()}} {
		if x[1] == "" {
			x[1] = "–"
		}
		l.Stacks = append(l.Stacks, show.Fact{Name: x[0], Text: x[1], Code: true})
	}
	accounts := show.Fact{Name: "Accounts", Text: "–"}
	for i, a := range links.GetAccounts() {
		if i == maxCards {
			accounts.Links = append(accounts.Links, show.Link{Text: "…"})
			break
		}
		accounts.Links = append(accounts.Links, show.Link{Text: a})
	}
	l.Stacks = append(l.Stacks, accounts)
	for _, c := range f.GetControllers() {
		l.Controllers = append(l.Controllers, show.Controller{Link: show.Link{Text: c.GetAddr(), Address: controllerPath(c.GetAddr(), c.GetRole())}, Role: c.GetRole()})
	}
	for _, c := range f.GetCards()[:min(len(f.GetCards()), maxCards)] {
		var card show.Card
		for i, s := range [...]string{c.GetImsi(), c.GetImei(), c.GetIccid(), c.GetMsisdn()} {
			if s != "" {
				card[i] = show.Link{Text: s, Address: "/findings?card=" + s}
			}
		}
		l.Cards = append(l.Cards, card)
	}
	l.MoreCards = len(f.GetCards()) - len(l.Cards)
	l.Unseen = f.GetUnseen()[:min(len(f.GetUnseen()), maxUnseen)]
	return l
}

// activity gives calls as they are drawn; where the sensor told of none, when the line was
// active.
func (k *look) activity(id string, calls []*reportpb.Call, f *reportpb.Finding) *show.Drawing {
	if len(calls) == 0 {
		times := []int64{nanos(f.GetFirstSeen()), nanos(f.GetLastSeen())}
		var list []show.Span
		for _, s := range f.GetLinks().GetActive() {
			list = append(list, show.Span{From: nanos(s.GetFrom()), To: nanos(s.GetTo())})
			times = append(times, nanos(s.GetFrom()), nanos(s.GetTo()))
		}
		return show.Active(id, list, show.Over(times...))
	}
	list := make([]show.Call, len(calls))
	var times []int64
	for i, c := range calls {
		x := show.Call{
			Inbound: c.GetDirection() != reportpb.Direction_DIRECTION_OUTBOUND, First: nanos(c.GetStart()), End: ended(c),
			Calling: c.GetCalling(), Called: c.GetCalled(), Account: c.GetAccount(), Peer: c.GetController(),
		}
		if c.GetAnswered() != nil {
			x.Answer = nanos(c.GetAnswered())
		}
		times = append(times, x.First, x.End)
		list[i] = x
	}
	return show.Calls(id, list, 0, show.Over(times...), k.parts.Words(), report.Long)
}

// nanos gives a message's time, ns since the Unix epoch.
func nanos(t *timestamppb.Timestamp) int64 { return moment(t).UnixNano() }

// ended gives a call's end; of one that goes on, the last thing known.
func ended(c *reportpb.Call) int64 {
	switch {
	case c.GetEnd() != nil:
		return nanos(c.GetEnd())
	case c.GetAnswered() != nil:
		return nanos(c.GetAnswered())
	}
	return nanos(c.GetStart())
}

// readings gives what findings know of sending clocks.
func readings(list []*querypb.Finding, name func(*querypb.Finding) string) []show.Reading {
	var out []show.Reading
	for _, f := range list {
		l := f.GetFinding().GetLinks()
		if l == nil || l.ClockPpm == nil || l.GetClockErrorPpm() <= 0 {
			continue
		}
		out = append(out, show.Reading{Name: name(f), From: nanos(f.GetFinding().GetFirstSeen()), To: nanos(f.GetFinding().GetLastSeen()), PPM: l.GetClockPpm(), Error: l.GetClockErrorPpm()})
	}
	return out
}

// history gives how the score and the margin of a finding went, nil for a single revision.
func (k *look) history(list []query.Revision) *show.Drawing {
	score, margin := show.Trace{Class: "s0"}, show.Trace{Class: "s1"}
	add := func(t *show.Trace, at time.Time, v *float64) {
		t.At = append(t.At, at.UnixNano())
		if v == nil {
			t.Value = append(t.Value, math.NaN())
		} else {
			t.Value = append(t.Value, *v)
		}
	}
	for _, r := range list {
		add(&score, r.Received, r.Score)
		add(&margin, r.Received, r.Margin)
	}
	return show.Traces("his", "History", counted(len(list), "revision"), score, margin)
}
