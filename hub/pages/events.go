package pages

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"simtrap/hub/store"
)

// streams are those who wait to be told what has changed. While there is one, one
// goroutine looks what has; the store is asked once, however many wait.
type streams struct {
	o    Options
	mu   sync.Mutex
	each map[string]int // by account
	open map[chan string]struct{}
	stop context.CancelFunc
}

func newStreams(o Options) *streams {
	return &streams{o: o, each: make(map[string]int), open: make(map[chan string]struct{})}
}

// join opens a stream; ok is false when there are as many as there may be.
func (s *streams) join(account string) (told chan string, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.o.Streams || s.each[account] >= s.o.StreamsEach {
		return nil, nil, false
	}
	told = make(chan string, 8)
	s.open[told] = struct{}{}
	s.each[account]++
	if len(s.open) == 1 {
		ctx, stop := context.WithCancel(context.Background())
		s.stop = stop
		go s.watch(ctx)
	}
	return told, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, told)
		if s.each[account]--; s.each[account] == 0 {
			delete(s.each, account)
		}
		if len(s.open) == 0 {
			s.stop()
		}
	}, true
}

// watch looks what has changed until nobody waits any more.
func (s *streams) watch(ctx context.Context) {
	tick := time.NewTicker(s.o.Watch)
	defer tick.Stop()
	var before store.Stand
	known := false
	for {
		now, err := s.o.Store.Stand(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.o.Log.Warn("what has changed could not be read", zap.Error(err))
		case known:
			for _, x := range []struct{ name, was, is string }{
				{"findings", before.Findings, now.Findings}, {"sensors", before.Sensors, now.Sensors}, {"rings", before.Rings, now.Rings},
				{"cases", before.Cases, now.Cases}, {"gateways", before.Policy, now.Policy},
			} {
				if x.was != x.is {
					s.tell(x.name)
				}
			}
			fallthrough
		default:
			before, known = now, true
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *streams) tell(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		select {
		case c <- name:
		default: // he has as much to reload as there is
		}
	}
}

// beat is how often a stream says that it is there, and looks whether the session is.
const beat = 20 * time.Second

// events streams the names of what has changed. It says nothing of what.
func (p *Pages) events(w http.ResponseWriter, r *http.Request) {
	r.Header.Set(live, "1") // a stream is no use of the session by hand
	v := &visit{p: p, w: w, r: r, ctx: r.Context(), look: p.looks[language(r)]}
	if err := v.enter(route{need: reads}); err != nil {
		status, text := told(err)
		http.Error(w, text, status)
		return
	}
	if closed(p.o.Closing) {
		http.Error(w, "the hub is closing", http.StatusServiceUnavailable)
		return
	}
	told, leave, ok := p.streams.join(v.who.Account)
	if !ok {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "there are as many streams as there may be", http.StatusTooManyRequests)
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	write := func(format string, args ...any) bool {
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && out.Flush() == nil
	}
	if !write("retry: 5000\n\n") {
		return
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-p.o.Closing:
			return
		case name := <-told:
			if !write("event: changed\ndata: %s\n\n", name) {
				return
			}
		case <-tick.C:
			// The session may have been ended, or have rested too long, meanwhile.
			if _, err := p.o.People.Who(v.ctx, v.session.Token); err != nil || p.o.Now().Sub(v.session.Seen) > 2*p.o.Idle {
				write("event: ended\ndata: session\n\n")
				return
			}
			if !write(": \n\n") {
				return
			}
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
