package query_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/hub/store/storetest"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

var server storetest.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// onBoth runs a test on SQLite and, where it is installed, on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, s *store.Store)) {
	open := func(t *testing.T, o store.Options) *store.Store {
		o.HubKey = querytest.Key()
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, store.Options{Folder: t.TempDir()})) })
	t.Run("postgres", func(t *testing.T) {
		test(t, open(t, store.Options{URL: server.URL(t)}))
	})
}

// TestStored asks about what was ingested and linked: every filter finds what it
// should and nothing else.
func TestStored(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		ids, err := querytest.Fill(t.Context(), s, 40, nil)
		if err != nil {
			t.Fatal(err)
		}
		q := service(t, s, &querytest.Audit{}, nil)
		ctx := as("lee")
		first, err := q.GetFinding(ctx, connect.NewRequest(&querypb.GetFindingRequest{Id: ids[0].String()}))
		if err != nil {
			t.Fatal(err)
		}
		f := first.Msg.GetFinding()
		if f.GetFinding().GetLine() != "203.0.113.0/24" || f.GetSensor() != "north" || f.GetBoxId() != querytest.ID(11).String() || f.GetRingId() != querytest.ID(21).String() || f.GetOutcome() != querypb.Outcome_OUTCOME_CONFIRMED {
			t.Errorf("%v", f)
		}
		imsi := f.GetFinding().GetCards()[0].GetImsi()
		if !strings.HasPrefix(imsi, "46000~") || imsi == "46000~9f3ac21b66d0e417" {
			t.Errorf("card %s is not keyed anew", imsi)
		}
		lines, err := q.ListLines(ctx, connect.NewRequest(&querypb.ListLinesRequest{Filter: &querypb.Filter{BoxIds: []string{querytest.ID(11).String()}}}))
		if err != nil || len(lines.Msg.GetLines()) != 2 {
			t.Fatalf("lines of a box: %v, %v", lines, err)
		}
		line := lines.Msg.GetLines()[0].GetId()
		at := querytest.Day()
		for name, test := range map[string]struct {
			filter    *querypb.Filter
			authority string
			want      int
		}{
			"all":          {nil, "", 43},
			"review":       {&querypb.Filter{MinVerdict: reportpb.Verdict_VERDICT_REVIEW}, "", 3},
			"case":         {&querypb.Filter{MinVerdict: reportpb.Verdict_VERDICT_CASE}, "", 1},
			"proof":        {&querypb.Filter{Proof: proto.Bool(true)}, "", 1},
			"no proof":     {&querypb.Filter{Proof: proto.Bool(false)}, "", 42},
			"declared":     {&querypb.Filter{Declared: proto.Bool(true)}, "", 0},
			"sensor":       {&querypb.Filter{Sensors: []string{"north"}}, "", 43},
			"other":        {&querypb.Filter{Sensors: []string{"south"}}, "", 0},
			"network":      {&querypb.Filter{Lines: []string{"100.64.0.0/10"}}, "", 40},
			"both":         {&querypb.Filter{Lines: []string{"203.0.113.0/24", "10.1.0.0/16"}}, "", 2},
			"network of 6": {&querypb.Filter{Lines: []string{"2001:db8:1::/48"}}, "", 1},
			"address":      {&querypb.Filter{Lines: []string{"203.0.113.7"}}, "case 1", 1},
			"neighbour":    {&querypb.Filter{Lines: []string{"203.0.113.8"}}, "case 1", 0},
			"name":         {&querypb.Filter{Lines: []string{"realm-a/10.1.2.3"}}, "case 1", 1},
			"line":         {&querypb.Filter{Lines: []string{line}}, "", 1},
			"box":          {&querypb.Filter{BoxIds: []string{querytest.ID(11).String()}}, "", 2},
			"ring":         {&querypb.Filter{RingIds: []string{querytest.ID(21).String()}}, "", 3},
			"ring and box": {&querypb.Filter{RingIds: []string{querytest.ID(21).String()}, BoxIds: []string{querytest.ID(12).String()}}, "", 1},
			"case's":       {&querypb.Filter{CaseIds: []string{querytest.ID(41).String()}}, "", 3},
			"controller":   {&querypb.Filter{Controllers: []string{"198.51.100.0/24"}, MinVerdict: reportpb.Verdict_VERDICT_REVIEW}, "", 3},
			"card":         {&querypb.Filter{Cards: []string{imsi}, MinVerdict: reportpb.Verdict_VERDICT_REVIEW}, "", 3},
			"vendor":       {&querypb.Filter{Vendors: []string{"Hybertone"}}, "", 43},
			"before":       {&querypb.Filter{Seen: &querypb.TimeRange{Until: timestamppb.New(at)}}, "", 0},
			"after":        {&querypb.Filter{Seen: &querypb.TimeRange{From: timestamppb.New(at.Add(3 * time.Hour))}}, "", 0},
			"during":       {&querypb.Filter{Seen: &querypb.TimeRange{From: timestamppb.New(at.Add(time.Hour)), Until: timestamppb.New(at.Add(90 * time.Minute))}}, "", 43},
		} {
			var got []string
			token := ""
			for {
				a, err := q.ListFindings(ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: test.filter, Authority: test.authority, Page: &querypb.Page{Size: 7, Token: token}}))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, f := range a.Msg.GetFindings() {
					got = append(got, f.GetId())
				}
				if token = a.Msg.GetNextPageToken(); token == "" {
					break
				}
			}
			if len(got) != test.want || len(slices.Compact(slices.Sorted(slices.Values(got)))) != test.want {
				t.Errorf("%s: %d findings, want %d", name, len(got), test.want)
			}
		}
		box, err := q.GetBox(ctx, connect.NewRequest(&querypb.GetBoxRequest{Id: querytest.ID(11).String()}))
		if err != nil {
			t.Fatal(err)
		}
		if b := box.Msg.GetBox(); len(b.GetLinks()) != 1 || len(b.GetLineIds()) != 2 || !slices.Contains(b.GetLineIds(), b.GetLinks()[0].GetFrom()) || !slices.Contains(b.GetLineIds(), line) {
			t.Errorf("%v", b)
		}
		for kind, n := range map[querypb.ExportKind]int{2: 43, 3: 2, 4: 1, 5: 1, 6: 1, 7: 2, 8: 1, 9: 2} {
			var file bytes.Buffer
			if err := q.ExportTo(ctx, &querypb.ExportRequest{Kind: kind, Format: querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES}, func(b []byte) error { file.Write(b); return nil }); err != nil {
				t.Errorf("%v: %v", kind, err)
				continue
			}
			if got := bytes.Count(file.Bytes(), []byte("\n")); got != n {
				t.Errorf("%v: %d rows, want %d: %s", kind, got, n, file.Bytes())
			}
			for _, secret := range []string{"203.0.113.7", "10.1.2.3", "2001:db8:1:2", "9f3ac21b66d0e417", "0123456789abcdef"} {
				if bytes.Contains(file.Bytes(), []byte(secret)) {
					t.Errorf("%v: %s is shown", kind, secret)
				}
			}
		}
		for name, err := range map[string]error{
			"finding": second(q.GetFinding(ctx, connect.NewRequest(&querypb.GetFindingRequest{Id: querytest.ID(77).String()}))),
			"line":    second(q.GetLine(ctx, connect.NewRequest(&querypb.GetLineRequest{Id: querytest.ID(77).String()}))),
			"box":     second(q.GetBox(ctx, connect.NewRequest(&querypb.GetBoxRequest{Id: querytest.ID(77).String()}))),
			"ring":    second(q.GetRing(ctx, connect.NewRequest(&querypb.GetRingRequest{Id: querytest.ID(77).String()}))),
			"card":    second(q.GetCard(ctx, connect.NewRequest(&querypb.GetCardRequest{Id: querytest.ID(77).String()}))),
			"case":    second(q.GetCase(ctx, connect.NewRequest(&querypb.GetCaseRequest{Id: querytest.ID(77).String()}))),
			"sensor":  second(q.GetSensor(ctx, connect.NewRequest(&querypb.GetSensorRequest{Id: "west"}))),
			"control": second(q.GetController(ctx, connect.NewRequest(&querypb.GetControllerRequest{Id: "192.0.2.1/media"}))),
		} {
			wantCode(t, "no such "+name, err, connect.CodeNotFound)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestStoredInjection sends hostile text in every field that a stranger controls
// the whole way: through a sensor's report into the store and out again.
func TestStoredInjection(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		const evil = "=1+1;\"@x\"\x1b[2J\u202e\r\n\t</script>\u2028,=2"
		if _, err := querytest.Fill(t.Context(), s, 3, func(f *reportpb.Finding) {
			f.Nearest, f.Device.Vendor, f.Device.Model = evil, evil, evil
			for _, c := range f.Controllers {
				c.Role = evil
			}
			for _, g := range f.Signals {
				g.Id, g.Family, g.Against, g.Detail = evil, evil, evil, evil
			}
			f.Unseen = []string{evil}
			f.Cards = append(f.Cards, &reportpb.Card{Imsi: evil, Imei: evil, Iccid: evil, Msisdn: evil})
			f.Links.Accounts, f.Links.Contact, f.Links.Cname, f.Links.Stack, f.Subscriber, f.Authority = []string{evil}, evil, evil, evil, evil, evil
		}); err != nil {
			t.Fatal(err)
		}
		q := service(t, s, &querytest.Audit{}, nil)
		for kind := querypb.ExportKind_EXPORT_KIND_FINDINGS; kind <= querypb.ExportKind_EXPORT_KIND_CASES; kind++ {
			for format := querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES; format <= querypb.ExportFormat_EXPORT_FORMAT_STIX; format++ {
				var file bytes.Buffer
				if err := q.ExportTo(as("kim"), &querypb.ExportRequest{Kind: kind, Format: format}, func(b []byte) error { file.Write(b); return nil }); err != nil {
					t.Errorf("%v as %v: %v", kind, format, err)
					continue
				}
				text := file.String()
				if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\r' && !unicode.IsPrint(r) }) {
					t.Errorf("%v as %v has what moves a terminal: %q", kind, format, text)
				}
				switch format {
				case querypb.ExportFormat_EXPORT_FORMAT_CSV:
					cells, err := csv.NewReader(&file).ReadAll()
					if err != nil || len(cells) < 2 {
						t.Errorf("%v: %d rows, %v", kind, len(cells), err)
					}
					for _, line := range cells {
						for _, cell := range line {
							if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) || strings.Contains(cell, ";=") || strings.Contains(cell, ",=") {
								t.Errorf("%v: a formula: %q", kind, cell)
							}
						}
					}
				case querypb.ExportFormat_EXPORT_FORMAT_STIX:
					if !json.Valid([]byte(text)) {
						t.Errorf("%v: no JSON", kind)
					}
				default:
					for line := range strings.Lines(text) {
						if !json.Valid([]byte(line)) {
							t.Errorf("%v: no JSON: %s", kind, line)
						}
					}
				}
			}
		}
		// What somebody claims to be an authority is none.
		var file bytes.Buffer
		if err := q.ExportTo(as("kim"), &querypb.ExportRequest{Kind: 1, Format: 1}, func(b []byte) error { file.Write(b); return nil }); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(file.String(), `"authority"`) {
			t.Error("a sensor's claim of an authority is shown as the hub's")
		}
	})
}

// many is how many findings BenchmarkLists stores.
var many = flag.Int("findings", 20_000, "findings that BenchmarkLists stores")

// BenchmarkLists measures what a person waits for.
func BenchmarkLists(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Folder: b.TempDir(), HubKey: querytest.Key()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := querytest.Fill(b.Context(), s, *many, nil); err != nil {
		b.Fatal(err)
	}
	q := service(b, s, &querytest.Audit{}, nil)
	ctx := as("lee")
	findings := func(f *querypb.Filter, authority string) func() error {
		return func() error {
			_, err := q.ListFindings(ctx, connect.NewRequest(&querypb.ListFindingsRequest{Filter: f, Authority: authority}))
			return err
		}
	}
	for name, ask := range map[string]func() error{
		"findings": findings(nil, ""),
		"case":     findings(&querypb.Filter{MinVerdict: reportpb.Verdict_VERDICT_CASE}, ""),
		"address":  findings(&querypb.Filter{Lines: []string{"100.64.16.1"}}, "case 1"),
		"ring":     findings(&querypb.Filter{RingIds: []string{querytest.ID(21).String()}}, ""),
		"lines": func() error {
			_, err := q.ListLines(ctx, connect.NewRequest(&querypb.ListLinesRequest{}))
			return err
		},
		"boxes": func() error {
			_, err := q.ListBoxes(ctx, connect.NewRequest(&querypb.ListBoxesRequest{}))
			return err
		},
		"controllers": func() error {
			_, err := q.ListControllers(ctx, connect.NewRequest(&querypb.ListControllersRequest{}))
			return err
		},
		"export 1000 as JSON Lines": func() error {
			n := 0
			err := q.ExportTo(ctx, &querypb.ExportRequest{Kind: 1, Format: 1}, func(p []byte) error {
				if n += len(p); n > 2_000_000 {
					return context.Canceled
				}
				return nil
			})
			if n > 2_000_000 {
				return nil
			}
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
