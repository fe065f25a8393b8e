package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/sensor/config"
)

// Files opens capture files in the place of ports, for rehearsals and tests:
// what it gives comes in time as from a tap.
type Files struct{}

// Open opens the files of every port.
func (Files) Open(_ context.Context, a Attach) ([]Port, error) {
	start := &starting{speed: a.Config.Replay.Speed}
	var ports []Port
	for i, p := range a.Config.Ports {
		files, err := capture.Open(a.Config.Paths(p.Files), capture.Options{})
		if err != nil {
			for _, p := range ports {
				p.Source.Close()
			}
			return nil, fmt.Errorf("port %s: %w", p.Name, err)
		}
		a.Log.Info("port replays files", zap.String("port", p.Name), zap.Float64("speed", a.Config.Replay.Speed))
		ports = append(ports, Port{Name: p.Name, Number: i + 1, Mode: string(config.CaptureFile), Direction: p.Direction,
			Source: &fileSource{files: files, port: i + 1, start: start, wait: a.Config.Replay.End == config.EndWait}})
	}
	return ports, nil
}

const (
	// idle is how long a live source may have nothing before it says so.
	idle = 100 * time.Millisecond
	// sliceFrames bounds a batch of a replay: a block of a file may hold minutes.
	sliceFrames = 1024
)

// starting is when the replay of several files began: all keep one pace.
type starting struct {
	speed float64
	mu    sync.Mutex
	wall  time.Time
	frame int64
}

// due gives the time up to which frames are due; first is the time of the next.
func (s *starting) due(first int64) int64 {
	if s.speed <= 0 {
		return first + int64(time.Hour)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wall.IsZero() {
		s.wall, s.frame = time.Now(), first
	}
	return s.frame + int64(float64(time.Since(s.wall))*s.speed)
}

// fileSource gives the frames of files when their time has come.
type fileSource struct {
	files *capture.Files
	port  int
	start *starting
	wait  bool // at the end, go on without frames

	cur *capture.Batch // what is left of it is in cur.Frames[at:]
	at  int
	seq uint64
	end error
}

// Next gives the frames that are due, or none after a while.
func (s *fileSource) Next(ctx context.Context) (*capture.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for s.cur == nil || s.at == len(s.cur.Frames) {
		s.drop()
		if s.end == nil {
			s.cur, s.end = s.files.Next(ctx)
			s.at = 0
		}
		if s.end == nil {
			continue
		}
		if s.wait && errors.Is(s.end, io.EOF) {
			return s.nothing(ctx, idle)
		}
		return nil, s.end
	}
	first := s.cur.Frames[s.at].Time
	until := s.start.due(first)
	if first > until {
		return s.nothing(ctx, min(idle, time.Duration(float64(first-until)/s.start.speed)+time.Microsecond))
	}
	return s.slice(until), nil
}

// slice gives frames of the current batch up to a time, without copying them.
func (s *fileSource) slice(until int64) *capture.Batch {
	n := 0
	for n < sliceFrames && s.at+n < len(s.cur.Frames) && (n == 0 || s.cur.Frames[s.at+n].Time <= until) {
		n++
	}
	whole := s.cur
	whole.Retain()
	b := capture.NewBatch(whole.Block, func(*capture.Batch) { whole.Release() })
	b.Frames = whole.Frames[s.at : s.at+n : s.at+n]
	b.Source, b.Seq = uint32(s.port), s.seq
	for i := range b.Frames {
		b.Frames[i].Port = uint16(s.port)
	}
	s.at += n
	s.seq += uint64(n)
	return b
}

// nothing waits and gives an empty batch, so that time goes on.
func (s *fileSource) nothing(ctx context.Context, d time.Duration) (*capture.Batch, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.C:
	}
	b := capture.NewBatch(nil, nil)
	b.Source, b.Seq = uint32(s.port), s.seq
	return b, nil
}

func (s *fileSource) drop() {
	if s.cur != nil {
		s.cur.Release()
		s.cur = nil
	}
}

// Losses tells what was wrong with the files.
func (s *fileSource) Losses() []capture.Loss {
	var out []capture.Loss
	for _, d := range s.files.Damages() {
		out = append(out, capture.Loss{Stage: "input", Reason: kindOf(d.Kind), Count: d.Count})
	}
	return out
}

func kindOf(k capture.Kind) string {
	switch k {
	case capture.Cut:
		return "files that end within a record"
	case capture.Corrupt:
		return "files with a header that makes no sense, the rest lost"
	case capture.Truncated:
		return "frames cut by a snap length"
	case capture.Backwards:
		return "times that ran backwards or were out of line"
	case capture.Skipped:
		return "packets or sections passed over"
	case capture.Undecoded:
		return "frames of a link type that is not decoded"
	}
	return "frames without a time"
}

// Close closes the files.
func (s *fileSource) Close() error {
	s.drop()
	return s.files.Close()
}
