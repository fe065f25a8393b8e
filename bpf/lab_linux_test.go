package bpf

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/lab"
	"simtrap/packet"
)

// eachFrame reads a capture's frames as Ethernet frames, as far as they are such
// or can be made so, up to most.
func eachFrame(file string, most int, f func(at int64, data []byte)) error {
	src, err := capture.Open([]string{file}, capture.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	for n := 0; n < most; {
		b, err := src.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range b.Frames {
			data := b.Data(i)
			switch b.Frames[i].Link {
			case capture.LinkEthernet:
			case capture.LinkRaw, capture.LinkIPv4, capture.LinkIPv6:
				if len(data) == 0 {
					continue
				}
				head := make([]byte, 14, 14+len(data))
				binary.BigEndian.PutUint16(head[12:], 0x0800)
				if data[0]>>4 == 6 {
					binary.BigEndian.PutUint16(head[12:], 0x86dd)
				}
				data = append(head, data...)
			default:
				continue
			}
			if len(data) < 14 || len(data) > 3000 { // what a test run takes
				continue
			}
			if n++; n > most {
				break
			}
			f(b.Frames[i].Time, data)
		}
		b.Release()
	}
	return nil
}

func makeLab(t testing.TB, opt lab.Options) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "lab.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := lab.Make(f, opt); err != nil {
		t.Fatal(err)
	}
	return name
}

func (w *twin) play(file string, most int) {
	w.t.Helper()
	w.reset()
	if err := eachFrame(file, most, w.feed); err != nil {
		w.t.Fatal(err)
	}
	w.finish()
}

// equalLab plays the beginning of every scenario of the lab.
func equalLab(t *testing.T, twins ...*twin) {
	all := lab.Scenarios()
	if testing.Short() {
		all = all[:len(lab.Shown())]
	}
	twins[0].scenarios(t, all, func(sc lab.Scenario) time.Duration { return min(4*time.Minute, sc.Duration()) }, 6000)
}

// TestEqualWhole plays scenarios of the lab from beginning to end, those that
// SIMTRAP_EQUAL matches: the last of their frames meet tables that are full of what
// came before.
func TestEqualWhole(t *testing.T) {
	pattern := os.Getenv("SIMTRAP_EQUAL")
	if pattern == "" {
		t.Skip("takes long: make test-equal")
	}
	chosen, err := regexp.Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.DeleteFunc(lab.Scenarios(), func(sc lab.Scenario) bool { return !chosen.MatchString(sc.Name) })
	w := newTwin(t, Config{Flows: 1 << 17, Starts: 1 << 18}, false)
	w.scenarios(t, all, lab.Scenario.Duration, math.MaxInt)
}

// scenarios plays scenarios for so long, of each at most so many frames.
func (w *twin) scenarios(t *testing.T, all []lab.Scenario, duration func(lab.Scenario) time.Duration, most int) {
	total, ivs := 0, 0
	for _, sc := range all {
		t.Run(sc.Name, func(t *testing.T) {
			w.t = t
			w.play(makeLab(t, lab.Options{Scenario: sc.Name, Seed: 3, Duration: duration(sc)}), most)
			if w.left*20 > w.frames && !strings.HasPrefix(sc.Name, "vpn") && !strings.HasPrefix(sc.Name, "hide") && !strings.HasPrefix(sc.Name, "twin") { // some are in tunnels
				t.Errorf("the kernel left %d of %d frames", w.left, w.frames)
			}
			t.Logf("%d frames, %d intervals", w.frames, len(w.got))
		})
		total, ivs = total+w.frames, ivs+len(w.got)
	}
	w.t = t
	t.Logf("%d scenarios, %d frames, %d intervals", len(all), total, ivs)
	if ivs < 1000 {
		t.Errorf("only %d intervals", ivs)
	}
}

// encaps are those of the lab that stand alone, and more.
func encaps(more ...string) []string {
	out := slices.DeleteFunc(lab.Encaps(), func(e string) bool { return strings.HasPrefix(e, "outer") || e == "ah" || e == "atomic" })
	for _, e := range more {
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

// TestEqualEncaps plays a scenario in everything that the lab wraps frames in, for
// XDP and for TC. What the kernel reads it must read all of.
func TestEqualEncaps(t *testing.T) {
	whole := strings.Fields("ethernet vlan qinq qinq-9100 qinq-9200 pppoe vlan-pppoe mpls gre gre-options gre-eth gtpu gtpu-ext vxlan ipv6 sip-tcp sip-ws" +
		" qinq+pppoe+ipv6 vlan+mpls gtpu+ipv6 vxlan+vlan+ipv6 gtpu+outer6 vlan+pppoe+ipv6+atomic ah+ipv6")
	for _, tc := range []bool{false, true} {
		// The tunnels are the operator's.
		home := prefixes(t, "203.0.113.0/24", "198.51.100.0/24", "2001:db8:1::/48")
		w := newTwin(t, Config{GTP: true, VXLAN: true, GRE: true, Homes: home}, tc)
		for _, e := range encaps(whole...) {
			file := makeLab(t, lab.Options{Scenario: "goip-line", Seed: 5, Duration: 2 * time.Minute, Encap: e})
			w.play(file, 4000)
			if w.frames > 0 && slices.Contains(whole, e) && (w.left > 0 || len(w.got) == 0) {
				t.Errorf("%s: of %d frames %d were left, %d intervals", e, w.frames, w.left, len(w.got))
			}
			if !tc {
				t.Logf("%-16s %5d frames, %4d intervals, %4d left", e, w.frames, len(w.got), w.left)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCorpusEqual plays other people's captures.
func TestCorpusEqual(t *testing.T) {
	dir := os.Getenv("SIMTRAP_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no corpus of public captures")
	}
	for _, toggles := range []bool{true, false} {
		if !toggles && testing.Short() {
			break
		}
		w := newTwin(t, Config{GTP: toggles, VXLAN: toggles, GRE: toggles}, false)
		files, frames, ivs, left := 0, 0, 0, 0
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			w.reset()
			if eachFrame(path, 30000, w.feed) != nil {
				return nil // package capture tells which files are none
			}
			w.finish()
			files, frames, ivs, left = files+1, frames+w.frames, ivs+len(w.got), left+w.left
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("tunnels %v: %d files, %d frames, %d intervals, %d frames left", toggles, files, frames, ivs, left)
		if ivs == 0 {
			t.Error("no intervals")
		}
	}
}

// TestShortCuts wants the program as it runs on a port, which decides about most
// TCP before it reads the whole frame, to count frames as the tested one does.
func TestShortCuts(t *testing.T) {
	one, other := newBench(t, Config{}, false), newBench(t, Config{live: true}, false)
	base := tcpFrame("10.1.2.3", "198.51.100.7", 40000, 443, 0x18, append([]byte{0x17, 3, 3, 1, 0}, make([]byte, 40)...))
	frames := 0
	same := func(data []byte) {
		t.Helper()
		one.frame(t0, data)
		other.frame(t0, data)
		if frames++; frames%64 != 0 {
			return
		}
		a, b := one.counters(), other.counters()
		if d := cmp.Diff(a[:udpLarge+1], b[:udpLarge+1]); d != "" {
			t.Fatalf("of %d frames, up to %x (-tested +live):\n%s", frames, data, d)
		}
	}
	for n := 14; n <= len(base); n++ {
		same(base[:n])
	}
	for at := 12; at < 56; at++ {
		for v := range 256 {
			b := slices.Clone(base)
			b[at] = byte(v)
			same(b)
			same(b[:len(b)-45])
		}
	}
	if n := other.counters(); n[tcpSegments] < 5000 || n[malformed] < 500 {
		t.Errorf("%d segments, %d malformed", n[tcpSegments], n[malformed])
	}
}

// TestReadings cuts frames of every shape at every length and puts extremes into
// every byte of their headers: what the kernel reads is what the decoder reads.
func TestReadings(t *testing.T) {
	var frames [][]byte
	for _, e := range encaps("qinq+pppoe+ipv6", "vlan+mpls", "gtpu+ipv6", "vxlan+vlan+ipv6", "gtpu+outer6", "ipv6+atomic", "ah+ipv6") {
		file := makeLab(t, lab.Options{Scenario: "dinstar", Seed: 5, Duration: 2 * time.Minute, Encap: e})
		seen := map[string]int{}
		var dec packet.Decoder
		err := eachFrame(file, 20000, func(_ int64, data []byte) {
			var p packet.Packet
			kind := dec.Frame(capture.LinkEthernet, data, uint32(len(data)), &p).String()
			if p.Length > 100 { // small ones suffice
				kind += " large"
			}
			if seen[kind]++; seen[kind] == 1 {
				frames = append(frames, slices.Clone(data))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	values := []byte{0, 1, 4, 6, 17, 43, 44, 51, 60, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xff}
	const headers = 130
	for _, tc := range []bool{false, true} {
		w := newTwin(t, Config{GTP: true, VXLAN: true, GRE: true}, tc)
		look := func(data []byte) {
			data = data[:len(data):len(data)]
			var p packet.Packet
			r := w.frame(t0, data)
			kind := w.dec.Frame(capture.LinkEthernet, data, uint32(len(data)), &p)
			if r.Verdict < leftLink || r.Verdict > leftCut {
				w.compare(data, &r, kind, &p)
			} else {
				w.left++
			}
			w.frames++
		}
		for i, f := range frames {
			if testing.Short() && i%4 != 0 {
				continue
			}
			least := 14 // what a test run wants
			if tc {
				least = 54
			}
			for n := least; n <= min(len(f), headers+40); n++ {
				look(f[:n])
			}
			b := slices.Clone(f)
			for at := 12; at < min(len(b), headers); at++ {
				was := b[at]
				for _, v := range append(values, was+1, was-1, was^0x10) {
					b[at] = v
					look(b)
				}
				b[at] = was
			}
		}
		t.Logf("tc %v: %d readings of %d frames, %d left", tc, w.frames, len(frames), w.left)
	}
}
