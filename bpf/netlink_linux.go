package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// The little of rtnetlink(7) that attaching needs: what a port is used for, and
// the clsact discipline with its filter.

// netlink is a socket in the network namespace in which it was made, whichever
// thread uses it later.
type netlink struct{ fd int }

func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	// The kernel answers at once or never.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up netlink: %w", err)
	}
	return &netlink{fd}, nil
}

func (n *netlink) close() { unix.Close(n.fd) }

// usedFor says what the machine itself uses the port for, in words; empty when it
// is bare. IPv6 link-local addresses, which every port that is up has, do not
// count, nor do the routes that come with them.
func (n *netlink) usedFor(ifindex int) (string, error) {
	links, err := n.dump(unix.RTM_GETLINK)
	if err != nil {
		return "", err
	}
	for _, m := range links {
		index := int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return "", fmt.Errorf("read a link: %w", err)
		}
		for _, a := range attrs {
			switch {
			case index == ifindex && a.Attr.Type == unix.IFLA_MASTER:
				return "it is part of a bridge or bond", nil
			case index != ifindex && a.Attr.Type == unix.IFLA_LINK && len(a.Value) >= 4 &&
				int(binary.NativeEndian.Uint32(a.Value)) == ifindex && stacked(attrs):
				return "another interface stands on it", nil
			}
		}
	}
	addrs, err := n.dump(unix.RTM_GETADDR)
	if err != nil {
		return "", err
	}
	for _, m := range addrs {
		if len(m.Data) < unix.SizeofIfAddrmsg || int(binary.NativeEndian.Uint32(m.Data[4:])) != ifindex {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return "", fmt.Errorf("read an address: %w", err)
		}
		for _, a := range attrs {
			if addr, ok := netip.AddrFromSlice(a.Value); ok && a.Attr.Type == unix.IFA_ADDRESS && !(addr.Is6() && addr.IsLinkLocalUnicast()) {
				return "it has the address " + addr.String(), nil
			}
		}
	}
	routes, err := n.dump(unix.RTM_GETROUTE)
	if err != nil {
		return "", err
	}
	for _, m := range routes {
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return "", fmt.Errorf("read a route: %w", err)
		}
		ours, to := false, ""
		for _, a := range attrs {
			switch a.Attr.Type {
			case unix.RTA_OIF:
				ours = len(a.Value) >= 4 && int(binary.NativeEndian.Uint32(a.Value)) == ifindex
			case unix.RTA_DST:
				if dst, ok := netip.AddrFromSlice(a.Value); ok {
					if dst.Is6() && (dst.IsLinkLocalUnicast() || dst.IsMulticast()) {
						to = "-"
						break
					}
					to = dst.String()
				}
			}
		}
		if ours && to != "-" {
			if to == "" {
				to = "everywhere"
			}
			return "it has a route to " + to, nil
		}
	}
	return "", nil
}

// stacked says whether a link whose IFLA_LINK names another one stands on it: a
// veth's only names its peer, which may have the same number in another namespace.
func stacked(attrs []syscall.NetlinkRouteAttr) bool {
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_LINK_NETNSID {
			return false
		}
		if a.Attr.Type != unix.IFLA_LINKINFO {
			continue
		}
		for b := a.Value; len(b) >= 4; {
			n, t := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
			if n < 4 || n > len(b) {
				break
			}
			if t == unix.IFLA_INFO_KIND && string(slices.Clone(b[4:n])) == "veth\x00" {
				return false
			}
			b = b[min(len(b), (n+3)&^3):]
		}
	}
	return true
}

// dump asks for all links, addresses or routes.
func (n *netlink) dump(what uint16) (out []syscall.NetlinkMessage, err error) {
	if err := n.send(what, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg)); err != nil {
		return nil, err
	}
	b := make([]byte, 64<<10)
	for {
		size, _, err := unix.Recvfrom(n.fd, b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("hear from netlink: %w", err)
		}
		ms, err := syscall.ParseNetlinkMessage(slices.Clone(b[:size]))
		if err != nil {
			return nil, fmt.Errorf("read links, addresses and routes: %w", err)
		}
		for _, m := range ms {
			switch {
			case m.Header.Type == unix.NLMSG_DONE:
				return out, nil
			case m.Header.Type == unix.NLMSG_ERROR:
				if len(m.Data) >= 4 {
					err = unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
				}
				return nil, fmt.Errorf("ask for links, addresses and routes: %w", err)
			case len(m.Data) >= 8:
				out = append(out, m)
			}
		}
	}
}

// linkType gives the ARPHRD_ type of a port.
func (n *netlink) linkType(ifindex int) (uint16, error) {
	links, err := n.dump(unix.RTM_GETLINK)
	if err != nil {
		return 0, err
	}
	for _, m := range links {
		if int(int32(binary.NativeEndian.Uint32(m.Data[4:]))) == ifindex {
			return binary.NativeEndian.Uint16(m.Data[2:]), nil
		}
	}
	return 0, unix.ENODEV
}

const (
	clsactHandle  = 0xffff0000
	clsactParent  = 0xfffffff1
	clsactIngress = 0xfffffff2
	// filterPriority is the place of our filter, always the same so that a restart
	// after a crash replaces the one left behind. Probing has one of its own.
	filterPriority = 0xbeef
	probePriority  = 0xbeee

	bpfFD     = 6 // TCA_BPF_FD and so on, linux/pkt_cls.h
	bpfName   = 7
	bpfFlags  = 8
	actDirect = 1
)

// clsact is the classic way to attach to TC: a filter in the clsact discipline.
type clsact struct {
	netlink  *netlink
	ifindex  int
	priority uint32
}

func attachClsAct(n *netlink, ifindex, fd int, priority uint32) (*clsact, error) {
	qdisc := tcMessage(ifindex, clsactHandle, clsactParent, 0)
	qdisc = attr(qdisc, unix.TCA_KIND, []byte("clsact\x00"))
	err := n.request(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, qdisc)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make the clsact discipline: %w", err)
	}
	var options []byte
	options = attr(options, bpfFD, binary.NativeEndian.AppendUint32(nil, uint32(fd)))
	options = attr(options, bpfName, []byte("simtrap\x00"))
	options = attr(options, bpfFlags, binary.NativeEndian.AppendUint32(nil, actDirect))
	filter := attr(attr(filterMessage(ifindex, priority), unix.TCA_KIND, []byte("bpf\x00")), unix.TCA_OPTIONS, options)
	if err := n.request(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, filter); err != nil {
		return nil, fmt.Errorf("make the filter: %w", err)
	}
	return &clsact{n, ifindex, priority}, nil
}

// Close takes the filter out. The discipline stays: somebody else may use it by
// now, and empty it costs nothing.
func (c *clsact) Close() error {
	err := c.netlink.request(unix.RTM_DELTFILTER, 0, attr(filterMessage(c.ifindex, c.priority), unix.TCA_KIND, []byte("bpf\x00")))
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove the filter: %w", err)
	}
	return nil
}

func filterMessage(ifindex int, priority uint32) []byte {
	var all [2]byte // protocols, in network order
	binary.BigEndian.PutUint16(all[:], unix.ETH_P_ALL)
	return tcMessage(ifindex, 1, clsactIngress, priority<<16|uint32(binary.NativeEndian.Uint16(all[:])))
}

func tcMessage(ifindex int, handle, parent, info uint32) []byte {
	b := make([]byte, 20)
	binary.NativeEndian.PutUint32(b[4:], uint32(ifindex))
	binary.NativeEndian.PutUint32(b[8:], handle)
	binary.NativeEndian.PutUint32(b[12:], parent)
	binary.NativeEndian.PutUint32(b[16:], info)
	return b
}

func attr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// send sends one message.
func (n *netlink) send(what, flags uint16, body []byte) error {
	b := make([]byte, 16, 16+len(body))
	binary.NativeEndian.PutUint32(b, uint32(16+len(body)))
	binary.NativeEndian.PutUint16(b[4:], what)
	binary.NativeEndian.PutUint16(b[6:], flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[8:], 1)
	if err := unix.Sendto(n.fd, append(b, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to netlink: %w", err)
	}
	return nil
}

// request sends one message and waits for its acknowledgement.
func (n *netlink) request(what, flags uint16, body []byte) error {
	if err := n.send(what, flags|unix.NLM_F_ACK, body); err != nil {
		return err
	}
	answer := make([]byte, 8192)
	size, _, err := unix.Recvfrom(n.fd, answer, 0)
	for errors.Is(err, unix.EINTR) {
		size, _, err = unix.Recvfrom(n.fd, answer, 0)
	}
	if err != nil {
		return fmt.Errorf("hear from netlink: %w", err)
	}
	if size < 20 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("netlink gave an unexpected answer")
	}
	if code := int32(binary.NativeEndian.Uint32(answer[16:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
