package store

import (
	"strings"
	"testing"

	"github.com/axiomhq/hyperloglog"
	"google.golang.org/protobuf/proto"

	"simtrap/report/reportpb"
)

// Whatever a record holds, preparing it for the store neither panics nor lets an
// identity through that has no pseudonym, nor makes more keys than it may.
func FuzzPrepare(f *testing.F) {
	for _, r := range []*reportpb.Record{
		record(1, revisionOf(1, 1, watch, "realm-a/10.1.2.3", withContact("~aaaaaaaaaaaaaaaa"), withController("198.51.100.9", someStack), func(f *reportpb.Finding) {
			f.Cards = []*reportpb.Card{{Imsi: "46000~0123456789abcdef", Msisdn: "13800138000"}}
			f.Links.Accounts = []string{"100", "~b"}
		})),
		{Sequence: 2, Kind: &reportpb.Record_Call{Call: &reportpb.Call{FindingId: findingID(1), Id: findingID(2), Start: stamp(noon), Called: "13800138000"}}},
		{Sequence: 3, Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{Hour: stamp(noon), Controllers: []*reportpb.ControllerHour{{Addr: "::1", LineSketch: []byte{2, 14, 0, 1}}}}}},
		{Sequence: 4, Kind: &reportpb.Record_Gap{Gap: &reportpb.Gap{From: 1, To: 2}}},
		{Sequence: 5, Kind: &reportpb.Record_Health{Health: &reportpb.Health{At: stamp(noon)}}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	pack, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(pack.close)
	s := &Store{names: newPseudonyms(hubKey), pack: pack}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r reportpb.Record
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		p, err := s.prepare(Delivery{Sensor: "north", Last: 1, Records: []*reportpb.Record{&r}, ReceivedAt: noon})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range p.findings {
			if len(n.keys) > 512 || n.since > p.received || n.last < n.first || strings.ContainsRune(n.name+n.vendor+n.model+n.near, 0) {
				t.Errorf("%d keys, since %d, from %d to %d", len(n.keys), n.since, n.first, n.last)
			}
			var m reportpb.FindingRevision
			if err := pack.unpack(n.body, &m); err != nil {
				t.Fatal(err)
			}
			for _, c := range m.GetFinding().GetCards() {
				for _, x := range []string{c.GetImsi(), c.GetImei(), c.GetIccid(), c.GetMsisdn()} {
					pseudonymous(t, x)
				}
			}
			for _, x := range append([]string{m.GetFinding().GetLinks().GetContact(), m.GetFinding().GetLinks().GetCname(), m.GetFinding().GetSubscriber()}, m.GetFinding().GetLinks().GetAccounts()...) {
				pseudonymous(t, x)
			}
		}
		for _, n := range p.calls {
			var c reportpb.Call
			if err := pack.unpack(n.body, &c); err != nil {
				t.Fatal(err)
			}
			for _, x := range []string{c.GetCalling(), c.GetCalled(), c.GetAccount(), c.GetImsi()} {
				pseudonymous(t, x)
			}
		}
	})
}

func pseudonymous(t *testing.T, s string) {
	t.Helper()
	prefix, rest, found := strings.Cut(s, "~")
	if s != "" && (!found || len(prefix) > maxPrefix || len(rest) != 16 || !isHex(rest)) {
		t.Errorf("%q stands in clear", s)
	}
}

func FuzzSketch(f *testing.F) {
	for _, n := range []int{0, 3, 100, 50_000} {
		k := hyperloglog.New()
		for i := range n {
			k.InsertHash(uint64(i) * 0x9e3779b97f4a7c15)
		}
		b, err := k.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxSketch || !soundSketch(b) {
			return
		}
		k, err := readSketch(b)
		if err != nil {
			t.Fatal(err)
		}
		all := hyperloglog.New()
		all.Insert([]byte("one"))
		if err := all.Merge(k); err != nil {
			t.Fatal(err)
		}
		all.Estimate()
	})
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"203.0.113.7", "realm-a/10.1.2.3", "2001:db8::/64", "r/2001:db8:1::/64", "fe80::1%x", "/", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b := lineAddr(s); len(b) != 0 && len(b) != 16 {
			t.Errorf("%q has an address of %d bytes", s, len(b))
		}
	})
}

func TestLineAddr(t *testing.T) {
	for name, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "realm-a/10.1.2.3": "10.1.2.3", "2001:db8::/64": "2001:db8::", "r/2001:db8:1::/64": "2001:db8:1::", "nothing": "invalid IP", "r/": "invalid IP",
	} {
		if got := addrFrom(lineAddr(name)).String(); got != want {
			t.Errorf("%q has the address %s, want %s", name, got, want)
		}
	}
}

func TestPseudonyms(t *testing.T) {
	p, other := newPseudonyms(hubKey), newPseudonyms([]byte("another key of another hub......"))
	a := p.again("46000~0123456789abcdef")
	if a != p.again("46000~0123456789abcdef") || !strings.HasPrefix(a, "46000~") || a == "46000~0123456789abcdef" {
		t.Errorf("pseudonym %q", a)
	}
	if x := other.again("46000~0123456789abcdef"); x == a {
		t.Errorf("another hub has the same pseudonym %q", x)
	}
	if x := p.again("~0123456789abcdef"); x[1:] != a[6:] {
		t.Errorf("the prefix is part of it: %q and %q", x, a)
	}
	pseudonymous(t, p.again("13800138000"))
	pseudonymous(t, p.again("<b>~0123456789abcdef"))
	for given, want := range map[string]string{
		"35123456~0123456789abcdef": "35123456~", "premium rate~0123456789abcdef": "premium rate~", "44-1~0123456789abcdef": "44-1~",
		"460001234~0123456789abcdef": "~", "4600 0123 4~0123456789abcdef": "~", "8613800138000~": "~", "a1b2c3d4e5f6g7h8i9~0123456789abcdef": "~",
	} {
		if x := p.again(given); len(x) != len(want)+16 || !strings.HasPrefix(x, want) {
			t.Errorf("%s is stored as %s, want %s and 16 digits", given, x, want)
		}
	}
}
