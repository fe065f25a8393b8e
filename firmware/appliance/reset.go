package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"simtrap/firmware/erasure"
	"simtrap/firmware/update"
)

const dataPartition = labelFolder + "data"

// reset has the first program erase the data partition at the next start, and restarts:
// what is mounted cannot be erased. What was copied to the boot partition goes first:
// cut off between the two nothing was reset, and it is copied again.
func reset() error {
	if err := os.WriteFile(resetAsked, nil, 0o600); err != nil {
		return err
	}
	if err := machineCopies.erase(); err != nil {
		return err
	}
	f, err := os.OpenFile(dataPartition, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = erasure.Ask(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := forget(dataPartition); err != nil {
		return err
	}
	fmt.Println("restarting; what was found and the configuration are overwritten then")
	return restart()
}

// tellSystem says which system runs, what else there is, and what went wrong with it.
func tellSystem() error {
	m, err := thisMachine()
	if err != nil {
		return err
	}
	fmt.Printf("system    %s (sequence %d), up for %s s\n", m.Release.Version, m.Release.Sequence, uptime())
	if c, err := keptConfig(); err == nil {
		_, missing := os.Stat(tokenDone)
		refused, _ := os.ReadFile(refusedFile) // there is none where nothing was refused
		if line := admission(c, missing == nil, string(refused)); line != "" {
			fmt.Printf("hub       %s\n", line)
		}
	}
	if n, err := daemonMemory(); err == nil {
		fmt.Printf("simtrapd  %.1f MiB resident\n", float64(n)/1024)
	}
	list, err := update.Entries(m.Entries)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(list) {
		what := "the other slot"
		if e.Root == m.Root {
			what = "this system"
		}
		switch {
		case e.Good():
			fmt.Printf("          %s has shown that it works\n", what)
		case e.Tries == 0:
			fmt.Printf("          %s is given up\n", what)
		default:
			fmt.Printf("          %s is on trial, %d tries left\n", what, e.Tries)
		}
	}
	switch floor, err := m.Floor(); {
	case err != nil:
		fmt.Printf("DEGRADED  no update is installed: %v\n", err)
	case floor > 0:
		fmt.Printf("          nothing below sequence %d is installed\n", floor)
	}
	if kept, err := os.ReadFile(dataKept); err == nil {
		fmt.Printf("data      %s\n", kept)
	}
	if why := lostData(); why != "" {
		fmt.Printf("DEGRADED  the data partition cannot be used, and memory takes its place until the next start: %s\n", why)
	}
	if f := m.Failed(); f != nil {
		fmt.Printf("DEGRADED  system %s did not work: %s\n", f.Release.Version, f.Why)
	}
	if readFallen(fallbackFile, m.Release.Sequence).Plain {
		fmt.Println("DEGRADED  simtrapd crashed again and again: frames are taken by AF_PACKET")
	}
	return nil
}

// daemonMemory gives what simtrapd has resident, in KiB.
func daemonMemory() (int, error) {
	pid := strings.TrimSpace(onMachine("/usr/bin/systemctl", "show", "-p", "MainPID", "--value", "simtrapd.service"))
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		}
	}
	return 0, errors.New("no VmRSS")
}
