package seal

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"simtrap/firmware/seal/sealtest"
)

func mustSeal(t *testing.T, tpm transport.TPM, secret []byte) []byte {
	t.Helper()
	sealed, err := Seal(tpm, secret)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// What is sealed comes back from the TPM that sealed it, after a restart too, and from no
// other, nor from that one when it was cleared or Secure Boot has changed.
func TestSeal(t *testing.T) {
	tpm := sealtest.New(t)
	secret := bytes.Repeat([]byte("0123456789abcdef"), 4)
	sealed := mustSeal(t, tpm.Transport(), secret)
	if bytes.Contains(sealed, secret[:16]) {
		t.Error("what is sealed has the secret in it")
	}
	// More often than a TPM has room for what is not taken away again.
	for range 5 {
		if got, err := Open(tpm.Transport(), sealed); err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	tpm.Restart()
	if got, err := Open(tpm.Transport(), sealed); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("after a restart: %q, %v", got, err)
	}
	other := sealtest.New(t)
	if got, err := Open(other.Transport(), sealed); err == nil || !strings.Contains(err.Error(), "another TPM") {
		t.Errorf("another TPM: %q, %v", got, err)
	}
	digest := sha256.Sum256([]byte("Secure Boot is off"))
	extend := func(pcr tpm2.TPMHandle) {
		t.Helper()
		_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: pcr, Auth: tpm2.PasswordAuth(nil)},
			Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}}}.Execute(tpm.Transport())
		if err != nil {
			t.Fatal(err)
		}
	}
	extend(4) // another system was started, by the same keys
	if _, err := Open(tpm.Transport(), sealed); err != nil {
		t.Errorf("an update: %v", err)
	}
	extend(secureBoot)
	if got, err := Open(tpm.Transport(), sealed); err == nil || !strings.Contains(err.Error(), "Secure Boot") {
		t.Errorf("other keys: %q, %v", got, err)
	}
	tpm.Restart()
	if _, err := Open(tpm.Transport(), sealed); err != nil {
		t.Errorf("as before: %v", err)
	}
	_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}.Execute(tpm.Transport())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(tpm.Transport(), sealed); err == nil || !strings.Contains(err.Error(), "cleared") {
		t.Errorf("cleared: %q, %v", got, err)
	}
}

// Nobody gets round the registers by a word, the empty one included, which the TPM would
// take where it is let.
func TestPolicyAlone(t *testing.T) {
	tpm := sealtest.New(t).Transport()
	public, private, err := parts(mustSeal(t, tpm, []byte("secret")))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPrimary(tpm)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tpm2.Load{ParentHandle: p.handle(), InPublic: *public, InPrivate: *private}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	for name, auth := range map[string]tpm2.Session{
		"no password": tpm2.PasswordAuth(nil), "no word": tpm2.HMAC(tpm2.TPMAlgSHA256, 16), "a policy of nothing": tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(transport.TPM, tpm2.TPMISHPolicy, tpm2.TPM2BNonce) error { return nil }),
	} {
		if got, err := (tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: auth}}).Execute(tpm); err == nil {
			t.Errorf("%s: %q", name, got.OutData.Buffer)
		}
	}
}

// Nothing on the wires between processor and TPM has the secret in it.
func TestSniffed(t *testing.T) {
	tap := &tapped{TPM: sealtest.New(t).Transport()}
	secret := bytes.Repeat([]byte("0123456789abcdef"), 4)
	if _, err := Open(tap, mustSeal(t, tap, secret)); err != nil {
		t.Fatal(err)
	}
	if tap.seen.Len() < 1000 || bytes.Contains(tap.seen.Bytes(), secret[:16]) {
		t.Errorf("the secret was seen in %d bytes", tap.seen.Len())
	}
}

type tapped struct {
	transport.TPM
	seen bytes.Buffer
}

func (t *tapped) Send(b []byte) ([]byte, error) {
	t.seen.Write(b)
	answer, err := t.TPM.Send(b)
	t.seen.Write(answer)
	return answer, err
}

// What stands on a disk may be anything.
func TestDamaged(t *testing.T) {
	tpm := sealtest.New(t).Transport()
	sealed := mustSeal(t, tpm, []byte("secret"))
	for i := range sealed {
		cut := sealed[:i]
		if got, err := Open(tpm, cut); err == nil {
			t.Errorf("cut off after %d: %q", i, got)
		}
		if i%7 != 0 {
			continue // a TPM takes its time
		}
		turned := bytes.Clone(sealed)
		turned[i] ^= 0x40
		if got, err := Open(tpm, turned); err == nil {
			t.Errorf("byte %d turned: %q", i, got)
		}
	}
}

func TestFrame(t *testing.T) {
	b, err := Frame([]byte("sealed"), 512)
	if err != nil || len(b) != 512 {
		t.Fatal(len(b), err)
	}
	if got, ok := Unframe(b); !ok || string(got) != "sealed" {
		t.Errorf("%q, %v", got, ok)
	}
	end := len(magic) + 2 + len("sealed") + sha256.Size
	for i := range end {
		turned := bytes.Clone(b)
		turned[i] ^= 1
		if got, ok := Unframe(turned); ok {
			t.Errorf("byte %d turned: %q", i, got)
		}
		if got, ok := Unframe(b[:i]); ok {
			t.Errorf("cut off after %d: %q", i, got)
		}
	}
	if _, err := Frame(make([]byte, 500), 512); err == nil {
		t.Error("500 bytes and more fit into 512")
	}
}

func TestBox(t *testing.T) {
	tpm := sealtest.New(t).Transport()
	text := []byte("name: north-1")
	box, err := Box(tpm, text)
	if err != nil || bytes.Contains(box, text) {
		t.Fatalf("%q, %v", box, err)
	}
	if got, err := Unbox(tpm, box); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%q, %v", got, err)
	}
	box[len(box)-1] ^= 1
	if got, err := Unbox(tpm, box); err == nil {
		t.Errorf("a box that was changed: %q", got)
	}
	if got, err := Unbox(tpm, text); err == nil {
		t.Errorf("no box: %q", got)
	}
}

// What a disk may have never makes it panic before the TPM is asked.
func FuzzUnframe(f *testing.F) {
	b, err := Frame([]byte("sealed"), 128)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\x00\x02ab\x00\x01c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if sealed, ok := Unframe(b); ok {
			b = sealed
		}
		if public, private, err := parts(b); err == nil && (public == nil || private == nil) {
			t.Error("parts without an error, and without parts")
		}
	})
}
