package control

import (
	"fmt"

	"simtrap/ident"
)

// What proof asks for (docs/verdict.md section 6).
const (
	ProofRecords       = 3                     // answered records
	ProofOneWayRecords = 5                     // records, where the peer was never seen
	ProofSpan          = int64(60_000_000_000) // ns between first and last of them
	ProofIdentities    = 2                     // SIM identities or channels
)

// maxCards is how many different cards one Evidence holds.
const maxCards = 512

// Card is what was seen together in one message: the card in a channel, and
// the module it is in. Zero fields were not told.
type Card struct {
	Channel     uint32
	IMSI        ident.IMSI
	IMEI        ident.IMEI
	ICCID       ident.ICCID
	Number      ident.Number
	First, Last int64 // ns since the Unix epoch
	// Verified says that the peer answered a message with this card.
	Verified bool

	closed bool // its channel began anew: what it has not told by now is not its own
}

// Tally counts distinct values among cards.
type Tally struct{ Channels, IMSIs, IMEIs, ICCIDs int }

// Identities is the number that proof asks two of: SIM identities or channels,
// whichever there are more of. Modules alone do not count.
func (t Tally) Identities() int { return max(t.Channels, t.IMSIs, t.ICCIDs) }

// Evidence is what one address has shown of itself, in one role, by one
// protocol, towards one peer. It rests on packets which that address sent.
type Evidence struct {
	Owner    ident.Addr // the gateway or bank, as seen by the tap
	Realm    ident.Realm
	Protocol string
	Vendor   string
	Role     Role // RoleGateway or RoleBank
	Peer     ident.Addr
	PeerPort uint16 // of the latest record
	TCP      bool   // of the latest record

	First, Last int64 // of the sound records, ns since the Unix epoch
	Sound       int   // messages that pass every check
	Answered    int   // of these, those the peer answered, or on TCP, sent while the peer spoke too
	// AnsweredFirst and AnsweredLast are the times of the answered ones.
	AnsweredFirst, AnsweredLast int64
	// Answers is over how many messages of the peer that came: on UDP those
	// that answered or were answered, on TCP all sound ones on the owner's
	// connections. Reflections and copies of frames are not counted.
	Answers int

	// Marks is how many marks there were (see Kind Mark), and MarksAnswered how
	// many of them the peer answered, or on TCP, how many on connections on
	// which both ends spoke. They never count towards proof. FirstMark and
	// FirstMarkAnswered are the times of the first of either, Mark is what the
	// first one was, in plain words.
	Marks, MarksAnswered         int
	FirstMark, FirstMarkAnswered int64
	Mark                         string

	// OneWay says that nothing of the protocol was seen from the peer on the
	// flows that the owner spoke on. Whether the tap could have seen it is for
	// the caller to know.
	OneWay bool

	Seen     Tally // of all cards and channels
	Verified Tally // of those the peer answered for
	Changes  int   // times that another IMSI was seen in a channel

	// cards holds at most maxCards, by first sight. They are pointers because
	// fmt asks no method of what is not exported, and would print what lies
	// in place in clear.
	cards   []*Card
	dropped int    // cards forgotten that Sessions still counts
	opened  uint64 // how often Reopen was called
	number  uint64 // of this evidence, never used again
}

// Key names the evidence by protocol, role and peer, among those of one owner.
func (e *Evidence) Key() uint64 {
	peer := e.Peer.As16()
	return ident.Hash(ident.Hash(uint64(e.Role), []byte(e.Protocol)), peer[:])
}

// Reopen forgets what was counted, for a new epoch of the owner's line.
func (e *Evidence) Reopen() {
	e.First, e.Last, e.Sound, e.Answered, e.AnsweredFirst, e.AnsweredLast, e.Answers = 0, 0, 0, 0, 0, 0, 0
	e.Seen, e.Verified, e.Changes = Tally{}, Tally{}, 0
	e.Marks, e.MarksAnswered, e.FirstMark, e.FirstMarkAnswered, e.Mark = 0, 0, 0, 0, ""
	e.dropped += len(e.cards)
	e.cards = nil
	e.opened++ // answers to what came before are the old epoch's
}

// Channels is how many channels were told apart.
func (e *Evidence) Channels() int { return e.Seen.Channels }

// Cards gives a copy of what was seen together of cards and modules, by first
// sight; channels of which no identity was told are left out.
func (e *Evidence) Cards() []Card {
	var out []Card
	for _, c := range e.cards {
		if !c.IMSI.IsZero() || !c.IMEI.IsZero() || !c.ICCID.IsZero() {
			out = append(out, *c)
		}
	}
	return out
}

// Proof applies the rule of docs/verdict.md section 6. proof says that the
// owner is multi-SIM equipment. With oneWay too, nothing was seen of the peer,
// and that is enough for review and no more. reason says in plain words what
// there is, or the first thing that is missing.
func (e *Evidence) Proof() (proof, oneWay bool, reason string) {
	if e.Role != RoleGateway && e.Role != RoleBank {
		return false, false, "not in the role of a gateway or bank"
	}
	if e.OneWay {
		if s := missing(e.Sound, ProofOneWayRecords, e.Last-e.First, e.Seen.Identities()); s != "" {
			return false, false, s + ", peer not seen"
		}
		return true, true, fmt.Sprintf("%d sound records over %d s, %d channels or cards, peer not seen",
			e.Sound, (e.Last-e.First)/1e9, e.Seen.Identities())
	}
	if s := missing(e.Answered, ProofRecords, e.AnsweredLast-e.AnsweredFirst, e.Verified.Identities()); s != "" {
		return false, false, s + ", answered by the peer"
	}
	return true, false, fmt.Sprintf("%d answered records over %d s, %d channels or cards",
		e.Answered, (e.AnsweredLast-e.AnsweredFirst)/1e9, e.Verified.Identities())
}

func missing(records, want int, span int64, identities int) string {
	switch {
	case records < want:
		return fmt.Sprintf("%d of %d sound records", records, want)
	case span < ProofSpan:
		return fmt.Sprintf("%d of %d s between first and last record", span/1e9, ProofSpan/1e9)
	case identities < ProofIdentities:
		return fmt.Sprintf("%d of %d channels or cards", identities, ProofIdentities)
	}
	return ""
}

// card files what r tells and gives the card's place, -1 when there is nothing
// to file or no room.
func (e *Evidence) card(r *Record) (at int) {
	c := Card{Channel: r.Channel, IMSI: r.IMSI, IMEI: r.IMEI, ICCID: r.ICCID, Number: r.Number, First: r.Time, Last: r.Time}
	if c.empty() {
		return -1
	}
	at = -1
	latest := int64(-1 << 63)
	var before ident.IMSI // the channel's card so far
	for i := range e.cards {
		o := e.cards[i]
		if o.Channel != c.Channel {
			continue
		}
		if !o.IMSI.IsZero() && o.Last >= latest {
			latest, before = o.Last, o.IMSI
		}
		o.closed = o.closed || r.Reset
		// Of several that fit, the one seen last: a message that tells the
		// channel alone is about the card now in it.
		if o.fits(&c) && (at < 0 || o.Last >= e.cards[at].Last) {
			at = i
		}
	}
	if c.Channel != 0 && !c.IMSI.IsZero() && !before.IsZero() && before != c.IMSI {
		e.Changes++
	}
	if at < 0 {
		if len(e.cards) >= maxCards {
			return -1
		}
		e.cards = append(e.cards, &c)
		e.count(&e.Seen, len(e.cards)-1, Card{}, false)
		return len(e.cards) - 1
	}
	o := e.cards[at]
	o.Last = max(o.Last, c.Last)
	was := *o
	if o.shares(&c) {
		o.closed = false // it is in the channel again
		was.closed = false
	}
	o.fill(&c)
	if *o != was {
		e.count(&e.Seen, at, was, false)
		if o.Verified {
			e.count(&e.Verified, at, was, true)
		}
	}
	return at
}

// verify marks a card as one the peer answered for.
func (e *Evidence) verify(at int) {
	if at < 0 || at >= len(e.cards) || e.cards[at].Verified {
		return
	}
	e.cards[at].Verified = true
	e.count(&e.Verified, at, Card{}, true)
}

// verifyAll marks the cards that a message of time t told last.
func (e *Evidence) verifyAll(t int64) {
	for i, c := range e.cards {
		if c.Last == t {
			e.verify(i)
		}
	}
}

// count adds to t what card at tells anew: what was did not, and no other card
// does. verified leaves the others out that are not.
func (e *Evidence) count(t *Tally, at int, was Card, verified bool) {
	c := e.cards[at]
	channel := c.Channel != 0 && was.Channel == 0
	imsi := !c.IMSI.IsZero() && was.IMSI.IsZero()
	imei := !c.IMEI.IsZero() && was.IMEI.IsZero()
	iccid := !c.ICCID.IsZero() && was.ICCID.IsZero()
	for i := range e.cards {
		o := e.cards[i]
		if i == at || verified && !o.Verified {
			continue
		}
		channel = channel && o.Channel != c.Channel
		imsi = imsi && o.IMSI != c.IMSI
		imei = imei && o.IMEI != c.IMEI
		iccid = iccid && o.ICCID != c.ICCID
	}
	for _, v := range [...]struct {
		is bool
		n  *int
	}{{channel, &t.Channels}, {imsi, &t.IMSIs}, {imei, &t.IMEIs}, {iccid, &t.ICCIDs}} {
		if v.is {
			*v.n++
		}
	}
}

func (c *Card) empty() bool {
	return c.Channel == 0 && c.IMSI.IsZero() && c.IMEI.IsZero() && c.ICCID.IsZero()
}

// fits says whether c and o may be one card: no field that both tell differs,
// and one field at least is told by both.
func (c *Card) fits(o *Card) bool {
	if !c.IMSI.IsZero() && !o.IMSI.IsZero() && c.IMSI != o.IMSI ||
		!c.IMEI.IsZero() && !o.IMEI.IsZero() && c.IMEI != o.IMEI ||
		!c.ICCID.IsZero() && !o.ICCID.IsZero() && c.ICCID != o.ICCID {
		return false
	}
	if c.closed && !(o.IMSI.IsZero() && o.IMEI.IsZero() && o.ICCID.IsZero()) {
		return c.shares(o)
	}
	return c.Channel != 0 || c.shares(o)
}

// shares says whether both tell one identity.
func (c *Card) shares(o *Card) bool {
	return !c.IMSI.IsZero() && c.IMSI == o.IMSI ||
		!c.IMEI.IsZero() && c.IMEI == o.IMEI || !c.ICCID.IsZero() && c.ICCID == o.ICCID
}

// fill adds what o tells and c does not; the number is the latest told.
func (c *Card) fill(o *Card) {
	if c.IMSI.IsZero() {
		c.IMSI = o.IMSI
	}
	if c.IMEI.IsZero() {
		c.IMEI = o.IMEI
	}
	if c.ICCID.IsZero() {
		c.ICCID = o.ICCID
	}
	if !o.Number.IsZero() {
		c.Number = o.Number
	}
}
