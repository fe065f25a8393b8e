// Command simtrap replays capture files and names the subscriber lines that
// are multi-SIM gateways, each with its reasons.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
