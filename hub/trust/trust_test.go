package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clock is one that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func made(t *testing.T, m Making) (*Trust, *clock, string) {
	t.Helper()
	c := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	folder := filepath.Join(t.TempDir(), "hub")
	if m.Names == nil {
		m.Names = []string{"hub.example", "127.0.0.1"}
	}
	m.Now = c.at
	if err := Init(folder, m); err != nil {
		t.Fatal(err)
	}
	h, err := Open(folder, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return h, c, folder
}

func signingRequest(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "somebody-else"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newECKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestInitReplacesNothing(t *testing.T) {
	_, c, folder := made(t, Making{})
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 10 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	again := Making{Names: []string{"hub"}, Now: c.at}
	if err := Init(folder, again); !errors.Is(err, ErrMade) {
		t.Errorf("a second init: %v", err)
	}
	// Any one file alone keeps all others from being made.
	for _, e := range entries {
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, e.Name()), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Init(other, again); !errors.Is(err, ErrMade) {
			t.Errorf("init beside %s: %v", e.Name(), err)
		}
		if left, _ := os.ReadDir(other); len(left) != 1 {
			t.Errorf("init beside %s left %v", e.Name(), left)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := map[string]struct {
		spoil func(folder string) error
		says  string
	}{
		"no hub":         {func(f string) error { return os.Remove(filepath.Join(f, hubFile)) }, "simtrap-hub init"},
		"open to others": {func(f string) error { return os.Chmod(filepath.Join(f, caKeyFile), 0o644) }, "chmod 600"},
		"another's key":  {func(f string) error { return os.Rename(filepath.Join(f, recordsFile), filepath.Join(f, caKeyFile)) }, "missing"},
		"a broken key":   {func(f string) error { return os.WriteFile(filepath.Join(f, hubFile), []byte("5e"), 0o600) }, "64 hexadecimal"},
		"a broken seed":  {func(f string) error { return os.WriteFile(filepath.Join(f, fleetFile), []byte("now 00"), 0o600) }, "a time and"},
		"key of no cert": {func(f string) error {
			_, k, _ := newSigner()
			return os.WriteFile(filepath.Join(f, caKeyFile), k, 0o600)
		}, "not that of its certificate"},
		"no certificate":  {func(f string) error { return os.WriteFile(filepath.Join(f, caCertFile), nil, 0o600) }, "no PEM block"},
		"names of no one": {func(f string) error { return os.WriteFile(filepath.Join(f, namesFile), []byte("a_b\n"), 0o600) }, "neither a host name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, c, folder := made(t, Making{})
			if err := test.spoil(folder); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(folder, c.now); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}

func TestIssue(t *testing.T) {
	h, c, _ := made(t, Making{})
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, key := range map[string]crypto.Signer{"P-256": newECKey(t, elliptic.P256()), "P-384": newECKey(t, elliptic.P384()), "Ed25519": ed} {
		issued, err := h.Issue(signingRequest(t, key), "sensor-7")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		leaf, err := x509.ParseCertificate(issued.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		root, _ := x509.ParseCertificate(h.Roots()[0])
		pool.AddCert(root)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: c.at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if leaf.Subject.CommonName != "sensor-7" || leaf.NotAfter != c.at.Add(30*day) || leaf.IsCA {
			t.Errorf("%s: %v until %v", name, leaf.Subject, leaf.NotAfter)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: c.at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
			t.Errorf("%s: a sensor's certificate serves a server", name)
		}
	}

	good := signingRequest(t, ed)
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, csr := range map[string][]byte{
		"empty": nil, "no DER": []byte("hello"), "large": make([]byte, MaxCSR+1), "cut": good[:len(good)/2],
		"forged": forged, "trailing": append(bytes.Clone(good), 0), "RSA": signingRequest(t, small), "P-521": signingRequest(t, newECKey(t, elliptic.P521())),
	} {
		if _, err := h.Issue(csr, "sensor-7"); !errors.Is(err, ErrCSR) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzIssue(f *testing.F) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, ed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte{0x30, 0x80})
	folder := f.TempDir()
	if err := Init(folder, Making{Names: []string{"hub"}, Now: time.Now()}); err != nil {
		f.Fatal(err)
	}
	h, err := Open(folder, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, csr []byte) {
		issued, err := h.Issue(csr, "sensor")
		if err != nil {
			return
		}
		leaf, err := x509.ParseCertificate(issued.Chain[0])
		if err != nil || leaf.Subject.CommonName != "sensor" || leaf.IsCA || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs) > 0 {
			t.Errorf("issued %v, %v", leaf, err)
		}
	})
}

// handshake gives what each side says of the other.
func handshake(h *Trust, client *tls.Config) (tls.ConnectionState, error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(a, h.ServerConfig())
	go func() {
		// A client of TLS 1.3 learns by reading what the hub made of its certificate.
		io.Copy(io.Discard, tls.Client(b, client))
	}()
	a.SetDeadline(time.Now().Add(10 * time.Second))
	err := server.Handshake()
	return server.ConnectionState(), err
}

func TestPeer(t *testing.T) {
	h, c, _ := made(t, Making{})
	other, _, _ := made(t, Making{})
	key := newECKey(t, elliptic.P256())
	client := func(chain [][]byte) *tls.Config {
		pool := x509.NewCertPool()
		root, _ := x509.ParseCertificate(h.Roots()[0])
		pool.AddCert(root)
		config := &tls.Config{RootCAs: pool, ServerName: "hub.example", Time: c.now}
		if chain != nil {
			// Whatever authorities the hub says it takes.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: chain, PrivateKey: key}, nil
			}
		}
		return config
	}
	issued := func(h *Trust) *Certificate {
		c, err := h.Issue(signingRequest(t, key), "sensor-7")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	selfMade := func() [][]byte {
		template := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "sensor-7"}, NotBefore: c.at, NotAfter: c.at.Add(day), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return [][]byte{der}
	}
	// What the operator's own authority issues to others is no sensor.
	colleague, err := h.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "Mr. Seven"}, NotBefore: c.at, NotAfter: c.at.Add(day), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	server, err := h.serverCertificate()
	if err != nil {
		t.Fatal(err)
	}

	good, goodKey := issued(h), key
	if s, err := handshake(h, client(nil)); err != nil {
		t.Error(err)
	} else if _, err := h.Peer(&s); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("no certificate: %v", err)
	}
	if s, err := handshake(h, client([][]byte{colleague.Raw})); err != nil {
		t.Error(err)
	} else if _, err := h.Peer(&s); !errors.Is(err, ErrForeign) {
		t.Errorf("another client of the same authority: %v", err)
	}
	if _, err := handshake(h, client(selfMade())); err == nil {
		t.Error("a self-made certificate is let in")
	}
	if _, err := handshake(h, client(issued(other).Chain)); err == nil {
		t.Error("another hub's certificate is let in")
	}
	key = server.PrivateKey.(*ecdsa.PrivateKey)
	if _, err := handshake(h, client(server.Certificate)); err == nil {
		t.Error("the hub's own certificate is let in as a client's")
	}
	old := client(nil)
	old.MaxVersion = tls.VersionTLS12
	if _, err := handshake(h, old); err == nil {
		t.Error("TLS 1.2 is let in")
	}
	key = goodKey
	if s, err := handshake(h, client(good.Chain)); err != nil {
		t.Error(err)
	} else if got, err := h.Peer(&s); err != nil || got != good.Identity || got.Sensor != "sensor-7" {
		t.Errorf("%v, %v", got, err)
	} else {
		c.at = c.at.Add(31 * day)
		if _, err := h.Peer(&s); !errors.Is(err, ErrExpired) {
			t.Errorf("a connection that outlived its certificate: %v", err)
		}
		if _, err := handshake(h, client(good.Chain)); err == nil {
			t.Error("an expired certificate is let in")
		}
	}
}

func TestServerCertificateIsRenewed(t *testing.T) {
	h, c, _ := made(t, Making{})
	first, err := h.serverCertificate()
	if err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(19 * day)
	if again, _ := h.serverCertificate(); again != first {
		t.Error("made anew after 19 days")
	}
	c.at = c.at.Add(2 * day)
	if again, _ := h.serverCertificate(); again == first {
		t.Error("not made anew after 21 days")
	}
	c.at = c.at.Add(authorityLife)
	if _, err := h.serverCertificate(); err == nil {
		t.Error("an authority that has ended still issues")
	}
}

func TestOperatorsOwnAuthority(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rootKey, issuerKey := newECKey(t, elliptic.P384()), newECKey(t, elliptic.P256())
	root := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "operator"}, NotBefore: at, NotAfter: at.Add(1000 * day), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "operator, simtrap"}, NotBefore: at, NotAfter: at.Add(10 * day), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	issuerDER, err := x509.CreateCertificate(rand.Reader, issuer, root, issuerKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	keyDER, _ := x509.MarshalPKCS8PrivateKey(issuerKey)
	chain := append(block("CERTIFICATE", issuerDER), block("CERTIFICATE", rootDER)...)

	h, _, _ := made(t, Making{CACert: chain, CAKey: block("PRIVATE KEY", keyDER)})
	got, err := h.Issue(signingRequest(t, newECKey(t, elliptic.P256())), "sensor-7")
	if err != nil || len(got.Chain) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	leaf, _ := x509.ParseCertificate(got.Chain[0])
	if leaf.NotAfter != at.Add(10*day) {
		t.Errorf("outlives its authority: %v", leaf.NotAfter)
	}
	if roots := h.Roots(); len(roots) != 1 || !bytes.Equal(roots[0], issuerDER) {
		t.Error("sensors would trust more than the issuing certificate")
	}

	otherDER, _ := x509.MarshalPKCS8PrivateKey(newECKey(t, elliptic.P256()))
	for name, m := range map[string]Making{
		"another key":     {CACert: chain, CAKey: block("PRIVATE KEY", otherDER)},
		"no key":          {CACert: chain},
		"encrypted key":   {CACert: chain, CAKey: block("ENCRYPTED PRIVATE KEY", keyDER)},
		"chain upside":    {CACert: append(block("CERTIFICATE", rootDER), block("CERTIFICATE", issuerDER)...), CAKey: block("PRIVATE KEY", keyDER)},
		"no authority":    {CACert: block("CERTIFICATE", got.Chain[0]), CAKey: block("PRIVATE KEY", keyDER)},
		"ended authority": {CACert: chain, CAKey: block("PRIVATE KEY", keyDER), Now: at.Add(20 * day)},
	} {
		m.Names = []string{"hub"}
		if m.Now.IsZero() {
			m.Now = at
		}
		if err := Init(filepath.Join(t.TempDir(), "hub"), m); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestFleetKeys(t *testing.T) {
	h, c, folder := made(t, Making{})
	start := c.at.Truncate(day)
	tests := []struct {
		after  time.Duration
		epochs []uint32
	}{
		{0, []uint32{1}},
		{304 * day, []uint32{1}},
		{305 * day, []uint32{1, 2}}, // given 30 days before the second begins
		{364 * day, []uint32{1, 2}},
		{365 * day, []uint32{2}},
		{10 * 335 * day, []uint32{10, 11}},
		{10*335*day + 31*day, []uint32{11}},
	}
	for _, test := range tests {
		c.at = start.Add(test.after)
		var got []uint32
		for i, k := range h.FleetKeys() {
			got = append(got, k.Epoch)
			if len(k.Key) != 32 || k.NotAfter.Sub(k.NotBefore) != 365*day || k.NotAfter.Before(c.at) {
				t.Errorf("after %v: key %+v", test.after, k)
			}
			if i > 0 && h.fleet.key(k.Epoch-1).NotAfter.Sub(k.NotBefore) != 30*day {
				t.Errorf("after %v: epochs %d and %d do not overlap by 30 days", test.after, k.Epoch-1, k.Epoch)
			}
		}
		if len(got) != len(test.epochs) || got[0] != test.epochs[0] || got[len(got)-1] != test.epochs[len(got)-1] {
			t.Errorf("after %v: epochs %v, want %v", test.after, got, test.epochs)
		}
	}
	// A hub beside this one, or started again, gives the same keys.
	again, err := Open(folder, c.now)
	if err != nil || !bytes.Equal(again.FleetKeys()[0].Key, h.FleetKeys()[0].Key) {
		t.Errorf("keys differ after a restart, %v", err)
	}
	if bytes.Equal(h.fleet.key(1).Key, h.fleet.key(2).Key) {
		t.Error("two epochs share a key")
	}
}

func TestTokens(t *testing.T) {
	h, _, _ := made(t, Making{})
	other, _, _ := made(t, Making{})
	text, hash := h.NewToken()
	if len(text) != len("st1-")+32+1+32 || !strings.HasPrefix(text, "st1-"+h.Fingerprint()+"-") {
		t.Errorf("token %q", text)
	}
	if got, err := h.TokenHash(text); err != nil || got != hash {
		t.Errorf("%x, %v; want %x", got, err, hash)
	}
	for _, bad := range []string{"", "st1", "st1-", text[:len(text)-2], text + "00", "st2" + text[3:], text + "-", strings.Replace(text, "-", "", 2), "st1-" + h.Fingerprint() + "-" + strings.Repeat("g", 32)} {
		if _, err := h.TokenHash(bad); err == nil {
			t.Errorf("%q is taken for a token", bad)
		}
	}
	foreign, _ := other.NewToken()
	if _, err := h.TokenHash(foreign); err == nil {
		t.Error("another hub's token is taken")
	}
}

func TestPacks(t *testing.T) {
	h, _, folder := made(t, Making{})
	other, _, _ := made(t, Making{})
	p, err := h.SignPack(3, []byte("tables"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.VerifyPack(p); err != nil {
		t.Error(err)
	}
	if err := other.VerifyPack(p); !errors.Is(err, ErrPackUnsigned) {
		t.Errorf("another hub's pack: %v", err)
	}
	p.Version = 4
	if err := h.VerifyPack(p); !errors.Is(err, ErrPackUnsigned) {
		t.Errorf("another version: %v", err)
	}
	p.Version, p.Content = 3, []byte("Tables")
	if err := h.VerifyPack(p); !errors.Is(err, ErrPackUnsigned) {
		t.Errorf("other content: %v", err)
	}
	p.Content, p.Signature = []byte("tables"), nil
	if err := h.VerifyPack(p); !errors.Is(err, ErrPackUnsigned) {
		t.Errorf("no signature: %v", err)
	}
	for _, n := range []int{0, MaxPack + 1} {
		if _, err := h.SignPack(1, make([]byte, n)); !errors.Is(err, ErrPackSize) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := h.SignPack(0, []byte("x")); err == nil {
		t.Error("version 0 is signed")
	}

	// The signing key may be kept elsewhere.
	text, err := os.ReadFile(filepath.Join(folder, catalogueFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, catalogueFile)); err != nil {
		t.Fatal(err)
	}
	public, err := Open(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := public.SignPack(5, []byte("x")); err == nil {
		t.Error("signed without a key")
	}
	key, err := ReadPackKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = SignPack(key, 5, []byte("x")); err != nil || public.VerifyPack(p) != nil {
		t.Errorf("signed elsewhere: %v, %v", err, public.VerifyPack(p))
	}
}

func TestRecords(t *testing.T) {
	h, _, _ := made(t, Making{})
	s, key, err := h.Sign([]byte("x"))
	if err != nil || len(key) != 16 || !h.Verify([]byte("x"), s) {
		t.Errorf("the signature of %q does not hold: %v", key, err)
	}
	if h.Verify([]byte("y"), s) {
		t.Error("the signature holds for something else")
	}
	if bytes.Equal(h.Derive("a"), h.Derive("b")) || bytes.Equal(h.Derive("a"), h.HubKey()) {
		t.Error("keys of different purposes are the same")
	}
}

func TestSensorName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "sensor-7.north": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "Sensor": false, "a b": false, "a/b": false, "-a": false, ".a": false, "a\x00": false, "ä": false, "a\n": false,
	} {
		if got := SensorName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func FuzzTokenHash(f *testing.F) {
	folder := f.TempDir()
	if err := Init(folder, Making{Names: []string{"hub"}, Now: time.Now()}); err != nil {
		f.Fatal(err)
	}
	h, err := Open(folder, nil)
	if err != nil {
		f.Fatal(err)
	}
	good, _ := h.NewToken()
	f.Add(good)
	f.Add("st1--")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := h.TokenHash(s); err == nil && len(s) != len(good) {
			t.Errorf("%q is taken for a token", s)
		}
	})
}

// A secret for packs that is kept apart from a backup is no part of what is made of
// it, and not lost when that comes to nothing.
func TestCopyBesideASecret(t *testing.T) {
	_, _, from := made(t, Making{})
	secret, err := os.ReadFile(filepath.Join(from, catalogueFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(from, catalogueFile)); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := os.WriteFile(filepath.Join(to, catalogueFile), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Copy(from, to); !errors.Is(err, ErrMade) {
		t.Errorf("copied into a folder that has a hub's file: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(to, catalogueFile)); err != nil || !bytes.Equal(b, secret) {
		t.Errorf("the secret: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "hub")
	if err := Copy(from, empty); err != nil {
		t.Fatal(err)
	}
	if err := Unmake(empty); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(empty, "*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
