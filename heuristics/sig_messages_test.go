package heuristics

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/sip"
)

// text plays a short message for a number.
func (p *play) text(up bool, target uint64, class ident.NumberClass, edit func(*sip.Request)) {
	p.request(up, func(q *sip.Request) {
		q.Method, q.Content, q.TargetKey, q.TargetClass = sip.MESSAGE, sip.ContentText, target, class
		if edit != nil {
			edit(q)
		}
	})
}

func TestMessageFanout(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	p.register(1)
	p.text(false, 10, ident.NumberMobile, nil) // before the line has sent one: proves nothing
	p.text(true, 2, ident.NumberInternal, nil) // a report
	p.text(true, 2, ident.NumberInternal, nil)
	p.text(false, 10, ident.NumberMobile, nil)
	p.text(false, 11, ident.NumberMobile, nil)
	p.text(false, 11, ident.NumberMobile, nil)
	p.text(false, 12, ident.NumberForeign, nil)
	p.text(false, 1, ident.NumberInternal, nil) // for its own account
	p.text(false, 13, ident.NumberMobile, func(q *sip.Request) { q.Status = 480 })
	p.text(false, 14, ident.NumberMobile, func(q *sip.Request) { q.Status, q.Seen = 200, sip.SeenResponse })
	p.text(false, 15, ident.NumberMobile, func(q *sip.Request) { q.Content = sip.ContentMANSCDP })
	if d := cmp.Diff([]uint32{2, 2, 1, 1, 1}, p.counts(t, "message-fanout")); d != "" {
		t.Error(d)
	}
}

// A telephone that says 200 to whatever a stranger sends it is no box.
func TestMessagesOfStrangers(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	p.register(1)
	stranger := addr("192.0.2.66")
	for i := range uint64(50) {
		p.text(false, 100+i, ident.NumberMobile, func(q *sip.Request) { q.From.Addr = stranger })
		p.text(false, 200+i, ident.NumberMobile, nil) // in the server's name
		p.text(true, 300+i, ident.NumberMobile, func(q *sip.Request) { q.To.Addr = stranger })
	}
	for i, n := range p.counts(t, "message-fanout") {
		if n != 0 {
			t.Errorf("category %d counts %d", i, n)
		}
	}
	if f := p.finding(t); f.Verdict != None {
		t.Errorf("verdict %v", f.Verdict)
	}
}

// Colleagues who write to each other, and offices that send notices of their
// own, are no boxes; a test farm is hardly told from one.
func TestMessageFanoutSeparates(t *testing.T) {
	for k, counts := range map[string][]int{"office-phones": {0, 40, 1, 4, 40}, "call-centre": {0, 10, 0, 60, 20}, "mobile-dialler": {0, 30, 0, 8, 30}} {
		if got := nats(t, k, "message-fanout", counts); got > -1 {
			t.Errorf("%s: %.2f nats", k, got)
		}
	}
	lookalikes(t, "message-fanout", []int{60, 5, 0, 1, 40}, 1.7, "m2m-test-farm", "carrier-sbc")
}

// Messages that a gateway's own protocol tells of count where its evidence
// does, and between these two ends alone.
func TestMessagesByControl(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	p.l.ControlText(p.line, p.far, 1, ident.NumberMobile, p.now) // nothing known of either
	p.evidence(&control.Evidence{}, 0, p.now)
	for i := range uint64(10) {
		p.l.ControlText(p.line, p.far, 100+i, ident.NumberMobile, p.now)
	}
	p.l.ControlText(p.line, addr("192.0.2.66"), 200, ident.NumberMobile, p.now)
	if d := cmp.Diff([]uint32{10, 0, 0, 0, 0}, p.counts(t, "message-fanout")); d != "" {
		t.Error(d)
	}
	// Evidence that nobody answered holds nothing, on a tap that sees both ways.
	p = newPlay(testLines(t, Config{Homes: home(t)}))
	p.l.TwoWay()
	p.l.Control(p.line, &control.Evidence{Owner: p.line.Addr, Peer: p.far, Protocol: control.GoIPSMS, Role: control.RoleGateway, Sound: 9, First: p.now}, p.now)
	p.l.ControlText(p.line, p.far, 1, ident.NumberMobile, p.now)
	for i, n := range p.counts(t, "message-fanout") {
		if n != 0 {
			t.Errorf("category %d counts %d", i, n)
		}
	}
}
