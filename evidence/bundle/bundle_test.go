package bundle

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"simtrap/evidence/timestamp/timestamptest"
)

var (
	made   = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	first  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	second = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
)

func manifest() Manifest {
	sum := sha256.Sum256([]byte("{}"))
	return Manifest{
		Made: made.Format(time.RFC3339Nano), Case: "案 7", Lines: []string{"203.0.113.7"},
		Program: Program{Name: "simtrap", Version: "1.2"}, Catalogue: Catalogue{3, strings.Repeat("ab", 32)},
		Configuration: hex.EncodeToString(sum[:]), Clock: Clock{Capture: "unknown", Making: "unknown"},
		Inputs: []Input{{"a.pcap", 7, strings.Repeat("cd", 32)}}, Chain: Chain{Number: 1},
	}
}

func parts() []Part {
	return []Part{
		Bytes("configuration.json", []byte("{}")), Bytes("findings.jsonl", []byte("{\"line\":\"203.0.113.7\"}\n")),
		Bytes("captures/203.0.113.7.pcapng", bytes.Repeat([]byte("header "), 100)), Bytes("empty", nil),
	}
}

func pack(t testing.TB, m Manifest, p []Part, key ed25519.PrivateKey, stamp Stamper) []byte {
	t.Helper()
	var b bytes.Buffer
	sum, err := Write(context.Background(), &b, m, p, key, stamp)
	if err != nil {
		t.Fatal(err)
	}
	if sum != sha256.Sum256(b.Bytes()) {
		t.Fatal("not the hash of the file")
	}
	return b.Bytes()
}

func check(b []byte, o Options) (*Verified, error) {
	return Verify(bytes.NewReader(b), int64(len(b)), o)
}

// names says whether err is a fault that names something.
func names(err error) (where string, ok bool) {
	f, ok := errors.AsType[*Fault](err)
	if !ok || f.Where == "" || f.What == "" {
		return "", false
	}
	return f.Where, true
}

func stamper(t testing.TB) (Stamper, *timestamptest.Service) {
	t.Helper()
	s, err := timestamptest.New(made)
	if err != nil {
		t.Fatal(err)
	}
	return func(_ context.Context, sum [32]byte) ([]byte, error) {
		q, err := asn1.Marshal(struct {
			Version int
			Imprint struct {
				Algorithm struct{ OID asn1.ObjectIdentifier }
				Hash      []byte
			}
			Nonce *big.Int
		}{1, struct {
			Algorithm struct{ OID asn1.ObjectIdentifier }
			Hash      []byte
		}{struct{ OID asn1.ObjectIdentifier }{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}, sum[:]}, big.NewInt(5)})
		if err != nil {
			return nil, err
		}
		return s.Answer(q)
	}, s
}

func TestBundle(t *testing.T) {
	b := pack(t, manifest(), parts(), first, nil)
	if !bytes.Equal(b, pack(t, manifest(), parts(), first, nil)) {
		t.Error("the same parts give other bytes")
	}
	got := map[string]string{}
	v, err := check(b, Options{Signer: first.Public().(ed25519.PublicKey), Part: func(e Entry, r io.Reader) error {
		if e.Name == "captures/203.0.113.7.pcapng" {
			return nil // what nobody reads is checked all the same
		}
		data, err := io.ReadAll(r)
		got[e.Name] = string(data)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"configuration.json": "{}", "findings.jsonl": "{\"line\":\"203.0.113.7\"}\n", "empty": ""}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !v.SignerKnown || v.PreviousKnown || v.Stamp != nil || v.File != sha256.Sum256(b) || v.Manifest.Case != "案 7" || len(v.Manifest.Parts) != 4 {
		t.Errorf("%+v", v)
	}
	if v, err := check(b, Options{}); err != nil || v.SignerKnown {
		t.Errorf("without a key: %+v, %v", v, err)
	}
}

func TestStamped(t *testing.T) {
	stamp, service := stamper(t)
	b := pack(t, manifest(), parts(), first, stamp)
	v, err := check(b, Options{Roots: service.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	if v.Stamp == nil || !v.Stamp.Time.Equal(made) || !v.StampTrusted {
		t.Errorf("%+v", v.Stamp)
	}
	if v, err := check(b, Options{}); err != nil || v.StampTrusted {
		t.Errorf("without roots: %+v, %v", v, err)
	}
	_, other := stamper(t)
	if where, ok := names(fail(check(b, Options{Roots: other.Roots()}))); !ok || where != StampName {
		t.Errorf("another root: %q", where)
	}
	// A stamp of another bundle.
	foreign := func(ctx context.Context, sum [32]byte) ([]byte, error) { return stamp(ctx, sha256.Sum256(nil)) }
	if where, ok := names(fail(check(pack(t, manifest(), parts(), first, foreign), Options{}))); !ok || where != StampName {
		t.Errorf("another's stamp: %q", where)
	}
}

func fail(_ *Verified, err error) error { return err }

// Every bit of every byte: any change is named, and none passes, with a key and
// without one.
func TestEveryByte(t *testing.T) {
	stamp, _ := stamper(t)
	signer := first.Public().(ed25519.PublicKey)
	for _, st := range []Stamper{nil, stamp} {
		b := pack(t, manifest(), parts(), first, st)
		where := map[string]int{}
		for i := range b {
			for flip, o := range map[byte]Options{1 << (i % 8): {}, 0xff: {Signer: signer}} {
				b[i] ^= flip
				v, err := check(b, o)
				name, ok := names(err)
				if v != nil || !ok {
					t.Fatalf("byte %d ^ %#x of %d passes: %v", i, flip, len(b), err)
				}
				where[name]++
				b[i] ^= flip
			}
		}
		t.Log(len(b), "bytes:", where)
		if len(where) < 7 {
			t.Errorf("only %v are named", where)
		}
		for n := range b {
			if _, err := check(b[:n], Options{}); err == nil {
				t.Fatalf("%d bytes of %d pass", n, len(b))
			} else if _, ok := names(err); !ok {
				t.Fatalf("%d bytes of %d: %v", n, len(b), err)
			}
		}
		if _, err := check(append(slices.Clone(b), 0), Options{}); err == nil {
			t.Error("a byte behind it passes")
		}
	}
}

// file is one file of a tar.
type file struct {
	name string
	data []byte
}

// unpack gives the files of a bundle without looking at what they say.
func unpack(t testing.TB, b []byte) (files []file) {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for {
		name, size, end, err := readHeader(z)
		if err != nil {
			t.Fatal(err)
		}
		if end {
			return files
		}
		data := make([]byte, size+padding(size))
		if _, err := io.ReadFull(z, data); err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name, data[:size]})
	}
}

// repack writes files as a bundle whose seal is good: as far as whoever has a
// key can go.
func repack(t testing.TB, files []file, key ed25519.PrivateKey) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		h := header(f.name, int64(len(f.data)))
		z.Write(h[:])
		z.Write(f.data)
		z.Write(make([]byte, padding(int64(len(f.data)))))
	}
	z.Write(make([]byte, 2*block))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return seal(b.Bytes(), key)
}

func seal(b []byte, key ed25519.PrivateKey) []byte {
	sum := sha256.Sum256(b)
	return append(append(slices.Clone(b), sealHead()...), ed25519.Sign(key, sealed(sum[:]))...)
}

// signed gives files with a manifest that change made, signed anew.
func signed(t testing.TB, files []file, key ed25519.PrivateKey, change func(string) string) []file {
	t.Helper()
	files = slices.Clone(files)
	files[0].data = []byte(change(string(files[0].data)))
	files[1].data = ed25519.Sign(key, files[0].data)
	return files
}

func TestChanged(t *testing.T) {
	files := unpack(t, pack(t, manifest(), parts(), first, nil))
	if _, err := check(repack(t, files, first), Options{}); err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("no %q in %s", old, s)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	swap := func(i, j int) []file {
		f := slices.Clone(files)
		f[i], f[j] = f[j], f[i]
		return f
	}
	other := slices.Clone(files)
	other[3] = file{other[3].name, bytes.Replace(other[3].data, []byte("203.0"), []byte("204.0"), 1)}
	longer := slices.Clone(files)
	longer[5] = file{longer[5].name, []byte("x")}
	for name, c := range map[string]struct {
		bundle []byte
		where  string
	}{
		"no manifest":        {repack(t, files[1:], first), ManifestName},
		"no signature":       {repack(t, slices.Delete(slices.Clone(files), 1, 2), first), SignatureName},
		"a part missing":     {repack(t, slices.Delete(slices.Clone(files), 3, 4), first), "findings.jsonl"},
		"the last missing":   {repack(t, files[:5], first), "empty"},
		"nothing but two":    {repack(t, files[:2], first), "configuration.json"},
		"a part added":       {repack(t, append(slices.Clone(files), file{"more", nil}), first), "more"},
		"one added between":  {repack(t, slices.Insert(slices.Clone(files), 3, file{"more", nil}), first), "findings.jsonl"},
		"one twice":          {repack(t, append(slices.Clone(files), files[5]), first), "empty"},
		"reordered":          {repack(t, swap(2, 3), first), "configuration.json"},
		"another content":    {repack(t, other, first), "findings.jsonl"},
		"another length":     {repack(t, longer, first), "empty"},
		"a manifest changed": {repack(t, append([]file{{ManifestName, []byte(replace("203.0", "204.0")(string(files[0].data)))}}, files[1:]...), first), SignatureName},
		"a stamp added":      {repack(t, slices.Insert(slices.Clone(files), 2, file{StampName, []byte("x")}), first), "configuration.json"},
		"a stamp missing":    {repack(t, signed(t, files, first, replace(`"time_stamp":false`, `"time_stamp":true`)), first), StampName},
		"a false stamp":      {repack(t, slices.Insert(signed(t, files, first, replace(`"time_stamp":false`, `"time_stamp":true`)), 2, file{StampName, []byte("x")}), first), StampName},
		"another's seal":     {repack(t, files, second), "seal"},
		"a blank":            {repack(t, signed(t, files, first, replace(`{"`, `{ "`)), first), ManifestName},
		"a key twice":        {repack(t, signed(t, files, first, replace(`"case":`, `"case":"x","case":`)), first), ManifestName},
		"a key more":         {repack(t, signed(t, files, first, replace(`"case":`, `"aaa":1,"case":`)), first), ManifestName},
		"a key less":         {repack(t, signed(t, files, first, replace(`"case":"案 7",`, ``)), first), ManifestName},
		"two texts":          {repack(t, signed(t, files, first, func(s string) string { return s + "{}" }), first), ManifestName},
		"another format":     {repack(t, signed(t, files, first, replace("simtrap-evidence/1", "simtrap-evidence/2")), first), ManifestName},
		"a way up":           {repack(t, signed(t, files, first, replace("captures/203.0.113.7.pcapng", "../../../../../../etc/passwd")), first), ManifestName},
		"a name twice":       {repack(t, signed(t, files, first, replace("findings.jsonl", "empty")), first), ManifestName},
		"a size of none":     {repack(t, signed(t, files, first, replace(`"bytes":700`, `"bytes":-1`)), first), ManifestName},
		"a size too large":   {repack(t, signed(t, files, first, replace(`"bytes":700`, `"bytes":9007199254740991`)), first), ManifestName},
		"a broken number":    {repack(t, signed(t, files, first, replace(`"bytes":700`, `"bytes":7e2`)), first), ManifestName},
		"no configuration":   {repack(t, signed(t, files, first, replace(`"configuration_sha256":"44`, `"configuration_sha256":"45`)), first), ManifestName},
		"a chain of nobody":  {repack(t, signed(t, files, first, replace(`"number":1`, `"number":2`)), first), ManifestName},
	} {
		_, err := check(c.bundle, Options{})
		if where, ok := names(err); !ok || where != c.where {
			t.Errorf("%s: %v; want %s named", name, err, c.where)
		}
	}
	// Something hidden where readers of zstd do not look, or behind the end.
	plain := pack(t, manifest(), parts(), first, nil)
	body := plain[:len(plain)-sealSize]
	hidden := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'h', 'i', 'd', 'e'}, body...)
	if where, ok := names(fail(check(append(hidden, plain[len(body):]...), Options{}))); !ok || where != "seal" {
		t.Errorf("hidden: %q", where)
	}
	var more bytes.Buffer
	z, _ := zstd.NewWriter(&more)
	z.Write([]byte("more"))
	z.Close()
	if where, ok := names(fail(check(seal(append(slices.Clone(body), more.Bytes()...), first), Options{}))); !ok || where != "end" {
		t.Errorf("more behind the end: %q", where)
	}
}

func TestSignerAndChain(t *testing.T) {
	one := pack(t, manifest(), parts(), first, nil)
	if where, _ := names(fail(check(one, Options{Signer: second.Public().(ed25519.PublicKey)}))); where != "signer" {
		t.Errorf("another key: %q", where)
	}
	sum := sha256.Sum256(one)
	m := manifest()
	m.Chain = Chain{2, hex.EncodeToString(sum[:])}
	two := pack(t, m, parts(), first, nil)
	if v, err := check(two, Options{Previous: &sum}); err != nil || !v.PreviousKnown {
		t.Errorf("chain: %+v, %v", v, err)
	}
	if _, err := check(two, Options{Previous: &sum, PreviousNumber: 1}); err != nil {
		t.Error(err)
	}
	if where, _ := names(fail(check(two, Options{Previous: &sum, PreviousNumber: 2}))); where != "chain" {
		t.Errorf("a number left out: %q", where)
	}
	other := sha256.Sum256(two)
	for _, b := range [][]byte{one, two} {
		if where, _ := names(fail(check(b, Options{Previous: &other}))); where != "chain" {
			t.Errorf("another before it: %q", where)
		}
	}
}

// A small file that unpacks to a large one costs no more than it may hold.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 1<<20)
	bomb := func(size int64) []byte {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		h := header(ManifestName, size)
		z.Write(h[:])
		for range 16 {
			z.Write(zeros)
		}
		z.Close()
		return seal(b.Bytes(), first)
	}
	for name, b := range map[string][]byte{
		"a manifest of 16 MB": bomb(16 << 20), "of 8 GB": bomb(8<<30 - 1), "of zeros": seal(bomb(0)[:200], first),
		"a window of 2 GB":  seal([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0}, first),
		"frames of nothing": seal(bytes.Repeat([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, 1<<17), first),
	} {
		n := testing.AllocsPerRun(1, func() {
			if _, ok := names(fail(check(b, Options{}))); !ok {
				t.Errorf("%s passes", name)
			}
		})
		if n > 200_000 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// A part that unpacks to more than the manifest says is read no farther.
	files := unpack(t, pack(t, manifest(), parts(), first, nil))
	files[5].data = make([]byte, 32<<20)
	b := repack(t, files, first)
	if where, _ := names(fail(check(b, Options{}))); where != "empty" {
		t.Errorf("a part of 32 MB: %q", where)
	}
	if _, err := Verify(bytes.NewReader(nil), MaxFile+1, Options{}); err == nil {
		t.Error("a file without bounds passes")
	}
}

// An error of reading is no fault of the bundle.
func TestUnreadable(t *testing.T) {
	b := pack(t, manifest(), parts(), first, nil)
	broken := errors.New("broken disk")
	_, err := Verify(failing{bytes.NewReader(b), broken}, int64(len(b)), Options{})
	if _, ok := names(err); ok || !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type failing struct {
	r   io.ReaderAt
	err error
}

func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if at < 100 {
		return 0, f.err
	}
	return f.r.ReadAt(b, at)
}

func TestNotWritten(t *testing.T) {
	for name, change := range map[string]func(*Manifest, *[]Part){
		"no parts":         func(_ *Manifest, p *[]Part) { *p = nil },
		"a name twice":     func(_ *Manifest, p *[]Part) { *p = append(*p, Bytes("empty", nil)) },
		"a way up":         func(_ *Manifest, p *[]Part) { *p = append(*p, Bytes("a/../b", nil)) },
		"a hidden file":    func(_ *Manifest, p *[]Part) { *p = append(*p, Bytes(".profile", nil)) },
		"a root":           func(_ *Manifest, p *[]Part) { *p = append(*p, Bytes("/etc/passwd", nil)) },
		"the manifest":     func(_ *Manifest, p *[]Part) { *p = append(*p, Bytes(ManifestName, nil)) },
		"no time":          func(m *Manifest, _ *[]Part) { m.Made = "" },
		"a local time":     func(m *Manifest, _ *[]Part) { m.Made = "2026-11-23T10:00:00+08:00" },
		"no configuration": func(m *Manifest, p *[]Part) { *p = (*p)[1:] },
		"a short part":     func(_ *Manifest, p *[]Part) { (*p)[1].Size++ },
		"too many":         func(_ *Manifest, p *[]Part) { *p = make([]Part, MaxParts+1) },
		"too large":        func(_ *Manifest, p *[]Part) { (*p)[1].Size = MaxBytes + 1 },
	} {
		m, p := manifest(), parts()
		change(&m, &p)
		if _, err := Write(context.Background(), io.Discard, m, p, first, nil); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Write(ctx, io.Discard, manifest(), parts(), first, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCanonical(t *testing.T) {
	// Section 3.2.3 of RFC 8785 has this order, and 3.2.2.2 these escapes.
	got, err := Canonical(map[string]any{
		"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7,
		"a": []any{nil, true, false, -5, "\u20ac$\u000f\nA'B\"\\\\\"/<>&\u2028"},
	})
	want := "{\"\\r\":2,\"1\":4,\"a\":[null,true,false,-5,\"\u20ac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/<>&\u2028\"],\"\u0080\":6,\"\u00f6\":7,\"\u20ac\":1,\"\U0001f600\":5,\"\ufb33\":3}"
	if err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
	for _, v := range []any{1.5, 1e30, 1 << 60} {
		if got, err := Canonical(v); err == nil {
			t.Errorf("%v: %s", v, got)
		}
	}
}

func TestKeys(t *testing.T) {
	private, public, err := EncodeKey(first)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := ParseKey(private); err != nil || !k.Equal(first) {
		t.Errorf("%v", err)
	}
	if k, err := ParsePublicKey(public); err != nil || !k.Equal(first.Public()) {
		t.Errorf("%v", err)
	}
	for _, b := range [][]byte{nil, []byte("x"), public, bytes.Replace(private, []byte("MC4C"), []byte("MC5C"), 1)} {
		if _, err := ParseKey(b); err == nil || strings.Contains(err.Error(), "MC") {
			t.Errorf("%q: %v", b, err)
		}
	}
	if _, err := ParsePublicKey(private); err == nil {
		t.Error("a signing key is taken for its public half")
	}
}

// What docs/evidence.md says others can check with their own tools.
func TestOtherTools(t *testing.T) {
	for _, tool := range []string{"openssl", "zstd", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no " + tool)
		}
	}
	dir := t.TempDir()
	_, public, err := EncodeKey(first)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"b.tar.zst": pack(t, manifest(), parts(), first, nil), "key.pub": public} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{
		"zstd -q -d b.tar.zst -o b.tar",
		"tar -xf b.tar",
		"openssl pkeyutl -verify -pubin -inkey key.pub -rawin -in manifest.json -sigfile manifest.sig",
	} {
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "captures/203.0.113.7.pcapng"))
	if err != nil || len(b) != 700 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	out, err := exec.Command("openssl", "pkey", "-pubin", "-in", filepath.Join(dir, "key.pub"), "-outform", "DER").Output()
	if sum := sha256.Sum256(out); err != nil || hex.EncodeToString(sum[:]) != Fingerprint(first.Public().(ed25519.PublicKey)) {
		t.Errorf("another fingerprint: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	stamp, _ := stamper(f)
	for _, s := range []Stamper{nil, stamp} {
		f.Add(pack(f, manifest(), parts(), first, s))
	}
	f.Add([]byte{})
	good := sha256.Sum256(pack(f, manifest(), parts(), first, nil))
	signer := first.Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := check(b, Options{Signer: signer}); err == nil && v.File != good && v.Stamp == nil {
			t.Error("a bundle that nobody signed")
		}
		// Behind a seal that is good, and as an unpacked tar that is packed anew.
		check(seal(b, first), Options{})
		var z bytes.Buffer
		w, err := zstd.NewWriter(&z, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(b)
		w.Close()
		check(seal(z.Bytes(), first), Options{})
	})
}

func FuzzManifest(f *testing.F) {
	f.Add(unpack(f, pack(f, manifest(), parts(), first, nil))[0].data)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		if again, err := m.encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("two spellings: %s, %s", b, again)
		}
	})
}
