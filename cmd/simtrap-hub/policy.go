package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"simtrap/cmd/internal/command"
	"simtrap/hub/policy"
	"simtrap/report/fleetpb"
)

// maxPolicyFile bounds what is read of one, in bytes.
const maxPolicyFile = 4 << 20

func newPolicy(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy COMMAND",
		Short: "Set what all appliances go by",
		Args:  command.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicySet(p), newPolicyShow(p))
	return cmd
}

// policyFile is a policy as people write it.
type policyFile struct {
	Home   []string    `yaml:"home" json:"home"`
	Never  []string    `yaml:"never" json:"never"`
	Shared []string    `yaml:"shared" json:"shared"`
	Realms []realmFile `yaml:"realms" json:"realms"`
}

type realmFile struct {
	Name    string   `yaml:"name" json:"name"`
	VLAN    []string `yaml:"vlan" json:"vlan"`
	Tunnels []string `yaml:"tunnel" json:"tunnel"`
}

func newPolicySet(p *place) *cobra.Command {
	return &cobra.Command{
		Use:   "set FILE",
		Short: "Set prefixes and realms from a file; - is standard input",
		Long: `set reads a YAML file and makes it the policy of all appliances. Its keys are those of
an appliance's configuration: home, never, shared (prefixes) and realms (name, vlan,
tunnel). What the file does not have is no more. Declared gateways and the catalogue
stay as they are.`,
		Example: `  home: [10.0.0.0/8, 2001:db8::/32]
  never: [10.255.0.0/16]
  realms:
    - {name: north, vlan: [100-199, "300"], tunnel: [192.0.2.0/24]}`,
		Args: command.OneArg("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := p.t.In
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			d := yaml.NewDecoder(io.LimitReader(in, maxPolicyFile))
			d.KnownFields(true)
			var f policyFile
			if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			want, err := f.message()
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return p.changePolicy(cmd, policy.Change{Action: "policy.set", Object: args[0], Do: policy.Set(want)})
		},
	}
}

// message gives a policy as it is stored.
func (f *policyFile) message() (*fleetpb.Policy, error) {
	m := &fleetpb.Policy{Home: f.Home, Never: f.Never, Shared: f.Shared}
	for _, r := range f.Realms {
		x := &fleetpb.Realm{Name: r.Name, Tunnels: r.Tunnels}
		for _, s := range r.VLAN {
			v, err := vlan(s)
			if err != nil {
				return nil, fmt.Errorf("vlan of %s: %w", r.Name, err)
			}
			x.Vlans = append(x.Vlans, v)
		}
		m.Realms = append(m.Realms, x)
	}
	return policy.Check(m)
}

// vlan reads N or N-M.
func vlan(s string) (*fleetpb.VlanRange, error) {
	var first, last uint32
	if n, _ := fmt.Sscanf(s, "%d-%d", &first, &last); n == 1 {
		last = first
	} else if n != 2 {
		return nil, fmt.Errorf("%q: want N or N-M", s)
	}
	if text := fmt.Sprintf("%d-%d", first, last); s != text && s != fmt.Sprint(first) || first > last || last > 4094 {
		return nil, fmt.Errorf("%q: want N or N-M, 0 to 4094", s)
	}
	return &fleetpb.VlanRange{First: first, Last: last}, nil
}

// changePolicy makes a new policy of the present one.
func (p *place) changePolicy(cmd *cobra.Command, c policy.Change) error {
	return p.with(cmd, func(ctx context.Context, h *hub) error {
		c.By = p.who()
		record := func(ctx context.Context, action, object, detail string) error {
			return p.record(ctx, h, action, object, detail)
		}
		_, err := policy.Apply(ctx, h.store, record, time.Now(), c)
		return err
	})
}

func newPolicyShow(p *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [flags]",
		Short: "Print the policy that holds",
		Args:  command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, func(ctx context.Context, h *hub) error {
				x, err := h.store.LatestPolicy(ctx)
				if err != nil {
					return err
				}
				pack, err := h.store.LatestPack(ctx)
				if err != nil {
					return err
				}
				type gateway struct {
					Line    string    `yaml:"line" json:"line"`
					Reason  string    `yaml:"reason" json:"reason"`
					Owner   string    `yaml:"owner" json:"owner"`
					Expires time.Time `yaml:"expires" json:"expires"`
				}
				show := struct {
					Version    uint64 `yaml:"version" json:"version"`
					Catalogue  uint64 `yaml:"catalogue" json:"catalogue"`
					policyFile `yaml:",inline"`
					Declared   []gateway `yaml:"declared" json:"declared"`
				}{Version: x.Version, Catalogue: pack.GetVersion(), policyFile: fileOf(x.Policy)}
				for _, g := range x.Policy.GetDeclaredGateways() {
					show.Declared = append(show.Declared, gateway{g.GetLine(), g.GetReason(), g.GetOwner(), g.GetExpires().AsTime()})
				}
				if p.json {
					return json.NewEncoder(p.t.Out).Encode(show)
				}
				text, err := yaml.Marshal(show)
				if err != nil {
					return err
				}
				_, err = p.t.Out.Write(text)
				return err
			})
		},
	}
	return p.asJSON(cmd, "one JSON object")
}

func fileOf(m *fleetpb.Policy) policyFile {
	f := policyFile{Home: m.GetHome(), Never: m.GetNever(), Shared: m.GetShared()}
	for _, r := range m.GetRealms() {
		x := realmFile{Name: r.GetName(), Tunnels: r.GetTunnels()}
		for _, v := range r.GetVlans() {
			if v.GetFirst() == v.GetLast() {
				x.VLAN = append(x.VLAN, fmt.Sprint(v.GetFirst()))
			} else {
				x.VLAN = append(x.VLAN, fmt.Sprintf("%d-%d", v.GetFirst(), v.GetLast()))
			}
		}
		f.Realms = append(f.Realms, x)
	}
	return f
}

func newDeclare(p *place) *cobra.Command {
	var reason, owner string
	life := "365d"
	remove := false
	cmd := &cobra.Command{
		Use:   "declare [flags] LINE",
		Short: "Say that a line is a gateway that the operator knows of",
		Long: `declare puts a line ("10.1.2.3", "realm/10.1.2.3") on the register that appliances are
given: what is found there is kept and marked, and counts for no evidence elsewhere. An
entry says why and who answers for it, and always ends.`,
		Args: command.OneArg("line"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove {
				return p.changePolicy(cmd, policy.Change{Action: "declare.remove", Object: args[0], Do: policy.Remove(args[0])})
			}
			d, err := parseSpan(life)
			if err != nil {
				return command.Usage(cmd, fmt.Errorf("--for %w", err))
			}
			if reason == "" || owner == "" || d == 0 {
				return command.Usage(cmd, errors.New("want a line, --reason and --owner"))
			}
			line, err := policy.Line(args[0])
			if err != nil {
				return command.Usage(cmd, err)
			}
			do, err := policy.Declare(line, reason, owner, d, time.Now())
			if err != nil {
				return command.Usage(cmd, err)
			}
			return p.changePolicy(cmd, policy.Change{Action: "declare", Object: line, Do: do})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT`: why it is there")
	cmd.Flags().StringVar(&owner, "owner", "", "`NAME` of who answers for it")
	cmd.Flags().StringVar(&life, "for", life, "`TIME` that the entry holds")
	cmd.Flags().BoolVar(&remove, "remove", false, "take the line off the register")
	return cmd
}
