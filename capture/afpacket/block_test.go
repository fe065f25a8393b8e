//go:build linux

package afpacket

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"simtrap/capture"
)

var ether = link{kind: capture.LinkEthernet}

// made is one frame of a block that a test makes.
type made struct {
	sec, nsec, wire, status, tci uint32
	tpid, mac, net               uint16
	data                         string
}

// makeBlock writes a block as the kernel does.
func makeBlock(size int, frames ...made) []byte {
	b := make([]byte, size)
	e := binary.NativeEndian
	e.PutUint32(b[blockStatus:], unix.TP_STATUS_USER)
	e.PutUint32(b[blockCount:], uint32(len(frames)))
	e.PutUint32(b[blockFirst:], blockHeader)
	at := blockHeader
	for i, f := range frames {
		if f.mac == 0 {
			f.mac, f.net = 82, 96
		}
		next := (int(f.mac) + len(f.data) + 7) &^ 7
		h := b[at:]
		if i < len(frames)-1 {
			e.PutUint32(h[frameNext:], uint32(next))
		}
		e.PutUint32(h[frameSec:], f.sec)
		e.PutUint32(h[frameNsec:], f.nsec)
		e.PutUint32(h[frameSnap:], uint32(len(f.data)))
		e.PutUint32(h[frameLen:], max(f.wire, uint32(len(f.data))))
		e.PutUint32(h[frameStatus:], f.status)
		e.PutUint16(h[frameMac:], f.mac)
		e.PutUint16(h[frameNet:], f.net)
		e.PutUint32(h[frameTCI:], f.tci)
		e.PutUint16(h[frameTPID:], f.tpid)
		copy(h[f.mac:], f.data)
		at += next
	}
	return b
}

func TestLayout(t *testing.T) {
	var h unix.Tpacket3Hdr
	var d unix.TpacketBlockDesc
	var v unix.TpacketHdrV1
	hdr := unsafe.Offsetof(d.Hdr)
	for _, c := range []struct {
		what      string
		got, want uintptr
	}{
		{"status", blockStatus, hdr + unsafe.Offsetof(v.Block_status)},
		{"count", blockCount, hdr + unsafe.Offsetof(v.Num_pkts)},
		{"first", blockFirst, hdr + unsafe.Offsetof(v.Offset_to_first_pkt)},
		{"block header", blockHeader, unsafe.Sizeof(d)},
		{"next", frameNext, unsafe.Offsetof(h.Next_offset)},
		{"sec", frameSec, unsafe.Offsetof(h.Sec)},
		{"nsec", frameNsec, unsafe.Offsetof(h.Nsec)},
		{"snap", frameSnap, unsafe.Offsetof(h.Snaplen)},
		{"len", frameLen, unsafe.Offsetof(h.Len)},
		{"frame status", frameStatus, unsafe.Offsetof(h.Status)},
		{"mac", frameMac, unsafe.Offsetof(h.Mac)},
		{"net", frameNet, unsafe.Offsetof(h.Net)},
		{"tci", frameTCI, unsafe.Offsetof(h.Hv1) + unsafe.Offsetof(h.Hv1.Vlan_tci)},
		{"tpid", frameTPID, unsafe.Offsetof(h.Hv1) + unsafe.Offsetof(h.Hv1.Vlan_tpid)},
		{"frame header", frameHeader, unsafe.Sizeof(h)},
	} {
		if c.got != c.want {
			t.Errorf("%s at %d, want %d", c.what, c.got, c.want)
		}
	}
}

// Every reason that Losses can tell stands in the documentation, as it is told.
func TestReasons(t *testing.T) {
	doc, err := os.ReadFile("../../docs/afpacket.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range reasons() {
		if row := "| " + l.Stage + " | " + l.Reason + " |"; !strings.Contains(string(doc), row) {
			t.Errorf("docs/afpacket.md has no row %q", row)
		}
	}
}

// got is what a test compares of a frame.
type got struct {
	Time int64
	Data string
	Wire uint32
	Link capture.LinkType
}

func read(block []byte, w *walker) []got {
	var out []got
	for _, f := range w.walk(block, nil) {
		out = append(out, got{f.Time, string(block[f.Off : f.Off+f.Len]), f.Wire, f.Link})
	}
	return out
}

func TestWalk(t *testing.T) {
	const (
		macs  = "ddddddssssss"
		valid = unix.TP_STATUS_USER | unix.TP_STATUS_VLAN_VALID
		full  = valid | unix.TP_STATUS_VLAN_TPID_VALID
	)
	block := makeBlock(4096,
		made{sec: 7, nsec: 1, data: macs + "\x08\x00plain"},
		made{sec: 7, nsec: 2, status: full, tci: 0xe123, tpid: 0x88a8, data: macs + "\x81\x00\x00\x05\x08\x00two"},
		made{sec: 7, nsec: 3, status: valid, tci: 5, data: macs + "\x08\x00old", wire: 1500},
		made{sec: 7, nsec: 4, status: full, tci: 5, tpid: 0x8100, data: "short", wire: 64},
		made{sec: 7, nsec: 5, status: full, tci: 5, tpid: 0x8100, data: macs + "\x08\x00close", mac: 48, net: 62},
		made{sec: 7, nsec: 6, data: macs + "\x08\x00last"},
	)
	w := walker{link: ether}
	want := []got{
		{7_000_000_001, macs + "\x08\x00plain", 19, 1},
		{7_000_000_002, macs + "\x88\xa8\xe1\x23\x81\x00\x00\x05\x08\x00two", 25, 1},
		{7_000_000_003, macs + "\x81\x00\x00\x05\x08\x00old", 1504, 1},
		{7_000_000_004, "short", 64, 1},
		{7_000_000_005, macs + "\x81\x00\x00\x05\x08\x00close", 23, 1},
		{7_000_000_006, macs + "\x08\x00last", 18, 1},
	}
	if diff := cmp.Diff(want, read(block, &w)); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	if w.malformed != 0 {
		t.Errorf("%d malformed", w.malformed)
	}
}

// A tunnel's header is left out, as the kernel says where it ends.
func TestWalkNetwork(t *testing.T) {
	l, _ := linkOf(unix.ARPHRD_IPGRE)
	w := walker{link: l}
	block := makeBlock(1024, made{mac: 72, net: 96, wire: 900, data: string(make([]byte, 24)) + "E ip"},
		made{mac: 96, net: 96, data: "E bare"}, made{mac: 96, net: 104, data: "cut"})
	want := []got{{0, "E ip", 876, capture.LinkRaw}, {0, "E bare", 6, capture.LinkRaw}}
	if diff := cmp.Diff(want, read(block, &w)); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	if w.malformed != 1 {
		t.Errorf("%d malformed, want 1", w.malformed)
	}
}

// What a block says is not believed.
func TestWalkCrafted(t *testing.T) {
	frames := []made{{data: "first frame of all"}, {data: "second frame of all"}, {data: "third frame of all"}}
	second := blockHeader + 104 // 82 + 18, in eights
	for _, c := range []struct {
		name   string
		at     int
		value  uint32
		frames int
		lost   uint64
	}{
		{"first outside", blockFirst, 4096, 0, 3},
		{"first in the block's header", blockFirst, 8, 0, 3},
		{"first at the end of numbers", blockFirst, math.MaxUint32, 0, 3},
		{"more frames than there are", blockCount, 4, 3, 1},
		{"more frames than there can be", blockCount, math.MaxUint32, 3, 4096 / frameHeader},
		{"next is itself", second + frameNext, 0, 2, 1},
		{"next is in its own header", second + frameNext, 16, 2, 1},
		{"next outside", second + frameNext, math.MaxUint32, 2, 1},
		{"longer than the block", second + frameSnap, 4096, 1, 2},
		{"longer than numbers", second + frameSnap, math.MaxUint32, 1, 2},
		{"begins in its header", second + frameMac, 0, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			block := makeBlock(4096, frames...)
			binary.NativeEndian.PutUint32(block[c.at:], c.value)
			w := walker{link: ether}
			if n := len(w.walk(block, nil)); n != c.frames || w.malformed != c.lost {
				t.Errorf("%d frames and %d lost, want %d and %d", n, w.malformed, c.frames, c.lost)
			}
		})
	}
	for n := range blockHeader {
		w := walker{link: ether}
		if f := w.walk(make([]byte, n), nil); len(f) != 0 {
			t.Errorf("%d frames in %d bytes", len(f), n)
		}
	}
}

func FuzzWalk(f *testing.F) {
	tagged := uint32(unix.TP_STATUS_VLAN_VALID | unix.TP_STATUS_VLAN_TPID_VALID)
	f.Add(makeBlock(512, made{data: "one"}, made{data: "two, with its addresses", status: tagged, tci: 7, tpid: 0x8100}), false)
	f.Add(makeBlock(512, made{data: string(make([]byte, 40)), mac: 72, net: 96}, made{data: "bare", mac: 96, net: 96}), true)
	f.Add(makeBlock(200, made{data: "at the very start of what is allowed", mac: 48, net: 62, status: tagged}), false)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, block []byte, network bool) {
		w := walker{link: link{kind: capture.LinkEthernet, network: network}}
		// A guard behind the block: nothing may reach it.
		guard := bytes.Repeat([]byte{0xa5}, 64)
		room := append(bytes.Clone(block), guard...)
		inner := room[:len(block):len(block)]
		frames := w.walk(inner, nil)
		if len(frames) > len(block)/frameHeader {
			t.Fatalf("%d frames in %d bytes", len(frames), len(block))
		}
		last := int64(0)
		for _, fr := range frames {
			if int(fr.Off)+int(fr.Len) > len(block) || fr.Off < blockHeader || fr.Wire < fr.Len || fr.Time < last {
				t.Fatalf("frame %+v in a block of %d, after %d", fr, len(block), last)
			}
			last = fr.Time
		}
		if !bytes.Equal(room[len(block):], guard) {
			t.Fatal("written behind the block")
		}
		if len(block) >= blockHeader && !bytes.Equal(inner[:blockHeader], block[:blockHeader]) {
			t.Fatal("written to the header of the block")
		}
	})
}

func TestClock(t *testing.T) {
	const sec = int64(1e9)
	type frame struct {
		raw, delta, want int64
	}
	for _, c := range []struct {
		name               string
		frames             []frame
		backwards, stepped uint64
		offset             int64
	}{
		{"goes on", []frame{{100 * sec, 50 * sec, 100 * sec}, {101 * sec, 50 * sec, 101 * sec}}, 0, 0, 0},
		{"two processors", []frame{{100 * sec, 0, 100 * sec}, {100*sec - 5, 0, 100 * sec}, {100*sec + 1, 0, 100*sec + 1}}, 1, 0, 0},
		// An hour back, three seconds after the frame before.
		{"set back", []frame{{10_000 * sec, 5000 * sec, 10_000 * sec}, {6403 * sec, 1400 * sec, 10_003 * sec}, {6404 * sec, 1400 * sec, 10_004 * sec}}, 0, 1, 3600 * sec},
		// The block was taken after the clock was set, but begins before.
		{"set back within a block", []frame{{10_000 * sec, 5000 * sec, 10_000 * sec}, {10_001 * sec, 1400 * sec, 10_001 * sec}, {6402 * sec, 1400 * sec, 10_002 * sec}}, 0, 1, 3600 * sec},
		{"back and forth", []frame{{10_000 * sec, 5000 * sec, 10_000 * sec}, {6401 * sec, 1400 * sec, 10_001 * sec}, {10_002 * sec, 5000 * sec, 10_002 * sec}}, 0, 1, 0},
		{"not set, and yet back", []frame{{10_000 * sec, 0, 10_000 * sec}, {5000 * sec, 0, 10_000 * sec}, {5001 * sec, 0, 10_001 * sec}}, 0, 1, 5000 * sec},
		{"set forward", []frame{{100 * sec, 0, 100 * sec}, {4000 * sec, 3900 * sec, 4000 * sec}, {101 * sec, 0, 4001 * sec}}, 0, 1, 3900 * sec},
		{"silence", []frame{{100 * sec, 0, 100 * sec}, {9000 * sec, 0, 9000 * sec}}, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k clock
			for i, f := range c.frames {
				k.anchor(f.delta)
				if got := k.at(uint32(f.raw/sec), uint32(f.raw%sec)); got != f.want {
					t.Errorf("frame %d: %d, want %d", i, got, f.want)
				}
			}
			if k.backwards != c.backwards || k.stepped != c.stepped || k.offset != c.offset {
				t.Errorf("%d backwards, %d stepped, offset %d; want %d, %d, %d", k.backwards, k.stepped, k.offset, c.backwards, c.stepped, c.offset)
			}
		})
	}
}
