package pipeline

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/rtp"
)

// sealedKernel gives of what it cannot read what the kernel programs give: intervals
// of media and of tunnels, the beginning of each flow, and what it was asked to
// follow.
type sealedKernel struct {
	kernel
	gates   *tunnel.Gates
	records []tunnel.Record
	begun   map[rtp.Flow]int

	mu      sync.Mutex
	follows map[rtp.Flow]bool
	data    int // segments of TLS that were given for being followed
}

func newSealedKernel(list []frameOf, size int) *sealedKernel {
	k := &sealedKernel{kernel: *newKernel(list, size), begun: make(map[rtp.Flow]int), follows: make(map[rtp.Flow]bool)}
	k.media = rtp.NewAccounting(rtp.Config{Flows: 1 << 14}, func(iv *rtp.Interval) { k.intervals = append(k.intervals, *iv) })
	k.gates = tunnel.NewGates(func(r *tunnel.Record) { k.records = append(k.records, *r) })
	return k
}

func (k *sealedKernel) Follow(f rtp.Flow) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.follows[f], k.follows[f.Reverse()] = true, true
	return nil
}

func (k *sealedKernel) Tunnels(dst []tunnel.Record) []tunnel.Record {
	dst = append(dst, k.records...)
	k.records = k.records[:0]
	return dst
}

func (k *sealedKernel) Next(ctx context.Context) (*capture.Batch, error) {
	const first = 96 // datagrams of a flow (docs/bpf.md)
	b, err := k.port.Next(ctx)
	if err != nil {
		k.media.Flush()
		k.gates.Close()
		return b, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := b.Frames[:0]
	for i := range b.Frames {
		f := b.Frames[i]
		var p packet.Packet
		p.Time, p.TapPort = f.Time, f.Port
		k.now = f.Time
		kind := k.decoder.Frame(f.Link, b.Data(i), f.Wire, &p)
		flow := flowOfPacket(&p)
		switch {
		case kind == packet.Segment:
			if p.Flags&packet.SYN == 0 && !tlsHello(p.Payload) {
				if !k.follows[flow] {
					continue
				}
				k.data++
			}
		case kind == packet.Datagram && p.Proto == packet.UDP:
			if k.media.Packet(&p) {
				k.dropped++
				continue
			}
			pair := p.Src.Hash(1) + p.Dst.Hash(1)
			if k.gates.Wants(p.Time, int(p.Length)) {
				k.gates.Packet(pair, p.Src, p.Dst, p.SrcPort, p.DstPort, p.Proto, p.Realm, p.Time, int(p.Length))
			}
			if k.begun[flow]++; k.begun[flow] < 2 || k.begun[flow] > first {
				continue
			}
		}
		kept = append(kept, f)
	}
	b.Frames = kept
	k.media.Sweep(k.now)
	k.gates.Sweep(k.now)
	return b, nil
}

// TestHiddenLive: hidden calls are judged alike from a file and a port, and what the
// kernel programs give tells of the same. TLS to other ports than that of SIP is not
// among it, so that scores differ by what that is worth and a watch takes the larger
// margin.
func TestHiddenLive(t *testing.T) {
	homes, err := ident.ParseHomes(lab.Homes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	// said are the rows that hidden calls are told by, and where.
	said := func(r *Result, line string) (verdict heuristics.Verdict, score float64, ids []string) {
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Line.Addr.String() != line {
				continue
			}
			verdict, score = f.Verdict, f.Score
			for _, s := range f.Signals {
				if strings.HasPrefix(s.ID, "talk-") || strings.HasPrefix(s.ID, "tunnel-") {
					ids = append(ids, s.ID)
				}
			}
		}
		slices.Sort(ids)
		return verdict, score, slices.Compact(ids)
	}
	for _, tt := range []struct {
		opt    lab.Options
		want   string
		sealed bool // its signalling is on the port of SIP over TLS
	}{
		{lab.Options{Scenario: "hide-srtp", Seed: 5, Duration: 8 * time.Minute}, "talk-concurrency", false},
		{lab.Options{Scenario: "twin-dialler-shop", Seed: 3, Duration: 10 * time.Minute}, "talk-concurrency", true},
		{lab.Options{Scenario: "hide-wireguard", Seed: 5, Duration: 5 * time.Minute}, "tunnel-calls", false},
	} {
		t.Run(tt.opt.Scenario, func(t *testing.T) {
			if testing.Short() {
				tt.opt.Duration /= 2
			}
			file, truth := made(t, tt.opt)
			cfg := Config{Workers: 2, Homes: homes}
			replay, err := Run(t.Context(), opened(t, file), cfg)
			if err != nil {
				t.Fatal(err)
			}
			line := truth.Lines[0].Address
			verdict, score, ids := said(replay, line)
			if !testing.Short() && !slices.Contains(ids, tt.want) {
				t.Fatalf("replay says %v", ids)
			}
			list := frames(t, opened(t, file))
			if d := cmp.Diff(written(t, replay), written(t, live(t, cfg, &port{number: 1, list: list, size: 300}))); d != "" {
				t.Errorf("(-replay +port):\n%s", d)
			}
			k := newSealedKernel(list, 300)
			gotVerdict, gotScore, got := said(live(t, cfg, k), line)
			if d := cmp.Diff(ids, got); d != "" || gotVerdict > verdict || gotScore < score-1.5 || gotScore > score+1.5 {
				t.Errorf("%v %.2f, replay %v %.2f (-replay +kernel):\n%s", gotVerdict, gotScore, verdict, score, d)
			}
			if tt.sealed && k.data == 0 {
				t.Error("no connection was followed")
			}
		})
	}
}
