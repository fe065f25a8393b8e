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
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"simtrap/hub/store/storetest"
	"simtrap/report"
	"simtrap/report/reportpb"
)

// go test ./hub/store -run '^$' -bench Store -benchtime 1x -store.findings 10000000
// -store.kind sqlite -timeout 4h
var (
	measureFindings = flag.Int("store.findings", 100_000, "measure a store with so many findings")
	measureKind     = flag.String("store.kind", "sqlite", "sqlite or postgres")
	measureFolder   = flag.String("store.folder", "", "where the measured store lies; a temporary folder if empty")
)

// samples are findings as the lab's captures give them: at case, and one below.
func samples(t testing.TB) (atCase, below *reportpb.Finding) {
	b, err := os.ReadFile("../../report/testdata/pseudonyms.json")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	atCase, err = report.ParseJSON([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	below = proto.CloneOf(atCase)
	below.Cards, below.Proof = nil, false
	// As many words as the case folders have on average (docs/design.md).
	for i, x := 0, []*reportpb.Finding{atCase, below}; i < 2; i++ {
		for j := 0; proto.Size(x[i]) < []int{5300, 2800}[i]; j++ {
			g := proto.CloneOf(x[i].Signals[j])
			g.Detail += fmt.Sprintf(" of %d", 1000+j*377)
			x[i].Signals = append(x[i].Signals, g)
		}
	}
	return atCase, below
}

// load makes reports of a fleet of sensors: of a hundred findings 90 below watch,
// 7 at watch, 2 at review, 1 at case. Finding n is always the same but for its
// revision.
type load struct {
	atCase, below *reportpb.Finding
	sensors       []string
}

func (l *load) revision(n int, revision uint64) *reportpb.FindingRevision {
	var f *reportpb.Finding
	switch k := n * 7919 % 100; {
	case k == 0:
		f = proto.CloneOf(l.atCase)
		for i, c := range f.Cards {
			c.Imsi = fmt.Sprintf("46000~%016x", n*64+i)
			c.Iccid = ""
		}
	case k < 3:
		f = proto.CloneOf(l.below)
		f.Verdict = review
	case k < 10:
		f = proto.CloneOf(l.below)
		f.Verdict = watch
	default:
		f = proto.CloneOf(l.below)
		f.Verdict = none
	}
	f.Line = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()
	f.Links.Contact = fmt.Sprintf("~%016x", n%5000) // many homes have the same
	f.Links.Cname = fmt.Sprintf("~%016x", n)
	f.Links.Accounts = []string{fmt.Sprintf("~%016x", n*2), fmt.Sprintf("~%016x", n*2+1)}
	f.Controllers = []*reportpb.Controller{{Addr: netip.AddrFrom4([4]byte{198, 18, byte(n % 2000 >> 8), byte(n % 2000)}).String(), Role: "registrar"}}
	f.FirstSeen = stamp(noon.Add(-20*24*time.Hour + time.Duration(n)*100*time.Millisecond))
	f.LastSeen = stamp(noon.Add(-time.Minute))
	f.Calls.Inbound = int32(revision)
	return &reportpb.FindingRevision{Id: findingID(n), Revision: revision, EpochStart: f.FirstSeen, Finding: f}
}

// send delivers findings of one sensor.
func (l *load) send(ctx context.Context, s *Store, sensor string, rs []*reportpb.FindingRevision) error {
	d := Delivery{Sensor: sensor, Epoch: 1, First: 1, Last: uint64(len(rs)), ReceivedAt: time.Now()}
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

// flood sends count findings as fast as they are taken, in batches of 200 of 32
// sensors at once, and gives how long it took. pick chooses finding and revision.
func (l *load) flood(t testing.TB, s *Store, count int, pick func(i int) (n int, revision uint64)) time.Duration {
	const batch, workers = 200, 32
	began := time.Now()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var rs []*reportpb.FindingRevision
			for i := w; i < count; i += workers {
				n, revision := pick(i)
				rs = append(rs, l.revision(n, revision))
				if len(rs) == batch || i+workers >= count {
					if err := l.send(t.Context(), s, l.sensors[w], rs); err != nil {
						t.Error(err)
						return
					}
					rs = rs[:0]
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
	if *measureKind == "postgres" {
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
	s := openStore(t, o)
	l := &load{}
	l.atCase, l.below = samples(t)
	for i := range 32 {
		l.sensors = append(l.sensors, fmt.Sprint("sensor ", i))
	}
	admit(t, s, l.sensors...)
	size := proto.Size(l.revision(1, 1))
	N := *measureFindings
	rate := func(name string, n int, d time.Duration) {
		t.Logf("%-34s %8.0f findings/s (%d in %v; %d transactions, heap %d MiB)", name, float64(n)/d.Seconds(), n, d.Round(time.Millisecond), s.Counters().Commits, heap())
	}
	// The part of making messages, which a hub does not do.
	began := time.Now()
	for i := range 20_000 {
		l.revision(i, 1)
	}
	t.Logf("a finding has %d bytes, making it takes %v", size, time.Since(began)/20_000)

	rate("new findings", N, l.flood(t, s, N, func(i int) (int, uint64) { return i, 1 }))
	M := min(N, 100_000)
	// Finding n is of sensor n%32, so a worker only revises its own.
	rate("revisions", M, l.flood(t, s, M, func(i int) (int, uint64) { return rand.IntN(N/32)*32 + i%32, uint64(2 + i) }))
	rate("one of five new, others revised", M, l.flood(t, s, M, func(i int) (int, uint64) {
		if i%160 < 32 {
			return N + i, 1
		}
		return rand.IntN(N/32)*32 + i%32, uint64(2 + M + i)
	}))

	t.Logf("acknowledgement at 1,500/s: %s", l.steady(t, s, N))
	for _, q := range []struct {
		name string
		f    Filter
	}{
		{"newest findings", Filter{}}, {"newest at case", Filter{MinVerdict: atCase}}, {"newest at watch of a sensor", Filter{MinVerdict: watch, Sensors: l.sensors[3:4]}},
		{"one line", Filter{Lines: []LineMatch{{Name: "10.0.3.7"}}}}, {"a /24 of lines", Filter{Lines: []LineMatch{{Prefix: netip.MustParsePrefix("10.0.3.0/24")}}}},
		{"one card", Filter{Cards: []string{s.names.again("46000~0000000000000000")}}}, {"a popular controller", Filter{Controllers: []netip.Prefix{netip.MustParsePrefix("198.18.0.7/32")}}},
		{"a day of ten ago", Filter{From: noon.Add(-10 * 24 * time.Hour), Until: noon.Add(-9 * 24 * time.Hour), MinVerdict: review}},
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

// steady sends 1,500 findings/s for ten seconds in batches of 15, and tells how long
// acknowledgements take.
func (l *load) steady(t testing.TB, s *Store, n int) string {
	var mu sync.Mutex
	var ds []time.Duration
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			w := i % 32
			var rs []*reportpb.FindingRevision
			for range 15 {
				rs = append(rs, l.revision(rand.IntN(n/32)*32+w, uint64(1<<40+i)))
			}
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			began := time.Now()
			if err := l.send(t.Context(), s, l.sensors[w], rs); err != nil {
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
