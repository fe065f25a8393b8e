package sensor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/report/fleetpb"
	"simtrap/sensor/config"
)

// steered gives a configuration with what a policy says in the place of what the
// file says about the same. What a policy leaves empty stays as the file has it.
// It fails, and gives the file's, when the policy makes no sense.
func steered(c *config.Config, p *fleetpb.Policy) (*config.Config, error) {
	if p == nil {
		return c, nil
	}
	out := *c
	for _, x := range []struct {
		name string
		from []string
		to   *[]config.Prefix
	}{{"home", p.GetHome(), &out.Home}, {"never", p.GetNever(), &out.Never}, {"shared", p.GetShared(), &out.Shared}} {
		if len(x.from) == 0 {
			continue
		}
		*x.to = nil
		for _, s := range x.from {
			prefix, err := ident.ParsePrefix(s)
			if err != nil {
				return c, fmt.Errorf("policy: %s: %w", x.name, err)
			}
			*x.to = append(*x.to, config.Prefix(prefix))
		}
	}
	if len(p.GetRealms()) > 0 {
		out.Realms = nil
	}
	for _, r := range p.GetRealms() {
		n := len(out.Realms)
		for _, v := range r.GetVlans() {
			out.Realms = append(out.Realms, config.Realm{Name: r.GetName(), VLAN: fmt.Sprintf("%d-%d", v.GetFirst(), v.GetLast())})
		}
		for _, t := range r.GetTunnels() {
			prefix, err := netip.ParsePrefix(t)
			if err != nil {
				return c, fmt.Errorf("policy: realm %q: %w", r.GetName(), err)
			}
			out.Realms = append(out.Realms, config.Realm{Name: r.GetName(), Tunnel: config.Prefix(prefix.Masked())})
		}
		if len(out.Realms) == n {
			out.Realms = append(out.Realms, config.Realm{Name: r.GetName()})
		}
	}
	if _, err := out.RealmRules(); err != nil {
		return c, fmt.Errorf("policy: %w", err)
	}
	if _, err := out.Homes(); err != nil {
		return c, fmt.Errorf("policy: home: %w", err)
	}
	return &out, nil
}

// register is the operator's register of declared gateways.
type register struct {
	mu   sync.Mutex
	ends map[string]int64 // ns since the Unix epoch, by the line's name
	// The same of IPv6 addresses, by the line of so many bits that each lies in.
	within map[string]int64
	bits   uint8
}

// maxDeclared bounds the register.
const maxDeclared = 1 << 17

func (r *register) set(list []*fleetpb.DeclaredGateway) error {
	var err error
	if len(list) > maxDeclared {
		list, err = list[:maxDeclared], fmt.Errorf("policy: %d declared gateways, the first %d are kept", len(list), maxDeclared)
	}
	ends := make(map[string]int64, len(list))
	for _, d := range list {
		ends[d.GetLine()] = d.GetExpires().AsTime().UnixNano()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends, r.within, r.bits = ends, nil, 0
	return err
}

// holds says whether a line is declared, by its name, or by an address in it where it
// is a prefix of so many bits.
func (r *register) holds(line string, bits uint8, now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now < r.ends[line] {
		return true
	}
	if bits == 0 {
		return false
	}
	if r.within == nil || r.bits != bits {
		r.within, r.bits = make(map[string]int64), bits
		for name, end := range r.ends {
			realm, text := "", name
			if i := strings.LastIndexByte(name, '/'); i >= 0 {
				realm, text = name[:i+1], name[i+1:]
			}
			a, err := netip.ParseAddr(text)
			if err != nil || !a.Is6() {
				continue
			}
			if p, err := a.Prefix(int(bits)); err == nil {
				r.within[realm+p.String()] = max(end, r.within[realm+p.String()])
			}
		}
	}
	return now < r.within[line]
}

// verdictsOf gives what a policy says of controllers. What names no address or no
// line of this sensor is left out and said.
func verdictsOf(p *fleetpb.Policy, realms pipeline.Realms) (out []heuristics.ControllerVerdict, err error) {
	bad := 0
	for _, v := range p.GetControllerVerdicts() {
		a, ok := ident.ParseAddr([]byte(v.GetAddr()))
		x := heuristics.ControllerVerdict{Controller: a, Nats: v.GetNats(), Ring: v.GetRingId(), Expires: v.GetExpires().AsTime().UnixNano()}
		if name := v.GetLine(); ok && name != "" {
			x.Line, ok = realms.Line(name)
		}
		if !ok || !(x.Nats >= 0) {
			bad++
			continue
		}
		out = append(out, x)
	}
	if bad > 0 {
		err = fmt.Errorf("policy: %d verdicts on controllers make no sense here", bad)
	}
	return out, err
}

// applyPolicy takes over what a policy says: at once where that can be, else with
// the next start, which the status says.
func (d *Daemon) applyPolicy(ctx context.Context, p *fleetpb.Policy, c *catalogue.Catalogue, version uint64) error {
	d.mu.Lock()
	file, old, restart, ports := d.config, d.steer, slices.Clone(d.policyRestart), d.ports
	d.mu.Unlock()
	next, err := steered(file, p)
	if err == nil {
		d.mu.Lock()
		for _, m := range d.meters {
			m.never.Store(&next.Never)
		}
		d.mu.Unlock()
		d.out.set(next)
	} else {
		next = old
	}
	engine, can := d.engine.(Steered)
	needs := func(key string, yes bool) {
		restart = slices.DeleteFunc(restart, func(s string) bool { return s == key })
		if yes {
			restart = append(restart, key)
		}
	}
	needs("policy: realms", !reflect.DeepEqual(next.Realms, d.begun.Realms))
	// Programs in the kernel have the prefixes they were attached with, those under
	// never for the ends of tunnels alone.
	programs := slices.ContainsFunc(ports, func(p Port) bool {
		return p.Mode != string(config.CaptureFile) && p.Mode != string(config.CaptureAFPacket)
	})
	needs("policy: never", programs && inTunnels(d.begun) && !slices.Equal(next.Never, d.begun.Never))
	if !slices.Equal(next.Home, old.Home) {
		if can && !programs {
			homes, bad := next.Homes()
			if bad == nil {
				bad = engine.SetHomes(ctx, homes)
			}
			if bad == nil {
				d.headers.setHomes(homes)
			}
			err = errors.Join(err, bad)
		} else {
			needs("policy: home", !slices.Equal(next.Home, d.begun.Home))
		}
	}
	err = errors.Join(err, d.hub.declared.set(p.GetDeclaredGateways()))
	d.hub.updates.set(p.GetUpdates())
	if can {
		list, bad := verdictsOf(p, d.hub.realms)
		err = errors.Join(err, bad, engine.Hub(ctx, list))
	}
	if c != nil {
		switch bad := error(nil); {
		case !can:
			needs("policy: catalogue", true)
		default:
			bad = engine.Retable(ctx, c)
			needs("policy: catalogue", errors.Is(bad, heuristics.ErrShape))
			if bad == nil {
				d.hub.tables.Store(version)
			} else if !errors.Is(bad, heuristics.ErrShape) {
				err = errors.Join(err, bad)
			}
		}
	}
	d.mu.Lock()
	d.policy, d.steer, d.policyRestart = p, next, restart
	d.mu.Unlock()
	if len(restart) > 0 {
		d.log.Warn("the hub's policy needs a restart to be applied in full: " + strings.Join(restart, ", "))
	}
	return err
}

// policyPatience is how long the engine may take to take over a policy.
const policyPatience = time.Minute
