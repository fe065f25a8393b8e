package packet

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"simtrap/capture"
)

// eachCorpusFrame reads the classic pcap files of the corpus, as far as they
// make sense: the reader is only good enough for that.
func eachCorpusFrame(t *testing.T, f func(file string, link capture.LinkType, data []byte, wire uint32)) {
	root := os.Getenv("SIMTRAP_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(root); err != nil {
		t.Skip("no corpus of captures; set SIMTRAP_CORPUS to its folder")
	}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if ext := filepath.Ext(path); ext != ".pcap" && ext != ".cap" {
			return nil
		}
		if info, err := e.Info(); err != nil || info.Size() > 32<<20 {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) < 24 {
			return err
		}
		var order binary.ByteOrder = binary.LittleEndian
		switch magic := order.Uint32(b); magic {
		case 0xa1b2c3d4, 0xa1b23c4d:
		case 0xd4c3b2a1, 0x4d3cb2a1:
			order = binary.BigEndian
		default:
			return nil
		}
		link := capture.LinkType(order.Uint32(b[20:]))
		for b = b[24:]; len(b) >= 16; {
			n, wire := order.Uint32(b[8:]), order.Uint32(b[12:])
			if uint64(n) > uint64(len(b)-16) {
				break
			}
			f(path, link, b[16:16+n:16+n], wire)
			b = b[16+n:]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// reference decodes plain Ethernet, IPv4 or IPv6 without extension headers, and
// UDP with gopacket; ok is false for everything else.
func reference(data []byte) (p Packet, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	g := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	ls := g.Layers()
	if len(ls) < 3 || ls[0].LayerType() != layers.LayerTypeEthernet {
		return p, false
	}
	switch ip := ls[1].(type) {
	case *layers.IPv4:
		if ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0 {
			return p, false
		}
		p.Src, p.Dst, p.TTL = addr(ip.SrcIP), addr(ip.DstIP), ip.TTL
	case *layers.IPv6:
		p.Src, p.Dst, p.TTL = addr(ip.SrcIP), addr(ip.DstIP), ip.HopLimit
	default:
		return p, false
	}
	udp, ok := ls[2].(*layers.UDP)
	if !ok {
		return p, false
	}
	if len(data) > 0xffff || len(udp.Contents) < 8 {
		return p, false // it takes lengths modulo 65536, and gives a layer for a cut header too
	}
	p.SrcPort, p.DstPort, p.Proto, p.Payload = uint16(udp.SrcPort), uint16(udp.DstPort), UDP, udp.Payload
	return p, true
}

func TestAgainstReference(t *testing.T) {
	var d Decoder
	compared, differ := 0, 0
	eachCorpusFrame(t, func(file string, link capture.LinkType, data []byte, wire uint32) {
		if link != capture.LinkEthernet {
			return
		}
		want, ok := reference(data)
		if !ok {
			return
		}
		p := callers
		r := d.Frame(link, data, wire, &p)
		if p.Access.Tunnel > 0 {
			return // the reference stops before
		}
		compared++
		if r != Datagram || p.Src != want.Src || p.Dst != want.Dst || p.SrcPort != want.SrcPort || p.DstPort != want.DstPort ||
			p.TTL != want.TTL || !bytes.Equal(p.Payload, want.Payload) {
			if differ++; differ <= 20 {
				t.Errorf("%s: %v %v:%d > %v:%d, %d bytes; the reference has %v:%d > %v:%d, %d bytes", filepath.Base(file), r,
					p.Src, p.SrcPort, p.Dst, p.DstPort, len(p.Payload), want.Src, want.SrcPort, want.Dst, want.DstPort, len(want.Payload))
			}
		}
	})
	if compared == 0 {
		t.Error("nothing to compare in the corpus")
	}
	t.Logf("%d datagrams compared", compared)
}

// The whole corpus through all three parts: what holds for any input holds.
func TestCorpus(t *testing.T) {
	var d Decoder
	var all Counters
	var results [Opaque + 1]int
	file, frames, whole, pieces, gaps := "", 0, 0, 0, 0
	var f *Defrag
	var s *Streams
	emit := func(_ *Stream, p *Packet, gap uint32) {
		pieces++
		if gap > 0 {
			gaps++
		}
		if len(p.Payload) == 0 {
			t.Fatal("an empty piece")
		}
	}
	finish := func() {
		if s != nil {
			s.check(t)
			s.Flush(&Packet{}, emit)
			s.check(t)
			f.check(t)
			all.Merge(&s.Counters)
			all.Merge(&f.Counters)
		}
	}
	now := int64(0)
	eachCorpusFrame(t, func(path string, link capture.LinkType, data []byte, wire uint32) {
		if path != file {
			finish()
			file, f, s = path, NewDefrag(DefragConfig{}), NewStreams(StreamConfig{}, func(b []byte) bool { return b[0]&3 == 3 })
		}
		frames++
		p := callers
		now += 1e6
		p.Time = now
		r := d.Frame(link, data, wire, &p)
		for first := true; ; first = false {
			if first {
				c := p
				c.Time = callers.Time
				checkFrame(t, r, &c, data, wire)
			}
			if r != Fragment {
				break
			}
			b, ok := f.Add(&p)
			if !ok {
				break
			}
			whole++
			r = d.Resume(b, &p)
		}
		results[r]++
		if r == Segment {
			s.Feed(&p, emit)
		}
	})
	finish()
	all.Merge(&d.Counters)
	t.Logf("%d frames, %d reassembled, %d pieces, %d gaps", frames, whole, pieces, gaps)
	for r, n := range results {
		t.Logf("%-10v %d", Result(r), n)
	}
	for r, n := range all {
		if n > 0 {
			t.Logf("%-45v %d", Reason(r), n)
		}
	}
}
