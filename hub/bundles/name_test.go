package bundles

import (
	"strings"
	"testing"

	"simtrap/evidence/bundle"
	"simtrap/hub/store"
)

// Whatever sensors and lines are called, each capture has a name of its own in the folder
// of captures, and none leads out of it.
func TestCaptureNames(t *testing.T) {
	w := &work{taken: make(map[string]bool)}
	parts := []store.EvidencePart{
		{Sensor: "north", Name: "203.0.113.7"},
		{Sensor: "north", Name: "realm-a/10.1.2.3"},
		{Sensor: "north", Name: "realm-a_10.1.2.3"}, // as a file, the one before
		{Sensor: "north_realm-a", Name: "10.1.2.3"}, // and so is this
		{Sensor: "../../etc", Name: "../passwd"},
		{Sensor: "..", Name: ".."},
		{Sensor: "", Name: ""},
		{Sensor: "北", Name: "2001:db8::/64"},
		{Sensor: "南", Name: "2001:db8::/64"}, // as letters of a name, the one before
		{Sensor: "a\x00b\n", Name: `C:\x`},
		{Sensor: strings.Repeat("s", 300), Name: strings.Repeat("n", 300)},
		{Sensor: "6", Name: ".pcapng"},
	}
	seen := make(map[string]bool)
	for i := range parts {
		name := w.captureName(i, &parts[i])
		inside, ok := strings.CutPrefix(name, "captures/")
		if !ok || !bundle.ValidName(name) || strings.Contains(inside, "/") || strings.HasPrefix(inside, "..") || !strings.HasSuffix(name, ".pcapng") {
			t.Errorf("%q of %q: %q", parts[i].Name, parts[i].Sensor, name)
		}
		if seen[name] {
			t.Errorf("%q stands for two", name)
		}
		seen[name] = true
	}
	if !seen["captures/north_203.0.113.7.pcapng"] || !seen["captures/3.pcapng"] {
		t.Errorf("%v", seen)
	}
}
