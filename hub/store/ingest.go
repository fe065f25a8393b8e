package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report/reportpb"
)

// Delivery is one batch of one sensor's outbox.
type Delivery struct {
	Sensor          string    // by its certificate
	Admitted        time.Time // since when by what Admitted said of that; zero is not looked at
	Epoch           uint64    // of the outbox
	First, Last     uint64    // sequences; some between may be missing
	Records         []*reportpb.Record
	Owned           bool // Records are the store's, to change as it likes
	ReceivedAt      time.Time
	ClockDifference *time.Duration // sensor's wall clock less the hub's; nil if not measured
}

// Receipt tells what a delivery has changed.
type Receipt struct {
	Acked   uint64 // sequence up to which everything given is committed
	Stored  int    // records that changed something
	Older   int    // findings that were known, or overtaken
	Unknown int    // records of a kind not known here
	Refused int    // records that made no sense
}

// Bounds of what one record may bring.
const (
	maxRecords  = 10_000
	maxName     = 256              // bytes of a line's name
	maxText     = 128              // bytes of other texts in columns
	maxSketch   = 20_000           // bytes; one of precision 14 has less
	maxHours    = 10_000           // controllers in one sketch
	maxCalls    = 20_000           // of one finding
	maxGaps     = 10_000           // of one sensor
	maxHistory  = 64               // revisions of one finding
	maxAlarms   = 64               // shown of a sensor
	groupWeight = 1_000            // records in one transaction: what they change must fit the cache
	future      = int64(time.Hour) // by how much packet time may be ahead
)

// Ingest stores a delivery and returns when it is committed. What was stored
// before changes nothing; of one finding the highest revision holds. Deliveries
// of several sensors share a transaction. Of an error nothing was stored, or it
// is not known whether: sending again is right in both cases. ErrInvalid: never
// send it again; ErrBusy: later; ErrRevoked: the sensor is not admitted.
func (s *Store) Ingest(ctx context.Context, d Delivery) (Receipt, error) {
	switch {
	case d.Sensor == "" || len(d.Sensor) > maxText:
		return Receipt{}, fmt.Errorf("%w: name of a sensor", ErrInvalid)
	case len(d.Records) > maxRecords:
		return Receipt{}, fmt.Errorf("%w: %d records in one delivery, %d are the most", ErrInvalid, len(d.Records), maxRecords)
	case d.First > d.Last:
		return Receipt{}, fmt.Errorf("%w: a delivery from sequence %d to %d", ErrInvalid, d.First, d.Last)
	}
	for _, r := range d.Records {
		if q := r.GetSequence(); q < d.First || q > d.Last {
			return Receipt{}, fmt.Errorf("%w: sequence %d in a delivery from %d to %d", ErrInvalid, q, d.First, d.Last)
		}
	}
	weight := int64(len(d.Records)) + 1
	if s.waiting.Add(weight) > s.limit {
		s.waiting.Add(-weight)
		s.count.busy.Add(1)
		return Receipt{}, ErrBusy
	}
	p, err := s.prepare(d)
	if err != nil {
		s.waiting.Add(-weight)
		return Receipt{}, err
	}
	p.weight = weight
	if err := s.hand(ctx, p); err != nil {
		s.waiting.Add(-weight)
		return Receipt{}, err
	}
	select {
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	case err := <-p.done:
		return p.receipt, err
	}
}

// hand gives a delivery to the writer of its sensor.
func (s *Store) hand(ctx context.Context, p *prepared) error {
	h := fnv.New32a()
	h.Write([]byte(p.sensor))
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errClosed
	}
	select {
	case s.writers[h.Sum32()%uint32(len(s.writers))] <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// prepared is a delivery as rows, before anything is known of what is stored.
type prepared struct {
	sensor   string
	owned    bool
	received int64
	admitted int64
	clock    *time.Duration
	findings []*newFinding
	calls    []*newCall
	hours    []any // flat rows of hoursInsert
	rests    []any // flat rows of controller_left
	faces    []face
	health   *reportpb.Health
	gaps     []*newGap
	weight   int64

	receipt Receipt
	done    chan error
}

type newFinding struct {
	id, line            ID
	name                string
	addr                []byte
	since, first, last  int64
	revision            int64
	verdict, flags      int64
	vendor, model, near string
	score, margin       *float64
	told, keyed         [8]byte
	keys                []Key
	body                []byte
	cards               []cardRow
	faces               []face
}

const (
	flagProof    = 1
	flagDeclared = 2
)

type newCall struct {
	finding, id   ID
	start, weight int64
	body          []byte
}

type newGap struct {
	epoch, first, last, lost int64
	body                     []byte
}

// face is a controller in one role, seen from first to last.
type face struct {
	addr        netip.Addr
	role        string
	first, last int64
	told        int64 // lines that an hour tells of it, at least 1; 0 where none does
}

type cardRow struct {
	id                        ID
	imsi, imei, iccid, msisdn string
	first, last               int64
}

// prepare does all that needs no transaction.
func (s *Store) prepare(d Delivery) (*prepared, error) {
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = s.now()
	}
	p := &prepared{sensor: d.Sensor, owned: d.Owned, received: d.ReceivedAt.UnixNano(), admitted: nanosOf(d.Admitted), clock: d.ClockDifference, done: make(chan error, 1)}
	p.receipt.Acked = d.Last
	for _, r := range d.Records {
		ok, err := true, error(nil)
		switch k := r.GetKind().(type) {
		case *reportpb.Record_Finding:
			ok, err = s.prepareFinding(p, k.Finding)
		case *reportpb.Record_Call:
			ok, err = s.prepareCall(p, k.Call)
		case *reportpb.Record_Controllers:
			ok = s.prepareSketch(p, d.Epoch, r.GetSequence(), k.Controllers)
		case *reportpb.Record_Health:
			ok = k.Health.GetAt().IsValid()
			if ok && (p.health == nil || p.health.GetAt().AsTime().Before(k.Health.GetAt().AsTime())) {
				p.health = k.Health
			}
		case *reportpb.Record_Gap:
			ok, err = s.prepareGap(p, k.Gap)
		default:
			p.receipt.Unknown++
		}
		if err != nil {
			return nil, err
		}
		if !ok {
			p.receipt.Refused++
		}
	}
	return p, nil
}

// nanos gives a time as it is stored; what is not valid or too far is def.
func nanos(t *timestamppb.Timestamp, def int64) int64 {
	if !t.IsValid() {
		return def
	}
	if x := t.GetSeconds(); x < 0 || x > math.MaxInt64/int64(time.Second)-1 {
		return def
	}
	return t.AsTime().UnixNano()
}

// clean makes a text fit for a column: bounded, and without what PostgreSQL does
// not store.
func clean(s string, limit int) string {
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	if len(s) > limit {
		s = s[:limit]
		for len(s) > 0 && !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return s
}

func (s *Store) prepareFinding(p *prepared, given *reportpb.FindingRevision) (bool, error) {
	f := given.GetFinding()
	if len(given.GetId()) != 16 || f == nil || f.GetLine() == "" || len(f.GetLine()) > maxName || given.GetRevision() > math.MaxInt64 {
		return false, nil
	}
	if !p.owned {
		given = proto.CloneOf(given)
		f = given.GetFinding()
	}
	f.Line = clean(f.Line, maxName)
	s.names.finding(f)
	n := &newFinding{
		id: FindingID(p.sensor, given.GetId()), line: LineID(p.sensor, f.GetLine()), name: f.GetLine(), addr: lineAddr(f.GetLine()),
		revision: int64(given.GetRevision()), verdict: level(f.GetVerdict()),
		vendor: clean(f.GetDevice().GetVendor(), maxText), model: clean(f.GetDevice().GetModel(), maxText), near: clean(f.GetNearest(), maxText),
		score: f.Score, margin: f.Margin,
	}
	n.first = min(nanos(f.GetFirstSeen(), nanos(given.GetEpochStart(), p.received)), p.received+future)
	n.last = max(n.first, min(nanos(f.GetLastSeen(), n.first), p.received+future))
	n.since = min(n.first, p.received)
	if f.GetProof() {
		n.flags |= flagProof
	}
	if f.GetDeclared() {
		n.flags |= flagDeclared
	}
	told := derive("told", fmt.Sprint(n.verdict, n.flags, n.near, n.vendor, n.model))
	copy(n.told[:], told[:])
	var cut int
	n.keys, cut = keysOf(f)
	s.count.cut.Add(uint64(cut))
	n.keyed = keysDigest(n.keys)
	for i, c := range f.GetCards() {
		if id, ok := cardID(c); ok && i < maxKeyCards {
			n.cards = append(n.cards, cardRow{id: id, imsi: c.GetImsi(), imei: c.GetImei(), iccid: c.GetIccid(), msisdn: c.GetMsisdn(), first: n.first, last: n.last})
		}
	}
	for i, c := range f.GetControllers() {
		if a, err := netip.ParseAddr(c.GetAddr()); err == nil && i < maxKeyControllers {
			n.faces = append(n.faces, face{addr: a.WithZone("").Unmap(), role: clean(c.GetRole(), 32), first: n.first, last: n.last})
		}
	}
	var err error
	if n.body, err = s.pack.pack(given); err != nil {
		return false, nil // a text that is no UTF-8 came around the decoder
	}
	p.findings = append(p.findings, n)
	return true, nil
}

// level gives a verdict as it is stored: one that a newer sensor sends counts as
// the highest known.
func level(v reportpb.Verdict) int64 {
	return int64(min(max(v, reportpb.Verdict_VERDICT_NONE), reportpb.Verdict_VERDICT_CASE))
}

func (s *Store) prepareCall(p *prepared, given *reportpb.Call) (bool, error) {
	if len(given.GetFindingId()) != 16 || len(given.GetId()) != 16 || !given.GetStart().IsValid() || len(given.GetLine()) > maxName {
		return false, nil
	}
	c := given
	if !p.owned {
		c = proto.CloneOf(given)
	}
	s.names.call(c)
	n := &newCall{finding: FindingID(p.sensor, c.GetFindingId()), start: min(nanos(c.GetStart(), p.received), p.received+future)}
	copy(n.id[:], c.GetId())
	// Of what was told of one call the latest state counts, whatever comes first.
	n.weight = max(nanos(c.GetEnd(), 0), nanos(c.GetAnswered(), 0)/2+1)
	var err error
	if n.body, err = s.pack.pack(c); err != nil {
		return false, nil
	}
	p.calls = append(p.calls, n)
	return true, nil
}

func (s *Store) prepareSketch(p *prepared, epoch, sequence uint64, k *reportpb.ControllerSketch) bool {
	if !k.GetHour().IsValid() || len(k.GetControllers()) > maxHours {
		return false
	}
	hour := min(nanos(k.GetHour(), p.received), p.received+future)
	hour -= hour % int64(time.Hour)
	// Several records may tell of one hour; each counts once, however often it comes.
	part := derive("part", fmt.Sprint(epoch, sequence))
	whole := true
	if k.GetLeft() > 0 {
		p.rests = append(p.rests, p.sensor, hour, int64(binary.BigEndian.Uint64(part[:8])), small(k.GetLeft()))
	}
	for _, c := range k.GetControllers() {
		a, err := netip.ParseAddr(c.GetAddr())
		sketch := c.GetLineSketch()
		if err != nil || len(sketch) > maxSketch || len(sketch) > 0 && !soundSketch(sketch) {
			whole = false
			continue
		}
		a = a.WithZone("").Unmap()
		role := clean(c.GetRole(), 32)
		var stacks []string
		for _, x := range c.GetStacks() {
			if len(x) == 16 && len(stacks) < 8 && isHex(x) {
				stacks = append(stacks, x)
			}
		}
		if sketch == nil {
			sketch = []byte{}
		}
		p.hours = append(p.hours, addrBytes(a), role, hour, p.sensor, int64(binary.BigEndian.Uint64(part[:8])),
			small(c.GetLines()), small(c.GetCalls()), sketch, strings.Join(stacks, " "))
		p.faces = append(p.faces, face{addr: a, role: role, first: hour, last: hour, told: max(small(c.GetLines()), 1)})
	}
	return whole
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// small keeps counts where they can be added up.
func small(n uint64) int64 { return int64(min(n, 1<<40)) }

func (s *Store) prepareGap(p *prepared, g *reportpb.Gap) (bool, error) {
	if g.GetFrom() > g.GetTo() || g.GetTo() > math.MaxInt64 || len(g.GetLost()) > 64 {
		return false, nil
	}
	n := &newGap{epoch: int64(g.GetEpoch()), first: int64(g.GetFrom()), last: int64(g.GetTo())}
	for _, l := range g.GetLost() {
		n.lost += small(l.GetCount())
	}
	var err error
	if n.body, err = s.pack.pack(g); err != nil {
		return false, nil
	}
	p.gaps = append(p.gaps, n)
	return true, nil
}
