package bpf

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// holds names the port that this process is to hold until it is killed.
const holds = "SIMTRAP_TEST_HOLDS"

// TestHoldsPort is no test of its own: it is the process that TestKilled kills.
func TestHoldsPort(t *testing.T) {
	name := os.Getenv(holds)
	if name == "" {
		return // it is the child of TestKilled
	}
	s, err := Open(name, Config{Mode: ClsAct})
	if err != nil {
		fmt.Println("left", err)
		return
	}
	dropping, _ := s.Dropping()
	info, err := s.objects.Counts.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	fmt.Println("holds", dropping, id)
	for {
		b, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
}

// TestKilled kills a process with a filter of clsact that drops: the filter stays, and
// lets all frames pass when nobody has been heard of for heardFor.
func TestKilled(t *testing.T) {
	t.Parallel()
	inNamespace(t, killed)
}

func killed(t testing.TB) {
	c := exec.Command(os.Args[0], "-test.run=^TestHoldsPort$")
	c.Env = append(os.Environ(), holds+"=vb")
	c.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	over := false
	kill := func() {
		if !over {
			over = true
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	defer kill()
	var word string
	var dropping bool
	var id uint32
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &word, &dropping, &id); err != nil || word != "holds" {
		t.Skip(line)
	}
	began := time.Now() // it drops for heardFor, if it says no more
	if !dropping {
		t.Fatal("a bare port passes frames on")
	}
	counters, err := ebpf.NewMapFromID(ebpf.MapID(id))
	if err != nil {
		t.Fatal(err)
	}
	defer counters.Close()
	to, from := newPasser(t, "vb"), newSender(t, "va")
	if to.passes(from) {
		t.Error("a frame passed while the process lived")
	}
	time.Sleep(time.Until(began.Add(2 * time.Second)))
	kill()
	end := time.Now()
	// What was said last was said a second before at the most.
	time.Sleep(time.Until(began.Add(time.Duration(heardFor) + 100*time.Millisecond)))
	if still := time.Since(end); still > time.Duration(heardFor-anchorEvery)-300*time.Millisecond {
		t.Logf("this machine is too slow to tell: %v", still)
	} else if to.passes(from) {
		t.Error("a frame passed: the process has not said that it lived")
	}
	time.Sleep(time.Until(end.Add(time.Duration(heardFor) + 200*time.Millisecond)))
	if !to.passes(from) {
		t.Errorf("%v after the process was killed frames are kept from the machine", time.Since(end))
	}
	n, err := sumCounters(counters)
	if err != nil {
		t.Fatal(err)
	}
	if n[unheard] == 0 {
		t.Error("what passed was not counted")
	}
	s, err := Open("vb", Config{Mode: ClsAct})
	if err != nil {
		t.Fatal(err)
	}
	if to.passes(from) {
		t.Error("a frame passed when another process had the port")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !to.passes(from) {
		t.Error("a frame did not pass when the filter was out")
	}
}

// passer hears what a port gives to the machine behind TC.
type passer struct {
	t  testing.TB
	fd int
	n  uint16
}

func newPasser(t testing.TB, name string) *passer {
	t.Helper()
	port, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	// A socket of one protocol hears it behind TC, one of all of them before.
	var protocol [2]byte
	binary.BigEndian.PutUint16(protocol[:], unix.ETH_P_IP)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(protocol[:]), Ifindex: port.Index}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 300000}); err != nil {
		t.Fatal(err)
	}
	return &passer{t: t, fd: fd}
}

// passes says whether a frame that is sent is given to the machine.
func (p *passer) passes(from *sender) bool {
	p.t.Helper()
	p.n++
	from.send(udpFrame("192.0.2.2", "192.0.2.1", p.n, 7777, []byte("hello")))
	var b [2048]byte
	for {
		n, _, err := unix.Recvfrom(p.fd, b[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false
		}
		if n >= 42 && b[34] == byte(p.n>>8) && b[35] == byte(p.n) {
			return true
		}
	}
}
