package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones of records on machines that have none

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/capture"
	"simtrap/cmd/internal/command"
	"simtrap/dissect"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/match"
	"simtrap/pipeline"
	"simtrap/report"
	"simtrap/report/reportpb"
)

// matchFlags are the flags as given.
type matchFlags struct {
	calls, mapping  string
	columns         match.Mapping
	header          bool
	from, save, cut string
	lines           []string
	all             bool
	tolerance       time.Duration
	json, quiet     bool
	verbose, force  bool
	homes, realms   []string
	since, until    string
	numbering       string
	authority, key  string
	workers         int
	given           func(flag string) bool
}

func newMatch(t command.Terminal) *cobra.Command {
	var f matchFlags
	cmd := &cobra.Command{
		Use:   "match --calls FILE [flags] CAPTURE|FOLDER...",
		Short: "Name the SIM cards behind suspect lines, by an operator's call records",
		Long: `match joins the answered calls of suspect lines with an operator's call records and
names the cards that are behind them: those whose calls begin and end with the line's
more often than accident allows. It needs times alone, so it works where calls are
encrypted and nothing but voice was seen.

The records are a file of comma-separated values (plain, or packed with gzip or zstd),
read three times. Which column is what is told by --mapping FILE (YAML or JSON with the
names of the flags below) or by flags, which go before it; a column is named as in the
first row, or by its number from 1. Of times, the answer and the end or the duration are
needed; a start without an answer is taken for the answer.

The lines are those of the captures that reach watch, or those of --line, or with --all
every one. --from takes calls that --save wrote before in place of captures.

A card is named when its e-value, after all cards, lines and clock offsets that were
searched, is 100 or more: a run in which no box's card is in the records names one at most
once in a hundred times. docs/match.md explains it, and what it cannot see.

Exit status: 0 when everything was read to its end, whether or not a card was named; 3
when rows of the records could not be read, or a capture was damaged, and the rest was
matched; 1 for anything that prevented the work; 2 for wrong usage.`,
		Example: `  simtrap match --calls cdr.csv --mapping cdr.yaml --csv cut.csv captures/
  simtrap match --calls cdr.csv --card imsi --answer answer_time --duration seconds \
      --zone Asia/Shanghai --clock-error 30s --line 203.0.113.7 capture.pcap
  simtrap match --calls cdr.csv --mapping cdr.yaml --save calls.jsonl capture.pcap
  simtrap match --calls other.csv.gz --mapping other.yaml --from calls.jsonl --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.calls == "":
				return command.Usage(cmd, errors.New("no call records: name their file with --calls"))
			case len(args) == 0 && f.from == "":
				return command.Usage(cmd, errors.New("no input: name a capture file or a folder, or calls with --from"))
			case len(args) > 0 && f.from != "":
				return command.Usage(cmd, errors.New("--from takes the place of captures: give one of them"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.given = cmd.Flags().Changed
			m, err := f.parse(cmd, t)
			if err != nil {
				return err
			}
			return m.run(cmd.Context(), args)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	c := &f.columns
	s.StringVar(&f.calls, "calls", "", "the call records, a `FILE` of comma-separated values")
	s.StringVar(&f.mapping, "mapping", "", "which column is what, a `FILE` of YAML or JSON")
	s.StringVar(&c.Card, "card", "", "`COLUMN` of the card's identity")
	s.StringVar(&c.Kind, "kind", "", "what that is, `imsi|iccid|msisdn` (default: as the column's name says)")
	s.StringVar(&c.Answer, "answer", "", "`COLUMN` of the time of the answer")
	s.StringVar(&c.Start, "start", "", "`COLUMN` of the time when the call was asked for")
	s.StringVar(&c.End, "end", "", "`COLUMN` of the time of the end")
	s.StringVar(&c.Duration, "duration", "", "`COLUMN` of the time from answer to end")
	s.StringVar(&c.Direction, "direction", "", "`COLUMN` that says whether the card calls or is called")
	s.StringSliceVar(&c.Outgoing, "outgoing", nil, "`WORD,...` in it for a card that calls (default mo,moc,out,outgoing,originating)")
	s.StringSliceVar(&c.Incoming, "incoming", nil, "`WORD,...` in it for a card that is called (default mt,mtc,in,incoming,terminating)")
	s.StringVar(&c.Called, "called", "", "`COLUMN` of the number called: without it regular callers of a line look like its cards")
	s.StringVar(&c.Calling, "calling", "", "`COLUMN` of the number calling")
	s.StringVar(&c.Cell, "cell", "", "`COLUMN` of where the card was")
	s.StringVar(&c.Time, "time", "", "how times are written: rfc3339, unix, unixms, or a `PATTERN` such as \"DD.MM.YYYY hh:mm:ss\"")
	s.StringVar(&c.Zone, "zone", "", "`ZONE` of times that name none, such as Asia/Shanghai or +08:00 (default UTC)")
	s.StringVar(&c.Unit, "unit", "", "unit of durations that are numbers, `s|ms|min` (default s)")
	s.BoolVar(&f.header, "header", false, "the first row has names (default: where a column is named)")
	s.StringVar(&c.Separator, "separator", "", "what separates columns, one `CHARACTER` or tab (default: the likeliest)")
	s.StringVar(&c.TimeStep, "time-step", "", "how coarse times are, such as `1m` (default: as the first rows show)")
	s.StringVar(&c.DurationStep, "duration-step", "", "how coarse durations are, such as `1m` (default: as the first rows show)")
	s.StringVar(&c.ClockError, "clock-error", "", "by how much the records' clock may be off, `TIME` up to 10m (default 10s)")
	s.DurationVar(&f.tolerance, "tolerance", 2*time.Second, "by how much two times of one call may differ besides, `TIME`")
	s.StringVar(&f.from, "from", "", "take calls from `FILE`, which --save wrote, in place of captures")
	s.StringVar(&f.save, "save", "", "write the lines' calls to `FILE`, JSON Lines with pseudonyms")
	s.StringVar(&f.cut, "csv", "", "write the cards to cut with the reasons to `FILE`")
	s.BoolVar(&f.force, "force", false, "let --save and --csv replace files that are there")
	s.BoolVar(&f.json, "json", false, "print one JSON object per line of output and card")
	s.StringArrayVar(&f.lines, "line", nil, "only lines in `PREFIX,...`, whatever their verdict; may be repeated")
	s.BoolVar(&f.all, "all", false, "take the lines below watch as well")
	s.StringArrayVar(&f.homes, "home", nil, "addresses of subscribers: `PREFIX,...`; may be repeated")
	s.StringArrayVar(&f.realms, "realm", nil, "spaces of inner addresses: `NAME[=SELECTOR]`; may be repeated")
	s.StringVar(&f.since, "since", "", "leave out frames before `TIME` (2026-11-23, \"2026-11-23 10:00\", RFC 3339; UTC unless it says otherwise)")
	s.StringVar(&f.until, "until", "", "leave out frames at `TIME` and after")
	s.StringVar(&f.numbering, "numbering", "cn", numberingUsage)
	s.StringVar(&f.authority, "authority", "", "write identities in clear under this authority, `TEXT` such as \"case 2026-114\"")
	s.StringVar(&f.key, "key", "", "`FILE` of the pseudonym key, made if it is not there (default simtrap/key in the user's configuration folder)")
	s.IntVar(&f.workers, "workers", 0, "decoders at work at once, `N`; 0 for one per processor. The output is the same for any number")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no summary")
	s.BoolVarP(&f.verbose, "verbose", "v", false, "log what is done")
	complete(cmd, "kind", match.IMSI, match.ICCID, match.MSISDN)
	complete(cmd, "unit", "s", "ms", "min")
	complete(cmd, "numbering", numberingNames()...)
	cmd.MarkFlagFilename("calls", "csv", "gz", "zst")
	cmd.MarkFlagFilename("mapping", "yaml", "yml", "json")
	cmd.MarkFlagFilename("from", "jsonl")
	cmd.MarkFlagFilename("save", "jsonl")
	cmd.MarkFlagFilename("csv", "csv")
	return cmd
}

// matching is one run, checked.
type matching struct {
	t       command.Terminal
	flags   matchFlags
	format  *match.Format
	lines   []netip.Prefix
	config  pipeline.Config
	capture capture.Options
	plan    *ident.Plan
	names   match.Names
	// hidden writes pseudonyms whatever the authority: calls are kept and compared
	// in no other form.
	hidden report.Options
	status int
}

// parse checks the flags. Everything wrong with them is wrong usage, except for
// what lies in files.
func (f *matchFlags) parse(cmd *cobra.Command, t command.Terminal) (*matching, error) {
	wrong := func(flag string, err error) error {
		return command.Usage(cmd, fmt.Errorf("--%s: %w", flag, err))
	}
	m := &matching{t: t, flags: *f}
	for flag, value := range map[string]string{"calls": f.calls, "mapping": f.mapping, "from": f.from, "save": f.save, "csv": f.cut, "key": f.key} {
		if value == "" && f.given(flag) {
			return nil, wrong(flag, errors.New("an empty text names no file"))
		}
	}
	if f.calls == "-" {
		return nil, wrong("calls", errors.New("the records are read more than once, and standard input can be read once only: save them to a file first"))
	}
	if f.force && f.save == "" && f.cut == "" {
		return nil, wrong("force", errors.New("it is about --save and --csv, of which neither was given"))
	}
	if f.tolerance < 100*time.Millisecond || f.tolerance > 30*time.Second {
		return nil, wrong("tolerance", fmt.Errorf("%v: want 100ms to 30s", f.tolerance))
	}
	if strings.TrimSpace(f.authority) == "" && f.given("authority") {
		return nil, wrong("authority", errors.New("an empty text names no authority"))
	}
	if f.workers < 0 {
		return nil, wrong("workers", fmt.Errorf("%d is below 0", f.workers))
	}
	for _, list := range f.lines {
		for _, s := range strings.Split(list, ",") {
			p, err := dissect.ParseLine(s)
			if err != nil {
				return nil, wrong("line", err)
			}
			m.lines = append(m.lines, p)
		}
	}
	var err error
	if m.config.Homes, err = ident.ParseHomes(f.homes, 0); err != nil {
		return nil, wrong("home", err)
	}
	if m.config.Realms, err = pipeline.ParseRealms(f.realms); err != nil {
		return nil, wrong("realm", err)
	}
	if f.numbering == "" {
		return nil, wrong("numbering", errors.New("an empty text names no plan: want the two letters of a country such as cn, or generic"))
	}
	if m.plan, err = ident.ParsePlan(f.numbering); err != nil {
		return nil, wrong("numbering", err)
	}
	m.config.Plan, m.config.Workers, m.config.Log = m.plan, f.workers, newLog(t, f.verbose)
	m.config.Ledgers = heuristics.Case + 1 // nobody reads them
	if m.capture, err = span(cmd, f.since, f.until); err != nil {
		return nil, err
	}
	if err := m.mapping(wrong); err != nil {
		return nil, err
	}
	for _, path := range []string{f.save, f.cut} {
		if _, err := os.Lstat(path); path != "" && err == nil && !f.force {
			return nil, fmt.Errorf("%s is there: name another file, or replace it with --force", path)
		}
	}
	key, err := pseudonymKey(t, f.key)
	if err != nil {
		return nil, err
	}
	m.hidden = report.Options{Names: ident.NewPseudonymizer(key, ""), Realm: m.config.Realms.Name}
	shown := ident.NewPseudonymizer(key, f.authority)
	width, _ := columns(t.Out)
	m.names = match.Names{
		Kind: m.format.Kind, Authority: f.authority, Width: width,
		Card:   func(s string) string { return m.card(shown, s) },
		MSISDN: func(s string) string { return m.number(shown, ident.NewNumber([]byte(s))) },
	}
	return m, nil
}

// mapping puts the flags over the mapping file, and checks both.
func (m *matching) mapping(wrong func(string, error) error) error {
	f := &m.flags
	var all match.Mapping
	if f.mapping != "" {
		file, err := os.Open(f.mapping)
		if err != nil {
			return fmt.Errorf("--mapping: %w", err)
		}
		defer file.Close()
		if all, err = match.ReadMapping(file); err != nil {
			return fmt.Errorf("--mapping: %s: %w", f.mapping, err)
		}
	}
	c := &f.columns
	for flag, x := range map[string]struct{ from, to *string }{
		"card": {&c.Card, &all.Card}, "kind": {&c.Kind, &all.Kind}, "answer": {&c.Answer, &all.Answer}, "start": {&c.Start, &all.Start},
		"end": {&c.End, &all.End}, "duration": {&c.Duration, &all.Duration}, "direction": {&c.Direction, &all.Direction},
		"called": {&c.Called, &all.Called}, "calling": {&c.Calling, &all.Calling}, "cell": {&c.Cell, &all.Cell},
		"time": {&c.Time, &all.Time}, "zone": {&c.Zone, &all.Zone}, "unit": {&c.Unit, &all.Unit}, "separator": {&c.Separator, &all.Separator},
		"time-step": {&c.TimeStep, &all.TimeStep}, "duration-step": {&c.DurationStep, &all.DurationStep}, "clock-error": {&c.ClockError, &all.ClockError},
	} {
		if f.given(flag) {
			*x.to = *x.from
		}
	}
	if f.given("outgoing") {
		all.Outgoing = c.Outgoing
	}
	if f.given("incoming") {
		all.Incoming = c.Incoming
	}
	if f.given("header") {
		all.Header = &f.header
	}
	var err error
	if m.format, err = all.Format(); err != nil {
		if bad, ok := errors.AsType[*match.MappingError](err); ok && (f.mapping == "" || f.given(bad.Field)) {
			return wrong(bad.Field, bad.Err)
		}
		return fmt.Errorf("--mapping: %s: %w", f.mapping, err)
	}
	return nil
}

// card names a card's identity.
func (m *matching) card(names *ident.Pseudonymizer, s string) string {
	b := []byte(s)
	switch m.format.Kind {
	case match.IMSI:
		if i, ok := ident.NewIMSI(b); ok {
			return names.IMSI(i)
		}
	case match.ICCID:
		if i, ok := ident.NewICCID(b); ok {
			return names.ICCID(i)
		}
	default:
		return m.number(names, ident.NewNumber(b))
	}
	if names.Authority() != "" {
		return s
	}
	return names.Text(m.format.Kind, s)
}

// number names a number, in the form that does not depend on how it was dialled.
func (m *matching) number(names *ident.Pseudonymizer, n ident.Number) string {
	if n.IsZero() {
		return ""
	}
	return names.Number(numberClass(m.plan)(n), m.plan.Normal(n))
}

// run finds the lines' calls and then the cards that go with them.
func (m *matching) run(ctx context.Context, paths []string) error {
	// What is wrong with the records is told before captures are read.
	size, sample, err := m.inspect()
	if err != nil {
		return err
	}
	calls, from, to, err := m.lineCalls(ctx, paths)
	if err != nil {
		return err
	}
	if m.flags.save != "" {
		if err := writeFile(m.flags.save, func(w io.Writer) error { return match.WriteCalls(w, calls) }); err != nil {
			return fmt.Errorf("--save: %w", err)
		}
	}
	search, err := match.NewSearch(match.NewLines(calls, from, to), match.Options{
		Tolerance: m.flags.tolerance, ClockError: m.format.ClockError, Coarseness: sample.TimeStep, Rows: size / sample.RowBytes,
		Number: func(s string) string { return m.number(m.hidden.Names, ident.NewNumber([]byte(s))) },
	})
	if err != nil {
		return fmt.Errorf("--clock-error: %w", err)
	}
	if _, err := m.read(ctx, search.First, "first reading of the records: "); err != nil {
		return err
	}
	counters, err := m.read(ctx, search.Second, "second reading: ")
	if err != nil {
		return err
	}
	result, err := search.Result(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.flags.calls, err)
	}
	return m.write(result, counters)
}

// inspect looks at the first rows.
func (m *matching) inspect() (size int64, s match.Sample, err error) {
	in, err := openRecords(m.flags.calls)
	if err != nil {
		return 0, s, fmt.Errorf("--calls: %w", err)
	}
	defer in.Close()
	if s, err = match.Inspect(in, m.format); err != nil {
		return 0, s, m.recordsError(err)
	}
	return in.unpacked(), s, nil
}

// recordsError tells where a mapping does not fit.
func (m *matching) recordsError(err error) error {
	if bad, ok := errors.AsType[*match.MappingError](err); ok {
		return fmt.Errorf("%s: --%s: %w", m.flags.calls, bad.Field, bad.Err)
	}
	return fmt.Errorf("%s: %w", m.flags.calls, err)
}

// read gives every record to take.
func (m *matching) read(ctx context.Context, take func(*match.Record), pass string) (*match.Counters, error) {
	in, err := openRecords(m.flags.calls)
	if err != nil {
		return nil, fmt.Errorf("--calls: %w", err)
	}
	defer in.Close()
	r := match.NewReader(in, m.format)
	if _, ok := columns(m.t.Err); ok && !m.flags.quiet {
		stop := showProgress(m.t.Err, in.progress, in.rows.Load, "records", pass)
		defer stop()
	}
	var rec match.Record
	for n := uint64(1); ; n++ {
		err := r.Next(&rec)
		if errors.Is(err, io.EOF) {
			return &r.Counters, nil
		}
		if err != nil {
			return nil, m.recordsError(err)
		}
		take(&rec)
		if n%4096 == 0 {
			in.rows.Store(n)
			if ctx.Err() != nil {
				return nil, errors.New("interrupted")
			}
		}
	}
}

// lineCalls gives the calls of the lines, and from when to when they were
// observed, 0 where nobody knows.
func (m *matching) lineCalls(ctx context.Context, paths []string) (calls []*reportpb.Call, from, to int64, err error) {
	if m.flags.from != "" {
		f, err := os.Open(m.flags.from)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("--from: %w", err)
		}
		defer f.Close()
		calls, bad, err := match.ReadCalls(f)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("--from: %s: %w", m.flags.from, err)
		}
		m.tellBad(m.flags.from, "lines", bad)
		return slices.DeleteFunc(calls, func(c *reportpb.Call) bool { return len(m.lines) > 0 && !m.named(c.Line) }), 0, 0, nil
	}
	suspects, stats, err := m.suspects(ctx, paths)
	if err != nil || len(suspects) == 0 {
		return nil, 0, 0, err
	}
	keep := pipeline.NewCalls(m.config.Homes, suspects)
	config := m.config
	config.Observe = keep
	if _, err = m.replay(ctx, paths, config, "second reading, for the lines' calls: "); err != nil {
		return nil, 0, 0, err
	}
	list, left := keep.List()
	if left > 0 {
		m.status = statusDamaged
		m.t.Warn(fmt.Sprintf("%d calls left out: there was no room for more", left))
	}
	for i := range list {
		calls = append(calls, m.call(&list[i]))
	}
	return calls, stats.First, stats.Last, nil
}

// named says whether --line names a line of a file.
func (m *matching) named(line string) bool {
	if i := strings.IndexByte(line, '/'); i >= 0 && !strings.ContainsAny(line[:i], ".:") {
		line = line[i+1:] // behind its realm
	}
	p, err := ident.ParsePrefix(line)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(m.lines, func(f netip.Prefix) bool { return f.Contains(p.Addr()) })
}

// suspects are the lines that are looked at.
func (m *matching) suspects(ctx context.Context, paths []string) ([]ident.Line, pipeline.Stats, error) {
	result, err := m.replay(ctx, paths, m.config, "")
	if err != nil {
		return nil, pipeline.Stats{}, err
	}
	var lines []ident.Line
	for _, f := range report.Select(m.flags.all || len(m.lines) > 0, result.Findings) {
		if len(m.lines) > 0 && !slices.ContainsFunc(m.lines, func(x netip.Prefix) bool { return x.Contains(f.Line.Addr.Netip()) }) {
			continue
		}
		if !slices.Contains(lines, f.Line) {
			lines = append(lines, f.Line)
		}
	}
	if len(lines) == 0 && !m.flags.quiet {
		what := "no line at watch or above; --all takes the others as well"
		if m.flags.all || len(m.lines) > 0 {
			what = "no such line in the input"
		}
		m.t.Say(what)
	}
	return lines, result.Stats, nil
}

// replay reads captures once.
func (m *matching) replay(ctx context.Context, paths []string, config pipeline.Config, pass string) (*pipeline.Result, error) {
	files, err := capture.Open(paths, m.capture)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	if name, ok := files.Once(); ok {
		return nil, fmt.Errorf("%s can be read once only, and captures are read twice: save it to a file first", name)
	}
	source := &counted{Source: files}
	stop := func() {}
	if _, ok := columns(m.t.Err); ok && !m.flags.quiet {
		stop = showProgress(m.t.Err, files.Progress, source.frames.Load, "packets", pass)
	}
	result, err := pipeline.Run(ctx, source, config)
	stop()
	switch {
	case ctx.Err() != nil:
		return nil, errors.New("interrupted")
	case err != nil:
		return nil, err
	}
	if damages := files.Damages(); len(damages) > 0 {
		if pass == "" { // it is told once
			tellDamages(m.t, damages)
		}
		m.status = statusDamaged
	}
	return result, nil
}

// call writes a call as sensors report it.
func (m *matching) call(c *pipeline.LineCall) *reportpb.Call {
	out := &reportpb.Call{
		Line: m.hidden.LineName(c.Line), Start: stampOf(c.Start), Answered: stampOf(c.Answered), End: stampOf(c.End),
		Calling: m.number(m.hidden.Names, c.Calling), Called: m.number(m.hidden.Names, c.Called), Verified: c.Verified,
	}
	if !c.Controller.IsZero() {
		out.Controller = c.Controller.String()
	}
	switch {
	case c.Media: // voice tells no direction
	case c.Inbound:
		out.Direction = reportpb.Direction_DIRECTION_INBOUND
	default:
		out.Direction = reportpb.Direction_DIRECTION_OUTBOUND
	}
	return out
}

// tellBad says which rows could not be used.
func (m *matching) tellBad(name, what string, bad match.BadRows) {
	if bad.Count == 0 {
		return
	}
	m.status = statusDamaged
	for _, b := range bad.First {
		m.t.Say(fmt.Sprintf("%s: line %d: %s", name, b.Line, b.Reason))
	}
	if more := bad.Count - uint64(len(bad.First)); more > 0 {
		m.t.Say(fmt.Sprintf("%s: and %d more bad %s", name, more, what))
	}
}

// write prints what was found.
func (m *matching) write(result *match.Result, counters *match.Counters) error {
	out := bufio.NewWriter(m.t.Out)
	write := match.WriteText
	if m.flags.json {
		write = match.WriteJSON
	}
	err := write(out, result, m.names)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if m.flags.cut != "" {
		if err := writeFile(m.flags.cut, func(w io.Writer) error { return match.WriteCSV(w, result, m.names) }); err != nil {
			return fmt.Errorf("--csv: %w", err)
		}
	}
	if !m.flags.quiet {
		for _, s := range match.Summary(result, counters) {
			m.t.Say(s)
		}
	}
	m.tellBad(m.flags.calls, "rows", counters.Bad)
	if m.status != 0 {
		return command.Status(m.status)
	}
	return nil
}

// stampOf is nil where nobody saw it.
func stampOf(ns int64) *timestamppb.Timestamp {
	if ns == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, ns))
}
