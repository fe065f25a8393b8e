package heuristics

import (
	"slices"

	"simtrap/ident"
)

// exchanges are those of the line that may be signalling under a cipher of its
// own, by far end. They are taken for that when the line's calls end with those of
// one far end, and not by chance.
type exchanges struct {
	first int64 // of all
	far   []exchangesWith
}

// exchangesWith are those with one far end.
type exchangesWith struct {
	far   ident.Addr
	times []int64 // of the latest, in order
	known int64   // since when times has all
	calls int     // without signalling, over since the first exchange
	bound int     // of these, that ended with an exchange
	// chance is the sum over these calls of the share of the time before their end
	// that was within exchangeNear of an exchange, in 1/1000, and spread of
	// share·(1-share): how many would end with one, if the two had nothing to do
	// with each other, and the variance of that.
	chance, spread int
}

const (
	maxExchanges = 512
	// maxExchangeFar bounds the far ends of a line; the one that has been silent for
	// longest makes room.
	maxExchangeFar = 4
	// exchangeKept is how long an exchange waits for the end of a call to be told.
	exchangeKept = 8 * legWait
	// exchangeNear is how far from the end of a call's voice its last messages
	// may be, ns.
	exchangeNear = 2 * second
	// exchangeLook is over which time before the end of a call it is measured how
	// often there is an exchange near, ns, and exchangeShort the least of it.
	exchangeLook  = 90 * second
	exchangeShort = 20 * second
)

// Exchange takes the beginning of an exchange in a flow between the line and a
// far end that is under a cipher and has the rhythm of signalling.
func (l *Lines) Exchange(line ident.Line, far ident.Addr, t int64) {
	p := l.evident(line, t)
	if p.traits == nil || t < p.tenantSince {
		return // it had no voice so far: nobody's habits are kept without cause
	}
	if p.traits.exchanges.first == 0 {
		p.traits.exchanges.first = t
	}
	x := p.traits.exchanges.with(far, t)
	if len(x.times) > 0 && (len(x.times) >= maxExchanges || t-x.times[0] > 2*exchangeKept) {
		x.times = slices.DeleteFunc(x.times, func(o int64) bool { return t-o > exchangeKept })
		x.known = max(x.known, t-exchangeKept)
	}
	if len(x.times) >= maxExchanges {
		x.times = slices.Delete(x.times, 0, maxExchanges/4)
		x.known = x.times[0]
	}
	x.times = append(x.times, t)
}

// with gives the exchanges with a far end, which are known from t on if it is new.
func (x *exchanges) with(far ident.Addr, t int64) *exchangesWith {
	oldest := 0
	for i := range x.far {
		if x.far[i].far == far {
			return &x.far[i]
		}
		if x.far[i].last() < x.far[oldest].last() {
			oldest = i
		}
	}
	if len(x.far) < maxExchangeFar {
		x.far = append(x.far, exchangesWith{far: far, known: t})
		return &x.far[len(x.far)-1]
	}
	x.far[oldest] = exchangesWith{far: far, known: t}
	return &x.far[oldest]
}

func (x *exchangesWith) last() int64 {
	if len(x.times) == 0 {
		return 0
	}
	return x.times[len(x.times)-1]
}

// ended compares the end of a call without signalling with the exchanges.
func (x *exchanges) ended(end int64) {
	for i := range x.far {
		x.far[i].ended(end)
	}
}

func (x *exchangesWith) ended(end int64) {
	from := max(x.known, end-exchangeLook)
	if end+exchangeNear-from < exchangeShort {
		return
	}
	x.calls++
	near, until := int64(0), from
	for _, t := range x.times {
		a, b := max(t-exchangeNear, until), min(t+exchangeNear, end+exchangeNear)
		if b > a {
			near += b - a
			until = b
		}
	}
	share := int(1000 * near / (end + exchangeNear - from))
	x.chance += share
	x.spread += share * (1000 - share) / 1000
	if slices.ContainsFunc(x.times, func(t int64) bool { return t >= end-exchangeNear && t <= end+exchangeNear }) {
		x.bound++
	}
}

// signalling says that the line's calls end with exchanges: three in four of
// them, and more than would by chance, by four times its standard deviation.
func (x *exchangesWith) signalling() bool {
	const sigmas = 4
	more := 1000*x.bound - x.chance
	return x.bound >= unreadCalls && 4*x.bound >= 3*x.calls && more > 0 && more*more >= sigmas*sigmas*1000*x.spread
}

// signalling gives the far end that the line's calls end with exchanges with, nil
// for none.
func (x *exchanges) signalling() *exchangesWith {
	for i := range x.far {
		if x.far[i].signalling() {
			return &x.far[i]
		}
	}
	return nil
}
