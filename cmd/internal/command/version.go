package command

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// NewVersion makes the command that prints the version.
func NewVersion(t Terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(t.Out, t.Program, Version())
			return err
		},
	}
}

// Version tells what the build recorded of itself.
func Version() string { return version(debug.ReadBuildInfo()) }

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
