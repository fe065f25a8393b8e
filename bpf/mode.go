package bpf

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

// String names m as configuration does.
func (m Mode) String() string {
	return [...]string{"auto", "xdp-native", "xdp-generic", "tcx", "clsact"}[min(m, ClsAct)]
}
