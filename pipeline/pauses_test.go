package pipeline

import (
	"math"
	"os"
	"runtime/metrics"
	"testing"
	"time"

	"simtrap/capture"
)

// TestMeasurePauses runs a capture as a tap and tells for how long the runtime stopped
// everything meanwhile: SIMTRAP_PAUSES names the capture.
func TestMeasurePauses(t *testing.T) {
	name := os.Getenv("SIMTRAP_PAUSES")
	if name == "" {
		t.Skip("SIMTRAP_PAUSES names no capture")
	}
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/gc/cycles/total:gc-cycles"}}
	read := func() (*metrics.Float64Histogram, uint64) {
		metrics.Read(sample)
		h := sample[0].Value.Float64Histogram()
		return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: h.Buckets}, sample[1].Value.Uint64()
	}
	f, err := capture.Open([]string{name}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, cycles := read()
	began := time.Now()
	r := live(t, Config{}, f)
	took := time.Since(began)
	after, now := read()
	var stops uint64
	longest := 0.0
	for i, n := range after.Counts {
		if n -= before.Counts[i]; n == 0 {
			continue
		}
		stops += n
		if longest = after.Buckets[i+1]; math.IsInf(longest, 1) {
			longest = after.Buckets[i]
		}
	}
	t.Logf("%d frames in %v, %.2f million a second: %d collections, %d stops, each below %v", r.Stats.Frames, took.Round(time.Millisecond),
		float64(r.Stats.Frames)/took.Seconds()/1e6, now-cycles, stops, time.Duration(longest*1e9))
}
