package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/evidence/bundle"
	"simtrap/report"
)

// checkFlags say against what bundles are checked.
type checkFlags struct{ signer, previous, roots string }

func (f *checkFlags) add(cmd *cobra.Command) {
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.signer, "signer", "", "`FILE` of the public key that must have signed (FILE.pub of keygen)")
	s.StringVar(&f.previous, "previous", "", "`FILE` of the bundle that must be the one before")
	s.StringVar(&f.roots, "tsa-ca", "", "`FILE` of certificates in PEM: who is trusted to certify time-stamp services")
}

func (f *checkFlags) options(cmd *cobra.Command) (o bundle.Options, err error) {
	for flag, value := range map[string]string{"signer": f.signer, "previous": f.previous, "tsa-ca": f.roots} {
		if value == "" && cmd.Flags().Changed(flag) {
			return o, command.Usage(cmd, fmt.Errorf("--%s: an empty text names no file", flag))
		}
	}
	if f.signer != "" {
		text, err := readSmall(f.signer)
		if err != nil {
			return o, fmt.Errorf("--signer: %w", err)
		}
		if o.Signer, err = bundle.ParsePublicKey(text); err != nil {
			return o, fmt.Errorf("--signer: %s: %w", f.signer, err)
		}
	}
	if f.roots != "" {
		text, err := os.ReadFile(f.roots)
		if err != nil {
			return o, fmt.Errorf("--tsa-ca: %w", err)
		}
		o.Roots = x509.NewCertPool()
		if !o.Roots.AppendCertsFromPEM(text) {
			return o, fmt.Errorf("--tsa-ca: %s: no certificates in PEM", f.roots)
		}
	}
	if f.previous != "" {
		v, err := verifyFile(f.previous, bundle.Options{Signer: o.Signer})
		if err != nil {
			return o, fmt.Errorf("--previous: %w", err)
		}
		o.Previous, o.PreviousNumber = &v.File, v.Manifest.Chain.Number
	}
	return o, nil
}

// verifyFile checks one file. What does not hold is named behind the file's name.
func verifyFile(name string, o bundle.Options) (*bundle.Verified, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: no file that can be read from any place", name)
	}
	v, err := bundle.Verify(f, info.Size(), o)
	if _, ok := errors.AsType[*bundle.Fault](err); ok {
		return nil, fmt.Errorf("%s does not hold: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

func newEvidenceVerify(t command.Terminal) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "verify [flags] BUNDLE...",
		Short: "Check bundles offline, and name the first thing that does not hold",
		Long: `verify checks every byte of a bundle: the manifest against its signature, each part
against the manifest, the file against its seal, the time-stamp against the signature.
It asks nobody. Several bundles are checked as a chain, each against the one named before it.

Whose key signed is for you to know: without --signer anybody's will do, and without
--tsa-ca any time-stamp service's. What was not compared is said.

Exit status: 0 when all holds; 1 when something does not, or could not be read; 2 for
wrong usage.`,
		Example: `  simtrap evidence verify --signer signing.key.pub --tsa-ca tsa.pem 1.evidence 2.evidence`,
		Args:    someBundles,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(cmd)
			if err != nil {
				return err
			}
			for _, name := range args {
				v, err := verifyFile(name, o)
				if err != nil {
					return err
				}
				tellHolds(t.Out, name, v)
				tellUnknown(t, name, v)
				o.Previous, o.PreviousNumber = &v.File, v.Manifest.Chain.Number
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func someBundles(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return command.Usage(cmd, errors.New("no bundle named"))
	}
	return nil
}

// tellUnknown says what was taken as the bundle says it.
func tellUnknown(t command.Terminal, name string, v *bundle.Verified) {
	if !v.SignerKnown {
		t.Warn(name + ": nothing says whose key signed it: compare its fingerprint, or give --signer")
	}
	if v.Stamp != nil && !v.StampTrusted {
		t.Warn(name + ": nothing says whose time-stamp it has: give --tsa-ca")
	}
	if v.Manifest.Chain.Previous != "" && !v.PreviousKnown {
		t.Warn(name + ": the bundle before it was not looked at: give --previous")
	}
}

// tellHolds prints what a bundle is and whose.
func tellHolds(w io.Writer, name string, v *bundle.Verified) {
	m := &v.Manifest
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(label, text string) {
		if text != "" {
			fmt.Fprintf(tw, "  %s\t%s\n", label, report.Plain(text))
		}
	}
	fmt.Fprintf(tw, "%s: holds\n", report.Plain(name))
	for _, l := range m.Lines {
		row("line", l)
	}
	row("case", m.Case)
	row("authority", m.Authority)
	row("made", m.Made+", clock "+m.Clock.Making)
	row("signed by", bundle.Fingerprint(v.Key))
	if v.Stamp != nil {
		row("time-stamp", v.Stamp.Time.Format("2006-01-02T15:04:05.999999999Z")+" by "+v.Stamp.Service)
	}
	row("number", fmt.Sprint(m.Chain.Number))
	row("before it", m.Chain.Previous)
	row("SHA-256", fmt.Sprintf("%x", v.File))
	tw.Flush()
}

func newEvidenceShow(t command.Terminal) *cobra.Command {
	var f checkFlags
	var part string
	cmd := &cobra.Command{
		Use:   "show [flags] BUNDLE",
		Short: "Check a bundle and print what is in it, or one of its parts",
		Args:  command.OneArg("bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(cmd)
			if err != nil {
				return err
			}
			if part != "" {
				return writePart(t, t.Out, args[0], part, bundle.MaxBytes, o)
			}
			v, err := verifyFile(args[0], o)
			if err != nil {
				return err
			}
			tellHolds(t.Out, args[0], v)
			m := &v.Manifest
			tw := tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', 0)
			fmt.Fprintf(tw, "program\t%s %s\t%s\n", report.Plain(m.Program.Name), report.Plain(m.Program.Version), m.Program.SHA256)
			fmt.Fprintf(tw, "tables\tversion %d\t%s\n", m.Catalogue.Version, m.Catalogue.SHA256)
			fmt.Fprintf(tw, "clock\t%s\t%s to %s\n", report.Plain(m.Clock.Capture), m.Clock.First, m.Clock.Last)
			for _, in := range m.Inputs {
				fmt.Fprintf(tw, "read\t%s, %d bytes\t%s\n", report.Plain(in.Name), in.Bytes, in.SHA256)
			}
			for _, p := range m.Parts {
				fmt.Fprintf(tw, "part\t%s, %d bytes\t%s\n", p.Name, p.Bytes, p.SHA256)
			}
			tellUnknown(t, args[0], v)
			return tw.Flush()
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&part, "part", "", "write the part of this `NAME` to standard output, once all holds")
	return cmd
}

// writePart writes one part of a bundle that holds. It is read twice: nothing is
// written before everything is known to hold, and the second time it is held
// to what the first one found. A part of more than most bytes is refused.
func writePart(t command.Terminal, w io.Writer, name, part string, most int64, o bundle.Options) error {
	first, err := verifyFile(name, o)
	if err != nil {
		return err
	}
	for _, e := range first.Manifest.Parts {
		if e.Name == part && e.Bytes > most {
			return fmt.Errorf("%s: part %s: %d bytes, more than %d", name, part, e.Bytes, most)
		}
	}
	found := false
	o.Part = func(e bundle.Entry, r io.Reader) error {
		if e.Name != part {
			return nil
		}
		found = true
		_, err := io.Copy(w, r)
		return err
	}
	again, err := verifyFile(name, o)
	switch {
	case err != nil:
		return err
	case again.File != first.File:
		return fmt.Errorf("%s changed while it was read", name)
	case !found:
		return fmt.Errorf("%s has no part %s: simtrap evidence show %s names them", name, part, name)
	}
	tellUnknown(t, name, again)
	return nil
}

// maxReport is more than any report that make writes, bytes: it is held in memory.
const maxReport = 64 << 20

func newEvidenceReport(t command.Terminal) *cobra.Command {
	var f checkFlags
	var lang, output string
	var force bool
	cmd := &cobra.Command{
		Use:   "report [flags] BUNDLE",
		Short: "Check a bundle and write its report, a page for A4 paper",
		Args:  command.OneArg("bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			language, err := report.ParseLanguage(lang)
			if err != nil {
				return command.Usage(cmd, fmt.Errorf("--lang: %w", err))
			}
			o, err := f.options(cmd)
			if err != nil {
				return err
			}
			part := partEnglish
			if language == report.Chinese {
				part = partChinese
			}
			var page bytes.Buffer
			if err := writePart(t, &page, args[0], part, maxReport, o); err != nil {
				return err
			}
			if output == "" {
				_, err := page.WriteTo(t.Out)
				return err
			}
			if _, err := os.Lstat(output); err == nil && !force {
				return fmt.Errorf("%s is there already: name another file, or replace it with --force", output)
			}
			return writeFile(output, func(w io.Writer) error {
				_, err := page.WriteTo(w)
				return err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&lang, "lang", "en", "language: `en|zh`")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to `FILE` (default standard output)")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file if it is there")
	complete(cmd, "lang", "en", "zh")
	return cmd
}
