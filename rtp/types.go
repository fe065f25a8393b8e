package rtp

// Types is the table of payload types: what the accounting knows of each
// without signalling. It is 128 entries, as in the kernel program.
type Types [128]Type

// Type is one entry of Types.
type Type struct {
	Rate uint32 // clock rate, Hz, at most 1 MHz; 0 unknown
	Side bool   // never the main payload of a source
}

// DefaultTypes is the static table of RFC 3551 section 6 with two habits: 101
// is telephone-event nearly everywhere, 19 was comfort noise before 13.
func DefaultTypes() Types {
	var t Types
	for _, pt := range []int{0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18, 19, 101} {
		t[pt].Rate = 8000
	}
	for _, pt := range []int{14, 25, 26, 28, 31, 32, 33, 34} {
		t[pt].Rate = 90000
	}
	t[6].Rate = 16000
	t[10].Rate, t[11].Rate = 44100, 44100
	t[16].Rate, t[17].Rate = 11025, 22050
	t[13].Side, t[19].Side, t[101].Side = true, true, true
	return t
}
