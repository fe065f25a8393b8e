package lab

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// smsServer is the far end of the GoIP keepalive protocol (research notes on
// gateways, section 2.1): clear text over UDP, every channel from a port of its
// own, every 30 s.
type smsServer struct {
	s      *sim
	box    *box
	server *node
	port   uint16
	base   uint16
	secret string
	prefix string
	req    []int
}

func (b *box) keepalives(server *node) {
	r := b.l.rng
	x := &smsServer{
		s: b.s, box: b, server: server, port: pick(r, uint16(44444), 44444, 44444, 44000, 9991),
		base: uint16(20000 + r.IntN(20000)), secret: word(8)(r), prefix: pick(r, "goip", "goip0", "G", "sz"), req: make([]int, len(b.channels)),
	}
	b.sms = x
	b.l.controls(server, "sms-server")
	b.l.truth.Proof = true
	counter := 1 + r.IntN(4000)
	for i := range b.channels {
		x.req[i] = counter
		first := b.s.start + r.Int64N(int64(30*time.Second))
		b.s.every(first, func() time.Duration { return 30*time.Second + time.Duration(r.Int64N(int64(30*time.Millisecond))) }, func() bool {
			x.keepalive(i)
			return true
		})
	}
}

func (x *smsServer) id(i int) string { return fmt.Sprintf("%s%d", x.prefix, i+1) }

// ask sends a datagram of channel i and lets the server answer.
func (x *smsServer) ask(i int, text, answer string) {
	dev := x.box.node
	own := dev.port(x.base+uint16(i), false)
	up := x.s.flow(dev, own, x.server, x.port, protoUDP)
	down := x.s.flow(x.server, x.port, dev, own, protoUDP)
	t := x.s.send(x.s.now, up, kindControl, []byte(text))
	x.s.send(t+int64(2*time.Millisecond), down, kindControl, []byte(answer))
}

func (x *smsServer) keepalive(i int) {
	ch := &x.box.channels[i]
	c := ch.card
	gsm, voip := "LOGIN", "LOGIN"
	if ch.downUntil > x.s.now {
		gsm = "LOGOUT"
	}
	state := "IDLE"
	if ch.busy {
		state = "ACTIVE"
	}
	n := x.req[i]
	x.req[i]++
	x.ask(i, fmt.Sprintf("req:%d;id:%s;pass:%s;num:%s;signal:%d;gsm_status:%s;voip_status:%s;voip_state:%s;remain_time:-1;imei:%s;imsi:%s;iccid:%s;pro:%s;idle:%d;disable_status:0;SMS_LOGIN:N;SMB_LOGIN:;CELLINFO:LAC:%X,CELL ID:%X;CGATT:Y;",
		n, x.id(i), x.secret, pick(x.box.l.rng, "", c.MSISDN), 12+x.box.l.rng.IntN(20), gsm, voip, state, c.IMEI, c.IMSI, c.ICCID, operatorName(c), x.box.l.rng.IntN(90), ch.lac, ch.cell),
		fmt.Sprintf("reg:%d;status:0;", n))
}

// event tells the server of a call's course on channel i.
func (x *smsServer) event(i int, verb, rest string) {
	ts := x.s.now / int64(time.Second)
	x.ask(i, fmt.Sprintf("%s:%d;id:%s;password:%s;%s", verb, ts, x.id(i), x.secret, rest), fmt.Sprintf("%s %d OK", verb, ts))
}

// bank is a SIM bank's side of the SMB protocol (section 2.3): a session per
// channel, a card's commands through it.
type bank struct {
	box    *box
	server *node
	port   uint16
	id     uint32
	key    string
	tcp    bool
	conns  []*conn
	seq    []uint32
}

func (b *box) simBank(server *node) {
	r := b.l.rng
	x := &bank{box: b, server: server, port: pick(r, uint16(56011), 56011, 50001), id: uint32(1000 + r.IntN(8000)), key: word(10)(r), tcp: r.IntN(2) == 0}
	b.bank = x
	b.l.controls(server, "sim-bank")
	b.l.truth.Proof = true
	for i := range b.channels {
		x.seq = append(x.seq, r.Uint32())
		x.conns = append(x.conns, b.s.dial(b.node, uint16(41000+i), server, x.port, kindControl))
		t := b.s.start + int64(i)*int64(700*time.Millisecond) + r.Int64N(int64(time.Second))
		b.s.at(t, func() { x.login(i) })
		b.s.every(t+int64(20*time.Second), func() time.Duration { return 20 * time.Second }, func() bool {
			at := x.up(b.s.now, i, 3, 2, x.token(i))
			x.down(at, i, 1, 1, x.token(i))
			return true
		})
	}
}

func (x *bank) line(i int) uint32 { return x.id*100 + uint32(i+1) }

func (x *bank) frame(i int, cmd, typ uint16, payload []byte) []byte {
	b := []byte{0x78, 0x56, 0x21, 0x43}
	b = binary.LittleEndian.AppendUint32(b, x.line(i))
	b = binary.LittleEndian.AppendUint16(b, cmd)
	b = binary.LittleEndian.AppendUint16(b, typ)
	return append(b, payload...)
}

func (x *bank) up(t int64, i int, cmd, typ uint16, payload []byte) int64 {
	return x.say(t, i, 0, x.frame(i, cmd, typ, payload))
}

func (x *bank) down(t int64, i int, cmd, typ uint16, payload []byte) int64 {
	return x.say(t+int64(3*time.Millisecond), i, 1, x.frame(i, cmd, typ, payload))
}

func (x *bank) say(t int64, i, from int, b []byte) int64 {
	if x.tcp {
		return x.conns[i].send(t, from, b)
	}
	s, dev := x.box.s, x.box.node
	own := dev.port(uint16(41000+i), false)
	if from == 0 {
		return s.send(t, s.flow(dev, own, x.server, x.port, protoUDP), kindControl, b)
	}
	return s.send(t, s.flow(x.server, x.port, dev, own, protoUDP), kindControl, b)
}

// token is the login's payload: the line and what proves the key.
func (x *bank) token(i int) []byte {
	id := x.line(i)
	h := md5.Sum([]byte(fmt.Sprintf("%s%d%x", x.key, int32(id), id)))
	return append(binary.LittleEndian.AppendUint32(nil, id), h[:]...)
}

func (x *bank) sealed(seq, id uint32, rest []byte) []byte {
	h := md5.Sum([]byte(fmt.Sprintf("%s%d%x", x.key, int32(seq), id)))
	b := binary.LittleEndian.AppendUint32(nil, seq)
	b = append(b, h[:]...)
	return append(b, rest...)
}

func (x *bank) login(i int) {
	t := x.up(x.box.s.now, i, 3, 2, x.token(i))
	x.down(t, i, 0x5b, 1, nil)
	x.down(t, i, 0x28, 1, nil)
	x.down(t, i, 3, 1, x.token(i))
	t = x.down(t, i, 1, 1, x.token(i))
	t = x.up(t+int64(time.Second), i, 0xc8, 2, nil)
	seq := uint32(0x4e608 + i + 1)
	t = x.down(t, i, 0xc9, 1, x.sealed(seq, seq, nil))
	atr := []byte{0x3b, 0x9f, 0x96, 0x80, 0x1f, 0xc6, 0x80, 0x31, 0xe0, 0x73, 0xfe, 0x21, 0x1b, 0x64}
	t = x.down(t+int64(6*time.Second), i, 0, 1, x.sealed(seq+1, x.line(i), atr))
	for _, file := range [][]byte{{0x3f, 0x00}, {0x7f, 0x20}, {0x6f, 0x07}} {
		t = x.apdu(t, i, append([]byte{0xa0, 0xa4, 0x00, 0x00, 0x02}, file...), []byte{0x9f, 0x17})
	}
}

// apdu passes one command to the card and its answer back.
func (x *bank) apdu(t int64, i int, cmd, answer []byte) int64 {
	x.seq[i]++
	t = x.up(t, i, 0, 2, x.sealed(x.seq[i], x.line(i), cmd))
	return x.down(t+int64(40*time.Millisecond), i, 0, 1, x.sealed(x.seq[i]+7000, x.line(i), append([]byte{cmd[1]}, answer...)))
}

// authenticate lets the network challenge the card before a call.
func (x *bank) authenticate(i int, r *rand.Rand) {
	cmd := append([]byte{0x00, 0x88, 0x00, 0x81, 0x22, 0x10}, noiseBytes(r, 16)...)
	cmd = append(append(cmd, 0x10), noiseBytes(r, 16)...)
	x.apdu(x.box.s.now, i, cmd, append(noiseBytes(r, 53), 0x90, 0x00))
}

func noiseBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// dinstar is the gateway's side of the DWG TCP API (section 2.4).
type dinstar struct {
	s      *sim
	c      *conn
	mac    [6]byte
	serial uint32
}

func (b *box) dinstarAPI(server *node) {
	r := b.l.rng
	x := &dinstar{s: b.s, mac: [6]byte{0xf8, 0xa0, 0x3d, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}, serial: uint32(r.IntN(5000))}
	x.c = b.s.dial(b.node, uint16(33000+r.IntN(9000)), server, 12000, kindControl)
	b.api = x
	b.l.controls(server, "management")
	b.l.truth.Proof = true
	b.s.after(between(r, time.Second, 5*time.Second), func() {
		auth := make([]byte, 32)
		copy(auth, "admin")
		copy(auth[16:], word(8)(r))
		x.exchange(15, auth, 16)
		b.s.every(b.s.now+int64(2*time.Second), func() time.Duration { return 45 * time.Second }, func() bool {
			x.exchange(0, nil, 0)
			return true
		})
		b.s.every(b.s.now+int64(3*time.Second), func() time.Duration { return time.Minute }, func() bool {
			x.exchange(7, b.portStates(), 8)
			return true
		})
	})
}

// portStates is a status report: a count and a byte for each port.
func (b *box) portStates() []byte {
	body := []byte{byte(len(b.channels))}
	for _, ch := range b.channels {
		switch {
		case ch.downUntil > b.s.now:
			body = append(body, 2)
		case ch.busy:
			body = append(body, 1)
		default:
			body = append(body, 0)
		}
	}
	return body
}

// exchange sends a message to the server and lets it answer with another type.
func (x *dinstar) exchange(typ uint16, body []byte, answer uint16) {
	x.serial++
	at := uint32(x.s.now / int64(time.Second))
	t := x.c.send(x.s.now, 0, x.message(typ, at, x.serial, body))
	var ok []byte
	if answer != 0 {
		ok = []byte{0}
	}
	x.c.send(t+int64(3*time.Millisecond), 1, x.message(answer, at, x.serial, ok))
}

func (x *dinstar) message(typ uint16, at, serial uint32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(b, x.mac[:]...)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint32(b, at)
	b = binary.BigEndian.AppendUint32(b, serial)
	b = binary.BigEndian.AppendUint16(b, typ)
	b = append(b, 0, 0)
	return append(b, body...)
}

// received is a short message that arrived at a port (type 5).
func (x *dinstar) received(port int, from, text string) {
	b := make([]byte, 45, 45+len(text))
	copy(b, from)
	b[25] = byte(port)
	copy(b[26:], time.Unix(0, x.s.now).UTC().Format("20060102150405"))
	b[41] = 8
	binary.BigEndian.PutUint16(b[43:], uint16(len(text)))
	x.exchange(5, append(b, text...), 6)
}
