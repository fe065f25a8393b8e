package update

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// More reasons why a bundle is not taken.
var (
	ErrRunning = errors.New("it is what runs already")
	ErrFailed  = errors.New("it was tried before and did not work")
	ErrTrial   = errors.New("what runs has not shown yet that it works: another system is not put in the place of the one of before")
	ErrArch    = errors.New("it is for another architecture")
	ErrOlder   = errors.New("it is older than what runs, and nobody is here who chose to go back")
)

// Machine is an appliance as seen by updates.
type Machine struct {
	Release Release             // what runs
	Root    string              // hash of its system
	Entries string              // folder of the files that systemd-boot starts
	Other   string              // the slot that does not run: a device or file
	State   string              // folder of what outlives a restart
	Keys    []ed25519.PublicKey // of which one must have signed
	// Forward takes only what is newer than what runs: for bundles that nobody at the
	// machine chose. Else a newer one that is offered no more would let the one before it,
	// which still is, take its place.
	Forward bool

	// Reached, if any, is told the name of each step of an installation: cleared, kernel,
	// system, pending, entry. An error ends the work there, as when the power is cut.
	Reached func(step string) error
}

// Files in State.
const (
	pendingFile = "update-pending"
	failedFile  = "update-failed"
	floorFile   = "update-floor"
	floorCopy   = "update-floor.copy" // the same again, for when the power cut spoilt the other
)

// Pending is an update that is installed and has not shown yet that it works.
type Pending struct {
	From Release `json:"from"`
	To   Release `json:"to"`
	// Root is the hash of the new system.
	Root string `json:"root"`
	// Reported says that reports reached the hub before.
	Reported bool `json:"reported"`
}

// Failure is the last update that did not work.
type Failure struct {
	Release Release `json:"release"`
	Why     string  `json:"why"`
}

// Floor is the least sequence that may be installed. It is kept twice, and the higher of
// what can be read counts: a floor that was reached is never below. Where nothing of what
// was kept can be read nothing says how high it was, and it fails.
func (m *Machine) Floor() (uint64, error) {
	floor := m.Release.Floor
	var spoilt error
	read := false
	for _, name := range []string{floorFile, floorCopy} {
		var kept uint64
		switch err := m.read(name, &kept); {
		case err == nil:
			floor, read = max(floor, kept), true
		case !errors.Is(err, fs.ErrNotExist):
			spoilt = errors.Join(spoilt, err)
		}
	}
	if spoilt != nil && !read {
		return 0, fmt.Errorf("which updates are too old cannot be read: %w: write the sequence of the newest system that ran well here into %s, digits alone (what runs has %d)",
			spoilt, filepath.Join(m.State, floorFile), m.Release.Sequence)
	}
	return floor, nil
}

// Failed gives the last update that did not work, or nil.
func (m *Machine) Failed() *Failure {
	var f Failure
	if m.read(failedFile, &f) != nil {
		return nil
	}
	return &f
}

// Running finds the entry that was started.
func (m *Machine) Running() (Entry, error) {
	list, err := Entries(m.Entries)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range list {
		if e.Root != "" && e.Root == m.Root {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("none of %d files in %s starts what runs", len(list), m.Entries)
}

// Accepts says whether a bundle may be installed: whether it is for this machine, not
// what runs, not below the floor, with Forward not older than what runs, and, unless it
// is meant to be tried again, not one that failed.
func (m *Machine) Accepts(to Release, again bool) error {
	floor, err := m.Floor()
	if err != nil {
		return err
	}
	failed := m.Failed()
	switch {
	case to.Arch != m.Release.Arch:
		return fmt.Errorf("%w: %s", ErrArch, to.Arch)
	case to.Sequence == m.Release.Sequence:
		return ErrRunning
	case to.Sequence < floor:
		return fmt.Errorf("%w: sequence %d, the floor is %d", ErrFloor, to.Sequence, floor)
	case m.Forward && to.Sequence < m.Release.Sequence:
		return fmt.Errorf("%w: sequence %d, what runs has %d", ErrOlder, to.Sequence, m.Release.Sequence)
	case failed != nil && failed.Release.Sequence == to.Sequence && !again:
		return fmt.Errorf("%w: %s", ErrFailed, failed.Why)
	}
	return nil
}

// Install puts a bundle into the slot that does not run, so that the next start tries
// it. At whatever moment it is cut off, the next start has a whole system: what runs is
// never touched, and the entry of the new one appears last and at once.
func (m *Machine) Install(r io.Reader, again, reported bool) (Release, error) {
	b, err := Open(r, m.Keys)
	if err != nil {
		return Release{}, err
	}
	to := b.Manifest.Release
	if err := m.Accepts(to, again); err != nil {
		return to, err
	}
	running, err := m.Running()
	if err != nil {
		return to, err
	}
	if !running.Good() {
		return to, ErrTrial
	}
	// The other slot's entries go first: what it holds is about to be no system.
	generation, err := m.clear(running)
	if err != nil {
		return to, err
	}
	if err := m.step("cleared"); err != nil {
		return to, err
	}
	kernel := filepath.Join(m.Entries, newKernel)
	if err := put(kernel, os.O_CREATE|os.O_TRUNC, b.part(b.Manifest.Kernel)); err != nil {
		return to, errors.Join(fmt.Errorf("kernel: %w", err), os.Remove(kernel))
	}
	if err := m.step("kernel"); err != nil {
		return to, err
	}
	line, err := commandLine(kernel)
	root := Root(line)
	if err != nil || root == "" || root == m.Root {
		return to, errors.Join(fmt.Errorf("kernel: it does not say which system it starts: %w", errors.Join(err, ErrDamaged)), os.Remove(kernel))
	}
	if err := put(m.Other, 0, b.part(b.Manifest.System)); err != nil {
		return to, errors.Join(fmt.Errorf("system: %w", err), os.Remove(kernel))
	}
	if err := m.step("system"); err != nil {
		return to, err
	}
	if err := m.write(pendingFile, Pending{From: m.Release, To: to, Root: root, Reported: reported}); err != nil {
		return to, err
	}
	if err := m.step("pending"); err != nil {
		return to, err
	}
	if err := rename(kernel, filepath.Join(m.Entries, entryName(generation, Tries))); err != nil {
		return to, err
	}
	return to, m.step("entry")
}

// newKernel is no name that systemd-boot takes.
const newKernel = "update.new"

// clear removes the entries but the running one, and gives the next generation.
func (m *Machine) clear(running Entry) (uint64, error) {
	list, err := Entries(m.Entries)
	if err != nil {
		return 0, err
	}
	next := running.Generation + 1
	for _, e := range list {
		next = max(next, e.Generation+1)
		if e.Path == running.Path {
			continue
		}
		if err := os.Remove(e.Path); err != nil {
			return 0, err
		}
	}
	return next, syncFolder(m.Entries)
}

// put writes a file and has it on the disk before it returns.
func put(path string, flags int, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|flags, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, from, make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close())
}

// Trial gives the update that runs to be judged, or nil. When an update is pending and
// another system runs, it did not work or was cut off: that is kept as a Failure, and
// given.
func (m *Machine) Trial() (*Pending, *Failure, error) {
	var p Pending
	switch err := m.read(pendingFile, &p); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case err != nil:
		// What cannot be read tells nothing, and must not stand in the way for good.
		return nil, nil, errors.Join(err, m.remove(pendingFile))
	case p.Root == m.Root:
		return &p, nil, nil
	}
	list, err := Entries(m.Entries)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(list, func(e Entry) bool { return e.Root == p.Root })
	if i < 0 {
		return nil, nil, m.remove(pendingFile) // cut off before the new entry was there
	}
	if list[i].Tries != 0 {
		// It has tries left, and is started next; this start was of someone's choice.
		return nil, nil, nil
	}
	f := &Failure{p.To, "it did not start, or did not come so far as to say why"}
	if was := m.Failed(); was != nil && was.Release.Sequence == p.To.Sequence {
		f = was
	} else if err := m.write(failedFile, f); err != nil {
		return nil, f, err
	}
	return nil, f, m.remove(pendingFile)
}

// Confirm says that what runs works: systemd-boot need not count its starts any more,
// and the floor rises to its own.
func (m *Machine) Confirm() error {
	e, err := m.Running()
	if err != nil {
		return err
	}
	floor, err := m.Floor()
	if err != nil {
		return err
	}
	if _, err := Mark(e, -1); err != nil {
		return err
	}
	// One after the other: whenever the power is cut, one of them is whole.
	for _, name := range []string{floorFile, floorCopy} {
		if err := m.write(name, floor); err != nil {
			return err
		}
	}
	var f Failure
	if m.read(failedFile, &f) == nil && f.Release.Sequence == m.Release.Sequence {
		if err := m.remove(failedFile); err != nil {
			return err
		}
	}
	var p Pending
	if m.read(pendingFile, &p) == nil && p.Root != e.Root {
		list, err := Entries(m.Entries)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(x Entry) bool { return x.Root == p.Root && x.Tries > 0 }) {
			return nil // the old system, started by choice: the new one is on trial still
		}
	}
	return m.remove(pendingFile)
}

// ErrAlone: there is no other system to go to.
var ErrAlone = errors.New("the other slot has no system that works")

// GiveUp takes what runs out of use, so that the next start is of the other slot, and
// keeps why. It fails with ErrAlone, and changes nothing, where that slot has none that
// has worked.
func (m *Machine) GiveUp(why string) error {
	running, err := m.Running()
	if err != nil {
		return err
	}
	list, err := Entries(m.Entries)
	if err != nil {
		return err
	}
	if !hasOther(list, running) {
		return ErrAlone
	}
	if err := m.write(failedFile, Failure{m.Release, why}); err != nil {
		return err
	}
	_, err = Mark(running, 0)
	return err
}

// hasOther says whether there is a system that has worked besides one.
func hasOther(list []Entry, than Entry) bool {
	return slices.ContainsFunc(list, func(e Entry) bool { return e.Path != than.Path && e.Good() && e.Root != "" })
}

// Spoilt takes a system out of use whose slot does not hold it any more, by its hash, so
// that the next start is of the other slot. It fails with ErrAlone where that has none
// that has worked. One that is on trial is left alone: the boot loader counts its starts.
func (m *Machine) Spoilt() error {
	running, err := m.Running()
	if err != nil || !running.Good() {
		return err
	}
	list, err := Entries(m.Entries)
	if err != nil {
		return err
	}
	if !hasOther(list, running) {
		return ErrAlone
	}
	_, err = Mark(running, 0)
	return err
}

func (m *Machine) step(name string) error {
	if m.Reached == nil {
		return nil
	}
	return m.Reached(name)
}

// maxState is more than any of the files in State, in bytes.
const maxState = 64 << 10

func (m *Machine) read(name string, v any) error {
	f, err := os.Open(filepath.Join(m.State, name))
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// write replaces a file so that the old or the new one is there, whatever happens.
func (m *Machine) write(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := filepath.Join(m.State, name)
	if err := put(path+".new", os.O_CREATE|os.O_TRUNC, strings.NewReader(string(text))); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFolder(m.State)
}

func (m *Machine) remove(name string) error {
	if err := os.Remove(filepath.Join(m.State, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(m.State)
}
