package lab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// ami is the manager interface of a gateway on Asterisk, worked from outside
// (research notes on gateways, section 2.6): the gateway is the server, and its
// clients ask for the states of its GSM spans and send messages by them.
type ami struct {
	g      *rig
	r      *rand.Rand
	client *node
	port   uint16
	conn   *conn
	action string // Yeastar's word or Asterisk's
	first  int    // number of the first span
	events bool
	brief  bool // a session for each question
	alone  int  // the span asked for in detail next
	secret string
	id     int
}

// manager opens the box's manager interface at port to a client.
func (g *rig) manager(port uint16) {
	r, n := g.r, len(g.channels)
	x := &ami{
		g: g, r: r, client: g.s.host("sms server", r.IntN(4) > 0), port: port, action: pick(r, "smscommand", "smscommand", "SMSCommand"), first: pick(r, 1, 2, 2),
		events: r.IntN(2) == 0, brief: r.IntN(3) == 0, secret: pick(r, "apipass", word(8)(r)), id: r.IntN(1000),
	}
	g.l.controls(x.client, "sms-server")
	g.shows(ShowControl)
	states, detail := r.IntN(5) > 0, r.IntN(2) == 0
	if states || !detail {
		period := pick(r, 10*time.Second, 30*time.Second, time.Minute, between(r, 15*time.Second, 4*time.Minute))
		x.often(period, x.list)
	}
	if detail {
		g.shows(ShowCards)
		x.often(between(r, 10*time.Second, 90*time.Second), x.detail)
	}
	if x.events {
		g.showsMessages()
		g.s.arrivals(r, g.s.start, time.Duration(float64(time.Hour)/(float64(n)*share(r, 0.5, 8))), x.received)
	}
	if r.IntN(3) == 0 {
		g.showsMessages()
		g.s.arrivals(r, g.s.start, between(r, 10*time.Second, 3*time.Minute), x.send)
	}
}

func (x *ami) often(period time.Duration, fn func()) {
	x.g.s.every(x.g.s.start+int64(between(x.r, time.Second, period)), func() time.Duration { return period + time.Duration(x.r.Int64N(int64(300*time.Millisecond))) }, func() bool {
		fn()
		return true
	})
}

// session gives a connection that is signed in, and when one may speak on it.
func (x *ami) session() (*conn, int64) {
	s, now := x.g.s, x.g.s.now
	if x.conn != nil {
		return x.conn, now
	}
	c := s.dial(x.client, uint16(32768+x.r.IntN(28000)), x.g.node, x.port, kindControl)
	// The greeting comes first, so the handshake must be sent before.
	c.handshake(now)
	t := c.send(now+int64(400*time.Millisecond), 1, []byte("Asterisk Call Manager/1.1\r\n"))
	t = c.send(t+int64(time.Millisecond), 0, []byte("Action: Login\r\nUsername: apiuser\r\nSecret: "+x.secret+"\r\n\r\n"))
	t = c.send(t+int64(4*time.Millisecond), 1, []byte("Response: Success\r\nMessage: Authentication accepted\r\n\r\n"))
	if !x.brief {
		x.conn = c
	}
	return c, t + int64(5*time.Millisecond)
}

// ask sends a command of the GSM part and lets the gateway answer.
func (x *ami) ask(command, answer string, who ...string) {
	c, t := x.session()
	t = c.send(t, 0, []byte("Action: "+x.action+"\r\ncommand: "+command+"\r\n\r\n"))
	t = c.send(t+int64(between(x.r, 3*time.Millisecond, 80*time.Millisecond)), 1, []byte("Response: Follows\r\nPrivilege: SMSCommand\r\n"+answer+"--END COMMAND--\r\n\r\n"))
	x.g.s.at(t, func() { x.g.record(x.client, who...) })
	if x.brief {
		t = c.send(t+int64(5*time.Millisecond), 0, []byte("Action: Logoff\r\n\r\n"))
		c.close(t + int64(5*time.Millisecond))
	}
}

func (x *ami) stateOf(ch *channel) string {
	switch {
	case ch.card.IMSI == "":
		return "Power on, Provisioned, Down, Undetected SIM Card,Standard"
	case ch.downUntil > x.g.s.now:
		return "Power on, Provisioned, Down, Active,Standard"
	}
	return "Power on, Provisioned, Up, Active,Standard"
}

func (x *ami) list() {
	text, who := "", []string(nil)
	for i := range x.g.channels {
		text += fmt.Sprintf("GSM span %d: %s\r\n", x.first+i, x.stateOf(&x.g.channels[i]))
		who = append(who, portName(i))
	}
	x.ask("gsm show spans", text, who...)
}

// detail asks for one span after another.
func (x *ami) detail() {
	i := x.alone % len(x.g.channels)
	x.alone++
	ch := &x.g.channels[i]
	who := []string{portName(i)}
	if ch.card.IMSI != "" {
		who = append(who, cardName(ch.card))
	}
	network, service := "", "Not registered"
	if ch.card.IMSI != "" {
		network, service = operatorName(ch.card), "Registered (Home network)"
	}
	x.ask(fmt.Sprintf("gsm show span %d", x.first+i), fmt.Sprintf("D-channel: %d\nStatus: %s\nType: CPE\nManufacturer: Quectel\nModel Name: EC21\nModel IMEI: %s\nRevision: EC21AFAR05A06M4G\nNetwork Name: %s\nNetwork Status: %s\nSignal Quality (0,31): %d\nSIM IMSI: %s\nLast event: D-Channel Up\n",
		x.first+i, x.stateOf(ch), ch.card.IMEI, network, service, 8+x.r.IntN(24), ch.card.IMSI), who...)
}

// received is the event of a short message; only a session that is held hears
// of it.
func (x *ami) received() {
	i := x.r.IntN(len(x.g.channels))
	if x.conn == nil || x.g.channels[i].card.IMSI == "" {
		return
	}
	now := time.Unix(0, x.g.s.now).UTC().Format("2006-01-02 15:04:05")
	x.conn.send(x.g.s.now, 1, fmt.Appendf(nil, "Event: ReceivedSMS\r\nPrivilege: all,smscommand\r\nID: \r\nGsmSpan: %d\r\nSender: +86%s\r\nRecvtime: %s\r\nIndex: 1\r\nTotal: 1\r\nSmsc: +8613800%06d\r\nContent: %s\r\n--END SMS EVENT--\r\n\r\n",
		x.first+i, mobile(x.r), now, x.r.IntN(1_000_000), pick(x.r, "code+4711", "OK", "hello")))
	x.g.record(x.client, portName(i))
}

func (x *ami) send() {
	i := x.r.IntN(len(x.g.channels))
	x.id++
	x.ask(fmt.Sprintf("gsm send sms %d %s \"hello\" %d", x.first+i, mobile(x.r), x.id), "", portName(i))
}

func controlAMI(s *sim) {
	r := s.rng("control ami")
	n := controlSize(r, 1, 32)
	g := newRig(s, r, ClassGateway, fmt.Sprintf("gateway on Asterisk, %d ports", n), n)
	kind := g.drawn("asterisk")
	g.manager(pick(r, uint16(5038), 5038, 5038, 5038, uint16(1024+r.IntN(60000))))
	g.begin(kind)
	g.surroundings()
}
