package pipeline

import (
	"slices"

	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
)

// TunnelAccountant is an Accountant that keeps intervals of flows that cannot be
// read as well, behind gates of its own (docs/hidden.md).
type TunnelAccountant interface {
	Accountant
	// Tunnels appends to dst the records closed since the last call. Each comes
	// within tunnelLag of its end, packet clock; later ones are not counted. It is
	// called by the goroutine that calls Next, after it.
	Tunnels(dst []tunnel.Record) []tunnel.Record
}

const (
	// tunnelLag is how long after its end, ns of packet time, an interval may be
	// told of.
	tunnelLag = int64(3e9)
	// maxTunnels bounds the flows whose calls are counted at once. One takes 6 kB
	// for each end that is a line.
	maxTunnels = 4096
	// maxTunnelRecords bounds what waits; more comes together only where time
	// stands still, and goes on at once.
	maxTunnelRecords = 1 << 14
)

// tunnels counts calls in flows that cannot be read, of which shards and sources
// tell intervals.
type tunnels struct {
	waiting []tunnel.Record
	sorted  bool
	flows   map[tunnel.Flow]*tunnelled
	// Newest and oldest of a list in order of the last interval.
	newest, oldest *tunnelled
	evicted        uint64 // flows, for want of room
	late           uint64 // records after their time
}

// tunnelled is one flow. Each end that may be a subscriber's has a count of its
// own, since what goes up and what comes down differ.
type tunnelled struct {
	flow         tunnel.Flow
	last         int64 // start of the newest interval
	doubtful     bool  // a browser may have opened it (paths): nothing of it counts
	a, b         *tunnel.Counter
	newer, older *tunnelled
}

// add takes what the shards measured in one epoch.
func (q *tunnels) add(all *[shards]*output) {
	for _, s := range all {
		if s != nil && len(s.tunnels) > 0 {
			q.take(s.tunnels)
		}
	}
}

// take takes records that wait for their time.
func (q *tunnels) take(list []tunnel.Record) {
	if len(list) > 0 {
		q.waiting, q.sorted = append(q.waiting, list...), false
	}
}

// play counts the intervals that are over by t for long enough.
func (q *tunnels) play(j *joiner, t int64) {
	if len(q.waiting) == 0 {
		return
	}
	if !q.sorted {
		slices.SortStableFunc(q.waiting, func(a, b tunnel.Record) int { return a.Compare(&b) })
		q.sorted = true
	}
	n := 0
	for n < len(q.waiting) {
		r := &q.waiting[n]
		if r.Start+int64(tunnel.Length)+tunnelLag > t && len(q.waiting)-n <= maxTunnelRecords {
			break
		}
		// The directions of a flow may come from two ports.
		for n++; n < len(q.waiting) && q.waiting[n].Flow == r.Flow && q.waiting[n].Start == r.Start; n++ {
			r.Merge(&q.waiting[n].Interval)
		}
		// A source that sees one direction cannot say whether there is enough.
		if !r.Sparse() {
			q.count(j, r)
		}
	}
	if n > 0 {
		q.waiting = append(q.waiting[:0], q.waiting[n:]...)
	}
}

// count takes one interval of a flow.
func (q *tunnels) count(j *joiner, r *tunnel.Record) {
	f := q.flows[r.Flow]
	if f == nil {
		// Without home prefixes nothing tells the subscriber's end from the far one.
		if !j.homes.Known() || !j.homes.Contains(r.A) && !j.homes.Contains(r.B) {
			return
		}
		if len(q.flows) >= maxTunnels {
			q.evicted++
			delete(q.flows, q.oldest.flow)
			q.unlink(q.oldest)
		}
		f = &tunnelled{flow: r.Flow, last: -1}
		if j.homes.Contains(r.A) {
			f.a = &tunnel.Counter{}
		}
		if j.homes.Contains(r.B) {
			f.b = &tunnel.Counter{}
		}
		if q.flows == nil {
			q.flows = make(map[tunnel.Flow]*tunnelled)
		}
		q.flows[r.Flow] = f
		q.link(f)
	}
	if r.Start <= f.last {
		q.late++
		return
	}
	f.last = r.Start
	q.unlink(f)
	q.link(f)
	if f.doubtful = f.doubtful || r.Proto == packet.UDP && j.talks.paths.has(&rtp.Flow{Src: r.A, Dst: r.B, SrcPort: r.APort, DstPort: r.BPort, Realm: r.Realm}); f.doubtful {
		return
	}
	tell := func(c *tunnel.Counter, near, far ident.Addr, nearPort, farPort uint16) {
		if c == nil {
			return
		}
		if out, ok := c.Add(&r.Interval); ok {
			if line, ok := j.line(near, r.Realm); ok {
				j.lines.Tunnel(line, rtp.Flow{Src: near, Dst: far, SrcPort: nearPort, DstPort: farPort, Realm: r.Realm}, r.Proto, &out)
				j.through(r.Flow, near == r.A, &out)
			}
		}
	}
	tell(f.a, r.A, r.B, r.APort, r.BPort)
	r.Up, r.Down = r.Down, r.Up
	tell(f.b, r.B, r.A, r.BPort, r.APort)
}

func (q *tunnels) link(f *tunnelled) {
	f.older, f.newer = q.newest, nil
	if q.newest != nil {
		q.newest.newer = f
	} else {
		q.oldest = f
	}
	q.newest = f
}

func (q *tunnels) unlink(f *tunnelled) {
	if f.newer != nil {
		f.newer.older = f.older
	} else {
		q.newest = f.older
	}
	if f.older != nil {
		f.older.newer = f.newer
	} else {
		q.oldest = f.newer
	}
	f.newer, f.older = nil, nil
}
