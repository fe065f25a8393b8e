package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// messagesScenarios are boxes for short messages. The shares are guesses: SIP is
// what such boxes have in common, SMPP and their makers' protocols are spoken
// where a server of messages works them.
func messagesScenarios() []Scenario {
	const h = time.Hour
	drawn := func(name, text string, share float64, mute, bare bool, feed func(*gateway)) Scenario {
		return Scenario{Name: name, Text: text, Box: true, Class: ClassMessageBox, Share: share, duration: h, build: func(s *sim) {
			p := gatewayPlan{name: name, span: h, class: ClassMessageBox, noun: "message box", mute: mute, silent: mute, accounts: accountAny, least: 2, most: 128}
			p.bare = bare && s.rng(name).IntN(2) == 0
			g := s.gateway(p)
			if !mute { // calls are what it does besides
				g.gap = min(g.gap*time.Duration(1+g.r.IntN(8)), g.span/40)
			}
			g.l.shows(ShowMessages)
			feed(g)
		}}
	}
	return []Scenario{
		drawn("message-sip", "message box that is handed its messages over SIP", 0.35, true, false, (*gateway).textsBySIP),
		drawn("message-sip-voice", "message box over SIP that carries calls as well", 0.15, false, false, (*gateway).textsBySIP),
		drawn("message-smpp", "message box that is a short-message centre, or is bound to one", 0.2, true, true, (*gateway).textsBySMPP),
		drawn("message-smpp-voice", "the same with calls", 0.1, false, false, (*gateway).textsBySMPP),
		drawn("message-vendor", "message box worked by an SMS server in the words of one maker", 0.2, true, true, (*gateway).textsByServer),
	}
}

// outbox is what a message box sends.
type outbox struct {
	r       *rand.Rand
	gap     time.Duration // between messages
	kind    int
	reports float64 // share of messages that are reported on
	answers float64 // that somebody answers
}

func newOutbox(r *rand.Rand) *outbox {
	return &outbox{
		r: r, gap: time.Duration(magnitude(r, float64(2*time.Second), float64(50*time.Second))),
		kind: r.IntN(4), reports: pick(r, 0, 1, 1, share(r, 0, 1), share(r, 0, 1)), answers: share(r, 0, 0.2),
	}
}

// words draws a text: codes for accounts, lures, advertisements.
func (o *outbox) words() string {
	r := o.r
	switch o.kind {
	case 0:
		return fmt.Sprintf("code %06d, valid for %d minutes", r.IntN(1_000_000), pick(r, 5, 10, 30))
	case 1:
		return fmt.Sprintf("Your card was charged %d.%02d. Not you? http://%s.example/%s", r.IntN(9000), r.IntN(100), word(6)(r), word(5)(r))
	case 2:
		return pick(r, "Loans without papers", "Win every day", "Parcel held, pay the fee") + ", call " + mobile(r) + " " + word(3)(r)
	}
	return word(4 + r.IntN(40))(r)
}

// send calls fn for each message, in batches mostly, with rests.
func (o *outbox) send(s *sim, fn func()) {
	r := o.r
	batch := pick(r, 0, 10+r.IntN(90))
	left := batch
	s.every(s.start+int64(between(r, time.Second, time.Minute)), func() time.Duration {
		if batch > 0 {
			if left--; left <= 0 {
				left = 1 + r.IntN(2*batch)
				return between(r, time.Minute, 10*time.Minute)
			}
		}
		return expo(r, o.gap, 100*time.Millisecond, 20*o.gap)
	}, func() bool {
		fn()
		return true
	})
}

// textsBySIP lets the server hand messages to the box, which answers with
// reports and passes on what its cards received.
func (g *gateway) textsBySIP() {
	o, r, s := newOutbox(g.r), g.r, g.s
	sender := pick(r, "sms", "server", "1000", mobile(r))
	own := r.IntN(3) == 0 // reports come in words of its own, else as in SIP only
	codes := pick(r, []int{200}, []int{200, 200, 200, 202, 480}, []int{202, 202, 202, 503}, []int{200, 200, 200, 200, 200, 408, 603})
	o.send(s, func() {
		ch := &g.channels[r.IntN(len(g.channels))]
		box, target := ch.account, g.targets.next()
		s.text(g.ctrl, box, sender, target, o.words(), pick(r, codes...))
		if r.Float64() < o.reports {
			s.after(between(r, 3*time.Second, 12*time.Second), func() {
				said := fmt.Sprintf("report %d: sent", r.IntN(10000))
				if own {
					said = fmt.Sprintf("+CDS: %d,%d,\"%s\"", 6, r.IntN(256), target)
				}
				s.text(ch.account, g.ctrl, ch.account.user, sender, said, 200)
			})
		}
		if r.Float64() < o.answers {
			s.after(expo(r, 2*time.Minute, 10*time.Second, 20*time.Minute), func() {
				s.text(ch.account, g.ctrl, target, pick(r, sender, ch.card.MSISDN), pick(r, "ok", "who is this", "stop", "T", "yes"), 200)
			})
		}
	})
}

// textsByServer lets an SMS server work the box in DBL's protocol, in which it
// tells of its cards.
func (g *gateway) textsByServer() {
	r := g.r
	g.keepalives(g.s.host("sms server", r.IntN(10) < 7))
	g.l.shows(ShowControl, ShowCards)
	o := newOutbox(r)
	o.gap *= 3 // each is for several numbers
	o.send(g.s, func() {
		if i := g.free(); i >= 0 {
			g.sms.bulk(i, 1+r.IntN(6))
		}
	})
}

// smppSide is one of the two ends of SMPP 3.4: a centre, and a customer bound
// to it (research notes on gateways, section 2.8).
type smppSide struct {
	c    *conn
	side int // of the connection
	seq  uint32
	name string
}

const (
	smppBind    = 9 // as transceiver
	smppSubmit  = 4
	smppDeliver = 5
	smppEnquire = 0x15
	smppAnswer  = 0x80000000
)

func smppPDU(command, seq uint32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(16+len(body)))
	b = binary.BigEndian.AppendUint32(b, command)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, seq)
	return append(b, body...)
}

// ask sends a request at t and has it answered; it gives when that arrives.
func (x *smppSide) ask(t int64, command uint32, body, answer []byte) int64 {
	x.seq++
	t = x.c.send(t, x.side, smppPDU(command, x.seq, body))
	return x.c.send(t+int64(4*time.Millisecond), 1-x.side, smppPDU(command|smppAnswer, x.seq, answer))
}

// smppStrings ends each string with a zero.
func smppStrings(list ...string) []byte {
	var b []byte
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return b
}

// smppText is the body of submit_sm and deliver_sm.
func smppText(from, to string, class byte, text string) []byte {
	b := append(smppStrings(""), 1, 1)
	b = append(append(b, smppStrings(from)...), 1, 1)
	b = append(append(b, smppStrings(to)...), class, 0, 0, 0, 0, 1, 0, 0, 0)
	text = text[:min(len(text), 160)]
	return append(append(b, byte(len(text))), text...)
}

// textsBySMPP makes the box a centre to which its customer binds, once or for
// each channel; or binds the box to a server that hands it what to send.
func (g *gateway) textsBySMPP() {
	r, s := g.r, g.s
	server := s.host("message server", r.IntN(10) < 7)
	g.l.controls(server, "sms-server")
	port := pick(r, uint16(2775), 2775, 2776, 7777, 16000)
	centre := r.IntN(3) > 0
	binds, prefix := 1, pick(r, "goip", "goip0", "user", "sms", "ch")
	if r.IntN(2) == 0 {
		binds = min(len(g.channels), 48)
	}
	alive := time.Duration(pick(r, 5, 10, 30, 30, 60)) * time.Second
	ends := make([][2]*smppSide, binds) // who submits, and who delivers
	for i := range ends {
		x := &smppSide{name: fmt.Sprintf("%s%d", prefix, 1+i)}
		if centre {
			x.c = s.dial(server, uint16(33000+r.IntN(20000)), g.node, port, kindControl)
		} else {
			x.c = s.dial(g.node, uint16(33000+r.IntN(20000)), server, port, kindControl)
		}
		y := *x
		y.side, y.seq = 1, r.Uint32()>>12
		ends[i] = [2]*smppSide{x, &y}
		at := s.start + int64(i)*int64(300*time.Millisecond) + int64(between(r, 0, 5*time.Second))
		s.at(at, func() {
			who := append(smppStrings(x.name, word(8)(r), ""), 0x34, 0, 0, 0)
			x.ask(s.now, smppBind, who, smppStrings(pick(r, "SMSC", "smsc", "")))
		})
		s.every(at+int64(alive), func() time.Duration { return alive }, func() bool {
			x.ask(s.now, smppEnquire, nil, nil)
			return true
		})
	}
	o := newOutbox(r)
	sender := pick(r, "", "10690001", mobile(r))
	sent := 1000 + r.IntN(100000)
	s.after(10*time.Second+time.Duration(binds)*300*time.Millisecond, func() {
		o.send(s, func() {
			end := ends[r.IntN(binds)]
			target := g.targets.next()
			if !centre { // the server delivers to the box
				end[1].ask(s.now, smppDeliver, smppText(sender, target, 0, o.words()), smppStrings(""))
				return
			}
			sent++
			id := fmt.Sprintf("%08X", sent)
			end[0].ask(s.now, smppSubmit, smppText(sender, target, 0, o.words()), smppStrings(id))
			if r.Float64() < o.reports {
				s.after(between(r, 3*time.Second, 15*time.Second), func() {
					end[1].ask(s.now, smppDeliver, smppText(target, sender, 4, "id:"+id+" sub:001 dlvrd:001 stat:DELIVRD err:000"), smppStrings(""))
				})
			}
			if r.Float64() < o.answers {
				s.after(between(r, 20*time.Second, 10*time.Minute), func() {
					end[1].ask(s.now, smppDeliver, smppText(target, sender, 0, "ok"), smppStrings(""))
				})
			}
		})
	})
}
