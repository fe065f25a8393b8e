package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"simtrap/capture"
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
		return &usageError{r.cmd, fmt.Errorf("%s reads its input twice, and %s can be read once only: save it to a file first", flag, name)}
	}
	if r.flags.html != "" {
		return r.mayReplace(r.flags.html)
	}
	return nil
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

// views reads the files again for what was asked about the suspects.
func (r *replay) views(ctx context.Context, paths []string, result *pipeline.Result, files *capture.Files) error {
	if r.flags.html != "" {
		if err := r.page(ctx, paths, result, files); err != nil {
			return err
		}
	}
	if r.flags.writeLines != "" {
		return r.cut(ctx, paths, result)
	}
	return nil
}

// again reads the files a second time.
func (r *replay) again(paths []string, pass string, work func(*counted) error) error {
	files, err := capture.Open(paths, r.capture)
	if err != nil {
		return err
	}
	defer files.Close()
	source := &counted{Source: files}
	stop := r.progress(files, source, pass)
	defer stop()
	return work(source)
}

// page writes the page about the suspects.
func (r *replay) page(ctx context.Context, paths []string, result *pipeline.Result, files *capture.Files) error {
	findings := report.Select(r.flags.all, result.Findings)
	var lines []ident.Line
	for i := range min(len(findings), report.MaxDetailed) {
		lines = append(lines, findings[i].Line)
	}
	collector := pipeline.NewCollector(r.config.Homes, lines)
	if len(lines) > 0 {
		config := r.config
		config.Observe = collector
		config.Ledgers = heuristics.Case + 1 // they are known
		err := r.again(paths, "second reading, for the page: ", func(source *counted) error {
			_, err := pipeline.Run(ctx, source, config)
			return err
		})
		if err != nil {
			return err
		}
	}
	page := &report.Page{
		Inputs: paths, Version: version(debug.ReadBuildInfo()), Summary: summarise(result, files),
		Findings: findings, Activity: collector.Activity,
	}
	if err := writeFile(r.flags.html, func(w io.Writer) error { return report.WriteHTML(w, page, r.report) }); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// cut writes the packets of each suspect line, as far as they are headers.
func (r *replay) cut(ctx context.Context, paths []string, result *pipeline.Result) error {
	var lines []ident.Line
	for _, f := range report.Select(false, result.Findings) {
		if !slices.Contains(lines, f.Line) {
			lines = append(lines, f.Line)
		}
	}
	dir := r.flags.writeLines
	if len(lines) == 0 {
		r.note("no line at watch or above: nothing is written to " + dir)
		return nil
	}
	cutter, err := evidence.NewCutter(dir, lines, evidence.Options{
		Homes: r.config.Homes, Realm: r.config.Realms.Of, Name: r.report.LineName,
		Authority: r.report.Names.Authority(), Version: version(debug.ReadBuildInfo()),
		First: result.Stats.First, Last: result.Stats.Last, Force: r.flags.force,
	})
	if err != nil {
		return fmt.Errorf("--write-lines: %w", err)
	}
	err = r.again(paths, "another reading, for --write-lines: ", func(source *counted) error {
		for {
			b, err := source.Next(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			cutter.Batch(b)
			b.Release()
		}
	})
	if err != nil {
		cutter.Abort()
		return err
	}
	if err := cutter.Close(); err != nil {
		return fmt.Errorf("--write-lines: %w", err)
	}
	n := &cutter.Counters
	text := fmt.Sprintf("%d packets of %d lines written to %s, without what they carry", n.Packets, cutter.Lines(), dir)
	for _, left := range []struct {
		n    uint64
		what string
	}{
		{n.Messages, "with their SIP message"},
		{uint64(len(lines) - cutter.Lines()), "lines left out, the least suspect"},
		{n.Outer, "fragments of tunnels left out"},
		{n.Unplaced, "packets left out: the end of their headers is not known"},
	} {
		if left.n > 0 {
			text += fmt.Sprintf("; %d %s", left.n, left.what)
		}
	}
	r.note(text)
	return nil
}

// note says something that is no warning.
func (r *replay) note(text string) {
	if !r.flags.quiet {
		r.t.say(text)
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
