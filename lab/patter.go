package lab

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// patter is the sound, or picture, of one conversation of a program that does
// not use SIP, between two hosts and both ways unless one only listens.
type patter struct {
	near, far    *node
	nport, fport uint16
	form         string
	pt           byte
	period       time.Duration
	lo, hi       int     // bytes of a frame
	silence      float64 // share of time without speech
	pause        time.Duration
	upOnly       bool
	downOnly     bool
	until        int64
}

// Forms of what stands before the frames.
const (
	formRTP  = "RTP"            // Opus, mostly under SRTP
	formTURN = "TURN"           // the same in channel data (RFC 8656 section 12.4)
	formOwn  = "own"            // a counter and nothing anybody knows
	formLead = "RTP led by own" // RTP behind a header of the maker's
)

// drawPatter draws how a program of a chat, a game or a conference speaks.
func drawPatter(r *rand.Rand) patter {
	p := patter{
		form: pick(r, formRTP, formRTP, formTURN, formOwn, formLead), pt: pick(r, byte(111), 96, 97, 120, 109, byte(96+r.IntN(32))),
		period: pick(r, 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond, 40*time.Millisecond, 60*time.Millisecond, 10*time.Millisecond),
	}
	p.lo = 24 + r.IntN(60)
	p.hi = p.lo + 1 + r.IntN(110)
	if chance(r, 0.2) { // constant bit rate
		p.hi = p.lo + 1
	}
	if chance(r, 0.5) {
		p.silence, p.pause = share(r, 0.2, 0.6), pick(r, 400*time.Millisecond, 400*time.Millisecond, 0, 200*time.Millisecond)
	}
	if chance(r, 0.7) { // an authentication tag
		p.lo, p.hi = p.lo+10, p.hi+10
	}
	return p
}

// inOrder sends a datagram now; those of a flow stay in their order.
func (s *sim) inOrder(f *flow, k kind, b []byte) {
	if f.src.loss > 0 && s.noise.Float64() < f.src.loss {
		return
	}
	tap := max(s.now+s.delay(f.src), f.last+20_000)
	f.last = tap
	s.at(tap, func() { s.udp(f, k, b) })
}

// speak begins now.
func (p patter) speak(s *sim, r *rand.Rand) {
	np := p.near.port(p.nport, false)
	ways := [2]*flow{s.flow(p.near, np, p.far, p.fport, protoUDP), s.flow(p.far, p.fport, p.near, np, protoUDP)}
	for dir, f := range ways {
		if dir == 1 && p.upOnly || dir == 0 && p.downOnly {
			continue
		}
		p.oneWay(s, r, f)
	}
}

func (p patter) oneWay(s *sim, r *rand.Rand, f *flow) {
	ssrc, ts, seq := r.Uint32(), r.Uint32(), uint16(r.Uint32())
	lead := noiseBytes(r, 4+r.IntN(20))
	step := uint32(48 * p.period / time.Millisecond)
	period := time.Duration(float64(p.period) / (1 + drawPPM(r)*1e-6))
	silent := chance(r, p.silence)
	var turn, whisper int64
	s.every(s.now+r.Int64N(int64(p.period)), func() time.Duration { return period }, func() bool {
		ts += step
		if p.silence > 0 && s.now >= turn {
			silent = !silent
			mean := 2 * time.Second
			if silent {
				mean, whisper = time.Duration(float64(mean)*p.silence/(1-p.silence)), s.now
			}
			turn = s.now + int64(expo(r, mean, 200*time.Millisecond, 30*time.Second))
		}
		n := p.lo + r.IntN(p.hi-p.lo)
		if silent {
			if p.pause == 0 || s.now < whisper {
				return s.now < p.until
			}
			whisper = s.now + int64(p.pause)
			n = 13
		}
		seq++
		s.inOrder(f, kindOther, p.frame(s, r, ssrc, ts, seq, lead, n))
		return s.now < p.until
	})
}

func (p patter) frame(s *sim, r *rand.Rand, ssrc, ts uint32, seq uint16, lead []byte, n int) []byte {
	rtp := func(b []byte) []byte {
		b = append(b, 0x80, p.pt)
		b = binary.BigEndian.AppendUint16(b, seq)
		b = binary.BigEndian.AppendUint32(b, ts)
		return binary.BigEndian.AppendUint32(b, ssrc)
	}
	var b []byte
	switch p.form {
	case formTURN:
		b = rtp(binary.BigEndian.AppendUint16([]byte{0x40, byte(ssrc)}, uint16(12+n)))
	case formLead:
		b = rtp(append(b, lead...))
	case formOwn:
		b = append(append(b, lead...), byte(seq>>8), byte(seq))
	default:
		b = rtp(b)
	}
	return append(b, s.stuff(r, n)...)
}

// greet is what programs of this kind say before: ICE checks, and DTLS for the
// keys of SRTP (RFC 5764).
func (p patter) greet(s *sim, r *rand.Rand) {
	s.stun(p.near, p.nport, p.far, p.fport, r)
	if p.form != formRTP || chance(r, 0.3) {
		return
	}
	own := p.near.port(p.nport, false)
	up, down := s.flow(p.near, own, p.far, p.fport, protoUDP), s.flow(p.far, p.fport, p.near, own, protoUDP)
	t := s.now + int64(40*time.Millisecond)
	for i, n := range [...]int{150, 900 + r.IntN(300), 700, 90} {
		b := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, byte(i), byte(n >> 8), byte(n)}
		t = s.send(t+int64(3*time.Millisecond), [2]*flow{up, down}[i%2], kindOther, append(b, s.stuff(r, n)...))
	}
}

// consents are the ICE checks of a conversation that lasts (RFC 7675).
func (p patter) consents(s *sim, r *rand.Rand) {
	s.every(s.now+int64(4*time.Second), func() time.Duration { return between(r, 4*time.Second, 6*time.Second) }, func() bool {
		s.stun(p.near, p.nport, p.far, p.fport, r)
		return s.now < p.until
	})
}

// picture is the video of such a conversation: each way, frames of some packets.
func (p patter) picture(s *sim, r *rand.Rand) {
	v := p
	v.lo, v.hi, v.period, v.silence, v.pt = 700, 1180, time.Duration(float64(time.Second)/spread(r, 12, 60)), 0, byte(96+r.IntN(32))
	v.speak(s, r)
}

// chatCalls are n calls of chat programs on the line, one after the other or,
// where several people live, at once; some with a picture, some of a group.
func (s *sim) chatCalls(l *line, n float64, people int) {
	r := s.rng("chat calls")
	for range people {
		dev, form := l.device("phone"), drawPatter(r)
		busy := false
		peers := s.hosts("chat peer", 4, 0.3)
		talk := span(r, 20*time.Second, 8*time.Minute)
		talk = min(talk, s.length()/4)
		s.tides(r, s.often(n/float64(people)), func() {
			if busy {
				return
			}
			busy = true
			r.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
			length := expo(r, talk, 5*time.Second, 3*talk)
			s.after(length, func() { busy = false })
			for i := range pick(r, 1, 1, 1, 1, 1, 2, 3) {
				p := form
				p.near, p.far, p.until = dev, peers[i], s.now+int64(length)
				p.nport, p.fport = uint16(32768+r.IntN(28000)), pick(r, uint16(3478), 8000, 443, uint16(1024+r.IntN(60000)))
				p.greet(s, r)
				p.consents(s, r)
				p.speak(s, r)
				if chance(r, 0.15) && length < 2*time.Minute {
					p.picture(s, r)
				}
			}
		})
	}
}
