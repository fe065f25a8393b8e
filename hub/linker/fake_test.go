package linker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// fakeStore does in memory what hub/store promises of linking. stop, asked before
// every call, may end a worker where it stands.
type fakeStore struct {
	mu       sync.Mutex
	now      func() time.Time
	stop     func(op string) error
	found    map[store.ID]*store.Tenancy
	queue    map[store.ID]*waiting
	edges    map[edgeKey]store.Edge
	boxes    map[store.ID]store.Box
	rings    map[store.ID]store.Ring
	verdicts map[string][]store.ControllerVerdict
	versions map[string]uint64 // of verdicts
	busy     map[string]int
	stamp    int64
	saves    int
}

type waiting struct {
	stamp, since int64
	owner        string
	until        time.Time
}

type edgeKey struct {
	a, b  store.ID
	kind  store.EdgeKind
	scope store.Scope
}

func newFakeStore(now func() time.Time) *fakeStore {
	return &fakeStore{
		now: now, stop: func(string) error { return nil },
		found: make(map[store.ID]*store.Tenancy), queue: make(map[store.ID]*waiting),
		edges: make(map[edgeKey]store.Edge), boxes: make(map[store.ID]store.Box), rings: make(map[store.ID]store.Ring),
		verdicts: make(map[string][]store.ControllerVerdict), versions: make(map[string]uint64),
	}
}

var errStopped = errors.New("stopped here")

func (s *fakeStore) enter(op string) (leave func(), err error) {
	s.mu.Lock()
	if err := s.stop(op); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	return s.mu.Unlock, nil
}

// put stores a finding and touches it, as a report does.
func (s *fakeStore) put(sensor string, id byte, r *reportpb.FindingRevision) store.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := store.FindingID(sensor, []byte{id})
	t := s.found[x]
	before := reportpb.Verdict_VERDICT_NONE
	if t == nil {
		t = &store.Tenancy{ID: x, Line: store.LineID(sensor, r.GetFinding().GetLine()), Sensor: sensor}
		s.found[x] = t
	} else {
		before = t.Report.GetFinding().GetVerdict()
	}
	t.Report, t.Keys = r, store.Keys(r.GetFinding())
	if max(before, r.GetFinding().GetVerdict()) >= reportpb.Verdict_VERDICT_WATCH {
		s.touch(x)
	}
	return x
}

func (s *fakeStore) touch(x store.ID) {
	s.stamp++
	if q := s.queue[x]; q != nil {
		q.stamp = s.stamp
		return
	}
	s.queue[x] = &waiting{stamp: s.stamp, since: s.stamp}
}

func (s *fakeStore) Claim(_ context.Context, owner string, n int, lease time.Duration) ([]store.Touched, error) {
	leave, err := s.enter("claim")
	if err != nil {
		return nil, err
	}
	defer leave()
	var out []store.Touched
	for x, q := range s.queue {
		if q.owner == "" || !s.now().Before(q.until) {
			out = append(out, store.Touched{Finding: x, Stamp: q.stamp})
		}
	}
	slices.SortFunc(out, func(a, b store.Touched) int { return int(s.queue[a.Finding].since - s.queue[b.Finding].since) })
	out = out[:min(n, len(out))]
	for _, t := range out {
		q := s.queue[t.Finding]
		q.owner, q.until = owner, s.now().Add(lease)
	}
	return out, nil
}

func (s *fakeStore) Extend(_ context.Context, owner string, ts []store.Touched, lease time.Duration) (n int, err error) {
	leave, err := s.enter("extend")
	if err != nil {
		return 0, err
	}
	defer leave()
	for _, t := range ts {
		if q := s.queue[t.Finding]; q != nil && q.owner == owner {
			q.until = s.now().Add(lease)
			n++
		}
	}
	return n, nil
}

func (s *fakeStore) Release(_ context.Context, owner string, ts []store.Touched) error {
	leave, err := s.enter("release")
	if err != nil {
		return err
	}
	defer leave()
	for _, t := range ts {
		if q := s.queue[t.Finding]; q != nil && q.owner == owner {
			q.owner = ""
		}
	}
	return nil
}

func (s *fakeStore) Tenancies(_ context.Context, ids []store.ID) (out []store.Tenancy, err error) {
	leave, err := s.enter("tenancies")
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, x := range ids {
		if t := s.found[x]; t != nil {
			out = append(out, *t)
		}
	}
	return out, nil
}

func (s *fakeStore) Bearers(_ context.Context, keys []store.Key, total, watch int) (out []store.Bearers, err error) {
	leave, err := s.enter("bearers")
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, k := range keys {
		b := store.Bearers{Key: k}
		for x, t := range s.found {
			if !slices.Contains(t.Keys, k) {
				continue
			}
			b.Total++
			if t.Report.GetFinding().GetVerdict() >= reportpb.Verdict_VERDICT_WATCH {
				b.Watch = append(b.Watch, x)
			}
		}
		if b.Total > total {
			b.Total, b.More = total, true
		}
		sortIDs(b.Watch)
		if len(b.Watch) > watch {
			b.Watch, b.WatchMore = b.Watch[:watch], true
		}
		out = append(out, b)
	}
	return out, nil
}

func (s *fakeStore) Component(_ context.Context, ids []store.ID, limit int) (c store.Component, err error) {
	leave, err := s.enter("component")
	if err != nil {
		return c, err
	}
	defer leave()
	in, boxes, rings := setOf(ids), make(set), make(set)
	for range 2 {
		for x := range in {
			if t := s.found[x]; t != nil {
				boxes[t.Box], rings[t.Ring] = !t.Box.IsZero(), !t.Ring.IsZero()
			}
		}
		for x, t := range s.found {
			if boxes[t.Box] || rings[t.Ring] {
				in[x] = true
			}
		}
	}
	for _, x := range in.list() {
		if t := s.found[x]; t != nil {
			if len(c.Tenancies) == limit {
				c.More = true
				break
			}
			c.Tenancies = append(c.Tenancies, *t)
		}
	}
	for b, ok := range boxes {
		if x, there := s.boxes[b]; ok && there {
			c.Boxes = append(c.Boxes, x)
		}
	}
	for r, ok := range rings {
		if x, there := s.rings[r]; ok && there {
			c.Rings = append(c.Rings, x)
		}
	}
	for _, e := range s.edges {
		if in[e.A] && in[e.B] {
			c.Edges = append(c.Edges, e)
		}
	}
	return c, nil
}

func (s *fakeStore) SaveLinks(_ context.Context, l store.Links) error {
	leave, err := s.enter("save")
	if err != nil {
		return err
	}
	defer leave()
	for x, v := range l.Seen {
		if t := s.found[x]; t == nil || t.Version != v {
			return store.ErrConflict
		}
	}
	for _, t := range l.Claimed {
		if q := s.queue[t.Finding]; q == nil || q.owner != l.Owner {
			return store.ErrConflict
		}
	}
	for _, t := range l.Claimed {
		if q := s.queue[t.Finding]; q.stamp == t.Stamp {
			delete(s.queue, t.Finding)
		} else {
			q.owner = ""
		}
	}
	judged := setOf(l.Judged)
	for k := range s.edges {
		if judged[k.a] || judged[k.b] {
			delete(s.edges, k)
		}
	}
	for _, e := range l.Edges {
		s.edges[edgeKey{e.A, e.B, e.Kind, e.Scope}] = e
	}
	for x := range l.Seen {
		t := s.found[x]
		t.Version++
		t.Box, t.Ring = store.ID{}, store.ID{}
	}
	for _, b := range l.Boxes {
		b.Since = s.now()
		if old, ok := s.boxes[b.ID]; ok {
			b.Since = old.Since
		}
		s.boxes[b.ID] = b
		for _, m := range b.Members {
			if _, ok := l.Seen[m]; !ok {
				return errors.New("a member of a box that was not seen")
			}
			s.found[m].Box, s.found[m].Ring = b.ID, b.Ring
		}
	}
	for _, r := range l.Rings {
		r.Since = s.now()
		if old, ok := s.rings[r.ID]; ok {
			r.Since = old.Since
		}
		s.rings[r.ID] = r
	}
	for _, x := range l.GoneBoxes {
		delete(s.boxes, x)
	}
	for _, x := range l.GoneRings {
		delete(s.rings, x)
	}
	s.saves++
	// What an answer that got lost looks like.
	return s.stop("saved")
}

func (s *fakeStore) ControllerUse(_ context.Context, addrs []string, limit int) (out []store.ControllerUse, err error) {
	leave, err := s.enter("use")
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, a := range addrs {
		u := store.ControllerUse{Addr: a, Version: s.versions[a]}
		for x, t := range s.found {
			if !slices.ContainsFunc(t.Report.GetFinding().GetControllers(), func(c *reportpb.Controller) bool { return c.GetAddr() == a }) {
				continue
			}
			u.Lines++
			if t.Report.GetFinding().GetVerdict() >= reportpb.Verdict_VERDICT_REVIEW {
				u.Review = append(u.Review, x)
			}
		}
		u.Lines, u.More = min(u.Lines, limit), u.Lines > limit
		sortIDs(u.Review)
		out = append(out, u)
	}
	return out, nil
}

func (s *fakeStore) SaveVerdicts(_ context.Context, seen map[string]uint64, vs []store.ControllerVerdict) error {
	leave, err := s.enter("verdicts")
	if err != nil {
		return err
	}
	defer leave()
	next := make(map[string][]store.ControllerVerdict)
	for _, v := range vs {
		next[v.Addr] = append(next[v.Addr], v)
	}
	for a, version := range seen {
		if !slices.Equal(next[a], s.verdicts[a]) && version != s.versions[a] {
			return store.ErrConflict
		}
	}
	for a := range seen {
		if !slices.Equal(next[a], s.verdicts[a]) {
			s.versions[a]++
			s.verdicts[a] = next[a]
		}
	}
	return nil
}

func (s *fakeStore) BusiestHour(_ context.Context, addrs []string) ([]int, error) {
	leave, err := s.enter("busiest")
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make([]int, len(addrs))
	for i, a := range addrs {
		out[i] = s.busy[a]
	}
	return out, nil
}
