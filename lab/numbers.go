package lab

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"
)

// mobilePrefixes are shared out over the operators about as in the country.
var mobilePrefixes = [...]string{
	"134", "135", "136", "137", "138", "139", "147", "150", "151", "152", "157", "158", "159", "178", "182", "183", "187", "188", "198",
	"130", "131", "132", "145", "155", "156", "166", "175", "176", "185", "186",
	"133", "149", "153", "173", "177", "180", "181", "189", "191", "199", "192",
}

var areaCodes = [...]string{"010", "020", "021", "022", "023", "024", "025", "027", "028", "029",
	"0311", "0351", "0371", "0411", "0431", "0451", "0512", "0531", "0551", "0571", "0591", "0731", "0755", "0771", "0851", "0871", "0931", "0991"}

var shortNumbers = [...]string{"10086", "10010", "10000", "95588", "95533", "95555", "12345", "12306", "12315", "12580", "4008123123", "95105105"}

var emergencyNumbers = [...]string{"110", "120", "119", "122"}

// mobile draws a mobile number.
func mobile(r *rand.Rand) string {
	return fmt.Sprintf("%s%08d", mobilePrefixes[r.IntN(len(mobilePrefixes))], r.IntN(100_000_000))
}

// isMobile says whether digits, with whatever before them, are a mobile number.
func isMobile(digits string) bool {
	if len(digits) < 11 {
		return false
	}
	n := digits[len(digits)-11:]
	return n[0] == '1' && n[1] >= '3'
}

// paging is how long a mobile network takes to find whom it rings. Whoever calls
// a mobile waits for that, over whatever he calls; a radio module needs a second
// or three of its own before.
func paging(r *rand.Rand) time.Duration {
	return lognormal(r, 2300*time.Millisecond, 0.4, 800*time.Millisecond, 9*time.Second)
}

// find lets the call wait for the mobile network when the number is a mobile,
// once for all legs that are copied of it.
func (c *call) find(r *rand.Rand, number string) {
	if !c.found && isMobile(number) {
		c.found, c.delay = true, min(c.delay+paging(r), 24*time.Second)
	}
}

// landline draws a geographic number of the given area, any when empty.
func landline(r *rand.Rand, area string) string {
	if area == "" {
		area = areaCodes[r.IntN(len(areaCodes))]
	}
	if len(area) == 3 {
		return fmt.Sprintf("%s%d%07d", area, 5+r.IntN(4), r.IntN(10_000_000))
	}
	return fmt.Sprintf("%s%d%06d", area, 2+r.IntN(7), r.IntN(1_000_000))
}

func area(r *rand.Rand) string { return areaCodes[r.IntN(len(areaCodes))] }

// foreign draws a number outside the country.
func foreign(r *rand.Rand) string {
	cc := [...]string{"44", "852", "60", "63", "855", "66", "1", "91", "971"}
	return fmt.Sprintf("00%s%09d", cc[r.IntN(len(cc))], r.IntN(1_000_000_000))
}

// premium draws a number of the kind that toll fraud calls.
func premium(r *rand.Rand) string {
	cc := [...]string{"0037190", "00252", "00224", "00232", "0053", "00881", "0037281", "00675"}
	return fmt.Sprintf("%s%07d", cc[r.IntN(len(cc))], r.IntN(10_000_000))
}

// contacts are the numbers a household or office calls: few, some of them often.
type contacts struct {
	r     *rand.Rand
	known []string
	fresh float64 // share of calls to a number never called before
	young float64 // share of mobiles among these; 0 is half of them
	area  string
}

// newContacts draws n numbers, mobile with the given share, of one area.
func newContacts(r *rand.Rand, n int, mobiles, fresh float64) *contacts {
	c := &contacts{r: r, fresh: fresh, area: area(r)}
	for range n {
		c.known = append(c.known, c.draw(mobiles))
	}
	return c
}

func (c *contacts) draw(mobiles float64) string {
	switch x := c.r.Float64(); {
	case x < mobiles:
		return mobile(c.r)
	case x < mobiles+(1-mobiles)*0.75:
		return landline(c.r, c.area)
	case x < mobiles+(1-mobiles)*0.85:
		return landline(c.r, "")
	}
	return shortNumbers[c.r.IntN(len(shortNumbers))]
}

// next draws whom to call: the earlier in the list, the more often.
func (c *contacts) next() string {
	if c.r.Float64() < c.fresh {
		return c.draw(cmp.Or(c.young, 0.5))
	}
	x := c.r.Float64()
	return c.known[int(x*x*float64(len(c.known)))]
}

// luhn gives the check digit of the digits (ISO/IEC 7812-1).
func luhn(digits string) byte {
	s, double := 0, true
	for i := len(digits) - 1; i >= 0; i-- {
		d := int(digits[i] - '0')
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		s += d
		double = !double
	}
	return byte('0' + (10-s%10)%10)
}

// operator is a mobile network as cards name it.
type operator struct{ mnc, iccid string }

// newCards draws n cards of few operators in modules of one kind.
func newCards(r *rand.Rand, n int) []Card {
	ops := [...]operator{{"46000", "898600"}, {"46001", "898601"}, {"46011", "898611"}}
	tacs := [...]string{"86749502", "86318801", "35921009", "86134204"}
	tac := tacs[r.IntN(len(tacs))]
	batch := r.IntN(1_000_000)
	cards := make([]Card, n)
	for i := range cards {
		op := ops[r.IntN(len(ops))]
		imei := fmt.Sprintf("%s%06d", tac, (batch+17*i)%1_000_000)
		iccid := fmt.Sprintf("%s%02d%s%07d", op.iccid, 20+r.IntN(6), []string{"0", "1"}[r.IntN(2)]+fmt.Sprintf("%03d", r.IntN(1000)), r.IntN(10_000_000))
		cards[i] = Card{
			IMSI:   fmt.Sprintf("%s%010d", op.mnc, r.Int64N(10_000_000_000)),
			IMEI:   imei + string(luhn(imei)),
			ICCID:  iccid + string(luhn(iccid)),
			MSISDN: mobile(r),
		}
	}
	return cards
}

// operatorName gives the carrier as a gateway shows it.
func operatorName(c Card) string {
	switch c.IMSI[:5] {
	case "46000":
		return "CHINA MOBILE"
	case "46001":
		return "CHN-UNICOM"
	}
	return "CHN-CT"
}
