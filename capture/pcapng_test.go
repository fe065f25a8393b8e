package capture

import (
	"encoding/binary"
	"math"
	"strings"
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
	if len(ds) != 2 || ds[0].Kind != Truncated || ds[0].Count != 2 || ds[1].Kind != Timeless || ds[1].Count != 2 {
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
			{"before the epoch", offset(-10), 5, noTime},
			{"offset too far", offset(math.MaxInt64), 5, noTime},
			{"offset just too far", offset(maxTime / 1e9), 999_999_999_999, noTime},
			{"offset far", offset(maxTime / 1e9), 5, maxTime/1e9*1e9 + 5000},
			{"offset too far back", offset(math.MinInt64), 5, noTime},
			{"ticks too many", nil, math.MaxUint64, noTime},
			{"seconds too many", o.option(9, 0), math.MaxUint64, noTime},
			{"binary seconds too many", o.option(9, 0x80), math.MaxUint64, noTime},
			{"end of options", append(o.option(0), o.option(9, 9)...), 5, 5000},
			{"option without end", append(o.option(9, 9), order.AppendUint32(nil, 0xffffffff)...), 5, 5},
			{"option of no length", append(o.option(9), o.option(14)...), 5, 5000},
		} {
			i := newIface(endian(order == byteOrder(binary.BigEndian)), append([]byte{0, 1, 0, 0, 0, 0, 0, 0}, c.opts...))
			got := i.time(c.ticks)
			if got != c.want {
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

// Frames without usable times are told, however the file came to have none.
func TestPcapngTimeless(t *testing.T) {
	us := uint64(t0 / 1000)
	start := newNg(binary.LittleEndian)
	offset := func(s int64) []byte { return start.option(14, start.order.AppendUint64(nil, uint64(s))...) }
	for _, c := range []struct {
		name  string
		opts  []byte
		write func(*ng, int)
		all   bool // all frames are at one instant
	}{
		{"simple packets", nil, func(n *ng, i int) { n.simple("x", 1) }, true},
		{"no ticks", nil, func(n *ng, i int) { n.enhanced(0, 0, "x", 1) }, true},
		{"resolution of seconds", start.option(9, 0), func(n *ng, i int) { n.enhanced(0, us+uint64(i), "x", 1) }, true},
		{"resolution of attoseconds", start.option(9, 18), func(n *ng, i int) { n.enhanced(0, us+uint64(i), "x", 1) }, true},
		{"resolution of nothing", start.option(9, 127), func(n *ng, i int) { n.enhanced(0, us+uint64(i), "x", 1) }, true},
		{"offset too far", offset(1 << 62), func(n *ng, i int) { n.enhanced(0, us+uint64(i), "x", 1) }, true},
		{"offset too far back", offset(-1 << 62), func(n *ng, i int) { n.enhanced(0, us+uint64(i), "x", 1) }, true},
		{"true times", nil, func(n *ng, i int) { n.enhanced(0, us+uint64(i), "x", 1) }, false},
	} {
		n := newNg(binary.LittleEndian)
		n.iface(1, 0, c.opts...)
		at := int64(len(n.b))
		for i := range 5 {
			c.write(n, i)
		}
		f := open(t, Options{}, write(t, t.TempDir(), "a.pcapng", n.b))
		got := drain(t, f)
		if len(got) != 5 || (got[0].Time == got[4].Time) != c.all {
			t.Errorf("%s: %+v", c.name, got)
		}
		var want []Damage
		if c.all {
			want = []Damage{{File: "a.pcapng", Kind: Timeless, Offset: at, Count: 5}}
		}
		if d := cmp.Diff(want, cleaned(f.Damages())); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// A packet without a time beside others is taken to have come with the one
// before, also while that waits for the next.
func TestPcapngSomeTimeless(t *testing.T) {
	us := uint64(t0 / 1000)
	n := newNg(binary.LittleEndian)
	n.iface(1, 0)
	n.enhanced(0, us, "a", 1).enhanced(0, us+1, "b", 1)
	at := int64(len(n.b))
	n.simple("c", 1).enhanced(0, us+9_000_000_000, "d", 1).simple("e", 1).enhanced(0, us+9_000_000_001, "f", 1)
	f := open(t, Options{}, write(t, t.TempDir(), "a.pcapng", n.b))
	late := t0 + 9000*second
	if d := cmp.Diff([]int64{t0, t0 + 1000, t0 + 1000, late, late, late + 1000}, times(drain(t, f))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Damage{{File: "a.pcapng", Kind: Timeless, Offset: at, Count: 2}}, cleaned(f.Damages())); d != "" {
		t.Error(d)
	}
}

// A packet whose captured length is wrong in a block that is whole costs that
// packet.
func TestPcapngBadPacket(t *testing.T) {
	for name, spoil := range map[string]func(n *ng){
		"enhanced": func(n *ng) { n.block(blockEnhanced, append(le32(0, 0, 3, 500, 500), "x..."...)) },
		"obsolete": func(n *ng) { n.block(blockPacket, append(le32(0, 0, 3, 0xffffffff, 0xffffffff), "x..."...)) },
		"simple":   func(n *ng) { n.simple(string(make([]byte, maxFrame+1)), 1e9) },
		"room":     func(n *ng) { n.block(blockEnhanced, append(le32(0, 0, 3, maxFrame+1, 0), make([]byte, maxFrame+1)...)) },
	} {
		n := newNg(binary.LittleEndian)
		n.iface(1, 0).enhanced(0, 1, "one", 3)
		at := int64(len(n.b))
		spoil(n)
		n.enhanced(0, 2, "two", 3)
		spoil(n)
		n.enhanced(0, 3, "three", 5)
		f := open(t, Options{}, write(t, t.TempDir(), "a.pcapng", n.b))
		want := []rec{{1000, "one", 3, 1, 0}, {2000, "two", 3, 1, 0}, {3000, "three", 5, 1, 0}}
		if d := cmp.Diff(want, drain(t, f)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if d := cmp.Diff([]Damage{{File: "a.pcapng", Kind: Skipped, Offset: at, Count: 2}}, cleaned(f.Damages())); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// Frames that nothing decodes are told by interface, and passed on.
func TestPcapngUndecoded(t *testing.T) {
	n := newNg(binary.LittleEndian)
	n.iface(1, 0).iface(220, 0).enhanced(0, 1, "net", 3)
	at := int64(len(n.b))
	n.enhanced(1, 2, "usb", 3).enhanced(0, 3, "net", 3).enhanced(1, 4, "usb", 3)
	f := open(t, Options{}, write(t, t.TempDir(), "a.pcapng", n.b))
	if got := drain(t, f); len(got) != 4 {
		t.Error(got)
	}
	if d := cmp.Diff([]Damage{{File: "a.pcapng", Kind: Undecoded, Offset: at, Count: 2}}, cleaned(f.Damages())); d != "" {
		t.Error(d)
	}
	if d := f.Damages()[0].Detail; !strings.HasPrefix(d, "link type 220 is not decoded; ") {
		t.Error(d)
	}
}
