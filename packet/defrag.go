package packet

import (
	"bytes"
	"slices"

	"simtrap/ident"
)

// DefragConfig bounds a Defrag. A field that is not positive takes the default.
type DefragConfig struct {
	Datagrams int    // incomplete datagrams held at once; default 512
	Fragments int    // fragments of one datagram; default 64
	Bytes     int    // of fragments held, all datagrams together; default 8 MiB
	Hold      int64  // how long a datagram may stay incomplete, ns of packet time; default 30 s
	Seed      uint64 // of the hash, so that strangers cannot aim collisions
}

// maxDatagram is the largest IP payload that can be reassembled, in bytes.
const maxDatagram = 65535

// Defrag puts IPv4 and IPv6 fragments together again. It is for one goroutine.
// Besides the configured bytes it holds about 200 bytes for each incomplete
// datagram, 8 for each fragment, and one buffer of at most 64 KiB.
//
// Of two fragments with the same range the first counts. Fragments that overlap
// otherwise are accepted in IPv4 as long as they say the same; where they
// contradict each other, and in IPv6 always (RFC 5722), the datagram is dropped
// with all that is still to come of it. Hosts differ in what they make of
// contradictions, so that any choice could be used to hide something.
type Defrag struct {
	Counters Counters

	cfg     DefragConfig
	entries []entry // from 1, so that 0 is "none"
	free    int32   // list of unused entries, by chain
	heads   []int32 // by hash
	oldest  int32
	newest  int32
	bytes   int // capacity of all buffers
	whole   []byte
}

// fragKey tells datagrams apart (RFC 791 section 2.3, RFC 8200 section 4.5),
// and access lines with the same inner addresses.
type fragKey struct {
	src, dst ident.Addr
	id       uint32
	vlan     [2]uint16
	realm    ident.Realm
	proto    uint8 // IPv4 only
	v6       bool
}

type entry struct {
	key          fragKey
	first        int64 // time of the first fragment
	total        int32 // length of the datagram, -1 until the last fragment came
	chain        int32 // next with the same hash, or next unused
	older, newer int32
	proto        uint8 // of the fragment at offset 0
	dead         bool  // dropped; kept so that what is still to come goes as well
	pieces       []piece
	data         []byte // of all pieces, in order of arrival
}

// piece is where a fragment belongs and where its bytes are in entry.data.
type piece struct{ off, len, at uint16 }

func (p piece) end() int { return int(p.off) + int(p.len) }

// NewDefrag makes a Defrag.
func NewDefrag(cfg DefragConfig) *Defrag {
	cfg.Datagrams = positive(cfg.Datagrams, 512)
	cfg.Fragments = positive(cfg.Fragments, 64)
	cfg.Bytes = positive(cfg.Bytes, 8<<20)
	cfg.Hold = positive(cfg.Hold, 30e9)
	size := 1
	for size < 2*cfg.Datagrams {
		size *= 2
	}
	return &Defrag{cfg: cfg, entries: make([]entry, 1), heads: make([]int32, size)}
}

func positive[T int | int64](n, def T) T {
	if n > 0 {
		return n
	}
	return def
}

// Add takes p, for which a Decoder returned Fragment, and copies what it keeps.
// When p completes a datagram, ok is true and whole is the datagram's payload,
// for Decoder.Resume with the same p; it stays valid until the next Add, which
// may be given a fragment that lies within it.
func (d *Defrag) Add(p *Packet) (whole []byte, ok bool) {
	d.expire(p.Time)
	f := &p.Frag
	switch {
	case int(f.Length) > len(f.Data):
		return d.refuse(FragmentCut)
	case len(f.Data) == 0:
		return d.refuse(FragmentEmpty)
	case f.More && len(f.Data)%8 != 0:
		return d.refuse(FragmentMisaligned)
	case int(f.Offset)+len(f.Data) > maxDatagram:
		return d.refuse(FragmentBeyond)
	}
	key := fragKey{
		src: p.Src, dst: p.Dst, id: f.ID, vlan: p.Access.VLAN, realm: p.Realm, v6: f.V6,
	}
	if !f.V6 {
		key.proto = f.Proto
	}
	i := d.find(key)
	if i == 0 {
		i = d.start(key, p.Time)
	}
	e := &d.entries[i]
	if e.dead {
		return d.refuse(FragmentLate)
	}
	if r, bad := d.insert(i, f); bad {
		return d.refuse(r)
	}
	if !e.complete() {
		return nil, false
	}
	whole = d.assemble(e)
	f.Proto = e.proto
	d.remove(i)
	return whole, true
}

func (d *Defrag) refuse(r Reason) ([]byte, bool) {
	d.Counters[r]++
	return nil, false
}

// insert adds f to entry i. It says bad when f adds nothing, and why; the entry
// is dead when f contradicts it.
func (d *Defrag) insert(i int32, f *Frag) (r Reason, bad bool) {
	e := &d.entries[i]
	start, end := int(f.Offset), int(f.Offset)+len(f.Data)
	at, held := e.place(start, end)
	switch {
	case held && f.V6 && !bytes.Equal(e.bytes(e.pieces[at]), f.Data):
		return d.kill(e, FragmentConflict)
	case f.More && e.total >= 0 && end >= int(e.total), // where is the end?
		!f.More && e.total >= 0 && end != int(e.total),
		!f.More && e.total < 0 && e.reach() >= end:
		return d.kill(e, FragmentConflict)
	case held:
		return FragmentDuplicate, true
	case e.conflicts(start, end, f):
		return d.kill(e, FragmentConflict)
	case len(e.pieces) == d.cfg.Fragments:
		return d.kill(e, FragmentTooMany)
	case len(e.data)+len(f.Data) > maxDatagram: // only overlaps come to that
		return d.kill(e, FragmentConflict)
	}
	if r, ok := d.grow(i, len(f.Data)); !ok {
		return d.kill(e, r)
	}
	e.pieces = slices.Insert(e.pieces, at, piece{uint16(start), uint16(len(f.Data)), uint16(len(e.data))})
	e.data = append(e.data, f.Data...)
	if !f.More {
		e.total = int32(end)
	}
	if start == 0 {
		e.proto = f.Proto
	}
	return 0, false
}

// place is where a fragment of [start, end) goes among the pieces, which are in
// order of offset; held says that the piece there has just that range.
func (e *entry) place(start, end int) (at int, held bool) {
	for at < len(e.pieces) && int(e.pieces[at].off) < start {
		at++
	}
	for i := at; i < len(e.pieces) && int(e.pieces[i].off) == start; i++ {
		if e.pieces[i].end() == end {
			return i, true
		}
	}
	return at, false
}

// conflicts says whether a fragment of [start, end) may not stand beside those
// that e holds.
func (e *entry) conflicts(start, end int, f *Frag) bool {
	for _, p := range e.pieces {
		lo, hi := max(start, int(p.off)), min(end, p.end())
		if lo >= hi {
			continue
		}
		if f.V6 || !bytes.Equal(e.bytes(p)[lo-int(p.off):hi-int(p.off)], f.Data[lo-start:hi-start]) {
			return true
		}
	}
	return false
}

func (e *entry) bytes(p piece) []byte { return e.data[p.at : int(p.at)+int(p.len)] }

// reach is the end of what e holds.
func (e *entry) reach() int {
	end := 0
	for _, p := range e.pieces {
		end = max(end, p.end())
	}
	return end
}

func (e *entry) complete() bool {
	if e.total < 0 {
		return false
	}
	end := 0
	for _, p := range e.pieces { // in order of offset
		if int(p.off) > end {
			return false
		}
		end = max(end, p.end())
	}
	return end == int(e.total)
}

// assemble writes e in order. A fragment that lies within the last whole was
// copied into its entry before, so the buffer is free.
func (d *Defrag) assemble(e *entry) []byte {
	if cap(d.whole) < int(e.total) {
		d.whole = make([]byte, min(maxDatagram, 2*int(e.total)))
	}
	whole := d.whole[:e.total]
	for _, p := range e.pieces {
		copy(whole[p.off:], e.bytes(p))
	}
	return whole
}

// grow makes room for n bytes more in entry i, at the cost of older entries.
func (d *Defrag) grow(i int32, n int) (Reason, bool) {
	e := &d.entries[i]
	want := len(e.data) + n
	if want <= cap(e.data) {
		return 0, true
	}
	want = min(2*want, maxDatagram)
	for d.bytes+want-cap(e.data) > d.cfg.Bytes {
		victim := d.oldest
		if victim == i {
			victim = e.newer
		}
		if victim == 0 {
			return FragmentMemoryFull, false
		}
		d.evict(victim, FragmentMemoryFull)
	}
	d.bytes += want - cap(e.data)
	e.data = append(make([]byte, 0, want), e.data...)
	return 0, true
}

// kill drops what e holds and keeps its place until its time is over.
func (d *Defrag) kill(e *entry, r Reason) (Reason, bool) {
	d.bytes -= cap(e.data)
	e.data, e.pieces, e.dead = nil, nil, true
	return r, true
}

// evict removes entry i and counts it, unless it was counted before.
func (d *Defrag) evict(i int32, r Reason) {
	if !d.entries[i].dead {
		d.Counters[r]++
	}
	d.remove(i)
}

func (d *Defrag) expire(now int64) {
	for d.oldest != 0 && now-d.entries[d.oldest].first >= d.cfg.Hold {
		d.evict(d.oldest, FragmentTimeout)
	}
}

func (d *Defrag) head(k fragKey) *int32 {
	seed := d.cfg.Seed + uint64(k.id) + uint64(k.realm)<<32 + uint64(k.proto)<<48
	h := k.src.Hash(seed) ^ k.dst.Hash(^seed)
	return &d.heads[(h^h>>32)&uint64(len(d.heads)-1)]
}

func (d *Defrag) find(k fragKey) int32 {
	i := *d.head(k)
	for i != 0 && d.entries[i].key != k {
		i = d.entries[i].chain
	}
	return i
}

// start makes an entry for k, evicting the oldest when there are too many.
func (d *Defrag) start(k fragKey, now int64) int32 {
	i := d.free
	switch {
	case i != 0:
		d.free = d.entries[i].chain
	case len(d.entries) <= d.cfg.Datagrams:
		i = int32(len(d.entries))
		d.entries = append(d.entries, entry{})
	default:
		d.evict(d.oldest, FragmentTableFull)
		i = d.free
		d.free = d.entries[i].chain
	}
	head := d.head(k)
	d.entries[i] = entry{key: k, first: now, total: -1, chain: *head, older: d.newest}
	*head = i
	if d.newest != 0 {
		d.entries[d.newest].newer = i
	} else {
		d.oldest = i
	}
	d.newest = i
	return i
}

func (d *Defrag) remove(i int32) {
	e := &d.entries[i]
	link := d.head(e.key)
	for *link != i {
		link = &d.entries[*link].chain
	}
	*link = e.chain
	if e.older != 0 {
		d.entries[e.older].newer = e.newer
	} else {
		d.oldest = e.newer
	}
	if e.newer != 0 {
		d.entries[e.newer].older = e.older
	} else {
		d.newest = e.older
	}
	d.bytes -= cap(e.data)
	*e = entry{chain: d.free}
	d.free = i
}
