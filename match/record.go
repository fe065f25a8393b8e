package match

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
)

// Record is one row of call records, as bounds of what it may mean. Times are
// nanoseconds since the Unix epoch, lengths nanoseconds. Texts are views that
// the next row overwrites.
type Record struct {
	Card, Called, Calling, Cell []byte

	Direction Direction
	Answered  bool
	// Answered from Start to StartTo, ended from End to EndTo, talked from
	// Shortest to Longest.
	Start, StartTo    int64
	End, EndTo        int64
	Shortest, Longest int64
}

// Bad is a row that could not be used.
type Bad struct {
	Line   int64 // from 1
	Reason string
}

// maxBad is how many bad rows are told one by one.
const maxBad = 5

// BadRows are the rows that could not be used, the first few by name.
type BadRows struct {
	Count uint64
	First []Bad
}

func (b *BadRows) add(line int64, err error) {
	b.Count++
	if len(b.First) < maxBad {
		b.First = append(b.First, Bad{line, err.Error()})
	}
}

// Counters count rows.
type Counters struct {
	Rows       uint64 // read, without a row of names
	Bad        BadRows
	Unanswered uint64 // calls that nobody took
	Other      uint64 // with a direction that is neither word's
}

// Reader reads call records.
type Reader struct {
	Counters
	rows   *rows
	format Format
	begun  bool
	layout string // of the last time that could be read
}

// NewReader reads the records in r. Without steps in the format, those that
// Inspect found must have been set.
func NewReader(r io.Reader, f *Format) *Reader {
	return &Reader{rows: newRows(r, f.separator), format: *f}
}

// Bytes is how much was read.
func (r *Reader) Bytes() int64 { return r.rows.bytes }

// What may be wrong with a row's content. No error holds any of it: it is
// numbers of people.
var (
	errNoCard    = errors.New("no card in its column")
	errCard      = errors.New("the card's column holds no identity of its kind")
	errTime      = errors.New("a time is not written as the others, or is none of the years 1971 to 2200")
	errDuration  = errors.New("the duration is no number of seconds, minutes or hours, or above seven days")
	errOrder     = errors.New("the call ends before it begins")
	errMissing   = errors.New("the row has fewer columns than the mapping names")
	errNoTime    = errors.New("no time of an answer or start, and nothing that tells it")
	errUTF16     = errors.New("the text is UTF-16: save it as UTF-8 first")
	errNoRecords = errors.New("no row could be read")
)

// Next reads the next record that is sound, into rec. It is io.EOF at the end, a
// *MappingError when the columns named are not there, or the reader's error.
func (r *Reader) Next(rec *Record) error {
	if !r.begun {
		r.begun = true
		if err := r.begin(); err != nil {
			return err
		}
	}
	for {
		fields, err := r.rows.next()
		switch {
		case errors.Is(err, errLong), errors.Is(err, errQuote), errors.Is(err, errFields):
		case err != nil:
			return err
		default:
			err = r.parse(rec, fields)
			if err == nil {
				r.Rows++
				return nil
			}
			if errors.Is(err, errOther) {
				r.Rows++
				r.Other++
				continue
			}
		}
		r.Rows++
		r.Bad.add(r.rows.line, err)
	}
}

var errOther = errors.New("another direction")

// begin reads the row of names.
func (r *Reader) begin() error {
	head, err := r.rows.in.Peek(4)
	if len(head) >= 2 && (bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) || head[1] == 0) {
		return errUTF16
	}
	if len(head) == 0 && err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !r.format.header {
		return nil
	}
	fields, err := r.rows.next()
	if err != nil {
		return err
	}
	return r.format.bind(fields)
}

// field gives a column's text without spaces around it, nil when there is none.
func (r *Reader) field(fields [][]byte, c column) []byte {
	at := r.format.at[c]
	if at < 0 || at >= len(fields) {
		return nil
	}
	return bytes.TrimSpace(fields[at])
}

func (r *Reader) parse(rec *Record, fields [][]byte) error {
	f := &r.format
	if most := slices.Max(f.at[:]); most >= len(fields) {
		return errMissing
	}
	*rec = Record{
		Card: r.field(fields, colCard), Called: r.field(fields, colCalled),
		Calling: r.field(fields, colCalling), Cell: r.field(fields, colCell),
	}
	if len(rec.Card) == 0 {
		return errNoCard
	}
	if !f.identity(rec.Card) {
		return errCard
	}
	if f.at[colDirection] >= 0 {
		switch word := r.field(fields, colDirection); {
		case contains(f.out, word):
			rec.Direction = Outgoing
		case contains(f.in, word):
			rec.Direction = Incoming
		default:
			return errOther
		}
	}
	return r.times(rec, fields)
}

// contains says whether a word is among words of small letters.
func contains(words []string, word []byte) bool {
	for _, w := range words {
		if len(w) == len(word) && bytes.EqualFold([]byte(w), word) {
			return true
		}
	}
	return false
}

// identity says whether b may be a card's: digits, as many as its kind has.
func (f *Format) identity(b []byte) bool {
	least, most := 3, 20 // numbers, with what stands before them
	switch f.Kind {
	case IMSI:
		least, most = 6, 15
	case ICCID:
		least, most = 18, 22
	}
	digits := 0
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case f.Kind == ICCID && (c|0x20 >= 'a' && c|0x20 <= 'f'): // filling, at the end
			digits++
		case f.Kind == MSISDN && (c == '+' && i == 0 || c == ' ' || c == '-'):
		default:
			return false
		}
	}
	return digits >= least && digits <= most
}

// times works out what the row may mean. A start without an answer is taken for
// the answer where no end tells more: most billing records have it so.
func (r *Reader) times(rec *Record, fields [][]byte) error {
	f := &r.format
	var start, answer, end, length int64
	for _, x := range []struct {
		c  column
		to *int64
	}{{colStart, &start}, {colAnswer, &answer}, {colEnd, &end}} {
		b := r.field(fields, x.c)
		if len(b) == 0 {
			continue
		}
		t, ok := r.time(b)
		if !ok {
			return errTime
		}
		*x.to = t
	}
	known := false
	if b := r.field(fields, colDuration); len(b) > 0 {
		var ok bool
		if length, ok = f.duration(b); !ok {
			return errDuration
		}
		known = true
	}
	if known && length == 0 || !known && f.at[colDuration] >= 0 || answer == 0 && f.at[colAnswer] >= 0 {
		r.Unanswered++
		return nil
	}
	step, lengthStep := int64(f.step), int64(f.lengthStep)
	if known {
		// Seconds are cut off, rounded or counted as begun; above that billing
		// counts what was begun.
		rec.Shortest, rec.Longest = max(length-lengthStep, 0), length
		if lengthStep <= int64(time.Second) {
			rec.Longest += lengthStep
		}
	}
	switch {
	case answer != 0:
	case end != 0 && known:
		answer = 0 // from end and length, below
	case start != 0:
		answer = start
	default:
		return errNoTime
	}
	switch {
	case answer != 0 && end != 0:
		rec.Start, rec.StartTo, rec.End, rec.EndTo = answer, answer+step, end, end+step
		if !known {
			rec.Shortest, rec.Longest = max(end-answer-step, 0), end-answer+step
		}
		if end < answer {
			return errOrder
		}
		if !known && end == answer && step <= int64(time.Second) {
			r.Unanswered++
			return nil
		}
	case answer != 0 && known:
		rec.Start, rec.StartTo = answer, answer+step
		rec.End, rec.EndTo = answer+rec.Shortest, answer+step+rec.Longest
	case end != 0 && known:
		rec.End, rec.EndTo = end, end+step
		rec.Start, rec.StartTo = end-rec.Longest, end+step-rec.Shortest
	default:
		return errNoTime
	}
	if rec.Longest > maxCall {
		return errDuration
	}
	rec.Answered = true
	return nil
}

// Times beyond which something is wrong, seconds since the Unix epoch: the years
// 1971 and 2200.
const earliest, latest = 31_536_000, 7_258_118_400

func (r *Reader) time(b []byte) (int64, bool) {
	if r.format.layout != "" {
		return r.timeAs(b, r.format.layout)
	}
	if r.layout != "" {
		if t, ok := r.timeAs(b, r.layout); ok {
			return t, true
		}
	}
	for _, layout := range anyLayouts() {
		if t, ok := r.timeAs(b, layout); ok {
			r.layout = layout
			return t, true
		}
	}
	return 0, false
}

func (r *Reader) timeAs(b []byte, layout string) (int64, bool) {
	switch layout {
	case layoutUnix, layoutUnixMS:
		scale, digits := int64(time.Second), 10
		if layout == layoutUnixMS {
			scale, digits = int64(time.Millisecond), 13
		}
		whole, fraction, _ := bytes.Cut(b, []byte("."))
		if len(whole) > digits || r.format.layout == "" && len(whole) != digits {
			return 0, false
		}
		n, err := strconv.ParseInt(string(whole), 10, 64)
		if err != nil || n < 0 {
			return 0, false
		}
		t := n * scale
		if len(fraction) > 0 {
			x, err := strconv.ParseUint(string(fraction[:min(len(fraction), 9)]), 10, 32)
			if err != nil {
				return 0, false
			}
			t += int64(float64(x) / math.Pow10(min(len(fraction), 9)) * float64(scale))
		}
		return t, t/1e9 >= earliest && t/1e9 <= latest
	}
	t, err := time.ParseInLocation(layout, string(b), r.format.zone)
	if err != nil || t.Unix() < earliest || t.Unix() > latest {
		return 0, false
	}
	return t.UnixNano(), true
}

// duration reads a number of the unit, or hours, minutes and seconds with colons.
func (f *Format) duration(b []byte) (int64, bool) {
	if !bytes.Contains(b, []byte(":")) {
		v, err := strconv.ParseFloat(string(b), 64)
		d := v * float64(f.unit)
		if err != nil || !(d >= 0 && d <= float64(maxCall)) {
			return 0, false
		}
		return int64(math.Round(d)), true
	}
	total, n := int64(0), 0
	for part := range bytes.SplitSeq(b, []byte(":")) {
		v, err := strconv.ParseUint(string(part), 10, 16)
		if n++; err != nil || n > 3 || n > 1 && v > 59 {
			return 0, false
		}
		total = total*60 + int64(v)
	}
	total *= int64(time.Second)
	return total, total <= maxCall
}

// Sample is what the first rows show.
type Sample struct {
	TimeStep, DurationStep time.Duration
	Rows                   int
	RowBytes               int64 // of a row, about
}

// sampleRows is how many rows are looked at for how coarse times are.
const sampleRows = 2000

// Inspect reads the first rows and sets in f how coarse their times and durations
// are, where the mapping did not say. It fails where no row can be read, with what
// was wrong with the first.
func Inspect(in io.Reader, f *Format) (s Sample, err error) {
	probe := *f
	probe.step, probe.lengthStep = time.Second, time.Second
	r := NewReader(in, &probe)
	var rec Record
	var starts, lengths int64
	good := 0
	for s.Rows < sampleRows {
		if err := r.Next(&rec); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return s, err
		}
		s.Rows++
		if !rec.Answered {
			continue
		}
		good++
		// The bounds above are of steps of a second.
		if r.format.at[colAnswer] >= 0 || r.format.at[colStart] >= 0 {
			starts = gcd(starts, rec.Start)
		} else {
			starts = gcd(starts, rec.End)
		}
		if r.format.at[colDuration] >= 0 {
			lengths = gcd(lengths, rec.Longest-int64(time.Second))
		}
	}
	if s.Rows == 0 {
		if first := r.Bad.First; len(first) > 0 {
			return s, errors.New("no row could be read: line " + strconv.FormatInt(first[0].Line, 10) + ": " + first[0].Reason)
		}
		return s, errNoRecords
	}
	s.RowBytes = max(r.Bytes()/int64(max(r.Rows, 1)), 1)
	if f.step == 0 {
		f.step = coarse(starts, good)
	}
	if f.lengthStep == 0 {
		f.lengthStep = coarse(lengths, good)
	}
	s.TimeStep, s.DurationStep = f.step, f.lengthStep
	return s, nil
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a)
}

// coarse is the step of values with that greatest common divisor: at least a
// millisecond. Few values may share one by chance.
func coarse(divisor int64, n int) time.Duration {
	d := time.Duration(divisor)
	switch {
	case d < 100*time.Millisecond:
		return 100 * time.Millisecond
	case d < time.Second:
		return d
	case n < 20:
		return time.Second
	}
	// Clocks and billing count in parts of a minute.
	for _, step := range []time.Duration{60, 30, 20, 15, 12, 10, 6, 5, 4, 3, 2} {
		if d%(step*time.Second) == 0 {
			return step * time.Second
		}
	}
	return time.Second
}
