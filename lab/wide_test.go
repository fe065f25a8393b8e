package lab

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// wide makes a scenario of those that show one thing each as if it were one to
// draw from: with accesses, clocks and habits of every kind.
func wide(t *testing.T, name string, seed uint64, d time.Duration, w io.Writer, encap string) (*Truth, Options) {
	t.Helper()
	sc, ok := find(name)
	if !ok {
		t.Fatalf("no scenario %s", name)
	}
	sc.Class = "drawn"
	opt := Options{Scenario: name, Seed: seed, Duration: d, Encap: encap}
	truth, err := sc.make(w, opt)
	if err != nil {
		t.Fatal(err)
	}
	return truth, opt
}

func wideRead(t *testing.T, name string, seed uint64, d time.Duration, encap string) *made {
	t.Helper()
	var buf bytes.Buffer
	truth, opt := wide(t, name, seed, d, &buf, encap)
	return read(t, opt, truth, &buf)
}

func BenchmarkTrunk(b *testing.B) {
	for _, class := range [...]string{"", "drawn"} {
		b.Run("class="+class, func(b *testing.B) {
			packets, seed := 0, uint64(0)
			for b.Loop() {
				seed++
				sc, _ := find("trunk-32")
				sc.Class = class
				truth, err := sc.make(io.Discard, Options{Scenario: sc.Name, Seed: seed, Duration: 30 * time.Minute})
				if err != nil {
					b.Fatal(err)
				}
				packets += truth.Packets
			}
			b.ReportMetric(float64(packets)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
		})
	}
}
