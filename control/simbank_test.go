package control

import (
	"bytes"
	"fmt"
	"testing"

	"simtrap/ident"
)

const line1, line2 = 100101, 100102

var testATR = []byte{0x3b, 0x9f, 0x96, 0x80, 0x1f, 0xc6, 0x80, 0x31, 0xe0, 0x73, 0xfe, 0x21, 0x1b, 0x64, 0x41, 0x10, 0x21, 0x00, 0x82, 0x90, 0x00}

func fixedATR() []byte {
	a := bytes.Clone(testATR)
	var x byte
	for _, c := range a[1:] {
		x ^= c
	}
	return append(a, x)
}

func TestSIMBankFrames(t *testing.T) {
	rand16 := token(7)[4:]
	auth := append([]byte{0x00, 0x88, 0x00, 0x81, 0x22, 0x10}, rand16...)
	auth = append(append(auth, 0x10), rand16...)
	for _, c := range []struct {
		name   string
		frame  []byte
		kind   Kind
		sender Role
		reply  bool
		sound  bool
	}{
		{"login", smb(line1, 3, 2, token(line1)...), Login, RoleUnknown, false, true},
		{"login of another line", smb(line1, 3, 2, token(line2)...), Login, RoleUnknown, false, false},
		{"login too long", smb(line1, 3, 2, token(line1, 0)...), Login, RoleUnknown, false, false},
		{"login without a sum", smb(line1, 3, 2, append([]byte{0x05, 0x87, 1, 0}, make([]byte, 16)...)...), Login, RoleUnknown, false, false},
		{"login given back", smb(line1, 3, 1, token(line1)...), Login, RoleServer, true, true},
		{"login of type 0", smb(line1, 3, 0, token(line1)...), Login, RoleUnknown, false, false},
		{"alive given back", smb(line1, 1, 1, token(line1)...), Keepalive, RoleServer, true, true},
		{"alive of another line given back", smb(line1, 1, 1, token(line2)...), Keepalive, RoleServer, true, false},
		{"ready of type 1", smb(line1, 0x28, 1), Answer, RoleServer, true, true},
		{"ready of type 2", smb(line1, 0x28, 2), Answer, RoleServer, true, false},
		{"alive", smb(line1, 1, 2, token(line1)...), Keepalive, RoleUnknown, false, true},
		{"accepted", smb(line1, 0x5b, 1), Answer, RoleServer, true, true},
		{"accepted with more", smb(line1, 0x5b, 1, 0), Answer, RoleServer, true, false},
		{"ready", smb(line1, 0x28, 0), Answer, RoleServer, true, true},
		{"reset", smb(line1, 0xc8, 2, token(9)...), Command, RoleGateway, false, true},
		{"reset without a sum", smb(line1, 0xc8, 2), Command, RoleGateway, false, false},
		{"reset done", smb(line1, 0xc9, 1, token(0x4e609)...), Answer, RoleServer, true, true},
		{"select", smb(line1, 0, 2, token(5, 0xa0, 0xa4, 0, 0, 2, 0x6f, 0x3c)...), APDU, RoleGateway, false, true},
		{"select by path", smb(line1, 0, 2, token(5, 0, 0xa4, 8, 4, 4, 0x7f, 0xff, 0x6f, 0x3c)...), APDU, RoleGateway, false, true},
		{"select nothing", smb(line1, 0, 2, token(5, 0xa0, 0xa4, 0, 0, 2, 0x11, 0x22)...), APDU, RoleGateway, false, false},
		{"authenticate", smb(line1, 0, 2, token(5, auth...)...), APDU, RoleGateway, false, true},
		{"run algorithm", smb(line1, 0, 2, token(5, append([]byte{0xa0, 0x88, 0, 0, 0x10}, rand16...)...)...), APDU, RoleGateway, false, true},
		{"unknown class", smb(line1, 0, 2, token(5, 0x55, 0xa4, 0, 0, 2, 0x6f, 0x3c)...), APDU, RoleGateway, false, false},
		{"unknown instruction", smb(line1, 0, 2, token(5, 0xa0, 0xa5, 0, 0, 2, 0x6f, 0x3c)...), APDU, RoleGateway, false, false},
		{"length off", smb(line1, 0, 2, token(5, 0xa0, 0xa4, 0, 0, 4, 0x6f, 0x3c)...), APDU, RoleGateway, false, false},
		{"answer", smb(line1, 0, 1, token(5, 0xa4, 0x9f, 0x0f)...), APDU, RoleBank, true, true},
		{"answer of no status", smb(line1, 0, 1, token(5, 0xa4, 0x12, 0x0f)...), APDU, RoleBank, true, false},
		{"ATR", smb(line1, 0, 1, token(5, fixedATR()...)...), APDU, RoleBank, true, true},
		{"ATR with a wrong check byte", smb(line1, 0, 1, token(5, append(bytes.Clone(testATR), 0)...)...), APDU, RoleBank, true, false},
		{"card without a command", smb(line1, 0, 2, token(5)...), APDU, RoleUnknown, false, false},
		{"card of type 0", smb(line1, 0, 0, token(5, 0xa4, 0x90, 0)...), APDU, RoleUnknown, false, false},
		{"status", smb(line1, 0x1f, 2, token(line1)...), Keepalive, RoleGateway, false, false},
		{"report", smb(line1, 0x69, 0, '0', ',', ','), Answer, RoleServer, true, false},
		{"unknown command", smb(line1, 0x1234, 2, token(line1)...), Event, RoleUnknown, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := one(t, string(c.frame))
			if r == nil {
				t.Fatal("not recognised")
			}
			if r.Kind != c.kind || r.Sender != c.sender || r.Reply != c.reply || r.Sound != c.sound || r.Channel != line1 || r.Protocol != GoIPSIMBank {
				t.Errorf("got %+v", r)
			}
			leaks(t, r)
		})
	}
	for name, b := range map[string][]byte{
		"slot 0": smb(100100, 3, 2, token(100100)...), "type": smb(line1, 3, 9, token(line1)...), "too long": smb(line1, 0, 2, make([]byte, 600)...),
		"only a magic": smb(line1, 0, 2)[:4], "short": smb(line1, 0, 2)[:11], "other magic": append([]byte{0x78, 0x56, 0x34, 0x12}, smb(line1, 3, 2)[4:]...),
	} {
		if r := one(t, string(b)); r != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestSIMBankIdentities(t *testing.T) {
	p := ident.NewPseudonymizer(nil, "test")
	// EF IMSI of 460001234567890, EF ICCID of 8986001234567890120 and a filler.
	efIMSI := []byte{0x08, 0x49, 0x06, 0x00, 0x21, 0x43, 0x65, 0x87, 0x09}
	efICCID := []byte{0x98, 0x68, 0x00, 0x21, 0x43, 0x65, 0x87, 0x09, 0x21, 0xf0}
	answer := func(data []byte, sw ...byte) *Record {
		return one(t, string(smb(line1, 0, 1, token(5, append(append([]byte{0xb0}, data...), sw...)...)...)))
	}
	if r := answer(efIMSI, 0x90, 0); p.IMSI(r.IMSI) != imsi1 || !r.Sound {
		t.Errorf("IMSI %q", p.IMSI(r.IMSI))
	}
	if r := answer(efICCID, 0x90, 0); p.ICCID(r.ICCID) != iccid1 {
		t.Errorf("ICCID %q", p.ICCID(r.ICCID))
	}
	efIMSI[1], efICCID[8] = 0x19, 0x31 // country 160, wrong check digit
	for _, r := range []*Record{answer(efIMSI, 0x90, 0), answer(efICCID, 0x90, 0), answer(efIMSI, 0x69, 0x82), answer(make([]byte, 9), 0x90, 0), answer(make([]byte, 10), 0x90, 0)} {
		if !r.IMSI.IsZero() || !r.ICCID.IsZero() {
			t.Error("an identity where none is")
		}
	}
}

// A card that begins anew may be another: where one identity of each was lost,
// what the bank tells behind the ATR is not of the card before.
func TestSIMBankATRParts(t *testing.T) {
	efICCID := []byte{0xb0, 0x98, 0x68, 0x00, 0x21, 0x43, 0x65, 0x87, 0x09, 0x21, 0xf0, 0x90, 0}
	efIMSI := []byte{0xb0, 0x08, 0x49, 0x06, 0x00, 0x21, 0x43, 0x65, 0x87, 0x09, 0x90, 0}
	for name, c := range map[string]struct {
		between []byte
		cards   int
	}{
		"ATR": {smb(line1, 0, 1, token(6, fixedATR()...)...), 2}, "an answer": {smb(line1, 0, 1, token(6, 0xa4, 0x9f, 0x0f)...), 1},
		"another line's ATR": {smb(line2, 0, 1, token(6, fixedATR()...)...), 1},
	} {
		x := newWire(t, Limits{})
		w := up(30000)
		for i, b := range [][]byte{smb(line1, 0, 1, token(5, efICCID...)...), c.between, smb(line1, 0, 1, token(7, efIMSI...)...)} {
			x.udp(w, int64(i)*second, string(smb(line1, 0, 2, token(uint32(i), 0xa0, 0xb0, 0, 0, 9)...)))
			x.udp(w.back(), int64(i)*second+40e6, string(b))
		}
		bank := x.about(server)
		if bank == nil {
			t.Fatalf("%s: no evidence", name)
		}
		if got := bank.Cards(); len(got) != c.cards {
			t.Errorf("%s: %d cards", name, len(got))
		}
	}
	if r := one(t, string(smb(line1, 0xc9, 1, token(0x4e609)...))); r == nil || !r.Reset {
		t.Errorf("a reset that is done: %+v", r)
	}
}

func TestATR(t *testing.T) {
	for s, want := range map[string]bool{
		"3b00": true, "3b021450": true, "3f2f008069af0307035a00150a0e833e9f16": true, "3b0214": false, "3b02145000": false,
		"3b80": false, "3b8001": false, "3b800181": true, "3b800180": false, "3bf0": false, "3c00": false, "3b": false, "": false,
	} {
		var b []byte
		fmt.Sscanf(s, "%x", &b)
		if got := atr(b); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

func TestSIMBankCut(t *testing.T) {
	for _, b := range [][]byte{
		smb(line1, 3, 2, token(line1)...),
		smb(line1, 0, 2, token(5, 0xa0, 0xa4, 0, 0, 2, 0x6f, 0x3c)...),
		smb(line1, 0xc9, 1, token(0x4e609)...),
	} {
		for n := range len(b) {
			if r := one(t, string(b[:n])); r != nil && r.Sound {
				t.Errorf("cut at %d of %d: sound", n, len(b))
			}
		}
	}
}

// conversation is a gateway's side of a stream, and how many records it has.
func simbankStream() ([]byte, int) {
	var b []byte
	n := 0
	add := func(f []byte) { b = append(b, f...); n++ }
	add(smb(line1, 3, 2, token(line1)...))
	add(smb(line1, 0xc8, 2, token(1)...))
	for i := range uint32(5) {
		add(smb(line1, 0, 2, token(i, 0xa0, 0xa4, 0, 0, 2, 0x6f, 0x3c)...))
		add(smb(line1, 0, 2, token(i, 0xa0, 0xc0, 0, 0, 0x0f)...))
		add(smb(line1, 1, 2, token(line1)...))
	}
	return b, n
}

func TestSIMBankStream(t *testing.T) {
	b, want := simbankStream()
	// However the stream is cut into pieces; pieces that end within a SIM
	// command are put together as soon as the next frame begins.
	for size := 1; size <= len(b); size++ {
		st := New().NewStream(nil)
		n, sound := 0, 0
		for i := 0; i < len(b); i += size {
			st.Push(up(1).tcp().packet(int64(i), b[i:min(i+size, len(b))]), func(r *Record) {
				check(t, r)
				n++
				if r.Sound {
					sound++
				}
				if !r.TCP {
					t.Error("not marked as TCP")
				}
			})
			if len(st.held) > maxHeld {
				t.Fatalf("holds %d bytes", len(st.held))
			}
		}
		if n != want || sound != want {
			t.Fatalf("pieces of %d: %d records, %d sound, want %d", size, n, sound, want)
		}
	}
}

func TestSIMBankResync(t *testing.T) {
	good, want := simbankStream()
	in := append(bytes.Repeat([]byte{0x78, 0x56, 0x00}, 100), good...)
	in = append(in, bytes.Repeat([]byte{0xaa}, 900)...)
	in = append(in, good...)
	n := 0
	set := New()
	st := set.NewStream(nil)
	for i := 0; i < len(in); i += 333 {
		st.Push(up(1).tcp().packet(0, in[i:min(i+333, len(in))]), func(r *Record) {
			if r.Sound {
				n++
			}
		})
	}
	if n != 2*want || set.Stats().Garbage != 1200 {
		t.Errorf("%d records, want %d; %d bytes of garbage", n, 2*want, set.Stats().Garbage)
	}
	st.Gap()
	st.Push(up(1).tcp().packet(0, make([]byte, maxGarbage)), func(*Record) { t.Error("a record of zeros") })
	if !st.Over() || set.Stats().GaveUp != 1 || set.Stats().Gaps != 1 || st.held != nil {
		t.Errorf("did not give up: %+v", set.Stats())
	}
	st.Push(up(1).tcp().packet(0, good), func(*Record) { t.Error("a record after giving up") })
}

func FuzzSimbank(f *testing.F) {
	b, _ := simbankStream()
	f.Add(b, uint16(7))
	f.Add(smb(line1, 0, 1, token(5, fixedATR()...)...), uint16(100))
	f.Add(smb(line1, 0, 1, token(5, 0xb0, 8, 0x49, 6, 0, 0x21, 0x43, 0x65, 0x87, 9, 0x90, 0)...), uint16(1))
	f.Add(append(smb(line1, 0x69, 0, '0', ',', ','), smb(line1, 0x5b, 1)...), uint16(3))
	f.Fuzz(pushAll)
}

// pushAll pushes b in pieces of size, and the whole of it as a datagram.
func pushAll(t *testing.T, b []byte, size uint16) {
	if size == 0 || len(b) > 1<<16 {
		return
	}
	set := New()
	st := set.NewStream(nil)
	n := 0
	for i := 0; i < len(b); i += int(size) {
		st.Push(up(1).tcp().packet(int64(i), b[i:min(i+int(size), len(b))]), func(r *Record) { check(t, r); n++ })
		if cap(st.held) > 2*maxHeld || !st.Over() && len(st.held) > 0 && st.want <= len(st.held) {
			t.Fatalf("holds %d bytes (%d) and wants %d", len(st.held), cap(st.held), st.want)
		}
	}
	if got := set.Stats().Records; got != uint64(n) {
		t.Errorf("%d records counted, %d given", got, n)
	}
	// A record is at least a header long, but for the ports of a state report.
	if n > len(b)/simbankHeader*dinstarPorts {
		t.Errorf("%d records of %d bytes", n, len(b))
	}
	set.UDP(up(1).packet(0, b), func(r *Record) { check(t, r) })
}
