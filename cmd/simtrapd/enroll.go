package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/report"
	"simtrap/report/fleet"
	"simtrap/sensor"
	"simtrap/sensor/config"
)

func newEnroll(t command.Terminal) *cobra.Command {
	file := defaultConfig
	cmd := &cobra.Command{
		Use:   "enroll [flags] HUB TOKEN",
		Short: "Have this appliance admitted by a hub",
		Long: `enroll asks the hub at HUB (host:port) to admit this appliance, with the TOKEN that
"simtrap-hub enroll NAME" printed there. It makes a key that never leaves the state
folder and keeps beside it the certificate and the fleet's keys that the hub gives. The
token says by which authority the hub is known; to nobody else is it told. TOKEN may be
- to be read from standard input. Restart simtrapd afterwards.

Exit status: 0 when the appliance was admitted; 1 when it was not; 2 for wrong usage.`,
		Args: command.TwoArgs("a hub and a token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return enroll(cmd, t, file, args[0], args[1])
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", file, "`FILE` of the daemon's configuration, which names the state folder")
	cmd.MarkFlagFilename("config", "yaml", "yml")
	return cmd
}

// maxToken is more than any token.
const maxToken = 4096

func enroll(cmd *cobra.Command, t command.Terminal, file, hub, text string) error {
	c, err := config.Read(file)
	if err != nil {
		return err
	}
	if c.Hub.Address != config.Auto && c.Hub.Address != hub {
		return fmt.Errorf("the configuration has hub: {address: %s}; set it to auto or to %s first", c.Hub.Address, report.Plain(hub))
	}
	if text == "-" {
		b := make([]byte, maxToken)
		n, err := t.In.Read(b)
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		text = string(b[:n])
	}
	token, err := fleet.ParseToken(text)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.StateFolder(), 0o750); err != nil {
		return fmt.Errorf("state folder: %w; set state", err)
	}
	m, err := fleet.Enroll(cmd.Context(), sensor.FleetFolder(c), hub, token, command.Version())
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; run it as root or as the daemon's user", err)
	}
	if err != nil {
		return err
	}
	defer m.Close()
	_, until := m.Valid()
	_, err = fmt.Fprintf(t.Out, "admitted as %s by %s, certificate until %s; restart simtrapd\n", report.Plain(m.Sensor()), report.Plain(m.Hub()), until.UTC().Format("2006-01-02"))
	return err
}
