package export

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// maxCell is how many columns of a terminal a cell may take, where no narrower
// terminal is known. The whole text is in JSON.
const maxCell = 48

// column is one of a table for people.
type column struct {
	name  string
	right bool // numbers
	cell  func(proto.Message) string
}

// WriteTable writes rows of one kind for people to read: one row per line, with
// the columns that people look for first, and cells cut where the line would be
// wider than width columns (0: no matter). Every text is made Plain.
func WriteTable(w io.Writer, rows []proto.Message, width int) error {
	if len(rows) == 0 {
		return nil
	}
	cols := tableOf(kindOf(rows[0]))
	cells := make([][]string, 0, len(rows)+1)
	head := make([]string, len(cols))
	for i, c := range cols {
		head[i] = c.name
	}
	cells = append(cells, head)
	for _, row := range rows {
		line := make([]string, len(cols))
		for i, c := range cols {
			line[i] = cutCell(report.Plain(c.cell(row)), maxCell)
		}
		cells = append(cells, line)
	}
	wide := make([]int, len(cols))
	for _, line := range cells {
		for i, s := range line {
			wide[i] = max(wide[i], uniseg.StringWidth(s))
		}
	}
	var b strings.Builder
	for _, line := range cells {
		used := 0
		for i, s := range line {
			column := wide[i]
			if width > 0 {
				column = min(column, width-used)
			}
			s = cutCell(s, column)
			space := strings.Repeat(" ", max(column-uniseg.StringWidth(s), 0))
			if cols[i].right {
				s = space + s
			} else {
				s += space
			}
			b.WriteString(s)
			used += column + 2
			if width > 0 && used >= width { // a column without room is left out
				break
			}
			b.WriteString("  ")
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// trimLines takes spaces off the ends of lines.
func trimLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(line, " \n"))
		b.WriteByte('\n')
	}
	return b.String()
}

// cutCell cuts plain text to a width, with a mark where something is gone.
func cutCell(s string, width int) string {
	if uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	used := 0
	for g := uniseg.NewGraphemes(s); g.Next(); {
		if used+g.Width() > width-1 {
			break
		}
		b.WriteString(g.Str())
		used += g.Width()
	}
	return b.String() + "…"
}

func minute(t *timestamppb.Timestamp) string {
	if !t.IsValid() {
		return "-"
	}
	return t.AsTime().Format("2006-01-02 15:04")
}

func decimal(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 1, 64)
}

func count[T int | uint64 | int32](n T) string { return strconv.FormatInt(int64(n), 10) }

func verdictText(v reportpb.Verdict, proof bool) string {
	s := Word(v)
	if proof {
		s += " by proof"
	}
	return s
}

// some names the first of several texts, and how many more there are.
func some(texts []string) string {
	switch len(texts) {
	case 0:
		return "-"
	case 1:
		return texts[0]
	}
	return texts[0] + " +" + strconv.Itoa(len(texts)-1)
}

func deviceText(d *reportpb.Device) string {
	s := strings.TrimSpace(d.GetVendor() + " " + d.GetModel())
	if n := d.GetChannels(); n > 0 {
		s += ", " + count(n) + " channels"
	}
	return strings.TrimPrefix(s, ", ")
}

// col makes a column of rows of one type.
func col[T proto.Message](name string, cell func(T) string) column {
	return column{name: name, cell: func(m proto.Message) string {
		row, ok := m.(T)
		if !ok {
			return ""
		}
		return cell(row)
	}}
}

func num[T proto.Message](name string, cell func(T) string) column {
	c := col(name, cell)
	c.right = true
	return c
}

func tableOf(kind querypb.ExportKind) []column {
	switch kind {
	case querypb.ExportKind_EXPORT_KIND_FINDINGS:
		type row = *querypb.Finding
		return []column{
			col("id", row.GetId),
			col("line", func(m row) string { return m.GetFinding().GetLine() }),
			col("verdict", func(m row) string { return verdictText(m.GetFinding().GetVerdict(), m.GetFinding().GetProof()) }),
			num("score", func(m row) string { return decimal(score(m.GetFinding())) }),
			num("margin", func(m row) string { return decimal(margin(m.GetFinding())) }),
			col("last seen", func(m row) string { return minute(m.GetFinding().GetLastSeen()) }),
			col("sensor", row.GetSensor),
			col("outcome", func(m row) string { return Word(m.GetOutcome()) }),
			col("device", func(m row) string { return deviceText(m.GetFinding().GetDevice()) }),
		}
	case querypb.ExportKind_EXPORT_KIND_LINES:
		type row = *querypb.Line
		return []column{
			col("id", row.GetId),
			col("line", row.GetLine),
			col("verdict", func(m row) string { return Word(m.GetVerdict()) }),
			num("findings", func(m row) string { return count(len(m.GetFindingIds())) }),
			col("last seen", func(m row) string { return minute(m.GetLastSeen()) }),
			col("sensor", row.GetSensor),
			col("box", func(m row) string { return some(m.GetBoxIds()) }),
		}
	case querypb.ExportKind_EXPORT_KIND_BOXES:
		type row = *querypb.Box
		return []column{
			col("id", row.GetId),
			col("verdict", func(m row) string { return Word(m.GetVerdict()) }),
			num("lines", func(m row) string { return count(len(m.GetLineIds())) }),
			num("cards", func(m row) string { return count(m.GetCards()) }),
			col("last seen", func(m row) string { return minute(m.GetLastSeen()) }),
			col("ring", row.GetRingId),
			col("device", func(m row) string { return deviceText(m.GetDevice()) }),
		}
	case querypb.ExportKind_EXPORT_KIND_RINGS:
		type row = *querypb.Ring
		return []column{
			col("id", row.GetId),
			col("verdict", func(m row) string { return Word(m.GetVerdict()) }),
			num("boxes", func(m row) string { return count(len(m.GetBoxIds())) }),
			num("lines", func(m row) string { return count(m.GetLines()) }),
			num("margin", func(m row) string { return decimal(m.Margin) }),
			col("last seen", func(m row) string { return minute(m.GetLastSeen()) }),
			col("sensors", func(m row) string { return some(m.GetSensors()) }),
			col("controllers", func(m row) string { return some(m.GetControllers()) }),
		}
	case querypb.ExportKind_EXPORT_KIND_CONTROLLERS:
		type row = *querypb.Controller
		return []column{
			col("id", row.GetId),
			num("lines", func(m row) string { return count(m.GetLines()) }),
			num("review", func(m row) string { return count(m.GetReviewLines()) }),
			col("first seen", func(m row) string { return minute(m.GetFirstSeen()) }),
			col("last seen", func(m row) string { return minute(m.GetLastSeen()) }),
			col("ring", func(m row) string { return some(m.GetRingIds()) }),
		}
	case querypb.ExportKind_EXPORT_KIND_CARDS:
		type row = *querypb.Card
		return []column{
			col("id", row.GetId),
			col("imsi", func(m row) string { return m.GetCard().GetImsi() }),
			col("iccid", func(m row) string { return m.GetCard().GetIccid() }),
			num("lines", func(m row) string { return count(len(m.GetLineIds())) }),
			num("boxes", func(m row) string { return count(len(m.GetBoxIds())) }),
			col("last seen", func(m row) string { return minute(m.GetLastSeen()) }),
		}
	case querypb.ExportKind_EXPORT_KIND_SENSORS:
		type row = *querypb.Sensor
		return []column{
			col("id", row.GetId),
			col("last report", func(m row) string { return minute(m.GetLastReport()) }),
			col("judged until", func(m row) string { return minute(m.GetPacketTime()) }),
			num("clock ms", func(m row) string { return decimal(m.ClockDifferenceMs) }),
			num("missing", func(m row) string { return count(m.GetRecordsMissing()) }),
			col("certificate", func(m row) string {
				if m.GetRevoked() {
					return "revoked"
				}
				return "until " + minute(m.GetCertificateEnds())
			}),
			col("alarms", func(m row) string { return some(m.GetAlarms()) }),
			col("version", row.GetVersion),
		}
	}
	type row = *querypb.Case
	return []column{
		col("id", row.GetId),
		col("state", func(m row) string { return Word(m.GetState()) }),
		col("outcome", func(m row) string { return Word(m.GetOutcome()) }),
		col("opened", func(m row) string { return minute(m.GetOpened()) }),
		col("owner", row.GetOwner),
		num("boxes", func(m row) string { return count(len(m.GetBoxIds())) }),
		num("rings", func(m row) string { return count(len(m.GetRingIds())) }),
		col("title", row.GetTitle),
	}
}

// Widths of a row in full.
const (
	labelWidth = 20
	maxText    = 10 // lines that one text may take
	maxTexts   = 50 // texts of one list
	fullWidth  = 100
)

// WriteRow writes one row in full for people to read: a label and a text for each
// field that says something, wrapped to width columns (0: 100). Lists of many
// texts are cut, which is said; JSON has them whole. Every text is made Plain.
func WriteRow(w io.Writer, row proto.Message, width int) error {
	if width <= 0 || width > fullWidth {
		width = fullWidth
	}
	d := detail{width: max(width, labelWidth+20)}
	d.message("", row.ProtoReflect())
	_, err := io.WriteString(w, d.b.String())
	return err
}

type detail struct {
	b     strings.Builder
	width int
}

func (d *detail) text(label, s string) {
	if s == "" {
		return
	}
	head := label
	for i, line := range report.Wrap(s, d.width-labelWidth) {
		if i == maxText {
			line = "[cut]"
		}
		d.b.WriteString(head + strings.Repeat(" ", max(labelWidth-len(head), 1)) + line + "\n")
		if head = ""; i == maxText {
			break
		}
	}
}

func (d *detail) message(prefix string, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !told(m, f) {
			continue
		}
		label := prefix + strings.ReplaceAll(string(f.Name()), "_", " ")
		switch {
		case f.IsList():
			list := m.Get(f).List()
			for j := range min(list.Len(), maxTexts) {
				d.text(label, inline(list.Get(j), f))
				label = ""
			}
			if n := list.Len(); n > maxTexts {
				d.text("", "and "+strconv.Itoa(n-maxTexts)+" more, named by --json")
			}
		case f.Message() != nil && !isTime(f):
			switch m.Get(f).Message().Interface().(type) {
			case *reportpb.Finding, *reportpb.Links:
				d.message("", m.Get(f).Message())
			default:
				d.text(label, inline(m.Get(f), f))
			}
		default:
			d.text(label, inline(m.Get(f), f))
		}
	}
}

// inline writes a value in one line.
func inline(v protoreflect.Value, f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		m := v.Message()
		if t, ok := m.Interface().(*timestamppb.Timestamp); ok {
			return t.AsTime().Format(time.RFC3339Nano)
		}
		var parts []string
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			inner := fields.Get(i)
			if !told(m, inner) {
				continue
			}
			if inner.IsList() {
				list := m.Get(inner).List()
				for j := range min(list.Len(), maxTexts) {
					parts = append(parts, inline(list.Get(j), inner))
				}
				continue
			}
			s := inline(m.Get(inner), inner)
			switch inner.Kind() {
			case protoreflect.StringKind, protoreflect.MessageKind, protoreflect.EnumKind:
			default:
				s = strings.ReplaceAll(string(inner.Name()), "_", " ") + " " + s
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ", ")
	case protoreflect.EnumKind:
		return word(f.Enum(), v.Enum())
	case protoreflect.BoolKind:
		if v.Bool() {
			return "yes"
		}
		return "no"
	case protoreflect.DoubleKind:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	}
	return v.String()
}

func score(f *reportpb.Finding) *float64 {
	if f == nil {
		return nil
	}
	return f.Score
}

func margin(f *reportpb.Finding) *float64 {
	if f == nil {
		return nil
	}
	return f.Margin
}
