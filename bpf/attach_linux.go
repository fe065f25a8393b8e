package bpf

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// UnsupportedError says why a way to attach is not to be had on this machine.
type UnsupportedError struct {
	Mode      Mode
	Interface string
	Missing   string // what is not there
	Since     string // which kernel has it, or what else mends it
	Err       error  // what the kernel said
}

// Error gives one line: mode, port, what is missing, what has it.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%v on %s: %s; %s", e.Mode, e.Interface, e.Missing, e.Since)
}

// Unwrap gives what the kernel said.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// chain is in which order Auto tries the modes.
func chain() []Mode { return []Mode{XDPNative, XDPGeneric, TCX, ClsAct} }

// Support says whether a port takes a mode: Err is nil, or why not.
type Support struct {
	Mode Mode
	Err  error
}

// Probe tries every mode on a port with programs that pass everything, and takes
// them out at once. Some drivers interrupt the link for it when XDP is attached.
// ring says whether the kernel has the BPF ring buffer.
func Probe(name string) (modes []Support, ring bool, err error) {
	port, err := net.InterfaceByName(name)
	if err != nil {
		return nil, false, fmt.Errorf("%s: no such port: %w", name, err)
	}
	n, err := openNetlink()
	if err != nil {
		return nil, false, err
	}
	defer n.close()
	xdp, err := passing(ebpf.XDP, 2)
	if err != nil {
		return nil, false, err
	}
	defer xdp.Close()
	tc, err := passing(ebpf.SchedCLS, -1)
	if err != nil {
		return nil, false, err
	}
	defer tc.Close()
	for _, m := range chain() {
		l, err := attach(xdp, tc, n, m, name, port.Index, probePriority)
		if err == nil {
			err = l.Close()
		}
		modes = append(modes, Support{m, err})
	}
	return modes, haveRing(), nil
}

// passing makes a program that does nothing but to return a verdict.
func passing(t ebpf.ProgramType, verdict int32) (*ebpf.Program, error) {
	spec := &ebpf.ProgramSpec{Type: t, License: "Dual BSD/GPL", Instructions: asm.Instructions{asm.Mov.Imm32(asm.R0, verdict), asm.Return()}}
	p, err := ebpf.NewProgram(spec)
	if errors.Is(err, unix.EPERM) && raiseMemlock() == nil {
		p, err = ebpf.NewProgram(spec)
	}
	if err != nil {
		return nil, fmt.Errorf("load a program: %w", err)
	}
	return p, nil
}

// attach attaches the programs to a port in one mode.
func attach(xdp, tc *ebpf.Program, n *netlink, m Mode, name string, ifindex int, priority uint32) (io.Closer, error) {
	var l io.Closer
	var err error
	switch m {
	case XDPNative:
		l, err = link.AttachXDP(link.XDPOptions{Program: xdp, Interface: ifindex, Flags: link.XDPDriverMode})
	case XDPGeneric:
		l, err = link.AttachXDP(link.XDPOptions{Program: xdp, Interface: ifindex, Flags: link.XDPGenericMode})
	case TCX:
		l, err = link.AttachTCX(link.TCXOptions{Program: tc, Interface: ifindex, Attach: ebpf.AttachTCXIngress})
	case ClsAct:
		l, err = attachClsAct(n, ifindex, tc.FD(), priority)
	default:
		return nil, fmt.Errorf("%v is no way to attach", m)
	}
	if err != nil {
		return nil, unsupported(m, name, err)
	}
	return l, nil
}

// promiscuous makes a port take the frames of all addresses, as a tap's are of others:
// a card passes on only what is for itself, and programs do not change that. The port
// does so until the socket is closed, by whatever ends the process too; nothing comes
// out of the socket, which listens to no protocol (packet(7)).
func promiscuous(ifindex int) (io.Closer, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("%w: give CAP_NET_RAW", err)
	}
	if err != nil {
		return nil, err
	}
	err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC})
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "promiscuous"), nil
}

// unsupported gives the words for what the kernel answered.
func unsupported(m Mode, name string, err error) error {
	e := &UnsupportedError{Mode: m, Interface: name, Err: err}
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		e.Missing = "the right to attach programs"
		e.Since = "give CAP_BPF and CAP_NET_ADMIN (CAP_SYS_ADMIN before Linux 5.8)"
	case errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST):
		e.Missing = "a free place: another program is attached"
		e.Since = "detach it (ip link set " + name + " xdp off), or choose tcx, which shares"
	case m == XDPNative && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTSUP)):
		e.Missing = "XDP in the port's driver"
		e.Since = "mlx5 has it since Linux 4.9, virtio_net 4.10, ixgbe 4.12, i40e 4.13, veth 4.19, ice 5.5, igb 5.10, igc 5.13; xdp-generic needs no driver"
	case m == XDPNative && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE)) && haveXDPLink() == nil:
		e.Missing = "room in the port's ring for XDP: its MTU is too large, or its offloads are in the way"
		e.Since = "lower the MTU below a page (ip link set " + name + " mtu 3498), switch LRO off, or choose xdp-generic"
	case m == XDPNative || m == XDPGeneric:
		e.Missing = "links of XDP programs"
		e.Since = "Linux 5.9 has them"
	case m == TCX:
		e.Missing = "TCX"
		e.Since = "Linux 6.6 has it; clsact is older"
	default:
		e.Missing = "the clsact discipline or its BPF filter"
		e.Since = "Linux 4.5 has them, built with NET_SCH_INGRESS and NET_CLS_BPF"
	}
	e.Missing += fmt.Sprintf(" (%v)", err)
	return e
}

// haveXDPLink says whether the kernel knows XDP programs; the link is asked for
// by attaching.
func haveXDPLink() error { return features.HaveProgramType(ebpf.XDP) }
