package sip

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCallShapes holds what becomes of calls that are more than an INVITE and a
// BYE: how many there are, how they end, what they say of each other.
func TestCallShapes(t *testing.T) {
	for _, c := range []struct {
		name, script string
		events       string // without those of Flush
		want         string // of each call: cause, who ended it, Replaces, Refers
	}{
		{"a BYE with made-up tags ends nothing", `
			1    A>B INVITE
			100  B>A 200/INVITE tt=t
			150  A>B ACK        tt=t br=b2
			200  A>B BYE        tt=x br=b3 cseq=2
			210  B>A 200/BYE    tt=x br=b3 cseq=2
			400  B>A BYE        ft=x tt=f br=b5 cseq=9
			9000 A>B BYE        tt=t br=b6 cseq=4
			9010 B>A 200/BYE    tt=t br=b6 cseq=4`,
			"1 started, 1 answered, 1 verified, 1 ended", "200 caller 0 0 end=9000"},
		{"a BYE before the answer was seen is believed", `
			1    A>B INVITE
			100  B>A 180/INVITE tt=t
			5000 B>A BYE        ft=u tt=f br=b6 cseq=4
			5010 A>B 200/BYE    ft=u tt=f br=b6 cseq=4`,
			"1 started, 1 ringing, 1 ended", "0 callee 0 0 end=5000"},
		{"of two that answer one is let go", `
			1    A>B INVITE
			100  B>A 200/INVITE tt=t
			110  B>A 200/INVITE tt=u
			150  A>B ACK        tt=t br=b2
			160  A>B ACK        tt=u br=b3
			170  A>B BYE        tt=u br=b4 cseq=2
			180  B>A 200/BYE    tt=u br=b4 cseq=2
			5000 B>A BYE        ft=t tt=f br=b5 cseq=7
			5010 A>B 200/BYE    ft=t tt=f br=b5 cseq=7`,
			"1 started, 1 answered, 1 verified, 1 ended", "200 callee 0 0 end=5000"},
		{"or the first of them", `
			1    A>B INVITE
			100  B>A 200/INVITE tt=t
			110  B>A 200/INVITE tt=u
			170  A>B BYE        tt=t br=b4 cseq=2
			670  A>B BYE        tt=t br=b4 cseq=2
			680  B>A 200/BYE    tt=t br=b4 cseq=2
			5000 A>B BYE        tt=u br=b5 cseq=3
			5010 B>A 200/BYE    tt=u br=b5 cseq=3`,
			"1 started, 1 answered, 1 verified, 1 ended", "200 caller 0 0 end=5000"},
		{"a BYE that is challenged", `
			1    A>B INVITE
			100  B>A 200/INVITE tt=t
			200  A>B BYE        tt=t br=b3 cseq=2
			210  B>A 407/BYE    tt=t br=b3 cseq=2
			220  A>B BYE        tt=t br=b4 cseq=3
			230  B>A 200/BYE    tt=t br=b4 cseq=3`,
			"1 started, 1 answered, 1 verified, 1 ended", "200 caller 0 0 end=200"},
		{"redirected to another number there: one call", `
			1    A>B INVITE
			100  B>A 302/INVITE tt=x
			110  A>B ACK        tt=x
			120  A>B INVITE     br=b2 cseq=2 uri=13900000000
			500  B>A 200/INVITE br=b2 cseq=2 tt=t`,
			"1 started, 1 verified, 1 answered", "200 none 0 0 end=0"},
		{"redirected to another host: two, and the first says so", `
			1    A>B INVITE
			100  B>A 302/INVITE tt=x
			110  A>B ACK        tt=x
			120  A>C INVITE     br=b2 cseq=2
			500  C>A 200/INVITE br=b2 cseq=2 tt=t
			+ 32200`,
			"1 started, 1 verified, 2 started, 2 answered, 1 ended", "302 none 0 0 end=100; 200 none 0 0 end=0"},
		{"redirected, and given up", `
			1    A>B INVITE
			100  B>A 301/INVITE tt=x
			110  A>B ACK        tt=x
			+ 40000`,
			"1 started, 1 verified, 1 ended", "301 none 0 0 end=100"},
		{"challenged over and over", `
			1    A>B INVITE
			2    B>A 407/INVITE tt=a
			3    A>B ACK        tt=a
			4    A>B INVITE     br=b2 cseq=2
			5    B>A 407/INVITE br=b2 cseq=2 tt=b
			6    A>B ACK        br=b2 cseq=2 tt=b
			7    A>B INVITE     br=b3 cseq=3
			8    B>A 401/INVITE br=b3 cseq=3 tt=c
			9    A>B ACK        br=b3 cseq=3 tt=c
			10   A>B INVITE     br=b4 cseq=4
			900  B>A 200/INVITE br=b4 cseq=4 tt=t`,
			"1 started, 1 verified, 1 answered", "200 none 0 0 end=0"},
		{"forwarded, queued, let go of, and then it rings", `
			1    A>B INVITE
			10   B>A 100/INVITE
			20   B>A 181/INVITE tt=a
			30   B>A 182/INVITE tt=a
			40   B>A 199/INVITE tt=a
			900  B>A 180/INVITE tt=b
			1900 B>A 200/INVITE tt=b`,
			"1 started, 1 ringing, 1 answered", "200 none 0 0 end=0"},
		{"media agreed by PRACK and moved by UPDATE", `
			1    A>B INVITE
			20   B>A 183/INVITE tt=a sdp=10.0.0.2:5000 head=Require:_100rel|RSeq:_1
			30   A>B PRACK      tt=a br=b2 cseq=2 sdp=10.0.0.1:4000 head=RAck:_1_1_INVITE
			40   B>A 200/PRACK  tt=a br=b2 cseq=2
			50   A>B UPDATE     tt=a br=b3 cseq=3 sdp=10.0.0.1:4002
			60   B>A 200/UPDATE tt=a br=b3 cseq=3 sdp=10.0.0.2:5002
			90   B>A 200/INVITE tt=a`,
			"1 started, 1 media, 1 ringing, 1 media, 1 verified, 1 media, 1 media, 1 answered", "200 none 0 0 end=0"},
		{"CANCEL that comes too late", `
			1    A>B INVITE
			100  B>A 180/INVITE tt=t
			500  A>B CANCEL
			501  B>A 200/INVITE tt=t
			502  B>A 200/CANCEL tt=t
			510  A>B ACK        tt=t br=b2
			520  A>B BYE        tt=t br=b3 cseq=2
			530  B>A 200/BYE    tt=t br=b3 cseq=2`,
			"1 started, 1 ringing, 1 answered, 1 verified, 1 ended", "200 caller 0 0 end=520"},
		{"a transfer", `
			1    A>B INVITE     id=one
			100  B>A 200/INVITE id=one tt=t
			150  A>B ACK        id=one tt=t br=b2
			200  A>C INVITE     id=two ft=g br=c1
			300  C>A 200/INVITE id=two ft=g br=c1 tt=u
			350  A>C ACK        id=two ft=g br=c2 tt=u
			400  A>B REFER      id=one tt=t br=b3 cseq=2
			410  B>A 202/REFER  id=one tt=t br=b3 cseq=2
			420  B>C INVITE     id=three ft=h br=d1 head=Replaces:_two;to-tag=u;from-tag=g
			500  C>B 200/INVITE id=three ft=h br=d1 tt=v
			510  C>A BYE        id=two ft=u tt=g br=e1 cseq=3
			520  A>C 200/BYE    id=two ft=u tt=g br=e1 cseq=3`,
			"1 started, 1 answered, 1 verified, 2 started, 2 answered, 2 verified, 3 started, 3 answered, 2 ended",
			"200 none 0 1 end=0; 200 callee 0 0 end=510; 200 none 2 0 end=0"},
		{"a pick-up of what rings elsewhere", `
			1    B>A INVITE     id=one
			100  A>B 180/INVITE id=one tt=t
			200  C>B INVITE     id=two ft=g br=c1 head=Replaces:_one;from-tag=t;to-tag=f;early-only
			300  B>C 200/INVITE id=two ft=g br=c1 tt=u`,
			"1 started, 1 ringing, 2 started, 2 answered", "0 none 0 0 end=0; 200 none 1 0 end=0"},
		{"what replaces nothing that is known", `
			1    A>B INVITE     id=one
			100  B>A 200/INVITE id=one tt=t
			200  C>B INVITE     id=two ft=g br=c1 head=Replaces:_one;to-tag=x;from-tag=f
			300  C>D INVITE     id=three ft=h br=c2 head=Replaces:_one;to-tag=t;from-tag=f
			400  C>B INVITE     id=four ft=i br=c3 head=Replaces:_one
			500  C>B INVITE     id=five ft=j br=c4 head=Replaces:_;to-tag=t;from-tag=f`,
			"1 started, 1 answered, 2 started, 3 started, 4 started, 5 started", "200 none 0 0 end=0; 0 none 0 0 end=0; 0 none 0 0 end=0; 0 none 0 0 end=0; 0 none 0 0 end=0"},
		{"one call is taken over once, and not by a chain", `
			1    A>B INVITE     id=one
			100  B>A 200/INVITE id=one tt=t
			200  C>B INVITE     id=two ft=g br=c1 head=Replaces:_one;to-tag=t;from-tag=f
			210  B>C 200/INVITE id=two ft=g br=c1 tt=u
			300  C>B INVITE     id=three ft=h br=c2 head=Replaces:_one;to-tag=t;from-tag=f
			400  C>B INVITE     id=four ft=i br=c3 head=Replaces:_two;to-tag=u;from-tag=g`,
			"1 started, 1 answered, 2 started, 2 answered, 3 started, 4 started", "200 none 0 0 end=0; 200 none 1 0 end=0; 0 none 0 0 end=0; 0 none 0 0 end=0"},
	} {
		r, tr := play(t, Config{}, c.script)
		events := strings.Join(r.events, ", ")
		tr.Flush()
		if d := cmp.Diff(c.events, events); d != "" {
			t.Errorf("%s: events (-want +got):\n%s", c.name, d)
		}
		var got []string
		for id := uint64(1); id <= uint64(len(r.calls)); id++ {
			x := r.calls[id]
			end := int64(0)
			if x.End != 0 {
				end = x.End/1e6 - scriptStart
			}
			got = append(got, fmt.Sprintf("%d %s %d %d end=%d", x.Cause, [...]string{"none", "caller", "callee"}[x.EndedBy], x.Replaces, x.Refers, end))
			if x.RefersBy != [2]uint16{x.Refers} {
				t.Errorf("%s: %d transfers by each side; only the caller asked", c.name, x.RefersBy)
			}
		}
		if d := cmp.Diff(c.want, strings.Join(got, "; ")); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
		if len(r.bad) > 0 {
			t.Errorf("%s: %v", c.name, r.bad)
		}
		checkEmpty(t, tr)
	}
}
