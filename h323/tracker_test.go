package h323

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
	"simtrap/packet"
)

// log is a Handler that writes down what it is told.
type log struct {
	events []string
	seen   map[uint64]Call
	regs   []Registration
}

func (l *log) H323Call(c *Call, ev CallEvent) {
	names := map[CallEvent]string{CallStarted: "started", CallMedia: "media", CallRinging: "ringing", CallAnswered: "answered", CallVerified: "verified", CallEnded: "ended"}
	l.events = append(l.events, fmt.Sprintf("%d %s", c.ID, names[ev]))
	if l.seen == nil {
		l.seen = make(map[uint64]Call)
	}
	l.seen[c.ID] = *c
}

func (l *log) H323Registration(r *Registration) { l.regs = append(l.regs, *r) }

// scene is a tracker with two hosts, the caller at 198.18.0.1 and the gateway at
// 198.51.100.7.
type scene struct {
	*Tracker
	log
	t   testing.TB
	now int64
}

func newScene(t testing.TB, cfg Config) *scene {
	s := &scene{t: t, now: 1e18}
	s.Tracker = NewTracker(cfg, &s.log)
	return s
}

var (
	switchAddr  = ident.AddrFrom4([]byte{198, 18, 0, 1})
	gatewayAddr = ident.AddrFrom4([]byte{198, 51, 100, 7})
)

func between(out bool, sport, dport uint16, now int64) *packet.Packet {
	p := &packet.Packet{Time: now, Src: switchAddr, Dst: gatewayAddr, SrcPort: sport, DstPort: dport, Proto: packet.TCP}
	if !out {
		p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	}
	return p
}

// say lets the caller's side (or the callee's) send a message after some
// seconds.
func (s *scene) say(after int64, byCaller bool, m Message) {
	s.now += after * second
	m.H225, m.FromCallee = true, !byCaller
	if m.Ref == 0 {
		m.Ref = 1
	}
	s.Message(between(byCaller, 40000, 1720, s.now), &m)
}

func (s *scene) told(want ...string) {
	s.t.Helper()
	if d := cmp.Diff(want, s.events); d != "" {
		s.t.Errorf("events (-want +got):\n%s", d)
	}
}

func TestCall(t *testing.T) {
	s := newScene(t, Config{})
	s.say(0, true, Message{Type: Setup, Called: number1("13800138000"), Calling: alias("gw"), Agent: alias("S 1"), Media: Media{switchAddr, 5004}})
	s.say(1, false, Message{Type: CallProceeding, Agent: alias("G 2")})
	s.say(4, false, Message{Type: Alerting})
	s.say(8, false, Message{Type: Connect, Media: Media{gatewayAddr, 6000}})
	s.say(30, true, Message{Type: ReleaseComplete, Cause: 16})
	s.told("1 started", "1 media", "1 verified", "1 ringing", "1 media", "1 answered", "1 ended")
	c := s.seen[1]
	start := int64(1e18)
	want := Call{
		ID: 1, Caller: Party{switchAddr, 40000}, Callee: Party{gatewayAddr, 1720},
		Setup: start, Proceeding: start + second, Alerting: start + 5*second, Answer: start + 13*second, End: start + 43*second, Last: start + 43*second,
		Cause: 200, EndedBy: SideCaller, FromCaller: true, FromCallee: true, Verified: true,
		CalleeKey: c.CalleeKey, CalleeClass: ident.NumberMobile, CallerKey: c.CallerKey, CallerClass: c.CallerClass, CalledUser: ident.NewNumber([]byte("13800138000")),
		CallerMedia: Media{switchAddr, 5004}, CalleeMedia: Media{gatewayAddr, 6000}, Agent: [2]string{"S 1", "G 2"},
	}
	if want != c {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if c.CalleeKey == 0 {
		t.Error("no key of the called number")
	}
}

// The same number has one key however it is written.
func TestCalledKey(t *testing.T) {
	s := newScene(t, Config{})
	for i, n := range []string{"13800138000", "+8613800138000", "008613800138000"} {
		s.say(0, true, Message{Type: Setup, Ref: uint16(i + 1), Called: number1(n)})
	}
	if a, b, c := s.seen[1].CalleeKey, s.seen[2].CalleeKey, s.seen[3].CalleeKey; a == 0 || a != b || b != c {
		t.Errorf("keys %x %x %x", a, b, c)
	}
	s.say(0, true, Message{Type: Setup, Ref: 9, Called: number1("1"), Calling: number1("13800138000"), Withheld: true})
	if c := s.seen[4]; c.CallerKey != 0 || c.CallerClass != ident.NumberUnknown {
		t.Errorf("a withheld number has a key: %x %v", c.CallerKey, c.CallerClass)
	}
}

// How a call that nobody answered ends, in terms of SIP.
func TestCauses(t *testing.T) {
	for _, c := range []struct {
		name     string
		byCaller bool
		m        Message
		want     uint16
	}{
		{"no circuit", false, Message{Cause: 34}, 503},
		{"busy", false, Message{Cause: 17}, 486},
		{"no user responding", false, Message{Cause: 18}, 408},
		{"unallocated", false, Message{Cause: 1}, 404},
		{"normal", false, Message{Cause: 16}, 480},
		{"interworking", false, Message{Cause: 127}, 500},
		{"reason inConf", false, Message{Reason: 11}, 486},
		{"reason gatewayResources", false, Message{Reason: 8}, 503},
		{"reason of a later version", false, Message{Reason: 25}, 480},
		{"cause before reason", false, Message{Cause: 17, Reason: 8}, 486},
		{"nothing said", false, Message{}, 480},
		{"given up", true, Message{Cause: 16}, 487},
	} {
		s := newScene(t, Config{})
		s.say(0, true, Message{Type: Setup, Called: number1("8001")})
		s.say(1, false, Message{Type: CallProceeding})
		c.m.Type = ReleaseComplete
		s.say(1, c.byCaller, c.m)
		if got := s.seen[1]; got.Cause != c.want || got.End == 0 || got.Answer != 0 {
			t.Errorf("%s: %d, want %d", c.name, got.Cause, c.want)
		}
	}
}

// A stranger's half of a call proves nothing, and what only one side says is not
// taken for an answer.
func TestNotVerified(t *testing.T) {
	s := newScene(t, Config{})
	s.say(0, true, Message{Type: Setup, Called: number1("8001")})
	s.say(1, true, Message{Type: Alerting})
	s.say(1, true, Message{Type: Connect})
	s.say(60, true, Message{Type: ReleaseComplete})
	s.told("1 started", "1 ended")
	if c := s.seen[1]; c.Verified || c.Answer != 0 || c.FromCallee || c.Cause != 0 {
		t.Errorf("%+v", c)
	}
}

// Where SETUP was out of sight the call is told of without a number, and is not
// verified.
func TestAnswersAlone(t *testing.T) {
	s := newScene(t, Config{})
	s.say(0, false, Message{Type: Alerting})
	s.say(5, false, Message{Type: Connect})
	s.say(5, false, Message{Type: ReleaseComplete})
	s.told("1 started", "1 ringing", "1 answered", "1 ended")
	if c := s.seen[1]; c.Verified || c.Setup != 0 || c.CalleeKey != 0 || c.Caller.Addr != switchAddr {
		t.Errorf("%+v", c)
	}
	// Its SETUP may come late, on a tap that puts directions out of order.
	s.say(0, false, Message{Type: CallProceeding, Ref: 2})
	s.say(0, true, Message{Type: Setup, Ref: 2, Called: number1("13800138000")})
	s.say(1, false, Message{Type: Alerting, Ref: 2})
	if c := s.seen[2]; !c.Verified || c.CalleeKey == 0 {
		t.Errorf("%+v", c)
	}
}

func TestStrays(t *testing.T) {
	s := newScene(t, Config{})
	s.say(0, true, Message{Type: ReleaseComplete})
	s.say(0, false, Message{Type: ReleaseComplete})
	s.say(0, true, Message{Type: Facility})
	s.say(0, true, Message{Type: Connect}) // nobody answers himself
	s.say(0, false, Message{Type: Setup})  // nor is asked by the callee
	s.Message(between(true, 1, 2, s.now), &Message{Type: Setup, Ref: 1})
	s.Message(between(true, 1, 2, s.now), &Message{Type: Status, Ref: 0})
	s.told()
	if c := s.Counters(); c.Strays != 5 || c.Unnamed != 1 || c.CallsStarted != 0 {
		t.Errorf("%+v", c)
	}
}

// Calls on one connection are told apart by reference and by who made them, and
// a reference that is used again is a new call.
func TestReferences(t *testing.T) {
	s := newScene(t, Config{})
	s.say(0, true, Message{Type: Setup, Ref: 5, CallID: [16]byte{1}})
	s.say(0, true, Message{Type: Setup, Ref: 5, CallID: [16]byte{1}}) // again
	s.say(0, true, Message{Type: Setup, Ref: 6, CallID: [16]byte{2}})
	m := Message{Type: Setup, Ref: 5, CallID: [16]byte{3}, H225: true}
	s.Message(between(false, 40000, 1720, s.now), &m) // the other way
	s.say(0, true, Message{Type: Setup, Ref: 5, CallID: [16]byte{4}})
	s.say(0, false, Message{Type: Connect, Ref: 5})
	s.told("1 started", "2 started", "3 started", "1 ended", "4 started", "4 answered", "4 verified")
	if c := s.seen[3]; c.Caller.Addr != gatewayAddr {
		t.Errorf("the third is called by %v", c.Caller.Addr)
	}
	if s.Counters().Repeats != 1 {
		t.Errorf("%+v", s.Counters())
	}
}

func TestGivenUp(t *testing.T) {
	s := newScene(t, Config{})
	s.say(0, true, Message{Type: Setup, Ref: 1})
	s.say(0, true, Message{Type: Setup, Ref: 2})
	s.say(0, false, Message{Type: Connect, Ref: 2})
	s.Advance(s.now + 239*second)
	s.told("1 started", "2 started", "2 answered", "2 verified")
	s.Advance(s.now + 240*second)
	s.Advance(s.now + 4*3600*second)
	s.told("1 started", "2 started", "2 answered", "2 verified", "1 ended", "2 ended")
	if c := s.seen[2]; c.End != 0 {
		t.Error("it has an end")
	}
}

// A flood of SETUPs meets itself, and not the calls that were answered.
func TestFlood(t *testing.T) {
	s := newScene(t, Config{Calls: 40})
	for i := range 20 {
		s.say(0, true, Message{Type: Setup, Ref: uint16(i + 1)})
		s.say(0, false, Message{Type: Connect, Ref: uint16(i + 1)})
	}
	for i := range 1000 {
		s.say(0, true, Message{Type: Setup, Ref: uint16(i + 1000)})
	}
	if n := len(s.Tracker.calls.index); n != 40 {
		t.Errorf("%d calls, room for 40", n)
	}
	if c := s.Counters(); c.CallsEvicted != 980 {
		t.Errorf("%d evicted", c.CallsEvicted)
	}
	for i := range uint64(20) {
		if slices.Contains(s.events, fmt.Sprintf("%d ended", i+1)) {
			t.Errorf("call %d was given up", i+1)
		}
	}
	s.Flush()
	if c := s.Counters(); c.CallsStarted != c.CallsEnded || len(s.Tracker.calls.index) != 0 {
		t.Errorf("%+v", c)
	}
}

// register lets endpoint or gatekeeper send a message of RAS.
func (s *scene) register(after int64, byEndpoint bool, b []byte) {
	s.t.Helper()
	s.now += after * second
	var m RAS
	if err := ParseRAS(b, &m); err != nil {
		s.t.Fatal(err)
	}
	p := between(!byEndpoint, 1719, 1719, s.now)
	p.Proto = packet.UDP
	s.RAS(p, &m)
}

// tell writes what was told of registrations.
func (s *scene) registered() (out []string) {
	for _, r := range s.regs {
		out = append(out, fmt.Sprintf("requests %d accepted %d refused %d interval %d removed %v seen %v %v", r.Requests, r.Accepted, r.Refused, r.Interval/second, r.Removed, r.FromClient, r.FromGatekeeper))
	}
	return out
}

func TestRegistration(t *testing.T) {
	s := newScene(t, Config{})
	s.register(0, true, rrq(t, "0001", false))
	s.register(0, false, rcf(t, "0001"))
	s.register(0, false, rcf(t, "0001")) // again
	s.register(50, true, rrq(t, "0002", true))
	s.register(0, false, rcf(t, "0002"))
	s.register(5, true, urq(t, "0003"))
	s.register(0, false, ucf(t, "0003"))
	want := []string{
		"requests 1 accepted 1 refused 0 interval 0 removed false seen true true",
		"requests 1 accepted 1 refused 0 interval 0 removed false seen true true",
		"requests 2 accepted 2 refused 0 interval 50 removed false seen true true",
		"requests 2 accepted 2 refused 0 interval 0 removed false seen true true",
		"requests 3 accepted 2 refused 0 interval 0 removed true seen true true",
		"requests 3 accepted 2 refused 0 interval 0 removed true seen true true",
	}
	if r := s.regs[4]; r.Time-r.Last != 5*second {
		t.Errorf("removed %d s after its last refresh, want 5", (r.Time-r.Last)/second)
	}
	if d := cmp.Diff(want, s.registered()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	a, b := s.regs[0], s.regs[1]
	if a.Client.Addr != gatewayAddr || a.Gatekeeper.Addr != switchAddr || a.Expires != 60 || a.Agent != "AB" || a.Signal.Port != 1720 {
		t.Errorf("%+v", a)
	}
	if a.AccountKey == b.AccountKey || a.SignalKey != b.SignalKey || s.regs[2].AccountKey != a.AccountKey {
		t.Error("keys do not tell two names on one socket")
	}
	// A call to the name registered is one to the line's own account.
	s.say(0, true, Message{Type: Setup, Called: number1("8001")})
	if a.UserKey == 0 || s.seen[1].CalleeKey != a.UserKey {
		t.Errorf("keys %x and %x", s.seen[1].CalleeKey, a.UserKey)
	}
	if out := fmt.Sprintf("%v %+v", a.Account, a); strings.Contains(out, "8001") {
		t.Errorf("the account prints: %s", out)
	}
}

// An answer to another sequence number, or to nothing, is no answer.
func TestUnasked(t *testing.T) {
	s := newScene(t, Config{})
	s.register(0, true, rrq(t, "0001", false))
	s.register(0, false, rcf(t, "0009"))
	s.register(0, false, ucf(t, "0001"))
	if len(s.regs) != 0 || s.Counters().Unasked != 2 {
		t.Errorf("%v, %+v", s.registered(), s.Counters())
	}
	s.register(0, false, rcf(t, "0001"))
	s.register(0, false, rcf(t, "0002"))
	if len(s.regs) != 2 || s.Counters().Unasked != 3 {
		t.Errorf("%v, %+v", s.registered(), s.Counters())
	}
}

func TestRefused(t *testing.T) {
	s := newScene(t, Config{})
	s.register(0, true, rrq(t, "0001", true))
	s.register(0, false, rrj(t, "0001", "1 0000100 =0100")) // register wholly
	s.register(0, true, rrq(t, "0002", false))
	s.register(0, false, rrj(t, "0002", "0 110"))
	if d := cmp.Diff([]string{
		"requests 2 accepted 0 refused 1 interval 0 removed false seen true true",
		"requests 2 accepted 0 refused 1 interval 0 removed false seen true true",
	}, s.registered()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// One direction alone: what was sent stands for itself, what is answered too.
func TestRegistrationOneWay(t *testing.T) {
	s := newScene(t, Config{})
	s.register(0, true, rrq(t, "0001", false))
	s.register(0, true, rrq(t, "0001", false)) // the same again
	s.register(50, true, rrq(t, "0002", true))
	s.Flush()
	if d := cmp.Diff([]string{
		"requests 1 accepted 0 refused 0 interval 0 removed false seen true false",
		"requests 1 accepted 0 refused 0 interval 0 removed false seen true false",
		"requests 2 accepted 0 refused 0 interval 50 removed false seen true false",
		"requests 2 accepted 0 refused 0 interval 0 removed false seen true false",
	}, s.registered()); d != "" {
		t.Errorf("up (-want +got):\n%s", d)
	}
	s = newScene(t, Config{})
	s.register(0, false, rcf(t, "0001"))
	s.register(50, false, rcf(t, "0002"))
	if d := cmp.Diff([]string{
		"requests 1 accepted 1 refused 0 interval 0 removed false seen false true",
		"requests 2 accepted 2 refused 0 interval 50 removed false seen false true",
	}, s.registered()); d != "" {
		t.Errorf("down (-want +got):\n%s", d)
	}
}

func TestEndpointsBounded(t *testing.T) {
	s := newScene(t, Config{Endpoints: 8})
	for i := range 100 {
		var m RAS
		if err := ParseRAS(rrq(t, "0001", false), &m); err != nil {
			t.Fatal(err)
		}
		s.RAS(between(false, uint16(1000+i), 1719, s.now), &m)
	}
	if n, c := len(s.endpoints.index), s.Counters(); n != 8 || c.EndpointsEvicted != 92 {
		t.Errorf("%d endpoints, %d evicted", n, c.EndpointsEvicted)
	}
}

func FuzzTracker(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200, 250})
	f.Fuzz(func(t *testing.T, script []byte) {
		types := []MessageType{Setup, CallProceeding, Alerting, Progress, Connect, ReleaseComplete, Facility, Status}
		kinds := []RASKind{RegistrationRequest, RegistrationConfirm, RegistrationReject, UnregistrationRequest, UnregistrationConfirm, GatekeeperRequest}
		s := newScene(t, Config{Calls: 4, Endpoints: 3})
		open := map[uint64]bool{}
		for i := 0; i+1 < len(script); i += 2 {
			a, b := script[i], script[i+1]
			s.now += int64(a) * second
			if b&0x40 == 0 {
				m := Message{Type: types[b&7], Ref: uint16(b >> 3 & 3), FromCallee: b&0x20 != 0, H225: a&1 == 0, CallID: [16]byte{a & 2}, Cause: a}
				s.Message(between(b&0x80 == 0, uint16(40000+int(a&1)), 1720, s.now), &m)
			} else {
				m := RAS{Kind: kinds[int(b&15)%len(kinds)], Seq: uint16(a & 3)}
				if a&4 != 0 {
					m.Aliases = []Alias{number1("8001")}
				}
				s.RAS(between(b&0x80 == 0, uint16(1719+int(a&7)), 1719, s.now), &m)
			}
			if len(s.Tracker.calls.index) > 4 || len(s.endpoints.index) > 3 {
				t.Fatal("a table outgrows its room")
			}
		}
		s.Flush()
		for _, e := range s.events {
			var id uint64
			var what string
			fmt.Sscan(e, &id, &what)
			if was, known := open[id]; what == "started" == known || what != "started" && !was {
				t.Fatalf("%s: %v", e, s.events)
			}
			open[id] = what != "ended"
		}
		for id, o := range open {
			if o {
				t.Errorf("call %d never ends", id)
			}
		}
	})
}
