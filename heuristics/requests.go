package heuristics

import (
	"simtrap/ident"
	"simtrap/sip"
)

// Request follows a request outside calls and registrations. up is set when
// the line sent it.
func (l *Lines) Request(line ident.Line, up bool, q *sip.Request) {}
