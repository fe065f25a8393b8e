package evaluation

import "math"

// PromiseFigure is how often lines reach a threshold, against what is promised.
type PromiseFigure struct {
	Law       string  `json:"law"`
	Class     string  `json:"class"` // "population" for the classes by their shares
	Of        string  `json:"of"`    // S, M, or the verdict whose S and M were reached at one look
	Threshold float64 `json:"threshold"`
	Bound     float64 `json:"bound"`
	Estimate  float64 `json:"estimate"`
	Low       float64 `json:"low"` // 95 % interval
	High      float64 `json:"high"`
	Factor    float64 `json:"factor"` // estimate over bound
	Hits      int     `json:"hits"`   // drawn lines that reached it, from whatever they were drawn
	Lines     int     `json:"lines"`
	// Largest is the share of the estimate that one drawn line makes. Where it
	// is large the interval says too little.
	Largest float64 `json:"largest"`
}

// Exceeds says whether the estimate lies above the bound.
func (f PromiseFigure) Exceeds() bool { return f.Estimate > f.Bound }

// Certain says whether the whole interval lies above the bound.
func (f PromiseFigure) Certain() bool { return f.Low > f.Bound }

// promiseFew lines say nothing of how far they vary.
const promiseFew = 5

// estimate fills the figure from the weights of the lines that reached the
// threshold, of n drawn. most is what a line may weigh, for when none did.
func (f PromiseFigure) estimate(weights []float64, n int, most float64) PromiseFigure {
	f.Bound, f.Lines = min(math.Exp(-f.Threshold), 1), n
	sum, squares, largest := 0.0, 0.0, 0.0
	for _, w := range weights {
		sum += w
		squares += w * w
		largest = max(largest, w)
		if w > 0 {
			f.Hits++
		}
	}
	mean := sum / float64(n)
	se := math.Sqrt(max(squares/float64(n)-mean*mean, 0) / float64(n))
	// Few lines may make more than everything.
	f.Estimate, f.Low, f.High = min(mean, 1), min(max(mean-1.96*se, 0), 1), min(mean+1.96*se, 1)
	if f.Hits < promiseFew {
		f.Low = 0
	}
	if sum > 0 {
		f.Largest = largest / sum
	} else {
		f.High = min(3*most/float64(n), 1)
	}
	f.Factor = f.Estimate / f.Bound
	return f
}

// wilson is the estimate of plain counting.
func (f PromiseFigure) wilson(hits, n int) PromiseFigure {
	const z = 1.96
	f.Bound, f.Hits, f.Lines = min(math.Exp(-f.Threshold), 1), hits, n
	p, m := float64(hits)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	f.Estimate, f.Low, f.High = p, max(mid-half, 0), min(mid+half, 1)
	if hits == 0 {
		f.Low = 0
	}
	f.Factor = f.Estimate / f.Bound
	return f
}
