package pipeline

import (
	"cmp"
	"slices"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/report"
	"simtrap/rtp"
	"simtrap/sip"
)

// Limits of what a Collector keeps of one line.
const (
	maxKeptCalls    = 2000
	maxKeptAccounts = 512
	maxKeptStreams  = 32
	maxFollowed     = 256 // streams whose end is awaited
	maxPoints       = 256 // of one stream; then every second is dropped
)

// Collector is an Observer that keeps what some lines did, for pages. Which
// lines are suspects is known at the end of a run only, so it is for a second
// one: to keep the same of every line would cost memory that no bound fits, and
// slow down the first.
type Collector struct {
	homes *ident.Homes
	lines map[ident.Line]*collected
	// Of the INVITE at work: the accounts that its target and its sender are at
	// the lines they belong to. A call that begins now is of it.
	callee, caller ident.Account
}

type collected struct {
	report.Activity
	open     map[uint64]*report.Call  // by sip.Call.ID and direction
	accounts map[uint64]ident.Account // by the hash of a user part
	followed map[streamKey]*followed
}

// streamKey tells the streams of one line apart, as rtp.Streams does.
type streamKey struct {
	flow rtp.Flow
	ssrc uint32
}

// followed is a stream that may be confirmed.
type followed struct {
	tap     uint16
	rate    uint32
	samples []rtp.Sample
	stride  int // intervals for one sample
	passed  int
	last    int64
}

// NewCollector makes a Collector for lines. homes must be those of the run.
func NewCollector(homes *ident.Homes, lines []ident.Line) *Collector {
	c := &Collector{homes: homes, lines: make(map[ident.Line]*collected)}
	for _, l := range lines {
		c.lines[l] = &collected{open: make(map[uint64]*report.Call), accounts: make(map[uint64]ident.Account), followed: make(map[streamKey]*followed)}
	}
	return c
}

// Activity gives what was kept of a line, nil when it was not asked for.
func (c *Collector) Activity(l ident.Line) *report.Activity {
	k := c.lines[l]
	if k == nil {
		return nil
	}
	return &k.Activity
}

func (c *Collector) of(a ident.Addr, r ident.Realm) *collected {
	if a.IsZero() {
		return nil
	}
	return c.lines[c.homes.LineOf(a, r)]
}

// Message keeps which user of a line belongs to which account: what a
// registration binds is what calls to it are sent to.
func (c *Collector) Message(p *packet.Packet, m *sip.Message) {
	c.callee, c.caller = ident.Account{}, ident.Account{}
	if m.Status != 0 {
		return
	}
	switch m.Method {
	case sip.REGISTER:
		l := c.of(p.Src, p.Realm)
		if l == nil || len(m.To.User) == 0 {
			return
		}
		account := ident.NewAccount(slices.Concat(short(m.To.User), []byte("@"), short(m.To.Host)))
		for _, user := range [...][]byte{m.To.User, m.Contact.User} {
			key := ident.Hash(0, user)
			if _, ok := l.accounts[key]; len(user) > 0 && (ok || len(l.accounts) < maxKeptAccounts) {
				l.accounts[key] = account
			}
		}
	case sip.INVITE:
		if l := c.of(p.Dst, p.Realm); l != nil {
			c.callee = l.accounts[ident.Hash(0, m.URIUser)]
		}
		if l := c.of(p.Src, p.Realm); l != nil {
			c.caller = l.accounts[ident.Hash(0, m.From.User)]
		}
	}
}

// Request is not used.
func (c *Collector) Request(*sip.Request) {}

// Record is not used.
func (c *Collector) Record(*control.Record) {}

// Call keeps the calls of which the beginning was seen.
func (c *Collector) Call(k *sip.Call, ev sip.CallEvent) {
	if k.Midway {
		return
	}
	if l := c.of(k.Callee.Addr, k.Realm); l != nil {
		l.call(k, ev, true, c.callee)
	}
	if l := c.of(k.Caller.Addr, k.Realm); l != nil {
		l.call(k, ev, false, c.caller)
	}
}

func (l *collected) call(k *sip.Call, ev sip.CallEvent, inbound bool, account ident.Account) {
	id, peer := k.ID<<1, k.Callee.Addr
	if inbound {
		id, peer = id|1, k.Caller.Addr
	}
	o := l.open[id]
	if o == nil {
		if ev != sip.CallStarted {
			return // there was no room when it began
		}
		if len(l.Calls)+len(l.open) >= maxKeptCalls {
			l.MoreCalls++
			return
		}
		o = &report.Call{Inbound: inbound, Peer: peer, Account: account}
		l.open[id] = o
	}
	o.First = cmp.Or(k.Invite, k.Last)
	o.Ringing = k.Ringing
	if k.Progress != 0 && (o.Ringing == 0 || k.Progress < o.Ringing) {
		o.Ringing = k.Progress
	}
	o.Answer, o.Cause, o.Number = k.Answer, k.Cause, k.CalledUser
	if ev == sip.CallEnded {
		o.End = max(cmp.Or(k.End, k.Last), o.First)
		l.Calls = append(l.Calls, *o)
		delete(l.open, id)
	}
}

// short bounds a text of a stranger, as package sip does.
func short(b []byte) []byte { return b[:min(len(b), 64)] }

// Registration is not used: see Message.
func (c *Collector) Registration(*sip.Registration) {}

// Interval keeps the clock reading of an interval that a line sent.
func (c *Collector) Interval(iv *rtp.Interval) {
	l := c.of(iv.Flow.Src, iv.Flow.Realm)
	if l == nil || iv.Start.Arrival == 0 || iv.SSRC == 0 && iv.Source == 0 {
		return
	}
	key := streamKey{flow: iv.Flow, ssrc: iv.SSRC}
	key.flow.TapPort = 0
	f := l.followed[key]
	if f == nil {
		if len(l.followed) >= maxFollowed {
			l.forget(iv.Last)
			if len(l.followed) >= maxFollowed {
				return
			}
		}
		f = &followed{tap: iv.Flow.TapPort, stride: 1}
		l.followed[key] = f
	}
	if f.tap != iv.Flow.TapPort {
		return // another port shows the same flow
	}
	f.last = iv.Last
	f.rate = cmp.Or(iv.Rate, f.rate)
	f.passed++
	if f.passed < f.stride {
		return
	}
	f.passed = 0
	if len(f.samples) == maxPoints {
		for i := range maxPoints / 2 {
			f.samples[i] = f.samples[2*i]
		}
		f.samples = f.samples[:maxPoints/2]
		f.stride *= 2
	}
	f.samples = append(f.samples, iv.Least)
}

// forget drops what was never confirmed and has been silent for long.
func (l *collected) forget(now int64) {
	for key, f := range l.followed {
		if now-f.last > 4*rtp.Silence {
			delete(l.followed, key)
		}
	}
}

// Stream keeps a stream that is over. Of more than there is room for the ones
// with the most readings stay.
func (c *Collector) Stream(s *rtp.Stream, ended bool) {
	if !ended {
		return
	}
	l := c.of(s.Flow.Src, s.Flow.Realm)
	if l == nil {
		return
	}
	out := report.Stream{
		Peer: s.Flow.Dst, SSRC: s.SSRC, Start: s.Start, End: s.End, Packets: s.Packets, Lost: s.Lost,
		Jitter: s.Jitter, Codec: s.Codec.String(), MOS: s.MOS, PPM: s.PPM, PPMError: s.PPMError, ClockOK: s.ClockOK,
	}
	key := streamKey{flow: s.Flow, ssrc: s.SSRC}
	key.flow.TapPort = 0
	if f := l.followed[key]; f != nil {
		out.Points = points(f.samples, cmp.Or(s.Rate, f.rate))
		delete(l.followed, key)
	}
	at, _ := slices.BinarySearchFunc(l.Streams, out, func(a, b report.Stream) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.SSRC, b.SSRC))
	})
	l.Streams = slices.Insert(l.Streams, at, out)
	if len(l.Streams) > maxKeptStreams {
		least := 0
		for i := range l.Streams {
			if len(l.Streams[i].Points) < len(l.Streams[least].Points) {
				least = i
			}
		}
		l.Streams = slices.Delete(l.Streams, least, least+1)
		l.MoreStreams++
	}
}

// points turns samples into how late each came. Where the RTP time jumps by a
// second or more, the line goes on from where it was.
func points(samples []rtp.Sample, rate uint32) []report.Point {
	if rate == 0 || len(samples) == 0 {
		return nil
	}
	var out []report.Point
	late := 0.0
	before := samples[0]
	for _, s := range samples {
		step := float64(s.Arrival-before.Arrival) - float64(int32(s.Timestamp-before.Timestamp))*1e9/float64(rate)
		if step < 1e9 && step > -1e9 {
			late += step
		}
		out = append(out, report.Point{Time: s.Arrival, Late: int64(late)})
		before = s
	}
	return out
}
