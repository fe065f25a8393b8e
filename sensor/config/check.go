package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

const (
	// maxPorts bounds the tap ports: their numbers go into tables of the kernel.
	maxPorts = 64
	// maxInterface is the longest name of a network interface (IFNAMSIZ - 1).
	maxInterface = 15
	// maxSocket is the longest path of a Unix socket (sun_path).
	maxSocket = 107
)

// at gives the place of a key, or of what it lies in where it is not written.
func (c *Config) at(key string) Pos {
	for {
		if p, ok := c.positions[key]; ok {
			return p
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return Pos{1, 1}
		}
		key = key[:i]
	}
}

// check looks at what several keys say together.
func (c *Config) check(r *reader) {
	wrong := func(key, remedy, format string, args ...any) {
		r.wrong(c.at(key), key, remedy, format, args...)
	}
	c.checkPorts(wrong)
	c.checkRealms(wrong)
	c.checkPrefixes(wrong)
	switch h := &c.Headers; {
	case h.Limit == 0:
		wrong("headers.limit", "want a size such as 256MiB", "headers.limit: auto is none")
	case h.Line == 0:
		wrong("headers.per-line", "want a size such as 16MiB", "headers.per-line: auto is none")
	case h.Line > h.Limit:
		wrong("headers.per-line", "want at most headers.limit", "headers.per-line: %s, of %s in all", h.Line, h.Limit)
	}
	if c.Capture != CaptureFile {
		if _, written := c.positions["replay"]; written {
			wrong("replay", "leave it out, or set capture: file", "replay is for capture: file alone")
		}
	}
	if a, err := ListenAddress(c.Metrics.Listen); err == nil && !a.Addr().IsLoopback() && !c.Metrics.Anywhere {
		wrong("metrics.listen", "listen on 127.0.0.1, or set anywhere: true under metrics if that is meant",
			"metrics.listen: other machines reach %s", quote(c.Metrics.Listen))
	}
	if n := len(c.Path(c.Socket)); c.Socket != None && n > maxSocket {
		wrong("socket", fmt.Sprintf("want at most %d bytes", maxSocket), "socket: the path has %d bytes", n)
	}
	if c.Output != "-" && c.Output != None && strings.HasSuffix(c.Output, string(filepath.Separator)) {
		wrong("output", "name a file in it", "output: %s is a folder", quote(c.Output))
	}
}

type wrongFunc func(key, remedy, format string, args ...any)

func (c *Config) checkPorts(wrong wrongFunc) {
	_, written := c.positions["ports"]
	switch n := len(c.Ports); {
	case n == 0 && written:
		wrong("ports", "name at least one: ports: [{name: eth1}]", "ports is empty")
	case n == 0:
		wrong("ports", "name at least one: ports: [{name: eth1}]", "there are no ports")
	case n > maxPorts:
		wrong("ports", fmt.Sprintf("want at most %d", maxPorts), "%d ports", n)
	}
	seen := make(map[string]int)
	up, down, both := 0, 0, 0
	for i, p := range c.Ports {
		key := fmt.Sprintf("ports[%d]", i)
		name := key + ".name"
		switch _, written := c.positions[name]; {
		case p.Name == "" && !written:
			wrong(key, "add name: and the interface", "a port without a name")
		case p.Name == "":
		case c.Capture != CaptureFile && (len(p.Name) > maxInterface || strings.ContainsRune(p.Name, ':') || p.Name == "." || p.Name == ".."):
			wrong(name, fmt.Sprintf("want at most %d bytes and no colon, as ip link shows it", maxInterface), "%s: no interface is called %s", name, quote(p.Name))
		default:
			if before, twice := seen[p.Name]; twice {
				wrong(name, "leave one of them", "%s is ports[%d] already", quote(p.Name), before)
			}
			seen[p.Name] = i
		}
		switch {
		case c.Capture == CaptureFile && len(p.Files) == 0:
			wrong(key, "add files: and the captures that stand for it", "capture: file, and port %s has no files", quote(p.Name))
		case c.Capture != CaptureFile && len(p.Files) > 0:
			wrong(key+".files", "leave it out, or set capture: file", "files are for capture: file alone")
		}
		switch p.Direction {
		case DirectionUp:
			up++
		case DirectionDown:
			down++
		default:
			both++
		}
	}
	if both == 0 && (up == 0) != (down == 0) && c.at("ports") != (Pos{1, 1}) {
		missing := DirectionDown
		if up == 0 {
			missing = DirectionUp
		}
		wrong("ports", "add the port that shows the other direction, or say direction: both where there is one port",
			"no port shows the direction %s", missing)
	}
}

func (c *Config) checkRealms(wrong wrongFunc) {
	catchall := -1
	for i, r := range c.Realms {
		key := fmt.Sprintf("realms[%d]", i)
		if _, written := c.positions[key+".name"]; r.Name == "" && !written {
			wrong(key, "add name:", "a realm without a name")
		}
		if strings.ContainsAny(r.Name, "=") {
			wrong(key+".name", "leave = out", "realm %s", quote(r.Name))
		}
		tunnel := netip.Prefix(r.Tunnel).IsValid()
		if r.VLAN != "" && tunnel {
			wrong(key, "make two realms of the same name", "a realm with both vlan and tunnel")
		}
		if catchall >= 0 {
			wrong(key, fmt.Sprintf("move it before realms[%d]", catchall), "never reached: realms[%d] takes every packet", catchall)
		}
		if r.VLAN == "" && !tunnel && catchall < 0 && c.at(key+".vlan") == c.at(key) && c.at(key+".tunnel") == c.at(key) {
			catchall = i
		}
	}
}

func (c *Config) checkPrefixes(wrong wrongFunc) {
	for i, n := range c.Never {
		for _, h := range c.Home {
			n, h := netip.Prefix(n), netip.Prefix(h)
			if n.IsValid() && h.IsValid() && n.Overlaps(h) && n.Bits() <= h.Bits() {
				wrong(fmt.Sprintf("never[%d]", i), "take one of them out", "never: %s takes all of home %s away", n, h)
			}
		}
	}
	for i, s := range c.Shared {
		inside := len(c.Home) == 0
		for _, h := range c.Home {
			inside = inside || netip.Prefix(h).Overlaps(netip.Prefix(s))
		}
		if !inside && netip.Prefix(s).IsValid() {
			wrong(fmt.Sprintf("shared[%d]", i), "add it to home too, or take it out", "shared: %s lies outside home", s)
		}
	}
}

// Files tells which files and folders that the configuration names are not
// there, or are something else. name is the configuration's own.
func (c *Config) Files(name string) error {
	m := &Mistakes{File: name}
	look := func(key, path string, folder bool) {
		info, err := os.Stat(c.Path(path))
		x := Mistake{Pos: c.at(key), Key: key}
		switch {
		case err != nil:
			x.What, x.Remedy = fmt.Sprintf("%s: cannot use %s: %v", key, quote(path), reason(err)), "name a file that can be read; relative paths count from the configuration's folder"
		case !folder && info.IsDir():
			x.What, x.Remedy = fmt.Sprintf("%s: %s is a folder", key, quote(path)), "name a file in it"
		default:
			return
		}
		m.List = append(m.List, x)
	}
	for i, p := range c.Ports {
		for k, f := range p.Files {
			look(fmt.Sprintf("ports[%d].files[%d]", i, k), f, true)
		}
	}
	if c.Headers.Key != None {
		look("headers.key", c.Headers.Key, false)
	}
	for key, names := range map[string][]string{"sessions": c.Sessions, "places": c.Places, "geo": c.Geo} {
		for i, f := range names {
			look(fmt.Sprintf("%s[%d]", key, i), f, false)
		}
	}
	if len(m.List) == 0 {
		return nil
	}
	sortMistakes(m.List)
	return m
}

// reason leaves out what is said already.
func reason(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}
