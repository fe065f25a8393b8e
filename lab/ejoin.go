package lab

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// ejoin is the gateway's side of Ejoin's and Skyline's interface (research notes
// on gateways, section 2.5): HTTP with JSON, a connection for each report.
type ejoin struct {
	b      *box
	server *node
	port   uint16
	path   string
	agent  string // User-Agent of its reports
	split  bool   // head and body leave in two pieces
	seq    int
	secret string
}

// reports lets the box tell a server of its ports and cards every minute or
// two; asked too, a server asks for them as well.
func (b *box) reports(server *node) {
	r := b.l.rng
	x := &ejoin{
		b: b, server: server, port: pick(r, uint16(80), 8080, 8000, 9600), secret: word(8)(r),
		path: pick(r, "/", "/report", "/api/status.php", "/goip/callback"), agent: pick(r, "", "", "Goip", "curl/7.29.0"),
		split: r.IntN(3) == 0,
	}
	b.l.controls(server, "management")
	b.l.truth.Proof = true
	b.s.every(b.s.start+int64(between(r, time.Second, 20*time.Second)), func() time.Duration { return time.Minute }, func() bool {
		x.post(x.status())
		return true
	})
	b.s.every(b.s.start+int64(between(r, 30*time.Second, 90*time.Second)), func() time.Duration { return 5 * time.Minute }, func() bool {
		x.pull()
		return true
	})
	b.s.arrivals(r, b.s.start, 4*time.Minute, func() { x.post(x.sms(r.IntN(len(b.channels)))) })
}

// status is what the box says of itself.
func (x *ejoin) status() string {
	x.seq++
	var ports []string
	for i, ch := range x.b.channels {
		st := 3
		switch {
		case ch.downUntil > x.b.s.now:
			st = 2
		case ch.busy:
			st = 4
		}
		ports = append(ports, fmt.Sprintf(`{"port":"%d.01","sim":"","seq":%d,"st":%d,"imei":"%s","active":1,"inserted":1,"slot_active":1,"led":0,"network":4,"iccid":"%s","imsi":"%s","sn":"%s","opr":"%s","bal":"0.00","sig":%d}`,
			i+1, x.seq, st, ch.card.IMEI, ch.card.ICCID, ch.card.IMSI, ch.card.MSISDN, operatorName(ch.card), 12+x.b.l.rng.IntN(20)))
	}
	return fmt.Sprintf(`{"type":"dev-status","seq":%d,"expires":180,"mac":"00-30-f1-%02x-02-03","ip":"192.168.1.67","ver":"621-1001","max-ports":%d,"max-slots":1,"status":[%s]}`,
		x.seq, x.b.channels[0].lac&0xff, len(x.b.channels), strings.Join(ports, ","))
}

// sms tells of a message that arrived.
func (x *ejoin) sms(port int) string {
	text := base64.StdEncoding.EncodeToString([]byte("Sender: 10086\r\nReceiver: \"1.01\"\r\n\r\nYour code is 4711"))
	return fmt.Sprintf(`{"type":"recv-sms","sms_num":1,"sms":[[0,"%d.01",%d,"10086","%s","%s"]]}`, port+1, x.b.s.now/int64(time.Second), x.b.channels[port].card.MSISDN, text)
}

// post sends a report on a connection of its own.
func (x *ejoin) post(body string) {
	r := x.b.l.rng
	c := x.b.s.dial(x.b.node, uint16(32768+r.IntN(28000)), x.server, x.port, kindControl)
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\n", x.path, hostPort(x.server.addr, x.port))
	if x.agent != "" {
		head += "User-Agent: " + x.agent + "\r\n"
	}
	head += fmt.Sprintf("Content-Type: application/json;charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", len(body))
	t := x.b.s.now
	if x.split {
		t = c.send(t, 0, []byte(head))
		t = c.send(t, 0, []byte(body))
	} else {
		t = c.send(t, 0, []byte(head+body))
	}
	t = c.send(t+int64(5*time.Millisecond), 1, []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"code\":200}"))
	c.close(t + int64(time.Millisecond))
}

// pull is the server asking for the same.
func (x *ejoin) pull() {
	r := x.b.l.rng
	c := x.b.s.dial(x.server, uint16(32768+r.IntN(28000)), x.b.node, 80, kindControl)
	body := x.status()
	t := c.send(x.b.s.now, 0, fmt.Appendf(nil, "GET /goip_get_status.html?version=1.1&username=root&password=%s&all_sims=1 HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n", x.secret, x.b.node.addr))
	t = c.send(t+int64(20*time.Millisecond), 1, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	c.close(t + int64(time.Millisecond))
}

// ejoinBox is an Ejoin-like gateway that reports to a server and hides its SIP.
func ejoinBox(s *sim) {
	n := pick(s.rng("size"), 8, 16, 32)
	l := s.newLine(ClassGateway, fmt.Sprintf("Ejoin-like, %d ports, SIP in Base64", n), VerdictWatch, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	b.softswitch(dialVOS("V2.1.8.05"), "registrar")
	b.ctrl.disguise = func(m []byte) []byte { return base64.StdEncoding.AppendEncode(nil, m) }
	d := dialQuiet()
	d.tag, d.expires = hex8, 180
	for i := range b.channels {
		a := b.account(d, 5060, fmt.Sprint(8000+i))
		a.disguise = b.ctrl.disguise
		b.channels[i].account = a
		s.register(s.start+int64(i)*int64(150*time.Millisecond), a, b.ctrl, 90*time.Second, true)
	}
	b.reports(s.host("management server", true))
	b.start()
	b.boot()
}
