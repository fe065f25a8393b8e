package packet

// hashOf gives the same for both directions of a connection.
func hashOf(p *Packet, seed uint64) uint32 {
	seed += uint64(p.Realm) << 16
	h := p.Src.Hash(seed+uint64(p.SrcPort)) + p.Dst.Hash(seed+uint64(p.DstPort))
	h *= 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// find looks for the connection of p; dir says which way p goes.
func (s *Streams) find(p *Packet, hash uint32) (st *Stream, dir int) {
	mask := uint32(len(s.slots) - 1)
	for i := hash & mask; s.slots[i].stream != 0; i = (i + 1) & mask {
		if s.slots[i].hash != hash {
			continue
		}
		st := s.streams[s.slots[i].stream-1]
		switch {
		case st.realm != p.Realm:
		case st.srcPort == p.SrcPort && st.dstPort == p.DstPort && st.src == p.Src && st.dst == p.Dst:
			return st, 0
		case st.srcPort == p.DstPort && st.dstPort == p.SrcPort && st.src == p.Dst && st.dst == p.Src:
			return st, 1
		}
	}
	return nil, 0
}

// insert adds st, which is not in the table.
func (s *Streams) insert(st *Stream) {
	if 2*(s.live+1) > len(s.slots) {
		old := s.slots
		s.slots = make([]slot, 2*len(old))
		for _, t := range old {
			if t.stream != 0 {
				s.put(t)
			}
		}
	}
	if n := len(s.free); n > 0 {
		st.index = s.free[n-1]
		s.free = s.free[:n-1]
		s.streams[st.index] = st
	} else {
		st.index = uint32(len(s.streams))
		s.streams = append(s.streams, st)
	}
	s.put(slot{hash: st.hash, stream: st.index + 1})
	s.live++
}

func (s *Streams) put(t slot) {
	mask := uint32(len(s.slots) - 1)
	i := t.hash & mask
	for s.slots[i].stream != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = t
}

// remove takes st out and closes the hole, so that probing needs no tombstones.
func (s *Streams) remove(st *Stream) {
	mask := uint32(len(s.slots) - 1)
	i := st.hash & mask
	for s.slots[i].stream != st.index+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.slots[j].stream != 0; j = (j + 1) & mask {
		if home := s.slots[j].hash & mask; (j-home)&mask >= (j-i)&mask {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = slot{}
	s.streams[st.index] = nil
	s.free = append(s.free, st.index)
	s.live--
}
