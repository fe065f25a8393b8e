// Package calibration fits the tables of heuristics/catalogue. Priors set by hand
// (priors/, each with its source) are weighed against what the lab's lines show
// on training seeds:
//
//	observe   run the drawn scenarios, keep the counts of every main line
//	fit       profiles, tables and shares from counts and priors
//
// The counts are kept in a file beside the tables, so that anybody can fit the
// same tables from them again, and see that a table was not edited.
package calibration

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"simtrap/heuristics"
	"simtrap/lab"
	"simtrap/trial"
)

// Observation is what the signals counted on one line of known truth.
type Observation struct {
	Scenario string
	Seed     uint64
	Class    string // the catalogue's name
	Seen     map[string]heuristics.Seen
}

// Plan says which lines to observe.
type Plan struct {
	Draws int    // of each scenario
	First uint64 // seed of the first
}

// Jobs lists the captures of a plan.
func (p Plan) Jobs() (jobs []lab.Options) {
	for _, s := range lab.Scenarios() {
		if s.Share == 0 {
			continue // shown for itself, or counted by the population alone
		}
		for i := range p.Draws {
			jobs = append(jobs, lab.Options{Scenario: s.Name, Seed: p.First + uint64(i)})
		}
	}
	return jobs
}

// Observe runs the captures of jobs and gives what the signals saw of their main
// lines. done is told after each.
func Observe(ctx context.Context, jobs []lab.Options, m *heuristics.Model, done func(i int)) ([]Observation, error) {
	bench, err := trial.NewBench()
	if err != nil {
		return nil, err
	}
	var out []Observation
	err = bench.RunAll(ctx, jobs, func(i int, lines []trial.Line) error {
		l := &lines[0]
		o := Observation{Scenario: l.Scenario, Seed: l.Options.Seed, Class: l.Class(), Seen: map[string]heuristics.Seen{}}
		if l.Finding != nil && l.Finding.Evidence != nil {
			for _, s := range m.Catalogue().Signals {
				if seen, ok := m.Seen(l.Finding.Evidence, s.ID); ok {
					o.Seen[s.ID] = seen
				}
			}
		}
		out = append(out, o)
		done(i)
		return nil
	})
	return out, err
}

// Write puts observations into a text file, one a line: scenario, seed, class,
// and what each signal saw. Urns are counts with commas, a static value is the
// number of its category, a sighting the seconds looked at, with "!" behind those
// up to the first sighting.
func Write(w io.Writer, list []Observation) error {
	b := bufio.NewWriter(w)
	for _, o := range list {
		fmt.Fprintf(b, "%s\t%d\t%s", o.Scenario, o.Seed, o.Class)
		ids := make([]string, 0, len(o.Seen))
		for id := range o.Seen {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			fmt.Fprintf(b, "\t%s=%s", id, text(o.Seen[id]))
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}

func text(s heuristics.Seen) string {
	switch {
	case s.Counts != nil:
		parts := make([]string, len(s.Counts))
		for i, n := range s.Counts {
			parts[i] = strconv.FormatUint(uint64(n), 10)
		}
		return strings.Join(parts, ",")
	case s.Category >= 0:
		return "#" + strconv.Itoa(s.Category)
	}
	sign := ""
	if s.Sighted {
		sign = "!"
	}
	return strconv.FormatInt(s.Exposure/1e9, 10) + "s" + sign
}

// Read reads what Write wrote.
func Read(r io.Reader) ([]Observation, error) {
	var out []Observation
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		fields := strings.Split(sc.Text(), "\t")
		if len(fields) < 3 {
			return nil, fmt.Errorf("line %d: want a scenario, a seed and a class", n)
		}
		seed, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: seed: %w", n, err)
		}
		o := Observation{Scenario: fields[0], Seed: seed, Class: fields[2], Seen: map[string]heuristics.Seen{}}
		for _, f := range fields[3:] {
			id, v, _ := strings.Cut(f, "=")
			if o.Seen[id], err = parse(v); err != nil {
				return nil, fmt.Errorf("line %d: %s: %w", n, id, err)
			}
		}
		out = append(out, o)
	}
	return out, sc.Err()
}

func parse(v string) (s heuristics.Seen, err error) {
	s.Category = -1
	if c, ok := strings.CutPrefix(v, "#"); ok {
		s.Category, err = strconv.Atoi(c)
		return s, err
	}
	v, s.Sighted = strings.CutSuffix(v, "!")
	if t, ok := strings.CutSuffix(v, "s"); ok {
		n, err := strconv.ParseInt(t, 10, 64)
		s.Exposure = n * 1e9
		return s, err
	}
	for _, c := range strings.Split(v, ",") {
		n, err := strconv.ParseUint(c, 10, 32)
		if err != nil {
			return s, err
		}
		s.Counts = append(s.Counts, uint32(n))
	}
	return s, nil
}

// weights gives each observation its weight in its class: a scenario counts by
// its share, however often it was drawn. The weights of a class sum to 1.
func weights(list []Observation) []float64 {
	share := map[string]float64{}
	for _, s := range lab.Scenarios() {
		share[s.Name] = s.Share
	}
	drawn, total := map[string]float64{}, map[string]float64{}
	for _, o := range list {
		drawn[o.Scenario]++
	}
	out := make([]float64, len(list))
	for i, o := range list {
		out[i] = share[o.Scenario] / drawn[o.Scenario]
		total[o.Class] += out[i]
	}
	for i, o := range list {
		out[i] /= total[o.Class]
	}
	return out
}

// sorted gives the observations in an order that does not depend on how they
// were made.
func sorted(list []Observation) []Observation {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b Observation) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Scenario, b.Scenario), cmp.Compare(a.Seed, b.Seed))
	})
	return out
}
