package packet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"simtrap/ident"
)

func sipLike(b []byte) bool {
	return bytes.HasPrefix(b, []byte("SIP")) || bytes.HasPrefix(b, []byte("INV"))
}

// segment4 is a segment from port of the first host to the second's 5060, or
// back when dir is 1.
func segment4(at int64, dir int, port uint16, seq uint32, flags uint8, payload string) *Packet {
	p := &Packet{
		Time: at, Src: addr(inner4Src), Dst: addr(inner4Dst), SrcPort: port, DstPort: 5060,
		Proto: TCP, TCPSeq: seq, Flags: flags, Length: uint32(len(payload)), Payload: []byte(payload),
	}
	if dir == 1 {
		p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	}
	return p
}

// check tests what must hold for a Streams at any time.
func (s *Streams) check(t interface{ Fatalf(string, ...any) }) {
	held, live, waiting := 0, 0, 0
	for st := s.recent; st != nil; st = st.older {
		live++
		for i := range st.halves {
			h := &st.halves[i]
			bytes := 0
			at := h.next
			for _, g := range h.held {
				if int32(g.seq-at) < 0 || len(h.held) > 0 && h.held[0].seq == h.next || g.length < uint32(len(g.data)) || g.length == 0 || g.length > maxWire {
					t.Fatalf("held segments are out of order")
				}
				at = g.seq + g.length
				bytes += len(g.data) + pieceCost
			}
			if bytes != h.bytes || bytes > s.cfg.Held || h.waiting != (len(h.held) > 0) {
				t.Fatalf("%d bytes held, reckoned %d; waiting %v", bytes, h.bytes, h.waiting)
			}
			held += bytes
		}
		if got, dir := s.find(&Packet{Src: st.src, Dst: st.dst, SrcPort: st.srcPort, DstPort: st.dstPort, Realm: st.realm}, st.hash); got != st || dir != 0 {
			t.Fatalf("stream %d is not in the table", st.ID)
		}
		if st.older == nil && s.stale != st {
			t.Fatalf("list by use is broken")
		}
	}
	for h := s.first; h != nil; h = h.succ {
		waiting++
		if !h.waiting || h.succ == nil && s.last != h {
			t.Fatalf("list of waiting is broken")
		}
	}
	used := 0
	for _, slot := range s.slots {
		if slot.stream != 0 {
			used++
		}
	}
	n := 0
	for st := s.recent; st != nil; st = st.older {
		for i := range st.halves {
			if st.halves[i].waiting {
				n++
			}
		}
	}
	if held != s.held || held > s.cfg.Total || live != s.live || live > s.cfg.Streams || used != live || n != waiting || 2*used > len(s.slots) {
		t.Fatalf("%d held, reckoned %d; %d live, reckoned %d, %d slots used; %d waiting, %d listed", held, s.held, live, s.live, used, n, waiting)
	}
}

// script feeds segments and writes what comes out as "dir:payload" with the
// gap before it in brackets.
func script(t *testing.T, s *Streams, segments ...*Packet) (out []string) {
	t.Helper()
	for i, p := range segments {
		p.Seq = uint64(i)
		s.Feed(p, func(st *Stream, q *Packet, gap uint32) {
			if q.Time != p.Time || q.Seq != p.Seq {
				t.Errorf("piece of time %d and number %d while feeding %d and %d", q.Time, q.Seq, p.Time, p.Seq)
			}
			if up := q.DstPort == 5060; up != (st.Dir == 0) {
				t.Errorf("direction %d from port %d", st.Dir, q.SrcPort)
			}
			g := ""
			if gap > 0 {
				g = fmt.Sprintf("[%d]", gap)
			}
			out = append(out, fmt.Sprintf("%d:%s%s", st.Dir, g, q.Payload))
		})
		s.check(t)
	}
	return out
}

func TestStreamsRules(t *testing.T) {
	up := func(seq uint32, payload string) *Packet { return segment4(0, 0, 4000, seq, ACK, payload) }
	down := func(seq uint32, payload string) *Packet { return segment4(0, 1, 4000, seq, ACK, payload) }
	at := func(t int64, p *Packet) *Packet { p.Time = t; return p }
	flags := func(f uint8, p *Packet) *Packet { p.Flags = f; return p }
	acking := func(ack uint32, p *Packet) *Packet { p.TCPAck = ack; return p }
	cut := func(n uint32, p *Packet) *Packet { p.Length += n; return p }
	tests := []struct {
		name     string
		segments []*Packet
		want     []string
		counted  map[Reason]uint64
		live     int
	}{
		{"of no interest", []*Packet{up(1, "GET /"), up(6, "INV"), down(1, "")}, []string{"0:INV"}, nil, 1},
		{"in order", []*Packet{up(1, "INVa"), up(5, "b"), up(6, ""), up(6, "c")}, []string{"0:INVa", "0:b", "0:c"}, nil, 1},
		{"both directions", []*Packet{up(1, "INVa"), down(100, "x"), up(5, "b"), down(101, "y")}, []string{"0:INVa", "1:x", "0:b", "1:y"}, nil, 1},
		{"gap closes", []*Packet{up(1, "INVa"), up(6, "c"), up(5, "b")}, []string{"0:INVa", "0:b", "0:c"}, map[Reason]uint64{SegmentHeld: 1}, 1},
		{"two gaps close", []*Packet{up(1, "INVa"), up(8, "e"), up(6, "c"), up(5, "b"), up(7, "d")}, []string{"0:INVa", "0:b", "0:c", "0:d", "0:e"}, map[Reason]uint64{SegmentHeld: 2}, 1},
		{"gap closes with overlap", []*Packet{up(1, "INVa"), up(6, "cd"), up(5, "bXXe")}, []string{"0:INVa", "0:bXXe"}, map[Reason]uint64{SegmentHeld: 1}, 1},
		{"held parts, first copy counts", []*Packet{up(1, "INVa"), up(7, "d"), up(6, "cXe"), up(6, "YYY"), up(5, "b")}, []string{"0:INVa", "0:b", "0:c", "0:d", "0:e"},
			map[Reason]uint64{SegmentHeld: 2, SegmentRetransmitted: 1}, 1},
		{"retransmitted", []*Packet{up(1, "INVa"), up(5, "b"), up(1, "INVa"), up(4, "aXc")}, []string{"0:INVa", "0:b", "0:c"}, map[Reason]uint64{SegmentRetransmitted: 1}, 1},
		{"time limit", []*Packet{up(1, "INVa"), up(7, "c"), at(4*second, up(8, "d")), at(5*second, up(9, "e"))}, []string{"0:INVa", "0:[2]c", "0:d", "0:e"},
			map[Reason]uint64{SegmentHeld: 2, GapTimeout: 1}, 1},
		{"time limit found by a stranger", []*Packet{up(1, "INVa"), up(7, "c"), segment4(6*second, 0, 1234, 1, ACK, "")}, []string{"0:INVa", "0:[2]c"}, map[Reason]uint64{SegmentHeld: 1, GapTimeout: 1}, 1},
		{"each gap has its own time", []*Packet{up(1, "INVa"), up(7, "c"), up(9, "e"), at(5*second, up(20, "")), at(9*second, up(20, "")), at(10*second, up(20, ""))},
			[]string{"0:INVa", "0:[2]c", "0:[1]e"}, map[Reason]uint64{SegmentHeld: 2, GapTimeout: 2}, 1},
		{"late after the gap", []*Packet{up(1, "INVa"), up(7, "c"), at(5*second, up(5, "bb"))}, []string{"0:INVa", "0:[2]c"}, map[Reason]uint64{SegmentHeld: 1, GapTimeout: 1, SegmentRetransmitted: 1}, 1},
		{"wrap", []*Packet{up(0xfffffffd, "INVa"), up(2, "c"), up(1, "b")}, []string{"0:INVa", "0:b", "0:c"}, map[Reason]uint64{SegmentHeld: 1}, 1},
		{"snapped", []*Packet{cut(4, up(1, "INV")), up(8, "b"), up(9, "c")}, []string{"0:INV", "0:[4]b", "0:c"}, map[Reason]uint64{SegmentCut: 1}, 1},
		{"snapped to nothing", []*Packet{up(1, "INV"), cut(4, up(4, "")), up(8, "b")}, []string{"0:INV", "0:[4]b"}, map[Reason]uint64{SegmentCut: 1}, 1},
		{"snapped and held", []*Packet{up(1, "INV"), cut(4, up(5, "b")), up(10, "d"), up(4, "a")}, []string{"0:INV", "0:a", "0:b", "0:[4]d"}, map[Reason]uint64{SegmentHeld: 2, SegmentCut: 1}, 1},
		{"snapped and trimmed", []*Packet{up(1, "INVITE"), cut(4, up(4, "ITE")), up(11, "d")}, []string{"0:INVITE", "0:[4]d"}, map[Reason]uint64{SegmentCut: 1}, 1},
		{"keepalive", []*Packet{up(1, "INV"), up(3, "V"), up(3, ""), up(4, "b")}, []string{"0:INV", "0:b"}, map[Reason]uint64{SegmentKeepalive: 1}, 1},
		{"keepalive of the other side", []*Packet{acking(100, up(1, "INV")), down(99, "\x00"), down(100, "x")}, []string{"0:INV", "1:x"}, map[Reason]uint64{SegmentKeepalive: 1}, 1},
		{"data on the SYN", []*Packet{flags(SYN, up(1, "INV")), up(5, "b"), flags(SYN|ACK, down(9, "")), down(11, "y"), down(10, "x")}, []string{"0:INV", "0:b", "1:x", "1:y"}, map[Reason]uint64{SegmentHeld: 1}, 1},
		{"SYN repeated", []*Packet{flags(SYN, up(1, "INV")), flags(SYN, up(1, "INV")), up(5, "b")}, []string{"0:INV", "0:b"}, map[Reason]uint64{SegmentRetransmitted: 1}, 1},
		{"both end", []*Packet{up(1, "INV"), down(9, "x"), flags(FIN|ACK, up(4, "b")), flags(FIN|ACK, down(10, ""))}, []string{"0:INV", "1:x", "0:b"}, nil, 0},
		{"the silent side ends", []*Packet{acking(9, up(1, "INV")), flags(FIN|ACK, down(9, "")), flags(FIN|ACK, up(4, ""))}, []string{"0:INV"}, nil, 0},
		{"one ends", []*Packet{up(1, "INV"), flags(FIN|ACK, up(4, "")), down(9, "x"), up(5, "b"), up(1, "INV")}, []string{"0:INV", "1:x"}, map[Reason]uint64{SegmentAfterEnd: 1, SegmentRetransmitted: 1}, 1},
		{"end out of order", []*Packet{up(1, "INV"), down(9, "x"), flags(FIN|ACK, down(10, "")), flags(FIN|ACK, up(5, "c")), up(4, "b")}, []string{"0:INV", "1:x", "0:b", "0:c"}, map[Reason]uint64{SegmentHeld: 1}, 0},
		{"end behind a skipped gap", []*Packet{up(1, "INV"), down(9, "x"), flags(FIN|ACK, down(10, "")), flags(FIN|ACK, up(5, "c")), segment4(5*second, 0, 1, 1, 0, "")}, []string{"0:INV", "1:x", "0:[1]c"},
			map[Reason]uint64{SegmentHeld: 1, GapTimeout: 1}, 0},
		{"reset", []*Packet{up(1, "INV"), up(5, "c"), flags(RST, up(4, ""))}, []string{"0:INV", "0:[1]c"}, map[Reason]uint64{SegmentHeld: 1, GapEnd: 1}, 0},
		{"reset of the other side", []*Packet{acking(9, up(1, "INV")), flags(RST, down(9, ""))}, []string{"0:INV"}, nil, 0},
		{"resets out of the window", []*Packet{acking(9, up(1, "INV")), flags(RST, up(3, "")), flags(RST, up(4+farAway, "")), flags(RST, down(8, "z")), up(4, "b")}, []string{"0:INV", "0:b"}, nil, 1},
		{"reset that interests", []*Packet{flags(RST, up(1, "INV"))}, nil, nil, 0},
		{"ports used anew", []*Packet{up(1, "INV"), up(9, "z"), flags(SYN, up(5000, "")), up(5001, "INVb"), up(5005, "c")}, []string{"0:INV", "0:[5]z", "0:INVb", "0:c"}, map[Reason]uint64{SegmentHeld: 1, GapEnd: 1}, 1},
		{"far and of no interest", []*Packet{up(1, "INV"), up(1<<30, "z"), up(4, "b")}, []string{"0:INV", "0:b"}, map[Reason]uint64{SegmentFar: 1}, 1},
		{"far behind", []*Packet{up(1<<22, "INV"), up(1, "z"), up(1, "INVb"), up(5, "c")}, []string{"0:INV", "0:[4290772990]INVb", "0:c"},
			map[Reason]uint64{SegmentFar: 1, StreamRestarted: 1}, 1},
		{"far behind the end", []*Packet{up(1, "INV"), flags(FIN|ACK, up(4, "")), up(4+1<<22, "INVb"), up(8+1<<22, "c")}, []string{"0:INV", "0:[4194304]INVb", "0:c"},
			map[Reason]uint64{StreamRestarted: 1}, 1},
		{"end that is behind", []*Packet{up(1, "INV"), flags(FIN|ACK, up(2, "")), up(4, "b")}, []string{"0:INV", "0:b"}, nil, 1},
		{"ports used anew close by", []*Packet{up(1, "INV"), flags(FIN|ACK, up(4, "")), flags(SYN, up(1, "")), up(2, "INVb")}, []string{"0:INV", "0:INVb"}, nil, 1},
		{"far ahead", []*Packet{up(1, "INV"), up(6, "z"), up(4+1<<22, "INVb"), up(8+1<<22, "c")}, []string{"0:INV", "0:[2]z", "0:[4194301]INVb", "0:c"},
			map[Reason]uint64{SegmentHeld: 1, GapEnd: 1, StreamRestarted: 1}, 1},
		{"idle", []*Packet{up(1, "INV"), segment4(599*second, 0, 1, 1, 0, ""), segment4(600*second, 0, 1, 1, 0, "")}, []string{"0:INV"}, map[Reason]uint64{StreamIdle: 1}, 0},
		{"not idle", []*Packet{up(1, "INV"), at(599*second, down(1, "")), segment4(600*second, 0, 1, 1, 0, ""), segment4(1198*second, 0, 1, 1, 0, "")}, []string{"0:INV"}, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewStreams(StreamConfig{}, sipLike)
			got := script(t, s, tt.segments...)
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			var want Counters
			for r, n := range tt.counted {
				want[r] = n
			}
			if s.Counters != want || s.Len() != tt.live {
				t.Errorf("counters %v, want %v; %d live, want %d", named(&s.Counters), named(&want), s.Len(), tt.live)
			}
		})
	}
}

func TestStreamsKeepApart(t *testing.T) {
	s := NewStreams(StreamConfig{}, sipLike)
	a, b := segment4(0, 0, 4000, 1, ACK, "INVa"), segment4(0, 0, 4000, 1, ACK, "INVb")
	b.Realm = 1
	c := segment4(0, 0, 4001, 1, ACK, "INVc")
	var ids []uint64
	for _, p := range []*Packet{a, b, c, a, b, c} {
		q := *p
		p.TCPSeq += 4
		s.Feed(&q, func(st *Stream, _ *Packet, _ uint32) { ids = append(ids, st.ID) })
	}
	if fmt.Sprint(ids) != "[1 2 3 1 2 3]" {
		t.Fatal(ids)
	}
	b.Realm = 2
	if st, _ := s.find(b, s.streams[1].hash); st != nil {
		t.Fatal("found in another realm")
	}
}

// A piece has the addresses, realm and access of its direction, whatever
// segment brought it about.
func TestPieceIsItsDirections(t *testing.T) {
	s := NewStreams(StreamConfig{}, sipLike)
	first := segment4(1, 0, 4000, 1, ACK, "INV")
	first.Realm, first.Access, first.TTL = 3, Access{VLAN: [2]uint16{7}, Session: 8}, 60
	late := *first
	late.TCPSeq, late.Payload, late.Length = 5, []byte("c"), 1
	s.Feed(first, func(*Stream, *Packet, uint32) {})
	s.Feed(&late, func(*Stream, *Packet, uint32) { t.Fatal("out of order") })
	other := segment4(9*second, 1, 4999, 77, ACK, "x")
	other.Source, other.Seq, other.TapPort = 5, 6, 7
	calls := 0
	s.Feed(other, func(st *Stream, p *Packet, gap uint32) {
		calls++
		if p.Src != first.Src || p.SrcPort != 4000 || p.Realm != 3 || p.Access != first.Access || p.TTL != 60 || p.TCPSeq != 5 || gap != 1 || p.Length != 1 || string(p.Payload) != "c" {
			t.Errorf("piece %+v", p)
		}
		if p.Time != other.Time || p.Source != 5 || p.Seq != 6 || p.TapPort != 7 {
			t.Errorf("time and number %+v", p)
		}
	})
	if calls != 1 {
		t.Fatal(calls)
	}
}

func TestStreamsCallersState(t *testing.T) {
	var dropped []any
	s := NewStreams(StreamConfig{Streams: 1, Dropped: func(st *Stream) { dropped = append(dropped, st.State[0]) }}, sipLike)
	feed := func(p *Packet) {
		s.Feed(p, func(st *Stream, p *Packet, _ uint32) {
			if st.State[st.Dir] == nil {
				st.State[st.Dir] = ""
			}
			st.State[st.Dir] = st.State[st.Dir].(string) + string(p.Payload)
		})
	}
	feed(segment4(0, 0, 4000, 1, ACK, "INV"))
	feed(segment4(0, 1, 4000, 1, ACK, "y"))
	feed(segment4(0, 0, 4000, 5, ACK, "z"))
	feed(segment4(0, 0, 4001, 1, ACK, "SIP"))
	s.Flush(segment4(1, 0, 0, 0, 0, ""), func(*Stream, *Packet, uint32) {})
	if fmt.Sprint(dropped) != "[INVz SIP]" || s.Counters[StreamTableFull] != 1 {
		t.Fatal(dropped, named(&s.Counters))
	}
}

// sent is one direction of a connection as segments.
func sent(t *rapid.T, r *rand.Rand, dir int, label string) (body []byte, first uint32, out []*Packet) {
	body = make([]byte, rapid.IntRange(4, 4000).Draw(t, label+" size"))
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	copy(body, "INV")
	first = rapid.SampledFrom([]uint32{0, 1, 0x7ffffff0, 0xfffffff0, 0xfffff800, 0xffffffff}).Draw(t, label+" sequence")
	for from := 0; from < len(body); {
		shortest := 1
		if from == 0 {
			shortest = 3 // enough to interest
		}
		to := min(len(body), from+rapid.IntRange(shortest, 400).Draw(t, label+" length"))
		back := min(from, rapid.IntRange(0, 100).Draw(t, label+" overlap"))
		for range rapid.IntRange(1, 2).Draw(t, label+" copies") {
			out = append(out, segment4(0, dir, 4000, first+uint32(from-back), ACK, string(body[from-back:to])))
		}
		from = to
	}
	return body, first, out
}

// Segments of both directions in any order, overlapping and repeated: the bytes
// come out as they went in. Where some never come, gaps say so exactly.
func TestStreamsAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "bytes"), 0))
		s := NewStreams(StreamConfig{Seed: rapid.Uint64().Draw(t, "seed")}, sipLike)
		var body, got [2][]byte
		var firsts [2]uint32
		var segments [2][]*Packet
		body[0], firsts[0], segments[0] = sent(t, r, 0, "up")
		body[1], firsts[1], segments[1] = sent(t, r, 1, "down")
		lossy := rapid.Bool().Draw(t, "lossy")
		// The first segment of a direction is where it is taken up.
		queue := append([]*Packet{segments[0][0], segments[1][0]},
			rapid.Permutation(append(segments[0][1:], segments[1][1:]...)).Draw(t, "order")...)
		if lossy {
			kept := queue[:2]
			for _, p := range queue[2:] {
				if r.IntN(4) > 0 {
					kept = append(kept, p)
				}
			}
			queue = kept
		}
		emit := func(st *Stream, p *Packet, gap uint32) {
			d := st.Dir
			if !lossy && gap > 0 {
				t.Fatalf("gap of %d", gap)
			}
			got[d] = append(got[d], make([]byte, gap)...)
			if p.TCPSeq != firsts[d]+uint32(len(got[d])) {
				t.Fatalf("piece at %d, want %d", p.TCPSeq, firsts[d]+uint32(len(got[d])))
			}
			got[d] = append(got[d], p.Payload...)
			if n := len(got[d]); n > len(body[d]) || !bytes.Equal(body[d][n-len(p.Payload):n], p.Payload) {
				t.Fatalf("other bytes at %d", n)
			}
		}
		for _, p := range queue {
			s.Feed(p, emit)
			s.check(t)
		}
		s.Flush(queue[len(queue)-1], emit)
		s.check(t)
		for d := range 2 {
			if !lossy && !bytes.Equal(got[d], body[d]) {
				t.Fatalf("direction %d differs", d)
			}
			if n := len(got[d]); lossy && n < len(segments[d][0].Payload) {
				t.Fatalf("direction %d ends at %d", d, n)
			}
		}
		if s.held != 0 || s.Len() != 0 {
			t.Fatalf("%d bytes and %d streams left", s.held, s.Len())
		}
	})
}

// Strangers hold gaps open and open connections without end.
func TestStreamsFlood(t *testing.T) {
	none := func(*Stream, *Packet, uint32) {}
	t.Run("connections", func(t *testing.T) {
		dropped := 0
		s := NewStreams(StreamConfig{Dropped: func(*Stream) { dropped++ }}, sipLike)
		for i := range 20000 {
			p := segment4(int64(i), 0, uint16(i), 1, ACK, "INV")
			p.Realm = ident.Realm(i / 10000)
			s.Feed(p, none)
		}
		s.check(t)
		if s.Len() != 4096 || dropped != 20000-4096 || s.Counters[StreamTableFull] != uint64(dropped) || len(s.slots) != 8192 || len(s.streams) != 4096 {
			t.Fatal(s.Len(), dropped, len(s.slots), named(&s.Counters))
		}
		if st, _ := s.find(segment4(0, 0, 20000-4096, 0, 0, ""), 0); st != nil {
			t.Fatal("found by a wrong hash")
		}
	})
	t.Run("least recently used goes", func(t *testing.T) {
		s := NewStreams(StreamConfig{Streams: 3}, sipLike)
		for _, port := range []uint16{1, 2, 3} {
			s.Feed(segment4(0, 0, port, 1, ACK, "INV"), none)
		}
		s.Feed(segment4(0, 0, 1, 4, ACK, ""), none)
		s.Feed(segment4(0, 0, 4, 1, ACK, "INV"), none)
		for port, want := range map[uint16]bool{1: true, 2: false, 3: true, 4: true} {
			p := segment4(0, 0, port, 1, 0, "")
			if st, _ := s.find(p, hashOf(p, 0)); (st != nil) != want {
				t.Errorf("stream %d: %v", port, st != nil)
			}
		}
	})
	t.Run("one buffer", func(t *testing.T) {
		s := NewStreams(StreamConfig{}, sipLike)
		got, gaps := 3, 0
		s.Feed(segment4(0, 0, 1, 1, ACK, "INV"), none)
		for i := range 200 {
			s.Feed(segment4(0, 0, 1, uint32(5+i*1000), ACK, string(fill(1000, 'x'))), func(_ *Stream, p *Packet, gap uint32) {
				got, gaps = got+len(p.Payload), gaps+int(gap)
			})
			s.check(t)
		}
		if got != 200003 || gaps != 1 || s.Counters[GapStreamFull] != 1 {
			t.Fatal(got, gaps, named(&s.Counters))
		}
	})
	t.Run("tiny segments", func(t *testing.T) {
		s := NewStreams(StreamConfig{}, sipLike)
		s.Feed(segment4(0, 0, 1, 1, ACK, "INV"), none)
		for i := range 3000 {
			s.Feed(segment4(0, 0, 1, uint32(5+i*2), ACK, "x"), none)
			s.check(t)
		}
		if most := 64 << 10 / (pieceCost + 1); len(s.recent.halves[0].held) > most {
			t.Fatal(len(s.recent.halves[0].held))
		}
		if s.Counters[GapStreamFull] < 1900 {
			t.Fatal(named(&s.Counters))
		}
	})
	t.Run("one segment that lies about many", func(t *testing.T) {
		s := NewStreams(StreamConfig{Held: 1000}, sipLike)
		s.Feed(segment4(0, 0, 1, 1, ACK, "INV"), none)
		for i := range 5 {
			s.Feed(segment4(0, 0, 1, uint32(6+i*4), ACK, "x"), none)
		}
		s.Feed(segment4(0, 0, 1, 5, ACK, string(fill(400, 'y'))), none)
		s.check(t)
	})
	t.Run("all buffers", func(t *testing.T) {
		s := NewStreams(StreamConfig{Total: 100 << 10}, sipLike)
		for port := range uint16(200) {
			s.Feed(segment4(0, 0, port, 1, ACK, "INV"), none)
			s.Feed(segment4(0, 1, port, 1, ACK, "INV"), none)
			for dir := range 2 {
				s.Feed(segment4(0, dir, port, 5, ACK, string(fill(1000, 'x'))), none)
				s.check(t)
			}
		}
		if s.Counters[GapMemoryFull] < 300 || s.Counters[GapMemoryFull]+uint64(s.held/1064) != 400 {
			t.Fatal(s.held, named(&s.Counters))
		}
	})
	t.Run("a stream that ends by losing its buffer", func(t *testing.T) {
		s := NewStreams(StreamConfig{Total: 200}, sipLike)
		script(t, s, segment4(0, 0, 1, 1, ACK, "INV"), segment4(0, 1, 1, 9, ACK, "x"), segment4(0, 1, 1, 10, FIN|ACK, ""),
			segment4(0, 0, 1, 5, FIN|ACK, "c"), segment4(0, 0, 1, 8, ACK, string(fill(100, 'x'))))
		if s.Len() != 0 || s.held != 0 || s.Counters[GapMemoryFull] != 1 || s.Counters[GapEnd] != 1 {
			t.Fatal(s.Len(), s.held, named(&s.Counters))
		}
	})
	t.Run("a stream that ends by losing its buffer to another", func(t *testing.T) {
		s := NewStreams(StreamConfig{Total: 200}, sipLike)
		script(t, s, segment4(0, 0, 1, 1, ACK, "INV"), segment4(0, 1, 1, 9, ACK, "x"), segment4(0, 1, 1, 10, FIN|ACK, ""),
			segment4(0, 0, 1, 5, FIN|ACK, "c"), segment4(0, 0, 2, 1, ACK, "INV"), segment4(0, 0, 2, 8, ACK, string(fill(100, 'x'))))
		if s.Len() != 1 || s.held != 164 {
			t.Fatal(s.Len(), s.held, named(&s.Counters))
		}
	})
	t.Run("beyond all buffers at once", func(t *testing.T) {
		for _, cfg := range []StreamConfig{{Held: 100}, {Total: 100}} {
			s := NewStreams(cfg, sipLike)
			got := script(t, s, segment4(0, 0, 1, 1, ACK, "INV"), segment4(0, 1, 1, 1, ACK, "SIP"), segment4(0, 1, 1, 5, ACK, "a"),
				segment4(0, 0, 1, 5, ACK, string(fill(100, 'x'))), segment4(0, 0, 1, 4, ACK, "y"))
			if got[len(got)-1] != "0:[1]"+string(fill(100, 'x')) {
				t.Fatal(got)
			}
		}
	})
}

// What is of no interest costs no allocation, with streams followed or none.
func TestForeignTCPAllocatesNothing(t *testing.T) {
	s := NewStreams(StreamConfig{}, sipLike)
	emit := func(*Stream, *Packet, uint32) {}
	p := segment4(0, 0, 4000, 1, ACK, "GET / HTTP/1.1")
	for range 2 {
		if n := testing.AllocsPerRun(100, func() { s.Feed(p, emit) }); n != 0 {
			t.Error(n)
		}
		s.Feed(segment4(0, 0, 4001, 1, ACK, "INV"), emit)
	}
	q := segment4(0, 0, 4001, 4, ACK, "abc")
	if n := testing.AllocsPerRun(100, func() { s.Feed(q, emit); q.TCPSeq += 3 }); n != 0 {
		t.Error("in order:", n)
	}
}

func BenchmarkForeignTCP(b *testing.B) {
	for _, streams := range []int{0, 1000} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			s := NewStreams(StreamConfig{}, sipLike)
			emit := func(*Stream, *Packet, uint32) {}
			for port := range streams {
				s.Feed(segment4(0, 0, uint16(port), 1, ACK, "INV"), emit)
			}
			p := segment4(0, 0, 4000, 1, ACK, "GET / HTTP/1.1")
			for b.Loop() {
				p.SrcPort = p.SrcPort + 1 | 0x8000
				s.Feed(p, emit)
			}
		})
	}
}

func FuzzStreams(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 0, 1, 0, 3, 0x10, 0, 0, 3, 0x40, 4, 0, 3})
	f.Add([]byte{0, 0, 0, 3, 0, 4, 0, 3, 0, 2, 0, 3, 0xc0, 5, 1, 3})
	f.Add([]byte{0, 0xff, 0xff, 0x13, 0, 0, 0, 3, 1, 1, 1, 3, 1, 9, 3, 3})
	f.Fuzz(func(t *testing.T, script []byte) {
		s := NewStreams(StreamConfig{Streams: 2, Held: 400, Total: 600}, sipLike)
		now := int64(0)
		body := append([]byte("INV"), fill(300, 'x')...)
		ends := map[*half]uint32{}
		emit := func(st *Stream, p *Packet, gap uint32) {
			h := &st.halves[st.Dir]
			if len(p.Payload) == 0 || p.Length < uint32(len(p.Payload)) || p.Length > 310 {
				t.Fatalf("piece of %d, length %d", len(p.Payload), p.Length)
			}
			if end, ok := ends[h]; ok && gap < 1<<20 && p.TCPSeq != end+gap {
				t.Fatalf("piece at %d behind %d and a gap of %d", p.TCPSeq, end, gap)
			}
			ends[h] = p.TCPSeq + uint32(len(p.Payload))
		}
		for n := 0; len(script) >= 4 && n < 100; n++ {
			// connection, direction and flags; sequence; how; length
			who, seq, how, length := script[0], uint32(script[1])*8, script[2], int(script[3])
			script = script[4:]
			if how&0x80 != 0 {
				seq += 0xfffffe00
			}
			if how&0x40 != 0 {
				seq += 1 << 24
			}
			p := segment4(now, int(who&1), uint16(who>>1&3), seq, []uint8{ACK, FIN | ACK, RST, SYN}[who>>6], string(body[:length]))
			p.TCPAck = uint32(how&7) * 8
			p.Length += uint32(how >> 3 & 3)
			now += int64(who>>3&7) * 2 * second
			s.Feed(p, emit)
			s.check(t)
		}
		s.Flush(&Packet{Time: now}, emit)
		s.check(t)
		if s.Len() != 0 || s.held != 0 {
			t.Fatalf("%d streams and %d bytes left", s.Len(), s.held)
		}
	})
}

// A connection of which the caller wants no more is forgotten at once, and is
// taken up anew when it is of interest again.
func TestStreamsOver(t *testing.T) {
	dropped := 0
	s := NewStreams(StreamConfig{Dropped: func(*Stream) { dropped++ }}, sipLike)
	var got []string
	emit := func(st *Stream, p *Packet, gap uint32) {
		got = append(got, fmt.Sprintf("%d %s", st.ID, p.Payload))
		st.Over = string(p.Payload) == "SIP over" || string(p.Payload) == "answer"
	}
	seq := uint32(1)
	for _, text := range []string{"SIP a", "b", "SIP over", "c", "SIP d", "e"} {
		s.Feed(segment4(1, 0, 4000, seq, ACK, text), emit)
		s.check(t)
		seq += uint32(len(text))
	}
	if want := []string{"1 SIP a", "1 b", "1 SIP over", "2 SIP d", "2 e"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
	if s.Len() != 1 || dropped != 1 {
		t.Errorf("%d followed, %d dropped", s.Len(), dropped)
	}
	// Given up while the other direction waits behind a gap.
	s.Feed(segment4(2, 1, 4000, 1, ACK, "first"), emit)
	s.Feed(segment4(2, 1, 4000, 100, ACK, "held"), emit)
	s.Feed(segment4(2, 1, 4000, 6, ACK, "answer"), emit)
	s.check(t)
	if s.Len() != 0 || dropped != 2 || s.held != 0 {
		t.Errorf("%d followed, %d dropped, %d held", s.Len(), dropped, s.held)
	}
	// The very first piece may be the last.
	s.Feed(segment4(3, 0, 5000, 1, ACK, "SIP over"), emit)
	s.Feed(segment4(3, 0, 5001, 1, ACK|FIN, "SIP over"), emit)
	s.check(t)
	if s.Len() != 0 || dropped != 4 {
		t.Errorf("%d followed, %d dropped", s.Len(), dropped)
	}
}
