package match

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"simtrap/report"
)

// Names says how what is found is written.
type Names struct {
	// Card and MSISDN name identities; neither may be nil.
	Card   func(text string) string
	MSISDN func(text string) string
	Kind   string // of the cards' identities
	// Authority under which identities stand in clear, empty for pseudonyms.
	Authority string
	Width     int // columns of the table; 0 for 100
}

// coincident says in words what speaks for a card.
func (m *Match) coincident() string {
	text := fmt.Sprintf("%d of its %d answered calls begin and end with calls of the line, those with one number counted once; accident would give %s; e-value %s, %d is enough",
		m.Coincide, m.Records, few(m.Expected), power(m.E), Accepted)
	if m.Early {
		text += "; the line is answered while the mobile network rings"
	}
	if m.Nameless {
		text += "; whom it called is not known, and who often calls the line itself looks the same"
	}
	switch {
	case m.Agree > 0 && m.Differ == 0:
		text += fmt.Sprintf("; the called number is the same in %d", m.Agree)
	case m.Agree+m.Differ > 0:
		text += fmt.Sprintf("; the called number is the same in %d and another in %d", m.Agree, m.Differ)
	}
	return text
}

// few writes a small number with two digits that count.
func few(v float64) string {
	if v >= 10 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if v < 1e-4 {
		return strconv.FormatFloat(v, 'e', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// power writes e to the power of nats.
func power(nats float64) string {
	ten := nats / math.Ln10
	if ten < 4 {
		return strconv.FormatFloat(math.Floor(math.Exp(nats)), 'f', 0, 64)
	}
	return "1e" + strconv.Itoa(int(math.Floor(ten)))
}

func offset(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Truncate(time.Second).Format(time.RFC3339) }

// WriteText writes a table for people: line by line, the surest card first.
func WriteText(w io.Writer, r *Result, n Names) error {
	width := n.Width
	if width == 0 {
		width = 100
	}
	width = min(max(width, 80), 100)
	var b bytes.Buffer
	say := func(indent, text string) {
		for _, s := range report.Wrap(text, width-len(indent)) {
			b.WriteString(strings.TrimRight(indent+s, " "))
			b.WriteByte('\n')
		}
	}
	if n.Authority != "" {
		say("", "identities in clear under authority: "+n.Authority)
	}
	for _, l := range r.Lines {
		var cards []*Match
		for i := range r.Matches {
			if r.Matches[i].Line == l.Name {
				cards = append(cards, &r.Matches[i])
			}
		}
		what := fmt.Sprintf("%s: %s, %s", l.Name, plural(len(l.Events), "answered call", "answered calls"), plural(len(cards), "card behind them", "cards behind them"))
		switch {
		case len(l.Events) == 0:
			what = l.Name + ": no answered call whose times are known"
		case len(cards) == 0:
			what = fmt.Sprintf("%s: %s, no card goes with them", l.Name, plural(len(l.Events), "answered call", "answered calls"))
		}
		say("", what)
		if len(cards) == 0 {
			continue
		}
		fmt.Fprintf(&b, "  %-26s %-12s %-11s %-8s %-7s %s\n", "card", "coincide", "by accident", "e-value", "clock", "number, cells")
		for _, m := range cards {
			clock := offset(m.Offset) + " s"
			if m.Offset > 0 {
				clock = "+" + clock
			}
			rest := strings.Join(m.Cells, ", ")
			if m.MSISDN != "" {
				rest = strings.TrimSuffix(n.MSISDN(m.MSISDN)+", "+rest, ", ")
			}
			row := fmt.Sprintf("%-26s %-12s %-11s %-8s %-7s ", report.Plain(n.Card(m.Card)), fmt.Sprintf("%d of %d", m.Coincide, m.Records), few(m.Expected), power(m.E), clock)
			for i, s := range report.Wrap(rest, max(width-2-len(row), 20)) {
				if i == 0 {
					s = row + s
				} else {
					s = strings.Repeat(" ", len(row)) + s
				}
				b.WriteString(strings.TrimRight("  "+s, " "))
				b.WriteByte('\n')
			}
		}
		b.WriteByte('\n')
	}
	if len(r.Lines) == 0 {
		say("", "no line with calls")
	}
	_, err := w.Write(b.Bytes())
	return err
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// WriteJSON writes one object a line for each card, the surest first. docs/match.md
// tells the fields.
func WriteJSON(w io.Writer, r *Result, n Names) error {
	var b []byte
	for i := range r.Matches {
		b = appendJSON(b[:0], &r.Matches[i], n)
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func appendJSON(b []byte, m *Match, n Names) []byte {
	text := func(key, s string) {
		b = append(append(b, key...), ':')
		b = append(report.AppendString(b, s), ',')
	}
	number := func(key string, v float64) {
		b = append(append(b, key...), ':')
		if math.IsNaN(v) || math.IsInf(v, 0) {
			b = append(b, "null,"...)
			return
		}
		b = append(strconv.AppendFloat(b, v, 'f', -1, 64), ',')
	}
	round := func(v, scale float64) float64 { return math.Round(v*scale) / scale }
	b = append(b, '{')
	text(`"line"`, m.Line)
	text(`"card"`, n.Card(m.Card))
	text(`"kind"`, n.Kind)
	if m.MSISDN != "" {
		text(`"msisdn"`, n.MSISDN(m.MSISDN))
	}
	number(`"coincide"`, float64(m.Coincide))
	number(`"records"`, float64(m.Records))
	number(`"expected"`, round(m.Expected, 1e6))
	number(`"e_log10"`, round(m.E/math.Ln10, 1e3))
	number(`"clock_s"`, m.Offset.Seconds())
	b = append(strconv.AppendBool(append(b, `"early":`...), m.Early), ',')
	text(`"first"`, stamp(m.First))
	text(`"last"`, stamp(m.Last))
	number(`"line_calls"`, float64(m.LineCalls))
	number(`"called_same"`, float64(m.Agree))
	number(`"called_other"`, float64(m.Differ))
	b = append(b, `"cells":[`...)
	for i, c := range m.Cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = report.AppendString(b, c)
	}
	b = append(b, "],"...)
	if n.Authority != "" {
		text(`"authority"`, n.Authority)
	}
	b[len(b)-1] = '}'
	return b
}

// csvNames is the first row of WriteCSV.
const csvNames = "card,kind,msisdn,line,reason,coincide,records,expected,e_log10,clock_s,first,last,cells,authority"

// WriteCSV writes the cards to cut with the reasons, one row for each card and
// line (RFC 4180), harmless to a spreadsheet (report.Disarm).
func WriteCSV(w io.Writer, r *Result, n Names) error {
	var b bytes.Buffer
	b.WriteString(csvNames + "\r\n")
	text := func(s string) {
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(report.Disarm(report.Plain(s)), `"`, `""`))
		b.WriteByte('"')
	}
	for i := range r.Matches {
		m := &r.Matches[i]
		msisdn := ""
		if m.MSISDN != "" {
			msisdn = n.MSISDN(m.MSISDN)
		}
		for k, s := range []string{n.Card(m.Card), n.Kind, msisdn, m.Line, m.coincident()} {
			if k > 0 {
				b.WriteByte(',')
			}
			text(s)
		}
		fmt.Fprintf(&b, ",%d,%d,%s,%.3f,%s,%s,%s,", m.Coincide, m.Records, strconv.FormatFloat(m.Expected, 'f', 6, 64), m.E/math.Ln10, offset(m.Offset), stamp(m.First), stamp(m.Last))
		cells := slices.Clone(m.Cells)
		for k := range cells {
			cells[k] = strings.ReplaceAll(cells[k], ";", "%3B")
		}
		text(strings.Join(cells, "; "))
		b.WriteByte(',')
		text(n.Authority)
		b.WriteString("\r\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Summary tells in lines what was searched and what was left aside.
func Summary(r *Result, c *Counters) []string {
	out := []string{fmt.Sprintf("%s read; %d answered in the lines' time, of about %.0f cards; %s searched, %s looked at in full",
		plural(int(c.Rows), "record", "records"), r.Records, r.Cards, plural(r.Offsets, "clock offset", "clock offsets"), plural(r.Weighed, "card", "cards"))}
	add := func(n uint64, what string) {
		if n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(c.Unanswered, "records of calls that nobody answered")
	add(c.Other, "records whose direction is neither word's")
	var unanswered, unsure, left uint64
	for _, l := range r.Lines {
		unanswered, unsure, left = unanswered+uint64(l.Unanswered), unsure+uint64(l.Unsure), left+uint64(l.Left)
	}
	add(unanswered, "calls of lines that nobody answered")
	add(unsure, "calls of lines whose times are not known well enough")
	add(left, "calls of lines for which there was no room")
	add(uint64(len(r.Timetables)), "cards left out: they coincide as well when the line's calls are shifted, so both keep to a timetable")
	add(uint64(len(r.Called)), "cards left out: the line asked for their own numbers, as one does that calls them")
	nameless := uint64(0)
	for i := range r.Matches {
		if r.Matches[i].Nameless {
			nameless++
		}
	}
	add(nameless, "cards named though the records do not tell whom they called: who often calls the line itself looks the same")
	add(r.Left.Candidates, "records for whose cards there was no room in the first reading: narrow the records to the lines' hours")
	add(uint64(r.Left.Pairs), "cards that were less likely than those looked at: narrow the records to the lines' hours")
	add(uint64(r.Left.Busy), "cards with too many calls to be looked at")
	add(r.Left.Records, "records of cards that were to be looked at, for which there was no room")
	return out
}
