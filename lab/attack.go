package lab

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// scannerVictim is a home exchange that a scanner tries out: requests for ever
// other numbers and accounts, refused.
func scannerVictim(s *sim) *line {
	l := s.newLine(ClassVictim, "home exchange under a SIP scan", VerdictNone, VerdictNone)
	r := l.rng
	x := s.exchange(l, "FPBX-15.0.17.12(16.6.2)", true)
	own := landline(r, area(r))
	who := newContacts(r, 10, 0.5, 0.1)
	s.arrivals(r, s.start, 6*time.Minute, func() {
		if l.active > 1 {
			return
		}
		c := officeCall(s, l, 50*time.Second)
		if r.IntN(2) == 0 {
			x.out(c, who.next(), own)
		} else {
			x.in(c, own, who.next())
		}
		s.perform(c)
	})
	for i := range 1 + r.IntN(3) {
		scanner := s.newAgent(s.host(fmt.Sprintf("scanner %d", i), true), dialScanner(r), uint16(5060+r.IntN(900)), "100", "")
		from := s.start + r.Int64N(max(1, (s.end-s.start)/3))
		deaf := r.IntN(3) == 0
		kindOf := r.IntN(3)
		s.arrivals(r, from, between(r, 250*time.Millisecond, 2*time.Second), func() {
			s.probe(scanner, x.pbx, kindOf, deaf)
		})
	}
	return l
}

// probe is one request of a scanner and the refusal, if any.
func (s *sim) probe(scanner, victim *agent, what int, deaf bool) {
	r := scanner.r
	user := strconv.Itoa(100 + r.IntN(9000))
	method, status, called := "OPTIONS", 200, "100"
	switch {
	case what == 1 || what == 0 && r.IntN(3) > 0:
		method, status, called = "REGISTER", pick(r, 401, 403, 404), user
	case what == 2:
		method, status = "INVITE", pick(r, 401, 401, 404, 403)
		called = pick(r, "", "9", "00", "011", "900", "0") + pick(r, foreign(r), mobile(r), "972592"+strconv.Itoa(100000+r.IntN(900000)))
	}
	host := victim.host()
	g := s.newDialog(scanner, victim, aor(user, user, host), aor("", called, host), "sip:"+called+"@"+host)
	if method == "REGISTER" {
		g.uriB = "sip:" + host
	}
	m := g.request(method, true, false)
	if method == "REGISTER" {
		m.expires = 60
	}
	if method == "INVITE" {
		m.ctype, m.body = "application/sdp", scanner.d.sdp("1 1", host, uint16(10000+2*r.IntN(9000)), []*codec{pcma, pcmu}, "sendrecv")
	}
	s.refused(g, m, status, deaf)
}

// refused sends a scanner's request and lets the victim refuse it, or say
// nothing.
func (s *sim) refused(g *dialog, m *message, status int, deaf bool) {
	scanner, victim, r := g.a, g.b, g.a.r
	t := scanner.say(s.now, victim, m)
	if deaf {
		return
	}
	a := g.answer(m, scanner, status, true)
	if status == 401 {
		a.extra = []field{{"WWW-Authenticate", `Digest algorithm=MD5, realm="asterisk", nonce="` + hex8(victim.r) + `"`}}
	}
	t = victim.say(t+victim.think(), scanner, a)
	if m.method == "INVITE" && r.IntN(2) == 0 {
		ack := g.request("ACK", true, false)
		ack.via, ack.to, ack.contact = m.via, a.to, ""
		scanner.say(t+scanner.think(), victim, ack)
	}
}

// framedHome is a household at which somebody throws what would make a gateway
// of it: spoofed calls to ever-new mobiles and gateway keepalives, of which it
// knows nothing.
func framedHome(s *sim) {
	l := s.newLine(ClassVictim, "household framed with spoofed calls and keepalives", VerdictNone, VerdictNone)
	r := l.rng
	pc := l.device("computer")
	s.chores(l, pc)
	s.web(l, pc, 40*time.Second, 60_000)
	box := l.public("router")
	d := dialFritz("7530 164.07.57")
	a := s.newAgent(box, d, 5060, landline(r, area(r)), "")
	provider := s.newAgent(s.host("provider", false), dialKamailio("provider"), 5060, "proxy", "")
	provider.domain, a.domain = provider.host(), provider.host()
	l.controls(provider.node, "registrar")
	s.register(s.start+int64(time.Second), a, provider, 4*time.Minute, true)

	forged := s.newAgent(s.host("forged softswitch", true), dialVOS("V2.1.8.05"), 5060, "5001", "")
	rings := r.IntN(2) == 0
	s.arrivals(r, s.start, between(r, 4*time.Second, 12*time.Second), func() { s.spoofCall(forged, a, rings) })

	sms := s.host("forged sms server", true)
	cards := newCards(r, 8)
	for i, c := range cards {
		port := uint16(44000 + i)
		n := 1 + r.IntN(500)
		s.every(s.start+r.Int64N(int64(30*time.Second)), func() time.Duration { return 30 * time.Second }, func() bool {
			n++
			text := fmt.Sprintf("req:%d;id:goip%d;pass:%s;num:;signal:21;gsm_status:LOGIN;voip_status:LOGIN;voip_state:IDLE;remain_time:-1;imei:%s;imsi:%s;iccid:%s;pro:%s;idle:4;disable_status:0;SMS_LOGIN:N;SMB_LOGIN:;CELLINFO:LAC:7E5,CELL ID:5E5B;CGATT:Y;",
				n, i+1, "x", c.IMEI, c.IMSI, c.ICCID, operatorName(c))
			t := s.send(s.now, s.flow(sms, 44444, box, port, protoUDP), kindControl, []byte(text))
			s.at(t, func() { s.unreachable(box, port, sms, 44444, []byte(text)) })
			// What a server says to keepalives sent elsewhere in the line's name.
			s.send(s.now+int64(time.Second), s.flow(sms, 44444, box, port, protoUDP), kindControl, []byte(fmt.Sprintf("reg:%d;status:0;", n)))
			return true
		})
	}
}

// spoofCall is an INVITE in another's name. The home refuses it, or rings; the
// sender never sees the answers, so what it sends on names no tag of theirs.
func (s *sim) spoofCall(forged, home *agent, rings bool) {
	r := forged.r
	called := mobile(r)
	g := s.newDialog(forged, home, aor("", mobile(r), forged.host()), aor("", called, home.host()), "sip:"+called+"@"+home.host())
	m := g.request("INVITE", true, false)
	m.allow = true
	m.ctype, m.body = "application/sdp", forged.d.sdp("7 7", forged.host(), uint16(20000+2*r.IntN(5000)), []*codec{g729, pcma}, "sendrecv")
	t := forged.say(s.now, home, m)
	home.say(t+home.think(), forged, g.answer(m, forged, 100, false))
	status := 404
	at := t + 2*home.think()
	if rings {
		ringing := g.answer(m, forged, 180, true)
		ringing.contact = home.contact(home.user)
		home.say(at, forged, ringing)
		status = 480
		at += int64(between(r, 15*time.Second, 30*time.Second))
	}
	// Nobody acknowledges, so the final answer comes again (RFC 3261 timer G).
	final := g.answer(m, forged, status, true)
	for _, d := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond} {
		s.at(at+int64(d), func() { home.say(s.now, forged, final) })
	}
	made := g.request("ACK", true, true)
	made.to = tagged(g.to, hex16(r))
	forged.say(t+int64(between(r, time.Second, 8*time.Second)), home, made)
}

// unreachable is the ICMP answer to a datagram that nobody waits for (RFC 792;
// RFC 4443 section 3.1).
func (s *sim) unreachable(home *node, port uint16, to *node, from uint16, payload []byte) {
	proto := uint8(protoICMP)
	if home.addr.Is6() {
		proto = protoICMP6
	}
	f := s.flow(home, 0, to, 0, proto)
	back := s.flow(to, from, home, port, protoUDP)
	b := []byte{3, 3, 0, 0, 0, 0, 0, 0}
	pseudo := uint64(0)
	n := 8 + len(payload)
	quote := append([]byte(nil), back.ip...)
	if proto == protoICMP6 {
		b[0], b[1] = 1, 4
		binary.BigEndian.PutUint16(quote[4:], uint16(n))
	} else {
		binary.BigEndian.PutUint16(quote[2:], uint16(20+n))
		binary.BigEndian.PutUint16(quote[10:], ^fold(sum(0, quote)))
	}
	b = append(b, quote...)
	b = append(b, byte(from>>8), byte(from), byte(port>>8), byte(port), byte(n>>8), byte(n), 0, 0)
	b = append(b, payload[:min(len(payload), 64)]...)
	if proto == protoICMP6 {
		pseudo = f.pseudo + uint64(len(b))
	}
	binary.BigEndian.PutUint16(b[2:], ^fold(sum(pseudo, b)))
	tap := s.now + s.delay(home)
	s.at(tap, func() { s.datagram(f, kindOther, b) })
}
