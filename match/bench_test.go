package match

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"simtrap/report/reportpb"
)

// BenchmarkFirst takes note of records of a city within an hour of which 20 busy
// lines were observed.
func BenchmarkFirst(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	p := process{perHour: 300, length: time.Minute, varies: 0.9, channels: 32}
	var calls []*reportpb.Call
	for n := range 20 {
		for _, c := range p.draw(r, noon, noon+int64(time.Hour)) {
			calls = append(calls, call(fmt.Sprint(n), c[0], c[1]))
		}
	}
	q := process{perHour: 6, length: time.Minute, varies: 0.9}
	var records []*Record
	for n := range 5000 {
		for _, c := range q.draw(r, noon, noon+int64(time.Hour)) {
			records = append(records, made(fmt.Sprint(n), c[0], c[1]))
		}
	}
	s, err := NewSearch(NewLines(calls, noon, noon+int64(time.Hour)), Options{ClockError: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := range b.N {
		s.First(records[i%len(records)])
	}
	b.ReportMetric(float64(len(s.candidates)), "candidates")
}
