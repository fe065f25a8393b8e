package sensor

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/evidence/ring"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/report"
)

// kept reads everything that a folder keeps of a line.
func kept(t *testing.T, folder, line string, key *ring.PrivateKey, each func(capture.Frame, []byte)) (frames int) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(folder, "state", headersFolder, "*.headers"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := ring.NewReader(f, key)
		if err != nil {
			t.Fatal(err)
		}
		if r.Head.Line != line {
			continue
		}
		for {
			f, data, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			frames++
			each(f, data)
		}
	}
	return frames
}

// A daemon that sees a gateway keeps the headers of its packets from when it is
// suspect, with true lengths, and nothing of what they carry: no number, no sound. With a
// key it cannot read them itself.
func TestHeadersAreKept(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	boxCapture(t, folder, 30*time.Minute)
	private, public, err := ring.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "headers.pub"), public, 0o644); err != nil {
		t.Fatal(err)
	}
	key, err := ring.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	clear := dialledIn(t, folder)
	out, log := reporting(t, folder, hubConfig+"headers: {key: headers.pub}\n")
	found := last(t, out)
	if len(found) == 0 {
		t.Fatalf("nothing was found\n%s", log)
	}
	for line := range found {
		var media, sip int
		var d packet.Decoder
		var p packet.Packet
		n := kept(t, folder, line, key, func(f capture.Frame, data []byte) {
			if d.Frame(f.Link, data, f.Wire, &p) != packet.Datagram {
				return
			}
			if strings.Contains(string(p.Payload), "SIP/2.0") {
				sip++
				for _, s := range clear {
					if strings.Contains(string(p.Payload), s) {
						t.Fatalf("%s is kept: %q", s, p.Payload)
					}
				}
				return
			}
			if len(p.Payload) > 16+4*15 {
				t.Fatalf("%d bytes of what a packet carries", len(p.Payload))
			}
			if len(p.Payload) == 12 && f.Wire > uint32(len(data)) {
				media++
			}
		})
		t.Logf("%s: %d frames, %d of media, %d with SIP", line, n, media, sip)
		if n == 0 || media == 0 || sip == 0 {
			t.Errorf("%s: %d frames, %d of media, %d with SIP", line, n, media, sip)
		}
	}
	list, err := filepath.Glob(filepath.Join(folder, "state", headersFolder, "*.headers"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "SIP/2.0") {
			t.Errorf("%s is not encrypted", name)
		}
	}
}

// dialledIn gives user parts of request lines of a capture, whatever their order.
func dialledIn(t *testing.T, folder string) (list []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, "box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	text := string(b)
	for {
		at := strings.Index(text, "INVITE sip:")
		if at < 0 {
			break
		}
		text = text[at+len("INVITE sip:"):]
		user, _, ok := strings.Cut(text[:min(len(text), 40)], "@")
		if ok && len(user) > 5 && !seen[user] {
			seen[user] = true
			list = append(list, user)
		}
	}
	if len(list) == 0 {
		t.Fatal("the capture has no numbers")
	}
	return list
}

// Which lines are followed goes by what findings say.
func TestHeadersFollowFindings(t *testing.T) {
	folder := t.TempDir()
	c := parsed(t, folder, hubConfig)
	h, err := openHeaders(c, report.Options{Names: ident.NewPseudonymizer(make([]byte, 32), "")}, func(int64) *ident.Pseudonymizer { return nil }, NewLogger(&safeBuffer{}, &c.Log).Logger)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	line := ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, 7})}
	s := h.sink(nothing{})
	for _, step := range []struct {
		verdict heuristics.Verdict
		follows bool
	}{{heuristics.None, false}, {heuristics.Watch, true}, {heuristics.Case, true}, {heuristics.None, false}} {
		if err := s.Finding(&heuristics.Finding{Line: line, Verdict: step.verdict}); err != nil {
			t.Fatal(err)
		}
		if h.ring.Wants(line) != step.follows {
			t.Errorf("at %v it is followed: %v", step.verdict, !step.follows)
		}
	}
	if x := (*headers)(nil); x.cutter() != nil || x.sink(s) != s || x.status(c) != nil || x.losses() != nil || x.close() != nil {
		t.Error("where nothing is kept something is")
	}
}

type nothing struct{}

func (nothing) Finding(*heuristics.Finding) error { return nil }

func TestHeadersNeedTheirKey(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "k"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"headers: {key: k}\n", "headers: {key: missing}\n"} {
		c := parsed(t, folder, hubConfig+text)
		if _, err := openHeaders(c, report.Options{Names: ident.NewPseudonymizer(make([]byte, 32), "")}, nil, NewLogger(&safeBuffer{}, &c.Log).Logger); err == nil || !strings.Contains(err.Error(), "headers.key") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if h, err := openHeaders(parsed(t, folder, hubConfig+"headers: {keep: false}\n"), report.Options{Names: ident.NewPseudonymizer(make([]byte, 32), "")}, nil, nil); h != nil || err != nil {
		t.Error(h, err)
	}
}
