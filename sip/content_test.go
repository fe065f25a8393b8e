package sip

import (
	"strings"
	"testing"

	"simtrap/ident"
)

func TestKind(t *testing.T) {
	const camera = "v=0\no=34020000001320000001 0 0 IN IP4 192.0.2.1\ns=Play\nc=IN IP4 192.0.2.1\nt=0 0\nm=video 6000 RTP/AVP 96\na=recvonly\na=rtpmap:96 PS/90000\ny=0100000001\nf=\n"
	const phone = "v=0\no=1001 0 0 IN IP4 192.0.2.1\ns=Play\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 6000 RTP/AVP 8\n"
	for _, c := range []struct {
		name, kind, body string
		want             Content
	}{
		{"none", "", "", ContentNone},
		{"a type and no body", "text/plain", "", ContentNone},
		{"sdp", "application/sdp", phone, ContentSDP},
		{"sdp without a type", "", phone, ContentSDP},
		{"sdp in a multipart", "multipart/mixed;boundary=b", "--b\nContent-Type: application/sdp\n\n" + phone + "--b--\n", ContentSDP},
		{"a multipart without one", "multipart/mixed;boundary=b", "--b\nContent-Type: application/pidf+xml\n\n<x/>\n--b--\n", ContentOther},
		{"what says it is sdp and is not", "application/sdp", "hello\n", ContentSDP},
		{"text", "text/plain;charset=utf-8", "8613812345678\n", ContentText},
		{"text in capitals, blanks", "TEXT/PLAIN ; charset=gb2312", "x\n", ContentText},
		{"text in an envelope", "message/cpim", "From: x\n\nx\n", ContentText},
		{"a delivery report", "message/imdn+xml", "<imdn/>\n", ContentOther},
		{"typing", "application/im-iscomposing+xml", "<x/>\n", ContentOther},
		{"text/plainer", "text/plainer", "x\n", ContentOther},
		{"camera platform", "Application/MANSCDP+xml", "<Notify/>\n", ContentMANSCDP},
		{"playback of a camera", "Application/MANSRTSP", "PAUSE RTSP/1.0\n", ContentMANSCDP},
		{"other xml", "application/xml", "<x/>\n", ContentOther},
		{"digits", "application/dtmf-relay", "Signal=5\n", ContentDTMF},
		{"a digit", "application/dtmf", "5", ContentDTMF},
		{"unnamed", "", "x\n", ContentOther},
		{"a camera's stream", "APPLICATION/SDP", camera, ContentMANSCDP},
		{"its recording", "application/sdp", strings.Replace(camera, "s=Play", "s=Playback", 1), ContentMANSCDP},
		{"its download", "application/sdp", strings.Replace(camera, "s=Play", "s=Download", 1), ContentMANSCDP},
		{"a call from a camera's number", "application/sdp", strings.Replace(camera, "s=Play", "s=call", 1), ContentSDP},
		{"19 digits", "application/sdp", strings.Replace(camera, "o=3", "o=", 1), ContentSDP},
		{"21 digits", "application/sdp", strings.Replace(camera, "o=3", "o=33", 1), ContentSDP},
		{"no digits", "application/sdp", strings.Replace(camera, "o=3", "o=x", 1), ContentSDP},
	} {
		var m Message
		head := plainStart + plain("")
		if c.kind != "" {
			head += "Content-Type: " + c.kind + "\n"
		}
		if err := Parse(withLength(head, c.body), &m); err != nil {
			t.Fatal(err)
		}
		if got := m.Kind(); got != c.want {
			t.Errorf("%s: kind %d, want %d", c.name, got, c.want)
		}
	}
	// The device may be named outside the description only.
	other := strings.Replace(camera, "34020000001320000001", "-", 1)
	var m Message
	text := withLength(strings.Replace(plainStart, "bob", "34020000001320000001", 1)+plain("")+"Content-Type: application/sdp\n", other)
	if err := Parse(text, &m); err != nil || m.Kind() != ContentMANSCDP {
		t.Errorf("%v, %q: kind %d, want a camera's", err, m.URIUser, m.Kind())
	}
	// Cut by a snap length, the type is all there is.
	cut := Message{ContentLength: 20, ContentType: []byte("text/plain")}
	if got := cut.Kind(); got != ContentText {
		t.Errorf("cut: kind %d", got)
	}
}

func TestRequestFields(t *testing.T) {
	none, number := ident.NumberUnknown, ident.NumberMobile
	for _, c := range []struct {
		name, step string
		pack       EventPackage
		content    Content
		class      ident.NumberClass
		keyed      bool
	}{
		{"options", "OPTIONS", PackageNone, ContentNone, none, false},
		{"text to a number", "MESSAGE uri=13812345678 type=text/plain body=13900001111|hello", PackageNone, ContentText, number, true},
		{"text by To", "MESSAGE uri= to=13812345678 type=text/plain body=x", PackageNone, ContentText, number, true},
		{"called*calling", "MESSAGE uri=13812345678*13900001111 type=text/plain body=x", PackageNone, ContentText, number, true},
		{"camera", "MESSAGE uri=34020000002000000001 type=Application/MANSCDP+xml body=<x/>", PackageNone, ContentMANSCDP, none, true},
		{"busy lamp", "SUBSCRIBE head=Event:_dialog;sla", PackageDialog, ContentNone, none, false},
		{"busy lamp, compact", "SUBSCRIBE head=o:dialog", PackageDialog, ContentNone, none, false},
		{"waiting messages", "NOTIFY head=Event:_Message-Summary type=application/simple-message-summary body=x", PackageSummary, ContentOther, none, false},
		{"presence", "PUBLISH head=Event:_presence type=application/pidf+xml body=<x/>", PackagePresence, ContentOther, none, false},
		{"watchers", "SUBSCRIBE head=Event:_presence.winfo", PackagePresence, ContentNone, none, false},
		{"registrations", "SUBSCRIBE head=Event:_reg", PackageReg, ContentNone, none, false},
		{"transfer", "NOTIFY head=Event:_refer;id=2 type=message/sipfrag body=x", PackageRefer, ContentOther, none, false},
		{"keep-alive", "NOTIFY head=Event:_keep-alive", PackageKeepalive, ContentNone, none, false},
		{"another package", "SUBSCRIBE head=Event:_as-feature-event", PackageOther, ContentNone, none, false},
		{"no package", "NOTIFY", PackageNone, ContentNone, none, false},
		{"a package where none belongs", "OPTIONS head=Event:_dialog", PackageNone, ContentNone, none, false},
		{"digits", "INFO type=application/dtmf-relay body=Signal=5", PackageNone, ContentDTMF, none, false},
		{"a transfer outside calls", "REFER uri=13812345678", PackageNone, ContentNone, none, false},
	} {
		r, tr := play(t, Config{}, "1 A:5070>B "+c.step)
		tr.Flush()
		if len(r.asked) != 1 {
			t.Fatalf("%s: %d requests", c.name, len(r.asked))
		}
		q := r.asked[0]
		if q.Package != c.pack || q.Content != c.content || q.TargetClass != c.class || (q.TargetKey != 0) != c.keyed {
			t.Errorf("%s: %+v", c.name, q)
		}
		if q.Seen != SeenRequest || q.Time != at(1) || q.From != hosts("A:5070") || q.To != hosts("B") || q.Status != 0 {
			t.Errorf("%s: %+v", c.name, q)
		}
	}
}

func TestRequestSeen(t *testing.T) {
	r, tr := play(t, Config{}, `
		1    A>B MESSAGE     id=both type=text/plain body=x
		40   B>A 202/MESSAGE id=both
		50   B>A 200/MESSAGE id=answer to=13812345678
		60   A>B MESSAGE     id=answer type=text/plain body=x`)
	tr.Flush()
	if len(r.asked) != 2 {
		t.Fatalf("%d requests", len(r.asked))
	}
	if q := r.asked[0]; q.Seen != both || q.Status != 202 || q.Time != at(1) {
		t.Errorf("%+v", q)
	}
	q := r.asked[1]
	if q.Seen != SeenResponse || q.Status != 200 || q.Time != at(50) || q.From != hosts("A") || q.TargetKey == 0 || q.Content != ContentNone {
		t.Errorf("%+v", q)
	}
	if q.TargetKey != r.asked[0].TargetKey {
		t.Error("one target, two keys")
	}
}

// A message to a registered account has the account's key, as a call has.
func TestMessageToOwnAccount(t *testing.T) {
	r, _ := play(t, Config{}, `
		1   A>B REGISTER     to=goip01 contact=x7f3@10.0.0.5:5060
		20  B>A 200/REGISTER to=goip01 contact=x7f3@10.0.0.5:5060
		30  B>A MESSAGE      id=m uri=x7f3 to=elsewhere
		40  A>B 200/MESSAGE  id=m
		50  B>A MESSAGE      id=n uri=x7f3 to=13812345678
		60  A>B 200/MESSAGE  id=n`)
	if len(r.asked) != 2 || r.asked[0].TargetKey != r.regs[0].UserKey {
		t.Errorf("a message to the account: %+v", r.asked)
	}
	if q := r.asked[1]; q.TargetKey == r.regs[0].UserKey || q.TargetClass != ident.NumberMobile {
		t.Errorf("a message through the account: %+v", q)
	}
}

func TestBeforeStar(t *testing.T) {
	for in, want := range map[string]string{
		"13812345678*13900001111":   "13812345678",
		"+8613812345678*+442079460": "+8613812345678",
		"13812345678*anonymous":     "13812345678*anonymous",
		"99*13812345678":            "99*13812345678",
		"17951*13812345678":         "17951*13812345678",
		"*13812345678":              "*13812345678",
		"13812345678*":              "13812345678*",
		"13812345678*1*2":           "13812345678*1*2",
		"name*13812345678":          "name*13812345678",
		"13812345678":               "13812345678",
		"":                          "",
	} {
		if got := string(beforeStar([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
