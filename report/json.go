package report

import (
	"io"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/heuristics"
	"simtrap/ident"
)

// WriteJSON writes one object per finding and line, in the order of the
// findings (docs/design.md, "Output contract").
func WriteJSON(w io.Writer, findings []heuristics.Finding, o Options) error {
	var b []byte
	for i := range findings {
		b = append(AppendJSON(b[:0], &findings[i], o), '\n')
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// AppendJSON appends f as one JSON object without a line end. Every field of
// the contract is there, in its order: what is unknown is an empty string, an
// empty array or 0. Nats, ppm and the like have three decimals at most; one
// that is not a finite number is null. Two fields follow the contract's when
// they were asked for: "one_in" {n, probability}, and as the last
// "authority". Behind them stands "hub" {nats, verdict, ring} where the centre adds
// to a line.
func AppendJSON(dst []byte, f *heuristics.Finding, o Options) []byte {
	dst = AppendMessage(dst, Message(f, o))
	if f.Hub.Nats <= 0 {
		return dst
	}
	// It is no part of the message: none of it returns to the hub.
	e := encoder{b: dst[:len(dst)-1]}
	e.key("hub")
	e.open('{')
	e.number("nats", decimals(f.Hub.Nats, 1e3), 1e3)
	e.text("verdict", f.Hub.Verdict.String())
	e.text("ring", wellFormed(f.Hub.Ring))
	e.shut('}')
	e.shut('}')
	return e.b
}

func address(a ident.Addr) string {
	if a.IsZero() {
		return ""
	}
	return a.String()
}

// hex64 writes a hash; as a number it would lose digits in readers that hold
// numbers as float64.
func hex64(v uint64) string {
	if v == 0 {
		return ""
	}
	const zeros = "0000000000000000"
	s := strconv.FormatUint(v, 16)
	return zeros[len(s):] + s
}

// encoder appends JSON. Whether a comma is due shows in the last byte written.
type encoder struct{ b []byte }

func (e *encoder) comma() {
	switch e.b[len(e.b)-1] {
	case '{', '[', ':':
	default:
		e.b = append(e.b, ',')
	}
}

func (e *encoder) open(c byte) {
	e.comma()
	e.b = append(e.b, c)
}

func (e *encoder) shut(c byte) { e.b = append(e.b, c) }

// key takes names of our own only: nothing in them needs an escape.
func (e *encoder) key(k string) {
	e.comma()
	e.b = append(append(append(e.b, '"'), k...), '"', ':')
}

func (e *encoder) element(s string) {
	e.comma()
	e.b = appendString(e.b, s)
}

func (e *encoder) text(k, s string) {
	e.key(k)
	e.b = appendString(e.b, s)
}

func (e *encoder) bool(k string, v bool) {
	e.key(k)
	e.b = strconv.AppendBool(e.b, v)
}

func (e *encoder) int(k string, v int64) {
	e.key(k)
	e.b = strconv.AppendInt(e.b, v, 10)
}

// number writes v to one part in scale. What is no number is null: 0 would be
// a statement.
func (e *encoder) number(k string, v *float64, scale float64) {
	e.key(k)
	if v != nil {
		v = decimals(*v, scale)
	}
	if v == nil {
		e.b = append(e.b, "null"...)
		return
	}
	e.b = strconv.AppendFloat(e.b, *v, 'f', -1, 64)
}

func (e *encoder) time(k string, t *timestamppb.Timestamp) {
	e.key(k)
	if !t.IsValid() {
		e.b = append(e.b, "null"...)
		return
	}
	e.b = append(e.b, '"')
	e.b = t.AsTime().AppendFormat(e.b, time.RFC3339Nano)
	e.b = append(e.b, '"')
}

// AppendString quotes s as JSON that is harmless in a terminal and in a page as
// well: how every text of a finding is written.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

// appendString quotes s so that it is harmless in a terminal and in a page as
// well: besides what RFC 8259 section 7 asks for, everything that has no shape
// of its own is escaped, and so are the marks of HTML. Bytes that are no UTF-8
// become U+FFFD, which is escaped whoever wrote it.
func appendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	unit := func(b []byte, u rune) []byte {
		return append(b, '\\', 'u', digits[u>>12&15], digits[u>>8&15], digits[u>>4&15], digits[u&15])
	}
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r == '<' || r == '>' || r == '&' || r == utf8.RuneError:
			b = unit(b, r)
		case shown(r):
			b = append(b, s[i:i+n]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			b = unit(unit(b, hi), lo)
		default:
			b = unit(b, r)
		}
		i += n
	}
	return append(b, '"')
}
