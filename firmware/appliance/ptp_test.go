package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPTPConfig(t *testing.T) {
	for text, want := range map[string]string{
		"{}":                            "[ptp_domain 0]\ninterfaces eno1\nntp_options prefer\nptp4l_option network_transport UDPv4\n",
		"{domain: 24, transport: l2}":   "[ptp_domain 24]\ninterfaces eno1\nntp_options prefer\nptp4l_option network_transport L2\n",
		"{domain: 4, transport: udp}":   "[ptp_domain 4]\ninterfaces eno1\nntp_options prefer\nptp4l_option network_transport UDPv4\n",
		"{domain: 128}":                 "",
		"{domain: -1}":                  "",
		"{transport: \"l2\\nshell x\"}": "",
		"{port: enp1s0f0}":              "",
	} {
		c, err := parseConfig([]byte(good + "ptp: " + text + "\n"))
		if (err != nil) != (want == "") {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil {
			continue
		}
		files, err := render(c)
		if err != nil {
			t.Fatal(err)
		}
		got := files[ownFolder+"timemaster.conf"]
		if !strings.Contains(got, want) || !strings.HasSuffix(got, "[chrony.conf]\n"+chrony(c)) {
			t.Errorf("%s:\n%s", text, got)
		}
		rules := files[ownFolder+"nftables.conf"]
		open := strings.Count(rules, "fname \"eno1\" udp dport { 319, 320 } ")
		if (open == 2) != (c.PTP.Transport == overUDP) || strings.Count(rules, "319") != open {
			t.Errorf("%s: rules\n%s", text, rules)
		}
	}
	c, err := parseConfig([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render(c)
	if err != nil {
		t.Fatal(err)
	}
	if text := files[ownFolder+"timemaster.conf"]; text != "" || strings.Contains(files[ownFolder+"nftables.conf"], "319") {
		t.Errorf("without ptp there is PTP:\n%s", text)
	}
}

// sh runs a program of the test's own.
func sh(t *testing.T, words string, args ...string) string {
	t.Helper()
	all := append(strings.Fields(words), args...)
	out, err := exec.Command(all[0], all[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", words, err, out)
	}
	return string(out)
}

// start runs one until the test ends.
func start(t *testing.T, words string) {
	t.Helper()
	all := strings.Fields(words)
	cmd := exec.Command(all[0], all[1:]...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s:\n%s", words, text)
		}
	})
}

// A master at the other end of the uplink's cable is followed as the rendered files have
// it, with the rules in force and by software's time stamps; chronyd tells its quality
// and takes it before others. Nothing of it leaves a tap port, and what is not
// configured is not let in. No clock is touched.
func TestPTP(t *testing.T) {
	if testing.Short() {
		t.Skip("PTP takes its time")
	}
	for _, name := range []string{"ip", "unshare", "nft", "ptp4l", "timemaster", "chronyd", "chronyc"} {
		if _, err := exec.LookPath(name); err != nil || os.Getuid() != 0 {
			t.Skip("needs root, and iproute2, nftables, linuxptp and chrony of Debian: no " + name)
		}
	}
	for _, c := range []struct {
		name, ptp, master, rules string
		follows                  bool
	}{
		{"udp", "{domain: 3}", "-4", "{domain: 3}", true},
		{"l2", "{domain: 24, transport: l2}", "-2", "{domain: 24, transport: l2}", true},
		{"udp without its rules", "{domain: 3}", "-4", "{domain: 3, transport: l2}", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			parse := func(ptp string) *Config {
				c, err := parseConfig([]byte(strings.NewReplacer("eno1", "uplink", "enp1s0f0", "tap", "- {name: enp1s0f1, direction: down}", "").Replace(good) + "ptp: " + ptp + "\n"))
				if err != nil {
					t.Fatal(err)
				}
				c.Time = nil // it reaches no server
				return c
			}
			config := parse(c.ptp)
			folder := t.TempDir()
			// chronyd is not root for long, and goes through both.
			if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil {
				t.Fatal(err)
			}
			id := strings.Trim(regexp.MustCompile(`[^0-9]+`).ReplaceAllString(folder, "-"), "-")
			here, there := "simtrap-ptp-"+id, "simtrap-master-"+id
			for _, ns := range []string{here, there} {
				sh(t, "ip netns add "+ns)
				t.Cleanup(func() { sh(t, "ip netns del "+ns) })
			}
			for _, link := range []string{"uplink", "tap"} {
				sh(t, fmt.Sprintf("ip link add %s netns %s type veth peer name %s netns %s", link, here, link, there))
			}
			rules := filepath.Join(folder, "rules")
			if err := os.WriteFile(rules, []byte(firewall(parse(c.rules))), 0o600); err != nil {
				t.Fatal(err)
			}
			sh(t, "ip netns exec "+here+" nft -f", rules)
			sh(t, "ip -n "+here+" addr add 192.0.2.7/24 dev uplink")
			sh(t, "ip -n "+there+" addr add 192.0.2.1/24 dev uplink")
			for _, ns := range []string{here, there} {
				sh(t, "ip -n "+ns+" link set lo up")
				sh(t, "ip -n "+ns+" link set uplink up")
				sh(t, "ip -n "+ns+" link set tap up")
			}

			start(t, fmt.Sprintf("ip netns exec %s ptp4l -m -q -S -i uplink %s --domainNumber=%d --free_running=1 --logAnnounceInterval=-2 --announceReceiptTimeout=2 --logSyncInterval=-2 --uds_address=%s",
				there, c.master, config.PTP.Domain, filepath.Join(folder, "master")))
			// As it is rendered, but in folders of the test, and with no clock to keep.
			text := strings.NewReplacer("/run/timemaster", folder+"/run", "/usr/sbin/", "", "options -F 1", "options -x -F 1", "user _chrony", "user nobody", "/var/lib/chrony", folder).Replace(timemaster(config))
			socket := filepath.Join(folder, "command/chronyd") // in a folder that chronyd makes, for itself alone
			text += "bindcmdaddress " + socket + "\npidfile " + folder + "/pid\n"
			file := filepath.Join(folder, "timemaster.conf")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			start(t, fmt.Sprintf("ip netns exec %s unshare --ipc timemaster -m -q -f %s", here, file))

			followed := regexp.MustCompile(`(?m)^#\* PTP0 .*$`)
			limit := time.Minute
			if !c.follows {
				limit = 20 * time.Second
			}
			seen := ""
			for deadline := time.Now().Add(limit); !followed.MatchString(seen) && time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
				out, _ := exec.Command("ip", "netns", "exec", here, "chronyc", "-n", "-h", socket, "sources").CombinedOutput() // it may not serve yet
				seen = string(out)
			}
			if followed.MatchString(seen) != c.follows || !strings.Contains(seen, "PTP0") {
				t.Errorf("chronyd says\n%s", seen)
			}
			if c.follows {
				t.Log(followed.FindString(seen))
				if tracking := sh(t, "ip netns exec "+here+" chronyc -n -h "+socket+" tracking"); !strings.Contains(tracking, "(PTP0)") || !strings.Contains(tracking, "Leap status     : Normal") {
					t.Errorf("chronyd says\n%s", tracking)
				}
			}
			if out := strings.TrimSpace(sh(t, "ip netns exec "+there+" cat /sys/class/net/tap/statistics/rx_packets")); out != "0" {
				t.Errorf("%s frames came out of the tap port", out)
			}
		})
	}
}
