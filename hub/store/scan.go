package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of one page.
const (
	maxPage    = 1000
	scanFirst  = 125                   // rows looked at in one go at first where a filter has no index
	scanChunk  = 1000                  // and at most, where they come fast
	scanRows   = 20_000                // rows looked at for one page
	scanTime   = 60 * time.Millisecond // and the time that it takes
	maxMatches = 10_000                // findings that a selective field may name before it is checked row by row
	maxWide    = 1000                  // controllers that prefixes of a filter may name
	maxWalked  = 8                     // controllers whose findings are read in the list's order
	walkMost   = 500                   // findings of them that are named all the same
)

// longestEpoch is how long one finding may go on (docs/verdict.md section 5), and
// a day more: what was seen since a time began no earlier than that.
const longestEpoch = 29 * 24 * time.Hour

// place is where a row stands in a list: newest first, then by key.
type place struct {
	since int64
	key   []byte
}

// first is the place before all rows that began before until.
func firstPlace(until time.Time) place {
	if until.IsZero() {
		return place{since: math.MaxInt64, key: bytes.Repeat([]byte{0xff}, 64)}
	}
	return place{since: until.UnixNano(), key: []byte{}}
}

func (p place) String() string {
	return string(append(binary.BigEndian.AppendUint64(nil, uint64(p.since)), p.key...))
}

// from gives the place that a page begins behind.
func (p Page) from(until time.Time) (place, error) {
	if p.Size < 1 || p.Size > maxPage {
		return place{}, fmt.Errorf("%w: a page has 1 to %d rows", ErrInvalid, maxPage)
	}
	first := firstPlace(until)
	if p.After == "" {
		return first, nil
	}
	if len(p.After) < 8 || len(p.After) > 8+64 {
		return place{}, fmt.Errorf("%w: place in a list", ErrInvalid)
	}
	x := place{since: int64(binary.BigEndian.Uint64([]byte(p.After[:8]))), key: []byte(p.After[8:])}
	if x.since < 0 {
		return place{}, fmt.Errorf("%w: place in a list", ErrInvalid)
	}
	if first.since < x.since {
		return first, nil
	}
	return x, nil
}

// scan reads one page. fetch reads rows behind a place in their order, keep drops
// those that a filter does not want. Without keep no row is in vain.
func scan[M any](ctx context.Context, p Page, after place, fetch func(after place, n int) ([]M, error), at func(M) place, keep func([]M) ([]M, error)) (rows []M, next string, err error) {
	began := time.Now()
	chunk := scanFirst
	for looked := 0; ; {
		n := p.Size + 1 - len(rows)
		if keep != nil {
			n = chunk
		}
		asked := time.Now()
		got, err := fetch(after, n)
		if err != nil {
			return nil, "", err
		}
		end := len(got) < n
		looked += len(got)
		if len(got) > 0 {
			after = at(got[len(got)-1])
		}
		if keep != nil {
			if got, err = keep(got); err != nil {
				return nil, "", err
			}
		}
		rows = append(rows, got...)
		// Rows that lie about a disk at random must not make a page wait for a thousand.
		if time.Since(asked) < scanTime/8 {
			chunk = min(2*chunk, scanChunk)
		}
		switch {
		case len(rows) > p.Size:
			rows = rows[:p.Size]
			return rows, at(rows[p.Size-1]).String(), nil
		case end:
			return rows, "", nil
		case looked >= scanRows || time.Since(began) > scanTime:
			return rows, after.String(), nil
		}
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
	}
}

// behind is the end of a statement that reads rows in their order.
const behind = " ORDER BY since DESC, id DESC LIMIT ?"

// streams reads rows of an index that begins with other columns: a stream of rows
// in order for each of heads, merged. columns begin with since and id.
func streams(ctx context.Context, a asker, columns, table string, heads []head, after place, since int64, n int, scan func(*sql.Rows) error) error {
	var parts []string
	var args []any
	for _, h := range heads {
		parts = append(parts, "SELECT * FROM (SELECT "+columns+" FROM "+table+" WHERE "+h.where+" AND (since, id) < (?, ?) AND since >= ?"+behind+") AS x")
		args = append(append(args, h.args...), after.since, after.key, since, n)
	}
	return each(ctx, a, scan, strings.Join(parts, " UNION ALL ")+behind, append(args, n)...)
}

type head struct {
	where string
	args  []any
}

// levels gives the heads of an index that begins with the verdict.
func levels(least int64, where string, args ...any) []head {
	var hs []head
	for v := int64(4); v >= max(least, 1); v-- {
		hs = append(hs, head{where: where + "verdict = ?", args: append(slices.Clone(args), v)})
	}
	return hs
}

// selection is what the fields of a filter that name something say of findings.
type selection struct {
	set    map[ID]bool // nil for all
	checks []check
	walk   []Key // controllers whose findings can be read in the list's order; the last check is theirs
}

// check keeps those of findings that a field names, where they are too many to
// name them all.
type check func(ctx context.Context, findings [][]byte) (map[ID]bool, error)

func (x *selection) meet(ids [][]byte) {
	other := make(map[ID]bool, len(ids))
	for _, id := range ids {
		if x.set == nil || x.set[ID(id)] {
			other[ID(id)] = true
		}
	}
	x.set = other
}

func (x *selection) empty() bool { return x.set != nil && len(x.set) == 0 }

func (x *selection) ids() [][]byte {
	ids := make([][]byte, 0, len(x.set))
	for id := range x.set {
		ids = append(ids, bytes.Clone(id[:]))
	}
	return inOrder(ids)
}

// findingsOf reads the fields boxes, rings, cases, cards, controllers and
// subscribers. Where findings themselves are listed those of few controllers need not
// all be named, nor those below the filter's verdict.
func (s *Store) findingsOf(ctx context.Context, f Filter, listed bool) (*selection, error) {
	x := &selection{}
	if len(f.FindingIDs) > 0 {
		x.meet(rawIDs(f.FindingIDs))
	}
	for _, boxes := range []struct {
		given bool
		read  func() ([][]byte, error)
	}{
		{len(f.Boxes) > 0, func() ([][]byte, error) { return rawIDs(f.Boxes), nil }},
		{len(f.Rings) > 0, func() ([][]byte, error) {
			return s.idsIn(ctx, "SELECT id FROM box WHERE ring IN ?", rawIDs(f.Rings))
		}},
		{len(f.Cases) > 0, func() ([][]byte, error) { return s.boxesOfCases(ctx, f.Cases) }},
	} {
		if !boxes.given {
			continue
		}
		ids, err := boxes.read()
		if err != nil {
			return nil, err
		}
		members, err := s.idsIn(ctx, "SELECT finding FROM member WHERE box IN ?", ids)
		if err != nil {
			return nil, err
		}
		x.meet(members)
	}
	var cards []Key
	for _, c := range f.Cards {
		cards = append(cards, KeyOf(KeyCard, "imsi:"+c), KeyOf(KeyCard, "iccid:"+c))
	}
	controllers, err := s.controllerKeys(ctx, f.Controllers)
	if err != nil {
		return nil, err
	}
	if len(f.Cards) > 0 {
		if err := s.selectKeys(ctx, x, cards, 1, maxMatches); err != nil {
			return nil, err
		}
	}
	if len(f.Controllers) > 0 {
		least, most := int64(1), maxMatches
		if listed {
			least = f.least()
			if len(controllers) <= maxWalked {
				most = s.walkFrom
			}
		}
		before := len(x.checks)
		if err := s.selectKeys(ctx, x, controllers, least, most); err != nil {
			return nil, err
		}
		if listed && len(x.checks) > before && len(controllers) <= maxWalked {
			x.walk = controllers
		}
	}
	return x, nil
}

// selectKeys narrows a selection to findings at a verdict or above that bear one of
// keys: by a check where there are more than most.
func (s *Store) selectKeys(ctx context.Context, x *selection, keys []Key, least int64, most int) error {
	q, args := "SELECT finding FROM bearer WHERE kind = ? AND digest = ? LIMIT ?", []any(nil)
	if least >= watchVerdict {
		q, args = "SELECT finding FROM bearer WHERE kind = ? AND digest = ? AND verdict >= 2 AND verdict >= ? LIMIT ?", []any{least}
	}
	var ids [][]byte
	for _, k := range keys {
		if err := each(ctx, s.db, func(r *sql.Rows) error {
			ids = append(ids, nil)
			return r.Scan(&ids[len(ids)-1])
		}, q, append(append([]any{int64(k.Kind), k.Sum[:]}, args...), most+1)...); err != nil {
			return err
		}
		if len(ids) > most {
			x.checks = append(x.checks, func(ctx context.Context, findings [][]byte) (map[ID]bool, error) {
				kept := map[ID]bool{}
				for _, k := range keys {
					if err := in(ctx, s.db, func(r *sql.Rows) error {
						var id []byte
						if err := r.Scan(&id); err != nil {
							return err
						}
						kept[ID(id)] = true
						return nil
					}, "SELECT finding FROM bearer WHERE kind = ? AND digest = ? AND finding IN ?", findings, int64(k.Kind), k.Sum[:]); err != nil {
						return nil, err
					}
				}
				return kept, nil
			})
			return nil
		}
	}
	x.meet(ids)
	return nil
}

// controllerKeys gives the keys of the controllers that lie in prefixes.
func (s *Store) controllerKeys(ctx context.Context, prefixes []netip.Prefix) ([]Key, error) {
	addrs := map[netip.Addr]bool{}
	for _, p := range prefixes {
		if p.IsSingleIP() {
			addrs[p.Addr().Unmap()] = true
			continue
		}
		from, to := addrRange(p)
		n := 0
		if err := each(ctx, s.db, func(r *sql.Rows) error {
			var b []byte
			n++
			if err := r.Scan(&b); err != nil {
				return err
			}
			addrs[addrFrom(b)] = true
			return nil
		}, "SELECT DISTINCT addr FROM controller WHERE addr >= ? AND addr <= ? LIMIT ?", from, to, maxWide+1); err != nil {
			return nil, err
		}
		if n > maxWide {
			return nil, fmt.Errorf("%w: %v holds more than %d controllers: narrow it", ErrInvalid, p, maxWide)
		}
	}
	var keys []Key
	for a := range addrs {
		keys = append(keys, KeyOf(KeyController, a.String()))
	}
	slices.SortFunc(keys, compareKeys)
	return keys, nil
}

// boxesOfCases gives the boxes of cases, those of their rings included.
func (s *Store) boxesOfCases(ctx context.Context, cases []ID) ([][]byte, error) {
	boxes, err := s.idsIn(ctx, "SELECT item FROM casefile_item WHERE kind = 2 AND casefile IN ?", rawIDs(cases))
	if err != nil {
		return nil, err
	}
	rings, err := s.idsIn(ctx, "SELECT item FROM casefile_item WHERE kind = 1 AND casefile IN ?", rawIDs(cases))
	if err != nil {
		return nil, err
	}
	more, err := s.idsIn(ctx, "SELECT id FROM box WHERE ring IN ?", rings)
	return inOrder(append(boxes, more...)), err
}

// linesOf gives the lines that the fields lines and line ids name; all is set when
// there are too many, and then each must be looked at.
func (s *Store) linesOf(ctx context.Context, f Filter) (ids [][]byte, all bool, err error) {
	for _, m := range f.Lines {
		var from, to []byte
		switch {
		case m.Name != "":
			from = lineAddr(m.Name)
			to = from
		case m.Prefix.IsValid():
			from, to = addrRange(m.Prefix)
		default:
			return nil, false, fmt.Errorf("%w: a line has a name or a prefix", ErrInvalid)
		}
		n := 0
		if err := each(ctx, s.db, func(r *sql.Rows) error {
			var id []byte
			var name string
			n++
			if err := r.Scan(&id, &name); err != nil {
				return err
			}
			if m.Name == "" || m.Name == name {
				ids = append(ids, id)
			}
			return nil
		}, "SELECT id, name FROM line WHERE addr >= ? AND addr <= ? LIMIT ?", from, to, maxMatches+1); err != nil {
			return nil, false, err
		}
		if n > maxMatches || len(ids) > maxMatches {
			return nil, true, nil
		}
	}
	ids = inOrder(ids)
	if len(f.LineIDs) > 0 {
		given := rawIDs(f.LineIDs)
		if len(f.Lines) == 0 {
			return given, false, nil
		}
		ids = slices.DeleteFunc(ids, func(id []byte) bool {
			_, found := slices.BinarySearchFunc(given, id, bytes.Compare)
			return !found
		})
	}
	return ids, false, nil
}

// matchesLine says whether a line is one of those that the field names.
func (f Filter) matchesLine(name string, addr []byte) bool {
	if len(f.Lines) == 0 {
		return true
	}
	for _, m := range f.Lines {
		if m.Name != "" {
			if m.Name == name {
				return true
			}
			continue
		}
		if from, to := addrRange(m.Prefix); bytes.Compare(from, addr) <= 0 && bytes.Compare(addr, to) <= 0 && len(addr) > 0 {
			return true
		}
	}
	return false
}

// refuse says ErrInvalid of a field that a kind of row does not have.
func (f Filter) refuse(has string) error {
	for name, given := range map[string]bool{
		"From": !f.From.IsZero(), "Until": !f.Until.IsZero(), "MinVerdict": f.MinVerdict != 0, "Sensors": len(f.Sensors) > 0,
		"Lines": len(f.Lines) > 0, "Boxes": len(f.Boxes) > 0, "Rings": len(f.Rings) > 0, "Cases": len(f.Cases) > 0,
		"Controllers": len(f.Controllers) > 0, "Cards": len(f.Cards) > 0, "Vendors": len(f.Vendors) > 0, "Declared": f.Declared != nil,
		"Proof": f.Proof != nil, "CaseStates": len(f.CaseStates) > 0, "FindingIDs": len(f.FindingIDs) > 0, "LineIDs": len(f.LineIDs) > 0,
	} {
		if given && !slices.Contains(strings.Fields(has), name) {
			return fmt.Errorf("%w: these rows are not filtered by %s", ErrInvalid, name)
		}
	}
	return nil
}

// least gives the lowest verdict that a filter lets through.
func (f Filter) least() int64 { return max(int64(f.MinVerdict), 1) }

// overlaps says whether what was seen from first to last meets the filter.
func (f Filter) overlaps(first, last int64) bool {
	return (f.From.IsZero() || last >= f.From.UnixNano()) && (f.Until.IsZero() || first < f.Until.UnixNano())
}

// notFound makes ErrNotFound of no rows.
func notFound(n int, err error) error {
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}
