package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"simtrap/capture"
	"simtrap/cmd/internal/command"
	"simtrap/evidence"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/report"
)

// checkViews says early that a view cannot be had. Who is suspect is known when
// the input has been read, so a view of the suspects reads it again.
func (r *replay) checkViews(files *capture.Files) error {
	flag := ""
	switch {
	case r.flags.html != "":
		flag = "--html"
	case r.flags.writeLines != "":
		flag = "--write-lines"
	default:
		return nil
	}
	if name, ok := files.Once(); ok {
		if name == "-" {
			name = "standard input"
		}
		return command.Usage(r.cmd, fmt.Errorf("%s reads its input twice, and %s can be read once only: save it to a file first", flag, name))
	}
	if dir := r.flags.writeLines; dir != "" {
		if info, err := os.Stat(nearest(dir)); err == nil && !info.IsDir() {
			return fmt.Errorf("--write-lines: %s is no folder: name one", nearest(dir))
		}
	}
	if r.flags.html == "" {
		return nil
	}
	if dir := filepath.Dir(r.flags.html); nearest(dir) != dir {
		return fmt.Errorf("--html: there is no folder %s: make it first", dir)
	}
	return r.mayReplace(r.flags.html)
}

// nearest is the path, or the folder above it that is there.
func nearest(path string) string {
	path = filepath.Clean(path)
	for {
		if _, err := os.Lstat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// mayReplace keeps a name given by mistake, such as that of a capture, from
// costing a file: without --force only a page that simtrap made is replaced.
func (r *replay) mayReplace(path string) error {
	if r.flags.force {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--html: %w", err)
	case info.IsDir():
		return fmt.Errorf("--html: %s is a folder: name a file in it", path)
	case !info.Mode().IsRegular():
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	defer f.Close()
	head := make([]byte, 64)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("--html: %w", err)
	}
	if n > 0 && !report.IsPage(head[:n]) {
		return fmt.Errorf("--html: %s is there and is no page of simtrap's: name another file, or replace it with --force", path)
	}
	return nil
}

// views reads the files once more for what was asked about the suspects.
func (r *replay) views(ctx context.Context, paths []string, result *pipeline.Result, files *capture.Files) error {
	if r.flags.html == "" && r.flags.writeLines == "" {
		return nil
	}
	findings := report.Select(r.flags.all, result.Findings)
	var shown, cut []ident.Line
	times := make(map[ident.Line][]evidence.Span)
	if r.flags.html != "" {
		for i := range min(len(findings), report.MaxDetailed) {
			shown = append(shown, findings[i].Line)
		}
	}
	if r.flags.writeLines != "" {
		for _, f := range report.Select(false, result.Findings) {
			if !slices.Contains(cut, f.Line) {
				cut = append(cut, f.Line)
			}
			if len(r.flags.sessions) > 0 {
				times[f.Line] = append(times[f.Line], evidence.Span{From: f.First, To: f.Last})
			}
		}
		if len(cut) == 0 {
			r.note("no line at watch or above: nothing is written to " + r.flags.writeLines)
		}
	}
	collector := pipeline.NewCollector(r.config.Homes, shown)
	if len(shown)+len(cut) > 0 {
		// Opened first: what is written may lie in a folder that is read.
		again, err := capture.Open(paths, r.capture)
		if err != nil {
			return err
		}
		defer again.Close()
		if err := r.readAgain(ctx, again, result, collector, len(shown) > 0, cut, times); err != nil {
			return err
		}
	}
	if r.flags.html == "" {
		return nil
	}
	page := &report.Page{
		Inputs: paths, Version: command.Version(), Summary: r.summarise(result, files),
		Findings: findings, Activity: collector.Activity,
	}
	if err := writeFile(r.flags.html, func(w io.Writer) error { return report.WriteHTML(w, page, r.report) }); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// readAgain is the second reading: for a page through all stages, for captures
// of lines alone no farther than the decoder.
func (r *replay) readAgain(ctx context.Context, files *capture.Files, result *pipeline.Result, collector *pipeline.Collector, stages bool, cut []ident.Line, times map[ident.Line][]evidence.Span) error {
	source := &counted{Source: files}
	var src capture.Source = source
	var cutter *evidence.Cutter
	if len(cut) > 0 {
		var err error
		cutter, err = evidence.NewCutter(r.flags.writeLines, cut, evidence.Options{
			Homes: r.config.Homes, Locate: r.config.Locate, Name: r.report.LineName,
			Authority: r.report.Names.Authority(), Version: command.Version(),
			First: result.Stats.First, Last: result.Stats.Last, Force: r.flags.force, Times: times,
		})
		if err != nil {
			return fmt.Errorf("--write-lines: %w", err)
		}
		src = &cutting{source, cutter}
	}
	stop := r.progress(files, source, "second reading, for the suspects: ")
	var err error
	if stages {
		config := r.config
		config.Observe = collector
		config.Sessions = nil                // the feed was read by the first
		config.Ledgers = heuristics.Case + 1 // they are known
		_, err = pipeline.Run(ctx, src, config)
	} else {
		err = drain(ctx, src)
	}
	stop()
	if cutter == nil {
		return err
	}
	if err != nil {
		cutter.Abort()
		return err
	}
	if err := cutter.Close(); err != nil {
		return fmt.Errorf("--write-lines: %w", err)
	}
	r.noteCut(cutter, len(cut))
	return nil
}

// cutting is a source of which everything is cut on its way.
type cutting struct {
	capture.Source
	cutter *evidence.Cutter
}

// Next passes on the next batch.
func (c *cutting) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := c.Source.Next(ctx)
	if b != nil {
		c.cutter.Batch(b)
	}
	return b, err
}

// drain reads a source to its end.
func drain(ctx context.Context, src capture.Source) error {
	for {
		b, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b.Release()
	}
}

// noteCut says what was written and what was not.
func (r *replay) noteCut(c *evidence.Cutter, lines int) {
	n := &c.Counters
	of := "1 line"
	if c.Lines() != 1 {
		of = fmt.Sprintf("%d lines", c.Lines())
	}
	text := fmt.Sprintf("%d packets of %s written to %s, without what they carry", n.Packets, of, r.flags.writeLines)
	for _, left := range []struct {
		n    uint64
		what string
	}{
		{n.Messages, "with their SIP message"},
		{uint64(lines - c.Lines()), "lines left out, the least suspect"},
		{n.Outer, "fragments of tunnels left out"},
		{n.Others, "packets left out: of other subscribers' times"},
		{n.Unplaced, "packets left out: the end of their headers is not known"},
	} {
		if left.n > 0 {
			text += fmt.Sprintf("; %d %s", left.n, left.what)
		}
	}
	r.note(text)
}

// note says something that is no warning.
func (r *replay) note(text string) {
	if !r.flags.quiet {
		r.t.Say(text)
	}
}

// writeFile writes a file whole or not at all. It may name people, so that only
// its owner may read it.
func writeFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // a device or a pipe
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".simtrap-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
