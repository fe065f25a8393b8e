package pipeline

import (
	"cmp"
	"math"
	"slices"

	"simtrap/control"
	"simtrap/h323"
	"simtrap/heuristics"
	"simtrap/hidden/talk"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sessions"
	"simtrap/sip"
)

// joiner puts the records of all shards in order and does what crosses flows
// or lines: calls, streams and their binding, evidence, verdicts.
type joiner struct {
	homes    *ident.Homes
	seed     uint64
	plan     *ident.Plan
	lines    *heuristics.Lines
	tracker  *sip.Tracker
	streams  *rtp.Streams
	sessions *control.Sessions
	media    *bindings
	talks    *talks
	shapes   shapes
	h323     *h323.Tracker
	pairs    *pairs
	caller   func() ident.Number // of the call that is being told of
	asSIP    sip.Call            // room for translating H.323's
	observe  Observer            // may be nil
	// follow asks for the rest of a flow; nil where all of every flow is given.
	follow func(f rtp.Flow, now int64)

	now      int64 // of the record at work
	flows    map[rtp.Flow]*flow
	unbound  map[socket][]*rtp.Stream // confirmed streams without a call, by both ends
	sockets  []socket                 // room for expect
	unpaired uint64                   // streams told to nobody
	// lateIntervals came from a source after their time.
	lateIntervals uint64
	// accounted and repeated are packets, and copies of packets, of sources that
	// account media.
	accounted, repeated uint64
	crowded             uint64 // ends of streams not kept in unbound
	tick                int64  // next time to advance the tables
	order               []record
	intervals           []rtp.Interval // that wait for their time, in order
	fresh               []rtp.Interval
	metered             households
	tunnels             tunnels
	openings            openings
	stats               joinStats

	feed      *sessions.Feed // may be nil
	realms    *Realms
	realmless uint64 // sessions of realms that there are none of
}

const (
	// maxStreamsJoined bounds the streams followed at once: 32,000 calls.
	maxStreamsJoined = 1 << 16
	// maxUnbound bounds the streams without a call at one socket. All of them
	// are looked at when a call names it; more find their call at their end.
	maxUnbound = 64
)

type joinStats struct{ messages, signals, calls, streams, records uint64 }

func newJoiner(cfg *Config, lines *heuristics.Lines) *joiner {
	j := &joiner{homes: cfg.Homes, lines: lines, flows: make(map[rtp.Flow]*flow), unbound: make(map[socket][]*rtp.Stream), media: newBindings(cfg.Seed), sessions: control.NewSessions(control.Limits{}), observe: cfg.Observe, feed: cfg.Sessions, realms: &cfg.Realms}
	j.seed, j.plan = cfg.Seed, cfg.Plan
	if j.plan == nil {
		j.plan, _ = ident.ParsePlan("") // the default plan cannot fail
	}
	j.tracker = sip.NewTracker(sip.Config{Seed: cfg.Seed, Plan: cfg.Plan}, j)
	j.caller = j.tracker.CallingUser
	j.h323, j.pairs = h323.NewTracker(h323.Config{Seed: cfg.Seed, Plan: cfg.Plan}, j), newPairs()
	j.streams = rtp.NewStreams(rtp.Config{Seed: cfg.Seed, Streams: maxStreamsJoined}, j)
	j.streams.Fax = j.media.fax
	j.shapes = make(shapes)
	j.talks = newTalks(func(line ident.Line, c *talk.Call) { j.lines.Talk(line, c, j.now) })
	j.talks.paths.seed = cfg.Seed
	return j
}

// line gives the line that an address is, if it can be one.
func (j *joiner) line(a ident.Addr, r ident.Realm) (ident.Line, bool) {
	if a.IsZero() || j.homes.Known() && !j.homes.Contains(a) {
		return ident.Line{}, false
	}
	return j.homes.LineOf(a, r), true
}

// take works off what the shards have emitted by now.
func (j *joiner) take(all *[shards]*output, now int64) {
	j.order = j.order[:0]
	for i, s := range all {
		if s == nil {
			continue
		}
		for k := range s.records {
			s.records[k].shard = uint8(i)
		}
		j.order = append(j.order, s.records...)
		j.fresh = append(j.fresh, s.intervals...)
	}
	slices.SortFunc(j.order, func(a, b record) int {
		if a.time != b.time {
			return cmp.Compare(a.time, b.time) // nearly always, and the rest costs more
		}
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.seq, b.seq), cmp.Compare(a.shard, b.shard), cmp.Compare(a.index, b.index))
	})
	j.merge()
	j.metered.add(all)
	for _, s := range all {
		if s != nil {
			s.tunnels = j.shapes.less(s.tunnels)
		}
	}
	j.tunnels.add(all)
	done := 0
	for i := range j.order {
		r := &j.order[i]
		done = j.play(done, r.time)
		j.advance(r.time)
		s := all[r.shard]
		switch r.kind {
		case kindTwoWay:
			j.lines.TwoWay()
		case kindMessage:
			m := s.message(int(r.index))
			j.message(&m.packet, &m.sip)
		case kindControl:
			j.record(&s.controls[r.index])
		case kindRTCP:
			j.streams.RTCP(&s.reports[r.index])
		case kindHidden:
			j.hidden(&s.hiddens[r.index])
		case kindScrambled:
			j.scrambled(&s.scrambled[r.index])
		case kindSealed:
			j.sealed(&s.sealed[r.index])
		case kindHello:
			j.opened(&s.opened[r.index])
		case kindSignal:
			j.signal(&s.signals[r.index])
		}
	}
	done = j.play(done, now)
	j.advance(now)
	for ; len(j.intervals)-done > maxWaiting; done++ {
		j.interval(&j.intervals[done])
	}
	j.intervals = append(j.intervals[:0], j.intervals[done:]...)
}

// account takes intervals that a source's kernel program closed, before take.
// What they measure counts for households too, since their packets are not seen;
// but not where nothing else of the lines is: they would look dark.
func (j *joiner) account(list []rtp.Interval, meter bool) {
	for i := range list {
		iv := &list[i]
		if iv.Close()+intervalLag < j.now {
			j.lateIntervals++
		}
		j.accounted += uint64(iv.Packets) + uint64(iv.Duplicates)
		j.repeated += uint64(iv.Duplicates)
		if !meter {
			continue
		}
		n := uint64(iv.Bytes)
		if line, ok := j.line(iv.Flow.Src, iv.Flow.Realm); ok {
			e := metered{line: line, until: iv.Close()}
			e.facts.Up = n
			e.facts.SeeFar(iv.Flow.Dst.Hash(j.seed))
			j.metered.push(e)
		}
		if line, ok := j.line(iv.Flow.Dst, iv.Flow.Realm); ok {
			e := metered{line: line, until: iv.Close()}
			e.facts.Down = n
			e.facts.SeeFar(iv.Flow.Src.Hash(j.seed))
			j.metered.push(e)
		}
	}
	j.fresh = append(j.fresh, list...)
}

// maxWaiting bounds the intervals that wait. More come together only where time
// stands still, as in captures without times; then the first of them go on.
const maxWaiting = 1 << 17

// merge puts the fresh intervals among those that wait.
func (j *joiner) merge() {
	if len(j.fresh) == 0 {
		return
	}
	slices.SortFunc(j.fresh, func(a, b rtp.Interval) int { return a.Compare(&b) })
	// From the end, in place: a second array of them would be the largest that a
	// live tap has. Of equal ones the old is first.
	old := len(j.intervals)
	j.intervals = slices.Grow(j.intervals, len(j.fresh))[:old+len(j.fresh)]
	for fresh := len(j.fresh); fresh > 0; {
		last := &j.intervals[old+fresh-1]
		if old > 0 && j.intervals[old-1].Compare(&j.fresh[fresh-1]) > 0 {
			old--
			*last = j.intervals[old]
		} else {
			fresh--
			*last = j.fresh[fresh]
		}
	}
	j.fresh = j.fresh[:0]
}

// play hands on the intervals from done on whose time has come: every shard
// has swept past their end by then.
func (j *joiner) play(done int, now int64) int {
	for ; done < len(j.intervals); done++ {
		iv := &j.intervals[done]
		t := iv.Close() + intervalLag
		if t > now {
			break
		}
		j.advance(t)
		j.interval(iv)
	}
	return done
}

func (j *joiner) interval(iv *rtp.Interval) {
	if j.observe != nil {
		j.observe.Interval(iv)
	}
	if !j.streams.Interval(iv) || len(j.talks.lines) == 0 {
		return
	}
	if line, ok := j.line(iv.Flow.Src, iv.Flow.Realm); ok {
		j.talks.interval(line, true, iv)
	}
	if line, ok := j.line(iv.Flow.Dst, iv.Flow.Realm); ok {
		j.talks.interval(line, false, iv)
	}
}

// advance moves the clock of every table, at whole seconds so that it does not
// depend on when records come.
func (j *joiner) advance(now int64) {
	const step = int64(1e9)
	// The timers behind are of 32 s or of many minutes; over a longer silence
	// they are told at its end, which changes no order among them.
	if now-j.tick > 90*step {
		j.turn(j.tick)
		j.tick = now - now%step
	}
	for ; j.tick <= now; j.tick += step {
		j.turn(j.tick)
	}
	j.tenancies(now)
	j.now = max(j.now, now)
}

func (j *joiner) turn(t int64) {
	if t <= 0 {
		return
	}
	j.tenancies(t)
	j.now = max(j.now, t)
	j.tracker.Advance(t)
	j.h323.Advance(t)
	j.streams.Advance(t - intervalLag)
	j.media.advance(t)
	j.pairs.advance(t)
	j.metered.play(j.lines, t)
	j.tunnels.play(j, t)
}

func (j *joiner) message(p *packet.Packet, m *sip.Message) {
	j.stats.messages++
	if j.observe != nil {
		j.observe.Message(p, m)
	}
	j.addressed(p)
	j.tracker.Message(p, m)
}

// addressed notes a packet of signalling at the lines of its ends.
func (j *joiner) addressed(p *packet.Packet) {
	if line, ok := j.line(p.Src, p.Realm); ok {
		j.lines.Packet(line, true, p.Time, p.TTL)
	}
	if line, ok := j.line(p.Dst, p.Realm); ok {
		j.lines.Packet(line, false, p.Time, p.TTL)
	}
}

func (j *joiner) record(r *control.Record) {
	j.stats.records++
	if j.observe != nil {
		j.observe.Record(r)
	}
	if j.feed != nil {
		for _, a := range [...]ident.Addr{r.Src, r.Dst} {
			if line, ok := j.line(a, r.Realm); ok {
				j.lines.HandOver(line, r.Time)
			}
		}
	}
	sender, receiver := j.sessions.Record(r)
	for _, e := range [...]*control.Evidence{sender, receiver} {
		if e == nil {
			continue
		}
		if line, ok := j.line(e.Owner, e.Realm); ok {
			j.lines.Control(line, e, r.Time)
		}
	}
	if sender != nil && sender.Role == control.RoleBank {
		if line, ok := j.line(sender.Peer, sender.Realm); ok {
			j.lines.Served(line, sender)
		}
	}
	if !r.Sent.IsZero() {
		// A server hands messages over; that they were sent only the gateway says.
		if line, ok := j.line(r.Src, r.Realm); ok {
			j.lines.ControlText(line, r.Dst, r.Sent.Hash(j.seed), j.plan.ClassOf(r.Sent), r.Time)
		}
	}
}

// hidden takes what was found of SIP under a keystream.
func (j *joiner) hidden(h *sip.Hidden) {
	j.lines.TwoWay() // both ends spoke, or it would not have been found
	if j.follow != nil {
		j.follow(rtp.Flow{Src: h.Caller.Addr, Dst: h.Callee.Addr, SrcPort: h.Caller.Port, DstPort: h.Callee.Port, Realm: h.Realm}, h.Time)
	}
	if line, ok := j.line(h.Callee.Addr, h.Realm); ok {
		j.lines.Hidden(line, true, h)
	}
	if line, ok := j.line(h.Caller.Addr, h.Realm); ok {
		j.lines.Hidden(line, false, h)
	}
}

// scrambled takes an exchange of what may be signalling under a cipher.
func (j *joiner) scrambled(x *sip.Scrambled) {
	if j.follow != nil {
		j.follow(rtp.Flow{Src: x.A.Addr, Dst: x.B.Addr, SrcPort: x.A.Port, DstPort: x.B.Port, Realm: x.Realm}, x.Time)
	}
	if line, ok := j.line(x.A.Addr, x.Realm); ok {
		j.lines.Exchange(line, x.B.Addr, x.Time)
	}
	if line, ok := j.line(x.B.Addr, x.Realm); ok {
		j.lines.Exchange(line, x.A.Addr, x.Time)
	}
}

// Call is told by the tracker.
func (j *joiner) Call(c *sip.Call, ev sip.CallEvent) {
	switch ev {
	case sip.CallStarted:
		j.stats.calls++
		j.expect(c)
	case sip.CallMedia, sip.CallAnswered:
		j.expect(c)
	case sip.CallEnded:
		j.media.ended(c, j.now)
	}
	if j.observe != nil {
		j.observe.Call(c, ev)
	}
	if line, ok := j.line(c.Callee.Addr, c.Realm); ok {
		j.lines.Call(line, true, c, ev)
	}
	if line, ok := j.line(c.Caller.Addr, c.Realm); ok {
		j.lines.Call(line, false, c, ev)
	}
}

// Registration is told by the tracker.
func (j *joiner) Registration(r *sip.Registration) {
	if j.observe != nil {
		j.observe.Registration(r)
	}
	if line, ok := j.line(r.Client.Addr, r.Realm); ok {
		j.lines.Registration(line, r)
	}
	if line, ok := j.line(r.Registrar.Addr, r.Realm); ok && r.Accepted > 0 {
		j.lines.Registrar(line, r.Last)
	}
}

// Request is told by the tracker.
func (j *joiner) Request(q *sip.Request) {
	if j.observe != nil {
		j.observe.Request(q)
	}
	if line, ok := j.line(q.From.Addr, q.Realm); ok {
		j.lines.Request(line, true, q)
	}
	if line, ok := j.line(q.To.Addr, q.Realm); ok {
		j.lines.Request(line, false, q)
	}
}

// flow is one direction of a conversation, whatever the tap port, with the
// confirmed streams in it.
type flow struct {
	live    int
	waiting []*rtp.Stream // not told yet: no counterpart seen
}

// flowOf names a flow without its tap port: the two directions of a passive tap
// come in on different ones.
func flowOf(s *rtp.Stream) rtp.Flow {
	f := s.Flow
	f.TapPort = 0
	return f
}

// StreamConfirmed is told by rtp.Streams. A stream counts when there is one in
// the other direction too: a stranger can send voice in anybody's name, but not
// have it answered. A tap that shows one direction only cannot ask for that.
func (j *joiner) StreamConfirmed(s *rtp.Stream) {
	j.stats.streams++
	if !j.bind(s) {
		for _, k := range ends(s) {
			if len(j.unbound[k]) < maxUnbound {
				j.unbound[k] = append(j.unbound[k], s)
			} else {
				j.crowded++
			}
		}
	}
	if j.observe != nil {
		j.observe.Stream(s, false)
	}
	j.talk(s, false)
	j.shapes.stream(s, false)
	key := flowOf(s)
	f := j.flows[key]
	if f == nil {
		f = &flow{}
		j.flows[key] = f
	}
	f.live++
	if back := j.flows[key.Reverse()]; back != nil && back.live > 0 {
		j.lines.TwoWay()
		for _, w := range back.waiting {
			j.stream(w, false)
		}
		back.waiting = nil
	} else if !j.lines.OneWay() {
		f.waiting = append(f.waiting, s)
		// Ring-back has no counterpart, and its call says whether it counts.
		if line, ok := j.line(s.Flow.Src, s.Flow.Realm); ok && s.Call != 0 {
			j.lines.Voice(line, s)
		}
		return
	}
	j.stream(s, false)
}

// StreamEnded is told by rtp.Streams. A stream whose description came late is
// bound now.
func (j *joiner) StreamEnded(s *rtp.Stream) {
	if s.Call == 0 {
		j.release(s)
		if j.bind(s) {
			j.vouch(s)
		}
	}
	if j.observe != nil {
		j.observe.Stream(s, true)
	}
	j.talk(s, true)
	j.shapes.stream(s, true)
	key := flowOf(s)
	f := j.flows[key]
	if f.live--; f.live == 0 {
		delete(j.flows, key)
	}
	if i := slices.Index(f.waiting, s); i >= 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
		if s.Call == 0 {
			j.unpaired++
		}
		return
	}
	j.stream(s, true)
}

// bind looks for the call that a stream belongs to.
func (j *joiner) bind(s *rtp.Stream) bool {
	e, other, fromCaller, ok := j.media.find(s)
	if !ok {
		if s.Fax {
			return false
		}
		s.Call, s.FromCaller, ok = j.pairs.find(s)
		return ok
	}
	s.Call, s.FromCaller = e.call, fromCaller
	if e.media != nil && !s.Fax {
		j.streams.Describe(s.ID, e.media)
	}
	if other != nil {
		// The stream is voice of both calls, whichever the line is in.
		if line, ok := j.line(s.Flow.Src, s.Flow.Realm); ok {
			also := *s
			also.Call = other.call
			j.lines.Voice(line, &also)
		}
	}
	j.media.learn(s, e, fromCaller)
	return true
}

// expect takes what a call tells of its media by now. Streams that had begun
// before it was told find their call.
func (j *joiner) expect(c *sip.Call) {
	j.sockets = j.media.call(c, j.now, j.sockets[:0])
	for _, k := range j.sockets {
		for i := 0; i < len(j.unbound[k]); {
			s := j.unbound[k][i]
			if !j.bind(s) {
				i++
				continue
			}
			j.release(s)
			j.vouch(s)
		}
	}
}

// vouch tells of a stream whose call was found after its confirmation.
func (j *joiner) vouch(s *rtp.Stream) {
	j.talk(s, false)
	if line, ok := j.line(s.Flow.Src, s.Flow.Realm); ok {
		j.lines.Voice(line, s)
	}
}

// release takes a stream from those without a call.
func (j *joiner) release(s *rtp.Stream) {
	for _, k := range ends(s) {
		list := j.unbound[k]
		if i := slices.Index(list, s); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
		if len(list) == 0 {
			delete(j.unbound, k)
		} else {
			j.unbound[k] = list
		}
	}
}

// ends gives the sockets that a stream goes to and comes from.
func ends(s *rtp.Stream) [2]socket {
	f := &s.Flow
	return [...]socket{{f.Dst, f.DstPort, f.Realm}, {f.Src, f.SrcPort, f.Realm}}
}

// talk has a stream among those without signalling, at both of its ends.
func (j *joiner) talk(s *rtp.Stream, ended bool) {
	if line, ok := j.line(s.Flow.Src, s.Flow.Realm); ok {
		j.talks.stream(line, true, s, ended)
	}
	if line, ok := j.line(s.Flow.Dst, s.Flow.Realm); ok {
		j.talks.stream(line, false, s, ended)
	}
}

func (j *joiner) stream(s *rtp.Stream, ended bool) {
	if line, ok := j.line(s.Flow.Src, s.Flow.Realm); ok {
		j.lines.Stream(line, true, s, ended)
	}
	if line, ok := j.line(s.Flow.Dst, s.Flow.Realm); ok {
		j.lines.Stream(line, false, s, ended)
	}
}

// finish takes the last records and ends everything that is open.
func (j *joiner) finish(all *[shards]*output, now int64) {
	j.take(all, now)
	for i := range j.intervals {
		j.interval(&j.intervals[i])
	}
	j.intervals = nil
	j.metered.play(j.lines, math.MaxInt64)
	j.tunnels.play(j, math.MaxInt64)
	j.lines.Closing()
	j.tracker.Flush()
	j.h323.Flush()
	j.streams.Flush()
}
