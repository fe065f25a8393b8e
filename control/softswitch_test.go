package control

import (
	"strings"
	"testing"
)

func TestSoftswitch(t *testing.T) {
	for agent, want := range map[string]string{
		"VOS3000 V2.1.4.0":  "VOS3000",
		"VOS3000 V2.1.3.2":  "VOS3000",
		"VOS3000 V2.1.8.05": "VOS3000",
		"VOS3000 V2.1.6.0":  "VOS3000",
		"VOS3000 V2.1.8.00": "VOS3000",
		"VOS3000 V2.1.9.07": "VOS3000",
		"VOS3000":           "VOS3000",
		"VOS2009 V2.1.2.0":  "VOS2009",
		// Near misses.
		"":                      "",
		"VOS":                   "",
		"vos3000 V2.1.4.0":      "",
		"VOS3000-like":          "",
		"VOS3000 V2.1.4.0 beta": "",
		"VOS30001":              "",
		"VOSS 2009":             "",
		"FreeSWITCH VOS3000":    "",
		"Asterisk PBX 20.1":     "",
		"VOS3000 13800138000":   "",
		"VOS3000 V":             "VOS3000",
		" VOS3000":              "",
		"VOS3000 ":              "",
		"VOS3000/V2.1.4.0":      "",
		"VOS5000 V2.1.4.0":      "",
	} {
		if name, ok := Softswitch(agent); name != want || ok != (want != "") {
			t.Errorf("%q: %q %v", agent, name, ok)
		}
	}
}

func FuzzSoftswitch(f *testing.F) {
	f.Add("VOS3000 V2.1.4.0")
	f.Add("VOS2009")
	f.Fuzz(func(t *testing.T, agent string) {
		if name, ok := Softswitch(agent); ok != (name != "") || ok && !strings.HasPrefix(agent, name) {
			t.Fatalf("%q: %q", agent, name)
		}
	})
}
