package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"simtrap/report"
	"simtrap/sensor/config"
)

// defaultConfig is where the service's configuration lies.
const defaultConfig = "/etc/simtrapd/simtrapd.yaml"

func newCheck(t terminal) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [flags] FILE",
		Short: "Say what is wrong with a configuration",
		Long: `check reads a configuration and prints each mistake with its place and what mends
it. It looks whether the files that the configuration names are there, and changes
nothing.

Exit status: 0 when nothing is wrong; 1 when something is, or the file cannot be read;
2 for wrong usage.`,
		Args: oneArg("file"),
		RunE: func(_ *cobra.Command, args []string) error {
			mistakes, err := check(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				err = checkJSON(t, args[0], mistakes)
			} else {
				for _, m := range mistakes {
					fmt.Fprintf(t.out, "%s\n", report.Plain(fmt.Sprintf("%s:%d:%d: %s; %s", args[0], m.Line, m.Column, m.What, m.Remedy)))
				}
				if len(mistakes) == 0 {
					_, err = fmt.Fprintf(t.out, "%s: nothing wrong\n", report.Plain(args[0]))
				}
			}
			if err == nil && len(mistakes) > 0 {
				return statusError(statusFailed)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// check gives the mistakes of a file; the error is that it cannot be read.
func check(file string) ([]config.Mistake, error) {
	c, err := config.Read(file)
	if err == nil {
		err = c.Files(file)
	}
	if m, ok := errors.AsType[*config.Mistakes](err); ok {
		return m.List, nil
	}
	return nil, err
}

func checkJSON(t terminal, file string, mistakes []config.Mistake) error {
	type mistake struct {
		Line   int    `json:"line"`
		Column int    `json:"column"`
		Key    string `json:"key"`
		What   string `json:"what"`
		Remedy string `json:"remedy"`
	}
	list := []mistake{}
	for _, m := range mistakes {
		list = append(list, mistake{m.Line, m.Column, m.Key, m.What, m.Remedy})
	}
	return json.NewEncoder(t.out).Encode(struct {
		File     string    `json:"file"`
		OK       bool      `json:"ok"`
		Mistakes []mistake `json:"mistakes"`
	}{file, len(list) == 0, list})
}

func newSchema(t terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of the configuration",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := t.out.Write(config.Schema())
			return err
		},
	}
}
