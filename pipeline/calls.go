package pipeline

import (
	"cmp"
	"slices"

	"simtrap/control"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// LineCall is one call of a line. One of Media was told by its voice alone: it
// has no direction, Start and Answered are when voice began and End is when it
// ended.
type LineCall struct {
	heuristics.CallRecord
	Media bool
}

// Limits of what Calls keeps.
const (
	maxLineCalls = 1 << 20 // calls and voice streams of all lines
	maxOpenCalls = 1 << 16
)

const (
	// voiceGap is how long the voice of one call may be away between one socket
	// and another: a new stream takes over at once, the next call takes longer.
	voiceGap = int64(3e9)
	// leastVoice is the shortest voice that is taken for a call.
	leastVoice = int64(2e9)
)

// Calls is an Observer that keeps the calls of some lines with their times, also
// those of which nothing but voice was seen. Which lines matter is known at the
// end of a run only, so it is for a second one.
type Calls struct {
	homes  *ident.Homes
	lines  map[ident.Line]bool
	open   map[uint64]ident.Number // who calls, by sip.Call.ID and direction
	caller ident.Number            // of the INVITE at work
	calls  []LineCall
	voices []heard
	left   uint64
}

// heard is a stream of a line that belongs to no call seen.
type heard struct {
	line              ident.Line
	far               ident.Addr
	farPort, linePort uint16
	start, end        int64
}

// NewCalls makes Calls of the lines. homes must be those of the run.
func NewCalls(homes *ident.Homes, lines []ident.Line) *Calls {
	c := &Calls{homes: homes, lines: make(map[ident.Line]bool), open: make(map[uint64]ident.Number)}
	for _, l := range lines {
		c.lines[l] = true
	}
	return c
}

func (c *Calls) of(a ident.Addr, r ident.Realm) (ident.Line, bool) {
	if a.IsZero() {
		return ident.Line{}, false
	}
	l := c.homes.LineOf(a, r)
	return l, c.lines[l]
}

// Message notes who calls, which its first message alone tells.
func (c *Calls) Message(_ *packet.Packet, m *sip.Message) {
	c.caller = ident.Number{}
	if m.Status == 0 && m.Method == sip.INVITE {
		c.caller = ident.NewNumber(short(m.From.User))
	}
}

// Call keeps the calls of which the beginning was seen.
func (c *Calls) Call(k *sip.Call, ev sip.CallEvent) {
	if k.Midway {
		return
	}
	if l, ok := c.of(k.Callee.Addr, k.Realm); ok {
		c.call(k, ev, l, true)
	}
	if l, ok := c.of(k.Caller.Addr, k.Realm); ok {
		c.call(k, ev, l, false)
	}
}

func (c *Calls) call(k *sip.Call, ev sip.CallEvent, l ident.Line, inbound bool) {
	key := k.ID << 1
	if inbound {
		key |= 1
	}
	switch ev {
	case sip.CallStarted:
		if len(c.open) < maxOpenCalls {
			c.open[key] = c.caller
		}
	case sip.CallEnded:
		r := heuristics.CallRecord{
			Line: l, Inbound: inbound, Start: cmp.Or(k.Invite, k.Last), Answered: k.Answer, End: cmp.Or(k.End, k.Last),
			Calling: c.open[key], Called: k.CalledUser, Controller: k.Callee.Addr, Verified: k.Verified, Began: k.Invite != 0,
		}
		if inbound {
			r.Controller = k.Caller.Addr
		}
		if k.End == 0 && r.Answered != 0 {
			r.End = 0 // given up: when it ended is not known
		}
		delete(c.open, key)
		if len(c.calls)+len(c.voices) >= maxLineCalls {
			c.left++
			return
		}
		c.calls = append(c.calls, LineCall{CallRecord: r})
	}
}

// Stream keeps the voice that belongs to no call.
func (c *Calls) Stream(s *rtp.Stream, ended bool) {
	if !ended || s.Call != 0 || s.Fax {
		return
	}
	f := s.Flow
	for _, x := range [2]rtp.Flow{f, f.Reverse()} {
		l, ok := c.of(x.Src, x.Realm)
		if !ok {
			continue
		}
		if len(c.calls)+len(c.voices) >= maxLineCalls {
			c.left++
			continue
		}
		c.voices = append(c.voices, heard{l, x.Dst, x.DstPort, x.SrcPort, s.Start, s.End})
	}
}

// Registration is not used.
func (c *Calls) Registration(*sip.Registration) {}

// Request is not used.
func (c *Calls) Request(*sip.Request) {}

// Record is not used.
func (c *Calls) Record(*control.Record) {}

// Interval is not used.
func (c *Calls) Interval(*rtp.Interval) {}

// List gives the calls in the order of their starts, and how many more there had
// no room.
func (c *Calls) List() (list []LineCall, left uint64) {
	list = slices.Clone(c.calls)
	slices.SortFunc(c.voices, func(a, b heard) int {
		return cmp.Or(a.line.Compare(b.line), a.far.Compare(b.far), cmp.Compare(a.farPort, b.farPort),
			cmp.Compare(a.linePort, b.linePort), cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	for i := 0; i < len(c.voices); {
		v := c.voices[i]
		for i++; i < len(c.voices); i++ {
			n := c.voices[i]
			if n.line != v.line || n.far != v.far || n.farPort != v.farPort || n.linePort != v.linePort || n.start > v.end+voiceGap {
				break
			}
			v.end = max(v.end, n.end)
		}
		if v.end-v.start < leastVoice {
			continue
		}
		list = append(list, LineCall{Media: true, CallRecord: heuristics.CallRecord{
			Line: v.line, Start: v.start, Answered: v.start, End: v.end, Controller: v.far,
		}})
	}
	slices.SortStableFunc(list, func(a, b LineCall) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), a.Line.Compare(b.Line), cmp.Compare(a.End, b.End))
	})
	return list, c.left
}
