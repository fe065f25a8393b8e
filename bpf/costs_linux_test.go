package bpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/perf"
	"golang.org/x/sys/unix"
)

// BenchmarkCosts measures what the program takes of one hot packet by test run, as
// ratios in one run; make bench-live prints it. The programs to compare with pass
// everything, and read the clock first.
func BenchmarkCosts(b *testing.B) {
	needBPF(b)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var one unix.CPUSet
	one.Set(0)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		b.Skip(err)
	}
	xdp := func(ins ...asm.Instruction) *ebpf.Program {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: append(ins, asm.Mov.Imm(asm.R0, 2), asm.Return())})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close() })
		return p
	}
	ours := func(c Config) *kernelObjects {
		c.PerSource = 1 << 31
		if err := c.fill(); err != nil {
			b.Fatal(err)
		}
		o, err := load(&c, haveRing())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { o.Close() })
		return o
	}
	rtp := udpFrame("10.1.2.3", "198.51.100.7", 10000, 20000, rtpPayload(8, 1, 160, 77, 160))
	sip := udpFrame("10.1.2.3", "198.51.100.7", 5060, 5060, []byte(invite+strings.Repeat("X-Filler: 0123456789\r\n", 24)))
	tls := tcpFrame("10.1.2.3", "198.51.100.7", 40000, 443, 0x18, append([]byte{0x17, 3, 3, 4, 0}, make([]byte, 1400)...))
	tunnel := tunnels[0].make("10.64.0.1", "10.96.0.1", rtp)
	plain, single, many := ours(Config{}), ours(Config{bench: 1}), ours(Config{bench: 18, Flows: 1 << 18, Starts: 1 << 18})
	believed := ours(Config{bench: 1, GTP: true})
	asked := ours(Config{bench: 1, GTP: true, Homes: prefixes(b, "203.0.113.0/24", "198.51.100.0/24", "100.64.0.0/10", "2001:db8::/32")})
	reader, err := perf.NewReaderWithOptions(plain.FrameEvents, 1<<22, perf.ReaderOptions{Watermark: 1 << 21})
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close()
	drain := func() {
		var rec perf.Record
		reader.SetDeadline(time.Unix(1, 0))
		for !errors.Is(reader.ReadInto(&rec), os.ErrDeadlineExceeded) {
		}
	}
	cases := []struct {
		name   string
		p      *ebpf.Program
		frame  []byte
		repeat int
		fine   bool
		after  func()
		to     int     // which case it is compared with
		goal   float64 // 0 none
		ns     []float64
	}{
		{name: "pass only", p: xdp(), frame: rtp, repeat: 1000, fine: true},
		{name: "clock only", p: xdp(asm.FnKtimeGetNs.Call()), frame: rtp, repeat: 1000000},
		{name: "foreign TCP", p: plain.SimtrapXdp, frame: tls, repeat: 1000, fine: true, to: 0, goal: 1.4},
		{name: "RTP accounted", p: single.SimtrapXdp, frame: rtp, repeat: 1000000, to: 1, goal: 2.0},
		{name: fmt.Sprintf("SIP frame, %d bytes", len(sip)), p: plain.SimtrapXdp, frame: sip, repeat: 3000, after: drain, to: 3, goal: 6},
		{name: "RTP, 131072 flows", p: many.SimtrapXdp, frame: rtp, repeat: 1000000, to: 0, goal: 16},
		{name: "RTP in GTP-U", p: believed.SimtrapXdp, frame: tunnel, repeat: 1000000, to: 3},
		{name: "RTP in GTP-U, home set", p: asked.SimtrapXdp, frame: tunnel, repeat: 1000000, to: 6},
	}
	run := func(i int) float64 {
		_, own, err := cases[i].p.Benchmark(cases[i].frame, cases[i].repeat, nil)
		if err != nil {
			b.Fatal(err)
		}
		d := float64(own)
		if cases[i].fine {
			// The kernel's own figure is whole nanoseconds, cut off: too coarse. What
			// a test run takes besides is some milliseconds, in steps of a few.
			took := func(repeat int) time.Duration {
				began := time.Now()
				if _, err := cases[i].p.Run(&ebpf.RunOptions{Data: cases[i].frame, Repeat: uint32(repeat)}); err != nil {
					b.Fatal(err)
				}
				return time.Since(began)
			}
			const much = 16000000
			d = float64(took(much)-took(1000)) / much
		}
		if cases[i].after != nil {
			cases[i].after()
		}
		return d
	}
	run(5) // its flows are made now
	for i := range cases {
		run(i)
	}
	const rounds = 15
	for range rounds {
		for i := range cases {
			cases[i].ns = append(cases[i].ns, run(i))
		}
	}
	median := func(v []float64) float64 { v = slices.Sorted(slices.Values(v)); return v[len(v)/2] }
	b.Logf("%-24s %8s %8s %8s   %s", "ns a packet", "median", "least", "most", "ratio (least to most of a round), goal")
	for i := range cases {
		c := &cases[i]
		line := fmt.Sprintf("%-24s %8.1f %8.1f %8.1f", c.name, median(c.ns), slices.Min(c.ns), slices.Max(c.ns))
		if c.goal > 0 || c.to > 0 {
			var ratios []float64
			for j, n := range c.ns {
				ratios = append(ratios, n/cases[c.to].ns[j])
			}
			line += fmt.Sprintf("   %.2f (%.2f to %.2f) x %s", median(ratios), slices.Min(ratios), slices.Max(ratios), cases[c.to].name)
		}
		if c.goal > 0 {
			line += fmt.Sprintf(", goal %.1f", c.goal)
		}
		b.Log(line)
	}
	n, err := sumCounters(many.Counts)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("of %d packets of the last, %d were accounted, %d records, %d copies of them displaced", n[accounted]+n[starts], n[accounted], n[records], n[records]-min(n[records], 1<<17))
	s, err := sumCounters(plain.Counts)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("SIP: %d frames went up, %d lost", s[upSIP], s[framesLost])
	for i := range cases {
		b.ReportMetric(median(cases[i].ns), strings.ReplaceAll(strings.ReplaceAll(cases[i].name, ",", ""), " ", "-")+"-ns")
	}
}
