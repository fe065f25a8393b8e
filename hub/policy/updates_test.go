package policy

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"simtrap/report/fleetpb"
)

func offer(sequence uint64, arch string) *fleetpb.UpdateOffer {
	return &fleetpb.UpdateOffer{Version: fmt.Sprint("1.", sequence), Arch: arch, Sequence: sequence, Floor: 1, Size: 10, Sha256: bytes.Repeat([]byte{byte(sequence)}, 32)}
}

func TestUpdates(t *testing.T) {
	m := &fleetpb.Policy{}
	change := func(do func(*fleetpb.Policy) (*fleetpb.Policy, error)) {
		t.Helper()
		next, err := do(m)
		if err != nil {
			t.Fatal(err)
		}
		m = next
	}
	change(Offer(offer(5, "amd64")))
	change(Offer(offer(5, "arm64")))
	change(Offer(offer(6, "amd64")))
	for name, do := range map[string]func(*fleetpb.Policy) (*fleetpb.Policy, error){
		"twice":          Offer(offer(6, "amd64")),
		"no hash":        Offer(&fleetpb.UpdateOffer{Sequence: 7, Size: 1}),
		"floor above":    Offer(&fleetpb.UpdateOffer{Sequence: 7, Floor: 8, Size: 1, Sha256: make([]byte, 32)}),
		"too large":      Offer(&fleetpb.UpdateOffer{Sequence: 7, Size: MaxBundle + 1, Sha256: make([]byte, 32)}),
		"more than all":  Stage(6, 1001, nil),
		"staged unknown": Stage(9, 1, nil),
		"gone unknown":   Withdraw(9),
	} {
		if _, err := do(m); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Known is not offered.
	if got := Offered(m.Updates, "north-1"); len(got) != 0 {
		t.Errorf("offered before it was staged: %v", got)
	}
	change(Stage(5, 0, []string{"north-1"}))
	got := Offered(m.Updates, "north-1")
	if len(got) != 2 || got[0].GetSequence() != 5 || len(got[0].GetSensors()) != 0 || len(Offered(m.Updates, "north-2")) != 0 {
		t.Errorf("offered by name: %v", got)
	}
	change(Stage(5, 1000, nil))
	if len(Offered(m.Updates, "south-9")) != 2 {
		t.Error("not offered to everybody")
	}
	// What is set from a file leaves updates alone.
	if next, err := Set(&fleetpb.Policy{})(m); err != nil || len(next.GetUpdates()) != 3 {
		t.Errorf("%v, %v", next, err)
	}
	change(Withdraw(5))
	if len(m.Updates) != 1 || len(Offered(m.Updates, "south-9")) != 0 {
		t.Errorf("withdrawn: %v", m.Updates)
	}
}

// A share is about as many as it says, and whoever was in it stays in a larger one.
func TestShares(t *testing.T) {
	in := func(sequence uint64, permille uint32) map[string]bool {
		o := offer(sequence, "amd64")
		o.Permille = permille
		got := make(map[string]bool)
		for i := range 2000 {
			if name := fmt.Sprint("sensor-", i); len(Offered([]*fleetpb.UpdateOffer{o}, name)) == 1 {
				got[name] = true
			}
		}
		return got
	}
	few, many := in(5, 100), in(5, 300)
	if len(few) < 140 || len(few) > 260 || len(many) < 500 || len(many) > 700 {
		t.Errorf("%d of 2000 at 10 %%, %d at 30 %%", len(few), len(many))
	}
	for name := range few {
		if !many[name] {
			t.Errorf("%s was in the smaller share and is not in the larger", name)
		}
	}
	same := 0
	for name := range in(6, 100) {
		if few[name] {
			same++
		}
	}
	if same > 60 {
		t.Errorf("%d of the same sensors are first with another update: want about 20", same)
	}
}
