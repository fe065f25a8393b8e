package heuristics

import "simtrap/ident"

// Places tells where an address is. Whoever asks about the same address gets
// the same answer for as long as a run lasts; it is asked by one goroutine.
type Places interface {
	Of(ident.Addr) Place
}

// Place is what a list says of the network an address belongs to. The zero
// Place, with Known false, says nothing: a signal that reads it is not visible
// then.
type Place struct {
	Known   bool   // some list names the address
	Country string // ISO 3166-1 alpha-2, empty where no list tells
	Foreign bool   // Country is told, and is not the one the tap stands in
	Hosting bool   // a list says that servers for hire stand there
	ASN     uint32 // number of the autonomous system, 0 where no list tells
	Org     string // who holds the network
}
