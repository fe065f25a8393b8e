package evaluation

import (
	"math"
	"slices"

	"simtrap/heuristics"
	"simtrap/trial"
)

// report makes figures of everything that was taken.
func (c *collector) report() *Report {
	p := c.plan
	r := &Report{
		Catalogue: c.model.Catalogue().Hash, Draws: p.Draws, FirstSeed: p.First, LastSeed: p.First + uint64(p.Draws) - 1,
		Captures: len(c.jobs), Lines: c.lines,
	}
	for i, v := range p.variants() {
		r.Variants = append(r.Variants, c.figures(i, v))
	}
	vendorGoals(r.Variants)
	r.Margins = c.margins()
	r.Curves = c.curves()
	r.Reliability = c.reliability()
	r.Histogram = c.histogram()
	r.Ablations = c.ablations()
	r.Hiding = c.hiding()
	r.Drops = c.drops()
	r.Misses = c.misses.list()
	r.Shortfalls = c.shortfalls()
	return r
}

func (c *collector) figures(variant int, v Variant) Figures {
	out := Figures{Variant: v}
	for s := range c.plan.Scenarios {
		g := c.group(variant, func(f *fact) bool { return f.main && f.scenario == s })
		if g.Draws == 0 {
			continue
		}
		g.Name, g.Share = c.plan.Scenarios[s].Name, c.share(s)
		out.Scenarios = append(out.Scenarios, g)
	}
	boxes, honest := c.classes(variant)
	for _, class := range slices.Concat(boxes, honest) {
		g := c.group(variant, func(f *fact) bool { return f.main && f.class == class })
		g.Name, g.Class, g.Box = class, class, slices.Contains(boxes, class)
		for _, v := range verdicts() {
			g.reached(v).ByShare = c.byShare(variant, class, func(f *fact) bool { return f.at(v) })
		}
		for i := range c.tallys[variant].facts {
			if f := &c.tallys[variant].facts[i]; f.class == class && !f.main {
				g.Beside[f.verdict]++
			}
		}
		g.Beside[heuristics.None] += c.tallys[variant].silent[class]
		out.Classes = append(out.Classes, g)
	}
	out.Goals = c.goals(variant, v, out.Classes)
	return out
}

// share is a scenario's of its class; those that are not drawn from have none
// and count alike.
func (c *collector) share(scenario int) float64 {
	if s := c.plan.Scenarios[scenario].Share; s > 0 {
		return s
	}
	return 1
}

// classes lists those that a variant has lines of, in the catalogue's order, and
// behind them what the catalogue does not know.
func (c *collector) classes(variant int) (boxes, honest []string) {
	isBox := make(map[string]bool)
	for i := range c.tallys[variant].facts {
		f := &c.tallys[variant].facts[i]
		isBox[f.class] = f.box
	}
	for class := range c.tallys[variant].silent {
		if _, known := isBox[class]; !known {
			isBox[class] = false
		}
	}
	add := func(class string) {
		box, here := isBox[class]
		switch {
		case !here:
			return
		case box:
			boxes = append(boxes, class)
		default:
			honest = append(honest, class)
		}
		delete(isBox, class)
	}
	cat := c.model.Catalogue()
	for _, k := range slices.Concat(cat.Boxes, cat.Classes) {
		add(k.Name)
	}
	var rest []string
	for class := range isBox {
		rest = append(rest, class)
	}
	slices.Sort(rest)
	for _, class := range rest {
		add(class)
	}
	return boxes, honest
}

// each calls do for the facts of a variant that want is true of.
func (c *collector) each(variant int, want func(*fact) bool, do func(*fact)) {
	facts := c.tallys[variant].facts
	for i := range facts {
		if want(&facts[i]) {
			do(&facts[i])
		}
	}
}

// byShare is how many of a class's main lines something holds for, each
// scenario counted by its share. A class that no scenario is about has the plain
// count of its lines.
func (c *collector) byShare(variant int, class string, holds func(*fact) bool) Rate {
	parts := make([]part, len(c.plan.Scenarios))
	mains, beside := 0, part{n: float64(c.tallys[variant].silent[class])}
	c.each(variant, func(f *fact) bool { return f.class == class }, func(f *fact) {
		p := &beside
		if f.main {
			mains++
			p = &parts[f.scenario]
			p.share = c.share(f.scenario)
		}
		p.n++
		if holds(f) {
			p.k++
		}
	})
	if mains == 0 {
		return wilson(beside.k, beside.n)
	}
	return weighted(parts)
}

func (g *Group) reached(v heuristics.Verdict) *Reached {
	switch v {
	case heuristics.Watch:
		return &g.Watch
	case heuristics.Review:
		return &g.Review
	}
	return &g.Case
}

// group counts the lines that want is true of.
func (c *collector) group(variant int, want func(*fact) bool) Group {
	var g Group
	var seconds, calls [heuristics.Case + 1][]float64
	var used, installed part
	var cards, controllers trial.Match
	told := false // what its cards are
	c.each(variant, want, func(f *fact) {
		g.Class, g.Box = f.class, f.box
		g.Draws++
		g.Verdicts[f.verdict]++
		for _, v := range verdicts() {
			if m := f.reached[v]; m.ok && f.at(v) {
				seconds[v] = append(seconds[v], m.seconds)
				calls[v] = append(calls[v], float64(m.calls))
			}
		}
		if !f.box {
			return
		}
		f.countChannels(&used, &installed)
		controllers = controllers.Add(f.controllers)
		if f.shows.any(showsCards) {
			told = true
			cards = cards.Add(f.cards)
		}
	})
	for _, v := range verdicts() {
		k := 0
		for at := v; at <= heuristics.Case; at++ {
			k += g.Verdicts[at]
		}
		r := g.reached(v)
		r.Draws = wilson(float64(k), float64(g.Draws))
		r.ByShare = r.Draws
		r.Seconds = Deciles{quantile(seconds[v], g.Draws, 0.5), quantile(seconds[v], g.Draws, 0.9)}
		r.Calls = Deciles{quantile(calls[v], g.Draws, 0.5), quantile(calls[v], g.Draws, 0.9)}
	}
	if g.Box {
		g.Channels = &Channels{wilson(used.k, used.n), wilson(installed.k, installed.n)}
		g.Controllers = named(controllers)
	}
	if told {
		g.Cards = named(cards)
	}
	return g
}

// countChannels sets the channels found beside those there are. A box that never
// has all its channels in use shows no more than it uses.
func (f *fact) countChannels(used, installed *part) {
	if f.installed == 0 {
		return
	}
	within := func(p *part, truth int) {
		p.n++
		if d := f.channels - truth; d >= -1 && d <= 1 {
			p.k++
		}
	}
	if f.shows.any(showsControl) {
		// Its records may tell of all of them or of those in use: either is right.
		d := math.Min(math.Abs(float64(f.channels-f.installed)), math.Abs(float64(f.channels-min(f.peak, f.installed))))
		used.n++
		if d <= 1 {
			used.k++
		}
		within(installed, f.installed)
		return
	}
	within(used, min(f.peak, f.installed))
}

func named(m trial.Match) *Named {
	n := &Named{Match: m, Precision: ratio(m.Right, m.Found), Recall: ratio(m.Seen, m.True)}
	if m.Found == 0 {
		n.Precision = 1 // nothing was said that is wrong
	}
	return n
}
