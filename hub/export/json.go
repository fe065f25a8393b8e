package export

import (
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// AppendRow appends a message of simtrap.query.v1 as one JSON object without a
// line end: every field under its name in the schema and in its order, numbers as
// numbers, times in RFC 3339, values of enumerations as words ("handed-over"). What
// is unknown is an empty text or array, 0, or null where 0 would be a statement. A
// finding in it is written as sensors write it (docs/design.md, "Output contract").
// Texts are quoted as report does.
func AppendRow(dst []byte, row proto.Message) []byte {
	e := rowEncoder{b: dst}
	e.message(row.ProtoReflect())
	return e.b
}

// rowEncoder appends JSON of messages.
type rowEncoder struct {
	b []byte
	// lean leaves out what is unknown, as STIX wants: it has no null, and no
	// empty list or dictionary.
	lean bool
	// skip, unless nil, leaves out fields.
	skip func(protoreflect.FieldDescriptor) bool
}

func (e *rowEncoder) message(m protoreflect.Message) {
	e.b = append(e.b, '{')
	first := true
	e.fields(m, &first)
	e.b = append(e.b, '}')
}

// fields appends the fields of m inside an object; first says whether no other
// stands before them.
func (e *rowEncoder) fields(m protoreflect.Message, first *bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if e.lean && !told(m, field) || e.skip != nil && e.skip(field) {
			continue
		}
		if !*first {
			e.b = append(e.b, ',')
		}
		*first = false
		e.b = append(append(append(e.b, '"'), field.Name()...), '"', ':')
		e.field(m, field)
	}
}

// told says whether a field says anything: a number always does, unless the
// schema lets it be absent.
func told(m protoreflect.Message, f protoreflect.FieldDescriptor) bool {
	switch {
	case f.IsList(), f.HasPresence():
		if !m.Has(f) {
			return false
		}
		if f.Message() == nil || f.IsList() {
			n, number := m.Get(f).Interface().(float64)
			return !number || !math.IsNaN(n) && !math.IsInf(n, 0)
		}
		inner := m.Get(f).Message()
		if t, ok := inner.Interface().(*timestamppb.Timestamp); ok {
			return t.IsValid()
		}
		for i := range inner.Descriptor().Fields().Len() {
			if told(inner, inner.Descriptor().Fields().Get(i)) {
				return true
			}
		}
		return false
	case f.Kind() == protoreflect.StringKind, f.Kind() == protoreflect.EnumKind, f.Kind() == protoreflect.BytesKind:
		return m.Has(f)
	}
	return true
}

func (e *rowEncoder) field(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsList():
		list := m.Get(f).List()
		e.b = append(e.b, '[')
		for i := range list.Len() {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			e.value(list.Get(i), f)
		}
		e.b = append(e.b, ']')
	case f.HasPresence() && f.Message() == nil && !m.Has(f), isTime(f) && !m.Has(f):
		e.b = append(e.b, "null"...)
	default:
		e.value(m.Get(f), f)
	}
}

func isTime(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && f.Message().FullName() == "google.protobuf.Timestamp"
}

// value appends one value. The schema has no maps, and no other kinds.
func (e *rowEncoder) value(v protoreflect.Value, f protoreflect.FieldDescriptor) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		switch m := v.Message().Interface().(type) {
		case *timestamppb.Timestamp:
			e.time(m)
		case *reportpb.Finding:
			if e.lean {
				e.message(v.Message())
				return
			}
			e.b = report.AppendMessage(e.b, m)
		default:
			e.message(v.Message())
		}
	case protoreflect.EnumKind:
		e.b = report.AppendString(e.b, word(f.Enum(), v.Enum()))
	case protoreflect.BoolKind:
		e.b = strconv.AppendBool(e.b, v.Bool())
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		n := v.Float()
		if math.IsNaN(n) || math.IsInf(n, 0) {
			e.b = append(e.b, "null"...)
			return
		}
		e.b = strconv.AppendFloat(e.b, n, 'f', -1, 64)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		e.b = strconv.AppendUint(e.b, v.Uint(), 10)
	case protoreflect.StringKind:
		e.b = report.AppendString(e.b, v.String())
	case protoreflect.BytesKind:
		e.b = report.AppendString(e.b, string(v.Bytes()))
	default:
		e.b = strconv.AppendInt(e.b, v.Int(), 10)
	}
}

func (e *rowEncoder) time(t *timestamppb.Timestamp) {
	if !t.IsValid() {
		e.b = append(e.b, "null"...)
		return
	}
	e.b = append(e.b, '"')
	e.b = t.AsTime().AppendFormat(e.b, time.RFC3339Nano)
	e.b = append(e.b, '"')
}

// word gives a value of an enumeration as people write it: without the name of
// the enumeration, in small letters. What is not told is an empty text, and what
// only a newer schema knows its number.
func word(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	if n == 0 {
		return ""
	}
	v := e.Values().ByNumber(n)
	if v == nil {
		return strconv.Itoa(int(n))
	}
	zero := string(e.Values().ByNumber(0).Name())
	prefix := strings.TrimSuffix(zero, "UNSPECIFIED")
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(string(v.Name()), prefix)), "_", "-")
}

// Word gives a value of an enumeration of the schema as exports write it.
func Word(v interface {
	Descriptor() protoreflect.EnumDescriptor
	Number() protoreflect.EnumNumber
}) string {
	return word(v.Descriptor(), v.Number())
}

// appendLine appends a row of an export of JSON Lines. Of a finding that is what
// its sensor would have written, byte for byte, and nothing of the hub's.
func appendLine(dst []byte, row proto.Message) []byte {
	if f, ok := row.(*querypb.Finding); ok {
		return report.AppendMessage(dst, f.GetFinding())
	}
	return AppendRow(dst, row)
}
