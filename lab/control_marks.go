package lab

import (
	"crypto/rc4"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// marks lets the box show n lesser marks of its maker (research notes on
// gateways, sections 1.1.5, 1.2, 2.2 and 2.8). They prove nothing.
func (g *rig) marks(n int) {
	all := []func(*rand.Rand){g.nameMark, g.timeMark, g.dynamicNameMark, g.echoMark, g.tunnelMark, g.mailMark, g.centreMark, g.greetingMark}
	r := g.source()
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, mark := range all[:n] {
		mark(r)
	}
}

// datagrams sends one datagram to a host and one back.
func (g *rig) datagrams(own uint16, to *node, port uint16, ask, answer []byte) {
	p := g.node.port(own, false)
	t := g.s.send(g.s.now, g.s.flow(g.node, p, to, port, protoUDP), kindControl, ask)
	if answer != nil {
		g.s.send(t+int64(3*time.Millisecond), g.s.flow(to, port, g.node, p, protoUDP), kindControl, answer)
	}
}

// boots runs fn when the box is started, once or twice in the capture.
func (g *rig) boots(r *rand.Rand, fn func()) {
	for range 1 + r.IntN(2) {
		g.s.at(g.s.start+r.Int64N(max(1, (g.s.end-g.s.start)*9/10)), fn)
	}
}

// nameMark looks up the maker's time servers: one question to three resolvers
// at once, from one port and under one number, which is an unseeded rand's
// unless a resolver of the line asks in its place.
func (g *rig) nameMark(r *rand.Rand) {
	dns := []*node{g.s.host("resolver", false), g.s.host("resolver", false), g.s.host("resolver", true)}
	number := pick(r, uint16(0x67c6), 0x67c6, uint16(r.Uint32()))
	names := []string{"pool.ntp.org", "www.gontp.com", "gontp.org"}
	g.boots(r, func() {
		for k, name := range names {
			g.s.after(time.Duration(k)*250*time.Millisecond, func() {
				q := dnsQuestion(number, name)
				own := uint16(32768 + r.IntN(28000))
				for _, to := range dns {
					a := append([]byte(nil), q...)
					a[2], a[3] = 0x81, 0x80
					binary.BigEndian.PutUint16(a[6:], 1)
					a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4, 192, 0, 2, byte(1+r.IntN(250)))
					g.datagrams(own, to, 53, q, a)
				}
			})
		}
	})
}

// dnsQuestion asks for the address of name (RFC 1035 section 4.1).
func dnsQuestion(number uint16, name string) []byte {
	q := binary.BigEndian.AppendUint16(nil, number)
	q = append(q, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for _, label := range strings.Split(name, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	return append(q, 0, 0, 1, 0, 1)
}

// timeMark asks the maker's time server, in requests too long for the time of
// the day.
func (g *rig) timeMark(r *rand.Rand) {
	server := g.s.host("maker's time server", true)
	period := pick(r, 30*time.Minute, 30*time.Minute, 10*time.Minute)
	tells := r.IntN(2) == 0
	g.s.every(g.s.start+int64(between(r, time.Second, period/2)), func() time.Duration { return period }, func() bool {
		own := uint16(32768 + r.IntN(28000))
		ask := make([]byte, 64)
		ask[0] = 0x1b
		answer := append(append([]byte{0x1c, 2, 3, 0xec}, noiseBytes(r, 44)...), noiseBytes(r, 16)...)
		g.datagrams(own, server, 123, ask, answer)
		if tells {
			g.s.after(300*time.Millisecond, func() {
				long := make([]byte, 1072)
				long[0] = 0x1b
				copy(long[49:], noiseBytes(r, 113))
				g.datagrams(own, server, 123, long, nil)
			})
		}
		return true
	})
}

// dynamicNameMark tells the maker's dynamic DNS a serial number.
func (g *rig) dynamicNameMark(r *rand.Rand) {
	server := g.s.host("maker's dynamic names", true)
	serial := fmt.Sprintf("8MCDRM%08d", r.IntN(100_000_000))
	port := pick(r, uint16(39800), 39800, 39801)
	period := between(r, time.Minute, 10*time.Minute)
	g.s.every(g.s.start+int64(between(r, 0, period)), func() time.Duration { return period }, func() bool {
		head := []byte{0x86, 0x70, 0x14, 0x13}
		g.datagrams(56000, server, port, append(append(head, 1), serial...),
			append(append([]byte{0x86, 0x70, 0x14, 0x13, 0}, g.node.addr.String()...), "\twww."+strings.ToLower(serial)+".com"...))
		return true
	})
}

// echoMark asks the maker's server for the line's address.
func (g *rig) echoMark(r *rand.Rand) {
	server := g.s.host("maker's echo", true)
	period := between(r, 30*time.Second, 10*time.Minute)
	own := uint16(32768 + r.IntN(28000))
	g.s.every(g.s.start+int64(between(r, 0, period)), func() time.Duration { return period }, func() bool {
		g.datagrams(own, server, 54210, []byte("ECHOGWADDRRQ"), append([]byte("ECHOGWADDRRP"), g.node.addr.AsSlice()...))
		return true
	})
}

// tunnelMark keeps the maker's tunnel for management, enciphered with RC4 under
// the maker's key or the operator's.
func (g *rig) tunnelMark(r *rand.Rand) {
	server := g.s.host("tunnel server", true)
	g.l.controls(server, "management")
	port := pick(r, uint16(1920), 1920, 8085, uint16(1024+r.IntN(60000)))
	key := pick(r, "dbl#admin", "dbl#admin", "dbl#admin", word(8)(r))
	id := fmt.Sprintf("GOIP%08d", r.IntN(100_000_000))
	open := func(text string) *conn {
		c := g.s.dial(g.node, uint16(32768+r.IntN(28000)), server, port, kindControl)
		cipher, err := rc4.NewCipher([]byte(key))
		if err != nil {
			panic(err) // the length is a good one
		}
		b := []byte(text + id + "\n")
		cipher.XORKeyStream(b, b)
		c.send(g.s.now, 0, b)
		c.send(g.s.now+int64(time.Second), 1, noiseBytes(r, 4+r.IntN(12)))
		return c
	}
	g.s.at(g.s.start+int64(between(r, time.Second, 40*time.Second)), func() {
		c := open("RADMIN: ")
		g.s.every(g.s.now+int64(30*time.Second), func() time.Duration { return 30 * time.Second }, func() bool {
			t := c.send(g.s.now, 0, noiseBytes(r, 4))
			c.send(t, 1, noiseBytes(r, 4))
			return true
		})
	})
	if r.IntN(2) == 0 {
		g.s.arrivals(r, g.s.start+int64(time.Minute), 8*time.Minute, func() { open("TELNET: ") })
	}
}

// mailMark passes received short messages on by mail.
func (g *rig) mailMark(r *rand.Rand) {
	g.showsMessages()
	server := g.s.host("mail server", r.IntN(2) == 0)
	port := pick(r, uint16(25), 25, 587)
	serial := fmt.Sprintf("8MCDRM%08d", r.IntN(100_000_000))
	g.s.arrivals(r, g.s.start, between(r, 40*time.Second, 6*time.Minute), func() {
		c := g.s.dial(g.node, uint16(32768+r.IntN(28000)), server, port, kindControl)
		c.handshake(g.s.now)
		t := c.send(g.s.now+int64(400*time.Millisecond), 1, []byte("220 mail.example.net ESMTP\r\n"))
		say := func(mine, theirs string) {
			t = c.send(t+int64(2*time.Millisecond), 0, []byte(mine))
			t = c.send(t+int64(5*time.Millisecond), 1, []byte(theirs))
		}
		say("EHLO localhost\r\n", "250-mail.example.net\r\n250 AUTH LOGIN\r\n")
		say("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n")
		say("Z3c=\r\n", "334 UGFzc3dvcmQ6\r\n")
		say("c2VjcmV0\r\n", "235 2.7.0 accepted\r\n")
		say("MAIL FROM:<gw@example.net>\r\n", "250 2.1.0 Ok\r\n")
		say("RCPT TO:<sms@example.net>\r\n", "250 2.1.5 Ok\r\n")
		say("DATA\r\n", "354 go ahead\r\n")
		body := fmt.Sprintf("SN:%s Channel:%d Sender:%s,%s,hello", serial, 1+r.IntN(len(g.channels)), time.Unix(0, g.s.now).UTC().Format("01-02 15:04:05"), mobile(r))
		say("From: gw@example.net\r\nTo: sms@example.net\r\nSubject: SMS\r\nX-Mailer: smail 0.1\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n"+
			base64.StdEncoding.EncodeToString([]byte(body))+"\r\n.\r\n", "250 2.0.0 queued\r\n")
		say("QUIT\r\n", "221 2.0.0 bye\r\n")
		c.close(t + int64(time.Millisecond))
	})
}

// centreMark is the gateway as a short-message centre, to each channel of which
// its customer binds (SMPP 3.4).
func (g *rig) centreMark(r *rand.Rand) {
	client := g.s.host("smpp client", r.IntN(4) > 0)
	g.l.controls(client, "sms-server")
	g.showsMessages()
	port := pick(r, uint16(2775), 2775, 7777, uint16(1024+r.IntN(60000)))
	gap := between(r, 20*time.Second, 3*time.Minute)
	for i := range min(len(g.channels), 1+r.IntN(16)) {
		c := g.s.dial(client, uint16(32768+r.IntN(28000)), g.node, port, kindControl)
		name := fmt.Sprintf("goip%02d", i+1)
		number := uint32(1)
		exchange := func(command uint32, body, answer []byte) {
			t := c.send(g.s.now, 0, smppPDU(command, number, body))
			c.send(t+int64(4*time.Millisecond), 1, smppPDU(command|1<<31, number, answer))
			number++
		}
		t := g.s.start + int64(between(r, time.Second, time.Minute))
		g.s.at(t, func() {
			exchange(9, append([]byte(name+"\x00"+"pw"+fmt.Sprint(i)+"\x00SMPP\x00"), 0x34, 0, 0, 0), []byte("goip\x00"))
		})
		g.s.every(t+int64(30*time.Second), func() time.Duration { return 30 * time.Second }, func() bool {
			exchange(0x15, nil, nil)
			return true
		})
		g.s.arrivals(r, t+int64(5*time.Second), gap, func() {
			text := "hello"
			body := append([]byte("\x00\x01\x01sms\x00\x01\x01"+mobile(r)+"\x00"), 0, 0, 0, 0, 0, 1, 0, 0, 0, byte(len(text)))
			exchange(4, append(body, text...), fmt.Appendf(nil, "%d\x00", r.IntN(1_000_000)))
		})
	}
}

// greetingMark lets somebody from outside see the box's telnet greeting.
func (g *rig) greetingMark(r *rand.Rand) {
	visitor := g.s.host("administrator", r.IntN(2) == 0)
	port := pick(r, uint16(23), 23, 13000, 2323)
	text := pick(r, "\xff\xfb\x01\xff\xfb\x03\xff\xfd\x18\r\nWelcome to Command Shell!\r\nUsername:",
		"\xff\xfd\x01\xff\xfd\x1f\xff\xfd!\xff\xfb\x01\xff\xfb\x03\r\r\nLogin:")
	g.s.arrivals(r, g.s.start, 8*time.Minute, func() {
		c := g.s.dial(visitor, uint16(32768+r.IntN(28000)), g.node, port, kindControl)
		c.handshake(g.s.now)
		t := c.send(g.s.now+int64(400*time.Millisecond), 1, []byte(text))
		t = c.send(t+int64(time.Second), 0, []byte("admin\r\n"))
		t = c.send(t+int64(time.Second), 1, []byte("\r\nPassword:"))
		c.close(t + int64(4*time.Second))
	})
}

// drawn gives the box its SIP and its calls, few or many or, seldom, none.
func (g *rig) drawn(maker string) (kind int) {
	kind = [12]int{loadNone, loadSlow, loadSlow, 3: loadBusy, loadBusy, loadBusy, loadBusy, loadBusy, loadBusy, loadBusy, loadBusy, loadBusy}[g.r.IntN(12)]
	g.sip(maker, "")
	g.l.truth.Device += ", " + g.mode + " mode"
	g.habits(kind)
	return kind
}

func controlMarks(s *sim) {
	r := s.rng("control marks")
	n := controlSize(r, 1, 128)
	g := newRig(s, r, ClassGateway, fmt.Sprintf("gateway with marks of its maker alone, %d channels", n), n)
	kind := g.drawn("dbl")
	g.marks(1 + r.IntN(4))
	g.begin(kind)
	g.surroundings()
}

// controlMoved puts a gateway's control protocol on a port that is another
// service's, as one who hides does.
func controlMoved(s *sim) {
	r := s.rng("control moved")
	udp := pick(r, uint16(53), 123, 443, 500, 1194, 3478, 4500, 5060, 5061, 51820, uint16(1024+r.IntN(60000)))
	tcp := pick(r, uint16(22), 53, 443, 993, 1935, 5060, 5061, 8443, 3389, uint16(1024+r.IntN(60000)))
	what := r.IntN(6)
	n := controlSize(r, 1, pick(r, 128, 64))
	if what > 2 {
		n = min(n, 32)
	}
	g := newRig(s, r, ClassGateway, fmt.Sprintf("gateway whose control is on a port of something else, %d channels", n), n)
	kind := g.drawn([]string{"dbl", "dbl", "dbl", "dinstar", "ejoin", "asterisk"}[what])
	switch what {
	case 3:
		g.dinstarServer(tcp)
	case 4:
		g.reports(tcp, r.IntN(3) == 0)
	case 5:
		g.manager(tcp)
	default:
		g.smsServers(udp)
	}
	g.begin(kind)
	g.surroundings()
}
