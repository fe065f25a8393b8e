package sip

import (
	"encoding/binary"
	"slices"

	"simtrap/ident"
	"simtrap/packet"
)

// Signalling that is made unreadable message by message, with something new in
// front of each so that equal messages never look equal (RC4 with a prefix in the
// key). Nothing of the text can be compared; what is left is that the bytes are of
// no protocol at all, from the first one on, and that it is a talk of few messages
// of the size of SIP: asked, answered, and silent between. Of the payload the
// first eight bytes are looked at, and kept as counts by position alone.

const (
	scrambledFlows   = 128
	scrambledEnough  = 24   // datagrams from which a flow is judged
	scrambledCounted = 240  // datagrams of a flow that are counted by their bytes
	scrambledGiveUp  = 1000 // datagrams after which one that does not fit is left alone
	// scrambledMost is how many of the datagrams may begin alike in the two upper
	// bits of a byte: of 24 at random, 15 or more do so once in some hundred flows,
	// over four values and eight bytes.
	scrambledMost = 0.6
	// scrambledPause is the silence between two exchanges, ns: longer than most
	// round trips.
	scrambledPause = 300 * second / 1000
	// scrambledTurn is how soon an answer comes.
	scrambledTurn = 2 * second
	// scrambledSpan is how long a flow must have gone on.
	scrambledSpan = 60 * second
)

// Scrambled is one exchange in a flow whose messages are under a cipher from the
// first byte on and that has the rhythm of signalling. Which end asks is not told.
type Scrambled struct {
	Time  int64
	A, B  Party
	Realm ident.Realm
}

// ScrambledCounters tell what a ScrambledTable did and left out.
type ScrambledCounters struct {
	Found   uint64 // flows
	Evicted uint64 // flows dropped undecided for want of room
	Crowded uint64 // datagrams of flows not looked at for want of room
	Echoed  uint64 // flows left alone in which one end sends back what it is sent
}

// ScrambledTable looks for such flows among the datagrams of a shard that are
// nothing else. It is for one goroutine. The zero value is ready.
type ScrambledTable struct {
	Counters ScrambledCounters
	flows    [scrambledFlows]scrambledFlow
}

type scrambledFlow struct {
	key         uint64
	first, last int64
	until       int64    // one that does not fit is left alone until then
	way         [2]int64 // last datagram of either direction
	n           [2]uint16
	pauses      uint16
	turns       uint16
	found       bool
	said        [2][4]uint32 // hashes of the latest datagrams of either direction
	saying      [2]uint8
	sizes       uint64      // set of sizes, 16 bytes each
	counts      [8][4]uint8 // by byte, of its two upper bits
}

// Datagram takes one datagram that is nothing else that is known, and says
// whether an exchange of scrambled signalling begins with it.
func (t *ScrambledTable) Datagram(p *packet.Packet, out *Scrambled) bool {
	b := p.Payload
	if len(b) < hiddenLeast || len(b) > hiddenMost {
		return false
	}
	src, dst := p.Src.Hash(uint64(p.SrcPort)), p.Dst.Hash(uint64(p.DstPort))
	key := (src + dst) ^ uint64(p.Realm)<<32 | 1
	f := &t.flows[key>>33%scrambledFlows]
	if f.key != key {
		switch {
		case f.key != 0 && p.Time-f.last < hiddenIdle && (f.found || f.n[0] > 0 && f.n[1] > 0 && f.until == 0):
			t.Counters.Crowded++
			return false
		case f.key != 0 && f.until == 0 && !f.found:
			t.Counters.Evicted++
		}
		*f = scrambledFlow{key: key, first: p.Time}
	}
	if f.until != 0 {
		if p.Time < f.until {
			return false
		}
		*f = scrambledFlow{key: key, first: p.Time}
	}
	begins := p.Time-f.last >= scrambledPause
	way := side(src < dst)
	// A service that sends back what it is sent takes part in nothing.
	h := uint32(ident.Hash(key, b))
	if slices.Contains(f.said[1-way][:], h) {
		f.until, f.found = p.Time+hiddenRetry, false
		t.Counters.Echoed++
		return false
	}
	f.said[way][f.saying[way]%4] = h
	f.saying[way]++
	if f.way[1-way] > f.way[way] && p.Time-f.way[1-way] < scrambledTurn {
		f.turns++
	}
	if begins {
		f.pauses++
	}
	f.way[way], f.last = p.Time, max(f.last, p.Time)
	if !f.found {
		f.n[way]++
		n := f.n[0] + f.n[1]
		if n <= scrambledCounted {
			f.count(b)
		}
		switch {
		case n < scrambledEnough:
		case f.fits():
			f.found = true
			t.Counters.Found++
		case n >= scrambledGiveUp || !f.random():
			f.until = p.Time + hiddenRetry
		}
	}
	if !f.found || !begins {
		return false
	}
	*out = Scrambled{Time: p.Time, A: source(p), B: destination(p), Realm: p.Realm}
	return true
}

func (f *scrambledFlow) count(b []byte) {
	first := binary.LittleEndian.Uint64(b)
	for i := range f.counts {
		f.counts[i][first>>(8*i+6)&3]++
	}
	f.sizes |= 1 << (len(b) / 16 % 64)
}

// random says whether no byte of the first eight prefers a value.
func (f *scrambledFlow) random() bool {
	most := uint8(scrambledMost * float64(min(f.n[0]+f.n[1], scrambledCounted)))
	for _, c := range f.counts {
		for _, n := range c {
			if n > most {
				return false
			}
		}
	}
	return true
}

// fits says whether a flow has the rhythm of signalling: both sides speak, one
// after the other, with silence between exchanges of a few messages of several
// sizes each.
func (f *scrambledFlow) fits() bool {
	n := f.n[0] + f.n[1]
	kinds := 0
	for s := f.sizes; s != 0; s &= s - 1 {
		kinds++
	}
	return f.last-f.first >= scrambledSpan && 5*min(f.n[0], f.n[1]) >= n &&
		3*f.turns >= n && 10*f.pauses >= n && kinds >= 4 && f.random()
}
