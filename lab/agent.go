package lab

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// agent is one SIP user agent: an account of a device, a PBX, a softswitch.
type agent struct {
	s      *sim
	r      *rand.Rand
	node   *node
	d      *dialect
	port   uint16 // its own; the NAT may show another
	user   string
	domain string // of its address of record
	name   string // display name
	// mapped says that it knows its public address (STUN) and writes that.
	mapped bool
	codecs []*codec
	media  *mediaHost
	// relays send its media in place of its own, each call's from one of them: a
	// switch may leave voice to those who handed it the call.
	relays []*mediaHost
	conns  map[*agent]*conn
	h323   *peer323 // what it is where its calls run over H.323; nil for SIP
	// keystream scrambles what it says to agents that have the same.
	keystream []byte
	// disguise hides its messages over UDP; nil for those who do not.
	disguise func([]byte) []byte
	// link carries its SIP to agents that have the same, where the
	// encapsulation does not say; a server has an agent for each of its links.
	link link
}

// link is a transport of SIP.
type link string

const (
	linkUDP link = ""
	linkTCP link = "TCP"
	linkTLS link = "TLS" // only records are to be seen
	linkWS  link = "WS"
	linkWSS link = "WSS" // the same
)

// sealed says that the link shows nothing but records of TLS.
func (k link) sealed() bool { return k == linkTLS || k == linkWSS }

// newAgent gives the device a user agent. Agents of one device share media.
func (s *sim) newAgent(n *node, d *dialect, port uint16, user, domain string) *agent {
	r := s.rng("agent")
	if n.line != nil && n.line.truth.Box() {
		d = d.named(s.vendor)
	}
	return &agent{
		s: s, r: r, node: n, d: d, port: port, user: user, domain: domain,
		codecs: []*codec{pcma, pcmu, g729}, media: newMediaHost(n, r), conns: map[*agent]*conn{},
	}
}

// sound gives where the media of its next call come from.
func (a *agent) sound() *mediaHost {
	if len(a.relays) > 0 {
		return a.relays[a.r.IntN(len(a.relays))]
	}
	return a.media
}

// handsOff lets a switch, now and then, leave media to those who hand it calls:
// a few to a dozen far ends. Softswitches of wholesalers can do both, whatever
// the line they call.
func (s *sim) handsOff(a *agent, r *rand.Rand) {
	if !chance(r, 0.25) {
		return
	}
	for range sizes(r, 2, 12) {
		m := newMediaHost(s.host("caller's media", a.node.abroad != chance(r, 0.2)), r)
		m.random = true
		a.relays = append(a.relays, m)
	}
}

// hostPort is where the agent says it is.
func (a *agent) hostPort() string {
	if a.mapped {
		return hostPort(a.node.addr, a.node.port(a.port, false))
	}
	return hostPort(a.node.lan, a.port)
}

func (a *agent) host() string {
	if a.mapped {
		return hostOnly(a.node.addr)
	}
	return hostOnly(a.node.lan)
}

func (a *agent) contact(user string) string {
	if user != "" {
		user += "@"
	}
	return "<sip:" + user + a.hostPort() + a.d.contactTail + ">"
}

func (a *agent) transport() string {
	switch {
	case a.s.shape.sipWS:
		return "WS"
	case a.s.shape.sipTCP:
		return "TCP"
	case a.link != linkUDP:
		return string(a.link)
	}
	return "UDP"
}

// via makes a Via of its own with a new branch.
func (a *agent) via() string {
	v := "SIP/2.0/" + a.transport() + " " + a.hostPort()
	b := ";branch=z9hG4bK" + a.d.branch(a.r)
	if a.d.rport {
		return v + ";rport" + b
	}
	return v + b
}

// seen completes a Via as the receiver of a request does (RFC 3581).
func (a *agent) seen(via string) string {
	addr := a.node.addr.String()
	if strings.Contains(via, ";rport") {
		return strings.Replace(via, ";rport", fmt.Sprintf(";received=%s;rport=%d", addr, a.node.port(a.port, false)), 1)
	}
	if a.node.lan != a.node.addr {
		return via + ";received=" + addr
	}
	return via
}

// say sends a message to another agent at t and gives the time of arrival.
func (a *agent) say(t int64, to *agent, m *message) int64 {
	b := a.d.render(m)
	if a.s.shape.sipTCP && a.d.name != "scanner" && to.d.name != "scanner" {
		c := a.conn(to)
		if a.s.shape.sipWS {
			return c.sendFramed(t, a.side(to), b, a.s.noise)
		}
		return c.send(t, a.side(to), b)
	}
	if a.keystream != nil && to.keystream != nil {
		b = scrambled(b, a.keystream)
	}
	if a.link != linkUDP && a.link == to.link {
		return a.pass(t, to, b)
	}
	if a.disguise != nil {
		b = a.disguise(b)
	}
	if l := a.node.line; l != nil && l.mapper != nil {
		k := natKey{a.node.lan, a.port, false}
		l.used[k] = max(l.used[k], t)
	}
	f := a.s.flow(a.node, a.node.port(a.port, false), to.node, to.node.port(to.port, false), protoUDP)
	return a.s.send(t, f, kindSIP, b)
}

// pass sends bytes over the connection of the agent's link.
func (a *agent) pass(t int64, to *agent, b []byte) int64 {
	switch c := a.conn(to); {
	case a.link.sealed():
		return c.sendSealed(t, a.side(to), b, a.s.noise)
	case a.link == linkWS:
		return c.sendFramed(t, a.side(to), b, a.s.noise)
	default:
		return c.send(t, a.side(to), b)
	}
}

// side is 0 when a opened the connection to the other: the subscriber does.
func (a *agent) side(to *agent) int {
	if a.node.line != nil || to.node.line == nil {
		return 0
	}
	return 1
}

func (a *agent) conn(to *agent) *conn {
	client, server := a, to
	if a.side(to) == 1 {
		client, server = to, a
	}
	c := client.conns[server]
	if c == nil {
		own := uint16(32768 + client.r.IntN(28000))
		c = a.s.dial(client.node, own, server.node, server.port, kindSIP)
		client.conns[server] = c
	}
	return c
}

// think is the time software takes to answer.
func (a *agent) think() int64 { return int64(time.Millisecond) + a.r.Int64N(int64(9*time.Millisecond)) }

// dialog is what two agents share of a call, subscription or registration.
type dialog struct {
	a, b         *agent // who opened it, and the other
	callID       string
	from, to     string // without tags
	fromTag      string
	toTag        string
	uriA, uriB   string // where each is reached
	cseqA, cseqB int
}

// aor writes an address of record as a header value.
func aor(name, user, domain string) string {
	v := "<sip:" + user
	if user != "" {
		v += "@"
	}
	v += domain + ">"
	if name != "" {
		return strconv.Quote(name) + " " + v
	}
	return v
}

func (s *sim) newDialog(a, b *agent, from, to, uri string) *dialog {
	return &dialog{
		a: a, b: b, from: from, to: to, uriB: uri, callID: a.d.callID(a.r, a.host()), fromTag: a.d.tag(a.r), toTag: b.d.tag(b.r),
		uriA: "sip:" + a.user + "@" + a.hostPort(), cseqA: a.d.cseq(a.r), cseqB: b.d.cseq(b.r),
	}
}

func tagged(v, tag string) string {
	if tag == "" {
		return v
	}
	return v + ";tag=" + tag
}

// request makes a request of a (or of b) in the dialog; withTag puts the other
// side's tag in.
func (g *dialog) request(method string, byA, withTag bool) *message {
	m := &message{method: method, callID: g.callID, expires: -1}
	from := g.from
	if g.a.d.phoneOutside {
		from += ";user=phone"
	}
	to := g.to
	if withTag {
		to = tagged(to, g.toTag)
	}
	if byA {
		m.via, m.uri = []string{g.a.via()}, g.uriB
		m.from, m.to = tagged(from, g.fromTag), to
		m.cseq = strconv.Itoa(g.cseqA) + " " + method
		m.contact = g.a.contact(g.a.user)
		return m
	}
	m.via, m.uri = []string{g.b.via()}, g.uriA
	m.from, m.to = tagged(g.to, g.toTag), tagged(from, g.fromTag)
	m.cseq = strconv.Itoa(g.cseqB) + " " + method
	m.contact = g.b.contact(g.b.user)
	return m
}

// answer makes the response of an agent to a request that the other sent.
func (g *dialog) answer(req *message, sender *agent, status int, withTag bool) *message {
	m := &message{status: status, from: req.from, to: req.to, callID: req.callID, cseq: req.cseq, expires: -1}
	for i, v := range req.via {
		if i == 0 {
			v = sender.seen(v)
		}
		m.via = append(m.via, v)
	}
	if withTag && sender == g.a && !strings.Contains(m.to, ";tag=") {
		m.to = tagged(m.to, g.toTag)
	}
	return m
}

// again makes a new request of an old one: next CSeq, new branch.
func (g *dialog) again(req *message) *message {
	g.cseqA++
	m := *req
	m.via = append([]string{g.a.via()}, req.via[1:]...)
	m.cseq = strconv.Itoa(g.cseqA) + " " + req.method
	m.extra = append([]field(nil), req.extra...)
	return &m
}
