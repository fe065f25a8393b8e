package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"simtrap/capture"
	"simtrap/cmd/internal/command"
	"simtrap/evidence"
	"simtrap/evidence/bundle"
	"simtrap/evidence/timestamp"
	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/report"
)

// Parts of a bundle beside its captures.
const (
	partConfiguration = "configuration.json"
	partFindings      = "findings.jsonl"
	partReading       = "reading.json"
	partEnglish       = "report.en.html"
	partChinese       = "report.zh.html"
	partCaptures      = "captures/"
)

func newEvidence(t command.Terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "Make and check signed bundles of evidence about a line",
		Long: `evidence packs what a case rests on into one file: captures of the line without what
its packets carry, the finding with its reasons, a report for paper, and a signed
manifest. Anyone can check one offline. docs/evidence.md tells what is in it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return command.Usage(cmd, fmt.Errorf("unknown command %q; see simtrap evidence --help", args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEvidenceMake(t), newEvidenceVerify(t), newEvidenceShow(t), newEvidenceReport(t), newEvidenceKeygen(t))
	return cmd
}

func newEvidenceKeygen(t command.Terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key that signs bundles: FILE, and FILE.pub for those who check",
		Args:  command.OneArg("file"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, key, err := ed25519.GenerateKey(nil)
			if err != nil {
				return err
			}
			private, public, err := bundle.EncodeKey(key)
			if err != nil {
				return err
			}
			for _, f := range []struct {
				name string
				b    []byte
				mode os.FileMode
			}{{args[0], private, 0o600}, {args[0] + ".pub", public, 0o644}} {
				if err := writeNew(f.name, f.b, f.mode); err != nil {
					if errors.Is(err, fs.ErrExist) {
						return fmt.Errorf("%s is there already: a key is never replaced, name another file", f.name)
					}
					return err
				}
			}
			fmt.Fprintln(t.Out, bundle.Fingerprint(key.Public().(ed25519.PublicKey)))
			return nil
		},
	}
}

// writeNew writes a file that was not there.
func writeNew(name string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// makeFlags are the flags of make as given, beside those of the replay.
type makeFlags struct {
	replayFlags
	lines                           []string
	signing, output, previous, name string
	tsa, made                       string
}

func newEvidenceMake(t command.Terminal) *cobra.Command {
	f := makeFlags{replayFlags: replayFlags{keyIs: "case-key", all: true, lang: "en"}}
	cmd := &cobra.Command{
		Use:   "make [flags] --line LINE --key FILE --output FILE CAPTURE|FOLDER...",
		Short: "Pack the evidence about lines of captures into one signed file",
		Long: `make replays the captures and packs what they hold of the lines named: their packets
without what those carry, the findings, a report in English and Chinese, and where
all of it is from, under a manifest that is signed with --key.

Numbers, accounts, names and the identities of calls are pseudonyms of the case,
in the captures too, unless --authority says under what they may be in clear.
Flags that decide the verdict must be those of the replay that found the line.

The same captures, flags and keys give the same file when --made gives the time and no
time-stamp service is asked.

Exit status: as replay's.`,
		Example: `  simtrap evidence keygen signing.key
  simtrap evidence make --line 203.0.113.7 --key signing.key --case 2026-114 \
    -o 1.evidence captures/
  simtrap evidence make --line 203.0.113.7 --key signing.key --previous 1.evidence \
    -o 2.evidence later/`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Usage(cmd, errors.New("no input: name a capture file or a folder"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := f.parse(cmd, t)
			if err != nil {
				return err
			}
			return m.run(cmd.Context(), args)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringArrayVar(&f.lines, "line", nil, "a `LINE` as replay names it, such as 203.0.113.7; may be repeated")
	s.StringVar(&f.signing, "key", "", "`FILE` of the signing key, see keygen")
	s.StringVarP(&f.output, "output", "o", "", "write the bundle to `FILE`")
	s.StringVar(&f.previous, "previous", "", "`FILE` of the bundle made before this one")
	s.StringVar(&f.name, "case", "", "the case's reference, `TEXT`; pseudonyms of two cases never compare")
	s.StringVar(&f.authority, "authority", "", "write identities in clear under this authority, `TEXT` such as \"case 2026-114\"")
	s.StringVar(&f.tsa, "tsa", "", "ask the time-stamp service at `URL` (RFC 3161)")
	s.StringVar(&f.key, "case-key", "", "`FILE` of the key that the case's pseudonyms are made from (default replay's)")
	s.StringVar(&f.made, "made", "", "the `TIME` of making, to make a bundle again (default now)")
	s.StringArrayVar(&f.homes, "home", nil, "as replay's: `PREFIX,...`")
	s.StringArrayVar(&f.realms, "realm", nil, "as replay's: `NAME[=SELECTOR]`")
	s.StringVar(&f.since, "since", "", "leave out frames before `TIME`")
	s.StringVar(&f.until, "until", "", "leave out frames at `TIME` and after")
	s.StringVar(&f.numbering, "numbering", "cn", numberingUsage)
	s.StringArrayVar(&f.places, "places", nil, "as replay's: a `FILE` of networks")
	s.StringArrayVar(&f.geo, "geo", nil, "as replay's: a MaxMind database, `FILE`.mmdb")
	s.StringVar(&f.country, "country", "", "as replay's: `CC` in two letters")
	s.StringArrayVar(&f.sessions, "sessions", nil, "as replay's: a `FILE` of who had which address when; of a line that changed hands only tenants at watch or above are packed")
	s.IntVar(&f.workers, "workers", 0, "decoders at work at once, `N`; 0 for one per processor")
	s.BoolVar(&f.force, "force", false, "replace the bundle if it is there")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no summary")
	s.BoolVarP(&f.verbose, "verbose", "v", false, "log what is done")
	complete(cmd, "numbering", numberingNames()...)
	return cmd
}

// making is one run of make, checked.
type making struct {
	*replay
	flags     makeFlags
	lines     []ident.Line
	signing   ed25519.PrivateKey
	chain     bundle.Chain
	stamp     bundle.Stamper
	made      time.Time
	clock     string // of the machine, in words
	catalogue *catalogue.Catalogue
	// times are those of the tenants that the evidence is of, nil without --sessions.
	times map[ident.Line][]evidence.Span
}

func (f *makeFlags) parse(cmd *cobra.Command, t command.Terminal) (*making, error) {
	wrong := func(flag string, err error) error { return command.Usage(cmd, fmt.Errorf("--%s: %w", flag, err)) }
	for flag, value := range map[string]string{"key": f.signing, "output": f.output} {
		if value == "" {
			return nil, wrong(flag, errors.New("not given, or empty"))
		}
	}
	for flag, value := range map[string]string{"previous": f.previous, "tsa": f.tsa, "made": f.made} {
		if value == "" && cmd.Flags().Changed(flag) {
			return nil, wrong(flag, errors.New("an empty text"))
		}
	}
	if len(f.lines) == 0 {
		return nil, wrong("line", errors.New("not given: name a line as replay does"))
	}
	m := &making{flags: *f, made: time.Now().UTC(), clock: machineClock(), chain: bundle.Chain{Number: 1}}
	if f.made != "" {
		ns, err := parseWhen(f.made)
		if err != nil {
			return nil, wrong("made", err)
		}
		m.made, m.clock = time.Unix(0, ns).UTC(), "given by hand"
	}
	if f.tsa != "" {
		client, err := timestamp.NewClient(f.tsa)
		if err != nil {
			return nil, wrong("tsa", err)
		}
		m.stamp = client.Stamp
	}
	forReplay := f.replayFlags
	forReplay.force = false
	var err error
	if m.replay, err = forReplay.parse(cmd, t); err != nil {
		return nil, err
	}
	if len(f.lines) > evidence.MaxLines {
		return nil, wrong("line", fmt.Errorf("%d lines, more than %d", len(f.lines), evidence.MaxLines))
	}
	for _, name := range f.lines {
		l, ok := m.config.Realms.Line(name)
		if !ok {
			return nil, wrong("line", fmt.Errorf("%q is no line: want an address, as replay names it", name))
		}
		if l.Bits == 0 {
			l = m.config.Homes.LineOf(l.Addr, l.Realm)
		}
		if !slices.Contains(m.lines, l) {
			m.lines = append(m.lines, l)
		}
	}
	if m.signing, err = readSigningKey(t, f.signing); err != nil {
		return nil, err
	}
	if f.previous != "" {
		v, err := verifyFile(f.previous, bundle.Options{})
		if err != nil {
			return nil, fmt.Errorf("--previous: %w", err)
		}
		m.chain = bundle.Chain{Number: v.Manifest.Chain.Number + 1, Previous: hex.EncodeToString(v.File[:])}
	}
	if f.authority == "" {
		m.report.Names = ident.NewPseudonymizer(caseKey(m.key, f.name), "")
	}
	m.catalogue, err = catalogue.Load()
	return m, err
}

// caseKey derives the key of a case's pseudonyms, so that those of two cases
// never compare.
func caseKey(key []byte, name string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, "simtrap case\x00"+name)
	return h.Sum(nil)
}

// maxKeyText is more than any key in PEM.
const maxKeyText = 16 << 10

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKeyText))
}

func readSigningKey(t command.Terminal, name string) (ed25519.PrivateKey, error) {
	text, err := readSmall(name)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
		t.Warn(name + " can be read by others than its owner: whoever reads it can sign")
	}
	key, err := bundle.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("--key: %s: %w", name, err)
	}
	return key, nil
}

func (m *making) run(ctx context.Context, paths []string) error {
	files, err := capture.Open(paths, m.capture)
	if err != nil {
		return err
	}
	defer files.Close()
	if name, once := files.Once(); once {
		return command.Usage(m.cmd, fmt.Errorf("evidence is of files, which can be hashed, and %s is none: save it to a file first", name))
	}
	if n := len(files.Inputs()); n > bundle.MaxInputs {
		return fmt.Errorf("%d captures, more than the %d of a bundle: make one for each part of the time, chained with --previous", n, bundle.MaxInputs)
	}
	if _, err := os.Lstat(m.flags.output); err == nil && !m.flags.force {
		return fmt.Errorf("%s is there already: name another file, or replace it with --force", m.flags.output)
	}
	// Whoever opened it last closes it: who had a line is read once for each reading.
	defer func() { m.config.Sessions.Close() }()
	if len(m.flags.sessions) > 0 {
		if err := m.tenancies(ctx, paths); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(m.flags.output), ".simtrap-*")
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	defer os.RemoveAll(dir)

	// The lines are known, so that all is had in one reading; the inputs are
	// hashed beside it.
	type hashed struct {
		inputs []bundle.Input
		err    error
	}
	hashing, stop := context.WithCancel(ctx)
	defer stop()
	hashes := make(chan hashed, 1)
	go func() {
		inputs, err := hashInputs(hashing, files.Inputs())
		hashes <- hashed{inputs, err}
	}()
	result, collector, cutter, err := m.read(ctx, files, dir)
	if err != nil {
		stop()
		<-hashes
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	h := <-hashes
	if h.err != nil {
		return h.err
	}
	if err := m.write(ctx, dir, files, result, collector, cutter, h.inputs); err != nil {
		return err
	}
	tellDamages(m.t, files.Damages())
	if err := m.config.Sessions.Err(); err != nil {
		m.t.Say(fmt.Sprintf("sessions: %v", err))
		return command.Status(statusDamaged)
	}
	if len(files.Damages()) > 0 {
		return command.Status(statusDamaged)
	}
	return nil
}

// tenancies reads the captures for when those tenants had the lines that the evidence is
// of: the ones at watch or above, or where a line has none, all of its. What an address
// did under another tenant is none of the case's.
func (m *making) tenancies(ctx context.Context, paths []string) error {
	files, err := capture.Open(paths, m.capture)
	if err != nil {
		return err
	}
	defer files.Close()
	config := m.config
	config.Ledgers = heuristics.None
	source := &counted{Source: files}
	stop := m.progress(files, source, "")
	result, err := pipeline.Run(ctx, source, config)
	stop()
	m.config.Sessions.Close()
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	m.times = make(map[ident.Line][]evidence.Span)
	for _, l := range m.lines {
		suspect := slices.ContainsFunc(result.Findings, func(f heuristics.Finding) bool { return f.Line == l && f.Verdict >= heuristics.Watch })
		for _, f := range result.Findings {
			if f.Line == l && (!suspect || f.Verdict >= heuristics.Watch) {
				m.times[l] = append(m.times[l], evidence.Span{From: f.First, To: f.Last})
			}
		}
	}
	m.config.Sessions, err = pipeline.OpenSessions(m.flags.sessions)
	return err
}

// packed says whether a finding is of a tenant that the evidence is of.
func (m *making) packed(f *heuristics.Finding) bool {
	return m.times == nil || slices.Contains(m.times[f.Line], evidence.Span{From: f.First, To: f.Last})
}

func hashInputs(ctx context.Context, names []string) ([]bundle.Input, error) {
	var inputs []bundle.Input
	b := make([]byte, 1<<20)
	for _, name := range names {
		in, err := hashInput(ctx, name, b)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

func hashInput(ctx context.Context, name string, b []byte) (bundle.Input, error) {
	f, err := os.Open(name)
	if err != nil {
		return bundle.Input{}, err
	}
	defer f.Close()
	h := sha256.New()
	in := bundle.Input{Name: filepath.Base(name)}
	for {
		if err := ctx.Err(); err != nil {
			return in, err
		}
		n, err := f.Read(b)
		h.Write(b[:n])
		in.Bytes += int64(n)
		if errors.Is(err, io.EOF) {
			in.SHA256 = hex.EncodeToString(h.Sum(nil))
			return in, nil
		}
		if err != nil {
			return in, err
		}
	}
}

// read replays the captures and cuts the lines' packets on their way.
func (m *making) read(ctx context.Context, files *capture.Files, dir string) (*pipeline.Result, *pipeline.Collector, *evidence.Cutter, error) {
	cutter, err := evidence.NewCutter(dir, m.lines, evidence.Options{
		Homes: m.config.Homes, Locate: m.config.Locate, Name: m.report.LineName,
		Authority: m.report.Names.Authority(), Names: m.report.Names, Version: command.Version(), Times: m.times,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	source := &counted{Source: files}
	config := m.config
	collector := pipeline.NewCollector(config.Homes, m.lines)
	config.Observe = collector
	config.Ledgers = heuristics.None
	stop := m.progress(files, source, "")
	result, err := pipeline.Run(ctx, &cutting{source, cutter}, config)
	stop()
	if err == nil {
		err = cutter.Close()
	} else {
		cutter.Abort()
	}
	return result, collector, cutter, err
}

// findings gives those of the lines asked for, each of which must have one.
func (m *making) findings(result *pipeline.Result) ([]heuristics.Finding, error) {
	var found []heuristics.Finding
	for i, l := range m.lines {
		n := len(found)
		for _, f := range result.Findings {
			if f.Line == l && m.packed(&f) {
				found = append(found, f)
			}
		}
		switch {
		case len(found) == n:
			return nil, fmt.Errorf("nothing was seen of line %s that could be judged: name a line as simtrap replay --all does", m.flags.lines[min(i, len(m.flags.lines)-1)])
		case !slices.ContainsFunc(found[n:], func(f heuristics.Finding) bool { return f.Verdict >= heuristics.Watch }):
			m.t.Warn(m.report.LineName(l) + " is no suspect by these captures and flags: its verdict is " + found[n].Verdict.String())
		}
	}
	return found, nil
}

func (m *making) write(ctx context.Context, dir string, files *capture.Files, result *pipeline.Result, collector *pipeline.Collector, cutter *evidence.Cutter, inputs []bundle.Input) error {
	findings, err := m.findings(result)
	if err != nil {
		return err
	}
	summary := m.summarise(result, files)
	summary.Damages = nil // what is wrong with files names folders of this machine; it is told here
	configuration, err := m.configuration()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(configuration)
	utc := func(ns int64) string {
		if result.Stats.Frames == 0 {
			return ""
		}
		return time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
	}
	manifest := bundle.Manifest{
		Made: m.made.Format(time.RFC3339Nano), Case: m.flags.name, Authority: m.report.Names.Authority(),
		Program:       bundle.Program{Name: "simtrap", Version: command.Version(), SHA256: programHash(ctx)},
		Catalogue:     bundle.Catalogue{Version: int64(m.catalogue.Version), SHA256: m.catalogue.Hash},
		Configuration: hex.EncodeToString(sum[:]),
		Clock: bundle.Clock{Capture: "that of the capture files: how true it was is not known",
			First: utc(result.Stats.First), Last: utc(result.Stats.Last), Making: m.clock},
		Inputs: inputs, Chain: m.chain,
	}
	for _, l := range m.lines {
		manifest.Lines = append(manifest.Lines, m.report.LineName(l))
	}
	reading, err := readingOf(summary, cutter)
	if err != nil {
		return err
	}
	var list bytes.Buffer
	if err := report.WriteJSON(&list, findings, m.report); err != nil {
		return err
	}
	parts := []bundle.Part{bundle.Bytes(partConfiguration, configuration), bundle.Bytes(partFindings, list.Bytes()), bundle.Bytes(partReading, reading)}
	dossier := m.dossier(&manifest, findings, summary, collector)
	for _, page := range []struct {
		name string
		lang report.Language
	}{{partEnglish, report.English}, {partChinese, report.Chinese}} {
		var b bytes.Buffer
		o := m.report
		o.Language = page.lang
		if err := report.WriteDossier(&b, dossier, o); err != nil {
			return err
		}
		parts = append(parts, bundle.Bytes(page.name, b.Bytes()))
	}
	captures, err := openCaptures(dir)
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range captures {
			c.Close()
		}
	}()
	var names []string
	for _, c := range captures {
		names = append(names, filepath.Base(c.Name()))
	}
	names = partNames(names)
	for i, c := range captures {
		info, err := c.Stat()
		if err != nil {
			return err
		}
		parts = append(parts, bundle.Part{Name: names[i], Size: info.Size(), Data: c})
	}
	var file [sha256.Size]byte
	err = writeFile(m.flags.output, func(w io.Writer) error {
		var err error
		file, err = bundle.Write(ctx, w, manifest, parts, m.signing, m.stamp)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", m.flags.output, err)
	}
	fmt.Fprintf(m.t.Out, "%x  %s\n", file, report.Plain(m.flags.output))
	n := &cutter.Counters
	m.note(fmt.Sprintf("%d packets, %d with a SIP message, %d with one written anew; signed by %s", n.Packets, n.Messages, n.Rewritten, bundle.Fingerprint(m.signing.Public().(ed25519.PublicKey))))
	return nil
}

// partNames gives captures names of parts, each its own: names of realms may hold anything,
// of which not all can stand in that of a part.
func partNames(files []string) []string {
	names := make([]string, len(files))
	taken := make(map[string]bool)
	for i, file := range files {
		name := partCaptures + strings.Map(func(r rune) rune {
			if bundle.ValidName(string(r)) || r == '.' {
				return r
			}
			return '_'
		}, file)
		if taken[name] || !bundle.ValidName(name) {
			name = fmt.Sprintf("%s%d.pcapng", partCaptures, i+1)
		}
		// A line may be called as a number is.
		for n := len(files) + 1; taken[name]; n++ {
			name = fmt.Sprintf("%s%d.pcapng", partCaptures, n)
		}
		taken[name] = true
		names[i] = name
	}
	return names
}

// openCaptures opens what the cutter wrote, by name.
func openCaptures(dir string) ([]*os.File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.pcapng"))
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// configuration is what decides the verdict beside the program and its tables.
func (m *making) configuration() ([]byte, error) {
	f := &m.flags
	list := func(names []string) ([]any, error) {
		out := []any{}
		for _, name := range names {
			in, err := hashInput(context.Background(), name, make([]byte, 64<<10))
			if err != nil {
				return nil, err
			}
			out = append(out, map[string]any{"name": in.Name, "sha256": in.SHA256})
		}
		return out, nil
	}
	places, err := list(f.places)
	if err != nil {
		return nil, err
	}
	geo, err := list(f.geo)
	if err != nil {
		return nil, err
	}
	flags := map[string]any{
		"home": append([]string{}, f.homes...), "realm": append([]string{}, f.realms...), "numbering": f.numbering, "country": f.country,
		"since": f.since, "until": f.until, "places": places, "geo": geo, "line": f.lines,
	}
	if len(f.sessions) > 0 {
		if flags["sessions"], err = list(f.sessions); err != nil {
			return nil, err
		}
	}
	return bundle.Canonical(flags)
}

// readingOf tells what was read, and everything that was passed over.
func readingOf(s *report.Summary, c *evidence.Cutter) ([]byte, error) {
	losses := []any{}
	for _, l := range s.Losses {
		if l.Count > 0 {
			losses = append(losses, map[string]any{"stage": l.Stage, "reason": l.Reason, "count": l.Count})
		}
	}
	n := &c.Counters
	return bundle.Canonical(map[string]any{
		"frames": s.Frames, "bytes": s.Bytes, "sip_messages": s.Messages, "calls": s.Calls, "streams": s.Streams, "records": s.Records, "lines": s.Lines,
		"losses": losses,
		"captures": map[string]any{
			"packets": n.Packets, "messages_in_clear": n.Messages, "messages_rewritten": n.Rewritten, "fragments": n.Fragments,
			"left_out_tunnel_fragments": n.Outer, "left_out_unplaced": n.Unplaced,
		},
	})
}

func (m *making) dossier(b *bundle.Manifest, findings []heuristics.Finding, s *report.Summary, c *pipeline.Collector) *report.Dossier {
	d := &report.Dossier{
		Case: b.Case, Made: m.made.UnixNano(), Findings: findings, Activity: c.Activity, Summary: s,
		Origin: report.Origin{
			Program: b.Program.Version, ProgramHash: b.Program.SHA256, Catalogue: b.Catalogue.SHA256, Configuration: b.Configuration,
			CaptureClock: b.Clock.Capture, MakingClock: b.Clock.Making,
			Signer: bundle.Fingerprint(m.signing.Public().(ed25519.PublicKey)), Number: b.Chain.Number, Previous: b.Chain.Previous,
		},
	}
	for _, in := range b.Inputs {
		d.Origin.Inputs = append(d.Origin.Inputs, report.Source{Name: in.Name, Size: in.Bytes, Hash: in.SHA256})
	}
	return d
}

// programHash is that of the running executable; empty when it cannot be read.
func programHash(ctx context.Context) string {
	name, err := os.Executable()
	if err != nil {
		return ""
	}
	in, err := hashInput(ctx, name, make([]byte, 1<<20))
	if err != nil {
		return ""
	}
	return in.SHA256
}
