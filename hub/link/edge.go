package link

import (
	"fmt"
	"math"
	"slices"
)

// Kind is what an edge rests on, numbered as simtrap.query.v1.LinkKind.
type Kind uint8

// The kinds of edges.
const (
	Cards Kind = iota + 1
	Accounts
	Contact
	CNAME
	ControllerStack
	Clock
	Handover
)

// Scope is what an edge says of its two ends.
type Scope uint8

// The scopes of edges.
const (
	Box  Scope = iota + 1 // one device against two
	Hand                  // one hand against two
)

// Edge speaks for or against two tenancies being one box, or in one hand.
type Edge struct {
	A, B   ID // A below B
	Kind   Kind
	Scope  Scope
	Nats   float64 // natural logarithm of the likelihood ratio; against if negative
	Reason string  // in plain words; no identity in it
}

// clique is up to how many bearers of a key are compared each with each. Of more,
// each is compared with the next by age.
const clique = 8

// popular is how many bearers make a contact or a CNAME nobody's own.
const popular = 64

// Judge gives the edges between all pairs of lines that a shared key proposes, in
// order of their ends. Of a pair what is said of one box is kept if it comes to half
// of SameBox, and what is said of one hand if it comes to half of SameHand: the
// rest would be many times as much, and joins nobody. It depends on the set of lines and the counts alone, not on
// their order. Lines must hold every bearer, at watch or above, of a key for the
// edges over that key to be complete.
func Judge(lines []Line, counts Counts) []Edge {
	ls := make([]*line, len(lines))
	for i := range lines {
		ls[i] = newLine(&lines[i])
	}
	slices.SortFunc(ls, byAge)
	bearers := make(map[Key][]int32)
	for i, l := range ls {
		for _, k := range l.keys {
			bearers[k] = append(bearers[k], int32(i))
		}
	}
	var pairs []uint64
	propose := func(i, j int32) { pairs = append(pairs, uint64(i)<<32|uint64(j)) }
	for k, who := range bearers {
		if len(who) < 2 || !counts.joins(k, len(who)) {
			continue
		}
		if len(who) > clique {
			for n := 1; n < len(who); n++ {
				propose(who[n-1], who[n])
			}
			continue
		}
		for n, i := range who {
			for _, j := range who[n+1:] {
				propose(i, j)
			}
		}
	}
	slices.Sort(pairs)
	pairs = slices.Compact(pairs)
	var edges []Edge
	for _, p := range pairs {
		edges = compare(edges, ls[p>>32], ls[p&math.MaxUint32], &counts)
	}
	slices.SortFunc(edges, compareEdges)
	return edges
}

func compareEdges(x, y Edge) int {
	if c := x.A.compare(y.A); c != 0 {
		return c
	}
	if c := x.B.compare(y.B); c != 0 {
		return c
	}
	if x.Scope != y.Scope {
		return int(x.Scope) - int(y.Scope)
	}
	return int(x.Kind) - int(y.Kind)
}

func byAge(a, b *line) int {
	switch {
	case a.First < b.First:
		return -1
	case a.First > b.First:
		return 1
	}
	return a.ID.compare(b.ID)
}

// Tells says whether a key that so many tenancies bear may join lines, so that
// its bearers need to be looked at.
func (c *Counts) Tells(k Key) bool { return c.joins(k, 0) }

func (c *Counts) joins(k Key, hand int) bool {
	switch k.Kind {
	case ContactKey, CNAMEKey:
		return max(c.Bearers[k], hand) <= popular
	case ControllerKey:
		return c.Controllers[k.Value].Dedication() >= weakController || c.same(k) > 0
	}
	return true
}

// same is what a controller says for one box, nats, when the header shape is the
// same as well.
func (c *Counts) same(k Key) float64 {
	n := c.Controllers[k.Value].all()
	if n > popular {
		return 0
	}
	return clamp(rarity(population, n), 0, controllerNats)
}

// line is a Line with its lists in order.
type line struct {
	*Line
	keys     []Key
	accounts []string
}

func newLine(l *Line) *line {
	accounts := slices.Clone(l.Accounts)
	slices.Sort(accounts)
	accounts = slices.Compact(accounts)
	return &line{Line: l, keys: l.Keys(), accounts: accounts}
}

// pair collects what is said of one pair.
type pair struct {
	rows []Edge
	a, b ID
	sum  [Hand + 1]float64
	pro  bool
	tell [Hand + 1]bool // whether rows are wanted
}

func (p *pair) add(scope Scope, kind Kind, nats float64, format string, args ...any) {
	// Three decimals, so that stores and renderings agree.
	nats = math.Round(nats*1e3) / 1e3
	if nats == 0 {
		return
	}
	p.pro = p.pro || nats > 0
	p.sum[scope] += nats
	if p.tell[scope] {
		p.rows = append(p.rows, Edge{A: p.a, B: p.b, Kind: kind, Scope: scope, Nats: nats, Reason: fmt.Sprintf(format, args...)})
	}
}

// compare appends what speaks for and against a and b.
func compare(edges []Edge, a, b *line, counts *Counts) []Edge {
	p := pair{a: a.ID, b: b.ID}
	if a.ID.compare(b.ID) > 0 {
		p.a, p.b = b.ID, a.ID
	}
	shared := common(a.keys, b.keys)
	p.weigh(a, b, shared, counts)
	// Reasons cost more than their weights, and most pairs are strangers.
	p.tell[Box], p.tell[Hand] = p.sum[Box] >= SameBox/2, p.sum[Hand] >= SameHand/2
	if !p.tell[Box] && !p.tell[Hand] {
		return edges
	}
	p.weigh(a, b, shared, counts)
	return append(edges, p.rows...)
}

func (p *pair) weigh(a, b *line, shared []Key, counts *Counts) {
	p.cards(a, b, shared, counts)
	p.accounts(a, b, shared, counts)
	p.names(a, b, counts)
	p.controllers(a, b, shared, counts)
	if !p.pro {
		return
	}
	h := handover(a.Line, b.Line)
	if h.nats != atOnce {
		// Two boxes of one lot have clocks as close; only where one box is still
		// possible does the clock speak for it.
		if c := clocks(a.ClockPPM, a.ClockErrorPPM, b.ClockPPM, b.ClockErrorPPM); c != 0 {
			p.add(Box, Clock, c, "sending clocks %.2f ppm apart", math.Abs(a.ClockPPM-b.ClockPPM))
		}
	}
	p.add(Box, Handover, h.nats, h.format, h.time)
}

func (p *pair) cards(a, b *line, shared []Key, counts *Counts) {
	n, fewest := 0, math.MaxInt
	for _, k := range shared {
		if k.Kind == CardKey {
			fewest = min(fewest, max(2, counts.Bearers[k]))
		}
	}
	if fewest == math.MaxInt {
		if len(a.Cards) >= 4 && len(b.Cards) >= 4 {
			p.add(Box, Cards, -1, "%d and %d cards, none the same", len(a.Cards), len(b.Cards))
		}
		return
	}
	for _, c := range a.Cards {
		if holds(shared, Key{CardKey, c.IMSI}) || holds(shared, Key{CardKey, c.ICCID}) {
			n++
		}
	}
	least := max(1, min(len(a.Cards), len(b.Cards)))
	n = min(n, least)
	const said = "%d of %d cards the same, known from %d lines"
	hand := min(rarity(identities, fewest), cardNats) + min(math.Log(float64(n)), 2.5)
	p.add(Hand, Cards, max(hand, 0), said, n, least, fewest)
	// Cards are carried from box to box; most of a set is not.
	box := hand
	switch {
	case 2*n < least || n == 1 && least > 2:
		box = min(box, 2.3)
	case n == 1:
		box -= 3
	case 5*n < 4*least:
		box -= 3
	}
	p.add(Box, Cards, max(box, 0), said, n, least, fewest)
}

func (p *pair) accounts(a, b *line, shared []Key, counts *Counts) {
	n := 0
	for i, j := 0, 0; i < len(a.accounts) && j < len(b.accounts); {
		switch x, y := a.accounts[i], b.accounts[j]; {
		case x == y:
			n++
			i++
			j++
		case x < y:
			i++
		default:
			j++
		}
	}
	fewest := math.MaxInt
	for _, k := range shared {
		if k.Kind == AccountKey {
			fewest = min(fewest, max(2, counts.Bearers[k]))
		}
	}
	if n == 0 || fewest == math.MaxInt {
		if len(a.accounts) > 0 && len(b.accounts) > 0 && n == 0 {
			p.add(Box, Accounts, -1.5, "no account the same")
		}
		return
	}
	union := len(a.accounts) + len(b.accounts) - n
	const said = "%d of %d accounts the same, known from %d lines"
	many := min(math.Log(float64(n)), 3)
	p.add(Hand, Accounts, max(min(rarity(identities, fewest), accountHand)+many, 0), said, n, union, fewest)
	box := min(rarity(population, fewest), accountNats) + many
	switch {
	case 5*n >= 4*union:
	case 2*n >= union:
		box -= 2
	default:
		box -= 5
	}
	p.add(Box, Accounts, max(box, 0), said, n, union, fewest)
}

// names weighs what a box calls itself and its place behind the NAT.
func (p *pair) names(a, b *line, counts *Counts) {
	if a.Contact != "" && b.Contact != "" {
		if f := max(2, counts.Bearers[Key{ContactKey, a.Contact}]); a.Contact != b.Contact {
			p.add(Box, Contact, -0.5, "another address behind the NAT")
		} else if f <= popular {
			p.add(Box, Contact, min(rarity(population, f), contactNats), "the same address behind the NAT, known from %d lines", f)
		}
	}
	if a.CNAME != "" && b.CNAME != "" {
		if f := max(2, counts.Bearers[Key{CNAMEKey, a.CNAME}]); a.CNAME != b.CNAME {
			p.add(Box, CNAME, -1, "another RTCP CNAME")
		} else if f <= popular {
			p.add(Box, CNAME, min(rarity(population, f), cnameNats), "the same RTCP CNAME, known from %d lines", f)
		}
	}
}

func (p *pair) controllers(a, b *line, shared []Key, counts *Counts) {
	var hand, box float64
	var by, at Controller
	for _, k := range shared {
		if k.Kind != ControllerKey {
			continue
		}
		c := counts.Controllers[k.Value]
		if d := c.Dedication(); d >= weakController && d > hand {
			hand, by = d, c
		}
		if s := counts.same(k); s > box {
			box, at = s, c
		}
	}
	known := a.Stack != "" && b.Stack != ""
	if known && a.Stack != b.Stack {
		p.add(Box, ControllerStack, otherShape, "SIP messages of another shape")
		if hand > 0 {
			hand = max(hand-3, 0)
		}
	} else if known {
		p.add(Box, ControllerStack, box, "one controller of %d lines, SIP messages of one shape", at.all())
	}
	if hand > 0 && elsewhere(a.Line, b.Line) {
		hand = max(hand+otherHand, 0)
	}
	p.add(Hand, ControllerStack, hand, "one controller of %d lines, %d of them suspect, in %d shapes of SIP messages", by.all(), by.Watch, by.Shapes)
}

// elsewhere says whether both lines have a far end of one role, of the sort that
// one hand has one of, and not the same.
func elsewhere(a, b *Line) bool {
	for _, role := range [...]string{"sim-bank", "sms-server", "management"} {
		at, bt := a.ends(role), b.ends(role)
		if len(at) == 0 || len(bt) == 0 {
			continue
		}
		if !slices.ContainsFunc(at, func(x string) bool { return slices.Contains(bt, x) }) {
			return true
		}
	}
	return false
}

// common gives the keys that both ordered lists have.
func common(a, b []Key) []Key {
	var out []Key
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch c := CompareKeys(a[i], b[j]); {
		case c == 0:
			out = append(out, a[i])
			i++
			j++
		case c < 0:
			i++
		default:
			j++
		}
	}
	return out
}

func holds(keys []Key, k Key) bool {
	if k.Value == "" {
		return false
	}
	_, ok := slices.BinarySearchFunc(keys, k, CompareKeys)
	return ok
}
