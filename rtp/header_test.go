package rtp

import (
	"testing"

	pion "github.com/pion/rtp"
)

func TestRead(t *testing.T) {
	long := func(b ...byte) []byte { return append(b, make([]byte, 60)...) }
	for _, c := range []struct {
		name   string
		b      []byte
		length uint32
		want   kind
	}{
		{"plain", long(0x80, 0), 72, readable},
		{"marker, type 127", long(0x80, 0xff), 72, readable},
		{"nothing", nil, 0, unreadable},
		{"eleven bytes", make([]byte, 11), 11, unreadable},
		{"twelve bytes", append([]byte{0x80}, make([]byte, 11)...), 12, readable},
		{"version 1", long(0x40, 0), 62, unreadable},
		{"STUN", long(0, 1), 62, unreadable},
		{"ZRTP", long(0x10, 0), 62, unreadable},
		{"DTLS", long(22, 254), 62, unreadable},
		{"a channel of TURN", long(0x40, 0), 62, unreadable},
		{"QUIC, short header", long(0x43, 0), 62, unreadable},
		{"QUIC, long header", long(0xc3, 0), 62, unreadable},
		{"sender report", long(0x80, 200), 62, rtcp},
		{"192", long(0x80, 192), 62, rtcp},
		{"223", long(0x80, 223), 62, rtcp},
		{"191", long(0x80, 191), 62, readable},
		{"type 72 without marker", long(0x80, 72), 62, unreadable},
		{"type 76 without marker", long(0x80, 76), 62, unreadable},
		{"type 77", long(0x80, 77), 62, readable},
		{"fifteen CSRCs fit", long(0x8f, 0), 72, readable},
		{"fifteen CSRCs do not", long(0x8f, 0), 71, unreadable},
		{"padding needs a byte", long(0xa0, 0), 12, unreadable},
		{"padding has it", long(0xa0, 0), 13, readable},
		{"extension of no words", long(0x90, 0), 16, readable},
		{"extension header does not fit", long(0x90, 0), 15, unreadable},
		{"extension header not captured", append([]byte{0x90}, make([]byte, 14)...), 100, unreadable},
		{"extension of 256 words", append([]byte{0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 1, 0}, make([]byte, 60)...), 76, unreadable},
	} {
		if _, got := read(c.b, c.length); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// FuzzRead holds our reader against pion/rtp: what pion accepts as a header of
// version 2 that is not RTCP, we read alike; what we refuse of it, we refuse
// for a reason that is listed here.
func FuzzRead(f *testing.F) {
	f.Add(rtpBytes(0, 1, 2, 3))
	f.Add([]byte{0xb1, 0x80, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 1})
	f.Add([]byte{0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 1, 1, 1, 9, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p pion.Header
		n, err := p.Unmarshal(b)
		h, k := read(b, uint32(len(b)))
		if err != nil {
			// We do not read into extensions, so we may accept; never when the
			// fixed header, CSRCs or the extension as a whole do not fit.
			if k == readable && b[0]&0x10 == 0 {
				t.Fatalf("pion refuses %x: %v", b, err)
			}
			return
		}
		pt := p.PayloadType
		switch {
		case p.Version != 2, pt >= 72 && pt <= 76, p.Marker && pt >= 64 && pt <= 95, p.Padding && len(b) <= n:
			if k == readable {
				t.Fatalf("read %x", b)
			}
		case k != readable:
			t.Fatalf("refused %x", b)
		case h != header{ssrc: p.SSRC, timestamp: p.Timestamp, seq: p.SequenceNumber, pt: pt, marker: p.Marker}:
			t.Fatalf("%x: %+v, pion %+v", b, h, p)
		}
	})
}
