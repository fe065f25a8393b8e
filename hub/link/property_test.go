package link

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawLines draws lines that have a good deal in common.
func drawLines(t *rapid.T) []Line {
	few := func(what string, n int) []string {
		return rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(0, n), func(i int) string { return fmt.Sprint("~", what, i) }), 0, 3, rapid.ID).Draw(t, what)
	}
	n := rapid.IntRange(2, 40).Draw(t, "lines")
	lines := make([]Line, n)
	for i := range lines {
		l := Line{
			ID: id(i), Access: id(rapid.IntRange(0, n).Draw(t, "access")), Sensor: "north",
			Verdict:  Verdict(rapid.IntRange(0, 3).Draw(t, "verdict")),
			Accounts: few("account", 20),
			Stack:    rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "stack"),
			CNAME:    rapid.SampledFrom([]string{"", "~c", "~d"}).Draw(t, "cname"),
			ClockPPM: rapid.Float64Range(-3, 3).Draw(t, "clock"), ClockErrorPPM: 0.3,
		}
		for _, c := range few("card", 12) {
			l.Cards = append(l.Cards, Card{IMSI: "46000" + c})
		}
		for _, c := range few("controller", 4) {
			l.Controllers = append(l.Controllers, Endpoint{c, "registrar"})
		}
		from := int64(rapid.IntRange(0, 20).Draw(t, "from")) * day
		during(&l, Span{from, from + day})
		lines[i] = l
	}
	return lines
}

func TestOrderDecidesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := suspects(drawLines(t))
		if len(lines) == 0 {
			return
		}
		counts := count(lines, nil)
		edges := Judge(lines, counts)
		groups := Join(members(lines), edges, nil, 1)
		mixed := rapid.Permutation(lines).Draw(t, "order")
		again := Judge(mixed, counts)
		if d := cmp.Diff(edges, again); d != "" {
			t.Fatalf("edges differ with order:\n%s", d)
		}
		if d := cmp.Diff(groups, Join(members(mixed), rapid.Permutation(again).Draw(t, "edges"), nil, 1)); d != "" {
			t.Fatalf("groups differ with order:\n%s", d)
		}
	})
}

// What is known grows and shrinks at random; ids must follow.
func TestIDsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 12
		born := Born{}
		ms := make([]Member, n)
		for i := range ms {
			ms[i] = Member{ID: id(i), First: int64(rapid.IntRange(0, 5).Draw(t, "first"))}
		}
		edges := map[[2]int]bool{}
		var before Groups
		for now := int64(1); now < 12; now++ {
			a, b := rapid.IntRange(0, n-1).Draw(t, "a"), rapid.IntRange(0, n-1).Draw(t, "b")
			if a != b {
				p := [2]int{min(a, b), max(a, b)}
				edges[p] = !edges[p]
			}
			var es []Edge
			for p, on := range edges {
				if on {
					es = append(es, Edge{A: id(p[0]), B: id(p[1]), Kind: Accounts, Scope: Box, Nats: 20})
				}
			}
			g := Join(ms, es, born, now)
			checkIDs(t, before, g, ms, born)
			for _, x := range g.NewBoxes {
				if _, ok := born[x]; ok {
					t.Fatalf("id %x was there before", x)
				}
				born[x] = now
			}
			for _, x := range g.NewHands {
				born[x] = now
			}
			for i := range ms {
				ms[i].Box, ms[i].Ring = groupOf(g.Boxes, ms[i].ID).ID, groupOf(g.Hands, ms[i].ID).ID
			}
			before = g
		}
	})
}

func groupOf(gs []Group, m ID) Group {
	for _, g := range gs {
		if slices.Contains(g.Members, m) {
			return g
		}
	}
	return Group{}
}

func checkIDs(t *rapid.T, before, g Groups, ms []Member, born Born) {
	seen := map[ID]bool{}
	lines := 0
	for _, b := range g.Boxes {
		if seen[b.ID] || b.ID == (ID{}) {
			t.Fatalf("id %x twice, or none", b.ID)
		}
		seen[b.ID] = true
		lines += len(b.Members)
		if _, old := born[b.ID]; !old {
			continue
		}
		// An id goes on only where most of its lines went.
		var had []ID
		for _, x := range before.Boxes {
			if x.ID == b.ID {
				had = x.Members
			}
		}
		share := func(members []ID) (n int) {
			for _, m := range members {
				if slices.Contains(had, m) {
					n++
				}
			}
			return n
		}
		if share(b.Members) == 0 {
			t.Fatalf("id %x went to a group that has none of its lines", b.ID)
		}
		for _, other := range g.Boxes {
			if share(other.Members) > share(b.Members) {
				t.Fatalf("id %x did not go with most of its lines", b.ID)
			}
		}
	}
	if lines != len(ms) {
		t.Fatalf("%d lines in boxes, of %d", lines, len(ms))
	}
	// Of boxes that merged whole the oldest id stays.
	for _, b := range g.Boxes {
		oldest := ID{}
		for _, x := range before.Boxes {
			if slices.ContainsFunc(x.Members, func(m ID) bool { return !slices.Contains(b.Members, m) }) {
				if slices.ContainsFunc(x.Members, func(m ID) bool { return slices.Contains(b.Members, m) }) {
					oldest = ID{}
					break
				}
				continue
			}
			if oldest == (ID{}) || elder(x.ID, oldest, born, 0) {
				oldest = x.ID
			}
		}
		if oldest != (ID{}) && b.ID != oldest {
			t.Fatalf("merged box has id %x, want the oldest, %x", b.ID, oldest)
		}
	}
}

func TestApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := drawLines(t)
		apart := Apart(lines)
		seen := make(map[int]bool)
		for _, g := range apart {
			for _, i := range g {
				if seen[i] {
					t.Fatalf("line %d is in two groups", i)
				}
				seen[i] = true
			}
		}
		if len(seen) != len(lines) {
			t.Fatalf("%d of %d lines in groups", len(seen), len(lines))
		}
		// No more groups than lines of distinct access are there at one time.
		most := 0
		for _, l := range lines {
			at := make(map[ID]bool)
			for _, m := range lines {
				if m.First <= l.First && l.First <= m.Last+slack {
					at[m.Access] = true
				}
			}
			most = max(most, len(at))
		}
		if len(apart) > most {
			t.Fatalf("%d groups, but at most %d lines at once", len(apart), most)
		}
	})
}
