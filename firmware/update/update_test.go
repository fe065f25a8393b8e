package update

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// key is a key for tests, the same for the same number.
func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func rootOf(sequence uint64) string { return fmt.Sprintf("%064x", sequence) }

// kernel gives a file for UEFI that has nothing but a command line.
func kernel(sequence uint64) []byte {
	line := "quiet simtrap.root=" + rootOf(sequence) + ":1 panic=10"
	b := make([]byte, 64)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[0x3c:], 64)
	b = append(b, "PE\x00\x00"...)
	b = le.AppendUint16(b, 0x8664)
	b = le.AppendUint16(b, 1) // sections
	b = append(b, make([]byte, 12)...)
	b = le.AppendUint16(b, 0) // no optional header
	b = le.AppendUint16(b, 0)
	section := make([]byte, 40)
	copy(section, ".cmdline")
	le.PutUint32(section[8:], uint32(len(line)))
	le.PutUint32(section[16:], uint32(len(line)))
	le.PutUint32(section[20:], uint32(len(b)+40))
	return append(append(b, section...), line...)
}

func system(sequence uint64) []byte {
	return bytes.Repeat([]byte(rootOf(sequence)), 100)
}

func release(sequence, floor uint64) Release {
	return Release{Version: fmt.Sprint("1.", sequence), Arch: "amd64", Sequence: sequence, Floor: floor}
}

func bundle(t rapid.TB, r Release, k ed25519.PrivateKey) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r, bytes.NewReader(kernel(r.Sequence)), bytes.NewReader(system(r.Sequence)), k); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBundle(t *testing.T) {
	good := bundle(t, release(7, 3), key(1))
	keys := []ed25519.PublicKey{public(key(2)), public(key(1))}
	b, err := Open(bytes.NewReader(good), keys)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(release(7, 3), b.Manifest.Release); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		text []byte
		keys []ed25519.PublicKey
		want error
	}{
		"nobody's key":   {good, nil, ErrSignature},
		"another's key":  {good, keys[:1], ErrSignature},
		"a short key":    {good, []ed25519.PublicKey{{1, 2}}, ErrSignature},
		"nothing":        {nil, keys, nil},
		"something else": {[]byte(strings.Repeat("x", 1000)), keys, nil},
		"cut off":        {good[:100], keys, nil},
		"a long one":     {append([]byte(magic), 0xff, 0xff, 0xff, 0xff), keys, nil},
	} {
		if _, err := Open(bytes.NewReader(c.text), c.keys); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Whatever bit of the signed part is turned, it is not taken.
	end := len(good) - len(kernel(7)) - len(system(7))
	for i := range end {
		other := slices.Clone(good)
		other[i] ^= 1
		if _, err := Open(bytes.NewReader(other), keys); err == nil {
			t.Fatalf("byte %d of %d is not looked at", i, end)
		}
	}
	for name, r := range map[string]Release{
		"a name for a path": {Version: "../x", Arch: "amd64", Sequence: 1},
		"no sequence":       {Version: "1", Arch: "amd64"},
		"its own floor":     {Version: "1", Arch: "amd64", Sequence: 1, Floor: 2},
	} {
		if err := Write(&bytes.Buffer{}, r, bytes.NewReader(kernel(1)), bytes.NewReader(system(1)), key(1)); err == nil {
			t.Errorf("%s: was written", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(bundle(f, release(7, 3), key(1)))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := Open(bytes.NewReader(text), []ed25519.PublicKey{public(key(1))})
		if err == nil && b.Manifest.check() != nil {
			t.Error("an impossible manifest was taken")
		}
	})
}

func FuzzCommandLine(f *testing.F) {
	f.Add(kernel(1))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "x.efi")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if line, err := commandLine(path); err == nil && len(line) > maxManifest {
			t.Errorf("%d bytes", len(line))
		}
	})
}

// box is an appliance in a folder: two slots, and a boot loader that does as
// systemd-boot does.
type box struct {
	folder  string
	running int // slot
	Machine
}

func newBox(t rapid.TB, folder string) *box {
	t.Helper()
	b := &box{folder: folder}
	for _, d := range []string{"entries", "state"} {
		must(t, os.MkdirAll(filepath.Join(folder, d), 0o700))
	}
	must(t, os.WriteFile(b.slot(0), system(10), 0o600))
	must(t, os.WriteFile(b.slot(1), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(folder, "entries", entryName(1, -1)), kernel(10), 0o600))
	b.boot(t)
	return b
}

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *box) slot(n int) string { return filepath.Join(b.folder, fmt.Sprint("slot", n)) }

// boot starts the machine as systemd-boot and the first program do, until a system
// comes up: the newest entry with tries left, counted down, in the slot that bears its
// hash.
func (b *box) boot(t rapid.TB) {
	t.Helper()
	for range 10 {
		list, err := Entries(filepath.Join(b.folder, "entries"))
		must(t, err)
		i := max(0, slices.IndexFunc(list, func(e Entry) bool { return e.Tries != 0 }))
		if len(list) == 0 {
			t.Fatal("nothing to start")
		}
		e := list[i]
		if e.Tries > 0 {
			e, err = Mark(e, e.Tries-1)
			must(t, err)
		}
		for n := range 2 {
			text, err := os.ReadFile(b.slot(n))
			must(t, err)
			var sequence uint64
			if len(text) < 64 {
				continue
			}
			_, err = fmt.Sscanf(string(text[:64]), "%x", &sequence)
			if err != nil || e.Root != rootOf(sequence) || !bytes.Equal(text[:min(len(text), len(system(sequence)))], system(sequence)) {
				continue
			}
			b.running = n
			b.Machine = Machine{Release: release(sequence, sequence/2), Root: e.Root, Entries: filepath.Join(b.folder, "entries"), Other: b.slot(1 - n),
				State: filepath.Join(b.folder, "state"), Keys: []ed25519.PublicKey{public(key(1))}}
			return
		}
	}
	t.Fatal("no slot bears what is started")
}

func TestUpdate(t *testing.T) {
	b := newBox(t, t.TempDir())
	if _, err := b.Install(bytes.NewReader(bundle(t, release(20, 10), key(1))), false, true); err != nil {
		t.Fatal(err)
	}
	b.boot(t)
	if b.Release.Sequence != 20 || b.running != 1 {
		t.Fatalf("sequence %d in slot %d runs", b.Release.Sequence, b.running)
	}
	p, f, err := b.Trial()
	if err != nil || f != nil || p == nil || p.From.Sequence != 10 || !p.Reported {
		t.Fatalf("%+v %+v %v", p, f, err)
	}
	// Nothing takes the place of the one of before until this one works.
	if _, err := b.Install(bytes.NewReader(bundle(t, release(30, 0), key(1))), false, true); !errors.Is(err, ErrTrial) {
		t.Errorf("installed on trial: %v", err)
	}
	must(t, b.Confirm())
	for range 2 * Tries {
		b.boot(t)
	}
	if p, f, err := b.Trial(); b.Release.Sequence != 20 || p != nil || f != nil || err != nil {
		t.Errorf("%d %+v %+v %v", b.Release.Sequence, p, f, err)
	}
	for sequence, want := range map[uint64]error{9: ErrFloor, 10: nil, 19: nil, 20: ErrRunning, 21: nil} {
		if err := b.Accepts(release(sequence, 0), false); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", sequence, err, want)
		}
	}
	if err := b.Accepts(Release{"1", "arm64", 30, 0}, true); !errors.Is(err, ErrArch) {
		t.Errorf("arm64: %v", err)
	}
	// A floor outlives the system that brought it.
	if _, err := b.Install(bytes.NewReader(bundle(t, release(11, 0), key(1))), false, false); err != nil {
		t.Fatal(err)
	}
	b.boot(t)
	must(t, b.Confirm())
	if _, err := b.Install(bytes.NewReader(bundle(t, release(9, 0), key(1))), false, false); b.Release.Sequence != 11 || !errors.Is(err, ErrFloor) {
		t.Errorf("%d: %v", b.Release.Sequence, err)
	}
}

// What the hub offers never makes a machine go back, though its floor allows it: not
// when a newer one that runs here is offered no more, and not when a bundle is older than
// the hub says.
func TestForward(t *testing.T) {
	b := newBox(t, t.TempDir())
	for sequence, want := range map[uint64]error{4: ErrFloor, 5: ErrOlder, 9: ErrOlder, 10: ErrRunning, 11: nil} {
		b.Forward = true
		if err := b.Accepts(release(sequence, 0), false); !errors.Is(err, want) || err != nil && want == nil {
			t.Errorf("%d: %v, want %v", sequence, err, want)
		}
		b.Forward = false
		if err := b.Accepts(release(sequence, 0), false); errors.Is(err, ErrOlder) {
			t.Errorf("%d is refused to whoever chose it: %v", sequence, err)
		}
	}
	b.Forward = true
	if _, err := b.Install(bytes.NewReader(bundle(t, release(9, 0), key(1))), false, true); !errors.Is(err, ErrOlder) {
		t.Errorf("installed: %v", err)
	}
	if files, _ := os.ReadDir(b.Entries); len(files) != 1 {
		t.Errorf("%d entries", len(files))
	}
}

// A floor that the power cut spoilt is read from its copy and never falls; where nothing
// of it can be read nothing is installed, and what helps is said.
func TestSpoiltFloor(t *testing.T) {
	b := newBox(t, t.TempDir())
	if _, err := b.Install(bytes.NewReader(bundle(t, release(20, 15), key(1))), false, true); err != nil {
		t.Fatal(err)
	}
	b.boot(t)
	must(t, b.Confirm())
	b.Release.Floor = 0 // as if a system ran that brings none
	const gone = "gone"
	for _, c := range []struct {
		first, second string
		want          uint64 // 0 for a failure
	}{
		{"15", "15", 15}, {"", "15", 15}, {"15", "", 15}, {gone, "15", 15}, {"15", gone, 15}, {"\x00\x00", "15", 15}, {"1", "15", 15}, {"15", "1", 15},
		{"", "", 0}, {"", gone, 0}, {gone, "{", 0}, {"-1", "x", 0},
	} {
		for name, text := range map[string]string{floorFile: c.first, floorCopy: c.second} {
			path := filepath.Join(b.State, name)
			if text == gone {
				if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := b.Floor()
		switch {
		case c.want == 0:
			if err == nil || !strings.Contains(err.Error(), filepath.Join(b.State, floorFile)) || !strings.Contains(err.Error(), "what runs has 20") {
				t.Errorf("%q, %q: %d, %v", c.first, c.second, got, err)
			}
			if err := b.Accepts(release(30, 0), false); err == nil {
				t.Errorf("%q, %q: an update is taken", c.first, c.second)
			}
		case err != nil || got != c.want:
			t.Errorf("%q, %q: %d, %v, want %d", c.first, c.second, got, err, c.want)
		default:
			// The next that works mends both.
			must(t, b.Confirm())
			for _, name := range []string{floorFile, floorCopy} {
				if text, err := os.ReadFile(filepath.Join(b.State, name)); err != nil || string(text) != "15" {
					t.Errorf("%q, %q: %s has %q, %v", c.first, c.second, name, text, err)
				}
			}
		}
	}
}

// What is damaged or signed by someone else leaves the machine as it is.
func TestRefused(t *testing.T) {
	good := bundle(t, release(20, 0), key(1))
	for name, text := range map[string][]byte{
		"another's":   bundle(t, release(20, 0), key(2)),
		"kernel":      turned(good, len(good)-len(system(20))-10),
		"system":      turned(good, len(good)-10),
		"short":       good[:len(good)-1],
		"not a thing": []byte("x"),
	} {
		b := newBox(t, t.TempDir())
		if _, err := b.Install(bytes.NewReader(text), false, false); err == nil {
			t.Errorf("%s: installed", name)
		}
		if files, _ := os.ReadDir(b.Entries); len(files) != 1 {
			t.Errorf("%s: %d files are left", name, len(files))
		}
		b.boot(t)
		if b.Release.Sequence != 10 {
			t.Errorf("%s: %d runs", name, b.Release.Sequence)
		}
	}
}

func turned(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

// A system that does not come up is started three times, then the one of before is.
func TestRollback(t *testing.T) {
	for _, says := range []bool{false, true} {
		b := newBox(t, t.TempDir())
		if _, err := b.Install(bytes.NewReader(bundle(t, release(20, 20), key(1))), false, false); err != nil {
			t.Fatal(err)
		}
		if says {
			b.boot(t)
			must(t, b.GiveUp("it sees nothing"))
		} else {
			for range Tries {
				if b.boot(t); b.Release.Sequence != 20 {
					t.Fatalf("%d runs", b.Release.Sequence)
				}
			}
		}
		b.boot(t)
		p, f, err := b.Trial()
		if err != nil || p != nil || f == nil || f.Release.Sequence != 20 || b.Release.Sequence != 10 || strings.Contains(f.Why, "sees nothing") != says {
			t.Fatalf("%d runs: %+v %+v %v", b.Release.Sequence, p, f, err)
		}
		if err := b.Accepts(release(20, 20), false); !errors.Is(err, ErrFailed) {
			t.Errorf("it is tried again: %v", err)
		}
		if err := b.Accepts(release(20, 20), true); err != nil {
			t.Errorf("it cannot be tried again: %v", err)
		}
		if err := b.Accepts(release(10, 0), true); !errors.Is(err, ErrRunning) {
			t.Errorf("the floor rose with one that did not work: %v", err)
		}
		if err := b.GiveUp("no reason"); !errors.Is(err, ErrAlone) {
			t.Errorf("the last one was given up: %v", err)
		}
		for range 3 {
			b.boot(t)
		}
	}
}

// One that works and whose slot is spoilt makes way for the one of before, where there is
// one; on trial it is left to the boot loader.
func TestSpoilt(t *testing.T) {
	b := newBox(t, t.TempDir())
	if err := b.Spoilt(); !errors.Is(err, ErrAlone) {
		t.Errorf("the only one: %v", err)
	}
	if _, err := b.Install(bytes.NewReader(bundle(t, release(20, 0), key(1))), false, false); err != nil {
		t.Fatal(err)
	}
	b.boot(t)
	must(t, b.Spoilt())
	if e, err := b.Running(); err != nil || e.Tries != Tries-1 {
		t.Errorf("on trial: %+v %v", e, err)
	}
	must(t, b.Confirm())
	must(t, b.Spoilt())
	if b.boot(t); b.Release.Sequence != 10 {
		t.Fatalf("%d runs", b.Release.Sequence)
	}
	if err := b.Spoilt(); !errors.Is(err, ErrAlone) {
		t.Errorf("the last one: %v", err)
	}
	if _, err := b.Install(bytes.NewReader(bundle(t, release(20, 0), key(1))), false, false); err != nil {
		t.Errorf("it cannot be installed again: %v", err)
	}
}

var errCut = errors.New("the power is gone")

// cutReader ends after so many bytes.
type cutReader struct {
	r    *bytes.Reader
	left int
}

func (c *cutReader) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, errCut
	}
	n, err := c.r.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// Updates, starts, failures and power cuts in any order: a system always comes up, and
// never one below the floor that was in force.
func TestAnyOrder(t *testing.T) {
	// Each step waits for the disk; here it is about the order alone.
	memory := "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		memory = t.TempDir()
	}
	rapid.Check(t, func(t *rapid.T) {
		folder, err := os.MkdirTemp(memory, "update")
		must(t, err)
		defer os.RemoveAll(folder)
		b := newBox(t, folder)
		sequence := uint64(10)
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) { b.boot(t) },
			"update": func(t *rapid.T) {
				sequence += 10
				text := bundle(t, release(sequence, sequence/2), key(1))
				cut := rapid.SampledFrom([]string{"", "bytes", "cleared", "kernel", "system", "pending", "entry"}).Draw(t, "cut")
				r := &cutReader{bytes.NewReader(text), len(text)}
				if cut == "bytes" {
					r.left = rapid.IntRange(0, len(text)).Draw(t, "at")
				}
				b.Reached = func(step string) error {
					if step == cut {
						return errCut
					}
					return nil
				}
				_, err := b.Install(r, false, false)
				if err == nil && cut != "" && cut != "bytes" {
					t.Fatalf("not cut at %s", cut)
				}
				b.boot(t)
			},
			"judge": func(t *rapid.T) {
				p, _, err := b.Trial()
				must(t, err)
				if p != nil && rapid.Bool().Draw(t, "bad") {
					must(t, b.GiveUp("it sees nothing"))
					b.boot(t)
					return
				}
				must(t, b.Confirm())
			},
			"": func(t *rapid.T) {
				floor, err := b.Floor()
				must(t, err)
				if b.Release.Sequence < floor {
					t.Fatalf("%d runs, the floor is %d", b.Release.Sequence, floor)
				}
			},
		})
	})
}

// TestOldByChoice: the old system, started from the menu while an update has its tries,
// is found healthy, as every start is; the update is on trial all the same.
func TestOldByChoice(t *testing.T) {
	b := newBox(t, t.TempDir())
	old := b.Machine
	if _, err := b.Install(bytes.NewReader(bundle(t, release(20, 20), key(1))), false, true); err != nil {
		t.Fatal(err)
	}
	b.Machine = old
	if p, f, err := b.Trial(); p != nil || f != nil || err != nil {
		t.Fatal(p, f, err)
	}
	must(t, b.Confirm()) // what appliance healthy() does of a start that is no trial
	b.boot(t)
	p, _, err := b.Trial()
	if b.Release.Sequence != 20 || p == nil {
		t.Errorf("%d runs, trial %v %v: nobody judges it", b.Release.Sequence, p, err)
	}
	// It does not come up: no failure is told of, and a stick installs it again and again.
	for range Tries - 1 {
		b.boot(t)
	}
	b.boot(t)
	_, f, err := b.Trial()
	if b.Release.Sequence != 10 || f == nil {
		t.Errorf("%d runs, failure %v %v", b.Release.Sequence, f, err)
	}
	if err := b.Accepts(release(20, 20), false); err == nil {
		t.Error("it is installed again by the next start")
	}
}
