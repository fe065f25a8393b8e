package lab

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// browse is what people do all day: pages under many names from many hosts.
func (s *sim) browse(l *line, n *node, mean time.Duration, largest int) {
	r := s.rng("browse")
	words := [...]string{"news", "shop", "video", "maps", "music", "bank", "mail", "cloud", "photo", "game", "school", "travel", "food", "sport", "forum", "books"}
	names := make([]string, 24)
	for i := range names {
		names[i] = fmt.Sprintf("%s.%s%d.example", pick(r, "www", "api", "cdn", "img"), words[r.IntN(len(words))], r.IntN(1000))
	}
	dns := s.host("resolver", false)
	sites := make([]*node, 12)
	for i := range sites {
		sites[i] = s.host("site", i%4 == 0)
	}
	s.arrivals(r, s.start, mean, func() {
		k := r.IntN(len(names))
		s.lookup(n, dns, names[k], r)
		c := s.dial(n, uint16(32768+r.IntN(28000)), sites[k%len(sites)], 443, kindOther)
		t := c.send(s.now+int64(between(r, 20*time.Millisecond, 80*time.Millisecond)), 0, clientHello(r, names[k]))
		t = c.send(t, 1, tlsRecord(22, s.stuff(r, 2800)))
		t = c.send(t, 0, tlsRecord(20, s.stuff(r, 64)))
		t = c.send(t, 0, tlsRecord(23, s.stuff(r, 200+r.IntN(600))))
		for size := int(expo(r, time.Duration(largest/3), 2000, time.Duration(largest))); size > 0; size -= 16000 {
			t = c.send(t+int64(time.Millisecond), 1, tlsRecord(23, s.stuff(r, min(size, 16000))))
		}
		c.close(t + int64(3*time.Second))
	})
}

// lived puts a box into a home where people live, and another into a line that
// holds nothing else; a household without telephony beside them shows that the
// tap sees the web.
func lived(s *sim) {
	n := pick(s.rng("size"), 4, 8)
	l := trunkBox(s, n, nil)
	l.truth.Device += " in a home where people live"
	s.browse(l, l.device("phone"), 20*time.Second, 90_000)
	s.browse(l, l.device("computer"), 30*time.Second, 120_000)
	d := trunkBox(s, n, nil)
	d.truth.Device += " on a line that holds nothing else"
	homePlain(s)
}

// voiceAccess is an exchange and a telephone service on accesses for voice
// alone, as providers build them: nobody's web is to be seen there, and nothing
// is wrong with them. A household beside them shows that the tap sees the web.
func voiceAccess(s *sim) {
	l := s.newLine(ClassAnchoredPBX, "office exchange on an access for voice alone", VerdictNone, VerdictNone)
	r := l.rng
	l.truth.Channels = pick(r, 10, 20)
	carrier := s.newAgent(s.host("carrier", false), dialQuietSwitch(), 5060, "trunk", "")
	carrier.domain = carrier.host()
	pbx := s.newAgent(l.device("pbx"), dialPJSIP("Asterisk PBX 18.9.0"), 5060, fmt.Sprint(2100000+r.IntN(800000)), carrier.host())
	pbx.mapped = true
	x := &exchange{pbx, carrier}
	s.register(s.start+int64(time.Second), pbx, carrier, 285*time.Second, true)
	l.controls(carrier.node, "registrar")
	s.options(s.start+int64(4*time.Second), pbx, carrier, time.Minute)
	who := newContacts(r, 80, 0.45, 0.15)
	base := landline(r, area(r))
	base = base[:len(base)-2]
	s.arrivals(r, s.start, between(r, 12*time.Second, 25*time.Second), func() {
		if l.active >= l.truth.Channels {
			return
		}
		c := officeCall(s, l, 70*time.Second)
		did := base + fmt.Sprintf("%02d", r.IntN(30))
		if r.IntN(2) == 0 {
			x.out(c, who.next(), did)
		} else {
			x.in(c, did, who.next())
			c.hold = r.IntN(12) == 0
		}
		s.perform(c)
	})

	h := s.newLine(ClassHome, "telephone service of a home, on a channel for voice alone", VerdictNone, VerdictNone)
	provider := s.newAgent(s.host("provider", false), dialKamailio("provider"), 5060, "proxy", "")
	provider.domain = provider.host()
	h.controls(provider.node, "registrar")
	own := landline(h.rng, area(h.rng))
	a := s.newAgent(h.device("adapter"), dialGrandstream("HT801 1.0.29.8"), 5060, own, provider.host())
	a.mapped = true
	s.register(s.start+int64(2*time.Second), a, provider, 150*time.Second, true)
	friends := newContacts(h.rng, 12, 0.5, 0.1)
	s.arrivals(h.rng, s.start, 3*time.Minute, func() { s.household(a, provider, own, friends) })
	homePlain(s)
}

// officeBusy is an office of mixed telephones at a hosted exchange: busy lamps,
// mailboxes, presence, colleagues who call each other, holds and transfers, and
// people at computers.
func officeBusy(s *sim) {
	const n = 16
	l := officeNAT(s, n, 16*time.Second, 60*time.Second)
	l.truth.Device = fmt.Sprintf("office, %d phones with busy lamps and presence, people at computers", n)
	for i := range 3 {
		s.browse(l, l.device("computer"), time.Duration(20+5*i)*time.Second, 90_000)
	}
	r := l.rng
	server := s.newAgent(s.host("presence server", false), dialKamailio("presence"), 5060, "presence", "")
	server.domain = server.host()
	soft := s.newAgent(l.device("softphone"), dialApp("Bria 6.5.1"), uint16(50000+r.IntN(9000)), "8099", server.host())
	s.register(s.start+int64(time.Second), soft, server, 9*time.Minute, true)
	for i := range 4 {
		s.subscribe(s.start+int64(3+i)*int64(time.Second), soft, server, "presence", strconv.Itoa(8001+i))
	}
}

// text sends one short message (RFC 3428) between two agents and has it
// accepted or refused.
func (s *sim) text(from, to *agent, caller, target, body string, status int) {
	g := s.newDialog(from, to, aor("", caller, to.host()), aor("", target, to.host()), "sip:"+target+"@"+to.hostPort())
	m := g.request("MESSAGE", true, false)
	m.contact = ""
	m.ctype, m.body = "text/plain", body
	t := from.say(s.now, to, m)
	to.say(t+to.think(), from, g.answer(m, from, status, true))
}

// messageBox is multi-SIM equipment for short messages: its server hands it
// what to send, it answers with reports and with what its cards received.
func messageBox(s *sim) {
	n := pick(s.rng("size"), 8, 16, 32)
	l := s.newLine(ClassMessageBox, fmt.Sprintf("%d-card message box, short messages over SIP", n), VerdictNone, VerdictCase)
	r := l.rng
	l.truth.Channels = n
	l.truth.Cards = newCards(r, n)
	dev := l.device("gateway")
	s.chores(l, dev)
	server := s.newAgent(s.host("message server", true), dialQuietSwitch(), 5060, "sms", "")
	server.domain = server.host()
	l.controls(server.node, "registrar")
	a := s.newAgent(dev, dialQuiet(), 5060, fmt.Sprint(3001+r.IntN(500)), server.host())
	s.register(s.start+int64(time.Second), a, server, time.Minute, true)
	s.arrivals(r, s.start, between(r, 2*time.Second, 6*time.Second), func() {
		target := mobile(r)
		s.text(server, a, "sms", target, "code "+strconv.Itoa(100000+r.IntN(900000)), pick(r, 200, 200, 200, 202, 480))
		s.after(between(r, 4*time.Second, 9*time.Second), func() {
			s.text(a, server, a.user, "sms", "report "+strconv.Itoa(r.IntN(1000)), 200)
		})
		if r.IntN(9) == 0 {
			s.text(a, server, target, "sms", "re", 200)
		}
	})
}

// notices is an office whose exchange sends notices of its own to its customers
// through its carrier: many new numbers, but sent, not handed to it.
func notices(s *sim) {
	l := officePBX(s)
	l.truth.Device = "office exchange that sends short notices to customers"
	r := l.rng
	carrier := s.newAgent(s.host("message carrier", false), dialQuietSwitch(), 5060, "sms", "")
	carrier.domain = carrier.host()
	a := s.newAgent(l.device("notifier"), dialPJSIP("notifier 2.1"), 5062, fmt.Sprint(2100000+r.IntN(800000)), carrier.host())
	l.controls(carrier.node, "registrar")
	s.register(s.start+int64(3*time.Second), a, carrier, 4*time.Minute, true)
	staff := newContacts(r, 8, 1, 0)
	s.arrivals(r, s.start, 9*time.Second, func() {
		if r.IntN(4) == 0 { // a customer writes back
			s.text(carrier, a, mobile(r), a.user, "ok", 200)
			return
		}
		to := mobile(r)
		if r.IntN(5) == 0 {
			to = staff.next()
		}
		s.text(a, carrier, a.user, to, "your parcel has arrived", 202)
	})
}

// cameras is a site of cameras that report to their platform as GB/T 28181
// says: 20-digit names, keepalives and lists in MANSCDP.
func cameras(s *sim) {
	l := s.newLine(ClassCamera, "camera site, GB/T 28181", VerdictNone, VerdictNone)
	r := l.rng
	n := 4 + r.IntN(5)
	l.truth.Channels = n
	s.chores(l, l.device("recorder"))
	domain := fmt.Sprintf("34020%05d", r.IntN(100000))
	server := s.newAgent(s.host("camera platform", false), dialQuietSwitch(), pick(r, uint16(5060), 15060, 5061), domain+"2000000001", "")
	server.domain = domain
	l.controls(server.node, "registrar")
	site := make([]*agent, n)
	for i := range site {
		d := dialQuiet()
		d.agent = pick(r, "Embedded Net DVR/NVR/DVS", "IP Camera", "")
		site[i] = s.newAgent(l.device("camera"), d, 5060, domain+fmt.Sprintf("132%07d", r.IntN(10_000_000)), domain)
		s.camera(site[i], server, r)
	}
	// Somebody talks to a site now and then: voice to a loudspeaker.
	s.arrivals(r, s.start, 4*time.Minute, func() {
		if l.active > 0 {
			return
		}
		a := site[r.IntN(n)]
		c := officeCall(s, l, 30*time.Second)
		c.from, c.to, c.called, c.calling, c.codec = server, a, a.user, server.user, pcma
		c.delay, c.ring = between(r, 100*time.Millisecond, 400*time.Millisecond), 0
		c.status = 200
		s.perform(c)
	})
}

// camera keeps one camera at its platform.
func (s *sim) camera(a, server *agent, r *rand.Rand) {
	t := s.start + int64(between(r, time.Second, 5*time.Second))
	s.register(t, a, server, 30*time.Minute, true)
	sn := r.IntN(1000)
	period := pick(r, 30*time.Second, 60*time.Second)
	s.every(t+int64(2*time.Second), func() time.Duration { return period }, func() bool {
		sn++
		s.manscdp(a, server, a, "Notify", "Keepalive", sn, statusOK)
		return true
	})
	s.every(t+int64(20*time.Second), func() time.Duration { return 5 * time.Minute }, func() bool {
		n := 17430 + sn
		s.manscdp(server, a, a, "Query", "Catalog", n, statusOK)
		s.after(300*time.Millisecond, func() { s.manscdp(a, server, a, "Response", "Catalog", n, statusOK) })
		return true
	})
}

// statusOK is what most messages of cameras say.
const statusOK = "<Status>OK</Status>\r\n"

// manscdp sends one message of a camera's control, and has it accepted; rest is
// what the command needs.
func (s *sim) manscdp(from, to, camera *agent, kind, cmd string, sn int, rest string) {
	g := s.newDialog(from, to, aor("", from.user, camera.domain), aor("", to.user, camera.domain), "sip:"+to.user+"@"+to.hostPort())
	m := g.request("MESSAGE", true, false)
	m.contact = ""
	m.ctype = "Application/MANSCDP+xml"
	m.body = "<?xml version=\"1.0\" encoding=\"GB2312\"?>\r\n<" + kind + ">\r\n<CmdType>" + cmd + "</CmdType>\r\n<SN>" + strconv.Itoa(sn) + "</SN>\r\n<DeviceID>" + camera.user + "</DeviceID>\r\n" + rest + "</" + kind + ">\r\n"
	t := from.say(s.now, to, m)
	to.say(t+to.think(), from, g.answer(m, from, 200, true))
}

// goipSwap is a GoIP whose cards are changed all day: the channel's account
// stays away while another card is put in, and the keepalives tell the new one.
func goipSwap(s *sim) {
	const n = 8
	l := s.newLine(ClassGateway, fmt.Sprintf("GoIP-%d whose cards are changed all day", n), VerdictCase, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	b.softswitch(dialVOS("V2.1.8.05"), "registrar")
	r := l.rng
	d := dialDBL()
	for i := range b.channels {
		a := b.account(d, 5060, fmt.Sprint(1001+i))
		ch := &b.channels[i]
		ch.account = a
		g := s.newDialog(a, b.ctrl, aor("", a.user, a.domain), aor("", a.user, a.domain), "sip:"+a.domain)
		g.uriB = "sip:" + a.domain
		x := &registration{client: a, registrar: b.ctrl, period: time.Minute, expires: a.d.expires, g: g}
		s.every(s.start+int64(i)*int64(220*time.Millisecond)+r.Int64N(int64(time.Second)), func() time.Duration {
			return time.Minute + time.Duration(r.Int64N(int64(60*time.Millisecond)))
		}, func() bool {
			if ch.downUntil <= s.now {
				x.refresh(s.now)
			}
			return true
		})
	}
	b.keepalives(s.host("sms server", true))
	s.arrivals(r, s.start+int64(time.Minute), 50*time.Second, func() { b.sms.bulk(r.IntN(n), 1+r.IntN(5)) })
	spare := newCards(r, 4*n)
	s.arrivals(r, s.start, 3*time.Minute, func() {
		ch := &b.channels[r.IntN(n)]
		if ch.busy || len(spare) == 0 {
			return
		}
		ch.downUntil = s.now + int64(between(r, 90*time.Second, 4*time.Minute))
		imei := ch.card.IMEI
		ch.card, spare = spare[0], spare[1:]
		ch.card.IMEI = imei // the module stays
		l.truth.Cards = append(l.truth.Cards, ch.card)
	})
	b.start()
	b.boot()
}

// bulk lets the server hand channel i a short message for some numbers
// (research notes on gateways, section 2.1).
func (x *smsServer) bulk(i, numbers int) {
	dev, r := x.box.node, x.box.l.rng
	own := dev.port(x.base+uint16(i), false)
	up := x.s.flow(dev, own, x.server, x.port, protoUDP)
	down := x.s.flow(x.server, x.port, dev, own, protoUDP)
	id := 1000 + r.IntN(9000)
	say := func(t int64, f *flow, format string, args ...any) int64 {
		return x.s.send(t+int64(2*time.Millisecond), f, kindControl, fmt.Appendf(nil, format, args...))
	}
	t := say(x.s.now, down, "MSG %d 5 hello\n", id)
	t = say(t, up, "PASSWORD %d\n", id)
	t = say(t, down, "PASSWORD %d %s\n", id, x.secret)
	for k := range numbers {
		t = say(t, up, "SEND %d\n", id)
		t = say(t, down, "SEND %d %d %s\n", id, k+1, mobile(r))
		t = say(t+int64(between(r, 2*time.Second, 5*time.Second)), up, "OK %d %d\n", id, k+1)
	}
	t = say(t, down, "DONE %d\n", id)
	say(t, up, "DONE %d\n", id)
}
