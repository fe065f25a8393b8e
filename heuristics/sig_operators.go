package heuristics

import "fmt"

// Categories of callee-operators.
const (
	operatorSame = iota
	operatorOther
)

// calleeOperators counts whether a mobile number that was never called before
// belongs to the operator of the one before it: strangers' numbers are spread
// over the operators as the market is, an exchange's own block is of one.
func calleeOperators() signal {
	return signal{
		id: "callee-operators",
		counted: func(p *profile, c *callFact) int {
			if c.callee != fanMobile || c.CalleeOperator == "" {
				return none
			}
			before := p.traits.operator
			p.traits.operator = c.CalleeOperator
			switch before {
			case "":
				return none
			case c.CalleeOperator:
				return operatorSame
			}
			return operatorOther
		},
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s are of the same operator as the one before", n[operatorSame], plural(sum(n), "new mobile number"))
		},
		unseen: func(*profile) string { return "" },
	}
}
