package sip

import (
	"math/rand/v2"
	"testing"

	"simtrap/ident"
	"simtrap/packet"
)

// murmur plays the datagrams of calls and registrations to a table, each made of
// its text by hide, every exchange gap after the one before.
func murmur(t *ScrambledTable, talk []string, gap int64, hide func(up bool, text []byte) []byte) (told []Scrambled) {
	now := int64(1e18)
	for i, line := range talk {
		up := line[0] == 'g'
		switch {
		case i == 0:
		case line[1:5] == "REGI" || line[1:5] == "INVI" || line[1:4] == "BYE":
			now += gap
		default:
			now += 80 * second / 1000
		}
		b := hide(up, []byte(line[1:]))
		p := hiddenPacket(up, b, now)
		var x Scrambled
		if t.Datagram(&p, &x) {
			told = append(told, x)
		}
	}
	return told
}

// noise gives as many bytes at random.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// ciphertext is a message under a cipher with a prefix. Requests of different
// methods differ in length by more than their names.
func ciphertext(r *rand.Rand, text []byte) []byte {
	return noise(r, len(text)+4+40*int(text[0]%5))
}

func TestScrambled(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	ciphered := func(_ bool, text []byte) []byte { return ciphertext(r, text) }
	oneWay := hiddenTalk(12)
	for i := range oneWay {
		oneWay[i] = "g" + oneWay[i][1:]
	}
	for name, tt := range map[string]struct {
		talk []string
		gap  int64
		hide func(bool, []byte) []byte
		want bool
	}{
		"a cipher begun anew for each message":  {hiddenTalk(12), 4 * second, ciphered, true},
		"a busy flow":                           {hiddenTalk(60), second, ciphered, true},
		"a fixed keystream":                     {hiddenTalk(12), 4 * second, func(_ bool, b []byte) []byte { scrambleWith(b, keystreamOf("k")); return b }, false},
		"in clear":                              {hiddenTalk(12), 4 * second, func(_ bool, b []byte) []byte { return b }, false},
		"a type in the fourth byte":             {hiddenTalk(12), 4 * second, func(up bool, b []byte) []byte { c := ciphered(up, b); c[3] &= 3; return c }, false},
		"two bits of version, as QUIC":          {hiddenTalk(12), 4 * second, func(up bool, b []byte) []byte { c := ciphered(up, b); c[0] = c[0]&63 | 64; return c }, false},
		"without silence, as a download":        {hiddenTalk(60), 100 * second / 1000, ciphered, false},
		"one way":                               {oneWay, 4 * second, ciphered, false},
		"under a minute":                        {hiddenTalk(4), 2 * second, ciphered, false},
		"all of one size, as a game":            {hiddenTalk(12), 4 * second, func(bool, []byte) []byte { return noise(r, 300) }, false},
		"shorter than signalling, as keepalive": {hiddenTalk(12), 4 * second, func(bool, []byte) []byte { return noise(r, 100) }, false},
	} {
		var table ScrambledTable
		told := murmur(&table, tt.talk, tt.gap, tt.hide)
		if got := len(told) > 0; got != tt.want || got != (table.Counters.Found == 1) {
			t.Errorf("%s: told %d times, %+v", name, len(told), table.Counters)
		}
		for i := 1; i < len(told); i++ {
			if told[i].Time-told[i-1].Time < scrambledPause {
				t.Errorf("%s: two exchanges within %d ns", name, told[i].Time-told[i-1].Time)
			}
		}
	}
}

// A service that sends back whatever it is sent, as anybody may ask it, is no
// signalling.
func TestScrambledEcho(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	var last []byte
	var table ScrambledTable
	told := murmur(&table, hiddenTalk(40), 4*second, func(up bool, text []byte) []byte {
		if up || last == nil {
			last = ciphertext(r, text)
		}
		return last
	})
	if len(told) > 0 || table.Counters.Found > 0 || table.Counters.Echoed == 0 {
		t.Errorf("told %d times, %+v", len(told), table.Counters)
	}
}

func scrambleWith(b, stream []byte) {
	for i := range b {
		b[i] ^= stream[i]
	}
}

// A flood of flows takes no room from one that was found, and is counted.
func TestScrambledFlood(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var table ScrambledTable
	murmur(&table, hiddenTalk(12), 4*second, func(_ bool, b []byte) []byte { return ciphertext(r, b) })
	if table.Counters.Found != 1 {
		t.Fatal("not found")
	}
	var x Scrambled
	now := int64(1e18) + 600*second
	p := hiddenPacket(true, noise(r, 300), now)
	table.Datagram(&p, &x)
	for i := range 100_000 {
		q := packet.Packet{Time: now + int64(i), Proto: packet.UDP, Payload: noise(r, 300), SrcPort: uint16(i), DstPort: uint16(i >> 8),
			Src: ident.AddrFrom4([]byte{203, 0, byte(i >> 8), byte(i)}), Dst: ident.AddrFrom4([]byte{198, 51, 100, 10})}
		if table.Datagram(&q, &x) {
			t.Fatal("a datagram of the flood is an exchange")
		}
	}
	if table.Counters.Evicted == 0 || table.Counters.Crowded == 0 {
		t.Errorf("not counted: %+v", table.Counters)
	}
	p = hiddenPacket(true, noise(r, 300), now+second)
	if !table.Datagram(&p, &x) {
		t.Error("the flood took the room of a flow that was found")
	}
}

func FuzzScrambled(f *testing.F) {
	var b []byte
	for _, l := range hiddenTalk(3) {
		b = append(b, l[:60]...)
	}
	f.Add(b)
	f.Add(noise(rand.New(rand.NewPCG(7, 8)), 4000))
	f.Fuzz(func(t *testing.T, data []byte) {
		var table ScrambledTable
		now := int64(1)
		for len(data) > 2 {
			n := min(len(data), 60)
			b := make([]byte, hiddenLeast-1+int(data[0]))
			copy(b, data[2:n])
			p := hiddenPacket(data[0]&1 == 1, b, now)
			var x Scrambled
			if table.Datagram(&p, &x) && x.Time != now {
				t.Fatal("told of another time")
			}
			now += (int64(data[1]) - 8) * second / 16 // time may run backwards
			data = data[n:]
		}
	})
}
