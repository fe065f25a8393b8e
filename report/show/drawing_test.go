package show

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func english() Words {
	return Words{
		Text: func(s string) string { return s }, Mark: func(s string) string { return s },
		Plain: func(s string) string { return strings.ReplaceAll(s, "\u202e", "") }, Count: func(n int) string { return fmt.Sprint(n) },
	}
}

func TestRows(t *testing.T) {
	list := []Call{{First: 10, End: 20}, {First: 0, End: 15}, {First: 15, End: 30}, {First: 16, End: 17}, {First: 20, End: 21}}
	drawn, n, left := rows(list)
	var got []int
	for _, c := range drawn {
		got = append(got, c.row)
	}
	if want := []int{0, 1, 0, 2, 1}; !slices.Equal(got, want) || n != 3 || left != 0 {
		t.Errorf("rows %v of %d, %d left; want %v of 3", got, n, left, want)
	}
	for range 300 {
		list = append(list, Call{First: 5, End: 6})
	}
	if drawn, n, left := rows(list); len(drawn) > MaxCalls || n > MaxRows || len(drawn)+left != len(list) {
		t.Errorf("%d drawn in %d rows, %d left", len(drawn), n, left)
	}
}

// A call is pale until it is answered, and stands where its times lie.
func TestCalls(t *testing.T) {
	const s = int64(time.Second)
	over := Over(0, 100*s)
	d := Calls("a", []Call{{Inbound: true, First: 0, Answer: 25 * s, End: 50 * s, Peer: "<far>"}, {First: 50 * s, End: 100 * s, Status: "486"}}, 2, over, english(), func(d time.Duration) string { return d.String() })
	var got []string
	for _, m := range d.Plot.Marks {
		for _, x := range m.Shapes {
			got = append(got, x.Class+" "+x.D)
		}
	}
	if want := []string{"in ring M0 2h1000v14h-1000z", "in talk M1000 2h1000v14h-1000z", "out ring M2000 7h2000v9h-2000z"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !slices.Equal(d.Table.Heads, []string{"Row", "Begun (UTC)", "Direction", "Rang", "Talked", "Status", "Far end"}) || len(d.Table.Rows) != 2 || len(d.Table.Rows[0]) != 7 {
		t.Errorf("the table: %+v", d.Table)
	}
	if !slices.Equal(d.Notes, []string{"2 calls not drawn"}) {
		t.Errorf("notes %q", d.Notes)
	}
	out := written(t, "drawing", d)
	for _, want := range []string{"<g><title>inbound, 1970-01-01 00:00:00 UTC, rang 25s, talked 25s, far end &lt;far&gt;</title>", `<path class="in talk" d="M1000 2h1000v14h-1000z"/>`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

// Clocks of streams and readings of findings are drawn by one template.
func TestClocks(t *testing.T) {
	const s = int64(time.Second)
	d := Streams("a", []Stream{{Points: []Point{{0, 0}}}, {Start: 5, Points: []Point{{0, 0}, {10 * s, s / 1000}}}}, nil, 0, Over(0, 10*s))
	if len(d.Plot.Marks) != 1 || !strings.HasPrefix(d.Plot.Marks[0].Shapes[0].D, "M0 ") || !strings.Contains(d.Plot.Marks[0].Shapes[0].D, "M4000 ") {
		t.Errorf("%+v", d.Plot.Marks)
	}
	r := Readings("a", "words", []Reading{{"b", 10 * s, 20 * s, 5, 1}, {"a", 0, 10 * s, -5, 1}})
	if len(r.Plot.Marks) != 2 || r.Table.Rows[0][0].Text != "a" || r.Table.Rows[1][3].Text != "5.000 ± 1.000 ppm" {
		t.Errorf("%+v", r)
	}
	// What is no number is not drawn, and spoils nothing that is.
	odd := Readings("a", "words", []Reading{{"b", 10 * s, 20 * s, 5, 1}, {"x", 0, s, math.NaN(), 1}, {"y", 0, s, 1, math.Inf(1)}, {"z", 0, s, math.Inf(-1), 0}})
	if len(odd.Plot.Marks) != 1 || len(odd.Table.Rows) != 1 || !slices.Equal(odd.Notes, []string{"3 readings not drawn"}) || !slices.Equal(odd.Plot.Scale, Readings("a", "words", []Reading{{"b", 10 * s, 20 * s, 5, 1}}).Plot.Scale) {
		t.Errorf("%+v", odd)
	}
	if Readings("a", "", []Reading{{PPM: math.NaN()}}) != nil {
		t.Error("nothing but what is no number is drawn")
	}
	for _, d := range []*Drawing{d, r} {
		if out := written(t, "clocks", &Line{ID: "a", Clocks: d}); !strings.Contains(out, `<h2 id="ac">Clocks</h2>`) || !strings.Contains(out, "s0") {
			t.Error(out)
		}
	}
	if Streams("a", nil, nil, 0, Stage{}) != nil || Readings("a", "", nil) != nil || Active("a", nil, Stage{}) != nil {
		t.Error("something of nothing")
	}
	nan := math.NaN()
	if h := Traces("h", "History", "says", Trace{"s0", []int64{0, s, 2 * s}, []float64{1, nan, 3}}); strings.Contains(h.Plot.Marks[0].Shapes[0].D, "NaN") || strings.Count(h.Plot.Marks[0].Shapes[0].D, "M") != 2 {
		t.Errorf("%+v", h.Plot.Marks)
	}
	if Traces("h", "History", "says", Trace{"s0", []int64{0}, []float64{1}}) != nil {
		t.Error("a point has a history")
	}
}

func written(t *testing.T, name string, data any) string {
	t.Helper()
	set, err := Add(template.New("x"), english())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := set.ExecuteTemplate(&b, name, data); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Whatever strangers sent, parts hold text alone.
func TestHostileText(t *testing.T) {
	bad := `"><script>alert(1)</script>javascript:` + "\u202e" + strings.Repeat("x", 5000)
	link := Link{Text: bad, Address: "javascript:alert(1)"}
	l := &Line{ID: "a", Claim: "Case", Facts: []Fact{{Name: "a", Text: bad}, {Name: "b", Links: []Link{link}}}, Ledger: &Ledger{Against: []string{bad}, Rows: []Row{{Words: bad, Cells: []Cell{{Against: bad, Value: "1"}}}}},
		Stacks: []Fact{{Name: "Contact", Text: bad, Code: true}}, Controllers: []Controller{{link, bad}}, Cards: []Card{{link}}, Unseen: []string{bad},
		Calls: Calls("a", []Call{{First: 1, End: 2, Called: bad, Account: bad, Peer: bad, Status: bad}}, 0, Over(1, 2), english(), time.Duration.String)}
	out := written(t, "claim", l) + written(t, "parts", l)
	if strings.Contains(out, "<script") || strings.Contains(out, "\u202e\u202e") || strings.Contains(out, `href="javascript`) || !strings.Contains(out, "&lt;script&gt;") {
		t.Error(out)
	}
	if strings.Contains(out, strings.Repeat("x", 401)) {
		t.Error("long texts are not cut")
	}
}
