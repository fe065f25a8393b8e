package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// CaseState is how far a case is, numbered as simtrap.query.v1.CaseState.
type CaseState int16

// States of cases.
const (
	CaseOpen       CaseState = 1
	CaseHandedOver CaseState = 2
	CaseClosed     CaseState = 3
)

// Outcome is what turned out, numbered as simtrap.query.v1.Outcome.
type Outcome int16

// Outcomes.
const (
	OutcomeUnknown   Outcome = 0
	OutcomeConfirmed Outcome = 1
	OutcomeInnocent  Outcome = 2
)

// Case is what people work on.
type Case struct {
	ID      ID
	Title   string
	State   CaseState
	Owner   string // account, empty for nobody
	Rings   []ID   // with Boxes at most 1,000
	Boxes   []ID
	Opened  time.Time
	Closed  time.Time // zero while open
	Outcome Outcome
	Version uint64 // set by the store, from 1
}

// Kinds of a case's items.
const (
	itemRing = 1
	itemBox  = 2
)

func (c Case) sound() error {
	switch {
	case c.ID.IsZero():
		return fmt.Errorf("%w: a case without an id", ErrInvalid)
	case len(c.Title) > 1024 || !plain(c.Title) || len(c.Owner) > maxText || !plain(c.Owner):
		return fmt.Errorf("%w: title or owner of a case", ErrInvalid)
	case len(c.Rings)+len(c.Boxes) > 1000:
		return fmt.Errorf("%w: a case has at most 1,000 rings and boxes", ErrInvalid)
	case c.State < CaseOpen || c.State > CaseClosed || c.Outcome < OutcomeUnknown || c.Outcome > OutcomeInnocent:
		return fmt.Errorf("%w: state or outcome of a case", ErrInvalid)
	}
	return nil
}

// plain says whether a text can be stored as it is.
func plain(s string) bool { return utf8.ValidString(s) && !bytes.ContainsRune([]byte(s), 0) }

// nanosOf gives what is stored of a time; 0 for none.
func nanosOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// AddCase stores a new one. ErrConflict: the id is taken.
func (s *Store) AddCase(ctx context.Context, c Case) error {
	if err := c.sound(); err != nil {
		return err
	}
	return s.within(ctx, func(t *tx) error {
		if err := changed(t.exec(ctx, "INSERT INTO casefile (id, title, state, owner, opened, closed, outcome, version) VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
			c.ID[:], c.Title, int64(c.State), c.Owner, nanosOf(c.Opened), nanosOf(c.Closed), int64(c.Outcome))); err != nil {
			return err
		}
		return s.putItems(ctx, t, c)
	})
}

func (s *Store) putItems(ctx context.Context, t *tx, c Case) error {
	var rows []any
	for _, id := range rawIDs(c.Rings) {
		rows = append(rows, bytes.Clone(c.ID[:]), int64(itemRing), id)
	}
	for _, id := range rawIDs(c.Boxes) {
		rows = append(rows, bytes.Clone(c.ID[:]), int64(itemBox), id)
	}
	_, err := t.run(ctx, s.sql.items, rows)
	return err
}

// PutCase changes one whose version is still c.Version: ErrConflict otherwise,
// ErrNotFound when there is none.
func (s *Store) PutCase(ctx context.Context, c Case) error {
	if err := c.sound(); err != nil {
		return err
	}
	return s.within(ctx, func(t *tx) error {
		if err := one(ctx, t, []any{new(int64)}, "SELECT version FROM casefile WHERE id = ?", c.ID[:]); err != nil {
			return err
		}
		if err := changed(t.exec(ctx, "UPDATE casefile SET title = ?, state = ?, owner = ?, opened = ?, closed = ?, outcome = ?, version = version + 1 WHERE id = ? AND version = ?",
			c.Title, int64(c.State), c.Owner, nanosOf(c.Opened), nanosOf(c.Closed), int64(c.Outcome), c.ID[:], int64(c.Version))); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM casefile_item WHERE casefile = ?", c.ID[:]); err != nil {
			return err
		}
		return s.putItems(ctx, t, c)
	})
}

const caseColumns = "id, title, state, owner, opened, closed, outcome, version"

func scanCase(r *sql.Rows) (Case, error) {
	var c Case
	var id []byte
	var opened, closed int64
	if err := r.Scan(&id, &c.Title, &c.State, &c.Owner, &opened, &closed, &c.Outcome, &c.Version); err != nil {
		return c, err
	}
	c.ID, c.Opened, c.Closed = ID(id), moment(opened), moment(closed)
	return c, nil
}

// items reads what belongs to cases.
func (s *Store) items(ctx context.Context, cs []Case) error {
	of := map[ID]*Case{}
	var ids []ID
	for i := range cs {
		of[cs[i].ID] = &cs[i]
		ids = append(ids, cs[i].ID)
	}
	return in(ctx, s.db, func(r *sql.Rows) error {
		var id, item []byte
		var kind int
		if err := r.Scan(&id, &kind, &item); err != nil {
			return err
		}
		if c := of[ID(id)]; kind == itemRing {
			c.Rings = append(c.Rings, ID(item))
		} else {
			c.Boxes = append(c.Boxes, ID(item))
		}
		return nil
	}, "SELECT casefile, kind, item FROM casefile_item WHERE casefile IN ? ORDER BY casefile, kind, item", rawIDs(ids))
}

// Case gives one. ErrNotFound.
func (s *Store) Case(ctx context.Context, id ID) (Case, error) {
	var cs []Case
	err := each(ctx, s.db, func(r *sql.Rows) error {
		c, err := scanCase(r)
		cs = append(cs, c)
		return err
	}, "SELECT "+caseColumns+" FROM casefile WHERE id = ?", id[:])
	if err := notFound(len(cs), err); err != nil {
		return Case{}, err
	}
	err = s.items(ctx, cs)
	return cs[0], err
}

// Cases lists them newest first. Fields: From, Until, Boxes, Rings, Cases,
// CaseStates.
func (s *Store) Cases(ctx context.Context, f Filter, p Page) (List[Case], error) {
	var l List[Case]
	if err := f.refuse("From Until Boxes Rings Cases CaseStates"); err != nil {
		return l, err
	}
	after, err := p.from(f.Until)
	if err != nil {
		return l, err
	}
	at := func(c Case) place { return place{nanosOf(c.Opened), bytes.Clone(c.ID[:])} }
	fetch := listed(ctx, s, caseColumns, "casefile", "opened", scanCase)
	var sets [][][]byte
	if len(f.Cases) > 0 {
		sets = append(sets, rawIDs(f.Cases))
	}
	for kind, items := range map[int64][]ID{itemRing: f.Rings, itemBox: f.Boxes} {
		if len(items) == 0 {
			continue
		}
		ids, err := s.idsIn(ctx, "SELECT DISTINCT casefile FROM casefile_item WHERE kind = ? AND item IN ?", rawIDs(items), kind)
		if err != nil {
			return l, err
		}
		sets = append(sets, ids)
	}
	if len(sets) > 0 {
		ids := inAll(sets)
		if fetch, err = named(ctx, s, caseColumns, "casefile", ids, scanCase, at); err != nil {
			return l, err
		}
	}
	keep := func(cs []Case) ([]Case, error) {
		return slices.DeleteFunc(cs, func(c Case) bool {
			last := c.Closed
			if last.IsZero() {
				last = s.now()
			}
			return len(f.CaseStates) > 0 && !slices.Contains(f.CaseStates, c.State) || !f.overlaps(nanosOf(c.Opened), last.UnixNano())
		}), nil
	}
	cs, next, err := scan(ctx, p, after, fetch, at, keep)
	if err != nil {
		return l, err
	}
	l.Rows, l.Next = cs, next
	return l, s.items(ctx, l.Rows)
}

// Comment is what somebody wrote about a case.
type Comment struct {
	Case   ID
	At     time.Time
	Author string
	Text   string // at most 16 KiB
}

// AddComment stores one; the same one again changes nothing. ErrNotFound: there is
// no such case.
func (s *Store) AddComment(ctx context.Context, c Comment) error {
	if len(c.Text) > 16<<10 || !plain(c.Text) || len(c.Author) > maxText || !plain(c.Author) {
		return fmt.Errorf("%w: comment", ErrInvalid)
	}
	return s.within(ctx, func(t *tx) error {
		if err := one(ctx, t, []any{new(int64)}, "SELECT version FROM casefile WHERE id = ?", c.Case[:]); err != nil {
			return err
		}
		_, err := t.exec(ctx, "INSERT INTO casefile_comment (casefile, made, author, content) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", c.Case[:], c.At.UnixNano(), c.Author, c.Text)
		return err
	})
}

// Comments gives those of a case in order of time, at most n.
func (s *Store) Comments(ctx context.Context, id ID, n int) ([]Comment, error) {
	var cs []Comment
	err := each(ctx, s.db, func(r *sql.Rows) error {
		c := Comment{Case: id}
		var at int64
		if err := r.Scan(&at, &c.Author, &c.Text); err != nil {
			return err
		}
		c.At = moment(at)
		cs = append(cs, c)
		return nil
	}, "SELECT made, author, content FROM casefile_comment WHERE casefile = ? ORDER BY made, author LIMIT ?", id[:], n)
	return cs, err
}

// FindingOutcome is what turned out about one finding.
type FindingOutcome struct {
	Finding ID
	Outcome Outcome
	Case    ID // zero for none
	By      string
	At      time.Time
	Note    string
}

// SetOutcome says what turned out about a finding; OutcomeUnknown takes it back.
// ErrNotFound: there is no such finding. One with an outcome is kept until the
// outcome's own time is over.
func (s *Store) SetOutcome(ctx context.Context, o FindingOutcome) error {
	if o.Outcome < OutcomeUnknown || o.Outcome > OutcomeInnocent || len(o.Note) > 16<<10 || !plain(o.Note) || !plain(o.By) {
		return fmt.Errorf("%w: outcome", ErrInvalid)
	}
	return s.within(ctx, func(t *tx) error {
		var have []byte
		if err := one(ctx, t, []any{&have}, "SELECT id FROM finding WHERE id = ?"+t.forUpdate(), o.Finding[:]); err != nil {
			return err
		}
		if o.Outcome == OutcomeUnknown {
			_, err := t.exec(ctx, "DELETE FROM outcome WHERE finding = ?", o.Finding[:])
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO outcome (finding, outcome, casefile, made_by, made, note) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (finding) DO UPDATE SET outcome = excluded.outcome, casefile = excluded.casefile, made_by = excluded.made_by, made = excluded.made, note = excluded.note`,
			o.Finding[:], int64(o.Outcome), orNull(o.Case), o.By, o.At.UnixNano(), o.Note)
		return err
	})
}

// Outcomes gives those after a place, in order of finding id, at most n, with the
// finding each is about: what calibration is fed with.
func (s *Store) Outcomes(ctx context.Context, after ID, n int) ([]FindingOutcome, []Finding, error) {
	var os []FindingOutcome
	var ids [][]byte
	if err := each(ctx, s.db, func(r *sql.Rows) error {
		var o FindingOutcome
		var id, of []byte
		var at int64
		if err := r.Scan(&id, &o.Outcome, &of, &o.By, &at, &o.Note); err != nil {
			return err
		}
		o.Finding, o.Case, o.At = ID(id), optional(of), moment(at)
		ids, os = append(ids, id), append(os, o)
		return nil
	}, "SELECT finding, outcome, casefile, made_by, made, note FROM outcome WHERE finding > ? ORDER BY finding LIMIT ?", after[:], n); err != nil {
		return nil, nil, err
	}
	fs, err := s.findings(ctx, ids)
	slices.SortFunc(fs, func(a, b Finding) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	if err == nil && len(fs) != len(os) {
		err = errors.New("outcomes: a finding went while it was read")
	}
	return os, fs, err
}
