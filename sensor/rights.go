package sensor

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// attaching is what attaching to a port takes: packet sockets, interfaces,
// programs and their maps.
const attaching = 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON

// running is what the maps of programs take on kernels before 5.19 that let
// only the privileged near bpf(2).
const running = 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON

// Rights is what the process may do beyond its user. All threads have the same.
type Rights struct {
	mu        sync.Mutex
	permitted uint64
	effective uint64
	dropped   bool
}

// NewRights reads the capabilities of the process.
func NewRights() (*Rights, error) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	return &Rights{
		permitted: uint64(d[0].Permitted) | uint64(d[1].Permitted)<<32,
		effective: uint64(d[0].Effective) | uint64(d[1].Effective)<<32,
	}, nil
}

// Drop gives up everything but the right to attach again, which With alone
// uses; with keep false that as well. working, which may be nil, tries what goes
// on being done: where it fails without capabilities, those that it takes stay.
// From then on nothing that is executed gains rights.
func (r *Rights) Drop(keep bool, working func() error) (kept []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := all(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("no_new_privs: %w", err)
	}
	if err := all(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("ambient capabilities: %w", err)
	}
	may := r.permitted & attaching
	if r.permitted&(1<<unix.CAP_SETPCAP) != 0 {
		for c := range uintptr(64) {
			if may&(1<<c) != 0 && keep {
				continue
			}
			if err := all(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EINVAL) {
				break // beyond the last one of this kernel
			}
		}
	}
	if err := r.set(may, 0); err != nil {
		return nil, err
	}
	needed := uint64(0)
	if working != nil && working() != nil {
		needed = may & running
		if err := r.set(may, needed); err != nil {
			return nil, err
		}
		if err := working(); err != nil {
			return nil, fmt.Errorf("does not go on without capabilities: %w", err)
		}
	}
	if !keep {
		may = needed
	}
	if err := r.set(may, needed); err != nil {
		return nil, err
	}
	r.dropped = true
	return names(needed), nil
}

var errGivenUp = errors.New("the right to attach was given up (reattach: false): restart simtrapd")

// With lets f do what attaching takes.
func (r *Rights) With(f func() error) error {
	if r == nil {
		return f()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dropped {
		return f()
	}
	before := r.effective
	if r.permitted&attaching == 0 {
		return errGivenUp
	}
	if err := r.set(r.permitted, r.permitted&attaching); err != nil {
		return err
	}
	err := f()
	return errors.Join(err, r.set(r.permitted, before))
}

// Closing lets f detach what was attached: where the right to is not to be had any
// more, without it, which most of it does not take.
func (r *Rights) Closing(f func() error) error {
	done := false
	err := r.With(func() error { done = true; return f() })
	switch {
	case done:
		return err
	case errors.Is(err, errGivenUp):
		return f()
	}
	return errors.Join(err, f())
}

// Effective names what the process may do now.
func (r *Rights) Effective() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return names(r.effective)
}

// set sets the capabilities of all threads; none is inherited.
func (r *Rights) set(permitted, effective uint64) error {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	d := [2]unix.CapUserData{
		{Permitted: uint32(permitted), Effective: uint32(effective)},
		{Permitted: uint32(permitted >> 32), Effective: uint32(effective >> 32)},
	}
	if _, _, e := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d[0])), 0); e != 0 {
		return fmt.Errorf("capabilities: %w", e)
	}
	r.permitted, r.effective = permitted, effective
	return nil
}

// all makes a system call in every thread.
func all(call, a, b, c, d, e uintptr) error {
	if _, _, errno := psx.Syscall6(call, a, b, c, d, e, 0); errno != 0 {
		return errno
	}
	return nil
}

func names(set uint64) []string {
	var out []string
	for c, name := range map[int]string{
		unix.CAP_NET_RAW: "CAP_NET_RAW", unix.CAP_NET_ADMIN: "CAP_NET_ADMIN", unix.CAP_BPF: "CAP_BPF", unix.CAP_PERFMON: "CAP_PERFMON",
		unix.CAP_SYS_ADMIN: "CAP_SYS_ADMIN", unix.CAP_DAC_OVERRIDE: "CAP_DAC_OVERRIDE",
	} {
		if set&(1<<c) != 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
