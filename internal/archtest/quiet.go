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

// mayUse is what quiet packages may use beside one another: only their tests
// start goroutines.
var mayUse = []string{"capture", "hidden/tunnel"}

// QuietOf gives the folders that the QUIET of a Makefile names: those that
// `make race` leaves out.
func QuietOf(makefile string) []string {
	for line := range strings.Lines(makefile) {
		if names, ok := strings.CutPrefix(line, "QUIET = "); ok {
			return strings.Fields(names)
		}
	}
	return nil
}

// CheckQuiet gives one line for everything in the folders, tests and all, that
// starts a goroutine, or imports what may. That tests of one package run beside
// each other counts for nothing.
func CheckQuiet(tree fs.FS, folders []string) ([]string, error) {
	var faults []string
	set := token.NewFileSet()
	for _, folder := range append(slices.Clone(folders), mayUse...) {
		shared := slices.Contains(mayUse, folder)
		files, err := fs.Glob(tree, path.Join(folder, "*.go"))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			faults = append(faults, folder+": no Go code there")
		}
		for _, name := range files {
			if shared && strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := fs.ReadFile(tree, name)
			if err != nil {
				return nil, err
			}
			file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			fault := func(at token.Pos, what string) {
				faults = append(faults, fmt.Sprintf("%s:%d: %s", name, set.Position(at).Line, what))
			}
			for _, spec := range file.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return nil, err
				}
				of, ours := strings.CutPrefix(imported, module+"/")
				if ours && !slices.Contains(folders, of) && !slices.Contains(mayUse, of) {
					fault(spec.Pos(), "imports "+imported+", which may start goroutines")
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					fault(n.Pos(), "starts a goroutine")
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Go" || f.Sel.Name == "AfterFunc") {
						fault(n.Pos(), "starts a goroutine by "+f.Sel.Name)
					}
				}
				return true
			})
		}
	}
	return faults, nil
}
