//go:build linux

package live

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"simtrap/lab"
	"simtrap/sensor"
)

// forger makes frames of senders that there are not, each of an address and a port
// of its own: one half call somebody at home, the other half send him voice.
type forger struct {
	n      int
	calls  uint64 // how many of them called
	invite []byte
	frames [][]byte
	// Where in invite the sender's address stands in words, and what is to differ.
	address, unique []int
}

const (
	// floodMemory bounds the process in a flood, and floodGrowth what it takes more
	// at the end of a long one than when a quarter of it was over. A short one has
	// not filled the tables by then.
	floodMemory = 512 << 20
	floodGrowth = 32 << 20
	startsKept  = 65536 // first packets of flows for which the kernel has room

	forgedAddress = "100.100.100.100"
	forgedUnique  = "00000000"
)

func newForger() *forger {
	sdp := "v=0\r\no=- 1 1 IN IP4 " + forgedAddress + "\r\ns=-\r\nc=IN IP4 " + forgedAddress + "\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8 18\r\n"
	f := &forger{invite: fmt.Appendf(nil, "INVITE sip:139%s@203.0.113.77 SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bK%s\r\nFrom: <sip:138%s@%s>;tag=%s\r\nTo: <sip:139%s@203.0.113.77>\r\nCall-ID: %s@%s\r\nCSeq: 1 INVITE\r\nContact: <sip:a@%s>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
		forgedUnique, forgedAddress, forgedUnique, forgedUnique, forgedAddress, forgedUnique, forgedUnique, forgedUnique, forgedAddress, forgedAddress, len(sdp), sdp)}
	places := func(what string) (out []int) {
		for at := 0; ; at += len(what) {
			i := bytes.Index(f.invite[at:], []byte(what))
			if i < 0 {
				return out
			}
			at += i
			out = append(out, 42+at)
		}
	}
	f.address, f.unique = places(forgedAddress), places(forgedUnique)
	for i := range batchFrames {
		if i%2 == 0 {
			f.frames = append(f.frames, datagram(0, 0, 0, 5060, f.invite))
		} else {
			p := make([]byte, 172)
			p[0], p[1] = 0x80, 8
			f.frames = append(f.frames, datagram(0, 0, 0, 20000, p))
		}
	}
	return f
}

// next gives frames of the next senders, at most so many; they are good until the
// next call. No octet is below 100, so that all addresses are of one length, and
// none is of the lab's.
func (f *forger) next(most int) [][]byte {
	part := f.frames[:min(most, len(f.frames))]
	var text, unique [16]byte
	for i, b := range part {
		n := f.n
		f.n++
		src := [4]byte{byte(100 + n%100), byte(100 + n/100%150), byte(100 + n/15000%150), byte(100 + n/2250000%150)}
		copy(b[26:], src[:])
		binary.BigEndian.PutUint32(b[30:], 203<<24|113<<8|uint32(n>>1&0xff))
		binary.BigEndian.PutUint16(b[34:], uint16(1024+n%64000))
		if i%2 == 0 {
			f.calls++
			name := fmt.Appendf(text[:0], "%d.%d.%d.%d", src[0], src[1], src[2], src[3])
			for _, at := range f.address {
				copy(b[at:], name)
			}
			id := fmt.Appendf(unique[:0], "%08d", n)
			for _, at := range f.unique {
				copy(b[at:], id)
			}
		} else {
			binary.BigEndian.PutUint32(b[50:], uint32(n)*2654435761)
		}
	}
	return part
}

// TestFlood: many senders that there are not (SIMTRAP_FLOOD, else 300,000), at a
// steady rate while the calls of one box take place. The box is found as without
// them, memory stays, and every frame is accounted for: looked at by the kernel's
// program, or counted where it was lost.
func TestFlood(t *testing.T) {
	t.Parallel()
	forged, long := 300_000, false
	if v := os.Getenv("SIMTRAP_FLOOD"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			t.Fatalf("SIMTRAP_FLOOD=%s: want a number of senders", v)
		}
		forged, long = n, n > 1_000_000
	}
	s := newSpace(t)
	s.cable("near", "far")
	if why := s.missing("far", "xdp"); why != nil {
		t.Skip(why)
	}
	// Long enough for proof, at its own pace, where there is time for it.
	opt, factor := lab.Options{Scenario: "goip-line", Seed: 2, Duration: 4 * time.Minute}, int64(25)
	if long {
		opt.Duration, factor = 90*time.Second, 1
	}
	list, truth := made(t, opt)
	list = lapse(list, factor)
	box := truth.Lines[0].Address
	alone := filepath.Join(t.TempDir(), "box.pcap")
	if err := os.WriteFile(alone, pcapOf(list), 0o600); err != nil {
		t.Fatal(err)
	}
	want := replay(t, homes, alone)[box]
	if want == nil || want.Verdict != "review" && want.Verdict != "case" {
		t.Fatalf("the box alone: %+v", want)
	}

	d := s.watch("xdp", "{name: far}", homesInYAML)
	d.running()
	near, far := s.counter("near", "tx_dropped"), s.counter("far", "rx_packets")
	box1, flood := s.sender("near"), s.sender("near")
	playing := make(chan error, 1)
	began := time.Now()
	go func() { playing <- play(context.Background(), list, []*sender{box1}) }()
	lasts := time.Duration(list[len(list)-1].at)
	quarter := uint64(0)
	f := newForger()
	for f.n < forged {
		due := int(float64(forged) * float64(time.Since(began)) / float64(lasts))
		if due <= f.n {
			time.Sleep(time.Millisecond)
			continue
		}
		if err := flood.send(f.next(min(due, forged) - f.n)); err != nil {
			t.Fatal(err)
		}
		if quarter == 0 && f.n >= forged/4 {
			quarter, _ = d.resident()
		}
	}
	took := time.Since(began)
	if err := <-playing; err != nil {
		t.Fatal(err)
	}
	end, peak := d.resident()
	st := d.settled()
	sent := box1.sent + flood.sent
	dropped, arrived := s.counter("near", "tx_dropped")-near, s.counter("far", "rx_packets")-far
	c := d.counters()
	// First packets that nothing followed are displaced, which is looked at every
	// four seconds.
	unfollowed := func() uint64 {
		return c["starts_kept"] - c["records"] - c["records_refused"] - lost(&st, "starts_evicted")
	}
	for wait := 0; wait < 20 && unfollowed() > startsKept; wait++ {
		time.Sleep(500 * time.Millisecond)
		st = d.mustStatus()
	}
	looked := c.seen(counterNames(t))
	t.Logf("%d frames of %d senders in %v, %d of the box; %d dropped by the cable, %d arrived, %d looked at", flood.sent, forged, took.Round(time.Millisecond), box1.sent, dropped, arrived, looked)
	t.Logf("resident %d MiB at a quarter, %d at the end, at most %d; maps %d MiB", quarter>>20, end>>20, peak>>20, d.inMaps()>>20)
	t.Logf("%d messages, %d calls, %d streams, %d lines; %d frames up; %v", st.Messages, st.Calls, st.Streams, st.Lines, st.Ports[0].Frames, st.Losses)
	if dropped+arrived != sent {
		t.Errorf("%d frames sent, %d arrived and %d dropped", sent, arrived, dropped)
	}
	if looked != arrived {
		t.Errorf("%d frames arrived, %d were looked at", arrived, looked)
	}
	if n := c.of("up_"); n != st.Ports[0].Frames {
		t.Errorf("%d frames went up, %d came", n, st.Ports[0].Frames)
	}
	told := func() uint64 { return st.Messages + c["frames_lost"] + c.of("limited_") + dropped }
	for wait := 0; wait < 60 && told() < f.calls; wait++ { // what waits is still judged
		time.Sleep(500 * time.Millisecond)
		st = d.mustStatus()
	}
	if n := told(); n < f.calls {
		t.Errorf("%d forged calls, %d messages read or counted as lost", f.calls, n)
	}
	if n := unfollowed(); n > startsKept {
		t.Errorf("%d first packets are not told as displaced, of %d that there is room for", n, startsKept)
	}
	if end > floodMemory || long && end > quarter+floodGrowth {
		t.Errorf("resident %d MiB at a quarter of the flood, %d at its end", quarter>>20, end>>20)
	}
	got := d.findings()[box]
	if got == nil || got.Verdict != want.Verdict || got.Proof != want.Proof {
		t.Fatalf("the box: %+v, without a flood %+v", got, want)
	}
	t.Logf("the box: %s, proof %v, score %s, without a flood %s", got.Verdict, got.Proof, number(got.Score), number(want.Score))
}

// lost gives what a daemon says that was lost for a reason.
func lost(s *sensor.Status, reason string) (n uint64) {
	for _, l := range s.Losses {
		if l.Reason == reason {
			n += l.Count
		}
	}
	return n
}

// pcapOf writes frames as a capture of nanoseconds.
func pcapOf(list []frame) []byte {
	h := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d)
	h = append(h, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	h = binary.LittleEndian.AppendUint32(h, 1<<18)
	h = binary.LittleEndian.AppendUint32(h, 1) // Ethernet
	for _, f := range list {
		at := int64(1_800_000_000e9) + f.at
		h = binary.LittleEndian.AppendUint32(h, uint32(at/1e9))
		h = binary.LittleEndian.AppendUint32(h, uint32(at%1e9))
		h = binary.LittleEndian.AppendUint32(h, uint32(len(f.data)))
		h = binary.LittleEndian.AppendUint32(h, uint32(len(f.data)))
		h = append(h, f.data...)
	}
	return h
}
