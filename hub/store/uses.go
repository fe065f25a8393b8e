package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
)

// useSlots is over how many rows the count of one controller is spread.
const useSlots = 16

type useKey struct {
	digest [16]byte
	slot   int64
}

// use is by how much the findings that name a controller grow in a transaction: all of
// them, and those at watch and at review or above.
type use struct{ lines, watch, review int64 }

// uses are the controllers that a transaction counts anew. Who writes or deletes keys
// of controllers tells it, so that what is stored is what would be counted.
type uses map[useKey]use

// useSlot gives a sensor's. Its row is locked when its findings are written.
func useSlot(sensor string) int64 {
	h := fnv.New32a()
	h.Write([]byte(sensor))
	return int64(h.Sum32() % useSlots)
}

// add counts n findings more, or less, of a sensor with these keys and this verdict.
func (u uses) add(sensor string, keys []Key, verdict, n int64) {
	for _, k := range keys {
		if k.Kind != KeyController {
			continue
		}
		at := useKey{k.Sum, useSlot(sensor)}
		x := u[at]
		x.lines += n
		if verdict >= watchVerdict {
			x.watch += n
		}
		if verdict > watchVerdict {
			x.review += n
		}
		u[at] = x
	}
}

// moved counts a finding at another verdict.
func (u uses) moved(sensor string, keys []Key, from, to int64) {
	if from != to {
		u.add(sensor, keys, from, -1)
		u.add(sensor, keys, to, 1)
	}
}

// rows gives what is to be written, in the order in which everybody takes the rows.
func (u uses) rows() []any {
	var order []useKey
	for k, x := range u {
		if x != (use{}) {
			order = append(order, k)
		}
	}
	slices.SortFunc(order, func(a, b useKey) int {
		return cmp.Or(bytes.Compare(a.digest[:], b.digest[:]), cmp.Compare(a.slot, b.slot))
	})
	var rows []any
	for _, k := range order {
		x := u[k]
		rows = append(rows, bytes.Clone(k.digest[:]), k.slot, x.lines, x.watch, x.review)
	}
	return rows
}

// writeUses comes late: what it locks others want too.
func (g *ingest) writeUses() error {
	if _, err := g.t.run(g.ctx, g.s.sql.uses, g.uses.rows()); err != nil {
		return fmt.Errorf("write uses: %w", err)
	}
	return nil
}

// recountRows is about how many keys are counted at a time to see whether what is kept
// of controllers is what would be counted.
const recountRows = 200_000

// recount counts some controllers anew, the next ones each time, and mends what is not
// so: a hub of before these counts that went on beside a newer one wrote keys and
// counted none. It gives how many were mended.
//
// Keys and counts are read in one statement, and whoever writes keys counts them in the
// same transaction, so that by how much the two differ does not depend on who writes
// meanwhile: that much is added.
func (s *Store) recount(ctx context.Context, limit int64) (mended int, err error) {
	at := s.recounted.Load()
	if at == nil {
		// Hubs that begin again and again would never come to the last ones.
		at = new([16]byte)
		rand.Read(at[:])
	}
	from := at[:]
	for counted := int64(0); counted < limit; {
		var digest []byte
		// One whose keys an older hub alone wrote was never counted, and one that
		// has no key may be counted still.
		for _, q := range []string{
			"SELECT digest FROM controller_use WHERE digest > ? ORDER BY digest LIMIT 1",
			"SELECT digest FROM bearer WHERE kind = 6 AND digest > ? ORDER BY digest LIMIT 1",
		} {
			var next []byte
			err := one(ctx, s.db, []any{&next}, q, from)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return mended, err
			}
			if err == nil && (digest == nil || bytes.Compare(next, digest) < 0) {
				digest = next
			}
		}
		if digest == nil {
			s.recounted.Store(new([16]byte))
			return mended, nil
		}
		off, n, err := miscounted(ctx, s.db, digest)
		if err != nil {
			return mended, err
		}
		if off != (use{}) {
			if err := s.mendUse(ctx, digest); err != nil {
				return mended, err
			}
			mended++
		}
		from = digest
		counted += n + 1
		s.recounted.Store((*[16]byte)(digest))
	}
	return mended, nil
}

// miscounted gives how many more there are of a controller than was counted, and how
// many keys were looked at.
func miscounted(ctx context.Context, a asker, digest []byte) (off use, n int64, err error) {
	var watch, review sql.NullInt64
	var had use
	err = one(ctx, a, []any{&n, &watch, &review, &had.lines, &had.watch, &had.review}, `SELECT b.n, b.watch, b.review, u.n, u.watch, u.review FROM
		(SELECT count(*) AS n, CAST(sum(CASE WHEN verdict >= 2 THEN 1 ELSE 0 END) AS BIGINT) AS watch, CAST(sum(CASE WHEN verdict >= 3 THEN 1 ELSE 0 END) AS BIGINT) AS review
			FROM bearer WHERE kind = 6 AND digest = ?) AS b,
		(SELECT CAST(COALESCE(sum(lines), 0) AS BIGINT) AS n, CAST(COALESCE(sum(watch), 0) AS BIGINT) AS watch, CAST(COALESCE(sum(review), 0) AS BIGINT) AS review
			FROM controller_use WHERE digest = ?) AS u`, digest, digest)
	return use{n - had.lines, watch.Int64 - had.watch, review.Int64 - had.review}, n, err
}

// mendUse corrects one controller. Of two hubs that do the second waits for the row that
// the first writes, and then finds nothing to correct.
func (s *Store) mendUse(ctx context.Context, digest []byte) error {
	return s.withinAs(ctx, patient, func(t *tx) error {
		if _, err := t.run(ctx, s.sql.uses, []any{digest, int64(-1), int64(0), int64(0), int64(0)}); err != nil {
			return err
		}
		off, _, err := miscounted(ctx, t, digest)
		if err != nil {
			return err
		}
		_, err = t.run(ctx, s.sql.uses, []any{digest, int64(-1), off.lines, off.watch, off.review})
		return err
	})
}
