package sessions

import (
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"simtrap/ident"
)

// csvSource reads rows of whole sessions. Its header names the columns: start,
// end and address, and if there are, realm and subscriber, in any order.
type csvSource struct {
	lines   *lines
	columns [nColumns]int // where, -1 for none
	width   int
	end     Event // of the row before, given next
	waiting bool
}

const (
	columnStart = iota
	columnEnd
	columnAddress
	columnRealm
	columnSubscriber
	nColumns
)

// maxName is the bytes of a name, as in RADIUS.
const maxName = 253

// isCSV says whether a first line is the header of such a file.
func isCSV(line string) bool {
	fields, err := cut(line)
	return err == nil && len(fields) > 1 && slices.Contains(fields, "address")
}

func newCSV(l *lines) (*csvSource, error) {
	c := &csvSource{lines: l}
	for {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		fields, err := cut(strings.TrimPrefix(line, "\ufeff"))
		if err != nil {
			return nil, l.fault(err)
		}
		c.width = len(fields)
		for i, name := range [nColumns]string{"start", "end", "address", "realm", "subscriber"} {
			c.columns[i] = slices.Index(fields, name)
			if i <= columnAddress && c.columns[i] < 0 {
				return nil, l.fault(fmt.Errorf("no column %q in the header: want start,end,address[,realm][,subscriber]", name))
			}
		}
		return c, nil
	}
}

// cut splits a row; a row is one line.
func cut(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		fields := strings.Split(line, ",")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		return fields, nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.TrimLeadingSpace = true
	fields, err := r.Read()
	var p *csv.ParseError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fields, err
}

func (c *csvSource) Next() (Event, error) {
	if c.waiting {
		c.waiting = false
		return c.end, nil
	}
	for {
		line, err := c.lines.next()
		if err != nil {
			return Event{}, err
		}
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		e, end, err := c.row(line)
		if err != nil {
			return Event{}, c.lines.fault(err)
		}
		if end != 0 {
			c.end, c.waiting = e, true
			c.end.Time, c.end.Stop = end, true
		}
		return e, nil
	}
}

func (c *csvSource) row(line string) (e Event, end int64, err error) {
	fields, err := cut(line)
	if err != nil {
		return e, 0, err
	}
	if len(fields) != c.width {
		return e, 0, fmt.Errorf("%d fields, the header has %d", len(fields), c.width)
	}
	get := func(i int) string {
		if c.columns[i] < 0 {
			return ""
		}
		return fields[c.columns[i]]
	}
	if e.Time, err = parseTime(get(columnStart)); err != nil {
		return e, 0, fmt.Errorf("start: %w", err)
	}
	if s := get(columnEnd); s != "" { // a session that runs has none
		if end, err = parseTime(s); err != nil {
			return e, 0, fmt.Errorf("end: %w", err)
		}
		if end < e.Time {
			return e, 0, fmt.Errorf("end %s is before start %s", s, get(columnStart))
		}
	}
	if e.Prefix, err = parsePrefix(get(columnAddress)); err != nil {
		return e, 0, err
	}
	e.Realm = get(columnRealm)
	if len(e.Realm) > maxName || len(get(columnSubscriber)) > maxName {
		return e, 0, fmt.Errorf("a name of more than %d bytes", maxName)
	}
	e.Subscriber = ident.NewSubscriber([]byte(get(columnSubscriber)))
	e.Session = sessionOf(e.Prefix, strconv.FormatInt(e.Time, 10), get(columnSubscriber))
	return e, end, nil
}

// sessionOf names a session, never 0.
func sessionOf(p netip.Prefix, texts ...string) uint64 {
	b := p.Addr().As16()
	h := ident.Hash(uint64(p.Bits()), b[:])
	for _, s := range texts {
		h = ident.Hash(h, binary.BigEndian.AppendUint32([]byte(s), uint32(len(s))))
	}
	return h | 1
}

// parseTime reads RFC 3339 or seconds since the Unix epoch, with or without a
// fraction.
func parseTime(s string) (int64, error) {
	fail := fmt.Errorf("%q is no time: want 2026-11-23T10:00:00Z or seconds since 1970", s)
	if whole, frac, has := strings.Cut(s, "."); whole != "" && strings.Trim(whole, "0123456789") == "" {
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil || n > math.MaxInt64/1_000_000_000-1 || has && (frac == "" || strings.Trim(frac, "0123456789") != "") {
			return 0, fail
		}
		ns, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
		return n*1e9 + ns, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fail
	}
	if y := t.UTC().Year(); y < 1970 || y > 2261 {
		return 0, fmt.Errorf("%q: want a year from 1970 to 2261", s)
	}
	return t.UnixNano(), nil
}
