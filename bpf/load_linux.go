package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// load makes the maps and loads the programs that c.Mode may need, with the toggles of
// c: the verifier takes seconds for each on a slow machine.
func load(c *Config, ring bool) (*kernelObjects, error) {
	spec, err := loadKernel()
	if err != nil {
		return nil, fmt.Errorf("read the kernel programs: %w", err)
	}
	toggle := func(b bool) uint8 {
		if b {
			return 1
		}
		return 0
	}
	var types [128]kernelType
	for i, t := range c.Types {
		types[i] = kernelType{Rate: t.Rate, Side: uint32(toggle(t.Side))}
	}
	for name, value := range map[string]any{
		"gtp": toggle(c.GTP), "vxlan": toggle(c.VXLAN), "gre": toggle(c.GRE), "home": toggle(c.homes()),
		"ring": toggle(ring), "tunnel": toggle(!c.NoTunnels), "test": toggle(c.test), "dull_mask": c.dullMask(), "bench": c.bench,
		"sample": c.Sample, "first": c.First, "budget_source": c.PerSource,
		"budget_syn": c.SYN, "budget_hello": c.Hello, "budget_dns": c.DNS, "budget_http": c.HTTP,
		"budget_left": c.Left, "budget_first": c.FirstTotal, "budget_fragment": c.Fragments,
		"types": types,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	for name, n := range map[string]int{
		"flows4": c.Flows, "flows6": c.Flows6, "starts_seen": c.Starts, "sources": c.Sources, "lines": c.Sources, "follows": c.Follows,
		"ways": 2 * c.Tunnels, "bare": 4 * c.Tunnels,
	} {
		spec.Maps[name].MaxEntries = uint32(n)
	}
	if c.homes() {
		spec.Maps["homes"].MaxEntries = uint32(1 + len(c.Homes))
	}
	if c.test {
		spec.Maps["readings"].Flags |= unix.BPF_F_MMAPABLE
	}
	for name, n := range map[string]int{"interval_ring": c.intervalRing(false), "way_ring": c.wayRing(false)} {
		m := spec.Maps[name]
		if ring {
			m.MaxEntries = uint32(powerOfTwo(max(n, os.Getpagesize())))
		} else {
			// The program does not get there, but the map must exist.
			m.Type, m.KeySize, m.ValueSize, m.MaxEntries = ebpf.Array, 4, 4, 1
		}
	}
	assign := func() (*kernelObjects, error) {
		o := &kernelObjects{}
		var xdp struct {
			kernelMaps
			kernelVariables
			SimtrapXdp *ebpf.Program `ebpf:"simtrap_xdp"`
		}
		var tc struct {
			kernelMaps
			kernelVariables
			SimtrapTc *ebpf.Program `ebpf:"simtrap_tc"`
		}
		var err error
		switch c.Mode {
		case XDPNative, XDPGeneric:
			err = spec.LoadAndAssign(&xdp, nil)
			o.kernelMaps, o.kernelVariables, o.SimtrapXdp = xdp.kernelMaps, xdp.kernelVariables, xdp.SimtrapXdp
		case TCX, ClsAct:
			err = spec.LoadAndAssign(&tc, nil)
			o.kernelMaps, o.kernelVariables, o.SimtrapTc = tc.kernelMaps, tc.kernelVariables, tc.SimtrapTc
		default:
			err = spec.LoadAndAssign(o, nil)
		}
		return o, err
	}
	objects, err := assign()
	if errors.Is(err, unix.EPERM) && raiseMemlock() == nil { // Linux before 5.11 counts maps
		objects, err = assign()
	}
	if err != nil {
		return nil, fmt.Errorf("load the kernel programs: %w", err)
	}
	if c.homes() {
		if err := putHomes(objects.Homes, c.Homes); err != nil {
			objects.Close()
			return nil, err
		}
	}
	return objects, nil
}

// dullMask is the mask of the count of TCP's segments that is zero where a segment must
// not end at the first look.
func (c *Config) dullMask() uint64 {
	if c.test {
		return 0
	}
	return uint64(c.Sample) - 1
}

// putHomes tells the kernel of prefixes. IPv4 stands behind ::ffff:0:0/96 in its
// table, which says no unless a longer prefix, or that one itself, is among homes:
// ::/0 does not speak of IPv4.
func putHomes(m *ebpf.Map, homes []netip.Prefix) error {
	mapped := netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), 96)
	if err := m.Put(prefixOf(mapped), uint32(0)); err != nil {
		return fmt.Errorf("tell the kernel of IPv4: %w", err)
	}
	for _, p := range homes {
		if err := m.Put(prefixOf(p), uint32(1)); err != nil {
			return fmt.Errorf("tell the kernel of home %s: %w", p, err)
		}
	}
	return nil
}

func prefixOf(p netip.Prefix) (k kernelPrefix) {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	b := p.Masked().Addr().As16()
	k.Bits = uint32(bits)
	for i := range k.Addr {
		k.Addr[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return k
}

func raiseMemlock() error {
	return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
}

// haveRing says whether the kernel has the BPF ring buffer.
func haveRing() bool { return features.HaveMapType(ebpf.RingBuf) == nil }
