package pipeline

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/packet"
)

// answer is what a resolver says about a name: header, question, one record.
func answer(name string) []byte {
	b := []byte{0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}
	at := len(b)
	b = append(b, 0)
	for i := range len(name) {
		if name[i] == '.' {
			b[at] = byte(len(b) - at - 1)
			at = len(b)
			b = append(b, 0)
			continue
		}
		b = append(b, name[i])
	}
	b[at] = byte(len(b) - at - 1)
	return append(b, 0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1)
}

// hello is a TLS 1.2 ClientHello with the server name behind another extension.
func clientHello(name string) []byte {
	ext := []byte{0, 10, 0, 4, 0, 2, 0, 29, 0, 0}
	ext = binary.BigEndian.AppendUint16(ext, uint16(len(name)+5))
	ext = binary.BigEndian.AppendUint16(ext, uint16(len(name)+3))
	ext = append(ext, 0)
	ext = binary.BigEndian.AppendUint16(ext, uint16(len(name)))
	ext = append(ext, name...)
	h := append([]byte{3, 3}, make([]byte, 32)...)
	h = append(h, 0, 0, 2, 0x13, 0x01, 1, 0)
	h = binary.BigEndian.AppendUint16(h, uint16(len(ext)))
	h = append(h, ext...)
	h = append([]byte{1, 0, byte(len(h) >> 8), byte(len(h))}, h...)
	return append([]byte{22, 3, 1, byte(len(h) >> 8), byte(len(h))}, h...)
}

// A name is the same whichever way it is told, and whatever stands before its
// last three labels.
func TestNamesOfHouseholds(t *testing.T) {
	m := &meter{seed: 7}
	want := m.question(answer("img.shop.example"))
	if want == 0 {
		t.Fatal("an answer tells no name")
	}
	for name, got := range map[string]uint64{
		"in capitals":          m.question(answer("IMG.Shop.EXAMPLE")),
		"behind random labels": m.question(answer("a8f3.z.img.shop.example")),
		"by TLS":               m.serverName(clientHello("img.shop.example")),
	} {
		if got != want {
			t.Errorf("%s: %x, want %x", name, got, want)
		}
	}
	if other := m.question(answer("img.other.example")); other == want || other == 0 {
		t.Errorf("another name has hash %x", other)
	}
}

// What is no answer and no hello tells nothing.
func TestNearMissesOfNames(t *testing.T) {
	m := &meter{seed: 7}
	query := answer("www.example.com")
	query[2] = 0x01
	two := answer("www.example.com")
	two[5] = 2
	notify := answer("www.example.com")
	notify[2] = 0xa0
	pointer := answer("www.example.com")
	pointer[12] = 0xc0
	for name, b := range map[string][]byte{"a query": query, "two questions": two, "a notify": notify, "a pointer for a name": pointer, "nothing": nil, "a root": answer("")[:17]} {
		if h := m.question(b); h != 0 {
			t.Errorf("%s: hash %x", name, h)
		}
	}
	server := clientHello("www.example.com")
	server[5] = 2
	for name, b := range map[string][]byte{"a ServerHello": server, "an empty name": clientHello(""), "nothing": nil} {
		if h := m.serverName(b); h != 0 {
			t.Errorf("%s: hash %x", name, h)
		}
	}
	for i := range answer("www.example.com")[:33] {
		if h := m.question(answer("www.example.com")[:i]); i < 29 && h != 0 {
			t.Errorf("an answer cut to %d bytes: hash %x", i, h)
		}
	}
	whole := clientHello("www.example.com")
	for i := range whole {
		if h := m.serverName(whole[:i]); h != 0 {
			t.Errorf("a hello cut to %d bytes: hash %x", i, h)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add(answer("www.example.com"), clientHello("www.example.com"))
	f.Add(answer("a.b"), clientHello("b"))
	f.Fuzz(func(t *testing.T, dns, tls []byte) {
		m := &meter{seed: 7}
		m.question(dns)
		m.serverName(tls)
	})
}

// everybody is a meter that collects.
func collecting(homes *ident.Homes) (*meter, *[]metered) {
	var out []metered
	m := &meter{homes: homes, seed: 1}
	m.emit = func(e *metered) { out = append(out, *e) }
	return m, &out
}

func testAddr(t testing.TB, s string) ident.Addr {
	t.Helper()
	a, ok := ident.ParseAddr([]byte(s))
	if !ok {
		t.Fatal(s)
	}
	return a
}

// The sample stands for all: bytes within a few per cent, every far end of note.
func TestMeterSamples(t *testing.T) {
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	m, out := collecting(homes)
	line := testAddr(t, "203.0.113.7")
	const packets = 200_000
	for i := range uint64(packets) {
		p := &packet.Packet{Seq: i, Time: int64(i) * 1e6, Src: line, Dst: testAddr(t, fmt.Sprintf("192.0.2.%d", i%8)), SrcPort: 40000, DstPort: 9000, Proto: packet.UDP, Length: 100}
		if i%4 == 0 {
			p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, 443, 40000
		}
		m.packet(p)
	}
	m.flush()
	var h heuristics.Household
	for i := range *out {
		if (*out)[i].line.Addr != line {
			t.Fatalf("%v is no subscriber's", (*out)[i].line)
		}
		h.Merge(&(*out)[i].facts)
	}
	near := func(what string, got, want uint64) {
		if got < want*9/10 || got > want*11/10 {
			t.Errorf("%d bytes %s, want some %d", got, what, want)
		}
	}
	near("up", h.Up, packets*100*3/4)
	near("down", h.Down, packets*100/4)
	near("of the web", h.Web, packets*100/4)
	if n := bits.OnesCount64(h.Far[0]) + bits.OnesCount64(h.Far[1]); n < 6 || n > 8 {
		t.Errorf("%d far ends, want 8 or a little less", n)
	}
	if n := len(*out); n < 20 || n > 22 {
		t.Errorf("%d windows of 200 s", n)
	}
}

// Room for a hundred lines loses nothing of a thousand.
func TestMeterLosesNothing(t *testing.T) {
	m, out := collecting(nil)
	sum := func() (n uint64) {
		for i := range *out {
			n += (*out)[i].facts.Up
		}
		return n
	}
	want := uint64(0)
	for i := range uint64(100_000) {
		p := &packet.Packet{Seq: i, Time: 1e18, Src: testAddr(t, fmt.Sprintf("203.0.%d.%d", i%1000/250, i%250)), Dst: testAddr(t, "192.0.2.1"), Proto: packet.UDP, Length: 10}
		if p.Seq*0x9e3779b97f4a7c15>>meterShift == 0 {
			want += 10 * meterSample
		}
		m.packet(p)
	}
	m.flush()
	if got := sum(); got != want || want == 0 {
		t.Errorf("%d bytes, want %d", got, want)
	}
	if m.used != 0 {
		t.Errorf("%d entries in use after a flush", m.used)
	}
}

// What is told follows packet time alone.
func TestHouseholdsInOrder(t *testing.T) {
	var q households
	for i := range 10 {
		q.push(metered{until: int64(10 - i)})
	}
	var all [shards]*output
	for i := range all {
		all[i] = &output{}
	}
	all[3].metered = []metered{{until: 4}, {until: 12}}
	q.add(&all)
	var got []int64
	for _, e := range q.list {
		got = append(got, e.until)
	}
	if d := cmp.Diff([]int64{1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 12}, got); d != "" {
		t.Error(d)
	}
}

func BenchmarkMeter(b *testing.B) {
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		b.Fatal(err)
	}
	m := &meter{homes: homes, seed: 1}
	m.emit = func(*metered) {}
	p := &packet.Packet{Time: 1e18, Src: testAddr(b, "203.0.113.7"), Dst: testAddr(b, "192.0.2.1"), SrcPort: 40000, DstPort: 9000, Proto: packet.UDP, Length: 172}
	b.ReportAllocs()
	for b.Loop() {
		p.Seq++
		p.Time += 1e5
		m.packet(p)
	}
}
