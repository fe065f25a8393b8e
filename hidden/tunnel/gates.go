package tunnel

import "simtrap/ident"

// Gates keeps the gates of flows that cannot be read, and the intervals of those
// whose gate is open. Both tables are bounded: the gate that has been silent for
// longest among five makes room; open flows beyond what there is room for wait
// until another has been silent for an interval, since a crowd that took turns would
// leave nothing whole. It belongs to one goroutine.
type Gates struct {
	table []gates // nil until there is something for it
	until int64   // ns since the Unix epoch: all gates are shut from then on
	meter *Meter[Flow]
	c     GateCounters
}

// GateCounters says what Gates lost and kept.
type GateCounters struct {
	Evicted uint64 // gates that were in use in this or the last length
	Crowded uint64 // packets of open flows without room
	Meter   MeterCounters
}

const (
	gateWays    = 5
	gateBuckets = 128 // of Gates: 640 flows
	maxOpen     = 128 // flows whose intervals are kept at once
)

// gates are those whose hashes end alike, in one cache line. Two flows with one
// tag share a gate, which is all that comes of it.
type gates struct {
	tag  [gateWays]uint32 // never 0 but for none
	gate [gateWays]Gate
}

// NewGates tells emit of each interval of an open gate's flow; it is valid until
// emit returns.
func NewGates(emit func(*Record)) *Gates {
	var r Record
	return &Gates{meter: NewMeter(maxOpen, func(f Flow, iv *Interval) {
		r = Record{f, *iv}
		emit(&r)
	})}
}

// Wants says whether a packet of size bytes of payload at t, ns since the Unix epoch,
// has to be told of: while no gate is open only those of the size of voice have.
func (g *Gates) Wants(t int64, size int) bool { return Voice(size) || size > 0 && t < g.until }

// Packet takes a packet of a flow that cannot be read, of size bytes of payload
// above UDP or TCP or, without either, above IP, at t, ns since the Unix epoch. pair
// is a hash of both addresses, the same for either direction.
func (g *Gates) Packet(pair uint64, src, dst ident.Addr, srcPort, dstPort uint16, proto uint8, realm ident.Realm, t int64, size int) {
	if t < 0 {
		return
	}
	const tcp = 6
	h := hashOf(pair, srcPort, dstPort, proto, realm)
	gate := g.find(h)
	if gate == nil {
		if !Voice(size) {
			return
		}
		gate = g.begin(h, uint32(t/int64(Length)))
	}
	f, up := NewFlow(src, dst, srcPort, dstPort, proto, realm)
	kept := gate.Packet(t, up, size)
	if gate.stay > 0 {
		g.until = max(g.until, int64(gate.length+Stays+2)*int64(Length))
	}
	switch {
	case !kept:
	case g.meter.full(f):
		g.c.Crowded++
	default:
		g.meter.Add(f, t, up, proto == tcp, size)
	}
}

func hashOf(pair uint64, srcPort, dstPort uint16, proto uint8, realm ident.Realm) uint64 {
	ports := uint64(srcPort)*uint64(dstPort) | uint64(srcPort^dstPort)<<32 | uint64(realm)<<48
	h := (pair ^ ports + uint64(proto)) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func (g *Gates) find(h uint64) *Gate {
	if g.table == nil {
		return nil
	}
	b := &g.table[h%gateBuckets]
	for i, tag := range b.tag {
		if tag == tagOf(h) {
			return &b.gate[i]
		}
	}
	return nil
}

func tagOf(h uint64) uint32 { return uint32(h>>32) | 1 }

// begin makes a gate in the place of the one that has been silent for longest.
func (g *Gates) begin(h uint64, length uint32) *Gate {
	if g.table == nil {
		g.table = make([]gates, gateBuckets)
	}
	b := &g.table[h%gateBuckets]
	oldest := 0
	for i := range b.gate {
		if b.tag[i] == 0 {
			oldest = i
			break
		}
		if b.gate[i].length < b.gate[oldest].length {
			oldest = i
		}
	}
	if b.tag[oldest] != 0 && b.gate[oldest].length+1 >= length {
		g.c.Evicted++
	}
	b.tag[oldest], b.gate[oldest] = tagOf(h), Gate{length: length}
	return &b.gate[oldest]
}

// Sweep says that time has reached now: intervals that are over are told of.
func (g *Gates) Sweep(now int64) { g.meter.Sweep(now) }

// Close tells of what is left.
func (g *Gates) Close() { g.meter.Close() }

// Counters gives a copy of the counters.
func (g *Gates) Counters() GateCounters {
	c := g.c
	c.Meter = g.meter.Counters()
	return c
}
