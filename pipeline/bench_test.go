package pipeline

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/lab"
)

// pcapHeader is the length of a capture file without a packet.
const pcapHeader = 24

// voice is a capture that is nearly all media.
func voice(t testing.TB) ([]byte, int) {
	b, truth := made(t, lab.Options{Scenario: "trunk-32", Seed: 2, Duration: 12 * time.Minute})
	return b, truth.Packets
}

func runOnce(t testing.TB, file []byte, workers int) {
	f, err := capture.Open([]string{"-"}, capture.Options{Stdin: bytes.NewReader(file)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), f, Config{Workers: workers}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// TestAllocations: a packet of media costs no allocation; what is left is the
// signalling and the lines' tables, spread over all packets. What a run allocates
// before its first packet, such as the model, is not the packets' cost.
func TestAllocations(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector allocates too")
	}
	file, packets := voice(t)
	runOnce(t, file[:pcapHeader], 1) // what the first run of a process loads
	for _, workers := range []int{1, 2} {
		before := mallocs()
		runOnce(t, file[:pcapHeader], workers)
		start := mallocs() - before
		before = mallocs()
		runOnce(t, file, workers)
		per := (float64(mallocs()-before) - float64(start)) / float64(packets)
		t.Logf("%d workers: %.4f allocations a packet, %d packets", workers, per, packets)
		if per > 0.05 {
			t.Errorf("%d workers: %.3f allocations a packet, want at most 0.05", workers, per)
		}
	}
}

// BenchmarkRun takes a capture that is nearly all media through all stages.
func BenchmarkRun(b *testing.B) {
	file, packets := voice(b)
	for _, c := range []struct {
		name    string
		workers int
	}{{"1worker", 1}, {"2workers", 2}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			before, n := mallocs(), 0
			for b.Loop() {
				runOnce(b, file, c.workers)
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*packets), "ns/packet")
			b.ReportMetric(float64(mallocs()-before)/float64(n*packets), "allocs/packet")
		})
	}
}
