package control

import (
	"bytes"
	"encoding/binary"

	"simtrap/packet"
)

const (
	// maxHeld is the most a Stream keeps of a frame that is not complete.
	maxHeld = 512
	// maxGarbage is how much may pass without a frame before a Stream gives up.
	maxGarbage = 4096
)

type framing uint8

const (
	framingOpen framing = iota // no frame seen yet
	framingSIMBank
	framingDinstar
	framingOver
)

// Stream finds messages in one direction of a TCP stream. It holds at most 512
// bytes. After bytes that make no sense it looks for the next header; after
// 4 KiB of them it gives up for good.
type Stream struct {
	set     *Set
	framing framing
	dinstar dinstarStream
	held    []byte
	want    int // bytes to hold before trying again; more than are held
	skip    int // bytes of a body still to be passed over
	garbage int
}

// NewStream makes a Stream for one direction of a connection whose payload
// Looks like one of the protocols; it need not be its beginning.
func (s *Set) NewStream() *Stream {
	s.stats.Streams++
	return &Stream{set: s}
}

// Over says that the stream is none of the protocols, or no longer; nothing
// will come of pushing more.
func (st *Stream) Over() bool { return st.framing == framingOver }

// Gap says that bytes of the stream are missing before the next Push.
func (st *Stream) Gap() {
	st.set.stats.Gaps++
	st.held, st.skip = st.held[:0], 0
	st.garbage++ // not where a frame begins, most likely
}

// Push takes the next piece of the stream, and calls emit for each record
// completed by it, before it returns. Records bear the time and addresses of
// the packet that completed them, and are the callee's to keep.
func (st *Stream) Push(p *packet.Packet, emit func(*Record)) {
	data := p.Payload
	out := func(r *Record) { st.set.emit(p, r, emit) }
	for len(data) > 0 && st.framing != framingOver {
		if st.skip > 0 {
			n := min(st.skip, len(data))
			st.skip -= n
			data = data[n:]
			continue
		}
		if len(st.held) == 0 {
			done, want := st.step(data, true, p.Time, out)
			if done == 0 {
				st.held, st.want = append(st.held[:0], data...), want
				break
			}
			n := min(done, len(data))
			data = data[n:]
			continue
		}
		n := min(st.want-len(st.held), len(data))
		st.held = append(st.held, data[:n]...)
		data = data[n:]
		st.drain(len(data) == 0, p.Time, out)
	}
	if p.Cut() && st.framing != framingOver {
		st.Gap()
	}
	if st.framing == framingOver {
		st.held = nil
	}
}

// drain steps through what is held until more is wanted.
func (st *Stream) drain(last bool, now int64, emit func(*Record)) {
	for len(st.held) > 0 && st.framing != framingOver {
		done, want := st.step(st.held, last, now, emit)
		if done == 0 {
			st.want = want
			return
		}
		st.held = st.held[:copy(st.held, st.held[done:])]
		n := min(st.skip, len(st.held))
		st.skip -= n
		st.held = st.held[:copy(st.held, st.held[n:])]
	}
}

// step reads one frame at the beginning of b, or passes over what is none. It
// gives the number of bytes done with, from 1 to len(b), or 0 and how many it
// wants, more than len(b) and at most maxHeld. last says that nothing follows b
// yet.
func (st *Stream) step(b []byte, last bool, now int64, emit func(*Record)) (done, want int) {
	for _, f := range [...]framing{framingSIMBank, framingDinstar} {
		if st.framing != framingOpen && st.framing != f {
			continue
		}
		var r *Record
		switch f {
		case framingSIMBank:
			if !simbankPrefix(b) {
				continue
			}
			r, done, want = simbankStep(b, last)
			if r != nil {
				emit(r)
			} else if done > 0 {
				st.waste(done)
				return done, 0
			}
		case framingDinstar:
			if len(b) >= dinstarHeader && !dinstarLooks(b) || b[0] != 0 {
				continue
			}
			done, want, st.skip = st.dinstar.step(b, st.framing == framingOpen || st.garbage > 0, now, emit)
		}
		switch {
		case done > 0:
			st.framing, st.garbage = f, 0
			return done, 0
		case want > len(b):
			return 0, want
		}
	}
	// Pass over what cannot begin a frame, one byte at least.
	n := 1
	for n < len(b) && !st.begins(b[n:]) {
		n++
	}
	st.waste(n)
	return n, 0
}

func (st *Stream) waste(n int) {
	st.set.stats.Garbage += uint64(n)
	if st.garbage += n; st.garbage >= maxGarbage {
		st.framing = framingOver
		st.set.stats.GaveUp++
	}
}

// begins says whether a frame may begin with b, of which one byte may be there
// or many.
func (st *Stream) begins(b []byte) bool {
	if st.framing != framingDinstar && simbankPrefix(b) {
		return true
	}
	if st.framing == framingSIMBank || b[0] != 0 {
		return false
	}
	return len(b) < dinstarHeader || dinstarLooks(b)
}

func simbankPrefix(b []byte) bool {
	magic := binary.LittleEndian.AppendUint32(make([]byte, 0, 4), simbankMagic)
	return bytes.HasPrefix(b, magic[:min(4, len(b))])
}
