package capture

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// checkReader reads file in small and in large blocks and compares.
func checkReader(t *testing.T, file []byte) {
	var first []rec
	for _, size := range []int{minBlock, blockSize} {
		src, err := newStream(bytes.NewReader(file), nil, &unpackers{}, nil)
		if err != nil {
			return
		}
		rd, err := newReader("a", src, newPool(), size)
		if err != nil {
			return
		}
		var all []rec
		last := int64(0)
		for _, b := range readAll(t, rd) {
			if cap(b.Block) > maxBlock || len(b.Frames) > len(b.Block)/12 {
				t.Fatalf("a block of %d with %d frames", cap(b.Block), len(b.Frames))
			}
			for i, f := range b.Frames {
				if int(f.Off)+int(f.Len) > len(b.Block) || f.Len > maxFrame || f.Wire < f.Len {
					t.Fatalf("frame %+v in a block of %d", f, len(b.Block))
				}
				if f.Time < last {
					t.Fatalf("time %d after %d", f.Time, last)
				}
				last = f.Time
				all = append(all, rec{f.Time, string(b.Data(i)), f.Wire, f.Link, f.Port})
			}
		}
		rd.close()
		if rd.cur != nil || len(rd.ready) > 0 {
			t.Fatal("the reader holds batches at its end")
		}
		if size == minBlock {
			first = all
			continue
		}
		if len(first) != len(all) {
			t.Fatalf("%d frames in small blocks, %d in large ones", len(first), len(all))
		}
		for i := range all {
			if all[i] != first[i] {
				t.Fatalf("frame %d: %+v in small blocks, %+v in large ones", i, first[i], all[i])
			}
		}
	}
}

func FuzzPcap(f *testing.F) {
	recs := []rec{{Time: t0, Data: "one"}, {Time: t0 - 9*second, Data: "two", Wire: 9}, {Time: t0 + 1, Data: "three"}}
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, magic := range []uint32{magicMicro, magicNano, magicModified} {
			f.Add(pcapKind{order, magic, 4, 1}.file(recs...), uint16(100))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, repeat uint16) {
		if _, ok := newPcapOf(file); !ok {
			return
		}
		checkReader(t, repeated(file, pcapHeader, int(repeat)))
	})
}

func newPcapOf(file []byte) (*pcap, bool) {
	form, _, _ := newFormat(file)
	p, ok := form.(*pcap)
	return p, ok
}

// repeated appends what follows the header again and again, up to a megabyte,
// so that many blocks are filled.
func repeated(file []byte, header, times int) []byte {
	body := file[header:]
	times = min(times, (1<<20)/max(len(body), 1))
	return append(file[:len(file):len(file)], bytes.Repeat(body, times)...)
}

func FuzzPcapng(f *testing.F) {
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		n := newNg(order)
		n.iface(1, 0).iface(113, 4, append(n.option(9, 0x80|20), n.option(14, order.AppendUint64(nil, 7)...)...)...)
		n.enhanced(0, uint64(t0/1000), "one", 3).obsolete(1, 7, "two", 9).simple("three", 9)
		n.block(99, make([]byte, 100))
		n.enhanced(0, uint64(t0/1000), "four", 4)
		f.Add(n.b, uint16(100))
		n.section(order).enhanced(1, 0, "lost", 4).iface(1, 0).enhanced(0, 1<<63, "late", 4)
		f.Add(n.b, uint16(1))
	}
	f.Fuzz(func(t *testing.T, file []byte, repeat uint16) {
		if form, _, _ := newFormat(file); form == nil {
			return
		}
		if _, ok := newPcapOf(file); ok {
			return
		}
		checkReader(t, repeated(file, 0, int(repeat)))
	})
}

// FuzzOpen reads two files at once, one of them packed perhaps, as the user
// does.
func FuzzOpen(f *testing.F) {
	one := plain.file(rec{Time: t0, Data: "one"}, rec{Time: t0 + 2*second, Data: "three"})
	two := newNg(binary.BigEndian).iface(1, 0).enhanced(0, uint64((t0+second)/1000), "two", 3).b
	f.Add(one, two)
	f.Add(gzipped(f, one), two)
	f.Add(one, zstded(f, two))
	f.Add(append(gzipped(f, one[:30]), gzipped(f, one[30:])...), zstded(f, one))
	f.Add([]byte("text"), []byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, a, b []byte) {
		write(t, dir, "a.pcap", a)
		write(t, dir, "b.pcap", b)
		files, err := Open([]string{dir}, Options{})
		if err != nil {
			return
		}
		drain(t, files)
		if err := files.Close(); err != nil {
			t.Fatal(err)
		}
		if files.pool.idle > maxIdle {
			t.Fatalf("%d bytes idle", files.pool.idle)
		}
		if read, total := files.Progress(); read != total || total != int64(len(a)+len(b)) && len(files.inputs) == 2 {
			t.Fatalf("progress %d of %d", read, total)
		}
	})
}
