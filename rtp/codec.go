package rtp

import "math"

// Codec is what a payload type carries, by the static table or by signalling.
type Codec uint8

const (
	CodecUnknown Codec = iota
	CodecPCMU
	CodecPCMA
	CodecG729
	CodecG723
	CodecGSM
	CodecEFR
	CodecILBC
	CodecG722
	CodecAMR
	CodecAMRWB
	CodecEVS
	CodecOpus
	CodecOther // one that signalling names and we do not tell apart

	CodecEvent // telephone events (RFC 4733): no sound
	CodecNoise // comfort noise (RFC 3389): no sound
)

// String gives the encoding name of RFC 3551 and its successors.
func (c Codec) String() string {
	return [...]string{"", "PCMU", "PCMA", "G729", "G723", "GSM", "GSM-EFR", "iLBC", "G722", "AMR", "AMR-WB", "EVS", "opus", "other", "telephone-event", "CN"}[c]
}

// Sound says whether a payload type of c can be a source's main one.
func (c Codec) Sound() bool { return c != CodecEvent && c != CodecNoise }

// staticCodec is the codec that a payload type has without signalling.
func staticCodec(pt uint8) Codec {
	switch pt {
	case 0:
		return CodecPCMU
	case 3:
		return CodecGSM
	case 4:
		return CodecG723
	case 8:
		return CodecPCMA
	case 9:
		return CodecG722
	case 13, 19:
		return CodecNoise
	case 18:
		return CodecG729
	case 101:
		return CodecEvent
	}
	return CodecUnknown
}

// impairment is what ITU-T G.113 appendix I gives for a codec: Ie without loss,
// and Bpl, how well it bears loss. ok is false for codecs that the appendix does
// not list with both, and for wide-band ones, which have another scale. AMR is
// not among them: the appendix knows its 12.2 kbit/s mode alone, under the name
// of GSM-EFR, and the mode is payload.
func (c Codec) impairment() (ie, bpl float64, ok bool) {
	switch c {
	case CodecPCMU, CodecPCMA:
		return 0, 25.1, true // with the loss concealment of G.711 appendix I
	case CodecG729:
		return 11, 19, true // G.729A
	case CodecG723:
		return 15, 16.1, true // 6.3 kbit/s
	case CodecEFR:
		return 5, 10, true
	}
	return 0, 0, false
}

// rating is R of the E-model (ITU-T G.107, 06/2015) with its default values for
// everything that a tap cannot know: R0 - Is = 93.2. loss is a fraction, runs
// the mean length of a run of lost packets, delay the one-way delay in ms, 0
// when unknown, which rates it as none. Echo is not in it.
func rating(ie, bpl, loss, runs, delay float64) float64 {
	r := 93.2
	if loss > 0 {
		// Equation 7-29: the burst ratio is the mean length of a run over what it
		// would be were losses independent.
		burst := math.Max(1, runs*(1-loss))
		ie += (95 - ie) * 100 * loss / (100*loss/burst + bpl)
	}
	if delay > 100 { // equation 7-28
		x := math.Log2(delay / 100)
		r -= 25 * (math.Pow(1+math.Pow(x, 6), 1.0/6) - 3*math.Pow(1+math.Pow(x/3, 6), 1.0/6) + 2)
	}
	return r - ie
}

// opinion is the mean opinion score of R (ITU-T G.107 annex B).
func opinion(r float64) float64 {
	switch {
	case r <= 6.5: // below, the polynomial falls under 1
		return 1
	case r >= 100:
		return 4.5
	}
	return 1 + 0.035*r + r*(r-60)*(100-r)*7e-6
}
