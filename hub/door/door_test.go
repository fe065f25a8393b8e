package door

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
	"simtrap/report/reportpb"
	"simtrap/report/reportpb/reportpbconnect"
)

func TestReport(t *testing.T) {
	h := run(t, Options{})
	a := h.enrolled("north-1")
	before := time.Now()
	got, err := a.send(finding(1, 1, 10, "203.0.113.7"), finding(2, 2, 10, "203.0.113.8"))
	if err != nil {
		t.Fatal(err)
	}
	if got.GetEpoch() != outboxEpoch || got.GetAckedSequence() != 2 || got.GetReceivedAt().AsTime().Before(before.Add(-time.Second)) || got.GetRetryAfterMs() != 0 {
		t.Errorf("answer %v", got)
	}
	// Packed, as sensors send, and again: it has its effect once.
	for range 2 {
		batch := &reportpb.Batch{Records: []*reportpb.Record{finding(4, 1, 11, "203.0.113.7"), finding(9, 3, 10, "203.0.113.9")}}
		m, err := a.reports().Send(t.Context(), connect.NewRequest(&reportpb.SendRequest{Epoch: outboxEpoch, FirstSequence: 3, LastSequence: 12, Content: &reportpb.SendRequest_BatchZstd{BatchZstd: packedBatch(t, batch)}}))
		if err != nil {
			t.Fatal(err)
		}
		if m.Msg.GetAckedSequence() != 12 {
			t.Errorf("acknowledged up to %d", m.Msg.GetAckedSequence())
		}
	}
	if c := h.store.Counters(); c.Findings != 4 {
		t.Errorf("%d revisions stored, want 4: %+v", c.Findings, c)
	}
	// The same id of another sensor is another finding.
	if _, err := h.enrolled("south-1").send(finding(1, 1, 5, "203.0.113.7")); err != nil {
		t.Fatal(err)
	}
	if c := h.store.Counters(); c.Findings != 5 {
		t.Errorf("another sensor's revision was held against the first one's: %+v", c)
	}
}

func TestClockDifference(t *testing.T) {
	h := run(t, Options{})
	a := h.enrolled("north-1")
	m := plainBatch(finding(1, 1, 10, "203.0.113.7"))
	m.SentAt = timestamppb.New(time.Now().Add(90 * time.Second))
	if _, err := a.reports().Send(t.Context(), connect.NewRequest(m)); err != nil {
		t.Fatal(err)
	}
	x, err := h.store.Sensor(t.Context(), "north-1")
	if err != nil || x.ClockDifference == nil || *x.ClockDifference < 60*time.Second || *x.ClockDifference > 91*time.Second {
		t.Errorf("stored: a difference of %v, %v; want 90 s less the way", x.ClockDifference, err)
	}
	// Who does not say it is not said to be right.
	other := h.enrolled("north-2")
	m = plainBatch(finding(1, 1, 10, "203.0.113.7"))
	m.SentAt = nil
	if _, err := other.reports().Send(t.Context(), connect.NewRequest(m)); err != nil {
		t.Fatal(err)
	}
	if x, err := h.store.Sensor(t.Context(), "north-2"); err != nil || x.ClockDifference != nil {
		t.Errorf("stored: a difference of %v, %v; none was told", x.ClockDifference, err)
	}
	if difference(nil, time.Now()) != nil || difference(&timestamppb.Timestamp{Nanos: -1}, time.Now()) != nil {
		t.Error("a difference to no time")
	}
}

func TestRefusedCertificates(t *testing.T) {
	h, other := run(t, Options{}), run(t, Options{})
	good := h.enrolled("north-1")
	if _, err := good.send(finding(1, 1, 10, "203.0.113.7")); err != nil {
		t.Fatal(err)
	}
	try := func(c *http.Client) error {
		_, err := reportpbconnect.NewReportServiceClient(c, h.url, connect.WithGRPC()).Send(t.Context(), connect.NewRequest(plainBatch(finding(2, 2, 10, "203.0.113.8"))))
		return err
	}
	t.Run("none", func(t *testing.T) {
		code(t, "report", try(h.client(nil, nil)), connect.CodeUnauthenticated)
		_, err := h.fleet(h.client(nil, nil)).Renew(t.Context(), connect.NewRequest(&fleetpb.RenewRequest{}))
		code(t, "renew", err, connect.CodeUnauthenticated)
		_, err = h.fleet(h.client(nil, nil)).GetPolicy(t.Context(), connect.NewRequest(&fleetpb.GetPolicyRequest{}))
		code(t, "policy", err, connect.CodeUnauthenticated)
		s, err := h.fleet(h.client(nil, nil)).WatchPolicy(t.Context(), connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
		if err == nil {
			s.Receive()
			err = s.Err()
			s.Close()
		}
		code(t, "watch", err, connect.CodeUnauthenticated)
	})
	t.Run("another hub's", func(t *testing.T) {
		a := other.enrolled("north-1")
		cutOff(t, "report", try(h.client(a.chain, a.key)))
	})
	t.Run("self-made", func(t *testing.T) {
		key := newKey(t)
		template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "north-1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cutOff(t, "report", try(h.client([][]byte{der}, key)))
	})
	t.Run("of the authority, not by the hub", func(t *testing.T) {
		// As the operator's own authority may issue them.
		key := newKey(t)
		c, err := h.trust.Issue(request(t, key, &x509.CertificateRequest{}), "north-1")
		if err != nil {
			t.Fatal(err)
		}
		code(t, "report", try(h.client(c.Chain, key)), connect.CodeUnauthenticated)
	})
	t.Run("another's certificate, own key", func(t *testing.T) {
		cutOff(t, "report", try(h.client(good.chain, newKey(t))))
	})
	t.Run("revoked", func(t *testing.T) {
		a := h.enrolled("north-2")
		if _, err := a.send(finding(1, 1, 10, "203.0.113.7")); err != nil {
			t.Fatal(err)
		}
		if err := h.store.Revoke(t.Context(), "north-2", "root", "stolen", h.now()); err != nil {
			t.Fatal(err)
		}
		// The connection stands; the next request is refused.
		_, err := a.send(finding(2, 2, 10, "203.0.113.8"))
		code(t, "report", err, connect.CodeUnauthenticated)
		_, err = a.fleet().Renew(t.Context(), connect.NewRequest(&fleetpb.RenewRequest{Csr: request(t, a.key, &x509.CertificateRequest{})}))
		code(t, "renew", err, connect.CodeUnauthenticated)
		// Enrolled again it is another; the old certificate stays revoked.
		again := h.enrolled("north-2")
		if _, err := again.send(finding(1, 1, 11, "203.0.113.7")); err != nil {
			t.Error(err)
		}
		_, err = a.send(finding(2, 2, 10, "203.0.113.8"))
		code(t, "report", err, connect.CodeUnauthenticated)
	})
	t.Run("expired", func(t *testing.T) {
		h.move(31 * 24 * time.Hour)
		defer h.move(-31 * 24 * time.Hour)
		_, err := good.send(finding(2, 2, 10, "203.0.113.8"))
		code(t, "on a connection that stood", err, connect.CodeUnauthenticated)
		cutOff(t, "on a new one", try(h.client(good.chain, good.key)))
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		c := h.client(good.chain, good.key)
		config := c.Transport.(*http.Transport).TLSClientConfig
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		cutOff(t, "report", try(c))
	})
	if _, err := good.send(finding(3, 2, 10, "203.0.113.8")); err != nil {
		t.Errorf("the honest one, after all that: %v", err)
	}
	for _, reason := range []string{"no certificate", "handshake", "revoked", "expired"} {
		if h.refused(reason) == 0 {
			t.Errorf("nothing counted as %q", reason)
		}
	}
	if c := h.store.Counters(); c.Findings != 4 {
		t.Errorf("%d findings stored, 4 were sent by who may", c.Findings)
	}
}

func TestRefusedTokens(t *testing.T) {
	h, other := run(t, Options{}), run(t, Options{})
	key := newKey(t)
	csr := request(t, key, &x509.CertificateRequest{})
	enroll := func(token string, csr []byte) error {
		_, err := h.fleet(h.client(nil, nil)).Enroll(t.Context(), connect.NewRequest(&fleetpb.EnrollRequest{Token: token, Csr: csr}))
		return err
	}
	good := h.token("north-1")
	for name, bad := range map[string]string{
		"none": "", "no token": "hello", "unknown": good[:len(good)-1] + string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", good[len(good)-1])+1)%16]),
		"another hub's": other.token("north-1"), "long": strings.Repeat("a", 10_000),
	} {
		code(t, name, enroll(bad, csr), connect.CodePermissionDenied)
	}
	// A request that is no good does not spend it.
	for name, bad := range map[string][]byte{"none": nil, "no DER": []byte("x"), "cut": csr[:len(csr)-3], "large": make([]byte, 50_000)} {
		code(t, name, enroll(good, bad), connect.CodeInvalidArgument)
	}
	if err := enroll(good, csr); err != nil {
		t.Fatal(err)
	}
	code(t, "replayed", enroll(good, csr), connect.CodePermissionDenied)
	code(t, "replayed with another key", enroll(good, request(t, newKey(t), &x509.CertificateRequest{})), connect.CodePermissionDenied)

	old := h.token("north-2")
	h.move(trust.TokenLife)
	code(t, "expired", enroll(old, csr), connect.CodePermissionDenied)
	h.move(-trust.TokenLife)
	open := h.token("north-1")
	if err := h.store.Revoke(t.Context(), "north-1", "root", "", h.now()); err != nil {
		t.Fatal(err)
	}
	code(t, "of a revoked sensor", enroll(open, csr), connect.CodePermissionDenied)

	// Of many at once one is admitted.
	race := h.token("north-3")
	var wg sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for range 8 {
		wg.Go(func() {
			if enroll(race, csr) == nil {
				mu.Lock()
				in++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if in != 1 {
		t.Errorf("one token admitted %d", in)
	}
}

func TestAnothersIdentity(t *testing.T) {
	h := run(t, Options{})
	key := newKey(t)
	// Whatever the request says, the token says who it is.
	csr := request(t, key, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "north-9"}, DNSNames: []string{"north-9", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	m, err := h.fleet(h.client(nil, nil)).Enroll(t.Context(), connect.NewRequest(&fleetpb.EnrollRequest{Token: h.token("north-1"), Csr: csr, Version: "1\x1b[31m\u202e" + strings.Repeat("x", 500)}))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(m.Msg.GetCertificates()[0])
	if err != nil || leaf.Subject.CommonName != "north-1" || len(leaf.DNSNames)+len(leaf.IPAddresses) > 0 {
		t.Errorf("certificate for %v %v %v, %v", leaf.Subject, leaf.DNSNames, leaf.IPAddresses, err)
	}
	a := &appliance{h: h, key: key, chain: m.Msg.GetCertificates(), http: h.client(m.Msg.GetCertificates(), key)}
	r, err := a.fleet().Renew(t.Context(), connect.NewRequest(&fleetpb.RenewRequest{Csr: csr}))
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err := x509.ParseCertificate(r.Msg.GetCertificates()[0]); err != nil || leaf.Subject.CommonName != "north-1" {
		t.Errorf("renewed for %v, %v", leaf.Subject, err)
	}
	renewed := &appliance{h: h, key: key, chain: r.Msg.GetCertificates(), http: h.client(r.Msg.GetCertificates(), key)}
	if _, err := renewed.send(finding(1, 1, 10, "203.0.113.7")); err != nil {
		t.Errorf("with the renewed certificate: %v", err)
	}
	// Headers name nobody.
	q := connect.NewRequest(plainBatch(finding(1, 1, 10, "203.0.113.7")))
	for _, name := range []string{"X-Forwarded-Client-Cert", "X-Client-Cn", "X-Sensor", "X-SSL-Client-S-DN"} {
		q.Header().Set(name, "north-1")
	}
	_, err = reportpbconnect.NewReportServiceClient(h.client(nil, nil), h.url, connect.WithGRPC()).Send(t.Context(), q)
	code(t, "by headers", err, connect.CodeUnauthenticated)
}

func TestRefusedMessages(t *testing.T) {
	h := run(t, Options{})
	a := h.enrolled("north-1")
	many := func(n int) *reportpb.Batch {
		b := &reportpb.Batch{}
		for i := range n {
			b.Records = append(b.Records, &reportpb.Record{Sequence: uint64(i + 1)})
		}
		return b
	}
	zip := func(b []byte) *reportpb.SendRequest {
		return &reportpb.SendRequest{Epoch: 1, FirstSequence: 1, LastSequence: 20_000, Content: &reportpb.SendRequest_BatchZstd{BatchZstd: b}}
	}
	sequences := func(first, last uint64, seqs ...uint64) *reportpb.SendRequest {
		m := &reportpb.SendRequest{Epoch: 1, FirstSequence: first, LastSequence: last}
		b := &reportpb.Batch{}
		for _, s := range seqs {
			b.Records = append(b.Records, finding(s, 1, 1, "203.0.113.7"))
		}
		m.Content = &reportpb.SendRequest_Batch{Batch: b}
		return m
	}
	long := finding(1, 1, 1, strings.Repeat("9", maxBatch+maxSmall))
	signals := finding(1, 1, 1, "203.0.113.7")
	signals.GetFinding().Finding.Signals = make([]*reportpb.Signal, maxParts+1)
	for i := range signals.GetFinding().Finding.Signals {
		signals.GetFinding().Finding.Signals[i] = &reportpb.Signal{}
	}
	good := packedBatch(t, &reportpb.Batch{Records: []*reportpb.Record{finding(1, 1, 1, "203.0.113.7")}})
	wide := make([]byte, 2<<20)
	rand.Read(wide)
	tests := map[string]*reportpb.SendRequest{
		"nothing":                   {},
		"no content":                {Epoch: 1, FirstSequence: 1, LastSequence: 1},
		"no records":                sequences(1, 1),
		"sequence 0":                sequences(0, 1, 0),
		"sequences falling":         sequences(1, 9, 5, 4),
		"sequences the same":        sequences(1, 9, 5, 5),
		"before the first":          sequences(5, 9, 4),
		"behind the last":           sequences(5, 9, 10),
		"last before first":         sequences(9, 5, 9),
		"plain, too large":          plainBatch(long),
		"plain, too many records":   {Epoch: 1, FirstSequence: 1, LastSequence: 20_000, Content: &reportpb.SendRequest_Batch{Batch: many(maxRecords + 1)}},
		"plain, too many parts":     plainBatch(signals),
		"packed, too large":         zip(packedBatch(t, &reportpb.Batch{Records: []*reportpb.Record{long}})),
		"packed, far too large":     zip(packed(t, make([]byte, 64<<20))),
		"packed, too many records":  zip(packedBatch(t, many(maxRecords+1))),
		"packed, too many parts":    zip(packedBatch(t, &reportpb.Batch{Records: []*reportpb.Record{signals}})),
		"packed, parts of 2 bytes":  zip(packed(t, bytes.Repeat([]byte{0x0a, 0}, maxBatch/2))),
		"packed, window too large":  zip(packed(t, wide, zstd.WithWindowSize(1<<20), zstd.WithSingleSegment(false))),
		"packed, cut":               zip(good[:len(good)-4]),
		"packed, no Zstandard":      zip([]byte("hello, hub")),
		"packed, empty":             zip(nil),
		"packed, no protobuf":       zip(packed(t, []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f})),
		"packed, no UTF-8":          zip(packed(t, malformedUTF8(t))),
		"packed, unknown, too deep": zip(packed(t, bytes.Repeat([]byte{0x0b}, 1<<20))),
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			for kind, o := range map[string]connect.ClientOption{"gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb()} {
				_, err := a.reports(o).Send(t.Context(), connect.NewRequest(m))
				code(t, kind, err, connect.CodeInvalidArgument)
			}
		})
	}
	t.Run("JSON", func(t *testing.T) {
		post := func(contentType, body string) (int, string) {
			r, err := a.http.Post(h.url+reportpbconnect.ReportServiceSendProcedure, contentType, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			b, _ := io.ReadAll(r.Body)
			return r.StatusCode, string(b)
		}
		for name, body := range map[string]string{
			"none": "", "cut": `{"epoch":"1"`, "wrong kind": `{"epoch":[]}`, "no time": `{"sentAt":"yesterday"}`, "deep": strings.Repeat(`{"x":`, 200_000),
			"many parts": `{"epoch":"1","firstSequence":"1","lastSequence":"1","batch":{"records":[{"sequence":"1","finding":{"id":"AAAAAAAAAAAAAAAAAAAAAA==","finding":{"line":"203.0.113.7","signals":[{}` + strings.Repeat(",{}", maxParts/2) + `]}}}]}}`,
			"large":      `{"epoch":"1","batchZstd":"` + strings.Repeat("A", maxJSON) + `"}`,
			"larger":     `{"epoch":"1","batchZstd":"` + strings.Repeat("A", 2*maxRequest) + `"}`,
		} {
			if status, b := post("application/json", body); status != http.StatusBadRequest || !strings.Contains(b, `"invalid_argument"`) {
				t.Errorf("%s: %d %s", name, status, b)
			}
		}
		if status, b := post("text/plain", "hello"); status != http.StatusUnsupportedMediaType {
			t.Errorf("text: %d %s", status, b)
		}
		if status, b := post("application/proto", "\xff\xff"); status != http.StatusBadRequest {
			t.Errorf("malformed: %d %s", status, b)
		}
	})
	t.Run("a frame that promises more", func(t *testing.T) {
		r, err := a.http.Post(h.url+reportpbconnect.ReportServiceSendProcedure, "application/grpc", bytes.NewReader(append([]byte{0, 0xff, 0xff, 0xff, 0xff}, make([]byte, 100)...)))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if s := r.Trailer.Get("Grpc-Status"); s == "0" || s == "8" {
			t.Errorf("status %q", s)
		}
	})
	t.Run("compressed by gRPC", func(t *testing.T) {
		_, err := a.reports(connect.WithSendGzip()).Send(t.Context(), connect.NewRequest(sequences(1, 1, 1)))
		code(t, "gzip", err, connect.CodeUnimplemented)
	})
	if c := h.store.Counters(); c.Deliveries != 0 {
		t.Errorf("something was stored: %+v", c)
	}
	// What nobody knows is no error, nor are holes.
	unknown := &reportpb.Record{Sequence: 2}
	unknown.ProtoReflect().SetUnknown([]byte{0x9a, 0x01, 0x00})
	if _, err := a.send(finding(1, 1, 1, "203.0.113.7"), unknown, &reportpb.Record{Sequence: 7}); err != nil {
		t.Error(err)
	}
}

func malformedUTF8(t *testing.T) []byte {
	t.Helper()
	b, err := proto.Marshal(&reportpb.Batch{Records: []*reportpb.Record{finding(1, 1, 1, "203.0.113.7")}})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(b, []byte("203.0.113.7"), []byte("203.0.113.\xff"), 1)
}

// What an attacker says in a call must not keep the finding from being stored.
func TestStrangersTextIsTaken(t *testing.T) {
	h := run(t, Options{})
	a := h.enrolled("north-1")
	evil := "\x00'; DROP TABLE finding; --\x1b[2J\u202e\u2066=cmd|' /C calc'!A1<script>" + strings.Repeat("\u0300", 500)
	r := finding(1, 1, 1, "203.0.113.7")
	f := r.GetFinding().Finding
	f.Device = &reportpb.Device{Vendor: evil, Model: evil}
	f.Controllers = []*reportpb.Controller{{Addr: evil, Role: evil}, {Addr: "192.0.2.1", Role: evil}}
	f.Cards = []*reportpb.Card{{Imsi: evil, Imei: evil, Iccid: evil, Msisdn: evil}}
	f.Signals = []*reportpb.Signal{{Id: evil, Family: evil, Against: evil, Detail: evil}}
	f.Unseen = []string{evil}
	f.Links = &reportpb.Links{Accounts: []string{evil}, Stack: evil, Contact: evil, Cname: evil}
	f.Subscriber, f.Nearest, f.Authority = evil, evil, evil
	if got, err := a.send(r, finding(2, 2, 1, evil), &reportpb.Record{Sequence: 3, Kind: &reportpb.Record_Health{Health: &reportpb.Health{At: timestamppb.Now(), Version: evil, Alarms: []*reportpb.Alarm{{Id: evil, Since: timestamppb.Now()}}}}}); err != nil || got.GetAckedSequence() != 3 {
		t.Fatalf("%v, %v", got, err)
	}
	if c := h.store.Counters(); c.Findings < 1 {
		t.Errorf("the finding was lost: %+v", c)
	}
}

func TestLimits(t *testing.T) {
	t.Run("records", func(t *testing.T) {
		h := run(t, Options{Limits: Limits{Records: 10, RecordsAhead: 3}})
		a := h.enrolled("north-1")
		got, err := a.send(finding(1, 1, 1, "203.0.113.7"), finding(2, 2, 1, "203.0.113.7"), finding(3, 3, 1, "203.0.113.7"), finding(4, 4, 1, "203.0.113.7"), finding(5, 5, 1, "203.0.113.7"))
		if err != nil || got.GetRetryAfterMs() < 50 || got.GetRetryAfterMs() > 500 {
			t.Fatalf("%v, %v: want it asked to wait", got, err)
		}
		_, err = a.send(finding(6, 6, 1, "203.0.113.7"))
		code(t, "at once", err, connect.CodeResourceExhausted)
		var e *connect.Error
		if !errors.As(err, &e) || e.Meta().Get("retry-after-ms") == "" || e.Meta().Get("retry-after") == "" {
			t.Errorf("does not say when to come again: %v", err)
		}
		// Another sensor's rate is its own.
		if _, err := h.enrolled("south-1").send(finding(1, 1, 1, "203.0.113.7")); err != nil {
			t.Error(err)
		}
		h.move(time.Second)
		if _, err := a.send(finding(6, 6, 1, "203.0.113.7")); err != nil {
			t.Errorf("a second later: %v", err)
		}
	})
	t.Run("in flight", func(t *testing.T) {
		h := run(t, Options{Limits: Limits{InFlight: 1, Streams: 1, Batches: 2}})
		a, b, c := h.enrolled("north-1"), h.enrolled("north-2"), h.enrolled("north-3")
		in, out := make(chan struct{}, 9), make(chan struct{})
		h.store.mu.Lock()
		h.store.before = func(context.Context) error { in <- struct{}{}; <-out; return nil }
		h.store.mu.Unlock()
		var wg sync.WaitGroup
		for _, x := range []*appliance{a, b} {
			wg.Go(func() {
				if _, err := x.send(finding(1, 1, 1, "203.0.113.7")); err != nil {
					t.Error(err)
				}
			})
			<-in
		}
		_, err := a.send(finding(2, 2, 1, "203.0.113.7"))
		code(t, "a second of one sensor", err, connect.CodeResourceExhausted)
		_, err = c.send(finding(1, 1, 1, "203.0.113.7"))
		code(t, "a third of all", err, connect.CodeResourceExhausted)
		if _, err := c.fleet().GetPolicy(t.Context(), connect.NewRequest(&fleetpb.GetPolicyRequest{})); err != nil {
			t.Errorf("what is small: %v", err)
		}
		close(out)
		wg.Wait()
		if _, err := a.send(finding(2, 2, 1, "203.0.113.7")); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		s, err := a.fleet().WatchPolicy(t.Context(), connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if !s.Receive() {
			t.Fatal(s.Err())
		}
		s2, err := a.fleet().WatchPolicy(t.Context(), connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
		if err == nil {
			s2.Receive()
			err = s2.Err()
			s2.Close()
		}
		code(t, "a second stream", err, connect.CodeResourceExhausted)
	})
	t.Run("enrolments", func(t *testing.T) {
		h := run(t, Options{Limits: Limits{EnrolmentsAhead: 3, Enrolments: 0.001}})
		var err error
		for range 5 {
			_, err = h.fleet(h.client(nil, nil)).Enroll(t.Context(), connect.NewRequest(&fleetpb.EnrollRequest{Token: "x"}))
		}
		code(t, "the fifth", err, connect.CodeResourceExhausted)
	})
}

func TestGuests(t *testing.T) {
	g := newGuests(3)
	busy := func(name string, n int) { g.with(name, func(x *guest) { x.inFlight += n }) }
	busy("kept", 1)
	for i := range 100 {
		g.with(fmt.Sprint(i), func(*guest) {})
	}
	if known, evicted := g.count(); known != 3 || evicted != 98 {
		t.Errorf("%d known, %d forgotten", known, evicted)
	}
	g.with("kept", func(x *guest) {
		if x.inFlight != 1 {
			t.Error("one with a request on its way was forgotten")
		}
	})
}

func TestPolicy(t *testing.T) {
	h := run(t, Options{})
	a := h.enrolled("north-1")
	s, err := a.fleet().WatchPolicy(t.Context(), connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// At first only that the way is open.
	if !s.Receive() || s.Msg().GetPolicy() != nil {
		t.Fatalf("%v, %v", s.Msg(), s.Err())
	}
	next := func() *fleetpb.Policy {
		t.Helper()
		for s.Receive() {
			if p := s.Msg().GetPolicy(); p != nil {
				return p
			}
		}
		t.Fatal(s.Err())
		return nil
	}
	put := func(version uint64, p *fleetpb.Policy) {
		t.Helper()
		if err := h.store.AddPolicy(t.Context(), store.Policy{Version: version, Policy: p, By: "root", Made: h.now()}); err != nil {
			t.Fatal(err)
		}
	}
	put(1, &fleetpb.Policy{Home: []string{"10.0.0.0/8"}, DeclaredGateways: []*fleetpb.DeclaredGateway{
		{Line: "10.1.2.3", Reason: "lift", Owner: "works", Expires: timestamppb.New(h.now().Add(time.Hour))},
		{Line: "10.1.2.4", Reason: "lift", Owner: "works", Expires: timestamppb.New(h.now().Add(-time.Hour))},
	}})
	one := next()
	if len(one.GetHome()) != 1 || len(one.GetDeclaredGateways()) != 1 || one.GetCatalogue() != nil {
		t.Errorf("policy %v", one)
	}
	pack, err := h.trust.SignPack(3, []byte("tables"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.AddPack(t.Context(), pack, "root", h.now()); err != nil {
		t.Fatal(err)
	}
	two := next()
	if two.GetCatalogue().GetVersion() != 3 || h.trust.VerifyPack(two.GetCatalogue()) != nil || two.GetVersion() <= one.GetVersion() || len(two.GetHome()) != 1 {
		t.Errorf("policy %v", two)
	}
	put(2, &fleetpb.Policy{Home: []string{"10.0.0.0/8", "192.0.2.0/24"}})
	three := next()
	if three.GetCatalogue() != nil || len(three.GetHome()) != 2 || three.GetVersion() <= two.GetVersion() {
		t.Errorf("policy %v", three)
	}
	// Who asks is told what he does not have.
	ask := func(version, catalogue uint64) *fleetpb.Policy {
		t.Helper()
		m, err := a.fleet().GetPolicy(t.Context(), connect.NewRequest(&fleetpb.GetPolicyRequest{KnownVersion: version, KnownCatalogue: catalogue}))
		if err != nil {
			t.Fatal(err)
		}
		return m.Msg.GetPolicy()
	}
	if p := ask(0, 0); p.GetCatalogue().GetVersion() != 3 || len(p.GetHome()) != 2 {
		t.Errorf("policy %v", p)
	}
	if p := ask(three.GetVersion(), 3); p != nil {
		t.Errorf("told again: %v", p)
	}
	if p := ask(three.GetVersion(), 2); p.GetCatalogue().GetVersion() != 3 {
		t.Errorf("policy %v", p)
	}
	if p := ask(0, 9); p == nil || p.GetCatalogue() != nil {
		t.Errorf("an older catalogue is offered: %v", p)
	}

	// Revoked, the stream ends.
	if err := h.store.Revoke(t.Context(), "north-1", "root", "", h.now()); err != nil {
		t.Fatal(err)
	}
	for s.Receive() {
	}
	code(t, "the stream of one that was revoked", s.Err(), connect.CodeUnauthenticated)
}

func TestDrain(t *testing.T) {
	t.Parallel()
	h := run(t, Options{})
	a := h.enrolled("north-1")
	in, out := make(chan struct{}), make(chan struct{})
	h.store.mu.Lock()
	h.store.before = func(context.Context) error { close(in); <-out; return nil }
	h.store.mu.Unlock()
	s, err := a.fleet().WatchPolicy(t.Context(), connect.NewRequest(&fleetpb.WatchPolicyRequest{}))
	if err != nil || !s.Receive() {
		t.Fatal(err)
	}
	defer s.Close()
	sent := make(chan error, 1)
	go func() {
		got, err := a.send(finding(1, 1, 1, "203.0.113.7"))
		if err == nil && got.GetAckedSequence() != 1 {
			err = fmt.Errorf("acknowledged up to %d", got.GetAckedSequence())
		}
		sent <- err
	}()
	<-in
	stopped := make(chan error, 1)
	go func() { stopped <- h.stop() }()
	for s.Receive() {
	}
	code(t, "the stream", s.Err(), connect.CodeUnavailable)
	if err := h.door.Ready(t.Context()); err == nil {
		t.Error("ready while it closes")
	}
	select {
	case err := <-stopped:
		t.Fatalf("closed while a batch was being stored: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(out)
	if err := <-sent; err != nil {
		t.Errorf("the batch that was on its way: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A hub that leaves is not ready, and serves on until it has left.
func TestLeave(t *testing.T) {
	t.Parallel()
	h := run(t, Options{Leave: 2 * time.Second})
	a := h.enrolled("north-1")
	stopped := make(chan error, 1)
	go func() { stopped <- h.stop() }()
	for deadline := time.Now().Add(time.Second); h.door.Ready(t.Context()) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("ready while it leaves")
		}
	}
	if _, err := a.send(finding(1, 1, 1, "203.0.113.7")); err != nil {
		t.Errorf("while it leaves: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// Anybody may ask whether the hub is ready, as often as he likes: the store is
// looked at once a second.
func TestReadyIsCheap(t *testing.T) {
	h := run(t, Options{})
	c := h.client(nil, nil)
	began := time.Now()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			r, err := c.Get(h.url + "/readyz")
			if err != nil {
				t.Error(err)
				return
			}
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				t.Errorf("status %d", r.StatusCode)
			}
		})
	}
	wg.Wait()
	if n, most := h.store.looks.Load(), 1+int64(time.Since(began)/readyHold); n < 1 || n > most {
		t.Errorf("the store was looked at %d times, want 1 to %d", n, most)
	}
	// Who goes away at once leaves no answer for others.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	time.Sleep(readyHold)
	if err := h.door.Ready(gone); err != nil {
		t.Errorf("of who has gone: %v", err)
	}
}

func TestPages(t *testing.T) {
	h := run(t, Options{Beside: map[string]http.Handler{"/echo": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		}
	})}})
	c := h.client(nil, nil)
	get := func(path string) (int, string) {
		r, err := c.Get(h.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, b := get(path); status != 200 || b != "ok\n" {
			t.Errorf("%s: %d %s", path, status, b)
		}
	}
	for _, path := range []string{"/", "/metrics", "/debug/pprof/", "/simtrap.report.v1.ReportService/Other"} {
		if status, _ := get(path); status == 200 {
			t.Errorf("%s is answered", path)
		}
	}
	r, err := c.Post(h.url+"/echo", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if string(b) != "hello" {
		t.Errorf("%d %s", r.StatusCode, b)
	}
}

func TestPanicIsAnError(t *testing.T) {
	h := run(t, Options{})
	a := h.enrolled("north-1")
	h.store.mu.Lock()
	h.store.before = func(context.Context) error { panic("oh") }
	h.store.mu.Unlock()
	_, err := a.send(finding(1, 1, 1, "203.0.113.7"))
	code(t, "a panic", err, connect.CodeInternal)
	h.store.mu.Lock()
	h.store.before = nil
	h.store.mu.Unlock()
	for range 10 { // more than may be in flight
		if _, err := a.send(finding(1, 1, 1, "203.0.113.7")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStoreFails(t *testing.T) {
	h := run(t, Options{})
	a := h.enrolled("north-1")
	for want, fail := range map[connect.Code]error{
		connect.CodeUnavailable:       errors.New("disk full: /secret/path"),
		connect.CodeResourceExhausted: store.ErrBusy,
		connect.CodeInvalidArgument:   store.ErrInvalid,
		connect.CodeUnauthenticated:   store.ErrRevoked,
	} {
		h.store.mu.Lock()
		h.store.before = func(context.Context) error { return fmt.Errorf("ingest: %w", fail) }
		h.store.mu.Unlock()
		_, err := a.send(finding(1, 1, 1, "203.0.113.7"))
		code(t, fail.Error(), err, want)
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("tells a sensor of the hub's insides: %v", err)
		}
	}
}

// A client that is not of this project's libraries.
func TestGRPCGo(t *testing.T) {
	h := run(t, Options{})
	a := h.enrolled("north-1")
	pool := x509.NewCertPool()
	root, _ := x509.ParseCertificate(h.trust.Roots()[0])
	pool.AddCert(root)
	creds := credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{{Certificate: a.chain, PrivateKey: a.key}}})
	c, err := grpc.NewClient(strings.TrimPrefix(h.url, "https://"), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got reportpb.SendResponse
	if err := c.Invoke(t.Context(), reportpbconnect.ReportServiceSendProcedure, plainBatch(finding(1, 1, 1, "203.0.113.7")), &got); err != nil || got.GetAckedSequence() != 1 {
		t.Fatalf("%v, %v", &got, err)
	}
	err = c.Invoke(t.Context(), reportpbconnect.ReportServiceSendProcedure, plainBatch(), &got)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("an empty batch: %v", err)
	}
	if err := h.store.AddPolicy(t.Context(), store.Policy{Version: 1, Policy: &fleetpb.Policy{Home: []string{"10.0.0.0/8"}}, By: "root", Made: h.now()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, fleetpbconnect.FleetServiceWatchPolicyProcedure)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SendMsg(&fleetpb.WatchPolicyRequest{}), s.CloseSend()); err != nil {
		t.Fatal(err)
	}
	var p fleetpb.WatchPolicyResponse
	if err := s.RecvMsg(&p); err != nil || len(p.GetPolicy().GetHome()) != 1 {
		t.Errorf("%v, %v", &p, err)
	}
}

// JSON by a program that knows nothing of protobuf.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl on this machine")
	}
	h := run(t, Options{})
	a := h.enrolled("north-1")
	cert, key, ca := a.files()
	batch := base64.StdEncoding.EncodeToString(packedBatch(t, &reportpb.Batch{Records: []*reportpb.Record{finding(2, 2, 1, "203.0.113.8")}}))
	for name, test := range map[string]struct {
		args []string
		body string
		want string
	}{
		"HTTP/2":   {[]string{"--http2", "--cert", cert, "--key", key}, `{"epoch":"77","firstSequence":"1","lastSequence":"1","batch":{"records":[{"sequence":"1"}]},"sentAt":"2026-03-01T12:00:00Z"}`, `"ackedSequence":"1"`},
		"HTTP/1.1": {[]string{"--http1.1", "--cert", cert, "--key", key}, `{"epoch":"77","firstSequence":"2","lastSequence":"2","batchZstd":"` + batch + `"}`, `"ackedSequence":"2"`},
		"nobody":   {nil, `{}`, `"code":"unauthenticated"`},
		"nonsense": {[]string{"--cert", cert, "--key", key}, `{"epoch":`, `"code":"invalid_argument"`},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-sS", "--cacert", ca, "--max-time", "20", "-H", "Content-Type: application/json", "--data-binary", "@-", h.url + reportpbconnect.ReportServiceSendProcedure}, test.args...)
			cmd := exec.CommandContext(t.Context(), curl, args...)
			cmd.Stdin = strings.NewReader(test.body)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%v: %s", err, out)
			}
			if !json.Valid(out) {
				t.Errorf("no JSON: %s", out)
			}
		})
	}
}

// A body that does not come is given up; an answer may take longer than a body.
// Who asks and then reads nothing holds nobody up.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	ended := make(chan error)
	h := run(t, Options{Write: 200 * time.Millisecond, Beside: map[string]http.Handler{"/endless": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		for piece := make([]byte, 64<<10); err == nil; {
			_, err = w.Write(piece)
		}
		ended <- err
	})}})
	for name, set := range map[string]func(*http.Protocols){"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) }, "HTTP/2": func(p *http.Protocols) { p.SetHTTP2(true) }} {
		t.Run(name, func(t *testing.T) {
			c := h.client(nil, nil)
			protocols := new(http.Protocols)
			set(protocols)
			c.Transport.(*http.Transport).Protocols = protocols
			r, err := c.Get(h.url + "/endless")
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
				r.Body.Close()
			case <-time.After(10 * time.Second):
				t.Error("it is written to still")
				r.Body.Close()
				<-ended
			}
		})
	}
}

func TestSlowBodies(t *testing.T) {
	const wait = 200 * time.Millisecond
	h := run(t, Options{Read: wait, Beside: map[string]http.Handler{"/long": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "cut", http.StatusRequestTimeout)
			return
		}
		select {
		case <-r.Context().Done():
			http.Error(w, "ended", http.StatusInternalServerError)
		case <-time.After(3 * wait):
			fmt.Fprint(w, "answered")
		}
	})}})
	for name, set := range map[string]func(*http.Protocols){"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) }, "HTTP/2": func(p *http.Protocols) { p.SetHTTP2(true) }} {
		t.Run(name, func(t *testing.T) {
			c := h.client(nil, nil)
			protocols := new(http.Protocols)
			set(protocols)
			c.Transport.(*http.Transport).Protocols = protocols
			for body, want := range map[string]string{"": "answered", "question": "answered"} {
				r, err := c.Post(h.url+"/long", "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatalf("%q: %v", body, err)
				}
				b, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || string(b) != want {
					t.Errorf("%q: %s, %v", body, b, err)
				}
			}
			in, out := io.Pipe()
			defer out.Close()
			go out.Write([]byte("a beginning"))
			r, err := c.Post(h.url+"/long", "text/plain", in)
			if err != nil {
				return // cut off is as good
			}
			defer r.Body.Close()
			if r.StatusCode != http.StatusRequestTimeout {
				t.Errorf("a body that never ends: %d", r.StatusCode)
			}
		})
	}
}
