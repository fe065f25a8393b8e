// Package policy checks and changes what all sensors go by.
package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/report"
	"simtrap/report/fleetpb"
)

// Bounds of a policy.
const (
	maxPrefixes = 100_000 // of one kind
	maxRealms   = 10_000
	maxDeclared = 100_000
	maxVLAN     = 4094
	maxLife     = 10 * 366 * 24 * time.Hour
	maxWord     = 200 // bytes
	maxTries    = 10  // at a change that others are first with
)

// ErrInvalid is the error of a policy, or a part of one, that will never be taken.
var ErrInvalid = errors.New("not taken")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// Check gives prefixes and realms as sensors are told them: of m it reads Home, Never,
// Shared and Realms.
func Check(m *fleetpb.Policy) (*fleetpb.Policy, error) {
	out := &fleetpb.Policy{}
	for _, k := range []struct {
		name string
		from []string
		to   *[]string
	}{{"home", m.GetHome(), &out.Home}, {"never", m.GetNever(), &out.Never}, {"shared", m.GetShared(), &out.Shared}} {
		list, err := prefixes(k.name, k.from)
		if err != nil {
			return nil, err
		}
		*k.to = list
	}
	if len(m.GetRealms()) > maxRealms {
		return nil, invalid("%d realms, at most %d", len(m.GetRealms()), maxRealms)
	}
	seen := make(map[string]bool)
	for _, r := range m.GetRealms() {
		name := r.GetName()
		if name == "" || len(name) > maxWord || report.Plain(name) != name || seen[name] {
			return nil, invalid("a realm named %q: want a name, each once", name)
		}
		seen[name] = true
		tunnels, err := prefixes("tunnel of "+name, r.GetTunnels())
		if err != nil {
			return nil, err
		}
		x := &fleetpb.Realm{Name: name, Tunnels: tunnels}
		for _, v := range r.GetVlans() {
			if v.GetFirst() > v.GetLast() || v.GetLast() > maxVLAN {
				return nil, invalid("vlan of %s: %d to %d; want 0 to %d", name, v.GetFirst(), v.GetLast(), maxVLAN)
			}
			x.Vlans = append(x.Vlans, &fleetpb.VlanRange{First: v.GetFirst(), Last: v.GetLast()})
		}
		out.Realms = append(out.Realms, x)
	}
	return out, nil
}

func prefixes(what string, list []string) ([]string, error) {
	if len(list) > maxPrefixes {
		return nil, invalid("%s: %d prefixes, at most %d", what, len(list), maxPrefixes)
	}
	var out []string
	for _, s := range list {
		x, err := netip.ParsePrefix(s)
		if err != nil {
			a, bad := netip.ParseAddr(s)
			if bad != nil || a.Zone() != "" {
				return nil, invalid("%s: %q: want a prefix such as 192.0.2.0/24", what, s)
			}
			x = netip.PrefixFrom(a, a.BitLen())
		}
		if x != x.Masked() {
			return nil, invalid("%s: %s has bits behind the prefix; want %s", what, s, x.Masked())
		}
		out = append(out, x.String())
	}
	return out, nil
}

// Line writes a line as sensors do, who compare texts: an address or a prefix, behind
// its realm.
func Line(s string) (string, error) {
	if len(s) > maxWord || report.Plain(s) != s {
		return "", invalid("line: want at most %d bytes that can be shown", maxWord)
	}
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
			return "", invalid("%q: want an address such as 10.1.2.3, or one behind its realm: north/10.1.2.3", s)
		}
		realm = s[:len(realm)+i+1]
	}
}

// Store keeps policies.
type Store interface {
	LatestPolicy(context.Context) (store.Policy, error)
	AddPolicy(context.Context, store.Policy) error
}

// Record writes a change down before it is made.
type Record func(ctx context.Context, action, object, detail string) error

// Change says what of a policy is changed, by whom, and as what it is written down.
type Change struct {
	By, Action, Object string
	// Do gives the new policy. It may be called more than once.
	Do func(old *fleetpb.Policy) (*fleetpb.Policy, error)
}

// Apply makes a new policy of the present one, and gives its version. Who was
// overtaken by another begins again.
func Apply(ctx context.Context, s Store, record Record, now time.Time, c Change) (uint64, error) {
	for range maxTries {
		old, err := s.LatestPolicy(ctx)
		if err != nil {
			return 0, err
		}
		if old.Policy == nil {
			old.Policy = &fleetpb.Policy{}
		}
		m, err := c.Do(proto.CloneOf(old.Policy))
		if err != nil {
			return 0, err
		}
		m.Version, m.Catalogue, m.ControllerVerdicts = 0, nil, nil
		detail, err := protojson.Marshal(m)
		if err != nil {
			return 0, err
		}
		if err := record(ctx, c.Action, c.Object, string(detail)); err != nil {
			return 0, err
		}
		err = s.AddPolicy(ctx, store.Policy{Version: old.Version + 1, Policy: m, By: c.By, Made: now})
		if !errors.Is(err, store.ErrConflict) {
			return old.Version + 1, err
		}
	}
	return 0, store.ErrConflict
}

// Set gives a change to prefixes and realms that Check gave. Declared gateways and updates
// stay.
func Set(want *fleetpb.Policy) func(*fleetpb.Policy) (*fleetpb.Policy, error) {
	return func(old *fleetpb.Policy) (*fleetpb.Policy, error) {
		m := proto.CloneOf(want)
		m.DeclaredGateways, m.Updates = old.GetDeclaredGateways(), old.GetUpdates()
		return m, nil
	}
}

// Declare gives a change that puts a line, as Line gives it, on the register for a
// time.
func Declare(line, reason, owner string, life time.Duration, now time.Time) (func(*fleetpb.Policy) (*fleetpb.Policy, error), error) {
	if reason == "" || owner == "" || life <= 0 || life > maxLife {
		return nil, invalid("want a line, a reason, an owner and a time of up to ten years")
	}
	for what, s := range map[string]string{"reason": reason, "owner": owner} {
		if len(s) > maxWord || report.Plain(s) != s {
			return nil, invalid("%s: want at most %d bytes that can be shown", what, maxWord)
		}
	}
	return func(m *fleetpb.Policy) (*fleetpb.Policy, error) {
		// What has ended makes room.
		m.DeclaredGateways = slices.DeleteFunc(m.DeclaredGateways, func(g *fleetpb.DeclaredGateway) bool {
			return g.GetLine() == line || g.GetExpires().AsTime().Before(now)
		})
		if len(m.DeclaredGateways) >= maxDeclared {
			return nil, invalid("%d gateways are declared already", maxDeclared)
		}
		m.DeclaredGateways = append(m.DeclaredGateways, &fleetpb.DeclaredGateway{Line: line, Reason: reason, Owner: owner, Expires: timestamppb.New(now.Add(life))})
		return m, nil
	}, nil
}

// Remove gives a change that takes a line off the register, as it stands there or as
// Declare would write it.
func Remove(line string) func(*fleetpb.Policy) (*fleetpb.Policy, error) {
	written, err := Line(line)
	if err != nil {
		written = line
	}
	return func(m *fleetpb.Policy) (*fleetpb.Policy, error) {
		n := len(m.GetDeclaredGateways())
		m.DeclaredGateways = slices.DeleteFunc(m.DeclaredGateways, func(g *fleetpb.DeclaredGateway) bool { return g.GetLine() == line || g.GetLine() == written })
		if n == len(m.DeclaredGateways) {
			return nil, invalid("%s is not declared", line)
		}
		return m, nil
	}
}
