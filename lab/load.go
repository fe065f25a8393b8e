package lab

import (
	"math/rand/v2"
	"time"
)

// expo draws from an exponential distribution within bounds.
func expo(r *rand.Rand, mean, lo, hi time.Duration) time.Duration {
	return max(lo, min(hi, time.Duration(r.ExpFloat64()*float64(mean))))
}

// between draws evenly.
func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)+1))
}

// share draws evenly between two numbers.
func share(r *rand.Rand, lo, hi float64) float64 { return lo + r.Float64()*(hi-lo) }

// pick draws one of a list.
func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// arrivals calls fn at random moments from t to the end, mean apart.
func (s *sim) arrivals(r *rand.Rand, t int64, mean time.Duration, fn func()) {
	next := func() time.Duration { return expo(r, mean, 50*time.Millisecond, 20*mean) }
	s.every(t+int64(next()), next, func() bool {
		fn()
		return true
	})
}

// outcome draws how a call ends, answered with probability asr.
func outcome(r *rand.Rand, asr float64) int {
	if r.Float64() < asr {
		return 200
	}
	return pick(r, 486, 486, 480, 480, 487, 487, 487, 404)
}
