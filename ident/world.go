package ident

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:generate go run ./internal/planmake .

// worldTable has the numbering plans of all regions, written by planmake.
//
//go:embed world.txt
var worldTable string

// planKind is what a national number is; the letters are those of the table.
type planKind byte

const (
	kindNone      planKind = 0
	kindEmergency planKind = 'x'
	kindService   planKind = 's' // toll-free, premium, shared cost, company and voice mail numbers
	kindOther     planKind = 'o' // personal numbers, voice over IP, pagers
	kindFixed     planKind = 'f'
	kindMobile    planKind = 'm'
	kindEither    planKind = 'e' // fixed and mobile numbers look alike, as in North America
	kindShort     planKind = 'c'
)

// class gives kindEither no class: a number is never made mobile by guessing.
func (k planKind) class() NumberClass {
	switch k {
	case kindEmergency:
		return NumberEmergency
	case kindService, kindShort:
		return NumberShort
	case kindFixed:
		return NumberLandline
	case kindMobile:
		return NumberMobile
	}
	return NumberUnknown
}

// subscribed says whether a number of this kind has a country code before it
// when it is called from abroad.
func (k planKind) subscribed() bool {
	return k == kindService || k == kindOther || k == kindFixed || k == kindMobile || k == kindEither
}

// maxNational is the digits of the longest national number.
const maxNational = 17

// world is the plan of one region, and the country codes of all.
type world struct {
	region string
	code   string // country code
	trunk  string
	access []string
	nodes  []planNode
	codes  *codeTree
}

// planNode is a prefix: what the numbers are that begin with it, by length, and
// its longer prefixes (0: none).
type planNode struct {
	child [10]uint16
	kind  [maxNational + 1]planKind // kindNone: what the shorter prefix says
}

// kindNo in a node says that the number does not exist, whatever the shorter
// prefix says.
const kindNo planKind = 'n'

// kind walks the digits; the longest prefix that says something counts.
func (w *world) kind(d []byte) planKind {
	if len(d) > maxNational {
		return kindNone
	}
	at, k := 0, w.nodes[0].kind[len(d)]
	for _, c := range d {
		if at = int(w.nodes[at].child[c-'0']); at == 0 {
			break
		}
		if x := w.nodes[at].kind[len(d)]; x != kindNone {
			k = x
		}
	}
	if k == kindNo {
		return kindNone
	}
	return k
}

// codeTree knows country codes, and where regions share one, what tells them
// apart.
type codeTree struct {
	nodes   []codeNode
	regions []string
}

type codeNode struct {
	child   [10]uint16
	region  uint16 // index in regions, 0 for none
	code    uint8  // digits of the country code that ends here or above
	lengths uint32 // bits: of mobile and fixed numbers, without the code
}

// find gives the region of an international number without its "+", and
// whether a telephone number can have that length; the region is empty when
// there is no such country code.
func (t *codeTree) find(d []byte) (region string, possible bool) {
	at, last := 0, 0
	for _, c := range d {
		if at = int(t.nodes[at].child[c-'0']); at == 0 {
			break
		}
		if t.nodes[at].region != 0 {
			last = at
		}
	}
	if last == 0 {
		return "", false
	}
	n := &t.nodes[last]
	return t.regions[n.region], n.lengths>>min(len(d)-int(n.code), 31)&1 != 0
}

func (t *codeTree) add(prefix, code string, region uint16, lengths uint32) {
	at := 0
	for _, c := range prefix {
		next := t.nodes[at].child[c-'0']
		if next == 0 {
			next = uint16(len(t.nodes))
			t.nodes[at].child[c-'0'] = next
			t.nodes = append(t.nodes, codeNode{})
		}
		at = int(next)
	}
	t.nodes[at].region, t.nodes[at].code, t.nodes[at].lengths = region, uint8(len(code)), lengths
}

// regionRow is one line of the table, cut into its fields.
type regionRow struct {
	region, code, trunk string
	access, leading     []string
	rules               []string
}

func eachRegion(each func(r *regionRow)) {
	orNone := func(s string) []string {
		if s == "-" || s == "?" {
			return nil
		}
		return strings.Split(s, ",")
	}
	for line := range strings.Lines(worldTable) {
		if line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		r := regionRow{region: f[0], code: f[1], trunk: f[2], access: orNone(f[3]), leading: orNone(f[4]), rules: f[5:]}
		if r.trunk == "-" {
			r.trunk = ""
		}
		if f[4] == "-" {
			r.leading = []string{""} // the main one of its country code
		}
		each(&r)
	}
}

// countryCodes reads the country codes of the table.
func countryCodes() *codeTree {
	t := &codeTree{nodes: make([]codeNode, 1), regions: []string{""}}
	eachRegion(func(r *regionRow) {
		var lengths uint32
		for _, rule := range r.rules {
			n, kind, _ := cutRule(rule)
			if kind == kindMobile || kind == kindFixed || kind == kindEither {
				lengths |= 1 << n
			}
		}
		t.regions = append(t.regions, r.region)
		for _, l := range r.leading {
			t.add(r.code+l, r.code, uint16(len(t.regions)-1), lengths)
		}
	})
	return t
}

// cutRule takes "9m:6-7,695" apart.
func cutRule(s string) (length int, kind planKind, prefixes string) {
	i := 0
	for ; s[i] <= '9'; i++ {
		length = length*10 + int(s[i]-'0')
	}
	return length, planKind(s[i]), s[i+2:]
}

// worldPlan gives the plan of a region by its two letters (ISO 3166-1), nil
// where there is none.
func worldPlan(region string) *Plan {
	region = strings.ToUpper(region)
	var w *world
	eachRegion(func(r *regionRow) {
		if r.region != region {
			return
		}
		w = &world{region: r.region, code: r.code, trunk: r.trunk, access: r.access, nodes: make([]planNode, 1)}
		for _, rule := range r.rules {
			length, kind, prefixes := cutRule(rule)
			for _, p := range strings.Split(prefixes, ",") {
				w.add(p, length, kind)
			}
		}
	})
	if w == nil {
		return nil
	}
	w.codes = countryCodes()
	return &Plan{name: strings.ToLower(region), region: region, codes: w.codes, world: w}
}

// add sets a prefix, or a range of its last digit such as 31-3.
func (w *world) add(prefix string, length int, kind planKind) {
	last := byte(0)
	if i := strings.IndexByte(prefix, '-'); i >= 0 {
		prefix, last = prefix[:i], prefix[i+1]
	}
	at := 0
	for i := range len(prefix) {
		next := w.nodes[at].child[prefix[i]-'0']
		if next == 0 {
			next = w.grow(at, prefix[i])
		}
		if i == len(prefix)-1 {
			for c := prefix[i] + 1; c <= last; c++ {
				n := w.nodes[at].child[c-'0']
				if n == 0 {
					n = w.grow(at, c)
				}
				w.nodes[n].kind[length] = kind
			}
		}
		at = int(next)
	}
	w.nodes[at].kind[length] = kind
}

func (w *world) grow(at int, digit byte) uint16 {
	n := uint16(len(w.nodes))
	w.nodes[at].child[digit-'0'] = n
	w.nodes = append(w.nodes, planNode{})
	return n
}

// dialled judges b[1:]; b[0] is a "+". National numbers come out as "+" and
// country code, services and emergency numbers as they were dialled.
func (w *world) dialled(b []byte, plus bool) ([]byte, planKind, NumberClass) {
	d := b[1:]
	if plus {
		return w.global(b)
	}
	if k := w.kind(d); k == kindEmergency || k == kindShort {
		return d, k, k.class()
	}
	if n := len(w.trunk); n > 0 && len(d) > n && string(d[:n]) == w.trunk {
		if k := w.kind(d[n:]); k.subscribed() {
			return w.e164(b, d[n:]), k, k.class()
		}
	}
	for _, access := range w.access {
		if n := len(access); len(d) >= n+7 && string(d[:n]) == access && d[n] != '0' {
			b[n] = '+'
			if number, k, class := w.global(b[n:]); class != NumberUnknown || k != kindNone {
				return number, k, class
			}
			b[n] = access[n-1]
		}
	}
	if n := len(w.code); len(d) > n && string(d[:n]) == w.code {
		if k := w.kind(d[n:]); k.subscribed() {
			return w.e164(b, d[n:]), k, k.class()
		}
	}
	if k := w.kind(d); k.subscribed() && (w.bare() || !w.abroad(d)) {
		return w.e164(b, d), k, k.class()
	}
	if s := string(d); s == "112" || s == "911" {
		return d, kindEmergency, NumberEmergency // ITU-T E.161.1, whatever the country's own
	}
	if len(d) >= 2 && len(d) <= 5 {
		return d, kindNone, NumberInternal
	}
	return d, kindNone, NumberUnknown
}

// bare says whether national numbers are dialled without a trunk prefix, so
// that without one they are no less likely than another country's number.
func (w *world) bare() bool { return w.trunk == "" || w.code == "1" }

// abroad says whether d reads like another country's number without its "+".
func (w *world) abroad(d []byte) bool {
	_, possible := w.codes.find(d)
	return possible && foreignNumber(d)
}

// global judges "+" and digits.
func (w *world) global(b []byte) ([]byte, planKind, NumberClass) {
	d := b[1:]
	if len(d) == 0 {
		return nil, kindNone, NumberUnknown
	}
	if n := len(w.code); len(d) > n && string(d[:n]) == w.code {
		nsn := d[n:]
		if k := w.kind(nsn); k.subscribed() {
			return b, k, k.class()
		}
		// "+44 (0)20 ..."
		if t := len(w.trunk); t > 0 && len(nsn) > t && string(nsn[:t]) == w.trunk {
			if k := w.kind(nsn[t:]); k.subscribed() {
				return w.e164(b, nsn[t:]), k, k.class()
			}
		}
	}
	if region, _ := w.codes.find(d); region != "" && region != w.region && len(d) >= 7 && len(d) <= 15 {
		return b, kindNone, NumberForeign
	}
	return b, kindNone, NumberUnknown // without its "+" it may read like one of this country
}

// e164 writes "+", country code and number to the room that b has.
func (w *world) e164(b, nsn []byte) []byte {
	n := 1 + len(w.code)
	b = slices.Grow(b[:0], n+len(nsn))[:n+len(nsn)]
	copy(b[n:], nsn)
	b[0] = '+'
	copy(b[1:n], w.code)
	return b
}

// describe tells of a number that Classify gave.
func (p *Plan) describeWorld(number []byte, class NumberClass) (d Description) {
	d.Class = class
	w := p.world
	if class == NumberForeign || class == NumberInternal {
		return d
	}
	d.Region = w.region
	nsn := number
	if len(nsn) > 0 && nsn[0] == '+' {
		nsn = bytes.TrimPrefix(nsn[1:], []byte(w.code))
	}
	switch k := w.kind(nsn); {
	case len(number) == 0 || class == NumberUnknown && k != kindEither && k != kindOther:
		d.Region = ""
	case k == kindEither:
		d.Either = true
	}
	return d
}

// Regions lists what ParsePlan takes besides "generic", two letters each.
func Regions() (out []string) {
	eachRegion(func(r *regionRow) { out = append(out, strings.ToLower(r.region)) })
	return out
}

func unknownPlan(name string) error {
	return fmt.Errorf("numbering plan %q: want the two letters of a country such as cn, th or gh, or generic", name)
}
