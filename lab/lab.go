// Package lab makes captures with known truth: subscriber lines with gateways,
// their honest lookalikes and the traffic around them, as a passive tap at the
// edge of an access network would see them.
//
// Everything follows from the scenario and the seed: the same options give the
// same bytes. Time is virtual. The package shares no code with the detector, so
// that a mistake in one cannot hide a mistake in the other.
package lab

import (
	"fmt"
	"hash/fnv"
	"io"
	"time"
)

// Options says what Make shall make. The zero value of every field but Scenario
// is usable.
type Options struct {
	Scenario string        // a name of Scenarios
	Seed     uint64        // draws every parameter of the scenario
	Duration time.Duration // virtual time; 0 takes the scenario's own
	// Encap is how frames are wrapped, by names of Encaps joined by "+": a link
	// type (Ethernet unless one is named); what comes between it and the inner
	// IP packet, outermost first; and modifiers: ipv6 (inside), outer6 (tunnels
	// over IPv6), ah, atomic, fragments (576-byte MTU), outer-fragments (the
	// same of a tunnel's packets), sip-tcp (all SIP over TCP),
	// sip-ws (all SIP over WebSocket).
	// "vlan+pppoe+ipv6+fragments" is four.
	Encap string
	View  string // "" or "both", up, down, media, sip, midcall
	// Vendor changes what boxes call themselves in SIP and SDP: "" leaves it,
	// "none" strips it, "phone" puts a popular desk phone's name there.
	Vendor string
	// Ring, when named, makes captures that go together: those of one name are of the
	// same hours, and a softswitch that drives boxes is the same host in all of them;
	// what else they have in common the scenarios of Together tell.
	Ring    string
	Format  string // "" or "pcap", nano (pcap, nanoseconds), pcapng
	Snaplen int    // bytes kept of a frame; 0 keeps all
}

// Values of Options.Vendor.
const (
	vendorNone  = "none"
	vendorPhone = "phone"
)

// Make writes the capture to w and gives what is true of it. It fails on an
// unknown name in opt, with the names it knows, and when w fails.
func Make(w io.Writer, opt Options) (*Truth, error) {
	sc, ok := find(opt.Scenario)
	if !ok {
		return nil, fmt.Errorf("unknown scenario %q (see the list command)", opt.Scenario)
	}
	return sc.make(w, opt)
}

// apart makes another seed of the scenario's name, so that scenarios which share
// their first draws do not draw the same line with one seed: who trains on many
// takes them for independent.
func apart(seed uint64, scenario string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(scenario))
	return seed ^ h.Sum64()
}

func (sc Scenario) make(w io.Writer, opt Options) (*Truth, error) {
	if opt.Duration < 0 || opt.Duration > 7*24*time.Hour {
		return nil, fmt.Errorf("duration %v: want more than nothing and at most seven days", opt.Duration)
	}
	if opt.Duration == 0 {
		opt.Duration = sc.duration
	}
	if opt.Snaplen < 0 {
		return nil, fmt.Errorf("snaplen %d: want 0 or more", opt.Snaplen)
	}
	shape, err := parseEncap(opt.Encap)
	if err != nil {
		return nil, err
	}
	view, err := parseView(opt.View)
	if err != nil {
		return nil, err
	}
	switch opt.Vendor {
	case "", vendorNone, vendorPhone:
	default:
		return nil, fmt.Errorf("unknown vendor %q: want %s or %s", opt.Vendor, vendorNone, vendorPhone)
	}
	out, err := newSink(w, opt.Format, shape.linkType(), opt.Snaplen)
	if err != nil {
		return nil, err
	}
	s := newSim(opt, shape, view, out)
	if s.wide = sc.Class != ""; s.wide {
		s.seed = apart(opt.Seed, opt.Scenario)
	}
	s.hiding = sc.hiding
	sc.build(s)
	s.run()
	if err := out.close(); err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	return s.finish(opt), nil
}

// Homes are the networks that hold every subscriber line the lab can draw.
func Homes() []string {
	return []string{"203.0.113.0/24", "198.51.100.0/24", "100.64.0.0/10", "2001:db8:1::/48"}
}

// Places is the list of networks that an operator of the lab's country would
// have of the hosts beyond its tap: which are abroad, and which of those belong
// to a provider of servers for hire.
func Places() string {
	return `192.0.2.0/24 CN isp
192.0.2.192/26 CN hosting
198.18.0.0/16 US hosting
198.19.0.0/16 SG isp
2001:db8:800::/40 CN isp
2001:db8:f000::/36 SG hosting
`
}
