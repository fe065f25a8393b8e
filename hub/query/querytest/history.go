package querytest

import (
	"context"

	"simtrap/hub/store"
)

// Revisions implements query.Store. It keeps none.
func (s *Store) Revisions(context.Context, store.ID) ([]store.Revision, error) { return nil, s.Err }

// Calls implements query.Store. It keeps none.
func (s *Store) Calls(context.Context, store.ID, int) ([]store.Call, error) { return nil, s.Err }

// LatestPolicy implements query.Store. There is none.
func (s *Store) LatestPolicy(context.Context) (store.Policy, error) { return store.Policy{}, s.Err }

// Busiest implements query.Store.
func (s *Store) Busiest(_ context.Context, n int) ([]store.Controller, error) {
	return s.ControllerRows[:min(n, len(s.ControllerRows))], s.Err
}
