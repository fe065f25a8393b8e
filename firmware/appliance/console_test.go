package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMenu(t *testing.T) {
	for _, c := range []struct {
		name, typed string
		ran         []string
	}{
		{"status", "1\n", []string{"/usr/bin/simtrap-appliance system", "/usr/bin/simtrapd status -c /run/appliance/simtrapd.yaml"}},
		{"doctor", "3\nenp1s0\n", []string{"/usr/bin/simtrapd doctor enp1s0"}},
		{"time", "5\n", []string{"/usr/bin/chronyc -n tracking", "/usr/bin/chronyc -n sources"}},
		{"no port", "3\n--help; sh\n", nil},
		{"reset", "7\nERASE\n", []string{"/usr/bin/simtrap-appliance reset"}},
		{"reset by mistake", "7\ny\n", nil},
		{"reset cut off", "7\n", nil},
		{"update", "8\n", []string{"/usr/bin/simtrap-appliance update-again"}},
		{"nothing that is there", "sh\n9\n\n", nil},
	} {
		var ran []string
		var out strings.Builder
		err := menu(strings.NewReader(c.typed), &out, func(out io.Writer, name string, args ...string) {
			ran = append(ran, name+" "+strings.Join(args, " "))
			fmt.Fprintln(out, "said")
		})
		if diff := cmp.Diff(c.ran, ran); diff != "" || err != nil {
			t.Errorf("%s: %v %s", c.name, err, diff)
		}
		if len(ran) > 0 && !strings.Contains(out.String(), "said\n") {
			t.Errorf("%s: what was said is not shown", c.name)
		}
	}
}
