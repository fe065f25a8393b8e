package h323

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
)

const signalAt = "=01 0 000 =c000020706b8 " // one address, 192.0.2.7:1720

// rrq is a registration of one number and one name for 60 s; light leaves the
// names out and says keepAlive.
func rrq(t testing.TB, seq string, light bool) []byte {
	names, there, keep := "=02 0 0 "+dialled("8001")+"| 0 1 =01 =00670077 ", "1", "0"
	if light {
		names, there, keep = "", "0", "1"
	}
	return packed(t, "0 00011 1 0"+there+"0 ="+seq+named4+"1 "+signalAt+signalAt+
		"0 000001 0 0 0 0 "+ // a terminal
		names+
		"0 10 0 =b500 =0012 =01 =4142 "+ // endpointVendor, product AB
		"0 001000 0100010 =02 =003b =01 "+keep)
}

func rcf(t testing.TB, seq string) []byte {
	return packed(t, "0 00100 1 000 ="+seq+named4+signalAt+"0000000 =0065 0 000101 010000 =02 =003b")
}

func rrj(t testing.TB, seq, reason string) []byte {
	return packed(t, "0 00101 0 00 ="+seq+named4+reason)
}

func urq(t testing.TB, seq string) []byte {
	return packed(t, "0 00110 0 000 ="+seq+" "+signalAt)
}

func ucf(t testing.TB, seq string) []byte { return packed(t, "0 00111 0 0 ="+seq) }

func TestParseRAS(t *testing.T) {
	at := Media{ident.AddrFrom4([]byte{192, 0, 2, 7}), 1720}
	for _, c := range []struct {
		name string
		b    []byte
		want RAS
	}{
		{"RRQ", rrq(t, "0041", false), RAS{Kind: RegistrationRequest, Seq: 0x42, Version: 4, Aliases: []Alias{number1("8001"), alias("gw")}, Signal: at, TTL: 60, Agent: alias("AB")}},
		{"light RRQ", rrq(t, "ffff", true), RAS{Kind: RegistrationRequest, Version: 4, Signal: at, TTL: 60, Agent: alias("AB"), KeepAlive: true}},
		{"RCF", rcf(t, "0041"), RAS{Kind: RegistrationConfirm, Seq: 0x42, Version: 4, Signal: at, TTL: 60}},
		{"RRJ", rrj(t, "0041", "0 110"), RAS{Kind: RegistrationReject, Seq: 0x42, Version: 4}},
		{"RRJ that asks for discovery", rrj(t, "0041", "0 000"), RAS{Kind: RegistrationReject, Seq: 0x42, Version: 4, Again: true}},
		{"RRJ that asks for all", rrj(t, "0041", "1 0000100 =0100"), RAS{Kind: RegistrationReject, Seq: 0x42, Version: 4, Again: true}},
		{"URQ", urq(t, "0041"), RAS{Kind: UnregistrationRequest, Seq: 0x42, Signal: at}},
		{"UCF", ucf(t, "0041"), RAS{Kind: UnregistrationConfirm, Seq: 0x42}},
		{"GRQ", packed(t, "0 00000 0 0000 =0041"+named4), RAS{Kind: GatekeeperRequest, Seq: 0x42, Version: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m RAS
			if err := ParseRAS(c.b, &m); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, m, compared); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if looks := LooksRAS(c.b); looks != (m.Kind < UnregistrationRequest) {
				t.Errorf("looks like registration: %v", looks)
			}
			if looks := LooksUnregistration(c.b); looks != (m.Kind >= UnregistrationRequest) {
				t.Errorf("looks like unregistration: %v", looks)
			}
		})
	}
}

func TestRASRefused(t *testing.T) {
	whole := rrq(t, "0041", false)
	for n := range len(whole) {
		if ParseRAS(whole[:n], &RAS{}) == nil {
			t.Errorf("%d of %d octets read", n, len(whole))
		}
	}
	for _, c := range []struct{ name, bytes string }{
		{"ARQ", "27 88 06 0f 00 8d 00 02"},
		{"RTP", "80 12 00 01 06 00 08 91 4a 00 00 00"},
		{"DNS", "0e 41 01 00 00 01 00 00 00 00 00 00 03 77 77 77"},
		{"STUN", "00 01 00 00 21 12 a4 42 00 00 00 00 00 00 00 00"},
		{"NTP", "1b 00 00 00 00 00 00 00 00 00 00 00"},
		{"another recommendation", "0e 40 00 41 06 00 08 81 75 00 04 00"},
		{"the kind of a confirm that comes later", "90 40 00 41 06 00 08 91 4a 00 04 00"},
	} {
		if LooksRAS(raw(t, c.bytes)) {
			t.Errorf("%s looks like registration", c.name)
		}
	}
}

// More names than are kept are counted.
func TestManyAliases(t *testing.T) {
	names := "=28 " // forty
	for range 40 {
		names += "0 0 " + dialled("8001") + "| "
	}
	var m RAS
	b := packed(t, "0 00011 0 010 =0041"+named4+"1 "+signalAt+signalAt+"0 000000 0 0 "+names+"0 00 0 =b500 =0012")
	if err := ParseRAS(b, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Aliases) != MaxAliases || m.Left != 8 {
		t.Errorf("%d aliases, %d left out", len(m.Aliases), m.Left)
	}
}

func FuzzRAS(f *testing.F) {
	f.Add(rrq(f, "0041", false))
	f.Add(rcf(f, "0041"))
	f.Add(rrj(f, "0041", "1 0000100 =0100"))
	f.Add(urq(f, "0041"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m RAS
		if ParseRAS(b, &m) != nil {
			return
		}
		if len(m.Aliases) > MaxAliases {
			t.Errorf("%d aliases", len(m.Aliases))
		}
		if !LooksRAS(b) && !LooksUnregistration(b) && len(b) >= 11 {
			t.Errorf("%x is read, but does not look so", b)
		}
	})
}
