// Package bpf takes the first look at a tap's frames in the kernel: programs for
// XDP and TC account media there, by docs/interval.md, send up what needs a mind
// and let all else go. docs/bpf.md describes their maps, counters and toggles.
//
// A Source is one port: it loads the programs, attaches them, gives the frames
// that went up and the intervals that were closed.
package bpf

//go:generate ../scripts/generate.sh
