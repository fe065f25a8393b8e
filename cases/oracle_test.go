package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/control"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/rtp"
	"simtrap/sip"
)

// The tests of this file compare what is read of a capture with what tshark
// reads of it: SIP methods and statuses, media streams with their packets, loss
// and jitter. They need tshark, which CI installs.

// tally is what one reader found in a capture.
type tally struct {
	messages map[string]int // "INVITE", "200"
	streams  map[string]flowStats
}

type flowStats struct {
	packets, lost int
	jitter        float64 // greatest, ms
	payload       string
}

// watcher gathers a tally from the pipeline.
type watcher struct{ tally }

func (w *watcher) Message(_ *packet.Packet, m *sip.Message) {
	if m.Status != 0 {
		w.messages[strconv.Itoa(int(m.Status))]++
	} else {
		w.messages[string(bytes.ToUpper(m.Raw[:max(0, bytes.IndexByte(m.Raw, ' '))]))]++
	}
}
func (w *watcher) Call(*sip.Call, sip.CallEvent)  {}
func (w *watcher) Registration(*sip.Registration) {}
func (w *watcher) Request(*sip.Request)           {}
func (w *watcher) Record(*control.Record)         {}
func (w *watcher) Interval(*rtp.Interval)         {}
func (w *watcher) Stream(s *rtp.Stream, ended bool) {
	if !ended || !s.Readable {
		return
	}
	f := &s.Flow
	key := streamKey(f.Src, f.SrcPort, f.Dst, f.DstPort, s.SSRC)
	o := w.streams[key]
	o.packets += int(s.Packets)
	o.lost += int(s.Lost) - int(s.Late)
	o.jitter = max(o.jitter, float64(s.Jitter)/1e6)
	w.streams[key] = o
}

func streamKey(src ident.Addr, sport uint16, dst ident.Addr, dport uint16, ssrc uint32) string {
	return fmt.Sprintf("%s:%d > %s:%d %08x", src, sport, dst, dport, ssrc)
}

func observed(t *testing.T, path string) *tally {
	t.Helper()
	f, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &watcher{tally{map[string]int{}, map[string]flowStats{}}}
	if _, err := pipeline.Run(context.Background(), f, pipeline.Config{Workers: 1, Observe: w}); err != nil {
		t.Fatal(err)
	}
	return &w.tally
}

// tshark runs it over a file. That a capture is cut short is no fault of its.
func tshark(t *testing.T, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// Preferences of whoever runs the test must not count.
	cmd := exec.CommandContext(ctx, "tshark", append([]string{"-n", "-r", path,
		"--enable-heuristic", "rtp_udp", "--enable-heuristic", "sip_udp", "--enable-heuristic", "sip_tcp",
		"-o", "ip.defragment:TRUE", "-o", "ipv6.defragment:TRUE", "-o", "tcp.desegment_tcp_streams:TRUE"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TZ=UTC", "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && strings.Contains(stderr.String(), "cut short")) {
		t.Fatalf("tshark %s: %v: %s", path, err, stderr.String())
	}
	return string(out)
}

func needTshark(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	_, err := exec.LookPath("tshark")
	if err == nil {
		_, err = exec.LookPath("sharkd") // of Debian's wireshark-common, which tshark needs
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("tshark is not installed, and CI is to compare with it")
		}
		t.Skip("tshark is not installed (apt-get install tshark): not compared")
	}
}

// tally reads a capture with Wireshark.
func (s *sharks) tally(t *testing.T, path string) *tally {
	t.Helper()
	out := &tally{map[string]int{}, map[string]flowStats{}}
	rows, streams := s.read(t, path, "sip && !icmp && !icmpv6", "sip.Method", "sip.Status-Code")
	for _, r := range rows {
		// Several messages of one segment stand in one row, by commas.
		for f := range strings.FieldsFuncSeq(strings.Join(r, ","), func(r rune) bool { return r == ',' }) {
			out.messages[strings.ToUpper(f)]++
		}
	}
	for _, w := range streams {
		src, ok1 := ident.ParseAddr([]byte(w.Src))
		dst, ok2 := ident.ParseAddr([]byte(w.Dst))
		if !ok1 || !ok2 {
			t.Fatalf("addresses of a stream: %q, %q", w.Src, w.Dst)
		}
		key := streamKey(src, w.SrcPort, dst, w.DstPort, w.SSRC)
		o := out.streams[key]
		o.packets += w.Packets
		o.lost += w.Expected - w.Total
		o.jitter = max(o.jitter, w.MaxJitter)
		o.payload = w.Payload
		out.streams[key] = o
	}
	return out
}

const (
	// sureStream is from how many packets on a stream must be found by both.
	sureStream = 60
	// streamEnds is how many packets of a stream's beginning and end may be in
	// no interval (docs/interval.md sections 1 and 8).
	streamEnds = 26
)

// differences compares two tallies, in words.
func differences(got, want *tally) (out []string) {
	names := map[string]bool{}
	for n := range got.messages {
		names[n] = true
	}
	for n := range want.messages {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if got.messages[n] != want.messages[n] {
			out = append(out, fmt.Sprintf("sip %s: %d, tshark %d", n, got.messages[n], want.messages[n]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(want.streams)) {
		w := want.streams[k]
		g, ok := got.streams[k]
		switch {
		case !ok && w.packets >= sureStream:
			out = append(out, fmt.Sprintf("stream %s (%s): not found, tshark has %d packets", k, w.payload, w.packets))
		case !ok:
		case g.packets > w.packets || g.packets < w.packets-streamEnds:
			out = append(out, fmt.Sprintf("stream %s (%s): %d packets, tshark %d", k, w.payload, g.packets, w.packets))
		case abs(g.lost-max(w.lost, 0)) > max(1, w.packets/1000): // tshark takes duplicates off
			out = append(out, fmt.Sprintf("stream %s (%s): %d lost, tshark %d", k, w.payload, g.lost, w.lost))
		// Under half a second is no record of its own. tshark takes events and
		// comfort noise into the reckoning, whose
		// timestamps stand still or jump.
		case g.packets >= 25 && g.jitter > 0 && !strings.Contains(w.payload, ",") && (g.jitter > w.jitter+1 || g.jitter < w.jitter-1):
			out = append(out, fmt.Sprintf("stream %s (%s): jitter %.3f ms, tshark %.3f", k, w.payload, g.jitter, w.jitter))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got.streams)) {
		if _, ok := want.streams[k]; !ok {
			out = append(out, fmt.Sprintf("stream %s: %d packets, none by tshark", k, got.streams[k].packets))
		}
	}
	return out
}

func abs(n int) int { return max(n, -n) }

// TestTsharkLab: captures of the lab, in each encapsulation, read the same by
// tshark.
func TestTsharkLab(t *testing.T) {
	needTshark(t)
	sharks := newSharks(t)
	for _, s := range lab.Shown() {
		if s.Name == "demo" || s.Name == "ejoin" {
			continue // the others side by side; SIP in Base64, which tshark does not read
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			compareLab(t, sharks, lab.Options{Scenario: s.Name, Seed: 3, Duration: time.Minute})
		})
	}
	for _, e := range lab.Encaps() {
		switch {
		case e == "ppp-pppd" || e == "sip-ws" || e == "qinq-9200" || e == "mpls-eth" || e == "mpls-cw" || strings.HasPrefix(e, "l2tpv3"):
			continue // tshark does not look inside, or only when told how
		case e == "outer6" || e == "outer-fragments":
			e += "+gre"
		case e == "atomic":
			e += "+ipv6"
		}
		t.Run(e, func(t *testing.T) {
			t.Parallel()
			compareLab(t, sharks, lab.Options{Scenario: "goip-line", Seed: 3, Duration: 40 * time.Second, Encap: e})
		})
	}
}

func compareLab(t *testing.T, sharks *sharks, opt lab.Options) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lab.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Make(f, opt); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got := observed(t, path)
	for _, d := range differences(got, sharks.tally(t, path)) {
		t.Error(d)
	}
	t.Logf("%d kinds of messages, %d streams", len(got.messages), len(got.streams))
}

// explained names the differences on the corpus that have a reason: a file by
// its base name, how the difference is told, why.
var explained = []struct{ file, begins, why string }{
	{"SIP_Eyebeam2Eyebeam_Video_Audio.pcap", "stream 192.168.1.36:5064", "video: packets too large to be accounted"},
	{"SIP_Eyebeam2Eyebeam_Video_Audio.pcap", "stream 192.168.1.87:5064", "video: packets too large to be accounted"},
	{"dtmf.pcap", "stream 10.10.0.82:19438", "telephone events only: no voice to confirm a stream by"},
	{"sip-junk-before-request.pcap", "sip REGISTER", "a request of one header: nothing to follow it by"},
	{"fuzz-2006-06-26-2594.pcap", "sip ", "SIP with random bytes changed: the two readers forgive differently"},
	{"whatsapp_login_call.pcap", "stream ", "video bursts in the same stream: packets too large to be accounted count as lost"},
}

func isExplained(file, difference string) bool {
	return slices.ContainsFunc(explained, func(e struct{ file, begins, why string }) bool {
		return e.file == filepath.Base(file) && strings.HasPrefix(difference, e.begins)
	})
}

// TestTsharkCorpus: so do the captures of the corpus that hold SIP or RTP, but
// for the differences that are explained.
func TestTsharkCorpus(t *testing.T) {
	needTshark(t)
	root := os.Getenv("SIMTRAP_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "corpus")
	}
	manifest, err := os.ReadFile(filepath.Join(root, "MANIFEST.tsv"))
	if err != nil {
		t.Skip("no corpus of captures: set SIMTRAP_CORPUS to its folder")
	}
	sharks := newSharks(t)
	compared := 0
	for line := range strings.Lines(string(manifest)) {
		c := strings.Split(line, "\t")
		if len(c) < 8 || !strings.Contains(strings.ToLower(c[6]), "sip") && !strings.Contains(c[6], "RTP") {
			continue
		}
		path := filepath.Join(root, c[0])
		var refused *capture.FormatError
		if f, err := capture.Open([]string{path}, capture.Options{}); errors.As(err, &refused) {
			continue // SIP as text, by itself
		} else if err == nil {
			f.Close()
		}
		compared++
		t.Run(c[0], func(t *testing.T) {
			t.Parallel()
			got := observed(t, path)
			for _, d := range differences(got, sharks.tally(t, path)) {
				if isExplained(c[0], d) {
					t.Log("explained: " + d)
				} else {
					t.Error(d)
				}
			}
		})
	}
	if compared == 0 {
		t.Error("the corpus holds no capture of SIP or RTP")
	}
}
