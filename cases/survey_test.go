package cases

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/heuristics"
)

func TestSurvey(t *testing.T) {
	if os.Getenv("SURVEY") == "" {
		t.Skip()
	}
	d, _ := time.ParseDuration(os.Getenv("SURVEY"))
	views := []string{"both", "up", "down", "media", "sip", "midcall"}
	if os.Getenv("VIEWS") == "" {
		views = views[:1]
	}
	n := 3
	if s := os.Getenv("SEEDS"); s != "" {
		fmt.Sscan(s, &n)
	}
	for _, sc := range lab.Scenarios() {
		if o := os.Getenv("ONLY"); o != "" && o != sc.Name {
			continue
		}
		for seed := 1; seed <= n; seed++ {
			for _, v := range views {
				var b bytes.Buffer
				t0 := time.Now()
				truth, err := lab.Make(&b, lab.Options{Scenario: sc.Name, Seed: uint64(seed), Duration: d, View: v})
				if err != nil {
					t.Fatal(err)
				}
				t1 := time.Now()
				f, err := capture.Open([]string{"-"}, capture.Options{Stdin: &b})
				if err != nil {
					fmt.Println(sc.Name, v, seed, err)
					continue
				}
				res, err := pipeline.Run(context.Background(), f, pipeline.Config{Workers: 1})
				if err != nil {
					t.Fatal(err)
				}
				t2 := time.Now()
				fmt.Printf("%s seed %d %s: make %.2f run %.2f s %d packets\n", sc.Name, seed, v, t1.Sub(t0).Seconds(), t2.Sub(t1).Seconds(), truth.Packets)
				rank := map[string]heuristics.Verdict{"none": 0, "watch": 1, "review": 2, "case": 3}
				seen := map[string]bool{}
				for _, l := range truth.Lines {
					for _, x := range res.Findings {
						if x.Line.Addr.String() == l.Address {
							seen[l.Address] = true
							mark := ""
							if x.Verdict < rank[l.MinVerdict] {
								mark = " LOW"
							}
							if x.Verdict > rank[l.MaxVerdict] {
								mark = " HIGH"
							}
							fmt.Printf("   %s %s: %v proof %v/%v S %.1f M %.1f %s (peak %.1f %.1f) in %d out %d/%d ans %d/%d ch %d/%d cards %d/%d  unseen %d%s\n", l.Address, l.Class, x.Verdict, x.Proof, l.Proof, x.Score, x.Margin, x.Nearest, x.PeakScore, x.PeakMargin,
								x.Calls.Inbound, x.Calls.Outbound, l.Calls.Outbound, x.Calls.Answered, l.Calls.Answered, x.Device.Channels, l.Calls.PeakConcurrent, len(x.Cards), len(l.Cards), len(x.Unseen), mark)
						}
					}
					if !seen[l.Address] {
						m := ""
						if rank[l.MinVerdict] > 0 {
							m = " LOW"
						}
						fmt.Printf("   %s %s: no finding%s\n", l.Address, l.Class, m)
					}
				}
				for _, x := range res.Findings {
					if !seen[x.Line.Addr.String()] {
						m := ""
						if x.Verdict > 0 {
							m = " HIGH"
						}
						fmt.Printf("   far %s: %v S %.1f M %.1f%s\n", x.Line.Addr, x.Verdict, x.Score, x.Margin, m)
					}
				}
			}
		}
	}
}
