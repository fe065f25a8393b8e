package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/cmd/internal/command"
	"simtrap/hub/store"
	"simtrap/report"
	"simtrap/report/fleetpb"
)

// Bounds of a policy.
const (
	maxPolicyFile = 4 << 20 // bytes
	maxPrefixes   = 100_000 // of one kind
	maxRealms     = 10_000
	maxDeclared   = 100_000
	maxWord       = 200 // bytes
)

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
			return p.changePolicy(cmd, "policy.set", args[0], func(old *fleetpb.Policy) (*fleetpb.Policy, error) {
				want.DeclaredGateways = old.GetDeclaredGateways()
				return want, nil
			})
		},
	}
}

// message checks a policy.
func (f *policyFile) message() (*fleetpb.Policy, error) {
	m := &fleetpb.Policy{}
	for _, k := range []struct {
		name string
		from []string
		to   *[]string
	}{{"home", f.Home, &m.Home}, {"never", f.Never, &m.Never}, {"shared", f.Shared, &m.Shared}} {
		list, err := prefixes(k.name, k.from)
		if err != nil {
			return nil, err
		}
		*k.to = list
	}
	if len(f.Realms) > maxRealms {
		return nil, fmt.Errorf("%d realms, at most %d", len(f.Realms), maxRealms)
	}
	seen := make(map[string]bool)
	for _, r := range f.Realms {
		if r.Name == "" || len(r.Name) > maxWord || report.Plain(r.Name) != r.Name || seen[r.Name] {
			return nil, fmt.Errorf("a realm named %q: want a name, each once", r.Name)
		}
		seen[r.Name] = true
		tunnels, err := prefixes("tunnel of "+r.Name, r.Tunnels)
		if err != nil {
			return nil, err
		}
		x := &fleetpb.Realm{Name: r.Name, Tunnels: tunnels}
		for _, s := range r.VLAN {
			v, err := vlan(s)
			if err != nil {
				return nil, fmt.Errorf("vlan of %s: %w", r.Name, err)
			}
			x.Vlans = append(x.Vlans, v)
		}
		m.Realms = append(m.Realms, x)
	}
	return m, nil
}

func prefixes(what string, list []string) ([]string, error) {
	if len(list) > maxPrefixes {
		return nil, fmt.Errorf("%s: %d prefixes, at most %d", what, len(list), maxPrefixes)
	}
	var out []string
	for _, s := range list {
		x, err := netip.ParsePrefix(s)
		if err != nil {
			a, bad := netip.ParseAddr(s)
			if bad != nil || a.Zone() != "" {
				return nil, fmt.Errorf("%s: %q: want a prefix such as 192.0.2.0/24", what, s)
			}
			x = netip.PrefixFrom(a, a.BitLen())
		}
		if x != x.Masked() {
			return nil, fmt.Errorf("%s: %s has bits behind the prefix; want %s", what, s, x.Masked())
		}
		out = append(out, x.String())
	}
	return out, nil
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

// changePolicy makes a new policy of the present one. Who was overtaken by another
// begins again.
func (p *place) changePolicy(cmd *cobra.Command, action, object string, change func(*fleetpb.Policy) (*fleetpb.Policy, error)) error {
	return p.with(cmd, func(ctx context.Context, h *hub) error {
		for range 10 {
			old, err := h.store.LatestPolicy(ctx)
			if err != nil {
				return err
			}
			if old.Policy == nil {
				old.Policy = &fleetpb.Policy{}
			}
			m, err := change(old.Policy)
			if err != nil {
				return err
			}
			m.Version, m.Catalogue, m.ControllerVerdicts = 0, nil, nil
			detail, err := protojson.Marshal(m)
			if err != nil {
				return err
			}
			if err := p.record(ctx, h, action, object, string(detail)); err != nil {
				return err
			}
			err = h.store.AddPolicy(ctx, store.Policy{Version: old.Version + 1, Policy: m, By: p.who(), Made: time.Now()})
			if !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return store.ErrConflict
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

// lineName writes a line as appliances do, who compare texts: an address or a
// prefix, behind its realm.
func lineName(s string) (string, error) {
	for realm := ""; ; {
		text := s[len(realm):]
		switch x, err := netip.ParsePrefix(text); {
		case err == nil && x.IsSingleIP():
			return realm + x.Addr().Unmap().String(), nil
		case err == nil:
			return realm + x.Masked().String(), nil
		}
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			return realm + a.Unmap().String(), nil
		}
		i := strings.IndexByte(text, '/')
		if i < 0 {
			return "", fmt.Errorf("%q: want an address such as 10.1.2.3, or one behind its realm: north/10.1.2.3", s)
		}
		realm = s[:len(realm)+i+1]
	}
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
			line := args[0]
			for what, s := range map[string]string{"line": line, "--reason": reason, "--owner": owner} {
				if len(s) > maxWord || report.Plain(s) != s {
					return command.Usage(cmd, fmt.Errorf("%s: want at most %d bytes that can be shown", what, maxWord))
				}
			}
			d, err := parseSpan(life)
			if err != nil {
				return command.Usage(cmd, fmt.Errorf("--for %w", err))
			}
			if !remove && (line == "" || reason == "" || owner == "" || d == 0) {
				return command.Usage(cmd, errors.New("want a line, --reason and --owner"))
			}
			if !remove {
				if line, err = lineName(line); err != nil {
					return command.Usage(cmd, err)
				}
			}
			action := "declare"
			if remove {
				action = "declare.remove"
			}
			return p.changePolicy(cmd, action, line, func(m *fleetpb.Policy) (*fleetpb.Policy, error) {
				now := time.Now()
				n := len(m.GetDeclaredGateways())
				m.DeclaredGateways = slices.DeleteFunc(m.DeclaredGateways, func(g *fleetpb.DeclaredGateway) bool { return g.GetLine() == line })
				if remove {
					if n == len(m.DeclaredGateways) {
						return nil, fmt.Errorf("%s is not declared", line)
					}
					return m, nil
				}
				// What has ended makes room.
				m.DeclaredGateways = slices.DeleteFunc(m.DeclaredGateways, func(g *fleetpb.DeclaredGateway) bool { return g.GetExpires().AsTime().Before(now) })
				if len(m.DeclaredGateways) >= maxDeclared {
					return nil, fmt.Errorf("%d gateways are declared already", maxDeclared)
				}
				m.DeclaredGateways = append(m.DeclaredGateways, &fleetpb.DeclaredGateway{Line: line, Reason: reason, Owner: owner, Expires: timestamppb.New(now.Add(d))})
				return m, nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT`: why it is there")
	cmd.Flags().StringVar(&owner, "owner", "", "`NAME` of who answers for it")
	cmd.Flags().StringVar(&life, "for", life, "`TIME` that the entry holds")
	cmd.Flags().BoolVar(&remove, "remove", false, "take the line off the register")
	return cmd
}
