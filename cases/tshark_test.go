package cases

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/lab"
	"simtrap/packet"
)

// tsharkNeeds gives what tshark must be told to read an encapsulation, since the
// wire does not say it or its table lacks it; no means that it cannot be told.
func tsharkNeeds(encap string) (args string, no bool) {
	switch {
	case strings.Contains(encap, "l2tpv3"), encap == "ppp-pppd":
		return "", true
	case encap == "qinq-9200":
		return "-o vlan.qinq_ethertype:0x9200", false
	case strings.Contains(encap, "mpls-eth"):
		return "-d mpls.label==16000-26002,pwethnocw", false
	case strings.Contains(encap, "mpls-cw"):
		return "-d mpls.label==16000-26002,pwethcw", false
	}
	return "", false
}

// TestAgainstTshark holds every encapsulation of the matrix to what tshark reads,
// frame by frame: innermost addresses, protocol and ports. The lab and the
// decoder were written from the same documents; this is a third reader.
func TestAgainstTshark(t *testing.T) {
	needTshark(t)
	type group struct {
		file  bytes.Buffer
		names []string // of the encapsulation of each frame
	}
	groups := map[string]*group{}
	for _, r := range rows {
		args, no := tsharkNeeds(r.encap)
		if no {
			continue
		}
		for _, c := range columns()[:3] { // IPv4 over UDP and TCP, IPv6 over UDP
			if r.senseless(c) != "" {
				continue
			}
			var b bytes.Buffer
			truth, err := lab.Make(&b, lab.Options{Scenario: "goip-line", Seed: 4, Duration: 30 * time.Second, Encap: r.encapOf(c)})
			if err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprintf("%x %s", b.Bytes()[20:24], args) // link type
			g := groups[key]
			if g == nil {
				g = &group{}
				groups[key] = g
				g.file.Write(b.Bytes()[:24])
			}
			g.file.Write(b.Bytes()[24:])
			g.names = append(g.names, slices.Repeat([]string{r.encapOf(c)}, truth.Packets)...)
		}
	}
	for key, g := range groups {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "capture")
			if err := os.WriteFile(path, g.file.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			_, args, _ := strings.Cut(key, " ")
			want := readTshark(t, path, strings.Fields(args))
			got := readSimtrap(t, path)
			if len(want) != len(g.names) || len(got) != len(g.names) {
				t.Fatalf("%d frames, tshark reads %d and we %d", len(g.names), len(want), len(got))
			}
			bad, read := map[string]bool{}, map[string]int{}
			for i := range want {
				if strings.HasPrefix(want[i], "udp ") {
					read[g.names[i]]++
				}
				if name := g.names[i]; want[i] != got[i] && !bad[name] {
					bad[name] = true // one of a kind is enough
					t.Errorf("%s, frame %d: %s, tshark reads %s", name, i+1, got[i], want[i])
				}
			}
			for _, name := range g.names {
				if read[name] < 20 {
					t.Fatalf("%s: tshark reads %d datagrams", name, read[name])
				}
			}
		})
	}
}

// readTshark gives "protocol source:port > destination:port" of the innermost
// headers of every frame.
func readTshark(t *testing.T, path string, args []string) (out []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args = append([]string{"-n", "-r", path, "-T", "fields", "-E", "occurrence=l"}, args...)
	for _, f := range []string{"frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport", "udp.dstport", "tcp.srcport", "tcp.dstport"} {
		args = append(args, "-e", f)
	}
	cmd := exec.CommandContext(ctx, "tshark", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.String())
	}
	for _, l := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		c := strings.Split(l, "\t")
		network, transport := 1, 5
		proto := "none"
		for _, p := range strings.Split(c[0], ":") {
			switch p {
			case "ip":
				network = 1
			case "ipv6":
				network = 3
			case "udp":
				proto, transport = p, 5
			case "tcp":
				proto, transport = p, 7
			}
		}
		out = append(out, fmt.Sprintf("%s %s:%s > %s:%s", proto, c[network], c[transport], c[network+1], c[transport+1]))
	}
	return out
}

func readSimtrap(t *testing.T, path string) (out []string) {
	t.Helper()
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	var d packet.Decoder
	for {
		b, err := files.Next(t.Context())
		if err != nil {
			return out
		}
		for i, f := range b.Frames {
			var p packet.Packet
			proto := "none"
			switch d.Frame(f.Link, b.Data(i), f.Wire, &p) {
			case packet.Datagram:
				proto = "udp"
			case packet.Segment:
				proto = "tcp"
			}
			out = append(out, fmt.Sprintf("%s %s:%d > %s:%d", proto, p.Src, p.SrcPort, p.Dst, p.DstPort))
		}
		b.Release()
	}
}
