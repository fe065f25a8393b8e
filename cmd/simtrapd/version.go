package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion(t terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(t.out, "simtrapd", version(debug.ReadBuildInfo()))
			return err
		},
	}
}

// version tells what the build recorded of itself.
func version(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "unknown"
	}
	v, changed := info.Main.Version, ""
	if v == "" || v == "(devel)" {
		v = "development"
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				v = s.Value[:min(len(s.Value), 12)]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = " with changes"
			}
		}
	}
	return v + changed + " " + info.GoVersion
}
