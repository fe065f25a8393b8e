package pipeline

import (
	"bytes"

	"simtrap/control"
	"simtrap/h323"
	"simtrap/hidden/hello"
	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// shard has everything that one pair of addresses may need: TCP streams, media
// accounting, and the first look at what a packet says.
type shard struct {
	seed    uint64
	room    *arenas
	control *control.Set
	media   *rtp.Accounting
	streams *packet.Streams
	recent  [recentSize]recent
	hidden  sip.HiddenTable
	veiled  sip.ScrambledTable
	tls     sealedTable
	hellos  hellos
	lost    shardLosses
	framer  sip.FramerStats // of all streams
	socket  sip.WebSocketStats
	tpkt    h323.FramerStats
	ras     rasFlows
	held    int // bytes that framers hold
	twoWay  twoWay
	lately  twoWay // begun anew now and then, in a live run
	copies  copies
	live    bool
	meter   meter
	gates   *tunnel.Gates
	passed  [passedSize]recent // packets of flows that cannot be read
	limit   reportLimit
	rtcp    rtp.RTCP // room for reading
	origins Origins

	*output         // of this epoch
	spare   *output // for the next one
	now     int64
	seq     uint64 // of the packet at work
	source  uint32
	hashes  hashes // of the packet at work
	// accounted says that the packet's source accounts media itself.
	accounted bool
	sample    uint32 // one in so many of its other frames is given; 0 none

	piece     *packet.Packet // of the stream that is being framed
	onMessage func([]byte)
	onQ931    func([]byte)
	onControl func(*control.Record)
}

// output is what a shard emits in one epoch, for the joiner.
type output struct {
	records   []record
	arenas    []*arena
	messages  int // in the arenas
	controls  []control.Record
	hiddens   []sip.Hidden
	scrambled []sip.Scrambled
	signals   []signal
	sealed    []exchangeSeen
	opened    []helloSeen
	intervals []rtp.Interval
	metered   []metered
	tunnels   []tunnel.Record
	reports   []rtp.RTCP
}

// shardLosses counts what shards did not hand on.
type shardLosses struct {
	echoed  uint64 // what the other end sent just before
	doubled uint64 // the same datagram again within 50 ms
	// tunnelsTwice are packets of flows that cannot be read, again within 50 ms
	tunnelsTwice uint64
	unparsed     uint64 // looked like SIP and could not be read
	truncated    uint64 // SIP cut by a snap length, read as far as it goes
	unframed     uint64 // unfinished messages on streams dropped for room
	trailing     uint64 // datagrams with more in them than the message

	unreadQ931, unreadRAS uint64 // H.323 that could not be read

	reportsMany, reportsCut, reportsBroken, reportsReduced, reportsSecret uint64 // RTCP not read
}

type kind uint8

const (
	kindTwoWay kind = iota // the tap has shown both directions
	kindMessage
	kindControl
	kindRTCP
	kindHidden
	kindScrambled
	kindSignal
	kindSealed
	kindHello
)

// record is one thing for the joiner; index says where in the shard's list.
type record struct {
	time   int64
	seq    uint64
	source uint32
	index  uint32
	shard  uint8
	kind   kind
}

// message is one SIP message with the packet that carried it. raw is what
// message views.
type message struct {
	packet packet.Packet
	sip    sip.Message
}

// recent remembers a datagram of signalling or control, to know the second
// copy that a doubled mirror brings.
type recent struct {
	hash uint64
	time int64
}

const (
	recentSize = 1024
	passedSize = 512
	// mirrorWindow is within which an identical datagram is a second copy and
	// no retransmission, whose timers start at 200 ms.
	mirrorWindow = int64(50e6)
)

func newShard(seed uint64, room *arenas, set *control.Set) *shard {
	s := &shard{seed: seed, room: room, control: set, output: &output{}, spare: &output{}}
	s.media = rtp.NewAccounting(rtp.Config{Seed: seed}, s.interval)
	s.streams = packet.NewStreams(packet.StreamConfig{Seed: seed, Streams: maxStreams, Dropped: s.dropped}, s.interesting)
	s.gates = tunnel.NewGates(func(r *tunnel.Record) { s.output.tunnels = append(s.output.tunnels, *r) })
	s.meter.seed = seed
	s.meter.emit = func(e *metered) { s.output.metered = append(s.output.metered, *e) }
	s.onMessage = s.framed
	s.onQ931 = s.q931
	s.onControl = s.controlRecord
	return s
}

// interesting says whether a TCP connection that begins so is worth following.
func (s *shard) interesting(b []byte) bool {
	return sip.Looks(b) || sip.LooksWebSocket(b) || h323.Looks(b) || s.control.Looks(b)
}

// packet takes one datagram or segment.
func (s *shard) packet(p *packet.Packet) {
	s.now, s.seq, s.source = p.Time, p.Seq, p.Source
	if !s.twoWay.known {
		if s.twoWay.packet(p, s.seed); s.twoWay.known {
			s.add(kindTwoWay, 0)
		}
	}
	if s.live {
		if !s.lately.known {
			s.lately.packet(p, s.seed)
		}
		s.copies.packet(p, s.seed)
	}
	switch {
	case !s.accounted:
		s.meter.packet(p)
	case s.sample > 0:
		s.meter.taken(p, s.sample)
	}
	var x exchangeSeen
	if s.tls.packet(p, s.hashes, &x) {
		s.output.sealed = append(s.output.sealed, x)
		s.add(kindSealed, len(s.output.sealed)-1)
	}
	var h helloSeen
	if s.hellos.packet(p, s.hashes, &h) {
		if h.hello.Protocol == hello.QUIC && (!s.accounted || s.sample > 0) {
			s.meter.asked(p, &h)
		}
		s.output.opened = append(s.output.opened, h)
		s.add(kindHello, len(s.output.opened)-1)
	}
	if p.Proto == packet.TCP {
		s.opaque(p)
		if p.Flags&packet.SYN != 0 {
			s.origins.Handshake(p, s.seed)
		}
		s.streams.Feed(p, s.tcp)
		return
	}
	if !s.accounted && !s.media.Packet(p) {
		s.opaque(p)
	}
	if len(p.Payload) == 0 {
		return
	}
	switch {
	case sip.Looks(p.Payload):
		if s.fresh(p) {
			if p.Cut() {
				s.lost.truncated++
			}
			// Raw is a view of the payload behind its leading line ends.
			if m := s.message(p, p.Payload); m != nil && len(bytes.Trim(p.Payload[cap(p.Payload)-cap(m.Raw)+len(m.Raw):], "\r\n \x00")) > 0 {
				s.lost.trailing++
			}
		}
	case h323.LooksRAS(p.Payload) || s.unregisters(p):
		if s.fresh(p) {
			s.registration(p)
		}
	case sip.LooksBase64(p.Payload):
		if s.fresh(p) {
			s.disguised(p)
		}
	case s.control.Looks(p.Payload):
		if _, there := s.datagram(p); !s.again(p, there) {
			s.control.UDP(p, s.onControl)
		}
	default:
		// Scrambled SIP may begin like anything, like RTCP too.
		var h sip.Hidden
		if s.hidden.Datagram(p, &h) {
			s.hiddens = append(s.hiddens, h)
			s.add(kindHidden, len(s.hiddens)-1)
		} else if s.exchange(p) {
			s.add(kindScrambled, len(s.scrambled)-1)
		} else if rtp.LooksRTCP(p.Payload, p.Length) {
			s.report(p)
		}
	}
}

// opaque takes a packet of which nothing may be readable, as an interval of a
// flow that may be a tunnel. A source that accounts media keeps these itself.
func (s *shard) opaque(p *packet.Packet) {
	if !s.accounted && s.gates.Wants(p.Time, int(p.Length)) && !s.twice(p) {
		s.gates.Packet(s.hashes.pair(), p.Src, p.Dst, p.SrcPort, p.DstPort, p.Proto, p.Realm, p.Time, int(p.Length))
	}
}

// twice says whether a packet of a flow that may be a tunnel passed within the
// mirror window, by its beginning and its end. What is sent again over TCP makes
// no calls more, since none are counted there.
func (s *shard) twice(p *packet.Packet) bool {
	const each = 16
	n := len(p.Payload)
	if n == 0 || p.Proto == packet.TCP {
		return false
	}
	h := ident.Hash(s.seed+uint64(n), p.Payload[:min(n, each)]) + 3*ident.Hash(s.seed, p.Payload[max(0, n-each):])
	h = s.named(p.Src, p.Dst, p.SrcPort, p.DstPort, h)
	r := &s.passed[h%uint64(len(s.passed))]
	if r.hash == h && p.Time-r.time <= mirrorWindow {
		s.lost.tunnelsTwice++
		return true
	}
	*r = recent{h, p.Time}
	return false
}

// exchange looks for signalling whose messages are under a cipher each.
func (s *shard) exchange(p *packet.Packet) bool {
	var x sip.Scrambled
	if !s.veiled.Datagram(p, &x) {
		return false
	}
	s.scrambled = append(s.scrambled, x)
	return true
}

// report reads one datagram of RTCP.
func (s *shard) report(p *packet.Packet) {
	if !s.limit.allow(p, s.seed) {
		s.lost.reportsMany++
		return
	}
	s.rtcp.Time = p.Time
	s.rtcp.Flow = rtp.Flow{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Realm: p.Realm, TapPort: p.TapPort}
	switch rtp.ReadRTCP(p.Payload, p.Length, &s.rtcp) {
	case rtp.RTCPRead:
		s.output.reports = append(s.output.reports, s.rtcp)
		s.add(kindRTCP, len(s.output.reports)-1)
	case rtp.RTCPReduced:
		s.lost.reportsReduced++
	case rtp.RTCPEncrypted:
		s.lost.reportsSecret++
	case rtp.RTCPCut:
		s.lost.reportsCut++
	case rtp.RTCPBroken:
		s.lost.reportsBroken++
	}
}

// reportLimit bounds the RTCP that is read: of one flow, and of the shard, in a
// second. A session sends one compound in five seconds or so (RFC 3550 section
// 6.2), and a goodbye.
type reportLimit struct {
	second int64
	all    int
	flows  [256]struct {
		hash   uint64
		second int64
		n      int
	}
}

const (
	maxReportsFlow  = 4
	maxReportsShard = 2000
)

func (l *reportLimit) allow(p *packet.Packet, seed uint64) bool {
	second := p.Time / 1e9
	if second != l.second {
		l.second, l.all = second, 0
	}
	h := p.Src.Hash(seed) ^ p.Dst.Hash(^seed) + uint64(p.SrcPort)<<16 + uint64(p.DstPort)
	f := &l.flows[h>>32%256]
	if f.hash != h || f.second != second {
		f.hash, f.second, f.n = h, second, 0
	}
	if f.n >= maxReportsFlow || l.all >= maxReportsShard {
		return false
	}
	f.n++
	l.all++
	return true
}

// disguised takes a datagram that may be SIP in Base64. It is read like any
// other message, and marked.
func (s *shard) disguised(p *packet.Packet) {
	raw, ok := sip.DecodeBase64(nil, p.Payload)
	if !ok {
		s.lost.unparsed++
		return
	}
	if m := s.message(p, raw); m != nil {
		Disguised(s.control, p, m, s.onControl)
	}
}

// Disguised tells of m, a message that came in Base64 in p. One record for a
// registration or call, and one for its answer, are enough.
func Disguised(set *control.Set, p *packet.Packet, m *sip.Message, emit func(*control.Record)) {
	if (m.Method == sip.REGISTER || m.Method == sip.INVITE) && (m.Status == 0 || m.Status >= 200) {
		set.Base64SIP(p, m.Method == sip.REGISTER, m.Status != 0, ident.Hash(uint64(m.CSeq), m.CallID), emit)
	}
}

// fresh says whether a datagram of signalling is to be read: it is neither what the
// other end sent just before nor a second copy.
func (s *shard) fresh(p *packet.Packet) bool {
	back, there := s.datagram(p)
	return !s.echoed(p, back) && !s.again(p, there)
}

// datagram names p, and the same sent the other way.
func (s *shard) datagram(p *packet.Packet) (back, there uint64) {
	return s.place(p, ident.Hash(s.seed+uint64(p.Realm), p.Payload))
}

// again says whether the same datagram, whose name is h, passed within the mirror
// window.
func (s *shard) again(p *packet.Packet, h uint64) bool {
	r := &s.recent[h%recentSize]
	if r.hash == h && p.Time-r.time <= mirrorWindow {
		s.lost.doubled++
		return true
	}
	*r = recent{h, p.Time}
	return false
}

// place names a datagram with the hash of its payload, and the same sent the
// other way.
func (s *shard) place(p *packet.Packet, payload uint64) (back, there uint64) {
	return s.named(p.Dst, p.Src, p.DstPort, p.SrcPort, payload), s.named(p.Src, p.Dst, p.SrcPort, p.DstPort, payload)
}

func (s *shard) named(src, dst ident.Addr, srcPort, dstPort uint16, payload uint64) uint64 {
	return payload ^ (src.Hash(s.seed)+uint64(srcPort))*0x9e3779b97f4a7c15 ^ (dst.Hash(^s.seed)+uint64(dstPort))*0xc2b2ae3d27d4eb4f
}

// echoWindow is how long a service that sends back what it is sent may take.
const echoWindow = int64(10e9)

// echoed says whether the other end sent the same SIP datagram just before. No
// two ends have the same to say, for each names itself; so this is a service that
// sends back what it is sent, and takes part in nothing. back is what that one is
// named.
func (s *shard) echoed(p *packet.Packet, back uint64) bool {
	r := &s.recent[back%recentSize]
	if r.hash != back || p.Time-r.time > echoWindow {
		return false
	}
	r.time = p.Time
	s.lost.echoed++
	return true
}

// message reads one SIP message, of which raw stays valid for the epoch, and
// gives it, or nil.
func (s *shard) message(p *packet.Packet, raw []byte) *sip.Message {
	n := s.messages
	if n == len(s.arenas)*arenaSize {
		s.arenas = append(s.arenas, s.room.get())
	}
	m := s.output.message(n)
	if err := sip.Parse(raw, &m.sip); err != nil {
		s.lost.unparsed++
		return nil
	}
	m.packet = *p
	s.messages++
	s.add(kindMessage, n)
	return &m.sip
}

func (s *shard) add(k kind, index int) {
	s.records = append(s.records, record{time: s.now, seq: s.seq, source: s.source, kind: k, index: uint32(index)})
}

const (
	maxStreams = 512     // TCP connections followed in one shard
	maxHeld    = 1 << 20 // bytes of unfinished messages in one shard
	// maxSpare is how many entries of an output are kept for the next epoch:
	// one burst must not hold its room for ever.
	maxSpare = 1024
)

// dropped gives back what the framers of a stream hold. A connection over which
// signalling was heard from its beginning is remembered, since it may go on: a
// telephone over TCP that nobody calls is silent for longer than we follow it.
func (s *shard) dropped(st *packet.Stream) {
	for dir, state := range st.State {
		f, ok := state.(*follower)
		switch {
		case !ok:
		case f.control != nil:
			f.control.Close()
		default:
			s.held -= f.unfinished()
			if p, ok := st.Next(dir); ok && !f.doubtful {
				s.origins.Rest(&p, s.seed)
			}
		}
	}
}

// twoWay learns whether the tap shows both directions of conversations, of
// whatever kind: only then is silence of one end no blind spot. It looks at
// packets until it knows.
type twoWay struct {
	known bool
	flows [256]struct {
		hash uint64
		ways uint8
	}
}

func (w *twoWay) packet(p *packet.Packet, seed uint64) {
	a := p.Src.Hash(seed) + uint64(p.SrcPort)
	b := p.Dst.Hash(seed) + uint64(p.DstPort)
	f := &w.flows[(a^b)>>24%256]
	if f.hash != a^b {
		f.hash, f.ways = a^b, 0
	}
	if a < b {
		f.ways |= 1
	} else {
		f.ways |= 2
	}
	w.known = f.ways == 3
}

// follower reads one direction of a TCP connection.
type follower struct {
	sip    *sip.Framer
	socket *sip.WebSocket
	h323   *h323.Framer
	// doubtful is set on what a page in a browser may have written.
	doubtful bool
	control  *control.Stream
}

// unfinished is how many bytes of an unfinished message of signalling are held.
func (f *follower) unfinished() int {
	switch {
	case f.h323 != nil:
		return f.h323.Held()
	case f.sip != nil:
		return f.sip.Held()
	case f.socket != nil:
		return f.socket.Held()
	}
	return 0
}

// tcp takes one in-order piece of a stream.
func (s *shard) tcp(st *packet.Stream, p *packet.Packet, gap uint32) {
	f, _ := st.State[st.Dir].(*follower)
	if f == nil {
		f = s.follow(st, p)
		st.State[st.Dir] = f
	}
	if f.control == nil {
		s.signalling(f, p, gap)
		return
	}
	if gap > 0 && !f.control.Over() {
		f.control.Gap()
	}
	f.control.Push(p, s.onControl)
	other, _ := st.State[1-st.Dir].(*follower)
	st.Over = f.control.Over() && (other == nil || other.control == nil || other.control.Over())
}

// follow gives a follower for what one direction of a connection begins with, and
// for what the other direction is.
func (s *shard) follow(st *packet.Stream, p *packet.Packet) *follower {
	other, _ := st.State[1-st.Dir].(*follower)
	switch {
	case other != nil && other.h323 != nil || h323.Looks(p.Payload):
		return &follower{h323: &h323.Framer{}, doubtful: s.origins.Doubtful(p, s.seed)}
	case other != nil && other.socket != nil || sip.LooksWebSocket(p.Payload):
		return &follower{socket: &sip.WebSocket{}, doubtful: true}
	case other != nil && other.sip != nil || sip.Looks(p.Payload):
		return &follower{sip: &sip.Framer{}, doubtful: s.origins.Doubtful(p, s.seed)}
	}
	var peer *control.Stream
	if other != nil {
		peer = other.control
	}
	c := s.control.NewStream(peer)
	c.Began(s.origins.Of(p, s.seed))
	return &follower{control: c}
}

// signalling takes a piece of SIP, plain or over WebSocket, or of H.323.
func (s *shard) signalling(f *follower, p *packet.Packet, gap uint32) {
	s.piece = p
	p.Doubtful = f.doubtful
	defer func() { p.Doubtful = false }() // its room is used again
	s.held -= f.unfinished()
	switch {
	case f.h323 != nil:
		before := f.h323.Stats
		if gap > 0 {
			f.h323.Gap()
		}
		f.h323.Push(p.Payload, s.onQ931)
		now := &f.h323.Stats
		s.tpkt.Other += now.Other - before.Other
		s.tpkt.TooLong += now.TooLong - before.TooLong
		s.tpkt.Skipped += now.Skipped - before.Skipped
	case f.sip != nil:
		before := f.sip.Stats
		if gap > 0 {
			f.sip.Gap()
		}
		f.sip.Push(p.Payload, s.onMessage)
		now := &f.sip.Stats
		s.framer.TooLong += now.TooLong - before.TooLong
		s.framer.Skipped += now.Skipped - before.Skipped
	default:
		before := f.socket.Stats
		if gap > 0 {
			f.socket.Gap()
		}
		f.socket.Push(p.Payload, s.onMessage)
		now := &f.socket.Stats
		s.socket.Compressed += now.Compressed - before.Compressed
		s.socket.Other += now.Other - before.Other
		s.socket.TooLong += now.TooLong - before.TooLong
		s.socket.Broken += now.Broken - before.Broken
		s.socket.Skipped += now.Skipped - before.Skipped
	}
	if s.held += f.unfinished(); s.held > maxHeld {
		s.held -= f.unfinished()
		s.lost.unframed++
		switch {
		case f.h323 != nil:
			f.h323 = &h323.Framer{}
			f.h323.Gap()
		case f.sip != nil:
			f.sip = &sip.Framer{}
			f.sip.Gap()
		default:
			f.socket = &sip.WebSocket{}
			f.socket.Gap()
		}
	}
}

// framed takes a message cut out of a stream; its bytes are copied because the
// stream's buffer is used again.
func (s *shard) framed(raw []byte) { s.message(s.piece, append([]byte(nil), raw...)) }

func (s *shard) controlRecord(r *control.Record) {
	s.controls = append(s.controls, *r)
	s.add(kindControl, len(s.controls)-1)
}

// intervalLag is how long after its end every interval has surely been
// emitted: the sweep passes each record once in two seconds.
const intervalLag = rtp.Length + int64(200e6)

func (s *shard) interval(iv *rtp.Interval) {
	s.intervals = append(s.intervals, *iv)
}

func (s *shard) sweep(now int64) {
	s.now = max(s.now, now)
	s.media.Sweep(now)
	s.meter.sweep(now)
	s.gates.Sweep(now)
}

func (s *shard) flush() {
	s.streams.Flush(&packet.Packet{Time: s.now, Seq: s.seq, Source: s.source}, s.tcp)
	s.media.Flush()
	s.meter.flush()
	s.gates.Close()
}

// swap gives what was emitted and goes on with the spare, emptied.
func (s *shard) swap() *output {
	o := s.output
	s.output, s.spare = s.spare, nil
	return o
}

func (o *output) message(i int) *message { return &o.arenas[i/arenaSize][i%arenaSize] }

// reset empties what the joiner took and gives back unusual room.
func (o *output) reset(room *arenas) {
	room.put(o.arenas)
	clear(o.arenas)
	o.arenas, o.messages = o.arenas[:0], 0
	o.records, o.controls, o.intervals, o.reports = emptied(o.records), emptied(o.controls), emptied(o.intervals), emptied(o.reports)
	o.hiddens, o.signals, o.scrambled = emptied(o.hiddens), emptied(o.signals), emptied(o.scrambled)
	o.sealed, o.opened = emptied(o.sealed), emptied(o.opened)
	o.metered, o.tunnels = emptied(o.metered), emptied(o.tunnels)
}

func emptied[T any](list []T) []T {
	if cap(list) > maxSpare {
		return nil
	}
	return list[:0]
}
