package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"simtrap/capture"
)

// counted counts the frames that go by.
type counted struct {
	capture.Source
	frames atomic.Uint64
}

// Next passes on the next batch.
func (c *counted) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := c.Source.Next(ctx)
	if b != nil {
		c.frames.Add(uint64(len(b.Frames)))
	}
	return b, err
}

// progressEvery is how often the bar moves.
const progressEvery = 250 * time.Millisecond

// showProgress draws a bar with the rate and the time left until stop is
// called, which clears it. of tells the bytes read and the total, which is 0
// or less when nobody knows it; done counts units such as packets; pass says which
// reading it is, if not the first.
func showProgress(w io.Writer, of func() (read, total int64), done func() uint64, units, pass string) (stop func()) {
	_, total := of()
	if total <= 0 {
		total = -1
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(0),
		progressbar.OptionClearOnFinish(),
	)
	over, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		start := time.Now()
		for {
			select {
			case <-over:
				bar.Clear()
				return
			case <-tick.C:
				read, _ := of()
				if total > 0 {
					read = min(read, total-1) // at the total the bar would call itself finished
				}
				rate := float64(done()) / time.Since(start).Seconds()
				bar.Describe(fmt.Sprintf("%s%.0f %s/s", pass, rate, units))
				bar.Set64(read)
			}
		}
	}()
	return func() {
		close(over)
		<-gone
	}
}
