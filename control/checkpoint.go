package control

import (
	"encoding/binary"

	"simtrap/ident"
	"simtrap/state"
)

// maxWords bounds a name in a checkpoint: protocols, makers, marks.
const maxWords = 256

// Code writes e, or fills it, with all that it counts, so that a program that
// starts again goes on with it (see Sessions.Restore). What it names is written
// in clear.
func (e *Evidence) Code(c *state.Coder) {
	CodeAddr(c, &e.Owner)
	state.Int(c, &e.Realm)
	c.Text(&e.Protocol, maxWords)
	c.Text(&e.Vendor, maxWords)
	state.Int(c, &e.Role)
	CodeAddr(c, &e.Peer)
	state.Int(c, &e.PeerPort)
	c.Bool(&e.TCP)
	for _, v := range [...]*int64{&e.First, &e.Last, &e.AnsweredFirst, &e.AnsweredLast, &e.FirstMark, &e.FirstMarkAnswered} {
		state.Int(c, v)
	}
	for _, v := range [...]*int{&e.Sound, &e.Answered, &e.Answers, &e.Marks, &e.MarksAnswered, &e.Changes} {
		codeCount(c, v)
	}
	c.Text(&e.Mark, maxWords)
	c.Bool(&e.OneWay)
	for _, t := range [...]*Tally{&e.Seen, &e.Verified} {
		for _, v := range [...]*int{&t.Channels, &t.IMSIs, &t.IMEIs, &t.ICCIDs} {
			codeCount(c, v)
		}
	}
	clear := ident.NewPseudonymizer(nil, "a checkpoint of the program itself")
	state.List(c, &e.cards, maxCards, func(p **Card) {
		if c.Reading() {
			*p = &Card{}
		}
		k := *p
		state.Int(c, &k.Channel)
		imsi, imei, iccid, number := clear.IMSI(k.IMSI), clear.IMEI(k.IMEI), clear.ICCID(k.ICCID), clear.Number("", k.Number)
		c.Text(&imsi, 15)
		c.Text(&imei, 16)
		c.Text(&iccid, 20)
		c.Text(&number, maxWords)
		state.Int(c, &k.First)
		state.Int(c, &k.Last)
		c.Bool(&k.Verified)
		c.Bool(&k.closed)
		if !c.Reading() {
			return
		}
		var ok [3]bool
		k.IMSI, ok[0] = ident.NewIMSI([]byte(imsi))
		k.IMEI, ok[1] = ident.NewIMEI([]byte(imei))
		k.ICCID, ok[2] = ident.NewICCID([]byte(iccid))
		k.Number = ident.NewNumber([]byte(number))
		if !ok[0] && imsi != "" || !ok[1] && imei != "" || !ok[2] && iccid != "" {
			c.Fail()
		}
	})
	if c.Reading() && e.Role != RoleGateway && e.Role != RoleBank {
		c.Fail()
	}
}

// codeCount codes a count, which is never below 0.
func codeCount(c *state.Coder, v *int) {
	if state.Int(c, v); c.Reading() && *v < 0 {
		c.Fail()
		*v = 0
	}
}

// CodeAddr codes an address.
func CodeAddr(c *state.Coder, a *ident.Addr) {
	b := a.As16()
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	c.Word(&hi)
	c.Word(&lo)
	if c.Reading() {
		binary.BigEndian.PutUint64(b[:8], hi)
		binary.BigEndian.PutUint64(b[8:], lo)
		*a = ident.AddrFrom16(b[:])
	}
}

// Restore takes evidence that was read, as if its records had passed; it gives
// what there is about the same owner and peer already, which then stands, or e.
func (s *Sessions) Restore(e *Evidence) *Evidence {
	k := evidenceKey{e.Owner, e.Peer, e.Realm, e.Protocol, e.Role}
	if have := s.find(k); have != nil {
		return have
	}
	s.next++
	e.number, e.opened, e.dropped = s.next, 0, 0
	t := s.fresh
	if e.Answered > 0 || e.MarksAnswered > 0 {
		t = s.firm
	}
	if out, full := t.put(k, e); full {
		s.evicted(out)
	}
	s.cards += len(e.cards)
	s.trim(e)
	return e
}
