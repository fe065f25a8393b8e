package control

import (
	"encoding/binary"
	"testing"
)

// tlv is an element of BER.
func tlv(tag byte, parts ...[]byte) []byte {
	var v []byte
	for _, p := range parts {
		v = append(v, p...)
	}
	switch {
	case len(v) < 0x80:
		return append([]byte{tag, byte(len(v))}, v...)
	case len(v) < 0x100:
		return append([]byte{tag, 0x81, byte(len(v))}, v...)
	}
	return append([]byte{tag, 0x82, byte(len(v) >> 8), byte(len(v))}, v...)
}

func num(tag byte, n uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, n)
	for len(b) > 1 && b[0] == 0 && b[1] < 0x80 {
		b = b[1:]
	}
	return tlv(tag, b)
}

func slot(unit, n uint32) []byte { return tlv(0x30, num(2, unit), num(2, n)) }

func component(kind uint32, name string) []byte {
	return tlv(0x30, num(0x0a, kind), tlv(0x16, []byte(name)), tlv(0x80, []byte("osmo-remsim")), tlv(0x81, []byte("1.1.0")), tlv(0x84, []byte("serial")))
}

// rspro is a whole frame around choice.
func rspro(version, tag uint32, choice byte, parts ...[]byte) []byte {
	pdu := tlv(0x30, num(0x80, version), num(0x81, tag), tlv(0xa2, tlv(0xa0+choice, parts...)))
	b := append([]byte{0, 0, ipaOsmo, ipaRSPRO}, pdu...)
	binary.BigEndian.PutUint16(b, uint16(len(b)-ipaHeader))
	return b
}

func tpduFlags() []byte {
	return tlv(0x30, []byte{1, 1, 0xff, 1, 1, 0xff, 1, 1, 0, 1, 1, 0})
}

func modemToCard(tag, client uint32, apdu []byte) []byte {
	return rspro(2, tag, 12, slot(client, 0), slot(1, client), tpduFlags(), tlv(4, apdu))
}

func cardToModem(tag, client uint32, answer []byte) []byte {
	return rspro(2, tag, 13, slot(1, client), slot(client, 0), tpduFlags(), tlv(4, answer))
}

func TestRSPRO(t *testing.T) {
	imsi := []byte{8, 0x49, 0x06, 0x10, 0x32, 0x54, 0x76, 0x98, 0x10, 0x90, 0} // 460 01 23456789 01
	type want struct {
		kind    Kind
		sender  Role
		channel uint32
		reply   bool
	}
	for name, c := range map[string]struct {
		in   []byte
		want want // kind 0: no frame
	}{
		"bank connects":       {rspro(2, 1, 0, component(2, "bank"), num(2, 1), num(2, 8)), want{Login, RoleBank, 0, false}},
		"bank is let in":      {rspro(2, 1, 1, component(1, "server"), num(0x0a, 0)), want{Answer, RoleServer, 0, true}},
		"client connects":     {rspro(2, 1, 2, component(0, "client"), slot(3, 1)), want{Login, RoleGateway, 3<<10 + 2, false}},
		"client, no slot yet": {rspro(2, 1, 2, component(0, "client")), want{Login, RoleGateway, 0, false}},
		"client is let in":    {rspro(2, 1, 3, component(2, "bank"), num(0x0a, 0)), want{Answer, RoleBank, 0, true}},
		"mapping":             {rspro(2, 9, 4, slot(3, 1), slot(1, 7)), want{Command, RoleServer, 0, false}},
		"mapping made":        {rspro(2, 9, 5, num(0x0a, 0)), want{Answer, RoleBank, 0, true}},
		"bank of a client":    {rspro(2, 9, 17, slot(1, 7), tlv(0x30, tlv(0x80, []byte{192, 0, 2, 1}), num(2, 9999))), want{Command, RoleServer, 0, false}},
		"that is taken":       {rspro(2, 9, 18, num(0x0a, 0)), want{Answer, RoleGateway, 0, true}},
		"ATR":                 {rspro(2, 5, 10, slot(3, 1), tlv(4, unhexed(t, "3b9f96801fc68031e073fe211b67554d0103000000000000")[:2])), want{}},
		"ATR, whole":          {rspro(2, 5, 10, slot(3, 1), tlv(4, unhexed(t, "3b0499010203"[:12]))), want{APDU, RoleBank, 0, false}},
		"command to the card": {modemToCard(77, 3, unhexed(t, selectIMSI)), want{APDU, RoleGateway, 3<<10 + 1, false}},
		"answer of the card":  {cardToModem(78, 3, unhexed(t, "9f0f")), want{APDU, RoleBank, 1<<10 + 4, true}},
		"IMSI":                {cardToModem(79, 3, imsi), want{APDU, RoleBank, 1<<10 + 4, true}},
		"slot of a client":    {rspro(2, 6, 14, slot(3, 0), slot(1, 3), tlv(0x30, []byte{0x80, 1, 0, 0x81, 1, 0xff})), want{Event, RoleGateway, 3<<10 + 1, false}},
		"slot of a bank":      {rspro(2, 6, 15, slot(1, 3), slot(3, 0), tlv(0x30, []byte{0x80, 1, 0})), want{Event, RoleBank, 1<<10 + 4, false}},
		"reset":               {rspro(2, 6, 19), want{Command, RoleServer, 0, false}},

		"another version":        {rspro(3, 1, 0, component(2, "bank"), num(2, 1), num(2, 8)), want{}},
		"no such choice":         {rspro(2, 1, 21, num(2, 1)), want{}},
		"no command of a card":   {modemToCard(77, 3, []byte("GET / HTTP/1.1\r\n")), want{}},
		"no answer of a card":    {cardToModem(77, 3, []byte{1, 2, 3}), want{}},
		"a client as a bank":     {rspro(2, 1, 0, component(0, "bank"), num(2, 1), num(2, 8)), want{}},
		"a bank number too high": {rspro(2, 1, 0, component(2, "bank"), num(2, 1024), num(2, 8)), want{}},
		"a name of 33":           {rspro(2, 1, 2, component(0, "0123456789012345678901234567890123")), want{}},
		"trailing":               {rspro(2, 9, 5, num(0x0a, 0), num(2, 1)), want{}},
		"a result there is not":  {rspro(2, 9, 5, num(0x0a, 50)), want{}},
	} {
		r, ok := rsproFrame(c.in)
		if ok != (c.want.kind != 0) {
			t.Errorf("%s: %v", name, ok)
			continue
		}
		if !rsproLooks(c.in) || rsproSize(c.in) != len(c.in) {
			t.Errorf("%s: does not look like a frame of %d bytes", name, len(c.in))
		}
		if !ok {
			continue
		}
		if got := (want{r.Kind, r.Sender, r.Channel, r.Reply}); got != c.want || !r.Sound {
			t.Errorf("%s: %+v, not %+v", name, got, c.want)
		}
		if name == "IMSI" && r.IMSI.IsZero() {
			t.Error("IMSI not read")
		}
	}
	for name, b := range map[string][]byte{
		"ping": {0, 1, ipaCCM, 0}, "pong": {0, 1, ipaCCM, 1}, "GSUP": {0, 4, ipaOsmo, 5, 1, 2, 3},
	} {
		if r, ok := rsproFrame(b); r != nil || !ok {
			t.Errorf("%s: %v %v", name, r, ok)
		}
		if rsproLooks(b) {
			t.Errorf("%s looks like RSPRO", name)
		}
	}
	// A question and its answer belong together, and no others.
	q, _ := rsproFrame(rspro(2, 9, 4, slot(3, 1), slot(1, 7)))
	a, _ := rsproFrame(rspro(2, 9, 5, num(0x0a, 0)))
	other, _ := rsproFrame(rspro(2, 10, 5, num(0x0a, 0)))
	if q.Exchange != a.Exchange || q.Exchange == other.Exchange {
		t.Error("exchanges")
	}
}

// A line with modems whose cards are elsewhere, a line with the cards, and what
// is neither.
func TestRSPROProof(t *testing.T) {
	imsis := [][]byte{{8, 0x49, 0x06, 0x10, 0x32, 0x54, 0x76, 0x98, 0x10, 0x90, 0}, {8, 0x49, 0x06, 0x10, 0x99, 0x99, 0x76, 0x98, 0x10, 0x90, 0}}
	session := func(x *talk, w way, slots uint32, echo bool) {
		say := func(at int64, w way, b []byte) {
			x.tcp(w, at, b)
			if echo {
				x.tcp(w.back(), at+1e5, b)
			}
		}
		for c := range slots {
			w.srcPort = uint16(40000 + c)
			say(int64(c)*second, w, rspro(2, 1, 2, component(0, "client"), slot(c, 0)))
			if !echo {
				say(int64(c)*second+1e6, w.back(), rspro(2, 1, 3, component(2, "bank"), num(0x0a, 0)))
				say(int64(c)*second+2e6, w.back(), rspro(2, 2, 10, slot(c, 0), tlv(4, unhexed(t, "3b0499010203"))))
			}
			for i := range uint32(4) {
				at := int64(i)*30*second + int64(c)*second
				say(at+3e6, w, modemToCard(10+i, c, unhexed(t, "a0b0000009")))
				if !echo {
					say(at+4e6, w.back(), cardToModem(10+i, c, imsis[c%2]))
				}
			}
		}
	}
	for name, c := range map[string]struct {
		far   bool // the line has the cards
		slots uint32
		echo  bool
		proof bool
	}{
		"modems":        {false, 2, false, true},
		"cards":         {true, 2, false, true},
		"one modem":     {false, 1, false, false},
		"one card":      {true, 1, false, false},
		"an echo":       {false, 2, true, false},
		"an echo, back": {true, 2, true, false},
	} {
		x := newTalk(t)
		w := way{gateway, server, 40000, 9999, 6}
		role := RoleGateway
		if c.far {
			w, role = way{server, gateway, 40000, 9999, 6}, RoleBank
		}
		session(x, w, c.slots, c.echo)
		e := x.about(gateway, RSPRO)
		if e == nil {
			if c.proof {
				t.Errorf("%s: no evidence", name)
			}
			continue
		}
		if proof, oneWay, reason := e.Proof(); proof != c.proof || proof && (oneWay || e.Role != role) {
			t.Errorf("%s: %v %s", name, proof, reason)
		}
		if c.proof && c.far && e.Verified.IMSIs != 2 {
			t.Errorf("%s: %+v", name, e.Verified)
		}
	}
}

// No input makes a frame of more than there is, or a record without a sender
// that a choice gives.
func FuzzRSPRO(f *testing.F) {
	f.Add(rspro(2, 1, 0, component(2, "bank"), num(2, 1), num(2, 8)))
	f.Add(rspro(2, 1, 3, component(2, "bank"), num(0x0a, 0)))
	f.Add(modemToCard(77, 3, unhexed(f, selectIMSI)))
	f.Add(cardToModem(78, 3, unhexed(f, "9f0f")))
	f.Add(rspro(2, 6, 14, slot(3, 0), slot(1, 3), tlv(0x30, []byte{0x80, 1, 0, 0x81, 1, 0xff})))
	f.Add([]byte{0, 1, ipaCCM, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		rsproLooks(b)
		if len(b) < ipaHeader {
			return
		}
		n := rsproSize(b)
		if n == 0 || n > len(b) {
			return
		}
		if r, ok := rsproFrame(b[:n]); r != nil && (!ok || !r.Sound || r.Protocol != RSPRO || r.Kind == 0) {
			t.Fatalf("%+v", r)
		}
	})
}
