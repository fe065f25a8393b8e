// Package tunnel counts calls in flows of which nothing can be read: tunnels,
// makers' relays, anything that carries many voice streams as one. It looks at
// three things that encryption leaves as they are: how many packets of the size
// of voice there are, at which moments of the packet time they come, and how the
// rate goes up and down as calls begin and end.
//
// It is pure: an Interval says what one flow did in two seconds, a Counter makes
// a Count of some of them. A Meter keeps intervals from packets; a kernel program
// can keep the same, it takes nothing but counters.
package tunnel

import "time"

// The form of an interval. Length is a whole number of Fold, so that phases of
// one interval go on in the next.
const (
	Length     = 2400 * time.Millisecond // of an interval
	Slot       = 100 * time.Millisecond
	Fold       = 120 * time.Millisecond // the least common multiple of 10, 20, 30, 40 and 60 ms
	Slots      = int(Length / Slot)
	Phases     = 120 // of Fold, a millisecond each
	BinBytes   = 8
	Bins       = 48
	VoiceBytes = BinBytes * Bins // payloads below are of the size of voice
	least      = 24              // and those above: keepalives and bare acknowledgements are not
)

// Way is one direction of a flow in one interval. Counters stand still at their
// largest.
type Way struct {
	// Packets are those with a payload above the transport (UDP, TCP) or, where
	// there is none, above IP.
	Packets uint16
	Bytes   uint32       // of payload
	Sizes   [Bins]uint16 // packets by payload, eight bytes a bin
	Large   uint16       // packets of VoiceBytes or more
	// SlotCount is how many packets of the size of voice came in each tenth of a
	// second since the interval's beginning.
	SlotCount [Slots]uint8
	// Phase is how many of these came at each millisecond of Fold, by the clock
	// since the Unix epoch.
	Phase [Phases]uint8
	// SlotBytes are payload bytes of all packets by Slot, in units of 16.
	SlotBytes [Slots]uint16
}

// Interval is both directions of a flow in one interval. Up is from the
// subscriber.
type Interval struct {
	Start int64 // ns since the Unix epoch, a multiple of Length
	Up    Way
	Down  Way
	// Stream says that the flow is TCP: packets inside may be put together or cut
	// up, so that sizes and moments are the connection's and not theirs.
	Stream bool
}

func bump[T uint8 | uint16](c *T) {
	if *c+1 != 0 {
		*c++
	}
}

// Add accounts a packet of size bytes of payload that came at t, ns since the
// Unix epoch, in an interval that begins at start.
func (w *Way) Add(start, t int64, size int) {
	if size <= 0 {
		return
	}
	bump(&w.Packets)
	if s := w.Bytes + uint32(min(size, 1<<16)); s > w.Bytes {
		w.Bytes = s
	}
	slot := min(max(t-start, 0)/int64(Slot), int64(Slots-1))
	w.SlotBytes[slot] = uint16(min(int(w.SlotBytes[slot])+(min(size, 1<<16)+8)/16, 1<<16-1))
	if size >= VoiceBytes {
		bump(&w.Large)
		return
	}
	bump(&w.Sizes[size/BinBytes])
	if size < least {
		return
	}
	bump(&w.SlotCount[slot])
	bump(&w.Phase[uint64(t)%uint64(Fold)/uint64(time.Millisecond)])
}
