package query

import (
	"context"
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"simtrap/hub/export"
	"simtrap/hub/store"
	"simtrap/report/querypb"
)

// maxPiece is the size of a piece of a file, in bytes.
const maxPiece = 64 << 10

// exportPage is how many rows an export reads at once: findings of a case take
// about 8 kB each.
const exportPage = 200

// Export implements querypbconnect.QueryServiceHandler.
func (s *Service) Export(ctx context.Context, r *connect.Request[querypb.ExportRequest], out *connect.ServerStream[querypb.ExportResponse]) error {
	return s.ExportTo(ctx, r.Msg, func(piece []byte) error { return out.Send(&querypb.ExportResponse{Data: piece}) })
}

// ExportTo gives an export in pieces of at most 64 KiB; a piece is good until send
// returns.
func (s *Service) ExportTo(ctx context.Context, m *querypb.ExportRequest, send func([]byte) error) error {
	pieces := &pieces{send: send}
	w, err := export.New(pieces, export.Options{Kind: m.GetKind(), Format: m.GetFormat(), Authority: m.GetAuthority()})
	if err != nil {
		return invalid("export: %w", err)
	}
	switch m.GetKind() {
	case querypb.ExportKind_EXPORT_KIND_FINDINGS, querypb.ExportKind_EXPORT_KIND_LINES, querypb.ExportKind_EXPORT_KIND_BOXES:
	default:
		if m.GetAuthority() != "" {
			return invalid("authority: rows of this kind show no address of a line")
		}
	}
	v, err := s.look(ctx, "Export", m.GetAuthority(), m)
	if err != nil {
		return err
	}
	filter, err := s.filter(ctx, m.GetFilter(), m.GetKind(), v)
	if err != nil {
		return err
	}
	if m.GetKind() == querypb.ExportKind_EXPORT_KIND_FEEDBACK && proto.Size(m.GetFilter()) > 0 {
		return invalid("filter: feedback has none")
	}
	select {
	case s.exports <- struct{}{}:
		defer func() { <-s.exports }()
	default:
		return connect.NewError(connect.CodeResourceExhausted, errors.New("as many exports as may run are running; ask again later"))
	}
	if err := s.rows(ctx, m.GetKind(), filter, v, func(row proto.Message) error { return w.Write(row) }); err != nil {
		return s.failed(ctx, err)
	}
	if err := w.Close(); err != nil {
		return err
	}
	return pieces.flush()
}

// rows gives every row of a kind that meets the filter.
func (s *Service) rows(ctx context.Context, kind querypb.ExportKind, f store.Filter, v view, put func(proto.Message) error) error {
	switch kind {
	case querypb.ExportKind_EXPORT_KIND_FINDINGS:
		return every(ctx, f, s.findings(v), func(r *store.Finding) error { return put(s.findingRow(r, v)) })
	case querypb.ExportKind_EXPORT_KIND_LINES:
		return every(ctx, f, s.store.Lines, func(r *store.Line) error { return put(s.lineRow(r, v)) })
	case querypb.ExportKind_EXPORT_KIND_BOXES:
		return every(ctx, f, s.store.Boxes, func(r *store.BoxRow) error {
			row, err := s.boxRow(ctx, r, maxLinks)
			if err != nil {
				return err
			}
			return put(row)
		})
	case querypb.ExportKind_EXPORT_KIND_RINGS:
		return every(ctx, f, s.rings, func(r *store.Ring) error { return put(ringRow(r)) })
	case querypb.ExportKind_EXPORT_KIND_CONTROLLERS:
		return every(ctx, f, s.controllers, func(r *far) error { return put(controllerRow(r)) })
	case querypb.ExportKind_EXPORT_KIND_CARDS:
		return every(ctx, f, s.store.Cards, func(r *store.Card) error { return put(s.cardRow(r)) })
	case querypb.ExportKind_EXPORT_KIND_SENSORS:
		return every(ctx, f, s.store.Sensors, func(r *store.Sensor) error { return put(sensorRow(r)) })
	case querypb.ExportKind_EXPORT_KIND_CASES:
		return every(ctx, f, s.store.Cases, func(r *store.Case) error { return put(caseRow(r)) })
	}
	return s.feedback(ctx, put)
}

func every[T any](ctx context.Context, f store.Filter, read func(context.Context, store.Filter, store.Page) (store.List[T], error), row func(*T) error) error {
	p := store.Page{Size: exportPage}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		list, err := read(ctx, f, p)
		if err != nil {
			return err
		}
		for i := range list.Rows {
			if err := row(&list.Rows[i]); err != nil {
				return err
			}
		}
		if list.Next == "" {
			return nil
		}
		p.After = list.Next
	}
}

// feedback gives what turned out, finding by finding.
func (s *Service) feedback(ctx context.Context, put func(proto.Message) error) error {
	var after store.ID
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		outcomes, findings, err := s.store.Outcomes(ctx, after, exportPage)
		if err != nil {
			return err
		}
		for i := range min(len(outcomes), len(findings)) {
			if outcomes[i].Outcome == store.OutcomeUnknown {
				continue
			}
			if err := put(feedbackRow(&outcomes[i], &findings[i])); err != nil {
				return err
			}
		}
		if len(outcomes) == 0 {
			return nil
		}
		after = outcomes[len(outcomes)-1].Finding
	}
}

// pieces sends what is written in pieces of one size.
type pieces struct {
	send func([]byte) error
	b    []byte
}

func (p *pieces) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if p.b == nil {
			p.b = make([]byte, 0, maxPiece)
		}
		take := min(len(b), maxPiece-len(p.b))
		p.b = append(p.b, b[:take]...)
		b = b[take:]
		if len(p.b) == maxPiece {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (p *pieces) flush() error {
	if len(p.b) == 0 {
		return nil
	}
	piece := p.b
	p.b = p.b[:0] // who sends is done with it when send returns
	return p.send(piece)
}
