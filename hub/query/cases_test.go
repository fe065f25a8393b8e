package query_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/report/querypb"
)

// TestCases opens, changes and closes cases on both stores, and sees what turned
// out reach calibration.
func TestCases(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		ids, err := querytest.Fill(t.Context(), s, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		audit := &querytest.Audit{}
		now := querytest.Day().Add(time.Hour)
		q := service(t, s, audit, func() time.Time { return now })
		ctx := as("lee")
		opened, err := q.OpenCase(ctx, connect.NewRequest(&querypb.OpenCaseRequest{Title: "behind the fridge", RingIds: []string{querytest.ID(21).String(), querytest.ID(21).String()}}))
		if err != nil {
			t.Fatal(err)
		}
		c := opened.Msg.GetCase()
		if c.GetOwner() != "lee" || c.GetState() != querypb.CaseState_CASE_STATE_OPEN || len(c.GetRingIds()) != 1 || !c.GetOpened().AsTime().Equal(now) {
			t.Errorf("%v", c)
		}
		change := func(r *querypb.ChangeCaseRequest) *querypb.Case {
			t.Helper()
			r.Id = c.GetId()
			a, err := q.ChangeCase(ctx, connect.NewRequest(r))
			if err != nil {
				t.Fatal(err)
			}
			// What was answered is what is stored, comments aside.
			got, err := q.GetCase(ctx, connect.NewRequest(&querypb.GetCaseRequest{Id: c.GetId()}))
			if err != nil {
				t.Fatal(err)
			}
			got.Msg.Case.Comments = nil
			if !proto.Equal(a.Msg.GetCase(), got.Msg.GetCase()) {
				t.Errorf("answered %v, stored %v", a.Msg.GetCase(), got.Msg.GetCase())
			}
			return got.Msg.GetCase()
		}
		now = now.Add(time.Hour)
		got := change(&querypb.ChangeCaseRequest{State: querypb.CaseState_CASE_STATE_CLOSED.Enum(), Outcome: querypb.Outcome_OUTCOME_INNOCENT.Enum(), BoxIds: []string{querytest.ID(12).String()}, Comment: "an office\nof lawyers"})
		if got.GetState() != querypb.CaseState_CASE_STATE_CLOSED || !got.GetClosed().AsTime().Equal(now) || got.GetOutcome() != querypb.Outcome_OUTCOME_INNOCENT || len(got.GetBoxIds()) != 1 || got.GetTitle() != "behind the fridge" || len(got.GetRingIds()) != 1 {
			t.Errorf("closed: %v", got)
		}
		now = now.Add(time.Hour)
		if got := change(&querypb.ChangeCaseRequest{Title: proto.String("again"), Owner: proto.String("")}); got.GetTitle() != "again" || got.GetOwner() != "" || !got.GetClosed().AsTime().Equal(now.Add(-time.Hour)) {
			t.Errorf("titled: %v", got)
		}
		if got := change(&querypb.ChangeCaseRequest{State: querypb.CaseState_CASE_STATE_OPEN.Enum()}); got.GetClosed() != nil {
			t.Errorf("opened again: %v", got)
		}
		key, err := store.ParseID(c.GetId())
		if err != nil {
			t.Fatal(err)
		}
		comments, err := s.Comments(ctx, key, 10)
		if err != nil || len(comments) != 1 || comments[0].Author != "lee" || comments[0].Text != "an office\nof lawyers" {
			t.Errorf("comments: %v, %v", comments, err)
		}
		one, err := q.GetCase(ctx, connect.NewRequest(&querypb.GetCaseRequest{Id: c.GetId()}))
		if err != nil || len(one.Msg.GetCase().GetComments()) != 1 {
			t.Fatalf("a case with a comment: %v, %v", one, err)
		}
		if x := one.Msg.GetCase().GetComments()[0]; x.GetAuthor() != "lee" || x.GetText() != "an office\nof lawyers" || !x.GetAt().AsTime().Equal(comments[0].At) {
			t.Errorf("comment %v", x)
		}

		feedback := func() int {
			var file bytes.Buffer
			if err := q.ExportTo(ctx, &querypb.ExportRequest{Kind: querypb.ExportKind_EXPORT_KIND_FEEDBACK, Format: querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES}, func(b []byte) error { file.Write(b); return nil }); err != nil {
				t.Fatal(err)
			}
			return bytes.Count(file.Bytes(), []byte("\n"))
		}
		before := feedback()
		for i, outcome := range []querypb.Outcome{querypb.Outcome_OUTCOME_CONFIRMED, querypb.Outcome_OUTCOME_UNSPECIFIED} {
			if _, err := q.SetOutcome(ctx, connect.NewRequest(&querypb.SetOutcomeRequest{FindingId: ids[2].String(), Outcome: outcome, CaseId: c.GetId(), Note: "eight cards"})); err != nil {
				t.Fatal(err)
			}
			f, err := q.GetFinding(ctx, connect.NewRequest(&querypb.GetFindingRequest{Id: ids[2].String()}))
			if err != nil || f.Msg.GetFinding().GetOutcome() != outcome {
				t.Errorf("%v, %v", f, err)
			}
			if got, want := feedback(), before+1-i; got != want {
				t.Errorf("feedback of %d, want %d", got, want)
			}
		}
		var methods []string
		for _, u := range audit.Uses() {
			if u.Account != "lee" || u.Action != "change" || u.Authority != "" {
				t.Errorf("%+v", u)
			}
			methods = append(methods, u.Method)
		}
		if want := []string{"OpenCase", "ChangeCase", "ChangeCase", "ChangeCase", "SetOutcome", "SetOutcome"}; !slices.Equal(methods, want) {
			t.Errorf("written down: %v", methods)
		}
	})
}

// TestCasesRefused: who may not, what makes no sense, what is not there, and what
// could not be written down changes nothing.
func TestCasesRefused(t *testing.T) {
	s, audit := querytest.Filled(0), &querytest.Audit{}
	q := service(t, s, audit, nil)
	id := querytest.ID(41).String()
	open := func(account string, r *querypb.OpenCaseRequest) error {
		_, err := q.OpenCase(as(account), connect.NewRequest(r))
		return err
	}
	change := func(account string, r *querypb.ChangeCaseRequest) error {
		if r.Id == "" {
			r.Id = id
		}
		_, err := q.ChangeCase(as(account), connect.NewRequest(r))
		return err
	}
	set := func(account string, r *querypb.SetOutcomeRequest) error {
		if r.FindingId == "" {
			r.FindingId = querytest.ID(1).String()
		}
		_, err := q.SetOutcome(as(account), connect.NewRequest(r))
		return err
	}
	many := slices.Repeat([]string{id}, 101)
	for name, test := range map[string]struct {
		err  error
		code connect.Code
	}{
		"open: a viewer":            {open("kim", &querypb.OpenCaseRequest{Title: "x"}), connect.CodePermissionDenied},
		"change: a viewer":          {change("kim", &querypb.ChangeCaseRequest{}), connect.CodePermissionDenied},
		"outcome: a viewer":         {set("kim", &querypb.SetOutcomeRequest{}), connect.CodePermissionDenied},
		"open: no title":            {open("lee", &querypb.OpenCaseRequest{Title: " "}), connect.CodeInvalidArgument},
		"open: long title":          {open("lee", &querypb.OpenCaseRequest{Title: strings.Repeat("x", 201)}), connect.CodeInvalidArgument},
		"open: unshowable title":    {open("lee", &querypb.OpenCaseRequest{Title: "x\x1b[2J"}), connect.CodeInvalidArgument},
		"open: unshowable owner":    {open("lee", &querypb.OpenCaseRequest{Title: "x", Owner: "\u202e"}), connect.CodeInvalidArgument},
		"open: no ring":             {open("lee", &querypb.OpenCaseRequest{Title: "x", RingIds: []string{"21"}}), connect.CodeInvalidArgument},
		"open: many boxes":          {open("lee", &querypb.OpenCaseRequest{Title: "x", BoxIds: many}), connect.CodeInvalidArgument},
		"open: absent box":          {open("lee", &querypb.OpenCaseRequest{Title: "x", BoxIds: []string{querytest.ID(99).String()}}), connect.CodeNotFound},
		"change: no title":          {change("lee", &querypb.ChangeCaseRequest{Title: proto.String("")}), connect.CodeInvalidArgument},
		"change: no state":          {change("lee", &querypb.ChangeCaseRequest{State: querypb.CaseState(4).Enum()}), connect.CodeInvalidArgument},
		"change: unset state":       {change("lee", &querypb.ChangeCaseRequest{State: querypb.CaseState(0).Enum()}), connect.CodeInvalidArgument},
		"change: no outcome":        {change("lee", &querypb.ChangeCaseRequest{Outcome: querypb.Outcome(3).Enum()}), connect.CodeInvalidArgument},
		"change: unshowable remark": {change("lee", &querypb.ChangeCaseRequest{Comment: "a\nb\x00"}), connect.CodeInvalidArgument},
		"change: long remark":       {change("lee", &querypb.ChangeCaseRequest{Comment: strings.Repeat("x", 4001)}), connect.CodeInvalidArgument},
		"change: absent":            {change("lee", &querypb.ChangeCaseRequest{Id: querytest.ID(99).String()}), connect.CodeNotFound},
		"change: no id":             {change("lee", &querypb.ChangeCaseRequest{Id: "x"}), connect.CodeInvalidArgument},
		"outcome: none":             {set("lee", &querypb.SetOutcomeRequest{Outcome: 3}), connect.CodeInvalidArgument},
		"outcome: below":            {set("lee", &querypb.SetOutcomeRequest{Outcome: -1}), connect.CodeInvalidArgument},
		"outcome: absent finding":   {set("lee", &querypb.SetOutcomeRequest{FindingId: querytest.ID(99).String()}), connect.CodeNotFound},
		"outcome: absent case":      {set("lee", &querypb.SetOutcomeRequest{CaseId: querytest.ID(99).String()}), connect.CodeNotFound},
		"outcome: unshowable note":  {set("lee", &querypb.SetOutcomeRequest{Note: "\u2066"}), connect.CodeInvalidArgument},
	} {
		wantCode(t, name, test.err, test.code)
		if e, is := errors.AsType[*connect.Error](test.err); is && strings.Contains(e.Message(), "_") && !strings.Contains(e.Message(), "_ids") {
			t.Errorf("%s: a code in the words: %v", name, e.Message())
		}
	}
	audit.Err = errors.New("disk full")
	wantCode(t, "open: no audit", open("lee", &querypb.OpenCaseRequest{Title: "x"}), connect.CodeUnavailable)
	wantCode(t, "change: no audit", change("lee", &querypb.ChangeCaseRequest{Title: proto.String("x")}), connect.CodeUnavailable)
	wantCode(t, "outcome: no audit", set("lee", &querypb.SetOutcomeRequest{Outcome: 1}), connect.CodeUnavailable)
	if len(s.CaseRows) != 1 || s.CaseRows[0].Title != "three homes, one box" || s.CaseRows[0].Version != 0 || s.FindingRows[2].Outcome != store.OutcomeUnknown {
		t.Errorf("what was refused has changed something: %+v", s.CaseRows)
	}
}
