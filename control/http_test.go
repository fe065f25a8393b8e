package control

import (
	"strings"
	"testing"
)

func TestHTTPLooks(t *testing.T) {
	const browser = "Host: example.org\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\n\r\n"
	for in, want := range map[string]bool{
		ejoinPull:                     true,
		string(httpPost(twoPorts(1))): true,
		string(boardGet("token=" + boardTokenHex + "&cmd=stat")):                                      true,
		"POST /goip_post_sms.html?username=root HTTP/1.1\r\n\r\n":                                     true,
		"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1a4\r\n{\"type\":\"dev-status\"":       true,
		"GET /default/en_US/status.html HTTP/1.1\r\n\r\n":                                             true,
		"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"AddPac\"\r\n\r\n":               true,
		"GET / HTTP/1.1\r\n" + browser:                                                                false,
		"GET /goip_get_status.htm HTTP/1.1\r\n" + browser:                                             false,
		"GET /a?b=/goip_get_status.html HTTP/1.1\r\n" + browser:                                       false,
		"GET /ctrl?token=1&cmd=stat HTTP/1.1\r\n" + browser:                                           false,
		"POST /api HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{\"type\":\"status\",\"seq\":1}": false,
		"POST /x HTTP/1.1\r\nContent-Length: 900\r\nContent-Type: application/json\r\n\r\n":           true,
		"POST /x HTTP/1.1\r\nContent-Length: 900\r\nContent-Type: text/plain\r\n\r\n":                 false,
		"POST /x HTTP/1.1\r\nContent-Length: 900\r\nContent-Type: application/json\r\n" + browser:     false,
		twoPorts(1): false,
		"POST /api HTTP/1.1\r\nContent-Type: application/json\r\n\r\n":                  false,
		"HTTP/1.1 200 OK\r\nServer: Boa/0.94.14rc21\r\n\r\n":                            false,
		"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"router\"\r\n\r\n": false,
		"{\"types\":\"dev-status\"":                                                     false,
		"GET /" + strings.Repeat("a", 2000):                                             false,
	} {
		if New().Looks([]byte(in)) != want {
			t.Errorf("%.60q: %v", in, !want)
		}
	}
	// What a browser and web servers say is not followed, and costs nothing.
	s := New()
	web := [][]byte{[]byte("GET /a/b/c.html?d=e HTTP/1.1\r\n" + browser), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + strings.Repeat("x", 1400)),
		[]byte("POST /login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nuser=name")}
	if n := testing.AllocsPerRun(100, func() {
		for _, b := range web {
			if s.Looks(b) {
				t.Fatalf("%.20q", b)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Nothing of a web site is kept: a stream that was followed by mistake gives up
// at its first 4 KiB.
func TestHTTPGivesUp(t *testing.T) {
	s := New()
	st := s.NewStream(nil)
	text := "GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n" + strings.Repeat("HTTP/1.1 200 OK\r\nX: y\r\n\r\n"+strings.Repeat("z", 500), 20)
	none := func(r *Record) { t.Errorf("%+v", r) }
	for i := 0; i < len(text); i += 100 {
		st.Push(up(1).tcp().packet(0, []byte(text[i:min(i+100, len(text))])), none)
	}
	if !st.Over() || s.held != 0 {
		t.Errorf("over %v, %d bytes held", st.Over(), s.held)
	}
}

func BenchmarkHTTPLooks(b *testing.B) {
	s := New()
	web := map[string][]byte{
		"GET":      []byte("GET /a/b/c.html?d=e HTTP/1.1\r\nHost: example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html\r\n\r\n"),
		"POST":     []byte("POST /login HTTP/1.1\r\nHost: example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nuser=name"),
		"response": []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + strings.Repeat("x", 1400)),
		"TLS":      []byte("\x17\x03\x03\x05\x78" + strings.Repeat("x", 1400)),
		"zeros":    make([]byte, 40),
		"RTP":      []byte("\x80\x08\x00\x01\x00\x00\x00\xa0\x12\x34\x56\x78" + strings.Repeat("\xd5", 160)),
	}
	for name, text := range web {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if s.Looks(text) {
					b.Fatal(name)
				}
			}
		})
	}
}

// The pieces a connection comes in make no difference, whatever it says.
func FuzzHTTP(f *testing.F) {
	f.Add([]byte(ejoinPull), httpOK(twoPorts(1)), uint8(9))
	f.Add(httpPost(twoPorts(1)), httpOK(`{"code":200}`), uint8(9))
	f.Add([]byte("POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"typ\r\n"), []byte("HTTP/1.1 100 Continue\r\n\r\n"), uint8(3))
	f.Add(boardGet("token="+boardTokenHex+"&cmd=teldial&p1=2"), httpOK(`{"code":0}`), uint8(1))
	f.Add([]byte(twoPorts(1)), []byte("HTTP/1.0 200 OK\r\n\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, asks, answers []byte, size uint8) {
		ask := func() *httpStream {
			h := &httpStream{}
			pieces(t, h, &httpStream{}, asks, int(size))
			return h
		}
		whole, cut := &httpStream{}, &httpStream{}
		whole.pair(ask())
		cut.pair(ask())
		pieces(t, whole, cut, answers, int(size))
		if whole.json.depth > jsonDepth || len(whole.message.cards) > ejoinCards {
			t.Fatal("limits")
		}
	})
}
