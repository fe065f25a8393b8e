package ident

// ClassOf gives the class of a number under the plan, so that whoever writes
// the number need not see it.
func (p *Plan) ClassOf(n Number) NumberClass {
	var buf [NumberBuffer]byte
	_, class := p.Classify([]byte(n.s), buf[:])
	return class
}

// Normal gives a number in the form that Classify gives, in which its pseudonym is
// the same however it was dialled. What is no number stays as it is.
func (p *Plan) Normal(n Number) Number {
	var buf [NumberBuffer]byte
	number, class := p.Classify([]byte(n.s), buf[:0])
	if class == NumberUnknown || class == NumberInternal || len(number) == 0 {
		return n
	}
	return Number{string(number)}
}
