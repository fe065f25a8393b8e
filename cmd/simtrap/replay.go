package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"simtrap/capture"
	"simtrap/cmd/internal/command"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/places"
	"simtrap/report"
)

// replayFlags are the flags as given.
type replayFlags struct {
	json, all, quiet, verbose bool
	homes, realms             []string
	authority, key            string
	since, until              string
	workers                   int
	oneIn                     uint64
	numbering                 string
	places, geo, sessions     []string
	country                   string
	lang, html, writeLines    string
	force                     bool
	keyIs                     string // another name of --key, where that is something else
}

func newReplay(t command.Terminal) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay [flags] FILE|FOLDER|-...",
		Short: "Read capture files and print the verdict on each line",
		Long: fmt.Sprintf(`replay reads capture files (pcap or pcapng, plain or packed with gzip or zstd),
folders of them, or standard input (-), merged by time, and prints every subscriber
line that looks like a multi-SIM gateway, the surest first, with the reasons.

At most %d files may cover the same time, since those are read at once; merge some of
them first (mergecap) where there are more. Files that follow each other have no limit.

Exit status: 0 when every input was read to its end; 3 when an input was damaged,
cut short, without times or of a link type that is not decoded, and what could be read
was reported; 1 for anything that prevented the work; 2 for wrong usage.`, capture.MaxOverlap),
		Example: `  simtrap replay capture.pcap
  simtrap replay --home 203.0.113.0/24,2001:db8::/32 --json captures/ > findings.jsonl
  simtrap replay --html report.html --lang zh --write-lines evidence/ capture.pcap
  zstdcat big.pcap.zst | simtrap replay --since "2026-11-23 10:00" -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Usage(cmd, errors.New("no input: name a capture file, a folder, or - for standard input"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.parse(cmd, t)
			if err != nil {
				return err
			}
			return r.run(cmd.Context(), args)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.BoolVar(&f.json, "json", false, "print one JSON object per line of output and subscriber line")
	s.BoolVar(&f.all, "all", false, "print the lines below watch as well")
	s.StringArrayVar(&f.homes, "home", nil, "addresses of subscribers: `PREFIX,...`; may be repeated")
	s.StringArrayVar(&f.realms, "realm", nil, "spaces of inner addresses: `NAME[=SELECTOR]`, such as realm-a=vlan:100-199; may be repeated")
	s.StringArrayVar(&f.sessions, "sessions", nil, "who had which address when: a `FILE` of CSV (start,end,address[,realm][,subscriber]), FreeRADIUS detail, or a capture of RADIUS accounting; may be repeated")
	s.StringVar(&f.lang, "lang", "en", "language of the table and the page: `en|zh`; JSON is English")
	s.StringVar(&f.html, "html", "", "write a page about the suspect lines to `FILE`; it needs nothing else, and reads the files twice")
	s.StringVar(&f.writeLines, "write-lines", "", "write the packets of each suspect line, without what they carry, to a capture in folder `DIR`; reads the files twice")
	s.BoolVar(&f.force, "force", false, "let --html and --write-lines replace files that are there")
	s.StringVar(&f.since, "since", "", "leave out frames before `TIME` (2026-11-23, \"2026-11-23 10:00\", RFC 3339; UTC unless it says otherwise)")
	s.StringVar(&f.until, "until", "", "leave out frames at `TIME` and after")
	s.StringVar(&f.numbering, "numbering", "cn", numberingUsage)
	s.StringArrayVar(&f.places, "places", nil, "where networks are: a `FILE` of lines PREFIX COUNTRY [hosting|isp|carrier] [ASN] [NAME]; may be repeated")
	s.StringArrayVar(&f.geo, "geo", nil, "where networks are: a MaxMind database, `FILE`.mmdb; may be repeated")
	s.StringVar(&f.country, "country", "", "country the tap stands in, its `CC` in two letters (default that of --numbering)")
	s.Uint64Var(&f.oneIn, "one-in", 0, "print the probability of a box if one such line in `N` is; it changes no verdict")
	s.StringVar(&f.authority, "authority", "", "write identities in clear under this authority, `TEXT` such as \"case 2026-114\"")
	s.StringVar(&f.key, "key", "", "`FILE` of the pseudonym key, made if it is not there (default simtrap/key in the user's configuration folder)")
	s.IntVar(&f.workers, "workers", 0, "decoders at work at once, `N`; 0 for one per processor. The output is the same for any number")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no summary")
	s.BoolVarP(&f.verbose, "verbose", "v", false, "log what is done")
	complete(cmd, "lang", "en", "zh")
	complete(cmd, "numbering", numberingNames()...)
	cmd.MarkFlagFilename("html", "html")
	cmd.MarkFlagDirname("write-lines")
	return cmd
}

// replay is one run, checked.
type replay struct {
	t       command.Terminal
	cmd     *cobra.Command
	flags   replayFlags
	config  pipeline.Config
	capture capture.Options
	report  report.Options
	key     []byte         // of pseudonyms; nil under an authority
	places  *places.Places // nil when no list was given
}

// keyFlag is the flag that names the key of pseudonyms.
func (f *replayFlags) keyFlag() string {
	if f.keyIs != "" {
		return f.keyIs
	}
	return "key"
}

// parse checks the flags. Everything wrong with them is wrong usage, except
// for the key file.
func (f *replayFlags) parse(cmd *cobra.Command, t command.Terminal) (*replay, error) {
	wrong := func(flag string, err error) error {
		return command.Usage(cmd, fmt.Errorf("--%s: %w", flag, err))
	}
	r := &replay{t: t, cmd: cmd, flags: *f}
	language, err := report.ParseLanguage(f.lang)
	if err != nil {
		return nil, wrong("lang", err)
	}
	for flag, value := range map[string]string{"html": f.html, "write-lines": f.writeLines} {
		if value == "" && cmd.Flags().Changed(flag) {
			return nil, wrong(flag, errors.New("an empty text names nothing to write to"))
		}
	}
	if f.force && f.html == "" && f.writeLines == "" {
		return nil, wrong("force", errors.New("it is about --html and --write-lines, of which neither was given"))
	}
	if r.config.Homes, err = ident.ParseHomes(f.homes, 0); err != nil {
		return nil, wrong("home", err)
	}
	if r.config.Realms, err = pipeline.ParseRealms(f.realms); err != nil {
		return nil, wrong("realm", err)
	}
	if f.numbering == "" {
		return nil, wrong("numbering", errors.New("an empty text names no plan: want the two letters of a country such as cn, or generic"))
	}
	if r.config.Plan, err = ident.ParsePlan(f.numbering); err != nil {
		return nil, wrong("numbering", err)
	}
	if err := f.where(r, wrong, cmd.Flags().Changed("country")); err != nil {
		return nil, err
	}
	if f.workers < 0 {
		return nil, wrong("workers", fmt.Errorf("%d is below 0", f.workers))
	}
	r.config.Workers = f.workers
	if f.oneIn == 0 && cmd.Flags().Changed("one-in") {
		return nil, wrong("one-in", errors.New("want 1 or more"))
	}
	if strings.TrimSpace(f.authority) == "" && cmd.Flags().Changed("authority") {
		return nil, wrong("authority", errors.New("an empty text names no authority"))
	}
	if f.key == "" && cmd.Flags().Changed(f.keyFlag()) {
		return nil, wrong(f.keyFlag(), errors.New("an empty text names no file"))
	}
	if r.capture, err = span(cmd, f.since, f.until); err != nil {
		return nil, err
	}
	r.capture.Stdin = interruptible(cmd.Context(), t.In)
	r.config.Log = newLog(t, f.verbose)
	if !f.all {
		r.config.Ledgers = heuristics.Watch
	}

	if f.authority == "" { // clear text needs none
		if r.key, err = pseudonymKey(t, f.key); err != nil {
			return nil, err
		}
	}
	width, onTerminal := columns(t.Out)
	r.report = report.Options{
		Names:    ident.NewPseudonymizer(r.key, f.authority),
		Realm:    r.config.Realms.Name,
		Class:    numberClass(r.config.Plan),
		OneIn:    f.oneIn,
		Width:    width,
		Language: language,
		Color:    onTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
	return r, nil
}

// where opens what tells where controllers are, and who had which address.
func (f *replayFlags) where(r *replay, wrong func(string, error) error, given bool) (err error) {
	home := r.config.Plan.Region()
	if given {
		if home, err = places.Country(f.country); err != nil {
			return wrong("country", err)
		}
	}
	for _, x := range []struct {
		flag  string
		names []string
	}{{"places", f.places}, {"geo", f.geo}, {"sessions", f.sessions}} {
		if slices.Contains(x.names, "") {
			return wrong(x.flag, errors.New("an empty text names no file"))
		}
	}
	if r.places, err = places.Open(f.places, f.geo, home); r.places != nil {
		r.config.Places = r.places // a nil pointer would be no nil interface
	}
	if err != nil {
		return err
	}
	if r.config.Sessions, err = pipeline.OpenSessions(f.sessions); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	return nil
}

// newLog writes warnings, or everything, to standard error.
func newLog(t command.Terminal, verbose bool) *zap.Logger {
	level := zapcore.WarnLevel
	if verbose {
		level = zapcore.DebugLevel
	}
	encoder := zapcore.NewConsoleEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(t.Err)), level))
}

// numberClass names the class of a number as it stands before its pseudonym,
// "cn-mobile".
func numberClass(plan *ident.Plan) func(ident.Number) string {
	return func(n ident.Number) string {
		class := plan.ClassOf(n)
		if class == ident.NumberUnknown {
			return ""
		}
		return plan.Name() + "-" + class.String()
	}
}

// run reads the inputs and writes what was found.
func (r *replay) run(ctx context.Context, paths []string) error {
	defer r.config.Sessions.Close()
	files, err := capture.Open(paths, r.capture)
	if err != nil {
		return err
	}
	defer files.Close()
	if err := r.checkViews(files); err != nil {
		return err
	}

	source := &counted{Source: files}
	stop := r.progress(files, source, "")
	result, err := pipeline.Run(ctx, source, r.config)
	stop()
	if err != nil && result != nil && result.Stats.Frames == 0 {
		result = nil // an empty table beside an error would mislead
	}
	if result != nil {
		if err := r.write(result, files); err != nil {
			return err
		}
	}
	if err == nil {
		err = r.views(ctx, paths, result, files)
	}
	switch {
	case ctx.Err() != nil && result == nil:
		return errors.New("interrupted")
	case ctx.Err() != nil:
		return errors.New("interrupted; what was read until then is reported")
	case err != nil:
		return err
	case r.config.Sessions.Err() != nil:
		r.t.Say(fmt.Sprintf("sessions: %v", r.config.Sessions.Err()))
		return command.Status(statusDamaged)
	case len(files.Damages()) > 0:
		return command.Status(statusDamaged)
	}
	return nil
}

// progress shows how far files are read, if there is somebody to see it.
func (r *replay) progress(files *capture.Files, source *counted, pass string) (stop func()) {
	if _, ok := columns(r.t.Err); !ok || r.flags.quiet {
		return func() {}
	}
	return showProgress(r.t.Err, files.Progress, source.frames.Load, "packets", pass)
}

// maxDamages is how many damaged inputs standard error names.
const maxDamages = 20

// write prints the findings and, unless told to be quiet, a summary: below the
// table, or on standard error beside JSON. Damage is always told.
func (r *replay) write(result *pipeline.Result, files *capture.Files) error {
	out := bufio.NewWriter(r.t.Out)
	findings := report.Select(r.flags.all, result.Findings)
	summary := r.summarise(result, files)
	damages := files.Damages()
	var err error
	if r.flags.json {
		err = report.WriteJSON(out, findings, r.report)
	} else {
		err = report.WriteText(out, findings, r.report)
		if err == nil && !r.flags.quiet {
			err = report.WriteSummary(out, summary, r.report)
		}
	}
	if err == nil { // else Flush would say the same again
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if r.flags.json && !r.flags.quiet {
		summary.Damages = nil // told one by one below
		if err := report.WriteSummary(r.t.Err, summary, report.Options{Language: r.report.Language}); err != nil {
			return err
		}
	}
	tellDamages(r.t, damages)
	return nil
}

// tellDamages says what was wrong with inputs.
func tellDamages(t command.Terminal, damages []capture.Damage) {
	for i := range damages {
		if i == maxDamages {
			t.Say(fmt.Sprintf("and %d more damaged inputs", len(damages)-maxDamages))
			break
		}
		t.Say(damages[i].Error())
	}
}

// summarise puts the losses of reading before those of the stages behind it.
func (r *replay) summarise(result *pipeline.Result, files *capture.Files) *report.Summary {
	s, input := &result.Stats, files.Counters()
	summary := &report.Summary{
		Frames: s.Frames, Bytes: s.Bytes, Messages: s.Messages, H323: s.H323, Calls: s.Calls, Streams: s.Streams,
		Records: s.Records, Lines: s.Lines, First: s.First, Last: s.Last,
	}
	summary.CountVerdicts(result.Findings)
	summary.Losses = []report.Loss{
		{Stage: "input", Reason: "frames outside --since and --until", Count: input.Outside},
		{Stage: "input", Reason: "files that begin after --until", Count: uint64(input.FilesOutside)},
		{Stage: "input", Reason: "other files in folders", Count: uint64(input.FilesSkipped)},
	}
	for _, l := range result.Losses {
		summary.Losses = append(summary.Losses, report.Loss{Stage: l.Stage, Reason: l.Reason, Count: l.Count})
	}
	summary.Losses = append(summary.Losses, report.Loss{Stage: "places", Reason: "addresses of which a damaged database could not tell", Count: r.places.Failed()})
	for _, d := range files.Damages() {
		summary.Damages = append(summary.Damages, &d)
	}
	return summary
}
