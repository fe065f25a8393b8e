package control

import (
	"bytes"
	"testing"

	"simtrap/packet"
)

func push(t testing.TB, st *Stream, w way, at int64, b []byte) (out []*Record) {
	t.Helper()
	st.Push(w.tcp().packet(at, b), func(r *Record) { check(t, r); out = append(out, r) })
	return out
}

func TestDinstarGateway(t *testing.T) {
	st := New().NewStream(nil)
	login := push(t, st, up(1), 0, dwg(100, 0, 15, dwgLogin()...))
	if len(login) != 1 || login[0].Kind != Login || login[0].Sender != RoleGateway || login[0].Sound {
		t.Fatalf("login: %+v", login)
	}
	leaks(t, login, st)
	for i, c := range []struct {
		name    string
		frame   []byte
		kind    Kind
		records int
		channel uint32
		sound   bool
	}{
		{"keepalive", dwg(101, 45*second, 0), Keepalive, 1, 0, true},
		{"ports", dwg(102, 46*second, 7, 4, 0, 1, 2, 3), Event, 3, 1, true},
		{"message", dwg(103, 47*second, 5, dwgSMS()...), Event, 1, 4, true},
		{"result", dwg(104, 48*second, 3, append(append([]byte{1}, fill("10086", 24)...), 6, 0, 1, 1)...), Event, 1, 7, true},
		{"USSD result", dwg(105, 49*second, 11, 2, 0, 0, 3, 0, 'a', 'b', 'c'), Event, 1, 3, true},
		{"signal", dwg(106, 50*second, 13, 2, 20, 31), Event, 1, 0, true},
		{"call state, whose body is not known", dwg(106, 51*second, 515, 1, 2, 3), Event, 1, 0, false},
		{"receipt", dwg(107, 51*second, 17, dwgReceipt()...), Event, 1, 4, true},
		{"answer to a command", dwg(5, 52*second, 2, 0), Answer, 1, 0, false},
		{"the same number again", dwg(107, 53*second, 0), Keepalive, 1, 0, false},
		{"number that fell", dwg(3, 54*second, 0), Keepalive, 1, 0, false},
		{"goes on", dwg(108, 55*second, 0), Keepalive, 1, 0, true},
		{"time of another year", dwg(109, 400*86400*second, 0), Keepalive, 1, 0, false},
		{"number far ahead", dwg(900000000, 56*second, 0), Keepalive, 1, 0, false},
	} {
		got := push(t, st, up(1), 45*second+int64(i)*second, c.frame)
		if len(got) != c.records {
			t.Fatalf("%s: %d records, want %d", c.name, len(got), c.records)
		}
		r := got[0]
		if r.Kind != c.kind || r.Channel != c.channel || r.Sound != c.sound || r.Sender != RoleGateway || r.Protocol != DinstarAPI || !r.TCP {
			t.Errorf("%s: %+v", c.name, r)
		}
		for _, r := range got[1:] {
			if r.Digest != got[0].Digest || r.Channel == got[0].Channel {
				t.Errorf("%s: parts of one message do not hang together", c.name)
			}
		}
		leaks(t, got, st)
	}
	other := dwg(110, 60*second, 0)
	other[6] = 0x3e
	if r := push(t, st, up(1), 60*second, other); len(r) != 1 || r[0].Sound {
		t.Errorf("another address: %+v", r)
	}
}

func TestDinstarServer(t *testing.T) {
	st := New().NewStream(nil)
	first := dwg(7, 0, 0)
	if r := push(t, st, up(1).back(), 0, first); len(r) != 1 || r[0].Sender != RoleUnknown || r[0].Sound {
		t.Errorf("a keepalive comes from either end: %+v", r)
	}
	for _, kind := range []uint16{16, 4, 6, 8, 12, 14, 18, 516} {
		r := push(t, st, up(1).back(), 0, dwg(7, 0, kind, 0))
		if len(r) != 1 || r[0].Sender != RoleServer || !r[0].Reply || !r[0].Sound || r[0].Kind != Answer {
			t.Errorf("type %d: %+v", kind, r)
		}
	}
	cmd := append([]byte{3, 8, 0, 1}, fill("10086", 24)...)
	cmd = append(append(cmd, 0, byte(len(smsText))), smsText...)
	if r := push(t, st, up(1).back(), 0, dwg(8, 0, 1, cmd...)); len(r) != 1 || r[0].Kind != Command || r[0].Reply {
		t.Errorf("command: %+v", r)
	} else {
		leaks(t, r, st)
	}
	if r := push(t, st, up(1).back(), 0, dwg(9, 0, 9, 3, 1, 0, 5, '*', '1', '0', '0', '#')); len(r) != 1 || r[0].Kind != Command {
		t.Errorf("USSD: %+v", r)
	}
	if r := push(t, st, up(1).back(), second, dwg(10, second, 7, 1, 0)); len(r) != 1 || r[0].Sound {
		t.Errorf("a server that reports ports: %+v", r)
	}
	a, b := New().NewStream(nil), New().NewStream(nil)
	ask := push(t, a, up(1), 0, dwg(7, 0, 7, 1, 0))
	got := push(t, b, up(1).back(), 0, dwg(7, 0, 8, 0))
	if len(ask) != 1 || len(got) != 1 || ask[0].Exchange != got[0].Exchange {
		t.Error("question and answer do not hang together")
	}
}

func TestDinstarRefused(t *testing.T) {
	change := func(at int, v byte) []byte { b := dwg(1, 0, 0); b[at] = v; return b }
	for name, b := range map[string][]byte{
		"length":             change(3, 1),
		"long":               change(0, 1),
		"group address":      change(4, 0xf9),
		"no address":         append(append([]byte{0, 0, 0, 0}, make([]byte, 8)...), dwg(1, 0, 0)[12:]...),
		"filler":             change(11, 1),
		"time":               change(12, 1),
		"type":               change(21, 19),
		"type of the high":   change(20, 9),
		"ports and length":   dwg(1, 0, 7, 3, 0, 0),
		"port state":         dwg(1, 0, 7, 1, 9),
		"no ports":           dwg(1, 0, 7, 0),
		"login of junk":      dwg(1, 0, 15, bytes.Repeat([]byte{0xee}, 32)...),
		"login without user": dwg(1, 0, 15, make([]byte, 32)...),
		"message length":     dwg(1, 0, 5, append(dwgSMS(), 0)...),
		"answer length":      dwg(1, 0, 16, 0, 0),
		"port of a message":  dwg(1, 0, 11, 200, 0, 0, 0, 0),
		"receipt, short":     dwg(1, 0, 17, dwgReceipt()[:41]...),
		"receipt, long":      dwg(1, 0, 17, append(dwgReceipt(), 0)...),
		"receipt, number":    dwg(1, 0, 17, append([]byte{3, 1, 2}, dwgReceipt()[3:]...)...),
		"receipt, time":      dwg(1, 0, 17, append(append(dwgReceipt()[:25:25], fill("yesterday", 15)...), 8, 0)...),
		"receipt, port":      dwg(1, 0, 17, append([]byte{200}, dwgReceipt()[1:]...)...),
	} {
		st := New().NewStream(nil)
		if r := push(t, st, up(1), 0, append(b, make([]byte, 200)...)); len(r) != 0 {
			t.Errorf("%s: %+v", name, r[0])
		}
	}
	if New().UDP(up(1).packet(0, dwg(1, 0, 0)), func(*Record) {}) {
		t.Error("taken from UDP")
	}
}

// dinstarTalk is a stream of a gateway and the number of its records.
func dinstarTalk() ([]byte, int) {
	var b []byte
	b = append(b, dwg(1, 0, 15, dwgLogin()...)...)
	b = append(b, dwg(2, second, 0)...)
	b = append(b, dwg(3, second, 7, 4, 0, 0, 0, 0)...)
	b = append(b, dwg(4, second, 5, dwgSMS()...)...)
	b = append(b, dwg(5, second, 0)...)
	return b, 8
}

func TestDinstarStream(t *testing.T) {
	b, want := dinstarTalk()
	for size := 1; size <= len(b); size++ {
		st := New().NewStream(nil)
		n, sound := 0, 0
		for i := 0; i < len(b); i += size {
			for _, r := range push(t, st, up(1), 0, b[i:min(i+size, len(b))]) {
				n++
				if r.Sound {
					sound++
				}
				leaks(t, r)
			}
			// No password and no text is held even for a moment.
			leaks(t, st)
			if bytes.Contains(st.held, []byte(secret[:3])) || bytes.Contains(st.held, []byte(smsText[:3])) {
				t.Fatal("holds what it must not")
			}
		}
		if n != want || sound != want-1 {
			t.Fatalf("pieces of %d: %d records, %d sound", size, n, sound)
		}
	}
	// Taken up in mid-stream: the rest of a message, then whole ones.
	in := append(bytes.Clone(dwgSMS()[3:]), b...)
	st := New().NewStream(nil)
	if got := len(push(t, st, up(1), 0, in)); got != want {
		t.Errorf("taken up late: %d records, want %d", got, want)
	}
	// A gap within a message, which is lost.
	st = New().NewStream(nil)
	n := len(push(t, st, up(1), 0, b[:len(b)-60]))
	st.Gap()
	if n += len(push(t, st, up(1), 0, b[len(b)-40:])); n != want-1 {
		t.Errorf("over a gap: %d records, want %d", n, want-1)
	}
}

// A piece cut by a snap length leaves a hole behind.
func TestDinstarCut(t *testing.T) {
	set := New()
	st := set.NewStream(nil)
	p := up(1).tcp().packet(0, dwg(4, second, 5, dwgSMS()...)[:80])
	p.Length = 200
	n := 0
	st.Push(p, func(*Record) { n++ })
	if n += len(push(t, st, up(1), 0, dwg(5, second, 0))); n != 2 || set.Stats().Gaps != 1 {
		t.Errorf("%d records, %d gaps", n, set.Stats().Gaps)
	}
	if p.Proto != packet.TCP {
		t.Error("not TCP")
	}
}

func FuzzDinstar(f *testing.F) {
	b, _ := dinstarTalk()
	f.Add(b, uint16(11))
	f.Add(dwg(1, 0, 16, 0), uint16(1))
	f.Add(append(dwg(1, 0, 13, 2, 20, 31), dwg(2, 0, 515, 1)...), uint16(50))
	f.Add(make([]byte, 300), uint16(20))
	f.Fuzz(pushAll)
}

// dwgReceipt tells that a message has reached a telephone.
func dwgReceipt() []byte {
	b := append([]byte{3}, fill("13800138000", 23)...)
	b = append(append(b, 9), fill("20261123211500", 15)...)
	return append(b, 8, 0)
}

// Of the result of a message it is told whom it was for if it was sent, and if
// the message is one that passes every check.
func TestDinstarSent(t *testing.T) {
	result := func(number string, result byte) []byte {
		return append(append([]byte{1}, fill(number, 24)...), 6, result, 1, 1)
	}
	for name, c := range map[string]struct {
		serial uint32
		body   []byte
		sent   bool
	}{
		"sent":         {101, result("13800138000", 0), true},
		"abroad":       {101, result("+4915112345678", 0), true},
		"failed":       {101, result("13800138000", 1), false},
		"in part":      {101, result("13800138000", 5), false},
		"no number":    {101, result("", 0), false},
		"name":         {101, result("CMCC", 0), false},
		"wrong serial": {99, result("13800138000", 0), false},
	} {
		st := New().NewStream(nil)
		push(t, st, up(1), 0, dwg(100, 0, 15, dwgLogin()...))
		got := push(t, st, up(1), second, dwg(c.serial, second, 3, c.body...))
		if len(got) != 1 || got[0].Sent.IsZero() == c.sent || !got[0].Recipient.IsZero() {
			t.Errorf("%s: %+v", name, got)
		}
		leaks(t, got, st)
	}
}

// A session proves something as long as its messages are one gateway's, one
// after the other, and of today.
func TestDinstarProof(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(i int, b []byte)
		proof bool
	}{
		"as it should be":   {func(int, []byte) {}, true},
		"serial stands":     {func(i int, b []byte) { copy(b[16:20], []byte{0, 0, 0, 1}) }, false},
		"serial falls":      {func(i int, b []byte) { copy(b[16:20], []byte{0, 0, 9, byte(200 - i)}) }, false},
		"serial jumps":      {func(i int, b []byte) { copy(b[16:20], []byte{byte(i), 0, 0, 1}) }, false},
		"address changes":   {func(i int, b []byte) { b[9] = byte(i) }, false},
		"time of last year": {func(i int, b []byte) { b[12]-- }, false},
		"filler":            {func(i int, b []byte) { b[11] = 1 }, false},
		"call states alone": {func(i int, b []byte) {
			if i > 0 {
				b[20], b[21] = 2, 3
			}
		}, false},
	} {
		x := newWire(t, Limits{})
		w := up(33000)
		for i := range 12 {
			at := int64(i) * 20 * second
			kind, body := uint16(7), []byte{4, 0, 2, 1, 3}
			if i == 0 {
				kind, body = 15, dwgLogin()
			}
			b := dwg(uint32(i)+1, at, kind, body...)
			c.edit(i, b)
			x.tcp(w, at, b)
			x.tcp(w.back(), at+5e6, dwg(uint32(i)+1, at, kind+1, 0))
		}
		proof := false
		if e := x.about(gateway); e != nil {
			proof, _, _ = e.Proof()
		}
		if proof != c.proof {
			t.Errorf("%s: %v", name, proof)
		}
	}
}
