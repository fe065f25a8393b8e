package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Bounds of what is read to tell how busy one controller was.
const (
	busiestOf    = 48 * time.Hour
	busiestRows  = 20_000 // of one role
	busiestRoles = 16
)

// BusiestHour gives, for each of addrs, the most lines that spoke to it in any one
// of the last 48 hours that sensors told of, whatever their scores; 0 when they
// told of none. An hour's count is the sum over sensors, in one role; where only
// media comes from does not count. Over a longer time lines whose address changes
// every day would be many.
func (s *Store) BusiestHour(ctx context.Context, addrs []string) ([]int, error) {
	var raw [][]byte
	for _, addr := range addrs {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return nil, fmt.Errorf("%w: controller %q", ErrInvalid, clean(addr, 64))
		}
		raw = append(raw, addrBytes(a.WithZone("").Unmap()))
	}
	// Hours stand by address and role: of each role the newest is one step away.
	type face struct {
		role string
		last int64
	}
	of := map[netip.Addr][]face{}
	latest := map[netip.Addr]int64{}
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		var addr []byte
		var f face
		var last sql.NullInt64
		if err := r.Scan(&addr, &f.role, &last); err != nil {
			return err
		}
		a := addrFrom(addr)
		if f.last = last.Int64; last.Valid && len(of[a]) < busiestRoles {
			of[a] = append(of[a], f)
			latest[a] = max(latest[a], f.last)
		}
		return nil
	}, `SELECT c.addr, c.role, (SELECT max(h.hour) FROM controller_hour h WHERE h.addr = c.addr AND h.role = c.role)
		FROM controller c WHERE c.role <> 'media' AND c.addr IN ?`, inOrder(slices.Clone(raw))); err != nil {
		return nil, err
	}
	out := make([]int, len(addrs))
	for i := range addrs {
		a := addrFrom(raw[i])
		since := latest[a] - int64(busiestOf)
		for _, f := range of[a] {
			if f.last <= since {
				continue
			}
			var most sql.NullInt64
			if err := one(ctx, s.db, []any{&most}, `SELECT CAST(max(n) AS BIGINT) FROM (
				SELECT sum(lines) AS n FROM (
					SELECT hour, sensor, max(lines) AS lines FROM (
						SELECT hour, sensor, lines FROM controller_hour WHERE addr = ? AND role = ? AND hour > ? LIMIT ?
					) AS x GROUP BY hour, sensor
				) AS y GROUP BY hour
			) AS z`, raw[i], f.role, since, busiestRows); err != nil {
				return nil, err
			}
			out[i] = max(out[i], int(min(most.Int64, 1<<31-1)))
		}
	}
	return out, nil
}

// Bounds of what is read to find the busiest controllers.
const (
	busiestNewest = 50_000 // rows of hours, the newest first
	busiestRings  = 100    // the newest
)

// Busiest gives at most n controllers in order of fan-in: of lines at review or above,
// then of all lines. They are looked for among the busiest of the newest hours that
// sensors told of, and among those of the newest rings.
func (s *Store) Busiest(ctx context.Context, n int) ([]Controller, error) {
	var cs []Controller
	seen := map[string]bool{}
	add := func(r *sql.Rows) error {
		c, err := scanController(r)
		if key := c.Addr.String() + " " + c.Role; err == nil && !seen[key] {
			seen[key] = true
			cs = append(cs, c)
		}
		return err
	}
	rings, err := s.Rings(ctx, Filter{}, Page{Size: busiestRings})
	if err != nil {
		return nil, err
	}
	var addrs [][]byte
	for _, g := range rings.Rows {
		for _, text := range g.Controllers {
			if a, err := netip.ParseAddr(text); err == nil && len(addrs) < n {
				addrs = append(addrs, addrBytes(a.WithZone("").Unmap()))
			}
		}
	}
	if err := in(ctx, s.db, add, "SELECT "+controllerColumns+" FROM controller WHERE addr IN ?", inOrder(addrs)); err != nil {
		return nil, err
	}
	if err := each(ctx, s.db, add, `SELECT c.addr, c.role, c.since, c.first_seen, c.last_seen FROM (
			SELECT addr, role, sum(lines) AS n FROM (SELECT addr, role, lines FROM controller_hour ORDER BY hour DESC LIMIT ?) AS x GROUP BY addr, role ORDER BY n DESC LIMIT ?
		) AS y JOIN controller c ON c.addr = y.addr AND c.role = y.role`, busiestNewest, n); err != nil {
		return nil, err
	}
	if err := s.useOf(ctx, cs, time.Time{}, time.Time{}); err != nil {
		return nil, err
	}
	slices.SortStableFunc(cs, func(a, b Controller) int {
		return cmp.Or(cmp.Compare(b.Review, a.Review), cmp.Compare(b.Lines, a.Lines), a.Addr.Compare(b.Addr), cmp.Compare(a.Role, b.Role))
	})
	return cs[:min(n, len(cs))], nil
}
