package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// damage: a machine whose slot has a changed block does not go on from it, whether the
// first program reads that block or simtrapd's start does.
func (t *trial) damage(ctx context.Context) error {
	return errors.Join(t.damageFirst(ctx), t.damageLater(ctx))
}

// damageFirst changes the superblock of the only slot that has a system.
func (t *trial) damageFirst(ctx context.Context) error {
	if err := tools(ctx, []string{"cp", "--sparse=always", t.image, t.file("disk")}); err != nil {
		return err
	}
	if err := turnOn(t.file("disk"), slotAAt+16); err != nil {
		return err
	}
	m, err := t.start("")
	if err != nil {
		return err
	}
	defer m.off()
	if err := m.says(ctx, "does not bear the hash"); err != nil {
		return err
	}
	t.say("the changed first block is refused")
	if err := m.says(ctx, "restarting"); err != nil {
		return err
	}
	t.say("the machine restarts")
	return nil
}

// damageLater changes the first block of simtrapd in the slot of a system that has shown
// that it works, on a machine with two.
func (t *trial) damageLater(ctx context.Context) error {
	m, err := t.newcomer(ctx, "next.update")
	if err != nil {
		return err
	}
	defer func() { m.off() }()
	if err := m.says(ctx, "is installed beside"); err != nil {
		return err
	}
	if err := t.works(ctx, m); err != nil {
		return err
	}
	if !strings.Contains(m.line(" s after its start"), ".next works") {
		return errors.New("it is not the update that works")
	}
	// It ends in order: after a power cut all of a slot is read before its system starts.
	if err := m.typeLine("6"); err != nil {
		return err
	}
	if err := m.says(ctx, "simtrap: system on"); err != nil {
		return err
	}
	m.off()
	next, err := openBundle(filepath.Join(filepath.Dir(t.image), "next.update"))
	if err != nil {
		return err
	}
	if err := next.systemTo(t.file("system")); err != nil {
		return err
	}
	at, err := t.firstBlock(ctx, t.file("system"), "usr/bin/simtrapd")
	if err != nil {
		return err
	}
	if err := turnOn(t.file("disk"), slotBAt+at); err != nil {
		return err
	}
	t.say("block %d of %d is changed in slot B: simtrapd's first", at/verityBlock, next.System.Size/verityBlock)
	if m, err = t.start(""); err != nil {
		return err
	}
	for _, c := range [][2]string{
		{"simtrap: system on /dev/vda3", "its system is started, which the first program does not see"},
		{fmt.Sprintf("data block %d is corrupted", at/verityBlock), "the kernel refuses the block as it is read, and restarts the machine"},
		{"does not bear its hashes any more", "the first program reads all of the slot after that, finds the block, and takes the system out of use"},
		{"simtrap: system on /dev/vda2", "the other slot's is started"},
	} {
		if err := m.says(ctx, c[0]); err != nil {
			return err
		}
		t.say("%s", c[1])
	}
	if err := t.works(ctx, m); err != nil {
		return err
	}
	if strings.Contains(m.line(" s after its start"), ".next works") {
		return errors.New("it is the spoilt system that works")
	}
	if err := m.typeLine("1"); err != nil {
		return err
	}
	if err := m.says(ctx, "the other slot is given up"); err != nil {
		return err
	}
	t.say("the console says that the other slot is given up")
	return nil
}

// turnOn turns the bits of one byte of a file.
func turnOn(file string, at int64) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(turn(f, at), f.Close())
}
