//go:build unix

package fleet

import (
	"os"
	"syscall"
)

// belongs gives an open file, or a folder, to the owner of a folder: root enrolls an
// appliance whose daemon is another user. What is open is changed, whatever stands
// under its name by then: the folder's owner may have put something of root's there.
func belongs(f *os.File, dir string) error {
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
	return f.Chown(int(s.Uid), int(s.Gid))
}
