package store

import (
	"context"
	"errors"
	"time"

	"simtrap/report/reportpb"
)

// What is linked is a Tenancy: what one line showed in one epoch of evidence,
// which is a finding and has its id. Not the line itself: an address that is
// given to another subscriber must not carry a box over to him.

// KeyKind is what a key is of.
type KeyKind int16

// Kinds of keys. A key never holds a text, only its hash under the hub's key.
const (
	KeyCard            KeyKind = 1 // an IMSI or an ICCID
	KeyAccount         KeyKind = 2 // one account; of a finding the 16 of lowest hash
	KeyContact         KeyKind = 3 // host and port behind the NAT
	KeyCNAME           KeyKind = 4 // RTCP CNAME
	KeyControllerStack KeyKind = 5 // controller's address and the line's header shape
	KeyController      KeyKind = 6 // controller's address, whatever its role
	KeySubscriber      KeyKind = 7 // who a sessions feed says had the line, at one sensor
	KeyAccountSet      KeyKind = 8 // all accounts of a finding, two or more
)

// Key is what tenancies may have in common.
type Key struct {
	Kind KeyKind
	Sum  [16]byte
}

// KeyOf gives the key of texts as a stored finding has them: one account, contact
// or CNAME; "imsi:" or "iccid:" before a card's; controller address and stack.
func KeyOf(kind KeyKind, texts ...string) Key {
	return Key{Kind: kind, Sum: derive(append([]string{"key"}, texts...)...)}
}

// Keys gives the keys of a stored finding, each once, in order of kind and sum,
// at most 512.
func Keys(sensor string, f *reportpb.Finding) []Key { return nil }

// Touched is a tenancy whose links are to be looked at again.
type Touched struct {
	Finding ID
	Stamp   int64 // of the touch: one that comes later has another
}

// Claim takes up to n touched tenancies that nobody else holds, for so long, the
// longest waiting first. owner is unique to the worker.
func (s *Store) Claim(ctx context.Context, owner string, n int, lease time.Duration) ([]Touched, error) {
	return nil, errors.ErrUnsupported
}

// Extend holds what owner claimed for so long from now, and gives how many of
// them he still has.
func (s *Store) Extend(ctx context.Context, owner string, ts []Touched, lease time.Duration) (int, error) {
	return 0, errors.ErrUnsupported
}

// Release gives back what owner claimed, at once.
func (s *Store) Release(ctx context.Context, owner string, ts []Touched) error {
	return errors.ErrUnsupported
}

// Touch puts tenancies in the queue.
func (s *Store) Touch(ctx context.Context, ids ...ID) error { return errors.ErrUnsupported }

// Queued is how many tenancies wait, claimed ones included.
func (s *Store) Queued(ctx context.Context) (int, error) { return 0, errors.ErrUnsupported }

// Tenancy is a finding as linking sees it.
type Tenancy struct {
	ID       ID
	Line     ID
	Sensor   string
	Since    time.Time // of the finding's first arrival or evidence, never changing
	Received time.Time
	Report   *reportpb.FindingRevision // identities keyed anew; Finding.Verdict is local
	Keys     []Key
	Box      ID     // zero for none
	Ring     ID     // zero for none
	Version  uint64 // of its links, 0 before the first
}

// Tenancies reads those of ids that exist, in the order of ids.
func (s *Store) Tenancies(ctx context.Context, ids []ID) ([]Tenancy, error) {
	return nil, errors.ErrUnsupported
}

// Bearers tells who bears a key.
type Bearers struct {
	Key   Key
	Total int  // tenancies of any verdict, counted up to the limit asked for
	More  bool // there are more than Total
	// Watch are those at watch or above, at most as many as asked for, in order of id.
	Watch     []ID
	WatchMore bool // there are more than are given
}

// Bearers tells who bears each of keys, in their order, counting to total and
// giving at most watch ids of each.
func (s *Store) Bearers(ctx context.Context, keys []Key, total, watch int) ([]Bearers, error) {
	return nil, errors.ErrUnsupported
}

// Census counts tenancies by verdict, over all sensors.
type Census struct {
	None, Watch, Review, Case uint64
}

// Census gives it.
func (s *Store) Census(ctx context.Context) (Census, error) {
	return Census{}, errors.ErrUnsupported
}

// Scope is what an edge says of its two ends.
type Scope int16

// Scopes of edges.
const (
	ScopeBox  Scope = 1 // one device
	ScopeRing Scope = 2 // one hand
)

// EdgeKind is what an edge rests on, numbered as simtrap.query.v1.LinkKind.
type EdgeKind int16

// Edge joins two tenancies, or speaks against their being joined.
type Edge struct {
	A, B   ID // A below B
	Kind   EdgeKind
	Scope  Scope
	Nats   float64 // natural logarithm of the likelihood ratio, negative if against
	Reason string  // in plain words
	Since  time.Time
}

// Box is one device as linking judged it. Members are tenancies.
type Box struct {
	ID          ID
	Ring        ID // zero for none
	Members     []ID
	Device      *reportpb.Device
	Cards       int
	Verdict     reportpb.Verdict
	First, Last time.Time
	Since       time.Time // when the store first had it; set by the store
	Left        int       // members that the limit on components left out
}

// Ring is boxes that one hand drives.
type Ring struct {
	ID          ID
	Boxes       []ID
	Lines       int // of distinct subscribers
	Sensors     []string
	Controllers []string
	Margin      *float64 // nats, nil below three lines
	Nearest     string
	Verdict     reportpb.Verdict
	First, Last time.Time
	Since       time.Time // when the store first had it; set by the store
	Left        int       // boxes that the limit on components left out
}

// Component is all that is joined to some tenancies, as it stands.
type Component struct {
	Tenancies []Tenancy // members of the boxes, and those asked for
	Edges     []Edge    // both ends among Tenancies
	Boxes     []Box
	Rings     []Ring
	More      bool // the limit was reached
}

// Component reads boxes and rings that ids belong to, whole, up to limit
// tenancies, with the edges among them and to those that they reach. An edge whose
// other end is not among Tenancies is left out.
func (s *Store) Component(ctx context.Context, ids []ID, limit int) (Component, error) {
	return Component{}, errors.ErrUnsupported
}

// Links is what a worker found out about some tenancies.
type Links struct {
	// Claimed are those that he held; they leave the queue unless touched again.
	Owner   string
	Claimed []Touched
	// Seen are all tenancies that the result rests on, with the version that each
	// had. If one has another by now nothing is saved.
	Seen map[ID]uint64
	// Judged are tenancies of which Edges has every edge: what else is stored of
	// them goes.
	Judged []ID
	Edges  []Edge
	// Boxes and Rings as they are now. A tenancy among Seen that is in none of
	// Boxes belongs to none.
	Boxes []Box
	Rings []Ring
	// Gone are boxes and rings that are no more.
	GoneBoxes, GoneRings []ID
}

// SaveLinks stores all of it or nothing, and raises the version of every tenancy
// among Seen. ErrConflict: somebody changed one of them meanwhile, or the claim
// was lost; read again.
func (s *Store) SaveLinks(ctx context.Context, l Links) error { return errors.ErrUnsupported }

// ControllerUse tells how much a controller is used.
type ControllerUse struct {
	Addr   string
	Lines  int // lines of any verdict that depend on it, counted up to the limit
	More   bool
	Review []ID // tenancies of these at review or above by themselves
}

// ControllerUse tells it for each of addrs, in their order, counting to limit.
func (s *Store) ControllerUse(ctx context.Context, addrs []string, limit int) ([]ControllerUse, error) {
	return nil, errors.ErrUnsupported
}

// ControllerVerdict is what a sensor is told about a controller of its lines.
type ControllerVerdict struct {
	Sensor  string
	Line    string // as in a finding; empty for all of the sensor's lines
	Addr    string
	Lines   uint64
	Review  uint64
	Nats    float64
	Ring    ID
	Expires time.Time
}

// SaveVerdicts sets what is said about the controllers addrs: all that stood
// before about them goes. The policy version of sensors that are told something
// new rises.
func (s *Store) SaveVerdicts(ctx context.Context, addrs []string, vs []ControllerVerdict) error {
	return errors.ErrUnsupported
}

// Verdicts gives what a sensor is told now, at most 10,000, the most nats first.
func (s *Store) Verdicts(ctx context.Context, sensor string, now time.Time) ([]ControllerVerdict, error) {
	return nil, errors.ErrUnsupported
}
