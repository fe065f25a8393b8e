package lab

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// vpn is an encrypted way between a line and a far end: nothing of what is
// inside is seen but sizes and moments.
type vpn struct {
	s    *sim
	l    *line
	r    *rand.Rand
	dev  *node
	far  *node
	name string   // of the kind
	way  [2]*flow // up and down; nil where it goes over TCP
	c    *conn
	raw  bool // ESP in IP packets of its own
	ids  [2]uint32
	seq  [2]uint32
	// acked is what PPTP has told to have received.
	acked [2]uint32
	// lost is the share of packets, up and down, that somebody before the tap or
	// the narrowest link takes.
	lost [2]float64
	// iv, block, tag and extra are what encryption adds: a vector, padding to a
	// block, an authentication tag, and headers in front of the inner packet.
	iv, block, tag, extra int
	head                  func(t *vpn, dir int) []byte
}

// Kinds of tunnels.
const (
	vpnESP       = "IPsec"
	vpnNAT       = "IPsec through NAT"
	vpnL2TP      = "L2TP over IPsec"
	vpnWireGuard = "WireGuard"
	vpnOpenVPN   = "OpenVPN"
	vpnOverTCP   = "OpenVPN over TCP"
	vpnDTLS      = "VPN over DTLS"
	vpnMPPE      = "L2TP with MPPE"
	vpnPPTP      = "PPTP with MPPE"
	vpnRelay     = "one-port relay"
	vpnRelayTCP  = "TCP relay"
)

// newVPN is up from the start or a little later.
func (s *sim) newVPN(l *line, dev, far *node, kind string) *vpn {
	r := s.rng("tunnel")
	t := &vpn{s: s, l: l, r: r, dev: dev, far: far, name: kind, ids: [2]uint32{r.Uint32() | 1<<28, r.Uint32() | 1<<28}}
	t.seq = [2]uint32{uint32(r.IntN(1 << 22)), uint32(r.IntN(1 << 22))}
	up := chance(r, 0.5) // since long ago
	if !up {
		t.seq = [2]uint32{}
	}
	switch kind {
	case vpnESP, vpnNAT, vpnL2TP:
		t.cipher(pick(r, "gcm", "gcm", "cbc-sha1", "cbc-sha256"))
		if kind == vpnL2TP {
			t.extra = pick(r, 16, 18, 20)
		}
		t.head = headESP
		if t.raw = kind == vpnESP; t.raw {
			t.way = [2]*flow{s.flow(dev, 0, far, 0, protoESP), s.flow(far, 0, dev, 0, protoESP)}
		} else {
			t.open(4500, 4500)
		}
		s.ikeLife(t, !up)
	case vpnWireGuard:
		t.iv, t.block, t.tag, t.head = 0, 16, 16, headWireGuard
		port := pick(r, uint16(51820), 51820, 51820, 443, uint16(20000+r.IntN(40000)))
		t.open(pick(r, port, uint16(1024+r.IntN(64000))), port)
		s.wireGuardLife(t)
	case vpnOpenVPN:
		t.tag, t.head = 16, headOpenVPN
		t.open(pick(r, uint16(1194), uint16(1024+r.IntN(64000))), pick(r, uint16(1194), 1194, 443, 53, uint16(1195+r.IntN(30))))
		s.openVPNLife(t)
	case vpnOverTCP:
		t.tag, t.head = 16, headOpenVPN
		t.c = s.dial(dev, uint16(32768+r.IntN(28000)), far, pick(r, uint16(1194), 443), kindOther)
		s.openVPNLife(t)
	case vpnDTLS:
		t.iv, t.tag, t.head = 8, 16, headDTLS
		t.open(uint16(32768+r.IntN(28000)), pick(r, uint16(443), 443, 4433, 8443))
		s.heartbeat(t, pick(r, 20*time.Second, 30*time.Second), 20+r.IntN(60))
	case vpnMPPE:
		t.extra, t.head = 4, headL2TP
		t.open(1701, 1701)
		s.heartbeat(t, pick(r, 30*time.Second, time.Minute), 12)
	case vpnPPTP:
		t.raw, t.extra, t.head = true, pick(r, 1, 2), headPPTP // the protocol inside
		t.way = [2]*flow{s.flow(dev, 0, far, 0, protoGRE), s.flow(far, 0, dev, 0, protoGRE)}
		s.pptpLife(t)
	case vpnRelay:
		t.relay()
		t.open(uint16(1024+r.IntN(60000)), pick(r, uint16(1701), 1701, 5113, uint16(1024+r.IntN(60000))))
		s.heartbeat(t, pick(r, 15*time.Second, 30*time.Second), 28+4+r.IntN(16))
	case vpnRelayTCP:
		t.relay()
		t.c = s.dial(dev, uint16(32768+r.IntN(28000)), far, pick(r, uint16(1701), 443, uint16(1024+r.IntN(60000))), kindOther)
		s.heartbeat(t, pick(r, 15*time.Second, 30*time.Second), 28+4+r.IntN(16))
	}
	return t
}

const protoESP = 50

func (t *vpn) cipher(name string) {
	switch name {
	case "gcm":
		t.iv, t.block, t.tag = 8, 4, 16
	case "cbc-sha1":
		t.iv, t.block, t.tag = 16, 16, 12
	default:
		t.iv, t.block, t.tag = 16, 16, 16
	}
	t.extra = 2 // pad length and next header
}

func (t *vpn) open(own, port uint16) {
	own = t.dev.port(own, false)
	t.way = [2]*flow{t.s.flow(t.dev, own, t.far, port, protoUDP), t.s.flow(t.far, port, t.dev, own, protoUDP)}
}

func headESP(t *vpn, dir int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, t.ids[dir]), t.seq[dir])
}

func headWireGuard(t *vpn, dir int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{4, 0, 0, 0}, t.ids[dir])
	return binary.LittleEndian.AppendUint64(b, uint64(t.seq[dir]))
}

func headOpenVPN(t *vpn, dir int) []byte { // P_DATA_V2 with a peer
	return binary.BigEndian.AppendUint32([]byte{0x48, 0, 0, byte(t.ids[dir])}, t.seq[dir])
}

func headDTLS(t *vpn, dir int) []byte {
	b := []byte{23, 0xfe, 0xfd, 0, 1, 0, 0}
	b = binary.BigEndian.AppendUint32(b, t.seq[dir])
	return append(b, 0, 0) // length, set in pass
}

func headL2TP(t *vpn, dir int) []byte {
	b := []byte{0, 2}
	return binary.BigEndian.AppendUint32(b, t.ids[dir])
}

// seal gives the bytes that carry an inner packet of n.
func (t *vpn) seal(dir, n int) []byte {
	t.seq[dir]++
	b := t.head(t, dir)
	n += t.extra
	if t.block > 0 {
		n = (n + t.block - 1) / t.block * t.block
	}
	n += t.iv + t.tag
	switch t.name {
	case vpnDTLS:
		binary.BigEndian.PutUint16(b[11:], uint16(n))
	case vpnPPTP:
		binary.BigEndian.PutUint16(b[4:], uint16(n+3))
	}
	return append(b, t.s.stuff(t.r, n)...)
}

// pass lets an inner packet of n bytes leave its sender now; dir is 0 upwards.
func (t *vpn) pass(dir, n int) {
	s := t.s
	if t.c != nil {
		b := t.seal(dir, n)
		t.c.send(s.now, dir, append([]byte{byte(len(b) >> 8), byte(len(b))}, b...))
		return
	}
	f := t.way[dir]
	tap := max(s.now+s.delay(f.src), f.last+15_000)
	f.last = tap
	if f.src.loss > 0 && s.noise.Float64() < f.src.loss || t.lost[dir] > 0 && s.noise.Float64() < t.lost[dir] {
		t.seq[dir]++
		return
	}
	s.at(tap, func() { t.put(f, t.seal(dir, n)) })
}

func (t *vpn) put(f *flow, b []byte) {
	if t.raw {
		t.s.datagram(f, kindOther, b)
		return
	}
	t.s.udp(f, kindOther, b)
}

// exchange passes packets of the sizes to and fro, the first one by dir, and
// gives the time at which the last should have arrived.
func (t *vpn) exchange(at int64, dir int, sizes ...int) int64 {
	hop := t.dev.owd + t.far.owd
	for i, n := range sizes {
		d := (dir + i) % 2
		t.s.at(at, func() { t.pass(d, n) })
		at += hop + int64(between(t.r, time.Millisecond, 12*time.Millisecond))
	}
	return at
}

// ikeLife is the key exchange of IPsec (RFC 7296): in the clear at first on port
// 500, later on the tunnel's own; signs of life; and new keys now and then.
func (s *sim) ikeLife(t *vpn, begins bool) {
	r := t.r
	spi := noiseBytes(r, 16)
	message := func(exchange byte, id uint32, n int, answer bool) []byte {
		b := append([]byte(nil), spi...)
		b = append(b, 46, 0x20, exchange, 8)
		if answer {
			b[19] = 0x20
		}
		b = binary.BigEndian.AppendUint32(b, id)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		return append(b, s.stuff(r, n-28)...)
	}
	natted := t.dev.lan != t.dev.addr || !t.raw
	id := uint32(2)
	say := func(at int64, exchange byte, id uint32, ask, reply int, first bool) int64 {
		port, mark := uint16(500), []byte(nil)
		if natted && !first {
			port, mark = 4500, []byte{0, 0, 0, 0}
		}
		own := t.dev.port(port, false)
		at = s.send(at, s.flow(t.dev, own, t.far, port, protoUDP), kindOther, append(append([]byte(nil), mark...), message(exchange, id, ask, false)...))
		return s.send(at+int64(8*time.Millisecond), s.flow(t.far, port, t.dev, own, protoUDP), kindOther, append(mark, message(exchange, id, reply, true)...))
	}
	if begins {
		s.at(s.start+r.Int64N(int64(2*time.Second)), func() {
			at := say(s.now, 34, 0, 300+r.IntN(400), 300+r.IntN(200), true)
			for i := range uint32(1 + r.IntN(5)) {
				at = say(at, 35, 1+i, 200+r.IntN(1000), 140+r.IntN(900), false)
			}
		})
	}
	if chance(r, 0.7) { // dead peer detection
		s.every(s.start+int64(between(r, 5*time.Second, time.Minute)), func() time.Duration { return 30 * time.Second }, func() bool {
			id++
			say(s.now, 37, id, 76, 76, false)
			return true
		})
	}
	rekey := span(r, 15*time.Minute, 8*time.Hour)
	s.every(s.start+r.Int64N(int64(rekey)), func() time.Duration { return rekey }, func() bool {
		id++
		say(s.now, 36, id, 220+r.IntN(60), 220, false)
		t.ids, t.seq = [2]uint32{r.Uint32() | 1<<28, r.Uint32() | 1<<28}, [2]uint32{}
		return true
	})
	if !t.raw { // RFC 3948 section 4
		period := pick(r, 20*time.Second, 20*time.Second, 15*time.Second, 10*time.Second, 30*time.Second)
		s.every(s.start+r.Int64N(int64(period)), func() time.Duration { return period }, func() bool {
			s.send(s.now, t.way[0], kindOther, []byte{0xff})
			return true
		})
	}
}

// wireGuardLife is its handshake every two minutes and its keepalives.
func (s *sim) wireGuardLife(t *vpn) {
	r := t.r
	s.every(s.start+r.Int64N(int64(2*time.Minute)), func() time.Duration { return 2*time.Minute + time.Duration(r.Int64N(int64(2*time.Second))) }, func() bool {
		first := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0}, r.Uint32())
		at := s.send(s.now, t.way[0], kindOther, append(first, s.stuff(r, 140)...))
		second := binary.LittleEndian.AppendUint32([]byte{2, 0, 0, 0}, r.Uint32())
		at = s.send(at, t.way[1], kindOther, append(second, s.stuff(r, 84)...))
		s.at(at, func() { t.ids, t.seq = [2]uint32{r.Uint32(), r.Uint32()}, [2]uint32{} })
		return true
	})
	if chance(r, 0.7) {
		s.heartbeat(t, 25*time.Second, 0)
	}
}

// openVPNLife is its control channel when it comes up, and pings.
func (s *sim) openVPNLife(t *vpn) {
	r := t.r
	if t.c == nil && chance(r, 0.5) {
		s.at(s.start+r.Int64N(int64(time.Second)), func() {
			at := s.now
			for i := range 8 {
				b := append([]byte{[...]byte{0x38, 0x40, 0x20, 0x20, 0x20, 0x20, 0x28, 0x28}[i]}, s.stuff(r, pick(r, 25, 60, 300, 1100))...)
				at = s.send(at, t.way[i%2], kindOther, b)
			}
		})
	}
	s.heartbeat(t, pick(r, 10*time.Second, 10*time.Second, time.Minute), 16)
}

// heartbeat passes a small packet both ways each period.
func (s *sim) heartbeat(t *vpn, period time.Duration, n int) {
	for dir := range 2 {
		s.every(s.start+t.r.Int64N(int64(period)), func() time.Duration { return period }, func() bool {
			t.pass(dir, n)
			return true
		})
	}
}

// data is ordinary traffic inside: n times a request and what it brings, of up to
// the given number of large packets.
func (t *vpn) data(n float64, most int) {
	s, r := t.s, t.r
	mtu := 1280 + r.IntN(100)
	s.tides(r, s.often(n), func() {
		big, at := pick(r, 1, 1, 1, 0), s.now
		at = t.exchange(at, 0, 60, 60, 200+r.IntN(600))
		for i := range sizes(r, 1, most) {
			s.at(at, func() { t.pass(big, mtu) })
			if i%2 == 1 {
				s.at(at+int64(time.Millisecond), func() { t.pass(1-big, 52) })
			}
			at += int64(expo(r, time.Millisecond, 50*time.Microsecond, 60*time.Millisecond))
		}
	})
}

// voice is how a call sounds inside a tunnel: the sizes of its inner packets.
type voice struct {
	period time.Duration
	sizes  []int // of speech: one, or some that alternate
	// silence is the share of time without speech, in which a packet of size sid
	// goes out after each pause; a pause of 0 leaves silence empty.
	silence float64
	sid     int
	pause   time.Duration
	rtcp    bool
	still   [2]bool // directions in which silence is sent all the same
}

// drawVoice draws a codec of telephones, over IPv4.
func drawVoice(r *rand.Rand) voice {
	v := voice{period: pick(r, 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond, 30*time.Millisecond), rtcp: chance(r, 0.5)}
	frames := int(v.period / (10 * time.Millisecond))
	switch r.IntN(6) {
	case 0, 1: // G.729
		v.sizes = []int{40 + 10*frames}
	case 2: // Opus
		for range 6 {
			v.sizes = append(v.sizes, 40+20+r.IntN(70))
		}
	default: // G.711, G.722
		v.sizes = []int{40 + 80*frames}
	}
	if chance(r, 0.15) { // SRTP
		for i := range v.sizes {
			v.sizes[i] += 10
		}
	}
	if chance(r, 0.25) {
		v.silence, v.sid, v.pause = share(r, 0.2, 0.6), 42, pick(r, 0, 200*time.Millisecond, time.Second)
	}
	return v
}

// drawAMR draws AMR or its wideband kind as mobile networks carry it, silence
// suppressed; around is what is in front of the RTP packet.
func drawAMR(r *rand.Rand, around int) voice {
	speech := pick(r, 32, 32, 61, 33, 41, 18)
	return voice{
		period: 20 * time.Millisecond, sizes: []int{around + 12 + speech}, silence: share(r, 0.3, 0.62), sid: around + 12 + 7,
		pause: 160 * time.Millisecond, rtcp: chance(r, 0.3),
	}
}

// speak sends both directions of a call from now on, but for those that are sent
// already.
func (t *vpn) speak(v voice, length time.Duration, hold pausing, already [2]bool) {
	for dir := range 2 {
		if !already[dir] {
			t.direction(v, dir, t.s.now+int64(length), hold)
		}
	}
}

// pausing is when a call is on hold: one direction, dir, is not sent, and the
// other has music or nobody who listens. The zero value is a call without.
type pausing struct {
	from, to int64
	dir      int
}

func (t *vpn) direction(v voice, dir int, end int64, hold pausing) {
	s, r := t.s, t.r
	if v.still[dir] {
		v.silence = 0
	}
	period := time.Duration(float64(v.period) / (1 + drawPPM(r)*1e-6))
	var turn, whisper int64
	silent, k := chance(r, v.silence), 0
	s.every(s.now+r.Int64N(int64(v.period)), func() time.Duration { return period }, func() bool {
		if hold.dir == dir && s.now >= hold.from && s.now < hold.to {
			return s.now+int64(period) < end
		}
		if v.silence > 0 && s.now >= turn {
			silent = !silent
			mean := 1500 * time.Millisecond
			if silent {
				mean = time.Duration(float64(mean) * v.silence / (1 - v.silence))
				whisper = s.now
			}
			turn = s.now + int64(expo(r, mean, 200*time.Millisecond, 20*time.Second))
		}
		switch {
		case !silent:
			t.pass(dir, v.sizes[r.IntN(len(v.sizes))])
		case v.pause > 0 && s.now >= whisper:
			t.pass(dir, v.sid)
			whisper = s.now + int64(v.pause)
		}
		if k++; v.rtcp && k%250 == 0 {
			t.pass(dir, 40+76)
		}
		return s.now+int64(period) < end
	})
}

// hiddenCall is a call of the line all inside its tunnel.
type hiddenCall struct {
	out    bool
	number string
	status int
	ring   time.Duration
	talk   time.Duration
	voice  voice
	early  bool // the callee's side sends sound before the answer
	hold   bool // it is put on hold once
	over   func()
}

// call signals, rings and talks.
func (t *vpn) call(c hiddenCall) {
	s, r := t.s, t.r
	dir := 1
	if c.out {
		dir = 0
	}
	t.l.noteCall(c.out, c.number)
	at := t.exchange(s.now, dir, 900+r.IntN(400), 330+r.IntN(60), 430+r.IntN(80))
	var early int64
	var already [2]bool
	if c.early {
		early = at
		callee := 1
		if !c.out {
			callee = 0
		}
		already[callee] = c.status == 200
		end := at + int64(c.ring)
		if already[callee] {
			end += int64(c.talk)
		}
		s.at(at, func() { t.direction(c.voice, callee, end, pausing{}) })
	}
	at += int64(c.ring)
	if c.status != 200 {
		if c.early {
			t.l.talked(early, 0, at, 0, c.out)
		}
		t.exchange(at, 1-dir, 420+r.IntN(60), 360+r.IntN(60))
		s.at(at, c.over)
		return
	}
	at = t.exchange(at, 1-dir, 820+r.IntN(200), 380+r.IntN(60))
	s.at(at, func() {
		t.l.noteTalk(c.out, c.talk)
		t.l.talked(early, s.now, s.now+int64(c.talk), 0, c.out)
		var hold pausing
		if c.hold && c.talk > 20*time.Second {
			hold.from = s.now + r.Int64N(int64(c.talk)/2)
			hold.to, hold.dir = hold.from+int64(between(r, 5*time.Second, 3*time.Minute)), r.IntN(2)
		}
		t.speak(c.voice, c.talk, hold, already)
	})
	at += int64(c.talk)
	t.exchange(at, r.IntN(2), 400+r.IntN(60), 330+r.IntN(40))
	s.at(at, c.over)
}
