package pipeline

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"simtrap/ident"
	"simtrap/lab"
)

// sessionsFile writes a file for OpenSessions.
func sessionsFile(t *testing.T, name string, b []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// accountingCapture is a pcap file of raw IPv4 with Accounting-Requests in it.
func accountingCapture(requests ...[]byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint32(le.AppendUint32(b, 65535), 101)
	for _, r := range requests {
		at := binary.BigEndian.Uint32(r[len(r)-4:]) // the event's time, last
		n := 28 + len(r)
		ip := []byte{0x45, 0, byte(n >> 8), byte(n), 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
			0xc0, 0, 1813 >> 8, 1813 & 0xff, byte((n - 20) >> 8), byte(n - 20), 0, 0}
		b = le.AppendUint32(le.AppendUint32(b, at), 0)
		b = le.AppendUint32(le.AppendUint32(b, uint32(n)), uint32(n))
		b = append(append(b, ip...), r...)
	}
	return b
}

func accountingRequest(status byte, session, user string, addr [4]byte, at time.Time) []byte {
	b := make([]byte, 20)
	b[0] = 4
	add := func(kind byte, v []byte) { b = append(append(b, kind, byte(2+len(v))), v...) }
	add(40, []byte{0, 0, 0, status})
	add(44, []byte(session))
	add(1, []byte(user))
	add(8, addr[:])
	add(55, binary.BigEndian.AppendUint32(nil, uint32(at.Unix())))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// Two tenants of one address: what the first did stays with the first, and the
// same comes out however the feed is written and with any number of workers.
func TestSessionsInTheirTime(t *testing.T) {
	file, truth := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 30 * time.Minute})
	var box string
	for _, l := range truth.Lines {
		if l.Box() {
			box = l.Address
		}
	}
	a, ok := ident.ParseAddr([]byte(box))
	if !ok {
		t.Fatalf("no box among %d lines", len(truth.Lines))
	}
	begin, change := truth.Start.Add(-30*time.Minute).Truncate(time.Second), truth.Start.Add(15*time.Minute).Truncate(time.Second)
	end := truth.Start.Add(48 * time.Hour).Truncate(time.Second)
	csv := fmt.Sprintf("start,end,address,subscriber\n%d,%d,%s,first\n%d,%d,%s,second\n",
		begin.Unix(), change.Unix(), box, change.Unix(), end.Unix(), box)
	detail := fmt.Sprintf("Mon Nov 23 10:00:00 2026\n\tAcct-Status-Type = Start\n\tUser-Name = \"first\"\n\tAcct-Session-Id = \"1\"\n\tFramed-IP-Address = %s\n\tTimestamp = %d\n\n"+
		"Mon Nov 23 10:00:00 2026\n\tAcct-Status-Type = Start\n\tUser-Name = \"second\"\n\tAcct-Session-Id = \"2\"\n\tFramed-IP-Address = %s\n\tTimestamp = %d\n",
		box, begin.Unix(), box, change.Unix())
	four := a.Netip().As4()
	radius := accountingCapture(accountingRequest(1, "1", "first", four, begin), accountingRequest(1, "2", "second", four, change))

	run := func(name string, feed []byte, workers int) string {
		cfg := Config{Workers: workers}
		if feed != nil {
			var err error
			if cfg.Sessions, err = OpenSessions([]string{sessionsFile(t, name, feed)}); err != nil {
				t.Fatal(err)
			}
			defer cfg.Sessions.Close()
		}
		r, err := Run(t.Context(), opened(t, file), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Sessions.Err(); err != nil {
			t.Error(err)
		}
		return written(t, r)
	}
	alone := run("", nil, 2)
	if strings.Contains(alone, `"subscriber":`) {
		t.Error("a subscriber without a feed")
	}
	want := run("a.csv", []byte(csv), 1)
	if n := strings.Count(want, `"line":"`+box+`"`); n != 2 || strings.Count(want, `"subscriber":"~`) != 2 {
		t.Errorf("%d findings of the box's address:\n%s", n, want)
	}
	if strings.Contains(want, "first\"") || strings.Contains(want, "second\"") {
		t.Error("a subscriber's name is written in clear")
	}
	for name, feed := range map[string][]byte{"b.csv": []byte(csv), "detail": []byte(detail), "radius.pcap": radius} {
		if got := run(name, feed, 4); got != want {
			t.Errorf("%s gives other findings:\n%s\nwant\n%s", name, got, want)
		}
	}
	// Sessions that are over before the capture, or begin after it, or are
	// somebody else's, leave the evidence whole.
	far := fmt.Sprintf("start,end,address,subscriber\n1000,2000,%s,ancient\n%d,%d,203.0.113.250,other\n%d,,%s,later\n", box, begin.Unix(), end.Unix(), end.Unix(), box)
	if got := run("far.csv", []byte(far), 2); got != alone {
		t.Errorf("sessions of other times change the findings:\n%s\nwant\n%s", got, alone)
	}
}

// A feed that breaks off is an error beside the findings, and a run that ends
// before its feed leaves nothing behind.
func TestSessionsThatBreakOff(t *testing.T) {
	file, truth := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Minute})
	at := truth.Start.Add(-time.Hour).Truncate(time.Second)
	radius := accountingCapture(accountingRequest(1, "1", "first", [4]byte{203, 0, 113, 7}, at))
	feed, err := OpenSessions([]string{sessionsFile(t, "cut.pcap", radius[:len(radius)-3])})
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	r, err := Run(t.Context(), opened(t, file), Config{Sessions: feed})
	if err != nil || feed.Err() == nil {
		t.Errorf("run: %v, feed: %v", err, feed.Err())
	}
	found := false
	for _, l := range r.Losses {
		found = found || l.Stage == "sessions"
	}
	if !found {
		t.Errorf("no loss of the feed in %v", r.Losses)
	}
	var many [][]byte
	for i := range 20000 {
		many = append(many, accountingRequest(1, fmt.Sprint(i), "x", [4]byte{203, 0, byte(i >> 8), byte(i)}, truth.Start.Add(time.Duration(i)*time.Minute)))
	}
	feed, err = OpenSessions([]string{sessionsFile(t, "many.pcap", accountingCapture(many...))})
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	if _, err := Run(t.Context(), opened(t, file), Config{Sessions: feed}); err != nil || feed.Err() != nil {
		t.Errorf("run: %v, feed: %v", err, feed.Err())
	}
}
