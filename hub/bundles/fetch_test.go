package bundles_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/gopacket/pcapgo"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/capture"
	"simtrap/evidence/bundle"
	"simtrap/evidence/timestamp"
	"simtrap/evidence/timestamp/timestamptest"
	"simtrap/hub/bundles"
	"simtrap/hub/door"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/report/fleet"
	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
	"simtrap/report/querypb"
	"simtrap/report/querypb/querypbconnect"
	"simtrap/sensor"
	"simtrap/sensor/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is one that serves.
type hub struct {
	clients map[people.Role]*http.Client
	t       *testing.T
	trust   *trust.Trust
	store   *store.Store
	people  *people.People
	addr    string
	stop    func()
	hidden  []string // what no daemon's log may tell
	// What the time-stamp service is; it gives nothing while refuse is set.
	service *timestamptest.Service
	refuse  atomic.Bool
}

// stamped asks the service, without a network between.
func (h *hub) stamped(ctx context.Context, sum [32]byte) ([]byte, error) {
	if h.refuse.Load() {
		return nil, errors.New("down for now")
	}
	web := httptest.NewServer(h.service)
	defer web.Close()
	c, err := timestamp.NewClient(web.URL)
	if err != nil {
		return nil, err
	}
	return c.Stamp(ctx, sum)
}

type asking struct{}

func (asking) Who(ctx context.Context) (query.Person, error) {
	p, ok := people.FromContext(ctx)
	if !ok {
		return query.Person{}, people.ErrSession
	}
	return query.Person{Account: p.Account, Reads: p.Role.Reads(), Clear: p.Role.Clear()}, nil
}

type uses struct{ people *people.People }

func (u uses) Used(ctx context.Context, x query.Use) error {
	_, err := u.people.Record(ctx, people.Entry{Account: x.Account, Action: x.Action, Object: x.Method, Authority: x.Authority, Detail: x.Request})
	return err
}

func started(t *testing.T) *hub {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "hub")
	if err := trust.Init(folder, trust.Making{Names: []string{"localhost", "127.0.0.1"}, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, clients: make(map[people.Role]*http.Client)}
	var err error
	if h.service, err = timestamptest.New(time.Now()); err != nil {
		t.Fatal(err)
	}
	if h.trust, err = trust.Open(folder, nil); err != nil {
		t.Fatal(err)
	}
	if h.store, err = store.Open(t.Context(), store.Options{Folder: folder, HubKey: h.trust.HubKey()}); err != nil {
		t.Fatal(err)
	}
	h.people = people.New(people.Options{Store: h.store})
	q, err := query.New(query.Options{Store: h.store, People: asking{}, Audit: uses{h.people}, Key: h.trust.Derive("query")})
	if err != nil {
		t.Fatal(err)
	}
	beside := make(map[string]http.Handler)
	path, answers := querypbconnect.NewQueryServiceHandler(q)
	beside[path] = h.people.Handler(known(answers))
	proof := query.NewEvidence(q, h.store, bundles.New(bundles.Options{Store: h.store, Sign: h.trust.Evidence(), Headers: h.trust.Headers(), Key: h.trust.Derive, Version: "1", Stamp: h.stamped}))
	path, proves := querypbconnect.NewEvidenceServiceHandler(proof)
	beside[path] = h.people.Handler(known(proves))
	// As a page asks: within one request.
	beside["/gather"] = h.people.Handler(known(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := &querypb.AskEvidenceRequest{LineIds: []string{r.FormValue("line")}, Authority: r.FormValue("authority")}
		if err := proof.Gather(r.Context(), ask, 30*time.Second, w); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	})))
	d, err := door.New(door.Options{Store: h.store, Trust: h.trust, Policy: 100 * time.Millisecond, Beside: beside})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, l) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		d.Close()
		if err := h.store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

// known vouches for accounts, as the hub's wiring does: the door closes connections
// that nobody vouches for within seconds, whatever they are in the middle of.
func known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := people.FromContext(r.Context()); ok {
			door.Vouch(r.Context(), "account "+p.Account)
		}
		next.ServeHTTP(w, r)
	})
}

// enrolled admits a sensor and gives its membership.
func (h *hub) enrolled(folder, name string) *fleet.Member {
	h.t.Helper()
	text, hash := h.trust.NewToken()
	now := time.Now()
	if err := h.store.AddToken(h.t.Context(), store.Token{Hash: hash, Sensor: name, By: "test", Made: now, Expires: now.Add(time.Hour)}); err != nil {
		h.t.Fatal(err)
	}
	token, err := fleet.ParseToken(text)
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := fleet.Enroll(h.t.Context(), filepath.Join(folder, "state", "fleet"), h.addr, token, "1")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(m.Close)
	return m
}

type bearer struct {
	token string
	base  *http.Transport
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.base.RoundTrip(r)
}

// as gives clients of an account of a role.
func (h *hub) as(role people.Role) (querypbconnect.QueryServiceClient, querypbconnect.EvidenceServiceClient) {
	h.t.Helper()
	name := string(role)
	if err := h.people.Add(h.t.Context(), "test", name, role, "a password of twelve"); err != nil {
		h.t.Fatal(err)
	}
	token, _, err := h.people.Token(h.t.Context(), "test", name, time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for _, der := range h.trust.Roots() {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			h.t.Fatal(err)
		}
		pool.AddCert(c)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}, ForceAttemptHTTP2: true}
	h.t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: bearer{token, tr}}
	h.clients[role] = c
	return querypbconnect.NewQueryServiceClient(c, "https://"+h.addr), querypbconnect.NewEvidenceServiceClient(c, "https://"+h.addr)
}

// gathered asks as a page does.
func (h *hub) gathered(line, authority string, want int) []byte {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "https://"+h.addr+"/gather?"+url.Values{"line": {line}, "authority": {authority}}.Encode(), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := h.clients[people.Analyst].Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		h.t.Fatalf("%d, %v: %.200s", answer.StatusCode, err, b)
	}
	return b
}

// runSensor runs a daemon over a capture of a gateway until the test ends.
func (h *hub) runSensor(folder, name, headers string) {
	t := h.t
	t.Helper()
	f, err := os.Create(filepath.Join(folder, "box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Make(f, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 12 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	h.enrolled(folder, name)
	c, err := config.Parse("d.yaml", folder, []byte("ports: [{name: tap, files: [box.pcap]}]\ncapture: file\nreplay: {speed: 0, at-end: wait}\nstate: state\noutput: findings.jsonl\nsocket: none\nmetrics: {listen: none}\nhub: {health-interval: 1s}\n"+headers))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer // read when the daemon has ended
	ended := make(chan error, 1)
	go func() {
		ended <- sensor.Run(ctx, sensor.Options{File: filepath.Join(folder, "d.yaml"), Config: c, Version: "1", Opener: sensor.Files{}, Engine: sensor.NewLive,
			Names: ident.NewPseudonymizer(make([]byte, 32), ""), Stdout: io.Discard, Stderr: &log, Signals: make(chan os.Signal)})
	}()
	t.Cleanup(func() {
		cancel()
		err := <-ended
		for _, s := range h.hidden {
			if told(log.String(), s) {
				t.Errorf("the daemon's log tells %q", s)
			}
		}
		if err != nil || t.Failed() {
			t.Errorf("%v\n%s", err, log.String())
		}
	})
}

// await waits for something.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// line waits for the line that was found.
func line(t *testing.T, c querypbconnect.QueryServiceClient) *querypb.Line {
	t.Helper()
	var l *querypb.Line
	await(t, "a line", func() bool {
		a, err := c.ListLines(t.Context(), connect.NewRequest(&querypb.ListLinesRequest{Authority: "case 2026-114"}))
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Msg.GetLines()) > 0 {
			l = a.Msg.GetLines()[0]
		}
		return l != nil
	})
	return l
}

func code(t *testing.T, err error, want connect.Code) {
	t.Helper()
	if err == nil || connect.CodeOf(err) != want {
		t.Errorf("%v, want %v", err, want)
	}
}

// fetched asks for a line's evidence, and gives the bundle's file and how it stands.
func fetched(t *testing.T, c querypbconnect.EvidenceServiceClient, q *querypb.AskEvidenceRequest) ([]byte, *querypb.Evidence) {
	t.Helper()
	a, err := c.AskEvidence(t.Context(), connect.NewRequest(q))
	if err != nil {
		t.Fatal(err)
	}
	e := a.Msg.GetEvidence()
	await(t, "answers", func() bool {
		a, err := c.GetEvidence(t.Context(), connect.NewRequest(&querypb.GetEvidenceRequest{Id: e.GetId()}))
		if err != nil {
			t.Fatal(err)
		}
		e = a.Msg.GetEvidence()
		for _, p := range e.GetParts() {
			if p.GetState() <= querypb.EvidenceState_EVIDENCE_STATE_COMING {
				return false
			}
		}
		return true
	})
	return bundled(t, c, e.GetId()), e
}

func bundled(t *testing.T, c querypbconnect.EvidenceServiceClient, id string) []byte {
	t.Helper()
	s, err := c.FetchBundle(t.Context(), connect.NewRequest(&querypb.FetchBundleRequest{Id: id}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b []byte
	for s.Receive() {
		b = append(b, s.Msg().GetData()...)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return b
}

// verified checks a bundle, and gives its parts.
func (h *hub) verified(b []byte, previous *[32]byte) (*bundle.Verified, map[string][]byte) {
	h.t.Helper()
	parts := make(map[string][]byte)
	v, err := bundle.Verify(bytes.NewReader(b), int64(len(b)), bundle.Options{Signer: h.trust.Evidence().Public().(ed25519.PublicKey), Roots: h.service.Roots(), Previous: previous, Part: func(e bundle.Entry, r io.Reader) error {
		text, err := io.ReadAll(r)
		parts[e.Name] = text
		return err
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	return v, parts
}

// looked reads a capture, and says how many frames have media and SIP.
func looked(t *testing.T, file []byte, clear []string) (frames, media, sip int) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if errors.Is(err, io.EOF) && len(file) > 0 { // a section of nothing
		return 0, 0, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	var d packet.Decoder
	var p packet.Packet
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames, media, sip
		}
		if err != nil {
			t.Fatal(err)
		}
		frames++
		if d.Frame(capture.LinkType(r.LinkType()), data, uint32(info.Length), &p) != packet.Datagram {
			continue
		}
		switch {
		case bytes.Contains(p.Payload, []byte("SIP/2.0")):
			sip++
			for _, s := range clear {
				if bytes.Contains(p.Payload, []byte(s)) {
					t.Fatalf("%s is in it: %q", s, p.Payload)
				}
			}
		case len(p.Payload) == 12 && info.Length > len(data):
			media++
		case len(p.Payload) > 76:
			t.Fatalf("%d bytes of what a packet carries", len(p.Payload))
		}
	}
}

// numbers gives those that were called in a capture.
func numbers(t *testing.T, folder string) (list []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, "box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	for text := string(b); ; {
		_, after, ok := strings.Cut(text, "INVITE sip:")
		if !ok {
			break
		}
		if user, _, ok := strings.Cut(after[:min(len(after), 40)], "@"); ok && len(user) > 5 {
			list = append(list, user)
		}
		text = after
	}
	if len(list) == 0 {
		t.Fatal("no numbers")
	}
	return list
}

// The whole way: a sensor that found a gateway keeps its headers, encrypted to the hub; an
// analyst asks under an authority; the sensor, which asks the hub, sends them; the hub
// makes a bundle that verifies, with headers alone and pseudonyms, chained to the one
// before. All of it is in the hub's audit log and the sensor's own.
func TestFetch(t *testing.T) {
	h := started(t)
	folder := t.TempDir()
	public, err := h.trust.Headers().Public().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "hub.pub"), public, 0o600); err != nil {
		t.Fatal(err)
	}
	h.runSensor(folder, "north", "headers: {key: hub.pub}\n")
	q, c := h.as(people.Analyst)
	_, viewer := h.as(people.Viewer)
	l := line(t, q)
	var reached time.Time
	await(t, "the end of the capture", func() bool {
		time.Sleep(1200 * time.Millisecond) // longer than between two records of health
		a, err := q.GetSensor(t.Context(), connect.NewRequest(&querypb.GetSensorRequest{Id: "north"}))
		before := reached
		reached = a.Msg.GetSensor().GetPacketTime().AsTime()
		return err == nil && reached.Unix() > 0 && reached.Equal(before)
	})

	// Without an authority, or by whoever may not, nothing is asked.
	_, err = c.AskEvidence(t.Context(), connect.NewRequest(&querypb.AskEvidenceRequest{LineIds: []string{l.GetId()}}))
	code(t, err, connect.CodeInvalidArgument)
	_, err = c.AskEvidence(t.Context(), connect.NewRequest(&querypb.AskEvidenceRequest{LineIds: []string{l.GetId()}, Authority: "  "}))
	code(t, err, connect.CodeInvalidArgument)
	_, err = viewer.AskEvidence(t.Context(), connect.NewRequest(&querypb.AskEvidenceRequest{LineIds: []string{l.GetId()}, Authority: "x"}))
	code(t, err, connect.CodePermissionDenied)
	_, err = c.AskEvidence(t.Context(), connect.NewRequest(&querypb.AskEvidenceRequest{LineIds: []string{"00000000000000000000000000000000"}, Authority: "x"}))
	code(t, err, connect.CodeNotFound)
	_, err = c.AskEvidence(t.Context(), connect.NewRequest(&querypb.AskEvidenceRequest{Authority: "x"}))
	code(t, err, connect.CodeInvalidArgument)
	if _, err := os.Stat(filepath.Join(folder, "state", "headers.log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the sensor was asked: %v", err)
	}

	file, e := fetched(t, c, &querypb.AskEvidenceRequest{LineIds: []string{l.GetId()}, Authority: "case 2026-114"})
	if len(e.GetParts()) != 1 || e.GetParts()[0].GetState() != querypb.EvidenceState_EVIDENCE_STATE_DONE || e.GetParts()[0].GetBytes() == 0 {
		t.Fatal(e)
	}
	v, parts := h.verified(file, nil)
	m := v.Manifest
	if m.Authority != "case 2026-114" || m.Chain.Number != 1 || len(m.Lines) != 1 || m.Lines[0] != l.GetLine() || m.Clock.First == "" || len(m.Inputs) != 1 || uint64(m.Inputs[0].Bytes) != e.GetParts()[0].GetBytes() {
		t.Errorf("%+v", m)
	}
	if !m.Stamped || v.Stamp == nil || v.Stamp.Service != "CN=time of tests" {
		t.Errorf("stamped %v: %+v", m.Stamped, v.Stamp)
	}
	// The report for paper is in both languages, of the finding, and says under what.
	for name, wants := range map[string][]string{
		bundles.PartEnglish: {"Limits of the method", "How sure", "Reasons", "case 2026-114", l.GetLine(), m.Configuration},
		bundles.PartChinese: {"方法的局限", "case 2026-114", l.GetLine(), m.Configuration},
	} {
		for _, want := range wants {
			if !bytes.Contains(parts[name], []byte(want)) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
	h.refuse.Store(true)
	stream, err := c.FetchBundle(t.Context(), connect.NewRequest(&querypb.FetchBundleRequest{Id: e.GetId()}))
	if err != nil {
		t.Fatal(err)
	}
	if stream.Receive() {
		t.Error("a bundle without a stamp")
	}
	code(t, stream.Err(), connect.CodeUnavailable)
	stream.Close()
	h.refuse.Store(false)
	clear := numbers(t, folder)
	frames, media, sip := looked(t, parts["captures/north_"+l.GetLine()+".pcapng"], clear)
	t.Logf("%d frames, %d of media, %d with SIP; a bundle of %d bytes from %d", frames, media, sip, len(file), m.Inputs[0].Bytes)
	if frames == 0 || media == 0 || sip == 0 {
		t.Errorf("%d frames, %d of media, %d with SIP", frames, media, sip)
	}
	var finding struct{ Line, Authority, Verdict string }
	first, _, _ := bytes.Cut(parts[bundles.PartFindings], []byte("\n"))
	if err := json.Unmarshal(first, &finding); err != nil || finding.Line != l.GetLine() || finding.Authority != "case 2026-114" || finding.Verdict == "" {
		t.Errorf("%s, %v", first, err)
	}
	var reading struct {
		Parts []struct {
			State      string
			Frames     int
			FramesTold int `json:"frames_told"`
			Unread     []string
		}
	}
	if err := json.Unmarshal(parts[bundles.PartReading], &reading); err != nil || len(reading.Parts) != 1 || reading.Parts[0].State != "done" || reading.Parts[0].Frames != frames || reading.Parts[0].FramesTold != frames || len(reading.Parts[0].Unread) > 0 {
		t.Errorf("%s, %v", parts[bundles.PartReading], err)
	}
	if !bytes.Contains(parts[bundles.PartConfiguration], []byte(`"mode":"file"`)) {
		t.Errorf("%s", parts[bundles.PartConfiguration])
	}
	for name, b := range parts {
		for _, s := range clear {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s has %s", name, s)
			}
		}
	}

	// A part of the time, and the next of the chain.
	from := v.Manifest.Clock.First
	begin, err := time.Parse(time.RFC3339Nano, from)
	if err != nil {
		t.Fatal(err)
	}
	again := bundled(t, c, e.GetId())
	w, _ := h.verified(again, &v.File)
	if w.Manifest.Chain.Number != 2 {
		t.Errorf("%+v", w.Manifest.Chain)
	}
	short, e2 := fetched(t, c, &querypb.AskEvidenceRequest{LineIds: []string{l.GetId()}, Authority: "case 2026-115", From: stamp(begin), Until: stamp(begin.Add(time.Minute))})
	x, partsOf := h.verified(short, &w.File)
	if n, _, _ := looked(t, partsOf["captures/north_"+l.GetLine()+".pcapng"], clear); n == 0 || n >= frames || x.Manifest.Clock.Last > begin.Add(time.Minute).Format(time.RFC3339Nano) {
		t.Errorf("%d frames of %d, until %s", n, frames, x.Manifest.Clock.Last)
	}
	one, other := pseudonyms(parts["captures/north_"+l.GetLine()+".pcapng"]), pseudonyms(partsOf["captures/north_"+l.GetLine()+".pcapng"])
	for p := range other {
		if one[p] {
			t.Fatalf("pseudonym %s stands in two cases", p)
		}
	}

	// Both sides have written it down, the sensor before it sent.
	log, err := os.ReadFile(filepath.Join(folder, "state", "headers.log"))
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for s := range strings.Lines(string(log)) {
		var e struct {
			Action, Line, Authority, Account string
			Bytes                            int64
		}
		if err := json.Unmarshal([]byte(s), &e); err != nil || e.Line != l.GetLine() || e.Account != "analyst" || e.Bytes == 0 {
			t.Errorf("%s, %v", s, err)
		}
		actions = append(actions, e.Action+" "+e.Authority)
	}
	if got := strings.Join(actions, ", "); got != "send case 2026-114, sent case 2026-114, send case 2026-115, sent case 2026-115" {
		t.Error(got)
	}
	entries, err := h.people.Log(t.Context(), 1, 500)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for _, e := range entries {
		seen[e.Account+" "+e.Object+" "+e.Authority]++
	}
	for what, n := range map[string]int{"analyst AskEvidence case 2026-114": 1, "analyst FetchBundle case 2026-114": 3, "analyst AskEvidence case 2026-115": 1, "analyst FetchBundle case 2026-115": 1} {
		if seen[what] != n {
			t.Errorf("%s: %d times in the audit log, want %d", what, seen[what], n)
		}
	}

	whole, _ := h.verified(h.gathered(l.GetId(), "case 2026-116", http.StatusOK), &x.File)
	if whole.Manifest.Authority != "case 2026-116" || len(whole.Manifest.Inputs) != 1 {
		t.Errorf("%+v", whole.Manifest)
	}
	h.gathered(l.GetId(), "", http.StatusTeapot)

	// Another sensor has no part in it.
	foreign := h.enrolled(t.TempDir(), "south")
	s := fleetpbconnect.NewHeadersServiceClient(foreign.Client(), foreign.URL(), connect.WithGRPC())
	stored, err := h.store.Evidence(t.Context(), storeID(t, e2.GetId()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	open := store.Evidence{ID: store.ID{1}, Account: "analyst", Authority: "x", Made: time.Now(), Expires: time.Now().Add(time.Hour), Parts: []store.EvidencePart{{ID: store.ID{2}, Line: stored.Parts[0].Line, Sensor: "west", Name: l.GetLine(), Most: 10}}}
	if err := h.store.AddEvidence(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	_, err = s.SendPiece(t.Context(), connect.NewRequest(&fleetpb.SendPieceRequest{Id: open.Parts[0].ID[:], Data: []byte("x")}))
	code(t, err, connect.CodeNotFound)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if a, err := s.NextRequest(ctx, connect.NewRequest(&fleetpb.NextRequestRequest{})); err == nil {
		t.Errorf("another sensor is given %v", a.Msg)
	}
	// And the one that is asked may send no more than was asked for.
	west := h.enrolled(t.TempDir(), "west")
	s = fleetpbconnect.NewHeadersServiceClient(west.Client(), west.URL(), connect.WithGRPC())
	a, err := s.NextRequest(t.Context(), connect.NewRequest(&fleetpb.NextRequestRequest{}))
	if err != nil || a.Msg.GetRequest().GetMaxBytes() != 10 || a.Msg.GetRequest().GetLine() != l.GetLine() {
		t.Fatal(a, err)
	}
	for _, x := range []struct {
		m    *fleetpb.SendPieceRequest
		want connect.Code
	}{
		{&fleetpb.SendPieceRequest{Data: make([]byte, 11)}, connect.CodeOutOfRange},
		{&fleetpb.SendPieceRequest{Data: make([]byte, 257<<10)}, connect.CodeInvalidArgument},
		{&fleetpb.SendPieceRequest{Data: make([]byte, 300<<10)}, connect.CodeInvalidArgument},
		{&fleetpb.SendPieceRequest{Number: 1, Data: []byte("x")}, connect.CodeInvalidArgument},
		{&fleetpb.SendPieceRequest{Refused: "no"}, connect.CodeInvalidArgument},
	} {
		x.m.Id = open.Parts[0].ID[:]
		_, err := s.SendPiece(t.Context(), connect.NewRequest(x.m))
		code(t, err, x.want)
	}
	// What is no segment is told in the bundle, and is in no capture.
	for i, m := range []*fleetpb.SendPieceRequest{{Data: []byte("nonsense"), EndOfFile: true}, {Number: 1, Done: true}} {
		m.Id = open.Parts[0].ID[:]
		if _, err := s.SendPiece(t.Context(), connect.NewRequest(m)); err != nil {
			t.Fatal(i, err)
		}
	}
	_, parts = h.verified(bundled(t, c, open.ID.String()), nil)
	if !bytes.Contains(parts[bundles.PartReading], []byte("damaged")) {
		t.Errorf("%s", parts[bundles.PartReading])
	}
	if n, _, _ := looked(t, parts["captures/west_"+l.GetLine()+".pcapng"], nil); n != 0 {
		t.Errorf("%d frames of nonsense", n)
	}
	_, err = viewer.GetEvidence(t.Context(), connect.NewRequest(&querypb.GetEvidenceRequest{Id: open.ID.String()}))
	code(t, err, connect.CodePermissionDenied)
}

// A sensor whose configuration forbids it sends nothing, says so, and writes it down.
func TestFetchIsForbidden(t *testing.T) {
	for name, headers := range map[string]string{"headers.fetch": "headers: {fetch: false}\n", "headers.keep": "headers: {keep: false}\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := started(t)
			folder := t.TempDir()
			h.runSensor(folder, "north", headers)
			q, c := h.as(people.Admin)
			l := line(t, q)
			file, e := fetched(t, c, &querypb.AskEvidenceRequest{LineIds: []string{l.GetId()}, Authority: "case 2026-114"})
			if p := e.GetParts()[0]; p.GetState() != querypb.EvidenceState_EVIDENCE_STATE_REFUSED || !strings.Contains(p.GetReason(), name) || p.GetBytes() != 0 {
				t.Error(p)
			}
			_, parts := h.verified(file, nil)
			if !bytes.Contains(parts[bundles.PartReading], []byte(`"state":"refused"`)) || !bytes.Contains(parts[bundles.PartReading], []byte(name)) {
				t.Errorf("%s", parts[bundles.PartReading])
			}
			log, err := os.ReadFile(filepath.Join(folder, "state", "headers.log"))
			if err != nil || !strings.Contains(string(log), `"action":"refuse"`) || strings.Contains(string(log), `"send"`) {
				t.Errorf("%s, %v", log, err)
			}
		})
	}
}

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

func storeID(t *testing.T, text string) store.ID {
	t.Helper()
	id, err := store.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// pseudonyms gives those of a capture.
func pseudonyms(b []byte) map[string]bool {
	list := make(map[string]bool)
	for {
		at := bytes.IndexByte(b, '~')
		if at < 0 || len(b) < at+17 {
			return list
		}
		p := string(b[at+1 : at+17])
		if strings.Trim(p, "0123456789abcdef") == "" {
			list[p] = true
		}
		b = b[at+1:]
	}
}
