package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/report/fleetpb"
	"simtrap/report/reportpb"
)

func TestAdmission(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		hash := sha256.Sum256([]byte("secret"))
		token := Token{Hash: hash, Sensor: "north", By: "root", Made: noon, Expires: noon.Add(time.Hour)}
		issue := func(serial string) func(string) (Admission, error) {
			return func(name string) (Admission, error) {
				return Admission{Serial: serial, Given: noon, Ends: noon.Add(24 * time.Hour), Version: "1.2"}, nil
			}
		}
		if err := s.AddToken(ctx, token); err != nil {
			t.Fatal(err)
		}
		if err := s.AddToken(ctx, token); !errors.Is(err, ErrConflict) {
			t.Errorf("the same token again: %v", err)
		}
		if _, err := s.TakeToken(ctx, sha256.Sum256(nil), noon, issue("0")); !errors.Is(err, ErrSpent) {
			t.Errorf("no token: %v", err)
		}
		if _, err := s.TakeToken(ctx, hash, noon.Add(time.Hour), issue("0")); !errors.Is(err, ErrSpent) {
			t.Errorf("late: %v", err)
		}
		broken := errors.New("broken")
		if _, err := s.TakeToken(ctx, hash, noon, func(string) (Admission, error) { return Admission{}, broken }); !errors.Is(err, broken) {
			t.Errorf("no certificate: %v", err)
		}
		// Many take it at once, one gets it.
		var wins []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				a, err := s.TakeToken(ctx, hash, noon, issue(fmt.Sprint("serial ", i)))
				if err != nil && !errors.Is(err, ErrSpent) {
					t.Errorf("take: %v", err)
				}
				if err == nil {
					mu.Lock()
					wins = append(wins, a.Serial)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(wins) != 1 {
			t.Fatalf("taken %d times", len(wins))
		}
		admitted := func(serial, want string, at time.Time) {
			t.Helper()
			name, _, err := s.Admitted(ctx, serial, at)
			if name != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrRevoked) {
				t.Errorf("%s at %v: %q, %v", serial, at, name, err)
			}
		}
		admitted(wins[0], "north", noon)
		admitted("another", "", noon)
		admitted(wins[0], "", noon.Add(24*time.Hour))
		if err := s.Renewed(ctx, wins[0], Admission{Sensor: "north", Serial: "renewed", Given: noon, Ends: noon.Add(48 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		admitted("renewed", "north", noon.Add(36*time.Hour))
		if err := s.Renewed(ctx, "w0", Admission{Sensor: "west", Serial: "w", Given: noon, Ends: noon}); !errors.Is(err, ErrRevoked) {
			t.Errorf("renewed a stranger: %v", err)
		}
		if _, err := s.Ingest(ctx, Delivery{Sensor: "west"}); !errors.Is(err, ErrRevoked) {
			t.Errorf("a stranger's report: %v", err)
		}

		if err := s.Revoke(ctx, "north", "root", "stolen", noon); err != nil {
			t.Fatal(err)
		}
		if err := s.Revoke(ctx, "west", "root", "", noon); !errors.Is(err, ErrNotFound) {
			t.Errorf("revoked a stranger: %v", err)
		}
		// A token that nobody has taken yet can be taken back.
		lost := Token{Hash: sha256.Sum256([]byte("lost")), Sensor: "east", By: "root", Made: noon, Expires: noon.Add(time.Hour)}
		if err := s.AddToken(ctx, lost); err != nil {
			t.Fatal(err)
		}
		if err := s.Revoke(ctx, "east", "root", "token lost", noon); err != nil {
			t.Errorf("revoked a token: %v", err)
		}
		if _, err := s.TakeToken(ctx, lost.Hash, noon, issue("lost")); !errors.Is(err, ErrSpent) {
			t.Errorf("a token that was taken back: %v", err)
		}
		admitted("renewed", "", noon)
		if _, err := s.Ingest(ctx, Delivery{Sensor: "north"}); !errors.Is(err, ErrRevoked) {
			t.Errorf("a report after revocation: %v", err)
		}
		if got, err := s.Revoked(ctx, noon); err != nil || len(got) != 2 || !slices.Contains(got, "renewed") {
			t.Errorf("revoked %v, %v", got, err)
		}
		// Admitted anew, the old certificates stay what they are.
		token.Hash = sha256.Sum256([]byte("second"))
		if err := s.AddToken(ctx, token); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TakeToken(ctx, token.Hash, noon, issue("again")); err != nil {
			t.Fatal(err)
		}
		admitted("again", "north", noon)
		admitted("renewed", "", noon)

		// What the old certificate had under way when it was revoked comes to nothing,
		// though the sensor is admitted.
		if err := s.Renewed(ctx, "renewed", Admission{Sensor: "north", Serial: "stolen", Given: noon, Ends: noon.Add(48 * time.Hour)}); !errors.Is(err, ErrRevoked) {
			t.Errorf("renewed with a certificate that was revoked: %v", err)
		}
		admitted("stolen", "", noon)
		since := func(serial string) time.Time {
			_, at, err := s.Admitted(ctx, serial, noon)
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		first := since("again")
		if _, err := s.Ingest(ctx, Delivery{Sensor: "north", Admitted: first}); err != nil {
			t.Errorf("of the admission that stands: %v", err)
		}
		// Admitted anew without being revoked, the certificate of before counts no more
		// either.
		token.Hash = sha256.Sum256([]byte("third"))
		if err := s.AddToken(ctx, token); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TakeToken(ctx, token.Hash, noon.Add(time.Second), issue("third")); err != nil {
			t.Fatal(err)
		}
		admitted("third", "north", noon)
		admitted("again", "", noon)
		if _, err := s.Ingest(ctx, Delivery{Sensor: "north", Admitted: first}); !errors.Is(err, ErrRevoked) {
			t.Errorf("a report of the admission before: %v", err)
		}
		if _, err := s.Ingest(ctx, Delivery{Sensor: "north", Admitted: since("third")}); err != nil {
			t.Errorf("of the admission that stands: %v", err)
		}
	})
}

func TestPolicy(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if p, err := s.LatestPolicy(ctx); err != nil || p.Version != 0 || p.Policy == nil {
			t.Errorf("before the first: %+v, %v", p, err)
		}
		if p, err := s.LatestPack(ctx); p != nil || err != nil {
			t.Errorf("before the first: %v, %v", p, err)
		}
		for _, v := range []uint64{1, 2} {
			if err := s.AddPolicy(ctx, Policy{Version: v, By: "root", Made: noon, Policy: &fleetpb.Policy{Home: []string{"10.0.0.0/8"}, Catalogue: &fleetpb.CataloguePack{}}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range []uint64{1, 2, 4} {
			if err := s.AddPolicy(ctx, Policy{Version: v}); !errors.Is(err, ErrConflict) {
				t.Errorf("version %d: %v", v, err)
			}
		}
		p, err := s.LatestPolicy(ctx)
		if err != nil || p.Version != 2 || p.Policy.GetVersion() != 2 || p.Policy.GetCatalogue() != nil || len(p.Policy.GetHome()) != 1 || p.By != "root" || !p.Made.Equal(noon) {
			t.Errorf("policy %+v, %v", p, err)
		}
		big := make([]byte, 4<<20)
		for i := range big {
			big[i] = byte(i * i >> 7)
		}
		if err := s.AddPack(ctx, &fleetpb.CataloguePack{Version: 7, Content: big}, "root", noon); err != nil {
			t.Fatal(err)
		}
		if err := s.AddPack(ctx, &fleetpb.CataloguePack{Version: 7}, "root", noon); !errors.Is(err, ErrConflict) {
			t.Errorf("the same version: %v", err)
		}
		if k, err := s.LatestPack(ctx); err != nil || k.GetVersion() != 7 || len(k.GetContent()) != len(big) {
			t.Errorf("pack: %v", err)
		}
		if st, err := s.PolicyStand(ctx, "north"); err != nil || st != (PolicyStand{Version: 9, Catalogue: 7}) {
			t.Errorf("stand %+v, %v", st, err)
		}
	})
}

func TestPeople(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := Account{Name: "ana", Role: "analyst", Password: "$argon2id$...", Made: noon, Changed: noon}
		if err := s.AddAccount(ctx, a); err != nil {
			t.Fatal(err)
		}
		if err := s.AddAccount(ctx, a); !errors.Is(err, ErrConflict) {
			t.Errorf("added again: %v", err)
		}
		a.Version, a.Disabled, a.Changed = 1, true, noon.Add(time.Hour)
		if err := s.PutAccount(ctx, a); err != nil {
			t.Fatal(err)
		}
		if err := s.PutAccount(ctx, a); !errors.Is(err, ErrConflict) {
			t.Errorf("an old version: %v", err)
		}
		if err := s.PutAccount(ctx, Account{Name: "bob"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("no account: %v", err)
		}
		a.Version = 2
		got, err := s.Accounts(ctx)
		if diff := cmp.Diff([]Account{a}, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		// Tokens of programs outlive any number of logins, and no one makes room for another.
		for i := range maxSessions + 1 {
			err := s.AddSession(ctx, Session{Hash: [32]byte{byte(i), 1}, Account: "ana", Program: true, Made: noon, Expires: noon.Add(time.Hour)})
			if i < maxSessions && err != nil || i == maxSessions && !errors.Is(err, ErrFull) {
				t.Fatalf("program %d: %v", i, err)
			}
		}
		for i := range maxSessions + 5 {
			if err := s.AddSession(ctx, Session{Hash: [32]byte{byte(i)}, Account: "ana", Made: noon.Add(time.Duration(i) * time.Second), Expires: noon.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range maxSessions {
			if x, err := s.Session(ctx, [32]byte{byte(i), 1}, noon); err != nil || !x.Program {
				t.Fatalf("program %d: %v, %v", i, x, err)
			}
		}
		// What has ended is in nobody's way.
		if err := s.AddSession(ctx, Session{Hash: [32]byte{99, 1}, Account: "ana", Program: true, Made: noon.Add(time.Hour), Expires: noon.Add(2 * time.Hour)}); err != nil {
			t.Errorf("after the others ended: %v", err)
		}
		session := func(i byte, at time.Time, want error) {
			t.Helper()
			n, err := s.Session(ctx, [32]byte{i}, at)
			if !errors.Is(err, want) || err == nil && n.Account != "ana" {
				t.Errorf("session %d: %+v, %v", i, n, err)
			}
		}
		session(4, noon, ErrNotFound) // one too many
		session(5, noon, nil)
		session(5, noon.Add(time.Hour), ErrNotFound)
		if err := s.DropSession(ctx, [32]byte{5}); err != nil {
			t.Fatal(err)
		}
		session(5, noon, ErrNotFound)
		session(6, noon, nil)
		if err := s.DropSessions(ctx, "ana"); err != nil {
			t.Fatal(err)
		}
		session(6, noon, ErrNotFound)
	})
}

func TestAudit(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		link := func(who string) func(AuditEntry) (AuditEntry, error) {
			return func(h AuditEntry) (AuditEntry, error) {
				e := AuditEntry{Sequence: h.Sequence + 1, At: noon, Account: who, Action: "look", Body: []byte(who), Previous: h.Hash}
				e.Hash = sha256.Sum256(append(e.Previous[:], e.Body...))
				return e, nil
			}
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 5 {
					if _, err := s.AppendAudit(ctx, link(fmt.Sprint("person ", i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		es, err := s.Audit(ctx, 1, 100)
		if err != nil || len(es) != 40 {
			t.Fatalf("%d entries, %v", len(es), err)
		}
		var before AuditEntry
		for _, e := range es {
			if e.Sequence != before.Sequence+1 || e.Previous != before.Hash || e.Hash != sha256.Sum256(append(e.Previous[:], e.Body...)) {
				t.Fatalf("the chain is broken at %d", e.Sequence)
			}
			before = e
		}
		if h, err := s.AuditHead(ctx); err != nil || h.Hash != before.Hash {
			t.Errorf("head %+v, %v", h, err)
		}
		if es, err := s.Audit(ctx, 39, 1); err != nil || len(es) != 1 || es[0].Sequence != 39 {
			t.Errorf("one entry: %+v, %v", es, err)
		}
		if _, err := s.AppendAudit(ctx, func(h AuditEntry) (AuditEntry, error) {
			return AuditEntry{Sequence: h.Sequence + 2, Previous: h.Hash}, nil
		}); !errors.Is(err, ErrInvalid) {
			t.Errorf("a hole in the chain: %v", err)
		}
	})
}

func TestCases(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		box, ring := filled(t, s)
		c := Case{ID: ID{1}, Title: "a flat in the north", State: CaseOpen, Owner: "ana", Rings: []ID{ring}, Boxes: []ID{box}, Opened: noon}
		if err := s.AddCase(ctx, c); err != nil {
			t.Fatal(err)
		}
		if err := s.AddCase(ctx, c); !errors.Is(err, ErrConflict) {
			t.Errorf("added again: %v", err)
		}
		if err := s.AddCase(ctx, Case{ID: ID{2}, State: CaseOpen, Opened: noon.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		c.Version, c.State, c.Closed, c.Outcome, c.Boxes = 1, CaseClosed, noon.Add(time.Hour), OutcomeConfirmed, nil
		if err := s.PutCase(ctx, c); err != nil {
			t.Fatal(err)
		}
		if err := s.PutCase(ctx, c); !errors.Is(err, ErrConflict) {
			t.Errorf("an old version: %v", err)
		}
		if err := s.PutCase(ctx, Case{ID: ID{3}, State: CaseOpen}); !errors.Is(err, ErrNotFound) {
			t.Errorf("no case: %v", err)
		}
		c.Version = 2
		got, err := s.Case(ctx, c.ID)
		if diff := cmp.Diff(c, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		for _, q := range []struct {
			f    Filter
			want []ID
		}{
			{Filter{}, []ID{{2}, {1}}}, {Filter{CaseStates: []CaseState{CaseClosed}}, []ID{{1}}}, {Filter{Rings: []ID{ring}}, []ID{{1}}},
			{Filter{Boxes: []ID{box}}, nil}, {Filter{Cases: []ID{{2}, {7}}}, []ID{{2}}}, {Filter{Until: noon.Add(time.Minute)}, []ID{{1}}}, {Filter{From: noon.Add(2 * time.Hour)}, []ID{{2}}},
		} {
			var ids []ID
			for _, x := range all(t, s.Cases, q.f, 1) {
				ids = append(ids, x.ID)
			}
			if diff := cmp.Diff(q.want, ids); diff != "" {
				t.Errorf("cases by %+v (-want +got):\n%s", q.f, diff)
			}
		}
		if got := lineNames(all(t, s.Findings, Filter{Cases: []ID{{1}}}, 5)); !slices.Equal(got, []string{"10.0.0.10", "10.0.0.7"}) {
			t.Errorf("findings of the case: %v", got)
		}
		m := Comment{Case: c.ID, At: noon, Author: "ana", Text: "seen"}
		for range 2 {
			if err := s.AddComment(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		if cs, err := s.Comments(ctx, c.ID, 10); err != nil || !cmp.Equal(cs, []Comment{m}) {
			t.Errorf("comments %+v, %v", cs, err)
		}
		if err := s.AddComment(ctx, Comment{Case: ID{9}}); !errors.Is(err, ErrNotFound) {
			t.Errorf("comment on nothing: %v", err)
		}
		o := FindingOutcome{Finding: FindingID("south", findingID(7)), Outcome: OutcomeConfirmed, Case: c.ID, By: "ana", At: noon, Note: "eight slots"}
		if err := s.SetOutcome(ctx, o); err != nil {
			t.Fatal(err)
		}
		if err := s.SetOutcome(ctx, FindingOutcome{Finding: ID{1}, Outcome: OutcomeInnocent}); !errors.Is(err, ErrNotFound) {
			t.Errorf("outcome of nothing: %v", err)
		}
		os, fs, err := s.Outcomes(ctx, ID{}, 10)
		if diff := cmp.Diff([]FindingOutcome{o}, os); diff != "" || err != nil || len(fs) != 1 || fs[0].Outcome != OutcomeConfirmed {
			t.Errorf("%v, %d findings (-want +got):\n%s", err, len(fs), diff)
		}
		if err := s.SetOutcome(ctx, FindingOutcome{Finding: o.Finding}); err != nil {
			t.Fatal(err)
		}
		if os, _, err := s.Outcomes(ctx, ID{}, 10); len(os) != 0 || err != nil {
			t.Errorf("taken back: %+v, %v", os, err)
		}
	})
}

type sealer struct{}

func (sealer) Sign(body []byte) ([]byte, string, error) {
	sum := sha256.Sum256(body)
	return sum[:], "seal", nil
}

// TestRevisionsRenew: what is revised is kept from its last revision on, whether or not
// anything but its time has changed.
func TestRevisionsRenew(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx, day := t.Context(), 24*time.Hour
		told := func(at time.Time, seq, revision uint64, ns ...int) {
			t.Helper()
			d := Delivery{Sensor: "north", Epoch: 7, First: seq, Last: seq, ReceivedAt: at}
			for _, n := range ns {
				d.Records = append(d.Records, record(seq, revisionOf(n, revision, reportpb.Verdict_VERDICT_WATCH, fmt.Sprint("203.0.113.", n))))
			}
			if _, err := s.Ingest(ctx, d); err != nil {
				t.Fatal(err)
			}
		}
		admit(t, s, "north")
		told(noon, 1, 1, 1, 2, 3)
		told(noon.Add(time.Minute), 2, 2, 1) // in the same unit of age
		told(noon.Add(5*day), 3, 3, 2)       // days later
		told(noon.Add(5*day), 4, 1, 3)       // known: it renews nothing
		due := func(of int, want time.Time) {
			t.Helper()
			var at int64
			if err := one(ctx, s.db, []any{&at}, "SELECT due FROM finding WHERE id = ?", rawIDs([]ID{FindingID("north", findingID(of))})[0]); err != nil || at != want.UnixNano()/agedUnit {
				t.Errorf("finding %d is due by what came at %v, %v, want %v", of, time.Unix(0, at*agedUnit).UTC(), err, want)
			}
		}
		due(2, noon) // no revision moves it in an index
		if _, err := s.Expire(ctx, noon.Add(8*day), Retention{}, sealer{}); err != nil {
			t.Fatal(err)
		}
		rows := all(t, s.Findings, Filter{}, 100)
		if len(rows) != 1 || rows[0].Report.GetRevision() != 3 || !rows[0].Received.Equal(noon.Add(5*day)) {
			t.Fatalf("left after 8 days: %+v, want the finding that was revised on the fifth", rows)
		}
		due(2, noon.Add(5*day))
		if _, err := s.Expire(ctx, noon.Add(13*day), Retention{}, sealer{}); err != nil {
			t.Fatal(err)
		}
		if rows := all(t, s.Findings, Filter{}, 100); len(rows) != 0 {
			t.Errorf("left after 13 days: %+v", rows)
		}
	})
}

func TestExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		box, _ := filled(t, s)
		deliverRecords(t, s, "north", &reportpb.Record{Sequence: 99, Kind: &reportpb.Record_Call{Call: &reportpb.Call{FindingId: findingID(2), Id: findingID(2), Start: stamp(noon)}}})
		// Finding 10, at review, is held by a case; 14 by what turned out.
		if err := s.AddCase(ctx, Case{ID: ID{1}, State: CaseOpen, Boxes: []ID{box}, Opened: noon}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetOutcome(ctx, FindingOutcome{Finding: FindingID("north", findingID(14)), Outcome: OutcomeInnocent, At: noon}); err != nil {
			t.Fatal(err)
		}
		left := func(after time.Duration, want func(n int) bool) {
			t.Helper()
			if _, err := s.Expire(ctx, noon.Add(after), Retention{}, sealer{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(numbers(want), lineNames(all(t, s.Findings, Filter{}, 100))); diff != "" {
				t.Errorf("left after %v (-want +got):\n%s", after, diff)
			}
			if got := all(t, s.Lines, Filter{}, 100); len(got) != len(numbers(want)) {
				t.Errorf("%d lines left after %v", len(got), after)
			}
		}
		day := 24 * time.Hour
		// Hours of a controller that suspects name, and of one that nobody does.
		hour := func(seq uint64, addr string, at time.Time) *reportpb.Record {
			return &reportpb.Record{Sequence: seq, Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{
				Hour: stamp(at), Controllers: []*reportpb.ControllerHour{{Addr: addr, Role: "registrar", Lines: 5}}}}}
		}
		deliverRecords(t, s, "north", hour(100, "198.51.100.9", noon.Add(-3*day)), hour(101, "198.51.100.9", noon.Add(-day)), hour(102, "198.51.100.9", noon), hour(103, "192.0.2.1", noon))
		hours := func(after time.Duration, want int) {
			t.Helper()
			var n int
			if err := one(ctx, s.db, []any{&n}, "SELECT count(*) FROM controller_hour"); err != nil || n != want {
				t.Errorf("%d hours left after %v, want %d, %v", n, after, want, err)
			}
		}
		left(18*time.Hour, func(int) bool { return true })
		left(31*time.Hour, func(n int) bool { return n%4 != 0 })
		if c, err := s.Census(ctx); err != nil || c != (Census{Watch: 10, Review: 10, Case: 10}) {
			t.Errorf("census %+v, %v", c, err)
		}
		hours(31*time.Hour, 4)
		left(8*day, func(n int) bool { return n%4 >= 2 })
		hours(8*day, 2)
		if lines, err := s.BusiestHour(ctx, []string{"198.51.100.9", "192.0.2.1"}); err != nil || !slices.Equal(lines, []int{5, 0}) {
			t.Errorf("busiest hours %v, %v", lines, err)
		}
		left(31*day, func(n int) bool { return n%4 == 3 || n == 10 || n == 14 })
		// The case closes.
		c, err := s.Case(ctx, ID{1})
		if err != nil {
			t.Fatal(err)
		}
		c.State = CaseClosed
		if err := s.PutCase(ctx, c); err != nil {
			t.Fatal(err)
		}
		left(32*day, func(n int) bool { return n%4 == 3 || n == 14 })
		if b, err := s.Box(ctx, box); err != nil || len(b.Members) != 1 {
			t.Errorf("box %+v, %v", b, err)
		}
		left(800*day, func(n int) bool { return false })
		if _, err := s.Box(ctx, box); !errors.Is(err, ErrNotFound) {
			t.Errorf("a box of nothing: %v", err)
		}
		for _, table := range []string{"finding", "line", "bearer", "revision", "call", "member", "edge", "box", "ring", "card", "controller", "controller_hour", "controller_use", "outcome"} {
			var n int
			if err := one(ctx, s.db, []any{&n}, "SELECT count(*) FROM "+table); err != nil || n != 0 {
				t.Errorf("%d rows left in %s, %v", n, table, err)
			}
		}
		ds, err := s.Deletions(ctx, 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		previous := ""
		for i, d := range ds {
			var b DeletionBody
			if err := json.Unmarshal(d.Body, &b); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(d.Body)
			if d.Sequence != uint64(i+1) || b.Sequence != d.Sequence || b.Previous != previous || !slices.Equal(d.Signature, sum[:]) || d.Key != "seal" {
				t.Errorf("record %d: %+v", i, b)
			}
			previous = fmt.Sprintf("%x", sum)
			for _, n := range b.Findings {
				total += n
			}
		}
		if total != 40 {
			t.Errorf("records tell of %d findings", total)
		}
	})
}

func TestBackup(t *testing.T) {
	folder := t.TempDir()
	s := openStore(t, Options{Folder: folder})
	filled(t, s)
	ctx := t.Context()
	copied := filepath.Join(t.TempDir(), "copy.db")
	// While others write.
	stop, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 100; stop.Err() == nil; n++ {
			if _, err := s.Ingest(ctx, Delivery{Sensor: "north", First: 1, Last: 1, Records: []*reportpb.Record{record(1, revisionOf(n, 1, watch, "10.1.1.1"))}}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	err := s.Backup(ctx, copied)
	cancel()
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(copied); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("mode of the copy: %v, %v", i.Mode(), err)
	}
	if err := s.Backup(ctx, copied); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another file: %v", err)
	}
	if err := Restore(ctx, copied, folder, noon); !errors.Is(err, ErrConflict) {
		t.Errorf("over a store: %v", err)
	}
	other := filepath.Join(t.TempDir(), "hub")
	if err := Restore(ctx, copied, other, noon); err != nil {
		t.Fatal(err)
	}
	r := openStore(t, Options{Folder: other})
	if got := lineNames(all(t, r.Findings, Filter{Lines: []LineMatch{{Prefix: netip.MustParsePrefix("10.0.0.0/24")}}}, 100)); len(got) != 40 {
		t.Errorf("%d findings restored", len(got))
	}

	b, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{"cut": b[:len(b)/2], "no store": []byte("hello"), "empty": nil} {
		path := filepath.Join(t.TempDir(), "bad.db")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "hub")
		if err := Restore(ctx, path, to, noon); err == nil {
			t.Errorf("%s: restored", name)
		}
		if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: left the folder: %v", name, err)
		}
	}
}

// What was spent, ended or told after a copy stays so when the copy is put back.
func TestRestored(t *testing.T) {
	ctx := t.Context()
	folder := t.TempDir()
	s := openStore(t, Options{Folder: folder})
	admit(t, s, "north")
	policy := func(s *Store) {
		t.Helper()
		p, err := s.LatestPolicy(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AddPolicy(ctx, Policy{Version: p.Version + 1, By: "root", Made: noon, Policy: &fleetpb.Policy{Home: []string{"10.0.0.0/8"}}}); err != nil {
			t.Fatal(err)
		}
	}
	stand := func(s *Store) uint64 {
		t.Helper()
		p, err := s.PolicyStand(ctx, "north")
		if err != nil {
			t.Fatal(err)
		}
		return p.Version
	}
	policy(s)
	token := Token{Hash: sha256.Sum256([]byte("open")), Sensor: "south", By: "root", Made: noon, Expires: noon.Add(time.Hour)}
	if err := s.AddToken(ctx, token); err != nil {
		t.Fatal(err)
	}
	session := Session{Hash: [32]byte{1}, Account: "ana", Made: noon, Expires: noon.Add(time.Hour)}
	if err := s.AddSession(ctx, session); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Backup(ctx, copied); err != nil {
		t.Fatal(err)
	}
	issue := func(string) (Admission, error) {
		return Admission{Serial: "south's", Given: noon, Ends: noon.Add(time.Hour)}, nil
	}
	if _, err := s.TakeToken(ctx, token.Hash, noon, issue); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		policy(s)
	}
	told := stand(s)

	other := filepath.Join(t.TempDir(), "hub")
	if err := Restore(ctx, copied, other, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	r := openStore(t, Options{Folder: other})
	if _, err := r.TakeToken(ctx, token.Hash, noon, issue); !errors.Is(err, ErrSpent) {
		t.Errorf("a token that was spent after the copy: %v", err)
	}
	if _, err := r.Session(ctx, session.Hash, noon); !errors.Is(err, ErrNotFound) {
		t.Errorf("a session of before: %v", err)
	}
	for range 3 {
		if got := stand(r); got <= told {
			t.Errorf("the policy is number %d, of which sensors have another up to %d", got, told)
		}
		policy(r)
	}
	if p, err := r.LatestPolicy(ctx); err != nil || len(p.Policy.GetHome()) != 1 || p.Policy.GetVersion() != p.Version {
		t.Errorf("policy %+v, %v", p, err)
	}
	// Put back once more, later: above all that was told meanwhile.
	told = stand(r)
	third := filepath.Join(t.TempDir(), "hub")
	if err := Restore(ctx, copied, third, noon.Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := stand(openStore(t, Options{Folder: third})); got <= told {
		t.Errorf("the policy is number %d, of which sensors have another up to %d", got, told)
	}
	// What a sensor says it has is not cut down.
	h := &reportpb.Health{At: stamp(noon), Policy: told, Catalogue: 1}
	deliverRecords(t, r, "north", &reportpb.Record{Sequence: 1, Kind: &reportpb.Record_Health{Health: h}})
	if x, err := r.Sensor(ctx, "north"); err != nil || x.Policy != told {
		t.Errorf("the sensor has policy %d, %v; want %d", x.Policy, err, told)
	}
}

func TestAccountOf(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if _, err := s.AccountOf(ctx, "oidc:x#1"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		for i, a := range []Account{{Name: "new", Password: "oidc:x#1"}, {Name: "old", Password: "oidc:x#1", Made: noon.Add(-time.Hour)}, {Name: "closed", Password: "oidc:x#2", Disabled: true, Made: noon.Add(time.Hour)}, {Name: "open", Password: "oidc:x#2"}} {
			if a.Made.IsZero() {
				a.Made = noon
			}
			if err := s.AddAccount(ctx, a); err != nil {
				t.Fatal(i, err)
			}
		}
		for subject, want := range map[string]string{"oidc:x#1": "old", "oidc:x#2": "closed"} {
			if a, err := s.AccountOf(ctx, subject); err != nil || a.Name != want {
				t.Errorf("%s: %+v, %v", subject, a, err)
			}
		}
	})
}
