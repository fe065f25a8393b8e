package main

import (
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// healthy returns when simtrapd answers, alarms or none: a tap that is silent is no
// fault of the system. Only then is the boot counted as good.
func healthy() error {
	for range 60 {
		out, err := exec.Command("/usr/bin/simtrapd", "status", "-c", ownFolder+"simtrapd.yaml").CombinedOutput()
		exit := (*exec.ExitError)(nil)
		if err == nil || errors.As(err, &exit) && exit.ExitCode() == statusAlarms {
			fmt.Print(string(out))
			return nil
		}
		time.Sleep(2 * time.Second)
	}
	return errors.New("simtrapd does not answer")
}

// statusAlarms is what simtrapd status ends with when it runs and alarms stand.
const statusAlarms = 3
