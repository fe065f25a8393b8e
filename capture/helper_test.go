package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// t0 is where the times of most tests begin.
const t0 = int64(1_700_000_000_000_000_000)

const (
	second = int64(time.Second)
	milli  = int64(time.Millisecond)
)

// rec is one record to write, or one frame that was read.
type rec struct {
	Time int64
	Data string
	Wire uint32 // 0: as long as Data, when writing
	Link LinkType
	Port uint16
}

func (r rec) wire() uint32 {
	if r.Wire == 0 {
		return uint32(len(r.Data))
	}
	return r.Wire
}

// pcapKind is a variant of the classic format.
type pcapKind struct {
	order byteOrder
	magic uint32
	minor uint16
	link  uint32
}

var plain = pcapKind{order: binary.LittleEndian, magic: magicNano, minor: 4, link: 1}

func (k pcapKind) header() []byte {
	b := k.order.AppendUint32(nil, k.magic)
	b = k.order.AppendUint16(b, 2)
	b = k.order.AppendUint16(b, k.minor)
	b = append(b, make([]byte, 8)...)
	b = k.order.AppendUint32(b, 65535)
	return k.order.AppendUint32(b, k.link)
}

func (k pcapKind) record(b []byte, r rec) []byte {
	unit := int64(1000)
	if k.magic == magicNano {
		unit = 1
	}
	b = k.order.AppendUint32(b, uint32(r.Time/1e9))
	b = k.order.AppendUint32(b, uint32(r.Time%1e9/unit))
	b = k.order.AppendUint32(b, uint32(len(r.Data)))
	b = k.order.AppendUint32(b, r.wire())
	if k.magic == magicModified {
		b = append(b, "ifidxPro"...)
	}
	return append(b, r.Data...)
}

func (k pcapKind) file(recs ...rec) []byte {
	b := k.header()
	for _, r := range recs {
		b = k.record(b, r)
	}
	return b
}

// ng writes pcapng blocks.
type ng struct {
	order byteOrder
	b     []byte
}

func newNg(order byteOrder) *ng {
	n := &ng{order: order}
	return n.section(order)
}

func (n *ng) block(kind uint32, body []byte) *ng {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	total := uint32(len(body) + 12)
	n.b = n.order.AppendUint32(n.b, kind)
	n.b = n.order.AppendUint32(n.b, total)
	n.b = append(n.b, body...)
	n.b = n.order.AppendUint32(n.b, total)
	return n
}

func (n *ng) section(order byteOrder) *ng {
	n.order = order
	b := order.AppendUint32(nil, orderMagic)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, 0)
	b = order.AppendUint64(b, ^uint64(0))
	return n.block(blockSection, b)
}

func (n *ng) iface(link uint16, snap uint32, opts ...byte) *ng {
	b := n.order.AppendUint16(nil, link)
	b = n.order.AppendUint16(b, 0)
	b = n.order.AppendUint32(b, snap)
	return n.block(blockInterface, append(b, opts...))
}

func (n *ng) option(code uint16, value ...byte) []byte {
	b := n.order.AppendUint16(nil, code)
	b = n.order.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (n *ng) enhanced(port uint32, ticks uint64, data string, wire uint32) *ng {
	b := n.order.AppendUint32(nil, port)
	return n.block(blockEnhanced, n.packet(b, ticks, data, wire))
}

func (n *ng) obsolete(port uint16, ticks uint64, data string, wire uint32) *ng {
	b := n.order.AppendUint16(nil, port)
	b = n.order.AppendUint16(b, 0xffff)
	return n.block(blockPacket, n.packet(b, ticks, data, wire))
}

func (n *ng) packet(b []byte, ticks uint64, data string, wire uint32) []byte {
	b = n.order.AppendUint32(b, uint32(ticks>>32))
	b = n.order.AppendUint32(b, uint32(ticks))
	b = n.order.AppendUint32(b, uint32(len(data)))
	b = n.order.AppendUint32(b, wire)
	return append(b, data...)
}

func (n *ng) simple(data string, wire uint32) *ng {
	return n.block(blockSimple, append(n.order.AppendUint32(nil, wire), data...))
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	return w.EncodeAll(b, nil)
}

// write puts a file into a folder and gives its path.
func write(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, opt Options, paths ...string) *Files {
	t.Helper()
	f, err := Open(paths, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// drain reads all frames and checks what holds for any input.
func drain(t testing.TB, f *Files) []rec {
	t.Helper()
	var all []rec
	last, bytes := int64(0), uint64(0)
	for {
		b, err := f.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Frames) == 0 || len(b.Block) > maxBlock {
			t.Fatalf("batch of %d frames, block of %d bytes", len(b.Frames), len(b.Block))
		}
		if b.Source != 0 || b.Seq != uint64(len(all)) {
			t.Fatalf("source %d seq %d after %d frames", b.Source, b.Seq, len(all))
		}
		for i, fr := range b.Frames {
			if int(fr.Off)+int(fr.Len) > len(b.Block) || fr.Wire < fr.Len {
				t.Fatalf("frame %+v in a block of %d", fr, len(b.Block))
			}
			if fr.Time < last {
				t.Fatalf("frame %d: time %d after %d", len(all), fr.Time, last)
			}
			last = fr.Time
			bytes += uint64(fr.Len)
			all = append(all, rec{fr.Time, string(b.Data(i)), fr.Wire, fr.Link, fr.Port})
		}
		// Nobody may see it from here on.
		for i := range b.Block {
			b.Block[i] = 0xdd
		}
		b.Release()
	}
	if c := f.Counters(); c.Frames != uint64(len(all)) || c.Bytes != bytes || c.Late != 0 {
		t.Fatalf("counters %+v for %d frames of %d bytes", c, len(all), bytes)
	}
	return all
}

// times gives only when the frames were.
func times(recs []rec) []int64 {
	var ts []int64
	for _, r := range recs {
		ts = append(ts, r.Time)
	}
	return ts
}

// cleaned leaves of the damages what is told by the tests: not the detail, and
// only the base name.
func cleaned(ds []Damage) []Damage {
	var out []Damage
	for _, d := range ds {
		d.File, d.Detail = filepath.Base(d.File), ""
		out = append(out, d)
	}
	return out
}

// byteOrder reads and writes.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}
