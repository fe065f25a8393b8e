package sensor

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/internal/smalldisk"
	"simtrap/lab"
	"simtrap/report"
	"simtrap/report/controllers"
	"simtrap/report/fleet"
	"simtrap/report/fleet/fleettest"
	"simtrap/report/fleetpb"
	"simtrap/report/outbox"
	"simtrap/report/reportpb"
	"simtrap/report/uplink"
	"simtrap/sensor/config"
)

func startedHub(t *testing.T) *fleettest.Hub {
	t.Helper()
	h, err := fleettest.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return h
}

// admitted enrolls the appliance of a folder.
func admitted(t *testing.T, h *fleettest.Hub, folder, name string) {
	t.Helper()
	token, err := fleet.ParseToken(h.Token(name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := fleet.Enroll(t.Context(), filepath.Join(folder, "state", fleetFolder), h.Addr(), token, "1")
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
}

// boxCapture makes a capture of a gateway.
func boxCapture(t *testing.T, folder string, d time.Duration) {
	t.Helper()
	f, err := os.Create(filepath.Join(folder, "box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Make(f, lab.Options{Scenario: "goip-line", Seed: 1, Duration: d}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

const hubConfig = "ports: [{name: tap, files: [box.pcap]}]\ncapture: file\nreplay: {speed: 0}\nstate: state\nsocket: none\nmetrics: {listen: none}\nhub: {health-interval: 1s}\n"

// reporting runs a daemon to its end and gives what it wrote.
func reporting(t *testing.T, folder, text string) (out, log string) {
	t.Helper()
	var o, e safeBuffer
	err := Run(t.Context(), Options{File: filepath.Join(folder, "d.yaml"), Config: parsed(t, folder, text), Version: "1", Opener: Files{}, Engine: NewLive,
		Names: ident.NewPseudonymizer(make([]byte, 32), ""), Stdout: &o, Stderr: &e, Signals: make(chan os.Signal)})
	if err != nil {
		t.Fatalf("%v\n%s", err, e.String())
	}
	return o.String(), e.String()
}

// last gives the last object of each line in JSON Lines.
func last(t *testing.T, out string) map[string]*reportpb.Finding {
	t.Helper()
	list := make(map[string]*reportpb.Finding)
	for s := range strings.Lines(out) {
		f, err := report.ParseJSON([]byte(s))
		if err != nil {
			t.Fatalf("%v: %s", err, s)
		}
		list[f.GetLine()] = f
	}
	return list
}

// What the output says the hub has as well: the same findings, and calls,
// controllers and health beside them. An appliance set up anew gives the same
// findings the same ids.
func TestHubHasWhatWasFound(t *testing.T) {
	t.Parallel()
	h := startedHub(t)
	folder := t.TempDir()
	boxCapture(t, folder, 70*time.Minute)
	admitted(t, h, folder, "north")
	out, log := reporting(t, folder, hubConfig)
	want := last(t, out)
	got := h.Findings()
	if len(want) == 0 || len(got) != len(want) {
		t.Fatalf("the hub has %d findings, the output %d\n%s", len(got), len(want), log)
	}
	for id, f := range got {
		w := want[f.GetFinding().GetLine()]
		if w == nil || w.GetVerdict() != f.GetFinding().GetVerdict() || w.GetLastSeen().AsTime() != f.GetFinding().GetLastSeen().AsTime() || len(w.GetCards()) != len(f.GetFinding().GetCards()) {
			t.Errorf("the hub has %v, the output %v", f.GetFinding(), w)
		}
		if len(id) != 32 || f.GetCatalogue() == 0 || len(f.GetStandings()) < 10 || f.GetEpochStart().AsTime().After(f.GetFinding().GetFirstSeen().AsTime()) {
			t.Errorf("finding %s of catalogue %d with %d standings since %v", id, f.GetCatalogue(), len(f.GetStandings()), f.GetEpochStart().AsTime())
		}
		least := f.GetStandings()[0].GetMargin()
		for _, s := range f.GetStandings() {
			least = min(least, s.GetMargin())
			if len(s.GetFamilies()) == 0 {
				t.Errorf("no families against %s", s.GetClass())
			}
		}
		if m := f.GetFinding().GetMargin(); f.GetFinding().GetNearest() != catalogue.Unknown && (least > m+0.001 || least < m-0.001) {
			t.Errorf("margin %v, the least standing %v", m, least)
		}
	}
	var calls, hours, healths, gaps int
	seen := make(map[string]bool)
	for _, r := range h.Kept() {
		switch k := r.GetKind().(type) {
		case *reportpb.Record_Finding:
			if r.GetKeyEpoch() != 1 {
				t.Errorf("key epoch %d", r.GetKeyEpoch())
			}
		case *reportpb.Record_Call:
			calls++
			c := k.Call
			if got[hex.EncodeToString(c.GetFindingId())] == nil || seen[string(c.GetId())] || len(c.GetId()) != 16 || c.GetEnd() != nil && c.GetEnd().AsTime().Before(c.GetStart().AsTime()) ||
				!strings.Contains(c.GetCalled(), "~") || c.GetController() == "" || c.GetStartUncertaintyNs() == 0 {
				t.Errorf("call %v", c)
			}
			seen[string(c.GetId())] = true
		case *reportpb.Record_Controllers:
			hours++
			if n := len(k.Controllers.GetControllers()); n == 0 || k.Controllers.GetControllers()[0].GetLines() == 0 || k.Controllers.GetHour().AsTime().Minute() != 0 {
				t.Errorf("hour %v", k.Controllers)
			}
		case *reportpb.Record_Health:
			healths++
			if x := k.Health; x.GetVersion() != "1" || len(x.GetPorts()) != 1 || x.GetCatalogue() == 0 {
				t.Errorf("health %v", x)
			}
		case *reportpb.Record_Gap:
			gaps++
		}
	}
	if calls == 0 || hours == 0 || healths == 0 || gaps > 0 {
		t.Errorf("%d calls, %d hours, %d times health, %d gaps", calls, hours, healths, gaps)
	}
	// Health is told by the clock, each perhaps in a batch of its own, and so is what was
	// found since: a slow run has more of both.
	if n := h.Batches(); n > 30+2*healths {
		t.Errorf("%d batches with %d times health", n, healths)
	}
	t.Logf("%d findings, %d calls, %d hours, %d records in %d batches", len(got), calls, hours, len(h.Kept()), h.Batches())

	// Set up anew: another folder, the same fleet.
	if err := os.RemoveAll(filepath.Join(folder, "state")); err != nil {
		t.Fatal(err)
	}
	admitted(t, h, folder, "north")
	reporting(t, folder, hubConfig+"output: none\n")
	again := h.Findings()
	if len(again) != len(got) {
		t.Errorf("%d ids after it was set up anew, %d before", len(again), len(got))
	}
}

// Without a hub, or without having been admitted, nothing is reported; asked for
// by name it prevents the work.
func TestHubIsOptional(t *testing.T) {
	folder := t.TempDir()
	boxCapture(t, folder, time.Minute)
	reporting(t, folder, hubConfig)
	if _, err := os.Stat(filepath.Join(folder, "state", outboxFolder)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an outbox without a hub: %v", err)
	}
	c := parsed(t, folder, strings.Replace(hubConfig, "hub: {", "hub: {address: '127.0.0.1:1', ", 1))
	err := Run(t.Context(), Options{Config: c, Opener: Files{}, Engine: NewLive, Names: ident.NewPseudonymizer(nil, ""), Stdout: &safeBuffer{}, Stderr: &safeBuffer{}})
	if !errors.Is(err, fleet.ErrNotEnrolled) {
		t.Error(err)
	}
	h := startedHub(t)
	admitted(t, h, folder, "a")
	reporting(t, folder, strings.Replace(hubConfig, "hub: {", "hub: {address: none, ", 1))
	if n := len(h.Kept()); n > 0 {
		t.Errorf("%d records in spite of address: none", n)
	}
}

// A hub that is away is an alarm, and no reason to stop; what was found goes when
// it is back.
func TestHubAway(t *testing.T) {
	t.Parallel()
	h := startedHub(t)
	folder := t.TempDir()
	boxCapture(t, folder, 20*time.Minute)
	admitted(t, h, folder, "a")
	h.Stop()
	out, _ := reporting(t, folder, hubConfig)
	if len(h.Kept()) > 0 {
		t.Fatal("it was not away")
	}
	c := parsed(t, folder, hubConfig)
	var kept fleet.Kept
	x, err := openHub(c, &kept, report.Options{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if x.follower, err = fleet.NewFollower(x.member, kept, fleet.Options{Apply: func(context.Context, *fleetpb.Policy, *catalogue.Catalogue, uint64) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	x.watch(x.begun.Add(unreachable - time.Second))
	if a := x.alarms.of(""); len(a) > 0 {
		t.Errorf("too early: %v", a)
	}
	x.watch(x.begun.Add(unreachable + time.Second))
	if a := x.alarms.of(""); len(a) != 1 || a[0].ID != "hub-unreachable" || a[0].Value < unreachable.Seconds() {
		t.Errorf("alarms %v", a)
	}
	// What the appliance refused is another, as long as it says so.
	if err := os.MkdirAll(x.updates.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	refused := filepath.Join(x.updates.folder, refusedFile)
	if err := os.WriteFile(refused, []byte("it is older than what runs"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.watch(x.begun)
	if a := x.alarms.of(""); len(a) != 1 || a[0].ID != "update-refused" || !strings.HasSuffix(a[0].Text, "it is older than what runs") {
		t.Errorf("alarms %v", a)
	}
	if err := os.Remove(refused); err != nil {
		t.Fatal(err)
	}
	if x.watch(x.begun); len(x.alarms.of("")) != 0 {
		t.Errorf("alarms %v", x.alarms.of(""))
	}
	s := x.status()
	if s.Waiting == 0 || s.Bytes == 0 || s.Sensor != "a" || s.Acked != 0 {
		t.Errorf("status %+v", s)
	}
	if err := x.close(); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	reporting(t, folder, hubConfig)
	if got, want := h.Findings(), last(t, out); len(got) != len(want) || len(got) == 0 {
		t.Errorf("%d findings when it is back, want %d", len(got), len(want))
	}
}

const hubChild = "SIMTRAP_TEST_HUB"

// telling says what was told to the sink, when it has been taken.
type tellingSink struct{ Sink }

func (s tellingSink) Finding(f *heuristics.Finding) error {
	err := s.Sink.Finding(f)
	if err == nil {
		fmt.Println("told", f.Line, f.Told, uint8(f.Verdict))
	}
	return err
}

// reportingChild is the daemon that TestHubKilled kills.
func reportingChild(folder string) {
	c, err := config.Parse("d.yaml", folder, []byte(strings.Replace(hubConfig, "{speed: 0}", "{speed: 1500, at-end: wait}", 1)+"output: none\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Interval = config.Duration(50 * time.Millisecond)
	err = Run(context.Background(), Options{File: filepath.Join(folder, "d.yaml"), Config: c, Version: "1", Opener: Files{}, Names: ident.NewPseudonymizer(make([]byte, 32), ""),
		Engine: func(e EngineConfig) (Engine, error) {
			e.Sink = tellingSink{e.Sink}
			return NewLive(e)
		}, Stdout: os.Stdout, Stderr: os.Stderr, Signals: make(chan os.Signal)})
	fmt.Println("ended", err)
}

// TestHubKilled kills the daemon at random moments while its connections are cut
// and the hub goes away and comes back. Whatever the outbox has taken is at the hub
// in the end, in that state or a newer one, and every pair of epoch and sequence
// means one record; nothing is in a gap. SIMTRAP_KILLS says how often, 10 without.
func TestHubKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts programs")
	}
	kills := 10
	if n, err := strconv.Atoi(os.Getenv("SIMTRAP_KILLS")); err == nil {
		kills = n
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 9))
	h := startedHub(t)
	lost := errors.New("the answer is lost")
	h.After = func(string, []*reportpb.Record) error {
		if rand.IntN(4) == 0 {
			return lost // kept, and not acknowledged
		}
		return nil
	}
	folder := t.TempDir()
	boxCapture(t, folder, 30*time.Minute)
	admitted(t, h, folder, "a")
	type state struct {
		revision int64
		verdict  uint8
	}
	told := make(map[string]state)
	run := func(life time.Duration) {
		c := exec.Command(self)
		c.Env = append(os.Environ(), hubChild+"="+folder)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(life, func() { _ = c.Process.Kill() })
		cut := time.AfterFunc(life/2, h.Cut)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var line string
			var s state
			if n, _ := fmt.Sscanf(lines.Text(), "told %s %d %d", &line, &s.revision, &s.verdict); n == 3 && s.revision > told[line].revision {
				told[line] = s
			}
			if strings.HasPrefix(lines.Text(), "ended") {
				t.Errorf("it ended by itself: %s", lines.Text())
			}
		}
		timer.Stop()
		cut.Stop()
		_ = c.Wait()
	}
	for i := range kills {
		away := i%5 == 3
		if away {
			h.Stop()
		}
		run(time.Duration(150+r.IntN(700)) * time.Millisecond)
		if away {
			if err := h.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.After = nil
	// Long enough for the rest to go.
	for end := time.Now().Add(time.Minute); ; {
		run(3 * time.Second)
		missing := ""
		got := make(map[string]*reportpb.FindingRevision)
		for _, f := range h.Findings() {
			if line := f.GetFinding().GetLine(); got[line].GetRevision() < f.GetRevision() {
				got[line] = f
			}
		}
		for line, s := range told {
			if f := got[line]; f == nil || f.GetRevision() < uint64(s.revision) {
				missing = fmt.Sprintf("%s revision %d, the hub has %d", line, s.revision, f.GetRevision())
			}
		}
		if missing == "" && len(told) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not at the hub: %s; %d lines told", missing, len(told))
		}
	}
	records := h.Kept()
	for k, r := range records {
		if r.GetGap() != nil {
			t.Errorf("%v: a gap: %v", k, r.GetGap())
		}
	}
	t.Logf("%d kills, %d lines told, %d records in %d batches", kills, len(told), len(records), h.Batches())
}

// TestHubDiskFull fills a small tmpfs. What finds no room is counted and told in
// gaps, exactly; a case goes in all the same as long as anything less important
// can make room.
func TestHubDiskFull(t *testing.T) {
	dir := smalldisk.Folder(t, "3m")
	if dir == "" {
		return
	}
	h := startedHub(t)
	admitted(t, h, dir, "a")
	c := parsed(t, dir, hubConfig)
	c.Hub.Reserve = 1 << 20
	var kept fleet.Kept
	x, err := openHub(c, &kept, report.Options{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{hub: x, log: NewLogger(&safeBuffer{}, &c.Log), config: c}
	if err := d.join(kept, report.Options{}, x.realms); err != nil {
		t.Fatal(err)
	}
	const calls, cases = 20_000, 50
	now := time.Now().UnixNano()
	for i := range calls {
		x.call(&heuristics.CallRecord{Line: testLine(i % 200), Start: now + int64(i), End: now + int64(i) + 1, Called: ident.NewNumber([]byte("13800138000"))})
	}
	for i := range cases {
		x.Finding(&heuristics.Finding{Line: testLine(i), Verdict: heuristics.Case, Told: now, EpochStart: now})
	}
	x.watch(time.Now())
	if a := x.alarms.of(""); len(a) != 1 || a[0].ID != "outbox-dropping" {
		t.Errorf("alarms %v", a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x.run(ctx, func() Status { return Status{Now: time.Now()} }, func(context.Context) {})()
	if err := x.close(); err != nil {
		t.Fatal(err)
	}
	if n := len(h.Findings()); n != cases {
		t.Errorf("%d cases at the hub, of %d", n, cases)
	}
	arrived, gone := uint64(0), uint64(0)
	for _, r := range h.Kept() {
		if r.GetCall() != nil {
			arrived++
		}
		for _, l := range r.GetGap().GetLost() {
			if l.GetKind() != 4 || l.GetReason() != reportpb.LossReason_LOSS_REASON_SPACE {
				t.Errorf("lost %v", l)
			}
			gone += l.GetCount()
		}
	}
	if gone == 0 || arrived+gone != calls {
		t.Errorf("%d calls arrived, %d are in gaps, of %d", arrived, gone, calls)
	}
}

func testLine(n int) ident.Line {
	return ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, byte(n >> 8), byte(n)})}
}

// A few records come together before they are sent, but not at the end.
func TestGathering(t *testing.T) {
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	hurry := make(chan struct{})
	g := gathering{box, hurry}
	add := func() {
		if _, err := box.Append(outbox.Record{Kind: 1, Payload: []byte("x")}); err != nil {
			t.Error(err)
		}
	}
	add()
	time.AfterFunc(gatherTime/10, add)
	list, err := g.Batch(t.Context(), 1<<20, 1000)
	if err != nil || len(list) != 2 {
		t.Errorf("%d records, %v", len(list), err)
	}
	begin := time.Now()
	if list, err = g.Batch(t.Context(), 1<<20, 2); err != nil || len(list) != 2 || time.Since(begin) > gatherTime/2 {
		t.Errorf("as many as are wanted: %d after %v, %v", len(list), time.Since(begin), err)
	}
	close(hurry)
	begin = time.Now()
	if list, err = g.Batch(t.Context(), 1<<20, 1000); err != nil || len(list) != 2 || time.Since(begin) > gatherTime/2 {
		t.Errorf("at the end: %d after %v, %v", len(list), time.Since(begin), err)
	}
}

// What a hub sends may be anything.
func FuzzPolicy(f *testing.F) {
	for _, p := range []*fleetpb.Policy{
		{Home: []string{"10.0.0.0/8"}, Never: []string{"2001:db8::/32"}, Realms: []*fleetpb.Realm{{Name: "a", Vlans: []*fleetpb.VlanRange{{First: 1, Last: 5}}, Tunnels: []string{"192.0.2.0/24"}}}},
		{ControllerVerdicts: []*fleetpb.ControllerVerdict{{Addr: "198.51.100.9", Line: "a/10.1.2.3", Nats: 2}, {Addr: "x", Nats: -1}}, DeclaredGateways: []*fleetpb.DeclaredGateway{{Line: "10.1.2.3"}}},
	} {
		b, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	c, err := config.Parse("d.yaml", f.TempDir(), []byte(quietConfig))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &fleetpb.Policy{}
		if proto.Unmarshal(b, p) != nil {
			return
		}
		s, err := steered(c, p)
		if err != nil && s != c {
			t.Error("a policy that makes no sense is taken in part")
		}
		realms, err := s.RealmRules()
		if err != nil {
			t.Error(err)
		}
		list, _ := verdictsOf(p, realms)
		for _, v := range list {
			if !(v.Nats >= 0) {
				t.Errorf("%v nats", v.Nats)
			}
		}
		var r register
		_ = r.set(p.GetDeclaredGateways())
	})
}

// What a policy says takes the place of what the file says about the same.
func TestSteered(t *testing.T) {
	c := parsed(t, t.TempDir(), quietConfig+"home: [10.0.0.0/8]\nnever: [192.0.2.0/24]\n")
	if s, err := steered(c, nil); err != nil || s != c {
		t.Errorf("no policy: %v", err)
	}
	s, err := steered(c, &fleetpb.Policy{Never: []string{"198.51.100.0/24", "2001:db8::/32"}, Realms: []*fleetpb.Realm{
		{Name: "a", Vlans: []*fleetpb.VlanRange{{First: 1, Last: 5}, {First: 9, Last: 9}}}, {Name: "b", Tunnels: []string{"203.0.113.0/24"}}, {Name: "rest"}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Never) != 2 || s.Never[1].String() != "2001:db8::/32" || len(s.Home) != 1 || len(s.Realms) != 4 || s.Realms[1].VLAN != "9-9" || len(c.Never) != 1 {
		t.Errorf("never %v, home %v, realms %v", s.Never, s.Home, s.Realms)
	}
	for name, p := range map[string]*fleetpb.Policy{
		"home":   {Home: []string{"everywhere"}},
		"realm":  {Realms: []*fleetpb.Realm{{Name: "a b"}}},
		"vlans":  {Realms: []*fleetpb.Realm{{Name: "a", Vlans: []*fleetpb.VlanRange{{First: 9, Last: 5}}}}},
		"tunnel": {Realms: []*fleetpb.Realm{{Name: "a", Tunnels: []string{"x"}}}},
	} {
		if s, err := steered(c, p); err == nil || s != c {
			t.Errorf("%s: a policy that makes no sense is taken", name)
		}
	}
}

// A policy is followed while the daemon runs: what can be is in force at once, and
// what needs a restart is said and in force after it.
func TestPolicyIsFollowed(t *testing.T) {
	t.Parallel()
	h := startedHub(t)
	folder := t.TempDir()
	boxCapture(t, folder, 20*time.Minute)
	admitted(t, h, folder, "a")
	text := strings.Replace(hubConfig, "{speed: 0}", "{speed: 0, at-end: wait}", 1)
	var out, log safeBuffer
	begin := func() (*Daemon, func()) {
		o := Options{File: filepath.Join(folder, "d.yaml"), Config: parsed(t, folder, text), Version: "1", Opener: Files{}, Engine: NewLive,
			Names: ident.NewPseudonymizer(make([]byte, 32), ""), Stdout: &out, Stderr: &log}
		d := &Daemon{o: o, log: NewLogger(o.Stderr, &o.Config.Log), since: time.Now(), config: o.Config, state: stateStarting}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.run(ctx) }()
		return d, func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("%v\n%s", err, log.String())
			}
		}
	}
	until := func(d *Daemon, what string, f func(*Status) bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if d.ready() == nil {
				if s := d.Status(); f(&s) {
					return
				}
			}
			if time.Now().After(end) {
				t.Fatalf("in vain: %s\n%s", what, log.String())
			}
		}
	}
	d, stop := begin()
	until(d, "the box", func(s *Status) bool { return s.Verdicts["case"]+s.Verdicts["review"] > 0 && s.Hub.Following })
	var line string
	for l := range last(t, out.String()) {
		line = l
	}

	tables := os.DirFS("../heuristics/catalogue")
	content, err := fleettest.Archive(tables)
	if err != nil {
		t.Fatal(err)
	}
	h.SetPolicy(&fleetpb.Policy{Version: 1, Never: []string{"192.0.2.0/24"}, Realms: []*fleetpb.Realm{{Name: "west"}}, Catalogue: h.Sign(5, content),
		DeclaredGateways: []*fleetpb.DeclaredGateway{{Line: line, Reason: "r", Owner: "o", Expires: timestamppb.New(time.Now().Add(time.Hour))}},
		ControllerVerdicts: []*fleetpb.ControllerVerdict{
			{Addr: "198.51.100.9", Nats: 2, Expires: timestamppb.New(time.Now().Add(time.Hour))}}})
	until(d, "the policy", func(s *Status) bool { return s.Hub.Policy == 1 && slices.Contains(s.Reload.Restart, "policy: realms") })
	s := d.Status()
	if s.Hub.Catalogue != 5 || s.Hub.PolicyError != "" || len(s.Reload.Restart) != 1 {
		t.Errorf("catalogue %d, %q, restart %v", s.Hub.Catalogue, s.Hub.PolicyError, s.Reload.Restart)
	}
	if n := d.meters[0].nevers(); len(n) != 1 || n[0].String() != "192.0.2.0/24" {
		t.Errorf("never %v", n)
	}
	// A catalogue with other classes takes a restart.
	other, err := fleettest.Archive(otherClasses(t, tables))
	if err != nil {
		t.Fatal(err)
	}
	h.SetPolicy(&fleetpb.Policy{Version: 2, Catalogue: h.Sign(6, other), Realms: []*fleetpb.Realm{{Name: "west"}},
		DeclaredGateways: []*fleetpb.DeclaredGateway{{Line: "west/" + line, Reason: "r", Owner: "o", Expires: timestamppb.New(time.Now().Add(time.Hour))}}})
	until(d, "the second", func(s *Status) bool { return s.Hub.Policy == 2 })
	if s := d.Status(); !slices.Contains(s.Reload.Restart, "policy: catalogue") || s.Hub.Catalogue != 5 || s.Hub.PackRefused != 0 {
		t.Errorf("restart %v, catalogue %d, refused %d", s.Reload.Restart, s.Hub.Catalogue, s.Hub.PackRefused)
	}
	stop()
	d, stop = begin()
	until(d, "the box again", func(s *Status) bool { return s.Verdicts["case"]+s.Verdicts["review"] > 0 })
	if s := d.Status(); len(s.Reload.Restart) != 0 || s.Hub.Catalogue != 6 || s.Hub.Policy != 2 {
		t.Errorf("after a restart %v, catalogue %d, policy %d", s.Reload.Restart, s.Hub.Catalogue, s.Hub.Policy)
	}
	stop()
	if f := last(t, out.String())["west/"+line]; !f.GetDeclared() {
		t.Errorf("%s is not declared: %v", "west/"+line, f)
	}
}

// TestPolicyOfPrograms: what programs in the kernel were attached with needs a restart,
// until it is again what it was, and nothing else does.
func TestPolicyOfPrograms(t *testing.T) {
	const gtpOff = "tunnels: {gtpu: false}\n"
	never := []string{"192.0.2.0/24"}
	home := []string{"10.0.0.0/8"}
	for _, c := range []struct {
		name, mode, more string
		policy           *fleetpb.Policy
		want             []string
	}{
		{"never", "xdp", "", &fleetpb.Policy{Never: never}, []string{"policy: never"}},
		{"never by tc", "clsact", "", &fleetpb.Policy{Never: never}, []string{"policy: never"}},
		{"no tunnels", "xdp", gtpOff, &fleetpb.Policy{Never: never}, nil},
		{"another tunnel", "xdp", "tunnels: {gtpu: false, vxlan: true}\n", &fleetpb.Policy{Never: never}, []string{"policy: never"}},
		{"the file's", "xdp", "never: [192.0.2.0/24]\n", &fleetpb.Policy{Never: never}, nil},
		{"packets", "af_packet", "", &fleetpb.Policy{Never: never}, nil},
		{"home too", "tcx", "", &fleetpb.Policy{Never: never, Home: home}, []string{"policy: never", "policy: home"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := parsed(t, t.TempDir(), quietConfig+c.more)
			log := NewLogger(&safeBuffer{}, &file.Log)
			p := Port{Name: "eth1", Number: 1, Mode: c.mode, Source: &quiet{}}
			d := &Daemon{log: log, config: file, steer: file, begun: file, ports: []Port{p}, out: &Output{}, engine: &engine{}, hub: &hub{},
				meters: []*meter{metered(&p, nil)}}
			if err := d.applyPolicy(t.Context(), c.policy, nil, 0); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, d.policyRestart); diff != "" {
				t.Errorf("needs a restart (-want +got):\n%s", diff)
			}
			if n := d.meters[0].nevers(); len(n) != 1 || n[0].String() != never[0] {
				t.Errorf("frames of %v are dropped", n)
			}
			if err := d.applyPolicy(t.Context(), nil, nil, 0); err != nil || len(d.policyRestart) > 0 {
				t.Errorf("without a policy: %v, restart for %v", err, d.policyRestart)
			}
		})
	}
}

// otherClasses gives a catalogue in which one class has another name.
func otherClasses(t *testing.T, tables fs.FS) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(tables, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".json") {
			return err
		}
		b, err := fs.ReadFile(tables, name)
		if err != nil {
			return err
		}
		out[name] = &fstest.MapFile{Data: b}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var head map[string]json.RawMessage
	if err := json.Unmarshal(out["classes.json"].Data, &head); err != nil {
		t.Fatal(err)
	}
	var boxes []map[string]any
	if err := json.Unmarshal(head["classes"], &boxes); err != nil {
		t.Fatal(err)
	}
	name := boxes[0]["name"].(string)
	for _, f := range out {
		f.Data = []byte(strings.ReplaceAll(string(f.Data), `"`+name+`"`, `"`+name+`-2"`))
	}
	return out
}

// Cuts of the way change nothing of what arrives.
func TestHubCut(t *testing.T) {
	t.Parallel()
	h := startedHub(t)
	folder := t.TempDir()
	boxCapture(t, folder, 20*time.Minute)
	admitted(t, h, folder, "a")
	n := 0
	h.Answer = func(string, []*reportpb.Record) error {
		if n++; n%2 == 1 {
			h.Cut()
		}
		return nil
	}
	out, _ := reporting(t, folder, hubConfig)
	h.Answer = nil
	reporting(t, folder, hubConfig+"output: none\n")
	if got, want := h.Findings(), last(t, out); len(got) != len(want) || len(got) == 0 {
		t.Errorf("%d findings, want %d", len(got), len(want))
	}
}

// Of what stands by the hub's word alone nothing returns to it.
func TestHubsWordStaysHere(t *testing.T) {
	h := startedHub(t)
	folder := t.TempDir()
	admitted(t, h, folder, "a")
	c := parsed(t, folder, hubConfig)
	var kept fleet.Kept
	x, err := openHub(c, &kept, report.Options{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := x.close(); err != nil {
			t.Error(err)
		}
	}()
	f := heuristics.Finding{Line: testLine(1), Told: 5, Hub: heuristics.Hub{Nats: 2.5, Verdict: heuristics.Review, Ring: "r1"}}
	x.Finding(&f)
	if s := x.box.Stats(); s.Appended != 0 {
		t.Error("a line that the hub alone raised is told to it")
	}
	f.Verdict = heuristics.Watch
	x.Finding(&f)
	list, err := x.box.Batch(t.Context(), 1<<20, 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	if strings.Contains(string(list[0].Payload), "r1") {
		t.Error("the ring returns to the hub")
	}
	var names = ident.NewPseudonymizer(nil, "")
	if s := string(report.AppendJSON(nil, &f, report.Options{Names: names})); !strings.HasSuffix(s, `,"hub":{"nats":2.5,"verdict":"review","ring":"r1"}}`) || !strings.Contains(s, `"verdict":"watch"`) {
		t.Errorf("the output says %s", s)
	}
}

// Calls and hours that found no room on their way to the outbox are in a gap, once.
func TestMissed(t *testing.T) {
	box, err := outbox.Open(t.TempDir(), outbox.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	h := &hub{items: make(chan any), box: box, log: zap.NewNop()}
	h.Call(&heuristics.CallRecord{})
	h.Call(&heuristics.CallRecord{})
	h.put(&controllers.Hour{})
	h.miss()
	h.miss()
	want := []outbox.Lost{{Reason: outbox.Crowded, Kind: uplink.KindCall, Count: 2}, {Reason: outbox.Crowded, Kind: uplink.KindControllers, Count: 1}}
	if lost := box.Stats().Lost; !slices.Equal(lost, want) {
		t.Errorf("gaps tell of %v, want %v", lost, want)
	}
}
