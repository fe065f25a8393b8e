package match

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/report/reportpb"
)

// labCalls makes a capture and gives the calls that the detector saw of its lines.
func labCalls(t *testing.T, o lab.Options) (*lab.Truth, []*Line) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := lab.Make(f, o)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	homes, err := ident.ParseHomes(lab.Homes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []ident.Line
	for _, l := range truth.Lines {
		a, ok := ident.ParseAddr([]byte(l.Address))
		if !ok {
			t.Fatalf("address %q", l.Address)
		}
		lines = append(lines, homes.LineOf(a, 0))
	}
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	keep := pipeline.NewCalls(homes, lines)
	res, err := pipeline.Run(context.Background(), files, pipeline.Config{Homes: homes, Observe: keep})
	if err != nil {
		t.Fatal(err)
	}
	list, _ := keep.List()
	stamp := func(ns int64) *timestamppb.Timestamp {
		if ns == 0 {
			return nil
		}
		return timestamppb.New(time.Unix(0, ns))
	}
	var calls []*reportpb.Call
	for _, c := range list {
		out := &reportpb.Call{Line: c.Line.String(), Start: stamp(c.Start), Answered: stamp(c.Answered), End: stamp(c.End)}
		switch {
		case c.Media:
		case c.Inbound:
			out.Direction = reportpb.Direction_DIRECTION_INBOUND
		default:
			out.Direction = reportpb.Direction_DIRECTION_OUTBOUND
		}
		calls = append(calls, out)
	}
	return truth, NewLines(calls, res.Stats.First, res.Stats.Last)
}

// cityMapping is that of lab.RecordNames.
func cityMapping() Mapping {
	return Mapping{Card: "imsi", Calling: "calling", Called: "called", Start: "start", Answer: "answer", End: "end",
		Duration: "duration", Direction: "direction", Cell: "cell", Zone: "+08:00"}
}

// In a city with decoys every card that is named is behind the box, and nearly all
// of those behind it are.
func TestCardsOfBoxes(t *testing.T) {
	runs := []struct {
		scenario, view string
		seed           uint64
		duration       time.Duration
		city           lab.City
		mapping        func(*Mapping)
	}{
		{"goip-line", "sip", 1, 40 * time.Minute, lab.City{Ahead: 3 * time.Second}, nil},
		{"goip-group", "sip", 2, 40 * time.Minute, lab.City{Ahead: -7500 * time.Millisecond}, nil},
		{"dinstar", "sip", 3, 40 * time.Minute, lab.City{}, nil},
		{"trunk-32", "sip", 4, 50 * time.Minute, lab.City{Ahead: 1200 * time.Millisecond, Busy: 8}, nil},
		// Nothing but voice is seen, and which end of it calls is not known.
		{"goip-group", "media", 5, 40 * time.Minute, lab.City{Ahead: 2 * time.Second}, nil},
		// Billing counts minutes, and the time of the end is not told.
		{"goip-line", "sip", 6, 40 * time.Minute, lab.City{DurationStep: time.Minute}, func(m *Mapping) { m.End = "" }},
	}
	if testing.Short() {
		runs = runs[:2]
	}
	found, all := 0, 0
	for n, run := range runs {
		name := fmt.Sprintf("%s-%s-%d", run.scenario, run.view, run.seed)
		truth, lines := labCalls(t, lab.Options{Scenario: run.scenario, View: run.view, Seed: run.seed, Duration: run.duration})
		run.city.Seed = uint64(n)
		var file bytes.Buffer
		behind, err := lab.RecordsOf(&file, truth, run.city)
		if err != nil {
			t.Fatal(err)
		}
		m := cityMapping()
		if run.mapping != nil {
			run.mapping(&m)
		}
		res := findIn(t, lines, m, file.Bytes())
		want := make(map[string]bool)
		for _, cards := range behind {
			for _, c := range cards {
				want[c] = true
			}
		}
		got := make(map[string]bool)
		for _, match := range res.Matches {
			if !want[match.Card] {
				t.Errorf("%s: a card of no box is named: %+v", name, match)
			}
			got[match.Card] = true
		}
		events := 0
		for _, l := range lines {
			events += len(l.Events)
		}
		t.Logf("%s: %d of %d cards, %d calls, %d timetables", name, len(got), len(want), events, len(res.Timetables))
		found, all = found+len(got), all+len(want)
	}
	if recall := float64(found) / float64(all); recall < 0.95 {
		t.Errorf("%d of %d cards named: %.3f, want 0.95", found, all, recall)
	}
}

// No card is named where the box's own are another operator's.
func TestOtherOperatorsCards(t *testing.T) {
	truth, lines := labCalls(t, lab.Options{Scenario: "goip-line", View: "sip", Seed: 9, Duration: 30 * time.Minute})
	var file, mine bytes.Buffer
	behind, err := lab.RecordsOf(&file, truth, lab.City{Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	skip := make(map[string]bool)
	for _, cards := range behind {
		for _, c := range cards {
			skip[c] = true
		}
	}
	for {
		row, err := file.ReadString('\n')
		if err == io.EOF {
			break
		}
		if imsi := row[:min(15, len(row))]; !skip[imsi] {
			mine.WriteString(row)
		}
	}
	if res := findIn(t, lines, cityMapping(), mine.Bytes()); len(res.Matches) > 0 {
		t.Errorf("named: %+v", res.Matches)
	}
}
