package report

import (
	"io"
	"sync"

	"simtrap/heuristics"
)

// Writer writes findings as they come, one JSON object a line, each with one
// Write, so that whoever reads along sees whole lines. It may be used by several
// goroutines.
type Writer struct {
	mu      sync.Mutex
	w       io.Writer
	options Options
	room    []byte
}

// NewWriter makes a Writer that writes to w.
func NewWriter(w io.Writer, o Options) *Writer { return &Writer{w: w, options: o} }

// Finding writes one finding.
func (s *Writer) Finding(f *heuristics.Finding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = append(AppendJSON(s.room[:0], f, s.options), '\n')
	_, err := s.w.Write(s.room)
	return err
}
