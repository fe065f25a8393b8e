package h323

import (
	"errors"
)

// RASKind is what a RAS message is: the index of its CHOICE.
type RASKind uint8

const (
	GatekeeperRequest RASKind = iota
	GatekeeperConfirm
	GatekeeperReject
	RegistrationRequest
	RegistrationConfirm
	RegistrationReject
	UnregistrationRequest
	UnregistrationConfirm
	UnregistrationReject
)

// RAS is one message of registration. Nothing in it is a view of what was read.
type RAS struct {
	Kind      RASKind
	Seq       uint16
	Version   uint8
	Aliases   []Alias // terminalAlias, endpointAlias; at most MaxAliases
	Left      int     // aliases left out
	Signal    Media   // the first callSignalAddress
	TTL       uint32  // seconds, 0 when not told
	KeepAlive bool    // only to renew what stands
	Again     bool    // a reject that asks for the whole registration
	Agent     Alias   // product and version of the endpoint
}

// MaxAliases is how many names of one registration are kept.
const MaxAliases = 32

var errRAS = errors.New("no RAS message that is read here")

// LooksRAS says whether a datagram is a message of discovery or registration,
// whatever the port: a kind of those, two octets on the sequence number, and
// then the object identifier of H.225.0. It costs others the look at one octet.
func LooksRAS(b []byte) bool {
	if len(b) < 11 || b[0] > 0x17 {
		return false
	}
	return b[4] == 6 && b[5] == 0 && b[6] == 8 && b[7] == 0x91 && b[8] == 0x4a && b[9] == 0
}

// LooksUnregistration says whether a datagram may be a message of
// unregistration. They do not name H.225.0, so it means something only between
// sockets that have spoken RAS.
func LooksUnregistration(b []byte) bool {
	return len(b) >= 3 && b[0] >= 0x18 && b[0] <= 0x23
}

// ParseRAS reads a message of registration or unregistration; those of
// discovery it knows, and reads no further.
func ParseRAS(b []byte, m *RAS) error {
	*m = RAS{}
	r := per{b: b}
	index, extended := r.choice(5)
	if extended || index > int(UnregistrationReject) {
		return errRAS
	}
	m.Kind = RASKind(index)
	more := r.bit()
	// How many members of each kind may be absent.
	var has [4]bool
	for i := range [...]int{4, 2, 2, 3, 3, 2, 3, 1, 1}[index] {
		has[i] = r.bit()
	}
	m.Seq = r.word() + 1
	if m.Kind < UnregistrationRequest {
		m.Version, _ = r.identifier()
	}
	switch m.Kind {
	case RegistrationRequest:
		r.registration(m, has, more)
	case RegistrationConfirm:
		r.confirmation(m, has, more)
	case RegistrationReject:
		if has[0] {
			r.nonStandard()
		}
		const discovery, full = 0, 4 // discoveryRequired, fullRegistrationRequired
		why, later := r.choice(3)
		m.Again = !later && why == discovery || later && why == full
	case UnregistrationRequest:
		r.signals(m)
		if has[0] {
			r.names(m)
		}
	}
	if r.bad {
		return errRAS
	}
	return nil
}

func (r *per) registration(m *RAS, has [4]bool, more bool) {
	if has[0] {
		r.nonStandard()
	}
	r.bit() // discoveryComplete
	r.signals(m)
	r.list(func() { r.transport() }) // rasAddress
	r.endpoint(m.Agent.text[:0:maxText])
	if has[1] {
		r.names(m)
	}
	if has[2] {
		r.gatekeeper()
	}
	m.Agent.n = uint8(len(r.vendor(m.Agent.text[:0:maxText])))
	r.additions(more, func(i int, v *per) {
		const timeToLive, keepAlive = 1, 5
		switch i {
		case timeToLive:
			m.TTL = v.long()
		case keepAlive:
			m.KeepAlive = v.bit()
		}
	})
}

func (r *per) confirmation(m *RAS, has [4]bool, more bool) {
	if has[0] {
		r.nonStandard()
	}
	r.signals(m)
	if has[1] {
		r.names(m)
	}
	if has[2] {
		r.gatekeeper()
	}
	r.gatekeeper() // endpointIdentifier, of the same type
	r.additions(more, func(i int, v *per) {
		const timeToLive = 1
		if i == timeToLive {
			m.TTL = v.long()
		}
	})
}

// gatekeeper passes over a BMPString (SIZE (1..128)).
func (r *per) gatekeeper() {
	n := int(r.bits(7)) + 1
	r.octets(2 * n)
}

// signals reads callSignalAddress.
func (r *per) signals(m *RAS) {
	r.list(func() {
		if a, port := r.transport(); m.Signal == (Media{}) {
			m.Signal = Media{a, port}
		}
	})
}

// names reads the aliases.
func (r *per) names(m *RAS) {
	n := r.length()
	for i := 0; i < n && !r.bad; i++ {
		var a Alias
		r.alias(&a)
		switch {
		case r.bad || a.n == 0:
		case len(m.Aliases) < MaxAliases:
			m.Aliases = append(m.Aliases, a)
		default:
			m.Left++
		}
	}
}

// key is what an address has in a hash.
func (s Media) key(seed uint64) uint64 {
	if s == (Media{}) {
		return 0
	}
	return max(1, s.Addr.Hash(seed+uint64(s.Port)))
}
