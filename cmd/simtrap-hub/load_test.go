package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
	"simtrap/report/reportpb"
	"simtrap/report/reportpb/reportpbconnect"
)

// load is what a hub is loaded with. The variables SIMTRAP_LOAD_SENSORS, _RATE
// (findings a second, 0 for as many as it takes), _BATCH, _SENDERS, _FOR and _STORE
// change it; make bench-hub sets them.
type load struct {
	sensors, rate, batch, senders int
	d                             time.Duration
	store                         string
}

func loadFromEnv(t *testing.T) load {
	l := load{sensors: 20, rate: 400, batch: 50, senders: 8, d: 2 * time.Second, store: os.Getenv("SIMTRAP_LOAD_STORE")}
	for name, v := range map[string]*int{"SENSORS": &l.sensors, "RATE": &l.rate, "BATCH": &l.batch, "SENDERS": &l.senders} {
		if s := os.Getenv("SIMTRAP_LOAD_" + name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			*v = n
		}
	}
	if s := os.Getenv("SIMTRAP_LOAD_FOR"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		l.d = d
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

// revision is a finding of about the size of one at review: 40 rows of the ledger,
// standings against ten classes.
func revision(r *mrand.Rand, seq uint64, sensor, line int) *reportpb.Record {
	at := timestamppb.New(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	f := &reportpb.Finding{
		Line: fmt.Sprintf("10.%d.%d.%d", line>>16&0xff, line>>8&0xff, line&0xff), Verdict: reportpb.Verdict(1 + r.IntN(3)),
		Score: proto.Float64(float64(r.IntN(20000)) / 1000), Margin: proto.Float64(float64(r.IntN(8000)) / 1000), Nearest: "pbx-trunk",
		Device:      &reportpb.Device{Vendor: "maker", Model: "model 8", Channels: 8},
		Controllers: []*reportpb.Controller{{Addr: fmt.Sprintf("198.18.%d.%d", r.IntN(64), r.IntN(256)), Role: "trunk-peer"}},
		Calls:       &reportpb.Calls{Inbound: 100, Answered: 60}, FirstSeen: at, LastSeen: timestamppb.New(at.AsTime().Add(time.Duration(r.IntN(86400)) * time.Second)),
		Links: &reportpb.Links{Accounts: []string{fmt.Sprintf("~%016x", r.Uint64())}, Stack: fmt.Sprintf("%016x", r.IntN(50)), Contact: fmt.Sprintf("~%016x", r.Uint64())},
	}
	for i := range 40 {
		f.Signals = append(f.Signals, &reportpb.Signal{Id: fmt.Sprint("signal-", i), Family: fmt.Sprint("family-", i%8), Nats: proto.Float64(float64(r.IntN(3000)) / 1000), Against: "home", Detail: fmt.Sprintf("%d of %d calls went to ever-new mobiles", r.IntN(200), 200)})
	}
	x := &reportpb.FindingRevision{Id: make([]byte, 16), Revision: seq, EpochStart: at, Catalogue: 1, Finding: f}
	binary.BigEndian.PutUint32(x.Id, uint32(sensor))
	binary.BigEndian.PutUint32(x.Id[12:], uint32(line))
	for i := range 10 {
		s := &reportpb.Standing{Class: fmt.Sprint("class-", i), Margin: float64(r.IntN(5000)) / 1000}
		for j := range 8 {
			s.Families = append(s.Families, &reportpb.FamilyNats{Family: fmt.Sprint("family-", j), Nats: float64(r.IntN(2000)) / 1000})
		}
		x.Standings = append(x.Standings, s)
	}
	return &reportpb.Record{Sequence: seq, KeyEpoch: 1, Kind: &reportpb.Record_Finding{Finding: x}}
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
	folder, h, s := madeHub(t, l.store)
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
	var open atomic.Int64
	for _, m := range fleet {
		following.Go(func() {
			w, err := fleetpbconnect.NewFleetServiceClient(m.client(p.address), "https://"+p.address, connect.WithGRPC()).WatchPolicy(ctx, connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			for first := true; w.Receive(); first = false {
				if first {
					open.Add(1)
				}
			}
		})
	}
	for deadline := time.Now().Add(3 * time.Minute); open.Load() < int64(len(fleet)); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d sensors follow their policy", open.Load(), len(fleet))
		}
	}
	_, idle := p.memory(t)

	// Each sender has its own sensors, since one's batches come one after another.
	var mu sync.Mutex
	var waits []time.Duration
	var findings atomic.Int64
	var sending sync.WaitGroup
	began := time.Now()
	end := began.Add(l.d)
	for k := range l.senders {
		sending.Go(func() {
			r := mrand.New(mrand.NewPCG(uint64(k), 7))
			e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithEncoderLevel(zstd.SpeedFastest))
			if err != nil {
				t.Error(err)
				return
			}
			defer e.Close()
			var own []time.Duration
			for i := 0; ; i++ {
				which := (k + i*l.senders) % len(fleet)
				if len(fleet) >= l.senders {
					which = k + (i%(len(fleet)/l.senders))*l.senders
				}
				m := fleet[which]
				first := m.seq + 1
				b := &reportpb.Batch{}
				for range l.batch {
					m.seq++
					b.Records = append(b.Records, revision(r, m.seq, which, int(m.seq)))
				}
				plain, err := proto.Marshal(b)
				if err != nil {
					t.Error(err)
					return
				}
				body := e.EncodeAll(plain, nil)
				if l.rate > 0 {
					due := began.Add(time.Duration((i*l.senders+k)*l.batch) * time.Second / time.Duration(l.rate))
					time.Sleep(time.Until(due))
				}
				if time.Now().After(end) {
					break
				}
				for {
					at := time.Now()
					a, err := m.reports(p.address).Send(ctx, connect.NewRequest(&reportpb.SendRequest{Epoch: 5, FirstSequence: first, LastSequence: m.seq, Content: &reportpb.SendRequest_BatchZstd{BatchZstd: body}}))
					if connect.CodeOf(err) == connect.CodeResourceExhausted {
						time.Sleep(100 * time.Millisecond)
						continue
					}
					if err != nil || a.Msg.GetAckedSequence() != m.seq {
						t.Errorf("%s: %v, %v", m.name, a, err)
						return
					}
					own = append(own, time.Since(at))
					break
				}
				findings.Add(int64(l.batch))
			}
			mu.Lock()
			waits = append(waits, own...)
			mu.Unlock()
		})
	}
	sending.Wait()
	took := time.Since(began)
	peak, now := p.memory(t)
	queued, err := s.Queued(t.Context())
	if err != nil {
		t.Error(err)
	}
	cancel()
	following.Wait()
	for _, m := range fleet {
		m.client(p.address).CloseIdleConnections()
	}
	p.terminate(t)
	if len(waits) == 0 {
		t.Fatal("nothing was sent")
	}
	slices.Sort(waits)
	at := func(q float64) time.Duration {
		return waits[min(len(waits)-1, int(q*float64(len(waits))))].Round(100 * time.Microsecond)
	}
	t.Logf("%d findings in %v: %.0f a second, in batches of %d", findings.Load(), took.Round(time.Millisecond), float64(findings.Load())/took.Seconds(), l.batch)
	t.Logf("acknowledged: half within %v, 99 of 100 within %v, all within %v", at(.5), at(.99), at(1))
	t.Logf("memory: %d MiB with %d sensors connected and idle, %d MiB at most, %d MiB at the end; %d tenancies wait to be linked", idle, len(fleet), peak, now, queued)
	c, err := s.Census(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := c.None + c.Watch + c.Review + c.Case; l.store == "" && n != uint64(findings.Load()) {
		t.Errorf("%d findings stored, %d acknowledged", n, findings.Load())
	}
}
