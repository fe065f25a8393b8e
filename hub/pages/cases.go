package pages

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"simtrap/report/querypb"
)

type casesPage struct {
	Filter      filterForm
	Rows        []*querypb.Case
	First, Next string
}

func (p *Pages) cases(v *visit) error {
	form := readFilter(v.r.URL.Query())
	filter, err := form.message()
	if err != nil {
		return err
	}
	after := v.r.URL.Query().Get("after")
	a, err := p.o.Query.ListCases(v.ctx, connect.NewRequest(&querypb.ListCasesRequest{Filter: filter, Page: &querypb.Page{Size: pageRows, Token: after}}))
	if err != nil {
		return err
	}
	m := &casesPage{Filter: form, Rows: a.Msg.GetCases(), Next: nextPage("/cases", form, a.Msg.GetNextPageToken())}
	if after != "" {
		m.First = "/cases?" + form.Query()
	}
	return v.render(http.StatusOK, "cases", "Cases", m)
}

type casePage struct {
	Case     *querypb.Case
	Rows     []findingRow
	More     bool
	Evidence bool
}

func (p *Pages) caseFile(v *visit) error {
	got, err := p.o.Query.GetCase(v.ctx, connect.NewRequest(&querypb.GetCaseRequest{Id: v.r.PathValue("id")}))
	if err != nil {
		return err
	}
	m := &casePage{Case: got.Msg.GetCase(), Evidence: p.o.Evidence != nil}
	if len(m.Case.GetRingIds())+len(m.Case.GetBoxIds()) > 0 {
		list, err := p.o.Query.ListFindings(v.ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: &querypb.Filter{CaseIds: []string{m.Case.GetId()}}, Page: &querypb.Page{Size: pageRows}, Authority: v.authority()}))
		if err != nil {
			return err
		}
		m.More = list.Msg.GetNextPageToken() != ""
		if m.Rows, err = v.findingRows(list.Msg.GetFindings()); err != nil {
			return err
		}
	}
	return v.render(http.StatusOK, "case", "Case", m)
}

func (p *Pages) openCase(v *visit) error {
	form := v.r.PostForm
	a, err := p.o.Query.OpenCase(v.ctx, connect.NewRequest(&querypb.OpenCaseRequest{Title: form.Get("title"), RingIds: form["ring"], BoxIds: form["box"]}))
	if err != nil {
		return err
	}
	return v.back("/cases/" + a.Msg.GetCase().GetId())
}

// changeCase changes what the form has, and leaves the rest.
func (p *Pages) changeCase(v *visit) error {
	form := v.r.PostForm
	m := &querypb.ChangeCaseRequest{Id: v.r.PathValue("id"), RingIds: form["ring"], BoxIds: form["box"], Comment: strings.TrimSpace(form.Get("comment"))}
	if form.Has("title") {
		title := form.Get("title")
		m.Title = &title
	}
	if form.Has("owner") {
		owner := form.Get("owner")
		m.Owner = &owner
	}
	if form.Has("state") {
		s, ok := map[string]querypb.CaseState{"open": querypb.CaseState_CASE_STATE_OPEN, "handed-over": querypb.CaseState_CASE_STATE_HANDED_OVER, "closed": querypb.CaseState_CASE_STATE_CLOSED}[form.Get("state")]
		if !ok {
			return errInvalid
		}
		m.State = &s
	}
	if form.Has("outcome") {
		o, ok := outcomeOf(form.Get("outcome"))
		if !ok {
			return errInvalid
		}
		m.Outcome = &o
	}
	if form.Has("comment") && m.Comment == "" && m.Title == nil && m.Owner == nil && m.State == nil && m.Outcome == nil {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("a comment without words"))
	}
	if _, err := p.o.Query.ChangeCase(v.ctx, connect.NewRequest(m)); err != nil {
		return err
	}
	return v.back("/cases/" + m.GetId())
}

// evidence gives the bundle of a case, as a file.
func (p *Pages) evidence(v *visit) error {
	if p.o.Evidence == nil {
		return errNone
	}
	got, err := p.o.Query.GetCase(v.ctx, connect.NewRequest(&querypb.GetCaseRequest{Id: v.r.PathValue("id")}))
	if err != nil {
		return err
	}
	authority := strings.TrimSpace(v.r.PostForm.Get("authority"))
	if authority == "" {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("authority: a blank text names none"))
	}
	file := &download{v: v, name: "case-" + got.Msg.GetCase().GetId()[:8] + ".evidence.tar.zst", kind: "application/zstd"}
	return file.end(p.o.Evidence.Bundle(v.ctx, v.who, got.Msg.GetCase().GetId(), authority, file))
}

// download is a file of which nothing is sent before there is something to send, so
// that what fails at once has a page.
type download struct {
	v          *visit
	name, kind string
	begun      bool
}

func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begun = true
		h := d.v.w.Header()
		h.Set("Content-Type", d.kind)
		h.Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	}
	return d.v.w.Write(b)
}

// end ends a file. One that fails on its way is cut, so that nobody takes it for whole.
func (d *download) end(err error) error {
	if err == nil && !d.begun {
		_, err = d.Write(nil)
		return err
	}
	if err == nil || !d.begun {
		return err
	}
	if !errors.Is(err, context.Canceled) {
		d.v.p.log.Warn("a file was cut", zap.String("file", d.name), zap.Error(err))
	}
	panic(http.ErrAbortHandler)
}

// export gives all rows that meet a filter, as a file.
func (p *Pages) export(v *visit) error {
	q := v.r.URL.Query()
	kinds := map[string]querypb.ExportKind{
		"findings": querypb.ExportKind_EXPORT_KIND_FINDINGS, "lines": querypb.ExportKind_EXPORT_KIND_LINES, "boxes": querypb.ExportKind_EXPORT_KIND_BOXES,
		"rings": querypb.ExportKind_EXPORT_KIND_RINGS, "controllers": querypb.ExportKind_EXPORT_KIND_CONTROLLERS, "cards": querypb.ExportKind_EXPORT_KIND_CARDS,
		"sensors": querypb.ExportKind_EXPORT_KIND_SENSORS, "cases": querypb.ExportKind_EXPORT_KIND_CASES,
	}
	formats := map[string]struct {
		format querypb.ExportFormat
		end    string
		kind   string
	}{
		"jsonl": {querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES, "jsonl", "application/jsonl"},
		"csv":   {querypb.ExportFormat_EXPORT_FORMAT_CSV, "csv", "text/csv; charset=utf-8"},
		"stix":  {querypb.ExportFormat_EXPORT_FORMAT_STIX, "stix.json", "application/stix+json;version=2.1"},
	}
	kind, ok := kinds[q.Get("kind")]
	format, is := formats[q.Get("format")]
	if !ok || !is {
		return unsound("kind or format", q.Get("kind")+" "+q.Get("format"))
	}
	filter, err := readFilter(q).message()
	if err != nil {
		return err
	}
	m := &querypb.ExportRequest{Kind: kind, Filter: filter, Format: format.format}
	switch kind {
	case querypb.ExportKind_EXPORT_KIND_FINDINGS, querypb.ExportKind_EXPORT_KIND_LINES, querypb.ExportKind_EXPORT_KIND_BOXES:
		m.Authority = v.authority()
	}
	file := &download{v: v, name: q.Get("kind") + "." + format.end, kind: format.kind}
	return file.end(p.o.Query.ExportTo(v.ctx, m, func(piece []byte) error {
		_, err := file.Write(piece)
		return err
	}))
}
