package bpf

// Working tries what goes on being done while the port is watched. Before Linux
// 5.19, where only the privileged may call bpf(2), it fails without CAP_BPF.
func (s *Source) Working() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	_, err := sumCounters(s.objects.Counts)
	return err
}

// Seen says how many frames the programs looked at since they were attached:
// those that are none of ours too, which Next never gives.
func (s *Source) Seen() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		if n, err := sumCounters(s.objects.Counts); err == nil {
			s.counts = n
		}
	}
	sum := uint64(0)
	for _, n := range s.counts[:recordsRefused+1] { // every frame is in one of these
		sum += n
	}
	return sum
}
