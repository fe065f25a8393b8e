package sensor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/evidence/ring"
	"simtrap/report/fleet"
	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
	"simtrap/sensor/config"
)

// headersLog is the file in the state folder that says who fetched what, one JSON
// object a line. It is only appended to.
const headersLog = "headers.log"

const (
	maxHeadersLog   = 64 << 20  // bytes; then nothing is sent until somebody has moved it
	headersPiece    = 256 << 10 // bytes
	maxHeadersBytes = 1 << 30   // of one answer, whatever the hub asks for
	headersPatience = time.Minute
	headersAgainMin = time.Second
	headersAgainMax = 5 * time.Minute
	maxAuthority    = 1024 // bytes of it, and of other texts of the hub, in the log
)

// fetching answers what people asked the hub for: headers of one line, under an
// authority. It asks the hub; nobody asks it.
type fetching struct {
	headers *headers // nil where none are kept
	member  *fleet.Member
	service fleetpbconnect.HeadersServiceClient
	log     *zap.Logger
	folder  string
	version string
	config  func() *config.Config // as it is now
	ports   func() []*fleetpb.HeadersPort

	mu                      sync.Mutex
	answered, refused, sent uint64
	failure                 string
}

func newFetching(h *headers, m *fleet.Member, folder, version string, c func() *config.Config, ports func() []*fleetpb.HeadersPort, log *zap.Logger) *fetching {
	return &fetching{headers: h, member: m, log: log, folder: folder, version: version, config: c, ports: ports,
		service: fleetpbconnect.NewHeadersServiceClient(m.Client(), m.URL(), connect.WithGRPC(), connect.WithReadMaxBytes(64<<10))}
}

// run goes on until ctx is done.
func (x *fetching) run(ctx context.Context) {
	wait := headersAgainMin
	for ctx.Err() == nil {
		err := x.once(ctx)
		if ctx.Err() != nil {
			return
		}
		x.mu.Lock()
		x.failure = ""
		if err != nil && connect.CodeOf(err) != connect.CodeUnimplemented { // an older hub asks for none
			if x.failure = err.Error(); wait == headersAgainMin {
				x.log.Warn("the hub cannot be asked whether headers are wanted", zap.Error(err))
			}
		}
		x.mu.Unlock()
		if err == nil {
			wait = headersAgainMin
			continue
		}
		t := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		wait = min(2*wait, headersAgainMax)
	}
}

// once asks for a request and answers it.
func (x *fetching) once(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, headersPatience)
	defer cancel()
	answer, err := x.service.NextRequest(asking, connect.NewRequest(&fleetpb.NextRequestRequest{}))
	if err != nil {
		return err
	}
	r := answer.Msg.GetRequest()
	if r == nil {
		return nil
	}
	// The hub knows when nobody waits any more; it is not asked for longer than it says.
	ctx, cancel = context.WithDeadline(ctx, r.GetExpires().AsTime())
	defer cancel()
	err = x.answer(ctx, r)
	if connect.CodeOf(err) == connect.CodeNotFound {
		x.log.Info("nobody waits for the headers any more", zap.String("request", hex.EncodeToString(r.GetId())))
		return nil
	}
	return err
}

// headersEntry is a line of the log.
type headersEntry struct {
	At        time.Time  `json:"at"`
	Request   string     `json:"request"`
	Action    string     `json:"action"` // send: it is about to be sent; sent; refuse
	Line      string     `json:"line"`
	Authority string     `json:"authority"`
	Account   string     `json:"account"`
	From      *time.Time `json:"from,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
	Files     int        `json:"files"`
	Bytes     int64      `json:"bytes"`
	Reason    string     `json:"reason,omitempty"`
}

// write appends to the log, and says so only when it is on the disk.
func (x *fetching) write(e headersEntry) error {
	f, err := os.OpenFile(filepath.Join(x.folder, headersLog), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxHeadersLog {
		return fmt.Errorf("%s has more than %d bytes: move it away", headersLog, maxHeadersLog)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		return err
	}
	return f.Sync()
}

func short(s string) string { return s[:min(len(s), maxAuthority)] }

// answer sends what was asked for, or says why not.
func (x *fetching) answer(ctx context.Context, r *fleetpb.HeadersRequest) error {
	id := hex.EncodeToString(r.GetId())
	e := headersEntry{Request: id, Line: short(r.GetLine()), Authority: short(r.GetAuthority()), Account: short(r.GetAccount())}
	from, until := int64(0), int64(math.MaxInt64)
	if t := r.GetFrom(); t != nil {
		at := t.AsTime()
		e.From, from = &at, at.UnixNano()
	}
	if t := r.GetUntil(); t != nil {
		at := t.AsTime()
		e.Until, until = &at, at.UnixNano()
	}
	reason := x.forbids(r)
	// What is there now may not be what the pieces were of that the hub has.
	if reason == "" && r.GetPieces() > 0 {
		reason = "it was interrupted: ask again"
	}
	if reason != "" {
		return x.refuse(ctx, r.GetId(), r.GetPieces(), e, reason)
	}
	segments := x.headers.ring.Segments(r.GetLine(), from, until)
	summary := &fleetpb.HeadersSummary{Version: x.version, Ports: x.ports()}
	first, last := int64(math.MaxInt64), int64(0)
	room := min(r.GetMaxBytes(), maxHeadersBytes)
	begin := len(segments) // the newest of them that fit
	for begin > 0 && uint64(segments[begin-1].Size) <= room {
		begin--
		s := &segments[begin]
		room -= uint64(s.Size)
		e.Files++
		e.Bytes += s.Size
		first, last = min(first, s.First), max(last, s.Last)
		summary.Frames += uint64(s.Frames)
	}
	if len(segments) > 0 && e.Files == 0 {
		return x.refuse(ctx, r.GetId(), r.GetPieces(), e, "the least that there is of the line is more than was asked for")
	}
	if e.Files > 0 {
		summary.First, summary.Last = timestamppb.New(time.Unix(0, first)), timestamppb.New(time.Unix(0, last))
	}
	summary.Files, summary.LeftOut = uint64(e.Files), uint64(begin)
	for _, l := range x.headers.losses() {
		if l.Count > 0 {
			summary.Lost = append(summary.Lost, &fleetpb.HeadersLost{Reason: l.Reason, Count: l.Count})
		}
	}
	e.At, e.Action = time.Now().UTC(), "send"
	if err := x.write(e); err != nil {
		x.log.Error("headers are not sent: it could not be written down", zap.Error(err))
		return err
	}
	x.log.Info("headers are sent to the hub", zap.String("request", id), zap.String("authority", e.Authority), zap.String("account", e.Account), zap.Int("files", e.Files), zap.Int64("bytes", e.Bytes))
	p := pieces{x, r.GetId(), 0}
	for _, s := range segments[begin:] {
		gone, err := p.file(ctx, s)
		if errors.Is(err, errTooMuch) {
			return x.refuse(ctx, p.id, p.next, e, tooMuch)
		}
		if err != nil {
			return err
		}
		if gone {
			summary.LeftOut++
			summary.Files--
			summary.Frames -= uint64(s.Frames)
		}
	}
	if err := p.send(ctx, &fleetpb.SendPieceRequest{Done: true, Summary: summary}); err != nil {
		return err
	}
	x.count(&x.answered, 1)
	e.At, e.Action = time.Now().UTC(), "sent"
	if err := x.write(e); err != nil {
		x.log.Error("that headers were sent could not be written down", zap.Error(err))
	}
	return nil
}

func (x *fetching) count(n *uint64, more uint64) {
	x.mu.Lock()
	*n += more
	x.mu.Unlock()
}

// forbids says why a request is not answered; empty when it is.
func (x *fetching) forbids(r *fleetpb.HeadersRequest) string {
	c := x.config()
	switch {
	case x.headers == nil:
		return "no headers are kept (headers.keep)"
	case !c.Headers.Fetch:
		return "forbidden by the sensor (headers.fetch)"
	case r.GetAuthority() == "" || r.GetAccount() == "":
		return "no authority was named"
	}
	line, ok := x.headers.realms.Line(r.GetLine())
	if !ok || x.headers.options.LineName(line) != r.GetLine() {
		return "no line of this sensor's"
	}
	for _, p := range c.Never {
		if netip.Prefix(p).Contains(line.Addr.Netip()) {
			return "its address is under never"
		}
	}
	return ""
}

// tooMuch is why an answer is given up that the hub takes no more of.
const tooMuch = "the hub takes no more of it than it has: ask again for a shorter time"

// errTooMuch says that the hub will not take a piece, however often it is sent.
var errTooMuch = errors.New("the hub takes no more than was asked for")

// refuse says to the hub, as the piece of that number, that nothing more comes, and why.
func (x *fetching) refuse(ctx context.Context, request []byte, number uint64, e headersEntry, reason string) error {
	e.At, e.Action, e.Reason = time.Now().UTC(), "refuse", reason
	x.log.Warn("a request for headers is refused", zap.String("request", e.Request), zap.String("authority", e.Authority), zap.String("reason", reason))
	if err := x.write(e); err != nil {
		x.log.Error("that a request was refused could not be written down", zap.Error(err))
	}
	p := pieces{x, request, number}
	if err := p.send(ctx, &fleetpb.SendPieceRequest{Done: true, Refused: reason}); err != nil {
		return err
	}
	x.count(&x.refused, 1)
	return nil
}

// pieces numbers what is sent.
type pieces struct {
	x    *fetching
	id   []byte
	next uint64
}

// sound says whether a segment is as it was written, as far as can be told without the
// key. One that is not is set aside.
func (x *fetching) sound(s ring.Segment) bool {
	f, err := x.headers.ring.Open(s)
	if err != nil {
		return true // told by whoever sends it
	}
	defer f.Close()
	r, err := ring.NewReader(f, nil)
	for err == nil {
		_, _, err = r.Next()
	}
	if errors.Is(err, ring.ErrDamaged) {
		x.headers.ring.Aside(s, err)
		return false
	}
	return true
}

// file sends a segment; gone says that it was not there any more, or is damaged.
func (p *pieces) file(ctx context.Context, s ring.Segment) (gone bool, err error) {
	if !p.x.sound(s) {
		return true, nil
	}
	f, err := p.x.headers.ring.Open(s)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, min(headersPiece, s.Size))
	for left := s.Size; left > 0; {
		n, err := io.ReadFull(f, b[:min(int64(len(b)), left)])
		if err != nil {
			return false, err
		}
		left -= int64(n)
		if err := p.send(ctx, &fleetpb.SendPieceRequest{Data: b[:n], EndOfFile: left == 0}); err != nil {
			return false, err
		}
		p.x.count(&p.x.sent, uint64(n))
	}
	return false, nil
}

// send sends a piece until the hub has it, or says that it wants none: errTooMuch where it
// is more than it takes.
func (p *pieces) send(ctx context.Context, m *fleetpb.SendPieceRequest) error {
	m.Id, m.Number = p.id, p.next
	for wait := headersAgainMin; ; wait = min(2*wait, headersAgainMax) {
		try, cancel := context.WithTimeout(ctx, headersPatience)
		_, err := p.x.service.SendPiece(try, connect.NewRequest(m))
		cancel()
		switch code := connect.CodeOf(err); {
		case err == nil:
			p.next++
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case code == connect.CodeOutOfRange:
			return errTooMuch
		case code == connect.CodeNotFound || code == connect.CodeInvalidArgument || code == connect.CodePermissionDenied || code == connect.CodeUnimplemented:
			return err
		}
		t := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// status adds what was asked for.
func (x *fetching) status(s *HeadersStatus) {
	if x == nil || s == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s.Requests, s.Refused, s.Sent, s.Error = x.answered, x.refused, x.sent, x.failure
}
