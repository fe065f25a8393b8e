package store

import (
	"net/netip"
	"time"

	"simtrap/report/reportpb"
)

// Filter narrows a list. What is empty does not narrow; of several values of one
// field any may hold, and all fields must. Which fields a kind of row has is told
// by its list; others are ErrInvalid.
type Filter struct {
	From, Until time.Time // what was seen overlaps it; From included, Until not; zero is open
	MinVerdict  reportpb.Verdict
	Sensors     []string
	Lines       []LineMatch
	Boxes       []ID
	Rings       []ID
	Cases       []ID
	Controllers []netip.Prefix
	Cards       []string // pseudonyms as answers show them
	Vendors     []string
	Declared    *bool
	Proof       *bool
	CaseStates  []CaseState
	FindingIDs  []ID
	LineIDs     []ID
}

// LineMatch is a line by name ("realm-a/10.1.2.3") or all whose address lies in a
// prefix, in any realm.
type LineMatch struct {
	Name   string
	Prefix netip.Prefix // used when Name is empty
}

// Page says how many rows are wanted and behind which place.
type Page struct {
	Size  int    // 1 to 1,000
	After string // Next of the page before, empty for the first: bytes, not text
}

// List is one page. A list gives up after having looked at a bounded number of
// rows, so a page may be short, even empty, and still have a Next.
type List[T any] struct {
	Rows []T
	Next string // place behind the last row looked at, empty on the last page
}

// Finding is the highest revision that came of one, with what the hub knows.
type Finding struct {
	ID       ID
	Line     ID
	Sensor   string
	Since    time.Time                 // when it began for the hub: what lists are sorted by, never changes
	Received time.Time                 // when the revision was committed
	Report   *reportpb.FindingRevision // identities keyed anew
	Box      ID
	Ring     ID
	Outcome  Outcome
}

// Revision is a change of a finding worth keeping: the first, and every one in
// which verdict, proof, declaration, nearest class or device changed, the newest
// 64.
type Revision struct {
	Finding  ID
	Revision uint64
	Received time.Time
	Verdict  reportpb.Verdict
	Proof    bool
	Declared bool
	Score    *float64
	Margin   *float64
	Nearest  string
	Vendor   string
	Model    string
}

// Line is one access of one sensor, over all epochs.
type Line struct {
	ID          ID
	Sensor      string
	Name        string // as in a finding
	Since       time.Time
	Verdict     reportpb.Verdict // the highest that stands
	First, Last time.Time
	Findings    []ID // newest first, at most 100
	Boxes       []ID
}

// Controller is a far end that lines depend on.
type Controller struct {
	Addr        netip.Addr
	Role        string
	Since       time.Time
	First, Last time.Time // Last is right to an hour
	Lines       uint64    // in the time asked for, estimated
	Review      uint64    // of these at review or above
	Rings       []ID      // at most 100
}

// Card is one SIM.
type Card struct {
	ID          ID
	Card        *reportpb.Card // identities keyed anew
	Since       time.Time
	First, Last time.Time
	Lines       []ID // newest first, at most 1,000
	Boxes       []ID
}

// Sensor is one appliance.
type Sensor struct {
	Name            string
	Version         string
	Catalogue       uint64
	Policy          uint64
	Admitted        time.Time
	LastReport      time.Time
	PacketTime      time.Time
	ClockDifference *time.Duration // its wall clock less the hub's
	CertificateEnds time.Time
	Revoked         bool
	Missing         uint64 // records that its gap records tell of
	// ControllersLeft is how many controllers it left out of its hours, added up over
	// those that are kept: above 0 a ring may be spread thinner than is seen.
	ControllersLeft uint64
	Alarms          []string
	Health          *reportpb.Health // the newest, nil before the first
	Findings        Census
}

// Call is one call of a line at watch or above.
type Call struct {
	Sensor  string
	Finding ID
	Call    *reportpb.Call // identities keyed anew
}

// GapRow is one gap record.
type GapRow struct {
	Sensor   string
	Received time.Time
	Gap      *reportpb.Gap
}

// BoxRow is a box as lists show it.
type BoxRow struct {
	Box
	Lines []ID // newest first, at most 10,000
}
