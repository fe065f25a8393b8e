package control

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
)

func devStatus(seq int, ports ...string) string {
	return fmt.Sprintf(`{"type":"dev-status","seq":%d,"expires":180,"mac":"00-30-f1-01-02-03","ip":"192.168.1.67","ver":"621-1001","max-ports":32,"max-slots":4,"status":[%s]}`, seq, strings.Join(ports, ","))
}

func ejoinPortOf(port, imei, imsi, iccid string) string {
	return fmt.Sprintf(`{"port":"%s","st":3,"imei":"%s","imsi":"%s","iccid":"%s","sn":"+8613800138000","opr":"46000 CMCC","bal":"0.00","sig":21,"inserted":1,"slot_active":1}`, port, imei, imsi, iccid)
}

func twoPorts(seq int) string {
	return devStatus(seq, ejoinPortOf("1.01", imei1, imsi1, iccid1), ejoinPortOf("2.01", imei2, imsi2, iccid2))
}

func httpPost(body string, fields ...string) []byte {
	return fmt.Appendf(nil, "POST /report?key=%s HTTP/1.1\r\nHost: 198.51.100.9:8080\r\nContent-Type: application/json;charset=utf-8\r\n%sContent-Length: %d\r\n\r\n%s",
		secret, strings.Join(fields, ""), len(body), body)
}

func httpOK(body string, fields ...string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", strings.Join(fields, ""), len(body), body)
}

const ejoinPull = "GET /goip_get_status.html?username=root&password=" + secret + "&all_sims=1 HTTP/1.1\r\nHost: 203.0.113.7\r\n\r\n"

// turn is what one end says: the gateway, or the server.
type turn struct {
	up   bool
	text []byte
}

// talk feeds conversations over TCP to a Set and Sessions, both directions of a
// connection knowing each other.
type talk struct {
	t        testing.TB
	set      *Set
	sessions *Sessions
	streams  map[way]*Stream
	records  []Record
	origin   Origin // of streams to come
}

func newTalk(t testing.TB) *talk {
	return &talk{t: t, set: New(), sessions: NewSessions(Limits{}), streams: map[way]*Stream{}, origin: OriginStart}
}

func (x *talk) tcp(w way, at int64, b []byte) {
	w = w.tcp()
	if x.streams[w] == nil {
		x.streams[w] = x.set.NewStream(x.streams[w.back()])
		x.streams[w].Began(x.origin)
	}
	x.streams[w].Push(w.packet(at, b), func(r *Record) {
		leaks(x.t, r)
		x.records = append(x.records, *r)
		x.sessions.Record(r)
	})
}

// about gives the evidence about an address by a protocol, nil when there is
// none.
func (x *talk) about(a ident.Addr, protocol string) *Evidence {
	for _, e := range x.sessions.All() {
		leaks(x.t, e)
		if e.Owner == a && e.Protocol == protocol {
			return e
		}
	}
	return nil
}

// lines gives what was read, in short.
func (x *talk) lines() (out []string) {
	for i := range x.records {
		r := &x.records[i]
		out = append(out, fmt.Sprintf("%s %d %v channel %d sound %v reply %v imsi %v imei %v iccid %v", r.Protocol, r.Kind, r.Sender, r.Channel, r.Sound, r.Reply, !r.IMSI.IsZero(), !r.IMEI.IsZero(), !r.ICCID.IsZero()))
	}
	return out
}

// converse runs a conversation over one connection, in pieces of a size.
func converse(t testing.TB, size int, turns ...turn) *talk {
	t.Helper()
	x := newTalk(t)
	for i, c := range turns {
		w := up(30000)
		w.dstPort = 8080
		if !c.up {
			w = w.back()
		}
		for len(c.text) > 0 {
			n := min(size, len(c.text))
			x.tcp(w, int64(i)*20e6, c.text[:n])
			c.text = c.text[n:]
		}
	}
	return x
}

func ejoinLine(channel int, sound, reply bool) string {
	return fmt.Sprintf("ejoin %d gateway channel %d sound %v reply %v imsi true imei true iccid true", Identity, channel, sound, reply)
}

func TestEjoin(t *testing.T) {
	const plain = " imsi false imei false iccid false"
	both := []string{ejoinLine(1001, true, false), ejoinLine(2001, true, false)}
	unsound := []string{ejoinLine(1001, false, false), ejoinLine(2001, false, false)}
	accepted := fmt.Sprintf("ejoin %d server channel 0 sound true reply true", Answer) + plain
	refused := fmt.Sprintf("ejoin %d server channel 0 sound false reply true", Answer) + plain
	asked := fmt.Sprintf("ejoin %d server channel 0 sound true reply false", Command) + plain
	event := fmt.Sprintf("ejoin %d gateway channel 12001 sound true reply false", Event) + plain
	sms := `{"type":"recv-sms","sms_num":1,"sms":[[0,"12.01",1755697537,"10086","16463915790","` + smsText + `"]]}`
	chunked := func(s string) []byte {
		return fmt.Appendf(nil, "POST /report HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x;a=b\r\n%s\r\n0\r\n\r\n", 40, s[:40], len(s)-40, s[40:])
	}
	for name, c := range map[string]struct {
		turns []turn
		want  []string
	}{
		"pushed": {[]turn{{true, httpPost(twoPorts(1))}, {false, httpOK(`{"code":200}`)}}, append(both[:2:2], accepted)},
		"pushed twice": {[]turn{{true, httpPost(twoPorts(1))}, {false, httpOK("")}, {true, httpPost(twoPorts(2))}, {false, httpOK("")}},
			append(append(both[:2:2], accepted), append(both[:2:2], accepted)...)},
		"chunked":  {[]turn{{true, chunked(twoPorts(1))}, {false, httpOK("")}}, append(both[:2:2], accepted)},
		"pulled":   {[]turn{{false, []byte(ejoinPull)}, {true, httpOK(twoPorts(1))}}, []string{asked, ejoinLine(1001, true, true), ejoinLine(2001, true, true)}},
		"received": {[]turn{{true, httpPost(sms)}, {false, httpOK("")}}, []string{event, accepted}},
		"one port": {[]turn{{true, httpPost(`{"type":"port-status","port":"1.01","seq":7,"status":"3 ready","imei":"` + imei1 + `","imsi":"` + imsi1 + `","iccid":"` + iccid1 + `"}`)}},
			both[:1]},
		"until the end": {[]turn{{false, []byte(ejoinPull)}, {true, []byte("HTTP/1.0 200 OK\r\nServer: x\r\n\r\n" + twoPorts(1))}}, []string{asked, ejoinLine(1001, true, true), ejoinLine(2001, true, true)}},

		// Near misses: not sound.
		"not accepted":              {[]turn{{true, httpPost(twoPorts(1))}, {false, []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")}}, both},
		"IMEI with a typo":          {[]turn{{true, httpPost(strings.Replace(twoPorts(1), imei1, "356938035643808", 1))}, {false, httpOK("")}}, []string{strings.Replace(unsound[0], "imei true", "imei false", 1), unsound[1], refused}},
		"IMSI of a test":            {[]turn{{true, httpPost(strings.Replace(twoPorts(1), imsi1, "001010123456789", 1))}}, []string{strings.Replace(unsound[0], "imsi true", "imsi false", 1), unsound[1]}},
		"more than there are ports": {[]turn{{true, httpPost(strings.Replace(twoPorts(1), `"max-ports":32`, `"max-ports":1`, 1))}}, unsound},
		"no number of ports":        {[]turn{{true, httpPost(strings.Replace(twoPorts(1), `"max-ports"`, `"ports"`, 1))}}, unsound},
		"state is no number":        {[]turn{{true, httpPost(strings.Replace(twoPorts(1), `"st":3`, `"st":"up"`, 1))}}, unsound[1:]},

		// Near misses: nothing at all.
		"head not seen":       {[]turn{{true, []byte(twoPorts(1))}, {false, httpOK("")}}, nil},
		"a browser":           {[]turn{{true, httpPost(twoPorts(1), "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n")}, {false, httpOK("")}}, nil},
		"a page of another":   {[]turn{{true, httpPost(twoPorts(1), "Origin: http://example.org\r\n")}, {false, httpOK("")}}, nil},
		"a page, by referrer": {[]turn{{true, httpPost(twoPorts(1), "referer: http://example.org/\r\n")}, {false, httpOK("")}}, nil},
		"other JSON":          {[]turn{{true, httpPost(`{"type":"status","seq":1}`)}, {false, httpOK("")}}, nil},
		"cut short":           {[]turn{{true, httpPost(twoPorts(1))[:400]}}, nil},
		"broken JSON":         {[]turn{{true, httpPost(strings.Replace(twoPorts(1), `"status":[`, `"status":[[`, 1))}, {false, httpOK("")}}, nil},
		"a web site":          {[]turn{{false, []byte("GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n")}, {true, httpOK(twoPorts(1))}}, nil},
		"an answer unasked":   {[]turn{{true, httpOK(twoPorts(1))}}, nil},
		"not found":           {[]turn{{false, []byte(ejoinPull)}, {true, []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")}}, []string{asked}},
		"a page":              {[]turn{{false, []byte(ejoinPull)}, {true, httpOK("<html><body>no</body></html>")}}, []string{asked}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 20, 1000, 61, 1} {
				if d := cmp.Diff(c.want, converse(t, size, c.turns...).lines()); d != "" {
					t.Errorf("in pieces of %d: %s", size, d)
				}
			}
		})
	}
}

// A gateway of 64 ports with four slots each is told of in full; of a message
// with more than are held the others are, and that there were more. Nothing of
// either is held once it has come to its end, though the connection stays.
func TestEjoinLarge(t *testing.T) {
	for n, want := range map[int]int{256: 256, 600: ejoinCards + 1} {
		var ports []string
		for i := range n {
			ports = append(ports, ejoinPortOf(fmt.Sprintf("%d.%02d", i/4+1, i%4+1), "", "", ""))
		}
		body := strings.Replace(devStatus(1, ports...), `"max-ports":32`, `"max-ports":150`, 1)
		x := converse(t, 1400, turn{true, httpPost(body)})
		sound := 0
		for i := range x.records {
			if x.records[i].Sound {
				sound++
			}
		}
		if len(x.records) != want || sound != min(n, ejoinCards) {
			t.Errorf("%d slots: %d records, %d sound", n, len(x.records), sound)
		}
		for _, st := range x.streams {
			for _, r := range st.states {
				if h, ok := r.(*httpStream); ok && h.message.cards != nil {
					t.Errorf("%d slots: %d still held", n, len(h.message.cards))
				}
			}
		}
	}
}

// report posts from a port of its own and lets the server answer.
func report(x *talk, at int64, port uint16, body []byte, answers bool) {
	w := up(port)
	w.dstPort = 8080
	x.tcp(w, at, body)
	if answers {
		x.tcp(w.back(), at+20e6, httpOK(`{"code":200}`))
	}
}

// Each report comes on a connection of its own, and each is answered.
func TestEjoinProof(t *testing.T) {
	run := func(f func(x *talk)) *talk {
		x := newTalk(t)
		f(x)
		return x
	}
	pushes := func(n int, period int64, answers bool, body func(int) []byte) func(*talk) {
		return func(x *talk) {
			for i := range n {
				report(x, int64(i)*period, uint16(40000+i), body(i), answers)
			}
		}
	}
	good := func(i int) []byte { return httpPost(twoPorts(i)) }
	pull := func(x *talk, i int, body string) {
		w := way{server, gateway, uint16(50000 + i), 80, 6}
		x.tcp(w, int64(i)*60*second, []byte(ejoinPull))
		x.tcp(w.back(), int64(i)*60*second+20e6, httpOK(body))
	}
	for name, c := range map[string]struct {
		x     *talk
		proof bool
	}{
		"three reports": {run(pushes(3, 60*second, true, good)), true},
		"one connection": {run(func(x *talk) {
			for i := range 5 {
				report(x, int64(i)*60*second, 40000, good(i), true)
			}
		}), true},
		"asked for": {run(func(x *talk) {
			for i := range 3 {
				pull(x, i, twoPorts(i))
			}
		}), true},

		"two reports":    {run(pushes(2, 60*second, true, good)), false},
		"too soon":       {run(pushes(5, 10*second, true, good)), false},
		"not answered":   {run(pushes(3, 60*second, false, good)), false},
		"one port":       {run(pushes(5, 60*second, true, func(i int) []byte { return httpPost(devStatus(i, ejoinPortOf("1.01", imei1, imsi1, iccid1))) })), false},
		"from a browser": {run(pushes(9, 60*second, true, func(i int) []byte { return httpPost(twoPorts(i), "User-Agent: Mozilla/5.0\r\n") })), false},
		"without a head": {run(pushes(9, 60*second, true, func(i int) []byte { return []byte(twoPorts(i)) })), false},
		"in the middle of a connection": {run(func(x *talk) {
			x.origin = OriginMiddle
			pushes(9, 60*second, true, good)(x)
		}), false},
		"beginning not seen": {run(func(x *talk) {
			x.origin = OriginUnknown
			pushes(9, 60*second, true, good)(x)
		}), false},
		"asked for a web page": {run(func(x *talk) {
			for i := range 9 {
				pull(x, i, "<html></html>")
			}
		}), false},
		// A service of the line sends back what it is sent.
		"an echo of reports": {run(func(x *talk) {
			for i := range 9 {
				w := way{server, gateway, uint16(50000 + i), 7, 6}
				x.tcp(w, int64(i)*60*second, good(i))
				x.tcp(w.back(), int64(i)*60*second+1e6, good(i))
				x.tcp(w, int64(i)*60*second+2e6, httpOK(""))
				x.tcp(w.back(), int64(i)*60*second+3e6, httpOK(""))
			}
		}), false},
		"an echo of answers": {run(func(x *talk) {
			for i := range 9 {
				w := way{server, gateway, uint16(50000 + i), 7, 6}
				x.tcp(w, int64(i)*60*second, []byte(ejoinPull))
				x.tcp(w, int64(i)*60*second+1e6, httpOK(twoPorts(i)))
				x.tcp(w.back(), int64(i)*60*second+2e6, []byte(ejoinPull))
				x.tcp(w.back(), int64(i)*60*second+3e6, httpOK(twoPorts(i)))
			}
		}), false},
	} {
		e := c.x.about(gateway, Ejoin)
		if e == nil {
			if c.proof {
				t.Errorf("%s: no evidence in %v", name, c.x.lines())
			}
			continue
		}
		proof, oneWay, reason := e.Proof()
		if proof != c.proof || proof && (oneWay || e.Role != RoleGateway || e.Verified.IMSIs != 2 || e.Verified.Channels != 2) {
			t.Errorf("%s: %v %v %s, %+v", name, proof, oneWay, reason, e.Verified)
		}
		if o := c.x.about(server, Ejoin); o != nil {
			if proof, _, _ := o.Proof(); proof {
				t.Errorf("%s: the server is a gateway", name)
			}
		}
	}
}
