package heuristics

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
	"simtrap/sip"
)

func TestCalleeOperators(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	for i, c := range []struct {
		operator string
		class    ident.NumberClass
	}{
		{"A", ident.NumberMobile}, {"A", ident.NumberMobile}, {"B", ident.NumberMobile},
		{"", ident.NumberMobile},    // of nobody that the plan knows
		{"B", ident.NumberLandline}, // no mobile
		{"B", ident.NumberMobile}, {"A", ident.NumberMobile},
	} {
		p.call(true, func(x *sip.Call) { x.CalleeKey, x.CalleeClass, x.CalleeOperator = uint64(100+i), c.class, c.operator })
	}
	p.call(true, func(x *sip.Call) { x.CalleeKey, x.CalleeClass, x.CalleeOperator = 100, ident.NumberMobile, "A" }) // called before
	if d := cmp.Diff([]uint32{2, 2}, p.counts(t, "callee-operators")); d != "" {
		t.Error(d)
	}
}

// A block of one operator is an exchange's; the market's shares say nothing
// against carriers and licensed gateways.
func TestCalleeOperatorsSeparate(t *testing.T) {
	lookalikes(t, "callee-operators", []int{25, 35}, 0.1, "carrier-sbc", "pstn-breakout")
	lookalikes(t, "callee-operators", []int{25, 35}, 0.5, "home", "office-phones", "call-centre", "hacked-pbx", "scanner-victim")
	lookalikes(t, "callee-operators", []int{58, 2}, 0.3, "carrier-sbc", "m2m-test-farm")
	m := testModel(t)
	counts := map[string][]int{ // a PBX with a block of mobile numbers
		"inbound-share": {114, 89}, "inbound-fanout": {0, 74, 40, 0, 0, 0, 0}, "concurrency": {40, 50, 60, 40, 13, 0}, "one-leg": {110, 4}, "clocks": {0},
	}
	before := m.Score(evidence(t, m, counts))
	counts["callee-operators"] = []int{39, 0}
	after := m.Score(evidence(t, m, counts))
	if a, b := before.Against(m, "anchored-pbx"), after.Against(m, "anchored-pbx"); b > a-0.5 {
		t.Errorf("a block of one operator leaves the margin against exchanges at %.2f, %.2f without", b, a)
	}
}
