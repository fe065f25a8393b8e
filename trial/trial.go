// Package trial runs scenarios of the lab through the detector, as a replay of
// their captures would, and sets what was found beside what is true.
package trial

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/places"
)

// Line is one subscriber line of a scenario with what was found on it.
type Line struct {
	Scenario string
	Options  lab.Options
	Main     bool // the line that the scenario is about, the first of its truth
	Truth    *lab.LineTruth
	Truths   *lab.Truth          // of the whole capture
	Finding  *heuristics.Finding // nil when the line showed nothing of telephony
}

// Verdict is what was found, none on a line that showed nothing.
func (l *Line) Verdict() heuristics.Verdict {
	if l.Finding == nil {
		return heuristics.None
	}
	return l.Finding.Verdict
}

// Class is the catalogue's name for what the line truly is, by its truth.
func (l *Line) Class() string { return class(l.Truth.Class) }

// class gives the catalogue's name of a class of the lab, which knows nothing of
// the catalogue.
func class(name string) string {
	switch name {
	case lab.ClassConference:
		return "conference-or-game"
	case lab.ClassAdapter:
		return "fxs-adapter"
	case lab.ClassBreakout:
		return "pstn-breakout"
	case lab.ClassMobileDialer:
		return "mobile-dialler"
	case lab.ClassVictim:
		return "scanner-victim"
	case lab.ClassSmallCell:
		return "small-cell-vowifi"
	case lab.ClassM2M:
		return "m2m-test-farm"
	}
	return strings.ToLower(strings.ReplaceAll(name, " ", "-"))
}

// Bench is what all runs share. It may be used by several goroutines.
type Bench struct {
	homes *ident.Homes
	plan  *ident.Plan
}

// NewBench prepares the surroundings in which the lab's captures are read: the
// networks of its subscribers, the numbering of its country, and a list that
// tells which of its networks are abroad, as an operator would give them.
func NewBench() (*Bench, error) {
	homes, err := ident.ParseHomes(lab.Homes(), 0)
	if err != nil {
		return nil, fmt.Errorf("homes of the lab: %w", err)
	}
	plan, err := ident.ParsePlan("cn")
	if err != nil {
		return nil, err
	}
	if _, err := surroundings(); err != nil {
		return nil, err
	}
	return &Bench{homes, plan}, nil
}

// surroundings reads the list of networks. Every run has its own, since looking
// up an address changes it.
func surroundings() (*places.Places, error) {
	p := places.New("CN")
	return p, p.Parse(strings.NewReader(lab.Places()), "places of the lab")
}

// Run makes one capture and reads it. Nothing is written to a file.
func (b *Bench) Run(ctx context.Context, opt lab.Options) ([]Line, error) {
	r, w := io.Pipe()
	type made struct {
		truth *lab.Truth
		err   error
	}
	done := make(chan made, 1)
	go func() {
		truth, err := lab.Make(w, opt)
		w.CloseWithError(err)
		done <- made{truth, err}
	}()
	found, err := b.read(ctx, r)
	r.CloseWithError(err)
	m := <-done
	if m.err != nil {
		err = m.err // what reading met is but its consequence
	}
	if err != nil {
		return nil, fmt.Errorf("%s, seed %d: %w", opt.Scenario, opt.Seed, err)
	}
	byLine := make(map[string]*heuristics.Finding, len(found))
	for i := range found {
		f := &found[i]
		name := f.Line.String()
		if old := byLine[name]; old == nil || f.Verdict > old.Verdict {
			byLine[name] = f
		}
	}
	lines := make([]Line, len(m.truth.Lines))
	for i, t := range m.truth.Lines {
		lines[i] = Line{Scenario: opt.Scenario, Options: opt, Main: i == 0, Truth: t, Truths: m.truth, Finding: byLine[t.Address]}
	}
	return lines, nil
}

func (b *Bench) read(ctx context.Context, r io.Reader) ([]heuristics.Finding, error) {
	files, err := capture.Open([]string{"-"}, capture.Options{Stdin: r})
	if err != nil {
		return nil, err
	}
	defer files.Close()
	around, err := surroundings()
	if err != nil {
		return nil, err
	}
	result, err := pipeline.Run(ctx, files, pipeline.Config{
		Homes: b.homes, Workers: 1, Plan: b.plan, Places: around, Evidence: true, Ledgers: heuristics.None,
	})
	if err != nil {
		return nil, err
	}
	return result.Findings, nil
}

// RunAll runs every job, as many at once as there are processors, and hands the
// lines of each to take, one job at a time and in the order of jobs. It stops at
// the first error.
func (b *Bench) RunAll(ctx context.Context, jobs []lab.Options, take func(i int, lines []Line) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		lines []Line
		err   error
	}
	// One slot a job; at most ahead of them are filled before they are taken.
	slots := make([]chan outcome, len(jobs))
	for i := range slots {
		slots[i] = make(chan outcome, 1)
	}
	workers := runtime.GOMAXPROCS(0)
	ahead := make(chan struct{}, 4*workers)
	next := make(chan int)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range next {
				lines, err := b.Run(ctx, jobs[i])
				slots[i] <- outcome{lines, err}
			}
		})
	}
	all.Go(func() {
		defer close(next)
		for i := range jobs {
			select {
			case ahead <- struct{}{}:
			case <-ctx.Done():
				return
			}
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	defer all.Wait()
	defer cancel()
	for i := range jobs {
		select {
		case o := <-slots[i]:
			if o.err != nil {
				return o.err
			}
			if err := take(i, o.lines); err != nil {
				return err
			}
			<-ahead
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
