package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/cmd/internal/keyfile"
	"simtrap/ident"
	"simtrap/sensor"
	"simtrap/sensor/config"
)

// collectAt is by how many per cent the heap may grow between two collections,
// unless GOGC says otherwise: 100,000 flows are to fit into 256 MiB, the kernel's maps
// included, and what is counted of hidden calls took the room there was (272 MiB at 25,
// 252 at 10, which a busy machine did not keep).
const collectAt = 6

func newRun(t command.Terminal) *cobra.Command {
	file := defaultConfig
	cmd := &cobra.Command{
		Use:   "run [flags]",
		Short: "Watch the ports of a configuration",
		Long: `run attaches to the ports, gives up its rights, and watches until it is told to stop.
SIGHUP reads the configuration anew; on a mistake it goes on with the old one. SIGTERM
and SIGINT judge and write what is on its way, then end.

Exit status: 0 when it was told to stop, or the files of capture: file were read; 1 for
anything that prevented the work, mistakes in the configuration included; 2 for wrong
usage.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return watch(cmd, t, file)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", file, "`FILE` of the configuration")
	cmd.MarkFlagFilename("config", "yaml", "yml")
	return cmd
}

// watch runs the daemon.
func watch(cmd *cobra.Command, t command.Terminal, file string) error {
	// A reload that comes while everything starts must not end the process.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)

	c, err := config.Read(file)
	if err == nil {
		err = c.Files(file)
	}
	if m, ok := errors.AsType[*config.Mistakes](err); ok {
		for _, x := range m.List {
			t.Say(fmt.Sprintf("%s:%d:%d: %s; %s", m.File, x.Line, x.Column, x.What, x.Remedy))
		}
		return command.Status(command.Failed)
	}
	if err != nil {
		return err
	}
	key, made, err := keyfile.ReadOrMake(c.KeyFile())
	if err != nil {
		return err
	}
	if made {
		t.Say("made a new pseudonym key in " + c.KeyFile() + "; pseudonyms compare only where this key is used")
	}
	plan, err := c.NumberingPlan()
	if err != nil {
		return err
	}
	// Tables that stay are most of what the daemon holds: memory to be kept free
	// for as much again would be lost for nothing.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	opener, engine, err := backend(c)
	if err != nil {
		return err
	}
	return sensor.Run(cmd.Context(), sensor.Options{
		File: file, Config: c, Version: command.Version(),
		Opener: opener, Engine: engine,
		Names: ident.NewPseudonymizer(key, ""), Class: numberClass(plan),
		Stdout: t.Out, Stderr: t.Err,
		Notify: sensor.NotifyFrom(os.Getenv), Signals: signals, Secure: true,
		Memory: func(want config.Size) (int64, string) {
			return sensor.MemoryLimit(os.DirFS("/"), want, os.Getenv("GOMEMLIMIT"))
		},
	})
}

// backend gives what takes frames and what judges them.
func backend(c *config.Config) (sensor.Opener, func(sensor.EngineConfig) (sensor.Engine, error), error) {
	if c.Capture == config.CaptureFile {
		return sensor.Files{}, sensor.NewLive, nil
	}
	return sensor.Taps{}, sensor.NewLive, nil
}

// numberClass names the class of a number as it stands before its pseudonym,
// "cn-mobile".
func numberClass(plan *ident.Plan) func(ident.Number) string {
	return func(n ident.Number) string {
		class := plan.ClassOf(n)
		if class == ident.NumberUnknown {
			return ""
		}
		return plan.Name() + "-" + class.String()
	}
}
