package heuristics

import (
	"slices"
	"strings"
	"testing"

	"simtrap/control"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
)

// thawed reads what was written into fresh lines.
func thawed(t *testing.T, header []byte, blocks ...[]byte) (*Lines, *Thaw) {
	t.Helper()
	l := testLines(t, Config{Homes: home(t)})
	thaw, err := l.Thaw(header, func(r ident.Realm) (ident.Realm, bool) { return r, true }, func(e *control.Evidence) *control.Evidence { return e })
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := thaw.Read(b); err != nil {
			t.Fatal(err)
		}
	}
	thaw.End()
	return l, thaw
}

// TestOtherCatalogue reads counts that were written under another catalogue: one
// that did not know a signal of today, knew one that there is no more, and had
// the categories of a third in another order, with one more among them. What both
// know stays as it was, and the finding says which tables read it.
func TestOtherCatalogue(t *testing.T) {
	then := *testModel(t).cat
	then.Hash = strings.Repeat("a1b2", 16)
	model, err := NewModel(&then)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLines(model, Config{Homes: home(t)})
	if err != nil {
		t.Fatal(err)
	}
	p := newPlay(l)
	mobiles(p, 30, callOptions{})
	l.judge(l.table[p.line], false)
	before := l.table[p.line].evidence

	// Signals with counts: one that is to be unknown, one whose order changes.
	var urns []int
	for i := range model.signals {
		if s := &model.signals[i]; s.Kind == catalogue.Urn && slices.ContainsFunc(model.counts(before, i), func(n uint32) bool { return n > 0 }) {
			urns = append(urns, i)
		}
	}
	if len(urns) < 3 {
		t.Fatalf("only %d signals have counts", len(urns))
	}
	retired, turned := urns[0], urns[1]
	f := l.Freeze()
	f.frost.schema[retired].id = "a signal of the past"
	// The codec writes a category where the name stands, so the writer's order is
	// what the reader must undo.
	s := &f.frost.schema[turned]
	s.categories, s.to = slices.Clone(s.categories), slices.Clone(s.to)
	slices.Reverse(s.categories)
	slices.Reverse(s.to)
	s.categories, s.to = append(s.categories, "a category of the past"), append(s.to, -1)
	f.frost.schema = append(f.frost.schema, schema{id: "never heard of", kind: string(catalogue.Static), categories: []string{"x"}, at: -1, to: []int{-1}})
	header := f.Header(nil)
	block, more := f.Append(nil)
	if more {
		t.Fatal("more than one step")
	}

	now, thaw := thawed(t, header, block)
	if thaw.Lines != 1 || thaw.Same() || thaw.Catalogue != then.Hash {
		t.Fatalf("%+v", thaw)
	}
	after := now.table[p.line].evidence
	for i := range model.signals {
		if model.signals[i].Kind != catalogue.Urn {
			continue
		}
		want := slices.Clone(model.counts(before, i))
		if i == retired {
			clear(want)
		}
		if got := now.model.counts(after, i); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", model.signals[i].ID, got, want)
		}
	}
	said := "the counts began under the catalogue a1b2a1b2a1b2 and are read with the tables of " + now.model.cat.Hash[:12]
	find := func(l *Lines) Finding { return (&play{l: l, line: p.line}).finding(t) }
	if got := find(now); !slices.Contains(got.Unseen, said) {
		t.Errorf("not said: %q", got.Unseen)
	}
	if got := find(l); slices.Contains(got.Unseen, said) {
		t.Error("said of counts under their own catalogue")
	}

	// It stays said when the counts were written again since.
	g := now.Freeze()
	header = g.Header(nil)
	block, _ = g.Append(nil)
	third, thaw := thawed(t, header, block)
	if !thaw.Same() || !slices.Contains(find(third).Unseen, said) {
		t.Errorf("forgotten after another checkpoint: same %v, %q", thaw.Same(), find(third).Unseen)
	}
}
