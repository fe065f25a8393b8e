package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/hub/export"
	"simtrap/report/querypb"
)

// newHubOpen makes `simtrap hub cases open`.
func newHubOpen(t command.Terminal, to *hubAccess) *cobra.Command {
	q := &querypb.OpenCaseRequest{}
	asJSON := false
	cmd := &cobra.Command{
		Use:   "open [flags] TITLE",
		Short: "Open a case",
		Long: `open begins a case of boxes and rings, and prints its id. It is for analysts and admins,
and enters the audit log.`,
		Args: command.OneArg("title"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Title = args[0]
			c, err := to.client(cmd)
			if err != nil {
				return err
			}
			a, err := ask(cmd.Context(), c.OpenCase, q)
			if err != nil {
				return hubError("", err)
			}
			return printCase(t, a.GetCase(), asJSON)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringArrayVar(&q.RingIds, "ring", nil, "the ring `ID` belongs to it; may be repeated")
	s.StringArrayVar(&q.BoxIds, "box", nil, "the box `ID` belongs to it; may be repeated")
	s.StringVar(&q.Owner, "owner", "", "the account `NAME` works on it (default yours)")
	s.BoolVar(&asJSON, "json", false, "print the case as one JSON object")
	return cmd
}

func printCase(t command.Terminal, c *querypb.Case, asJSON bool) error {
	var err error
	if asJSON {
		_, err = t.Out.Write(append(export.AppendRow(nil, c), '\n'))
	} else {
		width, _ := columns(t.Out)
		err = export.WriteRow(t.Out, c, width)
	}
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// outcome reads the words for what turned out.
func outcome(text string) (querypb.Outcome, error) {
	o, ok := map[string]querypb.Outcome{
		"unknown": querypb.Outcome_OUTCOME_UNSPECIFIED, "confirmed": querypb.Outcome_OUTCOME_CONFIRMED, "innocent": querypb.Outcome_OUTCOME_INNOCENT,
	}[text]
	if !ok {
		return o, fmt.Errorf("%q: want confirmed, innocent or unknown", text)
	}
	return o, nil
}

// newHubChange makes `simtrap hub cases change`.
func newHubChange(t command.Terminal, to *hubAccess) *cobra.Command {
	q := &querypb.ChangeCaseRequest{}
	var title, owner, state, turned string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "change [flags] ID",
		Short: "Change a case: its state, owner, outcome; add to it",
		Long: `change changes what flags name of a case, and leaves the rest. It is for analysts and
admins, and enters the audit log.`,
		Args: command.OneArg("id of a case"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Id = args[0]
			given := false
			for _, flag := range []string{"state", "outcome", "title", "owner", "ring", "box", "comment"} {
				given = given || cmd.Flags().Changed(flag)
			}
			if !given {
				return command.Usage(cmd, errors.New("nothing to change: name what"))
			}
			if cmd.Flags().Changed("state") {
				v, err := caseState(state)
				if err != nil {
					return command.Usage(cmd, fmt.Errorf("--state: %w", err))
				}
				q.State = &v
			}
			if cmd.Flags().Changed("outcome") {
				v, err := outcome(turned)
				if err != nil {
					return command.Usage(cmd, fmt.Errorf("--outcome: %w", err))
				}
				q.Outcome = &v
			}
			if cmd.Flags().Changed("title") {
				q.Title = &title
			}
			if cmd.Flags().Changed("owner") {
				q.Owner = &owner
			}
			c, err := to.client(cmd)
			if err != nil {
				return err
			}
			a, err := ask(cmd.Context(), c.ChangeCase, q)
			if err != nil {
				return hubError("", err)
			}
			return printCase(t, a.GetCase(), asJSON)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&state, "state", "", "it is in `STATE` now: open, handed-over or closed")
	s.StringVar(&turned, "outcome", "", "what turned out: `OUTCOME` confirmed, innocent or unknown")
	s.StringVar(&title, "title", "", "its new title, `TEXT`")
	s.StringVar(&owner, "owner", "", "the account `NAME` works on it now")
	s.StringArrayVar(&q.RingIds, "ring", nil, "the ring `ID` belongs to it as well; may be repeated")
	s.StringArrayVar(&q.BoxIds, "box", nil, "the box `ID` belongs to it as well; may be repeated")
	s.StringVar(&q.Comment, "comment", "", "keep `TEXT` with it")
	s.BoolVar(&asJSON, "json", false, "print the case as one JSON object")
	complete(cmd, "state", "open", "handed-over", "closed")
	complete(cmd, "outcome", "confirmed", "innocent", "unknown")
	return cmd
}

// newHubOutcome makes `simtrap hub outcome`.
func newHubOutcome(t command.Terminal, to *hubAccess) *cobra.Command {
	q := &querypb.SetOutcomeRequest{}
	cmd := &cobra.Command{
		Use:   "outcome [flags] FINDING OUTCOME",
		Short: "Say what turned out about a finding: confirmed, innocent, or unknown again",
		Long: `outcome says what people found who have been there. simtrap hub export feedback gives
outcomes to calibration. It is for analysts and admins, and enters the audit log.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return command.Usage(cmd, fmt.Errorf("want the id of a finding and an outcome, not %d arguments", len(args)))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{"confirmed", "innocent", "unknown"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := outcome(args[1])
			if err != nil {
				return command.Usage(cmd, err)
			}
			q.FindingId, q.Outcome = args[0], v
			c, err := to.client(cmd)
			if err != nil {
				return err
			}
			if _, err := ask(cmd.Context(), c.SetOutcome, q); err != nil {
				return hubError("", err)
			}
			return nil
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&q.CaseId, "case", "", "it turned out in the case `ID`")
	s.StringVar(&q.Note, "note", "", "how, in `TEXT`")
	return cmd
}
