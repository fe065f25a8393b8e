package live

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"simtrap/capture"
	"simtrap/lab"
)

// frame is what is sent, when (ns since the first) and which way, where there are
// several.
type frame struct {
	at   int64
	data []byte
	way  int
}

// made gives the frames that a scenario of the lab makes, and what is true of them.
func made(t testing.TB, opt lab.Options) ([]frame, *lab.Truth) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "lab.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	truth, err := lab.Make(f, opt)
	if err != nil {
		t.Fatal(err)
	}
	return framesOf(t, name), truth
}

// framesOf reads a capture.
func framesOf(t testing.TB, name string) (list []frame) {
	t.Helper()
	files, err := capture.Open([]string{name}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	first := int64(0)
	for {
		b, err := files.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 && len(b.Frames) > 0 {
			first = b.Frames[0].Time
		}
		for i := range b.Frames {
			list = append(list, frame{at: b.Frames[i].Time - first, data: bytes.Clone(b.Data(i))})
		}
		b.Release()
	}
}

// stream is one source of media: addresses and ports of the datagram, SSRC.
type stream [16]byte

// streamOf tells media over IPv4 without tags, which is what the lab makes unless
// it is told otherwise.
func streamOf(b []byte) (s stream, ok bool) {
	if len(b) < 54 || b[12] != 8 || b[13] != 0 || b[14] != 0x45 || b[23] != 17 {
		return s, false
	}
	pt := b[43] & 0x7f
	copy(s[:], b[26:38])
	copy(s[12:], b[50:54])
	return s, b[42]>>6 == 2 && (pt < 64 || pt > 95)
}

// lapse makes time go faster, but for the voice, which is only cut shorter: a
// stream that goes on for a minute goes on for a minute divided by factor, at the
// pace that it had. So calls begin, overlap and end as they did.
func lapse(list []frame, factor int64) []frame {
	first, last := map[stream]int64{}, map[stream]int64{}
	for _, f := range list {
		if s, ok := streamOf(f.data); ok {
			if _, known := first[s]; !known {
				first[s] = f.at
			}
			last[s] = f.at
		}
	}
	var out []frame
	for _, f := range list {
		at := f.at / factor
		if s, ok := streamOf(f.data); ok {
			if at = first[s]/factor + f.at - first[s]; at > last[s]/factor {
				continue
			}
		}
		out = append(out, frame{at: at, data: f.data})
	}
	slices.SortStableFunc(out, func(a, b frame) int { return cmp.Compare(a.at, b.at) })
	return out
}

// up says whether a frame comes from a subscriber, whose networks are those of
// documentation.
func up(f []byte) bool {
	return len(f) >= 34 && f[12] == 8 && f[13] == 0 &&
		(bytes.HasPrefix(f[26:], []byte{203, 0, 113}) || bytes.HasPrefix(f[26:], []byte{198, 51, 100}))
}
