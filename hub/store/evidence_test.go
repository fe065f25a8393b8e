package store

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestEvidence(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		e := Evidence{ID: ID{1}, Account: "ann", Authority: "case 2026-114", Made: noon, Expires: noon.Add(time.Hour), From: noon.Add(-time.Hour), Until: noon,
			Parts: []EvidencePart{{ID: ID{2}, Line: ID{3}, Sensor: "north", Name: "203.0.113.7", Most: 100}, {ID: ID{4}, Line: ID{5}, Sensor: "south", Name: "203.0.113.8", Most: 100}}}
		for _, bad := range []func(*Evidence){func(e *Evidence) { e.Authority = "" }, func(e *Evidence) { e.Parts = nil }, func(e *Evidence) { e.Expires = e.Made }, func(e *Evidence) { e.Account = "" }} {
			x := e
			bad(&x)
			if err := s.AddEvidence(ctx, x); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", x, err)
			}
		}
		if _, err := s.NextEvidence(ctx, "north", noon); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if err := s.AddEvidence(ctx, e); err != nil {
			t.Fatal(err)
		}
		got, err := s.NextEvidence(ctx, "north", noon)
		if err != nil || len(got.Parts) != 1 || got.Parts[0].Name != "203.0.113.7" || got.Authority != e.Authority || !got.From.Equal(e.From) || got.Parts[0].State != EvidenceWaiting {
			t.Fatalf("%+v, %v", got, err)
		}
		if _, err := s.NextEvidence(ctx, "west", noon); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		piece := func(sensor string, p EvidencePiece, now time.Time) error {
			p.Part = ID{2}
			_, err := s.AddEvidencePiece(ctx, sensor, p, now)
			return err
		}
		for _, x := range []struct {
			sensor string
			p      EvidencePiece
			now    time.Time
			want   error
		}{
			{"south", EvidencePiece{Data: []byte("x")}, noon, ErrNotFound}, // another's answer
			{"north", EvidencePiece{Data: []byte("x")}, e.Expires, ErrNotFound},
			{"north", EvidencePiece{Number: 1, Data: []byte("x")}, noon, ErrInvalid},
			{"north", EvidencePiece{Data: make([]byte, 101)}, noon, ErrFull},
			{"north", EvidencePiece{Data: make([]byte, maxPiece+1)}, noon, ErrInvalid},
			{"north", EvidencePiece{Refused: "no"}, noon, ErrInvalid},
			{"north", EvidencePiece{Data: []byte("first"), EndOfFile: true}, noon, nil},
			{"north", EvidencePiece{Data: []byte("again")}, noon, nil},
			{"north", EvidencePiece{Number: 1, Data: make([]byte, 96)}, noon, ErrFull},
			{"north", EvidencePiece{Number: 1, Done: true, Summary: []byte("all")}, noon, nil},
			{"north", EvidencePiece{Number: 2, Data: []byte("more")}, noon, ErrNotFound}, // it was whole
		} {
			if err := piece(x.sensor, x.p, x.now); !errors.Is(err, x.want) {
				t.Errorf("%s, %+v: %v", x.sensor, x.p.Number, err)
			}
		}
		if _, err := s.NextEvidence(ctx, "north", noon); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if n, err := s.AddEvidencePiece(ctx, "south", EvidencePiece{Part: ID{4}, Done: true, Refused: "not here"}, noon); err != nil || n != 1 {
			t.Error(n, err)
		}
		got, err = s.Evidence(ctx, e.ID, noon)
		if err != nil || len(got.Parts) != 2 || got.Parts[0].State != EvidenceDone || got.Parts[0].Bytes != 5 || string(got.Parts[0].Summary) != "all" || got.Parts[1].State != EvidenceRefused || got.Parts[1].Reason != "not here" {
			t.Errorf("%+v, %v", got, err)
		}
		if data, end, err := s.EvidencePieceOf(ctx, ID{2}, 0); string(data) != "first" || !end || err != nil {
			t.Error(string(data), end, err)
		}
		if data, end, err := s.EvidencePieceOf(ctx, ID{2}, 1); len(data) > 0 || end || err != nil {
			t.Error(string(data), end, err)
		}

		// The same account's request for the same is found, no other's.
		for what, c := range map[string]struct {
			change func(*Evidence)
			same   bool
		}{
			"same": {func(e *Evidence) { e.ID, e.Made = ID{}, noon.Add(time.Minute) }, true}, "account": {func(e *Evidence) { e.Account = "bob" }, false}, "authority": {func(e *Evidence) { e.Authority += "b" }, false},
			"case": {func(e *Evidence) { e.Case = ID{1} }, false}, "time": {func(e *Evidence) { e.From = noon.Add(-time.Minute) }, false}, "lines": {func(e *Evidence) { e.Parts = e.Parts[:1] }, false},
		} {
			x := e
			c.change(&x)
			if got, err := s.SameEvidence(ctx, x, noon); (err == nil) != c.same || c.same && got.ID != e.ID || err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v, %v", what, got.ID, err)
			}
		}
		if _, err := s.SameEvidence(ctx, e, e.Expires); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		// An account has so many, which takes none from others; what is dropped makes room.
		for i := range maxEvidenceEach {
			x := e
			x.ID, x.Account, x.Parts = ID{10, byte(i)}, "bob", []EvidencePart{{ID: ID{10, byte(i)}, Line: ID{1}, Sensor: "far", Name: "x", Most: 1}}
			if err := s.AddEvidence(ctx, x); err != nil {
				t.Fatal(i, err)
			}
		}
		more := e
		more.ID, more.Account, more.Parts = ID{11}, "bob", []EvidencePart{{ID: ID{11}, Line: ID{1}, Sensor: "far", Name: "x", Most: 1}}
		if err := s.AddEvidence(ctx, more); !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		for i := range maxEvidenceEach {
			if err := s.DropEvidence(ctx, ID{10, byte(i)}); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.Evidence(ctx, ID{10}, noon); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if _, err := s.NextEvidence(ctx, "far", noon); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}

		// What has expired is gone, and makes room.
		if _, err := s.Evidence(ctx, e.ID, e.Expires); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		for i := range maxEvidence - 1 {
			x := e
			x.Account = fmt.Sprint("ann", i/maxEvidenceEach)
			x.ID, x.Parts = ID{9, byte(i), byte(i >> 8)}, []EvidencePart{{ID: ID{8, byte(i), byte(i >> 8)}, Line: ID{1}, Sensor: "west", Name: fmt.Sprint(i), Most: 1}}
			if err := s.AddEvidence(ctx, x); err != nil {
				t.Fatal(i, err)
			}
		}
		x := e
		x.ID, x.Parts = ID{7}, []EvidencePart{{ID: ID{7}, Line: ID{1}, Sensor: "west", Name: "x", Most: 1}}
		if err := s.AddEvidence(ctx, x); !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		x.Made, x.Expires = e.Expires, e.Expires.Add(time.Hour)
		if err := s.AddEvidence(ctx, x); err != nil {
			t.Error(err)
		}
		if _, _, err := s.EvidencePieceOf(ctx, ID{2}, 0); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}

		// What may yet come counts as what has.
		x.Made, x.Expires = x.Expires, x.Expires.Add(time.Hour)
		large := func(id byte, most int64) error {
			x.ID, x.Parts = ID{6, id}, []EvidencePart{{ID: ID{6, id}, Line: ID{1}, Sensor: "east", Name: "x", Most: most}}
			return s.AddEvidence(ctx, x)
		}
		if err := large(1, maxEvidenceBytes-99); err != nil {
			t.Error(err)
		}
		if err := large(2, 100); !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		if err := large(2, 99); err != nil {
			t.Error(err)
		}
		if _, err := s.AddEvidencePiece(ctx, "east", EvidencePiece{Part: ID{6, 1}, Data: []byte("all"), Done: true}, x.Made); err != nil {
			t.Error(err)
		}
		if err := large(3, maxEvidenceBytes-102); err != nil {
			t.Error(err)
		}
		if err := large(4, 1); !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		if err := large(5, maxEvidenceBytes+1); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}

		// The chain of bundles has no forks.
		if b, err := s.LastBundle(ctx); err != nil || b.Number != 0 {
			t.Error(b, err)
		}
		first := Bundle{Number: 1, Evidence: ID{1}, Made: noon, Hash: [32]byte{1}}
		if err := s.AddBundle(ctx, first); err != nil {
			t.Error(err)
		}
		if err := s.AddBundle(ctx, Bundle{Number: 1, Hash: [32]byte{2}}); !errors.Is(err, ErrConflict) {
			t.Error(err)
		}
		if b, err := s.LastBundle(ctx); err != nil || b != first {
			t.Error(b, err)
		}
	})
}
