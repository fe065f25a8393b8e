package evaluation

import (
	"math"
	"math/rand/v2"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
)

// promiseEvidence is what is known of a line so far, and what the score does
// not take from it.
type promiseEvidence struct {
	counts  *heuristics.Evidence
	reading promiseReading
	// held tells of static traits that are due and not yet read: they are none
	// of the categories that would have been.
	held []bool
}

// promiseReading is how the programs read traits, where the tables state
// another process.
type promiseReading struct {
	// ownTime has first sightings known when they come. The score takes them by
	// their bins; the truth about them is their density.
	ownTime bool
	// boxesFirst has static traits read at once where they speak for a box, and
	// promiseHeldCalls later where they do not. The score takes nothing from the wait.
	boxesFirst bool
}

const promiseHeldCalls = 30

const (
	promiseEpoch = 28 * 24 * 3600.0 // seconds (VERDICT section 5)
	promiseBin   = 15 * 60.0        // seconds, of a first sighting (VERDICT section 2)
)

// promiseSchedule is when a line calls and what the tap sees of it. It is drawn
// without regard to what the line is: the promise is made for what was seen.
type promiseSchedule struct {
	times   []float64 // of calls, seconds
	visible []bool    // by signal
	often   []float64 // by signal, how many calls count in its urn
	from    []int     // by signal, after how many calls a static trait is read
}

func newPromiseSchedule(r *rand.Rand, cat *catalogue.Catalogue, calls int) promiseSchedule {
	n := len(cat.Signals)
	s := promiseSchedule{visible: make([]bool, n), often: make([]float64, n), from: make([]int, n)}
	perSecond := math.Exp(math.Log(0.5)+r.Float64()*math.Log(120)) / 3600
	for t := 0.0; len(s.times) < calls; {
		t += r.ExpFloat64() / perSecond
		if t > promiseEpoch {
			break
		}
		s.times = append(s.times, t)
	}
	share := []float64{0.3, 0.6, 0.9, 1}[r.IntN(4)]
	for i := range n {
		s.visible[i] = r.Float64() < share
		s.often[i] = []float64{1, 1, 0.5, 0.1}[r.IntN(4)]
		s.from[i] = r.IntN(30)
	}
	return s
}

// promiseLook is called at every look; it says whether to go on.
type promiseLook func(e *promiseEvidence) bool

// live plays a line's epoch. It looks after each of the first calls, and later
// whenever a twelfth has come on top.
func (s promiseSchedule) live(r *rand.Rand, w *promiseWorld, latents []promiseLatent, how promiseReading, look promiseLook) error {
	e := &promiseEvidence{w.model.NewEvidence(), how, make([]bool, len(latents))}
	next := 1
	for n, t := range s.times {
		for i := range latents {
			g, l := &w.cat.Signals[i], &latents[i]
			if !s.visible[i] {
				continue
			}
			switch g.Kind {
			case catalogue.Urn:
				if r.Float64() < s.often[i] {
					w.model.Count(e.counts, i, promiseCategory(r, l.p))
				}
			case catalogue.Static:
				at := s.from[i]
				if how.boxesFirst && !w.speaks[i][l.category] {
					e.held[i] = n >= at && n < at+promiseHeldCalls
					at += promiseHeldCalls
				}
				if n == at {
					if err := w.model.Put(e.counts, g.ID, heuristics.Seen{Category: l.category}); err != nil {
						return err
					}
				}
			default:
				if err := w.model.Put(e.counts, g.ID, promiseSighting(l.at, t, how.ownTime)); err != nil {
					return err
				}
			}
		}
		if n+1 < next && n+1 < len(s.times) {
			continue
		}
		next = n + 2 + n/12
		if n < 24 {
			next = n + 2
		}
		if !look(e) {
			return nil
		}
	}
	return nil
}

// promiseSighting is what is known at t of a sighting that comes at a time of
// its own. On the grid of bins nothing is known before the bin is over; that
// is the process whose likelihoods the tables state.
func promiseSighting(at, t float64, ownTime bool) heuristics.Seen {
	if !ownTime {
		t = math.Floor(t/promiseBin) * promiseBin
		if at < t {
			at = math.Floor(at/promiseBin) * promiseBin
			return heuristics.Seen{Category: -1, Exposure: int64(at) * 1e9, Sighted: true}
		}
	} else if at <= t {
		return heuristics.Seen{Category: -1, Exposure: int64(at * 1e9), Sighted: true}
	}
	return heuristics.Seen{Category: -1, Exposure: int64(t * 1e9)}
}
