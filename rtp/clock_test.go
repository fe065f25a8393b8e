package rtp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// delayModel gives the time a packet whose sample block is full at t (seconds)
// takes to the tap.
type delayModel func(r *rand.Rand, t, phase float64) float64

func fibre(r *rand.Rand, _, _ float64) float64 { return r.ExpFloat64() * 0.0003 }

func wifi(r *rand.Rand, _, _ float64) float64 {
	d := r.ExpFloat64() * 0.003
	if r.Float64() < 0.02 {
		d += r.Float64() * 0.03
	}
	return d
}

func tick10(r *rand.Rand, t, phase float64) float64 {
	return math.Ceil((t+phase)/0.01)*0.01 - phase - t + r.ExpFloat64()*0.0003
}

// step is a path whose floor moves by 5 ms at thirty seconds.
func step(r *rand.Rand, t, _ float64) float64 {
	d := r.ExpFloat64() * 0.0003
	if t > 30 {
		d += 0.005
	}
	return d
}

// simulate feeds the least-transit samples of a stream of G.711 in 20 ms
// packets, one per two seconds, to an entry.
func simulate(r *rand.Rand, seconds int, ppm float64, delay delayModel) *entry {
	s := &entry{Stream: Stream{Rate: 8000}}
	phase, ts0 := r.Float64()*0.01, r.Uint32()
	const base = int64(1.7e18)
	var best Sample
	bestTransit := math.Inf(1)
	for i := range seconds * 50 {
		t := float64(i) * 0.02 / (1 + ppm*1e-6)
		d := delay(r, t, phase)
		if x := t + d - float64(i)*0.02; x < bestTransit {
			// Microseconds, as capture files have them.
			best = Sample{base + int64((t+d)*1e6)*1000, ts0 + uint32(i)*160}
			bestTransit = x
		}
		if i%100 == 99 {
			s.clock.add(best, 8000)
			bestTransit = math.Inf(1)
		}
	}
	s.measure()
	return s
}

// TestClockCoverage is the calibration of PPMError: it covers the truth in nine
// of ten runs at least, and is small enough to be of use where the path allows.
func TestClockCoverage(t *testing.T) {
	for _, c := range []struct {
		name    string
		seconds int
		delay   delayModel
		useful  float64 // the median error may not exceed it
		least   float64 // nor fall below it
	}{
		{"fibre", 40, fibre, 2, 0},
		{"fibre", 60, fibre, 1, 0},
		{"fibre", 180, fibre, 0.5, 0},
		{"fibre", 1200, fibre, 0.3, 0},
		{"wifi", 60, wifi, 10, 0},
		{"wifi", 180, wifi, 2, 0},
		{"wifi", 600, wifi, 1, 0},
		{"tick10", 60, tick10, 1000, 50},
		{"tick10", 180, tick10, 1000, 15},
		{"tick10", 600, tick10, 1000, 2},
		{"step", 60, step, 1000, 50},
	} {
		t.Run(fmt.Sprintf("%s/%ds", c.name, c.seconds), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(c.seconds)))
			const runs = 200
			covered, worst := 0, 0.0
			var errs []float64
			rms := 0.0
			for range runs {
				truth := r.Float64()*120 - 60
				s := simulate(r, c.seconds, truth, c.delay)
				if !s.ClockOK {
					t.Fatal("no clock")
				}
				off := math.Abs(s.PPM - truth)
				rms += off * off / runs
				if off <= s.PPMError {
					covered++
				}
				worst = max(worst, off/s.PPMError)
				errs = append(errs, s.PPMError)
			}
			mid := medianOf(errs)
			t.Logf("covered %d of %d, rms %.3f ppm, median error %.3f ppm, worst ratio %.1f", covered, runs, math.Sqrt(rms), mid, worst)
			if covered < runs*9/10 {
				t.Errorf("the error covers the truth in %d of %d runs", covered, runs)
			}
			if mid > c.useful {
				t.Errorf("median error %.2f ppm is of no use", mid)
			}
			if mid < c.least {
				t.Errorf("median error %.2f ppm is too certain", mid)
			}
		})
	}
}
