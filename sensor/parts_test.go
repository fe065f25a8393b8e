package sensor

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/report"
	"simtrap/rtp"
	"simtrap/sensor/config"
)

var update = flag.Bool("update", false, "write golden files and the tables of docs/ anew")

func TestMemoryLimit(t *testing.T) {
	const v2, v1 = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"none", nil, 0},
		{"version 2", map[string]string{"proc/self/cgroup": "0::/system.slice/simtrapd.service\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/system.slice/simtrapd.service/memory.max": "536870912\n"}, 536870912},
		{"version 2, unlimited", map[string]string{"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		{"version 2, above", map[string]string{"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/a/memory.max": "1000000000\n",
			"sys/fs/cgroup/a/b/memory.max": "2000000000\n"}, 1000000000},
		{"version 1", map[string]string{"proc/self/cgroup": "4:memory:/a\n0::/\n", "proc/self/mountinfo": v1, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "300000000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 300000000},
		{"a container that sees its own group alone", map[string]string{"proc/self/cgroup": "0::/docker/0123\n",
			"proc/self/mountinfo": "30 1 0:26 /docker/0123 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "sys/fs/cgroup/memory.max": "400000000\n"}, 400000000},
		{"rubbish", map[string]string{"proc/self/cgroup": "x\n::::\n", "proc/self/mountinfo": " - \n- cgroup2\n" + v2, "sys/fs/cgroup/memory.max": "-5"}, 0},
	} {
		root := fstest.MapFS{}
		for name, text := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := GroupLimit(root); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		if got, _ := MemoryLimit(root, 0, ""); got != tt.want/10*9 {
			t.Errorf("%s: %d of %d", tt.name, got, tt.want)
		}
	}
	if n, from := MemoryLimit(fstest.MapFS{}, 1<<30, ""); n != 1<<30 || from != "limits.memory" {
		t.Errorf("%d, %s", n, from)
	}
	if n, from := MemoryLimit(fstest.MapFS{}, 1<<30, "512MiB"); n != 0 || from != "GOMEMLIMIT" {
		t.Errorf("%d, %s", n, from)
	}
}

// The same message is logged so often and no more; what was left out is said.
func TestLogLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b safeBuffer
		l := NewLogger(&b, &config.Log{Level: "info", Burst: 3, Every: config.Duration(time.Minute)})
		for i := range 100 {
			l.Warn("frame not read", zap.Int("i", i))
			l.Debug("nobody wants this")
		}
		l.Warn("another")
		if n := strings.Count(b.String(), "frame not read"); n != 3 || l.Suppressed() != 97 || strings.Count(b.String(), "another") != 1 || strings.Contains(b.String(), "nobody") {
			t.Errorf("%d logged, %d not:\n%s", n, l.Suppressed(), b.String())
		}
		l.Sweep()
		if strings.Contains(b.String(), "left out") {
			t.Error("said before its time")
		}
		time.Sleep(time.Minute)
		l.Sweep()
		l.Sweep()
		if n := strings.Count(b.String(), `left out of the log	{"message": "frame not read", "times": 97}`); n != 1 {
			t.Errorf("said %d times:\n%s", n, b.String())
		}
		l.Warn("frame not read")
		if n := strings.Count(b.String(), "\tframe not read"); n != 4 {
			t.Errorf("%d after a minute:\n%s", n, b.String())
		}
		l.Set(&config.Log{Level: "debug", Burst: 1, Every: config.Duration(time.Hour)})
		l.Debug("now somebody does")
		if !strings.Contains(b.String(), "now somebody does") {
			t.Error("the level did not change")
		}
	})
}

func TestLogIsBounded(t *testing.T) {
	l := &limiter{burst: 1, every: time.Minute, seen: make(map[string]*burst)}
	now := time.Now()
	for i := range 10 * maxMessages {
		l.allow(fmt.Sprint(i), now)
	}
	if n := len(l.seen); n > maxMessages+1 {
		t.Errorf("%d messages", n)
	}
	l.sweep(now.Add(time.Hour))
	if n := len(l.seen); n != 0 {
		t.Errorf("%d messages an hour later", n)
	}
}

func snapshot() Status {
	at := time.Unix(1782702845, 500e6).UTC()
	return Status{
		Version: "1.2", State: "running", Since: at, Now: at,
		Ports: []PortStatus{{Name: "eth1", Number: 1, Mode: "xdp", Direction: "up", Frames: 10, Bytes: 2000, Last: &at, Silent: 0.05},
			{Name: "eth2", Number: 2, Mode: "af_packet", Direction: "down"}},
		Messages: 1, H323: 2, Calls: 3, Streams: 4, Records: 5, Lines: 6, Verdicts: map[string]uint64{"case": 1, "none": 5}, Written: 7, Failed: 8,
		Alarms:     []Alarm{{ID: "tap-silent/eth2", Text: "nothing", Remedy: "look", Since: 1, Value: 31}, {ID: "tap-silent/eth2", Value: 32}},
		Losses:     []Loss{{"eth1", "ring", "ring full", 9}, {"", "sip", "datagrams that begin like SIP and cannot be read", 10}},
		Checkpoint: CheckpointStatus{Kept: true, Last: &at, Seconds: 0.25, Failed: 1}, Reload: ReloadStatus{Done: 2, Refused: 1, Restart: []string{"home"}},
		MemoryLimit: 1 << 29, Suppressed: 11,
		Headers: &HeadersStatus{Lines: 28, Files: 29, Bytes: 30, Limit: 31, Encrypted: true, Frames: 32, Aged: 33, Requests: 34, Refused: 35, Sent: 36},
		Hub: &HubStatus{Address: "hub:7443", Sensor: "north", State: "closed", LastAck: &at, Waiting: 12, Bytes: 1300, Limit: 1 << 28, Acked: 14, Superseded: 15,
			Dropped: []Dropped{{"limit", 16}, {"space", 17}}, Attempts: 18, Failed: 19, Busy: 20, SentBytes: 21, Clock: &ClockStatus{Ahead: -0.5, Uncertainty: 0.1},
			Policy: 22, Catalogue: 23, PackRefused: 24, CertificateUntil: at, Renewals: 25, RenewFailed: 26, Controllers: 27},
	}
}

// What monitoring relies on does not change by accident.
func TestMetrics(t *testing.T) {
	const name = "testdata/metrics.txt"
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newCollector(snapshot))
	w := httptest.NewRecorder()
	(&pages{registry: r}).handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	got := w.Body.String()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("go test ./sensor -update writes it anew:\n%s", diff)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
	for _, m := range Metrics() {
		if !strings.Contains(got, "\n"+m.Name) {
			t.Errorf("%s has no value", m.Name)
		}
	}
	if _, err := registry(func() Status { return Status{} }).Gather(); err != nil {
		t.Error(err)
	}
}

// The table of metrics in docs/simtrapd.md is made from the code.
func TestTableOfMetrics(t *testing.T) {
	const name, begin, end = "../docs/simtrapd.md", "<!-- metrics: made by go test ./sensor -update -->\n", "<!-- end of metrics -->\n"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("no place for the table")
	}
	var table strings.Builder
	table.WriteString("| metric | labels | meaning |\n|---|---|---|\n")
	for _, m := range Metrics() {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", m.Name, strings.Join(m.Labels, ", "), m.Help)
	}
	want := before + begin + table.String() + end + after
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(b), want); diff != "" {
		t.Errorf("go test ./sensor -update writes it anew:\n%s", diff)
	}
}

// Profiles and the status are for this machine alone, whatever else is open.
func TestPages(t *testing.T) {
	profiles, sick := true, error(nil)
	h := (&pages{snapshot: snapshot, healthy: func() error { return sick }, ready: func() error { return errors.New("starting") },
		profiles: func() bool { return profiles }, registry: prometheus.NewRegistry()}).handler()
	get := func(method, path, from, host string) int {
		r := httptest.NewRequest(method, path, nil)
		r.RemoteAddr, r.Host = from, host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, tt := range []struct {
		method, path, from, host string
		want                     int
	}{
		{"GET", "/debug/pprof/", "127.0.0.1:5", "127.0.0.1:9810", 200},
		{"GET", "/debug/pprof/", "[::1]:5", "localhost:9810", 200},
		{"GET", "/debug/pprof/", "192.0.2.1:5", "127.0.0.1:9810", 403},
		{"GET", "/debug/pprof/", "127.0.0.1:5", "evil.example:9810", 403},
		{"GET", "/debug/pprof/", "@", "localhost", 403}, // no socket behind it
		{"GET", "/status", "127.0.0.1:5", "[::1]:9810", 200},
		{"GET", "/status", "198.51.100.1:5", "198.51.100.2:9810", 403},
		{"POST", "/status", "127.0.0.1:5", "localhost", 405},
		{"GET", "/metrics", "192.0.2.1:5", "sensor:9810", 200},
		{"GET", "/healthz", "192.0.2.1:5", "sensor:9810", 200},
		{"GET", "/readyz", "192.0.2.1:5", "sensor:9810", 503},
		{"GET", "/", "127.0.0.1:5", "localhost", 404},
	} {
		if got := get(tt.method, tt.path, tt.from, tt.host); got != tt.want {
			t.Errorf("%s %s from %s: %d, want %d", tt.method, tt.path, tt.from, got, tt.want)
		}
	}
	profiles, sick = false, errors.New("hangs")
	if got := get("GET", "/debug/pprof/", "127.0.0.1:5", "localhost"); got != 404 {
		t.Errorf("profiles that are not wanted: %d", got)
	}
	if got := get("GET", "/healthz", "127.0.0.1:5", "localhost"); got != 503 {
		t.Errorf("not healthy: %d", got)
	}
}

// A socket that a dead daemon left is taken over; another file is not.
func TestListen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "run", "s.sock")
	s := &server{handler: http.NotFoundHandler()}
	if err := s.listen("unix", name); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix", name); err == nil || !strings.Contains(err.Error(), "another simtrapd") {
		t.Error(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	s.close()
	old, err := listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	old.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false)
	old.Close()
	l, err := listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix", name); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Error(err)
	}
}

func TestOutput(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "f.jsonl")
	if err := os.WriteFile(name, []byte("{\"a\":1}\n{\"tor"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := parsed(t, folder, "ports: [{name: eth1}]\noutput: f.jsonl\nshared: [203.0.113.0/28]\n")
	o, err := openOutput(c, report.Options{Names: ident.NewPseudonymizer(make([]byte, 32), "")}, nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	line := func(last byte) *heuristics.Finding {
		return &heuristics.Finding{Line: ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, last})}, Verdict: heuristics.Case, Proof: true}
	}
	shared := line(7)
	if err := errors.Join(o.Finding(shared), o.Finding(line(100))); err != nil {
		t.Fatal(err)
	}
	if shared.Verdict != heuristics.Case {
		t.Error("the engine's finding was changed")
	}
	if err := errors.Join(o.Close(), o.Close()); err != nil {
		t.Error(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 5 || lines[1] != `{"tor` || !strings.HasPrefix(lines[2], `{"line":"203.0.113.7","verdict":"watch","proof":false`) ||
		!strings.HasPrefix(lines[3], `{"line":"203.0.113.100","verdict":"case","proof":true`) {
		t.Errorf("%q", lines)
	}
	if o.written.Load() != 2 {
		t.Error(o.written.Load())
	}
	full := &Output{options: o.options, stdout: broken{}, log: zap.NewNop(), config: c}
	if full.Finding(line(1)) == nil || full.failed.Load() != 1 {
		t.Error("a finding that was lost is not counted")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space") }

// raw is a frame of raw IPv4, UDP.
func raw(src, dst [4]byte) []byte {
	b := make([]byte, 28)
	b[0], b[3], b[8], b[9] = 0x45, 28, 64, 17
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	b[25] = 8
	return b
}

// given is a source of one batch after the other.
type given []*capture.Batch

func (g *given) Next(context.Context) (*capture.Batch, error) {
	if len(*g) == 0 {
		return nil, io.EOF
	}
	b := (*g)[0]
	*g = (*g)[1:]
	return b, nil
}

func (g *given) Close() error { return nil }

func batch(times []int64, data ...[]byte) *capture.Batch {
	b := capture.NewBatch(nil, nil)
	for i, d := range data {
		b.Frames = append(b.Frames, capture.Frame{Time: times[i], Off: uint32(len(b.Block)), Len: uint32(len(d)), Wire: uint32(len(d)), Link: capture.LinkRaw})
		b.Block = append(b.Block, d...)
	}
	return b
}

func TestNever(t *testing.T) {
	home, far, secret := [4]byte{203, 0, 113, 7}, [4]byte{198, 51, 100, 9}, [4]byte{203, 0, 113, 250}
	fragment := raw(secret, far)
	fragment[6] = 0x20
	src := given{batch([]int64{1, 2, 3, 4, 5}, raw(home, far), raw(secret, far), raw(far, secret), fragment, []byte{1}), batch([]int64{6}, raw(far, home))}
	c := parsed(t, "/", "ports: [{name: eth1}]\nnever: [203.0.113.250]\n")
	p := Port{Name: "eth1", Number: 1, Source: &src}
	m := metered(&p, c.Never)
	var times []int64
	next := uint64(0)
	for {
		b, err := p.Source.Next(t.Context())
		if err != nil {
			break
		}
		if b.Seq != next {
			t.Errorf("frame %d is numbered %d", next, b.Seq)
		}
		next += uint64(len(b.Frames))
		for _, f := range b.Frames {
			times = append(times, f.Time)
		}
	}
	if diff := cmp.Diff([]int64{1, 5, 6}, times); diff != "" {
		t.Error(diff)
	}
	if l := m.losses(); len(l) != 1 || l[0].Count != 3 || m.frames.Load() != 6 || m.last.Load() != 6 {
		t.Errorf("%v, %d frames", l, m.frames.Load())
	}
}

// A source that accounts media itself does so behind the meter too.
func TestMeterPassesIntervals(t *testing.T) {
	p := Port{Source: &kernel{}}
	metered(&p, nil)
	a, ok := p.Source.(accountant)
	if !ok {
		t.Fatal("the intervals are hidden")
	}
	if _, until := a.Intervals(nil); until != 42 {
		t.Error(until)
	}
	if n := p.Source.(pipeline.Sampler).Sampled(); n != 64 {
		t.Errorf("one in %d frames, want 64", n)
	}
	q := Port{Source: &given{}}
	metered(&q, nil)
	if _, ok := q.Source.(accountant); ok {
		t.Error("files do not account media")
	}
}

type kernel struct{ given }

func (*kernel) Sampled() uint32 { return 64 }

func (*kernel) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) { return dst, 42 }

// Files come in the time they were recorded in.
func TestPace(t *testing.T) {
	const header = 24
	file := make([]byte, header)
	binary.LittleEndian.PutUint32(file, 0xa1b2c3d4)
	file[4], file[6] = 2, 4
	binary.LittleEndian.PutUint32(file[16:], 65535)
	binary.LittleEndian.PutUint32(file[20:], 101)
	for i := range uint32(10) {
		for _, v := range []uint32{1782702845 + i, 0, 28, 28} {
			file = binary.LittleEndian.AppendUint32(file, v)
		}
		file = append(file, raw([4]byte{203, 0, 113, 7}, [4]byte{198, 51, 100, 9})...)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.pcap"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	for speed, want := range map[string]time.Duration{"1": 9 * time.Second, "3": 3 * time.Second, "0": 0} {
		synctest.Test(t, func(t *testing.T) {
			c := parsed(t, folder, "ports: [{name: a, files: [a.pcap]}]\ncapture: file\nreplay: {speed: "+speed+"}\n")
			ports, err := Files{}.Open(t.Context(), Attach{Config: c, Log: zap.NewNop()})
			if err != nil {
				t.Fatal(err)
			}
			defer ports[0].Source.Close()
			begin, frames, longest := time.Now(), 0, time.Duration(0)
			for {
				asked := time.Now()
				b, err := ports[0].Source.Next(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				longest = max(longest, time.Since(asked))
				for _, f := range b.Frames {
					frames++
					if f.Port != 1 || b.Source != 1 {
						t.Fatalf("port %d of source %d", f.Port, b.Source)
					}
				}
				b.Release()
			}
			if took := time.Since(begin); frames != 10 || took < want || took > want+20*time.Millisecond || longest > idle+time.Millisecond {
				t.Errorf("speed %s: %d frames in %v, silent for %v", speed, frames, took, longest)
			}
		})
	}
}

// TestRights drops rights in a process of its own, for there is no way back.
func TestRights(t *testing.T) {
	if os.Getenv("SIMTRAP_RIGHTS_CHILD") == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		for _, how := range []string{"keep", "drop", "needs"} {
			c := exec.Command(self, "-test.run=^TestRights$", "-test.v")
			c.Env = append(os.Environ(), "SIMTRAP_RIGHTS_CHILD="+how)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", how, err, out)
			}
		}
		return
	}
	r, err := NewRights()
	if err != nil {
		t.Fatal(err)
	}
	had := r.permitted & attaching
	how := os.Getenv("SIMTRAP_RIGHTS_CHILD")
	stop := make(chan struct{})
	defer close(stop)
	for range 4 { // threads that are not asked
		go func() { <-stop }()
	}
	working := func() error {
		if how == "needs" && r.effective&running == 0 && had != 0 {
			return errors.New("operation not permitted")
		}
		return nil
	}
	kept, err := r.Drop(how != "drop", working)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"keep": had, "drop": 0, "needs": had}[how]
	effective := uint64(0)
	if how == "needs" {
		effective = had & running
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skip("no /proc")
	}
	check := func(what string, effective uint64) {
		t.Helper()
		for _, task := range tasks {
			b, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
			if err != nil {
				continue
			}
			for _, line := range []string{fmt.Sprintf("CapPrm:\t%016x\n", want), fmt.Sprintf("CapEff:\t%016x\n", effective), "CapInh:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
				if !strings.Contains(string(b), line) {
					t.Errorf("%s: thread %s has no %s in\n%s", what, task.Name(), line, b)
				}
			}
		}
	}
	check("dropped", effective)
	if len(kept) != len(names(effective)) {
		t.Errorf("%v", kept)
	}
	err = r.With(func() error { check("lifted", want); return nil })
	if (err == nil) != (want != 0) {
		t.Error(err)
	}
	check("back", effective)
}
