package pages

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// filterForm is a filter as its form and its address have it. Names of fields are
// those of the form.
type filterForm struct {
	Verdict                                string
	Sensor, Line, Vendor, Controller, Card string
	Box, Ring, Case                        string
	From, Until                            string
	Proof, Declared                        string
	State                                  string
}

// fields pairs the names in addresses with the texts of the form.
func (f *filterForm) fields() []struct {
	name string
	to   *string
} {
	return []struct {
		name string
		to   *string
	}{
		{"verdict", &f.Verdict}, {"sensor", &f.Sensor}, {"line", &f.Line}, {"vendor", &f.Vendor}, {"controller", &f.Controller}, {"card", &f.Card},
		{"box", &f.Box}, {"ring", &f.Ring}, {"case", &f.Case}, {"from", &f.From}, {"until", &f.Until}, {"proof", &f.Proof}, {"declared", &f.Declared}, {"state", &f.State},
	}
}

func readFilter(q url.Values) filterForm {
	var f filterForm
	for _, x := range f.fields() {
		*x.to = strings.TrimSpace(q.Get(x.name))
	}
	return f
}

// Query gives the filter as an address has it.
func (f filterForm) Query() string {
	q := url.Values{}
	for _, x := range f.fields() {
		if *x.to != "" {
			q.Set(x.name, *x.to)
		}
	}
	return q.Encode()
}

// Set says whether anything narrows.
func (f filterForm) Set() bool { return f.Query() != "" }

// message gives the filter as it is asked for; nil for none.
func (f filterForm) message() (*querypb.Filter, error) {
	if !f.Set() {
		return nil, nil
	}
	m := &querypb.Filter{
		Sensors: words(f.Sensor), Lines: words(f.Line), Controllers: words(f.Controller), Cards: words(f.Card),
		BoxIds: words(f.Box), RingIds: words(f.Ring), CaseIds: words(f.Case),
	}
	if f.Vendor != "" {
		m.Vendors = []string{f.Vendor} // it may have spaces
	}
	if f.Verdict != "" {
		v, ok := map[string]reportpb.Verdict{"none": reportpb.Verdict_VERDICT_NONE, "watch": reportpb.Verdict_VERDICT_WATCH, "review": reportpb.Verdict_VERDICT_REVIEW, "case": reportpb.Verdict_VERDICT_CASE}[f.Verdict]
		if !ok {
			return nil, unsound("verdict", f.Verdict)
		}
		m.MinVerdict = v
	}
	if f.State != "" {
		s, ok := map[string]querypb.CaseState{"open": querypb.CaseState_CASE_STATE_OPEN, "handed-over": querypb.CaseState_CASE_STATE_HANDED_OVER, "closed": querypb.CaseState_CASE_STATE_CLOSED}[f.State]
		if !ok {
			return nil, unsound("state", f.State)
		}
		m.CaseStates = []querypb.CaseState{s}
	}
	for _, yes := range []struct {
		name, text string
		to         **bool
	}{{"proof", f.Proof, &m.Proof}, {"declared", f.Declared, &m.Declared}} {
		if yes.text == "" {
			continue
		}
		b, err := strconv.ParseBool(yes.text)
		if err != nil {
			return nil, unsound(yes.name, yes.text)
		}
		*yes.to = &b
	}
	from, err := clock("from", f.From)
	if err != nil {
		return nil, err
	}
	until, err := clock("until", f.Until)
	if err != nil {
		return nil, err
	}
	if from != nil || until != nil {
		m.Seen = &querypb.TimeRange{From: from, Until: until}
	}
	return m, nil
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '，' })
}

// clock reads a time of day in UTC as forms give it; nil for none.
func clock(name, s string) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, unsound(name, s)
}

func unsound(name, value string) error {
	return connect.NewError(connect.CodeInvalidArgument, errors.New("filter: "+name+": "+plain(value)+" makes no sense"))
}

// Named gives one of the fields.
func (f filterForm) Named(name string) string {
	for _, x := range f.fields() {
		if x.name == name {
			return *x.to
		}
	}
	return ""
}
