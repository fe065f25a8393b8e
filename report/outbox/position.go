package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

const (
	positionName  = "position"
	positionMagic = "SIMTRAPP"
	positionSize  = 76
	// slotSpace keeps the two slots in different blocks, so that a torn write
	// of one cannot reach the other.
	slotSpace = 4096
)

// position is what an outbox knows beside its records. It has two slots that
// are written in turn, in place: the older one survives a torn write, and a
// full disk hinders neither.
type position struct {
	turn    uint64 // rises with each write
	epoch   uint64
	acked   uint64 // everything up to here needs to be sent no more
	lease   uint64 // every sequence given out is below
	synced  uint64 // every record up to here has been synced
	gapSent uint64 // gap records up to here may have left, and cannot be changed
	boot    uint64 // checksum of FS.Boot
	policy  Sync
	clean   bool // closed, not cut off
}

func (p *position) encode() []byte {
	b := make([]byte, 0, positionSize)
	b = append(b, positionMagic...)
	for _, v := range []uint64{p.turn, p.epoch, p.acked, p.lease, p.synced, p.gapSent, p.boot} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, version, byte(p.policy), byte(b2u(p.clean)), 0, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodePosition(b []byte) (p position, ok bool) {
	if len(b) < positionSize || string(b[:8]) != positionMagic || b[64] != version ||
		crc32.Checksum(b[:positionSize-4], castagnoli) != binary.LittleEndian.Uint32(b[positionSize-4:]) {
		return p, false
	}
	for i, v := range []*uint64{&p.turn, &p.epoch, &p.acked, &p.lease, &p.synced, &p.gapSent, &p.boot} {
		*v = binary.LittleEndian.Uint64(b[8+8*i:])
	}
	p.policy, p.clean = Sync(b[65]), b[66] == 1
	return p, p.epoch != 0 && p.acked < p.lease
}

// openPosition opens the file and gives the newer of its sound slots.
func openPosition(fs FS, name string) (f File, p position, found bool, err error) {
	f, err = fs.OpenFile(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, p, false, err
	}
	var b [positionSize]byte
	for slot := range int64(2) {
		if n, err := f.ReadAt(b[:], slot*slotSpace); err != nil && !errors.Is(err, io.EOF) {
			f.Close()
			return nil, p, false, fmt.Errorf("read the position: %w", err)
		} else if q, ok := decodePosition(b[:n]); ok && (!found || q.turn > p.turn) {
			p, found = q, true
		}
	}
	return f, p, found, nil
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// savePosition writes the position and syncs it.
func (o *Outbox) savePosition() error {
	o.pos.turn++
	_, err := o.posFile.WriteAt(o.pos.encode(), int64(o.pos.turn%2)*slotSpace)
	if err == nil {
		err = o.posFile.Sync()
	}
	if err != nil {
		o.stats.WriteErrors++
		return fmt.Errorf("write the position: %w", err)
	}
	return nil
}
