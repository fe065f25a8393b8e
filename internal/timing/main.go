// Command timing runs programs in turn, several times, and prints how fast each
// went over one capture: medians with their spread, peak memory, and ratios
// between programs of the same round, which hold when a shared machine's speed
// drifts.
//
//	timing -packets N -runs 5 'name: program args...' 'name: program args...'
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	packets := flag.Float64("packets", 0, "packets in the capture")
	runs := flag.Int("runs", 5, "counted runs of each program, after one warm-up")
	flag.Parse()
	if err := run(*packets, *runs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "timing:", err)
		os.Exit(1)
	}
}

type program struct {
	name string
	args []string
	wall []float64 // s
	cpu  []float64
	peak int64 // KiB
}

func run(packets float64, runs int, specs []string) error {
	var ps []*program
	for _, s := range specs {
		name, command, ok := strings.Cut(s, ": ")
		if !ok {
			return fmt.Errorf("%q: want 'name: program args'", s)
		}
		ps = append(ps, &program{name: name, args: strings.Fields(command)})
	}
	for round := -1; round < runs; round++ {
		for _, p := range ps {
			wall, cpu, peak, err := once(p.args)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			if round < 0 {
				continue
			}
			p.wall, p.cpu = append(p.wall, wall), append(p.cpu, cpu)
			p.peak = max(p.peak, peak)
		}
	}
	fmt.Printf("%d processors, %s; %d runs each after a warm-up, in turn; whole processes\n", runtime.NumCPU(), runtime.Version(), runs)
	fmt.Printf("%-34s %9s %22s %8s %9s %10s\n", "", "wall s", "(min-max)", "cpu s", "Mpkt/s", "peak MiB")
	for _, p := range ps {
		m := median(p.wall)
		fmt.Printf("%-34s %9.3f %22s %8.3f %9.2f %10.1f\n", p.name, m, fmt.Sprintf("(%.3f-%.3f)", slices.Min(p.wall), slices.Max(p.wall)), median(p.cpu), packets/m/1e6, float64(p.peak)/1024)
	}
	for _, p := range ps[1:] {
		var ratio []float64
		for i := range p.wall {
			ratio = append(ratio, p.wall[i]/ps[0].wall[i])
		}
		fmt.Printf("%s is %.2f x as fast as %s (%.2f-%.2f)\n", ps[0].name, median(ratio), p.name, slices.Min(ratio), slices.Max(ratio))
	}
	return nil
}

// once runs a program to its end; its output is thrown away. Exit statuses
// other than 0 fail.
func once(args []string) (wall, cpu float64, peak int64, err error) {
	c := exec.Command(args[0], args[1:]...)
	c.Stdout = io.Discard
	var said strings.Builder
	c.Stderr = &said
	start := time.Now()
	if err := c.Run(); err != nil {
		return 0, 0, 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	wall = time.Since(start).Seconds()
	u := c.ProcessState.SysUsage().(*syscall.Rusage)
	return wall, (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds(), u.Maxrss, nil
}

func median(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}
