package sensor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"go.uber.org/zap"

	"simtrap/bpf"
	"simtrap/capture/afpacket"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/rtp"
	"simtrap/sensor/config"
	"simtrap/sensor/doctor"
)

// Taps attaches to network interfaces.
type Taps struct{}

// Open attaches to every port as the configuration says.
func (Taps) Open(_ context.Context, a Attach) (ports []Port, err error) {
	rules, err := a.Config.RealmRules()
	if err != nil {
		return nil, err
	}
	machine := doctor.Machine{}
	watch := newMonitor(a.Log, func() (bool, error) {
		c, err := machine.Clock()
		return c.Synchronised, err
	}, func(port string) (map[string]uint64, error) {
		counters, err := machine.Counters(port)
		return doctor.Queues(counters), err
	})
	var taps []*tap
	defer func() {
		if err != nil {
			for _, t := range taps {
				t.Close()
			}
			ports = nil
		}
	}()
	for i, p := range a.Config.Ports {
		t := &tap{name: p.Name, number: uint16(i + 1), log: a.Log, rights: a.Rights, watch: watch}
		w := way{config: a.Config, log: a.Log, port: p, number: uint16(i + 1), rules: rules}
		kernel, err := w.first(t)
		if err != nil {
			return nil, fmt.Errorf("port %s: %w", p.Name, err)
		}
		watch.enter()
		taps = append(taps, t)
		port := Port{Name: p.Name, Number: i + 1, Mode: t.now.mode, Direction: p.Direction, Source: t}
		if kernel {
			port.Source = kernelTap{t, w.realm()}
		}
		ports = append(ports, port)
		dropping, why := t.now.dropping()
		a.Log.Info("port attached", zap.String("port", p.Name), zap.String("mode", t.now.mode), zap.String("direction", string(p.Direction)),
			zap.Bool("frames dropped", dropping), zap.String("why", why))
		if p := a.Config.OnPort; p == config.OnPortDrop && !dropping {
			a.Log.Warn("on-port: drop is not followed: the machine would be cut off", zap.String("port", t.name), zap.String("why", why))
		}
	}
	watch.start(taps)
	return ports, nil
}

// way is how one port is attached.
type way struct {
	config *config.Config
	log    *zap.Logger
	port   config.Port
	number uint16
	rules  pipeline.Realms
}

// first opens the port for the first time, and says whether media is accounted in
// the kernel. What opens it later does so in the same way, since the engine does
// not expect a source to change that.
func (w *way) first(t *tap) (kernel bool, err error) {
	capture := w.config.Capture
	if capture != config.CaptureAFPacket {
		why := w.realmsInFrames()
		switch {
		case why != "" && capture != config.CaptureAuto:
			return false, fmt.Errorf("capture: %s: %s; set capture: af_packet, or give the port a realm", capture, why)
		case why != "":
			w.left("xdp, xdp-generic, tcx, clsact", why, "give the port a realm of its own, if all of it is in one")
		default:
			t.open = func() (opened, error) { return w.kernel(false) }
			t.now, err = w.kernel(true)
			if err == nil {
				return true, nil
			}
			if capture != config.CaptureAuto {
				return false, err
			}
		}
	}
	t.open = w.packets
	t.now, err = w.packets()
	return false, err
}

func (w *way) left(mode, reason, remedy string) {
	w.log.Warn("way of capture left", zap.String("port", w.port.Name), zap.String("mode", mode), zap.String("reason", reason), zap.String("remedy", remedy))
}

// modeOf gives the mode of package bpf for the word of the configuration.
func modeOf(c config.Capture) bpf.Mode {
	switch c {
	case config.CaptureXDP:
		return bpf.XDPNative
	case config.CaptureXDPGeneric:
		return bpf.XDPGeneric
	case config.CaptureTCX:
		return bpf.TCX
	case config.CaptureClsact:
		return bpf.ClsAct
	}
	return bpf.Auto
}

// word is the reverse of modeOf.
func word(m bpf.Mode) string {
	if m == bpf.XDPNative {
		return string(config.CaptureXDP)
	}
	return m.String()
}

// inTunnels says whether the kernel looks into tunnels.
func inTunnels(c *config.Config) bool {
	t := c.Tunnels
	return t.GTPU || t.VXLAN || t.GRE
}

// ends are those of tunnels that the kernel leaves alone. What comes out of one
// that a subscriber holds is his, whatever addresses stand inside (package
// pipeline), else whoever has a line could put calls in another's name; and one
// that leads to an address under never is dropped unread. Frames of both go up to
// where that is done.
func (w *way) ends() (all []netip.Prefix) {
	for _, list := range [][]config.Prefix{w.config.Home, w.config.Never} {
		for _, p := range list {
			all = append(all, netip.Prefix(p))
		}
	}
	return all
}

// programs says how the programs look at the port.
func (w *way) programs() bpf.Config {
	t := w.config.Tunnels
	return bpf.Config{
		Port: w.number, Mode: modeOf(w.config.Capture), Keep: w.config.OnPort == config.OnPortPass,
		GTP: t.GTPU, VXLAN: t.VXLAN, GRE: t.GRE, Homes: w.ends(),
		Types: rtp.DefaultTypes(), Flows: w.config.Limits.Flows, PerSource: uint32(w.config.Limits.FramesPerSource), Sample: sampled,
	}
}

// kernel attaches the programs. The first time it says why ways were left.
func (w *way) kernel(say bool) (opened, error) {
	if say && inTunnels(w.config) && len(w.config.Home) > 0 {
		w.log.Info("media in tunnels that subscribers hold is not accounted in the kernel; the operator's are looked into",
			zap.String("port", w.port.Name), zap.String("remedy", "capture: af_packet where boxes may hold tunnels"))
	}
	s, err := bpf.Open(w.port.Name, w.programs())
	if err != nil {
		if say && w.config.Capture == config.CaptureAuto {
			w.tell([]error{err})
		}
		return opened{}, err
	}
	if say {
		w.tell(s.Left())
	}
	return opened{source: s, mode: word(s.Mode()), seen: s.Seen, dropping: s.Dropping}, nil
}

// tell logs why ways were left, each once.
func (w *way) tell(errs []error) {
	for _, err := range errs {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			w.tell(many.Unwrap())
			continue
		}
		var missing *bpf.UnsupportedError
		if errors.As(err, &missing) {
			w.left(word(missing.Mode), missing.Missing, missing.Since)
			continue
		}
		if inner := errors.Unwrap(err); inner != nil {
			if many, ok := inner.(interface{ Unwrap() []error }); ok {
				w.tell(many.Unwrap())
				continue
			}
		}
		w.left("xdp, xdp-generic, tcx, clsact", err.Error(), "simtrapd doctor "+w.port.Name+" tells what is missing")
	}
}

// packets opens a packet socket.
func (w *way) packets() (opened, error) {
	all, err := afpacket.Open([]string{w.port.Name}, afpacket.Options{First: uint32(w.number), Port: w.number, Promiscuous: true})
	if err != nil {
		return opened{}, err
	}
	s := all[0]
	return opened{
		source: s, mode: string(config.CaptureAFPacket),
		seen: func() uint64 {
			n, _ := s.Counters()
			return n
		},
		dropping: func() (bool, string) { return false, "passed on: af_packet takes copies" },
		present:  func() bool { return s.Status().Present },
	}, nil
}

// realmsInFrames says why realms cannot be told of what the kernel accounts:
// its flows have no VLAN and no tunnel.
func (w *way) realmsInFrames() string {
	if w.port.Realm != "" {
		return ""
	}
	for _, r := range w.config.Realms {
		switch {
		case r.VLAN != "":
			return fmt.Sprintf("realm %s is told by VLAN, and flows in the kernel have none", r.Name)
		case netip.Prefix(r.Tunnel).IsValid() && inTunnels(w.config):
			return fmt.Sprintf("realm %s is told by tunnel, and flows in the kernel have none", r.Name)
		case !netip.Prefix(r.Tunnel).IsValid():
			return ""
		}
	}
	return ""
}

// realm is that of everything that the kernel accounts on the port.
func (w *way) realm() ident.Realm {
	c := pipeline.Config{Realms: w.rules}
	p := packet.Packet{TapPort: w.number}
	c.Locate(&p)
	return p.Realm
}
