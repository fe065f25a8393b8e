package sensor

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"simtrap/sensor/config"
)

// confine lets the process reach only the files that it still needs: the state,
// the output and the socket to write, the configuration and what it names to
// read, and what names are looked up by where it reports to a hub. It says how far
// the kernel goes with that. Later versions than the fifth would keep the process
// from the service manager's socket.
func confine(c *config.Config, file string, reports bool) (string, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return "no: the kernel has no landlock (5.13, and lsm= at its start)", nil
	}
	write := []string{c.StateFolder()}
	if c.Output != "-" && c.Output != config.None {
		write = append(write, filepath.Dir(c.Path(c.Output)))
	}
	if c.Socket != config.None {
		write = append(write, filepath.Dir(c.Path(c.Socket)))
	}
	read := []string{"/proc", "/sys", "/usr/share/zoneinfo", filepath.Dir(file)}
	add := func(names []string) {
		for _, name := range c.Paths(names) {
			if info, err := os.Stat(name); err != nil || !info.IsDir() {
				name = filepath.Dir(name)
			}
			read = append(read, name)
		}
	}
	for _, p := range c.Ports {
		add(p.Files)
	}
	if reports {
		// The hub's name is looked up by what stands here; files of it are replaced
		// now and then, so that the folders are needed.
		read = append(read, "/etc")
		if at, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
			read = append(read, filepath.Dir(at))
		}
	}
	add(c.Sessions)
	add(c.Places)
	add(c.Geo)
	err := landlock.V5.BestEffort().RestrictPaths(
		landlock.RWDirs(write...).IgnoreIfMissing(),
		landlock.RODirs(read...).IgnoreIfMissing(),
	)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("yes, version %d", min(version, 5)), nil
}
