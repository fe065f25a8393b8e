// Package archtest holds the import arrows of docs/design.md: which package of
// the project may import which. Its test walks the sources, so that files of
// every platform and build tag are looked at.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "simtrap"

// anything, among what a component may import, is every other component.
const anything = "*"

// arrows tells, for each folder at the top, which others it may import. A
// folder that is not named here may hold no Go code.
func arrows() map[string][]string {
	return map[string][]string{
		"ident":       {},
		"state":       {},
		"capture":     {"ident"},
		"packet":      {"capture", "ident"},
		"sip":         {"packet", "ident"},
		"h323":        {"packet", "ident"},
		"rtp":         {"packet", "ident"},
		"control":     {"packet", "ident", "state"},
		"hidden":      {"rtp", "ident"},
		"bpf":         {"capture", "ident", "rtp", "hidden"},
		"heuristics":  {"ident", "sip", "rtp", "control", "hidden", "state"},
		"places":      {"ident", "heuristics"},
		"sessions":    {"ident"},
		"report":      {"heuristics", "ident"},
		"pipeline":    {"ident", "capture", "packet", "sip", "h323", "rtp", "control", "hidden", "bpf", "heuristics", "report", "sessions", "state"},
		"dissect":     {"ident", "capture", "packet", "sip", "rtp", "control", "heuristics", "report", "pipeline"},
		"evidence":    {"ident", "capture", "packet", "sip", "rtp", "report"},
		"match":       {"report"},
		"sensor":      {"ident", "capture", "packet", "sip", "rtp", "control", "hidden", "bpf", "heuristics", "places", "report", "pipeline", "evidence"},
		"hub":         {"report", "evidence", "match"},
		"lab":         {},
		"trial":       {"ident", "capture", "pipeline", "places", "heuristics", "lab"},
		"calibration": {"heuristics", "lab", "trial"},
		"evaluation":  {"heuristics", "lab", "trial", "report"},
		"internal":    {},
		"scripts":     {},
		"firmware":    {"report"}, // qemu reads the outbox of a disk
		"cmd":         {anything},
		"cases":       {anything},
	}
}

// Check gives one line for every import, init function or use of cgo in the
// tree that the design does not allow. Tests may import what they like, but
// not "C".
func Check(tree fs.FS) ([]string, error) {
	var faults []string
	set := token.NewFileSet()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && skipped(tree, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		faults = append(faults, checkFile(name, file)...)
		return nil
	})
	return faults, err
}

// skipped says whether a folder is no part of the module: the go command's own
// rules, and modules of their own.
func skipped(tree fs.FS, name string) bool {
	base := path.Base(name)
	if base == "testdata" || base == "vendor" || base == "tmp" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(tree, path.Join(name, "go.mod"))
	return err == nil
}

func checkFile(name string, file *ast.File) []string {
	var faults []string
	fault := func(format string, args ...any) {
		faults = append(faults, name+": "+fmt.Sprintf(format, args...))
	}
	component, _, inFolder := strings.Cut(name, "/")
	allowed, known := arrows()[component]
	if !inFolder || !known {
		fault("Go code outside the folders of docs/design.md")
		return faults
	}
	test := strings.HasSuffix(name, "_test.go")

	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			fault("import %s", spec.Path.Value)
			continue
		}
		switch {
		case imported == "C":
			fault("uses cgo")
		case test:
		case strings.HasPrefix(imported, "github.com/google/gopacket") && component != "lab":
			fault("imports %s, which only lab and tests may", imported)
		case imported == module || strings.HasPrefix(imported, module+"/"):
			to, _, _ := strings.Cut(strings.TrimPrefix(imported, module+"/"), "/")
			if to != component && !slices.Contains(allowed, to) && !slices.Contains(allowed, anything) {
				fault("%s must not import %s", component, imported)
			}
		}
	}
	for _, d := range file.Decls {
		// protoc-gen-go registers messages in one.
		generated := strings.HasSuffix(name, ".pb.go") && ast.IsGenerated(file)
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" && !generated {
			fault("has an init function")
		}
	}
	return faults
}
