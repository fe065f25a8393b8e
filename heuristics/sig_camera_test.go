package heuristics

import (
	"testing"

	"simtrap/sip"
)

func TestCameraMessages(t *testing.T) {
	for name, tt := range map[string]struct {
		up   bool
		edit func(*sip.Request)
		want bool
	}{
		"keepalive":         {true, func(q *sip.Request) { q.Method, q.Content = sip.MESSAGE, sip.ContentMANSCDP }, true},
		"asked of the line": {false, func(q *sip.Request) { q.Method, q.Content = sip.MESSAGE, sip.ContentMANSCDP }, false},
		"refused":           {true, func(q *sip.Request) { q.Method, q.Content, q.Status = sip.MESSAGE, sip.ContentMANSCDP, 403 }, false},
		"a short message":   {true, func(q *sip.Request) { q.Method, q.Content = sip.MESSAGE, sip.ContentText }, false},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		p.register(1)
		p.request(tt.up, tt.edit)
		if _, seen := p.sighting(t, "camera-messages"); seen != tt.want {
			t.Errorf("%s: seen %v", name, seen)
		}
	}
	lookalikes(t, "camera-messages", []int{3600, 0}, 0.1, "home", "office-phones", "pstn-breakout", "carrier-sbc")
	if got := nats(t, "camera-platform", "camera-messages", []int{60, 1}); got > -2 {
		t.Errorf("a camera's message: %.2f nats against camera platforms", got)
	}
}
