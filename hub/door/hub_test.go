package door

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
	"simtrap/report/reportpb"
	"simtrap/report/reportpb/reportpbconnect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a store that a test can make slow.
type watched struct {
	*store.Store
	mu     sync.Mutex
	before func(context.Context) error // of Ingest
	looks  atomic.Int64                // at whether it is ready
	asked  atomic.Int64                // whether headers are wanted
}

func (w *watched) NextEvidence(ctx context.Context, sensor string, now time.Time) (store.Evidence, error) {
	w.asked.Add(1)
	return w.Store.NextEvidence(ctx, sensor, now)
}

func (w *watched) Ready(ctx context.Context) error {
	w.looks.Add(1)
	return w.Store.Ready(ctx)
}

func (w *watched) Ingest(ctx context.Context, d store.Delivery) (store.Receipt, error) {
	w.mu.Lock()
	before := w.before
	w.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return store.Receipt{}, err
		}
	}
	return w.Store.Ingest(ctx, d)
}

// hub is one that runs.
type hub struct {
	t     *testing.T
	trust *trust.Trust
	store *watched
	door  *Door
	reg   *prometheus.Registry
	url   string
	stop  func() error

	mu sync.Mutex
	at time.Duration // by how much the hub's clock is moved
}

func (h *hub) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.at)
}

func (h *hub) move(d time.Duration) {
	h.mu.Lock()
	h.at += d
	h.mu.Unlock()
}

// run starts a hub with a store of its own.
func run(t *testing.T, o Options) *hub {
	t.Helper()
	h := &hub{t: t, reg: prometheus.NewRegistry()}
	folder := filepath.Join(t.TempDir(), "hub")
	if err := trust.Init(folder, trust.Making{Names: []string{"localhost", "127.0.0.1"}, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.trust, err = trust.Open(folder, h.now); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{Folder: folder, HubKey: h.trust.HubKey(), Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	h.store = &watched{Store: s}
	o.Store, o.Trust, o.Now, o.Registry = h.store, h.trust, h.now, h.reg
	if o.Policy == 0 {
		o.Policy = 30 * time.Millisecond
	}
	if h.door, err = New(o); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.url = "https://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.door.Serve(ctx, l) }()
	h.stop = sync.OnceValue(func() error { cancel(); return <-served })
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
		h.door.Close()
		if err := s.Close(); err != nil {
			t.Errorf("store: %v", err)
		}
	})
	return h
}

// refused gives what the counter of refusals says.
func (h *hub) refused(reason string) int {
	h.t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "simtrap_hub_refused_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == reason {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

// appliance is a sensor, or who would be one.
type appliance struct {
	h     *hub
	key   crypto.Signer
	chain [][]byte
	http  *http.Client
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func request(t *testing.T, key crypto.Signer, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// client speaks HTTP/2 with a certificate, or none.
func (h *hub) client(chain [][]byte, key crypto.Signer) *http.Client {
	pool := x509.NewCertPool()
	root, err := x509.ParseCertificate(h.trust.Roots()[0])
	if err != nil {
		h.t.Fatal(err)
	}
	pool.AddCert(root)
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, Time: h.now}
	if chain != nil {
		// Whatever authorities the hub says it takes.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: chain, PrivateKey: key}, nil
		}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	tr := &http.Transport{TLSClientConfig: config, Protocols: protocols}
	h.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// token lets a name be enrolled.
func (h *hub) token(name string) string {
	h.t.Helper()
	text, hash := h.trust.NewToken()
	if err := h.store.AddToken(h.t.Context(), store.Token{Hash: hash, Sensor: name, By: "root", Made: h.now(), Expires: h.now().Add(trust.TokenLife)}); err != nil {
		h.t.Fatal(err)
	}
	return text
}

func (h *hub) fleet(c *http.Client, o ...connect.ClientOption) fleetpbconnect.FleetServiceClient {
	return fleetpbconnect.NewFleetServiceClient(c, h.url, append([]connect.ClientOption{connect.WithGRPC()}, o...)...)
}

// enrolled admits a sensor as it would itself.
func (h *hub) enrolled(name string) *appliance {
	h.t.Helper()
	a := &appliance{h: h, key: newKey(h.t)}
	m, err := h.fleet(h.client(nil, nil)).Enroll(h.t.Context(), connect.NewRequest(&fleetpb.EnrollRequest{Token: h.token(name), Csr: request(h.t, a.key, &x509.CertificateRequest{}), Version: "test"}))
	if err != nil {
		h.t.Fatal(err)
	}
	if m.Msg.GetSensor() != name {
		h.t.Fatalf("enrolled as %q", m.Msg.GetSensor())
	}
	a.chain = m.Msg.GetCertificates()
	a.http = h.client(a.chain, a.key)
	return a
}

func (a *appliance) reports(o ...connect.ClientOption) reportpbconnect.ReportServiceClient {
	return reportpbconnect.NewReportServiceClient(a.http, a.h.url, append([]connect.ClientOption{connect.WithGRPC()}, o...)...)
}

func (a *appliance) fleet() fleetpbconnect.FleetServiceClient { return a.h.fleet(a.http) }

func (a *appliance) headers() fleetpbconnect.HeadersServiceClient {
	return fleetpbconnect.NewHeadersServiceClient(a.http, a.h.url, connect.WithGRPC())
}

// send sends records as they are, and gives what the hub answers.
func (a *appliance) send(records ...*reportpb.Record) (*reportpb.SendResponse, error) {
	m, err := a.reports().Send(a.h.t.Context(), connect.NewRequest(plainBatch(records...)))
	if err != nil {
		return nil, err
	}
	return m.Msg, nil
}

const outboxEpoch = 77

func plainBatch(records ...*reportpb.Record) *reportpb.SendRequest {
	m := &reportpb.SendRequest{Epoch: outboxEpoch, SentAt: timestamppb.Now(), Content: &reportpb.SendRequest_Batch{Batch: &reportpb.Batch{Records: records}}}
	if len(records) > 0 {
		m.FirstSequence, m.LastSequence = records[0].GetSequence(), records[len(records)-1].GetSequence()
	}
	return m
}

func packedBatch(t *testing.T, b proto.Message, o ...zstd.EOption) []byte {
	t.Helper()
	plain, err := proto.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return packed(t, plain, o...)
}

func packed(t *testing.T, plain []byte, o ...zstd.EOption) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithWindowSize(maxWindow)}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(plain, nil)
}

// finding is a record of one.
func finding(seq uint64, id byte, revision uint64, line string) *reportpb.Record {
	at := timestamppb.New(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	return &reportpb.Record{Sequence: seq, KeyEpoch: 1, Kind: &reportpb.Record_Finding{Finding: &reportpb.FindingRevision{
		Id: append(make([]byte, 15), id), Revision: revision, EpochStart: at, Catalogue: 1,
		Finding: &reportpb.Finding{Line: line, Verdict: reportpb.Verdict_VERDICT_WATCH, Score: proto.Float64(4), Margin: proto.Float64(3), Nearest: "pbx", Device: &reportpb.Device{}, Calls: &reportpb.Calls{}, Links: &reportpb.Links{}, FirstSeen: at, LastSeen: at},
	}}}
}

// files writes what other programs than this one speak to the hub with.
func (a *appliance) files() (cert, key, ca string) {
	t := a.h.t
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, blocks ...[]byte) string {
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})...)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return write("cert.pem", "CERTIFICATE", a.chain...), write("key.pem", "PRIVATE KEY", der), write("ca.pem", "CERTIFICATE", a.h.trust.Roots()...)
}

// cutOff wants a failed handshake. In TLS 1.3 the client may be writing already
// when it is told, and which write meets that decides what it calls it.
func cutOff(t *testing.T, what string, err error) {
	t.Helper()
	if c := connect.CodeOf(err); err == nil || c != connect.CodeUnavailable && c != connect.CodeCanceled {
		t.Errorf("%s: %v, want a connection that fails", what, err)
	}
}

func code(t *testing.T, what string, err error, want connect.Code) {
	t.Helper()
	if got := connect.CodeOf(err); err == nil || got != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
