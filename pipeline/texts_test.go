package pipeline

import (
	"fmt"
	"testing"

	"simtrap/ident"
)

// TestTextsSent: a short message counts when the gateway says that it was sent,
// and not when it is handed over.
func TestTextsSent(t *testing.T) {
	server, home := [4]byte{198, 51, 100, 9}, [4]byte{203, 0, 113, 7}
	for _, tt := range []struct {
		answer string
		counts bool
	}{{"OK %d 1\n", true}, {"ERROR %d 1 errorstatus:10\n", false}, {"WAIT %d 1\n", false}, {"", false}} {
		var frames []frameOf
		now := int64(1.7e18)
		send := func(src, dst [4]byte, text string) {
			now += 20e6
			frames = append(frames, frameOf{now, datagram(src, dst, text)})
		}
		for i := 1; i <= 12; i++ {
			send(home, server, fmt.Sprintf("req:%d;id:goip01;pass:x;num:;signal:21;gsm_status:LOGIN;voip_status:LOGIN;voip_state:IDLE;remain_time:-1;imei:356938035643809;imsi:460001234567890;iccid:8986001234567890120;pro:CMCC;", i))
			send(server, home, fmt.Sprintf("reg:%d;status:0;", i))
			send(server, home, fmt.Sprintf("SEND %d 1 139%08d\n", i, i*7919))
			if tt.answer != "" {
				send(home, server, fmt.Sprintf(tt.answer, i))
			}
			now += 30e9
		}
		homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), &talkSource{frames: frames}, Config{Homes: homes})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Findings) != 1 {
			t.Fatalf("%q: %d findings", tt.answer, len(r.Findings))
		}
		counts := false
		for _, s := range r.Findings[0].Signals {
			counts = counts || s.ID == "message-fanout"
		}
		if counts != tt.counts {
			t.Errorf("%q: messages count: %v", tt.answer, counts)
		}
	}
}
