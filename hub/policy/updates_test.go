package policy

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

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
	with := func(spoil func(*fleetpb.UpdateOffer)) func(*fleetpb.Policy) (*fleetpb.Policy, error) {
		o := offer(7, "amd64")
		spoil(o)
		return Offer(o)
	}
	if _, err := with(func(o *fleetpb.UpdateOffer) { o.Version = strings.Repeat("1", 64) })(proto.CloneOf(m)); err != nil {
		t.Errorf("what is not spoilt: %v", err)
	}
	for name, do := range map[string]func(*fleetpb.Policy) (*fleetpb.Policy, error){
		"twice":          Offer(offer(6, "amd64")),
		"no hash":        with(func(o *fleetpb.UpdateOffer) { o.Sha256 = nil }),
		"floor above":    with(func(o *fleetpb.UpdateOffer) { o.Floor = 8 }),
		"too large":      with(func(o *fleetpb.UpdateOffer) { o.Size = MaxBundle + 1 }),
		"no version":     with(func(o *fleetpb.UpdateOffer) { o.Version = "" }),
		"bytes of shape": with(func(o *fleetpb.UpdateOffer) { o.Version = "1\x1b[2J" }),
		"a line more":    with(func(o *fleetpb.UpdateOffer) { o.Version = "1\n" }),
		"long version":   with(func(o *fleetpb.UpdateOffer) { o.Version = strings.Repeat("1", 65) }),
		"no arch":        with(func(o *fleetpb.UpdateOffer) { o.Arch = "" }),
		"shape of arch":  with(func(o *fleetpb.UpdateOffer) { o.Arch = "amd64\x07" }),
		"long arch":      with(func(o *fleetpb.UpdateOffer) { o.Arch = strings.Repeat("a", 65) }),
		"more than all":  Stage(6, 1001, nil),
		"no name":        Stage(6, 0, []string{"north-1", ""}),
		"name of shape":  Stage(6, 0, []string{"north\x1b"}),
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
	change(Stage(5, 0, []string{"north-3", "north-1", "north-3"}))
	if got := m.Updates[0].GetSensors(); !slices.Equal(got, []string{"north-1", "north-3"}) {
		t.Errorf("named: %q", got)
	}
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

// A share is about as many as it says, the same for each architecture, and whoever was in
// it stays in a larger one.
func TestShares(t *testing.T) {
	const names = 2000
	in := func(sequence uint64, arch string, permille uint32) map[string]bool {
		o := offer(sequence, arch)
		o.Sha256[0] ^= arch[0] // another bundle
		o.Permille = permille
		got := make(map[string]bool)
		for i := range names {
			if name := fmt.Sprint("sensor-", i); len(Offered([]*fleetpb.UpdateOffer{o}, name)) == 1 {
				got[name] = true
			}
		}
		return got
	}
	before := in(5, "amd64", 0)
	if len(before) != 0 {
		t.Errorf("%d in a share of nothing", len(before))
	}
	for permille := uint32(20); permille <= everybody; permille += 20 {
		now := in(5, "amd64", permille)
		// Five standard deviations of a draw.
		p := float64(permille) / everybody
		if off := math.Abs(float64(len(now)) - names*p); off > 5*math.Sqrt(names*p*(1-p)) {
			t.Errorf("%d of %d at %d permille", len(now), names, permille)
		}
		for name := range before {
			if !now[name] {
				t.Errorf("%s was in a smaller share and is not in %d permille", name, permille)
			}
		}
		before = now
	}
	few := in(5, "amd64", 100)
	if !maps.Equal(few, in(5, "other", 100)) {
		t.Error("other sensors are first for another architecture of the same version")
	}
	same := 0
	for name := range in(6, "amd64", 100) {
		if few[name] {
			same++
		}
	}
	if same > 60 {
		t.Errorf("%d of the same sensors are first with another version: want about 20", same)
	}
}
