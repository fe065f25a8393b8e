package evaluation

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"simtrap/heuristics/catalogue"
)

// Families of a class are independent given its profile, says the model. Here
// they are not: what makes a line look like a box in one family makes it look
// so in the others. Each family's latents are ordered by their likeness to a
// box, the expected log ratio of boxes to class over ten events and an hour,
// and the ranks are coupled by a Gaussian copula with one common factor. Every
// family for itself stays as the tables say.

const (
	promiseEvents = 10     // of an urn, in a likeness
	promiseHour   = 3600.0 // of a sighting, in a likeness
	promiseRanks  = 1000   // latents of a family, from which those of a rank are taken
)

// promiseReference is a sample of the latents of one family under one column,
// in order of likeness; the latents themselves are drawn again by their seed.
type promiseReference []promiseRanked

type promiseRanked struct {
	likeness float64
	seed     uint64
}

// refer draws the references of all classes.
func (w *promiseWorld) refer(seed uint64) error {
	w.references = make([][]promiseReference, len(w.columns))
	return promiseEach(len(w.columns), func(c int) error {
		if c < w.boxes() {
			return nil
		}
		r := rand.New(rand.NewPCG(seed, uint64(c)))
		w.references[c] = make([]promiseReference, len(w.families))
		for f := range w.families {
			ref := make(promiseReference, promiseRanks)
			for i := range ref {
				ref[i].seed = r.Uint64()
				ref[i].likeness = w.likeness(c, f, w.latents(ref[i].seed, c, f))
			}
			// What is alike, as categories are, stays in the order of the draw.
			slices.SortStableFunc(ref, func(a, b promiseRanked) int { return cmp.Compare(a.likeness, b.likeness) })
			w.references[c][f] = ref
		}
		return nil
	})
}

// latents of one family under a column, in the order of its signals.
func (w *promiseWorld) latents(seed uint64, column, family int) []promiseLatent {
	r := rand.New(rand.NewPCG(seed, uint64(family)))
	var out []promiseLatent
	for i, f := range w.family {
		if f == family {
			out = append(out, w.draw(r, i, column))
		}
	}
	return out
}

func (w *promiseWorld) likeness(column, family int, latents []promiseLatent) float64 {
	total := 0.0
	for i, f := range w.family {
		if f != family {
			continue
		}
		l := latents[0]
		latents = latents[1:]
		s, ratios := &w.cat.Signals[i], w.ratios[i][column]
		switch s.Kind {
		case catalogue.Urn:
			for j, p := range l.p {
				total += promiseEvents * p * ratios[j]
			}
		case catalogue.Static:
			total += ratios[l.category]
		default:
			none := math.Exp(-l.rate * promiseHour)
			total += none*ratios[0] + (1-none)*ratios[1]
		}
	}
	return total
}

// ratio is, of a signal and column, the log ratio of boxes to class for each
// category; of a sighting, for none in an hour and for one.
func (w *promiseWorld) ratio(signal, column int) []float64 {
	s, rows := &w.cat.Signals[signal], w.rows[signal][column]
	if s.Kind == catalogue.Sighting {
		box, class := 0.0, promiseNoneBy(rows, promiseHour)
		for b := range w.boxes() {
			box += w.columns[b].weight * promiseNoneBy(w.rows[signal][b], promiseHour)
		}
		return []float64{math.Log(box / class), math.Log((1 - box) / (1 - class))}
	}
	out := promiseBoxMean(w.cat, s)
	for j := range out {
		out[j] = math.Log(out[j] / promiseMean(rows, j))
	}
	return out
}

func promiseMean(rows []catalogue.Row, category int) float64 {
	m := 0.0
	for _, r := range rows {
		m += r.W * r.P[category]
	}
	return m
}

// coupled draws a line of a column whose families are correlated, given the
// common factor.
func (w *promiseWorld) coupled(r *rand.Rand, column int, rho, common float64) []promiseLatent {
	out := make([]promiseLatent, len(w.family))
	for f := range w.families {
		z := math.Sqrt(rho)*common + math.Sqrt(1-rho)*r.NormFloat64()
		rank := min(int(0.5*math.Erfc(-z/math.Sqrt2)*promiseRanks), promiseRanks-1)
		of := w.latents(w.references[column][f][rank].seed, column, f)
		for i, g := range w.family {
			if g == f {
				out[i], of = of[0], of[1:]
			}
		}
	}
	return out
}

// The common factor of half of the lines that are drawn comes from far on the
// boxes' side. No line's weight is more than twice its class's.
const promiseFar, promiseWide = 2.5, 1.2

// promiseCommon draws a common factor and gives its weight.
func promiseCommon(r *rand.Rand) (z, weight float64) {
	z = r.NormFloat64()
	if r.IntN(2) == 0 {
		z = promiseFar + promiseWide*z
	}
	own := math.Exp(-z * z / 2)
	d := (z - promiseFar) / promiseWide
	return z, own / ((own + math.Exp(-d*d/2)/promiseWide) / 2)
}

// share is how many of the lines that are correlated are drawn from a target:
// half of them by the classes' shares, half alike.
func (b *promiseBatch) share(target int) float64 {
	targets := b.law.targets
	return (1/float64(len(targets)) + b.base.cat.Classes[targets[target]].Weight) / 2
}

// correlated draws the latents of a line and gives its target and weight.
func (b *promiseBatch) correlated(r *rand.Rand) (latents []promiseLatent, target int, weight float64) {
	u := r.Float64()
	for target < len(b.law.targets)-1 {
		if u -= b.share(target); u < 0 {
			break
		}
		target++
	}
	k, p := b.law.targets[target], b.share(target)
	if k == b.base.modelled() { // its families are of different classes
		return b.law.honest(r, k).latents(r), target, 1 / p
	}
	z, weight := promiseCommon(r)
	return b.base.coupled(r, b.base.profile(r, k), b.law.rho, z), target, weight / p
}
