package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"simtrap/hidden/tunnel"
)

// The sweep of ways tells of what no packet closes, as that of records does, and
// changes nothing that a packet might: a way whose interval is over is changed by
// the packet that closes it alone. There are few, so that a pass is one step.

// wayNamed is a way that the sweep told of.
type wayNamed struct {
	start   uint64
	packets uint16
}

// waySweeper sweeps the table of ways and that of gates without a record.
type waySweeper struct {
	ways, bare *ebpf.Map
	keys       []kernelWayKey
	values     []kernelWay
	gates      []kernelGate
	told       map[kernelWayKey]wayNamed
	last       int64 // time of the last pass
	passes     uint64

	live, deleted         uint64 // ways in the table, taken out
	bareLive, bareDeleted uint64 // gates without a record, the same
	late                  uint64 // packets that came after the sweep had told of their way
	repeated              uint64 // ways that the kernel closed after that
}

const (
	// wayBatch is how many ways are read at once.
	wayBatch = 1024
	// barePasses is how many passes go by between two over the gates.
	barePasses = 64
)

func newWaySweeper(o *kernelObjects) *waySweeper {
	n := min(wayBatch, int(o.Ways.MaxEntries()))
	return &waySweeper{
		ways: o.Ways, bare: o.Bare,
		keys: make([]kernelWayKey, n), values: make([]kernelWay, n), gates: make([]kernelGate, n),
		told: map[kernelWayKey]wayNamed{},
	}
}

// due says whether it is time for a pass.
func (s *waySweeper) due(now int64) bool { return now < s.last || now-s.last >= passEvery }

// pass appends the ways whose interval is over at now, all of them with all set.
func (s *waySweeper) pass(dst []tunnel.Record, now int64, all bool) ([]tunnel.Record, error) {
	s.last = now
	s.passes++
	live := uint64(0)
	var cursor ebpf.MapBatchCursor
	for over := false; !over; {
		got, err := s.ways.BatchLookup(&cursor, s.keys, s.values, nil)
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			over = true
		case err != nil:
			return dst, fmt.Errorf("look through the tunnels: %w", err)
		}
		live += uint64(got)
		for i := range got {
			k, v := &s.keys[i], &s.values[i]
			end := int64(v.Start) + int64(tunnel.Length)
			if !all && now < end+grace {
				continue
			}
			if s.told[*k].start != v.Start && v.Packets > 0 {
				if !s.steady(k, v) {
					continue // the kernel closes it
				}
				dst = append(dst, recordOf(v))
				s.told[*k] = wayNamed{v.Start, v.Packets}
			}
			if (all || now >= end+int64(tunnel.Length)) && s.ways.Delete(k) == nil {
				s.deleted++
				live--
			}
		}
	}
	s.live = live
	for k, t := range s.told {
		if now-int64(t.start) > 4*int64(tunnel.Length) { // the kernel's own has come or never will
			delete(s.told, k)
		}
	}
	if s.passes%barePasses == 0 || all {
		return dst, s.passBare(now)
	}
	return dst, nil
}

// passBare takes out the gates that are shut whatever comes.
func (s *waySweeper) passBare(now int64) error {
	span := uint16(now / int64(tunnel.Length))
	live := uint64(0)
	var cursor ebpf.MapBatchCursor
	for {
		got, err := s.bare.BatchLookup(&cursor, s.keys, s.gates, nil)
		live += uint64(got)
		for i := range got {
			if age := span - s.gates[i].Length; age > tunnel.Stays+1 && age < 1<<15 && s.bare.Delete(&s.keys[i]) == nil {
				s.bareDeleted++
				live--
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			s.bareLive = live
			return nil
		}
		if err != nil {
			return fmt.Errorf("look through the gates: %w", err)
		}
	}
}

// steady says whether a way is in the table as it was read.
func (s *waySweeper) steady(k *kernelWayKey, v *kernelWay) bool {
	var again kernelWay
	return s.ways.Lookup(k, &again) == nil && again == *v
}

// closedByKernel says whether a way that the kernel closed is news.
func (s *waySweeper) closedByKernel(v *kernelWay) bool {
	t, ok := s.told[v.Key]
	if !ok || t.start != v.Start {
		return true
	}
	delete(s.told, v.Key)
	s.repeated++
	if v.Packets > t.packets {
		s.late += uint64(v.Packets - t.packets)
	}
	return false
}

// recordOf gives a way of the kernel as everybody else knows it: one direction of a
// flow.
func recordOf(v *kernelWay) (r tunnel.Record) {
	one := flowOf(&v.Key.Key, 0)
	var up bool
	r.Flow, up = tunnel.NewFlow(one.Src, one.Dst, one.SrcPort, one.DstPort, v.Key.Proto, 0)
	r.Start = int64(v.Start)
	way := &r.Down
	if up {
		way = &r.Up
	}
	*way = tunnel.Way{
		Packets: v.Packets, Bytes: v.Bytes, Sizes: v.Sizes, Large: v.Large,
		SlotCount: v.SlotCount, Phase: v.Phase, SlotBytes: v.SlotBytes,
	}
	return r
}

// readWay reads a way as it comes from the ring, with what a perf event array adds.
func readWay(b []byte) (v kernelWay, ok bool) {
	if len(b) < waySize {
		return v, false
	}
	_, err := binary.Decode(b[:waySize], binary.NativeEndian, &v)
	return v, err == nil
}

// oneWay says from how many busy directions had and had not another in the tables
// whether a port shows one direction alone. Of single flows that says little.
func oneWay(paired, alone uint64) bool { return alone > 64*paired }

// enoughWays is how many there must have been to say so.
const enoughWays = 64
