package heuristics

import (
	"testing"

	"simtrap/control"
)

// keepalive hands the line evidence of n channels, of which changes held
// another card than before.
func (p *play) evidence(e *control.Evidence, changes int, t int64) {
	e.Owner, e.Peer, e.Protocol, e.Role = p.line.Addr, p.far, control.GoIPSMS, control.RoleGateway
	if e.First == 0 {
		e.First, e.AnsweredFirst = t, t
	}
	e.Last, e.AnsweredLast = t, t
	e.Sound++
	e.Answered++
	e.Changes = changes
	e.Seen = control.Tally{Channels: 4, IMSIs: 4 + changes}
	p.l.Control(p.line, e, t)
}

func TestCardRotation(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	e := &control.Evidence{}
	first := p.now
	for i := range 40 {
		p.evidence(e, i/30, p.now)
		p.now += minute
	}
	exposure, seen := p.sighting(t, "card-rotation")
	if !seen || exposure != 30*minute {
		t.Errorf("seen %v after %d s, want after 30 min", seen, exposure/second)
	}
	if d := p.told(t, "card-rotation"); d != "cards changed 1 time" {
		t.Errorf("told as %q", d)
	}
	_ = first
}

func TestCardsThatStay(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	e := &control.Evidence{}
	for range 40 {
		p.evidence(e, 0, p.now)
		p.now += minute
	}
	if exposure, seen := p.sighting(t, "card-rotation"); seen || exposure != 39*minute {
		t.Errorf("seen %v in %d s", seen, exposure/second)
	}
}

// Without a control record nobody looks for cards, and nothing is missed.
func TestRotationNeedsRecords(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 10, callOptions{})
	if exposure, seen := p.sighting(t, "card-rotation"); seen || exposure != 0 {
		t.Errorf("seen %v in %d s", seen, exposure/second)
	}
	// A test farm changes cards as a box does.
	lookalikes(t, "card-rotation", []int{1800, 1}, 1.2, "m2m-test-farm")
}
