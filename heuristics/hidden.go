package heuristics

import (
	"simtrap/ident"
	"simtrap/sip"
)

// Hidden takes a fact about SIP under a fixed keystream on a flow of the line:
// that there is some, and each call in it that rang. inbound is set when the
// line is the callee. Both ends of such a flow have spoken, in turn, or it would
// not have been found.
func (l *Lines) Hidden(line ident.Line, inbound bool, h *sip.Hidden) {
	p := l.evident(line, h.Time)
	l.keep(p)
	if p.firstUp == 0 {
		p.firstUp = h.Time
	}
	if p.firstHidden == 0 {
		p.firstHidden = h.Time
	}
	far := h.Callee
	if inbound {
		far = h.Caller
	}
	p.saw(far.Addr, roleTrunkPeer)
	p.activate(h.Time)
	l.touch(p)
	if h.Kind == sip.HiddenCall {
		category := hiddenPlaced
		if inbound {
			category = hiddenRepeat
			if p.hiddenTargets.add(h.Target, maxCalled) {
				category = hiddenNew
			}
		}
		l.count(p, "hidden-fanout", category)
	}
	l.judgeIfDue(p)
}
