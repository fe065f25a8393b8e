// Package export writes rows of the hub as files: JSON Lines, CSV and STIX 2.1
// (docs/query.md). It holds one row at a time, and everything in a row may be a
// stranger's text.
package export

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"simtrap/report/querypb"
)

// Options tell how a file is written.
type Options struct {
	Kind   querypb.ExportKind
	Format querypb.ExportFormat
	// Authority under which addresses stand in clear, empty when they do not.
	Authority string
}

// Writer writes one file.
type Writer struct {
	w    io.Writer
	b    []byte
	kind querypb.ExportKind
	form form
	open bool // the head is written
}

// form is how rows of one kind are written in one format.
type form interface {
	head(dst []byte) []byte
	row(dst []byte, row proto.Message) []byte
	tail(dst []byte) []byte
}

// ErrNone is for a kind or a format that there is none of.
var ErrNone = errors.New("no such kind or format of export")

// New gives a writer of one file to w. It fails with ErrNone.
func New(w io.Writer, o Options) (*Writer, error) {
	if o.Kind < querypb.ExportKind_EXPORT_KIND_FINDINGS || o.Kind > querypb.ExportKind_EXPORT_KIND_FEEDBACK {
		return nil, fmt.Errorf("kind %d: %w", o.Kind, ErrNone)
	}
	if o.Kind == querypb.ExportKind_EXPORT_KIND_FEEDBACK && o.Format != querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES {
		return nil, fmt.Errorf("feedback is for calibration, as JSON Lines alone: %w", ErrNone)
	}
	out := &Writer{w: w, kind: o.Kind}
	switch o.Format {
	case querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES:
		out.form = jsonLines{}
	case querypb.ExportFormat_EXPORT_FORMAT_CSV:
		out.form = csvForm{kind: o.Kind}
	case querypb.ExportFormat_EXPORT_FORMAT_STIX:
		out.form = newBundle(o)
	default:
		return nil, fmt.Errorf("format %d: %w", o.Format, ErrNone)
	}
	return out, nil
}

// Write writes one row, a message of simtrap.query.v1 of the writer's kind.
func (w *Writer) Write(row proto.Message) error {
	if kindOf(row) != w.kind {
		return fmt.Errorf("a row of kind %s in an export of %s", Word(kindOf(row)), Word(w.kind))
	}
	w.b = w.b[:0]
	w.begin()
	w.b = w.form.row(w.b, row)
	_, err := w.w.Write(w.b)
	return err
}

func (w *Writer) begin() {
	if !w.open {
		w.open = true
		w.b = w.form.head(w.b)
	}
}

// Close ends the file, which is whole only then. It does not close what is
// written to.
func (w *Writer) Close() error {
	w.b = w.b[:0]
	w.begin()
	w.b = w.form.tail(w.b)
	_, err := w.w.Write(w.b)
	return err
}

// kindOf gives the kind of a row.
func kindOf(row proto.Message) querypb.ExportKind {
	switch row.(type) {
	case *querypb.Finding:
		return querypb.ExportKind_EXPORT_KIND_FINDINGS
	case *querypb.Line:
		return querypb.ExportKind_EXPORT_KIND_LINES
	case *querypb.Box:
		return querypb.ExportKind_EXPORT_KIND_BOXES
	case *querypb.Ring:
		return querypb.ExportKind_EXPORT_KIND_RINGS
	case *querypb.Controller:
		return querypb.ExportKind_EXPORT_KIND_CONTROLLERS
	case *querypb.Card:
		return querypb.ExportKind_EXPORT_KIND_CARDS
	case *querypb.Sensor:
		return querypb.ExportKind_EXPORT_KIND_SENSORS
	case *querypb.Case:
		return querypb.ExportKind_EXPORT_KIND_CASES
	case *querypb.Feedback:
		return querypb.ExportKind_EXPORT_KIND_FEEDBACK
	}
	return querypb.ExportKind_EXPORT_KIND_UNSPECIFIED
}

// jsonLines is one object per line.
type jsonLines struct{}

func (jsonLines) head(dst []byte) []byte { return dst }
func (jsonLines) row(dst []byte, row proto.Message) []byte {
	return append(appendLine(dst, row), '\n')
}
func (jsonLines) tail(dst []byte) []byte { return dst }
