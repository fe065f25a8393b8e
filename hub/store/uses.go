package store

import (
	"bytes"
	"cmp"
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
