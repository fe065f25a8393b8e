package capture

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// A format finds the records of a capture. parse appends the frames of r.cur
// from r.off on, moves r.off behind what it used, and calls r.corrupt where the
// file makes no sense. It is called again with more bytes from r.off on.
type format interface {
	parse(r *reader)
}

// newFormat tells the format by the first bytes of an unpacked file, of which
// head is as many as there are, at least 24 if the file has them. A nil format
// comes with what was found instead; cut means a capture whose header is not
// complete.
func newFormat(head []byte) (f format, found string, cut bool) {
	if len(head) >= 4 {
		magic := endian(false).Uint32(head)
		if _, ok := pcapMagic(magic); ok {
			if len(head) < pcapHeader {
				return nil, "", true
			}
			p, why := newPcap(head)
			if p == nil {
				return nil, why, false
			}
			return p, "", false
		}
		if magic == blockSection {
			if len(head) < 12 {
				return nil, "", true
			}
			if _, ok := sectionOrder(head); ok {
				return &pcapng{}, "", false
			}
		}
	}
	return nil, describe(head), false
}

// describe says what bytes that are no capture look like.
func describe(head []byte) string {
	if len(head) == 0 {
		return "an empty file"
	}
	known := []struct{ magic, what string }{
		{"snoop\x00\x00\x00", "a Sun snoop capture (convert it: editcap -F pcapng)"},
		{"GMBU", "a Microsoft Network Monitor capture (convert it: editcap -F pcapng)"},
		{"RTSS", "a Microsoft Network Monitor capture (convert it: editcap -F pcapng)"},
		{"XCP\x00", "a NetXRay capture (convert it: editcap -F pcapng)"},
		{"TRSNIFF data", "a Sniffer capture (convert it: editcap -F pcapng)"},
		{"\xfd7zXZ\x00", "an xz file (unpack it first)"},
		{"BZh", "a bzip2 file (unpack it first)"},
		{"\x04\x22\x4d\x18", "an lz4 file (unpack it first)"},
		{"PK\x03\x04", "a zip file (unpack it first)"},
		{"7z\xbc\xaf\x27\x1c", "a 7-Zip file (unpack it first)"},
		{"PAGEDU", "a Windows crash dump"},
		{"\x1f\x8b", "gzip data (unpack it first)"},
		{"\x28\xb5\x2f\xfd", "zstd data (unpack it first)"},
	}
	for _, k := range known {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return k.what
		}
	}
	if isText(head) {
		return "text"
	}
	return fmt.Sprintf("unknown bytes (% x)", head[:min(8, len(head))])
}

// isText tells whether head could be the begin of a text.
func isText(head []byte) bool {
	head = head[:min(512, len(head))]
	for len(head) > 0 {
		c, n := utf8.DecodeRune(head)
		if c == utf8.RuneError && n <= 1 && utf8.FullRune(head) {
			return false
		}
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' {
			return false
		}
		head = head[n:]
	}
	return true
}
