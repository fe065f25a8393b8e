package dissect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"simtrap/capture"
	"simtrap/control"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/rtp"
	"simtrap/sip"
)

// walker takes packets one by one through the same decoders as a replay, in the
// order of the capture.
type walker struct {
	t       *teller
	config  pipeline.Config
	decoder packet.Decoder
	defrag  *packet.Defrag
	tcp     *packet.Streams
	origins pipeline.Origins
	control *control.Set
	media   *rtp.Accounting
	streams *rtp.Streams
	message sip.Message
	hidden  sip.HiddenTable
	rtcp    rtp.RTCP

	packet  packet.Packet
	frame   uint64
	known   bool // the packet at work has been told
	swept   int64
	held    int // bytes that framers hold
	pending []rtp.Interval
}

const (
	sweepEvery = int64(100e6)
	// lag is how long after its end an interval has surely been closed.
	lag = rtp.Length + int64(200e6)
	// maxPending bounds the intervals that wait for it.
	maxPending = 1 << 17
	maxHeld    = 8 << 20
)

func newWalker(t *teller) *walker {
	w := &walker{t: t, control: control.New(), config: pipeline.Config{Homes: t.o.Homes}}
	w.defrag = packet.NewDefrag(packet.DefragConfig{})
	w.tcp = packet.NewStreams(packet.StreamConfig{Dropped: w.dropped}, func(b []byte) bool {
		return sip.Looks(b) || sip.LooksWebSocket(b) || w.control.Looks(b)
	})
	w.media = rtp.NewAccounting(rtp.Config{}, func(iv *rtp.Interval) { w.pending = append(w.pending, *iv) })
	w.streams = rtp.NewStreams(rtp.Config{Streams: 1 << 16}, w)
	return w
}

func (w *walker) run(ctx context.Context, src capture.Source) error {
	for {
		b, err := src.Next(ctx)
		if err != nil {
			if errors.Is(err, io.EOF) {
				w.finish()
				return nil
			}
			return err
		}
		for i := range b.Frames {
			w.take(b, i)
		}
		b.Release()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// take decodes one frame and tells what it was.
func (w *walker) take(b *capture.Batch, i int) {
	f, p := &b.Frames[i], &w.packet
	p.Time, p.Seq, p.TapPort, p.Realm = f.Time, b.Seq+uint64(i), f.Port, 0
	w.frame, w.known = p.Seq+1, false
	w.sweep(f.Time)

	before := w.decoder.Counters
	defragged := w.defrag.Counters
	fed := w.tcp.Counters
	r := w.decoder.Frame(f.Link, b.Data(i), f.Wire, p)
	w.config.Locate(p)
	for r == packet.Fragment {
		whole, ok := w.defrag.Add(p)
		if !ok {
			break
		}
		r = w.decoder.Resume(whole, p)
		w.config.Locate(p)
	}
	switch r {
	case packet.Datagram:
		w.datagram(p)
	case packet.Segment:
		if p.Flags&packet.SYN != 0 {
			w.origins.Handshake(p, 0)
		}
		w.tcp.Feed(p, w.segment)
	case packet.Fragment:
		if w.t.o.All {
			w.tell(&wire{Kind: "packet", Src: p.Src.String(), Dst: p.Dst.String(), Transport: "fragment", Bytes: p.Frag.Length}, p)
		}
	}
	for _, c := range [...]struct{ was, is *packet.Counters }{{&before, &w.decoder.Counters}, {&defragged, &w.defrag.Counters}, {&fed, &w.tcp.Counters}} {
		for reason := range packet.Reason(len(c.is)) {
			if c.is[reason] == c.was[reason] {
				continue
			}
			// What is merely not ours is told when everything is.
			if reason.Loss() || w.t.o.All && (r == packet.Ignored || r == packet.Malformed || r == packet.Opaque) {
				w.passedOver(reason, r, p)
			}
		}
	}
	if w.t.o.All && !w.known && (r == packet.Datagram || r == packet.Segment) {
		w.tell(&wire{Kind: "packet", Bytes: p.Length}, p)
	}
}

// passedOver tells why nothing was made of a frame.
func (w *walker) passedOver(reason packet.Reason, r packet.Result, p *packet.Packet) {
	e := &wire{Kind: "passed-over", Reason: reason.String()}
	if r == packet.Ignored || r == packet.Malformed || r == packet.Opaque {
		// Whose it was is not known for sure.
		if len(w.t.o.Lines) > 0 {
			return
		}
		w.tell(e, nil)
		return
	}
	if r == packet.Fragment {
		e.Src, e.Dst, e.Transport = p.Src.String(), p.Dst.String(), "fragment"
	}
	w.tell(e, p)
}

// tell tells an event of the packet at work; p is nil where its addresses are
// not known.
func (w *walker) tell(e *wire, p *packet.Packet) {
	w.known = true
	if p != nil {
		if !w.t.concerns(p.Src, p.Dst) {
			return
		}
		if e.Src == "" {
			e.Src, e.Dst, e.Transport = socket(p.Src, p.SrcPort), socket(p.Dst, p.DstPort), transport(p.Proto == packet.TCP)
		}
		e.Access = access(&p.Access)
	}
	if w.t.o.CallID != "" && e.CallID != w.t.o.CallID {
		return
	}
	e.ns, e.Frame = w.packet.Time, w.frame
	e.Time = stamp(e.ns)
	e.Authority = w.t.authority
	w.t.tell(e)
}

func (w *walker) datagram(p *packet.Packet) {
	w.media.Packet(p)
	switch {
	case len(p.Payload) == 0:
	case sip.Looks(p.Payload):
		w.sip(p, p.Payload)
	case sip.LooksBase64(p.Payload):
		if raw, ok := sip.DecodeBase64(nil, p.Payload); !ok {
			w.tell(&wire{Kind: "passed-over", Reason: "begins like SIP in Base64"}, p)
		} else if w.sip(p, raw) {
			pipeline.Disguised(w.control, p, &w.message, w.record)
		}
	case w.control.Looks(p.Payload):
		w.control.UDP(p, w.record)
	default:
		var h sip.Hidden
		if w.hidden.Datagram(p, &h) {
			w.scrambled(p, &h)
		} else if rtp.LooksRTCP(p.Payload, p.Length) {
			w.report(p)
		}
	}
}

// scrambled tells of SIP under a keystream (docs/verdict.md section 7).
func (w *walker) scrambled(p *packet.Packet, h *sip.Hidden) {
	what := "flow"
	if h.Kind == sip.HiddenCall {
		what = "call"
	}
	w.tell(&wire{Kind: "hidden-sip", What: what, Src: party(h.Caller), Dst: party(h.Callee), Transport: transport(p.Proto == packet.TCP),
		Stream: fmt.Sprintf("a keystream explains %d of %d datagrams", h.Explained, h.Datagrams)}, p)
}

// report tells of a compound of RTCP.
func (w *walker) report(p *packet.Packet) {
	r := &w.rtcp
	r.Time = p.Time
	r.Flow = rtp.Flow{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Realm: p.Realm, TapPort: p.TapPort}
	if rtp.ReadRTCP(p.Payload, p.Length, r) != rtp.RTCPRead {
		return
	}
	w.streams.RTCP(r)
	text := "ssrc " + hex32(r.SSRC)
	if r.Sent {
		text += " sends"
	}
	for _, b := range r.Blocks[:r.N] {
		text += fmt.Sprintf(", lost %d of %s", b.Lost, hex32(b.SSRC))
	}
	if r.NByes > 0 {
		text += ", " + plural(r.NByes, "goodbye")
	}
	w.tell(&wire{Kind: "rtcp", Stream: text, CNAME: clean(w.t.o.Names.CNAME(r.CNAME))}, p)
}

// follower reads one direction of a TCP connection.
type follower struct {
	sip     *sip.Framer
	socket  *sip.WebSocket
	control *control.Stream
}

// held is how many bytes of an unfinished SIP message are held.
func (f *follower) held() int {
	switch {
	case f.sip != nil:
		return f.sip.Held()
	case f.socket != nil:
		return f.socket.Held()
	}
	return 0
}

func (w *walker) dropped(st *packet.Stream) {
	for _, state := range st.State {
		if f, ok := state.(*follower); ok {
			w.held -= f.held()
			if f.control != nil {
				f.control.Close()
			}
		}
	}
}

// follow gives a follower for what one direction of a connection begins with,
// and for what the other direction is.
func (w *walker) follow(st *packet.Stream, p *packet.Packet) *follower {
	other, _ := st.State[1-st.Dir].(*follower)
	switch {
	case other != nil && other.socket != nil || sip.LooksWebSocket(p.Payload):
		return &follower{socket: &sip.WebSocket{}}
	case other != nil && other.sip != nil || sip.Looks(p.Payload):
		return &follower{sip: &sip.Framer{}}
	}
	var peer *control.Stream
	if other != nil {
		peer = other.control
	}
	c := w.control.NewStream(peer)
	c.Began(w.origins.Of(p, 0))
	return &follower{control: c}
}

func (w *walker) segment(st *packet.Stream, p *packet.Packet, gap uint32) {
	f, _ := st.State[st.Dir].(*follower)
	if f == nil {
		f = w.follow(st, p)
		st.State[st.Dir] = f
	}
	if f.control != nil {
		if gap > 0 && !f.control.Over() {
			f.control.Gap()
		}
		f.control.Push(p, w.record)
		other, _ := st.State[1-st.Dir].(*follower)
		st.Over = f.control.Over() && (other == nil || other.control == nil || other.control.Over())
		return
	}
	w.held -= f.held()
	emit := func(raw []byte) { w.sip(p, raw) }
	switch {
	case f.sip != nil:
		if gap > 0 {
			f.sip.Gap()
		}
		f.sip.Push(p.Payload, emit)
	default:
		if gap > 0 {
			f.socket.Gap()
		}
		f.socket.Push(p.Payload, emit)
	}
	if w.held += f.held(); w.held <= maxHeld {
		return
	}
	w.held -= f.held()
	if f.sip != nil {
		f.sip = &sip.Framer{}
		f.sip.Gap()
	} else {
		f.socket = &sip.WebSocket{}
		f.socket.Gap()
	}
	w.tell(&wire{Kind: "passed-over", Reason: "unfinished sip message dropped: memory full"}, p)
}

// sip tells of one SIP message, and says whether it could be read.
func (w *walker) sip(p *packet.Packet, raw []byte) bool {
	m := &w.message
	if err := sip.Parse(raw, m); err != nil {
		w.tell(&wire{Kind: "passed-over", Reason: "begins like SIP: " + clean(err.Error())}, p)
		return false
	}
	e := &wire{
		Kind: "sip", Method: method(m.Method), Status: m.Status, CSeq: m.CSeq, From: w.t.user(m.From.User), To: w.t.user(m.To.User),
		CallID: w.t.callID(m.CallID), Agent: w.t.agent(string(m.UserAgent[:min(len(m.UserAgent), 64)])),
	}
	if m.Status != 0 {
		e.Reason = clean(string(m.Reason))
	} else {
		e.Target = w.t.user(m.URIUser)
	}
	if m.SDP.Present && m.SDP.N > 0 {
		if x := w.t.media(&m.SDP.Audio[0]); x != nil {
			e.Media = string(x.line(nil))
		}
	}
	if m.Lenient != 0 {
		e.Lenient = clean(m.Lenient.String())
	}
	w.tell(e, p)
	return true
}

// record tells of one control record.
func (w *walker) record(r *control.Record) {
	names := w.t.o.Names
	p := w.packet
	p.Src, p.Dst, p.SrcPort, p.DstPort = r.Src, r.Dst, r.SrcPort, r.DstPort
	w.tell(&wire{
		Kind: "control", Protocol: r.Protocol, Record: kind(r.Kind), Sender: r.Sender.String(), Unsound: !r.Sound,
		IMSI: names.IMSI(r.IMSI), IMEI: names.IMEI(r.IMEI), ICCID: names.ICCID(r.ICCID), Number: w.t.number(r.Number), Recipient: w.t.number(r.Recipient), Detail: clean(r.Detail),
	}, &p)
}

// sweep closes intervals whose time has come and plays them in their order.
func (w *walker) sweep(now int64) {
	if now-w.swept < sweepEvery {
		return
	}
	w.swept = now
	w.media.Sweep(now)
	w.play(now - lag)
	w.streams.Advance(now - lag)
}

// play hands on the intervals that end by t.
func (w *walker) play(t int64) {
	slices.SortStableFunc(w.pending, func(a, b rtp.Interval) int { return a.Compare(&b) })
	n := 0
	for n < len(w.pending) && (w.pending[n].Close() <= t || len(w.pending)-n > maxPending) {
		w.streams.Interval(&w.pending[n])
		n++
	}
	w.pending = append(w.pending[:0], w.pending[n:]...)
}

func (w *walker) finish() {
	w.tcp.Flush(&w.packet, w.segment)
	w.media.Flush()
	w.play(math.MaxInt64)
	w.streams.Flush()
}

// StreamConfirmed is told by rtp.Streams.
func (w *walker) StreamConfirmed(s *rtp.Stream) { w.stream(s, "begins") }

// StreamEnded is told by rtp.Streams.
func (w *walker) StreamEnded(s *rtp.Stream) { w.stream(s, "ends") }

func (w *walker) stream(s *rtp.Stream, what string) {
	if !w.t.concerns(s.Flow.Src, s.Flow.Dst) {
		return
	}
	text := codecOf(s)
	if s.Readable {
		text = strings.TrimSpace(text + " ssrc " + hex32(s.SSRC))
	} else {
		text = "voice by shape"
		if s.Fax {
			text = "fax (T.38)"
		}
	}
	if what == "begins" {
		text += "  first packet " + clock(s.Start)[11:]
	} else {
		e := w.t.stream(s)
		text += fmt.Sprintf("  last packet %s  %d packets  %d lost  jitter %.1f ms", clock(s.End)[11:], s.Packets, s.Lost, e.JitterMS)
	}
	known := w.known // the packet at work is another's
	w.tell(&wire{Kind: "stream", What: what, Stream: text, Src: socket(s.Flow.Src, s.Flow.SrcPort), Dst: socket(s.Flow.Dst, s.Flow.DstPort), Transport: "udp"}, nil)
	w.known = known
}

func hex32(v uint32) string { return fmt.Sprintf("%08x", v) }

// tenth rounds to one decimal.
func tenth(v float64) float64 { return math.Round(v*10) / 10 }

// hundredth rounds to two decimals.
func hundredth(v float64) float64 { return math.Round(v*100) / 100 }
