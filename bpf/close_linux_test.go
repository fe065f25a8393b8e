package bpf

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCloseInAFlood closes a source while frames come: each that was sent up is given
// or counted, to the last one, whether somebody reads or not; and each packet that was
// accounted is in an interval, or counted with those too short for one.
func TestCloseInAFlood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode          Mode
		perf, reading bool
	}{
		{XDPNative, false, true}, {XDPGeneric, false, true}, {XDPGeneric, true, false}, {ClsAct, false, true}, {ClsAct, true, false},
	} {
		t.Run(fmt.Sprintf("%v perf %v reading %v", c.mode, c.perf, c.reading), func(t *testing.T) {
			t.Parallel()
			inNamespace(t, func(t testing.TB) {
				s, err := Open("vb", Config{Port: 1, Mode: c.mode, PerfIntervals: c.perf, Flows: 4096, PerSource: 1 << 30})
				if err != nil {
					t.Fatal(err)
				}
				var given atomic.Uint64
				read := func() error {
					for {
						b, err := s.Next(context.Background())
						if err != nil {
							return err
						}
						given.Add(uint64(len(b.Frames)))
						b.Release()
						time.Sleep(5 * time.Millisecond) // something is left for the end
					}
				}
				ended := make(chan error, 1)
				if c.reading {
					go func() { ended <- read() }()
				}
				out, stop := newSender(t, "va"), make(chan struct{})
				var flood sync.WaitGroup
				flood.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						out.send(udpFrame("10.1.2.3", "198.51.100.7", 5060, 5060, []byte(invite)))
						out.send(udpFrame("10.1.2.3", "198.51.100.7", uint16(10000+i%10), 20000, rtpPayload(8, uint16(i/10), uint32(i/10)*160, uint32(i%10), 160)))
					}
				})
				for begin := time.Now(); s.Counts()["up_sip"] < 1000; time.Sleep(time.Millisecond) {
					if time.Since(begin) > 30*time.Second {
						t.Fatal("no flood")
					}
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				n, up, lost := s.Counts(), uint64(0), map[string]uint64{}
				close(stop)
				flood.Wait()
				if c.reading {
					if err := <-ended; err != io.EOF {
						t.Errorf("frames ended with %v", err)
					}
				}
				for _, l := range s.Losses() {
					lost[l.Reason] = l.Count
				}
				for _, name := range []string{"up_sip", "up_first", "up_left", "up_sample", "up_rtcp"} {
					up += n[name]
				}
				if got := given.Load() + lost["frames_left"]; got != up || c.reading != (lost["frames_left"] == 0) {
					t.Errorf("of %d frames %d were given and %d counted as left", up, given.Load(), lost["frames_left"])
				}
				// What came while nobody emptied the ring is counted by the programs.
				if sum := up + n["frames_lost"] + n["limited_source"] + n["limited_first"]; c.reading && sum < 1000 {
					t.Errorf("only %d frames", sum)
				}
				before := lost["intervals_left"]
				ivs, _ := s.Intervals(nil)
				if before != uint64(len(ivs)) || before < 10 {
					t.Errorf("%d intervals, %d counted as left before", len(ivs), before)
				}
				packets := n["sparse_packets"]
				for i := range ivs {
					packets += uint64(ivs[i].Packets) + uint64(ivs[i].Duplicates)
				}
				if packets != n["accounted"] && n["intervals_lost"] == 0 {
					t.Errorf("%d packets in intervals or sparse, %d accounted", packets, n["accounted"])
				}
				for _, l := range s.Losses() {
					if l.Reason == "intervals_left" && l.Count != 0 {
						t.Errorf("%d intervals are left after all were taken", l.Count)
					}
				}
				t.Logf("%d up, %d given, %d intervals", up, given.Load(), len(ivs))
			})
		})
	}
}
