package evaluation

import (
	"math"
	"slices"
)

// Rate is a share that was counted, with an interval of 95 %.
type Rate struct {
	K    float64 `json:"k"`
	N    float64 `json:"n"` // with shares of scenarios, the number of equal draws that are worth as much
	Rate float64 `json:"rate"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// wilsonZ is the standard normal's 97.5 % point.
const wilsonZ = 1.959963984540054

// wilson gives k of n with Wilson's score interval, which stays honest at 0 and
// at n, where figures of a good detector are. Nothing of nothing is anything
// between 0 and 1.
func wilson(k, n float64) Rate {
	if n <= 0 {
		return Rate{High: 1}
	}
	p, z2 := k/n, wilsonZ*wilsonZ
	mid := (p + z2/(2*n)) / (1 + z2/n)
	half := wilsonZ / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	r := Rate{K: round(k), N: round(n), Rate: roundFine(p), Low: roundFine(max(mid-half, 0)), High: roundFine(min(mid+half, 1))}
	// Nothing but rounding lies beyond the ends.
	if k <= 0 {
		r.Low = 0
	}
	if k >= n {
		r.High = 1
	}
	return r
}

// part is one stratum of a rate by shares: k of n lines, share of the whole.
type part struct{ k, n, share float64 }

// weighted gives the rate of a mixture of strata by their shares, with the
// interval of as many equal draws as have the same variance.
func weighted(parts []part) Rate {
	total := 0.0
	for _, p := range parts {
		if p.n > 0 {
			total += p.share
		}
	}
	if total <= 0 {
		return Rate{High: 1}
	}
	rate, spread := 0.0, 0.0
	for _, p := range parts {
		if p.n > 0 {
			s := p.share / total
			rate += s * p.k / p.n
			spread += s * s / p.n
		}
	}
	n := 1 / spread
	return wilson(min(rate, 1)*n, n)
}

// clopperPearson gives k of n with the exact interval, for counts so small that
// nothing else is worth the name.
func clopperPearson(k, n int) Rate {
	r := Rate{K: float64(k), N: float64(n), High: 1}
	if n == 0 {
		return r
	}
	r.Rate = float64(k) / float64(n)
	const tail = 0.025
	if k > 0 {
		r.Low = bisect(func(p float64) bool { return 1-binomialCDF(k-1, n, p) >= tail })
	}
	if k < n {
		r.High = bisect(func(p float64) bool { return binomialCDF(k, n, p) <= tail })
	}
	return r
}

// bisect finds the least p in [0, 1] from which on ok holds.
func bisect(ok func(p float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 100 {
		if mid := (low + high) / 2; ok(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// binomialCDF is the chance of at most k of n, from whichever end has fewer
// terms.
func binomialCDF(k, n int, p float64) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n || p <= 0:
		return 1
	case p >= 1:
		return 0
	case 2*k > n:
		return 1 - binomialCDF(n-k-1, n, 1-p)
	}
	lp, lq := math.Log(p), math.Log1p(-p)
	all, _ := math.Lgamma(float64(n) + 1)
	sum := 0.0
	for i := range k + 1 {
		a, _ := math.Lgamma(float64(i) + 1)
		b, _ := math.Lgamma(float64(n-i) + 1)
		sum += math.Exp(all - a - b + float64(i)*lp + float64(n-i)*lq)
	}
	return min(sum, 1)
}

// quantile gives the value that a share q of all n lines do not exceed, when
// only those in values came so far: the others are above whatever was seen. It
// is nil when they are too many to tell.
func quantile(values []float64, n int, q float64) *float64 {
	at := int(math.Ceil(q*float64(n))) - 1
	if n == 0 || at >= len(values) {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	v := round(sorted[max(at, 0)])
	return &v
}

// round keeps four decimals, so that the last bit of a sum decides nothing.
func round(v float64) float64 {
	if v = math.Round(v*1e4) / 1e4; v == 0 {
		return 0 // never minus nothing
	}
	return v
}

// roundFine keeps four digits of what may be tiny.
func roundFine(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 4-math.Ceil(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// ratio is a over b, or 0 of nothing.
func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return round(float64(a) / float64(b))
}
