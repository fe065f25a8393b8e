package bpf

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/control"
	"simtrap/h323"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// upward says how many frames the program sent up, those too for which nobody
// listened, and how many a line's budget kept back.
func (b *bench) upward() (sent, limited uint64) {
	n := b.counters()
	for i := upSIP; i <= upSample; i++ {
		sent += n[i]
	}
	return sent + n[framesLost], n[limitedSYN] + n[limitedHello] + n[limitedDNS] + n[limitedHTTP] + n[limitedFirst]
}

// wanted says whether user space would read a payload that comes alone.
func wanted(set *control.Set, p *packet.Packet) bool {
	b := p.Payload
	if p.Proto == packet.UDP {
		return sip.Looks(b) || sip.LooksBase64(b) || h323.LooksRAS(b) || rtp.LooksRTCP(b, p.Length) ||
			len(b) >= 4 && set.UDP(p, func(*control.Record) {})
	}
	// Of WebSocket the kernel knows the heads: what follows a connection asks for.
	if len(b) > 0 && b[0]&0x7f < 3 && sip.LooksWebSocket(b) {
		return false
	}
	return sip.Looks(b) || sip.LooksWebSocket(b) || h323.Looks(b) || set.Looks(b)
}

// TestUpward wants everything that user space would read to go up: what the lab
// sends, and the same with bytes changed and ends cut off.
func TestUpward(t *testing.T) {
	w := newBench(t, Config{live: true, First: 1, HTTP: 60000, SYN: 60000, Hello: 60000, DNS: 60000}, false)
	var payloads []packet.Packet
	seen := map[string]int{}
	set := control.New()
	for _, sc := range lab.Shown() {
		file := makeLab(t, lab.Options{Scenario: sc.Name, Seed: 7, Duration: 5 * time.Minute})
		var dec packet.Decoder
		err := eachFrame(file, 60000, func(_ int64, data []byte) {
			var p packet.Packet
			if k := dec.Frame(capture.LinkEthernet, data, uint32(len(data)), &p); k != packet.Datagram && k != packet.Segment {
				return
			}
			if !wanted(set, &p) {
				return
			}
			key := string(p.Payload[:min(len(p.Payload), 6)]) + string(rune(p.Proto))
			if seen[key]++; seen[key] > 6 {
				return
			}
			p.Payload = slices.Clone(p.Payload)
			payloads = append(payloads, p)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if len(payloads) < 200 {
		t.Fatalf("only %d payloads of interest", len(payloads))
	}
	r := rand.New(rand.NewPCG(1, 1))
	before, _ := w.upward()
	var last uint64
	check := func(p *packet.Packet) {
		t.Helper()
		f := udpFrame("10.1.2.3", "198.51.100.7", 40000, 40001, p.Payload)
		if p.Proto == packet.TCP {
			f = tcpFrame("10.1.2.3", "198.51.100.7", uint16(r.IntN(60000)), 40001, 0x18, p.Payload)
		}
		if len(f) > 3000 {
			return
		}
		w.frame(t0, f)
		sent, limited := w.upward()
		if sent+limited == last {
			t.Fatalf("protocol %d, %d bytes, stays in the kernel: %q", p.Proto, len(p.Payload), p.Payload[:min(len(p.Payload), 80)])
		}
		last = sent + limited
	}
	last = before
	tried := 0
	for i := range payloads {
		check(&payloads[i])
		tried++
		for range 40 {
			p := payloads[i]
			p.Payload = slices.Clone(p.Payload)
			for range r.IntN(3) + 1 {
				at := r.IntN(min(len(p.Payload), 40))
				p.Payload[at] = byte(r.Uint32())
				if r.IntN(3) == 0 {
					p.Payload = p.Payload[:at+1]
				}
			}
			p.Length = uint32(len(p.Payload))
			if wanted(set, &p) && !rejected(&p) {
				check(&p)
				tried++
			}
		}
	}
	t.Logf("%d payloads, %d tried", len(payloads), tried)
}

// rejected are what may stay in the kernel although user space would look at it:
// over TCP, SIP with a URI of no kind that telephony knows.
func rejected(p *packet.Packet) bool {
	return p.Proto == packet.TCP && sip.Looks(p.Payload)
}
