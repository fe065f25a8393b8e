package query

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/bundles"
	"simtrap/hub/store"
	"simtrap/report/querypb"
	"simtrap/report/querypb/querypbconnect"
	"simtrap/report/reportpb"
)

// EvidenceStore is what of a store.Store requests for evidence need beside queries'.
type EvidenceStore interface {
	AddEvidence(context.Context, store.Evidence) error
	Evidence(ctx context.Context, id store.ID, now time.Time) (store.Evidence, error)
	SameEvidence(ctx context.Context, e store.Evidence, now time.Time) (store.Evidence, error)
	DropEvidence(ctx context.Context, id store.ID) error
}

// Bundles makes a bundle of what came, in a file that is closed to be rid of it.
type Bundles interface {
	Make(ctx context.Context, e store.Evidence, findings []*reportpb.Finding, left bundles.Left) (*os.File, error)
}

// Evidence answers simtrap.query.v1.EvidenceService: it asks sensors for headers, by way
// of the store, and gives what came as bundles.
type Evidence struct {
	s     *Service
	store EvidenceStore
	make  Bundles
}

var _ querypbconnect.EvidenceServiceHandler = (*Evidence)(nil)

// NewEvidence gives one beside a service of queries.
func NewEvidence(s *Service, st EvidenceStore, b Bundles) *Evidence { return &Evidence{s, st, b} }

const (
	// evidenceLife is how long sensors may take to answer, and for how long what came is
	// kept.
	evidenceLife = 24 * time.Hour
	// Bytes that are taken of one line, and of all lines of a request.
	maxLineBytes     = 64 << 20
	maxEvidenceBytes = 256 << 20
	maxEvidenceFinds = 1000 // findings in a bundle
)

// AskEvidence implements querypbconnect.EvidenceServiceHandler.
func (e *Evidence) AskEvidence(ctx context.Context, r *connect.Request[querypb.AskEvidenceRequest]) (*connect.Response[querypb.AskEvidenceResponse], error) {
	x, err := e.wanted(ctx, r.Msg)
	if err == nil {
		err = e.ask(ctx, &x)
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&querypb.AskEvidenceResponse{Evidence: e.row(&x)}), nil
}

// errEnough ends a list of lines of which more are not asked about.
var errEnough = errors.New("as many lines as may be")

// wanted is a request as it would be stored, after it was written down.
func (e *Evidence) wanted(ctx context.Context, m *querypb.AskEvidenceRequest) (x store.Evidence, err error) {
	s := e.s
	if _, err := s.admit(ctx); err != nil {
		return x, err
	}
	if m.GetAuthority() == "" {
		return x, invalid("authority: headers of a line's packets are fetched under one")
	}
	if len(m.GetLineIds()) > store.MaxEvidenceParts {
		return x, invalid("line_ids: %d, at most %d", len(m.GetLineIds()), store.MaxEvidenceParts)
	}
	from, until := m.GetFrom(), m.GetUntil()
	for _, t := range []*timestamppb.Timestamp{from, until} {
		if t != nil && (!t.IsValid() || t.AsTime().Year() > 2261 || t.AsTime().Year() < 1970) {
			return x, invalid("from and until: no time")
		}
	}
	v, err := s.look(ctx, "AskEvidence", m.GetAuthority(), m)
	if err != nil {
		return x, err
	}
	now := s.now().UTC()
	x = store.Evidence{Account: v.person.Account, Authority: v.authority, Made: now, Expires: now.Add(evidenceLife)}
	if from != nil {
		x.From = from.AsTime()
	}
	if until != nil {
		x.Until = until.AsTime()
	}
	seen := make(map[store.ID]bool)
	add := func(l *store.Line) error {
		if seen[l.ID] {
			return nil
		}
		seen[l.ID] = true
		if len(x.Parts) == store.MaxEvidenceParts {
			return errEnough
		}
		p := store.EvidencePart{Line: l.ID, Sensor: l.Sensor, Name: l.Name}
		rand.Read(p.ID[:]) // never fails
		x.Parts = append(x.Parts, p)
		return nil
	}
	for _, text := range m.GetLineIds() {
		key, err := s.storedLine(text)
		if err != nil {
			return x, invalid("line_ids: %w", err)
		}
		l, err := s.store.Line(ctx, key)
		if err == nil {
			err = add(&l)
		}
		if err != nil {
			return x, s.failed(ctx, err)
		}
	}
	if m.GetCaseId() != "" {
		if x.Case, err = id(m.GetCaseId()); err != nil {
			return x, err
		}
		// Those behind the bound are told in the bundle, and can be named.
		if err := e.caseLines(ctx, x.Case, add); err != nil && !errors.Is(err, errEnough) {
			return x, s.failed(ctx, err)
		}
	}
	if len(x.Parts) == 0 {
		return x, invalid("no line is named, nor one of the case known")
	}
	for i := range x.Parts {
		x.Parts[i].Most = min(maxLineBytes, int64(maxEvidenceBytes/len(x.Parts)))
	}
	return x, nil
}

// caseLines gives the lines of a case's boxes and rings.
func (e *Evidence) caseLines(ctx context.Context, id store.ID, line func(*store.Line) error) error {
	c, err := e.s.store.Case(ctx, id)
	if err == nil && len(c.Boxes)+len(c.Rings) > 0 {
		err = every(ctx, store.Filter{Cases: []store.ID{id}}, e.s.store.Lines, line)
	}
	return err
}

// ask stores a request, for its sensors to find.
func (e *Evidence) ask(ctx context.Context, x *store.Evidence) error {
	rand.Read(x.ID[:])
	switch err := e.store.AddEvidence(ctx, *x); {
	case errors.Is(err, store.ErrFull):
		return connect.NewError(connect.CodeResourceExhausted, errors.New("as much evidence waits as may: it is forgotten a day after it was asked for"))
	case err != nil:
		return e.s.failed(ctx, err)
	}
	for i := range x.Parts {
		x.Parts[i].State = store.EvidenceWaiting
	}
	return nil
}

func (e *Evidence) row(x *store.Evidence) *querypb.Evidence {
	m := &querypb.Evidence{Id: x.ID.String(), Account: x.Account, Authority: x.Authority, Asked: stamp(x.Made), Expires: stamp(x.Expires)}
	for _, p := range x.Parts {
		m.Parts = append(m.Parts, &querypb.EvidencePart{LineId: e.s.lineID(p.Line), Sensor: p.Sensor, State: querypb.EvidenceState(p.State), Bytes: uint64(max(p.Bytes, 0)), Reason: p.Reason})
	}
	return m
}

// get gives a request that whoever asks may see.
func (e *Evidence) get(ctx context.Context, text string) (Person, store.Evidence, error) {
	who, err := e.s.admit(ctx)
	if err != nil {
		return who, store.Evidence{}, err
	}
	if !who.Clear {
		return who, store.Evidence{}, connect.NewError(connect.CodePermissionDenied, errors.New("this account may not ask for evidence"))
	}
	key, err := id(text)
	if err != nil {
		return who, store.Evidence{}, err
	}
	x, err := e.store.Evidence(ctx, key, e.s.now())
	if err != nil {
		return who, x, e.s.failed(ctx, err)
	}
	return who, x, nil
}

// GetEvidence implements querypbconnect.EvidenceServiceHandler.
func (e *Evidence) GetEvidence(ctx context.Context, r *connect.Request[querypb.GetEvidenceRequest]) (*connect.Response[querypb.GetEvidenceResponse], error) {
	_, x, err := e.get(ctx, r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&querypb.GetEvidenceResponse{Evidence: e.row(&x)}), nil
}

// Gather asks sensors, gives them a time to answer, and writes the bundle of what came
// by then. It writes nothing when it fails before there is one. It goes on with what the
// same account has asked for already, and forgets the request when all that sensors
// answered was written.
func (e *Evidence) Gather(ctx context.Context, ask *querypb.AskEvidenceRequest, wait time.Duration, w io.Writer) error {
	asked, err := e.wanted(ctx, ask)
	if err != nil {
		return err
	}
	same, err := e.store.SameEvidence(ctx, asked, e.s.now().Add(wait+gatherTime))
	switch {
	case err == nil:
		asked = same
	case !errors.Is(err, store.ErrNotFound):
		return e.s.failed(ctx, err)
	default:
		if err := e.ask(ctx, &asked); err != nil {
			return err
		}
	}
	x := e.row(&asked)
	for end := time.Now().Add(wait); !answered(x) && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(evidencePoll):
		}
		got, err := e.GetEvidence(ctx, connect.NewRequest(&querypb.GetEvidenceRequest{Id: x.GetId()}))
		if err != nil {
			return err
		}
		x = got.Msg.GetEvidence()
	}
	if err := e.bundle(ctx, &querypb.FetchBundleRequest{Id: x.GetId()}, func(b []byte) error {
		_, err := w.Write(b)
		return err
	}); err != nil {
		return err
	}
	if answered(x) {
		if err := e.store.DropEvidence(context.WithoutCancel(ctx), asked.ID); err != nil {
			e.s.log.Warn("a request for evidence that was answered stands until it expires", zap.Error(err))
		}
	}
	return nil
}

// gatherTime is how long a request must last for a bundle to be made of it.
const gatherTime = 5 * time.Minute

// evidencePoll is how often the store is asked whether sensors have answered.
const evidencePoll = 500 * time.Millisecond

// answered says whether every sensor that was asked has given all or refused.
func answered(x *querypb.Evidence) bool {
	for _, p := range x.GetParts() {
		if p.GetState() != querypb.EvidenceState_EVIDENCE_STATE_DONE && p.GetState() != querypb.EvidenceState_EVIDENCE_STATE_REFUSED {
			return false
		}
	}
	return true
}

// FetchBundle implements querypbconnect.EvidenceServiceHandler.
func (e *Evidence) FetchBundle(ctx context.Context, r *connect.Request[querypb.FetchBundleRequest], out *connect.ServerStream[querypb.FetchBundleResponse]) error {
	return e.bundle(ctx, r.Msg, func(b []byte) error { return out.Send(&querypb.FetchBundleResponse{Data: b}) })
}

// bundle gives the bundle of what came, in pieces.
func (e *Evidence) bundle(ctx context.Context, r *querypb.FetchBundleRequest, send func([]byte) error) error {
	s := e.s
	_, x, err := e.get(ctx, r.GetId())
	if err != nil {
		return err
	}
	v, err := s.look(ctx, "FetchBundle", x.Authority, r)
	if err != nil {
		return err
	}
	select {
	case s.exports <- struct{}{}:
		defer func() { <-s.exports }()
	default:
		return connect.NewError(connect.CodeResourceExhausted, errors.New("as many exports as may run are running; ask again later"))
	}
	var lines []store.ID
	for _, p := range x.Parts {
		lines = append(lines, p.Line)
	}
	var findings []*reportpb.Finding
	var left bundles.Left
	if err := every(ctx, store.Filter{LineIDs: lines}, s.findings(v), func(f *store.Finding) error {
		if len(findings) == maxEvidenceFinds {
			left.Findings++
			return nil
		}
		if told := s.findingRow(f, v).GetFinding(); told != nil {
			findings = append(findings, told)
		}
		return nil
	}); err != nil {
		return s.failed(ctx, err)
	}
	if !x.Case.IsZero() {
		if err := e.caseLines(ctx, x.Case, func(l *store.Line) error {
			if !slices.Contains(lines, l.ID) {
				left.Lines++
			}
			return nil
		}); err != nil {
			return s.failed(ctx, err)
		}
	}
	f, err := e.make.Make(ctx, x, findings, left)
	if errors.Is(err, bundles.ErrNoKey) {
		return connect.NewError(connect.CodeFailedPrecondition, err)
	}
	if errors.Is(err, bundles.ErrStamp) { // its address is the operator's alone to read
		s.log.Error("no bundle of evidence is made", zap.Error(err))
		return connect.NewError(connect.CodeUnavailable, errors.New("the time-stamp service gave none: nothing is made; ask again"))
	}
	if err != nil {
		return s.failed(ctx, err)
	}
	defer f.Close()
	for b := make([]byte, 64<<10); ; {
		n, err := io.ReadFull(f, b)
		if n > 0 {
			if err := send(b[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return s.failed(ctx, err)
		}
	}
}
