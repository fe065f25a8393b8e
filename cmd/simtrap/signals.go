package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/heuristics/catalogue"
	"simtrap/report"
)

func newSignals(t command.Terminal) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "signals",
		Short: "List every signal: what it measures, its tables and their sources",
		Args:  command.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := catalogue.Load()
			if err != nil {
				return err
			}
			out := bufio.NewWriter(t.Out)
			if asJSON {
				err = writeSignalsJSON(out, c)
			} else {
				writeSignals(out, c)
			}
			if err == nil { // else Flush would say the same again
				err = out.Flush()
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per signal")
	return cmd
}

func writeSignalsJSON(w io.Writer, c *catalogue.Catalogue) error {
	e := json.NewEncoder(w)
	for i := range c.Signals {
		if err := e.Encode(&c.Signals[i]); err != nil {
			return err
		}
	}
	return nil
}

const (
	signalsWidth = 100
	signalsLabel = 14
	classWidth   = 36
)

func writeSignals(w io.Writer, c *catalogue.Catalogue) {
	fmt.Fprintf(w, "Catalogue %d, %d signals, sha256 %s\n", c.Version, len(c.Signals), c.Hash)
	for i := range c.Signals {
		s := &c.Signals[i]
		fmt.Fprintf(w, "\n%s (%s, %s)\n", s.ID, s.Family, kindInWords(s.Kind))
		row(w, "measures", s.Measures)
		row(w, "separates", s.Separates)
		row(w, "source", s.Source)
		if len(s.Categories) > 0 {
			var list []string
			for i, name := range s.Categories {
				list = append(list, strconv.Itoa(i+1)+" "+name)
			}
			row(w, "categories", strings.Join(list, ", "))
		}
		writeTables(w, c, s)
	}
}

func kindInWords(k catalogue.Kind) string {
	switch k {
	case catalogue.Urn:
		return "counted per event"
	case catalogue.Static:
		return "read once"
	case catalogue.Sighting:
		return "when first seen"
	}
	return string(k)
}

func row(w io.Writer, label, text string) {
	for _, s := range report.Wrap(text, signalsWidth-signalsLabel) {
		fmt.Fprintf(w, "  %-*s%s\n", signalsLabel-2, label, s)
		label = ""
	}
}

// writeTables prints the likelihoods of every class that has its own, and of
// all others.
func writeTables(w io.Writer, c *catalogue.Catalogue, s *catalogue.Signal) {
	head := fmt.Sprintf("    %-*s", classWidth, "likelihoods")
	if s.Kind == catalogue.Sighting {
		head += "  a, tau"
	} else {
		for i := range s.Categories {
			head += fmt.Sprintf("%7d", i+1)
		}
		if s.Kind == catalogue.Urn {
			head += "      N"
		}
	}
	fmt.Fprintln(w, strings.TrimRight(head, " "))
	for _, k := range c.Boxes {
		writeRows(w, s, k.Name, "box: "+k.Name)
	}
	for _, k := range c.Classes {
		writeRows(w, s, k.Name, k.Name)
	}
	writeRows(w, s, catalogue.DefaultTable, "all others")
}

func writeRows(w io.Writer, s *catalogue.Signal, class, name string) {
	for _, r := range s.Tables[class] {
		label := name
		if r.Profile != "" {
			label += "/" + r.Profile
		}
		if weight := cmp.Or(r.W, 1); weight != 1 {
			label += " (" + strconv.FormatFloat(weight, 'g', 3, 64) + ")"
		}
		line := fmt.Sprintf("    %-*s", classWidth, label)
		if s.Kind == catalogue.Sighting {
			line += fmt.Sprintf("  %s, %s s", number(r.A), number(r.Tau))
		} else {
			for _, p := range r.P {
				line += fmt.Sprintf("%7s", number(p))
			}
			if s.Kind == catalogue.Urn {
				line += fmt.Sprintf("%7s", number(r.N))
			}
		}
		fmt.Fprintln(w, line)
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
