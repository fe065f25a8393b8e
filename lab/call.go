package lab

import (
	"strconv"
	"strings"
	"time"
)

// call is one call over one hop, planned before it begins.
type call struct {
	from, to *agent
	called   string // user part of the request-URI
	calling  string
	name     string
	// fromDomain and toDomain stand in From and To; empty takes the addresses.
	fromDomain, toDomain string
	toContact            bool // the request-URI is the callee's registered contact

	challenge bool          // the callee asks for credentials first
	early     bool          // 183 with SDP, and sound from the callee before the answer
	delay     time.Duration // from INVITE to ringing (post-dial delay)
	found     bool          // delay has the time that a mobile network takes to find the callee
	ring      time.Duration
	status    int // final: 200 answered, 487 cancelled by the caller, else a failure
	talk      time.Duration
	byCaller  bool // who hangs up
	hold      bool // a re-INVITE puts the call on hold and another takes it back
	refer     bool // the callee transfers the call at its end
	// refresh is how often a re-INVITE renews the session (RFC 4028); 0 never.
	refresh time.Duration

	codec   *codec
	media   [2]*mediaHost // of caller and callee; nil takes the agents'
	ports   [2]uint16     // RTP; 0 draws
	ppm     [2]float64    // clock of a relayed stream
	ptime   [2]int        // ms a packet; drawn in wide scenarios
	relayed [2]bool       // the side passes on media of another's clock
	silence [2]float64    // share of time that is not sent
	rtcp    bool
	keys    int
	extra   []field // headers of the INVITE
	variety *variety
	bridge  *bridge // passes media on between this leg and another
	channel int     // of the box, from 1

	// answered and over are told of the call's course; over in any case.
	answered func()
	over     func()
}

// script is a call while its messages are laid out in time.
type script struct {
	*call
	s       *sim
	g       *dialog
	invite  *message
	sdpID   [2]string
	offer   []*codec
	since   int64      // when the callee began to send early media, 0 never
	playing [2]*stream // what caller and callee send, with a variety
}

// place begins the call at t.
func (s *sim) place(t int64, c *call) {
	s.at(t, func() { s.perform(c) })
}

func (s *sim) perform(c *call) {
	a, b := c.from, c.to
	s.begin(c)
	for i, ag := range [2]*agent{a, b} {
		if c.media[i] == nil {
			c.media[i] = ag.sound()
		}
		if c.ports[i] == 0 {
			c.ports[i] = c.media[i].port(ag.r)
		}
	}
	if c.status == 404 || c.status == 503 {
		c.ring = 0 // no such number, or no way there: nothing rings
	}
	if c.codec == nil {
		c.codec = a.codecs[0]
	}
	if s.wide {
		c.packetise(a.r)
	}
	if a.h323 != nil && b.h323 != nil {
		(&script{call: c, s: s}).signal323()
		return
	}
	fd, td := c.fromDomain, c.toDomain
	if fd == "" {
		fd = a.host()
	}
	if td == "" {
		td = b.host()
	}
	uri := "sip:" + c.called + "@" + td
	if c.toContact {
		uri = "sip:" + c.called + "@" + b.hostPort()
	}
	x := &script{call: c, s: s}
	x.g = s.newDialog(a, b, aor(c.name, c.calling, fd), aor("", c.called, td), uri)
	x.g.uriA = "sip:" + c.calling + "@" + a.hostPort()
	x.sdpID = [2]string{a.d.sdpID(a.r), b.d.sdpID(b.r)}
	// The codec agreed on heads the offer or follows another.
	x.offer = []*codec{c.codec}
	for _, k := range a.codecs {
		if k != c.codec {
			x.offer = append(x.offer, k)
		}
	}
	x.invite = x.g.request("INVITE", true, false)
	x.invite.contact = a.contact(c.calling)
	x.invite.allow = true
	x.invite.extra = c.extra
	if c.variety == nil || !c.variety.late {
		x.invite.ctype, x.invite.body = "application/sdp", x.describe(0, x.offer, "sendrecv")
	}

	t := s.now
	if !s.shape.sipTCP && a.link == linkUDP && a.r.IntN(100) == 0 {
		a.say(t, b, x.invite) // lost beyond the tap
		t += int64(500 * time.Millisecond)
	}
	t = a.say(t, b, x.invite)
	if c.challenge {
		t = x.authenticate(t)
	}
	x.ringing(t)
}

func (x *script) describe(side int, codecs []*codec, dir string) string {
	ag, m := x.from, x.media[side]
	if side == 1 {
		ag = x.to
	}
	host, port := m.node.lan.String(), x.ports[side]
	if ag.mapped {
		host, port = m.node.addr.String(), m.node.port(port, false)
	}
	sdp := ag.d.sdp(x.sdpID[side], host, port, codecs, dir)
	if ms := x.ptime[side]; ms > 0 {
		sdp = strings.Replace(sdp, "a=ptime:20\r\n", "a=ptime:"+strconv.Itoa(ms)+"\r\n", 1)
	}
	return x.variety.dress(sdp)
}

// authenticate answers the INVITE that arrived at t with a challenge, and gives
// the time at which the next INVITE arrives.
func (x *script) authenticate(t int64) int64 {
	a, b := x.from, x.to
	m := x.g.answer(x.invite, a, 407, true)
	nonce := hex16(b.r) + hex8(b.r)
	realm := b.domain
	m.extra = []field{{"Proxy-Authenticate", `Digest realm="` + realm + `", nonce="` + nonce + `", algorithm=MD5`}}
	t = b.say(t+b.think(), a, m)
	a.say(t+a.think()/2, b, x.ack(x.invite, m))
	x.invite = x.g.again(x.invite)
	x.invite.extra = append(x.invite.extra, field{"Proxy-Authorization", digest("INVITE", x.g.uriB, a.user, realm, nonce, a.user+"-pw")})
	x.g.toTag = b.d.tag(b.r)
	return a.say(t+a.think(), b, x.invite)
}

// ack acknowledges a failure: within the transaction, so with its branch.
func (x *script) ack(invite, resp *message) *message {
	m := x.g.request("ACK", true, false)
	m.via, m.to, m.contact = invite.via, resp.to, ""
	return m
}

// ringing follows the INVITE that arrived at the callee at t.
func (x *script) ringing(t int64) {
	a, b := x.from, x.to
	b.say(t+b.think(), a, x.g.answer(x.invite, a, 100, false))
	if x.status >= 400 && x.ring == 0 {
		x.fail(t+int64(x.delay)+b.think(), x.status)
		return
	}
	t += int64(x.delay) + b.think()
	status := 180
	m := x.g.answer(x.invite, a, status, true)
	m.contact = b.contact(x.called)
	if x.early {
		m.status = 183
		m.ctype, m.body = "application/sdp", x.describe(1, []*codec{x.codec}, "sendrecv")
		x.since = t
	}
	b.say(t, a, m)
	t += int64(x.ring)
	switch {
	case x.status == 200:
		x.answer(t)
	case x.status == 487:
		x.cancel(t)
	default:
		x.fail(t, x.status)
	}
}

func (x *script) fail(t int64, status int) {
	a, b := x.from, x.to
	m := x.g.answer(x.invite, a, status, true)
	if x.since > 0 {
		x.stream(1, x.since, t)
		x.s.at(t, func() { x.talked(0, t) })
	}
	t = b.say(t, a, m)
	a.say(t+a.think(), b, x.ack(x.invite, m))
	x.finish(t)
}

func (x *script) cancel(t int64) {
	a, b := x.from, x.to
	m := x.g.request("CANCEL", true, false)
	m.via, m.contact = x.invite.via, ""
	t = a.say(t, b, m)
	b.say(t+b.think(), a, x.g.answer(m, a, 200, true))
	x.fail(t+b.think(), 487)
}

func (x *script) answer(t int64) {
	a, b := x.from, x.to
	m := x.g.answer(x.invite, a, 200, true)
	m.contact = b.contact(x.called)
	m.allow = true
	m.ctype, m.body = "application/sdp", x.describe(1, []*codec{x.codec}, "sendrecv")
	got := b.say(t, a, m)
	x.s.at(t, func() { x.s.connect(x.call, t) })
	x.g.uriB = "sip:" + x.called + "@" + b.hostPort()
	ack := x.g.request("ACK", true, true)
	ack.contact = ""
	if x.variety != nil && x.variety.late {
		ack.ctype, ack.body = "application/sdp", x.describe(0, []*codec{x.codec}, "sendrecv")
	}
	a.say(got+a.think(), b, ack)

	end := t + int64(x.talk)
	if x.hold && x.talk > 20*time.Second {
		x.reinvite(t+int64(x.talk)/3, "sendonly")
		x.reinvite(t+int64(x.talk)/2, "sendrecv")
	}
	for at := x.refresh; at > 0 && at < x.talk-2*time.Second; at += x.refresh {
		x.reinvite(t+int64(at), "sendrecv")
	}
	first := t
	if x.since > 0 {
		first = x.since
	}
	silent := end // when sound ends
	if x.variety != nil {
		silent = x.vary(t, end)
	}
	x.stream(1, first, silent)
	x.stream(0, got, silent)
	if x.refer {
		x.transfer(end - int64(3*time.Second))
	}
	x.s.at(end, func() { x.bye(end) })
	x.s.at(min(silent, x.s.end), func() { x.talked(t, silent) })
}

// talked tells both lines' truths of the call's sound.
func (x *script) talked(start, end int64) {
	out, in := x.legs()
	out.talked(x.since, start, end, x.channel, true)
	in.talked(x.since, start, end, x.channel, false)
}

// stream lets one side send from start to end.
func (x *script) stream(side int, start, end int64) {
	ag := x.from
	if side == 1 {
		ag = x.to
	}
	if x.bridge != nil && ag.node.line != nil {
		x.relay(side, start, end)
		return
	}
	own := !x.relayed[side]
	ppm := x.ppm[side]
	if own {
		ppm = x.media[side].node.ppm
	}
	p := streamPlan{
		from: x.media[side], to: x.media[1-side], fport: x.ports[side], tport: x.ports[1-side], codec: x.codec,
		start: start, end: end, ppm: ppm, own: own, silence: x.silence[side], rtcp: x.rtcp, d: ag.d,
		variety: x.variety, bridge: x.bridge, side: side,
	}
	if x.variety != nil {
		p.peer = func() *stream { return x.playing[1-side] }
	}
	if side == 0 {
		p.keys = x.keys
	}
	p.ptime = x.ptime[side]
	x.s.at(start, func() { x.playing[side] = x.s.play(p, ag.r) })
}

func (x *script) reinvite(t int64, dir string) {
	a, b := x.from, x.to
	x.g.cseqA++
	m := x.g.request("INVITE", true, true)
	m.ctype, m.body = "application/sdp", x.describe(0, []*codec{x.codec}, dir)
	ack := x.g.request("ACK", true, true)
	ack.contact = ""
	back := map[string]string{"sendonly": "recvonly", "sendrecv": "sendrecv"}[dir]
	x.s.at(t, func() {
		t := a.say(t, b, m)
		r := x.g.answer(m, a, 200, false)
		r.contact = b.contact(x.called)
		r.ctype, r.body = "application/sdp", x.describe(1, []*codec{x.codec}, back)
		t = b.say(t+b.think(), a, r)
		a.say(t+a.think(), b, ack)
	})
}

// transfer lets the callee refer the caller to somebody else.
func (x *script) transfer(t int64) {
	a, b := x.from, x.to
	x.g.cseqB++
	m := x.g.request("REFER", false, true)
	m.extra = []field{{"Refer-To", "<sip:" + strconv.Itoa(800+b.r.IntN(100)) + "@" + b.host() + ">"}}
	x.s.at(t, func() {
		t := b.say(t, a, m)
		a.say(t+a.think(), b, x.g.answer(m, b, 202, false))
	})
}

func (x *script) bye(t int64) {
	a, b := x.from, x.to
	if x.byCaller {
		x.g.cseqA++
		m := x.g.request("BYE", true, true)
		m.contact = ""
		t = a.say(t, b, m)
		b.say(t+b.think(), a, x.g.answer(m, a, 200, false))
	} else {
		x.g.cseqB++
		m := x.g.request("BYE", false, true)
		m.contact = ""
		t = b.say(t, a, m)
		a.say(t+a.think(), b, x.g.answer(m, b, 200, false))
	}
	x.s.disconnect(x.call)
	x.finish(t)
}

func (x *script) finish(t int64) {
	if x.over != nil {
		x.s.at(t, x.over)
	}
}

// legs gives the lines at the ends of the call, caller's first; a line may be
// both, and nil beyond the tap.
func (c *call) legs() (out, in *line) {
	out, in = c.from.node.line, c.to.node.line
	if out == in {
		return nil, nil
	}
	return out, in
}

func (s *sim) begin(c *call) {
	out, in := c.legs()
	if out != nil {
		out.truth.Calls.Outbound++
	}
	if in != nil {
		in.truth.Calls.Inbound++
		in.called[c.called] = true
	}
}

func (s *sim) connect(c *call, t int64) {
	out, in := c.legs()
	for _, l := range [2]*line{out, in} {
		if l == nil {
			continue
		}
		k := &l.truth.Calls
		k.Answered++
		if l == in {
			k.AnsweredIn++
		}
		k.TalkSeconds += int(min(c.talk, time.Duration(s.end-t)) / time.Second)
		l.truth.talks = append(l.truth.talks, talk{t, t + int64(c.talk), l == in, c.called})
		l.active++
		k.PeakConcurrent = max(k.PeakConcurrent, l.active)
	}
	if c.answered != nil {
		c.answered()
	}
}

func (s *sim) disconnect(c *call) {
	out, in := c.legs()
	for _, l := range [2]*line{out, in} {
		if l != nil {
			l.active--
		}
	}
}
