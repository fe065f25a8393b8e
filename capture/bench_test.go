package capture

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

// Frames of RTP size, from the page cache, on one core.
func BenchmarkFiles(b *testing.B) {
	const frames = 200_000
	data := string(make([]byte, 214))
	classic := plain.header()
	blocks := newNg(binary.LittleEndian)
	blocks.iface(1, 0)
	for i := range frames {
		at := t0 + int64(i)*20_000
		classic = plain.record(classic, rec{Time: at, Data: data})
		blocks.enhanced(0, uint64(at/1000), data, 214)
	}
	dir := b.TempDir()
	for _, c := range []struct{ name, path string }{
		{"pcap", write(b, dir, "a.pcap", classic)},
		{"pcapng", write(b, dir, "a.pcapng", blocks.b)},
		{"gzip", write(b, dir, "a.pcap.gz", gzipped(b, classic))},
		{"zstd", write(b, dir, "a.pcap.zst", zstded(b, classic))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				f, err := Open([]string{c.path}, Options{})
				if err != nil {
					b.Fatal(err)
				}
				for {
					batch, err := f.Next(b.Context())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					n += len(batch.Frames)
					batch.Release()
				}
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/frame")
		})
	}
}
