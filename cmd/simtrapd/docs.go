package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newDocs makes the hidden command that packagers use.
func newDocs(root *cobra.Command) *cobra.Command {
	man := &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a folder",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{cmd, fmt.Errorf("want one folder, not %d", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root.DisableAutoGenTag = true // it holds the date of today
			return doc.GenManTree(root, &doc.GenManHeader{Title: "SIMTRAPD", Section: "8", Source: "simtrapd", Manual: "simtrap"}, args[0])
		},
	}
	docs := &cobra.Command{Use: "docs", Short: "Write documentation", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	docs.AddCommand(man)
	return docs
}
