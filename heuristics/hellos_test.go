package heuristics

import (
	"testing"

	"simtrap/hidden/hello"
	"simtrap/ident"
)

// TestHellos: openings are kept of lines with evidence alone, equal ones together,
// and no more than there is room for.
func TestHellos(t *testing.T) {
	l := &Lines{table: make(map[ident.Line]*profile)}
	l.young.init()
	l.kept.init()
	line, far := ident.Line{Realm: 3}, ident.Addr{}
	h := Hello{Hello: hello.Hello{Protocol: hello.TLS, JA4: "a"}, Far: far, Port: 443, Asked: true, First: 10, Last: 10}
	l.Hello(line, &h)
	p := &profile{line: line}
	l.table[line] = p
	l.Hello(line, &h)
	if p.hellos() != nil {
		t.Fatalf("a line without evidence: %+v", p.hellos())
	}
	p.kept, p.traits, p.evidence, p.tenantSince = true, &traits{}, &Evidence{}, 5
	l.kept.push(p)
	early := h
	early.First = 4
	l.Hello(line, &early)
	l.Hello(line, &h)
	again := h
	again.First, again.Last = 20, 20
	l.Hello(line, &again)
	if got := p.hellos(); len(got) != 1 || got[0].Times != 2 || got[0].First != 10 || got[0].Last != 20 {
		t.Fatalf("%+v", got)
	}
	for i := range maxHellos {
		o := h
		o.Port, o.First, o.Last = uint16(i), int64(30+i), int64(30+i)
		l.Hello(line, &o)
	}
	got := p.hellos()
	if len(got) != maxHellos || l.counters.HellosForgotten != 1 {
		t.Errorf("%d kept, %d forgotten", len(got), l.counters.HellosForgotten)
	}
	for _, k := range got {
		if k.Port == 443 {
			t.Error("the oldest is still there")
		}
	}
}
