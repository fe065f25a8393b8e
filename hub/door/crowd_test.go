package door

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"simtrap/report/fleetpb"
)

// dial opens connections that say nothing.
func (h *hub) dial(n int) []net.Conn {
	h.t.Helper()
	var list []net.Conn
	for range n {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "https://"))
		if err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { c.Close() })
		list = append(list, c)
	}
	return list
}

// ended says whether the hub closes a connection within a time.
func ended(c net.Conn, within time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// Whoever has no certificate can open as many connections as he likes, and sensors
// get in all the same.
func TestStrangersLeaveRoom(t *testing.T) {
	h := run(t, Options{Limits: Limits{Connections: 8, Strangers: 3}})
	old := h.enrolled("north-1")
	if _, err := old.send(finding(1, 1, 1, "203.0.113.7")); err != nil {
		t.Fatal(err)
	}
	silent := h.dial(20)
	if _, err := old.send(finding(2, 2, 1, "203.0.113.7")); err != nil {
		t.Errorf("a sensor whose connection stood: %v", err)
	}
	if _, err := h.enrolled("north-2").send(finding(1, 1, 1, "203.0.113.7")); err != nil {
		t.Errorf("a sensor that comes anew: %v", err)
	}
	if !ended(silent[0], 5*time.Second) {
		t.Error("the first that said nothing stands still")
	}
	if _, n := h.door.crowd.count(); n > 3 {
		t.Errorf("%d strangers, 3 are the most", n)
	}
	if n := h.refused("strangers"); n < 17 {
		t.Errorf("%d counted as sent away for others, want 17 or more", n)
	}
}

// Who is revoked has a certificate and is a stranger.
func TestRevokedAreStrangers(t *testing.T) {
	t.Parallel()
	h := run(t, Options{Stranger: 2 * time.Second})
	a := h.enrolled("north-1")
	if err := h.store.Revoke(t.Context(), "north-1", "root", "", h.now()); err != nil {
		t.Fatal(err)
	}
	_, err := a.send(finding(1, 1, 1, "203.0.113.7"))
	code(t, "revoked", err, connect.CodeUnauthenticated)
	for deadline := time.Now().Add(10 * time.Second); h.refused("stranger too long") == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("its connection stands still")
		}
	}
}

func TestStrangersTime(t *testing.T) {
	t.Parallel()
	h := run(t, Options{Stranger: 2 * time.Second, Beside: map[string]http.Handler{"/mine": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Vouch(r.Context(), "account ann")
	})}})
	a, ann := h.enrolled("north-1"), h.client(nil, nil)
	s, err := a.fleet().WatchPolicy(t.Context(), connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
	if err != nil || !s.Receive() {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := ann.Get(h.url + "/mine")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if !ended(h.dial(1)[0], 10*time.Second) {
		t.Fatal("a connection that says nothing stands")
	}
	time.Sleep(300 * time.Millisecond)
	if open, strangers := h.door.crowd.count(); open != 2 || strangers != 0 {
		t.Errorf("%d connections, %d of strangers: want the sensor's and the person's", open, strangers)
	}
}

// The room is everybody's: no sensor and no account has all of it.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := map[string]int{}
		c := newCrowd(Limits{Connections: 6, Strangers: 2, Each: 3}, time.Second, func(reason string) { counts[reason]++ })
		var all []*visitor
		enter := func(name string) *visitor {
			a, b := net.Pipe()
			t.Cleanup(func() { b.Close() })
			v := c.enter(a)
			if v == nil {
				a.Close()
				return nil
			}
			all = append(all, v)
			if name != "" {
				v.vouch(name)
				v.vouch("somebody else") // the first name counts
			}
			return v
		}
		for range 5 {
			enter("north-1")
		}
		if open, _ := c.count(); open != 3 || counts["connections of one"] != 2 {
			t.Errorf("%d open, %v: want 3 of one", open, counts)
		}
		for range 3 {
			enter("ann")
		}
		if enter("") != nil || counts["connections"] != 1 {
			t.Errorf("more than all may have: %v", counts)
		}
		all[4].Close()
		all[4].Close() // is counted once
		first := enter("")
		if enter("") == nil || counts["strangers"] != 1 {
			t.Errorf("no room was made by the first stranger: %v", counts)
		}
		first.vouch("late") // it is closed already
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if open, strangers := c.count(); open != 5 || strangers != 0 || counts["stranger too long"] != 1 {
			t.Errorf("%d open, %d of strangers, %v", open, strangers, counts)
		}
		for _, v := range all {
			v.Close()
		}
		if open, _ := c.count(); open != 0 || len(c.known) != 0 || c.unknown.Len() != 0 {
			t.Errorf("%d open, %d known after all were closed", open, len(c.known))
		}
	})
}

// from is a connection from an address.
type from struct {
	net.Conn
	addr netip.AddrPort
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(f.addr) }

// Whoever opens very many connections makes room among his own: others have the time
// that they need to say who they are.
func TestOneCrowds(t *testing.T) {
	gone := 0
	c := newCrowd(Limits{Connections: 1000, Strangers: 32, Each: 3}, time.Minute, func(string) { gone++ })
	enter := func(addr string) *visitor {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		return c.enter(from{a, netip.AddrPortFrom(netip.MustParseAddr(addr), 9)})
	}
	stands := func(v *visitor) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return v.place != nil
	}
	slow := enter("192.0.2.1")
	var own []*visitor
	for i := range 500 {
		// One host has all of a /64.
		own = append(own, enter(fmt.Sprintf("2001:db8::%x", i)))
	}
	late := enter("192.0.2.2")
	for i := range 500 {
		own = append(own, enter(fmt.Sprintf("2001:db8::1:%x", i)))
	}
	if !stands(slow) || !stands(late) {
		t.Error("others' connections were closed for one who opens a thousand")
	}
	slow.vouch("north-1")
	if open, strangers := c.count(); strangers != 31 || open != 32 || gone != 1002-32 {
		t.Errorf("%d open, %d of strangers, %d sent away", open, strangers, gone)
	}
	// From everywhere: the first goes.
	for i := range 100 {
		enter(fmt.Sprintf("198.51.100.%d", i+1))
	}
	if stands(late) || !stands(slow) {
		t.Error("the first of all stands, or a sensor does not")
	}
	for _, v := range append(own, slow) {
		v.Close()
	}
	for c.unknown.Len() > 0 {
		c.unknown.Back().Value.(*visitor).Close()
	}
	if open, _ := c.count(); open != 0 || len(c.places) != 0 || len(c.crowded) != 0 {
		t.Errorf("%d open, %d places, %d crowded after all were closed", open, len(c.places), len(c.crowded))
	}
}

// failing is a listener that fails when it is told to.
type failing struct {
	net.Listener
	fail chan struct{}
}

func (f *failing) Accept() (net.Conn, error) {
	type got struct {
		c   net.Conn
		err error
	}
	in := make(chan got, 1)
	go func() { c, err := f.Listener.Accept(); in <- got{c, err} }()
	select {
	case g := <-in:
		return g.c, g.err
	case <-f.fail:
		f.Listener.Close()
		<-in
		return nil, errors.New("the listener failed")
	}
}

// What is open when the listener fails is answered, and closed.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	h := run(t, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{Listener: l, fail: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- h.door.Serve(t.Context(), f) }()
	h.url = "https://" + l.Addr().String()
	a := h.enrolled("north-1")
	s, err := a.fleet().WatchPolicy(t.Context(), connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
	if err != nil || !s.Receive() {
		t.Fatal(err)
	}
	defer s.Close()
	close(f.fail)
	select {
	case err := <-served:
		if err == nil || !strings.Contains(err.Error(), "the listener failed") {
			t.Errorf("served: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it serves still")
	}
	for s.Receive() {
	}
	code(t, "the stream", s.Err(), connect.CodeUnavailable)
	if open, _ := h.door.crowd.count(); open != 0 {
		t.Errorf("%d connections are open", open)
	}
}
