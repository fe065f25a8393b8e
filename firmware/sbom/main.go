// Command sbom prints a bill of materials (SPDX 2.3, JSON) of programs written in
// Go and of packages of Debian.
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Getenv("SOURCE_DATE_EPOCH"), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "sbom: %v\n", err)
		os.Exit(1)
	}
}

// run reads the programs that args name, and writes the bill. epoch is
// SOURCE_DATE_EPOCH: the same input gives the same bytes.
func run(args []string, epoch string, out io.Writer) error {
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	var of subject
	flags.StringVar(&of.Name, "name", "", "what the bill is of")
	flags.StringVar(&of.Version, "version", "", "its version")
	flags.StringVar(&of.Arch, "arch", "", "its architecture, as Debian calls it")
	list := flags.String("debs", "", "`FILE` with a line for each package of Debian: name, version, architecture, SHA-256")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if of.Name == "" || of.Version == "" || of.Arch == "" {
		return errors.New("--name, --version and --arch must be given")
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	b := newBill(of, time.Unix(seconds, 0))
	for _, file := range flags.Args() {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return err
		}
		if err := b.addProgram(info); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if *list != "" {
		text, err := os.ReadFile(*list)
		if err != nil {
			return err
		}
		if err := b.addDebs(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("%s: %w", *list, err)
		}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(b.document())
}
