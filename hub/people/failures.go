package people

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Logins that failed are counted, and the counts written into the audit log: soon of
// an account that failed for the first time in a while, then once a minute. So nobody
// can fill the log, which nothing is taken out of, by failing.
const (
	writeEvery   = time.Minute
	lookEvery    = time.Second
	maxFailing   = 1024 // accounts that are counted apart; others together
	shownPlaces  = 8
	failedAction = "login.failed"
	// nobody is who did something when it is not known; no account is named so.
	nobody = "-"
)

// failures are those that wait to be written down.
type failures struct {
	mu      sync.Mutex
	by      map[string]*failing
	unknown failing // of names that are no account's, and what was refused of others
}

type failing struct {
	failed, refused int
	since, last     time.Time
	from            []netip.Addr // the first few
	more            bool         // there were others
	written         time.Time
}

func newFailures() *failures { return &failures{by: make(map[string]*failing)} }

// failed counts a password that was wrong.
func (f *failures) failed(name string, account bool, from netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of(name, account)
	x.failed++
	x.at(from, now)
}

// refused counts a try that came too soon to be looked at.
func (f *failures) refused(name string, from netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of(name, false)
	x.refused++
	x.at(from, now)
}

func (f *failures) of(name string, account bool) *failing {
	if x := f.by[name]; x != nil {
		return x
	}
	if !account || len(f.by) >= maxFailing {
		return &f.unknown
	}
	x := &failing{}
	f.by[name] = x
	return x
}

func (x *failing) at(from netip.Addr, now time.Time) {
	if x.since.IsZero() {
		x.since = now
	}
	x.last = now
	switch {
	case slices.Contains(x.from, from):
	case len(x.from) < shownPlaces:
		x.from = append(x.from, from)
	default:
		x.more = true
	}
}

// due takes what is to be written down now, by name, the empty one for names that are
// no account's; all of it at the end.
func (f *failures) due(now time.Time, end bool) map[string]failing {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make(map[string]failing)
	take := func(name string, x *failing) {
		if x.failed+x.refused == 0 || !end && now.Sub(x.written) < writeEvery {
			return
		}
		list[name] = *x
		*x = failing{written: now}
	}
	take("", &f.unknown)
	for name, x := range f.by {
		if x.failed+x.refused == 0 && now.Sub(x.written) >= failureWindow {
			delete(f.by, name)
			continue
		}
		take(name, x)
	}
	return list
}

// back puts back what could not be written down.
func (f *failures) back(name string, x failing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	y := f.of(name, name != "")
	y.failed += x.failed
	y.refused += x.refused
	y.more = y.more || x.more
	last := y.last
	for _, a := range x.from {
		y.at(a, x.since)
	}
	if y.since.After(x.since) {
		y.since = x.since
	}
	if y.last = last; last.Before(x.last) {
		y.last = x.last
	}
}

func (x failing) String() string {
	var parts []string
	if x.failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", x.failed))
	}
	if x.refused > 0 {
		parts = append(parts, fmt.Sprintf("%d refused as too many", x.refused))
	}
	var places []string
	for _, a := range x.from {
		places = append(places, a.String())
	}
	if x.more {
		places = append(places, "others")
	}
	return fmt.Sprintf("%s, %s to %s, from %s", strings.Join(parts, ", "), x.since.UTC().Format(time.RFC3339), x.last.UTC().Format(time.RFC3339), strings.Join(places, " "))
}

// Forgotten is how many accounts and addresses there were too many of for their failed
// logins to be remembered.
func (p *People) Forgotten() uint64 { return p.throttle.evicted() }

// Run writes failed logins into the audit log until ctx is done, and then what is
// left. Without it they are counted in vain.
func (p *People) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			p.writeFailures(end, true)
			return
		case <-tick.C:
			p.writeFailures(ctx, false)
		}
	}
}

func (p *People) writeFailures(ctx context.Context, end bool) {
	for name, x := range p.failures.due(p.now(), end) {
		object := name
		if name == "" {
			object = nobody
		}
		if _, err := p.Record(ctx, Entry{Account: nobody, Action: failedAction, Object: object, Detail: x.String()}); err != nil {
			p.failures.back(name, x)
			p.log.Error("failed logins were not written down", zap.Error(err))
		}
	}
}
