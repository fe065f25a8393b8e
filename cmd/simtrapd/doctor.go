package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"simtrap/report"
	"simtrap/sensor"
	"simtrap/sensor/doctor"
)

func newDoctor(t terminal) *cobra.Command {
	var asJSON bool
	var state string
	cmd := &cobra.Command{
		Use:   "doctor [flags] PORT",
		Short: "Say whether a port and this machine are fit to watch a tap",
		Long: `doctor looks at a port (promiscuous mode, offloads, ring, queues and their balance,
XDP, link type) and at the machine (programs, capabilities, clock, memory, space). Each
thing is ok, or comes with the command that mends it. It changes nothing. Run it as root
to be told everything.

Exit status: 0 when there is nothing to mend; 1 when there is; 2 for wrong usage.`,
		Args: oneArg("port"),
		RunE: func(_ *cobra.Command, args []string) error {
			machine := doctor.Machine{GroupLimit: func() int64 { return sensor.GroupLimit(os.DirFS("/")) }}
			return examine(t, machine, args[0], state, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().StringVar(&state, "state", "/var/lib/simtrapd", "the daemon's state `FOLDER`")
	cmd.MarkFlagDirname("state")
	return cmd
}

func examine(t terminal, s doctor.System, port, state string, asJSON bool) error {
	findings := doctor.Examine(s, port, state)
	mend := 0
	for _, f := range findings {
		if f.State == doctor.Mend {
			mend++
		}
	}
	var err error
	if asJSON {
		err = json.NewEncoder(t.out).Encode(struct {
			Port     string           `json:"port"`
			OK       bool             `json:"ok"`
			Findings []doctor.Finding `json:"findings"`
		}{port, mend == 0, findings})
	} else {
		err = writeFindings(t.out, findings)
	}
	if err == nil && mend > 0 {
		return statusError(statusFailed)
	}
	return err
}

func writeFindings(w io.Writer, findings []doctor.Finding) error {
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(tab, "%s\t%s\t%s\n", map[doctor.State]string{doctor.OK: "OK", doctor.Mend: "MEND", doctor.Unknown: "?"}[f.State], f.Check, report.Plain(f.Text))
		if f.Remedy != "" {
			fmt.Fprintf(tab, "\t\t-> %s\n", report.Plain(f.Remedy))
		}
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}
