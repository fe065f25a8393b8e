package heuristics

import (
	"slices"

	"simtrap/hidden/talk"
	"simtrap/ident"
)

// talked are the calls of a line that were told by their voice alone. They count
// on lines that show no signalling of calls: what signalling would tell of the
// same calls is never counted beside it.
type talked struct {
	calls       int
	told, heard int   // of these, whose direction would be heard, and was
	first, last int64 // when a counted call ended
	ended       int64 // latest end so far
	waiting     []voiceCall
	ports       map[uint16]int64 // when a call on a port of the line last ended
}

// voiceCall is one of them that waits for another leg of the same call.
type voiceCall struct {
	start, answer, end int64
	until              int64 // when it was told to be over
	direction          talk.Direction
	others             int  // calls of the line that were up when it was answered
	again              bool // its port had a call before
	clear              bool // by clear headers, whichever side was first
	vouched            bool // the line itself spoke
	flow               tunnelFlow
	counted            bool
}

const (
	// leastTalk is how long both sides must have been heard, ns: less is a
	// stream's end or a media relay that was tried out.
	leastTalk = 2 * second
	maxPorts  = 1024
	// portRest is within which a port counts as used again. At random among
	// thousands of ports, some ten calls a minute seldom meet.
	portRest = 10 * minute
)

// Talk takes a call of the line without signalling that is over, as of now. One
// that one side alone was heard in is left out, for anybody can send that in the
// line's name; and so is one that began before the tap looked, since who was
// heard first is not known. One that the line does not vouch for (talk.Call) is
// another's leg at the most.
func (l *Lines) Talk(line ident.Line, c *talk.Call, now int64) {
	p := l.evident(line, now)
	switch {
	case p.counted > 0, c.Start < p.tenantSince, c.Start < l.began()+resumeSlack:
		return
	case !c.Telephone() || c.End-c.Answer < leastTalk:
		return
	}
	l.keep(p)
	t := &p.traits.talked
	if len(t.waiting) >= maxLegs {
		l.counters.CallsDropped++
		return
	}
	t.waiting = append(t.waiting, voiceCall{start: c.Start, answer: c.Answer, end: c.End, until: now, direction: c.Direction, others: c.Others, again: t.again(c), clear: c.Clear, vouched: c.Vouched(), flow: tunnelFlow{c.Flow.Dst, c.Flow.SrcPort, c.Flow.DstPort}})
	if !c.Vouched() {
		return
	}
	if t.ended != 0 && c.Start >= t.ended && len(p.traits.pauses) < maxPauses {
		p.traits.pauses = append(p.traits.pauses, c.Start-t.ended)
	}
	t.ended = max(t.ended, c.End)
	p.activate(c.End)
	l.touch(p)
	l.judgeIfDue(p)
}

// began is since when the tap has looked without a break.
func (l *Lines) began() int64 { return max(l.opened, l.resumed) }

// again notes the call's port and says whether the line used it for a call some
// minutes before.
func (t *talked) again(c *talk.Call) bool {
	last, ok := t.ports[c.Flow.SrcPort]
	if t.ports == nil {
		t.ports = make(map[uint16]int64)
	}
	if !ok && len(t.ports) >= maxPorts {
		for port, end := range t.ports {
			if c.Start-end > portRest {
				delete(t.ports, port)
			}
		}
	}
	if ok || len(t.ports) < maxPorts {
		t.ports[c.Flow.SrcPort] = max(last, c.End)
	}
	return ok && c.Start-last <= portRest
}

// settleTalk counts the calls that have waited long enough, or all of them.
func (l *Lines) settleTalk(p *profile, all bool) {
	if p.traits == nil {
		return
	}
	t := &p.traits.talked
	for i := range t.waiting {
		c := &t.waiting[i]
		if c.counted || !all && l.now-c.until < legWait {
			continue
		}
		c.counted = true
		if !c.vouched {
			continue
		}
		if _, ok := p.tunnel.flows[c.flow]; ok {
			continue // a lone call in a tunnel has the shape of a stream
		}
		if t.calls == 0 {
			t.first = c.end
		}
		t.calls++
		p.saw(c.flow.far, roleMedia)
		t.last = max(t.last, c.end)
		p.traits.hours[uint64(c.end)/uint64(60*minute)%24]++
		p.traits.exchanges.ended(c.end)
		p.traits.sealed.ended(c.end)
		l.count(p, "talk-concurrency", concurrencyBin(c.others))
		if c.clear {
			l.direction(p, c.direction)
		}
		port := 0
		if c.again {
			port = 1
		}
		l.count(p, "talk-ports", port)
		legs := 0
		if slices.ContainsFunc(t.waiting, func(o voiceCall) bool { return o != *c && o.sameCall(c) }) {
			legs = 1
		}
		l.count(p, "talk-legs", legs)
	}
	t.waiting = slices.DeleteFunc(t.waiting, func(c voiceCall) bool { return c.counted && l.now-c.until > 3*legWait })
}

// direction counts who was heard first, in two steps, of which the first tells
// nearly all: how often a line that is called sends its ringing is its habit. Of
// voice by shape alone the far end's first calls are not counted at all, so that
// the rest says nothing.
func (l *Lines) direction(p *profile, d talk.Direction) {
	t := &p.traits.talked
	t.told++
	if d != talk.Unknown {
		t.heard++
	}
	if d == talk.Outbound {
		l.count(p, "talk-outbound", 1)
		return
	}
	l.count(p, "talk-outbound", 0)
	ringing := 0
	if d == talk.Inbound {
		ringing = 1
	}
	l.count(p, "talk-ringing", ringing)
}

// sameCall says whether two calls are legs of one: they end together, and were
// answered or begun together.
func (c *voiceCall) sameCall(o *voiceCall) bool {
	return near(c.end, o.end) && (near(c.answer, o.answer) || near(c.start, o.start))
}

// sealed says that the line has calls and that no signalling of it can be read:
// what it says of itself besides would go unseen as well (VERDICT section 2).
func (p *profile) sealed() bool {
	return p.voiceAlone() || p.tunnel.enough() && p.counted == 0
}

// voiceAlone says that of calls outside of tunnels no signalling can be read.
func (p *profile) voiceAlone() bool {
	return p.traits != nil && p.traits.talked.calls >= unreadCalls && p.counted == 0
}

// talkSilent says that none of what voice alone tells of the line's calls counts:
// signalling tells the same of them. Scrambled messages that are bound to calls
// by time tell nothing of each.
func (p *profile) talkSilent() bool { return p.counted > 0 }

// unheard says that who was called was never heard, or so seldom that it may
// have been chance: where no ringing is ever sent as sound, calls either way
// look alike.
func (p *profile) unheard() bool {
	t := &p.traits.talked
	return p.talkSilent() || t.heard == 0 || unheardShare*t.heard < t.told
}

// unheardShare: of so many calls one at least must have been heard.
const unheardShare = 10

// callsSeen is how many calls of the line count, whichever way they were told.
func (p *profile) callsSeen() int { return max(p.counted, p.traits.talked.calls) }

// callsSpan is the time between the first and the last of them, ns.
func (p *profile) callsSpan() int64 {
	return max(p.lastCounted-p.firstCounted, p.traits.talked.last-p.traits.talked.first)
}
