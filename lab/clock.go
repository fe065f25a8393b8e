package lab

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// clock is what a device of a drawn scenario times its voice with, besides the
// constant error that node.ppm tells. Times are ns since the scenario's start.
type clock struct {
	day   float64 // ppm, how far the room's temperature moves it over a day
	noon  float64 // where in the day the scenario starts, radians
	warm  float64 // ppm, error of the cold device, which passes
	age   float64 // s the device has been on at the start
	grid  int64   // the streams of a chassis leave on one tick; 0 each on its own
	phase int64   // of the tick
	slot  int64   // within the tick, channels follow each other for so long
	tick  int64   // what software is woken by; 0 for hardware
	woken int64   // phase of it
	slack float64 // ns, mean lateness of a wake-up
}

const (
	oneDay = 86400.0
	// warmUp is how fast a device in a housing gets to its temperature, s.
	warmUp = 1200.0
)

// gained is how far, in ns, a clock that is off by ppm has run ahead at t.
func (c *clock) gained(ppm float64, t float64) float64 {
	v := ppm * t
	if c.day != 0 {
		const turn = 2 * math.Pi / (oneDay * 1e9)
		v += c.day / turn * (math.Cos(c.noon) - math.Cos(c.noon+turn*t))
	}
	if c.warm != 0 {
		v += c.warm * warmUp * 1e9 * (math.Exp(-c.age/warmUp) - math.Exp(-(c.age+t/1e9)/warmUp))
	}
	return v * 1e-6
}

// reads gives what the clock shows at t.
func (c *clock) reads(ppm float64, t int64) int64 {
	return t + int64(c.gained(ppm, float64(t)))
}

// when gives the time at which the clock shows d.
func (c *clock) when(ppm float64, d int64) float64 {
	t := float64(d)
	t -= c.gained(ppm, t)
	return float64(d) - c.gained(ppm, t)
}

// steady takes the drift from a clock of hardly any error: it follows a better
// one.
func (c *clock) steady(ppm float64) {
	if math.Abs(ppm) < 0.25 {
		c.day, c.warm = 0, 0
	}
}

// align puts d off to the next tick of the chassis.
func (c *clock) align(d int64, r *rand.Rand) int64 {
	return ceilTo(d, c.phase, c.grid) + r.Int64N(c.slot)
}

// ceilTo gives the first of phase, phase+step, ... that is not before t.
func ceilTo(t, phase, step int64) int64 {
	if d := t - phase; d > 0 {
		return phase + (d+step-1)/step*step
	}
	return t + (phase-t)%step
}

// hardware is how likely the voice of a device is timed by a voice processor or
// codec chip rather than by the system's timers, by how scenarios call the
// device. Engineering estimates: adapters, gateways and desk phones are built
// around such chips, exchanges and border controllers come as both.
var hardware = [...]struct {
	name  string
	share float64
}{
	{"gateway", 0.85}, {"adapter", 1}, {"ata", 1}, {"camera", 0.9}, {"deskphone", 0.95}, {"phone", 0.85}, {"pbx", 0.35}, {"sbc", 0.4},
	{"softphone", 0}, {"computer", 0}, {"server", 0.1}, {"mobile", 0.1}, {"app", 0},
}

func drawHardware(r *rand.Rand, name, class string) bool {
	share := 0.6
	for _, h := range hardware {
		if strings.HasPrefix(name, h.name) {
			share = h.share
			break
		}
	}
	if class == ClassMobileDialer {
		share = 0.05 // a phone there is one of the people's own
	}
	return r.Float64() < share
}

// drawClock draws the clock of a device.
func drawClock(r *rand.Rand, hard bool) *clock {
	c := &clock{noon: r.Float64() * 2 * math.Pi, age: math.Exp(share(r, math.Log(600), math.Log(3e7)))}
	if r.IntN(8) == 0 { // switched on just before
		c.age = share(r, 0, 900)
	}
	// An AT-cut crystal moves by some 0.04 ppm a degree near room temperature:
	// a few degrees over a day, twenty or more until the device is warm.
	c.day, c.warm = share(r, 0.03, 0.45), share(r, -2.2, 1.2)
	if !hard {
		c.tick = int64(pick(r, 1, 1, 1, 4, 4, 10, 10, 20)) * int64(time.Millisecond)
		if r.IntN(25) == 0 { // frames of 20 ms leave by twos
			c.tick = int64(40 * time.Millisecond)
		}
		c.woken = r.Int64N(c.tick)
		c.slack = math.Exp(share(r, math.Log(15e3), math.Log(600e3)))
		return c
	}
	// Nearly every voice processor runs its channels off one frame interrupt of
	// 10 or 20 ms, whatever the calls' own beginnings; some give every channel a
	// time slot of its own in it.
	if r.IntN(5) > 0 {
		c.grid = int64(pick(r, 10, 20, 20, 20, 30)) * int64(time.Millisecond)
		c.phase = r.Int64N(c.grid)
		c.slot = pick(r, int64(60_000), 300_000, 300_000, 1_000_000, c.grid)
	}
	return c
}

// drawError draws the constant error of a device's clock, ppm. Crystals of
// consumer devices are sold as 20 to 50 ppm and come out normal around zero
// (measured RTP skews reach 60 ppm); telephone equipment that follows a digital
// line or the radio network has none to speak of; servers follow NTP. The
// shares are engineering estimates.
func drawError(r *rand.Rand, hard bool, class string) float64 {
	locked, tcxo := 0.03, 0.08
	switch class {
	case ClassCarrier:
		locked, tcxo = 0.4, 0.3
	case ClassSmallCell:
		locked, tcxo = 0.7, 0.2
	case ClassAdapter, ClassAnchoredPBX, ClassCallCentre:
		locked = 0.08
	}
	switch u := r.Float64(); {
	case u < locked:
		return r.NormFloat64() * 0.03
	case !hard && u < locked+0.45:
		return r.NormFloat64() * 0.6 // the system's clock, held by NTP
	case u < locked+tcxo:
		return r.NormFloat64()
	}
	return drawPPM(r)
}

// equip gives a device of the line a clock and habits of sending. Devices of
// one make are often of one lot, whose crystals agree to about 1 ppm.
func (l *line) equip(n *node) {
	r := l.phys
	hard := drawHardware(r, n.name, l.truth.Class)
	n.clk, n.ppm = drawClock(r, hard), drawError(r, hard, l.truth.Class)
	if hard {
		lot, ok := l.lots[n.name]
		if !ok {
			lot = lotOf{n.ppm, r.IntN(5) < 2}
			l.lots[n.name] = lot
		}
		if lot.one {
			n.ppm = lot.ppm + r.NormFloat64()*0.8
		}
	}
	n.habits(r)
	n.stack(r, l.hops+1)
	l.s.crystals[n.ppm] = true
}

// lotOf is the lot that a line's devices of one make came from, if they did.
type lotOf struct {
	ppm float64
	one bool
}

// stranger gives the error of the clock behind a stream that is passed on, ppm
// being what the scenario drew for it as a crystal. Half of such callers sit
// behind a media gateway of the telephone or mobile network (estimate), which
// has the network's clock. It depends on ppm alone, so that a call that is
// passed on twice keeps its clock; where ppm is that of a device that is here,
// it stays.
func (s *sim) stranger(ppm float64) float64 {
	if !s.wide || s.crystals[ppm] {
		return ppm
	}
	u := math.Float64bits(ppm) * 0x9e3779b97f4a7c15 >> 32
	if u&1 == 0 {
		return ppm * 1e-3
	}
	return ppm
}
