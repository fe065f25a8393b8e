// Package sip reads the Session Initiation Protocol (RFC 3261) as it is seen on
// a tap: a lenient parser without allocation, message framing on streams,
// transactions, calls and registrations.
package sip

import "simtrap/ident"

// Method is a request method (RFC 3261 section 7.1 and its extensions).
type Method uint8

const (
	MethodUnknown Method = iota
	INVITE
	ACK
	BYE
	CANCEL
	REGISTER
	OPTIONS
	INFO
	PRACK
	UPDATE
	SUBSCRIBE
	NOTIFY
	REFER
	MESSAGE
	PUBLISH
)

// Message is one parsed message. Every slice is a view into the bytes given to
// Parse. Where a header occurs more than once, the first value is kept, and for
// Contact the count.
type Message struct {
	Raw     []byte // from the start line to the end of the body
	Method  Method // of the request, or of CSeq in a response
	Status  uint16 // 0 in a request
	Reason  []byte // reason phrase
	URI     []byte // request-URI
	URIUser []byte // its user part, without parameters
	URIHost []byte

	Via       []byte // topmost, whole value
	ViaHost   []byte
	ViaPort   uint16
	Branch    []byte
	From, To  NameAddr
	CallID    []byte
	CSeq      uint32
	Contact   NameAddr
	Contacts  int    // how many contacts there are in all; "*" counts as none
	Expires   int64  // seconds, of the header or else of the first contact; -1 absent
	UserAgent []byte // User-Agent of a request, Server of a response, either of either
	PAI       []byte // user part of P-Asserted-Identity (RFC 3325), or of Remote-Party-ID
	Event     []byte
	Replaces  []byte // RFC 3891, whole value
	// SessionExpires is in seconds (RFC 4028), 0 absent.
	SessionExpires uint32
	ContentType    []byte
	ContentLength  int64 // -1 absent
	Body           []byte
	SDP            SDP // of the body, when it holds one
	// Shape is a hash of the order and spelling of the header names, the same
	// in every run; neighbours of one name (a stack of Via) count once.
	Shape uint64
	// Lenient has a bit for every rule of the grammar that was bent to read it.
	Lenient Leniency
}

// NameAddr is the value of a From, To or Contact header (RFC 3261 section
// 20.10), in views.
type NameAddr struct {
	User, Host, Tag []byte
	Port            uint16
	Expires         int64 // Contact parameter, seconds; -1 absent
}

// Leniency tells what was bent; bits are defined beside the parser.
type Leniency uint32

// SDP is what call tracking needs of a session description (RFC 4566), read
// leniently because gateways send what strict readers refuse.
type SDP struct {
	Present    bool
	OriginUser []byte // o=
	OriginAddr []byte
	Name       []byte   // s=
	Audio      [2]Media // the first two m=audio lines
	N          int      // how many of Audio are set
	Video      bool     // an m=video line that is not refused
	ICE        bool     // addresses are told by candidates (RFC 8445), so that those of c= and m= may be void
	Image      Socket   // of the first m=image line over udptl: T.38
}

// Socket is where a description wants media; Port 0 is none.
type Socket struct {
	Addr ident.Addr
	Port uint16
}

// Media is one m=audio line with the c= line that governs it.
type Media struct {
	Addr      ident.Addr // zero when c= is a host name or missing
	Port      uint16     // 0: refused or on hold
	RTCPPort  uint16     // a=rtcp (RFC 3605), else 0
	Secure    bool       // RTP/SAVP and relatives, or keys for it (RFC 4568, RFC 5763)
	Formats   [12]Format // payload types in order of preference
	N         int
	Direction Direction
	Ptime     uint16 // milliseconds, 0 when not told
	// Encodings are what a=rtpmap names the Formats of the same place.
	Encodings [12]Encoding
	ICE       [3]Socket // the first candidates for RTP over UDP (RFC 8839)
	NICE      int
}

// Encoding is an encoding name of a=rtpmap.
type Encoding uint8

const (
	EncodingNone  Encoding = iota // not named
	EncodingOther                 // not among these
	EncodingPCMU
	EncodingPCMA
	EncodingG729
	EncodingG723
	EncodingGSM
	EncodingEFR
	EncodingILBC
	EncodingG722
	EncodingAMR
	EncodingAMRWB
	EncodingEVS
	EncodingOpus
	EncodingEvent // telephone-event (RFC 4733)
	EncodingNoise // CN (RFC 3389)
)

// Format is one payload type and its clock rate in Hz (RFC 3551 section 6 for
// the static ones, a=rtpmap for the others; 0 unknown).
type Format struct {
	PT   uint8
	Rate uint32
}

// Direction of a media line (RFC 4566 section 6).
type Direction uint8

const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)
