package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSameSeedSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	make1 := func(scenario string, seed uint64) ([]byte, *Truth) {
		var b bytes.Buffer
		truth, err := Make(&b, Options{Scenario: scenario, Seed: seed, Duration: 2 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes(), truth
	}
	for _, sc := range []string{"demo", "simbank", "framed-home"} {
		a, ta := make1(sc, 5)
		b, tb := make1(sc, 5)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: one seed gave two captures", sc)
		}
		if d := cmp.Diff(ta, tb, cmp.AllowUnexported(LineTruth{}, talk{})); d != "" {
			t.Errorf("%s: one seed gave two truths:\n%s", sc, d)
		}
		if c, _ := make1(sc, 6); bytes.Equal(a, c) {
			t.Errorf("%s: two seeds gave one capture", sc)
		}
	}
}

var verdicts = map[string]int{VerdictNone: 0, VerdictWatch: 1, VerdictReview: 2, VerdictCase: 3}

func TestEveryScenario(t *testing.T) {
	seen := map[string]bool{}
	for _, sc := range Scenarios() {
		if seen[sc.Name] {
			t.Fatalf("two scenarios are called %s", sc.Name)
		}
		seen[sc.Name] = true
		for seed := uint64(1); seed <= 3; seed++ {
			if testing.Short() && (seed > 1 || sc.Class != "") || seed > 1 && sc.Class != "" {
				break // the race detector makes each ten times as long, and what is drawn has tests of its own
			}
			t.Run(fmt.Sprintf("%s/%d", sc.Name, seed), func(t *testing.T) {
				m := makeAndRead(t, Options{Scenario: sc.Name, Seed: seed, Duration: 2 * time.Minute})
				if m.frames < 50 && sc.Class == "" { // a line that is drawn may be quiet
					t.Errorf("only %d frames", m.frames)
				}
				box := false
				for _, l := range m.truth.Lines {
					box = box || l.Box()
					lo, ok1 := verdicts[l.MinVerdict]
					hi, ok2 := verdicts[l.MaxVerdict]
					if !ok1 || !ok2 || lo > hi {
						t.Errorf("%s: verdict from %q to %q", l.Device, l.MinVerdict, l.MaxVerdict)
					}
					if !l.Box() && lo > 0 {
						t.Errorf("%s is honest and must reach %s", l.Device, l.MinVerdict)
					}
					if l.Box() && l.Channels == 0 || l.Box() && len(l.Controllers) == 0 {
						t.Errorf("%s: no channels or no controller told", l.Device)
					}
					for _, c := range l.Cards {
						for _, id := range []string{c.IMEI, c.ICCID} {
							if luhn(id[:len(id)-1]) != id[len(id)-1] {
								t.Errorf("%s: wrong check digit", id)
							}
						}
						if len(c.IMEI) != 15 || len(c.IMSI) != 15 || len(c.ICCID) != 20 || len(c.MSISDN) != 11 {
							t.Errorf("card of wrong lengths: %+v", c)
						}
					}
				}
				if box != sc.Box {
					t.Errorf("a box is there: %v, listed as %v", box, sc.Box)
				}
				for _, d := range m.packets {
					if (m.line(d.src) == nil) == (m.line(d.dst) == nil) {
						t.Fatalf("packet from %v to %v crosses no tap", d.src, d.dst)
					}
				}
			})
		}
	}
}

func TestLuhn(t *testing.T) {
	for digits, want := range map[string]byte{"49015420323751": '8', "7992739871": '3', "8901410321111851072": '0'} {
		if got := luhn(digits); got != want {
			t.Errorf("luhn(%s) = %c, want %c", digits, got, want)
		}
	}
}

// TestSIP checks every message by itself and every answer against its request.
func TestSIP(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for _, sc := range []string{"demo", "framed-home", "hacked-pbx", "office-ippbx", "mobile-dialler", "pstn-breakout"} {
		t.Run(sc, func(t *testing.T) {
			m := makeAndRead(t, Options{Scenario: sc, Seed: 3, Duration: 4 * time.Minute})
			asked := map[string]bool{} // from, to, branch
			n := 0
			for _, d := range m.packets {
				if !d.sip() {
					continue
				}
				n++
				x := readSIP(t, d.payload)
				for _, h := range []string{"via", "from", "to", "call-id", "cseq", "content-length"} {
					if x.head[h] == "" {
						t.Fatalf("no %s in %q", h, d.payload)
					}
				}
				if got, err := strconv.Atoi(x.head["content-length"]); err != nil || got != len(x.body) {
					t.Fatalf("Content-Length %q, body of %d bytes", x.head["content-length"], len(x.body))
				}
				branch := param(x.head["via"], "branch")
				if !strings.HasPrefix(branch, "z9hG4bK") {
					t.Fatalf("branch %q", branch)
				}
				if param(x.head["from"], "tag") == "" {
					t.Fatalf("no From tag in %q", d.payload)
				}
				end := func(a netip.Addr, p uint16) string { return netip.AddrPortFrom(a, p).String() }
				if x.status == "" {
					asked[end(d.src, d.sport)+end(d.dst, d.dport)+branch+x.method] = true
					continue
				}
				if !asked[end(d.dst, d.dport)+end(d.src, d.sport)+branch+x.method] {
					t.Fatalf("an answer to nothing:\n%s", d.payload)
				}
				if x.status != "100" && param(x.head["to"], "tag") == "" {
					t.Fatalf("no To tag in %q", d.payload)
				}
			}
			if n < 10 {
				t.Errorf("only %d messages", n)
			}
		})
	}
}

// TestTruthOfCalls counts calls in the capture and compares.
func TestTruthOfCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for _, sc := range []string{"demo", "goip-line", "trunk-32", "disguised-single", "ata-24", "call-centre-inbound", "carrier-sbc", "pstn-breakout"} {
		t.Run(sc, func(t *testing.T) {
			m := makeAndRead(t, Options{Scenario: sc, Seed: 2, Duration: 5 * time.Minute})
			type counts struct {
				in, out, answered map[string]bool
				called            map[string]bool
			}
			by := map[*LineTruth]*counts{}
			for _, l := range m.truth.Lines {
				by[l] = &counts{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
			}
			for _, d := range m.packets {
				if !d.sip() {
					continue
				}
				x := readSIP(t, d.payload)
				if x.method != "INVITE" || strings.Contains(x.head["from"], "friendly") {
					continue
				}
				id := x.head["call-id"]
				switch {
				case x.status == "" && m.line(d.src) != nil:
					by[m.line(d.src)].out[id] = true
				case x.status == "":
					c := by[m.line(d.dst)]
					c.in[id] = true
					user, _, _ := strings.Cut(strings.TrimPrefix(x.start, "INVITE sip:"), "@")
					c.called[user] = true
				case x.status == "200":
					l := m.line(d.src)
					if l == nil {
						l = m.line(d.dst)
					}
					by[l].answered[id] = true
				}
			}
			for l, c := range by {
				if l.Class == ClassVictim {
					continue // what scanners ask for are no calls
				}
				// What begins in the last moment may pass the tap too late.
				near := func(what string, got, want int) {
					if got > want || got < want-3 {
						t.Errorf("%s: %s %d, truth says %d", l.Device, what, got, want)
					}
				}
				near("inbound", len(c.in), l.Calls.Inbound)
				near("outbound", len(c.out), l.Calls.Outbound)
				near("answered", len(c.answered), l.Calls.Answered)
				near("distinct called", len(c.called), l.Calls.DistinctCalled)
			}
		})
	}
}

// TestRTP checks that streams run on and that their clocks are as they should
// be: one for a box, one for each phone of an office.
func TestRTP(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	clocks := func(t *testing.T, scenario string) []float64 {
		m := makeAndRead(t, Options{Scenario: scenario, Seed: 4, Duration: 10 * time.Minute})
		var out []float64
		for _, p := range m.streams() {
			for i := 1; i < len(p); i++ {
				a, b := p[i-1].payload, p[i].payload
				seq := binary.BigEndian.Uint16(b[2:]) - binary.BigEndian.Uint16(a[2:])
				ts := binary.BigEndian.Uint32(b[4:]) - binary.BigEndian.Uint32(a[4:])
				if a[1]&0x7f == 101 || b[1]&0x7f == 101 {
					continue
				}
				if seq == 0 || seq > 50 || ts%160 != 0 || ts < 160*uint32(seq) {
					t.Fatalf("step of %d in sequence and %d in time", seq, ts)
				}
			}
			if m.line(p[0].src) != nil && p[len(p)-1].t-p[0].t > int64(25*time.Second) {
				out = append(out, skew(p))
			}
		}
		if len(out) < 5 {
			t.Fatalf("only %d streams to measure", len(out))
		}
		return out
	}
	spread := func(v []float64) float64 {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, x := range v {
			lo, hi = min(lo, x), max(hi, x)
		}
		return hi - lo
	}
	for _, sc := range []string{"goip-line", "trunk-32", "ata-24", "office-ippbx"} {
		if v := clocks(t, sc); spread(v) > 4 {
			t.Errorf("%s has one clock, its streams differ by %.1f ppm: %.1f", sc, spread(v), v)
		}
	}
	if v := clocks(t, "office-nat"); spread(v) < 10 {
		t.Errorf("office-nat has many clocks, its streams differ by %.1f ppm: %.1f", spread(v), v)
	}
}

func TestEncaps(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	wraps := []string{"pppoe+ipv6", "gtpu+ipv6", "vxlan+fragments", "ipv6+fragments", "null+ipv6", "sll2+ipv6", "qinq+ipv6", "ipv6+sip-tcp", "sip-tcp+fragments",
		"vlan+snap", "sll+vlan+pppoe", "qinq-9100+pppoe+mpls", "mpls-cw+vlan+pppoe+ipv6", "gre-eth+qinq+pppoe", "erspan2+vlan+pppoe+fragments",
		"ppp+mpls", "chdlc+mpls+ipv6", "vxlan-gpe+mpls", "geneve-options+mpls", "ipip+mpls+ipv6", "gre+mpls",
		"ipip+ipv6", "ipip+outer6", "gre-options+outer6", "gtpu-ext+outer6+ipv6", "l2tpv2+outer6", "vxlan+outer6+ipv6",
		"vlan+pppoe+l2tpv2-options+ipv6", "pptp+ipv6", "l2tpv3-cookie+vlan", "gtpu+ipip+gre",
		"gre+outer-fragments", "gtpu+outer6+outer-fragments", "pppoe+l2tpv2+outer-fragments", "snap+ipip+outer-fragments+fragments",
		"ah+fragments", "ah+ipv6", "ah+ipv6+fragments", "atomic+ipv6+fragments", "gtpu+ah+sip-tcp"}
	for _, e := range Encaps() {
		switch e {
		case "sip-ws":
			continue // frames hide messages from datagram.sip; TestWebSocket opens them
		case "outer6", "outer-fragments":
			e += "+gre"
		case "atomic":
			e += "+ipv6"
		}
		wraps = append(wraps, e)
	}
	plain := makeAndRead(t, Options{Scenario: "goip-line", Seed: 9, Duration: 60 * time.Second})
	for _, e := range wraps {
		t.Run(e, func(t *testing.T) {
			t.Parallel()
			m := makeAndRead(t, Options{Scenario: "goip-line", Seed: 9, Duration: 60 * time.Second, Encap: e})
			sip, rtp := 0, 0
			for _, d := range m.packets {
				if d.sip() {
					sip++
					if tcp := strings.Contains(e, "sip-tcp"); tcp != (d.proto == protoTCP) {
						t.Fatalf("SIP over protocol %d", d.proto)
					}
				}
				if d.rtp() {
					rtp++
				}
				if v6 := strings.Contains(e, "ipv6") || e == "teredo"; d.src.Is6() != v6 {
					t.Fatalf("address %v", d.src)
				}
			}
			if sip < 20 || rtp < 500 {
				t.Errorf("%d SIP and %d RTP packets", sip, rtp)
			}
			if strings.Contains(e, "fragments") {
				if m.frames <= len(m.packets) {
					t.Error("nothing was fragmented")
				}
			} else if m.frames != len(m.packets) {
				t.Errorf("%d frames, %d packets", m.frames, len(m.packets))
			}
			if e != "teredo" && !strings.Contains(e, "ipv6") && !strings.Contains(e, "sip-tcp") && !strings.Contains(e, "vxlan+") && len(m.packets) != len(plain.packets) {
				t.Errorf("%d packets, plainly there are %d", len(m.packets), len(plain.packets))
			}
		})
	}
	m := makeAndRead(t, Options{Scenario: "trunk-32", Seed: 9, Duration: 60 * time.Second, Encap: "fragments"})
	if m.largest > 576 {
		t.Errorf("an IP packet of %d bytes with an MTU of 576", m.largest)
	}
}

// TestTCPRunsOn checks that segments of every connection follow one another.
func TestTCPRunsOn(t *testing.T) {
	for _, opt := range []Options{
		{Scenario: "office-nat", Seed: 2, Duration: 4 * time.Minute, Encap: "sip-tcp"},
		{Scenario: "dinstar", Seed: 2, Duration: 4 * time.Minute},
		{Scenario: "simbank", Seed: 2, Duration: 4 * time.Minute},
		{Scenario: "ejoin", Seed: 2, Duration: 10 * time.Minute},
		{Scenario: "two-slot", Seed: 2, Duration: 20 * time.Minute},
	} {
		m := makeAndRead(t, opt)
		next := map[string]uint32{}
		data := 0
		for _, d := range m.packets {
			if d.proto != protoTCP || len(d.payload) == 0 {
				continue
			}
			data++
			k := netip.AddrPortFrom(d.src, d.sport).String() + netip.AddrPortFrom(d.dst, d.dport).String()
			if want, ok := next[k]; ok && want != d.seq {
				t.Fatalf("%s: segment at %d, expected %d", opt.Scenario, d.seq, want)
			}
			next[k] = d.seq + uint32(len(d.payload))
		}
		if data < 20 {
			t.Errorf("%s: only %d segments with data", opt.Scenario, data)
		}
	}
}

func TestViews(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	opt := Options{Scenario: "demo", Seed: 1, Duration: 3 * time.Minute}
	all := makeAndRead(t, opt)
	sum := 0
	for _, v := range []string{"up", "down", "media", "sip", "midcall"} {
		opt.View = v
		m := makeAndRead(t, opt)
		if len(m.packets) == 0 || len(m.packets) >= len(all.packets) {
			t.Errorf("%s shows %d of %d packets", v, len(m.packets), len(all.packets))
		}
		for _, d := range m.packets {
			up := m.line(d.src) != nil
			ok := true
			switch v {
			case "up":
				ok = up
			case "down":
				ok = !up
			case "media":
				ok = d.rtp() || d.payload[1] == 200
			case "sip":
				ok = d.sip()
			case "midcall":
				ok = d.t >= m.truth.Start.Add(time.Minute).UnixNano()-1000
			}
			if !ok {
				t.Fatalf("%s shows a packet from %v to %v", v, d.src, d.dst)
			}
		}
		if v == "up" || v == "down" {
			sum += len(m.packets)
		}
		for i, l := range m.truth.Lines {
			if l.MinVerdict != VerdictNone {
				t.Errorf("%s: a verdict must be reached on less than the full view", v)
			}
			if d := cmp.Diff(l.Calls, all.truth.Lines[i].Calls); d != "" {
				t.Errorf("%s: the view changed the calls:\n%s", v, d)
			}
		}
	}
	if sum != len(all.packets) {
		t.Errorf("up and down have %d packets, both have %d", sum, len(all.packets))
	}
}

func TestFormats(t *testing.T) {
	opt := Options{Scenario: "home-voip", Seed: 3, Duration: 5 * time.Minute}
	want := makeAndRead(t, opt)
	for _, f := range []string{"nano", "pcapng"} {
		o := opt
		o.Format = f
		got := makeAndRead(t, o)
		if len(got.packets) != len(want.packets) {
			t.Fatalf("%s: %d packets, pcap has %d", f, len(got.packets), len(want.packets))
		}
		for i := range got.packets {
			if got.packets[i].t/1000 != want.packets[i].t/1000 || !bytes.Equal(got.packets[i].payload, want.packets[i].payload) {
				t.Fatalf("%s: packet %d differs", f, i)
			}
		}
	}
	opt.Snaplen = 96
	makeAndRead(t, opt)

	for _, f := range []string{"pcap", "pcapng"} {
		var b bytes.Buffer
		if _, err := Make(&b, Options{Scenario: "home-voip", Seed: 1, Duration: time.Minute, Encap: "sll2", Format: f}); err != nil {
			t.Fatal(err)
		}
		at := 20
		if f == "pcapng" {
			at = int(binary.LittleEndian.Uint32(b.Bytes()[4:])) + 8
		}
		if got := binary.LittleEndian.Uint16(b.Bytes()[at:]); got != 276 {
			t.Errorf("%s: link type %d, want 276", f, got)
		}
	}
}

// TestKeepalives checks that every channel of a GoIP reports itself every 30 s
// with its card, and is answered.
func TestKeepalives(t *testing.T) {
	m := makeAndRead(t, Options{Scenario: "goip-line", Seed: 8, Duration: 5 * time.Minute})
	l := m.truth.Lines[0]
	last := map[uint16]int64{}
	cards := map[string]bool{}
	asked := map[string]int{}
	answered := 0
	for _, d := range m.packets {
		s := string(d.payload)
		switch {
		case strings.HasPrefix(s, "req:"):
			if prev, ok := last[d.sport]; ok {
				if gap := time.Duration(d.t - prev); gap < 29*time.Second || gap > 31*time.Second {
					t.Errorf("%v between keepalives", gap)
				}
			}
			last[d.sport] = d.t
			n, _, _ := strings.Cut(s[4:], ";")
			asked[fmt.Sprint(n, d.sport)]++
			for _, c := range l.Cards {
				if strings.Contains(s, ";imei:"+c.IMEI+";imsi:"+c.IMSI+";iccid:"+c.ICCID+";") {
					cards[c.IMSI] = true
				}
			}
		case strings.HasPrefix(s, "reg:"):
			n, _, _ := strings.Cut(s[4:], ";")
			if asked[fmt.Sprint(n, d.dport)] == 0 {
				t.Errorf("an answer to nothing: %q", s)
			}
			answered++
		}
	}
	if len(last) != l.Channels || len(cards) != l.Channels || !l.Proof {
		t.Errorf("%d ports and %d cards report, %d channels, proof %v", len(last), len(cards), l.Channels, l.Proof)
	}
	if answered < 9*l.Channels {
		t.Errorf("%d answers", answered)
	}
}

// TestDemo checks what the demo is for: enough calls for a verdict on every
// box, in a file that is read quickly.
func TestDemo(t *testing.T) {
	for seed := uint64(1); seed <= 2; seed++ {
		var n counter
		truth, err := Make(&n, Options{Scenario: "demo", Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		if n > 400e6 {
			t.Errorf("seed %d: %d bytes", seed, n)
		}
		boxes := 0
		for _, l := range truth.Lines {
			if l.Box() {
				boxes++
				if l.Calls.AnsweredIn < 30 {
					t.Errorf("seed %d: %s has %d answered calls", seed, l.Device, l.Calls.AnsweredIn)
				}
			}
		}
		if boxes != 3 || len(truth.Lines) < 12 {
			t.Errorf("%d boxes on %d lines", boxes, len(truth.Lines))
		}
	}
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func TestBadOptions(t *testing.T) {
	for _, opt := range []Options{
		{Scenario: "no-such"},
		{Scenario: "demo", Encap: "tokenring"},
		{Scenario: "demo", Encap: "gtpu+vlan"},
		{Scenario: "demo", Encap: "raw+vlan"},
		{Scenario: "demo", Encap: "gre+pppoe"},
		{Scenario: "demo", Encap: "ppp+pppoe"},
		{Scenario: "demo", Encap: "snap+vlan"},
		{Scenario: "demo", Encap: "mpls+mpls"},
		{Scenario: "demo", Encap: "atomic"},
		{Scenario: "demo", Encap: "atomic+ipv6+ah"},
		{Scenario: "demo", Encap: "vlan+outer-fragments"},
		{Scenario: "demo", Encap: "pppoe+outer6"},
		{Scenario: "demo", Encap: "teredo+outer6"},
		{Scenario: "demo", View: "sideways"},
		{Scenario: "demo", Format: "zip"},
		{Scenario: "demo", Snaplen: -1},
		{Scenario: "demo", Duration: -time.Second},
		{Scenario: "demo", Duration: 8 * 24 * time.Hour},
	} {
		if _, err := Make(&bytes.Buffer{}, opt); err == nil {
			t.Errorf("%+v was taken", opt)
		}
	}
}

type broken struct{ left int }

var errBroken = errors.New("disk full")

func (b *broken) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	for _, format := range []string{"pcap", "pcapng"} {
		if _, err := Make(&broken{left: 3 << 20}, Options{Scenario: "goip-line", Format: format}); !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v, want the writer's error", format, err)
		}
	}
}

// Captures of one ring have the controller and the hours in common, and nothing
// that would show one box in two places.
func TestRing(t *testing.T) {
	make := func(seed uint64, ring string) *Truth {
		return makeAndRead(t, Options{Scenario: "trunk-32", Seed: seed, Duration: time.Minute, Ring: ring}).truth
	}
	a, b, c, none := make(1, "river"), make(2, "river"), make(2, "hill"), make(2, "")
	one := func(x *Truth) string { return x.Lines[0].Controllers[0].Addr }
	if one(a) != one(b) || !a.Start.Equal(b.Start) {
		t.Errorf("controllers %s and %s, from %v and %v", one(a), one(b), a.Start, b.Start)
	}
	if a.Lines[0].Address == b.Lines[0].Address {
		t.Errorf("both on line %s", a.Lines[0].Address)
	}
	if one(b) == one(c) || one(b) == one(none) || b.Start.Equal(c.Start) {
		t.Error("another ring, or none, is the same")
	}
}

// The box that is carried is one box: on another day all that is its own is the same,
// and nothing that is the place's.
func TestCarried(t *testing.T) {
	make := func(seed uint64, ring string) *Truth {
		return makeAndRead(t, Options{Scenario: "ring-carried", Seed: seed, Duration: time.Minute, Ring: ring}).truth
	}
	a, b, c := make(1, "river"), make(2, "river"), make(2, "hill")
	if x, y := a.Lines[0], b.Lines[0]; x.Address == y.Address || x.Cards[0] != y.Cards[0] || len(x.Cards) != len(y.Cards) || b.Start.Sub(a.Start) != 24*time.Hour {
		t.Errorf("%s from %v, %s from %v, cards %v and %v", x.Address, a.Start, y.Address, b.Start, x.Cards[0], y.Cards[0])
	}
	if c.Lines[0].Cards[0] == b.Lines[0].Cards[0] || c.Lines[0].Controllers[0].Addr == b.Lines[0].Controllers[0].Addr {
		t.Error("the box of another ring is the same")
	}
}
