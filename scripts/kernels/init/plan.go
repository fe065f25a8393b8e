//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// plan is what is to be run, in order, and what comes of it.
type plan struct {
	commands [][]string
	skips    map[string]string // test that is skipped here: why
	out      io.Writer

	passed, failed, skipped int
}

// words is how many there must be, the command's own included.
func words() map[string]int { return map[string]int{"test": 4, "run": 3, "link": 3, "skips": 3} }

func parsePlan(text string) (*plan, error) {
	p := &plan{skips: map[string]string{}}
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		w := strings.Split(line, "\t")
		least, known := words()[w[0]]
		switch {
		case !known:
			return nil, fmt.Errorf("line %d: %q is no command", i+1, w[0])
		case len(w) < least || slices.Contains(w, ""):
			return nil, fmt.Errorf("line %d: %s wants %d words at least, none of them empty", i+1, w[0], least-1)
		case w[0] == "skips":
			p.skips[w[1]] = w[2]
		default:
			p.commands = append(p.commands, w)
		}
	}
	if len(p.commands) == 0 {
		return nil, fmt.Errorf("nothing to run")
	}
	return p, nil
}

// run runs everything; what failed keeps nothing else from running.
func (p *plan) run(out io.Writer) {
	p.out = out
	for _, c := range p.commands {
		began, name := time.Now(), c[1]
		switch c[0] {
		case "test":
			name = filepath.Base(c[2])
			p.tests(c[1], c[2], c[3:])
		case "run":
			cmd := exec.Command(c[2], c[3:]...)
			cmd.Stdout, cmd.Stderr = out, out
			p.count(c[1], cmd.Run())
		case "link":
			for _, args := range []string{"link add " + c[1] + " type veth peer name " + c[2], "link set " + c[1] + " up", "link set " + c[2] + " up"} {
				if err := ip(strings.Fields(args)); err != nil {
					p.count("link "+c[1], err)
				}
			}
		}
		fmt.Fprintf(out, "%s: %.1f s\n", name, time.Since(began).Seconds())
	}
	for _, name := range slices.Sorted(maps.Keys(p.skips)) {
		p.fail(name, "was not skipped, as it should be here: "+p.skips[name])
	}
	fmt.Fprintf(out, "@done %d %d %d\n", p.passed, p.failed, p.skipped)
}

func (p *plan) count(name string, err error) {
	if err != nil {
		p.fail(name, err.Error())
		return
	}
	p.passed++
	fmt.Fprintln(p.out, "@pass", name)
}

func (p *plan) fail(name, why string) {
	p.failed++
	fmt.Fprintf(p.out, "@fail %s: %s\n", name, why)
}

// tests runs tests of a binary, in the folder whose files they want, and reads what
// it tells of each.
func (p *plan) tests(dir, program string, words []string) {
	var flags, names []string
	for _, w := range words {
		if strings.HasPrefix(w, "-") {
			flags = append(flags, w)
		} else {
			names = append(names, w)
		}
	}
	cmd := exec.Command(program, append(flags, "-test.v", "-test.run=^("+strings.Join(names, "|")+")$")...)
	cmd.Dir = dir
	said, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = cmd.Stdout
		err = cmd.Start()
	}
	if err != nil {
		p.fail(filepath.Base(program), err.Error())
		return
	}
	ran := p.results(said)
	if err := cmd.Wait(); err != nil && p.failed == 0 {
		p.fail(filepath.Base(program), err.Error())
	}
	for _, n := range names {
		if !ran[n] {
			p.fail(n, "did not run to its end")
		}
	}
}

// results passes on what tests say, and counts. It gives the names of those that came
// to their end.
func (p *plan) results(said io.Reader) map[string]bool {
	verdict := regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(`)
	ran := map[string]bool{}
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(p.out, lines.Text())
		m := verdict.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		name := m[2]
		ran[name] = true
		switch why, expected := p.skips[name]; {
		case m[1] == "FAIL":
			p.fail(name, "see above")
		case m[1] == "PASS":
			p.count(name, nil)
		case expected:
			delete(p.skips, name)
			p.skipped++
			fmt.Fprintf(p.out, "@skip %s: %s\n", name, why)
		default:
			p.fail(name, "skipped, and nothing says that it may be")
		}
	}
	if err := lines.Err(); err != nil {
		p.fail("output", err.Error())
	}
	return ran
}
