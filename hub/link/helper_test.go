package link

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	hour = int64(time.Hour)
	day  = 24 * hour
)

func id(n int) (x ID) {
	binary.BigEndian.PutUint64(x[8:], uint64(n)+1)
	return x
}

// world is a hub's knowledge in memory: what Judge is given is counted from it.
type world struct {
	lines []Line
	used  map[string]int // lines of controllers by sketches
}

// add takes a line, at watch unless told otherwise, seen at the north sensor.
func (w *world) add(l Line) *Line {
	if l.ID == (ID{}) {
		l.ID = id(len(w.lines))
	}
	if l.Access == (ID{}) {
		l.Access = l.ID
	}
	if l.Sensor == "" {
		l.Sensor = "north"
	}
	w.lines = append(w.lines, l)
	return &w.lines[len(w.lines)-1]
}

// during sets when a line was active.
func during(l *Line, spans ...Span) {
	l.Active = spans
	l.First, l.Last = spans[0].From, spans[len(spans)-1].To
}

func (w *world) counts() Counts { return count(w.lines, w.used) }

func count(lines []Line, used map[string]int) Counts {
	c := Counts{Bearers: make(map[Key]int), Controllers: make(map[string]Controller)}
	shapes := make(map[string]map[string]bool)
	for i := range lines {
		l := &lines[i]
		for _, k := range l.Keys() {
			c.Bearers[k]++
			if k.Kind != ControllerKey {
				continue
			}
			x := c.Controllers[k.Value]
			x.Known++
			// Where a test says nothing else, sensors have told of no other lines.
			x.Lines = x.Known
			if n, ok := used[k.Value]; ok {
				x.Lines = n
			}
			if l.Verdict >= Watch && !l.Declared {
				x.Watch++
			}
			if l.Verdict >= Watch && l.Stack != "" {
				if shapes[k.Value] == nil {
					shapes[k.Value] = make(map[string]bool)
				}
				shapes[k.Value][l.Stack] = true
				x.Shaped++
				x.Shapes = len(shapes[k.Value])
			}
			c.Controllers[k.Value] = x
		}
	}
	return c
}

// suspects are the lines that linking looks at.
func suspects(lines []Line) []Line {
	var out []Line
	for _, l := range lines {
		if l.Verdict >= Watch {
			out = append(out, l)
		}
	}
	return out
}

func (w *world) judge() ([]Edge, Groups) {
	lines := suspects(w.lines)
	edges := Judge(lines, w.counts())
	return edges, Join(members(lines), edges, nil, 1)
}

func members(lines []Line) []Member {
	ms := make([]Member, len(lines))
	for i, l := range lines {
		ms[i] = Member{ID: l.ID, First: l.First}
	}
	return ms
}

// linked are the groups of two and more.
func linked(gs []Group) (out []Group) {
	for _, g := range gs {
		if len(g.Members) > 1 {
			out = append(out, g)
		}
	}
	return out
}

// rings are those of the groups that are rings.
func (w *world) rings(g Groups) (out []Ring) {
	at := make(map[ID]Line)
	for _, l := range w.lines {
		at[l.ID] = l
	}
	for _, h := range g.Hands {
		var ls []Line
		for _, m := range h.Members {
			ls = append(ls, at[m])
		}
		if r, ok := NewRing(ls); ok {
			out = append(out, r)
		}
	}
	return out
}

func accounts(who string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("~%s%d", who, i))
	}
	return out
}

func cards(who string, n int) (out []Card) {
	for i := range n {
		out = append(out, Card{IMSI: fmt.Sprintf("46000~%s%d", who, i)})
	}
	return out
}

// standings of one line against two classes.
func standings(home, breakout map[string]float64) []Standing {
	one := func(class string, fs map[string]float64) Standing {
		s := Standing{Class: class}
		for f, n := range fs {
			s.Margin += n
			s.Families = append(s.Families, FamilyNats{f, n})
		}
		return s
	}
	return []Standing{one("home", home), one("pstn-breakout", breakout)}
}

func boxStandings() []Standing {
	return standings(
		map[string]float64{"fan-out": 2, "concurrency": 1.5, "channels": 1, "topology": 0.8, "media clock": 0.5},
		map[string]float64{"fan-out": 1, "topology": 0.4, "channels": 0.5, "call pattern": 0.6})
}
