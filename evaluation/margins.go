package evaluation

import (
	"math"
	"slices"
)

// Spread is how the highest margins and scores of a class's main lines lie.
type Spread struct {
	Class   string    `json:"class"`
	Box     bool      `json:"box"`
	Lines   int       `json:"lines"`
	Margins []float64 `json:"margins"` // ascending; of many, as many quantiles as are drawn
	Scores  []float64 `json:"scores"`
}

// maxSpread is how many lines of a class are drawn.
const maxSpread = 240

func (c *collector) margins() (out []Spread) {
	boxes, honest := c.classes(0)
	for _, class := range slices.Concat(boxes, honest) {
		s := Spread{Class: class, Box: slices.Contains(boxes, class)}
		c.each(0, func(f *fact) bool { return f.main && f.class == class }, func(f *fact) {
			s.Margins = append(s.Margins, f.margin.peak)
			s.Scores = append(s.Scores, f.score.peak)
		})
		if s.Lines = len(s.Margins); s.Lines > 0 {
			s.Margins, s.Scores = thin(s.Margins), thin(s.Scores)
			out = append(out, s)
		}
	}
	return out
}

// thin sorts values and keeps the ends and evenly many between.
func thin(values []float64) []float64 {
	slices.Sort(values)
	n := min(len(values), maxSpread)
	out := make([]float64, n)
	for i := range out {
		at := i
		if n < len(values) {
			at = i * (len(values) - 1) / (n - 1)
		}
		out[i] = round(values[at])
	}
	return out
}

// Curve is how many boxes of a class are at a verdict after some time, and after
// some calls.
type Curve struct {
	Class   string    `json:"class"` // "" for all boxes
	Verdict string    `json:"verdict"`
	Lines   int       `json:"lines"`
	Minutes []float64 `json:"minutes"`
	ByTime  []float64 `json:"by_time"`
	Calls   []float64 `json:"calls"`
	ByCalls []float64 `json:"by_calls"`
}

func curveMinutes() []float64 {
	return []float64{0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 90, 120, 180, 240, 360, 480}
}

func curveCalls() []float64 {
	return []float64{0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500}
}

func (c *collector) curves() (out []Curve) {
	boxes, _ := c.classes(0)
	for _, class := range append([]string{""}, boxes...) {
		of := func(f *fact) bool { return f.main && f.box && (class == "" || f.class == class) }
		for _, v := range verdicts() {
			k := Curve{Class: class, Verdict: v.String(), Minutes: curveMinutes(), Calls: curveCalls()}
			var minutes, calls []float64
			c.each(0, of, func(f *fact) {
				k.Lines++
				if m := f.reached[v]; m.ok && f.at(v) {
					minutes = append(minutes, m.seconds/60)
					calls = append(calls, float64(m.calls))
				}
			})
			if k.Lines == 0 {
				continue
			}
			k.ByTime, k.ByCalls = upTo(minutes, k.Minutes, k.Lines), upTo(calls, k.Calls, k.Lines)
			out = append(out, k)
		}
	}
	return out
}

// upTo gives the share of n that came until each of at.
func upTo(values, at []float64, n int) []float64 {
	out := make([]float64, len(at))
	for i, limit := range at {
		k := 0
		for _, v := range values {
			if v <= limit {
				k++
			}
		}
		out[i] = ratio(k, n)
	}
	return out
}

// Bin is how many main lines' highest margin, or score, lies in [From, From + 2).
type Bin struct {
	Kind       string  `json:"kind"` // margin or score
	From       float64 `json:"from"`
	Boxes      int     `json:"boxes"`
	Honest     int     `json:"honest"`     // lines drawn
	Population float64 `json:"population"` // share of all honest lines, by weights of classes and shares of scenarios
}

const (
	binWidth         = 2.0
	binFrom, binUpTo = -20.0, 40.0 // what lies beyond is in the last ones
)

func (c *collector) histogram() []Bin {
	return slices.Concat(
		c.bins("margin", func(f *fact) float64 { return f.margin.peak }),
		c.bins("score", func(f *fact) float64 { return f.score.peak }))
}

func (c *collector) bins(kind string, of func(*fact) float64) []Bin {
	bins := make([]Bin, int((binUpTo-binFrom)/binWidth))
	for i := range bins {
		bins[i].Kind, bins[i].From = kind, binFrom+binWidth*float64(i)
	}
	weight := c.weights()
	lines := make(map[int]float64) // by scenario
	c.each(0, func(f *fact) bool { return f.main && !f.box }, func(f *fact) { lines[f.scenario]++ })
	c.each(0, func(f *fact) bool { return f.main }, func(f *fact) {
		b := &bins[min(max(int(math.Floor((of(f)-binFrom)/binWidth)), 0), len(bins)-1)]
		if f.box {
			b.Boxes++
			return
		}
		b.Honest++
		b.Population += weight[f.scenario] / lines[f.scenario]
	})
	for i := range bins {
		bins[i].Population = roundFine(bins[i].Population)
	}
	return bins
}

// weights gives the share of all honest lines that each scenario stands for.
// They need not sum to 1 when classes are left out.
func (c *collector) weights() map[int]float64 {
	classOf := make(map[int]string)
	c.each(0, func(f *fact) bool { return f.main && !f.box }, func(f *fact) { classOf[f.scenario] = f.class })
	shares := make(map[string]float64)
	for s := range c.plan.Scenarios {
		if class, ok := classOf[s]; ok {
			shares[class] += c.share(s)
		}
	}
	out := make(map[int]float64)
	for _, k := range c.model.Catalogue().Classes {
		for s, class := range classOf {
			if class == k.Name {
				out[s] = k.Weight * c.share(s) / shares[class]
			}
		}
	}
	return out
}
