package ident

import "bytes"

// Description is what digits tell of a number. Texts are constants of the plan.
type Description struct {
	Class NumberClass
	// Operator is who was given the block that a mobile number lies in, by its
	// short name; numbers can be taken along to another operator (in China since
	// 2019), so it is exact of no single number and right of most.
	Operator string
	// Use is what a mobile block is set aside for: "virtual" for resellers
	// without a network, "things" for machines, "satellite"; empty for people.
	Use string
	// Area is the place of a landline by its area code.
	Area string
	// Region is the country by the two letters of ISO 3166-1, of foreign numbers
	// where the country code tells. It is empty where nothing tells.
	Region string
	// Either is set where fixed and mobile numbers look alike, as in North
	// America; the class is unknown then.
	Either bool
}

// Describe tells what Classify tells, and more. It does not allocate when buf
// has a capacity of NumberBuffer.
func (p *Plan) Describe(user, buf []byte) Description {
	number, class := p.Classify(user, buf)
	return p.DescribeNumber(number, class)
}

// DescribeNumber tells of a number and class that Classify of the same plan
// gave.
func (p *Plan) DescribeNumber(number []byte, class NumberClass) (d Description) {
	if len(number) > 1 && number[0] == '+' && (class == NumberForeign || p.region == "") {
		d = Description{Class: class}
		d.Region, _ = p.codes.find(number[1:])
		return d
	}
	if p.world != nil {
		return p.describeWorld(number, class)
	}
	d.Class = class
	if class != NumberUnknown && class != NumberInternal {
		d.Region = p.region
	}
	switch class {
	case NumberMobile:
		if b := p.block(number); b != nil {
			d.Operator, d.Use = b.operator, b.use
		}
	case NumberLandline, NumberShort:
		d.Area = p.areaOf(number)
	}
	return d
}

// mobileBlock is a block of mobile numbers.
type mobileBlock struct {
	prefix, operator, use string
}

// block finds the longest prefix.
func (p *Plan) block(number []byte) (found *mobileBlock) {
	if len(number) < 3 {
		return nil
	}
	// By the second and third digit: the first is 1 in all blocks.
	for i := range p.blocks[number[1]-'0'] {
		b := &p.blocks[number[1]-'0'][i]
		if (found == nil || len(b.prefix) > len(found.prefix)) && bytes.HasPrefix(number, []byte(b.prefix)) {
			found = b
		}
	}
	return found
}

// areaOf finds the area code at the start, with its trunk digit.
func (p *Plan) areaOf(number []byte) string {
	if len(number) < 5 || number[0] != p.trunk {
		return ""
	}
	place, _ := p.areas.find(number)
	return place
}

// areaTable finds area codes by their digits.
type areaTable struct {
	index []uint16 // by areaKey: one more than the place in list, 0 for no such code
	list  []string // places, empty where the data have no name
}

func (t *areaTable) add(code []byte, place string) {
	if t.index == nil {
		t.index = make([]uint16, 11000)
	}
	t.list = append(t.list, place)
	t.index[areaKey(code)] = uint16(len(t.list))
}

// find gives the place whose code d begins with; ok is false where there is no
// such code.
func (t *areaTable) find(d []byte) (place string, ok bool) {
	for n := 3; n <= min(4, len(d)); n++ {
		if k := areaKey(d[:n]); int(k) < len(t.index) && t.index[k] > 0 {
			return t.list[t.index[k]-1], true
		}
	}
	return "", false
}

// areaKey keeps 010 and 0010 apart.
func areaKey(code []byte) (k uint16) {
	for _, c := range code {
		k = k*10 + uint16(c-'0')
	}
	if len(code) == 4 {
		k += 10000
	}
	return k
}

// Region is the country of the plan by its two letters, empty for "generic".
func (p *Plan) Region() string { return p.region }
