// Package query answers people and programs: simtrap.query.v1 over what the hub
// has stored.
//
// Of a line's address answers show the network alone, unless the request names an
// authority, for which the asker needs the right, and which is audited before
// anything is answered. Ids of lines are turned by a key of the hub's before they
// are shown, since they are hashes of addresses, and addresses are few. Other
// identities are pseudonyms twice over; the hub holds none in clear.
package query

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"simtrap/hub/store"
	"simtrap/report/querypb/querypbconnect"
)

// Store is what of a store.Store queries need.
type Store interface {
	Findings(context.Context, store.Filter, store.Page) (store.List[store.Finding], error)
	Finding(context.Context, store.ID) (store.Finding, error)
	Lines(context.Context, store.Filter, store.Page) (store.List[store.Line], error)
	Line(context.Context, store.ID) (store.Line, error)
	LinesOf(context.Context, []store.ID) (map[store.ID]store.ID, error)
	LineAddrs(context.Context, []netip.Addr) (map[netip.Addr]bool, error)
	Revisions(context.Context, store.ID) ([]store.Revision, error)
	Calls(context.Context, store.ID, int) ([]store.Call, error)
	LatestPolicy(context.Context) (store.Policy, error)
	Busiest(ctx context.Context, n int) ([]store.Controller, error)
	Boxes(context.Context, store.Filter, store.Page) (store.List[store.BoxRow], error)
	Box(context.Context, store.ID) (store.BoxRow, error)
	Edges(context.Context, []store.ID, int) ([]store.Edge, error)
	Rings(context.Context, store.Filter, store.Page) (store.List[store.Ring], error)
	Ring(context.Context, store.ID) (store.Ring, error)
	Controllers(context.Context, store.Filter, store.Page) (store.List[store.Controller], error)
	Controller(context.Context, netip.Addr, string) (store.Controller, error)
	Cards(context.Context, store.Filter, store.Page) (store.List[store.Card], error)
	Card(context.Context, store.ID) (store.Card, error)
	Sensors(context.Context, store.Filter, store.Page) (store.List[store.Sensor], error)
	Sensor(context.Context, string) (store.Sensor, error)
	Cases(context.Context, store.Filter, store.Page) (store.List[store.Case], error)
	Case(context.Context, store.ID) (store.Case, error)
	Comments(context.Context, store.ID, int) ([]store.Comment, error)
	Outcomes(context.Context, store.ID, int) ([]store.FindingOutcome, []store.Finding, error)
	AddCase(context.Context, store.Case) error
	PutCase(context.Context, store.Case) error
	AddComment(context.Context, store.Comment) error
	SetOutcome(context.Context, store.FindingOutcome) error
}

// Person is who asks.
type Person struct {
	Account string
	Reads   bool // may see what the hub shows of its findings
	Clear   bool // may see addresses of lines, under an authority, and work on cases
}

// People tells who asks. An error means that nobody is known to.
type People interface {
	Who(context.Context) (Person, error)
}

// Use is one use of an authority, or one change of a case or an outcome.
type Use struct {
	Account   string
	Action    string // "clear" or "change"
	Authority string // empty for a change
	// What was asked, as the method's name and the request in JSON.
	Method, Request string
}

// Audit writes down uses of an authority and changes, before they are answered or
// made. When it fails there is neither.
type Audit interface {
	Used(context.Context, Use) error
}

// Options of a service.
type Options struct {
	Store  Store
	People People
	Audit  Audit
	// Key, 32 bytes, secret: ids of lines and page tokens are made with it. The
	// hubs of one store need the same.
	Key []byte
	// Now gives the wall clock; nil for time.Now.
	Now func() time.Time
	// Log tells failures of the store; nil for nowhere.
	Log *zap.Logger
	// Exports is how many exports run side by side; 0 for 4.
	Exports int
}

// Service answers simtrap.query.v1.
type Service struct {
	querypbconnect.UnimplementedQueryServiceHandler
	store    Store
	people   People
	audit    Audit
	now      func() time.Time
	log      *zap.Logger
	ids      cipher.Block
	pages    cipher.AEAD
	register []byte // key of ids of declared gateways
	exports  chan struct{}
}

var _ querypbconnect.QueryServiceHandler = (*Service)(nil)

// New gives a service. It fails for a key that is not 32 bytes.
func New(o Options) (*Service, error) {
	if len(o.Key) != 32 {
		return nil, fmt.Errorf("key of queries: %d bytes, want 32", len(o.Key))
	}
	s := &Service{store: o.Store, people: o.People, audit: o.Audit, now: o.Now, log: o.Log}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	n := o.Exports
	if n <= 0 {
		n = 4
	}
	s.exports = make(chan struct{}, n)
	var err error
	if s.ids, err = aes.NewCipher(derive(o.Key, "query line ids")); err != nil {
		return nil, err
	}
	s.register = derive(o.Key, "query gateway ids")
	block, err := aes.NewCipher(derive(o.Key, "query page tokens"))
	if err != nil {
		return nil, err
	}
	s.pages, err = cipher.NewGCMWithRandomNonce(block)
	return s, err
}

// derive gives a key for one purpose.
func derive(key []byte, purpose string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// lineID gives the id of a line as answers show it.
func (s *Service) lineID(id store.ID) string {
	if id.IsZero() {
		return ""
	}
	s.ids.Encrypt(id[:], id[:])
	return id.String()
}

func (s *Service) lineIDs(ids []store.ID) []string {
	var texts []string
	for _, id := range ids {
		texts = append(texts, s.lineID(id))
	}
	return texts
}

// storedLine is the inverse of lineID.
func (s *Service) storedLine(text string) (store.ID, error) {
	id, err := store.ParseID(text)
	if err != nil {
		return id, err
	}
	s.ids.Decrypt(id[:], id[:])
	return id, nil
}

// Bounds of requests.
const (
	maxRequest   = 256 << 10 // bytes, for whoever mounts the service
	maxAuthority = 200       // characters
	maxWritten   = 30 << 10  // bytes of a request that the audit log is to hold whole
	maxValues    = 100       // of one field of a filter
	maxValue     = 200       // bytes of one of them
	defaultPage  = 100       // rows
	maxPage      = 1000      // rows
	maxRounds    = 16        // reads of the store for one page
	maxLinks     = 10_000    // of one box that is asked for
	maxListLinks = 100       // of one box in a list
	maxComments  = 1000      // of one case that is asked for
)

// HandlerOptions bound what is read of a request.
func HandlerOptions() []connect.HandlerOption {
	return []connect.HandlerOption{connect.WithReadMaxBytes(maxRequest)}
}

// invalid is what nobody can ask.
func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

// failed makes an answer of an error of the store. What only the operator should
// read goes to the log.
func (s *Service) failed(ctx context.Context, err error) error {
	if _, is := errors.AsType[*connect.Error](err); is {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, store.ErrNotFound):
		return connect.NewError(connect.CodeNotFound, errors.New("there is none of that id"))
	case errors.Is(err, store.ErrInvalid):
		return invalid("the hub's store has no list by these fields together")
	case errors.Is(err, store.ErrBusy):
		return connect.NewError(connect.CodeUnavailable, errors.New("the hub is busy; ask again"))
	}
	s.log.Error("query failed", zap.Error(err))
	return connect.NewError(connect.CodeInternal, errors.New("the hub's store failed; its log says how"))
}
