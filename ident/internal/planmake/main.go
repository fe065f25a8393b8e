// Command planmake writes the tables of numbering plans that ident embeds, from
// the public metadata of libphonenumber: world.txt for all regions, and
// areas_cn.txt for the area codes of mainland China. It turns their regular
// expressions into prefixes, so that a look-up walks digits and no more.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp/syntax"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: planmake FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "planmake:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	world, err := world()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "world.txt"), world, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "areas_cn.txt"), areas(), 0o644)
}

// maxLength is of a national number (libphonenumber, MAX_LENGTH_FOR_NSN).
const maxLength = 17

func world() ([]byte, error) {
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		return nil, err
	}
	short, err := phonenumbers.ShortNumberMetadataCollection()
	if err != nil {
		return nil, err
	}
	shorts := make(map[string]*phonenumbers.PhoneMetadata)
	for _, m := range short.GetMetadata() {
		shorts[m.GetId()] = m
	}
	regions := slices.Clone(all.GetMetadata())
	sort.Slice(regions, func(i, j int) bool { return regions[i].GetId() < regions[j].GetId() })
	var b bytes.Buffer
	b.WriteString("# Numbering plans, written by planmake from libphonenumber's metadata (Apache License 2.0).\n")
	b.WriteString("# REGION CODE TRUNK ACCESS,... LEADING,... then LENGTH KIND:PREFIX,... of national numbers; ident/world.go reads it.\n")
	for _, m := range regions {
		if m.GetId() == "001" {
			continue // of no region
		}
		cc := int(m.GetCountryCode())
		main := phonenumbers.GetRegionCodeForCountryCode(cc) == m.GetId()
		leading := "-"
		if !main {
			if leading = strings.Join(leadingDigits(m), ","); leading == "" {
				leading = "?" // not told apart by its first digits
			}
		}
		access := strings.Join(literals(m.GetInternationalPrefix(), 6, 40), ",")
		trunk := m.GetNationalPrefix()
		if trunk == "" {
			trunk = "-"
		}
		if access == "" {
			access = "-"
		}
		fmt.Fprintf(&b, "%s %d %s %s %s%s\n", m.GetId(), cc, trunk, access, leading, rules(m, shorts[m.GetId()]))
	}
	return b.Bytes(), nil
}

// leadingDigits are those that tell a region from others with its code.
func leadingDigits(m *phonenumbers.PhoneMetadata) (out []string) {
	if l := m.GetLeadingDigits(); l != "" {
		return literals(l, 6, 64)
	}
	if m.GetCountryCode() != 1 {
		return nil
	}
	fixed := newMatcher(m.GetFixedLine(), false)
	for area := 200; area < 1000; area++ {
		if fixed.matches(strconv.Itoa(area) + "2345678") {
			out = append(out, strconv.Itoa(area))
		}
	}
	return out
}

// literals lists the digit strings that an expression stands for, none where
// there are too many or they are too long.
func literals(pattern string, longest, most int) (out []string) {
	if pattern == "" {
		return nil
	}
	m := newPattern(strings.ReplaceAll(pattern, "~", ""))
	var walk func(set []uint32, s string)
	walk = func(set []uint32, s string) {
		if len(set) == 0 || len(out) > most {
			return
		}
		if m.accepts(set) {
			out = append(out, s)
		}
		if len(s) == longest {
			return
		}
		for d := byte('0'); d <= '9'; d++ {
			walk(m.step(set, rune(d)), s+string(d))
		}
	}
	walk(m.start(), "")
	if len(out) > most {
		return nil
	}
	sort.Strings(out)
	return out
}

// pattern is an expression that is walked a digit at a time.
type pattern struct{ prog *syntax.Prog }

func newPattern(s string) *pattern {
	re, err := syntax.Parse(`\A(?:`+s+`)\z`, syntax.Perl)
	if err != nil {
		panic(err)
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		panic(err)
	}
	return &pattern{prog}
}

func (p *pattern) start() []uint32 { return p.close([]uint32{uint32(p.prog.Start)}, true) }

func (p *pattern) close(from []uint32, begin bool) (out []uint32) {
	seen := make(map[uint32]bool)
	var add func(pc uint32)
	add = func(pc uint32) {
		if seen[pc] {
			return
		}
		seen[pc] = true
		switch i := p.prog.Inst[pc]; i.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			add(i.Out)
			add(i.Arg)
		case syntax.InstCapture, syntax.InstNop:
			add(i.Out)
		case syntax.InstEmptyWidth:
			if begin && syntax.EmptyOp(i.Arg)&^(syntax.EmptyBeginText|syntax.EmptyBeginLine) == 0 {
				add(i.Out)
			} else {
				out = append(out, pc) // an end, looked at by accepts
			}
		case syntax.InstFail:
		default:
			out = append(out, pc)
		}
	}
	for _, pc := range from {
		add(pc)
	}
	slices.Sort(out)
	return out
}

func (p *pattern) step(set []uint32, r rune) []uint32 {
	var next []uint32
	for _, pc := range set {
		switch i := p.prog.Inst[pc]; i.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if i.MatchRune(r) {
				next = append(next, i.Out)
			}
		}
	}
	return p.close(next, false)
}

func (p *pattern) accepts(set []uint32) bool {
	for _, pc := range set {
		for i := p.prog.Inst[pc]; ; i = p.prog.Inst[i.Out] {
			if i.Op == syntax.InstMatch {
				return true
			}
			if i.Op != syntax.InstEmptyWidth && i.Op != syntax.InstCapture && i.Op != syntax.InstNop {
				break
			}
		}
	}
	return false
}

// matcher is one description of the metadata.
type matcher struct {
	*pattern
	lengths map[int]bool // nil: any
}

func newMatcher(d *phonenumbers.PhoneNumberDesc, anyLength bool) *matcher {
	if d == nil || d.GetNationalNumberPattern() == "" || d.GetNationalNumberPattern() == "NA" {
		return nil
	}
	m := &matcher{pattern: newPattern(d.GetNationalNumberPattern())}
	if ls := d.GetPossibleLength(); len(ls) > 0 && !anyLength {
		m.lengths = make(map[int]bool)
		for _, l := range ls {
			m.lengths[int(l)] = true
		}
	}
	return m
}

func (m *matcher) fits(set []uint32, n int) bool {
	return m != nil && (m.lengths == nil || m.lengths[n]) && m.accepts(set)
}

func (m *matcher) matches(s string) bool {
	if m == nil {
		return false
	}
	set := m.start()
	for _, r := range s {
		set = m.step(set, r)
	}
	return m.fits(set, len(s))
}

// The kinds of national numbers, as ident/world.go reads them. The order of the
// descriptions is that of libphonenumber's getNumberType.
const (
	kindNone      = 'n'
	kindEmergency = 'x'
	kindService   = 's'
	kindOther     = 'o'
	kindFixed     = 'f'
	kindMobile    = 'm'
	kindEither    = 'e'
	kindShort     = 'c'
)

type region struct {
	descs []*matcher
	same  bool
	memo  map[string]*tree
}

const (
	general = iota
	premium
	tollFree
	shared
	voip
	personal
	pager
	uan
	voicemail
	fixed
	mobile
	emergency
	shortCode
)

func newRegion(m, short *phonenumbers.PhoneMetadata) *region {
	r := &region{same: m.GetSameMobileAndFixedLinePattern(), memo: make(map[string]*tree)}
	for _, d := range []*phonenumbers.PhoneNumberDesc{m.GetGeneralDesc(), m.GetPremiumRate(), m.GetTollFree(), m.GetSharedCost(), m.GetVoip(),
		m.GetPersonalNumber(), m.GetPager(), m.GetUan(), m.GetVoicemail(), m.GetFixedLine(), m.GetMobile()} {
		r.descs = append(r.descs, newMatcher(d, false))
	}
	if short == nil {
		r.descs = append(r.descs, nil, nil)
		return r
	}
	r.descs = append(r.descs, newMatcher(short.GetEmergency(), false), newMatcher(short.GetShortCode(), false))
	return r
}

// tree is what the numbers of one length below a prefix are.
type tree struct {
	kind  byte // of most
	child *[10]*tree
}

func (r *region) build(sets [][]uint32, depth, length int) *tree {
	key := fmt.Sprint(length-depth, length, sets)
	if t := r.memo[key]; t != nil {
		return t
	}
	t := &tree{kind: kindNone}
	defer func() { r.memo[key] = t }()
	dead := true
	for _, s := range sets {
		dead = dead && len(s) == 0
	}
	if dead {
		return t
	}
	if depth == length {
		t.kind = r.judge(sets, length)
		return t
	}
	var child [10]*tree
	count := make(map[byte]int)
	uniform := true
	for d := range 10 {
		next := make([][]uint32, len(sets))
		for i, s := range sets {
			if len(s) > 0 {
				next[i] = r.descs[i].step(s, rune('0'+d))
			}
		}
		child[d] = r.build(next, depth+1, length)
		count[child[d].kind]++
		uniform = uniform && child[d].child == nil && child[d].kind == child[0].kind
	}
	if uniform {
		t.kind = child[0].kind
		return t
	}
	best := 0
	for _, k := range []byte{kindNone, kindFixed, kindMobile, kindEither, kindService, kindOther, kindEmergency, kindShort} {
		if count[k] > best {
			t.kind, best = k, count[k]
		}
	}
	t.child = &child
	return t
}

func (r *region) judge(sets [][]uint32, n int) byte {
	fits := func(i int) bool { return r.descs[i].fits(sets[i], n) }
	if fits(emergency) {
		return kindEmergency
	}
	if fits(general) {
		switch {
		case fits(premium), fits(tollFree), fits(shared), fits(uan), fits(voicemail):
			// The order among these and the next three never matters here: both
			// are "neither mobile nor fixed".
			return kindService
		case fits(voip), fits(personal), fits(pager):
			return kindOther
		case fits(fixed) && (r.same || fits(mobile)):
			return kindEither
		case fits(fixed):
			return kindFixed
		case !r.same && fits(mobile):
			return kindMobile
		}
	}
	if fits(shortCode) {
		return kindShort
	}
	return kindNone
}

// rules writes what the numbers of a region are, for each length and kind the
// prefixes; the longest prefix that fits counts.
func rules(m, short *phonenumbers.PhoneMetadata) string {
	r := newRegion(m, short)
	var b strings.Builder
	for length := 2; length <= maxLength; length++ {
		sets := make([][]uint32, len(r.descs))
		for i, d := range r.descs {
			if d != nil && (d.lengths == nil || d.lengths[length]) {
				sets[i] = d.start()
			}
		}
		by := make(map[byte][]string)
		var emit func(t *tree, prefix string, inherited byte)
		emit = func(t *tree, prefix string, inherited byte) {
			if t.kind != inherited {
				by[t.kind] = append(by[t.kind], prefix)
			}
			if t.child != nil {
				for d, c := range t.child {
					emit(c, prefix+string(rune('0'+d)), t.kind)
				}
			}
		}
		emit(r.build(sets, 0, length), "", kindNone)
		for _, k := range []byte{kindEmergency, kindMobile, kindFixed, kindEither, kindService, kindOther, kindShort, kindNone} {
			if list := by[k]; len(list) > 0 {
				fmt.Fprintf(&b, " %d%c:%s", length, k, ranges(list))
			}
		}
	}
	return b.String()
}

// ranges puts neighbours together: 31,32,33 is 31-3.
func ranges(list []string) string {
	slices.SortFunc(list, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	var out []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && len(list[j+1]) == len(list[i]) && len(list[i]) > 0 &&
			list[j+1][:len(list[i])-1] == list[i][:len(list[i])-1] && list[j+1][len(list[i])-1] == list[j][len(list[i])-1]+1 {
			j++
		}
		s := list[i]
		if j > i {
			s += "-" + list[j][len(list[j])-1:]
		}
		out = append(out, s)
		i = j + 1
	}
	return strings.Join(out, ",")
}

// areas lists the area codes of mainland China: the code with its trunk digit
// and the place.
func areas() []byte {
	var b bytes.Buffer
	b.WriteString("# Area codes of mainland China, written by planmake from libphonenumber's metadata and geocoding data (Apache License 2.0).\n")
	b.WriteString("# CODE PLACE\n")
	var codes []string
	codes = append(codes, "10")
	for n := 20; n < 30; n++ {
		codes = append(codes, strconv.Itoa(n))
	}
	for n := 300; n < 1000; n++ {
		codes = append(codes, strconv.Itoa(n))
	}
	for _, code := range codes {
		exists, place := false, ""
		for _, local := range []string{"2345678", "5345678", "8345678", "23456789", "52345678", "83456789"} {
			n, err := phonenumbers.Parse("+86"+code+local, "CN")
			exists = exists || err == nil && phonenumbers.GetNumberType(n) == phonenumbers.FIXED_LINE
		}
		for _, local := range []string{"52345678", "5234567"} {
			n, err := phonenumbers.Parse("+86"+code+local, "CN")
			if err != nil {
				continue
			}
			if s, err := phonenumbers.GetGeocodingForNumber(n, "en"); err == nil && s != "" && s != "China" {
				place = s
				break
			}
		}
		if place == "" {
			place = "-"
		}
		if exists {
			fmt.Fprintf(&b, "0%s %s\n", code, place)
		}
	}
	return b.Bytes()
}
