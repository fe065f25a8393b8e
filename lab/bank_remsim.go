package lab

import (
	"encoding/binary"
	"fmt"
	"time"
)

// remsimWire is RSPRO, the protocol of osmo-remsim (research notes on gateways,
// section 2.7): a TCP connection for each module, frames of IPA, messages in
// BER. It is free software, which honest people use too.
type remsimWire struct{ tag uint32 }

// rsproChoice are the messages used here.
const (
	rsproConnect   = 2 // client
	rsproAnswerTo  = 1 // added to a request's
	rsproATR       = 10
	rsproToCard    = 12
	rsproFromCard  = 13
	rsproSlotState = 14
)

// ber writes an element; no content here is longer than 255 bytes.
func ber(tag byte, parts ...[]byte) []byte {
	var v []byte
	for _, p := range parts {
		v = append(v, p...)
	}
	if len(v) < 0x80 {
		return append([]byte{tag, byte(len(v))}, v...)
	}
	if len(v) < 0x100 {
		return append([]byte{tag, 0x81, byte(len(v))}, v...)
	}
	return append([]byte{tag, 0x82, byte(len(v) >> 8), byte(len(v))}, v...)
}

// berNumber writes a number that is not negative.
func berNumber(tag byte, n uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, n)
	for len(b) > 1 && b[0] == 0 && b[1] < 0x80 {
		b = b[1:]
	}
	return ber(tag, b)
}

func rsproSlot(unit, n uint32) []byte { return ber(0x30, berNumber(2, unit), berNumber(2, n)) }

// identity is what a component says of itself: 0 a client, 2 a bank.
func rsproIdentity(kind uint32, name string) []byte {
	return ber(0x30, berNumber(0x0a, kind), ber(0x16, []byte(name)), ber(0x80, []byte("remsim-"+name)), ber(0x81, []byte("1.0.0")))
}

// ask is a message with a number of its own.
func (x *remsimWire) ask(choice byte, parts ...[]byte) []byte {
	x.tag++
	return x.frame(choice, parts...)
}

// frame is a message with the number of the one before, as answers have it.
func (x *remsimWire) frame(choice byte, parts ...[]byte) []byte {
	pdu := ber(0x30, berNumber(0x80, 2), berNumber(0x81, x.tag&0xffff), ber(0xa2, ber(0xa0+choice, parts...)))
	return append(append(binary.BigEndian.AppendUint16(nil, uint16(1+len(pdu))), 0xee, 0x07), pdu...)
}

// clientSlot and bankSlot name the ends; clients and banks count to 1023.
func (y *simSession) clientSlot() []byte { return rsproSlot(y.line%1024, 0) }
func (y *simSession) bankSlot() []byte   { return rsproSlot(1, y.line%1024) }

func (x *remsimWire) login(y *simSession) {
	t := y.say(y.g.s.now, 0, x.ask(rsproConnect, rsproIdentity(0, fmt.Sprint("client-", y.line)), y.clientSlot()))
	t = y.say(t+int64(2*time.Millisecond), 1, x.frame(rsproConnect+rsproAnswerTo, rsproIdentity(2, "bankd"), berNumber(0x0a, 0)))
	y.g.s.at(t+int64(200*time.Millisecond), y.start)
}

// alive is a ping of the link below and its answer, which are nobody's records.
func (x *remsimWire) alive(y *simSession) {
	t := y.conn.send(y.g.s.now, 0, []byte{0, 1, 0xfe, 0})
	y.conn.send(t, 1, []byte{0, 1, 0xfe, 1})
}

// reset lets the bank hand over what the card says when it starts.
func (x *remsimWire) reset(y *simSession, t int64) int64 {
	on := byte(0)
	if y.card.IMSI != "" {
		on = 0xff
	}
	t = y.say(t, 0, x.ask(rsproSlotState, y.clientSlot(), y.bankSlot(), ber(0x30, []byte{0x80, 1, 0, 0x81, 1, on, 0x82, 1, on, 0x83, 1, on})))
	if on == 0 {
		return t
	}
	t = y.say(t, 1, x.ask(rsproATR, y.clientSlot(), ber(4, y.atr())))
	return y.say(t+int64(time.Millisecond), 0, x.frame(rsproATR+rsproAnswerTo, berNumber(0x0a, 0)))
}

func (x *remsimWire) command(y *simSession, t int64, command, answer []byte) int64 {
	flags := ber(0x30, []byte{1, 1, 0xff, 1, 1, 0xff, 1, 1, 0, 1, 1, 0})
	t = y.say(t, 0, x.ask(rsproToCard, y.clientSlot(), y.bankSlot(), flags, ber(4, command)))
	return y.say(t+int64(between(y.r, y.late[0], y.late[1])), 1, x.frame(rsproFromCard, y.bankSlot(), y.clientSlot(), flags, ber(4, answer)))
}
