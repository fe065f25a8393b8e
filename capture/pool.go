package capture

import (
	"math/bits"
	"sync"
)

// Sizes of blocks, powers of two. A block of a file is blockSize; where many
// files are read at once it is less, and where one record needs it more, up to
// maxBlock. Neither is decided by a header: a block grows only after it was
// filled with bytes that were really there.
const (
	minBlock  = 8 << 10
	blockSize = 256 << 10
	maxBlock  = 512 << 10

	sizes = 7 // minBlock to maxBlock

	// maxIdle bounds the bytes of blocks that wait for reuse.
	maxIdle = 8 << 20
)

// A pool keeps released batches with their blocks and frames for reuse. It may
// be used by several goroutines, since any of them may release a batch.
type pool struct {
	release func(*Batch)

	mu   sync.Mutex
	idle int
	free [sizes][]*Batch
}

func newPool() *pool {
	p := &pool{}
	p.release = p.put
	return p
}

// get gives a batch without frames whose block has the size given, a power of
// two from minBlock to maxBlock.
func (p *pool) get(size int) *Batch {
	c := class(size)
	p.mu.Lock()
	var b *Batch
	if n := len(p.free[c]); n > 0 {
		b = p.free[c][n-1]
		p.free[c][n-1] = nil
		p.free[c] = p.free[c][:n-1]
		p.idle -= size
	}
	p.mu.Unlock()
	if b == nil {
		return NewBatch(make([]byte, size), p.release)
	}
	b.Block = b.Block[:size]
	b.Frames = b.room[:0]
	b.Source, b.Seq = 0, 0
	b.refs.Store(1)
	return b
}

func (p *pool) put(b *Batch) {
	size := cap(b.Block)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle+size > maxIdle {
		return
	}
	c := class(size)
	p.free[c] = append(p.free[c], b)
	p.idle += size
}

// class is the index of a block size in pool.free.
func class(size int) int {
	return bits.Len(uint(size)) - bits.Len(uint(minBlock))
}
