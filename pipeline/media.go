package pipeline

import (
	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sip"
)

// socket is where media is expected.
type socket struct {
	addr  ident.Addr
	port  uint16
	realm ident.Realm
}

// binding says which call expects media at a socket, and from when to when.
type binding struct {
	call     uint64
	toCaller bool // the caller listens here, so the callee sends
	from     int64
	until    int64 // 0 while the call is up
	media    sip.Media
}

// bindings joins streams to calls by what session descriptions told (RFC 3264).
// A socket remembers its present call and the one before, because streams are
// told of some seconds late.
type bindings struct {
	table   map[socket]*[2]binding
	byCall  map[uint64][]socket
	expiry  []expiry // in order of time
	head    int
	refused uint64 // sockets not bound, for want of room
}

type expiry struct {
	at   int64
	call uint64
}

const (
	maxBindings = 1 << 17
	maxSockets  = 16 // of one call
	// linger is how long a binding outlives its call: media runs on for a
	// moment, and streams are told of up to four seconds after their start.
	linger = int64(30e9)
	// slack is how far media may run before its description or behind its call.
	slack = int64(3e9)
)

func newBindings() *bindings {
	return &bindings{table: make(map[socket]*[2]binding), byCall: make(map[uint64][]socket)}
}

// call takes both descriptions of a call as they stand at t.
func (b *bindings) call(c *sip.Call, t int64) {
	b.side(c, c.CallerMedia, c.Caller.Addr, true, t)
	b.side(c, c.CalleeMedia, c.Callee.Addr, false, t)
}

// side binds what one party listens on: the address it told, and behind a NAT
// the address that its packets come from.
func (b *bindings) side(c *sip.Call, m sip.Media, seen ident.Addr, toCaller bool, t int64) {
	if m.Port == 0 {
		return
	}
	n := binding{call: c.ID, toCaller: toCaller, from: t, media: m}
	if !m.Addr.IsZero() {
		b.bind(socket{m.Addr, m.Port, c.Realm}, n)
	}
	if seen != m.Addr && (m.Addr.IsZero() || m.Addr.Private()) {
		b.bind(socket{seen, m.Port, c.Realm}, n)
	}
}

func (b *bindings) bind(s socket, n binding) {
	e := b.table[s]
	if e != nil && e[0].call == n.call {
		n.from = e[0].from
		e[0] = n
		return
	}
	// What is not listed under its call would never be forgotten.
	socks := b.byCall[n.call]
	if e == nil && len(b.table) >= maxBindings || len(socks) >= maxSockets {
		b.refused++
		return
	}
	b.byCall[n.call] = append(socks, s)
	if e == nil {
		e = new([2]binding)
		b.table[s] = e
	}
	e[1], e[0] = e[0], n
}

// ended closes the bindings of a call that is over.
func (b *bindings) ended(c *sip.Call, t int64) {
	for _, s := range b.byCall[c.ID] {
		pair := b.table[s]
		for i := 0; pair != nil && i < len(pair); i++ {
			if pair[i].call == c.ID {
				pair[i].until = t
			}
		}
	}
	b.expiry = append(b.expiry, expiry{t + linger, c.ID})
}

// advance forgets what has lingered long enough.
func (b *bindings) advance(now int64) {
	for b.head < len(b.expiry) && b.expiry[b.head].at <= now {
		id := b.expiry[b.head].call
		b.head++
		for _, s := range b.byCall[id] {
			e := b.table[s]
			if e == nil {
				continue
			}
			if e[1].call == id {
				e[1] = binding{}
			}
			if e[0].call == id {
				e[0], e[1] = e[1], binding{}
			}
			if e[0].call == 0 {
				delete(b.table, s)
			}
		}
		delete(b.byCall, id)
	}
	if b.head > 4096 && b.head*2 > len(b.expiry) {
		b.expiry = append(b.expiry[:0], b.expiry[b.head:]...)
		b.head = 0
	}
}

// find gives the call that a stream belongs to: by where it goes, else, for
// media on other ports than told (symmetric RTP, RFC 4961), by where it comes
// from. fromCaller is set when the caller sends it.
func (b *bindings) find(s *rtp.Stream) (e *binding, fromCaller, ok bool) {
	f := &s.Flow
	if e := b.at(socket{f.Dst, f.DstPort, f.Realm}, s.Start); e != nil {
		return e, !e.toCaller, true
	}
	if e := b.at(socket{f.Src, f.SrcPort, f.Realm}, s.Start); e != nil {
		return e, e.toCaller, true
	}
	return nil, false, false
}

func (b *bindings) at(s socket, t int64) *binding {
	pair := b.table[s]
	if pair == nil {
		return nil
	}
	for i := range pair {
		e := &pair[i]
		if e.call != 0 && t >= e.from-slack && (e.until == 0 || t <= e.until+slack) {
			return e
		}
	}
	return nil
}

// rate gives the clock rate that a description tells for a payload type.
func (e *binding) rate(pt uint8) uint32 {
	for i := range e.media.N {
		if f := e.media.Formats[i]; f.PT == pt {
			return f.Rate
		}
	}
	return 0
}
