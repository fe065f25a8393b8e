package querytest

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// Fill puts what Filled has into a real store, as sensors and linking would: the
// findings that change is called with before each is sent, the box and the ring, a
// case, outcomes. It gives the ids of the first three findings.
func Fill(ctx context.Context, s *store.Store, others int, change func(*reportpb.Finding)) (ids [3]store.ID, err error) {
	at := Day()
	for _, name := range []string{"north", "south"} {
		hash := [32]byte(append([]byte(name), make([]byte, 32)...))
		if err := s.AddToken(ctx, store.Token{Hash: hash, Sensor: name, By: "test", Made: at, Expires: at.Add(time.Hour)}); err != nil {
			return ids, err
		}
		if _, err := s.TakeToken(ctx, hash, at, func(string) (store.Admission, error) {
			return store.Admission{Serial: "serial of " + name, Given: at, Ends: at.Add(720 * time.Hour)}, nil
		}); err != nil {
			return ids, err
		}
	}
	var records []*reportpb.Record
	var keys [][]byte
	sequence := uint64(0)
	send := func() error {
		if len(records) == 0 {
			return nil
		}
		_, err := s.Ingest(ctx, store.Delivery{Sensor: "north", Epoch: 1, First: records[0].Sequence, Last: sequence, Records: records, ReceivedAt: at.Add(time.Hour)})
		records = nil
		return err
	}
	for i, f := range Filled(others).FindingRows {
		r := proto.CloneOf(f.Report)
		r.Id = binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i+1))
		r.EpochStart = stamp(at)
		if change != nil {
			change(r.Finding)
		}
		keys = append(keys, r.Id)
		sequence++
		records = append(records, &reportpb.Record{Sequence: sequence, KeyEpoch: 1, Kind: &reportpb.Record_Finding{Finding: r}})
		if len(records) == 1000 {
			if err := send(); err != nil {
				return ids, err
			}
		}
	}
	sequence++
	records = append(records, &reportpb.Record{Sequence: sequence, Kind: &reportpb.Record_Health{Health: &reportpb.Health{
		At: stamp(at), Version: "v1.0.0", Catalogue: 7, Started: stamp(at), PacketTime: stamp(at), Alarms: []*reportpb.Alarm{{Id: "port-silent", Since: stamp(at)}},
	}}})
	if err := send(); err != nil {
		return ids, err
	}
	seen := make(map[store.ID]uint64)
	for i := range ids {
		ids[i] = store.FindingID("north", keys[i])
		seen[ids[i]] = 0
	}
	a, b := ids[0], ids[1]
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	margin := 9.5
	box := func(n int, members ...store.ID) store.Box {
		return store.Box{ID: ID(n), Ring: ID(21), Members: members, Device: &reportpb.Device{Vendor: "Hybertone", Model: Model, Channels: 8}, Cards: 1, Verdict: reportpb.Verdict_VERDICT_CASE, First: at, Last: at.Add(2 * time.Hour)}
	}
	if err := s.SaveLinks(ctx, store.Links{
		Seen: seen, Judged: ids[:],
		Edges: []store.Edge{{A: a, B: b, Kind: 1, Scope: store.ScopeBox, Nats: 12.5, Reason: "the same card", Since: at}},
		Boxes: []store.Box{box(11, a, b), box(12, ids[2])},
		Rings: []store.Ring{{ID: ID(21), Boxes: []store.ID{ID(11), ID(12)}, Lines: 3, Sensors: []string{"north"}, Controllers: []string{"198.51.100.9"}, Margin: &margin, Nearest: "hosted-pbx", Verdict: reportpb.Verdict_VERDICT_CASE, First: at, Last: at.Add(2 * time.Hour)}},
	}); err != nil {
		return ids, fmt.Errorf("links: %w", err)
	}
	if err := s.AddCase(ctx, store.Case{ID: ID(41), Title: "three homes, one box", State: store.CaseHandedOver, Owner: "lee", Rings: []store.ID{ID(21)}, Opened: at}); err != nil {
		return ids, fmt.Errorf("case: %w", err)
	}
	for i, o := range []store.Outcome{store.OutcomeConfirmed, store.OutcomeInnocent} {
		if err := s.SetOutcome(ctx, store.FindingOutcome{Finding: ids[i], Outcome: o, Case: ID(41), By: "lee", At: at, Note: "found behind the fridge"}); err != nil {
			return ids, fmt.Errorf("outcome: %w", err)
		}
	}
	return ids, nil
}
