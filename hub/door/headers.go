package door

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
)

// headers gives sensors what people asked them for, and takes their answers.
type headers struct{ *Door }

const (
	maxPiece = 256 << 10       // bytes of a piece's data
	maxGive  = maxPiece + 4096 // of the request that brings it
	// headersWait is how long a sensor waits for a request in one call.
	headersWait = 30 * time.Second
)

// NextRequest implements fleetpbconnect.HeadersServiceHandler.
func (d headers) NextRequest(ctx context.Context, _ *connect.Request[fleetpb.NextRequestRequest]) (*connect.Response[fleetpb.NextRequestResponse], error) {
	from, err := asking(ctx)
	if err != nil {
		return nil, err
	}
	over := time.NewTimer(headersWait)
	defer over.Stop()
	tick := time.NewTicker(d.opt.Policy) // all sensors wait here, and each look costs the store two
	defer tick.Stop()
	for {
		e, err := d.store.NextEvidence(ctx, from.sensor, d.now())
		if err == nil {
			return connect.NewResponse(&fleetpb.NextRequestResponse{Request: headersRequest(&e)}), nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fleet(d).failed(ctx, "requests for headers were not read", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-d.closing:
			return nil, connect.NewError(connect.CodeUnavailable, errors.New("the hub is closing"))
		case <-over.C:
			return connect.NewResponse(&fleetpb.NextRequestResponse{}), nil
		case <-tick.C:
		}
		if _, x := d.admitted(ctx, trust.Identity{Sensor: from.sensor, Serial: from.serial}, d.now()); x != nil {
			d.meter.refuse(x.reason)
			return nil, x.connect()
		}
	}
}

func headersRequest(e *store.Evidence) *fleetpb.HeadersRequest {
	p := &e.Parts[0]
	r := &fleetpb.HeadersRequest{
		Id: p.ID[:], Line: p.Name, MaxBytes: uint64(p.Most - p.Bytes), Authority: e.Authority, Account: e.Account, Expires: timestamppb.New(e.Expires), Pieces: p.Pieces,
	}
	if !e.From.IsZero() {
		r.From = timestamppb.New(e.From)
	}
	if !e.Until.IsZero() {
		r.Until = timestamppb.New(e.Until)
	}
	return r
}

// SendPiece implements fleetpbconnect.HeadersServiceHandler.
func (d headers) SendPiece(ctx context.Context, r *connect.Request[fleetpb.SendPieceRequest]) (*connect.Response[fleetpb.SendPieceResponse], error) {
	from, err := asking(ctx)
	if err != nil {
		return nil, err
	}
	m := r.Msg
	bad := func(code connect.Code, format string, args ...any) error {
		d.meter.refuse("headers")
		return connect.NewError(code, fmt.Errorf(format, args...))
	}
	if len(m.GetId()) != len(store.ID{}) || len(m.GetData()) > maxPiece || m.GetRefused() != "" && !m.GetDone() {
		return nil, bad(connect.CodeInvalidArgument, "want the id of a request, at most %d bytes, and a refusal as the last word", maxPiece)
	}
	p := store.EvidencePiece{Part: store.ID(m.GetId()), Number: m.GetNumber(), Data: m.GetData(), EndOfFile: m.GetEndOfFile(), Done: m.GetDone(), Refused: plain(m.GetRefused())}
	if m.GetRefused() != "" && p.Refused == "" {
		p.Refused = "refused"
	}
	if m.GetSummary() != nil {
		if p.Summary, err = proto.Marshal(m.GetSummary()); err != nil {
			return nil, bad(connect.CodeInvalidArgument, "the summary: %w", err)
		}
	}
	n, err := d.store.AddEvidencePiece(ctx, from.sensor, p, d.now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, bad(connect.CodeNotFound, "nobody waits for this")
	case errors.Is(err, store.ErrFull):
		// Not the code that sensors try again after: it will be more the next time as well.
		return nil, bad(connect.CodeOutOfRange, "more than was asked for")
	case errors.Is(err, store.ErrInvalid):
		return nil, bad(connect.CodeInvalidArgument, "no piece that is next")
	case err != nil:
		return nil, fleet(d).failed(ctx, "headers were not kept", err)
	}
	if m.GetDone() {
		d.log.Info("a sensor answered a request for headers", zap.String("sensor", from.sensor), zap.Stringer("request", p.Part), zap.Uint64("pieces", n), zap.Bool("refused", p.Refused != ""))
	}
	return connect.NewResponse(&fleetpb.SendPieceResponse{Pieces: n}), nil
}
