package sip

import (
	"bytes"
	"encoding/binary"

	"simtrap/ident"
	"simtrap/packet"
)

// SIP under a fixed keystream (docs/verdict.md section 7): a gateway and its
// controller scramble every datagram from its first byte with the same bytes,
// RC4 started anew or a plain XOR. Whatever the key, the XOR of two ciphertexts
// is that of their texts, and all SIP begins with one of a few texts. Nothing is
// decrypted beyond the first twelve bytes, which are known text.

const (
	// hiddenLeast and hiddenMost bound the payload of a SIP message over UDP,
	// bytes. Voice of 20 ms is shorter.
	hiddenLeast = 200
	hiddenMost  = 1500
	// hiddenKnown is how many first bytes of a datagram are compared.
	hiddenKnown = 12
	// hiddenTarget is which bytes of a scrambled INVITE are compared in place of
	// the called number: what follows "INVITE sip:", long enough for a number
	// of any length and the controller's address behind it.
	hiddenTargetFrom, hiddenTargetTo = 11, 27

	hiddenEnough   = 8  // datagrams that one keystream must explain
	hiddenPrefixes = 8  // distinct prefixes of a flow that are looked at
	hiddenSamples  = 32 // datagrams that are kept until the flow is decided
	hiddenGiveUp   = 96 // datagrams after which a flow that does not fit is left alone
	hiddenFlows    = 256
	hiddenHeld     = 32 // flows of a table that may hold samples at once
	hiddenIdle     = 120 * second
	hiddenRetry    = 600 * second
	hiddenPending  = 16         // scrambled INVITEs that wait for their ringing, per flow
	hiddenRepeat   = 5 * second // within which an equal INVITE is the same one
)

// HiddenKind is what a scrambled message was found to be.
type HiddenKind uint8

const (
	// HiddenFound is told once for each flow: it carries SIP under a keystream.
	HiddenFound HiddenKind = iota + 1
	// HiddenCall is an INVITE that the other end let ring (180 or 183).
	HiddenCall
)

// Hidden is one fact about a flow of scrambled SIP.
type Hidden struct {
	Kind HiddenKind
	Time int64
	// Caller and Callee are the ends of a HiddenCall, or of the flow: then the
	// end that registers or calls comes first.
	Caller, Callee Party
	Realm          ident.Realm
	// Target is equal for equal called numbers of one flow, HiddenCall only.
	Target uint64
	// Explained and Datagrams tell how much of the flow the keystream explains.
	Explained, Datagrams uint32
}

// HiddenCounters tell what a HiddenTable did and left out.
type HiddenCounters struct {
	Found   uint64 // flows that carry SIP under a keystream
	Evicted uint64 // flows dropped undecided for want of room
	Crowded uint64 // flows left alone because too many were under examination
	Echoed  uint64 // flows left alone because one end sends back what it is sent
}

// HiddenTable looks for SIP under a fixed keystream among the datagrams of all
// flows between the addresses of a shard. It is for one goroutine. The zero
// value is ready.
type HiddenTable struct {
	Counters HiddenCounters
	flows    [hiddenFlows]hiddenFlow
	held     int
}

type hiddenState uint8

const (
	hiddenNew    hiddenState = iota // first datagrams: does any prefix come again?
	hiddenSample                    // worth keeping samples of
	hiddenFound
	hiddenDead // no SIP
)

// hiddenFlow is a conversation, both directions.
type hiddenFlow struct {
	key      uint64
	last     int64
	until    int64 // a dead flow is left alone until then
	state    hiddenState
	total    uint32
	first    [2]uint64 // prefixes of the first datagrams of either direction
	examined *hiddenExam
}

// hiddenExam is what is kept of a flow under examination or found.
type hiddenExam struct {
	samples []hiddenDatagram
	key     [hiddenKnown]byte // the keystream
	calls   []hiddenInvite
	said    [16]uint64 // hashes of the latest datagrams, the last bit tells the direction
	saidAt  int
	rang    [8]uint64 // hashes of the latest ringing responses, which may come again
	at      int
}

type hiddenDatagram struct {
	up   bool // from the lower address to the higher
	text [hiddenKnown]byte
}

type hiddenInvite struct {
	target uint64
	time   int64
	up     bool
	done   bool
}

// hiddenTexts are the texts that SIP messages begin with. What is known of a
// status line's digits is checked apart.
func hiddenTexts() []string {
	return []string{
		"SIP/2.0 ", "REGISTER sip:", "INVITE sip:", "ACK sip:", "BYE sip:", "CANCEL sip:", "OPTIONS sip:", "MESSAGE sip:",
		"NOTIFY sip:", "SUBSCRIBE sip:", "INFO sip:", "PRACK sip:", "UPDATE sip:", "REFER sip:", "PUBLISH sip:",
	}
}

// Datagram takes one datagram that is nothing else that is known, and says
// whether it told something of the flow it belongs to.
func (t *HiddenTable) Datagram(p *packet.Packet, out *Hidden) bool {
	b := p.Payload
	if len(b) < hiddenLeast || len(b) > hiddenMost {
		return false
	}
	src, dst := p.Src.Hash(uint64(p.SrcPort)), p.Dst.Hash(uint64(p.DstPort))
	key := (src + dst) ^ uint64(p.Realm)<<32 | 1
	up := src < dst
	f := &t.flows[key>>33%hiddenFlows]
	if f.key != key {
		if f.key != 0 && p.Time-f.last < hiddenIdle && (f.state == hiddenFound || f.state == hiddenSample && f.total > hiddenEnough) {
			t.Counters.Crowded++
			return false
		}
		if f.state == hiddenSample {
			t.Counters.Evicted++
		}
		t.drop(f)
		*f = hiddenFlow{key: key}
	}
	f.last = max(f.last, p.Time)
	if f.state == hiddenDead {
		if p.Time < f.until {
			return false
		}
		*f = hiddenFlow{key: key, last: f.last} // it may have begun to hide since
	}
	f.total++
	if f.examined != nil && f.examined.echoed(b, up) {
		t.Counters.Echoed++
		t.drop(f)
		return false
	}
	switch f.state {
	case hiddenNew:
		t.begin(f, b, up)
	case hiddenSample:
		return t.examine(f, p, up, out)
	case hiddenFound:
		return f.message(p, up, out)
	}
	return false
}

// begin waits for a prefix of eight bytes that comes again in its direction:
// most of what is encrypted never repeats one, and costs no more than this.
func (t *HiddenTable) begin(f *hiddenFlow, b []byte, up bool) {
	prefix := binary.LittleEndian.Uint64(b)
	side := 0
	if up {
		side = 1
	}
	switch {
	case f.first[side] == prefix && prefix != 0:
		if t.held >= hiddenHeld {
			t.Counters.Crowded++
			f.end()
			return
		}
		t.held++
		f.state = hiddenSample
		f.examined = &hiddenExam{samples: make([]hiddenDatagram, 0, hiddenSamples)}
		f.examined.keep(b, up)
	case f.total > hiddenGiveUp/8:
		f.end()
	case f.first[side] == 0 || f.total%4 == 0:
		f.first[side] = prefix
	}
}

func (e *hiddenExam) keep(b []byte, up bool) {
	if len(e.samples) == hiddenSamples {
		// The newest half stays: a flow may begin with something else.
		e.samples = e.samples[:copy(e.samples, e.samples[hiddenSamples/2:])]
	}
	e.samples = append(e.samples, hiddenDatagram{up: up, text: [hiddenKnown]byte(b)})
}

// echoed takes note of a datagram, and says whether the other end sent the same
// just before. A request is no response and bears its sender's names, so in SIP
// that does not happen; a service that sends back what it is sent would else seem
// to ring whenever a stranger wants it to.
func (e *hiddenExam) echoed(b []byte, up bool) bool {
	h := ident.Hash(0, b)&^1 | uint64(side(up))
	for _, o := range e.said {
		if o == h^1 {
			return true
		}
	}
	e.said[e.saidAt%len(e.said)] = h
	e.saidAt++
	return false
}

func (t *HiddenTable) drop(f *hiddenFlow) {
	if f.examined != nil && f.state != hiddenDead {
		t.held--
	}
	f.end()
}

func (f *hiddenFlow) end() {
	f.examined, f.state, f.until = nil, hiddenDead, f.last+hiddenRetry
}

func (t *HiddenTable) examine(f *hiddenFlow, p *packet.Packet, up bool, out *Hidden) bool {
	e := f.examined
	e.keep(p.Payload, up)
	if len(e.samples) < hiddenEnough {
		return false
	}
	asks, explained, ok := e.solve()
	if !ok {
		if f.total >= hiddenGiveUp {
			t.drop(f)
		}
		return false
	}
	f.state = hiddenFound
	t.Counters.Found++
	*out = Hidden{Kind: HiddenFound, Time: p.Time, Caller: source(p), Callee: destination(p), Realm: p.Realm,
		Explained: uint32(explained), Datagrams: uint32(len(e.samples))}
	if asks != up {
		out.Caller, out.Callee = out.Callee, out.Caller
	}
	e.samples = nil
	return true
}

// solve looks for one keystream under which the samples are SIP. asks tells the
// direction that most requests go.
func (e *hiddenExam) solve() (asks bool, explained int, ok bool) {
	texts := hiddenTexts()
	var prefixes [hiddenPrefixes][8]byte
	n := 0
next:
	for i := range e.samples {
		c := [8]byte(e.samples[i].text[:8])
		for _, p := range prefixes[:n] {
			if p == c {
				continue next
			}
		}
		if n < len(prefixes) {
			prefixes[n] = c
			n++
		}
	}
	// One of the prefixes must be a status line's; that gives the keystream.
	for _, c := range prefixes[:n] {
		var key [8]byte
		for i := range key {
			key[i] = c[i] ^ texts[0][i]
		}
		if key == ([8]byte{}) {
			continue // SIP in clear
		}
		if asks, explained, ok := e.try(key, texts); ok {
			return asks, explained, true
		}
	}
	return false, 0, false
}

// try holds a keystream of eight bytes against all samples, derives more of it
// from the texts that go on, and holds those against each other.
func (e *hiddenExam) try(first [8]byte, texts []string) (asks bool, explained int, ok bool) {
	var key [hiddenKnown]byte
	copy(key[:], first[:])
	known := uint16(1<<8 - 1)
	var kinds uint32 // of texts
	requests, responses := [2]int{}, [2]int{}
	misses := len(e.samples) / 10 // as many need not be explained; most keystreams end here
	// Requests first: their texts give bytes by which status lines are read.
	var pending []int
	for i := range e.samples {
		s := &e.samples[i]
		k := textOf(s.text[:8], first[:], texts)
		if k < 0 {
			if misses--; misses < 0 {
				return false, 0, false
			}
			continue
		}
		if k == 0 {
			pending = append(pending, i)
			continue
		}
		if !extend(&key, &known, s.text[:], texts[k]) {
			return false, 0, false
		}
		kinds |= 1 << k
		requests[side(s.up)]++
		explained++
	}
	for _, i := range pending {
		s := &e.samples[i]
		if !extend(&key, &known, s.text[:], "SIP/2.0 \x00\x00\x00 ") {
			return false, 0, false
		}
		for j := 8; j < 11; j++ {
			if known>>j&1 == 1 {
				if d := s.text[j] ^ key[j]; d < '0' || d > '9' || j == 8 && (d < '1' || d > '6') {
					return false, 0, false
				}
			}
		}
		kinds |= 1
		responses[side(s.up)]++
		explained++
	}
	distinct := 0
	for k := kinds; k != 0; k &= k - 1 {
		distinct++
	}
	asks = requests[1] >= requests[0]
	legal := responses[1] > 0 && requests[0] > 0 || responses[0] > 0 && requests[1] > 0
	if distinct < 3 || explained < hiddenEnough || 10*explained < 9*len(e.samples) || !legal || known != 1<<hiddenKnown-1 {
		return false, 0, false
	}
	e.key = key
	return asks, explained, true
}

func side(up bool) int {
	if up {
		return 1
	}
	return 0
}

// textOf gives the text that eight bytes stand for under a keystream, or -1.
func textOf(c, key []byte, texts []string) int {
	var plain [8]byte
	for i := range plain {
		plain[i] = c[i] ^ key[i]
	}
	for k, t := range texts {
		if string(plain[:]) == t[:8] {
			return k
		}
	}
	return -1
}

// extend derives the keystream where text goes on, and says whether it agrees
// with what is known of it. A zero in text is not known.
func extend(key *[hiddenKnown]byte, known *uint16, c []byte, text string) bool {
	for i := 8; i < min(len(text), hiddenKnown); i++ {
		if text[i] == 0 {
			continue
		}
		k := c[i] ^ text[i]
		if *known>>i&1 == 1 && key[i] != k {
			return false
		}
		key[i] = k
		*known |= 1 << i
	}
	return true
}

// message reads a datagram of a flow that was found.
func (f *hiddenFlow) message(p *packet.Packet, up bool, out *Hidden) bool {
	e := f.examined
	var plain [hiddenKnown]byte
	for i := range plain {
		plain[i] = p.Payload[i] ^ e.key[i]
	}
	switch {
	case bytes.HasPrefix(plain[:], []byte("INVITE sip:")):
		target := ident.Hash(f.key, p.Payload[hiddenTargetFrom:hiddenTargetTo])
		for i := range e.calls {
			if c := &e.calls[i]; c.target == target && c.up == up && p.Time-c.time < hiddenRepeat {
				return false
			}
		}
		if len(e.calls) == hiddenPending {
			e.calls = e.calls[:copy(e.calls, e.calls[1:])]
		}
		e.calls = append(e.calls, hiddenInvite{target: target, time: p.Time, up: up})
	case bytes.HasPrefix(plain[:], []byte("SIP/2.0 18")):
		h := ident.Hash(f.key, p.Payload)
		for _, o := range e.rang {
			if o == h {
				return false
			}
		}
		e.rang[e.at%len(e.rang)] = h
		e.at++
		// Of several that wait, the one that has waited longest rings.
		for i := range e.calls {
			c := &e.calls[i]
			if c.done || c.up == up || p.Time-c.time > linger {
				continue
			}
			c.done = true
			*out = Hidden{Kind: HiddenCall, Time: p.Time, Caller: destination(p), Callee: source(p), Realm: p.Realm, Target: c.target}
			return true
		}
	}
	return false
}
