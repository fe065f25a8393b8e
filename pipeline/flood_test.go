package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
)

// flood is a source that puts forged INVITEs between the frames of a capture.
type flood struct {
	real   []frameOf
	forged int // how many
	each   func()
	n      int
	seq    uint64
	rng    *rand.Rand
	sent   int
	free   [][]byte // blocks given back
}

// floodBlock is the size of blocks that files are read in.
const floodBlock = 256 << 10

func (f *flood) Next(context.Context) (*capture.Batch, error) {
	if f.n >= len(f.real) && f.sent >= f.forged {
		return nil, io.EOF
	}
	if f.each != nil {
		f.each()
	}
	var block []byte
	if n := len(f.free); n > 0 {
		block, f.free = f.free[n-1][:0], f.free[:n-1]
	} else {
		block = make([]byte, 0, floodBlock)
	}
	b := capture.NewBatch(block, func(b *capture.Batch) { f.free = append(f.free, b.Block) })
	b.Seq = f.seq
	put := func(t int64, data []byte) {
		b.Frames = append(b.Frames, capture.Frame{Time: t, Off: uint32(len(b.Block)), Len: uint32(len(data)), Wire: uint32(len(data)), Link: capture.LinkEthernet})
		b.Block = append(b.Block, data...)
		f.seq++
	}
	first, last := f.real[0].time, f.real[len(f.real)-1].time
	for len(b.Block) < floodBlock-2048 && (f.n < len(f.real) || f.sent < f.forged) {
		at := first + int64(float64(last-first)*float64(f.sent)/float64(max(1, f.forged)))
		if f.sent < f.forged && (f.n == len(f.real) || at < f.real[f.n].time) {
			put(at, f.invite())
			f.sent++
			continue
		}
		put(f.real[f.n].time, f.real[f.n].data)
		f.n++
	}
	return b, nil
}

func (f *flood) Close() error { return nil }

// invite is an INVITE from anywhere to some address of 203.0.113.0/24, with an
// offer of media.
func (f *flood) invite() []byte {
	if f.rng == nil {
		f.rng = rand.New(rand.NewPCG(1, 2))
	}
	r := f.rng
	src := [4]byte{byte(1 + r.IntN(222)), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
	dst := [4]byte{203, 0, 113, byte(r.Uint32())}
	from, to := netip.AddrFrom4(src), netip.AddrFrom4(dst)
	sdp := fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 8 18\r\n", from, from, 1024+2*r.IntN(32000))
	called := 13000000000 + r.Int64N(9e8)
	sip := fmt.Sprintf("INVITE sip:%d@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bK%x\r\nFrom: <sip:%d@%s>;tag=%x\r\nTo: <sip:%d@%s>\r\nCall-ID: %x@%s\r\nCSeq: 1 INVITE\r\nContact: <sip:a@%s>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
		called, to, from, r.Uint64(), 13000000000+r.Int64N(9e8), from, r.Uint32(), called, to, r.Uint64(), from, from, len(sdp), sdp)
	b := make([]byte, 14+20+8, 14+20+8+len(sip))
	b[12] = 8
	ip, udp := b[14:34], b[34:]
	ip[0], ip[8], ip[9] = 0x45, 55, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(sip)))
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(udp, 5060)
	binary.BigEndian.PutUint16(udp[2:], 5060)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(sip)))
	return append(b, sip...)
}

// TestFlood: a million calls in the names of a million strangers take bounded
// memory and do not hide the one box.
func TestFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	file, truth := made(t, lab.Options{Scenario: "goip-line", Seed: 2, Duration: 6 * time.Minute})
	box := truth.Lines[0]
	real := frames(t, opened(t, file))
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		homes  *ident.Homes
		forged int
		limit  uint64 // MiB
	}{
		{"with homes", homes, 1_000_000, 200},
		// Every stranger may be a subscriber: the table of lines fills up as well.
		{"without", nil, 1_000_000, 256},
	} {
		t.Run(c.name, func(t *testing.T) {
			quiet, err := Run(t.Context(), &flood{real: real}, Config{Homes: c.homes, Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			want := findingOf(quiet, box.Address)
			if want == nil {
				t.Fatal("the box is not found even without a flood")
			}
			before, most := liveHeap(), uint64(0)
			batches := 0
			src := &flood{real: real, forged: c.forged, each: func() {
				if batches++; batches%200 == 0 {
					most = max(most, liveHeap())
				}
			}}
			start := time.Now()
			r, err := Run(t.Context(), src, Config{Homes: c.homes, Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d frames in %v, %d lines, %d calls, at most %d MiB live", r.Stats.Frames, time.Since(start).Round(time.Millisecond), r.Stats.Lines, r.Stats.Calls, (most-before)>>20)
			for _, l := range r.Losses {
				t.Logf("%s: %d %s", l.Stage, l.Count, l.Reason)
			}
			if r.Stats.Messages < uint64(c.forged) {
				t.Fatalf("only %d messages were read", r.Stats.Messages)
			}
			if most > before+c.limit<<20 {
				t.Errorf("%d MiB in use, want less than %d", (most-before)>>20, c.limit)
			}
			got := findingOf(r, box.Address)
			if got == nil {
				t.Fatal("the box is not found")
			}
			if got.Verdict != heuristics.Case || !got.Proof || len(got.Cards) != len(want.Cards) {
				t.Errorf("verdict %v, proof %v, %d cards; want case by proof, %d cards", got.Verdict, got.Proof, len(got.Cards), len(want.Cards))
			}
			if got.Calls.Answered < want.Calls.Answered*9/10 {
				t.Errorf("%d answered calls of the box, without a flood %d", got.Calls.Answered, want.Calls.Answered)
			}
			for i := range r.Findings {
				if f := &r.Findings[i]; f.Line != got.Line && f.Verdict > heuristics.None {
					t.Errorf("%v rises to %v", f.Line, f.Verdict)
				}
			}
		})
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func findingOf(r *Result, address string) *heuristics.Finding {
	for i := range r.Findings {
		if r.Findings[i].Line.String() == address {
			return &r.Findings[i]
		}
	}
	return nil
}
