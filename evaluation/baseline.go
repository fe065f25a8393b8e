package evaluation

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Tolerances of a comparison. The same draws give the same figures, so there is
// no noise to allow for: a change of the code may cost boxes a hundredth of a
// figure, and honest lines nothing.
const fallAllowed = 0.01

// Baseline is what a later run is compared with.
type Baseline struct {
	Draws     int               `json:"draws"`
	FirstSeed uint64            `json:"first_seed"`
	Figures   map[string]Figure `json:"figures"`
}

// Figure is one that must not become worse.
type Figure struct {
	K    float64 `json:"k"`
	N    float64 `json:"n"`
	Rate float64 `json:"rate"`
	Most bool    `json:"most,omitempty"` // less is better
}

// Baseline picks the figures that must not become worse.
func (r *Report) Baseline() *Baseline {
	b := &Baseline{Draws: r.Draws, FirstSeed: r.FirstSeed, Figures: make(map[string]Figure)}
	for i := range r.Variants {
		v := &r.Variants[i]
		for k := range v.Scenarios {
			b.group(v.Variant.String()+"/scenario", &v.Scenarios[k])
		}
		for k := range v.Classes {
			b.group(v.Variant.String()+"/class", &v.Classes[k])
		}
		for k := range v.Goals {
			if g := &v.Goals[k]; g.Unit == "" && g.ID != "e2" && g.Rate.N > 0 {
				b.Figures[v.Variant.String()+"/goal/"+g.ID] = Figure{g.Rate.K, g.Rate.N, g.Rate.Rate, g.AtMost}
			}
		}
	}
	return b
}

func (b *Baseline) group(prefix string, g *Group) {
	for _, v := range verdicts() {
		name := prefix + "/" + g.Name + "/" + v.String()
		if r := g.reached(v).Draws; r.N > 0 {
			b.Figures[name] = Figure{r.K, r.N, r.Rate, !g.Box}
		}
		beside, all := 0, 0
		for at, n := range g.Beside {
			all += n
			if at >= int(v) {
				beside += n
			}
		}
		if !g.Box && all > 0 {
			b.Figures[name+"/beside"] = Figure{float64(beside), float64(all), ratio(beside, all), true}
		}
	}
}

// Write writes the baseline as JSON.
func (b *Baseline) Write(w io.Writer) error { return writeJSON(w, b) }

// ReadBaseline reads what Write wrote.
func ReadBaseline(r io.Reader) (*Baseline, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	b := new(Baseline)
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("no baseline: %w", err)
	}
	if b.Draws < 1 || len(b.Figures) == 0 {
		return nil, fmt.Errorf("no baseline: it has no draws or no figures")
	}
	return b, nil
}

// Against sets b beside an earlier run of the same draws: what became worse, and
// what changed otherwise. A figure that is gone is worse; one that is new is a
// change.
func (b *Baseline) Against(before *Baseline) (worse, changed []string, err error) {
	if b.Draws != before.Draws || b.FirstSeed != before.FirstSeed {
		return nil, nil, fmt.Errorf("it has %d draws from seed %d, this run %d from %d: only the same draws can be compared",
			before.Draws, before.FirstSeed, b.Draws, b.FirstSeed)
	}
	for _, name := range slices.Sorted(maps.Keys(before.Figures)) {
		old := before.Figures[name]
		now, here := b.Figures[name]
		if !here {
			worse = append(worse, name+" is gone; if its scenario is, write the baseline anew")
			continue
		}
		says := fmt.Sprintf("%s: %g of %g, was %g of %g", name, now.K, now.N, old.K, old.N)
		switch {
		case now.worse(old):
			worse = append(worse, says)
		case now.K != old.K || now.N != old.N:
			changed = append(changed, says)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Figures)) {
		if _, known := before.Figures[name]; !known {
			changed = append(changed, name+" is new")
		}
	}
	return worse, changed, nil
}

func (f Figure) worse(old Figure) bool {
	const rounding = 1e-9
	if f.Most {
		return f.Rate > old.Rate+rounding
	}
	return f.Rate < old.Rate-fallAllowed-rounding
}
