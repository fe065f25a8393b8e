package capture

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Two sections in different byte orders, each with interfaces of its own, every
// kind of packet block, and blocks that are none of our concern between them.
func TestPcapngSections(t *testing.T) {
	us := uint64(t0 / 1000)
	n := newNg(binary.BigEndian)
	n.iface(1, 0)
	n.block(4, []byte("name resolution"))
	n.iface(113, 4, append(n.option(2, []byte("eth0")...), n.option(9, 9)...)...)
	n.enhanced(0, us, "first", 5)
	n.enhanced(1, uint64(t0+1), "cooked", 6)
	n.block(0x0bad, make([]byte, 700_000)) // larger than any block of ours
	n.obsolete(1, uint64(t0+2), "old", 9)
	n.simple("simple", 6)
	n.section(binary.LittleEndian)
	n.iface(228, 3)
	n.simple("snapped", 7)
	n.block(5, []byte("statistics"))
	n.enhanced(0, us+1, "last", 4)

	f := open(t, Options{}, write(t, t.TempDir(), "a.pcapng", n.b))
	want := []rec{
		{t0, "first", 5, 1, 0},
		{t0 + 1, "cooked", 6, 113, 1},
		{t0 + 2, "old", 9, 113, 1},
		{t0 + 2, "simple", 6, 1, 0},
		{t0 + 2, "sna", 7, 228, 0},
		{t0 + 1000, "last", 4, 228, 0},
	}
	if d := cmp.Diff(want, drain(t, f)); d != "" {
		t.Error(d)
	}
	ds := f.Damages()
	if len(ds) != 1 || ds[0].Kind != Truncated || ds[0].Count != 2 {
		t.Error(ds)
	}
}

func TestPcapngTimes(t *testing.T) {
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		o := &ng{order: order}
		offset := func(s int64) []byte { return o.option(14, order.AppendUint64(nil, uint64(s))...) }
		for _, c := range []struct {
			name  string
			opts  []byte
			ticks uint64
			want  int64
		}{
			{"default", nil, 1_500_000, 1_500_000_000},
			{"micro", o.option(9, 6), 1_500_000, 1_500_000_000},
			{"nano", o.option(9, 9), 1_500_000, 1_500_000},
			{"seconds", o.option(9, 0), 3, 3e9},
			{"pico", o.option(9, 12), 1_999, 1},
			{"10^-28", o.option(9, 28), math.MaxUint64, 1},
			{"10^-29", o.option(9, 29), math.MaxUint64, 1},
			{"10^-127", o.option(9, 127), 12345, 0},
			{"2^-10", o.option(9, 0x80|10), 1536, 1_500_000_000},
			{"2^-32", o.option(9, 0x80|32), 3 << 31, 1_500_000_000},
			{"2^-64", o.option(9, 0x80|64), 1 << 63, 500_000_000},
			{"2^-127", o.option(9, 0xff), math.MaxUint64, 0},
			{"2^-0", o.option(9, 0x80), 7, 7e9},
			{"offset", offset(1000), 5, 1000*second + 5000},
			{"offset back", offset(-3), 5_000_000, 2 * second},
			{"before the epoch", offset(-10), 5, 0},
			{"offset too far", offset(math.MaxInt64), math.MaxUint64, maxTime},
			{"offset too far back", offset(math.MinInt64), 5, 0},
			{"ticks too many", nil, math.MaxUint64, maxTime},
			{"seconds too many", o.option(9, 0), math.MaxUint64, maxTime},
			{"binary seconds too many", o.option(9, 0x80), math.MaxUint64, maxTime},
			{"end of options", append(o.option(0), o.option(9, 9)...), 5, 5000},
			{"option without end", append(o.option(9, 9), order.AppendUint32(nil, 0xffffffff)...), 5, 5},
			{"option of no length", append(o.option(9), o.option(14)...), 5, 5000},
		} {
			i := newIface(endian(order == byteOrder(binary.BigEndian)), append([]byte{0, 1, 0, 0, 0, 0, 0, 0}, c.opts...))
			got := i.time(c.ticks)
			if near := got >= c.want-1e9 && got > maxTime-1e10; got != c.want && !(c.want == maxTime && near) {
				t.Errorf("%v %s: %d, want %d", order, c.name, got, c.want)
			}
		}
	}
}

// No file makes a reader keep more interfaces than a frame can number.
func TestPcapngInterfaces(t *testing.T) {
	n := newNg(binary.BigEndian)
	for range maxInterfaces {
		n.iface(1, 0)
	}
	n.enhanced(maxInterfaces-1, 1, "x", 1)
	at := int64(len(n.b))
	n.iface(1, 0).enhanced(0, 1, "x", 1)
	f := open(t, Options{}, write(t, t.TempDir(), "a.pcapng", n.b))
	if got := drain(t, f); len(got) != 1 || got[0].Port != maxInterfaces-1 {
		t.Errorf("%+v", got)
	}
	if d := cmp.Diff([]Damage{{File: "a.pcapng", Kind: Corrupt, Offset: at, Count: 1}}, cleaned(f.Damages())); d != "" {
		t.Error(d)
	}
}
