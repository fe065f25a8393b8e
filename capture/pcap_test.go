package capture

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPcapVariants(t *testing.T) {
	in := []rec{
		{Time: t0, Data: "one"},
		{Time: t0 + 1234567891, Data: strings.Repeat("x", 1500)},
		{Time: t0 + 1234567891, Data: ""},
		{Time: t0 + 2*second, Data: "four"},
	}
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, magic := range []uint32{magicMicro, magicNano, magicModified} {
			for _, minor := range []uint16{3, 4, 99} {
				k := pcapKind{order, magic, minor, 113}
				t.Run(fmt.Sprintf("%v %x 2.%d", order, magic, minor), func(t *testing.T) {
					f := open(t, Options{}, write(t, t.TempDir(), "a.pcap", k.file(in...)))
					var want []rec
					for _, r := range in {
						if magic != magicNano {
							r.Time -= r.Time % 1000
						}
						r.Wire, r.Link = uint32(len(r.Data)), 113
						want = append(want, r)
					}
					if d := cmp.Diff(want, drain(t, f)); d != "" {
						t.Error(d)
					}
					if d := f.Damages(); d != nil {
						t.Error(d)
					}
				})
			}
		}
	}
}

// The upper bits of the link type tell about the frame check sequence.
func TestPcapLinkTypes(t *testing.T) {
	for in, want := range map[uint32]LinkType{
		1: LinkEthernet, 0x24000001: LinkEthernet, 276: LinkLinuxSLL2, 0x02240000: 0xffff,
	} {
		k := plain
		k.link = in
		got := drain(t, open(t, Options{}, write(t, t.TempDir(), "a.pcap", k.file(rec{Time: t0, Data: "x"}))))
		if len(got) != 1 || got[0].Link != want {
			t.Errorf("%#x: %+v", in, got)
		}
	}
}

// Frames of a link type that nothing decodes are passed on, and told once with
// their number, by the number that the file has.
func TestPcapUndecoded(t *testing.T) {
	for number, want := range map[uint32]uint64{1: 0, 276: 0, 250: 5000, 0x02240000: 5000} {
		k := plain
		k.link = number
		b := k.header()
		for i := range 5000 {
			b = k.record(b, rec{Time: t0 + int64(i)*milli, Data: strings.Repeat("x", 200)})
		}
		f := open(t, Options{}, write(t, t.TempDir(), "a.pcap", b))
		if got := drain(t, f); len(got) != 5000 {
			t.Errorf("%d: %d frames", number, len(got))
		}
		ds := f.Damages()
		if want == 0 && len(ds) == 0 {
			continue
		}
		if d := cmp.Diff([]Damage{{File: "a.pcap", Kind: Undecoded, Offset: 24, Count: want}}, cleaned(ds)); d != "" {
			t.Errorf("%d: %s", number, d)
		}
		if text := fmt.Sprintf("link type %d is not decoded; ", number); len(ds) == 1 && !strings.HasPrefix(ds[0].Detail, text) {
			t.Errorf("%d: %s", number, ds[0].Detail)
		}
	}
}

// Whatever the size of the blocks, the frames are the same, also when a record
// does not fit in a block.
func TestBlockSizes(t *testing.T) {
	var in, want []rec
	for i := range 3000 {
		n := i * 7919 % 1600
		switch i % 500 {
		case 3:
			n = maxFrame
		case 4:
			n = 0
		case 5:
			n = maxFrame - 1 - i
		}
		r := rec{Time: t0 + int64(i)*milli, Data: strings.Repeat(string(rune('a'+i%26)), n), Link: 1}
		if i%100 == 50 {
			r.Time += 3 * 3600 * second // one that waits for the next
		}
		r.Wire = r.wire()
		in = append(in, r)
		if i%100 == 50 {
			r.Time = in[i-1].Time
		}
		want = append(want, r)
	}
	file := plain.file(in...)
	enhanced := newNg(binary.LittleEndian)
	enhanced.iface(1, 0, enhanced.option(9, 9)...)
	for _, r := range in {
		enhanced.enhanced(0, uint64(r.Time), r.Data, r.Wire)
	}
	for name, file := range map[string][]byte{"pcap": file, "pcapng": enhanced.b} {
		for size := minBlock; size <= blockSize; size *= 2 {
			var got []rec
			rd := testReader(t, file, size)
			for _, b := range readAll(t, rd) {
				for i, fr := range b.Frames {
					got = append(got, rec{fr.Time, string(b.Data(i)), fr.Wire, fr.Link, fr.Port})
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s, blocks of %d: %.2000s", name, size, d)
			}
			if d := rd.damage[Backwards]; d.Count != 30 || rd.damage[Cut].Count+rd.damage[Corrupt].Count > 0 {
				t.Errorf("%s: %+v", name, rd.damage)
			}
		}
	}
}
