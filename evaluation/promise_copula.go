package evaluation

import (
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
	promiseEvents     = 10     // of an urn, in a likeness
	promiseHour       = 3600.0 // of a sighting, in a likeness
	promiseRanks      = 400    // of a reference of likenesses
	promisePosteriors = 128    // latents drawn to weigh a history
	promiseCandidates = 64     // latents drawn to find one of a rank
	promiseFarthest   = 24.0   // nats below the proposal from where a profile's part is dropped
)

// promiseReference is a sample of the likenesses of one family under one
// column, in order.
type promiseReference []float64

// refer draws the references of all classes, which weights by correlation need.
func (w *promiseWorld) refer(seed uint64) error {
	w.priors = make([][]promiseReference, len(w.columns))
	return promiseEach(len(w.columns), func(c int) error {
		if c < w.boxes() {
			return nil
		}
		r := rand.New(rand.NewPCG(seed, uint64(c)))
		w.priors[c] = make([]promiseReference, len(w.families))
		for f := range w.families {
			ref := make(promiseReference, promiseRanks)
			for i := range ref {
				ref[i] = w.likeness(c, f, func(signal int) promiseLatent { return w.draw(r, signal, c) })
			}
			slices.Sort(ref)
			w.priors[c][f] = ref
		}
		return nil
	})
}

// normal gives the place of a likeness as a normal quantile. Ties and what lies
// between ranks are drawn.
func (p promiseReference) normal(r *rand.Rand, x float64) float64 {
	low, _ := slices.BinarySearch(p, x)
	high := low
	for high < len(p) && p[high] == x {
		high++
	}
	u := (float64(low) + r.Float64()*float64(high-low+1)) / float64(len(p)+1)
	return math.Sqrt2 * math.Erfinv(2*min(max(u, 1e-9), 1-1e-9)-1)
}

func (w *promiseWorld) likeness(column, family int, latent func(signal int) promiseLatent) float64 {
	total := 0.0
	for i, f := range w.family {
		if f != family {
			continue
		}
		l := latent(i)
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

// coupled draws a line of a column whose families are correlated.
func (w *promiseWorld) coupled(r *rand.Rand, column int, rho float64) []promiseLatent {
	common := r.NormFloat64()
	out := make([]promiseLatent, len(w.family))
	type candidate struct {
		likeness, tie float64
		latents       []promiseLatent
	}
	for f := range w.families {
		z := math.Sqrt(rho)*common + math.Sqrt(1-rho)*r.NormFloat64()
		u := 0.5 * math.Erfc(-z/math.Sqrt2)
		all := make([]candidate, promiseCandidates)
		for i := range all {
			var latents []promiseLatent
			l := w.likeness(column, f, func(signal int) promiseLatent {
				x := w.draw(r, signal, column)
				latents = append(latents, x)
				return x
			})
			all[i] = candidate{l, r.Float64(), latents}
		}
		slices.SortFunc(all, func(a, b candidate) int {
			if a.likeness < b.likeness || a.likeness == b.likeness && a.tie < b.tie {
				return -1
			}
			return 1
		})
		of := all[min(int(u*promiseCandidates), promiseCandidates-1)].latents
		for i, g := range w.family {
			if g == f {
				out[i], of = of[0], of[1:]
			}
		}
	}
	return out
}

// posterior draws a latent of a signal given what was seen of it.
func (w *promiseWorld) posterior(r *rand.Rand, e *promiseEvidence, signal, column int) promiseLatent {
	s := &w.cat.Signals[signal]
	seen, ok := w.model.Seen(e.counts, s.ID)
	if !ok {
		return w.draw(r, signal, column)
	}
	if s.Kind == catalogue.Static {
		return promiseLatent{category: seen.Category}
	}
	rows := slices.Clone(w.rows[signal][column])
	most := math.Inf(-1)
	logs := make([]float64, len(rows))
	t := float64(seen.Exposure) / 1e9
	for i, row := range rows {
		l := math.Log(row.W)
		if s.Kind == catalogue.Urn {
			n := 0.0
			for j, k := range seen.Counts {
				l += promiseRising(row.P[j]*row.N, float64(k))
				n += float64(k)
			}
			l -= promiseRising(row.N, n)
		} else {
			none, later := -row.A*math.Log1p(t/row.Tau), -row.A*math.Log1p((t+promiseBin)/row.Tau)
			l += none
			if seen.Sighted {
				l += math.Log(-math.Expm1(later - none))
			}
		}
		logs[i] = l
		most = max(most, l)
	}
	sum := 0.0
	for i := range rows {
		rows[i].W = math.Exp(logs[i] - most)
		sum += rows[i].W
	}
	for i := range rows {
		rows[i].W /= sum
	}
	row := promisePick(r, rows)
	if s.Kind == catalogue.Urn {
		alpha := make([]float64, len(row.P))
		for j, p := range row.P {
			alpha[j] = p*row.N + float64(seen.Counts[j])
		}
		return promiseLatent{p: promiseDirichlet(r, alpha)}
	}
	if !seen.Sighted {
		return promiseLatent{rate: promiseGamma(r, row.A) / (row.Tau + t)}
	}
	// When in its bin it came, and then the rate of a line that it came to then.
	none, later := math.Exp(-row.A*math.Log1p(t/row.Tau)), math.Exp(-row.A*math.Log1p((t+promiseBin)/row.Tau))
	at := row.Tau * math.Exp(-math.Log(none-r.Float64()*(none-later))/row.A)
	return promiseLatent{rate: promiseGamma(r, row.A+1) / at}
}

func promiseRising(from, n float64) float64 {
	a, _ := math.Lgamma(from + n)
	b, _ := math.Lgamma(from)
	return a - b
}

// weights of a history: of each target class, by correlation.
func (b *promiseBatch) weights(r *rand.Rand, e *promiseEvidence, p promiseProposal) promiseHit {
	x := p.weigh(e)
	drawn := x.drawn()
	rhos := b.law.rhos
	if len(rhos) == 0 {
		rhos = []float64{0}
	}
	out := make(promiseHit, len(rhos))
	for i := range out {
		out[i] = make([]float64, len(b.law.targets))
	}
	for j, k := range b.law.targets {
		if len(b.law.rhos) == 0 || k == b.base.modelled() {
			for i := range rhos {
				out[i][j] = math.Exp(x.class(k) - drawn)
			}
			continue
		}
		for c := b.base.first[k]; c < b.base.first[k+1]; c++ {
			share := math.Log(b.base.columns[c].weight) + x.base.column(c) - drawn
			if share < -promiseFarthest {
				continue
			}
			for i, more := range b.base.coupling(r, e, x.base.seen, c, rhos) {
				out[i][j] += math.Exp(share) * more
			}
		}
	}
	return out
}

// coupling is by how much more likely a history is under a column when its
// families are correlated: over the common factor, the product over families
// of the density of their ranks given the factor, which is a mean over
// latents drawn as the history has them. What was not seen has a mean of 1.
func (w *promiseWorld) coupling(r *rand.Rand, e *promiseEvidence, seen []int, column int, rhos []float64) []float64 {
	ranks := make([][promisePosteriors]float64, len(seen))
	for i, f := range seen {
		for j := range ranks[i] {
			l := w.likeness(column, f, func(signal int) promiseLatent { return w.posterior(r, e, signal, column) })
			ranks[i][j] = w.priors[column][f].normal(r, l)
		}
	}
	out := make([]float64, len(rhos))
	for k, rho := range rhos {
		if rho == 0 {
			out[k] = 1
			continue
		}
		out[k] = 0
		for i, x := range promiseOverFactor(ranks, rho) {
			z := promiseCommon(i)
			out[k] += math.Exp(x-z*z/2) * promiseStep / math.Sqrt(2*math.Pi)
		}
	}
	return out
}

// The common factor is summed over promiseSteps values, promiseStep apart.
const (
	promiseStep  = 0.25
	promiseSteps = 41
)

func promiseCommon(i int) float64 { return float64(i-promiseSteps/2) * promiseStep }

// promiseOverFactor gives the log of the product over families at each value of
// the common factor.
func promiseOverFactor(ranks [][promisePosteriors]float64, rho float64) (out [promiseSteps]float64) {
	for i := range ranks {
		var sum [promiseSteps]float64
		for _, x := range ranks[i] {
			// The density of rank x at factor z over that at large is the exponential of
			// (-rho x^2 + 2 sqrt(rho) x z - rho z^2) / 2(1-rho): from one z to the next
			// its part with x grows by the same ratio.
			at := math.Exp((-rho*x*x/2 + math.Sqrt(rho)*x*promiseCommon(0)) / (1 - rho))
			ratio := math.Exp(math.Sqrt(rho) * x * promiseStep / (1 - rho))
			for j := range sum {
				sum[j] += at
				at *= ratio
			}
		}
		for j := range out {
			z := promiseCommon(j)
			out[j] += math.Log(sum[j]/promisePosteriors) - rho*z*z/2/(1-rho) - math.Log(1-rho)/2
		}
	}
	return out
}
