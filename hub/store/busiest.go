package store

import (
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
