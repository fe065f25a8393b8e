package pipeline

import (
	"simtrap/capture"
	"simtrap/control"
	"simtrap/ident"
	"simtrap/packet"
)

// worker decodes every frame and feeds its own shards: those whose number
// leaves its index when divided by the number of workers. Each puts fragments
// together for itself, so that all see the same datagrams.
type worker struct {
	index, of int
	live      bool // of a live run
	seed      uint64
	realms    *Realms
	homes     *ident.Homes
	decoder   packet.Decoder
	defrag    *packet.Defrag
	shards    *[shards]*shard
	arenas    *arenas
	control   *control.Set // every shard has another like it
	packet    packet.Packet
}

func newWorker(index, of int, r *run) *worker {
	return &worker{index: index, of: of, seed: r.cfg.Seed, realms: &r.cfg.Realms, homes: r.cfg.Homes, shards: &r.shards, arenas: r.arenas, control: control.New(),
		defrag: packet.NewDefrag(packet.DefragConfig{Seed: r.cfg.Seed})}
}

// shard gives shard i, one of the worker's own, and makes it when it is the first
// time that there is something for it.
func (w *worker) shard(i int) *shard {
	s := w.shards[i]
	if s == nil {
		s = newShard(w.seed, w.arenas, w.control.Another())
		s.meter.homes, s.live = w.homes, w.live
		w.shards[i] = s
	}
	return s
}

// work takes an epoch through the worker's shards.
func (w *worker) work(e *epoch) {
	p := &w.packet
	for k := range e.spans {
		run := &e.spans[k]
		b := run.batch
		for i := run.from; i < run.to; i++ {
			kind := w.decode(b, i, run.seq+uint64(i-run.from), p)
			whole := false
			for kind == packet.Fragment {
				data, ok := w.defrag.Add(p)
				if !ok {
					break
				}
				kind, whole = w.decoder.Resume(data, p), true
				w.locate(p)
			}
			if kind != packet.Datagram && kind != packet.Segment && kind != packet.Opaque {
				continue
			}
			ends := hashesOf(p, w.seed)
			s := shardOf(ends.pair())
			if s%w.of != w.index {
				continue
			}
			if whole {
				// It lies in the reassembler's buffer, which is used again.
				p.Payload = append([]byte(nil), p.Payload...)
			}
			to := w.shard(s)
			to.hashes = ends
			to.accounted, to.sample = run.media, run.sample
			if kind == packet.Opaque {
				to.opaque(p)
				continue
			}
			to.packet(p)
		}
	}
	for i := w.index; i < shards; i += w.of {
		if s := w.shards[i]; s != nil {
			s.sweep(e.now)
		}
	}
}

// decode fills p from frame i of b, the frame seq of the run.
func (w *worker) decode(b *capture.Batch, i int, seq uint64, p *packet.Packet) packet.Result {
	f := &b.Frames[i]
	p.Time, p.Seq, p.Source, p.TapPort, p.Realm = f.Time, seq, b.Source, f.Port, 0
	kind := w.decoder.Frame(f.Link, b.Data(i), f.Wire, p)
	w.locate(p)
	return kind
}

func (w *worker) locate(p *packet.Packet) { locate(w.homes, w.realms, p) }

// Locate does to a packet what a run does with it once it is decoded: it sets
// the realm, and whose the packet is.
func (c *Config) Locate(p *packet.Packet) { locate(c.Homes, &c.Realms, p) }

// locate sets the packet's realm, which may hang on tunnels found only now. What
// comes out of a tunnel that a subscriber holds is that subscriber's, whatever
// addresses stand inside: they are his own choice, or a network's behind him
// that others use as well. Otherwise whoever has a line and a server could put a
// whole conversation in another's name into a tunnel between the two.
func locate(homes *ident.Homes, realms *Realms, p *packet.Packet) {
	if len(realms.rules) > 0 {
		p.Realm = realms.of(p)
	}
	if p.Access.Tunnel > 0 && homes.Known() {
		holder(homes, p)
	}
}

// holder gives what comes out of a tunnel to the subscriber who holds it. The
// tunnel may lie within others, which are the operator's; what lies within it is
// his. The other end of the conversation is whoever the tunnel leads to, if
// another subscriber's address stands there: nothing shows that this one is
// behind it, and he would be accused of what two strangers say to each other.
func holder(homes *ident.Homes, p *packet.Packet) {
	for i := range p.Tunnels() {
		src, dst := p.Tunnel(i)
		from, to := homes.Contains(src), homes.Contains(dst)
		if !from && !to {
			continue
		}
		if from || homes.Contains(p.Src) {
			p.Src = src
		}
		if to || homes.Contains(p.Dst) {
			p.Dst = dst
		}
		return
	}
}

// hashes are those of a packet's addresses, which the keys of every table are made of.
type hashes struct{ src, dst uint64 }

func hashesOf(p *packet.Packet, seed uint64) hashes {
	return hashes{p.Src.Hash(seed), p.Dst.Hash(seed)}
}

// pair is the same for both directions of a conversation.
func (e hashes) pair() uint64 { return e.src ^ e.dst }

// flow is the same for both directions of what the ports of p name, and tells them
// apart.
func (e hashes) flow(p *packet.Packet) (key uint64, way bool) {
	a, b := e.src+uint64(p.SrcPort), e.dst+uint64(p.DstPort)
	return (a + b) * 0x9e3779b97f4a7c15, a < b
}

// shardOf gives the shard of a pair.
func shardOf(pair uint64) int { return int(pair >> 32 % shards) }
