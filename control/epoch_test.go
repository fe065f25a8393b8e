package control

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
)

// The number of cards agrees with the evidence there is after every record,
// whatever is evicted, trimmed and opened again.
func TestCardsCounted(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, l := range []Limits{{Evidences: 8, Flows: 20, Cards: 30}, {Evidences: 1000, Cards: 25}, {Evidences: 4, Cards: 1000}, {Cards: 3}} {
		x := newWire(t, l)
		s := x.sessions
		for i := range 4000 {
			at := int64(i) * second
			w := up(uint16(r.IntN(3)))
			w.src = ident.AddrFrom4(binary.BigEndian.AppendUint32(nil, 0x0a000000+r.Uint32N(12)))
			x.udp(w, at, keepalive(i, fmt.Sprint("g", r.IntN(9)), imei1, imsi1, iccid1))
			if r.IntN(2) == 0 {
				x.udp(w.back(), at+1e6, fmt.Sprintf("reg:%d;status:0;", i))
			}
			all, counted := s.All(), 0
			if r.IntN(3) == 0 {
				all[r.IntN(len(all))].Reopen()
			}
			for _, e := range all {
				counted += len(e.cards) + e.dropped
			}
			if counted != s.cards {
				t.Fatalf("%+v, record %d: %d cards counted, %d there", l, i, s.cards, counted)
			}
			if s.limits.Cards > 9 && s.cards > s.limits.Cards {
				t.Fatalf("%+v, record %d: %d cards", l, i, s.cards)
			}
		}
		for _, e := range s.All() {
			s.evicted(e)
		}
		if s.cards != 0 {
			t.Errorf("%+v: %d cards of no evidence", l, s.cards)
		}
	}
}

// A new epoch starts from nothing: no time before it, no card, and no answer to
// what was sent before.
func TestReopen(t *testing.T) {
	x := newWire(t, Limits{})
	proving.run(x)
	x.udp(up(20000), 90*second, keepalive(500, "g0", imei1, imsi1, iccid1))
	e := x.about(gateway)
	e.Reopen()
	if proof, _, _ := e.Proof(); proof || e.Answers != 0 || len(e.Cards()) != 0 {
		t.Errorf("%+v", e)
	}
	x.udp(up(20001), 91*second, keepalive(501, "g1", imei2, imsi2, iccid2))
	x.udp(up(20000).back(), 92*second, "reg:500;status:0;")
	if e.Answered != 0 || e.Verified != (Tally{}) || e.First != start+91*second || e.Last != e.First || e.Sound != 1 {
		t.Errorf("%+v", e)
	}
	x.udp(up(20001).back(), 93*second, "reg:501;status:0;")
	if e.Answered != 1 || e.AnsweredFirst != e.First || e.Verified != (Tally{1, 1, 1, 1}) {
		t.Errorf("%+v", e)
	}
}

func TestAnswers(t *testing.T) {
	x := newWire(t, Limits{})
	p := proving
	p.copies = 3
	p.run(x)
	e := x.about(gateway)
	if e.Answers != 6 {
		t.Errorf("%d answers", e.Answers)
	}
	// An answer that comes again, and again as a copy, answers nothing.
	for i := range int64(3) {
		x.udp(up(20000).back(), 61*second+i*1e6, "reg:102;status:0;")
	}
	if e.Answers != 6 || e.Answered != 6 {
		t.Errorf("%d answers, %d answered", e.Answers, e.Answered)
	}
	// Over TCP one message of the peer lets many count.
	x = newWire(t, Limits{})
	x.tcp(up(1), 0, dwg(1, 0, 15, dwgLogin()...))
	x.tcp(up(1).back(), 1e6, dwg(1, 0, 16, 0))
	for i := range uint32(5) {
		at := int64(i+1) * 30 * second
		x.tcp(up(1), at, dwg(i+2, at, 7, 2, 0, 0))
	}
	x.tcp(up(1).back(), 151*second, dwg(6, 150*second, 8, 0))
	if e := x.about(gateway); e.Answered != 5 || e.Answers != 1 {
		t.Errorf("%d answers, %d answered", e.Answers, e.Answered)
	}
}

// Only what comes on a flow of the owner's shows the peer.
func TestOneWayFlow(t *testing.T) {
	p := proving
	p.answers = false
	x := newWire(t, Limits{})
	p.run(x)
	other := up(9999).back()
	x.udp(other, 61*second, keepalive(1, "z", imei1, imsi1, iccid1))
	x.udp(other, 62*second, "reg:1;status:0;")
	e := x.about(gateway)
	if proof, oneWay, reason := e.Proof(); !proof || !oneWay || !e.OneWay {
		t.Errorf("%v %v %s", proof, oneWay, reason)
	}
	x.udp(up(20000).back(), 63*second, "reg:9999;status:0;")
	if proof, _, _ := e.Proof(); proof || e.OneWay {
		t.Error("the peer was seen")
	}
}

// The public description of a SIM bank, and the form with type 1 in all that
// the server sends: both are read, on either transport.
func TestSIMBankForms(t *testing.T) {
	for name, typ := range map[string]uint16{"public description": 2, "type 1 from the server": 1} {
		for _, tcp := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", tcp ", tcp), func(t *testing.T) {
				x := newWire(t, Limits{})
				sound := map[Kind]int{}
				unsound := 0
				record := func(r *Record) {
					if r.Sound {
						sound[r.Kind]++
					} else {
						unsound++
					}
					x.record(r)
				}
				streams := map[way]*Stream{}
				send := func(w way, at int64, b []byte) {
					if !tcp {
						x.set.UDP(w.packet(at, b), record)
						return
					}
					if w = w.tcp(); streams[w] == nil {
						streams[w] = x.set.NewStream(nil)
					}
					streams[w].Push(w.packet(at, b), record)
				}
				for c := range uint32(2) {
					line, w := line1+c, up(uint16(30000+c))
					own := token(line)
					var reset []byte
					ready, atr := uint16(1), fixedATR()[:14]
					if typ == 2 {
						reset, ready, atr = token(1), 0, fixedATR()
					}
					send(w, 0, smb(line, 3, 2, own...))
					send(w.back(), 1e8, smb(line, 0x5b, 1))
					send(w.back(), 2e8, smb(line, 0x28, ready))
					send(w.back(), 3e8, smb(line, 3, typ, own...))
					send(w.back(), 4e8, smb(line, 1, typ, own...))
					send(w, second, smb(line, 0xc8, 2, reset...))
					send(w.back(), second+1e8, smb(line, 0xc9, 1, token(0x4e608+c)...))
					send(w.back(), 7*second, smb(line, 0, 1, token(1, atr...)...))
					for i := range int64(4) {
						at := (20 + i*25) * second
						send(w, at, smb(line, 0, 2, token(uint32(i), 0xa0, 0xa4, 0, 0, 2, 0x6f, 7)...))
						send(w.back(), at+1e8, smb(line, 0, 1, token(uint32(i)+70, 0xa4, 0x9f, 0x17)...))
						send(w, at+second, smb(line, 3, 2, own...))
						send(w.back(), at+second+1e8, smb(line, 1, typ, own...))
					}
				}
				// Of each line: 6 logins, or 5 of the gateway and 1 given back; 5
				// keepalives of the server; 8 SIM commands and answers, and the
				// answer to reset if it is whole.
				whole, short := 0, 4
				if typ == 2 {
					whole, short = 2, 0
				}
				if sound[Login] != 12 || sound[Keepalive] != 10 || sound[APDU] != 16+whole || unsound != short {
					t.Errorf("sound %v, %d not", sound, unsound)
				}
				g, b := x.about(gateway), x.about(server)
				for _, e := range []*Evidence{g, b} {
					if e == nil {
						t.Fatal("no evidence")
					}
					if proof, oneWay, reason := e.Proof(); !proof || oneWay || e.Channels() != 2 || e.Answers == 0 {
						t.Errorf("%v: %s", e.Role, reason)
					}
				}
			})
		}
	}
}

// A channel that begins anew may hold another card: what was told of it before
// is not completed by what is told after.
func TestCardsDoNotMixAcrossResets(t *testing.T) {
	imsi := func(s string) ident.IMSI { i, _ := ident.NewIMSI([]byte(s)); return i }
	iccid := func(s string) ident.ICCID { i, _ := ident.NewICCID([]byte(s)); return i }
	e := &Evidence{}
	const channel = 7
	for i, r := range []Record{
		{ICCID: iccid(iccid1)}, {IMSI: imsi(imsi1)}, {Reset: true},
		{IMSI: imsi(imsi2)}, {Reset: true}, // its ICCID was lost
		{ICCID: iccid(iccid2)}, {IMSI: imsi("460005555555555")}, {Reset: true},
		{ICCID: iccid(iccid1)}, {}, {IMSI: imsi(imsi1)}, // the first again
	} {
		r.Channel, r.Time = channel, int64(i)
		e.card(&r)
	}
	var got []string
	for _, c := range e.cards {
		got = append(got, fmt.Sprint(c.IMSI == imsi(imsi1), c.IMSI == imsi(imsi2), c.ICCID == iccid(iccid1), c.ICCID == iccid(iccid2)))
	}
	want := []string{"true false true false", "false true false false", "false false false true"}
	if d := cmp.Diff(want, got); d != "" || e.Seen.IMSIs != 3 || e.Seen.ICCIDs != 2 {
		t.Errorf("%+v (-want +got):\n%s", e.Seen, d)
	}
}
