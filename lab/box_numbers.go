package lab

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// targets is whom a gateway is told to call.
type targets struct {
	r         *rand.Rand
	heads     []string // of the mobiles
	landlines float64
	prefix    string  // put before every number
	again     float64 // share of calls to one of the last numbers
	list      int     // how many these are
	quota     int     // calls after which others are in turn; 0 for none
	calls     int
	past      []string
}

func newTargets(r *rand.Rand) *targets {
	t := &targets{r: r, landlines: pick(r, 0, 0, share(r, 0, 0.04), share(r, 0, 0.15)), again: pick(r, 0, share(r, 0, 0.15)), list: 1 + r.IntN(6)}
	t.prefix = pick(r, "", "", "", "", "", "86", "+86", "0", fmt.Sprint(10+r.IntN(990)), fmt.Sprintf("%d#", 1+r.IntN(9)))
	switch r.IntN(5) {
	case 0: // the cards of one operator call within it
		t.heads = pick(r, mobilePrefixes[:19], mobilePrefixes[19:30], mobilePrefixes[30:])
	case 1: // a few towns
		for range 3 + r.IntN(40) {
			t.heads = append(t.heads, mobilePrefixes[r.IntN(len(mobilePrefixes))]+fmt.Sprintf("%04d", r.IntN(10000)))
		}
	default:
		t.heads = mobilePrefixes[:]
	}
	return t
}

func (t *targets) draw() string {
	if t.r.Float64() < t.landlines {
		return landline(t.r, "")
	}
	h := t.heads[t.r.IntN(len(t.heads))]
	for len(h) < 11 {
		h += strconv.Itoa(t.r.IntN(10))
	}
	return h
}

func (t *targets) next() string {
	if t.calls++; t.quota > 0 && t.calls%t.quota == 0 {
		t.past = nil
	}
	if len(t.past) > 0 && t.r.Float64() < t.again {
		return t.prefix + t.past[t.r.IntN(len(t.past))]
	}
	n := t.draw()
	t.keep(n)
	if t.prefix == "0" && n[0] == '0' {
		return n
	}
	return t.prefix + n
}

// keep remembers a number for a while.
func (t *targets) keep(n string) {
	if t.past = append(t.past, n); len(t.past) > t.list {
		t.past = t.past[1:]
	}
}

// known is somebody who was called before, mostly.
func (t *targets) known() string {
	if len(t.past) > 0 && t.r.IntN(4) > 0 {
		return t.past[t.r.IntN(len(t.past))]
	}
	return t.draw()
}

// gatewayCallers draws what stands as the caller in a gateway's calls.
func gatewayCallers(r *rand.Rand) func() string {
	anyone := func() string { return pick(r, mobile(r), landline(r, ""), foreign(r), "anonymous") }
	own := func() string { return mobile(r) }
	switch r.IntN(8) {
	case 0:
		one := pick(r, anyone(), fmt.Sprint(8000+r.IntN(999)))
		return func() string { return one }
	case 1:
		return func() string { return "anonymous" }
	case 2:
		return func() string { return "account" }
	case 3: // few
		list := make([]string, 3+r.IntN(30))
		for i := range list {
			list[i] = anyone()
		}
		return func() string { return list[r.IntN(len(list))] }
	case 4:
		return own
	case 5:
		return func() string { return foreign(r) }
	}
	return anyone
}
