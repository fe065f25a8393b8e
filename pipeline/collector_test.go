package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/report"
	"simtrap/rtp"
	"simtrap/sip"
)

// collect runs a scenario with a Collector for the lines, after a run that
// names them.
func collect(t *testing.T, o lab.Options, workers int) (*Result, []ident.Line, *Collector) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Make(f, o); err != nil {
		t.Fatal(err)
	}
	f.Close()
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	run := func(observe Observer) *Result {
		files, err := capture.Open([]string{path}, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		r, err := Run(context.Background(), files, Config{Homes: homes, Workers: workers, Observe: observe})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := run(nil)
	var lines []ident.Line
	for i := range first.Findings {
		lines = append(lines, first.Findings[i].Line)
	}
	c := NewCollector(homes, lines)
	second := run(c)
	if a, b := jsonOf(t, first), jsonOf(t, second); !bytes.Equal(a, b) {
		t.Error("an observer changed the findings")
	}
	return first, lines, c
}

func jsonOf(t *testing.T, r *Result) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := report.WriteJSON(&b, r.Findings, report.Options{Names: ident.NewPseudonymizer(nil, "")}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCollector(t *testing.T) {
	for _, scenario := range []string{"goip-line", "ata-24"} {
		t.Run(scenario, func(t *testing.T) {
			o := lab.Options{Scenario: scenario, Seed: 1, Duration: 6 * time.Minute}
			r, lines, c := collect(t, o, 1)
			if len(lines) == 0 {
				t.Fatal("no line")
			}
			calls, accounts, clocks := 0, 0, 0
			for i, l := range lines {
				a := c.Activity(l)
				if a == nil {
					t.Fatalf("nothing of %v", l)
				}
				f := &r.Findings[i]
				if n := len(a.Calls); n != f.Calls.Inbound+f.Calls.Outbound {
					t.Errorf("%v: %d calls kept, %d counted", l, n, f.Calls.Inbound+f.Calls.Outbound)
				}
				answered := 0
				for _, k := range a.Calls {
					if k.First > k.End || k.Answer != 0 && k.Answer < k.First {
						t.Errorf("times of a call: %+v", k)
					}
					if k.Answer != 0 {
						answered++
					}
					if !k.Account.IsZero() {
						accounts++
					}
				}
				if answered < f.Calls.Answered {
					t.Errorf("%v: %d answered, %d counted", l, answered, f.Calls.Answered)
				}
				calls += len(a.Calls)
				for k, s := range a.Streams {
					if k > 0 && s.Start < a.Streams[k-1].Start {
						t.Error("streams out of order")
					}
					if len(s.Points) > maxPoints {
						t.Errorf("%d points", len(s.Points))
					}
					// The slope of the points is the clock that was measured.
					if n := len(s.Points); s.ClockOK && s.PPMError < 3 && n > 20 {
						p, q := s.Points[0], s.Points[n-1]
						slope := -float64(q.Late-p.Late) / float64(q.Time-p.Time) * 1e6
						if slope < s.PPM-25 || slope > s.PPM+25 {
							t.Errorf("points show %.1f ppm, measured %.1f", slope, s.PPM)
						}
						clocks++
					}
				}
			}
			if calls == 0 || scenario == "ata-24" && accounts == 0 || clocks == 0 {
				t.Errorf("%d calls, %d accounts, %d clocks", calls, accounts, clocks)
			}
			// The same, whatever the number of workers.
			_, _, d := collect(t, o, 4)
			for _, l := range lines {
				if diff := cmp.Diff(plain(t, c.Activity(l)), plain(t, d.Activity(l))); diff != "" {
					t.Errorf("%v (-1 +4 workers):\n%s", l, diff)
				}
			}
		})
	}
}

func plain(t *testing.T, a *report.Activity) string {
	t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What a stranger sends in a line's name is bounded.
func TestCollectorIsBounded(t *testing.T) {
	addr := ident.AddrFrom4([]byte{203, 0, 113, 7})
	line := ident.Line{Addr: addr}
	c := NewCollector(nil, []ident.Line{line})
	k := c.lines[line]
	for i := range uint64(3 * maxKeptCalls) {
		call := &sip.Call{ID: i, Callee: sip.Party{Addr: addr}, Invite: int64(i), Last: int64(i)}
		c.Call(call, sip.CallStarted)
		if i%2 == 0 {
			c.Call(call, sip.CallEnded)
		}
		flow := rtp.Flow{Src: addr, SrcPort: uint16(i)}
		for n := range int64(3) {
			c.Interval(&rtp.Interval{Flow: flow, SSRC: uint32(i), Rate: 8000, Start: rtp.Sample{Arrival: 1}, Least: rtp.Sample{Arrival: int64(i) + n*2e9}, Last: int64(i) + n*2e9, Source: 100})
		}
		c.Stream(&rtp.Stream{Flow: flow, SSRC: uint32(i), Start: int64(i)}, true)
		// Never confirmed.
		c.Interval(&rtp.Interval{Flow: flow, SSRC: uint32(i) + 1<<20, Rate: 8000, Start: rtp.Sample{Arrival: 1}, Last: int64(i)})
	}
	if n := len(k.Calls) + len(k.open); n > maxKeptCalls || uint64(n)+k.MoreCalls != 3*maxKeptCalls {
		t.Errorf("%d calls kept, %d more", n, k.MoreCalls)
	}
	if n := len(k.Streams); n != maxKeptStreams || uint64(n)+k.MoreStreams != 3*maxKeptCalls {
		t.Errorf("%d streams kept, %d more", n, k.MoreStreams)
	}
	if n := len(k.followed); n > maxFollowed {
		t.Errorf("%d streams followed", n)
	}
	long := &followed{}
	key := streamKey{flow: rtp.Flow{Src: addr}, ssrc: 1}
	k.followed = map[streamKey]*followed{key: long}
	long.stride = 1
	for n := range int64(10_000) {
		c.Interval(&rtp.Interval{Flow: rtp.Flow{Src: addr}, SSRC: 1, Rate: 8000, Start: rtp.Sample{Arrival: 1}, Least: rtp.Sample{Arrival: n * 2e9, Timestamp: uint32(n * 16000)}})
	}
	if n := len(long.samples); n > maxPoints || n < maxPoints/2 || long.samples[n-1].Arrival < 9000*2e9 {
		t.Errorf("%d samples of a long stream, the last of %d s", n, long.samples[n-1].Arrival/1e9)
	}
	if c.Activity(ident.Line{}) != nil {
		t.Error("something of a line that was not asked for")
	}
}

func TestPoints(t *testing.T) {
	// A clock 100 ppm fast over a timestamp that wraps and then jumps.
	var samples []rtp.Sample
	ts := uint32(0xffff_ff00)
	for i := range int64(50) {
		if i == 25 {
			ts += 1 << 30
		}
		samples = append(samples, rtp.Sample{Arrival: 1e18 + i*2e9, Timestamp: ts})
		ts += 16001
	}
	got := points(samples, 8000)
	want := -float64(48) * 125_000 // 49 steps of one tick, without the jump's
	if last := float64(got[len(got)-1].Late); last < want-1000 || last > want+1000 {
		t.Errorf("%.0f ns late at the end, want %.0f", last, want)
	}
	if points(samples, 0) != nil {
		t.Error("points without a rate")
	}
}
