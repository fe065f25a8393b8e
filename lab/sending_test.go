package lab

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"
)

func TestWideSameSeedSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for _, name := range [...]string{"demo", "media-variety"} {
		var a, b, c bytes.Buffer
		wide(t, name, 5, time.Minute, &a, "")
		wide(t, name, 5, time.Minute, &b, "")
		wide(t, name, 6, time.Minute, &c, "")
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s: one seed gave two captures", name)
		}
		if bytes.Equal(a.Bytes(), c.Bytes()) {
			t.Errorf("%s: two seeds gave one capture", name)
		}
	}
}

// TestWideReads makes sure that wide captures are well formed, fragments and
// all, and that voice is what SDP says of it.
func TestWideReads(t *testing.T) {
	lengths := map[uint32]bool{}
	for seed := uint64(1); seed <= 6; seed++ {
		encap := [...]string{"", "vlan+pppoe", "fragments", "ipv6", "ah", "sip-tcp"}[seed-1]
		m := wideRead(t, "office-ippbx", seed, 2*time.Minute, encap)
		said := map[string]bool{}
		for _, d := range m.packets {
			if d.sip() && bytes.Contains(d.payload, []byte("a=ptime:")) {
				_, rest, _ := strings.Cut(string(d.payload), "a=ptime:")
				ms, _, _ := strings.Cut(rest, "\r\n")
				said[ms] = true
			}
		}
		// The least step is the packet's length: in silence nothing is sent.
		for _, p := range m.streams() {
			step := uint32(0)
			for i := 1; i < min(len(p), 300); i++ {
				a, b := p[i-1].payload, p[i].payload
				if binary.BigEndian.Uint16(b[2:])-binary.BigEndian.Uint16(a[2:]) != 1 || a[1]&0x7f == 101 || b[1]&0x7f == 101 {
					continue
				}
				if ts := binary.BigEndian.Uint32(b[4:]) - binary.BigEndian.Uint32(a[4:]); step == 0 || ts < step {
					step = ts
				}
			}
			if step%80 != 0 || step > 480 {
				t.Fatalf("seed %d: %d ticks a packet", seed, step)
			}
			lengths[step] = true
		}
		if encap != "sip-tcp" && len(m.streams()) > 0 && len(said) == 0 {
			t.Errorf("seed %d: nothing says how long packets are", seed)
		}
	}
	if len(lengths) < 2 {
		t.Errorf("packets of one length only: %v", lengths)
	}
}

// TestWideClocks measures the streams of gateways: those timed by hardware show
// one clock, whatever the access.
func TestWideClocks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	one := 0
	for seed := uint64(1); seed <= 8; seed++ {
		m := wideRead(t, "goip-line", seed, 3*time.Minute, "")
		lo, hi, n := math.Inf(1), math.Inf(-1), 0
		for _, p := range m.streams() {
			if m.line(p[0].src) == nil || p[len(p)-1].t-p[0].t < int64(35*time.Second) {
				continue
			}
			v := skew(p)
			lo, hi, n = min(lo, v), max(hi, v), n+1
		}
		t.Logf("seed %d, %s: %d streams from %.1f to %.1f ppm", seed, m.truth.Lines[0].Access, n, lo, hi)
		if n > 2 && hi-lo < 5 {
			one++
		}
	}
	if one < 2 {
		t.Errorf("only %d of 8 gateways show one clock", one)
	}
}
