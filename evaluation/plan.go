// Package evaluation measures how often the verdicts are right: it draws lines
// of every kind from the lab, runs them through the detector, and counts.
//
// Calibration trains on seeds from 1 on, evaluation draws from others, so that
// no figure is of a line that a table was fitted to.
package evaluation

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"simtrap/lab"
)

// Seeds and numbers of draws unless told otherwise.
const (
	FirstSeed  = 20001
	Draws      = 50
	SmallDraws = 2 // for every change
)

// viewBoth sees everything; it is always run.
const viewBoth = "both"

// Views lists those that Plan.Views may have, in the words of lab.Options.View.
func Views() []string { return []string{viewBoth, "up", "down", "media", "sip", "midcall"} }

// Plan says what is drawn.
type Plan struct {
	Scenarios []lab.Scenario
	Draws     int           // of every scenario
	First     uint64        // seed; draw i of every scenario has First + i
	Views     []string      // besides the whole, of lab.Options.View
	Vendors   bool          // boxes also without vendor strings and with a phone's
	Duration  time.Duration // 0 for the scenario's own
}

// Variant is one way to look at the same lines.
type Variant struct {
	View   string `json:"view"`
	Vendor string `json:"vendor"` // as lab.Options has it; "" leaves what boxes call themselves
}

func (v Variant) String() string {
	if v.Vendor == "" {
		return v.View
	}
	return v.View + ", vendor " + v.Vendor
}

// variants lists the ways to look, the plain one first.
func (p *Plan) variants() []Variant {
	out := []Variant{{View: viewBoth}}
	if p.Vendors {
		out = append(out, Variant{viewBoth, "none"}, Variant{viewBoth, "phone"})
	}
	for _, v := range p.Views {
		if v != viewBoth {
			out = append(out, Variant{View: v})
		}
	}
	return out
}

// job is one capture of the plan.
type job struct{ variant, scenario int }

// jobs lists the captures to make. Only scenarios with a box are looked at under
// other vendor strings, which nothing else has.
func (p *Plan) jobs() (jobs []job, options []lab.Options) {
	for v, variant := range p.variants() {
		for s := range p.Scenarios {
			if variant.Vendor != "" && !p.Scenarios[s].Box {
				continue
			}
			for i := range p.Draws {
				jobs = append(jobs, job{v, s})
				options = append(options, lab.Options{
					Scenario: p.Scenarios[s].Name, Seed: p.First + uint64(i), Duration: p.Duration,
					View: variant.View, Vendor: variant.Vendor,
				})
			}
		}
	}
	return jobs, options
}

// check refuses, before anything is drawn, what would fail long after.
func (p *Plan) check() error {
	if len(p.Scenarios) == 0 {
		return errors.New("no scenario to draw from")
	}
	for _, v := range p.Views {
		if !slices.Contains(Views(), v) {
			return fmt.Errorf("unknown view %q: want %s", v, strings.Join(Views(), ", "))
		}
	}
	return nil
}

// Captures is how many captures the plan makes.
func (p *Plan) Captures() int {
	jobs, _ := p.jobs()
	return len(jobs)
}

// Drawn are the scenarios that evaluation draws from.
func Drawn() []lab.Scenario {
	return slices.DeleteFunc(lab.Scenarios(), func(s lab.Scenario) bool { return s.Class == "" })
}

// Select gives the scenarios that the patterns name: those that are drawn from
// by a shell pattern, the others by their whole name alone. No pattern names all
// that are drawn from.
func Select(patterns []string) ([]lab.Scenario, error) {
	if len(patterns) == 0 {
		return Drawn(), nil
	}
	chosen := make(map[string]bool)
	for _, pattern := range patterns {
		found := false
		for _, s := range lab.Scenarios() {
			ok, err := path.Match(pattern, s.Name)
			if err != nil {
				return nil, fmt.Errorf("scenario %q: %w", pattern, err)
			}
			if ok && (s.Class != "" || s.Name == pattern) {
				found = true
				chosen[s.Name] = true
			}
		}
		if !found {
			return nil, fmt.Errorf("no scenario %q (see the list command)", pattern)
		}
	}
	return slices.DeleteFunc(lab.Scenarios(), func(s lab.Scenario) bool { return !chosen[s.Name] }), nil
}
