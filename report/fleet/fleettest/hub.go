// Package fleettest is a centre in memory for tests of what speaks to one: real
// TLS, real certificates, and everything that it was sent.
package fleettest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
	"simtrap/report/reportpb"
	"simtrap/report/reportpb/reportpbconnect"
)

// Hub is a centre. What is exported is set before Start.
type Hub struct {
	// Life of the certificates that it gives; an hour.
	Life time.Duration
	// Answer, which may be nil, is asked before a batch is kept: an error is the
	// answer then. After is asked when it is kept; then an error loses the answer.
	Answer, After func(sensor string, records []*reportpb.Record) error
	// RetryAfter is asked for with each answer, in milliseconds.
	RetryAfter uint32

	ca      *x509.Certificate
	caKey   *ecdsa.PrivateKey
	signing ed25519.PrivateKey
	keys    []*fleetpb.FleetKey

	mu      sync.Mutex
	tokens  map[string]string // to the name that they admit
	revoked map[string]bool
	policy  *fleetpb.Policy
	changed chan struct{} // closed when the policy changes
	kept    map[Key]*reportpb.Record
	batches int
	addr    string
	server  *http.Server
	conns   map[net.Conn]bool
	done    chan struct{}
}

// Key is what an acknowledgement is by.
type Key struct {
	Sensor   string
	Epoch    uint64
	Sequence uint64
}

// New makes a centre with an authority of its own.
func New() (*Hub, error) {
	h := &Hub{Life: time.Hour, tokens: make(map[string]string), revoked: make(map[string]bool), changed: make(chan struct{}), kept: make(map[Key]*reportpb.Record), conns: make(map[net.Conn]bool)}
	var err error
	if h.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "test hub"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, h.caKey.Public(), h.caKey)
	if err != nil {
		return nil, err
	}
	if h.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if _, h.signing, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	h.AddKey(time.Now().Add(-24*time.Hour), 365*24*time.Hour)
	return h, nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // never fails
	}
	return n
}

// AddKey adds a fleet key.
func (h *Hub) AddKey(from time.Time, life time.Duration) {
	key := make([]byte, 32)
	rand.Read(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = append(h.keys, &fleetpb.FleetKey{Epoch: uint32(len(h.keys) + 1), Key: key, NotBefore: timestamppb.New(from), NotAfter: timestamppb.New(from.Add(life))})
}

// Keys gives the fleet keys.
func (h *Hub) Keys() []*fleetpb.FleetKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.keys)
}

// Token makes one that admits a name once.
func (h *Hub) Token(name string) string {
	sum := sha256.Sum256(h.ca.RawSubjectPublicKeyInfo)
	secret := make([]byte, 16)
	rand.Read(secret)
	t := "st1-" + hex.EncodeToString(sum[:16]) + "-" + hex.EncodeToString(secret)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[t] = name
	return t
}

// Revoke turns a sensor away from now on.
func (h *Hub) Revoke(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revoked[name] = true
}

// Start listens on an address of this machine; an empty one is any free port, or
// where it was before.
func (h *Hub) Start() error {
	addr := h.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := h.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key.Public())
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(h.ca)
	mux := http.NewServeMux()
	mux.Handle(reportpbconnect.NewReportServiceHandler(reports{h}))
	mux.Handle(fleetpbconnect.NewFleetServiceHandler(fleets{h}))
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), stateKey{}, r.TLS)))
	})
	s := &http.Server{Handler: handler, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der, h.ca.Raw}, PrivateKey: key}}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients, NextProtos: []string{"h2"}}}
	done := make(chan struct{})
	h.mu.Lock()
	h.addr, h.server, h.done = l.Addr().String(), s, done
	h.mu.Unlock()
	go func() {
		defer close(done)
		_ = s.ServeTLS(cutting{l, h}, "", "")
	}()
	return nil
}

// Stop ends it at once, as a machine that is switched off. Start begins it again.
func (h *Hub) Stop() {
	h.mu.Lock()
	s, done := h.server, h.done
	h.mu.Unlock()
	_ = s.Close()
	<-done
}

// Cut cuts all connections.
func (h *Hub) Cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		_ = c.Close()
	}
}

// Addr is where it listens.
func (h *Hub) Addr() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addr
}

// cutting notes the connections.
type cutting struct {
	net.Listener
	hub *Hub
}

type cut struct {
	net.Conn
	hub *Hub
}

func (l cutting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	x := cut{c, l.hub}
	l.hub.mu.Lock()
	l.hub.conns[x] = true
	l.hub.mu.Unlock()
	return x, nil
}

func (c cut) Close() error {
	err := c.Conn.Close()
	// Cut holds the lock while it closes.
	go func() {
		c.hub.mu.Lock()
		delete(c.hub.conns, c)
		c.hub.mu.Unlock()
	}()
	return err
}

func (h *Hub) issue(template *x509.Certificate, key any) ([]byte, error) {
	template.SerialNumber, template.BasicConstraintsValid, template.KeyUsage = serial(), true, x509.KeyUsageDigitalSignature
	return x509.CreateCertificate(rand.Reader, template, h.ca, key, h.caKey)
}

func (h *Hub) admit(name string, csr []byte) ([][]byte, error) {
	r, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	now := time.Now()
	der, err := h.issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: now, NotAfter: now.Add(h.Life), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, r.PublicKey)
	if err != nil {
		return nil, err
	}
	return [][]byte{der, h.ca.Raw}, nil
}

// SetPolicy gives another policy to all sensors.
func (h *Hub) SetPolicy(p *fleetpb.Policy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policy = p
	close(h.changed)
	h.changed = make(chan struct{})
}

// Sign makes a pack of content.
func (h *Hub) Sign(version uint64, content []byte) *fleetpb.CataloguePack {
	sum := sha256.Sum256(content)
	text := append(binary.BigEndian.AppendUint64([]byte("simtrap catalogue pack\x00"), version), sum[:]...)
	id := sha256.Sum256(h.signing.Public().(ed25519.PublicKey))
	return &fleetpb.CataloguePack{Version: version, Content: content, KeyId: id[:8], Signature: ed25519.Sign(h.signing, text)}
}

// Archive packs files as a pack's content.
func Archive(files fs.FS) ([]byte, error) {
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	if err := w.AddFS(files); err != nil {
		return nil, err
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Kept gives every record that was acknowledged, or would have been.
func (h *Hub) Kept() map[Key]*reportpb.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[Key]*reportpb.Record, len(h.kept))
	for k, r := range h.kept {
		out[k] = r
	}
	return out
}

// Findings gives the highest revision of every finding, by the hex of its id.
func (h *Hub) Findings() map[string]*reportpb.FindingRevision {
	out := make(map[string]*reportpb.FindingRevision)
	for _, r := range h.Kept() {
		if f := r.GetFinding(); f != nil {
			id := hex.EncodeToString(f.GetId())
			if old := out[id]; old.GetRevision() < f.GetRevision() {
				out[id] = f
			}
		}
	}
	return out
}

// Batches says how many batches came.
func (h *Hub) Batches() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.batches
}

// stateKey is of a request's TLS in its context.
type stateKey struct{}

// sensor says whose connection a request came over.
func (h *Hub) sensor(ctx context.Context) (string, error) {
	s, _ := ctx.Value(stateKey{}).(*tls.ConnectionState)
	if s == nil || len(s.PeerCertificates) == 0 {
		return "", connect.NewError(connect.CodeUnauthenticated, errors.New("no certificate"))
	}
	leaf := s.PeerCertificates[0]
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case time.Now().After(leaf.NotAfter):
		return "", connect.NewError(connect.CodeUnauthenticated, errors.New("the certificate has ended"))
	case h.revoked[leaf.Subject.CommonName]:
		return "", connect.NewError(connect.CodePermissionDenied, errors.New("revoked"))
	}
	return leaf.Subject.CommonName, nil
}

type reports struct{ *Hub }

// Send keeps a batch and acknowledges it.
func (h reports) Send(ctx context.Context, r *connect.Request[reportpb.SendRequest]) (*connect.Response[reportpb.SendResponse], error) {
	arrived := time.Now()
	name, err := h.sensor(ctx)
	if err != nil {
		return nil, err
	}
	m := r.Msg
	batch := m.GetBatch()
	if packed := m.GetBatchZstd(); packed != nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(4<<20), zstd.WithDecoderMaxWindow(256<<10), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		b, err := d.DecodeAll(packed, nil)
		batch = &reportpb.Batch{}
		if err == nil {
			err = proto.Unmarshal(b, batch)
		}
		if err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
	}
	list := batch.GetRecords()
	if len(list) == 0 || len(list) > 10_000 || list[0].GetSequence() != m.GetFirstSequence() || list[len(list)-1].GetSequence() != m.GetLastSequence() {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%d records do not fit the request", len(list)))
	}
	for i := range list {
		if i > 0 && list[i].GetSequence() <= list[i-1].GetSequence() {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("sequences do not rise"))
		}
	}
	if h.Answer != nil {
		if err := h.Answer(name, list); err != nil {
			return nil, err
		}
	}
	h.mu.Lock()
	h.batches++
	for _, x := range list {
		k := Key{name, m.GetEpoch(), x.GetSequence()}
		if old := h.kept[k]; old != nil && !proto.Equal(old, x) {
			h.mu.Unlock()
			return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("sequence %d means two records", k.Sequence))
		}
		h.kept[k] = x
	}
	h.mu.Unlock()
	if h.After != nil {
		if err := h.After(name, list); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(&reportpb.SendResponse{Epoch: m.GetEpoch(), AckedSequence: m.GetLastSequence(), ReceivedAt: timestamppb.New(arrived), RetryAfterMs: h.RetryAfter}), nil
}

type fleets struct{ *Hub }

// Enroll admits whoever has a token.
func (h fleets) Enroll(_ context.Context, r *connect.Request[fleetpb.EnrollRequest]) (*connect.Response[fleetpb.EnrollResponse], error) {
	h.mu.Lock()
	name, ok := h.tokens[r.Msg.GetToken()]
	delete(h.tokens, r.Msg.GetToken())
	h.mu.Unlock()
	if !ok {
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New("no such token, or used before"))
	}
	chain, err := h.admit(name, r.Msg.GetCsr())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&fleetpb.EnrollResponse{Sensor: name, Certificates: chain, Roots: [][]byte{h.ca.Raw}, FleetKeys: h.Keys(), CatalogueKeys: [][]byte{h.signing.Public().(ed25519.PublicKey)}}), nil
}

// Renew gives a new certificate.
func (h fleets) Renew(ctx context.Context, r *connect.Request[fleetpb.RenewRequest]) (*connect.Response[fleetpb.RenewResponse], error) {
	name, err := h.sensor(ctx)
	if err != nil {
		return nil, err
	}
	chain, err := h.admit(name, r.Msg.GetCsr())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&fleetpb.RenewResponse{Certificates: chain, Roots: [][]byte{h.ca.Raw}, FleetKeys: h.Keys()}), nil
}

// GetPolicy gives the policy as it stands.
func (h fleets) GetPolicy(ctx context.Context, r *connect.Request[fleetpb.GetPolicyRequest]) (*connect.Response[fleetpb.GetPolicyResponse], error) {
	if _, err := h.sensor(ctx); err != nil {
		return nil, err
	}
	p, _ := h.news(r.Msg.GetKnownVersion(), r.Msg.GetKnownCatalogue())
	return connect.NewResponse(&fleetpb.GetPolicyResponse{Policy: p}), nil
}

// WatchPolicy gives it, and its changes.
func (h fleets) WatchPolicy(ctx context.Context, r *connect.Request[fleetpb.WatchPolicyRequest], s *connect.ServerStream[fleetpb.WatchPolicyResponse]) error {
	if _, err := h.sensor(ctx); err != nil {
		return err
	}
	version, pack := r.Msg.GetKnownVersion(), r.Msg.GetKnownCatalogue()
	for {
		p, changed := h.news(version, pack)
		if err := s.Send(&fleetpb.WatchPolicyResponse{Policy: p}); err != nil {
			return err
		}
		if p != nil {
			version = p.GetVersion()
			if p.GetCatalogue() != nil {
				pack = p.GetCatalogue().GetVersion()
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *Hub) news(version, pack uint64) (*fleetpb.Policy, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.policy == nil || h.policy.GetVersion() == version {
		return nil, h.changed
	}
	p := proto.CloneOf(h.policy)
	if p.GetCatalogue().GetVersion() == pack {
		p.Catalogue = nil
	}
	return p, h.changed
}
