package lab

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// view is which part of the traffic is captured.
type view string

const (
	viewBoth    view = "both"
	viewUp      view = "up"      // only what lines send
	viewDown    view = "down"    // only what lines receive
	viewMedia   view = "media"   // RTP and RTCP
	viewSIP     view = "sip"     // SIP
	viewMidcall view = "midcall" // from a third of the time on
)

func parseView(s string) (view, error) {
	switch v := view(s); v {
	case "":
		return viewBoth, nil
	case viewBoth, viewUp, viewDown, viewMedia, viewSIP, viewMidcall:
		return v, nil
	}
	return "", fmt.Errorf("unknown view %q: want both, up, down, media, sip or midcall", s)
}

// kind is what a packet is, for the views.
type kind uint8

const (
	kindOther kind = iota
	kindSIP
	kindMedia
	kindControl
)

// shows says whether a packet of kind k, sent by a line or to one, is captured
// now.
func (s *sim) shows(k kind, up bool) bool {
	switch s.view {
	case viewUp:
		return up
	case viewDown:
		return !up
	case viewMedia:
		return k == kindMedia
	case viewSIP:
		return k == kindSIP
	case viewMidcall:
		return s.now >= s.cut
	}
	return true
}

// sink writes the capture file.
type sink struct {
	buf     *bufio.Writer
	write   func(gopacket.CaptureInfo, []byte) error
	flush   func() error
	snaplen int
	packets int
	bytes   int64 // on the wire
	err     error
}

func newSink(w io.Writer, format string, link uint16, snaplen int) (*sink, error) {
	k := &sink{buf: bufio.NewWriterSize(w, 1<<20), snaplen: snaplen}
	headed := &linkWriter{w: k.buf, link: link}
	head := uint32(snaplen)
	if head == 0 {
		head = 262144
	}
	switch format {
	case "", "pcap", "nano":
		pw := pcapgo.NewWriter(headed)
		if format == "nano" {
			pw = pcapgo.NewWriterNanos(headed)
		}
		if err := pw.WriteFileHeader(head, layers.LinkTypeNull); err != nil {
			return nil, fmt.Errorf("write capture: %w", err)
		}
		k.write = pw.WritePacket
		k.flush = func() error { return nil }
	case "pcapng":
		headed.ng = true
		nw, err := pcapgo.NewNgWriterInterface(headed, pcapgo.NgInterface{
			Name: "tap0", LinkType: layers.LinkTypeNull, SnapLength: head, TimestampResolution: 9,
		}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "simtrap-lab"}})
		if err != nil {
			return nil, fmt.Errorf("write capture: %w", err)
		}
		// The headers go out in one write, for linkWriter.
		if err := nw.Flush(); err != nil {
			return nil, fmt.Errorf("write capture: %w", err)
		}
		k.write = nw.WritePacket
		k.flush = nw.Flush
	default:
		return nil, fmt.Errorf("unknown format %q: want pcap, nano or pcapng", format)
	}
	return k, nil
}

// put writes one frame seen at t.
func (k *sink) put(t int64, frame []byte) {
	if k.err != nil {
		return
	}
	k.packets++
	k.bytes += int64(len(frame))
	ci := gopacket.CaptureInfo{Timestamp: time.Unix(0, t).UTC(), Length: len(frame), CaptureLength: len(frame)}
	if k.snaplen > 0 && len(frame) > k.snaplen {
		frame = frame[:k.snaplen]
		ci.CaptureLength = k.snaplen
	}
	k.err = k.write(ci, frame)
}

func (k *sink) close() error {
	if k.err != nil {
		return k.err
	}
	if err := k.flush(); err != nil {
		return err
	}
	return k.buf.Flush()
}

// linkWriter puts the link type into the file's header, which is its first
// write: pcapgo holds link types in a byte and cannot say 276 (Linux cooked v2).
type linkWriter struct {
	w    io.Writer
	link uint16
	ng   bool
	done bool
}

func (l *linkWriter) Write(b []byte) (int, error) {
	if !l.done {
		l.done = true
		at := 20
		if l.ng {
			// The interface block follows the section block, whose length stands
			// in its bytes 4 to 7; the link type is at its byte 8.
			at = int(binary.LittleEndian.Uint32(b[4:])) + 8
		}
		binary.LittleEndian.PutUint16(b[at:], l.link)
	}
	return l.w.Write(b)
}
