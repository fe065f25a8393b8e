//go:build linux

package live

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"simtrap/lab"
)

// TestHubNats reports honest lines of every class, and boxes among them, to one hub,
// and counts how often the hub raises an honest line, and by how much. It never may
// to a case. SIMTRAP_HONEST says how many captures of honest lines; one in ten more
// are of boxes, all of one ring, which is far more than there are. The lab has 254
// addresses for far ends in the country, so most of them serve several of the lines.
func TestHubNats(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("SIMTRAP_HONEST"))
	if err != nil {
		t.Skip("SIMTRAP_HONEST does not say how many: it takes minutes")
	}
	s := newSpace(t)
	c := newCentre(s, "127.0.0.1")
	var kinds [2][]lab.Scenario // honest, boxes
	for _, x := range lab.Scenarios() {
		switch {
		case x.Class == "":
		case x.Box:
			kinds[1] = append(kinds[1], x)
		default:
			kinds[0] = append(kinds[0], x)
		}
	}
	r := rand.New(rand.NewPCG(8, 8))
	const each = 25 // taps of an appliance
	var all []*daemon
	truth := map[string]*lab.LineTruth{}
	scenario := map[string]string{}
	for first := 0; first < n+n/10; first += each {
		folder := newFolder(t)
		var taps []played
		for i := first; i < min(first+each, n+n/10); i++ {
			kind := kinds[0]
			if i%11 == 10 {
				kind = kinds[1]
			}
			// Every kind in turn, so that the rarest counts as much as the others.
			x := kind[r.IntN(len(kind))]
			name := fmt.Sprintf("t%d", i)
			file := filepath.Join(folder, name+".pcap")
			m := makeCapture(t, file, lab.Options{Scenario: x.Name, Seed: uint64(1_000_000 + i), Ring: "lake", Duration: 15 * time.Minute})
			for _, l := range m.Lines {
				truth[name+"/"+l.Address], scenario[name+"/"+l.Address] = l, x.Name
			}
			taps = append(taps, played{name, []string{file}, []*lab.Truth{m}})
		}
		all = append(all, s.report(c, fmt.Sprintf("city-%d", first/each), taps...))
		for _, p := range taps { // it has been read
			if err := os.Remove(p.files[0]); err != nil {
				t.Error(err)
			}
		}
	}
	honest, boxes := 0, 0
	for _, l := range truth {
		if l.Box() {
			boxes++
		} else {
			honest++
		}
	}
	var told, toWatch, toReview, most = 0, 0, 0, 0.0
	var local, toldBoxes = map[string]int{}, 0
	for _, findings := range c.told(all) {
		for line, f := range findings {
			l := truth[line]
			switch {
			case l == nil:
				t.Errorf("nobody made line %s", line)
				continue
			case l.Box():
				if f.Hub != nil && f.Hub.Nats > 0 {
					toldBoxes++
				}
				continue
			}
			local[f.Verdict]++
			if f.Hub == nil || f.Hub.Nats <= 0 {
				continue
			}
			told++
			most = max(most, f.Hub.Nats)
			if f.Hub.Verdict == "case" || f.Hub.Nats > 3 {
				t.Errorf("the hub raises honest %s (%s) to %s by %v nats", line, scenario[line], f.Hub.Verdict, f.Hub.Nats)
			}
			level := map[string]int{"none": 0, "watch": 1, "review": 2, "case": 3}
			if level[f.Hub.Verdict] > level[f.Verdict] {
				if f.Hub.Verdict == "review" {
					toReview++
				} else {
					toWatch++
				}
			}
			t.Logf("honest %s, %s: %s of %s nats here, by the hub's %.1f %s; controllers %v", line, scenario[line], f.Verdict, number(f.Score), f.Hub.Nats, f.Hub.Verdict, f.Controllers)
		}
	}
	rings := rows[ring](t, c.ask("", "rings", "--json", "--limit", "0"))
	t.Logf("%d honest lines of %d captures, by themselves %v; the hub adds something to %d (%.1f nats at most), raises %d to watch and %d to review, none to a case; %d boxes, something added to %d; %d rings", honest, n, local, told, most, toWatch, toReview, boxes, toldBoxes, len(rings))
	for _, x := range rings {
		t.Logf("ring %s of %d lines: %s", x.ID, x.Lines, x.Verdict)
	}
}
