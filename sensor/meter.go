package sensor

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"simtrap/capture"
	"simtrap/hidden/tunnel"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/rtp"
	"simtrap/sensor/config"
)

// meter counts what a source gives, and drops what the configuration wants
// dropped unread. It numbers the frames that are left.
type meter struct {
	capture.Source
	port  *Port
	never atomic.Pointer[[]config.Prefix]
	cut   *cutter // nil where no headers are kept

	decoder packet.Decoder
	packet  packet.Packet
	seq     uint64
	// renumber says that frames were left out.
	renumber bool

	frames, bytes, dropped atomic.Uint64
	unaccounted            atomic.Uint64 // intervals dropped
	last                   atomic.Int64  // packet time of the newest frame
	first                  atomic.Int64  // wall time at which the first frame came
	ended                  atomic.Bool   // it has come to its end, as files do
	heard                  atomic.Int64  // wall time of the last answer, even an empty one
}

// accountant is a source that accounts media itself (pipeline declares it).
type accountant interface {
	Intervals(dst []rtp.Interval) (out []rtp.Interval, until int64)
}

// tunnelAccountant is one that keeps flows that cannot be read, too.
type tunnelAccountant interface {
	Tunnels(dst []tunnel.Record) []tunnel.Record
}

// accountingMeter is a meter whose source accounts media.
type accountingMeter struct {
	*meter
	accountant accountant
}

// Intervals leaves out those of addresses under never.
func (m accountingMeter) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	n := len(dst)
	dst, until := m.accountant.Intervals(dst)
	if len(m.nevers()) == 0 {
		return dst, until
	}
	kept := dst[:n]
	for i := n; i < len(dst); i++ {
		if m.hit(dst[i].Flow.Src.Netip()) || m.hit(dst[i].Flow.Dst.Netip()) {
			m.unaccounted.Add(1)
			continue
		}
		kept = append(kept, dst[i])
	}
	return kept, until
}

// Sampled says which sample of other frames the source gives; 0 for none.
func (m accountingMeter) Sampled() uint32 {
	if s, ok := m.meter.Source.(pipeline.Sampler); ok {
		return s.Sampled()
	}
	return 0
}

// Tunnels gives what the source keeps of flows that cannot be read, and leaves out
// those of addresses under never.
func (m accountingMeter) Tunnels(dst []tunnel.Record) []tunnel.Record {
	x, ok := m.accountant.(tunnelAccountant)
	if !ok {
		return dst
	}
	n := len(dst)
	dst = x.Tunnels(dst)
	if len(m.nevers()) == 0 {
		return dst
	}
	kept := dst[:n]
	for i := n; i < len(dst); i++ {
		if m.hit(dst[i].A.Netip()) || m.hit(dst[i].B.Netip()) {
			m.unaccounted.Add(1)
			continue
		}
		kept = append(kept, dst[i])
	}
	return kept
}

// Follow asks the source for all of a flow, where it gives only a part.
func (m accountingMeter) Follow(f rtp.Flow) error {
	if x, ok := m.meter.Source.(pipeline.Follower); ok {
		return x.Follow(f)
	}
	return nil
}

// metered puts a meter before the source of a port.
func metered(p *Port, never []config.Prefix) *meter {
	m := &meter{Source: p.Source, port: p}
	m.never.Store(&never)
	m.heard.Store(time.Now().UnixNano())
	if a, ok := p.Source.(accountant); ok {
		p.Source = accountingMeter{m, a}
	} else {
		p.Source = m
	}
	return m
}

// Next gives the next batch of the source.
func (m *meter) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := m.Source.Next(ctx)
	m.heard.Store(time.Now().UnixNano())
	if err != nil {
		m.ended.Store(errors.Is(err, io.EOF))
		return b, err
	}
	n, size := len(b.Frames), uint64(0)
	for i := range b.Frames {
		size += uint64(b.Frames[i].Wire)
	}
	m.frames.Add(uint64(n))
	m.bytes.Add(size)
	if n > 0 {
		m.last.Store(b.Frames[n-1].Time)
		m.first.CompareAndSwap(0, m.heard.Load())
	}
	if len(m.nevers()) > 0 {
		m.leave(b)
		m.renumber = true
	}
	if m.cut != nil {
		m.cut.batch(b)
	}
	// Numbers have no holes, and do not go back when nothing is left out any more.
	if m.renumber {
		b.Seq = m.seq
	}
	m.seq = b.Seq + uint64(len(b.Frames))
	return b, nil
}

// nevers are the addresses whose packets are dropped.
func (m *meter) nevers() []config.Prefix { return *m.never.Load() }

// leave takes frames of addresses under never out of a batch.
func (m *meter) leave(b *capture.Batch) {
	kept := b.Frames[:0]
	for i := range b.Frames {
		f := b.Frames[i]
		switch m.decoder.Frame(f.Link, b.Block[f.Off:f.Off+f.Len], f.Wire, &m.packet) {
		case packet.Datagram, packet.Segment, packet.Fragment, packet.Opaque:
			if m.named(&m.packet) {
				m.dropped.Add(1)
				continue
			}
		}
		kept = append(kept, f)
	}
	b.Frames = kept
}

// named says whether a packet, or a tunnel around it, is of an address under never.
func (m *meter) named(p *packet.Packet) bool {
	if m.hit(p.Src.Netip()) || m.hit(p.Dst.Netip()) {
		return true
	}
	for i := range p.Tunnels() {
		if src, dst := p.Tunnel(i); m.hit(src.Netip()) || m.hit(dst.Netip()) {
			return true
		}
	}
	return false
}

func (m *meter) hit(a netip.Addr) bool {
	for _, p := range m.nevers() {
		if netip.Prefix(p).Contains(a) {
			return true
		}
	}
	return false
}

// losses gives what the source lost, and what was dropped here.
func (m *meter) losses() []capture.Loss {
	var out []capture.Loss
	if l, ok := m.Source.(Lossy); ok {
		out = l.Losses()
	}
	if n := m.dropped.Load(); n > 0 {
		out = append(out, capture.Loss{Stage: "input", Reason: "frames of addresses under never, dropped unread", Count: n})
	}
	if n := m.unaccounted.Load(); n > 0 {
		out = append(out, capture.Loss{Stage: "input", Reason: "intervals of addresses under never, dropped", Count: n})
	}
	return out
}
