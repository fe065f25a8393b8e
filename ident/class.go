package ident

// ClassOf gives the class of a number under the plan, so that whoever writes
// the number need not see it.
func (p *Plan) ClassOf(n Number) NumberClass {
	var buf [NumberBuffer]byte
	_, class := p.Classify([]byte(n.s), buf[:])
	return class
}
