package lab

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// This file has what lines with a trunk draw: accesses, makes of software,
// ways of writing numbers, loads and the course of calls.

// Kinds of access, see line.reach.
const (
	reachLeased = iota
	reachFibre
	reachDSL
	reachCable
	reachRadio
)

// reach makes the line's access one of the given kinds. To be called before
// devices are added.
func (l *line) reach(kinds ...int) {
	r := l.rng
	us, ms := float64(time.Microsecond), float64(time.Millisecond)
	set := func(owd, jit, loss float64) { l.owd, l.jit, l.loss = int64(owd), int64(jit), loss*r.Float64() }
	switch pick(r, kinds...) {
	case reachLeased:
		set(spread(r, 300*us, 4*ms), spread(r, 15*us, 150*us), 0.0003)
	case reachFibre:
		set(spread(r, 1*ms, 6*ms), spread(r, 40*us, 500*us), 0.002)
	case reachDSL:
		set(spread(r, 5*ms, 25*ms), spread(r, 150*us, 2*ms), 0.005)
	case reachCable:
		set(spread(r, 4*ms, 15*ms), spread(r, 800*us, 3*ms), 0.006)
	case reachRadio:
		set(spread(r, 15*ms, 60*ms), spread(r, 2*ms, 9*ms), 0.012)
	}
}

// boxAt adds a device at the line's own address or behind its NAT.
func (l *line) boxAt(name string, public float64) *node {
	if chance(l.rng, public) {
		return l.public(name)
	}
	return l.device(name)
}

// release draws a version number like "1.0.25.8".
func release(r *rand.Rand, major, parts int) string {
	v := fmt.Sprint(major)
	for range parts - 1 {
		v += fmt.Sprintf(".%d", sizes(r, 1, 60)-1)
	}
	return v
}

// hand makes of a dialect one of its many versions and settings.
func hand(r *rand.Rand, d *dialect) *dialect {
	d.expires = pick(r, 60, 120, 180, 300, 600, 1200, 1800, 3600, d.expires, d.expires)
	if chance(r, 0.25) {
		d.forwards = pick(r, "70", "69", "68", "30", "20", "10")
	}
	if chance(r, 0.2) {
		d.rport = !d.rport
	}
	if chance(r, 0.2) {
		d.bareStatic = !d.bareStatic
	}
	if chance(r, 0.2) {
		d.cseq = pick(r, smallCSeq, largeCSeq)
	}
	if chance(r, 0.2) {
		d.sdpID = unixID
	}
	if chance(r, 0.15) {
		d.agent = "" // hidden by whoever set it up
	}
	if chance(r, 0.15) {
		d.tag = pick(r, decimal, hex8, hex16, word(10), uuid)
	}
	if chance(r, 0.15) {
		d.callID = pick(r, atHost(decimal), atHost(hex16), alone(uuid), alone(hex16), atHost(uuid))
	}
	return d
}

// called gives the dialect another name.
func (d *dialect) called(agent, session string) *dialect {
	d.agent = agent
	if session != "" {
		d.sdpName = session
	}
	return d
}

func dialCiscoGateway(agent string) *dialect {
	d := dialVOS("")
	d.agent, d.server, d.request, d.response = agent, true, orderChanSIP, orderVOSAns
	d.name, d.forwards, d.support = "cisco", "70", "timer,resource-priority,replaces,sdp-anat"
	d.branch = func(r *rand.Rand) string { return strings.ToUpper(hex8(r)[:6]) }
	d.tag = func(r *rand.Rand) string { return strings.ToUpper(hex8(r)) + "-" + strings.ToUpper(hex8(r)[:3]) }
	d.callID = atHost(func(r *rand.Rand) string {
		return strings.ToUpper(hex8(r) + "-" + hex8(r) + "-" + hex8(r) + "-" + hex8(r))
	})
	d.cseq = func(*rand.Rand) int { return 101 }
	d.sdpUser, d.sdpName = "CiscoSystemsSIP-GW-UserAgent", "SIP Call"
	d.sdpID = func(r *rand.Rand) string { return fmt.Sprintf("%d %d", r.IntN(10000), r.IntN(10000)) }
	return d
}

func dialAudioCodes(agent string) *dialect {
	d := dialVOS("")
	d.agent, d.server = agent, true
	d.name, d.support = "audiocodes", "em,100rel,timer,replaces,path,resource-priority,sdp-anat"
	d.branch, d.tag = before("ac", decimal), before("1c", decimal)
	d.callID, d.cseq = atHost(decimal), func(*rand.Rand) int { return 1 }
	d.sdpUser, d.sdpName, d.sdpID = "AudiocodesGW", "Phone-Call", unixID
	return d
}

// switchDialect is what a carrier, a wholesaler or a provider's exchange speaks.
func switchDialect(r *rand.Rand) *dialect {
	var d *dialect
	switch r.IntN(14) {
	case 0, 1, 2:
		d = dialQuietSwitch()
		d.agent = pick(r, "", "", "", "Sippy Softswitch v"+release(r, 4+r.IntN(2), 3), "Cataleya", "MERA MVTS3G v."+release(r, 4, 3), "Huawei SoftX3000 V300R"+release(r, 10, 1))
	case 3, 4:
		d = dialVOS(fmt.Sprintf("V2.1.%d.0%d", 1+r.IntN(9), r.IntN(9)))
	case 5, 6:
		d = dialKamailio(pick(r, "kamailio ("+release(r, 5, 3)+" (x86_64/linux))", "OpenSIPS ("+release(r, 2+r.IntN(2), 3)+" (x86_64/linux))", "gw"))
	case 7:
		d = dialKamailio("FreeSWITCH-mod_sofia/" + release(r, 1, 3) + "~64bit")
	case 8:
		d = dialPJSIP("Asterisk PBX " + release(r, 13+r.IntN(8), 3))
	case 9:
		d = dialChanSIP("Asterisk PBX " + release(r, 11+r.IntN(6), 3))
	case 10:
		d = dialCiscoGateway("Cisco-SIPGateway/IOS-" + release(r, 12+r.IntN(5), 2))
	case 11:
		d = dialAudioCodes("Mediant SW/v." + release(r, 7, 4))
	case 12:
		d = dialQuietSwitch().called(pick(r, "", "ZTE Softswitch/1.0.0", "Sonus SBC "+release(r, 5, 2), "Nokia SBC", "Oracle SBC"), "sip call")
		d.tag, d.branch, d.callID = pick(r, hex16, decimal, word(20)), hex16, alone(hex16)
	default:
		d = dialGrandstream("UCM6308 " + release(r, 1, 4))
		d.callID = alone(hex16)
	}
	return hand(r, d)
}

// houseDialect is what an exchange in an office speaks.
func houseDialect(r *rand.Rand) *dialect {
	var d *dialect
	switch r.IntN(11) {
	case 0, 1:
		d = dialPJSIP(fmt.Sprintf("FPBX-%s(%s)", release(r, 14+r.IntN(4), 4), release(r, 13+r.IntN(8), 3)))
	case 2, 3:
		d = dialChanSIP(pick(r, "FPBX-"+release(r, 2, 3)+"("+release(r, 11, 3)+")", "Asterisk PBX "+release(r, 13, 3), "Elastix "+release(r, 4, 2)))
	case 4:
		d = dialKamailio("FreeSWITCH-mod_sofia/" + release(r, 1, 3))
	case 5:
		d = dialPJSIP("Yeastar P-Series " + release(r, 37, 3))
	case 6:
		d = dialGrandstream(pick(r, "UCM6202 ", "UCM6301 ") + release(r, 1, 4))
	case 7:
		d = dialKamailio("3CXPhoneSystem " + release(r, 16+r.IntN(3), 3))
		d.sdpUser, d.sdpName = "3cxPS", "3cxPS Audio call"
	case 8:
		d = dialCiscoGateway("Cisco-CUCM" + release(r, 11+r.IntN(3), 2))
	case 9:
		d = dialVOS("").called(pick(r, "IP Office "+release(r, 9+r.IntN(3), 3), "Avaya CM/R018x", "Mitel-3300-ICP "+release(r, 14, 3), "Panasonic-MPR08-NS500"), "Call")
	default:
		d = dialQuiet().called(pick(r, "eSpace U1911", "OMNI-PCX Office", "Siemens HiPath 3000"), "")
	}
	return hand(r, d)
}

// ports draws where a device's media ports are and how it hands them out.
func ports(r *rand.Rand, a *agent, calls int) {
	m := a.media
	m.lo = uint16(spread(r, 1100, 50000)) &^ 1
	if chance(r, 0.5) {
		m.lo = pick(r, uint16(10000), 16384, 20000, 30000, 40000, 6000, 4000, 49152, 8000, 9000)
	}
	m.step = pick(r, uint16(2), 2, 2, 4, 10)
	room := (65500 - int(m.lo)) / int(m.step)
	m.n = uint16(min(room, max(calls+1, sizes(r, calls+1, 8*calls+400))))
	m.cur = uint16(r.IntN(int(m.n)))
	m.random = chance(r, 0.4)
}

// speller writes numbers as one trunk expects them.
type speller struct {
	r      *rand.Rand
	prefix string // technical
	form   int
	area   string // numbers of this one are dialled without it
}

// Forms of numbers.
const (
	formNational = iota // 13912345678, 02161234567
	formPlus            // +8613912345678
	formCode            // 8613912345678
	formDialled         // 008613912345678
	formLocal           // as dialled in the area: 61234567
)

func newSpeller(r *rand.Rand, area string, forms ...int) *speller {
	x := &speller{r: r, area: area, form: pick(r, forms...)}
	if chance(r, 0.15) && x.form != formLocal {
		x.prefix = pick(r, "9", "0#", "8888#", fmt.Sprintf("%d#", 100+r.IntN(9000)), fmt.Sprintf("%d*", 10+r.IntN(90)))
		if x.prefix == "9" && x.form == formPlus {
			x.form = formNational
		}
	}
	return x
}

func (x *speller) write(number string) string {
	if number == "anonymous" || len(number) < 7 && x.form != formLocal {
		return number // short numbers are what they are everywhere
	}
	switch {
	case strings.HasPrefix(number, "00") || strings.HasPrefix(number, "400") || strings.HasPrefix(number, "95"):
		if x.form == formPlus && strings.HasPrefix(number, "00") {
			return "+" + number[2:]
		}
		return x.prefix + number
	case x.form == formLocal:
		if x.area != "" && strings.HasPrefix(number, x.area) {
			return number[len(x.area):]
		}
		return number
	case x.form == formNational:
		return x.prefix + number
	}
	code := map[int]string{formPlus: "+86", formCode: "86", formDialled: "0086"}[x.form]
	return x.prefix + code + strings.TrimPrefix(number, "0")
}

// manner is how the calls of a line go.
type manner struct {
	r      *rand.Rand
	asr    float64
	causes []int         // of calls not answered, by weight
	pdd    time.Duration // median post-dial delay
	pddVar float64
	ring   time.Duration // mean
	talk   time.Duration // median
	talkV  float64       // sigma of its logarithm
	most   time.Duration
	caller float64 // share that callers hang up
	early  float64 // share with early media
	rtcp   float64
	dtx    [2]float64 // share of calls with silence suppressed by caller and callee
	hold   float64
	fax    float64
	late   float64
	keys   int
	codecs []*codec // by weight
	media  variety  // of all calls
	timer  string   // Session-Expires
}

// How calls that are not answered end: at handsets, and as carriers report the
// causes of the telephone network (RFC 3398).
var (
	plainCauses   = []int{486, 486, 480, 480, 487, 487, 487, 404}
	carrierCauses = []int{486, 486, 486, 480, 480, 480, 487, 487, 487, 487, 404, 404, 503, 503, 500, 502, 484, 410, 603, 403, 504}
	cityCauses    = []int{486, 486, 486, 487, 487, 487, 487, 480, 480, 408, 404}
)

// newManner draws a line's, to be narrowed by its scenario.
func newManner(r *rand.Rand) *manner {
	m := &manner{
		r: r, asr: share(r, 0.45, 0.85), causes: pick(r, plainCauses, carrierCauses, cityCauses),
		pdd: span(r, 700*time.Millisecond, 4*time.Second), pddVar: share(r, 0.15, 0.6), ring: span(r, 4*time.Second, 14*time.Second),
		talk: span(r, 20*time.Second, 100*time.Second), talkV: share(r, 0.6, 1.3), most: span(r, 6*time.Minute, 25*time.Minute),
		caller: share(r, 0.3, 0.8), early: pick(r, 0, 1, 1, r.Float64()), rtcp: pick(r, 0, 0, 1, 1, r.Float64()),
		hold: pick(r, 0, 0, 0.03, 0.08), fax: pick(r, 0, 0, 0, 0.02, 0.06), late: pick(r, 0, 0, 0, 0, 0.3, 1), keys: pick(r, 0, 0, 1, 3, 6),
		timer: pick(r, "", "", "", "1800", "1800;refresher=uac", "900;refresher=uac", "3600"),
	}
	if chance(r, 0.3) {
		m.dtx[0] = pick(r, 1, r.Float64())
	}
	if chance(r, 0.3) {
		m.dtx[1] = pick(r, 1, r.Float64())
	}
	switch r.IntN(8) {
	case 0, 1:
		m.codecs = []*codec{pcma}
	case 2, 3:
		m.codecs = []*codec{pcma, pcma, pcma, g729}
	case 4:
		m.codecs = []*codec{g729}
	case 5:
		m.codecs = []*codec{g729, g729, g729, pcma, pcmu}
	case 6:
		m.codecs = []*codec{pcmu, pcmu, pcma}
	default:
		m.codecs = pick(r, []*codec{g723}, []*codec{g729, g723}, []*codec{gsm, pcma}, []*codec{ilbc, g729}, []*codec{g722, pcma, pcma})
	}
	m.media.event = pick(r, uint8(0), 0, 0, 96, 98, 100, 127)
	m.media.packing = pick(r, 1, 1, 1, 1, 1, 2, 2, 3)
	if m.codecs[0] == pcma || m.codecs[0] == pcmu || m.codecs[0] == g722 {
		m.media.packing = pick(r, 1, 1, 1, 1, 1, 1, 2)
	}
	for _, k := range m.codecs {
		if k == g723 {
			m.media.packing = pick(r, 1, 1, 2)
		}
	}
	if m.dtx != [2]float64{} && chance(r, 0.5) {
		m.media.noise = pick(r, uint8(13), 13, 19, 13) // dynamic numbers are for other clocks (RFC 3389 section 4)
	}
	m.media.muxed = chance(r, 0.1)
	return m
}

// mean is the mean time that an attempt holds a channel with voice.
func (m *manner) mean() time.Duration {
	return time.Duration(m.asr * min(float64(m.talk)*math.Exp(m.talkV*m.talkV/2), 0.8*float64(m.most)))
}

// rate is how many packets a second the talk of one call puts past the tap, on
// average, with both directions.
func (m *manner) rate() float64 {
	n := 100 / float64(max(m.media.packing, 1))
	if m.codecs[0] == g723 {
		n /= 1.5
	}
	return n
}

// erlangs draws the talk at once between bounds, as far as the capture's cost
// allows it with so many legs per call.
func (s *sim) erlangs(m *manner, lo, hi, legs float64) float64 {
	const most = 1_100_000 // packets, beside early media and chance
	can := most / (m.rate() * legs * (time.Duration(s.end-s.start) + time.Minute).Seconds())
	hi = min(hi, can)
	return spread(m.r, min(lo, hi), hi)
}

// gap is the time between attempts that makes so much talk.
func (m *manner) gap(erlangs float64) time.Duration {
	return max(50*time.Millisecond, time.Duration(float64(m.mean())/erlangs))
}

func (m *manner) length() time.Duration {
	d := time.Duration(float64(m.talk) * math.Exp(m.talkV*m.r.NormFloat64()))
	return max(1500*time.Millisecond, min(d, m.most))
}

// draw draws the course of one call.
func (m *manner) draw() *call {
	r := m.r
	c := &call{
		delay: time.Duration(float64(m.pdd) * math.Exp(m.pddVar*r.NormFloat64())), ring: expo(r, m.ring, 600*time.Millisecond, 50*time.Second),
		status: 200, talk: m.length(), byCaller: chance(r, m.caller), codec: pick(r, m.codecs...), early: chance(r, m.early), rtcp: chance(r, m.rtcp),
		hold: chance(r, m.hold),
	}
	c.delay = max(100*time.Millisecond, min(c.delay, 24*time.Second))
	if m.keys > 0 {
		c.keys = r.IntN(m.keys + 1)
	}
	if !chance(r, m.asr) {
		c.status = pick(r, m.causes...)
		if c.status != 487 && chance(r, 0.6) || c.status >= 500 {
			c.ring = 0
		}
	}
	for i, p := range m.dtx {
		if chance(r, p) {
			c.silence[i] = share(r, 0.2, 0.6)
		}
	}
	v := m.media
	switch {
	case chance(r, m.fax):
		v.fax, c.codec, c.keys, v.packing, v.noise = true, pcma, 0, 1, 0
		c.silence = [2]float64{}
	case chance(r, m.late):
		v.late, c.early = true, false
	}
	if v != (variety{packing: 1}) && v != (variety{}) {
		c.variety = &v
	}
	if m.timer != "" {
		c.extra = append(c.extra, field{"Session-Expires", m.timer})
	}
	return c
}

// tide is how demand changes with time: what the mean time between attempts is
// multiplied with.
func (s *sim) tide(r *rand.Rand) func() float64 {
	at := func() float64 { return float64(s.now-s.start) / float64(max(s.end-s.start, 1)) }
	switch r.IntN(6) {
	case 0: // a rush of some minutes
		from, long, high := share(r, 0, 0.8), share(r, 0.08, 0.3), share(r, 3, 7)
		return func() float64 {
			if x := at(); x >= from && x < from+long {
				return 1 / high
			}
			return 1.3
		}
	case 1: // swings
		turns, depth, phase := share(r, 0.5, 3), share(r, 0.3, 0.9), share(r, 0, 6)
		return func() float64 { return 1 / (1 + depth*math.Sin(phase+6.28*turns*at())) }
	case 2: // on and off
		turns, on := share(r, 1, 5), share(r, 0.3, 0.7)
		return func() float64 {
			if _, x := math.Modf(turns * at()); x < on {
				return on
			}
			return 6
		}
	case 3: // growing or fading
		slope := share(r, -1.2, 1.2)
		return func() float64 { return math.Exp(slope * (at() - 0.5) * 2) }
	}
	return func() float64 { return 1 }
}

// flowing calls fn at random moments, mean apart but for the tide.
func (s *sim) flowing(r *rand.Rand, t int64, mean time.Duration, fn func()) {
	tide := s.tide(r)
	next := func() time.Duration {
		m := time.Duration(float64(mean) * tide())
		return expo(r, m, 50*time.Millisecond, 10*m)
	}
	s.every(t+int64(next()), next, func() bool {
		fn()
		return true
	})
}

// signs lets one of two agents, or both, ask the other for a sign of life; many
// do not.
func (s *sim) signs(r *rand.Rand, near, far *agent) {
	t := s.start + int64(between(r, 0, 20*time.Second))
	period := span(r, 12*time.Second, 5*time.Minute)
	switch r.IntN(4) {
	case 0:
		s.options(t, far, near, period)
	case 1:
		s.options(t, near, far, period)
	case 2:
		s.options(t, near, far, period)
		s.options(t+int64(time.Second), far, near, span(r, 12*time.Second, 5*time.Minute))
	}
}

// joins connects a device with the far end that its calls pass: registered, or
// known by its address.
func (s *sim) joins(l *line, near, far *agent, registered float64) (registers bool) {
	r := l.rng
	if registers = chance(r, registered); registers {
		period := time.Duration(float64(near.d.expires)*pick(r, 0.5, 0.75, 0.9, share(r, 0.4, 0.95))) * time.Second
		s.register(s.start+int64(between(r, 0, max(time.Second, min(period, 5*time.Minute)))), near, far, period, chance(r, 0.5))
		l.controls(far.node, "registrar")
	} else {
		l.controls(far.node, "trunk-peer")
	}
	s.signs(r, near, far)
	return registers
}

// beside puts what else there is on a line: nothing but the device's own
// lookups, or people at computers and telephones.
func (s *sim) beside(l *line, dev *node, people float64) {
	r := l.rng
	if !chance(r, people) {
		if chance(r, 0.85) {
			s.chores(l, dev)
		}
		return
	}
	pc := l.device("computer")
	s.chores(l, pc)
	for range sizes(r, 1, 4) {
		s.web(l, pc, span(r, 20*time.Second, 6*time.Minute), sizes(r, 20_000, 120_000))
	}
	if chance(r, 0.3) {
		s.browse(l, l.device("computer"), span(r, 30*time.Second, 4*time.Minute), sizes(r, 30_000, 100_000))
	}
	if chance(r, 0.15) {
		s.appCall(l, l.device("telephone"), between(r, time.Minute, 4*time.Minute))
	}
}

// moves puts the start of the capture at another time of the day.
func (s *sim) moves(d time.Duration) {
	s.start += int64(d)
	s.now += int64(d)
	s.end += int64(d)
	if s.cut != 0 {
		s.cut += int64(d)
	}
}

// hours moves the capture, with the given chance, out of the working hours that
// it would have: to an evening, a night or a weekend.
func (s *sim) hours(p float64) {
	if r := s.rng("hours"); chance(r, p) {
		s.moves(between(r, 4*time.Hour, 15*time.Hour) + time.Duration(pick(r, 0, 0, 1, 2, 4))*24*time.Hour)
	}
}

// anyone draws a stranger's number as a caller.
func anyone(r *rand.Rand, abroad float64) string {
	switch x := r.Float64(); {
	case x < abroad:
		return foreign(r)
	case x < abroad+(1-abroad)*0.55:
		return mobile(r)
	case x < abroad+(1-abroad)*0.95:
		return landline(r, "")
	}
	return "anonymous"
}
