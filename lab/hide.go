package lab

import (
	"crypto/rc4"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"time"
)

// What boxes hide in.
const (
	HideTunnel    = "tunnel"          // over UDP, or IP alone
	HideTunnelTCP = "tunnel over TCP" // which says less of what is inside
	HideSRTP      = "TLS and SRTP"
	HideSIP       = "obfuscated SIP" // voice in clear
	HideBank      = "enciphered bank"
)

// Hiding lists boxes that hide what they say, and honest lines that look like
// them for the same reason: all of it is encrypted. Their truth tells each call's
// course, so that who counts calls can be judged. The shares are guesses: few
// boxes are known to hide today, and more will where others are found.
func Hiding() []Scenario {
	const m = time.Minute
	box := func(name, class, text string, share float64, d time.Duration, build func(*sim)) Scenario {
		return Scenario{Name: name, Text: text, Box: true, Class: class, Share: share, Heavy: true, hiding: true, duration: d, build: build}
	}
	way := func(name, kind, text string) Scenario {
		out := box(name, ClassGateway, text, 0.0125, 12*m, func(s *sim) { s.tunnelled(kind, 12*m) })
		if out.Hides = HideTunnel; kind == vpnOverTCP || kind == vpnRelayTCP {
			out.Hides = HideTunnelTCP
		}
		return out
	}
	hidden := func(name, text string, share float64, how func(*rand.Rand) func([]byte) []byte) Scenario {
		out := box(name, ClassGateway, text, share, 20*m, func(s *sim) { s.disguised(20*m, how) })
		out.Hides = HideSIP
		return out
	}
	in := func(what string, s Scenario) Scenario {
		s.Hides = what
		return s
	}
	list := []Scenario{
		in(HideSRTP, box("hide-srtp", ClassGateway, "gateway of eight channels or more: SIP over TLS, SRTP", 0.05, 20*m, func(s *sim) { s.sealedBox(20 * m) })),
		in(HideSRTP, box("hide-srtp-two", ClassTwoSlot, "board with one or two cards: SIP over TLS, SRTP", 0.1, 2*60*m, func(s *sim) { s.sealedBoard(120 * m) })),
		way("hide-wireguard", vpnWireGuard, "gateway all of whose calls go through WireGuard"),
		way("hide-openvpn", vpnOpenVPN, "the same through OpenVPN over UDP"),
		way("hide-openvpn-tcp", vpnOverTCP, "the same through OpenVPN over TCP"),
		way("hide-l2tp", vpnMPPE, "the same through L2TP with MPPE"),
		way("hide-pptp", vpnPPTP, "the same through PPTP"),
		way("hide-ipsec", vpnNAT, "the same through IPsec behind a NAT"),
		way("hide-relay", vpnRelay, "the same through the maker's relay on one port"),
		way("hide-relay-tcp", vpnRelayTCP, "the same through the maker's relay over TCP"),
		hidden("hide-keystream", "gateway whose SIP is under a fixed keystream", 0.04, func(r *rand.Rand) func([]byte) []byte {
			stream := drawKeystream(r)
			return func(b []byte) []byte { return scrambled(b, stream) }
		}),
		hidden("hide-base64", "gateway whose SIP is in Base64", 0.02, func(*rand.Rand) func([]byte) []byte {
			return func(b []byte) []byte { return base64.StdEncoding.AppendEncode(nil, b) }
		}),
		hidden("hide-rc4", "gateway whose SIP is under RC4, each message with a prefix of its own in the key", 0.03, rc4Prefixed),
		in(HideBank, box("hide-bank", ClassBank, "gateway whose cards sit in a bank elsewhere, all of it enciphered", 0.1, 25*m, sealedBank)),
	}
	return append(list, twins()...)
}

// crowd draws a plan of a gateway of which so many channels are busy on average
// that eight calls at once are likely.
func (s *sim) crowd(name string, span time.Duration) gatewayPlan {
	r := s.rng("crowd")
	busy := spread(r, 4, 13)
	return gatewayPlan{name: name, span: span, busy: busy, least: max(8, int(busy*1.15)), most: 64, accounts: pick(r, accountEach, accountEach, accountOne, accountNone, accountGroups)}
}

// keyed gives the gateway's calls SRTP (RFC 3711): a tag of ten bytes, or of four
// (AES_CM_128_HMAC_SHA1_32, RFC 4568 section 6.2).
func keyed(r *rand.Rand, v *variety) *variety {
	out := variety{}
	if v != nil {
		out = *v
	}
	out.secure, out.tag = true, pick(r, 10, 10, 10, 4)
	return &out
}

// sealedBox is a gateway of which nothing but SRTP headers can be read.
func (s *sim) sealedBox(span time.Duration) {
	p := s.crowd("hide-srtp", span)
	p.tls = true
	p.hide = func(g *gateway) { g.vary = keyed(g.r, g.vary) }
	s.gateway(p)
}

// sealedBoard is a relay of one or two cards, as low and slow as others of its
// class.
func (s *sim) sealedBoard(span time.Duration) {
	p := gatewayPlan{
		name: "hide-srtp-two", span: span, class: ClassTwoSlot, noun: "board", most: 2, accounts: accountOne, stack: relayStack, mute: true, tls: true,
		hide: func(g *gateway) { g.vary = keyed(g.r, g.vary) },
	}
	if chance(s.rng("beside"), 0.75) {
		p.beside = besideHousehold
	}
	g := s.gateway(p)
	g.relay(sizes(g.r, 6, 30))
}

// tunnelled is a gateway whose controller and media are behind a tunnel.
func (s *sim) tunnelled(kind string, span time.Duration) {
	p := s.crowd("hide-tunnel", span)
	p.hide = func(g *gateway) {
		r := s.rng("hide")
		dev := g.node
		if kind != vpnRelay && kind != vpnRelayTCP && chance(r, 0.5) { // a router does it
			dev = g.l.device("router")
		}
		far := s.host("tunnel server", chance(r, 0.8))
		g.l.controls(far, "vpn-peer")
		way, t := s.hideaway(g.l, dev, far, kind)
		g.ctrl.node.tunnel = way
		for _, m := range g.ctrl.relays {
			m.node.tunnel = way
		}
		if g.media != nil {
			g.media.node.tunnel = way
		}
		if chance(r, 0.2) {
			g.vary = keyed(r, g.vary)
		}
		if chance(r, 0.3) { // who looks after it comes the same way
			t.data(spread(r, 3, 60), 40)
		}
		g.l.truth.Note += ", " + kind
	}
	s.gateway(p)
}

// disguised is a gateway whose messages are made unreadable one by one.
func (s *sim) disguised(span time.Duration, how func(*rand.Rand) func([]byte) []byte) {
	p := s.crowd("hide-sip", span)
	p.hide = func(g *gateway) {
		fn := how(s.rng("disguise"))
		g.tcp, g.ctrl.link, g.ctrl.disguise = false, linkUDP, fn
		for _, a := range g.agents {
			a.link, a.disguise = linkUDP, fn
		}
	}
	s.gateway(p)
}

// rc4Prefixed enciphers each message under a key of which a part, drawn anew,
// goes in front of it, so that equal messages never look equal.
func rc4Prefixed(r *rand.Rand) func([]byte) []byte {
	key := noiseBytes(r, 6+r.IntN(11))
	size := pick(r, 4, 4, 8, 16)
	return func(b []byte) []byte {
		prefix := noiseBytes(r, size)
		c, err := rc4.NewCipher(append(append([]byte(nil), prefix...), key...))
		if err != nil {
			panic(err) // the length is a good one
		}
		out := append(prefix, b...)
		c.XORKeyStream(out[size:], b)
		return out
	}
}

// sealedBank is a gateway that fetches its cards' answers from a bank over TLS,
// or under a cipher of the maker's over UDP; half of them hide SIP as well.
func sealedBank(s *sim) {
	r := s.rng("sealed bank")
	n := controlSize(r, 4, 64)
	g := newRig(s, r, ClassBank, fmt.Sprintf("gateway of %d channels, cards in a bank, enciphered", n), n)
	g.sealed = true
	kind := g.drawn("dbl")
	g.cardsAt(func(int) bool { return true })
	if !s.shape.sipTCP && chance(r, 0.5) {
		for _, a := range append(g.agents, g.ctrl) {
			a.link, a.keystream = linkTLS, nil
		}
	}
	g.begin(kind)
	g.surroundings()
}
