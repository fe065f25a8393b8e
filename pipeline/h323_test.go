package pipeline

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/h323"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// named is what tells H.225.0 in a user information: a SETUP of which the rest
// is missing.
const named = "\x7e\x00\x0a\x05\x00\x00\x06\x00\x08\x91\x4a\x00\x04"

// q931 is a message with a reference below 256 in its TPKT.
func q931(kind, ref byte, elements string) string {
	body := "\x08\x02\x00" + string([]byte{ref, kind}) + elements
	return "\x03\x00\x00" + string([]byte{byte(4 + len(body))}) + body
}

const (
	rrqText = "\x0c\x00\x00\x40\x06\x00\x08\x91\x4a\x00\x04\x80\x01\x00\xc0\x00\x02\x01\x06\xb8\x01\x00\xc0\x00\x02\x01\x06\xb7\x00\x00\xb5\x00\x00\x12"
	urqText = "\x18\x00\x00\x41\x01\x00\xc0\x00\x02\x01\x06\xb8"
)

// kinds are the types of the messages of H.323 that came out.
func (w *wire) kinds() (out []string) {
	for i := range w.shard.signals {
		switch m := &w.shard.signals[i]; {
		case m.ras != nil:
			out = append(out, map[h323.RASKind]string{h323.RegistrationRequest: "RRQ", h323.UnregistrationRequest: "URQ"}[m.ras.Kind])
		default:
			out = append(out, map[h323.MessageType]string{h323.Setup: "SETUP", h323.Connect: "CONNECT", h323.ReleaseComplete: "RELEASE"}[m.call.Type])
		}
	}
	return out
}

func TestH323OnStreams(t *testing.T) {
	setup, connect, release := q931(0x05, 7, "\x70\x04\x80110"+named), q931(0x07, 7, ""), q931(0x5a, 7, "\x08\x02\x80\x90")
	for _, c := range []struct {
		name     string
		segments []string
		want     []string
		skipped  uint64
	}{
		{"both ways", []string{setup, "<" + connect, release}, []string{"SETUP", "CONNECT", "RELEASE"}, 0},
		{"header apart", []string{setup[:4], setup[4:], "<" + connect[:4], "<" + connect[4:]}, []string{"SETUP", "CONNECT"}, 0},
		{"over segments, two in one", []string{setup, release[:7], release[7:] + setup}, []string{"SETUP", "RELEASE", "SETUP"}, 0},
		{"after a gap", []string{setup, "lost" + connect[:6], connect[6:] + release}, []string{"SETUP", "RELEASE"}, uint64(len(connect) - 6)},
		{"RDP", []string{"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", "<\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x01\x08\x00\x02\x00\x00\x00"}, nil, 0},
		{"S7", []string{"\x03\x00\x00\x16\x11\xe0\x00\x00\x00\x01\x00\xc0\x01\x0a\xc1\x02\x01\x00\xc2\x02\x01\x02"}, nil, 0},
		{"H.245", []string{"\x03\x00\x00\x0c\x02\x70\x01\x06\x00\x08\x81\x75"}, nil, 0},
		{"SIP", []string{sipText("a")}, nil, 0},
	} {
		w := newWire()
		w.segments(c.segments...)
		if d := cmp.Diff(c.want, w.kinds()); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
		if w.shard.tpkt.Skipped != c.skipped || w.shard.held != 0 {
			t.Errorf("%s: %d bytes skipped, %d said to be held", c.name, w.shard.tpkt.Skipped, w.shard.held)
		}
	}
}

// Unfinished messages on many connections are bounded together.
func TestHeldOfH323IsBounded(t *testing.T) {
	w := newWire()
	for i := range 400 {
		w.port, w.seq = uint16(20000+i), [2]uint32{1, 1}
		w.shard.take(w.packet(true, packet.TCP, "\x03\x00\x3f\xff\x08\x02\x00\x01\x05"+strings.Repeat("x", 15000)))
		if w.shard.held > maxHeld+32<<10 {
			t.Fatalf("%d bytes held", w.shard.held)
		}
	}
	if w.shard.lost.unframed == 0 {
		t.Error("nothing was given up")
	}
	w.shard.flush()
	if w.shard.held != 0 {
		t.Errorf("%d bytes are said to be held in the end", w.shard.held)
	}
}

// An unregistration does not say what it is: it counts between sockets that have
// registered only.
func TestRASOnDatagrams(t *testing.T) {
	w := newWire()
	w.shard.take(w.packet(true, packet.UDP, urqText))
	w.shard.take(w.packet(true, packet.UDP, rrqText))
	w.shard.take(w.packet(true, packet.UDP, urqText))
	w.port++
	w.shard.take(w.packet(true, packet.UDP, urqText))
	w.shard.take(w.packet(true, packet.UDP, "\x1b"+strings.Repeat("\x00", 47))) // NTP
	w.shard.take(w.packet(true, packet.UDP, rrqText[:20]))
	if d := cmp.Diff([]string{"RRQ", "URQ"}, w.kinds()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if w.shard.lost.unreadRAS != 1 {
		t.Errorf("%d not read", w.shard.lost.unreadRAS)
	}
}

// Foreign datagrams and segments, and voice, are looked at without allocating.
func TestH323LooksDoesNotAllocate(t *testing.T) {
	w := newWire()
	w.shard.take(w.packet(true, packet.UDP, rrqText)) // unregistrations are looked for
	foreign := w.packet(true, packet.UDP, "\x1b"+strings.Repeat("\x00", 47))
	segment := w.packet(true, packet.TCP, "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00")
	for _, p := range []*packet.Packet{foreign, segment} {
		w.shard.take(p)
		if n := testing.AllocsPerRun(100, func() { w.shard.take(p) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// callWatcher keeps the calls and registrations that a run tells of.
type callWatcher struct {
	watcher
	calls map[uint64]sip.Call
	regs  []sip.Registration
	voice map[uint64]int
}

func (w *callWatcher) Call(c *sip.Call, _ sip.CallEvent) { w.calls[c.ID] = *c }
func (w *callWatcher) Registration(r *sip.Registration)  { w.regs = append(w.regs, *r) }
func (w *callWatcher) Stream(s *rtp.Stream, ended bool) {
	if ended && s.Call != 0 {
		w.voice[s.Call]++
	}
}

// TestH323Calls follows the lab's H.323 to its end: every call is told once with
// its course, and its voice belongs to it, whether the channel is told by
// fastStart or on an H.245 connection that is not read.
func TestH323Calls(t *testing.T) {
	for _, scenario := range []string{"h323-gateway", "h323-office"} {
		file, truth := made(t, lab.Options{Scenario: scenario, Seed: 1, Duration: 8 * time.Minute})
		w := &callWatcher{calls: map[uint64]sip.Call{}, voice: map[uint64]int{}}
		r, err := Run(context.Background(), opened(t, file), Config{Observe: w})
		if err != nil {
			t.Fatal(err)
		}
		want := truth.Lines[0].Calls
		answered, both, verified := 0, 0, 0
		for id, c := range w.calls {
			if id&h323Calls == 0 {
				t.Fatalf("%s: call %x of H.323 has a number of SIP's", scenario, id)
			}
			if c.Verified {
				verified++
			}
			if c.Answer == 0 {
				if c.End != 0 && c.Cause < 300 {
					t.Errorf("%s: a call that was not answered ends with %d", scenario, c.Cause)
				}
				continue
			}
			answered++
			if w.voice[id] == 2 {
				both++
			}
			if c.CalleeKey == 0 || c.Invite == 0 || c.Trying < c.Invite || c.Ringing < c.Trying || c.Answer < c.Ringing || c.End != 0 && c.End < c.Answer {
				t.Errorf("%s: %+v", scenario, c)
			}
		}
		if n := want.Inbound + want.Outbound; len(w.calls) > n || len(w.calls) < n-2 || verified < n-3 {
			t.Errorf("%s: %d calls, %d verified; the truth is %d", scenario, len(w.calls), verified, n)
		}
		if answered > want.Answered || answered < want.Answered-2 || both < answered*9/10 {
			t.Errorf("%s: %d answered, %d with voice both ways; the truth is %d", scenario, answered, both, want.Answered)
		}
		if len(w.regs) == 0 || w.regs[0].Seen != sip.SeenRequest|sip.SeenResponse || w.regs[0].Accepted == 0 || w.regs[0].Interval != 0 {
			t.Errorf("%s: registrations %+v", scenario, w.regs)
		}
		if r.Stats.H323 == 0 || r.Stats.Messages != 0 {
			t.Errorf("%s: %+v", scenario, r.Stats)
		}
	}
}

// Of several calls between two addresses, voice belongs to the one answered last
// before it that has none; and none is found once the calls are over.
func TestPairs(t *testing.T) {
	a, b := ident.AddrFrom4([]byte{192, 0, 2, 1}), ident.AddrFrom4([]byte{198, 51, 100, 1})
	at := func(s int64) int64 { return 1e18 + s*1e9 }
	x := newPairs()
	call := func(id uint64, answer int64) *sip.Call {
		return &sip.Call{ID: id, Caller: sip.Party{Addr: a}, Callee: sip.Party{Addr: b}, Answer: at(answer)}
	}
	voice := func(src, dst ident.Addr, start int64) *rtp.Stream {
		return &rtp.Stream{Flow: rtp.Flow{Src: src, Dst: dst, SrcPort: 5000, DstPort: 6000}, Start: at(start), End: at(start + 3)}
	}
	find := func(src, dst ident.Addr, start int64, want uint64) {
		t.Helper()
		got, fromCaller, ok := x.find(voice(src, dst, start))
		if got != want || ok != (want != 0) || ok && fromCaller != (src == a) {
			t.Errorf("voice from %v at %d: call %d, from the caller %v; want call %d", src, start, got, fromCaller, want)
		}
	}
	find(a, b, 0, 0)
	x.add(call(1, 0))
	x.add(call(2, 20))
	find(a, b, 1, 1)
	find(b, a, 21, 2)
	find(a, b, 21, 2)
	find(b, a, 22, 1)
	find(b, a, 23, 0) // both have theirs
	x.add(call(3, 40))
	find(a, b, 30, 0) // long before the answer
	x.ended(call(3, 40), at(50))
	find(a, b, 51, 0)
	find(a, b, 45, 3) // told of late
	x.advance(at(200))
	if len(x.byCall) != 2 {
		t.Errorf("%d calls kept, two are up", len(x.byCall))
	}
	x.ended(call(1, 0), at(200))
	x.ended(call(2, 20), at(200))
	x.advance(at(300))
	if len(x.byCall) != 0 || len(x.table) != 0 || len(x.expiry) != 0 {
		t.Errorf("something is left: %+v", x)
	}
	for i := range uint64(maxBetween + 5) {
		x.add(call(10+i, 0))
	}
	if x.refused != 5 {
		t.Errorf("%d refused", x.refused)
	}
}
