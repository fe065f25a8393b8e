package rtp

import (
	"math"
	"math/bits"
	"slices"

	pion "github.com/pion/rtp"

	"simtrap/packet"
)

// Config sets an Accounting and Streams. The zero value of each field but Types
// means its default; a zero Types means DefaultTypes.
type Config struct {
	Seed    uint64 // of the hash tables
	Flows   int    // records per Accounting, default 4096, at most 1<<20
	Types   Types
	Streams int // in Streams, default 131072
}

// Counters says what an Accounting did with the packets it was given. Every
// packet is in exactly one of NotUDP, Empty, Large, Starts and Accounted.
type Counters struct {
	NotUDP    uint64
	Empty     uint64 // no payload
	Large     uint64 // payload above MaxPayload
	Starts    uint64 // first packets of flows
	Accounted uint64 // in a record, copies included

	Backwards uint64 // arrival before the flow's last, taken as equal to it
	Cut       uint64 // accounted, but fewer than twelve bytes captured of a longer payload

	Records         uint64 // opened for flows
	StartsForgotten uint64 // first packets displaced before the flow's second
	Evicted         uint64 // records displaced by others
	Idle            uint64 // records of flows that fell silent
	Intervals       uint64 // emitted
	Sparse          uint64 // not emitted, too little in them
	SparsePackets   uint64

	// Checked counts the first packets of sources; Refused those of them whose
	// header pion/rtp does not accept. It changes no record.
	Checked, Refused uint64
}

const (
	ways      = 8  // records per bucket
	chunkBits = 4  // records are made in chunks of 16
	phases    = 20 // the sweep looks at one record in twenty
	firstSets = 16 // buckets of an Accounting before it has to grow
	tick      = int64(Length / phases)
)

// bucket has a byte of the hash of each of eight records, and their numbers plus
// one; 0 is empty. All bytes are compared at once: which of the eight it is cannot be
// foretold, and a wrong guess of the processor costs more than the comparison.
type bucket struct {
	tags uint64
	ref  [ways]uint32
	_    [24]byte // of its cache line
}

// each has one in every byte.
const each = 0x0101010101010101

// tagOf gives the byte that stands for a hash, never 0. The bits that choose the
// bucket are others.
func tagOf(hash uint64) uint64 { return hash>>57 | 0x80 }

// like gives the records that hash may be, as the highest bit of their bytes.
func (b *bucket) like(hash uint64) uint64 {
	x := b.tags ^ tagOf(hash)*each
	return (x - each) &^ x & (each << 7)
}

// way gives the first of those that like gives.
func way(like uint64) int { return bits.TrailingZeros64(like) / 8 }

// set makes way i that of a record.
func (b *bucket) set(i int, hash uint64, ref uint32) {
	b.tags |= tagOf(hash) << (8 * i)
	b.ref[i] = ref
}

// unset makes it empty.
func (b *bucket) unset(i int) {
	b.tags &^= 0xff << (8 * i)
	b.ref[i] = 0
}

// starts holds the first packets of flows: hash (never 0) and arrival.
type starts struct {
	hash [4]uint64
	time [4]int64
}

// slot is one flow's record and what is carried from interval to interval.
type slot struct {
	iv   Interval
	hash uint64
	end  int64 // of the interval
	last int64 // arrival of the newest packet
	live bool
	ref  uint32 // number plus one; of a free record, that of the next free one
	source
}

// Accounting keeps the records of one shard's flows and emits their intervals.
// Its memory is bounded by Config.Flows. What it emits is a function of the
// packets alone, wherever Sweep is called in between. It is not for use by
// several goroutines at once.
type Accounting struct {
	seed    uint64
	types   Types
	emit    func(*Interval)
	buckets []bucket
	starts  []starts
	most    int // of buckets, and of starts: both grow up to it before anything is displaced
	chunks  []*[1 << chunkBits]slot
	// due says of each record when the sweep has to look at it, by the sweep that
	// does and in its order: most records have nothing to be done, and to fetch
	// each of them only to see that would cost more than all else.
	due  [phases][]int64
	cap  uint32
	made uint32 // slots ever in use
	free uint32 // head of the free list, number plus one
	live uint32
	next int64 // the next tick
	c    Counters
	pion pion.Header
}

// NewAccounting makes an Accounting. emit is given each interval as it is
// closed; the record is valid during the call only.
func NewAccounting(cfg Config, emit func(*Interval)) *Accounting {
	if cfg.Flows <= 0 {
		cfg.Flows = 4096
	}
	cfg.Flows = min(cfg.Flows, 1<<20)
	if cfg.Types == (Types{}) {
		cfg.Types = DefaultTypes()
	}
	for i := range cfg.Types {
		cfg.Types[i].Rate = min(cfg.Types[i].Rate, 1e6)
	}
	most := 1 << bits.Len(uint(cfg.Flows-1)/4) // four to eight flows, or fewer, for eight ways
	n := min(most, firstSets)
	return &Accounting{
		seed:    cfg.Seed,
		types:   cfg.Types,
		emit:    emit,
		buckets: make([]bucket, n),
		starts:  make([]starts, n),
		most:    most,
		cap:     uint32(cfg.Flows),
	}
}

// Counters gives a copy of the counters.
func (a *Accounting) Counters() Counters { return a.c }

// Packet accounts one datagram, and says whether it goes on with the sequence of
// its flow's source, or is the first of its flow: then it is no part of a flow that
// cannot be read. Packets come in order of
// time; one that is older than its flow's last is taken to have come with it.
func (a *Accounting) Packet(p *packet.Packet) (readable bool) {
	switch {
	case p.Proto != packet.UDP:
		a.c.NotUDP++
		return false
	case p.Length == 0:
		a.c.Empty++
		return false
	case p.Length > MaxPayload:
		a.c.Large++
		return false
	}
	t := min(max(p.Time, 1), maxTime)
	if t >= a.next {
		a.Sweep(t)
	}
	hash := a.hash(p)
	s := a.find(hash, p)
	if s != nil && t-s.last > Idle {
		a.c.Idle++
		a.drop(s)
		s = nil
	}
	if s == nil {
		began, ok := a.second(hash, t)
		if !ok {
			a.c.Starts++
			return true // a kernel program keeps no more of it than its time
		}
		s = a.open(hash, p, began)
	}
	if t < s.last {
		a.c.Backwards++
		t = s.last
	}
	a.c.Accounted++
	b := p.Payload
	if uint32(len(b)) > p.Length {
		b = b[:p.Length]
	}
	if len(b) < 12 && p.Length >= 12 {
		a.c.Cut++
	}
	return a.account(s, t, p.Length, b)
}

// Sweep says that time has reached now: intervals that ended are closed and
// flows that fell silent are forgotten, each within two seconds. It does a
// twentieth of the table every 100 ms of packet time. Packets call it too.
func (a *Accounting) Sweep(now int64) {
	now = min(max(now, 0), maxTime)
	// Once no flow is left, which is after Idle at the latest, time may jump.
	for ; a.next <= now && a.live > 0; a.next += tick {
		phase := uint32(a.next / tick % phases)
		for i, t := range a.due[phase] {
			if t > a.next {
				continue
			}
			s := a.slot(uint32(i)*phases + phase)
			if a.next-s.last > Idle {
				a.c.Idle++
				a.drop(s)
				continue
			}
			if a.next >= s.end {
				a.close(s)
			}
			*a.dueOf(s) = s.due()
		}
	}
	if a.next <= now {
		a.next = now - now%tick + tick
	}
}

// Flush closes every record and forgets every flow: the input has ended.
func (a *Accounting) Flush() {
	for i := range a.made {
		if s := a.slot(i); s.live {
			a.drop(s)
		}
	}
	clear(a.starts)
}

func (a *Accounting) slot(i uint32) *slot {
	return &a.chunks[i>>chunkBits][i%(1<<chunkBits)]
}

// never is later than any time.
const never = math.MaxInt64

// due is when the sweep has to look at s: at the end of its interval if there is
// anything in it, else when the flow is over, unless packets come.
func (s *slot) due() int64 {
	if s.iv.Packets|s.iv.Duplicates != 0 {
		return s.end
	}
	return s.last + Idle + 1
}

// dueOf is where that is kept.
func (a *Accounting) dueOf(s *slot) *int64 {
	i := s.ref - 1
	return &a.due[i%phases][i/phases]
}

// hash is that of the flow of p.
func (a *Accounting) hash(p *packet.Packet) uint64 {
	ports := portsOf(p.SrcPort, p.DstPort, uint16(p.Realm), p.TapPort)
	return p.Src.Hash(a.seed) ^ p.Dst.Hash(^a.seed+ports*0x9e3779b97f4a7c15)
}

// portsOf packs what of a flow is not an address into one word.
func portsOf(src, dst, realm, tap uint16) uint64 {
	return uint64(src)<<48 | uint64(dst)<<32 | uint64(realm)<<16 | uint64(tap)
}

// find gives the record of the flow of p, nil for none.
func (a *Accounting) find(hash uint64, p *packet.Packet) *slot {
	b := &a.buckets[hash&uint64(len(a.buckets)-1)]
	for m := b.like(hash); m != 0; m &= m - 1 {
		if n := b.ref[way(m)]; n != 0 {
			s := a.slot(n - 1)
			if f := &s.iv.Flow; f.Src == p.Src && f.Dst == p.Dst && f.SrcPort == p.SrcPort && f.DstPort == p.DstPort && f.Realm == p.Realm && f.TapPort == p.TapPort {
				return s
			}
		}
	}
	return nil
}

// second says whether the flow's first packet is remembered, and when it came;
// if not, this one is remembered as the first.
func (a *Accounting) second(hash uint64, t int64) (int64, bool) {
	hash |= 1 << 63 // 0 is empty
	c := &a.starts[hash&uint64(len(a.starts)-1)]
	oldest := 0
	for i, h := range c.hash {
		switch {
		case h == hash:
			began := c.time[i]
			c.hash[i], c.time[i] = 0, 0
			if t-began <= Idle {
				return began, true
			}
			c.hash[i], c.time[i] = hash, t
			return 0, false
		case c.time[i] < c.time[oldest]:
			oldest = i
		}
	}
	if c.hash[oldest] != 0 && t-c.time[oldest] <= Idle {
		if len(a.starts) < a.most {
			a.starts = moreStarts(a.starts, t)
			return a.second(hash, t)
		}
		a.c.StartsForgotten++
	}
	c.hash[oldest], c.time[oldest] = hash, t
	return 0, false
}

// moreStarts gives twice as many sets with what is in s, less what is too old at t.
// None can be full: what it holds was in one set.
func moreStarts(s []starts, t int64) []starts {
	more := make([]starts, 2*len(s))
	for i := range s {
		for k, h := range s[i].hash {
			if h == 0 || t-s[i].time[k] > Idle {
				continue
			}
			to := &more[h&uint64(len(more)-1)]
			free := slices.Index(to.hash[:], 0)
			to.hash[free], to.time[free] = h, s[i].time[k]
		}
	}
	return more
}

// moreBuckets gives twice as many buckets with the records of the present ones.
func (a *Accounting) moreBuckets() []bucket {
	more := make([]bucket, 2*len(a.buckets))
	for i := range a.buckets {
		for _, r := range a.buckets[i].ref {
			if r != 0 {
				h := a.slot(r - 1).hash
				to := &more[h&uint64(len(more)-1)]
				to.set(to.vacant(), h, r)
			}
		}
	}
	return more
}

// open makes a record for a flow that has none.
func (a *Accounting) open(hash uint64, p *packet.Packet, epoch int64) *slot {
	at := hash & uint64(len(a.buckets)-1)
	b := &a.buckets[at]
	way := b.vacant()
	for way < 0 && len(a.buckets) < a.most {
		a.buckets = a.moreBuckets()
		at = hash & uint64(len(a.buckets)-1)
		b = &a.buckets[at]
		way = b.vacant()
	}
	if way < 0 {
		a.evict(b)
		way = b.vacant()
	} else if a.live == a.cap {
		// The bucket's own least recent goes, else that of the next bucket
		// that holds any: an approximation of the least recent of all.
		v := b
		for v.empty() {
			at = (at + 1) & uint64(len(a.buckets)-1)
			v = &a.buckets[at]
		}
		a.evict(v)
		way = b.vacant()
	}
	var n uint32
	if a.free != 0 {
		n = a.free - 1
		a.free = a.slot(n).ref
	} else {
		n = a.made
		if int(n>>chunkBits) == len(a.chunks) {
			a.chunks = append(a.chunks, new([1 << chunkBits]slot))
		}
		a.due[n%phases] = append(a.due[n%phases], never)
		a.made++
	}
	b.set(way, hash, n+1)
	a.live++
	a.c.Records++
	s := a.slot(n)
	f := Flow{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Realm: p.Realm, TapPort: p.TapPort}
	*s = slot{
		iv:   Interval{Flow: f, Epoch: epoch},
		hash: hash,
		end:  epoch + Length,
		last: epoch,
		live: true,
		ref:  n + 1,
	}
	return s
}

func (b *bucket) vacant() int {
	for i, r := range b.ref {
		if r == 0 {
			return i
		}
	}
	return -1
}

func (b *bucket) empty() bool { return b.ref == [ways]uint32{} }

// evict drops the record of b that has been silent for longest.
func (a *Accounting) evict(b *bucket) {
	var victim *slot
	for _, r := range b.ref {
		if r == 0 {
			continue
		}
		if s := a.slot(r - 1); victim == nil || s.last < victim.last {
			victim = s
		}
	}
	a.c.Evicted++
	a.drop(victim)
}

// drop closes the record of s and frees it.
func (a *Accounting) drop(s *slot) {
	a.close(s)
	b := &a.buckets[s.hash&uint64(len(a.buckets)-1)]
	for i, r := range b.ref {
		if r == s.ref {
			b.unset(i)
			s.live = false
			*a.dueOf(s) = never
			s.ref, a.free = a.free, r
			a.live--
			return
		}
	}
}

// close ends the record of s and emits it if there is enough in it. What is in
// force stays so, unless the source had no packet in the interval.
func (a *Accounting) close(s *slot) {
	iv := &s.iv
	if iv.Packets|iv.Duplicates == 0 {
		return
	}
	if iv.Packets > 0 {
		iv.PT = NoPT
		if iv.Source > 0 {
			iv.SSRC, iv.PT, iv.Step = s.ssrc, s.pt, s.step
			if s.pt != NoPT {
				iv.Rate = a.types[s.pt].Rate
			}
		}
		if iv.InStep >= minInStep || iv.Packets >= minPackets {
			a.c.Intervals++
			a.emit(iv)
		} else {
			a.c.Sparse++
			a.c.SparsePackets += uint64(iv.Packets)
		}
	}
	if iv.Source|iv.Duplicates == 0 {
		s.source = source{}
	}
	s.iv = Interval{Flow: iv.Flow, Epoch: iv.Epoch, Number: iv.Number}
}

// check lets pion/rtp read the header of a source's first packet, as a second
// opinion on our own reader that is counted.
func (a *Accounting) check(b []byte, length uint32) {
	if uint32(len(b)) < length {
		return // a snap length took part of the packet
	}
	a.c.Checked++
	if _, err := a.pion.Unmarshal(b); err != nil {
		a.c.Refused++
	}
	clear(a.pion.Extensions) // they are views of b
}
