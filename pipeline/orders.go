package pipeline

import (
	"context"
	"errors"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
)

// ErrOver says that a live run has ended, so that nothing can be changed in it.
var ErrOver = errors.New("the run has ended")

// order does something between epochs, while no worker is at work, and waits until
// it is done.
func (l *Live) order(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	select {
	case l.orders <- func() { done <- do() }:
		return <-done
	case <-l.over:
		return ErrOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause is called between epochs.
func (l *Live) pause() {
	for {
		select {
		case f := <-l.orders:
			f()
		default:
			l.count()
			return
		}
	}
}

// Hub takes what the centre says of controllers, in the place of what it said
// before. It is for other goroutines than the one of Run.
func (l *Live) Hub(ctx context.Context, list []heuristics.ControllerVerdict) error {
	return l.order(ctx, func() error { return l.run.join.lines.Hub(list) })
}

// Retable takes another catalogue. It fails with heuristics.ErrShape where that
// takes a new run.
func (l *Live) Retable(ctx context.Context, cat *catalogue.Catalogue) error {
	m, err := heuristics.NewModel(cat)
	if err != nil {
		return err
	}
	return l.order(ctx, func() error { return l.run.join.lines.Retable(m) })
}

// SetHomes says anew which addresses are subscribers'. What was counted stays.
func (l *Live) SetHomes(ctx context.Context, homes *ident.Homes) error {
	return l.order(ctx, func() error {
		r := l.run
		r.cfg.Homes, r.join.homes = homes, homes
		r.join.lines.SetHomes(homes)
		for _, s := range r.shards {
			if s != nil {
				s.meter.homes = homes
			}
		}
		for _, w := range r.workers {
			w.homes = homes
		}
		return nil
	})
}
