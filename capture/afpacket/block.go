//go:build linux

package afpacket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"simtrap/capture"
)

// Where things are in a block of a TPACKET_V3 ring: tpacket_block_desc and the
// tpacket3_hdr of each frame, of linux/if_packet.h. A test holds them to the
// structures of x/sys.
const (
	blockStatus = 8
	blockCount  = 12
	blockFirst  = 16
	blockHeader = 48

	frameNext   = 0
	frameSec    = 4
	frameNsec   = 8
	frameSnap   = 12
	frameLen    = 16
	frameStatus = 20
	frameMac    = 24
	frameNet    = 26
	frameTCI    = 32
	frameTPID   = 36
	frameHeader = 48
)

const (
	tagLen    = 4
	addresses = 12 // of an Ethernet frame, before its first tag
	dot1Q     = 0x8100
)

// A walker reads blocks. The kernel wrote them, but nothing in them is believed
// without looking: a frame outside its block would be memory of somebody else.
type walker struct {
	link  link
	port  uint16
	clock clock

	malformed uint64 // frames that were not where the block said
	bytes     uint64
}

// walk appends the frames of one block to dst. It writes to the block: a VLAN
// tag that the kernel took out goes back to its place, with the addresses
// moved down into the header of the frame, which has been read by then. So
// nothing is copied, and no headroom has to be asked for (PACKET_RESERVE).
func (w *walker) walk(block []byte, dst []capture.Frame) []capture.Frame {
	if len(block) < blockHeader {
		return dst
	}
	count := u32(block, blockCount)
	at := uint64(u32(block, blockFirst))
	for i := range count {
		f, next, ok := w.frame(block, at)
		if !ok {
			// What lies beyond cannot be found.
			w.malformed += uint64(min(count-i, uint32(len(block)/frameHeader)))
			break
		}
		w.bytes += uint64(f.Len)
		dst = append(dst, f)
		if next < frameHeader && i+1 < count {
			w.malformed += uint64(min(count-i-1, uint32(len(block)/frameHeader)))
			break
		}
		at += uint64(next)
	}
	return dst
}

// frame reads the frame whose header is at at, and tells how far away the next
// header is.
func (w *walker) frame(block []byte, at uint64) (f capture.Frame, next uint32, ok bool) {
	if at < blockHeader || at+frameHeader > uint64(len(block)) {
		return f, 0, false
	}
	h := block[at : at+frameHeader]
	next = u32(h, frameNext)
	begin, snap, wire := uint64(u16(h, frameMac)), uint64(u32(h, frameSnap)), u32(h, frameLen)
	if w.link.network {
		// What stands before the network header differs from driver to driver.
		net := uint64(u16(h, frameNet))
		if net < begin || net-begin > snap {
			return f, 0, false
		}
		cut := uint32(net - begin)
		begin, snap, wire = net, snap-uint64(cut), wire-min(wire, cut)
	}
	if begin < frameHeader || at+begin+snap > uint64(len(block)) {
		return f, 0, false
	}
	begin += at
	f.Time = w.clock.at(u32(h, frameSec), u32(h, frameNsec))
	if status := u32(h, frameStatus); status&unix.TP_STATUS_VLAN_VALID != 0 && !w.link.network && snap >= addresses {
		tci, tpid := uint16(u32(h, frameTCI)), uint16(dot1Q)
		if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = u16(h, frameTPID)
		}
		copy(block[begin-tagLen:], block[begin:begin+addresses])
		begin -= tagLen
		binary.BigEndian.PutUint16(block[begin+addresses:], tpid)
		binary.BigEndian.PutUint16(block[begin+addresses+2:], tci)
		snap += tagLen
		wire += min(tagLen, ^uint32(0)-wire)
	}
	f.Off, f.Len, f.Wire = uint32(begin), uint32(snap), max(wire, uint32(snap))
	f.Link, f.Port = w.link.kind, w.port
	return f, next, true
}

func u16(b []byte, at int) uint16 { return binary.NativeEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
