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

// built is the version that a build for others gives (-ldflags -X): what Go records of
// a repository depends on how it lies there, and the same commit is to give the same bytes.
var built string

// Version tells what the build recorded of itself.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	return version(built, info, ok)
}

func version(built string, info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "unknown"
	}
	if built != "" {
		return built + " " + info.GoVersion
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
