package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// cable is the other end of a tap port: qemu's stream of frames, each behind its
// length in four bytes.
type cable struct {
	path           string
	listener       net.Listener
	joined         chan net.Conn // the newest machine's
	sent, received atomic.Int64
}

func newCable(path string) (*cable, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	c := &cable{path: path, listener: l, joined: make(chan net.Conn, 1)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			select {
			case <-c.joined: // nobody has fed it
			default:
			}
			c.joined <- conn
			c.listen(conn)
		}
	}()
	return c, nil
}

// forget lets go of a machine that is off and was never fed, so that the next is.
func (c *cable) forget() {
	select {
	case <-c.joined:
	default:
	}
}

// listen counts what comes out of the port, until the machine is gone.
func (c *cable) listen(conn net.Conn) {
	for r := bufio.NewReader(conn); ; c.received.Add(1) {
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint32(length[:]))); err != nil {
			return
		}
	}
}

func (c *cable) Close() error { return c.listener.Close() }

// maxFrame is more than any frame of a capture, in bytes.
const maxFrame = 1 << 16

// feed sends the frames of a capture to the newest machine, and begins it anew if asked
// to, until the machine is off.
func (c *cable) feed(ctx context.Context, capture string, anew bool) error {
	var conn net.Conn
	select {
	case conn = <-c.joined:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		if err := c.play(ctx, conn, capture); err != nil || !anew {
			return err
		}
	}
}

// play sends the frames of a capture (pcap, little endian, microseconds or nanoseconds)
// at the distances in time at which they were recorded.
func (c *cable) play(ctx context.Context, conn net.Conn, capture string) error {
	f, err := os.Open(capture)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	var head [24]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	le := binary.LittleEndian
	unit := time.Duration(0)
	switch le.Uint32(head[:]) {
	case 0xa1b2c3d4:
		unit = time.Microsecond
	case 0xa1b23c4d:
		unit = time.Nanosecond
	default:
		return fmt.Errorf("%s is no pcap file", capture)
	}
	began, first := time.Now(), time.Duration(-1)
	frame := make([]byte, 4+maxFrame)
	for {
		var record [16]byte
		if _, err := io.ReadFull(r, record[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		at := time.Duration(le.Uint32(record[0:]))*time.Second + time.Duration(le.Uint32(record[4:]))*unit
		n := le.Uint32(record[8:])
		if n > maxFrame {
			return fmt.Errorf("a frame of %d bytes", n)
		}
		binary.BigEndian.PutUint32(frame, n)
		if _, err := io.ReadFull(r, frame[4:4+n]); err != nil {
			return err
		}
		if first < 0 {
			first = at
		}
		select {
		case <-time.After(time.Until(began.Add(at - first))):
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := conn.Write(frame[:4+n]); err != nil {
			return err
		}
		c.sent.Add(1)
	}
}
