package notify

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target fails as often as it is told to.
type target struct {
	mu    sync.Mutex
	fails []error
	got   []Event
	tries int
}

func (t *target) Name() string { return "target" }
func (t *target) Close() error { return nil }

func (t *target) Tell(_ context.Context, e *Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tries++
	if len(t.fails) > 0 {
		err := t.fails[0]
		t.fails = t.fails[1:]
		return err
	}
	t.got = append(t.got, *e)
	return nil
}

// Events are told in order, tried again with growing waits, given up when it is of no
// use or too late, and dropped when too many wait; a target that hangs keeps no other
// waiting.
func TestNotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("away")
		good, poor := &target{}, &target{fails: []error{away, away, away}}
		n := New(Options{Targets: []Target{good, poor}, Queue: 3})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		n.Tell(Event{Kind: CaseOpened, Case: "1"})
		synctest.Wait()
		for i := range 5 { // poor waits with one, and has room for three
			n.Tell(Event{Kind: CaseChanged, Case: fmt.Sprint(i)})
			synctest.Wait()
		}
		if s := n.Stats(); s[0].Told != 6 || s[1].Told != 0 || s[1].Dropped != 2 || s[1].Waiting != 3 {
			t.Errorf("%+v", s)
		}
		start := time.Now()
		for n.Stats()[1].Told == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(start); d < 3*time.Second || d > 8*time.Second {
			t.Errorf("told after %v: want 1, 2 and 4 s, or half of it", d)
		}
		synctest.Wait()
		if len(poor.got) != 4 || poor.got[0].Kind != CaseOpened || poor.got[3].Case != "2" || poor.got[0].ID == "" || poor.got[0].ID != good.got[0].ID || poor.got[0].At.IsZero() {
			t.Errorf("%+v", poor.got)
		}
		poor.fails = []error{&Permanent{away}}
		n.Tell(Event{Kind: CaseOpened})
		synctest.Wait()
		if s := n.Stats()[1]; s.GivenUp != 1 {
			t.Errorf("%+v", s)
		}
		for range 10_000 {
			poor.fails = append(poor.fails, away)
		}
		n.Tell(Event{Kind: CaseOpened})
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if s := n.Stats()[1]; s.GivenUp != 2 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		for range 3 { // one is being told, two wait
			n.Tell(Event{Kind: CaseOpened})
			synctest.Wait()
		}
		before := n.Stats()[1].Dropped
		cancel()
		<-done
		if s := n.Stats()[1]; s.Dropped != before+3 {
			t.Errorf("%d before the end, then %+v", before, s)
		}
	})
}

var event = Event{ID: "EVENT", Kind: CaseOpened, At: time.Date(2026, 11, 29, 12, 0, 0, 5000, time.UTC), Case: "0123", Title: "a \"title\"] of\nan = attacker | \\ \u2028 x", State: "open", Owner: "ann"}

func TestWebhook(t *testing.T) {
	secret := []byte("a secret of sixteen or more")
	status := http.StatusOK
	var bad error
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var got Event
		if bad = errors.Join(err, json.Unmarshal(b, &got)); bad == nil && (got != event || r.Header.Get(HeaderEvent) != event.Kind || r.Header.Get(HeaderDelivery) != event.ID) {
			bad = fmt.Errorf("%+v, %v", got, r.Header)
		}
		at := r.Header.Get(HeaderTimestamp)
		if n, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(n, 0)) > time.Minute || !hmac.Equal([]byte(Sign(secret, at, b)), []byte(r.Header.Get(HeaderSignature))) {
			bad = fmt.Errorf("signature %s at %s", r.Header.Get(HeaderSignature), at)
		}
		if r.URL.Query().Get("token") != "hidden" {
			bad = fmt.Errorf("asked for %s", r.URL)
		}
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	w, err := NewWebhook(s.URL+"/hidden/in?token=hidden", secret, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if w.Name() != s.URL {
		t.Error(w.Name())
	}
	names := []string{}
	for _, x := range New(Options{Targets: []Target{w, &target{}, w, w}}).Stats() {
		names = append(names, x.Target)
	}
	if want := []string{s.URL, "target", s.URL + "#2", s.URL + "#3"}; !slices.Equal(names, want) {
		t.Errorf("targets %q, want %q", names, want)
	}
	if _, err := NewWebhook("http://cases.example/hidden", secret, nil); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Error(err)
	}
	for _, x := range []struct {
		status          int
		told, permanent bool
	}{{200, true, false}, {204, true, false}, {500, false, false}, {503, false, false}, {429, false, false}, {302, false, true}, {400, false, true}, {410, false, true}} {
		status = x.status
		err := w.Tell(t.Context(), &event)
		_, permanent := errors.AsType[*Permanent](err)
		if bad != nil || (err == nil) != x.told || permanent != x.permanent {
			t.Errorf("%d: %v, %v", x.status, err, bad)
		}
	}
	s.Close()
	err = w.Tell(t.Context(), &event)
	if _, permanent := errors.AsType[*Permanent](err); err == nil || permanent || strings.Contains(err.Error(), "hidden") {
		t.Error(err)
	}
	if Sign([]byte("key"), "1", []byte("x")) == Sign([]byte("key"), "2", []byte("x")) {
		t.Error("the time is not signed")
	}
	for _, address := range []string{"http://cases.example/x", "ftp://x", "cases.example", "https://", ""} {
		if _, err := NewWebhook(address, secret, nil); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
	if _, err := NewWebhook("http://127.0.0.1:1/", secret, nil); err != nil {
		t.Error(err)
	}
	if _, err := NewWebhook("https://x/", []byte("short"), nil); err == nil {
		t.Error("a short secret is taken")
	}
}

func newSyslog(t *testing.T, address, format string, config *tls.Config) *Syslog {
	t.Helper()
	s, err := NewSyslog(address, format, "1.2", config)
	if err != nil {
		t.Fatal(err)
	}
	s.host = "hub"
	t.Cleanup(func() { s.Close() })
	return s
}

// What a stranger or an analyst wrote stays one field of one line, in both formats.
func TestSyslogFormats(t *testing.T) {
	s := newSyslog(t, "udp://127.0.0.1:514", FormatRFC5424, nil)
	head, rest, _ := strings.Cut(s.message(&event), " simtrap-hub ")
	_, rest, _ = strings.Cut(rest, " ")
	if d := cmp.Diff("<133>1 2026-11-29T12:00:00.000005Z hub", head); d != "" {
		t.Error(d)
	}
	want := `case.opened [simtrap@32473 id="EVENT" case="0123" title="a \"title\"\] of an = attacker | \\   x" state="open" owner="ann"] ` + "\ufeffa case was opened"
	if d := cmp.Diff(want, rest); d != "" {
		t.Error(d)
	}
	s = newSyslog(t, "udp://127.0.0.1:514", FormatCEF, nil)
	_, rest, _ = strings.Cut(s.message(&event), "CEF:")
	want = `0|simtrap|simtrap-hub|1.2|case.opened|a case was opened|5|externalId=EVENT rt=1795953600000 cs1Label=case cs1=0123 cs2Label=title cs2=a "title"] of an \= attacker | \\   x cs3Label=state cs3=open suser=ann`
	if d := cmp.Diff(want, rest); d != "" {
		t.Error(d)
	}
	if m := s.message(&Event{Kind: FindingCase, Finding: "45", Sensor: "north", Verdict: "case"}); !strings.HasPrefix(m, "<129>1 ") || !strings.Contains(m, "|9|") || !strings.Contains(m, "dvchost=north") {
		t.Error(m)
	}
	for _, bad := range []string{"udp://host", "http://host:1", "tcp://host:1/x", "tls://u@host:1", "", "host:514"} {
		if _, err := NewSyslog(bad, FormatCEF, "", nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := NewSyslog("udp://host:1", "leef", "", nil); err == nil {
		t.Error("another format is taken")
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("title", "owner")
	f.Add("]\" =|\\\n", "\x00\xff\u2029")
	f.Fuzz(func(t *testing.T, title, owner string) {
		e := Event{Kind: CaseChanged, Title: title, Owner: owner}
		for _, format := range []string{FormatRFC5424, FormatCEF} {
			s := Syslog{format: format, host: "hub", version: "1"}
			m := s.message(&e)
			if strings.ContainsAny(m, "\n\r\x00\x1b") || len(m) > maxDatagram+4*maxField {
				t.Fatalf("%q", m)
			}
		}
	})
}

func TestSyslogUDP(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSyslog(t, "udp://"+l.LocalAddr().String(), FormatCEF, nil)
	long := event
	long.Title = strings.Repeat("ü", 5000)
	for _, e := range []*Event{&event, &long} {
		if err := s.Tell(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 65536)
		n, _, err := l.ReadFrom(b)
		if err != nil || n > maxDatagram || string(b[:n]) != cutText(s.message(e), maxDatagram) {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
}

// frames reads messages with octet counting.
func frames(c net.Conn, n int) (list []string, err error) {
	r := bufio.NewReader(c)
	for range n {
		size, err := r.ReadString(' ')
		if err != nil {
			return list, err
		}
		k, err := strconv.Atoi(strings.TrimSpace(size))
		if err != nil {
			return list, err
		}
		b := make([]byte, k)
		if _, err := io.ReadFull(r, b); err != nil {
			return list, err
		}
		list = append(list, string(b))
	}
	return list, nil
}

// Over TCP and TLS each message is counted; a connection that was closed is opened again,
// and a receiver that is not who it should be is told nothing.
func TestSyslogStreams(t *testing.T) {
	web := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	for _, network := range []string{"tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if network == "tls" {
				l = tls.NewListener(l, &tls.Config{Certificates: web.TLS.Certificates})
			}
			defer l.Close()
			got := make(chan []string)
			go func() {
				for n := range 2 {
					c, err := l.Accept()
					if err != nil {
						close(got)
						return
					}
					list, _ := frames(c, 2-n)
					c.Close()
					got <- list
				}
				for {
					c, err := l.Accept()
					if err != nil {
						close(got)
						return
					}
					list, _ := frames(c, 1) // who will not go on
					c.Close()
					if len(list) > 0 {
						got <- list
					}
				}
			}()
			s := newSyslog(t, network+"://"+l.Addr().String(), FormatRFC5424, &tls.Config{RootCAs: roots})
			for range 2 {
				if err := s.Tell(t.Context(), &event); err != nil {
					t.Fatal(err)
				}
			}
			want := s.message(&event)
			if list := <-got; len(list) != 2 || list[0] != want || list[1] != want {
				t.Errorf("%q", list)
			}
			// What is told before the end of the connection has arrived is lost with it.
			for again := true; again; {
				time.Sleep(50 * time.Millisecond)
				if err := s.Tell(t.Context(), &event); err != nil {
					t.Fatal(err)
				}
				select {
				case list := <-got:
					if again = false; len(list) != 1 || list[0] != want {
						t.Errorf("%q", list)
					}
				case <-time.After(5 * time.Second):
				}
			}
			if network == "tls" {
				stranger := newSyslog(t, network+"://"+l.Addr().String(), FormatRFC5424, nil)
				if err := stranger.Tell(t.Context(), &event); err == nil {
					t.Error("a receiver of another authority was told")
				}
			}
			l.Close()
			if list, ok := <-got; ok {
				t.Errorf("%q", list)
			}
			s.Close()
			if err := s.Tell(t.Context(), &event); err == nil {
				t.Error("told to nobody")
			}
		})
	}
}

// Cases that are opened and changed are told when they are stored, and findings when they
// reach the verdict case, once.
func TestWatch(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Folder: t.TempDir(), HubKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	now := time.Now()
	token := store.Token{Hash: [32]byte{1}, Sensor: "north", By: "test", Made: now, Expires: now.Add(time.Hour)}
	if err := st.AddToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if _, err := st.TakeToken(t.Context(), token.Hash, now, func(string) (store.Admission, error) {
		return store.Admission{Sensor: "north", Serial: "1", Given: now, Ends: now.Add(time.Hour)}, nil
	}); err != nil {
		t.Fatal(err)
	}
	to := &target{}
	n := New(Options{Targets: []Target{to}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	if plain := New(Options{}); plain.Cases(st) != any(st) || plain.Findings(st) != any(st) {
		t.Error("watched for nobody")
	}
	cases, findings := n.Cases(st), n.Findings(st)
	c := store.Case{ID: store.ID{1}, Title: "x", State: store.CaseOpen, Owner: "ann", Opened: time.Now()}
	for _, err := range []error{cases.AddCase(ctx, c), cases.AddComment(ctx, store.Comment{Case: c.ID, At: time.Now(), Author: "bob", Text: "secret words"})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := cases.AddCase(ctx, c); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	c.State, c.Version, c.Outcome = store.CaseHandedOver, 1, store.OutcomeConfirmed
	if err := cases.PutCase(ctx, c); err != nil {
		t.Fatal(err)
	}
	send := func(s interface {
		Ingest(context.Context, store.Delivery) (store.Receipt, error)
	}, sequence, revision uint64, v reportpb.Verdict) {
		t.Helper()
		f := &reportpb.FindingRevision{Id: []byte("0123456789abcdef"), Revision: revision, Finding: &reportpb.Finding{Line: "203.0.113.7", Verdict: v}}
		if _, err := s.Ingest(ctx, store.Delivery{Sensor: "north", Epoch: 1, First: sequence, Last: sequence, ReceivedAt: time.Now(), Records: []*reportpb.Record{{Sequence: sequence, Kind: &reportpb.Record_Finding{Finding: f}}}}); err != nil {
			t.Fatal(err)
		}
	}
	send(findings, 1, 1, reportpb.Verdict_VERDICT_REVIEW)
	send(findings, 2, 2, reportpb.Verdict_VERDICT_CASE)
	send(findings, 3, 3, reportpb.Verdict_VERDICT_CASE)
	send(n.Findings(st), 4, 4, reportpb.Verdict_VERDICT_CASE) // another hub, or after a restart
	for end := time.Now().Add(10 * time.Second); n.Stats()[0].Told < 4 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	time.Sleep(50 * time.Millisecond)
	to.mu.Lock()
	defer to.mu.Unlock()
	var got []string
	for _, e := range to.got {
		b, _ := json.Marshal(e)
		if strings.Contains(string(b), "secret") || strings.Contains(string(b), "203.0.113") {
			t.Errorf("%s", b)
		}
		got = append(got, strings.TrimSpace(e.Kind+" "+e.State+" "+e.Owner+" "+e.Sensor+" "+e.Outcome))
	}
	if d := cmp.Diff([]string{"case.opened open ann", "case.comment  bob", "case.changed handed-over ann  confirmed", "finding.case   north"}, got); d != "" {
		t.Error(d)
	}
}
