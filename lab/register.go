package lab

import (
	"strconv"
	"time"
)

// registration keeps one account registered.
type registration struct {
	client, registrar *agent
	period            time.Duration // between refreshes
	expires           int           // seconds asked and granted
	everyTime         bool          // the registrar challenges each refresh
	g                 *dialog
	nonce             string
}

// register begins at t and refreshes until the end.
func (s *sim) register(t int64, client, registrar *agent, period time.Duration, everyTime bool) {
	g := s.newDialog(client, registrar, aor(client.name, client.user, client.domain), aor(client.name, client.user, client.domain), "sip:"+client.domain)
	g.uriB = "sip:" + client.domain
	x := &registration{client: client, registrar: registrar, period: period, expires: client.d.expires, everyTime: everyTime, g: g}
	if s.wide {
		s.keepOpen(t, client, registrar)
	}
	s.every(t, func() time.Duration { return period + time.Duration(client.r.Int64N(int64(60*time.Millisecond))) }, func() bool {
		x.refresh(s.now)
		return true
	})
}

func (x *registration) refresh(t int64) {
	a, b := x.client, x.registrar
	if a.s.wide {
		a.s.expire(a)
	}
	send := func(t int64) (*message, int64) {
		m := x.g.request("REGISTER", true, false)
		m.expires = x.expires
		m.allow = true
		if x.nonce != "" {
			m.extra = []field{{"Authorization", digest("REGISTER", x.g.uriB, a.user, a.domain, x.nonce, a.user+"-pw")}}
		}
		x.g.cseqA++
		return m, a.say(t, b, m)
	}
	m, t := send(t)
	if x.nonce == "" || x.everyTime {
		x.nonce = hex16(b.r) + hex16(b.r)
		r := x.g.answer(m, a, 401, true)
		r.extra = []field{{"WWW-Authenticate", `Digest realm="` + a.domain + `", nonce="` + x.nonce + `", algorithm=MD5`}}
		t = b.say(t+b.think(), a, r)
		m, t = send(t + a.think())
	}
	r := x.g.answer(m, a, 200, true)
	r.contact = a.contact(a.user) + ";expires=" + strconv.Itoa(x.expires)
	b.say(t+b.think(), a, r)
}

// options lets one agent ask another for a sign of life, now and then.
func (s *sim) options(t int64, from, to *agent, period time.Duration) {
	s.every(t, func() time.Duration { return period + time.Duration(from.r.Int64N(int64(200*time.Millisecond))) }, func() bool {
		g := s.newDialog(from, to, aor("", from.user, from.host()), aor("", to.user, to.host()), "sip:"+to.user+"@"+to.hostPort())
		m := g.request("OPTIONS", true, false)
		t := from.say(s.now, to, m)
		r := g.answer(m, from, 200, true)
		r.allow = true
		to.say(t+to.think(), from, r)
		return true
	})
}

// subscribe lets a phone watch an event at its server: other extensions
// ("dialog") or its mailbox ("message-summary"). The server notifies at once
// and, now and then, again.
func (s *sim) subscribe(t int64, phone, server *agent, event, whom string) {
	g := s.newDialog(phone, server, aor(phone.name, phone.user, phone.domain), aor("", whom, phone.domain), "sip:"+whom+"@"+phone.domain)
	g.uriA = "sip:" + phone.user + "@" + phone.hostPort()
	first := true
	s.every(t, func() time.Duration { return 28 * time.Minute }, func() bool {
		m := g.request("SUBSCRIBE", true, !first)
		first = false
		m.expires = 1800
		m.extra = []field{{"Event", event}, {"Accept", subscriptionType(event)}}
		g.cseqA++
		t := phone.say(s.now, server, m)
		r := g.answer(m, phone, 200, true)
		r.expires = 1800
		t = server.say(t+server.think(), phone, r)
		s.at(t, func() { s.notify(g, event, whom) })
		return true
	})
	s.every(t+server.r.Int64N(int64(4*time.Minute)), func() time.Duration {
		return 2*time.Minute + time.Duration(server.r.Int64N(int64(10*time.Minute)))
	}, func() bool {
		s.notify(g, event, whom)
		return true
	})
}

func subscriptionType(event string) string {
	switch event {
	case "dialog":
		return "application/dialog-info+xml"
	case "presence":
		return "application/pidf+xml"
	}
	return "application/simple-message-summary"
}

func (s *sim) notify(g *dialog, event, whom string) {
	g.cseqB++
	m := g.request("NOTIFY", false, true)
	m.extra = []field{{"Event", event}, {"Subscription-State", "active;expires=1500"}}
	m.ctype = subscriptionType(event)
	switch event {
	case "presence":
		m.body = "<?xml version=\"1.0\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:" + whom + "@" + g.a.domain +
			"\"><tuple id=\"t\"><status><basic>" + [...]string{"open", "closed"}[g.b.r.IntN(2)] + "</basic></status></tuple></presence>\n"
	case "dialog":
		state := [...]string{"trying", "early", "confirmed", "terminated"}[g.b.r.IntN(4)]
		m.body = "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"" + strconv.Itoa(g.cseqB) +
			"\" state=\"full\" entity=\"sip:" + whom + "@" + g.a.domain + "\">\n<dialog id=\"" + whom + "\"><state>" + state + "</state></dialog>\n</dialog-info>\n"
	default:
		m.body = "Messages-Waiting: no\r\nMessage-Account: sip:" + whom + "@" + g.a.domain + "\r\nVoice-Message: 0/" + strconv.Itoa(g.b.r.IntN(4)) + "\r\n"
	}
	t := g.b.say(s.now, g.a, m)
	g.a.say(t+g.a.think(), g.b, g.answer(m, g.b, 200, false))
}
