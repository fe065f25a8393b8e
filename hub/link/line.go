// Package link judges which lines hold one box and which are driven by one hand.
// It is pure: facts of lines and counts of how many lines bear a key go in,
// edges, boxes, rings and verdicts come out, and nothing is kept. docs/linking.md
// is its definition.
package link

import (
	"bytes"
	"slices"
	"strings"
)

// ID names something at the hub.
type ID [16]byte

func (id ID) compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// Line is what is known of one tenancy of one access. Every text in it may be a
// stranger's; identities are pseudonyms.
type Line struct {
	ID         ID      // names the tenancy; unique
	Access     ID      // names the line; its tenancies share it
	Subscriber string  // whom a feed of sessions names, empty when none does
	Sensor     string  // that saw it; the first by name where several did
	First      int64   // first evidence, ns since the Unix epoch
	Last       int64   // last evidence
	Verdict    Verdict // by what was seen on the line alone, nothing of the hub's in it
	Declared   bool    // on the operator's register of gateways

	Cards         []Card
	Accounts      []string
	Contact       string // host and port behind the NAT
	CNAME         string
	Stack         string // header shape of its own SIP messages
	Controllers   []Endpoint
	ClockPPM      float64
	ClockErrorPPM float64 // half width of its uncertainty, 0 when no clock was measured
	Active        []Span  // at most MaxSpans, in order; pauses of ten minutes and less are in them
	Standings     []Standing
}

// Verdict is how sure a sensor is about a line, or the hub about a ring.
type Verdict uint8

// The verdicts, weakest first (docs/verdict.md section 6).
const (
	None Verdict = iota
	Watch
	Review
	Case
)

func (v Verdict) String() string {
	return [...]string{"none", "watch", "review", "case"}[min(v, Case)]
}

// Card is one SIM card. An equipment's number or a telephone number alone is no
// card: the first is the slot's, the second is what somebody dials.
type Card struct {
	IMSI, ICCID string // each may be empty
}

// Endpoint is a far end that a line depends on.
type Endpoint struct {
	Addr string
	Role string
}

// Span is a time, both ends included, ns since the Unix epoch.
type Span struct{ From, To int64 }

// MaxSpans is how many spans a sensor keeps of a line. Of a full list the last
// goes on over silence, so it shows nothing.
const MaxSpans = 32

// Standing is how a line stands against one class of lookalikes.
type Standing struct {
	Class    string
	Margin   float64 // nats
	Families []FamilyNats
}

// FamilyNats is what one family of signals contributes to a margin.
type FamilyNats struct {
	Family string
	Nats   float64
}

// KeyKind is what sort of key two lines may share.
type KeyKind uint8

// The kinds of keys.
const (
	CardKey KeyKind = iota + 1
	AccountKey
	ContactKey
	CNAMEKey
	ControllerKey
)

// Key is something that lines may have in common.
type Key struct {
	Kind  KeyKind
	Value string
}

// Keys of the line, each once, in order. Whoever shares one of them with the line
// may have an edge to it, and nobody else.
func (l *Line) Keys() []Key {
	var keys []Key
	for _, c := range l.Cards {
		if c.IMSI != "" && !testNetwork(c.IMSI) {
			keys = append(keys, Key{CardKey, c.IMSI})
		}
		if c.ICCID != "" {
			keys = append(keys, Key{CardKey, c.ICCID})
		}
	}
	for _, a := range l.Accounts {
		if a != "" {
			keys = append(keys, Key{AccountKey, a})
		}
	}
	if l.Contact != "" {
		keys = append(keys, Key{ContactKey, l.Contact})
	}
	if l.CNAME != "" {
		keys = append(keys, Key{CNAMEKey, l.CNAME})
	}
	for _, e := range l.Controllers {
		if e.Addr != "" && Joins(e.Role) {
			keys = append(keys, Key{ControllerKey, e.Addr})
		}
	}
	slices.SortFunc(keys, CompareKeys)
	return slices.Compact(keys)
}

// testNetwork tells cards that are nobody's: country codes 001 and 999 are for
// tests and for networks of one's own (ITU-T E.212), and makers print the same
// card a thousand times.
func testNetwork(imsi string) bool {
	return strings.HasPrefix(imsi, "001") || strings.HasPrefix(imsi, "999")
}

// ends are the addresses of the line's far ends of one role.
func (l *Line) ends(role string) []string {
	var out []string
	for _, e := range l.Controllers {
		if e.Role == role {
			out = append(out, e.Addr)
		}
	}
	return out
}

// Joins says whether far ends of the role tell of the hand that drives a line.
// Where only voice comes from is a relay, which providers share.
func Joins(role string) bool { return role != "media" && role != "" }

// CompareKeys orders keys by kind and value.
func CompareKeys(a, b Key) int {
	if a.Kind != b.Kind {
		return int(a.Kind) - int(b.Kind)
	}
	return strings.Compare(a.Value, b.Value)
}

// Counts is how common keys are over all lines of the hub.
type Counts struct {
	// Bearers is how many tenancies bear a key, whatever their verdict. One that
	// is absent counts as 2.
	Bearers map[Key]int
	// Controllers by address.
	Controllers map[string]Controller
}

// Controller is what is known of one far end over all its lines.
type Controller struct {
	Lines  int // most that spoke to it in one hour, whatever their scores, by the sensors' sketches; 0 when unknown
	Known  int // tenancies that name it
	Watch  int // of these at watch or above by themselves, declared ones left out
	Shaped int // of the lines at watch or above, those whose header shape is known
	Shapes int // distinct header shapes among them
}

// all is by how many lines it is used, as far as anybody knows.
func (c Controller) all() int { return max(c.Lines, c.Known) }
