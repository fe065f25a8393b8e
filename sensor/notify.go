package sensor

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notify tells the service manager how things stand (sd_notify(3)). The zero
// value tells nobody.
type Notify struct {
	socket   string
	watchdog time.Duration // 0 for none
}

// NotifyFrom reads what the service manager put into the environment.
func NotifyFrom(getenv func(string) string) Notify {
	n := Notify{socket: getenv("NOTIFY_SOCKET")}
	if n.socket == "" || n.socket[0] != '/' && n.socket[0] != '@' {
		return Notify{}
	}
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 && us < int64(24*time.Hour/time.Microsecond) {
			n.watchdog = time.Duration(us) * time.Microsecond
		}
	}
	return n
}

// send tells states, each of the form NAME=VALUE.
func (n Notify) send(states ...string) error {
	if n.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(strings.Join(states, "\n")))
	return err
}

// reloading says that a reload has begun; its time lets the service manager
// match READY=1 to it.
func (n Notify) reloading() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return err
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(ts.Nano()/1000, 10))
}

// oneLine keeps a text from being several states.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
