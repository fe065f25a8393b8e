package control

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"simtrap/ident"
)

// One datagram that seems to come from the server switches nothing off, but
// for a while.
func TestForgedOnce(t *testing.T) {
	forged := map[string]string{
		"keepalive":                  keepalive(1, "g0", imei1, imsi1, iccid1),
		"keepalive that is to come":  keepalive(100, "g0", imei1, imsi1, iccid1),
		"login of the same line":     string(smb(line1, 3, 2, token(line1)...)),
		"SIM command":                string(smb(line1, 0, 2, token(7, 0xa0, 0xa4, 0, 0, 2, 0x6f, 0x07)...)),
		"answer of a card":           string(smb(line1, 0, 1, token(7, 0xa4, 0x9f, 0x0f)...)),
		"acceptance":                 string(smb(line1, 0x5b, 1)),
		"event that looks like ours": "STATE:9;id:g0;password:x;gsm_remain_state:IDLE",
	}
	for name, text := range forged {
		t.Run(name, func(t *testing.T) {
			x := newWire(t, Limits{})
			x.udp(up(20000).back(), -second, text)
			proving.run(x)
			e := x.about(gateway)
			// The one that is to come is a reflection once it comes.
			want := 6
			if strings.HasPrefix(text, "req:100;") {
				want = 5
			}
			if e == nil || e.Answered != want {
				t.Fatalf("keepalives: %+v", e)
			}

			// A SIM bank's gateway with nothing but logins that are given back.
			x = newWire(t, Limits{})
			for i := range int64(10) {
				for c := range uint32(2) {
					line, w := line1+c, up(uint16(20000+c))
					at := i*20*second + int64(c)*second
					if i == 1 && c == 0 {
						x.udp(w.back(), at-5*second, text)
					}
					x.udp(w, at, string(smb(line, 3, 2, token(line)...)))
					if i == 0 {
						x.udp(w.back(), at+1e6, string(smb(line, 0x5b, 1)))
					}
					x.udp(w.back(), at+2e6, string(smb(line, 3, 2, token(line)...)))
				}
			}
			for _, e := range x.sessions.All() {
				if e.Owner != gateway || e.Protocol != GoIPSIMBank {
					continue
				}
				if proof, oneWay, reason := e.Proof(); !proof || oneWay || e.Answered < 17 {
					t.Errorf("%d answered: %s", e.Answered, reason)
				}
				return
			}
			t.Error("no evidence about the gateway")
		})
	}
}

// A forged login that came before the first of the gateway's own.
func TestForgedFirst(t *testing.T) {
	x := newWire(t, Limits{})
	login := string(smb(line1, 3, 2, token(line1)...))
	x.udp(up(1).back(), -second, login)
	for i := range int64(10) {
		x.udp(up(1), i*20*second, login)
		x.udp(up(1).back(), i*20*second+1e6, string(smb(line1, 0x5b, 1)))
		x.udp(up(1).back(), i*20*second+2e6, login)
	}
	if e := x.about(gateway); e == nil || e.Answered < 8 {
		t.Errorf("%+v", e)
	}
}

// An echo gives no evidence about the end that sends back, whatever lies
// between the first half and the second.
func TestEcho(t *testing.T) {
	home, accomplice := gateway, server
	out := way{accomplice, home, 44444, 7, 17}
	card := func(n int) (string, string, string) {
		if n%2 == 1 {
			return imei2, imsi2, iccid2
		}
		return imei1, imsi1, iccid1
	}
	text := func(n int) string {
		a, b, c := card(n)
		return keepalive(n, fmt.Sprint("g", n%4), a, b, c)
	}
	reg := func(n int) string { return fmt.Sprintf("reg:%d;status:0;", n) }
	for name, run := range map[string]func(x *wire, at int64, n int){
		"answered": func(x *wire, at int64, n int) {
			x.udp(out, at, text(n))
			x.udp(out.back(), at+1e6, text(n))
			x.udp(out, at+2e6, reg(n))
			x.udp(out.back(), at+3e6, reg(n))
		},
		"answered before the echo": func(x *wire, at int64, n int) {
			x.udp(out, at, text(n))
			x.udp(out, at+1e6, reg(n))
			x.udp(out.back(), at+2e6, text(n))
			x.udp(out.back(), at+3e6, reg(n))
			x.udp(out, at+4e6, reg(n))
		},
		"echo late": func(x *wire, at int64, n int) {
			x.udp(out, at, text(n))
			x.udp(out.back(), at+9*second, text(n))
			x.udp(out, at+9*second+2e6, reg(n))
		},
		"a thousand before the echo": func(x *wire, at int64, n int) {
			for i := range 1000 {
				x.udp(out, at+int64(i)*1e6, text(n*1000+i))
			}
			for i := range 1000 {
				x.udp(out.back(), at+1001e6+int64(i)*1e6, text(n*1000+i))
				x.udp(out, at+1001e6+int64(i)*1e6+1e5, reg(n*1000+i))
			}
		},
		"many flows before the echo": func(x *wire, at int64, n int) {
			x.udp(out, at, text(n))
			for i := range 100 {
				w := out
				w.src = ident.AddrFrom4(binary.BigEndian.AppendUint32(nil, 0x0a000000+uint32(n*1000+i)))
				x.udp(w, at+int64(i)*1e6, text(n))
			}
			x.udp(out.back(), at+101e6, text(n))
			x.udp(out, at+102e6, reg(n))
		},
		"copies of both halves": func(x *wire, at int64, n int) {
			for i := range int64(5) {
				x.udp(out, at+i*20e6, text(n))
				x.udp(out.back(), at+i*20e6+1e6, text(n))
				x.udp(out, at+i*20e6+2e6, reg(n))
			}
		},
		"events": func(x *wire, at int64, n int) {
			ev := fmt.Sprintf("STATE:%d;id:g%d;password:x;gsm_remain_state:IDLE", n, n%4)
			x.udp(out, at, ev)
			x.udp(out.back(), at+1e6, ev)
			x.udp(out, at+2e6, fmt.Sprintf("STATE %d OK", n))
		},
		"commands and their answers": func(x *wire, at int64, n int) {
			q := fmt.Sprintf("GSM %d x", n)
			a := fmt.Sprintf("GSM:%d;get_gsm_num:;get_exp_time:0;get_remain_time:0;get_gsm_state:IDLE;imei:%s;out_call_interval:0;module_down:0", n, imei1)
			x.udp(out, at, text(n))
			x.udp(out, at+1e6, q)
			x.udp(out, at+2e6, a)
			for i, s := range []string{text(n), q, a} {
				x.udp(out.back(), at+3e6+int64(i)*1e6, s)
			}
		},
		"SIM bank": func(x *wire, at int64, n int) {
			line := uint32(line1 + n%3)
			for i, f := range [][]byte{
				smb(line, 3, 2, token(line)...), smb(line, 0x5b, 1), smb(line, 1, 1, token(line)...), smb(line, 0xc8, 2, token(uint32(n))...),
				smb(line, 0, 1, token(uint32(n), 0xa4, 0x90, 0)...), smb(line, 0, 2, token(uint32(n), 0xa0, 0xa4, 0, 0, 2, 0x6f, 7)...), smb(line, 3, 2, token(line)...),
			} {
				x.udp(out, at+int64(i)*100e6, string(f))
				x.udp(out.back(), at+int64(i)*100e6+5e7, string(f))
			}
		},
		"first half cut by a snap length": func(x *wire, at int64, n int) {
			p := out.packet(at, []byte(text(n)))
			p.Payload = p.Payload[:len(p.Payload)-20]
			x.set.UDP(p, x.record)
			x.udp(out.back(), at+1e6, text(n))
			x.udp(out, at+2e6, reg(n))
		},
		"longer than fragments are put together": func(x *wire, at int64, n int) {
			x.udp(out.back(), at+1e6, text(n)+"A:"+strings.Repeat("a", 120)+";B:"+strings.Repeat("b", 120)+";")
			x.udp(out, at+2e6, reg(n))
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newWire(t, Limits{Flows: 50})
			for n := range 12 {
				run(x, int64(n)*30*second, n)
			}
			for _, e := range x.sessions.All() {
				if e.Owner == home {
					t.Fatalf("evidence about the home: %d sound, %d answered", e.Sound, e.Answered)
				}
			}
		})
	}
	// Over TCP the pieces of the echo may be cut so that a frame is read before
	// its first half is.
	t.Run("TCP cut otherwise", func(t *testing.T) {
		x := newWire(t, Limits{})
		for n := range 40 {
			line, at := uint32(line1+n%2), int64(n)*30*second
			w := out
			w.srcPort += uint16(n / 2)
			apdu := smb(line, 0, 2, token(uint32(n), 0xa0, 0xa4, 0, 0, 2, 0x6f, 7)...)
			answer := smb(line, 0x5b, 1)
			x.tcp(w, at, answer)
			x.tcp(w, at, smb(line, 3, 2, token(line)...))
			x.tcp(w, at, answer)
			x.tcp(w, at, append(apdu[:len(apdu):len(apdu)], 0x78))
			x.tcp(w.back(), at+1e6, answer)
			x.tcp(w.back(), at+1e6, smb(line, 3, 2, token(line)...))
			x.tcp(w.back(), at+1e6, answer)
			x.tcp(w.back(), at+1e6, apdu)
			x.tcp(w, at+2e6, answer[1:])
			x.tcp(w.back(), at+3e6, answer)
		}
		if e := x.about(home); e != nil && (e.Answered != 0 || e.OneWay) {
			t.Errorf("%d sound, %d answered, one way %v", e.Sound, e.Answered, e.OneWay)
		}
	})
}

// Nothing in a long datagram is sound.
func TestLongDatagram(t *testing.T) {
	base := keepalive(1, "g", imei1, imsi1, iccid1)
	for _, n := range []int{len(base), 504, 505, 512, 600} {
		text := base
		for i := 0; n-len(text) > 0; i++ { // fields of 3 to 103 bytes
			size := min(103, n-len(text))
			if rest := n - len(text) - size; rest > 0 && rest < 3 {
				size -= 3
			}
			text += fmt.Sprintf("%c:%s;", 'A'+i, strings.Repeat("x", size-3))
		}
		if r := one(t, text); r == nil || len(text) != n || r.Sound != (n <= 504) {
			t.Errorf("%d bytes, want %d: %+v", len(text), n, r)
		}
	}
	event := "RECEIVE:5;id:g;password:x;srcnum:100;msg:"
	for _, n := range []int{100, 504, 505} {
		if r := one(t, event+strings.Repeat("a", n-len(event))); r == nil || r.Sound != (n <= 504) {
			t.Errorf("event of %d: %+v", n, r)
		}
	}
	if simbankMax > maxSound {
		t.Error("SIM bank frames may be longer than is sound")
	}
}

func TestSaid(t *testing.T) {
	var s said
	if s.has(0, 0) || s.has(5, start) {
		t.Error("empty")
	}
	s.add(5, start)
	for at, want := range map[int64]bool{0: true, echoWithin: true, echoWithin + 1: false} {
		if s.has(5, start+at) != want {
			t.Errorf("after %d", at)
		}
	}
	if s.has(5+saidPlaces, start) || s.has(6, start) {
		t.Error("another")
	}
	s.add(5+saidPlaces, start+second) // the place is taken
	for _, d := range []uint64{5, 5 + saidPlaces, 5 + 2*saidPlaces} {
		if !s.has(d, start+second+echoWithin) || s.has(d, start+second+echoWithin+1) {
			t.Errorf("%d of several", d)
		}
	}
	s.add(5, start+20*second)
	if !s.has(5, start+20*second) || s.has(5+saidPlaces, start+20*second) {
		t.Error("several are told apart again after a while")
	}
}

// A request of the same number from the other end is no answer, and takes none
// away.
func TestRequestIsNoAnswer(t *testing.T) {
	x := newWire(t, Limits{})
	x.udp(up(1), 0, keepalive(5, "g0", imei1, imsi1, iccid1))
	x.udp(up(1).back(), second, keepalive(5, "other", imei1, imsi1, iccid1))
	e := x.about(gateway)
	if e.Answered != 0 {
		t.Error("answered by a request")
	}
	if x.udp(up(1).back(), 2*second, "reg:5;status:0;"); e.Answered != 1 {
		t.Error("not answered")
	}
}
