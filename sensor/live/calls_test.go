//go:build linux

package live

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"simtrap/sensor"
)

// realCalls is a Kamailio registrar with a trunk, a box of eight accounts that SIPp
// registers there, and a stranger who calls ever-new mobiles through it, with voice
// both ways, each in a namespace of its own, on one hub.
type realCalls struct {
	hub, core, box *space
	folder         string
}

const (
	scripts  = "../../scripts/realcalls/"
	accounts = 8
	calls    = 24
)

// newRealCalls sets all up, or skips the test where that cannot be.
func newRealCalls(t *testing.T) *realCalls {
	t.Helper()
	voice := "/usr/share/sip-tester"
	for _, name := range []string{"sipp", "kamailio", "ss"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s: nobody calls", name)
		}
	}
	if _, err := os.Stat(voice + "/g711a.pcap"); err != nil {
		t.Skip("nothing to say: ", err)
	}
	r := &realCalls{hub: newSpace(t), core: newSpace(t), box: newSpace(t), folder: newFolder(t)}
	if out, err := r.hub.run("ip", "link", "add", "hub", "type", "bridge", "ageing_time", "0", "mcast_snooping", "0"); err != nil {
		t.Skipf("no bridges here: %s", out)
	}
	r.hub.ip("link set hub up")
	for name, s := range map[string]*space{"core": r.core, "box": r.box} {
		r.hub.ip(fmt.Sprintf("link add %s type veth peer name eth netns %d", name, s.tid))
		r.plug(name)
	}
	r.core.ip("addr add 198.51.100.10/24 dev eth", "addr add 198.51.100.20/24 dev eth", "link set eth up", "route add 203.0.113.0/24 dev eth")
	r.box.ip("addr add 203.0.113.7/24 dev eth", "link set eth up", "route add 198.51.100.0/24 dev eth")

	if err := os.Symlink(voice, filepath.Join(r.folder, "pcap")); err != nil { // where the scenarios look
		t.Fatal(err)
	}
	registered, called := bytes.NewBufferString("SEQUENTIAL\n"), bytes.NewBufferString("SEQUENTIAL\n")
	for i := range accounts {
		fmt.Fprintf(registered, "10%02d;[authentication username=10%02d password=secret];\n", i, i)
	}
	for i := range calls {
		fmt.Fprintf(called, "139%08d;;00447700%06d\n", (i+1)*7919317%100000000, (i+1)*104729%1000000)
	}
	cfg, err := os.ReadFile(scripts + "kamailio.cfg")
	if err != nil {
		t.Fatal(err)
	}
	// Mobiles are reached through the box.
	const lookup = "\tif (!lookup("
	trunk := strings.Replace(string(cfg), lookup, "\tif ($rU =~ \"^1[3-9][0-9]+$\") {\n\t\t$du = \"sip:203.0.113.7:5060\";\n\t} else"+strings.TrimPrefix(lookup, "\t"), 1)
	trunk = strings.Replace(trunk, "} elseif", "} else if", 1)
	if trunk == string(cfg) {
		t.Fatal("kamailio.cfg looks nothing up")
	}
	for name, b := range map[string][]byte{"registered.csv": registered.Bytes(), "called.csv": called.Bytes(), "kamailio.cfg": []byte(trunk)} {
		if err := os.WriteFile(filepath.Join(r.folder, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(r.folder, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	return r
}

// plug puts a port into the hub, which sends out of it whatever comes in by others.
func (r *realCalls) plug(port string) {
	r.hub.ip("link set "+port+" master hub up", "link set "+port+" type bridge_slave learning off flood on")
}

// call makes the calls.
func (r *realCalls) call(t *testing.T) {
	t.Helper()
	k := r.core.start(r.folder, "kamailio", "-DD", "-E", "-f", "kamailio.cfg", "-Y", r.folder+"/run", "-P", r.folder+"/run/pid", "-w", r.folder+"/run")
	t.Cleanup(func() { // its children with it
		k.signal(unix.SIGTERM)
		_ = k.wait(10 * time.Second)
	})
	k.ready("it listens", func() bool {
		out, err := r.core.run("ss", "-Hlun", "sport = 5060")
		return err == nil && bytes.Contains(out, []byte("198.51.100.10"))
	})
	sipp := func(s *space, scenario string, args ...string) *process {
		path, err := filepath.Abs(scripts + scenario + ".xml")
		if err != nil {
			t.Fatal(err)
		}
		return s.start(r.folder, "sipp", append([]string{"-sf", path, "-nostdin", "-trace_err", "-error_file", scenario + ".err", "-timeout_error"}, args...)...)
	}
	well := func(p *process, scenario string) {
		t.Helper()
		if err := p.wait(60 * time.Second); err != nil {
			said, _ := os.ReadFile(filepath.Join(r.folder, scenario+".err"))
			t.Fatalf("%s: %v\n%s\n%s\n%s", scenario, err, said, p.said(), k.said())
		}
	}
	well(sipp(r.box, "register", "-inf", "registered.csv", "-i", "203.0.113.7", "-p", "5060", "-m", fmt.Sprint(accounts), "-r", "20", "-timeout", "20s", "198.51.100.10:5060"), "register")
	answer := sipp(r.box, "answer", "-i", "203.0.113.7", "-mi", "203.0.113.7", "-p", "5060", "-mp", "20000", "-m", fmt.Sprint(calls), "-timeout", "50s")
	answer.ready("it listens", func() bool {
		out, err := r.box.run("ss", "-Hlun", "sport = 5060")
		return err == nil && bytes.Contains(out, []byte("203.0.113.7"))
	})
	well(sipp(r.core, "call", "-inf", "called.csv", "-i", "198.51.100.20", "-mi", "198.51.100.20", "-p", "5062", "-mp", "30000", "-m", fmt.Sprint(calls), "-r", "6", "-timeout", "50s", "198.51.100.10:5060"), "call")
	well(answer, "answer")
}

// TestRealCalls: other people's programs call through a box, and each way of
// capturing finds what replay finds in a recording. A reader that is kept from the
// processors for too long puts frames out of their order, which it counts, and may
// find less: then the calls are made once more.
func TestRealCalls(t *testing.T) {
	t.Parallel()
	const rounds = 3
	for n := 1; n <= rounds; n++ {
		displaced := false
		t.Run(fmt.Sprint(n), func(t *testing.T) { displaced = makeCalls(t, n == rounds) })
		if !displaced {
			return
		}
	}
}

// makeCalls makes the calls, watched in every way, and compares, unless a reader was
// kept waiting and it is not the last time.
func makeCalls(t *testing.T, last bool) (displaced bool) {
	r := newRealCalls(t)
	daemons := map[string]*daemon{}
	port := ""
	for i, mode := range modes() {
		near, far := fmt.Sprintf("near%d", i), fmt.Sprintf("far%d", i)
		r.hub.cable(near, far)
		if why := r.hub.missing(far, mode); why != nil {
			t.Run(mode, func(t *testing.T) { t.Skip(why) })
			continue
		}
		r.plug(near)
		port = near
		daemons[mode] = r.hub.watch(mode, "{name: "+far+"}", "home: [203.0.113.0/24]\n")
	}
	for _, d := range daemons {
		d.running()
	}
	file, recording := r.hub.record(r.folder, port)
	r.call(t)
	time.Sleep(recorderTakes)
	recorded(recording)
	want := replay(t, "203.0.113.0/24", file)
	all := map[string]sensor.Status{}
	for mode, d := range daemons {
		st := d.settled()
		all[mode] = st
		for _, l := range st.Losses {
			if strings.Contains(l.Reason, "before an earlier one's time") {
				t.Logf("%s: %d frames out of their order", mode, l.Count)
				displaced = true
			}
		}
	}
	if displaced && !last {
		return true
	}
	for mode, st := range all {
		t.Run(mode, func(t *testing.T) {
			if st.Ports[0].Mode != mode {
				t.Errorf("taken by %s", st.Ports[0].Mode)
			}
			if st.Calls < calls || st.Streams < 2*calls-1 {
				t.Errorf("%d calls, %d streams; want %d and two for each", st.Calls, st.Streams, calls)
			}
			t.Logf("%d frames up, %d messages, %d streams, %v", st.Ports[0].Frames, st.Messages, st.Streams, st.Losses)
			equal(t, 1, want, daemons[mode].findings())
		})
	}
	return displaced
}
