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

	"simtrap/report/fleetpb"
)

// In the folder of updates in the state folder. There is one where somebody takes what
// is put there: the appliance makes it, and nothing is fetched without it.
const (
	updatesFolder = "updates"
	offeredFile   = "offered.update" // whole, for the appliance, which removes it
	handedFile    = "handed"         // SHA-256 of the last one that was put there
	partSuffix    = ".part"
)

const (
	maxBundle  = 512 << 20 // bytes
	updateWait = 10 * time.Second
	updateMost = time.Hour // between two tries
)

// updates fetches the system that the hub offers. It judges nothing of it but that it
// is what was offered: signature and floor are the appliance's to look at.
type updates struct {
	log       *zap.Logger
	folder    string
	client    *http.Client
	url       func() string
	wait, top time.Duration // between tries; defaults above

	mu     sync.Mutex
	want   *fleetpb.UpdateOffer
	cancel context.CancelFunc // of the try that runs
	fresh  chan struct{}
}

func newUpdates(state string, client *http.Client, url func() string, log *zap.Logger) *updates {
	return &updates{log: log, folder: filepath.Join(state, updatesFolder), client: client, url: url, wait: updateWait, top: updateMost, fresh: make(chan struct{}, 1)}
}

// set says what is offered now: the newest for this machine is wanted, and what was
// wanted before is not any more.
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
	wait := u.wait
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.fresh:
			wait = u.wait
		}
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

// fetch gets a bundle, or the rest of one, and hands it over. Each is handed over once.
func (u *updates) fetch(ctx context.Context, o *fleetpb.UpdateOffer) error {
	list, err := os.ReadDir(u.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nobody takes updates here
	}
	if err != nil {
		return err
	}
	name := hex.EncodeToString(o.GetSha256())
	for _, e := range list { // the rest of what is offered no more
		if strings.HasSuffix(e.Name(), partSuffix) && (o == nil || e.Name() != name+partSuffix) {
			if err := os.Remove(filepath.Join(u.folder, e.Name())); err != nil {
				return err
			}
		}
	}
	if o == nil {
		return nil
	}
	if b, err := os.ReadFile(filepath.Join(u.folder, handedFile)); err == nil && string(b) == name {
		return nil
	}
	part := filepath.Join(u.folder, name+partSuffix)
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = u.rest(ctx, f, name, int64(o.GetSize()))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(u.folder, offeredFile)); err != nil {
		return err
	}
	u.log.Info("an update that the hub offers was fetched and is handed over", zap.String("version", short(o.GetVersion())), zap.Uint64("sequence", o.GetSequence()))
	return os.WriteFile(filepath.Join(u.folder, handedFile), []byte(name), 0o600)
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
		n, err := io.Copy(f, io.LimitReader(answer.Body, size-have))
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
