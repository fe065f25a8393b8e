package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/evaluation"
)

func populationCommand(out, log io.Writer) *cobra.Command {
	census := evaluation.Census{QuietName: evaluation.QuietScenario}
	var patterns []string
	var files outputs
	c := &cobra.Command{
		Use:   "population",
		Short: "Count false accusations among honest lines",
		Long: `Draw honest lines as they fall in a population, run them through the detector and
count those that reach a verdict: lines with much voice, by the shares of their classes;
as many lines of every class; and households that hardly telephone. Every honest line at
watch or above is told with what makes it again.`,
		Example: `  simtrap-lab population --html population.html
  simtrap-lab population --heavy 100 --per-class 10 --quiet 0`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name, n := range map[string]int{"--heavy": census.Heavy, "--per-class": census.PerClass, "--quiet": census.Quiet} {
				if n < 0 {
					return command.Usage(cmd, fmt.Errorf("%s %d: want 0 or more", name, n))
				}
			}
			var err error
			if census.Scenarios, err = evaluation.Select(patterns); err != nil {
				return command.Usage(cmd, err)
			}
			var stop func()
			var done func(int)
			p, err := census.Count(cmd.Context(), func(n, of int) {
				if stop == nil {
					done, stop = progress(log, of, "captures")
				}
				done(n)
			})
			if stop != nil {
				stop()
			}
			if err != nil {
				return err
			}
			p.Made, p.Version = time.Now().UTC().Truncate(time.Second), command.Version()
			if err := p.WriteText(out); err != nil {
				return err
			}
			return files.write(p.WriteJSON, p.WriteHTML)
		},
	}
	f := c.Flags()
	f.IntVar(&census.Heavy, "heavy", evaluation.HeavyLines, "lines with much voice")
	f.IntVar(&census.PerClass, "per-class", evaluation.LinesPerClass, "lines of every class")
	f.IntVar(&census.Quiet, "quiet", evaluation.QuietLines, "lines of quiet households")
	f.Uint64Var(&census.First, "first-seed", evaluation.FirstSeed, "seed of each scenario's first draw")
	f.StringArrayVar(&patterns, "scenario", nil, "draw from these alone, by shell pattern; repeatable")
	files.flags(c)
	return c
}
