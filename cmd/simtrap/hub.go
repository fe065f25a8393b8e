package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/cmd/internal/command"
	"simtrap/hub/export"
	"simtrap/report/querypb"
	"simtrap/report/querypb/querypbconnect"
	"simtrap/report/reportpb"
)

// newHub makes `simtrap hub` and what is below it.
func newHub(t command.Terminal) *cobra.Command {
	var to hubAccess
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "Ask the hub what many sensors have found",
		Long: `hub asks a simtrap-hub for findings, lines, boxes, rings, controllers, cards, sensors and
cases, and exports them.

Which hub is asked, and as whom, comes from simtrap hub login, or from flags or the
environment: SIMTRAP_HUB, SIMTRAP_HUB_CA, SIMTRAP_HUB_TOKEN.

Of a line's address the hub shows the network alone. --authority TEXT shows it whole, to
accounts that may; the hub writes down who asked for what, and under which authority.
Cards, numbers and accounts are pseudonyms always.`,
		Example: `  simtrap hub login https://hub.example:8443 --ca ca.pem --account lee
  simtrap hub rings --min-verdict review
  simtrap hub findings --since 2026-11-01 --ring 0123456789abcdef0123456789abcdef
  simtrap hub lines --json --limit 0 | head
  simtrap hub export rings --format stix -o rings.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return command.Usage(cmd, fmt.Errorf("unknown command %q; see simtrap hub --help", args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	s := cmd.PersistentFlags()
	s.SortFlags = false
	s.StringVar(&to.address, "hub", "", "`ADDRESS` of the hub, such as https://hub.example:8443")
	s.StringVar(&to.ca, "ca", "", "`FILE` with the certificates (PEM) that the hub's is to be signed by (default the system's)")
	s.StringVar(&to.token, "token", "", "`FILE` with the token of an account, readable for its owner alone")
	cmd.MarkPersistentFlagFilename("ca", "pem", "crt")
	cmd.MarkPersistentFlagFilename("token")
	cmd.AddCommand(newHubLogin(t, &to), newHubLogout(t, &to))
	for _, k := range hubKinds() {
		list := newHubList(t, &to, k)
		if k.kind == querypb.ExportKind_EXPORT_KIND_CASES {
			list.AddCommand(newHubOpen(t, &to), newHubChange(t, &to))
		}
		if k.kind == querypb.ExportKind_EXPORT_KIND_SENSORS {
			list.AddCommand(newHubEnroll(t, &to), newHubRevoke(&to))
		}
		cmd.AddCommand(list)
	}
	cmd.AddCommand(newHubOutcome(t, &to), newHubEvidence(t, &to), newHubExport(t, &to), newHubAudit(t, &to), newHubAccount(t, &to), newHubPolicy(t, &to), newHubDeclare(&to))
	return cmd
}

// hubKind is one kind of rows.
type hubKind struct {
	name, one, short string
	kind             querypb.ExportKind
	flags            string // of the filter, by first letters as in hubFilter.bind
	id               string // what is to be given for one
	clear            bool   // answers or filters may have addresses of lines
	list             func(context.Context, querypbconnect.QueryServiceClient, *querypb.Filter, *querypb.Page, string) ([]proto.Message, string, error)
	get              func(context.Context, querypbconnect.QueryServiceClient, string, string) (proto.Message, error)
}

// rows makes messages of a page of one type.
func rows[T proto.Message](list []T) []proto.Message {
	out := make([]proto.Message, len(list))
	for i, m := range list {
		out[i] = m
	}
	return out
}

// ask makes a call and gives the answer's message.
func ask[Q, A any](ctx context.Context, call func(context.Context, *connect.Request[Q]) (*connect.Response[A], error), q *Q) (*A, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	answer, err := call(ctx, connect.NewRequest(q))
	if err != nil {
		return new(A), err
	}
	return answer.Msg, nil
}

type hubClient = querypbconnect.QueryServiceClient

func hubKinds() []hubKind {
	return []hubKind{
		{
			name: "findings", one: "finding", short: "List what sensors found, or show one finding", id: "ID", clear: true,
			kind: querypb.ExportKind_EXPORT_KIND_FINDINGS, flags: "time verdict sensor line box ring case controller card vendor declared proof",
			list: func(ctx context.Context, c hubClient, f *querypb.Filter, p *querypb.Page, authority string) ([]proto.Message, string, error) {
				a, err := ask(ctx, c.ListFindings, &querypb.ListFindingsRequest{Filter: f, Page: p, Authority: authority})
				return rows(a.GetFindings()), a.GetNextPageToken(), err
			},
			get: func(ctx context.Context, c hubClient, id, authority string) (proto.Message, error) {
				a, err := ask(ctx, c.GetFinding, &querypb.GetFindingRequest{Id: id, Authority: authority})
				return a.GetFinding(), err
			},
		},
		{
			name: "lines", one: "line", short: "List lines, or show one", id: "ID", clear: true,
			kind: querypb.ExportKind_EXPORT_KIND_LINES, flags: "time verdict sensor line box ring case controller card",
			list: func(ctx context.Context, c hubClient, f *querypb.Filter, p *querypb.Page, authority string) ([]proto.Message, string, error) {
				a, err := ask(ctx, c.ListLines, &querypb.ListLinesRequest{Filter: f, Page: p, Authority: authority})
				return rows(a.GetLines()), a.GetNextPageToken(), err
			},
			get: func(ctx context.Context, c hubClient, id, authority string) (proto.Message, error) {
				a, err := ask(ctx, c.GetLine, &querypb.GetLineRequest{Id: id, Authority: authority})
				return a.GetLine(), err
			},
		},
		{
			name: "boxes", one: "box", short: "List boxes, each on all its lines, or show one", id: "ID", clear: true,
			kind: querypb.ExportKind_EXPORT_KIND_BOXES, flags: "time verdict sensor line box ring case controller card vendor",
			list: func(ctx context.Context, c hubClient, f *querypb.Filter, p *querypb.Page, authority string) ([]proto.Message, string, error) {
				a, err := ask(ctx, c.ListBoxes, &querypb.ListBoxesRequest{Filter: f, Page: p, Authority: authority})
				return rows(a.GetBoxes()), a.GetNextPageToken(), err
			},
			get: func(ctx context.Context, c hubClient, id, _ string) (proto.Message, error) {
				a, err := ask(ctx, c.GetBox, &querypb.GetBoxRequest{Id: id})
				return a.GetBox(), err
			},
		},
		{
			name: "rings", one: "ring", short: "List rings of boxes that one hand drives, or show one", id: "ID",
			kind: querypb.ExportKind_EXPORT_KIND_RINGS, flags: "time verdict sensor box ring case controller",
			list: func(ctx context.Context, c hubClient, f *querypb.Filter, p *querypb.Page, _ string) ([]proto.Message, string, error) {
				a, err := ask(ctx, c.ListRings, &querypb.ListRingsRequest{Filter: f, Page: p})
				return rows(a.GetRings()), a.GetNextPageToken(), err
			},
			get: func(ctx context.Context, c hubClient, id, _ string) (proto.Message, error) {
				a, err := ask(ctx, c.GetRing, &querypb.GetRingRequest{Id: id})
				return a.GetRing(), err
			},
		},
		{
			name: "controllers", one: "controller", short: "List far ends that lines depend on, or show one", id: "ADDRESS/ROLE",
			kind: querypb.ExportKind_EXPORT_KIND_CONTROLLERS, flags: "time controller ring",
			list: func(ctx context.Context, c hubClient, f *querypb.Filter, p *querypb.Page, _ string) ([]proto.Message, string, error) {
				a, err := ask(ctx, c.ListControllers, &querypb.ListControllersRequest{Filter: f, Page: p})
				return rows(a.GetControllers()), a.GetNextPageToken(), err
			},
			get: func(ctx context.Context, c hubClient, id, _ string) (proto.Message, error) {
				a, err := ask(ctx, c.GetController, &querypb.GetControllerRequest{Id: id})
				return a.GetController(), err
			},
		},
		{
			name: "cards", one: "card", short: "List SIM cards, or show one", id: "ID",
			kind: querypb.ExportKind_EXPORT_KIND_CARDS, flags: "time card",
			list: func(ctx context.Context, c hubClient, f *querypb.Filter, p *querypb.Page, _ string) ([]proto.Message, string, error) {
				a, err := ask(ctx, c.ListCards, &querypb.ListCardsRequest{Filter: f, Page: p})
				return rows(a.GetCards()), a.GetNextPageToken(), err
			},
			get: func(ctx context.Context, c hubClient, id, _ string) (proto.Message, error) {
				a, err := ask(ctx, c.GetCard, &querypb.GetCardRequest{Id: id})
				return a.GetCard(), err
			},
		},
		{
			name: "sensors", one: "sensor", short: "List sensors and how they do, or show one", id: "NAME",
			kind: querypb.ExportKind_EXPORT_KIND_SENSORS, flags: "time sensor",
			list: func(ctx context.Context, c hubClient, f *querypb.Filter, p *querypb.Page, _ string) ([]proto.Message, string, error) {
				a, err := ask(ctx, c.ListSensors, &querypb.ListSensorsRequest{Filter: f, Page: p})
				return rows(a.GetSensors()), a.GetNextPageToken(), err
			},
			get: func(ctx context.Context, c hubClient, id, _ string) (proto.Message, error) {
				a, err := ask(ctx, c.GetSensor, &querypb.GetSensorRequest{Id: id})
				return a.GetSensor(), err
			},
		},
		{
			name: "cases", one: "case", short: "List what people work on, or show one case", id: "ID",
			kind: querypb.ExportKind_EXPORT_KIND_CASES, flags: "time box ring case state",
			list: func(ctx context.Context, c hubClient, f *querypb.Filter, p *querypb.Page, _ string) ([]proto.Message, string, error) {
				a, err := ask(ctx, c.ListCases, &querypb.ListCasesRequest{Filter: f, Page: p})
				return rows(a.GetCases()), a.GetNextPageToken(), err
			},
			get: func(ctx context.Context, c hubClient, id, _ string) (proto.Message, error) {
				a, err := ask(ctx, c.GetCase, &querypb.GetCaseRequest{Id: id})
				return a.GetCase(), err
			},
		},
	}
}

// hubFilter is a filter as flags give it.
type hubFilter struct {
	since, until, verdict                                                        string
	sensors, lines, boxes, rings, cases, controllers, cards, vendors, caseStates []string
	declared, proof                                                              bool
	authority                                                                    string
}

// bind adds the flags that a kind of row has. A command without one refuses it as
// it does any unknown flag.
func (f *hubFilter) bind(cmd *cobra.Command, flags string, clear bool) {
	s := cmd.Flags()
	for _, name := range strings.Fields(flags) {
		switch name {
		case "time":
			s.StringVar(&f.since, "since", "", "only what was seen at `TIME` or after (2026-11-23, \"2026-11-23 10:00\", RFC 3339; UTC unless it says otherwise)")
			s.StringVar(&f.until, "until", "", "only what was seen before `TIME`")
		case "verdict":
			s.StringVar(&f.verdict, "min-verdict", "", "only at this `VERDICT` or above: watch, review or case")
			complete(cmd, "min-verdict", "watch", "review", "case")
		case "sensor":
			s.StringArrayVar(&f.sensors, "sensor", nil, "only of the sensor `NAME`; may be repeated")
		case "line":
			s.StringArrayVar(&f.lines, "line", nil, "only of `LINE`: an id, a prefix, or under --authority an address; may be repeated")
		case "box":
			s.StringArrayVar(&f.boxes, "box", nil, "only of the box `ID`; may be repeated")
		case "ring":
			s.StringArrayVar(&f.rings, "ring", nil, "only of the ring `ID`; may be repeated")
		case "case":
			s.StringArrayVar(&f.cases, "case", nil, "only of the case `ID`; may be repeated")
		case "controller":
			s.StringArrayVar(&f.controllers, "controller", nil, "only with the controller `ADDRESS` or prefix; may be repeated")
		case "card":
			s.StringArrayVar(&f.cards, "card", nil, "only with the card `PSEUDONYM` as it is shown; may be repeated")
		case "vendor":
			s.StringArrayVar(&f.vendors, "vendor", nil, "only devices of `VENDOR`; may be repeated")
		case "declared":
			s.BoolVar(&f.declared, "declared", false, "only declared gateways; with =false only others")
		case "proof":
			s.BoolVar(&f.proof, "proof", false, "only verdicts by proof; with =false only others")
		case "state":
			s.StringArrayVar(&f.caseStates, "state", nil, "only cases in `STATE`: open, handed-over or closed; may be repeated")
			complete(cmd, "state", "open", "handed-over", "closed")
		}
	}
	if clear {
		s.StringVar(&f.authority, "authority", "", "show and take addresses of lines whole under this authority, `TEXT` such as \"case 2026-114\"")
	}
}

// message checks the flags and makes the filter of them.
func (f *hubFilter) message(cmd *cobra.Command) (*querypb.Filter, error) {
	wrong := func(flag string, err error) error { return command.Usage(cmd, fmt.Errorf("--%s: %w", flag, err)) }
	m := &querypb.Filter{
		Sensors: f.sensors, Lines: f.lines, BoxIds: f.boxes, RingIds: f.rings, CaseIds: f.cases,
		Controllers: f.controllers, Cards: f.cards, Vendors: f.vendors,
	}
	for _, end := range []struct{ flag, text string }{{"since", f.since}, {"until", f.until}} {
		if !cmd.Flags().Changed(end.flag) {
			continue
		}
		ns, err := parseWhen(end.text)
		if err != nil {
			return nil, wrong(end.flag, err)
		}
		if m.Seen == nil {
			m.Seen = &querypb.TimeRange{}
		}
		at := timestamppb.New(time.Unix(0, ns))
		if end.flag == "since" {
			m.Seen.From = at
		} else {
			m.Seen.Until = at
		}
	}
	if s := m.GetSeen(); s.GetFrom() != nil && s.GetUntil() != nil && !s.GetFrom().AsTime().Before(s.GetUntil().AsTime()) {
		return nil, wrong("until", fmt.Errorf("%s is not after --since %s", f.until, f.since))
	}
	if cmd.Flags().Changed("min-verdict") {
		v, ok := map[string]reportpb.Verdict{"watch": reportpb.Verdict_VERDICT_WATCH, "review": reportpb.Verdict_VERDICT_REVIEW, "case": reportpb.Verdict_VERDICT_CASE}[f.verdict]
		if !ok {
			return nil, wrong("min-verdict", fmt.Errorf("%q: want watch, review or case", f.verdict))
		}
		m.MinVerdict = v
	}
	for _, text := range f.caseStates {
		state, err := caseState(text)
		if err != nil {
			return nil, wrong("state", err)
		}
		m.CaseStates = append(m.CaseStates, state)
	}
	if cmd.Flags().Changed("declared") {
		m.Declared = &f.declared
	}
	if cmd.Flags().Changed("proof") {
		m.Proof = &f.proof
	}
	if strings.TrimSpace(f.authority) == "" && cmd.Flags().Changed("authority") {
		return nil, wrong("authority", errors.New("an empty text names no authority"))
	}
	for _, list := range []struct {
		flag   string
		values []string
	}{
		{"sensor", f.sensors}, {"line", f.lines}, {"box", f.boxes}, {"ring", f.rings}, {"case", f.cases},
		{"controller", f.controllers}, {"card", f.cards}, {"vendor", f.vendors},
	} {
		if slices.Contains(list.values, "") {
			return nil, wrong(list.flag, errors.New("an empty text names none; leave the flag out for all"))
		}
	}
	return m, nil
}

func caseState(text string) (querypb.CaseState, error) {
	state, ok := map[string]querypb.CaseState{
		"open": querypb.CaseState_CASE_STATE_OPEN, "handed-over": querypb.CaseState_CASE_STATE_HANDED_OVER, "closed": querypb.CaseState_CASE_STATE_CLOSED,
	}[text]
	if !ok {
		return state, fmt.Errorf("%q: want open, handed-over or closed", text)
	}
	return state, nil
}

func newHubList(t command.Terminal, to *hubAccess, k hubKind) *cobra.Command {
	var f hubFilter
	var asJSON bool
	var limit int
	var after string
	cmd := &cobra.Command{
		Use:   k.name + " [flags] [" + k.id + "...]",
		Short: k.short,
		Long: k.name + ` lists what meets all flags, ` + order(k) + `; given ids, it shows each ` + k.one + ` in full.

With --json one object per line is printed, its fields as in simtrap.query.v1; the table
is for people and may change.

Exit status: 0 when the hub has answered; 1 when it has not, or has none of an id; 2 for
wrong usage.`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			m, err := f.message(cmd)
			if err != nil {
				return err
			}
			if limit < 0 {
				return command.Usage(cmd, fmt.Errorf("--limit: %d is below 0", limit))
			}
			out := hubPrinter{t: t, json: asJSON}
			if len(ids) > 0 {
				if name := setBeside(cmd, "json", "authority"); name != "" {
					return command.Usage(cmd, fmt.Errorf("--%s narrows a list: leave it or the ids out", name))
				}
			}
			c, err := to.client(cmd)
			if err != nil {
				return err
			}
			if len(ids) > 0 {
				return out.each(cmd.Context(), c, k, ids, f.authority)
			}
			return out.list(cmd.Context(), c, k, m, limit, after, f.authority)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	f.bind(cmd, k.flags, k.clear)
	s.BoolVar(&asJSON, "json", false, "print one JSON object per line")
	s.IntVar(&limit, "limit", 100, "at most `N` rows; 0 for all")
	s.StringVar(&after, "after", "", "go on behind a list that was cut, with the `TOKEN` that it named")
	return cmd
}

func order(k hubKind) string {
	if k.kind == querypb.ExportKind_EXPORT_KIND_SENSORS {
		return "by name"
	}
	return "newest first"
}

// setBeside names a flag of the command itself that was given and is not among
// those, or none.
func setBeside(cmd *cobra.Command, but ...string) (name string) {
	local := cmd.LocalNonPersistentFlags()
	for _, flag := range []string{
		"since", "until", "min-verdict", "sensor", "line", "box", "ring", "case", "controller", "card", "vendor",
		"declared", "proof", "state", "limit", "after",
	} {
		if f := local.Lookup(flag); f != nil && f.Changed && !slices.Contains(but, flag) {
			return flag
		}
	}
	return ""
}

// hubPrinter prints rows.
type hubPrinter struct {
	t    command.Terminal
	json bool
}

// each prints the rows of some ids, in full.
func (p hubPrinter) each(ctx context.Context, c hubClient, k hubKind, ids []string, authority string) error {
	width, _ := columns(p.t.Out)
	for i, id := range ids {
		row, err := k.get(ctx, c, id, authority)
		if err != nil {
			return hubError(fmt.Sprintf("%s %s: ", k.one, id), err)
		}
		if p.json {
			_, err = p.t.Out.Write(append(export.AppendRow(nil, row), '\n'))
		} else {
			if i > 0 {
				fmt.Fprintln(p.t.Out)
			}
			err = export.WriteRow(p.t.Out, row, width)
		}
		if err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
	}
	return nil
}

// pageRows is how many rows are asked for at once.
const pageRows = 500

// list prints up to limit rows, 0 for all. JSON is printed as it comes; a table is
// made of each page.
func (p hubPrinter) list(ctx context.Context, c hubClient, k hubKind, f *querypb.Filter, limit int, token, authority string) error {
	width, isTerminal := columns(p.t.Out)
	if !isTerminal {
		width = 0
	}
	out := bufio.NewWriter(p.t.Out)
	n := 0
	for {
		size := pageRows
		if limit > 0 {
			size = min(size, limit-n)
		}
		page, next, err := k.list(ctx, c, f, &querypb.Page{Size: uint32(size), Token: token}, authority)
		if err != nil {
			return hubError("", errors.Join(err, out.Flush()))
		}
		n += len(page)
		if p.json {
			for _, row := range page {
				out.Write(append(export.AppendRow(nil, row), '\n'))
			}
		} else if err := export.WriteTable(out, page, width); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		token = next
		if token == "" || limit > 0 && n >= limit {
			break
		}
	}
	switch {
	case n == 0:
		p.t.Say("no " + k.one + " meets these flags")
	case token != "":
		p.t.Say("there are more: --limit 0 for all, or --after " + token)
	}
	return nil
}

func newHubExport(t command.Terminal, to *hubAccess) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write rows of the hub as JSON Lines, CSV or STIX 2.1",
		Long: `export writes all rows that meet its flags. Findings as JSON Lines are what the sensor
itself would have printed. In CSV texts that a spreadsheet would take for a formula have
an apostrophe before them. feedback is what people found out about findings, for
calibration: without addresses, identities or texts.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return command.Usage(cmd, fmt.Errorf("nothing to export is called %q; see simtrap hub export --help", args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	kinds := append(hubKinds(), hubKind{name: "feedback", one: "outcome", kind: querypb.ExportKind_EXPORT_KIND_FEEDBACK})
	for _, k := range kinds {
		cmd.AddCommand(newHubExportOf(t, to, k))
	}
	return cmd
}

func newHubExportOf(t command.Terminal, to *hubAccess, k hubKind) *cobra.Command {
	var f hubFilter
	format, file := "jsonl", ""
	formats := map[string]querypb.ExportFormat{
		"jsonl": querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES,
		"csv":   querypb.ExportFormat_EXPORT_FORMAT_CSV,
		"stix":  querypb.ExportFormat_EXPORT_FORMAT_STIX,
	}
	cmd := &cobra.Command{
		Use:   k.name + " [flags]",
		Short: "Export " + k.name,
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := f.message(cmd)
			if err != nil {
				return err
			}
			as, ok := formats[format]
			if !ok {
				return command.Usage(cmd, fmt.Errorf("--format: %q: want jsonl, csv or stix", format))
			}
			if file == "" && cmd.Flags().Changed("output") {
				return command.Usage(cmd, errors.New("--output: an empty text names no file"))
			}
			c, err := to.client(cmd)
			if err != nil {
				return err
			}
			request := &querypb.ExportRequest{Kind: k.kind, Filter: m, Format: as, Authority: f.authority}
			if file == "" || file == "-" {
				return fetch(cmd.Context(), c, request, t.Out)
			}
			return writeFile(file, func(w io.Writer) error { return fetch(cmd.Context(), c, request, w) })
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	if k.kind != querypb.ExportKind_EXPORT_KIND_FEEDBACK {
		f.bind(cmd, k.flags, k.clear)
		s.StringVar(&format, "format", format, "`FORMAT` of the file: jsonl, csv or stix")
		complete(cmd, "format", "jsonl", "csv", "stix")
	}
	s.StringVarP(&file, "output", "o", "", "`FILE` to write, whole or not at all (default standard output)")
	return cmd
}

// fetch writes an export as it comes.
func fetch(ctx context.Context, c hubClient, q *querypb.ExportRequest, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Export(ctx, connect.NewRequest(q))
	if err != nil {
		return hubError("", err)
	}
	defer stream.Close()
	for stream.Receive() {
		if _, err := w.Write(stream.Msg().GetData()); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil {
		return hubError("the export is not whole: ", err)
	}
	return nil
}

// hubError says what a hub answered in its own words, and what helps.
func hubError(before string, err error) error {
	answer, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err
	}
	after := ""
	switch answer.Code() {
	case connect.CodeUnauthenticated:
		after = "; simtrap hub login gets a token"
	case connect.CodeCanceled:
		return errors.New("interrupted")
	case connect.CodeDeadlineExceeded:
		return errors.New(before + "the hub did not answer in time")
	case connect.CodeUnimplemented:
		return errors.New(before + "what answers there is no simtrap-hub, or an older one")
	}
	if _, is := errors.AsType[*os.PathError](err); is {
		return err
	}
	return errors.New(before + answer.Message() + after)
}
