package pipeline

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// traffic is a capture of plain make, as large as one likes: it measures cost,
// not detection.
type traffic struct {
	lines   int // that speak at all, two datagrams each
	streams int // of media, two for a conversation
	each    int // packets of each stream
	calls   int // up all at once
}

// pcap writes the traffic as a capture of raw IP.
func (w traffic) pcap() []byte {
	b := make([]byte, pcapHeader, pcapHeader+w.lines*2*76+w.streams*w.each*76+w.calls*3000)
	binary.LittleEndian.PutUint32(b, 0xa1b23c4d) // times in ns
	binary.LittleEndian.PutUint16(b[4:], 2)
	binary.LittleEndian.PutUint16(b[6:], 4)
	binary.LittleEndian.PutUint32(b[16:], 1<<16)
	binary.LittleEndian.PutUint32(b[20:], 101)
	const start = int64(1.7e18)
	put := func(t int64, src, dst uint32, sport, dport uint16, payload []byte) {
		var h [16 + 28]byte
		n := uint32(28 + len(payload))
		binary.LittleEndian.PutUint32(h[0:], uint32((start+t)/1e9))
		binary.LittleEndian.PutUint32(h[4:], uint32((start+t)%1e9))
		binary.LittleEndian.PutUint32(h[8:], n)
		binary.LittleEndian.PutUint32(h[12:], n)
		ip := h[16:]
		ip[0], ip[8], ip[9] = 0x45, 60, 17
		binary.BigEndian.PutUint16(ip[2:], uint16(n))
		binary.BigEndian.PutUint32(ip[12:], src)
		binary.BigEndian.PutUint32(ip[16:], dst)
		binary.BigEndian.PutUint16(ip[20:], sport)
		binary.BigEndian.PutUint16(ip[22:], dport)
		binary.BigEndian.PutUint16(ip[24:], uint16(n-20))
		b = append(append(b, h[:]...), payload...)
	}
	const span = int64(20e9) // of packet time, for each part
	const server = uint32(198)<<24 | 51<<16 | 100<<8 | 1
	line := func(i int) uint32 { return 100<<24 | 64<<16 + uint32(i) }
	var rtp [32]byte
	for k := range w.each {
		for i := range w.streams {
			rtp[0], rtp[1] = 0x80, 18
			binary.BigEndian.PutUint16(rtp[2:], uint16(k))
			binary.BigEndian.PutUint32(rtp[4:], uint32(160*k))
			binary.BigEndian.PutUint32(rtp[8:], uint32(i)+1)
			t := int64(k)*20e6 + int64(i)*20e6/int64(w.streams)
			pair := i / 2
			if i%2 == 0 {
				put(t, line(pair), server+uint32(pair%200), 10000, uint16(20000+pair/200*2), rtp[:])
			} else {
				put(t, server+uint32(pair%200), line(pair), uint16(20000+pair/200*2), 10000, rtp[:])
			}
		}
	}
	past := int64(w.each) * 20e6
	for i := range 2 * w.lines {
		put(past+int64(i)*span/int64(2*w.lines), line(i%w.lines), server+uint32(i%200), 40000, 7000, rtp[12:])
	}
	past += span
	sip := func(t int64, i int, up bool, first, method, tag, body string) {
		m := fmt.Sprintf("%s\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK%s%d\r\nFrom: <sip:0%d@192.0.2.9>;tag=a%d\r\nTo: <sip:1391234%04d@192.0.2.8>%s\r\n"+
			"Call-ID: %d@192.0.2.9\r\nCSeq: 1 %s\r\nContact: <sip:0%d@192.0.2.9:5060>\r\nUser-Agent: measure\r\nContent-Length: %d\r\n\r\n%s",
			first, method, i, i, i, i%10000, tag, i, method, i, len(body), body)
		if up {
			put(t, line(i), server+uint32(i%200), 5060, 5060, []byte(m))
		} else {
			put(t, server+uint32(i%200), line(i), 5060, 5060, []byte(m))
		}
	}
	for part := range 2 {
		for i := range w.calls {
			t := past + int64(part)*span + int64(i)*span/int64(w.calls)
			tag := fmt.Sprintf(";tag=b%d", i)
			sdp := fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio %d RTP/AVP 18 8\r\n", 10000+i%20000*2)
			if part == 0 {
				sip(t, i, false, fmt.Sprintf("INVITE sip:1391234%04d@192.0.2.8 SIP/2.0", i%10000), "INVITE", "", sdp)
				sip(t+1e5, i, true, "SIP/2.0 180 Ringing", "INVITE", tag, "")
				sip(t+2e5, i, true, "SIP/2.0 200 OK", "INVITE", tag, sdp)
				sip(t+3e5, i, false, "ACK sip:x@192.0.2.8 SIP/2.0", "ACK", tag, "")
			} else {
				sip(t, i, false, "BYE sip:x@192.0.2.8 SIP/2.0", "BYE", tag, "")
				sip(t+1e5, i, true, "SIP/2.0 200 OK", "BYE", tag, "")
			}
		}
	}
	return b
}

// TestMediaAllocatesNothing: what packets of media cost is nothing, however many;
// what streams and intervals cost is spread over their packets. A longer capture of
// the same streams tells it from what streams cost when they begin.
func TestMediaAllocatesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector allocates too")
	}
	cost := func(each int) uint64 {
		w := traffic{streams: 200, each: each}
		file := w.pcap()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		runOnce(t, file, 1)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	const short, long = 1000, 3000 // the first runs through all room that epochs take
	cost(short)                    // what the first run of a process loads
	few, many := cost(short), cost(long)
	per := (float64(many) - float64(few)) / (200 * (long - short))
	t.Logf("%.3f bytes a packet: %d for %d packets, %d for %d", per, few, 200*short, many, 200*long)
	if per >= 1 {
		t.Errorf("%.3f bytes allocated a packet, want less than 1", per)
	}
}

// TestMeasureGrowth measures what packets, lines, streams and calls cost, over three
// decades of each, and draws it: SIMTRAP_GROWTH names the folder for growth.svg and
// for the capture of a million lines, million.pcap.
func TestMeasureGrowth(t *testing.T) {
	dir := os.Getenv("SIMTRAP_GROWTH")
	if dir == "" {
		t.Skip("SIMTRAP_GROWTH names no folder")
	}
	type series struct {
		name string
		n    []int
		make func(n int) traffic
		cost []float64 // seconds of a processor
	}
	list := []*series{
		{name: "packets", n: []int{1e3, 1e4, 1e5, 1e6}, make: func(n int) traffic { return traffic{streams: 100, each: n / 100} }},
		{name: "lines", n: []int{1e3, 1e4, 1e5, 1e6}, make: func(n int) traffic { return traffic{lines: n} }},
		{name: "streams", n: []int{1e2, 1e3, 1e4, 1e5}, make: func(n int) traffic { return traffic{streams: n, each: 24} }},
		{name: "calls", n: []int{1e2, 1e3, 1e4, 1e5}, make: func(n int) traffic { return traffic{calls: n} }},
	}
	empty := math.Inf(1)
	for range 5 {
		empty = min(empty, spent(func() { runOnce(t, traffic{}.pcap(), 1) }))
	}
	for _, s := range list {
		for _, n := range s.n {
			file := s.make(n).pcap()
			least := math.Inf(1)
			for range 3 {
				least = min(least, spent(func() { runOnce(t, file, 1) }))
			}
			least = max(least-empty, 1e-6) // what an empty capture costs is nobody's
			s.cost = append(s.cost, least)
			t.Logf("%-8s %8d: %8.4f s, %7.0f ns each", s.name, n, least, least*1e9/float64(n))
		}
		// The last decade against n log n, with room for the noise of a machine
		// and for tables that leave the caches.
		k := len(s.n) - 1
		grew := s.cost[k] / s.cost[k-1]
		most := 10 * math.Log(float64(s.n[k])) / math.Log(float64(s.n[k-1]))
		t.Logf("%-8s the last decade costs %.1f times the one before; n log n would be %.1f", s.name, grew, most)
		if grew > 3*most {
			t.Errorf("%s: the last decade costs %.1f times the one before", s.name, grew)
		}
	}
	var b strings.Builder
	const wide, high, left, low = 640, 420, 60, 380
	x := func(n int) float64 { return left + (math.Log10(float64(n))-2)*130 }
	y := func(s float64) float64 { return low - (math.Log10(s)+5)*55 }
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", wide, high)
	for k := 2; k <= 6; k++ {
		fmt.Fprintf(&b, "<path d=\"M%.0f 20V%d\" stroke=\"#ddd\"/><text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">1e%d</text>\n", x(pow(k)), low, x(pow(k)), low+16, k)
	}
	for k := -5; k <= 1; k++ {
		s := math.Pow(10, float64(k))
		fmt.Fprintf(&b, "<path d=\"M%d %.0fH600\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">1e%d s</text>\n", left, y(s), left-4, y(s)+4, k)
	}
	colours := []string{"#1b6ca8", "#c2571a", "#3a7d44", "#8e3b8e"}
	for i, s := range list {
		var line, guide strings.Builder
		for k, n := range s.n {
			fmt.Fprintf(&line, "%.1f,%.1f ", x(n), y(s.cost[k]))
			// n log n through the second point: below it, fixed costs show.
			at := s.cost[1] * float64(n) * math.Log(float64(n)) / (float64(s.n[1]) * math.Log(float64(s.n[1])))
			fmt.Fprintf(&guide, "%.1f,%.1f ", x(n), y(at))
		}
		fmt.Fprintf(&b, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-dasharray=\"3 4\" opacity=\"0.6\"/>\n", guide.String(), colours[i])
		fmt.Fprintf(&b, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", line.String(), colours[i])
		fmt.Fprintf(&b, "<text x=\"80\" y=\"%d\" fill=\"%s\">%s</text>\n", 36+16*i, colours[i], s.name)
	}
	fmt.Fprintf(&b, "<text x=\"80\" y=\"%d\">dashed: n log n through the second point</text>\n</svg>\n", 36+16*len(list))
	if err := os.WriteFile(filepath.Join(dir, "growth.svg"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	million := traffic{lines: 1e6, streams: 1e5, each: 24}
	if err := os.WriteFile(filepath.Join(dir, "million.pcap"), million.pcap(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func pow(k int) int { return int(math.Pow(10, float64(k))) }

// spent is the time of processors that f takes, in seconds.
func spent(f func()) float64 {
	runtime.GC()
	used := func() float64 {
		var r syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
		return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
	}
	before := used()
	f()
	return used() - before
}
