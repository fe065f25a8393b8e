// Package control reads what multi-SIM gateways say in protocols of their own:
// keepalives, card identities, SIM commands, SMS. One file per protocol; the
// list in Protocols is where a new one is added.
//
// A record is evidence of multi-SIM equipment, never of its being unlawful, so
// a protocol passes on nothing that its length, checksum and field checks do
// not bear out. Passwords are never kept; short-message text is never read.
package control

import "simtrap/ident"

// Role is what the sender of a record is, as the protocol tells it.
type Role uint8

const (
	RoleUnknown Role = iota
	RoleGateway      // holds radio modules; the box itself
	RoleBank         // holds cards, away from the modules
	RoleServer       // SMS server, scheduler, management
)

func (r Role) String() string {
	return [...]string{"unknown", "gateway", "bank", "server"}[min(r, RoleServer)]
}

// Kind is what a record says.
type Kind uint8

const (
	Keepalive Kind = iota + 1 // the sender is alive, with the state of a channel
	Login                     // the sender registers or authenticates
	Identity                  // a card or module identity
	Event                     // a call, message or state change on a channel
	Command                   // a server tells a gateway to do something
	Answer                    // the peer's answer to one of the above
	APDU                      // a SIM command or response on its way to or from a card
	// Mark is something that only such gateways are known to send, of which
	// less is known than of a protocol: a prefix that never changes, a banner,
	// what one source saw. A mark is never sound and never counts towards
	// proof.
	Mark
)

// Record is one fact from a gateway's own protocol.
type Record struct {
	Time             int64
	Src, Dst         ident.Addr // of the packet that carried it
	SrcPort, DstPort uint16
	Realm            ident.Realm
	TCP              bool
	Protocol         string // name of the protocol, as in Protocols
	Vendor           string // maker, where the protocol tells, else empty
	Kind             Kind
	Sender           Role
	Channel          uint32 // hash of, or number of, the channel; 0 when none is told
	IMSI             ident.IMSI
	IMEI             ident.IMEI
	ICCID            ident.ICCID
	Number           ident.Number // of the card
	Recipient        ident.Number // whom a short message is for
	// Sent is whom a message was for that the sender of this record says it has
	// sent by one of its cards. Where the protocol names the number only when
	// the message is handed over, Sessions fills it in.
	Sent ident.Number
	// Detail says in plain words what a mark is; it holds no identity, and is
	// one of a fixed set of texts.
	Detail string
	// Reset says that the channel's card begins anew: it may be another.
	Reset bool
	// Sound says that every check the protocol allows was passed: framing,
	// length, counters, and the check digits of the identities carried. Only
	// sound records count towards proof (VERDICT section 6).
	Sound bool
	// Whole says that this came on a connection for one exchange, all of which
	// was read from its first byte on. There an answer counts for the request
	// before it, since there will be no second.
	Whole bool
	// Reply says that this record has the form of an answer to one of the
	// peer's. Whether the peer did send that one, Sessions knows.
	Reply bool
	// Exchange is equal in a request and in the answer to it, whichever way
	// they go; 0 where the protocol offers nothing to tell by.
	Exchange uint64
	// Digest is equal in all records of one message and in those of its exact
	// copies. No password and no text of a message goes into it.
	Digest uint64

	text uint64 // names a short message between the ends of a flow
	step textStep
}
