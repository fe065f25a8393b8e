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
	"simtrap/report/reportpb"
)

// reports takes what sensors report.
type reports struct{ *Door }

// maxRetry is the longest wait that a sensor is asked for.
const maxRetry = time.Hour

// Send implements reportpbconnect.ReportServiceHandler.
func (d reports) Send(ctx context.Context, r *connect.Request[reportpb.SendRequest]) (*connect.Response[reportpb.SendResponse], error) {
	from, err := asking(ctx)
	if err != nil {
		return nil, err
	}
	m := r.Msg
	batch, err := d.read(ctx, m)
	if err == nil {
		err = check(m, batch)
	}
	if err != nil {
		if _, is := errors.AsType[*connect.Error](err); is {
			return nil, err
		}
		d.meter.refuse("malformed")
		d.log.Warn("a batch was refused", zap.String("sensor", from.sensor), zap.Error(err))
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	n := len(batch.GetRecords())
	started := time.Now()
	receipt, err := d.store.Ingest(ctx, store.Delivery{
		Sensor: from.sensor, Admitted: from.since, Epoch: m.GetEpoch(), First: m.GetFirstSequence(), Last: m.GetLastSequence(),
		Records: batch.GetRecords(), Owned: true, ReceivedAt: from.at, ClockDifference: difference(m.GetSentAt(), from.at),
	})
	switch {
	case errors.Is(err, store.ErrInvalid):
		d.meter.refuse("invalid")
		d.log.Warn("a batch was refused", zap.String("sensor", from.sensor), zap.Error(err))
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, store.ErrBusy):
		x := &refusal{reason: "busy", code: connect.CodeResourceExhausted, says: "more waits to be stored than is good", after: 2 * time.Second}
		d.meter.refuse(x.reason)
		return nil, x.connect()
	case errors.Is(err, store.ErrRevoked):
		d.meter.refuse("revoked")
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("the sensor is not admitted"))
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		d.meter.refuse("store")
		d.log.Error("a batch was not stored", zap.String("sensor", from.sensor), zap.Error(err))
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("the hub's store failed; send again later"))
	}
	d.meter.batches.Inc()
	d.meter.records.Add(float64(n))
	d.meter.stored.Observe(time.Since(started).Seconds())
	wait := min(d.took(from.sensor, n, from.at), maxRetry)
	return connect.NewResponse(&reportpb.SendResponse{
		Epoch: m.GetEpoch(), AckedSequence: receipt.Acked, ReceivedAt: timestamppb.New(from.at), RetryAfterMs: uint32(wait.Milliseconds()),
	}), nil
}

// read gives the batch of a request.
func (d reports) read(ctx context.Context, m *reportpb.SendRequest) (*reportpb.Batch, error) {
	packed, is := m.GetContent().(*reportpb.SendRequest_BatchZstd)
	if !is {
		return m.GetBatch(), nil // its parts were counted when it came
	}
	select {
	case d.reading <- struct{}{}:
		defer func() { <-d.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	plain, err := d.unpack.DecodeAll(packed.BatchZstd, nil)
	if err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	if len(plain) > maxBatch {
		return nil, fmt.Errorf("batch: %d bytes, at most %d", len(plain), maxBatch)
	}
	budget := maxParts
	if err := d.batch.count(plain, &budget, 0); err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	batch := &reportpb.Batch{}
	if err := proto.Unmarshal(plain, batch); err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	return batch, nil
}

// check says what is wrong with a batch as a whole. Single records that make no
// sense are for the store to count: they must not keep others from coming.
func check(m *reportpb.SendRequest, b *reportpb.Batch) error {
	switch {
	case b == nil || len(b.GetRecords()) == 0:
		return errors.New("no records")
	case len(b.GetRecords()) > maxRecords:
		return fmt.Errorf("%d records, at most %d", len(b.GetRecords()), maxRecords)
	case m.GetFirstSequence() == 0 || m.GetFirstSequence() > m.GetLastSequence():
		return fmt.Errorf("sequences %d to %d", m.GetFirstSequence(), m.GetLastSequence())
	}
	last := m.GetFirstSequence() - 1
	for i, r := range b.GetRecords() {
		if s := r.GetSequence(); s <= last || s > m.GetLastSequence() {
			return fmt.Errorf("record %d has sequence %d, after %d, of %d to %d", i, s, last, m.GetFirstSequence(), m.GetLastSequence())
		}
		last = r.GetSequence()
	}
	return nil
}

// difference is the sensor's wall clock less the hub's, the way between them left
// out of account; nil when the sensor did not say.
func difference(sent *timestamppb.Timestamp, received time.Time) *time.Duration {
	if sent == nil || !sent.IsValid() {
		return nil
	}
	d := sent.AsTime().Sub(received)
	return &d
}
