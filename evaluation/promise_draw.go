package evaluation

import (
	"math"
	"math/rand/v2"

	"simtrap/heuristics/catalogue"
)

// promiseLatent is what one signal of one line is like: of an urn its own
// probabilities, of a static trait its category, of a sighting the rate and
// when it comes, seconds of exposure.
type promiseLatent struct {
	p        []float64
	category int
	rate     float64
	at       float64
}

// draw gives a line's latent of a signal under a column, as its table says that
// lines differ.
func (w *promiseWorld) draw(r *rand.Rand, signal, column int) promiseLatent {
	row := promisePick(r, w.rows[signal][column])
	switch w.cat.Signals[signal].Kind {
	case catalogue.Urn:
		alpha := make([]float64, len(row.P))
		for j, p := range row.P {
			alpha[j] = p * row.N
		}
		return promiseLatent{p: promiseDirichlet(r, alpha)}
	case catalogue.Static:
		return promiseLatent{category: promiseCategory(r, row.P)}
	default:
		rate := promiseGamma(r, row.A) / row.Tau
		return promiseLatent{rate: rate, at: r.ExpFloat64() / rate}
	}
}

func promisePick(r *rand.Rand, rows []catalogue.Row) *catalogue.Row {
	u := r.Float64()
	for i := range rows {
		if u -= rows[i].W; u < 0 {
			return &rows[i]
		}
	}
	return &rows[len(rows)-1]
}

func promiseCategory(r *rand.Rand, p []float64) int {
	u := r.Float64()
	for i, x := range p {
		if u -= x; u < 0 {
			return i
		}
	}
	return len(p) - 1
}

func promiseGamma(r *rand.Rand, shape float64) float64 { return math.Exp(promiseLogGamma(r, shape)) }

// promiseLogGamma draws the log of a Gamma variable: small shapes have values
// too small to be written. Marsaglia and Tsang (2000), with their step up for
// shapes below 1.
func promiseLogGamma(r *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return promiseLogGamma(r, shape+1) - r.ExpFloat64()/shape
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-r.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return math.Log(d * v)
		}
	}
}

func promiseDirichlet(r *rand.Rand, alpha []float64) []float64 {
	out := make([]float64, len(alpha))
	most := math.Inf(-1)
	for j, a := range alpha {
		out[j] = promiseLogGamma(r, a)
		most = max(most, out[j])
	}
	sum := 0.0
	for j := range out {
		out[j] = math.Exp(out[j] - most)
		sum += out[j]
	}
	for j := range out {
		out[j] /= sum
	}
	return out
}

// promiseSource tells, for a line, from which column of which world each family
// comes.
type promiseSource []struct {
	w      *promiseWorld
	column int
}

// latents draws every signal of a line from its sources.
func (s promiseSource) latents(r *rand.Rand) []promiseLatent {
	w := s[0].w
	out := make([]promiseLatent, len(w.family))
	for i, f := range w.family {
		out[i] = s[f].w.draw(r, i, s[f].column)
	}
	return out
}

// pool draws a column as the pool has it: every modelled class alike.
func (w *promiseWorld) pool(r *rand.Rand) int {
	return w.profile(r, r.IntN(w.modelled()))
}

// profile draws a column of a modelled class.
func (w *promiseWorld) profile(r *rand.Rand, class int) int {
	u := r.Float64()
	for c := w.first[class]; c < w.first[class+1]; c++ {
		if u -= w.columns[c].weight; u < 0 {
			return c
		}
	}
	return w.first[class+1] - 1
}

// box draws a box type.
func (w *promiseWorld) box(r *rand.Rand) int {
	u := r.Float64()
	for b := range w.boxes() {
		if u -= w.columns[b].weight; u < 0 {
			return b
		}
	}
	return w.boxes() - 1
}

// boxFamily draws the column that a family of a box comes from.
func (w *promiseWorld) boxFamily(r *rand.Rand, box int) int {
	if r.Float64() < promiseBoxShare {
		return box
	}
	return w.pool(r)
}
