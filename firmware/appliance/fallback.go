package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"simtrap/firmware/update"
)

// crashed is why frames are taken by AF_PACKET.
const crashed = "simtrapd crashed again and again with programs in the kernel: frames are taken by AF_PACKET"

// fallen is what was given up since simtrapd crashed again and again.
type fallen struct {
	Sequence uint64 `json:"sequence"` // of the system; another one begins anew
	// Plain says that frames are taken by AF_PACKET, without programs in the kernel.
	Plain bool `json:"plain"`
}

// readFallen gives nothing given up where that is not known.
func readFallen(path string, sequence uint64) fallen {
	text, err := os.ReadFile(path)
	f := fallen{}
	if err != nil || json.Unmarshal(text, &f) != nil || f.Sequence != sequence {
		return fallen{Sequence: sequence}
	}
	return f
}

// crashLoop is what can be done about one, for tests.
type crashLoop struct {
	path    string // of what was given up
	machine interface{ GiveUp(why string) error }
	remake  func() error // the configuration of simtrapd
	again   func() error // starts simtrapd
	restart func() error // the machine
	wait    func(time.Duration)
	out     io.Writer
}

// fallBack takes the next step: AF_PACKET, then the other slot; where there is none
// that works, simtrapd is started again a minute later, for good.
func (l *crashLoop) fallBack(sequence uint64) error {
	f := readFallen(l.path, sequence)
	if !f.Plain {
		f.Plain = true
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if err := keep(l.path, text); err != nil {
			// The disk is full or read-only: then it holds for this start alone.
			fmt.Fprintf(l.out, "not kept: %v\n", err)
		}
		fmt.Fprintln(l.out, "simtrapd crashes again and again: frames are taken by AF_PACKET from now on")
		if err := l.remake(); err != nil {
			return err
		}
		return l.again()
	}
	err := l.machine.GiveUp("simtrapd crashes again and again, with AF_PACKET as well")
	if err == nil {
		fmt.Fprintln(l.out, "simtrapd crashes with AF_PACKET as well: restarting into the other slot")
		return l.restart()
	}
	if !errors.Is(err, update.ErrAlone) {
		fmt.Fprintf(l.out, "the other slot: %v\n", err)
	}
	fmt.Fprintln(l.out, "simtrapd crashes again and again, and there is no other system: it is started again in a minute")
	l.wait(time.Minute)
	return l.again()
}

// fallback is run by systemd when simtrapd has failed too often.
func fallback() error {
	m, err := thisMachine()
	if err != nil {
		return err
	}
	l := crashLoop{
		path: fallbackFile, machine: m, out: os.Stdout, restart: restart, wait: time.Sleep,
		remake: func() error {
			c, err := keptConfig()
			if err != nil {
				return err
			}
			if err := c.plain(); err != nil {
				return err
			}
			tell(fallenAlarm, crashed)
			return writeSensor(c)
		},
		again: func() error {
			onMachine("/usr/bin/systemctl", "reset-failed", "simtrapd.service")
			if said := onMachine("/usr/bin/systemctl", "--no-block", "start", "simtrapd.service"); said != "" {
				return errors.New(said)
			}
			return nil
		},
	}
	return l.fallBack(m.Release.Sequence)
}
