package store

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/heuristics/catalogue"
	"simtrap/hub/store/storetest"
	"simtrap/report/reportpb"
)

// go test ./hub/store -run '^TestMakeDictionary$' -store.dictionary FILE
var dictionaryFile = flag.String("store.dictionary", "", "make a dictionary of stored messages of the case folders as they are now, for another form than the last")

// dictionarySize bounds a dictionary's content: with half as much findings that are not
// in it were a sixth longer.
const dictionarySize = 64 << 10

// TestMakeDictionary makes a dictionary when asked: of the findings of every second case
// folder always the one next that those before it help least. The most telling are at
// the end, where a reference to them is shortest.
func TestMakeDictionary(t *testing.T) {
	if *dictionaryFile == "" {
		t.Skip("no file is asked for")
	}
	found, err := storetest.LabFindings(caseFolders, true)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	var families []string
	for _, s := range tables.Signals {
		if !slices.Contains(families, s.Family) {
			families = append(families, s.Family)
		}
	}
	var standings []*reportpb.Standing
	for _, c := range tables.Classes {
		s := &reportpb.Standing{Class: c.Name, Margin: 3}
		for _, f := range families {
			s.Families = append(s.Families, &reportpb.FamilyNats{Family: f, Nats: 1})
		}
		standings = append(standings, s)
	}
	start := timestamppb.New(time.Date(2026, 6, 29, 2, 49, 30, 738_234_000, time.UTC))
	left := []proto.Message{
		&reportpb.FindingRevision{Id: make([]byte, 16), Revision: 1, Catalogue: 1, Finding: &reportpb.Finding{Line: "198.51.100.48"}, Standings: standings},
		&reportpb.Call{
			FindingId: make([]byte, 16), Id: make([]byte, 16), Line: "198.51.100.48", Direction: reportpb.Direction_DIRECTION_INBOUND,
			Start: start, Answered: start, End: start, StartUncertaintyNs: 1_000_000, EndUncertaintyNs: 1_000_000,
			Calling: "mobile~0000000000000000", Called: "mobile~0000000000000000", Account: "~0000000000000000", Controller: "198.51.100.9",
		},
	}
	for _, f := range found {
		left = append(left, &reportpb.FindingRevision{Id: make([]byte, 16), Revision: uint64(f.LastSeen.AsTime().UnixNano()), EpochStart: f.FirstSeen, Catalogue: 1, Finding: f})
	}
	var texts [][]byte
	for _, m := range left {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, b)
	}
	all := slices.Clone(texts)
	var history []byte
	for len(history) < dictionarySize && len(texts) > 0 {
		o := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)}
		if len(history) > 0 {
			o = append(o, zstd.WithEncoderDictRaw(1, history))
		}
		e, err := zstd.NewWriter(nil, o...)
		if err != nil {
			t.Fatal(err)
		}
		most, at := -1, 0
		for i, b := range texts {
			if n := len(e.EncodeAll(b, nil)); n > most {
				most, at = n, i
			}
		}
		history = slices.Concat(texts[at], history)
		texts = slices.Delete(texts, at, at+1)
	}
	// What came last is the least telling: of it the beginning is cut.
	history = history[max(0, len(history)-dictionarySize):]
	d, err := zstd.BuildDict(zstd.BuildDictOptions{ID: uint32(packedDict), Contents: all, History: history, Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedFastest})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*dictionaryFile, d, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of %d messages", len(d), len(all)-len(texts))
}

// The dictionary never changes: what was stored against it could not be read any more.
func TestDictionaryStays(t *testing.T) {
	const want = "c74baaa56f74a223da82ed006dbb4c261605cdb30e6e84f02ede6a10a0f35193"
	if got := sha256.Sum256(dictionary); hex.EncodeToString(got[:]) != want {
		t.Errorf("body-2.dict is %x: another dictionary is another form", got)
	}
}

// Findings that are not in the dictionary take a third less against it at least, what
// earlier programs stored stays readable, and what later ones store is refused.
func TestForms(t *testing.T) {
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	old, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	l, err := storetest.NewReports(caseFolders, 1, 1000, noon)
	if err != nil {
		t.Fatal(err)
	}
	var plainly, without, with, calls, packed int
	for n := range 1000 {
		m := l.Revision(n, 7)
		plain, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.pack(m)
		if err != nil {
			t.Fatal(err)
		}
		earlier := old.EncodeAll(plain, []byte{packedZstd})
		plainly, without, with = plainly+len(plain), without+len(earlier), with+len(b)
		if b[0] != packedDict {
			t.Fatalf("finding %d is stored in form %d", n, b[0])
		}
		for _, stored := range [][]byte{b, earlier, slices.Concat([]byte{packedPlain}, plain)} {
			got := &reportpb.FindingRevision{}
			if err := p.unpack(stored, got); err != nil || !proto.Equal(m, got) {
				t.Fatalf("finding %d in form %d: %v", n, stored[0], err)
			}
		}
		c := l.Call(n, uint64(n))
		if b, err = p.pack(c); err != nil {
			t.Fatal(err)
		}
		calls, packed = calls+proto.Size(c), packed+len(b)
		got := &reportpb.Call{}
		if err := p.unpack(b, got); err != nil || !proto.Equal(c, got) {
			t.Fatalf("call %d: %v", n, err)
		}
	}
	t.Logf("a finding has %d bytes, %d without the dictionary, %d with it; a call %d, %d with it", plainly/1000, without/1000, with/1000, calls/1000, packed/1000)
	if 3*with > 2*without {
		t.Errorf("findings take %d bytes with the dictionary, %d without", with, without)
	}
	if 10*packed > 9*calls {
		t.Errorf("calls of %d bytes take %d", calls, packed)
	}
	if err := p.unpack([]byte{3, 0}, &reportpb.FindingRevision{}); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("form 3: %v", err)
	}
}
