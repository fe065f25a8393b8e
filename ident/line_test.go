package ident

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseAddr(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "0.0.0.0": "0.0.0.0", "255.255.255.255": "255.255.255.255",
		"2001:db8::1": "2001:db8::1", "[2001:db8::1]": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1",
		"": "", "1.2.3": "", "1.2.3.4.5": "", "256.1.1.1": "", "1..2.3": "", "1.2.3.": "", "0001.2.3.4": "",
		"example.net": "", "1.2.3.4 ": "", ":": "", "[]": "", "fe80::1%eth0": "",
	} {
		a, ok := ParseAddr([]byte(text))
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%q: %v %v, want %q", text, a, ok, want)
		}
	}
}

func TestAddrAgreesWithNetip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n netip.Addr
		if rapid.Bool().Draw(t, "v4") {
			n = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "b")))
		} else {
			n = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "b"))).Unmap()
		}
		a := AddrFromNetip(n)
		if a.Netip() != n || a.Is4() != n.Is4() {
			t.Fatalf("%v became %v", n, a)
		}
		b, ok := ParseAddr([]byte(n.String()))
		if !ok || b != a {
			t.Fatalf("%v parsed as %v %v", n, b, ok)
		}
		cgnat := netip.MustParsePrefix("100.64.0.0/10")
		if want := n.IsPrivate() || n.IsLinkLocalUnicast() || n.IsLoopback() || n.Is4() && cgnat.Contains(n); a.Private() != want {
			t.Fatalf("%v private %v, want %v", n, a.Private(), want)
		}
	})
}

func TestLineOf(t *testing.T) {
	h, err := ParseHomes([]string{"203.0.113.0/24, 2001:db8::/32", "198.51.100.7"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"203.0.113.9": "203.0.113.9 true", "203.0.114.9": "203.0.114.9 false", "198.51.100.7": "198.51.100.7 true",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64 true", "2001:db9::1": "2001:db9::/64 false",
		"2001:0:c633:6401:0:61bf:f5bf:fffd": "2001:0:c633:6401:0:61bf:f5bf:fffd false", "2001:1::5": "2001:1::/64 false",
	} {
		a, _ := ParseAddr([]byte(text))
		if got := fmt.Sprint(h.LineOf(a, 0), " ", h.Contains(a)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	var none *Homes
	if a, _ := ParseAddr([]byte("192.0.2.1")); none.Known() || none.Contains(a) || none.LineOf(a, 0).Addr != a {
		t.Error("no homes must know nothing and still name lines")
	}
	for _, bad := range []string{"x", "1.2.3.4/33", "1.2.3"} {
		if _, err := ParseHomes([]string{bad}, 0); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
	h56, _ := ParseHomes(nil, 56)
	if a, _ := ParseAddr([]byte("2001:db8:1:2ff::1")); h56.LineOf(a, 3).String() != "realm-3/2001:db8:1:200::/56" {
		t.Errorf("got %v", h56.LineOf(a, 3))
	}
}

// No verb of fmt, and no encoder of text, prints an identity.
func TestIdentitiesDoNotPrint(t *testing.T) {
	imsi, _ := NewIMSI([]byte("460001234567890"))
	imei, ok := NewIMEI([]byte("490154203237518"))
	iccid, ok2 := NewICCID([]byte("8986001234567890123F"))
	if !ok || !ok2 {
		t.Fatal("sound identities refused")
	}
	type wrap struct {
		IMSI    IMSI
		Numbers []Number
		Account *Account
	}
	acc := NewAccount([]byte("13812345678@example.net"))
	all := []any{imsi, imei, iccid, NewNumber([]byte("13812345678")), acc, NewCNAME([]byte("13812345678@host")),
		wrap{imsi, []Number{NewNumber([]byte("13812345678"))}, &acc}, map[IMSI]IMEI{imsi: imei}}
	for _, v := range all {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			s := fmt.Sprintf(verb, v)
			for _, secret := range []string{"1234567890", "13812345678", "3237518", "567890123", "31333831323334"} {
				if strings.Contains(s, secret) {
					t.Errorf("%T with %s prints %s", v, verb, s)
				}
			}
		}
	}
	for _, m := range []interface{ MarshalText() ([]byte, error) }{imsi, imei, iccid, acc} {
		if b, err := m.MarshalText(); err != nil || !strings.HasSuffix(string(b), "~") {
			t.Errorf("%T marshals as %q, %v", m, b, err)
		}
	}
}

func TestIdentityChecks(t *testing.T) {
	for text, want := range map[string]bool{"490154203237518": true, "490154203237517": false, "4901542032375181": true, "49015420323751": false, "49015420323751x": false} {
		if _, ok := NewIMEI([]byte(text)); ok != want {
			t.Errorf("IMEI %s: %v", text, ok)
		}
	}
	for text, want := range map[string]bool{"460001234567890": true, "4600012345678901": false, "46000": false, "46000123456789a": false} {
		if _, ok := NewIMSI([]byte(text)); ok != want {
			t.Errorf("IMSI %s: %v", text, ok)
		}
	}
	for text, want := range map[string]bool{"89860012345678901234": true, "79860012345678901234": false, "898600123456789": false} {
		if _, ok := NewICCID([]byte(text)); ok != want {
			t.Errorf("ICCID %s: %v", text, ok)
		}
	}
}

func TestPseudonyms(t *testing.T) {
	imsi, _ := NewIMSI([]byte("460001234567890"))
	a, b := NewPseudonymizer([]byte("key a"), ""), NewPseudonymizer([]byte("key b"), "")
	one := a.IMSI(imsi)
	if len(one) != 5+1+16 || !strings.HasPrefix(one, "46000~") {
		t.Errorf("pseudonym %q", one)
	}
	if a.IMSI(imsi) != one || b.IMSI(imsi) == one {
		t.Error("a pseudonym must depend on the key and nothing else")
	}
	if a.Account(NewAccount([]byte("x"))) == a.CNAME(NewCNAME([]byte("x"))) {
		t.Error("equal texts of different kinds have equal pseudonyms")
	}
	if a.IMSI(IMSI{}) != "" {
		t.Error("nothing must stay nothing")
	}
	if got := NewPseudonymizer(nil, "case 1").IMSI(imsi); got != "460001234567890" {
		t.Errorf("with an authority: %q", got)
	}
}
