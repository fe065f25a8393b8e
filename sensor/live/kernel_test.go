//go:build linux

package live

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// kernelMap is a map that a process holds open.
type kernelMap struct {
	id      ebpf.MapID
	memlock uint64 // bytes that the kernel takes for it
}

// maps gives the maps that the process holds.
func (p *process) maps() map[ebpf.MapID]kernelMap {
	p.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	out := map[ebpf.MapID]kernelMap{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // closed meanwhile
		}
		m := kernelMap{}
		id, ok := field(b, "map_id:")
		if !ok {
			continue // no map
		}
		m.id = ebpf.MapID(id)
		if m.memlock, ok = field(b, "memlock:"); !ok {
			p.t.Fatalf("the kernel does not say what the map takes: %s", b)
		}
		out[m.id] = m
	}
	if len(out) == 0 {
		p.t.Fatalf("%s holds no maps of the kernel", p.name)
	}
	return out
}

// field reads a number from a file of the kernel's that has one name on each line.
func field(b []byte, name string) (n uint64, ok bool) {
	for line := range bytes.Lines(b) {
		if rest, found := bytes.CutPrefix(line, []byte(name)); found {
			_, err := fmt.Sscan(string(rest), &n)
			return n, err == nil
		}
	}
	return 0, false
}

// resident gives the memory of the process that is no map's of the kernel, now, and
// the most that all of it was, bytes. Rings that it has mapped are left out where
// inMaps has them (one is mapped twice over, so that it has no end), and the rings
// of frames, which the kernel does not count as the process's, are added.
func (p *process) resident() (now, most uint64) {
	p.t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
		if err != nil {
			p.t.Fatal(err)
		}
		return b
	}
	rings, frames, mapping := uint64(0), uint64(0), []byte(nil)
	for line := range bytes.Lines(read("smaps")) {
		if f := bytes.Fields(line); bytes.Contains(f[0], []byte("-")) {
			mapping = f[len(f)-1]
		}
		if n, ok := field(line, "Rss:"); ok && bytes.Equal(mapping, []byte("anon_inode:bpf-map")) {
			rings += n
		}
		if n, ok := field(line, "Size:"); ok && bytes.Equal(mapping, []byte("anon_inode:[perf_event]")) {
			frames += n
		}
	}
	b := read("status")
	now, _ = field(b, "VmRSS:")
	most, _ = field(b, "VmHWM:")
	return (now - rings + frames) << 10, (most - rings + frames) << 10
}

// inMaps gives what the kernel takes for the maps of the process, bytes.
func (p *process) inMaps() (sum uint64) {
	p.t.Helper()
	for _, m := range p.maps() {
		sum += m.memlock
	}
	return sum
}

// opened opens the map of a name that the process holds.
func (p *process) opened(name string) *ebpf.Map {
	p.t.Helper()
	for id := range p.maps() {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			p.t.Fatal(err)
		}
		if info, err := m.Info(); err == nil && info.Name == name {
			p.t.Cleanup(func() { m.Close() })
			return m
		}
		m.Close()
	}
	p.t.Fatalf("%s holds no map %s", p.name, name)
	return nil
}

// flows counts the records of flows over IPv4.
func (p *process) flows() (n int) {
	p.t.Helper()
	m := p.opened("flows4")
	keys, values := make([][12]byte, 4096), make([][256]byte, 4096)
	for cursor := (ebpf.MapBatchCursor{}); ; {
		got, err := m.BatchLookup(&cursor, keys, values, nil)
		n += got
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return n
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// counters are those of the kernel's program.
type counters map[string]uint64

// counters reads them.
func (p *process) counters() counters {
	p.t.Helper()
	names := counterNames(p.t)
	var cpus [][]byte
	if err := p.opened("counts").Lookup(uint32(0), &cpus); err != nil {
		p.t.Fatal(err)
	}
	out := counters{}
	for _, cpu := range cpus {
		if len(cpu) < 8*len(names) { // behind them stands the frame that is metered next
			p.t.Fatalf("%d bytes of counters, docs/bpf.md tells of %d", len(cpu), len(names))
		}
		for i, name := range names {
			out[name] += nativeUint64(cpu[8*i:])
		}
	}
	return out
}

// counterNames gives the names of the counters in their order, which is that of the
// table in docs/bpf.md.
func counterNames(t testing.TB) (names []string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/bpf.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "| counter | loss | counts |\n|---|---|---|\n")
	for line := range strings.Lines(table) {
		cell, ok := strings.CutPrefix(line, "| `")
		if !ok {
			return names
		}
		name, _, _ := strings.Cut(cell, "`")
		names = append(names, name)
	}
	return names
}

// seen is how many frames the program looked at: each is in exactly one of these.
func (c counters) seen(names []string) (sum uint64) {
	for _, name := range names {
		if sum += c[name]; name == "records_refused" {
			break
		}
	}
	return sum
}

// of adds up the counters whose names begin so.
func (c counters) of(begin string) (sum uint64) {
	for name, n := range c {
		if strings.HasPrefix(name, begin) {
			sum += n
		}
	}
	return sum
}
