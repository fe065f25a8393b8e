package sensor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"simtrap/report"
	"simtrap/report/fleetpb"
	"simtrap/report/outbox"
)

// In the folder of updates in the state folder. There is one where somebody takes what
// is put there: the appliance makes it, and nothing is fetched without it.
const (
	updatesFolder = "updates"
	offeredFile   = "offered.update" // whole, for the appliance, which removes it
	handedFile    = "handed"         // SHA-256 of the last one that was put there
	refusedFile   = "refused"        // why the appliance did not take one
	partSuffix    = ".part"
)

const (
	maxBundle  = 512 << 20 // bytes
	updateWait = 10 * time.Second
	updateMost = time.Hour // between two tries
	// updatePace leaves room on the line to reports; a bundle takes minutes all the same.
	updatePace  = 4 << 20 // bytes a second
	updatePiece = 1 << 20 // bytes, between two looks at pace and room
	maxWhy      = 300     // bytes of what the appliance says
)

// errNoRoom: what was fetched goes, since reports need the room more.
var errNoRoom = errors.New("there is no room for it on the disk")

// updates fetches the system that the hub offers. It judges nothing of it but that it
// is what was offered: signature and floor are the appliance's to look at.
type updates struct {
	log       *zap.Logger
	folder    string
	client    *http.Client
	url       func() string
	wait, top time.Duration // between tries; defaults above
	pace      int64         // bytes a second
	reserve   int64         // bytes of the file system that stay free
	free      func() (int64, error)
	alone     bool // it was said that nobody takes updates here; of run alone

	mu     sync.Mutex
	want   *fleetpb.UpdateOffer
	cancel context.CancelFunc // of the try that runs
	fresh  chan struct{}
}

func newUpdates(state string, reserve int64, client *http.Client, url func() string, log *zap.Logger) *updates {
	u := &updates{log: log, folder: filepath.Join(state, updatesFolder), client: client, url: url, wait: updateWait, top: updateMost,
		pace: updatePace, reserve: reserve, fresh: make(chan struct{}, 1)}
	u.free = func() (int64, error) { return outbox.Disk{}.Free(u.folder) }
	return u
}

// set says what is offered now: the newest for this machine is wanted, and what was
// wanted before is not any more. What runs is not known here: the appliance takes none
// that is not newer.
func (u *updates) set(list []*fleetpb.UpdateOffer) {
	if u == nil {
		return // policies without a way to the hub, in tests
	}
	var want *fleetpb.UpdateOffer
	for _, o := range list {
		if o.GetArch() == runtime.GOARCH && len(o.GetSha256()) == sha256.Size && o.GetSize() > 0 && o.GetSize() <= maxBundle && o.GetSequence() > want.GetSequence() {
			want = o
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if bytes.Equal(want.GetSha256(), u.want.GetSha256()) {
		return
	}
	u.want = want
	if u.cancel != nil {
		u.cancel()
	}
	select {
	case u.fresh <- struct{}{}:
	default:
	}
}

// run fetches what is wanted until ctx is done.
func (u *updates) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.fresh:
		}
		wait := u.wait
		for {
			u.mu.Lock()
			want := u.want
			try, cancel := context.WithCancel(ctx)
			u.cancel = cancel
			u.mu.Unlock()
			err := u.fetch(try, want)
			other := try.Err() != nil
			cancel()
			if err == nil || other {
				break
			}
			u.log.Warn("an update that the hub offers was not fetched: it is tried again", zap.String("version", short(want.GetVersion())), zap.Duration("in", wait), zap.Error(err))
			t := time.NewTimer(wait)
			select {
			case <-t.C:
				wait = min(2*wait, u.top)
				continue
			case <-u.fresh:
				wait = u.wait
				continue
			case <-ctx.Done():
				t.Stop()
				return
			}
		}
	}
}

// fetch gets a bundle, or the rest of one, and hands it over. Each is handed over once:
// that it was is written before, and where the power is cut in between, what was fetched
// is there still and is handed over without being fetched again.
func (u *updates) fetch(ctx context.Context, o *fleetpb.UpdateOffer) error {
	list, err := os.ReadDir(u.folder)
	if errors.Is(err, fs.ErrNotExist) {
		if o != nil && !u.alone {
			u.alone = true
			u.log.Info("the hub offers updates of the appliance's system: nothing here takes them, and none is fetched", zap.String("folder", u.folder))
		}
		return nil
	}
	if err != nil {
		return err
	}
	name := hex.EncodeToString(o.GetSha256())
	part, there := filepath.Join(u.folder, name+partSuffix), false
	for _, e := range list { // the rest of what is offered no more
		switch at := filepath.Join(u.folder, e.Name()); {
		case o != nil && at == part:
			there = true
		case strings.HasSuffix(e.Name(), partSuffix):
			if err := os.Remove(at); err != nil {
				return err
			}
		}
	}
	if o == nil {
		// Nor is it to be said any more that it was refused.
		if err := os.Remove(filepath.Join(u.folder, refusedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if b, err := os.ReadFile(filepath.Join(u.folder, handedFile)); err == nil && string(b) == name && !there {
		return nil
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = u.rest(ctx, f, name, int64(o.GetSize()))
	if err = errors.Join(err, f.Close()); err != nil {
		if errors.Is(err, errNoRoom) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			err = errors.Join(err, os.Remove(part))
		}
		return err
	}
	if err := u.handOver(part, name); err != nil {
		return err
	}
	u.log.Info("an update that the hub offers was fetched and is handed over", zap.String("version", short(o.GetVersion())), zap.Uint64("sequence", o.GetSequence()))
	return nil
}

// handOver puts a whole bundle where the appliance looks, and has all of it outlast a
// power cut.
func (u *updates) handOver(part, name string) error {
	handed := filepath.Join(u.folder, handedFile)
	f, err := os.Create(handed + ".new")
	if err != nil {
		return err
	}
	_, err = f.WriteString(name)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), handed); err != nil {
		return err
	}
	folder, err := os.Open(u.folder)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(u.folder, offeredFile)); err != nil {
		return err
	}
	return folder.Sync()
}

// refused says why the appliance did not take an update, or nothing.
func (u *updates) refused() string {
	f, err := os.Open(filepath.Join(u.folder, refusedFile))
	if err != nil {
		return "" // there is none
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxWhy))
	if err != nil || len(b) == 0 {
		return ""
	}
	return report.Plain(string(b))
}

// room says whether so many bytes more leave the reserve alone.
func (u *updates) room(n int64) error {
	free, err := u.free()
	if err == nil && free < u.reserve+n {
		err = fmt.Errorf("%w: %d bytes more are to come, %d are free, and %d stay so", errNoRoom, n, free, u.reserve)
	}
	return err
}

// take copies n bytes at most at the pace, as long as there is room.
func (u *updates) take(ctx context.Context, to io.Writer, from io.Reader, n int64) (done int64, err error) {
	for done < n {
		if err := u.room(n - done); err != nil {
			return done, err
		}
		began := time.Now()
		got, err := io.CopyN(to, from, min(n-done, updatePiece))
		done += got
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		t := time.NewTimer(time.Duration(float64(got)/float64(u.pace)*float64(time.Second)) - time.Since(began))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return done, ctx.Err()
		}
	}
	return done, nil
}

// rest appends to a file what it lacks of a bundle, and empties it when it is another.
func (u *updates) rest(ctx context.Context, f *os.File, name string, size int64) error {
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if have > size {
		return errors.Join(errors.New("more than there should be"), f.Truncate(0))
	}
	if have < size {
		if err := u.room(size - have); err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url()+"/updates/"+name, nil)
		if err != nil {
			return err
		}
		if have > 0 {
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		}
		answer, err := u.client.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		switch {
		case answer.StatusCode == http.StatusOK && have > 0: // all of it, from its beginning
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return err
			}
			if err := f.Truncate(0); err != nil {
				return err
			}
			have = 0
		case answer.StatusCode == http.StatusPartialContent && have > 0 && strings.HasPrefix(answer.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)):
		case answer.StatusCode == http.StatusOK:
		default:
			return fmt.Errorf("the hub answers %s", answer.Status)
		}
		n, err := u.take(ctx, f, answer.Body, size-have)
		if err != nil {
			return err
		}
		if have+n < size {
			return fmt.Errorf("it ended at %d of %d bytes", have+n, size)
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != name {
		return errors.Join(errors.New("it is not what was offered"), f.Truncate(0))
	}
	return nil
}
