package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"simtrap/report/reportpb"
)

func withContact(c string) func(*reportpb.Finding) {
	return func(f *reportpb.Finding) { f.Links.Contact = c }
}

func withController(addr, stack string) func(*reportpb.Finding) {
	return func(f *reportpb.Finding) {
		f.Controllers = append(f.Controllers, &reportpb.Controller{Addr: addr, Role: "registrar"})
		f.Links.Stack = stack
	}
}

const someStack = "00112233445566aa"

// linked stores three findings at watch and above that share keys, and claims them.
func linked(t *testing.T, s *Store) (ids [3]ID, claimed []Touched) {
	admit(t, s, "north", "south")
	deliver(t, s, "north", 1,
		revisionOf(1, 10, watch, "203.0.113.7", withContact("~aaaaaaaaaaaaaaaa"), withController("198.51.100.9", someStack)),
		revisionOf(2, 10, none, "203.0.113.8", withContact("~aaaaaaaaaaaaaaaa"), withController("198.51.100.9", someStack)),
		revisionOf(3, 10, review, "203.0.113.9", withContact("~bbbbbbbbbbbbbbbb"), withController("198.51.100.9", someStack)))
	deliver(t, s, "south", 1, revisionOf(4, 10, watch, "10.1.2.3", withContact("~aaaaaaaaaaaaaaaa")))
	ids = [3]ID{FindingID("north", findingID(1)), FindingID("north", findingID(3)), FindingID("south", findingID(4))}
	claimed, err := s.Claim(t.Context(), "me", 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(claimed) != 3 {
		t.Fatalf("claimed %v", claimed)
	}
	return ids, claimed
}

func TestQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		_, claimed := linked(t, s)
		if more, err := s.Claim(ctx, "other", 10, time.Minute); err != nil || len(more) != 0 {
			t.Errorf("claimed twice: %v, %v", more, err)
		}
		if n, err := s.Extend(ctx, "me", claimed, time.Hour); n != 3 || err != nil {
			t.Errorf("extended %d, %v", n, err)
		}
		if n, err := s.Extend(ctx, "other", claimed, time.Hour); n != 0 || err != nil {
			t.Errorf("somebody else extended %d, %v", n, err)
		}
		if err := s.Release(ctx, "me", claimed[:1]); err != nil {
			t.Fatal(err)
		}
		again, err := s.Claim(ctx, "other", 10, time.Minute)
		if err != nil || len(again) != 1 || again[0] != claimed[0] {
			t.Errorf("claimed %v, %v", again, err)
		}
		if n, err := s.Queued(ctx); n != 3 || err != nil {
			t.Errorf("queued %d, %v", n, err)
		}
	})
}

func TestBearers(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		ids, _ := linked(t, s)
		ts, err := s.Tenancies(ctx, ids[:])
		if err != nil || len(ts) != 3 {
			t.Fatalf("%d tenancies, %v", len(ts), err)
		}
		contact := KeyOf(KeyContact, s.names.again("~aaaaaaaaaaaaaaaa"))
		far := KeyOf(KeyController, "198.51.100.9")
		bs, err := s.Bearers(ctx, []Key{contact, far}, 2, 10)
		if err != nil {
			t.Fatal(err)
		}
		want := []Bearers{
			{Key: contact, Total: 2, More: true, Watch: sorted(ids[0], ids[2]), WatchTotal: 2},
			{Key: far, Total: 2, More: true, Watch: sorted(ids[0], ids[1]), WatchTotal: 2},
		}
		if diff := cmp.Diff(want, bs); diff != "" {
			t.Errorf("bearers (-want +got):\n%s", diff)
		}
		// More keys than one statement takes, and more who bear them than are asked for.
		many := make([]Key, 3*keysAtOnce)
		for i := range many {
			many[i] = KeyOf(KeyCNAME, fmt.Sprint("nobody's ", i))
		}
		many[keysAtOnce+1], many[3*keysAtOnce-1] = contact, far
		bs, err = s.Bearers(ctx, many, 10, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range bs {
			switch {
			case b.Key != many[i]:
				t.Fatalf("key %d is %v, want %v", i, b.Key, many[i])
			case b.Key == contact || b.Key == far:
				if b.Total != 3 || b.More || !b.WatchMore || b.WatchTotal != 2 || len(b.Watch) != 0 {
					t.Errorf("two bear %v, one was asked for: %+v", b.Key, b)
				}
			case b.Total != 0 || b.More || b.WatchMore || len(b.Watch) != 0:
				t.Errorf("nobody bears %v: %+v", b.Key, b)
			}
		}
		us, err := s.ControllerUse(ctx, []string{"198.51.100.9"}, 10)
		if diff := cmp.Diff([]ControllerUse{{Addr: "198.51.100.9", Lines: 3, Review: []ID{ids[1]}, AtReview: 1}}, us); diff != "" || err != nil {
			t.Errorf("use %v (-want +got):\n%s", err, diff)
		}

		// The line lapses, and has another contact.
		deliver(t, s, "north", 10, revisionOf(1, 11, none, "203.0.113.7", withContact("~cccccccccccccccc")))
		bs, err = s.Bearers(ctx, []Key{contact, far}, 10, 10)
		if err != nil {
			t.Fatal(err)
		}
		want = []Bearers{
			{Key: contact, Total: 2, Watch: sorted(ids[2]), WatchTotal: 1},
			{Key: far, Total: 2, Watch: sorted(ids[1]), WatchTotal: 1},
		}
		if diff := cmp.Diff(want, bs); diff != "" {
			t.Errorf("bearers after the change (-want +got):\n%s", diff)
		}
		c, err := s.Census(ctx)
		if err != nil || c != (Census{None: 2, Watch: 1, Review: 1}) {
			t.Errorf("census %+v, %v", c, err)
		}
		// Another rises and has what it had.
		deliver(t, s, "north", 11, revisionOf(2, 11, atCase, "203.0.113.8", withContact("~aaaaaaaaaaaaaaaa"), withController("198.51.100.9", someStack)))
		us, err = s.ControllerUse(ctx, []string{"198.51.100.9"}, 1)
		if err != nil || us[0].Lines != 1 || !us[0].More || us[0].AtReview != 2 || len(us[0].Review) != 1 {
			t.Errorf("use after the rise %+v, %v", us, err)
		}
	})
}

func sorted(ids ...ID) []ID {
	var out []ID
	for _, raw := range rawIDs(ids) {
		out = append(out, ID(raw))
	}
	return out
}

func TestSaveLinks(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		ids, claimed := linked(t, s)
		in := sorted(ids[:]...)
		box := func(n byte, ring ID, members ...ID) Box {
			return Box{ID: ID{n}, Ring: ring, Members: members, Device: &reportpb.Device{Vendor: "DBL"}, Cards: 2, Verdict: review, First: noon, Last: noon.Add(time.Hour)}
		}
		edge := Edge{A: in[0], B: in[1], Kind: 3, Scope: ScopeBox, Nats: 9.5, Reason: "the same address behind the NAT", Since: noon}
		ring := ID{9}
		l := Links{
			Owner: "me", Claimed: claimed, Seen: map[ID]uint64{in[0]: 0, in[1]: 0, in[2]: 0}, Judged: in, Edges: []Edge{edge},
			Boxes: []Box{box(1, ring, in[0], in[1]), box(2, ring, in[2])},
			Rings: []Ring{{ID: ring, Boxes: []ID{{1}, {2}}, Lines: 3, Sensors: []string{"north", "south"}, Controllers: []string{"198.51.100.9"}, Margin: ptr(4.5), Nearest: "hosted pbx", Verdict: review, First: noon, Last: noon.Add(time.Hour)}},
		}
		// One was touched meanwhile: it stays in the queue.
		if err := s.Touch(ctx, claimed[0].Finding); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveLinks(ctx, l); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Queued(ctx); n != 1 || err != nil {
			t.Errorf("queued %d, %v", n, err)
		}
		if again, err := s.Claim(ctx, "other", 9, time.Minute); err != nil || len(again) != 1 || again[0].Finding != claimed[0].Finding || again[0].Stamp == claimed[0].Stamp {
			t.Errorf("claimed %v, %v", again, err)
		}
		c, err := s.Component(ctx, in[:1], 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Tenancies) != 3 || c.Tenancies[0].Version != 1 || c.Tenancies[0].Box != (ID{1}) || c.Tenancies[2].Ring != ring {
			t.Errorf("tenancies %+v", c.Tenancies)
		}
		for i := range c.Boxes {
			c.Boxes[i].Since = time.Time{}
		}
		for i := range c.Rings {
			c.Rings[i].Since = time.Time{}
		}
		utc := func(b Box) Box { return b }
		if diff := cmp.Diff([]Box{utc(l.Boxes[0]), utc(l.Boxes[1])}, c.Boxes, protocmp.Transform()); diff != "" {
			t.Errorf("boxes (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(l.Rings, c.Rings); diff != "" {
			t.Errorf("rings (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]Edge{edge}, c.Edges); diff != "" {
			t.Errorf("edges (-want +got):\n%s", diff)
		}

		// The claim is gone now, and the versions are others.
		if err := s.SaveLinks(ctx, l); !errors.Is(err, ErrConflict) {
			t.Errorf("saved again: %v", err)
		}
		// Who has not seen a member of a box must not write the box.
		part := Links{Seen: map[ID]uint64{in[0]: 1}, Judged: in[:1], Boxes: []Box{box(1, ring, in[0])}}
		if err := s.SaveLinks(ctx, part); !errors.Is(err, ErrConflict) {
			t.Errorf("saved a part of a box: %v", err)
		}
		part = Links{Seen: map[ID]uint64{in[0]: 1, in[1]: 1}, Judged: in[:1], Boxes: []Box{box(1, ring, in[0], in[1])}, Rings: []Ring{{ID: ring, Boxes: []ID{{1}}}}}
		if err := s.SaveLinks(ctx, part); !errors.Is(err, ErrConflict) {
			t.Errorf("saved a part of a ring: %v", err)
		}
		// The edge is withdrawn: box and ring fall apart.
		l = Links{
			Seen: map[ID]uint64{in[0]: 1, in[1]: 1, in[2]: 1}, Judged: in[:2],
			Boxes: []Box{box(1, ID{}, in[0]), box(3, ID{}, in[1])}, GoneBoxes: []ID{{2}}, GoneRings: []ID{ring},
		}
		if err := s.SaveLinks(ctx, l); err != nil {
			t.Fatal(err)
		}
		c, err = s.Component(ctx, in, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Edges) != 0 || len(c.Boxes) != 2 || len(c.Rings) != 0 || c.Tenancies[2].Box != (ID{}) || c.Tenancies[2].Version != 2 {
			t.Errorf("after the withdrawal: %+v", c)
		}
		for _, bad := range []Links{
			{Seen: map[ID]uint64{in[0]: 2}, Boxes: []Box{box(5, ID{}, in[0], in[1])}},
			{Seen: map[ID]uint64{in[0]: 2}, Boxes: []Box{box(5, ID{}, in[0]), box(6, ID{}, in[0])}},
			{Seen: map[ID]uint64{in[0]: 2}, Judged: in[1:2]},
			{Seen: map[ID]uint64{in[0]: 2, in[1]: 2}, Judged: in[:1], Edges: []Edge{{A: in[1], B: in[0]}}},
		} {
			if err := s.SaveLinks(ctx, bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("saved what does not fit together: %v", err)
			}
		}
	})
}

func TestVerdicts(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		admit(t, s, "north", "south")
		v := ControllerVerdict{Sensor: "north", Addr: "198.51.100.9", Lines: 40, Review: 7, Nats: 1.5, Ring: ID{9}, Expires: noon.Add(time.Hour)}
		stand := func(sensor string) uint64 {
			p, err := s.PolicyStand(ctx, sensor)
			if err != nil {
				t.Fatal(err)
			}
			return p.Version
		}
		version := func() map[string]uint64 {
			t.Helper()
			us, err := s.ControllerUse(ctx, []string{"198.51.100.9"}, 10)
			if err != nil {
				t.Fatal(err)
			}
			return map[string]uint64{"198.51.100.9": us[0].Version}
		}
		before := stand("north")
		old := version()
		for range 2 {
			if err := s.SaveVerdicts(ctx, version(), []ControllerVerdict{v}); err != nil {
				t.Fatal(err)
			}
			if stand("north") != before+1 || stand("south") != 0 {
				t.Errorf("policy of north is %d, of south %d", stand("north"), stand("south"))
			}
		}
		got, err := s.Verdicts(ctx, "north", noon)
		if diff := cmp.Diff([]ControllerVerdict{v}, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if got, err := s.Verdicts(ctx, "north", noon.Add(time.Hour)); len(got) != 0 || err != nil {
			t.Errorf("expired: %v, %v", got, err)
		}
		// A line more of a busy controller is no news.
		more := v
		more.Lines++
		if err := s.SaveVerdicts(ctx, version(), []ControllerVerdict{more}); err != nil || stand("north") != before+1 {
			t.Errorf("policy of north is %d, %v", stand("north"), err)
		}
		// Who had read before that says nothing over it.
		slow := v
		slow.Nats = 3
		for what, vs := range map[string][]ControllerVerdict{"another verdict": {slow}, "none": nil} {
			if err := s.SaveVerdicts(ctx, old, vs); !errors.Is(err, ErrConflict) {
				t.Errorf("%s, by who read before: %v", what, err)
			}
		}
		if err := s.SaveVerdicts(ctx, version(), nil); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Verdicts(ctx, "north", noon); len(got) != 0 || err != nil || stand("north") != before+2 {
			t.Errorf("withdrawn: %v, %v", got, err)
		}
	})
}

// A line must not be told what it adds itself: rows that say so of one line are not
// cut off while what is said of all stands.
func TestVerdictsOfLinesComeFirst(t *testing.T) {
	s := openStore(t, Options{Folder: t.TempDir()})
	admit(t, s, "north")
	v := ControllerVerdict{Sensor: "north", Addr: "198.51.100.9", Lines: 20_000, Review: 10_001, Nats: 3, Expires: noon.Add(time.Hour)}
	vs := []ControllerVerdict{v}
	for i := range 10_001 {
		v.Line, v.Nats = fmt.Sprint("line ", i), 0
		vs = append(vs, v)
	}
	if err := s.SaveVerdicts(t.Context(), map[string]uint64{v.Addr: 0}, vs); err != nil {
		t.Fatal(err)
	}
	got, err := s.Verdicts(t.Context(), "north", noon)
	if err != nil || len(got) != 10_000 {
		t.Fatalf("%d verdicts, %v", len(got), err)
	}
	for _, v := range got {
		if v.Line == "" {
			t.Fatalf("%+v is told, and not all that takes it back", v)
		}
	}
}
