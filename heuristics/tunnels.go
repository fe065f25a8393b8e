package heuristics

import (
	"simtrap/hidden/tunnel"
	"simtrap/ident"
)

// Tunnel takes what was counted of calls in one window of a flow of which nothing
// can be read, between the line and far; proto is the flow's of IP.
func (l *Lines) Tunnel(line ident.Line, far ident.Addr, proto uint8, c *tunnel.Count) {
}
