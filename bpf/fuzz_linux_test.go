package bpf

import (
	"bytes"
	"slices"
	"testing"

	"simtrap/packet"
)

// FuzzReadings wants the kernel to read of any frame what the decoder reads.
func FuzzReadings(f *testing.F) {
	media := rtpPayload(8, 1, 160, 77, 60)
	plain := udpFrame("10.1.2.3", "198.51.100.7", 10000, 20000, media)
	inner := plain[14:]
	behind := func(etherType uint16, between ...byte) []byte {
		out := append(bytes.Clone(plain[:12]), byte(etherType>>8), byte(etherType))
		return append(append(out, between...), inner...)
	}
	n := len(inner)
	for _, seed := range [][]byte{
		plain,
		tagged(plain, 7),
		tagged(tagged(plain, 7), 8),
		tcpFrame("10.1.2.3", "198.51.100.7", 40000, 443, 0x18, []byte{0x16, 3, 1, 0, 200, 1, 0}),
		behind(0x8847, 0, 1, 0, 64, 0, 2, 1, 64),
		behind(0x8864, 0x11, 0, 0, 5, byte((n+2)>>8), byte(n+2), 0, 0x21),
		udpFrame("192.0.2.1", "192.0.2.2", 2152, 2152, append([]byte{0x34, 255, byte((n + 8) >> 8), byte(n + 8), 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0, 0, 0}, inner...)),
		udpFrame("192.0.2.1", "192.0.2.2", 50000, 4789, append([]byte{8, 0, 0, 0, 0, 0, 7, 0}, plain...)),
		tunnels[0].make("192.0.2.129", "192.0.2.2", plain),
		tunnels[1].make("2001:db7::1", "2001:db8::1", plain),
		tunnels[2].make("::ffff:192.0.2.127", "::ffff:203.0.113.0", plain),
		tunnels[3].make("192.0.2.1", "192.0.2.2", plain),
		behind(0x86dd, 0x60, 0, 0, 0, 0, 8, 0, 64),
	} {
		f.Add(seed)
	}
	// The second and third of these hold tunnels.
	home := prefixes(f, "203.0.113.0/24", "192.0.2.128/25", "2001:db8::/32")
	w := newTwin(f, Config{GTP: true, VXLAN: true, GRE: true, Homes: home}, false)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 14 || len(data) > 2000 {
			return
		}
		data = slices.Clone(data)
		data = data[:len(data):len(data)]
		w.t = t
		var p packet.Packet
		r := w.frame(t0, data)
		kind := w.decode(data, &p)
		if r.Verdict == leftHeld && !w.tunnelHeld(&p) {
			t.Fatalf("left as a subscriber's tunnel, of which the decoder knows nothing: %x", data)
		}
		if r.Verdict < leftLink || r.Verdict > leftCut {
			w.compare(data, &r, kind, &p)
		}
	})
}
