package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// sumCounters adds up what all CPUs counted.
func sumCounters(m *ebpf.Map) (sum [numCounters]uint64, err error) {
	var cpus []kernelCounters
	if err := m.Lookup(uint32(0), &cpus); err != nil {
		return sum, fmt.Errorf("read the counters: %w", err)
	}
	for i := range cpus {
		for j, n := range cpus[i].N {
			sum[j] += n
		}
	}
	return sum, nil
}
