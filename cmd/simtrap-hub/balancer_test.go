package main

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// balancer passes TCP on to hubs in turn, as one of layer 4 does: it knows nothing
// of what it carries, and goes to the next hub where one does not answer.
type balancer struct {
	l       net.Listener
	running sync.WaitGroup

	mu    sync.Mutex
	hubs  []string // addresses, empty for one that is away
	turn  int
	conns map[net.Conn]bool // both sides; nil when it has ended
}

func newBalancer(t *testing.T, hubs int) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{l: l, hubs: make([]string, hubs), conns: make(map[net.Conn]bool)}
	b.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.running.Go(func() { b.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.mu.Lock()
		for c := range b.conns {
			c.Close()
		}
		b.conns = nil
		b.mu.Unlock()
		b.running.Wait()
	})
	return b
}

func (b *balancer) address() string { return b.l.Addr().String() }

// set says where hub i is; empty for nowhere.
func (b *balancer) set(i int, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hubs[i] = address
}

// next gives the hubs in the order in which they are tried.
func (b *balancer) next() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	for i := range b.hubs {
		if a := b.hubs[(b.turn+i)%len(b.hubs)]; a != "" {
			list = append(list, a)
		}
	}
	return list
}

// hold keeps a connection where the end finds it.
func (b *balancer) hold(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns != nil {
		b.conns[c] = true
	}
	return b.conns != nil
}

func (b *balancer) drop(c net.Conn) {
	c.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
}

func (b *balancer) pass(near net.Conn) {
	defer b.drop(near)
	if !b.hold(near) {
		return
	}
	for _, address := range b.next() {
		far, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			continue
		}
		defer b.drop(far)
		if !b.hold(far) {
			return
		}
		back := make(chan struct{})
		go func() {
			defer close(back)
			_, _ = io.Copy(near, far)
			near.Close()
		}()
		_, _ = io.Copy(far, near)
		far.Close()
		<-back
		return
	}
}
