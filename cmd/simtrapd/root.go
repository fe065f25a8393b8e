package main

import (
	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
)

// statusAlarms: the daemon runs, and alarms stand.
const statusAlarms = 3

func newRoot(t command.Terminal) *cobra.Command {
	root := command.Root(t, "Watch tap ports for multi-SIM gateways (SIM boxes)",
		`simtrapd watches tap or mirror ports of an access network and says which subscriber
lines are multi-SIM gateways, and why. It observes and reports; it sends nothing.`)
	root.AddCommand(newRun(t), newCheck(t), newDoctor(t), newEnroll(t), newSchema(t), newStatus(t), command.NewVersion(t), command.NewDocs(root, "8"))
	return root
}
