// Package bundles makes signed bundles (docs/evidence.md) of headers that sensors sent
// on request.
package bundles

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"simtrap/evidence/bundle"
	"simtrap/evidence/ring"
	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// Names of parts beside captures, one for each line.
const (
	PartConfiguration = "configuration.json"
	PartFindings      = "findings.jsonl"
	PartReading       = "reading.json"
	PartEnglish       = "report.en.html"
	PartChinese       = "report.zh.html"
	partCaptures      = "captures/"
)

// Store is what of a store.Store the maker needs.
type Store interface {
	EvidencePieceOf(ctx context.Context, part store.ID, number uint64) (data []byte, endOfFile bool, err error)
	LastBundle(context.Context) (store.Bundle, error)
	AddBundle(context.Context, store.Bundle) error
}

// Options of a Maker. The zero value of Now alone has a default.
type Options struct {
	Store   Store
	Sign    ed25519.PrivateKey // nil: none can be made
	Headers *ring.PrivateKey   // nil: what sensors encrypted cannot be read
	// Key gives a key of pseudonyms for a purpose, 32 bytes.
	Key     func(purpose string) []byte
	Version string
	// Stamp asks a time-stamp service; nil for none. A bundle that it gives no stamp for
	// is not made.
	Stamp bundle.Stamper
	Now   func() time.Time
}

// Maker makes bundles, one after the other: each names the one before it.
type Maker struct {
	o       Options
	turn    chan struct{}
	program bundle.Program
}

// ErrNoKey says that the hub has no key to sign with.
var ErrNoKey = errors.New("the hub has no key for evidence: simtrap-hub headers-key makes it")

// ErrStamp says that the time-stamp service that the hub is to ask gave none.
var ErrStamp = errors.New("the time-stamp service gave none")

// stamper asks the service, nil where there is none.
func (m *Maker) stamper() bundle.Stamper {
	if m.o.Stamp == nil {
		return nil
	}
	return func(ctx context.Context, sum [32]byte) ([]byte, error) {
		b, err := m.o.Stamp(ctx, sum)
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrStamp, err)
		}
		return b, err
	}
}

// maxTries is how often a bundle is made anew since another hub's came first.
const maxTries = 4

// New gives a maker.
func New(o Options) *Maker {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Maker{o: o, turn: make(chan struct{}, 1), program: bundle.Program{Name: "simtrap-hub", Version: o.Version, SHA256: programHash()}}
}

// programHash is that of the running executable; empty when it cannot be read.
func programHash() string {
	name, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Left counts what a bundle would be about beside what is in it, but for its bounds.
type Left struct {
	Findings int // about the lines
	Lines    int // of the case
}

// Make makes the bundle of what came, with the findings that it is about, and gives a
// file of it that is nowhere any more once it is closed. What a sensor sent is cut
// anew, and what cannot be read is named in the bundle and left out of it; so is how much
// was left out before.
func (m *Maker) Make(ctx context.Context, e store.Evidence, findings []*reportpb.Finding, left Left) (*os.File, error) {
	if m.o.Sign == nil {
		return nil, ErrNoKey
	}
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w := &work{m: m, e: e, left: left, taken: make(map[string]bool)}
	defer w.close()
	for i := range e.Parts {
		if err := w.part(ctx, i); err != nil {
			return nil, err
		}
	}
	for try := 0; ; try++ {
		f, err := w.write(ctx, findings)
		if errors.Is(err, store.ErrConflict) && try < maxTries {
			continue
		}
		return f, err
	}
}
