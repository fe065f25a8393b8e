// Package catalogue holds the numbers of the verdict: classes, weights,
// profiles, likelihood tables and contamination, each with its source. It is
// data; package heuristics gives it meaning.
package catalogue

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
	"sync"
)

//go:embed calibration.json classes.json vendors.json signals/*.json
var files embed.FS

// Unknown is the class of what nobody modelled; it has no tables of its own.
const Unknown = "unknown"

// Catalogue is the whole of the data.
type Catalogue struct {
	Version   int
	Boxes     []Class
	Classes   []Class // honest; Unknown is the last
	Epsilon   Epsilon
	VendorCap float64 // largest ratio of box to class in a vendor-string table
	Signals   []Signal
	Vendors   Vendors
	Made      Calibration
	Hash      string // SHA-256 of the data, hex
}

// Calibration is what the fitted tables rest on; zero for tables set by hand.
type Calibration struct {
	Scenarios int            `json:"scenarios"` // that were drawn from
	Draws     int            `json:"draws"`     // of each
	FirstSeed uint64         `json:"first_seed"`
	Lines     map[string]int `json:"lines"` // of known truth, by class
	// FieldLines is how many independent lines of the field were seen. Below 60
	// the default of epsilon is 0.05, from there 3/n (VERDICT section 3).
	FieldLines int `json:"field_lines"`
	PriorLines int `json:"prior_lines"` // how many lines a prior weighs
	MostLines  int `json:"most_lines"`  // the most that the lab's lines weigh in one table
	// Observations and Priors are SHA-256 of the counts and of the priors, hex.
	Observations string `json:"observations"`
	Priors       string `json:"priors"`
}

// epsilon is the contamination that n independent lines of the field allow.
func (c Calibration) epsilon() float64 {
	if c.FieldLines < 60 {
		return 0.05
	}
	return 3 / float64(c.FieldLines)
}

// Class is a box type or a class of honest lines. Weights are shares that sum
// to 1 over the boxes and over the classes; normalised at load.
type Class struct {
	Name     string    `json:"name"`
	Weight   float64   `json:"weight"`
	Says     string    `json:"says"`
	Source   string    `json:"source"`
	Profiles []Profile `json:"profiles"`
}

// Profile is one way of being of a class, over all families at once.
type Profile struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"`
}

// Epsilon is how far each class's tables are contaminated with the boxes'.
type Epsilon struct {
	Default       float64    `json:"default"`
	DefaultSource string     `json:"default_source"`
	Overrides     []Override `json:"overrides"`
}

// Override sets the contamination of one family for the classes named, or for
// all but the ones named.
type Override struct {
	Family  string   `json:"family"`
	Classes []string `json:"classes"`
	Except  []string `json:"except"`
	Epsilon float64  `json:"epsilon"`
	Source  string   `json:"source"`
}

// Of gives the contamination of a family for a class.
func (e Epsilon) Of(class, family string) float64 {
	for _, o := range e.Overrides {
		if o.Family != family {
			continue
		}
		if slices.Contains(o.Classes, class) || len(o.Except) > 0 && !slices.Contains(o.Except, class) {
			return o.Epsilon
		}
	}
	return e.Default
}

// Kind is how a signal's evidence is counted.
type Kind string

const (
	Urn      Kind = "urn"      // one category per event, a Pólya urn per line
	Static   Kind = "static"   // one category per epoch
	Sighting Kind = "sighting" // when it was first seen, against how long one looked
)

// Signal is one measurable trait with its likelihoods per class.
type Signal struct {
	ID         string   `json:"id"`
	Family     string   `json:"family"`
	Kind       Kind     `json:"kind"`
	Vendor     bool     `json:"vendor,omitempty"`
	Measures   string   `json:"measures"`
	Separates  string   `json:"separates"`
	Source     string   `json:"source"`
	Categories []string `json:"categories"`
	// Hand names the classes whose rows were set by hand and are not to be
	// fitted, each with why; "*" stands for all of them.
	Hand map[string]string `json:"hand,omitempty"`
	// Like names classes that the signal is to say nothing against, each with the
	// box type whose rows are theirs as well, whatever the lab shows.
	Like   map[string]string `json:"like,omitempty"`
	Tables map[string][]Row  `json:"tables"`
}

// ByHand says why the rows of a class are not fitted, empty when they are.
func (s *Signal) ByHand(class string) string {
	if why := s.Hand["*"]; why != "" {
		return why
	}
	return s.Hand[class]
}

// Row is one component of a class's table. Rows of one class and profile are
// mixed by W (1 when absent). N is the urn's concentration between lines (A in
// the verdict's definition); A and Tau are the Gamma-Poisson parameters of a
// sighting, Tau in seconds.
type Row struct {
	Profile string    `json:"profile,omitempty"`
	W       float64   `json:"w,omitempty"`
	N       float64   `json:"n,omitempty"`
	P       []float64 `json:"p,omitempty"`
	A       float64   `json:"a,omitempty"`
	Tau     float64   `json:"tau,omitempty"`
	// Lines is how many lines of known truth a fitted row rests on, by their
	// weight in the class; 0 for a row set by hand.
	Lines int `json:"lines,omitempty"`
}

// DefaultTable is the name of the rows for honest and box classes that have
// none of their own.
const DefaultTable = "default"

// Rows gives the rows of a class under one of its profiles, with weights that
// sum to 1. A profile that has none of its own takes those of all.
func (s *Signal) Rows(class, profile string) []Row {
	rows, ok := s.Tables[class]
	if !ok {
		rows = s.Tables[DefaultTable]
	}
	known := slices.ContainsFunc(rows, func(r Row) bool { return r.Profile == "" || r.Profile == profile })
	var out []Row
	sum := 0.0
	for _, r := range rows {
		if known && r.Profile != "" && r.Profile != profile {
			continue
		}
		if r.W == 0 {
			r.W = 1
		}
		sum += r.W
		out = append(out, r)
	}
	for i := range out {
		out[i].W /= sum
	}
	return out
}

// Load gives the built-in catalogue, which nobody may change. It is read and
// checked once: a program that replays many captures, as an evaluation does,
// would else spend more on it than on the short ones.
func Load() (*Catalogue, error) {
	return load()
}

var load = sync.OnceValues(func() (*Catalogue, error) { return Read(files) })

// Read reads and checks a catalogue in the files of the built-in one.
func Read(fsys fs.FS) (*Catalogue, error) {
	sum := sha256.New()
	var head struct {
		Version   int     `json:"version"`
		Boxes     []Class `json:"boxes"`
		Classes   []Class `json:"classes"`
		Epsilon   Epsilon `json:"epsilon"`
		VendorCap float64 `json:"vendor_cap"`
	}
	read := func(name string, v any) error {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("catalogue: %w", err)
		}
		sum.Write(b)
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			return fmt.Errorf("catalogue: %s: %w", name, err)
		}
		return nil
	}
	if err := read("classes.json", &head); err != nil {
		return nil, err
	}
	c := &Catalogue{Version: head.Version, Boxes: head.Boxes, Classes: head.Classes, Epsilon: head.Epsilon, VendorCap: head.VendorCap}
	if err := read("vendors.json", &c.Vendors); err != nil {
		return nil, err
	}
	if err := read("calibration.json", &c.Made); err != nil {
		return nil, err
	}
	names, err := fs.Glob(fsys, "signals/*.json")
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	slices.Sort(names)
	for _, n := range names {
		var s Signal
		if err := read(n, &s); err != nil {
			return nil, err
		}
		if err := c.checkSignal(&s); err != nil {
			return nil, fmt.Errorf("catalogue: %s: %w", n, err)
		}
		c.Signals = append(c.Signals, s)
	}
	if err := c.checkClasses(); err != nil {
		return nil, fmt.Errorf("catalogue: classes.json: %w", err)
	}
	c.Hash = hex.EncodeToString(sum.Sum(nil))
	return c, nil
}

// minWeight is the least share a class may be given (VERDICT section 1).
const minWeight = 1e-6

func (c *Catalogue) checkClasses() error {
	if len(c.Boxes) == 0 || len(c.Classes) < 2 || c.Classes[len(c.Classes)-1].Name != Unknown {
		return fmt.Errorf("want box types, and honest classes of which %q is the last", Unknown)
	}
	if e := c.Epsilon.Default; e <= 0 || e >= 1 {
		return fmt.Errorf("epsilon %v is not between 0 and 1", e)
	}
	if e, allowed := c.Epsilon.Default, c.Made.epsilon(); e < allowed {
		return fmt.Errorf("epsilon %v: %d lines of the field allow %v at the least", e, c.Made.FieldLines, allowed)
	}
	for _, o := range c.Epsilon.Overrides {
		if o.Epsilon <= 0 || o.Epsilon >= 1 || o.Source == "" {
			return fmt.Errorf("override of %s: epsilon must lie between 0 and 1 and name its source", o.Family)
		}
	}
	for _, list := range [][]Class{c.Boxes, c.Classes} {
		sum := 0.0
		for i := range list {
			k := &list[i]
			if k.Weight < minWeight {
				return fmt.Errorf("%s: weight %v is below %v", k.Name, k.Weight, minWeight)
			}
			if k.Source == "" {
				return fmt.Errorf("%s: no source", k.Name)
			}
			sum += k.Weight
			if len(k.Profiles) == 0 {
				k.Profiles = []Profile{{Weight: 1}}
			}
			if len(k.Profiles) > 8 {
				return fmt.Errorf("%s: more than 8 profiles", k.Name)
			}
			ps := 0.0
			for _, p := range k.Profiles {
				ps += p.Weight
			}
			for j := range k.Profiles {
				k.Profiles[j].Weight /= ps
			}
		}
		for i := range list {
			list[i].Weight /= sum
		}
	}
	return nil
}

func (c *Catalogue) checkSignal(s *Signal) error {
	if s.ID == "" || s.Family == "" || s.Measures == "" || s.Separates == "" || s.Source == "" {
		return fmt.Errorf("id, family, measures, separates and source must be given")
	}
	if _, ok := s.Tables[DefaultTable]; !ok {
		return fmt.Errorf("%s: no %q table", s.ID, DefaultTable)
	}
	for name, box := range s.Like {
		if c.class(name) == nil || c.class(box) == nil {
			return fmt.Errorf("%s: %q like %q: no such class", s.ID, name, box)
		}
		if _, ok := s.Tables[name]; !ok {
			s.Tables[name] = s.Tables[box]
		}
		if !slices.EqualFunc(s.Rows(name, ""), s.Rows(box, ""), sameRow) {
			return fmt.Errorf("%s: the rows of %s are not those of %s", s.ID, name, box)
		}
	}
	for name := range s.Tables {
		if name != DefaultTable && c.class(name) == nil || name == Unknown {
			return fmt.Errorf("%s: table for %q, which is no modelled class", s.ID, name)
		}
	}
	for _, list := range [][]Class{c.Boxes, c.Classes} {
		for _, k := range list {
			if k.Name == Unknown {
				continue
			}
			for _, r := range s.Tables[k.Name] {
				if r.Profile != "" && !slices.ContainsFunc(k.Profiles, func(p Profile) bool { return p.Name == r.Profile }) {
					return fmt.Errorf("%s: %s has no profile %q", s.ID, k.Name, r.Profile)
				}
			}
			profiles := k.Profiles
			if len(profiles) == 0 {
				profiles = []Profile{{}}
			}
			for _, p := range profiles {
				rows := s.Rows(k.Name, p.Name)
				if len(rows) == 0 {
					return fmt.Errorf("%s: no rows for %s, profile %q", s.ID, k.Name, p.Name)
				}
				for _, r := range rows {
					if err := s.checkRow(r); err != nil {
						return fmt.Errorf("%s: %s: %w", s.ID, k.Name, err)
					}
				}
			}
		}
	}
	if s.Vendor {
		return c.checkVendor(s)
	}
	return nil
}

func (s *Signal) checkRow(r Row) error {
	if s.Vendor && (s.Kind != Static || r.Profile != "") {
		return fmt.Errorf("a vendor-string table is static and knows no profiles")
	}
	if s.Kind == Sighting {
		if r.A <= 0 || r.Tau <= 0 || len(r.P) > 0 {
			return fmt.Errorf("a sighting wants a and tau above 0 and no p")
		}
		return nil
	}
	if len(r.P) != len(s.Categories) || s.Kind == Urn && r.N <= 0 || s.Kind == Static && r.N != 0 {
		return fmt.Errorf("want %d probabilities, and n for an urn only", len(s.Categories))
	}
	sum := 0.0
	for _, p := range r.P {
		if !(p > 0) {
			return fmt.Errorf("probability %v is not above 0", p)
		}
		sum += p
	}
	if math.Abs(sum-1) > 1e-6 {
		return fmt.Errorf("probabilities sum to %v", sum)
	}
	return nil
}

func sameRow(a, b Row) bool {
	return a.W == b.W && a.N == b.N && a.A == b.A && a.Tau == b.Tau && slices.Equal(a.P, b.P)
}

// checkVendor holds a vendor-string table to its cap: a string that any setting
// can change must not decide (VERDICT section 3).
func (c *Catalogue) checkVendor(s *Signal) error {
	for _, b := range c.Boxes {
		for _, k := range c.Classes {
			if k.Name == Unknown {
				continue
			}
			for i := range s.Categories {
				if s.mean(b.Name, i) > c.VendorCap*s.mean(k.Name, i)*(1+1e-9) {
					return fmt.Errorf("%s: %s against %s in %q exceeds the cap of %.3f", s.ID, b.Name, k.Name, s.Categories[i], c.VendorCap)
				}
			}
		}
	}
	return nil
}

func (s *Signal) mean(class string, category int) float64 {
	m := 0.0
	for _, r := range s.Rows(class, "") {
		m += r.W * r.P[category]
	}
	return m
}

func (c *Catalogue) class(name string) *Class {
	for _, list := range [][]Class{c.Boxes, c.Classes} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// Says gives the plain words for a class, or its name.
func (c *Catalogue) Says(name string) string {
	if k := c.class(name); k != nil {
		return k.Says
	}
	return name
}

// Vendors tells makers by what they call themselves in User-Agent and Server
// headers: a hint for the reader, never more than a nat for the verdict.
type Vendors struct {
	Source   string   `json:"source"`
	Gateway  []Maker  `json:"gateway"`
	Ordinary []string `json:"ordinary"` // prefixes of telephones, adapters and PBX
}

// Maker is a maker of multi-SIM gateways by the start of its header value.
type Maker struct {
	Prefix string `json:"prefix"`
	Vendor string `json:"vendor"`
	Model  string `json:"model,omitempty"`
}
