// Package evidence writes what a case rests on in a form that others can read:
// captures of suspect lines without what their packets carry.
package evidence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/packet"
)

// MaxLines is how many lines are cut at once.
const MaxLines = 256

// Options of a Cutter.
type Options struct {
	Homes  *ident.Homes            // as in the run that named the lines
	Locate func(*packet.Packet)    // sets realm and line of a decoded packet, as the run did; may be nil
	Name   func(ident.Line) string // of a line, for its file; may be nil
	// Authority permits SIP messages to be written; without one a packet ends
	// behind its UDP or TCP header, or, with Names, behind a message that is
	// written anew with their pseudonyms.
	Authority   string
	Names       *ident.Pseudonymizer
	Version     string
	First, Last int64 // times of the input's first and last frame, 0 where not known
	// Times are those of a line that are cut, of lines that are not cut
	// throughout: at others its address was another subscriber's.
	Times map[ident.Line][]Span
	Force bool // replace files that are there
}

// Span is from the first time to the last, both within.
type Span struct{ From, To int64 }

// Counters tells what became of the packets of the lines.
type Counters struct {
	Packets   uint64 // written, once for each line they belong to
	Messages  uint64 // of those, with their SIP message, under authority
	Rewritten uint64 // of those, with a SIP message written anew
	Fragments uint64 // of those, fragments of datagrams
	Outer     uint64 // fragments of tunnels, left out: whose packet is inside shows in the whole only
	Others    uint64 // packets of lines at times that are not theirs, left out
	Unplaced  uint64 // packets left out: where their headers end is not known
}

// Cutter writes the packets of lines, one capture for each line. What a packet
// carries is left out: of RTP the header stays (twelve bytes, and the words
// that count its extensions), of SIP the message if an authority permits it or
// else what a rewriter makes of it, of all else nothing behind the UDP or TCP header. The length that the packet
// had stays in its record.
//
// Of a SIP message a body stays only if it is a session description: others
// are texts of people or keys they pressed. Credentials are blotted out. A
// message on TCP stays as far as the segment that begins it goes.
type Cutter struct {
	Trimmer
	lines map[ident.Line]*target
	order []*target
}

type target struct {
	path  string
	file  *os.File
	w     *PacketWriter
	times []Span // nil for all
}

// at says whether the line's packets of a time are cut.
func (t *target) at(ns int64) bool {
	return t.times == nil || slices.ContainsFunc(t.times, func(s Span) bool { return s.From <= ns && ns <= s.To })
}

// FileName is the name of a line's capture: what file systems do not take in
// names is replaced.
func FileName(name string) string {
	return strings.NewReplacer("/", "_", ":", "-", `\`, "_", "\x00", "_").Replace(name) + ".pcapng"
}

// NewCutter makes a file in dir for each line; if one cannot be made, none is
// left. Lines that occur twice, and those beyond MaxLines, have none.
func NewCutter(dir string, lines []ident.Line, o Options) (*Cutter, error) {
	if o.Name == nil {
		o.Name = ident.Line.String
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &Cutter{Trimmer: Trimmer{o: o}, lines: make(map[ident.Line]*target)}
	taken := make(map[string]bool, len(lines))
	for _, l := range lines {
		if c.lines[l] != nil || len(c.lines) == MaxLines {
			continue
		}
		name := o.Name(l)
		path := filepath.Join(dir, FileName(name))
		for n := 2; taken[path]; n++ { // of two realms whose names differ in what was replaced
			path = filepath.Join(dir, FileName(fmt.Sprintf("%s-%d", name, n)))
		}
		taken[path] = true
		f, err := create(path, o.Force)
		if err != nil {
			c.Abort()
			if errors.Is(err, fs.ErrExist) {
				return nil, fmt.Errorf("%s is there already: name another folder, or replace it with --force", path)
			}
			return nil, err
		}
		t := &target{path, f, NewPacketWriter(f, "simtrap "+o.Version, c.comment(l)), o.Times[l]}
		c.lines[l] = t
		c.order = append(c.order, t)
	}
	return c, nil
}

// create makes a file that was not there. What is to be replaced is removed
// first and not written into: it may be a link to something else, or be read by
// others than its owner.
func create(path string, force bool) (*os.File, error) {
	if info, err := os.Lstat(path); force && err == nil && !info.IsDir() {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// comment says what a capture is. It has the times of the input and not that of
// the run, so that the same input gives the same file.
func (c *Cutter) comment(l ident.Line) string {
	utc := func(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
	text := fmt.Sprintf("simtrap %s: packets of line %s without what they carry", c.o.Version, c.o.Name(l))
	if c.o.First != 0 || c.o.Last != 0 { // who cuts while reading does not know them
		text += fmt.Sprintf(", cut from a capture of %s to %s", utc(c.o.First), utc(c.o.Last))
	}
	if c.o.Times[l] != nil {
		text += ", at the times of its findings only"
	}
	switch {
	case c.o.Authority == "" && c.o.Names != nil:
		return text + "; no authority: SIP messages are written anew, with pseudonyms"
	case c.o.Authority == "":
		return text + "; no authority: no SIP message is in it"
	}
	return text + "; SIP messages in clear under authority: " + c.o.Authority
}

// Lines is how many lines have a file.
func (c *Cutter) Lines() int { return len(c.order) }

// Batch writes what a batch has of the lines.
func (c *Cutter) Batch(b *capture.Batch) {
	for i := range b.Frames {
		c.frame(&b.Frames[i], b.Data(i))
	}
}

func (c *Cutter) frame(f *capture.Frame, data []byte) {
	from, to, ok := c.Frame(f, data)
	if !ok {
		return
	}
	src, dst := c.lines[from], c.lines[to]
	if src == nil && dst == nil {
		if c.kind == packet.Fragment && tunnelled(c.packet.Frag.Proto) {
			c.Counters.Outer++
		}
		return
	}
	for _, t := range [...]**target{&src, &dst} {
		if *t != nil && !(*t).at(f.Time) {
			*t = nil
			c.Counters.Others++
		}
	}
	if src == nil && dst == nil {
		return
	}
	out, ok := c.Trim(data)
	if !ok {
		return
	}
	if src != nil {
		src.w.Packet(f, out)
		c.Counters.Packets++
	}
	if dst != nil && dst != src {
		dst.w.Packet(f, out)
		c.Counters.Packets++
	}
}

// Close ends the files. After an error none is left.
func (c *Cutter) Close() error {
	var errs []error
	for _, t := range c.order {
		errs = append(errs, t.w.Flush())
	}
	if err := errors.Join(errs...); err != nil {
		c.Abort()
		return err
	}
	for _, t := range c.order {
		errs = append(errs, t.file.Close())
	}
	return errors.Join(errs...)
}

// Abort removes the files.
func (c *Cutter) Abort() {
	for _, t := range c.order {
		t.file.Close()
		os.Remove(t.path)
	}
}
