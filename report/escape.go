package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown says whether r may be written as it stands. What has no shape of its
// own may not: control characters, the marks that turn the direction of
// writing, zero-width and private characters, odd spaces, and the few letters
// and symbols that are drawn as nothing.
func shown(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return r >= ' ' && r != 0x7f
	case r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0100 && r <= 0xe01ef: // variation selectors
		return false
	case r == 0x034f, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0x2800, r == 0x3164, r == 0xffa0:
		return false
	}
	return unicode.IsPrint(r)
}

// maxMarks is how many combining marks one character may carry in a table;
// more of them climb over the lines above.
const maxMarks = 2

// Plain makes text safe for a terminal and for one line: what has no shape of
// its own is written as \xNN, \u{NNNN} or its short form.
func Plain(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	marks := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < utf8.RuneSelf && !shown(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case !shown(r) || marks > maxMarks:
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}
