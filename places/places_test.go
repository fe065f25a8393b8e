package places

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/heuristics"
	"simtrap/ident"
)

func addr(t testing.TB, s string) ident.Addr {
	t.Helper()
	a, ok := ident.ParseAddr([]byte(s))
	if !ok {
		t.Fatalf("bad address %s", s)
	}
	return a
}

func TestList(t *testing.T) {
	p := New("cn")
	err := p.Parse(strings.NewReader(`# made for the test
203.0.113.0/24   CN isp 64500 Home Net
203.0.113.128/25 de hosting AS64501 Rent  a  Box # inside
198.51.100.7     -  carrier
2001:db8::/32    SG hosting
2001:db8:1::/48  CN
192.0.2.0/24     HK Some Org
192.0.2.0/25     HK
192.0.2.0/25     MO
`), "list")
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]heuristics.Place{
		"203.0.113.5":      {Known: true, Country: "CN", ASN: 64500, Org: "Home Net"},
		"203.0.113.200":    {Known: true, Country: "DE", Foreign: true, Hosting: true, ASN: 64501, Org: "Rent a Box"},
		"198.51.100.7":     {Known: true},
		"198.51.100.8":     {},
		"2001:db8::1":      {Known: true, Country: "SG", Foreign: true, Hosting: true},
		"2001:db8:1::1":    {Known: true, Country: "CN"},
		"192.0.2.200":      {Known: true, Country: "HK", Foreign: true, Org: "Some Org"},
		"192.0.2.1":        {Known: true, Country: "MO", Foreign: true}, // the later line holds
		"::ffff:192.0.2.1": {Known: true, Country: "MO", Foreign: true},
		"10.0.0.1":         {},
	} {
		for range 2 { // the second answer is a remembered one
			if diff := cmp.Diff(want, p.Of(addr(t, a))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", a, diff)
			}
		}
	}
	if p.Of(ident.Addr{}).Known {
		t.Error("no address is known")
	}
}

func TestListErrors(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.0/24":                       "list:1: no country",
		"\n203.0.113.0/33 CN":                  "list:2: \"203.0.113.0/33\"",
		"fe80::1%eth0 CN":                      "list:1: ",
		"::ffff:203.0.113.0/90 CN":             "list:1: ",
		"203.0.113.0/24 CHN":                   "list:1: country \"CHN\"",
		"203.0.113.0/24 4É":                    "list:1: country",
		strings.Repeat("x", 5000):              "a line of more than",
		"203.0.113.0/24 CN\nPK\x03\x04 \x00 x": "list:2: ",
	} {
		err := New("").Parse(strings.NewReader(text), "list")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want %q", text, err, want)
		}
	}
}

func TestOpen(t *testing.T) {
	if p, err := Open(nil, nil, "CN"); p != nil || err != nil {
		t.Errorf("no files: %v, %v", p, err)
	}
	if _, err := Open([]string{filepath.Join(t.TempDir(), "none")}, nil, "CN"); err == nil {
		t.Error("no error for a list that is not there")
	}
	bad := filepath.Join(t.TempDir(), "bad.mmdb")
	if err := os.WriteFile(bad, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(nil, []string{bad}, "CN"); err == nil || !strings.Contains(err.Error(), "want a MaxMind database") {
		t.Errorf("error %v", err)
	}
	if _, err := Open(nil, []string{t.TempDir()}, "CN"); err == nil {
		t.Error("no error for a folder")
	}
}

func TestDatabases(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	country := file("country.mmdb", makeDatabase(4, map[string]any{
		"203.0.113.0/24":  mm{"country": mm{"iso_code": "SG", "names": mm{"en": "Singapore"}}},
		"198.51.100.0/24": mm{"registered_country": mm{"iso_code": "CN"}},
		"192.0.2.0/24":    mm{"country": "Atlantis", "traits": mm{"is_hosting_provider": true}},
	}))
	asn := file("asn.mmdb", makeDatabase(6, map[string]any{
		"2001:db8::/32": mm{"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Rent\x1b a Box"},
		"2001:db9::/32": mm{"country": "DE", "asn": "AS64501", "as_name": "Other"},
	}))
	list := file("list", []byte("203.0.113.7 CN hosting\n"))
	p, err := Open([]string{list}, []string{country, asn}, "CN")
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]heuristics.Place{
		"203.0.113.5":  {Known: true, Country: "SG", Foreign: true},
		"203.0.113.7":  {Known: true, Country: "CN", Hosting: true}, // the list comes first
		"198.51.100.1": {Known: true, Country: "CN"},
		"192.0.2.1":    {Known: true, Hosting: true},
		"10.0.0.1":     {},
		"2001:db8::5":  {Known: true, ASN: 64500, Org: "Rent a Box"},
		"2001:db9::5":  {Known: true, Country: "DE", Foreign: true, ASN: 64501, Org: "Other"},
		"2001:dba::5":  {},
	} {
		if diff := cmp.Diff(want, p.Of(addr(t, a))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", a, diff)
		}
	}
	if p.Failed() != 0 {
		t.Errorf("%d failed", p.Failed())
	}
}

func TestRememberedAnswersAreBounded(t *testing.T) {
	p := New("CN")
	var b [4]byte
	for i := range 3 * maxKnown {
		binary.BigEndian.PutUint32(b[:], uint32(i+1<<24))
		p.Of(ident.AddrFrom4(b[:]))
	}
	if len(p.known) > maxKnown {
		t.Errorf("%d answers", len(p.known))
	}
}

// FuzzDatabase checks that no file breaks the reader, nor makes an answer large.
func FuzzDatabase(f *testing.F) {
	good := makeDatabase(4, map[string]any{"203.0.113.0/24": mm{"country": mm{"iso_code": "SG"}, "autonomous_system_number": uint32(5)}})
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := New("CN")
		if p.AddDatabase(b, "fuzz") != nil {
			return
		}
		for _, a := range []string{"203.0.113.1", "0.0.0.1", "2001:db8::1", "255.255.255.255"} {
			at := p.Of(addr(t, a))
			if len(at.Org) > maxOrg || len(at.Country) > 2 {
				t.Fatalf("%+v", at)
			}
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add([]byte("203.0.113.0/24 CN hosting 64500 Name\n# x\n::/0 -"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := New("CN")
		_ = p.Parse(strings.NewReader(string(b)), "fuzz")
		if at := p.Of(addr(t, "203.0.113.1")); len(at.Org) > maxOrg {
			t.Fatalf("%+v", at)
		}
	})
}

// mm is a map of the MaxMind format.
type mm map[string]any

// makeDatabase writes a database by MaxMind DB File Format Specification 2.0:
// a binary tree with records of 24 bits, the data section, the metadata.
func makeDatabase(version int, networks map[string]any) []byte {
	type node [2]int // child nodes; -1 none, below -1 data
	nodes := []node{{-1, -1}}
	var data []byte
	var offsets []int
	for s, v := range networks {
		p := netip.MustParsePrefix(s)
		offsets = append(offsets, len(data))
		data = encode(data, v)
		at, b := 0, p.Addr().AsSlice()
		for i := range p.Bits() {
			bit := b[i/8] >> (7 - i%8) & 1
			if i == p.Bits()-1 {
				nodes[at][bit] = -1 - len(offsets)
				break
			}
			if nodes[at][bit] == -1 {
				nodes[at][bit] = len(nodes)
				nodes = append(nodes, node{-1, -1})
			}
			at = nodes[at][bit]
		}
	}
	var out []byte
	for _, n := range nodes {
		for _, c := range n {
			v := c
			switch {
			case c == -1:
				v = len(nodes)
			case c < -1:
				v = len(nodes) + 16 + offsets[-c-2]
			}
			out = append(out, byte(v>>16), byte(v>>8), byte(v))
		}
	}
	out = append(out, make([]byte, 16)...)
	out = append(out, data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return encode(out, mm{
		"node_count": uint32(len(nodes)), "record_size": uint16(24), "ip_version": uint16(version),
		"database_type": "Test", "languages": []string{}, "binary_format_major_version": uint16(2),
		"binary_format_minor_version": uint16(0), "build_epoch": uint64(1), "description": mm{},
	})
}

func encode(b []byte, v any) []byte {
	control := func(kind, size int) {
		c := byte(size)
		if size >= 29 {
			c = 29
		}
		if kind > 7 {
			b = append(b, c, byte(kind-7))
		} else {
			b = append(b, byte(kind)<<5|c)
		}
		if size >= 29 {
			b = append(b, byte(size-29))
		}
	}
	switch v := v.(type) {
	case string:
		control(2, len(v))
		b = append(b, v...)
	case uint16:
		control(5, 2)
		b = binary.BigEndian.AppendUint16(b, v)
	case uint32:
		control(6, 4)
		b = binary.BigEndian.AppendUint32(b, v)
	case uint64:
		control(9, 8)
		b = binary.BigEndian.AppendUint64(b, v)
	case bool:
		n := 0
		if v {
			n = 1
		}
		control(14, n)
	case []string:
		control(11, len(v))
		for _, s := range v {
			b = encode(b, s)
		}
	case mm:
		control(7, len(v))
		for k, x := range v {
			b = encode(encode(b, k), x)
		}
	}
	return b
}
