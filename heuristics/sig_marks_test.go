package heuristics

import (
	"testing"

	"simtrap/control"
)

func TestControlMarks(t *testing.T) {
	marks := func(p *play, edit func(*control.Evidence)) {
		e := &control.Evidence{Owner: p.line.Addr, Peer: p.far, Protocol: "dbl-ddns", Role: control.RoleGateway, Marks: 3, FirstMark: p.now + minute, Mark: "what it is"}
		edit(e)
		p.l.Control(p.line, e, p.now+minute)
	}
	for name, tt := range map[string]struct {
		twoWay bool
		edit   func(*control.Evidence)
		want   bool
	}{
		"answered":                        {true, func(e *control.Evidence) { e.MarksAnswered, e.FirstMarkAnswered = 1, e.FirstMark }, true},
		"nobody answers, both directions": {true, func(*control.Evidence) {}, false},
		"the peer cannot be seen":         {false, func(e *control.Evidence) { e.OneWay = true }, true},
		"a sound record says more": {true, func(e *control.Evidence) {
			e.MarksAnswered, e.FirstMarkAnswered, e.Sound, e.Answered, e.First = 1, e.FirstMark, 1, 1, e.FirstMark
		}, false},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		if tt.twoWay {
			p.l.TwoWay()
		}
		marks(p, tt.edit)
		if _, seen := p.sighting(t, "control-marks"); seen != tt.want {
			t.Errorf("%s: seen %v", name, seen)
		}
	}
	// Marks alone are no verdict, however many.
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	marks(p, func(e *control.Evidence) { e.Marks, e.MarksAnswered, e.FirstMarkAnswered = 1000, 1000, e.FirstMark })
	if f := p.finding(t); f.Verdict != None || f.Proof {
		t.Errorf("verdict %v, proof %v", f.Verdict, f.Proof)
	}
	lookalikes(t, "control-marks", []int{60, 1}, 1.2, "fxs-adapter", "pstn-breakout", "m2m-test-farm")
	lookalikes(t, "control-marks", []int{3600, 0}, 0.05, "home", "office-phones", "carrier-sbc")
}

// SIP in Base64 is a mark: the makers' adapters and licensed gateways have the
// setting as well, so it speaks against them no more than other marks do.
func TestBase64IsAMark(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	e := &control.Evidence{Owner: p.line.Addr, Peer: p.far, Protocol: control.SIPBase64, Role: control.RoleGateway, Marks: 9, MarksAnswered: 9,
		FirstMark: p.now, FirstMarkAnswered: p.now, Mark: "SIP disguised as Base64"}
	p.l.Control(p.line, e, p.now+minute)
	if _, seen := p.sighting(t, "control-marks"); !seen {
		t.Error("no mark")
	}
	if _, seen := p.sighting(t, "hidden-sip"); seen {
		t.Error("hidden SIP")
	}
	e.Sound, e.Answered, e.First = 1, 1, p.now
	p.l.Control(p.line, e, p.now+minute)
	if _, seen := p.sighting(t, "control-marks"); seen {
		t.Error("a mark beside a sound record")
	}
}

// Sound records that nobody answered, beside marks that somebody did, tell
// neither of cards nor of the protocol: anybody may have sent them.
func TestForgedRecordsBesideMarks(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	p.l.TwoWay()
	p.l.Control(p.line, &control.Evidence{Owner: p.line.Addr, Peer: p.far, Protocol: "forged", Role: control.RoleGateway, Marks: 1, MarksAnswered: 1,
		FirstMark: p.now, FirstMarkAnswered: p.now, First: p.now, Last: p.now, Sound: 9, Changes: 4, Seen: control.Tally{Channels: 9, IMSIs: 9}}, p.now)
	p.evidence(&control.Evidence{}, 0, p.now+minute)
	if _, seen := p.sighting(t, "card-rotation"); seen {
		t.Error("forged records change cards")
	}
	if d := p.told(t, "control-record"); d != "1 sound record of "+control.GoIPSMS+", 4 channels" {
		t.Errorf("told as %q", d)
	}
}

// Who resolves names or tells the time, or connects to a greeting, controls
// nothing.
func TestMarksNameNoController(t *testing.T) {
	for protocol, want := range map[string]int{control.DBLNames: 0, control.DBLTime: 0, control.MakerBanner: 0, control.DBLTunnel: 1} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		p.l.Control(p.line, &control.Evidence{Owner: p.line.Addr, Peer: p.far, Protocol: protocol, Role: control.RoleGateway, Marks: 3, MarksAnswered: 3, FirstMark: p.now, FirstMarkAnswered: p.now}, p.now)
		if f := p.finding(t); len(f.Controllers) != want {
			t.Errorf("%s: %+v", protocol, f.Controllers)
		}
	}
}

// A server that hides its SIP as its gateway does stays a server.
func TestMarksMakeNoLineOfAServer(t *testing.T) {
	p := newPlay(testLines(t, Config{}))
	p.l.Registrar(p.line, p.now)
	p.l.Control(p.line, &control.Evidence{Owner: p.line.Addr, Peer: p.far, Protocol: "sip-base64", Role: control.RoleGateway, Marks: 9, MarksAnswered: 9, FirstMark: p.now, FirstMarkAnswered: p.now}, p.now)
	for _, f := range p.l.Findings(true, None) {
		if f.Line == p.line {
			t.Errorf("a finding, S %.1f", f.Score)
		}
	}
}
