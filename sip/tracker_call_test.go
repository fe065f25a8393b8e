package sip

import (
	"strings"
	"testing"

	"simtrap/ident"

	"github.com/google/go-cmp/cmp"
)

// outcome is what the table tests look at; times in ms of the script, 0 unseen
// (so scripts begin at 1).
type outcome struct {
	Invite, Trying, Ringing, Progress, Answer, Ack, End int64
	Cause                                               uint16
	EndedBy                                             Side
	Seen                                                Seen
	Verified, Midway                                    bool
	Retransmits, Reinvites, Refers                      uint16
	Caller                                              string
}

func outcomeOf(c Call) outcome {
	ms := func(t int64) int64 {
		if t == 0 {
			return 0
		}
		return t/1e6 - scriptStart
	}
	b := c.Caller.Addr.As16()
	return outcome{
		ms(c.Invite), ms(c.Trying), ms(c.Ringing), ms(c.Progress), ms(c.Answer), ms(c.Ack), ms(c.End),
		c.Cause, c.EndedBy, c.Seen, c.Verified, c.Midway, c.Retransmits, c.Reinvites, c.Refers, string(b[15:]),
	}
}

const both = SeenRequest | SeenResponse

func TestCalls(t *testing.T) {
	tests := []struct {
		name   string
		script string
		events string // before Flush; "| ..." what Flush adds
		calls  []outcome
	}{
		{
			name: "answered, ended by the caller",
			script: `
				1    A>B INVITE      sdp=10.0.0.1:4000
				20   B>A 100/INVITE
				100  B>A 183/INVITE  tt=t sdp=10.0.0.2:5000
				3000 B>A 200/INVITE  tt=t sdp=10.0.0.2:5000
				3050 A>B ACK         tt=t br=b2
				9000 A>B BYE         tt=t br=b3 cseq=2
				9050 B>A 200/BYE     tt=t br=b3 cseq=2`,
			events: "1 started, 1 media, 1 media, 1 ringing, 1 answered, 1 verified, 1 ended",
			calls: []outcome{{Invite: 1, Trying: 20, Ringing: 100, Progress: 100, Answer: 3000, Ack: 3050, End: 9000,
				Cause: 200, EndedBy: SideCaller, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "ended by the callee",
			script: `
				1    A>B INVITE
				100  B>A 180/INVITE  tt=t
				3000 B>A 200/INVITE  tt=t
				3050 A>B ACK         tt=t br=b2
				9000 B>A BYE         ft=t tt=f br=b3
				9050 A>B 200/BYE     ft=t tt=f br=b3`,
			events: "1 started, 1 ringing, 1 answered, 1 verified, 1 ended",
			calls: []outcome{{Invite: 1, Ringing: 100, Answer: 3000, Ack: 3050, End: 9000,
				Cause: 200, EndedBy: SideCallee, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "BYE without an answer ends after 32 s",
			script: `
				1     A>B INVITE
				1000  B>A 200/INVITE  tt=t
				1050  A>B ACK         tt=t br=b2
				2000  A>B BYE         tt=t br=b3 cseq=2
				2500  A>B BYE         tt=t br=b3 cseq=2
				+ 33999
				+ 34000`,
			events: "1 started, 1 answered, 1 verified, 1 ended",
			calls: []outcome{{Invite: 1, Answer: 1000, Ack: 1050, End: 2000, Cause: 200,
				EndedBy: SideCaller, Seen: both, Verified: true, Retransmits: 1, Caller: "A"}},
		},
		{
			name: "a challenged BYE is sent again",
			script: `
				1     A>B INVITE
				1000  B>A 200/INVITE  tt=t
				2000  A>B BYE         tt=t br=b3 cseq=2
				2050  B>A 407/BYE     tt=t br=b3 cseq=2
				2100  A>B BYE         tt=t br=b4 cseq=3
				2150  B>A 200/BYE     tt=t br=b4 cseq=3`,
			events: "1 started, 1 answered, 1 verified, 1 ended",
			calls: []outcome{{Invite: 1, Answer: 1000, End: 2000, Cause: 200,
				EndedBy: SideCaller, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "a challenge does not make two calls",
			script: `
				1    A>B INVITE
				50   B>A 407/INVITE tt=x
				60   A>B ACK        tt=x
				100  A>B INVITE     cseq=2 br=b2
				150  B>A 100/INVITE cseq=2 br=b2
				900  B>A 180/INVITE cseq=2 br=b2 tt=t
				2000 B>A 200/INVITE cseq=2 br=b2 tt=t
				2050 A>B ACK        cseq=2 br=b3 tt=t
				8000 A>B BYE        cseq=3 br=b4 tt=t
				8050 B>A 200/BYE    cseq=3 br=b4 tt=t`,
			events: "1 started, 1 verified, 1 ringing, 1 answered, 1 ended",
			calls: []outcome{{Invite: 1, Trying: 150, Ringing: 900, Answer: 2000, Ack: 2050, End: 8000, Cause: 200,
				EndedBy: SideCaller, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "a challenge answered under another From tag",
			script: `
				1    A>B INVITE
				50   B>A 401/INVITE tt=x
				100  A>B INVITE     cseq=2 br=b2 ft=g
				2000 B>A 200/INVITE cseq=2 br=b2 ft=g tt=t
				2050 A>B ACK        cseq=2 br=b3 ft=g tt=t`,
			events: "1 started, 1 answered, 1 verified | 1 ended",
			calls:  []outcome{{Invite: 1, Answer: 2000, Ack: 2050, Cause: 200, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "a challenge nobody takes up ends the call",
			script: `
				1     A>B INVITE
				50    B>A 401/INVITE tt=x
				60    A>B ACK        tt=x
				+ 32050`,
			events: "1 started, 1 verified, 1 ended",
			calls:  []outcome{{Invite: 1, End: 50, Cause: 401, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "cancelled",
			script: `
				1    A>B INVITE
				100  B>A 180/INVITE tt=t
				5000 A>B CANCEL
				5010 B>A 200/CANCEL tt=t
				5020 B>A 487/INVITE tt=t
				5030 A>B ACK        tt=t`,
			events: "1 started, 1 ringing, 1 verified, 1 ended",
			calls:  []outcome{{Invite: 1, Ringing: 100, End: 5020, Cause: 487, EndedBy: SideCaller, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "cancelled, the final response unseen",
			script: `
				1    A>B INVITE
				100  B>A 180/INVITE tt=t
				5000 A>B CANCEL
				+ 37000`,
			events: "1 started, 1 ringing, 1 ended",
			calls:  []outcome{{Invite: 1, Ringing: 100, End: 5000, Cause: 487, EndedBy: SideCaller, Seen: both, Caller: "A"}},
		},
		{
			name: "CANCEL crosses the answer",
			script: `
				1    A>B INVITE
				5000 A>B CANCEL
				5001 B>A 200/INVITE tt=t
				5002 B>A 481/CANCEL
				5050 A>B ACK        tt=t br=b2
				5100 A>B BYE        tt=t br=b3 cseq=2
				5150 B>A 200/BYE    tt=t br=b3 cseq=2`,
			events: "1 started, 1 answered, 1 verified, 1 ended",
			calls: []outcome{{Invite: 1, Answer: 5001, Ack: 5050, End: 5100, Cause: 200, EndedBy: SideCaller,
				Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "refused, and its ACK",
			script: `
				1    A>B INVITE
				500  B>A 503/INVITE tt=t
				550  A>B ACK        tt=t
				600  B>A 503/INVITE tt=t
				700  A>B ACK        tt=t`,
			events: "1 started, 1 verified, 1 ended",
			calls:  []outcome{{Invite: 1, End: 500, Cause: 503, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "refused, the ACK unseen",
			script: `
				1    A>B INVITE
				500  B>A 404/INVITE tt=t
				+ 32499
				+ 32500`,
			events: "1 started, 1 ended",
			calls:  []outcome{{Invite: 1, End: 500, Cause: 404, Seen: both, Caller: "A"}},
		},
		{
			name: "refused and tried again under the same Call-ID",
			script: `
				1    A>B INVITE
				500  B>A 486/INVITE tt=t
				550  A>B ACK        tt=t
				900  A>B INVITE     cseq=2 br=b2
				950  B>A 200/INVITE cseq=2 br=b2 tt=u`,
			events: "1 started, 1 verified, 1 ended, 2 started, 2 answered | 2 ended",
			calls: []outcome{
				{Invite: 1, End: 500, Cause: 486, Seen: both, Verified: true, Caller: "A"},
				{Invite: 900, Answer: 950, Cause: 200, Seen: both, Caller: "A"},
			},
		},
		{
			name: "no answer for three minutes",
			script: `
				1    A>B INVITE
				100  B>A 180/INVITE tt=t
				+ 180099
				+ 180100`,
			events: "1 started, 1 ringing, 1 ended",
			calls:  []outcome{{Invite: 1, Ringing: 100, Seen: both, Caller: "A"}},
		},
		{
			name: "an answered call is kept four hours",
			script: `
				1    A>B INVITE
				100  B>A 200/INVITE tt=t
				+ 14400099
				+ 14400100`,
			events: "1 started, 1 answered, 1 ended",
			calls:  []outcome{{Invite: 1, Answer: 100, Cause: 200, Seen: both, Caller: "A"}},
		},
		{
			name: "forked behind a proxy: the tag that answers is kept",
			script: `
				1    A>B INVITE     sdp=10.0.0.1:4000
				100  B>A 180/INVITE tt=t1
				110  B>A 183/INVITE tt=t2 sdp=10.0.0.8:5000
				2000 B>A 200/INVITE tt=t3 sdp=10.0.0.9:6000
				2050 A>B ACK        tt=t3 br=b2`,
			events: "1 started, 1 media, 1 ringing, 1 media, 1 media, 1 answered, 1 verified | 1 ended",
			calls:  []outcome{{Invite: 1, Ringing: 100, Progress: 110, Answer: 2000, Ack: 2050, Cause: 200, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "forked to two phones behind one address: one is busy, the other answers",
			script: `
				1    A>B INVITE      br=p1
				2    A>B:5062 INVITE br=p2
				50   B>A 486/INVITE  br=p1 tt=t1
				60   A>B ACK         br=p1 tt=t1
				100  B:5062>A 180/INVITE br=p2 tt=t2
				900  B:5062>A 200/INVITE br=p2 tt=t2
				950  A>B:5062 ACK    br=p3 tt=t2`,
			events: "1 started, 1 verified, 1 ringing, 1 answered | 1 ended",
			calls:  []outcome{{Invite: 1, Ringing: 100, Answer: 900, Ack: 950, Cause: 200, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "forked to two phones, both refuse",
			script: `
				1    A>B INVITE      br=p1
				2    A>B:5062 INVITE br=p2
				50   B>A 486/INVITE  br=p1 tt=t1
				60   A>B ACK         br=p1 tt=t1
				900  B:5062>A 603/INVITE br=p2 tt=t2
				950  A>B:5062 ACK    br=p2 tt=t2`,
			events: "1 started, 1 verified, 1 ended",
			calls:  []outcome{{Invite: 1, End: 900, Cause: 603, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "re-INVITE moves the media",
			script: `
				1    A>B INVITE     sdp=10.0.0.1:4000
				1000 B>A 200/INVITE tt=t sdp=10.0.0.2:5000
				1050 A>B ACK        tt=t br=b2
				2000 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4002
				2500 A>B INVITE     tt=t br=b3 cseq=2 sdp=10.0.0.1:4002
				2600 B>A 488/INVITE tt=t br=b3 cseq=2
				2650 A>B ACK        tt=t br=b3 cseq=2
				3000 B>A INVITE     ft=t tt=f br=b4 sdp=10.0.0.2:5000
				3050 A>B 200/INVITE ft=t tt=f br=b4 sdp=10.0.0.1:4000
				3060 B>A ACK        ft=t tt=f br=b5
				4000 A>B REFER      tt=t br=b6 cseq=3`,
			events: "1 started, 1 media, 1 media, 1 answered, 1 verified, 1 media, 1 media | 1 ended",
			calls: []outcome{{Invite: 1, Answer: 1000, Ack: 1050, Cause: 200, Seen: both, Verified: true,
				Retransmits: 1, Reinvites: 2, Refers: 1, Caller: "A"}},
		},
		{
			name: "a re-INVITE that finds no dialog ends the call",
			script: `
				1    A>B INVITE
				1000 B>A 200/INVITE tt=t
				1050 A>B ACK        tt=t br=b2
				2000 A>B INVITE     tt=t br=b3 cseq=2
				2050 B>A 481/INVITE tt=t br=b3 cseq=2
				+ 40000`,
			events: "1 started, 1 answered, 1 verified, 1 ended",
			calls:  []outcome{{Invite: 1, Answer: 1000, Ack: 1050, End: 2050, Cause: 200, Seen: both, Verified: true, Reinvites: 1, Caller: "A"}},
		},
		{
			name: "answer in ACK",
			script: `
				1    A>B INVITE
				1000 B>A 200/INVITE tt=t sdp=10.0.0.2:5000
				1050 A>B ACK        tt=t br=b2 sdp=10.0.0.1:4000`,
			events: "1 started, 1 media, 1 answered, 1 media, 1 verified | 1 ended",
			calls:  []outcome{{Invite: 1, Answer: 1000, Ack: 1050, Cause: 200, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "retransmissions are counted, a doubled mirror is not",
			script: `
				1    A>B INVITE
				2    A>B INVITE
				501  A>B INVITE
				1501 A>B INVITE
				1600 B>A 180/INVITE tt=t
				1600 B>A 180/INVITE tt=t
				1700 B>A 180/INVITE tt=t`,
			events: "1 started, 1 ringing | 1 ended",
			calls:  []outcome{{Invite: 1, Ringing: 1600, Retransmits: 3, Seen: both, Caller: "A"}},
		},
		{
			name: "requests only: an ACK of its own branch is an answer",
			script: `
				1    A>B INVITE
				3050 A>B ACK tt=t br=b2
				9000 A>B BYE tt=t br=b3 cseq=2
				+ 41000`,
			events: "1 started, 1 answered, 1 ended",
			calls:  []outcome{{Invite: 1, Answer: 3050, Ack: 3050, End: 9000, Cause: 200, EndedBy: SideCaller, Seen: SeenRequest, Caller: "A"}},
		},
		{
			name: "requests only: challenge, then the caller's 200 to a BYE out of sight",
			script: `
				1    A>B INVITE
				60   A>B ACK     tt=x
				100  A>B INVITE  cseq=2 br=b2
				2050 A>B ACK     cseq=2 br=b3 tt=t
				8000 A>B 200/BYE ft=t tt=f br=b9`,
			events: "1 started, 1 answered, 1 ended",
			calls:  []outcome{{Invite: 1, Answer: 2050, Ack: 2050, End: 8000, Cause: 200, EndedBy: SideCallee, Seen: SeenRequest, Caller: "A"}},
		},
		{
			name: "requests only: cancelled",
			script: `
				1    A>B INVITE
				5000 A>B CANCEL
				5050 A>B ACK tt=t`,
			events: "1 started, 1 ended",
			calls:  []outcome{{Invite: 1, End: 5050, Cause: 487, EndedBy: SideCaller, Seen: SeenRequest, Caller: "A"}},
		},
		{
			name: "requests only: refused",
			script: `
				1     A>B INVITE
				5050  A>B ACK tt=t
				+ 37050`,
			events: "1 started, 1 ended",
			calls:  []outcome{{Invite: 1, End: 5050, Seen: SeenRequest, Caller: "A"}},
		},
		{
			name: "requests only: a 2xx acknowledged with the branch of the INVITE",
			script: `
				1     A>B INVITE
				5050  A>B ACK tt=t
				9000  A>B BYE tt=t br=b3 cseq=2
				+ 41000`,
			events: "1 started, 1 ended",
			calls:  []outcome{{Invite: 1, End: 9000, EndedBy: SideCaller, Seen: SeenRequest, Caller: "A"}},
		},
		{
			name: "responses only",
			script: `
				20   B>A 100/INVITE
				50   B>A 401/INVITE tt=x
				150  B>A 100/INVITE cseq=2 br=b2
				900  B>A 180/INVITE cseq=2 br=b2 tt=t
				2000 B>A 200/INVITE cseq=2 br=b2 tt=t
				8050 B>A 200/BYE    cseq=3 br=b4 tt=t`,
			events: "1 started, 1 ringing, 1 answered, 1 ended",
			calls:  []outcome{{Trying: 20, Ringing: 900, Answer: 2000, End: 8050, Cause: 200, EndedBy: SideCaller, Seen: SeenResponse, Caller: "A"}},
		},
		{
			name: "responses only: cancelled",
			script: `
				20   B>A 180/INVITE tt=t
				5000 B>A 200/CANCEL tt=t
				5010 B>A 487/INVITE tt=t
				+ 40000`,
			events: "1 started, 1 ringing, 1 ended",
			calls:  []outcome{{Ringing: 20, End: 5010, Cause: 487, EndedBy: SideCaller, Seen: SeenResponse, Caller: "A"}},
		},
		{
			name: "a response that overtook its INVITE",
			script: `
				1    B>A 100/INVITE
				2    A>B INVITE
				900  B>A 200/INVITE tt=t
				950  A>B ACK        tt=t br=b2`,
			events: "1 started, 1 answered, 1 verified | 1 ended",
			calls:  []outcome{{Invite: 1, Trying: 1, Answer: 900, Ack: 950, Cause: 200, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "begun in mid-call: BYE",
			script: `
				1000 B>A BYE     ft=t tt=f br=b9
				1050 A>B 200/BYE ft=t tt=f br=b9`,
			events: "1 started, 1 ended",
			calls:  []outcome{{End: 1000, EndedBy: SideCaller, Seen: both, Midway: true, Caller: "B"}},
		},
		{
			name: "begun in mid-call: re-INVITE",
			script: `
				1000 A>B INVITE     tt=t br=b7 cseq=5 sdp=10.0.0.1:4000
				1050 B>A 200/INVITE tt=t br=b7 cseq=5 sdp=10.0.0.2:5000
				1060 A>B ACK        tt=t br=b8 cseq=5
				9000 B>A BYE        ft=t tt=f br=b9
				9050 A>B 200/BYE    ft=t tt=f br=b9`,
			events: "1 started, 1 media, 1 media, 1 ended",
			calls:  []outcome{{End: 9000, EndedBy: SideCallee, Seen: both, Midway: true, Reinvites: 1, Caller: "A"}},
		},
		{
			name: "strangers to everything",
			script: `
				1  A>B ACK        tt=t
				2  A>B CANCEL
				3  B>A 200/BYE    tt=t
				4  B>A 200/UPDATE tt=t
				5  A>B REFER      tt=t id=other`,
			events: "| request 12 from A status 0 at 5",
		},
		{
			name: "early dialog: PRACK proves, UPDATE moves media, BYE ends",
			script: `
				1    A>B INVITE     sdp=10.0.0.1:4000
				100  B>A 183/INVITE tt=t sdp=10.0.0.2:5000
				150  A>B PRACK      tt=t br=b2 cseq=2
				160  B>A 200/PRACK  tt=t br=b2 cseq=2
				300  A>B UPDATE     tt=t br=b3 cseq=3 sdp=10.0.0.1:4444
				320  B>A 200/UPDATE tt=t br=b3 cseq=3 sdp=10.0.0.2:5000
				900  A>B BYE        tt=t br=b4 cseq=4
				950  B>A 200/BYE    tt=t br=b4 cseq=4
				960  B>A 487/INVITE tt=t`,
			events: "1 started, 1 media, 1 media, 1 ringing, 1 verified, 1 media, 1 ended",
			calls: []outcome{{Invite: 1, Ringing: 100, Progress: 100, End: 900, EndedBy: SideCaller,
				Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "the same Call-ID on the next hop is another call",
			script: `
				1    A>B INVITE
				10   B>C INVITE     br=n1
				200  C>B 180/INVITE br=n1 tt=t
				210  B>A 180/INVITE tt=t
				900  C>B 200/INVITE br=n1 tt=t
				910  B>A 200/INVITE tt=t
				950  A>B ACK        br=b2 tt=t
				960  B>C ACK        br=n2 tt=t
				2000 C>B BYE        br=y1 ft=t tt=f
				2010 B>A BYE        br=y2 ft=t tt=f
				2050 A>B 200/BYE    br=y2 ft=t tt=f
				2060 B>C 200/BYE    br=y1 ft=t tt=f`,
			events: "1 started, 2 started, 2 ringing, 1 ringing, 2 answered, 1 answered, 1 verified, 2 verified, 1 ended, 2 ended",
			calls: []outcome{
				{Invite: 1, Ringing: 210, Answer: 910, Ack: 950, End: 2010, Cause: 200, EndedBy: SideCallee, Seen: both, Verified: true, Caller: "A"},
				{Invite: 10, Ringing: 200, Answer: 900, Ack: 960, End: 2000, Cause: 200, EndedBy: SideCallee, Seen: both, Verified: true, Caller: "B"},
			},
		},
		{
			name: "a spiral between the same two addresses is another call",
			script: `
				1    A>B INVITE
				10   B>A INVITE     br=n1
				200  A>B 180/INVITE br=n1 tt=t
				210  B>A 180/INVITE tt=t
				900  A>B 200/INVITE br=n1 tt=t
				910  B>A 200/INVITE tt=t
				950  A>B ACK        br=b2 tt=t
				960  B>A ACK        br=n2 tt=t
				2000 A>B BYE        br=y1 ft=t tt=f
				2010 B>A BYE        br=y2 ft=t tt=f
				2050 A>B 200/BYE    br=y2 ft=t tt=f
				2060 B>A 200/BYE    br=y1 ft=t tt=f`,
			events: "1 started, 2 started, 2 ringing, 1 ringing, 2 answered, 1 answered, 1 verified, 2 verified, 1 ended, 2 ended",
			calls: []outcome{
				{Invite: 1, Ringing: 210, Answer: 910, Ack: 950, End: 2010, Cause: 200, EndedBy: SideCallee, Seen: both, Verified: true, Caller: "A"},
				{Invite: 10, Ringing: 200, Answer: 900, Ack: 960, End: 2000, Cause: 200, EndedBy: SideCallee, Seen: both, Verified: true, Caller: "B"},
			},
		},
		{
			name: "both ends on one host",
			script: `
				1    A>A:5080 INVITE
				100  A:5080>A 180/INVITE tt=t
				900  A:5080>A 200/INVITE tt=t
				950  A>A:5080 ACK        tt=t br=b2
				2000 A:5080>A BYE        ft=t tt=f br=y1
				2050 A>A:5080 200/BYE    ft=t tt=f br=y1`,
			events: "1 started, 1 ringing, 1 answered, 1 verified, 1 ended",
			calls:  []outcome{{Invite: 1, Ringing: 100, Answer: 900, Ack: 950, End: 2000, Cause: 200, EndedBy: SideCallee, Seen: both, Verified: true, Caller: "A"}},
		},
		{
			name: "late messages of a call that is over change nothing",
			script: `
				1    A>B INVITE
				900  B>A 200/INVITE tt=t
				2000 B>A BYE        ft=t tt=f br=y1
				2050 A>B 200/BYE    ft=t tt=f br=y1
				2500 B>A BYE        ft=t tt=f br=y1
				2550 A>B 200/BYE    ft=t tt=f br=y1
				2600 A>B INVITE
				2700 B>A 200/INVITE tt=t`,
			events: "1 started, 1 answered, 1 ended",
			calls:  []outcome{{Invite: 1, Answer: 900, End: 2000, Cause: 200, EndedBy: SideCallee, Seen: both, Caller: "A"}},
		},

		{
			name: "a BYE seen only when it is sent again, after its answer",
			script: `
				1    A>B INVITE
				900  B>A 200/INVITE tt=t
				8050 B>A 200/BYE    tt=t br=b3 cseq=2
				8500 A>B BYE        tt=t br=b3 cseq=2
				8550 B>A 200/BYE    tt=t br=b3 cseq=2`,
			events: "1 started, 1 answered, 1 ended",
			calls:  []outcome{{Invite: 1, Answer: 900, End: 8050, Cause: 200, EndedBy: SideCaller, Seen: both, Caller: "A"}},
		},

		// Forgers: an A that cannot read what B says.
		{
			name: "a forger's ACK does not verify nor answer",
			script: `
				1    A>B INVITE
				100  B>A 180/INVITE tt=t
				200  A>B ACK        tt=guess br=b2
				300  A>B PRACK      tt=guess br=b3 cseq=2
				400  A>B BYE        br=b4 cseq=3`,
			events: "1 started, 1 ringing | 1 ended",
			calls:  []outcome{{Invite: 1, Ringing: 100, End: 400, EndedBy: SideCaller, Seen: both, Caller: "A"}},
		},
		{
			name: "a tag that the caller used first proves nothing when it is echoed",
			script: `
				1    A>B INVITE
				50   A>B INVITE     tt=guess br=b2
				60   B>A 481/INVITE tt=guess br=b2
				70   A>B ACK        tt=guess br=b2
				80   A>B INVITE     tt=guess br=b5 cseq=2
				90   B>A 481/INVITE tt=guess br=b5 cseq=2
				95   A>B ACK        tt=guess br=b5 cseq=2`,
			events: "1 started | 1 ended",
			calls:  []outcome{{Invite: 1, Reinvites: 2, Seen: both, Caller: "A"}},
		},
		{
			name: "without the INVITE nobody knows who chose the tag",
			script: `
				60   B>A 180/INVITE tt=guess
				70   A>B ACK        tt=guess`,
			events: "1 started, 1 ringing | 1 ended",
			calls:  []outcome{{Ringing: 60, Seen: both, Caller: "A"}},
		},
		{
			name: "the callee's own packets prove nothing",
			script: `
				1    A>B INVITE
				60   B>A 180/INVITE tt=t
				70   B>A UPDATE     tt=t br=b2`,
			events: "1 started, 1 ringing, 2 started | 1 ended, 2 ended",
			calls: []outcome{
				{Invite: 1, Ringing: 60, Seen: both, Caller: "A"},
				{Seen: SeenRequest, Midway: true, Caller: "B"},
			},
		},
		{
			name: "an echoed BYE in mid-call proves nothing",
			script: `
				1    A>B BYE        tt=guess
				60   B>A 481/BYE    tt=guess
				70   A>B BYE        tt=guess br=b2 cseq=2`,
			events: "1 started, 1 ended",
			calls:  []outcome{{End: 1, EndedBy: SideCaller, Midway: true, Seen: both, Caller: "A"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, tr := play(t, Config{}, tt.script)
			n := len(r.events)
			tr.Flush()
			got := strings.Join(r.events[:n], ", ")
			if n < len(r.events) {
				got = strings.TrimSpace(got + " | " + strings.Join(r.events[n:], ", "))
			}
			if d := cmp.Diff(tt.events, got); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
			var calls []outcome
			for id := uint64(1); id <= uint64(len(r.calls)); id++ {
				calls = append(calls, outcomeOf(r.calls[id]))
			}
			if d := cmp.Diff(tt.calls, calls); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
			if len(r.bad) > 0 {
				t.Error(r.bad)
			}
			checkEmpty(t, tr)
		})
	}
}

// checkEmpty fails if a flushed Tracker holds anything but shared names.
func checkEmpty(t failer, tr *Tracker) {
	t.Helper()
	if n := tr.calls.len() + tr.regs.len() + tr.requests.len() + tr.contacts.Len() + tr.dialogs.Len() + tr.pairs.Len(); n != 0 {
		t.Errorf("%d entries left after Flush", n)
	}
	if c := tr.Counters(); c.CallsStarted != c.CallsEnded {
		t.Errorf("%d calls started, %d ended", c.CallsStarted, c.CallsEnded)
	}
}

func TestCallMedia(t *testing.T) {
	r, _ := play(t, Config{}, `
		1    A>B INVITE     sdp=10.0.0.1:4000
		100  B>A 183/INVITE tt=t sdp=10.0.0.2:5000
		1000 B>A 200/INVITE tt=t sdp=10.0.0.3:6000
		1050 A>B ACK        tt=t br=b2
		2000 B>A INVITE     ft=t tt=f sdp=10.0.0.4:7000
		2050 A>B 200/INVITE ft=t tt=f sdp=10.0.0.5:8000`)
	c := r.calls[1]
	addr := func(s string) ident.Addr { a, _ := ident.ParseAddr([]byte(s)); return a }
	if c.CallerMedia.Addr != addr("10.0.0.5") || c.CallerMedia.Port != 8000 {
		t.Errorf("caller's media %v:%d", c.CallerMedia.Addr, c.CallerMedia.Port)
	}
	if c.CalleeMedia.Addr != addr("10.0.0.4") || c.CalleeMedia.Port != 7000 {
		t.Errorf("callee's media %v:%d", c.CalleeMedia.Addr, c.CalleeMedia.Port)
	}
	if c.CalleeMedia.N != 2 || c.CalleeMedia.Formats[0].PT != 8 {
		t.Errorf("callee's formats %v", c.CalleeMedia.Formats[:c.CalleeMedia.N])
	}
}

func TestCallNumbers(t *testing.T) {
	one := func(script string) Call {
		r, _ := play(t, Config{}, script)
		return r.calls[1]
	}
	plain := one(`1 A>B INVITE uri=13812345678 to=ignored pai=13900001111 from=anonymous`)
	prefixed := one(`1 A>B INVITE uri=99913812345678 from=+8613900001111`)
	responses := one(`1 B>A 180/INVITE to=+8613812345678 tt=t`)
	otherCallee := one(`1 A>B INVITE uri=13812345679`)
	if plain.CalleeKey == 0 || plain.CalleeKey != prefixed.CalleeKey || plain.CalleeKey != responses.CalleeKey {
		t.Error("one callee, several keys")
	}
	if plain.CalleeKey == otherCallee.CalleeKey {
		t.Error("two callees, one key")
	}
	if plain.CallerKey == 0 || plain.CallerKey != prefixed.CallerKey {
		t.Error("P-Asserted-Identity and From of one caller differ")
	}
	if plain.CalleeClass != ident.NumberMobile || plain.CallerClass != ident.NumberMobile {
		t.Errorf("classes %v, %v", plain.CalleeClass, plain.CallerClass)
	}
	hidden := one(`1 A>B INVITE from=anonymous`)
	if hidden.CallerKey != 0 {
		t.Error("a withheld caller has a key")
	}
	in := ident.NewPseudonymizer(nil, "case 1")
	if got := in.Number("", prefixed.CalledUser); got != "99913812345678" {
		t.Errorf("called user %q, want it as dialled", got)
	}
	r, tr := play(t, Config{}, "1 B>A 100/INVITE to=someone\n 2 A>B INVITE uri=13812345678 to=someone")
	tr.Flush()
	if r.calls[1].CalleeKey != plain.CalleeKey {
		t.Error("the INVITE that came after its 100 does not tell the callee")
	}
}

func TestCallTraits(t *testing.T) {
	long := strings.Repeat("x", 100)
	r, tr := play(t, Config{}, `
		1    A>B INVITE     ua=caller/1
		50   B>A 100/INVITE ua=proxy
		100  B>A 180/INVITE tt=t ua=`+long+`
		200  B>A 200/INVITE tt=t ua=later`)
	tr.Flush()
	c := r.calls[1]
	if c.UserAgent != [2]string{"caller/1", long[:64]} {
		t.Errorf("user agents %q", c.UserAgent)
	}
	if c.CallerShape == 0 || c.CalleeShape == 0 {
		t.Error("no header shapes")
	}
}

func TestCallRealmAndTCP(t *testing.T) {
	r := newRecorder()
	tr := NewTracker(Config{}, r)
	s := readScript(t, `1 A>B INVITE`)[0]
	feed(t, tr, s)
	s.packet.Realm, s.packet.Proto, s.packet.Time = 3, 6, s.packet.Time+1
	feed(t, tr, s)
	if len(r.calls) != 2 || r.calls[1].TCP || !r.calls[2].TCP || r.calls[2].Realm != 3 {
		t.Errorf("calls of two realms: %v", len(r.calls))
	}
}

// One callee, however the number is written.
func TestCalledNumberForms(t *testing.T) {
	one := func(uri string) Call {
		r, _ := play(t, Config{}, "1 A>B INVITE uri="+uri)
		return r.calls[1]
	}
	want := one("13812345678")
	for _, uri := range []string{
		"+8613812345678", "008613812345678", "%2B8613812345678", "8613812345678", "138-1234-5678", "%31%33812345678",
		"13812345678;npdi;rn=+8613800100500", "13812345678;isub=12", "+8613812345678;phone-context=example.com:secret",
		"13812345678*13900001111", "+8613812345678*+442079460123", "17951*13812345678",
	} {
		if got := one(uri); got.CalleeKey != want.CalleeKey || got.CalleeClass != ident.NumberMobile {
			t.Errorf("%s: class %v, the same key: %v", uri, got.CalleeClass, got.CalleeKey == want.CalleeKey)
		}
	}
	for _, uri := range []string{"13812345679", "13900001111*13812345678", "13812345678x", "1381234567"} {
		if one(uri).CalleeKey == want.CalleeKey {
			t.Errorf("%s: taken for another number", uri)
		}
	}
}
