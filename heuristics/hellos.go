package heuristics

import (
	"simtrap/hidden/hello"
	"simtrap/ident"
)

// Hello is an opening of an enciphered connection that a line took part in. It is
// shown with the finding and moves no score.
type Hello struct {
	hello.Hello
	Far         ident.Addr
	Port        uint16 // of the far end; 0 where the protocol has none
	Asked       bool   // the line opened it; else the far end did
	Times       int
	First, Last int64 // ns since the Unix epoch
}

// maxHellos bounds what is kept of a line. Of more the one not seen for longest
// goes, which is counted.
const maxHellos = 16

// Hello takes an opening between the line and a far end that both took part in.
// Lines of which nothing else is known are passed over: nobody keeps a household's
// habits without cause.
func (l *Lines) Hello(line ident.Line, h *Hello) {
	p := l.find(line)
	if p == nil || !p.kept || h.First < p.tenantSince {
		return
	}
	l.keep(p)
	t := p.traits
	oldest := 0
	for i := range t.hellos {
		k := &t.hellos[i]
		if k.Hello == h.Hello && k.Far == h.Far && k.Port == h.Port && k.Asked == h.Asked {
			k.Times++
			k.Last = max(k.Last, h.Last)
			return
		}
		if k.Last < t.hellos[oldest].Last {
			oldest = i
		}
	}
	k := *h
	k.Times = 1
	if len(t.hellos) < maxHellos {
		t.hellos = append(t.hellos, k)
		return
	}
	l.counters.HellosForgotten++
	t.hellos[oldest] = k
}

// hellos gives what is kept of a line's openings.
func (p *profile) hellos() []Hello {
	if p.traits == nil || len(p.traits.hellos) == 0 {
		return nil
	}
	return append([]Hello(nil), p.traits.hellos...)
}
