package trial_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/control"
	"simtrap/hidden/talk"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/rtp"
	"simtrap/sip"
)

var (
	seeds    = flag.Int("seeds", 0, "how many seeds of each scenario TestMeasure takes; 0 skips it")
	firstOne = flag.Uint64("first", 1, "the first of them: 1 and on were for design, 1001 and on are for reports")
)

// watch hands a run's streams to Calls.
type watch struct {
	homes *ident.Homes
	calls *talk.Calls
}

func (w *watch) Message(*packet.Packet, *sip.Message) {}
func (w *watch) Call(*sip.Call, sip.CallEvent)        {}
func (w *watch) Registration(*sip.Registration)       {}
func (w *watch) Request(*sip.Request)                 {}
func (w *watch) Record(*control.Record)               {}
func (w *watch) Interval(*rtp.Interval)               {}
func (w *watch) Stream(s *rtp.Stream, ended bool) {
	w.calls.Stream(w.homes.Contains(s.Flow.Src), s, ended)
}

// tally is how calls found stand against those of the truth.
type tally struct {
	truth, found int // answered calls of four seconds or more; telephone calls found
	matched      int // of these, one to one by start and end within a second
	right, wrong int // direction, of those matched
	conferences  int // conversations of more streams than a telephone call has
	alone        int
}

func heard(t testing.TB, name string, seed uint64, d time.Duration) (k tally) {
	t.Helper()
	var b bytes.Buffer
	truth, err := lab.Make(&b, lab.Options{Scenario: name, Seed: seed, Duration: d, Format: "nano"})
	if err != nil {
		t.Fatal(err)
	}
	homes, err := ident.ParseHomes(lab.Homes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := capture.Open([]string{"-"}, capture.Options{Stdin: &b})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var found []talk.Call
	w := &watch{homes: homes, calls: talk.New(4096, func(c *talk.Call) { found = append(found, *c) })}
	if _, err := pipeline.Run(t.Context(), f, pipeline.Config{Homes: homes, Workers: 1, Observe: w}); err != nil {
		t.Fatal(err)
	}
	w.calls.Flush()
	const slack = float64(time.Second)
	used := make([]bool, len(found))
	for _, c := range found {
		switch {
		case c.Telephone():
			k.found++
		case c.Answer == 0:
			k.alone++
		default:
			k.conferences++
		}
	}
	end := truth.Start.Add(truth.Duration)
	for _, l := range truth.Lines {
		for _, told := range l.Talks {
			stop := told.End
			if stop.After(end) {
				stop = end
			}
			if told.Start.IsZero() || stop.Sub(told.Start) < 4*time.Second {
				continue
			}
			k.truth++
			i := slices.IndexFunc(found, func(c talk.Call) bool {
				return c.Telephone() && math.Abs(float64(c.Start-told.From().UnixNano())) < slack && math.Abs(float64(c.End-stop.UnixNano())) < slack
			})
			if i < 0 || used[i] {
				continue
			}
			used[i] = true
			k.matched++
			switch d := found[i].Direction; {
			case d == talk.Unknown:
			case (d == talk.Outbound) == told.Out:
				k.right++
			default:
				k.wrong++
			}
		}
	}
	return k
}

// TestHeard holds that a gateway's calls are found by SRTP headers alone.
func TestHeard(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	k := heard(t, "hide-srtp", 1, 12*time.Minute)
	if k.truth < 8 || 4*k.matched < 3*k.truth || k.wrong > 0 {
		t.Errorf("%+v", k)
	}
}

// TestMeasure prints how well calls without signalling are told in the lab.
func TestMeasure(t *testing.T) {
	if *seeds == 0 {
		t.Skip("-args -seeds N measures")
	}
	for _, name := range []string{"hide-srtp", "hide-srtp-two", "hide-rc4", "twin-dialler-shop", "twin-callcentre", "twin-desk-tls", "twin-webrtc", "twin-game", "twin-cloud-game", "twin-stream"} {
		var sum tally
		for i := range *seeds {
			k := heard(t, name, *firstOne+uint64(i), 0)
			sum.truth, sum.found, sum.matched = sum.truth+k.truth, sum.found+k.found, sum.matched+k.matched
			sum.right, sum.wrong, sum.conferences, sum.alone = sum.right+k.right, sum.wrong+k.wrong, sum.conferences+k.conferences, sum.alone+k.alone
		}
		fmt.Printf("%-18s true %d found %d matched %d, direction right %d wrong %d, more streams %d, one way %d\n", name, sum.truth, sum.found, sum.matched, sum.right, sum.wrong, sum.conferences, sum.alone)
	}
}
