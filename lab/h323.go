package lab

import (
	"fmt"
	"strings"
	"time"
)

// peer323 is what an agent says of itself in H.323.
type peer323 struct {
	gateway          bool
	product, version string
	h225             byte // version of H.225.0
	fast             bool // it proposes and accepts fastStart
	names            bool // it tells numbers as aliases only, without elements of Q.931
}

// g723 has 24 octets in 30 ms.
var g723 = &codec{pt: 4, name: "G723/8000", size: 24}

// Message types of Q.931 and, at the same place, members of h323-message-body.
var kinds323 = map[string]struct {
	q931 byte
	body uint32
}{
	"setup": {0x05, 0}, "proceeding": {0x02, 1}, "connect": {0x07, 2}, "alerting": {0x01, 3}, "release": {0x5a, 5}, "facility": {0x62, 6}, "progress": {0x03, 0},
}

// call323 is a call on its connection.
type call323 struct {
	*script
	c    *conn
	ref  uint16
	guid [16]byte
	conf [16]byte
}

// signal323 lets a call run over H.323: a connection of its own for each call,
// from whoever calls.
func (x *script) signal323() {
	a, b := x.from, x.to
	y := &call323{script: x, ref: uint16(1 + a.r.IntN(0x7ffe))}
	for i := range y.guid {
		y.guid[i], y.conf[i] = byte(a.r.Uint32()), byte(a.r.Uint32())
	}
	y.c = x.s.dial(a.node, uint16(30000+a.r.IntN(30000)), b.node, 1720, kindSIP)
	t := y.say(x.s.now, 0, "setup", 0)
	y.say(t+b.think(), 1, "proceeding", 0)
	if x.status >= 400 && x.ring == 0 {
		y.release(t+int64(x.delay)+b.think(), 1, x.status)
		return
	}
	t += int64(x.delay) + b.think()
	if x.early {
		x.since = t
		y.say(t, 1, pick(b.r, "progress", "alerting"), 0)
	} else {
		y.say(t, 1, "alerting", 0)
	}
	t += int64(x.ring)
	switch x.status {
	case 200:
		y.answer(t)
	case 487:
		y.release(t, 0, x.status)
	default:
		y.release(t, 1, x.status)
	}
}

func (y *call323) answer(t int64) {
	x := y.script
	got := y.say(t, 1, "connect", 0)
	x.s.at(t, func() { x.s.connect(x.call, t) })
	if !y.fast() {
		t = y.h245(got)
		got = t
	}
	end := t + int64(x.talk)
	first := t
	if x.since > 0 && y.fast() {
		first = x.since
	}
	x.stream(1, first, end)
	x.stream(0, got, end)
	side := 1
	if x.byCaller {
		side = 0
	}
	x.s.at(end, func() {
		x.s.disconnect(x.call)
		y.release(end, side, 200)
	})
}

func (y *call323) fast() bool { return y.from.h323.fast && y.to.h323.fast }

// h245 lets both sides agree on media over a connection of their own, of which
// only the size is right, and gives the time at which they have.
func (y *call323) h245(t int64) int64 {
	s, r := y.s, y.from.r
	c := s.dial(y.from.node, uint16(30000+r.IntN(30000)), y.to.node, uint16(11000+r.IntN(2000)), kindSIP)
	for i, n := range [...]int{140, 140, 20, 60, 24, 60, 24} {
		body := s.stuff(r, n)
		body[0] = 0x22 // a response, and nothing of Q.931
		t = c.send(t+y.from.think(), i%2, tpkt(body))
	}
	s.at(t+int64(y.talk), func() { c.close(s.now) })
	return t
}

// release ends the call from one side and closes the connection.
func (y *call323) release(t int64, side, status int) {
	x := y.script
	if status != 200 && x.since > 0 && y.fast() {
		x.stream(1, x.since, t)
	}
	cause := map[int]byte{404: 1, 486: 17, 480: 19, 487: 16, 503: 34, 200: 16}[status]
	t = y.say(t, side, "release", cause)
	y.c.close(t + x.to.think())
	x.finish(t)
}

// say sends one message at t and gives the time of its arrival.
func (y *call323) say(t int64, side int, kind string, cause byte) int64 {
	me, other := y.from, y.to
	if side == 1 {
		me, other = other, me
	}
	k := kinds323[kind]
	ref := y.ref
	if side == 1 {
		ref |= 0x8000
	}
	b := []byte{0x08, 2, byte(ref >> 8), byte(ref), k.q931}
	p := me.h323
	switch kind {
	case "setup":
		b = append(b, 0x04, 3, 0x80, 0x90, 0xa5) // bearer capability: speech
		if !p.names {
			if digits(y.calling) {
				b = append(b, 0x6c, byte(2+len(y.calling)), 0x00, 0x80)
				b = append(b, y.calling...)
			}
			b = append(b, 0x70, byte(1+len(y.called)), 0x81)
			b = append(b, y.called...)
		}
	case "progress":
		b = append(b, 0x1e, 2, 0x80, 0x88) // in-band information
	case "release":
		b = append(b, 0x08, 2, 0x80, 0x80|cause)
	}
	uu := part(func(w *packer) { y.uuie(w, me, other, side, kind) })
	b = append(b, 0x7e, byte((1+len(uu))>>8), byte(1+len(uu)), 5)
	return y.c.send(t, side, tpkt(append(b, uu...)))
}

func tpkt(b []byte) []byte {
	n := 4 + len(b)
	return append([]byte{3, 0, byte(n >> 8), byte(n)}, b...)
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" && s != "" }

// uuie writes an H323-UserInformation.
func (y *call323) uuie(w *packer, me, other *agent, side int, kind string) {
	p := me.h323
	w.flags(false, false, true, false)
	id := addition{0, part(func(w *packer) {
		w.put(0, 1)
		w.octets(y.guid[:]...)
	})}
	// Who offers and who accepts channels for voice.
	var channels []addition
	if y.fast() && (kind == "setup" || kind == "connect" || y.early && (kind == "progress" || kind == "alerting")) {
		channels = []addition{{4, part(func(w *packer) { y.fastStart(w, side) })}}
	}
	body := func(w *packer) {
		switch kind {
		case "setup":
			w.flags(true, false, true, true, true, false, false, false)
			w.identifier(p.h225)
			w.length(1)
			if digits(y.calling) {
				w.digits(y.calling)
			} else {
				w.named(y.calling)
			}
			w.endpoint(p)
			w.length(1)
			w.digits(y.called)
			w.transport(other.node.addr, 1720)
			w.flags(false)
			w.octets(y.conf[:]...)
			w.root(0, 2)
			w.root(0, 2)
			id.index = 2
			list := []addition{{0, part(func(w *packer) { w.transport(me.node.lan, 1720) })}, id}
			for _, c := range channels {
				c.index = 6
				list = append(list, c)
			}
			list = append(list, addition{7, []byte{0}}, addition{8, []byte{0}})
			w.additions(9, list...)
		case "proceeding", "alerting":
			w.flags(true, false)
			w.identifier(p.h225)
			w.endpoint(p)
			w.additions(7, append(append([]addition{id}, channels...), addition{5, []byte{0}}, addition{6, []byte{0}})...)
		case "progress":
			w.flags(false, false, false, false, false, len(channels) > 0)
			w.identifier(p.h225)
			w.endpoint(p)
			w.put(0, 1)
			w.octets(y.guid[:]...)
			if len(channels) > 0 {
				y.fastStart(w, side)
			}
		case "connect":
			told := !y.fast()
			w.flags(true, told)
			w.identifier(p.h225)
			if told {
				w.transport(me.node.lan, 11000)
			}
			w.endpoint(p)
			w.octets(y.conf[:]...)
			w.additions(7, append(append([]addition{id}, channels...), addition{5, []byte{0}}, addition{6, []byte{0}})...)
		case "release":
			w.flags(true, false)
			w.identifier(p.h225)
			w.additions(1, id)
		}
	}
	if kind == "progress" {
		w.later(0, part(body))
	} else {
		w.root(kinds323[kind].body, 3)
		body(w)
	}
	w.additions(2, addition{1, []byte{0}}) // h245Tunnelling: no
}

// fastStart writes the channels that a side offers or accepts: from the caller
// and to it.
func (y *call323) fastStart(w *packer, side int) {
	codecs := []*codec{y.codec}
	if side == 0 {
		for _, k := range y.from.codecs {
			if k != y.codec {
				codecs = append(codecs, k)
			}
		}
	}
	w.length(2 * len(codecs))
	for i, k := range codecs {
		w.open(part(func(w *packer) { y.channel(w, side, uint16(101+i), k, false) }))
		w.open(part(func(w *packer) { y.channel(w, side, uint16(101+i), k, true) }))
	}
}

// channel writes an OpenLogicalChannel of H.245.
func (y *call323) channel(w *packer, side int, number uint16, k *codec, back bool) {
	host := y.media[side]
	addr, port := host.node.lan, y.ports[side]
	if host.node.line == nil {
		addr = host.node.addr
	} else {
		port = host.node.port(port, false)
		addr = host.node.addr
	}
	sound := func(w *packer) {
		w.root(3, 3)
		switch k {
		case g723:
			w.root(8, 4)
			w.octets(0)
			w.flags(false)
		case g729:
			w.root(10, 4)
			w.octets(1)
		case pcmu:
			w.root(3, 4)
			w.octets(19)
		default:
			w.root(1, 4)
			w.octets(19)
		}
	}
	socket := func(w *packer, port uint16) {
		w.root(0, 1)
		if addr.Is4() {
			w.root(0, 3)
		} else {
			w.root(2, 3)
		}
		w.put(0, 1)
		w.octets(addr.AsSlice()...)
		w.word(port)
	}
	h2250 := func(media bool) []byte {
		return part(func(w *packer) {
			w.flags(false, false, false, media, false, true, false, true, false, false, false)
			w.octets(1)
			if media {
				socket(w, port)
			}
			socket(w, port+1)
			w.flags(false)
		})
	}
	w.flags(false, back)
	w.word(number - 1)
	w.flags(false, false)
	if !back {
		sound(w)
		w.later(0, h2250(side == 1))
		return
	}
	w.root(1, 3) // nullData
	w.later(1, nil)
	w.flags(false, true)
	sound(w)
	w.later(0, h2250(side == 0))
}

// register323 keeps an endpoint registered at a gatekeeper: wholly at first, and
// then lightly.
func (s *sim) register323(t int64, a, keeper *agent, aliases []string, ttl time.Duration) {
	seq := uint16(1 + a.r.IntN(60000))
	up := s.flow(a.node, a.node.port(1719, false), keeper.node, 1719, protoUDP)
	down := s.flow(keeper.node, 1719, a.node, a.node.port(1719, false), protoUDP)
	id := fmt.Sprintf("%08X_endp", a.r.Uint32())
	whole := true
	s.every(t, func() time.Duration {
		return ttl - 10*time.Second + time.Duration(a.r.Int64N(int64(80*time.Millisecond)))
	}, func() bool {
		seq++
		at := s.send(s.now, up, kindSIP, part(func(w *packer) { rrq(w, a, seq, aliases, id, ttl, whole) }))
		s.send(at+keeper.think(), down, kindSIP, part(func(w *packer) { rcf(w, a, keeper, seq, aliases, id, ttl) }))
		whole = false
		return true
	})
}

func rrq(w *packer, a *agent, seq uint16, aliases []string, id string, ttl time.Duration, whole bool) {
	p := a.h323
	w.root(3, 5)
	w.flags(true, false, whole, true)
	w.word(seq - 1)
	w.identifier(p.h225)
	w.flags(true)
	w.length(1)
	w.transport(a.node.lan, 1720)
	w.length(1)
	w.transport(a.node.lan, 1719)
	w.endpoint(p)
	if whole {
		w.aliases(aliases)
	}
	w.short("gk")
	w.vendor(p.product, p.version)
	list := []addition{{1, part(func(w *packer) { w.seconds(ttl) })}, {5, part(func(w *packer) { w.flags(!whole) })}}
	if !whole {
		list = append(list, addition{6, part(func(w *packer) { w.short(id) })})
	}
	w.additions(9, append(list, addition{7, []byte{0}}, addition{8, []byte{0}})...)
}

func rcf(w *packer, a, keeper *agent, seq uint16, aliases []string, id string, ttl time.Duration) {
	w.root(4, 5)
	w.flags(true, false, true, true)
	w.word(seq - 1)
	w.identifier(keeper.h323.h225)
	w.length(1)
	w.transport(keeper.node.addr, 1720)
	w.aliases(aliases)
	w.short("gk")
	w.short(id)
	w.additions(6, addition{1, part(func(w *packer) { w.seconds(ttl) })}, addition{5, []byte{0}})
}

func (w *packer) aliases(list []string) {
	w.length(len(list))
	for _, s := range list {
		if digits(s) {
			w.digits(s)
		} else {
			w.named(s)
		}
	}
}

// seconds writes a TimeToLive, an integer from 1 to 2^32-1.
func (w *packer) seconds(d time.Duration) {
	v := uint32(d/time.Second) - 1
	b := []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	w.put(uint32(len(b)-1), 2)
	w.octets(b...)
}

// h323Gateway is a box that takes its calls over H.323 and says nothing in SIP.
func h323Gateway(s *sim) {
	n := pick(s.rng("size"), 8, 16, 32)
	l := s.newLine(ClassGateway, fmt.Sprintf("%d-channel trunk gateway, H.323", n), VerdictWatch, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	b.codec = pick(l.rng, g729, g723)
	registers := l.rng.IntN(3) > 0
	role := "trunk-peer"
	if registers {
		role = "registrar"
	}
	b.softswitch(dialQuietSwitch(), role)
	b.ctrl.codecs = []*codec{b.codec, pcma}
	b.ctrl.h323 = &peer323{gateway: true, product: "Softswitch", version: "2.1.8.05", h225: 4, fast: true, names: l.rng.IntN(3) == 0}
	a := b.account(dialQuiet(), 5060, "gw")
	a.h323 = &peer323{gateway: true, product: "Gateway", version: "1.01", h225: byte(2 + l.rng.IntN(3)), fast: true}
	if registers {
		s.register323(s.start+int64(between(l.rng, time.Second, 5*time.Second)), a, b.ctrl, []string{"gw" + fmt.Sprint(100+l.rng.IntN(900)), fmt.Sprint(700 + l.rng.IntN(100))}, pick(l.rng, 60*time.Second, 120*time.Second))
	}
	b.start()
	b.boot()
}

// h323Office is a small exchange with a conference room, on a trunk of H.323: it
// calls its people and is called at its own numbers.
func h323Office(s *sim) {
	l := s.newLine(ClassAnchoredPBX, "office exchange and conference room on an H.323 trunk", VerdictNone, VerdictNone)
	r := l.rng
	l.truth.Channels = pick(r, 4, 8, 15)
	dev := l.device("pbx")
	pc := l.device("computer")
	s.chores(l, pc)
	s.web(l, pc, 45*time.Second, 60_000)
	carrier := s.newAgent(s.host("carrier", false), dialQuietSwitch(), 5060, "trunk", "")
	carrier.h323 = &peer323{gateway: true, product: "Cisco Gatekeeper", version: "12.4", h225: 4}
	pbx := s.newAgent(dev, dialQuiet(), 5060, "pbx", "")
	pbx.h323 = &peer323{gateway: true, product: pick(r, "CallManager", "IP Office"), version: "9.1.6", h225: 5, names: r.IntN(2) == 0}
	l.controls(carrier.node, "registrar")
	who := newContacts(r, 60, 0.4, 0.15)
	base := landline(r, area(r))
	own := make([]string, 4+r.IntN(6))
	for i := range own {
		own[i] = base[:len(base)-2] + fmt.Sprintf("%02d", i)
	}
	s.register323(s.start+int64(between(r, time.Second, 5*time.Second)), pbx, carrier, own, 5*time.Minute)
	s.arrivals(r, s.start, between(r, 20*time.Second, 35*time.Second), func() {
		if l.active >= l.truth.Channels {
			return
		}
		c := officeCall(s, l, 90*time.Second)
		if r.IntN(2) == 0 {
			c.from, c.to, c.called, c.calling = pbx, carrier, who.next(), own[r.IntN(len(own))]
			c.relayed[1], c.ppm[1] = true, drawPPM(r)
		} else {
			c.from, c.to, c.called, c.calling = carrier, pbx, own[r.IntN(len(own))], who.next()
			c.relayed[0], c.ppm[0] = true, drawPPM(r)
		}
		s.perform(c)
	})
}
