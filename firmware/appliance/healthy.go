package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"simtrap/firmware/update"
)

// trialFor is how long an update may take to show that it works. A hub that was
// reached before may take a while: a certificate's connection is tried again after
// seconds to minutes.
const trialFor = 5 * time.Minute

// daemonStatus is what is needed of `simtrapd status --json`.
type daemonStatus struct {
	State string       `json:"state"`
	Ports []daemonPort `json:"ports"`
	Hub   *struct {
		Acked uint64 `json:"acked"`
	} `json:"hub"`
}

type daemonPort struct {
	Name  string     `json:"name"`
	Mode  string     `json:"mode"`
	First *time.Time `json:"first"` // when the first frame came
}

// statusAlarms is what simtrapd status ends with when it runs and alarms stand: a tap
// that is silent is no fault of the system.
const statusAlarms = 3

func askDaemon() (*daemonStatus, error) {
	out, err := exec.Command("/usr/bin/simtrapd", "status", "--json", "-c", ownFolder+"simtrapd.yaml").Output()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != statusAlarms) {
		return nil, errors.New("simtrapd does not answer")
	}
	var s daemonStatus
	if err := json.Unmarshal(out, &s); err != nil {
		return nil, fmt.Errorf("simtrapd answers what is no status: %w", err)
	}
	return &s, nil
}

// judge says what a system that runs lacks: to capture on every port of the
// configuration, and, where it did so before, to report.
func judge(s *daemonStatus, taps []string, reported bool) error {
	if s.State != "running" {
		return fmt.Errorf("simtrapd is %s", s.State)
	}
	modes := map[string]string{}
	for _, p := range s.Ports {
		modes[p.Name] = p.Mode
	}
	for _, tap := range taps {
		if modes[tap] == "" {
			return fmt.Errorf("port %s is not watched", tap)
		}
	}
	if reported && (s.Hub == nil || s.Hub.Acked == 0) {
		return errors.New("no report has reached the hub, and some did before the update")
	}
	return nil
}

// healthy decides about a start. An update on trial must show within a time that it
// does its work; else it is given up and the machine restarts into the system of
// before. A start that is no trial is never given up here, whatever it lacks: there is
// nothing to go back to but what was the same yesterday.
func healthy() error {
	m, err := thisMachine()
	if err != nil {
		return err
	}
	trial, failure, err := m.Trial()
	if err != nil {
		fmt.Printf("update: %v\n", err)
	}
	if failure != nil {
		fmt.Printf("update %s was rolled back: %s\n", failure.Release.Version, failure.Why)
		if err := tellRefused(daemonFolder, fmt.Errorf("update %s was rolled back: %s", failure.Release.Version, failure.Why)); err != nil {
			fmt.Printf("simtrapd is not told: %v\n", err)
		}
	}
	// What is on trial may be what cannot mount the data partition, where stands that it
	// is on trial: back to what could.
	if e, err := m.Running(); err == nil && !e.Good() && lostData() != "" {
		fmt.Printf("system %s cannot use the data partition and has not shown yet that it works: back to the one of before\n", m.Release.Version)
		switch err := m.GiveUp("it could not use the data partition"); {
		case err == nil:
			return restart()
		case !errors.Is(err, update.ErrAlone):
			fmt.Printf("it stays all the same: %v\n", err)
		}
	}
	limit := time.Minute
	if trial != nil {
		limit = trialFor
	}
	why := awaitWork(trial, time.Now().Add(limit))
	switch {
	case why == nil:
		if trial != nil {
			if why = selfTest(); why != nil {
				break
			}
		}
		if err := m.Confirm(); err != nil {
			fmt.Printf("this start is not counted as good: %v\n", err)
			return nil
		}
		if trial != nil {
			// What was refused before is of the past.
			if err := tellRefused(daemonFolder, nil); err != nil {
				fmt.Printf("simtrapd is not told: %v\n", err)
			}
		}
		fmt.Printf("system %s works, %s s after its start%s\n", m.Release.Version, uptime(), sawFirst())
		return nil
	case trial == nil:
		fmt.Printf("system %s: %v\n", m.Release.Version, why)
		return nil
	}
	fmt.Printf("update %s does not work: %v; back to %s\n", m.Release.Version, why, trial.From.Version)
	if err := m.GiveUp(why.Error()); err != nil {
		fmt.Printf("it stays all the same: %v\n", err)
		return nil
	}
	return restart()
}

// awaitWork waits until nothing is lacking, or gives what is.
func awaitWork(trial *update.Pending, deadline time.Time) error {
	for {
		why := work(trial != nil && trial.Reported)
		if why == nil || time.Now().After(deadline) || trial != nil && hopeless() {
			return why
		}
		time.Sleep(2 * time.Second)
	}
}

func work(reported bool) error {
	c, err := keptConfig()
	if err != nil {
		return err
	}
	s, err := askDaemon()
	if err != nil {
		return err
	}
	return judge(s, c.taps, reported)
}

// hopeless says that the service cannot start, however long one waits.
func hopeless() bool {
	state := onMachine("/usr/bin/systemctl", "show", "-p", "LoadState", "--value", "simtrapd.service")
	return strings.TrimSpace(state) != "loaded"
}

// selfTest has simtrapd judge a capture that the system brings along: a gateway of the
// lab, which must be found.
func selfTest() error {
	folder, err := os.MkdirTemp("/tmp", "selftest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "simtrapd.yaml")
	text := "ports: [{name: sample, files: [/usr/lib/simtrap/sample.pcap]}]\ncapture: file\nreplay: {speed: 0}\nstate: " + folder +
		"\nsocket: none\nmetrics: {listen: none}\nhub: {address: none}\nheaders: {keep: false}\nconfine: false\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	out, err := exec.Command("/usr/bin/simtrapd", "run", "-c", file).Output()
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if !strings.Contains(string(out), `"verdict":"case"`) {
		return errors.New("self-test: the gateway in the sample is not found")
	}
	return nil
}

// sawFirst says when the first frame came, in seconds after the kernel began; nothing
// where none has.
func sawFirst() string {
	s, err := askDaemon()
	now, failed := strconv.ParseFloat(uptime(), 64)
	if err != nil || failed != nil {
		return ""
	}
	var first time.Time
	for _, p := range s.Ports {
		if p.First != nil && (first.IsZero() || p.First.Before(first)) {
			first = *p.First
		}
	}
	if first.IsZero() {
		return ""
	}
	return fmt.Sprintf("; its first frame came %.1f s after it", now-time.Since(first).Seconds())
}

// uptime gives the seconds since the kernel began, as text.
func uptime() string {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "?"
	}
	seconds, _, _ := strings.Cut(string(text), " ")
	return seconds
}
