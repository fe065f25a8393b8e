package people

import (
	"container/list"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// How many failures are let through in a while.
const (
	failureWindow   = 15 * time.Minute
	placeFailures   = 10  // of one account from one address
	accountFailures = 100 // of one account, from addresses where it has not logged in
	addressFailures = 30  // several people may share one
	// goodPause is between tries that are always let through, however many have failed:
	// of an account, from where it has logged in. So nobody closes somebody's account
	// by failing from elsewhere; who fails all the time beside him, at his own address,
	// takes each of these tries first.
	goodPause = 30 * time.Second
	// maxTries is how many accounts, addresses and both together are remembered, each. Who sends
	// more makes the oldest be forgotten, which takes as many password hashes.
	maxTries = 4096
)

// Throttled is the error of a login that comes too soon.
type Throttled struct{ After time.Duration }

func (t *Throttled) Error() string {
	return fmt.Sprintf("too many failed logins: try again in %v", t.After.Round(time.Second))
}

// throttle counts failed logins by account, by address, and by both. One that is under
// way counts as failed: else who asks often enough at once is never counted in time.
type throttle struct {
	now       func() time.Time
	mu        sync.Mutex
	accounts  tries[string]
	addresses tries[netip.Addr]
	doors     tries[door]
	good      tries[door] // where accounts have logged in since the start
}

// door is where somebody comes to an account.
type door struct {
	account string
	place   netip.Addr
}

func newThrottle(now func() time.Time) *throttle {
	t := &throttle{now: now}
	t.accounts.init(accountFailures)
	t.addresses.init(addressFailures)
	t.doors.init(placeFailures)
	t.good.init(1)
	return t
}

// place is what an address is counted as: of IPv6 the network, since one host has
// all of it.
func place(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return a
}

// take counts a try, or gives how long to wait before one.
func (t *throttle) take(name string, from netip.Addr) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	d := door{name, place(from)}
	good := t.good.has(d)
	if good {
		wait = min(t.doors.wait(d, now), t.doors.since(d).Add(goodPause).Sub(now))
	} else {
		wait = max(t.doors.wait(d, now), t.accounts.wait(name, now), t.addresses.wait(d.place, now))
	}
	if wait > 0 {
		return wait
	}
	if !good {
		t.accounts.add(name, now)
	}
	t.doors.add(d, now)
	t.addresses.add(d.place, now)
	return 0
}

// giveBack undoes a take after which no password was compared.
func (t *throttle) giveBack(name string, from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.undo(door{name, place(from)})
}

func (t *throttle) undo(d door) {
	if !t.good.has(d) {
		t.accounts.giveBack(d.account)
	}
	t.doors.giveBack(d)
	t.addresses.giveBack(d.place)
}

// succeeded forgets the account's failures from there, and of the address's this try
// alone: whoever has one account must not get tries at others by it.
func (t *throttle) succeeded(name string, from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := door{name, place(from)}
	t.undo(d)
	t.doors.forget(d)
	t.good.add(d, t.now())
}

// evicted is how many were forgotten since there were too many.
func (t *throttle) evicted() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.accounts.evicted + t.addresses.evicted + t.doors.evicted + t.good.evicted
}

// tries are failures by key, the least recent at the back.
type tries[K comparable] struct {
	limit   int
	by      map[K]*list.Element
	order   *list.List
	evicted uint64
}

type try[K comparable] struct {
	key   K
	since time.Time
	last  time.Time
	count int
}

func (t *tries[K]) init(limit int) {
	t.limit, t.by, t.order = limit, make(map[K]*list.Element), list.New()
}

func (t *tries[K]) has(k K) bool { return t.by[k] != nil }

// since is when the last one was, zero where none was.
func (t *tries[K]) since(k K) (at time.Time) {
	if e, ok := t.by[k]; ok {
		at = e.Value.(*try[K]).last
	}
	return at
}

func (t *tries[K]) wait(k K, now time.Time) time.Duration {
	e, ok := t.by[k]
	if !ok {
		return 0
	}
	x := e.Value.(*try[K])
	if x.count < t.limit {
		return 0
	}
	return max(0, x.since.Add(failureWindow).Sub(now))
}

func (t *tries[K]) add(k K, now time.Time) {
	e, ok := t.by[k]
	if !ok {
		if len(t.by) >= maxTries {
			old := t.order.Back()
			delete(t.by, old.Value.(*try[K]).key)
			t.order.Remove(old)
			t.evicted++
		}
		e = t.order.PushFront(&try[K]{key: k, since: now})
		t.by[k] = e
	}
	t.order.MoveToFront(e)
	x := e.Value.(*try[K])
	if now.Sub(x.since) >= failureWindow {
		x.since, x.count = now, 0
	}
	x.count++
	x.last = now
}

func (t *tries[K]) giveBack(k K) {
	if e, ok := t.by[k]; ok {
		x := e.Value.(*try[K])
		x.count = max(0, x.count-1)
	}
}

func (t *tries[K]) forget(k K) {
	if e, ok := t.by[k]; ok {
		delete(t.by, k)
		t.order.Remove(e)
	}
}
