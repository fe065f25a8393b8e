package report

import (
	"strings"

	"github.com/rivo/uniseg"
)

// Wrap breaks text into lines of at most width columns, at spaces where it can,
// where Unicode lets a line end (UAX #14: between Chinese characters, not before
// their full stops) in words beyond ASCII, and within a piece that is longer than
// a line. There is always one line, and the text is made Plain. A width below 2,
// which no wide character fits, is taken as 2.
func Wrap(text string, width int) []string {
	width = max(width, 2)
	var lines []string
	var line strings.Builder
	used := 0
	flush := func() {
		lines = append(lines, line.String())
		line.Reset()
		used = 0
	}
	for word := range strings.FieldsSeq(Plain(text)) {
		space := 1
		for state := -1; word != ""; space = 0 {
			piece := word
			if columns(word) != len(word) {
				piece, word, _, state = uniseg.FirstLineSegmentInString(word, state)
			} else {
				word = ""
			}
			n := columns(piece)
			if used > 0 && used+space+n > width {
				flush()
			}
			if used > 0 && space > 0 {
				line.WriteByte(' ')
				used++
			}
			for n > width-used {
				head, tail := cut(piece, width-used)
				line.WriteString(head)
				flush()
				piece, n = tail, columns(tail)
			}
			line.WriteString(piece)
			used += n
		}
	}
	if used > 0 || len(lines) == 0 {
		flush()
	}
	return lines
}

// columns is how many columns of a terminal s takes.
func columns(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return uniseg.StringWidth(s)
		}
	}
	return len(s)
}

// cut splits s behind as many whole characters as fit into width columns, at
// least one.
func cut(s string, width int) (head, tail string) {
	n, used, state := 0, 0, -1
	for rest := s; rest != ""; {
		var cluster string
		var w int
		cluster, rest, w, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if n > 0 && used+w > width {
			break
		}
		n += len(cluster)
		used += w
	}
	return s[:n], s[n:]
}

// pad fills s with spaces up to width columns.
func pad(s string, width int) string {
	if n := columns(s); n < width {
		return s + strings.Repeat(" ", width-n)
	}
	return s
}

// lpad fills s with spaces in front, up to width columns.
func lpad(s string, width int) string {
	if n := columns(s); n < width {
		return strings.Repeat(" ", width-n) + s
	}
	return s
}
