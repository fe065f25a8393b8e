package lab

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// reporter is the gateway's side of Ejoin's and Skyline's interface (research
// notes on gateways, section 2.5): HTTP with JSON, pushed or asked for.
type reporter struct {
	g      *rig
	r      *rand.Rand
	server *node
	port   uint16 // the server's
	own    uint16 // the gateway's
	look   reportLook
	cards  [][]Card // by port and slot
	slot   []int    // which of them is in use
	seq    int
	conn   *conn // held open, nil for one each time
}

// reportLook is what its firmware says, and how.
type reportLook struct {
	period    time.Duration
	path      string
	agent     string
	host      string // of the server, where it has a name
	mac, ver  string
	split     bool // head and body leave in two pieces
	hold      bool // one connection for all reports
	all       bool // every slot, or those in use
	skyline   bool
	changes   bool // a report of its own for a port that changed
	spaced    bool // JSON with blanks
	ids       bool
	secret    string
	operators bool
}

// reports lets the box tell a server of its ports, or the server ask. port is
// the server's.
func (g *rig) reports(port uint16, skyline bool) {
	r, n := g.r, len(g.channels)
	x := &reporter{g: g, r: r, server: g.s.host("management server", r.IntN(4) > 0), port: port, own: pick(r, uint16(80), 80, 80, 8080, 8000, uint16(1024+r.IntN(60000)))}
	x.look = reportLook{
		period: pick(r, time.Minute, time.Minute, 2*time.Minute, 3*time.Minute, between(r, time.Minute, 5*time.Minute)),
		path:   pick(r, "/", "/report", "/api/status.php", "/goip/callback", "/"+word(3+r.IntN(8))(r)), agent: pick(r, "", "", "Goip", "curl/7.29.0"),
		mac: fmt.Sprintf("00-30-f1-%02x-%02x-%02x", r.IntN(256), r.IntN(256), r.IntN(256)),
		ver: fmt.Sprintf("%d-%d-%d-%d", pick(r, 621, 628, 720), 600+r.IntN(300), r.IntN(100), 41+r.IntN(60)), split: r.IntN(3) == 0, hold: r.IntN(4) == 0,
		all: r.IntN(2) == 0, skyline: skyline, changes: r.IntN(3) > 0, spaced: r.IntN(3) == 0, ids: r.IntN(10) > 0, secret: word(4 + r.IntN(8))(r), operators: r.IntN(2) == 0,
	}
	if r.IntN(3) == 0 {
		x.look.host = fmt.Sprintf("gw%d.example.net", r.IntN(100))
	}
	g.l.controls(x.server, "management")
	g.shows(ShowControl)
	if x.look.ids {
		g.shows(ShowCards)
	}
	x.slots(n, skyline)
	push, pull := r.IntN(5) > 0, r.IntN(3) == 0
	if push || !pull {
		g.s.every(g.s.start+int64(between(r, time.Second, time.Minute)), func() time.Duration { return x.look.period + time.Duration(r.Int64N(int64(80*time.Millisecond))) }, func() bool {
			x.post(x.status(), x.ports()...)
			return true
		})
	}
	if pull {
		period := between(r, 20*time.Second, 5*time.Minute)
		g.s.every(g.s.start+int64(between(r, time.Second, period)), func() time.Duration { return period }, func() bool {
			x.pull()
			return true
		})
	}
	if r.IntN(3) == 0 {
		g.showsMessages()
		g.s.arrivals(r, g.s.start, time.Duration(float64(time.Hour)/(float64(n)*share(r, 0.5, 8))), func() { x.message(r.IntN(n)) })
	}
	if skyline && r.IntN(2) == 0 {
		g.showsMessages()
		g.s.arrivals(r, g.s.start, between(r, 15*time.Second, 4*time.Minute), x.tasks)
	}
	g.tell = append(g.tell, x)
}

// slots fills the slots of the ports with cards, and lets the box turn from one
// to the next.
func (x *reporter) slots(n int, skyline bool) {
	r, g := x.r, x.g
	slots := pick(r, 1, 1, 1, 2, 4, 8)
	if skyline {
		slots = pick(r, 1, 4, 8, 16)
	}
	slots = max(1, min(slots, 256/n))
	x.slot = make([]int, n)
	for i := range n {
		x.cards = append(x.cards, []Card{g.channels[i].card})
	}
	if slots == 1 {
		return
	}
	g.spare = nil // what is not in a slot is not there
	for i := range n {
		for _, c := range newCards(r, slots-1) {
			c.IMEI = x.cards[i][0].IMEI
			if r.IntN(4) == 0 {
				c = Card{IMEI: c.IMEI}
			} else if x.look.all {
				g.l.truth.Cards = append(g.l.truth.Cards, c)
			}
			x.cards[i] = append(x.cards[i], c)
		}
	}
	g.s.arrivals(r, g.s.start, between(r, 30*time.Second, 10*time.Minute), func() { x.turn(r.IntN(n)) })
}

// turn takes the next card of port i into use.
func (x *reporter) turn(i int) {
	ch := &x.g.channels[i]
	if ch.busy || ch.downUntil > x.g.s.now {
		return
	}
	next := (x.slot[i] + 1) % len(x.cards[i])
	if x.cards[i][next].IMSI == "" {
		return
	}
	away := between(x.r, 15*time.Second, 90*time.Second)
	ch.downUntil = x.g.s.now + int64(away)
	x.slot[i], ch.card = next, x.cards[i][next]
	if !x.look.all && !hasCard(x.g.l.truth.Cards, ch.card) {
		x.g.l.truth.Cards = append(x.g.l.truth.Cards, ch.card)
	}
	if away > x.g.period {
		x.g.swaps++
	}
	x.changed(i)
}

func hasCard(cards []Card, c Card) bool {
	for _, have := range cards {
		if have == c {
			return true
		}
	}
	return false
}

// ports names the channels and cards of a report of all.
func (x *reporter) ports() []string {
	var who []string
	for i, ch := range x.g.channels {
		who = append(who, portName(i))
		for k, c := range x.cards[i] {
			if k == x.slot[i] {
				c = ch.card
			} else if !x.look.all {
				continue
			}
			if c.IMSI != "" && x.look.ids {
				who = append(who, cardName(c))
			}
		}
	}
	return who
}

// status is what the box says of itself.
func (x *reporter) status() string {
	x.seq++
	var list []string
	for i := range x.g.channels {
		for k := range x.cards[i] {
			if k == x.slot[i] || x.look.all {
				list = append(list, x.entry(i, k))
			}
		}
	}
	return x.spell(fmt.Sprintf(`{"type":"dev-status","seq":%d,"expires":%d,"mac":"%s","ip":"%s","ver":"%s","max-ports":%d,"max-slots":%d,"status":[%s]}`,
		x.seq, int(3*x.look.period/time.Second), x.look.mac, x.g.node.lan, x.look.ver, len(x.g.channels), len(x.cards[0]), strings.Join(list, ",")))
}

// spell puts blanks behind the colons, as some firmware does.
func (x *reporter) spell(s string) string {
	if x.look.spaced {
		s = strings.ReplaceAll(s, `":`, `": `)
	}
	return s
}

// entry is one slot of a port.
func (x *reporter) entry(i, k int) string {
	ch, c := &x.g.channels[i], x.cards[i][k]
	inUse := k == x.slot[i]
	if inUse {
		c = ch.card // which may have been changed by hand
	}
	st, signal := 3, 8+x.r.IntN(24)
	switch {
	case c.IMSI == "":
		st, signal = 0, 0
	case !inUse:
		st, signal = 1, 0
	case ch.downUntil > x.g.s.now:
		st = 2
	case ch.busy:
		st = 4
	}
	s := fmt.Sprintf(`{"port":"%d.%02d","seq":%d,"st":%d`, i+1, k+1, x.seq, st)
	if x.look.ids {
		s += fmt.Sprintf(`,"imei":"%s","imsi":"%s","iccid":"%s"`, c.IMEI, c.IMSI, c.ICCID)
	}
	s += fmt.Sprintf(`,"sn":"%s"`, c.MSISDN)
	if c.IMSI != "" && x.look.operators {
		s += fmt.Sprintf(`,"opr":"%s %s"`, c.IMSI[:5], operatorName(c))
	}
	bit := map[bool]int{true: 1}
	return s + fmt.Sprintf(`,"bal":"%d.00","sig":%d,"inserted":%d,"slot_active":%d,"led":0,"network":4}`, x.r.IntN(50), signal, bit[c.IMSI != ""], bit[inUse])
}

func (x *reporter) dialing(int, string)   {}
func (x *reporter) connected(int, string) {}
func (x *reporter) over(int, string)      {}

// changed reports a port by itself.
func (x *reporter) changed(i int) {
	if !x.look.changes {
		return
	}
	x.seq++
	who := []string{portName(i)}
	if c := x.g.channels[i].card; c.IMSI != "" && x.look.ids {
		who = append(who, cardName(c))
	}
	body := strings.TrimPrefix(x.entry(i, x.slot[i]), "{")
	x.post(x.spell(fmt.Sprintf(`{"type":"port-status","mac":"%s","ip":"%s",%s`, x.look.mac, x.g.node.lan, body)), who...)
}

// message tells of a short message that arrived.
func (x *reporter) message(i int) {
	c := x.g.channels[i].card
	if c.IMSI == "" {
		return
	}
	from := pick(x.r, mobile(x.r), "10086")
	text := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "Sender: %s\r\nReceiver: \"%d.%02d\"\r\n\r\n%s", from, i+1, x.slot[i]+1, pick(x.r, "Your code is 4711", "OK", "balance 12.50")))
	x.post(x.spell(fmt.Sprintf(`{"type":"recv-sms","sms_num":1,"sms":[[0,"%d.%02d",%d,"%s","%s","%s"]]}`, i+1, x.slot[i]+1, x.g.s.now/int64(time.Second), from, c.MSISDN, text)), portName(i))
}

func (x *reporter) serverName() string {
	if x.look.host != "" {
		return x.look.host
	}
	return hostPort(x.server.addr, x.port)
}

// post sends a report; who says whom it is about.
func (x *reporter) post(body string, who ...string) {
	c, keep := x.conn, "close"
	if c == nil {
		c = x.g.s.dial(x.g.node, uint16(32768+x.r.IntN(28000)), x.server, x.port, kindControl)
	}
	if x.look.hold {
		x.conn, keep = c, "keep-alive"
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\n", x.look.path, x.serverName())
	if x.look.agent != "" {
		head += "User-Agent: " + x.look.agent + "\r\n"
	}
	head += fmt.Sprintf("Content-Type: application/json;charset=utf-8\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n", len(body), keep)
	t := x.g.s.now
	if x.look.split {
		t = c.send(c.sendAfter(t, 0, head), 0, []byte(body))
	} else {
		t = c.send(t, 0, []byte(head+body))
	}
	answer := pick(x.r, `{"code":200}`, `{"code": 200, "reason": "OK"}`, "ok")
	t = c.send(t+int64(between(x.r, 2*time.Millisecond, 200*time.Millisecond)), 1,
		fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s", len(answer), keep, answer))
	x.g.s.at(t, func() { x.g.record(x.server, who...) })
	if !x.look.hold {
		c.close(t + int64(time.Millisecond))
	}
}

// sendAfter sends text and gives a time just behind it, for what follows at
// once.
func (c *conn) sendAfter(t int64, from int, text string) int64 {
	c.send(t, from, []byte(text))
	return t + int64(200*time.Microsecond)
}

// pull is the server asking for the state of the ports.
func (x *reporter) pull() {
	path := fmt.Sprintf("/goip_get_status.html?version=1.1&username=root&password=%s&all_sims=%d", x.look.secret, map[bool]int{true: 1}[x.look.all])
	if x.look.skyline && x.r.IntN(2) == 0 {
		path = "/get_device_status?username=root&password=" + x.look.secret
	}
	who := x.ports()
	x.g.s.at(x.asked("GET", path, "", x.status()), func() { x.g.record(x.server, who...) })
}

// tasks is the server handing over short messages to be sent.
func (x *reporter) tasks() {
	r := x.r
	var list []string
	for range 1 + r.IntN(5) {
		i := r.IntN(len(x.g.channels))
		list = append(list, fmt.Sprintf(`{"tid":%d,"from":"%d.%02d","to":"%s","sms":"hello"}`, 1000+r.IntN(90000), i+1, x.slot[i]+1, mobile(r)))
	}
	x.asked("POST", "/submit_sms_tasks?username=root&password="+x.look.secret, `{"type":"send-sms","task_num":`+fmt.Sprint(len(list))+`,"tasks":[`+strings.Join(list, ",")+`]}`, `{"code":200,"reason":"OK"}`)
}

// asked is a request of the server to the gateway. It gives when the answer has
// arrived.
func (x *reporter) asked(method, path, body, answer string) int64 {
	r := x.r
	c := x.g.s.dial(x.server, uint16(32768+r.IntN(28000)), x.g.node, x.own, kindControl)
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n", method, path, hostPort(x.g.node.addr, x.own))
	if body != "" {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	t := c.send(x.g.s.now, 0, []byte(head+"\r\n"+body))
	t = c.send(t+int64(between(r, 5*time.Millisecond, 300*time.Millisecond)), 1, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer))
	c.close(t + int64(time.Millisecond))
	return t
}

func controlEjoin(s *sim, skyline bool) {
	r := s.rng(fmt.Sprint("control ejoin ", skyline))
	n := controlSize(r, 1, 64)
	maker := "Ejoin-like"
	if skyline {
		maker = "Skyline-like"
	}
	g := newRig(s, r, ClassGateway, fmt.Sprintf("%s, %d ports", maker, n), n)
	kind := g.drawn("ejoin")
	if r.IntN(6) == 0 && !s.shape.sipTCP && g.ctrl.keystream == nil {
		g.base64()
	}
	g.reports(pick(r, uint16(80), 80, 8080, 8000, 9600, uint16(1024+r.IntN(60000))), skyline)
	g.begin(kind)
	g.surroundings()
}

// base64 hides the box's SIP over UDP as the maker's gateways can.
func (g *rig) base64() {
	hide := func(m []byte) []byte { return base64.StdEncoding.AppendEncode(nil, m) }
	g.ctrl.disguise = hide
	for _, a := range g.agents {
		a.disguise = hide
	}
	g.note("SIP in Base64")
}
