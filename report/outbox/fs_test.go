package outbox

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// memFS is a file system in memory that can lose its power: then of what was
// not synced, files and names, any part may be kept. It can refuse its n-th
// operation and fill up.
type memFS struct {
	mu      sync.Mutex
	names   map[string]*inode
	durable map[string]*inode
	journal []nameOp // since the last SyncDir
	boot    int
	locked  map[string]bool
	down    bool
	free    int64 // 0: no end; what all files together may take

	gen    int // of the process; what an earlier one opened is of no use
	downAt int // before this operation the process or the power goes, 0 for never

	op     int // operations so far
	failAt int // this operation fails with fail, 0 for none
	until  int // and all to this one
	fail   error
	failed int
}

type nameOp struct {
	name string
	node *inode // nil: removed
	from string // renamed from
}

type inode struct {
	data    []byte
	durable []byte
	journal []dataOp
}

type dataOp struct {
	at       int64
	data     []byte
	truncate bool
}

func newMemFS() *memFS {
	return &memFS{names: map[string]*inode{}, durable: map[string]*inode{}, locked: map[string]bool{}}
}

var errDown = errors.New("the power is off")

func (m *memFS) step(writes bool) error {
	if m.down {
		return errDown
	}
	if !writes {
		return nil
	}
	m.op++
	if m.downAt > 0 && m.op >= m.downAt {
		m.down = true
		return errDown
	}
	if m.failAt > 0 && m.op >= m.failAt && m.op <= max(m.until, m.failAt) {
		m.failed++
		return m.fail
	}
	return nil
}

func (m *memFS) used() int64 {
	var n int64
	for _, f := range m.names {
		n += int64(len(f.data))
	}
	return n
}

func (m *memFS) MkdirAll(string) error { return nil }

func (m *memFS) OpenFile(name string, flag int) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(flag&os.O_CREATE != 0); err != nil {
		return nil, err
	}
	f := m.names[name]
	if f == nil {
		if flag&os.O_CREATE == 0 {
			return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
		}
		f = &inode{}
		m.names[name] = f
		m.journal = append(m.journal, nameOp{name: name, node: f})
	}
	if flag&os.O_TRUNC != 0 && len(f.data) > 0 {
		f.data = nil
		f.journal = append(f.journal, dataOp{truncate: true})
	}
	return &memFile{fs: m, node: f, gen: m.gen}, nil
}

func (m *memFS) ReadDir(string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.names {
		names = append(names, filepath.Base(name))
	}
	slices.Sort(names)
	return names, m.step(false)
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(true); err != nil {
		return err
	}
	f := m.names[from]
	if f == nil {
		return os.ErrNotExist
	}
	delete(m.names, from)
	m.names[to] = f
	m.journal = append(m.journal, nameOp{name: to, node: f, from: from})
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(true); err != nil {
		return err
	}
	if m.names[name] == nil {
		return os.ErrNotExist
	}
	delete(m.names, name)
	m.journal = append(m.journal, nameOp{name: name})
	return nil
}

func (m *memFS) SyncDir(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(true); err != nil {
		return err
	}
	m.apply(m.journal)
	m.journal = nil
	return nil
}

func (m *memFS) apply(ops []nameOp) {
	for _, op := range ops {
		if op.from != "" {
			delete(m.durable, op.from)
		}
		if op.node == nil {
			delete(m.durable, op.name)
		} else {
			m.durable[op.name] = op.node
		}
	}
}

func (m *memFS) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.free == 0 {
		return 1 << 40, m.step(false)
	}
	return max(m.free-m.used(), 0), m.step(false)
}

type memLock struct {
	fs   *memFS
	name string
}

func (l memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locked, l.name)
	return nil
}

func (m *memFS) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked[name] {
		return nil, ErrLocked
	}
	m.locked[name] = true
	return memLock{m, name}, nil
}

func (m *memFS) Boot() string { return fmt.Sprint(m.boot) }

// kill ends the process: everything written stays.
func (m *memFS) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gen++
	m.down, m.downAt = false, 0
	clear(m.locked)
}

// cut cuts the power: what was not synced is kept as r decides, operation by
// operation, and of one write perhaps only a part. Without r nothing is kept.
func (m *memFS) cut(r *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kept []nameOp
	for _, op := range m.journal {
		if r != nil && r.IntN(2) == 0 {
			kept = append(kept, op)
		}
	}
	m.apply(kept)
	m.journal = nil
	m.names = map[string]*inode{}
	for _, name := range slices.Sorted(maps.Keys(m.durable)) {
		f := m.durable[name]
		prefix, n := true, 0
		if r != nil {
			prefix, n = r.IntN(2) == 0, r.IntN(len(f.journal)+1) // else any of them
		}
		data := slices.Clone(f.durable)
		for i, op := range f.journal {
			if prefix && i >= n || !prefix && r.IntN(2) == 0 {
				continue
			}
			if !op.truncate && r.IntN(3) == 0 {
				op.data = op.data[:r.IntN(len(op.data)+1)]
			}
			data = op.apply(data)
		}
		fresh := &inode{data: data, durable: slices.Clone(data)}
		m.names[name] = fresh
	}
	m.durable = map[string]*inode{}
	for name, f := range m.names {
		m.durable[name] = f
	}
	m.boot++
	m.gen++
	m.down, m.downAt = false, 0
	clear(m.locked)
}

func (op dataOp) apply(data []byte) []byte {
	if op.truncate {
		if int64(len(data)) > op.at {
			return data[:op.at]
		}
		return append(data, make([]byte, op.at-int64(len(data)))...)
	}
	if end := op.at + int64(len(op.data)); int64(len(data)) < end && len(op.data) > 0 {
		data = append(data, make([]byte, end-int64(len(data)))...)
	}
	copy(data[min(op.at, int64(len(data))):], op.data)
	return data
}

type memFile struct {
	fs     *memFS
	node   *inode
	gen    int
	closed bool
}

func (f *memFile) step(writes bool) error {
	if f.closed {
		return os.ErrClosed
	}
	if f.gen != f.fs.gen {
		return errDown
	}
	return f.fs.step(writes)
}

func (f *memFile) ReadAt(p []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.step(false); err != nil {
		return 0, err
	}
	if at >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n := len(p)
	err := f.step(true)
	if err != nil {
		if f.closed || f.gen != f.fs.gen {
			return 0, err
		}
		n /= 2 // a part of it is written
	} else if grow := at + int64(n) - int64(len(f.node.data)); f.fs.free > 0 && grow > f.fs.free-f.fs.used() && grow > 0 {
		n, err = max(0, n-int(grow-max(f.fs.free-f.fs.used(), 0))), syscall.ENOSPC
	}
	op := dataOp{at: at, data: slices.Clone(p[:n])}
	f.node.data = op.apply(f.node.data)
	f.node.journal = append(f.node.journal, op)
	return n, err
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), f.step(false)
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.step(true); err != nil {
		return err
	}
	op := dataOp{at: size, truncate: true}
	f.node.data = op.apply(f.node.data)
	f.node.journal = append(f.node.journal, op)
	return nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.step(true); err != nil {
		return err
	}
	f.node.durable = slices.Clone(f.node.data)
	f.node.journal = nil
	return nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return os.ErrClosed
	}
	f.closed = true
	return nil
}
