// Command simtrap-appliance is what makes a machine of the image: it turns the one
// configuration file into those of the system, has the hub admit the machine, says
// whether all is well, takes updates and goes back from them, and serves the serial
// console.
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func() error{
		"reset": reset, "system": tellSystem, "setup": setup, "enroll": enroll, "console": console, "healthy": healthy,
		"update": func() error { return updateFromDrive(byDrive) }, "update-again": func() error { return updateFromDrive(byHand) }, "fallback": fallback,
		"update-offered": updateOffered, "data": data, "save": saveCopies,
	}
	var run func() error
	if len(os.Args) == 2 {
		run = commands[os.Args[1]]
	}
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: simtrap-appliance data|save|reset|system|setup|enroll|console|healthy|update|update-again|update-offered|fallback")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "simtrap-appliance: %v\n", err)
		os.Exit(1)
	}
}
