// Package heuristics judges lines: what each signal saw, how likely that is for
// a box and for every honest lookalike, and the verdict with its ledger.
// docs/verdict.md is its definition.
package heuristics

import "simtrap/ident"

// Verdict is how sure simtrap is about a line.
type Verdict uint8

const (
	None Verdict = iota
	Watch
	Review
	Case
)

func (v Verdict) String() string {
	return [...]string{"none", "watch", "review", "case"}[min(v, Case)]
}

// Finding is one line's verdict with its ledger. Identities in it are clear
// values that print masked; package report writes them through an
// ident.Pseudonymizer.
type Finding struct {
	Line          ident.Line
	Verdict       Verdict // highest reached in this epoch
	Proof         bool    // the case rests on proof, not on nats
	Score, Margin float64 // nats, now
	PeakScore     float64 // highest in this epoch
	PeakMargin    float64
	AgainstHome   float64 // margin against a household, nats
	Nearest       string  // the nearest lookalike class
	Declared      bool    // on the operator's register of declared gateways
	Device        Device
	Controllers   []Controller
	Cards         []Card
	Calls         Calls
	Signals       []Row
	Unseen        []string // what was not visible, and what it would have decided
	Links         Links
	Hellos        []Hello          // openings of enciphered connections; shown, and worth nothing
	First, Last   int64            // ns since the Unix epoch
	Subscriber    ident.Subscriber // who had the line then, zero unless a feed of sessions names one
	Reached       []Reach          // when it rose to each verdict that stands, weakest first
	Evidence      *Evidence        // the counts behind the score, nil unless Config.Evidence

	// EpochStart is since when evidence counts: a tenancy's beginning where a feed
	// tells of one, or the whole epochs since; else the first evidence. ns since
	// the Unix epoch.
	EpochStart int64
	// Told is when it was told while a run went on, ns since the Unix epoch; of one
	// line it rises with every telling. Before is the verdict told then.
	Told      int64
	Before    Verdict
	Standings []Standing // nil unless Config.Standings
	Hub       Hub
}

// Standing is how a line stands against one modelled class.
type Standing struct {
	Class    string
	Margin   float64 // nats
	Families []FamilyNats
}

// FamilyNats is what the margin against one class loses without a family.
type FamilyNats struct {
	Family string
	Nats   float64
}

// Hub is what other lines of its controllers add to a line, as the centre says
// (docs/verdict.md section 8). Nothing else of the finding holds any of it.
type Hub struct {
	Nats    float64 // 0 to 3
	Verdict Verdict // with them: watch or review where that is above the line's own, else None
	Ring    string  // that the controller belongs to, if any
}

// Reach is the moment at which a line rose to a verdict, as far as looking every
// half minute tells.
type Reach struct {
	Verdict Verdict
	At      int64 // ns since the Unix epoch
	Calls   int   // counted until then
}

// Device is what the box appears to be.
type Device struct {
	Vendor   string
	Model    string
	Channels int // most channels shown to be in use or announced; 0 unknown
}

// Controller is a far end that the line depends on.
type Controller struct {
	Addr ident.Addr
	Role string // registrar, trunk-peer, media, sms-server, sim-bank, management, vpn-peer
}

// Card is one SIM as far as its identities were seen together.
type Card struct {
	IMSI   ident.IMSI
	IMEI   ident.IMEI
	ICCID  ident.ICCID
	MSISDN ident.Number
}

// Calls counts what the line's calls were.
type Calls struct {
	Inbound, Outbound int // attempts, seen from the line, of whatever worth
	Answered          int
	Verified          int // both ends shown to have taken part
	PeakConcurrent    int
	DistinctCalled    int // distinct numbers called through the line, inbound calls
	Streams           int // confirmed voice streams sent by the line
	TalkSeconds       int
}

// Row is one line of the ledger: what one signal contributes against one class.
type Row struct {
	ID      string
	Family  string
	Nats    float64
	Against string // class
	Detail  string // in plain words
}

// Links is what joins findings across lines and days at a hub.
type Links struct {
	Accounts      []ident.Account
	Stack         uint64 // header shape of the line's own SIP messages
	Contact       string // host and port behind the NAT, as the line announces it
	CNAME         ident.CNAME
	ClockPPM      float64
	ClockErrorPPM float64 // 0 when no clock was measured
	Active        []Span
}

// Span is a time during which the line was active.
type Span struct{ From, To int64 }
