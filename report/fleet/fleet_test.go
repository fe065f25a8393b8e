package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"simtrap/heuristics/catalogue"
	"simtrap/report/fleet"
	"simtrap/report/fleet/fleettest"
	"simtrap/report/fleetpb"
	"simtrap/report/outbox"
	"simtrap/report/reportpb"
	"simtrap/report/uplink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func started(t *testing.T) *fleettest.Hub {
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

func enrolled(t *testing.T, h *fleettest.Hub, name string) (*fleet.Member, string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "fleet")
	m, err := enroll(t.Context(), folder, h.Addr(), h.Token(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m, folder
}

func enroll(ctx context.Context, folder, hub, token string) (*fleet.Member, error) {
	x, err := fleet.ParseToken(token)
	if err != nil {
		return nil, err
	}
	return fleet.Enroll(ctx, folder, hub, x, "test")
}

// A token admits once; what it gives outlives a restart, for its owner alone.
func TestEnroll(t *testing.T) {
	h := started(t)
	folder := filepath.Join(t.TempDir(), "fleet")
	if _, err := fleet.Open(folder); !errors.Is(err, fleet.ErrNotEnrolled) {
		t.Errorf("before: %v", err)
	}
	token := h.Token("north-7")
	m, err := enroll(t.Context(), folder, h.Addr(), token)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Sensor() != "north-7" || m.Hub() != h.Addr() {
		t.Errorf("%s at %s", m.Sensor(), m.Hub())
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	info, err := os.Stat(filepath.Join(folder, "member"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	again, err := fleet.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := again.KeyAt(time.Now())
	if !ok || key.Epoch != 1 || string(key.Key) != string(h.Keys()[0].GetKey()) {
		t.Error("another fleet key after a restart")
	}
	if s := fmt.Sprintf("%v %+v %#v %x", key, key, key, key); strings.Contains(s, fmt.Sprintf("%x", key.Key)) || !strings.Contains(s, "fleet key 1") {
		t.Errorf("printed as %q", s)
	}
	// A second appliance with the same token is none.
	if _, err := enroll(t.Context(), filepath.Join(t.TempDir(), "fleet"), h.Addr(), token); err == nil || !strings.Contains(err.Error(), "used before") {
		t.Errorf("a token replayed: %v", err)
	}
}

// A token is told to nobody but the hub that it is of.
func TestEnrollRefuses(t *testing.T) {
	h, other := started(t), started(t)
	token := h.Token("north-7")
	_, err := enroll(t.Context(), filepath.Join(t.TempDir(), "fleet"), other.Addr(), token)
	if !errors.Is(err, fleet.ErrAuthority) {
		t.Errorf("another hub: %v", err)
	}
	// It was not told: it is good still.
	m, err := enroll(t.Context(), filepath.Join(t.TempDir(), "fleet"), h.Addr(), token)
	if err != nil {
		t.Fatalf("after another hub was asked: %v", err)
	}
	m.Close()
	// The certificate is for another address than the one that was asked.
	elsewhere := forwarded(t, "127.0.0.2:0", h.Addr())
	token = h.Token("b")
	if _, err := enroll(t.Context(), filepath.Join(t.TempDir(), "fleet"), elsewhere, token); err == nil || !strings.Contains(err.Error(), "nothing was told") {
		t.Errorf("a certificate of another address: %v", err)
	}
	if m, err = enroll(t.Context(), filepath.Join(t.TempDir(), "fleet"), h.Addr(), token); err != nil {
		t.Fatalf("the token was told: %v", err)
	}
	m.Close()
	for _, bad := range []string{"", "st1", "st2" + token[3:], token[:len(token)-1], token + "0", strings.Replace(token, "-", "", 1), "st1-" + strings.Repeat("g", 32) + "-" + strings.Repeat("0", 32)} {
		if _, err := fleet.ParseToken(bad); !errors.Is(err, fleet.ErrToken) {
			t.Errorf("%q is taken for a token", bad)
		}
	}
	// A folder that cannot be written is found out before the token is spent.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	token = h.Token("c")
	if _, err := enroll(t.Context(), filepath.Join(file, "fleet"), h.Addr(), token); err == nil {
		t.Error("enrolled without a folder")
	}
	m, err = enroll(t.Context(), filepath.Join(t.TempDir(), "fleet"), h.Addr(), token)
	if err != nil {
		t.Errorf("the token was spent: %v", err)
	} else {
		m.Close()
	}
}

// forwarded passes connections on from an address to another one.
func forwarded(t *testing.T, from, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Skipf("this machine has no %s: %v", from, err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				running.Go(func() { io.Copy(in, out); in.Close() })
				io.Copy(out, in)
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

func TestOpenDamaged(t *testing.T) {
	h := started(t)
	_, folder := enrolled(t, h, "a")
	_, foreign := enrolled(t, h, "b")
	good, _ := os.ReadFile(filepath.Join(folder, "member"))
	other, _ := os.ReadFile(filepath.Join(foreign, "member"))
	cut := func(b []byte, key string) string {
		s := string(b)
		i := strings.Index(s, `"`+key+`"`)
		return s[i : i+strings.Index(s[i:], `,"`)]
	}
	for name, text := range map[string]string{
		"empty": "", "half": string(good[:len(good)/2]), "nothing": "{}",
		"another's key": strings.Replace(string(good), cut(good, "PrivateKey"), cut(other, "PrivateKey"), 1),
	} {
		if err := os.WriteFile(filepath.Join(folder, "member"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fleet.Open(folder); err == nil || !strings.Contains(err.Error(), "enroll anew") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyAt(t *testing.T) {
	h, err := fleettest.New()
	if err != nil {
		t.Fatal(err)
	}
	day := 24 * time.Hour
	now := time.Now()
	h.AddKey(now.Add(10*day), 365*day)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	defer h.Stop()
	m, _ := enrolled(t, h, "a")
	for after, want := range map[time.Duration]uint32{-1000 * day: 1, 0: 1, 9 * day: 1, 11 * day: 2, 1000 * day: 2} {
		if k, ok := m.KeyAt(now.Add(after)); !ok || k.Epoch != want {
			t.Errorf("after %v: %v, want %d", after, k, want)
		}
	}
}

// applied collects what a follower has applied.
type applied struct {
	mu       sync.Mutex
	policies []*fleetpb.Policy
	packs    []uint64
}

func (a *applied) apply(_ context.Context, p *fleetpb.Policy, c *catalogue.Catalogue, version uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.policies = append(a.policies, p)
	if c != nil {
		a.packs = append(a.packs, version)
	}
	return nil
}

func wait(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

func follow(t *testing.T, m *fleet.Member, o fleet.Options) (*fleet.Follower, func()) {
	t.Helper()
	k, err := m.Kept()
	if err != nil {
		t.Fatal(err)
	}
	o.BackoffMin, o.Log = 10*time.Millisecond, zap.NewNop()
	f, err := fleet.NewFollower(m, k, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	return f, func() { cancel(); running.Wait() }
}

// The policy comes as it changes, through cuts and restarts, and lies there for
// the next start.
func TestPolicy(t *testing.T) {
	h := started(t)
	m, folder := enrolled(t, h, "a")
	a := &applied{}
	f, stop := follow(t, m, fleet.Options{Apply: a.apply})
	defer func() { stop() }()
	wait(t, "following", func() bool { return f.Stats().Following })
	h.SetPolicy(&fleetpb.Policy{Version: 1, Never: []string{"192.0.2.0/24"}})
	wait(t, "policy 1", func() bool { return f.Stats().Policy == 1 })
	h.Cut()
	h.SetPolicy(&fleetpb.Policy{Version: 2})
	wait(t, "policy 2 after a cut", func() bool { return f.Stats().Policy == 2 })
	h.Stop()
	wait(t, "noticing that the hub is gone", func() bool { return !f.Stats().Following })
	h.SetPolicy(&fleetpb.Policy{Version: 3, Home: []string{"198.51.100.0/24"}})
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, "policy 3 after a restart of the hub", func() bool { return f.Stats().Policy == 3 })
	if len(a.policies) != 3 || a.policies[0].GetNever()[0] != "192.0.2.0/24" {
		t.Errorf("%d policies applied", len(a.policies))
	}
	stop()
	again, err := fleet.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	k, err := again.Kept()
	if err != nil || k.Problem != nil || k.Policy.GetVersion() != 3 || k.Policy.GetHome()[0] != "198.51.100.0/24" {
		t.Errorf("kept %v, %v, %v", k.Policy, k.Problem, err)
	}
	// Who has it is not told again.
	b := &applied{}
	f, stop = follow(t, again, fleet.Options{Apply: b.apply})
	wait(t, "following again", func() bool { return f.Stats().Following })
	if len(b.policies) != 0 {
		t.Errorf("told again: %v", b.policies)
	}
}

// Packs count when they are signed, newer and whole; else the last good one stays.
func TestPacks(t *testing.T) {
	h, other := started(t), started(t)
	m, folder := enrolled(t, h, "a")
	content, err := fleettest.Archive(os.DirFS("../../heuristics/catalogue"))
	if err != nil {
		t.Fatal(err)
	}
	a := &applied{}
	f, stop := follow(t, m, fleet.Options{Apply: a.apply})
	defer func() { stop() }()
	version := uint64(0)
	give := func(p *fleetpb.CataloguePack) {
		version++
		h.SetPolicy(&fleetpb.Policy{Version: version, Catalogue: p})
		wait(t, "the policy", func() bool { return f.Stats().Policy == version })
	}
	expect := func(name string, catalogue, refused uint64, says string) {
		t.Helper()
		s := f.Stats()
		if s.Catalogue != catalogue || s.PackRefused != refused || !strings.Contains(s.PackError, says) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	give(h.Sign(3, content))
	expect("good", 3, 0, "")
	give(h.Sign(2, content))
	expect("older", 3, 1, "not above")
	give(other.Sign(4, content))
	expect("another hub's", 3, 2, "not signed")
	broken := h.Sign(4, content)
	broken.Version = 5
	give(broken)
	expect("another version", 3, 3, "not signed")
	give(&fleetpb.CataloguePack{Version: 6, Content: content})
	expect("unsigned", 3, 4, "not signed")
	give(h.Sign(7, []byte("no archive")))
	expect("no archive", 3, 5, "no catalogue")
	empty, err := fleettest.Archive(os.DirFS(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	give(h.Sign(8, empty))
	expect("nothing in it", 3, 6, "classes.json")
	give(h.Sign(9, content))
	expect("good again", 9, 6, "")
	stop()
	if len(a.packs) != 2 || a.packs[0] != 3 || a.packs[1] != 9 {
		t.Errorf("applied %v", a.packs)
	}
	again, err := fleet.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	k, err := again.Kept()
	if err != nil || k.Problem != nil || k.Version != 9 || k.Catalogue == nil || len(k.Catalogue.Signals) == 0 {
		t.Errorf("kept version %d, %v, %v", k.Version, k.Problem, err)
	}
	// Damaged on the disk it is no catalogue, and said.
	file := filepath.Join(folder, "catalogue")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := again.Kept(); err != nil || k.Problem == nil || k.Catalogue != nil {
		t.Errorf("damaged: version %d, %v, %v", k.Version, k.Problem, err)
	}
}

// A certificate is renewed before it ends, with the same key, and connections
// begin anew with it.
func TestRenewal(t *testing.T) {
	h, err := fleettest.New()
	if err != nil {
		t.Fatal(err)
	}
	h.Life = 4 * time.Second
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	defer h.Stop()
	m, folder := enrolled(t, h, "a")
	h.AddKey(time.Now(), time.Hour)
	_, before := m.Valid()
	a := &applied{}
	f, stop := follow(t, m, fleet.Options{Apply: a.apply, Renew: 0.3})
	defer func() { stop() }()
	wait(t, "a renewal", func() bool { return f.Stats().Renewals > 0 })
	if _, after := m.Valid(); !after.After(before) {
		t.Errorf("valid until %v, before %v", after, before)
	}
	if k, _ := m.KeyAt(time.Now()); k.Epoch != 2 {
		t.Errorf("%v: the new key did not come along", k)
	}
	h.SetPolicy(&fleetpb.Policy{Version: 1})
	wait(t, "the policy over the new connection", func() bool { return f.Stats().Policy == 1 })
	stop()
	again, err := fleet.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, after := again.Valid(); !after.After(before) {
		t.Error("the renewed certificate was not kept")
	}
	again.Close()
}

// batch is one that holds a gap and a finding.
func batch(t *testing.T) uplink.Batch {
	t.Helper()
	p, err := uplink.Payload(&reportpb.Record{KeyEpoch: 1, Kind: &reportpb.Record_Finding{Finding: &reportpb.FindingRevision{Id: []byte("0123456789abcdef"), Revision: 4}}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := uplink.Encode(nil, []outbox.Record{{Epoch: 7, Seq: 5, Kind: uplink.KindFinding, Payload: p}})
	if err != nil {
		t.Fatal(err)
	}
	return uplink.Batch{Epoch: 7, First: 5, Last: 5, Records: 1, Body: body}
}

// Whoever has no certificate of the hub's, or one that has ended or was revoked,
// is turned away, and does not take that for a batch that is refused.
func TestTurnedAway(t *testing.T) {
	h, other := started(t), started(t)
	good, _ := enrolled(t, h, "good")
	send := func(m *fleet.Member) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		acked, err := uplink.NewGRPC(m.Client(), m.URL()).Send(ctx, batch(t))
		if err == nil && acked != 5 {
			t.Errorf("acknowledged %d", acked)
		}
		return err
	}
	if err := send(good); err != nil {
		t.Fatal(err)
	}
	refused := func(name string, m *fleet.Member, says string) {
		t.Helper()
		if err := send(m); err == nil || errors.Is(err, uplink.ErrRefused) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	foreign, _ := enrolled(t, other, "good")
	foreign.SetHub(h.Addr())
	refused("another fleet's", foreign, "certificate")
	h.Life = time.Second
	short, _ := enrolled(t, h, "short")
	time.Sleep(1200 * time.Millisecond)
	refused("expired", short, "")
	h.Revoke("good")
	refused("revoked", good, "revoked")
	if n := len(h.Kept()); n != 1 {
		t.Errorf("%d records kept", n)
	}
}

// The same record is the same at the hub, however often it is sent.
func TestWire(t *testing.T) {
	h := started(t)
	m, _ := enrolled(t, h, "a")
	s := uplink.NewGRPC(m.Client(), m.URL())
	for range 2 {
		if _, err := s.Send(t.Context(), batch(t)); err != nil {
			t.Fatal(err)
		}
	}
	want := &reportpb.Record{Sequence: 5, KeyEpoch: 1, Kind: &reportpb.Record_Finding{Finding: &reportpb.FindingRevision{Id: []byte("0123456789abcdef"), Revision: 4}}}
	if got := h.Kept()[fleettest.Key{Sensor: "a", Epoch: 7, Sequence: 5}]; !proto.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	c := s.Clock()
	if c.At.IsZero() || c.Ahead.Abs() > c.Uncertainty+50*time.Millisecond {
		t.Errorf("the clock of the same machine: %+v", c)
	}
	bad := batch(t)
	bad.First = 4
	if _, err := s.Send(t.Context(), bad); !errors.Is(err, uplink.ErrRefused) {
		t.Errorf("a batch that does not fit: %v", err)
	}
	h.RetryAfter = 1500
	var busy *uplink.Busy
	if acked, err := s.Send(t.Context(), batch(t)); !errors.As(err, &busy) || busy.After != 1500*time.Millisecond || acked != 5 {
		t.Errorf("asked to wait: %d, %v", acked, err)
	}
}

func FuzzUnpack(f *testing.F) {
	small, err := fleettest.Archive(fstest.MapFS{"classes.json": {Data: []byte("{}")}, "signals/a.json": {Data: []byte("[]")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := fleet.Unpack(b)
		if err != nil {
			return
		}
		_, _ = catalogue.Read(files)
	})
}

func FuzzToken(f *testing.F) {
	f.Add("st1-00000000000000000000000000000000-00000000000000000000000000000000")
	f.Add("st1--")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := fleet.ParseToken(s); err == nil && len(strings.TrimSpace(s)) != 69 {
			t.Errorf("%q is taken", s)
		}
	})
}
