package lab

import (
	"fmt"
	"time"
)

// board is a computer with two radio modules that relays calls and messages for
// a program elsewhere (research notes on gateways, section 2.9). Its voice goes
// over a radio network and an application, so that of calls nothing passes here
// but commands and events.
type board struct {
	s      *sim
	l      *line
	node   *node
	server *node
	id     string
	token  string
	c      *conn
	count  int
}

// twoSlot is a household in which such a board dials by remote command. What it
// says proves nothing, since people have such boards for their own messages.
func twoSlot(s *sim) {
	l := s.newLine(ClassTwoSlot, "two-slot board worked by a program elsewhere", VerdictNone, VerdictWatch)
	l.truth.Channels = 2
	r := l.rng
	l.truth.Cards = newCards(r, 2)
	x := &board{s: s, l: l, node: l.device("board"), server: s.host("program", true), id: fmt.Sprintf("4980609%05d", r.IntN(100000)), token: hex16(r) + hex16(r)}
	l.controls(x.server, "management")
	pc := l.device("computer")
	s.chores(l, pc)
	s.web(l, pc, 30*time.Second, 80_000)
	x.c = s.dial(x.node, uint16(33000+r.IntN(9000)), x.server, 8899, kindControl)
	s.every(s.start+int64(between(r, time.Second, 20*time.Second)), func() time.Duration { return 60 * time.Second }, func() bool {
		x.count++
		x.push(998, fmt.Sprintf(`"cnt":%d`, x.count))
		return true
	})
	s.arrivals(r, s.start, 100*time.Second, func() {
		slot := 1 + r.IntN(2)
		if r.IntN(2) == 0 {
			x.ask(slot, newMobile(r))
		} else {
			x.command(slot, newMobile(r))
		}
	})
}

func newMobile(r interface{ IntN(int) int }) string {
	return fmt.Sprintf("138%08d", r.IntN(100_000_000))
}

// push sends a message on the connection that the board holds open.
func (x *board) push(kind int, fields string) int64 {
	return x.c.send(x.s.now, 0, fmt.Appendf(nil, "{\"devId\":\"%s\",\"type\":%d,\"netCh\":0,%s}\x11\x12", x.id, kind, fields))
}

// command dials over that connection.
func (x *board) command(slot int, number string) {
	tid := x.s.now / int64(time.Millisecond)
	t := x.c.send(x.s.now, 1, fmt.Appendf(nil, "{\"cmd\":\"teldial\", \"p1\":%d, \"p2\":\"%s\", \"p3\":55, \"tid\":\"%d\"}\x11\x12", slot, number, tid))
	x.s.at(t+int64(30*time.Millisecond), func() { x.push(999, fmt.Sprintf(`"code":0,"tid":"%d"`, tid)) })
	x.s.at(t+int64(20*time.Second), func() { x.push(623, fmt.Sprintf(`"slot":%d,"phNum":"%s"`, slot, number)) })
}

// ask dials by HTTP, a connection for each command.
func (x *board) ask(slot int, number string) {
	c := x.s.dial(x.server, uint16(32768+x.l.rng.IntN(28000)), x.node, 38585, kindControl)
	t := c.send(x.s.now, 0, fmt.Appendf(nil, "GET /ctrl?token=%s&cmd=teldial&p1=%d&p2=%s&p3=55 HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n", x.token, slot, number, hostPort(x.node.addr, 38585)))
	t = c.send(t+int64(40*time.Millisecond), 1, []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\n  \"code\": 0\n}"))
	c.close(t + int64(time.Millisecond))
}
