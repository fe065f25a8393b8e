//go:build linux

package afpacket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"simtrap/capture"
)

// A ring is one AF_PACKET socket with its TPACKET_V3 ring. The memory is there
// until the socket is closed, no batch points into it and no Next reads it.
type ring struct {
	file *os.File // so that the runtime waits for it, without a thread of its own
	conn syscall.RawConn
	mem  []byte
	size int // of a block

	held []atomic.Bool // which blocks batches point into
	next int           // the block that the kernel fills next; of the reader alone
	free chan struct{} // a block was given back

	refs atomic.Int32 // 1 while open, and one for each batch and each Next

	mu    sync.Mutex
	spare [][]capture.Frame
}

// newRing makes a socket that captures nothing yet.
func newRing(opt *Options) (*ring, string, error) {
	// Without a protocol nothing comes in before bind says from where.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, "opening a packet socket", err
	}
	blocks := opt.Memory / opt.Rings / opt.Block
	r := &ring{size: opt.Block, held: make([]atomic.Bool, blocks), free: make(chan struct{}, 1)}
	doing, err := r.setup(fd, opt, blocks)
	if err != nil {
		_ = unix.Close(fd)
		return nil, doing, err
	}
	r.file = os.NewFile(uintptr(fd), "packet socket")
	r.conn, err = r.file.SyscallConn()
	if err == nil {
		err = r.file.SetReadDeadline(time.Time{}) // fails when the runtime cannot wait for it
	}
	r.refs.Store(1)
	if err != nil {
		r.close()
		return nil, "waiting for a packet socket", err
	}
	return r, "", nil
}

func (r *ring) setup(fd int, opt *Options, blocks int) (string, error) {
	if err := setFilter(fd, refuseAll()); err != nil {
		return "setting a filter", err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return "asking for TPACKET_V3", err
	}
	const slot = 2048 // only its being a divisor matters to TPACKET_V3
	req := unix.TpacketReq3{
		Block_size:     uint32(opt.Block),
		Block_nr:       uint32(blocks),
		Frame_size:     slot,
		Frame_nr:       uint32(blocks * (opt.Block / slot)),
		Retire_blk_tov: uint32(opt.Timeout / time.Millisecond),
	}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Sprintf("making a ring of %d blocks of %d bytes", blocks, opt.Block), err
	}
	mem, err := unix.Mmap(fd, 0, blocks*opt.Block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Sprintf("mapping a ring of %d bytes", blocks*opt.Block), err
	}
	r.mem = mem
	return "", nil
}

func (r *ring) block(i int) []byte { return r.mem[i*r.size : (i+1)*r.size : (i+1)*r.size] }

func (r *ring) status(i int) *uint32 {
	return (*uint32)(unsafe.Pointer(&r.mem[i*r.size+blockStatus]))
}

// full tells whether the next block waits to be read, and whether a batch
// still holds it, in which case the kernel waits as well.
func (r *ring) full() (ready, held bool) {
	if r.held[r.next].Load() {
		return false, true
	}
	return atomic.LoadUint32(r.status(r.next))&unix.TP_STATUS_USER != 0, false
}

// take makes a batch of the next block, which is full.
func (r *ring) take(w *walker) *capture.Batch {
	i := r.next
	r.next = (i + 1) % len(r.held)
	r.held[i].Store(true)
	r.refs.Add(1)

	block := r.block(i)
	room := w.walk(block, r.room())
	b := capture.NewBatch(block, func(*capture.Batch) { r.give(i, room) })
	b.Frames = room
	return b
}

func (r *ring) room() []capture.Frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.spare)
	if n == 0 {
		return nil
	}
	room := r.spare[n-1]
	r.spare = r.spare[:n-1]
	return room[:0]
}

// give returns a block to the kernel. The reader looks at held first, so the
// status must be the kernel's before held is cleared: else the reader would
// take the same frames again.
func (r *ring) give(i int, room []capture.Frame) {
	if room != nil {
		r.mu.Lock()
		r.spare = append(r.spare, room)
		r.mu.Unlock()
	}
	atomic.StoreUint32(r.status(i), unix.TP_STATUS_KERNEL)
	r.held[i].Store(false)
	select {
	case r.free <- struct{}{}:
	default:
	}
	r.drop()
}

// wait returns when the next block is full, when the socket has an error, which
// is returned, or after the time given (os.ErrDeadlineExceeded) or earlier when
// ctx is done.
//
// Asking poll(2) would not do: it says that a ring is readable as long as the
// block before the one being filled is not given back, and that one a batch may
// hold. The runtime waits for edges, and the kernel makes one for every block.
func (r *ring) wait(ctx context.Context, d time.Duration) error {
	if err := r.file.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = r.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var broken error
	err := r.conn.Read(func(fd uintptr) bool {
		if ready, _ := r.full(); ready {
			return true
		}
		broken = failure(int(fd))
		return broken != nil
	})
	return errors.Join(broken, err)
}

// drop gives up one reference to the memory.
func (r *ring) drop() {
	if r.refs.Add(-1) == 0 {
		_ = unix.Munmap(r.mem)
	}
}
