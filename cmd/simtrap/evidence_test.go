package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"simtrap/cmd/internal/command"
	"simtrap/cmd/internal/scripttest"
	"simtrap/evidence/bundle"
	"simtrap/evidence/timestamp/timestamptest"
	"simtrap/lab"
)

func TestEvidenceScript(t *testing.T) {
	if testing.Short() {
		t.Skip("replays a box many times")
	}
	service, err := timestamptest.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := timestamptest.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/{$}", service)
	web := httptest.NewServer(mux)
	defer web.Close()
	// The scripts run beside each other, and must be over before the service is.
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir: "testdata/evidence",
			Setup: func(env *testscript.Env) error {
				env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/config")
				env.Setenv("TSA", web.URL)
				return errors.Join(
					os.WriteFile(filepath.Join(env.WorkDir, "tsa.pem"), service.RootPEM(), 0o600),
					os.WriteFile(filepath.Join(env.WorkDir, "other.pem"), other.RootPEM(), 0o600))
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"capture": captureCommand, "lab": labCommand, "status": scripttest.Status, "lines": linesCommand, "narrow": scripttest.Narrow, "findings": findingsCommand,
				"spoil": spoilCommand, "samelength": sameLengthCommand,
			},
		})
	})
}

// spoilCommand copies a file with one byte changed: spoil FROM TO.
func spoilCommand(ts *testscript.TestScript, neg bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	b[len(b)/2] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// sameLengthCommand wants as many lines in two files.
func sameLengthCommand(ts *testscript.TestScript, neg bool, args []string) {
	a, b := strings.Count(ts.ReadFile(args[0]), "\n"), strings.Count(ts.ReadFile(args[1]), "\n")
	if a != b || a < 10 {
		ts.Fatalf("%d lines and %d", a, b)
	}
}

// secrets gives what a capture tells of people, of a gateway's keepers and of what
// was said: found by looking at its bytes, not by simtrap.
func secrets(t *testing.T, raw []byte, truth *lab.Truth) (identities, never map[string]bool) {
	t.Helper()
	identities, never = map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?i)\bsips?:([^@;>\s"]{4,40})@`).FindAllSubmatch(raw, -1) {
		identities[string(m[1])] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:Call-ID|i): *([^\r\n]{8,})`).FindAllSubmatch(raw, -1) {
		identities[string(m[1])] = true
	}
	for _, m := range regexp.MustCompile(`;(?:tag|branch)=([^;\r\n>]{8,})`).FindAllSubmatch(raw, -1) {
		identities[string(m[1])] = true
	}
	for _, l := range truth.Lines {
		for _, c := range l.Cards {
			for _, s := range []string{c.IMSI, c.IMEI, c.ICCID, c.MSISDN} {
				if s != "" {
					identities[s] = true
				}
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?:pass(?:word)?[:=]|(?:response|cnonce)=")([^;"\s]{6,})`).FindAllSubmatch(raw, -1) {
		never[string(m[1])] = true
	}
	// Of a thousand frames of voice, ten bytes from behind the header.
	n := 0
	for at := 24; at+16 < len(raw) && n < 1000; {
		size := int(raw[at+8]) | int(raw[at+9])<<8 | int(raw[at+10])<<16
		f := raw[at+16 : at+16+size]
		at += 16 + size
		if len(f) >= 14+28+12+20 && f[12] == 8 && f[23] == 17 && f[42] == 0x80 && len(f)-42 < 200 {
			p := f[42+12:]
			if s := string(p[4:14]); strings.Count(s, s[:1]) < 4 { // no silence
				never[s] = true
				n++
			}
		}
	}
	if len(identities) < 100 || len(never) < 100 || n < 50 {
		t.Fatalf("only %d identities, %d secrets, %d of voice were found", len(identities), len(never), n)
	}
	return identities, never
}

// Nothing of a bundle tells without an authority who called whom, and nothing
// of any what was said or what opens a gateway.
func TestEvidenceTellsNobody(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	path := func(name string) string { return filepath.Join(dir, name) }
	f, err := os.Create(path("box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	truth, err := lab.Make(f, lab.Options{Scenario: "goip-line", Seed: 3, Duration: 4 * time.Minute})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path("box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	identities, never := secrets(t, raw, truth)
	run := func(args ...string) string {
		t.Helper()
		status, out, errs := execute(t.Context(), nil, append([]string{"evidence"}, args...)...)
		if status != command.Done {
			t.Fatalf("%v: status %d: %s", args, status, errs)
		}
		return out + errs
	}
	run("keygen", path("key"))
	var line string
	for _, l := range truth.Lines {
		if l.Class == "gateway" {
			line = l.Address
		}
	}
	for _, authority := range []string{"", "warrant 9"} {
		args := []string{"make", "--line", line, "--key", path("key"), "--force", "-o", path("b")}
		if authority != "" {
			args = append(args, "--authority", authority)
		}
		said := run(append(args, path("box.pcap"))...)
		said += run("verify", path("b")) + run("show", path("b")) + run("report", path("b")) + run("report", "--lang", "zh", path("b"))
		all := []byte(said)
		b, err := os.ReadFile(path("b"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = bundle.Verify(bytes.NewReader(b), int64(len(b)), bundle.Options{Part: func(_ bundle.Entry, r io.Reader) error {
			part, err := io.ReadAll(r)
			all = append(all, part...)
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
		for s := range never {
			if bytes.Contains(all, []byte(s)) {
				t.Errorf("under %q: the bundle has %q", authority, s)
			}
		}
		found := 0
		for s := range identities {
			if bytes.Contains(all, []byte(s)) {
				if found++; authority == "" {
					t.Errorf("without an authority: the bundle has %q", s)
				}
			}
		}
		if authority != "" && found < 50 {
			t.Errorf("under an authority only %d of %d identities are there: the search sees nothing", found, len(identities))
		}
	}
}

// The key that keygen writes is for its owner alone.
func TestEvidenceKeyMode(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	if status, _, errs := execute(t.Context(), nil, "evidence", "keygen", name); status != command.Done {
		t.Fatal(errs)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := bundle.ParseKey(text); err != nil || len(k) != ed25519.PrivateKeySize {
		t.Error(err)
	}
}

// A report that unpacks to more than any report is refused before it is read.
func TestEvidenceReportBound(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	m := bundle.Manifest{Made: "2026-11-23T10:00:00Z", Chain: bundle.Chain{Number: 1}}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	_, err = bundle.Write(t.Context(), f, m, []bundle.Part{bundle.Bytes(partEnglish, make([]byte, maxReport+1))}, key, nil)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	status, out, errs := execute(t.Context(), nil, "evidence", "report", f.Name())
	if status != command.Failed || out != "" || !strings.Contains(errs, "more than 67108864") {
		t.Errorf("status %d, %d bytes: %s", status, len(out), errs)
	}
}

// More captures than a bundle names are refused before they are read.
func TestEvidenceInputs(t *testing.T) {
	dir := t.TempDir()
	head := []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x01\x00\x00\x00")
	for n := range bundle.MaxInputs + 1 {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("x", 1+n/100)+string(rune('a'+n%100/10))+string(rune('a'+n%10))+".pcap"), head, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	key := filepath.Join(t.TempDir(), "key")
	if status, _, errs := execute(t.Context(), nil, "evidence", "keygen", key); status != command.Done {
		t.Fatal(errs)
	}
	status, _, errs := execute(t.Context(), nil, "evidence", "make", "--line", "192.0.2.1", "--key", key, "-o", key+".b", dir)
	if status != command.Failed || !strings.Contains(errs, "1025 captures, more than the 1024 of a bundle") {
		t.Errorf("status %d: %s", status, errs)
	}
}
