package bpf

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
)

// TestVerifier wants the programs to stay well below the verifier's limit of a
// million instructions looked at, whatever the toggles, in tests too.
func TestVerifier(t *testing.T) {
	needBPF(t)
	processed := regexp.MustCompile(`processed (\d+) insns`)
	for _, row := range []struct{ tunnels, test uint8 }{{0, 0}, {1, 0}, {1, 1}} {
		spec, err := loadKernel()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"gtp", "vxlan", "gre", "home"} {
			if err := spec.Variables[name].Set(row.tunnels); err != nil {
				t.Fatal(err)
			}
		}
		mask := uint64(1023)
		if row.test == 1 {
			mask = 0
		}
		for name, v := range map[string]any{"test": row.test, "sample": uint32(1024), "dull_mask": mask} {
			if err := spec.Variables[name].Set(v); err != nil {
				t.Fatal(err)
			}
		}
		if !haveRing() {
			for _, name := range []string{"interval_ring", "way_ring"} {
				m := spec.Maps[name]
				m.Type, m.KeySize, m.ValueSize, m.MaxEntries = ebpf.Array, 4, 4, 1
			}
			if err := spec.Variables["ring"].Set(uint8(0)); err != nil {
				t.Fatal(err)
			}
		}
		c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}})
		if err != nil {
			t.Fatalf("%+v", err)
		}
		defer c.Close()
		for name, p := range c.Programs {
			m := processed.FindStringSubmatch(p.VerifierLog)
			if m == nil {
				t.Fatalf("%s: no figure in %q", name, p.VerifierLog)
			}
			n, err := strconv.Atoi(m[1])
			if err != nil || n > 800000 {
				t.Errorf("%s, tunnels %d, test %d: %s instructions looked at", name, row.tunnels, row.test, m[1])
			}
			t.Logf("%s, tunnels %d, test %d: %s instructions looked at", name, row.tunnels, row.test, m[1])
		}
	}
}
