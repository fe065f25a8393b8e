package control

import (
	"bytes"

	"simtrap/ident"
)

// The manager interface of Asterisk as GSM gateways of Yeastar and OpenVox
// speak it: TCP, lines of "Name: value", the gateway being the server. Of
// Asterisk's own messages nothing is read, since any office exchange has them;
// what only gateways say is
//
//	Action: smscommand            (Yeastar; OpenVox says Command)
//	command: gsm send sms 2 … 	  also: gsm show spans, gsm show span 2, gsm send ussd
//
//	GSM span 2: Power on, Provisioned, Up, Active,Standard
//	--END COMMAND--
//
//	Event: ReceivedSMS            and UpdateSMSSend
//	Privilege: all,smscommand
//	GsmSpan: 2
//	Recvtime: 2026-03-25 17:20:48
//	Content: …
//	--END SMS EVENT--
//
// Of a command its name and the span are read, of an event everything but who
// wrote and what. Lines that hold either are stepped over. Logins are not read.

// GSMAMI names the protocol, as in Record.Protocol.
const GSMAMI = "gsm-ami"

func gsmAMI() reader {
	return reader{
		Protocol: Protocol{
			Name:       GSMAMI,
			Doc:        "the GSM part of the manager interface of Asterisk-based gateways: states and identities of spans, messages received and sent, commands; TCP, any port",
			Vendor:     "Yeastar, OpenVox",
			Server:     "sms-server",
			Source:     "research/gateways.md 2.6: output of a live gateway and several independent programs for it",
			Confidence: "verbatim in several sources for Yeastar; of OpenVox the command is, and what it answers is not known; everything else of the manager interface is Asterisk's and says nothing",
		},
		starts: []string{"Asterisk Call Manager/", "Action: ", "action: ", "Event: ReceivedSMS", "Event: UpdateSMSSend", "Response: Follows\r\nPrivilege: SMSCommand"},
		looks:  amiLooks,
		stream: func() streamReader { return &amiStream{} },
	}
}

// amiSpans is the highest span that is told apart.
const amiSpans = 64

// amiLine is the most of a line that is looked at.
const amiLine = 256

type amiStream struct {
	event   amiEvent
	granted bool // "Privilege: all,smscommand"
	timed   bool // a time that is one, or a status
	span    uint32
	action  bool   // "Action: smscommand" or "Action: Command" came just before
	digest  uint64 // of the message at hand

	// Spans of the list that is being told.
	spans  [amiSpans]bool
	listed bool
	detail Record // of "gsm show span"
	inside bool   // between "D-channel:" and the end of the answer
	long   bool   // the rest of a line is passed over
}

type amiEvent uint8

const (
	amiNone amiEvent = iota
	amiReceived
	amiSent
)

// amiLooks says whether b begins with something that a gateway's manager
// interface says, or with a greeting behind which that may come.
func amiLooks(b []byte) bool {
	switch b[0] {
	case 'A', 'a':
		if bytes.HasPrefix(b, []byte("Asterisk Call Manager/")) {
			return true
		}
		v, ok := amiValue(b, "Action")
		return ok && len(v) >= 10 && spelled(v[:10], "smscommand")
	case 'E':
		return bytes.HasPrefix(b, []byte("Event: ReceivedSMS\r\n")) || bytes.HasPrefix(b, []byte("Event: UpdateSMSSend\r\n"))
	case 'R':
		return bytes.HasPrefix(b, []byte("Response: Follows\r\nPrivilege: SMSCommand\r\n"))
	}
	return false
}

// amiValue gives what follows name and a colon.
func amiValue(b []byte, name string) ([]byte, bool) {
	if len(b) <= len(name) || b[len(name)] != ':' || !spelled(b[:len(name)], name) {
		return nil, false
	}
	return bytes.TrimLeft(b[len(name)+1:], " "), true
}

// line takes one line without its end, or as much of a long one as is held.
func (a *amiStream) line(b []byte, emit func(*Record)) (known bool) {
	action := a.action
	a.action = false
	switch {
	case len(b) == 0:
		return true
	case bytes.HasPrefix(b, []byte("Asterisk Call Manager/")):
		return true
	case b[0] == '-':
		return a.end(b, emit)
	}
	if v, ok := amiValue(b, "Action"); ok {
		a.action = spelled(v, "smscommand") || spelled(v, "Command")
		return a.action
	}
	if v, ok := amiValue(b, "command"); ok {
		return action && a.command(v, emit)
	}
	if v, ok := amiValue(b, "ActionID"); ok {
		a.action = action
		return len(v) > 0
	}
	if v, ok := amiValue(b, "Event"); ok {
		a.event, a.granted, a.timed, a.span = amiNone, false, false, 0
		switch string(v) {
		case "ReceivedSMS":
			a.event = amiReceived
		case "UpdateSMSSend":
			a.event = amiSent
		}
		a.digest = ident.Hash(7, v)
		return a.event != amiNone
	}
	if a.event != amiNone {
		return a.field(b)
	}
	return a.answer(b)
}

// field reads a line of an event.
func (a *amiStream) field(b []byte) bool {
	name, v, ok := bytes.Cut(b, []byte{':'})
	if !ok {
		return false
	}
	v = bytes.TrimLeft(v, " ")
	switch string(name) {
	case "Privilege":
		a.granted = string(v) == "all,smscommand"
	case "GsmSpan", "GsmPort":
		a.span = amiSpan(v)
	case "Recvtime":
		a.timed = amiTime(v)
	case "Status":
		a.timed = len(v) == 1 && (v[0] == '0' || v[0] == '1')
	case "Sender", "Content":
		return true // not even for the digest
	}
	a.digest = ident.Hash(a.digest, b)
	return true
}

// end takes a line that ends an event or an answer.
func (a *amiStream) end(b []byte, emit func(*Record)) bool {
	r := Record{Protocol: GSMAMI, Sender: RoleGateway, Kind: Event}
	switch {
	case string(b) == "--END SMS EVENT--" && a.event != amiNone:
		r.Channel, r.Digest = a.span, a.digest
		r.Sound = a.granted && a.timed && (a.span != 0 || a.event == amiSent)
		a.event = amiNone
		emit(&r)
		return true
	case string(b) != "--END COMMAND--":
		return false
	}
	r.Kind, r.Reply, r.Sound, r.Exchange = Keepalive, true, true, exchange("ami", 0)
	if a.inside {
		a.inside = false
		d := a.detail
		d.Protocol, d.Sender, d.Kind, d.Reply, d.Exchange = r.Protocol, r.Sender, Identity, true, r.Exchange
		d.Digest = a.digest
		emit(&d)
	}
	if a.listed {
		a.listed = false
		r.Digest = a.digest
		for i, is := range a.spans {
			if is {
				port := r
				port.Channel = uint32(i)
				emit(&port)
			}
		}
		a.spans = [amiSpans]bool{}
	}
	return true
}

// answer reads a line of an answer to "gsm show spans" or "gsm show span".
func (a *amiStream) answer(b []byte) bool {
	// The first line may stand behind a number or a word and a colon.
	if i := bytes.Index(b[:min(len(b), 24)], []byte("GSM span ")); i >= 0 {
		n, state, ok := bytes.Cut(b[i+9:], []byte{':'})
		span := amiSpan(n)
		if !ok || span == 0 || span >= amiSpans || !amiState(state) {
			return false
		}
		if !a.listed {
			a.listed, a.digest = true, 8
		}
		a.spans[span] = true
		a.digest = ident.Hash(a.digest, b)
		return true
	}
	if v, ok := amiValue(b, "D-channel"); ok {
		span := amiSpan(v)
		a.inside, a.detail = span != 0 && span < amiSpans, Record{Channel: span}
		a.digest = ident.Hash(9, v)
		return a.inside
	}
	if v, ok := amiValue(b, "Response"); ok {
		return string(v) == "Follows"
	}
	if v, ok := amiValue(b, "Privilege"); ok {
		return spelled(v, "SMSCommand")
	}
	if !a.inside {
		return false
	}
	if v, ok := amiValue(b, "Status"); ok {
		// With nothing known of the module's state nothing is sound.
		a.detail.Sound = amiState(v)
		return true
	}
	var ok bool
	if v, is := amiValue(b, "Model IMEI"); is {
		if ok = zeros(v); !ok && len(v) == 15 {
			a.detail.IMEI, ok = ident.NewIMEI(v)
		}
	} else if v, is := amiValue(b, "SIM IMSI"); is {
		if ok = zeros(v); !ok && plausible(v) {
			a.detail.IMSI, ok = ident.NewIMSI(v)
		}
	} else {
		return bytes.IndexByte(b, ':') > 0
	}
	a.detail.Sound = a.detail.Sound && ok
	a.digest = ident.Hash(a.digest, b)
	return true
}

// command reads the beginning of a command to the GSM part.
func (a *amiStream) command(v []byte, emit func(*Record)) bool {
	v, ok := bytes.CutPrefix(v, []byte("gsm "))
	if !ok {
		return false
	}
	r := Record{Protocol: GSMAMI, Sender: RoleServer, Kind: Command, Sound: true, Exchange: exchange("ami", 0)}
	switch {
	case bytes.HasPrefix(v, []byte("show spans")):
	case bytes.HasPrefix(v, []byte("show span ")):
		r.Channel = amiSpan(v[len("show span "):])
	case bytes.HasPrefix(v, []byte("send sms ")):
		r.Channel = amiSpan(v[len("send sms "):])
	case bytes.HasPrefix(v, []byte("send ussd ")):
		r.Channel = amiSpan(v[len("send ussd "):])
	default:
		return false
	}
	r.Digest = ident.Hash(10, v[:min(len(v), 12)])
	emit(&r)
	return true
}

// amiSpan reads a number below 1000 at the beginning of b; 0 when there is none.
func amiSpan(b []byte) (n uint32) {
	b = bytes.TrimLeft(b, " ")
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		n = n*10 + uint32(b[i]-'0')
		if i > 2 {
			return 0
		}
	}
	if i < len(b) && b[i] != ' ' && b[i] != '\r' {
		return 0
	}
	return n
}

// amiState knows the words of a span's state, which begins with the power.
func amiState(b []byte) bool {
	b = bytes.TrimLeft(b, " ")
	power, rest, ok := bytes.Cut(b, []byte{','})
	switch string(power) {
	case "Power on", "Power off", "PowerOn", "PowerOff":
	default:
		return false
	}
	for n := 0; ok; n++ {
		var word []byte
		word, rest, ok = bytes.Cut(bytes.TrimLeft(rest, " "), []byte{','})
		switch string(bytes.TrimRight(word, " \r")) {
		case "Up", "Down", "Active", "Inactive", "Standard", "Provisioned", "Undetected SIM Card", "Unknown":
		default:
			return false
		}
		if n > 8 {
			return false
		}
	}
	return true
}

// amiTime checks "2026-03-25 17:20:48".
func amiTime(b []byte) bool {
	const form = "0000-00-00 00:00:00"
	if len(b) != len(form) {
		return false
	}
	for i, c := range b {
		if form[i] == '0' && (c < '0' || c > '9') || form[i] != '0' && c != form[i] {
			return false
		}
	}
	return true
}

// amiWords are the beginnings of lines of interest.
var amiWords = [...]string{
	"Asterisk Call Manager/", "Action: ", "action: ", "Command: ", "command: ", "Event: ReceivedSMS", "Event: UpdateSMSSend",
	"Response: Follows", "Privilege: SMSCommand", "GSM span ", "D-channel: ", "--END COMMAND--",
}

func (a *amiStream) begins(b []byte) bool {
	if a.long || a.event != amiNone || a.inside || a.listed || a.action {
		return true // in the middle of a message
	}
	return amiBegins(b)
}

func amiBegins(b []byte) bool {
	for _, w := range amiWords {
		n := min(len(b), len(w))
		if string(b[:n]) == w[:n] {
			return true
		}
	}
	return false
}

// step reads a line; see streamReader. Of a line that is too long to be held
// the beginning is enough.
func (a *amiStream) step(b []byte, first, last bool, now int64, emit func(*Record)) (done, want, skip int) {
	if first {
		if *a = (amiStream{}); !amiBegins(b) {
			return 0, 0, 0
		}
	}
	if a.long {
		i := bytes.IndexByte(b, '\n')
		a.long = i < 0
		if a.long {
			return len(b), 0, 0
		}
		return i + 1, 0, 0
	}
	b = b[:min(len(b), amiLine)]
	i := bytes.IndexByte(b, '\n')
	switch {
	case i >= 0:
		b, done = bytes.TrimSuffix(b[:i], []byte{'\r'}), i+1
	case len(b) < amiLine && !bytes.HasPrefix(b, []byte("Content:")):
		return 0, amiLine, 0
	default:
		done = len(b)
	}
	if !a.line(b, emit) {
		return 0, 0, 0
	}
	a.long = i < 0
	return done, 0, 0
}
