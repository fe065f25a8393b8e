package storetest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report"
	"simtrap/report/reportpb"
)

// Reports makes the findings of a fleet for measurements. Of a hundred 90 are below
// watch, 7 at watch, 2 at review, 1 at case; each is of a line of its own, with an
// account or two, a contact that 2,000 others have, a CNAME, a controller among
// 2,000, and at case up to eight cards. Finding n is always the same but for its revision,
// and is of sensor n modulo Sensors.
type Reports struct {
	Sensors       int
	Now           time.Time // when the last finding was seen; the first 20 days before
	of            int       // findings over which the 20 days are spread
	atCase, below *reportpb.Finding
	standings     []*reportpb.Standing
}

// FleetSize is how many sensors a filled store has, to be measured.
const FleetSize = 2000

// NewReports makes them of what the lab's captures give: a file of lines of JSON,
// the first a finding at case. of is how many findings there will be, about.
func NewReports(file string, sensors, of int, now time.Time) (*Reports, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	atCase, err := report.ParseJSON([]byte(line))
	if err != nil {
		return nil, err
	}
	atCase.Cards = atCase.Cards[:min(8, len(atCase.Cards))]
	below := proto.CloneOf(atCase)
	below.Cards, below.Proof = nil, false
	// As many words as the case folders have on average (docs/design.md).
	for i, x := 0, []*reportpb.Finding{atCase, below}; i < 2; i++ {
		for j := 0; proto.Size(x[i]) < []int{5300, 2800}[i]; j++ {
			g := proto.CloneOf(x[i].Signals[j])
			g.Detail += fmt.Sprintf(" of %d", 1000+j*377)
			x[i].Signals = append(x[i].Signals, g)
		}
	}
	l := &Reports{Sensors: sensors, Now: now, of: max(of, 1), atCase: atCase, below: below}
	for i := range 10 {
		x := &reportpb.Standing{Class: fmt.Sprint("class-", i), Margin: 3 + float64(i*377%1000)/1000}
		for j := range 8 {
			x.Families = append(x.Families, &reportpb.FamilyNats{Family: fmt.Sprint("family-", j), Nats: float64((i*8+j)*733%2000) / 1000})
		}
		l.standings = append(l.standings, x)
	}
	return l, nil
}

// Sensor gives the name of one.
func (l *Reports) Sensor(k int) string { return fmt.Sprintf("sensor-%04d", k) }

// Line gives the address of finding n.
func (l *Reports) Line(n int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 16<<24+uint32(n))))
}

// ID gives the id that its sensor gives finding n.
func (l *Reports) ID(n int) []byte { return []byte(fmt.Sprintf("finding %08x", n)) }

const role = "registrar"

// controller gives the address of finding n's.
func controller(n int) string {
	return netip.AddrFrom4([4]byte{198, 18, byte(n % 2000 >> 8), byte(n % 2000)}).String()
}

// Controller is what a sensor tells of finding n's controller every hour.
func (l *Reports) Controller(n int) *reportpb.ControllerHour {
	return &reportpb.ControllerHour{Addr: controller(n), Role: role, Lines: uint64(l.of / 2000 * 50), Calls: uint64(l.of / 200)}
}

// Call makes a call of finding n's line.
func (l *Reports) Call(n int, number uint64) *reportpb.Call {
	start := l.Now.Add(-time.Duration(number%86_400) * time.Second)
	return &reportpb.Call{
		FindingId: l.ID(n), Id: binary.BigEndian.AppendUint64(make([]byte, 8), number), Line: l.Line(n).String(), Direction: reportpb.Direction_DIRECTION_INBOUND,
		Start: timestamppb.New(start), Answered: timestamppb.New(start.Add(9 * time.Second)), End: timestamppb.New(start.Add(2 * time.Minute)),
		StartUncertaintyNs: 1_000_000, EndUncertaintyNs: 1_000_000, Calling: fmt.Sprintf("mobile~%016x", number), Called: fmt.Sprintf("mobile~%016x", number*3),
		Account: fmt.Sprintf("~%016x", n*2), Controller: controller(n),
	}
}

// Revision makes finding n.
func (l *Reports) Revision(n int, revision uint64) *reportpb.FindingRevision {
	of, verdict := l.below, reportpb.Verdict_VERDICT_NONE
	// Sensors have all verdicts alike.
	switch k := (n/l.Sensors*7919 + n) % 100; {
	case k == 0:
		of, verdict = l.atCase, reportpb.Verdict_VERDICT_CASE
	case k < 3:
		verdict = reportpb.Verdict_VERDICT_REVIEW
	case k < 10:
		verdict = reportpb.Verdict_VERDICT_WATCH
	}
	f := proto.CloneOf(of)
	f.Verdict = verdict
	for i, c := range f.Cards {
		c.Imsi, c.Iccid = fmt.Sprintf("46000~%016x", n*64+i), ""
	}
	f.Line = l.Line(n).String()
	f.Links.Contact = fmt.Sprintf("~%016x", n%(l.of/2000+1))
	f.Links.Cname = fmt.Sprintf("~%016x", n)
	f.Links.Accounts = []string{fmt.Sprintf("~%016x", n*2)}
	if n%2 == 0 {
		f.Links.Accounts = append(f.Links.Accounts, fmt.Sprintf("~%016x", n*2+1))
	}
	f.Controllers = []*reportpb.Controller{{Addr: controller(n), Role: role}}
	first := 20*24*time.Hour - time.Duration(float64(n)/float64(l.of)*float64(20*24*time.Hour))
	f.FirstSeen = timestamppb.New(l.Now.Add(-max(first, time.Hour)))
	f.LastSeen = timestamppb.New(l.Now.Add(-time.Minute))
	f.Calls.Inbound = int32(revision)
	r := &reportpb.FindingRevision{Id: l.ID(n), Revision: revision, EpochStart: f.FirstSeen, Catalogue: 1, Finding: f}
	if verdict >= reportpb.Verdict_VERDICT_WATCH {
		r.Standings = l.standings
	}
	return r
}
