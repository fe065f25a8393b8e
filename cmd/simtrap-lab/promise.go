package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"simtrap/cmd/internal/command"
	"simtrap/evaluation"
	"simtrap/heuristics/catalogue"
)

func promiseCommand(out, log io.Writer) *cobra.Command {
	var opt evaluation.PromiseOptions
	var file string
	c := &cobra.Command{
		Use:   "promise",
		Short: "Try what the score promises",
		Long: `Try what the score promises: that an honest line ever has S at s or more with a
probability of at most e^-s, and a line of a class M at m or more with at most e^-m.

Lines are drawn from the tables of the catalogue, which must keep the promise, and from
laws that the tables do not know: other spreads, heavier tails, families that are
correlated, and each class in turn as if nobody had met it. Every excess over the bound
is printed. Exit status 1 only where the promise is broken although the tables hold.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return command.Usage(cmd, errors.New("promise takes no arguments"))
			}
			if opt.Lines < 1 || opt.Calls < 1 {
				return command.Usage(cmd, errors.New("--lines and --calls must be 1 or more"))
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			cat, err := catalogue.Load()
			if err != nil {
				return err
			}
			opt.Now = time.Now()
			clear := promiseProgress(log, &opt)
			r, err := evaluation.TryPromise(cat, opt)
			clear()
			if err != nil {
				return err
			}
			r.Version = command.Version()
			if file != "" {
				if err := writePromise(file, r); err != nil {
					return err
				}
			}
			if err := r.WriteTable(out); err != nil {
				return err
			}
			if r.Broken() {
				return errors.New("the promise is broken where the tables hold; the table says where")
			}
			return nil
		},
	}
	f := c.Flags()
	f.IntVar(&opt.Lines, "lines", 1000, "lines drawn for each law; half of them for each class left out")
	f.IntVar(&opt.Calls, "calls", 500, "calls of a line, at most")
	f.Uint64Var(&opt.Seed, "seed", 1, "draws every line")
	f.StringVar(&file, "json", "", "file for all figures, as JSON")
	return c
}

// promiseProgress tells on a terminal how far it is.
func promiseProgress(log io.Writer, opt *evaluation.PromiseOptions) (clear func()) {
	f, ok := log.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	opt.Progress = func(done, of int) { fmt.Fprintf(log, "\r%d of %d laws", done, of) }
	return func() { fmt.Fprint(log, "\r\033[K") }
}

func writePromise(file string, r *evaluation.PromiseReport) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	err = r.WriteJSON(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
