package bpf

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// section gives what of s is between two words.
func section(t *testing.T, s, from, to string) string {
	t.Helper()
	_, s, ok := strings.Cut(s, from)
	s, _, ok2 := strings.Cut(s, to)
	if !ok || !ok2 {
		t.Fatalf("no section from %q to %q", from, to)
	}
	return s
}

// TestNames wants the counters to be the same in C, in Go and in the
// documentation, in one order, and the losses among them too.
func TestNames(t *testing.T) {
	names := counterNames()
	var c []string
	enum := section(t, read(t, "kernel/counters.h"), "enum counter {", "counters_max")
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+),$`).FindAllStringSubmatch(enum, -1) {
		c = append(c, m[1])
	}
	if d := cmp.Diff(names[:], c); d != "" {
		t.Errorf("counters (-Go +C):\n%s", d)
	}
	var doc, losses, wantLosses []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (yes)? ?\\|").FindAllStringSubmatch(
		section(t, read(t, "../docs/bpf.md"), "## Counters", "User space adds"), -1) {
		doc = append(doc, m[1])
		if m[2] != "" {
			losses = append(losses, m[1])
		}
	}
	if d := cmp.Diff(names[:], doc); d != "" {
		t.Errorf("counters (-Go +docs):\n%s", d)
	}
	for _, i := range lossCounters() {
		wantLosses = append(wantLosses, names[i])
	}
	slices.Sort(losses)
	slices.Sort(wantLosses)
	if d := cmp.Diff(wantLosses, losses); d != "" {
		t.Errorf("losses (-Go +docs):\n%s", d)
	}
}

// TestMapsAndTogglesAreDocumented wants every map and toggle of the sources in the
// documentation.
func TestMapsAndTogglesAreDocumented(t *testing.T) {
	docs := read(t, "../docs/bpf.md")
	files, err := os.ReadDir("kernel")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if f.Name()[0] == '.' {
			continue
		}
		src := read(t, "kernel/"+f.Name())
		for _, m := range regexp.MustCompile(`(?m)^} (\w+) SEC\("\.maps"\);|^(?:const )?volatile [^;]*?(\w+)(?:\[\w+\])? = `).FindAllStringSubmatch(src, -1) {
			name := m[1] + m[2]
			n++
			if name == "marks" {
				continue // told in words
			}
			if !strings.Contains(docs, "`"+name+"`") {
				t.Errorf("docs/bpf.md does not tell of %s", name)
			}
		}
		if !strings.HasPrefix(src, "// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause\n") {
			t.Errorf("%s has no licence", f.Name())
		}
	}
	if n < 25 {
		t.Errorf("only %d maps and toggles found", n)
	}
}

func TestConfig(t *testing.T) {
	var c Config
	small, err := c.Memory(2)
	if err != nil || small < 50<<20 || small > 120<<20 {
		t.Errorf("%d MiB, %v", small>>20, err)
	}
	c.Flows = 1 << 18
	if large, err := c.Memory(2); err != nil || large < small+50<<20 {
		t.Errorf("%d MiB, %v", large>>20, err)
	}
	many := slices.Repeat([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, maxHomes)
	c = Config{Homes: many}
	if none, err := c.Memory(2); err != nil || none != small {
		t.Errorf("%d MiB for homes that nobody asks about, %v", (none-small)>>20, err)
	}
	c.GRE = true
	if with, err := c.Memory(2); err != nil || with < small+4<<20 || with > small+16<<20 {
		t.Errorf("%d MiB for %d homes, %v", (with-small)>>20, maxHomes, err)
	}
	for _, bad := range []Config{{Flows: -1}, {Flows: 1 << 30}, {FrameRing: 1}, {Sources: -5}, {IntervalRing: 1 << 40}, {Homes: append(many, many[0])}, {Homes: make([]netip.Prefix, 1)}} {
		if err := bad.fill(); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	c = Config{Sample: 1000}
	if err := c.fill(); err != nil || c.Sample != 1024 {
		t.Errorf("sample %d, %v", c.Sample, err)
	}
}

func TestModes(t *testing.T) {
	for m := Auto; m <= ClsAct; m++ {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("%v is read as %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("xdp"); err == nil {
		t.Error("an unknown mode is taken")
	}
}
