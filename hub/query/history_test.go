package query_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/query"
	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/report/fleetpb"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// TestHistory: what pages ask for beside the calls is masked and refused as those are.
func TestHistory(t *testing.T) {
	ctx := t.Context()
	s, err := store.Open(ctx, store.Options{Folder: t.TempDir(), HubKey: querytest.Key()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ids, err := querytest.Fill(ctx, s, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := querytest.Day()
	call := &reportpb.Call{FindingId: append(make([]byte, 15), 1), Id: []byte("a call of 16 byt"), Line: "203.0.113.7", Direction: reportpb.Direction_DIRECTION_INBOUND, Start: timestamppb.New(at), Answered: timestamppb.New(at.Add(5 * time.Second)), End: timestamppb.New(at.Add(time.Minute)), Called: "mobile~0123456789abcdef"}
	if _, err := s.Ingest(ctx, store.Delivery{Sensor: "north", Epoch: 7, First: 1, Last: 1, ReceivedAt: at, Records: []*reportpb.Record{{Sequence: 1, KeyEpoch: 1, Kind: &reportpb.Record_Call{Call: call}}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.AddPolicy(ctx, store.Policy{Version: 1, By: "x", Made: at, Policy: &fleetpb.Policy{DeclaredGateways: []*fleetpb.DeclaredGateway{{Line: "203.0.113.9", Reason: "lab", Owner: "ops", Expires: timestamppb.New(at)}, {Line: "realm-a/10.1.2.9", Reason: "r", Owner: "o", Expires: timestamppb.New(at)}}}}); err != nil {
		t.Fatal(err)
	}
	audit := &querytest.Audit{}
	q := service(t, s, audit, nil)
	finding := ids[0].String()

	rs, err := q.Revisions(as("kim"), finding)
	if err != nil || len(rs) != 1 || rs[0].Verdict != reportpb.Verdict_VERDICT_CASE || !rs[0].Proof || *rs[0].Score != 16.1 {
		t.Errorf("revisions: %v %v", rs, err)
	}
	cs, err := q.Calls(as("kim"), finding, 10)
	if err != nil || len(cs) != 1 || cs[0].GetLine() != "" || cs[0].GetCalled() == "mobile~0123456789abcdef" || !strings.HasPrefix(cs[0].GetCalled(), "mobile~") {
		t.Errorf("calls: %v %v", cs, err)
	}
	of, err := q.LinesOf(as("kim"), []string{finding, ids[1].String(), querytest.ID(999).String()})
	if err != nil || len(of) != 2 {
		t.Fatalf("lines: %v %v", of, err)
	}
	if of[finding] == store.LineID("north", "203.0.113.7").String() {
		t.Error("the id of a line can be found by trying its network")
	}
	gs, all, err := q.Gateways(as("kim"), "", 0, 10)
	if err != nil || all != 2 || len(gs) != 2 || gs[0].Line != "203.0.113.0/24" || gs[1].Line != "realm-a/10.1.2.0/24" || gs[0].Owner != "ops" {
		t.Errorf("gateways: %v %d %v", gs, all, err)
	}
	if line, err := q.GatewayLine(ctx, gs[1].ID); err != nil || line != "realm-a/10.1.2.9" {
		t.Errorf("%q %v", line, err)
	}
	if line, err := q.GatewayLine(ctx, gs[1].ID[:31]+"x"); err != nil || line != "" {
		t.Errorf("of no id: %q %v", line, err)
	}
	if gs, _, err := q.Gateways(as("kim"), "", 1, 10); err != nil || len(gs) != 1 {
		t.Errorf("from the second on: %v %v", gs, err)
	}
	if len(audit.Uses()) > 0 {
		t.Errorf("uses of no authority: %v", audit.Uses())
	}
	_, _, err = q.Gateways(as("kim"), "case 1", 0, 10)
	wantCode(t, "kim with an authority", err, connect.CodePermissionDenied)
	gs, _, err = q.Gateways(as("lee"), "case 1", 0, 10)
	if err != nil || gs[0].Line != "203.0.113.9" || len(audit.Uses()) != 1 {
		t.Errorf("with an authority: %v %v %v", gs, err, audit.Uses())
	}
	if list, err := q.Busiest(as("kim")); err != nil || len(list) == 0 || list[0].GetReviewLines() != 3 {
		t.Errorf("busiest: %v %v", list, err)
	}
	box := querytest.ID(11).String()
	links, err := q.Links(as("kim"), []string{box}, 10)
	if err != nil || len(links) != 1 || links[0].Hand || links[0].Reason != "the same card" || links[0].From == links[0].To || links[0].From != of[ids[0].String()] && links[0].From != of[ids[1].String()] {
		t.Errorf("links: %v %v", links, err)
	}
	for name, ask := range map[string]func(context.Context) error{
		"links":     func(ctx context.Context) error { _, err := q.Links(ctx, []string{box}, 1); return err },
		"revisions": func(ctx context.Context) error { _, err := q.Revisions(ctx, finding); return err },
		"calls":     func(ctx context.Context) error { _, err := q.Calls(ctx, finding, 1); return err },
		"lines":     func(ctx context.Context) error { _, err := q.LinesOf(ctx, []string{finding}); return err },
		"gateways":  func(ctx context.Context) error { _, _, err := q.Gateways(ctx, "", 0, 1); return err },
		"busiest":   func(ctx context.Context) error { _, err := q.Busiest(ctx); return err },
	} {
		wantCode(t, name+" of nobody", ask(t.Context()), connect.CodeUnauthenticated)
		wantCode(t, name+" of one who may not read", ask(as("jo")), connect.CodePermissionDenied)
	}
	for name, ask := range map[string]func() error{
		"revisions": func() error { _, err := q.Revisions(as("kim"), "x"); return err },
		"calls":     func() error { _, err := q.Calls(as("kim"), "x", 1); return err },
		"links":     func() error { _, err := q.Links(as("kim"), []string{"x"}, 1); return err },
		"lines":     func() error { _, err := q.LinesOf(as("kim"), []string{"x"}); return err },
	} {
		wantCode(t, name+" of no id", ask(), connect.CodeInvalidArgument)
	}
	var _ query.Store = s
}

// TestBrief: who waits gets what one read of the store gives, and the place to go on at.
func TestBrief(t *testing.T) {
	s := querytest.Filled(40)
	s.Short = 3
	q := service(t, s, &querytest.Audit{}, nil)
	a, err := q.ListFindings(query.Brief(as("kim")), connect.NewRequest(&querypb.ListFindingsRequest{Page: &querypb.Page{Size: 10}}))
	if err != nil || len(a.Msg.GetFindings()) != 3 || a.Msg.GetNextPageToken() == "" {
		t.Errorf("%d rows, %v", len(a.Msg.GetFindings()), err)
	}
}
