package evaluation

import (
	"fmt"
	"math"
	"slices"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
)

// promiseWorld is a catalogue that lines may be drawn from, with the model of
// it. Columns are the profiles in the order of Model.Likelihoods: box types
// first, then those of the modelled classes. The last class is
// catalogue.Unknown and has no column: it takes every family from the pool.
type promiseWorld struct {
	cat        *catalogue.Catalogue
	model      *heuristics.Model
	families   []string
	family     []int // of each signal
	columns    []promiseColumn
	first      []int                // column of each modelled class's first profile
	rows       [][][]catalogue.Row  // by signal and column
	ratios     [][][]float64        // of boxes to the column, by signal and column
	speaks     [][]bool             // for a box, by static signal and category
	references [][]promiseReference // by column and family, for correlations only
}

// promiseColumn is one profile of a box type or of a class.
type promiseColumn struct {
	class  string
	weight float64 // of the profile in its class; of the box type among boxes
}

func newPromiseWorld(cat *catalogue.Catalogue) (*promiseWorld, error) {
	m, err := heuristics.NewModel(cat)
	if err != nil {
		return nil, fmt.Errorf("promise: %w", err)
	}
	w := &promiseWorld{cat: cat, model: m}
	var profiles []string
	for _, b := range cat.Boxes {
		w.columns = append(w.columns, promiseColumn{b.Name, b.Weight})
		profiles = append(profiles, b.Profiles[0].Name)
	}
	for _, k := range cat.Classes {
		if k.Name == catalogue.Unknown {
			continue
		}
		w.first = append(w.first, len(w.columns))
		for _, p := range k.Profiles {
			w.columns = append(w.columns, promiseColumn{k.Name, p.Weight})
			profiles = append(profiles, p.Name)
		}
	}
	w.first = append(w.first, len(w.columns))
	for i := range cat.Signals {
		s := &cat.Signals[i]
		f := slices.Index(w.families, s.Family)
		if f < 0 {
			f = len(w.families)
			w.families = append(w.families, s.Family)
		}
		w.family = append(w.family, f)
		rows := make([][]catalogue.Row, len(w.columns))
		for c := range w.columns {
			rows[c] = s.Rows(w.columns[c].class, profiles[c])
		}
		w.rows = append(w.rows, rows)
		ratios := make([][]float64, len(w.columns))
		for c := range w.columns {
			ratios[c] = w.ratio(i, c)
		}
		w.ratios = append(w.ratios, ratios)
		speaks := make([]bool, len(s.Categories))
		for j := range speaks {
			sum := 0.0
			for _, ratio := range ratios[w.boxes():] {
				sum += ratio[j]
			}
			speaks[j] = sum > 0
		}
		w.speaks = append(w.speaks, speaks)
	}
	return w, nil
}

// boxes is how many columns are box types.
func (w *promiseWorld) boxes() int { return len(w.cat.Boxes) }

// modelled is how many classes have columns.
func (w *promiseWorld) modelled() int { return len(w.first) - 1 }

// promiseBoxShare is how much of a box's family is its own table; the rest is
// the pool (VERDICT section 3).
const promiseBoxShare = 0.95

// promiseLikely is a line's history under every column, by family: log
// likelihoods, their pools, and the boxes' own with the pool mixed in. Families
// that were not seen are left out.
type promiseLikely struct {
	w    *promiseWorld
	seen []int
	p    [][]float64 // by seen family and column
	pool []float64
	q    [][]float64 // by seen family and box
}

// likely weighs evidence as it came about, which is as the score does where the
// programs read traits as the tables state.
func (w *promiseWorld) likely(e *promiseEvidence) promiseLikely {
	logs := w.model.Likelihoods(e.counts)
	byFamily := make([][]float64, len(w.families))
	for i, l := range logs {
		switch {
		case e.reading.ownTime && w.cat.Signals[i].Kind == catalogue.Sighting:
			l = w.densities(e, i)
		case e.held[i]:
			l = w.waiting(i)
		}
		if l == nil {
			continue
		}
		f := w.family[i]
		if byFamily[f] == nil {
			byFamily[f] = make([]float64, len(w.columns))
		}
		for c := range l {
			byFamily[f][c] += l[c]
		}
	}
	out := promiseLikely{w: w}
	nb, nk := w.boxes(), w.modelled()
	for f, l := range byFamily {
		if l == nil {
			continue
		}
		pool := math.Inf(-1)
		for c := nb; c < len(l); c++ {
			pool = promiseAdd(pool, l[c]+math.Log(w.columns[c].weight/float64(nk)))
		}
		q := make([]float64, nb)
		for b := range q {
			q[b] = promiseAdd(math.Log(promiseBoxShare)+l[b], math.Log(1-promiseBoxShare)+pool)
		}
		out.seen, out.p, out.pool, out.q = append(out.seen, f), append(out.p, l), append(out.pool, pool), append(out.q, q)
	}
	return out
}

// densities of a sighting at its very time, by column.
func (w *promiseWorld) densities(e *promiseEvidence, signal int) []float64 {
	seen, ok := w.model.Seen(e.counts, w.cat.Signals[signal].ID)
	if !ok {
		return nil
	}
	out := make([]float64, len(w.columns))
	t := float64(seen.Exposure) / 1e9
	for c, rows := range w.rows[signal] {
		total := math.Inf(-1)
		for _, r := range rows {
			l := math.Log(r.W) - r.A*math.Log1p(t/r.Tau)
			if seen.Sighted {
				l += math.Log(r.A / (r.Tau + t))
			}
			total = promiseAdd(total, l)
		}
		out[c] = total
	}
	return out
}

// waiting is what it says, by column, that a static trait that is due is not
// read yet.
func (w *promiseWorld) waiting(signal int) []float64 {
	out := make([]float64, len(w.columns))
	for c, rows := range w.rows[signal] {
		p := 0.0
		for j, speaks := range w.speaks[signal] {
			if !speaks {
				p += promiseMean(rows, j)
			}
		}
		out[c] = math.Log(p)
	}
	return out
}

// class is the log likelihood of the whole history under a class as it is,
// without contamination.
func (l promiseLikely) class(k int) float64 {
	if k == l.w.modelled() {
		total := 0.0
		for f := range l.seen {
			total += l.pool[f]
		}
		return total
	}
	total := math.Inf(-1)
	for c := l.w.first[k]; c < l.w.first[k+1]; c++ {
		total = promiseAdd(total, math.Log(l.w.columns[c].weight)+l.column(c))
	}
	return total
}

func (l promiseLikely) column(c int) float64 {
	total := 0.0
	for f := range l.seen {
		total += l.p[f][c]
	}
	return total
}

// box is the log likelihood under the mixture of box types, as the score has it.
func (l promiseLikely) box() float64 {
	total := math.Inf(-1)
	for b := range l.w.boxes() {
		x := math.Log(l.w.columns[b].weight)
		for f := range l.seen {
			x += l.q[f][b]
		}
		total = promiseAdd(total, x)
	}
	return total
}

// population is the log likelihood under the honest classes by their shares.
func (l promiseLikely) population() float64 {
	total := math.Inf(-1)
	for k := range l.w.cat.Classes {
		total = promiseAdd(total, math.Log(l.w.cat.Classes[k].Weight)+l.class(k))
	}
	return total
}

func promiseAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
