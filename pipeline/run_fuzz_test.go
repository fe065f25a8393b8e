package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"reflect"
	"testing"

	"simtrap/capture"
)

// FuzzRun puts arbitrary bytes through every stage: as a capture file, and as
// the frames of a sound one. Whatever they are, it ends, without a panic, and
// two workers find what one finds.
func FuzzRun(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add([]byte("REGISTER sip:a@b SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n\r\n"), uint8(101))
	f.Add(bytes.Repeat([]byte{0x45, 0, 0, 40, 0, 0, 0x20, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x13, 0xc4, 0x13, 0xc4, 0, 20, 0, 0, 0x80, 8, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4}, 12), uint8(101))
	f.Add(segmentFrames("GET / HTTP/1.1\r\nSec-WebSocket-Protocol: sip\r\n\r\n", socketFrame(0x81, false, sipText("a")), socketFrame(0x01, false, "\r\n")+socketFrame(0xc1, false, "x")), uint8(101))
	f.Add(segmentFrames(sipText("a"), sipText("b")+"\r\n\r\n"+sipText("c"), "garbage\r\n"+sipText("d")), uint8(101))
	f.Add(segmentFrames(q931(0x05, 7, "\x70\x04\x80110"+named), q931(0x02, 7, "")[:4], q931(0x02, 7, "")[4:], "\x03\x00\x00\x04\x03\x00"), uint8(101))
	f.Fuzz(func(t *testing.T, data []byte, link uint8) {
		for _, file := range [][]byte{data, framed(data, link)} {
			var first *Result
			for _, workers := range []int{1, 2} {
				src, err := capture.Open([]string{"-"}, capture.Options{Stdin: bytes.NewReader(file)})
				if err != nil {
					t.Fatal(err)
				}
				r, err := Run(context.Background(), src, Config{Workers: workers})
				if err != nil && r == nil {
					t.Fatal("an error must come with what was found")
				}
				if err := src.Close(); err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = r
				} else if !reflect.DeepEqual(first, r) {
					t.Fatalf("%d workers: %+v, one: %+v", workers, r, first)
				}
			}
		}
	})
}

// segmentFrames are segments of one connection as framed takes them, without
// link layer.
func segmentFrames(payloads ...string) (out []byte) {
	seq := uint32(1)
	for _, s := range payloads {
		n := 40 + len(s)
		f := []byte{0x45, 0, 0, byte(n), 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x13, 0xc4, 0x13, 0xc4}
		f = binary.BigEndian.AppendUint32(f, seq)
		f = append(f, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0)
		seq += uint32(len(s))
		out = append(append(append(out, byte(n-1), 1), f...), s...)
	}
	return out
}

// framed makes a capture file of data: a byte of length, one of time, the frame.
func framed(data []byte, link uint8) []byte {
	le := binary.LittleEndian
	out := le.AppendUint32(nil, 0xa1b2c3d4)
	out = append(out, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	out = le.AppendUint32(out, 65535)
	out = le.AppendUint32(out, uint32(link))
	now := uint32(1)
	for len(data) > 2 {
		n := min(int(data[0])+1, len(data)-2)
		now += uint32(data[1] & 7)
		out = le.AppendUint32(out, now)
		out = le.AppendUint32(out, uint32(data[1])*3000)
		out = le.AppendUint32(out, uint32(n))
		out = le.AppendUint32(out, uint32(n))
		out = append(out, data[2:2+n]...)
		data = data[2+n:]
	}
	return out
}
