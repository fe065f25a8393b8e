package control

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
)

// bulk plays words between a server and a gateway whose keepalives are known
// already, and gives the numbers that the gateway says it sent to.
type bulk struct {
	x    *wire
	w    way
	at   int64
	sent []string
}

func newBulk(t testing.TB) *bulk {
	b := &bulk{x: newWire(t, Limits{}), w: up(20001)}
	b.gateway(keepalive(1, "g1", imei1, imsi1, iccid1))
	b.server("reg:1;status:0;")
	return b
}

func (b *bulk) say(w way, text string) {
	b.at += second
	b.x.set.UDP(w.packet(b.at, []byte(text)), func(r *Record) {
		b.x.record(r)
		if !r.Sent.IsZero() {
			if r.Src != gateway || r.Sender != RoleGateway {
				b.x.t.Errorf("sent by another: %+v", r)
			}
			b.sent = append(b.sent, ident.NewPseudonymizer(nil, "test").Number("", r.Sent))
		}
		leaks(b.x.t, r)
	})
}

func (b *bulk) gateway(text string) { b.say(b.w, text) }
func (b *bulk) server(text string)  { b.say(b.w.back(), text) }

// Only messages that the gateway says it sent count, each once.
func TestTexts(t *testing.T) {
	for name, c := range map[string]struct {
		play func(*bulk)
		sent []string
	}{
		"a whole bulk": {func(b *bulk) {
			b.server("MSG 77 20 " + smsText + "\n")
			b.gateway("PASSWORD 77\n")
			b.server("PASSWORD 77 " + secret + "\n")
			b.gateway("SEND 77\n")
			b.server("SEND 77 1 13800138001\n")
			b.gateway("OK 77 1 45\n")
			b.server("SEND 77 2 13800138002\n")
			b.gateway("WAIT 77 2\n")
			b.gateway("OK 77 2 46\n")
			b.server("SEND 77 3 13800138003\n")
			b.gateway("ERROR 77 3 errorstatus:38\n")
			b.server("DONE 77\n")
			b.gateway("DONE 77\n")
		}, []string{"13800138001", "13800138002"}},
		"handed over again": {func(b *bulk) {
			b.server("SEND 7 1 13800138001\n")
			b.server("SEND 7 1 13800138001\n")
			b.gateway("OK 7 1\n")
			b.gateway("OK 7 1\n")
		}, []string{"13800138001"}},
		"waits for long": {func(b *bulk) {
			b.server("SEND 7 1 13800138001\n")
			b.at += 60 * second
			b.gateway("WAIT 7 1\n")
			b.at += 60 * second
			b.gateway("OK 7 1\n")
		}, []string{"13800138001"}},
		"never answered":    {func(b *bulk) { b.server("SEND 7 1 13800138001\n") }, nil},
		"answered too late": {func(b *bulk) { b.server("SEND 7 1 13800138001\n"); b.at += 100 * second; b.gateway("OK 7 1\n") }, nil},
		"failed, then OK": {func(b *bulk) {
			b.server("SEND 7 1 13800138001\n")
			b.gateway("ERROR 7 1 errorstatus:1\n")
			b.gateway("OK 7 1\n")
		}, nil},
		"another message":  {func(b *bulk) { b.server("SEND 7 1 13800138001\n"); b.gateway("OK 7 2\n") }, nil},
		"another bulk":     {func(b *bulk) { b.server("SEND 7 1 13800138001\n"); b.gateway("OK 8 1\n") }, nil},
		"OK of the server": {func(b *bulk) { b.server("SEND 7 1 13800138001\n"); b.server("OK 7 1\n") }, nil},
		"sent back": {func(b *bulk) {
			b.server("SEND 7 1 13800138001\n")
			b.gateway("SEND 7 1 13800138001\n")
			b.server("OK 7 1\n")
		}, nil},
		"on another channel": {func(b *bulk) {
			b.server("SEND 7 1 13800138001\n")
			b.w = up(20002)
			b.gateway(keepalive(1, "g2", imei2, imsi2, iccid2))
			b.gateway("OK 7 1\n")
		}, nil},
		"a stranger's OK": {func(b *bulk) { b.gateway("OK 7 1\n") }, nil},
		"a service code":  {func(b *bulk) { b.server("SEND 7 1 *100#\n"); b.gateway("OK 7 1\n") }, nil},
	} {
		b := newBulk(t)
		c.play(b)
		if d := cmp.Diff(c.sent, b.sent); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		leaks(t, b.x.sessions)
	}
}

// What is handed over and never answered is forgotten in the end, and counted.
func TestTextsBound(t *testing.T) {
	b := newBulk(t)
	for i := range maxTexts + 10 {
		b.at -= second
		b.server(fmt.Sprintf("SEND %d 1 13800138001\n", i))
	}
	if n := b.x.sessions.Stats().Texts; n != 10 || b.x.sessions.texts.len() != maxTexts {
		t.Errorf("%d forgotten, %d held", n, b.x.sessions.texts.len())
	}
	b.at += 15 * second // so many at once may be an echo's
	b.gateway("OK 3 1\n")
	b.gateway("OK 4000 1\n")
	if len(b.sent) != 1 {
		t.Errorf("%v", b.sent)
	}
}
