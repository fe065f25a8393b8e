package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	"simtrap/cmd/internal/command"
	"simtrap/report"
	"simtrap/report/adminpb"
	"simtrap/report/adminpb/adminpbconnect"
	"simtrap/report/fleetpb"
)

// office gives the clients of a hub's administration.
func (a *hubAccess) office(cmd *cobra.Command) (adminpbconnect.AdminServiceClient, adminpbconnect.AuditServiceClient, error) {
	c, address, err := a.caller(cmd)
	if err != nil {
		return nil, nil, err
	}
	most := connect.WithReadMaxBytes(maxHubAnswer)
	return adminpbconnect.NewAdminServiceClient(c, address, most), adminpbconnect.NewAuditServiceClient(c, address, most), nil
}

// auditPage is how many entries are asked for at once.
const auditPage = 500

func newHubAudit(t command.Terminal, to *hubAccess) *cobra.Command {
	var from uint64
	cmd := &cobra.Command{
		Use:   "audit [flags]",
		Short: "Print the hub's audit log, for auditors",
		Long: `audit prints who did what at the hub, one JSON object per line, the oldest first. Only
accounts of the role auditor may.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, c, err := to.office(cmd)
			if err != nil {
				return err
			}
			out := json.NewEncoder(t.Out)
			out.SetEscapeHTML(false)
			return everyEntry(from, func(next uint64) ([]*adminpb.Entry, error) {
				a, err := ask(cmd.Context(), c.ListEntries, &adminpb.ListEntriesRequest{From: next, Size: auditPage})
				if err != nil {
					return nil, hubError("", err)
				}
				return a.GetEntries(), nil
			}, func(e *adminpb.Entry) error {
				return out.Encode(struct {
					Sequence  uint64    `json:"sequence"`
					At        time.Time `json:"at"`
					Account   string    `json:"account"`
					Action    string    `json:"action"`
					Object    string    `json:"object,omitempty"`
					Authority string    `json:"authority,omitempty"`
					Detail    string    `json:"detail,omitempty"`
				}{e.GetSequence(), e.GetAt().AsTime(), report.Plain(e.GetAccount()), report.Plain(e.GetAction()), report.Plain(e.GetObject()), report.Plain(e.GetAuthority()), report.Plain(e.GetDetail())})
			})
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 1, "first entry, by `N`")
	cmd.AddCommand(newHubVerify(t, to))
	return cmd
}

// everyEntry reads a log page by page to its end. A hub whose numbers do not rise would
// have it read for ever.
func everyEntry(from uint64, page func(next uint64) ([]*adminpb.Entry, error), take func(*adminpb.Entry) error) error {
	for next := max(from, 1); ; {
		list, err := page(next)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			if e.GetSequence() < next || e.GetSequence() == math.MaxUint64 {
				return fmt.Errorf("the hub gives entry %d where %d or a later one belongs", e.GetSequence(), next)
			}
			next = e.GetSequence() + 1
			if err := take(e); err != nil {
				return err
			}
		}
	}
}

// statusBroken: the log was read, and is not whole.
const statusBroken = 3

func newHubVerify(t command.Terminal, to *hubAccess) *cobra.Command {
	var anchors []string
	cmd := &cobra.Command{
		Use:   "verify [flags]",
		Short: "Check that the audit log is as it was written",
		Long: `verify has the hub read its whole audit log and prints the newest entry as N:HASH. Keep
that elsewhere and give it with --anchor the next time: then nothing up to N can have
been changed or taken away unseen.

Exit status: 0 when the log is whole; 3 when it is not; 1 when that could not be asked;
2 for wrong usage.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, c, err := to.office(cmd)
			if err != nil {
				return err
			}
			a, err := ask(cmd.Context(), c.VerifyLog, &adminpb.VerifyLogRequest{Anchors: anchors})
			if err != nil {
				return hubError("", err)
			}
			if !a.GetWhole() {
				t.Say(fmt.Sprintf("the audit log is broken at entry %d: %s", a.GetEntry(), report.Plain(a.GetWhy())))
				return command.Status(statusBroken)
			}
			_, err = fmt.Fprintln(t.Out, first(report.Plain(a.GetAnchor()), "the audit log is empty"))
			return err
		},
	}
	cmd.Flags().StringArrayVar(&anchors, "anchor", nil, "`N:HASH` of an earlier verify, kept elsewhere; may be given again")
	return cmd
}

// administers makes a command of one call.
func administers(to *hubAccess, use, short string, args cobra.PositionalArgs, run func(context.Context, adminpbconnect.AdminServiceClient, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := to.office(cmd)
			if err != nil {
				return err
			}
			if err := run(cmd.Context(), c, args); err != nil {
				return hubError("", err)
			}
			return nil
		},
	}
}

func newHubAccount(t command.Terminal, to *hubAccess) *cobra.Command {
	type client = adminpbconnect.AdminServiceClient
	cmd := &cobra.Command{
		Use:   "account COMMAND",
		Short: "Manage who may ask the hub, for administrators",
		Long: `account manages the hub's accounts. Only accounts of the role admin may. Passwords come
from the terminal, or from the first line of standard input.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	change := func(use, short string, args cobra.PositionalArgs, fill func(*adminpb.ChangeAccountRequest, []string) error) *cobra.Command {
		return administers(to, use, short, args, func(ctx context.Context, c client, args []string) error {
			m := &adminpb.ChangeAccountRequest{Name: args[0]}
			if err := fill(m, args); err != nil {
				return err
			}
			_, err := ask(ctx, c.ChangeAccount, m)
			return err
		})
	}
	disabled := func(v bool) func(*adminpb.ChangeAccountRequest, []string) error {
		return func(m *adminpb.ChangeAccountRequest, _ []string) error { m.Disabled = &v; return nil }
	}
	role := "viewer"
	add := administers(to, "add [flags] NAME", "Make an account", command.OneArg("name"), func(ctx context.Context, c client, args []string) error {
		password, err := command.Password(t, "new password of "+report.Plain(args[0])+": ")
		if err != nil {
			return err
		}
		_, err = ask(ctx, c.AddAccount, &adminpb.AddAccountRequest{Name: args[0], Role: role, Password: password})
		return err
	})
	add.Flags().StringVar(&role, "role", role, "`ROLE`: viewer, analyst, admin or auditor")
	life := 90 * 24 * time.Hour
	token := administers(to, "token [flags] NAME", "Print a token for a program that asks as an account", command.OneArg("name"), func(ctx context.Context, c client, args []string) error {
		a, err := ask(ctx, c.MakeToken, &adminpb.MakeTokenRequest{Name: args[0], Life: durationpb.New(life)})
		if err == nil {
			_, err = fmt.Fprintln(t.Out, a.GetToken())
		}
		return err
	})
	token.Flags().DurationVar(&life, "for", life, "`TIME` that it holds, up to 8784h")
	cmd.AddCommand(add, token,
		change("passwd NAME", "Change a password; the account's sessions end", command.OneArg("name"), func(m *adminpb.ChangeAccountRequest, _ []string) (err error) {
			m.Password, err = command.Password(t, "new password of "+report.Plain(m.Name)+": ")
			return err
		}),
		change("role NAME ROLE", "Change what an account may do", command.TwoArgs("a name and a role"), func(m *adminpb.ChangeAccountRequest, args []string) error { m.Role = args[1]; return nil }),
		change("disable NAME", "End an account's sessions and let it open none", command.OneArg("name"), disabled(true)),
		change("enable NAME", "Let an account log in again", command.OneArg("name"), disabled(false)),
		administers(to, "list", "List the accounts, one JSON object per line", command.NoArgs, func(ctx context.Context, c client, _ []string) error {
			a, err := ask(ctx, c.ListAccounts, &adminpb.ListAccountsRequest{})
			if err != nil {
				return err
			}
			for _, x := range a.GetAccounts() {
				if err := json.NewEncoder(t.Out).Encode(struct {
					Name     string    `json:"name"`
					Role     string    `json:"role"`
					Disabled bool      `json:"disabled"`
					Made     time.Time `json:"made"`
					Changed  time.Time `json:"changed"`
				}{x.GetName(), x.GetRole(), x.GetDisabled(), x.GetMade().AsTime(), x.GetChanged().AsTime()}); err != nil {
					return err
				}
			}
			return nil
		}))
	return cmd
}

// newHubEnroll and newHubRevoke are below sensors.
func newHubEnroll(t command.Terminal, to *hubAccess) *cobra.Command {
	return administers(to, "enroll NAME", "Print a token that admits one appliance, for administrators", command.OneArg("name of a sensor"),
		func(ctx context.Context, c adminpbconnect.AdminServiceClient, args []string) error {
			a, err := ask(ctx, c.EnrollSensor, &adminpb.EnrollSensorRequest{Name: args[0]})
			if err == nil {
				_, err = fmt.Fprintln(t.Out, a.GetToken())
			}
			return err
		})
}

func newHubRevoke(to *hubAccess) *cobra.Command {
	var reason string
	cmd := administers(to, "revoke [flags] NAME", "Turn an appliance away, at once, for administrators", command.OneArg("name of a sensor"),
		func(ctx context.Context, c adminpbconnect.AdminServiceClient, args []string) error {
			_, err := ask(ctx, c.RevokeSensor, &adminpb.RevokeSensorRequest{Name: args[0], Reason: reason})
			return err
		})
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` for the audit log")
	return cmd
}

// maxPolicyFile bounds what is read of a policy, in bytes: more than the hub takes.
const maxPolicyFile = 1 << 20

func newHubPolicy(t command.Terminal, to *hubAccess) *cobra.Command {
	type client = adminpbconnect.AdminServiceClient
	cmd := &cobra.Command{
		Use:   "policy COMMAND",
		Short: "Set what all appliances go by, for administrators",
		Args:  command.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	set := administers(to, "set FILE", "Set prefixes and realms from a file of JSON; - is standard input", command.OneArg("file"), func(ctx context.Context, c client, args []string) error {
		in := t.In
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		b, err := io.ReadAll(io.LimitReader(in, maxPolicyFile))
		if err != nil {
			return err
		}
		m := &fleetpb.Policy{}
		if err := protojson.Unmarshal(b, m); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		_, err = ask(ctx, c.SetPolicy, &adminpb.SetPolicyRequest{Policy: m})
		return err
	})
	set.Long = `set makes a file the policy of all appliances: an object with home, never, shared (lists
of prefixes) and realms (name, vlans as {first, last}, tunnels). What the file does not
have is no more. Declared gateways and the catalogue stay as they are.`
	set.Example = `  echo '{"home": ["10.0.0.0/8"], "realms": [{"name": "north", "vlans": [{"first": 100, "last": 199}]}]}' |
    simtrap hub policy set -`
	show := administers(to, "show", "Print the policy that holds, as JSON", command.NoArgs, func(ctx context.Context, c client, _ []string) error {
		a, err := ask(ctx, c.GetPolicy, &adminpb.GetPolicyRequest{})
		if err != nil {
			return err
		}
		b, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(a)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.Out, string(b))
		return err
	})
	cmd.AddCommand(set, show)
	return cmd
}

func newHubDeclare(to *hubAccess) *cobra.Command {
	var reason, owner string
	life, remove := 365*24*time.Hour, false
	cmd := administers(to, "declare [flags] LINE", "Say that a line is a gateway that the operator knows of, for administrators", command.OneArg("line"),
		func(ctx context.Context, c adminpbconnect.AdminServiceClient, args []string) error {
			if remove {
				_, err := ask(ctx, c.RemoveGateway, &adminpb.RemoveGatewayRequest{Line: args[0]})
				return err
			}
			_, err := ask(ctx, c.DeclareGateway, &adminpb.DeclareGatewayRequest{Line: args[0], Reason: reason, Owner: owner, Life: durationpb.New(life)})
			return err
		})
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT`: why it is there")
	cmd.Flags().StringVar(&owner, "owner", "", "`NAME` of who answers for it")
	cmd.Flags().DurationVar(&life, "for", life, "`TIME` that the entry holds")
	cmd.Flags().BoolVar(&remove, "remove", false, "take the line off the register")
	return cmd
}
