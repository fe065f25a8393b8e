package match

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report/reportpb"
)

var noon = time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC).UnixNano()

func call(line string, answer, end int64) *reportpb.Call {
	return &reportpb.Call{Line: line, Direction: reportpb.Direction_DIRECTION_INBOUND,
		Start: timestamppb.New(time.Unix(0, answer)), Answered: timestamppb.New(time.Unix(0, answer)), End: timestamppb.New(time.Unix(0, end))}
}

func seconds(v float64) int64 { return int64(v * 1e9) }

// made is a record of whole seconds, cut off.
func made(card string, answer, end int64) *Record {
	start := answer / 1e9 * 1e9
	length := (end - answer) / 1e9 * 1e9
	return &Record{Card: []byte(card), Answered: true, Direction: Outgoing, Start: start, StartTo: start + 1e9,
		Shortest: max(length-1e9, 0), Longest: length + 1e9, End: start + length, EndTo: start + length + 2e9}
}

// process is when somebody calls: a mean rate, how the rate goes up and down and
// how long calls are.
type process struct {
	perHour  float64
	bursts   time.Duration // time for which the rate stays; 0: it does not change
	spread   float64       // of the rate's logarithm between those
	grid     time.Duration // calls begin at multiples of it; 0: at any time
	length   time.Duration // median
	varies   float64       // of the length's logarithm
	lengths  []float64     // in seconds, instead
	channels int           // calls at once at most
}

func (p *process) draw(r *rand.Rand, from, to int64) (calls [][2]int64) {
	free := make([]int64, max(p.channels, 1))
	rate, until := 1.0, int64(0)
	for t := from; ; {
		if p.bursts > 0 && t >= until {
			rate = math.Exp(p.spread*r.NormFloat64() - p.spread*p.spread/2)
			until = t + int64(p.bursts)
		}
		step := int64(r.ExpFloat64() / p.perHour / rate * 3600e9)
		if p.bursts > 0 && t+step > until {
			t = until
			continue
		}
		if t += step; t >= to {
			return calls
		}
		at := t
		if p.grid > 0 {
			at = t - t%int64(p.grid) + r.Int64N(1e9)
		}
		n := 0
		for i := range free {
			if free[i] < free[n] {
				n = i
			}
		}
		if free[n] > at {
			continue
		}
		d := float64(p.length) / 1e9 * math.Exp(p.varies*r.NormFloat64())
		if len(p.lengths) > 0 {
			d = p.lengths[r.IntN(len(p.lengths))]
		}
		end := at + seconds(min(max(d, 2), 7200))
		free[n] = end + 2e9
		calls = append(calls, [2]int64{at, end})
	}
}

// find runs a search over records that each gives in turn.
func find(t *testing.T, lines []*Line, o Options, records []*Record) *Result {
	t.Helper()
	o.Rows = int64(len(records))
	s, err := NewSearch(lines, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		s.First(r)
	}
	for _, r := range records {
		s.Second(r)
	}
	res, err := s.Result(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// findIn runs a search over a file.
func findIn(t *testing.T, lines []*Line, m Mapping, file []byte) *Result {
	t.Helper()
	f, err := m.Format()
	if err != nil {
		t.Fatal(err)
	}
	sample, err := Inspect(bytes.NewReader(file), f)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSearch(lines, Options{ClockError: f.ClockError, Coarseness: sample.TimeStep, Rows: int64(len(file)) / sample.RowBytes})
	if err != nil {
		t.Fatal(err)
	}
	for _, take := range []func(*Record){s.First, s.Second} {
		r := NewReader(bytes.NewReader(file), f)
		var rec Record
		for {
			err := r.Next(&rec)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			take(&rec)
		}
		if r.Bad.Count > 0 {
			t.Fatalf("bad rows: %v", r.Bad.First)
		}
	}
	res, err := s.Result(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
