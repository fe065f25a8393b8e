package link

import (
	"fmt"
	"testing"
)

// moved is a box that goes from line to line: the same accounts, oscillator and
// software, one line after the other.
func moved(w *world, n int, named bool) {
	at := int64(0)
	for i := range n {
		l := w.add(Line{
			Verdict: Watch, Accounts: accounts("box", 8), Stack: "a1", CNAME: "~c",
			Contact:     fmt.Sprintf("~lan%d", i), // the address at home differs from home to home
			Controllers: []Endpoint{{"198.51.100.1", "registrar"}},
			ClockPPM:    -7.3 + float64(i)*0.1, ClockErrorPPM: 0.4, Standings: boxStandings(),
		})
		if i >= 3 {
			l.Sensor = "south"
		}
		if named {
			l.Subscriber = fmt.Sprintf("~s%d", i)
		}
		during(l, Span{at, at + 2*day}, Span{at + 2*day + hour, at + 5*day})
		at += 5*day + 6*hour
	}
}

func TestOneBoxOverFiveLinesAndTwoCities(t *testing.T) {
	for _, named := range []bool{true, false} {
		var w world
		moved(&w, 5, named)
		_, g := w.judge()
		if b := linked(g.Boxes); len(b) != 1 || len(b[0].Members) != 5 {
			t.Fatalf("named %v: boxes %+v, want one of five lines", named, b)
		}
		rings := w.rings(g)
		if len(rings) != 1 || rings[0].Lines != 5 {
			t.Fatalf("named %v: rings %+v, want one of five lines", named, rings)
		}
		if rings[0].Judged != named {
			t.Errorf("named %v: judged %v; without names they may be two subscribers", named, rings[0].Judged)
		}
		if named && rings[0].Verdict < Review {
			t.Errorf("ring is %+v, want review or more", rings[0])
		}
	}
}

// TestOneInstaller: what an installer gives to many customers makes no two of them
// one box, whatever of it they have in common.
func TestOneInstaller(t *testing.T) {
	var w world
	for range 4 {
		w.add(Line{
			Verdict: Watch, Stack: "a1", CNAME: "~c", Contact: "~lan",
			Controllers: []Endpoint{{"198.51.100.1", "registrar"}}, Standings: boxStandings(),
		})
	}
	_, g := w.judge()
	if b := linked(g.Boxes); len(b) != 0 {
		t.Errorf("boxes %+v, want none", b)
	}
}

// ring adds n boxes at homes of their own that one softswitch drives.
func ring(w *world, who string, n int, extra ...Endpoint) {
	for i := range n {
		l := w.add(Line{
			Verdict: Watch, Accounts: accounts(fmt.Sprint(who, i, "-"), 4), Stack: who,
			Controllers: append([]Endpoint{{who + "-switch", "registrar"}}, extra...),
			ClockPPM:    float64(i*7%50) - 25, ClockErrorPPM: 0.5, Standings: boxStandings(),
		})
		during(l, Span{int64(i) * hour, 20 * day})
	}
}

func TestForty(t *testing.T) {
	var w world
	ring(&w, "x", 40)
	_, g := w.judge()
	if b := linked(g.Boxes); len(b) != 0 {
		t.Errorf("boxes %+v, want each for itself", b)
	}
	rings := w.rings(g)
	if len(rings) != 1 || rings[0].Lines != 40 || rings[0].Certain != 40 || rings[0].Verdict < Review {
		t.Fatalf("rings %+v, want one of forty lines", rings)
	}
}

func TestTwoRingsBehindOneWholesaler(t *testing.T) {
	for _, kinds := range []string{"of two makes", "of one make"} {
		t.Run(kinds, func(t *testing.T) {
			w := world{used: map[string]int{"wholesaler": 300}}
			ring(&w, "x", 6, Endpoint{"wholesaler", "trunk-peer"})
			ring(&w, "y", 5, Endpoint{"wholesaler", "trunk-peer"})
			if kinds == "of one make" {
				for i := range w.lines {
					w.lines[i].Stack = "same"
				}
			}
			_, g := w.judge()
			rings := w.rings(g)
			if len(rings) != 2 || rings[0].Lines+rings[1].Lines != 11 {
				t.Fatalf("rings %+v, want one of six and one of five", rings)
			}
		})
	}
}

func TestWholesalerOfBoxesOnly(t *testing.T) {
	// A hundred lines, all suspect, all of one make: so many are no one hand's.
	var w world
	for i := range 100 {
		l := w.add(Line{Verdict: Watch, Stack: "same", Controllers: []Endpoint{{"wholesaler", "trunk-peer"}}})
		during(l, Span{int64(i) * hour, 20 * day})
	}
	if _, g := w.judge(); len(linked(g.Hands)) != 0 {
		t.Errorf("joined %d groups", len(linked(g.Hands)))
	}
}

func TestHostedExchange(t *testing.T) {
	for _, suspect := range []int{0, 1, 3, 5} {
		w := world{used: map[string]int{"exchange": 40}}
		for i := range 40 {
			v := None
			if i < suspect {
				v = Watch
			}
			l := w.add(Line{
				Verdict: v, Accounts: accounts(fmt.Sprint("office", i, "-"), 12), Stack: "phone",
				Controllers: []Endpoint{{"exchange", "registrar"}}, Contact: "~lan",
				ClockPPM: 2, ClockErrorPPM: 0.3,
			})
			during(l, Span{0, 20 * day})
		}
		if edges, g := w.judge(); len(linked(g.Hands)) != 0 {
			t.Errorf("%d of forty offices at watch: joined %+v by %+v", suspect, linked(g.Hands), edges)
		}
	}
}

func TestNeighbours(t *testing.T) {
	same := func(l Line) func(*world, int) {
		return func(w *world, i int) {
			m := l
			m.Verdict = Watch
			during(w.add(m), Span{int64(i) * hour, 5 * day})
		}
	}
	tests := map[string]struct {
		n   int
		add func(*world, int)
		use map[string]int
	}{
		"two homes with one make of router": {2, same(Line{Contact: "~lan", CNAME: "~name", Stack: "phone"}), nil},
		"with clocks that agree":            {2, same(Line{Contact: "~lan", CNAME: "~name", Stack: "phone", ClockPPM: 3, ClockErrorPPM: 0.2}), nil},
		"thirty such homes":                 {30, same(Line{Contact: "~lan", CNAME: "~name", Stack: "phone"}), nil},
		"a carrier's shared address": {6, func(w *world, i int) {
			l := w.add(Line{Verdict: Watch, Contact: "~lan", Stack: "phone",
				Accounts:    accounts(fmt.Sprint("neighbour", i, "-"), 1),
				Controllers: []Endpoint{{"provider", "registrar"}}})
			during(l, Span{int64(i) * hour, 5 * day})
		}, map[string]int{"provider": 30_000}},
		"one public provider": {8, func(w *world, i int) {
			l := w.add(Line{Verdict: Watch, Stack: "phone", Accounts: accounts(fmt.Sprint("user", i, "-"), 2),
				Controllers: []Endpoint{{"provider", "registrar"}, {"relay", "media"}}})
			during(l, Span{int64(i) * hour, 5 * day})
		}, map[string]int{"provider": 2_000, "relay": 8}},
		"one relay of media": {5, same(Line{Stack: "phone", Controllers: []Endpoint{{"relay", "media"}}}), nil},
		"gateways of machines, one platform": {12, func(w *world, i int) {
			v := None
			if i < 4 {
				v = Watch
			}
			l := w.add(Line{Verdict: v, Stack: "m2m", Cards: cards(fmt.Sprint("m", i, "-"), 4),
				Controllers: []Endpoint{{"platform", "management"}}})
			during(l, Span{int64(i) * hour, 5 * day})
		}, map[string]int{"platform": 400}},
		"test cards": {4, func(w *world, i int) {
			l := w.add(Line{Verdict: Watch, Cards: []Card{{IMSI: "00101~1"}, {IMSI: "99999~1"}}})
			during(l, Span{int64(i) * hour, 5 * day})
		}, nil},
		"a card of a thousand makers' manuals": {200, same(Line{Cards: []Card{{ICCID: "8986~1"}}}), nil},
		"slots and numbers are no cards":       {3, same(Line{Cards: []Card{{}}}), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := world{used: test.use}
			for i := range test.n {
				test.add(&w, i)
			}
			if edges, g := w.judge(); len(linked(g.Hands)) != 0 {
				t.Errorf("joined %+v by %+v", linked(g.Hands), edges)
			}
		})
	}
}

func TestOneGatewayWhoseAddressChanges(t *testing.T) {
	// A licensed gateway with an exchange of its own gets a new address every
	// day. One hand, to be sure, and no ring.
	var w world
	for i := range int64(28) {
		l := w.add(Line{Verdict: Watch, Stack: "a", Controllers: []Endpoint{{"own", "registrar"}}, Standings: boxStandings()})
		during(l, Span{i * day, i*day + 23*hour})
	}
	_, g := w.judge()
	if r := w.rings(g); len(r) != 0 {
		t.Errorf("rings %+v of one subscriber", r)
	}
}

func TestAtOnceIsNotOneBox(t *testing.T) {
	w := world{}
	for range 2 {
		during(w.add(Line{Verdict: Watch, Accounts: accounts("x", 2), ClockPPM: 4, ClockErrorPPM: 0.1}), Span{0, 5 * day})
	}
	edges, g := w.judge()
	if len(linked(g.Boxes)) != 0 || len(linked(g.Hands)) != 1 {
		t.Errorf("boxes %+v hands %+v by %+v, want one hand and two boxes", linked(g.Boxes), linked(g.Hands), edges)
	}
	for _, e := range edges {
		if e.Kind == Clock {
			t.Errorf("clock speaks of two lines active at once: %+v", e)
		}
	}
}

func TestSharedCards(t *testing.T) {
	var w world
	for i := range 4 {
		l := w.add(Line{Verdict: Watch, Stack: fmt.Sprint("make", i), Cards: append(cards(fmt.Sprint("own", i, "-"), 8), Card{IMSI: fmt.Sprint("46000~shared", i/2)}, Card{IMSI: "46000~carried"})})
		during(l, Span{int64(i) * hour, 5 * day})
	}
	_, g := w.judge()
	if len(linked(g.Boxes)) != 0 || len(linked(g.Hands)) != 1 {
		t.Errorf("boxes %+v hands %+v, want four boxes in one hand", linked(g.Boxes), linked(g.Hands))
	}
}

func TestOneAccessAtTwoSensors(t *testing.T) {
	var w world
	for i := range 2 {
		for j := range 2 {
			l := w.add(Line{Verdict: Watch, Accounts: accounts(fmt.Sprint("box", i), 4), Cards: cards("shared", 2), Access: id(100 + i), Sensor: fmt.Sprint("tap", j)})
			during(l, Span{0, 5 * day})
		}
	}
	_, g := w.judge()
	if b := linked(g.Boxes); len(b) != 2 || len(b[0].Members) != 2 || len(b[1].Members) != 2 {
		t.Errorf("boxes %+v, want two, each seen by two sensors", b)
	}
	if r := w.rings(g); len(linked(g.Hands)) != 1 || len(r) != 0 {
		t.Errorf("hands %+v rings %+v, want one hand and two lines, which are no ring", linked(g.Hands), r)
	}
}

// TestUntoldController: until a sensor has told an hour of a controller, three
// gateways behind it may be all that it drives, or three of the forty customers of
// a hosted exchange.
func TestUntoldController(t *testing.T) {
	var w world
	ring(&w, "x", 3)
	_, g := w.judge()
	if rings := w.rings(g); len(rings) != 1 {
		t.Fatalf("rings %+v of a controller that no other line uses, want one", rings)
	}
	w.used = map[string]int{}
	for _, l := range w.lines {
		for _, c := range l.Controllers {
			w.used[c.Addr] = 0
		}
	}
	_, g = w.judge()
	if rings := w.rings(g); len(rings) != 0 {
		t.Errorf("rings %+v of a controller of which no hour is told, want none", rings)
	}
}
