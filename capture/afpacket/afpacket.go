//go:build linux

// Package afpacket captures live from the network interfaces of Linux with
// AF_PACKET sockets and TPACKET_V3 rings: what is left where no program can be
// attached in the kernel. No cgo, no libpcap.
//
// A Batch points into a block of the ring, and Release gives the block back to
// the kernel: no frame is copied. Who holds batches too long makes the kernel
// drop frames, which is counted, and nothing else.
//
// A port has one ring, which takes what one processor can write. Where several
// processors receive, it may have several: the kernel spreads the frames so
// that both directions of a flow, and all fragments of a datagram, meet in one
// ring (fanout), and each ring is a Source of its own, with a number of its
// own. The rings are not merged here, since whoever reads ports has to merge
// sources by time anyway, for the two directions of a passive tap; doing it
// twice would cost a copy, or hold blocks of a busy ring while an idle one says
// nothing.
//
// There is no filter in the kernel but for the snap length and for what a
// loopback shows twice. A classic filter cannot look behind two VLAN tags,
// PPPoE, MPLS and tunnels, and what is ours is known by its content on any
// port: what it could leave out safely is too little.
package afpacket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"simtrap/capture"
)

// Fanout is how the kernel spreads the frames of a port over its rings. All
// three keep a flow in one ring as long as the card does.
type Fanout uint8

const (
	FanoutHash  Fanout = iota // by addresses and ports, the same for both directions
	FanoutCPU                 // by the processor that received
	FanoutQueue               // by the queue of the card
)

func (f Fanout) mode() int {
	switch f {
	case FanoutCPU:
		return unix.PACKET_FANOUT_CPU
	case FanoutQueue:
		return unix.PACKET_FANOUT_QM
	default:
		return unix.PACKET_FANOUT_HASH
	}
}

// What Options gives when it says nothing.
const (
	DefaultMemory  = 64 << 20
	DefaultBlock   = 256 << 10
	DefaultTimeout = 20 * time.Millisecond
	DefaultSnap    = 256 << 10 // whole frames: the kernel cuts what no block takes
)

const (
	idle     = 100 * time.Millisecond // after which Next gives an empty batch
	maxRings = 64
	minBlock = 128 << 10 // takes the largest packet that the kernel joins from segments
	maxBlock = 16 << 20
)

// Options says how to capture; the zero value is good.
type Options struct {
	First   uint32        // number of the first source, from 1
	Port    uint16        // number of the first port, from 1
	Rings   int           // of each port
	Fanout  Fanout        // of several rings
	Memory  int           // bytes of all rings of a port; whole blocks are used
	Block   int           // bytes of a block, a power of two
	Timeout time.Duration // after which a block that is not full is handed over
	Snap    int           // bytes of a frame that are kept

	Promiscuous bool // take what is not for this machine, as on any tap
}

func (o *Options) fill() error {
	set := func(v *int, otherwise int) {
		if *v == 0 {
			*v = otherwise
		}
	}
	set(&o.Rings, 1)
	set(&o.Memory, DefaultMemory)
	set(&o.Block, DefaultBlock)
	set(&o.Snap, DefaultSnap)
	if o.First == 0 {
		o.First = 1
	}
	if o.Port == 0 {
		o.Port = 1
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	switch {
	case o.Rings < 1 || o.Rings > maxRings:
		return fmt.Errorf("%d rings for a port; want 1 to %d", o.Rings, maxRings)
	case o.Fanout > FanoutQueue:
		return fmt.Errorf("there is no way %d to spread frames over rings", o.Fanout)
	case o.Block < minBlock || o.Block > maxBlock || o.Block&(o.Block-1) != 0:
		return fmt.Errorf("blocks of %d bytes; want a power of two from %d to %d", o.Block, minBlock, maxBlock)
	case o.Memory/o.Rings/o.Block < 2:
		return fmt.Errorf("%d bytes for %d rings of blocks of %d; want at least two blocks for each ring", o.Memory, o.Rings, o.Block)
	case o.Memory/o.Rings > math.MaxInt32:
		return fmt.Errorf("%d bytes for %d rings; want less than 2 GiB for each", o.Memory, o.Rings)
	case o.Timeout < time.Millisecond || o.Timeout > idle/2:
		return fmt.Errorf("blocks handed over after %v; want 1ms to %v", o.Timeout, idle/2)
	case o.Snap < 64 || o.Snap > DefaultSnap:
		return fmt.Errorf("a snap length of %d; want 64 to %d", o.Snap, DefaultSnap)
	}
	return nil
}

// GoneError says that the interface of a ring in a fanout is gone. The kernel
// lets no such ring listen to another interface, so it has to be opened anew
// when one of that name returns.
type GoneError struct{ Name string }

// Error names the interface.
func (e *GoneError) Error() string { return e.Name + ": the interface is gone" }

// Unwrap gives ENODEV.
func (e *GoneError) Unwrap() error { return unix.ENODEV }

// Status tells how the interface of a Source is.
type Status struct {
	Present bool // it is there
	Up      bool // and it is up

	Downs    uint64 // times that it was set down
	Vanished uint64 // times that it was deleted, or taken to another namespace
	Returned uint64 // times that one of its name was bound to again
}

// Source is one ring. Next is for one goroutine; everything else may be called
// by any.
type Source struct {
	name   string
	number uint32
	opt    Options
	ring   *ring
	done   chan struct{}

	walker walker // of Next alone
	seq    uint64
	asked  time.Time // when the kernel was last asked what it dropped
	stuck  bool      // the next block is still held, and that was counted

	mu     sync.Mutex
	closed bool
	status Status
	losses losses
	frames uint64
	bytes  uint64
}

// losses are what Losses tells, in its order.
type losses struct {
	full, held, malformed, backwards, stepped uint64
}

var _ capture.Source = (*Source)(nil)

// Open begins to capture from the interfaces named, with the sources of the
// first one first. An error is about one of them, or about opt.
func Open(names []string, opt Options) ([]*Source, error) {
	if err := opt.fill(); err != nil {
		return nil, fmt.Errorf("af_packet: %w", err)
	}
	if len(names) > math.MaxUint16 {
		return nil, fmt.Errorf("af_packet: %d ports; want at most %d", len(names), math.MaxUint16)
	}
	var all []*Source
	for i, name := range names {
		ofPort, err := openPort(name, opt.Port+uint16(i), opt.First+uint32(len(all)), opt)
		if err != nil {
			return nil, errors.Join(err, CloseAll(all))
		}
		all = append(all, ofPort...)
	}
	return all, nil
}

// CloseAll closes sources.
func CloseAll(sources []*Source) error {
	var err error
	for _, s := range sources {
		err = errors.Join(err, s.Close())
	}
	return err
}

// openPort opens all rings of a port. None keeps a frame before all of them
// are there: a ring that has not joined the others yet would show what they
// show.
func openPort(name string, port uint16, first uint32, opt Options) (all []*Source, err error) {
	defer func() {
		if err != nil {
			_ = CloseAll(all)
			all = nil
		}
	}()
	group := -1
	for i := range opt.Rings {
		r, doing, err := newRing(&opt)
		if err != nil {
			return all, problem(name, doing, err)
		}
		s := &Source{name: name, number: first + uint32(i), opt: opt, ring: r, done: make(chan struct{}), asked: time.Now()}
		s.walker.port = port
		all = append(all, s)
		found, err := s.bind()
		if err == nil && !found {
			err = unix.ENODEV
		}
		if err != nil {
			return all, problem(name, "listening", err)
		}
		if opt.Rings > 1 {
			if group, err = r.join(group, opt.Fanout.mode()); err != nil {
				if !s.status.Up {
					err = errDown // before 6.15
				}
				return all, problem(name, "spreading frames over rings", err)
			}
		}
	}
	for _, s := range all {
		if err := s.keep(); err != nil {
			return all, problem(name, "setting a filter", err)
		}
	}
	return all, nil
}

// bind listens to the interface of the source's name, if there is one.
func (s *Source) bind() (found bool, err error) {
	var hardware uint16
	up := false
	err = s.ring.control(func(fd int) error {
		index, err := indexOf(fd, s.name)
		if err != nil {
			if errors.Is(err, unix.ENODEV) {
				return nil
			}
			return err
		}
		if err := listen(fd, index, s.opt.Promiscuous); err != nil {
			if errors.Is(err, unix.ENODEV) {
				return nil // it went again
			}
			return err
		}
		found = true
		_ = failure(fd) // one that is down says so; it is asked below
		if up, err = isUp(fd, index); err != nil {
			return err
		}
		_, hardware, err = bound(fd)
		return err
	})
	if err != nil || !found {
		return found, err
	}
	l, ok := linkOf(hardware)
	if !ok {
		return true, &LinkTypeError{hardware}
	}
	s.walker.link = l
	s.mu.Lock()
	s.status.Present, s.status.Up = true, up
	s.mu.Unlock()
	return true, nil
}

// keep lets frames in.
func (s *Source) keep() error {
	return s.ring.control(func(fd int) error {
		return setFilter(fd, keepFilter(uint32(s.opt.Snap), s.walker.link.loopback))
	})
}

// Name gives the interface.
func (s *Source) Name() string { return s.name }

// Number is what stands in Batch.Source.
func (s *Source) Number() uint32 { return s.number }

// Next gives the frames of the next block of the ring, and an empty batch when
// there was none for about 100 ms. An interface that is down, or gone while the
// source is its only ring, is waited for in the same way, and captured from
// again when it is back; of several rings each gives a *GoneError. After Close
// Next gives io.EOF.
func (s *Source) Next(ctx context.Context) (*capture.Batch, error) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.ring.refs.Add(1)
	}
	s.mu.Unlock()
	if closed {
		return nil, io.EOF
	}
	defer s.ring.drop()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		ready, held := s.ring.full()
		if ready {
			s.stuck = false
			if b := s.batch(); b != nil {
				return b, nil
			}
			continue // a block of nothing, which the kernel does not make
		}
		left := idle - time.Since(began)
		if left <= 0 {
			return s.empty(), nil
		}
		err := error(nil)
		if held {
			if !s.stuck {
				s.stuck = true
				s.count(func(l *losses) { l.held++ })
			}
			err = s.waitFree(ctx, left)
		} else {
			err = s.ring.wait(ctx, left)
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, os.ErrClosed), errors.Is(err, io.EOF):
			return nil, io.EOF
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !held {
				if err := s.look(); err != nil {
					return nil, err
				}
			}
			return s.empty(), nil
		default:
			// An error of the socket: its interface went down or away. Frames
			// may still be on their way, so nothing is done before there are none.
			if _, err := s.check(); err != nil {
				return nil, err
			}
			if err := s.pause(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// batch takes the next block.
func (s *Source) batch() *capture.Batch {
	w := &s.walker
	w.clock.anchor(clockDelta())
	b := s.ring.take(w)
	n := uint64(len(b.Frames))
	b.Source, b.Seq = s.number, s.seq
	s.seq += n
	s.mu.Lock()
	s.frames, s.bytes = s.seq, w.bytes
	s.losses.malformed, s.losses.backwards, s.losses.stepped = w.malformed, w.clock.backwards, w.clock.stepped
	s.mu.Unlock()
	s.ask()
	if n == 0 {
		b.Release()
		return nil
	}
	return b
}

// ask sees, once a second however busy the port is, whether it is up, and what
// the kernel dropped, before its counter of 32 bits wraps.
func (s *Source) ask() {
	if time.Since(s.asked) < time.Second {
		return
	}
	s.asked = time.Now()
	s.mu.Lock()
	if !s.closed {
		s.losses.full += s.ring.drops()
	}
	s.mu.Unlock()
	_, _ = s.check() // Next finds out itself that it is closed
}

func (s *Source) empty() *capture.Batch {
	s.ask()
	b := capture.NewBatch(nil, nil)
	b.Source, b.Seq = s.number, s.seq
	return b
}

func (s *Source) count(f func(*losses)) {
	s.mu.Lock()
	f(&s.losses)
	s.mu.Unlock()
}

// waitFree waits until a block is given back.
func (s *Source) waitFree(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ring.free:
		return nil
	case <-t.C:
		return os.ErrDeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return io.EOF
	}
}

// pause keeps a socket that has errors again and again from taking a processor.
func (s *Source) pause(ctx context.Context) error {
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return io.EOF
	}
}

// check sees whether the interface is still there, and up.
func (s *Source) check() (gone bool, err error) {
	up := false
	err = s.ring.control(func(fd int) error {
		index, _, err := bound(fd)
		if err != nil {
			return err
		}
		if gone = index <= 0; gone {
			return nil
		}
		up, err = isUp(fd, index)
		return err
	})
	switch {
	case errors.Is(err, os.ErrClosed):
		return false, io.EOF
	case err != nil:
		return false, nil // it went between the two questions: the next check will tell
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Up && !up {
		s.status.Downs++
	}
	if s.status.Present && gone {
		s.status.Vanished++
	}
	s.status.Up, s.status.Present = up, !gone
	return gone, nil
}

// look is called when nothing came for a while: when the interface is gone, it
// listens to the one that has come in its place.
func (s *Source) look() error {
	gone, err := s.check()
	if err != nil || !gone {
		return err
	}
	if s.opt.Rings > 1 {
		return &GoneError{s.name}
	}
	found, err := s.bind()
	if err == nil && found {
		err = s.keep()
	}
	switch {
	case errors.Is(err, os.ErrClosed):
		return io.EOF
	case err != nil:
		return problem(s.name, "listening again", err)
	case found:
		s.mu.Lock()
		s.status.Returned++
		s.mu.Unlock()
	}
	return nil
}

// Status tells how the interface was when it was last looked at.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Counters tells how many frames, and bytes of them, Next has given.
func (s *Source) Counters() (frames, bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames, s.bytes
}

// Losses tells what was lost or altered, without what did not occur.
func (s *Source) Losses() []capture.Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.losses.full += s.ring.drops()
	}
	l := &s.losses
	counts := [...]uint64{l.full, l.held, l.malformed, l.backwards, l.stepped, s.status.Downs, s.status.Vanished}
	var out []capture.Loss
	for i, l := range reasons() {
		if l.Count = counts[i]; l.Count > 0 {
			out = append(out, l)
		}
	}
	return out
}

// reasons are all that Losses can tell, in its order.
func reasons() []capture.Loss {
	return []capture.Loss{
		{Stage: "ring", Reason: "frames dropped: ring full"},
		{Stage: "ring", Reason: "times that the ring came round to a block still held"},
		{Stage: "ring", Reason: "frames in blocks that make no sense"},
		{Stage: "ring", Reason: "frames given the time of the one before: time ran backwards"},
		{Stage: "ring", Reason: "times that the wall clock was set back"},
		{Stage: "port", Reason: "times that the interface was set down"},
		{Stage: "port", Reason: "times that the interface vanished"},
	}
}

// Close stops capturing. Batches stay what they are until they are released,
// and the memory of the ring goes with the last one.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.losses.full += s.ring.drops()
	s.closed = true
	close(s.done)
	s.ring.close()
	return nil
}
