package sensor

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"simtrap/heuristics"
	"simtrap/report"
	"simtrap/sensor/config"
)

// Output appends findings to a file as JSON Lines.
type Output struct {
	options report.Options
	stdout  io.Writer
	log     *zap.Logger

	mu     sync.Mutex
	config *config.Config
	file   *os.File // nil for standard output
	buf    []byte

	written, failed atomic.Uint64
}

// openOutput opens what the configuration names.
func openOutput(c *config.Config, o report.Options, stdout io.Writer, log *zap.Logger) (*Output, error) {
	x := &Output{options: o, stdout: stdout, log: log, config: c}
	return x, x.reopen(c)
}

// reopen opens the file anew, or another one; on an error the old one stays.
func (o *Output) reopen(c *config.Config) error {
	var f *os.File
	if c.Output != "-" && c.Output != config.None {
		var err error
		if f, err = os.OpenFile(c.Path(c.Output), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640); err != nil {
			return fmt.Errorf("output: %w", err)
		}
		if err := endLine(f); err != nil {
			f.Close()
			return fmt.Errorf("output: %w", err)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.file
	o.file, o.config = f, c
	if old != nil {
		return old.Close()
	}
	return nil
}

// set takes what else the configuration says; the file stays open.
func (o *Output) set(c *config.Config) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.config = c
}

// shared gives f as it is told of a line whose address several subscribers share:
// who of those behind it did it does not show, so it is never above watch.
func shared(f *heuristics.Finding, c *config.Config) *heuristics.Finding {
	if f.Verdict <= heuristics.Watch && f.Hub.Verdict <= heuristics.Watch || !c.InShared(f.Line.Addr.Netip()) {
		return f
	}
	x := *f
	x.Verdict, x.Hub.Verdict = min(f.Verdict, heuristics.Watch), min(f.Hub.Verdict, heuristics.Watch)
	x.Proof = f.Proof && f.Verdict <= heuristics.Watch
	return &x
}

// endLine ends a line that a sudden death left unfinished, so that the next
// finding does not become a part of it.
func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		_, err = f.Write([]byte{'\n'})
	}
	return err
}

// Finding writes one finding.
func (o *Output) Finding(f *heuristics.Finding) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.config.Output == config.None {
		return nil
	}
	f = shared(f, o.config)
	o.buf = append(report.AppendJSON(o.buf[:0], f, o.options), '\n')
	w := o.stdout
	if o.file != nil {
		w = o.file
	}
	if _, err := w.Write(o.buf); err != nil {
		o.failed.Add(1)
		o.log.Error("finding not written", zap.Error(err))
		return fmt.Errorf("output: %w", err)
	}
	o.written.Add(1)
	return nil
}

// Close brings the file to the disk and closes it.
func (o *Output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return nil
	}
	err := o.file.Sync()
	if e := o.file.Close(); err == nil {
		err = e
	}
	o.file = nil
	return err
}
