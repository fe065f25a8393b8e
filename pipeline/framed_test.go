package pipeline

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
)

// sent is one packet of a conversation between the line and a far end.
type sent struct {
	t      int64
	flow   int
	up     bool
	kind   content
	number uint32 // of RTP's sequence, of TCP's octets
	source uint32 // of RTP
	size   int
}

type content uint8

const (
	sealedBytes content = iota // random, as a tunnel's
	rtpBytes
	quicBytes // a long header, as a connection begins
	tlsBytes
	tableBytes // a distributed table's question or answer
	noiseBytes // random in the upper bits, and never as a table's
	stunBytes
	synBytes    // opens a connection of TCP, and sends nothing
	synAckBytes // answers it
)

type sockets struct {
	far               [4]byte
	nearPort, farPort uint16
	tcp               bool
}

// honestLine is a line of which packets are made one by one.
type honestLine struct {
	flows []sockets
	all   []sent
	rnd   *rand.Rand
	noise int
	next  int
	seq   uint64
}

const honestFrom = int64(1_700_000_000_000_000_000)

func newHonest() *honestLine { return &honestLine{rnd: rand.New(rand.NewPCG(5, 6))} }

func (l *honestLine) flow(b sockets) int {
	l.flows = append(l.flows, b)
	return len(l.flows) - 1
}

func (l *honestLine) send(list ...sent) { l.all = append(l.all, list...) }

// Next implements capture.Source.
func (l *honestLine) Next(context.Context) (*capture.Batch, error) {
	if l.next == len(l.all) {
		return nil, io.EOF
	}
	part := l.all[l.next:min(l.next+512, len(l.all))]
	l.next += len(part)
	var block []byte
	var frames []capture.Frame
	for i := range part {
		from := len(block)
		block = append(block, l.frame(&part[i])...)
		n := uint32(len(block) - from)
		frames = append(frames, capture.Frame{Time: part[i].t, Off: uint32(from), Len: n, Wire: n, Link: capture.LinkEthernet})
	}
	b := capture.NewBatch(block, func(*capture.Batch) {})
	b.Frames, b.Source, b.Seq = frames, 1, l.seq
	l.seq += uint64(len(part))
	return b, nil
}

// Close implements capture.Source.
func (l *honestLine) Close() error { return nil }

func (l *honestLine) payload(s *sent) []byte {
	b := make([]byte, s.size)
	for i := range b {
		b[i] = byte(l.rnd.Uint32())
	}
	switch s.kind {
	case sealedBytes:
		b[0] = 0x40 | b[0]&0x3f
	case rtpBytes:
		b[0], b[1] = 0x80, 0
		binary.BigEndian.PutUint16(b[2:], uint16(s.number))
		binary.BigEndian.PutUint32(b[4:], s.number*160)
		binary.BigEndian.PutUint32(b[8:], s.source)
	case quicBytes:
		copy(b, []byte{0xc0 | b[0]&0x0f, 0, 0, 0, 1, 8})
	case tlsBytes:
		copy(b, []byte{23, 3, 3, byte((s.size - 5) >> 8), byte(s.size - 5)})
	case tableBytes:
		copy(b, "d1:ad2:id20:")
	case stunBytes:
		copy(b, []byte{1, 1, 0, byte(s.size - 20), 0x21, 0x12, 0xa4, 0x42})
	case noiseBytes:
		l.noise++
		for i := range b[:8] {
			tops := slices.DeleteFunc([]byte{0, 0x40, 0x80, 0xc0}, func(b byte) bool { return b == "d1:ad2:i"[i]&0xc0 })
			b[i] = b[i]&0x3f | tops[(l.noise+i)%3]
		}
	}
	return b
}

func (l *honestLine) frame(s *sent) []byte {
	f := &l.flows[s.flow]
	src, dst, from, to, hops := f.far, [4]byte{203, 0, 113, 7}, f.farPort, f.nearPort, byte(60)
	if s.up {
		src, dst, from, to, hops = dst, src, to, from, 63
	}
	var ports [20]byte
	binary.BigEndian.PutUint16(ports[:], from)
	binary.BigEndian.PutUint16(ports[2:], to)
	head, proto := ports[:8], byte(17)
	if f.tcp {
		head, proto = ports[:20], 6
		binary.BigEndian.PutUint32(ports[4:], s.number)
		ports[12], ports[13] = 0x50, 0x18
		switch s.kind {
		case synBytes:
			ports[13] = 0x02
		case synAckBytes:
			ports[13] = 0x12
		}
	} else {
		binary.BigEndian.PutUint16(ports[4:], uint16(8+s.size))
	}
	b := make([]byte, 34, 34+len(head)+s.size)
	b[12] = 8
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, hops, proto
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(head)+s.size))
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	return append(append(b, head...), l.payload(s)...)
}

// hotline is an office that is called alone and plays an announcement before it
// answers: SRTP to its provider, SIP over TLS.
func (l *honestLine) hotline() {
	signalling := l.flow(sockets{far: [4]byte{210, 0, 0, 2}, nearPort: 55555, farPort: 5061, tcp: true})
	l.opens(signalling, honestFrom-60e9, true)
	octets := uint32(0)
	say := func(t int64) {
		l.send(sent{t: t, flow: signalling, up: true, kind: tlsBytes, size: 600, number: octets}, sent{t: t + 30e6, flow: signalling, kind: tlsBytes, size: 500, number: octets})
		octets += 600
	}
	busy := make([]int64, 12)
	at := honestFrom
	for i := range 80 {
		at += 4.5e9 + l.rnd.Int64N(9e9)
		free := slices.IndexFunc(busy, func(until int64) bool { return until < at })
		if free < 0 {
			continue
		}
		f := l.flow(sockets{far: [4]byte{210, 0, 0, byte(3 + i%2)}, nearPort: 16384 + uint16(i*7919%8000)*2, farPort: 20000 + 2*uint16(i)})
		n, lead := int64(50*(46+l.rnd.IntN(160))), 6e9+l.rnd.Int64N(6e9)
		up, down := l.rnd.Uint32(), l.rnd.Uint32()
		for k := range n {
			t := at + k*20e6 + l.rnd.Int64N(1e6)
			l.send(sent{t: t, flow: f, up: true, kind: rtpBytes, number: uint32(k), source: up, size: 182})
			if k*20e6 >= lead {
				l.send(sent{t: t + 5e6, flow: f, kind: rtpBytes, number: uint32(k), source: down, size: 182})
			}
		}
		busy[free] = at + n*20e6
		say(at - 100e6)
		say(busy[free] + 50e6)
	}
}

// inOneFlow sends calls, call after call on so many channels, whose callee's side
// sounds first, in one flow for so long.
func (l *honestLine) inOneFlow(f, channels int, long int64) {
	for c := range channels {
		for at := honestFrom + 1e9 + int64(c)*7e9; at < honestFrom+long; {
			n, rings := int64(50*(50+l.rnd.IntN(60))), int64(50*(8+l.rnd.IntN(10)))
			start := at - at%20e6 + l.rnd.Int64N(20e6)
			for k := range n {
				l.send(sent{t: start + k*20e6 + l.rnd.Int64N(1e6), flow: f, up: true, size: 208})
				if k > rings {
					l.send(sent{t: start + k*20e6 + 4e6 + l.rnd.Int64N(1e6), flow: f, size: 208})
				}
			}
			at += n*20e6 + 5e9 + l.rnd.Int64N(10e9)
		}
	}
}

// page is a page in a visitor's browser that sends datagrams of its own (WebTransport)
// as calls would be sent, each a session, and many more in one session; and asks its
// server something at each end.
func (l *honestLine) page() {
	asks := l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: 55555, farPort: 443, tcp: true})
	opens := func(t int64, port, far uint16) int {
		f := l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: port, farPort: far})
		l.send(sent{t: t, flow: f, up: true, kind: quicBytes, size: 1200}, sent{t: t + 30e6, flow: f, kind: quicBytes, size: 1200})
		return f
	}
	at := honestFrom
	for i := range 60 {
		at += 13e9 + l.rnd.Int64N(6e9)
		f := opens(at, 50000+uint16(i*7919%5000), 20000)
		n := int64(50 * (70 + l.rnd.IntN(40)))
		for k := range n {
			t := at + 100e6 + k*20e6 + l.rnd.Int64N(1e6)
			l.send(sent{t: t, flow: f, up: true, size: 200})
			if k > 200 {
				l.send(sent{t: t + 4e6, flow: f, size: 200})
			}
		}
		t, octets := at+n*20e6+200e6, uint32(100*i)
		l.send(sent{t: t, flow: asks, up: true, kind: tlsBytes, size: 100, number: octets}, sent{t: t + 30e6, flow: asks, kind: tlsBytes, size: 200, number: octets})
	}
	l.inOneFlow(opens(honestFrom, 49999, 20001), 8, at-honestFrom)
}

// asked is a home with a peer of a distributed table, and perhaps with a service that
// sends back what it is sent, of which a stranger makes what looks like calls, each
// ended by what looks like signalling under a cipher.
func (l *honestLine) asked(echo bool) {
	talk := l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: 40001, farPort: 30000})
	for i := range int64(60) {
		from := (honestFrom+i*14e9)/2e9*2e9 + 10e6 // media end with an interval
		f := l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: 40000, farPort: 20000 + uint16(i%16)*2})
		n := int64(50*80) + 100*l.rnd.Int64N(10)
		end := from + n*20e6
		a, b := l.rnd.Uint32(), l.rnd.Uint32()
		for k := range n {
			t := from + k*20e6
			answer := t + 31e6 + l.rnd.Int64N(1.5e6)
			if !echo {
				// Requests that are too large for voice at first: the answers are led.
				size := 92
				if k < 300 {
					size = 400
				}
				l.send(sent{t: t, flow: f, kind: tableBytes, size: size}, sent{t: answer, flow: f, up: true, kind: tableBytes, size: 120})
				continue
			}
			if k < 200 { // of other sources, that end behind the tap
				l.send(sent{t: t + 3e6, flow: f, kind: rtpBytes, number: uint32(9 * k), source: uint32(k), size: 172}, sent{t: t + 7e6, flow: f, kind: rtpBytes, number: uint32(9 * k), source: uint32(k) + 1000, size: 172})
			}
			l.send(sent{t: t, flow: f, kind: rtpBytes, number: uint32(k), source: a, size: 172}, sent{t: answer, flow: f, up: true, kind: rtpBytes, number: uint32(k), source: a, size: 172})
		}
		if echo {
			for k := range int64(50) {
				l.send(sent{t: end + k*20e6, flow: f, kind: rtpBytes, number: uint32(k), source: b, size: 172})
			}
			end += 50 * 20e6
		}
		l.send(sent{t: end + 20e6, flow: talk, kind: tableBytes, size: 200 + l.rnd.IntN(150)}, sent{t: end + 50e6, flow: talk, up: true, kind: tableBytes, size: 280 + l.rnd.IntN(3)})
		for k := range int64(3) {
			l.send(sent{t: end + 60e6 + k*1e6, flow: talk, kind: noiseBytes, size: 200 + l.rnd.IntN(900)})
		}
	}
}

// echoes is a home with a service that sends back what it is sent. A stranger has it
// send voice under one source, and sends another of his own that ends behind the tap,
// when the first is over, or all the time; drowned also hides what is sent back among
// other packets on its way there, so that no stream of it is seen. Of conversations
// that begin so, many are up at once.
func (l *honestLine) echoes(drowned bool) {
	// Too short to be a call, but the tap knows of lines by it.
	short := l.flow(sockets{far: [4]byte{210, 0, 0, 9}, nearPort: 53001, farPort: 5006})
	for k := range int64(75) {
		t := honestFrom - 80e9 + k*20e6
		l.send(sent{t: t, flow: short, up: true, kind: rtpBytes, number: uint32(k), source: 1, size: 172}, sent{t: t + 5e6, flow: short, kind: rtpBytes, number: uint32(k), source: 2, size: 172})
	}
	for i := range int64(12) {
		f := l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: 40000, farPort: 20000 + uint16(i)*2})
		from := honestFrom + i*3e9
		a, b := l.rnd.Uint32(), l.rnd.Uint32()
		const n, last = 50 * 40, 50 * 6
		for k := range int64(n + last) {
			t := from + k*20e6
			if k < n || drowned && k%50 == 0 {
				l.send(sent{t: t, flow: f, kind: rtpBytes, number: uint32(k), source: a, size: 172}, sent{t: t + 31e6, flow: f, up: true, kind: rtpBytes, number: uint32(k), source: a, size: 172})
			}
			for x := range int64(2) {
				if drowned && k < n {
					l.send(sent{t: t + 3e6 + x*4e6, flow: f, kind: rtpBytes, number: uint32(9 * k), source: uint32(2*k + x), size: 60 + l.rnd.IntN(280)})
				}
			}
			if k >= n {
				l.send(sent{t: t + 9e6, flow: f, kind: rtpBytes, number: uint32(k), source: b, size: 172})
			}
		}
	}
}

// conference is a page that opens flows of media as browsers do, and has telephones'
// streams in them.
func (l *honestLine) conference() {
	for i := range int64(12) {
		f := l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: 40000 + uint16(i), farPort: 20000})
		from := honestFrom + i*3e9
		l.send(sent{t: from, flow: f, up: true, kind: stunBytes, size: 28}, sent{t: from + 30e6, flow: f, kind: stunBytes, size: 32})
		l.call(f, from+1e9)
	}
}

// calls are of a telephone whose signalling goes another way.
func (l *honestLine) calls() {
	for i := range int64(12) {
		l.call(l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: 40000 + uint16(i), farPort: 20000}), honestFrom+i*3e9)
	}
}

func (l *honestLine) call(f int, from int64) {
	up, down := l.rnd.Uint32(), l.rnd.Uint32()
	for k := range int64(50 * 40) {
		l.send(sent{t: from + k*20e6, flow: f, up: true, kind: rtpBytes, number: uint32(k), source: up, size: 172})
		if k > 100 {
			l.send(sent{t: from + k*20e6 + 5e6, flow: f, kind: rtpBytes, number: uint32(k), source: down, size: 172})
		}
	}
}

// opens opens a connection of TCP.
func (l *honestLine) opens(f int, t int64, up bool) {
	l.send(sent{t: t, flow: f, up: up, kind: synBytes}, sent{t: t + 30e6, flow: f, up: !up, kind: synAckBytes})
}

// TestInStep: exchanges under TLS are signalling when they keep step with calls in a
// connection that the line was seen to open; not in one that a stranger opened to it,
// from the port of signalling at that, nor where nobody knows who did.
func TestInStep(t *testing.T) {
	for name, tt := range map[string]struct {
		opened, line, want bool
	}{
		"the line's":   {true, true, true},
		"a stranger's": {true, false, false},
		"open before":  {false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHonest()
			asks := l.flow(sockets{far: [4]byte{210, 0, 0, 2}, nearPort: 8443, farPort: 5061, tcp: true})
			if tt.opened {
				l.opens(asks, honestFrom-60e9, tt.line)
			}
			l.send(sent{t: honestFrom - 59e9, flow: asks, kind: tlsBytes, size: 100})
			for i := range int64(20) {
				f := l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: 40000 + uint16(i), farPort: 20000})
				from := honestFrom + i*47e9
				l.call(f, from)
				end, octets := from+50*40*20e6, uint32(100*(i+1))
				l.send(sent{t: end, flow: asks, kind: tlsBytes, size: 100, number: octets}, sent{t: end + 30e6, flow: asks, up: true, kind: tlsBytes, size: 100, number: octets})
			}
			f := l.judged(t)
			if got := slices.ContainsFunc(f.Signals, func(w heuristics.Row) bool { return w.ID == "unread-signalling" }); got != tt.want {
				t.Errorf("in step %v", got)
			}
		})
	}
}

// TestOwnCalls: only calls that the line itself speaks in count as its calls, and
// only whom it calls so is named among its far ends.
func TestOwnCalls(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(*honestLine)
		own  bool
	}{
		"calls":               {(*honestLine).calls, true},
		"a page's streams":    {(*honestLine).conference, false},
		"an echo":             {func(l *honestLine) { l.echoes(false) }, false},
		"an echo that drowns": {func(l *honestLine) { l.echoes(true) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHonest()
			tt.make(l)
			f := l.judged(t)
			counted := slices.ContainsFunc(f.Signals, func(w heuristics.Row) bool { return strings.HasPrefix(w.ID, "talk-") })
			if counted != tt.own || len(f.Controllers) > 0 != tt.own {
				t.Errorf("counted %v, far ends %v, %d streams", counted, f.Controllers, f.Calls.Streams)
			}
			if f.Calls.Streams == 0 {
				t.Error("no stream: the test measures nothing")
			}
		})
	}
}

type everywhere heuristics.Place

func (p everywhere) Of(ident.Addr) heuristics.Place { return heuristics.Place(p) }

// TestNobodyIsFramed: lines that hold no box stay below watch, whatever strangers send
// to them, what pages send from them, and where their honest calls lead: in each of
// these a review found them at watch or above. Their far ends are servers for hire
// abroad, which is where a box's are.
func TestNobodyIsFramed(t *testing.T) {
	for name, make := range map[string]func(*honestLine){
		"a hotline": (*honestLine).hotline,
		"a hotline in a tunnel": func(l *honestLine) {
			l.inOneFlow(l.flow(sockets{far: [4]byte{210, 0, 0, 1}, nearPort: 51820, farPort: 51820}), 8, 1200e9)
		},
		"a page":                      (*honestLine).page,
		"a stranger, a table's peer":  func(l *honestLine) { l.asked(false) },
		"a stranger, an echo service": func(l *honestLine) { l.asked(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHonest()
			make(l)
			f := l.judged(t)
			t.Logf("%v, score %.2f, margin %.2f to %s, %d streams, %d channels", f.Verdict, f.Score, f.Margin, f.Nearest, f.Calls.Streams, f.Device.Channels)
			if f.Verdict > heuristics.None {
				t.Errorf("%v: score %.2f, margin %.2f", f.Verdict, f.Score, f.Margin)
			}
			// All but the page, whose flows count for nothing, have calls to go by.
			if name != "a page" && max(f.Calls.Streams, f.Device.Channels) == 0 {
				t.Error("nothing was counted: the test measures nothing")
			}
		})
	}
}

// judged gives what is found of the line.
func (l *honestLine) judged(t *testing.T) *heuristics.Finding {
	t.Helper()
	// The tap has seen somebody else before.
	other := l.flow(sockets{far: [4]byte{210, 0, 0, 9}, nearPort: 53001, farPort: 5004})
	l.send(sent{t: honestFrom - 90e9, flow: other, up: true, size: 172})
	slices.SortStableFunc(l.all, func(a, b sent) int { return cmp.Compare(a.t, b.t) })
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := Run(t.Context(), l, Config{Homes: homes, Workers: 1, Places: everywhere{Known: true, Country: "XX", Foreign: true, Hosting: true}})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Findings) != 1 {
		t.Fatalf("%d lines: the test measures nothing", len(result.Findings))
	}
	return &result.Findings[0]
}
