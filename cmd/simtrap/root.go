package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"simtrap/cmd/internal/command"
)

// statusDamaged: an input was damaged or cut short; what could be read was
// reported (docs/design.md, "Output contract").
const statusDamaged = 3

// columns gives the width of the terminal behind w; ok is false when there is
// none.
func columns(w any) (n int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, true
	}
	return n, true
}

func newRoot(t command.Terminal) *cobra.Command {
	root := command.Root(t, "Find multi-SIM gateways (SIM boxes) in captured traffic",
		`simtrap reads captured traffic of an access network and says which subscriber
lines are multi-SIM gateways, and why. It observes and reports; it sends nothing.`)
	root.AddCommand(newReplay(t), newDissect(t), newMatch(t), newSignals(t), newEvidence(t), newHub(t), command.NewVersion(t), command.NewDocs(root, "1"))
	return root
}
