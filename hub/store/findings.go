package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"

	"simtrap/report/reportpb"
)

// findingMeta is what filters look at.
type findingMeta struct {
	id, line    ID
	since, last int64
	verdict     int64
	flags       int64
	sensor      string
	vendor      string
}

const findingMetaColumns = "since, id, line, sensor, verdict, flags, vendor, last_seen"

func scanFindingMeta(r *sql.Rows) (m findingMeta, err error) {
	var id, line []byte
	err = r.Scan(&m.since, &id, &line, &m.sensor, &m.verdict, &m.flags, &m.vendor, &m.last)
	if err == nil {
		m.id, m.line = ID(id), ID(line)
	}
	return m, err
}

func (m findingMeta) place() place { return place{m.since, bytes.Clone(m.id[:])} }

func (f Filter) wantsFinding(m findingMeta) bool {
	return m.verdict >= f.least() && f.overlaps(m.since, m.last) &&
		(len(f.Sensors) == 0 || slices.Contains(f.Sensors, m.sensor)) &&
		(len(f.Vendors) == 0 || slices.Contains(f.Vendors, m.vendor)) &&
		(f.Declared == nil || *f.Declared == (m.flags&flagDeclared != 0)) &&
		(f.Proof == nil || *f.Proof == (m.flags&flagProof != 0))
}

// Findings lists them newest first, by when they began. Fields: all but
// CaseStates.
func (s *Store) Findings(ctx context.Context, f Filter, p Page) (List[Finding], error) {
	var l List[Finding]
	if len(f.CaseStates) > 0 {
		return l, f.refuse("From Until MinVerdict Sensors Lines Boxes Rings Cases Controllers Cards Vendors Declared Proof FindingIDs LineIDs")
	}
	after, err := p.from(f.Until)
	if err != nil {
		return l, err
	}
	x, err := s.findingsOf(ctx, f, true)
	if err != nil {
		return l, err
	}
	lineCheck := false
	if len(f.Lines)+len(f.LineIDs) > 0 {
		ids, all, err := s.linesOf(ctx, f)
		switch {
		case err != nil:
			return l, err
		case all:
			lineCheck = true
		default:
			fs, err := s.idsIn(ctx, "SELECT id FROM finding WHERE line IN ?", ids)
			if err != nil {
				return l, err
			}
			x.meet(fs)
		}
	}
	if x.empty() {
		return l, nil
	}
	keep := func(ms []findingMeta) ([]findingMeta, error) {
		ms = slices.DeleteFunc(ms, func(m findingMeta) bool { return !f.wantsFinding(m) })
		for _, c := range x.checks {
			kept, err := c(ctx, metaIDs(ms))
			if err != nil {
				return nil, err
			}
			ms = slices.DeleteFunc(ms, func(m findingMeta) bool { return !kept[m.id] })
		}
		if lineCheck {
			kept, err := s.keepLines(ctx, f, ms)
			if err != nil {
				return nil, err
			}
			ms = kept
		}
		return ms, nil
	}
	var fetch func(after place, n int) ([]findingMeta, error)
	if x.set != nil {
		all, err := s.metas(ctx, x.ids())
		if err != nil {
			return l, err
		}
		fetch = func(after place, n int) ([]findingMeta, error) { return pageOf(all, findingMeta.place, after, n), nil }
	} else {
		heads, table := levels(f.least(), ""), "finding"
		if n := len(f.Sensors); n > 0 && n <= 8 {
			heads, table = nil, sensorTable(s.db.dialect)
			for _, name := range f.Sensors {
				heads = append(heads, levels(f.least(), "sensor = ? AND ", name)...)
			}
		}
		var since int64
		if !f.From.IsZero() {
			since = f.From.Add(-longestEpoch).UnixNano()
		}
		fetch = func(after place, n int) ([]findingMeta, error) {
			var ms []findingMeta
			err := streams(ctx, s.db, findingMetaColumns, table, heads, after, since, n, func(r *sql.Rows) error {
				m, err := scanFindingMeta(r)
				ms = append(ms, m)
				return err
			})
			return ms, err
		}
		levelled := len(f.Sensors) <= 8 // heads let no others through
		if len(x.walk) > 0 {
			x.checks = x.checks[:len(x.checks)-1]
			fetch = func(after place, n int) ([]findingMeta, error) { return s.walk(ctx, x.walk, after, since, n) }
			levelled = f.least() <= 1 && len(f.Sensors) == 0
		}
		if levelled && f.From.IsZero() && len(f.Vendors) == 0 && f.Declared == nil && f.Proof == nil && len(x.checks) == 0 && !lineCheck {
			keep = nil
		}
	}
	ms, next, err := scan(ctx, p, after, fetch, findingMeta.place, keep)
	if err != nil {
		return l, err
	}
	l.Next = next
	l.Rows, err = s.findings(ctx, metaIDs(ms))
	return l, err
}

// walk reads findings that controllers' keys name, as streams does.
func (s *Store) walk(ctx context.Context, keys []Key, after place, since int64, n int) ([]findingMeta, error) {
	var parts []string
	var args []any
	for _, k := range keys {
		parts = append(parts, "SELECT * FROM (SELECT since, finding FROM controller_finding WHERE digest = ? AND (since, finding) < (?, ?) AND since >= ? ORDER BY since DESC, finding DESC LIMIT ?) AS x")
		args = append(args, k.Sum[:], after.since, after.key, since, n)
	}
	var ms []findingMeta
	// A finding may name several of them.
	err := each(ctx, s.db, func(r *sql.Rows) error {
		m, err := scanFindingMeta(r)
		ms = append(ms, m)
		return err
	}, "SELECT f."+strings.ReplaceAll(findingMetaColumns, ", ", ", f.")+" FROM ("+strings.Join(parts, " UNION ")+` ORDER BY since DESC, finding DESC LIMIT ?) AS w
		JOIN finding f ON f.id = w.finding ORDER BY w.since DESC, w.finding DESC`, append(args, n)...)
	return ms, err
}

// sensorTable is where a sensor's findings are read in order. SQLite, left to itself,
// takes the index of all sensors, and reads all of them.
func sensorTable(d dialect) string {
	if d == sqlite {
		return "finding INDEXED BY finding_sensor"
	}
	return "finding"
}

func metaIDs(ms []findingMeta) [][]byte {
	ids := make([][]byte, 0, len(ms))
	for _, m := range ms {
		ids = append(ids, bytes.Clone(m.id[:]))
	}
	return ids
}

// pageOf gives n rows behind a place, of rows in any order.
func pageOf[M any](all []M, at func(M) place, after place, n int) []M {
	slices.SortFunc(all, func(a, b M) int { return comparePlaces(at(a), at(b)) })
	i, found := slices.BinarySearchFunc(all, after, func(m M, p place) int { return comparePlaces(at(m), p) })
	if found {
		i++
	}
	return slices.Clone(all[i:min(i+n, len(all))])
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(b.since, a.since), bytes.Compare(b.key, a.key))
}

func (s *Store) metas(ctx context.Context, ids [][]byte) ([]findingMeta, error) {
	var ms []findingMeta
	err := in(ctx, s.db, func(r *sql.Rows) error {
		m, err := scanFindingMeta(r)
		ms = append(ms, m)
		return err
	}, "SELECT "+findingMetaColumns+" FROM finding WHERE id IN ?", ids)
	return ms, err
}

// keepLines keeps findings of lines that the filter names.
func (s *Store) keepLines(ctx context.Context, f Filter, ms []findingMeta) ([]findingMeta, error) {
	var ids []ID
	for _, m := range ms {
		ids = append(ids, m.line)
	}
	kept := map[ID]bool{}
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		var id, addr []byte
		var name string
		if err := r.Scan(&id, &name, &addr); err != nil {
			return err
		}
		kept[ID(id)] = f.matchesLine(name, addr) && (len(f.LineIDs) == 0 || slices.Contains(f.LineIDs, ID(id)))
		return nil
	}, "SELECT id, name, addr FROM line WHERE id IN ?", rawIDs(ids)); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(ms, func(m findingMeta) bool { return !kept[m.line] }), nil
}

// findings reads findings whole, newest first.
func (s *Store) findings(ctx context.Context, ids [][]byte) ([]Finding, error) {
	var fs []Finding
	err := in(ctx, s.db, func(r *sql.Rows) error {
		var id, line, body, box, ring []byte
		var since, received int64
		var outcome sql.NullInt64
		x := Finding{Report: &reportpb.FindingRevision{}}
		if err := r.Scan(&id, &line, &x.Sensor, &since, &received, &body, &box, &ring, &outcome); err != nil {
			return err
		}
		x.ID, x.Line, x.Since, x.Received = ID(id), ID(line), moment(since), moment(received)
		x.Box, x.Ring, x.Outcome = optional(box), optional(ring), Outcome(outcome.Int64)
		fs = append(fs, x)
		return s.pack.unpack(body, x.Report)
	}, `SELECT f.id, f.line, f.sensor, f.since, f.received, f.body, m.box, b.ring, o.outcome FROM finding f
		LEFT JOIN member m ON m.finding = f.id LEFT JOIN box b ON b.id = m.box LEFT JOIN outcome o ON o.finding = f.id WHERE f.id IN ?`, ids)
	slices.SortFunc(fs, func(a, b Finding) int {
		return cmp.Or(b.Since.Compare(a.Since), bytes.Compare(b.ID[:], a.ID[:]))
	})
	return fs, err
}

// Finding gives one. ErrNotFound.
func (s *Store) Finding(ctx context.Context, id ID) (Finding, error) {
	fs, err := s.findings(ctx, [][]byte{id[:]})
	if err := notFound(len(fs), err); err != nil {
		return Finding{}, err
	}
	return fs[0], nil
}

// Revisions gives what changed in a finding, oldest first.
func (s *Store) Revisions(ctx context.Context, id ID) ([]Revision, error) {
	var rs []Revision
	err := each(ctx, s.db, func(r *sql.Rows) error {
		x := Revision{Finding: id}
		var received, flags int64
		var score, margin sql.NullFloat64
		if err := r.Scan(&x.Revision, &received, &x.Verdict, &flags, &score, &margin, &x.Nearest, &x.Vendor, &x.Model); err != nil {
			return err
		}
		x.Received, x.Proof, x.Declared = moment(received), flags&flagProof != 0, flags&flagDeclared != 0
		if score.Valid {
			x.Score = &score.Float64
		}
		if margin.Valid {
			x.Margin = &margin.Float64
		}
		rs = append(rs, x)
		return nil
	}, "SELECT revision, received, verdict, flags, score, margin, nearest, vendor, model FROM revision WHERE finding = ? ORDER BY revision", id[:])
	return rs, err
}

// Calls gives those of a finding, in order of start, at most n.
func (s *Store) Calls(ctx context.Context, finding ID, n int) ([]Call, error) {
	var sensor string
	if err := one(ctx, s.db, []any{&sensor}, "SELECT sensor FROM finding WHERE id = ?", finding[:]); err != nil {
		return nil, err
	}
	var cs []Call
	err := each(ctx, s.db, func(r *sql.Rows) error {
		var body []byte
		if err := r.Scan(&body); err != nil {
			return err
		}
		c := Call{Sensor: sensor, Finding: finding, Call: &reportpb.Call{}}
		cs = append(cs, c)
		return s.pack.unpack(body, c.Call)
	}, "SELECT body FROM call WHERE finding = ? ORDER BY start, id LIMIT ?", finding[:], n)
	return cs, err
}

// lineMeta is a line before its findings are read.
type lineMeta struct {
	id      ID
	since   int64
	verdict int64
	sensor  string
	name    string
	addr    []byte
}

const lineColumns = "since, id, sensor, name, addr, verdict"

func scanLine(r *sql.Rows) (m lineMeta, err error) {
	var id []byte
	if err = r.Scan(&m.since, &id, &m.sensor, &m.name, &m.addr, &m.verdict); err == nil {
		m.id = ID(id)
	}
	return m, err
}

func (m lineMeta) place() place { return place{m.since, bytes.Clone(m.id[:])} }

// Lines lists them newest first. Fields: From, Until, MinVerdict, Sensors, Lines,
// Boxes, Rings, Cases, Controllers, Cards, LineIDs.
func (s *Store) Lines(ctx context.Context, f Filter, p Page) (List[Line], error) {
	var l List[Line]
	if err := f.refuse("From Until MinVerdict Sensors Lines Boxes Rings Cases Controllers Cards LineIDs"); err != nil {
		return l, err
	}
	after, err := p.from(f.Until)
	if err != nil {
		return l, err
	}
	x, err := s.findingsOf(ctx, f, false)
	if err != nil {
		return l, err
	}
	var set [][]byte // lines, when narrowed to few
	narrowed := false
	narrow := func(ids [][]byte) {
		if narrowed {
			set = slices.DeleteFunc(set, func(id []byte) bool {
				_, found := slices.BinarySearchFunc(ids, id, bytes.Compare)
				return !found
			})
		} else {
			set, narrowed = ids, true
		}
	}
	if x.set != nil {
		ids, err := s.idsIn(ctx, "SELECT DISTINCT line FROM finding WHERE id IN ?", x.ids())
		if err != nil {
			return l, err
		}
		narrow(ids)
	}
	if len(f.Lines)+len(f.LineIDs) > 0 {
		ids, all, err := s.linesOf(ctx, f)
		if err != nil {
			return l, err
		}
		if !all {
			narrow(ids)
		}
	}
	if narrowed && len(set) == 0 {
		return l, nil
	}
	keep := func(ms []lineMeta) ([]lineMeta, error) {
		ms = slices.DeleteFunc(ms, func(m lineMeta) bool {
			return m.verdict < f.least() || !f.matchesLine(m.name, m.addr) || len(f.LineIDs) > 0 && !slices.Contains(f.LineIDs, m.id) ||
				len(f.Sensors) > 0 && !slices.Contains(f.Sensors, m.sensor)
		})
		if f.From.IsZero() && len(x.checks) == 0 {
			return ms, nil
		}
		return s.keepLinesOf(ctx, f, x, ms)
	}
	var fetch func(after place, n int) ([]lineMeta, error)
	if narrowed {
		var all []lineMeta
		if err := in(ctx, s.db, func(r *sql.Rows) error {
			m, err := scanLine(r)
			all = append(all, m)
			return err
		}, "SELECT "+lineColumns+" FROM line WHERE id IN ?", set); err != nil {
			return l, err
		}
		fetch = func(after place, n int) ([]lineMeta, error) { return pageOf(all, lineMeta.place, after, n), nil }
	} else {
		fetch = func(after place, n int) ([]lineMeta, error) {
			var ms []lineMeta
			err := streams(ctx, s.db, lineColumns, "line", levels(f.least(), ""), after, 0, n, func(r *sql.Rows) error {
				m, err := scanLine(r)
				ms = append(ms, m)
				return err
			})
			return ms, err
		}
		if f.From.IsZero() && len(f.Sensors) == 0 && len(f.Lines) == 0 && len(f.LineIDs) == 0 && len(x.checks) == 0 {
			keep = nil
		}
	}
	ms, next, err := scan(ctx, p, after, fetch, lineMeta.place, keep)
	if err != nil {
		return l, err
	}
	l.Next = next
	l.Rows, err = s.lines(ctx, ms)
	return l, err
}

// keepLinesOf keeps lines of which a finding meets the checks, and of which one was
// seen in the filter's time.
func (s *Store) keepLinesOf(ctx context.Context, f Filter, x *selection, ms []lineMeta) ([]lineMeta, error) {
	var lines []ID
	for _, m := range ms {
		lines = append(lines, m.id)
	}
	var fs []findingMeta
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		m, err := scanFindingMeta(r)
		fs = append(fs, m)
		return err
	}, "SELECT "+findingMetaColumns+" FROM finding WHERE line IN ?", rawIDs(lines)); err != nil {
		return nil, err
	}
	fs = slices.DeleteFunc(fs, func(m findingMeta) bool { return !f.overlaps(m.since, m.last) })
	for _, c := range x.checks {
		kept, err := c(ctx, metaIDs(fs))
		if err != nil {
			return nil, err
		}
		fs = slices.DeleteFunc(fs, func(m findingMeta) bool { return !kept[m.id] })
	}
	kept := map[ID]bool{}
	for _, m := range fs {
		kept[m.line] = true
	}
	return slices.DeleteFunc(ms, func(m lineMeta) bool { return !kept[m.id] }), nil
}

// lines reads what else there is of lines, in their order.
func (s *Store) lines(ctx context.Context, ms []lineMeta) ([]Line, error) {
	var ids []ID
	for _, m := range ms {
		ids = append(ids, m.id)
	}
	type part struct {
		id          ID
		since, last int64
		box         ID
	}
	of := map[ID][]part{}
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		var line, id, box []byte
		var p part
		if err := r.Scan(&line, &id, &p.since, &p.last, &box); err != nil {
			return err
		}
		p.id, p.box = ID(id), optional(box)
		of[ID(line)] = append(of[ID(line)], p)
		return nil
	}, "SELECT f.line, f.id, f.since, f.last_seen, m.box FROM finding f LEFT JOIN member m ON m.finding = f.id WHERE f.line IN ? ORDER BY f.since DESC, f.id DESC", rawIDs(ids)); err != nil {
		return nil, err
	}
	var ls []Line
	for _, m := range ms {
		l := Line{ID: m.id, Sensor: m.sensor, Name: m.name, Since: moment(m.since), Verdict: reportpb.Verdict(m.verdict)}
		for _, p := range of[m.id] {
			if len(l.Findings) < 100 {
				l.Findings = append(l.Findings, p.id)
			}
			if l.First.IsZero() || p.since < l.First.UnixNano() {
				l.First = moment(p.since)
			}
			if l.Last.IsZero() || p.last > l.Last.UnixNano() {
				l.Last = moment(p.last)
			}
			if !p.box.IsZero() && !slices.Contains(l.Boxes, p.box) && len(l.Boxes) < 100 {
				l.Boxes = append(l.Boxes, p.box)
			}
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// Line gives one. ErrNotFound.
func (s *Store) Line(ctx context.Context, id ID) (Line, error) {
	var ms []lineMeta
	err := each(ctx, s.db, func(r *sql.Rows) error {
		m, err := scanLine(r)
		ms = append(ms, m)
		return err
	}, "SELECT "+lineColumns+" FROM line WHERE id = ?", id[:])
	if err := notFound(len(ms), err); err != nil {
		return Line{}, err
	}
	ls, err := s.lines(ctx, ms)
	if err != nil {
		return Line{}, err
	}
	return ls[0], nil
}

// LinesOf gives the line of each finding that exists.
func (s *Store) LinesOf(ctx context.Context, findings []ID) (map[ID]ID, error) {
	lines := map[ID]ID{}
	err := in(ctx, s.db, func(r *sql.Rows) error {
		var id, line []byte
		if err := r.Scan(&id, &line); err != nil {
			return err
		}
		lines[ID(id)] = ID(line)
		return nil
	}, "SELECT id, line FROM finding WHERE id IN ?", rawIDs(findings))
	return lines, err
}
