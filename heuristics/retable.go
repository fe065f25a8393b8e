package heuristics

import (
	"errors"
	"slices"
)

// ErrShape says that a model counts otherwise than the one in use.
var ErrShape = errors.New("heuristics: the catalogue has other signals or classes than the one in use")

// Retable takes other tables for the same counts while lines are followed. It
// fails with ErrShape, and changes nothing, where signals, their categories,
// families or classes are others: then a program must begin anew with them, as a
// checkpoint is read.
func (l *Lines) Retable(m *Model) error {
	if !slices.Equal(m.families, l.model.families) ||
		!slices.EqualFunc(m.classes, l.model.classes, func(a, b scored) bool { return a.name == b.name }) ||
		!slices.EqualFunc(m.signals, l.model.signals, func(a, b compiled) bool {
			return a.ID == b.ID && a.Kind == b.Kind && a.family == b.family && slices.Equal(a.Categories, b.Categories)
		}) {
		return ErrShape
	}
	old := l.model.cat.Hash
	l.model = m
	for p := l.kept.root.next; p != &l.kept.root; p = p.next {
		if p.under == "" {
			p.under = old
		}
		if p.under == m.cat.Hash {
			p.under = ""
		}
		l.touch(p)
	}
	return nil
}

// Catalogue is the version of the tables in use.
func (l *Lines) Catalogue() int { return l.model.cat.Version }
