package outbox

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

// The layout is told byte by byte in docs/outbox.md. Everything is little-endian.
const (
	segmentMagic = "SIMTRAPO"
	version      = 1

	segmentHeader = 32
	recordHeader  = 40
	recordMark    = 0xb55e

	suffix    = ".seg"
	newSuffix = ".new"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is one file of a lane. Its records have rising sequences.
type segment struct {
	lane   int
	number uint64 // the first sequence that could be in it: never used again
	size   int64  // bytes of the header and of sound records
	last   uint64 // sequence of its last record
	read   int64  // up to here nothing needs to be sent any more
	dead   int64  // bytes of superseded records, as far as is known
	pinned bool   // a record of it is under way
	// doubtful says that a sync failed: what was written since the one before
	// may be lost though a later sync succeeds. It must be written anew.
	doubtful bool
	ragged   bool  // behind size lies what could not be taken back
	file     File  // while it grows
	synced   int64 // up to here it is synced, while it grows
}

func (s *segment) dirty() bool { return s.file != nil && s.size > s.synced }

func segmentName(lane int, number uint64) string {
	return fmt.Sprintf("%d-%016x%s", lane, number, suffix)
}

func parseName(name string) (lane int, number uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%d-%016x"+suffix, &lane, &number); err != nil {
		return 0, 0, false
	}
	return lane, number, lane >= 0 && lane < lanes && segmentName(lane, number) == name
}

func appendSegmentHeader(b []byte, epoch uint64, lane int, number uint64) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = append(b, version, byte(lane), 0, 0)
	b = binary.LittleEndian.AppendUint64(b, epoch)
	b = binary.LittleEndian.AppendUint64(b, number)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// segmentEpoch gives the epoch of a segment whose header is sound.
func segmentEpoch(b []byte) (uint64, bool) {
	if len(b) < segmentHeader || string(b[:8]) != segmentMagic || b[8] != version ||
		crc32.Checksum(b[:segmentHeader-4], castagnoli) != binary.LittleEndian.Uint32(b[segmentHeader-4:]) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[12:]), true
}

// frame is a record and where in its segment it lies.
type frame struct {
	Record
	at, end int64
}

// appendRecord writes a record. The epoch is in both checksums, so that neither
// a block of an earlier outbox that the file system hands over, nor text of a
// stranger within a payload, is ever taken for a record.
func appendRecord(b []byte, epoch uint64, r *Record) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint16(b, recordMark)
	b = append(b, byte(r.Kind), byte(len(r.Key)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Payload)))
	b = binary.LittleEndian.AppendUint64(b, r.Seq)
	b = binary.LittleEndian.AppendUint64(b, r.Revision)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Time.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, headerSum(epoch, b[start:]))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, r.Key...)
	b = append(b, r.Payload...)
	binary.LittleEndian.PutUint32(b[start+recordHeader-4:], bodySum(b[start:]))
	return b
}

// headerSum is of the fields before it; it lets a damaged length be known
// before its bytes are read.
func headerSum(epoch uint64, b []byte) uint32 {
	var e [8]byte
	binary.LittleEndian.PutUint64(e[:], epoch)
	return crc32.Update(crc32.Checksum(e[:], castagnoli), castagnoli, b[:recordHeader-8])
}

func bodySum(b []byte) uint32 {
	return crc32.Update(binary.LittleEndian.Uint32(b[recordHeader-8:]), castagnoli, b[recordHeader:])
}

func recordSize(r *Record) int64 {
	return int64(recordHeader + len(r.Key) + len(r.Payload))
}

type verdict int

const (
	sound verdict = iota
	short         // more bytes are needed to tell: as many as parseRecord says
	bad
)

// parseRecord reads the record at the start of b, whose key and payload point
// into b.
func parseRecord(b []byte, epoch uint64) (r Record, size int, v verdict) {
	if len(b) < recordHeader {
		return r, recordHeader, short
	}
	key, payload := int(b[3]), binary.LittleEndian.Uint32(b[4:])
	if binary.LittleEndian.Uint16(b) != recordMark || key > MaxKey || payload > MaxPayload ||
		headerSum(epoch, b) != binary.LittleEndian.Uint32(b[recordHeader-8:]) {
		return r, 0, bad
	}
	size = recordHeader + key + int(payload)
	if len(b) < size {
		return r, size, short
	}
	if bodySum(b[:size]) != binary.LittleEndian.Uint32(b[recordHeader-4:]) {
		return r, 0, bad
	}
	r = Record{
		Kind:     Kind(b[2]),
		Epoch:    epoch,
		Seq:      binary.LittleEndian.Uint64(b[8:]),
		Revision: binary.LittleEndian.Uint64(b[16:]),
		Time:     time.Unix(0, int64(binary.LittleEndian.Uint64(b[24:]))),
		Key:      string(b[recordHeader : recordHeader+key]),
		Payload:  b[recordHeader+key : size : size],
	}
	return r, size, sound
}

// hole is a stretch of a segment in which there is no sound record.
type hole struct {
	at, end       int64
	after, before uint64 // sequences of the records around it; before is 0 at the end
}

// atMost is how many records may have been in it, if those around the segment
// had these sequences.
func (h hole) atMost(after, before uint64) uint64 {
	after = max(after, h.after)
	if h.before != 0 {
		before = h.before
	}
	if before <= after+1 {
		return 0
	}
	return min(before-after-1, 1+uint64(h.end-h.at)/recordHeader)
}

// scan reads the records of a segment's bytes, whatever they are. It looks for
// the next sound record behind a damaged one. A record whose sequence does not
// rise is taken for damage.
func scan(b []byte, epoch uint64) (frames []frame, holes []hole) {
	at := min(segmentHeader, len(b))
	var last uint64
	begin := -1 // of the hole that we are in
	for at < len(b) {
		r, size, v := parseRecord(b[at:], epoch)
		if v != sound || r.Seq <= last {
			if begin < 0 {
				begin = at
			}
			at++
			continue
		}
		if begin >= 0 {
			holes = append(holes, hole{int64(begin), int64(at), last, r.Seq})
			begin = -1
		}
		frames = append(frames, frame{r, int64(at), int64(at + size)})
		last = r.Seq
		at += size
	}
	if begin >= 0 {
		holes = append(holes, hole{int64(begin), int64(len(b)), last, 0})
	}
	return frames, holes
}

// maxSegment is more than any segment of ours is long: it grows past its bound
// by one record at most.
const maxSegment = maxSegmentSize + recordHeader + MaxKey + MaxPayload

// readAll reads a whole segment. What the disk does not give is zeros, and so
// a hole.
func readAll(fs FS, name string) ([]byte, error) {
	f, err := fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, maxSegment))
	const block = 4096
	if n, err := f.ReadAt(b, 0); n < len(b) && err != nil {
		for at := n / block * block; at < len(b); at += block {
			part := b[at:min(at+block, len(b))]
			if n, err := f.ReadAt(part, int64(at)); n < len(part) && err != nil && err != io.EOF {
				clear(part)
			}
		}
	}
	return b, nil
}

func (o *Outbox) path(name string) string { return filepath.Join(o.dir, name) }

func (s *segment) name() string { return segmentName(s.lane, s.number) }
