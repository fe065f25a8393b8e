package report

import (
	"fmt"
	"strconv"
	"time"

	"simtrap/heuristics"
	"simtrap/report/show"
)

// stage is the stretch of time that the plots of a line share.
func (a *Activity) stage() show.Stage {
	var times []int64
	for i := range a.Calls {
		times = append(times, a.Calls[i].First, a.Calls[i].End)
	}
	for i := range a.Streams {
		times = append(times, a.Streams[i].Start, a.Streams[i].End)
	}
	return show.Over(times...)
}

// timeline gives the calls of a line as they are drawn, nil for none.
func (b *page) timeline(a *Activity, id string, over show.Stage) *show.Drawing {
	list := make([]show.Call, len(a.Calls))
	for i, c := range a.Calls {
		list[i] = show.Call{
			Inbound: c.Inbound, First: c.First, Answer: c.Answer, End: c.End,
			Called: b.o.number(c.Number), Account: b.o.Names.Account(c.Account), Peer: address(c.Peer),
		}
		if c.Cause != 0 {
			list[i].Status = strconv.Itoa(int(c.Cause))
		}
	}
	return show.Calls(id, list, a.MoreCalls, over, b.words, long)
}

// active gives when a line was active, where no call of it is drawn.
func (b *page) active(f *heuristics.Finding, id string) *show.Drawing {
	var list []show.Span
	times := []int64{f.First, f.Last}
	for _, s := range f.Links.Active {
		list = append(list, show.Span{From: s.From, To: s.To})
		times = append(times, s.From, s.To)
	}
	return show.Active(id, list, show.Over(times...))
}

// clocks gives the clocks of a line's streams as they are drawn, nil for none.
func (b *page) clocks(a *Activity, id string, over show.Stage) *show.Drawing {
	list := make([]show.Stream, len(a.Streams))
	for i := range a.Streams {
		s := &a.Streams[i]
		x := show.Stream{Start: s.Start}
		for _, q := range s.Points {
			x.Points = append(x.Points, show.Point{Time: q.Time, Late: q.Late})
		}
		mos, ppm := "", ""
		if s.MOS > 0 {
			mos = fmt.Sprintf("%.1f", s.MOS)
		}
		if s.ClockOK {
			ppm = fmt.Sprintf("%.1f ± %.1f ppm", s.PPM, s.PPMError)
		}
		x.Row = []show.Entry{
			{Text: show.UTC(s.Start), Class: "t"}, {Text: long(time.Duration(s.End - s.Start)), Class: "n", English: true}, {Text: address(s.Peer)}, {Text: s.Codec},
			{Text: count(s.Packets), Class: "n"}, {Text: count(s.Lost), Class: "n"}, {Text: show.Millis(s.Jitter), Class: "n"}, {Text: mos, Class: "n"}, {Text: ppm, Class: "n"},
		}
		list[i] = x
	}
	return show.Streams(id, list, []string{"Begun (UTC)", "Length", "Far end", "Codec", "Packets", "Lost", "Jitter", "MOS", "Clock"}, a.MoreStreams, over)
}
