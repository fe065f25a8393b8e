package sip

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// verdict is what the tests of dialogs look at in a call, in ms of the script.
type verdict struct {
	Ends               string // caller and callee
	Answer, Ack, End   int64
	EndedBy            Side
	Seen               Seen
	Verified, Midway   bool
	Reinvites, Repeats uint16
}

func verdictOf(c Call) verdict {
	o := outcomeOf(c)
	b := c.Callee.Addr.As16()
	return verdict{o.Caller + string(b[15:]), o.Answer, o.Ack, o.End, c.EndedBy, c.Seen, c.Verified, c.Midway, c.Reinvites, c.Retransmits}
}

func TestDialogs(t *testing.T) {
	tests := []struct {
		name   string
		script string
		calls  []verdict
		strays uint64
	}{
		// One end at another address than that of the INVITE.
		{
			name: "a proxy that keeps out of the dialog: the caller goes on from its own address",
			script: `
				1    A>B INVITE
				100  B>A 180/INVITE tt=t
				900  B>A 200/INVITE tt=t
				950  C>B ACK        tt=t br=b2
				2000 C>B INVITE     tt=t br=b3 cseq=2
				2010 B>C 200/INVITE tt=t br=b3 cseq=2
				2020 C>B ACK        tt=t br=b4 cseq=2
				3000 C>B REFER      tt=t br=b5 cseq=3
				3010 B>C 202/REFER  tt=t br=b5 cseq=3
				9000 C>B BYE        tt=t br=b6 cseq=4
				9010 B>C 200/BYE    tt=t br=b6 cseq=4`,
			calls: []verdict{{Ends: "AB", Answer: 900, Ack: 950, End: 9000, EndedBy: SideCaller, Seen: both, Verified: true, Reinvites: 1}},
		},
		{
			name: "and the callee ends the call",
			script: `
				1    A>B INVITE
				900  B>A 200/INVITE tt=t
				950  C>B ACK        tt=t br=b2
				9000 B>C BYE        ft=t tt=f br=y1
				9010 C>B 200/BYE    ft=t tt=f br=y1`,
			calls: []verdict{{Ends: "AB", Answer: 900, Ack: 950, End: 9000, EndedBy: SideCallee, Seen: both, Verified: true}},
		},
		{
			name: "PRACK from the other address proves, requests of a pool end",
			script: `
				1    A>B INVITE
				100  B>A 183/INVITE tt=t
				150  C>B PRACK      tt=t br=b2 cseq=2
				160  B>C 200/PRACK  tt=t br=b2 cseq=2
				900  B>A 200/INVITE tt=t
				950  D>B ACK        tt=t br=b3
				9000 C>B BYE        tt=t br=b4 cseq=3
				9010 B>C 200/BYE    tt=t br=b4 cseq=3`,
			calls: []verdict{{Ends: "AB", Answer: 900, Ack: 950, End: 9000, EndedBy: SideCaller, Seen: both, Verified: true}},
		},
		{
			name: "the callee is at another address than the proxy that was called",
			script: `
				1    A>B INVITE
				900  B>A 200/INVITE tt=t
				950  A>C ACK        tt=t br=b2
				9000 C>A BYE        ft=t tt=f br=y1
				9010 A>C 200/BYE    ft=t tt=f br=y1`,
			calls: []verdict{{Ends: "AB", Answer: 900, Ack: 950, End: 9000, EndedBy: SideCallee, Seen: both, Verified: true}},
		},
		{
			name: "the caller's requests have passed out of sight, its 200 to the BYE has not",
			script: `
				20   B>A 180/INVITE tt=t
				900  B>A 200/INVITE tt=t
				9000 B>C BYE        ft=t tt=f br=y1
				9500 B>C BYE        ft=t tt=f br=y1
				9600 C>B 200/BYE    ft=t tt=f br=y1`,
			calls: []verdict{{Ends: "AB", Answer: 900, End: 9000, EndedBy: SideCallee, Seen: both, Repeats: 1}},
		},
		{
			name: "both hops of a proxy that keeps out of the dialog are in sight",
			script: `
				1    A>B INVITE
				10   B>C INVITE     br=n1
				900  C>B 200/INVITE br=n1 tt=t
				910  B>A 200/INVITE tt=t
				950  A>C ACK        br=b2 tt=t
				9000 C>A BYE        br=y1 ft=t tt=f
				9010 A>C 200/BYE    br=y1 ft=t tt=f`,
			calls: []verdict{
				{Ends: "AB", Answer: 910, Ack: 950, End: 9000, EndedBy: SideCallee, Seen: both, Verified: true},
				{Ends: "BC", Answer: 900, Ack: 950, End: 9000, EndedBy: SideCallee, Seen: both, Verified: true},
			},
		},
		{
			name: "a box in the middle keeps the Call-ID, the tags tell its hops apart",
			script: `
				1    A>B INVITE     ft=f1
				10   B>C INVITE     ft=f2 br=n1
				900  C>B 200/INVITE ft=f2 br=n1 tt=t2
				910  B>A 200/INVITE ft=f1 tt=t1
				950  D>B ACK        ft=f1 br=b2 tt=t1
				960  B>C ACK        ft=f2 br=n2 tt=t2
				2000 D>B BYE        ft=f1 br=b3 tt=t1 cseq=2
				2010 B>D 200/BYE    ft=f1 br=b3 tt=t1 cseq=2
				3000 C>E BYE        ft=t2 br=y1 tt=f2
				3010 E>C 200/BYE    ft=t2 br=y1 tt=f2`,
			calls: []verdict{
				{Ends: "AB", Answer: 910, Ack: 950, End: 2000, EndedBy: SideCaller, Seen: both, Verified: true},
				{Ends: "BC", Answer: 900, Ack: 960, End: 3000, EndedBy: SideCallee, Seen: both, Verified: true},
			},
		},
		{
			name: "it keeps the tags too: the addresses tell",
			script: `
				1    A>B INVITE
				10   B>C INVITE     br=n1
				900  C>B 200/INVITE br=n1 tt=t
				910  B>A 200/INVITE tt=t
				950  D>B ACK        br=b2 tt=t
				960  B>C ACK        br=n2 tt=t
				2000 D>B BYE        br=b3 tt=t cseq=2
				2010 B>D 200/BYE    br=b3 tt=t cseq=2
				3000 B>C BYE        br=n3 tt=t cseq=2
				3010 C>B 200/BYE    br=n3 tt=t cseq=2`,
			calls: []verdict{
				{Ends: "AB", Answer: 910, Ack: 950, End: 2000, EndedBy: SideCaller, Seen: both, Verified: true},
				{Ends: "BC", Answer: 900, Ack: 960, End: 3000, EndedBy: SideCaller, Seen: both, Verified: true},
			},
		},
		{
			name: "begun in mid-call, ended from another address",
			script: `
				1    A>B INVITE     tt=t cseq=7
				10   B>A 200/INVITE tt=t cseq=7
				9000 B>C BYE        ft=t tt=f br=y1
				9010 C>B 200/BYE    ft=t tt=f br=y1`,
			calls: []verdict{{Ends: "AB", End: 9000, EndedBy: SideCallee, Seen: both, Midway: true, Reinvites: 1}},
		},

		// Strangers.
		{
			name: "who does not know both tags, or is neither from nor to the call's addresses, matches nothing",
			script: `
				1    A>B INVITE
				900  B>A 200/INVITE tt=t
				910  E>B ACK        tt=guess br=b2
				920  E>B ACK        ft=guess tt=t br=b3
				930  E>B ACK        br=b4
				940  E>D ACK        tt=t br=b5
				950  B>E ACK        tt=t br=b6
				960  E>A ACK        tt=t br=b7
				970  E>B 200/BYE    ft=t tt=guess br=b8`,
			calls:  []verdict{{Ends: "AB", Answer: 900, Seen: both}},
			strays: 7,
		},
		{
			name: "a BYE with a made-up tag from elsewhere is of another call",
			script: `
				1    A>B INVITE
				900  B>A 200/INVITE tt=t
				950  E>B BYE        tt=guess br=b2 cseq=2
				960  B>E 481/BYE    tt=guess br=b2 cseq=2`,
			calls: []verdict{
				{Ends: "AB", Answer: 900, Seen: both},
				{Ends: "EB", End: 950, EndedBy: SideCaller, Seen: both, Midway: true},
			},
		},
		{
			name: "a tag told to the other address only proves nothing",
			script: `
				1    A>B INVITE
				100  B>A 180/INVITE tt=t
				900  B>E 200/INVITE tt=u
				950  E>B ACK        tt=u br=b2`,
			calls: []verdict{{Ends: "AB", Seen: both}, {Ends: "EB", Answer: 900, Ack: 950, Seen: both}},
		},

		// Guesses.
		{
			name: "a forged ACK before the answer does not keep the caller from proving itself",
			script: `
				1    A>B INVITE
				20   B>A 100/INVITE
				50   A>B ACK        tt=guess br=b2
				900  B>A 200/INVITE tt=t
				950  A>B ACK        tt=t br=b3`,
			calls: []verdict{{Ends: "AB", Answer: 900, Ack: 950, Seen: both, Verified: true}},
		},
		{
			name: "of a guess and a tag that was chosen, only the second proves",
			script: `
				1    A>B INVITE
				20   B>A 100/INVITE
				50   A>B PRACK      tt=guess br=b2 cseq=2
				100  B>A 180/INVITE tt=guess
				110  B>A 183/INVITE tt=t
				200  A>B PRACK      tt=guess br=b3 cseq=3`,
			calls: []verdict{{Ends: "AB", Seen: both}},
		},
		{
			name: "an echo called forth from elsewhere, with a Via that names the caller",
			script: `
				1    A>B INVITE
				20   B>A 100/INVITE
				30   E>B INVITE     tt=guess br=e1
				40   B>A 481/INVITE tt=guess br=e1
				50   A>B ACK        tt=guess br=e1`,
			calls: []verdict{
				{Ends: "AB", Seen: both},
				{Ends: "EB", Seen: SeenRequest, Midway: true, Reinvites: 1},
			},
		},

		{
			name: "the same with the branch of the INVITE",
			script: `
				1    A>B INVITE
				20   B>A 100/INVITE
				25   E>B INVITE     tt=other
				30   E>B INVITE     tt=guess
				40   B>A 481/INVITE tt=guess
				50   A>B ACK        tt=guess`,
			calls: []verdict{
				{Ends: "AB", End: 40, Seen: both},
				{Ends: "EB", Seen: SeenRequest, Midway: true, Reinvites: 2},
			},
		},

		// Two dialogs under one Call-ID.
		{
			name: "another From tag is another call, and the first goes on",
			script: `
				1    A>B INVITE     ft=f1
				900  B>A 200/INVITE ft=f1 tt=t1
				950  A>B ACK        ft=f1 tt=t1 br=b2
				1000 A>B INVITE     ft=f2 br=c1
				1050 B>A 180/INVITE ft=f2 br=c1 tt=t2
				1900 B>A 200/INVITE ft=f2 br=c1 tt=t2
				1950 A>B ACK        ft=f2 br=c2 tt=t2
				3000 B>A BYE        ft=t2 br=y1 tt=f2
				3010 A>B 200/BYE    ft=t2 br=y1 tt=f2
				9000 A>B BYE        ft=f1 tt=t1 br=b3 cseq=2
				9010 B>A 200/BYE    ft=f1 tt=t1 br=b3 cseq=2`,
			calls: []verdict{
				{Ends: "AB", Answer: 900, Ack: 950, End: 9000, EndedBy: SideCaller, Seen: both, Verified: true},
				{Ends: "AB", Answer: 1900, Ack: 1950, End: 3000, EndedBy: SideCallee, Seen: both, Verified: true},
			},
		},

		// 481.
		{
			name: "in mid-call, INFO finds no dialog",
			script: `
				1    A>B INFO       tt=t cseq=7
				20   B>A 481/INFO   tt=t cseq=7`,
			calls: []verdict{{Ends: "AB", End: 20, Seen: both, Midway: true}},
		},
		{
			name: "in mid-call, UPDATE finds no dialog",
			script: `
				1    A>B UPDATE     tt=t cseq=7
				20   B>A 481/UPDATE tt=t cseq=7`,
			calls: []verdict{{Ends: "AB", End: 20, Seen: both, Midway: true}},
		},
		{
			name: "in mid-call, PRACK finds no dialog",
			script: `
				1    A>B PRACK      tt=t cseq=7
				20   B>A 481/PRACK  tt=t cseq=7`,
			calls: []verdict{{Ends: "AB", End: 20, Seen: both, Midway: true}},
		},
		{
			name: "in mid-call, INVITE finds no dialog",
			script: `
				1    A>B INVITE     tt=t cseq=7
				20   B>A 481/INVITE tt=t cseq=7
				30   A>B ACK        tt=t cseq=7`,
			calls: []verdict{{Ends: "AB", End: 20, Seen: both, Midway: true, Reinvites: 1}},
		},
		{
			name: "in mid-call, BYE finds no dialog",
			script: `
				1    A>B BYE        tt=t cseq=7
				20   B>A 481/BYE    tt=t cseq=7`,
			calls: []verdict{{Ends: "AB", End: 1, EndedBy: SideCaller, Seen: both, Midway: true}},
		},
		{
			name: "an answered call of which the caller knows nothing any more",
			script: `
				1    A>B INVITE
				900  B>A 200/INVITE tt=t
				2000 B>C OPTIONS    ft=t tt=f br=y1
				2010 C>B 481/OPTIONS ft=t tt=f br=y1`,
			calls: []verdict{{Ends: "AB", Answer: 900, End: 2010, Seen: both}},
		},
		{
			name: "481 to a made-up tag, to PRACK that the answer overtook and to NOTIFY end nothing",
			script: `
				1    A>B INVITE
				100  B>A 183/INVITE tt=t
				110  A>B PRACK      tt=t br=b2 cseq=2
				120  B>A 200/INVITE tt=t
				130  B>A 481/PRACK  tt=t br=b2 cseq=2
				200  A>B INFO       tt=guess br=b3 cseq=3
				210  B>A 481/INFO   tt=guess br=b3 cseq=3
				300  B>A NOTIFY     ft=t tt=f br=y1
				310  A>B 481/NOTIFY ft=t tt=f br=y1`,
			calls: []verdict{{Ends: "AB", Answer: 120, Seen: both, Verified: true}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, tr := play(t, Config{}, tt.script)
			var calls []verdict
			for id := uint64(1); id <= uint64(len(r.calls)); id++ {
				// A call that has seen its end has been told as ended at once.
				if c := r.calls[id]; c.End != 0 && r.ended[id] != 1 {
					t.Errorf("call %d is not over", id)
				}
			}
			tr.Flush()
			for id := uint64(1); id <= uint64(len(r.calls)); id++ {
				calls = append(calls, verdictOf(r.calls[id]))
			}
			if d := cmp.Diff(tt.calls, calls); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
			if got := tr.Counters().Strays; got != tt.strays {
				t.Errorf("%d strays, want %d", got, tt.strays)
			}
			if len(r.bad) > 0 {
				t.Error(r.bad)
			}
			checkEmpty(t, tr)
		})
	}
}

// However many tags a caller guesses, an echo of one proves nothing; and some
// dozens of guesses do not hide the tag that the callee chose.
func TestGuesses(t *testing.T) {
	for _, tt := range []struct {
		guesses  int
		echo     int // which of them the callee uses; -1 one of its own
		verified bool
	}{{1, 0, false}, {9, 0, false}, {9, 8, false}, {5000, 0, false}, {5000, 2500, false}, {30, -1, true}} {
		var b strings.Builder
		b.WriteString("1 A>B INVITE\n 2 B>A 100/INVITE\n")
		for k := range tt.guesses {
			fmt.Fprintf(&b, "%d A>B ACK tt=g%d br=x\n", 3+k, k)
		}
		tag := "own"
		if tt.echo >= 0 {
			tag = fmt.Sprintf("g%d", tt.echo)
		}
		fmt.Fprintf(&b, "10000 B>A 200/INVITE tt=%s\n 10100 A>B ACK tt=%s br=b2", tag, tag)
		r, _ := play(t, Config{}, b.String())
		if got := r.calls[1].Verified; got != tt.verified {
			t.Errorf("%+v: verified %v", tt, got)
		}
	}
}

// Under one Call-ID and one pair of tags, more hops than are kept are counted,
// and the places of calls that are gone are used again.
func TestDialogsCrowded(t *testing.T) {
	var b strings.Builder
	for k := range 7 {
		fmt.Fprintf(&b, "1 %c>B INVITE\n 2 B>%c 200/INVITE tt=t\n", 'G'+k, 'G'+k)
	}
	r, tr := play(t, Config{}, b.String())
	if c := tr.Counters(); c.DialogsCrowded != 6 || tr.dialogs.Len() != 2 || tr.pairs.Len() != 7 {
		t.Errorf("%d crowded, %d dialogs, %d pairs", c.DialogsCrowded, tr.dialogs.Len(), tr.pairs.Len())
	}
	tr.Flush()
	checkEmpty(t, tr)
	if len(r.calls) != 7 {
		t.Errorf("%d calls", len(r.calls))
	}
}

// A proxy that rings many phones at once does not crowd any of them out.
func TestForkToManyAddresses(t *testing.T) {
	var b strings.Builder
	for k := range 9 {
		fmt.Fprintf(&b, "1 A>%[1]c INVITE br=b%[1]c\n 2 %[1]c>A 486/INVITE br=b%[1]c tt=t%[1]c\n 3 A>%[1]c ACK br=b%[1]c tt=t%[1]c\n", 'G'+k)
	}
	r, tr := play(t, Config{}, b.String())
	for id := uint64(1); id <= 9; id++ {
		if !r.calls[id].Verified {
			t.Errorf("call %d is not verified", id)
		}
	}
	if n := tr.Counters().DialogsCrowded; n != 0 {
		t.Errorf("%d crowded", n)
	}
}

// Of many forks the one that answers is found from another address, the one that
// it displaced is not.
func TestDialogOfTheForkThatAnswers(t *testing.T) {
	r, tr := play(t, Config{}, `
		1    A>B INVITE
		10   B>A 180/INVITE tt=t1
		20   B>A 180/INVITE tt=t2
		30   B>A 180/INVITE tt=t3
		40   B>A 180/INVITE tt=t4
		50   B>A 180/INVITE tt=t5
		900  B>A 200/INVITE tt=t6
		910  C>B ACK        tt=t4 br=b2
		920  C>B ACK        tt=t5 br=b3`)
	if r.calls[1].Verified || tr.Counters().Strays != 2 || tr.dialogs.Len() != 5 {
		t.Errorf("verified %v, %d strays, %d dialogs", r.calls[1].Verified, tr.Counters().Strays, tr.dialogs.Len())
	}
	feed(t, tr, readScript(t, "950 C>B ACK tt=t6 br=b4")[0])
	if !r.calls[1].Verified {
		t.Error("the ACK of the fork that answered proves nothing")
	}
	tr.Flush()
	checkEmpty(t, tr)
}
