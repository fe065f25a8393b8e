package pipeline

import (
	"simtrap/ident"
	"simtrap/ident/keyed"
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
	toCaller bool             // the caller listens here, so the callee sends
	learned  bool             // from packets (RFC 4961), not from a description
	fax      bool             // T.38 is expected here
	from     int64            // first told
	until    int64            // 0 while the call is up
	media    *rtp.Description // what was told of the payload types
}

// bindings joins streams to calls by what session descriptions told (RFC 3264).
// A socket keeps several calls side by side: ports are used again within
// seconds, both calls of a box in the middle may name the same socket, and
// streams are told of some seconds late. None overwrites another.
type bindings struct {
	told    descriptions
	seed    uint64
	table   keyed.Map[*place] // by hash of the socket
	sockets int               // in the table
	byCall  keyed.Map[*bound]
	places  pool[place]
	bounds  pool[bound]
	expiry  []expiry // in order of time
	head    int
	faxes   int    // sockets that expect T.38
	refused uint64 // sockets not bound, for want of room
}

// place is what is expected at one socket.
type place struct {
	at   socket
	next *place    // another socket with the same hash
	list []binding // in order of from; never empty in the table
	room [1]binding
}

// bound is what bindings keeps of a call.
type bound struct {
	sockets []socket
	room    [4]socket           // of two parties, each as told and as seen
	media   [2]*rtp.Description // the newest of caller and callee
}

// pool makes values by the chunk and hands out again what was given back: calls and
// sockets come and go by the thousand each second.
type pool[T any] struct{ free []*T }

func (p *pool[T]) get() *T {
	if len(p.free) == 0 {
		const chunk = 32
		more := make([]T, chunk)
		for i := range more {
			p.free = append(p.free, &more[i])
		}
	}
	v := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return v
}

// put takes v back, emptied.
func (p *pool[T]) put(v *T) {
	var none T
	*v = none
	p.free = append(p.free, v)
}

type expiry struct {
	at   int64
	call uint64
}

const (
	maxBindings   = 1 << 17 // sockets
	maxBound      = 1 << 17 // calls
	maxSockets    = 24      // of one call
	maxCandidates = 6       // calls at one socket
	// linger is how long a binding outlives its call: media runs on for a
	// moment, and streams are told of up to four seconds after their start.
	linger = int64(30e9)
	// slack is how far media may run before its description or behind its call.
	slack = int64(3e9)
)

func newBindings(seed uint64) *bindings { return &bindings{seed: seed} }

func (s socket) hash(seed uint64) uint64 {
	return s.addr.Hash(seed ^ uint64(s.port)<<32 ^ uint64(s.realm))
}

// place gives what is expected at a socket, nil for nothing.
func (b *bindings) place(s socket) *place {
	p, _ := b.table.Get(s.hash(b.seed))
	for p != nil && p.at != s {
		p = p.next
	}
	return p
}

// list gives the calls at a socket.
func (b *bindings) list(s socket) []binding {
	if p := b.place(s); p != nil {
		return p.list
	}
	return nil
}

// open makes a place for a socket that has none.
func (b *bindings) open(s socket) *place {
	p := b.places.get()
	first, _ := b.table.Ensure(s.hash(b.seed))
	p.at, p.next, p.list = s, *first, p.room[:0]
	*first = p
	b.sockets++
	return p
}

// close forgets a place at which nothing is expected any more.
func (b *bindings) close(p *place) {
	key := p.at.hash(b.seed)
	at := b.table.At(key)
	for *at != p {
		at = &(*at).next
	}
	if *at = p.next; b.table.At(key) == at && *at == nil {
		b.table.Delete(key)
	}
	b.sockets--
	b.places.put(p)
}

// call takes both descriptions of a call as they stand at t, and gives the
// sockets that are new.
func (b *bindings) call(c *sip.Call, t int64, fresh []socket) []socket {
	fresh = b.side(c, 0, &c.CallerMedia, c.Caller.Addr, t, fresh)
	return b.side(c, 1, &c.CalleeMedia, c.Callee.Addr, t, fresh)
}

// side binds what one party listens on: the address it told, and behind a NAT
// the address that its packets come from; the candidates of ICE; and where it
// wants T.38.
func (b *bindings) side(c *sip.Call, side int, m *sip.Media, seen ident.Addr, t int64, fresh []socket) []socket {
	fax := c.Fax[side]
	if m.Port == 0 && m.NICE == 0 && fax.Port == 0 {
		return fresh
	}
	k, _ := b.byCall.Get(c.ID)
	if k == nil {
		if b.byCall.Len() >= maxBound {
			b.refused++
			return fresh
		}
		k = b.bounds.get()
		k.sockets = k.room[:0]
		b.byCall.Set(c.ID, k)
	}
	k.media[side] = b.told.of(m)
	n := binding{call: c.ID, toCaller: side == 0, from: t, media: k.media[side]}
	bind := func(a ident.Addr, port uint16) {
		if s := (socket{a, port, c.Realm}); port != 0 && !a.IsZero() && b.bind(k, s, n) {
			fresh = append(fresh, s)
		}
	}
	told := func(a ident.Addr, port uint16) {
		bind(a, port)
		if seen != a && (a.IsZero() || a.Private()) {
			bind(seen, port)
		}
	}
	told(m.Addr, m.Port)
	for _, s := range m.ICE[:m.NICE] {
		bind(s.Addr, s.Port)
	}
	n.fax = true
	told(fax.Addr, fax.Port)
	return fresh
}

// bind adds n to the calls at s, or brings up to date what that call told of it
// before. It says whether something new can be found there.
func (b *bindings) bind(k *bound, s socket, n binding) bool {
	p := b.place(s)
	var list []binding
	if p != nil {
		list = p.list
	}
	for i := range list {
		e := &list[i]
		if e.call != n.call || e.toCaller != n.toCaller {
			continue
		}
		more := e.learned && !n.learned || n.fax && !e.fax
		e.media, e.learned = n.media, e.learned && n.learned
		if n.fax && !e.fax {
			b.faxes++
		}
		e.fax = e.fax || n.fax
		return more
	}
	if p == nil && b.sockets >= maxBindings || len(k.sockets) >= maxSockets {
		b.refused++
		return false
	}
	if len(list) >= maxCandidates {
		// The one that ended first makes room; those in force stay.
		first := -1
		for i := range list {
			if list[i].until != 0 && (first < 0 || list[i].until < list[first].until) {
				first = i
			}
		}
		b.refused++
		if first < 0 {
			return false
		}
		list = b.without(list, first)
	}
	// What is not listed under its call would never be forgotten.
	k.sockets = append(k.sockets, s)
	if n.fax {
		b.faxes++
	}
	if p == nil {
		p = b.open(s)
		list = p.list
	}
	p.list = append(list, n)
	return true
}

func (b *bindings) without(list []binding, i int) []binding {
	if list[i].fax {
		b.faxes--
	}
	return append(list[:i], list[i+1:]...)
}

// learn notes that a call's media came from a socket that its description does
// not name: with symmetric RTP it goes there as well.
func (b *bindings) learn(s *rtp.Stream, e *binding, fromCaller bool) {
	k, _ := b.byCall.Get(e.call)
	if k == nil {
		return
	}
	side := 1
	if fromCaller {
		side = 0
	}
	m := k.media[side]
	if m == nil {
		m = e.media
	}
	f := &s.Flow
	b.bind(k, socket{f.Src, f.SrcPort, f.Realm}, binding{call: e.call, toCaller: fromCaller, learned: true, from: s.Start, until: e.until, media: m})
}

// ended closes the bindings of a call that is over.
func (b *bindings) ended(c *sip.Call, t int64) {
	k, _ := b.byCall.Get(c.ID)
	if k == nil {
		return
	}
	for _, s := range k.sockets {
		list := b.list(s)
		for i := range list {
			if list[i].call == c.ID {
				list[i].until = t
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
		k, _ := b.byCall.Get(id)
		if k == nil {
			continue
		}
		for _, s := range k.sockets {
			p := b.place(s)
			if p == nil {
				continue // the call named it twice
			}
			for i := len(p.list) - 1; i >= 0; i-- {
				if p.list[i].call == id {
					p.list = b.without(p.list, i)
				}
			}
			if len(p.list) == 0 {
				b.close(p)
			}
		}
		b.byCall.Delete(id)
		b.bounds.put(k)
	}
	if b.head > 4096 && b.head*2 > len(b.expiry) {
		b.expiry = append(b.expiry[:0], b.expiry[b.head:]...)
		b.head = 0
	}
}

// find gives the call that a stream belongs to: by where it goes, else, for
// media on other ports than told (symmetric RTP, RFC 4961), by where it comes
// from. fromCaller is set when the caller sends it. other is a second call at
// the same socket with the same right: the calls on both sides of a box that
// hands descriptions on.
func (b *bindings) find(s *rtp.Stream) (e, other *binding, fromCaller, ok bool) {
	f := &s.Flow
	dst, src := b.list(socket{f.Dst, f.DstPort, f.Realm}), b.list(socket{f.Src, f.SrcPort, f.Realm})
	if e, other = best(dst, src, s); e != nil {
		return e, other, !e.toCaller, true
	}
	if e, other = best(src, dst, s); e != nil {
		return e, other, e.toCaller, true
	}
	return nil, nil, false, false
}

// best chooses among the calls at a socket for a stream. across are those at its
// other end: a call that names both ends comes first, then one that was up when
// the stream began, then one that told the socket over one that it was learned
// for, then the one told last. A call may be told of long after its media began,
// where the capture began in the middle of it.
func best(list, across []binding, s *rtp.Stream) (first, second *binding) {
	top := -1
	for i := range list {
		e := &list[i]
		if s.End < e.from-slack || e.until != 0 && s.Start > e.until+slack || s.Fax && !e.fax {
			continue
		}
		rank := 0
		for k := range across {
			if across[k].call == e.call && across[k].toCaller != e.toCaller && !across[k].learned {
				rank |= 4
			}
		}
		if s.Start >= e.from && (e.until == 0 || s.Start <= e.until) {
			rank |= 2
		}
		if !e.learned {
			rank |= 1
		}
		switch {
		case rank > top:
			first, second, top = e, nil, rank
		case rank == top:
			switch {
			case first.call == e.call:
			case first.until == 0 && e.until == 0:
				second = first
			default:
				second = nil // what was second to another may be this very call
			}
			first = e
		}
	}
	return first, second
}

// fax says whether T.38 is expected in the flow of an interval.
func (b *bindings) fax(iv *rtp.Interval) bool {
	if b.faxes == 0 {
		return false
	}
	f := &iv.Flow
	for _, s := range [...]socket{{f.Dst, f.DstPort, f.Realm}, {f.Src, f.SrcPort, f.Realm}} {
		list := b.list(s)
		for i := range list {
			if e := &list[i]; e.fax && iv.First >= e.from-slack && (e.until == 0 || iv.First <= e.until+slack) {
				return true
			}
		}
	}
	return false
}

// descriptions gives one description for all media that tell the same of their
// payload types: nearly all telephones send one of a few lists.
type descriptions struct {
	last told
	desc *rtp.Description // of last
	all  map[told]*rtp.Description
}

// told is what media tell of their payload types.
type told struct {
	formats   [len(sip.Media{}.Formats)]sip.Format
	encodings [len(sip.Media{}.Encodings)]sip.Encoding
	n         int
	secure    bool
}

// maxDescriptions bounds the lists that are kept to be shared. Anybody can make up
// more: then sharing begins anew.
const maxDescriptions = 1024

// of gives what m tells, which nobody may change.
func (ds *descriptions) of(m *sip.Media) *rtp.Description {
	t := told{m.Formats, m.Encodings, m.N, m.Secure}
	if ds.desc != nil && t == ds.last {
		return ds.desc
	}
	d := ds.all[t]
	if d == nil {
		d = &rtp.Description{N: m.N, Secure: m.Secure}
		for i := range d.Formats[:d.N] {
			f := m.Formats[i]
			d.Formats[i] = rtp.Format{PT: f.PT, Rate: f.Rate, Codec: codecs[m.Encodings[i]]}
		}
		if ds.all == nil || len(ds.all) >= maxDescriptions {
			ds.all = make(map[told]*rtp.Description)
		}
		ds.all[t] = d
	}
	ds.last, ds.desc = t, d
	return d
}

// codecs gives what an encoding name of signalling is to package rtp.
var codecs = [...]rtp.Codec{
	sip.EncodingNone: rtp.CodecUnknown, sip.EncodingOther: rtp.CodecOther,
	sip.EncodingPCMU: rtp.CodecPCMU, sip.EncodingPCMA: rtp.CodecPCMA, sip.EncodingG729: rtp.CodecG729,
	sip.EncodingG723: rtp.CodecG723, sip.EncodingGSM: rtp.CodecGSM, sip.EncodingEFR: rtp.CodecEFR,
	sip.EncodingILBC: rtp.CodecILBC, sip.EncodingG722: rtp.CodecG722, sip.EncodingAMR: rtp.CodecAMR,
	sip.EncodingAMRWB: rtp.CodecAMRWB, sip.EncodingEVS: rtp.CodecEVS, sip.EncodingOpus: rtp.CodecOpus,
	sip.EncodingEvent: rtp.CodecEvent, sip.EncodingNoise: rtp.CodecNoise,
}
