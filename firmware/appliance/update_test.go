package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/firmware/update"
)

type givesUp struct {
	err error
	ran *[]string
}

func (g givesUp) GiveUp(string) error {
	if g.err == nil {
		*g.ran = append(*g.ran, "give up")
	}
	return g.err
}

// AF_PACKET, then the other slot; where there is none, again after a minute.
func TestFallBack(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want []string // of each crash loop in turn
	}{
		{"with another slot", nil, []string{"remake start", "give up restart"}},
		{"alone", update.ErrAlone, []string{"remake start", "wait 1m0s start", "wait 1m0s start"}},
		{"no boot partition", errors.New("gone"), []string{"remake start", "wait 1m0s start"}},
	} {
		path := filepath.Join(t.TempDir(), "fallback")
		for i, want := range c.want {
			var ran []string
			did := func(what string) func() error {
				return func() error { ran = append(ran, what); return nil }
			}
			l := crashLoop{path: path, machine: givesUp{c.err, &ran}, remake: did("remake"), again: did("start"), restart: did("restart"),
				wait: func(d time.Duration) { ran = append(ran, "wait "+d.String()) }, out: &strings.Builder{}}
			if err := l.fallBack(7); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if got := strings.Join(ran, " "); got != want {
				t.Errorf("%s, loop %d: did %q, want %q", c.name, i+1, got, want)
			}
		}
		if readFallen(path, 8).Plain {
			t.Errorf("%s: another system does not begin anew", c.name)
		}
	}
}

// A disk that takes nothing does not keep simtrapd from going on by AF_PACKET.
func TestFallBackWithoutDisk(t *testing.T) {
	var ran []string
	did := func(what string) func() error { return func() error { ran = append(ran, what); return nil } }
	out := &strings.Builder{}
	l := crashLoop{path: filepath.Join(t.TempDir(), "nowhere", "fallback"), remake: did("remake"), again: did("start"), out: out}
	if err := l.fallBack(7); err != nil || strings.Join(ran, " ") != "remake start" || !strings.Contains(out.String(), "not kept") {
		t.Errorf("%v: did %v, said %q", err, ran, out)
	}
}

func TestPlain(t *testing.T) {
	c, err := parseConfig([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.plain(); err != nil {
		t.Fatal(err)
	}
	files, err := render(c)
	if err != nil {
		t.Fatal(err)
	}
	text := files[ownFolder+"simtrapd.yaml"]
	for _, want := range []string{"capture: af_packet", "203.0.113.0/24", "enp1s0f1"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestJudge(t *testing.T) {
	type way = struct {
		Acked uint64 `json:"acked"`
	}
	taps := []string{"a", "b"}
	both := []daemonPort{{Name: "a", Mode: "xdp"}, {Name: "b", Mode: "af_packet"}}
	for name, c := range map[string]struct {
		s        daemonStatus
		reported bool
		ok       bool
	}{
		"all":                        {daemonStatus{State: "running", Ports: both}, false, true},
		"it starts":                  {daemonStatus{State: "starting", Ports: both}, false, false},
		"a port is missing":          {daemonStatus{State: "running", Ports: both[:1]}, false, false},
		"a port has no way":          {daemonStatus{State: "running", Ports: []daemonPort{{Name: "a", Mode: "xdp"}, {Name: "b"}}}, false, false},
		"no report where some were":  {daemonStatus{State: "running", Ports: both, Hub: &way{}}, true, false},
		"no hub where one was":       {daemonStatus{State: "running", Ports: both}, true, false},
		"reports":                    {daemonStatus{State: "running", Ports: both, Hub: &way{3}}, true, true},
		"a hub that was away before": {daemonStatus{State: "running", Ports: both, Hub: &way{}}, false, true},
	} {
		if err := judge(&c.s, taps, c.reported); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The self-test fails where there is no simtrapd, or it finds nothing.
func TestSelfTestFails(t *testing.T) {
	if _, err := os.Stat("/usr/lib/simtrap/sample.pcap"); err == nil {
		t.Skip("this machine has a sample of its own")
	}
	if err := selfTest(); err == nil {
		t.Error("passed without a sample")
	}
}

func TestKeepUnchanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, text := range []string{"one", "two"} {
		if err := keep(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if diff := cmp.Diff(text, string(got)); err != nil || diff != "" {
			t.Error(err, diff)
		}
	}
}
