package pages

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"simtrap/hub/people"
	"simtrap/report"
	"simtrap/report/querypb"
)

var (
	translated = regexp.MustCompile(`\btr "((?:[^"\\]|\\.)*)"`)
	quoted     = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	listed     = regexp.MustCompile(`range \$[vx] := list ((?:"[^"]*" ?)+)`)
)

// TestWords: whatever pages say of their own has a translation.
func TestWords(t *testing.T) {
	var said []string
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := templateFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range translated.FindAllStringSubmatch(string(text), -1) {
			said = append(said, m[1])
		}
		for _, m := range listed.FindAllStringSubmatch(string(text), -1) {
			for _, q := range quoted.FindAllStringSubmatch(m[1], -1) {
				if !slices.Contains([]string{"jsonl", "csv", "stix"}, q[1]) {
					said = append(said, q[1])
				}
			}
		}
	}
	if len(said) < 150 {
		t.Fatalf("only %d words in the templates", len(said))
	}
	for _, p := range places() {
		said = append(said, p.name)
	}
	for _, r := range people.Roles() {
		said = append(said, string(r))
	}
	for k := aController; k < kinds; k++ {
		said = append(said, node{Kind: k}.KindName())
	}
	for o := range querypb.Outcome_name {
		said = append(said, outcomeName(querypb.Outcome(o)))
	}
	for s := range querypb.CaseState_name {
		said = append(said, stateName(querypb.CaseState(s)))
	}
	for l := range querypb.LinkKind_name {
		said = append(said, linkName(querypb.LinkKind(l)))
	}
	for _, err := range []error{errNone, errForged, errMay, errInvalid, errSignIn, people.ErrLogin, people.ErrSession, people.ErrBusy} {
		said = append(said, err.Error())
	}
	said = append(said,
		"has never reported", "does not report", "its certificate has ended", "its clock is off by more than a second", "records are missing",
		"Problem", "Line", "Box", "Ring", "Controller", "Case", "Not shown", "Sign in", "Active", "History", "Graph", "Clocks as a table",
		"seen on", "links", "controllers", "boxes", "lines", "cards", "the card was seen there", "1 time active", "7 times active", "1 call on 1 row", "12 revisions", "1 reading", "3.5 s",
		"2 controllers, 1 box node, 7 lines, 0 cards", "finding 0123abcd", "box 0123abcd",
		"filter: lines: more of an address than /24 (IPv6: /48) needs an authority", "there is none of that id", "the hub is busy; ask again",
		"this account may not see addresses of lines in clear; ask for them without an authority",
		"the hub's store failed; its log says how", "the hub failed; its log says how", "authority: a blank text names none", "title: a case needs one",
		"a view has a name of 1 to 40 characters", "a comment without words", "the line has no such finding",
		"the use of the authority could not be written down, so nothing is shown", "the change could not be written down, so nothing is changed",
		"id: want 32 hexadecimal digits, as lists give them",
	)
	parts := report.NewParts(report.Chinese, chinese()...)
	slices.Sort(said)
	for _, s := range slices.Compact(said) {
		s = strings.ReplaceAll(s, `\"`, `"`)
		if s != "" && !parts.Known(s) {
			t.Errorf("%q has no translation", s)
		}
		if out := parts.Text(s); s != "" && !strings.ContainsFunc(out, func(r rune) bool { return unicode.Is(unicode.Han, r) }) && strings.ContainsFunc(s, unicode.IsLower) && out != "nat" && !strings.HasPrefix(out, "nat（") {
			t.Errorf("%q reads %q in Chinese", s, out)
		}
	}
}
