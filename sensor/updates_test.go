package sensor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"simtrap/report/fleetpb"
)

// bundles is a hub that gives one text, and cuts its first answers short.
type bundles struct {
	text   []byte
	cut    atomic.Int64 // answers that are to be cut yet
	asked  atomic.Int64
	ranges chan string
}

func (b *bundles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.asked.Add(1)
	b.ranges <- r.Header.Get("Range")
	if b.cut.Add(-1) >= 0 {
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(b.text[:40000])
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.text))
}

// updating runs what fetches, with a folder if somebody takes updates.
func updating(t *testing.T, b *bundles, folder bool) (u *updates, dir string) {
	t.Helper()
	b.ranges = make(chan string, 1000)
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	state := t.TempDir()
	dir = filepath.Join(state, updatesFolder)
	if folder {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	u = newUpdates(state, s.Client(), func() string { return s.URL }, zap.NewNop())
	u.wait, u.top = 5*time.Millisecond, 20*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); u.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return u, dir
}

func offered(text []byte, sequence uint64) *fleetpb.UpdateOffer {
	sum := sha256.Sum256(text)
	return &fleetpb.UpdateOffer{Version: "1", Arch: runtime.GOARCH, Sequence: sequence, Size: uint64(len(text)), Sha256: sum[:]}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func exists(name string) bool { _, err := os.Stat(name); return err == nil }

func TestUpdateFetched(t *testing.T) {
	b := &bundles{text: bytes.Repeat([]byte("system "), 20000)[:100000]}
	b.cut.Store(1)
	u, dir := updating(t, b, true)
	old := filepath.Join(dir, strings.Repeat("0", 64)+partSuffix)
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := offered(b.text, 9)
	other.Arch = "other"
	o := offered(b.text, 7)
	u.set([]*fleetpb.UpdateOffer{offered([]byte("older"), 6), o, other})
	whole := filepath.Join(dir, offeredFile)
	eventually(t, "it was not fetched", func() bool { return exists(filepath.Join(dir, handedFile)) })
	got, err := os.ReadFile(whole)
	if err != nil || !bytes.Equal(got, b.text) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if first, second := <-b.ranges, <-b.ranges; first != "" || second != "bytes=40000-" {
		t.Errorf("asked for %q and then %q: want all of it, then the rest", first, second)
	}
	if exists(old) {
		t.Error("what is offered no more is kept")
	}
	// Handed over once, though the appliance took it and the offer stands.
	if err := os.Remove(whole); err != nil {
		t.Fatal(err)
	}
	u.set(nil)
	u.set([]*fleetpb.UpdateOffer{o})
	time.Sleep(50 * time.Millisecond)
	if b.asked.Load() != 2 || exists(whole) {
		t.Errorf("fetched again: asked %d times", b.asked.Load())
	}
}

func TestUpdateRefused(t *testing.T) {
	text := bytes.Repeat([]byte("x"), 100000)
	other := offered(bytes.Repeat([]byte("y"), 100000), 7) // the hub gives another
	b := &bundles{text: text}
	u, dir := updating(t, b, true)
	u.set([]*fleetpb.UpdateOffer{other})
	eventually(t, "it was not tried again", func() bool { return b.asked.Load() > 2 })
	if exists(filepath.Join(dir, offeredFile)) || exists(filepath.Join(dir, handedFile)) {
		t.Error("what was not offered is handed over")
	}
	// Withdrawn, it is asked for no more and takes no room.
	u.set(nil)
	part := filepath.Join(dir, hex.EncodeToString(other.GetSha256())+partSuffix)
	eventually(t, "the rest of it stays", func() bool { return !exists(part) })
	n := b.asked.Load()
	time.Sleep(80 * time.Millisecond)
	if b.asked.Load() != n {
		t.Error("it is asked for when it is withdrawn")
	}
}

// Where nobody takes updates nothing is fetched.
func TestUpdateWithoutTaker(t *testing.T) {
	b := &bundles{text: []byte("text")}
	u, _ := updating(t, b, false)
	u.set([]*fleetpb.UpdateOffer{offered(b.text, 7)})
	time.Sleep(50 * time.Millisecond)
	if b.asked.Load() != 0 {
		t.Error("fetched")
	}
}
