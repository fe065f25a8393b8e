package calibration

import (
	"math"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
)

// How much a prior set by hand weighs beside the lab's lines. Both numbers are
// judgement: a lab is one author's idea of the field, and a thousand more lines
// of it do not make it truer.
const (
	priorLines = 10 // the prior is worth this many lines
	mostLines  = 60 // and the lab never more than these
)

// weighted is a history with its weight in the fit of one table, in lines.
type weighted struct {
	seen   heuristics.Seen
	weight float64
}

// fitted makes the rows of one class and profile: what fits its lines, beside the
// prior's own rows, weighed as two accounts of which either may be the true one.
// Lines unlike all that the lab draws keep the prior's likelihood, less the
// logarithm of its weight.
func fitted(s *catalogue.Signal, prior []catalogue.Row, profile string, lines []weighted) []catalogue.Row {
	n := 0.0
	for _, l := range lines {
		n += l.weight
	}
	if n < 1 {
		return relabelled(prior, profile, 1)
	}
	var r catalogue.Row
	switch s.Kind {
	case catalogue.Urn:
		r = fitUrn(prior, lines)
	case catalogue.Static:
		r = fitStatic(prior, lines)
	default:
		r = fitSighting(prior, lines)
	}
	r.Profile, r.Lines = profile, int(math.Round(n))
	if s.Kind == catalogue.Sighting {
		// One rate already holds both: events and exposure of the prior are in it.
		r.W = 0
		return []catalogue.Row{r}
	}
	r.W = n / (n + priorLines)
	return append([]catalogue.Row{r}, relabelled(prior, profile, priorLines/(n+priorLines))...)
}

// relabelled gives the prior's rows for one profile, weighing share together.
func relabelled(prior []catalogue.Row, profile string, share float64) []catalogue.Row {
	out := make([]catalogue.Row, len(prior))
	for i, r := range prior {
		r.Profile = profile
		r.W *= share
		out[i] = r
	}
	return out
}

// mean is the prior's mean of each category.
func mean(rows []catalogue.Row) []float64 {
	out := make([]float64, len(rows[0].P))
	for _, r := range rows {
		for j, p := range r.P {
			out[j] += r.W * p
		}
	}
	return out
}

// fitStatic is the mean after priorLines of the prior were seen as well.
func fitStatic(prior []catalogue.Row, lines []weighted) catalogue.Row {
	p := mean(prior)
	total := float64(priorLines)
	for j := range p {
		p[j] *= priorLines
	}
	for _, l := range lines {
		p[l.seen.Category] += l.weight
		total += l.weight
	}
	for j := range p {
		p[j] /= total
	}
	return catalogue.Row{P: p}
}

// typicalLook is the exposure, in seconds, at which the prior of a sighting is
// worth priorLines.
const typicalLook = 1800

// fitSighting fits the rate of the Gamma-Poisson at the prior's tau. In the
// variable ln(1 + T/tau) the first sighting is that of a plain Poisson process,
// so events over exposure is the whole of it.
func fitSighting(prior []catalogue.Row, lines []weighted) catalogue.Row {
	var a, tau float64
	for _, r := range prior {
		a += r.W * r.A
		tau += r.W * r.Tau
	}
	look := priorLines * math.Log1p(typicalLook/tau)
	events := a * look
	for _, l := range lines {
		look += l.weight * math.Log1p(float64(l.seen.Exposure)/1e9/tau)
		if l.seen.Sighted {
			events += l.weight
		}
	}
	return catalogue.Row{A: events / look, Tau: tau}
}

// Bounds of an urn's parameters: below the least a category would be as good as
// impossible, above the most all lines of a class would be taken for alike.
const (
	leastAlpha = 2e-3
	mostAlpha  = 60
	priorPull  = 0.5 // weight, in lines, of one squared nat of distance from the prior's alpha
)

// fitUrn finds the Pólya parameters between lines that make their counts likely
// (Minka, Estimating a Dirichlet distribution), each held near the prior's by a
// log-normal pull. It climbs by the sign of the slope with a step of its own for
// each parameter, which needs no second derivative and cannot run away.
func fitUrn(prior []catalogue.Row, lines []weighted) catalogue.Row {
	p := mean(prior)
	n := 0.0
	for _, r := range prior {
		n += r.W * math.Log(r.N)
	}
	n = math.Exp(n)
	k := len(p)
	start, at, step, last := make([]float64, k), make([]float64, k), make([]float64, k), make([]float64, k)
	lo, hi := math.Log(leastAlpha), math.Log(mostAlpha)
	for j := range p {
		start[j] = min(max(math.Log(p[j]*n), lo), hi)
		at[j], step[j] = start[j], 0.3
	}
	alpha, slope := make([]float64, k), make([]float64, k)
	for range 120 {
		sum := 0.0
		for j := range at {
			alpha[j] = math.Exp(at[j])
			sum += alpha[j]
			slope[j] = 0
		}
		whole := digamma(sum)
		for _, l := range lines {
			total := 0.0
			for _, c := range l.seen.Counts {
				total += float64(c)
			}
			if total == 0 {
				continue
			}
			common := whole - digamma(sum+total)
			for j, c := range l.seen.Counts {
				d := common
				if c > 0 {
					d += digamma(alpha[j]+float64(c)) - digamma(alpha[j])
				}
				slope[j] += l.weight * alpha[j] * d
			}
		}
		moved := 0.0
		for j := range at {
			g := slope[j] - priorPull*(at[j]-start[j])
			switch {
			case g*last[j] > 0:
				step[j] = min(step[j]*1.3, 1)
			case g*last[j] < 0:
				step[j] /= 2
			}
			last[j] = g
			next := at[j] + math.Copysign(step[j], g)
			next = min(max(next, lo), hi)
			moved = max(moved, math.Abs(next-at[j]))
			at[j] = next
		}
		if moved < 1e-4 {
			break
		}
	}
	r := catalogue.Row{P: make([]float64, k)}
	for j := range at {
		r.N += math.Exp(at[j])
	}
	for j := range at {
		r.P[j] = math.Exp(at[j]) / r.N
	}
	return r
}

// digamma is the derivative of ln Γ, by recurrence to where its asymptotic series
// holds to 1e-9 (Abramowitz and Stegun 6.3.5, 6.3.18).
func digamma(x float64) float64 {
	d := 0.0
	for x < 8 {
		d -= 1 / x
		x++
	}
	i := 1 / (x * x)
	return d + math.Log(x) - 0.5/x - i*(1.0/12-i*(1.0/120-i*(1.0/252-i/240)))
}
