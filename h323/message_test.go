package h323

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
)

// raw reads bytes written in hexadecimal, with blanks between.
func raw(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packed writes PER by hand: words of 0 and 1 are bits, "|" fills the octet up,
// and "=0608" is whole octets, which fills up as well.
func packed(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	n := 0 // bits used of the last octet
	for _, w := range strings.Fields(s) {
		switch {
		case w == "|":
			n = 0
		case w[0] == '=':
			out, n = append(out, raw(t, w[1:])...), 0
		default:
			for _, c := range w {
				if n == 0 {
					out = append(out, 0)
				}
				out[len(out)-1] |= byte(c-'0') << (7 - n)
				n = (n + 1) % 8
			}
		}
	}
	return out
}

// sized puts a length of one octet before b, as packed takes it.
func sized(b []byte) string { return fmt.Sprintf("=%02x%x", len(b), b) }

// frame puts a Q.931 message into its TPKT.
func frame(b []byte) []byte {
	n := len(b) + 4
	return append([]byte{3, 0, byte(n >> 8), byte(n)}, b...)
}

// userUser makes the element of a user information.
func userUser(b []byte) []byte {
	n := len(b) + 1
	return append([]byte{0x7e, byte(n >> 8), byte(n), 5}, b...)
}

const (
	named4 = " =060008914a0004 " // the protocol identifier of H.225.0, version 4
	guid   = "1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d"
)

// dialled writes digits in four bits each, with the length in seven.
func dialled(s string) string {
	out := fmt.Sprintf("%07b | ", len(s)-1)
	for _, c := range s {
		out += fmt.Sprintf("%04b ", c-'0'+3)
	}
	return out
}

// setupElements are a user information of SETUP from the name "gw" to digits,
// with a channel for voice to the caller at 192.0.2.7:5004.
func setupElements(t testing.TB, called string) []byte {
	h2250 := packed(t, "0 0010000000 =01 0 0 0 000 0 =c0000207138c")
	channel := packed(t, "0 1 =0065 0 0 0 001 1 0000001 =0100 0 1 0 011 0 1010 =01 1 0000000 "+sized(h2250))
	fast := packed(t, "=01 "+sized(channel))
	return packed(t, "0 0 1 0 0 000 1 0110000"+named4+
		"=01 0 1 =01 =00670077"+ // one h323-ID of two letters
		" 0 000000 0 0 "+ // sourceInfo
		"=01 0 0 "+dialled(called)+
		" 0 =c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0 0 00 0 00 "+ // not active, conference, create, point to point
		"0 000110 0010001 =1100"+guid+" "+sized(fast))
}

func setup(t testing.TB, called string) []byte {
	return frame(append(raw(t, "08 02 1234 05"), userUser(setupElements(t, called))...))
}

func TestParseSetup(t *testing.T) {
	for _, called := range []string{"13800138000", "8001", "1", strings.Repeat("12", 30)} {
		var m Message
		if err := Parse(setup(t, called), &m); err != nil {
			t.Fatal(err)
		}
		want := Message{
			Type: Setup, Ref: 0x1234, H225: true, Version: 4, Called: number1(called), Calling: alias("gw"),
			CallID: [16]byte(raw(t, guid)), Media: Media{ident.AddrFrom4([]byte{192, 0, 2, 7}), 5004},
		}
		if d := cmp.Diff(want, m, compared); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

var compared = cmp.Options{cmp.AllowUnexported(Alias{}), cmp.Comparer(func(a, b ident.Addr) bool { return a == b })}

func alias(s string) (a Alias) {
	a.n = uint8(copy(a.text[:], s))
	return a
}

func number1(s string) Alias {
	a := alias(s)
	a.Number = true
	return a
}

func TestParse(t *testing.T) {
	known := func(m Message) Message {
		m.H225, m.Version = true, 4
		return m
	}
	id := [16]byte(raw(t, guid))
	for _, c := range []struct {
		name, bytes, uuie string
		want              Message
	}{
		{"release with cause", "08 02 9234 5a 08 02 80 a2", "0 0 1 0 0 101 1 0" + named4 + "0 000000 1 =1100" + guid,
			known(Message{Type: ReleaseComplete, Ref: 0x1234, FromCallee: true, Cause: 34, CallID: id})},
		{"cause behind octet 3a", "08 02 9234 5a 08 03 00 80 91", "", Message{Type: ReleaseComplete, Ref: 0x1234, FromCallee: true, Cause: 17}},
		{"release with reason", "08 02 1234 5a", "0 0 0 0 0 101 0 1" + named4 + "0 1010", known(Message{Type: ReleaseComplete, Ref: 0x1234, Reason: 11})},
		{"reason of a later version", "08 02 1234 5a", "0 0 0 0 0 101 0 1" + named4 + "1 0000010 =0100", known(Message{Type: ReleaseComplete, Ref: 0x1234, Reason: 15})},
		{"no element", "08 02 1234 62", "", Message{Type: Facility, Ref: 0x1234}},
		{"numbers", "08 02 0001 05 04 03 80 90 a5 6c 07 00 80 31 32 33 34 35 70 06 91 38 36 31 33 38", "0 0 0 0 0 000 0 0000000" + named4,
			known(Message{Type: Setup, Ref: 1, Calling: number1("12345"), Called: number1("+86138")})},
		{"withheld", "08 02 0001 05 6c 05 00 a0 31 32 33", "", Message{Type: Setup, Ref: 1, Withheld: true, Calling: number1("123")}},
		{"an element's number before an alias", "08 02 1234 05 70 04 80 31 31 30", "-", known(Message{Type: Setup, Ref: 0x1234, Called: number1("110"), Calling: alias("gw"), CallID: id, Media: Media{ident.AddrFrom4([]byte{192, 0, 2, 7}), 5004}})},
		{"codeset shifted", "08 02 0001 05 95 70 04 80 31 31 30", "", Message{Type: Setup, Ref: 1}},
		{"user-user of IA5", "08 02 0001 05 7e 00 03 04 31 32", "", Message{Type: Setup, Ref: 1}},
		{"another object", "08 02 0001 05", "0 0 0 0 0 000 0 0000000 =060008914a0104", Message{Type: Setup, Ref: 1}},
		{"status", "08 02 0001 7d", "0 0 0 0 1 0000010 " + sized(packed(t, "0 00"+named4+"0 ="+guid)), known(Message{Type: Status, Ref: 1, CallID: id})},
		{"progress with voice", "08 02 8001 03", "0 0 0 0 1 0000000 " + sized(packed(t, "0 00001"+named4+"0 000000 0 0 0 ="+guid+" =01 "+sized(
			packed(t, "0 0 =0064 0 0 0 011 0 0001 =13 1 0000000 "+sized(packed(t, "0 0010000000 =01 0 0 0 000 0 =c00002091f40")))))),
			known(Message{Type: Progress, Ref: 1, FromCallee: true, CallID: id, Media: Media{ident.AddrFrom4([]byte{192, 0, 2, 9}), 8000}})},
		{"connect with vendor and IPv6 H.245", "08 02 8001 07", "0 0 0 0 0 010 0 1" + named4 +
			"0 011 0 =20010db8000000000000000000000001 =2ee0 " +
			"0 010100 0 1 1 0 =b500 =0012 =01 =4142 =00 =31 0 1 0 =01 0 0111 0 0 0 0 =" + guid,
			known(Message{Type: Connect, Ref: 1, FromCallee: true, Agent: alias("AB 1")})},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := raw(t, c.bytes)
			switch c.uuie {
			case "":
			case "-":
				b = append(b, userUser(setupElements(t, "8001"))...)
			default:
				b = append(b, userUser(packed(t, c.uuie))...)
			}
			var m Message
			if err := Parse(frame(b), &m); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, m, compared); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// What an alias may be (H.225.0 section 7.10).
func TestAlias(t *testing.T) {
	for _, c := range []struct {
		name, bits string
		want       Alias
	}{
		{"digits", "0 0 " + dialled("123"), number1("123")},
		{"star and hash", "0 0 0000010 | 0001 0000 0011", number1("*#0")},
		{"a nibble that is no digit", "0 0 0000000 | 1101", Alias{}},
		{"text", "0 1 =01 =00410101", alias("A?")},
		{"url", "1 0000000 " + sized(packed(t, "=0002 =613a62")), alias("a:b")},
		{"party number", "1 0000011 " + sized(packed(t, "0 000 0 010 "+dialled("4412"))), number1("4412")},
		{"international party number", "1 0000011 " + sized(packed(t, "0 000 0 001 "+dialled("4412"))), number1("+4412")},
		{"transport address", "1 0000001 =0700c000020706b8", Alias{}},
		{"cut", "0 0 0000111 | 0011", Alias{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := per{b: packed(t, c.bits)}
			var a Alias
			r.alias(&a)
			if a.n == 0 {
				a = Alias{}
			}
			if d := cmp.Diff(c.want, a, compared); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Whatever prints a message does not print who is in it.
func TestMasked(t *testing.T) {
	var m Message
	if err := Parse(setup(t, "13800138000"), &m); err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%v %+v %#v %s %x", m, m, m, m.Called, m.Called)
	for _, clear := range []string{"13800138000", "49, 51, 56", "49 51 56", "0x31, 0x33", "3133383030"} {
		if strings.Contains(out, clear) {
			t.Errorf("%q is printed: %s", clear, out)
		}
	}
}

func TestLooks(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		want        bool
	}{
		{"setup", "03 00 00 20 08 02 00 01 05 04", true},
		{"header alone", "03 00 01 20", true},
		{"header and discriminator", "03 00 01 20 08", true},
		{"header alone, too short for a message", "03 00 00 08", false},
		{"RDP connection request", "03 00 00 13 0e e0 00 00 00 00 00 01 00 08 00 03 00 00 00", false},
		{"S7 connection request", "03 00 00 16 11 e0 00 00 00 01 00 c0 01 0a c1 02 01 00 c2 02 01 02", false},
		{"MMS data", "03 00 00 1b 02 f0 80 01 00 01 00 61", false},
		{"H.245 in TPKT", "03 00 00 10 02 70 01 06 00 08 81 75", false},
		{"a call reference of one octet", "03 00 00 20 08 01 01 05 04 03", false},
		{"an unknown message", "03 00 00 20 08 02 00 01 42", false},
		{"reserved octet set", "03 01 00 20 08 02 00 01 05", false},
		{"too long", "03 00 f0 00 08 02 00 01 05", false},
		{"Skinny", "14 00 00 00 00 00 00 00 04 00 00 00", false},
		{"Q.931 of IUA", "08 02 00 01 05 04 03 80 90 a3", false},
		{"nothing", "", false},
	} {
		if got := Looks(raw(t, c.bytes)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := setup(t, "13800138000")
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"cut", good[:len(good)-1]},
		{"longer than it says", append(append([]byte(nil), good...), 0)},
		{"element past the end", frame(raw(t, "08 02 0001 05 70 20 81 31"))},
		{"user-user past the end", frame(raw(t, "08 02 0001 05 7e 01 00 05"))},
		{"element without length", frame(raw(t, "08 02 0001 05 70"))},
	} {
		var m Message
		if Parse(c.b, &m) == nil {
			t.Errorf("%s: read", c.name)
		}
	}
	// However much of the user information is left, nothing is read that is not
	// there.
	elements := setupElements(t, "13800138000")
	for n := range elements {
		var m Message
		if err := Parse(frame(append(raw(t, "08 02 1234 05"), userUser(elements[:n])...)), &m); err != nil {
			t.Fatal(err)
		}
		if n < len(elements)-1 && m.Media.Port != 0 {
			t.Errorf("media from %d of %d octets", n, len(elements))
		}
	}
}

func TestFramer(t *testing.T) {
	one, two := setup(t, "13800138000"), setup(t, "8001")
	stream := append(append(append(append([]byte(nil), one...), 3, 0, 0, 4), frame(raw(t, "0e e0 00 00 00 00 00"))...), two...)
	var want []string
	for _, b := range [][]byte{one, two} {
		want = append(want, string(b))
	}
	for _, step := range []int{1, 2, 3, 7, 100, 1000} {
		var f Framer
		var got []string
		for at := 0; at < len(stream); at += step {
			f.Push(stream[at:min(at+step, len(stream))], func(b []byte) { got = append(got, string(b)) })
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d at a time (-want +got):\n%s", step, d)
		}
		if f.Held() != 0 || f.Stats != (FramerStats{Other: 1}) {
			t.Errorf("%d at a time: %d held, %+v", step, f.Held(), f.Stats)
		}
	}
}

func TestFramerFindsItsWay(t *testing.T) {
	one := setup(t, "13800138000")
	for _, c := range []struct {
		name  string
		input []byte
		gap   bool
		stats FramerStats
	}{
		{"behind a gap", append(raw(t, "31 32 03 00 33"), one...), true, FramerStats{Skipped: 5}},
		{"behind rubbish", append(raw(t, "47 45 54"), one...), false, FramerStats{Skipped: 3}},
		{"behind a length of nothing", append(raw(t, "03 00 00 00"), one...), false, FramerStats{Skipped: 4}},
		{"behind one too long", append(append(raw(t, "03 00 ff ff"), make([]byte, 0xffff-4)...), one...), false, FramerStats{TooLong: 1}},
	} {
		for _, step := range []int{1, 5, 1 << 20} {
			var f Framer
			if c.gap {
				f.Gap()
			}
			n := 0
			for at := 0; at < len(c.input); at += step {
				f.Push(c.input[at:min(at+step, len(c.input))], func(b []byte) {
					if string(b) != string(one) {
						t.Errorf("%s: %x", c.name, b)
					}
					n++
				})
				if f.Held() > maxMessage {
					t.Fatalf("%s: %d bytes held", c.name, f.Held())
				}
			}
			if n != 1 || f.Stats != c.stats {
				t.Errorf("%s, %d at a time: %d messages, %+v; want 1, %+v", c.name, step, n, f.Stats, c.stats)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(setup(f, "13800138000"))
	f.Add(frame(raw(f, "08 02 9234 5a 08 02 80 a2")))
	f.Add(frame(append(raw(f, "08 02 8001 03"), userUser(packed(f, "0 0 0 0 1 0000000 "+sized(packed(f, "0 00001"+named4+"0 000000 0 0 0 ="+guid+" =0100"))))...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if Parse(b, &m) == nil && !Looks(b) {
			t.Error("read, but does not look so")
		}
		if int(m.Called.n) > maxText || int(m.Calling.n) > maxText || int(m.Agent.n) > maxText {
			t.Errorf("%+v", m)
		}
	})
}

func FuzzFramer(f *testing.F) {
	f.Add(setup(f, "13800138000"), uint8(3))
	f.Add(raw(f, "03 00 ff ff 03 00 00 04 31 03 00 00 09 08 02 00 01 05"), uint8(1))
	f.Add(raw(f, "30 30 30 30 03 00 10 00 08 02 30 30 30 03 00 00 09 08 02 30 30 5a"), uint8(0)) // a beginning that turns out to be none
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		// However the bytes are cut up, the same messages come out.
		cut := func(step int) (out []string) {
			var fr Framer
			for at := 0; at < len(b); at += step {
				fr.Push(b[at:min(at+step, len(b))], func(m []byte) { out = append(out, string(m)) })
				if fr.Held() > maxMessage {
					t.Fatalf("%d bytes held", fr.Held())
				}
			}
			return out
		}
		if d := cmp.Diff(cut(max(len(b), 1)), cut(int(step)+1)); d != "" {
			t.Error(d)
		}
	})
}
