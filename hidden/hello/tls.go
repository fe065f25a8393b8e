package hello

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
)

// Extensions of TLS (IANA) that are read.
const (
	extName      = 0
	extGroups    = 10
	extFormats   = 11
	extSignature = 13
	extALPN      = 16
	extVersions  = 43
)

const (
	clientHello  = 1 // RFC 8446 section 4
	serverHello  = 2
	certificate  = 11
	maxName      = 255
	maxIssuer    = 64
	tls12, tls13 = 0x0303, 0x0304
)

// message cuts the first handshake message out of b (RFC 8446 section 4): its type
// and body, and what follows. ok is false while it is not whole; of one of which nothing is
// there yet the type is 0.
func message(b []byte) (kind byte, body, rest []byte, ok bool) {
	switch {
	case len(b) == 0:
		return 0, nil, nil, false
	case len(b) < 4:
		return b[0], nil, nil, false
	}
	n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if n > len(b)-4 {
		return b[0], b[4:], nil, false
	}
	return b[0], b[4 : 4+n], b[4+n:], true
}

// grease says whether a value is one of those that mean nothing (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// readClient reads the body of a ClientHello (RFC 8446 section 4.1.2, RFC 5246
// section 7.4.1.2) into h, whose Protocol is set: that of QUIC stands in JA4.
func readClient(body []byte, h *Hello) bool {
	s := cryptobyte.String(body)
	var version uint16
	var session, suites, methods, extensions cryptobyte.String
	if !s.ReadUint16(&version) || !s.Skip(32) || !s.ReadUint8LengthPrefixed(&session) || len(session) > 32 ||
		!s.ReadUint16LengthPrefixed(&suites) || len(suites)%2 != 0 || !s.ReadUint8LengthPrefixed(&methods) {
		return false
	}
	if !s.Empty() && (!s.ReadUint16LengthPrefixed(&extensions) || !s.Empty()) {
		return false
	}
	var c client
	c.version, c.highest = version, version
	ok := true
	c.suites, c.greased = values(suites, &ok)
	for !extensions.Empty() {
		var kind uint16
		var b cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&b) {
			return false
		}
		if grease(kind) {
			c.greased = true
			continue
		}
		c.extensions = append(c.extensions, kind)
		if !c.extension(kind, b) {
			return false
		}
	}
	if !ok {
		return false
	}
	h.JA3, h.JA4 = c.ja3(), c.ja4(h.Protocol == QUIC)
	h.Name = c.name
	h.Bare = !c.greased && !c.hasALPN
	return true
}

// client is what a ClientHello holds that fingerprints are made of.
type client struct {
	version    uint16 // of the old field
	highest    uint16 // offered
	greased    bool
	suites     []uint16
	extensions []uint16 // in their order
	groups     []uint16
	formats    []byte
	signatures []uint16
	hasName    bool
	hasALPN    bool
	name       string
	alpn       string // the first
}

// values reads a list of numbers without those that mean nothing, and says whether
// there were such.
func values(s cryptobyte.String, ok *bool) (list []uint16, greased bool) {
	for !s.Empty() {
		var v uint16
		if !s.ReadUint16(&v) {
			*ok = false
			break
		}
		if grease(v) {
			greased = true
			continue
		}
		list = append(list, v)
	}
	return list, greased
}

// extension reads what of an extension fingerprints need.
func (c *client) extension(kind uint16, b cryptobyte.String) bool {
	ok := true
	var list cryptobyte.String
	switch kind {
	case extName: // RFC 6066 section 3
		c.hasName = true
		var of uint8
		var name cryptobyte.String
		if b.Empty() {
			return true
		}
		if !b.ReadUint16LengthPrefixed(&list) || !list.ReadUint8(&of) || !list.ReadUint16LengthPrefixed(&name) {
			return false
		}
		if of == 0 && len(name) <= maxName {
			c.name = legible(name, maxName)
		}
	case extGroups:
		if !b.ReadUint16LengthPrefixed(&list) {
			return false
		}
		c.groups, _ = values(list, &ok)
	case extFormats:
		if !b.ReadUint8LengthPrefixed(&list) {
			return false
		}
		c.formats = list
	case extSignature:
		if !b.ReadUint16LengthPrefixed(&list) {
			return false
		}
		c.signatures, _ = values(list, &ok)
	case extALPN: // RFC 7301 section 3.1
		c.hasALPN = true
		var first cryptobyte.String
		if !b.ReadUint16LengthPrefixed(&list) || !list.ReadUint8LengthPrefixed(&first) {
			return false
		}
		c.alpn = string(first)
	case extVersions: // RFC 8446 section 4.2.1
		if !b.ReadUint8LengthPrefixed(&list) {
			return false
		}
		versions, _ := values(list, &ok)
		if len(versions) > 0 {
			c.highest = slices.Max(versions)
		}
	}
	return ok
}

// ja3 is the MD5 of the version, suites, extensions, groups and point formats, in
// decimals and in their order (github.com/salesforce/ja3).
func (c *client) ja3() string {
	b := strconv.AppendUint(nil, uint64(c.version), 10)
	for _, list := range [...][]uint16{c.suites, c.extensions, c.groups, widened(c.formats)} {
		b = append(b, ',')
		for i, v := range list {
			if i > 0 {
				b = append(b, '-')
			}
			b = strconv.AppendUint(b, uint64(v), 10)
		}
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func widened(b []byte) (out []uint16) {
	for _, v := range b {
		out = append(out, uint16(v))
	}
	return out
}

// ja4 is the fingerprint of a TLS client by FoxIO (github.com/FoxIO-LLC/ja4,
// technical_details/JA4.md; that of clients alone is under the BSD licence, and no
// other of the suite is made here).
func (c *client) ja4(quic bool) string {
	transport, name := byte('t'), byte('i')
	if quic {
		transport = 'q'
	}
	if c.hasName {
		name = 'd'
	}
	version := map[uint16]string{0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}[c.highest]
	if version == "" {
		version = "00"
	}
	suites := slices.Sorted(slices.Values(c.suites))
	var extensions []uint16
	for _, e := range c.extensions {
		if e != extName && e != extALPN {
			extensions = append(extensions, e)
		}
	}
	slices.Sort(extensions)
	hashed := hexes(extensions)
	if len(c.signatures) > 0 {
		hashed += "_" + hexes(c.signatures)
	}
	if len(c.extensions) == 0 {
		hashed = ""
	}
	return fmt.Sprintf("%c%s%c%02d%02d%s_%s_%s", transport, version, name, min(len(suites), 99), min(len(c.extensions), 99),
		firstAndLast(c.alpn), twelve(hexes(suites)), twelve(hashed))
}

// hexes writes numbers as four hex digits each, with commas between.
func hexes(list []uint16) string {
	var b []byte
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%04x", v)
	}
	return string(b)
}

// twelve gives twelve hex digits of SHA-256, zeroes of nothing.
func twelve(s string) string {
	if s == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

// firstAndLast gives the first and last letter of an ALPN value, or of its hex
// digits where either is neither letter nor digit.
func firstAndLast(s string) string {
	if s == "" {
		return "00"
	}
	plain := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	if !plain(s[0]) || !plain(s[len(s)-1]) {
		s = hex.EncodeToString([]byte(s))
	}
	return s[:1] + s[len(s)-1:]
}

// legible gives the text of a stranger as far as it is printable ASCII.
func legible(b []byte, limit int) string {
	out := make([]byte, 0, min(len(b), limit))
	for _, c := range b[:min(len(b), limit)] {
		if c < 0x20 || c > 0x7e {
			c = '?'
		}
		out = append(out, c)
	}
	return string(out)
}

// readServer reads the body of a ServerHello for the version it chose.
func readServer(body []byte) (version uint16, ok bool) {
	s := cryptobyte.String(body)
	var session, extensions cryptobyte.String
	if !s.ReadUint16(&version) || !s.Skip(32) || !s.ReadUint8LengthPrefixed(&session) || !s.Skip(3) {
		return 0, false
	}
	if s.Empty() {
		return version, true
	}
	if !s.ReadUint16LengthPrefixed(&extensions) {
		return 0, false
	}
	for !extensions.Empty() {
		var kind uint16
		var b cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&b) {
			return 0, false
		}
		if kind == extVersions && !b.ReadUint16(&version) {
			return 0, false
		}
	}
	return version, true
}

// readCertificate reads who issued the first certificate of a Certificate message
// of TLS 1.2 or before (RFC 5246 section 7.4.2), of which b may be the beginning
// alone: the issuer's common name or organisation, and whether it is the subject
// too. ok is false while what is there does not reach so far.
func readCertificate(b []byte) (issuer string, self, ok bool) {
	if len(b) < 6 {
		return "", false, false
	}
	tbs, ok := inside(b[6:], 0x30) // Certificate
	if ok {
		tbs, ok = inside(tbs, 0x30) // TBSCertificate (RFC 5280 section 4.1)
	}
	if !ok {
		return "", false, false
	}
	s := cryptobyte.String(tbs)
	const version, integer, sequence = 0xa0, 0x02, 0x30
	var name, subject, skipped cryptobyte.String
	if len(s) > 0 && s[0] == version && !s.ReadASN1(&skipped, version) {
		return "", false, false
	}
	if !s.ReadASN1(&skipped, integer) || !s.ReadASN1(&skipped, sequence) || !s.ReadASN1(&name, sequence) ||
		!s.ReadASN1(&skipped, sequence) || !s.ReadASN1(&subject, sequence) {
		return "", false, false
	}
	return commonName(name), slices.Equal(name, subject), true
}

// inside gives what is there of the content of an element of DER that may be cut.
func inside(b []byte, tag byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 3 || len(b) < 2+octets {
			return nil, false
		}
		n = 0
		for _, c := range b[2 : 2+octets] {
			n = n<<8 | int(c)
		}
		head += octets
	}
	b = b[head:]
	return b[:min(n, len(b))], true
}

// commonName gives a Name's common name, or else its organisation.
func commonName(name cryptobyte.String) (out string) {
	for !name.Empty() {
		var set, pair, id, value cryptobyte.String
		const sequence, setOf, object = 0x30, 0x31, 0x06
		if !name.ReadASN1(&set, setOf) || !set.ReadASN1(&pair, sequence) || !pair.ReadASN1(&id, object) {
			return out
		}
		if len(id) != 3 || id[0] != 0x55 || id[1] != 4 { // attributes of X.520
			continue
		}
		var tag [1]byte
		if len(pair) < 2 || pair[0]&0x1f == 0x1f {
			continue
		}
		tag[0] = pair[0]
		if value, _ = inside(pair, tag[0]); len(value) == 0 {
			continue
		}
		switch {
		case id[2] == 3: // the common name
			return legible(value, maxIssuer)
		case id[2] == 10 && out == "":
			out = legible(value, maxIssuer)
		}
	}
	return out
}
