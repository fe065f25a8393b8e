package rtp

import (
	"encoding/binary"
	"slices"

	"simtrap/packet"
)

// reference is docs/interval.md written down as plainly as possible: sequence
// numbers in sets, 64-bit integers, no table limits, no sweep. It shares no
// code with Accounting but the types.
type reference struct {
	types Types
	flows map[Flow]*refFlow
	out   []Interval
}

type refFlow struct {
	epoch, newest int64
	record        *Interval
	src           *refSource
	rival         *refRival
}

type refSource struct {
	ssrc    uint32
	pt      int             // -1 open
	seqs    map[uint16]bool // seen, and at most 63 behind newest
	newest  uint16
	newTS   uint32
	step    uint32
	other   uint32
	jitter  int64
	chained bool
	at      int64
	ts      uint32
	seq     uint16
	side    *refSide // the newest packet that was not main
}

type refSide struct {
	pt uint8
	ts uint32
}

type refRival struct {
	ssrc, ts uint32
	pt       uint8
	run      int
}

func (r *reference) packet(p *packet.Packet) {
	if p.Proto != packet.UDP || p.Length < 1 || p.Length > 352 {
		return
	}
	t := min(max(p.Time, 1), 1<<62)
	flow := Flow{p.Src, p.Dst, p.SrcPort, p.DstPort, p.Realm, p.TapPort}
	f := r.flows[flow]
	if f != nil && t-f.newest > 30e9 {
		r.close(f)
		f = nil
	}
	if f == nil {
		r.flows[flow] = &refFlow{epoch: t, newest: t}
		return
	}
	t = max(t, f.newest)
	if f.record == nil {
		f.record = &Interval{Flow: flow, Epoch: f.epoch}
	}
	if n := uint32((t - f.epoch) / 2e9); n > f.record.Number || int(f.record.Packets)+int(f.record.Duplicates) == 65535 {
		r.close(f)
		f.record.Number = n
	}
	b := p.Payload
	if len(b) > int(p.Length) {
		b = b[:p.Length]
	}
	reads := refReads(b, int(p.Length))
	var place string
	var dist uint16
	isMain, isOurs := false, false
	var ssrc, ts uint32
	var seq uint16
	var pt uint8
	marker := false
	if reads == "rtp" {
		marker, pt = b[1] >= 128, b[1]%128
		seq, ts, ssrc = binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		side := r.types[pt].Side
		place = "first"
		switch {
		case f.src == nil:
			f.src = &refSource{ssrc: ssrc, pt: -1}
			f.rival = nil
		case ssrc == f.src.ssrc:
			place, dist = f.src.place(seq, ts)
		}
		if place == "copy" {
			f.record.Duplicates++
			return
		}
		if !side {
			if ssrc == f.src.ssrc && (f.src.pt == -1 || f.src.pt == int(pt)) {
				f.src.pt = int(pt)
				f.rival = nil
				isMain = true
			} else {
				v := f.rival
				if v == nil || v.ssrc != ssrc || v.pt != pt {
					v = &refRival{ssrc: ssrc, pt: pt, run: 1}
				} else if v.ts != ts {
					v.run++
				}
				v.ts = ts
				f.rival = v
				if v.run == 3 {
					old := f.src
					r.close(f)
					f.src = &refSource{ssrc: ssrc, pt: int(pt)}
					if old.ssrc == ssrc {
						f.src.seqs, f.src.newest, f.src.newTS, f.src.side = old.seqs, old.newest, old.newTS, old.side
					}
					f.rival = nil
					isMain = true
				}
			}
		}
		isOurs = ssrc == f.src.ssrc
	}

	iv := f.record
	if iv.Packets == 0 {
		iv.First = t
	}
	iv.Last = t
	iv.Packets++
	iv.Bytes += p.Length
	gap := t - f.newest
	f.newest = t
	k := 0
	for _, edge := range []int64{5, 12, 18, 22, 28, 32, 42} {
		if gap >= edge*1e6 {
			k++
		}
	}
	iv.Gaps[k]++
	if gap > iv.MaxGap {
		iv.MaxGap = gap
	}
	size := uint16(p.Length)
	if iv.SizeCounts[0] > 0 && iv.Sizes[0] == size {
		iv.SizeCounts[0]++
	} else if iv.SizeCounts[1] > 0 && iv.Sizes[1] == size {
		iv.SizeCounts[1]++
	} else if iv.SizeCounts[0] == 0 {
		iv.Sizes[0], iv.SizeCounts[0] = size, 1
	} else if iv.SizeCounts[1] == 0 {
		iv.Sizes[1], iv.SizeCounts[1] = size, 1
	} else {
		iv.SizeCounts[0]--
		iv.SizeCounts[1]--
		iv.SizeMisses++
	}
	switch {
	case reads == "rtcp":
		iv.RTCP++
		return
	case reads != "rtp":
		return
	case !isOurs:
		iv.Others++
		return
	}
	s := f.src
	iv.Source++
	switch place {
	case "step":
		iv.InStep++
	case "skip":
		iv.Skips++
		iv.Lost += uint32(dist) - 1
	case "late":
		iv.Late++
	case "jump":
		iv.Jumps++
	}
	switch place {
	case "late":
		s.seqs[seq] = true
	case "step", "skip":
		s.seqs[seq] = true
		s.newest, s.newTS = seq, ts
		for q := range s.seqs {
			if s.newest-q > 63 {
				delete(s.seqs, q)
			}
		}
	default:
		s.seqs = map[uint16]bool{seq: true}
		s.newest, s.newTS = seq, ts
		s.chained = false
	}
	if !isMain {
		if iv.Events == 0 {
			iv.SidePT = pt
		}
		iv.Events++
		if this := (refSide{pt, ts}); pt == iv.SidePT {
			iv.Sides++
			if s.side == nil || *s.side != this {
				iv.Keys++
			}
		}
		s.side = &refSide{pt, ts}
		return
	}
	if marker {
		iv.Marks++
	}
	if place == "late" {
		return
	}
	rate := int64(r.types[pt].Rate)
	anew := !s.chained
	if s.chained {
		dt := int64(ts - s.ts)
		forward := dt >= 1 && dt <= 1<<31-1
		switch {
		case s.step == 0 && forward && seq == s.seq+1:
			s.step = uint32(dt)
			iv.Timed++
		case s.step == 0:
		case forward && dt%int64(s.step) == 0:
			iv.Timed++
			s.other = 0
		default:
			iv.Untimed++
			if forward && uint32(dt) == s.other {
				s.step, s.other = uint32(dt), 0
			} else {
				s.other = uint32(dt)
			}
		}
		if rate > 0 && t-s.at <= 30e9 {
			d := (t-s.at)*rate/1e9 - int64(int32(ts-s.ts))
			if d < 0 {
				d = -d
			}
			if d >= 2*rate {
				iv.Breaks++
				anew = true
			} else {
				s.jitter = s.jitter + d - (s.jitter+8)/16
				if uint32(s.jitter) > iv.Jitter {
					iv.Jitter = uint32(s.jitter)
				}
			}
		}
	}
	if anew || iv.Start.Arrival == 0 {
		iv.Start = Sample{t, ts}
		iv.Least = Sample{t, ts}
	} else if rate > 0 && (t-iv.Least.Arrival)*rate-int64(int32(ts-iv.Least.Timestamp))*1e9 < 0 {
		iv.Least = Sample{t, ts}
	}
	s.chained, s.at, s.ts, s.seq = true, t, ts, seq
}

func (s *refSource) place(seq uint16, ts uint32) (string, uint16) {
	ahead := int(seq - s.newest)
	behind := int(s.newest - seq)
	switch {
	case ahead == 0 && ts == s.newTS:
		return "copy", 0
	case ahead == 0:
		return "jump", 0
	case ahead == 1:
		return "step", 1
	case ahead <= 3000:
		return "skip", uint16(ahead)
	case behind <= 63 && s.seqs[seq]:
		return "copy", 0
	case behind <= 63:
		return "late", 0
	}
	return "jump", 0
}

func refReads(b []byte, length int) string {
	if len(b) < 12 || b[0]&0xc0 != 0x80 {
		return ""
	}
	if b[1] >= 192 && b[1] <= 223 {
		return "rtcp"
	}
	if pt := b[1] & 127; pt >= 72 && pt <= 76 {
		return ""
	}
	end := 12 + 4*int(b[0]&15)
	if b[0]&16 != 0 {
		if len(b) < end+4 {
			return ""
		}
		end += 4 + 4*(int(b[end+2])<<8+int(b[end+3]))
	}
	if b[0]&32 != 0 {
		end++
	}
	if length < end {
		return ""
	}
	return "rtp"
}

func (r *reference) close(f *refFlow) {
	iv := f.record
	if iv == nil || iv.Packets == 0 && iv.Duplicates == 0 {
		return
	}
	if iv.Packets > 0 {
		iv.PT = 255
		if iv.Source > 0 {
			iv.SSRC, iv.Step = f.src.ssrc, f.src.step
			if f.src.pt >= 0 {
				iv.PT = uint8(f.src.pt)
				iv.Rate = r.types[iv.PT].Rate
			}
		}
		if iv.InStep >= 4 || iv.Packets >= 24 {
			r.out = append(r.out, *iv)
		}
	}
	if iv.Source == 0 && iv.Duplicates == 0 {
		f.src, f.rival = nil, nil
	}
	f.record = &Interval{Flow: iv.Flow, Epoch: iv.Epoch, Number: iv.Number}
}

func (r *reference) flush() []Interval {
	for _, f := range r.flows {
		r.close(f)
	}
	slices.SortStableFunc(r.out, func(a, b Interval) int { return a.Compare(&b) })
	return r.out
}

func newReference() *reference {
	return &reference{types: DefaultTypes(), flows: map[Flow]*refFlow{}}
}
