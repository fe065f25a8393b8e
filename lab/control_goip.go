package lab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// controlLink is a server of a control protocol over UDP, as it answers: at
// once or late, and not always.
type controlLink struct {
	g      *rig
	r      *rand.Rand
	server *node
	port   uint16
	late   [2]time.Duration
	loss   float64 // of datagrams each way, before the tap or behind it
}

func (g *rig) controlLink(server *node, port uint16) *controlLink {
	r := g.source()
	k := &controlLink{g: g, r: r, server: server, port: port, loss: pick(r, 0, 0, share(r, 0, 0.03))}
	k.late[0] = pick(r, 0, 2*time.Millisecond, between(r, 0, 300*time.Millisecond))
	k.late[1] = k.late[0] + pick(r, time.Millisecond, 20*time.Millisecond, between(r, 0, 2*time.Second))
	return k
}

// ask sends a datagram from a port of the gateway and lets the server answer.
// It says whether the gateway has the answer.
func (k *controlLink) ask(own uint16, text, answer string, who ...string) bool {
	s, dev := k.g.s, k.g.node
	lost := k.r.Float64() < k.loss
	if lost && k.r.IntN(2) == 0 {
		return false // never got to the tap
	}
	port := dev.port(own, false)
	t := s.send(s.now, s.flow(dev, port, k.server, k.port, protoUDP), kindControl, []byte(text))
	s.at(t, func() { k.g.names(who...) })
	if lost || k.r.Float64() < k.loss {
		return false
	}
	k.g.record(k.server, who...)
	s.send(t+int64(between(k.r, k.late[0], k.late[1])), s.flow(k.server, k.port, dev, port, protoUDP), kindControl, []byte(answer))
	return true
}

// goip is the device's side of the SMS-server protocol (research notes on
// gateways, section 2.1).
type goip struct {
	g      *rig
	r      *rand.Rand
	links  []*controlLink // of each channel
	own    []uint16
	id     []string
	secret []string
	req    []int
	look   goipLook
}

// goipLook is what its firmware tells.
type goipLook struct {
	period   time.Duration
	ids      bool // module and card identities
	numbers  bool // the cards' telephone numbers
	tail     int  // how much follows the operator's name
	states   bool // the course of calls
	records  bool // and their beginnings
	answer   string
	voip     string // voip_status of a gateway without accounts
	messages time.Duration
	bulk     time.Duration
	bank     string // SMB_LOGIN
}

// smsServers lets the box tell one server or several of its channels. ports
// draws where they listen.
func (g *rig) smsServers(port uint16) *goip {
	r, n := g.r, len(g.channels)
	x := &goip{g: g, r: r}
	x.look = goipLook{
		period: pick(r, 30*time.Second, 30*time.Second, 30*time.Second, 30*time.Second, between(r, 10*time.Second, time.Minute)),
		ids:    r.IntN(8) > 0, numbers: r.IntN(3) == 0, tail: r.IntN(4), states: r.IntN(4) > 0, records: r.IntN(3) == 0,
		answer: pick(r, "reg:%d;status:0;", "reg:%d;status:0;", "reg:%d;status:200;"), voip: pick(r, "LOGIN", "LOGOUT"),
		bank: pick(r, "", "N"),
	}
	if r.IntN(3) == 0 {
		x.look.messages = time.Duration(float64(time.Hour) / (float64(n) * share(r, 0.5, 8)))
	}
	if r.IntN(5) == 0 {
		x.look.bulk = between(r, 15*time.Second, 4*time.Minute)
	}
	g.shows(ShowControl)
	if x.look.ids {
		g.shows(ShowCards)
	}
	if x.look.messages > 0 || x.look.bulk > 0 {
		g.showsMessages()
	}
	servers := make([]*controlLink, pick(r, 1, 1, 1, 1, 2, 3))
	for i := range servers {
		host := g.s.host("sms server", r.IntN(4) > 0)
		g.l.controls(host, "sms-server")
		servers[i] = g.controlLink(host, port)
	}
	x.name(servers)
	x.start()
	g.tell = append(g.tell, x)
	return x
}

// name draws the names, passwords and ports of the channels.
func (x *goip) name(servers []*controlLink) {
	r, n := x.r, len(x.g.channels)
	form := pick(r, "goip%d", "goip%02d", "G%d", "sz-%d", "GoIP16-%d", "L%02d", s36(r)+"%d", fmt.Sprintf("M%08d_%%d", r.IntN(100_000_000)))
	first := pick(r, 1, 1, 1, 1+r.IntN(500))
	counter, step := 1+r.IntN(4000), r.IntN(3)
	base, stride := uint16(10000+r.IntN(40000)), uint16(1+r.IntN(2))
	secret := goipSecret(r)
	each := r.IntN(3) == 0
	taken := map[uint16]bool{}
	for i := range n {
		if each {
			secret = goipSecret(r)
		}
		own := base + stride*uint16(i)
		if step == 2 { // ports as the system gives them
			for own = uint16(32768 + r.IntN(28000)); taken[own]; own++ {
			}
		}
		taken[own] = true
		x.own = append(x.own, own)
		x.id = append(x.id, fmt.Sprintf(form, first+i))
		x.secret = append(x.secret, secret)
		x.req = append(x.req, counter+step*r.IntN(50))
		x.links = append(x.links, servers[i*len(servers)/n])
	}
}

func goipSecret(r *rand.Rand) string {
	return pick(r, fmt.Sprint(r.IntN(1_000_000)), word(4+r.IntN(10))(r), "goip", "123456")
}

func (x *goip) start() {
	s, r, n := x.g.s, x.r, len(x.g.channels)
	together := r.IntN(2) == 0 // all channels at once, or each in its own time
	first := r.Int64N(int64(x.look.period))
	for i := range n {
		t := first + int64(i)*int64(15*time.Millisecond)
		if !together {
			t = r.Int64N(int64(x.look.period))
		}
		s.every(s.start+t, func() time.Duration { return x.look.period + time.Duration(r.Int64N(int64(40*time.Millisecond))) }, func() bool {
			x.keepalive(i)
			return true
		})
	}
	if x.look.messages > 0 {
		s.arrivals(r, s.start, x.look.messages, func() { x.received(r.IntN(n)) })
	}
	if x.look.bulk > 0 {
		s.arrivals(r, s.start, x.look.bulk, func() { x.bulk(r.IntN(n), 1+r.IntN(6)) })
	}
}

// keepalive tells the state of channel i.
func (x *goip) keepalive(i int) {
	ch, r := &x.g.channels[i], x.r
	c := ch.card
	gsm, voip, state, signal, operator := "LOGIN", "LOGIN", "IDLE", 8+r.IntN(24), ""
	switch {
	case c.IMSI == "":
		gsm, signal = "LOGOUT", 0
	case ch.downUntil > x.g.s.now:
		gsm = "LOGOUT"
		operator = operatorName(c)
	default:
		operator = operatorName(c)
	}
	if ch.busy {
		state = "ACTIVE"
	}
	if x.g.mode == "trunk" || x.g.mode == "" {
		voip = x.look.voip
	}
	n := x.req[i]
	x.req[i]++
	number := ""
	if x.look.numbers {
		number = c.MSISDN
	}
	text := fmt.Sprintf("req:%d;id:%s;pass:%s;num:%s;signal:%d;gsm_status:%s;voip_status:%s;voip_state:%s;remain_time:-1;", n, x.id[i], x.secret[i], number, signal, gsm, voip, state)
	who := []string{x.id[i]}
	if x.look.ids {
		text += "imei:" + c.IMEI + ";imsi:" + c.IMSI + ";iccid:" + c.ICCID + ";"
		if c.IMSI != "" {
			who = append(who, cardName(c))
		}
	} else {
		text += "imei:;imsi:;iccid:;"
	}
	text += "pro:" + operator + ";"
	if x.look.tail > 0 {
		text += fmt.Sprintf("idle:%d;disable_status:0;SMS_LOGIN:%s;SMB_LOGIN:%s;", r.IntN(90), "N", x.look.bank)
	}
	if x.look.tail > 1 {
		text += fmt.Sprintf("CELLINFO:LAC:%X,CELL ID:%X;CGATT:Y;", ch.lac, ch.cell)
	}
	x.links[i].ask(x.own[i], text, fmt.Sprintf(x.look.answer, n), who...)
}

// event tells the server of something on channel i, again after three seconds
// while it does not answer, three times at most.
func (x *goip) event(i int, verb, rest string) {
	ts := x.g.s.now / int64(time.Second)
	text := fmt.Sprintf("%s:%d;id:%s;password:%s;%s", verb, ts, x.id[i], x.secret[i], rest)
	ack := fmt.Sprintf("%s %d OK", verb, ts)
	left := 3
	var try func()
	try = func() {
		if left--; !x.links[i].ask(x.own[i], text, ack, x.id[i]) && left > 0 {
			x.g.s.after(3*time.Second, try)
		}
	}
	try()
}

func (x *goip) state(i int, what string) {
	if x.look.states {
		x.event(i, "STATE", "gsm_remain_state:"+what)
	}
}

func (x *goip) dialing(i int, number string) {
	x.state(i, "DIALING:"+number)
	if x.look.records {
		x.event(i, "RECORD", "dir:2;num:"+number)
	}
}

func (x *goip) connected(i int, number string) {
	if number != "" {
		x.state(i, "CONNECTED:"+number)
	}
}

func (x *goip) over(i int, number string) {
	if number != "" && x.look.states {
		x.event(i, "HANGUP", "num:"+number+",cause:"+pick(x.r, "Normal call clearing", "Normal call clearing", "User busy", "No user responding"))
	}
	x.state(i, "IDLE")
}

func (x *goip) changed(int) {}

// received is a short message that channel i got.
func (x *goip) received(i int) {
	if x.g.channels[i].card.IMSI == "" {
		return
	}
	from := pick(x.r, mobile(x.r), "10086", "106"+fmt.Sprintf("%08d", x.r.IntN(100_000_000)))
	x.event(i, "RECEIVE", "srcnum:"+from+";msg:"+pick(x.r, "code 4711", "your balance is 12.50", "hello", "call me back"))
}

// bulk lets the server hand channel i a short message for some numbers.
func (x *goip) bulk(i, numbers int) {
	if x.g.channels[i].card.IMSI == "" || x.g.channels[i].downUntil > x.g.s.now {
		return
	}
	s, r, k := x.g.s, x.r, x.links[i]
	own := x.g.node.port(x.own[i], false)
	up, down := s.flow(x.g.node, own, k.server, k.port, protoUDP), s.flow(k.server, k.port, x.g.node, own, protoUDP)
	id := 1000 + r.IntN(9000)
	say := func(t int64, f *flow, format string, args ...any) int64 {
		return s.send(t+int64(2*time.Millisecond), f, kindControl, fmt.Appendf(nil, format, args...))
	}
	text := pick(r, "hello", "meet at nine", "code 993112")
	t := say(s.now, down, "MSG %d %d %s\n", id, len(text), text)
	t = say(t, up, "PASSWORD %d\n", id)
	t = say(t, down, "PASSWORD %d %s\n", id, x.secret[i])
	for n := range numbers {
		t = say(t, up, "SEND %d\n", id)
		t = say(t, down, "SEND %d %d %s\n", id, n+1, mobile(r))
		t += int64(between(r, 2*time.Second, 5*time.Second))
		if r.IntN(12) == 0 {
			t = say(t, up, "ERROR %d %d errorstatus:%d\n", id, n+1, pick(r, 38, 500, 513))
		} else {
			t = say(t, up, "OK %d %d\n", id, n+1)
		}
	}
	t = say(t, down, "DONE %d\n", id)
	say(t, up, "DONE %d\n", id)
}

// goipPort draws the server's port: the customary one, another, or any.
func goipPort(r *rand.Rand) uint16 {
	return pick(r, uint16(44444), 44444, 44444, 44444, 44000, 9991, uint16(1024+r.IntN(60000)))
}

// controlGoIP is a GoIP with its SMS servers.
func controlGoIP(s *sim, mode string, kind int) {
	r := s.rng("control goip " + mode + fmt.Sprint(kind))
	least := 1
	if mode == "group" || kind == loadNone {
		least = 4
	}
	n := controlSize(r, least, 128)
	g := newRig(s, r, ClassGateway, fmt.Sprintf("GoIP-%d", n), n)
	if kind != loadNone || r.IntN(2) == 0 {
		g.sip("dbl", mode)
		g.l.truth.Device += ", " + g.mode + " mode"
	} else {
		g.l.truth.Device += ", its calls by another way"
	}
	g.habits(kind)
	g.smsServers(goipPort(r))
	if r.IntN(6) == 0 {
		g.marks(1 + r.IntN(2))
	}
	g.begin(kind)
	g.surroundings()
}
