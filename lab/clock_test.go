package lab

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestClockRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c, ppm := drawClock(r, true), drawPPM(r)
		for _, at := range [...]int64{0, int64(time.Second), int64(time.Hour), int64(20 * time.Hour)} {
			if got := c.when(ppm, c.reads(ppm, at)); math.Abs(got-float64(at)) > 2000 {
				t.Fatalf("%+v, %.1f ppm: shows at %d ns what it shows at %.0f", c, ppm, at, got)
			}
		}
		// Over ten minutes it stays within some ppm of its error.
		at, ten := r.Int64N(int64(20*time.Hour)), int64(10*time.Minute)
		rate := float64(c.reads(ppm, at+ten)-c.reads(ppm, at)-ten) / float64(ten) * 1e6
		if math.Abs(rate-ppm) > 3 {
			t.Errorf("%+v: runs %.2f ppm fast, want about %.2f", c, rate, ppm)
		}
		if c.grid > 0 {
			d := c.align(at, r)
			if past := ceilTo(at, c.phase, c.grid); d < at || d-past >= c.slot || (past-c.phase)%c.grid != 0 {
				t.Errorf("grid %d, phase %d: %d aligned to %d", c.grid, c.phase, at, d)
			}
		}
	}
}

func TestCeilTo(t *testing.T) {
	for _, c := range [...][4]int64{{0, 3, 10, 3}, {3, 3, 10, 3}, {4, 3, 10, 13}, {13, 3, 10, 13}, {0, 23, 10, 3}, {25, 3, 10, 33}} {
		if got := ceilTo(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("ceilTo(%d, %d, %d) = %d, want %d", c[0], c[1], c[2], got, c[3])
		}
	}
}

func TestErrorsOfClocks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	still := func(class string, hard bool) float64 {
		n := 0
		for range 2000 {
			if math.Abs(drawError(r, hard, class)) < 0.2 {
				n++
			}
		}
		return float64(n) / 2000
	}
	if home, cell := still(ClassHome, true), still(ClassSmallCell, true); home > 0.1 || cell < 0.6 {
		t.Errorf("%.2f of telephones and %.2f of small cells follow the network's clock", home, cell)
	}
	s := &sim{wide: true, crystals: map[float64]bool{7: true}}
	locked := 0
	for range 2000 {
		ppm := drawPPM(r)
		if a, b := s.stranger(ppm), s.stranger(ppm); a != b {
			t.Fatalf("%v is %v and %v when passed on twice", ppm, a, b)
		} else if a != ppm {
			locked++
		}
	}
	if locked < 800 || locked > 1200 {
		t.Errorf("%d of 2000 strangers have the network's clock", locked)
	}
	if s.stranger(7) != 7 {
		t.Error("a device that is here got another clock when it was passed on")
	}
}
