package hello

import (
	"bytes"
	"encoding/binary"
)

const (
	// answerWithin is how long, ns, an answer to an opening may take: openings are
	// sent again after one to five seconds, the answer to any of them counts.
	answerWithin = int64(10e9)
	// tunnelPlaces is how many openings wait for their answer at once.
	tunnelPlaces = 128
	tokenBytes   = 8
)

// Tunnels tells by which protocol tunnels are opened: one end asks, the other
// answers with what it was asked with. The zero value is ready. Its table is small
// and an opening that finds its place taken takes it, which is counted: tunnels are
// opened again every two minutes (WireGuard) to every few hours.
type Tunnels struct {
	Displaced uint64 // openings that waited for their answer
	asked     [tunnelPlaces]opening
}

// opening is the first message of a tunnel, which waits for its answer.
type opening struct {
	key      uint64 // of the flow, 0 free
	at       int64
	protocol Protocol
	way      bool
	token    [tokenBytes]byte // that the answer gives back
}

// Message takes one datagram, or one segment of TCP, of a flow named by key, which
// is the same both ways; way tells the directions apart, whichever is which. It
// gives the protocol when the message completes an opening, else None.
func (t *Tunnels) Message(key uint64, way, stream bool, b []byte, now int64) Protocol {
	protocol, answer, token := opens(b, stream)
	if protocol == None {
		return None
	}
	o := &t.asked[key>>32%tunnelPlaces]
	fresh := o.key != 0 && now-o.at <= answerWithin
	if !answer {
		if fresh && o.key != key {
			t.Displaced++
		}
		*o = opening{key: key, at: now, protocol: protocol, way: way, token: token}
		return None
	}
	if !fresh || o.key != key || o.way == way || o.protocol != protocol || o.token != token {
		return None
	}
	*o = opening{}
	return protocol
}

// opens says whether a message opens a tunnel, or answers one that does, and gives
// what is the same in both.
func opens(b []byte, stream bool) (p Protocol, answer bool, token [tokenBytes]byte) {
	if stream {
		// OpenVPN over TCP puts the length in front; an opening is sent alone.
		if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
			return None, false, token
		}
		return openVPN(b[2:])
	}
	// The first bytes of IKE are drawn at random, so that all are asked.
	if p, answer, token = wireGuard(b); p != None {
		return p, answer, token
	}
	if p, answer, token = l2tp(b); p != None {
		return p, answer, token
	}
	if p, answer, token = openVPN(b); p != None {
		return p, answer, token
	}
	return ike(b)
}

// wireGuard reads an initiation, 148 bytes with the sender's index at 4, or a
// response, 92 bytes with the receiver's at 8 (Donenfeld, WireGuard: Next
// Generation Kernel Network Tunnel, NDSS 2017, sections 5.4.2 and 5.4.3). Without
// cookies, which are sent under load alone, the last 16 bytes are zero.
func wireGuard(b []byte) (p Protocol, answer bool, token [tokenBytes]byte) {
	const initiation, response = 148, 92
	if len(b) < response || b[1]|b[2]|b[3] != 0 {
		return None, false, token
	}
	switch {
	case b[0] == 1 && len(b) == initiation:
		copy(token[:4], b[4:8])
	case b[0] == 2 && len(b) == response:
		answer = true
		copy(token[:4], b[8:12])
	default:
		return None, false, token
	}
	return WireGuard, answer, token
}

// openVPN reads a hard reset: five bits of operation, three of the key, which is
// the first; the sender's session; at the end of the server's the session of the
// client and its own packet number. In between are none to 64 bytes of HMAC with
// eight of packet number and time, by `tls-auth`. Under `tls-crypt` the rest is
// enciphered, so that only the lengths and the operation tell (OpenVPN protocol,
// sections "Session and channel" of doc/doxygen; draft-openvpn-wire-protocol
// sections 3 and 4).
func openVPN(b []byte) (p Protocol, answer bool, token [tokenBytes]byte) {
	const (
		clientV2, serverV2, clientV3 = 7, 8, 10
		head                         = 1 + 8
		plain, acknowledging         = head + 1 + 4, head + 1 + 4 + 8 + 4
		authed                       = 8 // packet number and time
		crypted                      = head + 8 + 32 + 5
		most                         = 64 + authed
	)
	if len(b) < plain || b[0]&7 != 0 || bytes.Equal(b[1:head], make([]byte, 8)) {
		return None, false, token
	}
	// Bytes that `tls-auth` adds: an HMAC of 16 (MD5) to 64 (SHA-512).
	auth := func(n int) bool { return n == 0 || n >= 16+authed && n <= most }
	switch b[0] >> 3 {
	case clientV2, clientV3:
		if b[0]>>3 == clientV3 && len(b) > plain+most {
			// Version 3 has the client's key behind it, up to 1,024 bytes.
			if len(b) > 1200 {
				return None, false, token
			}
		} else if !auth(len(b) - plain) {
			return None, false, token
		}
		if len(b) == plain && !bytes.Equal(b[head:], make([]byte, 5)) {
			return None, false, token // nothing to acknowledge, packet 0
		}
		if len(b) >= crypted && (len(b) == crypted || b[0]>>3 == clientV3) {
			return OpenVPN, false, token // `tls-crypt`: the answer cannot be read
		}
		copy(token[:], b[1:head])
		return OpenVPN, false, token
	case serverV2:
		if len(b) == crypted+12 || len(b) > acknowledging+most {
			// `tls-crypt`: sessions and acknowledgement are enciphered.
			return OpenVPN, true, token
		}
		if !auth(len(b) - acknowledging) {
			return None, false, token
		}
		copy(token[:], b[len(b)-12:])
		return OpenVPN, true, token
	}
	return None, false, token
}

// ike reads the first message of an exchange that makes an IKE_SA, and its answer:
// the initiator's index, the responder's, which is zero in the first, version 2.0,
// exchange 34, flags, message 0, length (RFC 7296 section 3.1). On port 4500 four
// zero bytes are before it (RFC 3948 section 2.2). Version 1.0 has exchange 2 or 4
// (RFC 2408 section 3.1).
func ike(b []byte) (p Protocol, answer bool, token [tokenBytes]byte) {
	const head = 28
	if len(b) >= 4+head && b[0]|b[1]|b[2]|b[3] == 0 {
		b = b[4:]
	}
	if len(b) < head || binary.BigEndian.Uint32(b[20:]) != 0 || int64(binary.BigEndian.Uint32(b[24:])) != int64(len(b)) {
		return None, false, token
	}
	switch version, exchange := b[17], b[18]; {
	case version == 0x20 && exchange == 34:
	case version == 0x10 && (exchange == 2 || exchange == 4):
	default:
		return None, false, token
	}
	if binary.BigEndian.Uint64(b) == 0 {
		return None, false, token
	}
	copy(token[:], b[:8])
	return IKE, binary.BigEndian.Uint64(b[8:]) != 0, token
}

// l2tp reads a request to begin a control connection, and the reply: type, length
// and sequence bits with version 2, length, tunnel, session 0, numbers, and first
// the attribute that tells the type of message, 1 or 2 (RFC 2661 sections 3.1,
// 4.4.1 and 6.1). The reply is to the tunnel that the request assigns, attribute 9.
func l2tp(b []byte) (p Protocol, answer bool, token [tokenBytes]byte) {
	const head, first = 12, 8
	if len(b) < head+first || b[0] != 0xc8 || b[1] != 2 || int(binary.BigEndian.Uint16(b[2:])) != len(b) || binary.BigEndian.Uint16(b[6:]) != 0 {
		return None, false, token
	}
	tunnel := binary.BigEndian.Uint16(b[4:])
	attributes := b[head:]
	if attributes[0]&0x03 != 0 || attributes[1] != first || binary.BigEndian.Uint32(attributes[2:]) != 0 {
		return None, false, token
	}
	switch kind := binary.BigEndian.Uint16(attributes[6:]); {
	case kind == 2 && tunnel != 0:
		binary.BigEndian.PutUint16(token[:], tunnel)
		return L2TP, true, token
	case kind != 1 || tunnel != 0:
		return None, false, token
	}
	for len(attributes) >= 6 {
		n := int(binary.BigEndian.Uint16(attributes) & 0x3ff)
		if n < 6 || n > len(attributes) {
			break
		}
		if n == 8 && binary.BigEndian.Uint32(attributes[2:]) == 9 { // of the IETF, assigned tunnel
			copy(token[:], attributes[6:8])
			return L2TP, false, token
		}
		attributes = attributes[n:]
	}
	return None, false, token
}
