package query

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"simtrap/hub/store"
	"simtrap/report"
	"simtrap/report/querypb"
)

// Bounds of cases.
const (
	maxTitle = 200  // characters
	maxNote  = 4000 // characters
	maxTries = 8    // to change a case that others change as well
)

// works says who asks, that he may change cases, and has written down what.
func (s *Service) works(ctx context.Context, method string, request proto.Message) (Person, error) {
	who, err := s.admit(ctx)
	if err != nil {
		return who, err
	}
	if !who.Clear {
		return who, connect.NewError(connect.CodePermissionDenied, errors.New("this account may not work on cases"))
	}
	text, err := written(request)
	if err != nil {
		return who, err
	}
	if err := s.audit.Used(ctx, Use{Account: who.Account, Action: "change", Method: method, Request: text}); err != nil {
		if ctx.Err() != nil {
			return who, ctx.Err()
		}
		s.log.Error("audit failed: nothing is changed", zap.Error(err))
		return who, connect.NewError(connect.CodeUnavailable, errors.New("the change could not be written down, so nothing is changed"))
	}
	return who, nil
}

// line1 checks a text of one line.
func line1(name, s string, most int) error {
	switch {
	case utf8.RuneCountInString(s) > most:
		return fmt.Errorf("%s: more than %d characters", name, most)
	case report.Plain(s) != s:
		return fmt.Errorf("%s: has characters that cannot be shown", name)
	}
	return nil
}

// note checks a text of several lines.
func note(name, s string) error {
	if utf8.RuneCountInString(s) > maxNote {
		return fmt.Errorf("%s: more than %d characters", name, maxNote)
	}
	for l := range strings.Lines(s) {
		if l = strings.TrimRight(l, "\r\n"); report.Plain(l) != l {
			return fmt.Errorf("%s: has characters that cannot be shown", name)
		}
	}
	return nil
}

// idList reads ids that a request gives.
func idList(name string, given []string) ([]store.ID, error) {
	if len(given) > maxValues {
		return nil, invalid("%s: %d ids, at most %d", name, len(given), maxValues)
	}
	var ids []store.ID
	for _, text := range given {
		key, err := id(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, key) {
			ids = append(ids, key)
		}
	}
	return ids, nil
}

// there says whether boxes and rings are there.
func (s *Service) there(ctx context.Context, rings, boxes []store.ID) error {
	for _, key := range rings {
		if _, err := s.store.Ring(ctx, key); err != nil {
			return s.failed(ctx, err)
		}
	}
	for _, key := range boxes {
		if _, err := s.store.Box(ctx, key); err != nil {
			return s.failed(ctx, err)
		}
	}
	return nil
}

// OpenCase implements querypbconnect.QueryServiceHandler.
func (s *Service) OpenCase(ctx context.Context, r *connect.Request[querypb.OpenCaseRequest]) (*connect.Response[querypb.OpenCaseResponse], error) {
	m := r.Msg
	if strings.TrimSpace(m.GetTitle()) == "" {
		return nil, invalid("title: a case needs one")
	}
	if err := errors.Join(line1("title", m.GetTitle(), maxTitle), line1("owner", m.GetOwner(), maxTitle)); err != nil {
		return nil, invalid("%w", err)
	}
	rings, err := idList("ring_ids", m.GetRingIds())
	if err != nil {
		return nil, err
	}
	boxes, err := idList("box_ids", m.GetBoxIds())
	if err != nil {
		return nil, err
	}
	who, err := s.works(ctx, "OpenCase", m)
	if err != nil {
		return nil, err
	}
	if err := s.there(ctx, rings, boxes); err != nil {
		return nil, err
	}
	c := store.Case{Title: m.GetTitle(), State: store.CaseOpen, Owner: m.GetOwner(), Rings: rings, Boxes: boxes, Opened: s.now().UTC()}
	rand.Read(c.ID[:]) // never fails
	if c.Owner == "" {
		c.Owner = who.Account
	}
	if err := s.store.AddCase(ctx, c); err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.OpenCaseResponse{Case: caseRow(&c)}), nil
}

// ChangeCase implements querypbconnect.QueryServiceHandler.
func (s *Service) ChangeCase(ctx context.Context, r *connect.Request[querypb.ChangeCaseRequest]) (*connect.Response[querypb.ChangeCaseResponse], error) {
	m := r.Msg
	key, err := id(m.GetId())
	if err != nil {
		return nil, err
	}
	if m.Title != nil && strings.TrimSpace(m.GetTitle()) == "" {
		return nil, invalid("title: a case needs one")
	}
	if err := errors.Join(line1("title", m.GetTitle(), maxTitle), line1("owner", m.GetOwner(), maxTitle), note("comment", m.GetComment())); err != nil {
		return nil, invalid("%w", err)
	}
	if m.State != nil && (m.GetState() < querypb.CaseState_CASE_STATE_OPEN || m.GetState() > querypb.CaseState_CASE_STATE_CLOSED) {
		return nil, invalid("state: %d is none", m.GetState())
	}
	if !known(m.GetOutcome()) {
		return nil, invalid("outcome: %d is none", m.GetOutcome())
	}
	rings, err := idList("ring_ids", m.GetRingIds())
	if err != nil {
		return nil, err
	}
	boxes, err := idList("box_ids", m.GetBoxIds())
	if err != nil {
		return nil, err
	}
	who, err := s.works(ctx, "ChangeCase", m)
	if err != nil {
		return nil, err
	}
	if err := s.there(ctx, rings, boxes); err != nil {
		return nil, err
	}
	for range maxTries {
		c, err := s.store.Case(ctx, key)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		if m.Title != nil {
			c.Title = m.GetTitle()
		}
		if m.Owner != nil {
			c.Owner = m.GetOwner()
		}
		if m.Outcome != nil {
			c.Outcome = store.Outcome(m.GetOutcome())
		}
		if m.State != nil && store.CaseState(m.GetState()) != c.State {
			c.State = store.CaseState(m.GetState())
			c.Closed = time.Time{}
			if c.State == store.CaseClosed {
				c.Closed = s.now().UTC()
			}
		}
		c.Rings, c.Boxes = joined(c.Rings, rings), joined(c.Boxes, boxes)
		err = s.store.PutCase(ctx, c)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		if m.GetComment() != "" {
			if err := s.store.AddComment(ctx, store.Comment{Case: key, At: s.now().UTC(), Author: who.Account, Text: m.GetComment()}); err != nil {
				return nil, s.failed(ctx, err)
			}
		}
		return connect.NewResponse(&querypb.ChangeCaseResponse{Case: caseRow(&c)}), nil
	}
	return nil, connect.NewError(connect.CodeAborted, errors.New("others change the case as well; ask again"))
}

func joined(ids, more []store.ID) []store.ID {
	for _, key := range more {
		if !slices.Contains(ids, key) {
			ids = append(ids, key)
		}
	}
	return ids
}

func known(o querypb.Outcome) bool {
	return o >= querypb.Outcome_OUTCOME_UNSPECIFIED && o <= querypb.Outcome_OUTCOME_INNOCENT
}

// SetOutcome implements querypbconnect.QueryServiceHandler.
func (s *Service) SetOutcome(ctx context.Context, r *connect.Request[querypb.SetOutcomeRequest]) (*connect.Response[querypb.SetOutcomeResponse], error) {
	m := r.Msg
	finding, err := id(m.GetFindingId())
	if err != nil {
		return nil, err
	}
	o := store.FindingOutcome{Finding: finding, Outcome: store.Outcome(m.GetOutcome()), Note: m.GetNote()}
	if !known(m.GetOutcome()) {
		return nil, invalid("outcome: %d is none", m.GetOutcome())
	}
	if err := note("note", m.GetNote()); err != nil {
		return nil, invalid("%w", err)
	}
	if m.GetCaseId() != "" {
		if o.Case, err = id(m.GetCaseId()); err != nil {
			return nil, err
		}
	}
	who, err := s.works(ctx, "SetOutcome", m)
	if err != nil {
		return nil, err
	}
	if !o.Case.IsZero() {
		if _, err := s.store.Case(ctx, o.Case); err != nil {
			return nil, s.failed(ctx, err)
		}
	}
	o.By, o.At = who.Account, s.now().UTC()
	if err := s.store.SetOutcome(ctx, o); err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&querypb.SetOutcomeResponse{}), nil
}
