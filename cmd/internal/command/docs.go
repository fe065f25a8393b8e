package command

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// NewDocs makes the hidden command that packagers use. section is that of the
// manual: 1 for commands, 8 for daemons.
func NewDocs(root *cobra.Command, section string) *cobra.Command {
	man := &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a folder",
		Args:  OneArg("folder"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root.DisableAutoGenTag = true // it holds the date of today
			return doc.GenManTree(root, &doc.GenManHeader{Title: strings.ToUpper(root.Name()), Section: section, Source: root.Name(), Manual: "simtrap"}, args[0])
		},
	}
	docs := &cobra.Command{Use: "docs", Short: "Write documentation", Hidden: true, Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	docs.AddCommand(man)
	return docs
}
