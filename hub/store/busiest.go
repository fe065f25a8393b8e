package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"
)

// Bounds of what is read to tell how busy one controller was.
const (
	busiestOf   = 48 * time.Hour
	busiestRows = 20_000
)

// BusiestHour gives, for each of addrs, the most lines that spoke to it in any one
// of the last 48 hours that sensors told of, whatever their scores; 0 when they
// told of none. An hour's count is the sum over sensors, in one role; where only
// media comes from does not count. Over a longer time lines whose address changes
// every day would be many.
func (s *Store) BusiestHour(ctx context.Context, addrs []string) ([]int, error) {
	out := make([]int, len(addrs))
	for i, addr := range addrs {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return nil, fmt.Errorf("%w: controller %q", ErrInvalid, clean(addr, 64))
		}
		raw := addrBytes(a.WithZone("").Unmap())
		var latest, most sql.NullInt64
		if err := one(ctx, s.db, []any{&latest}, "SELECT max(hour) FROM controller_hour WHERE addr = ? AND role <> 'media'", raw); err != nil {
			return nil, err
		}
		if !latest.Valid {
			continue
		}
		if err := one(ctx, s.db, []any{&most}, `SELECT CAST(max(n) AS BIGINT) FROM (
			SELECT sum(lines) AS n FROM (
				SELECT role, hour, sensor, max(lines) AS lines FROM (
					SELECT role, hour, sensor, lines FROM controller_hour WHERE addr = ? AND role <> 'media' AND hour > ? LIMIT ?
				) AS x GROUP BY role, hour, sensor
			) AS y GROUP BY role, hour
		) AS z`, raw, latest.Int64-int64(busiestOf), busiestRows); err != nil {
			return nil, err
		}
		out[i] = int(min(most.Int64, 1<<31-1))
	}
	return out, nil
}
