package evidence

import (
	"bufio"
	"encoding/binary"
	"io"

	"simtrap/capture"
)

// Blocks and options of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockEnhanced  = 6

	optEnd         = 0
	optComment     = 1
	optName        = 2 // of an interface
	optApplication = 4 // of a section
	optResolution  = 9 // of an interface
)

// maxInterfaces bounds the interfaces of one file: one for each link type and
// tap port.
const maxInterfaces = 256

// PacketWriter writes a pcapng file of packets with nanosecond times. It is our own
// because link types have 16 bits, of which gopacket's writer keeps 8.
type PacketWriter struct {
	w          *bufio.Writer
	interfaces map[face]uint32
	b          []byte // a block under construction
}

type face struct {
	link capture.LinkType
	port uint16
}

// NewPacketWriter begins a file; application is the program that writes it.
func NewPacketWriter(w io.Writer, application, comment string) *PacketWriter {
	p := &PacketWriter{w: bufio.NewWriterSize(w, 16<<10), interfaces: make(map[face]uint32)}
	p.begin(blockSection)
	p.u32(0x1a2b3c4d)
	p.u32(1)           // version 1.0
	p.u32(0xffff_ffff) // length of the section: unknown
	p.u32(0xffff_ffff) //
	p.option(optComment, []byte(comment))
	p.option(optApplication, []byte(application))
	p.end()
	return p
}

func (p *PacketWriter) u32(v uint32) { p.b = binary.LittleEndian.AppendUint32(p.b, v) }

func (p *PacketWriter) pad() {
	for len(p.b)%4 != 0 {
		p.b = append(p.b, 0)
	}
}

func (p *PacketWriter) option(code uint16, value []byte) {
	value = value[:min(len(value), 0xffff)]
	p.b = binary.LittleEndian.AppendUint16(p.b, code)
	p.b = binary.LittleEndian.AppendUint16(p.b, uint16(len(value)))
	p.b = append(p.b, value...)
	p.pad()
}

func (p *PacketWriter) begin(kind uint32) {
	p.b = p.b[:0]
	p.u32(kind)
	p.u32(0) // the length, when it is known
}

// finish writes the block under construction.
func (p *PacketWriter) finish() {
	p.pad()
	n := uint32(len(p.b) + 4)
	binary.LittleEndian.PutUint32(p.b[4:], n)
	p.u32(n)
	p.w.Write(p.b) // bufio keeps the first error
}

// end is finish behind options.
func (p *PacketWriter) end() {
	p.u32(optEnd)
	p.finish()
}

// iface gives the number of the interface for a link type and tap port.
func (p *PacketWriter) iface(link capture.LinkType, port uint16) uint32 {
	f := face{link, port}
	n, ok := p.interfaces[f]
	if ok {
		return n
	}
	if len(p.interfaces) >= maxInterfaces {
		f.port = 0
		if n, ok = p.interfaces[f]; ok {
			return n
		}
	}
	n = uint32(len(p.interfaces))
	p.interfaces[f] = n
	p.begin(blockInterface)
	p.b = binary.LittleEndian.AppendUint16(p.b, uint16(link))
	p.b = append(p.b, 0, 0)
	p.u32(0) // no limit on what is captured
	p.option(optResolution, []byte{9})
	p.end()
	return n
}

// Packet writes the first len(data) bytes of a frame of wire bytes.
func (p *PacketWriter) Packet(f *capture.Frame, data []byte) {
	n := p.iface(f.Link, f.Port)
	p.begin(blockEnhanced)
	p.u32(n)
	p.u32(uint32(uint64(f.Time) >> 32))
	p.u32(uint32(f.Time))
	p.u32(uint32(len(data)))
	p.u32(max(f.Wire, uint32(len(data))))
	p.b = append(p.b, data...)
	p.finish()
}

// Flush writes what is still held back, and gives the first error of all writing.
func (p *PacketWriter) Flush() error { return p.w.Flush() }
