package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/report/reportpb"
)

// TestViews: saved views are each account's own, one of a name, so many and no more.
func TestViews(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, name := range []string{"ann", "lee"} {
			if err := s.AddAccount(ctx, Account{Name: name, Role: "viewer", Made: noon, Changed: noon}); err != nil {
				t.Fatal(err)
			}
		}
		save := func(account, name, query string) error {
			return s.SaveView(ctx, View{Account: account, Name: name, Query: query, Made: noon})
		}
		for _, v := range [][2]string{{"b", "verdict=case"}, {"a", "sensor=north"}, {"b", "verdict=review"}} {
			if err := save("ann", v[0], v[1]); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Views(ctx, "ann")
		if err != nil {
			t.Fatal(err)
		}
		want := []View{{"ann", "a", "sensor=north", noon}, {"ann", "b", "verdict=review", noon}}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
			t.Error(diff)
		}
		if got, err := s.Views(ctx, "lee"); err != nil || len(got) > 0 {
			t.Errorf("another's: %v %v", got, err)
		}
		for i := range maxViews - 2 {
			if err := save("ann", fmt.Sprint("more ", i), ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := save("ann", "one too many", ""); !errors.Is(err, ErrFull) {
			t.Errorf("one too many: %v", err)
		}
		if err := save("ann", "a", "verdict=case"); err != nil {
			t.Errorf("one in the place of another: %v", err)
		}
		if err := s.DropView(ctx, "lee", "a"); err != nil {
			t.Error(err)
		}
		if err := s.DropView(ctx, "ann", "b"); err != nil {
			t.Error(err)
		}
		if got, _ := s.Views(ctx, "ann"); len(got) != maxViews-1 {
			t.Errorf("%d left", len(got))
		}
		for _, v := range []View{{}, {Account: "ann"}, {Account: "ann", Name: strings.Repeat("x", 81)}, {Account: "ann", Name: "a\x00"}, {Account: "ann", Name: "q", Query: strings.Repeat("x", 4097)}, {Account: "nobody", Name: "x"}} {
			if err := s.SaveView(ctx, v); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNotFound) {
				t.Errorf("%.40v: %v", v, err)
			}
		}
	})
}

// TestStand: each mark changes with what it stands for, and with nothing else.
func TestStand(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		stand := func() Stand {
			t.Helper()
			st, err := s.Stand(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		before := stand()
		if diff := cmp.Diff(before, stand()); diff != "" {
			t.Error(diff)
		}
		changes := func(what string, want Stand) {
			t.Helper()
			now := stand()
			got := Stand{}
			for _, x := range []struct {
				was, is string
				to      *string
			}{{before.Findings, now.Findings, &got.Findings}, {before.Sensors, now.Sensors, &got.Sensors}, {before.Rings, now.Rings, &got.Rings}, {before.Cases, now.Cases, &got.Cases}, {before.Policy, now.Policy, &got.Policy}} {
				if x.was != x.is {
					*x.to = "x"
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
			before = now
		}
		admit(t, s, "north")
		changes("a sensor", Stand{Sensors: "x"})
		deliver(t, s, "north", 1, revisionOf(1, 1, reportpb.Verdict_VERDICT_REVIEW, "203.0.113.7"))
		changes("a finding", Stand{Findings: "x", Sensors: "x"})
		c := Case{ID: ID{1}, Title: "t", State: CaseOpen, Opened: noon}
		if err := s.AddCase(ctx, c); err != nil {
			t.Fatal(err)
		}
		changes("a case", Stand{Cases: "x"})
		c, err := s.Case(ctx, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.PutCase(ctx, c); err != nil {
			t.Fatal(err)
		}
		changes("a change of a case", Stand{Cases: "x"})
		if err := s.AddPolicy(ctx, Policy{Version: 1, By: "x", Made: time.Now()}); err != nil {
			t.Fatal(err)
		}
		changes("a policy", Stand{Policy: "x"})
	})
}
