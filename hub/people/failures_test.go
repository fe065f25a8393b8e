package people

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// failedEntries gives what the log says of failed logins, by whose.
func failedEntries(t *testing.T, p *People) map[string][]string {
	t.Helper()
	list, err := p.Log(t.Context(), 1, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	for _, e := range list {
		if e.Action == "login.failed" {
			if e.Account != "-" {
				t.Errorf("%q is said to have failed", e.Account)
			}
			got[e.Object] = append(got[e.Object], e.Detail)
		}
	}
	return got
}

// Logins that fail are in the audit log, and nobody fills it by failing.
func TestFailedLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m, _ := crowd(t)
		p.now = time.Now
		p.throttle.now = time.Now
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); p.Run(ctx) }()

		for range 2 {
			if _, _, err := p.Login(t.Context(), "ann", "not the password", here); !errors.Is(err, ErrLogin) {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := failedEntries(t, p); len(got["ann"]) != 1 || !strings.HasPrefix(got["ann"][0], "2 failed, ") || !strings.HasSuffix(got["ann"][0], "from "+here.String()) {
			t.Errorf("a second later: %q", got)
		}
		// Ten close the account to that address; what is refused then is told too.
		for range placeFailures + 5 {
			_, _, _ = p.Login(t.Context(), "ann", "not the password", netip.MustParseAddr("198.51.100.1"))
		}
		// Names that are none are told together, however many.
		for i := range 10 {
			_, _, _ = p.Login(t.Context(), fmt.Sprint("stranger", i), "not the password", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
		}
		m.mu.Lock()
		m.failing = errors.New("the disk is full")
		m.mu.Unlock()
		time.Sleep(writeEvery)
		m.mu.Lock()
		m.failing = nil
		m.mu.Unlock()
		time.Sleep(2 * writeEvery)
		synctest.Wait()
		got := failedEntries(t, p)
		if len(got) != 2 || len(got["ann"]) != 2 || !strings.HasPrefix(got["ann"][1], "10 failed, 5 refused as too many, ") {
			t.Errorf("of ann: %q", got["ann"])
		}
		if len(got["-"]) != 1 || !strings.HasPrefix(got["-"][0], "10 failed, ") || !strings.HasSuffix(got["-"][0], "10.0.0.7 others") {
			t.Errorf("of names that are none: %q", got["-"])
		}
		// Ten minutes of it are an entry a minute at most.
		for range 600 {
			_, _, _ = p.Login(t.Context(), "ann", "not the password", here)
			time.Sleep(time.Second)
		}
		if n := len(failedEntries(t, p)["ann"]); n > 13 {
			t.Errorf("%d entries of ten minutes", n)
		}
		_, _, _ = p.Login(t.Context(), "late", "not the password", here)
		stop()
		<-ended
		if got := failedEntries(t, p)["-"]; len(got) != 2 {
			t.Errorf("what was left at the end: %q", got)
		}
		if _, err := p.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(failureWindow)
		p.failures.due(time.Now(), false)
		if len(p.failures.by) != 0 {
			t.Errorf("%d accounts are remembered", len(p.failures.by))
		}
	})
}

func TestFailuresBound(t *testing.T) {
	f := newFailures()
	now := time.Now()
	for i := range 3 * maxFailing {
		f.failed(fmt.Sprint("account", i), true, here, now)
	}
	if len(f.by) != maxFailing || f.unknown.failed != 2*maxFailing {
		t.Errorf("%d apart, %d together", len(f.by), f.unknown.failed)
	}
}
