package bpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"simtrap/rtp"
)

// The sweep closes what no packet closes: records of flows that fell silent. It
// changes nothing in the kernel, so that it needs no lock against packets: a
// record whose interval is over is changed by no packet any more but by the one
// that closes it. The sweep tells of such a record and remembers that it did;
// when the kernel closes the record too, with the flow's next packet, it is known
// and dropped. What is in force goes on in the kernel as docs/interval.md has it.

const (
	// grace is how much longer than a record's end the sweep waits, ns: packets
	// are accounted a little after the time they bear.
	grace = int64(50 * time.Millisecond)
	// forget is how long a flow must be silent to be taken out, ns: rtp.Idle and
	// so much that a packet which comes now makes a first packet anyway.
	forget = rtp.Idle + int64(2*time.Second)

	batchSize = 4096
)

// told names a record that the sweep told of.
type told struct {
	epoch, first int64
	number       uint32
	pass         uint32
	packets      uint32 // and copies
}

// sweeper sweeps one table.
type sweeper[K comparable] struct {
	flows  *ebpf.Map
	types  *rtp.Types
	port   uint16
	keys   []K
	values []kernelFlow
	cursor ebpf.MapBatchCursor
	began  int64 // time of the pass under way, 0 none
	done   int64 // time of the last whole pass
	pass   uint32
	told   map[K]told

	live, seen      uint64 // flows in the table: of the last pass, of this one
	deleted         uint64 // flows that the sweep took out
	emitted         uint64
	repeated        uint64 // records that the kernel closed after the sweep had told of them
	late            uint64 // packets of those that came after the sweep had told of their record
	unsteady        uint64 // records that changed while they were read, left to the kernel
	sparse, packets uint64 // records taken out with too little in them to be told of, packets in those
}

func newSweeper[K comparable](flows *ebpf.Map, types *rtp.Types, port uint16) *sweeper[K] {
	n := min(batchSize, int(flows.MaxEntries()))
	return &sweeper[K]{
		flows: flows, types: types, port: port,
		keys: make([]K, n), values: make([]kernelFlow, n),
		told: map[K]told{},
	}
}

// step looks at the next n flows or so, at time now, and appends the intervals
// that are over. Once round all flows, over says so, and the next pass begins.
// With all set, records are told of whether their interval is over or not: the
// input has ended.
func (s *sweeper[K]) step(dst []rtp.Interval, now int64, n int, all bool) (_ []rtp.Interval, over bool, err error) {
	if s.began == 0 {
		s.began, s.seen, s.cursor = now, 0, ebpf.MapBatchCursor{}
		s.pass++
	}
	for n > 0 && !over {
		got, err := s.flows.BatchLookup(&s.cursor, s.keys, s.values, nil)
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			over = true
		case err != nil:
			return dst, false, fmt.Errorf("look through the flows: %w", err)
		}
		n -= len(s.keys)
		s.seen += uint64(got)
		for i := range got {
			dst = s.flow(dst, &s.keys[i], &s.values[i], now, all)
		}
	}
	if over {
		s.done, s.began, s.live = s.began, 0, s.seen
		for k, t := range s.told {
			if s.pass-t.pass > 2 { // the kernel's own has come or never will
				delete(s.told, k)
			}
		}
	}
	return dst, over, nil
}

func (s *sweeper[K]) flow(dst []rtp.Interval, k *K, f *kernelFlow, now int64, all bool) []rtp.Interval {
	silent := now - int64(f.Iv.Last)
	if !all && now < int64(f.End)+grace && silent <= forget {
		return dst
	}
	sparse := false
	if f.Iv.Packets > 0 {
		t := told{epoch: int64(f.Iv.Epoch), first: int64(f.Iv.First), number: f.Iv.Number, pass: s.pass,
			packets: uint32(f.Iv.Packets) + uint32(f.Iv.Duplicates)}
		was, known := s.told[*k]
		switch {
		case known && was.same(&t):
			t.packets = was.packets
			s.told[*k] = t
		case s.steady(k, f):
			iv, ok := closed(f, s.types, s.port)
			if ok {
				s.emitted++
				s.told[*k] = t
				dst = append(dst, iv)
			}
			sparse = !ok
		default:
			s.unsteady++
			return dst
		}
	}
	if all || silent > forget {
		if s.flows.Delete(k) == nil {
			s.deleted++
			s.seen--
			if sparse { // else the kernel closes it, and counts it
				s.sparse++
				s.packets += uint64(f.Iv.Packets)
			}
		}
	}
	return dst
}

// steady says whether the flow is in the table as it was read: a packet may have
// changed it while it was copied.
func (s *sweeper[K]) steady(k *K, f *kernelFlow) bool {
	var again kernelFlow
	return s.flows.Lookup(k, &again) == nil && again == *f
}

func (t *told) same(o *told) bool {
	return t.epoch == o.epoch && t.first == o.first && t.number == o.number
}

// closedByKernel says whether a record that the kernel closed is news.
func (s *sweeper[K]) closedByKernel(k K, v *kernelInterval) bool {
	t, ok := s.told[k]
	if !ok || t.epoch != int64(v.Epoch) || t.first != int64(v.First) || t.number != v.Number {
		return true
	}
	delete(s.told, k)
	s.repeated++
	if n := uint32(v.Packets) + uint32(v.Duplicates); n > t.packets {
		s.late += uint64(n - t.packets)
	}
	return false
}

// sweepers sweep both families.
type sweepers struct {
	v4 *sweeper[kernelKey4]
	v6 *sweeper[kernelKey]

	began  int64 // time of the pass under way, 0 none
	done   int64 // time of the last whole pass
	second bool  // the pass is at the second table
}

func newSweepers(o *kernelObjects, types *rtp.Types, port uint16) *sweepers {
	return &sweepers{
		v4: newSweeper[kernelKey4](o.Flows4, types, port),
		v6: newSweeper[kernelKey](o.Flows6, types, port),
	}
}

// step is that of sweeper, over both tables.
func (s *sweepers) step(dst []rtp.Interval, now int64, n int, all bool) (_ []rtp.Interval, over bool, err error) {
	if s.began == 0 {
		s.began = now
	}
	if !s.second {
		if dst, s.second, err = s.v4.step(dst, now, n, all); err != nil || !s.second {
			return dst, false, err
		}
	}
	if dst, over, err = s.v6.step(dst, now, n, all); err != nil || !over {
		return dst, false, err
	}
	s.done, s.began, s.second = s.began, 0, false
	return dst, true, nil
}

// restart gives up the pass under way, for one that sees every flow from now on.
func (s *sweepers) restart() {
	s.began, s.v4.began, s.v6.began, s.second = 0, 0, 0, false
}

func (s *sweepers) closedByKernel(v *kernelInterval) bool {
	if is4(&v.Key) {
		return s.v4.closedByKernel(kernelKey4{Src: v.Key.Src[3], Dst: v.Key.Dst[3], Sport: v.Key.Sport, Dport: v.Key.Dport}, v)
	}
	return s.v6.closedByKernel(v.Key, v)
}

func is4(k *kernelKey) bool {
	f := flowOf(k, 0)
	return f.Src.Is4() && f.Dst.Is4()
}

func (s *sweepers) live() uint64     { return s.v4.live + s.v6.live }
func (s *sweepers) deleted() uint64  { return s.v4.deleted + s.v6.deleted }
func (s *sweepers) emitted() uint64  { return s.v4.emitted + s.v6.emitted }
func (s *sweepers) late() uint64     { return s.v4.late + s.v6.late }
func (s *sweepers) repeated() uint64 { return s.v4.repeated + s.v6.repeated }

// sparse gives the records that the sweep counts in the kernel's place, and packets in them.
func (s *sweepers) sparse() (n, packets uint64) {
	return s.v4.sparse + s.v6.sparse, s.v4.packets + s.v6.packets
}
