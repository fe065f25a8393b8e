package dissect

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strconv"

	"simtrap/capture"
	"simtrap/control"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/rtp"
	"simtrap/sip"
)

// Run reads the source to its end and tells what it held. It fails when the
// source or the writer does.
func Run(ctx context.Context, src capture.Source, w io.Writer, o Options) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	t := newTeller(w, o, stop)
	var err error
	if o.What == Packets {
		err = newWalker(t).run(ctx, src)
	} else {
		l := &listener{t: t, ids: make(map[uint64]string), streams: make(map[uint64][]*stream)}
		_, err = pipeline.Run(ctx, src, pipeline.Config{Homes: o.Homes, Plan: o.Plan, Ledgers: 255, Observe: l})
		l.flush()
	}
	if e := t.close(); e != nil {
		return e // it ended the reading as well
	}
	return err
}

// listener tells what the stages conclude.
type listener struct {
	t   *teller
	now int64 // packet time of the newest event

	callID  string            // of the message at work
	ids     map[uint64]string // of calls that are not told yet
	streams map[uint64][]*stream
	waiting []waiting // calls that are over, in the order of their ends
	head    int
}

// waiting is a call whose streams may not have been told yet.
type waiting struct {
	due int64
	e   *call
	id  uint64
}

const (
	// settle is how long after a call its streams are surely told: their
	// silence is noticed after ten seconds, an interval late.
	settle = rtp.Silence + 3*rtp.Length
	// maxWaiting bounds what waits; then calls are told before their streams.
	maxWaiting   = 1 << 16
	maxOfOneCall = 32 // streams
)

func (l *listener) advance(t int64) {
	l.now = max(l.now, t)
	for l.head < len(l.waiting) && (l.waiting[l.head].due <= l.now || len(l.waiting)-l.head > maxWaiting) {
		l.tell(&l.waiting[l.head])
		l.waiting[l.head] = waiting{}
		l.head++
	}
	if l.head > 1024 && l.head*2 > len(l.waiting) {
		l.waiting = append(l.waiting[:0], l.waiting[l.head:]...)
		l.head = 0
	}
}

func (l *listener) flush() {
	for i := range l.waiting[l.head:] {
		l.tell(&l.waiting[l.head+i])
	}
	l.waiting, l.head = nil, 0
}

func (l *listener) tell(w *waiting) {
	w.e.Streams = l.streams[w.id]
	delete(l.streams, w.id)
	delete(l.ids, w.id)
	slices.SortStableFunc(w.e.Streams, func(a, b *stream) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.Src, b.Src), cmp.Compare(a.SSRC, b.SSRC))
	})
	l.t.tell(w.e)
}

// Message notes whose message is at work: a call that begins now is of it.
func (l *listener) Message(p *packet.Packet, m *sip.Message) {
	l.advance(p.Time)
	l.callID = ""
	if l.t.o.What == Calls {
		l.callID = l.t.callID(m.CallID)
	}
}

// Request is not told.
func (l *listener) Request(*sip.Request) {}

// Interval moves the clock.
func (l *listener) Interval(iv *rtp.Interval) { l.advance(iv.Close()) }

// Record tells of a control record.
func (l *listener) Record(r *control.Record) {
	l.advance(r.Time)
	if l.t.o.What != Records || !l.t.concerns(r.Src, r.Dst) {
		return
	}
	names := l.t.o.Names
	l.t.tell(&record{
		Kind: "record", Time: stamp(r.Time), ns: r.Time, Src: socket(r.Src, r.SrcPort), Dst: socket(r.Dst, r.DstPort), Transport: transport(r.TCP),
		Protocol: r.Protocol, Vendor: clean(r.Vendor), Record: kind(r.Kind), Sender: r.Sender.String(), Sound: r.Sound, Reply: r.Reply, Channel: r.Channel,
		IMSI: names.IMSI(r.IMSI), IMEI: names.IMEI(r.IMEI), ICCID: names.ICCID(r.ICCID), Number: l.t.number(r.Number),
		Recipient: l.t.number(r.Recipient), Detail: clean(r.Detail), Authority: l.t.authority,
	})
}

func transport(tcp bool) string {
	if tcp {
		return "tcp"
	}
	return "udp"
}

func kind(k control.Kind) string {
	names := [...]string{"unknown", "keepalive", "login", "identity", "event", "command", "answer", "apdu", "mark"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// Registration tells of a registration.
func (l *listener) Registration(r *sip.Registration) {
	if l.t.o.What != Registrations || !l.t.concerns(r.Client.Addr, r.Registrar.Addr) {
		return
	}
	e := &registration{
		Kind: "registration", Time: stamp(r.Time), ns: r.Time, Account: clean(l.t.o.Names.Account(r.Account)), Client: party(r.Client), Registrar: party(r.Registrar),
		Expires: r.Expires, Requests: r.Requests, Accepted: r.Accepted, Refused: r.Refused, Interval: float64(r.Interval) / 1e9, Removed: r.Removed,
		Agent: l.t.agent(r.UserAgent), Authority: l.t.authority,
	}
	if !r.ContactHost.IsZero() {
		e.Contact = clean(l.t.o.Names.Text("contact", socket(r.ContactHost, r.ContactPort)))
	}
	l.t.tell(e)
}

// Stream tells of a stream that is over, or keeps it for its call.
func (l *listener) Stream(s *rtp.Stream, ended bool) {
	if !ended {
		return
	}
	if l.t.o.What == Calls {
		_, known := l.ids[s.Call]
		if of := l.streams[s.Call]; known && len(of) < maxOfOneCall {
			e := l.t.stream(s)
			e.Kind = ""
			l.streams[s.Call] = append(of, e)
		}
		return
	}
	if l.t.o.What == Streams && l.t.concerns(s.Flow.Src, s.Flow.Dst) && (l.t.o.Call == 0 || l.t.o.Call == s.Call) {
		e := l.t.stream(s)
		e.Authority = l.t.authority
		l.t.tell(e)
	}
}

func (t *teller) stream(s *rtp.Stream) *stream {
	e := &stream{
		Kind: "stream", Begin: stamp(s.Start), End: stamp(s.End), begin: s.Start, end: s.End,
		Src: socket(s.Flow.Src, s.Flow.SrcPort), Dst: socket(s.Flow.Dst, s.Flow.DstPort), Codec: codecOf(s), Fax: s.Fax,
		Readable: s.Readable, Secure: s.Secure, Call: s.Call, Packets: s.Packets, Lost: s.Lost, Late: s.Late, Duplicates: s.Duplicates, Restarts: s.Restarts,
		Events: s.Events, Keys: s.Keys, Noise: s.Noise, Switches: s.Switches, MOS: hundredth(s.MOS), CNAME: clean(t.o.Names.CNAME(s.CNAME)),
		FarLost: s.Far.Lost, FarMOS: hundredth(s.Far.MOS), TripMS: tenth(float64(s.Far.Trip) / 1e6),
		PtimeMS: tenth(float64(s.Ptime) / 1e6), JitterMS: tenth(float64(s.Jitter) / 1e6),
	}
	if s.Readable {
		e.SSRC = hex32(s.SSRC)
	}
	if s.Call != 0 {
		e.FromCaller = &[]bool{s.FromCaller}[0]
	}
	if s.ClockOK {
		e.ClockPPM, e.ClockError = tenth(s.PPM), max(tenth(s.PPMError), 0.1)
	}
	return e
}

// Call keeps a call that is over until its streams are.
func (l *listener) Call(c *sip.Call, ev sip.CallEvent) {
	if l.t.o.What != Calls {
		return
	}
	switch ev {
	case sip.CallStarted:
		l.ids[c.ID] = l.callID
		return
	case sip.CallEnded:
	default:
		return
	}
	id := l.ids[c.ID]
	o := &l.t.o
	if !l.t.concerns(c.Caller.Addr, c.Callee.Addr) || o.Call != 0 && o.Call != c.ID || o.CallID != "" && o.CallID != id {
		delete(l.streams, c.ID)
		delete(l.ids, c.ID)
		return
	}
	l.waiting = append(l.waiting, waiting{due: max(l.now, c.Last) + settle, id: c.ID, e: l.t.call(c, id)})
}

func (t *teller) call(c *sip.Call, id string) *call {
	e := &call{
		Kind: "call", Call: c.ID, CallID: id, Direction: t.direction(c), Caller: party(c.Caller), Callee: party(c.Callee), Transport: transport(c.TCP),
		Called: t.number(c.CalledUser), CalledClass: c.CalleeClass.String(), CallerClass: c.CallerClass.String(),
		Invite: stamp(c.Invite), Trying: stamp(c.Trying), Ringing: stamp(c.Ringing), Progress: stamp(c.Progress), Answer: stamp(c.Answer), Ack: stamp(c.Ack),
		End: stamp(c.End), Last: stamp(c.Last), Status: c.Cause, EndedBy: [...]string{"", "caller", "callee"}[min(c.EndedBy, 2)], Verified: c.Verified, Midway: c.Midway,
		CallerMedia: t.media(&c.CallerMedia), CalleeMedia: t.media(&c.CalleeMedia), CallerAgent: t.agent(c.UserAgent[0]), CalleeAgent: t.agent(c.UserAgent[1]),
		Retransmits: c.Retransmits, Reinvites: c.Reinvites, Refers: c.Refers, Holds: c.Holds, Forks: c.Forks, Timer: c.Timer,
		Replaces: c.Replaces, Video: c.Video, Fax: c.Fax[0].Port != 0 && c.Fax[1].Port != 0, Authority: t.authority,
	}
	switch c.Seen {
	case sip.SeenRequest:
		e.OneWay = "caller"
	case sip.SeenResponse:
		e.OneWay = "callee"
	}
	for _, s := range [...]step{{"invite", c.Invite}, {"trying", c.Trying}, {"ringing", c.Ringing}, {"progress", c.Progress}, {"answer", c.Answer}, {"ack", c.Ack}, {"end", c.End}} {
		if s.at != 0 {
			e.steps = append(e.steps, s)
		}
	}
	if len(e.steps) == 0 {
		e.steps = []step{{"seen", c.Last}}
	}
	slices.SortStableFunc(e.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	e.first = e.steps[0].at
	return e
}

// direction is seen from the line that was asked for, else from the
// subscribers' side, if that is known.
func (t *teller) direction(c *sip.Call) string {
	ours := func(a ident.Addr) bool {
		if len(t.o.Lines) > 0 {
			return t.concerns(a)
		}
		return t.o.Homes.Known() && t.o.Homes.Contains(a)
	}
	switch caller, callee := ours(c.Caller.Addr), ours(c.Callee.Addr); {
	case c.Midway:
		return ""
	case caller && callee:
		return "internal"
	case callee:
		return "inbound"
	case caller:
		return "outbound"
	}
	return ""
}

// media tells what a side asked for. Addresses of a private network are written
// as that of a Contact is.
func (t *teller) media(m *sip.Media) *media {
	if m.Port == 0 && m.N == 0 {
		return nil
	}
	e := &media{Secure: m.Secure, Direction: [...]string{"", "sendonly", "recvonly", "inactive"}[min(m.Direction, 3)]}
	switch {
	case m.Addr.IsZero() && m.Port == 0:
	case m.Addr.IsZero():
		e.Addr = "port " + strconv.Itoa(int(m.Port))
	case m.Addr.Private():
		e.Addr = clean(t.o.Names.Text("contact", socket(m.Addr, m.Port)))
	default:
		e.Addr = socket(m.Addr, m.Port)
	}
	for i, f := range m.Formats[:min(m.N, len(m.Formats))] {
		name := encoding(m.Encodings[i])
		if name == "" {
			name = codec(f.PT, f.Rate)
		}
		e.Codecs = append(e.Codecs, name)
	}
	return e
}
