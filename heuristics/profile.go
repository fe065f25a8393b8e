package heuristics

import (
	"simtrap/control"
	"simtrap/ident"
	"simtrap/ident/keyed"
	"simtrap/rtp"
	"simtrap/sip"
)

// profile is what is known of one line: facts that signals read, and the
// counts that they keep in Evidence. Everything in it is bounded.
type profile struct {
	line        ident.Line
	tap         *tap
	epoch       int64   // ns, when the counts were opened
	tenant      *tenant // as a feed of sessions tells, nil when it does not
	afterTenant bool    // its session has ended
	tenantSince int64   // what began earlier was somebody else's
	first       int64
	last        int64
	evidence    *Evidence
	traits      *traits  // there when evidence is
	prev, next  *profile // in the table's order of interest
	kept        bool     // has evidence of its own, see Lines.evict

	// What the line itself sent.
	sipUp   uint64 // packets
	mediaUp uint64 // confirmed streams
	hops    uint8  // least, of its packets
	firstUp int64  // time of the first packet

	open          map[uint64]*openCall // by callKey
	up            int                  // answered, supported calls now
	peakUp        int
	attemptsIn    int
	attemptsOut   int
	answered      int
	verified      int
	counted       int // supported calls
	accepted      int // of these, not refused
	firstCounted  int64
	lastCounted   int64
	inboundCounts int
	unsupported   int // inbound calls that only strangers vouch for

	called   keySet // called numbers of inbound calls
	dialled  keySet // called numbers of all supported inbound calls
	accounts map[uint64]*account
	own      map[uint64]int // accounts by user key
	peers    []peer         // in order of first sight

	legs          []leg // ended inbound calls that wait for their onward leg
	onward        []span
	legsLost      bool // there was no room for one of them
	voices        int  // supported calls with a confirmed stream of the line
	streams       int
	talk          int64   // ns of confirmed streams sent by the line
	unbound       []voice // confirmed streams of a line that shows no signalling
	clocks        []clock
	cnames        map[ident.CNAME]int // streams of the line that bore it
	named         int                 // streams that bore any
	userAgent     string
	vendorKind    int
	vendor, model string
	shape         uint64
	contact       string
	registrar     bool // it grants registrations: a server, not a subscriber
	refreshes     []int64

	control []*control.Evidence // in order of first sight
	banks   []*control.Evidence // of banks elsewhere, whose cards the line uses

	tunnel tunnelled

	firstHidden   int64  // SIP under a keystream
	hiddenTargets keySet // of its calls to the line

	judged     int64 // ns of the last judgement
	dirty      bool
	queued     bool // in Lines.touched
	gone       bool // no more in the table
	told       told
	under      string // hash of the catalogue that counts come from, if another
	verdict    Verdict
	reached    [Case + 1]Reach // of the verdicts up to this one
	proof      bool
	oneWay     bool // proof, if the peer could not be seen
	proofNote  string
	score      Score
	peakScore  float64
	peakMargin float64
	active     []Span
}

// tap is what all lines share: what the tap has shown of itself.
type tap struct {
	twoWay  bool      // both directions of some conversation
	web     int64     // when ordinary traffic of anybody was first seen
	places  Places    // may be nil
	tenancy Tenancies // may be nil
	hub     map[ident.Addr][]ControllerVerdict
	far     func(line ident.Line, far ident.Addr, role string, shape uint64, call bool, t int64) // may be nil
}

// voice is a stream that goes on, with what together asks of it side by side with
// those of the others.
type voice struct {
	s     *rtp.Stream
	start int64
	end   int64 // of s, or earlier: it only grows
}

// openCall is a call of the line that is not over.
type openCall struct {
	id       uint64
	inbound  bool
	counted  bool
	up       bool
	voice    bool // the line sent voice in it
	accepted bool // it rang, or more
	early    bool // before it answered
	answer   int64
	marks    []mark
	room     [20]mark
}

// mark is one event that a call counts: place in the model and category.
type mark struct{ signal, category int16 }

type account struct {
	key, userKey uint64
	account      ident.Account
	socket       uint64
	first, last  int64
	usual        int64 // least time between refreshes
	steady       int64 // since when it was never away
}

type peer struct {
	addr  ident.Addr
	roles [nRoles]uint32
}

// leg is a call that is over, waiting to be compared with what else the line
// did at the same times before it counts.
type leg struct {
	span
	call     uint64
	at       int64 // last message of it
	until    int64 // when it was told to be over
	marks    []mark
	voice    bool
	inbound  bool
	answered bool
	accepted bool // rang, or more
	verified bool
}

type span struct{ from, to int64 }

type clock struct{ ppm, err float64 }

// Limits of one profile. A gateway has at most some hundreds of channels; what
// does not fit is not evidence any more.
const (
	maxCalled    = 8192
	maxAccounts  = 512
	maxPeers     = 64
	maxLegs      = 4096
	maxClocks    = 64
	maxNames     = 16 // CNAMEs
	maxRefreshes = 64
	maxOpen      = 4096
	maxActive    = 32
	maxControl   = 64
	maxBanks     = 8
	maxClosed    = 4096 // findings of past epochs, over all lines
)

type role uint8

const (
	roleRegistrar role = iota
	roleTrunkPeer
	roleMedia
	roleSMSServer
	roleSIMBank
	roleManagement
	roleVPNPeer
	nRoles
)

func (r role) String() string {
	return [...]string{"registrar", "trunk-peer", "media", "sms-server", "sim-bank", "management", "vpn-peer"}[r]
}

// saw notes that a far end served the line in a role.
func (p *profile) saw(a ident.Addr, r role) {
	if a.IsZero() {
		return
	}
	if p.tap.far != nil {
		p.tap.far(p.line, a, r.String(), p.stack(), r == roleTrunkPeer, p.last)
	}
	x := p.peer(a)
	if x == nil {
		if len(p.peers) >= maxPeers {
			return
		}
		p.peers = append(p.peers, peer{addr: a})
		x = &p.peers[len(p.peers)-1]
	}
	x.roles[r]++
}

// peer gives what is known of a far end, nil when nothing is.
func (p *profile) peer(a ident.Addr) *peer {
	for i := range p.peers {
		if x := &p.peers[i]; x.addr == a {
			return x
		}
	}
	return nil
}

// activate extends the spans in which the line was active; a pause of ten
// minutes begins a new one.
func (p *profile) activate(t int64) {
	if n := len(p.active); n > 0 && t-p.active[n-1].To < 10*minute {
		p.active[n-1].To = max(p.active[n-1].To, t)
		return
	}
	if len(p.active) < maxActive {
		p.active = append(p.active, Span{t, t})
	} else {
		p.active[maxActive-1].To = t
	}
}

const (
	second = int64(1e9)
	minute = 60 * second
)

// supports says whether a call may count: the line itself sent packets of it,
// and where the other direction is visible, the other end showed that it had
// read them. A stranger who forges packets towards a line, or in its name,
// moves nothing.
func (t *tap) supports(c *sip.Call, inbound bool) bool {
	line, far := sip.SeenRequest, sip.SeenResponse
	if inbound {
		line, far = far, line
	}
	return !c.Doubtful && c.Seen&line != 0 && (c.Verified || c.Seen&far == 0 && !t.twoWay)
}

// standing is the verdict reached, with what holds only as long as the tap has
// shown one direction.
func (p *profile) standing() Verdict {
	if p.oneWay && !p.tap.twoWay {
		return max(p.verdict, Review)
	}
	return p.verdict
}

// keySet is a bounded set of hashes. Most of a line's are empty.
type keySet struct{ m *keyed.Map[struct{}] }

// n is how many there are.
func (s *keySet) n() int {
	if s.m == nil {
		return 0
	}
	return s.m.Len()
}

// add says whether k is new. A full set calls everything old.
func (s *keySet) add(k uint64, limit int) bool {
	if s.n() >= limit {
		return false
	}
	if s.m == nil {
		s.m = &keyed.Map[struct{}]{}
	}
	_, fresh := s.m.Ensure(k)
	return fresh
}
