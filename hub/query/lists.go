package query

import (
	"context"
	"strings"

	"connectrpc.com/connect"

	"simtrap/hub/store"
	"simtrap/report/querypb"
)

// collect reads the store until a page is full: what a store looks at in one read
// is bounded, so a page of its may be short and not the last.
func collect[T any](ctx context.Context, at place, read func(context.Context, store.Page) (store.List[T], error), row func(*T) error) (next string, err error) {
	left := at.size
	next = at.after
	for range rounds(ctx) {
		list, err := read(ctx, store.Page{Size: left, After: next})
		if err != nil {
			return "", err
		}
		for i := range list.Rows {
			if err := row(&list.Rows[i]); err != nil {
				return "", err
			}
		}
		left -= len(list.Rows)
		next = list.Next
		if next == "" || left <= 0 {
			break
		}
	}
	return next, nil
}

type briefKey struct{}

// Brief asks for lists within one read of the store: a page of what a filter lets few
// rows of through may be empty and not the last, but nobody waits for it.
func Brief(ctx context.Context) context.Context { return context.WithValue(ctx, briefKey{}, true) }

// rounds is how many reads of the store a page may take.
func rounds(ctx context.Context) int {
	if brief, _ := ctx.Value(briefKey{}).(bool); brief {
		return 1
	}
	return maxRounds
}

// list answers a request for a page of one kind. It gives the token of the next.
func list[T any](ctx context.Context, s *Service, kind querypb.ExportKind, method, authority string, f *querypb.Filter, p *querypb.Page, v view,
	read func(context.Context, store.Filter, store.Page) (store.List[T], error), row func(*T) error) (string, error) {
	filter, err := s.filter(ctx, f, kind, v)
	if err != nil {
		return "", err
	}
	to := bound(method, authority, f)
	at, err := s.page(p, to)
	if err != nil {
		return "", err
	}
	next, err := collect(ctx, at, func(ctx context.Context, p store.Page) (store.List[T], error) { return read(ctx, filter, p) }, row)
	if err != nil {
		return "", s.failed(ctx, err)
	}
	return s.seal(next, to), nil
}

// ListFindings implements querypbconnect.QueryServiceHandler.
func (s *Service) ListFindings(ctx context.Context, r *connect.Request[querypb.ListFindingsRequest]) (*connect.Response[querypb.ListFindingsResponse], error) {
	m, out := r.Msg, &querypb.ListFindingsResponse{}
	v, err := s.look(ctx, "ListFindings", m.GetAuthority(), m)
	if err != nil {
		return nil, err
	}
	out.NextPageToken, err = list(ctx, s, querypb.ExportKind_EXPORT_KIND_FINDINGS, "ListFindings", m.GetAuthority(), m.GetFilter(), m.GetPage(), v, s.findings(v), func(f *store.Finding) error {
		out.Findings = append(out.Findings, s.findingRow(f, v))
		return nil
	})
	return answer(out, err)
}

// answer gives a response or the error.
func answer[T any](m *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(m), nil
}

// id reads an id that lists give.
func id(text string) (store.ID, error) {
	v, err := store.ParseID(text)
	if err != nil {
		return v, invalid("id: want 32 hexadecimal digits, as lists give them")
	}
	return v, nil
}

// GetFinding implements querypbconnect.QueryServiceHandler.
func (s *Service) GetFinding(ctx context.Context, r *connect.Request[querypb.GetFindingRequest]) (*connect.Response[querypb.GetFindingResponse], error) {
	m := r.Msg
	v, err := s.look(ctx, "GetFinding", m.GetAuthority(), m)
	if err != nil {
		return nil, err
	}
	key, err := id(m.GetId())
	if err != nil {
		return nil, err
	}
	f, err := s.store.Finding(ctx, key)
	if err == nil {
		err = s.veilFindings(ctx, v, &f)
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.GetFindingResponse{Finding: s.findingRow(&f, v)}), nil
}

// ListLines implements querypbconnect.QueryServiceHandler.
func (s *Service) ListLines(ctx context.Context, r *connect.Request[querypb.ListLinesRequest]) (*connect.Response[querypb.ListLinesResponse], error) {
	m, out := r.Msg, &querypb.ListLinesResponse{}
	v, err := s.look(ctx, "ListLines", m.GetAuthority(), m)
	if err != nil {
		return nil, err
	}
	out.NextPageToken, err = list(ctx, s, querypb.ExportKind_EXPORT_KIND_LINES, "ListLines", m.GetAuthority(), m.GetFilter(), m.GetPage(), v, s.store.Lines, func(l *store.Line) error {
		out.Lines = append(out.Lines, s.lineRow(l, v))
		return nil
	})
	return answer(out, err)
}

// GetLine implements querypbconnect.QueryServiceHandler.
func (s *Service) GetLine(ctx context.Context, r *connect.Request[querypb.GetLineRequest]) (*connect.Response[querypb.GetLineResponse], error) {
	m := r.Msg
	v, err := s.look(ctx, "GetLine", m.GetAuthority(), m)
	if err != nil {
		return nil, err
	}
	if _, err := id(m.GetId()); err != nil {
		return nil, err
	}
	key, err := s.storedLine(m.GetId())
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	l, err := s.store.Line(ctx, key)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.GetLineResponse{Line: s.lineRow(&l, v)}), nil
}

// ListBoxes implements querypbconnect.QueryServiceHandler.
func (s *Service) ListBoxes(ctx context.Context, r *connect.Request[querypb.ListBoxesRequest]) (*connect.Response[querypb.ListBoxesResponse], error) {
	m, out := r.Msg, &querypb.ListBoxesResponse{}
	v, err := s.look(ctx, "ListBoxes", m.GetAuthority(), m)
	if err != nil {
		return nil, err
	}
	out.NextPageToken, err = list(ctx, s, querypb.ExportKind_EXPORT_KIND_BOXES, "ListBoxes", m.GetAuthority(), m.GetFilter(), m.GetPage(), v, s.store.Boxes, func(b *store.BoxRow) error {
		row, err := s.boxRow(ctx, b, maxListLinks)
		out.Boxes = append(out.Boxes, row)
		return err
	})
	return answer(out, err)
}

// GetBox implements querypbconnect.QueryServiceHandler.
func (s *Service) GetBox(ctx context.Context, r *connect.Request[querypb.GetBoxRequest]) (*connect.Response[querypb.GetBoxResponse], error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	key, err := id(r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	b, err := s.store.Box(ctx, key)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	row, err := s.boxRow(ctx, &b, maxLinks)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.GetBoxResponse{Box: row}), nil
}

// ListRings implements querypbconnect.QueryServiceHandler.
func (s *Service) ListRings(ctx context.Context, r *connect.Request[querypb.ListRingsRequest]) (*connect.Response[querypb.ListRingsResponse], error) {
	who, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	m, out := r.Msg, &querypb.ListRingsResponse{}
	out.NextPageToken, err = list(ctx, s, querypb.ExportKind_EXPORT_KIND_RINGS, "ListRings", "", m.GetFilter(), m.GetPage(), view{person: who}, s.rings, func(g *store.Ring) error {
		out.Rings = append(out.Rings, ringRow(g))
		return nil
	})
	return answer(out, err)
}

// GetRing implements querypbconnect.QueryServiceHandler.
func (s *Service) GetRing(ctx context.Context, r *connect.Request[querypb.GetRingRequest]) (*connect.Response[querypb.GetRingResponse], error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	key, err := id(r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	g, err := s.store.Ring(ctx, key)
	if err == nil {
		err = s.veilRings(ctx, &g)
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.GetRingResponse{Ring: ringRow(&g)}), nil
}

// ListControllers implements querypbconnect.QueryServiceHandler.
func (s *Service) ListControllers(ctx context.Context, r *connect.Request[querypb.ListControllersRequest]) (*connect.Response[querypb.ListControllersResponse], error) {
	who, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	m, out := r.Msg, &querypb.ListControllersResponse{}
	out.NextPageToken, err = list(ctx, s, querypb.ExportKind_EXPORT_KIND_CONTROLLERS, "ListControllers", "", m.GetFilter(), m.GetPage(), view{person: who}, s.controllers, func(c *far) error {
		out.Controllers = append(out.Controllers, controllerRow(c))
		return nil
	})
	return answer(out, err)
}

// GetController implements querypbconnect.QueryServiceHandler.
func (s *Service) GetController(ctx context.Context, r *connect.Request[querypb.GetControllerRequest]) (*connect.Response[querypb.GetControllerResponse], error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	text, role, ok := strings.Cut(r.Msg.GetId(), "/")
	p, err := parseNetwork(text)
	if !ok || err != nil || role == "" || len(role) > maxValue {
		return nil, invalid("id: want an address and a role, as lists give them: 198.51.100.9/registrar")
	}
	c, err := s.store.Controller(ctx, p.Addr(), role)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	rows, err := s.farRows(ctx, []store.Controller{c})
	if err == nil && rows[0].shown != c.Addr.String() {
		err = store.ErrNotFound // to say that there is one would tell whose address it is
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.GetControllerResponse{Controller: controllerRow(&rows[0])}), nil
}

// ListCards implements querypbconnect.QueryServiceHandler.
func (s *Service) ListCards(ctx context.Context, r *connect.Request[querypb.ListCardsRequest]) (*connect.Response[querypb.ListCardsResponse], error) {
	who, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	m, out := r.Msg, &querypb.ListCardsResponse{}
	out.NextPageToken, err = list(ctx, s, querypb.ExportKind_EXPORT_KIND_CARDS, "ListCards", "", m.GetFilter(), m.GetPage(), view{person: who}, s.store.Cards, func(c *store.Card) error {
		out.Cards = append(out.Cards, s.cardRow(c))
		return nil
	})
	return answer(out, err)
}

// GetCard implements querypbconnect.QueryServiceHandler.
func (s *Service) GetCard(ctx context.Context, r *connect.Request[querypb.GetCardRequest]) (*connect.Response[querypb.GetCardResponse], error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	key, err := id(r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	c, err := s.store.Card(ctx, key)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.GetCardResponse{Card: s.cardRow(&c)}), nil
}

// ListSensors implements querypbconnect.QueryServiceHandler.
func (s *Service) ListSensors(ctx context.Context, r *connect.Request[querypb.ListSensorsRequest]) (*connect.Response[querypb.ListSensorsResponse], error) {
	who, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	m, out := r.Msg, &querypb.ListSensorsResponse{}
	out.NextPageToken, err = list(ctx, s, querypb.ExportKind_EXPORT_KIND_SENSORS, "ListSensors", "", m.GetFilter(), m.GetPage(), view{person: who}, s.store.Sensors, func(n *store.Sensor) error {
		out.Sensors = append(out.Sensors, sensorRow(n))
		return nil
	})
	return answer(out, err)
}

// GetSensor implements querypbconnect.QueryServiceHandler.
func (s *Service) GetSensor(ctx context.Context, r *connect.Request[querypb.GetSensorRequest]) (*connect.Response[querypb.GetSensorResponse], error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	if name := r.Msg.GetId(); name == "" || len(name) > maxValue {
		return nil, invalid("id: want the name of a sensor")
	}
	n, err := s.store.Sensor(ctx, r.Msg.GetId())
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.GetSensorResponse{Sensor: sensorRow(&n)}), nil
}

// ListCases implements querypbconnect.QueryServiceHandler.
func (s *Service) ListCases(ctx context.Context, r *connect.Request[querypb.ListCasesRequest]) (*connect.Response[querypb.ListCasesResponse], error) {
	who, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	m, out := r.Msg, &querypb.ListCasesResponse{}
	out.NextPageToken, err = list(ctx, s, querypb.ExportKind_EXPORT_KIND_CASES, "ListCases", "", m.GetFilter(), m.GetPage(), view{person: who}, s.store.Cases, func(c *store.Case) error {
		out.Cases = append(out.Cases, caseRow(c))
		return nil
	})
	return answer(out, err)
}

// GetCase implements querypbconnect.QueryServiceHandler.
func (s *Service) GetCase(ctx context.Context, r *connect.Request[querypb.GetCaseRequest]) (*connect.Response[querypb.GetCaseResponse], error) {
	if _, err := s.admit(ctx); err != nil {
		return nil, err
	}
	key, err := id(r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	c, err := s.store.Case(ctx, key)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	comments, err := s.store.Comments(ctx, key, maxComments)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	row := caseRow(&c)
	for _, x := range comments {
		row.Comments = append(row.Comments, &querypb.Comment{At: stamp(x.At), Author: x.Author, Text: x.Text})
	}
	return connect.NewResponse(&querypb.GetCaseResponse{Case: row}), nil
}
