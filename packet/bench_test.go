package packet

import (
	"testing"

	"simtrap/capture"
)

var rtpFrame = func() []byte {
	rtp := make([]byte, 172)
	rtp[0] = 0x80
	udp := append([]byte{0x40, 0, 0x50, 0, 0, 180, 0, 0}, rtp...)
	ip := append([]byte{0x45, 0, 0, 200, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 198, 51, 100, 2}, udp...)
	ppp := append([]byte{0x11, 0, 0x12, 0x34, 0, 202, 0, 0x21}, ip...)
	eth := append(make([]byte, 12), 0x81, 0, 0x00, 0x64, 0x88, 0x64)
	return append(eth, ppp...)
}()

func BenchmarkFrameVLANPPPoERTP(b *testing.B) {
	var d Decoder
	var p Packet
	b.ReportAllocs()
	for b.Loop() {
		if d.Frame(capture.LinkEthernet, rtpFrame, uint32(len(rtpFrame)), &p) != Datagram {
			b.Fatal(d.Counters)
		}
	}
}

func BenchmarkFramePlainRTP(b *testing.B) {
	var d Decoder
	var p Packet
	f := append(append(make([]byte, 12), 8, 0), rtpFrame[26:]...)
	b.ReportAllocs()
	for b.Loop() {
		if d.Frame(capture.LinkEthernet, f, uint32(len(f)), &p) != Datagram {
			b.Fatal(d.Counters)
		}
	}
}
