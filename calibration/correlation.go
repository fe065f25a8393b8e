package calibration

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
)

// Correlation is how far two signals, or two families, speak for a box together
// on lines of one class: 0 when one tells nothing of the other, as the product
// over families supposes.
type Correlation struct {
	Class  string  `json:"class"`
	A      string  `json:"a"`
	B      string  `json:"b"`
	Within bool    `json:"within"` // two signals of one family, else two families
	Lines  int     `json:"lines"`  // on which both were seen
	R      float64 `json:"r"`      // of their nats, each class's profile taken out
}

// A correlation is told from so many lines, and of nats that are spread by so many
// at the least: what hardly varies cannot mislead.
const (
	leastLines  = 12
	leastSpread = 0.25
)

// Correlations measures, class by class, how the nats of each signal and family
// go together from line to line. A line's nats are those of the box types'
// mixture against the profile of its class it most belongs to, less the mean of
// the lines of that profile: what the profiles already explain is no correlation.
func (f *Fit) Correlations() []Correlation {
	type column struct {
		name, family string
		nats         []float64 // NaN where not seen
	}
	var out []Correlation
	for _, k := range slices.Concat(f.Catalogue.Boxes, f.Catalogue.Classes) {
		var rows []int
		for i, o := range f.Lines {
			if o.Class == k.Name {
				rows = append(rows, i)
			}
		}
		if len(rows) < leastLines {
			continue
		}
		signals := make([]column, len(f.Catalogue.Signals))
		families := map[string]*column{}
		for j := range f.Catalogue.Signals {
			s := &f.Catalogue.Signals[j]
			signals[j] = column{s.ID, s.Family, make([]float64, len(rows))}
			if families[s.Family] == nil {
				families[s.Family] = &column{s.Family, s.Family, make([]float64, len(rows))}
				for r := range rows {
					families[s.Family].nats[r] = math.NaN()
				}
			}
		}
		group := make([]int, len(rows))
		for r, i := range rows {
			group[r] = largest(f.Profiles[i])
			e := f.Model.NewEvidence()
			for id, seen := range f.Lines[i].Seen {
				if err := f.Model.Put(e, id, seen); err != nil {
					panic(err) // Calibrate has put the same
				}
			}
			own := f.first(k.Name) + group[r]
			for j, l := range f.Model.Likelihoods(e) {
				if l == nil {
					signals[j].nats[r] = math.NaN()
					continue
				}
				n := f.box(l) - l[own]
				signals[j].nats[r] = n
				fam := families[signals[j].family]
				if math.IsNaN(fam.nats[r]) {
					fam.nats[r] = 0
				}
				fam.nats[r] += n
			}
		}
		add := func(a, b column, within bool) {
			if n, r := correlation(a.nats, b.nats, group); n >= leastLines && !math.IsNaN(r) {
				out = append(out, Correlation{k.Name, a.name, b.name, within, n, r})
			}
		}
		var fs []column
		for _, c := range families {
			fs = append(fs, *c)
		}
		slices.SortFunc(fs, func(a, b column) int { return cmp.Compare(a.name, b.name) })
		for i := range fs {
			for j := range i {
				add(fs[j], fs[i], false)
			}
		}
		for i := range signals {
			for j := range i {
				if signals[i].family == signals[j].family {
					add(signals[j], signals[i], true)
				}
			}
		}
	}
	return out
}

func largest(share []float64) int {
	at := 0
	for z := range share {
		if share[z] > share[at] {
			at = z
		}
	}
	return at
}

// first is the place of a class's first profile among all.
func (f *Fit) first(class string) (at int) {
	for _, k := range slices.Concat(f.Catalogue.Boxes, f.Catalogue.Classes) {
		if k.Name == class {
			return at
		}
		at += len(k.Profiles)
	}
	return at
}

// box is the log likelihood of one signal under the mixture of box types.
func (f *Fit) box(l []float64) float64 {
	most := slices.Max(l[:len(f.Catalogue.Boxes)])
	sum := 0.0
	for b, k := range f.Catalogue.Boxes {
		sum += k.Weight * math.Exp(l[b]-most)
	}
	return most + math.Log(sum)
}

// correlation is Pearson's of two columns after the mean of each group is taken
// out, over the rows in which both are told.
func correlation(a, b []float64, group []int) (n int, r float64) {
	type sums struct{ n, a, b float64 }
	mean := map[int]*sums{}
	both := func(i int) bool { return !math.IsNaN(a[i]) && !math.IsNaN(b[i]) }
	for i := range a {
		if both(i) {
			m := mean[group[i]]
			if m == nil {
				m = &sums{}
				mean[group[i]] = m
			}
			m.n++
			m.a += a[i]
			m.b += b[i]
		}
	}
	var aa, bb, ab float64
	for i := range a {
		if both(i) {
			m := mean[group[i]]
			x, y := a[i]-m.a/m.n, b[i]-m.b/m.n
			aa, bb, ab = aa+x*x, bb+y*y, ab+x*y
			n++
		}
	}
	if aa < leastSpread*leastSpread*float64(n) || bb < leastSpread*leastSpread*float64(n) {
		return n, math.NaN()
	}
	return n, ab / math.Sqrt(aa*bb)
}

// PrintCorrelations writes, for signals within families and for families, how
// many pairs there are, how their correlations lie, and the strongest of them.
func PrintCorrelations(w io.Writer, list []Correlation) error {
	for _, within := range []bool{true, false} {
		var c []Correlation
		for _, x := range list {
			if x.Within == within {
				c = append(c, x)
			}
		}
		what := "between families"
		if within {
			what = "between signals of one family"
		}
		if len(c) == 0 {
			continue
		}
		slices.SortFunc(c, func(a, b Correlation) int {
			return cmp.Or(cmp.Compare(math.Abs(b.R), math.Abs(a.R)), cmp.Compare(a.Class, b.Class), cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
		})
		at := func(q float64) float64 { return math.Abs(c[int(q*float64(len(c)-1))].R) }
		if _, err := fmt.Fprintf(w, "correlation %s: %d pairs, |r| median %.2f, a tenth above %.2f, largest %.2f\n", what, len(c), at(0.5), at(0.1), at(0)); err != nil {
			return err
		}
		for _, x := range c[:min(len(c), 12)] {
			if _, err := fmt.Fprintf(w, "  %-20s %-20s %-20s %5.2f  (%d lines)\n", x.Class, x.A, x.B, x.R, x.Lines); err != nil {
				return err
			}
		}
	}
	return nil
}
