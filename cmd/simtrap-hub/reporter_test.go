package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/report/outbox"
	"simtrap/report/reportpb"
	"simtrap/report/uplink"
)

const (
	// revised is how many findings of a reporter get ever newer revisions.
	revised = 20
	// boxLines is how many sensors see one box, each on a line of its own, and
	// boxCards how many cards it holds.
	boxLines, boxCards = 3, 8
	// outboxLimit is small, so that what waits for a hub that is away is dropped.
	outboxLimit = 256 << 10
)

// reporter is a sensor with an outbox and an uplink of its own, which reports
// findings, calls and hours of controllers as fast as it is told to, and keeps
// account of what it has reported and what was acknowledged.
type reporter struct {
	*member
	number int
	box    *outbox.Outbox
	up     *uplink.Uplink
	stop   func()

	mu    sync.Mutex
	last  []outbox.Record // the batch under way
	given [outbox.MaxKind + 1]map[uint64]bool
	acked [outbox.MaxKind + 1]map[uint64]bool
	newer [revised]uint64 // the highest revision given of each finding that is revised
	holds [revised]uint64 // the highest acknowledged
}

// The kinds of what is reported once, and of which gaps must equal what is missing.
var onceKinds = []outbox.Kind{uplink.KindFinding, uplink.KindCall, uplink.KindControllers}

func newReporter(t *testing.T, m *member, number int, address string) *reporter {
	t.Helper()
	r := &reporter{member: m, number: number}
	for _, k := range onceKinds {
		r.given[k], r.acked[k] = make(map[uint64]bool), make(map[uint64]bool)
	}
	var err error
	if r.box, err = outbox.Open(filepath.Join(t.TempDir(), "outbox"), outbox.Options{Limit: outboxLimit, Reserve: -1, Sync: outbox.SyncNever}); err != nil {
		t.Fatal(err)
	}
	// Waits are as short as the outages.
	if r.up, err = uplink.New(r, uplink.NewGRPC(m.client(address), "https://"+address), uplink.Options{
		Encode: uplink.Encode, BackoffMin: 10 * time.Millisecond, BackoffMax: 40 * time.Millisecond, Deadline: 5 * time.Second,
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.up.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		m.client(address).CloseIdleConnections()
		if err := r.box.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// Batch implements uplink.Source. A few records come together, as a sensor's do.
func (r *reporter) Batch(ctx context.Context, maxBytes, maxRecords int) ([]outbox.Record, error) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	list, err := r.box.Batch(ctx, maxBytes, maxRecords)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = list
	return list, err
}

// Ack implements uplink.Source.
func (r *reporter) Ack(epoch, seq uint64) error {
	if err := r.box.Ack(epoch, seq); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.last {
		x := &r.last[i]
		if x.Seq > seq || x.Kind == outbox.KindGap {
			continue
		}
		if x.Key != "" {
			n := binary.BigEndian.Uint64([]byte(x.Key))
			r.holds[n] = max(r.holds[n], x.Revision)
			continue
		}
		m := &reportpb.Record{}
		if err := proto.Unmarshal(x.Payload, m); err != nil {
			return err
		}
		r.acked[x.Kind][numberOf(m)] = true
	}
	return nil
}

// Refuse implements uplink.Source. A hub that refuses would show as a gap.
func (r *reporter) Refuse(epoch, seq uint64) error { return r.box.Refuse(epoch, seq) }

// numberOf is what a reporter gave a record as its number.
func numberOf(m *reportpb.Record) uint64 {
	switch k := m.GetKind().(type) {
	case *reportpb.Record_Finding:
		return binary.BigEndian.Uint64(k.Finding.GetId()[8:])
	case *reportpb.Record_Call:
		return binary.BigEndian.Uint64(k.Call.GetId()[8:])
	case *reportpb.Record_Controllers:
		return k.Controllers.GetControllers()[0].GetCalls()
	}
	return 0
}

// reportTime is the packet time of all that is reported.
var reportTime = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// id names what a reporter reports: findings that are revised, findings, calls.
func (r *reporter) id(n uint64) []byte {
	id := make([]byte, 16)
	binary.BigEndian.PutUint32(id, uint32(r.number))
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// score says what a finding was when it was given, so that a mix-up shows.
func score(n, revision uint64) float64 { return float64(n%1000) + float64(revision%1000)/1000 }

func (r *reporter) finding(n, revision uint64, v reportpb.Verdict) *reportpb.Record {
	at := timestamppb.New(reportTime)
	f := &reportpb.Finding{
		Line: fmt.Sprintf("s%d/10.%d.%d.%d", r.number, n>>16&0xff, n>>8&0xff, n&0xff), Verdict: v, Score: proto.Float64(score(n, revision)), Margin: proto.Float64(1), Nearest: "pbx",
		Calls: &reportpb.Calls{Inbound: 10}, FirstSeen: at, LastSeen: at,
	}
	if v >= reportpb.Verdict_VERDICT_WATCH {
		for i := range boxCards {
			f.Cards = append(f.Cards, &reportpb.Card{Imsi: fmt.Sprintf("46000~%02x%02x%012x", r.number/boxLines, i, n)})
		}
	}
	return &reportpb.Record{KeyEpoch: 1, Kind: &reportpb.Record_Finding{Finding: &reportpb.FindingRevision{Id: r.id(n), Revision: revision, EpochStart: at, Catalogue: 1, Finding: f}}}
}

// once is the first number of what is reported once: below are the findings that
// are revised.
const once = 1 << 12

// give reports n records more: every fourth a revision, the others calls, hours
// and findings, of which one in eight is suspect and so is linked.
func (r *reporter) give(t *testing.T, rng *mrand.Rand, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	put := func(x outbox.Record, m *reportpb.Record) {
		var err error
		if x.Payload, err = uplink.Payload(m); err != nil {
			t.Error(err)
			return
		}
		if _, err = r.box.Append(x); err != nil && !errors.Is(err, outbox.ErrDropped) {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	for range n {
		if rng.IntN(4) == 0 {
			i := rng.Uint64N(revised)
			r.newer[i]++
			put(outbox.Record{Key: string(binary.BigEndian.AppendUint64(nil, i)), Revision: r.newer[i], Kind: uplink.KindFinding, Priority: outbox.Case},
				r.finding(i, r.newer[i], reportpb.Verdict_VERDICT_NONE))
			continue
		}
		kind := onceKinds[rng.IntN(len(onceKinds))]
		k := once + uint64(len(r.given[kind]))
		r.given[kind][k] = true
		switch kind {
		case uplink.KindFinding:
			v := reportpb.Verdict_VERDICT_NONE
			if k%8 == 0 {
				v = reportpb.Verdict_VERDICT_REVIEW
			}
			put(outbox.Record{Kind: kind, Priority: outbox.Middle}, r.finding(k, 1, v))
		case uplink.KindCall:
			put(outbox.Record{Kind: kind, Priority: outbox.Low}, &reportpb.Record{KeyEpoch: 1, Kind: &reportpb.Record_Call{Call: &reportpb.Call{
				FindingId: r.id(k % revised), Id: r.id(k), Line: "10.0.0.1", Direction: reportpb.Direction_DIRECTION_INBOUND, Start: timestamppb.New(reportTime), End: timestamppb.New(reportTime.Add(time.Minute)),
			}}})
		case uplink.KindControllers:
			put(outbox.Record{Kind: kind, Priority: outbox.Low}, &reportpb.Record{KeyEpoch: 1, Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{
				Hour:        timestamppb.New(reportTime),
				Controllers: []*reportpb.ControllerHour{{Addr: fmt.Sprintf("198.18.0.%d", r.number), Role: "registrar", Lines: 1, Calls: k}},
			}}})
		}
	}
}

// drained says whether everything that was given has been acknowledged or is in a
// gap that was.
func (r *reporter) drained() bool {
	s := r.box.Stats()
	return s.Acked+1 >= s.Next
}

// drain waits until all of them are.
func drain(t *testing.T, all []*reporter, patience time.Duration) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		waiting := ""
		for _, r := range all {
			if !r.drained() {
				s, u := r.box.Stats(), r.up.Stats()
				waiting = fmt.Sprintf("%s: acknowledged %d of %d, %d failures: %s", r.name, s.Acked, s.Next-1, u.Failures, u.Error)
			}
		}
		if waiting == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not drained: %s", waiting)
		}
	}
}

// tally is what all reporters together reported, and what became of it.
type tally struct{ given, acked, stored, unheard, missing int }

func (x tally) String() string {
	return fmt.Sprintf("%d records given, %d acknowledged, %d stored once each, %d of these without the sensor knowing, %d missing, all of them in gaps", x.given, x.acked, x.stored, x.unheard, x.missing)
}

// account holds what a hub has stored against what its sensors gave. Whatever was
// acknowledged is there, once, as it was given; the newest of what was revised is;
// what was never acknowledged is in a gap, and nothing else is.
func account(t *testing.T, s *store.Store, db *sql.DB, all []*reporter) tally {
	t.Helper()
	ctx := t.Context()
	stored := make([][outbox.MaxKind + 1]map[uint64]bool, len(all))
	which := make(map[store.ID]struct {
		r *reporter
		n uint64
	})
	for i, r := range all {
		for _, k := range onceKinds {
			stored[i][k] = make(map[uint64]bool)
		}
		for n := range r.given[uplink.KindFinding] {
			which[store.FindingID(r.name, r.id(n))] = struct {
				r *reporter
				n uint64
			}{r, n}
		}
		for n := range uint64(revised) {
			which[store.FindingID(r.name, r.id(n))] = struct {
				r *reporter
				n uint64
			}{r, n}
		}
	}
	newest := make(map[store.ID]bool)
	var counted store.Census
	for page := (store.Page{Size: 1000}); ; {
		l, err := s.Findings(ctx, store.Filter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for i := range l.Rows {
			f := &l.Rows[i]
			w, ok := which[f.ID]
			x := f.Report
			if !ok || f.Sensor != w.r.name {
				t.Fatalf("nobody gave finding %v of %s", f.ID, f.Sensor)
			}
			if x.GetFinding().GetScore() != score(w.n, x.GetRevision()) || x.GetFinding().GetLine() != w.r.finding(w.n, 1, 0).GetFinding().GetFinding().GetLine() {
				t.Errorf("%s: finding %d was not given like this: %v", f.Sensor, w.n, x)
			}
			switch x.GetFinding().GetVerdict() {
			case reportpb.Verdict_VERDICT_NONE:
				counted.None++
			case reportpb.Verdict_VERDICT_REVIEW:
				counted.Review++
			}
			if w.n < revised {
				if x.GetRevision() != w.r.newer[w.n] || newest[f.ID] {
					t.Errorf("%s: finding %d stands at revision %d, %d was given; seen before: %v", f.Sensor, w.n, x.GetRevision(), w.r.newer[w.n], newest[f.ID])
				}
				newest[f.ID] = true
				continue
			}
			if has := stored[w.r.number][uplink.KindFinding]; has[w.n] {
				t.Errorf("%s: finding %d stands twice in the list", f.Sensor, w.n)
			} else {
				has[w.n] = true
			}
		}
		if page.After = l.Next; l.Next == "" {
			break
		}
	}
	if c, err := s.Census(ctx); err != nil || c != counted {
		t.Errorf("the hub counts %+v, %+v are there: %v", c, counted, err)
	}
	for _, r := range all {
		has := stored[r.number]
		for n, newer := range r.newer {
			if newer > 0 && !newest[store.FindingID(r.name, r.id(uint64(n)))] {
				t.Errorf("%s: finding %d is missing, revision %d was given, %d acknowledged", r.name, n, newer, r.holds[n])
			}
		}
		for n := range uint64(revised) {
			id := store.FindingID(r.name, r.id(n))
			numbers(t, db, has[uplink.KindCall], "SELECT id FROM call WHERE finding = $1", func(b []byte) uint64 { return binary.BigEndian.Uint64(b[8:]) }, id[:])
		}
		addr := []byte{10: 0xff, 11: 0xff, 12: 198, 13: 18, 14: 0, 15: byte(r.number)}
		numbers(t, db, has[uplink.KindControllers], "SELECT calls FROM controller_hour WHERE addr = $1", func(n int64) uint64 { return uint64(n) }, addr)
	}
	var sum tally
	for _, r := range all {
		gaps, err := s.Gaps(ctx, r.name, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		lost := make(map[outbox.Kind]int)
		told := uint64(0)
		for _, g := range gaps {
			for _, l := range g.Gap.GetLost() {
				lost[outbox.Kind(l.GetKind())] += int(l.GetCount())
				told += l.GetCount()
			}
		}
		if x, err := s.Sensor(ctx, r.name); err != nil || x.Missing != told {
			t.Errorf("%s: %d records are missing, gaps tell of %d: %v", r.name, x.Missing, told, err)
		}
		for _, kind := range onceKinds {
			has := stored[r.number][kind]
			sum.given, sum.acked, sum.stored = sum.given+len(r.given[kind]), sum.acked+len(r.acked[kind]), sum.stored+len(has)
			for n := range r.acked[kind] {
				if !has[n] {
					t.Errorf("%s: kind %d, number %d was acknowledged and is lost", r.name, kind, n)
				}
			}
			for n := range has {
				if !r.given[kind][n] {
					t.Errorf("%s: kind %d, number %d was never given", r.name, kind, n)
				}
			}
			// What arrived and was not acknowledged before it was dropped is in a gap
			// too: the sensor cannot know.
			unheard := len(has) - len(r.acked[kind])
			sum.unheard += unheard
			sum.missing += len(r.given[kind]) - len(has)
			if want := len(r.given[kind]) - len(r.acked[kind]); lost[kind] != want {
				t.Errorf("%s: gaps tell of %d of kind %d, %d were never acknowledged, %d of which are there", r.name, lost[kind], kind, want, unheard)
			}
			delete(lost, kind)
		}
		if len(lost) > 0 {
			t.Errorf("%s: gaps tell of other kinds: %v", r.name, lost)
		}
	}
	return sum
}

// numbers adds what rows of one column stand for; nothing may stand there twice.
func numbers[T any](t *testing.T, db *sql.DB, to map[uint64]bool, q string, number func(T) uint64, args ...any) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), q, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var x T
		if err := rows.Scan(&x); err != nil {
			t.Fatal(err)
		}
		n := number(x)
		if to[n] {
			t.Errorf("%s: %d stands there twice", q, n)
		}
		to[n] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// linked waits until nothing waits to be linked, and holds boxes against the cards
// that they were given.
func linked(t *testing.T, s *store.Store, all []*reporter, patience time.Duration) (boxes int) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		n, err := s.Queued(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d tenancies still wait to be linked", n)
		}
	}
	type group struct {
		first int
		n     uint64
	}
	of := make(map[group]store.ID)
	in := make(map[store.ID]group)
	for page := (store.Page{Size: 1000}); ; {
		l, err := s.Findings(t.Context(), store.Filter{MinVerdict: reportpb.Verdict_VERDICT_WATCH}, page)
		if err != nil {
			t.Fatal(err)
		}
		for i := range l.Rows {
			f := &l.Rows[i]
			var number int
			var a, b, c uint64
			if _, err := fmt.Sscanf(f.Report.GetFinding().GetLine(), "s%d/10.%d.%d.%d", &number, &a, &b, &c); err != nil {
				t.Fatal(err)
			}
			g := group{number / boxLines, a<<16 | b<<8 | c}
			switch {
			case f.Box.IsZero():
				t.Errorf("%s %s is in no box", f.Sensor, f.Report.GetFinding().GetLine())
			case of[g].IsZero() && in[f.Box] == group{}:
				of[g], in[f.Box] = f.Box, g
			case of[g] != f.Box || in[f.Box] != g:
				t.Errorf("%s %s is in box %v, others with its cards in %v", f.Sensor, f.Report.GetFinding().GetLine(), f.Box, of[g])
			}
		}
		if page.After = l.Next; l.Next == "" {
			return len(of)
		}
	}
}
