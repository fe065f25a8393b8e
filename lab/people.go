package lab

import (
	"math"
	"math/rand/v2"
	"time"
)

// calendar says how busy each hour of the day is, 1 at the peak.
type calendar [24]float64

var (
	officeDay   = calendar{7: .05, 8: .4, 9: .9, 10: 1, 11: .9, 12: .3, 13: .5, 14: .9, 15: 1, 16: .95, 17: .6, 18: .2, 19: .08, 20: .04}
	shopDay     = calendar{8: .1, 9: .5, 10: .9, 11: 1, 12: .8, 13: .7, 14: .8, 15: .9, 16: 1, 17: 1, 18: .9, 19: .6, 20: .3, 21: .1}
	practiceDay = calendar{7: .6, 8: 1, 9: .9, 10: .7, 11: .5, 12: .1, 13: .2, 14: .6, 15: .6, 16: .5, 17: .3, 18: .05}
	hotelDay    = calendar{0: .15, 1: .1, 2: .05, 3: .05, 4: .05, 5: .1, 6: .5, 7: .9, 8: 1, 9: .8, 10: .7, 11: .6, 12: .5, 13: .5, 14: .6, 15: .7, 16: .8, 17: .9, 18: .9, 19: .8, 20: .7, 21: .6, 22: .5, 23: .3}
	taxiDay     = calendar{0: .6, 1: .5, 2: .4, 3: .2, 4: .2, 5: .4, 6: .7, 7: 1, 8: 1, 9: .7, 10: .5, 11: .5, 12: .6, 13: .6, 14: .5, 15: .5, 16: .7, 17: 1, 18: 1, 19: .8, 20: .7, 21: .8, 22: .9, 23: .8}
	homeDay     = calendar{0: .1, 1: .04, 2: .02, 3: .02, 4: .02, 5: .04, 6: .1, 7: .3, 8: .4, 9: .5, 10: .5, 11: .6, 12: .6, 13: .5, 14: .4, 15: .4, 16: .5, 17: .7, 18: .9, 19: 1, 20: 1, 21: .9, 22: .5, 23: .2}
	depotDay    = calendar{6: .2, 7: .6, 8: 1, 9: 1, 10: .9, 11: .8, 12: .5, 13: .7, 14: .9, 15: .9, 16: .8, 17: .7, 18: .6, 19: .5, 20: .3, 21: .1}
	eveningDay  = calendar{0: .15, 7: .1, 8: .1, 12: .25, 13: .15, 17: .4, 18: .8, 19: 1, 20: 1, 21: .9, 22: .5, 23: .25}
	allDay      = calendar{.4, .4, .4, .4, .4, .4, .5, .6, .8, 1, 1, 1, 1, 1, 1, 1, 1, .9, .8, .8, .7, .6, .5, .4}
)

// at gives how busy the hour is, between the hours evenly.
func (c *calendar) at(hour float64) float64 {
	h := int(hour) % 24
	f := hour - math.Floor(hour)
	return c[h]*(1-f) + c[(h+1)%24]*f
}

// zone is the country's distance from UTC.
const zone = int64(8 * time.Hour)

// hour gives the hour of the day where the lines are.
func (s *sim) hour() float64 {
	return float64((s.now+zone)%int64(24*time.Hour)) / float64(time.Hour)
}

// openAt moves the whole run to another time of the same day, drawn between two
// hours; nothing may have been planned before.
func (s *sim) openAt(r *rand.Rand, lo, hi float64) {
	midnight := (s.start+zone)/int64(24*time.Hour)*int64(24*time.Hour) - zone
	d := midnight + int64(share(r, lo, hi)*float64(time.Hour)) - s.start
	s.start, s.now, s.end = s.start+d, s.now+d, s.end+d
	if s.cut != 0 {
		s.cut += d
	}
}

// visits calls fn as arrivals does, mean apart at the peak, as busy as the day.
func (s *sim) visits(r *rand.Rand, day *calendar, mean time.Duration, fn func()) {
	s.arrivals(r, s.start, mean, func() {
		if r.Float64() < day.at(s.hour()) {
			fn()
		}
	})
}

// lognormal draws what has the given median and spread (sigma), within bounds.
func lognormal(r *rand.Rand, median time.Duration, sigma float64, lo, hi time.Duration) time.Duration {
	return max(lo, min(hi, time.Duration(float64(median)*math.Exp(sigma*r.NormFloat64()))))
}

// spread draws between two numbers evenly in their logarithm, as sizes are.
func spread(r *rand.Rand, lo, hi float64) float64 {
	return lo * math.Exp(r.Float64()*math.Log(hi/lo))
}

// sizes draws a whole number so.
func sizes(r *rand.Rand, lo, hi int) int {
	return min(hi, int(spread(r, float64(lo), float64(hi+1))))
}

// span draws a duration so.
func span(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return time.Duration(spread(r, float64(lo), float64(hi)))
}

// chance is true with probability p.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// weighted draws an index by weight.
func weighted(r *rand.Rand, weights ...float64) int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	x := r.Float64() * sum
	for i, w := range weights {
		if x -= w; x < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// people are those who telephone at a line: whom they call and who calls them,
// when, and for how long.
type people struct {
	r       *rand.Rand
	day     calendar
	callees *contacts
	callers *contacts
	talk    time.Duration // median
	sigma   float64
	out, in float64 // share of calls that are answered
	pickUp  time.Duration
	again   float64 // share of failed calls that are tried again soon
	keys    float64 // share of calls out in which menus are served
	hold    float64
	refer   float64
	refresh time.Duration // session timer
	hidden  float64       // share of callers who do not show their number
}

// habits are the bounds between which people of a trade are drawn.
type habits struct {
	day             calendar
	known           [2]int     // numbers they know
	mobiles         [2]float64 // share of mobiles among them
	freshOut        [2]float64 // share of calls to numbers never called before
	freshIn         [2]float64
	talk            [2]time.Duration
	asrOut, asrIn   [2]float64
	internal        [2]float64 // share of calls between colleagues
	inbound         [2]float64 // of the others, the share that comes in
	pickUp          [2]time.Duration
	keys            float64
	hold, transfers float64
}

func drawShare(r *rand.Rand, b [2]float64) float64 { return share(r, b[0], max(b[0], b[1])) }

// drawPeople draws people of the habits.
func drawPeople(r *rand.Rand, h *habits) *people {
	mobiles := drawShare(r, h.mobiles)
	p := &people{
		r: r, day: h.day, talk: span(r, h.talk[0], h.talk[1]), sigma: share(r, 0.7, 1.3),
		out: drawShare(r, h.asrOut), in: drawShare(r, h.asrIn), pickUp: span(r, h.pickUp[0], h.pickUp[1]),
		hidden: share(r, 0, 0.06), again: share(r, 0.1, 0.6), keys: h.keys * share(r, 0.3, 1.5), hold: h.hold * share(r, 0.3, 1.5), refer: h.transfers * share(r, 0.3, 1.5),
	}
	p.callees = newContacts(r, sizes(r, h.known[0], h.known[1]), mobiles, drawShare(r, h.freshOut))
	p.callers = newContacts(r, sizes(r, h.known[0], h.known[1]), mobiles, drawShare(r, h.freshIn))
	p.callers.area = p.callees.area
	p.callees.young, p.callers.young = mobiles, mobiles
	// Those who are called often call back.
	copy(p.callers.known, p.callees.known[:min(len(p.callees.known), len(p.callers.known))/2])
	if chance(r, 0.3) {
		p.refresh = pick(r, 90*time.Second, 300*time.Second, 600*time.Second, 900*time.Second)
	}
	// Some days are busier at other hours, and none is quite as planned.
	for i := range p.day {
		p.day[i] = min(1, p.day[i]*share(r, 0.6, 1.4))
	}
	return p
}

// held is how long a call takes of a telephone, on average.
func (p *people) held() time.Duration {
	asr := (p.out + p.in) / 2
	return time.Duration(asr*float64(p.talk)*math.Exp(p.sigma*p.sigma/2)) + p.pickUp
}

// course draws the course of a call, out or in.
func (p *people) course(out bool) *call {
	r := p.r
	c := &call{
		talk: lognormal(r, p.talk, p.sigma, 3*time.Second, 40*time.Minute), byCaller: chance(r, 0.55),
		refresh: p.refresh,
	}
	if out {
		c.status = outcome(r, p.out)
		c.delay = lognormal(r, 1800*time.Millisecond, 0.6, 300*time.Millisecond, 12*time.Second)
		c.ring = lognormal(r, 7*time.Second, 0.7, 300*time.Millisecond, 50*time.Second)
		if chance(r, p.keys) {
			c.keys = 1 + r.IntN(8)
		}
		return c
	}
	c.status = outcome(r, p.in)
	c.delay = lognormal(r, 120*time.Millisecond, 0.8, 20*time.Millisecond, 2*time.Second)
	c.ring = lognormal(r, p.pickUp, 0.7, 500*time.Millisecond, 60*time.Second)
	if c.status == 487 { // nobody was there
		c.ring = lognormal(r, 22*time.Second, 0.5, 3*time.Second, 90*time.Second)
	}
	c.hold, c.refer = chance(r, p.hold), chance(r, p.refer)
	return c
}

// shown is what of a caller's number is shown.
func (p *people) shown(number string) string {
	if chance(p.r, p.hidden) {
		return "anonymous"
	}
	return number
}

// persist calls try for another attempt after c failed, now and then: people do.
func (s *sim) persist(p *people, c *call, tries int, try func(tries int)) {
	if c.status == 200 || c.status == 404 || tries >= 4 || !chance(p.r, p.again) {
		return
	}
	over := c.over
	wait := lognormal(p.r, 25*time.Second, 1.3, 2*time.Second, 20*time.Minute)
	c.over = func() {
		if over != nil {
			over()
		}
		s.after(wait, func() { try(tries + 1) })
	}
}

// numbering is how numbers are written at an exchange.
type numbering struct {
	outside string // dialled first for a line to the world
	called  string // what stands before a national number in calls out, instead of 0
	calling string // and in the callers of calls in
}

func drawNumbering(r *rand.Rand) numbering {
	forms := []string{"", "", "", "", "+86", "86", "0086"}
	return numbering{outside: pick(r, "", "", "", "", "9", "0", "8"), called: pick(r, forms...), calling: pick(r, forms...)}
}

// national writes a number with the country code before it, when there is one.
func national(code, n string) string {
	switch {
	case code == "" || len(n) < 10 || n[:2] == "00" || n[:3] == "400":
		return n
	case n[0] == '0':
		return code + n[1:]
	}
	return code + n
}

func (n numbering) out(number string) string {
	if n.outside != "" {
		return n.outside + number
	}
	return national(n.called, number)
}

func (n numbering) in(number string) string { return national(n.calling, number) }

// offices, shops and others, by trade.
var trades = map[string]*habits{
	"office":   {day: officeDay, known: [2]int{20, 200}, mobiles: [2]float64{.3, .7}, freshOut: [2]float64{.05, .35}, freshIn: [2]float64{.05, .4}, talk: [2]time.Duration{25 * time.Second, 110 * time.Second}, asrOut: [2]float64{.5, .8}, asrIn: [2]float64{.55, .95}, internal: [2]float64{.05, .45}, inbound: [2]float64{.25, .75}, pickUp: [2]time.Duration{3 * time.Second, 14 * time.Second}, keys: .2, hold: .12, transfers: .1},
	"shop":     {day: shopDay, known: [2]int{10, 80}, mobiles: [2]float64{.5, .85}, freshOut: [2]float64{.1, .4}, freshIn: [2]float64{.3, .8}, talk: [2]time.Duration{20 * time.Second, 70 * time.Second}, asrOut: [2]float64{.5, .8}, asrIn: [2]float64{.5, .9}, internal: [2]float64{0, .1}, inbound: [2]float64{.4, .8}, pickUp: [2]time.Duration{4 * time.Second, 15 * time.Second}, keys: .1, hold: .05, transfers: .02},
	"practice": {day: practiceDay, known: [2]int{30, 300}, mobiles: [2]float64{.5, .9}, freshOut: [2]float64{.1, .4}, freshIn: [2]float64{.3, .8}, talk: [2]time.Duration{25 * time.Second, 80 * time.Second}, asrOut: [2]float64{.5, .8}, asrIn: [2]float64{.4, .85}, internal: [2]float64{.05, .25}, inbound: [2]float64{.7, .95}, pickUp: [2]time.Duration{3 * time.Second, 20 * time.Second}, keys: .05, hold: .2, transfers: .2},
	"law firm": {day: officeDay, known: [2]int{40, 300}, mobiles: [2]float64{.4, .8}, freshOut: [2]float64{.05, .2}, freshIn: [2]float64{.05, .3}, talk: [2]time.Duration{90 * time.Second, 5 * time.Minute}, asrOut: [2]float64{.5, .75}, asrIn: [2]float64{.6, .95}, internal: [2]float64{.1, .4}, inbound: [2]float64{.4, .7}, pickUp: [2]time.Duration{3 * time.Second, 9 * time.Second}, keys: .2, hold: .2, transfers: .3},
	"school":   {day: officeDay, known: [2]int{40, 400}, mobiles: [2]float64{.7, .95}, freshOut: [2]float64{.1, .4}, freshIn: [2]float64{.2, .5}, talk: [2]time.Duration{30 * time.Second, 90 * time.Second}, asrOut: [2]float64{.5, .75}, asrIn: [2]float64{.5, .9}, internal: [2]float64{.2, .6}, inbound: [2]float64{.4, .7}, pickUp: [2]time.Duration{5 * time.Second, 18 * time.Second}, keys: .05, hold: .05, transfers: .15},
	"hotel":    {day: hotelDay, known: [2]int{40, 300}, mobiles: [2]float64{.4, .8}, freshOut: [2]float64{.4, .8}, freshIn: [2]float64{.4, .8}, talk: [2]time.Duration{20 * time.Second, 70 * time.Second}, asrOut: [2]float64{.5, .8}, asrIn: [2]float64{.7, .95}, internal: [2]float64{.5, .8}, inbound: [2]float64{.5, .8}, pickUp: [2]time.Duration{3 * time.Second, 10 * time.Second}, keys: .1, hold: .1, transfers: .25},
	"taxi":     {day: taxiDay, known: [2]int{30, 300}, mobiles: [2]float64{.85, .98}, freshOut: [2]float64{.1, .5}, freshIn: [2]float64{.5, .9}, talk: [2]time.Duration{14 * time.Second, 35 * time.Second}, asrOut: [2]float64{.6, .85}, asrIn: [2]float64{.7, .97}, internal: [2]float64{0, .05}, inbound: [2]float64{.7, .95}, pickUp: [2]time.Duration{1 * time.Second, 8 * time.Second}, keys: .02, hold: .05, transfers: .02},
	"depot":    {day: depotDay, known: [2]int{10, 60}, mobiles: [2]float64{.9, 1}, freshOut: [2]float64{.75, .98}, freshIn: [2]float64{.6, .95}, talk: [2]time.Duration{12 * time.Second, 40 * time.Second}, asrOut: [2]float64{.45, .75}, asrIn: [2]float64{.4, .8}, internal: [2]float64{0, .08}, inbound: [2]float64{.02, .3}, pickUp: [2]time.Duration{4 * time.Second, 15 * time.Second}, keys: .01, hold: .02, transfers: .01},
	"agents":   {day: shopDay, known: [2]int{40, 300}, mobiles: [2]float64{.8, .98}, freshOut: [2]float64{.3, .8}, freshIn: [2]float64{.3, .7}, talk: [2]time.Duration{25 * time.Second, 100 * time.Second}, asrOut: [2]float64{.35, .65}, asrIn: [2]float64{.6, .9}, internal: [2]float64{.02, .15}, inbound: [2]float64{.1, .4}, pickUp: [2]time.Duration{3 * time.Second, 12 * time.Second}, keys: .02, hold: .05, transfers: .05},
	"home":     {day: homeDay, known: [2]int{5, 30}, mobiles: [2]float64{.3, .8}, freshOut: [2]float64{.02, .2}, freshIn: [2]float64{.05, .4}, talk: [2]time.Duration{40 * time.Second, 3 * time.Minute}, asrOut: [2]float64{.55, .8}, asrIn: [2]float64{.5, .85}, inbound: [2]float64{.3, .8}, pickUp: [2]time.Duration{6 * time.Second, 18 * time.Second}, keys: .1},
	"works":    {day: allDay, known: [2]int{30, 150}, mobiles: [2]float64{.5, .9}, freshOut: [2]float64{.05, .3}, freshIn: [2]float64{.05, .4}, talk: [2]time.Duration{20 * time.Second, 80 * time.Second}, asrOut: [2]float64{.5, .8}, asrIn: [2]float64{.6, .9}, internal: [2]float64{.3, .7}, inbound: [2]float64{.3, .6}, pickUp: [2]time.Duration{4 * time.Second, 15 * time.Second}, keys: .1, hold: .05, transfers: .1},
}

// trade names a trade drawn by how common it is among business lines.
func trade(r *rand.Rand) string {
	names := [...]string{"office", "shop", "practice", "law firm", "school", "hotel", "taxi", "depot", "agents", "works"}
	return names[weighted(r, 45, 14, 7, 7, 4, 5, 1.5, 2.5, 5, 9)]
}

// open gives the hours between which a run of the day begins.
func (c *calendar) open() (lo, hi float64) {
	first, last := 24, 0
	for h, v := range c {
		if v >= 0.3 {
			first, last = min(first, h), max(last, h)
		}
	}
	return float64(first), float64(last) + 0.5
}
