package h323

import "simtrap/ident"

// identifier reads a protocolIdentifier, whose arcs are 0.0.8.2250.0 and the
// version. Its length takes one octet, as X.691 section 11.9.3.6 has it:
// LooksRAS counts on that.
func (r *per) identifier() (version uint8, ok bool) {
	n := r.octet()
	b := r.octets(int(n))
	if len(b) != 6 || string(b[:5]) != "\x00\x08\x91\x4a\x00" {
		r.fail()
		return 0, false
	}
	return b[5], true
}

// guid reads a CallIdentifier.
func (r *per) guid(id *[16]byte) {
	extended := r.bit()
	copy(id[:], r.octets(16))
	r.additions(extended, nil)
}

// Members of h323-message-body.
const (
	bodySetup = iota
	bodyCallProceeding
	bodyConnect
	bodyAlerting
	bodyInformation
	bodyReleaseComplete
	bodyFacility
)

// userInformation reads an H323-UserInformation as far as the end of its
// message body.
func (r *per) userInformation(m *Message) {
	r.bits(2) // extended; user data follow
	r.bits(2) // the same of the PDU; nonstandard data follow
	index, extended := r.choice(3)
	if extended {
		v := r.open()
		v.later(m, index)
		return
	}
	r.body(m, index)
}

// body reads one of the messages of the first version.
func (r *per) body(m *Message, index int) {
	extended := r.bit()
	fast := 4 // place of fastStart among the additions
	id := 0   // and of callIdentifier
	switch index {
	case bodySetup:
		r.setup(m)
		id, fast = 2, 6
	case bodyCallProceeding, bodyAlerting:
		h245 := r.bit()
		r.name(m)
		r.sender(m)
		if h245 {
			r.transport()
		}
	case bodyConnect:
		h245 := r.bit()
		r.name(m)
		if h245 {
			r.transport()
		}
		r.sender(m)
		r.octets(16)
	case bodyInformation:
		r.name(m)
		fast = 3
	case bodyReleaseComplete:
		reason := r.bit()
		r.name(m)
		if reason {
			r.reason(m)
		}
		fast = -1
	case bodyFacility:
		address, alias, conference := r.bit(), r.bit(), r.bit()
		r.name(m)
		if address {
			r.transport()
		}
		if alias {
			var a Alias
			r.list(func() { r.alias(&a) })
		}
		if conference {
			r.octets(16)
		}
		if _, other := r.choice(2); other {
			r.open()
		}
		fast = 7
	default:
		r.fail()
	}
	r.additions(extended, func(i int, v *per) {
		switch i {
		case id:
			v.guid(&m.CallID)
		case fast:
			v.fastStart(m, index == bodySetup)
		}
	})
}

// name reads the protocol identifier.
func (r *per) name(m *Message) { m.Version, m.H225 = r.identifier() }

// sender reads an EndpointType of the sender.
func (r *per) sender(m *Message) {
	m.Agent.n = uint8(len(r.endpoint(m.Agent.text[:0:maxText])))
}

func (r *per) reason(m *Message) {
	index, other := r.choice(4)
	if other {
		r.open()
		index += 12
	}
	if !r.bad {
		m.Reason = uint8(index + 1)
	}
}

// setup reads a Setup-UUIE from its optional members on to its additions.
func (r *per) setup(m *Message) {
	var has [7]bool
	for i := range has {
		has[i] = r.bit()
	}
	r.name(m)
	if has[0] {
		r.transport() // h245Address
	}
	if has[1] {
		r.aliases(&m.Calling)
	}
	r.sender(m)
	if has[2] {
		r.aliases(&m.Called)
	}
	if has[3] {
		r.transport()
	}
	if has[4] {
		var a Alias
		r.list(func() { r.alias(&a) })
	}
	if has[5] {
		r.list(func() { r.word() })
	}
	r.bit()      // activeMC
	r.octets(16) // conferenceID
	r.goal()     // conferenceGoal
	if has[6] {
		r.services()
	}
	if _, other := r.choice(2); other { // callType
		r.open()
	}
}

func (r *per) goal() {
	if _, other := r.choice(2); other {
		r.open()
	}
}

// services passes over QseriesOptions.
func (r *per) services() {
	extended := r.bit()
	r.bits(7)
	more := r.bit() // of Q954Details
	r.bits(2)
	r.additions(more, nil)
	r.additions(extended, nil)
}

// aliases reads a list of aliases and keeps the best in a, unless an element of
// Q.931 has told a number already: the first number, or else the first name.
func (r *per) aliases(a *Alias) {
	r.list(func() {
		var next Alias
		if r.alias(&next); !r.bad && next.n > 0 && (a.n == 0 || next.Number && !a.Number) {
			*a = next
		}
	})
}

// later reads the messages that came with later versions.
func (r *per) later(m *Message, index int) {
	const progress, empty, status, inquiry, acknowledge, notify = 0, 1, 2, 3, 4, 5
	r.bit() // extended
	switch index {
	case progress:
		var has [5]bool // h245Address, h245SecurityMode, tokens, cryptoTokens, fastStart
		for i := range has {
			has[i] = r.bit()
		}
		r.name(m)
		r.sender(m)
		if has[0] {
			r.transport()
		}
		r.guid(&m.CallID)
		if has[4] && !has[1] && !has[2] && !has[3] {
			r.fastStart(m, false)
		}
	case status, inquiry, acknowledge, notify:
		r.bits(2) // tokens and cryptoTokens follow
		r.name(m)
		r.guid(&m.CallID)
	case empty:
	}
}

// fastStart reads the channels that a message proposes or accepts (H.323 section
// 8.1.7.1) and keeps where its sender wants voice. The caller tells that for the
// channels towards it, the reverse ones; the callee for those that the caller
// opens, the forward ones, and repeats the caller's for the others.
func (r *per) fastStart(m *Message, setup bool) {
	r.list(func() {
		v := r.open() // an OCTET STRING that holds an OpenLogicalChannel
		a, port, audio := v.channel(setup)
		if !r.bad && !v.bad && audio && port != 0 && m.Media.Port == 0 {
			m.Media = Media{a, port}
		}
	})
}

// channel reads an OpenLogicalChannel as far as the address of the direction
// asked for; audio says that it is one of voice.
func (r *per) channel(reverse bool) (a ident.Addr, port uint16, audio bool) {
	extended, hasReverse := r.bit(), r.bit()
	_ = extended // what is added comes behind all that is read
	r.word()     // forwardLogicalChannelNumber
	more, hasPort := r.bit(), r.bit()
	if hasPort {
		r.word()
	}
	audio = r.dataType()
	a, port = r.multiplex(2)
	r.additions(more, nil)
	if !reverse {
		return a, port, audio
	}
	if !hasReverse {
		return a, 0, false
	}
	more, parameters := r.bit(), r.bit()
	audio = r.dataType()
	a, port = ident.Addr{}, 0
	if parameters {
		a, port = r.multiplex(1)
	}
	_ = more
	return a, port, audio
}

// dataType reads a DataType of H.245 where it is of voice or of nothing, and
// says whether it is of voice. Others are not read.
func (r *per) dataType() bool {
	const nothing, sound = 1, 3
	index, other := r.choice(3)
	switch {
	case other:
		r.fail()
	case index == nothing:
	case index == sound:
		r.audio()
		return true
	default:
		r.fail()
	}
	return false
}

// audio passes over an AudioCapability.
func (r *per) audio() {
	index, other := r.choice(4)
	switch {
	case other:
		r.open()
	case index == 8: // g7231
		r.octet()
		r.bit()
	case index >= 1 && index <= 11: // frames in a packet
		r.octet()
	default:
		r.fail()
	}
}

// multiplex reads multiplexParameters with a root of up to 1<<width members,
// where they are of H.225.0: the first of the extensions.
func (r *per) multiplex(width int) (a ident.Addr, port uint16) {
	index, other := r.choice(width)
	if !other {
		r.fail()
		return a, 0
	}
	v := r.open()
	if index != 0 {
		return a, 0
	}
	v.bit() // extended
	var has [10]bool
	for i := range has {
		has[i] = v.bit()
	}
	if has[0] {
		v.nonStandard()
	}
	v.octet() // sessionID
	if has[1] {
		v.octet()
	}
	if !has[2] {
		return a, 0
	}
	a, port = v.unicast()
	if v.bad {
		return ident.Addr{}, 0
	}
	return a, port
}

// unicast reads a TransportAddress of H.245, where it is of one IPv4 or IPv6
// socket.
func (r *per) unicast() (a ident.Addr, port uint16) {
	if index, other := r.choice(1); other || index != 0 {
		r.fail()
		return a, 0
	}
	index, other := r.choice(3)
	if other {
		r.fail()
		return a, 0
	}
	more := r.bit()
	_ = more
	switch index {
	case 0:
		if b := r.octets(4); b != nil {
			a = ident.AddrFrom4(b)
		}
		return a, r.word()
	case 2: // iP6Address
		if b := r.octets(16); b != nil {
			a = ident.AddrFrom16(b)
		}
		return a, r.word()
	}
	r.fail()
	return a, 0
}
