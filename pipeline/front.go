package pipeline

import (
	"simtrap/capture"
	"simtrap/packet"
)

// front is one worker's decoder.
type front struct {
	decoder packet.Decoder
	realms  *Realms
	seed    uint64
	packet  packet.Packet
	free    []*listing
}

// decode fills p from frame i of b.
func (f *front) decode(b *capture.Batch, i int, p *packet.Packet) packet.Result {
	fr := &b.Frames[i]
	p.Time, p.Seq, p.Source, p.TapPort, p.Realm = fr.Time, b.Seq+uint64(i), b.Source, fr.Port, 0
	kind := f.decoder.Frame(fr.Link, b.Data(i), fr.Wire, p)
	if len(f.realms.rules) > 0 {
		p.Realm = f.realms.of(p)
	}
	return kind
}

// shardOf gives the same shard for both directions of a conversation.
func (f *front) shardOf(p *packet.Packet) int {
	return int((p.Src.Hash(f.seed) ^ p.Dst.Hash(f.seed)) >> 32 % shards)
}

// listing is what one batch held, by shard.
type listing struct {
	packets   []packet.Packet // datagrams and segments, in order
	shards    [shards][]uint32
	fragments []packet.Packet
	whole     []packet.Packet // put together from fragments, in order
	owner     *front
}

func (f *front) list(b *capture.Batch) *listing {
	var l *listing
	if n := len(f.free); n > 0 {
		l, f.free = f.free[n-1], f.free[:n-1]
	} else {
		l = &listing{owner: f}
	}
	p := &f.packet
	for i := range b.Frames {
		switch f.decode(b, i, p) {
		case packet.Fragment:
			l.fragments = append(l.fragments, *p)
		case packet.Datagram, packet.Segment:
			s := f.shardOf(p)
			l.shards[s] = append(l.shards[s], uint32(len(l.packets)))
			l.packets = append(l.packets, *p)
		}
	}
	return l
}

// feed hands shard i its packets in order of sequence, reassembled ones at the
// place of the fragment that completed them.
func (l *listing) feed(i int, f *front, s *shard) {
	w := 0
	next := func(before uint64) {
		for ; w < len(l.whole) && l.whole[w].Seq < before; w++ {
			if f.shardOf(&l.whole[w]) == i {
				s.packet(&l.whole[w])
			}
		}
	}
	for _, k := range l.shards[i] {
		p := &l.packets[k]
		next(p.Seq)
		s.packet(p)
	}
	next(^uint64(0))
}

func (l *listing) recycle() {
	l.packets = l.packets[:0]
	l.fragments = l.fragments[:0]
	l.whole = l.whole[:0]
	for i := range l.shards {
		l.shards[i] = l.shards[i][:0]
	}
	l.owner.free = append(l.owner.free, l)
}
