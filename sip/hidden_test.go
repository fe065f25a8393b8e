package sip

import (
	"crypto/rc4"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"simtrap/ident"
	"simtrap/packet"
)

// hiddenTalk is a conversation as it is before it is scrambled: a letter for the
// sender, then the text.
func hiddenTalk(calls int) (talk []string) {
	pad := strings.Repeat("X-Filler: 0123456789\r\n", 12)
	say := func(who, text string) {
		talk = append(talk, fmt.Sprintf("%s%s\r\nX-Number: %d\r\n%s", who, text, len(talk), pad))
	}
	for i := range calls {
		say("g", "REGISTER sip:198.51.100.9 SIP/2.0")
		say("s", "SIP/2.0 401 Unauthorized")
		say("g", "REGISTER sip:198.51.100.9 SIP/2.0")
		say("s", "SIP/2.0 200 OK")
		say("s", fmt.Sprintf("INVITE sip:1391234%04d@203.0.113.7:5060 SIP/2.0", i/2*7))
		say("g", "SIP/2.0 100 Trying")
		say("g", "SIP/2.0 183 Session Progress")
		say("g", "SIP/2.0 200 OK")
		say("s", "ACK sip:1001@203.0.113.7:5060 SIP/2.0")
		say("s", "BYE sip:1001@203.0.113.7:5060 SIP/2.0")
		say("g", "SIP/2.0 200 OK")
	}
	return talk
}

func keystreamOf(key string) []byte {
	c, _ := rc4.NewCipher([]byte(key))
	out := make([]byte, 1024)
	c.XORKeyStream(out, out)
	return out
}

func cyclic(key string) []byte {
	return []byte(strings.Repeat(key, 1024/len(key)+1)[:1024])
}

// overhear plays a conversation to a table, ten seconds between datagrams of
// different calls, and gives what it told.
func overhear(t *HiddenTable, talk []string, scramble func(who byte, b []byte)) (told []Hidden) {
	now := int64(1e18)
	for _, line := range talk {
		b := []byte(line[1:])
		scramble(line[0], b)
		p := hiddenPacket(line[0] == 'g', b, now)
		var h Hidden
		if t.Datagram(&p, &h) {
			told = append(told, h)
		}
		now += 2 * second
	}
	return told
}

func hiddenPacket(up bool, b []byte, now int64) packet.Packet {
	gateway, _ := ident.ParseAddr([]byte("203.0.113.7"))
	server, _ := ident.ParseAddr([]byte("198.51.100.9"))
	p := packet.Packet{Time: now, Src: gateway, Dst: server, SrcPort: 5060, DstPort: 5080, Proto: packet.UDP, Payload: b, Length: uint32(len(b))}
	if !up {
		p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	}
	return p
}

func under(stream []byte) func(byte, []byte) {
	return func(_ byte, b []byte) {
		for i := range b {
			b[i] ^= stream[i%len(stream)]
		}
	}
}

func TestHidden(t *testing.T) {
	const calls = 12
	for name, stream := range map[string][]byte{
		"rc4, the maker's key": keystreamOf("etoall.net"),
		"rc4, another key":     keystreamOf("long enough a key"),
		"xor, one byte":        cyclic("\x5a"),
		"xor, seven bytes":     cyclic("secret!"),
		"xor, high bytes":      cyclic("\xff\x80\x91"),
	} {
		t.Run(name, func(t *testing.T) {
			var table HiddenTable
			told := overhear(&table, hiddenTalk(calls), under(stream))
			if len(told) == 0 || told[0].Kind != HiddenFound {
				t.Fatalf("told %+v, want SIP found first", told)
			}
			found := told[0]
			if found.Caller.Port != 5060 && found.Caller.Port != 5080 || found.Explained < hiddenEnough {
				t.Errorf("found %+v", found)
			}
			targets := map[uint64]int{}
			for _, h := range told[1:] {
				if h.Kind != HiddenCall || h.Callee.Port != 5060 || h.Caller.Port != 5080 {
					t.Errorf("told %+v, want calls to the gateway", h)
				}
				targets[h.Target]++
			}
			// Every number is called twice; the first call is over before SIP is found.
			if n := len(told) - 1; n < calls-2 || n > calls {
				t.Errorf("%d calls told, want about %d", n, calls)
			}
			for k, n := range targets {
				if n > 2 {
					t.Errorf("target %x %d times: different numbers look equal", k, n)
				}
			}
			if want := calls / 2; len(targets) < want-1 || len(targets) > want {
				t.Errorf("%d numbers, want %d", len(targets), want)
			}
		})
	}
}

func TestNotHidden(t *testing.T) {
	stream := keystreamOf("etoall.net")
	r := rand.New(rand.NewPCG(1, 2))
	noise := func(_ byte, b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	without := func(keep func(string) bool) (out []string) {
		for _, l := range hiddenTalk(20) {
			if keep(l) {
				out = append(out, l)
			}
		}
		return out
	}
	n := 0
	for _, tt := range []struct {
		name     string
		talk     []string
		scramble func(byte, []byte)
	}{
		{"clear", hiddenTalk(20), func(byte, []byte) {}},
		{"a keystream that goes on", hiddenTalk(20), func(_ byte, b []byte) {
			for i := range b {
				b[i] ^= byte(r.Uint32())
			}
		}},
		{"random", hiddenTalk(20), noise},
		{"one side only", without(func(l string) bool { return l[0] == 'g' }), under(stream)},
		{"no responses", without(func(l string) bool { return !strings.Contains(l, "SIP/2.0 ") || l[1] != 'S' }), under(stream)},
		{"registrations only, two texts", without(func(l string) bool { return strings.Contains(l, "REGISTER") || strings.Contains(l, "401") }), under(stream)},
		{"responses to nobody", without(func(l string) bool { return l[1:4] == "SIP" }), under(stream)},
		{"a key for each direction", hiddenTalk(20), func(who byte, b []byte) {
			under(map[byte][]byte{'g': stream, 's': keystreamOf("another")}[who])(who, b)
		}},
		{"a fifth is something else", hiddenTalk(20), func(who byte, b []byte) {
			if n++; n%5 == 0 {
				noise(who, b)
				return
			}
			under(stream)(who, b)
		}},
		{"status without digits", hiddenTalk(20), func(who byte, b []byte) {
			if string(b[:8]) == "SIP/2.0 " {
				copy(b[8:], "abc ")
			}
			under(stream)(who, b)
		}},
		{"another protocol with few beginnings", hiddenTalk(20), func(who byte, b []byte) {
			copy(b, map[byte]string{'g': "GET /aa HTTP/1.1", 's': "HTTP/1.1 200 OK "}[who])
			under(stream)(who, b)
		}},
		{"a long prefix that never changes", hiddenTalk(20), func(who byte, b []byte) { copy(b, "constant of sixteen") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var table HiddenTable
			if told := overhear(&table, tt.talk, tt.scramble); len(told) > 0 {
				t.Errorf("told %+v", told)
			}
		})
	}
}

// TestHiddenLater: a flow that begins with something else is looked at again.
func TestHiddenLater(t *testing.T) {
	var table HiddenTable
	r := rand.New(rand.NewPCG(1, 2))
	now := int64(1e18)
	for range 200 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		p := hiddenPacket(true, b, now)
		var h Hidden
		if table.Datagram(&p, &h) {
			t.Fatal("noise was told")
		}
		now += second / 10
	}
	told := 0
	for _, line := range hiddenTalk(60) {
		b := []byte(line[1:])
		under(cyclic("key"))(0, b)
		p := hiddenPacket(line[0] == 'g', b, now)
		var h Hidden
		if table.Datagram(&p, &h) {
			told++
		}
		now += 3 * second
	}
	if told == 0 {
		t.Error("a flow that began to hide later was never found")
	}
}

// TestHiddenBounds: whatever comes, no more than the table's room is held.
func TestHiddenBounds(t *testing.T) {
	var table HiddenTable
	r := rand.New(rand.NewPCG(3, 4))
	talk := hiddenTalk(3)
	for i := range 200_000 {
		line := talk[i%len(talk)]
		b := []byte(line[1:])
		under(cyclic("key"))(0, b)
		p := hiddenPacket(line[0] == 'g', b, int64(1e18)+int64(i)*second/1000)
		if r.IntN(2) == 0 {
			p.SrcPort = uint16(r.Uint32())
		}
		var h Hidden
		table.Datagram(&p, &h)
	}
	held := 0
	for i := range table.flows {
		if e := table.flows[i].examined; e != nil {
			held++
			if len(e.samples) > hiddenSamples || len(e.calls) > hiddenPending {
				t.Fatalf("%d samples, %d calls", len(e.samples), len(e.calls))
			}
		}
	}
	if held > hiddenHeld || held != table.held {
		t.Errorf("%d flows examined, %d counted, at most %d", held, table.held, hiddenHeld)
	}
}

func FuzzHidden(f *testing.F) {
	for _, key := range []string{"\x00", "k", "key of some length"} {
		var b []byte
		for _, l := range hiddenTalk(2) {
			b = append(b, l[:60]...)
		}
		f.Add([]byte(key), b)
	}
	f.Fuzz(func(t *testing.T, key, data []byte) {
		var table HiddenTable
		now := int64(1)
		for len(data) > 2 {
			n := min(len(data), 60)
			b := make([]byte, hiddenLeast+int(data[0]&3))
			copy(b, data[:n])
			for i := range b {
				if len(key) > 0 {
					b[i] ^= key[i%len(key)]
				}
			}
			p := hiddenPacket(data[0]&1 == 1, b, now)
			var h Hidden
			if table.Datagram(&p, &h) && h.Kind == 0 {
				t.Fatal("told nothing")
			}
			now += int64(data[1]) * second
			data = data[n:]
		}
	})
}

// BenchmarkHidden measures what a datagram costs that is no SIP: of many flows
// whose prefixes never come again.
func BenchmarkHidden(b *testing.B) {
	var table HiddenTable
	r := rand.New(rand.NewPCG(1, 2))
	packets := make([]packet.Packet, 4096)
	for i := range packets {
		p := make([]byte, 1200)
		for j := range 16 {
			p[j] = byte(r.Uint32())
		}
		packets[i] = hiddenPacket(i%2 == 0, p, int64(1e18)+int64(i))
		packets[i].SrcPort = uint16(i % 64)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		var h Hidden
		table.Datagram(&packets[i%len(packets)], &h)
		i++
	}
}
