package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store/storetest"
	"simtrap/report/reportpb"
)

var server storetest.Shared

func TestMain(m *testing.M) {
	if os.Getenv("SIMTRAP_STORE_CHILD") != "" {
		child()
		return
	}
	os.Exit(server.Main(m))
}

func postgresURL(t testing.TB) string {
	t.Helper()
	return server.URL(t)
}

var hubKey = []byte("a key of a hub, thirty-two bytes")

// noon is when tests begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	o.HubKey = hubKey
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, test := t.(*testing.T); test {
			usesAreCounted(t, s)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// usesAreCounted holds the counts of controllers that are stored against counting.
func usesAreCounted(t testing.TB, s *Store) {
	t.Helper()
	s.mu.RLock()
	closed := s.closed
	s.mu.RUnlock()
	if closed {
		return
	}
	read := func(q string) map[ID]use {
		m := map[ID]use{}
		if err := each(context.Background(), s.db, func(r *sql.Rows) error {
			var digest []byte
			var x use
			err := r.Scan(&digest, &x.lines, &x.watch, &x.review)
			if err == nil && x != (use{}) {
				m[ID(digest)] = x
			}
			return err
		}, q); err != nil {
			t.Error(err)
		}
		return m
	}
	counted := read("SELECT digest, count(*), count(CASE WHEN verdict >= 2 THEN 1 END), count(CASE WHEN verdict >= 3 THEN 1 END) FROM bearer WHERE kind = 6 GROUP BY digest")
	stored := read("SELECT digest, CAST(sum(lines) AS BIGINT), CAST(sum(watch) AS BIGINT), CAST(sum(review) AS BIGINT) FROM controller_use GROUP BY digest")
	if diff := cmp.Diff(counted, stored, cmp.AllowUnexported(use{})); diff != "" {
		t.Errorf("uses of controllers (-counted +stored):\n%s", diff)
	}
	// What is read in the order of lists is what bears the keys, and nothing is missing.
	rows := func(q string) (rows []string) {
		if err := each(context.Background(), s.db, func(r *sql.Rows) error {
			var digest, finding []byte
			var since int64
			err := r.Scan(&digest, &since, &finding)
			rows = append(rows, fmt.Sprintf("%x %d %x", digest, since, finding))
			return err
		}, q); err != nil {
			t.Error(err)
		}
		return rows
	}
	if diff := cmp.Diff(rows("SELECT b.digest, f.since, b.finding FROM bearer b JOIN finding f ON f.id = b.finding WHERE b.kind = 6 ORDER BY 1, 2, 3"),
		rows("SELECT digest, since, finding FROM controller_finding ORDER BY 1, 2, 3")); diff != "" {
		t.Errorf("findings of controllers (-keys +stored):\n%s", diff)
	}
}

// onBoth runs a test on both stores.
func onBoth(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Run("sqlite", func(t *testing.T) { test(t, openStore(t, Options{Folder: t.TempDir()})) })
	t.Run("postgres", func(t *testing.T) { test(t, openStore(t, Options{URL: postgresURL(t)})) })
}

func admit(t testing.TB, s *Store, names ...string) {
	t.Helper()
	for _, n := range names {
		hash := [32]byte(append([]byte(n), make([]byte, 32)...))
		if err := s.AddToken(t.Context(), Token{Hash: hash, Sensor: n, By: "test", Made: noon, Expires: noon.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TakeToken(t.Context(), hash, noon, func(string) (Admission, error) {
			return Admission{Serial: "serial of " + n, Given: noon, Ends: noon.Add(30 * 24 * time.Hour)}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

func ptr[T any](v T) *T { return &v }

// findingID makes the id that a sensor gives its finding number n.
func findingID(n int) []byte { return []byte(fmt.Sprintf("finding %08d", n)) }

// revisionOf makes a finding of a line as sensors send it.
func revisionOf(n int, revision uint64, v reportpb.Verdict, line string, change ...func(*reportpb.Finding)) *reportpb.FindingRevision {
	f := &reportpb.Finding{
		Line: line, Verdict: v, Score: ptr(5.125), Margin: ptr(1.5), Nearest: "analogue adapter",
		Device: &reportpb.Device{}, Calls: &reportpb.Calls{Inbound: 3}, Links: &reportpb.Links{},
		FirstSeen: stamp(noon.Add(-time.Hour + time.Duration(n)*time.Second)), LastSeen: stamp(noon.Add(-time.Minute)),
	}
	for _, c := range change {
		c(f)
	}
	return &reportpb.FindingRevision{Id: findingID(n), Revision: revision, EpochStart: f.FirstSeen, Finding: f}
}

func record(seq uint64, r *reportpb.FindingRevision) *reportpb.Record {
	return &reportpb.Record{Sequence: seq, KeyEpoch: 1, Kind: &reportpb.Record_Finding{Finding: r}}
}

// deliver sends findings of one sensor as one delivery.
func deliver(t testing.TB, s *Store, sensor string, first uint64, rs ...*reportpb.FindingRevision) Receipt {
	t.Helper()
	var records []*reportpb.Record
	for i, r := range rs {
		records = append(records, record(first+uint64(i), r))
	}
	return deliverRecords(t, s, sensor, records...)
}

func deliverRecords(t testing.TB, s *Store, sensor string, records ...*reportpb.Record) Receipt {
	t.Helper()
	r, err := s.Ingest(context.Background(), Delivery{
		Sensor: sensor, Epoch: 7, First: records[0].Sequence, Last: records[len(records)-1].Sequence, Records: records, ReceivedAt: noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	none   = reportpb.Verdict_VERDICT_NONE
	watch  = reportpb.Verdict_VERDICT_WATCH
	review = reportpb.Verdict_VERDICT_REVIEW
	atCase = reportpb.Verdict_VERDICT_CASE
)
