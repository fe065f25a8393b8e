package rtp

import (
	"encoding/binary"

	"simtrap/ident"
)

// RTCP is what one RTCP datagram says (RFC 3550 section 6, RFC 3611), as far as
// streams have use for it. It holds no view of the datagram.
type RTCP struct {
	Time int64
	Flow Flow // of the datagram, which is RTP's own (RFC 5761) or that of other ports

	SSRC  uint32 // who reports
	CNAME ident.CNAME
	// Sent is set when there was a sender report; NTP is then the middle 32 bits
	// of its clock, as receivers give it back.
	Sent bool
	NTP  uint32

	Blocks [4]ReportBlock // what SSRC receives; of more than four the first
	N      int
	Voice  VoiceMetrics // of RFC 3611, SSRC 0 when there was none
	Byes   [4]uint32    // sources that leave; of more than four the first
	NByes  int
}

// ReportBlock is what a receiver says about one source.
type ReportBlock struct {
	SSRC     uint32
	Lost     int32 // packets, since it began; copies count against it
	Fraction uint8 // lost since the report before, of 256
	Jitter   uint32
	LSR      uint32 // NTP of the last sender report that it had, 0 none
	DLSR     uint32 // since then, 1/65536 s
}

// VoiceMetrics is the VoIP Metrics block of RFC 3611 section 4.7.
type VoiceMetrics struct {
	SSRC      uint32
	Loss      uint8 // of 256
	Discard   uint8
	RoundTrip uint16 // ms, 0 unknown
	R         uint8  // 127 unknown
	MOS       uint8  // conversational, tenths, 127 unknown
}

// RTCPResult says how a datagram reads as RTCP.
type RTCPResult uint8

const (
	RTCPNone      RTCPResult = iota // not RTCP, whatever its first bytes
	RTCPRead                        // a compound packet, read
	RTCPReduced                     // does not begin with a report (RFC 5506): not read
	RTCPEncrypted                   // SRTCP (RFC 3711 section 3.4): nothing in it can be read
	RTCPCut                         // not all of it was captured
	RTCPBroken                      // breaks the rules
)

// maxCNAME is how much of a CNAME is kept, bytes: RFC 7022 makes 16 of it, the
// older user@host seldom more than 60.
const maxCNAME = 128

const (
	rtcpSR   = 200
	rtcpRR   = 201
	rtcpSDES = 202
	rtcpBYE  = 203
	rtcpXR   = 207
)

// LooksRTCP says whether a payload of length bytes, of which b was captured,
// begins as RTCP does beside RTP (RFC 5761 section 4), and has room for the
// packet that it begins with: random bytes seldom have.
func LooksRTCP(b []byte, length uint32) bool {
	return len(b) >= 8 && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223 && 4+4*uint32(binary.BigEndian.Uint16(b[2:])) <= length
}

// ReadRTCP reads b, the captured bytes of a payload of length bytes, into r. r
// is filled only where RTCPRead is given; its Time and Flow are left alone.
func ReadRTCP(b []byte, length uint32, r *RTCP) RTCPResult {
	if uint32(len(b)) > length {
		b = b[:length]
	}
	if !LooksRTCP(b, length) {
		return RTCPNone
	}
	report := b[1] == rtcpSR || b[1] == rtcpRR
	if uint32(len(b)) < length {
		if report {
			return RTCPCut // where it ends tells what it is
		}
		return RTCPNone
	}
	end, ok := compound(b)
	switch {
	case ok && !report:
		return RTCPReduced
	case !report:
		return RTCPNone
	case !ok && encrypted(b):
		return RTCPEncrypted
	case !ok:
		return RTCPBroken
	}
	out := RTCP{Time: r.Time, Flow: r.Flow, SSRC: binary.BigEndian.Uint32(b[4:])}
	for b = b[:end]; len(b) > 0; {
		n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if !out.part(b[:n]) {
			return RTCPBroken
		}
		b = b[n:]
	}
	*r = out
	return RTCPRead
}

// compound walks the packets of a datagram by their lengths, and says where
// they end and whether that is the datagram's end, or that of its readable part
// before the trailer of SRTCP without encryption. Only the last packet may be
// padded (RFC 3550 section 6.1).
func compound(b []byte) (int, bool) {
	at := 0
	for len(b)-at >= 4 && b[at]>>6 == 2 && b[at+1] >= 192 && b[at+1] <= 223 {
		n := 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
		if n > len(b)-at {
			return 0, false
		}
		padded := b[at]&0x20 != 0
		at += n
		if padded {
			break
		}
	}
	for _, n := range [...]int{0, 4 + 10, 4 + 4} {
		if len(b)-at == n {
			return at, n == 0 || b[at] == 0 // an index without the E bit
		}
	}
	return 0, false
}

// encrypted says whether b ends as SRTCP does: a word with the E bit and the
// packet's index, which counts from nothing, then a tag of 10 or 4 bytes; or
// with AES-GCM (RFC 7714) a tag of 16 bytes and then the word.
func encrypted(b []byte) bool {
	for _, back := range [...]int{14, 8, 4} {
		if at := len(b) - back; at >= 8 && b[at] == 0x80 {
			return true
		}
	}
	return false
}

// part reads one packet of a compound.
func (r *RTCP) part(b []byte) bool {
	count := int(b[0] & 0x1f)
	if b[0]&0x20 != 0 { // padding, counted by its last byte
		n := int(b[len(b)-1])
		if n == 0 || n%4 != 0 || n > len(b)-4 {
			return false
		}
		b = b[:len(b)-n]
	}
	switch b[1] {
	case rtcpSR:
		if len(b) < 28 {
			return false
		}
		if binary.BigEndian.Uint32(b[4:]) == r.SSRC {
			r.Sent, r.NTP = true, binary.BigEndian.Uint32(b[10:])
		}
		return r.blocks(b[28:], count)
	case rtcpRR:
		return len(b) >= 8 && r.blocks(b[8:], count)
	case rtcpSDES:
		return r.chunks(b[4:], count)
	case rtcpBYE:
		if len(b) < 4+4*count {
			return false
		}
		for i := range count {
			if r.NByes < len(r.Byes) {
				r.Byes[r.NByes] = binary.BigEndian.Uint32(b[4+4*i:])
				r.NByes++
			}
		}
	case rtcpXR:
		return len(b) >= 8 && r.extended(b[8:])
	}
	return true
}

func (r *RTCP) blocks(b []byte, count int) bool {
	if len(b) < 24*count {
		return false
	}
	for ; count > 0 && r.N < len(r.Blocks); count-- {
		lost := int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8
		r.Blocks[r.N] = ReportBlock{
			SSRC: binary.BigEndian.Uint32(b), Fraction: b[4], Lost: lost, Jitter: binary.BigEndian.Uint32(b[12:]),
			LSR: binary.BigEndian.Uint32(b[16:]), DLSR: binary.BigEndian.Uint32(b[20:]),
		}
		r.N++
		b = b[24:]
	}
	return true
}

// chunks reads source descriptions for the CNAME of who reports; a mixer names
// others as well.
func (r *RTCP) chunks(b []byte, count int) bool {
	for ; count > 0; count-- {
		if len(b) < 8 {
			return false
		}
		ssrc := binary.BigEndian.Uint32(b)
		at := 4
		for {
			if at >= len(b) {
				return false
			}
			if b[at] == 0 {
				break
			}
			if at+2 > len(b) || at+2+int(b[at+1]) > len(b) {
				return false
			}
			text := b[at+2 : at+2+int(b[at+1])]
			if b[at] == 1 && ssrc == r.SSRC && len(text) > 0 {
				r.CNAME = ident.NewCNAME(text[:min(len(text), maxCNAME)])
			}
			at += 2 + len(text)
		}
		at = (at + 4) &^ 3 // at least one null, up to the next word
		if at > len(b) {
			return false
		}
		b = b[at:]
	}
	return true
}

func (r *RTCP) extended(b []byte) bool {
	for len(b) >= 4 {
		n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return false
		}
		if b[0] == 7 {
			if n != 36 {
				return false
			}
			r.Voice = VoiceMetrics{
				SSRC: binary.BigEndian.Uint32(b[4:]), Loss: b[8], Discard: b[9],
				RoundTrip: binary.BigEndian.Uint16(b[16:]), R: b[24], MOS: b[27],
			}
		}
		b = b[n:]
	}
	return len(b) == 0
}
