package sip

import (
	"bytes"

	"simtrap/ident"
)

// readSDP scans a session description (RFC 4566) into m.SDP: only the lines
// that call tracking needs, in whatever order they come.
func readSDP(b []byte, m *Message) {
	s := sdpScan{sdp: &m.SDP, session: Media{}}
	for len(b) > 0 {
		line := b
		if n := bytes.IndexByte(b, '\n'); n >= 0 {
			line, b = b[:n], b[n+1:]
			if n == 0 || line[n-1] != '\r' {
				m.Lenient |= LenientLineEnd
			}
		} else {
			b = nil
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if n := len(line); n > 3 && line[1] == '=' && line[2] > ' ' && line[n-1] > ' ' {
			s.line(line[0], line[2:])
		} else {
			s.oddLine(trim(line))
		}
	}
	s.finish()
	if m.SDP.Present && !s.version {
		s.lenient |= LenientSDP
	}
	m.Lenient |= s.lenient
}

// sdpScan is what must be remembered between lines.
type sdpScan struct {
	sdp     *SDP
	session Media // what was said before the first m= line
	media   *Media
	other   bool // within a media section that is not kept
	version bool
	image   bool    // within the image line that is kept
	ownImg  bool    // which has a c= of its own
	own     [2]bool // the audio line has a c= of its own
	turned  [2]bool // and a direction
	lenient Leniency
}

// oddLine reads a line with blanks where none belong, or a very short one.
func (s *sdpScan) oddLine(b []byte) {
	if len(b) < 2 {
		return
	}
	kind, value := b[0], b[1:]
	if value[0] != '=' {
		if value = skip(value); len(value) == 0 || value[0] != '=' {
			return
		}
		s.lenient |= LenientSDP
	}
	if value = value[1:]; len(value) > 0 && in(value[0], blankSet) && kind != 's' {
		s.lenient |= LenientSDP
		value = skip(value)
	}
	s.line(kind, value)
}

func (s *sdpScan) line(kind byte, value []byte) {
	switch kind {
	case 'v':
		s.version = true
	case 'o':
		s.sdp.Present = true
		s.origin(value)
	case 's':
		s.sdp.Present = true
		if s.sdp.Name == nil {
			s.sdp.Name = value
		}
	case 'c':
		s.sdp.Present = true
		s.connection(value)
	case 'm':
		s.sdp.Present = true
		s.startMedia(value)
	case 'a':
		if !s.other {
			s.attribute(value)
		}
	}
}

// field takes one blank-separated field from the front of b.
func field(b []byte) (f, rest []byte) {
	n := span(b, blankSet)
	return b[:n], skip(b[n:])
}

// origin reads o=<user> <session> <version> IN IP4 <address>.
func (s *sdpScan) origin(b []byte) {
	if s.sdp.OriginUser != nil {
		return
	}
	s.sdp.OriginUser, b = field(b)
	if len(b) == 0 {
		s.lenient |= LenientSDP
		return
	}
	n := len(b)
	for n > 0 && !in(b[n-1], blankSet) {
		n--
	}
	s.sdp.OriginAddr = b[n:]
}

// connection reads c=IN IP4 <address>[/ttl]; the address is the last field,
// whatever blanks are missing before it.
func (s *sdpScan) connection(b []byte) {
	if s.other && !s.image {
		return
	}
	f := b
	if len(b) > 7 && string(b[:7]) == "IN IP4 " && bytes.IndexByte(b[7:], ' ') < 0 {
		f = b[7:]
	} else {
		n := 0
		for ; len(b) > 0; n++ {
			f, b = field(b)
		}
		if n != 3 {
			s.lenient |= LenientSDP
		}
	}
	if n := bytes.IndexByte(f, '/'); n >= 0 {
		f = f[:n]
	}
	if s.media == nil && !s.image {
		s.session.Addr, _ = ident.ParseAddr(f)
		return
	}
	if s.image {
		s.sdp.Image.Addr, _ = ident.ParseAddr(f)
		s.ownImg = true
		return
	}
	s.media.Addr, _ = ident.ParseAddr(f)
	s.own[s.sdp.N-1] = true
}

// startMedia reads m=audio <port>[/<count>] <proto> <format>...
func (s *sdpScan) startMedia(b []byte) {
	s.media, s.other, s.image = nil, true, false
	switch {
	case fold(b, "image"):
		s.startImage(b[len("image"):])
		return
	case !fold(b, "audio"):
		s.notAudio(b)
		return
	}
	if s.sdp.N == len(s.sdp.Audio) {
		return
	}
	if b = b[len("audio"):]; len(b) == 0 {
		s.lenient |= LenientSDP
		return
	}
	if !in(b[0], blankSet) {
		if !isDigit(b[0]) {
			return // another word that begins so
		}
		s.lenient |= LenientSDP
	}
	b = skip(b)
	port, n, over := number(b, 65535)
	if n == 0 || over {
		s.lenient |= LenientSDP
		return
	}
	s.media, s.other = &s.sdp.Audio[s.sdp.N], false
	s.sdp.N++
	s.media.Port = uint16(port)
	if b = b[n:]; len(b) > 0 && b[0] == '/' {
		_, n, _ = number(b[1:], 65535)
		b = b[1+n:]
	}
	if len(b) == 0 || !in(b[0], blankSet) {
		s.lenient |= LenientSDP
	}
	proto, b := field(skip(b))
	s.media.Secure = secure(proto)
	for len(b) > 0 {
		pt, n, over := number(b, 127)
		if n == 0 || over || n < len(b) && !in(b[n], blankSet) {
			s.lenient |= LenientSDP
			_, b = field(b)
			continue
		}
		b = skip(b[n:])
		if s.media.N < len(s.media.Formats) {
			s.media.Formats[s.media.N] = Format{PT: uint8(pt), Rate: staticRate(uint8(pt))}
			s.media.N++
		}
	}
}

// notAudio notes m=video, unless its port is 0.
func (s *sdpScan) notAudio(b []byte) {
	kind, rest := field(b)
	port, _, _ := number(rest, 65535)
	s.sdp.Video = s.sdp.Video || port != 0 && is(kind, "video")
}

// startImage reads m=image <port> udptl t38 (RFC 7345 section 4, T.38 annex D).
func (s *sdpScan) startImage(b []byte) {
	port, n, over := number(skip(b), 65535)
	if n == 0 || over || s.sdp.Image.Port != 0 {
		return
	}
	proto := skip(skip(b)[n:])
	if fold(proto, "udptl") {
		s.sdp.Image.Port, s.image = uint16(port), port != 0
	}
}

// candidate reads a=candidate:<foundation> <component> <transport> <priority>
// <address> <port> ...
func (s *sdpScan) candidate(b []byte) {
	if s.media == nil || s.media.NICE == len(s.media.ICE) {
		return
	}
	var f [6][]byte
	for i := range f {
		f[i], b = field(b)
	}
	port, n, over := number(f[5], 65535)
	addr, ok := ident.ParseAddr(f[4])
	if string(f[1]) != "1" || !is(f[2], "udp") || n == 0 || over || port == 0 || !ok {
		return
	}
	s.media.ICE[s.media.NICE] = Socket{addr, uint16(port)}
	s.media.NICE++
}

// encodings are the names of a=rtpmap (RFC 3551 and the formats since).
var encodings = [...]struct {
	name string
	is   Encoding
}{
	{"pcmu", EncodingPCMU}, {"pcma", EncodingPCMA}, {"g729", EncodingG729}, {"g729a", EncodingG729}, {"g729ab", EncodingG729},
	{"g723", EncodingG723}, {"gsm", EncodingGSM}, {"gsm-efr", EncodingEFR}, {"ilbc", EncodingILBC}, {"g722", EncodingG722},
	{"amr", EncodingAMR}, {"amr-wb", EncodingAMRWB}, {"evs", EncodingEVS}, {"opus", EncodingOpus},
	{"telephone-event", EncodingEvent}, {"cn", EncodingNoise},
}

func encoding(name []byte) Encoding {
	// As they are usually spelled.
	switch string(name) {
	case "PCMU":
		return EncodingPCMU
	case "PCMA":
		return EncodingPCMA
	case "G729":
		return EncodingG729
	case "telephone-event":
		return EncodingEvent
	}
	for i := range encodings {
		if is(name, encodings[i].name) {
			return encodings[i].is
		}
	}
	return EncodingOther
}

// secure says whether proto is RTP/SAVP (RFC 3711), RTP/SAVPF (RFC 5124) or one
// of those over something (RFC 5764).
func secure(proto []byte) bool {
	if string(proto) == "RTP/AVP" {
		return false
	}
	for i := range proto {
		if (proto[i]|0x20) == 's' && fold(proto[i:], "savp") {
			return true
		}
	}
	return false
}

// attribute reads an a= line of the session or of a kept audio line.
func (s *sdpScan) attribute(b []byte) {
	at := &s.session
	if s.media != nil {
		at = s.media
	}
	if len(b) < 5 {
		return
	}
	switch b[0] | 0x20 {
	case 'r':
		switch {
		case fold(b, "rtpmap:"):
			s.rtpmap(skip(b[len("rtpmap:"):]))
		case fold(b, "rtcp:"):
			s.short(b[len("rtcp:"):], &at.RTCPPort)
		case is(b, "recvonly"):
			s.turn(at, RecvOnly)
		}
	case 'p':
		if fold(b, "ptime:") {
			s.short(b[len("ptime:"):], &at.Ptime)
		}
	case 's':
		switch {
		case is(b, "sendrecv"):
			s.turn(at, SendRecv)
		case is(b, "sendonly"):
			s.turn(at, SendOnly)
		}
	case 'i':
		if is(b, "inactive") {
			s.turn(at, Inactive)
		} else if fold(b, "ice-ufrag:") {
			s.sdp.ICE = true
		}
	case 'c':
		if fold(b, "crypto:") {
			at.Secure = true
		} else if fold(b, "candidate:") {
			s.candidate(b[len("candidate:"):])
		}
	case 'f':
		if b[1]|0x20 == 'i' && fold(b, "fingerprint:") {
			at.Secure = true
		}
	}
}

// short reads a number up to 65535 from the front of b.
func (s *sdpScan) short(b []byte, v *uint16) {
	n, digits, over := number(skip(b), 65535)
	if digits == 0 || over {
		s.lenient |= LenientSDP
		return
	}
	*v = uint16(n)
}

func (s *sdpScan) turn(at *Media, d Direction) {
	at.Direction = d
	if s.media != nil {
		s.turned[s.sdp.N-1] = true
	}
}

// rtpmap reads <payload type> <encoding>/<rate>[/<channels>].
func (s *sdpScan) rtpmap(b []byte) {
	if s.media == nil {
		return
	}
	pt, n, over := number(b, 127)
	if n == 0 || over {
		s.lenient |= LenientSDP
		return
	}
	slash := bytes.IndexByte(b, '/')
	if slash < 0 {
		s.lenient |= LenientSDP
		return
	}
	name := trim(b[n:slash])
	rate, n, over := number(skip(b[slash+1:]), 1<<32-1)
	if n == 0 || over {
		s.lenient |= LenientSDP
		return
	}
	for i := range s.media.Formats[:s.media.N] {
		if f := &s.media.Formats[i]; f.PT == uint8(pt) {
			f.Rate = uint32(rate)
			s.media.Encodings[i] = encoding(name)
		}
	}
}

// finish hands what was said for the session to the audio lines that do not say
// otherwise.
func (s *sdpScan) finish() {
	if s.sdp.Image.Port != 0 && !s.ownImg {
		s.sdp.Image.Addr = s.session.Addr
	}
	for i := range s.sdp.N {
		a := &s.sdp.Audio[i]
		if !s.own[i] {
			a.Addr = s.session.Addr
		}
		if !s.turned[i] {
			a.Direction = s.session.Direction
		}
		if a.Ptime == 0 {
			a.Ptime = s.session.Ptime
		}
		a.Secure = a.Secure || s.session.Secure
	}
}

// staticRate gives the clock rate in Hz of a static audio payload type
// (RFC 3551 section 6), 0 for the others. 13 is comfort noise (RFC 3389), 19
// was.
func staticRate(pt uint8) uint32 {
	switch pt {
	case 0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18, 19:
		return 8000
	case 6:
		return 16000
	case 10, 11:
		return 44100
	case 14:
		return 90000
	case 16:
		return 11025
	case 17:
		return 22050
	}
	return 0
}
