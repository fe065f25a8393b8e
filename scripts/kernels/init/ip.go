//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ip does the commands of ip(8) that the tests give: a pair of veth, links up, down
// and deleted, addresses.
func ip(args []string) error {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	match := func(pattern string) (holes []string, ok bool) {
		words := strings.Fields(pattern)
		if len(words) != len(args) {
			return nil, false
		}
		for i, w := range words {
			if w == "_" {
				holes = append(holes, args[i])
			} else if w != args[i] {
				return nil, false
			}
		}
		return holes, true
	}
	if h, ok := match("link add _ type veth peer name _"); ok {
		return addVeth(c, h[0], h[1])
	}
	if h, ok := match("link set _ up"); ok {
		return changeLink(c, unix.RTM_NEWLINK, h[0], unix.IFF_UP)
	}
	if h, ok := match("link set _ down"); ok {
		return changeLink(c, unix.RTM_NEWLINK, h[0], 0)
	}
	if h, ok := match("link del _"); ok {
		return changeLink(c, unix.RTM_DELLINK, h[0], 0)
	}
	if h, ok := match("addr add _ dev _"); ok {
		return addAddress(c, h[0], h[1])
	}
	return fmt.Errorf("%q is not among the commands that this ip knows", strings.Join(args, " "))
}

func ask(c *netlink.Conn, kind netlink.HeaderType, flags netlink.HeaderFlags, head []byte, attrs func(*netlink.AttributeEncoder)) error {
	e := netlink.NewAttributeEncoder()
	attrs(e)
	b, err := e.Encode()
	if err != nil {
		return err
	}
	_, err = c.Execute(netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request | netlink.Acknowledge | flags},
		Data:   append(head, b...),
	})
	return err
}

// linkHead is struct ifinfomsg; only IFF_UP is changed.
func linkHead(index int, flags uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], unix.IFF_UP)
	return b
}

func addVeth(c *netlink.Conn, name, peer string) error {
	const infoPeer = 1 // VETH_INFO_PEER
	return ask(c, unix.RTM_NEWLINK, netlink.Create|netlink.Excl, linkHead(0, 0), func(e *netlink.AttributeEncoder) {
		e.String(unix.IFLA_IFNAME, name)
		e.Nested(unix.IFLA_LINKINFO, func(e *netlink.AttributeEncoder) error {
			e.String(unix.IFLA_INFO_KIND, "veth")
			e.Nested(unix.IFLA_INFO_DATA, func(e *netlink.AttributeEncoder) error {
				e.Do(infoPeer, func() ([]byte, error) {
					in := netlink.NewAttributeEncoder()
					in.String(unix.IFLA_IFNAME, peer)
					b, err := in.Encode()
					return append(linkHead(0, 0), b...), err
				})
				return nil
			})
			return nil
		})
	})
}

func changeLink(c *netlink.Conn, kind netlink.HeaderType, name string, flags uint32) error {
	port, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return ask(c, kind, 0, linkHead(port.Index, flags), func(*netlink.AttributeEncoder) {})
}

func addAddress(c *netlink.Conn, prefix, name string) error {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		return err
	}
	if !p.Addr().Is4() {
		return errors.New("only IPv4 addresses can be added")
	}
	port, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	head := make([]byte, unix.SizeofIfAddrmsg) // struct ifaddrmsg
	head[0], head[1] = unix.AF_INET, uint8(p.Bits())
	binary.NativeEndian.PutUint32(head[4:], uint32(port.Index))
	return ask(c, unix.RTM_NEWADDR, netlink.Create|netlink.Excl, head, func(e *netlink.AttributeEncoder) {
		e.Bytes(unix.IFA_LOCAL, p.Addr().AsSlice())
		e.Bytes(unix.IFA_ADDRESS, p.Addr().AsSlice())
	})
}
