package lab

import (
	"math/rand/v2"
	"strings"
	"time"
)

// How a host numbers its IPv4 packets.
const (
	idCounter = iota // one counter for all it sends: old systems, small devices
	idZero           // none where packets must not be cut up: Linux, for UDP
	idFlow           // a counter for each conversation: Linux, for TCP and connected UDP
	idRandom         // unrelated numbers: iOS, BSD, and routers that rewrite them
)

// body is what a host of a wide scenario has besides.
type body struct {
	clk     *clock
	path    *path   // beyond the tap
	wifi    float64 // ns, mean of what the building's radio adds; 0 for a wire
	ptime   int     // ms of voice in a packet
	dtx     float64 // share of the time that it keeps silent
	smooth  bool    // what it relays goes through a buffer
	ids     int     // how it numbers packets
	scatter uint16  // the last number, where they are random
}

// stack draws what the IP software of a host shows. The first TTL is 64 with
// Linux, Apple and most small devices, 128 with Windows and some voice
// gateways' systems, 255 with some makers of network equipment (shares are
// estimates). hops is how many routers came before the tap.
func (n *node) stack(r *rand.Rand, hops int) {
	first := pick(r, 64, 64, 64, 64, 64, 64, 64, 64, 128, 255)
	if strings.HasPrefix(n.name, "computer") {
		first = pick(r, 128, 128, 128, 64, 64)
	}
	n.ttl = uint8(first - hops)
	n.ids = pick(r, idCounter, idCounter, idZero, idZero, idZero, idFlow, idFlow, idRandom)
	n.df = n.ids == idZero || r.IntN(2) == 0
}

// habits draws how a host sends voice: mostly 20 ms a packet, as every maker's
// default is; some save headers with longer ones. Few suppress silence.
func (n *node) habits(r *rand.Rand) {
	n.ptime = 20
	if r.IntN(6) == 0 {
		n.ptime = pick(r, 10, 30, 30, 30, 30, 40, 40, 60)
	}
	if r.IntN(9) == 0 {
		n.dtx = share(r, 0.25, 0.6)
	}
	n.smooth = r.IntN(3) == 0
	if l := n.line; l != nil && r.Float64() < onAir(n.name, l.truth.Class) {
		n.wifi = float64(between(r, 200*time.Microsecond, 2500*time.Microsecond))
	}
}

// onAir is how likely a device is on Wi-Fi: people's own mostly are, at home
// all the more, telephone equipment hardly ever (estimates).
func onAir(name, class string) float64 {
	home := class == ClassHome || class == ClassMobileDialer || class == ClassConference
	switch {
	case strings.HasPrefix(name, "mobile"), strings.HasPrefix(name, "app"), home && strings.HasPrefix(name, "phone"):
		return 0.85
	case strings.HasPrefix(name, "softphone"), strings.HasPrefix(name, "computer"), strings.HasPrefix(name, "camera"):
		return 0.5
	case strings.HasPrefix(name, "phone"):
		return 0.1
	}
	return 0.05
}

// number gives the identification of the flow's next packet.
func (f *flow) number() {
	n := f.src
	n.ipid++
	switch n.ids {
	case idCounter:
		f.id = n.ipid
	case idZero:
		f.id = 0
	case idFlow:
		f.id++
	case idRandom:
		n.scatter = n.scatter*25173 + 13849
		f.id = n.scatter
	}
}
