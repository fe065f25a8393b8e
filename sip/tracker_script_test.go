package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"simtrap/ident"
	"simtrap/packet"
)

// A script is a sequence of messages, one a line:
//
//	MS FROM>TO START [key=value ...]
//
// MS is the time in milliseconds, FROM and TO are letters, optionally with a
// port, START is a method or "STATUS/METHOD". Keys: cseq, br (branch), ft and tt
// (tags of From and To; ft is "f" unless set), uri, from, to (user parts), pai,
// id (Call-ID), sdp (ADDR:PORT), more (lines for the sdp, "|" between them, "_"
// for a blank), type and body (of a body that is no sdp), head (header lines,
// written like more), ua, contact (USER@HOST:PORT;expires=N, or *), expires. A line that begins with "+" lets time pass to MS.
const scriptStart = int64(1_700_000_000_000) // ms

// failer is what testing.TB and rapid.T have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

type scripted struct {
	packet packet.Packet
	text   string
}

func hosts(s string) Party {
	name, port, ok := strings.Cut(s, ":")
	p := 5060
	if ok {
		p, _ = strconv.Atoi(port)
	}
	// A is 192.0.2.65, B is 192.0.2.66 and so on.
	return Party{ident.AddrFromNetip(netip.AddrFrom4([4]byte{192, 0, 2, name[0]})), uint16(p)}
}

func readScript(t failer, script string) []scripted {
	t.Helper()
	var out []scripted
	for _, line := range strings.Split(script, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if f[0] == "+" {
			ms, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatalf("script line %q: %v", line, err)
			}
			out = append(out, scripted{packet: packet.Packet{Time: (scriptStart + ms) * 1e6}})
			continue
		}
		out = append(out, readStep(t, line, f))
	}
	return out
}

func readStep(t failer, line string, f []string) scripted {
	t.Helper()
	ms, err := strconv.ParseInt(f[0], 10, 64)
	from, to, ok := strings.Cut(f[1], ">")
	if err != nil || !ok || len(f) < 3 {
		t.Fatalf("script line %q", line)
	}
	src, dst := hosts(from), hosts(to)
	v := map[string]string{"cseq": "1", "br": "b1", "ft": "f", "uri": "13812345678", "from": "1001", "to": "13812345678", "id": "call-1"}
	for _, kv := range f[3:] {
		k, val, _ := strings.Cut(kv, "=")
		v[k] = val
	}
	status, method, isResponse := strings.Cut(f[2], "/")
	var b strings.Builder
	if isResponse {
		fmt.Fprintf(&b, "SIP/2.0 %s Reason\r\n", status)
	} else {
		method = status
		fmt.Fprintf(&b, "%s sip:%s@192.0.2.200 SIP/2.0\r\n", method, v["uri"])
	}
	tag := func(s string) string {
		if s == "" {
			return ""
		}
		return ";tag=" + s
	}
	fmt.Fprintf(&b, "Via: SIP/2.0/UDP 192.0.2.201:5060;branch=z9hG4bK%s\r\n", v["br"])
	fmt.Fprintf(&b, "From: <sip:%s@example.com>%s\r\nTo: <sip:%s@example.com>%s\r\n", v["from"], tag(v["ft"]), v["to"], tag(v["tt"]))
	fmt.Fprintf(&b, "Call-ID: %s\r\nCSeq: %s %s\r\nMax-Forwards: 70\r\n", v["id"], v["cseq"], method)
	if pai := v["pai"]; pai != "" {
		fmt.Fprintf(&b, "P-Asserted-Identity: <sip:%s@example.com>\r\n", pai)
	}
	if ua := v["ua"]; ua != "" {
		fmt.Fprintf(&b, "User-Agent: %s\r\n", ua)
	}
	if e := v["expires"]; e != "" {
		fmt.Fprintf(&b, "Expires: %s\r\n", e)
	}
	if c := v["contact"]; c == "*" {
		b.WriteString("Contact: *\r\n")
	} else if c != "" {
		for _, one := range strings.Split(c, "|") {
			uri, params, has := strings.Cut(one, ";")
			if has {
				params = ";" + params
			}
			fmt.Fprintf(&b, "Contact: <sip:%s>%s\r\n", uri, params)
		}
	}
	lines := strings.NewReplacer("_", " ", "|", "\r\n")
	if h := v["head"]; h != "" {
		b.WriteString(lines.Replace(h) + "\r\n")
	}
	body := lines.Replace(v["body"])
	if k := v["type"]; k != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\n", k)
	}
	if s := v["sdp"]; s != "" {
		host, port, _ := strings.Cut(s, ":")
		body = fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %s RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n", host, host, port)
		if more := v["more"]; more != "" {
			body += lines.Replace(more) + "\r\n"
		}
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return scripted{
		packet: packet.Packet{
			Time: (scriptStart + ms) * 1e6, Src: src.Addr, SrcPort: src.Port, Dst: dst.Addr, DstPort: dst.Port, Proto: packet.UDP,
		},
		text: b.String(),
	}
}

// recorder keeps what a Tracker tells.
type recorder struct {
	events []string
	calls  map[uint64]Call // as last told
	ended  map[uint64]int
	regs   []Registration
	asked  []Request
	bad    []string // broken promises
}

func newRecorder() *recorder { return &recorder{calls: map[uint64]Call{}, ended: map[uint64]int{}} }

var eventNames = map[CallEvent]string{
	CallStarted: "started", CallMedia: "media", CallRinging: "ringing",
	CallAnswered: "answered", CallVerified: "verified", CallEnded: "ended",
}

func (r *recorder) Call(c *Call, e CallEvent) {
	_, known := r.calls[c.ID]
	if known == (e == CallStarted) {
		r.bad = append(r.bad, fmt.Sprintf("call %d: %s out of turn", c.ID, eventNames[e]))
	}
	if r.ended[c.ID] > 0 {
		r.bad = append(r.bad, fmt.Sprintf("call %d: %s after its end", c.ID, eventNames[e]))
	}
	if e == CallEnded {
		r.ended[c.ID]++
	}
	r.events = append(r.events, fmt.Sprintf("%d %s", c.ID, eventNames[e]))
	r.calls[c.ID] = *c
	r.order(c)
}

// order checks that the times of a call come in the order of things.
func (r *recorder) order(c *Call) {
	last, name := int64(0), ""
	check := func(t int64, n string) {
		if t != 0 && t < last {
			r.bad = append(r.bad, fmt.Sprintf("call %d: %s before %s", c.ID, n, name))
		}
		if t != 0 {
			last, name = t, n
		}
	}
	check(c.Invite, "invite")
	for _, t := range []struct {
		t int64
		n string
	}{{c.Trying, "trying"}, {c.Ringing, "ringing"}, {c.Progress, "progress"}} {
		if t.t != 0 && (t.t < c.Invite || c.Answer != 0 && t.t > c.Answer) {
			r.bad = append(r.bad, fmt.Sprintf("call %d: %s outside invite and answer", c.ID, t.n))
		}
	}
	check(c.Answer, "answer")
	check(c.Ack, "ack")
	check(c.End, "end")
	check(c.Last, "last")
}

func (r *recorder) Registration(g *Registration) {
	kind := "registered"
	if g.Removed {
		kind = "removed"
	}
	r.events = append(r.events, fmt.Sprintf("%s %d/%d/%d", kind, g.Requests, g.Accepted, g.Refused))
	r.regs = append(r.regs, *g)
}

func (r *recorder) Request(q *Request) {
	r.asked = append(r.asked, *q)
	b := q.From.Addr.As16()
	r.events = append(r.events, fmt.Sprintf("request %d from %c status %d at %d", q.Method, b[15], q.Status, q.Time/1e6-scriptStart))
}

// play parses a script and lets a Tracker follow it.
func play(t failer, cfg Config, script string) (*recorder, *Tracker) {
	t.Helper()
	r := newRecorder()
	tr := NewTracker(cfg, r)
	for _, s := range readScript(t, script) {
		feed(t, tr, s)
	}
	return r, tr
}

func feed(t failer, tr *Tracker, s scripted) {
	t.Helper()
	if s.text == "" {
		tr.Advance(s.packet.Time)
		return
	}
	var m Message
	// The bytes are overwritten afterwards: nothing of them may be kept.
	raw := []byte(s.text)
	if err := Parse(raw, &m); err != nil {
		t.Fatalf("parse: %v\n%s", err, s.text)
	}
	tr.Message(&s.packet, &m)
	for i := range raw {
		raw[i] = '!'
	}
}

func at(ms int64) int64 {
	return (scriptStart + ms) * 1e6
}
