package match

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Limits of a row.
const (
	maxRow    = 64 << 10 // bytes
	maxFields = 1024
)

// What may be wrong with a row's form.
var (
	errLong   = errors.New("the row has more than 65536 bytes")
	errQuote  = errors.New("a quotation mark is not closed in the row, or something follows it")
	errFields = errors.New("the row has more than 1024 columns")
)

// rows reads comma-separated values (RFC 4180), one row a line: a quoted text that
// goes on in the next line is an error of its row, so that one stray quotation
// mark costs one row and no memory. A row may be of any bytes.
type rows struct {
	in        *bufio.Reader
	separator byte
	line      int64 // of the row given last, from 1
	bytes     int64 // read
	fields    [][]byte
	text      []byte // quoted texts without their quotation marks
}

func newRows(r io.Reader, separator byte) *rows {
	return &rows{in: bufio.NewReaderSize(r, maxRow), separator: separator}
}

// next gives the fields of the next row that is not empty, valid until the next
// call. A row that is wrong is an error of its own, after which next may be called
// again; any other error is the reader's.
func (r *rows) next() ([][]byte, error) {
	for {
		row, err := r.read()
		if err != nil {
			return nil, err
		}
		if r.line == 1 {
			row = bytes.TrimPrefix(row, []byte("\xef\xbb\xbf"))
		}
		if len(bytes.TrimSpace(row)) > 0 {
			return r.split(row)
		}
	}
}

// read gives the next line without its end.
func (r *rows) read() ([]byte, error) {
	row, err := r.in.ReadSlice('\n')
	r.bytes += int64(len(row))
	if len(row) > 0 {
		r.line++
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			row, err = r.in.ReadSlice('\n')
			r.bytes += int64(len(row))
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = errLong
		}
		return nil, err
	}
	if err != nil && (len(row) == 0 || !errors.Is(err, io.EOF)) {
		return nil, err
	}
	row = bytes.TrimSuffix(row, []byte("\n"))
	return bytes.TrimSuffix(row, []byte("\r")), nil
}

func (r *rows) split(row []byte) ([][]byte, error) {
	if r.separator == 0 {
		r.separator = likeliest(row)
	}
	r.fields, r.text = r.fields[:0], r.text[:0]
	if cap(r.text) < len(row) {
		r.text = make([]byte, 0, maxRow) // it does not move below
	}
	for {
		if len(r.fields) == maxFields {
			return nil, errFields
		}
		if len(row) > 0 && row[0] == '"' {
			field, rest, ok := r.quoted(row[1:])
			if !ok {
				return nil, errQuote
			}
			r.fields = append(r.fields, field)
			if len(rest) == 0 {
				return r.fields, nil
			}
			row = rest[1:]
			continue
		}
		at := bytes.IndexByte(row, r.separator)
		if at < 0 {
			r.fields = append(r.fields, row)
			return r.fields, nil
		}
		r.fields = append(r.fields, row[:at])
		row = row[at+1:]
	}
}

// quoted takes a quoted text off row, of which the mark that opens it is gone.
// rest is empty or begins with a separator.
func (r *rows) quoted(row []byte) (field, rest []byte, ok bool) {
	start := len(r.text)
	for {
		at := bytes.IndexByte(row, '"')
		if at < 0 {
			return nil, nil, false
		}
		r.text = append(r.text, row[:at]...)
		row = row[at+1:]
		if len(row) > 0 && row[0] == '"' {
			r.text = append(r.text, '"')
			row = row[1:]
			continue
		}
		return r.text[start:len(r.text):len(r.text)], row, len(row) == 0 || row[0] == r.separator
	}
}

// likeliest is the separator that a row has most of, outside quotation marks.
func likeliest(row []byte) byte {
	var counts [256]int
	quoted := false
	for _, c := range row {
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			counts[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}
