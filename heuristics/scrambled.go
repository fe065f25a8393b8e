package heuristics

import (
	"slices"

	"simtrap/ident"
)

// exchanges are those of a flow of the line that may be signalling under a
// cipher of its own. It is taken for that when the line's calls end with them.
type exchanges struct {
	first int64
	times []int64 // of the latest, in order
	calls int     // without signalling, over since the first exchange
	bound int     // of these, that ended with an exchange
}

const (
	maxExchanges = 512
	// exchangeKept is how long an exchange waits for the end of a call to be told.
	exchangeKept = 4 * legWait
	// exchangeNear is how far from the end of a call's voice its last messages
	// may be, ns.
	exchangeNear = 2 * second
)

// Exchange takes the beginning of an exchange in a flow between the line and a
// far end that is under a cipher and has the rhythm of signalling.
func (l *Lines) Exchange(line ident.Line, far ident.Addr, t int64) {
	p := l.evident(line, t)
	if p.traits == nil || t < p.tenantSince {
		return // it had no voice so far: nobody's habits are kept without cause
	}
	x := &p.traits.exchanges
	if x.first == 0 {
		x.first = t
	}
	if len(x.times) > 0 && (len(x.times) >= maxExchanges || t-x.times[0] > 2*exchangeKept) {
		x.times = slices.DeleteFunc(x.times, func(o int64) bool { return t-o > exchangeKept })
	}
	if len(x.times) >= maxExchanges {
		x.times = slices.Delete(x.times, 0, maxExchanges/4)
	}
	x.times = append(x.times, t)
	if x.signalling() {
		p.saw(far, roleTrunkPeer)
	}
}

// ended compares the end of a call without signalling with the exchanges.
func (x *exchanges) ended(end int64) {
	if x.first == 0 || end < x.first {
		return
	}
	x.calls++
	if slices.ContainsFunc(x.times, func(t int64) bool { return t >= end-exchangeNear && t <= end+exchangeNear }) {
		x.bound++
	}
}

// signalling says that the line's calls end with exchanges.
func (x *exchanges) signalling() bool { return x.bound >= unreadCalls && 4*x.bound >= 3*x.calls }
