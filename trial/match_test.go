package trial

import (
	"testing"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
)

func TestCards(t *testing.T) {
	imsi := func(s string) ident.IMSI { v, _ := ident.NewIMSI([]byte(s)); return v }
	imei := func(s string) ident.IMEI { v, _ := ident.NewIMEI([]byte(s)); return v }
	truth := &lab.LineTruth{Cards: []lab.Card{
		{IMSI: "460001234567890", IMEI: "490154203237518"},
		{IMSI: "460001234567891", IMEI: "356938035643809"},
	}}
	a, b := imsi("460001234567890"), imsi("460001234567891")
	first := imei("490154203237518")
	for name, c := range map[string]struct {
		cards []heuristics.Card
		want  Match
	}{
		"nothing":         {nil, Match{True: 2}},
		"both":            {[]heuristics.Card{{IMSI: a, IMEI: first}, {IMSI: b}}, Match{2, 2, 2, 2}},
		"mixed":           {[]heuristics.Card{{IMSI: b, IMEI: first}}, Match{Found: 1, True: 2}},
		"a modem alone":   {[]heuristics.Card{{IMEI: first}}, Match{True: 2}},
		"no identity":     {[]heuristics.Card{{}}, Match{True: 2}},
		"somebody else's": {[]heuristics.Card{{IMSI: imsi("460009999999999")}}, Match{Found: 1, True: 2}},
	} {
		l := Line{Truth: truth, Finding: &heuristics.Finding{Cards: c.cards}}
		if got := l.Cards(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestControllers(t *testing.T) {
	addr := func(s string) ident.Addr { a, _ := ident.ParseAddr([]byte(s)); return a }
	l := Line{
		Truth: &lab.LineTruth{Controllers: []lab.Controller{{Addr: "198.18.0.1", Role: "registrar"}, {Addr: "198.18.0.1", Role: "media"}, {Addr: "198.18.0.2"}}},
		Finding: &heuristics.Finding{Controllers: []heuristics.Controller{
			{Addr: addr("198.18.0.1"), Role: "registrar"}, {Addr: addr("192.0.2.1"), Role: "media"}}},
	}
	if got, want := l.Controllers(), (Match{2, 1, 2, 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	l.Finding = nil
	if got, want := l.Controllers(), (Match{True: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
