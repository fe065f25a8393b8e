package report

import (
	"bytes"
	"strings"
	"testing"

	"simtrap/heuristics"
	"simtrap/hidden/hello"
)

func hellos() []heuristics.Hello {
	return []heuristics.Hello{
		{Hello: hello.Hello{Protocol: hello.TLS, JA3: strings.Repeat("ab", 16), JA4: "t12i030500_0123456789ab_0123456789ab", Bare: true, Name: "sip.example", Version: 0x0303, Issuer: "pbx.example", SelfIssued: true},
			Far: addr("198.51.100.9"), Port: 5061, Asked: true, Times: 3, First: start.UnixNano(), Last: start.UnixNano()},
		{Hello: hello.Hello{Protocol: hello.WireGuard}, Far: addr("198.51.100.10"), Port: 51820, Times: 1, First: start.UnixNano(), Last: start.UnixNano()},
	}
}

// TestHellosMasked: what somebody calls up, and whom a certificate of his own names,
// are pseudonyms without an authority, wherever they are written.
func TestHellosMasked(t *testing.T) {
	f := box()
	f.Hellos = hellos()
	for _, authority := range []string{"", "case 2026-114"} {
		var text bytes.Buffer
		if err := WriteText(&text, []heuristics.Finding{f}, options(authority)); err != nil {
			t.Fatal(err)
		}
		both := text.String() + string(AppendJSON(nil, &f, options(authority)))
		for _, secret := range []string{"sip.example", "pbx.example"} {
			if got := strings.Contains(both, secret); got != (authority != "") {
				t.Errorf("authority %q: %s is told: %v", authority, secret, got)
			}
		}
		for _, told := range []string{"wireguard with 198.51.100.10", "t12i030500_0123456789ab_0123456789ab", "TLS 1.2", "device's or daemon's"} {
			if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), told) {
				t.Errorf("%s is not told:\n%s", told, text.String())
			}
		}
	}
}
