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

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"simtrap/lab"
)

// way is the network between an appliance and its hub, in namespaces of their own.
type way struct{ sensor, hub *space }

const (
	hubAddress    = "10.77.0.1"
	sensorAddress = "10.77.0.2"
)

func newWay(t *testing.T) *way {
	w := &way{newSpace(t), newSpace(t)}
	w.hub.ip(fmt.Sprintf("link add eth type veth peer name eth netns %d", w.sensor.tid), "addr add "+hubAddress+"/24 dev eth", "link set eth up")
	w.sensor.ip("addr add "+sensorAddress+"/24 dev eth", "link set eth up")
	w.hub.carries("eth")
	w.sensor.carries("eth")
	return w
}

// A cut is one way in which the network fails, and heals.
type cut struct {
	name       string
	begin, end func(*way)
}

// nobody is a station that is not there. What is sent to it is carried and dropped
// at the other end, as netem does it with a loss of all, which not every kernel has.
const nobody = "02:00:00:00:00:99"

var cuts = []cut{
	{"link down", func(w *way) { w.hub.ip("link set eth down") }, func(w *way) { w.hub.ip("link set eth up") }},
	{"link of the sensor down", func(w *way) { w.sensor.ip("link set eth down") }, func(w *way) { w.sensor.ip("link set eth up") }},
	{"answers lost", func(w *way) {
		w.hub.ip("neigh replace " + sensorAddress + " lladdr " + nobody + " dev eth nud permanent")
	},
		func(w *way) { w.hub.ip("neigh del " + sensorAddress + " dev eth") }},
	{"requests lost", func(w *way) {
		w.sensor.ip("neigh replace " + hubAddress + " lladdr " + nobody + " dev eth nud permanent")
	},
		func(w *way) { w.sensor.ip("neigh del " + hubAddress + " dev eth") }},
}

// cutsFromEnv says how often the network is cut: SIMTRAP_CUTS, or n.
func cutsFromEnv(n int) int {
	if k, err := strconv.Atoi(os.Getenv("SIMTRAP_CUTS")); err == nil {
		return k
	}
	return n
}

// outcome is what a hub has in the end.
type outcome struct {
	Findings     map[string]outline
	Calls, Hours int
}

func (c *centre) outcome() outcome {
	c.s.t.Helper()
	o := outcome{Findings: map[string]outline{}, Calls: c.count("call"), Hours: c.count("controller_hour")}
	for _, f := range c.findings() {
		if _, twice := o.Findings[f.Finding.Line]; twice {
			c.s.t.Errorf("%s stands there twice", f.Finding.Line)
		}
		x := f.Finding.outline()
		x.Cards = nil // under other keys
		o.Findings[f.Finding.Line] = x
	}
	if n := c.count("gap"); n > 0 {
		c.s.t.Errorf("%d gaps", n)
	}
	return o
}

// TestCut cuts the network between an appliance and its hub in every way, again and
// again, while the appliance reports. In the end the hub has what one has to which
// the way was never cut. Reports go again within the time that the appliance waits
// between attempts, which is bounded by twice the outage. SIMTRAP_CUTS says how
// often, 4 without; then some outages outlast the deadline of a sending.
func TestCut(t *testing.T) {
	t.Parallel()
	w := newWay(t)
	n := cutsFromEnv(len(cuts))
	long := n > len(cuts)
	each, length := 1200*time.Millisecond, 25*time.Minute
	if long {
		each, length = 8*time.Second, 4*time.Hour
	}
	file := filepath.Join(newFolder(t), "box.pcap")
	truth := makeCapture(t, file, lab.Options{Scenario: "goip-line", Seed: 1, Duration: length})
	port := fmt.Sprintf("{name: tap, files: [%s]}", file)
	begin := func(c *centre, speed float64) *daemon {
		d := w.sensor.daemon(w.sensor.appliance(c, "north", replayed(speed, "wait", port)))
		d.running()
		return d
	}
	finish := func(c *centre, d *daemon) outcome {
		d.ready("the capture is over", func() bool { return d.mustStatus().Ports[0].Frames == uint64(truth.Packets) })
		d.settled()
		d.arrived(30 * time.Second)
		if s := d.mustStatus().Hub; len(s.Dropped) > 0 || s.Refused > 0 {
			t.Errorf("dropped %v, refused %d", s.Dropped, s.Refused)
		}
		d.end(unix.SIGTERM, 30*time.Second)
		return c.outcome()
	}
	// Beside it another, to a hub from which nothing parts it.
	whole := newCentre(w.sensor, "127.0.0.1")
	unhurt := begin(whole, 0)

	c := newCentre(w.hub, hubAddress)
	d := begin(c, float64(length)/float64(time.Duration(n)*each))
	r := rand.New(rand.NewPCG(7, 3))
	longest := time.Duration(0)
	for i := range n {
		x := cuts[i%len(cuts)]
		time.Sleep(each/3 + rand.N(each/6))
		x.begin(w)
		lasts := each/4 + time.Duration(r.Int64N(int64(each/4)))
		if long && i%8 == 7 {
			lasts = 40 * time.Second
		}
		time.Sleep(lasts)
		x.end(w)
		healed := time.Now()
		bound := 2*lasts + 4*time.Second
		d.ready("reports go after "+x.name, func() bool {
			s := d.mustStatus().Hub
			if s.Next != nil && time.Until(*s.Next) > bound {
				t.Errorf("%s for %v: the next attempt is in %v", x.name, lasts, time.Until(*s.Next))
			}
			return s.LastAck != nil && s.LastAck.After(healed)
		})
		again := time.Since(healed)
		if again > bound {
			t.Errorf("%s for %v: reports go again after %v, want %v at most", x.name, lasts, again, bound)
		}
		longest = max(longest, again)
		t.Logf("%s for %v: reports go again after %v", x.name, lasts.Round(time.Millisecond), again.Round(time.Millisecond))
	}
	want, got := finish(whole, unhurt), finish(c, d)
	if diff := cmp.Diff(want, got); diff != "" || len(want.Findings) == 0 || want.Calls == 0 {
		t.Errorf("-never cut +cut:\n%s", diff)
	}
	t.Logf("%d cuts, reports went again within %v; %d findings, %d calls and %d hours of controllers as without them", n, longest.Round(time.Millisecond), len(got.Findings), got.Calls, got.Hours)
}
