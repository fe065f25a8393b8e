//go:build linux

package afpacket

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"simtrap/capture"
)

// A link is how the frames of an interface begin.
type link struct {
	kind     capture.LinkType
	network  bool // frames are given from their network header on
	loopback bool // what is sent comes in again
}

// linkOf tells how frames begin on an interface of a hardware type (ARPHRD_*).
// Tunnels and PPP carry IP behind headers that differ from driver to driver, or
// none; the kernel knows where IP begins.
func linkOf(hardware uint16) (link, bool) {
	switch hardware {
	case unix.ARPHRD_ETHER:
		return link{kind: capture.LinkEthernet}, true
	case unix.ARPHRD_LOOPBACK:
		return link{kind: capture.LinkEthernet, loopback: true}, true
	case unix.ARPHRD_NONE, unix.ARPHRD_RAWIP, unix.ARPHRD_PPP, unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6,
		unix.ARPHRD_SIT, unix.ARPHRD_IPGRE, unix.ARPHRD_IP6GRE:
		return link{kind: capture.LinkRaw, network: true}, true
	}
	return link{}, false
}

// LinkTypeError says that the frames of an interface are of a kind that is not
// decoded.
type LinkTypeError struct {
	Hardware uint16 // ARPHRD_ value of the interface
}

// Error names the hardware type.
func (e *LinkTypeError) Error() string {
	return fmt.Sprintf("hardware type %d (ARPHRD) is not decoded", e.Hardware)
}

// errDown says that an interface is there but cannot be captured on before it
// is up.
var errDown = errors.New("the interface is down")

// problem names the remedy for what doing something with interface name gave.
func problem(name, doing string, err error) *capture.InputError {
	e := &capture.InputError{Name: name, Problem: fmt.Sprintf("%s: %v", doing, err), Err: err}
	var hardware *LinkTypeError
	switch {
	case errors.As(err, &hardware):
		e.Problem = hardware.Error()
		e.Remedy = "name an Ethernet, raw IP, tunnel or PPP interface (ip -d link shows what there is)"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Remedy = "run as root or with CAP_NET_RAW (AmbientCapabilities= in the unit)"
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		e.Problem, e.Remedy = "no such interface", "ip link lists what there is"
	case errors.Is(err, unix.ENOMEM):
		e.Remedy = "give the ring less memory, or the machine or its cgroup more"
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.ENOPROTOOPT):
		e.Remedy = "a kernel with CONFIG_PACKET and TPACKET_V3 (3.2 or later) is needed"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		e.Remedy = "raise the limit of open files (LimitNOFILE= in the unit)"
	case errors.Is(err, errDown):
		e.Problem, e.Remedy = errDown.Error(), fmt.Sprintf("ip link set dev %s up", name)
	default:
		e.Remedy = "see whether another program has taken the interface, and what the kernel log says"
	}
	return e
}
