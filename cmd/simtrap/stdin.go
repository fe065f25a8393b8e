package main

import (
	"context"
	"io"
)

// stdinBlock is how much of standard input is read ahead, twice.
const stdinBlock = 256 << 10

// interruptible makes a reader of which a read ends with the context: a
// command that writes to us may be silent for hours. What is read after that
// is lost.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	return &ahead{ctx: ctx, r: r}
}

type ahead struct {
	ctx  context.Context
	r    io.Reader
	full chan block
	free chan []byte
	cur  block
	at   int
}

// block is what one read gave.
type block struct {
	buf []byte
	err error
}

// Read gives the next bytes, or the error of the reader or the context.
func (a *ahead) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if a.full == nil { // nothing is read before somebody asks
		a.full, a.free = make(chan block, 2), make(chan []byte, 2)
		a.free <- make([]byte, stdinBlock)
		a.free <- make([]byte, stdinBlock)
		go a.fill()
	}
	for a.at == len(a.cur.buf) {
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		if a.cur.buf != nil {
			a.free <- a.cur.buf[:cap(a.cur.buf)]
		}
		a.cur, a.at = block{}, 0
		select {
		case a.cur = <-a.full:
		case <-a.ctx.Done():
			a.cur.err = a.ctx.Err()
		}
	}
	n := copy(p, a.cur.buf[a.at:])
	a.at += n
	return n, nil
}

// fill reads until there is an error or nobody waits any more.
func (a *ahead) fill() {
	for {
		select {
		case buf := <-a.free:
			n, err := a.r.Read(buf)
			a.full <- block{buf[:n], err} // there are two blocks and two places
			if err != nil {
				return
			}
		case <-a.ctx.Done():
			return
		}
	}
}
