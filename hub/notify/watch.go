package notify

import (
	"context"
	"sync"

	"simtrap/hub/door"
	"simtrap/hub/query"
	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// Cases gives a store of queries whose new and changed cases are told, once they are
// stored.
func (n *Notifier) Cases(s query.Store) query.Store {
	if len(n.lanes) == 0 {
		return s
	}
	return caseWatch{s, n}
}

type caseWatch struct {
	query.Store
	n *Notifier
}

func state(s store.CaseState) string {
	switch s {
	case store.CaseOpen:
		return "open"
	case store.CaseHandedOver:
		return "handed-over"
	case store.CaseClosed:
		return "closed"
	}
	return ""
}

func outcome(o store.Outcome) string {
	switch o {
	case store.OutcomeConfirmed:
		return "confirmed"
	case store.OutcomeInnocent:
		return "innocent"
	}
	return ""
}

func caseEvent(kind string, c *store.Case) Event {
	return Event{Kind: kind, Case: c.ID.String(), Title: c.Title, State: state(c.State), Owner: c.Owner, Outcome: outcome(c.Outcome)}
}

// AddCase implements query.Store.
func (w caseWatch) AddCase(ctx context.Context, c store.Case) error {
	err := w.Store.AddCase(ctx, c)
	if err == nil {
		w.n.Tell(caseEvent(CaseOpened, &c))
	}
	return err
}

// PutCase implements query.Store.
func (w caseWatch) PutCase(ctx context.Context, c store.Case) error {
	err := w.Store.PutCase(ctx, c)
	if err == nil {
		w.n.Tell(caseEvent(CaseChanged, &c))
	}
	return err
}

// AddComment implements query.Store. What was written is not told.
func (w caseWatch) AddComment(ctx context.Context, c store.Comment) error {
	err := w.Store.AddComment(ctx, c)
	if err == nil {
		w.n.Tell(Event{Kind: CaseComment, Case: c.Case.String(), Owner: c.Author})
	}
	return err
}

// maxKnown bounds the findings that are known to have been told.
const maxKnown = 1 << 16

// FindingStore is what tells how a finding stood.
type FindingStore interface {
	door.Store
	Finding(context.Context, store.ID) (store.Finding, error)
}

// Findings gives a store of reports of which findings that reach the verdict case are
// told, once they are stored. One that stood there before is not told again.
func (n *Notifier) Findings(s FindingStore) door.Store {
	if len(n.lanes) == 0 {
		return s
	}
	return &findingWatch{FindingStore: s, n: n, known: make(map[store.ID]bool)}
}

type findingWatch struct {
	FindingStore
	n *Notifier

	mu    sync.Mutex
	known map[store.ID]bool // at case
}

// Ingest implements door.Store.
func (w *findingWatch) Ingest(ctx context.Context, d store.Delivery) (store.Receipt, error) {
	var reached []store.ID
	for _, r := range d.Records { // they are the store's afterwards
		f := r.GetFinding()
		if f.GetFinding().GetVerdict() != reportpb.Verdict_VERDICT_CASE || len(f.GetId()) != 16 {
			continue
		}
		id := store.FindingID(d.Sensor, f.GetId())
		if w.has(id) {
			continue
		}
		if old, err := w.Finding(ctx, id); err == nil && old.Report.GetFinding().GetVerdict() == reportpb.Verdict_VERDICT_CASE {
			w.add(id)
			continue
		}
		reached = append(reached, id)
	}
	sensor := d.Sensor
	got, err := w.FindingStore.Ingest(ctx, d)
	if err != nil {
		return got, err
	}
	for _, id := range reached {
		if w.add(id) {
			w.n.Tell(Event{Kind: FindingCase, Finding: id.String(), Sensor: sensor, Verdict: "case"})
		}
	}
	return got, nil
}

func (w *findingWatch) has(id store.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[id]
}

// add says whether it was not there.
func (w *findingWatch) add(id store.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[id] {
		return false
	}
	if len(w.known) >= maxKnown { // the store knows them too
		clear(w.known)
	}
	w.known[id] = true
	return true
}
