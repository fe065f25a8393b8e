package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/pcapgo"
)

// TestCorpus reads every capture of the corpus, and compares with pcapgo where
// that reads the whole file.
func TestCorpus(t *testing.T) {
	root := os.Getenv("SIMTRAP_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(root); err != nil {
		t.Skip("no corpus of captures: set SIMTRAP_CORPUS")
	}
	read, compared, damaged := 0, 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isCaptureName(path) {
			return err
		}
		f, err := Open([]string{path}, Options{})
		if err != nil {
			t.Logf("%v", err)
			return nil
		}
		defer func() { _ = f.Close() }()
		drain(t, f)
		read++
		got, ds := f.Counters(), f.Damages()
		if len(ds) > 0 {
			damaged++
		}
		frames, bytes, times, err := byPcapgo(path)
		if err != nil {
			for _, d := range ds {
				if d.Kind == Cut || d.Kind == Corrupt || d.Kind == Skipped {
					return nil
				}
			}
			t.Logf("%s: only pcapgo sees damage: %v (%d frames, here %d)", filepath.Base(path), err, frames, got.Frames)
			return nil
		}
		compared++
		if got.Frames != frames || got.Bytes != bytes {
			t.Errorf("%s: %d frames of %d bytes, pcapgo has %d of %d; %v", path, got.Frames, got.Bytes, frames, bytes, ds)
		}
		orderly := len(ds) == 0 || len(ds) == 1 && ds[0].Kind == Truncated
		if got := timesOf(t, path); orderly && !oddTimes(path) && !equal(got, times) {
			t.Errorf("%s: times differ from pcapgo's", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files read, %d compared, %d damaged", read, compared, damaged)
	if compared < read/2 || read == 0 {
		t.Errorf("only %d of %d files were compared", compared, read)
	}
}

func timesOf(t *testing.T, path string) []int64 {
	f := open(t, Options{}, path)
	defer func() { _ = f.Close() }()
	return times(drain(t, f))
}

// equal compares; packets without a time have none with pcapgo, and that of the
// packet before here.
func equal(got, pcapgo []int64) bool {
	if len(got) != len(pcapgo) {
		return false
	}
	none := time.Time{}.UnixNano()
	for i := range got {
		if got[i] != pcapgo[i] && pcapgo[i] != none {
			return false
		}
	}
	return true
}

// oddTimes tells files with a fraction of more than a second, which pcapgo
// takes as it is.
func oddTimes(path string) bool {
	switch filepath.Base(path) {
	case "fuzz-2021-06-07-c6c72a0a56.pcap", "atm-oam-loopback-print-overrun.pcap", "timestamp_invalid_micro.pcap", "timestamp_invalid_nano.pcap":
		return true
	}
	return false
}

// byPcapgo reads a file with pcapgo. A file of more than 64 MiB or a panic
// counts as not read.
func byPcapgo(path string) (frames, bytes uint64, times []int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, nil, err
	}
	defer func() { _ = file.Close() }()
	var r interface {
		ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(file, head); err != nil {
		return 0, 0, nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, 0, nil, err
	}
	if string(head) == "\n\r\r\n" {
		if hostile(path) {
			return 0, 0, nil, errors.New("not given to pcapgo")
		}
		r, err = pcapgo.NewNgReader(file, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	} else {
		r, err = pcapgo.NewReader(file)
	}
	if err != nil {
		return 0, 0, nil, err
	}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames, bytes, times, nil
		}
		if err != nil {
			return frames, bytes, times, err
		}
		frames++
		bytes += uint64(len(data))
		times = append(times, info.Timestamp.UnixNano())
	}
}

// hostile tells files that were made to break readers.
func hostile(path string) bool {
	for _, word := range []string{"fuzz", "crash", "oob", "overflow", "invalid", "hang", "heap"} {
		if strings.Contains(strings.ToLower(filepath.Base(path)), word) {
			return true
		}
	}
	return false
}
