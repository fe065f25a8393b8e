package store

import (
	"testing"

	"simtrap/report/reportpb"
)

func TestIngest(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north")
		r := deliver(t, s, "north", 1, revisionOf(1, 10, watch, "203.0.113.7"), revisionOf(2, 10, none, "203.0.113.8"))
		if r != (Receipt{Acked: 2, Stored: 2}) {
			t.Errorf("receipt %+v", r)
		}
		r = deliver(t, s, "north", 1, revisionOf(1, 10, watch, "203.0.113.7"), revisionOf(2, 11, none, "203.0.113.8"))
		if r != (Receipt{Acked: 2, Stored: 1, Older: 1}) {
			t.Errorf("receipt %+v", r)
		}
	})
}

func child() {}

var _ = reportpb.Verdict_VERDICT_NONE
