// Command simtrap-lab makes captures with known truth, for tests, for training
// and to show what simtrap does.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
	"simtrap/lab"
)

func main() {
	t := command.Terminal{Program: "simtrap-lab", In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(command.Run(t, newRoot(t), os.Args[1:]))
}

func newRoot(t command.Terminal) *cobra.Command {
	root := command.Root(t, "Make captures with known truth",
		`simtrap-lab makes captures with known truth, and measures with them what simtrap finds:
for tests, for training, and to show what it does.`)
	root.AddCommand(makeCommand(t.Err), listCommand(t.Out), calibrateCommand(t.Out, t.Err), evalCommand(t.Out, t.Err), populationCommand(t.Out, t.Err), promiseCommand(t.Out, t.Err), figuresCommand(t.Err),
		command.NewVersion(t), command.NewDocs(root, "1"))
	return root
}

func listCommand(out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the scenarios",
		Args:  command.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, s := range lab.Scenarios() {
				kind := "honest"
				if s.Box {
					kind = "box"
				}
				if _, err := fmt.Fprintf(out, "%-22s %-7s %4s  %s\n", s.Name, kind, brief(s.Duration()), s.Text); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// brief writes a duration without zero parts.
func brief(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

func makeCommand(log io.Writer) *cobra.Command {
	var opt lab.Options
	var file, truthFile, recordsFile string
	var city lab.City
	c := &cobra.Command{
		Use:   "make SCENARIO -o FILE",
		Short: "Make a capture",
		Long: `Make a capture of a scenario. The same scenario, seed and options give the same
bytes. The truth is what a verdict on each line should be measured against. The list
command tells the scenarios.

Encapsulations, joined by + from the outermost (pppoe+ipv6):
` + words(lab.Encaps(), 98),
		Example: `  simtrap-lab make demo -o demo.pcap --truth demo.json
  simtrap-lab make goip-line -o g.pcapng --format pcapng --seed 7 --encap pppoe+ipv6 --view up
  simtrap-lab make goip-group -o g.pcap --records cdr.csv --city-cards 20000 --city-clock 3s`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return command.Usage(cmd, errors.New("name one scenario; simtrap-lab list has them"))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if len(args) == 0 {
				for _, s := range lab.Scenarios() {
					names = append(names, cobra.CompletionWithDesc(s.Name, s.Text))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			opt.Scenario = args[0]
			truth, err := write(file, opt)
			if err != nil {
				return err
			}
			if truthFile != "" {
				if err := writeTruth(truthFile, truth); err != nil {
					return err
				}
			}
			if recordsFile != "" {
				city.Seed = opt.Seed
				if err := writeRecords(recordsFile, truth, city); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(log, "%s: %d line(s) with known truth, %d packets, %.1f MB on the wire, %v from %s\n",
				opt.Scenario, len(truth.Lines), truth.Packets, float64(truth.Bytes)/1e6, truth.Duration, truth.Start.Format(time.RFC3339))
			return err
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "output", "o", "", `capture file to write, "-" for standard output`)
	f.StringVar(&truthFile, "truth", "", "file for the truth, as JSON")
	f.StringVar(&recordsFile, "records", "", "file for the call records of the city around it, as simtrap match reads them")
	f.IntVar(&city.Cards, "city-cards", 2000, "honest cards in them")
	f.DurationVar(&city.Ahead, "city-clock", 0, "by how much their clock is ahead of the tap's")
	f.DurationVar(&city.DurationStep, "city-step", time.Second, "what their durations are rounded up to")
	f.Uint64Var(&opt.Seed, "seed", 1, "draws every parameter")
	f.DurationVar(&opt.Duration, "duration", 0, "virtual time (default: the scenario's own)")
	f.StringVar(&opt.Encap, "encap", "ethernet", "encapsulations, see above")
	f.StringVar(&opt.View, "view", "both", "what is captured: both, up, down, media, sip, midcall")
	f.StringVar(&opt.Vendor, "vendor", "", "what boxes call themselves: none, phone (default: what they are)")
	f.StringVar(&opt.Ring, "ring", "", "name that captures share whose boxes one softswitch drives, at the same hours")
	f.StringVar(&opt.Format, "format", "pcap", "pcap, nano or pcapng")
	f.IntVar(&opt.Snaplen, "snaplen", 0, "bytes kept of each frame, 0 for all")
	if err := c.MarkFlagRequired("output"); err != nil {
		panic(err) // the flag is defined above
	}
	return c
}

// words joins names by commas in lines of a width.
func words(names []string, width int) string {
	var b strings.Builder
	column := 0
	for i, name := range names {
		if i < len(names)-1 {
			name += ","
		}
		switch {
		case column == 0:
			b.WriteString("  ")
			column = 2
		case column+1+len(name) > width:
			b.WriteString("\n  ")
			column = 2
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(name)
		column += len(name)
	}
	return b.String()
}

// write makes the capture in file. A capture that could not be finished is
// removed, but not a device or pipe that was named.
func write(file string, opt lab.Options) (*lab.Truth, error) {
	if file == "-" {
		return lab.Make(os.Stdout, opt)
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	truth, err := lab.Make(f, opt)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil {
		if info.Mode().IsRegular() {
			os.Remove(file)
		}
		return nil, err
	}
	return truth, nil
}

func writeTruth(file string, t *lab.Truth) error {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("truth: %w", err)
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// writeRecords writes the call records of a city in which the capture was made.
func writeRecords(file string, t *lab.Truth, c lab.City) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := lab.RecordsOf(f, t, c); err != nil {
		f.Close()
		return fmt.Errorf("records: %w", err)
	}
	return f.Close()
}
