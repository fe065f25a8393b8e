package query_test

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// TestFarEndsThatAreLines: a line that another one is driven from, as both ends of a
// conversation are where no sensor knows which side subscribers are on, or that is a
// line's neighbour, is shown by its network wherever it stands, and is found by nothing narrower.
func TestFarEndsThatAreLines(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		const far, far6, server = "203.0.113.7", "2001:db8:1:2::9", "198.51.100.9"
		// Of these no line is known, but of their neighbours.
		const beside, beside6 = "203.0.113.255", "2001:db8:1:ffff::1"
		ids, err := querytest.Fill(t.Context(), s, 2, func(f *reportpb.Finding) {
			f.Controllers = append(f.Controllers, &reportpb.Controller{Addr: far, Role: "registrar"}, &reportpb.Controller{Addr: far6, Role: "media"},
				&reportpb.Controller{Addr: beside, Role: "media"}, &reportpb.Controller{Addr: beside6, Role: "media"})
			f.Hellos = append(f.Hellos, &reportpb.Hello{Protocol: "tls", Far: far, Port: 443})
			f.Signals = append(f.Signals, &reportpb.Signal{Id: "fan", Family: "signalling", Detail: "all calls come from " + far})
		})
		if err != nil {
			t.Fatal(err)
		}
		at := querytest.Day()
		call := &reportpb.Call{FindingId: append(make([]byte, 15), 2), Id: []byte("a call of 16 byt"), Start: timestamppb.New(at), Answered: timestamppb.New(at.Add(5 * time.Second)), End: timestamppb.New(at.Add(time.Minute)), Controller: far}
		if _, err := s.Ingest(t.Context(), store.Delivery{Sensor: "north", Epoch: 7, First: 1, Last: 1, ReceivedAt: at, Records: []*reportpb.Record{{Sequence: 1, KeyEpoch: 1, Kind: &reportpb.Record_Call{Call: call}}}}); err != nil {
			t.Fatal(err)
		}
		q := service(t, s, &querytest.Audit{}, nil)
		ctx := as("lee")
		answers := func(authority string) string {
			var all strings.Builder
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			findings, err := q.ListFindings(ctx, connect.NewRequest(&querypb.ListFindingsRequest{Authority: authority}))
			must(err)
			all.WriteString(text(t, findings.Msg))
			one, err := q.GetFinding(ctx, connect.NewRequest(&querypb.GetFindingRequest{Id: ids[1].String(), Authority: authority}))
			must(err)
			all.WriteString(text(t, one.Msg))
			rings, err := q.ListRings(ctx, connect.NewRequest(&querypb.ListRingsRequest{}))
			must(err)
			all.WriteString(text(t, rings.Msg))
			controllers, err := q.ListControllers(ctx, connect.NewRequest(&querypb.ListControllersRequest{}))
			must(err)
			all.WriteString(text(t, controllers.Msg))
			busiest, err := q.Busiest(ctx)
			must(err)
			for _, c := range busiest {
				all.WriteString(text(t, c))
			}
			calls, err := q.Calls(ctx, ids[1].String(), 10)
			must(err)
			for _, c := range calls {
				all.WriteString(text(t, c))
			}
			for _, kind := range []querypb.ExportKind{querypb.ExportKind_EXPORT_KIND_FINDINGS, querypb.ExportKind_EXPORT_KIND_RINGS, querypb.ExportKind_EXPORT_KIND_CONTROLLERS} {
				for _, format := range []querypb.ExportFormat{querypb.ExportFormat_EXPORT_FORMAT_CSV, querypb.ExportFormat_EXPORT_FORMAT_STIX} {
					m := &querypb.ExportRequest{Kind: kind, Format: format}
					if kind == querypb.ExportKind_EXPORT_KIND_FINDINGS {
						m.Authority = authority
					}
					must(q.ExportTo(ctx, m, func(piece []byte) error { all.Write(piece); return nil }))
				}
			}
			return all.String()
		}
		masked := answers("")
		for _, clear := range []string{far, far6, beside, beside6} {
			if i := strings.Index(masked, clear); i >= 0 {
				t.Errorf("%s without an authority: ...%s...", clear, masked[max(i-200, 0):min(i+60, len(masked))])
			}
			if !strings.Contains(answers("case 1"), clear) {
				t.Errorf("no %s under an authority", clear)
			}
		}
		for _, want := range []string{server, `"addr":"203.0.113.0/24"`, `"addr":"2001:db8:1::/48"`, "all calls come from 203.0.113.0/24"} {
			if !strings.Contains(strings.ReplaceAll(masked, `": "`, `":"`), want) {
				t.Errorf("no %s without an authority", want)
			}
		}
		// To find rows by an address is to be told that it is the one.
		for _, c := range []struct {
			name, authority string
			want            int // findings, -1 for a refusal
		}{
			{far, "", 0}, {"::ffff:" + far, "", 0}, {far6, "", 0}, {beside, "", 0}, {beside6, "", 0}, {beside, "case 1", 5}, {server, "", 5}, {"203.0.113.0/24", "", 5}, {far, "case 1", 5},
			{"203.0.113.6/31", "", -1}, {"203.0.113.6/31", "case 1", 5},
		} {
			got, err := q.ListFindings(ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: &querypb.Filter{Controllers: []string{c.name}}, Authority: c.authority}))
			switch {
			case c.want < 0:
				wantCode(t, c.name, err, connect.CodeInvalidArgument)
			case err != nil || len(got.Msg.GetFindings()) != c.want:
				t.Errorf("%s under %q: %d findings, %v", c.name, c.authority, len(got.Msg.GetFindings()), err)
			}
		}
		for name, want := range map[string]connect.Code{far + "/registrar": connect.CodeNotFound, far6 + "/media": connect.CodeNotFound, server + "/registrar": 0} {
			_, err := q.GetController(ctx, connect.NewRequest(&querypb.GetControllerRequest{Id: name}))
			wantCode(t, name, err, want)
		}
	})
}
