package rtp

import "encoding/binary"

// header is what is read of an RTP packet on the hot path: the fixed header of
// RFC 3550 section 5.1.
type header struct {
	ssrc, timestamp uint32
	seq             uint16
	pt              uint8
	marker          bool
}

// kind is what a datagram reads as.
type kind uint8

const (
	unreadable kind = iota
	rtcp
	readable
)

// read reads the fixed header from b, the captured bytes of a payload that has
// length bytes on the wire. Behind the twelve bytes it reads the extension's
// length field alone. The length of padding stands in the packet's last byte,
// which is not header, so P asks only that there be such a byte.
func read(b []byte, length uint32) (h header, k kind) {
	if len(b) < 12 || b[0]>>6 != 2 {
		return h, unreadable
	}
	if b[1] >= 192 && b[1] <= 223 { // RFC 5761 section 4
		return h, rtcp
	}
	h.pt = b[1] & 0x7f
	if h.pt >= 72 && h.pt <= 76 {
		return h, unreadable
	}
	if b[0]&0x3f != 0 { // P, X or CSRCs
		need := 12 + 4*uint32(b[0]&0xf)
		if b[0]&0x10 != 0 {
			if uint32(len(b)) < need+4 {
				return h, unreadable
			}
			need += 4 + 4*uint32(binary.BigEndian.Uint16(b[need+2:]))
		}
		if b[0]&0x20 != 0 {
			need++
		}
		if length < need {
			return h, unreadable
		}
	}
	h.marker = b[1]&0x80 != 0
	h.seq = binary.BigEndian.Uint16(b[2:])
	h.timestamp = binary.BigEndian.Uint32(b[4:])
	h.ssrc = binary.BigEndian.Uint32(b[8:])
	return h, readable
}
