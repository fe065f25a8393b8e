package ident

import (
	"bytes"
	"strings"
)

// NumberClass is what kind of subscriber a called number belongs to, as far as
// its digits tell.
type NumberClass uint8

const (
	NumberUnknown   NumberClass = iota
	NumberMobile                // national mobile
	NumberLandline              // national geographic
	NumberShort                 // service codes and short numbers, toll-free, premium
	NumberEmergency             // emergency services
	NumberForeign               // another country's number
	NumberInternal              // an extension: two to five digits, or a name
)

func (c NumberClass) String() string {
	return [...]string{"unknown", "mobile", "landline", "short", "emergency", "foreign", "internal"}[min(c, NumberInternal)]
}

// Plan is the numbering plan of the country a sensor stands in: which digits
// are a mobile number, a landline or a service, and how they are dialled. A
// Plan is data and read only; it may be shared.
type Plan struct {
	name          string
	country       string           // country code, empty when the plan knows no country
	trunk         byte             // digit dialled before an area code
	international []string         // what is dialled before a country code
	mobile        int              // digits of a mobile number
	rules         [10][]numberRule // by first digit
	area          []numberRule     // area codes with the trunk digit; min and max are of the code
	foreign       []numberRule     // numbers that only look like a prefix and a mobile number

	region   string            // two letters, empty when the plan knows no country
	codes    *codeTree         // of all countries
	blocks   [10][]mobileBlock // of mobile numbers, by their second digit
	areas    areaTable         // with the trunk digit
	carriers []string          // dialled before a number to choose who carries the call
	world    *world            // set in a plan made from the table of all regions
}

// numberRule gives a class to the digit strings of min to max digits that begin
// with prefix. The first rule that fits counts.
type numberRule struct {
	prefix   string
	min, max int
	class    NumberClass
}

// byDigit sorts rules by their first digit, so that a look-up tries few.
func byDigit(rules []numberRule) (by [10][]numberRule) {
	for _, r := range rules {
		d := r.prefix[0] - '0'
		by[d] = append(by[d], r)
	}
	return by
}

// ParsePlan gives the plan called name: two letters of ISO 3166-1 for a country
// ("cn" or "CN" for China), "generic" for no country in particular, which tells
// extensions and emergency calls from other numbers and nothing more. The empty
// name is "cn". Any other is an error.
func ParsePlan(name string) (*Plan, error) {
	switch strings.ToLower(name) {
	case "", "cn":
		return chinaPlan(), nil
	case "generic":
		return genericPlan(), nil
	}
	if len(name) == 2 {
		if p := worldPlan(name); p != nil {
			return p, nil
		}
	}
	return nil, unknownPlan(name)
}

// Name is the name the plan was parsed by.
func (p *Plan) Name() string { return p.name }

func genericPlan() *Plan {
	return &Plan{
		name:          "generic",
		international: []string{"00", "011"},
		codes:         countryCodes(),
		rules: byDigit([]numberRule{
			// ITU-T E.161.1 names 112 and 911; 999 is the oldest of them.
			{"112", 3, 3, NumberEmergency}, {"911", 3, 3, NumberEmergency}, {"999", 3, 3, NumberEmergency},
		}),
	}
}

// NumberBuffer is how many bytes Classify needs so as not to allocate.
const NumberBuffer = maxDigits + 1

// maxDigits is above the 15 of ITU-T E.164 by what wholesalers put before a
// number; a longer string of digits is no telephone number.
const maxDigits = 32

// Classify reads the user part of a SIP URI, or a tel URI (RFC 3966), and gives
// the number in one form whatever way it was dialled, so that the same
// subscriber reached through different prefixes is one: national numbers as
// dialled inside the country (landlines with their trunk digit where the area
// is known), others as "+" and the country code. Plans from the table of all
// regions give national numbers with "+" and the country code too, and take off
// technical prefixes only where "#" or "*" ends them. Visual separators, parameters,
// escapes, a password, country and technical prefixes are taken off. Where
// another country's number would read the same, the prefix stays and the class
// is unknown or foreign: a number is never made mobile by guessing.
//
// A name is given back as it is, with class NumberInternal; a word that stands
// for a withheld number gives no digits at all. The result is a view of user or
// of buf, which should have a capacity of NumberBuffer.
func (p *Plan) Classify(user, buf []byte) (number []byte, class NumberClass) {
	user = userPart(user)
	if withheld(user) {
		return nil, NumberUnknown
	}
	// The place before the digits is kept for a "+".
	b, plus, verdict := appendDigits(append(buf[:0], '+'), user)
	switch {
	case verdict == isName:
		return user, NumberInternal
	case verdict == isTooLong:
		return user, NumberUnknown
	case len(b) == 1:
		return nil, NumberUnknown
	}
	if p.world != nil {
		number, _, class = p.world.dialled(b, plus)
		return number, class
	}
	return p.dialled(b, plus)
}

// userPart takes off the scheme, and all that is not the user.
func userPart(u []byte) []byte {
	for _, scheme := range [...]string{"tel:", "sip:", "sips:"} {
		if len(u) == 0 || u[0] < 'A' {
			break
		}
		if len(u) >= len(scheme) && bytes.EqualFold(u[:len(scheme)], []byte(scheme)) {
			u = u[len(scheme):]
			break
		}
	}
	if i := bytes.IndexAny(u, ";@:,"); i >= 0 {
		u = u[:i]
	}
	return bytes.TrimSpace(u)
}

// withheld knows the words that stand for "no number" (RFC 3323 section 4.1.1.3
// and what gateways write): equal for all callers, they identify nobody.
func withheld(u []byte) bool {
	if len(u) > 0 && u[0] < 'A' {
		return false
	}
	for _, w := range [...]string{"", "anonymous", "unknown", "unavailable", "restricted", "private", "withheld"} {
		if len(u) == len(w) && bytes.EqualFold(u, []byte(w)) {
			return true
		}
	}
	return false
}

type scanned uint8

const (
	isDigits scanned = iota
	isName
	isTooLong
)

// appendDigits appends the digits of u to b, which holds one byte. A "#" or "*"
// between digits ends a technical prefix, as does a "+".
func appendDigits(b, u []byte) (_ []byte, plus bool, _ scanned) {
	restart := false
	for i := 0; i < len(u); i++ {
		c := u[i]
		if c == '%' && i+2 < len(u) {
			hi, ok1 := unhex(u[i+1])
			lo, ok2 := unhex(u[i+2])
			if ok1 && ok2 {
				c, i = hi<<4|lo, i+2
			}
		}
		switch {
		case c >= '0' && c <= '9':
			if restart {
				b, plus, restart = b[:1], false, false
			}
			if len(b) > maxDigits {
				return b, plus, isTooLong
			}
			b = append(b, c)
		case c == '#' || c == '*':
			restart = len(b) > 1
		case c == '+':
			b, plus, restart = b[:1], true, false
		case c == '-' || c == '.' || c == '(' || c == ')' || c == ' ' || c == '/':
		default:
			return b, plus, isName
		}
	}
	return b, plus, isDigits
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// dialled judges b[1:]; b[0] is a "+".
func (p *Plan) dialled(b []byte, plus bool) ([]byte, NumberClass) {
	if plus {
		return p.global(b)
	}
	for _, access := range p.international {
		// Seven digits is the shortest number worth a country code.
		if n := len(access); len(b) >= 1+n+7 && bytes.HasPrefix(b[1:], []byte(access)) && b[1+n] != '0' {
			rest := b[n:]
			was := rest[0]
			rest[0] = '+'
			if number, class := p.global(rest); class != NumberUnknown || number[0] == '+' {
				return number, class
			}
			rest[0] = was
		}
	}
	d := b[1:]
	if class := p.match(d); class != NumberUnknown {
		return d, class
	}
	if p.country != "" {
		if d[0] == p.trunk && p.match(d[1:]) == NumberMobile {
			return d[1:], NumberMobile
		}
		if number, class := p.national(b); class != NumberUnknown {
			return number, class
		}
		if p.areaService(d) {
			return d, NumberShort
		}
		if s := p.suffix(d); s != nil {
			return s, NumberMobile
		}
		for _, c := range p.carriers {
			// Behind it a number is dialled as without; no second one follows.
			if n := len(c); len(d) >= n+7 && bytes.HasPrefix(d, []byte(c)) && !bytes.HasPrefix(d[n:], []byte(c)) {
				was := b[n]
				b[n] = '+'
				if number, class := p.dialled(b[n:], false); class != NumberUnknown && class != NumberInternal {
					return number, class
				}
				b[n] = was
			}
		}
	}
	if len(d) >= 2 && len(d) <= 5 {
		return d, NumberInternal
	}
	return d, NumberUnknown
}

// global judges "+" and digits. With class NumberUnknown, the "+" of the result
// says that the country code exists.
func (p *Plan) global(b []byte) ([]byte, NumberClass) {
	d := b[1:]
	if len(d) == 0 {
		return nil, NumberUnknown
	}
	if number, class := p.national(b); class != NumberUnknown {
		return number, class
	}
	if foreignNumber(d) && (p.country == "" || !bytes.HasPrefix(d, []byte(p.country))) {
		if p.country == "" {
			return b, NumberUnknown
		}
		return b, NumberForeign
	}
	if p.country != "" {
		if len(d) == p.mobile && p.match(d) == NumberMobile {
			return d, NumberMobile
		}
		if s := p.suffix(d); s != nil {
			return s, NumberMobile
		}
	}
	return d, NumberUnknown
}

// national judges digits that begin with the country code, whether or not
// something before them said so. b[0] is not one of the digits.
func (p *Plan) national(b []byte) ([]byte, NumberClass) {
	n := len(p.country)
	if n == 0 || len(b) < 1+n+9 || !bytes.HasPrefix(b[1:], []byte(p.country)) {
		return nil, NumberUnknown
	}
	d := b[1+n:]
	if class := p.match(d); class == NumberMobile || class == NumberShort || class == NumberLandline && d[0] == p.trunk {
		return d, class
	}
	// An area code without its trunk digit: that digit goes where the country
	// code ended.
	with := b[n:]
	was := with[0]
	with[0] = p.trunk
	if p.match(with) == NumberLandline {
		return with, NumberLandline
	}
	with[0] = was
	return nil, NumberUnknown
}

// areaService knows an area code with a service code behind it.
func (p *Plan) areaService(d []byte) bool {
	for _, a := range p.area {
		for n := a.min; n <= a.max && n < len(d); n++ {
			if bytes.HasPrefix(d, []byte(a.prefix)) && len(d)-n <= 6 && p.match(d[n:]) == NumberShort {
				return true
			}
		}
	}
	return false
}

// suffix finds a mobile number behind a technical prefix of up to eight digits,
// nil where there is none or where another reading is as good.
func (p *Plan) suffix(d []byte) []byte {
	if len(d) <= p.mobile || len(d) > p.mobile+8 {
		return nil
	}
	s := d[len(d)-p.mobile:]
	if p.match(s) != NumberMobile {
		return nil
	}
	for _, r := range p.foreign {
		if r.fits(d) {
			return nil
		}
	}
	return s
}

func (p *Plan) match(d []byte) NumberClass {
	if len(d) == 0 {
		return NumberUnknown
	}
	for _, r := range p.rules[d[0]-'0'] {
		if r.fits(d) {
			if r.class == NumberLandline && d[0] == p.trunk && !p.inArea(d) {
				return NumberUnknown
			}
			return r.class
		}
	}
	return NumberUnknown
}

// inArea says whether d begins with an area code that exists. Seven digits and
// eight are taken in all areas of four: they go from seven to eight over the
// years, and neither a table that lags nor a caller's old address book shall
// make landlines vanish.
func (p *Plan) inArea(d []byte) bool {
	_, ok := p.areas.find(d)
	return ok
}

func (r numberRule) fits(d []byte) bool {
	return len(d) >= r.min && len(d) <= r.max && bytes.HasPrefix(d, []byte(r.prefix))
}
