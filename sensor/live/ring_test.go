//go:build linux

package live

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"simtrap/lab"
)

// ring and box as the hub lists them.
type ring struct {
	ID      string
	BoxIDs  []string `json:"box_ids"`
	Lines   int
	Sensors []string
	Verdict string
}

type box struct {
	ID      string
	LineIDs []string `json:"line_ids"`
	RingID  string   `json:"ring_id"`
}

// captures makes captures of one kind, of as many seeds, that go together.
func captures(t *testing.T, folder, scenario string, from, to uint64) (files []string, truths []*lab.Truth) {
	t.Helper()
	for seed := from; seed <= to; seed++ {
		file := filepath.Join(folder, fmt.Sprintf("%s-%d.pcap", scenario, seed))
		truths = append(truths, makeCapture(t, file, lab.Options{Scenario: scenario, Seed: seed, Ring: "lake"}))
		files = append(files, file)
	}
	return files, truths
}

// played is one port of an appliance that replays captures, one after the other.
type played struct {
	name  string
	files []string
}

// report lets an appliance replay what comes to its taps and report it, and waits
// until it has ended: an appliance tells the hour that its captures end in with that.
func (s *space) report(c *centre, name string, taps ...played) {
	s.t.Helper()
	var ports []string
	for _, p := range taps {
		// A realm of its own: the lab has few addresses, and gives them to others elsewhere.
		ports = append(ports, fmt.Sprintf("{name: %s, realm: %s, files: [%s]}", p.name, p.name, strings.Join(p.files, ", ")))
	}
	d := s.daemon(s.appliance(c, name, replayed(0, "stop", ports...)))
	if err := d.wait(5 * time.Minute); err != nil {
		s.t.Errorf("%s: %v\n%s", name, err, d.said())
	}
}

// TestRings has appliances in five places replay captures of the lab and report to
// one hub, over the wire. A box that is carried over five lines of two cities is one
// box and one ring; two gangs behind one wholesaler, whom thirty offices use too,
// are two rings; and forty offices at a hosted exchange are in none, nor are the
// gateways among them.
func TestRings(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	c := newCentre(s, "127.0.0.1")
	folder := newFolder(t)
	places := []struct {
		name, scenario string
		from, to       uint64
	}{
		{"north", "ring-carried", 1, 3},
		{"south", "ring-carried", 4, 5},
		{"west", "ring-wholesale", 1, 1},
		{"east", "ring-wholesale", 2, 2},
		{"hill", "ring-hosted", 1, 1},
	}
	// hand names, by sensor and line, who drives the box there.
	hand := map[string]string{}
	key := func(sensor, line string) string { return sensor + " " + line[strings.LastIndexByte(line, '/')+1:] }
	var reporting sync.WaitGroup
	for _, p := range places {
		files, truths := captures(t, folder, p.scenario, p.from, p.to)
		for _, truth := range truths {
			for _, l := range truth.Lines {
				if !l.Box() {
					continue
				}
				for _, x := range l.Controllers {
					if x.Role == "sms-server" {
						hand[key(p.name, l.Address)] = x.Addr
					}
				}
				if p.scenario == "ring-hosted" {
					hand[key(p.name, l.Address)] = "" // a gateway that nothing ties to others
				}
			}
		}
		reporting.Go(func() { s.report(c, p.name, played{p.name, files}) })
	}
	reporting.Wait()
	c.linked()

	rings := rows[ring](t, c.ask("", "rings", "--json", "--limit", "0"))
	boxes := rows[box](t, c.ask("", "boxes", "--json", "--limit", "0"))
	ringOf, handOf := map[string]string{}, map[string]string{}
	boxesOf := map[string]map[string]bool{}
	for _, f := range c.findings() {
		who, is := hand[key(f.Sensor, f.Finding.Line)]
		delete(hand, key(f.Sensor, f.Finding.Line))
		if !is || who == "" {
			if f.RingID != "" {
				t.Errorf("%s %s, which is nobody's, is in ring %s", f.Sensor, f.Finding.Line, f.RingID)
			}
			continue
		}
		switch {
		case f.RingID == "":
			t.Errorf("%s %s is in no ring", f.Sensor, f.Finding.Line)
			continue
		case ringOf[who] == "" && handOf[f.RingID] == "":
			ringOf[who], handOf[f.RingID] = f.RingID, who
		case ringOf[who] != f.RingID:
			t.Errorf("%s %s is of %s, in ring %s, others of it in %s", f.Sensor, f.Finding.Line, who, f.RingID, ringOf[who])
		}
		if boxesOf[who] == nil {
			boxesOf[who] = map[string]bool{}
		}
		boxesOf[who][f.BoxID] = true
	}
	for line := range hand {
		t.Errorf("the hub knows nothing of the box at %s", line)
	}
	if len(rings) != 3 || len(ringOf) != 3 {
		t.Errorf("%d rings, of %d hands, want 3: %+v", len(rings), len(ringOf), rings)
	}
	for who, list := range boxesOf {
		i := slices.IndexFunc(rings, func(r ring) bool { return r.ID == ringOf[who] })
		if i < 0 {
			t.Errorf("no ring %s", ringOf[who])
			continue
		}
		r := rings[i]
		t.Logf("%s: ring %s of %d boxes, %d lines, seen at %v: %s", who, r.ID, len(list), r.Lines, r.Sensors, r.Verdict)
		if slices.Contains(r.Sensors, "north") {
			// The one that is carried.
			k := slices.IndexFunc(boxes, func(b box) bool { return list[b.ID] })
			if len(list) != 1 || k < 0 || len(boxes[k].LineIDs) != 5 || len(r.Sensors) != 2 {
				t.Errorf("carried over five lines of two cities: %d boxes, ring %+v", len(list), r)
			}
		} else if len(list) != 6 || len(r.BoxIDs) != 6 {
			t.Errorf("a gang of six boxes: %d boxes, ring %+v", len(list), r)
		}
	}
}
