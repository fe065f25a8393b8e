package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/hub/people"
)

func newAudit(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit COMMAND",
		Short: "Read and check the audit log",
		Args:  command.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerify(p), newAuditList(p))
	return cmd
}

func newAuditVerify(p *place) *cobra.Command {
	var anchors []string
	cmd := &cobra.Command{
		Use:   "verify [flags]",
		Short: "Check that the audit log is as it was written",
		Long: `verify reads the whole audit log, checks that each entry follows from the one before it,
and prints the newest as N:HASH. Who can write the store can also write another log
that holds in itself: keep what is printed somewhere else, and give it with --anchor the
next time. Then nothing up to N can have been changed, and nothing taken away.

Exit status: 0 when the log is whole; 3 when it is not; 1 when it cannot be read; 2 for
wrong usage.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []people.Anchor
			for _, s := range anchors {
				a, err := people.ParseAnchor(s)
				if err != nil {
					return command.Usage(cmd, fmt.Errorf("--anchor %w", err))
				}
				list = append(list, a)
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				head, err := h.people.Verify(ctx, list...)
				if broken, is := errors.AsType[*people.AuditBroken](err); is {
					if p.json {
						json.NewEncoder(p.t.Out).Encode(map[string]any{"ok": false, "entry": broken.Sequence, "why": broken.Why})
					}
					p.t.Say(broken.Error())
					return command.Status(statusBroken)
				}
				if err != nil {
					return err
				}
				text := head.String()
				if head.Sequence == 0 {
					text = "the audit log is empty"
				}
				return p.print(map[string]any{"ok": true, "entries": head.Sequence, "anchor": head.String()}, text)
			})
		},
	}
	cmd.Flags().StringArrayVar(&anchors, "anchor", nil, "`N:HASH` of an earlier verify, kept elsewhere; may be given again")
	return p.asJSON(cmd, "one JSON object")
}

// statusBroken: the log was read, and is not whole.
const statusBroken = 3

func newAuditList(p *place) *cobra.Command {
	from := uint64(1)
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "Print the audit log",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				var rows [][]string
				for next := max(from, 1); ; {
					list, err := h.people.Log(ctx, next, listPage)
					if err != nil {
						return err
					}
					if len(list) == 0 {
						break
					}
					for _, e := range list {
						next = e.Sequence + 1
						if p.json {
							if err := json.NewEncoder(p.t.Out).Encode(e); err != nil {
								return err
							}
							continue
						}
						rows = append(rows, []string{fmt.Sprint(e.Sequence), ago(e.At), e.Account, e.Action, e.Object, e.Authority, strings.TrimSpace(e.Detail)})
					}
					if !p.json {
						// A page at a time: the log may be long.
						if err := p.table([]string{"N", "AT (UTC)", "WHO", "DID", "TO", "AUTHORITY", "DETAIL"}, rows); err != nil {
							return err
						}
						rows = nil
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().Uint64Var(&from, "from", from, "first entry, by `N`")
	return p.asJSON(cmd, "one JSON object per line")
}
