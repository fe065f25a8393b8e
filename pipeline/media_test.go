package pipeline

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/control"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// scene is a capture written by hand. Times are milliseconds, ends "address:port".
type scene struct {
	frames []struct {
		at   int64
		data []byte
	}
}

func (s *scene) udp(ms float64, from, to string, payload []byte) {
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	b := make([]byte, 42, 42+len(payload))
	b[12] = 8
	ip, udp := b[14:34], b[34:]
	ip[0], ip[8], ip[9] = 0x45, 60, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], src.Addr().AsSlice())
	copy(ip[16:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(udp, src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(payload)))
	s.frames = append(s.frames, struct {
		at   int64
		data []byte
	}{int64(ms * 1e6), append(b, payload...)})
}

// body is a description: a media line for each of wants, "address:port" or
// "address:port what".
func body(wants ...string) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n")
	for _, w := range wants {
		end, what, _ := strings.Cut(w, " ")
		at := netip.MustParseAddrPort(end)
		line := "audio %d RTP/AVP 8 96"
		switch what {
		case "secure":
			line = "audio %d RTP/SAVP 8 96"
		case "fax":
			line = "image %d udptl t38"
		}
		fmt.Fprintf(&b, "m="+line+"\r\nc=IN IP4 %s\r\n", at.Port(), at.Addr())
		if what != "fax" {
			b.WriteString("a=rtpmap:96 telephone-event/8000\r\n")
		}
		if ice, ok := strings.CutPrefix(what, "ice="); ok {
			c := netip.MustParseAddrPort(ice)
			fmt.Fprintf(&b, "a=candidate:1 1 udp 1694498815 %s %d typ srflx\r\n", c.Addr(), c.Port())
		}
	}
	return b.String()
}

// dialog is one call's SIP, A calling B.
type dialog struct {
	*scene
	id   string
	a, b string
	cseq int
}

func (s *scene) dialog(id, a, b string) *dialog { return &dialog{scene: s, id: id, a: a, b: b} }

// say sends one message; back is set when B does. first is "INVITE" or
// "200 INVITE" and the like.
func (d *dialog) say(ms float64, back bool, first, sdp string) {
	from, to := d.a, d.b
	if back {
		from, to = to, from
	}
	status, method, response := strings.Cut(first, " ")
	start := "SIP/2.0 " + status + " X"
	if !response {
		method = first
		start = fmt.Sprintf("%s sip:13912345678@%s SIP/2.0", method, to)
		if method != "ACK" {
			d.cseq++
		}
	}
	fromTag, toTag := "tag=a", ";tag=b"
	if first == "INVITE" && d.cseq == 1 || status == "100" {
		toTag = ""
	}
	fromLine, toLine := "<sip:1001@"+d.a+">;"+fromTag, "<sip:13912345678@"+d.b+">"+toTag
	if back != response && d.cseq > 1 || method == "BYE" && back {
		fromLine, toLine = "<sip:13912345678@"+d.b+">;tag=b", "<sip:1001@"+d.a+">;tag=a"
	}
	typ := ""
	if sdp != "" {
		typ = "Content-Type: application/sdp\r\n"
	}
	s := fmt.Sprintf("%s\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s%d\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:x@%s>\r\nMax-Forwards: 70\r\n%sContent-Length: %d\r\n\r\n%s",
		start, from, d.id, d.cseq, fromLine, toLine, d.id, d.cseq, method, from, typ, len(sdp), sdp)
	d.udp(ms, from, to, []byte(s))
}

// up sets a call up from ms on; it is answered 100 ms later.
func (d *dialog) up(ms float64, offer, answer string) {
	d.say(ms, false, "INVITE", offer)
	d.say(ms+100, true, "200 INVITE", answer)
	d.say(ms+120, false, "ACK", "")
}

func (d *dialog) again(ms float64, back bool, offer, answer string) {
	d.say(ms, back, "INVITE", offer)
	d.say(ms+40, !back, "200 INVITE", answer)
	d.say(ms+60, back, "ACK", "")
}

func (d *dialog) bye(ms float64) {
	d.say(ms, false, "BYE", "")
	d.say(ms+20, true, "200 BYE", "")
}

// voice sends RTP of type 8 in packets of 20 ms.
func (s *scene) voice(from, to string, ssrc uint32, start, end float64) {
	for i, t := 0, start; t < end; i, t = i+1, t+20 {
		b := make([]byte, 172)
		b[0], b[1] = 0x80, 8
		binary.BigEndian.PutUint16(b[2:], uint16(i))
		binary.BigEndian.PutUint32(b[4:], uint32(i*160))
		binary.BigEndian.PutUint32(b[8:], ssrc)
		s.udp(t, from, to, b)
	}
}

// udptl sends what a fax page looks like.
func (s *scene) udptl(from, to string, start, end float64) {
	for i, t := 0, start; t < end; i, t = i+1, t+30 {
		b := make([]byte, 60)
		binary.BigEndian.PutUint16(b, uint16(i))
		b[2], b[3] = 6, byte(i*31)
		s.udp(t, from, to, b)
	}
}

func (s *scene) file() []byte {
	slices.SortStableFunc(s.frames, func(a, b struct {
		at   int64
		data []byte
	}) int {
		return cmp.Compare(a.at, b.at)
	})
	var w bytes.Buffer
	put := func(v ...uint32) {
		for _, x := range v {
			binary.Write(&w, binary.LittleEndian, x)
		}
	}
	put(0xa1b23c4d, 4<<16|2, 0, 0, 65535, 1)
	for _, f := range s.frames {
		t := f.at + 1_790_000_000e9
		put(uint32(t/1e9), uint32(t%1e9), uint32(len(f.data)), uint32(len(f.data)))
		w.Write(f.data)
	}
	return w.Bytes()
}

// watcher keeps the streams that a run tells of.
type watcher struct {
	ended []rtp.Stream
	lines []string
}

func (w *watcher) Message(*packet.Packet, *sip.Message) {}
func (w *watcher) Call(c *sip.Call, ev sip.CallEvent)   {}
func (w *watcher) Registration(*sip.Registration)       {}
func (w *watcher) Request(*sip.Request)                 {}
func (w *watcher) Record(*control.Record)               {}
func (w *watcher) Interval(*rtp.Interval)               {}
func (w *watcher) Stream(s *rtp.Stream, ended bool) {
	if !ended {
		return
	}
	w.ended = append(w.ended, *s)
	what := ""
	if s.Fax {
		what = " fax"
	}
	if s.Secure {
		what += " secure"
	}
	side := "callee"
	if s.FromCaller {
		side = "caller"
	}
	if s.Call == 0 {
		side = "nobody"
	}
	w.lines = append(w.lines, fmt.Sprintf("%v:%d>%v:%d call %d %s%s", s.Flow.Src, s.Flow.SrcPort, s.Flow.Dst, s.Flow.DstPort, s.Call, side, what))
}

func (s *scene) run(t *testing.T, workers int) (*watcher, *Result) {
	t.Helper()
	f, err := capture.Open([]string{"-"}, capture.Options{Stdin: bytes.NewReader(s.file())})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &watcher{}
	r, err := Run(t.Context(), f, Config{Workers: workers, Observe: w})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(w.lines)
	return w, r
}

const (
	a, b, c, p = "203.0.113.10", "192.0.2.20", "192.0.2.30", "192.0.2.99"
)

// TestBinding is what has to be true of every way in which media and
// descriptions meet.
func TestBinding(t *testing.T) {
	plain := func(s *scene, from, to string, start, end float64) {
		s.voice(from, to, 7, start, end)
		s.voice(to, from, 9, start, end)
	}
	for _, x := range []struct {
		name string
		do   func(s *scene)
		want []string
	}{
		{"a call", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4000"), body(b+":6000"))
			plain(s, a+":4000", b+":6000", 150, 8000)
			d.bye(8000)
		}, []string{b + ":6000>" + a + ":4000 call 1 callee", a + ":4000>" + b + ":6000 call 1 caller"}},

		{"media on other ports and hosts than told", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4000"), body(b+":6000"))
			plain(s, a+":4010", b+":6002", 150, 8000)
			plain(s, c+":4000", p+":6000", 150, 8000)
			d.bye(8000)
		}, []string{
			b + ":6002>" + a + ":4010 call 0 nobody", c + ":4000>" + p + ":6000 call 0 nobody",
			p + ":6000>" + c + ":4000 call 0 nobody", a + ":4010>" + b + ":6002 call 0 nobody",
		}},

		{"early media", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.say(0, false, "INVITE", body(a+":4000"))
			d.say(100, true, "183 INVITE", body(b+":6000"))
			d.say(9000, true, "200 INVITE", body(b+":6000"))
			d.say(9020, false, "ACK", "")
			s.voice(b+":6000", a+":4000", 9, 120, 15000)
			s.voice(a+":4000", b+":6000", 7, 9020, 15000)
			d.bye(15000)
		}, []string{b + ":6000>" + a + ":4000 call 1 callee", a + ":4000>" + b + ":6000 call 1 caller"}},

		{"late offer: the answer is in the ACK", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.say(0, false, "INVITE", "")
			d.say(100, true, "200 INVITE", body(b+":6000"))
			d.say(120, false, "ACK", body(a+":4000"))
			plain(s, a+":4000", b+":6000", 150, 8000)
			d.bye(8000)
		}, []string{b + ":6000>" + a + ":4000 call 1 callee", a + ":4000>" + b + ":6000 call 1 caller"}},

		{"media first, told in the middle of the call", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.cseq = 5
			plain(s, a+":4000", b+":6000", 0, 40000)
			d.again(25000, false, body(a+":4000"), body(b+":6000"))
			d.bye(40000)
		}, []string{b + ":6000>" + a + ":4000 call 1 callee", a + ":4000>" + b + ":6000 call 1 caller"}},

		{"the callee answers from another port: symmetric", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4000"), body(b+":6000"))
			plain(s, a+":4000", b+":6008", 150, 8000)
			d.bye(8000)
		}, []string{b + ":6008>" + a + ":4000 call 1 callee", a + ":4000>" + b + ":6008 call 1 caller"}},

		{"behind NAT, ports mapped", func(s *scene) {
			d := s.dialog("d1", a+":51234", b+":5060")
			d.up(0, body("192.168.1.5:4000"), body(b+":6000"))
			plain(s, a+":61000", b+":6000", 150, 8000)
			d.bye(8000)
		}, []string{b + ":6000>" + a + ":61000 call 1 callee", a + ":61000>" + b + ":6000 call 1 caller"}},

		{"behind NAT, ports kept, media proxy that latches on", func(s *scene) {
			d := s.dialog("d1", a+":51234", b+":5060")
			d.up(0, body("192.168.1.5:4000"), body(p+":6000"))
			plain(s, a+":4000", p+":6022", 150, 8000)
			d.bye(8000)
		}, []string{p + ":6022>" + a + ":4000 call 1 callee", a + ":4000>" + p + ":6022 call 1 caller"}},

		{"signalling here, media proxies elsewhere", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(c+":4000"), body(p+":6000"))
			plain(s, c+":4000", p+":6000", 150, 8000)
			d.bye(8000)
		}, []string{c + ":4000>" + p + ":6000 call 1 caller", p + ":6000>" + c + ":4000 call 1 callee"}},

		{"ICE", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body("10.0.0.5:4000 ice="+a+":45000"), body(p+":6000 ice="+c+":46000"))
			plain(s, a+":45000", c+":46000", 150, 8000)
			d.bye(8000)
		}, []string{c + ":46000>" + a + ":45000 call 1 callee", a + ":45000>" + c + ":46000 call 1 caller"}},

		{"one socket, two calls within seconds, media behind the first", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4000"), body(b+":6000"))
			plain(s, a+":4000", b+":6000", 150, 9000)
			d.bye(8000)
			d = s.dialog("d2", a+":5060", b+":5060")
			d.up(8500, body(a+":4000"), body(b+":6000"))
			s.voice(a+":4000", b+":6000", 17, 9020, 17000)
			s.voice(b+":6000", a+":4000", 19, 9020, 17000)
			d.bye(17000)
			d = s.dialog("d3", a+":5060", b+":5060")
			d.up(18000, body(a+":4000"), body(b+":6000"))
			s.voice(a+":4000", b+":6000", 27, 18150, 26000)
			d.bye(26000)
		}, []string{
			b + ":6000>" + a + ":4000 call 1 callee", b + ":6000>" + a + ":4000 call 2 callee",
			a + ":4000>" + b + ":6000 call 1 caller", a + ":4000>" + b + ":6000 call 2 caller", a + ":4000>" + b + ":6000 call 3 caller",
		}},

		{"both legs on one box", func(s *scene) {
			d, e := s.dialog("d1", b+":5060", a+":5060"), s.dialog("d2", a+":5060", c+":5060")
			d.up(0, body(b+":4000"), body(a+":10000"))
			e.up(10, body(a+":10002"), body(c+":6000"))
			plain(s, b+":4000", a+":10000", 150, 8000)
			plain(s, a+":10002", c+":6000", 150, 8000)
			d.bye(8000)
			e.bye(8000)
		}, []string{
			b + ":4000>" + a + ":10000 call 1 caller", c + ":6000>" + a + ":10002 call 2 callee",
			a + ":10000>" + b + ":4000 call 1 callee", a + ":10002>" + c + ":6000 call 2 caller",
		}},

		{"re-INVITE to another port, then hold with another address", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4000"), body(b+":6000"))
			plain(s, a+":4000", b+":6000", 150, 8000)
			d.again(8000, true, body(b+":6100"), body(a+":4000"))
			plain(s, a+":4000", b+":6100", 8100, 16000)
			d.again(16000, true, body(p+":7000"), body(a+":4000"))
			s.voice(p+":7000", a+":4000", 33, 16100, 24000)
			d.bye(24000)
		}, []string{
			b + ":6000>" + a + ":4000 call 1 callee", b + ":6100>" + a + ":4000 call 1 callee", p + ":7000>" + a + ":4000 call 1 callee",
			a + ":4000>" + b + ":6000 call 1 caller", a + ":4000>" + b + ":6100 call 1 caller",
		}},

		{"SRTP", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4000 secure"), body(b+":6000 secure"))
			plain(s, a+":4000", b+":6000", 150, 8000)
			d.bye(8000)
		}, []string{b + ":6000>" + a + ":4000 call 1 callee secure", a + ":4000>" + b + ":6000 call 1 caller secure"}},

		{"a call that turns to fax on the same ports", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4000"), body(b+":6000"))
			plain(s, a+":4000", b+":6000", 150, 8000)
			d.again(8000, true, body(b+":6000 fax"), body(a+":4000 fax"))
			s.udptl(a+":4000", b+":6000", 8200, 40000)
			d.bye(40000)
		}, []string{b + ":6000>" + a + ":4000 call 1 callee", a + ":4000>" + b + ":6000 call 1 caller", a + ":4000>" + b + ":6000 call 1 caller fax"}},

		{"a fax from the beginning, between other ports", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4500 fax"), body(b+":6500 fax"))
			s.udptl(a+":4500", b+":6500", 200, 30000)
			s.udptl(a+":4502", b+":6502", 200, 30000) // nobody told of these
			d.bye(30000)
		}, []string{a + ":4500>" + b + ":6500 call 1 caller fax"}},

		{"media a minute after the call", func(s *scene) {
			d := s.dialog("d1", a+":5060", b+":5060")
			d.up(0, body(a+":4000"), body(b+":6000"))
			d.bye(2000)
			plain(s, a+":4000", b+":6000", 62000, 70000)
		}, []string{b + ":6000>" + a + ":4000 call 0 nobody", a + ":4000>" + b + ":6000 call 0 nobody"}},
	} {
		var s scene
		x.do(&s)
		slices.Sort(x.want)
		for _, workers := range []int{1, 3} {
			if w, _ := s.run(t, workers); !slices.Equal(w.lines, x.want) {
				t.Errorf("%s, %d workers:\n  %s\nwant\n  %s", x.name, workers, strings.Join(w.lines, "\n  "), strings.Join(x.want, "\n  "))
			}
		}
	}
}

// report writes a sender report and a CNAME.
func reportOf(ssrc uint32, name string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0x80, 200, 0, 6}, ssrc)
	b = append(b, make([]byte, 20)...)
	c := append(binary.BigEndian.AppendUint32(nil, ssrc), 1, byte(len(name)))
	c = append(append(c, name...), 0)
	for len(c)%4 != 0 {
		c = append(c, 0)
	}
	return append(append(b, 0x81, 202, 0, byte(len(c)/4)), c...)
}

func TestReceiverReports(t *testing.T) {
	var s scene
	d := s.dialog("d1", a+":5060", b+":5060")
	d.up(0, body(a+":4000"), body(b+":6000"))
	s.voice(a+":4000", b+":6000", 7, 150, 20000)
	s.voice(b+":6000", a+":4000", 9, 150, 20000)
	for ms := 1000.0; ms < 20000; ms += 5000 {
		s.udp(ms, a+":4001", b+":6001", reportOf(7, "box@10.0.0.5"))
		s.udp(ms, b+":6000", a+":4000", reportOf(9, "far")) // beside RTP
	}
	secret := append(reportOf(7, "x")[:8], bytes.Repeat([]byte{0x5a}, 40)...)
	secret = append(append(secret, 0x80, 0, 0, 3), make([]byte, 10)...)
	s.udp(3000, a+":4003", b+":6003", secret)
	s.udp(3100, a+":4003", b+":6003", append(reportOf(7, "x"), 1, 2, 3, 4))
	s.udp(3200, a+":4003", b+":6003", []byte{0x81, 205, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9})
	for i := range 100 {
		s.udp(4000.5+float64(i)/10, c+":4001", b+":6001", reportOf(uint32(i), "flood"))
	}
	d.bye(20000)
	w, r := s.run(t, 2)
	if len(w.ended) != 2 {
		t.Fatal(w.lines)
	}
	for _, x := range w.ended {
		// The packets of RTCP are no packets of the stream.
		if x.CNAME.IsZero() || x.Packets > 993 || x.Lost != 0 {
			t.Errorf("%d: %d packets, named %v", x.SSRC, x.Packets, !x.CNAME.IsZero())
		}
	}
	if w.ended[0].CNAME == w.ended[1].CNAME {
		t.Error("both ends have one name")
	}
	got := map[string]uint64{}
	for _, l := range r.Losses {
		got[l.Reason] = l.Count
	}
	for reason, n := range map[string]uint64{
		"RTCP not read: encrypted":                         1,
		"RTCP that breaks its rules":                       1,
		"RTCP not read: without a report at its head":      1,
		"RTCP not read: too many datagrams in a second":    96,
		"RTCP about a source forgotten: table full":        0,
		"goodbyes of RTCP not followed: too many at once":  0,
		"RTCP not read: cut by a snap length":              0,
		"streams dropped before they were confirmed: full": 0,
	} {
		if got[reason] != n {
			t.Errorf("%s: %d, want %d", reason, got[reason], n)
		}
	}
	found := false
	for _, f := range r.Findings {
		found = found || f.Line.String() == a && !f.Links.CNAME.IsZero()
	}
	if !found {
		t.Error("the line is not linked by its CNAME")
	}
}

// TestBindingsAreBounded: one call that names ever new sockets, and ever new
// calls that name one socket.
func TestBindingsAreBounded(t *testing.T) {
	m := newBindings(7)
	at := func(i int) sip.Call {
		var one sip.Call
		one.ID = uint64(i)
		one.Caller.Addr = ident.AddrFromNetip(netip.MustParseAddr(a))
		one.CallerMedia.Addr, one.CallerMedia.Port = ident.AddrFromNetip(netip.MustParseAddr(a)), 4000
		return one
	}
	for i := range 1000 {
		one := at(1)
		one.CallerMedia.Port = uint16(4000 + i)
		m.call(&one, int64(i)*1e6, nil)
	}
	if m.sockets != maxSockets || m.refused != 1000-maxSockets {
		t.Errorf("%d sockets of one call, %d refused", m.sockets, m.refused)
	}
	m = newBindings(7)
	for i := range 1000 {
		one := at(i + 1)
		m.call(&one, int64(i)*1e6, nil)
	}
	s := socket{ident.AddrFromNetip(netip.MustParseAddr(a)), 4000, 0}
	if n := len(m.list(s)); n != maxCandidates || m.list(s)[0].call != 1 {
		t.Errorf("%d calls at one socket, the first %d: none that is up may be displaced", n, m.list(s)[0].call)
	}
	one := at(3)
	m.ended(&one, 2e9)
	next := at(2000)
	next.Fax[0] = sip.Socket{Addr: ident.AddrFromNetip(netip.MustParseAddr(a)), Port: 4000}
	m.call(&next, 3e9, nil)
	calls := []uint64{}
	for _, e := range m.list(s) {
		calls = append(calls, e.call)
	}
	if !slices.Equal(calls, []uint64{1, 2, 4, 5, 6, 2000}) || m.faxes != 1 {
		t.Errorf("calls %v, %d of fax", calls, m.faxes)
	}
	for i := range 2001 {
		one := at(i)
		m.ended(&one, 4e9)
	}
	m.advance(4e9 + linger)
	if m.sockets != 0 || m.byCall.Len() != 0 || m.faxes != 0 {
		t.Errorf("%d sockets, %d calls, %d faxes are left", m.sockets, m.byCall.Len(), m.faxes)
	}
	// Calls that are over linger, however fast they come and go.
	m = newBindings(7)
	for i := range maxBound + 10 {
		one := at(i + 1)
		m.call(&one, 1, nil)
		m.ended(&one, 1)
	}
	if m.byCall.Len() != maxBound {
		t.Errorf("%d calls kept", m.byCall.Len())
	}
	m.advance(1 + linger)
	if m.byCall.Len()+m.sockets != 0 {
		t.Errorf("%d calls and %d sockets kept after all was over", m.byCall.Len(), m.sockets)
	}
}

// TestHandedOn: a box in the middle hands the descriptions on, and media pass it
// by. They are media of both its calls, while both are up.
func TestHandedOn(t *testing.T) {
	m := newBindings(7)
	at := func(s string) ident.Addr { return ident.AddrFromNetip(netip.MustParseAddr(s)) }
	var one, two sip.Call
	one.ID, one.Caller.Addr, one.Callee.Addr = 1, at(a), at(p)
	two.ID, two.Caller.Addr, two.Callee.Addr = 2, at(p), at(c)
	for _, x := range []*sip.Call{&one, &two} {
		x.CallerMedia = sip.Media{Addr: at(a), Port: 4000}
		x.CalleeMedia = sip.Media{Addr: at(c), Port: 6000}
		m.call(x, 1e9, nil)
	}
	s := rtp.Stream{Flow: rtp.Flow{Src: at(a), SrcPort: 4000, Dst: at(c), DstPort: 6000}, Start: 2e9, End: 4e9}
	e, other, fromCaller, ok := m.find(&s)
	if !ok || e.call != 2 || other == nil || other.call != 1 || !fromCaller {
		t.Errorf("%+v, %+v", e, other)
	}
	m.ended(&two, 3e9)
	s.Start, s.End = 5e9, 6e9
	if e, other, _, _ = m.find(&s); e == nil || e.call != 1 || other != nil {
		t.Errorf("with one call up: %+v, %+v", e, other)
	}
}

// TestMediaVariety follows the lab's media of every kind through all stages.
func TestMediaVariety(t *testing.T) {
	file, truth := made(t, lab.Options{Scenario: "media-variety", Seed: 4, Duration: 10 * time.Minute})
	var text string
	for _, workers := range []int{1, 3} {
		w := &watcher{}
		r, err := Run(t.Context(), opened(t, file), Config{Workers: workers, Observe: w})
		if err != nil {
			t.Fatal(err)
		}
		var n struct{ streams, bound, secure, fax, noisy, keyed, switched, named, byes, trips, told, rated int }
		calls := map[uint64]bool{}
		for _, s := range w.ended {
			count := func(k *int, ok bool) {
				if ok {
					*k++
				}
			}
			n.streams++
			count(&n.bound, s.Call != 0)
			count(&n.secure, s.Secure)
			count(&n.fax, s.Fax)
			count(&n.noisy, s.Noise > 0)
			count(&n.keyed, s.Keys > 0)
			count(&n.switched, s.Switches == 1)
			count(&n.named, !s.CNAME.IsZero())
			count(&n.byes, s.Bye)
			count(&n.trips, s.Far.Trip > 0)
			count(&n.told, s.Far.R == 85 && s.Far.MOS == 4.1)
			count(&n.rated, s.MOS > 3.5 && s.MOS <= 4.5)
			if s.Switches > 1 || s.Far.Trip > 400e6 || s.Restarts > 0 || s.Late > 0 {
				t.Errorf("%+v", s)
			}
			if s.Secure && !s.CNAME.IsZero() {
				t.Error("a name out of SRTCP")
			}
			calls[s.Call] = true
		}
		sound := n.streams - n.fax
		if n.bound != n.streams || len(calls) < truth.Lines[0].Calls.Answered || n.rated != sound ||
			n.secure < 4 || n.fax < 2 || n.noisy < 8 || n.keyed < 8 || n.switched < 4 || n.named < sound/2 || n.byes < sound/2 || n.trips < sound/2 || n.told < 8 {
			t.Errorf("%+v, %d calls of %d", n, len(calls), truth.Lines[0].Calls.Answered)
		}
		for _, l := range r.Losses {
			if l.Stage == "media" && !strings.Contains(l.Reason, "encrypted") {
				t.Errorf("%d %s", l.Count, l.Reason)
			}
		}
		got := fmt.Sprintf("%+v", w.ended)
		if text != "" && got != text {
			t.Error("the streams depend on the number of workers")
		}
		text = got
	}
}

// TestWithoutCounterpart: sound in one direction only, on a tap that shows both.
// Its call vouches for it, however late that is told; without one it counts for
// nothing.
func TestWithoutCounterpart(t *testing.T) {
	const reason = "streams without a counterpart, on a tap that shows both directions"
	for _, told := range []bool{true, false} {
		var s scene
		d := s.dialog("d1", a+":5060", b+":5060")
		d.cseq = 5
		s.voice(a+":4000", b+":6000", 7, 0, 20000)
		d.say(100, false, "OPTIONS", "")
		d.say(110, true, "200 OPTIONS", "")
		if told {
			d.again(15000, false, body(a+":4000"), body(b+":6000"))
		}
		w, r := s.run(t, 1)
		n := uint64(0)
		for _, l := range r.Losses {
			if l.Reason == reason {
				n = l.Count
			}
		}
		if len(w.ended) != 1 || (w.ended[0].Call != 0) != told || (n == 0) != told {
			t.Errorf("told %v: %v, %d without a counterpart", told, w.lines, n)
		}
	}
}

// each gives every place in the table.
func (b *bindings) each() (all []*place) {
	for _, key := range b.table.Keys() {
		for p, _ := b.table.Get(key); p != nil; p = p.next {
			all = append(all, p)
		}
	}
	return all
}

// TestSocketsOfOneHash: two sockets that hash alike stay two, in whichever order
// they go.
func TestSocketsOfOneHash(t *testing.T) {
	s := socket{ident.AddrFrom4([]byte{192, 0, 2, 1}), 4000, 0}
	for _, first := range []int{0, 1, 2} {
		m := newBindings(7)
		var all [3]*place
		for i := range all {
			all[i] = m.open(s)
			all[i].list = append(all[i].list, binding{call: uint64(i + 1)})
		}
		// As if they were others: what is looked for is told apart by at alone.
		for i := range all {
			all[i].at.port += uint16(i)
		}
		look := func(i int) *place {
			for p, _ := m.table.Get(s.hash(7)); p != nil; p = p.next {
				if p.at.port == s.port+uint16(i) {
					return p
				}
			}
			return nil
		}
		all[first].at = s
		m.close(all[first])
		for i := range all {
			if i != first && look(i) == nil {
				t.Errorf("with %d gone, %d is gone too", first, i)
			}
		}
		if m.sockets != 2 || len(m.each()) != 2 {
			t.Errorf("%d sockets, %d in the table", m.sockets, len(m.each()))
		}
	}
}

// FuzzBindings drives the table with calls and streams out of a stranger's
// bytes: its counts stay true, its bounds hold, and in the end nothing is left.
func FuzzBindings(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 10, 20, 30, 40, 50, 60, 70, 80})
	f.Add([]byte{5, 1, 1, 9, 1, 1, 2, 1, 1, 3, 200, 1, 4, 1, 255})
	f.Add([]byte("2]120YA9Y990A]Y0aY")) // a call at one socket twice, others between
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 3000 {
			return
		}
		m := newBindings(7)
		calls := map[uint64]bool{}
		now := int64(1e9)
		at := func(x byte) ident.Addr { return ident.AddrFrom4([]byte{192, 168 + x&1, 0, x >> 4}) }
		for i := 0; i+2 < len(b); i += 3 {
			op, x, y := b[i], b[i+1], b[i+2]
			now += int64(op>>3) * 1e8
			c := sip.Call{ID: uint64(x%16) + 1}
			c.Caller.Addr, c.Callee.Addr = at(y), at(y+16)
			s := rtp.Stream{Flow: rtp.Flow{Src: at(y), SrcPort: uint16(x % 4), Dst: at(x), DstPort: uint16(y % 4)}, Start: now - int64(x)*1e8, End: now, Fax: y&1 == 0}
			switch op % 5 {
			case 0, 1:
				c.CallerMedia = sip.Media{Addr: at(x), Port: uint16(y % 4), N: int(y % 13)}
				c.CalleeMedia = sip.Media{Addr: at(y), Port: uint16(op % 4), NICE: 1, ICE: [3]sip.Socket{{Addr: at(op), Port: 1}}}
				if y&4 != 0 {
					c.Fax[y&1] = sip.Socket{Addr: at(op), Port: uint16(x % 4)}
				}
				m.call(&c, now, nil)
				calls[c.ID] = true
			case 2:
				m.ended(&c, now)
			case 3:
				if e, other, fromCaller, ok := m.find(&s); ok {
					if s.Fax && !e.fax || other != nil && other.call == e.call {
						t.Fatalf("%+v, %+v", e, other)
					}
					if e.media == nil {
						t.Fatal("no description")
					}
					m.learn(&s, e, fromCaller)
				}
			case 4:
				m.advance(now)
			}
			faxes := 0
			sockets := 0
			for _, p := range m.each() {
				sockets++
				s, list := p.at, p.list
				if len(list) == 0 || len(list) > maxCandidates {
					t.Fatalf("%d calls at %v", len(list), s)
				}
				for _, e := range list {
					if e.fax {
						faxes++
					}
					if m.byCall.At(e.call) == nil {
						t.Fatal("a binding of a call that is forgotten")
					}
				}
			}
			if faxes != m.faxes || sockets != m.sockets {
				t.Fatalf("%d sockets, %d of fax, counted %d and %d", sockets, faxes, m.sockets, m.faxes)
			}
			for _, id := range m.byCall.Keys() {
				k, _ := m.byCall.Get(id)
				if len(k.sockets) > maxSockets {
					t.Fatalf("%d sockets of a call", len(k.sockets))
				}
			}
		}
		for id := range calls {
			m.ended(&sip.Call{ID: id}, now)
		}
		m.advance(now + linger)
		if m.sockets != 0 || m.byCall.Len() != 0 || m.faxes != 0 {
			t.Fatal("something is left")
		}
	})
}
