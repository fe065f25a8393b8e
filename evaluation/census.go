package evaluation

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/lab"
	"simtrap/trial"
)

// Numbers of lines of a census unless told otherwise.
const (
	HeavyLines    = 4100
	LinesPerClass = 300
	QuietLines    = 1_000_000

	// QuietScenario has many households that hardly telephone in one capture.
	QuietScenario = "home-quiet"
)

// Census says how many honest lines are drawn. A scenario's line is the first of
// its truth; every capture has a seed of its own, so that lines are independent.
type Census struct {
	Heavy    int // lines with much voice, by their shares of the population
	PerClass int // lines of every class, by shares of its scenarios
	Quiet    int // lines of households
	First    uint64

	Scenarios []lab.Scenario // honest ones to draw the first two from
	QuietName string         // scenario of the third
}

// quota is how many lines of a scenario are wanted. Lines of the heavy draw and
// of the draw by class may be the same ones: each is a fair draw of its scenario.
type quota struct {
	scenario        lab.Scenario
	class           string
	heavy, perClass int
}

// quotas draws how many lines of each scenario there are to be: the heavy ones as
// they would fall in a population, those by class as evenly as shares allow.
func (c *Census) quotas(cat *catalogue.Catalogue) []quota {
	var out []quota
	shares, noisy := make(map[string]float64), make(map[string]float64)
	for _, s := range c.Scenarios {
		if s.Box {
			continue
		}
		class := className(s)
		shares[class] += shareOf(s)
		if s.Name != c.QuietName { // it has a draw of its own
			noisy[class] += shareOf(s)
			out = append(out, quota{scenario: s, class: class})
		}
	}
	weights := make([]float64, len(out)) // of heavy lines
	for i := range out {
		q := &out[i]
		if k := slices.IndexFunc(cat.Classes, func(k catalogue.Class) bool { return k.Name == q.class }); k >= 0 && q.scenario.Heavy {
			weights[i] = cat.Classes[k].Weight * shareOf(q.scenario) / shares[q.class]
		}
	}
	total := 0.0
	for _, w := range weights {
		total += w
	}
	if total > 0 {
		rng := rand.New(rand.NewPCG(c.First, 0x6365_6e73_7573))
		for range c.Heavy {
			at := rng.Float64() * total
			i := 0
			for ; i < len(out)-1 && (at >= weights[i] || weights[i] == 0); i++ {
				at -= weights[i]
			}
			for weights[i] == 0 { // rounding led beyond the last one that has weight
				i--
			}
			out[i].heavy++
		}
	}
	// Rounded sums leave no line out.
	sums := make(map[string]float64)
	given := make(map[string]int)
	for i := range out {
		q := &out[i]
		sums[q.class] += shareOf(q.scenario) / noisy[q.class]
		q.perClass = int(math.Round(sums[q.class]*float64(c.PerClass))) - given[q.class]
		given[q.class] += q.perClass
	}
	return out
}

func shareOf(s lab.Scenario) float64 {
	if s.Share > 0 {
		return s.Share
	}
	return 1
}

// className is the catalogue's name for the class of a scenario's line.
func className(s lab.Scenario) string {
	l := trial.Line{Truth: &lab.LineTruth{Class: s.Class}}
	return l.Class()
}

// Stratum is what became of the lines of one draw.
type Stratum struct {
	Name     string  `json:"name"`
	Weight   float64 `json:"weight"` // share of all honest lines
	Lines    int     `json:"lines"`
	Verdicts [4]int  `json:"verdicts"`
}

func (s *Stratum) count(v heuristics.Verdict) {
	s.Lines++
	s.Verdicts[v]++
}

// at is how many lines reached a verdict.
func (s *Stratum) at(v heuristics.Verdict) (n int) {
	for ; v <= heuristics.Case; v++ {
		n += s.Verdicts[v]
	}
	return n
}

func (s *Stratum) rate(v heuristics.Verdict) Rate { return clopperPearson(s.at(v), s.Lines) }

// census collects.
type census struct {
	plan    *Census
	least   pair
	report  *Population
	byClass map[string]int // place in Population.Classes
}

// Count draws the lines of a census. done, which may be nil, is told how many
// captures of how many are through.
func (c *Census) Count(ctx context.Context, done func(captures, of int)) (*Population, error) {
	model, err := newModel()
	if err != nil {
		return nil, err
	}
	bench, err := trial.NewBench()
	if err != nil {
		return nil, err
	}
	quotas := c.quotas(model.Catalogue())
	var jobs []lab.Options
	var of []*quota
	for i := range quotas {
		q := &quotas[i]
		for k := range max(q.heavy, q.perClass) {
			jobs = append(jobs, lab.Options{Scenario: q.scenario.Name, Seed: c.First + uint64(k)})
			of = append(of, q)
		}
	}
	hasQuiet := c.Quiet > 0 && slices.ContainsFunc(lab.Scenarios(), func(s lab.Scenario) bool { return s.Name == c.QuietName })
	if len(jobs) == 0 && !hasQuiet {
		return nil, errors.New("no honest scenario to draw from")
	}
	empty := model.Score(model.NewEvidence())
	s := &census{plan: c, least: pair{empty.S, empty.M}, byClass: make(map[string]int), report: newPopulation(c, model.Catalogue(), quotas)}
	for i := range s.report.Classes {
		s.byClass[s.report.Classes[i].Name] = i
	}
	total := len(jobs)
	tell := func(n int) {
		if done != nil {
			done(n, total)
		}
	}
	// How many lines a quiet capture has, only one tells.
	quiet := 0
	if hasQuiet {
		lines, err := bench.Run(ctx, c.quietJob(0))
		if err != nil {
			return nil, err
		}
		s.quiet(lines)
		quiet = (c.Quiet - 1) / max(len(lines), 1)
		total += 1 + quiet
		tell(1)
	}
	before := s.report.Captures
	err = bench.RunAll(ctx, jobs, func(i int, lines []trial.Line) error {
		q := of[i]
		k := int(jobs[i].Seed - c.First)
		s.drawn(q, k, lines)
		tell(before + i + 1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	before = s.report.Captures
	jobs = jobs[:0]
	for i := range quiet {
		jobs = append(jobs, c.quietJob(1+i))
	}
	err = bench.RunAll(ctx, jobs, func(i int, lines []trial.Line) error {
		s.quiet(lines)
		tell(before + i + 1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.report.finish()
	return s.report, nil
}

func (c *Census) quietJob(i int) lab.Options {
	return lab.Options{Scenario: c.QuietName, Seed: c.First + uint64(i)}
}

// drawn takes the k-th capture of a scenario.
func (s *census) drawn(q *quota, k int, lines []trial.Line) {
	s.report.Captures++
	for i := range lines {
		l := &lines[i]
		if l.Truth.Box() {
			continue
		}
		v := l.Verdict()
		if !l.Main {
			s.report.Beside.count(v)
			s.offend(l, "beside others")
			continue
		}
		var what []string
		if k < q.heavy {
			s.report.Heavy.count(v)
			what = append(what, "heavy voice")
		}
		if k < q.perClass {
			s.report.Classes[s.byClass[q.class]].count(v)
			what = append(what, "of its class")
		}
		s.offend(l, what...)
	}
}

func (s *census) quiet(lines []trial.Line) {
	s.report.Captures++
	for i := range lines {
		s.report.Quiet.count(lines[i].Verdict())
		s.offend(&lines[i], "quiet")
	}
}

// maxOffenders is how many of them are told with their ledgers.
const maxOffenders = 200

// offend keeps an honest line that reached a verdict.
func (s *census) offend(l *trial.Line, what ...string) {
	v := l.Verdict()
	if v < heuristics.Watch {
		return
	}
	r := s.report
	r.AtWatch++
	f := newFact(l, 0, s.least)
	m := newMiss(&f, l)
	m.What, m.Over = what, round(f.over(v))
	r.Offenders = append(r.Offenders, m)
	if len(r.Offenders) >= 2*maxOffenders {
		r.cut()
	}
}
