package store

import (
	"bytes"
	"context"
	"database/sql"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/axiomhq/hyperloglog"

	"simtrap/report/reportpb"
)

const controllerColumns = "addr, role, since, first_seen, last_seen"

func scanController(r *sql.Rows) (Controller, error) {
	var c Controller
	var addr []byte
	var since, first, last int64
	if err := r.Scan(&addr, &c.Role, &since, &first, &last); err != nil {
		return c, err
	}
	c.Addr, c.Since, c.First, c.Last = addrFrom(addr), moment(since), moment(first), moment(last)
	return c, nil
}

func controllerPlace(c Controller) place {
	return place{c.Since.UnixNano(), append(addrBytes(c.Addr), c.Role...)}
}

// Controllers lists them newest first. Fields: From, Until, Controllers, Rings.
func (s *Store) Controllers(ctx context.Context, f Filter, p Page) (List[Controller], error) {
	var l List[Controller]
	if err := f.refuse("From Until Controllers Rings"); err != nil {
		return l, err
	}
	after, err := p.from(time.Time{})
	if err != nil {
		return l, err
	}
	if len(f.Rings) > 0 {
		rings, err := s.rings(ctx, rawIDs(f.Rings))
		if err != nil {
			return l, err
		}
		var of []netip.Prefix
		for _, g := range rings {
			for _, x := range g.Controllers {
				if a, err := netip.ParseAddr(x); err == nil && (len(f.Controllers) == 0 || f.namesController(x)) {
					of = append(of, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
				}
			}
		}
		if f.Controllers = of; len(of) == 0 {
			return l, nil
		}
	}
	fetch := func(after place, n int) ([]Controller, error) {
		var cs []Controller
		addr, role := after.key, ""
		if len(addr) >= 16 && after.since < math.MaxInt64 {
			addr, role = after.key[:16], string(after.key[16:])
		}
		err := each(ctx, s.db, func(r *sql.Rows) error {
			c, err := scanController(r)
			cs = append(cs, c)
			return err
		}, "SELECT "+controllerColumns+" FROM controller WHERE (since, addr, role) < (?, ?, ?) ORDER BY since DESC, addr DESC, role DESC LIMIT ?", after.since, addr, role, n)
		return cs, err
	}
	if len(f.Controllers) > 0 {
		var all []Controller
		for _, x := range f.Controllers {
			from, to := addrRange(x)
			if err := each(ctx, s.db, func(r *sql.Rows) error {
				c, err := scanController(r)
				all = append(all, c)
				return err
			}, "SELECT "+controllerColumns+" FROM controller WHERE addr >= ? AND addr <= ? LIMIT ?", from, to, maxMatches+1-len(all)); err != nil {
				return l, err
			}
		}
		if len(all) <= maxMatches {
			slices.SortFunc(all, func(a, b Controller) int { return comparePlaces(controllerPlace(a), controllerPlace(b)) })
			all = slices.CompactFunc(all, func(a, b Controller) bool { return a.Addr == b.Addr && a.Role == b.Role })
			fetch = func(after place, n int) ([]Controller, error) { return pageOf(all, controllerPlace, after, n), nil }
		}
	}
	keep := func(cs []Controller) ([]Controller, error) {
		return slices.DeleteFunc(cs, func(c Controller) bool {
			return !f.overlaps(c.First.UnixNano(), c.Last.UnixNano()+int64(time.Hour)) ||
				len(f.Controllers) > 0 && !f.namesController(c.Addr.String())
		}), nil
	}
	cs, next, err := scan(ctx, p, after, fetch, controllerPlace, keep)
	if err != nil {
		return l, err
	}
	l.Rows, l.Next = cs, next
	return l, s.useOf(ctx, l.Rows, f.From, f.Until)
}

// Controller gives one, with the lines of all times. ErrNotFound.
func (s *Store) Controller(ctx context.Context, addr netip.Addr, role string) (Controller, error) {
	var cs []Controller
	err := each(ctx, s.db, func(r *sql.Rows) error {
		c, err := scanController(r)
		cs = append(cs, c)
		return err
	}, "SELECT "+controllerColumns+" FROM controller WHERE addr = ? AND role = ?", addrBytes(addr), role)
	if err := notFound(len(cs), err); err != nil {
		return Controller{}, err
	}
	return cs[0], s.useOf(ctx, cs, time.Time{}, time.Time{})
}

// Bounds of what is read to tell how much controllers are used, and which rings their
// findings at review are in: together, and of each at least. Who asks for one is told
// more of it than who asks for a page.
const (
	maxSketches, fewSketches = 500, 24
	maxBearers, fewBearers   = 10_000, 64
)

// useOf tells how many lines use controllers: the most of what their sketches give,
// joined over hours and sensors, and of the findings that name them.
func (s *Store) useOf(ctx context.Context, cs []Controller, from, until time.Time) error {
	low, high := int64(0), int64(math.MaxInt64)
	if !from.IsZero() {
		low = from.Truncate(time.Hour).UnixNano()
	}
	if !until.IsZero() {
		high = until.UnixNano()
	}
	if len(cs) == 0 {
		return nil
	}
	sketches, bearers := max(maxSketches/len(cs), fewSketches), max(maxBearers/len(cs), fewBearers)
	var addrs []string
	for _, c := range cs {
		addrs = append(addrs, c.Addr.String())
	}
	slices.Sort(addrs)
	addrs = slices.Compact(addrs)
	us, err := s.controllerUse(ctx, addrs, math.MaxInt32, bearers)
	if err != nil {
		return err
	}
	var ids [][]byte
	uses := map[netip.Addr]ControllerUse{}
	for _, u := range us {
		uses[netip.MustParseAddr(u.Addr)] = u
		ids = append(ids, rawIDs(u.Review)...)
	}
	rings := map[ID]ID{}
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		var id, ring []byte
		if err := r.Scan(&id, &ring); err != nil {
			return err
		}
		rings[ID(id)] = optional(ring)
		return nil
	}, "SELECT m.finding, b.ring FROM member m JOIN box b ON b.id = m.box WHERE b.ring IS NOT NULL AND m.finding IN ?", inOrder(ids)); err != nil {
		return err
	}
	for i := range cs {
		c := &cs[i]
		use := uses[c.Addr]
		all := hyperloglog.New()
		var most uint64
		joined := 0
		if err := each(ctx, s.db, func(r *sql.Rows) error {
			var lines uint64
			var sketch []byte
			if err := r.Scan(&lines, &sketch); err != nil {
				return err
			}
			most = max(most, lines)
			if k, err := readSketch(sketch); err == nil && all.Merge(k) == nil {
				joined++
			}
			return nil
		}, "SELECT lines, sketch FROM controller_hour WHERE addr = ? AND role = ? AND hour >= ? AND hour < ? ORDER BY hour DESC LIMIT ?",
			addrBytes(c.Addr), c.Role, low, high, sketches); err != nil {
			return err
		}
		c.Lines = max(most, uint64(use.Lines))
		if joined > 0 {
			c.Lines = max(c.Lines, all.Estimate())
		}
		c.Review = uint64(use.AtReview)
		seen := map[ID]bool{}
		for _, id := range use.Review {
			if g, ok := rings[id]; ok && !seen[g] && len(c.Rings) < 100 {
				seen[g] = true
				c.Rings = append(c.Rings, g)
			}
		}
		slices.SortFunc(c.Rings, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	}
	return nil
}

const sensorColumns = `name, program, catalogue, policy, admitted, last_report, packet_time, clock_ns, certificate_ends, revoked, missing, health,
	n_none, n_watch, n_review, n_case, (SELECT COALESCE(CAST(sum(lost) AS BIGINT), 0) FROM controller_left WHERE controller_left.sensor = sensor.name)`

func (s *Store) scanSensor(r *sql.Rows) (Sensor, error) {
	var x Sensor
	var admitted, last, packet, ends int64
	var clock, revoked sql.NullInt64
	var health []byte
	if err := r.Scan(&x.Name, &x.Version, &x.Catalogue, &x.Policy, &admitted, &last, &packet, &clock, &ends, &revoked, &x.Missing, &health,
		&x.Findings.None, &x.Findings.Watch, &x.Findings.Review, &x.Findings.Case, &x.ControllersLeft); err != nil {
		return x, err
	}
	x.Admitted, x.LastReport, x.PacketTime, x.CertificateEnds, x.Revoked = moment(admitted), moment(last), moment(packet), moment(ends), revoked.Valid
	if clock.Valid {
		d := time.Duration(clock.Int64)
		x.ClockDifference = &d
	}
	if len(health) > 0 {
		x.Health = &reportpb.Health{}
		if err := s.pack.unpack(health, x.Health); err != nil {
			return x, err
		}
		for _, a := range x.Health.GetAlarms() {
			x.Alarms = append(x.Alarms, a.GetId())
		}
	}
	return x, nil
}

// Sensors lists them by name. Fields: Sensors, From, Until (of the last report).
func (s *Store) Sensors(ctx context.Context, f Filter, p Page) (List[Sensor], error) {
	var l List[Sensor]
	if err := f.refuse("Sensors From Until"); err != nil {
		return l, err
	}
	if _, err := (Page{Size: p.Size}).from(time.Time{}); err != nil {
		return l, err
	}
	if len(p.After) > maxText || strings.ContainsRune(p.After, 0) {
		return l, ErrInvalid
	}
	var more bool
	err := each(ctx, s.db, func(r *sql.Rows) error {
		x, err := s.scanSensor(r)
		if err != nil {
			return err
		}
		if more = len(l.Rows) == p.Size; more {
			return nil
		}
		l.Next = x.Name
		last := x.LastReport.UnixNano()
		if (len(f.Sensors) == 0 || slices.Contains(f.Sensors, x.Name)) && (f.From.IsZero() && f.Until.IsZero() || !x.LastReport.IsZero() && f.overlaps(last, last)) {
			l.Rows = append(l.Rows, x)
		}
		return nil
	}, "SELECT "+sensorColumns+" FROM sensor WHERE name > ? ORDER BY name LIMIT ?", p.After, scanRows)
	if !more {
		l.Next = ""
	}
	return l, err
}

// Sensor gives one. ErrNotFound.
func (s *Store) Sensor(ctx context.Context, name string) (Sensor, error) {
	var xs []Sensor
	err := each(ctx, s.db, func(r *sql.Rows) error {
		x, err := s.scanSensor(r)
		xs = append(xs, x)
		return err
	}, "SELECT "+sensorColumns+" FROM sensor WHERE name = ?", name)
	if err := notFound(len(xs), err); err != nil {
		return Sensor{}, err
	}
	return xs[0], nil
}

// Gaps gives the newest gap records of a sensor, at most n.
func (s *Store) Gaps(ctx context.Context, sensor string, n int) ([]GapRow, error) {
	var gs []GapRow
	err := each(ctx, s.db, func(r *sql.Rows) error {
		g := GapRow{Sensor: sensor, Gap: &reportpb.Gap{}}
		var received int64
		var body []byte
		if err := r.Scan(&received, &body); err != nil {
			return err
		}
		g.Received = moment(received)
		gs = append(gs, g)
		return s.pack.unpack(body, g.Gap)
	}, "SELECT received, body FROM gap WHERE sensor = ? ORDER BY received DESC, epoch, first LIMIT ?", sensor, n)
	return gs, err
}
