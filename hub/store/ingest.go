package store

import (
	"context"
	"errors"
	"time"

	"simtrap/report/reportpb"
)

// Delivery is one batch of one sensor's outbox.
type Delivery struct {
	Sensor          string // by its certificate
	Epoch           uint64 // of the outbox
	First, Last     uint64 // sequences; some between may be missing
	Records         []*reportpb.Record
	ReceivedAt      time.Time
	ClockDifference *time.Duration // sensor's wall clock less the hub's; nil if not measured
}

// Receipt tells what a delivery has changed.
type Receipt struct {
	Acked   uint64 // sequence up to which everything given is committed
	Stored  int    // records that changed something
	Older   int    // records that were known, or overtaken
	Unknown int    // records of a kind not known here
	Refused int    // records that made no sense
}

// Ingest stores a delivery and returns when it is committed. What was stored
// before changes nothing; of one finding the highest revision holds. Deliveries
// of several sensors share a transaction. Of an error nothing was stored, or it
// is not known whether: sending again is right in both cases. ErrInvalid: never
// send it again; ErrBusy: later; ErrRevoked: the sensor is not admitted.
//
// Records are changed: their identities are keyed anew in place.
func (s *Store) Ingest(ctx context.Context, d Delivery) (Receipt, error) {
	return Receipt{}, errors.ErrUnsupported
}
