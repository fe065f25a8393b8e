package control

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

func unhexed(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	selectIMSI = "a0a40000026f07"
	runGSM     = "a088000010000102030405060708090a0b0c0d0e0f"
	authUSIM   = "0088008122" + "10000102030405060708090a0b0c0d0e0f" + "10000102030405060708090a0b0c0d0e0f"
)

func TestSIMCommand(t *testing.T) {
	for name, c := range map[string]struct {
		in string
		at int
	}{
		"SELECT alone":                 {selectIMSI, 0},
		"SELECT of the root":           {"a0a40000023f00", 0},
		"RUN GSM ALGORITHM":            {runGSM, 0},
		"AUTHENTICATE":                 {authUSIM, 0},
		"AUTHENTICATE with its length": {authUSIM + "00", 0},
		"behind a byte of length":      {"07" + selectIMSI, 1},
		"behind two bytes":             {"0007" + selectIMSI, 2},
		"behind four, little endian":   {"15000000" + runGSM, 4},
		"length counts the header":     {"000b0203" + selectIMSI, 4},
		"a long header":                {"0017aa030405060708090a0b0c0d0e0f" + selectIMSI, 16},

		"length not first":         {"ff07" + selectIMSI, -1},
		"header without a length":  {"ffee" + selectIMSI, -1},
		"header too long":          {"07" + "00000000000000000000000000000000" + selectIMSI, -1},
		"something behind":         {selectIMSI + "00", -1},
		"no such file":             {"a0a40000020007", -1},
		"another length":           {"a0a40000036f0700", -1},
		"RAND cut off":             {runGSM[:40], -1},
		"AUTN without length":      {"0088008122" + "10000102030405060708090a0b0c0d0e0f" + "0f000102030405060708090a0b0c0d0e0f", -1},
		"GSMTAP, type SIM":         {"02040400000000000000000007000000" + selectIMSI, -1},
		"Modbus, read registers":   {"000100000006010300a00002", -1},
		"Modbus, a0 a4 as address": {"000100000006010300a0a400", -1},
		"SSH":                      {hex.EncodeToString([]byte("SSH-2.0-OpenSSH_9.6\r\n")), -1},
		"DNS":                      {"67c601000001000000000000", -1},
		"STUN":                     {"000100002112a442000102030405060708090a0b", -1},
		"nothing":                  {"", -1},
	} {
		if at := apduBehind(unhexed(t, c.in)); at != c.at {
			t.Errorf("%s: %d, not %d", name, at, c.at)
		}
	}
}

func TestSIMAnswer(t *testing.T) {
	for in, want := range map[string]bool{
		"9f0f": true, "9000": true, "610c": true, "029f0f": true, "a49f0f": true, "03a49f0f": true, "0002610c": true, "03889f0c": true,
		"9f00": false, "9001": false, "ff9f0f": false, "": false, "90": false, "0390a4": false,
		"00000000000000000000000000000000000000029000": false,
	} {
		if got := apduAhead(unhexed(t, in)); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}

// Of what is not about cards hardly anything looks like it.
func TestSIMRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		b := make([]byte, 7+r.IntN(50))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if apduBehind(b) >= 0 {
			t.Fatalf("%x", b)
		}
	}
}

func FuzzSIMCommand(f *testing.F) {
	for _, s := range []string{selectIMSI, runGSM, authUSIM, "0007" + selectIMSI, "9f0f", "03a49f0f", "02040400000000000000000007000000" + selectIMSI} {
		f.Add(unhexed(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		apduAhead(b)
		at := apduBehind(b)
		if at > apduHead || at >= 0 && !apduCommand(b[at:]) {
			t.Fatalf("%d: %x", at, b)
		}
	})
}

// What one Set remembers of flows is none of another's: each shard has one, and
// what strangers send to one line must not make room of what another's say.
func TestAnotherRemembersItsOwn(t *testing.T) {
	command, answer := unhexed(t, "0007"+selectIMSI), unhexed(t, "00029f0f")
	mine := up(30000)
	place := func(w way) uint64 {
		p := w.packet(0, nil)
		return apduFlow(p.Src, p.Dst, p.SrcPort, p.DstPort) >> 1 % 64
	}
	other := up(30001)
	for port := uint16(30002); place(other) != place(mine); port++ {
		other = up(port)
	}
	for name, c := range map[string]struct {
		theirs func(*Set) *Set
		marks  int
	}{
		"another Set":  {(*Set).Another, 2},
		"the same Set": {func(s *Set) *Set { return s }, 0},
	} {
		set, marks := New(), 0
		theirs := c.theirs(set)
		for i := range int64(5) {
			set.UDP(mine.packet(i*second, command), func(*Record) { marks++ })
			theirs.UDP(other.packet(i*second, command), func(*Record) {})
			set.UDP(mine.back().packet(i*second, answer), func(*Record) { marks++ })
		}
		if marks != c.marks {
			t.Errorf("%s: %d marks, want %d", name, marks, c.marks)
		}
	}
}

// Several commands of one end and several answers of the other, and nothing
// less, make a mark of who sends the commands.
func TestSIMCommands(t *testing.T) {
	command, answer := unhexed(t, "0007"+selectIMSI), unhexed(t, "00029f0f")
	type turns []turn
	round := func(n int) (out turns) {
		for range n {
			out = append(out, turn{true, command}, turn{false, answer})
		}
		return out
	}
	for name, c := range map[string]struct {
		turns turns
		marks int
	}{
		"three":          {round(3), 0},
		"five":           {round(5), 2},
		"no answers":     {turns{{true, command}, {true, command}, {true, command}, {true, command}, {true, command}}, 0},
		"answers alone":  {turns{{false, answer}, {false, answer}, {false, answer}, {false, answer}, {false, answer}}, 0},
		"other answers":  {turns{{true, command}, {false, []byte("\x00\x02ok")}, {true, command}, {false, []byte("\x00\x02ok")}, {true, command}, {false, []byte("\x00\x02ok")}, {true, command}, {false, []byte("\x00\x02ok")}, {true, command}}, 0},
		"sent back":      {turns{{true, command}, {false, command}, {true, command}, {false, command}, {true, command}, {false, command}, {true, command}, {false, command}, {true, command}}, 0},
		"AUTHENTICATE":   {append(round(4), turn{true, unhexed(t, "0028"+authUSIM+"00")}), 2},
		"the other side": {turns{{false, command}, {true, answer}, {false, command}, {true, answer}, {false, command}, {true, answer}, {false, command}}, 1},
	} {
		for _, udp := range []bool{false, true} {
			x := newTalk(t)
			for i, c := range c.turns {
				w := up(30000)
				if !c.up {
					w = w.back()
				}
				if udp {
					x.set.UDP(w.packet(int64(i)*second, c.text), func(r *Record) { x.records = append(x.records, *r) })
				} else {
					x.tcp(w, int64(i)*second, c.text)
				}
			}
			if len(x.records) != c.marks {
				t.Errorf("%s, UDP %v: %d marks", name, udp, len(x.records))
			}
			for i := range x.records {
				r := &x.records[i]
				if r.Kind != Mark || r.Sound || r.Protocol != SIMCommands || r.Sender != RoleGateway || (r.Src == gateway) != (name != "the other side") {
					t.Errorf("%s: %+v", name, r)
				}
			}
		}
	}
	// A segment in which a command stands behind something is none.
	x := newTalk(t)
	for i := range 20 {
		x.tcp(up(1), int64(i)*second, append([]byte("\x00\x01other text"), command...))
		x.tcp(up(1).back(), int64(i)*second+1, answer)
	}
	if len(x.records) != 0 {
		t.Errorf("%+v", x.records[0])
	}
}
