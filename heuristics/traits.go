package heuristics

import (
	"simtrap/control"
	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sip"
)

// traits are facts of a line with evidence of its own that single signals read.
// Everything in it is bounded, and opened afresh with the epoch.
type traits struct {
	// Of supported calls that the line placed: who called, and whom.
	placed, reached keySet
	placedCalls     int

	blocks   keySet    // called numbers without their last two digits
	operator string    // of the newest mobile number called
	shapes   [2]keySet // header shapes of what it answers calls with: 180, 183

	signed     int // supported calls whose far end names its software
	switched   int // of these, a switch of note
	switchName string
	// Pauses between calls of a line that holds one call at a time.
	idle   int64 // since when no call is up, 0 while one is
	pauses []int64

	outageSince int64 // since when an account's absence would show
	outage      int64 // first one
	left        map[uint64]int64
	rotation    int64 // first time that another card was in a channel
	carded      int64 // first time that a channel's card was told

	subscribed int64 // first subscription of a telephone that was accepted
	camera     int64 // first message of a camera platform

	texts      keySet // recipients of short messages
	ownTexts   int    // messages of the line that its server accepted
	textsSeen  int    // short messages that count
	hours      [24]uint32
	voiceBytes uint64 // of streams that are over, both directions
	household  Household
	talked     talked    // calls of which voice alone is seen
	exchanges  exchanges // of what may be signalling under a cipher
	sealed     sealedFlows
	hellos     []Hello // of enciphered connections
	metered    int64   // first and last time that the household was measured
	meteredTo  int64
}

// Limits of the traits of one line.
const (
	maxShapes = 16
	maxPauses = 64
	maxLeft   = 64
)

func (s *keySet) has(k uint64) bool {
	return s.m != nil && s.m.At(k) != nil
}

// called notes what a supported call tells of who calls whom, after all signals
// were asked about it.
func (t *traits) called(p *profile, c *sip.Call, inbound bool) {
	far := 0
	if !inbound {
		far = 1
	}
	if agent := c.UserAgent[far]; agent != "" {
		t.signed++
		if name, ok := control.Softswitch(agent); ok {
			t.switched++
			t.switchName = name
		}
	}
	if c.Ringing != 0 || c.Progress != 0 {
		if inbound && c.CalleeShape != 0 {
			// A ring with a description has other headers than one without.
			k := 0
			if c.Progress != 0 {
				k = 1
			}
			t.shapes[k].add(c.CalleeShape, maxShapes)
		}
	}
	if inbound {
		if b, ok := c.CalledUser.Block(); ok {
			t.blocks.add(b, maxCalled)
		}
		return
	}
	t.placedCalls++
	if c.CallerKey != 0 {
		t.placed.add(c.CallerKey, maxCalled)
	}
	if c.CalleeKey != 0 {
		t.reached.add(c.CalleeKey, maxCalled)
	}
}

// refreshed follows one account's refreshes: whether it stays away while others
// of the line do not.
func (p *profile) refreshed(a *account, now int64) {
	t := p.traits
	gap := now - a.last
	if a.last == 0 {
		a.steady = now
		return
	}
	if gap < 5*second {
		return
	}
	if a.usual != 0 && gap-a.usual >= max(outageLeast, a.usual/2) {
		if len(p.accounts) >= outageAccounts && a.usual <= outageRefresh && gap-a.usual <= outageMost && p.steady(a, a.last, a.last+a.usual) >= 2 {
			t.away(a.last, now)
		}
		a.steady = now
	}
	if t.outageSince == 0 && len(p.accounts) >= outageAccounts && a.usual != 0 && a.usual <= outageRefresh {
		t.outageSince = now
	}
	if a.usual == 0 || gap < a.usual {
		a.usual = gap
	}
}

// steady counts accounts but a that were never away since a time before from
// and were refreshed after to.
func (p *profile) steady(a *account, from, to int64) (n int) {
	for _, o := range p.accounts {
		if o != a && o.steady <= from && o.last > to {
			n++
		}
	}
	return n
}

func (t *traits) away(from, now int64) {
	if t.outage == 0 {
		t.outage = now
	}
	if t.outageSince == 0 {
		t.outageSince = from
	}
}

// leaves notes that an account was taken away, and returned that it is back.
func (t *traits) leaves(key uint64, now int64) {
	if len(t.left) < maxLeft {
		if t.left == nil {
			t.left = make(map[uint64]int64)
		}
		t.left[key] = now
	}
}

func (p *profile) returned(a *account, now int64) {
	t := p.traits
	since, ok := t.left[a.key]
	if !ok {
		return
	}
	delete(t.left, a.key)
	if gone := now - since; gone >= outageLeast && gone <= outageMost && len(p.accounts) >= outageAccounts && p.steady(a, since, since) >= 2 {
		t.away(since, now)
	}
}

// busy and free follow when a line that holds one call at a time has none.
func (t *traits) busy(at int64, one bool) {
	if t.idle != 0 && one && at >= t.idle && len(t.pauses) < maxPauses {
		t.pauses = append(t.pauses, at-t.idle)
	}
	t.idle = 0
}

// spoken adds a stream that is over to the line's share of voice.
func (t *traits) spoken(s *rtp.Stream) { t.voiceBytes += s.Bytes }

// Tenancies know since when a line is in the hands that it is in now.
type Tenancies interface {
	Since(line ident.Line, t int64) (since int64, ok bool)
}
