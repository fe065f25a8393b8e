package control

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"simtrap/capture"
	"simtrap/packet"
)

// Public captures of all kinds of traffic, none of them of a gateway's own
// protocols: not one record may come of them, and not a single stream may be
// taken for one.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SIMTRAP_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no corpus of captures; set SIMTRAP_CORPUS to its folder")
	}
	files, packets, looks, streams := 0, 0, 0, uint64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		src, err := capture.Open([]string{path}, capture.Options{})
		if err != nil {
			return nil // not a capture, or one of those that are broken on purpose
		}
		files++
		set := New()
		n, l := replay(t, src, set, func(r *Record) { t.Errorf("%s: %+v", path, r) })
		packets, looks, streams = packets+n, looks+l, streams+set.Stats().Streams
		return src.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 || packets == 0 {
		t.Fatal("nothing was read")
	}
	t.Logf("%d files, %d packets, %d looked like ours, %d streams followed, no record", files, packets, looks, streams)
}

// replay feeds a source to a Set and gives the number of packets and of those
// that look like one of the protocols.
func replay(t *testing.T, src capture.Source, set *Set, emit func(*Record)) (packets, looks int) {
	var d packet.Decoder
	var p packet.Packet
	fragments := packet.NewDefrag(packet.DefragConfig{})
	streams := packet.NewStreams(packet.StreamConfig{}, set.Looks)
	piece := func(st *packet.Stream, p *packet.Packet, gap uint32) {
		s, _ := st.State[st.Dir].(*Stream)
		if s == nil {
			s = set.NewStream(nil)
			st.State[st.Dir] = s
		}
		if gap > 0 {
			s.Gap()
		}
		s.Push(p, emit)
	}
	for {
		b, err := src.Next(context.Background())
		if errors.Is(err, io.EOF) {
			streams.Flush(&p, piece)
			return packets, looks
		}
		if err != nil {
			t.Log(err)
			return packets, looks
		}
		for i := range b.Frames {
			f := &b.Frames[i]
			p = packet.Packet{Time: f.Time, Source: b.Source, TapPort: f.Port}
			kind := d.Frame(f.Link, b.Data(i), f.Wire, &p)
			for kind == packet.Fragment {
				whole, ok := fragments.Add(&p)
				if !ok {
					break
				}
				kind = d.Resume(whole, &p)
			}
			switch kind {
			case packet.Datagram, packet.Segment:
				packets++
				if set.Looks(p.Payload) {
					looks++
				}
				if kind == packet.Datagram {
					set.UDP(&p, emit)
				} else {
					streams.Feed(&p, piece)
				}
			}
		}
		b.Release()
	}
}
