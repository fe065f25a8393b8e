package rtp

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"simtrap/capture"
	"simtrap/packet"
)

// replay gives the intervals of one capture file, in order.
func replay(file string) ([]Interval, error) {
	src, err := capture.Open([]string{file}, capture.Options{})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	var ivs []Interval
	a := NewAccounting(Config{Seed: 1}, func(iv *Interval) { ivs = append(ivs, *iv) })
	var d packet.Decoder
	for {
		b, err := src.Next(context.Background())
		if err != nil {
			break
		}
		for i := range b.Frames {
			f := &b.Frames[i]
			p := packet.Packet{Time: f.Time, TapPort: f.Port}
			if d.Frame(f.Link, b.Data(i), f.Wire, &p) == packet.Datagram {
				a.Packet(&p)
			}
		}
		b.Release()
	}
	a.Flush()
	slices.SortStableFunc(ivs, func(a, b Interval) int { return a.Compare(&b) })
	return ivs, nil
}

// corpusStreams is how many streams we confirm in the public captures of which
// a first-packet heuristic says that they may hold RTP: a guard against change,
// taken from what this package found and held plausible by payload type, packet
// time and direction, not an independent truth. Those not listed have none.
var corpusStreams = map[string]int{
	"false_positives.pcapng":   6, // PCMA and AMR calls
	"skinny.pcap":              6, // PCMU
	"stun_classic.pcap":        2, // G.729
	"stun_dtls_rtp.pcapng":     1, // Opus
	"whatsapp_login_call.pcap": 3, // a wide-band codec of type 120; the fourth direction is nearly silent
}

// TestCorpus prints what is confirmed in the public captures that are said to
// hold RTP, and judges those where that may be false.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SIMTRAP_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus")
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "MANIFEST.tsv"))
	if err != nil {
		t.Skip("no corpus of public captures")
	}
	judged := 0
	for line := range strings.Lines(string(manifest)) {
		col := strings.Split(strings.TrimSpace(line), "\t")
		if len(col) < 7 || !strings.Contains(col[6], "RTP ") {
			continue
		}
		ivs, err := replay(filepath.Join(dir, col[0]))
		if err != nil {
			continue // package capture tells which files are none
		}
		name := filepath.Base(col[0])
		h, c := judge(Config{}, ivs)
		t.Logf("%-40s %d RTP, %d voice-like; said: %.60s", name, c.Confirmed-c.VoiceLike, c.VoiceLike, col[6])
		for _, s := range h.ended {
			t.Logf("    type %d, %d packets of %d ms over %.0f s, clock %.1f ± %.1f ppm (%v)",
				s.PT, s.Packets, s.Ptime/1e6, float64(s.End-s.Start)/1e9, s.PPM, s.PPMError, s.ClockOK)
		}
		if strings.Contains(col[6], "may be false") {
			judged++
			if int(c.Confirmed) != corpusStreams[name] {
				t.Errorf("%s: %d streams confirmed, there are %d", name, c.Confirmed, corpusStreams[name])
			}
		}
	}
	if judged == 0 {
		t.Error("the manifest lists no doubtful capture")
	}
}
