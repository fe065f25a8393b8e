package lab

import (
	"io"
	"testing"
	"time"
)

// wideLine gives lines of a wide scenario.
func wideLine(t *testing.T, seed uint64, class string) *line {
	t.Helper()
	out, err := newSink(io.Discard, "", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	shape, err := parseEncap("")
	if err != nil {
		t.Fatal(err)
	}
	s := newSim(Options{Seed: seed, Duration: time.Hour}, shape, viewBoth, out)
	s.wide = true
	return s.newLine(class, "test", VerdictNone, VerdictNone)
}

func TestAccessKinds(t *testing.T) {
	seen := map[int]int{}
	for seed := range uint64(400) {
		l := wideLine(t, seed, ClassGateway)
		u := l.up
		seen[u.kind]++
		l.truth.Channels = 32
		at := l.s.now
		for i := range 50 {
			at += 20e6
			l.s.now = at
			got, ok := u.pass(l.s, at, 200)
			if !ok || got < at || (u.kind != wireless && got > at+int64(30*time.Millisecond)) {
				t.Fatalf("seed %d, %s: packet %d took %v, passed %v", seed, l.truth.Access, i, time.Duration(got-at), ok)
			}
			if u.cycle > 0 && u.spread == 0 && u.roams == 0 && u.again == 0 && (got-u.grant-u.phase)%u.cycle != 0 {
				t.Fatalf("seed %d, %s: a packet passed between two grants", seed, l.truth.Access)
			}
		}
		if kbits := 8e6 / u.byteTime; kbits < 32*100 {
			t.Errorf("seed %d: %.0f kbit/s for 32 calls", seed, kbits)
		}
		if l.truth.Access != accessNames[u.kind] {
			t.Errorf("truth says %q of %s", l.truth.Access, accessNames[u.kind])
		}
	}
	for kind, name := range accessNames {
		if seen[kind] < 10 {
			t.Errorf("%d of 400 lines on %s", seen[kind], name)
		}
	}
	for seed := range uint64(50) {
		if l := wideLine(t, seed, ClassCarrier); l.up.kind != fibre && l.up.kind != ethernet {
			t.Errorf("seed %d: a carrier on %s", seed, l.truth.Access)
		}
	}
}

func TestUploadDelaysVoice(t *testing.T) {
	l := wideLine(t, 1, ClassHome)
	l.up = &uplink{line: l, byteTime: 8000, buffer: 60e6, sized: true} // 1 Mbit/s
	at := l.s.now
	alone, _ := l.up.pass(l.s, at, 160)
	for range 4 {
		l.up.pass(l.s, at, 1454)
	}
	behind, ok := l.up.pass(l.s, at, 160)
	if d := behind - alone; !ok || d < 48e6 || d > 52e6 {
		t.Errorf("behind 6 kB at 1 Mbit/s a packet waits %v", time.Duration(d))
	}
	dropped := 0
	for range 20 {
		if _, ok := l.up.pass(l.s, at, 1454); !ok {
			dropped++
		}
	}
	if dropped == 0 {
		t.Error("a queue of 60 ms took 20 more packets of 12 ms")
	}
	// What is planned for later holds nothing up, and a second later all is sent.
	if got, _ := l.up.pass(l.s, at+2e9, 160); got > at+2e9+3e6 {
		t.Error("a packet of later waited for those of now")
	}
	l.s.now = at + 1e9
	if got, _ := l.up.pass(l.s, at+1e9, 160); got > at+1e9+3e6 {
		t.Error("the queue was not sent within a second")
	}
}

func TestFade(t *testing.T) {
	l := wideLine(t, 2, ClassHome)
	f := newFade(l.rng, 10, 0.5, 1)
	bad, bursts, before := 0, 0, false
	const n = 200_000
	for i := range int64(n) {
		now := f.takes(i * 20e6)
		if now {
			bad++
			if !before {
				bursts++
			}
		}
		before = now
	}
	if share := float64(bad) / n; share < 0.035 || share > 0.06 {
		t.Errorf("%.3f of the time was bad, want about 0.048", share)
	}
	if bursts > bad/10 {
		t.Errorf("%d bursts of %d losses", bursts, bad)
	}
}

func TestRoutesChange(t *testing.T) {
	l := wideLine(t, 3, ClassHome)
	moved := 0
	for range 300 {
		n := l.s.host("far", true)
		first, last := n.path.shift(l.s.start), n.path.shift(l.s.end)
		if n.owd+last < n.owd/3 {
			t.Errorf("a way of %v became %v", time.Duration(n.owd), time.Duration(n.owd+last))
		}
		if d := last - first; d > 1e6 || d < -1e6 {
			moved++
		}
	}
	if moved < 20 || moved > 150 {
		t.Errorf("%d of 300 ways from abroad changed in an hour", moved)
	}
}
