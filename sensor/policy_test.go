package sensor

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report/fleetpb"
)

// A line of IPv6 is a prefix; who knows a gateway knows its address.
func TestRegister(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var r register
	var list []*fleetpb.DeclaredGateway
	for line, life := range map[string]time.Duration{
		"10.1.2.3": time.Hour, "2001:db8:1:2::/64": time.Hour, "2001:db8:3:4::5": time.Hour, "north/2001:db8:5:6::7": time.Hour,
		"2001:db8:7:8::1": -time.Hour, "2001:db8:9:a::1": -time.Hour, "2001:db8:9:a::2": time.Hour, "north/10.1.2.4": time.Hour,
	} {
		list = append(list, &fleetpb.DeclaredGateway{Line: line, Reason: "r", Owner: "o", Expires: timestamppb.New(at.Add(life))})
	}
	if err := r.set(list); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		bits uint8
		want bool
	}{
		{"10.1.2.3", 0, true},
		{"10.1.2.4", 0, false},
		{"north/10.1.2.4", 0, true},
		{"2001:db8:1:2::/64", 64, true},
		{"2001:db8:3:4::/64", 64, true},
		{"2001:db8:3:5::/64", 64, false},
		{"2001:db8:3::/56", 56, true},
		{"2001:db8:3:100::/56", 56, false},
		{"2001:db8:3:4::5", 0, true},
		{"2001:db8:3:4::6", 0, false},
		{"north/2001:db8:5:6::/64", 64, true},
		{"2001:db8:5:6::/64", 64, false},
		{"north/2001:db8:3:4::/64", 64, false},
		{"2001:db8:7:8::/64", 64, false},
		{"2001:db8:9:a::/64", 64, true},
	} {
		if got := r.holds(c.line, c.bits, at.UnixNano()); got != c.want {
			t.Errorf("%s is declared: %v", c.line, got)
		}
	}
	if err := r.set(nil); err != nil || r.holds("2001:db8:3:4::/64", 64, at.UnixNano()) {
		t.Errorf("declared after all were taken off: %v", err)
	}
}
