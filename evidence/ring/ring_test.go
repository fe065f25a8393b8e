package ring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"simtrap/capture"
	"simtrap/ident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func line(n byte) ident.Line {
	return ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, n})}
}

func lineNamed(name string) (ident.Line, bool) {
	var n byte
	_, err := fmt.Sscanf(name, "203.0.113.%d", &n)
	return line(n), err == nil
}

// clock is one that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	c.t = c.t.Add(d)
	c.mu.Unlock()
}

func options(folder string) Options {
	return Options{Folder: folder, Limit: 1 << 20, PerLine: 256 << 10, Age: time.Hour, Line: lineNamed}
}

// tester is testing's and rapid's.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

func opened(t tester, o Options) *Ring {
	t.Helper()
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func add(r *Ring, l ident.Line, at int64, data string) {
	r.Add(l, &capture.Frame{Time: at, Wire: 1500, Link: capture.LinkEthernet, Port: 3}, []byte(data))
}

// got reads the frames of a line between two times.
func got(t tester, r *Ring, name string, from, until int64, key *PrivateKey) (out []string) {
	t.Helper()
	for _, s := range r.Segments(name, from, until) {
		f, err := r.Open(s)
		if err != nil {
			t.Fatal(err)
		}
		x, err := NewReader(f, key)
		if err != nil {
			t.Fatal(err)
		}
		if x.Head.Line != name {
			t.Fatalf("segment of %q", x.Head.Line)
		}
		n := 0
		for {
			fr, data, err := x.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if fr.Wire != 1500 || fr.Link != capture.LinkEthernet || fr.Port != 3 || int(fr.Len) != len(data) {
				t.Fatalf("frame %+v", fr)
			}
			n++
			out = append(out, fmt.Sprint(fr.Time, " ", string(data)))
		}
		if n != s.Frames {
			t.Errorf("%d frames, told were %d", n, s.Frames)
		}
		f.Close()
	}
	return out
}

func keys(t testing.TB) (*PrivateKey, *PublicKey) {
	t.Helper()
	private, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := k.Public().Encode(); err != nil || !bytes.Equal(b, public) {
		t.Errorf("%s, %v", b, err)
	}
	if _, err := ParsePublicKey(private); err == nil {
		t.Error("a private key is taken for a public one")
	}
	if _, err := ParsePrivateKey(public); err == nil {
		t.Error("a public key is taken for a private one")
	}
	return k, p
}

// What was given is there again, after a restart too, with and without a key; with one
// nothing of it stands in the files, and no other key reads them.
func TestKeeps(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprint(encrypted), func(t *testing.T) {
			o := options(t.TempDir())
			var key *PrivateKey
			if encrypted {
				key, o.Key = keys(t)
			}
			r := opened(t, o)
			add(r, line(7), 1, "before it was followed")
			r.Follow(line(7), "203.0.113.7", 1)
			r.Follow(line(8), "203.0.113.8", 1)
			var want []string
			for i := range int64(100) {
				add(r, line(7), 1000+i, fmt.Sprint("headersof7-", i))
				add(r, line(8), 1000+i, "other")
				want = append(want, fmt.Sprint(1000+i, " headersof7-", i))
			}
			if d := cmp.Diff(want, got(t, r, "203.0.113.7", 0, 1<<60, key)); d != "" {
				t.Error(d)
			}
			r.Leave(line(7))
			add(r, line(7), 2000, "after it was left")
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			readable := false
			for _, b := range contents(t, o.Folder) {
				readable = readable || strings.Contains(b, "headersof7")
			}
			if readable == encrypted {
				t.Errorf("to be read in a file: %v", readable)
			}
			r = opened(t, o)
			if r.Wants(line(7)) || !r.Wants(line(8)) || !r.Follows() {
				t.Error("who is followed has not outlived the restart")
			}
			add(r, line(8), 3000, "later")
			if d := cmp.Diff(want, got(t, r, "203.0.113.7", 1005, 1010, key)); d != "" { // whole segments
				t.Error(d)
			}
			if n := len(got(t, r, "203.0.113.8", 0, 1<<60, key)); n != 101 {
				t.Errorf("%d of the other", n)
			}
			if l := got(t, r, "203.0.113.8", 2500, 1<<60, key); len(l) != 1 || l[0] != "3000 later" {
				t.Error(l)
			}
			if l := r.Segments("203.0.113.7", 2000, 1<<60); len(l) > 0 {
				t.Error(l)
			}
			if encrypted {
				other, _ := keys(t)
				f, err := r.Open(r.Segments("203.0.113.7", 0, 1<<60)[0])
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				b, _ := io.ReadAll(f)
				if _, err := NewReader(bytes.NewReader(b), nil); !errors.Is(err, ErrKey) {
					t.Error(err)
				}
				x, err := NewReader(bytes.NewReader(b), other)
				if err == nil {
					_, _, err = x.Next()
				}
				if !errors.Is(err, ErrDamaged) {
					t.Error(err)
				}
			}
			s := r.Stats()
			if s.Lines != 1 || s.Frames != 1 || s.Lost+s.Failed+s.Damaged != 0 {
				t.Errorf("%+v", s)
			}
			r.Close()
		})
	}
}

func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", e.Name(), info.Mode())
		}
		all[e.Name()] = string(b)
	}
	return all
}

// However much comes, there are no more bytes than may be, of one line and of all, and
// the newest are those that stay.
func TestBounds(t *testing.T) {
	o := options(t.TempDir())
	o.Limit, o.PerLine = 512<<10, 200<<10
	r := opened(t, o)
	defer r.Close()
	data := strings.Repeat("x", 1000)
	for n := range byte(4) {
		r.Follow(line(n), fmt.Sprintf("203.0.113.%d", n), 1)
	}
	at := int64(0)
	for range 20 {
		for n := range byte(4) {
			for range 50 {
				at++
				add(r, line(n), at, data)
			}
			r.Segments("203.0.113.0", 0, 0) // what waits is taken
		}
	}
	last := got(t, r, "203.0.113.3", 0, 1<<60, nil)
	s := r.Stats()
	if s.Bytes > o.Limit || s.Evicted == 0 || s.Lost > 0 || s.Lines != 4 {
		t.Errorf("%+v", s)
	}
	total := int64(0)
	for name, b := range contents(t, o.Folder) {
		if strings.HasSuffix(name, suffix) {
			total += int64(len(b))
		}
	}
	if total != s.Bytes {
		t.Errorf("%d bytes, told %d", total, s.Bytes)
	}
	if n := len(last); n == 0 || n > 210 || !strings.HasPrefix(last[n-1], fmt.Sprint(at)) {
		t.Errorf("%d frames of the last line", n)
	}
}

// With as many lines as may be, the least suspect makes room for one that is more
// suspect, and for no other; what was on its way is written all the same.
func TestLines(t *testing.T) {
	o := options(t.TempDir())
	o.Lines = 2
	r := opened(t, o)
	defer r.Close()
	r.Follow(line(1), "203.0.113.1", 2)
	r.Follow(line(2), "203.0.113.2", 1)
	add(r, line(2), 5, "x")
	r.Follow(line(3), "203.0.113.3", 1)
	if r.Wants(line(3)) || !r.Wants(line(2)) {
		t.Error("one of the same rank made room")
	}
	r.Follow(line(3), "203.0.113.3", 3)
	if !r.Wants(line(3)) || r.Wants(line(2)) || !r.Wants(line(1)) {
		t.Error("the least suspect made no room")
	}
	if l := got(t, r, "203.0.113.2", 0, 10, nil); len(l) != 1 {
		t.Error(l)
	}
	if s := r.Stats(); s.Left != 2 || s.Lines != 2 {
		t.Errorf("%+v", s)
	}
}

// What is older than may be goes, and so do lines of which nothing is told any more.
func TestAge(t *testing.T) {
	c := &clock{t: time.Now()}
	o := options(t.TempDir())
	o.Now = c.now
	r := opened(t, o)
	defer r.Close()
	r.Follow(line(1), "203.0.113.1", 1)
	add(r, line(1), 1, "old")
	if n := len(r.Segments("203.0.113.1", 0, 10)); n != 1 {
		t.Fatal(n)
	}
	c.move(40 * time.Minute)
	add(r, line(1), 2, "new")
	if n := len(r.Segments("203.0.113.1", 0, 10)); n != 2 { // a file is not written to for ever
		t.Fatal(n)
	}
	c.move(30 * time.Minute)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if s := r.Stats(); s.Aged == 1 && s.Segments == 1 && s.Lines == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", r.Stats())
		}
	}
	if l := got(t, r, "203.0.113.1", 0, 10, nil); len(l) != 1 || l[0] != "2 new" {
		t.Error(l)
	}
}

// A file that is cut anywhere gives what stands whole before the cut; one in which a
// byte is another is set aside, or told when it is read, and never gives another frame.
func TestDamage(t *testing.T) {
	folder := t.TempDir()
	r := opened(t, options(folder))
	r.Follow(line(1), "203.0.113.1", 1)
	for i := range int64(3) {
		add(r, line(1), 1+i, fmt.Sprint("frame ", i))
		r.Segments("203.0.113.1", 0, 10) // a block each
	}
	r.Close()
	name := filepath.Join(folder, fmt.Sprintf("%020d%s", 1, suffix))
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"1 frame 0", "2 frame 1", "3 frame 2"}
	read := func(r *Ring) (out []string, failed bool) {
		for _, s := range r.Segments("203.0.113.1", 0, 1<<62) {
			f, err := r.Open(s)
			if err != nil {
				t.Fatal(err)
			}
			x, err := NewReader(f, nil)
			for err == nil {
				var fr capture.Frame
				var data []byte
				if fr, data, err = x.Next(); err == nil {
					out = append(out, fmt.Sprint(fr.Time, " ", string(data)))
				}
			}
			f.Close()
			if !errors.Is(err, io.EOF) {
				if !errors.Is(err, ErrDamaged) {
					t.Fatal(err)
				}
				failed = true
				r.Aside(s, err)
			}
		}
		return out, failed
	}
	try := func(b []byte) (out []string, failed bool, s Stats) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := opened(t, options(dir))
		defer r.Close()
		out, failed = read(r)
		return out, failed, r.Stats()
	}
	for n := range len(whole) {
		out, failed, s := try(whole[:n])
		if failed || len(out) == 3 || len(out) > 0 && cmp.Diff(all[:len(out)], out) != "" || s.Damaged > 0 && len(out) > 0 {
			t.Fatalf("cut at %d: %v, %v, %+v", n, out, failed, s)
		}
	}
	for n := range len(whole) {
		b := bytes.Clone(whole)
		b[n] ^= 0x10
		out, failed, s := try(b)
		// A length that is another may look like a block that was cut.
		if cmp.Diff(all[:min(len(out), 3)], out) != "" && len(out) > 0 || len(out) == 3 || !failed && s.Damaged == 0 && len(out) == 3 {
			t.Fatalf("byte %d: %v, %v, %+v", n, out, failed, s)
		}
		if failed && s.Damaged != 1 {
			t.Fatalf("byte %d: not set aside: %+v", n, s)
		}
	}
	dir := t.TempDir()
	for i := range 20 {
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d%s", i+1, suffix)), []byte("nothing of the kind"), 0o600)
	}
	r = opened(t, options(dir))
	defer r.Close()
	if s := r.Stats(); s.Damaged != 20 || s.Removed != 20-maxDamaged || s.Segments != 0 {
		t.Errorf("%+v", s)
	}
	if n := len(contents(t, dir)); n != maxDamaged {
		t.Errorf("%d files are left", n)
	}
}

// A ring that cannot write counts what it loses, and goes on when it can.
func TestDiskFails(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "ring"))
	r := opened(t, o)
	defer r.Close()
	r.Follow(line(1), "203.0.113.1", 1)
	if err := os.RemoveAll(o.Folder); err != nil {
		t.Fatal(err)
	}
	add(r, line(1), 1, "x")
	if l := r.Segments("203.0.113.1", 0, 10); len(l) > 0 {
		t.Error(l)
	}
	if s := r.Stats(); s.Failed != 1 || s.Frames != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		t.Fatal(err)
	}
	add(r, line(1), 2, "y")
	if l := got(t, r, "203.0.113.1", 0, 10, nil); len(l) != 1 || l[0] != "2 y" {
		t.Error(l)
	}
}

// disk is a file system of a size, of which a folder has a part.
type disk struct {
	t      *testing.T
	folder string
	mu     sync.Mutex
	size   int64
}

func (d *disk) free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list, err := os.ReadDir(d.folder)
	left := d.size
	for _, e := range list {
		if info, err := e.Info(); err == nil {
			left -= info.Size()
		}
	}
	return left, err
}

func (d *disk) set(size int64) {
	d.mu.Lock()
	d.size = size
	d.mu.Unlock()
}

// Headers leave room for others: the oldest go for it, those that are there too when
// others take room, and with none nothing is written until there is some again.
func TestReserve(t *testing.T) {
	o := options(t.TempDir())
	d := &disk{t: t, folder: o.Folder, size: 600 << 10}
	o.Reserve, o.Free = 200<<10, d.free
	r := opened(t, o)
	defer r.Close()
	data := strings.Repeat("x", 1000)
	at := int64(0)
	fill := func(frames int) {
		for range frames {
			at++
			n := byte(at / 100 % 8)
			add(r, line(n), at, data)
			if at%50 == 0 {
				r.Segments(fmt.Sprintf("203.0.113.%d", n), 0, 0) // what waits is taken
			}
		}
	}
	for n := range byte(8) {
		r.Follow(line(n), fmt.Sprintf("203.0.113.%d", n), 1)
	}
	fill(1600)
	if free, _ := d.free(); free < o.Reserve || r.Stats().Evicted == 0 || r.Stats().Failed > 0 || r.Stats().Bytes < 250<<10 {
		t.Errorf("%d bytes are free, %+v", free, r.Stats())
	}
	for n := range 8 {
		r.Segments(fmt.Sprintf("203.0.113.%d", n), 0, 0) // nothing waits
	}
	d.set(300 << 10) // nothing comes, and others take room
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if free, _ := d.free(); free >= o.Reserve {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", r.Stats())
		}
	}
	d.set(100 << 10)
	fill(100)
	if s := r.Stats(); s.Failed == 0 || s.Bytes > 0 {
		t.Errorf("%+v", s)
	}
	d.set(1 << 20)
	failed := r.Stats().Failed
	fill(100)
	if s := r.Stats(); s.Failed > failed+50 || s.Bytes == 0 {
		t.Errorf("%+v after %d", s, failed)
	}
}

// Room that is made for a block may cost the very file that it was to go to: it goes to
// another.
func TestRoomTakesTheOpenFile(t *testing.T) {
	o := options(t.TempDir())
	o.Limit = 256 << 10
	r := opened(t, o)
	defer r.Close()
	// A file that is small and the oldest, and then others until the ring is full.
	r.Follow(line(1), "203.0.113.1", 1)
	add(r, line(1), 1, "first")
	r.Segments("203.0.113.1", 0, 0)
	data := strings.Repeat("x", 1000)
	r.Follow(line(2), "203.0.113.2", 1)
	for i := range int64(230) {
		add(r, line(2), 2+i, data)
		if i%20 == 0 {
			r.Segments("203.0.113.2", 0, 0)
		}
	}
	for i := range int64(60) {
		add(r, line(1), 1000+i, data)
	}
	if l := got(t, r, "203.0.113.1", 1000, 1<<60, nil); len(l) != 60 && len(l) != 61 {
		t.Errorf("%d frames", len(l))
	}
	if s := r.Stats(); s.Failed > 0 || s.Evicted == 0 {
		t.Errorf("%+v", s)
	}
}

// However little a line may have, its newest file stays.
func TestLeastOfALine(t *testing.T) {
	o := options(t.TempDir())
	o.PerLine = leastBytes
	r := opened(t, o)
	defer r.Close()
	r.Follow(line(1), "203.0.113.1", 1)
	data := strings.Repeat("x", 1000)
	for i := range int64(1000) {
		add(r, line(1), i+1, data)
		if i%16 == 0 {
			if l := got(t, r, "203.0.113.1", 0, 1<<60, nil); len(l) == 0 || !strings.HasPrefix(l[len(l)-1], fmt.Sprint(i+1, " ")) {
				t.Fatalf("%d frames are there after %d, without the newest", len(l), i+1)
			}
		}
	}
	if s := r.Stats(); s.Bytes > o.PerLine+2*mostWrite {
		t.Errorf("%+v", s)
	}
}

// A file that cannot be read keeps nobody from the others, nor from writing.
func TestUnreadable(t *testing.T) {
	folder, err := os.MkdirTemp("", "ring")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	o := options(folder)
	r := opened(t, o)
	for n := range byte(2) {
		r.Follow(line(n), fmt.Sprintf("203.0.113.%d", n), 1)
		add(r, line(n), 1, "old")
		r.Segments(fmt.Sprintf("203.0.113.%d", n), 0, 0)
	}
	r.Close()
	file := func(n int) string { return filepath.Join(folder, fmt.Sprintf("%020d%s", n, suffix)) }
	if err := errors.Join(os.Chmod(file(1), 0o644), os.Chmod(file(2), 0), os.Chmod(folder, 0o777), os.Chmod(filepath.Join(folder, linesFile), 0o644)); err != nil {
		t.Fatal(err)
	}
	opening := make(chan error)
	go func() {
		// The thread is one that root has no rights in, and ends with the goroutine.
		runtime.LockOSThread()
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0); e != 0 {
			opening <- e
			return
		}
		var err error
		r, err = Open(o)
		opening <- err
	}()
	if err := <-opening; err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if s := r.Stats(); s.Damaged != 1 || s.Segments != 1 {
		t.Errorf("%+v", s)
	}
	r.Follow(line(3), "203.0.113.3", 1)
	add(r, line(3), 2, "new")
	if l := got(t, r, "203.0.113.3", 0, 10, nil); len(l) != 1 || r.Stats().Failed > 0 {
		t.Error(l, r.Stats())
	}
}

// What lines have in memory is bounded, of all and of those that were busy once.
func TestBuffers(t *testing.T) {
	o := options(t.TempDir())
	o.Limit, o.PerLine = 1<<30, 1<<28
	r := &Ring{o: o, ofLine: make(map[string]int64), pending: make(map[*followed]bool), next: 1}
	r.o.Now, r.o.Log = time.Now, zap.NewNop()
	list := make(map[ident.Line]*followed)
	r.list.Store(&list)
	most := 0
	for i := range 1000 {
		l := ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, byte(i >> 8), byte(i)})}
		list[l] = &followed{line: l, name: fmt.Sprint(i), rank: 1}
		for n := range int64(30) {
			r.take(frame{to: list[l], f: capture.Frame{Time: n + 1}, data: make([]byte, 1000)})
		}
		waiting := 0
		for f := range r.pending {
			waiting += len(f.buf)
		}
		if most = max(most, waiting); waiting != r.buffered {
			t.Fatalf("%d bytes wait, counted are %d", waiting, r.buffered)
		}
	}
	if most > maxBuffered || most < maxBuffered/2 {
		t.Errorf("%d bytes waited", most)
	}
	for f := range r.pending {
		r.flush(f)
	}
	for _, f := range list {
		if cap(f.buf) > keptBuffer {
			t.Fatalf("a buffer of %d bytes is kept", cap(f.buf))
		}
	}
	if r.buffered != 0 || r.frames.Load() != 30_000 {
		t.Errorf("%d bytes wait, %d frames are written", r.buffered, r.frames.Load())
	}
}

// A full file fits into a part of what a hub asks for at once.
func TestFullFile(t *testing.T) {
	r := &Ring{o: Options{Limit: 1 << 40, PerLine: 1 << 40}}
	if n := r.segmentSize() + mostWrite; n > 4<<20 {
		t.Errorf("a full file may have %d bytes", n)
	}
}

// What waits of a line that was left and is followed again is written in its order.
func TestLeftAndFollowed(t *testing.T) {
	for range 32 { // a map's order is drawn
		r := opened(t, options(t.TempDir()))
		var want []string
		for at := range int64(4) {
			r.Follow(line(0), "203.0.113.0", 1)
			add(r, line(0), at, "x")
			r.Leave(line(0))
			want = append(want, fmt.Sprint(at, " x"))
		}
		if d := cmp.Diff(want, got(t, r, "203.0.113.0", 0, 1<<60, nil)); d != "" {
			t.Fatal(d)
		}
		r.Close()
	}
}

// The state of a ring is what a list of the same frames would be, cut to its bounds.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		folder, err := os.MkdirTemp("", "ring")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(folder)
		o := options(folder)
		o.Lines = 3
		r := opened(t, o)
		defer func() { r.Close() }()
		model, follows := map[byte][]string{}, map[byte]bool{}
		at := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"follow": func(t *rapid.T) {
				n := rapid.ByteRange(0, 2).Draw(t, "line")
				r.Follow(line(n), fmt.Sprintf("203.0.113.%d", n), rapid.IntRange(1, 3).Draw(t, "rank"))
				follows[n] = true
			},
			"leave": func(t *rapid.T) {
				n := rapid.ByteRange(0, 2).Draw(t, "line")
				r.Leave(line(n))
				delete(follows, n)
			},
			"add": func(t *rapid.T) {
				n := rapid.ByteRange(0, 2).Draw(t, "line")
				at++
				data := strings.Repeat("d", rapid.IntRange(0, 300).Draw(t, "bytes"))
				add(r, line(n), at, data)
				if follows[n] {
					model[n] = append(model[n], fmt.Sprint(at, " ", data))
				}
			},
			"restart": func(t *rapid.T) {
				r.Close()
				r = opened(t, o)
			},
			"": func(t *rapid.T) {
				for n := range byte(3) {
					if r.Wants(line(n)) != follows[n] {
						t.Fatalf("line %d is followed: %v", n, !follows[n])
					}
				}
				n := rapid.ByteRange(0, 2).Draw(t, "look")
				list := got(t, r, fmt.Sprintf("203.0.113.%d", n), 0, 1<<60, nil)
				if d := cmp.Diff(model[n], list); d != "" {
					t.Fatal(d)
				}
			},
		})
	})
}

func BenchmarkAdd(b *testing.B) {
	for _, encrypted := range []bool{false, true} {
		b.Run(fmt.Sprint(encrypted), func(b *testing.B) {
			o := options(b.TempDir())
			o.Limit, o.PerLine = 1<<30, 1<<28
			if encrypted {
				_, o.Key = keys(b)
			}
			r := opened(b, o)
			for n := range byte(100) {
				r.Follow(line(n), fmt.Sprintf("203.0.113.%d", n), 1)
			}
			f := &capture.Frame{Wire: 214, Link: capture.LinkEthernet}
			data := make([]byte, 54)
			for i := 0; b.Loop(); i++ {
				r.Add(line(byte(i%100)), f, data)
			}
			r.Close()
			b.ReportMetric(100*float64(r.Stats().Lost)/float64(b.N), "%lost")
		})
	}
}

// FuzzReader: whatever a segment says, reading it ends, within bounds.
func FuzzReader(f *testing.F) {
	folder := f.TempDir()
	for _, encrypted := range []bool{false, true} {
		o := options(filepath.Join(folder, fmt.Sprint(encrypted)))
		if encrypted {
			_, o.Key = keys(f)
		}
		r, err := Open(o)
		if err != nil {
			f.Fatal(err)
		}
		r.Follow(line(1), "203.0.113.1", 1)
		for i := range int64(3) {
			add(r, line(1), 1+i, fmt.Sprint("frame ", i))
		}
		r.Close()
		b, err := os.ReadFile(filepath.Join(o.Folder, fmt.Sprintf("%020d%s", 1, suffix)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	private, _, err := GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	key, err := ParsePrivateKey(private)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := NewReader(bytes.NewReader(b), key)
		if err != nil {
			return
		}
		n := 0
		for {
			_, data, err := x.Next()
			if err != nil {
				break
			}
			if n += recordHead + len(data); n > len(b) {
				t.Fatalf("%d bytes of frames in %d", n, len(b))
			}
		}
	})
}
