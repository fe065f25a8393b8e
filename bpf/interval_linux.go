package bpf

import (
	"encoding/binary"

	"simtrap/ident"
	"simtrap/rtp"
)

// flowOf reads a key of the kernel's tables, which is in network byte order.
func flowOf(k *kernelKey, port uint16) rtp.Flow {
	return rtp.Flow{
		Src: addrOf(&k.Src), Dst: addrOf(&k.Dst),
		SrcPort: network16(k.Sport), DstPort: network16(k.Dport),
		TapPort: port,
	}
}

func addrOf(a *[4]uint32) ident.Addr {
	var b [16]byte
	for i, w := range a {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	return ident.AddrFrom16(b[:])
}

func network16(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}

// keyOf is the reverse of flowOf.
func keyOf(f *rtp.Flow) (k kernelKey) {
	for _, end := range [...]struct {
		addr ident.Addr
		to   *[4]uint32
	}{{f.Src, &k.Src}, {f.Dst, &k.Dst}} {
		b := end.addr.As16()
		for j := range end.to {
			end.to[j] = binary.NativeEndian.Uint32(b[4*j:])
		}
	}
	k.Sport, k.Dport = network16(f.SrcPort), network16(f.DstPort)
	return k
}

// intervalOf gives a closed record of the kernel as everybody else knows it.
func intervalOf(v *kernelInterval, port uint16) rtp.Interval {
	return rtp.Interval{
		Flow:  flowOf(&v.Key, port),
		Epoch: int64(v.Epoch), First: int64(v.First), Last: int64(v.Last),
		Start:  rtp.Sample{Arrival: int64(v.StartArrival), Timestamp: v.StartTimestamp},
		Least:  rtp.Sample{Arrival: int64(v.LeastArrival), Timestamp: v.LeastTimestamp},
		MaxGap: int64(v.MaxGap),
		Number: v.Number, SSRC: v.Ssrc, Rate: v.Rate, Step: v.Step, Jitter: v.Jitter, Bytes: v.Bytes, Lost: v.Lost,
		Packets: v.Packets, Duplicates: v.Duplicates, Source: v.Source, Others: v.Others, RTCP: v.Rtcp,
		InStep: v.InStep, Skips: v.Skips, Late: v.Late, Jumps: v.Jumps, Timed: v.Timed, Untimed: v.Untimed, Breaks: v.Breaks,
		Events: v.Events, Sides: v.Sides, Keys: v.Keys, Marks: v.Marks,
		Sizes: v.Sizes, SizeCounts: v.SizeCounts, SizeMisses: v.SizeMisses, Gaps: v.Gaps,
		PT: v.Pt, SidePT: v.SidePt,
	}
}

// closed gives the record of a flow as the kernel would close it now; ok says
// whether it would be emitted. The flow itself is the kernel's and stays as it is.
func closed(f *kernelFlow, types *rtp.Types, port uint16) (iv rtp.Interval, ok bool) {
	v := f.Iv
	if v.InStep < minInStep && v.Packets < minPackets {
		return iv, false
	}
	v.Pt = rtp.NoPT
	if v.Source > 0 {
		v.Ssrc, v.Pt, v.Step = f.S.Ssrc, f.S.Pt, f.S.Step
		if v.Pt != rtp.NoPT {
			v.Rate = types[v.Pt&127].Rate
		}
	}
	return intervalOf(&v, port), true
}

// When a record is emitted: docs/interval.md section 2.
const (
	minInStep  = 4
	minPackets = 24
)

// readInterval reads a record as it comes from the ring: the kernel's struct, and
// padding that a perf event array may add.
func readInterval(b []byte) (v kernelInterval, ok bool) {
	if len(b) < intervalSize {
		return v, false
	}
	_, err := binary.Decode(b[:intervalSize], binary.NativeEndian, &v)
	return v, err == nil
}

const intervalSize = 184
