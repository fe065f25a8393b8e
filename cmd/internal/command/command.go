// Package command holds what the command lines of all programs have in common:
// where they write, how they fail, and the commands that tell of the program.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"simtrap/report"
)

// Exit statuses of all programs (docs/design.md, "Output contract"). Others are
// of one program.
const (
	Done   = 0
	Failed = 1 // something prevented the work, or is wrong with what was looked at
	Misuse = 2 // wrong usage
)

// Terminal is what a program reads from and writes to.
type Terminal struct {
	Program  string // as it calls itself
	In       io.Reader
	Out, Err io.Writer
}

// Say writes one line to standard error, whatever the text.
func (t Terminal) Say(text string) { fmt.Fprintf(t.Err, "%s: %s\n", t.Program, report.Plain(text)) }

// Warn says a warning.
func (t Terminal) Warn(text string) { t.Say("warning: " + text) }

type usageError struct {
	cmd *cobra.Command
	err error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Usage makes err one of wrong usage of cmd.
func Usage(cmd *cobra.Command, err error) error { return &usageError{cmd, err} }

// Status is an error that asks for an exit status when everything has been said.
type Status int

func (e Status) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Run carries out a command line and gives the exit status.
func Run(t Terminal, root *cobra.Command, args []string) int {
	// The second signal ends the program as usual: the work may hang.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root.SetArgs(args)
	return Exit(t, root.ExecuteContext(ctx))
}

// Exit says what went wrong and gives the exit status.
func Exit(t Terminal, err error) int {
	var usage *usageError
	var status Status
	switch {
	case err == nil:
		return Done
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		t.Say(usage.Error())
		fmt.Fprintf(t.Err, "usage: %s\n", usage.cmd.UseLine())
		return Misuse
	case errors.Is(err, syscall.EPIPE): // whoever read has seen enough
		return Failed
	}
	t.Say(err.Error())
	return Failed
}

// Root makes the root command of t's program, which shows its help.
func Root(t Terminal, short, long string) *cobra.Command {
	root := &cobra.Command{
		Use:           t.Program,
		Short:         short,
		Long:          long,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return Usage(cmd, fmt.Errorf("unknown command %q; see %s --help", args[0], t.Program))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Version = Version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetIn(t.In)
	root.SetOut(t.Out)
	root.SetErr(t.Err)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 100"))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return Usage(cmd, plainFlagError(err)) })
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

// NoArgs refuses arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usage(cmd, fmt.Errorf("unexpected argument %q", args[0]))
	}
	return nil
}

// OneArg wants one argument, which what names.
func OneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return Usage(cmd, fmt.Errorf("want one %s, not %d", what, len(args)))
		}
		return nil
	}
}

// TwoArgs wants two arguments, which what names.
func TwoArgs(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return Usage(cmd, fmt.Errorf("want %s, not %d arguments", what, len(args)))
		}
		return nil
	}
}
