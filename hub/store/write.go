package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"simtrap/report/reportpb"
)

// statements for many rows, of ingest and of linking.
type statements struct {
	findings, sameFindings, newFindings, lines, revisions, newRevisions, bearers, newBearers, unbear, far, newFar, noFar, uses, cards, faces, hours, rests, calls, gaps, queue, sensors *bulk

	unqueue, leases, members, moves, edges, noEdges, boxes, noBoxes, rings, noRings, verdicts, noVerdicts, tellings, told *bulk

	items, noRevisions, noCalls, noEdgesA, noEdgesB, noMembers, noFindings *bulk
}

// agedUnit is what findings' age is counted in. A finding's "due" is of no later receipt
// than its last: from when it became what its verdict is, or from when retention last
// looked at it. So no revision touches the index that retention reads, and on PostgreSQL
// the row's new version stays in the page of the old one and in no index at all.
const agedUnit = int64(6 * time.Hour)

const (
	findingColumns  = "b:id b:line t:sensor i:since s:verdict i:due i:received i:revision i:last_seen s:flags t:vendor b:told b:keys b:body"
	sameColumns     = "b:id i:received i:revision i:last_seen s:flags t:vendor b:told b:keys b:body"
	bearerColumns   = "s:kind b:digest b:finding s:verdict"
	farColumns      = "b:digest i:since b:finding"
	revisionColumns = "b:finding i:revision i:received s:verdict s:flags f:score f:margin t:nearest t:vendor t:model"
)

func newStatements() *statements {
	return &statements{
		findings: insertInto("finding", findingColumns,
			`(id) DO UPDATE SET verdict = excluded.verdict, due = excluded.due, received = excluded.received, revision = excluded.revision,
			last_seen = excluded.last_seen, flags = excluded.flags, vendor = excluded.vendor, told = excluded.told, keys = excluded.keys, body = excluded.body
			WHERE finding.revision < excluded.revision`),
		// SQLite writes each index anew that has a column of those that are set, whatever
		// they were: three pages of a store of millions for a revision that moves nothing.
		sameFindings: revise("finding", sameColumns),
		newFindings:  insertSure("finding", findingColumns),
		lines: insertInto("line", "b:id t:sensor t:name b:addr i:since s:verdict",
			"(id) DO UPDATE SET verdict = excluded.verdict WHERE line.verdict < excluded.verdict"),
		revisions:    insertNew("revision", revisionColumns),
		newRevisions: insertSure("revision", revisionColumns),
		newBearers:   insertSure("bearer", bearerColumns),
		bearers: insertInto("bearer", bearerColumns,
			"(kind, digest, finding) DO UPDATE SET verdict = excluded.verdict WHERE bearer.verdict <> excluded.verdict"),
		unbear: deleteFrom("bearer", "s:kind b:digest b:finding"),
		far:    insertInto("controller_finding", farColumns, "DO NOTHING"),
		newFar: insertSure("controller_finding", farColumns),
		noFar:  deleteFrom("controller_finding", farColumns),
		uses: insertInto("controller_use", "b:digest s:slot i:lines i:watch i:review",
			`(digest, slot) DO UPDATE SET lines = controller_use.lines + excluded.lines, watch = controller_use.watch + excluded.watch,
			review = controller_use.review + excluded.review`),
		cards: insertInto("card", "b:id t:imsi t:imei t:iccid t:msisdn i:since i:first_seen i:last_seen",
			`(id) DO UPDATE SET imei = CASE WHEN excluded.imei <> '' THEN excluded.imei ELSE card.imei END,
			iccid = CASE WHEN excluded.iccid <> '' THEN excluded.iccid ELSE card.iccid END,
			msisdn = CASE WHEN excluded.msisdn <> '' THEN excluded.msisdn ELSE card.msisdn END,
			first_seen = CASE WHEN excluded.first_seen < card.first_seen THEN excluded.first_seen ELSE card.first_seen END,
			last_seen = CASE WHEN excluded.last_seen > card.last_seen THEN excluded.last_seen ELSE card.last_seen END`),
		faces: insertInto("controller", "b:addr t:role i:since i:first_seen i:last_seen i:told",
			`(addr, role) DO UPDATE SET
			told = CASE WHEN excluded.told > controller.told THEN excluded.told ELSE controller.told END,
			first_seen = CASE WHEN excluded.first_seen < controller.first_seen THEN excluded.first_seen ELSE controller.first_seen END,
			last_seen = CASE WHEN excluded.last_seen > controller.last_seen THEN excluded.last_seen ELSE controller.last_seen END`),
		hours: insertNew("controller_hour", "b:addr t:role i:hour t:sensor i:part i:lines i:calls b:sketch t:stacks"),
		rests: insertInto("controller_left", "t:sensor i:hour i:part i:lost", "DO NOTHING"),
		calls: insertInto("call", "b:finding b:id i:start i:weight i:received b:body",
			"(finding, id) DO UPDATE SET start = excluded.start, weight = excluded.weight, received = excluded.received, body = excluded.body WHERE call.weight < excluded.weight"),
		gaps: insertInto("gap", "t:sensor i:epoch i:first i:last i:lost i:received b:body",
			"(sensor, epoch, first) DO UPDATE SET last = excluded.last, lost = excluded.lost, received = excluded.received, body = excluded.body"),
		// The time of the first touch stays: who has waited longest is served first.
		queue: insertInto("queue", "b:finding i:stamp i:touched t:owner i:until",
			"(finding) DO UPDATE SET stamp = excluded.stamp"),
		sensors: newBulk("t:name t:program i:catalogue i:policy i:last_report i:packet_time i:clock_known i:clock_ns i:health_at b:health i:missing i:gaps i:n_none i:n_watch i:n_review i:n_case",
			func(source func(string) string, cs []column) string {
				return `UPDATE sensor SET program = r.program, catalogue = r.catalogue, policy = r.policy, last_report = r.last_report,
				packet_time = r.packet_time, clock_ns = CASE WHEN r.clock_known = 1 THEN r.clock_ns END, health_at = r.health_at, health = r.health,
				missing = r.missing, gaps = r.gaps, n_none = r.n_none, n_watch = r.n_watch, n_review = r.n_review, n_case = r.n_case
				FROM ` + source("r") + ` WHERE sensor.name = r.name`
			}),

		items:       insertInto("casefile_item", "b:casefile s:kind b:item", "DO NOTHING"),
		noRevisions: deleteFrom("revision", "b:finding"),
		noCalls:     deleteFrom("call", "b:finding"),
		noEdgesA:    deleteFrom("edge", "b:a"),
		noEdgesB:    deleteFrom("edge", "b:b"),
		noMembers:   deleteFrom("member", "b:finding"),
		noFindings:  deleteFrom("finding", "b:id"),

		unqueue: deleteFrom("queue", "b:finding"),
		leases: newBulk("b:finding t:owner i:until", func(source func(string) string, cs []column) string {
			return "UPDATE queue SET owner = r.owner, until = r.until FROM " + source("r") + " WHERE queue.finding = r.finding"
		}),
		members: insertInto("member", "b:finding b:box i:version", "DO NOTHING"),
		moves: newBulk("b:finding b:box i:version", func(source func(string) string, cs []column) string {
			return "UPDATE member SET box = r.box, version = r.version FROM " + source("r") + " WHERE member.finding = r.finding"
		}),
		edges: insertInto("edge", "b:a b:b s:kind s:scope f:nats t:reason i:since",
			"(a, b, kind, scope) DO UPDATE SET nats = excluded.nats, reason = excluded.reason, since = excluded.since"),
		noEdges: deleteFrom("edge", "b:a b:b s:kind s:scope"),
		boxes: insertInto("box", "b:id b:ring i:since s:verdict i:first_seen i:last_seen t:vendor b:device i:cards i:members i:left_out",
			`(id) DO UPDATE SET ring = excluded.ring, verdict = excluded.verdict, first_seen = excluded.first_seen, last_seen = excluded.last_seen,
			vendor = excluded.vendor, device = excluded.device, cards = excluded.cards, members = excluded.members, left_out = excluded.left_out`),
		noBoxes: deleteFrom("box", "b:id"),
		rings: insertInto("ring", "b:id i:since s:verdict i:first_seen i:last_seen i:lines f:margin t:nearest t:sensors t:controllers i:left_out",
			`(id) DO UPDATE SET verdict = excluded.verdict, first_seen = excluded.first_seen, last_seen = excluded.last_seen, lines = excluded.lines,
			margin = excluded.margin, nearest = excluded.nearest, sensors = excluded.sensors, controllers = excluded.controllers, left_out = excluded.left_out`),
		noRings: deleteFrom("ring", "b:id"),
		verdicts: insertInto("controller_verdict", "t:sensor t:line b:addr i:lines i:review f:nats b:ring i:expires",
			`(sensor, line, addr) DO UPDATE SET lines = excluded.lines, review = excluded.review, nats = excluded.nats, ring = excluded.ring, expires = excluded.expires`),
		tellings: insertInto("controller_told", "b:addr i:version",
			"(addr) DO UPDATE SET version = excluded.version WHERE controller_told.version = excluded.version - 1"),
		noVerdicts: deleteFrom("controller_verdict", "t:sensor t:line b:addr"),
		told: newBulk("t:name", func(source func(string) string, cs []column) string {
			return "UPDATE sensor SET told = told + 1 FROM " + source("r") + " WHERE sensor.name = r.name"
		}),
	}
}

// revise makes a statement that sets what is told of rows of an older revision. Of
// SQLite see insertNew.
func revise(table, spec string) *bulk {
	b := reviseBy("UPDATE", table, spec)
	b.lite = reviseBy("UPDATE OR FAIL", table, spec).lite
	return b
}

func reviseBy(update, table, spec string) *bulk {
	return newBulk(spec, func(source func(string) string, cs []column) string {
		var sets []string
		for _, c := range cs {
			if c.name != "id" {
				sets = append(sets, c.name+" = r."+c.name)
			}
		}
		return update + " " + table + " SET " + strings.Join(sets, ", ") + " FROM " + source("r") +
			" WHERE " + table + ".id = r.id AND " + table + ".revision < r.revision"
	})
}

// writeAll commits what is handed to it, as much at once as has come while the
// last transaction ran.
func (s *Store) writeAll(from <-chan *prepared) {
	for p := range from {
		group, weight := []*prepared{p}, p.weight
	more:
		for weight < groupWeight {
			select {
			case p, ok := <-from:
				if !ok {
					break more
				}
				group = append(group, p)
				weight += p.weight
			default:
				break more
			}
		}
		s.commit(group)
	}
}

// commit stores a group and tells each of its deliveries.
func (s *Store) commit(group []*prepared) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	var g *ingest
	write := func(sure bool) error {
		return s.within(ctx, func(t *tx) error {
			t.sure = sure
			g = &ingest{s: s, t: t, ctx: ctx, group: group}
			return g.run()
		})
	}
	err := write(true)
	if taken(err) {
		// What a finding left when it was deleted, by an older hub or by hand.
		err = write(false)
	}
	if err != nil && len(group) > 1 {
		// One of them may be what the engine does not take: the others must not suffer.
		s.log.Warn("reports are stored one delivery at a time", zap.Int("deliveries", len(group)), zap.Error(err))
		for _, p := range group {
			s.commit([]*prepared{p})
		}
		return
	}
	if err == nil {
		s.count.commits.Add(1)
		g.counted()
	}
	for _, p := range group {
		s.waiting.Add(-p.weight)
		answer := err
		if err == nil && !g.admits(p) {
			answer = ErrRevoked
		}
		if answer != nil {
			p.receipt = Receipt{}
		}
		p.done <- answer
	}
}

// ingest is one transaction of it. A transaction may be run again, so everything
// that it finds out is in here.
type ingest struct {
	s     *Store
	t     *tx
	ctx   context.Context
	group []*prepared

	sensors map[string]*sensorRow // those admitted
	faces   faces
	uses    uses
	queue   map[ID]int64 // findings to be linked anew, and when they were touched
	stored  []int        // by delivery
	older   []int

	findings, calls, sketches, healths, gaps, cut uint64
}

type sensorRow struct {
	program                                                         string
	admitted, catalogue, policy, last, packet, healthAt, missing, n int64
	clock                                                           sql.NullInt64
	health                                                          []byte
	levels                                                          [5]int64 // by verdict, from 1
}

type faceKey struct {
	addr netip.Addr
	role string
}

// known is what is stored of a finding.
type known struct {
	revision    int64
	verdict     int64
	told, keyed [8]byte
	line        ID
	since       int64
}

func (g *ingest) run() error {
	g.stored, g.older = make([]int, len(g.group)), make([]int, len(g.group))
	g.faces, g.uses, g.queue = faces{}, uses{}, map[ID]int64{}
	for _, step := range []func() error{g.readSensors, g.writeFindings, g.writeCalls, g.writeSketches, g.writeQueue, g.writeGaps, g.writeFaces, g.writeUses, g.writeSensors} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// counted adds up what was committed.
func (g *ingest) counted() {
	c := &g.s.count
	c.findings.Add(g.findings)
	c.calls.Add(g.calls)
	c.sketches.Add(g.sketches)
	c.healths.Add(g.healths)
	c.gaps.Add(g.gaps)
	c.cut.Add(g.cut)
	for i, p := range g.group {
		if !g.admits(p) {
			continue
		}
		p.receipt.Stored, p.receipt.Older = g.stored[i], g.older[i]
		c.deliveries.Add(1)
		c.older.Add(uint64(g.older[i]))
		c.unknown.Add(uint64(p.receipt.Unknown))
		c.refused.Add(uint64(p.receipt.Refused))
	}
}

// readSensors locks the sensors' rows, in their order, so that one sensor's
// reports are stored by one transaction at a time, over all hubs. All rows of
// findings, lines, keys, calls and gaps belong to one sensor, so these need no
// locks of their own.
func (g *ingest) readSensors() error {
	var names []string
	for _, p := range g.group {
		names = append(names, p.sensor)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	g.sensors = map[string]*sensorRow{}
	return in(g.ctx, g.t, func(r *sql.Rows) error {
		var name string
		var revoked sql.NullInt64
		x := &sensorRow{}
		if err := r.Scan(&name, &revoked, &x.admitted, &x.program, &x.catalogue, &x.policy, &x.last, &x.packet, &x.clock, &x.healthAt, &x.health, &x.missing, &x.n,
			&x.levels[1], &x.levels[2], &x.levels[3], &x.levels[4]); err != nil {
			return err
		}
		if !revoked.Valid {
			g.sensors[name] = x
		}
		return nil
	}, `SELECT name, revoked, admitted, program, catalogue, policy, last_report, packet_time, clock_ns, health_at, health, missing, gaps, n_none, n_watch, n_review, n_case
		FROM sensor WHERE name IN ? ORDER BY name`+g.t.forUpdate(), names)
}

// admits says whether a delivery is of an admitted sensor, and of the admission that
// it was let in by: one that came before the sensor was revoked and admitted anew may
// be of whoever it was revoked for.
func (g *ingest) admits(p *prepared) bool {
	x := g.sensors[p.sensor]
	return x != nil && (p.admitted == 0 || p.admitted == x.admitted)
}

// admitted gives the deliveries of admitted sensors.
func (g *ingest) admitted(yield func(int, *prepared) bool) {
	for i, p := range g.group {
		if g.admits(p) && !yield(i, p) {
			return
		}
	}
}

func (g *ingest) writeFindings() error {
	type entry struct {
		*newFinding
		sensor   string
		received int64
		delivery int
	}
	best := map[ID]entry{}
	for i, p := range g.admitted {
		for _, n := range p.findings {
			if b, ok := best[n.id]; ok && b.revision >= n.revision {
				g.older[i]++
				continue
			} else if ok {
				g.older[b.delivery]++
			}
			best[n.id] = entry{n, p.sensor, p.received, i}
		}
	}
	if len(best) == 0 {
		return nil
	}
	ids := make([][]byte, 0, len(best))
	for id := range best {
		ids = append(ids, bytes.Clone(id[:]))
	}
	slices.SortFunc(ids, bytes.Compare)
	have := map[ID]known{}
	if err := in(g.ctx, g.t, func(r *sql.Rows) error {
		var id, line, told, keyed []byte
		var k known
		if err := r.Scan(&id, &line, &k.since, &k.revision, &k.verdict, &told, &keyed); err != nil {
			return err
		}
		k.told, k.keyed, k.line = [8]byte(told), [8]byte(keyed), ID(line)
		have[ID(id)] = k
		return nil
	}, "SELECT id, line, since, revision, verdict, told, keys FROM finding WHERE id IN ?", ids); err != nil {
		return fmt.Errorf("read findings: %w", err)
	}

	var rekeyed [][]byte // findings of which other keys are stored
	for id, e := range best {
		k, there := have[id]
		switch {
		case there && k.revision >= e.revision:
			g.older[e.delivery]++
			delete(best, id)
		case there && k.keyed != e.keyed:
			rekeyed = append(rekeyed, bytes.Clone(id[:]))
		}
	}
	slices.SortFunc(rekeyed, bytes.Compare)
	if err := g.forget(rekeyed, func(id ID, old []Key) []Key {
		g.uses.add(best[id].sensor, old, have[id].verdict, -1)
		g.uses.add(best[id].sensor, best[id].keys, have[id].verdict, 1)
		return best[id].keys
	}); err != nil {
		return fmt.Errorf("forget keys: %w", err)
	}

	var findings, sameFindings, newFindings, lines, revisions, newRevisions, bearers, newBearers, far, newFar []any
	cards := map[ID]cardRow{}
	cardSince := map[ID]int64{}
	touched := map[ID]*newFinding{} // lines, by the highest that was told
	lineOf := map[ID]entry{}
	var lowered [][]byte
	var grown [][]byte // findings of which there is more history
	for _, raw := range ids {
		id := ID(raw)
		e, ok := best[id]
		if !ok {
			continue
		}
		k, there := have[id]
		g.stored[e.delivery]++
		g.findings++
		sensor := g.sensors[e.sensor]
		sensor.levels[e.verdict]++
		if there {
			sensor.levels[k.verdict]--
			// A finding stays with the line it began at, whatever is said later.
			e.line = k.line
		}
		// What is not there cannot come from elsewhere meanwhile: the sensor's row is locked.
		rows, history, keys, fars := &newFindings, &newRevisions, &newBearers, &newFar
		if there {
			rows, history, keys, fars = &findings, &revisions, &bearers, &far
		}
		same := []any{raw, e.received, e.revision, e.last, e.flags, e.vendor, bytes.Clone(e.told[:]), bytes.Clone(e.keyed[:]), e.body}
		switch {
		case !there || k.verdict != e.verdict:
			*rows = append(append(*rows, raw, bytes.Clone(e.line[:]), e.sensor, e.since, e.verdict, e.received/agedUnit), same[1:]...)
		default:
			sameFindings = append(sameFindings, same...)
		}
		if !there || k.told != e.told {
			*history = append(*history, raw, e.revision, e.received, e.verdict, e.flags, e.score, e.margin, e.near, e.vendor, e.model)
			if there {
				grown = append(grown, raw)
			}
		}
		if !there || k.verdict != e.verdict {
			if l := touched[e.line]; l == nil || l.verdict < e.verdict {
				touched[e.line] = e.newFinding
				lineOf[e.line] = e
			}
			if there && k.verdict > e.verdict {
				lowered = append(lowered, bytes.Clone(e.line[:]))
			}
		}
		if !there || k.verdict != e.verdict || k.keyed != e.keyed {
			if !there {
				g.uses.add(e.sensor, e.keys, e.verdict, 1)
			} else {
				g.uses.moved(e.sensor, e.keys, k.verdict, e.verdict)
			}
			for _, key := range e.keys {
				*keys = append(*keys, int64(key.Kind), bytes.Clone(key.Sum[:]), raw, e.verdict)
			}
			switch {
			case !there:
				*fars = append(*fars, farRows(e.keys, e.since, raw)...)
			case k.keyed != e.keyed:
				*fars = append(*fars, farRows(e.keys, k.since, raw)...)
			}
		}
		if e.verdict >= int64(reportpb.Verdict_VERDICT_WATCH) || there && k.verdict >= int64(reportpb.Verdict_VERDICT_WATCH) {
			g.queue[id] = e.received
		}
		for _, c := range e.cards {
			if o, ok := cards[c.id]; ok {
				c = joinCards(o, c)
			}
			cards[c.id] = c
			if x, ok := cardSince[c.id]; !ok || e.since < x {
				cardSince[c.id] = e.since
			}
		}
		for _, f := range e.faces {
			g.faces.see(f)
		}
	}
	for id, n := range touched {
		e := lineOf[id]
		lines = append(lines, bytes.Clone(id[:]), e.sensor, n.name, n.addr, n.since, n.verdict)
	}
	// In the order of their keys many rows come into pages that the one before was in.
	sortRows(lines, 6, 0)
	sortRows(newBearers, 4, 0, 1, 2)
	sortRows(newFar, 3, 0, 1)

	q := g.s.sql
	for _, w := range []struct {
		what string
		b    *bulk
		flat []any
	}{
		{"findings", q.newFindings, newFindings}, {"findings", q.findings, findings}, {"findings", q.sameFindings, sameFindings}, {"lines", q.lines, lines}, {"revisions", q.newRevisions, newRevisions}, {"revisions", q.revisions, revisions}, {"keys", q.newBearers, newBearers}, {"keys", q.bearers, bearers}, {"findings of controllers", q.newFar, newFar}, {"findings of controllers", q.far, far},
	} {
		if _, err := g.t.run(g.ctx, w.b, w.flat); err != nil {
			return fmt.Errorf("write %s: %w", w.what, err)
		}
	}
	for _, id := range grown {
		if _, err := g.t.exec(g.ctx, `DELETE FROM revision WHERE finding = ? AND revision < (SELECT revision FROM revision WHERE finding = ? ORDER BY revision DESC LIMIT 1 OFFSET ?)`,
			id, id, maxHistory-1); err != nil {
			return fmt.Errorf("write revisions: %w", err)
		}
	}
	if err := lowerLines(g.ctx, g.t, lowered); err != nil {
		return err
	}
	return g.writeCards(cards, cardSince)
}

// sortRows sorts flat rows of w values each by some of their columns.
func sortRows(flat []any, w int, by ...int) {
	rows := slices.Collect(slices.Chunk(slices.Clone(flat), w))
	slices.SortFunc(rows, func(a, b []any) int {
		for _, i := range by {
			c := 0
			switch x := a[i].(type) {
			case []byte:
				c = bytes.Compare(x, b[i].([]byte))
			case int64:
				c = cmp.Compare(x, b[i].(int64))
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	copy(flat, slices.Concat(rows...))
}

// lowerLines looks anew which verdict stands for lines of which one was lowered.
func lowerLines(ctx context.Context, t *tx, lines [][]byte) error {
	slices.SortFunc(lines, bytes.Compare)
	lines = slices.CompactFunc(lines, bytes.Equal)
	for _, l := range lines {
		if _, err := t.exec(ctx, "UPDATE line SET verdict = COALESCE((SELECT max(verdict) FROM finding WHERE finding.line = line.id), 1) WHERE id = ?", l); err != nil {
			return fmt.Errorf("write lines: %w", err)
		}
	}
	return nil
}

// forget deletes the keys that findings had and now have not. now gives those that
// they have, and is told which they had.
func (g *ingest) forget(ids [][]byte, now func(id ID, old []Key) []Key) error {
	var gone, noFar []any
	err := in(g.ctx, g.t, func(r *sql.Rows) error {
		var id, body []byte
		var since int64
		if err := r.Scan(&id, &since, &body); err != nil {
			return err
		}
		var old reportpb.FindingRevision
		if err := g.s.pack.unpack(body, &old); err != nil {
			return err
		}
		had := Keys(old.GetFinding())
		keep := now(ID(id), had)
		had = slices.DeleteFunc(had, func(k Key) bool {
			_, found := slices.BinarySearchFunc(keep, k, compareKeys)
			return found
		})
		for _, k := range had {
			gone = append(gone, int64(k.Kind), bytes.Clone(k.Sum[:]), id)
		}
		noFar = append(noFar, farRows(had, since, id)...)
		return nil
	}, "SELECT id, since, body FROM finding WHERE id IN ?", ids)
	if err != nil {
		return err
	}
	if _, err = g.t.run(g.ctx, g.s.sql.unbear, gone); err != nil {
		return err
	}
	_, err = g.t.run(g.ctx, g.s.sql.noFar, noFar)
	return err
}

// farRows gives the rows of controller_finding of a finding with these keys.
func farRows(keys []Key, since int64, id []byte) (rows []any) {
	for _, k := range keys {
		if k.Kind == KeyController {
			rows = append(rows, bytes.Clone(k.Sum[:]), since, id)
		}
	}
	return rows
}

func joinCards(a, b cardRow) cardRow {
	b.imei, b.iccid, b.msisdn = cmp.Or(b.imei, a.imei), cmp.Or(b.iccid, a.iccid), cmp.Or(b.msisdn, a.msisdn)
	b.first, b.last = min(a.first, b.first), max(a.last, b.last)
	return b
}

// writeCards writes those that are new or say something new. Cards belong to no
// sensor: what needs no change is not locked, and rows are taken in their order.
func (g *ingest) writeCards(cards map[ID]cardRow, since map[ID]int64) error {
	var ids [][]byte
	for id := range cards {
		ids = append(ids, bytes.Clone(id[:]))
	}
	slices.SortFunc(ids, bytes.Compare)
	if err := in(g.ctx, g.t, func(r *sql.Rows) error {
		var id []byte
		var o cardRow
		if err := r.Scan(&id, &o.imei, &o.iccid, &o.msisdn, &o.first, &o.last); err != nil {
			return err
		}
		n := cards[ID(id)]
		if j := joinCards(o, n); j.imei == o.imei && j.iccid == o.iccid && j.msisdn == o.msisdn && j.first == o.first && j.last < o.last+int64(time.Minute) {
			delete(cards, ID(id))
		}
		return nil
	}, "SELECT id, imei, iccid, msisdn, first_seen, last_seen FROM card WHERE id IN ?", ids); err != nil {
		return fmt.Errorf("read cards: %w", err)
	}
	var rows []any
	for _, id := range ids {
		if c, ok := cards[ID(id)]; ok {
			rows = append(rows, id, clean(c.imsi, maxText), clean(c.imei, maxText), clean(c.iccid, maxText), clean(c.msisdn, maxText), since[c.id], c.first, c.last)
		}
	}
	if _, err := g.t.run(g.ctx, g.s.sql.cards, rows); err != nil {
		return fmt.Errorf("write cards: %w", err)
	}
	return nil
}

// faces are controllers in one role each.
type faces map[faceKey]face

// see notes one.
func (fs faces) see(f face) {
	k := faceKey{f.addr, f.role}
	if o, ok := fs[k]; ok {
		f.first, f.last, f.told = min(f.first, o.first), max(f.last, o.last), max(f.told, o.told)
	}
	fs[k] = f
}

// growth is by how much an hour must tell of more lines of a controller than before for
// its suspects to be looked at again: the hour in which a sensor began to see it may have
// had five minutes.
const growth = 2

// writeFaces writes controllers that are new, have grown or were last written an hour ago:
// many sensors speak of the same ones, and each write holds the row.
func (g *ingest) writeFaces() error {
	var addrs [][]byte
	for k := range g.faces {
		addrs = append(addrs, addrBytes(k.addr))
	}
	slices.SortFunc(addrs, bytes.Compare)
	addrs = slices.CompactFunc(addrs, bytes.Equal)
	if err := in(g.ctx, g.t, func(r *sql.Rows) error {
		var addr []byte
		var o face
		if err := r.Scan(&addr, &o.role, &o.first, &o.last, &o.told); err != nil {
			return err
		}
		k := faceKey{addrFrom(addr), o.role}
		if n, ok := g.faces[k]; ok && (n.told == 0 || n.told < growth*o.told) && n.last < o.last+int64(time.Hour) && n.first > o.first-int64(time.Hour) {
			delete(g.faces, k)
		}
		return nil
	}, "SELECT addr, role, first_seen, last_seen, told FROM controller WHERE addr IN ?", addrs); err != nil {
		return fmt.Errorf("read controllers: %w", err)
	}
	var rows []any
	received := g.group[0].received
	order := make([]faceKey, 0, len(g.faces))
	for k := range g.faces {
		order = append(order, k)
	}
	slices.SortFunc(order, func(a, b faceKey) int {
		return cmp.Or(bytes.Compare(addrBytes(a.addr), addrBytes(b.addr)), cmp.Compare(a.role, b.role))
	})
	for _, k := range order {
		f := g.faces[k]
		rows = append(rows, addrBytes(k.addr), k.role, min(f.first, received), f.first, f.last, f.told)
	}
	if _, err := g.t.run(g.ctx, g.s.sql.faces, rows); err != nil {
		return fmt.Errorf("write controllers: %w", err)
	}
	return nil
}

func (g *ingest) writeCalls() error {
	type key struct{ finding, id ID }
	type entry struct {
		*newCall
		received int64
	}
	best := map[key]entry{}
	calls := map[ID]int64{}
	for i, p := range g.admitted {
		for _, c := range p.calls {
			k := key{c.finding, c.id}
			if b, ok := best[k]; ok && b.weight >= c.weight {
				continue
			} else if !ok {
				calls[c.finding]++
			}
			best[k] = entry{c, p.received}
			g.stored[i]++
		}
	}
	room := map[ID]int64{} // for new calls, of findings that may not have all of these
	for id, n := range calls {
		var have int64
		if err := one(g.ctx, g.t, []any{&have}, "SELECT count(*) FROM (SELECT 1 FROM call WHERE finding = ? LIMIT ?) AS x", id[:], maxCalls); err != nil {
			return fmt.Errorf("count calls: %w", err)
		}
		if have+n > maxCalls {
			room[id] = maxCalls - have
		}
	}
	order := make([]key, 0, len(best))
	for k := range best {
		order = append(order, k)
	}
	slices.SortFunc(order, func(a, b key) int {
		return cmp.Or(bytes.Compare(a.finding[:], b.finding[:]), bytes.Compare(a.id[:], b.id[:]))
	})
	// A finding that has as many as it may is told how those ended all the same.
	told := map[key]bool{}
	for id := range room {
		var ids [][]byte
		for _, k := range order {
			if k.finding == id {
				ids = append(ids, bytes.Clone(k.id[:]))
			}
		}
		if err := in(g.ctx, g.t, func(r *sql.Rows) error {
			var call []byte
			err := r.Scan(&call)
			if err == nil {
				told[key{id, ID(call)}] = true
			}
			return err
		}, "SELECT id FROM call WHERE finding = ? AND id IN ?", ids, id[:]); err != nil {
			return fmt.Errorf("read calls: %w", err)
		}
	}
	var rows []any
	for _, k := range order {
		c := best[k]
		if left, bounded := room[k.finding]; bounded && !told[k] {
			if left == 0 {
				g.cut++
				continue
			}
			room[k.finding]--
		}
		rows = append(rows, bytes.Clone(k.finding[:]), bytes.Clone(k.id[:]), c.start, c.weight, c.received, c.body)
	}
	n, err := g.t.run(g.ctx, g.s.sql.calls, rows)
	if err != nil {
		return fmt.Errorf("write calls: %w", err)
	}
	g.calls += uint64(n)
	return nil
}

func (g *ingest) writeSketches() error {
	var rows []any
	for i, p := range g.admitted {
		if len(p.hours) > 0 {
			g.stored[i]++
		}
		rows = append(rows, p.hours...)
		for _, f := range p.faces {
			g.faces.see(f)
		}
	}
	if err := g.touchTold(); err != nil {
		return err
	}
	n, err := g.t.run(g.ctx, g.s.sql.hours, rows)
	if err != nil {
		return fmt.Errorf("write sketches: %w", err)
	}
	var rests []any
	for _, p := range g.admitted {
		rests = append(rests, p.rests...)
	}
	if _, err := g.t.run(g.ctx, g.s.sql.rests, rests); err != nil {
		return fmt.Errorf("write sketches: %w", err)
	}
	g.sketches += uint64(n)
	return nil
}

// maxTold bounds the suspect tenancies of one controller that its first hour touches:
// so many are no ring.
const maxTold = 1000

// touchTold has the suspect tenancies of controllers looked at again of which this is
// the first hour told, or one that tells of far more lines than any before: until then
// nobody knew how many other lines they have, and they joined nobody, or too easily.
func (g *ingest) touchTold() error {
	untold := map[netip.Addr]int64{} // lines
	var addrs [][]byte
	for _, p := range g.admitted {
		for _, f := range p.faces {
			if f.told > 0 && f.role != "media" {
				untold[f.addr] = max(untold[f.addr], f.told)
				addrs = append(addrs, addrBytes(f.addr))
			}
		}
	}
	if len(addrs) == 0 {
		return nil
	}
	if err := in(g.ctx, g.t, func(r *sql.Rows) error {
		var addr []byte
		var told int64
		if err := r.Scan(&addr, &told); err != nil {
			return err
		}
		if a := addrFrom(addr); untold[a] < growth*told {
			delete(untold, a)
		}
		return nil
	}, "SELECT addr, told FROM controller WHERE role <> 'media' AND addr IN ?", inOrder(addrs)); err != nil {
		return fmt.Errorf("read controllers: %w", err)
	}
	for addr := range untold {
		k := KeyOf(KeyController, addr.String())
		if err := each(g.ctx, g.t, func(r *sql.Rows) error {
			var id []byte
			if err := r.Scan(&id); err != nil {
				return err
			}
			if _, is := g.queue[ID(id)]; !is {
				g.queue[ID(id)] = g.s.now().UnixNano()
			}
			return nil
		}, `SELECT finding FROM bearer WHERE kind = ? AND digest = ? AND verdict >= 2 LIMIT ?`, int64(k.Kind), k.Sum[:], maxTold); err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
	}
	return nil
}

// writeQueue has findings linked anew. Those that touchTold found are of any sensor, so
// all of them are taken at once and in one order: of two transactions that took them
// crosswise each would wait for the other.
func (g *ingest) writeQueue() error {
	var ids [][]byte
	for id := range g.queue {
		ids = append(ids, bytes.Clone(id[:]))
	}
	var rows []any
	for _, id := range inOrder(ids) {
		rows = append(rows, id, rand.Int64(), g.queue[ID(id)], "", int64(0))
	}
	if _, err := g.t.run(g.ctx, g.s.sql.queue, rows); err != nil {
		return fmt.Errorf("write queue: %w", err)
	}
	return nil
}

func (g *ingest) writeGaps() error {
	for i, p := range g.admitted {
		sensor := g.sensors[p.sensor]
		for _, n := range p.gaps {
			var last, lost int64
			err := one(g.ctx, g.t, []any{&last, &lost}, "SELECT last, lost FROM gap WHERE sensor = ? AND epoch = ? AND first = ?", p.sensor, n.epoch, n.first)
			switch {
			case errors.Is(err, ErrNotFound):
				sensor.n++
			case err != nil:
				return fmt.Errorf("read gaps: %w", err)
			case last > n.last || last == n.last && lost >= n.lost:
				continue
			}
			sensor.missing += n.lost - lost
			g.stored[i]++
			g.gaps++
			if _, err := g.t.run(g.ctx, g.s.sql.gaps, []any{p.sensor, n.epoch, n.first, n.last, n.lost, p.received, n.body}); err != nil {
				return fmt.Errorf("write gaps: %w", err)
			}
		}
		if sensor.n > maxGaps {
			n, err := g.t.exec(g.ctx, `DELETE FROM gap WHERE sensor = ? AND received <= (SELECT received FROM gap WHERE sensor = ? ORDER BY received DESC LIMIT 1 OFFSET ?)`,
				p.sensor, p.sensor, maxGaps*9/10)
			if err != nil {
				return fmt.Errorf("write gaps: %w", err)
			}
			sensor.n -= n
			g.cut += uint64(n)
		}
	}
	return nil
}

// writeSensors writes the sensors' rows, which readSensors locked.
func (g *ingest) writeSensors() error {
	for i, p := range g.admitted {
		x := g.sensors[p.sensor]
		if p.received >= x.last {
			x.last = p.received
			if p.clock != nil {
				x.clock = sql.NullInt64{Int64: int64(*p.clock), Valid: true}
			}
		}
		h := p.health
		if h == nil {
			continue
		}
		// A clock that was far ahead once must not hide what comes later.
		if at := nanos(h.GetAt(), 0); at > x.healthAt || x.healthAt > p.received+future {
			h = proto.CloneOf(h)
			h.Alarms = h.Alarms[:min(len(h.Alarms), maxAlarms)]
			h.Ports = h.Ports[:min(len(h.Ports), 256)]
			h.Losses = h.Losses[:min(len(h.Losses), 1024)]
			body, err := g.s.pack.pack(h)
			if err != nil {
				continue
			}
			x.healthAt, x.health = at, body
			x.program = clean(h.GetVersion(), maxText)
			x.catalogue, x.policy = int64(min(h.GetCatalogue(), 1<<62)), int64(min(h.GetPolicy(), 1<<62))
			x.packet = nanos(h.GetPacketTime(), x.packet)
			g.stored[i]++
			g.healths++
		}
	}
	names := make([]string, 0, len(g.sensors))
	for n := range g.sensors {
		names = append(names, n)
	}
	slices.Sort(names)
	var rows []any
	for _, n := range names {
		x := g.sensors[n]
		var known int64
		if x.clock.Valid {
			known = 1
		}
		rows = append(rows, n, x.program, x.catalogue, x.policy, x.last, x.packet, known, x.clock.Int64, x.healthAt, x.health, x.missing, x.n,
			x.levels[1], x.levels[2], x.levels[3], x.levels[4])
	}
	if _, err := g.t.run(g.ctx, g.s.sql.sensors, rows); err != nil {
		return fmt.Errorf("write sensors: %w", err)
	}
	return nil
}
