package rtp

import (
	"cmp"
	"slices"
)

// ClockGroups gives the least number of distinct clocks that explain the given
// streams, each by its PPM within PPMError, and how many streams had a clock to
// judge by. It is a lower bound: streams whose error is large agree with
// anything, so whoever concludes "one clock" looks at the errors too.
func ClockGroups(streams []*Stream) (clocks, judged int) {
	type span struct{ lo, hi float64 }
	var spans []span
	for _, s := range streams {
		if s.ClockOK {
			spans = append(spans, span{s.PPM - s.PPMError, s.PPM + s.PPMError})
		}
	}
	// Stabbing intervals with the fewest points: always at the leftmost right
	// end that is not stabbed yet.
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo)) })
	at := 0.0
	for i, s := range spans {
		if i == 0 || s.lo > at {
			clocks++
			at = s.hi
		}
	}
	return clocks, len(spans)
}
