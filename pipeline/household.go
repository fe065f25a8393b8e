package pipeline

import (
	"encoding/binary"
	"slices"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
)

// meter measures what lines do beside their calls: bytes, far ends, names. One
// packet in 32 speaks for all, and what names are told by is looked at in
// full, since there is little of it. It belongs to one shard.
//
// Its table is small and loses nothing: an entry that has to make room is told
// at once instead of at the end of its window.
type meter struct {
	homes *ident.Homes
	seed  uint64
	until int64 // end of the window that is being filled, 0 for none
	used  int
	table [meterSize]metered
	emit  func(*metered)
}

// metered is what a line did in one window, or in a part of it.
type metered struct {
	line  ident.Line
	until int64
	used  bool
	facts heuristics.Household
}

const (
	meterSize   = 128
	meterWindow = int64(10e9)
	meterSample = 32 // a power of two
	meterShift  = 59 // 64 less the bits of meterSample
)

// packet takes one datagram or segment of whatever kind.
func (m *meter) packet(p *packet.Packet) {
	if p.SrcPort == 53 || p.DstPort == 443 {
		m.named(p)
	}
	// Every 32nd frame by its number, spread so that no rhythm of the
	// traffic falls in step.
	if p.Seq*0x9e3779b97f4a7c15>>meterShift == 0 {
		m.weigh(p, meterSample)
	}
}

// taken takes what a source that accounts media gives: frames that were asked
// for, whole, each of which stands for itself; and of the rest one in so many, cut
// behind its first bytes. Datagrams that are cut and small are in intervals.
func (m *meter) taken(p *packet.Packet, sample uint32) {
	if p.Cut() {
		if p.Proto == packet.TCP || p.Length > rtp.MaxPayload {
			m.weigh(p, uint64(sample))
		}
		return
	}
	if p.SrcPort == 53 || p.DstPort == 443 {
		m.named(p)
	}
	m.weigh(p, 1)
}

// weigh counts a packet that stands for so many.
func (m *meter) weigh(p *packet.Packet, times uint64) {
	if p.Length == 0 {
		return
	}
	n := uint64(p.Length) * times
	web := p.SrcPort == 443 || p.DstPort == 443 || p.Proto == packet.TCP && (p.SrcPort == 80 || p.DstPort == 80)
	if e := m.entry(p.Src, p); e != nil {
		e.facts.Up += n
		if web {
			e.facts.Web += n
		}
		e.facts.SeeFar(p.Dst.Hash(m.seed))
	}
	if e := m.entry(p.Dst, p); e != nil {
		e.facts.Down += n
		if web {
			e.facts.Web += n
		}
		e.facts.SeeFar(p.Src.Hash(m.seed))
	}
}

// entry gives the place of the line that an address is, nil when it is none.
func (m *meter) entry(a ident.Addr, p *packet.Packet) *metered {
	if p.Time >= m.until {
		m.flush()
		m.until = p.Time - p.Time%meterWindow + meterWindow
	}
	line := m.homes.LineOf(a, p.Realm)
	e := &m.table[line.Hash(m.seed)>>32%meterSize]
	if e.used && e.line == line {
		return e // it has been looked up
	}
	if a.IsZero() || m.homes.Known() && !m.homes.Contains(a) {
		return nil
	}
	if e.used {
		m.emit(e)
	} else {
		m.used++
	}
	*e = metered{line: line, until: m.until, used: true}
	return e
}

// flush tells of the window so far.
func (m *meter) flush() {
	for i := range m.table {
		if m.used == 0 {
			break
		}
		if e := &m.table[i]; e.used {
			m.emit(e)
			e.used = false
			m.used--
		}
	}
	m.until = 0
}

// sweep tells of the window when it is over.
func (m *meter) sweep(now int64) {
	if m.until != 0 && now >= m.until {
		m.flush()
	}
}

// named takes what may tell a name that somebody behind a line asked for: an
// answer of DNS (RFC 1035 section 4.1) or the first message of a TLS client.
func (m *meter) named(p *packet.Packet) {
	var hash uint64
	who := p.Src
	switch {
	case p.Proto == packet.UDP && p.SrcPort == 53:
		hash, who = m.question(p.Payload), p.Dst
	case p.Proto == packet.TCP && p.DstPort == 443 && len(p.Payload) > 5 && p.Payload[0] == 22 && p.Payload[1] == 3:
		hash = m.serverName(p.Payload)
	}
	if hash == 0 {
		return
	}
	if e := m.entry(who, p); e != nil {
		e.facts.SeeName(hash)
	}
}

// asked takes the name in a client's first message of QUIC, which is known when p,
// the server's answer, has come.
func (m *meter) asked(p *packet.Packet, h *helloSeen) {
	hash := m.name([]byte(h.hello.Name))
	if hash == 0 {
		return
	}
	if e := m.entry(h.flow.Src, p); e != nil {
		e.facts.SeeName(hash)
	}
}

const maxName = 255

// question hashes the name that an answer of DNS is about, 0 for none.
func (m *meter) question(b []byte) uint64 {
	if len(b) < 17 || b[2]&0xf8 != 0x80 || binary.BigEndian.Uint16(b[4:]) != 1 {
		return 0 // no answer to a plain query, or not one question
	}
	var name [maxName]byte
	n := 0
	b = b[12:]
	for {
		if len(b) == 0 {
			return 0
		}
		size := int(b[0])
		if size == 0 {
			break
		}
		if size > 63 || len(b) <= size || n+size+1 > maxName {
			return 0
		}
		if n > 0 {
			name[n] = '.'
			n++
		}
		n += copy(name[n:], b[1:1+size])
		b = b[1+size:]
	}
	return m.name(name[:n])
}

// serverName hashes the server name of a ClientHello (RFC 8446 section 4.1.2,
// RFC 6066 section 3) as far as its first segment holds it, 0 for none.
func (m *meter) serverName(b []byte) uint64 {
	if len(b) < 9+2+32+1 || b[5] != 1 {
		return 0
	}
	b = b[9+2+32:]
	skip := func(width int) bool {
		if len(b) < width {
			return false
		}
		n := int(b[0])
		if width == 2 {
			n = n<<8 | int(b[1])
		}
		if len(b) < width+n {
			return false
		}
		b = b[width+n:]
		return true
	}
	// Session, cipher suites, compression; then the extensions.
	if !skip(1) || !skip(2) || !skip(1) || len(b) < 2 {
		return 0
	}
	b = b[2:]
	for len(b) >= 4 {
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
		if kind == 0 {
			if n < 5 || len(b) < n || b[2] != 0 {
				return 0
			}
			size := int(binary.BigEndian.Uint16(b[3:]))
			if size == 0 || size > maxName || n < 5+size {
				return 0
			}
			return m.name(b[5 : 5+size])
		}
		if len(b) < n {
			return 0
		}
		b = b[n:]
	}
	return 0
}

// name hashes the last three labels of a name, letters alike in either case:
// what is before them is often drawn at random.
func (m *meter) name(b []byte) uint64 {
	var low [maxName]byte
	from, dots := 0, 0
	for i := len(b) - 1; i >= 0; i-- {
		c := b[i]
		if c == '.' {
			if dots++; dots == 3 {
				from = i + 1
				break
			}
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	if from >= len(b) {
		return 0
	}
	return max(1, ident.Hash(m.seed, low[from:len(b)]))
}

// households are what shards measured and the joiner has not told yet.
type households struct {
	list   []metered
	newest int64 // of the ends of windows in the list
	late   bool  // one of them is before one that came earlier
}

// maxMetered bounds what waits; more comes together only where time stands
// still, and goes on at once.
const maxMetered = 1 << 16

func (q *households) push(list ...metered) {
	for i := range list {
		q.late = q.late || list[i].until < q.newest
		q.newest = max(q.newest, list[i].until)
	}
	q.list = append(q.list, list...)
}

// add takes what the shards measured in one epoch.
func (q *households) add(all *[shards]*output) {
	for _, s := range all {
		if s != nil {
			q.push(s.metered...)
		}
	}
	if q.late {
		slices.SortStableFunc(q.list, func(a, b metered) int {
			switch {
			case a.until < b.until:
				return -1
			case a.until > b.until:
				return 1
			}
			return 0
		})
		q.late = false
	}
}

// play tells of the windows that are over at t.
func (q *households) play(lines *heuristics.Lines, t int64) {
	n := 0
	for n < len(q.list) && (q.list[n].until <= t || len(q.list)-n > maxMetered) {
		e := &q.list[n]
		lines.Household(e.line, &e.facts, e.until)
		n++
	}
	if n == 0 {
		return
	}
	if q.list = append(q.list[:0], q.list[n:]...); len(q.list) == 0 {
		q.newest = 0
	}
}
