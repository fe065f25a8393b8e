package store

import (
	"context"
	"errors"
	"time"
)

// CaseState is how far a case is, numbered as simtrap.query.v1.CaseState.
type CaseState int16

// States of cases.
const (
	CaseOpen       CaseState = 1
	CaseHandedOver CaseState = 2
	CaseClosed     CaseState = 3
)

// Outcome is what turned out, numbered as simtrap.query.v1.Outcome.
type Outcome int16

// Outcomes.
const (
	OutcomeUnknown   Outcome = 0
	OutcomeConfirmed Outcome = 1
	OutcomeInnocent  Outcome = 2
)

// Case is what people work on.
type Case struct {
	ID      ID
	Title   string
	State   CaseState
	Owner   string // account, empty for nobody
	Rings   []ID
	Boxes   []ID
	Opened  time.Time
	Closed  time.Time // zero while open
	Outcome Outcome
	Version uint64 // set by the store, from 1
}

// AddCase stores a new one. ErrConflict: the id is taken.
func (s *Store) AddCase(ctx context.Context, c Case) error { return errors.ErrUnsupported }

// PutCase changes one whose version is still c.Version: ErrConflict otherwise,
// ErrNotFound when there is none.
func (s *Store) PutCase(ctx context.Context, c Case) error { return errors.ErrUnsupported }

// Case gives one. ErrNotFound.
func (s *Store) Case(ctx context.Context, id ID) (Case, error) { return Case{}, errors.ErrUnsupported }

// Comment is what somebody wrote about a case.
type Comment struct {
	Case   ID
	At     time.Time
	Author string
	Text   string // at most 16 KiB
}

// AddComment stores one; the same one again changes nothing.
func (s *Store) AddComment(ctx context.Context, c Comment) error { return errors.ErrUnsupported }

// Comments gives those of a case in order of time, at most n.
func (s *Store) Comments(ctx context.Context, id ID, n int) ([]Comment, error) {
	return nil, errors.ErrUnsupported
}

// FindingOutcome is what turned out about one finding.
type FindingOutcome struct {
	Finding ID
	Outcome Outcome
	Case    ID // zero for none
	By      string
	At      time.Time
	Note    string
}

// SetOutcome says what turned out about a finding; OutcomeUnknown takes it back.
// ErrNotFound: there is no such finding. One with an outcome is kept until the
// outcome's own time is over.
func (s *Store) SetOutcome(ctx context.Context, o FindingOutcome) error {
	return errors.ErrUnsupported
}

// Outcomes gives those after a place, in order of finding id, at most n, with the
// finding each is about: what calibration is fed with.
func (s *Store) Outcomes(ctx context.Context, after ID, n int) ([]FindingOutcome, []Finding, error) {
	return nil, nil, errors.ErrUnsupported
}
