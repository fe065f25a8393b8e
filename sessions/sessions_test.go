package sessions

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"simtrap/ident"
)

func noCapture(name string) (Source, error) { return nil, errors.New("no capture expected: " + name) }

// all reads a feed to its end, one text an event.
func all(f *Feed) (out []string) {
	names := ident.NewPseudonymizer(nil, "test")
	for {
		e, ok := f.Next(math.MaxInt64)
		if !ok {
			return out
		}
		what := "start"
		if e.Stop {
			what = "stop"
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s %s %s %s", e.Time/1e9, what, e.Prefix, e.Realm, names.Subscriber(e.Subscriber))))
	}
}

func feedOf(t testing.TB, texts ...string) *Feed {
	t.Helper()
	var sources []Source
	for i, text := range texts {
		s, err := Read(strings.NewReader(text), fmt.Sprintf("file%d", i))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
	}
	return NewFeed(sources...)
}

func check(t *testing.T, f *Feed, want ...string) {
	t.Helper()
	got := all(f)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := f.Err(); err != nil {
		t.Error(err)
	}
}

func TestCSV(t *testing.T) {
	f := feedOf(t, "\ufeffaddress,start,end,subscriber,realm\r\n"+
		"203.0.113.7,100,200,alice,city\r\n"+
		"\n# a comment\n"+
		"203.0.113.7,200,300,\"bob, the second\",city\n"+ // who begins comes before who ends
		"2001:db8:1::5/56,1970-01-01T00:04:00Z,,carol,\n"+ // runs still
		"::ffff:203.0.113.9,250.5,260,,\n")
	check(t, f,
		"100 start 203.0.113.7/32 city alice",
		"200 start 203.0.113.7/32 city bob, the second",
		"200 stop 203.0.113.7/32 city alice",
		"240 start 2001:db8:1::/56  carol",
		"250 start 203.0.113.9/32",
		"260 stop 203.0.113.9/32",
		"300 stop 203.0.113.7/32 city bob, the second")
}

// Nothing is given before its time, and each thing once.
func TestNextHeedsTheTime(t *testing.T) {
	f := feedOf(t, "start,end,address\n100,200,203.0.113.7\n")
	for _, tt := range []struct {
		at int64
		ok bool
	}{{99e9, false}, {100e9, true}, {100e9, false}, {199e9, false}, {201e9, true}, {math.MaxInt64, false}} {
		if _, ok := f.Next(tt.at); ok != tt.ok {
			t.Errorf("at %d: %v", tt.at, ok)
		}
	}
}

func TestMergeAndOrder(t *testing.T) {
	f := feedOf(t,
		"start,end,address\n5000,,203.0.113.1\n2000,,203.0.113.2\n9000,,203.0.113.3\n",
		"start,end,address\n3000,,203.0.113.4\n20000,,203.0.113.5\n15000,,203.0.113.6\n16500,,203.0.113.7\n")
	check(t, f, "2000 start 203.0.113.2/32", "3000 start 203.0.113.4/32", "5000 start 203.0.113.1/32", "9000 start 203.0.113.3/32",
		"15000 start 203.0.113.6/32", "16500 start 203.0.113.7/32", "20000 start 203.0.113.5/32")
	if c := f.Counters(); c.Late != 0 || c.Events != 7 {
		t.Errorf("%+v", c)
	}
	// More than an hour is too late.
	f = feedOf(t, "start,end,address\n100,,203.0.113.1\n9000,,203.0.113.2\n99,,203.0.113.3\n9001,,203.0.113.4\n")
	check(t, f, "100 start 203.0.113.1/32", "9000 start 203.0.113.2/32", "9001 start 203.0.113.4/32")
	if c := f.Counters(); c.Late != 1 {
		t.Errorf("%+v", c)
	}
}

func TestBadRows(t *testing.T) {
	const head = "start,end,address,subscriber\n"
	for text, want := range map[string]string{
		"":                                             "x: an empty file",
		"hello\n":                                      "x:1: neither the header",
		"start,address\n":                              `x:1: no column "end"`,
		head + "1,2,203.0.113.7\n":                     "x:2: 3 fields, the header has 4",
		head + "\n1,2,203.0.113.999,a\n":               `x:3: address "203.0.113.999"`,
		head + "1,2,fe80::1%eth0,a\n":                  "x:2: address",
		head + "1,2,0.0.0.0/0,a\n":                     "x:2: address",
		head + "1,2,203.0.113.0/33,a\n":                "x:2: address",
		head + "2,1,203.0.113.7,a\n":                   "x:2: end 1 is before start 2",
		head + "yesterday,,203.0.113.7,a\n":            `x:2: start: "yesterday" is no time`,
		head + "-1,,203.0.113.7,a\n":                   `x:2: start: "-1"`,
		head + "1.,,203.0.113.7,a\n":                   `x:2: start: "1."`,
		head + "99999999999999999999,,203.0.113.7,a\n": "x:2: start",
		head + "9999-01-01T00:00:00Z,,203.0.113.7,a\n": "x:2: start: ",
		head + "1,2,203.0.113.7,\"a\n":                 "x:2: ",
		head + "1,2,203.0.113.7," + strings.Repeat("a", 300) + "\n":                      "x:2: a name of more than",
		head + strings.Repeat("a", 1<<17) + "\n":                                         "x:2: a line of more than",
		"Mon Nov 23 10:00:00 2026\n\tAcct-Status-Type Start\n":                           "x:2: want ATTRIBUTE = VALUE",
		"Mon Nov 23 10:00:00 2026\n\tFramed-IP-Address = 1.2.3\n":                        "x:2: Framed-IP-Address: address",
		"Mon Nov 23 10:00:00 2026\n\tTimestamp = now\n":                                  "x:2: Timestamp",
		"Mon Nov 23 10:00:00 2026\n\tTimestamp = 1\nMon Nov 23 10:00:00 2026\n":          "x:3: want the date",
		"Mon Nov 23 10:00:00 2026\n\n\tTimestamp = 1\n":                                  "x:3: an attribute outside",
		"Mon Nov 23 10:00:00 2026\n\tTimestamp = 1\n\n\tTimestamp = 1\n":                 "x:4: an attribute outside",
		"Mon Nov 23 10:00:00 2026\n\tUser-Name = " + strings.Repeat("a", 300) + "\n":     "x:2: User-Name: a value of more",
		"Mon Nov 23 10:00:00 2026\n\tTimestamp = 1\n\nTue Nov 24 10:00:00\n\tA = \"\"\n": "x:4: want the date",
	} {
		s, err := Read(strings.NewReader(text), "x")
		for err == nil {
			_, err = s.Next()
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: error %q, want %q", text, err, want)
		}
	}
}

const detail = `Mon Nov 23 10:00:00 2026
	Acct-Status-Type = Start
	Acct-Session-Id = "00000001"
	User-Name = "alice@example.net"
	NAS-IP-Address = 192.0.2.1
	Framed-IP-Address = 203.0.113.7
	Delegated-IPv6-Prefix = 2001:db8:7::/56
	Acct-Delay-Time = 5
	Timestamp = 1005

Mon Nov 23 10:30:00 2026
	Acct-Status-Type = Interim-Update
	Acct-Session-Id = "00000001"
	User-Name = "alice@example.net"
	NAS-IP-Address = 192.0.2.1
	Framed-IP-Address = 203.0.113.7
	Event-Timestamp = "Jan  1 1970 00:50:00 UTC"
	Timestamp = 3100

Mon Nov 23 10:31:00 2026
	Acct-Status-Type = Accounting-On
	NAS-IP-Address = 192.0.2.1
	Timestamp = 3150

Mon Nov 23 11:00:00 2026
	Acct-Status-Type = Stop
	Acct-Session-Id = "00000001"
	User-Name = "alice@example.net"
	NAS-IP-Address = 192.0.2.1
	Framed-IP-Address = 203.0.113.7
	Event-Timestamp = 4000
	Timestamp = 4001
`

func TestDetail(t *testing.T) {
	f := feedOf(t, detail)
	check(t, f,
		"1000 start 203.0.113.7/32  alice@example.net",
		"1000 start 2001:db8:7::/56  alice@example.net",
		"3000 start 203.0.113.7/32  alice@example.net",
		"4000 stop 203.0.113.7/32  alice@example.net")
	if c := f.Counters(); c.Skipped != 1 {
		t.Errorf("%+v", c)
	}
	// One session has one name, from its start to its stop.
	s, err := Read(strings.NewReader(detail), "x")
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint64
	for {
		e, err := s.Next()
		if err != nil {
			break
		}
		if e.Prefix.Addr().Is4() {
			ids = append(ids, e.Session)
		}
	}
	if len(ids) != 3 || ids[0] == 0 || ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("sessions %x", ids)
	}
}

// request builds an Accounting-Request (RFC 2866 section 4.1).
func request(attrs ...[]byte) []byte {
	b := make([]byte, 20)
	b[0] = 4
	for _, a := range attrs {
		b = append(b, a...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func attr(kind byte, v ...byte) []byte { return append([]byte{kind, byte(len(v) + 2)}, v...) }

func TestRADIUS(t *testing.T) {
	start := request(attr(40, 0, 0, 0, 1), attr(44, []byte("s1")...), attr(1, []byte("alice")...), attr(8, 203, 0, 113, 7),
		attr(97, 0, 64, 0x20, 1, 0x0d, 0xb8, 0, 1, 0, 2), attr(55, 0, 0, 3, 232))
	got, ok := AppendRADIUS(nil, start, 1100e9)
	if !ok || len(got) != 2 || got[0].Time != 1000e9 || got[0].Stop || got[0].Prefix != netip.MustParsePrefix("203.0.113.7/32") ||
		got[1].Prefix != netip.MustParsePrefix("2001:db8:1:2::/64") || got[0].Subscriber != ident.NewSubscriber([]byte("alice")) {
		t.Errorf("start: %v %+v", ok, got)
	}
	stop := request(attr(40, 0, 0, 0, 2), attr(44, []byte("s1")...), attr(1, []byte("alice")...), attr(8, 203, 0, 113, 7), attr(41, 0, 0, 0, 10))
	end, ok := AppendRADIUS(nil, stop, 2000e9)
	if !ok || len(end) != 1 || !end[0].Stop || end[0].Time != 1990e9 || end[0].Session != got[0].Session {
		t.Errorf("stop: %v %+v", ok, end)
	}
	// A clock that is years off is not believed.
	if e, _ := AppendRADIUS(nil, start, 1e18); len(e) != 2 || e[0].Time != 1e18 {
		t.Errorf("%+v", e)
	}
	for name, b := range map[string][]byte{
		"Access-Request":      append([]byte{1}, start[1:]...),
		"cut":                 start[:len(start)-1],
		"short":               start[:19],
		"attribute of length": request(attr(40, 0, 0, 0, 1), []byte{8, 1}),
		"attribute too long":  request([]byte{8, 7, 1, 2, 3, 4}),
	} {
		if e, ok := AppendRADIUS(nil, b, 1); ok || len(e) > 0 {
			t.Errorf("%s: taken: %+v", name, e)
		}
	}
	for name, b := range map[string][]byte{
		"Accounting-On":      request(attr(40, 0, 0, 0, 7), attr(8, 203, 0, 113, 7)),
		"no status":          request(attr(8, 203, 0, 113, 7)),
		"no address":         request(attr(40, 0, 0, 0, 1)),
		"255.255.255.254":    request(attr(40, 0, 0, 0, 1), attr(8, 255, 255, 255, 254)),
		"prefix of 129 bits": request(attr(40, 0, 0, 0, 1), attr(97, append([]byte{0, 129}, make([]byte, 16)...)...)),
		"prefix cut":         request(attr(40, 0, 0, 0, 1), attr(97, 0, 64, 0x20, 1)),
	} {
		if e, ok := AppendRADIUS(nil, b, 1); !ok || len(e) > 0 {
			t.Errorf("%s: %v %+v", name, ok, e)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, pack func(io.Writer) io.WriteCloser, text string) string {
		name = filepath.Join(dir, name)
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w := pack(f)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return name
	}
	gz := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	zs := func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	a := file("a.csv.gz", gz, "start,end,address\n1,2,203.0.113.7\n")
	b := file("b.zst", zs, detail)
	f, err := Open([]string{a, b}, noCapture)
	if err != nil {
		t.Fatal(err)
	}
	if got := all(f); len(got) != 6 || f.Err() != nil {
		t.Errorf("%v %v", got, f.Err())
	}
	f.Close()
	bad := file("bad.csv.gz", gz, "start,end,address\n1,2,203.0.113.7\n1,2,x\n")
	if _, err := Open([]string{a, bad}, noCapture); err == nil || !strings.Contains(err.Error(), "bad.csv.gz:3: address") {
		t.Errorf("error %v", err)
	}
	if _, err := Open([]string{filepath.Join(dir, "none")}, noCapture); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := Open([]string{dir}, noCapture); err == nil {
		t.Error("a folder was taken")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("start,end,address,realm,subscriber\n1,2,203.0.113.7,a,\"b\"\n"))
	f.Add([]byte(detail))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Read(strings.NewReader(string(b)), "fuzz")
		if err != nil {
			return
		}
		feed := NewFeed(s)
		last := int64(math.MinInt64)
		for {
			e, ok := feed.Next(math.MaxInt64)
			if !ok {
				break
			}
			if e.Time < last || !e.Prefix.IsValid() || e.Prefix != e.Prefix.Masked() || e.Time < 0 {
				t.Fatalf("%+v after %d", e, last)
			}
			last = e.Time
		}
	})
}

func FuzzRADIUS(f *testing.F) {
	f.Add(request(attr(40, 0, 0, 0, 1), attr(44, 's'), attr(8, 203, 0, 113, 7), attr(97, 0, 64, 0x20, 1, 0x0d, 0xb8, 0, 1, 0, 2), attr(55, 0, 0, 3, 232)))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, ok := AppendRADIUS(nil, b, 1e18)
		if !ok && len(out) > 0 || len(out) > maxAddresses {
			t.Fatalf("%v %d", ok, len(out))
		}
		for _, e := range out {
			if !e.Prefix.IsValid() || e.Prefix != e.Prefix.Masked() || e.Session == 0 {
				t.Fatalf("%+v", e)
			}
		}
	})
}
