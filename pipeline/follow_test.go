package pipeline

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/rtp"
)

// asked is a source that notes which flows it is asked to follow.
type asked struct {
	capture.Source
	refuses error

	mu    sync.Mutex
	flows []rtp.Flow
}

func (s *asked) Follow(f rtp.Flow) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows = append(s.flows, f)
	return s.refuses
}

// TestFollow: every source is asked for a flow, whichever way round it is named, and
// again only after a while; what refuses is counted.
func TestFollow(t *testing.T) {
	one, two := &asked{}, &asked{refuses: errors.New("no room")}
	taps := &taps{list: []*tapSource{{src: one}, {src: &port{}}, {src: two}}}
	flow := rtp.Flow{Src: ident.AddrFrom4([]byte{203, 0, 113, 7}), Dst: ident.AddrFrom4([]byte{198, 51, 100, 9}), SrcPort: 5060, DstPort: 5080}
	for _, c := range []struct {
		flow rtp.Flow
		now  int64
		want int // times that each was asked by then
	}{
		{flow, 1e18, 1},
		{flow.Reverse(), 1e18 + 1e9, 1},
		{flow, 1e18 + askAgain, 2},
		{rtp.Flow{Src: flow.Src, Dst: flow.Dst, SrcPort: 1, DstPort: 2}, 1e18 + askAgain, 3},
	} {
		taps.follow(c.flow, c.now)
		if len(one.flows) != c.want || len(two.flows) != c.want || taps.unfollowed != uint64(c.want) {
			t.Errorf("asked %d and %d times, %d refused; want %d", len(one.flows), len(two.flows), taps.unfollowed, c.want)
		}
	}
	for i := range 3 * maxAsked {
		flow.SrcPort = uint16(i)
		taps.follow(flow, 2e18)
	}
	if n := len(taps.asked); n > maxAsked+1 {
		t.Errorf("%d flows are remembered", n)
	}
}

// TestFollowsHidden: a flow that hides SIP is asked for, no other is, and a source that
// refuses is told of among the losses.
func TestFollowsHidden(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "dialler-scrambled", Seed: 3, Duration: 20 * time.Minute})
	s := &asked{Source: opened(t, file), refuses: errors.New("no room")}
	got := live(t, Config{Workers: 2}, s)
	if len(s.flows) == 0 {
		t.Fatal("nothing is asked for")
	}
	for i := range s.flows {
		if f := s.flows[i]; f != s.flows[0] && f != s.flows[0].Reverse() {
			t.Errorf("%+v is asked for beside %+v", f, s.flows[0])
		}
	}
	told := uint64(0)
	for _, l := range got.Losses {
		if strings.Contains(l.Reason, "could not be followed") {
			told += l.Count
		}
	}
	if told != uint64(len(s.flows)) {
		t.Errorf("%d times refused, %d told", len(s.flows), told)
	}
}
