package evidence

import (
	"net/netip"
	"strconv"

	"simtrap/ident"
	"simtrap/packet"
	"simtrap/sip"
)

// rewriter writes SIP messages anew from what package sip understood of them, so
// that nothing of the original is kept by oversight: what is not named here is not
// written. Numbers, accounts, host names, tags, branches, the identity of calls and the
// maker's banner are pseudonyms, equal where they were equal. Addresses stay
// where they are public or the packet's own.
type rewriter struct {
	names    *ident.Pseudonymizer
	src, dst ident.Addr
	lines    [][]byte // of the head, in the order of the message
}

// message gives a message of at most room bytes, nil when the kind of message is
// unknown or there is no room to say what it is. What does not fit is left out, the
// least important first.
func (w *rewriter) message(m *sip.Message, p *packet.Packet, room int) []byte {
	method := methodName(m.Method)
	if method == "" || m.Status != 0 && (m.Status < 100 || m.Status > 699) {
		return nil
	}
	w.src, w.dst, w.lines = p.Src, p.Dst, w.lines[:0]
	const noBody = "l: 0\r\n\r\n"
	room -= len(noBody)
	add := func(line string) bool {
		if line == "" || len(line)+2 > room {
			return false
		}
		room -= len(line) + 2
		w.lines = append(w.lines, []byte(line+"\r\n"))
		return true
	}
	first := method + " " + w.uri(m.URIUser, m.URIHost, 0) + " SIP/2.0"
	if m.Status != 0 {
		first = "SIP/2.0 " + strconv.Itoa(int(m.Status)) + " -"
	}
	if !add(first) || !add(w.known("i: ", "call-id", m.CallID)) {
		return nil
	}
	add("CSeq: " + strconv.FormatUint(uint64(m.CSeq), 10) + " " + method)
	add(w.party("f: ", &m.From))
	add(w.party("t: ", &m.To))
	if len(m.ViaHost) > 0 {
		proto := "UDP "
		if p.Proto == packet.TCP {
			proto = "TCP "
		}
		add("v: SIP/2.0/" + proto + w.hostPort(m.ViaHost, m.ViaPort) + w.known(";branch=z9hG4bK", "branch", m.Branch))
	}
	body := w.description(&m.SDP)
	if n := len("c: application/sdp\r\n") + len(strconv.Itoa(len(body))) - 1 + len(body); body != "" && n <= room {
		room -= n
	} else {
		body = ""
	}
	if m.Contacts > 0 && len(m.Contact.Host) > 0 {
		add("m: <" + w.uri(m.Contact.User, m.Contact.Host, m.Contact.Port) + ">")
	}
	if m.Expires >= 0 {
		add("Expires: " + strconv.FormatInt(m.Expires, 10))
	}
	if m.SessionExpires > 0 {
		add("x: " + strconv.FormatUint(uint64(m.SessionExpires), 10))
	}
	if len(m.PAI) > 0 {
		add("P-Asserted-Identity: <" + w.uri(m.PAI, nil, 0) + ">")
	}
	if len(m.UserAgent) > 0 {
		name := "User-Agent: "
		if m.Status != 0 {
			name = "Server: "
		}
		add(w.known(name, "agent", m.UserAgent))
	}

	var out []byte
	for _, l := range w.lines {
		out = append(out, l...)
	}
	if body == "" {
		return append(out, noBody...)
	}
	out = append(out, "c: application/sdp\r\nl: "...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	return append(append(out, "\r\n\r\n"...), body...)
}

// known writes a pseudonym behind its name, nothing where there is none.
func (w *rewriter) known(name, kind string, b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return name + w.names.Text(kind, string(b))
}

func (w *rewriter) party(name string, a *sip.NameAddr) string {
	if len(a.User) == 0 && len(a.Host) == 0 {
		return ""
	}
	return name + "<" + w.uri(a.User, a.Host, 0) + ">" + w.known(";tag=", "tag", a.Tag)
}

func (w *rewriter) uri(user, host []byte, port uint16) string {
	s := "sip:"
	if len(user) > 0 {
		if dialled(user) {
			s += w.names.Number("", ident.NewNumber(user))
		} else {
			s += w.names.Account(ident.NewAccount(user))
		}
		s += "@"
	}
	if len(host) == 0 {
		host = []byte("0.0.0.0") // a tel URI has none
	}
	return s + w.hostPort(host, port)
}

// dialled says whether a user part is a telephone number.
func dialled(user []byte) bool {
	for i, c := range user {
		if (c < '0' || c > '9') && !(c == '+' && i == 0) && c != '*' && c != '#' {
			return false
		}
	}
	return true
}

func (w *rewriter) hostPort(host []byte, port uint16) string {
	s := w.host(host)
	if port != 0 {
		s += ":" + strconv.Itoa(int(port))
	}
	return s
}

func (w *rewriter) host(host []byte) string {
	b := host
	if n := len(b); n > 2 && b[0] == '[' && b[n-1] == ']' {
		b = b[1 : n-1]
	}
	a, ok := ident.ParseAddr(b)
	if !ok {
		return w.names.Text("host", string(host))
	}
	s := w.addr(a)
	if s != "" && s[0] != '~' && !a.Is4() {
		s = "[" + s + "]"
	}
	return s
}

// addr writes an address: one behind a NAT tells of a home what the packet does
// not.
func (w *rewriter) addr(a ident.Addr) string {
	if own := a == w.src || a == w.dst || a.IsZero() || a.Netip() == netip.IPv4Unspecified(); !own && (a.Private() || !a.Netip().IsGlobalUnicast()) {
		return w.names.Text("host", a.String())
	}
	return a.String()
}

// description writes a session description anew: the audio and image lines,
// where they want it, and how it is coded.
func (w *rewriter) description(s *sip.SDP) string {
	if !s.Present {
		return ""
	}
	b := "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
	for i := range min(s.N, len(s.Audio)) {
		a := &s.Audio[i]
		b += "m=audio " + strconv.Itoa(int(a.Port))
		if a.Secure {
			b += " RTP/SAVP"
		} else {
			b += " RTP/AVP"
		}
		n := min(a.N, len(a.Formats))
		for _, f := range a.Formats[:n] {
			b += " " + strconv.Itoa(int(f.PT))
		}
		b += "\r\n"
		if !a.Addr.IsZero() {
			b += w.connection(a.Addr)
		}
		for i, f := range a.Formats[:n] {
			if name := encodingName(a.Encodings[i]); name != "" && f.Rate > 0 {
				b += "a=rtpmap:" + strconv.Itoa(int(f.PT)) + " " + name + "/" + strconv.FormatUint(uint64(f.Rate), 10) + "\r\n"
			}
		}
		if a.Ptime > 0 {
			b += "a=ptime:" + strconv.Itoa(int(a.Ptime)) + "\r\n"
		}
		if a.RTCPPort > 0 {
			b += "a=rtcp:" + strconv.Itoa(int(a.RTCPPort)) + "\r\n"
		}
		if d := [...]string{"", "sendonly", "recvonly", "inactive"}[min(a.Direction, sip.Inactive)]; d != "" {
			b += "a=" + d + "\r\n"
		}
	}
	if s.Image.Port > 0 {
		b += "m=image " + strconv.Itoa(int(s.Image.Port)) + " udptl t38\r\n"
		if !s.Image.Addr.IsZero() {
			b += w.connection(s.Image.Addr)
		}
	}
	return b
}

func (w *rewriter) connection(a ident.Addr) string {
	version := "IP4 "
	if !a.Is4() {
		version = "IP6 "
	}
	return "c=IN " + version + w.addr(a) + "\r\n"
}

func methodName(m sip.Method) string {
	switch m {
	case sip.INVITE:
		return "INVITE"
	case sip.ACK:
		return "ACK"
	case sip.BYE:
		return "BYE"
	case sip.CANCEL:
		return "CANCEL"
	case sip.REGISTER:
		return "REGISTER"
	case sip.OPTIONS:
		return "OPTIONS"
	case sip.INFO:
		return "INFO"
	case sip.PRACK:
		return "PRACK"
	case sip.UPDATE:
		return "UPDATE"
	case sip.SUBSCRIBE:
		return "SUBSCRIBE"
	case sip.NOTIFY:
		return "NOTIFY"
	case sip.REFER:
		return "REFER"
	case sip.MESSAGE:
		return "MESSAGE"
	case sip.PUBLISH:
		return "PUBLISH"
	}
	return ""
}

func encodingName(e sip.Encoding) string {
	switch e {
	case sip.EncodingPCMU:
		return "PCMU"
	case sip.EncodingPCMA:
		return "PCMA"
	case sip.EncodingG729:
		return "G729"
	case sip.EncodingG723:
		return "G723"
	case sip.EncodingGSM:
		return "GSM"
	case sip.EncodingEFR:
		return "GSM-EFR"
	case sip.EncodingILBC:
		return "iLBC"
	case sip.EncodingG722:
		return "G722"
	case sip.EncodingAMR:
		return "AMR"
	case sip.EncodingAMRWB:
		return "AMR-WB"
	case sip.EncodingEVS:
		return "EVS"
	case sip.EncodingOpus:
		return "opus"
	case sip.EncodingEvent:
		return "telephone-event"
	case sip.EncodingNoise:
		return "CN"
	}
	return ""
}
