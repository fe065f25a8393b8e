package export

import (
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// csvForm writes RFC 4180 with a line of names, every text in quotes. Spreadsheets
// take a cell that begins with =, +, - or @ for a formula, so a text is disarmed
// (see disarm).
type csvForm struct{ kind querypb.ExportKind }

// csvRow collects the cells of one row.
type csvRow struct {
	b     []byte
	cells int
}

func (r *csvRow) next() {
	if r.cells > 0 {
		r.b = append(r.b, ',')
	}
	r.cells++
}

// text adds a cell of a text that may be a stranger's.
func (r *csvRow) text(s string) {
	r.next()
	r.b = append(r.b, '"')
	r.b = append(r.b, strings.ReplaceAll(disarm(report.Plain(s)), `"`, `""`)...)
	r.b = append(r.b, '"')
}

// list adds a cell of several texts, with a semicolon and a space between them. A
// semicolon inside one is written %3B.
func (r *csvRow) list(texts []string) {
	var b strings.Builder
	for i, s := range texts {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(strings.ReplaceAll(s, ";", "%3B"))
	}
	r.text(b.String())
}

func (r *csvRow) int(n int64) {
	r.next()
	r.b = strconv.AppendInt(r.b, n, 10)
}

func (r *csvRow) uint(n uint64) {
	r.next()
	r.b = strconv.AppendUint(r.b, n, 10)
}

// number adds a number, or an empty cell when there is none: 0 would be a
// statement.
func (r *csvRow) number(v *float64) {
	r.next()
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return
	}
	r.b = strconv.AppendFloat(r.b, *v, 'f', -1, 64)
}

func (r *csvRow) bool(v bool) {
	r.next()
	r.b = strconv.AppendBool(r.b, v)
}

func (r *csvRow) time(t *timestamppb.Timestamp) {
	r.next()
	if t.IsValid() {
		r.b = t.AsTime().AppendFormat(r.b, time.RFC3339Nano)
	}
}

func disarm(s string) string { return report.Disarm(s) }

// columns are the names of the first line.
func (f csvForm) columns() []string {
	switch f.kind {
	case querypb.ExportKind_EXPORT_KIND_FINDINGS:
		return []string{
			"id", "sensor", "revision", "received", "box_id", "ring_id", "outcome",
			"line", "verdict", "proof", "score", "margin", "nearest", "declared", "vendor", "model", "channels",
			"controllers", "cards", "inbound", "outbound", "answered", "verified", "peak_concurrent", "distinct_called",
			"streams", "talk_seconds", "signals", "unseen", "first_seen", "last_seen", "subscriber", "authority",
		}
	case querypb.ExportKind_EXPORT_KIND_LINES:
		return []string{"id", "sensor", "line", "verdict", "first_seen", "last_seen", "finding_ids", "box_ids"}
	case querypb.ExportKind_EXPORT_KIND_BOXES:
		return []string{"id", "vendor", "model", "channels", "line_ids", "links", "cards", "ring_id", "first_seen", "last_seen", "verdict"}
	case querypb.ExportKind_EXPORT_KIND_RINGS:
		return []string{"id", "box_ids", "lines", "sensors", "controllers", "margin", "nearest", "verdict", "first_seen", "last_seen"}
	case querypb.ExportKind_EXPORT_KIND_CONTROLLERS:
		return []string{"id", "addr", "role", "lines", "review_lines", "ring_ids", "first_seen", "last_seen"}
	case querypb.ExportKind_EXPORT_KIND_CARDS:
		return []string{"id", "imsi", "imei", "iccid", "msisdn", "line_ids", "box_ids", "first_seen", "last_seen"}
	case querypb.ExportKind_EXPORT_KIND_SENSORS:
		return []string{
			"id", "version", "catalogue", "policy", "last_report", "packet_time", "clock_difference_ms", "certificate_ends",
			"revoked", "records_missing", "alarms", "controllers_left",
		}
	}
	return []string{"id", "title", "state", "owner", "ring_ids", "box_ids", "opened", "closed", "outcome"}
}

func (f csvForm) head(dst []byte) []byte {
	return append(append(dst, strings.Join(f.columns(), ",")...), "\r\n"...)
}

func (csvForm) tail(dst []byte) []byte { return dst }

func (csvForm) row(dst []byte, row proto.Message) []byte {
	r := csvRow{b: dst}
	switch m := row.(type) {
	case *querypb.Finding:
		r.finding(m)
	case *querypb.Line:
		r.text(m.GetId())
		r.text(m.GetSensor())
		r.text(m.GetLine())
		r.text(Word(m.GetVerdict()))
		r.time(m.GetFirstSeen())
		r.time(m.GetLastSeen())
		r.list(m.GetFindingIds())
		r.list(m.GetBoxIds())
	case *querypb.Box:
		r.text(m.GetId())
		r.device(m.GetDevice())
		r.list(m.GetLineIds())
		var links []string
		for _, l := range m.GetLinks() {
			links = append(links, l.GetFrom()+" "+l.GetTo()+" "+Word(l.GetKind())+" "+strconv.FormatFloat(l.GetNats(), 'f', -1, 64)+" "+l.GetReason())
		}
		r.list(links)
		r.uint(m.GetCards())
		r.text(m.GetRingId())
		r.time(m.GetFirstSeen())
		r.time(m.GetLastSeen())
		r.text(Word(m.GetVerdict()))
	case *querypb.Ring:
		r.text(m.GetId())
		r.list(m.GetBoxIds())
		r.uint(m.GetLines())
		r.list(m.GetSensors())
		r.list(m.GetControllers())
		r.number(m.Margin)
		r.text(m.GetNearest())
		r.text(Word(m.GetVerdict()))
		r.time(m.GetFirstSeen())
		r.time(m.GetLastSeen())
	case *querypb.Controller:
		r.text(m.GetId())
		r.text(m.GetAddr())
		r.text(m.GetRole())
		r.uint(m.GetLines())
		r.uint(m.GetReviewLines())
		r.list(m.GetRingIds())
		r.time(m.GetFirstSeen())
		r.time(m.GetLastSeen())
	case *querypb.Card:
		r.text(m.GetId())
		r.text(m.GetCard().GetImsi())
		r.text(m.GetCard().GetImei())
		r.text(m.GetCard().GetIccid())
		r.text(m.GetCard().GetMsisdn())
		r.list(m.GetLineIds())
		r.list(m.GetBoxIds())
		r.time(m.GetFirstSeen())
		r.time(m.GetLastSeen())
	case *querypb.Sensor:
		r.text(m.GetId())
		r.text(m.GetVersion())
		r.uint(m.GetCatalogue())
		r.uint(m.GetPolicy())
		r.time(m.GetLastReport())
		r.time(m.GetPacketTime())
		r.number(m.ClockDifferenceMs)
		r.time(m.GetCertificateEnds())
		r.bool(m.GetRevoked())
		r.uint(m.GetRecordsMissing())
		r.list(m.GetAlarms())
		r.uint(m.GetControllersLeft())
	case *querypb.Case:
		r.text(m.GetId())
		r.text(m.GetTitle())
		r.text(Word(m.GetState()))
		r.text(m.GetOwner())
		r.list(m.GetRingIds())
		r.list(m.GetBoxIds())
		r.time(m.GetOpened())
		r.time(m.GetClosed())
		r.text(Word(m.GetOutcome()))
	}
	return append(r.b, "\r\n"...)
}

func (r *csvRow) device(d *reportpb.Device) {
	r.text(d.GetVendor())
	r.text(d.GetModel())
	r.int(int64(d.GetChannels()))
}

func (r *csvRow) finding(m *querypb.Finding) {
	f := m.GetFinding()
	if f == nil {
		f = &reportpb.Finding{}
	}
	r.text(m.GetId())
	r.text(m.GetSensor())
	r.uint(m.GetRevision())
	r.time(m.GetReceived())
	r.text(m.GetBoxId())
	r.text(m.GetRingId())
	r.text(Word(m.GetOutcome()))
	r.text(f.GetLine())
	r.text(Word(f.GetVerdict()))
	r.bool(f.GetProof())
	r.number(f.Score)
	r.number(f.Margin)
	r.text(f.GetNearest())
	r.bool(f.GetDeclared())
	r.device(f.GetDevice())
	var texts []string
	for _, c := range f.GetControllers() {
		texts = append(texts, c.GetAddr()+" "+c.GetRole())
	}
	r.list(texts)
	texts = nil
	for _, c := range f.GetCards() {
		texts = append(texts, cardText(c))
	}
	r.list(texts)
	calls := f.GetCalls()
	for _, n := range []int32{
		calls.GetInbound(), calls.GetOutbound(), calls.GetAnswered(), calls.GetVerified(),
		calls.GetPeakConcurrent(), calls.GetDistinctCalled(), calls.GetStreams(),
	} {
		r.int(int64(n))
	}
	r.int(calls.GetTalkSeconds())
	texts = nil
	for _, s := range f.GetSignals() {
		texts = append(texts, s.GetId()+" "+nats(s.Nats)+" against "+s.GetAgainst()+": "+s.GetDetail())
	}
	r.list(texts)
	r.list(f.GetUnseen())
	r.time(f.GetFirstSeen())
	r.time(f.GetLastSeen())
	r.text(f.GetSubscriber())
	r.text(f.GetAuthority())
}

func nats(v *float64) string {
	if v == nil {
		return "?"
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

// cardText names the identities of a card that are known.
func cardText(c *reportpb.Card) string {
	var parts []string
	for _, id := range [][2]string{{"imsi", c.GetImsi()}, {"imei", c.GetImei()}, {"iccid", c.GetIccid()}, {"msisdn", c.GetMsisdn()}} {
		if id[1] != "" {
			parts = append(parts, id[0]+" "+id[1])
		}
	}
	return strings.Join(parts, " ")
}
