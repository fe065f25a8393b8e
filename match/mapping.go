package match

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Mapping says which column of the records is what, and how they are written. A
// column is named as in the first row, or by its number from 1.
type Mapping struct {
	Card      string `yaml:"card"`      // identity of the card; needed
	Kind      string `yaml:"kind"`      // of that: imsi, iccid, msisdn; "" where the column's name says so
	Called    string `yaml:"called"`    // number called
	Calling   string `yaml:"calling"`   // number calling
	Start     string `yaml:"start"`     // when the call was asked for
	Answer    string `yaml:"answer"`    // when it was answered
	End       string `yaml:"end"`       // when it ended
	Duration  string `yaml:"duration"`  // from answer to end
	Direction string `yaml:"direction"` // whether the card calls or is called
	Cell      string `yaml:"cell"`      // where the card was

	// Outgoing and Incoming are the words in Direction's column, whatever their
	// case; rows with others are left aside. Without, mo, moc, out, outgoing,
	// originating and mt, mtc, in, incoming, terminating.
	Outgoing []string `yaml:"outgoing"`
	Incoming []string `yaml:"incoming"`

	// Time is how times are written: rfc3339, unix, unixms, or a pattern of YYYY,
	// YY, MM, DD, hh, mm, ss; "" for any of rfc3339, unix, unixms, "YYYY-MM-DD
	// hh:mm:ss", with T or slashes, and YYYYMMDDhhmmss.
	Time string `yaml:"time"`
	Zone string `yaml:"zone"` // of times that name none: Asia/Shanghai, +08:00; "" for UTC
	Unit string `yaml:"unit"` // of a duration that is a number: s (also ""), ms, min

	Header    *bool  `yaml:"header"`    // whether the first row has names; nil: where a column is named
	Separator string `yaml:"separator"` // one character or "tab"; "" for the likeliest

	// TimeStep and DurationStep are how coarse times and durations are: 1s, 1m.
	// Times are taken for cut off, durations of a step above a second for rounded
	// up. "" for what a sample of the rows shows.
	TimeStep     string `yaml:"time-step"`
	DurationStep string `yaml:"duration-step"`

	ClockError string `yaml:"clock-error"` // how far the records' clock may be off, either way; "" for 10s
}

// maxMapping is the size of a mapping file, bytes.
const maxMapping = 1 << 20

// ReadMapping reads a mapping of YAML or JSON. What it has no field for is an
// error.
func ReadMapping(r io.Reader) (m Mapping, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxMapping+1))
	if err != nil {
		return m, err
	}
	if len(b) > maxMapping {
		return m, fmt.Errorf("more than %d bytes: no mapping", maxMapping)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		return m, errors.New(strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", "; "))
	}
	return m, nil
}

// Kinds of cards' identities.
const (
	IMSI   = "imsi"
	ICCID  = "iccid"
	MSISDN = "msisdn"
)

// columns of a record.
type column uint8

const (
	colCard column = iota
	colCalled
	colCalling
	colStart
	colAnswer
	colEnd
	colDuration
	colDirection
	colCell
	columnCount
)

// MappingError is a mapping that does not fit, by the field that is wrong.
type MappingError struct {
	Field string
	Err   error
}

func (e *MappingError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *MappingError) Unwrap() error { return e.Err }

func wrongField(field, format string, args ...any) error {
	return &MappingError{field, fmt.Errorf(format, args...)}
}

// Format is a mapping that has been checked.
type Format struct {
	Kind       string // of the cards' identities
	ClockError time.Duration

	names      [columnCount]string
	at         [columnCount]int // from 0; -1 none
	named      bool
	header     bool
	separator  byte // 0: the likeliest
	out, in    []string
	layout     string // "" any
	zone       *time.Location
	unit       time.Duration
	step       time.Duration // of times; 0: to be seen
	lengthStep time.Duration
}

// Format checks a mapping.
func (m *Mapping) Format() (*Format, error) {
	f := &Format{
		names: [columnCount]string{m.Card, m.Called, m.Calling, m.Start, m.Answer, m.End, m.Duration, m.Direction, m.Cell},
		unit:  time.Second, ClockError: 10 * time.Second,
	}
	if m.Card == "" {
		return nil, wrongField("card", "name the column that holds the card's identity")
	}
	if m.Answer == "" && m.Start == "" && (m.End == "" || m.Duration == "") {
		return nil, wrongField("answer", "name the column of the answer's time, or of the start's, or those of the end and the duration")
	}
	if m.End == "" && m.Duration == "" {
		return nil, wrongField("duration", "name the column of the duration, or of the end")
	}
	for c, name := range f.names {
		f.at[c] = -1
		if name == "" {
			continue
		}
		if n, err := strconv.Atoi(name); err == nil {
			if n < 1 || n > maxFields {
				return nil, wrongField(fieldOf(column(c)), "column %d: want 1 to %d", n, maxFields)
			}
			f.at[c] = n - 1
			continue
		}
		f.named = true
	}
	f.header = f.named
	if m.Header != nil {
		if f.header = *m.Header; !f.header && f.named {
			return nil, wrongField("header", "columns are named, so the first row must have the names")
		}
	}
	switch m.Kind {
	case "":
		name := strings.ToLower(m.Card)
		for _, k := range []string{IMSI, ICCID, MSISDN} {
			if strings.Contains(name, k) {
				f.Kind = k
			}
		}
		if f.Kind == "" {
			return nil, wrongField("kind", "say what the card's column holds: imsi, iccid or msisdn")
		}
	case IMSI, ICCID, MSISDN:
		f.Kind = m.Kind
	default:
		return nil, wrongField("kind", "%q: want imsi, iccid or msisdn", m.Kind)
	}
	switch m.Separator {
	case "":
	case "tab", "\\t":
		f.separator = '\t'
	default:
		c := m.Separator[0]
		if len(m.Separator) != 1 || c == '"' || c == '\n' || c == '\r' || c >= 0x80 {
			return nil, wrongField("separator", "%q: want one character such as , or ; or |, or tab", m.Separator)
		}
		f.separator = c
	}
	f.out, f.in = lower(m.Outgoing), lower(m.Incoming)
	if len(f.out)+len(f.in) == 0 {
		f.out = []string{"mo", "moc", "out", "outgoing", "originating"}
		f.in = []string{"mt", "mtc", "in", "incoming", "terminating"}
	}
	var err error
	if f.layout, err = layoutOf(m.Time); err != nil {
		return nil, &MappingError{"time", err}
	}
	if f.zone, err = zoneOf(m.Zone); err != nil {
		return nil, &MappingError{"zone", err}
	}
	switch m.Unit {
	case "", "s":
	case "ms":
		f.unit = time.Millisecond
	case "min":
		f.unit = time.Minute
	default:
		return nil, wrongField("unit", "%q: want s, ms or min", m.Unit)
	}
	for _, x := range []struct {
		field, text string
		to          *time.Duration
		most        time.Duration
	}{
		{"time-step", m.TimeStep, &f.step, 10 * time.Minute},
		{"duration-step", m.DurationStep, &f.lengthStep, 10 * time.Minute},
		{"clock-error", m.ClockError, &f.ClockError, 10 * time.Minute},
	} {
		if x.text == "" {
			continue
		}
		d, err := time.ParseDuration(x.text)
		if err != nil || d < 0 || d > x.most || d == 0 && x.to != &f.ClockError {
			return nil, wrongField(x.field, "%q: want a time such as 1s or 1m, at most %v", x.text, x.most)
		}
		*x.to = d
	}
	return f, nil
}

func fieldOf(c column) string {
	return [...]string{"card", "called", "calling", "start", "answer", "end", "duration", "direction", "cell"}[c]
}

func lower(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(strings.TrimSpace(w))
	}
	return out
}

// Layouts that are no pattern of package time.
const (
	layoutUnix   = "unix"
	layoutUnixMS = "unixms"
)

// anyLayouts are tried where none is given. None can be taken for another: where
// days and months may be mistaken the pattern must be told.
func anyLayouts() []string {
	return []string{
		"2006-1-2 15:04:05", "2006-1-2T15:04:05", time.RFC3339, "2006/1/2 15:04:05", "20060102150405",
		"2006-1-2 15:04:05Z07:00", "2006-1-2 15:04", "2006/1/2 15:04", layoutUnix, layoutUnixMS,
	}
}

// layoutOf turns a pattern into a layout of package time.
func layoutOf(pattern string) (string, error) {
	switch strings.ToLower(pattern) {
	case "":
		return "", nil
	case "rfc3339":
		return time.RFC3339, nil
	case layoutUnix, layoutUnixMS:
		return strings.ToLower(pattern), nil
	}
	tokens := []struct{ from, to string }{
		{"YYYY", "2006"}, {"YY", "06"}, {"MM", "01"}, {"DD", "02"}, {"hh", "15"}, {"HH", "15"}, {"mm", "04"}, {"ss", "05"}, {"SSS", "000"}, {"Z", "Z07:00"},
	}
	var b strings.Builder
	has := ""
next:
	for rest := pattern; rest != ""; {
		for _, t := range tokens {
			if strings.HasPrefix(rest, t.from) {
				b.WriteString(t.to)
				has += t.from + " "
				rest = rest[len(t.from):]
				continue next
			}
		}
		c := rest[0]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' && c != 'T' || c == '_' {
			return "", fmt.Errorf("%q at %q: want rfc3339, unix, unixms or a pattern such as \"YYYY-MM-DD hh:mm:ss\"", pattern, rest)
		}
		b.WriteByte(c)
		rest = rest[1:]
	}
	for _, need := range []string{"YY", "MM", "DD", "mm"} {
		if !strings.Contains(has, need) {
			return "", fmt.Errorf("%q has no %s: want rfc3339, unix, unixms or a pattern such as \"YYYY-MM-DD hh:mm:ss\"", pattern, need)
		}
	}
	return b.String(), nil
}

// zoneOf reads a zone's name or its distance from UTC.
func zoneOf(s string) (*time.Location, error) {
	if s == "" || strings.EqualFold(s, "utc") || s == "Z" {
		return time.UTC, nil
	}
	if s[0] == '+' || s[0] == '-' {
		for _, layout := range []string{"-07:00", "-0700", "-07"} {
			if t, err := time.Parse(layout, s); err == nil {
				_, off := t.Zone()
				return time.FixedZone(s, off), nil
			}
		}
		return nil, fmt.Errorf("%q: want a distance such as +08:00", s)
	}
	if strings.EqualFold(s, "local") {
		return nil, errors.New("local: name the zone, such as Asia/Shanghai, since records come from elsewhere")
	}
	l, err := time.LoadLocation(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no known time zone: want a name such as Asia/Shanghai, or a distance such as +08:00", s)
	}
	return l, nil
}

// bind finds the columns in the first row.
func (f *Format) bind(fields [][]byte) error {
	for c, name := range f.names {
		if name == "" || f.at[c] >= 0 {
			continue
		}
		n := slices.IndexFunc(fields, func(b []byte) bool { return strings.EqualFold(string(bytes.TrimSpace(b)), name) })
		if n < 0 {
			return wrongField(fieldOf(column(c)), "there is no column %q in the first row, which has %s", name, columnNames(fields))
		}
		f.at[c] = n
	}
	return nil
}

// columnNames tells the names in a first row. What looks like no name is not told:
// where the file has no names, its first row has numbers of people.
func columnNames(fields [][]byte) string {
	var names []string
	for _, b := range fields {
		if len(names) == 20 {
			names = append(names, "...")
			break
		}
		digits := 0
		for _, c := range b {
			if c >= '0' && c <= '9' {
				digits++
			}
		}
		if digits > 3 || len(b) > 40 {
			names = append(names, "(no name)")
			continue
		}
		names = append(names, strconv.Quote(string(bytes.TrimSpace(b))))
	}
	return strings.Join(names, ", ")
}
