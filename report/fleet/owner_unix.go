//go:build unix

package fleet

import (
	"os"
	"syscall"
)

// belongs gives a file, or a folder, to the owner of its folder: root enrolls an appliance whose
// daemon is another user.
func belongs(name, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Lchown(name, int(s.Uid), int(s.Gid))
}
