package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"simtrap/hub/store/storetest"
	"simtrap/report/reportpb"
)

// go test ./hub/store -run '^$' -bench Store -benchtime 1x -store.findings 10000000
// -store.kind sqlite -timeout 4h
var (
	measureFindings = flag.Int("store.findings", 100_000, "measure a store with so many findings")
	measureKind     = flag.String("store.kind", "sqlite", "sqlite or postgres")
	measureFolder   = flag.String("store.folder", "", "where the measured SQLite lies and stays; a temporary folder if empty")
	measureURL      = flag.String("store.url", "", "the measured PostgreSQL; one of its own if empty")
	measureFill     = flag.Bool("store.fill", false, "fill the store and do no more")
	measureParts    = flag.String("store.parts", "new,revisions,mixed,steady,lists", "what is measured")
)

// caseFolders have findings as the lab's captures give them.
const caseFolders = "../../cases"

// load sends reports of a fleet.
type load struct{ *storetest.Reports }

// send delivers findings of one sensor.
func (l *load) send(ctx context.Context, s *Store, sensor string, rs []*reportpb.FindingRevision) error {
	d := Delivery{Sensor: sensor, Epoch: 1, First: 1, Last: uint64(len(rs)), ReceivedAt: s.now(), Owned: true}
	for i, r := range rs {
		d.Records = append(d.Records, record(uint64(i+1), r))
	}
	for {
		_, err := s.Ingest(ctx, d)
		if !errors.Is(err, ErrBusy) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// flood sends count findings as fast as they are taken, in batches of size of 32
// sensors at once, and gives how long it took. pick chooses the sensor's finding that
// is i-th in the batch of this number, and its revision.
func (l *load) flood(t testing.TB, s *Store, count, size int, pick func(batch, i int) (n int, revision uint64)) time.Duration {
	const workers = 32
	began := time.Now()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range workers {
		wg.Go(func() {
			for {
				b := int(next.Add(1)) - 1
				if b >= count/size {
					return
				}
				rs := make([]*reportpb.FindingRevision, size)
				for i := range rs {
					n, revision := pick(b, i)
					rs[i] = l.Revision(n*l.Sensors+b%l.Sensors, revision)
				}
				if err := l.send(t.Context(), s, l.Sensor(b%l.Sensors), rs); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

func BenchmarkStore(t *testing.B) {
	ctx := t.Context()
	o := Options{Folder: *measureFolder}
	if o.Folder == "" {
		o.Folder = t.TempDir()
	}
	switch {
	case *measureURL != "":
		o.URL = *measureURL
	case *measureKind == "postgres":
		// Durable, as in earnest.
		server, err := storetest.Start("fsync=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=2GB")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Stop() })
		if o.URL, err = server.URL(); err != nil {
			t.Fatal(err)
		}
	}
	N := *measureFindings
	// What lies there was filled earlier today, and all is made as it was.
	now := time.Now().Truncate(24 * time.Hour)
	reports, err := storetest.NewReports(caseFolders, storetest.FleetSize, N, now)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{reports}
	per := N / l.Sensors // findings of one sensor
	size := proto.Size(l.Revision(l.Sensors, 1))
	// The part of making messages, which a hub does not do.
	began := time.Now()
	for i := range 20_000 {
		l.Revision(i, 1)
	}
	t.Logf("a finding below watch has %d bytes, making one takes %v", size, time.Since(began)/20_000)
	if err := fill(ctx, t, o, l.Reports, N, now.Add(-time.Hour), true); err != nil {
		t.Fatal(err)
	}
	if *measureFill {
		return
	}
	s := openStore(t, o)
	var table [][2]string
	tell := func(what, format string, a ...any) {
		table = append(table, [2]string{what, fmt.Sprintf(format, a...)})
		t.Logf("%s: %s", what, table[len(table)-1][1])
	}
	wants := func(part string) bool { return slices.Contains(strings.Split(*measureParts, ","), part) }
	M := min(N, 100_000)
	flood := func(what string, pick func(b, i int) (int, uint64)) {
		commits := s.Counters().Commits
		d := l.flood(t, s, M, 100, pick)
		tell(what, "%.0f/s (%d in %v, %d transactions)", float64(M)/d.Seconds(), M, d.Round(100*time.Millisecond), s.Counters().Commits-commits)
	}
	fresh := 10_000 + int(time.Now().Unix()/10%8640)*200
	revision := uint64(time.Now().UnixNano())
	if wants("new") {
		flood("new findings", func(b, i int) (int, uint64) { return fresh + b/l.Sensors*100 + i, 1 })
	}
	if wants("revisions") {
		flood("revisions, of any stored finding", func(b, i int) (int, uint64) { return rand.IntN(per), revision + uint64(b) })
	}
	if wants("mixed") {
		flood("one of five new, the others revised", func(b, i int) (int, uint64) {
			if i < 20 {
				return fresh + 100 + b/l.Sensors*20 + i, 1
			}
			return rand.IntN(per), revision + uint64(M+b)
		})
	}
	if wants("steady") {
		tell("acknowledgement at 1,500/s, revisions, 10 s", "%s", l.steady(t, s, per, revision+uint64(2*M)))
	}
	if wants("lists") {
		for _, q := range l.lists(s, now) {
			var ds []time.Duration
			var rows int
			for range 20 {
				began := time.Now()
				n, err := q.read(ctx)
				if err != nil {
					t.Fatal(err)
				}
				ds, rows = append(ds, time.Since(began)), n
			}
			slices.Sort(ds)
			tell(q.what+", 20 pages", "%d rows: median %.1f ms, worst %.1f ms", rows, ms(ds[10]), ms(ds[19]))
		}
	}
	if o.URL == "" {
		for _, name := range []string{fileName, fileName + "-wal"} {
			if i, err := os.Stat(filepath.Join(o.Folder, name)); err == nil {
				tell(name, "%d MiB, %d bytes a finding", i.Size()>>20, i.Size()/int64(N))
			}
		}
	} else {
		var size int64
		if err := one(ctx, s.db, []any{&size}, "SELECT pg_database_size(current_database())"); err != nil {
			t.Fatal(err)
		}
		tell("the database", "%d MiB, %d bytes a finding", size>>20, size/int64(N))
	}
	tell("resident, sender and hub's store in one process", "%s", peak())
	// As docs/scale.md has it.
	kind := "SQLite"
	if o.URL != "" {
		kind = "PostgreSQL"
	}
	fmt.Printf("\n| | %s, %d stored |\n|---|---|\n", kind, N)
	for _, r := range table {
		fmt.Printf("| %s | %s |\n", r[0], r[1])
	}
}

// lists are those that are measured.
func (l *load) lists(s *Store, now time.Time) (qs []struct {
	what string
	read func(context.Context) (int, error)
}) {
	add := func(what string, read func(context.Context) (int, error)) {
		qs = append(qs, struct {
			what string
			read func(context.Context) (int, error)
		}{what, read})
	}
	page := Page{Size: 100}
	for _, q := range []struct {
		name string
		f    Filter
	}{
		{"newest findings", Filter{}}, {"newest at case", Filter{MinVerdict: atCase}}, {"newest at watch of a sensor", Filter{MinVerdict: watch, Sensors: []string{l.Sensor(3)}}},
		{"one line", Filter{Lines: []LineMatch{{Name: l.Line(7 * l.Sensors).String()}}}}, {"a /24 of lines", Filter{Lines: []LineMatch{{Prefix: netip.PrefixFrom(l.Line(7*l.Sensors), 24)}}}},
		{"one card", Filter{Cards: []string{s.names.again("46000~0000000000000000")}}}, {"a popular controller", Filter{Controllers: []netip.Prefix{netip.MustParsePrefix("198.18.0.7/32")}}},
		{"a day of ten ago", Filter{From: now.Add(-10 * 24 * time.Hour), Until: now.Add(-9 * 24 * time.Hour), MinVerdict: review}},
		{"vendor that is nowhere", Filter{Vendors: []string{"nobody"}}},
	} {
		add("list: "+q.name, func(ctx context.Context) (int, error) {
			got, err := s.Findings(ctx, q.f, page)
			return len(got.Rows), err
		})
	}
	add("list: lines at watch", func(ctx context.Context) (int, error) {
		got, err := s.Lines(ctx, Filter{MinVerdict: watch}, page)
		return len(got.Rows), err
	})
	add("list: controllers", func(ctx context.Context) (int, error) {
		got, err := s.Controllers(ctx, Filter{}, page)
		return len(got.Rows), err
	})
	return qs
}

// steady sends 1,500 findings/s for ten seconds in batches of 15, and tells how long
// acknowledgements take.
func (l *load) steady(t testing.TB, s *Store, per int, revision uint64) string {
	var mu sync.Mutex
	var ds []time.Duration
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			w := i % l.Sensors
			var rs []*reportpb.FindingRevision
			for range 15 {
				rs = append(rs, l.Revision(rand.IntN(per)*l.Sensors+w, revision+uint64(i)))
			}
			began := time.Now()
			if err := l.send(t.Context(), s, l.Sensor(w), rs); err != nil {
				t.Error(err)
			}
			mu.Lock()
			ds = append(ds, time.Since(began))
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(ds)
	return fmt.Sprintf("median %.1f ms, p99 %.1f ms, worst %.1f ms", ms(ds[len(ds)/2]), ms(ds[len(ds)*99/100]), ms(ds[len(ds)-1]))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// peak gives the most memory that the process had.
func peak() string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[0] == "VmHWM:" {
			n, _ := strconv.Atoi(f[1])
			return fmt.Sprintf("%d MiB", n>>10)
		}
	}
	return "unknown"
}
