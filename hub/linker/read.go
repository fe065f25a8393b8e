package linker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"simtrap/hub/link"
	"simtrap/hub/store"
)

const (
	// readAtOnce is how many tenancies are read in one go.
	readAtOnce = 500
	// bearersCounted is up to where bearers of a key are counted: beyond, it is
	// nobody's own.
	bearersCounted = 512
	// bearersGiven is how many suspect bearers are looked at. What more have in
	// common drives none of them alone (link.Controller.Dedication).
	bearersGiven = 256
	// usesCounted is up to where lines of a controller are counted.
	usesCounted = 512
	// tooMany lines of a controller, where nobody counted further.
	tooMany = 2000
)

// facts is all that one job has read.
type facts struct {
	w        *Worker
	nodes    map[store.ID]*node
	counts   link.Counts
	suspects map[link.Key][]store.ID // bearers at watch or above, of keys that may join
	asked    map[link.Key]bool
	uses     map[string]store.ControllerUse
	lines    map[string]int // of controllers, by their busiest hour
}

func (w *Worker) newFacts() *facts {
	return &facts{
		w: w, nodes: make(map[store.ID]*node),
		counts:   link.Counts{Bearers: make(map[link.Key]int), Controllers: make(map[string]link.Controller)},
		suspects: make(map[link.Key][]store.ID), asked: make(map[link.Key]bool),
		uses: make(map[string]store.ControllerUse), lines: make(map[string]int),
	}
}

// load reads those of ids that are not there yet. Ids that the store does not
// have any more are passed over.
func (f *facts) load(ctx context.Context, ids []store.ID) error {
	var missing []store.ID
	for _, id := range ids {
		if f.nodes[id] == nil {
			missing = append(missing, id)
		}
	}
	sortIDs(missing)
	missing = slices.Compact(missing)
	for part := range slices.Chunk(missing, readAtOnce) {
		ts, err := f.w.store.Tenancies(ctx, part)
		if err != nil {
			return fmt.Errorf("read tenancies: %w", err)
		}
		for i := range ts {
			f.take(&ts[i])
		}
	}
	return nil
}

func (f *facts) take(t *store.Tenancy) {
	if f.nodes[t.ID] == nil {
		f.nodes[t.ID] = f.w.node(t)
	}
}

// count reads how common the keys of ids are and who bears them, and gives the
// bearers whose edges may hang on it.
func (f *facts) count(ctx context.Context, ids []store.ID) ([]store.ID, error) {
	var keys []link.Key
	var sums []store.Key
	for _, id := range ids {
		n := f.nodes[id]
		if n == nil {
			continue
		}
		for k, s := range n.keys {
			if !f.asked[k] {
				f.asked[k] = true
				if c, ok := f.w.common[k]; ok && k.Kind != link.ControllerKey && f.w.now().Before(c.until) {
					f.counts.Bearers[k] = c.bearers
					continue
				}
				keys = append(keys, k)
				sums = append(sums, s)
			}
		}
	}
	sort2(keys, sums)
	var addrs []string
	for _, k := range keys {
		if k.Kind == link.ControllerKey {
			addrs = append(addrs, k.Value)
		}
	}
	for part := range slices.Chunk(addrs, readAtOnce) {
		us, err := f.w.store.ControllerUse(ctx, part, usesCounted)
		if err != nil {
			return nil, fmt.Errorf("read controllers: %w", err)
		}
		for _, u := range us {
			f.uses[u.Addr] = u
		}
	}
	lines, err := f.w.busiest(ctx, addrs, f.uses)
	if err != nil {
		return nil, err
	}
	var found []store.ID
	for at := 0; at < len(keys); at += readAtOnce {
		end := min(at+readAtOnce, len(keys))
		bs, err := f.w.store.Bearers(ctx, sums[at:end], bearersCounted, bearersGiven)
		if err != nil {
			return nil, fmt.Errorf("read bearers: %w", err)
		}
		for i, b := range bs {
			k := keys[at+i]
			f.counts.Bearers[k] = b.Total
			if k.Kind == link.ControllerKey {
				f.counts.Controllers[k.Value] = f.controller(k.Value, &b, lines[k.Value])
			}
			if b.WatchMore || !f.near(k) {
				if b.More {
					f.w.remember(k, b.Total)
				}
				continue
			}
			f.suspects[k] = b.Watch
			found = append(found, b.Watch...)
		}
	}
	return found, nil
}

// common is a key that too many bear for it to join any of them, and until when that
// is taken for true: counting them is the most of what linking reads.
type common struct {
	bearers int
	until   time.Time
}

const (
	commonFor  = 10 * time.Minute
	mostCommon = 50_000
)

func (w *Worker) remember(k link.Key, bearers int) {
	if len(w.common) >= mostCommon {
		clear(w.common) // it is counted again where it is needed
	}
	w.common[k] = common{bearers, w.now().Add(commonFor)}
}

// busy is how many lines a controller had, and until when that is taken for true.
type busy struct {
	lines int
	told  uint64 // as ControllerUse had it
	until time.Time
}

const (
	busyFor  = 10 * time.Minute
	mostBusy = 10_000
)

// busiest tells the lines of controllers in their busiest hours.
func (w *Worker) busiest(ctx context.Context, addrs []string, uses map[string]store.ControllerUse) (map[string]int, error) {
	now := w.now()
	out := make(map[string]int, len(addrs))
	var ask []string
	for _, a := range addrs {
		if b, ok := w.busy[a]; ok && now.Before(b.until) && b.told == uses[a].Told {
			out[a] = b.lines
		} else {
			ask = append(ask, a)
		}
	}
	for part := range slices.Chunk(ask, readAtOnce) {
		lines, err := w.store.BusiestHour(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("read controllers: %w", err)
		}
		for i, a := range part {
			out[a] = lines[i]
			if len(w.busy) >= mostBusy {
				clear(w.busy) // it is read again where it is needed
			}
			if lines[i] > 0 { // an hour that is told later is to be known at once
				w.busy[a] = busy{lines[i], uses[a].Told, now.Add(busyFor)}
			}
		}
	}
	return out, nil
}

// controller is what is known of one before its lines are read: as if they were
// all alike, which is the most that they can be.
func (f *facts) controller(addr string, b *store.Bearers, lines int) link.Controller {
	f.lines[addr] = lines
	c := link.Controller{Lines: lines, Known: b.Total, Watch: len(b.Watch)}
	if b.WatchMore {
		// So many suspect lines drive nobody alone.
		c.Watch, c.Lines = bearersGiven, max(c.Lines, tooMany)
	}
	if c.Watch > 0 {
		c.Shaped, c.Shapes = c.Watch, 1
	}
	return c
}

// near says whether the key joins lines, or did until lately: then edges over it
// have to be looked at once more, to be taken back.
func (f *facts) near(k link.Key) bool {
	if f.counts.Tells(k) {
		return true
	}
	before := link.Counts{
		Bearers:     map[link.Key]int{k: f.counts.Bearers[k] / 2},
		Controllers: map[string]link.Controller{},
	}
	c := f.counts.Controllers[k.Value]
	c.Lines /= 2
	c.Known /= 2
	before.Controllers[k.Value] = c
	return before.Tells(k)
}

// settle sets what is known of controllers by their lines, once these are read.
func (f *facts) settle() {
	for k, who := range f.suspects {
		if k.Kind != link.ControllerKey {
			continue
		}
		c := f.counts.Controllers[k.Value]
		shapes := make(map[string]bool)
		c.Watch, c.Shaped = 0, 0
		for _, id := range who {
			n := f.nodes[id]
			if n == nil || !n.standing {
				continue
			}
			if !n.line.Declared {
				c.Watch++
			}
			if n.line.Stack != "" {
				c.Shaped++
				shapes[n.line.Stack] = true
			}
		}
		c.Shapes = len(shapes)
		f.counts.Controllers[k.Value] = c
	}
}

func sortIDs(ids []store.ID) {
	slices.SortFunc(ids, compareIDs)
}

func compareIDs(a, b store.ID) int {
	for i := range a {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

// sort2 puts keys in order, and sums with them, so that every worker asks in the
// same order.
func sort2(keys []link.Key, sums []store.Key) {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return link.CompareKeys(keys[a], keys[b]) })
	k, s := slices.Clone(keys), slices.Clone(sums)
	for i, o := range order {
		keys[i], sums[i] = k[o], s[o]
	}
}
