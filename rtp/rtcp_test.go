package rtp

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pion "github.com/pion/rtcp"

	"simtrap/ident"
)

// rtcpPacket writes one packet of a compound: count and type, then the words.
func rtcpPacket(count, pt byte, words ...uint32) []byte {
	b := []byte{0x80 | count, pt, 0, byte(len(words))}
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}

func sender(ssrc uint32) []byte {
	return rtcpPacket(0, 200, ssrc, 0xe0001234, 0x56780000, 160, 10, 1600)
}

// named writes an SDES packet with one chunk of items.
func named(ssrc uint32, items ...string) []byte {
	c := binary.BigEndian.AppendUint32(nil, ssrc)
	for i, text := range items {
		c = append(append(c, byte(i+1), byte(len(text))), text...)
	}
	c = append(c, 0)
	for len(c)%4 != 0 {
		c = append(c, 0)
	}
	return append([]byte{0x81, 202, 0, byte(len(c) / 4)}, c...)
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

var block = []uint32{7, 0x40fffffe, 1000, 88, 0x12345678, 0x8000}

func TestReadRTCP(t *testing.T) {
	blocks := append([]uint32{9, 0, 0, 0, 0, 0}, block...)
	tag := func(index uint32, n int) []byte {
		return append(binary.BigEndian.AppendUint32(nil, index), make([]byte, n)...)
	}
	noise := make([]byte, 40)
	for i := range noise {
		noise[i] = byte(i*37 + 11)
	}
	padded := rtcpPacket(0, 201, 9, 0, 8)
	padded[0] |= 0x20
	xr := rtcpPacket(0, 207, 9, 7<<24|8, 7, 0x0a050000, 0, 120<<16|60, 0, 84<<24|127<<16|42<<8|41, 0, 0)
	for _, c := range []struct {
		name string
		b    []byte
		want RTCPResult
		r    RTCP
	}{
		{"SR and SDES", join(sender(9), named(9, "a@b", "Bob")), RTCPRead, RTCP{SSRC: 9, Sent: true, NTP: 0x12345678, CNAME: ident.NewCNAME([]byte("a@b"))}},
		{"SR with a report", join(rtcpPacket(1, 200, blocks...)), RTCPRead,
			RTCP{SSRC: 9, Sent: true, N: 1, Blocks: [4]ReportBlock{{SSRC: 7, Fraction: 0x40, Lost: -2, Jitter: 88, LSR: 0x12345678, DLSR: 0x8000}}}},
		{"an empty RR", rtcpPacket(0, 201, 9), RTCPRead, RTCP{SSRC: 9}},
		{"RR and BYE with a reason", join(rtcpPacket(0, 201, 9), rtcpPacket(1, 203, 9, 0x03627965)), RTCPRead, RTCP{SSRC: 9, NByes: 1, Byes: [4]uint32{9}}},
		{"XR", join(rtcpPacket(0, 201, 9), xr), RTCPRead, RTCP{SSRC: 9, Voice: VoiceMetrics{SSRC: 7, Loss: 10, Discard: 5, RoundTrip: 120, R: 84, MOS: 41}}},
		{"an APP is passed over", join(sender(9), rtcpPacket(0, 204, 9, 1, 2), named(9, "x")), RTCPRead, RTCP{SSRC: 9, Sent: true, NTP: 0x12345678, CNAME: ident.NewCNAME([]byte("x"))}},
		{"padding at the end", padded, RTCPRead, RTCP{SSRC: 9}},
		{"another's name", join(sender(9), named(8, "a@b")), RTCPRead, RTCP{SSRC: 9, Sent: true, NTP: 0x12345678}},
		{"SRTCP that is signed only", join(sender(9), named(9, "x"), tag(5, 10)), RTCPRead, RTCP{SSRC: 9, Sent: true, NTP: 0x12345678, CNAME: ident.NewCNAME([]byte("x"))}},

		{"SRTCP", join(sender(9)[:8], noise, tag(1<<31|1, 10)), RTCPEncrypted, RTCP{}},
		{"SRTCP, short tag", join(sender(9)[:8], noise, tag(1<<31|1, 4)), RTCPEncrypted, RTCP{}},
		{"SRTCP, GCM", join(sender(9)[:8], noise, make([]byte, 16), tag(1<<31|1, 0)), RTCPEncrypted, RTCP{}},
		{"SRTCP of one SR", join(sender(9), tag(1<<31|70000, 10)), RTCPEncrypted, RTCP{}},
		{"feedback alone", rtcpPacket(1, 205, 9, 7, 0), RTCPReduced, RTCP{}},
		{"SDES first", join(named(9, "a@b"), sender(9)), RTCPReduced, RTCP{}},
		{"too many reports told", rtcpPacket(2, 201, append([]uint32{9}, block...)...), RTCPBroken, RTCP{}},
		{"an SR too short", rtcpPacket(0, 200, 9, 1, 2), RTCPBroken, RTCP{}},
		{"a CNAME beyond the end", join(sender(9), []byte{0x81, 202, 0, 2, 0, 0, 0, 9, 1, 200, 'x', 0}), RTCPBroken, RTCP{}},
		{"a chunk without an end", join(sender(9), []byte{0x81, 202, 0, 2, 0, 0, 0, 9, 1, 2, 'x', 'y'}), RTCPBroken, RTCP{}},
		{"chunks that are not there", join(sender(9), []byte{0x9f, 202, 0, 0}), RTCPBroken, RTCP{}},
		{"sources that are not there", join(rtcpPacket(0, 201, 9), rtcpPacket(3, 203, 9)), RTCPBroken, RTCP{}},
		{"metrics of another length", join(rtcpPacket(0, 201, 9), rtcpPacket(0, 207, 9, 7<<24|1, 7)), RTCPBroken, RTCP{}},
		{"padding before the end", join(padded, sender(9)), RTCPBroken, RTCP{}},
		{"padding of nothing", func() []byte { b := rtcpPacket(0, 201, 9, 0); b[0] |= 0x20; return b }(), RTCPBroken, RTCP{}},
		{"something behind", join(sender(9), []byte{1, 2, 3, 4}), RTCPBroken, RTCP{}},
		{"longer than the datagram", sender(9)[:24], RTCPNone, RTCP{}},
		{"random", append([]byte{0x9c, 0xd1, 0, 3}, noise...), RTCPNone, RTCP{}},
		{"RTP", rtpBytes(0, 1, 160, 9), RTCPNone, RTCP{}},
		{"RTP of type 72 with a marker", rtpBytes(199, 0xffff, 160, 9), RTCPNone, RTCP{}},
		{"STUN", append([]byte{0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 20)...), RTCPNone, RTCP{}},
		{"DTLS", append([]byte{22, 254, 253, 0}, make([]byte, 20)...), RTCPNone, RTCP{}},
		{"short", []byte{0x80, 201, 0, 1}, RTCPNone, RTCP{}},
	} {
		var r RTCP
		got := ReadRTCP(c.b, uint32(len(c.b)), &r)
		if got != c.want {
			t.Errorf("%s: reads as %d, want %d", c.name, got, c.want)
		}
		if d := cmp.Diff(c.r, r, cmpopts.EquateComparable(ident.Addr{}, ident.CNAME{})); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
	}
	var r RTCP
	if got := ReadRTCP(sender(9)[:16], 28, &r); got != RTCPCut || r != (RTCP{}) {
		t.Errorf("a cut packet reads as %d", got)
	}
}

func FuzzReadRTCP(f *testing.F) {
	f.Add(join(sender(9), named(9, "a@b")), uint32(40))
	f.Add(join(rtcpPacket(1, 200, append([]uint32{9, 0, 0, 0, 0, 0}, block...)...), rtcpPacket(1, 203, 9)), uint32(60))
	f.Add(join(rtcpPacket(0, 201, 9), rtcpPacket(0, 207, 9, 7<<24|8, 7, 1, 2, 3, 4, 5, 6, 7)), uint32(48))
	f.Add(join(sender(9)[:8], make([]byte, 40), []byte{0x80, 0, 0, 1}, make([]byte, 10)), uint32(62))
	f.Fuzz(func(t *testing.T, b []byte, length uint32) {
		if len(b) > 2000 {
			return
		}
		before := RTCP{SSRC: 77}
		r := before
		got := ReadRTCP(b, length, &r)
		if got != RTCPRead {
			if r != before {
				t.Fatal("something was read of a datagram that was refused")
			}
			return
		}
		if r.N > len(r.Blocks) || r.NByes > len(r.Byes) || uint32(len(b)) < length || length < 8 {
			t.Fatalf("%+v", r)
		}
		// What pion reads as a compound is told alike.
		ps, err := pion.Unmarshal(b[:length])
		if err != nil {
			return
		}
		n := 0
		for _, p := range ps {
			switch p := p.(type) {
			case *pion.SenderReport:
				n += len(p.Reports)
				if p.SSRC == r.SSRC && !r.Sent {
					t.Fatal("a sender report was not read")
				}
			case *pion.ReceiverReport:
				n += len(p.Reports)
			}
		}
		if min(n, len(r.Blocks)) != r.N {
			t.Fatalf("%d report blocks, pion reads %d", r.N, n)
		}
	})
}

// twoStreams gives a Streams that has confirmed a stream of SSRC 7 and one back
// of SSRC 9, as they stand at t0 + 8 s, and its teller.
func twoStreams(t *testing.T, rtcp ...RTCP) (*Streams, *teller) {
	t.Helper()
	h := &teller{}
	ss := NewStreams(Config{}, h)
	for _, iv := range callOf(0, 4) {
		for len(rtcp) > 0 && rtcp[0].Time <= iv.Close() {
			ss.RTCP(&rtcp[0])
			rtcp = rtcp[1:]
		}
		ss.Interval(&iv)
	}
	for i := range rtcp {
		ss.RTCP(&rtcp[i])
	}
	return ss, h
}

// there and back are the flows of twoStreams.
func there() Flow {
	return Flow{Src: addr4(0x0a000001), Dst: addr4(0xcb007101), SrcPort: 1000, DstPort: 2000}
}

func back() Flow { return there().Reverse() }

// callOf gives the intervals from to until of both directions of a call.
func callOf(from, until int) (ivs []Interval) {
	for n := from; n < until; n++ {
		for i, f := range [...]Flow{there(), back()} {
			iv := Interval{
				Flow: f, Epoch: t0, Number: uint32(n), First: t0 + int64(n)*Length, Last: t0 + int64(n+1)*Length - 20e6,
				SSRC: uint32(7 + 2*i), Rate: 8000, Step: 160, PT: 8, Bytes: 17200, Packets: 100, Source: 100, InStep: 100, Timed: 100,
				Gaps: [8]uint16{3: 100}, Sizes: [2]uint16{172}, SizeCounts: [2]uint16{100},
			}
			iv.Start = Sample{iv.First, uint32(n) * 16000}
			iv.Least = iv.Start
			ivs = append(ivs, iv)
		}
	}
	return ivs
}

func beside(f Flow, ports uint16) Flow {
	f.SrcPort += ports
	f.DstPort += ports
	return f
}

func TestFacts(t *testing.T) {
	cname := func(s string) ident.CNAME { return ident.NewCNAME([]byte(s)) }
	odd := there()
	odd.SrcPort, odd.DstPort = 61234, 9999
	weak := there() // another call of a box that begins every SSRC alike
	weak.SrcPort, weak.DstPort = 1002, 2002
	for _, c := range []struct {
		name string
		rtcp []RTCP
		want ident.CNAME
	}{
		{"on the next ports", []RTCP{{Time: t0 + 3e9, Flow: beside(there(), 1), SSRC: 7, CNAME: cname("a")}}, cname("a")},
		{"beside RTP", []RTCP{{Time: t0 + 3e9, Flow: there(), SSRC: 7, CNAME: cname("a")}}, cname("a")},
		{"on any ports", []RTCP{{Time: t0 + 3e9, Flow: odd, SSRC: 7, CNAME: cname("a")}}, cname("a")},
		{"of another tap port", []RTCP{{Time: t0 + 3e9, Flow: Flow{there().Src, there().Dst, 1001, 2001, 0, 3}, SSRC: 7, CNAME: cname("a")}}, cname("a")},
		{"before the stream is known", []RTCP{{Time: t0 + 1, Flow: there(), SSRC: 7, CNAME: cname("a")}}, cname("a")},
		{"of two calls with one SSRC", []RTCP{
			{Time: t0 + 3e9, Flow: beside(there(), 1), SSRC: 7, CNAME: cname("a")},
			{Time: t0 + 4e9, Flow: beside(weak, 1), SSRC: 7, CNAME: cname("b")},
		}, cname("a")},
		{"on ports that are two calls' or none's", []RTCP{
			{Time: t0 + 3e9, Flow: odd, SSRC: 7, CNAME: cname("a")},
			{Time: t0 + 4e9, Flow: beside(weak, 1), SSRC: 7, CNAME: cname("b")},
		}, ident.CNAME{}},
		{"of another source", []RTCP{{Time: t0 + 3e9, Flow: there(), SSRC: 8, CNAME: cname("a")}}, ident.CNAME{}},
		{"of the other way", []RTCP{{Time: t0 + 3e9, Flow: back(), SSRC: 7, CNAME: cname("a")}}, ident.CNAME{}},
		{"of another realm", []RTCP{{Time: t0 + 3e9, Flow: Flow{there().Src, there().Dst, 1000, 2000, 1, 0}, SSRC: 7, CNAME: cname("a")}}, ident.CNAME{}},
	} {
		ss, h := twoStreams(t, c.rtcp...)
		ss.Flush()
		for _, s := range h.ended {
			want := ident.CNAME{}
			if s.SSRC == 7 {
				want = c.want
			}
			if s.CNAME != want {
				t.Errorf("%s: stream %d is named %q", c.name, s.SSRC, cnameText(s.CNAME))
			}
		}
		if len(h.ended) != 2 {
			t.Errorf("%s: %d streams", c.name, len(h.ended))
		}
	}
}

func cnameText(c ident.CNAME) string {
	if c.IsZero() {
		return ""
	}
	return "some"
}

// TestRoundTrip: 7 reports at 1 s, 9 answers 150 ms later of which it held the
// report 50 ms; 9 reports at 2 s, 7 answers 30 ms later having held it 10 ms.
func TestRoundTrip(t *testing.T) {
	sec := func(ms int64) uint32 { return uint32(ms * 65536 / 1000) }
	at := func(ms int64) int64 { return t0 + ms*1e6 }
	on, off := beside(there(), 1), beside(back(), 1)
	ss, h := twoStreams(t,
		RTCP{Time: at(1000), Flow: on, SSRC: 7, Sent: true, NTP: 111},
		RTCP{Time: at(1150), Flow: off, SSRC: 9, N: 1, Blocks: [4]ReportBlock{{SSRC: 7, Lost: 8, Jitter: 80, LSR: 111, DLSR: sec(50)}}},
		RTCP{Time: at(2000), Flow: off, SSRC: 9, Sent: true, NTP: 222},
		RTCP{Time: at(2030), Flow: on, SSRC: 7, N: 1, Blocks: [4]ReportBlock{{SSRC: 9, LSR: 222, DLSR: sec(10)}},
			Voice: VoiceMetrics{SSRC: 9, R: 90, MOS: 42}},
		// Answers to no report that was seen, and one that held it longer than it took.
		RTCP{Time: at(2040), Flow: on, SSRC: 7, N: 1, Blocks: [4]ReportBlock{{SSRC: 9, LSR: 223, DLSR: sec(10)}}},
		RTCP{Time: at(2050), Flow: on, SSRC: 7, N: 1, Blocks: [4]ReportBlock{{SSRC: 9, LSR: 222, DLSR: sec(500)}}})
	ss.Flush()
	near := func(got, want int64) bool { return got > want-1e6 && got < want+1e6 }
	for _, s := range h.ended {
		switch s.SSRC {
		case 7:
			if !near(s.Far.Trip, 100e6) || s.Far.Lost != 8 || s.Far.Jitter != 10e6 || s.Far.Reports != 1 {
				t.Errorf("of 7: %+v", s.Far)
			}
			// 8 of 400 packets lost behind the tap; 60 ms one way cost nothing.
			if want := opinion(rating(0, 25.1, 0.02, 1, 60)); s.MOS != want {
				t.Errorf("7 is rated %.3f, want %.3f", s.MOS, want)
			}
		case 9:
			if !near(s.Far.Trip, 20e6) || s.Far.Reports != 3 || s.Far.R != 90 || s.Far.MOS != 4.2 {
				t.Errorf("of 9: %+v", s.Far)
			}
		}
	}
}

func TestBye(t *testing.T) {
	goodbye := func(f Flow, ssrc uint32) RTCP {
		return RTCP{Time: t0 + 8e9, Flow: f, SSRC: ssrc, NByes: 1, Byes: [4]uint32{ssrc}}
	}
	for _, c := range []struct {
		name string
		rtcp RTCP
		on   int // intervals that follow
		want bool
	}{
		{"on the next ports", goodbye(beside(there(), 1), 7), 0, true},
		{"beside RTP", goodbye(there(), 7), 0, true},
		{"said by a stranger: the source goes on", goodbye(there(), 7), 3, false},
		{"of another source", goodbye(there(), 8), 0, false},
		{"of the other way", goodbye(back(), 7), 0, false},
	} {
		ss, h := twoStreams(t, c.rtcp)
		for _, iv := range callOf(4, 4+c.on) {
			ss.Interval(&iv)
		}
		ss.Advance(t0 + 8e9 + int64(c.on)*Length + byeWait)
		if got := len(h.ended) == 1 && h.ended[0].SSRC == 7 && h.ended[0].Bye; got != c.want {
			t.Errorf("%s: ended %v", c.name, got)
		}
		ss.Flush()
		if len(h.ended) != 2 {
			t.Errorf("%s: %d streams", c.name, len(h.ended))
		}
	}
}

// TestFactsAreBounded: names of sources that send nothing.
func TestFactsAreBounded(t *testing.T) {
	ss := NewStreams(Config{Streams: 100}, &teller{})
	for i := range 10000 {
		f := there()
		f.SrcPort = uint16(i)
		ss.RTCP(&RTCP{Time: t0 + int64(i)*1e6, Flow: f, SSRC: uint32(i % 1000), Sent: true, NByes: 1, Byes: [4]uint32{uint32(i)},
			N: 1, Blocks: [4]ReportBlock{{SSRC: uint32(i)}}})
	}
	n := 0
	for _, f := range ss.facts.m {
		for ; f != nil; f = f.more {
			n++
		}
	}
	if n > 100 || n != ss.facts.n || ss.Counters().FactsForgotten != 20000-100 {
		t.Errorf("%d facts, %d counted, %d forgotten", n, ss.facts.n, ss.Counters().FactsForgotten)
	}
	ss.Advance(t0 + 10e9 + 2*factLife)
	if len(ss.facts.m) != 0 || ss.facts.n != 0 || ss.facts.oldest != nil || ss.facts.newest != nil {
		t.Errorf("%d facts are left after their time", ss.facts.n)
	}
}
