package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/hub/store/storetest"
	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
	"simtrap/report/reportpb"
	"simtrap/report/reportpb/reportpbconnect"
)

// load is what a hub is loaded with. The variables SIMTRAP_LOAD_SENSORS, _RATE
// (findings a second, 0 for as many as it takes), _BATCH, _SENDERS, _FOR, _WARM
// (what is sent before that counts for nothing but the line that tells of it; 0), _NEW (of a
// hundred findings those that are new, the others are revisions), _CALLS (of a hundred
// records those that are calls), _STORE and _FOLDER
// change it; make bench-hub sets some. _STORED says how many findings the store in
// _FOLDER or _STORE was filled with by the benchmark of hub/store earlier on the same
// day. _MOST is how many a second are made where as many are sent as it takes.
// _PROFILE is a file for the hub's processor profile.
type load struct {
	sensors, rate, batch, senders, fresh, calls, stored, most int
	d, warm                                                   time.Duration
	store, folder                                             string
}

func loadFromEnv(t *testing.T) load {
	l := load{sensors: 20, rate: 400, batch: 50, senders: 8, fresh: 100, most: 5000, d: 2 * time.Second, store: os.Getenv("SIMTRAP_LOAD_STORE"), folder: os.Getenv("SIMTRAP_LOAD_FOLDER")}
	for name, v := range map[string]*int{"SENSORS": &l.sensors, "RATE": &l.rate, "BATCH": &l.batch, "SENDERS": &l.senders, "NEW": &l.fresh, "CALLS": &l.calls, "STORED": &l.stored, "MOST": &l.most} {
		if s := os.Getenv("SIMTRAP_LOAD_" + name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			*v = n
		}
	}
	for name, v := range map[string]*time.Duration{"FOR": &l.d, "WARM": &l.warm} {
		if s := os.Getenv("SIMTRAP_LOAD_" + name); s != "" {
			d, err := time.ParseDuration(s)
			if err != nil {
				t.Fatal(err)
			}
			*v = d
		}
	}
	return l
}

// process is a hub that runs as a program of its own.
type process struct {
	cmd     *exec.Cmd
	address string
	log     string
}

// launchHub starts one, and does not wait until it serves.
func launchHub(t *testing.T, folder string, args ...string) *process {
	t.Helper()
	p := &process{log: filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command("simtrap-hub", append([]string{"serve", "-d", folder, "--listen", "127.0.0.1:0", "--metrics", "none", "--log-format", "json"}, args...)...)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	return p
}

func startHub(t *testing.T, folder string, args ...string) *process {
	t.Helper()
	p := launchHub(t, folder, args...)
	p.serving(t)
	return p
}

// serving waits until it serves.
func (p *process) serving(t *testing.T) {
	t.Helper()
	p.address = p.told(t, "serving")
}

// metrics is where its metrics and its health are.
func (p *process) metrics(t *testing.T) string {
	t.Helper()
	return p.told(t, "metrics")
}

// told waits until the log says where something is, and gives it.
func (p *process) told(t *testing.T, what string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(p.log)
		if _, rest, ok := bytes.Cut(b, []byte(`"msg":"`+what+`","on":"`)); ok {
			address, _, _ := bytes.Cut(rest, []byte(`"`))
			return string(address)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the hub does not serve: %s", b)
		}
	}
}

// kill ends it as it is (SIGKILL); before that it must not have ended by itself.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		b, _ := os.ReadFile(p.log)
		t.Fatalf("the hub ended by itself: %v: %s", err, b)
	}
}

func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		b, _ := os.ReadFile(p.log)
		t.Errorf("the hub ended with %v: %s", err, b)
	}
}

// memory is the most that it had in memory, in MiB, and what it has now.
func (p *process) memory(t *testing.T) (peak, now int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Log(err)
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			peak = kib >> 10
		}
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			now = kib >> 10
		}
	}
	return peak, now
}

// member is a sensor of the fleet.
type member struct {
	name    string
	config  *tls.Config
	clients sync.Map // by address
	seq     uint64
}

func (m *member) client(address string) *http.Client {
	if c, ok := m.clients.Load(address); ok {
		return c.(*http.Client)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	c, _ := m.clients.LoadOrStore(address, &http.Client{Transport: &http.Transport{TLSClientConfig: m.config, Protocols: protocols}})
	return c.(*http.Client)
}

func (m *member) reports(address string) reportpbconnect.ReportServiceClient {
	return reportpbconnect.NewReportServiceClient(m.client(address), "https://"+address, connect.WithGRPC())
}

// enrollAll admits sensors past the door, which bounds how many come from one
// address.
func enrollAll(t *testing.T, s *store.Store, h *trust.Trust, n int) []*member {
	t.Helper()
	pool := x509.NewCertPool()
	root, err := x509.ParseCertificate(h.Roots()[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(root)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	var list []*member
	for i := range n {
		m := &member{name: fmt.Sprintf("sensor-%04d", i), config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
		_, hash := h.NewToken()
		now := time.Now()
		if err := s.AddToken(t.Context(), store.Token{Hash: hash, Sensor: m.name, By: "test", Made: now, Expires: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TakeToken(t.Context(), hash, now, func(name string) (store.Admission, error) {
			c, err := h.Issue(csr, name)
			if err != nil {
				return store.Admission{}, err
			}
			m.config.Certificates = []tls.Certificate{{Certificate: c.Chain, PrivateKey: key}}
			return store.Admission{Sensor: c.Sensor, Serial: c.Serial, Key: c.Key, Given: c.Given, Ends: c.Ends}, nil
		}); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

// made gives a hub's folder, opened as well.
func madeHub(t *testing.T, url string) (string, *trust.Trust, *store.Store) {
	t.Helper()
	return madeHubIn(t, filepath.Join(t.TempDir(), "hub"), url)
}

func madeHubIn(t *testing.T, folder, url string) (string, *trust.Trust, *store.Store) {
	t.Helper()
	if err := trust.Init(folder, trust.Making{Names: []string{"localhost", "127.0.0.1"}, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	h, err := trust.Open(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{Folder: folder, URL: url, HubKey: h.HubKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return folder, h, s
}

// A hub as it is deployed, with sensors that follow their policy and report: how
// soon batches are acknowledged, and what memory it takes.
func TestLoad(t *testing.T) {
	l := loadFromEnv(t)
	var folder string
	var h *trust.Trust
	var s *store.Store
	// Sensors of whom there are findings, and of each how many are stored.
	known, reported := l.sensors, 0
	if l.stored == 0 {
		folder, h, s = madeHub(t, l.store)
	} else {
		folder, h, s = filledHub(t, l)
		if l.sensors > storetest.FleetSize {
			t.Fatalf("the filled store knows %d sensors", storetest.FleetSize)
		}
		known, reported = storetest.FleetSize, l.stored/storetest.FleetSize
	}
	reports, err := storetest.NewReports("../../cases", known, max(l.stored, 100_000), time.Now().Truncate(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.Census(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// No finding of today is new twice.
	fresh := 10_000 + int(time.Now().Unix()/10%8640)*200
	args := []string{"--sensor-records", "1000000"}
	if l.store != "" {
		args = append(args, "--store", l.store)
	}
	p := startHub(t, folder, args...)
	started := time.Now()
	fleet := enrollAll(t, s, h, l.sensors)
	t.Logf("%d sensors enrolled in %v", len(fleet), time.Since(started).Round(time.Millisecond))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var following sync.WaitGroup
	var open, again atomic.Int64
	var lastRefusal atomic.Value
	for _, m := range fleet {
		following.Go(func() {
			// All come at once: who is refused comes again, as a sensor does.
			for followed := false; !followed && ctx.Err() == nil; {
				w, err := fleetpbconnect.NewFleetServiceClient(m.client(p.address), "https://"+p.address, connect.WithGRPC()).WatchPolicy(ctx, connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
				if err == nil {
					for w.Receive() {
						if !followed {
							followed = true
							open.Add(1)
						}
					}
					err = w.Err()
					w.Close()
				}
				if !followed && ctx.Err() == nil {
					again.Add(1)
					lastRefusal.Store(fmt.Sprint(err))
					time.Sleep(time.Second)
				}
			}
		})
	}
	for deadline := time.Now().Add(3 * time.Minute); open.Load() < int64(len(fleet)); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d sensors follow their policy, after %d refusals, the last %v", open.Load(), len(fleet), again.Load(), lastRefusal.Load())
		}
	}
	_, idle := p.memory(t)
	// Every hour a sensor tells of the controllers that it saw.
	var telling sync.WaitGroup
	for i, m := range fleet {
		telling.Go(func() {
			r := &reportpb.ControllerSketch{Hour: timestamppb.New(time.Now().Truncate(time.Hour)), Controllers: []*reportpb.ControllerHour{reports.Controller(i)}}
			if _, err := s.Ingest(t.Context(), store.Delivery{Sensor: m.name, Epoch: 4, First: 1, Last: 1, Records: []*reportpb.Record{{Sequence: 1, Kind: &reportpb.Record_Controllers{Controllers: r}}}}); err != nil {
				t.Error(err)
			}
		})
	}
	telling.Wait()
	t.Logf("all follow their policy and have told of controllers after %v and %d refusals", time.Since(started).Round(time.Millisecond), again.Load())

	// Somebody looks at lists meanwhile.
	var looks []time.Duration
	looking := make(chan struct{})
	go func() {
		defer close(looking)
		for ctx.Err() == nil {
			for _, f := range []store.Filter{{}, {MinVerdict: reportpb.Verdict_VERDICT_REVIEW}, {Lines: []store.LineMatch{{Name: reports.Line(7).String()}}}} {
				at := time.Now()
				if _, err := s.Findings(ctx, f, store.Page{Size: 100}); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				looks = append(looks, time.Since(at))
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()

	// What will be sent is made before: sensors make it on machines of their own. Each
	// sender has its own sensors, since one's batches come one after another.
	type parcel struct {
		m           *member
		first, last uint64
		body        []byte
		told        int
	}
	most := l.rate
	if most == 0 {
		most = l.most
	}
	parcels := make([][]parcel, l.senders)
	latest := uint64(time.Now().UnixNano())
	var making sync.WaitGroup
	for k := range parcels {
		making.Go(func() {
			// Other findings in each run: those of the last would still be in memory.
			r := mrand.New(mrand.NewPCG(uint64(k), uint64(fresh)))
			e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithEncoderLevel(zstd.SpeedFastest))
			if err != nil {
				t.Error(err)
				return
			}
			defer e.Close()
			for i := range int((l.warm+l.d).Seconds()*float64(most))/l.batch/l.senders + 1 {
				which := (k + i*l.senders) % len(fleet)
				if len(fleet) >= l.senders {
					which = k + (i%(len(fleet)/l.senders))*l.senders
				}
				m := fleet[which]
				x := parcel{m: m, first: m.seq + 1}
				b := &reportpb.Batch{}
				for range l.batch {
					m.seq++
					n, revision := fresh+int(m.seq), uint64(1)
					if reported > 0 && r.IntN(100) >= l.fresh {
						n, revision = r.IntN(reported), latest+m.seq
					}
					if r.IntN(100) < l.calls {
						b.Records = append(b.Records, &reportpb.Record{Sequence: m.seq, KeyEpoch: 1,
							Kind: &reportpb.Record_Call{Call: reports.Call((fresh+int(x.first))*known+which, uint64(which)<<32|m.seq)}})
						continue
					}
					x.told++
					b.Records = append(b.Records, &reportpb.Record{Sequence: m.seq, KeyEpoch: 1,
						Kind: &reportpb.Record_Finding{Finding: reports.Revision(n*known+which, revision)}})
				}
				plain, err := proto.Marshal(b)
				if err != nil {
					t.Error(err)
					return
				}
				x.body, x.last = e.EncodeAll(plain, nil), m.seq
				parcels[k] = append(parcels[k], x)
			}
		})
	}
	making.Wait()
	runtime.GC()

	var mu sync.Mutex
	var waits, warming []time.Duration
	var findings, records, sent, out atomic.Int64
	var sending sync.WaitGroup
	made := processor(os.Getpid())
	began := time.Now()
	counts := began.Add(l.warm)
	end := counts.Add(l.d)
	for k := range l.senders {
		sending.Go(func() {
			var own, before []time.Duration
			for i, x := range parcels[k] {
				if l.rate > 0 {
					due := began.Add(time.Duration((i*l.senders+k)*l.batch) * time.Second / time.Duration(l.rate))
					if due.After(end) {
						break
					}
					time.Sleep(time.Until(due))
				}
				if time.Now().After(end) {
					break
				}
				if l.rate == 0 && i == len(parcels[k])-1 {
					out.Add(1)
				}
				at := time.Now()
				for {
					a, err := x.m.reports(p.address).Send(ctx, connect.NewRequest(&reportpb.SendRequest{Epoch: 5, FirstSequence: x.first, LastSequence: x.last, Content: &reportpb.SendRequest_BatchZstd{BatchZstd: x.body}}))
					if connect.CodeOf(err) == connect.CodeResourceExhausted {
						time.Sleep(100 * time.Millisecond)
						continue
					}
					if err != nil || a.Msg.GetAckedSequence() != x.last {
						t.Errorf("%s: %v, %v", x.m.name, a, err)
						return
					}
					break
				}
				findings.Add(int64(x.told))
				sent.Add(int64(l.batch))
				if at.Before(counts) {
					before = append(before, time.Since(at))
					continue
				}
				own = append(own, time.Since(at))
				records.Add(int64(l.batch))
			}
			mu.Lock()
			waits = append(waits, own...)
			warming = append(warming, before...)
			mu.Unlock()
		})
	}
	sending.Wait()
	took := time.Since(counts)
	peak, now := p.memory(t)
	hub, own := processor(p.cmd.Process.Pid), processor(os.Getpid())-made
	queued, err := s.Queued(t.Context())
	if err != nil {
		t.Error(err)
	}
	cancel()
	following.Wait()
	<-looking
	for _, m := range fleet {
		m.client(p.address).CloseIdleConnections()
	}
	p.terminate(t)
	if len(waits) == 0 {
		t.Fatal("nothing was sent")
	}
	slices.Sort(waits)
	slices.Sort(looks)
	at := func(q float64) time.Duration {
		return waits[min(len(waits)-1, int(q*float64(len(waits))))].Round(100 * time.Microsecond)
	}
	t.Logf("processor: the hub %v from its beginning on, sensors %v from when they sent", hub, own)
	if n := out.Load(); n > 0 {
		t.Errorf("%d of %d senders had sent all that was made for them: ask for more a second than %d (SIMTRAP_LOAD_MOST)", n, l.senders, l.most)
	}
	t.Logf("%d lists of 100 rows: half within %v, 99 of 100 within %v", len(looks), looks[len(looks)/2].Round(100*time.Microsecond), looks[len(looks)*99/100].Round(100*time.Microsecond))
	t.Logf("%d records in %v: %.0f a second, in batches of %d; of all sent, %d, %d were findings", records.Load(), took.Round(time.Millisecond), float64(records.Load())/took.Seconds(), l.batch, sent.Load(), findings.Load())
	if len(warming) > 0 {
		t.Logf("in the first %v, which counts for nothing else here, all within %v", l.warm, slices.Max(warming).Round(100*time.Microsecond))
	}
	t.Logf("acknowledged: half within %v, 99 of 100 within %v, all within %v", at(.5), at(.99), at(1))
	t.Logf("memory: %d MiB with %d sensors connected and idle, %d MiB at most, %d MiB at the end; %d tenancies wait to be linked", idle, len(fleet), peak, now, queued)
	c, err := s.Census(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := c.None + c.Watch + c.Review + c.Case - before.None - before.Watch - before.Review - before.Case
	if l.fresh == 100 && n != uint64(findings.Load()) {
		t.Errorf("%d findings stored, %d acknowledged", n, findings.Load())
	}
}
