// Command simtrap-hub receives what appliances report, links it across lines and
// days, and answers who asks.
package main

import (
	"os"
	"runtime/debug"

	"simtrap/cmd/internal/command"
)

// gcPercent halves the room that the garbage collector leaves to grow, as in
// simtrap.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	t := command.Terminal{Program: "simtrap-hub", In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(command.Run(t, newRoot(t), os.Args[1:]))
}
