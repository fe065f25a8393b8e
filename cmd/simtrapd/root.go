package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"simtrap/report"
)

// Exit statuses, the same for all commands.
const (
	statusDone   = 0
	statusFailed = 1 // something is wrong with what was looked at, or prevented the work
	statusUsage  = 2
	statusAlarms = 3 // status: the daemon runs, and alarms stand
)

// terminal is what a command reads from and writes to.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// say writes one line to standard error, whatever the text.
func (t terminal) say(text string) { fmt.Fprintf(t.err, "simtrapd: %s\n", report.Plain(text)) }

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
	err := root.ExecuteContext(ctx)
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
		Use:   "simtrapd",
		Short: "Watch tap ports for multi-SIM gateways (SIM boxes)",
		Long: `simtrapd watches tap or mirror ports of an access network and says which subscriber
lines are multi-SIM gateways, and why. It observes and reports; it sends nothing.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return &usageError{cmd, fmt.Errorf("unknown command %q; see simtrapd --help", args[0])}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Version = version(debug.ReadBuildInfo())
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 100"))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd, err} })
	root.AddCommand(newRun(t), newCheck(t), newDoctor(t), newSchema(t), newStatus(t), newVersion(t), newDocs(root))
	return root
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{cmd, fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// oneArg wants one argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return &usageError{cmd, fmt.Errorf("want one %s, not %d", what, len(args))}
		}
		return nil
	}
}
