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
	"runtime"
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
)

// sampleFile has a finding as the lab's captures give them.
const sampleFile = "../../report/testdata/pseudonyms.json"

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
	// Of many findings 200,000 are reported, and the others are copies.
	N := *measureFindings
	copies := storetest.Copies(N)
	// What lies there was filled earlier today, and all is made as it was.
	now := time.Now().Truncate(24 * time.Hour)
	reports, err := storetest.NewReports(sampleFile, 2000, N/copies, now)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{reports}
	per := N / copies / l.Sensors // reported findings of one sensor
	size := proto.Size(l.Revision(l.Sensors, 1))
	// The part of making messages, which a hub does not do.
	began := time.Now()
	for i := range 20_000 {
		l.Revision(i, 1)
	}
	t.Logf("a finding below watch has %d bytes, making one takes %v", size, time.Since(began)/20_000)
	if err := l.fill(ctx, t, o, per, copies, now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if *measureFill {
		return
	}
	s := openStore(t, o)
	rate := func(name string, n int, d time.Duration) {
		t.Logf("%-34s %8.0f findings/s (%d in %v; %d transactions, heap %d MiB)", name, float64(n)/d.Seconds(), n, d.Round(time.Millisecond), s.Counters().Commits, heap())
	}
	M := min(N, 100_000)
	fresh := 10_000 + int(time.Now().Unix()/10%8640)*200
	revision := uint64(time.Now().UnixNano())
	rate("new findings", M, l.flood(t, s, M, 100, func(b, i int) (int, uint64) { return fresh + b/l.Sensors*100 + i, 1 }))
	rate("revisions", M, l.flood(t, s, M, 100, func(b, i int) (int, uint64) { return rand.IntN(per), revision + uint64(b) }))
	rate("one of five new, others revised", M, l.flood(t, s, M, 100, func(b, i int) (int, uint64) {
		if i < 20 {
			return fresh + 100 + b/l.Sensors*20 + i, 1
		}
		return rand.IntN(per), revision + uint64(M+b)
	}))
	t.Logf("acknowledgement at 1,500/s: %s", l.steady(t, s, per, revision+uint64(2*M)))

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
		var ds []time.Duration
		var rows int
		for range 20 {
			began := time.Now()
			got, err := s.Findings(ctx, q.f, Page{Size: 100})
			if err != nil {
				t.Fatal(err)
			}
			ds, rows = append(ds, time.Since(began)), len(got.Rows)
		}
		slices.Sort(ds)
		t.Logf("list: %-30s %4d rows, median %6.2f ms, worst %6.2f ms", q.name, rows, ms(ds[10]), ms(ds[19]))
	}
	began = time.Now()
	if _, err := s.Lines(ctx, Filter{MinVerdict: watch}, Page{Size: 100}); err != nil {
		t.Fatal(err)
	}
	t.Logf("list: lines at watch %.2f ms", ms(time.Since(began)))
	began = time.Now()
	if _, err := s.Controllers(ctx, Filter{}, Page{Size: 100}); err != nil {
		t.Fatal(err)
	}
	t.Logf("list: controllers %.2f ms", ms(time.Since(began)))
	if o.URL == "" {
		for _, name := range []string{fileName, fileName + "-wal"} {
			if i, err := os.Stat(filepath.Join(o.Folder, name)); err == nil {
				t.Logf("%s: %d MiB, %d bytes a finding", name, i.Size()>>20, i.Size()/int64(N))
			}
		}
	}
	t.Logf("resident at most: %s", peak())
}

// fill reports so many findings of each sensor to an empty store and copies them.
func (l *load) fill(ctx context.Context, t testing.TB, o Options, per, copies int, received time.Time) error {
	o.HubKey, o.Now = hubKey, func() time.Time { return received }
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	c, err := s.Census(ctx)
	if err != nil || c != (Census{}) {
		return errors.Join(err, s.Close())
	}
	began := time.Now()
	for k := range l.Sensors {
		admit(t, s, l.Sensor(k))
	}
	for at := 0; at < per; at += 100 {
		n := min(per-at, 100)
		l.flood(t, s, n*l.Sensors, n, func(_, i int) (int, uint64) { return at + i, 1 })
	}
	if err := s.Close(); err != nil {
		return err
	}
	t.Logf("%d findings reported in %v", per*l.Sensors, time.Since(began).Round(time.Second))
	if copies == 1 {
		return nil
	}
	began = time.Now()
	err = multiply(ctx, t, o, copies)
	t.Logf("and %d times copied in %v", copies, time.Since(began).Round(time.Second))
	return err
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

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse >> 20
}

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
