package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/evaluation"
)

// outputs are the files that a command writes besides its text.
type outputs struct{ json, html string }

func (o *outputs) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.json, "json", "", "file for every figure, as JSON")
	c.Flags().StringVar(&o.html, "html", "", "file for a page with pictures")
}

// write makes the files that were asked for.
func (o *outputs) write(asJSON, asHTML func(io.Writer) error) error {
	if o.json != "" {
		if err := writeFile(o.json, asJSON); err != nil {
			return err
		}
	}
	if o.html != "" {
		return writeFile(o.html, asHTML)
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = write(f)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func evalCommand(out, log io.Writer) *cobra.Command {
	plan := evaluation.Plan{}
	var patterns []string
	var files outputs
	var small bool
	var baseline, writeBaseline string
	c := &cobra.Command{
		Use:   "eval",
		Short: "Measure how often the verdicts are right",
		Long: `Draw lines of every kind, run them through the detector and count: how many boxes
reach each verdict and how soon, how many honest lines do, what was closest to a wrong
verdict, and what each family of signals is worth. The same seeds and the same code give
the same figures.

With --baseline the figures are set beside those of an earlier run of the same draws;
the exit status is 1 when a figure of boxes fell by more than 0.01 or one of honest
lines rose.`,
		Example: `  simtrap-lab eval --html figures.html
  simtrap-lab eval --scenario 'breakout-*' --draws 200 --view up --view down
  simtrap-lab eval --small --baseline evaluation/testdata/baseline.json`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if small && !cmd.Flags().Changed("draws") {
				plan.Draws = evaluation.SmallDraws
			}
			if plan.Draws < 1 {
				return command.Usage(cmd, fmt.Errorf("--draws %d: want 1 or more", plan.Draws))
			}
			var err error
			if plan.Scenarios, err = evaluation.Select(patterns); err != nil {
				return command.Usage(cmd, err)
			}
			var before *evaluation.Baseline
			if baseline != "" {
				if before, err = readBaseline(baseline); err != nil {
					return err
				}
			}
			done, stop := progress(log, plan.Captures(), "captures")
			r, err := evaluation.Evaluate(cmd.Context(), &plan, done)
			stop()
			if err != nil {
				return err
			}
			r.Made, r.Version = time.Now().UTC().Truncate(time.Second), command.Version()
			if err := r.WriteText(out); err != nil {
				return err
			}
			if err := files.write(r.WriteJSON, r.WriteHTML); err != nil {
				return err
			}
			if writeBaseline != "" {
				if err := writeFile(writeBaseline, r.Baseline().Write); err != nil {
					return err
				}
			}
			if before != nil {
				return compare(log, before, r.Baseline())
			}
			return nil
		},
	}
	f := c.Flags()
	f.IntVar(&plan.Draws, "draws", evaluation.Draws, "of every scenario")
	f.Uint64Var(&plan.First, "first-seed", evaluation.FirstSeed, "seed of each scenario's first draw")
	f.StringArrayVar(&patterns, "scenario", nil, "draw from these alone, by shell pattern; repeatable")
	f.StringArrayVar(&plan.Views, "view", nil, "look at the lines this way too: up, down, media, sip, midcall; repeatable")
	f.BoolVar(&plan.Vendors, "vendors", true, "look at boxes without vendor strings and with a phone's too")
	f.DurationVar(&plan.Duration, "duration", 0, "virtual time (default: each scenario's own)")
	f.BoolVar(&small, "small", false, fmt.Sprintf("%d draws of every scenario, for every change", evaluation.SmallDraws))
	f.StringVar(&baseline, "baseline", "", "figures to compare with, as --write-baseline wrote them")
	f.StringVar(&writeBaseline, "write-baseline", "", "file for the figures that --baseline compares with")
	files.flags(c)
	return c
}

func readBaseline(name string) (*evaluation.Baseline, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := evaluation.ReadBaseline(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// compare says what became worse, and fails if anything did.
func compare(log io.Writer, before, now *evaluation.Baseline) error {
	worse, changed, err := now.Against(before)
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	for _, s := range changed {
		fmt.Fprintln(log, "changed:", s)
	}
	for _, s := range worse {
		fmt.Fprintln(log, "worse:", s)
	}
	if len(worse) > 0 {
		return fmt.Errorf("%d figures are worse than in the baseline", len(worse))
	}
	_, err = fmt.Fprintf(log, "baseline: no figure is worse, %d changed\n", len(changed))
	return err
}
