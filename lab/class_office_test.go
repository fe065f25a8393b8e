package lab

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// TestOfficeClasses makes a little of every scenario of offices, exchanges and
// adapters with several seeds.
func TestOfficeClasses(t *testing.T) {
	for _, class := range []struct {
		name, slug string
		list       []Scenario
	}{
		{ClassOffice, "office-", officeScenarios()},
		{ClassHostedPBX, "hosted-", hostedScenarios()},
		{ClassAnchoredPBX, "pbx-", pbxScenarios()},
		{ClassAdapter, "adapter-", adapterScenarios()},
	} {
		total := 0.0
		for _, sc := range class.list {
			total += sc.Share
			if sc.Class != class.name || !strings.HasPrefix(sc.Name, class.slug) || sc.Box {
				t.Errorf("%s: class %q", sc.Name, sc.Class)
			}
			t.Run(sc.Name, func(t *testing.T) {
				t.Parallel()
				drawnSanely(t, sc)
			})
		}
		if math.Abs(total-1) > 0.001 {
			t.Errorf("%s: shares make %.3f", class.name, total)
		}
	}
}

// drawnSanely makes a few minutes of a drawn scenario with several seeds and
// looks at what is said to be true of its first line.
func drawnSanely(t *testing.T, sc Scenario) {
	seen := map[string]bool{}
	calls := 0
	const seeds = 3
	for seed := uint64(1); seed <= seeds; seed++ {
		sum, truth := digestOf(t, sc.Name, seed)
		l := truth.Lines[0]
		if l.Class != sc.Class || l.Channels == 0 || len(l.Controllers) == 0 || len(l.Cards) != 0 {
			t.Errorf("seed %d: class %q, %d channels, %d controllers", seed, l.Class, l.Channels, len(l.Controllers))
		}
		if l.MinVerdict != VerdictNone || l.MaxVerdict != VerdictReview || l.Proof {
			t.Errorf("seed %d: verdict from %s to %s", seed, l.MinVerdict, l.MaxVerdict)
		}
		calls += l.Calls.Inbound + l.Calls.Outbound
		seen[l.Note+l.Controllers[0].Addr] = true
		if seed == 1 {
			if again, _ := digestOf(t, sc.Name, seed); again != sum {
				t.Error("one seed gave two captures")
			}
		}
	}
	if len(seen) < seeds {
		t.Errorf("%d seeds drew %d lines", seeds, len(seen))
	}
	if sc.Heavy && calls == 0 {
		t.Error("nobody telephoned")
	}
}

func digestOf(t *testing.T, scenario string, seed uint64) (string, *Truth) {
	t.Helper()
	h := sha256.New()
	truth, err := Make(h, Options{Scenario: scenario, Seed: seed, Duration: 3 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), truth
}

// TestLinks reads a little SIP over every transport from the wire: what is
// sealed shows no SIP, the rest does.
func TestLinks(t *testing.T) {
	for _, k := range []link{linkUDP, linkTCP, linkWS, linkTLS, linkWSS} {
		var b bytes.Buffer
		opt := Options{Duration: time.Minute}
		out, err := newSink(&b, "", 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		shape, err := parseEncap("")
		if err != nil {
			t.Fatal(err)
		}
		s := newSim(opt, shape, viewBoth, out)
		l := s.newLine(ClassOffice, "", VerdictNone, VerdictReview)
		x := newSite(l, trades["office"], dialKamailio("x"), false)
		u := drawUpkeep(l.rng)
		p := x.telephone(l.device("telephone"), dialYealink("T"), k, "100", &u)
		x.live(p, s.start, &u)
		s.run()
		if err := out.close(); err != nil {
			t.Fatal(err)
		}
		if readable := bytes.Contains(b.Bytes(), []byte("Yealink T")) || k == linkWS; readable == k.sealed() {
			t.Errorf("%s: readable %v", k, readable)
		}
	}
}

func TestCalendar(t *testing.T) {
	c := calendar{9: 1, 10: 0.5}
	for hour, want := range map[float64]float64{8: 0, 8.5: 0.5, 9: 1, 9.5: 0.75, 23.5: 0} {
		if got := c.at(hour); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %v: %v, want %v", hour, got, want)
		}
	}
	for _, code := range []string{"", "+86", "86"} {
		for in, want := range map[string]string{"13912345678": code + "13912345678", "10086": "10086", "00441234567": "00441234567", "4008123123": "4008123123"} {
			if got := national(code, in); got != want {
				t.Errorf("%s behind %q: %s", in, code, got)
			}
		}
	}
	if got := national("+86", "02112345678"); got != "+862112345678" {
		t.Error(got)
	}
}
