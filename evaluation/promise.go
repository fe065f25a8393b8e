package evaluation

import (
	"fmt"
	"math"
	"slices"
	"time"

	"simtrap/heuristics/catalogue"
)

// PromiseOptions of TryPromise. Zero values mean the defaults.
type PromiseOptions struct {
	Lines int    // drawn for each law, 1,000; half of that for each class left out, four times for correlations
	Calls int    // of a line, at most; 500
	Seed  uint64 //
	Now   time.Time
	// Progress is told how many of all the laws are done; may be nil.
	Progress func(done, of int)
}

// PromiseReport is what became of the promise of VERDICT section 5: as drawn
// from the tables, and under laws the tables do not know.
type PromiseReport struct {
	Date      string `json:"date"`
	Version   string `json:"version"` // of the program
	Seed      uint64 `json:"seed"`
	Lines     int    `json:"lines"`
	Calls     int    `json:"calls"`
	Catalogue string `json:"catalogue"` // hash of the data
	// Price is the contamination's, c in VERDICT section 4.
	Price float64       `json:"price"`
	Laws  []PromiseLaw  `json:"laws"`
	Early []PromiseBin  `json:"sightings_at_their_own_time"`
	Plain []PromisePair `json:"plain"`
	// Breaches counts, where the tables hold, thresholds reached by histories
	// that are less probable under the boxes than the score says. One is a
	// defect of the score, whatever the estimates say.
	Breaches int `json:"breaches"`
}

// PromiseLaw is one way lines truly are.
type PromiseLaw struct {
	Name string `json:"name"`
	Text string `json:"text"`
	// Holds is set where the tables hold, so that no excess is allowed.
	Holds bool `json:"holds"`
	// Without is set where a class was left out of the catalogue.
	Without bool `json:"without,omitempty"`
	// Share of the lines is of the class left out. S is promised over the
	// population, in which its lines are few.
	Share   float64         `json:"share,omitempty"`
	Figures []PromiseFigure `json:"figures"`
}

// PromisePair compares weighted lines with plainly counted ones, over classes
// drawn alike.
type PromisePair struct {
	Law      string        `json:"law"`
	Weighted PromiseFigure `json:"weighted"`
	Counted  PromiseFigure `json:"counted"`
}

// PromisePopulation is the class of figures for the population.
const PromisePopulation = "population"

// Excesses gives the figures above their bounds, the greatest factor first.
func (r *PromiseReport) Excesses() []PromiseFigure {
	var out []PromiseFigure
	for _, l := range r.Laws {
		for _, f := range l.Figures {
			if f.Exceeds() {
				out = append(out, f)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b PromiseFigure) int {
		switch {
		case a.Factor > b.Factor:
			return -1
		case a.Factor < b.Factor:
			return 1
		}
		return 0
	})
	return out
}

// Broken says whether the promise was broken where it was made: a breach, or an
// interval above the bound where the tables hold.
func (r *PromiseReport) Broken() bool {
	for _, l := range r.Laws {
		for _, f := range l.Figures {
			if l.Holds && f.Certain() {
				return true
			}
		}
	}
	return r.Breaches > 0
}

// promiseTask is one batch and what is asked of it.
type promiseTask struct {
	batch promiseBatch
	lines int
	law   PromiseLaw
	plain bool // count plainly too
}

// TryPromise draws lines from a catalogue and from laws near it and measures
// how often they reach the thresholds.
func TryPromise(cat *catalogue.Catalogue, opt PromiseOptions) (*PromiseReport, error) {
	if opt.Lines == 0 {
		opt.Lines = 1000
	}
	if opt.Calls == 0 {
		opt.Calls = 500
	}
	tasks, err := promiseTasks(cat, opt)
	if err != nil {
		return nil, err
	}
	base := tasks[0].batch.base
	out := &PromiseReport{Date: opt.Now.UTC().Format(time.DateOnly), Seed: opt.Seed, Lines: opt.Lines, Calls: opt.Calls, Catalogue: cat.Hash}
	out.Price = -base.model.Score(base.model.NewEvidence()).S
	for i, t := range tasks {
		if err := t.run(out); err != nil {
			return nil, fmt.Errorf("promise: %s: %w", t.batch.name, err)
		}
		if opt.Progress != nil {
			opt.Progress(i+1, len(tasks))
		}
	}
	if out.Breaches, err = tasks[0].batch.breaches(max(opt.Lines/5, 1)); err != nil {
		return nil, err
	}
	out.Early = promiseBins(base)
	return out, nil
}

func promiseTasks(cat *catalogue.Catalogue, opt PromiseOptions) ([]promiseTask, error) {
	base, err := newPromiseWorld(cat)
	if err != nil {
		return nil, err
	}
	tilted, err := newPromiseWorld(promiseTilted(cat, 0.5))
	if err != nil {
		return nil, err
	}
	everyone := make([]int, len(cat.Classes))
	for k := range everyone {
		everyone[k] = k
	}
	var tasks []promiseTask
	add := func(name string, law promiseLaw, as PromiseLaw) *promiseTask {
		if law.targets == nil {
			law.targets = everyone
		}
		tasks = append(tasks, promiseTask{
			batch: promiseBatch{name: name, seed: opt.Seed, calls: opt.Calls, base: base, tilted: tilted, law: law, score: promiseScoreOf(base.model)},
			lines: opt.Lines, law: as,
		})
		return &tasks[len(tasks)-1]
	}
	asIs := []promisePart{{1, base}}
	add("tables", promiseLaw{parts: asIs}, PromiseLaw{Name: "tables", Text: "the tables hold; families are independent, correlation 0", Holds: true}).plain = true
	add("own-time", promiseLaw{parts: asIs, reading: promiseReading{ownTime: true}}, PromiseLaw{Name: "own-time", Text: "the tables hold; first sightings are known when they come, not when their bin is over"})
	add("boxes-first", promiseLaw{parts: asIs, reading: promiseReading{boxesFirst: true}}, PromiseLaw{Name: "boxes-first", Text: fmt.Sprintf("the tables hold; static traits that speak against a box are read %d calls later", promiseHeldCalls)})
	for _, other := range []struct {
		name, text string
		cat        *catalogue.Catalogue
		share      float64
	}{
		{"looser", "lines of a class differ twice as much: concentrations halved", promiseConcentrated(cat, 0.5), 1},
		{"tighter", "lines of a class differ half as much: concentrations doubled", promiseConcentrated(cat, 2), 1},
		{"heavy-tails", "1 line of 20 has probabilities half the way to the boxes' in every signal", promiseTilted(cat, 0.5), 0.05},
		{"hurried", "1 line of 20, in each signal, has sightings at ten times the rate", promiseHurried(cat, 0.05), 1},
	} {
		w, err := newPromiseWorld(other.cat)
		if err != nil {
			return nil, err
		}
		parts := []promisePart{{other.share, w}}
		if other.share < 1 {
			parts = []promisePart{{1 - other.share, base}, {other.share, w}}
		}
		add(other.name, promiseLaw{parts: parts}, PromiseLaw{Name: other.name, Text: other.text})
	}
	for _, rho := range []float64{0.3, 0.6} {
		name := fmt.Sprintf("correlated-%.1f", rho)
		t := add(name, promiseLaw{parts: asIs, rho: rho}, PromiseLaw{Name: name, Text: fmt.Sprintf("families of a line are correlated, %.1f", rho)})
		t.plain, t.lines = true, 4*opt.Lines
	}
	for k, class := range cat.Classes {
		if class.Name == catalogue.Unknown {
			continue
		}
		w, err := newPromiseWorld(promiseWithout(cat, class.Name))
		if err != nil {
			return nil, err
		}
		name := "without-" + class.Name
		t := add(name, promiseLaw{parts: asIs, targets: []int{k}}, PromiseLaw{Name: name, Text: "nobody ever met the class " + class.Name, Without: true, Share: class.Weight})
		t.batch.score, t.lines = promiseScoreOf(w.model), max(opt.Lines/2, 1)
	}
	return tasks, nil
}

// run draws the lines and adds the figures to the report.
func (t promiseTask) run(out *PromiseReport) error {
	if b := &t.batch; b.law.rho > 0 && b.base.references == nil {
		if err := b.base.refer(b.seed); err != nil {
			return err
		}
	}
	drawn, err := t.batch.weighted(t.lines)
	if err != nil {
		return err
	}
	t.law.Figures = t.figures(drawn)
	out.Laws = append(out.Laws, t.law)
	if !t.plain {
		return nil
	}
	n := max(out.Lines/len(t.batch.law.targets), 1)
	counted, err := t.batch.plain(n)
	if err != nil {
		return err
	}
	for j, th := range promiseThresholds() {
		f := PromiseFigure{Law: t.law.Name, Class: "classes alike", Of: th.of, Threshold: th.at()}
		sum := 0
		for _, c := range counted {
			sum += c[j]
		}
		alike := t.weights(j, drawn, func(int) float64 { return 1 / float64(len(t.batch.law.targets)) })
		out.Plain = append(out.Plain, PromisePair{f.Law, f.estimate(alike, t.lines, 1), f.wilson(sum, n*len(counted))})
	}
	return nil
}

// figures of one law: for the population where all classes were drawn, and for
// each class.
func (t promiseTask) figures(drawn [][]promiseHit) []PromiseFigure {
	var out []PromiseFigure
	classes := t.batch.base.cat.Classes
	everyone := len(t.batch.law.targets) == len(classes)
	for j, th := range promiseThresholds() {
		if th.of != "M" && everyone {
			f := PromiseFigure{Law: t.law.Name, Class: PromisePopulation, Of: th.of, Threshold: th.at()}
			all := t.weights(j, drawn, func(i int) float64 { return classes[t.batch.law.targets[i]].Weight })
			out = append(out, f.estimate(all, t.lines, t.most(th, -1)))
			continue
		}
		for i, k := range t.batch.law.targets {
			f := PromiseFigure{Law: t.law.Name, Class: classes[k].Name, Of: th.of, Threshold: th.at()}
			one := t.weights(j, drawn, func(x int) float64 {
				if x == i {
					return 1
				}
				return 0
			})
			out = append(out, f.estimate(one, t.lines, t.most(th, i)))
		}
	}
	return out
}

// most is what a line can weigh that reaches a threshold: of one target, or of
// all by their shares. Under laws that the tables do not know it is a guess.
func (t promiseTask) most(th promiseThreshold, target int) float64 {
	switch {
	case t.batch.law.rho == 0:
		return promiseKinds * math.Exp(-th.at())
	case target < 0:
		return 2 * 2 // half of the lines are drawn by the shares, half of the factors as they are
	}
	return 2 / t.batch.share(target)
}

// weights of the lines that reached a threshold, with target classes weighted.
func (t promiseTask) weights(threshold int, drawn [][]promiseHit, weight func(target int) float64) []float64 {
	var out []float64
	for _, hits := range drawn {
		if hits[threshold] == nil {
			continue
		}
		sum := 0.0
		for i, x := range hits[threshold] {
			sum += weight(i) * x
		}
		out = append(out, sum)
	}
	return out
}

// breaches plays lines of all kinds and counts looks at which the score claims
// more than the tables give: a line that looks so has S no larger than the log
// ratio of boxes to the population as it is, and so for M and each class. Ville
// needs no more, and no luck of the draw excuses one.
func (b *promiseBatch) breaches(n int) (int, error) {
	const tolerance = 1e-6
	found := make([]int, n)
	err := promiseEach(n, func(line int) error {
		r := b.rng("breaches", line)
		s := newPromiseSchedule(r, b.base.cat, b.calls)
		latents := b.proposal().sources(r).latents(r)
		return s.live(r, b.base, latents, promiseReading{}, func(e *promiseEvidence) bool {
			s, m := b.score(e.counts)
			l := b.base.likely(e)
			box, least := l.box(), math.Inf(1)
			for k := range b.base.cat.Classes {
				least = min(least, box-l.class(k))
			}
			if s > box-l.population()+tolerance || m > least+tolerance {
				found[line]++
			}
			return true
		})
	})
	sum := 0
	for _, x := range found {
		sum += x
	}
	return sum, err
}
