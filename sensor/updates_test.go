package sensor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
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
	"go.uber.org/zap/zaptest/observer"

	"simtrap/internal/smalldisk"
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

// updating runs what fetches, with a folder if somebody takes updates; each of change
// is done to it before.
func updating(t *testing.T, b *bundles, folder bool, change ...func(u *updates)) (u *updates, dir string) {
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
	u = newUpdates(state, 0, s.Client(), func() string { return s.URL }, zap.NewNop())
	u.wait, u.top = 5*time.Millisecond, 20*time.Millisecond
	for _, f := range change {
		f(u)
	}
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
	eventually(t, "it was not fetched", func() bool { return exists(whole) })
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

// Where nobody takes updates nothing is fetched, which is said once.
func TestUpdateWithoutTaker(t *testing.T) {
	b := &bundles{text: []byte("text")}
	core, said := observer.New(zap.InfoLevel)
	u, _ := updating(t, b, false, func(u *updates) { u.log = zap.New(core) })
	for range 5 {
		u.set([]*fleetpb.UpdateOffer{offered(b.text, 7)})
		time.Sleep(20 * time.Millisecond)
		u.set(nil)
		time.Sleep(20 * time.Millisecond)
	}
	if b.asked.Load() != 0 {
		t.Error("fetched")
	}
	if list := said.All(); len(list) != 1 || !strings.Contains(list[0].Message, "nothing here takes them") {
		t.Errorf("said: %v", list)
	}
}

// What would leave less free than the reserve is not asked for; where the room goes
// meanwhile, what was fetched goes too. With room it is fetched after all.
func TestUpdateRoom(t *testing.T) {
	const reserve, size = 1000, 3 * updatePiece
	var free, looks, least atomic.Int64
	b := &bundles{text: bytes.Repeat([]byte("s"), size)}
	free.Store(reserve + size - 1)
	u, dir := updating(t, b, true, func(u *updates) {
		u.reserve, u.pace = reserve, 1<<40
		u.free = func() (int64, error) {
			if looks.Add(1); least.Load() > 0 && looks.Load()%3 == 0 {
				return least.Load(), nil // at the second piece of each try
			}
			return free.Load(), nil
		}
	})
	o := offered(b.text, 7)
	part := filepath.Join(dir, hex.EncodeToString(o.GetSha256())+partSuffix)
	u.set([]*fleetpb.UpdateOffer{o})
	eventually(t, "it was not tried again", func() bool { return looks.Load() >= 3 })
	if b.asked.Load() != 0 {
		t.Errorf("asked for %d times without room", b.asked.Load())
	}
	eventually(t, "an empty part stays", func() bool { return !exists(part) })
	looks.Store(0)
	least.Store(reserve)
	free.Store(reserve + size)
	eventually(t, "it was not asked for twice", func() bool { return b.asked.Load() >= 2 })
	if exists(filepath.Join(dir, handedFile)) {
		t.Error("handed over without room")
	}
	for range b.asked.Load() {
		if r := <-b.ranges; r != "" {
			t.Errorf("asked for %s: a part was kept where there is no room", r)
		}
	}
	least.Store(0)
	eventually(t, "it was not fetched with room", func() bool { return exists(filepath.Join(dir, offeredFile)) })
}

// A disk that is full all the same keeps nothing of it.
func TestUpdateDiskFull(t *testing.T) {
	dir := smalldisk.Folder(t, "3m")
	if dir == "" {
		return
	}
	b := &bundles{text: bytes.Repeat([]byte("s"), 5*updatePiece)}
	o := offered(b.text, 7)
	u, _ := updating(t, b, false, func(u *updates) {
		u.folder, u.wait, u.top = dir, time.Hour, time.Hour
		u.free = func() (int64, error) { return 1 << 40, nil }
	})
	u.set([]*fleetpb.UpdateOffer{o})
	eventually(t, "it was not asked for", func() bool { return b.asked.Load() == 1 })
	eventually(t, "the disk stays full", func() bool {
		list, err := os.ReadDir(dir)
		return err == nil && len(list) == 0
	})
}

func TestUpdatePace(t *testing.T) {
	u := &updates{pace: 10 * updatePiece, free: func() (int64, error) { return 1 << 40, nil }}
	began := time.Now()
	n, err := u.take(t.Context(), io.Discard, bytes.NewReader(make([]byte, 3*updatePiece)), 3*updatePiece)
	if took := time.Since(began); err != nil || n != 3*updatePiece || took < 290*time.Millisecond {
		t.Errorf("%d bytes in %v, %v: want 300 ms", n, took, err)
	}
}

// Whenever the power is cut at the hand-over, a bundle is fetched once and handed over
// once.
func TestUpdateHandedOver(t *testing.T) {
	b := &bundles{text: bytes.Repeat([]byte("s"), 1000)}
	u, dir := updating(t, b, true)
	o := offered(b.text, 7)
	whole, part := filepath.Join(dir, offeredFile), filepath.Join(dir, hex.EncodeToString(o.GetSha256())+partSuffix)
	// What stands in the way of the last step is as good as a cut before it.
	if err := os.MkdirAll(filepath.Join(whole, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	u.set([]*fleetpb.UpdateOffer{o})
	eventually(t, "it is not written before that it is handed over", func() bool { return exists(filepath.Join(dir, handedFile)) })
	if !exists(part) {
		t.Fatal("what was fetched is gone")
	}
	if err := os.RemoveAll(whole); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was not handed over", func() bool { return exists(whole) && !exists(part) })
	if err := os.Remove(whole); err != nil {
		t.Fatal(err)
	}
	u.set(nil)
	u.set([]*fleetpb.UpdateOffer{o})
	time.Sleep(50 * time.Millisecond)
	if b.asked.Load() != 1 || exists(whole) {
		t.Errorf("asked %d times: want once", b.asked.Load())
	}
}

// What the appliance says of an update that it refused is an alarm until it is
// withdrawn, and is shown as text.
func TestUpdateRefusedByAppliance(t *testing.T) {
	b := &bundles{text: []byte("text")}
	u, dir := updating(t, b, true)
	if why := u.refused(); why != "" {
		t.Errorf("refused: %q", why)
	}
	u.set([]*fleetpb.UpdateOffer{offered(b.text, 7)})
	eventually(t, "it was not fetched", func() bool { return exists(filepath.Join(dir, offeredFile)) })
	name := filepath.Join(dir, refusedFile)
	if err := os.WriteFile(name, []byte("older\x1b[2J"+strings.Repeat("x", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if why := u.refused(); !strings.HasPrefix(why, `older\x1b[2J`) || len(why) > 2*maxWhy {
		t.Errorf("refused: %q", why)
	}
	u.set(nil)
	eventually(t, "it is said for ever", func() bool { return !exists(name) })
}
