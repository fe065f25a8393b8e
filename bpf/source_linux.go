package bpf

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"simtrap/capture"
	"simtrap/hidden/tunnel"
	"simtrap/rtp"
)

const (
	idle = 100 * time.Millisecond // after which Next gives an empty batch
	// flight is how long a frame may be under way between its time stamp and the
	// ring. Frames younger than that wait for the next batch, so that those of
	// several CPUs come in order.
	flight = int64(time.Millisecond)
	// anchorEvery is how often the kernel is told the wall time.
	anchorEvery = int64(time.Second)
	// heardFor is how long the TC program drops after it was last told to, which is
	// every anchorEvery: clsact's filter stays when this process is killed.
	heardFor = int64(5 * time.Second)
	// lookEvery is how often a port is looked at for addresses and routes.
	lookEvery = int64(5 * time.Second)
	// passEvery is how long a pass of the sweep should take.
	passEvery = int64(500 * time.Millisecond)
	// tendEvery is how often a source that nobody reads sees to the clock and the port.
	tendEvery = time.Second

	batchFrames = 4096
	// enough is how many bytes of frames are taken before batches are made of them.
	enough = 64 << 20
)

// Source is one port with the programs attached. Next is for one goroutine;
// Intervals and Losses may be called by another.
type Source struct {
	cfg     Config
	name    string
	ifindex int
	mode    Mode
	left    []error
	objects *kernelObjects
	netlink *netlink
	link    io.Closer
	all     io.Closer // while it is open the port takes the frames of all addresses
	frames  *perf.Reader

	pending          []heldFrame // read and not given yet, with their bytes in spare
	bytes            []byte
	enough           int // see there
	ready            []*capture.Batch
	seq              uint64
	newest           int64
	record           perf.Record
	anchored, looked int64
	offset           atomic.Int64  // of packet time to CLOCK_MONOTONIC
	taken, given     atomic.Uint64 // frames: out of the ring, by Next

	stop    chan struct{} // ends tend
	tending sync.WaitGroup

	work               sync.Mutex // held while Next uses what Close gives back
	mu                 sync.Mutex
	ring               *ringbuf.Reader
	events             *perf.Reader
	wayRing            *ringbuf.Reader
	wayEvents          *perf.Reader
	sweep              *sweepers
	waySweep           *waySweeper
	passBegan          int64
	rest               []rtp.Interval
	restWays           []tunnel.Record
	paired, alone      uint64 // see oneWay; counted up to the last time it was asked
	closed             bool
	dropping           bool
	why                string
	counts             [numCounters]uint64
	before             [numCounters]uint64 // counts when the pass began
	evicted            uint64
	waysEvicted        uint64
	bareEvicted        uint64
	startsEvicted      uint64
	passes             uint64
	reordered, stepped uint64
}

var _ capture.Source = (*Source)(nil)

// heldFrame is a frame whose bytes are at off in Source.bytes.
type heldFrame struct {
	time           int64
	off, len, wire uint32
}

// Open loads the programs and attaches them to the port called name. With Auto,
// what is not to be had is passed over, and Left tells why; a mode that was asked
// for and is not to be had is an *UnsupportedError.
func Open(name string, cfg Config) (*Source, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	port, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: no such port: %w", name, err)
	}
	groups := [][]Mode{{cfg.Mode}}
	if cfg.Mode == Auto {
		// What is attached as XDP is another program than what is not, and a slow machine
		// takes seconds to verify each: the second is loaded where the first has no place.
		groups = [][]Mode{chain()[:2], chain()[2:]}
	}
	var left []error
	for _, modes := range groups {
		s, err := open(port.Index, name, cfg, modes)
		if err == nil {
			s.left = append(left, s.left...)
			return s, nil
		}
		if s == nil || cfg.Mode != Auto {
			return nil, err
		}
		left = append(left, s.left...)
	}
	return nil, fmt.Errorf("%s: no way to attach: %w", name, errors.Join(left...))
}

// open tries modes that take the same program. Where none of them is to be had it gives
// why in left of a source that is not open; where something else fails, no source.
func open(ifindex int, name string, cfg Config, modes []Mode) (*Source, error) {
	s := &Source{cfg: cfg, name: name, ifindex: ifindex, enough: enough}
	s.offset.Store(wallOffset())
	var err error
	if s.netlink, err = openNetlink(); err != nil {
		return nil, err
	}
	kind, err := s.netlink.linkType(ifindex)
	if err == nil && kind != unix.ARPHRD_ETHER && kind != unix.ARPHRD_LOOPBACK {
		err = fmt.Errorf("%s: link type %d is not Ethernet: use af_packet", name, kind)
	}
	ring := !cfg.PerfIntervals && haveRing()
	if err == nil {
		cfg.Mode = modes[0]
		s.objects, err = load(&cfg, ring)
	}
	if err != nil {
		s.netlink.close()
		return nil, err
	}
	if err := s.start(ring); err != nil {
		s.release()
		return nil, err
	}
	if err := s.attach(modes); err != nil {
		s.release()
		return s, err
	}
	s.stop = make(chan struct{})
	s.tending.Go(s.tend)
	return s, nil
}

// tend sees to the clock and the port while Next does not, which may be when what was
// given before waits for room: a machine that gets an address on the port would else
// be cut off for as long.
func (s *Source) tend() {
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		if !s.work.TryLock() {
			continue // Next is at work, and sees to it
		}
		if err := s.keep(); err != nil {
			s.looked = 0 // so that Next tells of it
		}
		s.work.Unlock()
	}
}

func (s *Source) start(ring bool) (err error) {
	o := s.objects
	if err := o.ClockOffset.Set(uint64(s.offset.Load())); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	if err := s.alive(); err != nil {
		return err
	}
	s.sweep, s.waySweep = newSweepers(o, &s.cfg.Types, s.cfg.Port), newWaySweeper(o)
	s.frames, err = perf.NewReaderWithOptions(o.FrameEvents, s.cfg.FrameRing, perf.ReaderOptions{Watermark: s.cfg.FrameRing / 8})
	if err != nil {
		return fmt.Errorf("make the ring of frames: %w", err)
	}
	if ring {
		s.ring, err = ringbuf.NewReader(o.IntervalRing)
	} else {
		n := s.cfg.intervalRing(true)
		s.events, err = perf.NewReaderWithOptions(o.IntervalEvents, n, perf.ReaderOptions{Watermark: n / 2})
	}
	if err != nil {
		return fmt.Errorf("make the ring of intervals: %w", err)
	}
	if ring {
		s.wayRing, err = ringbuf.NewReader(o.WayRing)
	} else {
		n := s.cfg.wayRing(true)
		s.wayEvents, err = perf.NewReaderWithOptions(o.WayEvents, n, perf.ReaderOptions{Watermark: n / 2})
	}
	if err != nil {
		return fmt.Errorf("make the ring of tunnels: %w", err)
	}
	if err := s.look(); err != nil {
		return err
	}
	if s.all, err = promiscuous(s.ifindex); err != nil {
		return fmt.Errorf("%s: take the frames of all addresses: %w", s.name, err)
	}
	return nil
}

// attach attaches by the first of the modes that is to be had.
func (s *Source) attach(modes []Mode) (err error) {
	for _, m := range modes {
		s.link, err = attach(s.objects.SimtrapXdp, s.objects.SimtrapTc, s.netlink, m, s.name, s.ifindex, filterPriority)
		if err == nil {
			s.mode = m
			return nil
		}
		s.left = append(s.left, err)
	}
	return err
}

// Mode gives how the programs are attached.
func (s *Source) Mode() Mode { return s.mode }

// Left tells why the modes before Mode were left, in their order.
func (s *Source) Left() []error { return s.left }

// Dropping says whether frames are kept from the machine's own network, and why
// or why not.
func (s *Source) Dropping() (bool, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropping, s.why
}

// look sees whether the machine itself uses the port. If so frames are passed on,
// whatever was asked for.
func (s *Source) look() error {
	why, err := s.netlink.usedFor(s.ifindex)
	drop := false
	switch {
	case err != nil:
		why = "passed on: what the port is used for is not known: " + err.Error()
	case why != "":
		why = "passed on: " + why
	case s.cfg.Keep:
		why = "passed on: so configured"
	default:
		drop, why = true, "dropped: the port has neither address nor route"
	}
	if drop != s.dropping || s.why == "" {
		v := uint8(0)
		if drop {
			v = 1
		}
		if err := s.objects.Drop.Set(v); err != nil {
			return fmt.Errorf("set whether frames are dropped: %w", err)
		}
	}
	s.mu.Lock()
	s.dropping, s.why = drop, why
	s.mu.Unlock()
	return nil
}

// Next gives the next frames that went up, after at most about 100 ms; none is an
// empty batch. After Close it gives those that were in the ring, then io.EOF. A port
// that is gone is unix.ENODEV.
func (s *Source) Next(ctx context.Context) (*capture.Batch, error) {
	if len(s.ready) == 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.more(); err != nil && len(s.ready) == 0 {
			return nil, err
		}
	}
	if len(s.ready) == 0 {
		b := capture.NewBatch(nil, nil)
		b.Source, b.Seq = uint32(s.cfg.Port), s.seq
		return b, nil
	}
	b := s.ready[0]
	s.ready[0] = nil
	s.ready = s.ready[1:]
	s.given.Add(uint64(len(b.Frames)))
	return b, nil
}

// more makes batches of what has come.
func (s *Source) more() error {
	s.work.Lock()
	defer s.work.Unlock()
	err := s.keep()
	if err == nil {
		err = s.drain()
	}
	if errors.Is(err, io.EOF) {
		s.order(math.MaxInt64) // what waited for company, and what Close took
	}
	return err
}

// now is the packet clock.
func (s *Source) now() int64 { return monotonic() + s.offset.Load() }

// keep does what time asks for: it anchors the clock and looks at the port.
func (s *Source) keep() error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return io.EOF
	}
	now := monotonic()
	if now-s.anchored >= anchorEvery {
		s.anchored = now
		offset, stepped := nextOffset(s.offset.Load(), wallOffset())
		if stepped {
			s.mu.Lock()
			s.stepped++
			s.mu.Unlock()
		}
		s.offset.Store(offset)
		if err := s.objects.ClockOffset.Set(uint64(offset)); err != nil {
			return fmt.Errorf("set the clock: %w", err)
		}
		if err := s.alive(); err != nil {
			return err
		}
	}
	if now-s.looked >= lookEvery {
		s.looked = now
		if _, err := s.netlink.linkType(s.ifindex); errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("%s: the port is gone: %w", s.name, err)
		}
		return s.look()
	}
	return nil
}

// alive lets the TC program drop for heardFor from now on, if it is to at all.
func (s *Source) alive() error {
	if err := s.objects.DropUntil.Set(uint64(monotonic() + heardFor)); err != nil {
		return fmt.Errorf("say that frames are listened to: %w", err)
	}
	return nil
}

// drain waits for frames and takes all there are; those that are old enough make
// batches.
func (s *Source) drain() error {
	until, err := s.takeAll(time.Now().Add(idle))
	if err != nil {
		return err
	}
	s.order(until)
	return nil
}

// takeAll waits for frames until the deadline, takes all there are, and says up to
// which time none is missing. In a flood that fills the rings faster than they are
// read it ends with what is there once it has enough.
func (s *Source) takeAll(deadline time.Time) (until int64, err error) {
	had := len(s.pending)
	defer func() { s.taken.Add(uint64(len(s.pending) - had)) }()
	s.frames.SetDeadline(deadline)
	full := false
	for first := true; ; first = false {
		err := s.frames.ReadInto(&s.record)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, perf.ErrFlushed) {
			if first {
				until = s.now() - flight
			}
			return until, nil
		}
		if err != nil {
			return until, fmt.Errorf("%s: read frames: %w", s.name, err)
		}
		if first {
			// What is in the rings from here on may be incomplete.
			until = s.now() - flight
			s.frames.SetDeadline(time.Unix(1, 0))
		}
		s.take(s.record.RawSample)
		if !full && len(s.bytes) >= s.enough {
			full = true
			if err := s.frames.Flush(); err != nil {
				return until, fmt.Errorf("%s: read frames: %w", s.name, err)
			}
		}
	}
}

const frameSize = 24 // of struct frame in kernel/sample.h

// take keeps one frame of the ring.
func (s *Source) take(raw []byte) {
	if len(raw) < frameSize {
		return // no frame at all: a sample that was lost
	}
	h := kernelFrame{
		Time:     binary.NativeEndian.Uint64(raw),
		Wire:     binary.NativeEndian.Uint32(raw[8:]),
		Captured: binary.NativeEndian.Uint32(raw[12:]),
	}
	proto, tci := binary.NativeEndian.Uint16(raw[20:]), binary.NativeEndian.Uint16(raw[22:])
	raw = raw[frameSize:]
	raw = raw[:min(len(raw), int(h.Captured))]
	off := len(s.bytes)
	if proto != 0 && len(raw) >= 12 { // the tag that the card or the kernel took out
		s.bytes = append(s.bytes, raw[:12]...)
		s.bytes = binary.BigEndian.AppendUint16(s.bytes, proto)
		s.bytes = binary.BigEndian.AppendUint16(s.bytes, tci)
		raw = raw[12:]
		h.Wire += 4
	}
	s.bytes = append(s.bytes, raw...)
	n := uint32(len(s.bytes) - off)
	s.pending = append(s.pending, heldFrame{time: int64(h.Time), off: uint32(off), len: n, wire: max(h.Wire, n)})
}

// order makes batches of the frames up to a time, in its order.
func (s *Source) order(until int64) {
	slices.SortStableFunc(s.pending, func(a, b heldFrame) int { return cmp.Compare(a.time, b.time) })
	n, _ := slices.BinarySearchFunc(s.pending, until, func(f heldFrame, t int64) int {
		if f.time <= t {
			return -1
		}
		return 1
	})
	for rest := s.pending[:n]; len(rest) > 0; {
		part := rest[:min(len(rest), batchFrames)]
		rest = rest[len(part):]
		size := 0
		for i := range part {
			size += int(part[i].len)
		}
		b := capture.NewBatch(make([]byte, 0, size), nil)
		b.Frames = make([]capture.Frame, 0, len(part))
		b.Source, b.Seq = uint32(s.cfg.Port), s.seq
		for i := range part {
			f := &part[i]
			if f.time < s.newest {
				s.mu.Lock()
				s.reordered++
				s.mu.Unlock()
				f.time = s.newest
			}
			s.newest = f.time
			b.Frames = append(b.Frames, capture.Frame{
				Time: f.time, Off: uint32(len(b.Block)), Len: f.len, Wire: f.wire,
				Link: capture.LinkEthernet, Port: s.cfg.Port,
			})
			b.Block = append(b.Block, s.bytes[f.off:f.off+f.len]...)
		}
		s.seq += uint64(len(part))
		s.ready = append(s.ready, b)
	}
	// What is held moves to the front.
	var kept []byte
	for i := range s.pending[n:] {
		f := &s.pending[n+i]
		off := uint32(len(kept))
		kept = append(kept, s.bytes[f.off:f.off+f.len]...)
		f.off = off
	}
	s.pending = append(s.pending[:0], s.pending[n:]...)
	s.bytes = append(s.bytes[:0], kept...)
}

// Intervals appends to dst the intervals closed since the last call and says up
// to which time (ns since the epoch, packet clock) none is missing.
func (s *Source) Intervals(dst []rtp.Interval) (out []rtp.Interval, until int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		dst = append(dst, s.rest...)
		s.rest = nil
		return dst, math.MaxInt64
	}
	now := s.now()
	dst = s.advance(dst, now)
	dst = s.collect(dst)
	if s.sweep.done == 0 {
		return dst, 0
	}
	return dst, s.sweep.done - grace
}

// Tunnels appends to dst what was closed since the last call of flows that cannot be
// read, each record one direction of a flow, within a second of its end.
func (s *Source) Tunnels(dst []tunnel.Record) []tunnel.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		dst = append(dst, s.restWays...)
		s.restWays = nil
		return dst
	}
	if now := s.now(); s.waySweep.due(now) {
		// What the sweep does not look through it looks through the next time.
		dst, _ = s.passWays(dst, now, false)
	}
	return s.collectWays(dst)
}

// passWays makes a pass over the table of ways and counts what it displaced: what was
// put in before, less what was taken out and what is there.
func (s *Source) passWays(dst []tunnel.Record, now int64, all bool) ([]tunnel.Record, error) {
	before, err := sumCounters(s.objects.Counts)
	if err != nil {
		return dst, err
	}
	w := s.waySweep
	if dst, err = w.pass(dst, now, all); err != nil {
		return dst, err
	}
	n, err := sumCounters(s.objects.Counts)
	if err != nil {
		return dst, err
	}
	if gone := n[waysClosed] + w.deleted + w.live; before[waysOpened] > gone {
		s.waysEvicted = max(s.waysEvicted, before[waysOpened]-gone)
	}
	if gone := w.bareDeleted + w.bareLive; before[bareBegun] > gone && w.passes%barePasses == 0 {
		s.bareEvicted = max(s.bareEvicted, before[bareBegun]-gone)
	}
	if paired, alone := n[waysPaired]-s.paired, n[waysAlone]-s.alone; paired+alone >= enoughWays {
		s.paired, s.alone = n[waysPaired], n[waysAlone]
		v := uint8(0)
		if oneWay(paired, alone) {
			v = 1
		}
		if err := s.objects.OneWay.Set(v); err != nil {
			return dst, fmt.Errorf("say whether the port shows one direction: %w", err)
		}
	}
	return dst, nil
}

// collectWays takes what the kernel closed.
func (s *Source) collectWays(dst []tunnel.Record) []tunnel.Record {
	readRing(s.wayRing, s.wayEvents, func(raw []byte) {
		if v, ok := readWay(raw); ok && s.waySweep.closedByKernel(&v) {
			dst = append(dst, recordOf(&v))
		}
	})
	return dst
}

// readRing takes all that is in a ring, or in the perf event array in its place.
func readRing(ring *ringbuf.Reader, events *perf.Reader, take func(raw []byte)) {
	past := time.Unix(1, 0)
	if ring != nil {
		var rec ringbuf.Record
		ring.SetDeadline(past)
		for ring.ReadInto(&rec) == nil {
			take(rec.RawSample)
		}
		return
	}
	var rec perf.Record
	events.SetDeadline(past)
	for events.ReadInto(&rec) == nil {
		take(rec.RawSample)
	}
}

// advance goes on with the sweep, so that a pass takes about passEvery.
func (s *Source) advance(dst []rtp.Interval, now int64) []rtp.Interval {
	n := math.MaxInt
	if s.sweep.began != 0 || s.passBegan != 0 {
		since := now - s.passBegan
		switch {
		case s.sweep.began == 0 && since >= 0 && since < passEvery:
			return dst // this pass is done already
		case since >= 0 && since < passEvery:
			n = int(s.sweep.live())/4 + batchSize
		}
	}
	if s.sweep.began == 0 {
		s.passBegan = now
		s.before, _ = sumCounters(s.objects.Counts)
		n = int(s.sweep.live())/4 + batchSize
	}
	dst, over, err := s.sweep.step(dst, now, n, false)
	if err == nil && over {
		s.passes++
		s.account(s.passes%8 == 0)
	}
	return dst
}

// account counts what the kernel's tables displaced: what was put in until a
// pass began, less what was taken out and what is there. What is put in while the
// pass goes on it may or may not see. The first packets, which no pass reads, it
// counts with all.
func (s *Source) account(all bool) {
	n := s.before
	now, err := sumCounters(s.objects.Counts)
	if err != nil {
		return
	}
	// What the kernel took out, or made a record of, meanwhile is in no table that
	// this pass has read.
	gone := now[flowsIdle] + s.sweep.deleted() + s.sweep.live()
	if n[records] > gone {
		s.evicted = max(s.evicted, n[records]-gone)
	}
	if !all {
		return
	}
	s.remark()
	live, err := s.countStarts()
	if gone = now[records] + now[recordsRefused] + live; err == nil && n[startsKept] > gone {
		s.startsEvicted = max(s.startsEvicted, n[startsKept]-gone)
	}
}

// countStarts counts the flows of which one packet was seen.
func (s *Source) countStarts() (n uint64, err error) {
	keys, values := make([]kernelKey, batchSize), make([]uint64, batchSize)
	var cursor ebpf.MapBatchCursor
	for {
		got, err := s.objects.StartsSeen.BatchLookup(&cursor, keys, values, nil)
		n += uint64(got)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("count the first packets: %w", err)
		}
	}
}

// remark takes out the marks of connections that are followed no more, which else
// would slowly fill the table.
func (s *Source) remark() {
	marks, err := s.followed()
	if err == nil {
		err = s.objects.Marks.Set(*marks)
	}
	if err == nil {
		_ = s.markFollowed() // the next time, then
	}
}

// markFollowed sets the mark of every connection that is followed, and looks again
// until all stand: marks are written whole, so that one which the kernel sets meanwhile
// is overwritten. The kernel names a connection before it marks it.
func (s *Source) markFollowed() error {
	for range 8 {
		want, err := s.followed()
		if err != nil {
			return err
		}
		var have [numMarks]uint8
		if err := s.objects.Marks.Get(&have); err != nil {
			return fmt.Errorf("read the marks of connections: %w", err)
		}
		missing := false
		for i, m := range want {
			if m > have[i] {
				have[i], missing = m, true
			}
		}
		if !missing {
			return nil
		}
		if err := s.objects.Marks.Set(have); err != nil {
			return fmt.Errorf("mark a connection: %w", err)
		}
	}
	return nil // a flood of them; the next pass looks again
}

// followed gives the marks that the followed connections should have.
func (s *Source) followed() (*[numMarks]uint8, error) {
	marks := new([numMarks]uint8)
	keys, values := make([]kernelKey, batchSize), make([]uint32, batchSize)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := s.objects.Follows.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			marks[markOf(&keys[i])] = 1
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return marks, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the connections that are followed: %w", err)
		}
	}
}

// collect takes what the kernel closed.
func (s *Source) collect(dst []rtp.Interval) []rtp.Interval {
	readRing(s.ring, s.events, func(raw []byte) {
		if v, ok := readInterval(raw); ok && s.sweep.closedByKernel(&v) {
			dst = append(dst, intervalOf(&v, s.cfg.Port))
		}
	})
	return dst
}

// Losses tells what was passed over or given up so far, by reason.
func (s *Source) Losses() []capture.Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		if n, err := sumCounters(s.objects.Counts); err == nil {
			s.counts = n
		}
	}
	var framesLeft, intervalsLeft, waysLeft uint64
	if s.closed {
		framesLeft, intervalsLeft, waysLeft = s.taken.Load()-s.given.Load(), uint64(len(s.rest)), uint64(len(s.restWays))
	}
	names := counterNames()
	var out []capture.Loss
	for _, i := range lossCounters() {
		out = append(out, capture.Loss{Stage: "kernel", Reason: names[i], Count: s.counts[i]})
	}
	return append(out,
		capture.Loss{Stage: "kernel", Reason: "flows_evicted", Count: s.evicted},
		capture.Loss{Stage: "kernel", Reason: "starts_evicted", Count: s.startsEvicted},
		capture.Loss{Stage: "kernel", Reason: "ways_evicted", Count: s.waysEvicted},
		capture.Loss{Stage: "kernel", Reason: "bare_evicted", Count: s.bareEvicted},
		capture.Loss{Stage: "kernel", Reason: "packets_late", Count: s.sweep.late() + s.waySweep.late},
		capture.Loss{Stage: "kernel", Reason: "frames_reordered", Count: s.reordered},
		capture.Loss{Stage: "kernel", Reason: "clock_stepped", Count: s.stepped},
		capture.Loss{Stage: "kernel", Reason: "frames_left", Count: framesLeft},
		capture.Loss{Stage: "kernel", Reason: "intervals_left", Count: intervalsLeft},
		capture.Loss{Stage: "kernel", Reason: "ways_left", Count: waysLeft},
	)
}

// Counts gives every counter of the kernel program by its name. Sparse records that the
// sweep took out count with those that the program closed.
func (s *Source) Counts() map[string]uint64 {
	s.Losses()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]uint64, numCounters)
	for i, name := range counterNames() {
		out[name] = s.counts[i]
	}
	n, packets := s.sweep.sparse()
	out["sparse"] += n
	out["sparse_packets"] += packets
	return out
}

// Follow asks for every segment of a TCP connection from now on, or every datagram of
// a flow of UDP that does not read as RTP, both directions.
func (s *Source) Follow(f rtp.Flow) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	k := keyOf(&f)
	canonical(&k)
	if err := s.objects.Follows.Put(&k, uint32(1)); err != nil {
		return fmt.Errorf("follow a connection: %w", err)
	}
	if err := s.markFollowed(); err != nil {
		return fmt.Errorf("follow a connection: %w", err)
	}
	return nil
}

// Close detaches the programs and takes what they left in the rings: Next then gives
// the frames, and Intervals the intervals, those that were open too. What nobody asks
// for is told by Losses.
func (s *Source) Close() error {
	// Next waits no longer. Where it is closed already there is nobody to wake.
	_ = s.frames.Flush()
	s.work.Lock()
	defer s.work.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	close(s.stop)
	defer s.tending.Wait() // it waits for nothing
	var err error
	if s.link != nil {
		if err = s.link.Close(); err != nil {
			// What stays attached keeps no frame from the machine.
			err = errors.Join(err, s.objects.Drop.Set(uint8(0)))
		}
		s.link = nil
	}
	quiesce()
	// Nothing is put in any more: this comes to an end. The first time may be cut
	// short by the waking above.
	for range 2 {
		if _, e := s.takeAll(time.Unix(1, 0)); e != nil {
			err = errors.Join(err, e)
		}
	}
	s.rest = s.collect(s.rest)
	if n, e := sumCounters(s.objects.Counts); e == nil {
		s.counts, s.before = n, n
	}
	s.sweep.restart()
	for over := false; !over; {
		var e error
		if s.rest, over, e = s.sweep.step(s.rest, s.now(), batchSize, true); e != nil {
			err = errors.Join(err, e)
			break
		}
		if over {
			s.account(true)
		}
	}
	s.restWays = s.collectWays(s.restWays)
	var e error
	if s.restWays, e = s.passWays(s.restWays, s.now(), true); e != nil {
		err = errors.Join(err, e)
	}
	s.closed = true
	s.release()
	return err
}

// quiesce returns when no run of a program is under way that began before it, so
// that one which was detached puts nothing into the rings any more: the global memory
// barrier waits for all processors to have left what RCU protects. Where it is not to
// be had (nohz_full, a filter of system calls) the time is waited that frames may be
// under way, many times.
func quiesce() {
	const global = 1 // MEMBARRIER_CMD_GLOBAL of membarrier(2)
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(20 * time.Duration(flight))
	}
}

func (s *Source) release() {
	if s.frames != nil {
		s.frames.Close()
	}
	if s.ring != nil {
		s.ring.Close()
	}
	if s.events != nil {
		s.events.Close()
	}
	if s.wayRing != nil {
		s.wayRing.Close()
	}
	if s.wayEvents != nil {
		s.wayEvents.Close()
	}
	if s.all != nil {
		s.all.Close()
	}
	s.objects.Close()
	s.netlink.close()
}
