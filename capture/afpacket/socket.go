//go:build linux

package afpacket

import "golang.org/x/sys/unix"

// networkAll is ETH_P_ALL in network order, whatever the machine's.
const networkAll = uint16(unix.ETH_P_ALL&0xff<<8 | unix.ETH_P_ALL>>8)

// refuseAll is a filter that keeps nothing.
func refuseAll() []unix.SockFilter {
	return []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
}

// keepFilter keeps snap bytes of every frame. What a loopback sends comes in
// again, so there only the second is kept.
func keepFilter(snap uint32, loopback bool) []unix.SockFilter {
	keep := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: snap}
	if !loopback {
		return []unix.SockFilter{keep}
	}
	const packetType = 1<<32 - 0x1000 + 4 // SKF_AD_OFF + SKF_AD_PKTTYPE
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: packetType},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.PACKET_OUTGOING, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K},
		keep,
	}
}

func setFilter(fd int, f []unix.SockFilter) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]})
}

// listen begins to listen to the interface with that index.
func listen(fd, index int, promiscuous bool) error {
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkAll, Ifindex: index}); err != nil {
		return err
	}
	if !promiscuous {
		return nil
	}
	// It ends with the interface, and with the socket.
	return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, promisc(index))
}

func promisc(index int) *unix.PacketMreq {
	return &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
}

// bound gives the index of the interface that the socket listens to, -1 when it
// is gone, and its hardware type.
func bound(fd int) (index int, hardware uint16, err error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, 0, err
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	if !ok {
		return 0, 0, unix.EINVAL
	}
	return ll.Ifindex, ll.Hatype, nil
}

// indexOf finds the interface in the socket's namespace, which need not be that
// of the calling thread.
func indexOf(fd int, name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, unix.ENODEV // no interface has a name so long
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, err
	}
	return int(int32(req.Uint32())), nil
}

// isUp tells whether an interface is up, whatever its name is by now.
func isUp(fd, index int) (bool, error) {
	req, err := unix.NewIfreq("any") // the kernel writes the name
	if err != nil {
		return false, err
	}
	req.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, req); err != nil {
		return false, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return false, err
	}
	return req.Uint16()&unix.IFF_UP != 0, nil
}

// failure takes the pending error of the socket.
func failure(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return unix.Errno(n)
	}
	return nil
}

// join puts the socket into a fanout group, a new one if id is negative.
func (r *ring) join(id, mode int) (int, error) {
	err := r.control(func(fd int) error {
		if id >= 0 {
			return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, id|mode<<16)
		}
		// The kernel chooses one that no other program uses.
		all := (mode | unix.PACKET_FANOUT_FLAG_UNIQUEID) << 16
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, all); err != nil {
			return err
		}
		v, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
		id = v & 0xffff
		return err
	})
	return id, err
}

// drops gives how many frames found the ring full, since the last call.
func (r *ring) drops() uint64 {
	var n uint64
	// A socket that is closed was asked before it was.
	_ = r.control(func(fd int) error {
		st, err := unix.GetsockoptTpacketStatsV3(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil {
			n = uint64(st.Drops)
		}
		return err
	})
	return n
}

// control runs f with the socket, which is not closed meanwhile.
func (r *ring) control(f func(fd int) error) error {
	var inner error
	if err := r.conn.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// close stops capturing. As long as batches point into the ring its mapping
// keeps the socket alive: closing alone would leave it listening, and the
// interface promiscuous.
func (r *ring) close() {
	_ = r.control(func(fd int) error {
		if index, _, e := bound(fd); e == nil && index > 0 {
			// Refused where it was not asked for.
			_ = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_DROP_MEMBERSHIP, promisc(index))
		}
		return setFilter(fd, refuseAll())
	})
	_ = r.file.Close()
	r.drop()
}
