package sip

import (
	"encoding/binary"
	"math/bits"
)

// Sets of bytes below 64, as bit masks: every delimiter of SIP except "@" and
// the brackets lies there.
const (
	blankSet = 1<<' ' | 1<<'\t' | 1<<'\r' | 1<<'\n' // LWS, a folded line end included
	paramSet = blankSet | 1<<';' | 1<<',' | 1<<'='
	valueSet = blankSet | 1<<';' | 1<<','
	// RFC 3261 section 25.1, token.
	tokenLow  = 1<<'!' | 1<<'%' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.' | 0x3ff<<'0'
	tokenHigh = 0x3ffffff<<('A'-64) | 0x3ffffff<<('a'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('~'-64)
)

func in(c byte, set uint64) bool { return c < 64 && set>>(c&63)&1 != 0 }

func isToken(c byte) bool {
	if c < 64 {
		return uint64(tokenLow)>>(c&63)&1 != 0
	}
	return c < 128 && uint64(tokenHigh)>>(c&63)&1 != 0
}

func isDigit(c byte) bool { return c-'0' < 10 }

// span counts how many leading bytes of b are outside set.
func span(b []byte, set uint64) int {
	for i, c := range b {
		if in(c, set) {
			return i
		}
	}
	return len(b)
}

// spanValue is span for valueSet, eight bytes at a time: this is where most of
// the bytes of a message go.
func spanValue(b []byte) int {
	const ones = 0x0101010101010101
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		x := w ^ ';'*ones
		// The top bit of a byte is set where it is ";" or not above ",". Only
		// the lowest such bit is sure, which is enough.
		hit := ((w-(','+1)*ones)&^w | (x-ones)&^x) & (0x80 * ones)
		for ; hit != 0; hit &= hit - 1 {
			k := i + bits.TrailingZeros64(hit)/8
			if in(b[k], valueSet) {
				return k
			}
		}
	}
	for ; i < len(b); i++ {
		if in(b[i], valueSet) {
			break
		}
	}
	return i
}

// skip drops blanks, folds included, from the front of b.
func skip(b []byte) []byte {
	for len(b) > 0 && in(b[0], blankSet) {
		b = b[1:]
	}
	return b
}

// trim drops blanks, folds included, from both ends of b.
func trim(b []byte) []byte {
	b = skip(b)
	for len(b) > 0 && in(b[len(b)-1], blankSet) {
		b = b[:len(b)-1]
	}
	return b
}

// fold says whether b begins with word, which is in lower case, whatever the
// case of the letters of b.
func fold(b []byte, word string) bool {
	return len(b) >= len(word) && (string(b[:len(word)]) == word || foldSlow(b, word))
}

func foldSlow(b []byte, word string) bool {
	for i := range len(word) {
		c := b[i]
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// is says whether b is word, which is in lower case, whatever the case of b.
func is(b []byte, word string) bool { return len(b) == len(word) && fold(b, word) }

// number reads leading digits: their value, not above limit, how many digits
// there are, and whether limit had to be applied.
func number(b []byte, limit uint64) (v uint64, n int, over bool) {
	for n < len(b) && isDigit(b[n]) {
		if v = v*10 + uint64(b[n]-'0'); v > limit {
			v, over = limit, true
		}
		n++
	}
	return v, n, over
}

// quoteEnd gives the index behind the quoted string that b begins with, -1 when
// it does not end (RFC 3261 section 25.1, quoted-string).
func quoteEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// nextParam reads one ";name=value" from the front of b, whose leading blanks
// it skips. more is false at the end of b or at a comma, where the next list
// element begins; rest then begins with that comma or is empty. A value in
// quotes keeps them.
func nextParam(b []byte, l *Leniency) (name, value, rest []byte, more bool) {
	b = skip(b)
	if len(b) == 0 || b[0] == ',' {
		return nil, nil, b, false
	}
	if b[0] != ';' {
		*l |= LenientParam
		if b[0] == '"' {
			if e := quoteEnd(b); e > 0 {
				return nil, nil, b[e:], true
			}
			*l |= LenientQuote
		}
		n := 1 + span(b[1:], 1<<';'|1<<',')
		return nil, nil, b[n:], true
	}
	b = skip(b[1:])
	n := span(b, paramSet)
	if n == 0 {
		*l |= LenientParam
	}
	name, b = b[:n], b[n:]
	if len(b) > 0 && in(b[0], blankSet) {
		b = skip(b)
	}
	if len(b) == 0 || b[0] != '=' {
		return name, nil, b, true
	}
	if b = b[1:]; len(b) > 0 && in(b[0], blankSet) {
		b = skip(b)
	}
	if len(b) > 0 && b[0] == '"' {
		if n = quoteEnd(b); n < 0 {
			*l |= LenientQuote
			n = len(b)
		}
	} else {
		n = spanValue(b)
	}
	return name, b[:n], b[n:], true
}
