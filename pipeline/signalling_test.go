package pipeline

import (
	"encoding/binary"
	"fmt"
	"testing"

	"simtrap/control"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// sipFile writes a capture of SIP over UDP.
type sipFile struct {
	bytes    []byte
	messages int
}

func newSIPFile() *sipFile {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b23c4d) // pcap, nanoseconds
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return &sipFile{bytes: le.AppendUint32(le.AppendUint32(b, 65535), 1)}
}

func (f *sipFile) put(t int64, src, dst [4]byte, text string) {
	n := 14 + 20 + 8 + len(text)
	for _, v := range []uint32{uint32(t / 1e9), uint32(t % 1e9), uint32(n), uint32(n)} {
		f.bytes = binary.LittleEndian.AppendUint32(f.bytes, v)
	}
	var h [42]byte
	h[12], h[14], h[22], h[23] = 8, 0x45, 57, 17
	binary.BigEndian.PutUint16(h[16:], uint16(28+len(text)))
	copy(h[26:], src[:])
	copy(h[30:], dst[:])
	binary.BigEndian.PutUint16(h[34:], 5060)
	binary.BigEndian.PutUint16(h[36:], 5060)
	binary.BigEndian.PutUint16(h[38:], uint16(8+len(text)))
	f.bytes = append(append(f.bytes, h[:]...), text...)
	f.messages++
}

// signalling is a capture of SIP alone: 200 subscribers with eight accounts each
// keep them up, and calls come and go. It gives how many messages it holds.
func signalling(calls int) ([]byte, int) {
	f := newSIPFile()
	put := f.put
	now := int64(1_780_000_000e9)
	for k := range calls {
		line, sw := [4]byte{203, 0, 113, byte(k % 200)}, [4]byte{198, 51, 100, byte(7 + k%3)}
		l, s := fmt.Sprintf("203.0.113.%d", line[3]), fmt.Sprintf("198.51.100.%d", sw[3])
		called, caller := 13000000000+int64(k*7919%100000000), 13900000000+int64(k*104729%90000000)
		id := fmt.Sprintf("%x%08x@%s", k*2654435761, k, s)
		sdp := func(addr string, port int) string {
			return fmt.Sprintf("v=0\r\no=root 1821740733 1821740733 IN IP4 %s\r\ns=Example PBX\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %d RTP/AVP 18 8 0 101\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n", addr, port)
		}
		tag := ""
		message := func(first, branch string, cseq int, method, more, body string) string {
			return first + fmt.Sprintf("\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bK%x%s;rport\r\nMax-Forwards: 70\r\nFrom: \"%d\" <sip:%[4]d@%[1]s>;tag=as%08[5]x\r\n", s, k*40503, branch, caller, k) +
				fmt.Sprintf("To: <sip:%d@%s:5060>%s\r\nContact: <sip:%d@%s:5060>\r\nCall-ID: %s\r\nCSeq: %d %s\r\n", called, l, tag, caller, s, id, cseq, method) +
				"User-Agent: Example PBX 16.2.1\r\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, UPDATE\r\nSupported: replaces, timer\r\n" +
				fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", more, len(body), body)
		}
		const described = "Content-Type: application/sdp\r\n"
		uri := fmt.Sprintf(" sip:%d@%s:5060;user=phone SIP/2.0", called, l)
		now += 3e6
		put(now, sw, line, message("INVITE"+uri, "a", 102, "INVITE", described, sdp(s, 10000+k%40000)))
		put(now+2e6, line, sw, message("SIP/2.0 100 Trying", "a", 102, "INVITE", "", ""))
		tag = fmt.Sprintf(";tag=%d", k*17)
		put(now+5e6, line, sw, message("SIP/2.0 183 Session Progress", "a", 102, "INVITE", described, sdp(l, 16384+k%4000*2)))
		put(now+9e6, line, sw, message("SIP/2.0 200 OK", "a", 102, "INVITE", described, sdp(l, 16384+k%4000*2)))
		put(now+10e6, sw, line, message("ACK"+uri, "b", 102, "ACK", "", ""))
		put(now+11e6, sw, line, message("BYE"+uri, "c", 103, "BYE", "", ""))
		put(now+12e6, line, sw, message("SIP/2.0 200 OK", "c", 103, "BYE", "", ""))
		// One account's refresh for every call.
		reg := func(first string) string {
			user := fmt.Sprintf("goip%d", k/200%8)
			return first + fmt.Sprintf("\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bKr%x;rport\r\nFrom: <sip:%s@%s>;tag=%d\r\nTo: <sip:%[3]s@%[4]s>\r\n", l, k, user, s, k) +
				fmt.Sprintf("Call-ID: reg-%s@%s\r\nCSeq: %d REGISTER\r\nContact: <sip:%[1]s@%[2]s:5060>;expires=60\r\nMax-Forwards: 70\r\nUser-Agent: gateway\r\nContent-Length: 0\r\n\r\n", user, l, 1+k)
		}
		put(now+13e6, line, sw, reg("REGISTER sip:"+s+" SIP/2.0"))
		put(now+14e6, sw, line, reg("SIP/2.0 200 OK"))
		put(now+15e6, sw, line, message("OPTIONS"+uri, "o", 1, "OPTIONS", "", ""))
		now += 15e6
	}
	return f.bytes, f.messages
}

// BenchmarkSignalling takes a capture of SIP alone through all stages.
func BenchmarkSignalling(b *testing.B) {
	file, messages := signalling(20000)
	b.SetBytes(int64(len(file)))
	before, n := mallocs(), 0
	for b.Loop() {
		runOnce(b, file, 1)
		n++
	}
	b.ReportMetric(float64(n*messages)/b.Elapsed().Seconds()/1e3, "kmsg/s")
	b.ReportMetric(float64(mallocs()-before)/float64(n*messages), "allocs/msg")
}

// concluded keeps what the tracker concluded.
type concluded struct {
	messages int
	calls    []sip.Call // when they were over
	requests []sip.Request
	regs     []sip.Registration
}

func (c *concluded) Message(*packet.Packet, *sip.Message) { c.messages++ }
func (c *concluded) Call(x *sip.Call, ev sip.CallEvent) {
	if ev == sip.CallEnded {
		c.calls = append(c.calls, *x)
	}
}
func (c *concluded) Registration(r *sip.Registration) { c.regs = append(c.regs, *r) }
func (c *concluded) Request(q *sip.Request)           { c.requests = append(c.requests, *q) }
func (c *concluded) Record(*control.Record)           {}
func (c *concluded) Interval(*rtp.Interval)           {}
func (c *concluded) Stream(*rtp.Stream, bool)         {}

// A recorder of cameras keeps one account, says every minute that it is alive,
// and is called for many streams at once by a platform (GB/T 28181): an honest
// lookalike of a gateway, and told as what it is.
func TestCameraPlatform(t *testing.T) {
	f := newSIPFile()
	recorder, platform := [4]byte{203, 0, 113, 9}, [4]byte{198, 51, 100, 9}
	const device, domain = "34020000001110000001", "34020000002000000001"
	now := int64(1_780_000_000e9)
	say := func(src, dst [4]byte, first, from, to, id, cseq, more, body string) {
		now += 20e6
		f.put(now, src, dst, first+"\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK2006538454"+id+"\r\n"+
			fmt.Sprintf("From: <sip:%s@3402000000>;tag=%s1\r\nTo: <sip:%s@3402000000>\r\nCall-ID: %[2]s@192.168.1.109\r\nCSeq: %[4]s\r\nMax-Forwards: 70\r\nUser-Agent: IP Camera\r\n%[5]sContent-Length: %d\r\n\r\n%[7]s", from, id, to, cseq, more, len(body), body))
	}
	stream := func(addr string) string {
		return "v=0\r\no=" + domain + " 0 0 IN IP4 " + addr + "\r\ns=Play\r\nc=IN IP4 " + addr + "\r\nt=0 0\r\nm=video 30000 RTP/AVP 96\r\na=recvonly\r\na=rtpmap:96 PS/90000\r\ny=0100000001\r\nf=\r\n"
	}
	for minute := range 30 {
		id := fmt.Sprintf("18351244%02d", minute)
		const contact = "Contact: <sip:" + device + "@192.168.1.109:5060>\r\nExpires: 3600\r\n"
		if minute == 0 {
			say(recorder, platform, "REGISTER sip:"+domain+"@3402000000 SIP/2.0", device, device, "r", "1 REGISTER", contact, "")
			say(platform, recorder, "SIP/2.0 200 OK", device, device, "r", "1 REGISTER", contact, "")
		}
		alive := "<?xml version=\"1.0\"?>\r\n<Notify>\r\n<CmdType>Keepalive</CmdType>\r\n<SN>1</SN>\r\n<DeviceID>" + device + "</DeviceID>\r\n<Status>OK</Status>\r\n</Notify>\r\n"
		say(recorder, platform, "MESSAGE sip:"+domain+"@3402000000 SIP/2.0", device, domain, "k"+id, "20 MESSAGE", "Content-Type: Application/MANSCDP+xml\r\n", alive)
		say(platform, recorder, "SIP/2.0 200 OK", device, domain, "k"+id, "20 MESSAGE", "", "")
		for camera := range 4 {
			channel := fmt.Sprintf("340200000013200%05d", minute*4+camera)
			call := fmt.Sprintf("c%s%d", id, camera)
			uri := "INVITE sip:" + channel + "@192.0.2.1:5060 SIP/2.0"
			say(platform, recorder, uri, domain, channel, call, "1 INVITE", "Subject: "+channel+":0100000001,"+domain+":0\r\nContent-Type: APPLICATION/SDP\r\n", stream("198.51.100.9"))
			say(recorder, platform, "SIP/2.0 200 OK", domain, channel, call, "1 INVITE", "Content-Type: application/sdp\r\n", stream("203.0.113.9"))
			say(platform, recorder, "ACK sip:"+channel+"@192.0.2.1:5060 SIP/2.0", domain, channel, call, "1 ACK", "", "")
			say(platform, recorder, "BYE sip:"+channel+"@192.0.2.1:5060 SIP/2.0", domain, channel, call, "2 BYE", "", "")
			say(recorder, platform, "SIP/2.0 200 OK", domain, channel, call, "2 BYE", "", "")
		}
		now += 50e9
	}
	seen := &concluded{}
	r, err := Run(t.Context(), opened(t, f.bytes), Config{Workers: 2, Observe: seen})
	if err != nil {
		t.Fatal(err)
	}
	if seen.messages != f.messages || len(seen.calls) != 120 || len(seen.requests) != 30 || len(seen.regs) != 1 {
		t.Fatalf("%d of %d messages, %d calls, %d requests, %d refreshes", seen.messages, f.messages, len(seen.calls), len(seen.requests), len(seen.regs))
	}
	for _, c := range seen.calls {
		if c.Content != sip.ContentMANSCDP || !c.Video || c.CalleeClass == ident.NumberMobile || c.CallerMedia.Port != 0 {
			t.Fatalf("a stream: %+v", c)
		}
	}
	for _, q := range seen.requests {
		if q.Content != sip.ContentMANSCDP || q.Status != 200 || q.Method != sip.MESSAGE {
			t.Fatalf("a sign of life: %+v", q)
		}
	}
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Verdict > heuristics.None {
			t.Errorf("%v rises to %v", f.Line, f.Verdict)
		}
	}
}
