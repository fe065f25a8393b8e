package evaluation

import (
	"math"
	"math/rand/v2"

	"simtrap/heuristics/catalogue"
)

// promiseLaw is how lines truly are: as one of several worlds says, drawn by
// line. The score's own world is always the first.
type promiseLaw struct {
	parts   []promisePart
	reading promiseReading
	rho     float64 // correlation between families
	targets []int   // classes asked about
}

type promisePart struct {
	weight float64
	w      *promiseWorld
}

// promiseProposal is what lines are drawn from to estimate what is rare: boxes
// as the score has them; lines that are box in some families and honest in the
// others; lines that are half way to a box in all; and honest lines as the law
// has them. Each weighs a quarter, and a line's weight is by the mixture of all
// four, whichever it came from: so no weight exceeds four times the law's over
// the boxes'.
type promiseProposal struct {
	base   *promiseWorld
	tilted *promiseWorld // half way to the boxes
	law    promiseLaw
}

const promiseKinds = 4 // of lines that are drawn

// sources draws where the families of a line come from.
func (p promiseProposal) sources(r *rand.Rand) promiseSource {
	kind := r.IntN(promiseKinds)
	out := make(promiseSource, len(p.base.families))
	box := p.base.box(r)
	part, class := p.law.part(r), p.law.targets[r.IntN(len(p.law.targets))]
	if kind == 2 {
		part = p.tilted
	}
	column := -1
	if class < p.base.modelled() {
		column = part.profile(r, class)
	}
	for f := range out {
		if kind == 0 || kind == 1 && r.IntN(2) == 0 {
			out[f].w, out[f].column = p.base, p.base.boxFamily(r, box)
			continue
		}
		out[f].w, out[f].column = part, column
		if column < 0 {
			out[f].column = part.pool(r)
		}
	}
	return out
}

// honest draws the sources of a line of one class as the law has it.
func (l promiseLaw) honest(r *rand.Rand, class int) promiseSource {
	w := l.part(r)
	out := make(promiseSource, len(w.families))
	column := -1
	if class < w.modelled() {
		column = w.profile(r, class)
	}
	for f := range out {
		out[f].w, out[f].column = w, column
		if column < 0 {
			out[f].column = w.pool(r)
		}
	}
	return out
}

func (l promiseLaw) part(r *rand.Rand) *promiseWorld {
	u := r.Float64()
	for _, p := range l.parts {
		if u -= p.weight; u < 0 {
			return p.w
		}
	}
	return l.parts[len(l.parts)-1].w
}

// promiseWeighed is one history under everything that matters for its weight.
type promiseWeighed struct {
	base, tilted promiseLikely
	parts        []promiseLikely
	law          promiseLaw
}

func (p promiseProposal) weigh(e *promiseEvidence) promiseWeighed {
	out := promiseWeighed{law: p.law, base: p.base.likely(e), tilted: p.tilted.likely(e)}
	for _, part := range p.law.parts {
		l := out.base
		if part.w != p.base {
			l = part.w.likely(e)
		}
		out.parts = append(out.parts, l)
	}
	return out
}

// class is the log likelihood under a class as the law has it.
func (x promiseWeighed) class(k int) float64 {
	total := math.Inf(-1)
	for i, p := range x.law.parts {
		total = promiseAdd(total, math.Log(p.weight)+x.parts[i].class(k))
	}
	return total
}

// weights of the history under the law over the proposal, by target.
func (x promiseWeighed) weights() promiseHit {
	drawn := x.drawn()
	out := make(promiseHit, len(x.law.targets))
	for i, k := range x.law.targets {
		out[i] = math.Exp(x.class(k) - drawn)
	}
	return out
}

// drawn is the log likelihood under the proposal.
func (x promiseWeighed) drawn() float64 {
	total := x.base.box()
	n := math.Log(float64(len(x.law.targets)))
	for _, k := range x.law.targets {
		total = promiseAdd(total, x.class(k)-n)
		total = promiseAdd(total, x.tilted.class(k)-n)
		for i, p := range x.law.parts {
			total = promiseAdd(total, math.Log(p.weight)+x.between(x.parts[i], k)-n)
		}
	}
	return total - math.Log(promiseKinds)
}

// between is the log likelihood under lines each of whose families is a box's
// or the class's at even odds.
func (x promiseWeighed) between(l promiseLikely, k int) float64 {
	total := math.Inf(-1)
	for b := range x.base.w.boxes() {
		v := math.Log(x.base.w.columns[b].weight)
		if k == l.w.modelled() {
			for f := range l.seen {
				v += promiseAdd(l.pool[f], x.base.q[f][b]) - math.Ln2
			}
			total = promiseAdd(total, v)
			continue
		}
		for c := l.w.first[k]; c < l.w.first[k+1]; c++ {
			y := v + math.Log(l.w.columns[c].weight)
			for f := range l.seen {
				y += promiseAdd(l.p[f][c], x.base.q[f][b]) - math.Ln2
			}
			total = promiseAdd(total, y)
		}
	}
	return total
}

// promiseAltered gives a catalogue of which every row was changed; the tables
// of the given one stay as they are.
func promiseAltered(cat *catalogue.Catalogue, change func(s *catalogue.Signal, class string, r catalogue.Row) []catalogue.Row) *catalogue.Catalogue {
	out := *cat
	out.Signals = nil
	for _, s := range cat.Signals {
		tables := make(map[string][]catalogue.Row, len(s.Tables))
		for class, rows := range s.Tables {
			for _, r := range rows {
				if r.W == 0 {
					r.W = 1
				}
				tables[class] = append(tables[class], change(&s, class, r)...)
			}
		}
		s.Tables = tables
		out.Signals = append(out.Signals, s)
	}
	return &out
}

// promiseConcentrated multiplies how alike the lines of a class are: below 1
// lines differ more than the tables say. Means stay.
func promiseConcentrated(cat *catalogue.Catalogue, by float64) *catalogue.Catalogue {
	return promiseAltered(cat, func(_ *catalogue.Signal, _ string, r catalogue.Row) []catalogue.Row {
		r.N, r.A, r.Tau = r.N*by, r.A*by, r.Tau*by
		return []catalogue.Row{r}
	})
}

// promiseHurried gives a share of the lines of every class and signal
// sightings at ten times the rate.
func promiseHurried(cat *catalogue.Catalogue, share float64) *catalogue.Catalogue {
	return promiseAltered(cat, func(s *catalogue.Signal, _ string, r catalogue.Row) []catalogue.Row {
		if s.Kind != catalogue.Sighting {
			return []catalogue.Row{r}
		}
		fast := r
		r.W, fast.W, fast.Tau = r.W*(1-share), r.W*share, r.Tau/10
		return []catalogue.Row{r, fast}
	})
}

// promiseTilted moves every probability and rate of the classes by a share of
// the way, in logs, towards the boxes'.
func promiseTilted(cat *catalogue.Catalogue, way float64) *catalogue.Catalogue {
	isBox := make(map[string]bool)
	for _, b := range cat.Boxes {
		isBox[b.Name] = true
	}
	whole := *cat
	whole.Signals = nil
	for _, s := range cat.Signals { // a box without a table of its own keeps the default's
		tables := make(map[string][]catalogue.Row, len(s.Tables)+len(cat.Boxes))
		for class, rows := range s.Tables {
			tables[class] = rows
		}
		for _, b := range cat.Boxes {
			if _, ok := tables[b.Name]; !ok {
				tables[b.Name] = s.Tables[catalogue.DefaultTable]
			}
		}
		s.Tables = tables
		whole.Signals = append(whole.Signals, s)
	}
	return promiseAltered(&whole, func(s *catalogue.Signal, class string, r catalogue.Row) []catalogue.Row {
		if isBox[class] {
			return []catalogue.Row{r}
		}
		if s.Kind == catalogue.Sighting {
			rate := promiseBoxRate(cat, s)
			r.Tau *= math.Pow(r.A/r.Tau/rate, way) // the mean rate moves, its spread stays
			return []catalogue.Row{r}
		}
		box := promiseBoxMean(cat, s)
		p, sum := make([]float64, len(r.P)), 0.0
		for j := range p {
			p[j] = math.Pow(r.P[j], 1-way) * math.Pow(box[j], way)
			sum += p[j]
		}
		for j := range p {
			p[j] /= sum
		}
		r.P = p
		return []catalogue.Row{r}
	})
}

// promiseBoxMean is the boxes' mean probability of each category.
func promiseBoxMean(cat *catalogue.Catalogue, s *catalogue.Signal) []float64 {
	out := make([]float64, len(s.Categories))
	for _, b := range cat.Boxes {
		for _, r := range s.Rows(b.Name, b.Profiles[0].Name) {
			for j, p := range r.P {
				out[j] += b.Weight * r.W * p
			}
		}
	}
	return out
}

// promiseBoxRate is the boxes' mean rate of a sighting.
func promiseBoxRate(cat *catalogue.Catalogue, s *catalogue.Signal) float64 {
	rate := 0.0
	for _, b := range cat.Boxes {
		for _, r := range s.Rows(b.Name, b.Profiles[0].Name) {
			rate += b.Weight * r.W * r.A / r.Tau
		}
	}
	return rate
}

// promiseWithout is the catalogue as somebody would have made it who never met
// a class: its weight goes to the others.
func promiseWithout(cat *catalogue.Catalogue, class string) *catalogue.Catalogue {
	out := *cat
	out.Classes = nil
	sum := 0.0
	for _, k := range cat.Classes {
		if k.Name != class {
			out.Classes = append(out.Classes, k)
			sum += k.Weight
		}
	}
	for i := range out.Classes {
		out.Classes[i].Weight /= sum
	}
	return &out
}
