package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const good = `name: north-1
uplink: {port: eno1, address: 192.0.2.7/24, gateway: 192.0.2.1, dns: [192.0.2.53]}
time: [192.0.2.123, ntp.example]
hub: {address: "hub.example:8443", token: abc}
sensor:
  ports:
    - {name: enp1s0f0, direction: up}
    - {name: enp1s0f1, direction: down}
  home: [203.0.113.0/24]
`

func TestConfig(t *testing.T) {
	c, err := parseConfig([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.taps, " "); got != "enp1s0f0 enp1s0f1" {
		t.Errorf("taps %s", got)
	}
	for name, change := range map[string][2]string{
		"name":          {"north-1", "north 1"},
		"uplink":        {"eno1", "eno1;"},
		"address":       {"192.0.2.7/24", "192.0.2.7"},
		"gateway":       {"192.0.2.1,", "home,"},
		"dns":           {"[192.0.2.53]", "[dns.example]"},
		"time":          {"ntp.example", "'ntp.example iburst'"},
		"newline":       {"ntp.example", `"ntp.example\nallow"`},
		"hub":           {"hub.example:8443", "hub.example"},
		"token":         {`address: "hub.example:8443", `, ""},
		"unknown key":   {"time:", "times:"},
		"uplink as tap": {"enp1s0f1", "eno1"},
		"tap twice":     {"enp1s0f1", "enp1s0f0"},
		"tap":           {"enp1s0f1", "'a\"b'"},
		"no tap":        {"ports:", "port:"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if text == good {
			t.Errorf("%s: changes nothing", name)
		}
		if _, err := parseConfig([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := parseConfig([]byte(good[:strings.Index(good, "sensor:")])); err == nil {
		t.Error("taken without sensor")
	}
}

func TestAdmission(t *testing.T) {
	hub := Hub{Address: "hub.example:8443", Token: "abc"}
	for _, c := range []struct {
		name    string
		hub     Hub
		used    bool
		refused string
		want    string
	}{
		{"no hub", Hub{}, false, "", ""},
		{"at first", hub, false, "", "waits to be admitted by hub.example:8443"},
		{"refused", hub, false, "the token is used", "not admitted by hub.example:8443 yet: the token is used"},
		{"admitted", hub, true, "", "admitted by hub.example:8443"},
		{"without a token", Hub{Address: hub.Address}, false, "", "no token for hub.example:8443: put one on the stick, unless it was admitted before"},
	} {
		if got := admission(&Config{Hub: c.hub}, c.used, c.refused); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for said, want := range map[string]string{
		"": "no reason was given", "\n": "no reason was given", "trying\nsimtrapd: refused\n": "simtrapd: refused", "a\x1b[2Jb\n": "a[2Jb",
	} {
		if got := lastLine(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("name: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text)
		if err != nil {
			return
		}
		files, err := render(c)
		if err != nil {
			t.Fatal(err)
		}
		// No name gets a line of its own into a file of others.
		if got, want := strings.Count(files[ownFolder+"nftables.conf"], "egress device"), len(c.taps); got != want {
			t.Errorf("%d ports are silenced, of %d", got, want)
		}
	})
}

func TestRender(t *testing.T) {
	c, err := parseConfig([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render(c)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		networkFolder + "10-uplink.network":       "Address=192.0.2.7/24\n",
		networkFolder + "20-tap-enp1s0f1.network": "LinkLocalAddressing=no\n",
		ownFolder + "chrony.conf":                 "server ntp.example iburst\n",
		ownFolder + "resolv.conf":                 "nameserver 192.0.2.53\n",
		ownFolder + "simtrapd.yaml":               "home: [203.0.113.0/24]\n",
		ownFolder + "nftables.conf":               "hook egress device \"enp1s0f0\" priority 0; policy drop;",
	} {
		if !strings.Contains(files[path], want) {
			t.Errorf("%s has no %q:\n%s", path, want, files[path])
		}
	}
	if strings.Contains(files[ownFolder+"simtrapd.yaml"], "token") {
		t.Error("the token is where simtrapd can read it")
	}
	for path := range files {
		if !strings.HasPrefix(path, "/run/") {
			t.Errorf("%s is not made anew at each boot", path)
		}
	}
}

// nft takes the rules, where it is there and may look.
func TestFirewall(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil || os.Getuid() != 0 {
		t.Skip("needs nft (Debian: nftables) and root")
	}
	for _, address := range []string{"192.0.2.7/24", "dhcp"} {
		c, err := parseConfig([]byte(strings.NewReplacer("192.0.2.7/24", address, "[192.0.2.53]", "[192.0.2.53, \"2001:db8::53\"]", "enp1s0f0", "lo", "- {name: enp1s0f1, direction: down}", "").Replace(good)))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "rules")
		if err := os.WriteFile(file, []byte(firewall(c)), 0o600); err != nil {
			t.Fatal(err)
		}
		// It changes nothing: -c only checks.
		if out, err := exec.Command(nft, "-c", "-f", file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}
