// Package doctor looks whether a machine and a port are fit to watch a tap. It
// changes nothing: what mends a thing is a command that it prints.
package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// State is how one thing stands.
type State string

const (
	OK      State = "ok"
	Mend    State = "mend"    // it costs detection or loses frames
	Unknown State = "unknown" // it cannot be told here, which is said with its reason
)

// Finding is one thing that was looked at.
type Finding struct {
	Check  string `json:"check"`
	State  State  `json:"state"`
	Text   string `json:"text"`   // what was found
	Remedy string `json:"remedy"` // a command, or what to do; empty where nothing is to be done
}

// Link is what the kernel says of an interface.
type Link struct {
	Index     int
	Type      uint16 // ARPHRD_
	Up        bool
	Carrier   bool
	MTU       int
	Promisc   int // how many want it to take all frames
	RxQueues  int
	Addresses []string
	Routes    int
	XDP       uint32 // number of an attached program, 0 for none
}

// Rings is the size of the receive ring.
type Rings struct{ Now, Max uint32 }

// Channels is how many queues receive, and whether they send as well.
type Channels struct {
	Now, Max uint32
	Combined bool
}

// Clock is what the kernel says of the clock's discipline.
type Clock struct {
	Synchronised bool
	MaxError     time.Duration
}

// System is the machine. Every method only reads.
type System interface {
	Link(name string) (Link, error)
	Features(name string) (map[string]bool, error)
	Rings(name string) (Rings, error)
	Channels(name string) (Channels, error)
	Counters(name string) (map[string]uint64, error)
	Driver(name string) (string, error)
	// XDP tells the features that the driver offers (NETDEV_XDP_ACT_).
	XDP(index int) (uint64, error)
	// LoadXDP loads the smallest program, which it does not attach.
	LoadXDP() error
	Clock() (Clock, error)
	// Capabilities are those in effect.
	Capabilities() (uint64, error)
	// MemoryLimit is that of the control group, 0 for none, and the machine's.
	MemoryLimit() (group, machine int64, err error)
	// Free is the space of the file system that holds path, or will.
	Free(path string) (free, total uint64, err error)
	Root() fs.FS
}

// Numbers of include/uapi/linux.
const (
	typeEthernet  = 1   // ARPHRD_ETHER
	typeLoopback  = 772 // ARPHRD_LOOPBACK
	typeNone      = 0xfffe
	typeRawIP     = 519
	typePPP       = 512
	xdpBasic      = 1 // NETDEV_XDP_ACT_BASIC
	capNetAdmin   = 12
	capNetRaw     = 13
	capSysAdmin   = 21
	capPerfmon    = 38
	capBPF        = 39
	leastMemory   = 256 << 20
	leastFree     = 1 << 30
	worstClock    = 100 * time.Millisecond
	ringEnough    = 4096
	leastPackets  = 10_000 // before balance can be told
	worstOneQueue = 0.8    // share of one queue that shows no balance
)

// Examine looks at a port, and at what does not hang on one. state is the
// daemon's state folder.
func Examine(s System, port, state string) []Finding {
	e := &examination{system: s, port: port}
	link, err := s.Link(port)
	if err != nil {
		e.add("port", Mend, fmt.Sprintf("%s: %v", port, err), "ip -br link")
	} else {
		e.link(link)
		e.offloads(link)
		e.rings()
		e.queues(link)
		e.driver(link)
	}
	e.programs()
	e.capabilities()
	e.events()
	e.btf()
	e.clock()
	e.memory()
	e.space(state)
	return e.findings
}

type examination struct {
	system   System
	port     string
	findings []Finding
}

func (e *examination) add(check string, state State, text, remedy string) {
	e.findings = append(e.findings, Finding{check, state, text, remedy})
}

// unknown says why something cannot be told. Drivers without a setting have
// nothing to mend in it.
func (e *examination) unknown(check string, err error) {
	if errors.Is(err, errors.ErrUnsupported) {
		e.add(check, OK, "the driver has no such setting", "")
		return
	}
	e.add(check, Unknown, err.Error(), "")
}

func (e *examination) link(l Link) {
	switch {
	case !l.Up:
		e.add("up", Mend, "the port is down", "ip link set "+e.port+" up")
	case !l.Carrier:
		e.add("up", Mend, "no carrier: nothing is plugged in, or the other side is down", "check the cable and the tap's port")
	default:
		e.add("up", OK, "up, with carrier", "")
	}
	switch l.Type {
	case typeEthernet:
		e.add("link type", OK, fmt.Sprintf("Ethernet, MTU %d", l.MTU), "")
	case typeRawIP, typeNone, typePPP:
		e.add("link type", OK, "IP without Ethernet: af_packet takes it, the programs in the kernel do not", "")
	case typeLoopback:
		e.add("link type", Mend, "the loopback of this machine", "name the port that the tap is plugged into")
	default:
		e.add("link type", Mend, fmt.Sprintf("hardware type %d, which is not decoded", l.Type), "name an Ethernet port")
	}
	switch {
	case l.Promisc > 0:
		e.add("promiscuous", OK, "takes the frames of all addresses", "")
	case l.Type != typeEthernet:
		e.add("promiscuous", OK, "has no addresses to choose by", "")
	default:
		e.add("promiscuous", OK, "not now; simtrapd makes the port take the frames of all addresses while it watches", "")
	}
	if len(l.Addresses) == 0 && l.Routes == 0 {
		e.add("bare", OK, "no address and no route: frames are dropped when they have been looked at", "")
	} else {
		what := fmt.Sprintf("%d routes", l.Routes)
		if len(l.Addresses) > 0 {
			what = "addresses: " + strings.Join(l.Addresses, ", ")
		}
		e.add("bare", OK, what+": frames are passed on, which costs time; a tap port needs no address", "")
	}
	if l.XDP != 0 {
		e.add("other program", Mend, fmt.Sprintf("XDP program %d is attached", l.XDP), "ip link set "+e.port+" xdp off (where it is not simtrapd's own), or capture: tcx")
	}
}

func (e *examination) offloads(l Link) {
	features, err := e.system.Features(e.port)
	if err != nil {
		e.unknown("offloads", err)
		return
	}
	for _, f := range []struct {
		check, feature, flag, why string
	}{
		{"gro", "rx-gro", "gro", "glues frames together: their times and lengths are lost"},
		{"hardware gro", "rx-gro-hw", "rx-gro-hw", "glues frames together: their times and lengths are lost"},
		{"lro", "rx-lro", "lro", "glues frames together, and keeps XDP out"},
		{"vlan offload", "rx-vlan-hw-parse", "rxvlan", "takes the VLAN tag away before XDP sees it"},
		{"vlan filter", "rx-vlan-filter", "rx-vlan-filter", ""},
	} {
		on, known := features[f.feature]
		switch {
		case !known:
			e.add(f.check, OK, "the driver has no such setting", "")
		case on && f.feature == "rx-vlan-filter":
			e.add(f.check, OK, "on, and without effect while the port is promiscuous", "")
		case on:
			e.add(f.check, Mend, "on: it "+f.why, "ethtool -K "+e.port+" "+f.flag+" off")
		default:
			e.add(f.check, OK, "off", "")
		}
	}
}

func (e *examination) rings() {
	r, err := e.system.Rings(e.port)
	switch {
	case err != nil:
		e.unknown("ring", err)
	case r.Max == 0:
		e.add("ring", OK, "the driver has no such setting", "")
	case r.Now < min(r.Max, ringEnough):
		e.add("ring", Mend, fmt.Sprintf("%d of at most %d frames fit: a burst is lost", r.Now, r.Max), fmt.Sprintf("ethtool -G %s rx %d", e.port, min(r.Max, ringEnough)))
	default:
		e.add("ring", OK, fmt.Sprintf("%d of at most %d", r.Now, r.Max), "")
	}
}

func (e *examination) queues(l Link) {
	c, err := e.system.Channels(e.port)
	switch {
	case err != nil && errors.Is(err, errors.ErrUnsupported):
		e.add("queues", OK, fmt.Sprintf("%d, and the driver has no such setting", max(l.RxQueues, 1)), "")
	case err != nil:
		e.unknown("queues", err)
	case c.Now == 1 && c.Max > 1:
		e.add("queues", Mend, fmt.Sprintf("1 of at most %d: one processor does all", c.Max), fmt.Sprintf("ethtool -L %s %s %d", e.port, map[bool]string{true: "combined", false: "rx"}[c.Combined], min(c.Max, 8)))
	default:
		e.add("queues", OK, fmt.Sprintf("%d of at most %d", c.Now, c.Max), "")
	}
	counters, err := e.system.Counters(e.port)
	if err != nil {
		e.unknown("balance", err)
		return
	}
	e.balance(counters)
	e.missed(counters)
}

// balance compares what the queues have received. Drivers name the counters in
// their own ways: rx_queue_0_packets, rx0_packets, rx-0.packets.
func (e *examination) balance(counters map[string]uint64) {
	all := slices.Collect(maps.Values(Queues(counters)))
	sum := uint64(0)
	for _, n := range all {
		sum += n
	}
	if len(all) < 2 {
		e.add("balance", OK, "one queue, or a driver that does not count by queue", "")
		return
	}
	if sum < leastPackets {
		e.add("balance", Unknown, fmt.Sprintf("%d packets so far are too few to tell", sum), "")
		return
	}
	share := float64(slices.Max(all)) / float64(sum)
	if share >= worstOneQueue {
		e.add("balance", Mend, fmt.Sprintf("one of %d queues has %.0f %% of the packets: the card does not look into what the frames hold (PPPoE, MPLS)", len(all), 100*share),
			"ethtool -N "+e.port+" rx-flow-hash udp4 sdfn; where that changes nothing, spread the tap's traffic over several ports")
		return
	}
	e.add("balance", OK, fmt.Sprintf("the busiest of %d queues has %.0f %% of the packets", len(all), 100*share), "")
}

// Queues gives the packets that each receive queue took, by the names that the
// driver has for them.
func Queues(counters map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64)
	for name, n := range counters {
		if isQueue(name) {
			out[name] = n
		}
	}
	return out
}

// isQueue knows the counter of packets that one receive queue took.
func isQueue(name string) bool {
	rest, ok := strings.CutPrefix(name, "rx")
	if !ok {
		return false
	}
	rest = strings.TrimLeft(rest, "_-")
	rest = strings.TrimPrefix(rest, "queue")
	rest = strings.TrimLeft(rest, "_-")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	return digits > 0 && slices.Contains([]string{"_packets", ".packets", "-packets"}, rest[digits:])
}

// missed tells what the card itself has lost.
func (e *examination) missed(counters map[string]uint64) {
	var lost []string
	for name, n := range counters {
		if n > 0 && (name == "rx_missed_errors" || name == "rx_no_buffer_count" || name == "rx_fifo_errors" || name == "rx_out_of_buffer" || name == "rx_no_dma_resources") {
			lost = append(lost, fmt.Sprintf("%s %d", name, n))
		}
	}
	slices.Sort(lost)
	if len(lost) > 0 {
		e.add("card's losses", Mend, "since the driver was loaded: "+strings.Join(lost, ", "), "enlarge the ring and use more queues (see above), then see whether they still rise: ethtool -S "+e.port)
		return
	}
	e.add("card's losses", OK, "none counted", "")
}

func (e *examination) driver(l Link) {
	name, err := e.system.Driver(e.port)
	if err != nil {
		name = "unknown driver"
	}
	features, err := e.system.XDP(l.Index)
	switch {
	case err != nil:
		e.add("xdp", Unknown, fmt.Sprintf("%s: the kernel does not tell before Linux 6.3 (%v); simtrapd finds out when it attaches", name, err), "")
	case features&xdpBasic == 0:
		e.add("xdp", OK, name+" has no XDP of its own: xdp-generic, tcx or af_packet are used, which cost more", "")
	default:
		e.add("xdp", OK, name+" has XDP", "")
	}
}

func (e *examination) programs() {
	if err := e.system.LoadXDP(); err != nil {
		e.add("programs", Mend, fmt.Sprintf("XDP programs do not load: %v", err), "run doctor with CAP_BPF and CAP_NET_ADMIN (as root, to see); without programs, capture: af_packet")
		return
	}
	e.add("programs", OK, "XDP programs load", "")
}

func (e *examination) capabilities() {
	set, err := e.system.Capabilities()
	if err != nil {
		e.unknown("capabilities", err)
		return
	}
	has := func(c int) bool { return set&(1<<c) != 0 }
	var missing []string
	for _, c := range []struct {
		number int
		name   string
	}{{capNetRaw, "CAP_NET_RAW"}, {capNetAdmin, "CAP_NET_ADMIN"}, {capBPF, "CAP_BPF"}, {capPerfmon, "CAP_PERFMON"}} {
		if !has(c.number) && !(c.number >= capPerfmon && has(capSysAdmin)) {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		e.add("capabilities", Mend, "this process lacks "+strings.Join(missing, ", "), "run it as simtrapd.service does (AmbientCapabilities), or as root")
		return
	}
	e.add("capabilities", OK, "what attaching takes is there; simtrapd gives it up afterwards", "")
}

// mostParanoid is the largest kernel.perf_event_paranoid of Linux itself. Debian's and
// Ubuntu's kernels know larger ones, at which perf_event_open(2) wants CAP_SYS_ADMIN,
// and CAP_PERFMON is not enough; Debian starts with 3.
const mostParanoid = 2

// events looks whether the buffers that frames come up by can be had by a process that
// is not root.
func (e *examination) events() {
	text, err := fs.ReadFile(e.system.Root(), "proc/sys/kernel/perf_event_paranoid")
	if err != nil {
		e.add("perf events", Unknown, "the kernel does not tell who may have them: "+err.Error(), "")
		return
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	switch {
	case err != nil:
		e.add("perf events", Unknown, "/proc/sys/kernel/perf_event_paranoid: "+err.Error(), "")
	case n > mostParanoid:
		e.add("perf events", Mend, fmt.Sprintf("kernel.perf_event_paranoid is %d: some kernels then refuse them to a service that is not root, which captures by af_packet alone", n),
			"sysctl -w kernel.perf_event_paranoid=2, and the same in /etc/sysctl.d")
	default:
		e.add("perf events", OK, fmt.Sprintf("kernel.perf_event_paranoid is %d", n), "")
	}
}

func (e *examination) btf() {
	if _, err := fs.Stat(e.system.Root(), "sys/kernel/btf/vmlinux"); err != nil {
		e.add("btf", Unknown, "the kernel does not describe its types (/sys/kernel/btf/vmlinux): the programs do not need it", "")
		return
	}
	e.add("btf", OK, "there", "")
}

func (e *examination) clock() {
	c, err := e.system.Clock()
	switch {
	case err != nil:
		e.unknown("clock", err)
	case !c.Synchronised:
		e.add("clock", Mend, "not synchronised: times cannot be compared with those of others", "systemctl enable --now chrony (or systemd-timesyncd)")
	case c.MaxError > worstClock:
		e.add("clock", Mend, fmt.Sprintf("synchronised, but up to %v off", c.MaxError.Round(time.Millisecond)), "chronyc tracking")
	default:
		e.add("clock", OK, fmt.Sprintf("synchronised, at most %v off", c.MaxError.Round(10*time.Microsecond)), "")
	}
}

func (e *examination) memory() {
	group, machine, err := e.system.MemoryLimit()
	if err != nil {
		e.unknown("memory", err)
		return
	}
	n, what := machine, "the machine has"
	if group > 0 && group < machine {
		n, what = group, "the control group allows"
	}
	if n < leastMemory {
		e.add("memory", Mend, fmt.Sprintf("%s %d MiB; 100,000 flows take up to %d MiB", what, n>>20, leastMemory>>20), "systemctl set-property simtrapd MemoryMax=512M, or a smaller limits.flows")
		return
	}
	e.add("memory", OK, fmt.Sprintf("%s %d MiB", what, n>>20), "")
}

func (e *examination) space(state string) {
	free, total, err := e.system.Free(state)
	switch {
	case err != nil:
		e.unknown("space", err)
	case free < leastFree || total > 0 && free < total/20:
		e.add("space", Mend, fmt.Sprintf("%d MiB of %d MiB are free where %s lies", free>>20, total>>20, state), "make room, or set state to a folder on another disk")
	default:
		e.add("space", OK, fmt.Sprintf("%d MiB free where %s lies", free>>20, state), "")
	}
}
