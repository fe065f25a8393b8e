package timestamp_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/evidence/timestamp"
	"simtrap/evidence/timestamp/timestamptest"
)

var (
	now = time.Date(2026, 11, 23, 10, 0, 0, 123e6, time.UTC)
	sum = sha256.Sum256([]byte("signature"))
)

func service(t testing.TB) *timestamptest.Service {
	t.Helper()
	s, err := timestamptest.New(now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, h http.Handler) ([]byte, error) {
	t.Helper()
	web := httptest.NewServer(h)
	defer web.Close()
	c, err := timestamp.NewClient(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c.Stamp(context.Background(), sum)
}

func TestStamp(t *testing.T) {
	s := service(t)
	answer, err := ask(t, s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := timestamp.Verify(answer, sum, s.Roots())
	if err != nil {
		t.Fatal(err)
	}
	want := timestamp.Stamp{Time: now, Accuracy: 1500 * time.Millisecond, Serial: "4d", Policy: "1.2.3.4", Service: "CN=time of tests"}
	if *got != want {
		t.Errorf("%+v, want %+v", *got, want)
	}
	if _, err := timestamp.Verify(answer, sha256.Sum256(nil), nil); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("of another hash: %v", err)
	}
	if _, err := timestamp.Verify(answer, sum, service(t).Roots()); err == nil || !strings.Contains(err.Error(), "not certified by whom you trust") {
		t.Errorf("another root: %v", err)
	}
	if _, err := timestamp.Verify(append(answer, 0), sum, nil); err == nil {
		t.Error("something behind it is taken")
	}
	for n := range answer {
		if _, err := timestamp.Verify(answer[:n], sum, nil); err == nil {
			t.Fatalf("%d bytes of %d are taken", n, len(answer))
		}
	}
	// What is not signed (which certificates lie beside the service's) may
	// change; time, hash and service may not.
	for i := range answer {
		answer[i] ^= 1
		if got, err := timestamp.Verify(answer, sum, s.Roots()); err == nil && *got != want {
			t.Fatalf("byte %d changed: %+v", i, *got)
		}
		answer[i] ^= 1
	}
}

// A service that signs by RSA-PSS is known, with the salt that everybody takes alone, and
// no byte of its answer can be another.
func TestStampOfPSS(t *testing.T) {
	s, err := timestamptest.NewPSS(now)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := ask(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := timestamp.Verify(answer, sum, s.Roots()); err != nil || !got.Time.Equal(now) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, at := range []int{len(answer) - 1, len(answer) - 100} { // the signature is the last of it
		bad := slices.Clone(answer)
		bad[at] ^= 1
		if _, err := timestamp.Verify(bad, sum, s.Roots()); err == nil {
			t.Errorf("a signature with another byte %d holds", at)
		}
	}
	s.Salt = 20
	if _, err := ask(t, s); err == nil || !strings.Contains(err.Error(), "a salt of 20 bytes: want 32") {
		t.Errorf("with another salt: %v", err)
	}
}

func TestStampRefused(t *testing.T) {
	for why, set := range map[string]func(*timestamptest.Service){
		"its clock is not available":    func(s *timestamptest.Service) { s.Refuse = true },
		"something else":                func(s *timestamptest.Service) { s.OtherHash = true },
		"another question":              func(s *timestamptest.Service) { s.OtherNonce = true },
		"signature does not hold":       func(s *timestamptest.Service) { s.OtherKey = true },
		"not in the response":           func(s *timestamptest.Service) { s.NoCertificate = true },
		"does not say what it is of":    func(s *timestamptest.Service) { s.NoSigning = true },
		"was not valid at that time":    func(s *timestamptest.Service) { s.Time = now.Add(1000 * time.Hour) },
		"not one for time-stamps alone": nil,
		"the service answered 302":      nil,
		"no time-stamp response":        nil,
		"more than 65536":               nil,
	} {
		s := service(t)
		var h http.Handler = s
		switch {
		case set != nil:
			set(s)
		case why == "not one for time-stamps alone":
			plain, err := timestamptest.NewPlain(now)
			if err != nil {
				t.Fatal(err)
			}
			h = plain
		case why == "the service answered 302":
			h = http.RedirectHandler("http://192.0.2.1/", http.StatusFound)
		case why == "no time-stamp response":
			h = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
		default:
			h = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) })
		}
		if _, err := ask(t, h); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("want %q: %v", why, err)
		}
	}
	for _, address := range []string{"", "ftp://x/", "file:///etc/passwd", "https:///x", "tsa.example"} {
		if _, err := timestamp.NewClient(address); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}

// OpenSSL, which others check bundles with, makes answers that are read here, and
// reads the service of the tests.
func TestOpenSSL(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(tool, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("conf", []byte(`[req]
distinguished_name=dn
[dn]
[tsa]
default_tsa=one
[one]
serial=serial
signer_digest=sha256
default_policy=1.2.3.4.1
digests=sha256
accuracy=secs:1
ess_cert_id_alg=sha256
[leaf]
extendedKeyUsage=critical,timeStamping
`))
	put("serial", []byte("01"))
	put("data", []byte("signature"))
	for _, kind := range [][]string{{"rsa:2048"}, {"ec", "-pkeyopt", "ec_paramgen_curve:P-384"}} {
		run(append(append([]string{"req", "-x509", "-config", "conf", "-nodes", "-subj", "/CN=root", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-newkey"}, kind...), "-addext", "basicConstraints=critical,CA:TRUE")...)
		run(append([]string{"req", "-config", "conf", "-nodes", "-subj", "/CN=stamps", "-keyout", "leaf.key", "-out", "leaf.csr", "-newkey"}, kind...)...)
		run("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "conf", "-extensions", "leaf", "-out", "leaf.pem")
		run("ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "q")
		run("ts", "-reply", "-config", "conf", "-section", "one", "-queryfile", "q", "-signer", "leaf.pem", "-inkey", "leaf.key", "-out", "a")
		answer, err := os.ReadFile(filepath.Join(dir, "a"))
		if err != nil {
			t.Fatal(err)
		}
		ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(ca) {
			t.Fatal("no root")
		}
		got, err := timestamp.Verify(answer, sum, roots)
		if err != nil {
			t.Fatalf("%s: %v", kind[0], err)
		}
		if got.Service != "CN=stamps" || time.Since(got.Time).Abs() > time.Hour {
			t.Errorf("%s: %+v", kind[0], got)
		}
	}
	s, err := timestamptest.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := ask(t, s)
	if err != nil {
		t.Fatal(err)
	}
	put("ours", answer)
	put("root.pem", s.RootPEM())
	if out := run("ts", "-verify", "-data", "data", "-in", "ours", "-CAfile", "root.pem"); !strings.Contains(out, "Verification: OK") {
		t.Errorf("openssl: %s", out)
	}
}

func FuzzVerify(f *testing.F) {
	s := service(f)
	web := httptest.NewServer(s)
	f.Cleanup(web.Close)
	c, err := timestamp.NewClient(web.URL)
	if err != nil {
		f.Fatal(err)
	}
	answer, err := c.Stamp(context.Background(), sum)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add(answer[:len(answer)/2])
	f.Add([]byte{0x30, 0x80, 0, 0})
	roots := s.Roots()
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := timestamp.Verify(b, sum, roots); err == nil && !got.Time.Equal(now) {
			t.Errorf("another time: %+v", got)
		}
	})
}
