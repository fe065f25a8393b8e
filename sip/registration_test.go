package sip

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"simtrap/ident"

	"github.com/google/go-cmp/cmp"
)

func TestRegistrations(t *testing.T) {
	tests := []struct {
		name   string
		script string
		events string
	}{
		{
			name: "challenge, acceptance, refresh",
			script: `
				1     A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=600
				20    B>A 401/REGISTER to=1001 tt=x
				40    A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=600 cseq=2 br=b2
				60    B>A 200/REGISTER to=1001 tt=x contact=1001@10.0.0.5:5060;expires=120 cseq=2 br=b2
				61    B>A 200/REGISTER to=1001 tt=x contact=1001@10.0.0.5:5060;expires=120 cseq=2 br=b2
				60040 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=600 cseq=3 br=b3
				60060 B>A 200/REGISTER to=1001 tt=x contact=1001@10.0.0.5:5060;expires=120 cseq=3 br=b3`,
			events: "registered 2/1/0, registered 3/2/0",
		},
		{
			name: "a retransmitted REGISTER counts once",
			script: `
				1    A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
				501  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
				520  B>A 100/REGISTER to=1001
				600  B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
				601  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060`,
			events: "registered 1/1/0",
		},
		{
			name: "refused",
			script: `
				1  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
				20 B>A 403/REGISTER to=1001
				30 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 cseq=2
				40 B>A 404/REGISTER to=1001 cseq=2`,
			events: "registered 1/0/1, registered 2/0/2",
		},
		{
			name: "removed by expires=0, and back",
			script: `
				1   A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
				20  B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
				100 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060;expires=0 cseq=2
				120 B>A 200/REGISTER to=1001 cseq=2
				130 B>A 200/REGISTER to=1001 cseq=2
				200 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 cseq=3
				220 B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060 cseq=3`,
			events: "registered 1/1/0, removed 2/2/0, registered 3/3/0",
		},
		{
			name: "removed by a star",
			script: `
				1   A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
				20  B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
				100 A>B REGISTER     to=1001 contact=* expires=0 cseq=2
				120 B>A 200/REGISTER to=1001 cseq=2`,
			events: "registered 1/1/0, removed 2/2/0",
		},
		{
			name: "the removal of another binding, and a query, are no refresh",
			script: `
				1   A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
				20  B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
				100 A>B REGISTER     to=1001 contact=1001@10.0.0.9:5060;expires=0 cseq=2
				120 B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060 cseq=2
				200 A>B REGISTER     to=1001 cseq=3
				220 B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060 cseq=3`,
			events: "registered 1/1/0",
		},
		{
			name: "requests only: what was sent is all there is",
			script: `
				1     A>B REGISTER to=1001 contact=1001@10.0.0.5:5060 expires=60
				40    A>B REGISTER to=1001 contact=1001@10.0.0.5:5060 expires=60 cseq=2
				20000 A>B REGISTER to=1001 contact=1001@10.0.0.5:5060 expires=60 cseq=3
				40000 A>B REGISTER to=1001 contact=1001@10.0.0.5:5060 expires=60 cseq=4
				+ 72000`,
			events: "registered 2/0/0, registered 3/0/0, registered 4/0/0",
		},
		{
			name: "no answer where answers were seen is no refresh",
			script: `
				1     A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=600
				20    B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
				60000 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=600 cseq=2
				+ 100000`,
			events: "registered 1/1/0",
		},
		{
			name: "responses only",
			script: `
				20    B>A 401/REGISTER to=1001
				60    B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060;expires=60 cseq=2
				60060 B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060;expires=60 cseq=3`,
			events: "registered 2/1/0, registered 3/2/0",
		},
		{
			name: "two accounts on one socket are two registrations",
			script: `
				1  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
				2  A>B REGISTER     to=1002 contact=1002@10.0.0.5:5060 id=c2
				20 B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
				21 B>A 200/REGISTER to=1002 contact=1002@10.0.0.5:5060 id=c2`,
			events: "registered 1/1/0, registered 1/1/0",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, tr := play(t, Config{}, tt.script)
			if d := cmp.Diff(tt.events, strings.Join(r.events, ", ")); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
			tr.Flush()
			checkEmpty(t, tr)
		})
	}
}

// A refusal and a removal have times of their own.
func TestRegistrationTime(t *testing.T) {
	r, _ := play(t, Config{}, `
		1     A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
		20    B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
		5000  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 cseq=2
		5020  B>A 403/REGISTER to=1001 cseq=2
		9000  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 cseq=3 expires=0
		9020  B>A 200/REGISTER to=1001 cseq=3`)
	var got []int64
	for _, g := range r.regs {
		got = append(got, g.Time, g.Last)
	}
	if want := []int64{at(1), at(1), at(5000), at(1), at(9000), at(1)}; !slices.Equal(got, want) || !r.regs[2].Removed {
		t.Errorf("%d, want %d", got, want)
	}
}

func TestRegistrationFields(t *testing.T) {
	r, tr := play(t, Config{}, `
		1     A:6000>B REGISTER     to=goip01 contact=goip01@10.0.0.5:5071 expires=600 ua=box/1
		20    B>A:6000 401/REGISTER to=goip01
		40    A:6000>B REGISTER     to=goip01 contact=goip01@10.0.0.5:5071 expires=600 cseq=2
		60    B>A:6000 200/REGISTER to=goip01 contact=goip01@10.0.0.5:5071;expires=120 cseq=2
		60040 A:6001>B REGISTER     to=goip01 contact=goip01@10.0.0.5:5071 cseq=3
		60060 B>A:6001 200/REGISTER to=goip01 contact=goip01@10.0.0.5:5071 expires=300 cseq=3
		61000 A:6001>B REGISTER     to=goip02 contact=goip02@10.0.0.5:5071 id=c2
		61020 B>A:6001 200/REGISTER to=goip02 contact=goip02@10.0.0.7:5071;expires=60|goip02@10.0.0.5:5071;expires=90 id=c2`)
	g := r.regs[1]
	if g.Expires != 300 || r.regs[0].Expires != 120 {
		t.Errorf("expires %d then %d, want 120 then 300", r.regs[0].Expires, g.Expires)
	}
	if g.First != at(40) || g.Last != at(60040) || g.Interval != 60e9 {
		t.Errorf("first %d, last %d, interval %d", g.First, g.Last, g.Interval)
	}
	want, _ := ident.ParseAddr([]byte("10.0.0.5"))
	if g.ContactHost != want || g.ContactPort != 5071 || g.Client.Port != 6001 || g.Registrar.Port != 5060 {
		t.Errorf("contact %v:%d, client %d, registrar %d", g.ContactHost, g.ContactPort, g.Client.Port, g.Registrar.Port)
	}
	if g.UserAgent != "box/1" || g.Seen != both {
		t.Errorf("user agent %q, seen %d", g.UserAgent, g.Seen)
	}
	if got := ident.NewPseudonymizer(nil, "case 1").Account(g.Account); got != "goip01@example.com" {
		t.Errorf("account %q", got)
	}
	h := r.regs[2]
	if h.ContactKey != g.ContactKey || h.AccountKey == g.AccountKey || h.UserKey == g.UserKey {
		t.Error("two accounts of one socket: want one contact key, two account and user keys")
	}
	if h.Expires != 90 {
		t.Errorf("expires %d of a list of bindings that begins with another's, want its own", h.Expires)
	}
	tr.Advance(at(60040 + 180_001))
	if n := tr.regs.len(); n != 2 {
		t.Errorf("%d registrations after three minutes, want both", n)
	}
	tr.Advance(at(61000 + 180_001))
	if n := tr.regs.len(); n != 1 {
		t.Errorf("%d registrations after twice 90 s, want the one of 300", n)
	}
}

// A call to a registered account has the account's key, whether it is addressed
// by account or by a contact user that only the registrar knows.
func TestCallToOwnAccount(t *testing.T) {
	for name, users := range map[string][2]string{
		"name": {"goip01", "goip01"}, "number": {"+8613800138000", "13800138000"},
		"contact user": {"goip01", "x7f3"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := play(t, Config{}, `
				1   A>B REGISTER     to=`+users[0]+` contact=`+users[1]+`@10.0.0.5:5060
				20  B>A 200/REGISTER to=`+users[0]+` contact=`+users[1]+`@10.0.0.5:5060
				100 B>A INVITE       uri=`+users[1]+` to=elsewhere id=c9
				200 B>A INVITE       uri=13912345678 to=elsewhere id=c10`)
			if len(r.regs) != 1 || r.regs[0].UserKey == 0 || r.calls[1].CalleeKey != r.regs[0].UserKey {
				t.Error("the call to the own account has another key")
			}
			if r.calls[2].CalleeKey == r.regs[0].UserKey {
				t.Error("a call onwards has the account's key")
			}
		})
	}
}

func TestContactsAreDropped(t *testing.T) {
	_, tr := play(t, Config{}, `
		1   A>B REGISTER     to=goip01 contact=x1@10.0.0.5:5060
		20  B>A 200/REGISTER to=goip01 contact=x1@10.0.0.5:5060
		30  A>B REGISTER     to=goip01 contact=x2@10.0.0.5:5060 cseq=2
		40  B>A 200/REGISTER to=goip01 contact=x2@10.0.0.5:5060 cseq=2`)
	if tr.contacts.Len() != 1 {
		t.Errorf("%d contacts of one account", tr.contacts.Len())
	}
	tr.Advance(at(3 * 3600_000))
	if tr.contacts.Len() != 0 || tr.regs.len() != 0 {
		t.Errorf("%d contacts, %d registrations after expiry", tr.contacts.Len(), tr.regs.len())
	}
}

func TestRegistrationContacts(t *testing.T) {
	many := strings.Repeat("1001@10.0.0.9:5060;expires=10|", 40)
	for _, c := range []struct {
		name, script, events string
		expires, interval    int64
		host                 string
	}{
		{"the old goes and the new comes", `
			1  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060;expires=0|1001@10.0.0.6:5060;expires=300
			20 B>A 200/REGISTER to=1001 contact=1001@10.0.0.6:5060;expires=120`, "registered 1/1/0", 120, 0, "10.0.0.6"},
		{"the same, after the old", `
			1   A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
			20  B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
			100 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060;expires=0|1001@10.0.0.6:5060;expires=300 cseq=2
			120 B>A 200/REGISTER to=1001 contact=1001@10.0.0.6:5060;expires=120 cseq=2`, "registered 1/1/0, registered 2/2/0", 120, 99e6, "10.0.0.6"},
		{"all go", `
			1   A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
			20  B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060
			100 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060;expires=0|1001@10.0.0.6:5060;expires=0 cseq=2
			120 B>A 200/REGISTER to=1001 cseq=2`, "registered 1/1/0, removed 2/2/0", 0, 0, "10.0.0.5"},
		{"q and expires of each, in one header", `
			1  A>B REGISTER     to=1001 head=Contact:_"a,b"_<sip:1001@10.0.0.5>;q=0.7;expires=600,_<sip:1001@10.0.0.6>;q=0.1
			20 B>A 200/REGISTER to=1001 head=Contact:_<sip:x@10.9.9.9;a=,>;expires=7,"<,_"_<sip:1001@10.0.0.5>;q=1.0;expires="90"`, "registered 1/1/0", 90, 0, "10.0.0.5"},
		{"own binding far down the list", `
			1  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
			20 B>A 200/REGISTER to=1001 contact=` + many + `1001@10.0.0.5:5060;expires=77`, "registered 1/1/0", 77, 0, "10.0.0.5"},
		{"own binding beyond what is looked through", `
			1  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=500
			20 B>A 200/REGISTER to=1001 contact=` + many + many + `1001@10.0.0.5:5060;expires=77`, "registered 1/1/0", 500, 0, "10.0.0.5"},
		{"own binding not listed", `
			1  A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=500
			20 B>A 200/REGISTER to=1001 contact=` + many + `x@y`, "registered 1/1/0", 500, 0, "10.0.0.5"},
		{"too brief, and again", `
			1     A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=60
			20    B>A 423/REGISTER to=1001 head=Min-Expires:_300
			40    A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=300 cseq=2
			60    B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060;expires=300 cseq=2
			270040 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 expires=300 cseq=3
			270060 B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060;expires=300 cseq=3`, "registered 2/1/0, registered 3/2/0", 300, 270e9, "10.0.0.5"},
		{"a stale nonce", `
			1     A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060
			20    B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060;expires=60
			60001 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 cseq=2
			60010 B>A 401/REGISTER to=1001 cseq=2
			60011 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 cseq=3
			60020 B>A 401/REGISTER to=1001 cseq=3
			60021 A>B REGISTER     to=1001 contact=1001@10.0.0.5:5060 cseq=4
			60030 B>A 200/REGISTER to=1001 contact=1001@10.0.0.5:5060;expires=60 cseq=4`, "registered 1/1/0, registered 4/2/0", 60, 60020e6, "10.0.0.5"},
		{"by a third party, through a path", `
			1  A>B REGISTER     from=admin to=1001 contact=1001@10.0.0.5:5060 head=Path:_<sip:edge.example.com;lr>|Supported:_path,_outbound
			20 B>A 200/REGISTER from=admin to=1001 contact=1001@10.0.0.5:5060;expires=60 head=Service-Route:_<sip:home.example.com;lr>`, "registered 1/1/0", 60, 0, "10.0.0.5"},
		{"outbound", `
			1  A>B REGISTER     to=1001 head=Contact:_<sip:1001@10.0.0.5;transport=ws;ob>;reg-id=1;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"
			20 B>A 200/REGISTER to=1001 head=Contact:_<sip:1001@10.0.0.5;transport=ws;ob>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id=1;expires=120`, "registered 1/1/0", 120, 0, "10.0.0.5"},
	} {
		r, _ := play(t, Config{}, c.script)
		if d := cmp.Diff(c.events, strings.Join(r.events, ", ")); d != "" {
			t.Fatalf("%s: events (-want +got):\n%s", c.name, d)
		}
		g := r.regs[len(r.regs)-1]
		if g.Expires != c.expires || g.Interval != c.interval || g.ContactHost != addr(c.host) {
			t.Errorf("%s: expires %d, interval %d, contact %v", c.name, g.Expires, g.Interval, g.ContactHost)
		}
	}
}

// Each client of an account has its own clock.
func TestRefreshClocks(t *testing.T) {
	for _, c := range []struct {
		name string
		step func(k int) string // of refresh k, which comes at k times ten seconds
		want []int64            // seconds
	}{
		{"one phone", func(int) string { return "id=a contact=1001@10.0.0.5:5060" }, []int64{0, 10, 10, 10, 10, 10}},
		{"with a new Call-ID each time", func(k int) string { return fmt.Sprintf("id=a%d contact=1001@10.0.0.5:5060", k) }, []int64{0, 10, 10, 10, 10, 10}},
		{"with a new contact each time", func(k int) string { return fmt.Sprintf("id=a contact=1001@10.0.0.5:50%02d", k) }, []int64{0, 10, 10, 10, 10, 10}},
		{"two phones", func(k int) string { return fmt.Sprintf("id=a%d contact=1001@10.0.0.5:506%d", k%2, k%2) }, []int64{0, 0, 20, 20, 20, 20}},
		{"two flows of one", func(k int) string { return fmt.Sprintf("id=a%d contact=1001@10.0.0.5:5060", k%2) }, []int64{0, 10, 20, 20, 20, 20}},
		{"all new each time", func(k int) string { return fmt.Sprintf("id=a%d contact=1001@10.0.0.5:506%d", k, k) }, []int64{0, 0, 0, 0, 0, 0}},
		{"six phones", func(k int) string { return fmt.Sprintf("id=a%d contact=1001@10.0.0.5:506%d", k%6, k%6) }, []int64{0, 0, 0, 0, 0, 0}},
	} {
		var b strings.Builder
		for k := range c.want {
			fmt.Fprintf(&b, "%d A>B REGISTER to=1001 cseq=%d %s\n%d B>A 200/REGISTER to=1001 cseq=%[2]d %[3]s\n", 1+k*10000, k+1, c.step(k), 20+k*10000)
		}
		r, _ := play(t, Config{}, b.String())
		var got []int64
		for _, g := range r.regs {
			got = append(got, g.Interval/1e9)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
	}
}

// Many accounts on one socket are as many registrations, each with its clock.
func TestManyAccounts(t *testing.T) {
	var b strings.Builder
	for round := range 2 {
		for k := range 32 {
			at := 1 + round*60000 + k*40
			fmt.Fprintf(&b, "%d A>B REGISTER to=10%02d id=c%[2]d cseq=%[3]d contact=10%02[2]d@10.0.0.5:5060\n%[4]d B>A 200/REGISTER to=10%02[2]d id=c%[2]d cseq=%[3]d contact=10%02[2]d@10.0.0.5:5060;expires=60\n", at, k, round+1, at+10)
		}
	}
	r, tr := play(t, Config{}, b.String())
	if len(r.regs) != 64 || tr.regs.len() != 32 {
		t.Fatalf("%d refreshes of %d registrations", len(r.regs), tr.regs.len())
	}
	keys := map[uint64]bool{}
	for _, g := range r.regs[32:] {
		keys[g.AccountKey] = true
		if g.Interval != 60e9 || g.Expires != 60 {
			t.Errorf("interval %d, expires %d", g.Interval, g.Expires)
		}
	}
	if len(keys) != 32 {
		t.Errorf("%d accounts", len(keys))
	}
}
