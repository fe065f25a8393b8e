// Package config is simtrapd's configuration: what it may say, how it is read
// and what is wrong with it. It looks at nothing but the text, except for
// Files, which looks whether what the text names is there.
package config

import (
	"net/netip"
	"path/filepath"
	"time"

	"simtrap/ident"
	"simtrap/pipeline"
)

// Config is what the file says, with the defaults where it says nothing. The
// tags are the one place that names a key: reading, the schema, what a reload
// may change and the table in docs/simtrapd.md are made from them.
//
//	yaml      the key
//	doc       what it means
//	default   its value where the file has none
//	reload    "live" where a reload may change it
//	want      what a text must be, for the schema
type Config struct {
	Ports     []Port   `yaml:"ports" doc:"The tap or mirror ports, in the order in which their frames are numbered."`
	Capture   Capture  `yaml:"capture" default:"auto" doc:"How frames are taken: auto tries xdp, xdp-generic, tcx, clsact and af_packet in this order; file replays capture files as if they came from a tap."`
	OnPort    OnPort   `yaml:"on-port" default:"auto" doc:"What becomes of frames in the kernel when they have been looked at. auto and drop drop them on a port without address and route and pass them on elsewhere, so that the machine is never cut off; pass always passes them on."`
	Home      []Prefix `yaml:"home" doc:"Addresses of subscribers. Without it, which end is the subscriber's is taken from signalling."`
	Never     []Prefix `yaml:"never" doc:"Addresses whose packets are dropped unread."`
	Shared    []Prefix `yaml:"shared" doc:"Addresses that several subscribers share outside a CGNAT. Lines there are never told above watch."`
	IPv6Line  int      `yaml:"ipv6-line" default:"64" doc:"Prefix length of an IPv6 line." min:"32" max:"128"`
	Realms    []Realm  `yaml:"realms" doc:"Spaces of inner addresses; the first that fits a packet applies, after the realms of the ports."`
	Sessions  []string `yaml:"sessions" doc:"Files that say who had which address when: CSV, FreeRADIUS detail, or a capture of RADIUS accounting."`
	Plan      string   `yaml:"plan" default:"cn" doc:"Numbering plan: two letters of a country, or generic." want:"plan"`
	Places    []string `yaml:"places" doc:"CSV files that say where networks are (docs/detection.md)."`
	Geo       []string `yaml:"geo" doc:"MaxMind databases of countries or autonomous systems."`
	Workers   int      `yaml:"workers" default:"0" doc:"Decoders at work at once; 0 for one per processor." min:"0" max:"1024"`
	State     string   `yaml:"state" default:"/var/lib/simtrapd" doc:"Folder of what outlives a restart."`
	Interval  Duration `yaml:"checkpoint-interval" default:"1m" reload:"live" doc:"How often the evidence is written to the state folder." min:"1s" max:"1h"`
	Key       string   `yaml:"key" default:"key" doc:"File of the pseudonym key, made if it is not there; in the state folder unless the path is absolute."`
	Output    string   `yaml:"output" default:"-" reload:"live" doc:"File that findings are appended to as JSON Lines; - is standard output, none for none. A reload opens it anew, for whoever rotates it."`
	Hub       Hub      `yaml:"hub" doc:"The centre that findings are reported to."`
	Headers   Headers  `yaml:"headers" doc:"Headers of packets of lines at watch or above, kept for a while."`
	Socket    string   `yaml:"socket" default:"/run/simtrapd/status.sock" doc:"Unix socket that simtrapd status asks; none for none."`
	Reattach  bool     `yaml:"reattach" default:"true" doc:"Keep the right to attach again when a port vanishes and returns. It is used only for that moment; without it all capabilities are dropped for good."`
	Confine   bool     `yaml:"confine" default:"true" doc:"Let the process reach only the files it needs (landlock), where the kernel can."`
	Limits    Limits   `yaml:"limits" doc:"What may be used at most."`
	Tunnels   Tunnels  `yaml:"tunnels" doc:"Which tunnels the program in the kernel looks into. Frames that reach user space are always decoded to the end."`
	Metrics   Metrics  `yaml:"metrics" doc:"Prometheus metrics, health and profiles over HTTP."`
	Log       Log      `yaml:"log" doc:"What is logged to standard error."`
	Replay    Replay   `yaml:"replay" doc:"How capture: file replays."`
	directory string
	positions map[string]Pos
}

// Port is one tap port.
type Port struct {
	Name      string    `yaml:"name" doc:"Name of the network interface; with capture: file any name." want:"name"`
	Direction Direction `yaml:"direction" default:"both" doc:"What the port shows: both directions, up (from subscribers) or down."`
	Realm     string    `yaml:"realm" doc:"Realm of everything on this port." want:"name"`
	Files     []string  `yaml:"files" doc:"With capture: file, the capture files or folders that stand for this port."`
}

// Realm is a rule that puts packets into a space of inner addresses.
type Realm struct {
	Name   string `yaml:"name" doc:"Its name, as findings show it." want:"name"`
	VLAN   string `yaml:"vlan" doc:"VLAN identifiers, outer or inner: N or N-M." want:"range"`
	Tunnel Prefix `yaml:"tunnel" doc:"Packets from a tunnel one end of which lies here."`
}

// Hub is the centre, and what waits for it.
type Hub struct {
	Address string   `yaml:"address" default:"auto" doc:"Host and port of the hub at which simtrapd enroll admitted this appliance; auto reports where it was enrolled, if it was; none reports to nobody." want:"hub"`
	Limit   Size     `yaml:"outbox-limit" default:"256MiB" doc:"How much of the state folder reports may take that wait for the hub; then the least important go first, and are counted." min:"16MiB" max:"1TiB"`
	Reserve Size     `yaml:"outbox-reserve" default:"64MiB" doc:"How much of the file system reports leave free; headers leave twice as much." min:"1MiB" max:"1TiB"`
	Sync    Sync     `yaml:"outbox-sync" default:"interval" doc:"When reports are made to outlast a power cut: every one at once, within an interval of 200 ms, or never but when a file is full."`
	Health  Duration `yaml:"health-interval" default:"5m" doc:"How often the hub is told how this appliance does." min:"1s" max:"24h"`
}

// Headers is what is kept of packets of suspect lines.
type Headers struct {
	Keep  bool     `yaml:"keep" default:"true" doc:"Keep headers of packets of lines at watch or above, without what the packets carry, in the state folder."`
	Limit Size     `yaml:"limit" default:"256MiB" doc:"How much of the state folder they may take; then the oldest go." min:"1MiB" max:"1TiB"`
	Line  Size     `yaml:"per-line" default:"16MiB" doc:"The same of one line." min:"1MiB" max:"1TiB"`
	Age   Duration `yaml:"age" default:"168h" doc:"How long they are kept." min:"1h" max:"8784h"`
	Lines int      `yaml:"lines" default:"1024" doc:"Lines followed at once, the most suspect first." min:"1" max:"4096"`
	Key   string   `yaml:"key" default:"none" doc:"File of a public key (simtrap-hub headers-key) that they are encrypted to, so that this machine cannot read them; none writes them plain."`
	Fetch bool     `yaml:"fetch" default:"true" reload:"live" doc:"Let the hub fetch them, for a line and under an authority that it names."`
}

// Limits bounds what the daemon uses.
type Limits struct {
	Memory          Size `yaml:"memory" default:"auto" reload:"live" doc:"Memory the program aims to stay below, such as 512MiB; auto takes nine tenths of what the control group allows." min:"64MiB" max:"1TiB"`
	Flows           int  `yaml:"flows" default:"131072" doc:"UDP flows accounted at once in the kernel." min:"1024" max:"4194304"`
	FramesPerSource int  `yaml:"frames-per-source" default:"2000" doc:"Frames a second that one source address may send up from the kernel." min:"10" max:"1000000"`
}

// Tunnels are the optional decoders of the program in the kernel.
type Tunnels struct {
	GTPU  bool `yaml:"gtpu" default:"true" doc:"GTP-U of mobile networks."`
	VXLAN bool `yaml:"vxlan" default:"false" doc:"VXLAN."`
	GRE   bool `yaml:"gre" default:"false" doc:"GRE."`
}

// Metrics is the HTTP side.
type Metrics struct {
	Listen   string `yaml:"listen" default:"127.0.0.1:9810" reload:"live" doc:"Address and port; none for none." want:"address"`
	Anywhere bool   `yaml:"anywhere" default:"false" reload:"live" doc:"Allow an address that other machines reach. Profiles are served to this machine alone all the same."`
	Profiles bool   `yaml:"profiles" default:"true" reload:"live" doc:"Serve profiles of the program (pprof) to this machine."`
}

// Log is what is logged.
type Log struct {
	Level  Level    `yaml:"level" default:"info" reload:"live" doc:"The least level that is logged."`
	Format Format   `yaml:"format" default:"text" doc:"Lines of text, or JSON."`
	Burst  int      `yaml:"burst" default:"10" reload:"live" doc:"How often the same message is logged within every; more are counted and said later." min:"1" max:"10000"`
	Every  Duration `yaml:"every" default:"1m" reload:"live" doc:"See burst." min:"1s" max:"24h"`
}

// Replay is how files stand in for a tap.
type Replay struct {
	Speed float64 `yaml:"speed" default:"1" doc:"How many times faster than recorded; 0 as fast as it goes." min:"0" max:"1000000"`
	End   End     `yaml:"at-end" default:"stop" doc:"stop ends the daemon with the last frame; wait leaves it as on a silent tap."`
}

// Words that a key may have as its value.
type (
	Capture   string
	OnPort    string
	Direction string
	Level     string
	Format    string
	End       string
	Sync      string
)

// The values that the code asks for.
const (
	CaptureAuto       Capture   = "auto"
	CaptureXDP        Capture   = "xdp"
	CaptureXDPGeneric Capture   = "xdp-generic"
	CaptureTCX        Capture   = "tcx"
	CaptureClsact     Capture   = "clsact"
	CaptureAFPacket   Capture   = "af_packet"
	CaptureFile       Capture   = "file"
	OnPortAuto        OnPort    = "auto"
	OnPortPass        OnPort    = "pass"
	OnPortDrop        OnPort    = "drop"
	DirectionBoth     Direction = "both"
	DirectionUp       Direction = "up"
	DirectionDown     Direction = "down"
	FormatText        Format    = "text"
	FormatJSON        Format    = "json"
	EndStop           End       = "stop"
	EndWait           End       = "wait"

	SyncEvery    Sync = "every"
	SyncInterval Sync = "interval"
	SyncNever    Sync = "never"

	// None as an address or a path asks for nothing there.
	None = "none"
	// Auto as the hub's address is the one that the appliance was enrolled at.
	Auto = "auto"
)

func (Capture) words() []string {
	return []string{"auto", "xdp", "xdp-generic", "tcx", "clsact", "af_packet", "file"}
}
func (OnPort) words() []string    { return []string{"auto", "pass", "drop"} }
func (Direction) words() []string { return []string{"both", "up", "down"} }
func (Level) words() []string     { return []string{"debug", "info", "warn", "error"} }
func (Format) words() []string    { return []string{"text", "json"} }
func (Sync) words() []string      { return []string{"every", "interval", "never"} }
func (End) words() []string       { return []string{"stop", "wait"} }

// Path makes what the file names absolute: it counts from the file's folder.
func (c *Config) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.directory, name)
}

// StateFolder gives the folder of what outlives a restart.
func (c *Config) StateFolder() string { return c.Path(c.State) }

// KeyFile gives the file of the pseudonym key.
func (c *Config) KeyFile() string {
	if filepath.IsAbs(c.Key) {
		return c.Key
	}
	return filepath.Join(c.StateFolder(), c.Key)
}

// Paths makes several names absolute.
func (c *Config) Paths(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, c.Path(n))
	}
	return out
}

// Homes gives the addresses of subscribers as the pipeline wants them.
func (c *Config) Homes() (*ident.Homes, error) {
	var texts []string
	for _, p := range c.Home {
		texts = append(texts, p.String())
	}
	if len(texts) == 0 {
		return ident.ParseHomes(nil, c.IPv6Line)
	}
	return ident.ParseHomes(texts, c.IPv6Line)
}

// RealmRules gives the rules as the pipeline wants them: those of the ports,
// then the others in their order.
func (c *Config) RealmRules() (pipeline.Realms, error) {
	return pipeline.ParseRealms(c.realmSpecs())
}

func (c *Config) realmSpecs() []string {
	var specs []string
	for i, p := range c.Ports {
		if p.Realm != "" {
			specs = append(specs, portSpec(p.Realm, i+1))
		}
	}
	for _, r := range c.Realms {
		specs = append(specs, r.spec())
	}
	return specs
}

// spec is the rule as ParseRealms reads it.
func (r *Realm) spec() string {
	switch {
	case r.VLAN != "":
		return r.Name + "=vlan:" + r.VLAN
	case netip.Prefix(r.Tunnel).IsValid():
		return r.Name + "=tunnel:" + r.Tunnel.String()
	}
	return r.Name
}

// InShared tells whether several subscribers share an address.
func (c *Config) InShared(a netip.Addr) bool { return contains(c.Shared, a) }

func contains(prefixes []Prefix, a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range prefixes {
		if netip.Prefix(p).Contains(a) {
			return true
		}
	}
	return false
}

// Every gives the time between two checkpoints.
func (c *Config) Every() time.Duration { return time.Duration(c.Interval) }

// NumberingPlan gives the plan.
func (c *Config) NumberingPlan() (*ident.Plan, error) { return ident.ParsePlan(c.Plan) }
