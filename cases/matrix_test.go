package cases

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"simtrap/lab"
)

// row is one encapsulation of the matrix in docs/encapsulations.md.
type row struct {
	encap string // as lab.Options.Encap has it
	text  string
	outer bool // there is an outer IP packet that can be fragmented
	only6 bool // it carries IPv6 alone
}

var rows = []row{
	{encap: "ethernet", text: "Ethernet II"},
	{encap: "vlan", text: "IEEE 802.1Q tag"},
	{encap: "qinq", text: "802.1ad, two tags"},
	{encap: "qinq-9100", text: "two tags, the outer of type 0x9100"},
	{encap: "qinq-9200", text: "two tags, the outer of type 0x9200"},
	{encap: "vntag", text: "Cisco VN-Tag"},
	{encap: "pbb", text: "802.1ah, MAC in MAC"},
	{encap: "snap", text: "802.3 with LLC and SNAP"},
	{encap: "vlan+snap", text: "the same within a tag"},
	{encap: "pppoe", text: "PPPoE session"},
	{encap: "vlan+pppoe", text: "PPPoE within a tag"},
	{encap: "qinq-9100+pppoe", text: "PPPoE within two tags"},
	{encap: "mpls", text: "two labels"},
	{encap: "vlan+mpls", text: "labels within a tag"},
	{encap: "pppoe+mpls", text: "labels in PPP"},
	{encap: "mpls-eth", text: "pseudowire without control word"},
	{encap: "mpls-cw", text: "pseudowire with control word"},
	{encap: "mpls-cw+vlan+pppoe", text: "what a DSLAM sends, in a pseudowire"},
	{encap: "raw", text: "raw IP (link type 101)"},
	{encap: "sll", text: "Linux cooked (113)"},
	{encap: "sll2", text: "Linux cooked 2 (276)"},
	{encap: "sll+vlan+pppoe", text: "PPPoE in Linux cooked"},
	{encap: "null", text: "BSD loopback (0)"},
	{encap: "ppp", text: "PPP (9)"},
	{encap: "ppp+mpls", text: "labels in PPP (9)"},
	{encap: "ppp-hdlc", text: "PPP in HDLC framing (50)"},
	{encap: "ppp-ether", text: "PPPoE without Ethernet (51)"},
	{encap: "ppp-pppd", text: "PPP as pppd records it (166)"},
	{encap: "ppp-dir", text: "PPP with direction (204)"},
	{encap: "chdlc", text: "Cisco HDLC (104)"},
	{encap: "ipip", text: "IP in IPv4, 6in4", outer: true},
	{encap: "ipip+outer6", text: "IP in IPv6", outer: true},
	{encap: "gre", text: "GRE", outer: true},
	{encap: "gre+outer6", text: "GRE over IPv6", outer: true},
	{encap: "gre-options", text: "GRE with checksum, key and sequence", outer: true},
	{encap: "gre-eth", text: "Ethernet in GRE", outer: true},
	{encap: "gre+mpls", text: "labels in GRE", outer: true},
	{encap: "gre-udp", text: "GRE over UDP, with key", outer: true},
	{encap: "mpls-udp", text: "a label over UDP", outer: true},
	{encap: "pptp", text: "PPTP: GRE version 1, PPP", outer: true},
	{encap: "erspan1", text: "ERSPAN I", outer: true},
	{encap: "erspan2", text: "ERSPAN II", outer: true},
	{encap: "erspan3", text: "ERSPAN III", outer: true},
	{encap: "erspan3-platform", text: "ERSPAN III with platform subheader", outer: true},
	{encap: "erspan2+vlan+pppoe", text: "mirrored PPPoE", outer: true},
	{encap: "etherip", text: "EtherIP", outer: true},
	{encap: "gtpu", text: "GTP-U", outer: true},
	{encap: "gtpu+outer6", text: "GTP-U over IPv6", outer: true},
	{encap: "gtpu-ext", text: "GTP-U with three extension headers", outer: true},
	{encap: "vxlan", text: "VXLAN", outer: true},
	{encap: "vxlan+outer6", text: "VXLAN over IPv6", outer: true},
	{encap: "vxlan+vlan+pppoe", text: "PPPoE in VXLAN", outer: true},
	{encap: "vxlan-gpe", text: "VXLAN-GPE with IP", outer: true},
	{encap: "geneve", text: "Geneve with Ethernet", outer: true},
	{encap: "geneve-options", text: "Geneve with options and IP", outer: true},
	{encap: "l2tpv2", text: "L2TPv2 with length", outer: true},
	{encap: "l2tpv2-options", text: "L2TPv2 with sequence, offset and priority, compressed PPP", outer: true},
	{encap: "vlan+pppoe+l2tpv2", text: "L2TPv2 in PPPoE", outer: true},
	{encap: "l2tpv2+outer6", text: "L2TPv2 over IPv6", outer: true},
	{encap: "l2tpv3", text: "L2TPv3 over UDP", outer: true},
	{encap: "l2tpv3-cookie", text: "L2TPv3 over UDP with cookie and sublayer", outer: true},
	{encap: "l2tpv3-ip", text: "L2TPv3 over IP with cookie", outer: true},
	{encap: "teredo", text: "Teredo with indications", outer: true, only6: true},
	{encap: "ah", text: "authentication header"},
	{encap: "atomic", text: "atomic fragments", only6: true},
	{encap: "vlan+gtpu+ah", text: "authentication header in GTP-U", outer: true},
	{encap: "mpls+gre-eth+vlan+pppoe", text: "PPPoE in GRE in MPLS", outer: true},
	{encap: "gtpu+ipip+gre", text: "three tunnels in one another", outer: true},
}

// column is one kind of inner packet and of fragments.
type column struct {
	v6, tcp bool
	frag    string // "", fragments or outer-fragments
}

func columns() (out []column) {
	for _, frag := range []string{"", "fragments", "outer-fragments"} {
		for _, v6 := range []bool{false, true} {
			for _, tcp := range []bool{false, true} {
				out = append(out, column{v6, tcp, frag})
			}
		}
	}
	return out
}

// senseless gives the mark of the reason why there is no such capture.
func (r row) senseless(c column) string {
	switch {
	case r.only6 && !c.v6:
		return "a"
	case c.frag == "outer-fragments" && !r.outer:
		return "b"
	}
	return ""
}

func (r row) encapOf(c column) string {
	e := r.encap
	if c.v6 {
		e += "+ipv6"
	}
	if c.tcp {
		e += "+sip-tcp"
	}
	if c.frag != "" {
		e += "+" + c.frag
	}
	return e
}

// shown is what a capture of the matrix gave.
type shown struct {
	byName map[string]scored
	losses []string
	frames uint64
}

// showEncap makes and replays the GoIP-4 of the matrix: long enough for proof by
// its own protocol, card identities and some calls.
func showEncap(t *testing.T, encap string) shown {
	t.Helper()
	path, truth := makeFile(t, lab.Options{Scenario: "goip-line", Seed: 4, Duration: 75 * time.Second, Encap: encap}, "")
	return show(t, path, truth)
}

func show(t *testing.T, path string, truth *lab.Truth) shown {
	t.Helper()
	o := replayFile(t, path, false, nil, 1)
	s := shown{byName: o.byName(t, truth), frames: o.result.Stats.Frames}
	for _, l := range o.result.Losses {
		s.losses = append(s.losses, fmt.Sprintf("%s: %s: %d", l.Stage, l.Reason, l.Count))
	}
	return s
}

// checkShown holds that got says what want does.
func checkShown(t *testing.T, want, got shown) {
	t.Helper()
	for name, a := range want.byName {
		b := got.byName[name]
		if d := a.score - b.score; d < -0.5 || d > 0.5 {
			t.Errorf("%s: %.3f nats, plainly %.3f", name, b.score, a.score)
		}
		if d := cmp.Diff(a.facts, b.facts); d != "" {
			t.Errorf("%s (-plain +this):\n%s", name, d)
		}
	}
	if len(got.byName) != len(want.byName) {
		t.Errorf("%d findings, plainly %d", len(got.byName), len(want.byName))
	}
	if d := cmp.Diff(want.losses, got.losses); d != "" {
		t.Errorf("losses (-plain +this):\n%s", d)
	}
}

// TestMatrix holds that what a line is found to be does not depend on how its
// packets reach the tap: for every cell of docs/encapsulations.md, what the plain
// capture gives is what the wrapped one gives.
func TestMatrix(t *testing.T) {
	plain := map[bool]shown{false: showEncap(t, "ethernet"), true: showEncap(t, "ethernet+sip-tcp")}
	for _, p := range plain {
		line := p.byName["line 0"]
		if f := line.facts; f.Verdict != "case" || !f.Proof || len(f.Cards) == 0 || len(f.Controllers) == 0 || strings.Contains(f.Calls, "Streams:0") {
			t.Fatalf("the plain capture shows too little: %+v", f)
		}
	}
	frames := map[column]uint64{}
	for _, c := range columns()[:4] {
		frames[c] = showEncap(t, row{encap: "ethernet"}.encapOf(c)).frames
	}
	for i, r := range rows {
		if testing.Short() && i%20 != 0 {
			continue // a few are enough for the race detector
		}
		t.Run(r.encap, func(t *testing.T) {
			t.Parallel()
			for _, c := range columns() {
				encap := r.encapOf(c)
				if r.senseless(c) != "" {
					continue
				}
				t.Run(encap, func(t *testing.T) {
					got := showEncap(t, encap)
					checkShown(t, plain[c.tcp], got)
					if want := frames[column{v6: c.v6, tcp: c.tcp}]; (c.frag != "") != (got.frames > want) {
						t.Errorf("%d frames, plainly %d", got.frames, want)
					}
				})
			}
		})
	}
}

// TestMatrixIsPublished holds docs/encapsulations.md to the cells that are run,
// and the rows to what the lab can make.
func TestMatrixIsPublished(t *testing.T) {
	path := filepath.Join("..", "docs", "encapsulations.md")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- matrix: written by go test ./cases -run Matrix -update -->\n", "<!-- end of matrix -->\n"
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the matrix", path)
	}
	got := head + begin + matrix() + end + tail
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if d := cmp.Diff(strings.Split(string(old), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("%s differs from what is run (-file +run):\n%s", path, d)
	}
	named := map[string]bool{"ipv6": true, "sip-tcp": true, "sip-ws": true, "fragments": true, "outer-fragments": true, "vlan-pppoe": true}
	for _, r := range rows {
		for _, part := range strings.Split(r.encap, "+") {
			named[part] = true
		}
	}
	for _, e := range lab.Encaps() {
		if !named[e] {
			t.Errorf("no row has %s", e)
		}
	}
}

func matrix() string {
	var b strings.Builder
	b.WriteString("| `--encap` | is |")
	for _, c := range columns() {
		head := map[string]string{"": "", "fragments": "f ", "outer-fragments": "o "}[c.frag]
		head += map[bool]string{false: "4", true: "6"}[c.v6] + map[bool]string{false: "U", true: "T"}[c.tcp]
		fmt.Fprintf(&b, " %s |", head)
	}
	b.WriteString("\n|---|---|" + strings.Repeat(":-:|", len(columns())) + "\n")
	run := 0
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | %s |", r.encap, r.text)
		for _, c := range columns() {
			mark := r.senseless(c)
			if mark == "" {
				mark = "✓"
				run++
			}
			fmt.Fprintf(&b, " %s |", mark)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%d captures.\n", run)
	return b.String()
}

// TestMixedLinks reads one pcapng of several interfaces, each of another link
// type, over which the flows of one line are spread.
func TestMixedLinks(t *testing.T) {
	type frame struct {
		data []byte
		at   time.Time
	}
	opt := lab.Options{Scenario: "goip-line", Seed: 4, Duration: 75 * time.Second}
	kinds := []string{"ethernet", "raw", "ppp", "sll", "chdlc", "null", "ethernet+mpls-cw+vlan", "raw+gre"}
	var frames [][]frame
	var types []layers.LinkType
	var truth *lab.Truth
	for _, e := range kinds {
		opt.Encap = e
		var b bytes.Buffer
		var err error
		if truth, err = lab.Make(&b, opt); err != nil {
			t.Fatal(err)
		}
		r, err := pcapgo.NewReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, r.LinkType())
		var fs []frame
		for {
			data, info, err := r.ReadPacketData()
			if err != nil {
				break
			}
			fs = append(fs, frame{data, info.Timestamp})
		}
		frames = append(frames, fs)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "mixed.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := pcapgo.NewNgWriterInterface(file, pcapgo.NgInterface{LinkType: types[0], TimestampResolution: 9}, pcapgo.NgWriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range types[1:] {
		if _, err := w.AddInterface(pcapgo.NgInterface{LinkType: l, TimestampResolution: 9}); err != nil {
			t.Fatal(err)
		}
	}
	used := map[int]bool{}
	for i := range frames[0] {
		// A flow stays on its interface; its answers come over another.
		k := int(crc32.ChecksumIEEE(frames[0][i].data[26:38])) % len(kinds)
		used[k] = true
		f := frames[k][i]
		info := gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: len(f.data), InterfaceIndex: k}
		if err := w.WritePacket(info, f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(types)))); n != 6 || len(used) < 7 {
		t.Fatalf("%d link types, %d interfaces", n, len(used))
	}
	checkShown(t, showEncap(t, "ethernet"), show(t, file.Name(), truth))
}
