package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"simtrap/report/reportpb"
)

// Retention says how long what is kept: from the hub's last receipt of a finding,
// by its verdict, and up to six hours longer. Zero values have defaults.
type Retention struct {
	None   time.Duration // 24 h
	Watch  time.Duration // 7 days
	Review time.Duration // 30 days
	Case   time.Duration // 2 years
	// Outcome holds findings of which people said what turned out; 2 years from then.
	Outcome time.Duration
	// Sketch holds hours of controllers; 7 days.
	Sketch time.Duration
}

// A finding in a case of people that is not closed is kept, whatever its age.

// Signer signs deletion records.
type Signer interface {
	// Sign gives a signature over a body, and the name of the key.
	Sign(body []byte) (signature []byte, key string, err error)
}

// Deletion is a signed record of what was deleted: counts and a digest, nothing
// of what it was.
type Deletion struct {
	Sequence  uint64 // from 1, without holes
	At        time.Time
	Body      []byte // DeletionBody as JSON
	Signature []byte
	Key       string
}

// DeletionBody is what a deletion record says.
type DeletionBody struct {
	Sequence  uint64         `json:"sequence"`
	At        time.Time      `json:"at"`
	Before    time.Time      `json:"received_before"` // by the hub's clock
	Findings  map[string]int `json:"findings"`        // by verdict
	Lines     int            `json:"lines"`
	Calls     int            `json:"calls"`
	Revisions int            `json:"revisions"`
	Keys      int            `json:"keys"`
	Edges     int            `json:"edges"`
	Digest    string         `json:"digest"`   // SHA-256 over the deleted findings' ids in order, hex
	Previous  string         `json:"previous"` // SHA-256 of the record before, hex; empty for the first
}

// What goes in one transaction: reports wait for it on SQLite.
const (
	expireBatch = 200    // findings
	expireCalls = 20_000 // calls of them, unless one has more
	expireRows  = 1000   // of what else is deleted
)

// Expire deletes what is older than retention lets it be, in small transactions
// beside other work, and leaves a signed record of deleted findings in the same
// transaction. It gives how many findings went.
func (s *Store) Expire(ctx context.Context, now time.Time, r Retention, sign Signer) (int, error) {
	day := 24 * time.Hour
	outcomes := now.Add(-cmp.Or(r.Outcome, 730*day))
	if err := s.expireRows(ctx, "outcome", "finding", "made < ?", outcomes.UnixNano()); err != nil {
		return 0, fmt.Errorf("expire outcomes: %w", err)
	}
	total := 0
	for v, keep := range map[int64]time.Duration{1: cmp.Or(r.None, day), 2: cmp.Or(r.Watch, 7*day), 3: cmp.Or(r.Review, 30*day), 4: cmp.Or(r.Case, 730*day)} {
		for {
			n, more, err := s.expireFindings(ctx, now, now.Add(-keep), v, sign)
			total += n
			if err != nil {
				return total, fmt.Errorf("expire findings: %w", err)
			}
			if !more {
				break
			}
		}
	}
	// What is due to go goes, whether or not controllers can be counted.
	n, recounted := s.recount(ctx, recountRows)
	if recounted != nil {
		recounted = fmt.Errorf("count controllers anew: %w", recounted)
	} else if n > 0 {
		s.log.Warn("controllers were counted wrong, and mended: has an older hub written beside this one?", zap.Int("controllers", n))
	}
	for _, q := range []struct {
		what, table, key, where string
		before                  int64
	}{
		{"sketches' rests", "controller_left", "sensor, hour, part", "hour < ?", now.Add(-cmp.Or(r.Sketch, 7*day)).UnixNano()},
		{"controllers", "controller", "addr, role", "last_seen < ?", now.Add(-cmp.Or(r.Case, 730*day)).UnixNano()},
		{"controllers' versions", "controller_told", "addr", "version > ? AND NOT EXISTS (SELECT 1 FROM controller c WHERE c.addr = controller_told.addr)", 0},
		{"uses of controllers", "controller_use", "digest, slot", "slot >= ? AND lines = 0 AND watch = 0 AND review = 0", -1},
		{"cards", "card", "id", "last_seen < ?", now.Add(-cmp.Or(r.Case, 730*day)).UnixNano()},
		{"sessions", "session", "hash", "expires < ?", now.UnixNano()},
		{"tokens", "token", "hash", "expires < ?", now.Add(-30 * day).UnixNano()},
		{"certificates", "certificate", "serial", "ends < ?", now.Add(-90 * day).UnixNano()},
		{"verdicts", "controller_verdict", "sensor, line, addr", "expires < ?", now.UnixNano()},
	} {
		if err := s.expireRows(ctx, q.table, q.key, q.where, q.before); err != nil {
			return total, fmt.Errorf("expire %s: %w", q.what, err)
		}
	}
	if err := s.expireEvidence(ctx, now); err != nil {
		return total, fmt.Errorf("expire evidence: %w", err)
	}
	if err := s.expireSketches(ctx, now.Add(-cmp.Or(r.Sketch, 7*day)).UnixNano()); err != nil {
		return total, fmt.Errorf("expire sketches: %w", err)
	}
	if err := s.expireCalls(ctx, now.Add(-cmp.Or(r.Review, 30*day)).UnixNano()); err != nil {
		return total, fmt.Errorf("expire calls: %w", err)
	}
	return total, recounted
}

// expireRows deletes the rows of a table that where tells, which has one argument.
// Not all of it is helped by an index, so what there is to delete is read first, by
// somebody who keeps nobody waiting.
func (s *Store) expireRows(ctx context.Context, table, key, where string, before int64) error {
	for {
		rows, err := s.rowsOf(ctx, len(strings.Split(key, ",")), "SELECT "+key+" FROM "+table+" WHERE "+where+" LIMIT ?", before, expireRows)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := s.deleteRows(ctx, table, key, where, rows, before); err != nil {
			return err
		}
		if len(rows) < expireRows {
			return nil
		}
	}
}

// expireSketches deletes hours of controllers that were before a time. Of a controller
// that findings at watch and above name, those that BusiestHour looks at stay when it
// falls silent, as long as such findings do: a ring that rests on it must not fall apart
// since nobody knows any more how few lines it had.
func (s *Store) expireSketches(ctx context.Context, before int64) error {
	const key = "hour, addr, role, sensor, part"
	at := []any{int64(math.MinInt64), []byte{}, "", "", int64(math.MinInt64)}
	for {
		rows, err := s.rowsOf(ctx, 6, "SELECT "+key+`, CASE WHEN EXISTS (SELECT 1 FROM controller_hour n WHERE n.addr = h.addr AND n.role = h.role AND n.hour >= h.hour + ?) THEN 1 ELSE 0 END
			FROM controller_hour h WHERE hour < ? AND (`+key+") > (?, ?, ?, ?, ?) ORDER BY "+key+" LIMIT ?", append([]any{int64(busiestOf), before}, append(slices.Clone(at), expireRows)...)...)
		if err != nil || len(rows) == 0 {
			return err
		}
		at = rows[len(rows)-1][:5]
		var digests [][]byte
		for _, row := range rows {
			digests = append(digests, useDigest(row[1]))
		}
		named := map[ID]bool{}
		if err := in(ctx, s.db, func(r *sql.Rows) error {
			var digest []byte
			err := r.Scan(&digest)
			if err == nil {
				named[ID(digest)] = true
			}
			return err
		}, "SELECT digest FROM controller_use WHERE digest IN ? GROUP BY digest HAVING sum(watch) > 0", inOrder(slices.Clone(digests))); err != nil {
			return err
		}
		var gone [][]any
		for i, row := range rows {
			if row[5] != int64(0) || !named[ID(digests[i])] {
				gone = append(gone, row[:5])
			}
		}
		if len(gone) > 0 {
			if err := s.deleteRows(ctx, "controller_hour", key, "hour < ?", gone, before); err != nil {
				return err
			}
		}
		if len(rows) < expireRows {
			return nil
		}
	}
}

// useDigest gives the digest under which the use of a controller's address is counted.
func useDigest(addr any) []byte {
	b, _ := addr.([]byte)
	sum := KeyOf(KeyController, addrFrom(b).String()).Sum
	return sum[:]
}

// rowsOf reads rows of so many columns.
func (s *Store) rowsOf(ctx context.Context, columns int, q string, args ...any) (rows [][]any, err error) {
	err = each(ctx, s.db, func(r *sql.Rows) error {
		row := make([]any, columns)
		into := make([]any, columns)
		for i := range row {
			into[i] = &row[i]
		}
		rows = append(rows, row)
		return r.Scan(into...)
	}, q, args...)
	return rows, err
}

// deleteRows deletes those of rows that where is still true of.
func (s *Store) deleteRows(ctx context.Context, table, key, where string, rows [][]any, args ...any) error {
	q := "DELETE FROM " + table + " WHERE " + strings.ReplaceAll(key, ",", " = ? AND") + " = ? AND " + where
	return s.withinAs(ctx, patient, func(t *tx) error {
		for _, row := range rows {
			if _, err := t.exec(ctx, q, append(slices.Clone(row), args...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// expireCalls deletes calls that came before a time and whose finding never came, or
// is gone. Of those whose finding is there each is looked at once: they go with it.
func (s *Store) expireCalls(ctx context.Context, before int64) error {
	const gone = "NOT EXISTS (SELECT 1 FROM finding f WHERE f.id = call.finding)"
	for {
		at := s.orphans.Load()
		if at == nil {
			at = &callPlace{finding: []byte{}, id: []byte{}}
		}
		var dead [][]any
		n, next := 0, *at
		if err := each(ctx, s.db, func(r *sql.Rows) error {
			var orphan int
			n++
			next = callPlace{}
			if err := r.Scan(&next.received, &next.finding, &next.id, &orphan); err != nil {
				return err
			}
			if orphan != 0 {
				dead = append(dead, []any{next.finding, next.id})
			}
			return nil
		}, "SELECT received, finding, id, CASE WHEN "+gone+" THEN 1 ELSE 0 END FROM call WHERE (received, finding, id) > (?, ?, ?) AND received < ? ORDER BY received, finding, id LIMIT ?",
			at.received, at.finding, at.id, before, 5*expireRows); err != nil || n == 0 {
			return err
		}
		for part := range slices.Chunk(dead, expireRows) {
			if err := s.deleteRows(ctx, "call", "finding, id", gone, part); err != nil {
				return err
			}
		}
		s.orphans.Store(&next)
	}
}

// callPlace is where a call stands by when it came.
type callPlace struct {
	received    int64
	finding, id []byte
}

// held is true of a finding that people work on or have judged.
const held = `(EXISTS (SELECT 1 FROM outcome o WHERE o.finding = finding.id)
	OR EXISTS (SELECT 1 FROM member m JOIN casefile_item i ON i.kind = 2 AND i.item = m.box JOIN casefile c ON c.id = i.casefile WHERE m.finding = finding.id AND c.state <> 3)
	OR EXISTS (SELECT 1 FROM member m JOIN box b ON b.id = m.box JOIN casefile_item i ON i.kind = 1 AND i.item = b.ring JOIN casefile c ON c.id = i.casefile WHERE m.finding = finding.id AND c.state <> 3))`

// expireFindings deletes one batch of a verdict's findings. Of those that are due some may
// have been told of again since: they are due later.
func (s *Store) expireFindings(ctx context.Context, now, before time.Time, verdict int64, sign Signer) (n int, more bool, err error) {
	// Whole units that ended before.
	aged := before.UnixNano() / agedUnit
	err = s.append(ctx, func(t *tx) error {
		n, more = 0, false
		var sensors []string
		var ids, later [][]byte
		if err := each(ctx, t, func(r *sql.Rows) error {
			var id []byte
			var sensor string
			var received int64
			if err := r.Scan(&id, &sensor, &received); err != nil {
				return err
			}
			if received/agedUnit >= aged {
				later = append(later, id)
			} else {
				ids = append(ids, id)
			}
			sensors = append(sensors, sensor)
			return nil
		}, "SELECT id, sensor, received FROM finding WHERE verdict = ? AND due < ? AND NOT "+held+" ORDER BY due LIMIT ?", verdict, aged, expireBatch); err != nil {
			return err
		}
		if more = len(sensors) == expireBatch; len(sensors) == 0 {
			return nil
		}
		calls := 0
		for i, id := range ids {
			var n int
			if err := one(ctx, t, []any{&n}, "SELECT count(*) FROM (SELECT 1 FROM call WHERE finding = ? LIMIT ?) AS x", id, maxCalls); err != nil {
				return err
			}
			if calls += n; i > 0 && calls > expireCalls {
				ids, more = ids[:i], true
				break
			}
		}
		slices.Sort(sensors)
		// As ingest does: after this nobody else writes these findings.
		if err := in(ctx, t, func(*sql.Rows) error { return nil }, "SELECT name FROM sensor WHERE name IN ? ORDER BY name"+t.forUpdate(), slices.Compact(sensors)); err != nil {
			return err
		}
		for _, id := range inOrder(later) {
			if _, err := t.exec(ctx, "UPDATE finding SET due = received / ? WHERE id = ?", agedUnit, id); err != nil {
				return err
			}
		}
		if len(ids) == 0 {
			return nil
		}
		var err error
		n, err = s.expireBatch(ctx, t, now, before, inOrder(ids), verdict, aged, sign)
		return err
	})
	return n, more, err
}

func (s *Store) expireBatch(ctx context.Context, t *tx, now, before time.Time, ids [][]byte, verdict, aged int64, sign Signer) (int, error) {
	body := DeletionBody{At: now.UTC(), Before: before.UTC(), Findings: map[string]int{}}
	var gone, keys, far, rows []any
	used := uses{}
	var lines [][]byte
	of := map[string]int64{}
	left := ids[:0:0]
	if err := in(ctx, t, func(r *sql.Rows) error {
		var id, line, packed []byte
		var sensor string
		var since int64
		if err := r.Scan(&id, &line, &sensor, &since, &packed); err != nil {
			return err
		}
		var old reportpb.FindingRevision
		if err := s.pack.unpack(packed, &old); err != nil {
			return err
		}
		ks := Keys(old.GetFinding())
		used.add(sensor, ks, verdict, -1)
		for _, k := range ks {
			keys = append(keys, int64(k.Kind), bytes.Clone(k.Sum[:]), id)
		}
		far = append(far, farRows(ks, since, id)...)
		left, lines, gone = append(left, id), append(lines, line), append(gone, id)
		of[sensor]++
		return nil
	}, "SELECT id, line, sensor, since, body FROM finding WHERE id IN ? AND verdict = ? AND received < ?", ids, verdict, aged*agedUnit); err != nil {
		return 0, err
	}
	if len(left) == 0 {
		return 0, nil
	}
	body.Findings[verdictNames[verdict]] = len(left)
	digest := sha256.New()
	for _, id := range inOrder(left) {
		digest.Write(id)
	}
	body.Digest = hex.EncodeToString(digest.Sum(nil))

	boxes, err := txIDs(ctx, t, "SELECT box FROM member WHERE finding IN ?", left)
	if err != nil {
		return 0, err
	}
	count := func(into *int, n int64, err error) error { *into += int(n); return err }
	n, err := t.run(ctx, s.sql.unbear, keys)
	if err := count(&body.Keys, n, err); err != nil {
		return 0, err
	}
	if _, err := t.run(ctx, s.sql.noFar, far); err != nil {
		return 0, err
	}
	for _, d := range []struct {
		b    *bulk
		into *int
	}{
		// Who saves edges holds the members: behind them comes no edge any more.
		{s.sql.noMembers, new(int)}, {s.sql.noRevisions, &body.Revisions}, {s.sql.noCalls, &body.Calls}, {s.sql.noEdgesA, &body.Edges},
		{s.sql.noEdgesB, &body.Edges}, {s.sql.unqueue, new(int)}, {s.sql.noFindings, new(int)},
	} {
		n, err := t.run(ctx, d.b, slices.Clone(gone))
		if err := count(d.into, n, err); err != nil {
			return 0, err
		}
	}
	// What is left of boxes is judged anew; what nothing is left of goes.
	alive := map[ID]bool{}
	if err := in(ctx, t, func(r *sql.Rows) error {
		var box, finding []byte
		if err := r.Scan(&box, &finding); err != nil {
			return err
		}
		if alive[ID(box)] {
			return nil
		}
		alive[ID(box)] = true
		rows = append(rows, finding, rand.Int64(), now.UnixNano(), "", int64(0))
		return nil
	}, "SELECT box, finding FROM member WHERE box IN ? ORDER BY box, finding", boxes); err != nil {
		return 0, err
	}
	if _, err := t.run(ctx, s.sql.queue, rows); err != nil {
		return 0, err
	}
	rows = nil
	var dead [][]byte
	for _, b := range boxes {
		if !alive[ID(b)] {
			dead, rows = append(dead, b), append(rows, b)
		}
	}
	rings, err := txIDs(ctx, t, "SELECT ring FROM box WHERE id IN ?", dead)
	if err != nil {
		return 0, err
	}
	if _, err := t.run(ctx, s.sql.noBoxes, rows); err != nil {
		return 0, err
	}
	for _, g := range rings {
		if _, err := t.exec(ctx, "DELETE FROM ring WHERE id = ? AND NOT EXISTS (SELECT 1 FROM box WHERE box.ring = ring.id)", g); err != nil {
			return 0, err
		}
	}
	lines = inOrder(lines)
	for _, l := range lines {
		n, err := t.exec(ctx, "DELETE FROM line WHERE id = ? AND NOT EXISTS (SELECT 1 FROM finding WHERE finding.line = line.id)", l)
		if err := count(&body.Lines, n, err); err != nil {
			return 0, err
		}
	}
	if err := lowerLines(ctx, t, lines); err != nil {
		return 0, err
	}
	if _, err := t.run(ctx, s.sql.uses, used.rows()); err != nil {
		return 0, err
	}
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := t.exec(ctx, "UPDATE sensor SET n_"+verdictNames[verdict]+" = n_"+verdictNames[verdict]+" - ? WHERE name = ?", of[name], name); err != nil {
			return 0, err
		}
	}
	return len(left), s.recordDeletion(ctx, t, body, sign)
}

// verdictNames as columns and records have them.
var verdictNames = [...]string{1: "none", 2: "watch", 3: "review", 4: "case"}

func txIDs(ctx context.Context, t *tx, q string, ids [][]byte) ([][]byte, error) {
	var out [][]byte
	err := in(ctx, t, func(r *sql.Rows) error {
		var id []byte
		err := r.Scan(&id)
		if id != nil {
			out = append(out, id)
		}
		return err
	}, q, ids)
	return inOrder(out), err
}

func (s *Store) recordDeletion(ctx context.Context, t *tx, body DeletionBody, sign Signer) error {
	var last uint64
	var before []byte
	if err := each(ctx, t, func(r *sql.Rows) error { return r.Scan(&last, &before) }, "SELECT sequence, body FROM deletion ORDER BY sequence DESC LIMIT 1"); err != nil {
		return err
	}
	body.Sequence = last + 1
	if last > 0 {
		sum := sha256.Sum256(before)
		body.Previous = hex.EncodeToString(sum[:])
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	signature, key, err := sign.Sign(text)
	if err != nil {
		return fmt.Errorf("sign the deletion: %w", err)
	}
	_, err = t.exec(ctx, "INSERT INTO deletion (sequence, made, body, signature, signed_by) VALUES (?, ?, ?, ?, ?)", int64(body.Sequence), body.At.UnixNano(), text, signature, key)
	return err
}

// Deletions gives up to n records from a sequence on, in order.
func (s *Store) Deletions(ctx context.Context, from uint64, n int) ([]Deletion, error) {
	var ds []Deletion
	err := each(ctx, s.db, func(r *sql.Rows) error {
		var d Deletion
		var at int64
		if err := r.Scan(&d.Sequence, &at, &d.Body, &d.Signature, &d.Key); err != nil {
			return err
		}
		d.At = moment(at)
		ds = append(ds, d)
		return nil
	}, "SELECT sequence, made, body, signature, signed_by FROM deletion WHERE sequence >= ? ORDER BY sequence LIMIT ?", int64(min(from, 1<<62)), n)
	return ds, err
}
