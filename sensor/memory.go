package sensor

import (
	"bufio"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"

	"simtrap/sensor/config"
)

// MemoryLimit says what the program is to stay below, and where that is from; 0
// is no limit. root is the root of the file system.
func MemoryLimit(root fs.FS, want config.Size, environment string) (limit int64, from string) {
	switch {
	case environment != "":
		return 0, "GOMEMLIMIT" // the runtime has read it
	case want > 0:
		return int64(want), "limits.memory"
	}
	if n, file := groupLimit(root); n > 0 {
		return n / 10 * 9, "nine tenths of /" + file
	}
	return 0, "no control group limits it"
}

// groupLimit gives the least limit among the control group of this process and
// those around it, version 2 or 1.
func groupLimit(root fs.FS) (limit int64, file string) {
	limit = math.MaxInt64
	for _, h := range hierarchies(root) {
		// Inside a container the path may be that of the host: what is mounted is
		// then the own group.
		for at := h.group; ; at = path.Dir(at) {
			name := path.Join(h.mount, at, h.file)
			if n, ok := readLimit(root, name); ok && n < limit {
				limit, file = n, name
			}
			if at == "/" || at == "." {
				break
			}
		}
	}
	if limit == math.MaxInt64 {
		return 0, ""
	}
	return limit, file
}

func readLimit(root fs.FS, name string) (int64, bool) {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	// Version 1 writes a number near the greatest for none, version 2 "max".
	return n, err == nil && n > 0 && n < 1<<60
}

type hierarchy struct{ mount, group, file string }

// hierarchies finds where the memory controller is mounted.
func hierarchies(root fs.FS) []hierarchy {
	groups := make(map[string]string) // of this process, by controller
	for line := range lines(root, "proc/self/cgroup") {
		_, rest, _ := strings.Cut(line, ":")
		controllers, group, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		for c := range strings.SplitSeq(controllers, ",") {
			groups[c] = group
		}
	}
	var out []hierarchy
	for line := range lines(root, "proc/self/mountinfo") {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		mounted, mount := f[3], strings.TrimPrefix(f[4], "/")
		h := hierarchy{mount: mount, file: "memory.max", group: groups[""]}
		switch {
		case g[0] == "cgroup2":
		case g[0] == "cgroup" && strings.Contains(","+g[2]+",", ",memory,"):
			h.file, h.group = "memory.limit_in_bytes", groups["memory"]
		default:
			continue
		}
		if rest, ok := strings.CutPrefix(h.group, mounted); ok && mounted != "/" {
			h.group = "/" + strings.TrimPrefix(rest, "/")
		}
		h.group = path.Clean("/" + h.group)
		out = append(out, h)
	}
	return out
}

// lines gives the lines of a file, none where it cannot be read.
func lines(root fs.FS, name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		f, err := root.Open(name)
		if err != nil {
			return
		}
		defer f.Close()
		s := bufio.NewScanner(f)
		for s.Scan() && yield(s.Text()) {
		}
	}
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	if n == 0 {
		return "none"
	}
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// GroupLimit gives what the control group of this process allows, 0 for no
// limit.
func GroupLimit(root fs.FS) int64 {
	n, _ := groupLimit(root)
	return n
}
