package control

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func smppMessage(command, status, number uint32, body ...string) []byte {
	b := make([]byte, smppHeader)
	for _, s := range body {
		b = append(b, s...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	binary.BigEndian.PutUint32(b[4:], command)
	binary.BigEndian.PutUint32(b[8:], status)
	binary.BigEndian.PutUint32(b[12:], number)
	return b
}

func smppBind(name string) []byte {
	return smppMessage(smppTransceiver, 0, 1, name, "\x00", secret[:8], "\x00", "\x00\x34\x00\x00\x00")
}

func smppSubmitTo(number uint32, to string) []byte {
	return smppMessage(smppSubmit, 0, number, "\x00", "\x05\x0010690000\x00", "\x01\x01", to, "\x00", "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x14", smsText)
}

func TestSMPP(t *testing.T) {
	bound := smppMessage(smppTransceiver|smppAnswer, 0, 1, "SMSC\x00")
	bind := fmt.Sprintf("%d unknown 0 false", Login)
	answer := fmt.Sprintf("%d unknown 0 false", Answer)
	for name, c := range map[string]struct {
		turns []turn
		want  []string
	}{
		"a line that is a centre of GoIP's": {[]turn{{false, smppBind("goip07")}, {true, bound}}, []string{bind, fmt.Sprintf("%d gateway 7 false", Mark)}},
		"a line that is a centre":           {[]turn{{false, smppBind("acme")}, {true, bound}}, []string{bind, answer}},
		"a business": {[]turn{{true, smppBind("acme")}, {false, bound}, {true, smppSubmitTo(2, "8613800138000")}, {false, smppMessage(smppSubmit|smppAnswer, 0, 2, "id\x00")},
			{true, smppMessage(0x15, 0, 3)}, {false, smppMessage(0x15|smppAnswer, 0, 3)}, {false, smppMessage(smppDeliver, 0, 9, "\x00\x01\x018613800138000\x00\x00\x0010690000\x00", smsText)}},
			[]string{bind, answer, fmt.Sprintf("%d unknown 0 true", Command), fmt.Sprintf("%d unknown 0 false", Event)}},
		"refused":             {[]turn{{false, smppBind("goip07")}, {true, smppMessage(smppTransceiver|smppAnswer, 14, 1)}}, []string{bind, answer}},
		"another's answer":    {[]turn{{false, smppBind("goip07")}, {true, smppMessage(smppTransceiver|smppAnswer, 0, 2, "SMSC\x00")}}, []string{bind, answer}},
		"no channel":          {[]turn{{false, smppBind("goip99")}, {true, bound}}, []string{bind, answer}},
		"a name that goes on": {[]turn{{false, smppBind("goip071")}, {true, bound}}, []string{bind, answer}},

		"an unknown command": {[]turn{{true, smppMessage(0x77, 0, 1, "0123456789")}}, nil},
		"number 0":           {[]turn{{true, smppMessage(smppTransceiver, 0, 0, "acme\x00x\x00\x00\x34\x00\x00\x00")}}, nil},
		"a name too long":    {[]turn{{true, smppMessage(smppTransceiver, 0, 1, "0123456789012345678\x00x\x00\x00\x34\x00\x00\x00")}}, nil},
		"PostgreSQL":         {[]turn{{true, []byte("\x00\x00\x00\x08\x04\xd2\x16\x2f")}}, nil},
		"zeros":              {[]turn{{true, make([]byte, 100)}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 20, 61, 1} {
				x := converse(t, size, c.turns...)
				var got []string
				for i := range x.records {
					r := &x.records[i]
					if r.Sound || r.Protocol != SMPP {
						t.Errorf("%+v", r)
					}
					got = append(got, fmt.Sprintf("%d %v %d %v", r.Kind, r.Sender, r.Channel, !r.Recipient.IsZero()))
				}
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("in pieces of %d: %s", size, d)
				}
			}
		})
	}
}

func FuzzSMPP(f *testing.F) {
	f.Add(smppBind("goip07"), uint8(9))
	f.Add(append(smppSubmitTo(2, "8613800138000"), smppMessage(0x15, 0, 3)...), uint8(9))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		pieces(t, &smppStream{}, &smppStream{}, b, int(size))
	})
}
