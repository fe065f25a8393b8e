package evaluation

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/trial"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	os.Exit(m.Run())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// tiny is a report that was written by hand.
func tiny() *Report {
	v := func(x float64) *float64 { return &x }
	yes, no := true, false
	reached := func(k float64, median *float64) Reached {
		return Reached{Draws: wilson(k, 10), ByShare: wilson(k, 10), Seconds: Deciles{Median: median}, Calls: Deciles{Median: median}}
	}
	box := Group{
		Name: "box-line", Class: "gateway", Box: true, Share: 1, Draws: 10, Verdicts: [4]int{0, 0, 1, 9},
		Watch: reached(10, v(90)), Review: reached(10, v(400)), Case: reached(9, v(9000)),
		Channels: &Channels{Used: wilson(10, 10)}, Cards: named(trial.Match{Found: 7, Right: 7, True: 8, Seen: 7}), Controllers: named(trial.Match{True: 1}),
	}
	gateways := box
	gateways.Name, gateways.Share = "gateway", 0
	breakout := Group{
		Name: "pstn-breakout", Class: "pstn-breakout", Draws: 10, Verdicts: [4]int{9, 1}, Beside: [4]int{3, 1},
		Watch: reached(1, nil), Review: reached(0, nil), Case: reached(0, nil),
	}
	scenario := breakout
	scenario.Name, scenario.Share, scenario.Beside = "breakout-dark", 1, [4]int{}
	return &Report{
		Made: time.Date(2026, 11, 28, 11, 0, 0, 0, time.UTC), Version: "1.2.3", Catalogue: strings.Repeat("0123456789abcdef", 4),
		Draws: 10, FirstSeed: 20001, LastSeed: 20010, Captures: 20, Lines: 24,
		Variants: []Figures{{
			Variant: Variant{View: viewBoth}, Scenarios: []Group{box, scenario}, Classes: []Group{gateways, breakout},
			Goals: []Goal{
				{ID: "a1", Text: "box that shows more than calls: review", Variant: "both", Rate: wilson(10, 10), Want: v(0.99), Met: &yes},
				{ID: "a3", Text: "median time to review", Variant: "both", Unit: "seconds", Rate: wilson(10, 10), Value: v(400)},
				{ID: "e2", Text: "honest class worst at watch", Variant: "both", Rate: wilson(2, 10), Want: v(0.1), AtMost: true, Met: &no, Note: "pstn-breakout"},
			},
		}, {Variant: Variant{View: viewBoth, Vendor: "phone"}, Classes: []Group{gateways}, Goals: []Goal{
			{ID: "a1", Text: "box that shows more than calls: review", Variant: "both, vendor phone", Rate: wilson(9, 10)},
			{ID: "h", Text: "largest fall of a figure of boxes", Variant: "both, vendor phone", Rate: Rate{N: 10}, Value: v(0.1), Unit: "share", Want: v(0.01), AtMost: true, Met: &no, Note: "of a1"},
		}}},
		Margins: []Spread{
			{Class: "gateway", Box: true, Lines: 3, Margins: []float64{2, 4, 6}, Scores: []float64{8, 9, 12}},
			{Class: "pstn-breakout", Lines: 3, Margins: []float64{-12, -3, 1}, Scores: []float64{-4, 1, 6}},
		},
		Curves: []Curve{{Class: "", Verdict: "watch", Lines: 10, Minutes: []float64{0, 1, 30}, ByTime: []float64{0, 0.5, 1}, Calls: []float64{0, 10}, ByCalls: []float64{0, 1}}},
		Reliability: []Reliability{
			{Kind: "score", Steps: []Step{newStep(1, wilson(1, 100)), newStep(2, wilson(0, 100))}},
			{Class: "pstn-breakout", Kind: "margin", Steps: []Step{newStep(1, wilson(10, 100)), newStep(5, wilson(10, 100))}},
		},
		Histogram: []Bin{{Kind: "margin", From: 2, Boxes: 3}, {Kind: "score", From: 4, Boxes: 6, Honest: 2, Population: 1e-5}, {Kind: "score", From: -2, Boxes: 1, Honest: 90, Population: 0.2}},
		Ablations: []Ablation{{Score: 5, Classes: []string{"gateway", "pstn-breakout"}, Boxes: 1,
			Rows: []AblationRow{{Rates: []float64{1, 0.1}}, {Without: "fan-out", Rates: []float64{0.4, 0.3}}}}},
		Hiding: []Ablation{{Score: 10, Margin: 3, Classes: []string{"obfuscated SIP", "twin-branch"}, Boxes: 1,
			Rows: []AblationRow{{Rates: []float64{0.6, 0}}, {Without: "fan-out", Rates: []float64{0.1, 0.2}}}}},
		Drops: []Drop{{Goal: "i4", Text: "box with TLS and SRTP", Boxes: 20, Want: 0.9, Bar: [2]float64{5, 2.3}, Lowered: [2]float64{3, -1.5},
			Honest: []Beside{{"twin-callcentre", 30, 0, 12}, {"twin|desk", 30, 0, 1}}}},
		Misses: []Miss{{
			What: []string{"honest, nearest below review (-2.0)"}, Scenario: "breakout-dark", Seed: 20003, Line: "203.0.113.7", Class: "pstn-breakout",
			Device: "E1 gateway <of> a hotel", Verdict: "watch", Over: -2, Score: 8, Margin: 1, Highest: [2]float64{8.5, 1.5}, Nearest: "pstn-breakout",
			Rows: []Reason{
				{"inbound-fanout", "fan-out", 3.2, "pstn-breakout", "30 calls received: 28 for ever-new mobiles\x1b[2J"},
				{"inbound-fanout", "fan-out", 7, "home", "30 calls received: 28 for ever-new mobiles\x1b[2J"},
				{"one-leg", "topology", -0.4, "pstn-breakout", "2 of 30 calls went on"},
			},
			Unseen: []string{"no short message: <none>"},
		}},
		Shortfalls: []Shortfall{{
			Goal: "a1", Verdict: "review", Scenario: "box-line", Class: "gateway", Missed: 3, Of: 10, LowScore: 2, LowMargin: 1, Clear: 1,
			Score: v(7.25), Margin: v(-1.5), Nearest: []Counted{{"pstn-breakout", 3}},
			Lacked:  []Counted{{"no | registration <seen>", 2}, {"fewer than 6 clock readings", 1}},
			Against: []Weight{{"one-leg", -2.5}},
		}},
	}
}

func TestGoldenText(t *testing.T) {
	var b bytes.Buffer
	if err := tiny().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	narrow(t, b.String())
	golden(t, "tiny.txt", b.Bytes())
}

func TestGoldenJSON(t *testing.T) {
	var b bytes.Buffer
	if err := tiny().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "tiny.json", b.Bytes())
}

func TestPage(t *testing.T) {
	var b bytes.Buffer
	if err := tiny().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	wellFormed(t, page)
	for _, want := range []string{
		"2026-11-28", "simtrap 1.2.3", "0123456789abcdef", "seeds 20001 to 20010",
		"simtrap-lab make breakout-dark --seed 20003", "E1 gateway &lt;of&gt; a hotel", `ever-new mobiles\x1b[2J`, "no short message: &lt;none&gt;",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	var empty bytes.Buffer
	if err := new(Report).WriteHTML(&empty); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, empty.String())
}

// wellFormed reads a page as XML, without its void elements, and refuses what would ask for anything.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	for _, bad := range []string{"<script", "http:", "https:", "src=", "style=", "NaN", "Inf", "%!"} {
		if strings.Contains(page, bad) {
			t.Errorf("%q on the page", bad)
		}
	}
	d := xml.NewDecoder(strings.NewReader(regexp.MustCompile(`<meta [^>]*>`).ReplaceAllString(page, "")))
	ids, links := make(map[string]bool), make(map[string]bool)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range e.Attr {
			switch {
			case a.Name.Local == "id":
				if ids[a.Value] {
					t.Errorf("id %s twice", a.Value)
				}
				ids[a.Value] = true
			case a.Name.Local == "href":
				links[strings.TrimPrefix(a.Value, "#")] = true
			}
		}
	}
	if len(ids) > 5 { // a page with figures has all its sections
		for l := range links {
			if !ids[l] {
				t.Errorf("a link to %s, which is not there", l)
			}
		}
	}
}
