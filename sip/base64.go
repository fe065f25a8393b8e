package sip

import (
	"bytes"
	"encoding/base64"
)

// Some gateways offer "BASE64" among the ways to hide SIP from a network that
// blocks it: the whole datagram is the message in Base64 (RFC 4648 section 4).
// That is no cipher, and such a message is read like any other.

// LooksBase64 says whether b may be a SIP message in Base64, by its first
// bytes: those that "SIP/2.0 " and the methods with "sip" behind them come out
// as. It is meant for every packet.
func LooksBase64(b []byte) bool {
	if len(b) < 64 {
		return false
	}
	switch b[0] {
	case 'U': // REGISTER, SIP/2.0, SUBSCRIBE, REFER, PUBLISH, PRACK
		return hasAny(b, "U0lQLzIuMC", "UkVHSVNURVIgc2lwO", "U1VCU0NSSUJFIHNpcD", "UkVGRVIgc2lwO", "UFVCTElTSCBzaXA6", "UFJBQ0sgc2lwO")
	case 'V': // UPDATE
		return hasAny(b, "VVBEQVRFIHNpcD")
	case 'S':
		return hasAny(b, "SU5WSVRFIHNpcD", "SU5GTyBzaXA6") // INVITE, INFO
	case 'Q':
		return hasAny(b, "QUNLIHNpcD", "QllFIHNpcD", "Q0FOQ0VMIHNpcD") // ACK, BYE, CANCEL
	case 'T':
		return hasAny(b, "T1BUSU9OUyBzaXA6", "TUVTU0FHRSBzaXA6", "Tk9USUZZIHNpcD") // OPTIONS, MESSAGE, NOTIFY
	}
	return false
}

func hasAny(b []byte, starts ...string) bool {
	for _, s := range starts {
		if len(b) >= len(s) && string(b[:len(s)]) == s {
			return true
		}
	}
	return false
}

// DecodeBase64 appends to dst what payload says in Base64, if that is a SIP
// message from its first byte to its last; ok says whether it is. Line ends may
// stand anywhere and zeros at the end; padding may be missing.
func DecodeBase64(dst, payload []byte) (_ []byte, ok bool) {
	if !LooksBase64(payload) {
		return dst, false
	}
	payload = bytes.TrimRight(payload, "\x00\r\n")
	payload = bytes.TrimRight(payload, "=")
	out, err := base64.RawStdEncoding.AppendDecode(dst, payload)
	if err != nil || !Looks(out[len(dst):]) {
		return dst, false
	}
	return out, true
}
