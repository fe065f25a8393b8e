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
}
