package show

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a drawing, whatever a line did.
const (
	MaxCalls   = 2000 // drawn
	MaxTitled  = 200  // of those, with what the pointer shows
	MaxListed  = 50   // calls in a table
	MaxRows    = 48   // of calls beside each other
	MaxStreams = 24   // in one plot
)

const (
	rowHeight  = 18 // px
	axisHeight = 22
	plotHeight = 240
	wide       = 4000 // of a viewBox that is stretched over the page
	high       = 1000
)

// Drawing is a picture with its words and the table that says the same.
type Drawing struct {
	Name   string // English, of the part that it is
	Words  string // English, what is seen
	Legend bool   // of calls
	Plot   *Plot
	Notes  []string // English
	Table  *Table
}

// Plot is SVG with attributes and classes alone, since the policies of pages allow no
// style but that of the style sheet.
type Plot struct {
	ID, Name, Says string // Name and Says are English
	Height         int    // px, without the axis
	Rows           []int  // what stands at the left: numbers of rows, or a scale
	Scale          []string
	Times          []Tick
	Wide, High     int   // of the viewBox
	Levels         []int // where lines go across
	Marks          []Mark
}

// Outer is the height with the axis, Below where its times stand, px.
func (p *Plot) Outer() int { return p.Height + axisHeight }

// Below is where the times of the axis stand, px.
func (p *Plot) Below() int { return p.Height + 15 }

// Tick is a time below a plot, X percent from its left.
type Tick struct {
	X             int
	Anchor, Label string
}

// Mark is something drawn, with what the pointer shows, in the language of the page.
type Mark struct {
	Title  string
	Shapes []Shape
}

// Shape is a path.
type Shape struct{ Class, D string }

// Table says in words what a plot draws.
type Table struct {
	Name  string // English
	Heads []string
	Rows  [][]Entry
	More  int // rows left out
}

// Entry is one cell of a table.
type Entry struct {
	Text    string
	Class   string // n for numbers, t for times, wide
	English bool   // to be translated
	Code    bool   // an identifier
}

// Stage is the stretch of time that a plot is over, ns since the Unix epoch.
type Stage struct{ From, To int64 }

// Over gives the stage of all times, at least a second long; the zero value for none.
func Over(times ...int64) Stage {
	if len(times) == 0 {
		return Stage{}
	}
	from, to := slices.Min(times), slices.Max(times)
	return Stage{from, max(to, from+int64(time.Second))}
}

// part gives where a time lies, from 0 to 1.
func (s Stage) part(t int64) float64 {
	if s.To == s.From {
		return 0
	}
	return min(max((float64(t)-float64(s.From))/(float64(s.To)-float64(s.From)), 0), 1)
}

// X gives where a time lies in a plot that is wide.
func (s Stage) X(t int64) int { return int(math.Round(s.part(t) * wide)) }

// Ticks gives the times of an axis: a time of day in UTC, with its date where the stage
// has several.
func (s Stage) Ticks() []Tick {
	layout := "15:04:05"
	if time.Unix(0, s.From).UTC().YearDay() != time.Unix(0, s.To).UTC().YearDay() || s.To-s.From > int64(24*time.Hour) {
		layout = "01-02 15:04"
	}
	list := make([]Tick, 5)
	for i := range list {
		list[i].X = 25 * i
		if i%2 == 0 {
			list[i].Anchor = [...]string{"start", "middle", "end"}[i/2]
			list[i].Label = time.Unix(0, s.From+(s.To-s.From)/4*int64(i)).UTC().Format(layout)
		}
	}
	return list
}

// Plot begins a plot over the stage.
func (s Stage) Plot(id, name, says string) *Plot {
	return &Plot{ID: id, Name: name, Says: says, Height: plotHeight, Times: s.Ticks(), Wide: wide, High: high}
}

// UTC writes a time for people, ns since the Unix epoch.
func UTC(t int64) string { return time.Unix(0, t).UTC().Format("2006-01-02 15:04:05") }

// Call is one call attempt. Times are ns since the Unix epoch, 0 when not seen; texts are
// as they are to be shown.
type Call struct {
	Inbound                        bool
	First, Answer, End             int64
	Status                         string
	Calling, Called, Account, Peer string
	rang, talked                   string
}

func (c *Call) direction() string {
	if c.Inbound {
		return "inbound"
	}
	return "outbound"
}

// slot is a call with the row it is drawn in.
type slot struct {
	*Call
	row int
}

// rows gives each call the lowest row that is free from its first message to its end,
// as a gateway takes the lowest free channel. Calls beyond the bounds are left out and
// counted.
func rows(list []Call) (drawn []slot, n, left int) {
	calls := make([]*Call, len(list))
	for i := range list {
		calls[i] = &list[i]
	}
	slices.SortStableFunc(calls, func(x, y *Call) int { return cmp.Compare(x.First, y.First) })
	var free []int64 // when each row is free again
	for _, c := range calls {
		row := 0
		for row < len(free) && free[row] > c.First {
			row++
		}
		if len(drawn) == MaxCalls || row == MaxRows {
			left++
			continue
		}
		if row == len(free) {
			free = append(free, 0)
		}
		free[row] = max(c.End, c.First+1)
		drawn = append(drawn, slot{c, row})
	}
	return drawn, len(free), left
}

// Calls draws calls, one row for each channel in use; nil for none. More counts those
// that are not in the list. Length says how long a stretch of time was, in English.
func Calls(id string, list []Call, more uint64, over Stage, w Words, length func(time.Duration) string) *Drawing {
	if len(list) == 0 {
		return nil
	}
	drawn, n, left := rows(list)
	for _, s := range drawn {
		up := s.End
		if s.Answer != 0 {
			up = s.Answer
			s.talked = length(time.Duration(s.End - s.Answer))
		}
		s.rang = length(time.Duration(up - s.First))
	}
	p := over.Plot(id+"t", "Calls by channel", counted(len(drawn), "call")+" on "+counted(n, "row"))
	p.Height, p.High = n*rowHeight, n*rowHeight
	for i := range n {
		p.Rows = append(p.Rows, i+1)
	}
	d := &Drawing{Name: "Calls by channel", Legend: true, Plot: p}
	for _, s := range drawn[:min(len(drawn), MaxTitled)] {
		m := Mark{Title: s.title(w)}
		s.shapes(over, func(class, path string) { m.Shapes = append(m.Shapes, Shape{class, path}) })
		p.Marks = append(p.Marks, m)
	}
	if len(drawn) > MaxTitled {
		p.Marks = append(p.Marks, together(drawn[MaxTitled:], over))
		d.Notes = append(d.Notes, "The first "+w.Count(MaxTitled)+" calls tell more where the pointer rests on them.")
	}
	if more += uint64(left); more > 0 {
		d.Notes = append(d.Notes, counted(int(min(more, math.MaxInt64)), "call")+" not drawn")
	}
	d.Table = tableOf(drawn)
	return d
}

// shapes draws one call: pale until it is answered.
func (s slot) shapes(over Stage, draw func(class, path string)) {
	class, y, h := "in", s.row*rowHeight+2, rowHeight-4
	if !s.Inbound {
		class, y, h = "out", y+5, h-5
	}
	block := func(more string, t, u int64) {
		x := over.X(t)
		wide := max(over.X(max(t, u))-x, 1) // one of no length is a hair line
		draw(class+" "+more, fmt.Sprintf("M%d %dh%dv%dh-%dz", x, y, wide, h, wide))
	}
	if s.Answer == 0 {
		block("ring", s.First, s.End)
		return
	}
	block("ring", s.First, s.Answer)
	block("talk", s.Answer, s.End)
}

// together draws many calls in little room, in four paths.
func together(calls []slot, over Stage) Mark {
	paths := make(map[string]*strings.Builder)
	var m Mark
	for _, s := range calls {
		s.shapes(over, func(class, path string) {
			if paths[class] == nil {
				paths[class] = &strings.Builder{}
			}
			paths[class].WriteString(path)
		})
	}
	for _, class := range []string{"out ring", "out talk", "in ring", "in talk"} {
		if b := paths[class]; b != nil {
			m.Shapes = append(m.Shapes, Shape{class, b.String()})
		}
	}
	return m
}

// title tells a call in words.
func (c *Call) title(w Words) string {
	said := w.Text(c.direction()) + w.Mark(", ") + UTC(c.First) + " UTC"
	for _, x := range [...][2]string{{"rang", w.Text(c.rang)}, {"talked", w.Text(c.talked)}, {"status", c.Status}, {"calling", c.Calling}, {"number", c.Called}, {"account", c.Account}, {"far end", c.Peer}} {
		if x[1] != "" {
			said += w.Mark(", ") + w.Text(x[0]) + " " + x[1]
		}
	}
	return said
}

// tableOf lists calls; columns that no call fills are left out.
func tableOf(drawn []slot) *Table {
	t := &Table{Name: "Calls as a table", More: max(len(drawn)-MaxListed, 0)}
	listed := drawn[:len(drawn)-t.More]
	for _, column := range []struct {
		name string
		of   func(slot) Entry
	}{
		{"Row", func(s slot) Entry { return Entry{Text: strconv.Itoa(s.row + 1), Class: "n"} }},
		{"Begun (UTC)", func(s slot) Entry { return Entry{Text: UTC(s.First), Class: "t"} }},
		{"Direction", func(s slot) Entry { return Entry{Text: s.direction(), English: true} }},
		{"Rang", func(s slot) Entry { return Entry{Text: s.rang, Class: "n", English: true} }},
		{"Talked", func(s slot) Entry { return Entry{Text: s.talked, Class: "n", English: true} }},
		{"Status", func(s slot) Entry { return Entry{Text: s.Status, Class: "n"} }},
		{"Calling", func(s slot) Entry { return Entry{Text: s.Calling, Code: true} }},
		{"Called", func(s slot) Entry { return Entry{Text: s.Called, Code: true} }},
		{"Account", func(s slot) Entry { return Entry{Text: s.Account, Code: true} }},
		{"Far end", func(s slot) Entry { return Entry{Text: s.Peer} }},
	} {
		if !slices.ContainsFunc(listed, func(s slot) bool { return column.of(s).Text != "" }) {
			continue
		}
		t.Heads = append(t.Heads, column.name)
		for i, s := range listed {
			if i == len(t.Rows) {
				t.Rows = append(t.Rows, nil)
			}
			t.Rows[i] = append(t.Rows[i], column.of(s))
		}
	}
	return t
}

// Span is a time during which a line was active, ns since the Unix epoch.
type Span struct{ From, To int64 }

// Active draws when a line was active, where no single call is known; nil for never.
func Active(id string, list []Span, over Stage) *Drawing {
	if len(list) == 0 {
		return nil
	}
	p := over.Plot(id+"t", "Active", counted(len(list), "time")+" active")
	p.Height, p.High, p.Rows = rowHeight, rowHeight, []int{1}
	d := &Drawing{Name: "When it was active", Plot: p, Table: &Table{Name: "Times as a table", Heads: []string{"From (UTC)", "To (UTC)"}}}
	for _, s := range list {
		x := over.X(s.From)
		w := max(over.X(s.To)-x, 8)
		p.Marks = append(p.Marks, Mark{Shapes: []Shape{{"in", fmt.Sprintf("M%d 2h%dv%dh-%dz", x, w, rowHeight-4, w)}}})
		d.Table.Rows = append(d.Table.Rows, []Entry{{Text: UTC(s.From), Class: "t"}, {Text: UTC(s.To), Class: "t"}})
	}
	return d
}

// Stream is the clock of one voice stream that a line sent.
type Stream struct {
	Start  int64   // ns since the Unix epoch
	Points []Point // readings, in order
	Row    []Entry // of the table
}

// Point is one clock reading: when it arrived, and arrival minus RTP time, ns.
type Point struct{ Time, Late int64 }

// Streams draws for each stream how much later than its RTP time its packets came: the
// slope is the sender's clock against the tap's. Nil for no readings. More counts streams
// that are not in the list.
func Streams(id string, all []Stream, heads []string, more uint64, over Stage) *Drawing {
	list := slices.DeleteFunc(slices.Clone(all), func(s Stream) bool { return len(s.Points) < 2 })
	// Long ones tell most.
	slices.SortStableFunc(list, func(x, y Stream) int { return len(y.Points) - len(x.Points) })
	left := max(len(list)-MaxStreams, 0)
	list = list[:len(list)-left]
	slices.SortStableFunc(list, func(x, y Stream) int { return cmp.Compare(x.Start, y.Start) })
	var late []int64
	for _, s := range list {
		for _, q := range s.Points {
			late = append(late, q.Late)
		}
	}
	if len(late) == 0 {
		return nil
	}
	// One late packet must not flatten all the rest.
	slices.Sort(late)
	lo, hi := late[len(late)/200], late[len(late)-1-len(late)/200]
	if pad := int64(time.Millisecond) - (hi - lo); pad > 0 {
		lo, hi = lo-pad/2, hi+pad/2
	}
	lo, hi = lo-(hi-lo)/10, hi+(hi-lo)/10

	p := over.Plot(id+"c", "Clocks", counted(len(list), "voice stream")+", "+counted(len(late), "reading"))
	p.Levels = []int{high / 2}
	for _, v := range []int64{hi, (lo + hi) / 2, lo} {
		p.Scale = append(p.Scale, Millis(v))
	}
	d := &Drawing{Name: "Clocks", Plot: p, Table: &Table{Name: "Voice streams as a table", Heads: heads},
		Words: "Arrival minus RTP time against time, one line of dots for each voice stream that the line sent. The slope is the sender's clock: one chassis gives parallel lines, telephones each their own."}
	for i, s := range list {
		var b strings.Builder
		for _, q := range s.Points {
			y := min(max((float64(hi)-float64(q.Late))/(float64(hi)-float64(lo)), 0), 1)
			fmt.Fprintf(&b, "M%d %dh0", int(over.part(q.Time)*wide), int(y*high))
		}
		p.Marks = append(p.Marks, Mark{Shapes: []Shape{{"dots s" + strconv.Itoa(i%8), b.String()}}})
		d.Table.Rows = append(d.Table.Rows, s.Row)
	}
	if more += uint64(left); more > 0 {
		d.Notes = append(d.Notes, counted(int(min(more, math.MaxInt64)), "voice stream")+" not drawn")
	}
	return d
}

// Millis writes nanoseconds as milliseconds.
func Millis(ns int64) string { return strconv.FormatFloat(float64(ns)/1e6, 'f', 1, 64) + " ms" }

// Reading is what is known of a sending clock over some time.
type Reading struct {
	Name       string // English
	From, To   int64  // ns since the Unix epoch
	PPM, Error float64
}

// Readings draws how fast sending clocks were, with their uncertainty: one chassis gives
// bars at one height, telephones each their own. Words say of what they are. One that is
// no number is left out, and said so. Nil for none.
func Readings(id, words string, list []Reading) *Drawing {
	all := len(list)
	list = slices.DeleteFunc(slices.Clone(list), func(r Reading) bool {
		return math.IsNaN(r.PPM) || math.IsInf(r.PPM, 0) || math.IsNaN(r.Error) || math.IsInf(r.Error, 0)
	})
	left := all - len(list)
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b Reading) int { return cmp.Compare(a.From, b.From) })
	var times []int64
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, r := range list {
		times = append(times, r.From, r.To)
		lo, hi = min(lo, r.PPM-r.Error), max(hi, r.PPM+r.Error)
	}
	lo, hi = max(lo, -1e6), min(hi, 1e6)
	if pad := 2 - (hi - lo); pad > 0 {
		lo, hi = lo-pad/2, hi+pad/2
	}
	lo, hi = lo-(hi-lo)/10, hi+(hi-lo)/10
	over := Over(times...)
	y := func(v float64) int { return int(math.Round(min(max((hi-v)/(hi-lo), 0), 1) * high)) }
	p := over.Plot(id+"c", "Clocks", counted(len(list), "reading"))
	for _, v := range []float64{hi, (lo + hi) / 2, lo} {
		p.Scale = append(p.Scale, fmt.Sprintf("%.1f", v))
	}
	d := &Drawing{Name: "Clocks", Words: words, Plot: p, Table: &Table{Name: "Clocks as a table", Heads: []string{"Of", "First seen (UTC)", "Last seen (UTC)", "Clock"}}}
	if left > 0 {
		d.Notes = append(d.Notes, counted(left, "reading")+" not drawn")
	}
	for i, r := range list {
		x, colour := over.X(r.From), "s"+strconv.Itoa(i%8)
		w, top := max(over.X(r.To)-x, 12), y(r.PPM+r.Error)
		p.Marks = append(p.Marks, Mark{Shapes: []Shape{
			{"error " + colour, fmt.Sprintf("M%d %dh%dv%dh-%dz", x, top, w, max(y(r.PPM-r.Error)-top, 4), w)}, {"dots " + colour, fmt.Sprintf("M%d %dh%d", x, y(r.PPM), w)},
		}})
		d.Table.Rows = append(d.Table.Rows, []Entry{{Text: r.Name, English: true}, {Text: UTC(r.From), Class: "t"}, {Text: UTC(r.To), Class: "t"}, {Text: fmt.Sprintf("%.3f ± %.3f ppm", r.PPM, r.Error), Class: "n"}})
	}
	return d
}

// Trace is a number that stands from each moment until the next; NaN is not known.
type Trace struct {
	Class string
	At    []int64 // ns since the Unix epoch, rising
	Value []float64
}

// Traces draws numbers over time, with a line at 0. Nil where there are fewer than two
// moments.
func Traces(id, name, says string, list ...Trace) *Drawing {
	var times []int64
	lo, hi := 0.0, 1.0
	sound := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	for _, t := range list {
		times = append(times, t.At...)
		for _, v := range t.Value {
			if sound(v) {
				lo, hi = min(lo, max(v, -999)), max(hi, min(v, 999))
			}
		}
	}
	if len(times) < 2*len(list) || len(list) == 0 {
		return nil // a point is no history
	}
	over := Over(times...)
	y := func(v float64) int { return int(math.Round(min(max((hi-v)/(hi-lo), 0), 1) * high)) }
	p := over.Plot(id, name, says)
	p.Levels = []int{y(0)}
	for _, v := range []float64{hi, (lo + hi) / 2, lo} {
		p.Scale = append(p.Scale, fmt.Sprintf("%.1f", v))
	}
	for _, t := range list {
		var b strings.Builder
		pen := "M"
		for i, at := range t.At {
			v := t.Value[i]
			if !sound(v) {
				pen = "M"
				continue
			}
			if pen == "L" {
				fmt.Fprintf(&b, "H%d", over.X(at)) // it stood until the next came
			}
			fmt.Fprintf(&b, "%s%d %d", pen, over.X(at), y(v))
			pen = "L"
		}
		p.Marks = append(p.Marks, Mark{Shapes: []Shape{{"trace " + t.Class, b.String()}}})
	}
	return &Drawing{Name: name, Plot: p}
}

// counted writes "1 call" or "2,017 calls".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s + " " + noun + "s"
}
