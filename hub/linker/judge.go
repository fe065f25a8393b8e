package linker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"simtrap/hub/link"
	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// errLarge says that what a batch touches does not fit into one component's
// limit, so that it has to be split.
var errLarge = errors.New("components of one batch are too large together")

type set map[store.ID]bool

func setOf(ids ...[]store.ID) set {
	s := make(set)
	for _, list := range ids {
		s.add(list)
	}
	return s
}

func (s set) add(ids []store.ID) {
	for _, id := range ids {
		s[id] = true
	}
}

func (s set) holds(other set) bool {
	for id := range other {
		if !s[id] {
			return false
		}
	}
	return true
}

// list gives the members in order, so that every worker asks in the same order.
func (s set) list() []store.ID { return slices.SortedFunc(maps.Keys(s), compareIDs) }

// once reads, judges and saves. ErrConflict and errLarge: nothing was saved.
func (w *Worker) once(ctx context.Context, touched []store.Touched) error {
	f := w.newFacts()
	first := make(set, len(touched))
	for _, t := range touched {
		first[t.Finding] = true
	}
	if err := f.load(ctx, first.list()); err != nil {
		return err
	}
	// Whose edges may change: the touched, who had an edge to them, and who bears a
	// key of theirs, since it is more common now, or less.
	around, err := f.count(ctx, first.list())
	if err != nil {
		return err
	}
	judged := setOf(first.list(), around)
	before, err := w.component(ctx, f, first.list())
	if err != nil {
		return err
	}
	for i := range before.Edges {
		if e := &before.Edges[i]; first[e.A] || first[e.B] {
			judged[e.A], judged[e.B] = true, true
		}
	}
	edges, c, err := w.around(ctx, f, judged, before)
	switch {
	case errors.Is(err, errLarge) && len(touched) == 1:
		// Two rings that are too large together stay apart: the line is judged for
		// itself, within what it belonged to.
		judged = first
		edges, c, err = f.judge(judged, setOf(slices.Collect(maps.Keys(f.nodes)))), before, nil
		w.cut.Add(1)
	case err != nil:
		return err
	}
	l, left := w.join(f, c, edges, judged)
	l.Owner, l.Claimed = w.o.Owner, touched
	for id := range first {
		// What is gone by now has no version to be seen at.
		if f.nodes[id] == nil {
			delete(l.Seen, id)
		}
	}
	if err := w.tell(ctx, f, first); err != nil {
		return err
	}
	if err := w.store.SaveLinks(ctx, l); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return err
		}
		return fmt.Errorf("save links: %w", err)
	}
	w.judged.Add(uint64(len(touched)))
	w.saves.Add(1)
	w.left.Add(uint64(left))
	return nil
}

// around gives the edges that the judged have, and all that hangs together with
// them. A hand that drives no ring is not stored, so who is in it is found by
// judging its lines too: judged grows by them. c is what is known to hang together
// already.
func (w *Worker) around(ctx context.Context, f *facts, judged set, c store.Component) ([]link.Edge, store.Component, error) {
	scene := make(set)
	there := make(set)
	for _, t := range c.Tenancies {
		there[t.ID] = true
	}
	for {
		ids := judged.list()
		if err := f.load(ctx, ids); err != nil {
			return nil, store.Component{}, err
		}
		// Whom they may have edges to.
		beyond, err := f.count(ctx, ids)
		if err != nil {
			return nil, store.Component{}, err
		}
		if err := f.load(ctx, beyond); err != nil {
			return nil, store.Component{}, err
		}
		f.settle()
		scene.add(ids)
		scene.add(beyond)
		edges := f.judge(judged, scene)
		reached := setOf(ids)
		for _, id := range link.Ends(edges) {
			reached[store.ID(id)] = true
		}
		// Ten thousand tenancies are not read twice.
		if !there.holds(reached) {
			if c, err = w.component(ctx, f, reached.list()); err != nil {
				return nil, c, err
			}
			for _, t := range c.Tenancies {
				there[t.ID] = true
			}
		}
		before := len(judged)
		for _, t := range c.Tenancies {
			if t.Ring.IsZero() && f.nodes[t.ID].standing {
				judged[t.ID] = true
			}
		}
		if len(judged) == before {
			return edges, c, nil
		}
	}
}

// component reads what ids belong to, or says errLarge.
func (w *Worker) component(ctx context.Context, f *facts, ids []store.ID) (store.Component, error) {
	c, err := w.store.Component(ctx, ids, link.Most)
	if err != nil {
		return c, fmt.Errorf("read component: %w", err)
	}
	if c.More {
		return c, errLarge
	}
	for i := range c.Tenancies {
		f.take(&c.Tenancies[i])
		c.Tenancies[i].Report = nil // what is needed of it is in the node
	}
	return c, nil
}

// judge gives the edges that the judged have within the scene.
func (f *facts) judge(judged, scene set) []link.Edge {
	lines := make([]link.Line, 0, len(scene))
	for _, id := range scene.list() {
		if n := f.nodes[id]; n != nil && n.standing {
			lines = append(lines, n.line)
		}
	}
	edges := link.Judge(lines, f.counts)
	return slices.DeleteFunc(edges, func(e link.Edge) bool {
		return !judged[store.ID(e.A)] && !judged[store.ID(e.B)]
	})
}

// join makes boxes and rings of a component.
func (w *Worker) join(f *facts, c store.Component, edges []link.Edge, judged set) (l store.Links, left int) {
	now := w.now()
	l = store.Links{Seen: make(map[store.ID]uint64), Judged: judged.list()}
	see := func(id store.ID) {
		if n := f.nodes[id]; n != nil {
			l.Seen[id] = n.version
		}
	}
	// Of an edge one end is judged. The other need not be seen: who changes it
	// judges this end as well, which bears the same key.
	for id := range judged {
		see(id)
	}
	since := make(map[[2]store.ID]time.Time)
	for i := range c.Edges {
		e := &c.Edges[i]
		since[[2]store.ID{e.A, e.B}] = e.Since
	}
	for _, e := range edges {
		a, b := store.ID(e.A), store.ID(e.B)
		at, ok := since[[2]store.ID{a, b}]
		if !ok {
			at = now
		}
		l.Edges = append(l.Edges, store.Edge{A: a, B: b, Kind: store.EdgeKind(e.Kind), Scope: scope(e.Scope), Nats: e.Nats, Reason: e.Reason, Since: at})
	}
	for i := range c.Edges {
		if e := &c.Edges[i]; !judged[e.A] && !judged[e.B] {
			edges = append(edges, link.Edge{A: link.ID(e.A), B: link.ID(e.B), Kind: link.Kind(e.Kind), Scope: linkScope(e.Scope), Nats: e.Nats})
		}
	}

	born := make(link.Born)
	oldBoxes, oldRings := make(set), make(set)
	for _, b := range c.Boxes {
		born[link.ID(b.ID)] = b.Since.UnixNano()
		oldBoxes[b.ID] = true
	}
	for _, r := range c.Rings {
		born[link.ID(r.ID)] = r.Since.UnixNano()
		oldRings[r.ID] = true
	}
	var members []link.Member
	for _, t := range c.Tenancies {
		see(t.ID)
		n := f.nodes[t.ID]
		if n == nil || !n.standing {
			continue
		}
		m := link.Member{ID: n.line.ID, First: n.line.First}
		if oldBoxes[t.Box] {
			m.Box = link.ID(t.Box)
		}
		if oldRings[t.Ring] {
			m.Ring = link.ID(t.Ring)
		}
		members = append(members, m)
	}
	g := link.Join(members, edges, born, now.UnixNano())

	boxes := make(map[store.ID]int) // by member
	for _, b := range g.Boxes {
		left += b.Left
		delete(oldBoxes, store.ID(b.ID))
		l.Boxes = append(l.Boxes, f.box(b))
		for _, m := range b.Members {
			boxes[store.ID(m)] = len(l.Boxes) - 1
		}
	}
	for _, h := range g.Hands {
		lines := make([]link.Line, 0, len(h.Members))
		for _, m := range h.Members {
			lines = append(lines, f.nodes[store.ID(m)].line)
		}
		r, ok := link.NewRing(lines)
		if !ok {
			continue
		}
		left += h.Left
		delete(oldRings, store.ID(h.ID))
		sr := f.ring(h, r, lines)
		held := make(set)
		for _, m := range h.Members {
			b := &l.Boxes[boxes[store.ID(m)]]
			b.Ring = sr.ID
			held[b.ID] = true
		}
		sr.Boxes = held.list()
		l.Rings = append(l.Rings, sr)
	}
	l.GoneBoxes, l.GoneRings = oldBoxes.list(), oldRings.list()
	return l, left
}

func (f *facts) box(g link.Group) store.Box {
	b := store.Box{ID: store.ID(g.ID), Left: g.Left}
	var best *node
	cards := make(map[string]bool)
	first, last := int64(0), int64(0)
	for i, m := range g.Members {
		n := f.nodes[store.ID(m)]
		b.Members = append(b.Members, n.id)
		if i == 0 || n.line.First < first {
			first = n.line.First
		}
		last = max(last, n.line.Last)
		if best == nil || better(n, best) {
			best = n
		}
		for _, c := range n.line.Cards {
			if c.IMSI != "" {
				cards[c.IMSI] = true
			} else if c.ICCID != "" {
				cards[c.ICCID] = true
			}
		}
	}
	b.Cards = len(cards)
	b.First, b.Last = moment(first), moment(last)
	b.Device = best.device
	if b.Device == nil {
		b.Device = &reportpb.Device{}
	}
	v := link.None
	for _, m := range g.Members {
		v = max(v, f.nodes[store.ID(m)].line.Verdict)
	}
	b.Verdict = protoVerdict(v)
	return b
}

// better says whether a tells more of what a box is than b.
func better(a, b *node) bool {
	known := func(n *node) int {
		k := 0
		if n.device.GetVendor() != "" {
			k += 2
		}
		if n.device.GetModel() != "" {
			k++
		}
		return k
	}
	if x, y := known(a), known(b); x != y {
		return x > y
	}
	if x, y := a.device.GetChannels(), b.device.GetChannels(); x != y {
		return x > y
	}
	return compareIDs(a.id, b.id) < 0
}

func (f *facts) ring(g link.Group, r link.Ring, lines []link.Line) store.Ring {
	s := store.Ring{ID: store.ID(g.ID), Lines: r.Lines, Verdict: protoVerdict(r.Verdict), Left: g.Left}
	if r.Judged {
		s.Margin, s.Nearest = &r.Margin, r.Nearest
	}
	sensors, by := make(map[string]bool), make(map[string]int)
	first, last := lines[0].First, lines[0].Last
	for i := range lines {
		l := &lines[i]
		sensors[l.Sensor] = true
		first, last = min(first, l.First), max(last, l.Last)
		for _, k := range l.Keys() {
			if k.Kind == link.ControllerKey {
				by[k.Value]++
			}
		}
	}
	for addr, n := range by {
		if n > 1 {
			s.Controllers = append(s.Controllers, addr)
		}
	}
	// The most shared first, and an end to it.
	slices.SortFunc(s.Controllers, func(a, b string) int {
		if by[a] != by[b] {
			return by[b] - by[a]
		}
		if a < b {
			return -1
		}
		return 1
	})
	s.Controllers = s.Controllers[:min(len(s.Controllers), mostControllers)]
	s.Sensors = slices.Sorted(maps.Keys(sensors))
	s.First, s.Last = moment(first), moment(last)
	return s
}

// mostControllers that a ring names.
const mostControllers = 64

func scope(s link.Scope) store.Scope {
	if s == link.Box {
		return store.ScopeBox
	}
	return store.ScopeRing
}

func linkScope(s store.Scope) link.Scope {
	if s == store.ScopeBox {
		return link.Box
	}
	return link.Hand
}
