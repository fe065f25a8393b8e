// Package hello reads the first messages of protocols that encipher the rest: by
// which one a tunnel is made, and what clients and servers of TLS and QUIC say of
// themselves before they have keys. All of it is what strangers send: nothing is
// believed before both ends took part, and every table is bounded.
package hello

// Protocol is what a flow was opened by.
type Protocol uint8

// Protocols. None is no opening that is known here.
const (
	None Protocol = iota
	TLS
	QUIC
	WireGuard
	OpenVPN
	IKE // of IPsec
	L2TP
	ESP  // told by its number alone
	PPTP // the same, of its GRE
)

func (p Protocol) String() string {
	return [...]string{"", "tls", "quic", "wireguard", "openvpn", "ike", "l2tp", "esp", "pptp"}[min(p, PPTP)]
}

// Tunnel says whether it is one that carries other traffic.
func (p Protocol) Tunnel() bool { return p >= WireGuard }

// Hello is what one opening told, after its other end answered. Of tunnels it is
// the protocol alone.
type Hello struct {
	Protocol Protocol
	// JA3 is 32 hex digits and JA4 its own 36 characters: which program the client
	// is, or rather which library with which settings.
	JA3, JA4 string
	// Bare is set when the client offers no application protocol (ALPN) and none
	// of the values that mean nothing (RFC 8701). Browsers and the libraries of
	// apps do one or both; those of devices and of daemons do neither.
	Bare bool
	// Name is whom the client asks for, empty when it tells none. It is what
	// somebody calls up, and is never printed as it is without an authority.
	Name string
	// Version is what the server chose of TLS, 0x0303 or 0x0304; of QUIC 0x0304.
	Version uint16
	// Issuer is who issued the server's certificate, where that is to be seen: in
	// TLS 1.2 and before, within the first 2 KiB. SelfIssued says that it is the
	// server itself.
	Issuer     string
	SelfIssued bool
}
