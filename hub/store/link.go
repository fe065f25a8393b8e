package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"simtrap/report/reportpb"
)

// What is linked is a Tenancy: what one line showed in one epoch of evidence,
// which is a finding and has its id. Not the line itself: an address that is
// given to another subscriber must not carry a box over to him.

// KeyKind is what a key is of.
type KeyKind int16

// Kinds of keys. A key never holds a text, only its hash under the hub's key.
const (
	KeyCard       KeyKind = 1 // an IMSI or an ICCID
	KeyAccount    KeyKind = 2 // one account; of a finding the 16 of lowest hash
	KeyContact    KeyKind = 3 // host and port behind the NAT
	KeyCNAME      KeyKind = 4 // RTCP CNAME
	KeyController KeyKind = 6 // controller's address, whatever its role
)

// Key is what tenancies may have in common.
type Key struct {
	Kind KeyKind
	Sum  [16]byte
}

// KeyOf gives the key of texts as a stored finding has them: one account, contact,
// CNAME or controller's address; "imsi:" or "iccid:" before a card's.
func KeyOf(kind KeyKind, texts ...string) Key {
	return Key{Kind: kind, Sum: derive(append([]string{"key"}, texts...)...)}
}

// Touched is a tenancy whose links are to be looked at again.
type Touched struct {
	Finding ID
	Stamp   int64 // of the touch: one that comes later has another
}

// Claim takes up to n touched tenancies that nobody else holds, for so long, the
// longest waiting first. owner is unique to the worker. While reports wait to be written
// here it lets them go first, for up to patience: linking takes more of the processor
// than they do.
func (s *Store) Claim(ctx context.Context, owner string, n int, lease time.Duration) ([]Touched, error) {
	for until := time.Now().Add(patience); s.waiting.Load() > 0 && time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(patience / 40):
		}
	}
	var ts []Touched
	now := s.now().UnixNano()
	err := s.withinAs(ctx, lax, func(t *tx) error {
		ts = ts[:0]
		skip := t.forUpdate()
		if skip != "" {
			skip += " SKIP LOCKED"
		}
		var ids [][]byte
		if err := each(ctx, t, func(r *sql.Rows) error {
			var id []byte
			var x Touched
			if err := r.Scan(&id, &x.Stamp); err != nil {
				return err
			}
			x.Finding = ID(id)
			ids, ts = append(ids, id), append(ts, x)
			return nil
		}, "SELECT finding, stamp FROM queue WHERE until < ? ORDER BY touched LIMIT ?"+skip, now, n); err != nil {
			return err
		}
		return s.setLease(ctx, t, ids, owner, now+int64(lease))
	})
	return ts, err
}

func (s *Store) setLease(ctx context.Context, t *tx, ids [][]byte, owner string, until int64) error {
	slices.SortFunc(ids, bytes.Compare)
	var rows []any
	for _, id := range ids {
		rows = append(rows, id, owner, until)
	}
	_, err := t.run(ctx, s.sql.leases, rows)
	return err
}

// Extend holds what owner claimed for so long from now, and gives how many of
// them he still has.
func (s *Store) Extend(ctx context.Context, owner string, ts []Touched, lease time.Duration) (int, error) {
	return s.holdUntil(ctx, owner, ts, owner, s.now().Add(lease).UnixNano())
}

// Release gives back what owner claimed, at once.
func (s *Store) Release(ctx context.Context, owner string, ts []Touched) error {
	_, err := s.holdUntil(ctx, owner, ts, "", 0)
	return err
}

// holdUntil changes the leases that owner has among ts, and gives how many.
func (s *Store) holdUntil(ctx context.Context, owner string, ts []Touched, next string, until int64) (int, error) {
	var mine [][]byte
	err := s.withinAs(ctx, lax, func(t *tx) error {
		mine = mine[:0]
		if err := in(ctx, t, func(r *sql.Rows) error {
			var id []byte
			if err := r.Scan(&id); err != nil {
				return err
			}
			mine = append(mine, id)
			return nil
		}, "SELECT finding FROM queue WHERE finding IN ? AND owner = ? ORDER BY finding"+t.forUpdate(), touchedIDs(ts), owner); err != nil {
			return err
		}
		return s.setLease(ctx, t, mine, next, until)
	})
	return len(mine), err
}

func touchedIDs(ts []Touched) [][]byte {
	var ids [][]byte
	for _, x := range ts {
		ids = append(ids, bytes.Clone(x.Finding[:]))
	}
	return inOrder(ids)
}

func rawIDs(ids []ID) [][]byte {
	raw := make([][]byte, 0, len(ids))
	for _, id := range ids {
		raw = append(raw, bytes.Clone(id[:]))
	}
	return inOrder(raw)
}

// inOrder sorts ids and leaves each once: rows are always taken in their order,
// so that two transactions do not wait for each other.
func inOrder(ids [][]byte) [][]byte {
	slices.SortFunc(ids, bytes.Compare)
	return slices.CompactFunc(ids, bytes.Equal)
}

// Touch puts tenancies in the queue.
func (s *Store) Touch(ctx context.Context, ids ...ID) error {
	return s.within(ctx, func(t *tx) error {
		var rows []any
		for _, id := range rawIDs(ids) {
			rows = append(rows, id, rand.Int64(), s.now().UnixNano(), "", int64(0))
		}
		_, err := t.run(ctx, s.sql.queue, rows)
		return err
	})
}

// Queued is how many tenancies wait, claimed ones included.
func (s *Store) Queued(ctx context.Context) (int, error) {
	var n int
	err := one(ctx, s.db, []any{&n}, "SELECT count(*) FROM queue")
	return n, err
}

// Tenancy is a finding as linking sees it.
type Tenancy struct {
	ID       ID
	Line     ID
	Sensor   string
	Since    time.Time // of the finding's first arrival or evidence, never changing
	Received time.Time
	// Report has identities keyed anew; its finding's verdict is local, and its
	// signals and unseen are left out.
	Report  *reportpb.FindingRevision
	Keys    []Key
	Box     ID     // zero for none
	Ring    ID     // zero for none
	Version uint64 // of its links, 0 before the first
}

// Tenancies reads those of ids that exist, in order of id.
func (s *Store) Tenancies(ctx context.Context, ids []ID) ([]Tenancy, error) {
	return s.tenancies(ctx, rawIDs(ids))
}

func (s *Store) tenancies(ctx context.Context, ids [][]byte) ([]Tenancy, error) {
	ts := make([]Tenancy, 0, len(ids))
	err := in(ctx, s.db, func(r *sql.Rows) error {
		var id, line, body, box, ring []byte
		var since, received int64
		var version sql.NullInt64
		x := Tenancy{Report: &reportpb.FindingRevision{}}
		if err := r.Scan(&id, &line, &x.Sensor, &since, &received, &body, &box, &ring, &version); err != nil {
			return err
		}
		if err := s.pack.unpackFacts(body, x.Report); err != nil {
			return err
		}
		f := x.Report.GetFinding()
		x.ID, x.Line, x.Box, x.Ring = ID(id), ID(line), optional(box), optional(ring)
		x.Since, x.Received, x.Version = moment(since), moment(received), uint64(version.Int64)
		x.Keys = Keys(f)
		ts = append(ts, x)
		return nil
	}, `SELECT f.id, f.line, f.sensor, f.since, f.received, f.body, m.box, b.ring, m.version FROM finding f
		LEFT JOIN member m ON m.finding = f.id LEFT JOIN box b ON b.id = m.box WHERE f.id IN ? ORDER BY f.id`, ids)
	return ts, err
}

// optional gives an id that may be NULL.
func optional(b []byte) ID {
	if len(b) != 16 {
		return ID{}
	}
	return ID(b)
}

// orNull gives what is stored of it.
func orNull(id ID) []byte {
	if id.IsZero() {
		return nil
	}
	return bytes.Clone(id[:])
}

// Bearers tells who bears a key.
type Bearers struct {
	Key   Key
	Total int  // tenancies of any verdict, counted up to the limit asked for
	More  bool // there are more than Total
	// Watch are those at watch or above, in order of id; none where there are more than
	// were asked for.
	Watch     []ID
	WatchMore bool // there are
	// WatchTotal counts them: of a controller all, of other keys up to one more than
	// were asked for.
	WatchTotal int
}

const watchVerdict = int64(reportpb.Verdict_VERDICT_WATCH)

// Bearers tells who bears each of keys, in their order, counting to total and
// giving the ids of up to watch: what more than that bear joins nobody, and is not read.
func (s *Store) Bearers(ctx context.Context, keys []Key, total, watch int) ([]Bearers, error) {
	return s.bearers(ctx, keys, total, watchVerdict, watch, false)
}

// keysAtOnce is how many keys one statement asks for: on SQLite a statement costs as
// much as some dozen rows do.
const keysAtOnce = 64

// bearers tells who bears keys, and gives those of a verdict, at watch or above, and
// higher ones: where there are more than most, that many of them if some are wanted.
func (s *Store) bearers(ctx context.Context, keys []Key, total int, verdict int64, most int, some bool) ([]Bearers, error) {
	bs := make([]Bearers, len(keys))
	for i, k := range keys {
		bs[i].Key = k
	}
	for part := range slices.Chunk(bs, keysAtOnce) {
		if err := s.bearersOf(ctx, part, total, verdict, most, some); err != nil {
			return nil, err
		}
	}
	return bs, nil
}

func (s *Store) bearersOf(ctx context.Context, bs []Bearers, total int, verdict int64, most int, ofMany bool) error {
	const of = "FROM bearer b WHERE b.kind = k.kind AND b.digest = k.digest"
	// Of controllers the counts are stored.
	const counted = "CASE WHEN k.kind = 6 THEN (SELECT CAST(COALESCE(sum(%s), 0) AS BIGINT) FROM controller_use u WHERE u.digest = k.digest) ELSE (SELECT count(*) FROM (SELECT 1 %s LIMIT %d) AS x) END"
	suspect := fmt.Sprintf("%s AND b.verdict >= 2 AND b.verdict >= %d", of, verdict)
	column := "u.watch"
	if verdict > watchVerdict {
		column = "u.review"
	}
	from, args := s.db.keyTable(bs, nil)
	var some []int // those that suspects bear, and not too many
	if err := each(ctx, s.db, func(r *sql.Rows) error {
		var i, all, suspects int
		if err := r.Scan(&i, &all, &suspects); err != nil {
			return err
		}
		b := &bs[i]
		b.More, b.Total, b.WatchTotal = all > total, min(all, total), suspects
		if b.WatchMore = suspects > most; suspects > 0 && (ofMany || !b.WatchMore) {
			some = append(some, i)
		}
		return nil
	}, fmt.Sprintf("SELECT k.n, "+counted+", "+counted+" FROM %s", "u.lines", of, total+1, column, suspect, most+1, from), args...); err != nil {
		return err
	}
	add := func(r *sql.Rows) error {
		var i int
		var id []byte
		if err := r.Scan(&i, &id); err != nil {
			return err
		}
		bs[i].Watch = append(bs[i].Watch, ID(id))
		return nil
	}
	// read gives those of some of the keys, at most n of each or, on SQLite, together,
	// which has no LATERAL: what is bounded by being few is joined, and of the rest each
	// asked for by itself. Of what has come meanwhile there may be more than was counted.
	read := func(some []int, n int) error {
		if len(some) == 0 {
			return nil
		}
		from, args := s.db.keyTable(bs, some)
		q := "SELECT k.n, b.finding FROM %s CROSS JOIN bearer b WHERE" + strings.TrimPrefix(suspect, "FROM bearer b WHERE") + " LIMIT %d"
		if s.db.dialect == postgres {
			q = "SELECT k.n, b.finding FROM %s CROSS JOIN LATERAL (SELECT finding " + suspect + " LIMIT %d) AS b"
		}
		return each(ctx, s.db, add, fmt.Sprintf(q, from, n), args...)
	}
	var few []int
	for _, i := range some {
		if s.db.dialect == postgres || !bs[i].WatchMore {
			few = append(few, i)
		} else if err := read([]int{i}, most); err != nil {
			return err
		}
	}
	together := most + 1
	if s.db.dialect == sqlite {
		together *= len(few)
	}
	if err := read(few, together); err != nil {
		return err
	}
	for _, i := range some {
		b := &bs[i]
		slices.SortFunc(b.Watch, func(x, y ID) int { return bytes.Compare(x[:], y[:]) })
		if len(b.Watch) > most {
			b.Watch, b.WatchMore = b.Watch[:most], true
		}
		if b.WatchMore && !ofMany {
			b.Watch = nil
		}
	}
	return nil
}

// keyTable gives the keys of bs, or of those of some alone, as a table k of their
// places, kinds and digests, and the arguments that go with it.
func (d *database) keyTable(bs []Bearers, some []int) (from string, args []any) {
	if some == nil {
		for i := range bs {
			some = append(some, i)
		}
	}
	if d.dialect == postgres {
		places, kinds, digests := make([]int64, len(some)), make([]int16, len(some)), make([][]byte, len(some))
		for n, i := range some {
			places[n], kinds[n], digests[n] = int64(i), int16(bs[i].Key.Kind), bs[i].Key.Sum[:]
		}
		return "unnest(?::bigint[], ?::smallint[], ?::bytea[]) AS k (n, kind, digest)", []any{places, kinds, digests}
	}
	var b strings.Builder
	b.WriteString("(SELECT column1 AS n, column2 AS kind, column3 AS digest FROM (VALUES ")
	for n, i := range some {
		if n > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%d, %d, ?)", i, bs[i].Key.Kind)
		args = append(args, bs[i].Key.Sum[:])
	}
	b.WriteString(")) AS k")
	return b.String(), args
}

// Census counts tenancies by verdict, over all sensors.
type Census struct {
	None, Watch, Review, Case uint64
}

// Census gives it.
func (s *Store) Census(ctx context.Context) (Census, error) {
	var c Census
	err := one(ctx, s.db, []any{&c.None, &c.Watch, &c.Review, &c.Case},
		"SELECT COALESCE(CAST(sum(n_none) AS BIGINT), 0), COALESCE(CAST(sum(n_watch) AS BIGINT), 0), COALESCE(CAST(sum(n_review) AS BIGINT), 0), COALESCE(CAST(sum(n_case) AS BIGINT), 0) FROM sensor")
	return c, err
}

// Scope is what an edge says of its two ends.
type Scope int16

// Scopes of edges.
const (
	ScopeBox  Scope = 1 // one device
	ScopeRing Scope = 2 // one hand
)

// EdgeKind is what an edge rests on, numbered as simtrap.query.v1.LinkKind.
type EdgeKind int16

// Edge joins two tenancies, or speaks against their being joined.
type Edge struct {
	A, B   ID // A below B
	Kind   EdgeKind
	Scope  Scope
	Nats   float64 // natural logarithm of the likelihood ratio, negative if against
	Reason string  // in plain words
	Since  time.Time
}

// Box is one device as linking judged it. Members are tenancies.
type Box struct {
	ID          ID
	Ring        ID // zero for none
	Members     []ID
	Device      *reportpb.Device
	Cards       int
	Verdict     reportpb.Verdict
	First, Last time.Time
	Since       time.Time // when the store first had it; set by the store
	Left        int       // members that the limit on components left out
}

// Ring is boxes that one hand drives.
type Ring struct {
	ID          ID
	Boxes       []ID
	Lines       int // of distinct subscribers
	Sensors     []string
	Controllers []string
	Margin      *float64 // nats, nil below three lines
	Nearest     string
	Verdict     reportpb.Verdict
	First, Last time.Time
	Since       time.Time // when the store first had it; set by the store
	Left        int       // boxes that the limit on components left out
}

// Component is all that is joined to some tenancies, as it stands.
type Component struct {
	Tenancies []Tenancy // members of the boxes, and those asked for
	Edges     []Edge    // both ends among Tenancies
	Boxes     []Box
	Rings     []Ring
	More      bool // the limit was reached
}

// Component reads the boxes and rings that ids belong to, whole, up to limit
// tenancies, with the edges of which both ends are among them. It is read piece by
// piece: SaveLinks tells when it was no longer true.
func (s *Store) Component(ctx context.Context, ids []ID, limit int) (Component, error) {
	var c Component
	boxes, err := s.idsIn(ctx, "SELECT box FROM member WHERE finding IN ?", rawIDs(ids))
	if err != nil {
		return c, err
	}
	rings, err := s.idsIn(ctx, "SELECT ring FROM box WHERE id IN ?", boxes)
	if err != nil {
		return c, err
	}
	more, err := s.idsIn(ctx, "SELECT id FROM box WHERE ring IN ?", rings)
	if err != nil {
		return c, err
	}
	boxes = inOrder(append(boxes, more...))
	members, err := s.membersOf(ctx, boxes)
	if err != nil {
		return c, err
	}
	all := rawIDs(ids)
	for _, b := range boxes {
		for _, m := range members[ID(b)] {
			if len(all) >= limit+len(ids) {
				c.More = true
				break
			}
			all = append(all, bytes.Clone(m[:]))
		}
	}
	all = inOrder(all)
	if len(all) > limit {
		c.More = true
	}
	if c.Tenancies, err = s.tenancies(ctx, all); err != nil {
		return c, err
	}
	if c.Edges, err = s.edgesAmong(ctx, all, 0); err != nil {
		return c, err
	}
	if c.Boxes, err = s.boxes(ctx, boxes, members); err != nil {
		return c, err
	}
	c.Rings, err = s.rings(ctx, rings)
	return c, err
}

// idsIn asks for a column of ids, and leaves NULL out: asked not to give it, PostgreSQL
// may take all that have a box, of whom it knows too little, and look for ids among them.
func (s *Store) idsIn(ctx context.Context, q string, ids [][]byte, more ...any) ([][]byte, error) {
	var out [][]byte
	err := in(ctx, s.db, func(r *sql.Rows) error {
		var id []byte
		if err := r.Scan(&id); err != nil {
			return err
		}
		if id != nil {
			out = append(out, id)
		}
		return nil
	}, q, ids, more...)
	return inOrder(out), err
}

func (s *Store) membersOf(ctx context.Context, boxes [][]byte) (map[ID][]ID, error) {
	members := map[ID][]ID{}
	err := in(ctx, s.db, func(r *sql.Rows) error {
		var box, id []byte
		if err := r.Scan(&box, &id); err != nil {
			return err
		}
		members[ID(box)] = append(members[ID(box)], ID(id))
		return nil
	}, "SELECT box, finding FROM member WHERE box IN ? ORDER BY box, finding", boxes)
	return members, err
}

// edgesAmong reads the edges of which both ends are among ids, the strongest n, or
// all for 0.
func (s *Store) edgesAmong(ctx context.Context, ids [][]byte, n int) ([]Edge, error) {
	among := make(map[ID]bool, len(ids))
	for _, id := range ids {
		among[ID(id)] = true
	}
	es, err := edgesIn(ctx, s.db, "WHERE a IN ?", ids, func(e Edge) bool { return among[e.B] })
	if err != nil {
		return nil, err
	}
	if n > 0 && len(es) > n {
		slices.SortStableFunc(es, func(x, y Edge) int {
			if x.Nats != y.Nats {
				if x.Nats > y.Nats {
					return -1
				}
				return 1
			}
			return compareEdges(x, y)
		})
		es = es[:n]
	}
	return es, nil
}

func edgesIn(ctx context.Context, a asker, where string, ids [][]byte, keep func(Edge) bool) ([]Edge, error) {
	var es []Edge
	err := in(ctx, a, func(r *sql.Rows) error {
		var x, y []byte
		var e Edge
		var since int64
		if err := r.Scan(&x, &y, &e.Kind, &e.Scope, &e.Nats, &e.Reason, &since); err != nil {
			return err
		}
		e.A, e.B, e.Since = ID(x), ID(y), moment(since)
		if keep(e) {
			es = append(es, e)
		}
		return nil
	}, "SELECT a, b, kind, scope, nats, reason, since FROM edge "+where+" ORDER BY a, b, kind, scope", ids)
	return es, err
}

func compareEdges(x, y Edge) int {
	if c := bytes.Compare(x.A[:], y.A[:]); c != 0 {
		return c
	}
	if c := bytes.Compare(x.B[:], y.B[:]); c != 0 {
		return c
	}
	return int(x.Kind)*4 + int(x.Scope) - int(y.Kind)*4 - int(y.Scope)
}

const boxColumns = "id, ring, since, verdict, first_seen, last_seen, device, cards, left_out"

func (s *Store) scanBox(r *sql.Rows) (Box, error) {
	var id, ring, device []byte
	var since, first, last int64
	b := Box{Device: &reportpb.Device{}}
	if err := r.Scan(&id, &ring, &since, &b.Verdict, &first, &last, &device, &b.Cards, &b.Left); err != nil {
		return b, err
	}
	b.ID, b.Ring, b.Since, b.First, b.Last = ID(id), optional(ring), moment(since), moment(first), moment(last)
	return b, s.pack.unpack(device, b.Device)
}

// boxes reads boxes of known members, in order of id.
func (s *Store) boxes(ctx context.Context, ids [][]byte, members map[ID][]ID) ([]Box, error) {
	var bs []Box
	err := in(ctx, s.db, func(r *sql.Rows) error {
		b, err := s.scanBox(r)
		b.Members = members[b.ID]
		bs = append(bs, b)
		return err
	}, "SELECT "+boxColumns+" FROM box WHERE id IN ? ORDER BY id", ids)
	return bs, err
}

const ringColumns = "id, since, verdict, first_seen, last_seen, lines, margin, nearest, sensors, controllers, left_out"

func scanRing(r *sql.Rows) (Ring, error) {
	var id []byte
	var since, first, last int64
	var margin sql.NullFloat64
	var sensors, controllers string
	var g Ring
	if err := r.Scan(&id, &since, &g.Verdict, &first, &last, &g.Lines, &margin, &g.Nearest, &sensors, &controllers, &g.Left); err != nil {
		return g, err
	}
	g.ID, g.Since, g.First, g.Last = ID(id), moment(since), moment(first), moment(last)
	if margin.Valid {
		g.Margin = &margin.Float64
	}
	if err := json.Unmarshal([]byte(sensors), &g.Sensors); err != nil {
		return g, fmt.Errorf("ring %v: %w", g.ID, err)
	}
	if err := json.Unmarshal([]byte(controllers), &g.Controllers); err != nil {
		return g, fmt.Errorf("ring %v: %w", g.ID, err)
	}
	return g, nil
}

// rings reads rings with the ids of their boxes, in order of id.
func (s *Store) rings(ctx context.Context, ids [][]byte) ([]Ring, error) {
	boxes := map[ID][]ID{}
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		var ring, box []byte
		if err := r.Scan(&ring, &box); err != nil {
			return err
		}
		boxes[ID(ring)] = append(boxes[ID(ring)], ID(box))
		return nil
	}, "SELECT ring, id FROM box WHERE ring IN ? ORDER BY ring, id", ids); err != nil {
		return nil, err
	}
	var gs []Ring
	err := in(ctx, s.db, func(r *sql.Rows) error {
		g, err := scanRing(r)
		g.Boxes = boxes[g.ID]
		gs = append(gs, g)
		return err
	}, "SELECT "+ringColumns+" FROM ring WHERE id IN ? ORDER BY id", ids)
	return gs, err
}

// Links is what a worker found out about some tenancies.
type Links struct {
	// Claimed are those that he held; they leave the queue unless touched again.
	Owner   string
	Claimed []Touched
	// Seen are all tenancies that the result rests on, with the version that each
	// had. If one has another by now nothing is saved.
	Seen map[ID]uint64
	// Judged are tenancies of which Edges has every edge: what else is stored of
	// them goes.
	Judged []ID
	Edges  []Edge
	// Boxes and Rings as they are now. A tenancy among Seen that is in none of
	// Boxes belongs to none.
	Boxes []Box
	Rings []Ring
	// Gone are boxes and rings that are no more.
	GoneBoxes, GoneRings []ID
}

// SaveLinks stores all of it or nothing, and raises the version of every tenancy
// that it judges or moves to another box. Every tenancy that is stored as a member
// of one of Boxes or GoneBoxes must be among Seen, and every box that is stored in
// one of Rings or GoneRings among Boxes or GoneBoxes: what somebody else has added
// meanwhile is no part of the result. ErrConflict: that is so, a version is
// another one, or the claim was lost; read again. ErrInvalid: it does not fit
// together.
func (s *Store) SaveLinks(ctx context.Context, l Links) error {
	if err := l.sound(); err != nil {
		return err
	}
	return s.withinAs(ctx, lax, func(t *tx) error { return s.saveLinks(ctx, t, l) })
}

func (l *Links) sound() error {
	boxed := map[ID]bool{}
	boxes := map[ID]bool{}
	for _, b := range l.Boxes {
		if b.ID.IsZero() || boxes[b.ID] {
			return fmt.Errorf("%w: box %v twice, or without an id", ErrInvalid, b.ID)
		}
		boxes[b.ID] = true
		for _, m := range b.Members {
			if _, seen := l.Seen[m]; !seen || boxed[m] {
				return fmt.Errorf("%w: %v is in two boxes, or was not seen", ErrInvalid, m)
			}
			boxed[m] = true
		}
	}
	for _, g := range l.Rings {
		for _, b := range g.Boxes {
			if !boxes[b] {
				return fmt.Errorf("%w: ring %v has a box that is not given", ErrInvalid, g.ID)
			}
		}
	}
	judged := map[ID]bool{}
	for _, id := range l.Judged {
		if _, seen := l.Seen[id]; !seen {
			return fmt.Errorf("%w: %v was judged but not seen", ErrInvalid, id)
		}
		judged[id] = true
	}
	for _, e := range l.Edges {
		if math.IsNaN(e.Nats) || math.IsInf(e.Nats, 0) {
			return fmt.Errorf("%w: an edge of %v nats", ErrInvalid, e.Nats)
		}
		if bytes.Compare(e.A[:], e.B[:]) >= 0 || !judged[e.A] && !judged[e.B] {
			return fmt.Errorf("%w: an edge from %v to %v, of which none was judged or which is the wrong way round", ErrInvalid, e.A, e.B)
		}
	}
	return nil
}

func (s *Store) saveLinks(ctx context.Context, t *tx, l Links) error {
	// What two workers may both change is locked in one order: rings, boxes,
	// members, queue. Whoever changes a tenancy that the other has seen, changes a
	// box or a ring that both have, or the tenancy's own row.
	var rings, boxes [][]byte
	given := map[ID]bool{}
	for _, g := range l.Rings {
		rings = append(rings, bytes.Clone(g.ID[:]))
	}
	rings = inOrder(append(rings, rawIDs(l.GoneRings)...))
	for _, b := range l.Boxes {
		boxes = append(boxes, bytes.Clone(b.ID[:]))
		given[b.ID] = true
	}
	for _, id := range l.GoneBoxes {
		given[id] = true
	}
	boxes = inOrder(append(boxes, rawIDs(l.GoneBoxes)...))
	if t.d.dialect == postgres {
		if err := lockRows(ctx, t, "ring", rings); err != nil {
			return err
		}
		if err := lockRows(ctx, t, "box", boxes); err != nil {
			return err
		}
	}
	boxOf := make(map[ID]ID, len(l.Seen))
	for _, b := range l.Boxes {
		for _, m := range b.Members {
			boxOf[m] = b.ID
		}
	}
	var seen [][]byte
	for id := range l.Seen {
		seen = append(seen, bytes.Clone(id[:]))
	}
	seen = inOrder(seen)
	stored, err := memberRows(ctx, t, seen, "")
	if err != nil {
		return err
	}
	judged := map[ID]bool{}
	for _, id := range l.Judged {
		judged[id] = true
	}
	var write, fresh [][]byte
	for _, raw := range seen {
		id := ID(raw)
		if m, there := stored[id]; judged[id] || m.box != boxOf[id] {
			write = append(write, raw)
			if !there {
				fresh = append(fresh, raw)
			}
		}
	}
	// Rows that are new to both of two workers: who is second finds that his insert
	// did nothing.
	var rows []any
	for _, id := range fresh {
		rows = append(rows, id, []byte(nil), int64(0))
	}
	n, err := t.run(ctx, s.sql.members, rows)
	if err != nil {
		return fmt.Errorf("write members: %w", err)
	}
	if int(n) != len(fresh) {
		return fmt.Errorf("%w: new members", ErrConflict)
	}
	if t.d.dialect == postgres {
		if _, err := memberRows(ctx, t, write, t.forUpdate()); err != nil {
			return err
		}
		if stored, err = memberRows(ctx, t, seen, ""); err != nil {
			return err
		}
	}
	for id, version := range l.Seen {
		if stored[id].version != version {
			return fmt.Errorf("%w: links of %v", ErrConflict, id)
		}
	}
	// What has gone to its time's end meanwhile must not come back as a member.
	alive := 0
	if err := in(ctx, t, func(r *sql.Rows) error { alive++; var id []byte; return r.Scan(&id) }, "SELECT id FROM finding WHERE id IN ?", fresh); err != nil {
		return err
	}
	if alive != len(fresh) {
		return fmt.Errorf("%w: a finding is gone", ErrConflict)
	}
	if err := in(ctx, t, func(r *sql.Rows) error {
		var id []byte
		if err := r.Scan(&id); err != nil {
			return err
		}
		if _, ok := l.Seen[ID(id)]; !ok {
			return fmt.Errorf("%w: %v joined a box", ErrConflict, ID(id))
		}
		return nil
	}, "SELECT finding FROM member WHERE box IN ?", boxes); err != nil {
		return err
	}
	if err := in(ctx, t, func(r *sql.Rows) error {
		var id []byte
		if err := r.Scan(&id); err != nil {
			return err
		}
		if !given[ID(id)] {
			return fmt.Errorf("%w: box %v joined a ring", ErrConflict, ID(id))
		}
		return nil
	}, "SELECT id FROM box WHERE ring IN ?", rings); err != nil {
		return err
	}

	rows = nil
	for _, raw := range write {
		id := ID(raw)
		rows = append(rows, raw, orNull(boxOf[id]), int64(stored[id].version+1))
	}
	if _, err := t.run(ctx, s.sql.moves, rows); err != nil {
		return fmt.Errorf("write members: %w", err)
	}
	if err := s.saveEdges(ctx, t, l); err != nil {
		return err
	}
	now := s.now().UnixNano()
	rows = nil
	slices.SortFunc(l.Boxes, func(a, b Box) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, b := range l.Boxes {
		device := b.Device
		if device == nil {
			device = &reportpb.Device{}
		}
		body, err := s.pack.pack(device)
		if err != nil {
			return fmt.Errorf("%w: device: %w", ErrInvalid, err)
		}
		rows = append(rows, bytes.Clone(b.ID[:]), orNull(b.Ring), now, level(b.Verdict), b.First.UnixNano(), b.Last.UnixNano(),
			clean(device.GetVendor(), maxText), body, int64(b.Cards), int64(len(b.Members)), int64(b.Left))
	}
	if _, err := t.run(ctx, s.sql.boxes, rows); err != nil {
		return fmt.Errorf("write boxes: %w", err)
	}
	rows = nil
	slices.SortFunc(l.Rings, func(a, b Ring) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, g := range l.Rings {
		sensors, err := json.Marshal(append([]string{}, g.Sensors...))
		if err != nil {
			return err
		}
		controllers, err := json.Marshal(append([]string{}, g.Controllers...))
		if err != nil {
			return err
		}
		rows = append(rows, bytes.Clone(g.ID[:]), now, level(g.Verdict), g.First.UnixNano(), g.Last.UnixNano(), int64(g.Lines), g.Margin,
			clean(g.Nearest, maxText), string(sensors), string(controllers), int64(g.Left))
	}
	if _, err := t.run(ctx, s.sql.rings, rows); err != nil {
		return fmt.Errorf("write rings: %w", err)
	}
	for _, gone := range []struct {
		b   *bulk
		ids []ID
	}{{s.sql.noBoxes, l.GoneBoxes}, {s.sql.noRings, l.GoneRings}} {
		rows = nil
		for _, id := range rawIDs(gone.ids) {
			rows = append(rows, id)
		}
		if _, err := t.run(ctx, gone.b, rows); err != nil {
			return fmt.Errorf("write what is gone: %w", err)
		}
	}
	return s.endClaim(ctx, t, l)
}

// endClaim takes what was claimed from the queue, unless it was touched again.
func (s *Store) endClaim(ctx context.Context, t *tx, l Links) error {
	if len(l.Claimed) == 0 {
		return nil
	}
	stamps := map[ID]int64{}
	for _, c := range l.Claimed {
		stamps[c.Finding] = c.Stamp
	}
	held := map[ID]bool{}
	var rows []any
	var again [][]byte
	if err := in(ctx, t, func(r *sql.Rows) error {
		var id []byte
		var stamp int64
		var owner string
		if err := r.Scan(&id, &stamp, &owner); err != nil {
			return err
		}
		if owner != l.Owner {
			return fmt.Errorf("%w: the claim of %v was lost", ErrConflict, ID(id))
		}
		held[ID(id)] = true
		if stamp == stamps[ID(id)] {
			rows = append(rows, id)
		} else {
			again = append(again, id)
		}
		return nil
	}, "SELECT finding, stamp, owner FROM queue WHERE finding IN ? ORDER BY finding"+t.forUpdate(), touchedIDs(l.Claimed)); err != nil {
		return err
	}
	if len(held) != len(stamps) {
		return fmt.Errorf("%w: the claim was lost", ErrConflict)
	}
	if _, err := t.run(ctx, s.sql.unqueue, rows); err != nil {
		return fmt.Errorf("write queue: %w", err)
	}
	return s.setLease(ctx, t, again, "", 0)
}

func lockRows(ctx context.Context, t *tx, table string, ids [][]byte) error {
	return in(ctx, t, func(*sql.Rows) error { return nil }, "SELECT id FROM "+table+" WHERE id IN ? ORDER BY id"+t.forUpdate(), ids)
}

type memberRow struct {
	box     ID
	version uint64
}

func memberRows(ctx context.Context, t *tx, ids [][]byte, lock string) (map[ID]memberRow, error) {
	rows := make(map[ID]memberRow, len(ids))
	err := in(ctx, t, func(r *sql.Rows) error {
		var id, box []byte
		var m memberRow
		if err := r.Scan(&id, &box, &m.version); err != nil {
			return err
		}
		m.box = optional(box)
		rows[ID(id)] = m
		return nil
	}, "SELECT finding, box, version FROM member WHERE finding IN ? ORDER BY finding"+lock, ids)
	return rows, err
}

// saveEdges writes what is new of the judged tenancies' edges, and deletes what is
// no more.
func (s *Store) saveEdges(ctx context.Context, t *tx, l Links) error {
	type key struct {
		a, b  ID
		kind  EdgeKind
		scope Scope
	}
	old := map[key]Edge{}
	judged := rawIDs(l.Judged)
	for _, where := range []string{"WHERE a IN ?", "WHERE b IN ?"} {
		es, err := edgesIn(ctx, t, where, judged, func(Edge) bool { return true })
		if err != nil {
			return fmt.Errorf("read edges: %w", err)
		}
		for _, e := range es {
			old[key{e.A, e.B, e.Kind, e.Scope}] = e
		}
	}
	slices.SortFunc(l.Edges, compareEdges)
	var rows []any
	for _, e := range l.Edges {
		e.Reason = clean(e.Reason, 4*maxText)
		k := key{e.A, e.B, e.Kind, e.Scope}
		o, there := old[k]
		delete(old, k)
		if there && o.Nats == e.Nats && o.Reason == e.Reason && o.Since.Equal(e.Since) {
			continue
		}
		rows = append(rows, bytes.Clone(e.A[:]), bytes.Clone(e.B[:]), int64(e.Kind), int64(e.Scope), &e.Nats, e.Reason, e.Since.UnixNano())
	}
	if _, err := t.run(ctx, s.sql.edges, rows); err != nil {
		return fmt.Errorf("write edges: %w", err)
	}
	var gone []Edge
	for _, e := range old {
		gone = append(gone, e)
	}
	slices.SortFunc(gone, compareEdges)
	rows = nil
	for _, e := range gone {
		rows = append(rows, bytes.Clone(e.A[:]), bytes.Clone(e.B[:]), int64(e.Kind), int64(e.Scope))
	}
	if _, err := t.run(ctx, s.sql.noEdges, rows); err != nil {
		return fmt.Errorf("write edges: %w", err)
	}
	return nil
}

// ControllerUse tells how much a controller is used.
type ControllerUse struct {
	Addr   string
	Lines  int // tenancies of any verdict that depend on it, counted up to the limit
	More   bool
	Review []ID // of these at review or above by themselves, up to the limit
	// AtReview counts those.
	AtReview int
	// Version of what is told of it, for SaveVerdicts; read before the rest.
	Version uint64
	// Told grows with the lines that its hours tell of, by half and more at a time.
	Told uint64
}

// ControllerUse tells it for each of addrs, in their order, counting to limit.
func (s *Store) ControllerUse(ctx context.Context, addrs []string, limit int) ([]ControllerUse, error) {
	return s.controllerUse(ctx, addrs, limit, limit)
}

// controllerUse gives at most some of those at review.
func (s *Store) controllerUse(ctx context.Context, addrs []string, limit, some int) ([]ControllerUse, error) {
	keys := make([]Key, 0, len(addrs))
	var raw [][]byte
	for _, addr := range addrs {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return nil, fmt.Errorf("%w: controller %q", ErrInvalid, clean(addr, 64))
		}
		a = a.WithZone("").Unmap()
		keys = append(keys, KeyOf(KeyController, a.String()))
		raw = append(raw, addrBytes(a))
	}
	versions := make(map[string]uint64)
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		var addr []byte
		var version uint64
		if err := r.Scan(&addr, &version); err != nil {
			return err
		}
		versions[string(addr)] = version
		return nil
	}, "SELECT addr, version FROM controller_told WHERE addr IN ?", slices.Clone(raw)); err != nil {
		return nil, err
	}
	told := make(map[string]uint64)
	if err := in(ctx, s.db, func(r *sql.Rows) error {
		var addr []byte
		var n uint64
		if err := r.Scan(&addr, &n); err != nil {
			return err
		}
		told[string(addr)] = max(told[string(addr)], n)
		return nil
	}, "SELECT addr, told FROM controller WHERE role <> 'media' AND addr IN ?", slices.Clone(raw)); err != nil {
		return nil, err
	}
	bs, err := s.bearers(ctx, keys, limit, int64(reportpb.Verdict_VERDICT_REVIEW), some, true)
	if err != nil {
		return nil, err
	}
	us := make([]ControllerUse, 0, len(addrs))
	for i, b := range bs {
		us = append(us, ControllerUse{Addr: addrs[i], Lines: b.Total, More: b.More, Review: b.Watch, AtReview: b.WatchTotal, Version: versions[string(raw[i])], Told: told[string(raw[i])]})
	}
	return us, nil
}

// ControllerVerdict is what a sensor is told about a controller of its lines.
type ControllerVerdict struct {
	Sensor  string
	Line    string // as in a finding; empty for all of the sensor's lines
	Addr    string
	Lines   uint64
	Review  uint64
	Nats    float64
	Ring    ID
	Expires time.Time
}

// SaveVerdicts sets what is said about controllers: all that stood before about them
// goes. seen has them with the versions that ControllerUse gave before anything else was
// read of them: where what is said of one has changed since, nothing is saved
// (ErrConflict), as who is slow would say again what another has taken back. The policy
// version of sensors that are told something new rises; counts that differ by an eighth
// and less are not new.
func (s *Store) SaveVerdicts(ctx context.Context, seen map[string]uint64, vs []ControllerVerdict) error {
	type key struct{ sensor, line, addr string }
	var raw [][]byte
	about := map[string]uint64{}
	for x, version := range seen {
		a, err := netip.ParseAddr(x)
		if err != nil {
			return fmt.Errorf("%w: controller %q", ErrInvalid, clean(x, 64))
		}
		a = a.WithZone("").Unmap()
		about[a.String()] = version
		raw = append(raw, addrBytes(a))
	}
	raw = inOrder(raw)
	next := map[key]ControllerVerdict{}
	for _, v := range vs {
		a, err := netip.ParseAddr(v.Addr)
		if err == nil {
			v.Addr = a.WithZone("").Unmap().String()
		}
		if _, asked := about[v.Addr]; err != nil || !asked {
			return fmt.Errorf("%w: a verdict about %q, which is not asked about", ErrInvalid, clean(v.Addr, 64))
		}
		if math.IsNaN(v.Nats) || math.IsInf(v.Nats, 0) {
			return fmt.Errorf("%w: a verdict of %v nats", ErrInvalid, v.Nats)
		}
		next[key{v.Sensor, v.Line, v.Addr}] = v
	}
	// change tells what is to be written: gone, new or changed rows, and the sensors
	// that are told something new.
	change := func(a asker, lock string) (gone, rows []any, told []string, err error) {
		same := map[key]bool{}
		if err := in(ctx, a, func(r *sql.Rows) error {
			var addr, ring []byte
			var o ControllerVerdict
			var expires int64
			if err := r.Scan(&o.Sensor, &o.Line, &addr, &o.Lines, &o.Review, &o.Nats, &ring, &expires); err != nil {
				return err
			}
			o.Addr, o.Ring, o.Expires = addrFrom(addr).String(), optional(ring), moment(expires)
			k := key{o.Sensor, o.Line, o.Addr}
			n, there := next[k]
			switch {
			case !there:
				gone = append(gone, o.Sensor, o.Line, addr)
				told = append(told, o.Sensor)
			case about8th(n.Lines, o.Lines) && about8th(n.Review, o.Review) && n.Nats == o.Nats && n.Ring == o.Ring && n.Expires.Equal(o.Expires):
				same[k] = true
			}
			return nil
		}, "SELECT sensor, line, addr, lines, review, nats, ring, expires FROM controller_verdict WHERE addr IN ? ORDER BY sensor, line, addr"+lock, raw); err != nil {
			return nil, nil, nil, err
		}
		var keys []key
		for k := range next {
			if !same[k] {
				keys = append(keys, k)
				told = append(told, k.sensor)
			}
		}
		slices.SortFunc(keys, func(a, b key) int {
			return slices.Compare([]string{a.sensor, a.line, a.addr}, []string{b.sensor, b.line, b.addr})
		})
		for _, k := range keys {
			v := next[k]
			a, _ := netip.ParseAddr(v.Addr)
			rows = append(rows, v.Sensor, clean(v.Line, maxName), addrBytes(a), small(v.Lines), small(v.Review), &v.Nats, orNull(v.Ring), v.Expires.UnixNano())
		}
		slices.Sort(told)
		return gone, rows, slices.Compact(told), nil
	}
	// Most often nothing is new, and then nobody who writes has to wait.
	if _, _, told, err := change(s.db, ""); err != nil || len(told) == 0 {
		return err
	}
	// The version of a policy that a sensor was given must not come again: not lax.
	return s.withinAs(ctx, patient, func(t *tx) error {
		gone, rows, told, err := change(t, t.forUpdate())
		if err != nil {
			return err
		}
		var changed [][]byte
		for i := 2; i < len(gone); i += 3 {
			changed = append(changed, gone[i].([]byte))
		}
		for i := 2; i < len(rows); i += 8 {
			changed = append(changed, rows[i].([]byte))
		}
		var versions []any
		changed = inOrder(changed)
		for _, addr := range changed {
			versions = append(versions, addr, int64(about[addrFrom(addr).String()]+1))
		}
		if n, err := t.run(ctx, s.sql.tellings, versions); err != nil {
			return err
		} else if n != int64(len(changed)) {
			return ErrConflict
		}
		if _, err := t.run(ctx, s.sql.noVerdicts, gone); err != nil {
			return err
		}
		if _, err := t.run(ctx, s.sql.verdicts, rows); err != nil {
			return err
		}
		if t.d.dialect == postgres {
			// In the order in which reports take them.
			if err := in(ctx, t, func(*sql.Rows) error { return nil }, "SELECT name FROM sensor WHERE name IN ? ORDER BY name"+t.forUpdate(), told); err != nil {
				return err
			}
		}
		var sensors []any
		for _, n := range told {
			sensors = append(sensors, n)
		}
		_, err = t.run(ctx, s.sql.told, sensors)
		return err
	})
}

// about8th says whether two counts are the same for whom they are told: every line
// that comes to a busy controller would have all its sensors ask anew.
func about8th(a, b uint64) bool { return max(a, b)-min(a, b) <= min(a, b)/8 }

// Verdicts gives what a sensor is told now, at most 10,000. What is said of one line
// alone comes first: it takes out what the line itself adds to what is said of all,
// and must not be cut off where that stands. Then the most nats.
func (s *Store) Verdicts(ctx context.Context, sensor string, now time.Time) ([]ControllerVerdict, error) {
	var vs []ControllerVerdict
	err := each(ctx, s.db, func(r *sql.Rows) error {
		v := ControllerVerdict{Sensor: sensor}
		var addr, ring []byte
		var expires int64
		if err := r.Scan(&v.Line, &addr, &v.Lines, &v.Review, &v.Nats, &ring, &expires); err != nil {
			return err
		}
		v.Addr, v.Ring, v.Expires = addrFrom(addr).String(), optional(ring), moment(expires)
		vs = append(vs, v)
		return nil
	}, `SELECT line, addr, lines, review, nats, ring, expires FROM controller_verdict WHERE sensor = ? AND expires > ?
		ORDER BY CASE WHEN line = '' THEN 1 ELSE 0 END, nats DESC, addr, line LIMIT 10000`, sensor, now.UnixNano())
	return vs, err
}
