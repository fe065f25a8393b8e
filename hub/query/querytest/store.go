// Package querytest has a store of the hub in memory and a hub around it, for
// tests of what asks one.
package querytest

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// Store is a query.Store whose rows are those of its fields, each list in the
// order of its answers. Of filters it knows verdicts and sensors; the last one that
// it was asked with is kept.
type Store struct {
	mu sync.Mutex

	FindingRows    []store.Finding
	LineRows       []store.Line
	BoxRows        []store.BoxRow
	EdgeRows       []store.Edge
	RingRows       []store.Ring
	ControllerRows []store.Controller
	CardRows       []store.Card
	SensorRows     []store.Sensor
	CaseRows       []store.Case
	OutcomeRows    []store.FindingOutcome

	// Short, above 0, is the most rows that one read gives.
	Short int
	// Err fails every read.
	Err error
	// Last is the filter of the last list.
	Last store.Filter
}

// page gives the rows behind a place. A place is the key of the last row, so that
// rows that come before it change nothing.
func page[T any](s *Store, f store.Filter, rows []T, p store.Page, key func(*T) string, keep func(*T) bool) (store.List[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Last = f
	if s.Err != nil {
		return store.List[T]{}, s.Err
	}
	size := p.Size
	if s.Short > 0 {
		size = min(size, s.Short)
	}
	var list store.List[T]
	from := 0
	if p.After != "" {
		from = slices.IndexFunc(rows, func(r T) bool { return key(&r) == p.After }) + 1
		if from == 0 {
			return list, store.ErrInvalid
		}
	}
	for i := from; i < len(rows); i++ {
		if keep == nil || keep(&rows[i]) {
			list.Rows = append(list.Rows, rows[i])
		}
		if len(list.Rows) == size && i < len(rows)-1 {
			list.Next = key(&rows[i])
			break
		}
	}
	return list, nil
}

// one gives the row of a key.
func one[T any](s *Store, rows []T, is func(*T) bool) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	if s.Err != nil {
		return none, s.Err
	}
	for i := range rows {
		if is(&rows[i]) {
			return rows[i], nil
		}
	}
	return none, store.ErrNotFound
}

// Insert puts a finding before all others, as a new one is.
func (s *Store) Insert(f store.Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.FindingRows = slices.Insert(slices.Clone(s.FindingRows), 0, f)
}

func (s *Store) findings() []store.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.FindingRows
}

func (s *Store) cases() []store.Case {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.CaseRows
}

// Findings implements query.Store.
func (s *Store) Findings(_ context.Context, f store.Filter, p store.Page) (store.List[store.Finding], error) {
	return page(s, f, s.findings(), p, func(r *store.Finding) string { return string(r.ID[:]) }, func(r *store.Finding) bool {
		return r.Report.GetFinding().GetVerdict() >= f.MinVerdict && (len(f.Sensors) == 0 || slices.Contains(f.Sensors, r.Sensor))
	})
}

// Finding implements query.Store.
func (s *Store) Finding(_ context.Context, id store.ID) (store.Finding, error) {
	return one(s, s.findings(), func(r *store.Finding) bool { return r.ID == id })
}

// Lines implements query.Store.
func (s *Store) Lines(_ context.Context, f store.Filter, p store.Page) (store.List[store.Line], error) {
	return page(s, f, s.LineRows, p, func(r *store.Line) string { return string(r.ID[:]) }, nil)
}

// Line implements query.Store.
func (s *Store) Line(_ context.Context, id store.ID) (store.Line, error) {
	return one(s, s.LineRows, func(r *store.Line) bool { return r.ID == id })
}

// LinesOf implements query.Store.
func (s *Store) LinesOf(_ context.Context, ids []store.ID) (map[store.ID]store.ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := make(map[store.ID]store.ID)
	for _, f := range s.FindingRows {
		if slices.Contains(ids, f.ID) {
			of[f.ID] = f.Line
		}
	}
	return of, s.Err
}

// LineAddrs implements query.Store.
func (s *Store) LineAddrs(_ context.Context, addrs []netip.Addr) (map[netip.Addr]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := make(map[netip.Addr]bool)
	for _, l := range s.LineRows {
		name := l.Name[strings.IndexByte(l.Name, '/')+1:] // behind a realm; a network has none here
		line, err := netip.ParseAddr(name)
		for _, a := range addrs {
			of[a] = of[a] || err == nil && store.Neighbours(a) == store.Neighbours(line)
		}
	}
	return of, s.Err
}

// Boxes implements query.Store.
func (s *Store) Boxes(_ context.Context, f store.Filter, p store.Page) (store.List[store.BoxRow], error) {
	return page(s, f, s.BoxRows, p, func(r *store.BoxRow) string { return string(r.ID[:]) }, nil)
}

// Box implements query.Store.
func (s *Store) Box(_ context.Context, id store.ID) (store.BoxRow, error) {
	return one(s, s.BoxRows, func(r *store.BoxRow) bool { return r.ID == id })
}

// Edges implements query.Store.
func (s *Store) Edges(_ context.Context, _ []store.ID, n int) ([]store.Edge, error) {
	return s.EdgeRows[:min(n, len(s.EdgeRows))], s.Err
}

// Rings implements query.Store.
func (s *Store) Rings(_ context.Context, f store.Filter, p store.Page) (store.List[store.Ring], error) {
	return page(s, f, s.RingRows, p, func(r *store.Ring) string { return string(r.ID[:]) }, nil)
}

// Ring implements query.Store.
func (s *Store) Ring(_ context.Context, id store.ID) (store.Ring, error) {
	return one(s, s.RingRows, func(r *store.Ring) bool { return r.ID == id })
}

// Controllers implements query.Store.
func (s *Store) Controllers(_ context.Context, f store.Filter, p store.Page) (store.List[store.Controller], error) {
	return page(s, f, s.ControllerRows, p, func(r *store.Controller) string { return r.Addr.String() + r.Role }, nil)
}

// Controller implements query.Store.
func (s *Store) Controller(_ context.Context, addr netip.Addr, role string) (store.Controller, error) {
	return one(s, s.ControllerRows, func(r *store.Controller) bool { return r.Addr == addr && r.Role == role })
}

// Cards implements query.Store.
func (s *Store) Cards(_ context.Context, f store.Filter, p store.Page) (store.List[store.Card], error) {
	return page(s, f, s.CardRows, p, func(r *store.Card) string { return string(r.ID[:]) }, nil)
}

// Card implements query.Store.
func (s *Store) Card(_ context.Context, id store.ID) (store.Card, error) {
	return one(s, s.CardRows, func(r *store.Card) bool { return r.ID == id })
}

// Sensors implements query.Store.
func (s *Store) Sensors(_ context.Context, f store.Filter, p store.Page) (store.List[store.Sensor], error) {
	return page(s, f, s.SensorRows, p, func(r *store.Sensor) string { return r.Name }, nil)
}

// Sensor implements query.Store.
func (s *Store) Sensor(_ context.Context, name string) (store.Sensor, error) {
	return one(s, s.SensorRows, func(r *store.Sensor) bool { return r.Name == name })
}

// Cases implements query.Store.
func (s *Store) Cases(_ context.Context, f store.Filter, p store.Page) (store.List[store.Case], error) {
	return page(s, f, s.cases(), p, func(r *store.Case) string { return string(r.ID[:]) }, nil)
}

// Case implements query.Store.
func (s *Store) Case(_ context.Context, id store.ID) (store.Case, error) {
	return one(s, s.cases(), func(r *store.Case) bool { return r.ID == id })
}

// Outcomes implements query.Store.
func (s *Store) Outcomes(_ context.Context, after store.ID, n int) ([]store.FindingOutcome, []store.Finding, error) {
	var outcomes []store.FindingOutcome
	var findings []store.Finding
	for _, o := range s.OutcomeRows {
		if string(o.Finding[:]) <= string(after[:]) || len(outcomes) == n {
			continue
		}
		f, err := one(s, s.findings(), func(r *store.Finding) bool { return r.ID == o.Finding })
		if err != nil {
			return nil, nil, err
		}
		outcomes, findings = append(outcomes, o), append(findings, f)
	}
	return outcomes, findings, s.Err
}

// AddCase implements query.Store.
func (s *Store) AddCase(_ context.Context, c store.Case) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Version = 1
	s.CaseRows = append([]store.Case{c}, s.CaseRows...)
	return s.Err
}

// PutCase implements query.Store.
func (s *Store) PutCase(_ context.Context, c store.Case) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.CaseRows {
		if s.CaseRows[i].ID == c.ID {
			if s.CaseRows[i].Version != c.Version {
				return store.ErrConflict
			}
			c.Version++
			s.CaseRows[i] = c
			return s.Err
		}
	}
	return store.ErrNotFound
}

// Comments implements query.Store.
func (s *Store) Comments(context.Context, store.ID, int) ([]store.Comment, error) { return nil, s.Err }

// AddComment implements query.Store. It keeps none.
func (s *Store) AddComment(context.Context, store.Comment) error { return s.Err }

// SetOutcome implements query.Store.
func (s *Store) SetOutcome(_ context.Context, o store.FindingOutcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.FindingRows {
		if s.FindingRows[i].ID == o.Finding {
			s.FindingRows[i].Outcome = o.Outcome
			return s.Err
		}
	}
	return store.ErrNotFound
}

// ID gives an id of a number.
func ID(n int) store.ID {
	var id store.ID
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// Day is when the first row of Filled was seen.
func Day() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) }

// Model is what the devices of Filled call themselves: text as a stranger would
// choose it.
const Model = "=GW\x1b[2J\u202e;+1"

// Filled gives a store of one ring of two boxes, one on two lines, and a number of
// other findings below review, each on a line of its own.
func Filled(others int) *Store {
	at := Day()
	finding := func(n int, line string, v reportpb.Verdict) store.Finding {
		score, margin := 16.1, 6.1
		return store.Finding{
			ID: ID(n), Line: store.LineID("north", line), Sensor: "north", Since: at, Received: at.Add(time.Hour),
			Report: &reportpb.FindingRevision{
				Revision: uint64(n), Catalogue: 7, PeakScore: &score, PeakMargin: &margin,
				Standings: []*reportpb.Standing{{Class: "home", Margin: 16, Families: []*reportpb.FamilyNats{{Family: "control", Nats: 4}}}},
				Finding: &reportpb.Finding{
					Line: line, Verdict: v, Score: &score, Margin: &margin, Nearest: "breakout", Proof: v == reportpb.Verdict_VERDICT_CASE,
					Device:      &reportpb.Device{Vendor: "Hybertone", Model: Model, Channels: 8},
					Controllers: []*reportpb.Controller{{Addr: "198.51.100.9", Role: "registrar"}},
					Cards:       []*reportpb.Card{{Imsi: "46000~9f3ac21b66d0e417"}},
					Calls:       &reportpb.Calls{Inbound: 40, Answered: 31}, Links: &reportpb.Links{Cname: "~0123456789abcdef"},
					Signals:   []*reportpb.Signal{{Id: "keepalive", Family: "control", Nats: &score, Against: "home", Detail: "says " + Model}},
					FirstSeen: stamp(at), LastSeen: stamp(at.Add(2 * time.Hour)),
				},
			},
		}
	}
	a, b, c := finding(3, "203.0.113.7", reportpb.Verdict_VERDICT_CASE), finding(2, "realm-a/10.1.2.3", reportpb.Verdict_VERDICT_REVIEW), finding(1, "2001:db8:1:2::/64", reportpb.Verdict_VERDICT_REVIEW)
	a.Box, b.Box, c.Box = ID(11), ID(11), ID(12)
	a.Ring, b.Ring, c.Ring = ID(21), ID(21), ID(21)
	a.Outcome = store.OutcomeConfirmed
	s := &Store{FindingRows: []store.Finding{a, b, c}}
	for i := range others {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], 100<<24|64<<16|uint32(i))
		s.FindingRows = append(s.FindingRows, finding(1000+i, netip.AddrFrom4(ip).String(), reportpb.Verdict_VERDICT_WATCH))
	}
	for _, f := range s.FindingRows {
		told := f.Report.GetFinding()
		l := store.Line{ID: f.Line, Sensor: f.Sensor, Name: told.GetLine(), Verdict: told.GetVerdict(), First: at, Last: at.Add(2 * time.Hour), Findings: []store.ID{f.ID}}
		if !f.Box.IsZero() {
			l.Boxes = []store.ID{f.Box}
		}
		s.LineRows = append(s.LineRows, l)
	}
	margin, off := 9.5, 250*time.Millisecond
	box := func(id int, lines ...store.ID) store.BoxRow {
		return store.BoxRow{Box: store.Box{ID: ID(id), Ring: ID(21), Device: a.Report.Finding.Device, Cards: 1, Verdict: reportpb.Verdict_VERDICT_CASE, First: at, Last: at.Add(2 * time.Hour)}, Lines: lines}
	}
	s.BoxRows = []store.BoxRow{box(11, a.Line, b.Line), box(12, c.Line)}
	s.EdgeRows = []store.Edge{{A: b.ID, B: a.ID, Kind: 1, Scope: store.ScopeBox, Nats: 12.5, Reason: "the same card", Since: at}}
	s.RingRows = []store.Ring{{ID: ID(21), Boxes: []store.ID{ID(11), ID(12)}, Lines: 3, Sensors: []string{"north", "south"}, Controllers: []string{"198.51.100.9"}, Margin: &margin, Nearest: "hosted-pbx", Verdict: reportpb.Verdict_VERDICT_CASE, First: at, Last: at.Add(2 * time.Hour)}}
	s.ControllerRows = []store.Controller{{Addr: netip.MustParseAddr("198.51.100.9"), Role: "registrar", First: at, Last: at, Lines: 3, Review: 3, Rings: []store.ID{ID(21)}}, {Addr: netip.MustParseAddr("2001:db8::9"), Role: "media", First: at, Last: at, Lines: 1}}
	s.CardRows = []store.Card{{ID: ID(31), Card: &reportpb.Card{Imsi: "46000~9f3ac21b66d0e417"}, First: at, Last: at, Lines: []store.ID{a.Line, b.Line}, Boxes: []store.ID{ID(11)}}}
	s.SensorRows = []store.Sensor{{Name: "north", Version: "v1.0.0", Catalogue: 7, LastReport: at, PacketTime: at, ClockDifference: &off, CertificateEnds: at.Add(720 * time.Hour), Missing: 2, Alarms: []string{"port-silent"}}, {Name: "south", Revoked: true}}
	s.CaseRows = []store.Case{{ID: ID(41), Title: "three homes, one box", State: store.CaseHandedOver, Owner: "lee", Rings: []store.ID{ID(21)}, Opened: at}}
	s.OutcomeRows = []store.FindingOutcome{{Finding: c.ID, Outcome: store.OutcomeUnknown}, {Finding: b.ID, Outcome: store.OutcomeInnocent, By: "lee", At: at}, {Finding: a.ID, Outcome: store.OutcomeConfirmed, By: "lee", At: at, Note: "found behind the fridge"}}
	return s
}
