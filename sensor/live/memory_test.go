//go:build linux

package live

import (
	"encoding/binary"
	"testing"
	"time"
)

// nativeUint64 reads a number as this machine writes it.
func nativeUint64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// datagram makes an Ethernet frame of an IPv4 datagram of UDP. Checksums are left
// empty: a tap does not look at them.
func datagram(src, dst uint32, sport, dport uint16, payload []byte) []byte {
	b := make([]byte, 42, 42+len(payload))
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0})
	b[14], b[22], b[23] = 0x45, 57, 17
	binary.BigEndian.PutUint16(b[16:], uint16(28+len(payload)))
	binary.BigEndian.PutUint32(b[26:], src)
	binary.BigEndian.PutUint32(b[30:], dst)
	binary.BigEndian.PutUint16(b[34:], sport)
	binary.BigEndian.PutUint16(b[36:], dport)
	binary.BigEndian.PutUint16(b[38:], uint16(8+len(payload)))
	return append(b, payload...)
}

// voice gives the frame of one packet of a stream of G.711, into a buffer of its
// own kind. Streams 2n and 2n + 1 are the two directions of a call; every ten calls
// are of one subscriber of 10.0.0.0/8, to far ends that no other call has.
func voice(b []byte, number uint32, packet int) {
	call := number / 2
	home, far := 10<<24|call/10, 100<<24|call
	homePort, farPort := uint16(10000+call%20000*2), uint16(20000+call%20000*2)
	if number%2 == 1 {
		home, far, homePort, farPort = far, home, farPort, homePort
	}
	binary.BigEndian.PutUint32(b[26:], home)
	binary.BigEndian.PutUint32(b[30:], far)
	binary.BigEndian.PutUint16(b[34:], homePort)
	binary.BigEndian.PutUint16(b[36:], farPort)
	binary.BigEndian.PutUint16(b[44:], uint16(packet))
	binary.BigEndian.PutUint32(b[46:], uint32(packet)*160)
	binary.BigEndian.PutUint32(b[50:], 77777*number)
}

// voiceBuffers makes frames for voice to fill.
func voiceBuffers(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		p := make([]byte, 172)
		p[0], p[1] = 0x80, 8
		out[i] = datagram(0, 0, 0, 0, p)
	}
	return out
}

// TestMemoryOfFlows: with 100,000 flows at once, all of them voice, of 50,000 calls
// of 5,000 subscribers, the daemon and its maps in the kernel take at most 256 MiB.
// What is counted is the largest resident set of the process and what the kernel
// says that each map takes, each page once.
func TestMemoryOfFlows(t *testing.T) {
	const (
		flows   = 100_000
		cohort  = 4_000
		packets = 12
		most    = 256 << 20
	)
	s := newSpace(t)
	s.cable("near", "far")
	if why := s.missing("far", "xdp"); why != nil {
		t.Skip(why)
	}
	d := s.watch("xdp", "{name: far}", "home: [10.0.0.0/8]\n")
	d.running()
	out := s.sender("near")
	buffers := voiceBuffers(batchFrames)
	// So many at once as a cable takes; all of them live on, a flow that is silent
	// for less than half a minute being one still.
	for first := uint32(0); first < flows; first += cohort {
		for began, packet := time.Now(), 0; packet < packets; packet++ {
			time.Sleep(time.Until(began.Add(time.Duration(packet) * 20 * time.Millisecond)))
			for n := uint32(0); n < cohort; n += batchFrames {
				part := buffers[:min(batchFrames, cohort-n)]
				for i, b := range part {
					voice(b, first+n+uint32(i), packet)
				}
				if err := out.send(part); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	live := d.flows()
	// Streams are told of when their interval is over, and then some.
	st := d.mustStatus()
	for end := time.Now().Add(10 * time.Second); st.Streams < flows*9/10 && time.Now().Before(end); st = d.mustStatus() {
		time.Sleep(200 * time.Millisecond)
	}
	rss, peak := d.resident()
	maps := d.inMaps()
	t.Logf("%d records, %d streams, %d lines; resident %d MiB (at most %d), maps %d MiB; %v",
		live, st.Streams, st.Lines, rss>>20, peak>>20, maps>>20, st.Losses)
	if live < flows*99/100 {
		t.Errorf("%d flows live, want %d", live, flows)
	}
	if st.Streams < flows/2 {
		t.Errorf("%d streams of voice confirmed: too few flows were like voice", st.Streams)
	}
	if peak+maps > most {
		t.Errorf("%d MiB, want at most %d", (peak+maps)>>20, most>>20)
	}
	d.findings()
}
