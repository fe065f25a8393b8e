package control

import "testing"

// A line whose disguised requests are answered, and one that answers.
func TestBase64SIP(t *testing.T) {
	for _, asks := range []bool{true, false} {
		x := newTalk(t)
		for i := range int64(5) {
			w := up(5060)
			if !asks {
				w = w.back()
			}
			record := func(r *Record) {
				if r.Kind != Mark || r.Sound || r.Detail == "" {
					t.Errorf("%+v", r)
				}
				x.sessions.Record(r)
			}
			x.set.Base64SIP(w.packet(i*60*second, []byte{byte(i), 'q'}), false, uint64(i), record)
			x.set.Base64SIP(w.back().packet(i*60*second+1e6, []byte{byte(i), 'a'}), true, uint64(i), record)
		}
		e := x.about(gateway, SIPBase64)
		if e == nil || e.Marks != 5 || e.MarksAnswered != 5 {
			t.Fatalf("asks %v: %+v", asks, e)
		}
		if proof, _, _ := e.Proof(); proof {
			t.Error("proof")
		}
	}
}
