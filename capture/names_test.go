package capture

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCaptureNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a.pcap": true, "a.PCAP": true, "a.pcapng": true, "a.cap": true, "a.dmp": true,
		"a.pcap.gz": true, "a.pcapng.zst": true, "a.cap.zstd": true, "a.pcap0": true, "a.pcap17": true,
		"a.pcap.1": true, "a.pcap.12.gz": true, "a.pcap3.zst": true, "dir.pcap/a.pcap": true, ".pcap": true,
		"a": false, "a.txt": false, "a.gz": false, "apcap": false, "a.pcap.txt": false, "a.pcap.gz.gz": false,
		"a.pcap/readme": false, "a.12": false, "12": false, "": false, "a.pcap..1": false, "a.cap.bak": false,
	} {
		if got := isCaptureName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// What cannot be used at all is told in one line that names the file, what is
// wrong and what to do.
func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	good := plain.file(rec{Time: t0, Data: "x"})
	write(t, dir, "good.pcap", good)
	write(t, dir, "empty.pcap", nil)
	write(t, dir, "text.pcap", []byte("Dear Sir,\nplease find the capture not attached.\n"))
	write(t, dir, "short.pcap", []byte{0xd4, 0xc3})
	write(t, dir, "noise.pcap", []byte{1, 2, 3, 4, 5, 0xff, 0xfe, 0xfd, 0xfc})
	write(t, dir, "snoop.cap", []byte("snoop\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04"))
	write(t, dir, "x.pcap.xz", []byte("\xfd7zXZ\x00\x00\x04"))
	write(t, dir, "text.pcap.gz", gzipped(t, []byte("just text, and more than a few bytes of it")))
	write(t, dir, "text.pcap.zst", zstded(t, []byte("just text, and more than a few bytes of it")))
	write(t, dir, "empty.pcap.gz", gzipped(t, nil))
	write(t, dir, "twice.pcap.gz", gzipped(t, gzipped(t, good)))
	write(t, dir, "broken.pcap.gz", []byte("\x1f\x8b\x07hello hello hello hello"))
	write(t, dir, "broken.pcap.zst", []byte("\x28\xb5\x2f\xfdhello hello hello hello"))
	write(t, dir, "v3.pcap", append([]byte{0xd4, 0xc3, 0xb2, 0xa1, 3, 0, 1, 0}, make([]byte, 16)...))
	write(t, dir, "almost.pcapng", []byte("\n\r\r\n, how odd a text"))
	write(t, dir, "new\nline.pcap", nil)
	write(t, dir, "none/readme.txt", []byte("nothing here"))
	write(t, dir, "bad/a.pcap", []byte("nothing here"))
	if err := os.MkdirAll(filepath.Join(dir, "void/void"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"missing.pcap":   "no such file or folder; check the name",
		"*.nothing":      "no file matches; check the pattern",
		"[":              "no file matches; check the pattern",
		"empty.pcap":     "found an empty file, expected a pcap or pcapng capture, plain or packed with gzip or zstd",
		"text.pcap":      "found text, expected",
		"short.pcap":     "found unknown bytes (d4 c3), expected",
		"noise.pcap":     "found unknown bytes (01 02 03 04 05 ff fe fd), expected",
		"snoop.cap":      "found a Sun snoop capture (convert it: editcap -F pcapng), expected",
		"x.pcap.xz":      "found an xz file (unpack it first), expected",
		"text.pcap.gz":   "found text, packed with gzip, expected",
		"text.pcap.zst":  "found text, packed with zstd, expected",
		"empty.pcap.gz":  "found an empty file, packed with gzip, expected",
		"twice.pcap.gz":  "found gzip data (unpack it first), packed with gzip, expected",
		"broken.pcap.gz": "found damaged gzip data (gzip: invalid header), expected",
		"v3.pcap":        "found pcap version 3.1, of which only 2.x is known, expected",
		"almost.pcapng":  "found text, expected",
		"none":           "this folder holds no capture; name one with pcap or pcapng files",
		"bad":            "this folder holds no capture;",
		"void":           "this folder holds no capture;",

		"broken.pcap.zst": "found damaged zstd data (",
		"new\nline.pcap":  "found an empty file, expected",
	} {
		path := filepath.Join(dir, name)
		f, err := Open([]string{filepath.Join(dir, "good.pcap"), path}, Options{})
		if err == nil {
			_ = f.Close()
			t.Errorf("%q: no error", name)
			continue
		}
		_, input := errors.AsType[*InputError](err)
		_, format := errors.AsType[*FormatError](err)
		if got := err.Error(); !input && !format || strings.Contains(got, "\n") ||
			!strings.Contains(got, printable(path)) || !strings.Contains(got, ": "+want) {
			t.Errorf("%q: %T %v", name, err, err)
		}
	}
	for _, paths := range [][]string{nil, {"-"}} {
		if _, err := Open(paths, Options{}); err == nil {
			t.Errorf("%q: no error", paths)
		} else if _, ok := errors.AsType[*InputError](err); !ok || strings.Contains(err.Error(), "\n") {
			t.Error(err)
		}
	}
	if os.Geteuid() != 0 {
		path := write(t, dir, "secret.pcap", good)
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Open([]string{path}, Options{}); err == nil || !strings.Contains(err.Error(), "permission denied; make it readable") {
			t.Error(err)
		}
	}
}

func TestInputErrorRemedies(t *testing.T) {
	e := inputError("a", &os.PathError{Op: "open", Path: "a", Err: os.ErrPermission})
	if got := e.Error(); got != "a: permission denied; make it readable (chmod +r) or run as a user who may read it" {
		t.Error(got)
	}
	if !errors.Is(e, os.ErrPermission) {
		t.Error("the cause is lost")
	}
}

// Standard input that is no capture is told by Next, since Open does not wait.
func TestStdinErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":         "-: found an empty file, expected",
		"hello":    "-: found text, expected",
		"\x1f\x8b": "-: found gzip data (unpack it first), expected",
	} {
		f := open(t, Options{Stdin: strings.NewReader(in)}, "-")
		_, err := f.Next(t.Context())
		if _, ok := errors.AsType[*FormatError](err); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
		if _, again := f.Next(t.Context()); again != err {
			t.Errorf("%q: then %v", in, again)
		}
	}
}

// A packed file that is cut is damaged, however early the cut.
func TestPackedCut(t *testing.T) {
	dir := t.TempDir()
	whole := write(t, dir, "whole.pcap", plain.file(rec{Time: t0, Data: "whole"}))
	file := plain.header()
	for i := range 60 {
		file = plain.record(file, rec{Time: t0 + int64(i), Data: "one"})
	}
	for name, packed := range map[string][]byte{"cut.pcap.gz": gzipped(t, file), "cut.pcap.zst": zstded(t, file)} {
		for n := 4; n < len(packed); n++ {
			cut := packed[:n]
			write(t, dir, "folder/"+name, cut)
			write(t, dir, "folder/"+name+".bak", cut) // no capture for all one can tell
			for _, from := range []string{"name", "folder", "stdin"} {
				path, opt, want := filepath.Join(dir, "folder", name), Options{}, filepath.Join(dir, "folder", name)
				switch from {
				case "folder":
					path = filepath.Join(dir, "folder")
				case "stdin":
					path, opt.Stdin, want = "-", bytes.NewReader(cut), "-"
				}
				f, err := Open([]string{path, whole}, opt)
				if err != nil {
					t.Fatalf("%s, %d bytes, by %s: %v", name, n, from, err)
				}
				if got := drain(t, f); !slices.ContainsFunc(got, func(r rec) bool { return r.Data == "whole" }) {
					t.Errorf("%s, %d bytes, by %s: the other file is lost", name, n, from)
				}
				ds := slices.DeleteFunc(f.Damages(), func(d Damage) bool { return strings.HasSuffix(d.File, ".bak") })
				if len(ds) != 1 || ds[0].Kind != Cut || ds[0].File != want || !strings.Contains(ds[0].Detail, "cut short") {
					t.Errorf("%s, %d bytes, by %s: %v", name, n, from, ds)
				}
				if read, total := f.Progress(); from != "stdin" && read != total {
					t.Errorf("%s, %d bytes, by %s: progress %d of %d", name, n, from, read, total)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
			// Alone it is enough as well.
			f := open(t, Options{}, filepath.Join(dir, "folder", name))
			drain(t, f)
			if len(f.Damages()) != 1 {
				t.Errorf("%s, %d bytes: %v", name, n, f.Damages())
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, "folder")); err != nil {
			t.Fatal(err)
		}
	}
}

// A folder gives its captures by content and by name, whatever their depth;
// other files are counted; what has only the name of a capture is told.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	one := func(at int64, data string) []byte { return plain.file(rec{Time: t0 + at, Data: data}) }
	write(t, dir, "b.pcap", one(1, "b"))
	write(t, dir, "a/deep/er/x.pcapng", newNg(plain.order).iface(1, 0).enhanced(0, uint64(t0/1000), "deep", 4).b)
	write(t, dir, "a/no-name", one(3, "by content"))
	write(t, dir, "a/packed", gzipped(t, one(2, "packed")))
	write(t, dir, "a/other.gz", gzipped(t, []byte("some log of some program")))
	write(t, dir, "notes.txt", []byte("some notes"))
	write(t, dir, "short", []byte("x"))
	write(t, dir, "rotated.pcap7", nil)
	if err := os.Symlink("b.pcap", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "a", "loop")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	f := open(t, Options{}, dir)
	var data []string
	for _, r := range drain(t, f) {
		data = append(data, r.Data)
	}
	if d := cmp.Diff([]string{"deep", "b", "b", "packed", "by content"}, data); d != "" {
		t.Error(d)
	}
	want := []Damage{{File: filepath.Join(dir, "rotated.pcap7"), Kind: Corrupt, Detail: "no capture: found an empty file", Count: 1}}
	if d := cmp.Diff(want, f.Damages()); d != "" {
		t.Error(d)
	}
	if c := f.Counters(); c.Files != 6 || c.FilesSkipped != 5 || c.FilesOutside != 0 {
		t.Errorf("%+v", c)
	}
	if read, total := f.Progress(); read != total || total == 0 {
		t.Errorf("progress %d of %d", read, total)
	}

	// Patterns, and each file once however often it is named.
	f = open(t, Options{}, filepath.Join(dir, "?.pcap"), dir, filepath.Join(dir, "b.pcap"), filepath.Join(dir, "a"))
	if got := drain(t, f); len(got) != 5 {
		t.Error(got)
	}
	// A folder that is named through a link.
	if got := drain(t, open(t, Options{}, filepath.Join(dir, "a", "loop"))); len(got) != 5 {
		t.Error(got)
	}
}

// Standard input is one input among others.
func TestStdinMerged(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "a.pcap", plain.file(rec{Time: t0, Data: "a"}, rec{Time: t0 + 2, Data: "c"}))
	in := plain.file(rec{Time: t0 + 1, Data: "b"}, rec{Time: t0 + 3, Data: "d"})
	for _, in := range [][]byte{in, gzipped(t, in), zstded(t, in), append(gzipped(t, in[:50]), gzipped(t, in[50:])...)} {
		f := open(t, Options{Stdin: bytes.NewReader(in)}, path, "-")
		var data string
		for _, r := range drain(t, f) {
			data += r.Data
		}
		if data != "abcd" || len(f.Damages()) > 0 {
			t.Error(data, f.Damages())
		}
		if read, total := f.Progress(); read == 0 || total != 0 {
			t.Errorf("progress %d of %d", read, total)
		}
	}
}
