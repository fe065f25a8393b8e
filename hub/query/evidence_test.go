package query_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"connectrpc.com/connect"

	"simtrap/hub/bundles"
	"simtrap/hub/query"
	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// proofs keeps requests in memory.
type proofs struct {
	asked   []store.Evidence
	dropped []store.ID
	state   store.EvidenceState // of all parts
}

func (p *proofs) AddEvidence(_ context.Context, e store.Evidence) error {
	p.asked = append(p.asked, e)
	return nil
}

func (p *proofs) Evidence(_ context.Context, id store.ID, _ time.Time) (store.Evidence, error) {
	for _, e := range p.asked {
		if e.ID == id {
			for i := range e.Parts {
				e.Parts[i].State = p.state
			}
			return e, nil
		}
	}
	return store.Evidence{}, store.ErrNotFound
}

func (p *proofs) SameEvidence(ctx context.Context, e store.Evidence, until time.Time) (store.Evidence, error) {
	for _, x := range p.asked {
		if x.Account == e.Account && x.Authority == e.Authority && x.Expires.After(until) {
			return p.Evidence(ctx, x.ID, until)
		}
	}
	return store.Evidence{}, store.ErrNotFound
}

func (p *proofs) DropEvidence(_ context.Context, id store.ID) error {
	p.dropped, p.asked = append(p.dropped, id), nil
	return nil
}

// made is the last bundle.
type made struct {
	t        *testing.T
	findings int
	left     bundles.Left
}

func (m *made) Make(_ context.Context, _ store.Evidence, findings []*reportpb.Finding, left bundles.Left) (*os.File, error) {
	m.findings, m.left = len(findings), left
	f, err := os.CreateTemp(m.t.TempDir(), "")
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteString("bundle"); err != nil {
		return nil, err
	}
	_, err = f.Seek(0, 0)
	return f, err
}

// crowded is a store whose case has many lines, each with many findings.
type crowded struct {
	*querytest.Store
	lines, findings int
}

func (m *crowded) Case(_ context.Context, id store.ID) (store.Case, error) {
	return store.Case{ID: id, Boxes: []store.ID{querytest.ID(11)}}, nil
}

func (m *crowded) Lines(context.Context, store.Filter, store.Page) (l store.List[store.Line], _ error) {
	for i := range m.lines {
		l.Rows = append(l.Rows, store.Line{ID: querytest.ID(1000 + i), Sensor: "north", Name: fmt.Sprint("203.0.113.", i)})
	}
	return l, nil
}

func (m *crowded) Findings(ctx context.Context, f store.Filter, p store.Page) (store.List[store.Finding], error) {
	l, err := m.Store.Findings(ctx, store.Filter{}, store.Page{Size: 1})
	for len(l.Rows) < m.findings {
		l.Rows = append(l.Rows, l.Rows[0])
	}
	l.Next = ""
	return l, err
}

// TestGather: who asks again goes on with what he asked for, and forgets it when he has
// it; what does not fit is left out and told.
func TestGather(t *testing.T) {
	day := querytest.Day()
	now := day
	s := &crowded{querytest.Filled(0), 70, 1003}
	p, m := &proofs{state: store.EvidenceComing}, &made{t: t}
	e := query.NewEvidence(service(t, s, &querytest.Audit{}, func() time.Time { return now }), p, m)
	wait := time.Duration(0)
	gather := func(authority string) {
		t.Helper()
		var b bytes.Buffer
		if err := e.Gather(as("lee"), &querypb.AskEvidenceRequest{CaseId: querytest.ID(31).String(), Authority: authority}, wait, &b); err != nil || b.String() != "bundle" {
			t.Fatalf("%q, %v", b.String(), err)
		}
	}
	gather("case 1")
	if len(p.asked) != 1 || len(p.asked[0].Parts) != store.MaxEvidenceParts || len(p.dropped) != 0 {
		t.Fatalf("%d requests, %d dropped", len(p.asked), len(p.dropped))
	}
	if want := (bundles.Left{Findings: 3, Lines: 6}); m.findings != 1000 || m.left != want {
		t.Errorf("%d findings, left out %+v, want %+v", m.findings, m.left, want)
	}
	gather("case 1")
	gather("case 2")
	if len(p.asked) != 2 {
		t.Errorf("%d requests of two authorities", len(p.asked))
	}
	// One that is about to expire is not gone on with.
	now = day.Add(24*time.Hour - time.Minute)
	gather("case 1")
	if len(p.asked) != 3 {
		t.Errorf("%d requests, one of which expires", len(p.asked))
	}
	now, wait, p.asked, p.state = day, time.Minute, nil, store.EvidenceDone
	gather("case 3")
	if len(p.asked) != 0 || len(p.dropped) != 1 {
		t.Errorf("%d requests stand that were answered whole, %d are dropped", len(p.asked), len(p.dropped))
	}
	// What could not be written is there still.
	if err := e.Gather(as("lee"), &querypb.AskEvidenceRequest{CaseId: querytest.ID(31).String(), Authority: "case 4"}, wait, closed{}); !errors.Is(err, os.ErrClosed) || len(p.asked) != 1 || len(p.dropped) != 1 {
		t.Errorf("%v, %d requests", err, len(p.asked))
	}
	ids := make([]string, store.MaxEvidenceParts+1)
	_, err := e.AskEvidence(as("lee"), connect.NewRequest(&querypb.AskEvidenceRequest{LineIds: ids, Authority: "case 5"}))
	wantCode(t, "65 lines by name", err, connect.CodeInvalidArgument)
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, os.ErrClosed }
