package report

import "strings"

// Disarm writes an apostrophe before every character that makes a formula of a
// cell that begins with it: where the text begins, and behind whatever some
// spreadsheet, set to another country, takes for the end of a cell. s must be
// Plain, so tabs and line ends are gone from it.
func Disarm(s string) string {
	if !strings.ContainsAny(s, "=+-@＝＋－＠") {
		return s
	}
	var b strings.Builder
	begins := true
	for _, r := range s {
		switch r {
		case '=', '+', '-', '@', '＝', '＋', '－', '＠':
			if begins {
				b.WriteByte('\'')
			}
			begins = false
		case ',', ';', '|', '"', '\'', '，', '；':
			begins = true
		case ' ':
		default:
			// Plain leaves no other space, and no character that has no shape.
			begins = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
