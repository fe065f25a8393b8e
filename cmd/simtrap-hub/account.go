package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/hub/people"
)

func newAccount(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account COMMAND",
		Short: "Manage who may ask",
		Long: `account manages local accounts. Their roles: viewer reads what is masked; analyst also
addresses of lines, under an authority that enters the audit log; admin all of it;
auditor reads what is masked, and the audit log.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAccountAdd(p), newAccountPassword(p), newAccountRole(p), newAccountDisable(p, true), newAccountDisable(p, false), newAccountToken(p), newAccountList(p))
	return cmd
}

func newAccountAdd(p *place) *cobra.Command {
	role := string(people.Viewer)
	cmd := &cobra.Command{
		Use:   "add [flags] NAME",
		Short: "Make an account; the password comes from the terminal or standard input",
		Args:  command.OneArg("name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := people.ParseRole(role)
			if err != nil {
				return command.Usage(cmd, fmt.Errorf("--role %w", err))
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				password, err := command.Password(p.t, "password of "+args[0]+": ")
				if err != nil {
					return err
				}
				return h.people.Add(ctx, p.who(), args[0], r, password)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", role, "`ROLE`: viewer, analyst, admin or auditor")
	return cmd
}

func newAccountPassword(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "passwd NAME",
		Short: "Change a password; the account's sessions end",
		Args:  command.OneArg("name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				password, err := command.Password(p.t, "new password of "+args[0]+": ")
				if err != nil {
					return err
				}
				return h.people.SetPassword(ctx, p.who(), args[0], password)
			})
		},
	}
}

func newAccountRole(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "role NAME ROLE",
		Short: "Change what an account may do",
		Args:  command.TwoArgs("a name and a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := people.ParseRole(args[1])
			if err != nil {
				return command.Usage(cmd, err)
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				return h.people.SetRole(ctx, p.who(), args[0], r)
			})
		},
	}
}

func newAccountDisable(p *place, disabled bool) *cobra.Command {
	use, short := "enable NAME", "Let an account log in again"
	if disabled {
		use, short = "disable NAME", "End an account's sessions and let it open none"
	}
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  command.OneArg("name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				return h.people.Disable(ctx, p.who(), args[0], disabled)
			})
		},
	}
}

func newAccountToken(p *place) *cobra.Command {
	life := "90d"
	cmd := &cobra.Command{
		Use:   "token [flags] NAME",
		Short: "Print a token for a program that asks as an account",
		Args:  command.OneArg("name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := parseSpan(life)
			if err != nil {
				return command.Usage(cmd, fmt.Errorf("--for %w", err))
			}
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				token, until, err := h.people.Token(ctx, p.who(), args[0], d)
				if err != nil {
					return err
				}
				return p.print(struct {
					Account string    `json:"account"`
					Token   string    `json:"token"`
					Expires time.Time `json:"expires"`
				}{args[0], token, until.UTC()}, token)
			})
		},
	}
	cmd.Flags().StringVar(&life, "for", life, "`TIME` that it holds, up to 366d")
	return p.asJSON(cmd, "one JSON object")
}

func newAccountList(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "List the accounts",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				list, err := h.people.Accounts(ctx)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, a := range list {
					if p.json {
						if err := json.NewEncoder(p.t.Out).Encode(struct {
							Name     string    `json:"name"`
							Role     string    `json:"role"`
							Disabled bool      `json:"disabled"`
							Made     time.Time `json:"made"`
							Changed  time.Time `json:"changed"`
						}{a.Name, a.Role, a.Disabled, a.Made.UTC(), a.Changed.UTC()}); err != nil {
							return err
						}
						continue
					}
					state := "enabled"
					if a.Disabled {
						state = "disabled"
					}
					rows = append(rows, []string{a.Name, a.Role, state, ago(a.Made), ago(a.Changed)})
				}
				if p.json {
					return nil
				}
				return p.table([]string{"ACCOUNT", "ROLE", "STATE", "MADE (UTC)", "CHANGED (UTC)"}, rows)
			})
		},
	}
	return p.asJSON(cmd, "one JSON object per line")
}
