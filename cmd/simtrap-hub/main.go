// Command simtrap-hub receives what appliances report, links it across lines and
// days, and answers who asks.
package main

import (
	"os"
	"runtime/debug"

	"simtrap/cmd/internal/command"
)

// gcPercent is the collector's own default, not half of it as in simtrap: the limit
// bounds the room that it leaves to grow, and half of it cost a tenth of the processor
// time under load.
const gcPercent = 100

// memoryLimit is what Go's part of the hub aims to stay below, in bytes: with what
// SQLite takes beside it a hub of 2,000 appliances stays within 512 MiB.
const memoryLimit = 384 << 20

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	t := command.Terminal{Program: "simtrap-hub", In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(command.Run(t, newRoot(t), os.Args[1:]))
}
