package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"simtrap/calibration"
	"simtrap/cmd/internal/command"
	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
)

func calibrateCommand(out, log io.Writer) *cobra.Command {
	var plan calibration.Plan
	var dir, counts string
	var fitOnly bool
	c := &cobra.Command{
		Use:   "calibrate",
		Short: "Fit the verdict's tables to lines of known truth",
		Long: `Run the drawn scenarios on training seeds, keep what the signals counted on each
line, and fit every table, profile and share from that and from the priors that
were set by hand. It writes the counts and the files of the catalogue, which the
next build takes in, and prints how far signals and families go together. The same
seeds give the same files.`,
		Example: `  simtrap-lab calibrate --draws 40
  simtrap-lab calibrate --fit-only      (again from the counts that are there)`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !fitOnly {
				if err := observe(cmd.Context(), plan, counts, log); err != nil {
					return err
				}
			}
			return fit(plan, dir, counts, out)
		},
	}
	f := c.Flags()
	f.IntVar(&plan.Draws, "draws", 40, "lines of each scenario")
	f.Uint64Var(&plan.First, "first-seed", 1, "seed of the first of them")
	f.StringVar(&dir, "catalogue", filepath.Join("heuristics", "catalogue"), "folder of the tables")
	f.StringVar(&counts, "observations", filepath.Join("calibration", "observations.tsv"), "file of the counts")
	f.BoolVar(&fitOnly, "fit-only", false, "take the counts as they are in the file")
	return c
}

// observe runs the scenarios and writes the counts.
func observe(ctx context.Context, plan calibration.Plan, file string, log io.Writer) error {
	cat, err := catalogue.Load()
	if err != nil {
		return err
	}
	model, err := heuristics.NewModel(cat)
	if err != nil {
		return err
	}
	jobs := plan.Jobs()
	list, err := calibration.Observe(ctx, jobs, model, func(i int) {
		if (i+1)%100 == 0 || i+1 == len(jobs) {
			fmt.Fprintf(log, "%d of %d captures\n", i+1, len(jobs))
		}
	})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := calibration.Write(&b, list); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// fit makes the tables from the counts and writes them.
func fit(plan calibration.Plan, dir, counts string, out io.Writer) error {
	b, err := os.ReadFile(counts)
	if err != nil {
		return err
	}
	list, err := calibration.Read(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s: %w", counts, err)
	}
	vendors, err := os.ReadFile(filepath.Join(dir, "vendors.json"))
	if err != nil {
		return err
	}
	f, err := calibration.Calibrate(vendors, list)
	if err != nil {
		return err
	}
	made := f.Made(plan)
	sum := sha256.Sum256(b)
	made.Observations = hex.EncodeToString(sum[:])
	files, err := calibration.Files(f.Catalogue, made)
	if err != nil {
		return err
	}
	delete(files, "vendors.json") // set by hand, and as it was
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), files[name].Data, 0o644); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(out, "%d lines of %d scenarios, %d files written to %s\n", len(f.Lines), made.Scenarios, len(names), dir); err != nil {
		return err
	}
	return calibration.PrintCorrelations(out, f.Correlations())
}
