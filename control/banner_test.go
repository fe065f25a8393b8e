package control

import "testing"

const (
	dinstarShell = "\xff\xfb\x01\xff\xfb\x03\xff\xfd\x18\r\nWelcome to Command Shell!\r\nUsername:"
	dinstarCloud = "\xff\xfd\x01\xff\xfd!\xff\xfb\x01\xff\xfb\x03Welcome to login the Cloud Server.\r\ndomain:"
	voiceBlue    = "[ M113 ]  B-02.54  VIP113  V-1.2  VB\r\n\r\nVB login:"
)

func TestBanner(t *testing.T) {
	for in, want := range map[string]string{
		dinstarShell: "Dinstar", dinstarCloud: "Dinstar", voiceBlue: "2N",
		"\xff\xfd\x01\xff\xfd\x1f\xff\xfd!\xff\xfb\x01\xff\xfb\x03\r\r\nLogin:":                            "", // GoIP and Green Packet
		"\xff\xfd\x01\xff\xfd\x1f\r\nBusyBox login: ":                                                      "",
		"\r\nWelcome to Command Shell!\r\nUsername:":                                                       "", // no options of telnet
		"\xff\xfb\x01 Welcome to Command Shell!\r\nUsername:":                                              "",
		"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x18\r\nWelcome to Command":                                       "",
		"[ M113 ]  B-02.54  VIP113  V-1.2  VB\r\n\r\nlogin: ":                                              "",
		"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13\r\n":                                                       "",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff": "",
		"": "",
	} {
		if maker, _ := bannerOf([]byte(in)); maker != want {
			t.Errorf("%q: %q", in, maker)
		}
	}
	if _, role := bannerOf([]byte(dinstarCloud)); role != RoleServer {
		t.Error("a cloud of cards is no gateway")
	}
}

func FuzzBanner(f *testing.F) {
	for _, s := range []string{dinstarShell, dinstarCloud, voiceBlue, "\xff\xfb\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if maker, role := bannerOf(b); (maker == "") != (role == RoleUnknown) || len(b) > 0 && bannerLooks(b) != (maker != "") {
			t.Fatalf("%q %v", maker, role)
		}
	})
}

// A greeting becomes a mark once the other end has said something too.
func TestBannerMarks(t *testing.T) {
	for greeting, want := range map[string]string{
		dinstarShell: "greets as Dinstar's gateways do",
		dinstarCloud: "greets as Dinstar's SIMCloud does",
		voiceBlue:    "greets as 2N's gateways do",
		"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"AddPac\"\r\nContent-Length: 0\r\n\r\n": "asks for a password as AddPac's gateways do",
	} {
		x := newTalk(t)
		w := way{gateway, server, 23, 40000, 6}
		if x.tcp(w, 0, []byte(greeting)); len(x.records) != 0 {
			t.Errorf("%q: told before the other end spoke", greeting)
		}
		x.tcp(w.back(), 1e6, []byte("admin\r\n"))
		if len(x.records) != 1 || x.records[0].Detail != want || x.records[0].Kind != Mark || x.records[0].Sound || x.records[0].Src != gateway {
			t.Errorf("%q: %+v", greeting, x.records)
		}
		x = newTalk(t)
		x.origin = OriginMiddle
		x.tcp(w, 0, []byte(greeting))
		x.tcp(w.back(), 1e6, []byte("admin\r\n"))
		if len(x.records) != 0 || x.set.Stats().Doubtful != 1 {
			t.Errorf("%q: told in the middle of a connection", greeting)
		}
	}
	// GoIP's pages, as far as its server names itself.
	page := func(server string) []turn {
		return []turn{{false, []byte("GET /default/en_US/send.html?u=admin&p=" + secret + "&l=1&n=10086&m=x HTTP/1.1\r\n\r\n")}, {true, []byte("HTTP/1.0 200 OK\r\nServer: " + server + "\r\nContent-Length: 2\r\n\r\nok")}}
	}
	if x := converse(t, 100, page("LibHTTPD")...); len(x.records) != 1 || x.records[0].Kind != Mark {
		t.Errorf("%+v", x.records)
	}
	if x := converse(t, 100, page("nginx")...); len(x.records) != 0 {
		t.Errorf("%+v", x.records)
	}
}
