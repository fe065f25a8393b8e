package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"simtrap/report"
)

// Exit statuses (docs/design.md, "Output contract").
const (
	statusDone    = 0 // every input was read to its end
	statusFailed  = 1 // something prevented the work
	statusUsage   = 2
	statusDamaged = 3 // an input was damaged or cut short; what could be read was reported
)

// terminal is what a command reads from and writes to.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// columns gives the width of the terminal behind w; ok is false when there is
// none.
func columns(w any) (n int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, true
	}
	return n, true
}

// say writes one line to standard error, whatever the text.
func (t terminal) say(text string) { fmt.Fprintf(t.err, "simtrap: %s\n", report.Plain(text)) }

func (t terminal) warn(text string) { t.say("warning: " + text) }

// usageError is wrong usage of a command.
type usageError struct {
	cmd *cobra.Command
	err error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// statusError asks for an exit status when everything has been said.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run carries out a command line and gives the exit status.
func run(args []string, t terminal) int {
	// The second signal ends the program as usual: the work may hang.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRoot(t)
	root.SetArgs(args)
	return exit(t, root.ExecuteContext(ctx))
}

// exit says what went wrong and gives the exit status.
func exit(t terminal, err error) int {
	var usage *usageError
	var status statusError
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		t.say(usage.Error())
		fmt.Fprintf(t.err, "usage: %s\n", usage.cmd.UseLine())
		return statusUsage
	case errors.Is(err, syscall.EPIPE): // whoever read has seen enough
		return statusFailed
	}
	t.say(err.Error())
	return statusFailed
}

func newRoot(t terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "simtrap",
		Short: "Find multi-SIM gateways (SIM boxes) in captured traffic",
		Long: `simtrap reads captured traffic of an access network and says which subscriber
lines are multi-SIM gateways, and why. It observes and reports; it sends nothing.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return &usageError{cmd, fmt.Errorf("unknown command %q; see simtrap --help", args[0])}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Version = version(debug.ReadBuildInfo())
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 100"))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd, plainFlagError(err)} })
	root.AddCommand(newReplay(t), newDissect(t), newSignals(t), newVersion(t), newDocs(root))
	return root
}

// plainFlagError says what a flag wants where the flag's parser tells of its own
// functions.
func plainFlagError(err error) error {
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	want := "a value of another kind"
	switch bad.GetFlag().Value.Type() {
	case "int":
		want = "a whole number"
	case "uint64":
		want = "a whole number above 0"
	case "bool":
		want = "true or false"
	}
	if errors.Is(err, strconv.ErrRange) {
		want = "a number of fewer digits"
	}
	return fmt.Errorf("--%s %s: want %s", bad.GetFlag().Name, bad.GetValue(), want)
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{cmd, fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
