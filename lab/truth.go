package lab

import (
	"cmp"
	"slices"
	"time"
)

// Class names, as in section 1 of docs/verdict.md. The first five are boxes.
const (
	ClassGateway      = "gateway"
	ClassTwoSlot      = "two-slot relay"
	ClassBank         = "SIM bank"
	ClassMessageBox   = "message box"
	ClassOrigination  = "origination"
	ClassHome         = "home"
	ClassConference   = "conference or game"
	ClassOffice       = "office phones"
	ClassAnchoredPBX  = "anchored PBX"
	ClassHostedPBX    = "hosted PBX"
	ClassAdapter      = "analogue adapter"
	ClassCallCentre   = "call centre"
	ClassCarrier      = "carrier SBC"
	ClassBreakout     = "PSTN breakout gateway"
	ClassMobileDialer = "mobile-dialler app"
	ClassHackedPBX    = "hacked PBX"
	ClassVictim       = "scanner's victim"
	ClassCamera       = "camera platform"
	ClassVPN          = "VPN office"
	ClassSmallCell    = "small cell or VoWiFi"
	ClassM2M          = "M2M, cloud SIM or SIM test farm"
)

// What a box lets be read, see LineTruth.Shows.
const (
	ShowSIP        = "signalling"        // SIP or H.323 in the clear
	ShowControl    = "control"           // records of a gateway's own protocol
	ShowCards      = "cards"             // identities of its cards in these records
	ShowMessages   = "messages"          // short messages of many channels, in the clear
	ShowChanges    = "card changes"      // channels stay away one by one as cards are changed
	ShowController = "controller abroad" // the far end of its calls is abroad
)

// Verdict names, weakest first.
const (
	VerdictNone   = "none"
	VerdictWatch  = "watch"
	VerdictReview = "review"
	VerdictCase   = "case"
)

// Truth is what is true of a capture.
type Truth struct {
	Scenario string        `json:"scenario"`
	Seed     uint64        `json:"seed"`
	View     string        `json:"view"`
	Encap    string        `json:"encap"`
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration_ns"`
	Packets  int           `json:"packets"`
	Bytes    int64         `json:"bytes"`
	Lines    []*LineTruth  `json:"lines"`
	Far      []FarTruth    `json:"far"`
}

// LineTruth is what is true of one subscriber line.
type LineTruth struct {
	Address     string       `json:"address"` // of the access; with IPv6, its /64
	Class       string       `json:"class"`
	Device      string       `json:"device"`
	Note        string       `json:"note,omitempty"`
	Access      string       `json:"access,omitempty"`   // what it is connected by, where that was drawn
	Channels    int          `json:"channels,omitempty"` // calls it can carry at once
	Controllers []Controller `json:"controllers,omitempty"`
	Cards       []Card       `json:"cards,omitempty"`
	Calls       CallTruth    `json:"calls"`
	// Talks are the calls of the line that had a sound, in order of their ends;
	// the scenarios of Hiding alone tell them.
	Talks []Talk `json:"talks,omitempty"`
	// Proof says that a gateway's own protocol is there to be proved with.
	Proof bool `json:"proof"`
	// Shows is what a tap that sees everything can read of a box, of Show*.
	Shows []string `json:"shows,omitempty"`
	// MinVerdict and MaxVerdict are what a verdict on this line must reach and
	// must not exceed. With less than the full view nothing must be reached.
	MinVerdict string `json:"min_verdict"`
	MaxVerdict string `json:"max_verdict"`

	talks []talk // answered calls, in the order of their answers
}

// talk is one answered call of a line, as long as its people talked: its end may
// lie behind the capture's.
type talk struct {
	from, to int64 // ns since the Unix epoch
	inbound  bool
	called   string
}

// Box says whether the line holds a box.
func (l *LineTruth) Box() bool {
	switch l.Class {
	case ClassGateway, ClassTwoSlot, ClassBank, ClassMessageBox, ClassOrigination:
		return true
	}
	return false
}

// Controller is a far end that the line depends on.
type Controller struct {
	Addr   string `json:"addr"`
	Role   string `json:"role"` // as in the output contract of docs/design.md
	Abroad bool   `json:"abroad"`
}

// FarTruth is an address beyond the tap that is not a subscriber's.
type FarTruth struct {
	Addr   string `json:"addr"`
	Name   string `json:"name"`
	Abroad bool   `json:"abroad"`
}

// Card is one SIM; its identities have valid check digits.
type Card struct {
	IMSI   string `json:"imsi"`
	IMEI   string `json:"imei"`
	ICCID  string `json:"iccid"`
	MSISDN string `json:"msisdn"`
}

// CallTruth counts the calls that began on a line in the whole scenario,
// whatever the view showed of them. A call of two legs on the line counts per
// leg.
type CallTruth struct {
	Inbound        int `json:"inbound"`
	Outbound       int `json:"outbound"`
	Answered       int `json:"answered"`
	AnsweredIn     int `json:"answered_in"`
	PeakConcurrent int `json:"peak_concurrent"` // answered calls at once
	DistinctCalled int `json:"distinct_called"` // numbers called, inbound
	TalkSeconds    int `json:"talk_seconds"`
}

// Talk is one call that had a sound, answered or not.
type Talk struct {
	// Early is when the callee began to send before the answer, zero where it
	// did not.
	Early time.Time `json:"early,omitzero"`
	// Start is the answer, zero without one, and End when the sound ends.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end"`
	// Channel is the box's that carries it, from 1; 0 where nobody counts any.
	Channel int  `json:"channel,omitempty"`
	Out     bool `json:"out,omitempty"` // placed by the line
}

// From gives when the first sound of the call was sent.
func (t Talk) From() time.Time {
	if !t.Early.IsZero() {
		return t.Early
	}
	return t.Start
}

// talked notes a call's sound on the line: early media from early, the answer at
// start, both 0 where there was none, and silence from end.
func (l *line) talked(early, start, end int64, channel int, out bool) {
	if l == nil || !l.s.hiding {
		return
	}
	when := func(t int64) time.Time {
		if t == 0 {
			return time.Time{}
		}
		return time.Unix(0, min(t, l.s.end)).UTC()
	}
	if from := cmp.Or(early, start); from < l.s.end {
		l.truth.Talks = append(l.truth.Talks, Talk{when(early), when(start), when(end), channel, out})
	}
}

func (s *sim) finish(opt Options) *Truth {
	t := &Truth{
		Scenario: opt.Scenario, Seed: opt.Seed, View: string(s.view), Encap: opt.Encap,
		Start: time.Unix(0, s.start).UTC(), Duration: opt.Duration,
		Packets: s.out.packets, Bytes: s.out.bytes,
	}
	for _, l := range s.lines {
		lt := l.truth
		lt.Calls.DistinctCalled = len(l.called)
		if s.view != viewBoth {
			lt.MinVerdict = VerdictNone
		}
		t.Lines = append(t.Lines, lt)
	}
	for _, n := range s.far {
		t.Far = append(t.Far, FarTruth{Addr: n.addr.String(), Name: n.name, Abroad: n.abroad})
	}
	slices.SortFunc(t.Far, func(a, b FarTruth) int { return cmp.Compare(a.Addr, b.Addr) })
	return t
}

// Peak gives how many of the calls had a sound at once, at most.
func Peak(talks []Talk) int {
	type step struct {
		at time.Time
		by int
	}
	var steps []step
	for _, t := range talks {
		steps = append(steps, step{t.From(), 1}, step{t.End, -1})
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.by, b.by)) })
	n, most := 0, 0
	for _, s := range steps {
		n += s.by
		most = max(most, n)
	}
	return most
}
