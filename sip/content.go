package sip

// Kind says what the body of m is, by its Content-Type: bodies are not read,
// except that a session description is told for a camera's by its words for
// streams (GB/T 28181 annex G). A body that a snap length cut off counts.
func (m *Message) Kind() Content {
	switch {
	case m.SDP.Present:
		if m.camera() {
			return ContentMANSCDP
		}
		return ContentSDP
	case len(m.Body) == 0 && m.ContentLength <= 0:
		return ContentNone
	}
	t := m.ContentType
	n := 0
	for n < len(t) && t[n] != ';' && t[n] != ',' && !in(t[n], blankSet) {
		n++
	}
	return contentOf(t[:n])
}

// contentOf names a media type, without its parameters.
func contentOf(t []byte) Content {
	for _, k := range [...]struct {
		name string
		is   Content
	}{
		{"application/sdp", ContentSDP},
		{"text/plain", ContentText},
		{"text/html", ContentText},
		{"message/cpim", ContentText},             // RFC 3862
		{"application/vnd.3gpp.sms", ContentText}, // 3GPP TS 24.341
		{"application/manscdp+xml", ContentMANSCDP},
		{"application/mansrtsp", ContentMANSCDP}, // how playback is steered
		{"application/dtmf-relay", ContentDTMF},
		{"application/dtmf", ContentDTMF},
		{"application/vnd.nortelnetworks.digits", ContentDTMF},
	} {
		if is(t, k.name) {
			return k.is
		}
	}
	return ContentOther
}

// camera says whether the session description of m is that of a camera platform:
// its name is what the stream is for, and an end of it is a device identity of
// 20 digits (GB/T 28181 annex D). Either alone may be anybody's.
func (m *Message) camera() bool {
	named := false
	switch s := trim(m.SDP.Name); len(s) {
	case 4:
		named = string(s) == "Play" || string(s) == "Talk"
	case 8:
		named = string(s) == "Playback" || string(s) == "Download"
	}
	return named && (deviceID(m.SDP.OriginUser) || deviceID(m.URIUser) || deviceID(m.To.User))
}

// deviceID says whether b is 20 digits.
func deviceID(b []byte) bool {
	_, n, _ := number(b, 1)
	return n == 20 && len(b) == 20
}

// packageOf names the event package of m (RFC 6665 section 8.2.1).
func packageOf(m *Message) EventPackage {
	switch m.Method {
	case SUBSCRIBE, NOTIFY, PUBLISH:
	default:
		return PackageNone
	}
	if len(m.Event) == 0 {
		return PackageNone
	}
	for _, k := range [...]struct {
		name string
		is   EventPackage
	}{
		{"dialog", PackageDialog},
		{"message-summary", PackageSummary},
		{"presence", PackagePresence},
		{"presence.winfo", PackagePresence},
		{"reg", PackageReg},
		{"refer", PackageRefer},
		{"keep-alive", PackageKeepalive},
	} {
		if is(m.Event, k.name) {
			return k.is
		}
	}
	return PackageOther
}
