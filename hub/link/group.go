package link

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Most is how many lines a component holds. The surest pairs are joined first;
// what does not fit stays apart and is counted.
const Most = 10_000

// Member is a line as far as grouping needs it: who it is, how old, and where it
// was until now.
type Member struct {
	ID    ID
	First int64
	Box   ID // zero for none yet
	Ring  ID // zero for none
}

// Born tells since when an id of a box or a ring stands, ns since the Unix epoch.
type Born map[ID]int64

// Group is a box or, of several boxes, what one hand drives.
type Group struct {
	ID      ID
	Members []ID // in order
	Left    int  // pairs that would have made it larger than Most
}

// Groups is how lines are joined.
type Groups struct {
	Boxes []Group // every line is in one
	Hands []Group // every line is in one, and every box wholly
	// NewBoxes and NewHands are the ids made now; GoneBoxes and GoneHands those
	// that no group kept.
	NewBoxes, NewHands   []ID
	GoneBoxes, GoneHands []ID
}

// Join groups members by edges. The partition depends on the set of members and
// edges alone, not on the order of either, nor on what ids there were. An id goes
// on with the part that holds most of its members, of equal parts with the oldest
// line; of several ids that come to one group the oldest stays, that is the one
// that was born first. now, ns since the Unix epoch, is when new ones are born.
//
// Edges to lines that are not among members are left aside.
func Join(members []Member, edges []Edge, born Born, now int64) Groups {
	ms := slices.Clone(members)
	slices.SortFunc(ms, func(a, b Member) int { return a.ID.compare(b.ID) })
	at := make(map[ID]int32, len(ms))
	for i, m := range ms {
		at[m.ID] = int32(i)
	}
	pairs := decide(edges, at)
	boxes := newUnion(len(ms))
	for _, p := range pairs {
		if p.box >= SameBox {
			boxes.join(p.a, p.b)
		}
	}
	hands := boxes.clone()
	for _, p := range pairs {
		if p.hand >= SameHand {
			hands.join(p.a, p.b)
		}
	}
	var g Groups
	g.Boxes, g.NewBoxes, g.GoneBoxes = name(ms, boxes, born, now, "box", func(m *Member) ID { return m.Box })
	g.Hands, g.NewHands, g.GoneHands = name(ms, hands, born, now, "ring", func(m *Member) ID { return m.Ring })
	return g
}

// decided is the sum of one pair's edges.
type decided struct {
	a, b      int32 // a below b
	box, hand float64
}

// decide sums the edges of each pair, the surest pair first.
func decide(edges []Edge, at map[ID]int32) []decided {
	sorted := slices.Clone(edges)
	slices.SortFunc(sorted, compareEdges)
	var pairs []decided
	for i := range sorted {
		e := &sorted[i]
		a, ok := at[e.A]
		b, too := at[e.B]
		if !ok || !too || a == b {
			continue
		}
		if n := len(pairs); n == 0 || pairs[n-1].a != a || pairs[n-1].b != b {
			pairs = append(pairs, decided{a: a, b: b})
		}
		p := &pairs[len(pairs)-1]
		if e.Scope == Box {
			p.box += e.Nats
		} else {
			p.hand += e.Nats
		}
	}
	slices.SortStableFunc(pairs, func(x, y decided) int {
		switch sx, sy := max(x.box-SameBox, x.hand-SameHand), max(y.box-SameBox, y.hand-SameHand); {
		case sx > sy:
			return -1
		case sx < sy:
			return 1
		}
		return 0
	})
	return pairs
}

// union finds who is joined with whom, no more than Most together.
type union struct {
	parent []int32
	size   []int32
	left   []int32 // pairs refused, by root
}

func newUnion(n int) *union {
	u := &union{parent: make([]int32, n), size: make([]int32, n), left: make([]int32, n)}
	for i := range u.parent {
		u.parent[i], u.size[i] = int32(i), 1
	}
	return u
}

func (u *union) clone() *union {
	return &union{parent: slices.Clone(u.parent), size: slices.Clone(u.size), left: make([]int32, len(u.left))}
}

func (u *union) root(i int32) int32 {
	for u.parent[i] != i {
		u.parent[i] = u.parent[u.parent[i]]
		i = u.parent[i]
	}
	return i
}

func (u *union) join(a, b int32) {
	a, b = u.root(a), u.root(b)
	if a == b {
		return
	}
	if u.size[a]+u.size[b] > Most {
		u.left[a]++
		u.left[b]++
		return
	}
	if u.size[a] < u.size[b] || u.size[a] == u.size[b] && b < a {
		a, b = b, a
	}
	u.parent[b] = a
	u.size[a] += u.size[b]
	u.left[a] += u.left[b]
}

// part is one group before it has a name.
type part struct {
	members []int32
	oldest  int32
	left    int
}

// name gives every group its id.
func name(ms []Member, u *union, born Born, now int64, what string, had func(*Member) ID) (groups []Group, made, gone []ID) {
	index := make(map[int32]int)
	var parts []part
	for i := range ms {
		r := u.root(int32(i))
		n, ok := index[r]
		if !ok {
			n = len(parts)
			index[r] = n
			parts = append(parts, part{oldest: int32(i), left: int(u.left[r])})
		}
		p := &parts[n]
		p.members = append(p.members, int32(i))
		if older(&ms[i], &ms[p.oldest]) {
			p.oldest = int32(i)
		}
	}
	// Who goes on with an id that was there.
	type claim struct{ part, n int }
	claims := make(map[ID]map[int]int)
	for n := range parts {
		for _, i := range parts[n].members {
			if id := had(&ms[i]); id != (ID{}) {
				if claims[id] == nil {
					claims[id] = make(map[int]int)
				}
				claims[id][n]++
			}
		}
	}
	won := make([]ID, len(parts))
	for id, by := range claims {
		best := claim{part: -1}
		for n, count := range by {
			if best.part < 0 || count > best.n ||
				count == best.n && older(&ms[parts[n].oldest], &ms[parts[best.part].oldest]) {
				best = claim{n, count}
			}
		}
		if w := won[best.part]; w == (ID{}) || elder(id, w, born, now) {
			won[best.part] = id
		}
	}
	kept := make(map[ID]bool, len(parts))
	for n := range parts {
		g := Group{ID: won[n], Left: parts[n].left}
		if g.ID == (ID{}) {
			g.ID = newID(what, ms[parts[n].oldest].ID, now)
			for claims[g.ID] != nil { // made at the same moment, and another's by now
				g.ID = newID(what, g.ID, now)
			}
			made = append(made, g.ID)
		}
		kept[g.ID] = true
		for _, i := range parts[n].members {
			g.Members = append(g.Members, ms[i].ID)
		}
		groups = append(groups, g)
	}
	for id := range claims {
		if !kept[id] {
			gone = append(gone, id)
		}
	}
	slices.SortFunc(made, ID.compare)
	slices.SortFunc(gone, ID.compare)
	return groups, made, gone
}

func older(a, b *Member) bool {
	if a.First != b.First {
		return a.First < b.First
	}
	return a.ID.compare(b.ID) < 0
}

// elder says whether id a is older than id b.
func elder(a, b ID, born Born, now int64) bool {
	since := func(id ID) int64 {
		if t, ok := born[id]; ok {
			return t
		}
		return now
	}
	if x, y := since(a), since(b); x != y {
		return x < y
	}
	return a.compare(b) < 0
}

// newID names a group after its oldest line and the moment, so that no id comes
// twice: the line may have been the oldest of another group before.
func newID(what string, oldest ID, now int64) ID {
	b := append([]byte(what), oldest[:]...)
	h := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(now)))
	return ID(h[:16])
}

// Ends are the lines that edges join with another, in order.
func Ends(edges []Edge) []ID {
	at := make(map[ID]int32)
	var ids []ID
	for i := range edges {
		for _, id := range [...]ID{edges[i].A, edges[i].B} {
			if _, ok := at[id]; !ok {
				at[id] = int32(len(ids))
				ids = append(ids, id)
			}
		}
	}
	var out []ID
	for _, p := range decide(edges, at) {
		if p.box >= SameBox || p.hand >= SameHand {
			out = append(out, ids[p.a], ids[p.b])
		}
	}
	slices.SortFunc(out, ID.compare)
	return slices.Compact(out)
}
