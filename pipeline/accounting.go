package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/sessions"
)

// OpenSessions opens files that say who had which address when: CSV, detail
// files of FreeRADIUS, and captures with RADIUS accounting in them.
func OpenSessions(names []string) (*sessions.Feed, error) {
	if len(names) == 0 {
		return nil, nil
	}
	return sessions.Open(names, openAccounting)
}

// accounting reads RADIUS accounting out of a capture.
type accounting struct {
	name    string
	files   *capture.Files
	batch   *capture.Batch
	at      int // next frame of the batch
	decoder packet.Decoder
	defrag  *packet.Defrag
	packet  packet.Packet
	ready   []sessions.Event
	skipped uint64
}

func openAccounting(name string) (sessions.Source, error) {
	files, err := capture.Open([]string{name}, capture.Options{})
	if err != nil {
		return nil, err
	}
	return &accounting{name: name, files: files, defrag: packet.NewDefrag(packet.DefragConfig{})}, nil
}

// Skipped counts requests that told of no session with an address, or were
// broken.
func (a *accounting) Skipped() uint64 { return a.skipped }

func (a *accounting) Close() error {
	if a.batch != nil {
		a.batch.Release()
		a.batch = nil
	}
	return a.files.Close()
}

func (a *accounting) Next() (sessions.Event, error) {
	for len(a.ready) == 0 {
		if err := a.read(); err != nil {
			return sessions.Event{}, err
		}
	}
	e := a.ready[0]
	a.ready = a.ready[1:]
	return e, nil
}

// read takes one frame.
func (a *accounting) read() error {
	for a.batch == nil || a.at == len(a.batch.Frames) {
		if a.batch != nil {
			a.batch.Release()
			a.batch = nil
		}
		b, err := a.files.Next(context.Background())
		if err != nil {
			damages := a.files.Damages()
			closing := a.files.Close()
			switch {
			case !errors.Is(err, io.EOF):
				return fmt.Errorf("%s: %w", a.name, err)
			case len(damages) > 0:
				return &damages[0]
			case closing != nil:
				return closing
			}
			return io.EOF
		}
		a.batch, a.at = b, 0
	}
	f, p := &a.batch.Frames[a.at], &a.packet
	p.Time, p.Seq, p.Source = f.Time, a.batch.Seq+uint64(a.at), a.batch.Source
	kind := a.decoder.Frame(f.Link, a.batch.Data(a.at), f.Wire, p)
	a.at++
	for kind == packet.Fragment {
		data, ok := a.defrag.Add(p)
		if !ok {
			return nil
		}
		kind = a.decoder.Resume(data, p)
	}
	if kind != packet.Datagram || !sessions.IsAccounting(p.DstPort) {
		return nil
	}
	n := len(a.ready)
	a.ready, _ = sessions.AppendRADIUS(a.ready, p.Payload, p.Time)
	if len(a.ready) == n {
		a.skipped++
	}
	return nil
}

// tenancies plays what the feed says up to time t.
func (j *joiner) tenancies(t int64) {
	if j.feed == nil {
		return
	}
	for {
		e, ok := j.feed.Next(t)
		if !ok {
			return
		}
		realm, ok := j.realms.byName(e.Realm)
		if !ok {
			j.realmless++
			continue
		}
		prefix := e.Prefix
		// A line is no smaller than its prefix: an address of IPv6 stands for it.
		if line := j.homes.LineOf(ident.AddrFromNetip(prefix.Addr()), realm); line.Bits > 0 && prefix.Bits() > int(line.Bits) {
			prefix, _ = prefix.Addr().Prefix(int(line.Bits))
		}
		who := heuristics.Tenant{Subscriber: e.Subscriber, Session: e.Session}
		if e.Stop {
			j.lines.TenancyEnds(realm, prefix, e.Time, who)
		} else {
			j.lines.Tenancy(realm, prefix, e.Time, who)
		}
	}
}
