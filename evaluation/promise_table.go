package evaluation

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteJSON writes the report, the same bytes for the same report.
func (r *PromiseReport) WriteJSON(w io.Writer) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("promise: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// WriteTable writes the report for reading, at most 100 columns wide: each law
// with the population and the class that comes nearest to its bound; what a
// class costs that nobody met; and every excess.
// watch, review and case stand for their S and M, reached at one look; their
// other conditions are not asked for.
func (r *PromiseReport) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "The promise of the verdict, %s: seed %d, %d lines a law, at most %d calls a line\n", r.Date, r.Seed, r.Lines, r.Calls)
	fmt.Fprintf(&b, "catalogue %s\nprice of contamination, c: %.2f nats\n", r.Catalogue, r.Price)
	b.WriteString("watch, review, case: their S and M at one look, without their other conditions\n")
	b.WriteString("factor: estimate over bound; * the estimate exceeds it, ** its whole interval does;\n")
	b.WriteString("? one drawn line makes more than half of the estimate, so that the interval says too little\n")
	var without, shares []PromiseFigure
	for _, l := range r.Laws {
		if l.Without {
			for _, f := range l.Figures {
				// S>=2 is for counting, and the conditions of lower verdicts follow from S and M.
				if f.ever() == "S>=2" || f.Of == "watch" || f.Of == "review" {
					continue
				}
				without = append(without, f)
				if f.Of != "M" {
					f.Estimate, f.Low, f.Factor = f.Estimate*l.Share, f.Low*l.Share, f.Factor*l.Share
					shares = append(shares, f)
				}
			}
			continue
		}
		fmt.Fprintf(&b, "\n%s: %s\n", l.Name, l.Text)
		fmt.Fprintf(&b, "  %-24s %-6s %8s  %8s  %-19s %9s %6s\n", "worst of", "ever", "bound", "estimate", "95 % interval", "factor", "hits")
		for _, f := range promiseWorst(l.Figures) {
			b.WriteString("  " + f.row() + "\n")
		}
	}
	b.WriteString("\nEach class where the tables hold, estimates against its own margin\n")
	promiseMatrix(&b, r.Laws[0].Figures)
	b.WriteString("\nEach class as if nobody had met it, estimates by its own lines\n")
	promiseMatrix(&b, without)
	b.WriteString("\nThe same by the class's share of all lines, over which S is promised\n")
	promiseMatrix(&b, shares)
	b.WriteString("\nWeighted lines against plainly counted ones, classes drawn alike\n")
	fmt.Fprintf(&b, "  %-16s %-6s  %-30s %s\n", "law", "ever", "weighted", "counted")
	for _, p := range r.Plain {
		fmt.Fprintf(&b, "  %-16s %-6s  %-30s %s\n", p.Law, p.Weighted.ever(), p.Weighted.between(), p.Counted.between())
	}
	b.WriteString("\nSightings known at their own time: expected ratio of box to class, at worst (1 is fair)\n")
	for _, s := range r.Early {
		fmt.Fprintf(&b, "  %-24s %-20s for %-20s %.3f\n", s.Signal, s.Class, s.Box, s.Factor)
	}
	if len(r.Early) == 0 {
		b.WriteString("  none above 1.01\n")
	}
	excesses := r.Excesses()
	fmt.Fprintf(&b, "\nEvery excess over the bound, of a class left out by its own lines: %d\n", len(excesses))
	for _, f := range excesses {
		fmt.Fprintf(&b, "%-22s %s\n", promiseCut(f.Law, 22), f.short())
	}
	fmt.Fprintf(&b, "\nLooks at which the score claims more than the tables give: %d\n", r.Breaches)
	verdict := "the promise holds where the tables hold"
	if r.Broken() {
		verdict = "THE PROMISE IS BROKEN where the tables hold"
	}
	fmt.Fprintln(&b, verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

// promiseWorst gives, for each threshold, the figure nearest to or farthest above its
// bound.
func promiseWorst(all []PromiseFigure) []PromiseFigure {
	var out []PromiseFigure
	for _, f := range all {
		n := len(out) - 1
		switch {
		case n < 0 || out[n].Of != f.Of || out[n].Threshold != f.Threshold:
			out = append(out, f)
		case f.Factor > out[n].Factor:
			out[n] = f
		}
	}
	return out
}

// promiseMatrix writes estimates by class and threshold.
func promiseMatrix(b *strings.Builder, all []PromiseFigure) {
	var classes, columns []string
	cells := make(map[[2]string]string)
	bounds := make(map[string]float64)
	for _, f := range all {
		if f.Class == PromisePopulation {
			continue
		}
		if !slices.Contains(classes, f.Class) {
			classes = append(classes, f.Class)
		}
		if !slices.Contains(columns, f.ever()) {
			columns = append(columns, f.ever())
			bounds[f.ever()] = f.Bound
		}
		cells[[2]string{f.Class, f.ever()}] = fmt.Sprintf("%.0e%s", f.Estimate, f.marks())
	}
	line := fmt.Sprintf("  %-20s", "ever")
	under := fmt.Sprintf("  %-20s", "bound")
	for _, c := range columns {
		line += fmt.Sprintf(" %-10s", c)
		under += fmt.Sprintf(" %-10.0e", bounds[c])
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n" + strings.TrimRight(under, " ") + "\n")
	for _, k := range classes {
		line := fmt.Sprintf("  %-20s", promiseCut(k, 20))
		for _, c := range columns {
			line += fmt.Sprintf(" %-10s", cells[[2]string{k, c}])
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func (f PromiseFigure) ever() string {
	if f.Of != "S" && f.Of != "M" {
		return f.Of
	}
	return fmt.Sprintf("%s>=%.0f", f.Of, f.Threshold)
}

func (f PromiseFigure) between() string {
	return fmt.Sprintf("%.1e (%.1e..%.1e)", f.Estimate, f.Low, f.High)
}

// marks says how far above the bound, and how sure.
func (f PromiseFigure) marks() string {
	m := ""
	switch {
	case f.Certain():
		m = "**"
	case f.Exceeds():
		m = "*"
	}
	if f.Largest > 0.5 {
		m += "?"
	}
	return m
}

func (f PromiseFigure) row() string {
	return strings.TrimRight(fmt.Sprintf("%-24s %-6s %8.1e  %8.1e  %8.1e..%8.1e %9s %6d %s",
		promiseCut(f.Class, 24), f.ever(), f.Bound, f.Estimate, f.Low, f.High, promiseFactor(f.Factor), f.Hits, f.marks()), " ")
}

func (f PromiseFigure) short() string {
	return strings.TrimRight(fmt.Sprintf("%-18s %-6s %8.1e over %8.1e, from %8.1e %8s %s",
		promiseCut(f.Class, 18), f.ever(), f.Estimate, f.Bound, f.Low, promiseFactor(f.Factor), f.marks()), " ")
}

func promiseFactor(x float64) string {
	if x < 10 {
		return fmt.Sprintf("x%.2f", x)
	}
	return fmt.Sprintf("x%.0f", x)
}

func promiseCut(s string, n int) string {
	if len(s) > n {
		return s[:n-1] + "~"
	}
	return s
}
