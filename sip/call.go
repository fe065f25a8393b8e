package sip

import "simtrap/ident"

// Party is one side of a call or registration as seen on the wire: the
// addresses of packets, not what headers claim.
type Party struct {
	Addr ident.Addr
	Port uint16
}

// Seen tells what of an exchange was visible.
type Seen uint8

const (
	SeenRequest  Seen = 1 << iota // at least one packet from caller to callee
	SeenResponse                  // at least one packet from callee to caller
)

// Call is one call attempt: an INVITE transaction and the dialog it opens.
// Times are nanoseconds since the Unix epoch, 0 when not seen. The caller is
// the side that sent the INVITE on this hop, the callee the side that received
// it; a box in the middle (an SBC) therefore shows two calls.
type Call struct {
	ID             uint64 // unique within a Tracker, in order of appearance
	Realm          ident.Realm
	Caller, Callee Party // of the INVITE; inside the dialog either may use others
	TCP            bool
	// Doubtful says that some of it came as packet.Packet.Doubtful: somebody who
	// made a visitor's browser say it may have, so it vouches for nobody.
	Doubtful bool

	Invite, Trying, Ringing, Progress, Answer, Ack, End int64
	// Invite is the first INVITE; one that was challenged and sent again with
	// credentials is the same call. Ringing is the first 180 or 183.
	// Progress is the first provisional response with SDP (early media).
	// Answer is the first 2xx. Where the callee's side was never visible it is
	// the ACK that only a 2xx calls for (RFC 3261 section 13.2.2.4): one round
	// trip late, and Seen lacks SeenResponse.
	// End is BYE, CANCEL's final response, or the failure's final response; it
	// stays 0 for a call that was given up without having been seen to end.
	Last int64 // last message seen

	Cause   uint16 // final status of the INVITE, 0 while open or not seen; 487 after CANCEL
	EndedBy Side   // who sent the BYE or CANCEL
	Seen    Seen
	// Verified says that the caller proved to have read the callee's answers:
	// it sent an ACK, PRACK or BYE with the To tag that the callee chose, from
	// its own or, where a proxy keeps out of the dialog, from another address. A
	// stranger forging the caller's address cannot.
	Verified bool
	// Midway says that the call was open before the first message seen. Who
	// called is then not known: Caller is the sender of the first request, and
	// the called number is that of To.
	Midway bool

	// CalleeKey is a keyed hash of the called number in the form that
	// ident.Plan.Classify gives, 0 when unknown or withheld. A call to the
	// callee's own account has that Registration's UserKey, unless To names
	// another telephone number: then that is the called one.
	CalleeKey   uint64
	CallerKey   uint64
	CalleeClass ident.NumberClass
	CallerClass ident.NumberClass
	// CalleeOperator is who was given the block that a mobile callee's number
	// lies in, as ident.Plan.Describe names it; empty when nobody knows.
	CalleeOperator string
	CalledUser     ident.Number // for what is written under authority, or as a pseudonym

	// Offer and answer as last seen: the media the caller and the callee
	// expect to receive.
	// Addresses are as told, so they may be private ones behind a NAT.
	CallerMedia, CalleeMedia Media
	Fax                      [2]Socket // where caller and callee want T.38, as last told
	UserAgent                [2]string // of caller and callee, at most 64 bytes
	CalleeShape, CallerShape uint64    // header shape of their messages

	Video bool // both ends' descriptions agreed to it at some time

	Retransmits uint16 // same request or response again, 50 ms or more apart
	Reinvites   uint16
	// Replaces is the ID of the call that this one takes over (RFC 3891): a
	// transfer or a pick-up, so that both are one call of the people. 0 when
	// there is none, when that is not known, or when it took one over itself.
	Replaces uint64
	Refers   uint16
	Holds    uint16 // descriptions that put the other end on hold (RFC 3264 section 8.4)
	// HoldsBy and RefersBy say how many of them the caller and the callee sent:
	// what one end does to its people says nothing of the other.
	HoldsBy, RefersBy [2]uint16

	Forks uint8  // dialogs
	Timer uint32 // Session-Expires, seconds (RFC 4028); 0 when not asked for
	// Content is the kind of the first body that INVITE or its answer brought.
	// It is ContentMANSCDP as soon as a description is that of a camera.
	Content Content
}

// Side is one side of a call.
type Side uint8

const (
	SideNone Side = iota
	SideCaller
	SideCallee
)

// CallEvent is why a Handler is told about a call.
type CallEvent uint8

const (
	CallStarted  CallEvent = iota + 1 // first message seen; what it says is set
	CallMedia                         // an SDP brought or changed an address, a format or encryption
	CallRinging                       // 180, or 183
	CallAnswered                      // 2xx to INVITE
	CallVerified                      // Verified has become true
	CallEnded                         // over, once for every CallStarted; the Call is not touched again
)

// Registration is one binding of an account to a contact at a registrar, as it
// is kept up over time.
type Registration struct {
	Realm      ident.Realm
	Account    ident.Account
	AccountKey uint64 // keyed hash of user@host
	UserKey    uint64 // keyed hash of the normalised user part, as in Call.CalleeKey
	Client     Party  // who registers, as on the wire
	Doubtful   bool   // as of a Call
	Registrar  Party
	// ContactKey is a hash of host and port in Contact: which socket on the
	// private network the account lives on.
	ContactKey  uint64
	ContactHost ident.Addr // zero for a host name
	ContactPort uint16
	Expires     int64 // seconds granted, else asked
	Requests    uint32
	Accepted    uint32 // 2xx seen
	Refused     uint32 // final responses other than 2xx and the 401/407 challenge
	First, Last int64  // of successful (or, one way only, sent) refreshes
	Time        int64  // when what is told now was asked: a refresh, its refusal or the removal
	// Interval is the time between the last two refreshes of one client, ns; 0
	// for its first.
	Interval  int64
	UserAgent string // at most 64 bytes
	Seen      Seen
	Removed   bool // expires=0
}

// Handler receives what a Tracker concludes, in the order of the messages. The
// pointers are the Tracker's own: read them during the call only.
type Handler interface {
	Call(*Call, CallEvent)
	// Registration is told of every refresh that was accepted (or, where
	// responses are never visible, sent), of every refusal, and of a removal.
	Registration(*Registration)
	// Request is told of every request outside calls and registrations that a
	// final response answered or that nobody answered within 32 s.
	Request(*Request)
}

// Request is one request outside calls and registrations: MESSAGE, SUBSCRIBE,
// NOTIFY, PUBLISH, OPTIONS and the like.
type Request struct {
	Method   Method
	From, To Party // as on the wire
	Realm    ident.Realm
	// Status is the final response's, a challenge (401, 407) included; 0 when
	// none was seen within 32 s.
	Status   uint16
	Time     int64 // when the request was seen, or the response where the request was not
	Seen     Seen
	Doubtful bool // as of a Call
	// Package is the event package of SUBSCRIBE, NOTIFY and PUBLISH.
	Package EventPackage
	// Content is what the body is, by Content-Type; bodies are not read.
	Content Content
	// TargetKey and TargetClass tell whom a MESSAGE is for, as Call.CalleeKey
	// and CalleeClass do for a call.
	TargetKey   uint64
	TargetClass ident.NumberClass
}

// EventPackage is what a subscription is about (RFC 6665 section 4).
type EventPackage uint8

const (
	PackageNone      EventPackage = iota
	PackageOther                  // one that is not among these
	PackageDialog                 // busy lamps (RFC 4235)
	PackageSummary                // message waiting (RFC 3842)
	PackagePresence               // RFC 3856, and presence.winfo
	PackageReg                    // registrations (RFC 3680)
	PackageRefer                  // progress of a transfer (RFC 3515)
	PackageKeepalive              // "keep-alive" of Linksys and Cisco adapters
)

// Content is the kind of a body.
type Content uint8

const (
	ContentNone    Content = iota
	ContentOther           // one that is not among these
	ContentSDP             // application/sdp
	ContentText            // text/plain and relatives: a short message
	ContentMANSCDP         // Application/MANSCDP+xml: camera platforms (GB/T 28181)
	ContentDTMF            // application/dtmf-relay, application/dtmf
)
