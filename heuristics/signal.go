package heuristics

import (
	"fmt"
	"math"
	"strings"

	"simtrap/sip"
)

// signal is one trait: when it is counted and how it is told. What it is worth
// stands in the catalogue under the same id. A new signal is one file that
// returns one of these, its line in signals, and its row in the catalogue.
type signal struct {
	id string
	// counted is asked once about each supported call, when both ends have
	// taken part in it, and gives the category to count or none.
	counted func(p *profile, c *callFact) int
	// over is asked once about each counted call when it has ended.
	over func(p *profile, c *callFact) int
	// refused is asked about each supported inbound call that the line did not
	// accept.
	refused func(p *profile, c *callFact) int
	// static is asked until it gives a category; it gives none until the
	// exposure that it states is met.
	static func(p *profile, now int64) int
	// anew has static asked at each judgement: what it gave no more holds once it
	// gives none.
	anew bool
	// leave says that what was counted is left out of the score as things stand:
	// other signals tell the same of the line, or it was not visible after all.
	// nil for never.
	leave func(p *profile) bool
	// seen says when the trait was first seen, and since when one looked.
	seen func(p *profile) (since, first int64, ok bool)
	// detail puts what was counted in plain words.
	detail func(p *profile, n []uint32) string
	// unseen says why nothing is known and what it would have decided.
	unseen func(p *profile) string
}

// none is the category of what does not count.
const none = -1

// callFact is a call at the moment it is counted.
type callFact struct {
	*sip.Call
	inbound bool
	others  int  // other calls of the line that were up
	early   bool // the line sent media before it answered
	callee  int  // category of inbound-fanout when counted, none for other calls
}

// signals lists every signal.
func signals() []signal {
	return []signal{
		accountsSignal(),
		callGaps(),
		calleeOperators(),
		calleeReciprocity(),
		cameraMessages(),
		cardRotation(),
		channelOutages(),
		channelsFull(),
		clocksSignal(),
		concurrencySignal(),
		controlMarks(),
		controlRecord(),
		controllerPlace(),
		darkHousehold(),
		holdOrTransfer(),
		hiddenFanout(),
		hiddenSIP(),
		inboundFanout(),
		inboundShare(),
		internalCalls(),
		lineAge(),
		mediaPeers(),
		messageFanout(),
		numberBlock(),
		oneLeg(),
		outboundCallers(),
		postDialDelay(),
		reregisterClock(),
		roundTheClock(),
		sipStack(),
		softswitchPeer(),
		subscriptions(),
		talkConcurrency(),
		talkLegs(),
		talkOutbound(),
		talkPlace(),
		talkPorts(),
		talkRinging(),
		tunnelCalls(),
		tunnelEarlySignal(),
		unreadSignalling(),
		vendorString(),
	}
}

func sum(n []uint32) (t uint32) {
	for _, c := range n {
		t += c
	}
	return t
}

func plural(n uint32, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if strings.HasSuffix(one, "y") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(one, "y"))
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func percent(a, b uint32) int {
	if b == 0 {
		return 0
	}
	return int(math.Round(100 * float64(a) / float64(b)))
}
