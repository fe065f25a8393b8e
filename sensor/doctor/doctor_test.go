package doctor

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake is a machine on which nothing is to be mended; tests spoil it.
type fake struct {
	link     Link
	linkErr  error
	features map[string]bool
	rings    Rings
	ringsErr error
	channels Channels
	counters map[string]uint64
	xdp      uint64
	xdpErr   error
	load     error
	clock    Clock
	caps     uint64
	group    int64
	free     uint64
	root     fstest.MapFS
}

func healthy() *fake {
	return &fake{
		link:     Link{Index: 3, Type: 1, Up: true, Carrier: true, MTU: 1500, Promisc: 1, RxQueues: 4},
		features: map[string]bool{"rx-gro": false, "rx-gro-hw": false, "rx-lro": false, "rx-vlan-hw-parse": false, "rx-vlan-filter": true},
		rings:    Rings{4096, 8192}, channels: Channels{4, 8, true},
		counters: map[string]uint64{"rx_queue_0_packets": 30000, "rx_queue_1_packets": 28000, "rx_queue_0_bytes": 1 << 40, "tx_queue_0_packets": 1 << 40, "rx_packets": 58000},
		xdp:      1, clock: Clock{true, 3 * time.Millisecond}, caps: 1<<capNetAdmin | 1<<capNetRaw | 1<<capSysAdmin, free: 50 << 30,
		root: fstest.MapFS{"sys/kernel/btf/vmlinux": {}, "proc/sys/kernel/perf_event_paranoid": {Data: []byte("2\n")}},
	}
}

func (f *fake) Link(string) (Link, error)                   { return f.link, f.linkErr }
func (f *fake) Features(string) (map[string]bool, error)    { return f.features, nil }
func (f *fake) Rings(string) (Rings, error)                 { return f.rings, f.ringsErr }
func (f *fake) Channels(string) (Channels, error)           { return f.channels, nil }
func (f *fake) Counters(string) (map[string]uint64, error)  { return f.counters, nil }
func (f *fake) Driver(string) (string, error)               { return "ixgbe", nil }
func (f *fake) XDP(int) (uint64, error)                     { return f.xdp, f.xdpErr }
func (f *fake) LoadXDP() error                              { return f.load }
func (f *fake) Clock() (Clock, error)                       { return f.clock, nil }
func (f *fake) Capabilities() (uint64, error)               { return f.caps, nil }
func (f *fake) MemoryLimit() (int64, int64, error)          { return f.group, 8 << 30, nil }
func (f *fake) Free(string) (free, total uint64, err error) { return f.free, 100 << 30, nil }
func (f *fake) Root() fs.FS                                 { return f.root }

// A port that nobody watches yet takes the frames of its own address alone, and is well.
func TestHealthy(t *testing.T) {
	for wanted := range 2 {
		s := healthy()
		s.link.Promisc = wanted
		for _, f := range Examine(s, "eth1", "/var/lib/simtrapd") {
			if f.State != OK || f.Remedy != "" {
				t.Errorf("%d want all frames: %+v", wanted, f)
			}
		}
	}
}

// Whatever is wrong is told by its own check and by no other, with the command
// that mends it.
func TestOneThingWrong(t *testing.T) {
	for _, tt := range []struct {
		check  string
		state  State
		remedy string
		spoil  func(*fake)
	}{
		{"port", Mend, "ip -br link", func(f *fake) { f.linkErr = errors.New("there is no such interface") }},
		{"up", Mend, "ip link set eth1 up", func(f *fake) { f.link.Up = false }},
		{"up", Mend, "check the cable and the tap's port", func(f *fake) { f.link.Carrier = false }},
		{"link type", Mend, "name an Ethernet port", func(f *fake) { f.link.Type = 801 }},
		{"other program", Mend, "ip link set eth1 xdp off (where it is not simtrapd's own), or capture: tcx", func(f *fake) { f.link.XDP = 7 }},
		{"gro", Mend, "ethtool -K eth1 gro off", func(f *fake) { f.features["rx-gro"] = true }},
		{"hardware gro", Mend, "ethtool -K eth1 rx-gro-hw off", func(f *fake) { f.features["rx-gro-hw"] = true }},
		{"lro", Mend, "ethtool -K eth1 lro off", func(f *fake) { f.features["rx-lro"] = true }},
		{"vlan offload", Mend, "ethtool -K eth1 rxvlan off", func(f *fake) { f.features["rx-vlan-hw-parse"] = true }},
		{"ring", Mend, "ethtool -G eth1 rx 4096", func(f *fake) { f.rings = Rings{256, 8192} }},
		{"ring", Mend, "ethtool -G eth1 rx 1024", func(f *fake) { f.rings = Rings{256, 1024} }},
		{"ring", Unknown, "", func(f *fake) { f.ringsErr = syscall.EPERM }},
		{"queues", Mend, "ethtool -L eth1 combined 8", func(f *fake) { f.channels = Channels{1, 16, true} }},
		{"queues", Mend, "ethtool -L eth1 rx 2", func(f *fake) { f.channels = Channels{1, 2, false} }},
		{"balance", Mend, "ethtool -N eth1 rx-flow-hash udp4 sdfn; where that changes nothing, spread the tap's traffic over several ports",
			func(f *fake) { f.counters = map[string]uint64{"rx0_packets": 90000, "rx1_packets": 100} }},
		{"balance", Unknown, "", func(f *fake) { f.counters = map[string]uint64{"rx-0.packets": 90, "rx-1.packets": 1} }},
		{"card's losses", Mend, "enlarge the ring and use more queues (see above), then see whether they still rise: ethtool -S eth1",
			func(f *fake) { f.counters["rx_missed_errors"] = 5 }},
		{"xdp", Unknown, "", func(f *fake) { f.xdpErr = errors.New("no family netdev") }},
		{"programs", Mend, "run doctor with CAP_BPF and CAP_NET_ADMIN (as root, to see); without programs, capture: af_packet", func(f *fake) { f.load = syscall.EPERM }},
		{"capabilities", Mend, "run it as simtrapd.service does (AmbientCapabilities), or as root", func(f *fake) { f.caps = 1 << capNetRaw }},
		{"btf", Unknown, "", func(f *fake) { delete(f.root, "sys/kernel/btf/vmlinux") }},
		{"perf events", Unknown, "", func(f *fake) { delete(f.root, "proc/sys/kernel/perf_event_paranoid") }},
		{"perf events", Mend, "sysctl -w kernel.perf_event_paranoid=2, and the same in /etc/sysctl.d",
			func(f *fake) { f.root["proc/sys/kernel/perf_event_paranoid"] = &fstest.MapFile{Data: []byte("3\n")} }},
		{"clock", Mend, "systemctl enable --now chrony (or systemd-timesyncd)", func(f *fake) { f.clock.Synchronised = false }},
		{"clock", Mend, "chronyc tracking", func(f *fake) { f.clock.MaxError = time.Second }},
		{"memory", Mend, "systemctl set-property simtrapd MemoryMax=512M, or a smaller limits.flows", func(f *fake) { f.group = 100 << 20 }},
		{"space", Mend, "make room, or set state to a folder on another disk", func(f *fake) { f.free = 10 << 20 }},
	} {
		f := healthy()
		tt.spoil(f)
		var got []Finding
		for _, x := range Examine(f, "eth1", "/var/lib/simtrapd") {
			if x.State != OK {
				x.Text = ""
				got = append(got, x)
			}
		}
		if diff := cmp.Diff([]Finding{{Check: tt.check, State: tt.state, Remedy: tt.remedy}}, got); diff != "" {
			t.Errorf("%s:\n%s", tt.check, diff)
		}
	}
}

func TestUnsupportedIsNoFault(t *testing.T) {
	f := healthy()
	f.ringsErr = syscall.EOPNOTSUPP
	f.xdp = 0
	f.link.Addresses = []string{"192.0.2.1/24"}
	for _, x := range Examine(f, "eth1", "/") {
		if x.State != OK {
			t.Errorf("%+v", x)
		}
	}
}

func TestIsQueue(t *testing.T) {
	for name, want := range map[string]bool{
		"rx_queue_0_packets": true, "rx0_packets": true, "rx-12.packets": true, "rx_12_packets": true, "rx_queue_3_bytes": false,
		"rx_packets": false, "tx_queue_0_packets": false, "rx_queue_0_xdp_packets": false, "rx": false, "": false, "rx_queue_packets": false,
	} {
		if got := isQueue(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// The machine itself can be asked, and a veth pair in a namespace of the test's
// own is told apart from a loopback.
func TestMachine(t *testing.T) {
	m := Machine{GroupLimit: func() int64 { return 0 }}
	l, err := m.Link("lo")
	if err != nil {
		t.Skip("no loopback: ", err)
	}
	if l.Type != typeLoopback || l.Index == 0 {
		t.Errorf("%+v", l)
	}
	if _, err := m.Link("no-such-port"); err == nil {
		t.Error("an interface that there is not")
	}
	if _, machine, err := m.MemoryLimit(); err != nil || machine < 1<<20 {
		t.Errorf("%d, %v", machine, err)
	}
	if free, total, err := m.Free("/no/such/folder"); err != nil || total == 0 || free > total {
		t.Errorf("%d of %d, %v", free, total, err)
	}
	if _, err := m.Capabilities(); err != nil {
		t.Error(err)
	}
	if _, err := m.Clock(); err != nil {
		t.Error(err)
	}
}

func TestVeth(t *testing.T) {
	if os.Getenv("SIMTRAP_DOCTOR_CHILD") == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command("unshare", "-n", "sh", "-c", `ip link add va type veth peer name vb && ip link set va up promisc on && ip link set vb up && exec "$0" -test.run='^TestVeth$' -test.v`, self)
		c.Env = append(os.Environ(), "SIMTRAP_DOCTOR_CHILD=1")
		out, err := c.CombinedOutput()
		if !strings.Contains(string(out), "TestVeth") {
			t.Skipf("no network namespace of its own: %v: %s", err, out)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	m := Machine{GroupLimit: func() int64 { return 0 }}
	l, err := m.Link("va")
	if err != nil {
		t.Fatal(err)
	}
	if l.Type != typeEthernet || !l.Up || !l.Carrier || l.Promisc != 1 || len(l.Addresses) != 0 || l.Routes != 0 || l.XDP != 0 || l.RxQueues < 1 {
		t.Errorf("%+v", l)
	}
	if f, err := m.Features("va"); err != nil || len(f) == 0 {
		t.Errorf("features: %v", err)
	}
	if d, err := m.Driver("va"); err != nil || d != "veth" {
		t.Errorf("%q, %v", d, err)
	}
	if c, err := m.Channels("va"); err != nil || c.Now < 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if x, err := m.XDP(l.Index); err == nil && x&xdpBasic == 0 {
		t.Errorf("veth has XDP: %x", x)
	}
}
