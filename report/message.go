package report

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/heuristics"
	"simtrap/report/reportpb"
)

// Message gives f as it leaves this machine: identities written by o.Names,
// numbers with the decimals that JSON has, counts as far as 32 bits go. It is the
// one place that says what of a finding is told; AppendMessage writes it as JSON,
// ParseJSON reads that back.
func Message(f *heuristics.Finding, o Options) *reportpb.Finding {
	m := &reportpb.Finding{
		Line:     wellFormed(o.line(f.Line)),
		Verdict:  verdict(f.Verdict),
		Proof:    f.Proof,
		Score:    decimals(f.Score, 1e3),
		Margin:   decimals(f.Margin, 1e3),
		Nearest:  wellFormed(f.Nearest),
		Declared: f.Declared,
		Device: &reportpb.Device{
			Vendor:   wellFormed(f.Device.Vendor),
			Model:    wellFormed(f.Device.Model),
			Channels: saturated(f.Device.Channels),
		},
		Calls: &reportpb.Calls{
			Inbound:        saturated(f.Calls.Inbound),
			Outbound:       saturated(f.Calls.Outbound),
			Answered:       saturated(f.Calls.Answered),
			Verified:       saturated(f.Calls.Verified),
			PeakConcurrent: saturated(f.Calls.PeakConcurrent),
			DistinctCalled: saturated(f.Calls.DistinctCalled),
			Streams:        saturated(f.Calls.Streams),
			TalkSeconds:    int64(f.Calls.TalkSeconds),
		},
		Links: &reportpb.Links{
			Stack:         hex64(f.Links.Stack),
			Contact:       wellFormed(o.Names.Text("contact", f.Links.Contact)),
			Cname:         wellFormed(o.Names.CNAME(f.Links.CNAME)),
			ClockPpm:      decimals(f.Links.ClockPPM, 1e3),
			ClockErrorPpm: decimals(f.Links.ClockErrorPPM, 1e3),
		},
		FirstSeen:  moment(f.First),
		LastSeen:   moment(f.Last),
		Subscriber: wellFormed(o.Names.Subscriber(f.Subscriber)),
		Authority:  wellFormed(o.Names.Authority()),
	}
	for _, c := range f.Controllers {
		m.Controllers = append(m.Controllers, &reportpb.Controller{Addr: address(c.Addr), Role: wellFormed(c.Role)})
	}
	for _, c := range f.Cards {
		m.Cards = append(m.Cards, &reportpb.Card{
			Imsi:   wellFormed(o.Names.IMSI(c.IMSI)),
			Imei:   wellFormed(o.Names.IMEI(c.IMEI)),
			Iccid:  wellFormed(o.Names.ICCID(c.ICCID)),
			Msisdn: wellFormed(o.number(c.MSISDN)),
		})
	}
	for _, s := range f.Signals {
		m.Signals = append(m.Signals, &reportpb.Signal{
			Id: wellFormed(s.ID), Family: wellFormed(s.Family), Nats: decimals(s.Nats, 1e3), Against: wellFormed(s.Against), Detail: wellFormed(s.Detail),
		})
	}
	for _, s := range f.Unseen {
		m.Unseen = append(m.Unseen, wellFormed(s))
	}
	for _, a := range f.Links.Accounts {
		m.Links.Accounts = append(m.Links.Accounts, wellFormed(o.Names.Account(a)))
	}
	for _, s := range f.Links.Active {
		m.Links.Active = append(m.Links.Active, &reportpb.Span{From: moment(s.From), To: moment(s.To)})
	}
	for i := range f.Hellos {
		m.Hellos = append(m.Hellos, o.hello(&f.Hellos[i]))
	}
	if o.OneIn > 0 {
		m.OneIn = &reportpb.OneIn{N: o.OneIn, Probability: decimals(Probability(f.Margin, o.OneIn), 1e6)}
	}
	return m
}

// AppendMessage appends m as one JSON object without a line end, as AppendJSON
// does a finding. What the message lacks is written as what is unknown.
func AppendMessage(dst []byte, m *reportpb.Finding) []byte {
	if m == nil {
		m = &reportpb.Finding{}
	}
	e := encoder{b: append(dst, '{')}
	e.text("line", m.GetLine())
	e.text("verdict", verdictName(m.GetVerdict()))
	e.bool("proof", m.GetProof())
	e.number("score", m.Score, 1e3)
	e.number("margin", m.Margin, 1e3)
	e.text("nearest", m.GetNearest())
	e.bool("declared", m.GetDeclared())

	e.key("device")
	e.open('{')
	e.text("vendor", m.GetDevice().GetVendor())
	e.text("model", m.GetDevice().GetModel())
	e.int("channels", int64(m.GetDevice().GetChannels()))
	e.shut('}')

	e.key("controllers")
	e.open('[')
	for _, c := range m.GetControllers() {
		e.open('{')
		e.text("addr", c.GetAddr())
		e.text("role", c.GetRole())
		e.shut('}')
	}
	e.shut(']')

	e.key("cards")
	e.open('[')
	for _, c := range m.GetCards() {
		e.open('{')
		e.text("imsi", c.GetImsi())
		e.text("imei", c.GetImei())
		e.text("iccid", c.GetIccid())
		e.text("msisdn", c.GetMsisdn())
		e.shut('}')
	}
	e.shut(']')

	calls := m.GetCalls()
	e.key("calls")
	e.open('{')
	e.int("inbound", int64(calls.GetInbound()))
	e.int("outbound", int64(calls.GetOutbound()))
	e.int("answered", int64(calls.GetAnswered()))
	e.int("verified", int64(calls.GetVerified()))
	e.int("peak_concurrent", int64(calls.GetPeakConcurrent()))
	e.int("distinct_called", int64(calls.GetDistinctCalled()))
	e.int("streams", int64(calls.GetStreams()))
	e.int("talk_seconds", calls.GetTalkSeconds())
	e.shut('}')

	e.key("signals")
	e.open('[')
	for _, s := range m.GetSignals() {
		if s == nil {
			s = &reportpb.Signal{}
		}
		e.open('{')
		e.text("id", s.GetId())
		e.text("family", s.GetFamily())
		e.number("nats", s.Nats, 1e3)
		e.text("against", s.GetAgainst())
		e.text("detail", s.GetDetail())
		e.shut('}')
	}
	e.shut(']')

	e.key("unseen")
	e.open('[')
	for _, s := range m.GetUnseen() {
		e.element(s)
	}
	e.shut(']')

	links := m.GetLinks()
	if links == nil {
		links = &reportpb.Links{}
	}
	e.key("links")
	e.open('{')
	e.key("accounts")
	e.open('[')
	for _, a := range links.GetAccounts() {
		e.element(a)
	}
	e.shut(']')
	e.text("stack", links.GetStack())
	e.text("contact", links.GetContact())
	e.text("cname", links.GetCname())
	e.number("clock_ppm", links.ClockPpm, 1e3)
	e.number("clock_error_ppm", links.ClockErrorPpm, 1e3)
	e.key("active")
	e.open('[')
	for _, s := range links.GetActive() {
		e.open('{')
		e.time("from", s.GetFrom())
		e.time("to", s.GetTo())
		e.shut('}')
	}
	e.shut(']')
	e.shut('}')

	e.time("first_seen", m.GetFirstSeen())
	e.time("last_seen", m.GetLastSeen())

	if m.GetSubscriber() != "" {
		e.text("subscriber", m.GetSubscriber())
	}
	if one := m.GetOneIn(); one != nil {
		e.key("one_in")
		e.open('{')
		e.key("n")
		e.b = strconv.AppendUint(e.b, one.GetN(), 10)
		e.number("probability", one.Probability, 1e6)
		e.shut('}')
	}
	if len(m.GetHellos()) > 0 {
		e.hellos(m.GetHellos())
	}
	if m.GetAuthority() != "" {
		e.text("authority", m.GetAuthority())
	}
	e.shut('}')
	return e.b
}

// ParseJSON reads an object that AppendJSON or AppendMessage wrote. It fails on
// what is no such object, unknown keys included.
func ParseJSON(data []byte) (*reportpb.Finding, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, fmt.Errorf("finding: %w", err)
	}
	// Keys and values are those of protojson, but for the words of the verdict.
	var word string
	if err := json.Unmarshal(object["verdict"], &word); err != nil {
		return nil, fmt.Errorf("finding: verdict: %w", err)
	}
	v, ok := verdictNamed(word)
	if !ok {
		return nil, fmt.Errorf("finding: no verdict: %q", word)
	}
	object["verdict"] = strconv.AppendInt(nil, int64(v), 10)
	delete(object, "hub") // the centre's own, which no message holds
	data, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("finding: %w", err)
	}
	m := &reportpb.Finding{}
	if err := protojson.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("finding: %w", err)
	}
	return m, nil
}

func verdict(v heuristics.Verdict) reportpb.Verdict {
	switch v {
	case heuristics.Watch:
		return reportpb.Verdict_VERDICT_WATCH
	case heuristics.Review:
		return reportpb.Verdict_VERDICT_REVIEW
	case heuristics.Case:
		return reportpb.Verdict_VERDICT_CASE
	}
	return reportpb.Verdict_VERDICT_NONE
}

// verdictName gives the word of the contract, and the number of a verdict that
// only a newer schema knows.
func verdictName(v reportpb.Verdict) string {
	switch v {
	case reportpb.Verdict_VERDICT_NONE:
		return heuristics.None.String()
	case reportpb.Verdict_VERDICT_WATCH:
		return heuristics.Watch.String()
	case reportpb.Verdict_VERDICT_REVIEW:
		return heuristics.Review.String()
	case reportpb.Verdict_VERDICT_CASE:
		return heuristics.Case.String()
	}
	return strconv.Itoa(int(v))
}

// verdictNamed is the inverse of verdictName.
func verdictNamed(s string) (reportpb.Verdict, bool) {
	for v := heuristics.None; v <= heuristics.Case; v++ {
		if v.String() == s {
			return verdict(v), true
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	v := reportpb.Verdict(n)
	return v, err == nil && verdictName(v) == s
}

// decimals rounds v to one part in scale; nil is what is no finite number.
func decimals(v, scale float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	if math.Abs(v) < 1e12 { // beyond that there are no such decimals to round
		v = math.Round(v*scale) / scale
	}
	if v == 0 {
		v = 0 // not -0
	}
	return &v
}

// Nats gives a number as messages hold it: with three decimals, nil for what is no
// finite number.
func Nats(v float64) *float64 { return decimals(v, 1e3) }

// wellFormed makes s what a message may hold: bytes that are no UTF-8 become U+FFFD,
// one for each, as in JSON.
func wellFormed(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// saturated keeps v within what a message holds.
func saturated(v int) int32 { return int32(min(max(v, math.MinInt32), math.MaxInt32)) }

func moment(ns int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(0, ns)) }
