package rtp

import "simtrap/ident"

// FarEnd is what the receiver of a stream reports of it by RTCP.
type FarEnd struct {
	Reports uint32
	Lost    int32 // packets that did not reach it, its first to its last report
	Jitter  int64 // largest, ns; 0 where the clock rate is not known
	// Trip is the time from the tap to the receiver and back, ns, the least that
	// a sender report and its answer showed; 0 unknown.
	Trip int64
	// R and MOS are its own estimates (RFC 3611), 0 when it gave none.
	R   uint8
	MOS float64
}

// factKey is a source as RTCP names it. RTCP runs on ports of its own or not,
// and a NAT may change either; the SSRC is enough to tell sources between two
// hosts apart, save for the boxes that draw it badly.
type factKey struct {
	src, dst ident.Addr
	realm    ident.Realm
	ssrc     uint32
}

// facts is what RTCP told of one source on one pair of ports.
type facts struct {
	key              factKey
	srcPort, dstPort uint16
	touched          int64
	cname            ident.CNAME
	reports          [2]struct { // the newest sender reports, newest first
		ntp uint32
		at  int64
	}
	far         FarEnd
	jitter      uint32 // largest, timestamp units
	more        *facts // on other ports, newest first
	older, next *facts // by touched
}

const (
	maxFactPorts = 4     // pairs of ports of one source
	factLife     = 120e9 // ns; RTCP comes every five seconds or so
	byeWait      = 2 * Length
	byeGrace     = int64(500e6)
	maxByes      = 4096
)

// bye is a source that said it leaves, and is believed when it has.
type bye struct {
	at  int64
	key streamKey
}

// factTable holds what RTCP told until its stream asks for it.
type factTable struct {
	cap            int
	n              int
	m              map[factKey]*facts
	oldest, newest *facts
}

func (t *factTable) push(f *facts) {
	f.older, f.next = t.newest, nil
	if t.newest != nil {
		t.newest.next = f
	} else {
		t.oldest = f
	}
	t.newest = f
}

func (t *factTable) remove(f *facts) {
	if f.older != nil {
		f.older.next = f.next
	} else {
		t.oldest = f.next
	}
	if f.next != nil {
		f.next.older = f.older
	} else {
		t.newest = f.older
	}
	f.older, f.next = nil, nil
}

func (t *factTable) drop(f *facts) {
	t.remove(f)
	t.n--
	p := t.m[f.key]
	if p == f {
		if f.more == nil {
			delete(t.m, f.key)
		} else {
			t.m[f.key] = f.more
		}
		return
	}
	for ; p.more != f; p = p.more {
	}
	p.more = f.more
}

// of gives the facts of a source whose RTCP goes from and to those ports, made
// when there are none.
func (t *factTable) of(k factKey, srcPort, dstPort uint16, now int64, c *StreamCounters) *facts {
	n := 0
	var last *facts
	for f := t.m[k]; f != nil; f = f.more {
		if f.srcPort == srcPort && f.dstPort == dstPort {
			f.touched = max(f.touched, now)
			t.remove(f)
			t.push(f)
			return f
		}
		n++
		last = f
	}
	switch {
	case n >= maxFactPorts:
		c.FactsForgotten++
		t.drop(last)
	case t.n >= t.cap:
		c.FactsForgotten++
		t.drop(t.oldest)
	}
	f := &facts{key: k, srcPort: srcPort, dstPort: dstPort, touched: now, more: t.m[k]}
	t.m[k] = f
	t.n++
	t.push(f)
	return f
}

// find gives the facts of a stream: those of its own ports or of the next ones,
// else those on whatever ports, if there is one pair only.
func (t *factTable) find(k streamKey) *facts {
	first := t.m[factKey{k.flow.Src, k.flow.Dst, k.flow.Realm, k.ssrc}]
	for f := first; f != nil; f = f.more {
		if f.srcPort == k.flow.SrcPort && f.dstPort == k.flow.DstPort ||
			f.srcPort == k.flow.SrcPort+1 && f.dstPort == k.flow.DstPort+1 {
			return f
		}
	}
	if first != nil && first.more == nil {
		return first
	}
	return nil
}

// RTCP takes what one datagram said. They come in order of time, among the
// calls of Advance.
func (ss *Streams) RTCP(r *RTCP) {
	t, f := &ss.facts, &r.Flow
	own := factKey{f.Src, f.Dst, f.Realm, r.SSRC}
	if !r.CNAME.IsZero() || r.Sent {
		e := t.of(own, f.SrcPort, f.DstPort, r.Time, &ss.c)
		if !r.CNAME.IsZero() {
			e.cname = r.CNAME
		}
		if r.Sent {
			e.reports[1] = e.reports[0]
			e.reports[0].ntp, e.reports[0].at = r.NTP, r.Time
		}
	}
	// Reports are about sources that send the other way.
	for i := range r.Blocks[:r.N] {
		b := &r.Blocks[i]
		e := t.of(factKey{f.Dst, f.Src, f.Realm, b.SSRC}, f.DstPort, f.SrcPort, r.Time, &ss.c)
		e.far.Reports++
		e.far.Lost = b.Lost
		e.jitter = max(e.jitter, b.Jitter)
		for _, sent := range e.reports {
			if b.LSR == 0 || sent.at == 0 || sent.ntp != b.LSR {
				continue
			}
			held := int64(b.DLSR) * 1e9 >> 16
			if trip := r.Time - sent.at - held; trip > 0 && trip < 10e9 && (e.far.Trip == 0 || trip < e.far.Trip) {
				e.far.Trip = trip
			}
		}
	}
	if v := &r.Voice; v.SSRC != 0 {
		e := t.of(factKey{f.Dst, f.Src, f.Realm, v.SSRC}, f.DstPort, f.SrcPort, r.Time, &ss.c)
		if v.R <= 100 {
			e.far.R = v.R
		}
		if v.MOS >= 10 && v.MOS <= 50 {
			e.far.MOS = float64(v.MOS) / 10
		}
	}
	for _, ssrc := range r.Byes[:r.NByes] {
		ss.leaves(f, ssrc, r.Time)
	}
}

// leaves notes that a source said goodbye. Anybody can say it in its name, so it
// is believed only when the source falls silent.
func (ss *Streams) leaves(f *Flow, ssrc uint32, at int64) {
	k := streamKey{flow: *f, ssrc: ssrc}
	k.flow.TapPort = 0
	if ss.streams[k] == nil {
		k.flow.SrcPort--
		k.flow.DstPort--
		if ss.streams[k] == nil {
			return
		}
	}
	if len(ss.byes) >= maxByes {
		ss.c.ByesDropped++
		return
	}
	ss.byes = append(ss.byes, bye{at, k})
}

// gone ends the streams whose source left by now.
func (ss *Streams) gone(now int64) {
	n := 0
	for ; n < len(ss.byes) && ss.byes[n].at+byeWait <= now; n++ {
		b := &ss.byes[n]
		if s := ss.streams[b.key]; s != nil && s.End <= b.at+byeGrace {
			s.Bye = true
			ss.c.Byes++
			ss.end(s)
		}
	}
	if n > 0 {
		ss.byes = append(ss.byes[:0], ss.byes[n:]...)
	}
	for t := &ss.facts; t.oldest != nil && now-t.oldest.touched > factLife; {
		t.drop(t.oldest)
	}
}

// learn gives a stream what RTCP told of it, and rates it.
func (ss *Streams) learn(s *entry) {
	var trips int64
	if !s.voice && !s.fax {
		if f := ss.facts.find(s.key()); f != nil {
			s.CNAME, s.Far = f.cname, f.far
			if rate := int64(s.Rate); rate > 0 {
				s.Far.Jitter = int64(f.jitter) * 1e9 / rate
			}
		}
		// The way from the tap to the sender is seen in the reports on the
		// streams that it receives: those of the flow back.
		if back := ss.byFlow[s.key().flow.Reverse()]; back != nil {
			if f := ss.facts.find(back.key()); f != nil {
				trips = f.far.Trip
			}
		}
	}
	s.score(trips)
}
