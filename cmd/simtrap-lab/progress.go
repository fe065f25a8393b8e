package main

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressEvery is how often the bar moves.
const progressEvery = 250 * time.Millisecond

// progress draws a bar on a terminal until stop is called, which clears it.
// done is told how much of total is done; what names it.
func progress(w io.Writer, total int, what string) (done func(int), stop func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(int) {}, func() {}
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(0),
		progressbar.OptionClearOnFinish(),
	)
	var at atomic.Int64
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				bar.Clear()
				return
			case <-tick.C:
				bar.Set64(min(at.Load(), int64(total)-1)) // at the total the bar would call itself finished
			}
		}
	}()
	return func(n int) { at.Store(int64(n)) }, func() {
		close(quit)
		<-gone
	}
}
