package calibration

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"testing/fstest"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
)

//go:embed priors
var priors embed.FS

// Fit is a calibrated catalogue with what it rests on.
type Fit struct {
	Catalogue *catalogue.Catalogue
	Model     *heuristics.Model
	Lines     []Observation // sorted
	Weights   []float64     // of each in its class, summing to 1
	Profiles  [][]float64   // of each, its share in the profiles of its class
}

// rounds of expectation and maximisation. The profiles start where their
// scenarios put them and settle within a few.
const rounds = 6

// Profiles are fitted jointly over all families: a line belongs to each profile
// of its class by the likelihood of its whole history, and counts in the tables
// of each by that share. Box types have no profiles; their rows are mixed signal
// by signal over the groups of startOf, so that nothing depends on them holding
// together.
func Calibrate(vendors []byte, list []Observation) (*Fit, error) {
	prior, err := readPriors(vendors)
	if err != nil {
		return nil, err
	}
	f := &Fit{Lines: sorted(list)}
	f.Weights = weights(f.Lines)
	names := map[string][]catalogue.Profile{}
	for _, k := range slices.Concat(prior.Boxes, prior.Classes) {
		names[k.Name] = k.Profiles
	}
	for _, o := range f.Lines {
		ps := names[o.Class]
		if ps == nil {
			return nil, fmt.Errorf("%s: no class %q among the priors", o.Scenario, o.Class)
		}
		share := make([]float64, len(ps))
		at := slices.IndexFunc(ps, func(p catalogue.Profile) bool { return p.Name == startOf(o.Class, o.Scenario) })
		if at < 0 {
			at = 0
		}
		share[at] = 1
		f.Profiles = append(f.Profiles, share)
	}
	evidence := make([]*heuristics.Evidence, len(f.Lines))
	for range rounds {
		if f.Catalogue, err = f.tables(prior); err != nil {
			return nil, err
		}
		if f.Model, err = heuristics.NewModel(f.Catalogue); err != nil {
			return nil, err
		}
		for i, o := range f.Lines {
			if evidence[i] == nil {
				evidence[i] = f.Model.NewEvidence()
				for id, s := range o.Seen {
					if err := f.Model.Put(evidence[i], id, s); err != nil {
						return nil, fmt.Errorf("%s, seed %d: %w", o.Scenario, o.Seed, err)
					}
				}
			}
			f.assign(i, evidence[i])
		}
	}
	f.Catalogue, err = f.tables(prior)
	if err != nil {
		return nil, err
	}
	f.Model, err = heuristics.NewModel(f.Catalogue)
	return f, err
}

// readPriors loads what was set by hand.
func readPriors(vendors []byte) (*catalogue.Catalogue, error) {
	files := fstest.MapFS{"vendors.json": {Data: vendors}, "calibration.json": {Data: []byte("{}")}}
	err := fs.WalkDir(priors, "priors", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := priors.ReadFile(path)
		files[path[len("priors/"):]] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("priors: %w", err)
	}
	c, err := catalogue.Read(files)
	if err != nil {
		return nil, fmt.Errorf("priors: %w", err)
	}
	return c, nil
}

// tables fits all tables from the lines as they are shared out among profiles.
func (f *Fit) tables(prior *catalogue.Catalogue) (*catalogue.Catalogue, error) {
	out := *prior
	out.Boxes, out.Classes = f.shares(prior.Boxes, false), f.shares(prior.Classes, true)
	out.Signals = nil
	for i := range prior.Signals {
		s := prior.Signals[i]
		s.Tables = map[string][]catalogue.Row{catalogue.DefaultTable: prior.Signals[i].Tables[catalogue.DefaultTable]}
		for _, k := range slices.Concat(out.Boxes, out.Classes) {
			if k.Name == catalogue.Unknown {
				continue
			}
			if _, like := s.Like[k.Name]; like {
				continue
			}
			if s.Vendor || s.ByHand(k.Name) != "" || !f.showed(k.Name, s.ID) {
				if rows, ok := prior.Signals[i].Tables[k.Name]; ok {
					s.Tables[k.Name] = rows
				}
				continue
			}
			if f.isBox(prior, k.Name) {
				s.Tables[k.Name] = f.boxRows(&prior.Signals[i], k.Name)
				continue
			}
			for z, p := range k.Profiles {
				s.Tables[k.Name] = append(s.Tables[k.Name], fitted(&prior.Signals[i], prior.Signals[i].Rows(k.Name, p.Name), p.Name, f.lines(k.Name, s.ID, z))...)
			}
		}
		for class, box := range s.Like {
			s.Tables[class] = s.Tables[box]
		}
		out.Signals = append(out.Signals, s)
	}
	// What is written is what counts: digits that nobody prints decide nothing.
	files, err := Files(&out, catalogue.Calibration{})
	if err != nil {
		return nil, err
	}
	c, err := catalogue.Read(files)
	if err != nil {
		return nil, fmt.Errorf("fitted: %w", err)
	}
	return c, nil
}

func (f *Fit) isBox(c *catalogue.Catalogue, class string) bool {
	return slices.ContainsFunc(c.Boxes, func(k catalogue.Class) bool { return k.Name == class })
}

// showed says whether any line of a class showed anything of a signal.
func (f *Fit) showed(class, id string) bool {
	for _, o := range f.Lines {
		if _, ok := o.Seen[id]; ok && o.Class == class {
			return true
		}
	}
	return false
}

// inClass is how many lines of a class there are, as far as they count.
func (f *Fit) inClass(class string) float64 {
	n := 0
	for _, o := range f.Lines {
		if o.Class == class {
			n++
		}
	}
	return float64(min(n, mostLines))
}

// lines collects what lines of a class showed of a signal, by their share in
// profile z. Profiles of a rich class have as many lines each as a class alone.
func (f *Fit) lines(class, id string, z int) (out []weighted) {
	n := f.inClass(class)
	share := 0.0
	for i, o := range f.Lines {
		if o.Class == class {
			share += f.Weights[i] * f.Profiles[i][z]
		}
	}
	if share == 0 {
		return nil
	}
	drawn := 0.0
	for i, o := range f.Lines {
		if o.Class == class {
			drawn += f.Profiles[i][z]
		}
	}
	n = min(n, drawn)
	for i, o := range f.Lines {
		if s, ok := o.Seen[id]; ok && o.Class == class && f.Profiles[i][z] > 1e-3 {
			out = append(out, weighted{s, n * f.Weights[i] * f.Profiles[i][z] / share})
		}
	}
	return out
}

// boxRows fits one row for each group of a box type's scenarios, each with its
// share, and keeps the prior beside them.
func (f *Fit) boxRows(s *catalogue.Signal, class string) []catalogue.Row {
	prior := s.Rows(class, "")
	groups := map[string]float64{}
	for i, o := range f.Lines {
		if _, ok := o.Seen[s.ID]; ok && o.Class == class {
			groups[startOf(class, o.Scenario)] += f.Weights[i]
		}
	}
	names := make([]string, 0, len(groups))
	total := 0.0
	for g, w := range groups {
		names = append(names, g)
		total += w
	}
	slices.Sort(names)
	if s.Kind == catalogue.Sighting {
		// A rate for each group; the prior is in each.
		names = slices.DeleteFunc(names, func(g string) bool { return groups[g] < total/100 })
	}
	var out []catalogue.Row
	rest := 0.0
	for _, g := range names {
		n := 0.0
		var lines []weighted
		for i, o := range f.Lines {
			if o.Class == class && startOf(class, o.Scenario) == g {
				if seen, ok := o.Seen[s.ID]; ok {
					lines = append(lines, weighted{seen, f.Weights[i] / groups[g]})
					n++
				}
			}
		}
		n = min(n, mostLines)
		for i := range lines {
			lines[i].weight *= n
		}
		rows := fitted(s, prior, "", lines)
		r := rows[0]
		if r.W == 0 {
			r.W = 1
		}
		rest += groups[g] / total * (1 - r.W)
		r.W *= groups[g] / total
		out = append(out, r)
	}
	if rest > 0 {
		out = append(out, relabelled(prior, "", rest)...)
	}
	return out
}

// shares fits the weights of profiles from the lines' shares in them, the prior
// counting as priorLines.
func (f *Fit) shares(list []catalogue.Class, fit bool) []catalogue.Class {
	out := slices.Clone(list)
	for i := range out {
		k := &out[i]
		if !fit || len(k.Profiles) < 2 {
			continue
		}
		k.Profiles = slices.Clone(k.Profiles)
		n := f.inClass(k.Name)
		for z := range k.Profiles {
			share := 0.0
			for j, o := range f.Lines {
				if o.Class == k.Name {
					share += f.Weights[j] * f.Profiles[j][z]
				}
			}
			k.Profiles[z].Weight = (priorLines*k.Profiles[z].Weight + n*share) / (priorLines + n)
		}
	}
	return out
}

// assign shares line i out among the profiles of its class by the likelihood of
// its history.
func (f *Fit) assign(i int, e *heuristics.Evidence) {
	share := f.Profiles[i]
	if len(share) < 2 {
		return
	}
	first := len(f.Catalogue.Boxes)
	var profiles []catalogue.Profile
	for _, k := range f.Catalogue.Classes {
		if k.Name == f.Lines[i].Class {
			profiles = k.Profiles
			break
		}
		first += len(k.Profiles)
	}
	most := math.Inf(-1)
	for z, p := range profiles {
		share[z] = math.Log(p.Weight)
		for _, l := range f.Model.Likelihoods(e) {
			if l != nil {
				share[z] += l[first+z]
			}
		}
		most = max(most, share[z])
	}
	sum := 0.0
	for z := range share {
		share[z] = math.Exp(share[z] - most)
		sum += share[z]
	}
	for z := range share {
		share[z] /= sum
	}
}

// Files renders a catalogue as the files that catalogue.Read takes, but for
// vendors.json's text, which is given as the catalogue has it.
func Files(c *catalogue.Catalogue, m catalogue.Calibration) (fstest.MapFS, error) {
	out := fstest.MapFS{}
	meta, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	out["calibration.json"] = &fstest.MapFile{Data: append(meta, '\n')}
	if out["vendors.json"], err = file(c.Vendors); err != nil {
		return nil, err
	}
	out["classes.json"] = &fstest.MapFile{Data: classesText(c)}
	for i := range c.Signals {
		out["signals/"+c.Signals[i].ID+".json"] = &fstest.MapFile{Data: signalText(&c.Signals[i], c)}
	}
	return out, nil
}

func file(v any) (*fstest.MapFile, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return &fstest.MapFile{Data: b.Bytes()}, err
}

// Made says what the fit rests on, but for the hash of the counts' file.
func (f *Fit) Made(p Plan) catalogue.Calibration {
	m := catalogue.Calibration{Draws: p.Draws, FirstSeed: p.First, Lines: map[string]int{}, PriorLines: priorLines, MostLines: mostLines}
	scenarios := map[string]bool{}
	for _, o := range f.Lines {
		m.Lines[o.Class]++
		scenarios[o.Scenario] = true
	}
	m.Scenarios = len(scenarios)
	m.Priors = priorsHash()
	return m
}

// priorsHash is the SHA-256 of all priors, names and contents, in hex.
func priorsHash() string {
	sum := sha256.New()
	err := fs.WalkDir(priors, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := priors.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n", path, len(b))
		sum.Write(b)
		return err
	})
	if err != nil {
		panic(err) // they are part of the program
	}
	return hex.EncodeToString(sum.Sum(nil))
}
