// Command simtrap replays capture files and names the subscriber lines that
// are multi-SIM gateways, each with its reasons.
package main

import (
	"os"
	"runtime/debug"

	"simtrap/cmd/internal/command"
)

// gcPercent halves the room that the garbage collector leaves to grow: a flood
// of forged sources fills tables to their caps, and twice that would not fit a
// small machine. Replay allocates so little that it costs no time.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	t := command.Terminal{Program: "simtrap", In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(command.Run(t, newRoot(t), os.Args[1:]))
}
