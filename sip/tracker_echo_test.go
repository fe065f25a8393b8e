package sip

import "testing"

// TestEchoedAnswer: a stranger who calls somebody, answers himself, and gets his
// own answer back has nothing verified. (What a service sends back as it came is
// left aside before; this holds for what it changes.)
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
			50  A>B 180/INVITE tt=t
			60  B>A 180/INVITE tt=t
			100 A>B 200/INVITE tt=t sdp=10.0.0.2:5000
			105 B>A 200/INVITE tt=t sdp=10.0.0.2:5000
			110 A>B ACK        tt=t br=b2
			900 A>B BYE        tt=t br=b3 cseq=2`, false},
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
