package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"simtrap/cmd/internal/command"
	"simtrap/lab"
)

// searcher finds any of many texts of four bytes or more.
type searcher struct {
	first [1 << 16]bool // by their first two bytes
	of    map[[4]byte][]string
}

func newSearcher(list map[string]bool) *searcher {
	s := &searcher{of: make(map[[4]byte][]string)}
	for x := range list {
		s.first[int(x[0])<<8|int(x[1])] = true
		s.of[[4]byte([]byte(x))] = append(s.of[[4]byte([]byte(x))], x)
	}
	return s
}

// found gives those that a text has. A short one must stand for itself: its digits are
// in some pseudonym or number by chance.
func (s *searcher) found(text []byte) map[string]bool {
	word := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-'
	}
	found := make(map[string]bool)
	for i := 0; i+4 <= len(text); i++ {
		if !s.first[int(text[i])<<8|int(text[i+1])] {
			continue
		}
		for _, x := range s.of[[4]byte(text[i:])] {
			end := i + len(x)
			if end > len(text) || string(text[i:end]) != x {
				continue
			}
			if len(x) >= 8 || (i == 0 || !word(text[i-1])) && (end == len(text) || !word(text[end])) {
				found[x] = true
			}
		}
	}
	return found
}

// Whatever a command prints or writes about a capture, without an authority nobody in it
// can be known by it, and what was said or what opens a gateway stands nowhere at all.
// (TestEvidenceTellsNobody looks through bundles, simtrap/hub/bundles through what a
// daemon keeps and what a hub shows.)
func TestCommandsTellNobody(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	path := func(name string) string { return filepath.Join(dir, name) }
	var raw, records bytes.Buffer
	truth, err := lab.Make(&raw, lab.Options{Scenario: "goip-line", Seed: 3, Duration: 25 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	_, err = lab.RecordsOf(&records, truth, lab.City{Cards: 300})
	if err := errors.Join(err, os.WriteFile(path("box.pcap"), raw.Bytes(), 0o600), os.WriteFile(path("calls.csv"), records.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	identities, never := secrets(t, raw.Bytes(), truth)
	for _, m := range regexp.MustCompile(`[,\n]([0-9]{11,15}),`).FindAllSubmatch(records.Bytes(), -1) {
		identities[string(m[1])] = true
	}

	nobody, nothing := newSearcher(identities), newSearcher(never)

	outputs := [][]string{
		{"replay", "--all", "IN"}, {"replay", "--all", "--lang", "zh", "--verbose", "IN"}, {"replay", "--all", "--json", "IN"},
		{"replay", "--all", "-q", "--html", "OUT/page.html", "IN"}, {"replay", "-q", "--lang", "zh", "--html", "OUT/page.html", "--write-lines", "OUT", "IN"},
		{"dissect", "IN"}, {"dissect", "--json", "IN"}, {"dissect", "--packets", "--all", "IN"}, {"dissect", "--packets", "--json", "IN"},
		{"dissect", "--streams", "IN"}, {"dissect", "--streams", "--json", "IN"}, {"dissect", "--records", "IN"}, {"dissect", "--records", "--json", "IN"},
		{"dissect", "--registrations", "IN"}, {"dissect", "--registrations", "--json", "IN"},
		{"match", "--calls", path("calls.csv"), "--card", "imsi", "--answer", "answer", "--end", "end", "--duration", "duration", "--direction", "direction", "--calling", "calling", "--called", "called", "--cell", "cell", "--zone", "+08:00", "--csv", "OUT/cut.csv", "--save", "OUT/calls.jsonl", "IN"},
		{"match", "--json", "--calls", path("calls.csv"), "--card", "imsi", "--answer", "answer", "--end", "end", "--duration", "duration", "--direction", "direction", "--calling", "calling", "--called", "called", "--cell", "cell", "--zone", "+08:00", "IN"},
	}
	for _, authority := range []string{"", "warrant 9"} {
		clear := 0
		for _, args := range outputs {
			name := strings.Join(args, " ")
			into := t.TempDir()
			args = strings.Split(strings.NewReplacer("OUT", into, "IN", path("box.pcap")).Replace(strings.Join(args, "\x00")), "\x00")
			if authority != "" {
				args = append(args, "--authority", authority)
			}
			status, out, errs := execute(t.Context(), nil, args...)
			if status != command.Done {
				t.Fatalf("%s: status %d: %s", name, status, errs)
			}
			all := []byte(out + errs)
			if err := filepath.WalkDir(into, func(file string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(file)
				all = append(append(all, '\n'), b...)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if len(all) < 100 {
				t.Errorf("%s: only %d bytes to look through", name, len(all))
			}
			for s := range nothing.found(all) {
				t.Errorf("%s under %q tells %q", name, authority, s)
			}
			for s := range nobody.found(all) {
				if clear++; authority == "" {
					t.Errorf("%s tells %q", name, s)
				}
			}
		}
		if authority != "" && clear < 500 {
			t.Errorf("under an authority only %d identities are there: the search sees nothing", clear)
		}
	}
}
