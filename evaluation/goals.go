package evaluation

import (
	"fmt"
	"math"

	"simtrap/heuristics"
	"simtrap/lab"
	"simtrap/trial"
)

// Calls from which on a box has been heard enough for a case.
const enoughCalls = 30

const twoSlot = "two-slot-relay"

// Calls at once from which on a box is asked for however it hides.
const crowd = 8

// goals are the figures by which the detector is judged.
func (c *collector) goals(variant int, v Variant, classes []Group) []Goal {
	box, open, bare, heard, relay := (*fact).mainBox, (*fact).open, (*fact).bare, (*fact).heard, (*fact).relay
	// A licensed farm of cards that shows a gateway's own records is multi-SIM
	// equipment, which is all that proof claims (VERDICT section 6): it is told
	// apart by the operator's register and by nothing on the wire.
	honest := func(f *fact) bool { return !f.box && !f.proof }
	licensed := func(f *fact) bool { return !f.box && f.proof }

	const a, b = "box that shows more than calls", "box that shows calls alone"
	out := []Goal{
		c.share1(variant, "a1", a+": review", open, heuristics.Review, 0.99),
		c.share1(variant, "a2", a+", 30 calls: case", heard, heuristics.Case, 0.95),
		c.median(variant, "a3", a+": time to review", open, heuristics.Review),
		c.median(variant, "a4", a+": time to case", open, heuristics.Case),
		c.share1(variant, "b1", b+": watch", bare, heuristics.Watch, 0.95),
		c.share1(variant, "b2", b+": review", bare, heuristics.Review, -1),
		c.share1(variant, "b3", b+": case", bare, heuristics.Case, -1),
		c.share1(variant, "c", "proof in the traffic: case", (*fact).provable, heuristics.Case, 0.99),
		c.share1(variant, "d", "two-slot relay: watch", relay, heuristics.Watch, 0.90),
		c.share1(variant, "d2", "two-slot relay: review", relay, heuristics.Review, -1),
		c.honestAt(variant, "e1", "honest line: case", honest, heuristics.Case),
		c.share1(variant, "e3", "licensed equipment with control records: case", licensed, heuristics.Case, -1),
		worstClass(classes, "e2", "honest class worst at watch"),
		c.channels(variant, "f", "channels within one of those in use", box),
	}
	out = append(out, c.cards(variant, box)...)
	out = append(out, c.hidden(variant)...)
	whole := v == Variant{View: viewBoth}
	for i := range out {
		g := &out[i]
		g.Variant = v.String()
		// With less to see nothing is promised of boxes, but everything of others.
		if !whole && g.ID[0] != 'e' && g.ID != "g1" {
			g.Want = nil
		}
		g.judge()
	}
	return out
}

// hidden are the figures of boxes that hide what they say. A box of few calls in
// a tunnel looks like people at home, so nothing is asked of it.
func (c *collector) hidden(variant int) []Goal {
	near := part{}
	c.each(variant, c.hides(lab.HideTunnel, crowd), func(f *fact) {
		near.n++
		if d := math.Abs(float64(f.channels-f.peak)) / float64(f.peak); d <= 0.2 {
			near.k++
		}
	})
	counted := Goal{ID: "i2", Text: "the same: calls at once counted within 20 %", Rate: wilson(near.k, near.n)}
	var out []Goal
	for _, g := range c.hiddenGoals() {
		out = append(out, c.share1(variant, g.id, g.text, g.of, g.verdict, g.want))
		if g.id == "i1" {
			out = append(out, counted)
		}
	}
	return out
}

// hiddenGoal asks for a share of the boxes that hide in one way; want below 0 asks
// for nothing.
type hiddenGoal struct {
	id, text string
	of       func(*fact) bool
	verdict  heuristics.Verdict
	want     float64
}

func (c *collector) hiddenGoals() []hiddenGoal {
	return []hiddenGoal{
		{"i1", "box in a tunnel over UDP, ESP or GRE, 8 calls at once: watch", c.hides(lab.HideTunnel, crowd), heuristics.Watch, 0.90},
		{"i3", "box in a tunnel over TCP, 8 calls at once: watch", c.hides(lab.HideTunnelTCP, crowd), heuristics.Watch, -1},
		{"i4", "box with TLS and SRTP, 8 calls at once: watch", c.hides(lab.HideSRTP, crowd), heuristics.Watch, 0.90},
		{"i5", "the same: review", c.hides(lab.HideSRTP, crowd), heuristics.Review, -1},
		{"i6", "two-slot relay with TLS and SRTP: watch", c.hides(lab.HideSRTP, 0), heuristics.Watch, -1},
		{"i7", "box with obfuscated SIP: review", c.hides(lab.HideSIP, 0), heuristics.Review, 0.95},
		{"i8", "gateway of an enciphered bank: watch", c.hides(lab.HideBank, 0), heuristics.Watch, -1},
	}
}

// hides picks boxes that hide in one way, with so many calls at once or more.
func (c *collector) hides(what string, least int) func(*fact) bool {
	return func(f *fact) bool {
		return f.mainBox() && c.plan.Scenarios[f.scenario].Hides == what && f.peak >= least && (what != lab.HideSRTP || (f.class == twoSlot) == (least == 0))
	}
}

// The boxes that goals are asked of.

func (f *fact) mainBox() bool  { return f.main && f.box }
func (f *fact) readable() bool { return f.mainBox() && f.shows.any(showsSIP) && f.class != twoSlot }
func (f *fact) open() bool     { return f.readable() && f.shows.any(telling) }
func (f *fact) bare() bool     { return f.readable() && !f.shows.any(telling) }
func (f *fact) heard() bool    { return f.open() && f.calls >= enoughCalls }
func (f *fact) provable() bool { return f.mainBox() && f.proof }
func (f *fact) relay() bool    { return f.mainBox() && f.shows.any(showsSIP) && f.class == twoSlot }

// judge says whether the goal is met. A figure of nothing meets nothing.
func (g *Goal) judge() {
	if g.Want == nil || g.Value == nil && g.Rate.N == 0 {
		return
	}
	figure := g.Rate.Rate
	if g.Value != nil {
		figure = *g.Value
	}
	met := figure >= *g.Want
	if g.AtMost {
		met = figure <= *g.Want
	}
	g.Met = &met
}

// share1 is the share of lines at a verdict; want below 0 asks for nothing.
func (c *collector) share1(variant int, id, text string, of func(*fact) bool, v heuristics.Verdict, want float64) Goal {
	var p part
	c.each(variant, of, func(f *fact) {
		p.n++
		if f.at(v) {
			p.k++
		}
	})
	g := Goal{ID: id, Text: text, Rate: wilson(p.k, p.n)}
	if want >= 0 {
		g.Want = &want
	}
	return g
}

func (c *collector) median(variant int, id, text string, of func(*fact) bool, v heuristics.Verdict) Goal {
	var seconds []float64
	n := 0
	c.each(variant, of, func(f *fact) {
		n++
		if m := f.reached[v]; m.ok && f.at(v) {
			seconds = append(seconds, m.seconds)
		}
	})
	g := Goal{ID: id, Text: text, Unit: "seconds", Rate: wilson(float64(len(seconds)), float64(n)), Value: quantile(seconds, n, 0.5)}
	if g.Value == nil && n > 0 {
		g.Note = "fewer than half get there"
	}
	return g
}

// honestAt is the share of all honest lines, those beside others too.
func (c *collector) honestAt(variant int, id, text string, honest func(*fact) bool, v heuristics.Verdict) Goal {
	g := c.share1(variant, id, text, honest, v, 0)
	n := g.Rate.N
	for _, silent := range c.tallys[variant].silent {
		n += float64(silent)
	}
	g.Rate, g.AtMost = wilson(g.Rate.K, n), true
	return g
}

// worstClass is the honest class with the largest share at watch or above.
func worstClass(classes []Group, id, text string) Goal {
	g := Goal{ID: id, Text: text, AtMost: true}
	most := -1.0
	for i := range classes {
		if k := &classes[i]; !k.Box && k.Watch.ByShare.N > 0 && k.Watch.ByShare.Rate > most {
			most = k.Watch.ByShare.Rate
			g.Rate, g.Note = k.Watch.ByShare, k.Name
		}
	}
	if most <= 0 {
		g.Note = "" // none is
	}
	want := 0.10
	g.Want = &want
	return g
}

func (c *collector) channels(variant int, id, text string, of func(*fact) bool) Goal {
	var used, installed part
	c.each(variant, of, func(f *fact) { f.countChannels(&used, &installed) })
	g := Goal{ID: id, Text: text, Rate: wilson(used.k, used.n)}
	if installed.n > 0 {
		g.Note = fmt.Sprintf("of those built in, where control tells: %.0f of %.0f", installed.k, installed.n)
	}
	return g
}

func (c *collector) cards(variant int, box func(*fact) bool) []Goal {
	var m trial.Match
	c.each(variant, func(f *fact) bool { return box(f) && f.shows.any(showsCards) }, func(f *fact) { m = m.Add(f.cards) })
	all, most := 1.0, 0.99
	return []Goal{
		{ID: "g1", Text: "cards: precision", Rate: wilson(float64(m.Right), float64(m.Found)), Want: &all},
		{ID: "g2", Text: "cards: recall where the protocol shows them", Rate: wilson(float64(m.Seen), float64(m.True)), Want: &most},
	}
}

// vendorGoals ask that no figure of boxes falls by more than a hundredth when
// boxes call themselves nothing, or a telephone. Both columns have the same
// draws.
func vendorGoals(variants []Figures) {
	for i := range variants {
		v := &variants[i]
		if v.Vendor == "" {
			continue
		}
		most, note, n := math.Inf(-1), "", 0.0
		for k := range v.Goals {
			g, plain := &v.Goals[k], &variants[0].Goals[k]
			if g.ID[0] == 'e' || g.Unit != "" || g.Rate.N == 0 {
				continue
			}
			n = max(n, g.Rate.N)
			if fall := plain.Rate.Rate - g.Rate.Rate; fall > most {
				most, note = fall, plain.ID
			}
		}
		if n == 0 {
			continue
		}
		want, value := 0.01, round(max(most, 0))
		g := Goal{ID: "h", Text: "largest fall of a figure of boxes", Variant: v.Variant.String(), Rate: Rate{N: n}, Value: &value, Unit: "share", Want: &want, AtMost: true}
		if most > 0 {
			g.Note = "of " + note
		}
		g.judge()
		v.Goals = append(v.Goals, g)
	}
}
