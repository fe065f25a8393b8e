package pages

import (
	"errors"
	"net/http"
	"slices"

	"connectrpc.com/connect"

	"simtrap/hub/query"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
	"simtrap/report/show"
)

// Bounds of the page of a line.
const (
	maxEpochs  = 40 // findings of it that are told and drawn
	maxCalls   = show.MaxCalls
	maxRecords = 100 // revisions in the table
)

type linePage struct {
	Line      *querypb.Line
	Finding   *querypb.Finding // the one that is told, nil for none
	Told      *reportpb.Finding
	Epochs    []*querypb.Finding // all of it, newest first
	More      int                // epochs that are not told
	Revisions []query.Revision   // newest first
	Older     int                // revisions that are not in the table
	History   *show.Drawing
	Show      *show.Line
}

func (p *Pages) line(v *visit) error {
	q := p.o.Query
	got, err := q.GetLine(v.ctx, connect.NewRequest(&querypb.GetLineRequest{Id: v.r.PathValue("id"), Authority: v.authority()}))
	if err != nil {
		return err
	}
	m := &linePage{Line: got.Msg.GetLine()}
	list, err := q.ListFindings(v.ctx, connect.NewRequest(&querypb.ListFindingsRequest{
		Filter: &querypb.Filter{Lines: []string{m.Line.GetId()}}, Page: &querypb.Page{Size: maxEpochs}, Authority: v.authority(),
	}))
	if err != nil {
		return err
	}
	m.Epochs = list.Msg.GetFindings()
	m.More = max(len(m.Line.GetFindingIds())-len(m.Epochs), 0)
	if len(m.Epochs) > 0 {
		m.Finding = m.Epochs[0]
	}
	if want := v.r.URL.Query().Get("finding"); want != "" {
		at := slices.IndexFunc(m.Epochs, func(f *querypb.Finding) bool { return f.GetId() == want })
		if at < 0 {
			return connect.NewError(connect.CodeNotFound, errors.New("the line has no such finding"))
		}
		m.Finding = m.Epochs[at]
	}
	if m.Finding == nil {
		return v.render(http.StatusOK, "line", "Line", m)
	}
	m.Told = m.Finding.GetFinding()
	m.Show = v.look.told(m.Finding)
	if m.Revisions, err = q.Revisions(v.ctx, m.Finding.GetId()); err != nil {
		return err
	}
	m.History = v.look.history(m.Revisions)
	slices.Reverse(m.Revisions)
	m.Older = max(len(m.Revisions)-maxRecords, 0)
	m.Revisions = m.Revisions[:len(m.Revisions)-m.Older]
	calls, err := q.Calls(v.ctx, m.Finding.GetId(), maxCalls)
	if err != nil {
		return err
	}
	m.Show.Calls = v.look.activity(m.Show.ID, calls, m.Told)
	m.Show.Clocks = show.Readings(m.Show.ID, "How fast the line's sending clock was, with its uncertainty, finding by finding. One chassis stays at one height.",
		readings(m.Epochs, func(f *querypb.Finding) string { return "finding " + short(f.GetId()) }))
	return v.render(http.StatusOK, "line", "Line", m)
}

// setOutcome says what turned out about a finding.
func (p *Pages) setOutcome(v *visit) error {
	form := v.r.PostForm
	o, ok := outcomeOf(form.Get("outcome"))
	if !ok {
		return errInvalid
	}
	if _, err := p.o.Query.SetOutcome(v.ctx, connect.NewRequest(&querypb.SetOutcomeRequest{
		FindingId: form.Get("finding"), Outcome: o, CaseId: form.Get("case"), Note: form.Get("note"),
	})); err != nil {
		return err
	}
	return v.back(form.Get("next"))
}

// outcomeOf reads an outcome as forms give it.
func outcomeOf(s string) (querypb.Outcome, bool) {
	switch s {
	case "unknown":
		return querypb.Outcome_OUTCOME_UNSPECIFIED, true
	case "confirmed":
		return querypb.Outcome_OUTCOME_CONFIRMED, true
	case "innocent":
		return querypb.Outcome_OUTCOME_INNOCENT, true
	}
	return 0, false
}
