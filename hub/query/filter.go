package query

import (
	"context"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// field is one of a filter's, to say which a kind of row has.
type field uint32

const (
	seen field = 1 << iota
	verdict
	sensors
	lines
	boxes
	rings
	cases
	controllers
	cards
	vendors
	declared
	proof
	states
)

// fieldsOf tells which fields a kind of row has.
func fieldsOf(kind querypb.ExportKind) field {
	switch kind {
	case querypb.ExportKind_EXPORT_KIND_FINDINGS:
		return seen | verdict | sensors | lines | boxes | rings | cases | controllers | cards | vendors | declared | proof
	case querypb.ExportKind_EXPORT_KIND_LINES:
		return seen | verdict | sensors | lines | boxes | rings | cases | controllers | cards
	case querypb.ExportKind_EXPORT_KIND_BOXES:
		return seen | verdict | sensors | lines | boxes | rings | cases | controllers | cards | vendors
	case querypb.ExportKind_EXPORT_KIND_RINGS:
		return seen | verdict | sensors | boxes | rings | cases | controllers
	case querypb.ExportKind_EXPORT_KIND_CONTROLLERS:
		return seen | controllers | rings
	case querypb.ExportKind_EXPORT_KIND_CARDS:
		return seen | cards
	case querypb.ExportKind_EXPORT_KIND_SENSORS:
		return seen | sensors
	case querypb.ExportKind_EXPORT_KIND_CASES:
		return seen | boxes | rings | cases | states
	}
	return 0
}

// filter makes the store's filter of a request's. What a kind of row does not
// have, or the view may not ask for, is refused.
func (s *Service) filter(ctx context.Context, f *querypb.Filter, kind querypb.ExportKind, v view) (out store.Filter, err error) {
	has := fieldsOf(kind)
	set := func(name string, which field, given bool) {
		if err == nil && given && has&which == 0 {
			err = invalid("filter: rows of this kind have no %s", name)
		}
	}
	set("seen", seen, f.GetSeen() != nil)
	set("min_verdict", verdict, f.GetMinVerdict() != 0)
	set("declared", declared, f.GetDeclared() || f != nil && f.Declared != nil)
	set("proof", proof, f != nil && f.Proof != nil)
	set("case_states", states, len(f.GetCaseStates()) > 0)
	for _, texts := range []struct {
		name   string
		which  field
		values []string
	}{
		{"sensors", sensors, f.GetSensors()},
		{"lines", lines, f.GetLines()},
		{"box_ids", boxes, f.GetBoxIds()},
		{"ring_ids", rings, f.GetRingIds()},
		{"case_ids", cases, f.GetCaseIds()},
		{"controllers", controllers, f.GetControllers()},
		{"cards", cards, f.GetCards()},
		{"vendors", vendors, f.GetVendors()},
	} {
		set(texts.name, texts.which, len(texts.values) > 0)
		if err == nil {
			err = bounded(texts.name, texts.values)
		}
	}
	if err != nil {
		return out, err
	}
	if out.From, err = when("from", f.GetSeen().GetFrom()); err != nil {
		return out, err
	}
	if out.Until, err = when("until", f.GetSeen().GetUntil()); err != nil {
		return out, err
	}
	if !out.From.IsZero() && !out.Until.IsZero() && !out.From.Before(out.Until) {
		return out, invalid("filter: seen: until is not after from")
	}
	if f.GetMinVerdict() < 0 || f.GetMinVerdict() > reportpb.Verdict_VERDICT_CASE {
		return out, invalid("filter: min_verdict: %d is no verdict", f.GetMinVerdict())
	}
	out.MinVerdict = f.GetMinVerdict()
	out.Sensors, out.Cards, out.Vendors = f.GetSensors(), f.GetCards(), f.GetVendors()
	if f != nil {
		out.Declared, out.Proof = f.Declared, f.Proof
	}
	for _, text := range f.GetLines() {
		if err := s.lineMatch(&out, text, v); err != nil {
			return out, err
		}
	}
	if len(out.Lines) > 0 && len(out.LineIDs) > 0 {
		// All fields must hold, and these are two of the store's.
		return out, invalid("filter: lines: either ids or addresses")
	}
	for _, ids := range []struct {
		name string
		from []string
		to   *[]store.ID
	}{
		{"box_ids", f.GetBoxIds(), &out.Boxes},
		{"ring_ids", f.GetRingIds(), &out.Rings},
		{"case_ids", f.GetCaseIds(), &out.Cases},
	} {
		for _, text := range ids.from {
			id, err := store.ParseID(text)
			if err != nil {
				return out, invalid("filter: %s: an id has 32 hexadecimal digits", ids.name)
			}
			*ids.to = append(*ids.to, id)
		}
	}
	for _, text := range f.GetControllers() {
		p, err := parseNetwork(text)
		if err != nil {
			return out, invalid("filter: controllers: want addresses or prefixes")
		}
		out.Controllers = append(out.Controllers, p.Masked())
	}
	if err := s.farFilter(ctx, &out, v); err != nil {
		return out, err
	}
	for _, state := range f.GetCaseStates() {
		if state < querypb.CaseState_CASE_STATE_OPEN || state > querypb.CaseState_CASE_STATE_CLOSED {
			return out, invalid("filter: case_states: %d is no state", state)
		}
		out.CaseStates = append(out.CaseStates, store.CaseState(state))
	}
	return out, nil
}

// lineMatch takes one value of lines: an id, a name with a realm, an address or a
// prefix. Which rows come tells as much of an address as was asked, so more of it
// than is shown needs an authority.
func (s *Service) lineMatch(out *store.Filter, text string, v view) error {
	if id, err := s.storedLine(text); err == nil {
		out.LineIDs = append(out.LineIDs, id)
		return nil
	}
	p, err := parseNetwork(text)
	if err == nil {
		if v.authority == "" && !shownWhole(p) {
			return needsAuthority()
		}
		out.Lines = append(out.Lines, store.LineMatch{Prefix: p.Masked()})
		return nil
	}
	if masked(text) == "" {
		return invalid("filter: lines: want addresses, prefixes, names with a realm, or ids")
	}
	if v.authority == "" {
		return needsAuthority()
	}
	out.Lines = append(out.Lines, store.LineMatch{Name: text})
	return nil
}

func needsAuthority() error {
	return connect.NewError(connect.CodePermissionDenied, errors.New("filter: lines: more of an address than /24 (IPv6: /48) needs an authority"))
}

// bounded refuses what no filter needs.
func bounded(name string, values []string) error {
	if len(values) > maxValues {
		return invalid("filter: %s: %d values, at most %d", name, len(values), maxValues)
	}
	for _, v := range values {
		if v == "" || len(v) > maxValue || !utf8.ValidString(v) {
			return invalid("filter: %s: a value has 1 to %d bytes", name, maxValue)
		}
	}
	return nil
}

// when reads one end of a time range.
func when(name string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	at := t.AsTime()
	if !t.IsValid() || at.Year() < 1970 || at.Year() > 2261 {
		return time.Time{}, invalid("filter: seen: %s: want a time of the years 1970 to 2261", name)
	}
	return at, nil
}
