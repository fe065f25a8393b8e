package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Config is the one file that an appliance is set up with.
type Config struct {
	Name   string    `yaml:"name"`   // of the machine: letters, digits and hyphens
	Uplink Uplink    `yaml:"uplink"` // the one port with an address
	Time   []string  `yaml:"time"`   // NTP servers
	PTP    *PTP      `yaml:"ptp"`    // what the uplink brings besides; nil for none
	Hub    Hub       `yaml:"hub"`
	Sensor yaml.Node `yaml:"sensor"` // simtrapd's configuration (docs/simtrapd.md)
	taps   []string
}

// Uplink is the way to the hub.
type Uplink struct {
	Port    string   `yaml:"port"`    // name of the interface
	Address string   `yaml:"address"` // with its prefix length, or dhcp
	Gateway string   `yaml:"gateway"`
	DNS     []string `yaml:"dns"`
}

// PTP is time that comes by the uplink, of IEEE 1588; the machine never gives it.
type PTP struct {
	Domain    uint8  `yaml:"domain"`
	Transport string `yaml:"transport"` // udp, which an empty one is, or l2
}

// In what PTP's messages come: UDP over IPv4, or frames.
const (
	overUDP = "udp"
	overL2  = "l2"
)

// Hub is where reports go.
type Hub struct {
	Address string `yaml:"address"` // host:port; empty for none
	Token   string `yaml:"token"`   // of simtrap-hub enroll; used once
}

// maxConfig is more than any configuration, in bytes.
const maxConfig = 1 << 20

const dhcp = "dhcp"

// parseConfig reads a configuration and says everything that is wrong with it. What
// simtrapd's part says is for `simtrapd check` to judge.
func parseConfig(text []byte) (*Config, error) {
	if len(text) > maxConfig {
		return nil, fmt.Errorf("it has %d bytes, of %d at most", len(text), maxConfig)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	var c Config
	if err := d.Decode(&c); err != nil {
		return nil, err
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if !regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`).MatchString(c.Name) {
		fault("name: %q must be 1 to 63 letters, digits and hyphens", c.Name)
	}
	if !isPort(c.Uplink.Port) {
		fault("uplink: port: %q is no name of an interface", c.Uplink.Port)
	}
	if c.Uplink.Address != dhcp {
		if _, err := netip.ParsePrefix(c.Uplink.Address); err != nil {
			fault("uplink: address: %q must be dhcp or an address with its prefix length, 192.0.2.7/24", c.Uplink.Address)
		}
	}
	if c.Uplink.Gateway != "" && !isAddress(c.Uplink.Gateway) {
		fault("uplink: gateway: %q is no address", c.Uplink.Gateway)
	}
	for _, s := range c.Uplink.DNS {
		if !isAddress(s) {
			fault("uplink: dns: %q is no address", s)
		}
	}
	for _, s := range c.Time {
		if !isHost(s) {
			fault("time: %q is no name or address of a server", s)
		}
	}
	if p := c.PTP; p != nil {
		if p.Domain > 127 {
			fault("ptp: domain: %d is above 127", p.Domain)
		}
		if p.Transport == "" {
			p.Transport = overUDP
		}
		if p.Transport != overUDP && p.Transport != overL2 {
			fault("ptp: transport: %q must be %s or %s", p.Transport, overUDP, overL2)
		}
	}
	if c.Hub.Address != "" {
		host, port, err := net.SplitHostPort(c.Hub.Address)
		if err != nil || !isHost(host) || !regexp.MustCompile(`^[1-9][0-9]{0,4}$`).MatchString(port) {
			fault("hub: address: %q must be host:port", c.Hub.Address)
		}
	} else if c.Hub.Token != "" {
		fault("hub: a token without an address")
	}
	faults = append(faults, c.readTaps()...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &c, nil
}

// readTaps takes the names of the tap ports out of simtrapd's part.
func (c *Config) readTaps() []error {
	if c.Sensor.IsZero() {
		return []error{errors.New("sensor: simtrapd's configuration is missing")}
	}
	var part struct {
		Ports []struct {
			Name string `yaml:"name"`
		} `yaml:"ports"`
	}
	if err := c.Sensor.Decode(&part); err != nil {
		return []error{fmt.Errorf("sensor: %w", err)}
	}
	var faults []error
	for _, p := range part.Ports {
		switch {
		case !isPort(p.Name):
			faults = append(faults, fmt.Errorf("sensor: ports: %q is no name of an interface", p.Name))
		case p.Name == c.Uplink.Port:
			faults = append(faults, fmt.Errorf("%s is the uplink and a tap port: a tap port has no address", p.Name))
		case slices.Contains(c.taps, p.Name):
			faults = append(faults, fmt.Errorf("sensor: ports: %s is there twice", p.Name))
		default:
			c.taps = append(c.taps, p.Name)
		}
	}
	if len(part.Ports) == 0 {
		faults = append(faults, errors.New("sensor: ports: no tap port"))
	}
	return faults
}

// isPort says whether the kernel takes a name for an interface; it is written into
// files of others, so nothing else passes.
func isPort(s string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$`).MatchString(s)
}

// isAddress takes no zone, which would be written into files of others as it is.
func isAddress(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

func isHost(s string) bool {
	return isAddress(s) || len(s) <= 253 && regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`).MatchString(s)
}

// plain has simtrapd take frames without programs in the kernel.
func (c *Config) plain() error {
	var sensor map[string]any
	if err := c.Sensor.Decode(&sensor); err != nil {
		return fmt.Errorf("sensor: %w", err)
	}
	sensor["capture"] = "af_packet"
	return c.Sensor.Encode(sensor)
}
