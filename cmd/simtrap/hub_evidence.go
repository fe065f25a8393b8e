package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/cmd/internal/command"
	"simtrap/evidence/bundle"
	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/querypb/querypbconnect"
)

// evidenceEvery is how often it is looked whether sensors have answered.
const evidenceEvery = 2 * time.Second

// hubEvidence is what flags say.
type hubEvidence struct {
	authority, since, until, output, resume string
	wait                                    time.Duration
	force, quiet                            bool
}

// newHubEvidence makes `simtrap hub evidence`.
func newHubEvidence(t command.Terminal, to *hubAccess) *cobra.Command {
	f := hubEvidence{wait: 5 * time.Minute}
	cmd := &cobra.Command{
		Use:   "evidence [flags] --authority TEXT -o FILE LINE|CASE...",
		Short: "Fetch the headers that sensors keep of lines, as a signed bundle",
		Long: `evidence asks, by way of the hub, the sensors of the lines named, or of a case's lines,
for headers of packets that they keep of them (without what the packets carry), and writes
what comes into a bundle that the hub has signed, with the findings. simtrap evidence
verify checks it. It is for analysts and admins; the hub's audit log and the sensors' own
have who asked for what, and under which authority.

Sensors ask the hub for requests, so that one that is away answers when it is back: a day
at most. After --wait the request goes on, and --resume ID fetches what came. A sensor may
refuse; what it says is in the bundle.

Exit status: 0 when all have answered and the bundle holds; 3 when some have not, or
refused, and the bundle has the rest; 1 for anything that prevented the work; 2 for wrong
usage.`,
		Example: `  simtrap hub evidence --authority "case 2026-114" -o 1.evidence 0123456789abcdef0123456789abcdef
  simtrap hub evidence --resume fedcba9876543210fedcba9876543210 -o 1.evidence`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, t, to, args) },
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.authority, "authority", "", "ask under this authority, `TEXT` such as \"case 2026-114\"")
	s.StringVarP(&f.output, "output", "o", "", "write the bundle to `FILE`")
	s.StringVar(&f.since, "since", "", "only packets of `TIME` or after (2026-11-23, \"2026-11-23 10:00\", RFC 3339; UTC unless it says otherwise)")
	s.StringVar(&f.until, "until", "", "only packets of `TIME` or before")
	s.DurationVar(&f.wait, "wait", f.wait, "`TIME` that sensors have to answer")
	s.StringVar(&f.resume, "resume", "", "fetch what came for the request `ID` of before")
	s.BoolVar(&f.force, "force", false, "replace the file if it is there")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "say nothing but errors")
	return cmd
}

// check says what is wrong with the flags.
func (f *hubEvidence) check(cmd *cobra.Command, args []string) error {
	wrong := func(format string, a ...any) error { return command.Usage(cmd, fmt.Errorf(format, a...)) }
	switch {
	case f.resume == "" && len(args) == 0:
		return wrong("no line or case named: give ids as simtrap hub lines and cases show them")
	case f.resume != "" && (len(args) > 0 || cmd.Flags().Changed("authority") || cmd.Flags().Changed("since") || cmd.Flags().Changed("until")):
		return wrong("--resume goes on with what was asked for: leave lines, --authority, --since and --until out")
	case f.resume == "" && strings.TrimSpace(f.authority) == "":
		return wrong("--authority: under which? headers of packets are fetched under one")
	case f.output == "":
		return wrong("--output: where to?")
	case f.wait < 0:
		return wrong("--wait %v: want 0 or more", f.wait)
	}
	return nil
}

func (f *hubEvidence) run(cmd *cobra.Command, t command.Terminal, to *hubAccess, args []string) error {
	if err := f.check(cmd, args); err != nil {
		return err
	}
	if _, err := os.Lstat(f.output); err == nil && !f.force {
		return fmt.Errorf("%s is there already: name another file, or replace it with --force", f.output)
	}
	q := &querypb.AskEvidenceRequest{Authority: f.authority}
	for _, end := range []struct {
		flag, text string
		to         **timestamppb.Timestamp
	}{{"since", f.since, &q.From}, {"until", f.until, &q.Until}} {
		if !cmd.Flags().Changed(end.flag) {
			continue
		}
		ns, err := parseWhen(end.text)
		if err != nil {
			return command.Usage(cmd, fmt.Errorf("--%s: %w", end.flag, err))
		}
		*end.to = timestamppb.New(time.Unix(0, ns))
	}
	http, address, err := to.caller(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	c := querypbconnect.NewEvidenceServiceClient(http, address, connect.WithReadMaxBytes(maxHubAnswer))
	var e *querypb.Evidence
	if f.resume == "" {
		if err := sortIDs(ctx, querypbconnect.NewQueryServiceClient(http, address, connect.WithReadMaxBytes(maxHubAnswer)), args, q); err != nil {
			return err
		}
		a, err := ask(ctx, c.AskEvidence, q)
		if err != nil {
			return hubError("", err)
		}
		e = a.GetEvidence()
		f.say(t, fmt.Sprintf("asked for %s under the request %s", count(len(e.GetParts()), "line"), e.GetId()))
	} else {
		a, err := ask(ctx, c.GetEvidence, &querypb.GetEvidenceRequest{Id: f.resume})
		if err != nil {
			return hubError("", err)
		}
		e = a.GetEvidence()
	}
	if e, err = f.await(ctx, c, e); err != nil {
		return err
	}
	sum, err := f.fetch(ctx, c, e.GetId())
	if err != nil {
		return err
	}
	fmt.Fprintf(t.Out, "%x  %s\n", sum, report.Plain(f.output))
	missing := false
	for _, p := range e.GetParts() {
		switch p.GetState() {
		case querypb.EvidenceState_EVIDENCE_STATE_DONE:
		case querypb.EvidenceState_EVIDENCE_STATE_REFUSED:
			missing = true
			t.Warn(fmt.Sprintf("line %s: sensor %s refused: %s", p.GetLineId(), report.Plain(p.GetSensor()), report.Plain(p.GetReason())))
		default:
			missing = true
			t.Warn(fmt.Sprintf("line %s: sensor %s has not answered; --resume %s fetches what comes until %s", p.GetLineId(), report.Plain(p.GetSensor()), e.GetId(), e.GetExpires().AsTime().Format(time.RFC3339)))
		}
	}
	if missing {
		return command.Status(3)
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (f *hubEvidence) say(t command.Terminal, text string) {
	if !f.quiet {
		t.Say(text)
	}
}

// sortIDs finds out which ids are lines' and which is a case's.
func sortIDs(ctx context.Context, c querypbconnect.QueryServiceClient, ids []string, q *querypb.AskEvidenceRequest) error {
	for _, id := range ids {
		_, err := ask(ctx, c.GetCase, &querypb.GetCaseRequest{Id: id})
		switch {
		case err == nil && q.CaseId != "":
			return errors.New("two cases: fetch the evidence of each")
		case err == nil:
			q.CaseId = id
		case connect.CodeOf(err) == connect.CodeNotFound:
			q.LineIds = append(q.LineIds, id)
		default:
			return hubError("", err)
		}
	}
	return nil
}

// answered says whether no more is to be waited for.
func answered(e *querypb.Evidence) bool {
	for _, p := range e.GetParts() {
		if s := p.GetState(); s == querypb.EvidenceState_EVIDENCE_STATE_WAITING || s == querypb.EvidenceState_EVIDENCE_STATE_COMING {
			return false
		}
	}
	return true
}

// await waits for the sensors.
func (f *hubEvidence) await(ctx context.Context, c querypbconnect.EvidenceServiceClient, e *querypb.Evidence) (*querypb.Evidence, error) {
	for end := time.Now().Add(f.wait); !answered(e) && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return e, fmt.Errorf("%w; --resume %s fetches what comes", ctx.Err(), e.GetId())
		case <-time.After(min(evidenceEvery, time.Until(end))):
		}
		a, err := ask(ctx, c.GetEvidence, &querypb.GetEvidenceRequest{Id: e.GetId()})
		if err != nil {
			return e, hubError("", err)
		}
		e = a.GetEvidence()
	}
	return e, nil
}

// fetch writes the bundle to the file, and checks it.
func (f *hubEvidence) fetch(ctx context.Context, c querypbconnect.EvidenceServiceClient, id string) (sum []byte, err error) {
	err = writeFile(f.output, func(w io.Writer) error {
		stream, err := c.FetchBundle(ctx, connect.NewRequest(&querypb.FetchBundleRequest{Id: id}))
		if err != nil {
			return hubError("", err)
		}
		defer stream.Close()
		h := sha256.New()
		size := int64(0)
		for stream.Receive() {
			b := stream.Msg().GetData()
			if size += int64(len(b)); size > bundle.MaxFile {
				return errors.New("what the hub sends is larger than any bundle")
			}
			h.Write(b)
			if _, err := io.Copy(w, bytes.NewReader(b)); err != nil {
				return err
			}
		}
		if err := stream.Err(); err != nil {
			return hubError("", err)
		}
		sum = h.Sum(nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := verifyFile(f.output, bundle.Options{}); err != nil {
		return nil, err
	}
	return sum, nil
}
