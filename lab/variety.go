package lab

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pion/rtp"
)

// variety is what the media of a call do beyond the plain. A call without one
// is not changed by a single byte.
type variety struct {
	event  uint8      // payload type of telephone events, 0 the usual one
	noise  uint8      // payload type of comfort noise, sent in silence; 0 none
	secure bool       // SRTP with keys in the description (RFC 4568)
	page   bool       // secure is DTLS-SRTP of a web page (RFC 8827)
	tag    int        // bytes of the tag of secure RTP, 0 is tagSize; RTCP always has those
	muxed  bool       // RTCP on the ports of RTP (RFC 5761), with reports of RFC 3611
	late   bool       // the offer is in the answer to the INVITE
	codec  *codec     // a re-INVITE half-way turns to it
	fax    bool       // a re-INVITE turns to T.38
	music  *mediaHost // a re-INVITE puts the callee on hold, and this plays
	// packing is how many frames of 20 ms go into a packet; 0 is one.
	packing int
}

// tagSize is the length of an authentication tag of SRTP (RFC 3711).
const tagSize = 10

// dress makes of a plain description one that fits the variety.
func (v *variety) dress(sdp string) string {
	if v == nil {
		return sdp
	}
	if v.event != 0 {
		n := strconv.Itoa(int(v.event))
		sdp = strings.Replace(sdp, " 101\r\n", " "+n+"\r\n", 1)
		sdp = strings.ReplaceAll(sdp, ":101 ", ":"+n+" ")
	}
	if v.noise != 0 {
		n := strconv.Itoa(int(v.noise))
		head, rest, _ := strings.Cut(sdp, "m=audio ")
		line, rest, _ := strings.Cut(rest, "\r\n")
		sdp = head + "m=audio " + line + " " + n + "\r\n" + rest + "a=rtpmap:" + n + " CN/8000\r\n"
	}
	if v.page {
		sdp = strings.Replace(sdp, "RTP/AVP", "UDP/TLS/RTP/SAVPF", 1) +
			"a=setup:actpass\r\na=ice-ufrag:Zq81\r\na=ice-pwd:kLm02PzaB3xTy7Qw5Re1Hn4s\r\na=fingerprint:sha-256 " + strings.Repeat("4A:", 31) + "4A\r\n"
	} else if v.secure {
		sdp = strings.Replace(sdp, "RTP/AVP", "RTP/SAVP", 1) +
			"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk\r\n"
	}
	if v.packing > 1 {
		sdp = strings.Replace(sdp, "a=ptime:20\r\n", "a=ptime:"+strconv.Itoa(20*v.packing)+"\r\n", 1)
	}
	if v.muxed {
		sdp += "a=rtcp-mux\r\n"
	}
	return sdp
}

// vary lays out the re-INVITEs of the call's variety and gives the time at which
// its sound ends.
func (x *script) vary(t, end int64) int64 {
	v := x.variety
	if end-t < int64(20*time.Second) {
		return end
	}
	half := t + (end-t)/2
	switch {
	case v.fax:
		t += int64(6 * time.Second)
		image := func(side int) string {
			d := x.describe(side, []*codec{x.codec}, "sendrecv")
			head, rest, _ := strings.Cut(d, "m=audio ")
			port, _, _ := strings.Cut(rest, " ")
			return head + "m=image " + port + " udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
		}
		x.change(t, image(0), image(1))
		x.s.at(t+int64(300*time.Millisecond), func() { x.page(end) })
		return t
	case v.codec != nil:
		x.change(half, x.describe(0, []*codec{v.codec}, "sendrecv"), x.describe(1, []*codec{v.codec}, "sendrecv"))
		x.s.at(half+int64(100*time.Millisecond), func() {
			for _, st := range x.playing {
				if st != nil {
					st.odd.next = v.codec
				}
			}
		})
	case v.music != nil:
		port := v.music.port(x.from.r)
		x.change(half, x.from.d.sdp(x.sdpID[0], v.music.node.addr.String(), port, []*codec{x.codec}, "sendonly"), x.describe(1, []*codec{x.codec}, "recvonly"))
		x.s.at(half+int64(200*time.Millisecond), func() {
			x.s.play(streamPlan{
				from: v.music, to: x.media[1], fport: port, tport: x.ports[1], codec: x.codec,
				start: x.s.now, end: end, ppm: v.music.node.ppm, own: true,
			}, x.from.r)
		})
		return half
	}
	return end
}

// change sends a re-INVITE of the caller with other descriptions.
func (x *script) change(t int64, offer, answer string) {
	a, b := x.from, x.to
	x.s.at(t, func() {
		x.g.cseqA++
		m := x.g.request("INVITE", true, true)
		m.ctype, m.body = "application/sdp", offer
		ack := x.g.request("ACK", true, true)
		ack.contact = ""
		t := a.say(x.s.now, b, m)
		r := x.g.answer(m, a, 200, false)
		r.contact = b.contact(x.called)
		r.ctype, r.body = "application/sdp", answer
		t = b.say(t+b.think(), a, r)
		a.say(t+a.think(), b, ack)
	})
}

// page sends a fax from the caller: UDPTL (T.38) in packets of 40 ms, each with
// the packet before it again, and now and then a word from the other side.
func (x *script) page(end int64) {
	from, to := x.media[0], x.media[1]
	sp, dp := from.node.port(x.ports[0], false), to.node.port(x.ports[1], false)
	there := x.s.flow(from.node, sp, to.node, dp, protoUDP)
	back := x.s.flow(to.node, dp, from.node, sp, protoUDP)
	n, before := uint16(0), []byte(nil)
	x.s.every(x.s.now, func() time.Duration { return 40 * time.Millisecond }, func() bool {
		field := append([]byte{0xc0, 1, 0x80, 0, 0, 72}, x.s.pool[int(n)*7%60000:][:72]...)
		b := binary.BigEndian.AppendUint16(nil, n)
		b = append(append(b, byte(len(field))), field...)
		if before != nil {
			b = append(append(append(b, 0, 1), byte(len(before))), before...)
		} else {
			b = append(b, 0, 0)
		}
		x.s.udp(there, kindMedia, b)
		before, n = field, n+1
		if n%100 == 0 {
			x.s.udp(back, kindMedia, append(binary.BigEndian.AppendUint16(nil, n/100), 1, 6, 0, 0))
		}
		return x.s.now < end
	})
}

// oddities is what a stream of a call with a variety keeps.
type oddities struct {
	variety
	src, dst *node
	peer     func() *stream
	next     *codec // to turn to
	noisy    bool   // the pending packet is comfort noise
	quiet    int64  // packet number of the last one
	reported int64  // when the last sender report passed the tap
	ntp      uint64
	index    uint32 // of SRTCP
	left     bool
}

func (st *stream) vary(s *sim, p *streamPlan) {
	st.odd = &oddities{variety: *p.variety, src: p.from.node, dst: p.to.node, peer: p.peer, quiet: -1000}
	if p.variety.event != 0 {
		st.event = p.variety.event
	}
	if p.variety.muxed && st.rtcp != nil {
		st.rtcp = st.flow
	}
	if n := p.variety.packing; n > 1 {
		st.size, st.step1, st.period = n*st.size, uint32(n)*st.step1, float64(n)*st.period
	}
	st.buf = make([]byte, len(st.buf)+160+st.size+tagSize)
}

// whispers says whether the pending frame of silence is comfort noise, which is
// sent when the silence begins and every half second.
func (st *stream) whispers() bool {
	o := st.odd
	if o == nil || o.noise == 0 || st.n-o.quiet < 25 {
		return false
	}
	o.noisy, o.quiet = true, st.n
	return true
}

// shape makes the header and payload size of a packet what the variety wants.
func (o *oddities) shape(st *stream, h *rtp.Header, size int) int {
	if o.next != nil {
		st.head.PayloadType, st.size = o.next.pt, st.sized(o.next)
		if h.PayloadType != st.event {
			h.PayloadType, size = o.next.pt, st.size
		}
		o.next = nil
	}
	if o.noisy && st.key == 0 {
		h.PayloadType, size = o.noise, 1
	}
	return size
}

// leave says goodbye when a stream is over.
func (st *stream) leave(s *sim) bool {
	if o := st.odd; o != nil && st.rtcp != nil && !o.left {
		o.left = true
		s.at(st.end, func() { o.report(s, st, true) })
	}
	return false
}

// report sends a compound of RTCP (RFC 3550 section 6.1): what the stream has
// sent, what came of the other side's, the CNAME, and goodbye.
func (o *oddities) report(s *sim, st *stream, bye bool) {
	const from1900 = 2208988800
	var peer *stream
	if o.peer != nil {
		peer = o.peer()
	}
	count := byte(0)
	if peer != nil {
		count = 1
	}
	o.ntp = uint64(s.now/1e9+from1900)<<32 | uint64(s.now%1e9)<<32/1e9
	b := []byte{0x80 | count, 200, 0, 6 + 6*count}
	b = binary.BigEndian.AppendUint32(b, st.head.SSRC)
	b = binary.BigEndian.AppendUint64(b, o.ntp)
	b = binary.BigEndian.AppendUint32(b, st.head.Timestamp)
	b = binary.BigEndian.AppendUint32(b, st.sent)
	b = binary.BigEndian.AppendUint32(b, st.sent*uint32(st.size))
	if peer != nil {
		b = binary.BigEndian.AppendUint32(b, peer.head.SSRC)
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(peer.head.SequenceNumber))
		b = binary.BigEndian.AppendUint32(b, uint32(peer.jit*8e-6))
		lsr, dlsr := uint32(0), uint32(0)
		if p := peer.odd; p.reported != 0 {
			lsr = uint32(p.ntp >> 16)
			// It had the report one way after the tap, and answers one way before.
			dlsr = uint32(max(s.now-p.reported-2*o.src.owd, 0) << 16 / 1e9)
		}
		b = binary.BigEndian.AppendUint32(b, lsr)
		b = binary.BigEndian.AppendUint32(b, dlsr)
	}
	o.reported = s.now
	sdes := append([]byte{1, byte(len(st.cname))}, st.cname...)
	sdes = append(sdes, 0)
	for len(sdes)%4 != 0 {
		sdes = append(sdes, 0)
	}
	b = append(b, 0x81, 202, 0, byte(1+len(sdes)/4))
	b = binary.BigEndian.AppendUint32(b, st.head.SSRC)
	b = append(b, sdes...)
	if o.muxed && peer != nil {
		// VoIP Metrics (RFC 3611 section 4.7): R 85, MOS 4.2 heard and 4.1 in talk.
		b = append(b, 0x80, 207, 0, 10)
		b = binary.BigEndian.AppendUint32(b, st.head.SSRC)
		b = append(b, 7, 0, 0, 8)
		b = binary.BigEndian.AppendUint32(b, peer.head.SSRC)
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 30, 127, 127, 127, 16, 85, 127, 42, 41, 0xe0, 0, 0, 40, 0, 60, 0, 120)
	}
	if bye {
		b = append(b, 0x81, 203, 0, 1)
		b = binary.BigEndian.AppendUint32(b, st.head.SSRC)
	}
	if o.secure {
		for i := 8; i < len(b); i++ {
			b[i] ^= s.pool[(int(o.index)*97+i)%60000]
		}
		b = binary.BigEndian.AppendUint32(b, 1<<31|o.index)
		o.index++
		b = append(b, s.pool[st.offset:st.offset+tagSize]...)
	}
	s.udp(st.rtcp, kindMedia, b)
}

// mediaVariety is an office of a few phones at a hosted exchange, each call of
// which has something about its media.
func mediaVariety(s *sim) {
	l := s.newLine(ClassHostedPBX, "office whose telephones use every kind of media", VerdictNone, VerdictNone)
	const n = 8
	l.truth.Channels = n
	r := l.rng
	server := s.newAgent(s.host("hosted exchange", false), dialKamailio("kamailio (5.6.2 (x86_64/linux))"), 5060, "pbx", "")
	server.domain = server.host()
	l.controls(server.node, "registrar")
	pc := l.device("computer")
	s.chores(l, pc)
	proxy := newMediaHost(s.host("media proxy", false), s.rng("media proxy"))
	abroad := newMediaHost(s.host("media proxy abroad", true), s.rng("media proxy abroad"))
	music := newMediaHost(s.host("music on hold", false), s.rng("music on hold"))
	phones := make([]*agent, n)
	for i := range phones {
		p := s.newAgent(l.device("phone"), dialYealink("SIP-T42S 66.85.0.15"), 5060, strconv.Itoa(8001+i), server.host())
		p.codecs = []*codec{pcma, pcmu, g729}
		p.mapped = i%2 == 0
		phones[i] = p
		s.register(s.start+int64(between(r, 0, time.Minute)), p, server, 150*time.Second, true)
	}
	base := landline(r, area(r))
	busy := make([]bool, n)
	who := newContacts(r, 60, 0.45, 0.15)
	turn := r.IntN(8)
	s.arrivals(r, s.start, 6*time.Second, func() {
		i := r.IntN(n)
		if busy[i] {
			return
		}
		busy[i] = true
		p := phones[i]
		c := &call{
			delay: between(r, 600*time.Millisecond, 3*time.Second), ring: between(r, 2*time.Second, 9*time.Second), status: outcome(r, 0.85),
			talk: between(r, 25*time.Second, 90*time.Second), byCaller: r.IntN(2) == 0, codec: pick(r, pcma, pcmu, g729),
			rtcp: true, keys: r.IntN(5), early: r.IntN(2) == 0, over: func() { busy[i] = false },
			fromDomain: server.host(), toDomain: server.host(), variety: &variety{},
		}
		far := 1
		if r.IntN(2) == 0 {
			c.from, c.to, c.called, c.calling, c.challenge = p, server, who.next(), p.user, true
		} else {
			far = 0
			c.from, c.to, c.called, c.calling, c.toContact = server, p, p.user, who.next(), true
			c.extra = []field{{"P-Called-Party-ID", "<sip:" + base[:len(base)-2] + fmt.Sprintf("%02d", i) + "@" + server.host() + ">"}}
		}
		c.relayed[far], c.ppm[far] = true, drawPPM(r)
		v := c.variety
		v.muxed = r.IntN(3) == 0
		v.event = pick(r, uint8(0), 96, 98, 127)
		c.media[far] = pick(r, nil, proxy, abroad)
		// One after another, so that a short capture has them all.
		switch turn++; turn % 8 {
		case 0:
			v.secure = true
		case 1:
			c.codec, v.codec = pcma, g729
		case 2:
			v.fax, c.codec, c.keys = true, pcma, 0
		case 3:
			v.noise, c.silence = 13, [2]float64{0.4, 0.5}
		case 4:
			v.noise, c.silence = 97, [2]float64{0.6, 0.3}
		case 5:
			v.late, c.early = true, false
		case 6:
			v.music = music
			c.hold = false
		}
		s.perform(c)
	})
}
