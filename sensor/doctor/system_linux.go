package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"
)

// Machine is the machine that the program runs on. GroupLimit gives the limit
// of its control group.
type Machine struct{ GroupLimit func() int64 }

// Link asks the kernel over netlink: /sys may be that of another network
// namespace.
func (Machine) Link(name string) (Link, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return Link{}, errors.New("there is no such interface")
	}
	l := Link{Index: i.Index, MTU: i.MTU, Up: i.Flags&net.FlagUp != 0, Carrier: i.Flags&net.FlagRunning != 0}
	addresses, err := i.Addrs()
	if err != nil {
		return l, err
	}
	for _, a := range addresses {
		// An address that every interface has by itself says nothing.
		if n, ok := a.(*net.IPNet); ok && n.IP.IsLinkLocalUnicast() {
			continue
		}
		l.Addresses = append(l.Addresses, a.String())
	}
	if err := l.attributes(); err != nil {
		return l, err
	}
	return l, l.routes()
}

func (l *Link) attributes() error {
	b, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	for i := range messages {
		m := &messages[i]
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg || int(binary.NativeEndian.Uint32(m.Data[4:])) != l.Index {
			continue
		}
		l.Type = binary.NativeEndian.Uint16(m.Data[2:])
		attributes, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		for _, a := range attributes {
			switch a.Attr.Type &^ unix.NLA_F_NESTED {
			case unix.IFLA_PROMISCUITY:
				l.Promisc = int(word(a.Value))
			case unix.IFLA_NUM_RX_QUEUES:
				l.RxQueues = int(word(a.Value))
			case unix.IFLA_XDP:
				l.XDP = xdpProgram(a.Value)
			}
		}
		return nil
	}
	return errors.New("the kernel does not tell of it")
}

func word(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// xdpProgram finds the number of the program among the attributes.
func xdpProgram(b []byte) uint32 {
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return 0
	}
	for d.Next() {
		if d.Type() == unix.IFLA_XDP_PROG_ID {
			return d.Uint32()
		}
	}
	return 0
}

// routes counts the routes over the interface, but for those that every
// interface has by itself.
func (l *Link) routes() error {
	b, err := syscall.NetlinkRIB(unix.RTM_GETROUTE, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	for i := range messages {
		m := &messages[i]
		if m.Header.Type != unix.RTM_NEWROUTE || len(m.Data) < unix.SizeofRtMsg || m.Data[7] != unix.RTN_UNICAST {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		here, local := false, false
		for _, a := range attributes {
			switch a.Attr.Type {
			case unix.RTA_OIF:
				here = int(word(a.Value)) == l.Index
			case unix.RTA_DST:
				ip := net.IP(a.Value)
				local = ip.IsLinkLocalUnicast() || ip.IsMulticast()
			}
		}
		if here && !local {
			l.Routes++
		}
	}
	return nil
}

// tool asks over the ioctl of ethtool.
func tool[T any](f func(*ethtool.Ethtool) (T, error)) (T, error) {
	e, err := ethtool.NewEthtool()
	if err != nil {
		var none T
		return none, err
	}
	defer e.Close()
	return f(e)
}

// Features gives the offloads by the kernel's names.
func (Machine) Features(name string) (map[string]bool, error) {
	return tool(func(e *ethtool.Ethtool) (map[string]bool, error) { return e.Features(name) })
}

// Rings gives the size of the receive ring.
func (Machine) Rings(name string) (Rings, error) {
	return tool(func(e *ethtool.Ethtool) (Rings, error) {
		r, err := e.GetRing(name)
		return Rings{r.RxPending, r.RxMaxPending}, err
	})
}

// Channels gives the number of receive queues.
func (Machine) Channels(name string) (Channels, error) {
	return tool(func(e *ethtool.Ethtool) (Channels, error) {
		c, err := e.GetChannels(name)
		return Channels{c.RxCount + c.CombinedCount, c.MaxRx + c.MaxCombined, c.MaxCombined > 0}, err
	})
}

// Counters gives the driver's own.
func (Machine) Counters(name string) (map[string]uint64, error) {
	return tool(func(e *ethtool.Ethtool) (map[string]uint64, error) { return e.Stats(name) })
}

// Driver names the driver.
func (Machine) Driver(name string) (string, error) {
	return tool(func(e *ethtool.Ethtool) (string, error) { return e.DriverName(name) })
}

// XDP asks the family "netdev" of generic netlink (Linux 6.3).
func (Machine) XDP(index int) (uint64, error) {
	const (
		devGet      = 1 // NETDEV_CMD_DEV_GET
		ifindex     = 1 // NETDEV_A_DEV_IFINDEX
		xdpFeatures = 3 // NETDEV_A_DEV_XDP_FEATURES
	)
	c, err := genetlink.Dial(nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return 0, err
	}
	family, err := c.GetFamily("netdev")
	if err != nil {
		return 0, errors.New("no family netdev")
	}
	e := netlink.NewAttributeEncoder()
	e.Uint32(ifindex, uint32(index))
	data, err := e.Encode()
	if err != nil {
		return 0, err
	}
	answers, err := c.Execute(genetlink.Message{Header: genetlink.Header{Command: devGet, Version: family.Version}, Data: data}, family.ID, netlink.Request)
	if err != nil {
		return 0, err
	}
	for _, a := range answers {
		d, err := netlink.NewAttributeDecoder(a.Data)
		if err != nil {
			return 0, err
		}
		for d.Next() {
			if d.Type() == xdpFeatures {
				return d.Uint64(), nil
			}
		}
	}
	return 0, errors.New("no answer of that kind")
}

// LoadXDP loads the smallest program.
func (Machine) LoadXDP() error { return features.HaveProgramType(ebpf.XDP) }

// Clock asks how well the clock is kept.
func (Machine) Clock() (Clock, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}, err
	}
	return Clock{Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, MaxError: time.Duration(t.Maxerror) * time.Microsecond}, nil
}

// Capabilities gives those in effect.
func (Machine) Capabilities() (uint64, error) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return 0, err
	}
	return uint64(d[0].Effective) | uint64(d[1].Effective)<<32, nil
}

// MemoryLimit gives the limit of the control group, and the machine's memory.
func (m Machine) MemoryLimit() (group, machine int64, err error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, 0, err
	}
	return m.GroupLimit(), int64(info.Totalram) * int64(info.Unit), nil
}

// Free looks at the nearest folder above path that is there.
func (Machine) Free(path string) (free, total uint64, err error) {
	for {
		var s unix.Statfs_t
		err := unix.Statfs(path, &s)
		if err == nil {
			return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
		}
		up := filepath.Dir(path)
		if up == path || !errors.Is(err, fs.ErrNotExist) {
			return 0, 0, err
		}
		path = up
	}
}

// Root is the root of the file system.
func (Machine) Root() fs.FS { return os.DirFS("/") }
