package lab

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// drawRelease makes a version as firmware has it.
func drawRelease(r *rand.Rand, parts int) string {
	v := strconv.Itoa(1 + r.IntN(12))
	for range parts - 1 {
		v += "." + strconv.Itoa(r.IntN(40))
	}
	return v
}

// drawDeskPhone draws a make of office telephone.
func drawDeskPhone(r *rand.Rand) *dialect {
	switch r.IntN(6) {
	case 0, 1:
		return dialYealink(pick(r, "SIP-T42S 66.", "SIP-T46S 66.", "SIP-T21P_E2 52.", "SIP-T31P 124.", "SIP-T54W 96.") + fmt.Sprintf("%d.0.%d", 80+r.IntN(8), 5+r.IntN(90)))
	case 2:
		return dialGrandstream(pick(r, "GXP2135", "GXP1625", "GRP2612", "GXP2170") + " 1.0." + strconv.Itoa(r.IntN(12)) + "." + strconv.Itoa(1+r.IntN(90)))
	case 3:
		d := dialYealink("")
		d.name, d.agent, d.allow = "fanvil", "Fanvil "+pick(r, "X3S", "X4U", "X6", "V62")+" "+drawRelease(r, 4), "INVITE, ACK, OPTIONS, BYE, CANCEL, REFER, NOTIFY, INFO, PRACK, UPDATE, MESSAGE"
		return d
	case 4:
		d := dialGrandstream("")
		d.name, d.agent, d.sdpUser, d.sdpName = "snom", "snom"+pick(r, "D717", "D735", "320", "821")+"/"+drawRelease(r, 4), "root", "call"
		d.branch, d.tag, d.callID = word(12), word(10), alone(uuid)
		return d
	default:
		return drawPCPhone(r)
	}
}

// drawPCPhone draws a program that telephones.
func drawPCPhone(r *rand.Rand) *dialect {
	d := dialApp(pick(r, "MicroSIP/3.", "Bria "+"6.", "Zoiper rv2.", "Linphone Desktop/5.", "PortSIP UC Client  Android - v12.", "baresip v3.") + strconv.Itoa(r.IntN(30)) + "." + strconv.Itoa(r.IntN(10)))
	d.expires = pick(r, 60, 120, 300, 600, 3600)
	return d
}

// drawHomeBox draws what a household's own telephone number ends in.
func drawHomeBox(r *rand.Rand) *dialect {
	switch r.IntN(5) {
	case 0, 1:
		return dialFritz(pick(r, "7590 154.", "7530 164.", "7490 113.", "6660 Cable 267.", "4040 133.") + fmt.Sprintf("%02d.%02d", 7+r.IntN(2), 10+r.IntN(89)))
	case 2:
		d := dialGrandstream(pick(r, "HT801", "HT802", "HT812", "HT814", "HT702") + " 1.0." + strconv.Itoa(r.IntN(50)) + "." + strconv.Itoa(1+r.IntN(12)))
		d.expires = pick(r, 300, 1800, 3600)
		return d
	case 3:
		d := dialDBL() // the same stack as gateways have, in a fibre terminal
		d.name, d.agent = "terminal", pick(r, "HG8245", "F660", "ZXHN F673A", "AN5506", "")
		d.phoneOutside, d.lengthGap, d.forwards, d.sdpUser, d.sdpID = chance(r, 0.5), " ", "70", "-", unixID
		d.expires = pick(r, 600, 1800, 3600)
		return d
	default:
		d := dialGrandstream("")
		d.name, d.agent, d.sdpUser = "spa", pick(r, "Cisco/SPA112-1.4.1", "Cisco/SPA122-1.3.5(004p)", "Linksys/PAP2T-5.1.6(LS)", "OBIHAI/OBi200-3.2.2"), "-"
		d.branch, d.tag, d.callID = before("-", hex8), before("", hex16), atHost(before("", hex16))
		return d
	}
}

// drawProvider draws the software of a provider's exchange.
func drawProvider(r *rand.Rand) *dialect {
	switch r.IntN(8) {
	case 0:
		return dialQuietSwitch()
	case 3: // not only wholesalers have it
		return dialVOS("V2.1." + strconv.Itoa(2+r.IntN(8)) + ".0" + strconv.Itoa(r.IntN(8)))
	case 1:
		return dialPJSIP("Asterisk PBX " + drawRelease(r, 3))
	case 2:
		d := dialQuietSwitch()
		d.agent, d.server, d.tag = pick(r, "Sippy Softswitch v"+drawRelease(r, 2), "Oracle SBC", "ZTE Softswitch/1.0.0", "Huawei SoftX3000 R"+strconv.Itoa(3+r.IntN(9))), true, hex16
		return d
	default:
		return dialKamailio(pick(r, "kamailio (5.", "OpenSIPS (3.", "FreeSWITCH-mod_sofia/1.") + strconv.Itoa(r.IntN(11)) + "." + strconv.Itoa(r.IntN(8)) + pick(r, " (x86_64/linux))", "~64bit)", ")"))
	}
}

// service is a provider whose accounts a line's telephones have, and the habits
// of that provider: all its telephones share them.
type service struct {
	s         *sim
	l         *line
	r         *rand.Rand
	server    *agent
	relay     *mediaHost // where its media comes from, nil the server
	link      link
	secure    bool // SRTP
	refresh   time.Duration
	ping      time.Duration // OPTIONS of the server, 0 none
	pulse     time.Duration // empty datagrams of telephones that hold a NAT open, 0 none
	everyTime bool
	rtcp      bool
	early     bool
	challenge bool
	keystream []byte
}

// newService draws a provider at home or abroad.
func (s *sim) newService(l *line, d *dialect, abroad bool) *service {
	r := s.rng("service")
	v := &service{
		s: s, l: l, r: r, refresh: span(r, 30*time.Second, 40*time.Minute), everyTime: chance(r, 0.5), rtcp: chance(r, 0.5),
		early: chance(r, 0.6), challenge: chance(r, 0.8),
	}
	v.server = s.newAgent(s.host("provider", abroad), d, pick(r, uint16(5060), 5060, 5060, 5070, 5080, 6060, uint16(5000+r.IntN(3000))), "proxy", "")
	v.server.domain = v.server.host()
	v.server.codecs = []*codec{pcma, pcmu, g729}
	if chance(r, 0.3) {
		v.relay = newMediaHost(s.host("media relay", abroad), r)
		v.relay.random = true
		l.controls(v.relay.node, "media")
	}
	if chance(r, 0.4) {
		v.ping = span(r, 15*time.Second, 3*time.Minute)
	}
	if chance(r, 0.4) {
		v.pulse = span(r, 10*time.Second, 90*time.Second)
	}
	l.controls(v.server.node, "registrar")
	return v
}

// carry lets the service speak SIP over something else than UDP.
func (v *service) carry(over link, secure bool) {
	v.link, v.secure, v.server.link = over, secure, over
	if over == linkTLS {
		v.server.port = 5061
	}
}

// account registers a telephone of the line.
func (v *service) account(dev *node, d *dialect, port uint16, user string) *agent {
	s, r := v.s, v.r
	a := s.newAgent(dev, d, port, user, v.server.host())
	a.link, a.keystream, v.server.keystream = v.link, v.keystream, v.keystream
	a.mapped = chance(r, 0.5)
	a.codecs = pick(r, []*codec{pcma, pcmu, g729}, []*codec{pcmu, pcma}, []*codec{g722, pcma, pcmu, g729}, []*codec{g729, pcma, pcmu, ilbc})
	refresh := max(time.Second, v.refresh-time.Duration(r.Int64N(int64(v.refresh/10))))
	t := s.start + r.Int64N(int64(min(refresh, 10*time.Minute)))
	s.register(t, a, v.server, refresh, v.everyTime)
	if v.ping > 0 {
		s.options(t+int64(5*time.Second), v.server, a, v.ping)
	}
	if v.pulse > 0 && v.link == linkUDP {
		s.every(t+int64(3*time.Second), func() time.Duration { return v.pulse }, func() bool {
			f := s.flow(a.node, a.node.port(a.port, false), v.server.node, v.server.port, protoUDP)
			s.send(s.now, f, kindOther, []byte("\r\n\r\n"))
			return true
		})
	}
	return a
}

// mediaSide puts the provider's media where it belongs and draws what else a
// call's sound has.
func (v *service) mediaSide(c *call, far int) {
	if v.relay != nil {
		c.media[far] = v.relay
	}
	c.relayed[far], c.ppm[far] = true, drawPPM(v.r)
	c.rtcp = v.rtcp
	if v.secure {
		c.variety = &variety{secure: true}
	}
}

// out is a call of one of the line's telephones to the world.
func (v *service) out(c *call, a *agent, called, calling string) {
	c.from, c.to, c.called, c.calling = a, v.server, called, calling
	c.challenge, c.early = v.challenge, v.early
	c.fromDomain, c.toDomain = v.server.host(), v.server.host()
	if c.codec == nil {
		c.codec = a.codecs[0]
	}
	v.mediaSide(c, 1)
}

// in is a call of the world to one of them.
func (v *service) in(c *call, a *agent, called, calling string) {
	c.from, c.to, c.called, c.calling, c.toContact = v.server, a, called, calling, true
	if c.codec == nil {
		c.codec = a.codecs[0]
	}
	v.mediaSide(c, 0)
}

// drawCourse draws the course of one call of people; talk is the mean.
func drawCourse(r *rand.Rand, talk time.Duration, answered float64) *call {
	return &call{
		delay: between(r, 300*time.Millisecond, 5*time.Second), ring: between(r, 1500*time.Millisecond, 22*time.Second), status: outcome(r, answered),
		talk: expo(r, talk, 3*time.Second, 8*talk), byCaller: r.IntN(2) == 0,
	}
}
