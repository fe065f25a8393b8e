package pipeline

import (
	"encoding/binary"
	"time"

	"simtrap/heuristics"
	"simtrap/packet"
)

// Snapshot is how far a live run has come.
type Snapshot struct {
	Stats    Stats
	Verdicts [heuristics.Case + 1]uint64 // lines with evidence, by what they stand at
	Losses   []Loss
	Tap      Tap
}

// Tap is what shows whether the port gives what it should.
type Tap struct {
	// Packets were compared with those just before them, Repeats of them were
	// exact copies. They stand for all, of which one in 64 is looked at.
	Packets, Repeats uint64
	// TwoWay is when both directions of a conversation were last seen, by packet
	// time; 0 for never.
	TwoWay int64
}

const (
	snapshotEvery = time.Second
	// verdictShare is which part of the time may go into counting verdicts.
	verdictShare = 100
	// twoWayEvery is how often, of wall time, shards look for a conversation that
	// shows both directions.
	twoWayEvery = 10 * time.Second
)

// tally is when what was counted last.
type tally struct {
	last, verdicts, twoWay time.Time
	took                   time.Duration // by verdicts
	tap                    Tap
	standing               [heuristics.Case + 1]uint64
}

// Snapshot gives how far the run has come, within a second or so. It may be
// called at any time by any goroutine.
func (l *Live) Snapshot() Snapshot {
	if s := l.snapshot.Load(); s != nil {
		return *s
	}
	return Snapshot{}
}

// count is called between epochs, while no shard is at work.
func (l *Live) count() {
	wall := time.Now()
	c, r := &l.tally, l.run
	if wall.Sub(c.last) < snapshotEvery {
		return
	}
	c.last = wall
	c.tap.Packets, c.tap.Repeats = r.join.accounted/copiesSample, r.join.repeated/copiesSample
	look := wall.Sub(c.twoWay) >= twoWayEvery
	for _, s := range r.shards {
		if s == nil {
			continue
		}
		c.tap.Packets += s.copies.packets
		c.tap.Repeats += s.copies.repeats
		if s.lately.known && look {
			s.lately = twoWay{}
			c.tap.TwoWay, c.twoWay = r.now, wall
		}
	}
	if wall.Sub(c.verdicts) >= max(snapshotEvery, verdictShare*c.took) {
		c.standing = r.join.lines.Verdicts()
		c.verdicts, c.took = wall, time.Since(wall)
	}
	l.snapshot.Store(&Snapshot{Stats: r.seen(), Verdicts: c.standing, Losses: r.losses(), Tap: c.tap})
}

// finished takes the end of the run as the last snapshot.
func (l *Live) finished(res *Result) {
	s := Snapshot{Stats: res.Stats, Losses: res.Losses, Tap: l.tally.tap}
	for i := range res.Findings {
		s.Verdicts[res.Findings[i].Verdict]++
	}
	l.snapshot.Store(&s)
}

// copies counts exact copies of packets: what a mirror that gives everything
// twice shows. It looks at one packet in 64, by what is in it, so that both of
// two copies are looked at.
type copies struct {
	packets, repeats uint64
	recent           [64]recent
}

const (
	copiesSample = 64 // a power of two
	copiesShift  = 58 // 64 less its bits
)

// packet takes one datagram or segment. Segments without data are alike when
// they ask for the same; frames that were cut are a sample, of which the copy is
// elsewhere.
func (c *copies) packet(p *packet.Packet, seed uint64) {
	n := len(p.Payload)
	if n == 0 || p.Cut() {
		return
	}
	// Its beginning and its end tell a packet from others of its flow.
	var head, more, tail uint64
	switch {
	case n >= 16:
		head, more, tail = binary.LittleEndian.Uint64(p.Payload), binary.LittleEndian.Uint64(p.Payload[8:]), binary.LittleEndian.Uint64(p.Payload[n-8:])
	case n >= 8:
		head, tail = binary.LittleEndian.Uint64(p.Payload), binary.LittleEndian.Uint64(p.Payload[n-8:])
	default:
		for i, b := range p.Payload {
			head |= uint64(b) << (8 * i)
		}
	}
	if p.Proto == packet.TCP {
		more ^= uint64(p.TCPSeq)<<32 | uint64(p.TCPAck)
	}
	h := (head ^ seed ^ uint64(p.SrcPort)<<48 ^ uint64(p.DstPort)<<32 ^ uint64(n)) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ more) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>32 ^ tail) * 0x94d049bb133111eb
	h ^= h >> 31
	if h>>copiesShift != 0 {
		return
	}
	c.packets++
	h ^= p.Src.Hash(seed) + 3*p.Dst.Hash(seed) + uint64(p.Realm)
	r := &c.recent[h%uint64(len(c.recent))]
	if r.hash == h && p.Time-r.time <= mirrorWindow {
		c.repeats++
		return
	}
	*r = recent{h, p.Time}
}
