package control

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// lookalikes are texts and packets of other protocols that begin or read like
// ours.
func lookalikes() map[string]string {
	rtp := "\x80\x08\x00\x01\x00\x00\x00\xa0\x12\x34\x56\x78" + strings.Repeat("\xd5", 160)
	return map[string]string{
		"SIP REGISTER":     "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\r\n",
		"SIP response":     "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\r\n",
		"SIP MESSAGE":      "MESSAGE sip:a@example.org SIP/2.0\r\nContent-Length: 5\r\n\r\nhello",
		"SIP keepalive":    "\r\n\r\n",
		"HTTP":             "GET /goip.html?req:27&path=/goip_get_status.html HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
		"HTTP response":    "HTTP/1.1 200 OK\r\n\r\nreg:27;status:0;",
		"syslog":           "<134>Nov 23 21:15:00 gw req:27;id:gw;pass:x;num:;signal:20;gsm_status:LOGIN;",
		"syslog of STATE":  "STATE: interface up",
		"memcached":        "set_key 0 0 5\r\nhello\r\n",
		"memcached get":    "get_status 5\r\n",
		"statsd":           "requests:27|c",
		"statsd of req":    "req:27|c",
		"metrics":          "req:27;id:a|g",
		"key and value":    "id:gw;req:27;pass:x;num:;signal:20;gsm_status:LOGIN;",
		"RECORD":           "RECORD:5;dir:1;num:100",
		"SMTP":             "DONE 250 ok\r\n",
		"FTP":              "PASS secret\r\n",
		"IRC":              "MSG #goip :hello\r\n",
		"game":             "STATE 5 running",
		"chat":             "SEND 5 me the file",
		"chat of OK":       "OK then",
		"TFTP error":       "ERROR",
		"NMEA":             "$GPGGA,211500,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
		"AT modem":         "AT:OK",
		"GSMTAP":           "\x02\x04\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xa0\xa4\x00\x00\x02\x3f\x00",
		"DNS":              "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01",
		"DNS with id 0":    "\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01",
		"NTP":              "\x1b" + strings.Repeat("\x00", 47),
		"zeros":            strings.Repeat("\x00", 200),
		"ones":             strings.Repeat("\xff", 200),
		"RTP":              rtp,
		"STUN":             "\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
		"STUN response":    "\x01\x01\x00\x0c\x21\x12\xa4\x42abcdefghijkl\x00\x20\x00\x08\x00\x01\x12\x34\x56\x78\x9a\xbc",
		"TLS":              "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + strings.Repeat("r", 190),
		"NetBIOS":          "\x00\x00\x00\x85\xffSMBr\x00\x00\x00\x00\x18\x53\xc8" + strings.Repeat("\x00", 120),
		"SMB2":             "\x00\x00\x00\x40\xfeSMB\x40\x00" + strings.Repeat("\x00", 58),
		"ESP keepalive":    "\xff",
		"IKE behind 4500":  "\x00\x00\x00\x00\x12\x34\x56\x78\x9a\xbc\xde\xf0" + strings.Repeat("\x00", 8) + "\x21\x20\x22\x08\x00\x00\x00\x00\x00\x00\x01\x00",
		"Modbus":           "\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x0a",
		"PostgreSQL":       "\x00\x00\x00\x08\x04\xd2\x16\x2f",
		"Kafka":            "\x00\x00\x00\x20\x00\x12\x00\x03\x00\x00\x00\x01\x00\x08consumer" + strings.Repeat("\x00", 20),
		"magic, other way": "\x43\x21\x56\x78" + strings.Repeat("\x01", 28),
		"x86 text":         "xV4\x12" + strings.Repeat("\x01", 28),
		"xV!":              "xV!" + strings.Repeat("C", 8),
	}
}

// Of other protocols nothing is read, neither from UDP nor from TCP, whole or
// in pieces, alone or one behind the other.
func TestLookalikes(t *testing.T) {
	for name, text := range lookalikes() {
		t.Run(name, func(t *testing.T) {
			none := func(r *Record) { t.Errorf("%+v", r) }
			New().UDP(up(1).packet(0, []byte(text)), none)
			for n := range len(text) {
				New().UDP(up(1).packet(0, []byte(text[:n])), func(r *Record) {
					// "SEND 5 me the file" is ours while it is "SEND 5".
					if r.Sound || name != "chat" && name != "SMTP" {
						none(r)
					}
				})
			}
			for _, size := range []int{1, 7, len(text)} {
				st := New().NewStream(nil)
				for i := 0; i < len(text); i += size {
					st.Push(up(1).tcp().packet(0, []byte(text[i:min(i+size, len(text))])), none)
				}
			}
		})
	}
}

func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	set := New()
	none := func(r *Record) { t.Errorf("%+v", r) }
	b := make([]byte, 1500)
	st := set.NewStream(nil)
	for range 20000 {
		n := r.IntN(len(b))
		for i := range n {
			b[i] = byte(r.Uint32())
			// Zeros as binary protocols have them.
			if r.IntN(3) == 0 {
				b[i] = 0
			}
		}
		set.UDP(up(1).packet(0, b[:n]), none)
		if st.Over() {
			st = set.NewStream(nil)
		}
		st.Push(up(1).tcp().packet(0, b[:n]), none)
	}
	if set.Stats().GaveUp == 0 || set.Stats().Garbage == 0 {
		t.Errorf("nothing was given up: %+v", set.Stats())
	}
}

// Whatever yields a record from its beginning has to look like it.
func TestLooks(t *testing.T) {
	simbank, _ := simbankStream()
	dinstar, _ := dinstarTalk()
	s := New()
	for _, text := range []string{
		keepalive(1, "a", imei1, imsi1, iccid1), "reg:1;status:0;", "STATE:1;", "STATE 1 OK", "RECORD:", "HANGUP:", "REMAIN:", "EXPIRY:", "RECEIVE:", "DELIVER:",
		"USSN:1", "GSM:1;", "GSM 1 x", "BCCH:", "CELLS:", "AT:1;", "MSG 1 1 a", "PASSWORD 1", "SEND 1", "OK 1 1", "WAIT 1 1", "DONE 1", "ERROR 1 1",
		"get_imei 1 x", "set_imei 1 x", "svr_drop_call 1 x", "reset_remain_time 1 x", "module_ctl 1 x", "CURCELL 1 x", "ATSTART 1 x", "ATSTOP 1 x", "ATALIVE 1 x",
		"ATCMD 1 x", "USSD 1 x", "USSDEXIT 1", "USSDERROR 1", "CF 1 x", "CW 1 x", "CFOK 1", "CFERROR 1", "CWOK 1", "CWERROR 1",
		string(simbank), string(dinstar),
	} {
		if !s.Looks([]byte(text)) {
			t.Errorf("%.12q does not look like anything", text)
		}
	}
	for name, text := range lookalikes() {
		switch name {
		case "RTP", "DNS", "NTP", "zeros", "ones", "SIP REGISTER", "SIP response", "SIP MESSAGE", "HTTP", "TLS", "STUN", "SMB2", "NetBIOS":
			if s.Looks([]byte(text)) {
				t.Errorf("%s looks like ours", name)
			}
		}
	}
}

func TestProtocols(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Protocols() {
		if p.Name == "" || p.Doc == "" || p.Vendor == "" || p.Source == "" || p.Confidence == "" || seen[p.Name] {
			t.Errorf("%+v", p)
		}
		seen[p.Name] = true
	}
	for _, name := range []string{GoIPSMS, GoIPSIMBank, DinstarAPI, DBLDDNS, DBLTime, DBLNames, DBLTunnel, DBLMail, DBLEcho, Ejoin, TwoSlotBoard, GSMAMI, RSPRO, SMPP, SIMCommands, MakerBanner, SIPBase64} {
		if !seen[name] {
			t.Errorf("%s is not listed", name)
		}
	}
}

// Packets of no interest cost no allocation.
func TestForeignAllocations(t *testing.T) {
	s := New()
	none := func(*Record) {}
	for name, text := range lookalikes() {
		p := up(1).packet(0, []byte(text))
		if s.Looks(p.Payload) {
			continue
		}
		if n := testing.AllocsPerRun(10, func() { s.UDP(p, none) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkLooks(b *testing.B) {
	all := lookalikes()
	for _, name := range []string{"RTP", "SIP REGISTER", "DNS", "STUN", "zeros", "TLS", "HTTP"} {
		text := []byte(all[name])
		b.Run(name, func(b *testing.B) {
			s := New()
			n := 0
			for range b.N {
				if s.Looks(text) {
					n++
				}
			}
			if n > 0 {
				b.Fatal("looks")
			}
		})
	}
}

func BenchmarkKeepalive(b *testing.B) {
	s := New()
	p := up(1).packet(0, []byte(keepalive(27, "sz-01", imei1, imsi1, iccid1)))
	n := 0
	emit := func(*Record) { n++ }
	b.ReportAllocs()
	for b.Loop() {
		s.UDP(p, emit)
	}
}

func TestStats(t *testing.T) {
	s := New()
	for _, text := range []string{keepalive(1, "a", imei1, imsi1, iccid1), "OK 1 1", "STATE: up", "nothing"} {
		s.UDP(up(1).packet(0, []byte(text)), func(*Record) {})
	}
	if got := s.Stats(); got != (Stats{Records: 2, Unsound: 1, Refused: 1}) {
		t.Errorf("%+v", got)
	}
}
