package lab

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// smallClasses are those of this file, and whether their lines make calls that
// are counted: chats, pictures of a cloud, and machines do not.
var smallClasses = []struct {
	list   []Scenario
	class  string
	silent []string
}{
	{vpnScenarios(), ClassVPN, []string{"vpn-data"}},
	{smallcellScenarios(), ClassSmallCell, []string{"smallcell-vowifi"}},
	{diallerScenarios(), ClassMobileDialer, nil},
	{m2mScenarios(), ClassM2M, []string{"m2m-router", "m2m-cloud-sim", "m2m-card-pool", "m2m-farm-messages"}},
	{cameraScenarios(), ClassCamera, []string{"camera-cloud"}},
	{conferenceScenarios(), ClassConference, []string{"conference-game", "conference-meeting", "conference-mesh", "conference-office", "conference-server"}},
	{homeScenarios(), ClassHome, []string{"home-idle", "home-everyday", "home-chat", "home-vpn", "home-quiet", "home-lodging", "home-elderly"}},
}

// TestSmallClasses makes a few of each and looks at the truth.
func TestSmallClasses(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for _, k := range smallClasses {
		sum := 0.0
		for _, sc := range k.list {
			sum += sc.Share
			t.Run(sc.Name, func(t *testing.T) {
				t.Parallel()
				if sc.Class != k.class || sc.Box || sc.Text == "" || sc.Share < 0 || sc.Share > 1 || sc.Duration() < 20*time.Minute {
					t.Errorf("%+v", sc)
				}
				smallDraws(t, sc, slices.Contains(k.silent, sc.Name))
			})
		}
		if sum < 0.999 || sum > 1.001 {
			t.Errorf("%s: shares add up to %v", k.class, sum)
		}
	}
}

func smallDraws(t *testing.T, sc Scenario, silent bool) {
	calls, sizes := 0, map[string]bool{}
	const seeds = 3
	for seed := range uint64(seeds) {
		opt := Options{Scenario: sc.Name, Seed: 70 + seed, Duration: 2 * time.Minute}
		var a, b bytes.Buffer
		truth, err := Make(&a, opt)
		if err != nil {
			t.Fatal(err)
		}
		if seed == 0 {
			if _, err := Make(&b, opt); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Errorf("one seed gave two captures, %v", err)
			}
		}
		l := truth.Lines[0]
		c := l.Calls
		calls += c.Inbound + c.Outbound
		sizes[fmt.Sprint(truth.Packets)] = true
		switch {
		case l.Class != sc.Class || l.Box() || l.MinVerdict != VerdictNone || l.MaxVerdict == VerdictNone:
			t.Errorf("seed %d: %+v", opt.Seed, l)
		case l.Proof != strings.HasPrefix(sc.Name, "m2m-farm") || l.Proof != (l.MaxVerdict == VerdictCase):
			t.Errorf("seed %d: proof %v, at most %s", opt.Seed, l.Proof, l.MaxVerdict)
		case c.Answered > c.Inbound+c.Outbound || c.AnsweredIn > c.Inbound || c.PeakConcurrent > c.Answered || c.DistinctCalled > c.Inbound:
			t.Errorf("seed %d: %+v", opt.Seed, c)
		case c.Answered > 0 && l.Channels == 0:
			t.Errorf("seed %d: calls, but no channels", opt.Seed)
		}
	}
	if len(sizes) < seeds {
		t.Errorf("%d seeds gave captures of %d sizes", seeds, len(sizes))
	}
	if !silent && calls == 0 {
		t.Errorf("no call in %d draws", seeds)
	}
}

// TestCrowd looks at the two thousand quiet lines.
func TestCrowd(t *testing.T) {
	var b bytes.Buffer
	truth, err := Make(&b, Options{Scenario: "home-quiet", Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(truth.Lines); n < 1900 || n > 2100 || truth.Packets > 80_000 || truth.Packets < 10*n {
		t.Errorf("%d lines, %d packets", n, truth.Packets)
	}
	calls := 0
	for _, l := range truth.Lines {
		if !strings.HasPrefix(l.Address, "100.") {
			t.Fatalf("address %s", l.Address)
		}
		calls += l.Calls.Inbound + l.Calls.Outbound
	}
	if calls == 0 || calls > 30 {
		t.Errorf("%d calls", calls)
	}
}

// TestTunnelsHide checks that nothing of a call inside a tunnel can be read, and
// that what goes through is all between the tunnel's ends.
func TestTunnelsHide(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for _, sc := range []string{"vpn-voice-inside", "vpn-trunk-inside", "smallcell-public", "smallcell-femto"} {
		m := makeAndRead(t, Options{Scenario: sc, Seed: 11, Duration: 2 * time.Minute})
		for _, d := range m.packets {
			if d.sip() {
				t.Fatalf("%s: %q", sc, d.payload)
			}
		}
	}
}

// TestOverTCPAndTLS checks that agents who say so speak SIP over TCP, readable or
// in records of TLS, and never over UDP.
func TestOverTCPAndTLS(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for _, sc := range []string{"dialler-tcp", "dialler-tls"} {
		records := 0
		m := makeAndRead(t, Options{Scenario: sc, Seed: 4, Duration: 5 * time.Minute})
		for _, d := range m.packets {
			if d.sip() && d.proto == protoUDP {
				t.Fatalf("%s: over UDP: %q", sc, d.payload)
			}
			if sc == "dialler-tls" && d.proto == protoTCP && (d.sport == 5061 || d.dport == 5061) && len(d.payload) > 5 {
				records++
				if d.sip() {
					t.Fatalf("%s: %q", sc, d.payload)
				}
			}
		}
		if sc == "dialler-tls" && records == 0 {
			t.Error("no record of TLS")
		}
	}
}
