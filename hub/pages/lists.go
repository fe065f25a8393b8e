package pages

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"simtrap/hub/store"
	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// Rows of a page.
const (
	pageRows     = 50
	overviewRows = 10
	maxSensors   = 1000 // that the overview looks at
	sensorPage   = 200
	silentRows   = 20
)

// findingRow is a finding with the id of its line.
type findingRow struct {
	*querypb.Finding
	LineID string
}

// findingRows adds their lines to findings.
func (v *visit) findingRows(list []*querypb.Finding) ([]findingRow, error) {
	var ids []string
	for _, f := range list {
		ids = append(ids, f.GetId())
	}
	of, err := v.p.o.Query.LinesOf(v.ctx, ids)
	if err != nil {
		return nil, err
	}
	var rows []findingRow
	for _, f := range list {
		rows = append(rows, findingRow{f, of[f.GetId()]})
	}
	return rows, nil
}

type findingsPage struct {
	Filter filterForm
	Rows   []findingRow
	First  string // address of the first page, where this is another
	Next   string // address of the next page
	Views  []savedView
	Query  string
}

// QueryURL gives the filter as a part of an address that is escaped already.
func (m *findingsPage) QueryURL() template.URL { return template.URL(m.Query) }

// savedView is a list that somebody keeps.
type savedView struct{ Name, Address string }

func (p *Pages) findings(v *visit) error {
	q := v.r.URL.Query()
	form := readFilter(q)
	filter, err := form.message()
	if err != nil {
		return err
	}
	after := q.Get("after")
	a, err := p.o.Query.ListFindings(v.ctx, connect.NewRequest(&querypb.ListFindingsRequest{
		Filter: filter, Page: &querypb.Page{Size: pageRows, Token: after}, Authority: v.authority(),
	}))
	if err != nil {
		return err
	}
	m := &findingsPage{Filter: form, Query: form.Query(), Next: nextPage("/findings", form, a.Msg.GetNextPageToken())}
	if after != "" {
		m.First = "/findings?" + form.Query()
	}
	if m.Rows, err = v.findingRows(a.Msg.GetFindings()); err != nil {
		return err
	}
	if m.Views, err = v.views(); err != nil {
		return err
	}
	return v.render(http.StatusOK, "findings", "Findings", m)
}

// nextPage gives the address of the page behind a token, empty for none.
func nextPage(path string, form filterForm, token string) string {
	if token == "" {
		return ""
	}
	q := url.Values{"after": {token}}
	if text := form.Query(); text != "" {
		return path + "?" + text + "&" + q.Encode()
	}
	return path + "?" + q.Encode()
}

func (v *visit) views() ([]savedView, error) {
	list, err := v.p.o.Store.Views(v.ctx, v.who.Account)
	if err != nil {
		return nil, v.broken("saved views not read", err)
	}
	var out []savedView
	for _, s := range list {
		out = append(out, savedView{s.Name, "/findings?" + s.Query})
	}
	return out, nil
}

// saveView keeps the filter of a list under a name. Addresses in it would be kept
// without an authority, so it may have none.
func (p *Pages) saveView(v *visit) error {
	name := strings.TrimSpace(v.r.PostForm.Get("name"))
	q, err := url.ParseQuery(v.r.PostForm.Get("query"))
	if err != nil || name == "" || utf8.RuneCountInString(name) > 40 || report.Plain(name) != name {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("a view has a name of 1 to 40 characters"))
	}
	form := readFilter(q)
	filter, err := form.message()
	if err != nil {
		return err
	}
	// What is more than all may see is refused by the list itself.
	if _, err := p.o.Query.ListFindings(v.ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: filter, Page: &querypb.Page{Size: 1}})); err != nil {
		return err
	}
	err = p.o.Store.SaveView(v.ctx, store.View{Account: v.who.Account, Name: name, Query: form.Query(), Made: p.o.Now()})
	switch {
	case errors.Is(err, store.ErrFull):
		return connect.NewError(connect.CodeResourceExhausted, errors.New("this account has as many views as it may: remove some"))
	case errors.Is(err, store.ErrInvalid):
		return errInvalid
	case err != nil:
		return v.broken("view not saved", err)
	}
	return v.back("/findings?" + form.Query())
}

func (p *Pages) dropView(v *visit) error {
	if err := p.o.Store.DropView(v.ctx, v.who.Account, v.r.PostForm.Get("name")); err != nil {
		return v.broken("view not removed", err)
	}
	return v.back("/findings")
}

type overviewPage struct {
	Findings []findingRow
	Rings    []*querypb.Ring
	Cases    []*querypb.Case
	Sensors  sensorsPage
}

func (p *Pages) overview(v *visit) error {
	m := &overviewPage{}
	q := p.o.Query
	findings, err := q.ListFindings(v.ctx, connect.NewRequest(&querypb.ListFindingsRequest{
		Filter: &querypb.Filter{MinVerdict: reportpb.Verdict_VERDICT_REVIEW}, Page: &querypb.Page{Size: overviewRows}, Authority: v.authority(),
	}))
	if err != nil {
		return err
	}
	if m.Findings, err = v.findingRows(findings.Msg.GetFindings()); err != nil {
		return err
	}
	rings, err := q.ListRings(v.ctx, connect.NewRequest(&querypb.ListRingsRequest{Page: &querypb.Page{Size: overviewRows}}))
	if err != nil {
		return err
	}
	m.Rings = rings.Msg.GetRings()
	cases, err := q.ListCases(v.ctx, connect.NewRequest(&querypb.ListCasesRequest{
		Filter: &querypb.Filter{CaseStates: []querypb.CaseState{querypb.CaseState_CASE_STATE_OPEN}}, Page: &querypb.Page{Size: overviewRows},
	}))
	if err != nil {
		return err
	}
	m.Cases = cases.Msg.GetCases()
	if m.Sensors, err = v.sensorRows("", maxSensors); err != nil {
		return err
	}
	return v.render(http.StatusOK, "overview", "Overview", m)
}

// sensorRow is a sensor and what is amiss with it, in plain words.
type sensorRow struct {
	*querypb.Sensor
	Amiss  []string
	Silent bool
}

type sensorsPage struct {
	Rows         []sensorRow
	Silent       []sensorRow // the first of Quiet
	Next, First  string
	Shown, Amiss int
	Quiet        int
}

// sensorRows gives a page of sensors and how they do.
func (v *visit) sensorRows(after string, n uint32) (m sensorsPage, err error) {
	a, err := v.p.o.Query.ListSensors(v.ctx, connect.NewRequest(&querypb.ListSensorsRequest{Page: &querypb.Page{Size: n, Token: after}}))
	if err != nil {
		return m, err
	}
	now := v.p.o.Now()
	for _, s := range a.Msg.GetSensors() {
		row := sensorRow{Sensor: s}
		if s.GetRevoked() {
			m.Rows = append(m.Rows, row)
			continue
		}
		switch last := moment(s.GetLastReport()); {
		case last.Unix() <= 0:
			row.Amiss = append(row.Amiss, "has never reported")
		case now.Sub(last) > v.p.o.Silent:
			row.Silent = true
			row.Amiss = append(row.Amiss, "does not report")
		}
		for _, alarm := range s.GetAlarms() {
			if strings.Contains(alarm, "silent") {
				row.Silent = true
			}
			row.Amiss = append(row.Amiss, alarm)
		}
		if ends := moment(s.GetCertificateEnds()); ends.Unix() > 0 && ends.Before(now) {
			row.Amiss = append(row.Amiss, "its certificate has ended")
		}
		if s.ClockDifferenceMs != nil && (s.GetClockDifferenceMs() > 1000 || s.GetClockDifferenceMs() < -1000) {
			row.Amiss = append(row.Amiss, "its clock is off by more than a second")
		}
		if s.GetRecordsMissing() > 0 {
			row.Amiss = append(row.Amiss, "records are missing")
		}
		if row.Silent {
			if m.Quiet++; len(m.Silent) < silentRows {
				m.Silent = append(m.Silent, row)
			}
		}
		if len(row.Amiss) > 0 {
			m.Amiss++
		}
		m.Rows = append(m.Rows, row)
	}
	m.Shown = len(m.Rows)
	m.Next = nextPage("/sensors", filterForm{}, a.Msg.GetNextPageToken())
	return m, nil
}

// broken is the error of a store that only the operator should read of.
func (v *visit) broken(what string, err error) error {
	if v.ctx.Err() == nil {
		v.p.log.Error(what, zap.Error(err))
	}
	return connect.NewError(connect.CodeUnavailable, errors.New("the hub's store failed; its log says how"))
}
