package bundles

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"simtrap/evidence"
	"simtrap/evidence/bundle"
	"simtrap/evidence/ring"
	"simtrap/hub/store"
	"simtrap/report"
	"simtrap/report/fleetpb"
	"simtrap/report/reportpb"
)

// work is one bundle in the making.
type work struct {
	m     *Maker
	e     store.Evidence
	lines []line
	left  Left
	taken map[string]bool // names of captures
}

// line is what came of one.
type line struct {
	capture     *os.File
	name        string // of its part
	files       int
	bytes       int64
	hash        string // over all files in a row
	frames      int
	first, last int64
	unread      []string // why files could not be read to their end
	summary     *fleetpb.HeadersSummary
}

// maxUnread is how many of them are told.
const maxUnread = 100

func (w *work) close() {
	for _, l := range w.lines {
		l.capture.Close()
	}
}

// scratch makes a file without a name.
func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "simtrap-evidence-*") // mode 0600
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// of is what pseudonyms are of: those of two cases never compare.
func (w *work) of() string {
	if !w.e.Case.IsZero() {
		return "evidence of case " + w.e.Case.String()
	}
	return "evidence under " + w.e.Authority
}

// part reads what came of one line.
func (w *work) part(ctx context.Context, i int) error {
	p := &w.e.Parts[i]
	l := line{name: w.captureName(i, p), summary: &fleetpb.HeadersSummary{}}
	if err := proto.Unmarshal(p.Summary, l.summary); err != nil {
		l.unread = append(l.unread, "the sensor's summary")
	}
	var err error
	if l.capture, err = scratch(); err != nil {
		return err
	}
	w.lines = append(w.lines, line{capture: l.capture}) // closed whatever comes
	comment := fmt.Sprintf("headers of packets of line %s, kept by sensor %s and fetched under authority: %s; SIP messages are written anew, with pseudonyms", p.Name, p.Sensor, w.e.Authority)
	cut := ring.NewRecutter(l.capture, "simtrap-hub "+w.m.o.Version, comment, w.m.o.Key(w.of()))
	sum := sha256.New()
	from, until := int64(0), int64(math.MaxInt64)
	if !w.e.From.IsZero() {
		from = w.e.From.UnixNano()
	}
	if !w.e.Until.IsZero() {
		until = w.e.Until.UnixNano()
	}
	s := &stream{ctx: ctx, store: w.m.o.Store, part: p.ID, pieces: p.Pieces}
	for s.file() {
		l.files++
		in := io.TeeReader(s, sum)
		bad := func(what string) {
			if len(l.unread) < maxUnread {
				l.unread = append(l.unread, fmt.Sprintf("file %d: %s", l.files, what))
			}
		}
		r, err := ring.NewReader(in, w.m.o.Headers)
		switch {
		case err == nil && r.Head.Line != p.Name:
			bad("of another line")
		case err == nil:
			err = cut.Segment(r, from, until)
			if r.Torn {
				bad("ends within a block")
			}
		}
		switch {
		case errors.Is(err, ring.ErrDamaged), errors.Is(err, ring.ErrKey):
			bad(err.Error())
		case err != nil:
			return err
		}
		if _, err := io.Copy(io.Discard, in); err != nil { // all of it is hashed
			return err
		}
		if s.cut {
			bad("came in part only")
		}
	}
	if s.err != nil {
		return s.err
	}
	if err := cut.Flush(); err != nil {
		return err
	}
	l.bytes, l.hash = s.bytes, hex.EncodeToString(sum.Sum(nil))
	l.frames, l.first, l.last = cut.Frames, cut.First, cut.Last
	w.lines[len(w.lines)-1] = l
	return nil
}

// captureName gives a name for a line's capture that no other of the bundle has: of what
// a name of a line may hold not all can stand in that of a file.
func (w *work) captureName(i int, p *store.EvidencePart) string {
	name := partCaptures + strings.Map(func(r rune) rune {
		if bundle.ValidName(string(r)) || r == '.' {
			return r
		}
		return '_'
	}, p.Sensor+"_"+evidence.FileName(p.Name))
	if w.taken[name] || !bundle.ValidName(name) {
		name = fmt.Sprintf("%s%d.pcapng", partCaptures, i+1)
	}
	w.taken[name] = true
	return name
}

// stream reads the files that an answer's pieces make.
type stream struct {
	ctx    context.Context
	store  Store
	part   store.ID
	next   uint64
	pieces uint64
	data   []byte
	ended  bool // the present file has
	cut    bool // it ended before its end
	bytes  int64
	err    error
}

// file goes on to the next file, if there is one.
func (s *stream) file() bool {
	s.ended, s.cut = false, false
	for len(s.data) == 0 {
		if s.err != nil || !s.piece() {
			return false
		}
		if len(s.data) == 0 {
			s.ended = false // a piece of nothing ends nothing
		}
	}
	return true
}

// piece reads the next one.
func (s *stream) piece() bool {
	if s.next >= s.pieces {
		return false
	}
	s.data, s.ended, s.err = s.store.EvidencePieceOf(s.ctx, s.part, s.next)
	s.next++
	return s.err == nil
}

// Read implements io.Reader; io.EOF is the end of the present file.
func (s *stream) Read(b []byte) (int, error) {
	for len(s.data) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if !s.piece() {
			s.cut, s.ended = true, true
			if s.err != nil {
				return 0, s.err
			}
			return 0, io.EOF
		}
	}
	n := copy(b, s.data)
	s.data = s.data[n:]
	s.bytes += int64(n)
	return n, nil
}

func utc(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// write packs the bundle as the next of the chain. It fails with store.ErrConflict when
// another was written down meanwhile.
func (w *work) write(ctx context.Context, findings []*reportpb.Finding) (*os.File, error) {
	last, err := w.m.o.Store.LastBundle(ctx)
	if err != nil {
		return nil, err
	}
	m := bundle.Manifest{
		Made: w.m.o.Now().UTC().Format(time.RFC3339Nano), Authority: w.e.Authority, Program: w.m.program,
		Clock: bundle.Clock{Capture: "of the sensors, each its own; the hub compares them with its clock", Making: "of the hub"},
		Chain: bundle.Chain{Number: int64(last.Number) + 1},
	}
	if !w.e.Case.IsZero() {
		m.Case = w.e.Case.String()
	}
	if last.Number > 0 {
		m.Chain.Previous = hex.EncodeToString(last.Hash[:])
	}
	var first, end int64
	for i, l := range w.lines {
		p := &w.e.Parts[i]
		if !slices.Contains(m.Lines, p.Name) {
			m.Lines = append(m.Lines, p.Name)
		}
		m.Inputs = append(m.Inputs, bundle.Input{Name: fmt.Sprintf("%d files of sensor %s about line %s", l.files, p.Sensor, p.Name), Bytes: l.bytes, SHA256: l.hash})
		if l.frames > 0 {
			if first == 0 || l.first < first {
				first = l.first
			}
			end = max(end, l.last)
		}
	}
	if end > 0 {
		m.Clock.First, m.Clock.Last = utc(first), utc(end)
	}
	configuration, err := w.configuration()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(configuration)
	m.Configuration = hex.EncodeToString(sum[:])
	reading, err := w.reading()
	if err != nil {
		return nil, err
	}
	var rows []byte
	for _, f := range findings {
		rows = append(report.AppendMessage(rows, f), '\n')
	}
	parts := []bundle.Part{bundle.Bytes(PartConfiguration, configuration), bundle.Bytes(PartFindings, rows), bundle.Bytes(PartReading, reading)}
	pages, err := w.pages(&m, findings)
	if err != nil {
		return nil, err
	}
	parts = append(parts, pages...)
	for _, l := range w.lines {
		info, err := l.capture.Stat()
		if err != nil {
			return nil, err
		}
		parts = append(parts, bundle.Part{Name: l.name, Size: info.Size(), Data: l.capture})
	}
	f, err := scratch()
	if err != nil {
		return nil, err
	}
	hash, err := bundle.Write(ctx, f, m, parts, w.m.o.Sign, w.m.stamper())
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = w.m.o.Store.AddBundle(ctx, store.Bundle{Number: uint64(m.Chain.Number), Evidence: w.e.ID, Made: w.m.o.Now(), Hash: hash})
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// pages gives the report for paper in each language.
func (w *work) pages(m *bundle.Manifest, findings []*reportpb.Finding) ([]bundle.Part, error) {
	d := &report.Dossier{
		Case: m.Case, Authority: m.Authority, Made: w.m.o.Now().UnixNano(), Messages: findings, Summary: &report.Summary{},
		Origin: report.Origin{
			Program: m.Program.Version, ProgramHash: m.Program.SHA256, Configuration: m.Configuration, CaptureClock: m.Clock.Capture, MakingClock: m.Clock.Making,
			Signer: bundle.Fingerprint(w.m.o.Sign.Public().(ed25519.PublicKey)), Number: m.Chain.Number, Previous: m.Chain.Previous,
		},
	}
	for _, l := range w.lines {
		if l.frames == 0 {
			continue
		}
		if d.Summary.Frames == 0 || l.first < d.Summary.First {
			d.Summary.First = l.first
		}
		d.Summary.Last = max(d.Summary.Last, l.last)
		d.Summary.Frames += uint64(l.frames)
	}
	for _, in := range m.Inputs {
		d.Origin.Inputs = append(d.Origin.Inputs, report.Source{Name: in.Name, Size: in.Bytes, Hash: in.SHA256})
	}
	var parts []bundle.Part
	for _, page := range []struct {
		name string
		lang report.Language
	}{{PartEnglish, report.English}, {PartChinese, report.Chinese}} {
		var b bytes.Buffer
		if err := report.WriteDossier(&b, d, report.Options{Language: page.lang}); err != nil {
			return nil, err
		}
		parts = append(parts, bundle.Bytes(page.name, b.Bytes()))
	}
	return parts, nil
}

// word gives a state as people write it.
func word(s store.EvidenceState) string {
	switch s {
	case store.EvidenceWaiting:
		return "waiting"
	case store.EvidenceComing:
		return "in part"
	case store.EvidenceDone:
		return "done"
	case store.EvidenceRefused:
		return "refused"
	}
	return "unknown"
}

// configuration is what was asked, and under what conditions the sensors kept what they
// sent.
func (w *work) configuration() ([]byte, error) {
	parts := []any{}
	for i, l := range w.lines {
		p := &w.e.Parts[i]
		ports := []any{}
		for _, x := range l.summary.GetPorts() {
			ports = append(ports, map[string]any{"name": report.Plain(x.GetName()), "mode": report.Plain(x.GetMode())})
		}
		parts = append(parts, map[string]any{"line": p.Name, "sensor": p.Sensor, "version": report.Plain(l.summary.GetVersion()), "ports": ports})
	}
	span := map[string]any{}
	if !w.e.From.IsZero() {
		span["from"] = utc(w.e.From.UnixNano())
	}
	if !w.e.Until.IsZero() {
		span["until"] = utc(w.e.Until.UnixNano())
	}
	return bundle.Canonical(map[string]any{
		"account": w.e.Account, "asked": w.e.Made.UTC().Format(time.RFC3339Nano), "evidence": w.e.ID.String(), "authority": w.e.Authority, "span": span, "parts": parts,
		"identities": "pseudonyms: those in the captures of this case, those in the findings of the hub; addresses of the lines are in clear",
	})
}

// reading tells what came, and everything that was passed over.
func (w *work) reading() ([]byte, error) {
	parts := []any{}
	for i, l := range w.lines {
		p := &w.e.Parts[i]
		lost := []any{}
		for _, x := range l.summary.GetLost() {
			lost = append(lost, map[string]any{"reason": report.Plain(x.GetReason()), "count": bounded(x.GetCount())})
		}
		unread := []any{}
		for _, s := range l.unread {
			unread = append(unread, s)
		}
		parts = append(parts, map[string]any{
			"line": p.Name, "sensor": p.Sensor, "state": word(p.State), "refused": report.Plain(p.Reason), "capture": l.name,
			"files": int64(l.files), "bytes": l.bytes, "frames": int64(l.frames), "frames_told": bounded(l.summary.GetFrames()), "files_left_out": bounded(l.summary.GetLeftOut()),
			"not_kept_since_start": lost, "unread": unread,
		})
	}
	return bundle.Canonical(map[string]any{"parts": parts, "findings_left_out": bounded(uint64(w.left.Findings)), "lines_left_out": bounded(uint64(w.left.Lines))})
}

// bounded makes a stranger's number one that the manifest's JSON can hold.
func bounded(n uint64) int64 { return int64(min(n, 1<<53-1)) }
