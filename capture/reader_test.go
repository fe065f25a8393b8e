package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func testReader(t testing.TB, file []byte, size int) *reader {
	t.Helper()
	src, err := newStream(bytes.NewReader(file), nil, &unpackers{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rd, err := newReader("a", src, newPool(), size)
	if err != nil {
		t.Fatal(err)
	}
	return rd
}

// readAll gives all batches of a reader without releasing them.
func readAll(t testing.TB, rd *reader) []*Batch {
	t.Helper()
	var all []*Batch
	for {
		b, err := rd.next(context.Background())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
}

func le32(vs ...uint32) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// Every way in which a file can be damaged: what is told, and that what was
// before it is delivered.
func TestDamages(t *testing.T) {
	good := plain.file(rec{Time: t0, Data: "one"}, rec{Time: t0 + 1, Data: "two"})
	goodNg := func() *ng {
		n := newNg(binary.LittleEndian)
		return n.iface(1, 0).enhanced(0, 1, "one", 3).enhanced(0, 2, "two", 3)
	}
	atNg := int64(len(goodNg().b))
	at := int64(len(good))
	long := plain.header()
	for i := range 20000 {
		long = plain.record(long, rec{Time: t0 + int64(i), Data: strings.Repeat(string(rune(i%251)), 90)})
	}
	noise := make([]byte, 300_000)
	seed := uint32(1)
	for i := range noise {
		seed = seed*1664525 + 1013904223
		noise[i] = byte(seed >> 24)
	}
	noisy := plain.file(rec{Time: t0, Data: "one"}, rec{Time: t0 + 1, Data: string(noise[:200_000])})
	damagedGzip := gzipped(t, noisy)
	damagedGzip[len(damagedGzip)-6] ^= 1 // its checksum
	damagedZstd := zstded(t, long)
	damagedZstd = damagedZstd[:len(damagedZstd)-20]

	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, c := range []struct {
		name   string
		file   []byte
		frames int
		kind   Kind
		offset int64
		count  uint64
	}{
		{"pcap header cut", good[:17], 0, Cut, 0, 1},
		{"pcap magic only", good[:4], 0, Cut, 0, 1},
		{"pcap without records", good[:24], 0, 0, 0, 0},
		{"pcap record header cut", cat(good, good[24:35]), 2, Cut, at, 1},
		{"pcap record cut", good[:at-1], 1, Cut, at - 19, 1},
		{"pcap 4 GiB record", cat(good, le32(1, 1, 0xffffffff, 0xffffffff), noise), 2, Corrupt, at, 1},
		{"pcap 2 GiB record", cat(good, le32(1, 1, 0x80000000, 60), noise), 2, Corrupt, at, 1},
		{"pcap record over the bound", cat(good, le32(1, 1, maxFrame+1, maxFrame+1), noise), 2, Corrupt, at, 1},
		{"pcap wrong length within the bound", cat(good, le32(1, 1, 200, 200), good[24:]), 2, Cut, at, 1},
		{"pcap snapped", plain.file(rec{Time: t0, Data: "x", Wire: 9}, rec{Time: t0, Data: "y"}, rec{Time: t0, Data: "x", Wire: 1e9}), 3, Truncated, 24, 2},
		{"pcapng section cut", goodNg().b[:10], 0, Cut, 0, 1},
		{"pcapng section cut behind byte order", goodNg().b[:14], 0, Cut, 0, 1},
		{"pcapng section cut in its options", goodNg().b[:26], 0, Cut, 24, 1},
		{"pcapng packet cut", goodNg().b[:atNg-1], 1, Cut, atNg - 36, 1},
		{"pcapng header cut", goodNg().b[:atNg-30], 1, Cut, atNg - 36, 1},
		{"pcapng unknown block cut", cat(goodNg().b, le32(99, 800, 1)), 2, Cut, atNg + 12, 1},
		{"pcapng 4 GiB block", cat(goodNg().b, le32(blockEnhanced, 0xfffffffc, 0, 0, 0), noise), 2, Corrupt, atNg, 1},
		{"pcapng 4 GiB unknown block", cat(goodNg().b, le32(99, 0xfffffffc, 0, 0, 0), noise), 2, Corrupt, atNg, 1},
		{"pcapng 4 GiB interface", cat(goodNg().b, le32(blockInterface, 0xfffffffc, 0, 0, 0), noise), 2, Corrupt, atNg, 1},
		{"pcapng 4 GiB section", cat(goodNg().b, le32(blockSection, 0xfffffffc, orderMagic, 1, 0, 0), noise), 2, Corrupt, atNg, 1},
		{"pcapng block too short", cat(goodNg().b, le32(99, 8, 8, 0, 0)), 2, Corrupt, atNg, 1},
		{"pcapng block of length zero", cat(goodNg().b, le32(99, 0, 0, 0, 0)), 2, Corrupt, atNg, 1},
		{"pcapng odd length", cat(goodNg().b, le32(99, 14, 0, 14)), 2, Corrupt, atNg, 1},
		{"pcapng trailer wrong", cat(goodNg().b[:atNg-4], le32(40)), 1, Corrupt, atNg - 36, 1},
		{"pcapng unknown block trailer wrong", cat(goodNg().b, le32(99, 16, 0, 12), noise), 2, Corrupt, atNg + 12, 1},
		{"pcapng section trailer wrong", cat(goodNg().b[:24], le32(32), goodNg().b[28:]), 0, Corrupt, 24, 1},
		{"pcapng no byte order", cat(goodNg().b, le32(blockSection, 28, 7, 1, 0, 0, 28)), 2, Corrupt, atNg, 1},
		{"pcapng version 2", cat(goodNg().b, le32(blockSection, 28, orderMagic, 2, 0, 0, 28), goodNg().b[28:], newNg(binary.BigEndian).iface(1, 0).enhanced(0, 2, "x", 1).b), 3, Skipped, atNg, 1},
		{"pcapng version 2 only", cat(le32(blockSection, 28, orderMagic, 2, 0, 0, 28), goodNg().b[28:]), 0, Skipped, 0, 1},
		{"pcap fraction over a second", cat(good, le32(uint32(t0/1e9), 0xffffffff, 1, 1), []byte("x")), 3, 0, 0, 0},
		{"pcapng packet longer than block", cat(goodNg().b, le32(blockEnhanced, 36, 0, 0, 3, 5, 5, 0, 36)), 2, Skipped, atNg, 1},
		{"pcapng 4 GiB packet", cat(goodNg().b, le32(blockEnhanced, 36, 0, 0, 3, 0xffffffff, 5, 0, 36)), 2, Skipped, atNg, 1},
		{"pcapng packet over the bound", newNg(binary.LittleEndian).iface(1, 0).enhanced(0, 0, string(noise[:maxFrame+1]), 1).b, 0, Skipped, 48, 1},
		{"pcapng simple packet over the bound", newNg(binary.LittleEndian).iface(1, 0).simple(string(noise[:maxFrame+1]), 1e9).b, 0, Skipped, 48, 1},
		{"pcapng no such interface", goodNg().enhanced(1, 3, "x", 1).enhanced(7, 3, "x", 1).enhanced(0, 3, "x", 1).b, 3, Skipped, atNg, 2},
		{"pcapng simple without interface", newNg(binary.LittleEndian).simple("x", 1).b, 0, Skipped, 28, 1},
		{"pcapng interfaces end with their section", goodNg().section(binary.BigEndian).enhanced(0, 3, "x", 1).b, 2, Skipped, atNg + 28, 1},
		{"gzip cut", gzipped(t, noisy)[:100_000], 1, Cut, -1, 1},
		{"gzip checksum", damagedGzip, 2, Corrupt, int64(len(noisy)), 1},
		{"zstd cut", damagedZstd, -1, Cut, -1, 1},
		{"gzip, then something else", cat(gzipped(t, good), []byte("hello, this is no gzip member")), 2, Corrupt, at, 1},
		{"gzip of a cut file", gzipped(t, good[:at-1]), 1, Cut, at - 19, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, t.TempDir(), "a.pcap", c.file)
			f := open(t, Options{}, path)
			got := drain(t, f)
			if c.frames >= 0 && len(got) != c.frames || c.frames < 0 && len(got) == 0 {
				t.Errorf("%d frames, want %d", len(got), c.frames)
			}
			var want []Damage
			if c.kind != 0 {
				want = []Damage{{File: "a.pcap", Offset: c.offset, Kind: c.kind, Count: c.count}}
			}
			ds := cleaned(f.Damages())
			if c.offset < 0 && len(ds) == 1 && ds[0].Offset > 0 {
				ds[0].Offset = c.offset
			}
			if d := cmp.Diff(want, ds); d != "" {
				t.Error(d)
			}
			for _, d := range f.Damages() {
				if d.File != path || d.Detail == "" || strings.Contains(d.Error(), "\n") {
					t.Errorf("%q", d.Error())
				}
			}
			read, total := f.Progress()
			if total != int64(len(c.file)) || read != total {
				t.Errorf("progress %d of %d, the file has %d", read, total, len(c.file))
			}

			// The same through a pipe that gives it byte by byte.
			if len(c.file) > 100_000 {
				return
			}
			p := open(t, Options{Stdin: iotest.OneByteReader(bytes.NewReader(c.file))}, "-")
			if d := cmp.Diff(got, drain(t, p)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(len(f.Damages()), len(p.Damages())); d != "" {
				t.Error(d)
			}
		})
	}
}

// A disk that fails in the middle is told, and what was read is delivered.
func TestReadError(t *testing.T) {
	file := plain.file(rec{Time: t0, Data: "one"}, rec{Time: t0, Data: "two"})
	bad := io.MultiReader(bytes.NewReader(file), iotest.ErrReader(errors.New("input/output error")))
	f := open(t, Options{Stdin: bad}, "-")
	if got := drain(t, f); len(got) != 2 {
		t.Error(got)
	}
	if d := f.Damages(); len(d) != 1 || d[0].Kind != Cut || !strings.Contains(d[0].Detail, "input/output error") {
		t.Error(d)
	}
	f = open(t, Options{Stdin: io.MultiReader(bytes.NewReader(file), stuck{})}, "-")
	if got := drain(t, f); len(got) != 2 || len(f.Damages()) != 1 {
		t.Error(got, f.Damages())
	}
}

// stuck gives nothing, for ever.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// However many files claim 4 GiB, nothing is allocated for it.
func TestMemory(t *testing.T) {
	claims := map[string][]byte{
		"pcap":     append(plain.file(rec{Time: t0, Data: "one"}), le32(1, 1, maxFrame, 0xffffffff, 1)...),
		"pcap4":    append(plain.file(rec{Time: t0, Data: "one"}), le32(1, 1, 0xffffffff, 0xffffffff, 1)...),
		"pcapng":   append(newNg(binary.LittleEndian).iface(1, 0).b, le32(blockEnhanced, maxPacketBlock, 0, 0, 0, maxFrame, maxFrame)...),
		"pcapng4":  append(newNg(binary.LittleEndian).iface(1, 0).b, le32(blockEnhanced, 0xfffffffc, 0, 0, 0, 0xffffffff)...),
		"pcapngU":  append(newNg(binary.LittleEndian).iface(1, 0).b, le32(77, 0xfffffffc, 0, 0, 0, 0xffffffff)...),
		"pcapngSH": append(newNg(binary.LittleEndian).iface(1, 0).b, le32(blockSection, 0xfffffffc, orderMagic, 1, 0, 0)...),
	}
	for name, file := range claims {
		path := write(t, t.TempDir(), "a.pcap", file)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f := open(t, Options{}, path)
		drain(t, f)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
		if len(f.Damages()) != 1 {
			t.Errorf("%s: %v", name, f.Damages())
		}
	}
}

// A zstd frame that asks for more than the largest window is refused.
func TestZstdWindow(t *testing.T) {
	// Magic, descriptor without content size, window of 2 GiB, an empty last block.
	file := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Open([]string{write(t, t.TempDir(), "a.zst", file)}, Options{})
	runtime.ReadMemStats(&after)
	if f, ok := errors.AsType[*FormatError](err); !ok || !strings.Contains(f.Found, "window") {
		t.Error(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// Blocks come back: a large file takes no more batches than a small one.
func TestReuse(t *testing.T) {
	b := plain.header()
	data := strings.Repeat("x", 200)
	for i := range 60000 {
		b = plain.record(b, rec{Time: t0 + int64(i)*1000, Data: data})
	}
	f := open(t, Options{}, write(t, t.TempDir(), "a.pcap", b))
	next := func() {
		b, err := f.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
	for range 5 {
		next()
	}
	if n := testing.AllocsPerRun(30, next); n > 0 {
		t.Errorf("%v allocations for each batch", n)
	}
}
