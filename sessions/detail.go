package sessions

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"simtrap/ident"
)

// detailSource reads the detail files of FreeRADIUS: records set apart by
// blank lines, each a line with a date and then one attribute a line.
type detailSource struct {
	lines   *lines
	ready   []Event
	skipped uint64
}

// isDetail says whether a first line can begin such a file: a date as ctime
// writes it, such as "Mon Nov 23 10:00:00 2026".
func isDetail(line string) bool {
	_, err := time.Parse("Mon Jan _2 15:04:05 2006", strings.TrimSpace(line))
	return err == nil
}

// Skipped counts records that told of no session with an address.
func (d *detailSource) Skipped() uint64 { return d.skipped }

// maxAddresses is of one record: an address, and some prefixes.
const maxAddresses = 16

// accounting is what matters of one record or packet.
type accounting struct {
	status      string // Start, Interim-Update, Stop
	prefixes    []netip.Prefix
	user, mac   string
	session     string
	server      string // network access server
	event, seen int64  // time of the event, of its record
	delay       int64
}

func (d *detailSource) Next() (Event, error) {
	for len(d.ready) == 0 {
		a, err := d.record()
		if err != nil {
			return Event{}, err
		}
		if d.ready = a.events(d.ready); len(d.ready) == 0 {
			d.skipped++
		}
	}
	e := d.ready[0]
	d.ready = d.ready[1:]
	return e, nil
}

// record reads the lines of one record.
func (d *detailSource) record() (a accounting, err error) {
	begun := false
	for {
		line, err := d.lines.next()
		if err != nil {
			if begun && errors.Is(err, errEnd) {
				return a, nil
			}
			return a, err
		}
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" && begun:
			return a, nil
		case trimmed == "":
		case line[0] != ' ' && line[0] != '\t':
			if begun || !isDetail(line) {
				return a, d.lines.fault(errors.New("want the date that a detail record begins with, such as \"Mon Nov 23 10:00:00 2026\""))
			}
			begun = true
		case !begun:
			return a, d.lines.fault(errors.New("an attribute outside a record"))
		default:
			name, value, ok := strings.Cut(trimmed, "=")
			if !ok {
				return a, d.lines.fault(errors.New("want ATTRIBUTE = VALUE"))
			}
			name, _, _ = strings.Cut(strings.TrimRight(name, " \t:+"), ":") // a tag
			if err := a.set(name, unquote(strings.TrimSpace(value))); err != nil {
				return a, d.lines.fault(err)
			}
		}
	}
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

func (a *accounting) set(name, value string) (err error) {
	if len(value) > maxName {
		return fmt.Errorf("%s: a value of more than %d bytes", name, maxName)
	}
	seconds := func() (int64, error) {
		n, err := strconv.ParseUint(value, 10, 33)
		if err != nil {
			return 0, fmt.Errorf("%s %q: want a number of seconds", name, value)
		}
		return int64(n) * 1e9, nil
	}
	switch name {
	case "Acct-Status-Type":
		a.status = value
	case "Framed-IP-Address", "Framed-IPv6-Prefix", "Delegated-IPv6-Prefix", "Framed-IPv6-Address":
		if value == "0.0.0.0" || value == "255.255.255.254" || value == "255.255.255.255" {
			return nil // to be chosen yet (RFC 2865 section 5.8)
		}
		p, err := parsePrefix(value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		a.add(p)
	case "User-Name":
		a.user = value
	case "Calling-Station-Id":
		a.mac = value
	case "Acct-Session-Id":
		a.session = value
	case "NAS-IP-Address", "NAS-IPv6-Address", "NAS-Identifier":
		a.serve(value)
	case "Acct-Delay-Time":
		a.delay, err = seconds()
	case "Timestamp":
		a.seen, err = seconds()
	case "Event-Timestamp":
		if strings.Trim(value, "0123456789") == "" {
			a.event, err = seconds()
		} else if t, e := time.Parse("Jan _2 2006 15:04:05 MST", value); e == nil {
			// The letters of other zones name no offset for certain; Timestamp
			// tells the time then.
			if zone, _ := t.Zone(); zone == "UTC" || zone == "GMT" {
				a.event = t.UnixNano()
			}
		}
	}
	return err
}

// serve notes a name of the access server; a record has one or two.
func (a *accounting) serve(name string) {
	if len(a.server) < 3*maxName {
		a.server += name + "\x00"
	}
}

func (a *accounting) add(p netip.Prefix) {
	if len(a.prefixes) < maxAddresses {
		a.prefixes = append(a.prefixes, p)
	}
}

// events gives what one record says, nothing when it tells of no session.
func (a *accounting) events(out []Event) []Event {
	at := a.event
	if at == 0 {
		at = a.seen - a.delay
	}
	stop := false
	switch a.status {
	case "Start", "Interim-Update", "Alive":
	case "Stop":
		stop = true
	default:
		return out
	}
	if at <= 0 {
		return out
	}
	user := a.user
	if user == "" {
		user = a.mac
	}
	for _, p := range a.prefixes {
		// A session has its name from its server. A record without one is told
		// apart by its user, and without that too, each is a session of its own.
		name := a.session
		if name == "" && user == "" {
			name = strconv.FormatInt(at, 10)
		}
		out = append(out, Event{Time: at, Prefix: p, Stop: stop, Session: sessionOf(p, a.server, name, user), Subscriber: ident.NewSubscriber([]byte(user))})
	}
	return out
}
