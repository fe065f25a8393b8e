package rtp

// The gates of research note literature.md, section 2c.
const (
	minPtime = 10e6 // ns
	maxPtime = 60e6
)

// eightPackets is the rule by which a readable source is confirmed to be RTP
// voice: at least eight packets of one SSRC in one flow, of which at most three
// in eight break the sequence; nine in ten timestamp steps a multiple of one
// step; and that step 10 to 60 ms. The size gate is that of the accounting:
// larger packets are not in the record, and the holes they leave break the
// sequence.
func (s *entry) eightPackets(iv *Interval) bool {
	s.inStep += uint64(iv.InStep)
	s.astray += uint64(iv.Skips) + uint64(iv.Late) + uint64(iv.Jumps)
	s.timed += uint64(iv.Timed)
	s.untimed += uint64(iv.Untimed)
	judged := s.inStep + s.astray
	if judged < 7 || 8*s.astray > 3*judged {
		return false
	}
	if s.timed < minInStep || 10*s.timed < 9*(s.timed+s.untimed) {
		return false
	}
	// A bad half second of a long candidate must not hide behind its past, nor
	// the other way round: the interval at hand has to pass by itself as well.
	if 10*uint32(iv.Timed) < 9*(uint32(iv.Timed)+uint32(iv.Untimed)) {
		return false
	}
	p := ptime(iv, guessRate(iv))
	if p < minPtime || p > maxPtime {
		return false
	}
	// Packets have to come as often as the timestamps say.
	m := pace(iv)
	return m >= p/2 && m <= p+p/2
}

// ptime is the timestamp step as time, ns; 0 when step or rate are unknown.
func ptime(iv *Interval, rate uint32) int64 {
	if rate == 0 {
		return 0
	}
	return int64(iv.Step) * 1e9 / int64(rate)
}

// pace is how often packets come, ns: the median time between them, which
// silence and losses leave alone. Of senders on a coarse timer, whose packets
// come in bunches, it is the mean: 20 ms packets two by two every 40 ms have no
// gap of 20 ms at all.
func pace(iv *Interval) int64 {
	if 4*uint32(iv.Gaps[0]) > uint32(iv.Packets) {
		return mean(iv)
	}
	return median(iv)
}

// packetTime is the time between packets as sent, ns. A step in force divides
// those of a sender that has come to put several frames in a packet: then the
// numbers are in step, and the packets come as many times more rarely.
func packetTime(iv *Interval, rate uint32) int64 {
	p := ptime(iv, rate)
	if p == 0 || 4*uint32(iv.InStep) < 3*uint32(iv.Packets) {
		return p
	}
	m := median(iv)
	if k := (m + p/2) / p; k > 1 && k <= 6 && m >= k*p-p/4 && m <= k*p+p/4 {
		return k * p
	}
	return p
}

// standardRates are the clock rates of audio payload formats (RFC 3551 and the
// formats registered since), Hz.
var standardRates = [...]uint32{8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}

// nearestRate gives the standard rate within the given parts per million of
// rate, 0 when there is none.
func nearestRate(rate float64, ppm float64) uint32 {
	for _, r := range standardRates {
		if d := (rate/float64(r) - 1) * 1e6; d >= -ppm && d <= ppm {
			return r
		}
	}
	return 0
}

// guessRate gives the clock rate of a source: by the table, else the standard
// one that makes its timestamp step a packet time in use, within a quarter of
// the median time between packets. It is 0 when none fits.
func guessRate(iv *Interval) uint32 {
	if iv.Rate != 0 {
		return iv.Rate
	}
	m := pace(iv)
	best, rate := int64(maxPtime), uint32(0)
	for _, p := range [...]int64{10e6, 20e6, 30e6, 40e6, 60e6} {
		for _, r := range standardRates {
			off := max(m-p, p-m)
			if int64(iv.Step)*1e9 == p*int64(r) && off <= p/4 && off < best {
				best, rate = off, r
			}
		}
	}
	return rate
}

// median is the median time between packets by the histogram, ns, linear
// within a bin; where it lies in the last, open bin it is the mean.
func median(iv *Interval) int64 {
	var n, below int64
	for _, g := range iv.Gaps {
		n += int64(g)
	}
	if n == 0 {
		return 0
	}
	lo := int64(0)
	for i, edge := range Edges {
		in := int64(iv.Gaps[i])
		if 2*(below+in) >= n {
			if in == 0 {
				return edge
			}
			return lo + (edge-lo)*(n-2*below)/(2*in)
		}
		below += in
		lo = edge
	}
	return mean(iv)
}

// mean is the mean time between the packets of the record, ns.
func mean(iv *Interval) int64 {
	if iv.Packets < 2 {
		return 0
	}
	return (iv.Last - iv.First) / int64(iv.Packets-1)
}

// voiceShape is the rule for voice without a readable header, for one interval
// of one direction: 30 to 55 packets a second, or 15 to 18; nine in ten of one
// or two sizes that make at most 300 bytes with IP and UDP; the median time
// between packets within 3 ms of a packet time.
func voiceShape(iv *Interval) bool {
	span := iv.Last - iv.First
	if iv.Packets < minPackets || span < Length*3/4 {
		return false
	}
	n := int64(iv.Packets-1) * 1e9
	fast := n >= 30*span && n <= 55*span
	slow := n >= 15*span && n <= 18*span
	if !fast && !slow {
		return false
	}
	if 10*uint32(iv.SizeMisses) > uint32(iv.Packets) {
		return false
	}
	limit := uint16(300 - 20 - 8)
	if !iv.Flow.Src.Is4() {
		limit = 300 - 40 - 8
	}
	for i, n := range iv.SizeCounts {
		if n != 0 && iv.Sizes[i] > limit {
			return false
		}
	}
	return shapePtime(iv) != 0
}

// shapePtime is the packet time within 3 ms of the median, ns, 0 when none.
func shapePtime(iv *Interval) int64 {
	m := median(iv)
	for _, p := range [...]int64{10e6, 20e6, 30e6, 40e6, 60e6} {
		if m >= p-3e6 && m <= p+3e6 {
			return p
		}
	}
	return 0
}

// pair notes that interval iv of s had the shape of voice, and confirms s and
// the opposite direction when both have had it for six seconds, at the same
// time, with 0.5 to 2 times the other's packets.
func (ss *Streams) pair(s *entry, iv *Interval) {
	if s.run > 0 && iv.Number == s.number+1 {
		s.run++
	} else {
		s.run = 1
	}
	s.number, s.from, s.to, s.count = iv.Number, iv.First, iv.Last, iv.Packets
	key := s.key()
	key.flow = key.flow.Reverse()
	o := ss.streams[key]
	if o == nil || s == o || s.run < 3 || o.run < 3 || s.from >= o.to || o.from >= s.to {
		return
	}
	if uint32(s.count) > 2*uint32(o.count) || uint32(o.count) > 2*uint32(s.count) {
		return
	}
	for _, x := range [...]*entry{s, o} {
		if !x.confirmed {
			ss.confirm(x)
		}
	}
}
