package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/pipeline"
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
}

func newReplay(t terminal) *cobra.Command {
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
  zstdcat big.pcap.zst | simtrap replay --since "2026-11-23 10:00" -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{cmd, errors.New("no input: name a capture file, a folder, or - for standard input")}
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
	s.StringVar(&f.since, "since", "", "leave out frames before `TIME` (2026-11-23, \"2026-11-23 10:00\", RFC 3339; UTC unless it says otherwise)")
	s.StringVar(&f.until, "until", "", "leave out frames at `TIME` and after")
	s.StringVar(&f.numbering, "numbering", "cn", "numbering plan of the country: `cn|generic`")
	s.Uint64Var(&f.oneIn, "one-in", 0, "print the probability of a box if one such line in `N` is; it changes no verdict")
	s.StringVar(&f.authority, "authority", "", "write identities in clear under this authority, `TEXT` such as \"case 2026-114\"")
	s.StringVar(&f.key, "key", "", "`FILE` of the pseudonym key, made if it is not there (default simtrap/key in the user's configuration folder)")
	s.IntVar(&f.workers, "workers", 0, "decoders at work at once, `N`; 0 for one per processor. The output is the same for any number")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no summary")
	s.BoolVarP(&f.verbose, "verbose", "v", false, "log what is done")
	return cmd
}

// replay is one run, checked.
type replay struct {
	t       terminal
	flags   replayFlags
	config  pipeline.Config
	capture capture.Options
	report  report.Options
}

// parse checks the flags. Everything wrong with them is wrong usage, except
// for the key file.
func (f *replayFlags) parse(cmd *cobra.Command, t terminal) (*replay, error) {
	wrong := func(flag string, err error) error {
		return &usageError{cmd, fmt.Errorf("--%s: %w", flag, err)}
	}
	r := &replay{t: t, flags: *f}
	var err error
	if r.config.Homes, err = ident.ParseHomes(f.homes, 0); err != nil {
		return nil, wrong("home", err)
	}
	if r.config.Realms, err = pipeline.ParseRealms(f.realms); err != nil {
		return nil, wrong("realm", err)
	}
	if f.numbering == "" {
		return nil, wrong("numbering", errors.New("an empty text names no plan: want cn or generic"))
	}
	if r.config.Plan, err = ident.ParsePlan(f.numbering); err != nil {
		return nil, wrong("numbering", err)
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
	if f.key == "" && cmd.Flags().Changed("key") {
		return nil, wrong("key", errors.New("an empty text names no file"))
	}
	r.capture.Stdin = interruptible(cmd.Context(), t.in)
	limit := func(flag, text string) (*int64, error) {
		if !cmd.Flags().Changed(flag) {
			return nil, nil
		}
		at, err := parseWhen(text)
		if err != nil {
			return nil, wrong(flag, err)
		}
		return &at, nil
	}
	if r.capture.Since, err = limit("since", f.since); err != nil {
		return nil, err
	}
	if r.capture.Until, err = limit("until", f.until); err != nil {
		return nil, err
	}
	if since, until := r.capture.Since, r.capture.Until; since != nil && until != nil && *since >= *until {
		return nil, wrong("until", fmt.Errorf("%s is not after --since %s", f.until, f.since))
	}
	r.config.Log = newLog(t, f.verbose)
	if !f.all {
		r.config.Ledgers = heuristics.Watch
	}

	var key []byte // clear text needs none
	if f.authority == "" {
		if key, err = pseudonymKey(t, f.key); err != nil {
			return nil, err
		}
	}
	width, onTerminal := columns(t.out)
	r.report = report.Options{
		Names: ident.NewPseudonymizer(key, f.authority),
		Realm: r.config.Realms.Name,
		Class: numberClass(r.config.Plan),
		OneIn: f.oneIn,
		Width: width,
		Color: onTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
	return r, nil
}

// newLog writes warnings, or everything, to standard error.
func newLog(t terminal, verbose bool) *zap.Logger {
	level := zapcore.WarnLevel
	if verbose {
		level = zapcore.DebugLevel
	}
	encoder := zapcore.NewConsoleEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(t.err)), level))
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
	files, err := capture.Open(paths, r.capture)
	if err != nil {
		return err
	}
	defer files.Close()

	source := &counted{Source: files}
	stop := func() {}
	if _, ok := columns(r.t.err); ok && !r.flags.quiet {
		stop = showProgress(r.t.err, files.Progress, source)
	}
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
	switch {
	case ctx.Err() != nil && result == nil:
		return errors.New("interrupted")
	case ctx.Err() != nil:
		return errors.New("interrupted; what was read until then is reported")
	case err != nil:
		return err
	case len(files.Damages()) > 0:
		return statusError(statusDamaged)
	}
	return nil
}

// maxDamages is how many damaged inputs standard error names.
const maxDamages = 20

// write prints the findings and, unless told to be quiet, a summary: below the
// table, or on standard error beside JSON. Damage is always told.
func (r *replay) write(result *pipeline.Result, files *capture.Files) error {
	out := bufio.NewWriter(r.t.out)
	findings := report.Select(r.flags.all, result.Findings)
	summary := summarise(result, files.Counters())
	damages := files.Damages()
	var err error
	if r.flags.json {
		err = report.WriteJSON(out, findings, r.report)
	} else {
		err = report.WriteText(out, findings, r.report)
		if err == nil && !r.flags.quiet {
			for i := range damages {
				summary.Damages = append(summary.Damages, &damages[i])
			}
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
		if err := report.WriteSummary(r.t.err, summary, report.Options{}); err != nil {
			return err
		}
	}
	for i := range damages {
		if i == maxDamages {
			r.t.say(fmt.Sprintf("and %d more damaged inputs", len(damages)-maxDamages))
			break
		}
		r.t.say(damages[i].Error())
	}
	return nil
}

// summarise puts the losses of reading before those of the stages behind it.
func summarise(result *pipeline.Result, input capture.Counters) *report.Summary {
	s := &result.Stats
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
	return summary
}
