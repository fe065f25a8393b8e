package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/evaluation"
)

func figuresCommand(log io.Writer) *cobra.Command {
	var eval, population, promise, dir string
	c := &cobra.Command{
		Use:   "figures --eval FILE",
		Short: "Write the figures of the documentation",
		Long: `Write the figures of the documentation from the JSON files of eval, population and
promise: tables as Markdown, tables.md, and the pictures that it shows. The same files
give the same bytes. Without --population or --promise that part is left out.`,
		Example: `  simtrap-lab figures --eval eval.json --population population.json --promise promise.json`,
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if eval == "" {
				return command.Usage(cmd, errors.New("--eval: name a file that eval --json wrote"))
			}
			var d evaluation.Docs
			var err error
			if d.Report, err = readFile(eval, evaluation.ReadReport); err != nil {
				return err
			}
			if population != "" {
				if d.Population, err = readFile(population, evaluation.ReadPopulation); err != nil {
					return err
				}
			}
			if promise != "" {
				if d.Promise, err = readFile(promise, evaluation.ReadPromise); err != nil {
					return err
				}
			}
			files, err := d.Files()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for _, f := range files {
				if err := os.WriteFile(filepath.Join(dir, f.Name), f.Content, 0o644); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(log, "%s: %s and %d pictures\n", dir, evaluation.DocTables, len(files)-1)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&eval, "eval", "", "what eval --json wrote")
	f.StringVar(&population, "population", "", "what population --json wrote")
	f.StringVar(&promise, "promise", "", "what promise --json wrote")
	f.StringVarP(&dir, "output", "o", filepath.Join("docs", "figures"), "folder to write to")
	return c
}

// readFile reads a file, which an error names.
func readFile[T any](name string, read func(io.Reader) (T, error)) (T, error) {
	var none T
	f, err := os.Open(name)
	if err != nil {
		return none, err
	}
	defer f.Close()
	out, err := read(f)
	if err != nil {
		return none, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}
