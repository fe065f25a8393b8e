package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// startTPM starts the TPM of that name, swtpm, whose state outlasts the machine's power as the
// disk does, and gives what the emulator is told of it. It ends with the machine.
func (t *trial) startTPM() ([]string, error) {
	if t.tpm == "" {
		return nil, nil
	}
	folder := t.file(t.tpm)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	socket := folder + ".socket"
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+folder, "--ctrl", "type=unixio,path="+socket, "--terminate")
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: apt-get install --no-install-recommends swtpm", err)
	}
	go func() { _ = cmd.Wait() }() // it ends when the machine does
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		} else if time.Now().After(deadline) {
			return nil, err
		}
	}
	device := "tpm-tis"
	if t.arch == "arm64" {
		device = "tpm-tis-device"
	}
	return []string{"-chardev", "socket,id=tpm,path=" + socket, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", device + ",tpmdev=tpm0"}, nil
}

// sealed: an empty machine with a TPM seals its data, is admitted and has a finding at
// the hub; nothing of the data can be read from its disk. Its clock looks for a master of
// PTP, of which there is none. In a machine with another TPM
// the disk shows none of it, and that machine asks for a configuration. Back at home all
// is as before; what is shown next has the TPM too.
func (t *trial) sealed(ctx context.Context) error {
	for _, name := range []string{"tpm-one", "tpm-two"} {
		if err := os.RemoveAll(t.file(name)); err != nil {
			return err
		}
	}
	t.tpm, t.more = "tpm-one", "ptp: {}\n"
	if err := t.sealedFinding(ctx); err != nil {
		return err
	}
	for _, secret := range secrets {
		if found, err := holds(t.file("disk"), secret); err != nil || found {
			return errors.Join(fmt.Errorf("%q is on the disk", secret), err)
		}
	}
	t.say("configuration, token and key cannot be read from the disk")
	t.tpm = "tpm-two"
	if err := t.elsewhere(ctx); err != nil {
		return err
	}
	t.tpm = "tpm-one"
	m, err := t.start("")
	if err != nil {
		return err
	}
	defer m.off()
	if err := t.works(ctx, m); err != nil {
		return err
	}
	t.say("with its own TPM it goes on as before")
	return nil
}

func (t *trial) sealedFinding(ctx context.Context) error {
	m, err := t.newcomer(ctx, "")
	if err != nil {
		return err
	}
	defer m.off()
	if err := m.says(ctx, "the data partition is sealed to the TPM"); err != nil {
		return err
	}
	if err := t.works(ctx, m); err != nil {
		return err
	}
	if err := t.hub.await(ctx, "simtrap_hub_enrolled_total", 0); err != nil {
		return err
	}
	t.say("the hub has admitted it")
	if err := m.typeLine("1"); err != nil {
		return err
	}
	if err := m.says(ctx, "data      sealed to this machine's TPM"); err != nil {
		return err
	}
	t.say("the console says that the data is sealed")
	if err := m.typeLine("5"); err != nil {
		return err
	}
	if err := m.says(ctx, "#? PTP0"); err != nil {
		return err
	}
	t.say("chronyd looks for a master of PTP")
	go t.feed(ctx, false)
	if err := t.hub.await(ctx, "simtrap_hub_stored_findings_total", 0); err != nil {
		return fmt.Errorf("after %d frames: %w", t.cable.sent.Load(), err)
	}
	t.say("a finding is at the hub")
	return t.silent()
}

// elsewhere starts the disk in a machine that has another TPM.
func (t *trial) elsewhere(ctx context.Context) error {
	m, err := t.start("")
	if err != nil {
		return err
	}
	defer m.off()
	for _, c := range [][2]string{
		{"another TPM has sealed it", "another machine's TPM does not give the key"}, {"memory takes its place", "memory takes the place of the data partition"},
		{"copies on the boot partition: another TPM", "the copies on the boot partition are not opened either"}, {"no configuration", "it asks for a configuration"},
	} {
		if err := m.says(ctx, c[0]); err != nil {
			return err
		}
		t.say("%s", c[1])
	}
	return nil
}
