package linker

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"simtrap/hub/link"
	"simtrap/hub/store"
)

const (
	// standsFor is how long a verdict on a controller counts, and expiresBy what
	// its end is rounded to, so that telling the same again changes nothing.
	standsFor = 14 * 24 * time.Hour
	expiresBy = 72 * time.Hour
	// mostReview lines of one controller are looked at. More add nothing to 3 nats.
	mostReview = 256
)

// tell sets what sensors are told of the controllers of touched tenancies: of those
// that have no suspect line any more that there is nothing to tell. It may be said
// twice, and is said before links are saved, so that a worker that is stopped between
// the two is made up for.
func (w *Worker) tell(ctx context.Context, f *facts, touched set) error {
	var addrs []string
	for _, id := range touched.list() {
		n := f.nodes[id]
		if n == nil {
			continue
		}
		for k := range n.keys {
			if k.Kind == link.ControllerKey {
				addrs = append(addrs, k.Value)
			}
		}
	}
	slices.Sort(addrs)
	large := 0
	addrs = slices.DeleteFunc(slices.Compact(addrs), func(addr string) bool {
		if !f.uses[addr].More {
			return false
		}
		if w.toldLately(addr) {
			return true
		}
		large++
		return large > mostLarge
	})
	if len(addrs) == 0 {
		return nil
	}
	var vs []store.ControllerVerdict
	seen := make(map[string]uint64, len(addrs))
	for _, addr := range addrs {
		seen[addr] = f.uses[addr].Version
		v, err := w.verdicts(ctx, f, addr)
		if err != nil {
			return err
		}
		vs = append(vs, v...)
	}
	if err := w.store.SaveVerdicts(ctx, seen, vs); err != nil {
		return fmt.Errorf("save verdicts on controllers: %w", err)
	}
	for _, addr := range addrs {
		if !f.uses[addr].More {
			continue
		}
		if len(w.told) >= mostBusy {
			clear(w.told)
		}
		w.told[addr] = w.now().Add(toldFor)
	}
	return nil
}

const (
	// toldFor is how long what was told of a controller of very many lines is let stand:
	// one line more is little of them, and all suspect ones have to be read to say it. It
	// is touched again soon.
	toldFor = 10 * time.Minute
	// mostLarge bounds how many of those one job tells of: where a program begins nothing
	// was told lately, and reading the suspects of all would hold up what is linked.
	mostLarge = 2
)

func (w *Worker) toldLately(addr string) bool {
	until, ok := w.told[addr]
	return ok && w.now().Before(until)
}

// verdicts on one controller: for each sensor that has suspect lines of it one
// for any line, and one for each line that it has a part in. Of one of which no hour
// was told yet there is none: suspect lines alone are reported, and how many others
// it has is not known.
func (w *Worker) verdicts(ctx context.Context, f *facts, addr string) ([]store.ControllerVerdict, error) {
	u := f.uses[addr]
	if len(u.Review) == 0 || f.lines[addr] == 0 {
		return nil, nil
	}
	ids := u.Review[:min(len(u.Review), mostReview)]
	if err := f.load(ctx, ids); err != nil {
		return nil, err
	}
	// Lines at watch are told as well: they are who may rise.
	key := link.Key{Kind: link.ControllerKey, Value: addr}
	var review, lines []link.Line
	names := make(map[link.ID]string)
	rings := make(map[store.ID]int)
	for _, id := range setOf(ids, f.suspects[key]).list() {
		n := f.nodes[id]
		if n == nil || !n.standing {
			continue
		}
		lines = append(lines, n.line)
		names[n.line.ID] = n.name
		if n.line.Verdict >= link.Review {
			review = append(review, n.line)
		}
		if !n.ring.IsZero() {
			rings[n.ring]++
		}
	}
	all := max(u.Lines, f.lines[addr], len(lines))
	if u.More {
		all = max(all, tooMany)
	}
	var ring store.ID
	for id, n := range rings {
		if ring.IsZero() || n > rings[ring] || n == rings[ring] && compareIDs(id, ring) < 0 {
			ring = id
		}
	}
	sensors := make(map[string]bool)
	for i := range lines {
		sensors[lines[i].Sensor] = true
	}
	ask := slices.Clone(lines)
	for s := range sensors {
		// Any other line of the sensor: it may be one of the suspect ones at another
		// time.
		ask = append(ask, link.Line{Sensor: s})
	}
	expires := w.now().Add(standsFor).Truncate(expiresBy)
	var vs []store.ControllerVerdict
	general := make(map[string]store.ControllerVerdict)
	told := link.Tell(ask, all, review)
	for i := len(told) - 1; i >= 0; i-- {
		l, t := &ask[i], told[i]
		v := store.ControllerVerdict{
			Sensor: l.Sensor, Line: names[l.ID], Addr: addr, Lines: uint64(t.Lines), Review: uint64(t.Review),
			Nats: math.Round(t.Nats*10) / 10, Ring: ring, Expires: expires,
		}
		if i >= len(lines) {
			general[l.Sensor] = v
		} else if g := general[l.Sensor]; v.Nats == g.Nats {
			continue
		}
		if v.Nats > 0 || i < len(lines) {
			vs = append(vs, v)
		}
	}
	slices.SortFunc(vs, func(a, b store.ControllerVerdict) int {
		if c := strings.Compare(a.Sensor, b.Sensor); c != 0 {
			return c
		}
		// Of two tenancies of one line the one that says less counts.
		return cmp.Or(strings.Compare(a.Line, b.Line), cmp.Compare(a.Nats, b.Nats))
	})
	return slices.CompactFunc(vs, func(a, b store.ControllerVerdict) bool { return a.Sensor == b.Sensor && a.Line == b.Line }), nil
}
