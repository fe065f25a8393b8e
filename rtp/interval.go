// Package rtp accounts media. One Interval says what one flow did in two
// seconds; docs/interval.md is the norm for it, and the kernel program keeps
// the same record. Streams are put together from intervals alone, so that a
// replay and a tap judge the same.
package rtp

import "simtrap/ident"

// Flow is one direction of one UDP conversation at one tap port.
type Flow struct {
	Src, Dst         ident.Addr
	SrcPort, DstPort uint16
	Realm            ident.Realm
	TapPort          uint16
}
