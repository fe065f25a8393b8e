package pipeline

import (
	"testing"

	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
)

// TestShapes: a lone call that is counted by its shape is no tunnel besides; what
// more calls go through is one, and so is the flow when the stream is over.
func TestShapes(t *testing.T) {
	f := rtp.Flow{Src: ident.AddrFrom4([]byte{203, 0, 113, 7}), Dst: ident.AddrFrom4([]byte{198, 51, 100, 9}), SrcPort: 9000, DstPort: 4000}
	key, _ := tunnel.NewFlow(f.Dst, f.Src, f.DstPort, f.SrcPort, packet.UDP, 0)
	kept := func(q shapes, n uint16) bool {
		r := tunnel.Record{Flow: key}
		r.Up.Packets, r.Down.Packets = n, n
		return len(q.less([]tunnel.Record{r})) == 1
	}
	q := shapes{}
	s := &rtp.Stream{ID: 3, Flow: f, Ptime: 20e6}
	q.stream(s, false)
	if kept(q, 120) || !kept(q, 240) {
		t.Errorf("one call is kept: %v, two are: %v", kept(q, 120), kept(q, 240))
	}
	q.stream(&rtp.Stream{ID: 2, Flow: f}, true)
	if kept(q, 120) {
		t.Error("another stream's end ends it")
	}
	q.stream(s, true)
	if !kept(q, 120) || len(q) != 0 {
		t.Error("it is not over")
	}
	q.stream(&rtp.Stream{ID: 4, Flow: f, Readable: true}, false)
	if len(q) != 0 {
		t.Error("a stream that can be read has no shape")
	}
}
