package sessions

import (
	"encoding/binary"
	"net/netip"
)

// Attributes of RADIUS (RFC 2865, 2866, 2869, 3162, 4818, 6911).
const (
	attrUserName            = 1
	attrNASAddress          = 4
	attrFramedAddress       = 8
	attrCallingStation      = 31
	attrNASIdentifier       = 32
	attrStatusType          = 40
	attrDelay               = 41
	attrSession             = 44
	attrEventTime           = 55
	attrNASAddress6         = 95
	attrFramedPrefix6       = 97
	attrDelegatedPrefix6    = 123
	attrFramedAddress6      = 168
	accountingRequest       = 4
	radiusHeader            = 20
	maxRADIUS               = 4096
	clockDistance           = int64(24 * 3600e9)
	statusStart, statusStop = 1, 2
	statusInterim           = 3
)

// IsAccounting says whether a datagram is to one of the ports of RADIUS
// accounting: 1813 (RFC 2866), or 1646 that came before it.
func IsAccounting(dst uint16) bool { return dst == 1813 || dst == 1646 }

// AppendRADIUS appends what an Accounting-Request says, seen at time now. ok is
// false when b is none, or broken. Its authenticator needs a secret and is not
// looked at: whoever brings the file vouches for it.
func AppendRADIUS(out []Event, b []byte, now int64) (_ []Event, ok bool) {
	if len(b) < radiusHeader || b[0] != accountingRequest {
		return out, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < radiusHeader || n > len(b) || n > maxRADIUS {
		return out, false
	}
	a := accounting{seen: now}
	for b = b[radiusHeader:n]; len(b) > 0; {
		if len(b) < 2 || int(b[1]) < 2 || int(b[1]) > len(b) {
			return out, false
		}
		v := b[2:b[1]]
		switch b[0] {
		case attrUserName:
			a.user = string(v)
		case attrCallingStation:
			a.mac = string(v)
		case attrSession:
			a.session = string(v)
		case attrNASAddress, attrNASAddress6, attrNASIdentifier:
			a.serve(string(v))
		case attrFramedAddress:
			if ip, is := netip.AddrFromSlice(v); is && ip.Is4() && !ip.IsUnspecified() && v[0] != 255 {
				a.add(netip.PrefixFrom(ip, 32))
			}
		case attrFramedAddress6:
			if ip, is := netip.AddrFromSlice(v); is && ip.Is6() && !ip.Is4In6() && !ip.IsUnspecified() {
				a.add(netip.PrefixFrom(ip, 128))
			}
		case attrFramedPrefix6, attrDelegatedPrefix6:
			// Reserved, length in bits, and as many bytes as it needs.
			if len(v) < 2 || len(v) > 18 || v[1] == 0 || v[1] > 128 || (len(v)-2)*8 < int(v[1]) {
				break
			}
			var ip [16]byte
			copy(ip[:], v[2:])
			if p := netip.PrefixFrom(netip.AddrFrom16(ip), int(v[1])).Masked(); !p.Addr().Is4In6() && !p.Addr().IsUnspecified() {
				a.add(p)
			}
		case attrStatusType, attrDelay, attrEventTime:
			if len(v) != 4 {
				break
			}
			switch x := binary.BigEndian.Uint32(v); b[0] {
			case attrDelay:
				a.delay = int64(x) * 1e9
			case attrEventTime:
				a.event = int64(x) * 1e9
			default:
				switch x {
				case statusStart:
					a.status = "Start"
				case statusStop:
					a.status = "Stop"
				case statusInterim:
					a.status = "Interim-Update"
				}
			}
		}
		b = b[2+len(v):]
	}
	// A server whose clock is a day off is not asked for the time.
	if a.event < now-clockDistance || a.event > now+clockDistance {
		a.event = 0
	}
	if a.delay > clockDistance {
		a.delay = 0
	}
	return a.events(out), true
}
