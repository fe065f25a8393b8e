package report

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// count writes n with commas between thousands.
func count[T int | int64 | uint64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	if n > 0 {
		s = strconv.FormatUint(uint64(n), 10)
	}
	start := 0
	if s[0] == '-' {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted writes "1 call" or "2,017 calls".
func counted[T int | int64 | uint64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// nats writes a log-likelihood ratio to one decimal, with its sign.
func nats(v float64) string {
	switch {
	case math.IsNaN(v):
		return "?"
	case math.Abs(v) < 0.05:
		return "0.0"
	case v >= 1000: // no honest ledger has such a row; it must not break the columns
		return ">999"
	case v <= -1000:
		return "<-999"
	case v > 0:
		return "+" + strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// total writes a score or margin, whose sign is of interest only when negative.
func total(v float64) string { return strings.TrimPrefix(nats(v), "+") }

// chance writes a probability with as many decimals as keep it from reading as
// never or always.
func chance(p float64) string {
	if math.IsNaN(p) {
		return "?"
	}
	for n := 2; n < 6; n++ {
		s := strconv.FormatFloat(p, 'f', n, 64)
		if v, _ := strconv.ParseFloat(s, 64); v > 0 && v < 1 || p == 1 {
			return s
		}
	}
	return strconv.FormatFloat(p, 'f', 6, 64)
}

// long writes a duration as people say it, with its two largest units.
func long(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	switch {
	case d < time.Second:
		return count(d.Milliseconds()) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(math.Floor(d.Seconds()*10)/10, 'f', -1, 64) + " s"
	case d < time.Hour:
		return two(d, time.Minute, "min", time.Second, "s")
	case d < 24*time.Hour:
		return two(d, time.Hour, "h", time.Minute, "min")
	}
	return two(d, 24*time.Hour, "d", time.Hour, "h")
}

func two(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	s := count(int64(d/big)) + " " + bigName
	if n := int64(d % big / small); n > 0 {
		s += " " + count(n) + " " + smallName
	}
	return s
}

// span writes a stretch of time in UTC, the date once if it is the same.
func span(first, last int64) string {
	a, b := time.Unix(0, first).UTC(), time.Unix(0, last).UTC()
	to := b.Format("2006-01-02 15:04:05")
	if a.Format("2006-01-02") == b.Format("2006-01-02") {
		to = b.Format("15:04:05")
	}
	return a.Format("2006-01-02 15:04:05") + " to " + to + " UTC (" + long(b.Sub(a)) + ")"
}

// size writes an amount of data in decimal units.
func size(n uint64) string {
	v, unit := float64(n), 0
	for v >= 999.95 && unit < 5 {
		v /= 1000
		unit++
	}
	if unit == 0 {
		return count(n) + " B"
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + []string{"B", "kB", "MB", "GB", "TB", "PB"}[unit]
}

func talk(seconds int) string {
	return long(time.Duration(min(seconds, math.MaxInt32)) * time.Second)
}
