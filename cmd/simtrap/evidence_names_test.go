package main

import (
	"strings"
	"testing"

	"simtrap/evidence/bundle"
)

// Whatever realms are called, each capture of a bundle has a valid name of its own.
func TestPartNames(t *testing.T) {
	files := []string{"203.0.113.7.pcapng", "北_10.1.2.3.pcapng", "南_10.1.2.3.pcapng", "..pcapng", "2.pcapng", "3.pcapng", "../x.pcapng", strings.Repeat("r", 400) + ".pcapng"}
	seen := make(map[string]bool)
	for i, name := range partNames(files) {
		if seen[name] || !bundle.ValidName(name) || !strings.HasPrefix(name, partCaptures) || strings.Count(name, "/") != 1 {
			t.Errorf("%q is %q", files[i], name)
		}
		seen[name] = true
	}
	if !seen["captures/203.0.113.7.pcapng"] || !seen["captures/__10.1.2.3.pcapng"] && !seen["captures/_10.1.2.3.pcapng"] {
		t.Errorf("%v", seen)
	}
}
