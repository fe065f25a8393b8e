package dissect

import (
	"fmt"
	"strconv"

	"simtrap/control"
)

// The events, in the order of their fields as docs/dissect.md tells them. Empty
// fields are left out of JSON.

// wire is one packet.
type wire struct {
	Kind      string `json:"kind"` // sip, hidden-sip, control, stream, rtcp, packet, passed-over
	Time      string `json:"time"`
	Frame     uint64 `json:"frame"` // from 1
	Src       string `json:"src,omitempty"`
	Dst       string `json:"dst,omitempty"`
	Transport string `json:"transport,omitempty"`
	Access    string `json:"access,omitempty"`

	// sip
	Method  string `json:"method,omitempty"`
	Status  uint16 `json:"status,omitempty"`
	Reason  string `json:"reason,omitempty"` // of SIP, or why a packet was passed over
	CSeq    uint32 `json:"cseq,omitempty"`
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Target  string `json:"target,omitempty"`
	CallID  string `json:"call_id,omitempty"`
	Agent   string `json:"user_agent,omitempty"`
	Media   string `json:"media,omitempty"` // of its session description
	Lenient string `json:"lenient,omitempty"`

	// control
	Protocol  string `json:"protocol,omitempty"`
	Record    string `json:"record,omitempty"`
	Sender    string `json:"sender,omitempty"`
	IMSI      string `json:"imsi,omitempty"`
	IMEI      string `json:"imei,omitempty"`
	ICCID     string `json:"iccid,omitempty"`
	Number    string `json:"number,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Unsound   bool   `json:"unsound,omitempty"` // a check failed, or a mark

	// stream, rtcp, hidden-sip
	What   string `json:"what,omitempty"`   // begins, ends; flow, call
	Stream string `json:"stream,omitempty"` // in words
	CNAME  string `json:"cname,omitempty"`

	Bytes     uint32 `json:"bytes,omitempty"` // of payload, on the wire
	Authority string `json:"authority,omitempty"`

	ns int64
}

func (e *wire) text(b []byte) []byte {
	b = append(b, clock(e.ns)...)
	b = append(b, "  "...)
	if e.Src != "" {
		b = append(append(append(b, e.Src...), " > "...), e.Dst...)
		b = field(b, " ", e.Transport)
	} else {
		b = fmt.Appendf(b, "frame %d", e.Frame)
	}
	b = append(b, "  "...)
	switch e.Kind {
	case "sip":
		b = append(b, "SIP "...)
		if e.Status != 0 {
			b = strconv.AppendUint(b, uint64(e.Status), 10)
			b = field(b, " ", e.Reason)
			b = append(append(append(b, " ("...), e.Method...), ')')
		} else {
			b = append(b, e.Method...)
			b = field(b, " ", e.Target)
		}
		b = fmt.Appendf(b, "  cseq %d", e.CSeq)
		b = field(b, "  from ", e.From)
		b = field(b, "  to ", e.To)
		b = field(b, "  call ", e.CallID)
		b = field(b, "  media ", e.Media)
		b = field(b, "  agent ", e.Agent)
		b = field(b, "  bent: ", e.Lenient)
	case "control":
		b = append(append(append(b, e.Protocol...), ' '), e.Record...)
		b = field(b, " from ", e.Sender)
		b = identities(b, e.IMSI, e.IMEI, e.ICCID, e.Number)
		b = field(b, "  for ", e.Recipient)
		b = field(b, "  ", e.Detail)
		if e.Unsound && e.Record != kind(control.Mark) { // no mark is sound
			b = append(b, "  unsound"...)
		}
	case "stream":
		b = append(append(append(b, "stream "...), e.What...), "  "...)
		b = append(b, e.Stream...)
	case "rtcp":
		b = append(append(b, "RTCP "...), e.Stream...)
		b = field(b, "  cname ", e.CNAME)
	case "hidden-sip":
		b = append(append(append(append(b, "SIP under a keystream, "...), e.What...), ": "...), e.Stream...)
	case "passed-over":
		b = append(append(b, "passed over: "...), e.Reason...)
	default:
		b = fmt.Appendf(b, "%d bytes", e.Bytes)
	}
	if e.Access != "" {
		b = append(append(append(b, "  ["...), e.Access...), ']')
	}
	return b
}

func identities(b []byte, imsi, imei, iccid, number string) []byte {
	b = field(b, "  imsi ", imsi)
	b = field(b, "  imei ", imei)
	b = field(b, "  iccid ", iccid)
	return field(b, "  number ", number)
}

// stream is one voice stream that is over.
type stream struct {
	Kind       string  `json:"kind,omitempty"`
	Begin      string  `json:"begin"`
	End        string  `json:"end"`
	Src        string  `json:"src"`
	Dst        string  `json:"dst"`
	SSRC       string  `json:"ssrc,omitempty"`
	Codec      string  `json:"codec,omitempty"`
	Readable   bool    `json:"readable"`
	Secure     bool    `json:"secure,omitempty"`
	Fax        bool    `json:"fax,omitempty"`
	Call       uint64  `json:"call,omitempty"`
	FromCaller *bool   `json:"from_caller,omitempty"` // of a stream bound to a call
	Packets    uint64  `json:"packets"`
	Lost       uint64  `json:"lost"`
	Late       uint64  `json:"late,omitempty"`
	Duplicates uint64  `json:"duplicates,omitempty"`
	Restarts   uint64  `json:"restarts,omitempty"`
	Events     uint64  `json:"events,omitempty"`
	Keys       uint64  `json:"keys,omitempty"`
	Noise      uint64  `json:"noise,omitempty"`
	Switches   uint32  `json:"codec_changes,omitempty"`
	PtimeMS    float64 `json:"ptime_ms,omitempty"`
	JitterMS   float64 `json:"jitter_ms"`
	MOS        float64 `json:"mos,omitempty"`
	CNAME      string  `json:"cname,omitempty"`
	FarLost    int32   `json:"far_lost,omitempty"`
	FarMOS     float64 `json:"far_mos,omitempty"`
	TripMS     float64 `json:"trip_ms,omitempty"`
	ClockPPM   float64 `json:"clock_ppm,omitempty"`
	ClockError float64 `json:"clock_error_ppm,omitempty"`
	Authority  string  `json:"authority,omitempty"`

	begin, end int64
}

func (e *stream) text(b []byte) []byte {
	b = append(append(b, clock(e.begin)...), "  stream  "...)
	return e.line(b)
}

// line is the stream without its time.
func (e *stream) line(b []byte) []byte {
	b = append(append(append(b, e.Src...), " > "...), e.Dst...)
	b = field(b, "  ", e.Codec)
	switch {
	case e.Fax:
		b = append(b, "  fax (T.38)"...)
	case !e.Readable:
		b = append(b, "  voice by shape"...)
	}
	if e.Secure {
		b = append(b, "  srtp"...)
	}
	b = fmt.Appendf(b, "  %.1f s  %d packets", float64(e.end-e.begin)/1e9, e.Packets)
	if e.Readable {
		share := 0.0
		if e.Packets+e.Lost > 0 {
			share = 100 * float64(e.Lost) / float64(e.Packets+e.Lost)
		}
		b = fmt.Appendf(b, "  %d lost (%.1f %%)  jitter %.1f ms", e.Lost, share, e.JitterMS)
	}
	if e.MOS > 0 {
		b = fmt.Appendf(b, "  mos %.1f", e.MOS)
	}
	if e.ClockError > 0 {
		b = fmt.Appendf(b, "  clock %+.1f ± %.1f ppm", e.ClockPPM, e.ClockError)
	}
	for _, n := range [...]struct {
		n    uint64
		what string
	}{{e.Restarts, "restart"}, {e.Keys, "key"}, {e.Noise, "packet"}, {uint64(e.Switches), "codec change"}} {
		if n.n > 0 {
			b = field(b, "  ", plural(int(n.n), n.what))
			if n.what == "packet" {
				b = append(b, " of comfort noise"...)
			}
		}
	}
	if e.Call != 0 && e.Kind != "" {
		b = fmt.Appendf(b, "  call %d", e.Call)
	}
	return b
}

// media is what one side of a call asked for.
type media struct {
	Addr      string   `json:"addr,omitempty"`
	Codecs    []string `json:"codecs,omitempty"`
	Secure    bool     `json:"secure,omitempty"`
	Direction string   `json:"direction,omitempty"`
}

func (m *media) line(b []byte) []byte {
	for i, c := range m.Codecs {
		b = field(b, [...]string{"", ","}[min(i, 1)], c)
	}
	b = field(b, " at ", m.Addr)
	b = field(b, " ", m.Direction)
	if m.Secure {
		b = append(b, " srtp"...)
	}
	return b
}

// call is one call attempt that is over, with its streams.
type call struct {
	Kind        string    `json:"kind"`
	Call        uint64    `json:"call"`
	CallID      string    `json:"call_id,omitempty"`
	Direction   string    `json:"direction,omitempty"`
	Caller      string    `json:"caller"`
	Callee      string    `json:"callee"`
	Transport   string    `json:"transport"`
	Called      string    `json:"called,omitempty"`
	CalledClass string    `json:"called_class"`
	CallerClass string    `json:"caller_class"`
	Invite      string    `json:"invite,omitempty"`
	Trying      string    `json:"trying,omitempty"`
	Ringing     string    `json:"ringing,omitempty"`
	Progress    string    `json:"progress,omitempty"`
	Answer      string    `json:"answer,omitempty"`
	Ack         string    `json:"ack,omitempty"`
	End         string    `json:"end,omitempty"`
	Last        string    `json:"last"`
	Status      uint16    `json:"status,omitempty"`
	EndedBy     string    `json:"ended_by,omitempty"`
	Verified    bool      `json:"verified"`
	Midway      bool      `json:"midway,omitempty"`
	OneWay      string    `json:"one_way,omitempty"` // caller or callee, where only one side's packets were seen
	CallerMedia *media    `json:"caller_media,omitempty"`
	CalleeMedia *media    `json:"callee_media,omitempty"`
	CallerAgent string    `json:"caller_agent,omitempty"`
	CalleeAgent string    `json:"callee_agent,omitempty"`
	Retransmits uint16    `json:"retransmits,omitempty"`
	Reinvites   uint16    `json:"reinvites,omitempty"`
	Refers      uint16    `json:"refers,omitempty"`
	Holds       uint16    `json:"holds,omitempty"`
	Forks       uint8     `json:"forks,omitempty"`
	Timer       uint32    `json:"session_expires,omitempty"`
	Replaces    uint64    `json:"replaces,omitempty"`
	Video       bool      `json:"video,omitempty"`
	Fax         bool      `json:"fax,omitempty"`
	Streams     []*stream `json:"streams,omitempty"`
	Authority   string    `json:"authority,omitempty"`

	steps []step
	first int64
}

// step is a moment in a call.
type step struct {
	name string
	at   int64
}

func (e *call) text(b []byte) []byte {
	b = fmt.Appendf(b, "%s  call %d", clock(e.first), e.Call)
	b = field(b, "  ", e.Direction)
	b = append(append(append(b, "  "...), e.Caller...), " > "...)
	b = append(append(append(b, e.Callee...), ' '), e.Transport...)
	b = field(b, "  for ", e.Called)
	if e.Called == "" {
		b = field(b, "  for a number of class ", e.CalledClass)
	}
	b = field(b, "  ", e.CallID)
	b = append(b, "\n    "...)
	for i, s := range e.steps {
		if i > 0 {
			b = append(b, "  "...)
		}
		b = fmt.Appendf(b, "%s +%.3f", s.name, float64(s.at-e.first)/1e9)
	}
	if e.Status != 0 {
		b = fmt.Appendf(b, "  status %d", e.Status)
	}
	b = field(b, "  ended by ", e.EndedBy)
	for _, m := range [...]struct {
		name string
		m    *media
	}{{"caller", e.CallerMedia}, {"callee", e.CalleeMedia}} {
		if m.m != nil {
			b = append(append(append(b, "\n    "...), m.name...), " wants "...)
			b = m.m.line(b)
		}
	}
	for _, a := range [...][2]string{{"caller", e.CallerAgent}, {"callee", e.CalleeAgent}} {
		if a[1] != "" {
			b = append(append(append(append(b, "\n    "...), a[0]...), " calls itself "...), a[1]...)
		}
	}
	var notes []byte
	note := func(yes bool, format string, args ...any) {
		if yes {
			if len(notes) > 0 {
				notes = append(notes, ", "...)
			}
			notes = fmt.Appendf(notes, format, args...)
		}
	}
	note(e.Verified, "both ends took part")
	note(e.Midway, "its beginning was not seen")
	note(e.OneWay != "", "only the %s's packets were seen", e.OneWay)
	note(e.Retransmits > 0, "%s", plural(int(e.Retransmits), "retransmission"))
	note(e.Reinvites > 0, "%s", plural(int(e.Reinvites), "re-INVITE"))
	note(e.Refers > 0, "%s", plural(int(e.Refers), "REFER"))
	note(e.Holds > 0, "%s", plural(int(e.Holds), "hold"))
	note(e.Forks > 0, "%s", plural(int(e.Forks), "more fork"))
	note(e.Timer > 0, "session timer %d s", e.Timer)
	note(e.Replaces > 0, "takes over call %d", e.Replaces)
	note(e.Video, "video")
	note(e.Fax, "fax (T.38)")
	if len(notes) > 0 {
		b = append(append(b, "\n    "...), notes...)
	}
	for _, s := range e.Streams {
		who := "callee"
		if s.FromCaller != nil && *s.FromCaller {
			who = "caller"
		}
		b = append(append(append(b, "\n    "...), who...), " sent "...)
		b = s.line(b)
	}
	return b
}

// record is one fact from a gateway's own protocol.
type record struct {
	Kind      string `json:"kind"`
	Time      string `json:"time"`
	Src       string `json:"src"`
	Dst       string `json:"dst"`
	Transport string `json:"transport"`
	Protocol  string `json:"protocol"`
	Vendor    string `json:"vendor,omitempty"`
	Record    string `json:"record"`
	Sender    string `json:"sender"`
	Sound     bool   `json:"sound"`
	Reply     bool   `json:"reply,omitempty"`
	Channel   uint32 `json:"channel,omitempty"`
	IMSI      string `json:"imsi,omitempty"`
	IMEI      string `json:"imei,omitempty"`
	ICCID     string `json:"iccid,omitempty"`
	Number    string `json:"number,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Authority string `json:"authority,omitempty"`

	ns int64
}

func (e *record) text(b []byte) []byte {
	b = append(append(append(b, clock(e.ns)...), "  "...), e.Src...)
	b = append(append(append(append(b, " > "...), e.Dst...), ' '), e.Transport...)
	b = append(append(append(append(b, "  "...), e.Protocol...), ' '), e.Record...)
	b = append(append(b, " from "...), e.Sender...)
	if e.Reply {
		b = append(b, " (reply)"...)
	}
	b = identities(b, e.IMSI, e.IMEI, e.ICCID, e.Number)
	b = field(b, "  for ", e.Recipient)
	b = field(b, "  ", e.Detail)
	if !e.Sound && e.Record != kind(control.Mark) {
		b = append(b, "  unsound"...)
	}
	return b
}

// registration is one refresh, refusal or removal.
type registration struct {
	Kind      string  `json:"kind"`
	Time      string  `json:"time"`
	Account   string  `json:"account,omitempty"`
	Client    string  `json:"client"`
	Registrar string  `json:"registrar"`
	Contact   string  `json:"contact,omitempty"`
	Expires   int64   `json:"expires"`
	Requests  uint32  `json:"requests"`
	Accepted  uint32  `json:"accepted"`
	Refused   uint32  `json:"refused,omitempty"`
	Interval  float64 `json:"interval_s,omitempty"`
	Removed   bool    `json:"removed,omitempty"`
	Agent     string  `json:"user_agent,omitempty"`
	Authority string  `json:"authority,omitempty"`

	ns int64
}

func (e *registration) text(b []byte) []byte {
	b = append(append(append(b, clock(e.ns)...), "  "...), e.Client...)
	b = append(append(b, " > "...), e.Registrar...)
	b = field(b, "  account ", e.Account)
	if e.Removed {
		b = append(b, "  removed"...)
	}
	b = field(b, "  contact ", e.Contact)
	b = fmt.Appendf(b, "  %d asked, %d accepted, %d refused, for %d s", e.Requests, e.Accepted, e.Refused, e.Expires)
	if e.Interval > 0 {
		b = fmt.Appendf(b, ", after %.0f s", e.Interval)
	}
	return field(b, "  agent ", e.Agent)
}
