package sensor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
)

// taking is a hub that answers pieces as it is told.
type taking struct {
	fleetpbconnect.HeadersServiceClient
	answer func(*fleetpb.SendPieceRequest) error
	got    []*fleetpb.SendPieceRequest
}

func (h *taking) SendPiece(_ context.Context, r *connect.Request[fleetpb.SendPieceRequest]) (*connect.Response[fleetpb.SendPieceResponse], error) {
	h.got = append(h.got, &fleetpb.SendPieceRequest{Number: r.Msg.GetNumber(), Done: r.Msg.GetDone(), Refused: r.Msg.GetRefused()})
	if err := h.answer(r.Msg); err != nil {
		return nil, err
	}
	return connect.NewResponse(&fleetpb.SendPieceResponse{}), nil
}

// A hub that has no room is asked again, with longer and longer pauses, until nobody waits
// any more; one that takes no more than was asked for is not.
func TestPiecesAreGivenUp(t *testing.T) {
	for _, tt := range []struct {
		code        connect.Code
		want        error
		least, most int // tries in an hour
	}{
		{connect.CodeOutOfRange, errTooMuch, 1, 1},
		{connect.CodeResourceExhausted, context.DeadlineExceeded, 10, 40},
		{connect.CodeUnavailable, context.DeadlineExceeded, 10, 40},
	} {
		t.Run(tt.code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := &taking{answer: func(*fleetpb.SendPieceRequest) error { return connect.NewError(tt.code, errors.New("no")) }}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				p := pieces{&fetching{service: hub, log: zap.NewNop()}, []byte("request"), 3}
				if err := p.send(ctx, &fleetpb.SendPieceRequest{Data: []byte("x")}); !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if n := len(hub.got); n < tt.least || n > tt.most || p.next != 3 {
					t.Errorf("%d tries, the next is %d", n, p.next)
				}
			})
		})
	}
}

// What was begun and is more than the hub takes ends with a refusal as the next piece,
// which both sides have in writing.
func TestTooMuchIsRefused(t *testing.T) {
	hub := &taking{answer: func(r *fleetpb.SendPieceRequest) error {
		if r.GetDone() {
			return nil
		}
		return connect.NewError(connect.CodeOutOfRange, errors.New("more than was asked for"))
	}}
	folder := t.TempDir()
	x := &fetching{service: hub, log: zap.NewNop(), folder: folder}
	p := pieces{x, []byte("request"), 7}
	err := p.send(t.Context(), &fleetpb.SendPieceRequest{Data: []byte("x")})
	if !errors.Is(err, errTooMuch) {
		t.Fatal(err)
	}
	if err := x.refuse(t.Context(), p.id, p.next, headersEntry{Request: "72", Authority: "case 1"}, tooMuch); err != nil {
		t.Fatal(err)
	}
	if n := len(hub.got); n != 2 || hub.got[1].GetNumber() != 7 || !hub.got[1].GetDone() || hub.got[1].GetRefused() != tooMuch {
		t.Errorf("%v", hub.got)
	}
	b, err := os.ReadFile(filepath.Join(folder, headersLog))
	if err != nil {
		t.Fatal(err)
	}
	var e headersEntry
	if err := json.Unmarshal(b, &e); err != nil || e.Action != "refuse" || e.Reason != tooMuch || x.refused != 1 {
		t.Errorf("%s, %v; %d refused", b, err, x.refused)
	}
}
