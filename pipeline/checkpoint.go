package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/state"
)

// The file of a checkpoint: 8 bytes that name it, 2 of its version, then blocks,
// each with its length and CRC-32C before it, of which one of length 0 is the
// last; then the SHA-256 of everything before. Numbers are little-endian. The
// first block says what is common to all lines, the others hold lines. It is
// written beside its place and renamed, so that whatever ends the program leaves
// the old one or the new one.
//
// It holds accounts, cards and addresses in clear, since they are compared with
// what is seen later: it is for its owner alone, as the key of pseudonyms is.

const (
	checkpointMagic   = "simtrapC"
	checkpointVersion = 3
	maxCheckpoint     = 1 << 30 // bytes of a file
	maxBlock          = 8 << 20
	maxRealms         = 1 << 16
	blocksWaiting     = 16
	// stepTime is how long one epoch may take for the sake of a checkpoint at
	// least, and longestStep at most: a fifth of the time that has passed.
	stepTime    = 2 * time.Millisecond
	longestStep = 50 * time.Millisecond

	temporarySuffix = ".tmp"

	damagedSuffix = ".damaged"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// DamagedError says that a checkpoint could not be read and was set aside. The
// run began without it.
type DamagedError struct {
	File  string
	Aside string // where it is now
	Err   error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("checkpoint %s: %v; it was set aside as %s", e.File, e.Err, e.Aside)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Restored says what a checkpoint gave.
type Restored struct {
	Lines     int
	Dropped   int    // lines that found no room, or whose realm there is no more
	Catalogue string // hash of the catalogue that the counts come from, empty without a checkpoint
	Same      bool   // it is today's
	Written   time.Time
	Damaged   *DamagedError // a checkpoint that was set aside, or nil

	seq uint64
}

// restoredRun makes a run that goes on with the checkpoint there is.
func restoredRun(cfg Config) (*run, Restored, error) {
	if cfg.Checkpoint == "" {
		r, err := newRun(cfg)
		return r, Restored{}, err
	}
	// Whoever was killed while writing left this.
	if err := os.Remove(cfg.Checkpoint + temporarySuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, Restored{}, fmt.Errorf("checkpoint: %w", err)
	}
	f, err := os.Open(cfg.Checkpoint)
	if errors.Is(err, os.ErrNotExist) {
		r, err := newRun(cfg)
		return r, Restored{}, err
	}
	if err != nil {
		return nil, Restored{}, fmt.Errorf("checkpoint: %w", err)
	}
	r, done, err := readCheckpoint(f, cfg)
	f.Close()
	if err == nil {
		return r, done, nil
	}
	var bad *badCheckpoint
	if !errors.As(err, &bad) {
		return nil, Restored{}, fmt.Errorf("checkpoint %s: %w", cfg.Checkpoint, err)
	}
	damaged := &DamagedError{File: cfg.Checkpoint, Aside: cfg.Checkpoint + damagedSuffix, Err: bad}
	if err := os.Rename(damaged.File, damaged.Aside); err != nil {
		return nil, Restored{}, fmt.Errorf("checkpoint: %w", err)
	}
	if r, err = newRun(cfg); err != nil {
		return nil, Restored{}, err
	}
	r.cfg.Log.Error("checkpoint set aside: the evidence begins anew", zap.String("file", damaged.File), zap.String("aside", damaged.Aside), zap.Error(bad))
	return r, Restored{Damaged: damaged}, nil
}

// badCheckpoint says what is wrong with a file.
type badCheckpoint struct {
	offset int64
	what   string
}

func (e *badCheckpoint) Error() string { return fmt.Sprintf("offset %d: %s", e.offset, e.what) }

// readCheckpoint reads a file that begins where f stands: once to see that it is
// whole, then for what it says.
func readCheckpoint(f io.ReadSeeker, cfg Config) (*run, Restored, error) {
	if err := readBlocks(f, true, func([]byte) error { return nil }); err != nil {
		return nil, Restored{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, Restored{}, err
	}
	var (
		r    *run
		thaw *heuristics.Thaw
		done Restored
	)
	err := readBlocks(f, false, func(b []byte) error {
		if thaw != nil {
			return thaw.Read(b)
		}
		var h checkpointHeader
		c := state.Reader(b)
		if h.code(c); c.Err() != nil {
			return c.Err()
		}
		cfg.Seed = h.seed
		var err error
		if r, err = newRun(cfg); err != nil {
			return err
		}
		done.Written, done.seq = time.Unix(0, h.written), h.seq
		thaw, err = r.join.lines.Thaw(c.Bytes(), func(n ident.Realm) (ident.Realm, bool) { return h.now(n, &cfg.Realms) }, r.join.sessions.Restore)
		return err
	})
	switch {
	case err == nil && thaw == nil:
		err = &badCheckpoint{10, "nothing in it"}
	case errors.Is(err, heuristics.ErrCheckpoint) || errors.Is(err, state.ErrBroken):
		err = &badCheckpoint{10, err.Error()}
	}
	if err != nil {
		return nil, Restored{}, err
	}
	thaw.End()
	done.Lines, done.Dropped, done.Catalogue = thaw.Lines, thaw.Dropped, thaw.Catalogue
	done.Same = thaw.Same()
	r.cfg.Log.Info("checkpoint restored", zap.Int("lines", done.Lines), zap.Int("dropped", done.Dropped), zap.String("catalogue", done.Catalogue), zap.Bool("same catalogue", done.Same))
	return r, done, nil
}

// readBlocks gives each block of a checkpoint; it is valid during the call.
func readBlocks(f io.Reader, check bool, each func([]byte) error) error {
	var sum hash.Hash
	in := &counted{r: bufio.NewReaderSize(io.LimitReader(f, maxCheckpoint+1), 1<<16)}
	src := io.Reader(in)
	if check {
		sum = sha256.New()
		src = io.TeeReader(in, sum)
	}
	bad := func(what string) error { return &badCheckpoint{in.n, what} }
	failed := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return bad("the file ends here")
		}
		return err
	}
	var head [10]byte
	if _, err := io.ReadFull(src, head[:]); err != nil {
		return failed(err)
	}
	if string(head[:8]) != checkpointMagic {
		return bad("not a checkpoint")
	}
	if v := binary.LittleEndian.Uint16(head[8:]); v != checkpointVersion {
		return bad(fmt.Sprintf("version %d, this program reads %d", v, checkpointVersion))
	}
	var block bytes.Buffer
	for {
		var h [8]byte
		if _, err := io.ReadFull(src, h[:]); err != nil {
			return failed(err)
		}
		n, want := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint32(h[4:])
		if n > maxBlock {
			return bad("a block longer than any")
		}
		// Room grows with what is there, whatever the length says.
		block.Reset()
		if got, err := io.CopyN(&block, src, int64(n)); got < int64(n) {
			return failed(err)
		}
		if crc32.Checksum(block.Bytes(), castagnoli) != want {
			return bad("a block's checksum is wrong")
		}
		if n == 0 {
			break
		}
		if err := each(block.Bytes()); err != nil {
			return err
		}
	}
	var got [sha256.Size]byte
	if _, err := io.ReadFull(in, got[:]); err != nil {
		return failed(err)
	}
	if check && !bytes.Equal(sum.Sum(nil), got[:]) {
		return bad("the checksum of the whole is wrong")
	}
	if _, err := in.Read(got[:1]); !errors.Is(err, io.EOF) {
		return bad("more after the end, or too much")
	}
	return nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// checkpointHeader is what stands before the lines' own header.
type checkpointHeader struct {
	seed    uint64
	written int64  // wall time
	seq     uint64 // frames so far, by whose numbers some are sampled
	realms  []string
}

func (h *checkpointHeader) code(c *state.Coder) {
	c.Word(&h.seed)
	state.Int(c, &h.written)
	state.Int(c, &h.seq)
	state.List(c, &h.realms, maxRealms, func(s *string) { c.Text(s, 4096) })
}

// now gives the number that a realm of the file has now.
func (h *checkpointHeader) now(r ident.Realm, realms *Realms) (ident.Realm, bool) {
	if r == 0 {
		return 0, true
	}
	if int(r) > len(h.realms) {
		return 0, false
	}
	for i, name := range realms.names {
		if name == h.realms[r-1] {
			return ident.Realm(i + 1), true
		}
	}
	return 0, false
}

// keeper writes checkpoints while the run goes on: a few lines after each epoch,
// and the file by a goroutine of its own.
type keeper struct {
	cfg     *Config
	taps    *taps
	lines   *heuristics.Lines
	asked   chan chan error    // whoever wants a checkpoint gives where it waits for the outcome
	frozen  *heuristics.Frozen // being written, or nil
	blocks  chan []byte
	written chan error // of the file at work, nil for none
	stepped time.Time
	over    chan struct{} // closed when the last one is written
	last    error         // of the last one, when over
	failed  atomic.Uint64
	left    atomic.Uint64
}

func newKeeper(cfg *Config, taps *taps, lines *heuristics.Lines) *keeper {
	return &keeper{cfg: cfg, taps: taps, lines: lines, asked: make(chan chan error), over: make(chan struct{})}
}

// Checkpoint writes the file that the configuration names and waits until it is
// in its place. It is for other goroutines than the one of Run, which writes a
// last one at its end; from then on this gives what came of that.
func (l *Live) Checkpoint(ctx context.Context) error {
	k := l.run.keeper
	if k == nil {
		return errors.New("no file for a checkpoint")
	}
	answer := make(chan error, 1)
	select {
	case k.asked <- answer:
	case <-k.over:
		return k.last
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer: // close finishes it as well
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin freezes the lines.
func (k *keeper) begin(answer chan<- error) {
	h := checkpointHeader{seed: k.cfg.Seed, written: time.Now().UnixNano(), seq: k.taps.seq, realms: k.cfg.Realms.names}
	c := state.Writer(nil)
	h.code(c)
	k.frozen = k.lines.Freeze()
	k.blocks, k.written = make(chan []byte, blocksWaiting), make(chan error, 1)
	k.blocks <- k.frozen.Header(c.Bytes())
	k.stepped = time.Now()
	blocks, written := k.blocks, k.written
	go func() {
		err := k.write(blocks)
		answer <- err
		written <- err
	}()
}

// step goes on with a checkpoint for a time, or begins one that was asked for.
// It never waits for the disk.
func (k *keeper) step() {
	if k == nil {
		return
	}
	if k.written != nil && k.frozen == nil {
		select {
		case <-k.written: // told by write
			k.written = nil
		default:
			return
		}
	}
	if k.frozen == nil {
		select {
		case answer := <-k.asked:
			k.begin(answer)
		default:
			return
		}
	}
	begun := time.Now()
	budget := min(max(begun.Sub(k.stepped)/5, stepTime), longestStep)
	for len(k.blocks) < cap(k.blocks) && k.hand() && time.Since(begun) < budget {
	}
	k.stepped = time.Now()
}

// hand hands on some lines and says whether there are more.
func (k *keeper) hand() bool {
	b, more := k.frozen.Append(nil)
	if len(b) > 0 {
		k.blocks <- b
	}
	if !more {
		close(k.blocks)
		k.frozen = nil
	}
	return more
}

// close writes a last checkpoint.
func (k *keeper) close() error {
	if k == nil {
		return nil
	}
	_ = k.finish() // whoever asked for it is told
	k.begin(make(chan error, 1))
	k.last = k.finish()
	close(k.over)
	return k.last
}

// finish brings the checkpoint that is being written to its end.
func (k *keeper) finish() error {
	for k.frozen != nil {
		k.hand()
	}
	if k.written == nil {
		return nil
	}
	err := <-k.written
	k.written = nil
	return err
}

// write puts the blocks into a file, and the file in its place. It takes all
// blocks, whatever happens.
func (k *keeper) write(blocks <-chan []byte) error {
	err := writeCheckpoint(k.cfg.Checkpoint, blocks, &k.left)
	for range blocks {
	}
	if err != nil {
		err = fmt.Errorf("checkpoint: %w", err)
		k.failed.Add(1)
		k.cfg.Log.Error("checkpoint not written", zap.Error(err))
	}
	return err
}

func writeCheckpoint(name string, blocks <-chan []byte, left *atomic.Uint64) (err error) {
	temporary := name + temporarySuffix
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(temporary)
		}
	}()
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	size := 0
	put := func(b []byte) {
		n, _ := out.Write(b) // the error stays and comes with Flush
		size += n
	}
	block := func(b []byte) {
		var h [8]byte
		binary.LittleEndian.PutUint32(h[:], uint32(len(b)))
		binary.LittleEndian.PutUint32(h[4:], crc32.Checksum(b, castagnoli))
		put(h[:])
		put(b)
	}
	put([]byte(checkpointMagic))
	put(binary.LittleEndian.AppendUint16(nil, checkpointVersion))
	for b := range blocks {
		if len(b) > maxBlock || size+len(b) > maxCheckpoint-1024 {
			left.Add(heuristics.LinesIn(b))
			continue
		}
		block(b)
	}
	block(nil)
	if err = out.Flush(); err != nil {
		return err
	}
	if _, err = f.Write(sum.Sum(nil)); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(temporary, name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
