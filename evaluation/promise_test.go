package evaluation

import (
	"bytes"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
)

func promiseCatalogue(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	cat, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// promiseTaskOf gives one of the laws, to be tried alone.
func promiseTaskOf(t *testing.T, name string, lines int) promiseTask {
	t.Helper()
	tasks, err := promiseTasks(promiseCatalogue(t), PromiseOptions{Lines: lines, Calls: 200, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if task.law.Name == name {
			task.lines = lines
			return task
		}
	}
	t.Fatalf("no law %s", name)
	panic("unreachable")
}

func promiseLines(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

func (t promiseTask) mustRun(tb testing.TB) *PromiseReport {
	tb.Helper()
	r := &PromiseReport{Lines: t.lines}
	if err := t.run(r); err != nil {
		tb.Fatal(err)
	}
	return r
}

// Where the tables hold no interval lies above its bound.
func TestPromiseHoldsWhereTheTablesDo(t *testing.T) {
	task := promiseTaskOf(t, "tables", promiseLines(80, 800))
	r := task.mustRun(t)
	if r.Broken() {
		t.Errorf("broken: %+v", r.Excesses())
	}
	hits := 0
	for _, f := range r.Laws[0].Figures {
		if f.Class == PromisePopulation {
			hits += f.Hits
		}
	}
	if hits < task.lines/4 {
		t.Errorf("%d hits of %d lines: nothing was tried", hits, task.lines)
	}
	for _, p := range r.Plain {
		// Twice their intervals apart, by luck in none of a thousand runs.
		a, b := p.Weighted, p.Counted
		if math.Abs(a.Estimate-b.Estimate) > 2*math.Hypot((a.High-a.Low)/2, (b.High-b.Low)/2) {
			t.Errorf("%s: weighted %s, counted %s", p.Weighted.ever(), p.Weighted.between(), p.Counted.between())
		}
	}
	n, err := task.batch.breaches(task.lines / 2)
	if err != nil || n > 0 {
		t.Errorf("%d looks at which the score claims too much, error %v", n, err)
	}
}

// The test can fail: a score that claims more than the tables give is caught at
// the look where it does.
func TestPromiseCatchesABrokenScore(t *testing.T) {
	task := promiseTaskOf(t, "tables", 1)
	base := task.batch.base
	right := task.batch.score
	nothing, _ := right(base.model.NewEvidence())
	leaner, err := heuristics.NewModel(promiseTilted(base.cat, -0.3))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		score promiseScorer
	}{
		{"the price of contamination is left out", func(e *heuristics.Evidence) (float64, float64) {
			s, m := right(e)
			return s - nothing, m - nothing
		}},
		{"every event counts twice", func(e *heuristics.Evidence) (float64, float64) {
			twice := *e
			twice.Urns = slices.Clone(e.Urns)
			for i := range twice.Urns {
				twice.Urns[i] *= 2
			}
			return right(&twice)
		}},
		{"the score's tables are farther from the boxes' than the lines'", promiseScoreOf(leaner)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := task.batch
			b.score = tt.score
			n, err := b.breaches(promiseLines(20, 60))
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				t.Error("not caught")
			}
		})
	}
}

// The estimates can fail as well: lines from other tables than the score's
// reach its thresholds more often than promised, and the report says so.
func TestPromiseCatchesOtherTables(t *testing.T) {
	task := promiseTaskOf(t, "tables", promiseLines(120, 400))
	w, err := newPromiseWorld(promiseTilted(task.batch.base.cat, 0.8))
	if err != nil {
		t.Fatal(err)
	}
	task.batch.law.parts, task.plain = []promisePart{{1, w}}, false
	r := task.mustRun(t)
	if !r.Broken() {
		t.Error("lines most of the way to a box keep the promise")
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "THE PROMISE IS BROKEN") || !strings.Contains(table.String(), "**") {
		t.Errorf("the table does not say so:\n%s", table.String())
	}
}

// A class that nobody met is no part of the promise; of the one most like a box
// it must show.
func TestPromiseShowsAClassNobodyMet(t *testing.T) {
	lines := promiseLines(60, 200)
	task := promiseTaskOf(t, "tables", lines)
	task.plain = false
	margin := func(r *PromiseReport, class string) (most PromiseFigure) {
		for _, f := range r.Laws[0].Figures {
			if f.Of == "M" && f.Threshold == 0 && (class == "" || class == f.Class) && f.Estimate >= most.Estimate && f.Class != catalogue.Unknown {
				most = f
			}
		}
		return most
	}
	met := margin(task.mustRun(t), "")
	task = promiseTaskOf(t, "without-"+met.Class, lines)
	if got := margin(task.mustRun(t), met.Class); got.Estimate <= met.Estimate {
		t.Errorf("%s reaches M>=0 with %.2e when met, with %.2e when not", met.Class, met.Estimate, got.Estimate)
	}
}

func TestPromiseReportIsDeterministic(t *testing.T) {
	cat := promiseCatalogue(t)
	var first []byte
	for i, procs := range []int{1, 3} {
		old := runtime.GOMAXPROCS(procs)
		r, err := TryPromise(cat, PromiseOptions{Lines: promiseLines(4, 12), Calls: 30, Seed: 7, Now: time.Unix(1_800_000_000, 0)})
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteTable(&b); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = b.Bytes()
		} else if !bytes.Equal(first, b.Bytes()) {
			t.Error("two runs differ")
		}
		var table bytes.Buffer
		if err := r.WriteTable(&table); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(table.String(), "\n") {
			if len(line) > 100 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
		for _, p := range r.Plain {
			if p.Weighted.Estimate > 1 {
				t.Errorf("%s: a probability of %v", p.Law, p.Weighted.Estimate)
			}
		}
		if !strings.Contains(table.String(), cat.Hash) || !strings.Contains(table.String(), "2027-01-15: seed 7") {
			t.Error("the table names neither catalogue, date nor seed")
		}
	}
}

// Coupled lines are as likely in each family as the tables say; only together
// are they not.
func TestPromiseCorrelationKeepsEachFamily(t *testing.T) {
	base := promiseTaskOf(t, "correlated-0.6", 1).batch.base
	if err := base.refer(1); err != nil {
		t.Fatal(err)
	}
	const n = 2000
	column := base.boxes()
	r := rand.New(rand.NewPCG(3, 4))
	ranks := make([][]float64, len(base.families))
	for range n {
		l := base.coupled(r, column, 0.6, r.NormFloat64())
		for f := range base.families {
			var of []promiseLatent
			for i, g := range base.family {
				if g == f {
					of = append(of, l[i])
				}
			}
			ranks[f] = append(ranks[f], base.likeness(column, f, of))
		}
	}
	for f := range ranks {
		median := base.references[column][f][promiseRanks/2].likeness
		below := 0
		for _, x := range ranks[f] {
			if x < median {
				below++
			}
		}
		if got := float64(below) / n; got > 0.54 {
			t.Errorf("%s: %.3f of the lines below the median", base.families[f], got)
		}
	}
	// Of the first two families whose likeness is continuous, at least the ranks
	// agree more often than by chance.
	agree, pairs := 0, 0
	for f := range ranks {
		for g := range f {
			a, b := base.references[column][f][promiseRanks/2].likeness, base.references[column][g][promiseRanks/2].likeness
			for i := range n {
				pairs++
				if (ranks[f][i] >= a) == (ranks[g][i] >= b) {
					agree++
				}
			}
		}
	}
	if share := float64(agree) / float64(pairs); share < 0.6 {
		t.Errorf("families agree in %.3f of the pairs", share)
	}
}

func TestPromiseDraws(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, shape := range []float64{0.2, 1, 7} {
		const n = 20_000
		sum, squares := 0.0, 0.0
		for range n {
			x := promiseGamma(r, shape)
			sum += x
			squares += x * x
		}
		mean := sum / n
		variance := squares/n - mean*mean
		if math.Abs(mean-shape) > 5*math.Sqrt(shape/n) || math.Abs(variance/shape-1) > 0.15 {
			t.Errorf("gamma of %v: mean %.3f, variance %.3f", shape, mean, variance)
		}
	}
	p := promiseDirichlet(r, []float64{1e-5, 1e-5, 1e-5})
	if s := p[0] + p[1] + p[2]; math.Abs(s-1) > 1e-9 {
		t.Errorf("tiny concentrations: %v", p)
	}
	weight := 0.0
	const n = 20_000
	for range n {
		_, w := promiseCommon(r)
		if w > 2 {
			t.Fatalf("a line weighs %v", w)
		}
		weight += w / n
	}
	if math.Abs(weight-1) > 0.03 {
		t.Errorf("lines weigh %v", weight)
	}
}

// The bin of a first sighting is fair where box and class differ in nothing but
// how many have the trait, and costs where the class's come early.
func TestPromiseBins(t *testing.T) {
	row := func(a, tau float64) []catalogue.Row { return []catalogue.Row{{W: 1, A: a, Tau: tau}} }
	if f := promiseUnfair(row(0.2, 900), row(0.2, 900)); f > 1.001 {
		t.Errorf("alike: %.4f", f)
	}
	if f := promiseUnfair(row(3, 3000), row(0.2, 10)); f < 1.2 {
		t.Errorf("a class whose sightings come in seconds: %.3f", f)
	}
}

func TestPromiseFigure(t *testing.T) {
	f := PromiseFigure{Threshold: math.Log(10)}.estimate([]float64{0.5, 0.5}, 10, 1)
	if math.Abs(f.Estimate-0.1) > 1e-12 || math.Abs(f.Factor-1) > 1e-9 || f.Hits != 2 || f.Largest != 0.5 {
		t.Errorf("%+v", f)
	}
	if f.Low != 0 || f.High <= f.Estimate {
		t.Errorf("interval of two lines %v..%v", f.Low, f.High)
	}
	if f := (PromiseFigure{Threshold: 3}).estimate(nil, 100, 0.2); f.Estimate != 0 || math.Abs(f.High-0.006) > 1e-12 {
		t.Errorf("without hits: %+v", f)
	}
	if f := (PromiseFigure{Threshold: 3}).estimate([]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 20, 1); !f.Certain() || f.marks() != "**" {
		t.Errorf("half of the lines against e^-3: %+v", f)
	}
}
