package query_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/query"
	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/report/querypb"
	"simtrap/report/querypb/querypbconnect"
	"simtrap/report/reportpb"
)

func service(t testing.TB, s query.Store, a query.Audit, now func() time.Time) *query.Service {
	t.Helper()
	q, err := query.New(query.Options{Store: s, People: querytest.People{}, Audit: a, Key: querytest.Key(), Now: now, Exports: 1})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func as(account string) context.Context { return querytest.As(context.Background(), account) }

// text writes an answer as a client would read it.
func text(t *testing.T, m proto.Message) string {
	t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantCode checks the code of an error, 0 for none.
func wantCode(t *testing.T, what string, err error, code connect.Code) {
	t.Helper()
	switch {
	case code == 0 && err != nil:
		t.Errorf("%s: %v", what, err)
	case code != 0 && (err == nil || connect.CodeOf(err) != code):
		t.Errorf("%s: %v, want %v", what, err, code)
	}
}

// TestFilter: what of a request reaches the store, and what is refused.
func TestFilter(t *testing.T) {
	at := querytest.Day()
	yes := true
	long := slices.Repeat([]string{"north"}, 101)
	for _, test := range []struct {
		name      string
		filter    *querypb.Filter
		authority string
		want      store.Filter
		code      connect.Code
	}{
		{name: "none"},
		{name: "empty", filter: &querypb.Filter{}},
		{
			name: "all",
			filter: &querypb.Filter{
				Seen:       &querypb.TimeRange{From: timestamppb.New(at), Until: timestamppb.New(at.Add(time.Hour))},
				MinVerdict: reportpb.Verdict_VERDICT_REVIEW, Sensors: []string{"north"}, Lines: []string{"203.0.113.0/24", "2001:db8:1::/48"},
				BoxIds: []string{querytest.ID(1).String()}, RingIds: []string{querytest.ID(2).String()}, CaseIds: []string{querytest.ID(3).String()},
				Controllers: []string{"198.51.100.9", "2001:db8::/32"}, Cards: []string{"46000~1"}, Vendors: []string{"Hybertone"}, Declared: &yes, Proof: proto.Bool(false),
			},
			want: store.Filter{
				From: at, Until: at.Add(time.Hour), MinVerdict: reportpb.Verdict_VERDICT_REVIEW, Sensors: []string{"north"},
				Lines: []store.LineMatch{{Prefix: netip.MustParsePrefix("203.0.113.0/24")}, {Prefix: netip.MustParsePrefix("2001:db8:1::/48")}},
				Boxes: []store.ID{querytest.ID(1)}, Rings: []store.ID{querytest.ID(2)}, Cases: []store.ID{querytest.ID(3)},
				Controllers: []netip.Prefix{netip.MustParsePrefix("198.51.100.9/32"), netip.MustParsePrefix("2001:db8::/32")},
				Cards:       []string{"46000~1"}, Vendors: []string{"Hybertone"}, Declared: &yes, Proof: proto.Bool(false),
			},
		},
		{name: "host bits", filter: &querypb.Filter{Lines: []string{"203.0.113.7/16"}}, want: store.Filter{Lines: []store.LineMatch{{Prefix: netip.MustParsePrefix("203.0.0.0/16")}}}},
		{name: "mapped", filter: &querypb.Filter{Lines: []string{"::ffff:203.0.113.7/112"}}, want: store.Filter{Lines: []store.LineMatch{{Prefix: netip.MustParsePrefix("203.0.0.0/16")}}}},
		{name: "an address", filter: &querypb.Filter{Lines: []string{"203.0.113.7"}}, code: connect.CodePermissionDenied},
		{name: "a mapped address", filter: &querypb.Filter{Lines: []string{"::ffff:203.0.113.7"}}, code: connect.CodePermissionDenied},
		{name: "/25", filter: &querypb.Filter{Lines: []string{"203.0.113.0/25"}}, code: connect.CodePermissionDenied},
		{name: "/49", filter: &querypb.Filter{Lines: []string{"2001:db8:1::/49"}}, code: connect.CodePermissionDenied},
		{name: "a name", filter: &querypb.Filter{Lines: []string{"realm-a/10.1.2.3"}}, code: connect.CodePermissionDenied},
		{name: "a name's network", filter: &querypb.Filter{Lines: []string{"realm-a/10.1.2.0/24"}}, code: connect.CodePermissionDenied},
		{name: "an address, allowed", authority: "case 1", filter: &querypb.Filter{Lines: []string{"203.0.113.7"}}, want: store.Filter{Lines: []store.LineMatch{{Prefix: netip.MustParsePrefix("203.0.113.7/32")}}}},
		{name: "a name, allowed", authority: "case 1", filter: &querypb.Filter{Lines: []string{"realm-a/10.1.2.3"}}, want: store.Filter{Lines: []store.LineMatch{{Name: "realm-a/10.1.2.3"}}}},
		{name: "no line", authority: "case 1", filter: &querypb.Filter{Lines: []string{"the neighbours"}}, code: connect.CodeInvalidArgument},
		{name: "a zone", authority: "case 1", filter: &querypb.Filter{Lines: []string{"fe80::1%eth0"}}, code: connect.CodeInvalidArgument},
		{name: "ids and addresses", filter: &querypb.Filter{Lines: []string{querytest.ID(1).String(), "203.0.113.0/24"}}, code: connect.CodeInvalidArgument},
		{name: "states of cases", filter: &querypb.Filter{CaseStates: []querypb.CaseState{1}}, code: connect.CodeInvalidArgument},
		{name: "until before from", filter: &querypb.Filter{Seen: &querypb.TimeRange{From: timestamppb.New(at), Until: timestamppb.New(at)}}, code: connect.CodeInvalidArgument},
		{name: "no time", filter: &querypb.Filter{Seen: &querypb.TimeRange{From: &timestamppb.Timestamp{Nanos: -1}}}, code: connect.CodeInvalidArgument},
		{name: "the year 3000", filter: &querypb.Filter{Seen: &querypb.TimeRange{Until: timestamppb.New(at.AddDate(1000, 0, 0))}}, code: connect.CodeInvalidArgument},
		{name: "no verdict", filter: &querypb.Filter{MinVerdict: 5}, code: connect.CodeInvalidArgument},
		{name: "below verdicts", filter: &querypb.Filter{MinVerdict: -1}, code: connect.CodeInvalidArgument},
		{name: "no id", filter: &querypb.Filter{RingIds: []string{"21"}}, code: connect.CodeInvalidArgument},
		{name: "no controller", filter: &querypb.Filter{Controllers: []string{"example.com"}}, code: connect.CodeInvalidArgument},
		{name: "too many", filter: &querypb.Filter{Sensors: long}, code: connect.CodeInvalidArgument},
		{name: "too long", filter: &querypb.Filter{Vendors: []string{strings.Repeat("x", 201)}}, code: connect.CodeInvalidArgument},
		{name: "empty text", filter: &querypb.Filter{Cards: []string{""}}, code: connect.CodeInvalidArgument},
	} {
		s := querytest.Filled(0)
		_, err := service(t, s, &querytest.Audit{}, nil).ListFindings(as("lee"), connect.NewRequest(&querypb.ListFindingsRequest{Filter: test.filter, Authority: test.authority}))
		wantCode(t, test.name, err, test.code)
		if diff := cmp.Diff(test.want, s.Last, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err == nil && diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestFields: a field that rows of a kind do not have is refused, so that nothing
// is silently left out of account.
func TestFields(t *testing.T) {
	q := service(t, querytest.Filled(0), &querytest.Audit{}, nil)
	id := []string{querytest.ID(1).String()}
	yes := true
	filters := map[string]*querypb.Filter{
		"seen": {Seen: &querypb.TimeRange{}}, "verdict": {MinVerdict: 2}, "sensors": {Sensors: []string{"a"}}, "lines": {Lines: []string{"10.0.0.0/8"}},
		"boxes": {BoxIds: id}, "rings": {RingIds: id}, "cases": {CaseIds: id}, "controllers": {Controllers: []string{"10.0.0.1"}}, "cards": {Cards: []string{"~1"}},
		"vendors": {Vendors: []string{"v"}}, "declared": {Declared: &yes}, "proof": {Proof: &yes}, "states": {CaseStates: []querypb.CaseState{1}},
	}
	ctx := as("kim")
	for kind, test := range map[string]struct {
		list func(*querypb.Filter) error
		has  string
	}{
		"findings": {func(f *querypb.Filter) error {
			_, err := q.ListFindings(ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: f}))
			return err
		}, "seen verdict sensors lines boxes rings cases controllers cards vendors declared proof"},
		"lines": {func(f *querypb.Filter) error {
			_, err := q.ListLines(ctx, connect.NewRequest(&querypb.ListLinesRequest{Filter: f}))
			return err
		}, "seen verdict sensors lines boxes rings cases controllers cards"},
		"boxes": {func(f *querypb.Filter) error {
			_, err := q.ListBoxes(ctx, connect.NewRequest(&querypb.ListBoxesRequest{Filter: f}))
			return err
		}, "seen verdict sensors lines boxes rings cases controllers cards vendors"},
		"rings": {func(f *querypb.Filter) error {
			_, err := q.ListRings(ctx, connect.NewRequest(&querypb.ListRingsRequest{Filter: f}))
			return err
		}, "seen verdict sensors boxes rings cases controllers"},
		"controllers": {func(f *querypb.Filter) error {
			_, err := q.ListControllers(ctx, connect.NewRequest(&querypb.ListControllersRequest{Filter: f}))
			return err
		}, "seen rings controllers"},
		"cards": {func(f *querypb.Filter) error {
			_, err := q.ListCards(ctx, connect.NewRequest(&querypb.ListCardsRequest{Filter: f}))
			return err
		}, "seen cards"},
		"sensors": {func(f *querypb.Filter) error {
			_, err := q.ListSensors(ctx, connect.NewRequest(&querypb.ListSensorsRequest{Filter: f}))
			return err
		}, "seen sensors"},
		"cases": {func(f *querypb.Filter) error {
			_, err := q.ListCases(ctx, connect.NewRequest(&querypb.ListCasesRequest{Filter: f}))
			return err
		}, "seen boxes rings cases states"},
	} {
		for name, f := range filters {
			code := connect.Code(0)
			if !slices.Contains(strings.Fields(test.has), name) {
				code = connect.CodeInvalidArgument
			}
			wantCode(t, kind+" by "+name, test.list(f), code)
		}
	}
}

// TestPages: pages follow one another, whatever arrives meanwhile and however few
// rows the store looks at in one read.
func TestPages(t *testing.T) {
	for _, short := range []int{0, 1, 3} {
		s := querytest.Filled(40)
		s.Short = short
		q := service(t, s, &querytest.Audit{}, nil)
		var got []string
		token, pages := "", 0
		for {
			a, err := q.ListFindings(as("kim"), connect.NewRequest(&querypb.ListFindingsRequest{Page: &querypb.Page{Size: 10, Token: token}}))
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, f := range a.Msg.GetFindings() {
				got = append(got, f.GetId())
			}
			if len(a.Msg.GetFindings()) > 10 {
				t.Fatalf("a page of %d rows", len(a.Msg.GetFindings()))
			}
			if token = a.Msg.GetNextPageToken(); token == "" {
				break
			}
			s.Insert(store.Finding{ID: querytest.ID(5000 + pages), Sensor: "late"})
		}
		if len(got) != 43 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 43 {
			t.Errorf("short %d: %d rows, want 43 different ones", short, len(got))
		}
		if pages != 5 {
			t.Errorf("short %d: %d pages, want 5", short, pages)
		}
	}
}

// TestTokens: a token is good for its own list, filter and authority, for a day,
// and as it was given.
func TestTokens(t *testing.T) {
	now := querytest.Day()
	q := service(t, querytest.Filled(40), &querytest.Audit{}, func() time.Time { return now })
	filter := &querypb.Filter{Sensors: []string{"north"}}
	list := func(f *querypb.Filter, authority, token string) (string, error) {
		a, err := q.ListFindings(as("lee"), connect.NewRequest(&querypb.ListFindingsRequest{Filter: f, Authority: authority, Page: &querypb.Page{Size: 5, Token: token}}))
		if err != nil {
			return "", err
		}
		return a.Msg.GetNextPageToken(), nil
	}
	token, err := list(filter, "", "")
	if err != nil || token == "" {
		t.Fatal(token, err)
	}
	if _, err := list(&querypb.Filter{Sensors: []string{"north"}}, "", token); err != nil {
		t.Error(err)
	}
	for name, try := range map[string]func() error{
		"another filter":    func() error { _, err := list(nil, "", token); return err },
		"another authority": func() error { _, err := list(filter, "case 1", token); return err },
		"another list": func() error {
			_, err := q.ListLines(as("lee"), connect.NewRequest(&querypb.ListLinesRequest{Filter: filter, Page: &querypb.Page{Token: token}}))
			return err
		},
		"a made-up token": func() error { _, err := list(filter, "", "AAAA"); return err },
		"no base64":       func() error { _, err := list(filter, "", "!"); return err },
		"a cut token":     func() error { _, err := list(filter, "", token[:len(token)-4]); return err },
		"a long token":    func() error { _, err := list(filter, "", strings.Repeat("A", 1<<20)); return err },
		"a changed token": func() error {
			b := []byte(token)
			b[len(b)/2] ^= 1
			_, err := list(filter, "", string(b))
			return err
		},
		"another hub's": func() error {
			other, err := query.New(query.Options{Store: querytest.Filled(9), People: querytest.People{}, Key: bytes.Repeat([]byte{1}, 32)})
			if err != nil {
				return err
			}
			_, err = other.ListFindings(as("lee"), connect.NewRequest(&querypb.ListFindingsRequest{Filter: filter, Page: &querypb.Page{Token: token}}))
			return err
		},
		"1,001 rows": func() error {
			_, err := q.ListFindings(as("lee"), connect.NewRequest(&querypb.ListFindingsRequest{Page: &querypb.Page{Size: 1001}}))
			return err
		},
	} {
		wantCode(t, name, try(), connect.CodeInvalidArgument)
	}
	now = now.Add(24 * time.Hour)
	if _, err := list(filter, "", token); err != nil {
		t.Errorf("after a day: %v", err)
	}
	now = now.Add(time.Second)
	_, err = list(filter, "", token)
	wantCode(t, "after more than a day", err, connect.CodeInvalidArgument)
}

// TestMasked: without an authority nothing that is answered holds more of a line's
// address than its network, nor what it could be guessed by.
func TestMasked(t *testing.T) {
	s, audit := querytest.Filled(0), &querytest.Audit{}
	q := service(t, s, audit, nil)
	ctx := as("lee")
	// Devices may tell their own address.
	s.FindingRows[0].Report.Finding.Device.Model = "GW 203.0.113.7"
	s.FindingRows[0].Report.Finding.Signals[0].Detail = "calls itself 203.0.113.7"
	s.FindingRows[2].Report.Finding.Unseen = []string{"media of 2001:db8:1:2::1"}
	findings, err := q.ListFindings(ctx, connect.NewRequest(&querypb.ListFindingsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := q.ListLines(ctx, connect.NewRequest(&querypb.ListLinesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := q.ListBoxes(ctx, connect.NewRequest(&querypb.ListBoxesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	cards, err := q.ListCards(ctx, connect.NewRequest(&querypb.ListCardsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	one, err := q.GetFinding(ctx, connect.NewRequest(&querypb.GetFindingRequest{Id: querytest.ID(3).String()}))
	if err != nil {
		t.Fatal(err)
	}
	all := text(t, findings.Msg) + text(t, lines.Msg) + text(t, boxes.Msg) + text(t, cards.Msg) + text(t, one.Msg)
	for _, secret := range []string{"203.0.113.7", "10.1.2.3", "2001:db8:1:2", store.LineID("north", "203.0.113.7").String()} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	var shown []string
	for _, f := range findings.Msg.GetFindings() {
		shown = append(shown, f.GetFinding().GetLine())
	}
	if diff := cmp.Diff([]string{"203.0.113.0/24", "realm-a/10.1.2.0/24", "2001:db8:1::/48"}, shown); diff != "" {
		t.Error(diff)
	}
	if len(audit.Uses()) != 0 {
		t.Errorf("uses of no authority: %v", audit.Uses())
	}
	if s.FindingRows[0].Report.GetFinding().GetLine() != "203.0.113.7" {
		t.Error("the store's own finding was changed")
	}

	// The id of a line leads to it, in filters and lists.
	id := lines.Msg.GetLines()[0].GetId()
	got, err := q.GetLine(ctx, connect.NewRequest(&querypb.GetLineRequest{Id: id}))
	if err != nil || got.Msg.GetLine().GetLine() != "203.0.113.0/24" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := q.ListFindings(ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: &querypb.Filter{Lines: []string{id}}})); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]store.ID{store.LineID("north", "203.0.113.7")}, s.Last.LineIDs); diff != "" {
		t.Error(diff)
	}
	if b := boxes.Msg.GetBoxes()[0]; b.GetLineIds()[0] != id || len(b.GetLinks()) != 1 || b.GetLinks()[0].GetTo() != id || b.GetLinks()[0].GetFrom() != b.GetLineIds()[1] {
		t.Errorf("links name other lines than lists do: %v", b)
	}
	if cards.Msg.GetCards()[0].GetLineIds()[0] != id {
		t.Error("cards name other lines than lists do")
	}
}

// TestHidden: an address of the line is found however it is spelled, and no other is
// touched.
func TestHidden(t *testing.T) {
	s := querytest.Filled(0)
	q := service(t, s, &querytest.Audit{}, nil)
	for _, test := range []struct{ line, text, want string }{
		{"203.0.113.7", "at 203.0.113.7:5060, 203.0.113.7.", "at 203.0.113.0/24:5060, 203.0.113.0/24."},
		{"203.0.113.7", "203.0.113.70 and 1203.0.113.7", "203.0.113.70 and 1203.0.113.0/24"},
		{"203.0.113.7", "103.0.113.7", "103.0.113.7"},
		{"3.0.113.7", "103.0.113.7", "103.0.113.7"},
		{"203.0.113.7", "v1.203.0.113.7, a203.0.113.7, 203.0.113.7.dsl", "v1.203.0.113.0/24, a203.0.113.0/24, 203.0.113.0/24.dsl"},
		{"203.0.113.7", "[::ffff:203.0.113.7] ::FFFF:cb00:7107", "[203.0.113.0/24] 203.0.113.0/24"},
		{"realm-a/10.1.2.3", "10.1.2.3", "realm-a/10.1.2.0/24"},
		{"2001:db8:1:2::/64", "[2001:DB8:1:2:21b:3fff:fe00:1]:5060", "[2001:db8:1::/48]:5060"},
		{"2001:db8:1:2::1", "2001:0db8:0001:0002:0000:0000:0000:0001", "2001:db8:1::/48"},
		{"2001:db8:1:2::1", "2001:db8:1:2::9", "2001:db8:1::/48"},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:3::1"},
		{"203.0.113.7", "10:20:30, 1.2.3, é…", "10:20:30, 1.2.3, é…"},
	} {
		f := s.FindingRows[0].Report.Finding
		f.Line, f.Signals[0].Detail = test.line, test.text
		got, err := q.GetFinding(as("kim"), connect.NewRequest(&querypb.GetFindingRequest{Id: s.FindingRows[0].ID.String()}))
		if err != nil {
			t.Fatal(err)
		}
		if shown := got.Msg.GetFinding().GetFinding().GetSignals()[0].GetDetail(); shown != test.want {
			t.Errorf("%q of %s is shown as %q, want %q", test.text, test.line, shown, test.want)
		}
	}
}

// TestWrittenWhole: nobody sees in clear what the audit log would cut off.
func TestWrittenWhole(t *testing.T) {
	audit := &querytest.Audit{}
	q := service(t, querytest.Filled(0), audit, nil)
	f := &querypb.Filter{}
	for i := range 100 {
		f.Sensors = append(f.Sensors, fmt.Sprintf("%0200d", i))
		f.Lines = append(f.Lines, fmt.Sprintf("%0180d/10.1.2.%d", 0, i))
	}
	ask := func() error {
		_, err := q.ListFindings(as("lee"), connect.NewRequest(&querypb.ListFindingsRequest{Filter: f, Authority: "case 1"}))
		return err
	}
	wantCode(t, "large", ask(), connect.CodeInvalidArgument)
	if n := len(audit.Uses()); n != 0 {
		t.Errorf("%d uses of what was refused", n)
	}
	f.Sensors = nil
	wantCode(t, "in parts", ask(), 0)
}

// TestAuthority: whole addresses are for those who may, under a reference, and only
// when that has been written down.
func TestAuthority(t *testing.T) {
	const authority = "案件 2026-114"
	s, audit := querytest.Filled(0), &querytest.Audit{}
	q := service(t, s, audit, nil)
	list := func(account, authority string) (*connect.Response[querypb.ListFindingsResponse], error) {
		return q.ListFindings(as(account), connect.NewRequest(&querypb.ListFindingsRequest{Authority: authority, Filter: &querypb.Filter{Sensors: []string{"north"}}}))
	}
	got, err := list("lee", authority)
	if err != nil {
		t.Fatal(err)
	}
	if f := got.Msg.GetFindings()[0].GetFinding(); f.GetLine() != "203.0.113.7" || f.GetAuthority() != authority {
		t.Errorf("%q under %q", f.GetLine(), f.GetAuthority())
	}
	uses := audit.Uses()
	if len(uses) != 1 {
		t.Fatalf("%d uses, want 1", len(uses))
	}
	u := uses[0]
	if u.Account != "lee" || u.Authority != authority || u.Method != "ListFindings" || !json.Valid([]byte(u.Request)) || !strings.Contains(u.Request, "north") {
		t.Errorf("%+v", u)
	}
	for name, test := range map[string]struct {
		account, authority string
		code               connect.Code
	}{
		"a viewer":         {"kim", authority, connect.CodePermissionDenied},
		"nothing to read":  {"jo", "", connect.CodePermissionDenied},
		"blank":            {"lee", "  ", connect.CodeInvalidArgument},
		"unshowable":       {"lee", "case\u202e1", connect.CodeInvalidArgument},
		"too long":         {"lee", strings.Repeat("x", 201), connect.CodeInvalidArgument},
		"a viewer, masked": {"kim", "", 0},
	} {
		_, err := list(test.account, test.authority)
		wantCode(t, name, err, test.code)
	}
	_, err = q.ListFindings(context.Background(), connect.NewRequest(&querypb.ListFindingsRequest{}))
	wantCode(t, "nobody", err, connect.CodeUnauthenticated)
	for _, kind := range []querypb.ExportKind{querypb.ExportKind_EXPORT_KIND_RINGS, querypb.ExportKind_EXPORT_KIND_SENSORS, querypb.ExportKind_EXPORT_KIND_FEEDBACK} {
		err := q.ExportTo(as("lee"), &querypb.ExportRequest{Kind: kind, Format: querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES, Authority: authority}, func([]byte) error { return nil })
		wantCode(t, kind.String(), err, connect.CodeInvalidArgument)
	}
	if n := len(audit.Uses()); n != 1 {
		t.Errorf("%d uses, want 1: what is refused is no use", n)
	}

	audit.Err = errors.New("disk full")
	s.Err = errors.New("the store was asked before the audit")
	_, err = list("lee", authority)
	wantCode(t, "no audit", err, connect.CodeUnavailable)
	err = q.ExportTo(as("lee"), &querypb.ExportRequest{Kind: querypb.ExportKind_EXPORT_KIND_FINDINGS, Format: querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES, Authority: authority}, func([]byte) error {
		t.Error("something was exported")
		return nil
	})
	wantCode(t, "no audit of an export", err, connect.CodeUnavailable)
}

// TestOne: what there is by its id, what there is not, and what is no id.
func TestOne(t *testing.T) {
	q := service(t, querytest.Filled(0), &querytest.Audit{}, nil)
	ctx := as("kim")
	lines, err := q.ListLines(ctx, connect.NewRequest(&querypb.ListLinesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for kind, test := range map[string]struct {
		get             func(string) error
		id, none, wrong string
	}{
		"finding": {func(id string) error {
			_, err := q.GetFinding(ctx, connect.NewRequest(&querypb.GetFindingRequest{Id: id}))
			return err
		}, querytest.ID(3).String(), querytest.ID(99).String(), "3"},
		"line": {func(id string) error {
			_, err := q.GetLine(ctx, connect.NewRequest(&querypb.GetLineRequest{Id: id}))
			return err
		}, lines.Msg.GetLines()[0].GetId(), store.LineID("north", "203.0.113.7").String(), "203.0.113.7"},
		"box": {func(id string) error {
			_, err := q.GetBox(ctx, connect.NewRequest(&querypb.GetBoxRequest{Id: id}))
			return err
		}, querytest.ID(11).String(), querytest.ID(99).String(), ""},
		"ring": {func(id string) error {
			_, err := q.GetRing(ctx, connect.NewRequest(&querypb.GetRingRequest{Id: id}))
			return err
		}, querytest.ID(21).String(), querytest.ID(99).String(), "\xff"},
		"controller": {func(id string) error {
			_, err := q.GetController(ctx, connect.NewRequest(&querypb.GetControllerRequest{Id: id}))
			return err
		}, "198.51.100.9/registrar", "198.51.100.9/media", "198.51.100.9"},
		"card": {func(id string) error {
			_, err := q.GetCard(ctx, connect.NewRequest(&querypb.GetCardRequest{Id: id}))
			return err
		}, querytest.ID(31).String(), querytest.ID(99).String(), "46000~9f3ac21b66d0e417"},
		"sensor": {func(id string) error {
			_, err := q.GetSensor(ctx, connect.NewRequest(&querypb.GetSensorRequest{Id: id}))
			return err
		}, "north", "west", ""},
		"case": {func(id string) error {
			_, err := q.GetCase(ctx, connect.NewRequest(&querypb.GetCaseRequest{Id: id}))
			return err
		}, querytest.ID(41).String(), querytest.ID(99).String(), "x"},
	} {
		wantCode(t, kind, test.get(test.id), 0)
		wantCode(t, kind+" that is not there", test.get(test.none), connect.CodeNotFound)
		wantCode(t, kind+" by what is no id", test.get(test.wrong), connect.CodeInvalidArgument)
	}
}

// TestStoreFails: what failed stays in the log.
func TestStoreFails(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code connect.Code
	}{
		"failure": {errors.New("dial tcp 192.0.2.1:5432: password"), connect.CodeInternal},
		"busy":    {store.ErrBusy, connect.CodeUnavailable},
		"invalid": {store.ErrInvalid, connect.CodeInvalidArgument},
	} {
		s := querytest.Filled(0)
		s.Err = test.err
		_, err := service(t, s, &querytest.Audit{}, nil).ListRings(as("kim"), connect.NewRequest(&querypb.ListRingsRequest{}))
		wantCode(t, name, err, test.code)
		if err == nil || strings.Contains(err.Error(), "192.0.2.1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(as("kim"))
	cancel()
	s := querytest.Filled(0)
	s.Err = context.Canceled
	if _, err := service(t, s, &querytest.Audit{}, nil).ListRings(ctx, connect.NewRequest(&querypb.ListRingsRequest{})); !errors.Is(err, context.Canceled) {
		t.Errorf("gone: %v", err)
	}
}

// TestExport goes through a hub: every kind and format ends well, pieces are
// bounded, and what calibration gets names nobody.
func TestExport(t *testing.T) {
	hub, err := querytest.Hub(querytest.Filled(500), &querytest.Audit{})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	client := hub.Client()
	defer client.CloseIdleConnections()
	c := querypbconnect.NewQueryServiceClient(client, hub.URL)
	get := func(q *querypb.ExportRequest) ([]byte, error) {
		r := connect.NewRequest(q)
		r.Header().Set("Authorization", "Bearer token-lee")
		stream, err := c.Export(context.Background(), r)
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		var file []byte
		for stream.Receive() {
			if n := len(stream.Msg().GetData()); n == 0 || n > 64<<10 {
				t.Errorf("a piece of %d bytes", n)
			}
			file = append(file, stream.Msg().GetData()...)
		}
		return file, stream.Err()
	}
	rows := map[querypb.ExportKind]int{1: 503, 2: 503, 3: 2, 4: 1, 5: 2, 6: 1, 7: 2, 8: 1, 9: 2}
	for kind, n := range rows {
		for format := querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES; format <= querypb.ExportFormat_EXPORT_FORMAT_STIX; format++ {
			if kind == querypb.ExportKind_EXPORT_KIND_FEEDBACK && format != querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES {
				continue
			}
			file, err := get(&querypb.ExportRequest{Kind: kind, Format: format})
			if err != nil {
				t.Errorf("%v as %v: %v", kind, format, err)
				continue
			}
			lines := bytes.Count(file, []byte("\n"))
			switch format {
			case querypb.ExportFormat_EXPORT_FORMAT_CSV:
				lines--
			case querypb.ExportFormat_EXPORT_FORMAT_STIX:
				if !json.Valid(file) {
					t.Errorf("%v as %v is no JSON", kind, format)
				}
				continue
			}
			if lines != n {
				t.Errorf("%v as %v: %d rows, want %d", kind, format, lines, n)
			}
			if kind == querypb.ExportKind_EXPORT_KIND_FEEDBACK {
				for _, secret := range []string{"203.0.113", "10.1.2", "~", "198.51.100.9", "GW", "fridge", "lee"} {
					if bytes.Contains(file, []byte(secret)) {
						t.Errorf("feedback tells %q: %s", secret, file)
					}
				}
				if !bytes.Contains(file, []byte(`"outcome":"confirmed"`)) || !bytes.Contains(file, []byte(`"outcome":"innocent"`)) || !bytes.Contains(file, []byte(`"family":"control"`)) {
					t.Errorf("feedback: %s", file)
				}
			}
		}
	}
	for name, q := range map[string]*querypb.ExportRequest{
		"no kind":           {Format: 1},
		"no format":         {Kind: 1},
		"an unknown format": {Kind: 1, Format: 7},
		"a foreign field":   {Kind: 4, Format: 1, Filter: &querypb.Filter{Vendors: []string{"x"}}},
		"filtered feedback": {Kind: 9, Format: 1, Filter: &querypb.Filter{Sensors: []string{"x"}}},
	} {
		_, err := get(q)
		wantCode(t, name, err, connect.CodeInvalidArgument)
	}
}

// TestExportsBounded: only so many at once, and one that nobody reads any more
// ends.
func TestExportsBounded(t *testing.T) {
	q := service(t, querytest.Filled(500), &querytest.Audit{}, nil)
	ask := &querypb.ExportRequest{Kind: querypb.ExportKind_EXPORT_KIND_FINDINGS, Format: querypb.ExportFormat_EXPORT_FORMAT_CSV}
	gone := errors.New("gone")
	err := q.ExportTo(as("kim"), ask, func([]byte) error {
		wantCode(t, "a second export", q.ExportTo(as("kim"), ask, func([]byte) error { return nil }), connect.CodeResourceExhausted)
		return gone
	})
	if err == nil {
		t.Error("an export that could not be sent has ended well")
	}
	if err := q.ExportTo(as("kim"), ask, func([]byte) error { return nil }); err != nil {
		t.Errorf("after it: %v", err)
	}
	ctx, cancel := context.WithCancel(as("kim"))
	pieces := 0
	err = q.ExportTo(ctx, ask, func([]byte) error { pieces++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || pieces > 3 {
		t.Errorf("%v after %d pieces", err, pieces)
	}
}

// TestRequestsBounded: a request larger than any that makes sense is refused
// before it is read.
func TestRequestsBounded(t *testing.T) {
	hub, err := querytest.Hub(querytest.Filled(0), &querytest.Audit{})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	client := hub.Client()
	defer client.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodPost, hub.URL+querypbconnect.QueryServiceGetRingProcedure, strings.NewReader(`{"id":"`+strings.Repeat("x", 1<<20)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer token-kim")
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusTooManyRequests { // resource_exhausted
		t.Errorf("status %d", answer.StatusCode)
	}
}

func FuzzToken(f *testing.F) {
	// A key of each process: a token of the one that hands out seeds is good in no
	// other, where it would look as if it had been made up.
	key := make([]byte, 32)
	rand.Read(key)
	q, err := query.New(query.Options{Store: querytest.Filled(20), People: querytest.People{}, Key: key})
	if err != nil {
		f.Fatal(err)
	}
	a, err := q.ListFindings(as("kim"), connect.NewRequest(&querypb.ListFindingsRequest{Page: &querypb.Page{Size: 5}}))
	if err != nil {
		f.Fatal(err)
	}
	good := a.Msg.GetNextPageToken()
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Add(good[:10])
	f.Fuzz(func(t *testing.T, token string) {
		_, err := q.ListFindings(as("kim"), connect.NewRequest(&querypb.ListFindingsRequest{Page: &querypb.Page{Size: 5, Token: token}}))
		if err == nil && token != "" && token != good {
			t.Errorf("%q was taken", token)
		}
		if err != nil && connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Error(err)
		}
	})
}

// FuzzLines: whatever a filter's line is, without an authority no more of an
// address than is shown reaches the store.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"203.0.113.7", "203.0.113.0/24", "::ffff:203.0.113.7/120", "realm-a/10.1.2.3", "2001:db8::/47", "fe80::1%x/64", "////", "0.0.0.0/0", "00000000000000000000000000000001"} {
		f.Add(s)
	}
	s := querytest.Filled(0)
	q := service(f, s, &querytest.Audit{}, nil)
	f.Fuzz(func(t *testing.T, line string) {
		s.Last = store.Filter{}
		_, err := q.ListFindings(as("lee"), connect.NewRequest(&querypb.ListFindingsRequest{Filter: &querypb.Filter{Lines: []string{line}}}))
		if err != nil {
			if c := connect.CodeOf(err); c != connect.CodeInvalidArgument && c != connect.CodePermissionDenied {
				t.Error(err)
			}
			return
		}
		for _, m := range s.Last.Lines {
			if bits := m.Prefix.Bits(); m.Name != "" || m.Prefix.Addr().Is4() && bits > 24 || bits > 48 || m.Prefix.Addr().Is4In6() && bits > 120 {
				t.Errorf("%q asks the store for %v", line, m)
			}
		}
	})
}
