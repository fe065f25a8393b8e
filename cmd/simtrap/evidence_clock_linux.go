package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// machineClock says how well this machine's clock is kept, in words that
// package report translates.
func machineClock() string {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return "not known"
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return "not synchronised"
	}
	return fmt.Sprintf("synchronised, at most %d ms off", (t.Maxerror+999)/1000)
}
