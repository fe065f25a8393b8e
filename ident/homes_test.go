package ident

import (
	"strings"
	"testing"
)

// IPv4 written within IPv6 is IPv4.
func TestHomesMapped(t *testing.T) {
	for _, c := range []struct {
		home string
		in   []string
		out  []string
	}{
		{"::ffff:203.0.113.7", []string{"203.0.113.7", "::ffff:203.0.113.7"}, []string{"203.0.113.6", "::203.0.113.7"}},
		{"::ffff:203.0.113.0/120", []string{"203.0.113.0", "203.0.113.255"}, []string{"203.0.112.255", "203.0.114.0"}},
		{"::ffff:203.0.113.77/120", []string{"203.0.113.0"}, []string{"203.0.112.255"}},
		{"::ffff:0:0/96", []string{"0.0.0.1", "203.0.113.7"}, []string{"2001:db8::1"}},
		{"::ffff:cb00:7107/128", []string{"203.0.113.7"}, []string{"203.0.113.6"}},
		{" 203.0.113.7 , 2001:db8::/32", []string{"203.0.113.7", "2001:db8::1"}, []string{"203.0.113.6", "2001:db9::1"}},
	} {
		h, err := ParseHomes([]string{c.home}, 0)
		if err != nil {
			t.Errorf("%s: %v", c.home, err)
			continue
		}
		for i, text := range append(c.in, c.out...) {
			a, ok := ParseAddr([]byte(text))
			if !ok {
				t.Fatal(text)
			}
			if want := i < len(c.in); h.Contains(a) != want {
				t.Errorf("%s contains %s: %v", c.home, text, !want)
			}
		}
	}
}

// What names no address is told rather than passed over: with no homes at all
// every address may be a line.
func TestHomesRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "empty",
		" ":                      "empty",
		",":                      "empty",
		"203.0.113.7,":           "empty",
		",203.0.113.7":           "empty",
		"203.0.113.7,,192.0.2.1": "empty",
		"fe80::1%eth0":           "zone",
		"fe80::1%eth0/64":        "zone",
		"::ffff:203.0.113.7%1":   "zone",
		"::ffff:0:0/95":          "96",
		"203.0.113.0/33":         "want an address or a prefix",
		"/24":                    "want an address or a prefix",
		"gateway":                "want an address or a prefix",
	} {
		h, err := ParseHomes([]string{"198.51.100.0/24", text}, 0)
		if err == nil {
			t.Errorf("%q: known %v, no error", text, h.Known())
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if h, err := ParseHomes(nil, 0); err != nil || h.Known() {
		t.Error("no list is no error", err)
	}
}
