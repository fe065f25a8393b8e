package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// beginnings is a source that accounts media and gives, of a flow that speaks nothing
// known, the first datagrams alone unless it is asked to follow it.
type beginnings struct {
	*kernel
	first, left int
	refuses     error

	given    map[rtp.Flow]int
	followed map[rtp.Flow]int // how often it was asked
}

func canonical(f rtp.Flow) rtp.Flow {
	f.Realm, f.TapPort = 0, 0
	if r := f.Reverse(); r.Compare(&f) < 0 {
		return r
	}
	return f
}

func (s *beginnings) Follow(f rtp.Flow) error {
	s.followed[canonical(f)]++
	return s.refuses
}

func (s *beginnings) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := s.kernel.Next(ctx)
	if err != nil {
		return b, err
	}
	var kept []capture.Frame
	for _, f := range b.Frames {
		var p packet.Packet
		if s.decoder.Frame(f.Link, b.Block[f.Off:f.Off+f.Len], f.Wire, &p) == packet.Datagram && p.Proto == packet.UDP && !sip.Looks(p.Payload) {
			flow := canonical(rtp.Flow{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort})
			if s.given[flow]++; s.given[flow] > s.first && (s.followed[flow] == 0 || s.refuses != nil) {
				s.left++
				continue
			}
		}
		kept = append(kept, f)
	}
	b.Frames = kept
	return b, nil
}

// TestFollows: where a source gives only the beginnings of flows, what hides SIP is
// asked for, and the finding is that of replay; one that cannot follow is counted.
func TestFollows(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "dialler-scrambled", Seed: 3, Duration: 20 * time.Minute})
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Workers: 2, Homes: homes}
	replay, err := Run(t.Context(), opened(t, file), cfg)
	if err != nil {
		t.Fatal(err)
	}
	list := frames(t, opened(t, file))
	for _, refuses := range []error{nil, errors.New("no room")} {
		s := &beginnings{kernel: newKernel(list, 64), first: 32, refuses: refuses, given: map[rtp.Flow]int{}, followed: map[rtp.Flow]int{}}
		s.rate = 16
		got := live(t, cfg, s)
		if len(s.followed) == 0 {
			t.Fatal("nothing is asked for")
		}
		for f, n := range s.followed {
			if s.given[f] <= s.first || n > 21 {
				t.Errorf("%+v is asked for %d times, and had %d datagrams", f, n, s.given[f])
			}
		}
		uncounted := true
		for _, l := range got.Losses {
			uncounted = uncounted && !strings.Contains(l.Reason, "could not be followed")
		}
		if uncounted != (refuses == nil) {
			t.Errorf("%v: counted as a loss: %v", refuses, !uncounted)
		}
		d := cmp.Diff(outline(replay.Findings), outline(got.Findings))
		t.Logf("%d flows followed, %d datagrams left", len(s.followed), s.left)
		if refuses == nil && d != "" {
			t.Errorf("(-replay +followed):\n%s", d)
		}
		if refuses != nil && s.left == 0 {
			t.Error("nothing is left where nothing is followed: the test shows nothing")
		}
	}
}
