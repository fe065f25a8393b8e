package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Language is what people read. JSON is English whatever is chosen.
type Language uint8

const (
	English Language = iota
	Chinese          // simplified characters, zh-CN
)

// ParseLanguage takes "en" or "zh", with a region or an encoding behind it if
// need be ("zh-CN", "zh_CN.UTF-8").
func ParseLanguage(s string) (Language, error) {
	name, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(s), "_", "-"), ".")
	switch name {
	case "en", "en-gb", "en-us":
		return English, nil
	case "zh", "zh-cn", "zh-hans", "zh-hans-cn":
		return Chinese, nil
	}
	return English, fmt.Errorf("%q is no language of simtrap: want en or zh", s)
}

// Tag is the language's name after RFC 5646.
func (l Language) Tag() string {
	if l == Chinese {
		return "zh-CN"
	}
	return "en"
}

// translator puts English sentences into another language. English is the
// source of everything: signals are told by package heuristics in English
// sentences, and what a sentence says in another language stands in one table,
// by its pattern. A sentence without a pattern is left in English, so nothing
// is ever lost; a test holds that the sentences of all cases have one.
//
// A pattern is an English sentence with holes:
//
//	%d    a number
//	%s    words, translated in their turn
//	%S    words, as many as there are
//	%w    words without a comma, translated
//	%q    text that is left as it is
//	%c    such text without a comma
//	(s)   nothing or an s; (ies) a y or ies
//
// The translation names the holes {1}, {2} and so on, in any order.
type translator struct {
	exact    map[string]string
	patterns []pattern
	// What stands between the parts of a list, before one, behind a sentence, and
	// around an aside.
	comma, semicolon, colon, stop, open, close string
}

type pattern struct {
	re    *regexp.Regexp
	holes []byte // the letter of each hole
	to    string
	plain int // how much of it is no hole: what says more is tried first
}

// newTranslator reads the table of a language; nil for English.
func newTranslator(l Language) *translator {
	if l != Chinese {
		return nil
	}
	t := &translator{exact: make(map[string]string), comma: "，", semicolon: "；", colon: "：", stop: "。", open: "（", close: "）"}
	for _, e := range chinese() {
		t.add(e[0], e[1])
	}
	t.order()
	return t
}

// order puts first what says more.
func (t *translator) order() {
	slices.SortStableFunc(t.patterns, func(a, b pattern) int { return cmp.Compare(b.plain, a.plain) })
}

func (t *translator) add(from, to string) {
	if !strings.ContainsAny(from, "%(") {
		t.exact[from] = to
		return
	}
	p := pattern{to: to}
	var re strings.Builder
	re.WriteString(`^(?s:`)
	for rest := from; rest != ""; {
		hole := ""
		for _, h := range [...]struct{ mark, re string }{
			{"%d", `([-+]?[0-9][0-9,.]*)`}, {"%s", `(.+?)`}, {"%S", `(.+)`}, {"%w", `([^,]+?)`}, {"%q", `(.*)`}, {"%c", `([^,]*)`}, {"%%", `%`}, {"(s)", `s?`}, {"(ies)", `(?:y|ies)`},
		} {
			if strings.HasPrefix(rest, h.mark) {
				hole = h.mark
				re.WriteString(h.re)
			}
		}
		switch hole {
		case "":
			re.WriteString(regexp.QuoteMeta(rest[:1]))
			rest = rest[1:]
			p.plain++
			continue
		case "%d", "%s", "%S", "%w", "%q", "%c":
			p.holes = append(p.holes, hole[1])
		}
		rest = rest[len(hole):]
	}
	re.WriteString(`)$`)
	p.re = regexp.MustCompile(re.String())
	t.patterns = append(t.patterns, p)
}

// text translates a word or sentence; what the table does not know is given
// back as it is.
func (t *translator) text(s string) string {
	if t == nil {
		return s
	}
	out, _ := t.try(s, 4)
	return out
}

// mark is the language's own for ", ", "; ", ": " or ". ".
func (t *translator) mark(english string) string {
	if t == nil {
		return english
	}
	switch english {
	case ", ":
		return t.comma
	case "; ":
		return t.semicolon
	case ": ":
		return t.colon
	}
	return t.stop
}

// maxSentence is the longest text that is looked up: a stranger chooses some.
const maxSentence = 2048

// try translates s and says whether all of it was known.
func (t *translator) try(s string, depth int) (string, bool) {
	if to, ok := t.exact[s]; ok {
		return to, true
	}
	if technical(s) {
		return s, true
	}
	if depth == 0 || len(s) > maxSentence {
		return s, false
	}
	best, found := "", false
	for i := range t.patterns {
		p := &t.patterns[i]
		m := p.re.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		out, ok := t.fill(p, m[1:], depth-1)
		if ok {
			return out, true
		}
		if !found {
			best, found = out, true
		}
	}
	for _, sep := range [...]struct{ from, to string }{{"; ", t.semicolon}, {", ", t.comma}} {
		parts := strings.Split(s, sep.from)
		if len(parts) < 2 {
			continue
		}
		all, any := true, false
		for i, part := range parts {
			out, ok := t.try(part, depth-1)
			parts[i] = out
			all = all && ok
			any = any || ok && out != part
		}
		if all || any && !found {
			return strings.Join(parts, sep.to), all
		}
	}
	if found {
		return best, false
	}
	return s, false
}

// fill puts what the holes held into the translation.
func (t *translator) fill(p *pattern, held []string, depth int) (string, bool) {
	ok := true
	var b strings.Builder
	for rest := p.to; rest != ""; {
		if n := len(rest); n >= 3 && rest[0] == '{' && rest[2] == '}' {
			if at, err := strconv.Atoi(rest[1:2]); err == nil && at >= 1 && at <= len(held) {
				s := held[at-1]
				if h := p.holes[at-1]; h == 's' || h == 'S' || h == 'w' {
					var known bool
					s, known = t.try(s, depth)
					ok = ok && known
				}
				b.WriteString(s)
				rest = rest[3:]
				continue
			}
		}
		b.WriteByte(rest[0])
		rest = rest[1:]
	}
	return b.String(), ok
}

// technical says whether s reads the same in every language: an address, a
// protocol's name, a number.
func technical(s string) bool {
	if s == "" {
		return true
	}
	digit, upper := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= 'a' && c <= 'z':
		case strings.IndexByte("_.:/~*+-", c) >= 0:
			digit = digit || c != '-'
		default:
			return false
		}
	}
	return digit || upper || strings.Contains(s, "-")
}
