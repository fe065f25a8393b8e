package link

import (
	"math"
	"time"
)

// What two lines must reach, in nats, to be taken for one.
const (
	// SameBox: odds of 9 to 1 for one box among 69,000 lines that gate as
	// gateways might (research note literature, 3b): ln(69,000 x 9).
	SameBox = 13.3
	// SameHand: odds of 9 to 1 where a hand drives a score of these lines:
	// ln(69,000 / 20 x 9) is 10.3, less what the sums below are capped by.
	SameHand = 10.0
)

const (
	population = 69_000    // lines that might hold a box, for what only they have
	identities = 1_000_000 // what false readings and made-up identities leave of the uniqueness of cards and accounts
	kept       = 0.9       // that the same box shows the same again

	cardNats       = 11.5
	accountNats    = 11.0
	accountHand    = 11.5
	contactNats    = 3.9 // private addresses are few: one pair of homes in fifty has the same
	cnameNats      = 4.6 // what one maker's software signs with, one pair in a hundred
	controllerNats = 4.5 // with the two above less than SameBox: one installer gives all three to many
	handNats       = 11.0
	rarityNats     = 6.9 // one controller and one shape: a thousand to one
	clockNats      = 3.0 // a lot of oscillators agrees more closely than chance
	clockAgainst   = -4.0
	handoverNats   = 3.0
	subscriberNats = 6.0
	atOnce         = -6.0
	otherShape     = -4.0
	otherHand      = -2.3

	// weakController: a far end that says less joins nobody and is no evidence.
	weakController = 4.0
)

// rarity is the logarithm of how much more often one box shows a key again than
// another line of n shows it by chance, if f of them bear it.
func rarity(n, f int) float64 {
	return math.Log(kept * float64(n) / float64(max(f, 2)))
}

// Dedication is how much more likely the lines of a controller are if one hand
// drives them all than if it is a service that many use, nats, at most 11 with the
// rarity of the controller in it. Three things are asked of it: how many of its
// lines are suspect by themselves, how many lines there are, and how alike the
// software of these is. Before a sensor has told an hour of it, nobody knows how
// many lines use it that are no suspects, and it says nothing.
func (c Controller) Dedication() float64 {
	n := c.all()
	if n < 2 || c.Lines == 0 {
		return 0
	}
	d := min(rarity(population, n), rarityNats)
	d += clamp(Share(n, c.Watch), -7, 3.5)
	d += clamp(size(n), -7, 1)
	d += clamp(alike(c.Shaped, c.Shapes), -3, 3)
	return clamp(d, 0, handNats)
}

// Share is the logarithm of the likelihood of r suspect lines among n if the
// controller drives boxes, over that if it is a hosted exchange or a wholesaler,
// whichever of the two makes them likelier. The shares of suspect lines are
// Beta(4, 1) for boxes, Beta(0.2, 20) for a hosted exchange, Beta(1, 2) for a
// wholesaler, between controllers.
func Share(n, r int) float64 {
	r = min(max(r, 0), n)
	return betaBinomial(n, r, 4, 1) - max(betaBinomial(n, r, 0.2, 20), betaBinomial(n, r, 1, 2))
}

// betaBinomial is ln P(r of n) without the number of ways, which cancels.
func betaBinomial(n, r int, a, b float64) float64 {
	return lbeta(a+float64(r), b+float64(n-r)) - lbeta(a, b)
}

func lbeta(a, b float64) float64 { return lgamma(a) + lgamma(b) - lgamma(a+b) }

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// size weighs the number of lines: rings of police reports have a handful (median
// 6, e-fold spread), services many (median 60, spread 1.5 e-folds).
func size(n int) float64 {
	x := math.Log(float64(n))
	ring := x - math.Log(6)
	service := (x - math.Log(60)) / 1.5
	return math.Log(1.5) + (service*service-ring*ring)/2
}

// alike weighs how many header shapes m lines have, by Ewens' sampling formula
// with concentration 0.3 for one hand, which buys of one maker, and 3 for many.
func alike(m, shapes int) float64 {
	if m < 2 || shapes < 1 {
		return 0
	}
	const one, many = 0.3, 3.0
	n := float64(m)
	return float64(shapes)*math.Log(one/many) + lgamma(one) - lgamma(one+n) - lgamma(many) + lgamma(many+n)
}

// clocks weighs two rates, ppm with half widths of uncertainty, for one
// oscillator against two: the same wanders by half a ppm with temperature, others
// lie within 60 ppm of the true rate, one in five close to it, since it takes its
// clock from a network.
func clocks(a, ea, b, eb float64) float64 {
	if !(ea > 0) || !(eb > 0) || !finite(a, ea, b, eb) {
		return 0
	}
	sigma := math.Sqrt(ea*ea/4 + eb*eb/4 + 0.25)
	one := normal(a-b, sigma)
	two := 0.8/120 + 0.2*normal(b, math.Hypot(eb/2, 0.5))
	return clamp(math.Log(one+1e-300)-math.Log(two), clockAgainst, clockNats)
}

func normal(x, sigma float64) float64 {
	return math.Exp(-x*x/(2*sigma*sigma)) / (sigma * math.Sqrt(2*math.Pi))
}

func finite(vs ...float64) bool {
	for _, v := range vs {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

func clamp(v, low, high float64) float64 { return min(max(v, low), high) }

const (
	slack       = int64(10 * time.Minute) // sensors join spans over less
	handoverMax = int64(28 * 24 * time.Hour)
	leastPause  = int64(time.Hour)
)

// shown are the spans of the line that show when it was active.
func (l *Line) shown() []Span {
	if len(l.Active) >= MaxSpans {
		return l.Active[:MaxSpans-1]
	}
	return l.Active
}

// together is for how long both lines were active at once, ns.
func together(a, b []Span) int64 {
	var sum int64
	for i, j := 0, 0; i < len(a) && j < len(b); {
		sum += max(0, min(a[i].To, b[j].To)-max(a[i].From, b[j].From))
		if a[i].To < b[j].To {
			i++
		} else {
			j++
		}
	}
	return sum
}

// change is what two lines' times say, with the words for it: a format for one
// duration.
type change struct {
	nats   float64
	format string
	time   time.Duration
}

// handover weighs when the lines were active: at once, which one box cannot be,
// or the one from when the other fell silent for good.
func handover(a, b *Line) change {
	sa, sb := a.shown(), b.shown()
	if len(sa) == 0 || len(sb) == 0 {
		return change{}
	}
	if a.Access == b.Access && (a.Subscriber == b.Subscriber || a.Subscriber == "" || b.Subscriber == "") {
		return change{} // one access, seen twice or in two epochs
	}
	if t := together(sa, sb); t > slack {
		return change{atOnce, "both active at once for %s", round(t)}
	}
	if a.Subscriber != "" && a.Subscriber == b.Subscriber {
		return change{subscriberNats, "the same subscriber, %s apart", round(max(sa[0].From-sb[len(sb)-1].To, sb[0].From-sa[len(sa)-1].To, 0))}
	}
	if sb[0].From < sa[0].From {
		a, b, sa, sb = b, a, sb, sa
	}
	end := sa[len(sa)-1].To
	gap := sb[0].From - end
	if gap < -slack || gap > handoverMax || len(a.Active) >= MaxSpans {
		return change{}
	}
	// A line that is often silent for as long shows nothing by being so again.
	pause := leastPause
	for i := 1; i < len(sa); i++ {
		pause = max(pause, sa[i].From-sa[i-1].To)
	}
	if sb[len(sb)-1].To-end < 2*pause {
		return change{}
	}
	nats := clamp(math.Log(0.8*float64(handoverMax)/float64(max(gap, leastPause))), 0, handoverNats)
	return change{nats, "one active from %s after the other fell silent", round(max(gap, 0))}
}

func round(ns int64) time.Duration { return time.Duration(ns).Round(time.Second) }
