package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// EvidenceState is how far a sensor's answer is, numbered as
// simtrap.query.v1.EvidenceState.
type EvidenceState int16

// States of answers.
const (
	EvidenceWaiting EvidenceState = 1
	EvidenceComing  EvidenceState = 2
	EvidenceDone    EvidenceState = 3
	EvidenceRefused EvidenceState = 4
)

// Evidence is headers of lines that somebody asked sensors for.
type Evidence struct {
	ID        ID
	Account   string
	Authority string
	Case      ID // zero for none
	Made      time.Time
	Expires   time.Time // then all of it is deleted
	From      time.Time // packet time, both within; zero for open ends
	Until     time.Time
	Parts     []EvidencePart // 1 to 64
}

// EvidencePart is what is asked of one sensor about one line.
type EvidencePart struct {
	ID      ID // by which the sensor knows it
	Line    ID
	Sensor  string
	Name    string // of the line
	State   EvidenceState
	Most    int64 // bytes that are taken
	Pieces  uint64
	Bytes   int64
	Reason  string // why the sensor refused
	Summary []byte // fleetpb.HeadersSummary, of a whole answer
}

// EvidencePiece is a part of an answer.
type EvidencePiece struct {
	Part      ID
	Number    uint64 // from 0
	Data      []byte
	EndOfFile bool
	Done      bool
	Refused   string // why there is no answer; then Done
	Summary   []byte
}

// Bounds of evidence that waits to be fetched.
const (
	MaxEvidenceParts = 64
	maxEvidence      = 256       // requests that have not expired
	maxEvidenceEach  = 32        // of one account
	maxEvidenceBytes = 4 << 30   // of all answers
	maxPiece         = 256 << 10 // bytes
	maxSummary       = 64 << 10  // bytes
)

func (e *Evidence) sound() error {
	if e.ID.IsZero() || e.Account == "" || e.Authority == "" || !plain(e.Authority) || len(e.Authority) > maxText || !e.Expires.After(e.Made) || len(e.Parts) == 0 || len(e.Parts) > MaxEvidenceParts {
		return fmt.Errorf("%w: a request for evidence", ErrInvalid)
	}
	for _, p := range e.Parts {
		if p.ID.IsZero() || p.Sensor == "" || p.Name == "" || p.Most <= 0 || p.Most > maxEvidenceBytes {
			return fmt.Errorf("%w: a part of a request for evidence", ErrInvalid)
		}
	}
	return nil
}

// AddEvidence stores a request, which waits for its sensors. ErrFull says that too many
// wait, in all or of the account, or that what came and what may come is too much until some of it expires.
func (s *Store) AddEvidence(ctx context.Context, e Evidence) error {
	if err := e.sound(); err != nil {
		return err
	}
	if err := s.expireEvidence(ctx, e.Made); err != nil {
		return err
	}
	return s.within(ctx, func(t *tx) error {
		var waiting, own, size int64 // an answer that is not whole may yet be as large as was said
		if err := one(ctx, t, []any{&waiting}, "SELECT count(*) FROM evidence"); err != nil {
			return err
		}
		if err := one(ctx, t, []any{&own}, "SELECT count(*) FROM evidence WHERE account = ?", e.Account); err != nil {
			return err
		}
		if err := one(ctx, t, []any{&size}, "SELECT CAST(coalesce(sum(CASE WHEN state <= ? THEN most ELSE bytes END), 0) AS BIGINT) FROM evidence_part", int64(EvidenceComing)); err != nil {
			return err
		}
		for _, p := range e.Parts {
			size += p.Most
		}
		if waiting >= maxEvidence || own >= maxEvidenceEach || size > maxEvidenceBytes {
			return ErrFull
		}
		if err := changed(t.exec(ctx, "INSERT INTO evidence (id, account, authority, casefile, made, expires, seen_from, seen_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			e.ID[:], e.Account, e.Authority, orNull(e.Case), e.Made.UnixNano(), e.Expires.UnixNano(), nanosOf(e.From), nanosOf(e.Until))); err != nil {
			return err
		}
		for i, p := range e.Parts {
			if err := changed(t.exec(ctx, "INSERT INTO evidence_part (id, evidence, number, line, sensor, name, state, most, pieces, bytes, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '') ON CONFLICT DO NOTHING",
				bytes.Clone(p.ID[:]), e.ID[:], int64(i), bytes.Clone(p.Line[:]), p.Sensor, p.Name, int64(EvidenceWaiting), p.Most)); err != nil {
				return err
			}
		}
		return nil
	})
}

const evidenceColumns = "id, account, authority, casefile, made, expires, seen_from, seen_until"

func scanEvidence(r *sql.Rows) (Evidence, error) {
	var e Evidence
	var id, of []byte
	var made, expires, from, until int64
	err := r.Scan(&id, &e.Account, &e.Authority, &of, &made, &expires, &from, &until)
	e.ID, e.Case = optional(id), optional(of)
	e.Made, e.Expires, e.From, e.Until = moment(made), moment(expires), moment(from), moment(until)
	return e, err
}

const partColumns = "id, line, sensor, name, state, most, pieces, bytes, reason, summary"

func scanPart(r *sql.Rows) (EvidencePart, error) {
	var p EvidencePart
	var id, line []byte
	err := r.Scan(&id, &line, &p.Sensor, &p.Name, &p.State, &p.Most, &p.Pieces, &p.Bytes, &p.Reason, &p.Summary)
	p.ID, p.Line, p.Summary = optional(id), optional(line), bytes.Clone(p.Summary)
	return p, err
}

// Evidence gives a request and what has come. ErrNotFound.
func (s *Store) Evidence(ctx context.Context, id ID, now time.Time) (Evidence, error) {
	return s.evidence(ctx, s.db, "SELECT "+evidenceColumns+" FROM evidence WHERE id = ? AND expires > ?", id[:], now.UnixNano())
}

func (s *Store) evidence(ctx context.Context, a asker, q string, args ...any) (Evidence, error) {
	var es []Evidence
	err := each(ctx, a, func(r *sql.Rows) error {
		e, err := scanEvidence(r)
		es = append(es, e)
		return err
	}, q, args...)
	if err := notFound(len(es), err); err != nil {
		return Evidence{}, err
	}
	e := es[0]
	err = each(ctx, a, func(r *sql.Rows) error {
		p, err := scanPart(r)
		e.Parts = append(e.Parts, p)
		return err
	}, "SELECT "+partColumns+" FROM evidence_part WHERE evidence = ? ORDER BY number", e.ID[:])
	return e, err
}

// SameEvidence gives the newest request of the account, authority, case, time and lines
// of e that lasts beyond until. ErrNotFound.
func (s *Store) SameEvidence(ctx context.Context, e Evidence, until time.Time) (Evidence, error) {
	var es []Evidence
	if err := each(ctx, s.db, func(r *sql.Rows) error {
		x, err := scanEvidence(r)
		es = append(es, x)
		return err
	}, "SELECT "+evidenceColumns+" FROM evidence WHERE account = ? AND authority = ? AND seen_from = ? AND seen_until = ? AND expires > ? ORDER BY made DESC, id LIMIT ?",
		e.Account, e.Authority, nanosOf(e.From), nanosOf(e.Until), until.UnixNano(), int64(maxEvidenceEach)); err != nil {
		return Evidence{}, err
	}
	lines := func(e Evidence) map[ID]bool {
		m := make(map[ID]bool)
		for _, p := range e.Parts {
			m[p.Line] = true
		}
		return m
	}
	for _, x := range es {
		if x.Case != e.Case {
			continue
		}
		x, err := s.Evidence(ctx, x.ID, until)
		switch {
		case errors.Is(err, ErrNotFound): // it was dropped meanwhile
		case err != nil:
			return Evidence{}, err
		case maps.Equal(lines(x), lines(e)):
			return x, nil
		}
	}
	return Evidence{}, ErrNotFound
}

// DropEvidence deletes a request with all that came; there need be none.
func (s *Store) DropEvidence(ctx context.Context, id ID) error { return s.dropEvidence(ctx, id[:]) }

// NextEvidence gives the oldest part that a sensor has not answered whole, as the one
// of its request. ErrNotFound when there is none.
func (s *Store) NextEvidence(ctx context.Context, sensor string, now time.Time) (Evidence, error) {
	var of, id []byte
	if err := one(ctx, s.db, []any{&of, &id}, "SELECT e.id, p.id FROM evidence_part p JOIN evidence e ON e.id = p.evidence WHERE p.sensor = ? AND p.state <= ? AND e.expires > ? ORDER BY e.made, p.number LIMIT 1",
		sensor, int64(EvidenceComing), now.UnixNano()); err != nil {
		return Evidence{}, err
	}
	e, err := s.Evidence(ctx, optional(of), now)
	if err == nil {
		e.Parts = slices.DeleteFunc(e.Parts, func(p EvidencePart) bool { return p.ID != optional(id) })
		err = notFound(len(e.Parts), nil)
	}
	return e, err
}

// AddEvidencePiece keeps a piece of a sensor's answer, and gives how many there are. One
// that is there already changes nothing. ErrNotFound: nobody waits for it, or not from
// that sensor; ErrInvalid: it is not the next; ErrFull: there would be more than was
// asked for.
func (s *Store) AddEvidencePiece(ctx context.Context, sensor string, p EvidencePiece, now time.Time) (pieces uint64, err error) {
	if len(p.Data) > maxPiece || len(p.Summary) > maxSummary || p.Refused != "" && (!p.Done || len(p.Data) > 0) || !plain(p.Refused) || len(p.Refused) > maxText {
		return 0, fmt.Errorf("%w: a piece of evidence", ErrInvalid)
	}
	err = s.within(ctx, func(t *tx) error {
		var state, most, size int64
		if err := one(ctx, t, []any{&state, &most, &pieces, &size}, "SELECT p.state, p.most, p.pieces, p.bytes FROM evidence_part p JOIN evidence e ON e.id = p.evidence WHERE p.id = ? AND p.sensor = ? AND e.expires > ?",
			p.Part[:], sensor, now.UnixNano()); err != nil {
			return err
		}
		switch {
		case p.Number < pieces:
			return nil
		case EvidenceState(state) > EvidenceComing:
			return ErrNotFound
		case p.Number > pieces:
			return fmt.Errorf("%w: piece %d where %d is the next", ErrInvalid, p.Number, pieces)
		case size+int64(len(p.Data)) > most:
			return ErrFull
		}
		next := EvidenceComing
		switch {
		case p.Refused != "":
			next = EvidenceRefused
		case p.Done:
			next = EvidenceDone
		}
		// Of two that come at once one finds the other's number.
		if err := changed(t.exec(ctx, "UPDATE evidence_part SET state = ?, pieces = pieces + 1, bytes = bytes + ?, reason = ?, summary = ? WHERE id = ? AND pieces = ?",
			int64(next), int64(len(p.Data)), p.Refused, p.Summary, p.Part[:], int64(pieces))); err != nil {
			return err
		}
		end := int64(0)
		if p.EndOfFile {
			end = 1
		}
		if err := changed(t.exec(ctx, "INSERT INTO evidence_piece (part, number, file_end, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", p.Part[:], int64(p.Number), end, append([]byte{}, p.Data...))); err != nil {
			return err
		}
		pieces++
		return nil
	})
	if errors.Is(err, ErrConflict) {
		return 0, fmt.Errorf("%w: the same piece came twice at once", ErrInvalid)
	}
	return pieces, err
}

// EvidencePieceOf gives a piece of an answer that was kept. ErrNotFound.
func (s *Store) EvidencePieceOf(ctx context.Context, part ID, number uint64) (data []byte, endOfFile bool, err error) {
	var end int64
	err = one(ctx, s.db, []any{&data, &end}, "SELECT data, file_end FROM evidence_piece WHERE part = ? AND number = ?", part[:], int64(number))
	return data, end != 0, err
}

// Bundle is a bundle of evidence that was made here.
type Bundle struct {
	Number   uint64 // in the chain, from 1; 0 before the first
	Evidence ID
	Made     time.Time
	Hash     [32]byte // of the whole file
}

// LastBundle gives the newest of the chain; the zero Bundle before the first.
func (s *Store) LastBundle(ctx context.Context) (Bundle, error) {
	var b Bundle
	var of, hash []byte
	var made int64
	err := one(ctx, s.db, []any{&b.Number, &of, &made, &hash}, "SELECT number, evidence, made, hash FROM evidence_bundle ORDER BY number DESC LIMIT 1")
	if errors.Is(err, ErrNotFound) {
		return b, nil
	}
	if err == nil && len(hash) != len(b.Hash) {
		err = errors.New("a bundle without a hash")
	}
	if err != nil {
		return b, err
	}
	b.Evidence, b.Made, b.Hash = optional(of), moment(made), [32]byte(hash)
	return b, nil
}

// AddBundle writes down the next of the chain. ErrConflict: another came first.
func (s *Store) AddBundle(ctx context.Context, b Bundle) error {
	return s.within(ctx, func(t *tx) error {
		return changed(t.exec(ctx, "INSERT INTO evidence_bundle (number, evidence, made, hash) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", int64(b.Number), b.Evidence[:], b.Made.UnixNano(), b.Hash[:]))
	})
}

// expireEvidence deletes requests whose time is over, with all that came.
func (s *Store) expireEvidence(ctx context.Context, now time.Time) error {
	var ids [][]byte
	if err := each(ctx, s.db, func(r *sql.Rows) error {
		var id []byte
		err := r.Scan(&id)
		ids = append(ids, bytes.Clone(id))
		return err
	}, "SELECT id FROM evidence WHERE expires <= ? ORDER BY expires LIMIT ?", now.UnixNano(), int64(expireRows)); err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.dropEvidence(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) dropEvidence(ctx context.Context, id []byte) error {
	return s.within(ctx, func(t *tx) error {
		for _, q := range []string{
			"DELETE FROM evidence_piece WHERE part IN (SELECT id FROM evidence_part WHERE evidence = ?)",
			"DELETE FROM evidence_part WHERE evidence = ?",
			"DELETE FROM evidence WHERE id = ?",
		} {
			if _, err := t.exec(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
}
