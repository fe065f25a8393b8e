package linker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/hub/store"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/places"
	"simtrap/report"
	"simtrap/report/controllers"
	"simtrap/report/reportpb"
)

// street is lines of the lab's captures that one sensor sees, of which many use one far
// end.
type street struct {
	sensor    string
	scenarios []string
	ring      string // lab.Options.Ring
	// carrier is the far end that all signalling of call centres is taken to be with: the
	// lab gives each capture of theirs one of its own.
	carrier string
	// beside: boxes are most of the lines at the far end, so that honest ones have nats.
	beside bool
}

// streetLine is what one line of a street came to.
type streetLine struct {
	*lab.LineTruth
	alone, told *heuristics.Finding // by itself, and with what the hub says
}

// played is one capture on its way to the hub.
type played struct {
	t       testing.TB
	pcap    []byte
	truth   *lab.Truth
	own     map[ident.Addr]bool // far ends for which carrier stands
	carrier ident.Addr

	table   *controllers.Table
	hours   []*reportpb.ControllerSketch
	crossed bool
}

// make makes the capture and moves it so that the hub's midnight is in its middle.
func (p *played) make(scenario string, seed uint64, ring string) {
	var b bytes.Buffer
	truth, err := lab.Make(&b, lab.Options{Scenario: scenario, Seed: seed, Ring: ring, Duration: 11 * time.Minute})
	if err != nil {
		p.t.Error(err)
		return
	}
	p.pcap, p.truth = b.Bytes(), truth
	var first, last uint32
	for at := 24; at+16 <= len(p.pcap); at += 16 + int(binary.LittleEndian.Uint32(p.pcap[at+8:])) {
		last = binary.LittleEndian.Uint32(p.pcap[at:])
		if first == 0 {
			first = last
		}
	}
	by := uint32(hubEpoch.Unix()) - (first + (last-first)/2)
	for at := 24; at+16 <= len(p.pcap); at += 16 + int(binary.LittleEndian.Uint32(p.pcap[at+8:])) {
		binary.LittleEndian.PutUint32(p.pcap[at:], binary.LittleEndian.Uint32(p.pcap[at:])+by)
	}
}

// Call implements pipeline.Upstream.
func (p *played) Call(*heuristics.CallRecord) {}

// Far implements pipeline.Upstream.
func (p *played) Far(line ident.Line, far ident.Addr, role string, shape uint64, call bool, t int64) {
	if over := p.table.Add(line, p.seen(far, role), role, shape, call, t); over != nil {
		p.tell(over)
		p.crossed = true
	}
}

// seen is the far end that others take it for.
func (p *played) seen(far ident.Addr, role string) ident.Addr {
	if p.carrier.IsZero() || role == "media" {
		return far
	}
	p.own[far] = true
	return p.carrier
}

func (p *played) tell(h *controllers.Hour) {
	list, err := h.Messages()
	if err != nil {
		p.t.Error(err)
	}
	p.hours = append(p.hours, list...)
}

// held gives nothing before the run has been told what the hub says: a short capture
// is read to its end sooner.
type held struct {
	capture.Source
	told chan struct{}
}

func (h *held) Next(ctx context.Context) (*capture.Batch, error) {
	select {
	case <-h.told:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return h.Source.Next(ctx)
}

// run reads the capture, with what the hub says of far ends.
func (p *played) run(ctx context.Context, up pipeline.Upstream, said []heuristics.ControllerVerdict) []heuristics.Finding {
	homes, err := ident.ParseHomes(lab.Homes(), 0)
	if err != nil {
		p.t.Fatal(err)
	}
	plan, err := ident.ParsePlan("cn")
	if err != nil {
		p.t.Fatal(err)
	}
	around := places.New("CN")
	if err := around.Parse(strings.NewReader(lab.Places()), "places of the lab"); err != nil {
		p.t.Fatal(err)
	}
	files, err := capture.Open([]string{"-"}, capture.Options{Stdin: bytes.NewReader(p.pcap)})
	if err != nil {
		p.t.Fatal(err)
	}
	defer files.Close()
	cfg := pipeline.Config{Homes: homes, Workers: 1, Plan: plan, Places: around, Evidence: true, Ledgers: heuristics.None, Upstream: up}
	if said == nil {
		result, err := pipeline.Run(ctx, files, cfg)
		if err != nil {
			p.t.Fatal(err)
		}
		return result.Findings
	}
	from := &held{Source: files, told: make(chan struct{})}
	live, err := pipeline.NewLive(cfg, from)
	if err != nil {
		p.t.Fatal(err)
	}
	ordered := make(chan error, 1)
	go func() {
		defer close(from.told)
		ordered <- live.Hub(ctx, said)
	}()
	result, err := live.Run(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := <-ordered; err != nil {
		p.t.Fatal(err)
	}
	return result.Findings
}

// records are what a sensor reports of findings at watch and above.
func (p *played) records(fs []heuristics.Finding) (rs []*reportpb.Record) {
	o := report.Options{Names: ident.NewPseudonymizer([]byte("the fleet's key of this epoch, 32"), "")}
	for i := range fs {
		f := &fs[i]
		if f.Verdict < heuristics.Watch {
			continue
		}
		id := sha256.Sum256([]byte(f.Line.String()))
		m := &reportpb.FindingRevision{Id: id[:16], Revision: 1, EpochStart: timestamppb.New(time.Unix(0, f.EpochStart)), Finding: report.Message(f, o),
			PeakScore: report.Nats(f.PeakScore), PeakMargin: report.Nats(f.PeakMargin)}
		for _, c := range m.Finding.Controllers {
			if a, ok := ident.ParseAddr([]byte(c.Addr)); ok {
				c.Addr = p.seen(a, c.Role).String()
			}
		}
		for _, s := range f.Standings {
			x := &reportpb.Standing{Class: s.Class, Margin: s.Margin}
			for _, n := range s.Families {
				x.Families = append(x.Families, &reportpb.FamilyNats{Family: n.Family, Nats: n.Nats})
			}
			m.Standings = append(m.Standings, x)
		}
		rs = append(rs, &reportpb.Record{Kind: &reportpb.Record_Finding{Finding: m}})
	}
	for _, k := range p.hours {
		rs = append(rs, &reportpb.Record{Kind: &reportpb.Record_Controllers{Controllers: k}})
	}
	return rs
}

// said gives what the hub tells the sensor, as the capture's own far ends.
func (p *played) said(vs []store.ControllerVerdict) []heuristics.ControllerVerdict {
	out := []heuristics.ControllerVerdict{}
	for _, v := range vs {
		a, ok := ident.ParseAddr([]byte(v.Addr))
		if !ok {
			p.t.Errorf("a verdict on %q", v.Addr)
		}
		x := heuristics.ControllerVerdict{Controller: a, Nats: v.Nats, Ring: v.Ring.String(), Expires: v.Expires.UnixNano()}
		if v.Line != "" {
			if x.Line, ok = (pipeline.Realms{}).Line(v.Line); !ok {
				p.t.Errorf("a verdict on line %q", v.Line)
			}
		}
		if a != p.carrier {
			out = append(out, x)
			continue
		}
		for far := range p.own {
			x.Controller = far
			out = append(out, x)
		}
	}
	return out
}

// walk has a hub hear of a street, and gives its lines and what the hub said.
func walk(t *testing.T, s street) (lines []streetLine, said []store.ControllerVerdict) {
	h := newHub(t, store.Options{Folder: t.TempDir()}, s.sensor)
	carrier, _ := ident.ParseAddr([]byte(s.carrier))
	list := make([]*played, len(s.scenarios))
	alone := make([][]heuristics.Finding, len(list))
	each := func(do func(i int)) {
		var all sync.WaitGroup
		room := make(chan struct{}, runtime.GOMAXPROCS(0))
		for i := range list {
			all.Go(func() {
				room <- struct{}{}
				defer func() { <-room }()
				do(i)
			})
		}
		all.Wait()
	}
	// One sensor has one table of far ends; its captures follow one another in it as if
	// they were of one tap, so each adds its own part of the hour.
	each(func(i int) {
		p := &played{t: t, own: map[ident.Addr]bool{}, table: controllers.New(func(l ident.Line) uint64 {
			sum := sha256.Sum256([]byte(l.String()))
			return binary.LittleEndian.Uint64(sum[:])
		})}
		if strings.HasPrefix(s.scenarios[i], "callcentre") || s.ring == "" {
			p.carrier = carrier
		}
		p.make(s.scenarios[i], uint64(i+1), s.ring)
		alone[i] = p.run(t.Context(), p, nil)
		if over := p.table.Take(); over != nil {
			p.tell(over)
		}
		list[i] = p
	})
	for i, p := range list {
		if !p.crossed || len(p.hours) < 2 {
			t.Errorf("%s told of %d hours: the test measures nothing", s.scenarios[i], len(p.hours))
		}
		h.report(s.sensor, p.records(alone[i])...)
	}
	h.link(1)
	said, err := h.Verdicts(t.Context(), s.sensor, hubEpoch)
	if err != nil {
		t.Fatal(err)
	}
	told := make([][]heuristics.Finding, len(list))
	each(func(i int) { told[i] = list[i].run(t.Context(), list[i], list[i].said(said)) })
	for i, p := range list {
		find := func(fs []heuristics.Finding, line string) *heuristics.Finding {
			if k := slices.IndexFunc(fs, func(f heuristics.Finding) bool { return f.Line.String() == line }); k >= 0 {
				return &fs[k]
			}
			return nil
		}
		for _, l := range p.truth.Lines {
			lines = append(lines, streetLine{l, find(alone[i], l.Address), find(told[i], l.Address)})
		}
	}
	return lines, said
}

// TestHonestLines replays lines of the lab across the end of an hour, as a sensor with
// its sketches of controllers does, has a hub link what it reports, and reads them again
// with what the hub says. Honest lines must not stand above a margin more often than the
// promise of docs/verdict.md lets them, the hub's nats included, nor have any at an
// exchange or a carrier that many use; and boxes that share a controller with boxes must
// gain.
func TestHonestLines(t *testing.T) {
	t.Parallel()
	centres := []string{"callcentre-predictive", "callcentre-progressive", "callcentre-manual", "callcentre-inbound", "callcentre-blended", "callcentre-remote"}
	var mu sync.Mutex
	var honest, given, raisedHonest, gained int
	above := map[int]int{} // honest lines by the margin that they reach
	t.Run("streets", func(t *testing.T) {
		for _, s := range []street{
			{sensor: "hosted", scenarios: []string{"ring-hosted"}, ring: "lake"},
			{sensor: "wholesale", scenarios: []string{"ring-wholesale"}, ring: "lake"},
			{sensor: "centres", scenarios: centres, carrier: "198.51.100.77"},
			{sensor: "beside", scenarios: append(slices.Clone(centres), "goip-line", "goip-line", "goip-line"), carrier: "198.51.100.77", beside: true},
		} {
			t.Run(s.sensor, func(t *testing.T) {
				t.Parallel()
				lines, said := walk(t, s)
				mu.Lock()
				defer mu.Unlock()
				boxes, suspect, boxGains, honestNats, most := 0, 0, 0, 0, 0.0
				n, raised := 0, 0
				for _, l := range lines {
					var hub heuristics.Hub
					if l.told != nil {
						hub = l.told.Hub
					}
					if l.Box() {
						boxes++
						if l.alone != nil && l.alone.Verdict >= heuristics.Review {
							suspect++
						}
						if hub.Nats > 0 {
							boxGains++
						}
						continue
					}
					n++
					if hub.Nats > 0 {
						honestNats++
						most = max(most, hub.Nats)
					}
					if hub.Verdict > heuristics.None {
						raised++
						if hub.Verdict > heuristics.Watch {
							t.Errorf("%s (%s) is raised to %v", l.Address, l.Class, hub.Verdict)
						}
						t.Logf("%s (%s) raised to %v: %.1f, %.1f and %.1f of the hub", l.Address, l.Class, hub.Verdict, l.told.Score, l.told.Margin, hub.Nats)
					}
					if l.told != nil {
						for m := 1; m <= 6 && l.told.Margin+hub.Nats >= float64(m) && l.told.Score+hub.Nats >= float64(m); m++ {
							above[m]++
						}
					}
				}
				if suspect == 0 && boxes > 0 {
					t.Errorf("none of %d boxes is at review: the test measures nothing", boxes)
				}
				if raised > 0 && !s.beside || (honestNats > 0) != s.beside {
					t.Errorf("%d of %d honest lines have nats of the hub, %d are raised", honestNats, n, raised)
				}
				honest += n
				given += honestNats
				raisedHonest += raised
				gained += boxGains
				t.Logf("%d verdicts; %d honest lines, %d of them with nats of the hub (%.1f at most), %d raised by them; %d boxes, %d at review alone, %d with nats", len(said), n, honestNats, most, raised, boxes, suspect, boxGains)
			})
		}
	})
	if t.Failed() {
		return
	}
	for m := 1; m <= 6; m++ {
		allowed := quantile(honest, math.Exp(-float64(m)), .999)
		t.Logf("margin %d: %d of %d honest lines, hub included; the promise allows %d (999 of 1000 times)", m, above[m], honest, allowed)
		if above[m] > allowed {
			t.Errorf("margin %d: %d of %d honest lines reach it, at most %d may", m, above[m], honest, allowed)
		}
	}
	if gained == 0 || honest < 60 {
		t.Errorf("%d boxes gained, %d honest lines: the test measures nothing", gained, honest)
	}
	t.Logf("%d honest lines had nats of the hub, %d were raised by them", given, raisedHonest)
}

// quantile of a binomial distribution: the least count that n trials of chance p do not
// pass, with probability q.
func quantile(n int, p, q float64) int {
	term := math.Pow(1-p, float64(n))
	sum := term
	k := 0
	for ; sum < q && k < n; k++ {
		term *= float64(n-k) / float64(k+1) * p / (1 - p)
		sum += term
	}
	return k
}
