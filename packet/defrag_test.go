package packet

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"simtrap/ident"
)

const second = int64(1e9)

// piece4 and piece6 are fragments of one datagram between two hosts.
func piece4(at int64, id uint32, offset int, more bool, data []byte) *Packet {
	return &Packet{
		Time: at, Src: addr(inner4Src), Dst: addr(inner4Dst),
		Frag: Frag{ID: id, Offset: uint32(offset), Length: uint32(len(data)), More: more, Proto: UDP, Data: data},
	}
}

func piece6(at int64, id uint32, offset int, more bool, data []byte) *Packet {
	p := piece4(at, id, offset, more, data)
	p.Src, p.Dst, p.Frag.V6 = addr(inner6Src), addr(inner6Dst), true
	return p
}

// check tests what must hold for a Defrag at any time.
func (d *Defrag) check(t interface{ Fatalf(string, ...any) }) {
	live, bytes := 0, 0
	last := int32(0)
	for i := d.oldest; i != 0; i = d.entries[i].newer {
		e := &d.entries[i]
		if e.older != last || d.find(e.key) != i || e.dead && (e.data != nil || e.pieces != nil) || len(e.pieces) > d.cfg.Fragments {
			t.Fatalf("entry %d is out of order", i)
		}
		bytes += cap(e.data)
		live++
		last = i
	}
	free := 0
	for i := d.free; i != 0; i = d.entries[i].chain {
		free++
	}
	if d.newest != last || bytes != d.bytes || bytes > d.cfg.Bytes || live > d.cfg.Datagrams || live+free+1 != len(d.entries) {
		t.Fatalf("%d live, %d free of %d entries; %d bytes, reckoned %d", live, free, len(d.entries), bytes, d.bytes)
	}
}

func (d *Defrag) live() (n int) {
	for i := d.oldest; i != 0; i = d.entries[i].newer {
		n++
	}
	return n
}

// Fragments of several datagrams in any order, repeated, come out as they went
// in.
func TestDefragAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewDefrag(DefragConfig{Seed: rapid.Uint64().Draw(t, "seed")})
		var want [][]byte
		var parts []*Packet
		for id := range rapid.IntRange(1, 6).Draw(t, "datagrams") {
			size := rapid.IntRange(9, 3000).Draw(t, "size")
			body := make([]byte, size)
			r := rand.New(rand.NewPCG(uint64(id), uint64(size)))
			for i := range body {
				body[i] = byte(r.Uint32())
			}
			want = append(want, body)
			v6 := rapid.Bool().Draw(t, "v6")
			step := max(8, size/60/8*8+8)
			for from := 0; from < size; {
				to := min(size, from+8*rapid.IntRange(step/8, step/8+40).Draw(t, "length"))
				build := piece4
				if v6 {
					build = piece6
				}
				// Identifications are shared between the versions, and
				// repeat in another realm and behind another VLAN.
				p := build(0, uint32(id/3), from, to < size, body[from:to])
				p.Realm, p.Access.VLAN[0] = ident.Realm(id%3/2), uint16(id%3%2)
				p.Seq = uint64(id)
				for range rapid.IntRange(1, 2).Draw(t, "copies") {
					q := *p
					parts = append(parts, &q)
				}
				from = to
			}
		}
		parts = rapid.Permutation(parts).Draw(t, "order")
		got := make([]int, len(want))
		for _, p := range parts {
			whole, ok := f.Add(p)
			f.check(t)
			if !ok {
				continue
			}
			if !bytes.Equal(whole, want[p.Seq]) {
				t.Fatalf("datagram %d differs", p.Seq)
			}
			got[p.Seq]++
		}
		for id, n := range got {
			if n == 0 || n > 2 {
				t.Fatalf("datagram %d came out %d times; counters %v", id, n, named(&f.Counters))
			}
		}
	})
}

func fill(n int, c byte) []byte { return bytes.Repeat([]byte{c}, n) }

func TestDefragRules(t *testing.T) {
	type part struct {
		offset int
		more   bool
		data   []byte
	}
	a, b := fill(16, 'a'), fill(16, 'b')
	tests := []struct {
		name           string
		parts          []part
		whole4, whole6 string // what comes out, empty for nothing
		reason4        Reason
		reason6        Reason
	}{
		{"in order", []part{{0, true, a}, {16, false, b}}, "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb", "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb", reasons, reasons},
		{"last alone", []part{{16, false, b}}, "", "", reasons, reasons},
		{"repeated", []part{{0, true, a}, {0, true, a}, {16, false, b[:1]}}, "aaaaaaaaaaaaaaaab", "aaaaaaaaaaaaaaaab", FragmentDuplicate, FragmentDuplicate},
		{"same range, other bytes", []part{{0, true, a}, {0, true, b}, {16, false, b[:1]}}, "aaaaaaaaaaaaaaaab", "", FragmentDuplicate, FragmentConflict},
		{"overlap that agrees", []part{{0, true, a}, {8, true, a}, {24, false, b[:1]}}, "aaaaaaaaaaaaaaaaaaaaaaaab", "", reasons, FragmentConflict},
		{"contained, agrees", []part{{0, true, fill(32, 'a')}, {8, true, a}, {32, false, b[:1]}}, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "", reasons, FragmentConflict},
		{"longer repetition", []part{{0, true, a[:8]}, {0, true, a}, {0, true, a}, {16, false, b[:1]}}, "aaaaaaaaaaaaaaaab", "", FragmentDuplicate, FragmentConflict},
		{"overlap that differs", []part{{0, true, a}, {8, true, b}, {24, false, b[:1]}}, "", "", FragmentConflict, FragmentConflict},
		{"overlap before that differs", []part{{8, true, a}, {0, true, b}, {24, false, b[:1]}}, "", "", FragmentConflict, FragmentConflict},
		{"two ends", []part{{16, false, a}, {32, false, a}, {0, true, a}}, "", "", FragmentConflict, FragmentConflict},
		{"beyond the end", []part{{16, false, a}, {32, true, a}, {0, true, a}}, "", "", FragmentConflict, FragmentConflict},
		{"end before what came", []part{{32, true, a}, {16, false, a}, {0, true, a}}, "", "", FragmentConflict, FragmentConflict},
		{"last again with more", []part{{16, false, a}, {16, true, a}, {0, true, a}}, "", "", FragmentConflict, FragmentConflict},
		{"more again as last", []part{{16, true, a}, {16, false, a}, {0, true, a}}, "", "", FragmentConflict, FragmentConflict},
		{"empty", []part{{0, true, nil}}, "", "", FragmentEmpty, FragmentEmpty},
		{"empty last", []part{{0, true, a}, {16, false, nil}}, "", "", FragmentEmpty, FragmentEmpty},
		{"misaligned", []part{{0, true, a[:9]}, {16, false, b}}, "", "", FragmentMisaligned, FragmentMisaligned},
		{"beyond 65535", []part{{65528, false, a[:8]}}, "", "", FragmentBeyond, FragmentBeyond},
		{"tiny", []part{{0, true, a[:8]}, {8, true, a[:8]}, {16, false, b[:1]}}, "aaaaaaaaaaaaaaaab", "aaaaaaaaaaaaaaaab", reasons, reasons},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, v6 := range []bool{false, true} {
				build, want, reason := piece4, tt.whole4, tt.reason4
				if v6 {
					build, want, reason = piece6, tt.whole6, tt.reason6
				}
				f := NewDefrag(DefragConfig{})
				got := ""
				for _, p := range tt.parts {
					if whole, ok := f.Add(build(0, 1, p.offset, p.more, p.data)); ok {
						got += string(whole)
					}
					f.check(t)
				}
				if got != want {
					t.Errorf("ipv6 %v: %q, want %q; counters %v", v6, got, want, named(&f.Counters))
				}
				if reason < reasons && f.Counters[reason] == 0 || reason == reasons && f.Counters != (Counters{}) {
					t.Errorf("ipv6 %v: counters %v", v6, named(&f.Counters))
				}
			}
		})
	}
}

// The protocol behind an IPv6 fragment header is the first fragment's.
func TestDefragFirstHeaderCounts(t *testing.T) {
	f := NewDefrag(DefragConfig{})
	first, last := piece6(0, 1, 0, true, fill(8, 'a')), piece6(0, 1, 8, false, fill(8, 'b'))
	first.Frag.Proto, last.Frag.Proto = UDP, TCP
	f.Add(first)
	if _, ok := f.Add(last); !ok || last.Frag.Proto != UDP {
		t.Fatal(ok, last.Frag.Proto)
	}
	f.Add(piece6(0, 1, 8, false, fill(8, 'b')))
	if _, ok := f.Add(first); !ok || first.Frag.Proto != UDP {
		t.Fatal(ok, first.Frag.Proto)
	}
}

func TestDefragSnapped(t *testing.T) {
	f := NewDefrag(DefragConfig{})
	p := piece4(0, 1, 0, true, fill(8, 'a'))
	p.Frag.Length = 16
	if _, ok := f.Add(p); ok || f.Counters[FragmentCut] != 1 || f.live() != 0 {
		t.Fatal(named(&f.Counters))
	}
}

func TestDefragTimeout(t *testing.T) {
	f := NewDefrag(DefragConfig{})
	f.Add(piece4(0, 1, 0, true, fill(8, 'a')))
	f.Add(piece4(29*second, 1, 8, true, fill(8, 'a')))
	f.Add(piece4(29*second, 2, 0, true, fill(8, 'a')))
	if f.live() != 2 {
		t.Fatal("given up too early")
	}
	if _, ok := f.Add(piece4(30*second, 1, 16, false, fill(8, 'a'))); ok || f.Counters[FragmentTimeout] != 1 {
		t.Fatal("30 s are over", named(&f.Counters))
	}
	if whole, ok := f.Add(piece4(58*second, 2, 8, false, fill(8, 'b'))); !ok || string(whole) != "aaaaaaaabbbbbbbb" {
		t.Fatal("the second datagram had time left")
	}
	if _, ok := f.Add(piece4(0, 3, 0, true, fill(8, 'a'))); ok || f.Counters[FragmentTimeout] != 1 {
		t.Fatal("time that runs backwards expires nothing")
	}
}

// A datagram once dropped stays dropped until its time is over.
func TestDefragDroppedStaysDropped(t *testing.T) {
	f := NewDefrag(DefragConfig{})
	f.Add(piece6(0, 1, 0, true, fill(16, 'a')))
	f.Add(piece6(0, 1, 8, true, fill(16, 'a')))
	for range 2 {
		f.Add(piece6(second, 1, 0, true, fill(8, 'a')))
		if _, ok := f.Add(piece6(second, 1, 8, false, fill(8, 'a'))); ok {
			t.Fatal("a dropped datagram came out")
		}
	}
	if f.Counters[FragmentConflict] != 1 || f.Counters[FragmentLate] != 4 || f.bytes != 0 {
		t.Fatal(named(&f.Counters), f.bytes)
	}
	f.Add(piece6(31*second, 1, 0, true, fill(8, 'a')))
	if _, ok := f.Add(piece6(31*second, 1, 8, false, fill(8, 'a'))); !ok {
		t.Fatal("the identification is free again")
	}
	if f.Counters[FragmentTimeout] != 0 {
		t.Fatal("counted twice")
	}
}

// Strangers send fragments without end: every table keeps its bounds, the
// oldest goes, and each datagram is counted once.
func TestDefragFlood(t *testing.T) {
	t.Run("datagrams", func(t *testing.T) {
		f := NewDefrag(DefragConfig{})
		for id := range uint32(20000) {
			f.Add(piece6(int64(id), id, 8, true, fill(8, 'a')))
		}
		f.check(t)
		if f.live() != 512 || f.Counters[FragmentTableFull] != 20000-512 {
			t.Fatal(f.live(), named(&f.Counters))
		}
		if f.find(fragKey{src: addr(inner6Src), dst: addr(inner6Dst), id: 19999 - 511, v6: true}) == 0 {
			t.Fatal("not the oldest went")
		}
	})
	t.Run("fragments", func(t *testing.T) {
		f := NewDefrag(DefragConfig{})
		for i := range 66 {
			f.Add(piece4(0, 1, i*8, true, fill(8, 'a')))
			f.check(t)
		}
		if f.Counters[FragmentTooMany] != 1 || f.Counters[FragmentLate] != 1 || f.bytes != 0 {
			t.Fatal(named(&f.Counters))
		}
	})
	t.Run("sixty-four fragments are allowed", func(t *testing.T) {
		f := NewDefrag(DefragConfig{})
		for i := range 64 {
			if whole, ok := f.Add(piece4(0, 1, i*8, i < 63, fill(8, 'a'))); ok != (i == 63) || ok && len(whole) != 512 {
				t.Fatal(i, ok)
			}
		}
	})
	t.Run("bytes", func(t *testing.T) {
		f := NewDefrag(DefragConfig{Bytes: 1 << 20})
		for id := range uint32(400) {
			for part := range 3 {
				f.Add(piece4(int64(id), id, part*20000, true, fill(20000, 'a')))
			}
			f.check(t)
		}
		if f.Counters[FragmentMemoryFull] < 380 || f.Counters[FragmentMemoryFull]+uint64(f.live()) != 400 {
			t.Fatal(f.live(), named(&f.Counters))
		}
	})
	t.Run("one datagram beyond all bytes", func(t *testing.T) {
		f := NewDefrag(DefragConfig{Bytes: 1000})
		f.Add(piece4(0, 1, 0, true, fill(2000, 'a')))
		f.check(t)
		if f.Counters[FragmentMemoryFull] != 1 || f.bytes != 0 {
			t.Fatal(named(&f.Counters))
		}
	})
	t.Run("overlaps of IPv4 do not pile up", func(t *testing.T) {
		f := NewDefrag(DefragConfig{})
		for i := range 10 {
			f.Add(piece4(0, 1, i*8, true, fill(20000, 'a')))
			f.check(t)
		}
		if f.Counters[FragmentConflict] != 1 {
			t.Fatal(named(&f.Counters))
		}
	})
}

func FuzzDefrag(f *testing.F) {
	f.Add([]byte{0, 0, 2, 1, 1, 0, 2, 2, 2, 0, 1, 4})
	f.Add([]byte{0x80, 0, 2, 1, 0x80, 1, 2, 1, 0x80, 2, 1, 4})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0x10, 0, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		d := NewDefrag(DefragConfig{Datagrams: 4, Fragments: 8, Bytes: 8192})
		now := int64(0)
		body := fill(4096, 'x')
		for n := 0; len(script) >= 4 && n < 100; n++ {
			// identification and version; offset; length; flags and time
			id, offset, length, rest := script[0], int(script[1])*64, int(script[2])*16+int(script[3]>>5), script[3]
			script = script[4:]
			now += int64(rest&3) * 5 * second
			build := piece4
			if id&0x80 != 0 {
				build = piece6
			}
			body[0] = rest & 0x10
			p := build(now, uint32(id&7), offset, rest&4 == 0, body[:min(length, len(body))])
			if whole, ok := d.Add(p); ok && (len(whole) == 0 || len(whole) > maxDatagram) {
				t.Fatalf("%d bytes", len(whole))
			}
			d.check(t)
		}
	})
}
