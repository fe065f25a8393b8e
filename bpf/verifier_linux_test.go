package bpf

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
)

// TestVerifier wants the programs to stay well below the verifier's limit of a
// million instructions looked at, whatever the toggles.
func TestVerifier(t *testing.T) {
	needBPF(t)
	processed := regexp.MustCompile(`processed (\d+) insns`)
	for _, tunnels := range []uint8{0, 1} {
		spec, err := loadKernel()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"gtp", "vxlan", "gre", "home"} {
			if err := spec.Variables[name].Set(tunnels); err != nil {
				t.Fatal(err)
			}
		}
		if !haveRing() {
			m := spec.Maps["interval_ring"]
			m.Type, m.KeySize, m.ValueSize, m.MaxEntries = ebpf.Array, 4, 4, 1
			if err := spec.Variables["ring"].Set(uint8(0)); err != nil {
				t.Fatal(err)
			}
		}
		if err := spec.Variables["sample"].Set(uint32(1024)); err != nil {
			t.Fatal(err)
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
				t.Errorf("%s, tunnels %d: %s instructions looked at", name, tunnels, m[1])
			}
			t.Logf("%s, tunnels %d: %s instructions looked at", name, tunnels, m[1])
		}
	}
}
