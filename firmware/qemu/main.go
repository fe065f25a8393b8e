// Command qemu boots an image of the appliance in a virtual machine, without
// acceleration, and shows that it does its work: it takes its configuration from a
// drive, puts frames of a capture on its tap port, asks at the serial console, and
// prints when what happened. It fails when there is no finding, or when a frame came
// out of the tap port.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// diskSize leaves room for the data partition.
const diskSize = 2 << 30

// configuration of the machine, with the names of its uplink and its tap port.
const configuration = `name: trial-1
uplink: {port: %s, address: dhcp}
time: [10.0.2.2]
sensor:
  ports: [{name: %s}]
  plan: cn
`

// ports gives what the system calls the two cards: by the slot where the firmware
// numbers slots, else by their place on the bus.
func ports(arch string) (uplink, tap string) {
	if arch == "amd64" {
		return "ens3", "ens4"
	}
	return "enp0s3", "enp0s4"
}

func main() {
	var t trial
	flag.StringVar(&t.arch, "arch", "amd64", "architecture of the image")
	flag.StringVar(&t.image, "image", "", "image of the disk, which is copied first")
	flag.StringVar(&t.capture, "capture", "", "capture whose frames come on the tap port, as fast as they were recorded")
	flag.StringVar(&t.want, "want", `"verdict":`, "text that the log must come to hold")
	flag.DurationVar(&t.limit, "limit", 4*time.Minute, "how long all of it may take")
	flag.StringVar(&t.folder, "folder", "tmp/firmware/qemu", "where its files go")
	flag.BoolVar(&t.damage, "damage", false, "change a block of slot A first: the machine must not start from it")
	flag.Parse()
	if err := t.run(); err != nil {
		fmt.Fprintf(os.Stderr, "qemu: %v\n", err)
		os.Exit(1)
	}
}

type trial struct {
	arch, image, capture, want, folder string
	limit                              time.Duration
	damage                             bool

	began   time.Time
	console *console
}

func (t *trial) say(format string, args ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

func (t *trial) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), t.limit)
	defer cancel()
	if err := os.MkdirAll(t.folder, 0o755); err != nil {
		return err
	}
	disk, drive, err := t.disks(ctx)
	if err != nil {
		return err
	}
	cable, err := newCable(filepath.Join(t.folder, "tap"))
	if err != nil {
		return err
	}
	defer cable.Close()
	machine, stop := context.WithCancel(context.Background())
	defer stop()
	cmd := exec.CommandContext(machine, machines()[t.arch][0], t.arguments(disk, drive, cable.path)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	log, err := os.Create(filepath.Join(t.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	t.began = time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	t.console = newConsole(in, io.TeeReader(out, log))
	err = t.watch(ctx, cable)
	stop()
	// It is ended by its context: that is no failure.
	_ = cmd.Wait()
	if err != nil {
		return fmt.Errorf("%w; see %s", err, log.Name())
	}
	return nil
}

// disks copies the image with room behind it, and makes the drive of the configuration.
func (t *trial) disks(ctx context.Context) (disk, drive string, err error) {
	disk, drive = filepath.Join(t.folder, "disk"), filepath.Join(t.folder, "drive")
	text := filepath.Join(t.folder, "appliance.yaml")
	uplink, tap := ports(t.arch)
	if err := os.WriteFile(text, fmt.Appendf(nil, configuration, uplink, tap), 0o600); err != nil {
		return "", "", err
	}
	for _, c := range [][]string{
		{"cp", "--sparse=always", t.image, disk},
		{"truncate", "-s", fmt.Sprint(diskSize), disk},
		{"truncate", "-s", "1M", drive},
		{"mkfs.vfat", "-n", "SIMTRAP", drive},
		{"mcopy", "-o", "-i", drive, text, "::appliance.yaml"},
	} {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", "", fmt.Errorf("%s: %w: %s", c[0], err, out)
		}
	}
	if t.damage {
		return disk, drive, damage(disk)
	}
	return disk, drive, nil
}

// damage turns the bits of one byte in the middle of slot A's system.
func damage(disk string) error {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// In the superblock: the first block that is read.
	const at = 129<<20 + 16
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 0xff
	_, err = f.WriteAt(b, at)
	return err
}

// machines gives the emulator of each architecture and its own arguments.
func machines() map[string][]string {
	return map[string][]string{
		"amd64": {"qemu-system-x86_64", "-M", "pc", "-cpu", "qemu64", "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
			"-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"},
		"arm64": {"qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.fd",
			"-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/AAVMF/AAVMF_VARS.fd"},
	}
}

func (t *trial) arguments(disk, drive, tap string) []string {
	return append(machines()[t.arch][1:], "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-drive", "if=none,id=disk,format=raw,file="+disk, "-device", "virtio-blk-pci,drive=disk,bootindex=1,addr=0x10",
		"-drive", "if=none,id=drive,format=raw,readonly=on,file="+drive, "-device", "virtio-blk-pci,drive=drive,addr=0x11",
		"-netdev", "user,id=up,restrict=on", "-device", "virtio-net-pci,netdev=up,addr=0x3,romfile=",
		"-netdev", "stream,id=tap,server=off,addr.type=unix,addr.path="+tap, "-device", "virtio-net-pci,netdev=tap,addr=0x4,romfile=")
}

// watch follows what the machine says, and asks it.
func (t *trial) watch(ctx context.Context, cable *cable) error {
	if t.damage {
		if err := t.console.await(ctx, "does not bear the hash"); err != nil {
			return err
		}
		t.say("the changed block is refused")
		if err := t.console.await(ctx, "restarting"); err != nil {
			return err
		}
		t.say("the machine restarts, and the boot loader counts it")
		return nil
	}
	if err := t.console.await(ctx, "simtrap: system on"); err != nil {
		return fmt.Errorf("the first program: %w", err)
	}
	t.say("the first program has found its slot")
	if err := t.console.await(ctx, "simtrap  1 status"); err != nil {
		return fmt.Errorf("the console: %w", err)
	}
	t.say("the console answers")
	_, tap := ports(t.arch)
	if err := t.ask(ctx, "1", tap); err != nil {
		return fmt.Errorf("simtrapd: %w", t.tell(err))
	}
	t.say("simtrapd watches its port")
	fed := make(chan error, 1)
	go func() { fed <- cable.feed(ctx, t.capture) }()
	if err := t.ask(ctx, "4", t.want); err != nil {
		return fmt.Errorf("no finding: %w", t.tell(err))
	}
	t.say("a finding, of %d frames", cable.sent.Load())
	if n := cable.received.Load(); n != 0 {
		return fmt.Errorf("%d frames came out of the tap port", n)
	}
	t.say("not one frame came out of the tap port")
	select {
	case err := <-fed:
		return err
	default:
		return nil
	}
}

// tell has the console say what it knows of a failure, into the log, and gives the
// failure.
func (t *trial) tell(err error) error {
	for _, entry := range []string{"1", "2", "4"} {
		some, stop := context.WithTimeout(context.Background(), 5*time.Second)
		err = errors.Join(err, t.console.typeLine(entry))
		_ = t.console.await(some, "what does not come")
		stop()
	}
	return err
}

// ask types an entry of the console's menu until what it shows holds a text.
func (t *trial) ask(ctx context.Context, entry, want string) error {
	for {
		if err := t.console.typeLine(entry); err != nil {
			return err
		}
		some, stop := context.WithTimeout(ctx, 5*time.Second)
		err := t.console.await(some, want)
		stop()
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

// console reads what comes out of the serial port.
type console struct {
	in    io.Writer
	lines chan string
}

// maxLine bounds what is kept of what holds no newline.
const maxLine = 1 << 20

func newConsole(in io.Writer, out io.Reader) *console {
	c := &console{in, make(chan string, 1024)}
	go func() {
		defer close(c.lines)
		b := make([]byte, 4096)
		for {
			n, err := out.Read(b)
			if n > 0 {
				c.lines <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

func (c *console) typeLine(s string) error {
	_, err := io.WriteString(c.in, s+"\n")
	return err
}

// await reads until a text has come.
func (c *console) await(ctx context.Context, want string) error {
	seen := ""
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%q has not come: %w", want, ctx.Err())
		case s, ok := <-c.lines:
			if !ok {
				return fmt.Errorf("%q has not come before the machine ended", want)
			}
			if seen += s; len(seen) > maxLine {
				seen = seen[len(seen)-maxLine/2:]
			}
			if strings.Contains(seen, want) {
				return nil
			}
		}
	}
}
