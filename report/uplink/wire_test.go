package uplink

import (
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"simtrap/report/outbox"
	"simtrap/report/reportpb"
)

// What an outbox lost is told as a gap of the schema, with the kinds and reasons
// of it.
func TestEncodeGap(t *testing.T) {
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	call := &reportpb.Record{KeyEpoch: 3, Kind: &reportpb.Record_Call{Call: &reportpb.Call{Line: "203.0.113.7"}}}
	p, err := Payload(call)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := box.Append(outbox.Record{Kind: KindCall, Payload: p}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := box.Batch(t.Context(), 1<<20, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Refuse(list[0].Epoch, list[0].Seq); err != nil {
		t.Fatal(err)
	}
	if list, err = box.Batch(t.Context(), 1<<20, 10); err != nil {
		t.Fatal(err)
	}
	body, err := Encode(nil, list)
	if err != nil {
		t.Fatal(err)
	}
	got := &reportpb.Batch{}
	if err := proto.Unmarshal(body, got); err != nil {
		t.Fatal(err)
	}
	if len(got.Records) != 2 {
		t.Fatalf("%v", got)
	}
	g := got.Records[1].GetGap()
	call.Sequence = list[0].Seq
	want := &reportpb.Batch{Records: []*reportpb.Record{call, {Sequence: list[1].Seq, Kind: &reportpb.Record_Gap{Gap: &reportpb.Gap{
		Epoch: list[0].Epoch, From: list[0].Seq - 1, To: list[0].Seq - 1, First: g.GetFirst(), Last: g.GetLast(),
		Lost: []*reportpb.Lost{{Reason: reportpb.LossReason_LOSS_REASON_REFUSED, Kind: 4, Count: 1}},
	}}}}}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for r := outbox.Limit; r <= outbox.Crowded; r++ {
		if reasons[r] == reportpb.LossReason_LOSS_REASON_UNSPECIFIED {
			t.Errorf("no reason for %v", r)
		}
	}
	if _, err := Encode(nil, []outbox.Record{{Kind: outbox.KindGap, Payload: []byte("broken")}}); err == nil {
		t.Error("a broken gap is encoded")
	}
}

func TestFailure(t *testing.T) {
	busy := func(name, value string) error {
		e := connect.NewError(connect.CodeResourceExhausted, errors.New("full"))
		if name != "" {
			e.Meta().Set(name, value)
		}
		return e
	}
	for _, c := range []struct {
		name  string
		err   error
		after time.Duration // -1 for what is not Busy
	}{
		{"no wish", busy("", ""), 0},
		{"milliseconds", busy("retry-after-ms", "1500"), 1500 * time.Millisecond},
		{"seconds", busy("retry-after", "7"), 7 * time.Second},
		{"nonsense", busy("retry-after", "soon"), 0},
		{"away", connect.NewError(connect.CodeUnavailable, errors.New("x")), -1},
	} {
		var b *Busy
		switch err := failure(c.err); {
		case errors.Is(err, ErrRefused):
			t.Errorf("%s: refused", c.name)
		case errors.As(err, &b) != (c.after >= 0) || b != nil && b.After != c.after:
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := failure(connect.NewError(connect.CodeInvalidArgument, errors.New("x"))); !errors.Is(err, ErrRefused) {
		t.Errorf("%v is not refused", err)
	}
}
