package bpf

import (
	"fmt"
	"strings"
)

// Mode is a way to attach the programs.
type Mode uint8

// The modes, in the order in which Auto tries them.
const (
	Auto Mode = iota
	XDPNative
	XDPGeneric
	TCX
	ClsAct
)

func modeNames() []string { return []string{"auto", "xdp-native", "xdp-generic", "tcx", "clsact"} }

// String names m as configuration does.
func (m Mode) String() string { return modeNames()[min(m, ClsAct)] }

// ParseMode reads what String gives.
func ParseMode(s string) (Mode, error) {
	for i, name := range modeNames() {
		if s == name {
			return Mode(i), nil
		}
	}
	return Auto, fmt.Errorf("unknown way to attach %q: want one of %s", s, strings.Join(modeNames(), ", "))
}
