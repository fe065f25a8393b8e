package sip

import "testing"

// TestEchoedAnswer: a stranger who calls a service that sends back what it is
// sent, and answers himself, gets his own tag back; that verifies nothing.
func TestEchoedAnswer(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		verified     bool
	}{
		{"an answer", `
			1   A>B INVITE     sdp=10.0.0.1:4000
			50  B>A 180/INVITE tt=t
			100 B>A 200/INVITE tt=t sdp=10.0.0.2:5000
			110 A>B ACK        tt=t br=b2`, true},
		{"an echo", `
			1   A>B INVITE     sdp=10.0.0.1:4000
			10  B>A INVITE     sdp=10.0.0.1:4000
			50  A>B 180/INVITE tt=t
			60  B>A 180/INVITE tt=t
			100 A>B 200/INVITE tt=t sdp=10.0.0.2:5000
			105 B>A 200/INVITE tt=t sdp=10.0.0.2:5000
			110 A>B ACK        tt=t br=b2
			115 B>A ACK        tt=t br=b2
			900 A>B BYE        tt=t br=b3 cseq=2
			905 B>A BYE        tt=t br=b3 cseq=2`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, tr := play(t, Config{}, tt.script)
			tr.Flush()
			n := 0
			for _, c := range r.calls {
				if c.Verified {
					n++
				}
			}
			if n > 0 != tt.verified {
				t.Errorf("%d of %d calls verified", n, len(r.calls))
			}
		})
	}
}
