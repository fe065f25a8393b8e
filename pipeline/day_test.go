package pipeline

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/lab"
)

// watched tells of the time of what it hands on.
type watched struct {
	capture.Source
	at func(t int64)
}

func (w watched) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := w.Source.Next(ctx)
	if err == nil && len(b.Frames) > 0 {
		w.at(b.Frames[0].Time)
	}
	return b, err
}

// TestMeasureDay replays ten hours of the lab's demonstration and draws what is in use
// after a collection in each ten minutes of it: SIMTRAP_DAY names the folder for day.svg
// and, while it runs, for a capture of 8 GB. What lines count for an epoch is little:
// after two hours nothing may grow by a quarter.
func TestMeasureDay(t *testing.T) {
	dir := os.Getenv("SIMTRAP_DAY")
	if dir == "" {
		t.Skip("SIMTRAP_DAY names no folder")
	}
	const step, warm = 10 * time.Minute, 2 * time.Hour
	name := filepath.Join(dir, "day.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(name)
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := lab.Make(w, lab.Options{Scenario: "demo", Seed: 1, Duration: 10 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := capture.Open([]string{name}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	var first, next int64
	var kib []uint64
	src := watched{files, func(t int64) {
		if first == 0 {
			first, next = t, t
		}
		for ; t >= next; next += int64(step) {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			kib = append(kib, m.HeapAlloc>>10)
		}
	}}
	r, err := Run(t.Context(), src, Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(kib) < 55 {
		t.Fatalf("%d samples of ten hours", len(kib))
	}
	hour := int(time.Hour / step)
	early := slices.Max(kib[hour : int(warm/step)+1])
	late := slices.Max(kib[int(warm/step)+1:])
	t.Logf("%d frames, %d calls; KiB in use after a collection: %d at the beginning, at most %d in the second hour and %d after it; all, each ten minutes: %d", r.Stats.Frames, r.Stats.Calls, kib[0], early, late, kib)
	if late > early+early/4 {
		t.Errorf("from %d KiB in the second hour it grew to %d", early, late)
	}
	const wide, high, left, low, top = 640, 300, 60, 260, 20
	most := float64(slices.Max(kib)) * 1.1
	var line, b strings.Builder
	for i, k := range kib {
		fmt.Fprintf(&line, "%.1f,%.1f ", left+float64(i)*(wide-left-20)/float64(len(kib)-1), low-float64(k)/most*(low-top))
	}
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", wide, high)
	for i := range 11 {
		x := left + float64(i)*(wide-left-20)/10
		fmt.Fprintf(&b, "<path d=\"M%.0f %dV%d\" stroke=\"#ddd\"/><text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">%d h</text>\n", x, top, low, x, low+16, i)
	}
	for i := range 5 {
		y := low - float64(i)/4*(low-top)
		fmt.Fprintf(&b, "<path d=\"M%d %.0fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%.1f MiB</text>\n", left, y, wide-20, left-4, y+4, most*float64(i)/4/1024)
	}
	fmt.Fprintf(&b, "<polyline points=\"%s\" fill=\"none\" stroke=\"#1b6ca8\" stroke-width=\"2\"/>\n</svg>\n", line.String())
	if err := os.WriteFile(filepath.Join(dir, "day.svg"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
