package bpf

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBudgets wants no more to go up in a window than a budget says, every frame
// above it counted, and a new budget in the next window.
func TestBudgets(t *testing.T) {
	const (
		line  = "10.1.2.3"
		there = "198.51.100.7"
	)
	// Some budgets are of one CPU: a thread that is moved spends another's too.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := range len(all) * 64 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &all)
	dns := make([]byte, 30)
	binary.BigEndian.PutUint16(dns, 0x1234)
	fragment := udpFrame(line, there, 1, 2, make([]byte, 64))
	fragment[20] = 0x20
	left := tagged(tagged(tagged(udpFrame(line, there, 1, 2, nil), 1), 2), 3)
	b := newBench(t, Config{SYN: 3, Hello: 4, HTTP: 5, DNS: 6, PerSource: 20, Fragments: 7, Left: 8, FirstTotal: 9, First: 254}, false)
	began := t0
	for _, c := range []struct {
		name    string
		frame   []byte
		limited int
		budget  uint64
	}{
		{"syn", tcpFrame(line, there, 40000, 443, 2, nil), limitedSYN, 3},
		{"syn of an answer counts for the line", tcpFrame(there, line, 443, 40000, 0x12, nil), limitedSYN, 3},
		{"hello", tcpFrame(line, there, 40000, 443, 0x18, []byte{0x16, 3, 1, 0, 200, 1, 0}), limitedHello, 4},
		{"http", tcpFrame(line, there, 40000, 80, 0x18, []byte("GET / HTTP/1.1\r\n")), limitedHTTP, 5},
		{"dns", udpFrame(line, there, 40000, 53, dns), limitedDNS, 6},
		{"sip", udpFrame(line, there, 5060, 5060, []byte(invite)), limitedSource, 20},
		{"fragments", fragment, limitedFragment, 7},
		{"left", left, limitedLeft, 8},
		{"first", udpFrame(line, there, 9, 9, []byte("\xffsomething")), limitedFirst, 9},
	} {
		const sent = 40
		began += 3600e9
		before := b.counters()
		for window := range uint64(3) {
			at := began>>30<<30 + int64(window)<<30
			for i := range sent {
				b.frame(at+int64(i), c.frame)
			}
			if window == 0 && c.limited == limitedFirst {
				b.frame(at, c.frame) // the first of all made the flow known and did not ask
			}
			n := b.counters()
			up := n[framesLost] - before[framesLost] // nobody listens
			limited := n[c.limited] - before[c.limited]
			if up != c.budget*(window+1) || limited != (sent-c.budget)*(window+1) {
				t.Errorf("%s: after %d windows %d up, %d limited; want %d, %d", c.name, window+1, up, limited, c.budget*(window+1), (sent-c.budget)*(window+1))
			}
		}
	}
}

// TestEvictions floods small tables and wants what they displaced to be told.
func TestEvictions(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		s, err := Open("vb", Config{Flows: 1024, Starts: 4096})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out := newSender(t, "va")
		const flows = 20000
		for i := range flows {
			for range 2 {
				out.send(udpFrame(fmt.Sprintf("10.1.%d.%d", i>>8, i&255), "198.51.100.7", 9, 9, []byte("\x80something")))
			}
		}
		for i := range flows {
			out.send(udpFrame(fmt.Sprintf("10.2.%d.%d", i>>8, i&255), "198.51.100.7", 9, 9, []byte("\x80something")))
		}
		losses := func() map[string]uint64 {
			out := map[string]uint64{}
			for _, l := range s.Losses() {
				out[l.Reason] = l.Count
			}
			return out
		}
		var l map[string]uint64
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && (l == nil || l["starts_evicted"] == 0); {
			if _, err := s.Next(context.Background()); err != nil {
				t.Fatal(err)
			}
			s.Intervals(nil)
			l = losses()
		}
		n := s.Counts()
		if n["records"] != flows {
			t.Errorf("%d records made, want %d", n["records"], flows)
		}
		if got, live := l["flows_evicted"], s.sweep.live(); got != flows-live || live > 1024 {
			t.Errorf("%d flows evicted, %d live of %d", got, live, flows)
		}
		if got := l["starts_evicted"]; got < flows-4096 || got > flows {
			t.Errorf("%d first packets evicted of %d", got, flows)
		}
	})
}
