package control

import (
	"crypto/rc4"
	"strings"
	"testing"

	"simtrap/packet"
)

// Frames of the maker's side protocols, from research/gateways.md 1.1.5 and 2.2.
const (
	ddnsAsk    = "\x86\x70\x14\x13\x018MCDRM18047247"
	ddnsAnswer = "\x86\x70\x14\x13\x00203.0.113.7\x09www.8mcdrm18047247.com"
)

func timeShort() string { return "\x1b" + strings.Repeat("\x00", 63) }

func timeLong(filled int) string {
	return "\x1b" + strings.Repeat("\x00", 48) + strings.Repeat("\x04\x4f\x7c", 400)[:filled] + strings.Repeat("\x00", 1072-49-filled)
}

func timeAnswer() string {
	return "\x1c\x02\x00\xec" + strings.Repeat("\x11", 44) + "\x87\x80\x83\x85\x82\x8b\x84\x9e\x84\x9f\x8e\x8d\x9f\x9e\x84\x8b"
}

func question(id, name string, flags byte) string {
	return id + string([]byte{flags, 0, 0, 1, 0, 0, 0, 0, 0, 0}) + name + "\x00\x01\x00\x01"
}

const (
	gontpCom = "\x03www\x05gontp\x03com\x00"
	gontpOrg = "\x05gontp\x03org\x00"
)

func TestDBLDatagrams(t *testing.T) {
	to := func(port uint16) way { w := up(40000); w.dstPort = port; return w }
	from := func(port uint16) way { return to(port).back() }
	mark, answer := Mark, Answer
	for _, tt := range []struct {
		name, protocol string
		way            way
		payload        string
		kind           Kind // 0: nothing
	}{
		{"ddns", DBLDDNS, to(39800), ddnsAsk, mark},
		{"ddns on another port", DBLDDNS, to(5000), ddnsAsk, mark},
		{"ddns answer", DBLDDNS, from(39800), ddnsAnswer, answer},
		{"ddns without a serial", DBLDDNS, to(39800), ddnsAsk[:5], 0},
		{"ddns with a binary serial", DBLDDNS, to(39800), ddnsAsk[:17] + "\x00\x01", 0},
		{"ddns of another type", DBLDDNS, to(39800), "\x86\x70\x14\x13\x028MCDRM18047247", 0},
		{"ddns answer without an address", DBLDDNS, from(39800), "\x86\x70\x14\x13\x00here\x09www.8mcdrm18047247.com", 0},
		{"ddns answer without a name", DBLDDNS, from(39800), "\x86\x70\x14\x13\x00203.0.113.7\x09www.com", 0},
		{"rtp with six sources", DBLDDNS, to(39800), "\x86\x70\x14\x14\x018MCDRM18047247", 0},

		{"time, 64 bytes", DBLTime, to(123), timeShort(), mark},
		{"time, telemetry", DBLTime, to(123), timeLong(113), mark},
		{"time answer", DBLTime, from(123), timeAnswer(), answer},
		{"time, the ordinary 48 bytes", DBLTime, to(123), timeShort()[:48], 0},
		{"time, 64 bytes with a MAC", DBLTime, to(123), timeShort()[:48] + "\x00\x00\x00\x01" + strings.Repeat("m", 12), 0},
		{"time with a transmit timestamp", DBLTime, to(123), "\x1b" + strings.Repeat("\x00", 39) + "\xec\x01\x02\x03" + strings.Repeat("\x00", 20), 0},
		{"time of version 4", DBLTime, to(123), "\x23" + strings.Repeat("\x00", 63), 0},
		{"time to another port", DBLTime, to(124), timeShort(), 0},
		{"telemetry that is nearly empty", DBLTime, to(123), timeLong(20), 0},
		{"telemetry that fills the packet", DBLTime, to(123), timeLong(1000), 0},
		{"time answer, the ordinary 48 bytes", DBLTime, from(123), timeAnswer()[:48], 0},
		{"time answer of an unset clock", DBLTime, from(123), "\x1c\x00" + timeAnswer()[2:], 0},

		{"names", DBLNames, to(53), question("\x67\xc6", gontpCom, 1), mark},
		{"names, org", DBLNames, to(53), question("\x67\xc6", gontpOrg, 1), mark},
		{"names in capitals", DBLNames, to(53), question("\x67\xc6", "\x03WWW\x05GonTP\x03com\x00", 1), mark},
		{"names answer", DBLNames, from(53), question("\x67\xc6", gontpCom, 0x81), answer},
		{"names under another number", DBLNames, to(53), question("\x67\xc7", gontpCom, 1), mark},
		{"names by a resolver in between", DBLNames, to(53), question("\x00\x01", gontpOrg, 1), mark},
		{"names answer under another number", DBLNames, from(53), question("\xff\xff", gontpOrg, 0x81), answer},
		{"names for an address of version 6", DBLNames, to(53), question("\x01\x02", gontpCom, 1)[:12] + gontpCom + "\x00\x1c\x00\x01", mark},
		{"names for a mail server", DBLNames, to(53), question("\x67\xc6", gontpCom, 1)[:12] + gontpCom + "\x00\x0f\x00\x01", 0},
		{"names in another class", DBLNames, to(53), question("\x67\xc6", gontpCom, 1)[:12] + gontpCom + "\x00\x01\x00\x03", 0},
		{"names in an update", DBLNames, to(53), question("\x67\xc6", gontpCom, 0x28), 0},
		{"a name below", DBLNames, to(53), question("\x01\x02", "\x03ntp\x05gontp\x03org\x00", 1), 0},
		{"a name alike", DBLNames, to(53), question("\x01\x02", "\x05gontp\x03orb\x00", 1), 0},
		{"a name that begins alike", DBLNames, to(53), question("\x01\x02", "\x03www\x05gonta\x03com\x00", 1), 0},
		{"a name of other lengths", DBLNames, to(53), question("\x01\x02", "\x23www\x25gontp\x23com\x00", 1), 0},
		{"the name cut off", DBLNames, to(53), question("\x01\x02", gontpOrg, 1)[:12+len(gontpOrg)+3], 0},
		{"another name under the number", DBLNames, to(53), question("\x67\xc6", "\x04pool\x03ntp\x03org\x00", 1), 0},
		{"a longer name", DBLNames, to(53), question("\x67\xc6", "\x03www\x05gontp\x03com\x02cn\x00", 1), 0},
		{"an answer towards the resolver", DBLNames, to(53), question("\x67\xc6", gontpCom, 0x81), 0},
		{"names on another port", DBLNames, to(5353), question("\x67\xc6", gontpCom, 1), 0},

		{"echo", DBLEcho, to(54210), "ECHOGWADDRRQ", mark},
		{"echo answer", DBLEcho, from(54210), "ECHOGWADDRRP\x01\x02", answer},
		{"echo of something else", DBLEcho, to(54210), "ECHOGWADDRXX", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []*Record
			read := New().UDP(tt.way.packet(0, []byte(tt.payload)), func(r *Record) { got = append(got, r) })
			if tt.kind == 0 {
				if read || len(got) > 0 {
					t.Errorf("%+v", got)
				}
				return
			}
			if !read || len(got) != 1 {
				t.Fatalf("read %v, %d records", read, len(got))
			}
			r := got[0]
			if r.Protocol != tt.protocol || r.Kind != tt.kind || r.Sound || r.Vendor == "" || r.Kind == Mark && (r.Detail == "" || r.Sender != RoleGateway) {
				t.Errorf("%+v", r)
			}
			// Cut short by a byte it is nothing, or it is cut by the snap length.
			p := tt.way.packet(0, []byte(tt.payload))
			p.Length++
			New().UDP(p, func(r *Record) {
				if tt.protocol == DBLDDNS || tt.protocol == DBLTime {
					t.Errorf("a cut datagram gives %+v", r)
				}
			})
		})
	}
}

// The serial number comes back in the answer, so that an answer to another
// device's question confirms nothing.
func TestDBLDDNSExchange(t *testing.T) {
	answers := func(serial string) int {
		s, set := NewSessions(Limits{}), New()
		to := up(56000)
		set.UDP(to.packet(0, []byte(ddnsAsk)), func(r *Record) { s.Record(r) })
		set.UDP(to.back().packet(second, []byte("\x86\x70\x14\x13\x00203.0.113.7\x09www."+serial+".com")), func(r *Record) { s.Record(r) })
		return s.All()[0].MarksAnswered
	}
	if n := answers("8mcdrm18047247"); n != 1 {
		t.Errorf("its own answer counts %d times", n)
	}
	if n := answers("8mcdrm18047248"); n != 0 {
		t.Errorf("another's answer counts %d times", n)
	}
}

func TestDBLTunnelStarts(t *testing.T) {
	for i, text := range []string{"RADMIN: ", "TELNET: ", "RLOGIN: "} {
		c, err := rc4.NewCipher([]byte("dbl#admin"))
		if err != nil {
			t.Fatal(err)
		}
		b := []byte(text)
		c.XORKeyStream(b, b)
		if got := dblTunnelStarts()[i]; got != string(b) {
			t.Errorf("%s: % x, want % x", text, got, b)
		}
	}
}

// pushBoth plays a connection, one piece at a time: up to the server, or down.
func pushBoth(pieces ...string) (out []*Record) {
	s := New()
	w := up(50000).tcp()
	var streams [2]*Stream
	for i, piece := range pieces {
		dir, way := 0, w
		if piece[0] == '<' {
			dir, way = 1, w.back()
		}
		if streams[dir] == nil {
			streams[dir] = s.NewStream(streams[1-dir])
		}
		streams[dir].Push(way.packet(int64(i)*second, []byte(piece[1:])), func(r *Record) { out = append(out, r) })
	}
	return out
}

func TestDBLStreams(t *testing.T) {
	tunnel := ">" + dblTunnelStarts()[0] + strings.Repeat("\x55", 40)
	mail := func(subject, mailer string) []string {
		return []string{
			"<220 mail.example.org ESMTP\r\n", ">EHLO gw\r\n", "<250-AUTH LOGIN\r\n", ">AUTH LOGIN\r\n", ">" + secret + "\r\n", ">MAIL FROM:<a@example.org>\r\n",
			">RCPT TO:<b@example.org>\r\n", ">DATA\r\n", ">From: a\r\n" + subject + "\r\n" + mailer + "\r\n\r\n" + smsText + "\r\n.\r\n",
		}
	}
	for _, tt := range []struct {
		name     string
		pieces   []string
		protocol string // "": nothing
	}{
		{"tunnel", []string{tunnel, "<\x01\x02\x03\x04"}, DBLTunnel},
		{"tunnel, the variant", []string{">" + dblTunnelStarts()[4] + "\x01\x02", "<\x01\x02\x03\x04"}, DBLTunnel},
		{"tunnel in two pieces", []string{tunnel[:5], ">" + tunnel[5:], "<\x01"}, DBLTunnel},
		{"tunnel that nobody answers", []string{tunnel, tunnel[:9]}, ""},
		{"tunnel with one byte changed", []string{">\x3c\x39\xac\x9a\xce\xc5\x93\x5b" + strings.Repeat("\x55", 40), "<\x01"}, ""},
		{"mail", mail("Subject: SMS", "X-Mailer: smail 0.1"), DBLMail},
		{"mail of another subject", mail("Subject: SMS from home", "X-Mailer: smail 0.1"), ""},
		{"mail of another mailer", mail("Subject: SMS", "X-Mailer: smailer 0.1"), ""},
		{"mail that quotes the header", mail("Subject: Fw", "X-Other: 1\r\n\r\nSubject: SMS\r\nX-Mailer: smail 0.1"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := pushBoth(tt.pieces...)
			if tt.protocol == "" {
				if len(got) > 0 {
					t.Errorf("%+v", got[0])
				}
				return
			}
			if len(got) != 1 || got[0].Protocol != tt.protocol || got[0].Kind != Mark || got[0].Sound {
				t.Fatalf("%+v", got)
			}
			if got[0].Src != gateway || got[0].Dst != server {
				t.Errorf("from %v to %v", got[0].Src, got[0].Dst)
			}
		})
	}
}

// What many streams hold is bounded, and what is dropped for it is counted.
func TestStreamsHold(t *testing.T) {
	s := New()
	long := "EHLO " + strings.Repeat("x", 900)
	var all []*Stream
	for range 1000 {
		st := s.NewStream(nil)
		st.Push(up(1).tcp().packet(0, []byte(long)), func(r *Record) { t.Errorf("%+v", r) })
		all = append(all, st)
	}
	if s.held > maxHeldAll {
		t.Errorf("%d bytes held, at most %d", s.held, maxHeldAll)
	}
	if s.Stats().Full == 0 {
		t.Error("nothing was dropped")
	}
	for _, st := range all {
		st.Close()
	}
	if s.held != 0 {
		t.Errorf("%d bytes held by nobody", s.held)
	}
}

func FuzzDBL(f *testing.F) {
	for _, s := range []string{ddnsAsk, ddnsAnswer, timeShort(), timeLong(113), timeAnswer(), question("\x67\xc6", gontpCom, 1), question("\x12\x34", gontpOrg, 0x81), "ECHOGWADDRRQ", dblTunnelStarts()[0],
		"EHLO gw\r\nDATA\r\nSubject: SMS\r\nX-Mailer: smail 0.1\r\n\r\n"} {
		f.Add([]byte(s), uint16(123))
	}
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		w := up(1)
		w.dstPort = port
		for _, w := range []way{w, w.back()} {
			New().UDP(w.packet(0, b), func(r *Record) {
				if r.Kind == Mark && r.Sound {
					t.Fatalf("%+v", r)
				}
			})
		}
		s := New()
		st := s.NewStream(nil)
		for i := range b {
			st.Push(w.tcp().packet(0, b[i:i+1]), func(*Record) {})
		}
		if s.held > len(b) || s.held < 0 {
			t.Fatalf("%d bytes held of %d", s.held, len(b))
		}
		p := packet.Packet{Proto: packet.TCP, Payload: b, Length: uint32(len(b))}
		st.Push(&p, func(*Record) {})
		st.Close()
		if s.held != 0 {
			t.Fatalf("%d bytes held by nobody", s.held)
		}
	})
}

// Under the number of an unseeded generator more is said of a question than
// under another.
func TestDBLNamesNumber(t *testing.T) {
	said := map[string]bool{}
	for _, id := range []string{"\x67\xc6", "\x00\x00", "\xc6\x67"} {
		w := up(40000)
		w.dstPort = 53
		New().UDP(w.packet(0, []byte(question(id, gontpCom, 1))), func(r *Record) { said[r.Detail] = true })
	}
	if !said["looks up its maker's time server as it starts"] || !said["looks up the time server of a maker of gateways"] || len(said) != 2 {
		t.Errorf("%v", said)
	}
}
