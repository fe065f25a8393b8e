package storetest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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
	atCase, below []*reportpb.Finding
	standings     []*reportpb.Standing
}

// FleetSize is how many sensors a filled store has, to be measured.
const FleetSize = 2000

// LabFindings gives what the case folders expect, in the order of their names: of every
// second folder what the dictionary of stored messages is made of (seeds), or of the
// others. Folders that show one capture in several formats or wrappings are left out.
func LabFindings(cases string, seeds bool) ([]*reportpb.Finding, error) {
	names, err := filepath.Glob(filepath.Join(cases, "*", "expected.json"))
	if err != nil {
		return nil, err
	}
	var all []*reportpb.Finding
	second := false
	for _, name := range names {
		folder := filepath.Base(filepath.Dir(name))
		if strings.HasPrefix(folder, "wrap-") || strings.HasPrefix(folder, "format-") {
			continue
		}
		second = !second
		if second == seeds {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			f, err := report.ParseJSON([]byte(strings.TrimSpace(line)))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// NewReports makes them of what the lab's captures give in the folder of cases, without
// those that the dictionary of stored messages is made of: it would know them by heart.
// of is how many findings there will be, about.
func NewReports(cases string, sensors, of int, now time.Time) (*Reports, error) {
	found, err := LabFindings(cases, false)
	if err != nil {
		return nil, err
	}
	l := &Reports{Sensors: sensors, Now: now, of: max(of, 1)}
	for _, f := range found {
		f.Proof = false
		if f.Links == nil {
			f.Links = &reportpb.Links{}
		}
		if f.Calls == nil {
			f.Calls = &reportpb.Calls{}
		}
		if f.Verdict == reportpb.Verdict_VERDICT_CASE {
			f.Proof, f.Cards = true, nil
			for range 8 {
				f.Cards = append(f.Cards, &reportpb.Card{})
			}
			l.atCase = append(l.atCase, f)
			continue
		}
		// One in which little was seen says little.
		if f.Cards = nil; len(f.Signals) > 0 {
			l.below = append(l.below, f)
		}
	}
	if len(l.atCase) == 0 || len(l.below) == 0 {
		return nil, fmt.Errorf("%s: %d findings at case and %d below", cases, len(l.atCase), len(l.below))
	}
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
	return &reportpb.ControllerHour{Addr: controller(n), Role: role, Lines: uint64(max(l.of/2000*50, 1)), Calls: uint64(l.of / 200)}
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
	f := proto.CloneOf(of[n/l.Sensors%len(of)])
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
