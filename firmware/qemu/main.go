// Command qemu boots an image of the appliance in a virtual machine, without
// acceleration, and shows that it does its work: what it shows is told by --show, and
// printed with its time as it happens. The machine has a disk, a drive with its
// configuration, an uplink on which there is a hub and nothing else, and a tap port
// whose cable ends here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// diskSize leaves room for the data partition, which begins behind the boot partition
// and the slots (firmware/image). In bytes.
const (
	diskSize = 1 << 30
	dataAt   = (1 + 128 + 2*256) << 20
)

// configuration of the machine, with the names of its uplink and its tap port, the
// hub's address and its token.
const configuration = `name: trial-1
uplink: {port: %s, address: dhcp}
time: [10.0.2.2]
hub: {address: "%s", token: %s}
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
	if len(os.Args) == 3 && os.Args[1] == "relay" {
		if err := relay(os.Args[2]); err != nil {
			os.Exit(1)
		}
		return
	}
	var t trial
	show := flag.String("show", "finding,update,broken,reset,cuts,lost,damage,sealed", "what is shown: `LIST` of boot, finding, update, broken, reset, cuts, lost, damage, sealed; all but boot, damage, cuts, sealed and finding go on with the disk of before")
	flag.StringVar(&t.arch, "arch", "amd64", "architecture of the image")
	flag.StringVar(&t.image, "image", "", "image of the disk, which is copied first; next.update, broken.update and old.update lie beside it")
	flag.StringVar(&t.capture, "capture", "", "capture whose frames come on the tap port, as fast as they were recorded")
	flag.StringVar(&t.program, "hub", "", "program simtrap-hub")
	flag.IntVar(&t.cuts, "cuts", 5, "how often the power is cut in an update; five meet each of its phases")
	flag.Uint64Var(&t.seed, "seed", 0, "what the moments of the cuts are drawn with, 0 for another each time")
	flag.StringVar(&t.key, "key", "", "private key that the image takes updates of, for cuts")
	flag.DurationVar(&t.limit, "limit", 6*time.Minute, "how long each may take")
	flag.StringVar(&t.folder, "folder", "tmp/firmware/qemu", "where its files go")
	flag.Parse()
	t.began = time.Now()
	if err := t.run(strings.Split(*show, ",")); err != nil {
		fmt.Fprintf(os.Stderr, "qemu: %v\n", err)
		os.Exit(1)
	}
}

type trial struct {
	arch, image, capture, program, folder, key string
	limit                                      time.Duration
	cuts                                       int
	seed                                       uint64
	tpm                                        string // of the machines that are started; empty for none
	more                                       string // that stands in their configuration

	began time.Time
	hub   *hub
	cable *cable
}

func (t *trial) say(format string, args ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

func (t *trial) file(name string) string { return filepath.Join(t.folder, name) }

func (t *trial) run(shows []string) (err error) {
	if err := os.MkdirAll(t.folder, 0o755); err != nil {
		return err
	}
	if t.cable, err = newCable(t.file("tap")); err != nil {
		return err
	}
	defer t.cable.Close()
	for _, name := range shows {
		show, ok := map[string]func(context.Context) error{"boot": t.boot, "finding": t.finding, "update": t.update, "broken": t.broken, "cuts": t.cut, "reset": t.reset, "lost": t.lose, "damage": t.damage, "sealed": t.sealed}[name]
		if !ok {
			return fmt.Errorf("nothing to show is called %q", name)
		}
		t.say("== %s", name)
		ctx, cancel := context.WithTimeout(context.Background(), t.limit)
		err := show(ctx)
		cancel()
		if t.hub != nil {
			err = errors.Join(err, t.hub.stop())
		}
		if err != nil {
			return fmt.Errorf("%s: %w; see %s", name, err, t.file("log"))
		}
	}
	return nil
}

// newcomer starts a machine that was never set up, with a drive that has a hub's token
// and, if named, an update.
func (t *trial) newcomer(ctx context.Context, update string) (*machine, error) {
	err := tools(ctx, []string{"cp", "--sparse=always", t.image, t.file("disk")}, []string{"truncate", "-s", fmt.Sprint(diskSize), t.file("disk")})
	if err != nil {
		return nil, err
	}
	if t.hub, err = newHub(ctx, t.program, t.folder); err != nil {
		return nil, err
	}
	if err := t.hub.serve(); err != nil {
		return nil, err
	}
	token, err := t.hub.token(ctx, "trial-1")
	if err != nil {
		return nil, err
	}
	if err := t.drive(ctx, token, update); err != nil {
		return nil, err
	}
	return t.start("drive")
}

// boot: an empty machine is set up, works, is admitted by the hub, and says nothing by
// its tap port; an update below the floor, which is on the drive besides, is refused.
func (t *trial) boot(ctx context.Context) error {
	m, err := t.admitted(ctx)
	defer m.off()
	if err != nil {
		return err
	}
	return t.silent()
}

func (t *trial) admitted(ctx context.Context) (*machine, error) {
	m, err := t.newcomer(ctx, "old.update")
	if err != nil {
		return &machine{}, err
	}
	if err := m.says(ctx, "simtrap: system on"); err != nil {
		return m, err
	}
	t.say("the first program has found its slot")
	if err := t.works(ctx, m); err != nil {
		return m, err
	}
	if err := m.says(ctx, "older than what this machine may go back to"); err != nil {
		return m, err
	}
	t.say("a bundle below the floor is refused")
	if err := t.hub.await(ctx, "simtrap_hub_enrolled_total", 0); err != nil {
		return m, err
	}
	t.say("the hub has admitted it")
	if err := m.typeLine("1"); err != nil {
		return m, err
	}
	if err := m.says(ctx, "MiB resident"); err != nil {
		return m, err
	}
	t.say("idle: %s", strings.TrimSpace(m.line("MiB resident")))
	return m, nil
}

// finding: a machine that was set up and admitted finds the gateway.
func (t *trial) finding(ctx context.Context) error {
	m, err := t.admitted(ctx)
	defer m.off()
	if err != nil {
		return err
	}
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	go t.feed(feeding, false)
	if err := t.hub.await(ctx, "simtrap_hub_stored_findings_total", 0); err != nil {
		return fmt.Errorf("after %d frames: %w", t.cable.sent.Load(), err)
	}
	t.say("a finding is at the hub, of %d frames", t.cable.sent.Load())
	if err := t.silent(); err != nil {
		return err
	}
	stop()
	m.off()
	return t.record(ctx, "start.log")
}

func (t *trial) feed(ctx context.Context, anew bool) {
	if err := t.cable.feed(ctx, t.capture, anew); err != nil && ctx.Err() == nil {
		t.say("the cable: %v", err) // the machine went off
	}
}

func (t *trial) silent() error {
	if n := t.cable.received.Load(); n != 0 {
		return fmt.Errorf("%d frames came out of the tap port", n)
	}
	t.say("not one frame came out of the tap port")
	return nil
}

// works waits for a start to be counted as good.
func (t *trial) works(ctx context.Context, m *machine) error {
	if err := m.says(ctx, " s after its start"); err != nil {
		return err
	}
	if err := m.says(ctx, "\n"); err != nil {
		return err
	}
	line := m.line(" s after its start")
	t.say("%s", line[max(0, strings.Index(line, "system ")):])
	return nil
}

// firstFrame gives when the first frame came, as the line that works waited for says.
func (m *machine) firstFrame() (time.Time, error) {
	var up, first float64
	line := m.line(" s after its start")
	_, err := fmt.Sscanf(line[max(0, strings.Index(line, " works, ")):], " works, %f s after its start; its first frame came %f s after it", &up, &first)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q: %w", line, err)
	}
	return time.Now().Add(time.Duration((first - up) * float64(time.Second))), nil
}

// update: the power was cut (by the show before); a drive brings an update, the machine
// goes over to it, and says so.
func (t *trial) update(ctx context.Context) error {
	if err := t.drive(ctx, "", "next.update"); err != nil {
		return err
	}
	m, err := t.start("drive")
	if err != nil {
		return err
	}
	defer m.off()
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	go t.feed(feeding, true)
	if err := m.says(ctx, "an update is looked at"); err != nil {
		return err
	}
	if err := m.says(ctx, "is installed beside"); err != nil {
		return err
	}
	t.say("the update is installed")
	restarts := time.Now()
	if err := t.works(ctx, m); err != nil {
		return err
	}
	if !strings.Contains(m.line(" s after its start"), ".next works") {
		return errors.New("it is not the update that works")
	}
	first, err := m.firstFrame()
	if err != nil {
		return err
	}
	t.say("from the restart to the first frame that simtrapd took: %.1f s, this machine's firmware included", first.Sub(restarts).Seconds())
	stop()
	// It ends in order: what it logged last would not be on the disk yet.
	if err := m.typeLine("6"); err != nil {
		return err
	}
	if err := m.says(ctx, "simtrap: system on"); err != nil {
		return err
	}
	m.off()
	return t.record(ctx, "update.log")
}

// broken: an update in which simtrapd never starts is gone back from.
func (t *trial) broken(ctx context.Context) error {
	if err := t.drive(ctx, "", "broken.update"); err != nil {
		return err
	}
	m, err := t.start("drive")
	if err != nil {
		return err
	}
	defer m.off()
	for _, c := range [][2]string{{"is installed beside", "a broken update is installed"}, {"does not work", "it is given up"}, {"was rolled back", "the system of before says so"}} {
		if err := m.says(ctx, c[0]); err != nil {
			return err
		}
		t.say("%s", c[1])
	}
	return t.works(ctx, m)
}

// fresh sets up an empty machine, admits it, takes the hub away, and has a finding made
// that waits.
func (t *trial) fresh(ctx context.Context) error {
	m, err := t.newcomer(ctx, "")
	if err != nil {
		return err
	}
	defer m.off()
	if err := t.works(ctx, m); err != nil {
		return err
	}
	if err := t.hub.await(ctx, "simtrap_hub_enrolled_total", 0); err != nil {
		return err
	}
	if err := t.hub.stop(); err != nil {
		return err
	}
	t.say("admitted; the hub is away now")
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	go t.feed(feeding, false)
	for {
		if err := m.typeLine("4"); err != nil {
			return err
		}
		some, done := context.WithTimeout(ctx, 15*time.Second)
		err := m.says(some, `"verdict":`)
		done()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return err
		}
	}
	t.say("a finding waits for the hub")
	time.Sleep(time.Second) // within which the outbox makes it outlast a power cut
	return nil
}

// secrets are of the configuration, its token, and the key of the hub's certificate.
var secrets = []string{"name: trial-1", "token: st1-", `"PrivateKey":"`}

// reset: after a factory reset nothing of the data is on the disk: not the
// configuration, not the token in it, and not the key of the hub's certificate.
func (t *trial) reset(ctx context.Context) error {
	for _, secret := range secrets {
		if found, err := holds(t.file("disk"), secret); err != nil || found != (t.tpm == "") {
			return errors.Join(fmt.Errorf("%q is on the disk before the reset: %v; on one that is not sealed it must be, or nothing would be shown", secret, found), err)
		}
	}
	m, err := t.start("")
	if err != nil {
		return err
	}
	defer m.off()
	if err := t.works(ctx, m); err != nil {
		return err
	}
	for _, line := range []string{"7", "ERASE"} {
		if err := m.typeLine(line); err != nil {
			return err
		}
	}
	wanted := []string{"is erased", "no configuration"}
	if t.tpm != "" {
		wanted = []string{"is erased", "the data partition is sealed to the TPM", "no configuration"}
	}
	for _, want := range wanted {
		if err := m.says(ctx, want); err != nil {
			return err
		}
	}
	m.off()
	for _, secret := range secrets {
		if found, err := holds(t.file("disk"), secret); err != nil || found {
			return errors.Join(fmt.Errorf("%q is still on the disk", secret), err)
		}
	}
	t.say("erased; configuration, token and key are not on the disk, and the machine waits for a configuration")
	if t.tpm != "" {
		return nil // what it lists cannot be read from here
	}
	return t.list(ctx)
}

// list prints what the folders of the appliance and of simtrapd have on the data
// partition.
func (t *trial) list(ctx context.Context) error {
	for _, folder := range []string{"/lib/appliance", "/lib/simtrapd"} {
		cmd := exec.CommandContext(ctx, "debugfs", "-R", "ls -p "+folder, fmt.Sprintf("%s?offset=%d", t.file("disk"), dataAt))
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("debugfs: %w", err)
		}
		var names []string
		for line := range strings.Lines(string(out)) {
			// /inode/mode/uid/gid/name/size/
			if f := strings.Split(line, "/"); len(f) > 5 && f[5] != "." && f[5] != ".." {
				names = append(names, f[5])
			}
		}
		t.say("%s has %q", folder, names)
	}
	return nil
}

// lose: a data partition whose superblock is damaged is mended from a copy; where none
// is left memory takes its place, and the machine goes on with the configuration and the
// admission that were copied to the boot partition, and says so here and to the hub.
func (t *trial) lose(ctx context.Context) error {
	if err := t.hub.serve(); err != nil {
		return err
	}
	if err := t.spoil(dataAt+1024, 1024); err != nil {
		return err
	}
	m, err := t.start("")
	if err != nil {
		return err
	}
	defer func() { m.off() }()
	if err := m.says(ctx, "the data partition was mended"); err != nil {
		return err
	}
	t.say("the superblock is damaged: mended from its copy")
	if err := t.works(ctx, m); err != nil {
		return err
	}
	m.off()
	const copies = 128 << 20 // between those of the superblock, at odd multiples
	for at := int64(dataAt); at < diskSize; at += copies {
		if err := t.spoil(at, 1<<20); err != nil {
			return err
		}
	}
	if m, err = t.start(""); err != nil {
		return err
	}
	if err := m.says(ctx, "memory takes its place"); err != nil {
		return err
	}
	t.say("no superblock is left: memory takes the place of the data partition")
	if err := m.says(ctx, "are those copied to the boot partition"); err != nil {
		return err
	}
	if err := t.works(ctx, m); err != nil {
		return err
	}
	if err := m.typeLine("1"); err != nil {
		return err
	}
	if err := m.says(ctx, "DEGRADED  the data partition"); err != nil {
		return err
	}
	t.say("the console says so")
	for {
		out, err := exec.CommandContext(ctx, t.program, "sensors", "-d", t.hub.folder, "--json").Output()
		if err == nil && strings.Contains(string(out), `"data-lost"`) {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no alarm at the hub: %s: %w", out, errors.Join(err, ctx.Err()))
		case <-time.After(time.Second):
		}
	}
	t.say("the hub has the alarm")
	return nil
}

// spoil writes chance over a part of the disk.
func (t *trial) spoil(at, n int64) error {
	f, err := os.OpenFile(t.file("disk"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}

// holds says whether a file has a text in it, wherever.
func holds(file, text string) (bool, error) {
	out, err := exec.Command("grep", "-c", "-a", "-F", text, file).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil && strings.TrimSpace(string(out)) != "0", err
}

// drive makes the drive with the configuration, where there is a token, and a bundle,
// where one is named.
func (t *trial) drive(ctx context.Context, token, bundle string) error {
	drive := t.file("drive")
	if err := tools(ctx, []string{"rm", "-f", drive}, []string{"truncate", "-s", "100M", drive}, []string{"mkfs.vfat", "-n", "SIMTRAP", drive}); err != nil {
		return err
	}
	if token != "" {
		uplink, tap := ports(t.arch)
		text := t.file("appliance.yaml")
		if err := os.WriteFile(text, fmt.Appendf(nil, configuration+t.more, uplink, hubAddress, token, tap), 0o600); err != nil {
			return err
		}
		if err := tools(ctx, []string{"mcopy", "-i", drive, text, "::appliance.yaml"}); err != nil {
			return err
		}
	}
	if bundle == "" {
		return nil
	}
	return tools(ctx, []string{"mcopy", "-i", drive, filepath.Join(filepath.Dir(t.image), bundle), "::simtrap.update"})
}

func tools(ctx context.Context, commands ...[]string) error {
	for _, c := range commands {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c[0], err, out)
		}
	}
	return nil
}
