package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the files of docs/ anew")

func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("x.yaml", "/etc/simtrapd", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := parsed(t, "ports: [{name: eth1}]")
	if c.Capture != CaptureAuto || c.OnPort != OnPortAuto || c.Every() != time.Minute || c.Limits.Flows != 131072 || c.Limits.Memory != 0 ||
		!c.Tunnels.GTPU || c.Tunnels.GRE || c.Metrics.Listen != "127.0.0.1:9810" || !c.Reattach || c.Ports[0].Direction != DirectionBoth || c.Replay.Speed != 1 {
		t.Errorf("%+v", c)
	}
	if got := c.KeyFile(); got != "/var/lib/simtrapd/key" {
		t.Error(got)
	}
	if got := c.Path("x"); got != "/etc/simtrapd/x" {
		t.Error(got)
	}
}

func TestEverything(t *testing.T) {
	c := parsed(t, `
ports:
  - {name: eth1, direction: up, realm: access}
  - {name: eth2, direction: down, realm: access}
capture: xdp
on-port: drop
home: [203.0.113.0/24, 2001:db8::/32, 198.51.100.9]
never: [203.0.113.128/25]
shared: [203.0.113.64/26]
ipv6-line: 56
realms:
  - {name: a, vlan: 100-199}
  - {name: b, tunnel: 192.0.2.0/24}
  - name: rest
plan: th
checkpoint-interval: 90s
limits: {memory: 512MiB, flows: 65536}
metrics: {listen: "0.0.0.0:9810", anywhere: true}
log: {level: debug, every: 30s}
`)
	if diff := cmp.Diff([]string{"access=port:1", "access=port:2", "a=vlan:100-199", "b=tunnel:192.0.2.0/24", "rest"}, c.realmSpecs()); diff != "" {
		t.Error(diff)
	}
	if _, err := c.RealmRules(); err != nil {
		t.Error(err)
	}
	homes, err := c.Homes()
	if err != nil || !homes.Known() {
		t.Error(err)
	}
	if c.Limits.Memory != 512<<20 || c.Limits.Memory.String() != "512MiB" || c.Every() != 90*time.Second || c.Log.Burst != 10 {
		t.Errorf("%+v", c.Limits)
	}
}

// Every mistake is told, at its place, with what mends it.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", `x.yaml:1:1: the file is empty; name at least one port under ports`},
		{"comment", "# nothing\n", `x.yaml:1:1: the file is empty; name at least one port under ports`},
		{"list", "- a\n", `x.yaml:1:1: the file is a list, not keys with values; write key: value lines, see simtrapd schema`},
		{"unknown", "ports: [{name: eth1}]\nmetric: 1\n", `x.yaml:2:1: unknown key "metric"; did you mean metrics?`},
		{"underscore", "ports: [{name: eth1}]\non_port: pass\n", `x.yaml:2:1: unknown key "on_port"; did you mean on-port?`},
		{"far", "ports: [{name: eth1}]\nlimits:\n  zzzzzz: 1\n", `x.yaml:3:3: unknown key "zzzzzz"; in limits there may be flows, frames-per-source, memory`},
		{"elsewhere", "ports: [{name: eth1}]\nlisten: 127.0.0.1:1\n", `x.yaml:2:1: unknown key "listen"; listen belongs under metrics`},
		{"twice", "ports: [{name: eth1}]\nplan: cn\nplan: th\n", `x.yaml:3:1: plan stands in line 2 already; leave one of them`},
		{"no port", "plan: cn\n", `x.yaml:1:1: there are no ports; name at least one: ports: [{name: eth1}]`},
		{"no ports", "ports: []\n", `x.yaml:1:8: ports is empty; name at least one: ports: [{name: eth1}]`},
		{"null", "ports:\n", "x.yaml:1:7: ports has no value; give it a value or leave the key out\nx.yaml:1:7: ports is empty; name at least one: ports: [{name: eth1}]"},
		{"scalar", "ports: eth1\n", "x.yaml:1:8: ports is the text \"eth1\", not a list; write a list: [{name: ...}]\nx.yaml:1:8: ports is empty; name at least one: ports: [{name: eth1}]"},
		{"nameless", "ports: [{direction: up}, {direction: down}]\n", "x.yaml:1:9: a port without a name; add name: and the interface\nx.yaml:1:26: a port without a name; add name: and the interface"},
		{"same port", "ports: [{name: eth1}, {name: eth1}]\n", `x.yaml:1:30: "eth1" is ports[0] already; leave one of them`},
		{"long port", "ports: [{name: a-very-long-interface}]\n", `x.yaml:1:16: ports[0].name: no interface is called "a-very-long-interface"; want at most 15 bytes and no colon, as ip link shows it`},
		{"bad port", "ports: [{name: 'eth1/../x'}]\n", `x.yaml:1:16: ports[0].name: "eth1/../x"; want at most 63 letters, digits, dots, dashes, underscores, colons or @`},
		{"one way", "ports: [{name: eth1, direction: up}]\n", `x.yaml:1:8: no port shows the direction down; add the port that shows the other direction, or say direction: both where there is one port`},
		{"word", "ports: [{name: eth1}]\ncapture: xpd\n", `x.yaml:2:10: capture: "xpd"; did you mean xdp? want auto, xdp, xdp-generic, tcx, clsact, af_packet or file`},
		{"number", "ports: [{name: eth1}]\nlimits: {flows: many}\n", `x.yaml:2:17: limits.flows: "many"; want a whole number from 1024 to 4194304`},
		{"small", "ports: [{name: eth1}]\nlimits: {flows: 1}\n", `x.yaml:2:17: limits.flows: "1"; want from 1024 to 4194304`},
		{"memory", "ports: [{name: eth1}]\nlimits: {memory: 512 megabytes}\n", `x.yaml:2:18: limits.memory: "512 megabytes"; want auto, or a whole number of bytes, KiB, MiB or GiB such as 512MiB`},
		{"little memory", "ports: [{name: eth1}]\nlimits: {memory: 1MiB}\n", `x.yaml:2:18: limits.memory: "1MiB"; want from 64MiB to 1TiB`},
		{"huge memory", "ports: [{name: eth1}]\nlimits: {memory: 9999999999999TiB}\n", `x.yaml:2:18: limits.memory: "9999999999999TiB"; want auto, or a whole number of bytes, KiB, MiB or GiB such as 512MiB`},
		{"boolean", "ports: [{name: eth1}]\ntunnels: {gre: yes}\n", `x.yaml:2:16: tunnels.gre: "yes"; want true or false`},
		{"time", "ports: [{name: eth1}]\ncheckpoint-interval: 60\n", `x.yaml:2:22: checkpoint-interval: "60"; want a time such as 30s, 5m or 1h`},
		{"long time", "ports: [{name: eth1}]\ncheckpoint-interval: 48h\n", `x.yaml:2:22: checkpoint-interval: "48h"; want from 1s to 1h`},
		{"prefix", "ports: [{name: eth1}]\nhome: [203.0.113.0/24, gateway]\n", `x.yaml:2:24: home[1]: "gateway"; want an address or a prefix such as 192.168.0.0/16`},
		{"bits", "ports: [{name: eth1}]\nhome: [203.0.113.7/24]\n", `x.yaml:2:8: home[0]: "203.0.113.7/24"; bits stand behind the prefix: want 203.0.113.0/24, or 203.0.113.7 for the one address`},
		{"all gone", "ports: [{name: eth1}]\nhome: [203.0.113.0/24]\nnever: [203.0.112.0/23]\n", `x.yaml:3:9: never: 203.0.112.0/23 takes all of home 203.0.113.0/24 away; take one of them out`},
		{"shared", "ports: [{name: eth1}]\nhome: [203.0.113.0/24]\nshared: [198.51.100.0/24]\n", `x.yaml:3:10: shared: 198.51.100.0/24 lies outside home; add it to home too, or take it out`},
		{"realm", "ports: [{name: eth1}]\nrealms: [{vlan: 1-2}, {name: a, vlan: 2-1}, {name: b, vlan: 1, tunnel: 192.0.2.1}]\n",
			"x.yaml:2:10: a realm without a name; add name:\nx.yaml:2:39: realms[1].vlan: \"2-1\"; want N or N-M, up to 4095\nx.yaml:2:45: a realm with both vlan and tunnel; make two realms of the same name"},
		{"catch-all", "ports: [{name: eth1}]\nrealms: [{name: a}, {name: b, vlan: 7}]\n", `x.yaml:2:21: never reached: realms[0] takes every packet; move it before realms[0]`},
		{"plan", "ports: [{name: eth1}]\nplan: mars\n", `x.yaml:2:7: plan: "mars"; numbering plan "mars": want the two letters of a country such as cn, th or gh, or generic`},
		{"anywhere", "ports: [{name: eth1}]\nmetrics: {listen: '0.0.0.0:9810'}\n", `x.yaml:2:19: metrics.listen: other machines reach "0.0.0.0:9810"; listen on 127.0.0.1, or set anywhere: true under metrics if that is meant`},
		{"listen", "ports: [{name: eth1}]\nmetrics: {listen: 9810}\n", `x.yaml:2:19: metrics.listen: "9810"; want an address and a port such as 127.0.0.1:9810 or [::1]:9810, or none`},
		{"files", "ports: [{name: eth1, files: [a.pcap]}]\nreplay: {speed: 2}\n", "x.yaml:1:29: files are for capture: file alone; leave it out, or set capture: file\nx.yaml:2:9: replay is for capture: file alone; leave it out, or set capture: file"},
		{"no files", "ports: [{name: a}]\ncapture: file\n", `x.yaml:1:9: capture: file, and port "a" has no files; add files: and the captures that stand for it`},
		{"alias", "ports: &p [{name: eth1}]\nplan: cn\n", "x.yaml:1:8: anchors and aliases are not understood; write the value out\nx.yaml:1:8: ports is empty; name at least one: ports: [{name: eth1}]"},
		{"tag", "ports: [{name: eth1}]\nplan: !secret cn\n", `x.yaml:2:7: tag "!secret"; leave the tag out`},
		{"documents", "ports: [{name: eth1}]\n---\nplan: cn\n", `x.yaml:2:1: a second document in the file; leave one document, without ---`},
		{"escape", "ports: [{name: eth1}]\n\"\\e[2Jx\": 1\n", `x.yaml:2:1: unknown key "\x1b[2Jx"; at the top there may be `},
		{"all of them", "port: 1\ncapture: xpd\nlimits:\n  memory: lots\n  flow: 3\n",
			"x.yaml:1:1: unknown key \"port\"; did you mean ports?\nx.yaml:1:1: there are no ports; name at least one: ports: [{name: eth1}]\nx.yaml:2:10: capture: \"xpd\"; did you mean xdp? want auto, xdp, xdp-generic, tcx, clsact, af_packet or file\n" +
				"x.yaml:4:11: limits.memory: \"lots\"; want auto, or a whole number of bytes, KiB, MiB or GiB such as 512MiB\nx.yaml:5:3: unknown key \"flow\"; did you mean flows?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.yaml", "/", []byte(tt.text))
			if err == nil {
				t.Fatal("no mistake found")
			}
			got := err.Error()
			if strings.HasSuffix(tt.want, " ") { // a list follows
				got = got[:min(len(got), len(tt.want))]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is no YAML is told with the line where it is noticed, or where it began.
func TestSyntax(t *testing.T) {
	for text, line := range map[string]int{
		"ports: [{name: eth1}]\nhome: [203.0.113.0/24\nplan: cn\n":        2,
		"ports: [{name: eth1}]\nplan: cn\n  bad: 1\n":                     3,
		"ports: [{name: eth1}]\nplan: cn\n x: y\nstate: z\n":              3,
		"ports:\n  - name: eth1\n   direction: up\n":                      2,
		"ports: [{name: eth1}]\nplan: \"cn\n":                             2,
		"ports: [{name: eth1}]\nplan: @cn\n":                              2,
		"ports: [{name: eth1}]\nlog:\n\tlevel: info\n":                    3,
		"ports: [{name: eth1}]\nlimits: {flows: 2048, memory: auto]\n#\n": 2,
	} {
		_, err := Parse("x.yaml", "/", []byte(text))
		m, ok := errors.AsType[*Mistakes](err)
		if !ok || len(m.List) != 1 || m.List[0].Line != line || !strings.HasPrefix(m.List[0].What, "no YAML: ") {
			t.Errorf("%q: want line %d: %v", text, line, err)
		}
	}
}

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(name, bytes.Repeat([]byte("# x\n"), maxFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name); err == nil || !strings.Contains(err.Error(), "1024 KiB") {
		t.Error(err)
	}
	if _, err := Read(name + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	text := "ports: [{name: a, files: [.]}]\ncapture: file\nsessions: [missing.csv, .]\n"
	c, err := Parse("x.yaml", folder, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := "x.yaml:3:12: sessions[0]: cannot use \"missing.csv\": no such file or directory; name a file that can be read; relative paths count from the configuration's folder\n" +
		"x.yaml:3:25: sessions[1]: \".\" is a folder; name a file in it"
	if got := fmt.Sprint(c.Files("x.yaml")); got != want {
		t.Error(cmp.Diff(want, got))
	}
	c.Sessions = nil
	if err := c.Files("x.yaml"); err != nil {
		t.Error(err)
	}
}

// The schema in docs/ is what the types say.
func TestSchema(t *testing.T) {
	const name = "../../docs/simtrapd.schema.json"
	if *update {
		if err := os.WriteFile(name, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(b), string(Schema())); diff != "" {
		t.Errorf("go test ./sensor/config -update writes it anew:\n%s", diff)
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The schema and the reader agree: on the example, and on mistakes that one key
// alone makes.
func TestSchemaAgrees(t *testing.T) {
	s := compiled(t)
	valid := func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	example, err := os.ReadFile("../../docs/simtrapd.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := valid(string(example)); err != nil {
		t.Error(err)
	}
	if _, err := Parse("example", "/", example); err != nil {
		t.Error(err)
	}
	for _, extra := range []string{
		"capture: xpd", "on_port: pass", "limits: {flows: 1}", "limits: {flows: many}", "tunnels: {gre: 1}", "checkpoint-interval: soon",
		"home: [gateway]", "home: 203.0.113.0/24", "realms: [{vlan: 1}]", "realms: [{name: a, vlan: x}]", "ipv6-line: 129", "plan: mars", "workers: 1.5",
		"limits: {memory: lots}", "log: {level: loud}", "ports: []", "ports: [{name: a/b}]", "replay: {speed: -1}", "state: ''",
	} {
		text := "ports: [{name: eth1}]\n" + extra
		if strings.HasPrefix(extra, "ports") {
			text = extra
		}
		if valid(text) == nil {
			t.Errorf("the schema takes %q", text)
		}
		if _, err := Parse("x", "/", []byte(text)); err == nil {
			t.Errorf("the reader takes %q", text)
		}
	}
}

// The example names every key, so that it is a list of what there is.
func TestExampleNamesEveryKey(t *testing.T) {
	b, err := os.ReadFile("../../docs/simtrapd.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		last := k.Name[strings.LastIndexByte(k.Name, '.')+1:]
		if !strings.Contains(string(b), last+":") {
			t.Errorf("no %s", k.Name)
		}
	}
}

// The table of keys in docs/simtrapd.md is made from the types.
func TestTableOfKeys(t *testing.T) {
	const name, begin, end = "../../docs/simtrapd.md", "<!-- keys: made by go test ./sensor/config -update -->\n", "<!-- end of keys -->\n"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("no place for the table")
	}
	var table strings.Builder
	table.WriteString("| key | default | reload | meaning |\n|---|---|---|---|\n")
	for _, k := range Keys() {
		live := ""
		if k.Live {
			live = "live"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", k.Name, k.Default, live, k.Doc)
	}
	want := before + begin + table.String() + end + after
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(b), want); diff != "" {
		t.Errorf("go test ./sensor/config -update writes it anew:\n%s", diff)
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	for _, k := range Keys() {
		if k.Doc == "" {
			t.Errorf("%s has no doc", k.Name)
		}
	}
}

func TestDiff(t *testing.T) {
	a := parsed(t, "ports: [{name: eth1}]\nhome: []\n")
	b := parsed(t, "ports: [{name: eth1}, {name: eth2}]\nlog: {level: debug}\nlimits: {flows: 2048, memory: 1GiB}\noutput: x\n")
	live, restart := Diff(a, b)
	if diff := cmp.Diff([]string{"output", "limits.memory", "log.level"}, live); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ports", "limits.flows"}, restart); diff != "" {
		t.Error(diff)
	}
	c := Take(a, b)
	if c.Log.Level != "debug" || c.Limits.Memory != 1<<30 || c.Limits.Flows != a.Limits.Flows || len(c.Ports) != 1 || c.Output != "x" || a.Output != "-" {
		t.Errorf("%+v", c)
	}
	if live, _ := Diff(b, c); len(live) > 0 {
		t.Errorf("not taken: %v", live)
	}
	if live, restart := Diff(a, parsed(t, "ports: [{name: eth1}]\n")); len(live)+len(restart) > 0 {
		t.Errorf("%v %v", live, restart)
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../../docs/simtrapd.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, s := range []string{
		"", "a", "- a", "ports: [{name: eth1}]", "ports: [{name: eth1}]\nplan: &a [*a]", "a: &a {<<: *a}", "? [a]\n: b", "ports: [{name: \xff}]", "---\n---\n",
		"limits: {memory: 1TiB}", "x: !!binary aGk=", "ports: !!set {a, b}", "\"\\0\": 1", "{a: {a: {a: {a: {}}}}}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("x.yaml", "/", text)
		if err == nil {
			if len(c.Ports) == 0 {
				t.Fatal("nothing wrong without a port")
			}
			if _, err := c.Homes(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.RealmRules(); err != nil {
				t.Fatal(err)
			}
			return
		}
		m, ok := errors.AsType[*Mistakes](err)
		if !ok || len(m.List) == 0 {
			t.Fatalf("%v", err)
		}
		for _, x := range m.List {
			if x.Line < 1 || x.Column < 1 || x.What == "" || x.Remedy == "" || strings.ContainsAny(x.What+x.Remedy, "\n\x1b") {
				t.Fatalf("%+v", x)
			}
		}
	})
}
