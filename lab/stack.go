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
	if n.line == nil {
		n.smooth = r.IntN(3) == 0
		return
	}
	if l := n.line; l.up.kind != ethernet && r.Float64() < onAir(n.name) {
		n.wifi = float64(between(r, 200*time.Microsecond, 2500*time.Microsecond))
	}
}

// onAir is how likely a device is on Wi-Fi: people's own mostly are, telephone
// equipment hardly ever (estimates).
func onAir(name string) float64 {
	for _, own := range [...]string{"phone", "mobile", "app", "softphone", "computer", "camera"} {
		if strings.HasPrefix(name, own) {
			return 0.5
		}
	}
	return 0.06
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
