package control

import "testing"

// A line that registers in disguise, and one that answers calls; the other end
// of either is no gateway for it.
func TestBase64SIP(t *testing.T) {
	for _, asks := range []bool{true, false} {
		x := newTalk(t)
		for i := range int64(5) {
			w := up(5060)
			if !asks {
				w = w.back()
			}
			record := func(r *Record) {
				if r.Sound || (r.Kind == Mark) != (r.Detail != "") {
					t.Errorf("%+v", r)
				}
				x.sessions.Record(r)
			}
			x.set.Base64SIP(w.packet(i*60*second, []byte{byte(i), 'q'}), asks, false, uint64(i), record)
			x.set.Base64SIP(w.back().packet(i*60*second+1e6, []byte{byte(i), 'a'}), asks, true, uint64(i), record)
		}
		e := x.about(gateway, SIPBase64)
		if e == nil || e.Marks != 5 || e.MarksAnswered != 5 {
			t.Fatalf("asks %v: %+v", asks, e)
		}
		if e := x.about(server, SIPBase64); e != nil {
			t.Errorf("asks %v: the server is marked: %+v", asks, e)
		}
		if proof, _, _ := e.Proof(); proof {
			t.Error("proof")
		}
	}
}
