package control

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
)

// wire feeds packets through a Set, or framers where they are TCP, to Sessions.
type wire struct {
	t        testing.TB
	set      *Set
	streams  map[way]*Stream
	sessions *Sessions
	changed  int
}

func newWire(t testing.TB, l Limits) *wire {
	return &wire{t: t, set: New(), streams: map[way]*Stream{}, sessions: NewSessions(l)}
}

func (x *wire) record(r *Record) {
	for _, e := range func() []*Evidence { a, b := x.sessions.Record(r); return []*Evidence{a, b} }() {
		if e != nil {
			x.changed++
			if e.Owner != r.Src && e.Owner != r.Dst {
				x.t.Errorf("evidence about %v by a packet from %v to %v", e.Owner, r.Src, r.Dst)
			}
		}
	}
}

func (x *wire) udp(w way, at int64, text string) {
	x.set.UDP(w.packet(at, []byte(text)), x.record)
}

func (x *wire) tcp(w way, at int64, b []byte) {
	w = w.tcp()
	if x.streams[w] == nil {
		x.streams[w] = x.set.NewStream(nil)
	}
	x.streams[w].Push(w.packet(at, b), x.record)
}

// about gives the only evidence about an address, nil when there is none.
func (x *wire) about(a ident.Addr) *Evidence {
	x.t.Helper()
	var found *Evidence
	for _, e := range x.sessions.All() {
		if e.Owner == a {
			if found != nil {
				x.t.Fatalf("more than one evidence about %v", a)
			}
			found = e
		}
	}
	return found
}

// plan is a course of keepalives, of which each test leaves out one thing.
type plan struct {
	rounds   int
	period   int64
	channels int
	answers  bool
	late     int64 // of the answers
	wrong    bool  // answers carry another number
	bad      bool  // check digits of the IMEI are wrong
	copies   int   // of every packet, 1 ms apart
}

func (p plan) run(x *wire) {
	for i := range p.rounds {
		for c := range p.channels {
			at := int64(i)*p.period + int64(c)*second/10
			imei, imsi, iccid := imei1, imsi1, iccid1
			if c%2 == 1 {
				imei, imsi, iccid = imei2, imsi2, iccid2
			}
			if p.bad {
				imei = "356938035643808"
			}
			w := up(uint16(20000 + c))
			n := 100 + i
			text := keepalive(n, fmt.Sprintf("g%d", c), imei, imsi, iccid)
			answer := fmt.Sprintf("reg:%d;status:0;", n)
			if p.wrong {
				answer = fmt.Sprintf("reg:%d;status:0;", n+5000)
			}
			for k := range p.copies + 1 {
				x.udp(w, at+int64(k)*1e6, text)
			}
			if p.answers {
				x.udp(w.back(), at+3e6+p.late, answer)
			}
		}
	}
}

var proving = plan{rounds: 3, period: 30 * second, channels: 2, answers: true}

// Proof falls with each of its conditions.
func TestProof(t *testing.T) {
	for _, c := range []struct {
		name          string
		change        func(*plan)
		proof, oneWay bool
		reason        string
	}{
		{"all conditions", func(*plan) {}, true, false, "6 answered records over 60 s, 2 channels or cards"},
		{"two rounds of two", func(p *plan) { p.rounds, p.period = 2, 61*second }, true, false, "4 answered records"},
		{"too few records", func(p *plan) { p.rounds, p.period, p.channels = 2, 100*second, 1 }, false, false, "2 of 3 sound records"},
		{"too short", func(p *plan) { p.period = 29 * second }, false, false, "58 of 60 s"},
		{"one channel", func(p *plan) { p.channels = 1 }, false, false, "1 of 2 channels or cards"},
		{"wrong check digits", func(p *plan) { p.bad = true }, false, false, ""},
		{"other numbers answered", func(p *plan) { p.wrong = true }, false, false, "0 of 3 sound records, answered"},
		{"answers too late", func(p *plan) { p.late = 11 * second }, false, false, "0 of 3 sound records, answered"},
		{"answers just in time", func(p *plan) { p.late = 9 * second }, true, false, ""},
		{"peer not seen", func(p *plan) { p.answers = false }, true, true, "6 sound records over 60 s, 2 channels or cards, peer not seen"},
		{"peer not seen, four records", func(p *plan) { p.answers, p.rounds, p.period = false, 2, 70*second }, false, false, "4 of 5 sound records, peer not seen"},
		{"peer not seen, too short", func(p *plan) { p.answers, p.period = false, 20*second }, false, false, "40 of 60 s"},
		{"peer not seen, one channel", func(p *plan) { p.answers, p.rounds, p.channels = false, 6, 1 }, false, false, "1 of 2 channels or cards, peer not seen"},
		{"copies count once", func(p *plan) { p.rounds, p.channels, p.period, p.copies = 2, 1, 100*second, 9 }, false, false, "2 of 3 sound records"},
		{"copies of one way count once", func(p *plan) { p.answers, p.rounds, p.period, p.copies = false, 2, 70*second, 9 }, false, false, "4 of 5 sound records"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := proving
			c.change(&p)
			x := newWire(t, Limits{})
			p.run(x)
			e := x.about(gateway)
			if p.bad {
				if e != nil {
					t.Fatalf("evidence of what is not sound: %+v", e)
				}
				return
			}
			proof, oneWay, reason := e.Proof()
			if proof != c.proof || oneWay != c.oneWay || !strings.Contains(reason, c.reason) {
				t.Errorf("got %v, %v, %q", proof, oneWay, reason)
			}
			if e.Owner != gateway || e.Peer != server || e.PeerPort != 44444 || e.Role != RoleGateway {
				t.Errorf("%+v", e)
			}
			leaks(t, e, x.sessions)
		})
	}
	for _, role := range []Role{RoleUnknown, RoleServer} {
		x := newWire(t, Limits{})
		proving.run(x)
		e := *x.about(gateway)
		e.Role = role
		if proof, oneWay, _ := e.Proof(); proof || oneWay {
			t.Errorf("proof in the role of %v", role)
		}
	}
}

func TestEvidenceCards(t *testing.T) {
	x := newWire(t, Limits{})
	proving.run(x)
	w := up(20000)
	e := x.about(gateway)
	if got := e.Cards(); len(got) != 2 || !got[0].Verified || !got[1].Verified || e.Channels() != 2 || e.Changes != 0 {
		t.Fatalf("%d cards, %d channels, %d changes", len(got), e.Channels(), e.Changes)
	}
	if e.Seen != (Tally{2, 2, 2, 2}) || e.Verified != e.Seen || e.Sound != 6 || e.Answered != 6 || e.OneWay {
		t.Errorf("%+v", e)
	}
	// An event of a channel is about the card in it.
	x.udp(w, 100*second, "STATE:9;id:g0;password:x;gsm_remain_state:IDLE")
	if len(e.Cards()) != 2 || e.Sound != 7 {
		t.Errorf("%d cards", len(e.Cards()))
	}
	// Another card in the same channel, and back.
	x.udp(w, 130*second, keepalive(1, "g0", imei1, "460005555555555", ""))
	x.udp(w, 160*second, keepalive(2, "g0", imei1, imsi1, iccid1))
	x.udp(w, 190*second, keepalive(3, "g0", imei1, imsi1, iccid1))
	if e.Changes != 2 || e.Seen.IMSIs != 3 || e.Verified.IMSIs != 2 {
		t.Errorf("%d changes, %+v", e.Changes, e.Seen)
	}
	if got := e.Cards()[2]; got.Verified || got.First != got.Last || got.Last != start+130*second {
		t.Errorf("%+v", got)
	}
	if x.changed == 0 {
		t.Error("nothing was told")
	}
}

// Messages towards a home say nothing about the home, whatever they claim and
// whatever it answers.
func TestSpoofedTowardsHome(t *testing.T) {
	home, stranger := gateway, server
	away := way{stranger, home, 44444, 7, 17}
	identity := func(c int) (string, string, string) {
		if c == 1 {
			return imei2, imsi2, iccid2
		}
		return imei1, imsi1, iccid1
	}
	for name, send := range map[string]func(x *wire, i, c int, at int64){
		"keepalives": func(x *wire, i, c int, at int64) {
			a, b, d := identity(c)
			x.udp(away, at, keepalive(i, fmt.Sprint("g", c), a, b, d))
		},
		"keepalives sent back by an echo service": func(x *wire, i, c int, at int64) {
			a, b, d := identity(c)
			text := keepalive(i, fmt.Sprint("g", c), a, b, d)
			x.udp(away, at, text)
			x.udp(away.back(), at+1e6, text)
			x.udp(away, at+2e6, fmt.Sprintf("reg:%d;status:0;", i))
		},
		"a server's answers and commands": func(x *wire, i, c int, at int64) {
			x.udp(away, at, fmt.Sprintf("reg:%d;status:0;", i))
			x.udp(away, at+1, "STATE 5 OK")
			x.udp(away, at+2, "get_gsm_num 5 x")
			x.udp(away, at+3, "MSG 5 1 a")
		},
		"SIM bank of both roles": func(x *wire, i, c int, at int64) {
			line := uint32(line1 + c)
			for k, f := range [][]byte{smb(line, 3, 2, token(line)...), smb(line, 0x5b, 1), smb(line, 0xc8, 2, token(uint32(i))...), smb(line, 0, 1, token(uint32(i), 0xa4, 0x90, 0)...)} {
				x.udp(away, at+int64(k), string(f))
			}
		},
		"logins sent back by an echo service, the acceptance lost on its way": func(x *wire, i, c int, at int64) {
			line := uint32(line1 + c)
			login := string(smb(line, 3, 2, token(line)...))
			x.udp(away, at, login)
			x.udp(away.back(), at+1e6, login)
			x.udp(away, at+2e6, string(smb(line, 0x5b, 1)))
			x.udp(away, at+3e6, login)
			x.udp(away.back(), at+4e6, login)
		},
		"SIM commands sent back": func(x *wire, i, c int, at int64) {
			line := uint32(line1 + c)
			apdu := string(smb(line, 0, 2, token(uint32(i), 0xa0, 0xa4, 0, 0, 2, 0x6f, 0x3c)...))
			x.udp(away, at, apdu)
			x.udp(away.back(), at+1e6, apdu)
			card := string(smb(line, 0, 1, token(uint32(i), 0xa4, 0x90, 0)...))
			x.udp(away, at+2e6, card)
			x.udp(away.back(), at+3e6, card)
		},
		"ports over TCP, sent back": func(x *wire, i, c int, at int64) {
			f := dwg(uint32(i*10+c), at, 7, 2, 0, 0)
			x.tcp(away, at, f)
			x.tcp(away.back(), at+1e6, f)
			x.tcp(away, at+2e6, dwg(uint32(i*10+c), at, 8, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newWire(t, Limits{})
			for i := range 20 {
				for c := range 2 {
					send(x, i, c, int64(i)*30*second+int64(c)*second)
				}
			}
			for _, e := range x.sessions.All() {
				if e.Owner == home {
					proof, oneWay, reason := e.Proof()
					t.Errorf("evidence about the home: %v %v %s, %+v", proof, oneWay, reason, e)
				}
			}
		})
	}
}

func TestSIMBankSession(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		t.Run(fmt.Sprint("tcp ", tcp), func(t *testing.T) {
			x := newWire(t, Limits{})
			send := func(w way, at int64, b []byte) {
				if tcp {
					x.tcp(w, at, b)
				} else {
					x.udp(w, at, string(b))
				}
			}
			for c := range uint32(2) {
				line, w := line1+c, up(uint16(30000+c))
				send(w, 0, smb(line, 3, 2, token(line)...))
				send(w.back(), 3e6, smb(line, 0x5b, 1))
				send(w.back(), 4e6, smb(line, 0x28, 0))
				send(w.back(), 5e6, smb(line, 3, 2, token(line)...))
				for i := range int64(4) {
					at := second + i*25*second
					send(w, at, smb(line, 3, 2, token(line)...))
					send(w.back(), at+3e6, smb(line, 3, 2, token(line)...))
					send(w, at+second, smb(line, 0, 2, token(uint32(i), 0xa0, 0xa4, 0, 0, 2, 0x6f, 0x07)...))
					send(w.back(), at+second+40e6, smb(line, 0, 1, token(uint32(i)+70, 0xa4, 0x9f, 0x0f)...))
				}
				send(w, 110*second, smb(line, 0, 2, token(50, 0xa0, 0xb0, 0, 0, 9)...))
				ef := []byte{0xb0, 0x08, 0x49, 0x06, 0x00, 0x21, 0x43, 0x65, 0x87, byte(c)<<4 | 9, 0x90, 0}
				send(w.back(), 110*second+40e6, smb(line, 0, 1, token(51, ef...)...))
			}
			g, b := x.about(gateway), x.about(server)
			if g == nil || b == nil || g.Role != RoleGateway || b.Role != RoleBank {
				t.Fatalf("%+v, %+v", g, b)
			}
			for _, e := range []*Evidence{g, b} {
				if proof, oneWay, reason := e.Proof(); !proof || oneWay {
					t.Errorf("%v: %s", e.Role, reason)
				}
				if e.TCP != tcp || e.Channels() != 2 {
					t.Errorf("%+v", e)
				}
			}
			if len(g.Cards()) != 0 || len(b.Cards()) != 2 || b.Seen.IMSIs != 2 {
				t.Errorf("cards are the bank's: %d, %d", len(g.Cards()), len(b.Cards()))
			}
		})
	}
}

// The server alone, which a gateway's card side does not speak for, is not
// multi-SIM equipment.
func TestServerProvesNothing(t *testing.T) {
	x := newWire(t, Limits{})
	for i := range int64(20) {
		w := up(30000)
		x.udp(w, i*30*second, string(smb(line1, 3, 2, token(line1)...)))
		x.udp(w.back(), i*30*second+1e6, string(smb(line1, 0x5b, 1)))
		x.udp(w.back(), i*30*second+2e6, string(smb(line1, 0xc9, 1, token(0x4e609)...)))
	}
	if e := x.about(server); e != nil {
		t.Errorf("%+v", e)
	}
	if e := x.about(gateway); e == nil || e.OneWay {
		t.Errorf("%+v", e)
	}
}

func TestDinstarSession(t *testing.T) {
	for _, both := range []bool{true, false} {
		x := newWire(t, Limits{})
		w := up(33000)
		serial := uint32(0)
		ask := func(at int64, kind, answer uint16, body ...byte) {
			serial++
			x.tcp(w, at, dwg(serial, at, kind, body...))
			if both {
				var ok []byte
				if answer != 0 {
					ok = []byte{0}
				}
				x.tcp(w.back(), at+5e6, dwg(serial, at, answer, ok...))
			}
		}
		ask(0, 15, 16, dwgLogin()...)
		for i := range int64(5) {
			ask(second+i*45*second, 0, 0)
			ask(10*second+i*45*second, 7, 8, 4, 0, 2, 1, 3)
		}
		e := x.about(gateway)
		proof, oneWay, reason := e.Proof()
		if !proof || oneWay == both || e.Sound != 10 || e.Channels() != 3 {
			t.Errorf("both %v: %v %v %s, %+v", both, proof, oneWay, reason, e)
		}
		if x.about(server) != nil {
			t.Error("evidence about the server")
		}
		leaks(t, e, x.sessions)
	}
}

// A command of the server and the gateway's answer to it.
func TestCommandAnswered(t *testing.T) {
	x := newWire(t, Limits{})
	proving.run(x)
	e := x.about(gateway)
	before := *e
	w := up(20000)
	x.udp(w.back(), 100*second, "GSM 4 "+secret)
	x.udp(w, 100*second+1e8, "GSM:4;get_gsm_num:(null);get_exp_time:0;get_remain_time:0;get_gsm_state:IDLE;imei:"+imei1+";out_call_interval:0;module_down:0")
	if e.Answered != before.Answered+1 || e.Sound != before.Sound+1 {
		t.Errorf("an answer to the peer's command counts: %d, %d", e.Answered, e.Sound)
	}
	if x.sessions.Stats().Unmatched != 0 {
		t.Errorf("%+v", x.sessions.Stats())
	}
	x.udp(w, 200*second, "OK 5 5")
	if s := x.sessions.Stats(); s.Unmatched != 1 || e.Sound != before.Sound+1 {
		t.Errorf("%+v", s)
	}
}

func TestStrayed(t *testing.T) {
	x := newWire(t, Limits{})
	x.udp(up(1), 0, "OK 5 5")
	x.udp(up(1).back(), 0, "reg:5;status:0;")
	if s := x.sessions.Stats(); s.Strayed != 2 || x.changed != 0 || x.sessions.flows.len() != 0 {
		t.Errorf("%+v", s)
	}
}

func TestCopies(t *testing.T) {
	x := newWire(t, Limits{})
	p := proving
	p.copies = 2
	p.run(x)
	if e := x.about(gateway); e.Sound != 6 || e.Answered != 6 || x.sessions.Stats().Copies != 12 {
		t.Errorf("%d sound, %d answered, %+v", e.Sound, e.Answered, x.sessions.Stats())
	}
}

// Everything a stranger can fill is bounded, and what goes is counted.
func TestBounds(t *testing.T) {
	x := newWire(t, Limits{Evidences: 40, Flows: 50, Cards: 100})
	// A gateway with both directions seen, before and after a flood of forged ones.
	proving.run(x)
	for i := range uint32(5000) {
		w := up(20000)
		w.src = ident.AddrFrom4(binary.BigEndian.AppendUint32(nil, 0x0a000000+i))
		x.udp(w, 70*second+int64(i)*second, keepalive(1, "g", imei1, imsi1, iccid1))
	}
	s := x.sessions
	if n := s.fresh.len() + s.firm.len(); n > 40 || s.flows.len() > 50 || len(s.fresh.entries) > 40 || len(s.flows.entries) > 50 {
		t.Errorf("%d evidences, %d flows", n, s.flows.len())
	}
	if st := s.Stats(); st.Evidences != 5000-30 || st.Flows == 0 {
		t.Errorf("%+v", st)
	}
	if e := x.about(gateway); e == nil {
		t.Error("a flood of forged senders drove out an answered gateway")
	}
	// One sender with ever new cards.
	for i := range 5000 {
		x.udp(up(1), 6000*second+int64(i)*60e6, keepalive(i, fmt.Sprint("c", i), imei1, imsi1, iccid1))
	}
	if e := x.about(gateway); len(e.cards) != maxCards || s.cards < maxCards || s.Stats().Cards == 0 {
		t.Errorf("%d cards, %d in all, %+v", len(e.cards), s.cards, s.Stats())
	}
	// More cards than there may be in all drive out evidence, not each other's.
	for i := range uint32(300) {
		w := up(1)
		w.src = ident.AddrFrom4(binary.BigEndian.AppendUint32(nil, 0x0b000000+i%7))
		x.udp(w, 6400*second+int64(i)*60e6, keepalive(int(i), fmt.Sprint("c", i), imei1, imsi1, iccid1))
	}
	total := 0
	for _, e := range s.All() {
		total += len(e.cards)
	}
	if total != s.cards {
		t.Errorf("%d cards counted, %d there", s.cards, total)
	}
	if total > 100+maxCards {
		t.Errorf("%d cards", total)
	}
	// Requests without answers.
	for i := range 200 {
		x.udp(up(2), 6500*second+int64(i)*60e6, keepalive(i, "c", imei1, imsi1, iccid1))
	}
	if s.Stats().Forgotten == 0 {
		t.Errorf("%+v", s.Stats())
	}
	s.flows.each(func(f *flow) {
		if len(f.pending) > maxPending {
			t.Errorf("%d requests wait", len(f.pending))
		}
	})
}

func TestSessionsDeterministic(t *testing.T) {
	run := func() []Evidence {
		x := newWire(t, Limits{Evidences: 8, Flows: 20, Cards: 30})
		for i := range uint32(200) {
			w := up(uint16(i % 5))
			w.src = ident.AddrFrom4(binary.BigEndian.AppendUint32(nil, 0x0a000000+i%13))
			n := int(i)
			x.udp(w, int64(i)*second, keepalive(n, fmt.Sprint("g", i%4), imei1, imsi1, iccid1))
			x.udp(w.back(), int64(i)*second+1e6, fmt.Sprintf("reg:%d;status:0;", n))
		}
		var out []Evidence
		for _, e := range x.sessions.All() {
			c := *e
			out = append(out, c)
		}
		return out
	}
	a, b := run(), run()
	if len(a) == 0 {
		t.Fatal("nothing")
	}
	allow := cmp.AllowUnexported(Evidence{}, Card{}, ident.Addr{}, ident.IMSI{}, ident.IMEI{}, ident.ICCID{}, ident.Number{})
	if d := cmp.Diff(a, b, allow); d != "" {
		t.Error(d)
	}
	if !slices.IsSortedFunc(a, func(x, y Evidence) int { return x.Owner.Compare(y.Owner) }) {
		t.Error("not sorted")
	}
}

// Another realm, another protocol and another peer are other evidence; the
// peer's port is not.
func TestEvidenceApart(t *testing.T) {
	x := newWire(t, Limits{})
	text := keepalive(1, "g", imei1, imsi1, iccid1)
	x.udp(up(1), 0, text)
	other := up(1)
	other.dstPort = 5
	x.udp(other, 0, text)
	other.dst = ident.AddrFrom4([]byte{192, 0, 2, 1})
	x.udp(other, 0, text)
	p := up(1).packet(0, []byte(text))
	p.Realm = 3
	x.set.UDP(p, x.record)
	x.udp(up(1), 0, string(smb(line1, 0xc8, 2, token(1)...)))
	keys := map[uint64]bool{}
	all := x.sessions.All()
	for _, e := range all {
		keys[e.Key()] = true
	}
	if len(all) != 4 || len(keys) != 3 {
		t.Errorf("%d evidences, %d keys", len(all), len(keys))
	}
}

// A gateway that repeats itself does not answer itself.
func TestRepeatedIsNotAnswered(t *testing.T) {
	x := newWire(t, Limits{})
	for i := range int64(4) {
		for c := range int64(2) {
			text := keepalive(int(i), fmt.Sprint("g", c), imei1, imsi1, iccid1)
			x.udp(up(uint16(20000+c)), i*30*second, text)
			x.udp(up(uint16(20000+c)), i*30*second+3*second, text)
		}
	}
	if e := x.about(gateway); e.Answered != 0 || e.Sound != 16 || !e.OneWay {
		t.Errorf("%d answered of %d", e.Answered, e.Sound)
	}
}

// A stream of which only the gateway's side is seen is not answered.
func TestTCPOneSide(t *testing.T) {
	x := newWire(t, Limits{})
	for i := range uint32(6) {
		at := int64(i) * 45 * second
		x.tcp(up(33000), at, dwg(i, at, 7, 2, 0, 0))
	}
	if e := x.about(gateway); e.Answered != 0 || e.Sound != 5 || e.Verified != (Tally{}) {
		t.Errorf("%+v", e)
	}
}

// What the peer answered for is counted among itself: a card seen before in a
// message without an answer takes nothing from it.
func TestVerifiedTally(t *testing.T) {
	x := newWire(t, Limits{})
	x.udp(up(1), 0, keepalive(1, "g0", imei1, imsi1, iccid1))
	x.udp(up(2), second, keepalive(2, "g1", imei1, imsi1, iccid1))
	x.udp(up(2).back(), second+1e6, "reg:2;status:0;")
	e := x.about(gateway)
	if e.Seen != (Tally{2, 1, 1, 1}) || e.Verified != (Tally{1, 1, 1, 1}) {
		t.Errorf("seen %+v, verified %+v", e.Seen, e.Verified)
	}
}
