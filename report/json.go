package report

import (
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

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
// they were asked for: "one_in" {n, probability}, and as the very last
// "authority".
func AppendJSON(dst []byte, f *heuristics.Finding, o Options) []byte {
	e := encoder{b: append(dst, '{')}
	e.text("line", o.line(f.Line))
	e.text("verdict", f.Verdict.String())
	e.bool("proof", f.Proof)
	e.float("score", f.Score)
	e.float("margin", f.Margin)
	e.text("nearest", f.Nearest)
	e.bool("declared", f.Declared)

	e.key("device")
	e.open('{')
	e.text("vendor", f.Device.Vendor)
	e.text("model", f.Device.Model)
	e.int("channels", f.Device.Channels)
	e.shut('}')

	e.key("controllers")
	e.open('[')
	for _, c := range f.Controllers {
		e.open('{')
		e.text("addr", address(c.Addr))
		e.text("role", c.Role)
		e.shut('}')
	}
	e.shut(']')

	e.key("cards")
	e.open('[')
	for _, c := range f.Cards {
		e.open('{')
		e.text("imsi", o.Names.IMSI(c.IMSI))
		e.text("imei", o.Names.IMEI(c.IMEI))
		e.text("iccid", o.Names.ICCID(c.ICCID))
		e.text("msisdn", o.number(c.MSISDN))
		e.shut('}')
	}
	e.shut(']')

	e.key("calls")
	e.open('{')
	e.int("inbound", f.Calls.Inbound)
	e.int("outbound", f.Calls.Outbound)
	e.int("answered", f.Calls.Answered)
	e.int("verified", f.Calls.Verified)
	e.int("peak_concurrent", f.Calls.PeakConcurrent)
	e.int("distinct_called", f.Calls.DistinctCalled)
	e.int("streams", f.Calls.Streams)
	e.int("talk_seconds", f.Calls.TalkSeconds)
	e.shut('}')

	e.key("signals")
	e.open('[')
	for _, s := range f.Signals {
		e.open('{')
		e.text("id", s.ID)
		e.text("family", s.Family)
		e.float("nats", s.Nats)
		e.text("against", s.Against)
		e.text("detail", s.Detail)
		e.shut('}')
	}
	e.shut(']')

	e.key("unseen")
	e.open('[')
	for _, s := range f.Unseen {
		e.element(s)
	}
	e.shut(']')

	e.key("links")
	e.open('{')
	e.key("accounts")
	e.open('[')
	for _, a := range f.Links.Accounts {
		e.element(o.Names.Account(a))
	}
	e.shut(']')
	e.text("stack", hex64(f.Links.Stack))
	e.text("contact", o.Names.Text("contact", f.Links.Contact))
	e.text("cname", o.Names.CNAME(f.Links.CNAME))
	e.float("clock_ppm", f.Links.ClockPPM)
	e.float("clock_error_ppm", f.Links.ClockErrorPPM)
	e.key("active")
	e.open('[')
	for _, s := range f.Links.Active {
		e.open('{')
		e.time("from", s.From)
		e.time("to", s.To)
		e.shut('}')
	}
	e.shut(']')
	e.shut('}')

	e.time("first_seen", f.First)
	e.time("last_seen", f.Last)

	if !f.Subscriber.IsZero() {
		e.text("subscriber", o.Names.Subscriber(f.Subscriber))
	}

	if o.OneIn > 0 {
		e.key("one_in")
		e.open('{')
		e.key("n")
		e.b = strconv.AppendUint(e.b, o.OneIn, 10)
		e.key("probability")
		e.number(Probability(f.Margin, o.OneIn), 1e6)
		e.shut('}')
	}
	if a := o.Names.Authority(); a != "" {
		e.text("authority", a)
	}
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

func (e *encoder) int(k string, v int) {
	e.key(k)
	e.b = strconv.AppendInt(e.b, int64(v), 10)
}

func (e *encoder) float(k string, v float64) {
	e.key(k)
	e.number(v, 1e3)
}

// number writes v to one part in scale. What is no number is null: 0 would be
// a statement.
func (e *encoder) number(v, scale float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		e.b = append(e.b, "null"...)
		return
	}
	if math.Abs(v) < 1e12 { // beyond that there are no such decimals to round
		v = math.Round(v*scale) / scale
	}
	if v == 0 {
		v = 0 // not -0
	}
	e.b = strconv.AppendFloat(e.b, v, 'f', -1, 64)
}

func (e *encoder) time(k string, ns int64) {
	e.key(k)
	e.b = append(e.b, '"')
	e.b = time.Unix(0, ns).UTC().AppendFormat(e.b, time.RFC3339Nano)
	e.b = append(e.b, '"')
}

// appendString quotes s so that it is harmless in a terminal and in a page as
// well: besides what RFC 8259 section 7 asks for, everything that has no shape
// of its own is escaped, and so are the marks of HTML. Bytes that are no UTF-8
// become U+FFFD.
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
		case r == '<' || r == '>' || r == '&' || r == utf8.RuneError && n == 1:
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
