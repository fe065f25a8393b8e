package calibration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"simtrap/heuristics/catalogue"
)

// quoted writes a string as JSON does, with <, > and & as they are.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string can always be written
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// digits writes a number with the digits that a table keeps.
func digits(x float64) string { return strconv.FormatFloat(x, 'g', 5, 64) }

func classesText(c *catalogue.Catalogue) []byte {
	var b bytes.Buffer
	list := func(key string, ks []catalogue.Class) {
		fmt.Fprintf(&b, "  %q: [\n", key)
		for i, k := range ks {
			fmt.Fprintf(&b, `    {"name": %s, "weight": %s, "says": %s, "source": %s`, quoted(k.Name), digits(k.Weight), quoted(k.Says), quoted(k.Source))
			if len(k.Profiles) > 1 {
				b.WriteString(",\n      \"profiles\": [")
				for z, p := range k.Profiles {
					if z > 0 {
						b.WriteString(", ")
					}
					fmt.Fprintf(&b, `{"name": %s, "weight": %s}`, quoted(p.Name), digits(p.Weight))
				}
				b.WriteString("]")
			}
			b.WriteString("}")
			if i < len(ks)-1 {
				b.WriteString(",")
			}
			b.WriteString("\n")
		}
		b.WriteString("  ],\n")
	}
	fmt.Fprintf(&b, "{\n  \"version\": %d,\n", c.Version)
	list("boxes", c.Boxes)
	list("classes", c.Classes)
	fmt.Fprintf(&b, "  \"epsilon\": {\n    \"default\": %s,\n    \"default_source\": %s,\n    \"overrides\": [\n", digits(c.Epsilon.Default), quoted(c.Epsilon.DefaultSource))
	for i, o := range c.Epsilon.Overrides {
		fmt.Fprintf(&b, `      {"family": %s, `, quoted(o.Family))
		if len(o.Classes) > 0 {
			fmt.Fprintf(&b, `"classes": %s, `, names(o.Classes))
		}
		if len(o.Except) > 0 {
			fmt.Fprintf(&b, `"except": %s, `, names(o.Except))
		}
		fmt.Fprintf(&b, `"epsilon": %s, "source": %s}`, digits(o.Epsilon), quoted(o.Source))
		if i < len(c.Epsilon.Overrides)-1 {
			b.WriteString(",")
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "    ]\n  },\n  \"vendor_cap\": %s\n}\n", strconv.FormatFloat(c.VendorCap, 'g', -1, 64))
	return b.Bytes()
}

func names(list []string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = quoted(s)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func signalText(s *catalogue.Signal, c *catalogue.Catalogue) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"id\": %s, \"family\": %s, \"kind\": %s", quoted(s.ID), quoted(s.Family), quoted(string(s.Kind)))
	if s.Vendor {
		b.WriteString(`, "vendor": true`)
	}
	fmt.Fprintf(&b, ",\n  \"measures\": %s,\n  \"separates\": %s,\n  \"source\": %s,\n", quoted(s.Measures), quoted(s.Separates), quoted(s.Source))
	if len(s.Categories) > 0 {
		fmt.Fprintf(&b, "  \"categories\": %s,\n", names(s.Categories))
	}
	pairs(&b, "hand", s.Hand)
	pairs(&b, "like", s.Like)
	b.WriteString("  \"tables\": {\n")
	order := make([]string, 0, len(s.Tables))
	for _, k := range slices.Concat(c.Boxes, c.Classes) {
		if _, ok := s.Tables[k.Name]; ok {
			order = append(order, k.Name)
		}
	}
	for _, name := range append(order, catalogue.DefaultTable) {
		rows := s.Tables[name]
		fmt.Fprintf(&b, "    %s: [", quoted(name))
		for i, r := range rows {
			if i > 0 {
				b.WriteString(",\n      ")
			}
			b.WriteString(rowText(r))
		}
		b.WriteString("]")
		if name != catalogue.DefaultTable {
			b.WriteString(",")
		}
		b.WriteString("\n")
	}
	b.WriteString("  }\n}\n")
	return b.Bytes()
}

// pairs writes a map of strings in the order of its keys, if it holds any.
func pairs(b *bytes.Buffer, key string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	parts := make([]string, 0, len(m))
	for k, v := range m {
		parts = append(parts, quoted(k)+": "+quoted(v))
	}
	slices.Sort(parts)
	fmt.Fprintf(b, "  %s: {%s},\n", quoted(key), strings.Join(parts, ", "))
}

func rowText(r catalogue.Row) string {
	var parts []string
	add := func(key, value string) { parts = append(parts, `"`+key+`": `+value) }
	if r.Profile != "" {
		add("profile", quoted(r.Profile))
	}
	if r.Lines != 0 {
		add("lines", strconv.Itoa(r.Lines))
	}
	if r.W != 0 && r.W != 1 {
		add("w", digits(r.W))
	}
	if r.N != 0 {
		add("n", digits(r.N))
	}
	if len(r.P) > 0 {
		add("p", "["+strings.Join(probabilities(r.P), ", ")+"]")
	}
	if r.A != 0 {
		add("a", digits(r.A))
		add("tau", digits(r.Tau))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// probabilities writes numbers that sum to 1 in a fixed number of decimals, the
// largest taking what rounding leaves; none becomes 0.
func probabilities(p []float64) []string {
	const unit = 1e-6
	n := make([]int, len(p))
	total, most := 0, 0
	for j, x := range p {
		n[j] = max(int(math.Round(x/unit)), 1)
		total += n[j]
		if n[j] > n[most] {
			most = j
		}
	}
	n[most] += int(math.Round(1/unit)) - total
	out := make([]string, len(p))
	for j := range p {
		out[j] = strconv.FormatFloat(float64(n[j])*unit, 'g', 6, 64)
	}
	return out
}
