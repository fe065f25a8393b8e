package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// dinstarRig is a gateway that calls its management server by Dinstar's TCP
// interface (research notes on gateways, section 2.4).
type dinstarRig struct {
	*dinstar
	g      *rig
	r      *rand.Rand
	server *node
	port   uint16
	told   bool // the course of calls
	login  []byte
}

// dinstarServer lets the box keep a connection to a server at port.
func (g *rig) dinstarServer(port uint16) {
	r, n := g.r, len(g.channels)
	oui := pick(r, [3]byte{0xf8, 0xa0, 0x3d}, [3]byte{0xf8, 0xa0, 0x3d}, [3]byte{0x00, 0x1f, 0xd6}, [3]byte{0x68, byte(r.Uint32()), byte(r.Uint32())})
	host := g.s.host("management server", r.IntN(4) > 0)
	g.l.controls(host, "management")
	g.shows(ShowControl)
	x := &dinstarRig{
		dinstar: &dinstar{s: g.s, mac: [6]byte{oui[0], oui[1], oui[2], byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}, serial: uint32(r.IntN(60000))},
		g:       g, r: r, server: host, port: port, told: r.IntN(4) > 0,
	}
	if r.IntN(5) > 0 {
		x.login = make([]byte, 32)
		copy(x.login, pick(r, "admin", "api", word(6)(r)))
		copy(x.login[16:], word(4+r.IntN(10))(r))
	}
	x.connect()
	alive := pick(r, 45*time.Second, 45*time.Second, 45*time.Second, between(r, 20*time.Second, time.Minute))
	first := g.s.start + int64(between(r, 6*time.Second, 40*time.Second))
	g.s.every(first, func() time.Duration { return alive }, func() bool {
		x.tell(0, nil, 0)
		return true
	})
	if r.IntN(6) > 0 { // most report their ports
		period := pick(r, 30*time.Second, time.Minute, time.Minute, 5*time.Minute)
		g.s.every(first+int64(time.Second), func() time.Duration { return period }, func() bool {
			x.states()
			return true
		})
	}
	if r.IntN(4) == 0 {
		g.s.arrivals(r, g.s.start, between(r, 3*time.Minute, 15*time.Minute), func() { x.connect() })
	}
	x.messages(n)
	g.tell = append(g.tell, x)
}

// connect begins a new connection, as after a loss of the one before.
func (x *dinstarRig) connect() {
	x.c = x.s.dial(x.g.node, uint16(32768+x.r.IntN(28000)), x.server, x.port, kindControl)
	if x.login != nil {
		x.s.after(between(x.r, 100*time.Millisecond, 3*time.Second), func() { x.tell(15, x.login, 16) })
	}
}

// tell sends a record of the gateway, which the server answers.
func (x *dinstarRig) tell(typ uint16, body []byte, answer uint16, ports ...string) {
	x.exchange(typ, body, answer)
	x.g.record(x.server, ports...)
}

// states reports what the ports do: 1 in use, 2 out of order, 0 neither.
func (x *dinstarRig) states() {
	body, ports := []byte{byte(len(x.g.channels))}, []string(nil)
	for i, ch := range x.g.channels {
		state := byte(0)
		switch {
		case ch.card.IMSI == "" || ch.downUntil > x.s.now:
			state = 2
		case ch.busy:
			state = 1
		}
		body, ports = append(body, state), append(ports, portName(i))
	}
	x.tell(7, body, 8, ports...)
}

func (x *dinstarRig) dialing(int, string) {}

// connected tells the state of a call. What it says is not published, so that
// nobody can read the port in it, and it counts for none.
func (x *dinstarRig) connected(i int, number string) {
	if x.told {
		x.tell(515, []byte{byte(i), 2}, 516)
	}
}

func (x *dinstarRig) over(i int, number string) {
	if x.told {
		x.tell(515, []byte{byte(i), 0}, 516)
	}
}

func (x *dinstarRig) changed(int) {}

// messages lets short messages be received and sent, if any are.
func (x *dinstarRig) messages(n int) {
	r := x.r
	if r.IntN(3) == 0 {
		x.g.showsMessages()
		x.s.arrivals(r, x.s.start, time.Duration(float64(time.Hour)/(float64(n)*share(r, 0.5, 8))), func() {
			i := r.IntN(n)
			x.received(i, pick(r, mobile(r), "10086"), pick(r, "OK", "code 4711", "balance 12.50"))
			x.g.record(x.server, portName(i))
		})
	}
	if r.IntN(4) == 0 {
		x.g.showsMessages()
		x.s.arrivals(r, x.s.start, between(r, 10*time.Second, 3*time.Minute), func() { x.send(r.IntN(n), mobile(r), "hello") })
	}
}

// send is a short message that the server hands over (type 1), and what became
// of it (type 3).
func (x *dinstarRig) send(port int, to, text string) {
	number := make([]byte, 24)
	copy(number, to)
	body := append([]byte{byte(port), 0, 0, 1}, number...)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(text))), text...)
	at := uint32(x.s.now / int64(time.Second))
	x.serial++
	serial := x.serial
	t := x.c.send(x.s.now, 1, x.message(1, at, serial, body))
	x.c.send(t+int64(5*time.Millisecond), 0, x.message(2, at, serial, []byte{0}))
	x.s.after(between(x.r, 3*time.Second, 8*time.Second), func() {
		sent := append(append([]byte{1}, number...), byte(port), byte(pick(x.r, 0, 0, 0, 1)), 1, 1)
		x.tell(3, sent, 4, portName(port))
	})
}

func controlDinstar(s *sim) {
	r := s.rng("control dinstar")
	n := controlSize(r, 1, 64)
	g := newRig(s, r, ClassGateway, fmt.Sprintf("Dinstar-like, %d ports", n), n)
	kind := g.drawn("dinstar")
	g.dinstarServer(pick(r, uint16(12000), 12000, 12000, uint16(1024+r.IntN(60000))))
	g.begin(kind)
	g.surroundings()
}
