package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// cameraScenarios are sites of cameras. Those that speak SIP to a platform (GB/T
// 28181) have accounts of their own, or a recorder with one for all its
// channels; consumers' cameras speak to a cloud.
func cameraScenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "camera-site", Text: "cameras that each register at a platform (GB/T 28181)", Class: ClassCamera, Share: 0.4, duration: 60 * m, build: func(s *sim) { cameraSite(s, false) }},
		{Name: "camera-recorder", Text: "recorder whose channels a platform views, several at once", Class: ClassCamera, Share: 0.3, Heavy: true, duration: 40 * m, build: func(s *sim) { cameraSite(s, true) }},
		{Name: "camera-talk", Text: "help points and loudspeakers at a platform: much talk", Class: ClassCamera, Share: 0.1, Heavy: true, duration: 60 * m, build: cameraTalk},
		{Name: "camera-cloud", Text: "consumers' cameras at a maker's cloud", Class: ClassCamera, Share: 0.2, duration: 60 * m, build: cameraCloud},
	}
}

// surveillance is a site at its platform.
type surveillance struct {
	s        *sim
	l        *line
	r        *rand.Rand
	platform *agent
	sink     *mediaHost // takes pictures and talks
	devices  []*agent
	ids      []string // of channels
	at       []*agent // who has the channel
}

// drawCamera draws a make of camera or recorder.
func drawCamera(r *rand.Rand) *dialect {
	d := dialQuiet()
	d.agent = pick(r, "Embedded Net DVR/NVR/DVS", "IP Camera", "IPC", "SIP UAS V2.1.4.5"+strconv.Itoa(10000+r.IntN(90000)), "eXosip/4.1.0", "IMS/NVR V"+drawRelease(r, 2), "")
	d.branch, d.tag, d.callID = decimal, decimal, pick(r, atHost(decimal), alone(decimal))
	d.sdpName, d.expires = pick(r, "Play", "Play", "Embedded IPC", "Talk"), pick(r, 3600, 3600, 7200, 86400, 600)
	return d
}

func newSurveillance(s *sim, what string, channels int, recorder bool) *surveillance {
	l := s.newLine(ClassCamera, what, VerdictNone, VerdictReview)
	x := &surveillance{s: s, l: l, r: s.rng("surveillance")}
	r := x.r
	if chance(r, 0.5) {
		s.everyday(l, r.IntN(4))
	} else {
		s.chores(l, l.device("recorder"))
	}
	domain := fmt.Sprintf("%d%05d", pick(r, 34020, 11010, 44010, 31011, 32050, 51010), r.IntN(100000))
	x.platform = s.newAgent(s.host("camera platform", chance(r, 0.03)), pick(r, dialQuietSwitch(), dialKamailio("platform")), pick(r, uint16(5060), 15060, 5061, uint16(5000+r.IntN(3000))), domain+"2000000001", "")
	x.platform.domain = domain
	x.platform.d.agent = pick(r, "WVP-Pro v2."+strconv.Itoa(r.IntN(9)), "SIP UAS V.2018", "LiveGBS v"+drawRelease(r, 2), "")
	x.platform.codecs = []*codec{pcma}
	l.controls(x.platform.node, "registrar")
	x.sink = x.platform.media
	if chance(r, 0.4) {
		x.sink = newMediaHost(s.host("media server", false), r)
		l.controls(x.sink.node, "media")
	}
	x.sink.random = true
	d, period, refresh := drawCamera(r), pick(r, 30*time.Second, 60*time.Second, 60*time.Second, 20*time.Second, 150*time.Second), span(r, 3*time.Minute, 8*time.Hour)
	over := pick(r, linkUDP, linkUDP, linkUDP, linkTCP)
	x.platform.link = over
	for i := range channels {
		if i == 0 || !recorder {
			a := s.newAgent(l.device("camera"), d, pick(r, uint16(5060), 5060, uint16(5061+r.IntN(3000))), domain+fmt.Sprintf("132%07d", 1+i), domain)
			a.codecs, a.link = []*codec{pcma}, over
			if recorder {
				a.user = domain + fmt.Sprintf("118%07d", 1+r.IntN(99))
			}
			x.devices = append(x.devices, a)
			x.report(a, period, refresh)
		}
		x.ids = append(x.ids, domain+fmt.Sprintf("132%07d", 1+i))
		x.at = append(x.at, x.devices[len(x.devices)-1])
	}
	l.truth.Channels = channels
	return x
}

// report keeps a device registered and its platform told.
func (x *surveillance) report(a *agent, period, refresh time.Duration) {
	s, r := x.s, x.r
	t := s.start + r.Int64N(int64(min(refresh, time.Minute)))
	s.register(t, a, x.platform, refresh, true)
	sn := r.IntN(1000)
	s.every(t+int64(2*time.Second), func() time.Duration { return period }, func() bool {
		sn++
		s.manscdp(a, x.platform, a, "Notify", "Keepalive", sn, statusOK)
		return true
	})
	if lists := span(r, 5*time.Minute, 3*time.Hour); chance(r, 0.8) {
		s.every(t+int64(10*time.Second), func() time.Duration { return lists }, func() bool {
			sn++
			n := sn
			cmd := pick(r, "Catalog", "DeviceInfo", "DeviceStatus", "RecordInfo")
			s.manscdp(x.platform, a, a, "Query", cmd, n, "")
			s.after(300*time.Millisecond, func() { s.manscdp(a, x.platform, a, "Response", cmd, n, statusOK) })
			return true
		})
	}
	s.tides(r, s.often(spread(r, 0.3, 20)), func() {
		sn++
		s.manscdp(a, x.platform, a, "Notify", pick(r, "Alarm", "MobilePosition"), sn, "<AlarmPriority>4</AlarmPriority>\r\n")
	})
}

// describe writes a session of a picture as GB/T 28181 says.
func (x *surveillance) describe(owner string, at netip.Addr, port uint16, proto, what, dir, ssrc string) string {
	var b strings.Builder
	host := "IN IP4 " + at.String()
	if at.Is6() {
		host = "IN IP6 " + at.String()
	}
	fmt.Fprintf(&b, "v=0\r\no=%s 0 0 %s\r\ns=%s\r\nc=%s\r\nt=0 0\r\nm=video %d %s 96\r\na=%s\r\na=rtpmap:96 PS/90000\r\n", owner, host, what, host, port, proto, dir)
	if strings.HasPrefix(proto, "TCP") {
		b.WriteString("a=setup:" + map[string]string{"recvonly": "passive", "sendonly": "active"}[dir] + "\r\na=connection:new\r\n")
	}
	b.WriteString("y=" + ssrc + "\r\n")
	return b.String()
}

// view lets the platform look at channel i for a while.
func (x *surveillance) view(i int, length time.Duration) {
	s, r, a, p := x.s, x.r, x.at[i], x.platform
	g := s.newDialog(p, a, aor("", p.user, p.domain), aor("", x.ids[i], a.domain), "sip:"+x.ids[i]+"@"+a.hostPort())
	proto, what := pick(r, "RTP/AVP", "RTP/AVP", "TCP/RTP/AVP"), pick(r, "Play", "Play", "Play", "Playback", "Download")
	ssrc := fmt.Sprintf("%d%09d", r.IntN(2), r.IntN(1_000_000_000))
	own, sink := 2*uint16(5000+r.IntN(20000)), x.sink.port(r)
	m := g.request("INVITE", true, false)
	m.ctype, m.body = "application/sdp", x.describe(p.user, x.sink.node.addr, sink, proto, what, "recvonly", ssrc)
	m.extra = []field{{"Subject", x.ids[i] + ":" + ssrc + "," + p.user + ":0"}}
	t := p.say(s.now, a, m)
	a.say(t+a.think(), p, g.answer(m, p, 100, false))
	ok := g.answer(m, p, 200, true)
	ok.contact, ok.ctype = a.contact(x.ids[i]), "application/sdp"
	ok.body = x.describe(x.ids[i], a.node.lan, own, proto, what, "sendonly", ssrc)
	t += int64(between(r, 50*time.Millisecond, 800*time.Millisecond))
	got := a.say(t, p, ok)
	ack := g.request("ACK", true, true)
	ack.contact = ""
	p.say(got+p.think(), a, ack)
	c := &call{from: p, to: a, called: x.ids[i], talk: length}
	s.begin(c)
	s.at(t, func() {
		s.connect(c, t)
		x.film(a.node, own, sink, proto, ssrc, t+int64(length))
	})
	s.at(t+int64(length), func() {
		s.disconnect(c)
		g.cseqA++
		bye := g.request("BYE", true, true)
		bye.contact = ""
		a.say(p.say(s.now, a, bye)+a.think(), p, g.answer(bye, p, 200, false))
	})
}

// film sends frames of a picture, each in some packets, over UDP or in frames of
// RFC 4571.
func (x *surveillance) film(n *node, own, sink uint16, proto, ssrc string, end int64) {
	s, r := x.s, x.r
	id, _ := strconv.ParseUint(ssrc, 10, 32)
	f := s.flow(n, n.port(own, false), x.sink.node, sink, protoUDP)
	var c *conn
	if proto != "RTP/AVP" {
		c = s.dial(n, own, x.sink.node, sink, kindMedia)
	}
	rate := spread(r, 8, 25)
	period := time.Duration(float64(time.Second) / rate)
	bytes := spread(r, 15_000, 90_000) / rate
	seq, ts, k := uint16(r.Uint32()), r.Uint32(), 0
	s.every(s.now, func() time.Duration { return period }, func() bool {
		size := int(bytes * share(r, 0.3, 1.2))
		if k%50 == 0 {
			size *= 6
		}
		k++
		for size > 0 {
			b := []byte{0x80, 96}
			if size <= 1300 {
				b[1] |= 0x80
			}
			b = binary.BigEndian.AppendUint16(b, seq)
			b = binary.BigEndian.AppendUint32(b, ts)
			b = binary.BigEndian.AppendUint32(b, uint32(id))
			b = append(b, s.stuff(r, min(size, 1300))...)
			if c != nil {
				c.send(s.now, 0, append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			} else {
				s.inOrder(f, kindMedia, b)
			}
			seq++
			size -= 1300
		}
		ts += uint32(90000 / rate)
		return s.now+int64(period) < end
	})
}

// talk is voice between platform and a device, opened by either: a loudspeaker,
// a help point.
func (x *surveillance) talk(length time.Duration, byDevice bool) {
	s, r := x.s, x.r
	i := r.IntN(len(x.at))
	a := x.at[i]
	c := drawCourse(r, length, 0.95)
	c.from, c.to, c.called, c.calling, c.codec = x.platform, a, x.ids[i], x.platform.user, pcma
	c.media = [2]*mediaHost{x.sink, nil}
	if byDevice {
		c.from, c.to, c.called, c.calling = a, x.platform, x.platform.user, x.ids[i]
		c.media = [2]*mediaHost{nil, x.sink}
	}
	c.delay, c.ring = between(r, 50*time.Millisecond, 500*time.Millisecond), 0
	if chance(r, 0.3) {
		c.ring = between(r, time.Second, 10*time.Second)
	}
	c.extra = []field{{"Subject", c.called + ":" + fmt.Sprintf("%010d", r.IntN(1_000_000_000)) + "," + c.calling + ":0"}}
	s.perform(c)
}

// cameraSite is looked at now and then; a recorder's channels several at once,
// as on a wall of pictures.
func cameraSite(s *sim, recorder bool) {
	r := s.rng("site")
	n := sizes(r, 1, 64)
	what := fmt.Sprintf("site of %d cameras, GB/T 28181", n)
	if recorder {
		n = sizes(r, 4, 64)
		what = fmt.Sprintf("recorder of %d channels, GB/T 28181", n)
	}
	x := newSurveillance(s, what, n, recorder)
	length := span(r, 10*time.Second, 4*time.Minute)
	load := spread(r, 0.05, 2) // pictures at once, over all
	wall := 1
	if recorder {
		wall, load = min(n, pick(r, 1, 4, 4, 9, 16)), 1.5*load
	}
	length = max(5*time.Second, length/time.Duration(wall))
	s.tides(r, max(time.Duration(float64(length)*float64(wall)/load), time.Second), func() {
		for range 1 + r.IntN(wall) {
			i := r.IntN(n)
			s.after(between(r, 0, time.Second), func() { x.view(i, expo(r, length, 2*time.Second, 3*length)) })
		}
	})
	if chance(r, 0.4) {
		s.tides(r, s.often(spread(r, 0.5, 10)), func() { x.talk(30*time.Second, chance(r, 0.5)) })
	}
}

func cameraTalk(s *sim) {
	r := s.rng("site")
	n := sizes(r, 2, 40)
	x := newSurveillance(s, fmt.Sprintf("%d help points and loudspeakers at a platform", n), n, chance(r, 0.3))
	byDevice := share(r, 0.1, 0.9)
	talk := span(r, 8*time.Second, 90*time.Second)
	s.tides(r, s.often(spread(r, 15, 120)), func() { x.talk(talk, chance(r, byDevice)) })
	s.tides(r, s.often(spread(r, 1, 20)), func() { x.view(r.IntN(n), expo(r, 20*time.Second, 2*time.Second, 90*time.Second)) })
}

// cameraCloud are cameras that people look at with a maker's program.
func cameraCloud(s *sim) {
	r := s.rng("cloud")
	n := sizes(r, 1, 12)
	l := s.newLine(ClassCamera, fmt.Sprintf("%d consumers' cameras at a maker's cloud", n), VerdictNone, VerdictReview)
	s.everyday(l, r.IntN(4))
	s.things(l, r, n)
	clouds := s.hosts("camera cloud", 3, 0.4)
	for range n {
		dev, form := l.device("camera"), drawPatter(r)
		s.tides(r, s.often(spread(r, 0.3, 5)), func() {
			p := form
			p.near, p.far, p.nport, p.fport = dev, pick(r, clouds...), uint16(32768+r.IntN(28000)), uint16(1024+r.IntN(60000))
			p.until = s.now + int64(expo(r, 40*time.Second, 3*time.Second, 2*time.Minute))
			p.greet(s, r)
			p.upOnly = true
			p.picture(s, r)
			p.upOnly = chance(r, 0.6) // else somebody talks back
			p.silence = 0
			p.speak(s, r)
		})
	}
}
