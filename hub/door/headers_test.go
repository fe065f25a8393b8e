package door

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"

	"simtrap/report/fleetpb"
)

// A sensor that answers at length reports all the same, and so do others: pieces of
// headers have a rate and slots of their own, which end too.
func TestPiecesLeaveRoomForReports(t *testing.T) {
	give := func(a *appliance, is string, want connect.Code) {
		t.Helper()
		_, err := a.headers().SendPiece(t.Context(), connect.NewRequest(&fleetpb.SendPieceRequest{Id: make([]byte, 16), Data: make([]byte, maxPiece)}))
		code(t, is, err, want)
	}
	report := func(a *appliance, sequence uint64, is string) {
		t.Helper()
		if _, err := a.send(finding(sequence, 1, sequence, "203.0.113.7")); err != nil {
			t.Errorf("%s: %v", is, err)
		}
	}
	t.Run("rate", func(t *testing.T) {
		h := run(t, Options{Limits: Limits{Requests: 0.001, RequestsAhead: 3, Pieces: 0.001, PiecesAhead: 5, Records: 0.001, RecordsAhead: 2}})
		a := h.enrolled("north-1")
		for range 6 {
			give(a, "a piece", connect.CodeNotFound)
		}
		give(a, "one too many", connect.CodeResourceExhausted)
		report(a, 1, "a report after many pieces")
		b := h.enrolled("north-2")
		for n := range uint64(4) {
			b.send(finding(n+1, 1, n+1, "203.0.113.7"))
		}
		if _, err := b.send(finding(9, 1, 9, "203.0.113.7")); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("reports have no end: %v", err)
		}
		give(b, "a piece after many reports", connect.CodeNotFound)
	})
	t.Run("slots", func(t *testing.T) {
		h := run(t, Options{Limits: Limits{Batches: 1, Giving: 1}})
		a := h.enrolled("north-1")
		h.door.giving <- struct{}{}
		give(a, "a second piece", connect.CodeResourceExhausted)
		report(a, 1, "a report beside a piece")
		<-h.door.giving
		h.door.batches <- struct{}{}
		give(a, "a piece beside a batch", connect.CodeNotFound)
		<-h.door.batches
	})
}

// Who waits for a request costs the store a look each Policy, not more.
func TestWaitingForRequests(t *testing.T) {
	h := run(t, Options{Policy: 2 * time.Second})
	a := h.enrolled("north-1")
	ctx, cancel := context.WithTimeout(t.Context(), 1300*time.Millisecond)
	defer cancel()
	_, err := a.headers().NextRequest(ctx, connect.NewRequest(&fleetpb.NextRequestRequest{}))
	code(t, "nothing is wanted", err, connect.CodeDeadlineExceeded)
	if n := h.store.asked.Load(); n != 1 {
		t.Errorf("%d looks", n)
	}
}
