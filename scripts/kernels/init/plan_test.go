//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParsePlan(t *testing.T) {
	for _, bad := range []string{
		"", "test\t/\t/bin/x", "test\t/\t\tTestA", "skips\tTestA", "reboot\tx\ty", "skips\tTestA\twhy", "run\tx\t/bin/x\n\nrun\tx\t/bin/x\n",
	} {
		if p, err := parsePlan(bad); err == nil {
			t.Errorf("%q is a plan: %v", bad, p.commands)
		}
	}
	p, err := parsePlan("test\t/\t/bin/x\t-f\tTestA\nskips\tTestA/b\tno such thing here\n")
	if err != nil || len(p.commands) != 1 || p.skips["TestA/b"] != "no such thing here" {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestRun wants every test that fails, is skipped or does not run to be told of.
func TestRun(t *testing.T) {
	program := filepath.Join(t.TempDir(), "x.test")
	write := func(output, status string) {
		t.Helper()
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\"\ncat <<'X'\n"+output+"X\nexit "+status+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const pass, subskip = "--- PASS: TestA (0.10s)\n", "    --- SKIP: TestA/tcx (0.00s)\n"
	for _, c := range []struct {
		name, output, status, skips string
		want                        []string
	}{
		{"all well", pass + "    --- PASS: TestA/b (0.00s)\n", "0", "", []string{"-f -test.v -test.run=^(TestA)$", "@pass TestA/b", "@done 2 0 0"}},
		{"skipped as it may be", pass + subskip, "0", "skips\tTestA/tcx\tLinux 6.6 has it\n", []string{"@skip TestA/tcx: Linux 6.6 has it", "@done 1 0 1"}},
		{"skipped", pass + subskip, "0", "", []string{"@fail TestA/tcx: skipped", "@done 1 1 0"}},
		{"not skipped", pass, "0", "skips\tTestA/tcx\tLinux 6.6 has it\n", []string{"@fail TestA/tcx: was not skipped", "@done 1 1 0"}},
		{"failed", "--- FAIL: TestA (0.10s)\n", "1", "", []string{"@fail TestA: see above", "@done 0 1 0"}},
		{"does not run", "testing: warning: no tests to run\nPASS\n", "0", "", []string{"@fail TestA: did not run", "@done 0 1 0"}},
		{"dies", pass, "2", "", []string{"@fail x.test: exit status 2", "@done 1 1 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(c.output, c.status)
			p, err := parsePlan("test\t/\t" + program + "\t-f\tTestA\n" + c.skips)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			p.run(&out)
			for _, w := range c.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("no %q in:\n%s", w, out.String())
				}
			}
		})
	}
	var out strings.Builder
	p, err := parsePlan("run\tgood\t/bin/sh\t-c\texit 0\nrun\tbad\t/bin/sh\t-c\texit 3\nrun\tnone\t/nosuch\n")
	if err != nil {
		t.Fatal(err)
	}
	p.run(&out)
	for _, w := range []string{"@pass good", "@fail bad: exit status 3", "@fail none: ", "@done 1 2 0"} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("no %q in:\n%s", w, out.String())
		}
	}
}

func TestIP(t *testing.T) {
	if err := ip(strings.Fields("route add default via 192.0.2.1")); err == nil || !strings.Contains(err.Error(), "not among the commands") {
		t.Errorf("a command that it does not know: %v", err)
	}
}
