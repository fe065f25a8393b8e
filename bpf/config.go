package bpf

import (
	"fmt"
	"net/netip"

	"simtrap/rtp"
)

// Config says how a port is looked at. The zero value of every field means its
// default.
type Config struct {
	// Port is the number of the tap port, from 1: Batch.Source, Frame.Port and
	// Flow.TapPort.
	Port uint16
	// Mode is how to attach; Auto tries XDPNative, XDPGeneric, TCX and ClsAct.
	Mode Mode
	// Keep says that frames are passed on to the machine's own network even from a
	// bare port. From a port with an address or a route they always are.
	Keep bool

	// The tunnels that the kernel looks into.
	GTP, VXLAN, GRE bool
	// Homes are where the ends of tunnels may lie that the kernel does not look
	// into, whose frames it leaves to user space: subscribers' addresses, since
	// what comes out of a tunnel that one of them holds is his, whatever addresses
	// stand inside. At most 65536 prefixes; none of IPv6 speaks of IPv4.
	Homes []netip.Prefix

	// NoTunnels leaves flows of which nothing can be read uncounted.
	NoTunnels bool

	Types rtp.Types // zero means rtp.DefaultTypes

	Flows   int // records of media over IPv4, default 131072
	Flows6  int // over IPv6, default a quarter of Flows
	Starts  int // first packets of flows, default half of Flows
	Sources int // senders and lines with a budget, default 16384
	Tunnels int // flows whose packets are counted though nothing can be read, default 1024
	Follows int // TCP connections followed, default 8192

	FrameRing    int // bytes per CPU for frames, default 1 MiB
	IntervalRing int // bytes for intervals (per CPU without the ring buffer), default 8 MiB (1 MiB)

	// PerfIntervals sends intervals through a perf event array though the kernel
	// has a ring buffer.
	PerfIntervals bool

	// Budgets in about a second; see docs/bpf.md.
	PerSource                   uint32 // frames of one sender, default 4096
	SYN, Hello, DNS, HTTP       uint32 // of one line, default 8, 4, 8, 8
	Left, FirstTotal, Fragments uint32 // on one CPU, default 1024, 8192, 8192
	First                       uint32 // datagrams at the start of a flow, default 96, at most 254
	Sample                      uint32 // one in so many frames goes up, rounded up to a power of two; 0 none

	live  bool   // in a test, not test
	test  bool   // the clock is set by hand, what was read is told
	bench uint32 // one more than the power of two of flows in the measurement of costs
}

const (
	maxFlows   = 1 << 22
	maxTunnels = 1 << 16
	maxRing    = 1 << 28
	maxHomes   = 1 << 16
)

func (c *Config) fill() error {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&c.Flows, 131072)
	set(&c.Flows6, max(c.Flows/4, 1024))
	set(&c.Starts, max(c.Flows/2, 1024))
	set(&c.Sources, 16384)
	set(&c.Follows, 8192)
	set(&c.Tunnels, 1024)
	set(&c.FrameRing, 1<<20)
	for _, v := range []struct {
		name     string
		n, least int
		most     int
	}{
		{"flows", c.Flows, 1, maxFlows}, {"flows of IPv6", c.Flows6, 1, maxFlows}, {"starts", c.Starts, 1, maxFlows}, {"sources", c.Sources, 1, maxFlows},
		{"follows", c.Follows, 1, maxFlows}, {"tunnels", c.Tunnels, 1, maxTunnels}, {"frame ring", c.FrameRing, 64 << 10, maxRing}, {"interval ring", c.IntervalRing, 0, maxRing},
		{"home prefixes", len(c.Homes), 0, maxHomes},
	} {
		if v.n < v.least || v.n > v.most {
			return fmt.Errorf("%s: %d: want %d to %d", v.name, v.n, v.least, v.most)
		}
	}
	for _, p := range c.Homes {
		if !p.IsValid() {
			return fmt.Errorf("home prefixes: one is none: %v", p)
		}
	}
	for _, v := range []struct {
		v   *uint32
		def uint32
	}{
		{&c.PerSource, 4096}, {&c.SYN, 8}, {&c.Hello, 4}, {&c.DNS, 8}, {&c.HTTP, 8},
		{&c.Left, 1024}, {&c.FirstTotal, 8192}, {&c.Fragments, 8192}, {&c.First, 96},
	} {
		if *v.v == 0 {
			*v.v = v.def
		}
	}
	if c.Types == (rtp.Types{}) {
		c.Types = rtp.DefaultTypes()
	}
	for i := range c.Types {
		c.Types[i].Rate = min(c.Types[i].Rate, 1e6)
	}
	c.First = min(c.First, 254)
	if c.Sample > 0 {
		n := uint32(1)
		for n < c.Sample && n < 1<<31 {
			n <<= 1
		}
		c.Sample = n
	}
	return nil
}

// Memory estimates how many bytes of kernel memory the maps and rings of c take
// on a machine with cpus CPUs. The kernel's own figure is a little different.
func (c Config) Memory(cpus int) (int64, error) {
	if err := c.fill(); err != nil {
		return 0, err
	}
	const element = 64 // htab_elem and LRU node, before key and value
	round := func(n int64) int64 { return (n + 7) &^ 7 }
	hash := func(n, key, value int) int64 {
		buckets := int64(1)
		for buckets < int64(n) {
			buckets <<= 1
		}
		return int64(n)*(element+round(int64(key))+round(int64(value))) + 16*buckets
	}
	bytes := hash(c.Flows, 12, flowSize) + hash(c.Flows6, keySize, flowSize) + hash(c.Starts, keySize, 8) +
		hash(c.Sources, 16, 8) + hash(c.Sources, 16, 16) + hash(c.Follows, keySize, 4) +
		hash(2*c.Tunnels, wayKeySize, waySize) + hash(4*c.Tunnels, wayKeySize, 4)
	if c.homes() {
		bytes += int64(1+len(c.Homes)) * 2 * homeSize
	}
	bytes += int64(cpus) * int64(c.FrameRing+8*numCounters+4096)
	if c.PerfIntervals {
		bytes += int64(cpus) * int64(c.intervalRing(true)+c.wayRing(true))
	} else {
		bytes += int64(c.intervalRing(false) + c.wayRing(false))
	}
	return bytes, nil
}

// homes says whether the kernel has to know the ends of tunnels.
func (c *Config) homes() bool { return (c.GTP || c.VXLAN || c.GRE) && len(c.Homes) > 0 }

func (c *Config) intervalRing(perf bool) int {
	switch {
	case c.IntervalRing != 0:
		return c.IntervalRing
	case perf:
		return 1 << 20
	}
	return 8 << 20
}

// wayRing is how many bytes the ring has in which intervals of tunnels come: all begin
// and end at once, so that it has room for one of each, where it is one CPU's for a
// quarter.
func (c *Config) wayRing(perf bool) int {
	n := powerOfTwo(2 * c.Tunnels * (waySize + 8))
	if perf {
		n /= 4
	}
	return max(n, 1<<16)
}

// Sizes of what the kernel's tables hold, bytes.
const (
	keySize    = 36
	wayKeySize = 40
	waySize    = 344
	flowSize   = 256
	homeSize   = 64 // a node of the tree, of which there are at most twice as many as prefixes
)

func powerOfTwo(n int) int {
	p := 1
	for p < n {
		p <<= 1
	}
	return p
}
