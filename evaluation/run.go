package evaluation

import (
	"context"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/trial"
)

// tally is what is kept of one variant: facts of its lines, and how many of each
// class showed nothing beside a scenario's main line.
type tally struct {
	facts  []fact
	silent map[string]int
}

// collector boils captures down as they come, so that no ledger outlives its
// capture but those of the nearest misses.
type collector struct {
	plan   *Plan
	model  *heuristics.Model
	least  pair
	jobs   []job
	tallys []tally
	misses misses
	lines  int
}

func newCollector(plan *Plan, model *heuristics.Model, jobs []job) *collector {
	s := model.Score(model.NewEvidence())
	c := &collector{plan: plan, model: model, least: pair{s.S, s.M}, jobs: jobs, tallys: make([]tally, len(plan.variants()))}
	for i := range c.tallys {
		c.tallys[i].silent = make(map[string]int)
	}
	c.misses.classes = make(map[string]*near)
	return c
}

func (c *collector) take(i int, lines []trial.Line) error {
	at := c.jobs[i]
	t := &c.tallys[at.variant]
	for k := range lines {
		l := &lines[k]
		c.lines++
		if l.Finding == nil && !l.Main {
			t.silent[l.Class()]++
			continue
		}
		f := newFact(l, at.scenario, c.least)
		if at.variant == 0 {
			if l.Main {
				f.without = ablate(c.model, l.Finding, c.least)
			}
			c.misses.add(&f, l)
		}
		t.facts = append(t.facts, f)
	}
	return nil
}

// Evaluate runs a plan and counts. done, which may be nil, is told how many
// captures are through.
func Evaluate(ctx context.Context, plan *Plan, done func(captures int)) (*Report, error) {
	if err := plan.check(); err != nil {
		return nil, err
	}
	model, err := newModel()
	if err != nil {
		return nil, err
	}
	bench, err := trial.NewBench()
	if err != nil {
		return nil, err
	}
	jobs, options := plan.jobs()
	c := newCollector(plan, model, jobs)
	err = bench.RunAll(ctx, options, func(i int, lines []trial.Line) error {
		if done != nil {
			done(i + 1)
		}
		return c.take(i, lines)
	})
	if err != nil {
		return nil, err
	}
	return c.report(), nil
}

func newModel() (*heuristics.Model, error) {
	cat, err := catalogue.Load()
	if err != nil {
		return nil, err
	}
	return heuristics.NewModel(cat)
}
