// Command simtrapd watches tap ports and names the subscriber lines that are
// multi-SIM gateways, each with its reasons.
package main

import (
	"os"
	"runtime/debug"
)

// gcPercent halves the room that the garbage collector leaves to grow, as in
// simtrap.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(run(os.Args[1:], terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
