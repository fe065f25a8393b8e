package call

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"simtrap/bpf"
	"simtrap/heuristics"
)

var program = flag.String("simtrapd", "", "the daemon that TestDaemon runs; built for it if empty")

// settings of the daemon. The loopback has no address in a namespace that is new.
const settings = `ports: [{name: far}]
capture: auto
home: [203.0.113.0/24]
state: state
socket: status.sock
output: findings.jsonl
metrics: {listen: none}
limits: {flows: 4096}
`

// status is what is read of the daemon's answer.
type status struct {
	State string `json:"state"`
	Ports []struct {
		Mode   string `json:"mode"`
		Frames uint64 `json:"frames"`
	} `json:"ports"`
	Messages     uint64           `json:"sip_messages"`
	Streams      uint64           `json:"streams"`
	Alarms       []map[string]any `json:"alarms"`
	Losses       []map[string]any `json:"losses"`
	Capabilities []string         `json:"capabilities"`
	Confined     string           `json:"confined"`
}

// TestDaemon has simtrapd itself watch a cable: it attaches in the first way that this
// kernel has, gives up its rights and goes on, reads all signalling, tells of the box
// when the calls take their time, and ends when it is told to.
func TestDaemon(t *testing.T) {
	list, box, replayed := makeTraffic(t)
	messages := replayed.Stats.Messages
	if messages < 20 {
		t.Fatalf("%d messages of SIP are no calls", messages)
	}
	d := &daemon{folder: t.TempDir(), program: *program}
	inNamespace(t, func() error {
		if d.program == "" {
			d.program = filepath.Join(d.folder, "simtrapd")
			if out, err := exec.Command("go", "build", "-o", d.program, "simtrap/cmd/simtrapd").CombinedOutput(); err != nil {
				return fmt.Errorf("build simtrapd: %w: %s", err, out)
			}
		}
		return d.play(list, messages, box)
	})
	s := &d.status
	t.Logf("%+v", *s)
	if s.State != "running" || s.Ports[0].Mode != d.mode {
		t.Errorf("%s in mode %s, want it running in mode %s", s.State, s.Ports[0].Mode, d.mode)
	}
	if s.Messages != messages {
		t.Errorf("%d messages of SIP read, by replay %d", s.Messages, messages)
	}
	if *paced {
		if s.Streams == 0 {
			t.Error("no stream was heard")
		}
		for i := range replayed.Findings {
			if f := &replayed.Findings[i]; f.Line.String() == box && (f.Verdict < heuristics.Review || d.verdict != f.Verdict.String()) {
				t.Errorf("it told of %q, replay of %v", d.verdict, f.Verdict)
			}
		}
	}
}

// daemon is a run of simtrapd.
type daemon struct {
	folder, program string
	mode            string // that it should take
	status          status // when everything was sent
	verdict         string // of the box
}

// patience is how long the daemon may take for what it does, of the machine's time.
const patience = 90 * time.Second

// play runs the daemon at the end of a cable, sends the frames into it and tells it to
// stop when it has read as many messages, and told of the box if it should.
func (d *daemon) play(list []frame, messages uint64, box string) error {
	if err := addVeth("near", "far"); err != nil {
		return err
	}
	port, err := net.InterfaceByName("near")
	if err != nil {
		return err
	}
	modes, _, err := bpf.Probe("far")
	if err != nil {
		return err
	}
	d.mode = "af_packet"
	for _, m := range modes {
		if m.Err == nil {
			d.mode = strings.TrimSuffix(m.Mode.String(), "-native")
			break
		}
	}
	if err := os.WriteFile(filepath.Join(d.folder, "d.yaml"), []byte(settings), 0o600); err != nil {
		return err
	}
	var said bytes.Buffer
	cmd := exec.Command(d.program, "run", "-c", filepath.Join(d.folder, "d.yaml"))
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = d.watch(cmd, list, &unix.SockaddrLinklayer{Ifindex: port.Index}, messages, box)
	if err == nil {
		err = cmd.Process.Signal(syscall.SIGTERM)
	}
	if err != nil { // whatever it was, it is not left behind
		err = errors.Join(err, cmd.Process.Kill())
	}
	if ended := cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("simtrapd ended: %w", ended))
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, said.Bytes())
	}
	return nil
}

func (d *daemon) watch(cmd *exec.Cmd, list []frame, to unix.Sockaddr, messages uint64, box string) error {
	until := func(what string, f func() (bool, error)) error {
		for begin := time.Now(); ; time.Sleep(500 * time.Millisecond) {
			done, err := f()
			if done {
				return nil
			}
			if time.Since(begin) > patience {
				return errors.Join(fmt.Errorf("simtrapd: %s: not after %v: %+v", what, patience, d.status), err)
			}
		}
	}
	if err := until("running", func() (bool, error) {
		err := d.ask()
		return err == nil && d.status.State == "running", err
	}); err != nil {
		return err
	}
	if err := send(list, []unix.Sockaddr{to}); err != nil {
		return err
	}
	if err := until("all read", func() (bool, error) {
		err := d.ask()
		return d.status.Messages >= messages, err
	}); err != nil || !*paced {
		return err
	}
	return until("the box told of", func() (bool, error) {
		err := d.found(box)
		return d.verdict == "review" || d.verdict == "case", err
	})
}

// ask has simtrapd say how things stand.
func (d *daemon) ask() error {
	cmd := exec.Command(d.program, "status", "--json", "-c", filepath.Join(d.folder, "d.yaml"))
	out, err := cmd.Output()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == 3 {
		err = nil // it runs, and alarms stand: nobody keeps the clock here
	}
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	var s status
	if err := json.Unmarshal(out, &s); err != nil || len(s.Ports) > 1 {
		return fmt.Errorf("status: %w: %s", err, out)
	}
	if len(s.Ports) == 1 {
		d.status = s
	}
	return nil
}

// found reads what was written of the box last.
func (d *daemon) found(box string) error {
	b, err := os.ReadFile(filepath.Join(d.folder, "findings.jsonl"))
	if err != nil {
		return err
	}
	for _, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		var f struct{ Line, Verdict string }
		if err := json.Unmarshal(line, &f); err != nil {
			return fmt.Errorf("findings: %w: %q", err, line)
		}
		if f.Line == box {
			d.verdict = f.Verdict
		}
	}
	return nil
}
