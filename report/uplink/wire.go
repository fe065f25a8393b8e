package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report/outbox"
	"simtrap/report/reportpb"
	"simtrap/report/reportpb/reportpbconnect"
)

// The kinds of records in an outbox: the field numbers in reportpb.Record.
const (
	KindFinding     outbox.Kind = 3
	KindCall        outbox.Kind = 4
	KindControllers outbox.Kind = 5
	KindHealth      outbox.Kind = 6
	kindGap         outbox.Kind = 7
)

// The field numbers that Encode writes itself.
const (
	fieldRecords  = 1 // of reportpb.Batch
	fieldSequence = 1 // of reportpb.Record
)

// Payload gives what an outbox keeps of a record: the record without its sequence,
// which the outbox gives it.
func Payload(r *reportpb.Record) ([]byte, error) { return proto.Marshal(r) }

// Encode writes records as a reportpb.Batch. A record is appended to, not read:
// of a protobuf message fields may stand in any order.
func Encode(dst []byte, records []outbox.Record) ([]byte, error) {
	for i := range records {
		r := &records[i]
		payload := r.Payload
		if r.Kind == outbox.KindGap {
			var err error
			if payload, err = gap(r); err != nil {
				return nil, err
			}
		}
		dst = protowire.AppendTag(dst, fieldRecords, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(len(payload)+protowire.SizeTag(fieldSequence)+protowire.SizeVarint(r.Seq)))
		dst = append(dst, payload...)
		dst = protowire.AppendTag(dst, fieldSequence, protowire.VarintType)
		dst = protowire.AppendVarint(dst, r.Seq)
	}
	return dst, nil
}

// reasons of losses, as the schema numbers them.
var reasons = map[outbox.Reason]reportpb.LossReason{
	outbox.Limit:    reportpb.LossReason_LOSS_REASON_LIMIT,
	outbox.Space:    reportpb.LossReason_LOSS_REASON_SPACE,
	outbox.Failed:   reportpb.LossReason_LOSS_REASON_FAILED,
	outbox.Damaged:  reportpb.LossReason_LOSS_REASON_DAMAGED,
	outbox.PowerCut: reportpb.LossReason_LOSS_REASON_POWER_CUT,
	outbox.Refused:  reportpb.LossReason_LOSS_REASON_REFUSED,
	outbox.Crowded:  reportpb.LossReason_LOSS_REASON_CROWDED,
}

// gap gives the payload of a gap record.
func gap(r *outbox.Record) ([]byte, error) {
	g, err := r.Gap()
	if err != nil {
		return nil, err
	}
	m := &reportpb.Gap{Epoch: g.Epoch, From: g.From, To: g.To, First: timestamppb.New(g.First), Last: timestamppb.New(g.Last)}
	for _, l := range g.Lost {
		kind := uint32(l.Kind)
		switch l.Kind {
		case outbox.KindUnknown:
			kind = 0
		case outbox.KindGap:
			kind = uint32(kindGap)
		}
		m.Lost = append(m.Lost, &reportpb.Lost{Reason: reasons[l.Reason], Kind: kind, Count: l.Count})
	}
	return Payload(&reportpb.Record{Kind: &reportpb.Record_Gap{Gap: m}})
}

// GRPC is a Sender over simtrap.report.v1.ReportService.
type GRPC struct {
	client reportpbconnect.ReportServiceClient

	mu    sync.Mutex
	clock Clock
}

// Clock is how the clock of the centre stood against this machine's.
type Clock struct {
	// Ahead is by how much the centre's is fast; it is known to half a round trip.
	Ahead, Uncertainty time.Duration
	At                 time.Time // when it was measured; zero for never
}

// NewGRPC makes a Sender for the hub at an address "https://host:port". The client
// must speak HTTP/2.
func NewGRPC(client *http.Client, url string) *GRPC {
	return &GRPC{client: reportpbconnect.NewReportServiceClient(client, url, connect.WithGRPC(), connect.WithReadMaxBytes(64<<10))}
}

// Send implements Sender.
func (s *GRPC) Send(ctx context.Context, b Batch) (uint64, error) {
	sent := time.Now()
	m := &reportpb.SendRequest{Epoch: b.Epoch, FirstSequence: b.First, LastSequence: b.Last, SentAt: timestamppb.New(sent)}
	if b.Zstd {
		m.Content = &reportpb.SendRequest_BatchZstd{BatchZstd: b.Body}
	} else {
		batch := &reportpb.Batch{}
		if err := proto.Unmarshal(b.Body, batch); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		m.Content = &reportpb.SendRequest_Batch{Batch: batch}
	}
	answer, err := s.client.Send(ctx, connect.NewRequest(m))
	if err != nil {
		return 0, failure(err)
	}
	got, a := time.Now(), answer.Msg
	if t := a.GetReceivedAt(); t.IsValid() && t.AsTime().Unix() != 0 {
		half := got.Sub(sent) / 2
		s.mu.Lock()
		s.clock = Clock{Ahead: t.AsTime().Sub(sent.Add(half)), Uncertainty: half, At: got}
		s.mu.Unlock()
	}
	if a.GetEpoch() != b.Epoch {
		return 0, fmt.Errorf("the centre acknowledges epoch %d, of %d", a.GetEpoch(), b.Epoch)
	}
	if ms := a.GetRetryAfterMs(); ms > 0 {
		return a.GetAckedSequence(), &Busy{After: time.Duration(ms) * time.Millisecond}
	}
	return a.GetAckedSequence(), nil
}

// failure says what an error of the service means to an uplink.
func failure(err error) error {
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case connect.CodeResourceExhausted:
		var e *connect.Error
		busy := &Busy{}
		if errors.As(err, &e) {
			for _, name := range [...]string{"retry-after-ms", "retry-after"} {
				unit := "ms"
				if name == "retry-after" {
					unit = "s"
				}
				if d, err := time.ParseDuration(e.Meta().Get(name) + unit); err == nil && d > 0 {
					busy.After = d
					break
				}
			}
		}
		return busy
	}
	return err
}

// Clock gives what was measured last.
func (s *GRPC) Clock() Clock {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}
