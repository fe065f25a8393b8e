package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"simtrap/capture"
	"simtrap/cmd/internal/command"
	"simtrap/dissect"
	"simtrap/ident"
)

// dissectFlags are the flags as given.
type dissectFlags struct {
	modes          [5]bool // by dissect.What
	json, all      bool
	lines, homes   []string
	call           string
	since, until   string
	authority, key string
	numbering      string
}

func newDissect(t command.Terminal) *cobra.Command {
	var f dissectFlags
	cmd := &cobra.Command{
		Use:   "dissect [flags] FILE|FOLDER|-...",
		Short: "Print what was understood of capture files, call by call or packet by packet",
		Long: `dissect reads what replay reads and prints what was understood of it, without any
verdict: each call with the times of its steps and its voice streams (--calls, unless
told otherwise), or each packet that says something with what it was wrapped in
(--packets), each voice stream, each record of a gateway's own protocol, or each
registration. It prints as it reads. Numbers and accounts are pseudonyms, as everywhere;
a call is named by its number in the capture and by the pseudonym of its Call-ID.

With --json one object per line is printed; docs/dissect.md tells its fields.

Exit status: as replay's.`,
		Example: `  simtrap dissect --line 203.0.113.7 capture.pcap
  simtrap dissect --packets --call ~0123456789abcdef capture.pcap
  simtrap dissect --streams --json captures/ | head`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Usage(cmd, errors.New("no input: name a capture file, a folder, or - for standard input"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o, in, err := f.parse(cmd, t)
			if err != nil {
				return err
			}
			return runDissect(cmd.Context(), t, args, o, in)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.BoolVar(&f.modes[dissect.Calls], "calls", false, "print calls, in the order of their ends (what is printed unless told otherwise)")
	s.BoolVar(&f.modes[dissect.Packets], "packets", false, "print packets")
	s.BoolVar(&f.modes[dissect.Streams], "streams", false, "print voice streams")
	s.BoolVar(&f.modes[dissect.Records], "records", false, "print records of gateways' own protocols")
	s.BoolVar(&f.modes[dissect.Registrations], "registrations", false, "print registrations, at each refresh")
	s.StringArrayVar(&f.lines, "line", nil, "only what `ADDR` (or a prefix) has a part in; may be repeated")
	s.StringVar(&f.call, "call", "", "only the call of that number or Call-ID, `N|CALL-ID` as printed")
	s.BoolVar(&f.all, "all", false, "with --packets, print the packets of which nothing was understood as well")
	s.BoolVar(&f.json, "json", false, "print one JSON object per line")
	s.StringArrayVar(&f.homes, "home", nil, "addresses of subscribers: `PREFIX,...`; they tell the direction of calls; may be repeated")
	s.StringVar(&f.since, "since", "", "leave out frames before `TIME` (2026-11-23, \"2026-11-23 10:00\", RFC 3339; UTC unless it says otherwise)")
	s.StringVar(&f.until, "until", "", "leave out frames at `TIME` and after")
	s.StringVar(&f.numbering, "numbering", "cn", numberingUsage)
	s.StringVar(&f.authority, "authority", "", "write identities in clear under this authority, `TEXT` such as \"case 2026-114\"")
	s.StringVar(&f.key, "key", "", "`FILE` of the pseudonym key, made if it is not there (default simtrap/key in the user's configuration folder)")
	complete(cmd, "numbering", numberingNames()...)
	return cmd
}

// parse checks the flags.
func (f *dissectFlags) parse(cmd *cobra.Command, t command.Terminal) (o dissect.Options, in capture.Options, err error) {
	wrong := func(flag string, err error) error {
		return command.Usage(cmd, fmt.Errorf("--%s: %w", flag, err))
	}
	modes := 0
	for i, on := range f.modes {
		if on {
			o.What = dissect.What(i)
			modes++
		}
	}
	if modes > 1 {
		return o, in, command.Usage(cmd, errors.New("--calls, --packets, --streams, --records and --registrations exclude each other"))
	}
	o.JSON, o.All = f.json, f.all
	if o.All && o.What != dissect.Packets {
		return o, in, wrong("all", errors.New("it goes with --packets"))
	}
	for _, list := range f.lines {
		for _, s := range strings.Split(list, ",") {
			p, err := dissect.ParseLine(s)
			if err != nil {
				return o, in, wrong("line", err)
			}
			o.Lines = append(o.Lines, p)
		}
	}
	if o.Homes, err = ident.ParseHomes(f.homes, 0); err != nil {
		return o, in, wrong("home", err)
	}
	if f.numbering == "" {
		return o, in, wrong("numbering", errors.New("an empty text names no plan: want the two letters of a country such as cn, or generic"))
	}
	if o.Plan, err = ident.ParsePlan(f.numbering); err != nil {
		return o, in, wrong("numbering", err)
	}
	if strings.TrimSpace(f.authority) == "" && cmd.Flags().Changed("authority") {
		return o, in, wrong("authority", errors.New("an empty text names no authority"))
	}
	if f.key == "" && cmd.Flags().Changed("key") {
		return o, in, wrong("key", errors.New("an empty text names no file"))
	}
	if cmd.Flags().Changed("call") {
		if o.Call, o.CallID, err = parseCall(f.call, f.authority != ""); err != nil {
			return o, in, wrong("call", err)
		}
		switch {
		case o.What == dissect.Records || o.What == dissect.Registrations:
			return o, in, wrong("call", errors.New("it goes with --calls, --packets and --streams"))
		case o.What == dissect.Packets && o.Call != 0:
			return o, in, wrong("call", errors.New("packets are told by Call-ID: take the one that --calls prints for the number"))
		case o.What == dissect.Streams && o.CallID != "":
			return o, in, wrong("call", errors.New("streams are told by number: take the one that --calls prints for the Call-ID"))
		}
	}
	if in, err = span(cmd, f.since, f.until); err != nil {
		return o, in, err
	}
	in.Stdin = interruptible(cmd.Context(), t.In)
	var key []byte // clear text needs none
	if f.authority == "" {
		if key, err = pseudonymKey(t, f.key); err != nil {
			return o, in, err
		}
	}
	o.Names = ident.NewPseudonymizer(key, f.authority)
	return o, in, nil
}

// parseCall takes the number of a call, or its Call-ID as it is printed: a
// pseudonym of 16 digits, or under authority the text itself.
func parseCall(s string, clear bool) (n uint64, id string, err error) {
	if len(s) < 16 {
		if n, err = strconv.ParseUint(s, 10, 64); err == nil && n > 0 {
			return n, "", nil
		}
	}
	if clear && s != "" {
		return 0, s, nil
	}
	hash := strings.ToLower(strings.TrimPrefix(s, "~"))
	if _, err := strconv.ParseUint(hash, 16, 64); err != nil || len(hash) != 16 {
		return 0, "", fmt.Errorf("%q: want the number of a call, or the 16 digits behind ~ of its Call-ID", s)
	}
	return 0, "~" + hash, nil
}

// span reads --since and --until.
func span(cmd *cobra.Command, since, until string) (in capture.Options, err error) {
	limit := func(flag, text string) (*int64, error) {
		if !cmd.Flags().Changed(flag) {
			return nil, nil
		}
		at, err := parseWhen(text)
		if err != nil {
			return nil, command.Usage(cmd, fmt.Errorf("--%s: %w", flag, err))
		}
		return &at, nil
	}
	if in.Since, err = limit("since", since); err != nil {
		return in, err
	}
	if in.Until, err = limit("until", until); err != nil {
		return in, err
	}
	if in.Since != nil && in.Until != nil && *in.Since >= *in.Until {
		return in, command.Usage(cmd, fmt.Errorf("--until: %s is not after --since %s", until, since))
	}
	return in, nil
}

// complete offers values for a flag to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// It fails for flags that are not there, which a test would show.
	cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// numberingUsage is the help of --numbering.
const numberingUsage = "numbering plan of the country, its `CC` in two letters (cn, th, gh ...), or generic"

// numberingNames are the plans there are, as --numbering takes them.
func numberingNames() []string {
	names := append(ident.Regions(), "cn", "generic")
	slices.Sort(names)
	return slices.Compact(names)
}

// runDissect reads the inputs and prints what they hold.
func runDissect(ctx context.Context, t command.Terminal, paths []string, o dissect.Options, in capture.Options) error {
	files, err := capture.Open(paths, in)
	if err != nil {
		return err
	}
	defer files.Close()
	out := &checked{w: t.Out}
	err = dissect.Run(ctx, files, out, o)
	damages := files.Damages()
	switch {
	case out.err != nil:
		return fmt.Errorf("standard output: %w", out.err)
	case ctx.Err() != nil:
		return errors.New("interrupted")
	}
	tellDamages(t, damages)
	if err != nil {
		return err
	}
	if out.n == 0 {
		t.Say("nothing to print: " + nothing(o))
	}
	if len(damages) > 0 {
		return command.Status(statusDamaged)
	}
	return nil
}

// nothing says what there was none of: an empty answer to a filter that was
// mistyped looks like an empty capture.
func nothing(o dissect.Options) string {
	text := [...]string{"no call", "no packet that says something", "no confirmed voice stream", "no record of a gateway's protocol", "no registration"}[o.What]
	if len(o.Lines) > 0 || o.Call != 0 || o.CallID != "" {
		return text + " in it fits --line and --call"
	}
	return text + " in it"
}

// checked remembers an error of its writer, and how much it took.
type checked struct {
	w   interface{ Write([]byte) (int, error) }
	n   int
	err error
}

func (c *checked) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += n
	if err != nil {
		c.err = err
	}
	return n, err
}
