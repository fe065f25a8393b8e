//go:build linux

package afpacket

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkLive sends from two threads into a cable as fast as they can, and
// reads at the other end. Sender and receiver share the processors. An
// iteration is one second of sending; the rate is of frames given by Next, and
// what was sent and neither given nor counted as dropped is an error. With a pace,
// in frames a second of both threads, it says whether that goes without loss.
func BenchmarkLive(b *testing.B) {
	for _, c := range []struct{ rings, size, pace int }{{1, 172, 0}, {2, 172, 0}, {1, 1000, 0}, {1, 172, livePace}, {2, 172, livePace}} {
		name := fmt.Sprintf("rings=%d/bytes=%d", c.rings, c.size+42)
		if c.pace > 0 {
			name += fmt.Sprintf("/pace=%d", c.pace)
		}
		b.Run(name, func(b *testing.B) {
			inNamespace(b, func(t testing.TB) { live(t, b, c.rings, c.size, c.pace) })
		})
	}
}

const (
	liveGoal = 500_000 // frames a second without loss
	livePace = 550_000
)

func live(t testing.TB, b *testing.B, rings, size, pace int) {
	all := mustOpen(t, Options{Rings: rings}, "vb")
	senders := []*sender{newSender(t, "va"), newSender(t, "va")}
	var frames [][]byte
	for n := range uint64(1024) {
		frames = append(frames, flow{uint16(n), 9, 4000 + uint16(n), 5004}.datagram(n, size))
	}

	var given, bytes atomic.Uint64
	var reading, sending sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for _, s := range all {
		reading.Go(func() {
			for {
				batch, err := s.Next(ctx)
				if err != nil {
					return
				}
				n, sum := uint64(len(batch.Frames)), uint64(0)
				for i := range batch.Frames {
					// The reader's first look is what brings a frame into its cache.
					sum += uint64(batch.Data(i)[20])
				}
				given.Add(n)
				bytes.Add(sum)
				batch.Release()
			}
		})
	}

	b.ResetTimer()
	begun := time.Now()
	end := begun.Add(time.Duration(b.N) * time.Second)
	var sent atomic.Uint64
	for i, s := range senders {
		sending.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for at, n := i*512, 0; time.Now().Before(end); at, n = (at+256)%len(frames), n+256 {
				if pace > 0 {
					time.Sleep(time.Until(begun.Add(time.Duration(n) * time.Second * 2 / time.Duration(pace))))
				}
				n, err := s.batch(frames[at : at+256])
				if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
					t.Error(err)
					return
				}
				sent.Add(uint64(n))
			}
		})
	}
	sending.Wait()
	took := time.Since(begun)
	b.StopTimer()

	dropped := func() uint64 {
		n := uint64(0)
		for _, s := range all {
			n += lost(s, "frames dropped: ring full")
		}
		return n
	}
	// The last block is handed over when its time is out.
	for wait := 0; wait < 20 && given.Load()+dropped() < sent.Load(); wait++ {
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	reading.Wait()
	if got := given.Load() + dropped(); got < sent.Load() {
		t.Errorf("of %d frames %d are neither given nor counted as dropped", sent.Load(), sent.Load()-got)
	}
	b.ReportMetric(float64(sent.Load())/took.Seconds(), "sent/s")
	b.ReportMetric(float64(given.Load())/took.Seconds(), "given/s")
	b.ReportMetric(100*float64(dropped())/float64(max(sent.Load(), 1)), "%dropped")
	b.ReportMetric(0, "ns/op")
	if rate := float64(given.Load()) / took.Seconds(); pace > 0 {
		verdict := "reached"
		if rate < liveGoal || dropped() > 0 {
			verdict = "MISSED"
		}
		b.Logf("%.0f frames/s given, %d of %d dropped; goal %d without loss: %s", rate, dropped(), sent.Load(), liveGoal, verdict)
	}
}
