package heuristics

import (
	"simtrap/ident"
	"simtrap/sip"
)

// Request follows a request outside calls and registrations. up is set when
// the line sent it. What counts is an exchange: the request was answered with
// success, and where the tap shows both directions both were seen. Short
// messages count only between the line and a server of its calls or accounts.
func (l *Lines) Request(line ident.Line, up bool, q *sip.Request) {
	accepted := q.Status >= 200 && q.Status < 300
	both := q.Seen == sip.SeenRequest|sip.SeenResponse
	switch {
	case q.Doubtful:
		return
	case accepted && both:
	case up && q.Status == 0 && q.Seen&sip.SeenRequest != 0 && !l.tap.twoWay:
		// Only what the line sends is visible. That may exonerate it.
	default:
		return
	}
	l.HandOver(line, q.Time)
	p := l.find(line)
	if p == nil || q.Time < p.tenantSince {
		return
	}
	switch q.Method {
	case sip.SUBSCRIBE:
		if !up {
			return
		}
		switch q.Package {
		case sip.PackageDialog, sip.PackageSummary, sip.PackagePresence:
			l.keep(p)
			if p.traits.subscribed == 0 {
				p.traits.subscribed = q.Time
			}
		default:
			return
		}
	case sip.MESSAGE:
		switch {
		case q.Content == sip.ContentMANSCDP && up:
			l.keep(p)
			if p.traits.camera == 0 {
				p.traits.camera = q.Time
			}
		case q.Content == sip.ContentText && both:
			far := q.From.Addr
			if up {
				far = q.To.Addr
			}
			if x := p.peer(far); x == nil || x.roles[roleRegistrar]+x.roles[roleTrunkPeer] == 0 {
				return
			}
			p = l.evident(line, q.Time)
			l.keep(p)
			l.text(p, up, q.TargetKey, q.TargetClass)
			p.activate(q.Time)
		default:
			return
		}
	default:
		return
	}
	l.touch(p)
	l.judgeIfDue(p)
}
