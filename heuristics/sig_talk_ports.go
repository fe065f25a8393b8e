package heuristics

import "fmt"

// talkPorts counts the calls without signalling on a port of the line that had
// one some minutes before: equipment with so many channels has so many ports,
// programs and exchanges draw them at random.
func talkPorts() signal {
	return signal{
		id:    "talk-ports",
		leave: (*profile).talkSilent,
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s without signalling on a port used shortly before", n[1], plural(sum(n), "call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
