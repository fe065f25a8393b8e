package pages

import (
	"math"
	"net/url"
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
// its clock: what a report for paper tells of it, with links to other pages.
func (k *look) told(q *querypb.Finding) *show.Line {
	l := k.parts.Line(q.GetFinding(), "x")
	l.Under, l.Full = false, true
	if q.GetSensor() != "" {
		l.Facts = append(l.Facts, show.Fact{Name: "Sensor", Text: q.GetSensor()})
	}
	for _, x := range [...][3]string{{"Box", q.GetBoxId(), "/boxes/"}, {"Ring", q.GetRingId(), "/rings/"}} {
		if x[1] != "" {
			l.Facts = append(l.Facts, show.Fact{Name: x[0], Links: []show.Link{{Text: short(x[1]), Address: x[2] + x[1]}}})
		}
	}
	l.Facts = append(l.Facts, show.Fact{Name: "Outcome", Text: k.parts.Text(outcomeName(q.GetOutcome()))})
	for i := range l.Controllers {
		c := &l.Controllers[i]
		c.Address = controllerPath(c.Text, c.Role)
	}
	for i := range l.Cards {
		for j := range l.Cards[i] {
			if c := &l.Cards[i][j]; c.Text != "" {
				c.Address = "/findings?card=" + url.QueryEscape(c.Text)
			}
		}
	}
	return l
}

// activity gives calls as they are drawn; where the sensor told of none, when the line was
// active.
func (k *look) activity(id string, calls []*reportpb.Call, f *reportpb.Finding) *show.Drawing {
	if len(calls) == 0 {
		return report.ActiveTimes(f, id)
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
