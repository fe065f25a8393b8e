package command

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	dev := &debug.BuildInfo{GoVersion: "go1.26", Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}}
	tagged := &debug.BuildInfo{GoVersion: "go1.26"}
	tagged.Main.Version = "v1.2.3"
	for want, info := range map[string]*debug.BuildInfo{
		"0123456789ab with changes go1.26": dev,
		"v1.2.3 go1.26":                    tagged,
		"development go1.26":               {GoVersion: "go1.26"},
	} {
		if got := version("", info, true); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := version("0.7", info, true); got != "0.7 go1.26" {
			t.Errorf("%q where the build gives 0.7", got)
		}
	}
}
