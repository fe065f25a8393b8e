package store

import (
	"bytes"
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"

	"simtrap/report/reportpb"
)

// listed reads rows of a table in order of since and id behind a place.
func listed[M any](ctx context.Context, s *Store, columns, table, since string, scan func(*sql.Rows) (M, error)) func(after place, n int) ([]M, error) {
	return func(after place, n int) ([]M, error) {
		var ms []M
		err := each(ctx, s.db, func(r *sql.Rows) error {
			m, err := scan(r)
			ms = append(ms, m)
			return err
		}, "SELECT "+columns+" FROM "+table+" WHERE ("+since+", id) < (?, ?) ORDER BY "+since+" DESC, id DESC LIMIT ?", after.since, after.key, n)
		return ms, err
	}
}

// named reads the rows of ids instead.
func named[M any](ctx context.Context, s *Store, columns, table string, ids [][]byte, scan func(*sql.Rows) (M, error), at func(M) place) (func(after place, n int) ([]M, error), error) {
	var all []M
	err := in(ctx, s.db, func(r *sql.Rows) error {
		m, err := scan(r)
		all = append(all, m)
		return err
	}, "SELECT "+columns+" FROM "+table+" WHERE id IN ?", ids)
	return func(after place, n int) ([]M, error) { return pageOf(all, at, after, n), nil }, err
}

func boxPlace(b Box) place { return place{b.Since.UnixNano(), bytes.Clone(b.ID[:])} }

// Boxes lists them newest first. Fields: From, Until, MinVerdict, Lines, Boxes,
// Rings, Cases, Vendors, LineIDs, Cards, Controllers, Sensors.
func (s *Store) Boxes(ctx context.Context, f Filter, p Page) (List[BoxRow], error) {
	var l List[BoxRow]
	if err := f.refuse("From Until MinVerdict Lines Boxes Rings Cases Vendors LineIDs Cards Controllers Sensors"); err != nil {
		return l, err
	}
	// What was seen says nothing of when a box was made of it.
	after, err := p.from(time.Time{})
	if err != nil {
		return l, err
	}
	members := f
	members.Boxes, members.Rings, members.Cases = nil, nil, nil
	x, err := s.findingsOf(ctx, members, false)
	if err != nil {
		return l, err
	}
	var ids [][]byte
	narrowed := false
	narrow := func(other [][]byte) {
		if narrowed {
			other = slices.DeleteFunc(other, func(id []byte) bool {
				_, found := slices.BinarySearchFunc(ids, id, bytes.Compare)
				return !found
			})
		}
		ids, narrowed = other, true
	}
	if len(f.Boxes) > 0 {
		narrow(rawIDs(f.Boxes))
	}
	if len(f.Rings) > 0 {
		of, err := s.idsIn(ctx, "SELECT id FROM box WHERE ring IN ?", rawIDs(f.Rings))
		if err != nil {
			return l, err
		}
		narrow(of)
	}
	if len(f.Cases) > 0 {
		of, err := s.boxesOfCases(ctx, f.Cases)
		if err != nil {
			return l, err
		}
		narrow(of)
	}
	if len(f.Lines)+len(f.LineIDs) > 0 {
		lines, all, err := s.linesOf(ctx, f)
		if err != nil {
			return l, err
		}
		if !all {
			of, err := s.idsIn(ctx, "SELECT id FROM finding WHERE line IN ?", lines)
			if err != nil {
				return l, err
			}
			x.meet(of)
		}
	}
	if x.set != nil {
		of, err := s.idsIn(ctx, "SELECT box FROM member WHERE finding IN ?", x.ids())
		if err != nil {
			return l, err
		}
		narrow(of)
	}
	if narrowed && len(ids) == 0 {
		return l, nil
	}
	fetch := listed(ctx, s, boxColumns, "box", "since", s.scanBox)
	if narrowed {
		if fetch, err = named(ctx, s, boxColumns, "box", ids, s.scanBox, boxPlace); err != nil {
			return l, err
		}
	}
	keep := func(bs []Box) ([]Box, error) {
		bs = slices.DeleteFunc(bs, func(b Box) bool {
			return int64(b.Verdict) < f.least() || !f.overlaps(b.First.UnixNano(), b.Last.UnixNano()) ||
				len(f.Vendors) > 0 && !slices.Contains(f.Vendors, b.Device.GetVendor())
		})
		if len(f.Sensors) == 0 && len(x.checks) == 0 && len(f.Lines) == 0 {
			return bs, nil
		}
		return s.keepBoxes(ctx, f, x, bs)
	}
	bs, next, err := scan(ctx, p, after, fetch, boxPlace, keep)
	if err != nil {
		return l, err
	}
	l.Next = next
	l.Rows, err = s.boxRows(ctx, bs)
	return l, err
}

// keepBoxes keeps boxes of which a member meets the filter.
func (s *Store) keepBoxes(ctx context.Context, f Filter, x *selection, bs []Box) ([]Box, error) {
	var ids []ID
	for _, b := range bs {
		ids = append(ids, b.ID)
	}
	members, err := s.membersOf(ctx, rawIDs(ids))
	if err != nil {
		return nil, err
	}
	var all []ID
	for _, m := range members {
		all = append(all, m...)
	}
	ms, err := s.metas(ctx, rawIDs(all))
	if err != nil {
		return nil, err
	}
	ms = slices.DeleteFunc(ms, func(m findingMeta) bool { return len(f.Sensors) > 0 && !slices.Contains(f.Sensors, m.sensor) })
	if len(f.Lines) > 0 {
		if ms, err = s.keepLines(ctx, f, ms); err != nil {
			return nil, err
		}
	}
	for _, c := range x.checks {
		kept, err := c(ctx, metaIDs(ms))
		if err != nil {
			return nil, err
		}
		ms = slices.DeleteFunc(ms, func(m findingMeta) bool { return !kept[m.id] })
	}
	good := map[ID]bool{}
	for _, m := range ms {
		good[m.id] = true
	}
	return slices.DeleteFunc(bs, func(b Box) bool {
		return !slices.ContainsFunc(members[b.ID], func(id ID) bool { return good[id] })
	}), nil
}

// boxRows reads members and lines of boxes.
func (s *Store) boxRows(ctx context.Context, bs []Box) ([]BoxRow, error) {
	var ids []ID
	for _, b := range bs {
		ids = append(ids, b.ID)
	}
	type member struct {
		finding, line ID
	}
	of := map[ID][]member{}
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		var box, finding, line []byte
		if err := r.Scan(&box, &finding, &line); err != nil {
			return err
		}
		of[ID(box)] = append(of[ID(box)], member{ID(finding), ID(line)})
		return nil
	}, "SELECT m.box, m.finding, f.line FROM member m JOIN finding f ON f.id = m.finding WHERE m.box IN ? ORDER BY f.since DESC, f.id DESC", rawIDs(ids)); err != nil {
		return nil, err
	}
	var rows []BoxRow
	for _, b := range bs {
		row := BoxRow{Box: b}
		lines := map[ID]bool{}
		for _, m := range of[b.ID] {
			row.Members = append(row.Members, m.finding)
			if !lines[m.line] && len(row.Lines) < 10_000 {
				lines[m.line] = true
				row.Lines = append(row.Lines, m.line)
			}
		}
		slices.SortFunc(row.Members, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
		rows = append(rows, row)
	}
	return rows, nil
}

// Box gives one. ErrNotFound.
func (s *Store) Box(ctx context.Context, id ID) (BoxRow, error) {
	bs, err := s.boxes(ctx, [][]byte{id[:]}, nil)
	if err := notFound(len(bs), err); err != nil {
		return BoxRow{}, err
	}
	rows, err := s.boxRows(ctx, bs)
	if err != nil {
		return BoxRow{}, err
	}
	return rows[0], nil
}

// Edges gives the edges between members of boxes, at most n, strongest first. Ends
// are tenancies; LinesOf gives their lines.
func (s *Store) Edges(ctx context.Context, boxes []ID, n int) ([]Edge, error) {
	ids, err := s.idsIn(ctx, "SELECT finding FROM member WHERE box IN ?", rawIDs(boxes))
	if err != nil {
		return nil, err
	}
	return s.edgesAmong(ctx, ids, n)
}

func ringPlace(g Ring) place { return place{g.Since.UnixNano(), bytes.Clone(g.ID[:])} }

// Rings lists them newest first. Fields: From, Until, MinVerdict, Sensors, Boxes,
// Rings, Cases, Controllers.
func (s *Store) Rings(ctx context.Context, f Filter, p Page) (List[Ring], error) {
	var l List[Ring]
	if err := f.refuse("From Until MinVerdict Sensors Boxes Rings Cases Controllers"); err != nil {
		return l, err
	}
	after, err := p.from(time.Time{})
	if err != nil {
		return l, err
	}
	var sets [][][]byte
	if len(f.Rings) > 0 {
		sets = append(sets, rawIDs(f.Rings))
	}
	if len(f.Boxes) > 0 {
		ids, err := s.idsIn(ctx, "SELECT ring FROM box WHERE id IN ?", rawIDs(f.Boxes))
		if err != nil {
			return l, err
		}
		sets = append(sets, ids)
	}
	if len(f.Cases) > 0 {
		ids, err := s.idsIn(ctx, "SELECT item FROM casefile_item WHERE kind = 1 AND casefile IN ?", rawIDs(f.Cases))
		if err != nil {
			return l, err
		}
		sets = append(sets, ids)
	}
	fetch := listed(ctx, s, ringColumns, "ring", "since", scanRing)
	if len(sets) > 0 {
		ids := inAll(sets)
		if fetch, err = named(ctx, s, ringColumns, "ring", ids, scanRing, ringPlace); err != nil {
			return l, err
		}
	}
	keep := func(gs []Ring) ([]Ring, error) {
		return slices.DeleteFunc(gs, func(g Ring) bool {
			return int64(g.Verdict) < f.least() || !f.overlaps(g.First.UnixNano(), g.Last.UnixNano()) ||
				len(f.Sensors) > 0 && !slices.ContainsFunc(g.Sensors, func(x string) bool { return slices.Contains(f.Sensors, x) }) ||
				len(f.Controllers) > 0 && !slices.ContainsFunc(g.Controllers, f.namesController)
		}), nil
	}
	gs, next, err := scan(ctx, p, after, fetch, ringPlace, keep)
	if err != nil {
		return l, err
	}
	l.Next = next
	var ids []ID
	for _, g := range gs {
		ids = append(ids, g.ID)
	}
	l.Rows, err = s.rings(ctx, rawIDs(ids))
	slices.SortFunc(l.Rows, func(a, b Ring) int { return comparePlaces(ringPlace(a), ringPlace(b)) })
	return l, err
}

func (f Filter) namesController(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && slices.ContainsFunc(f.Controllers, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
}

// Ring gives one. ErrNotFound.
func (s *Store) Ring(ctx context.Context, id ID) (Ring, error) {
	gs, err := s.rings(ctx, [][]byte{id[:]})
	if err := notFound(len(gs), err); err != nil {
		return Ring{}, err
	}
	return gs[0], nil
}

// Cards lists them newest first. Fields: From, Until, Cards.
func (s *Store) Cards(ctx context.Context, f Filter, p Page) (List[Card], error) {
	var l List[Card]
	if err := f.refuse("From Until Cards"); err != nil {
		return l, err
	}
	after, err := p.from(time.Time{})
	if err != nil {
		return l, err
	}
	at := func(c Card) place { return place{c.Since.UnixNano(), bytes.Clone(c.ID[:])} }
	fetch := listed(ctx, s, cardColumns, "card", "since", scanCard)
	keep := func(cs []Card) ([]Card, error) {
		return slices.DeleteFunc(cs, func(c Card) bool { return !f.overlaps(c.First.UnixNano(), c.Last.UnixNano()) }), nil
	}
	if len(f.Cards) > 0 {
		var ids []ID
		for _, c := range f.Cards {
			ids = append(ids, derive("card", "imsi:"+c), derive("card", "iccid:"+c))
			// A card goes by its IMSI, and is asked for by what is printed on it as well.
			if err := each(ctx, s.db, func(r *sql.Rows) error {
				var id []byte
				if err := r.Scan(&id); err != nil {
					return err
				}
				ids = append(ids, ID(id))
				return nil
			}, "SELECT id FROM card WHERE iccid = ? LIMIT 100", c); err != nil {
				return l, err
			}
		}
		if fetch, err = named(ctx, s, cardColumns, "card", rawIDs(ids), scanCard, at); err != nil {
			return l, err
		}
	} else if f.From.IsZero() && f.Until.IsZero() {
		keep = nil
	}
	cs, next, err := scan(ctx, p, after, fetch, at, keep)
	if err != nil {
		return l, err
	}
	l.Next = next
	l.Rows = cs
	for i := range l.Rows {
		if err := s.whereCard(ctx, &l.Rows[i]); err != nil {
			return l, err
		}
	}
	return l, nil
}

const cardColumns = "id, imsi, imei, iccid, msisdn, since, first_seen, last_seen"

func scanCard(r *sql.Rows) (Card, error) {
	c := Card{Card: &reportpb.Card{}}
	var id []byte
	var since, first, last int64
	if err := r.Scan(&id, &c.Card.Imsi, &c.Card.Imei, &c.Card.Iccid, &c.Card.Msisdn, &since, &first, &last); err != nil {
		return c, err
	}
	c.ID, c.Since, c.First, c.Last = ID(id), moment(since), moment(first), moment(last)
	return c, nil
}

// whereCard reads on which lines and in which boxes a card was seen.
func (s *Store) whereCard(ctx context.Context, c *Card) error {
	var keys []Key
	if c.Card.Imsi != "" {
		keys = append(keys, KeyOf(KeyCard, "imsi:"+c.Card.Imsi))
	}
	if c.Card.Iccid != "" {
		keys = append(keys, KeyOf(KeyCard, "iccid:"+c.Card.Iccid))
	}
	lines, boxes := map[ID]bool{}, map[ID]bool{}
	for _, k := range keys {
		if err := each(ctx, s.db, func(r *sql.Rows) error {
			var line, box []byte
			if err := r.Scan(&line, &box); err != nil {
				return err
			}
			if id := ID(line); !lines[id] && len(c.Lines) < 1000 {
				lines[id] = true
				c.Lines = append(c.Lines, id)
			}
			if id := optional(box); !id.IsZero() && !boxes[id] && len(c.Boxes) < 1000 {
				boxes[id] = true
				c.Boxes = append(c.Boxes, id)
			}
			return nil
		}, `SELECT f.line, m.box FROM bearer b JOIN finding f ON f.id = b.finding LEFT JOIN member m ON m.finding = f.id
			WHERE b.kind = ? AND b.digest = ? ORDER BY f.since DESC, f.id DESC LIMIT 10000`, int64(k.Kind), k.Sum[:]); err != nil {
			return err
		}
	}
	return nil
}

// Card gives one. ErrNotFound.
func (s *Store) Card(ctx context.Context, id ID) (Card, error) {
	var cs []Card
	err := each(ctx, s.db, func(r *sql.Rows) error {
		c, err := scanCard(r)
		cs = append(cs, c)
		return err
	}, "SELECT "+cardColumns+" FROM card WHERE id = ?", id[:])
	if err := notFound(len(cs), err); err != nil {
		return Card{}, err
	}
	return cs[0], s.whereCard(ctx, &cs[0])
}

// inAll gives what all of the ordered sets hold; the first is spent.
func inAll(sets [][][]byte) [][]byte {
	ids := sets[0]
	for _, other := range sets[1:] {
		ids = slices.DeleteFunc(ids, func(id []byte) bool {
			_, found := slices.BinarySearchFunc(other, id, bytes.Compare)
			return !found
		})
	}
	return ids
}
