package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// hubAddress is where machines see the hub: qemu answers there and passes on what comes
// to this program (relay), and reaches nothing else.
const (
	hubHost    = "10.0.2.100"
	hubAddress = hubHost + ":8443"
)

// hub is a simtrap-hub on this machine's loopback.
type hub struct {
	program, folder string
	address         string
	metrics         string
	cmd             *exec.Cmd
	way             *way
}

// newHub makes a hub, which does not serve yet.
func newHub(ctx context.Context, program, folder string) (*hub, error) {
	h := &hub{program: program, folder: filepath.Join(folder, "hub")}
	if err := os.RemoveAll(h.folder); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, program, "init", "-d", h.folder, "--name", hubHost).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("hub: %w: %s", err, out)
	}
	// One port for good: machines that are started later are told of it.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h.address = l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	h.way, err = newWay(h.address)
	return h, err
}

// way passes on connections to the hub, and counts what the hub says.
type way struct {
	to       string
	listener net.Listener
	said     atomic.Int64 // bytes
}

func newWay(to string) (*way, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &way{to: to, listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go w.pass(conn)
		}
	}()
	return w, nil
}

func (w *way) address() string { return w.listener.Addr().String() }

// pass joins a connection to the hub's; where the hub is away it ends at once.
func (w *way) pass(conn net.Conn) {
	defer conn.Close()
	hub, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer hub.Close()
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(hub, conn); done <- struct{}{} }() // either end may go at any time
	go func() { _, _ = io.Copy(conn, counted{hub, &w.said}); done <- struct{}{} }()
	<-done
}

// counted counts what is read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// offer has the hub offer an update to the machine.
func (h *hub) offer(ctx context.Context, b *bundle) error {
	return tools(ctx, []string{h.program, "updates", "add", "-d", h.folder, b.path},
		[]string{h.program, "updates", "stage", "-d", h.folder, fmt.Sprint(b.Sequence), "--sensor", "trial-1"})
}

func (h *hub) withdraw(ctx context.Context, b *bundle) error {
	return tools(ctx, []string{h.program, "updates", "withdraw", "-d", h.folder, fmt.Sprint(b.Sequence)})
}

// serve starts it, and returns when it answers.
func (h *hub) serve() error {
	log, err := os.OpenFile(h.folder+".log", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	h.cmd = exec.Command(h.program, "serve", "-d", h.folder, "--listen", h.address, "--metrics", "127.0.0.1:0", "--log-format", "json")
	h.cmd.Stderr = log
	if err := h.cmd.Start(); err != nil {
		return err
	}
	served := regexp.MustCompile(`"msg":"metrics","on":"([^"]+)"`)
	for range 300 {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			return err
		}
		if m := served.FindSubmatch(text); m != nil && strings.Contains(string(text), `"msg":"serving"`) {
			h.metrics = string(m[1])
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return errors.Join(fmt.Errorf("the hub does not serve; see %s", log.Name()), h.stop())
}

func (h *hub) stop() error {
	if h.cmd == nil {
		return nil
	}
	err := h.cmd.Process.Signal(os.Interrupt)
	_ = h.cmd.Wait() // ended by a signal
	h.cmd = nil
	return err
}

// token gives one that admits a machine.
func (h *hub) token(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, h.program, "enroll", "-d", h.folder, name).Output()
	if err != nil {
		return "", fmt.Errorf("hub: enroll: %w", err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}

// metric asks for a number.
func (h *hub) metric(name string) (float64, error) {
	answer, err := http.Get("http://" + h.metrics + "/metrics")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("the hub has no %s", name)
}

// await waits until a number is above another.
func (h *hub) await(ctx context.Context, name string, above float64) error {
	for {
		n, err := h.metric(name)
		if err == nil && n > above {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is %v at the hub: %w", name, n, errors.Join(err, ctx.Err()))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// relay joins standard input and output to an address, for qemu's guestfwd.
func relay(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	done := make(chan error, 2)
	go func() { _, err := io.Copy(conn, os.Stdin); done <- err }()
	go func() { _, err := io.Copy(os.Stdout, conn); done <- err }()
	return <-done
}
