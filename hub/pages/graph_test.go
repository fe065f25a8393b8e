package pages

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"simtrap/hub/query/querytest"
	"simtrap/report"
	"simtrap/report/querypb"
)

// someGraph draws a graph of any shape.
func someGraph(t *rapid.T) *graph {
	g := newGraph()
	var at []int
	for i := range rapid.IntRange(0, 200).Draw(t, "nodes") {
		k := kind(rapid.IntRange(0, int(kinds)-1).Draw(t, "kind"))
		at = append(at, g.add(k, fmt.Sprintf("%03d", i), rapid.String().Draw(t, "name"), "/x"))
	}
	for range rapid.IntRange(0, 300).Draw(t, "edges") {
		if len(at) > 0 {
			g.join(edge{rapid.SampledFrom(at).Draw(t, "from"), rapid.SampledFrom(at).Draw(t, "to"), rapid.SampledFrom([]string{"a", "b", evil}).Draw(t, "reason"), rapid.Float64Range(-3, 20).Draw(t, "nats"), rapid.Bool().Draw(t, "hand")})
		}
	}
	return g
}

var number4 = regexp.MustCompile(`(?:cx|cy)="(-?\d+)"`)

// TestGraph: whatever the graph, it keeps its bounds, no two nodes lie on each other,
// all lie within the picture, and the picture is the same each time.
func TestGraph(t *testing.T) {
	k := &look{parts: report.NewParts(report.English)}
	rapid.Check(t, func(t *rapid.T) {
		g := someGraph(t)
		used := map[kind]int{}
		for _, n := range g.nodes {
			used[n.Kind]++
		}
		for kd, n := range used {
			if n > most[kd] {
				t.Fatalf("%d of kind %d", n, kd)
			}
		}
		first := k.draw(g)
		places := map[[2]int]bool{}
		for _, n := range g.nodes {
			p := [2]int{int(n.Kind), n.row}
			if places[p] || n.row < 0 || n.row >= used[n.Kind] {
				t.Fatalf("row %d of %d, or one that is taken", n.row, used[n.Kind])
			}
			places[p] = true
		}
		for _, m := range number4.FindAllStringSubmatch(string(first), -1) {
			if v, err := strconv.Atoi(m[1]); err != nil || v < 0 || v > max(graphWidth, 20*maxGraphLines*graphRow) {
				t.Fatalf("a node at %s", m[1])
			}
		}
		if len(g.nodes) > 0 {
			for _, f := range sound("<title>x</title><main><h1>x</h1>" + string(first) + "</main>") {
				t.Fatal(f)
			}
		}
		if diff := cmp.Diff(string(first), string(k.draw(g))); diff != "" {
			t.Fatal("drawn again it is another")
		}
	})
}

// What stands beside nodes, and in the table of edges, is in the reader's language.
func TestGraphSpeaks(t *testing.T) {
	from := querytest.Filled(0)
	row := findingRow{Finding: &querypb.Finding{BoxId: querytest.ID(11).String(), Finding: from.FindingRows[0].Report.GetFinding()}, LineID: querytest.ID(1).String()}
	g := graphOf(nil, []findingRow{row}, nil)
	for words, want := range map[string][]string{"": {"box 00000000", "198.51.100.9 registrar"}, "zh": {"设备 00000000", "198.51.100.9 注册服务器"}} {
		k := &look{parts: report.NewParts(report.English)}
		if words != "" {
			k.parts = report.NewParts(report.Chinese, chinese()...)
		}
		drawn := string(k.draw(g))
		for _, w := range want {
			if !strings.Contains(drawn, ">"+w+"</text>") {
				t.Errorf("%q: no %q in %s", words, w, drawn)
			}
		}
	}
	for _, e := range g.table() {
		if strings.Contains(e.From.Name+e.To.Name, "box") || strings.Contains(e.From.Name+e.To.Name, "registrar") {
			t.Errorf("the table tells twice what a node is: %q, %q", e.From.Name, e.To.Name)
		}
	}
}
