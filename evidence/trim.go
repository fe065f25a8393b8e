package evidence

import (
	"strings"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// Trimmer leaves out of frames what their packets carry, as Cutter tells. It is for
// one goroutine.
type Trimmer struct {
	o        Options
	decoder  packet.Decoder
	packet   packet.Packet
	kind     packet.Result
	message  sip.Message
	buf      []byte
	rewriter rewriter
	Counters Counters
}

// NewTrimmer gives one. Of the options Homes, Locate, Authority and Names count.
func NewTrimmer(o Options) *Trimmer { return &Trimmer{o: o} }

// Place takes other homes, and another way to find whose packets are, from the next
// frame on.
func (c *Trimmer) Place(homes *ident.Homes, locate func(*packet.Packet)) {
	c.o.Homes, c.o.Locate = homes, locate
}

// Name takes others' pseudonyms from the next frame on.
func (c *Trimmer) Name(names *ident.Pseudonymizer) { c.o.Names = names }

// Frame decodes a frame and gives the lines at its ends; ok is false for what is no
// packet of anybody's.
func (c *Trimmer) Frame(f *capture.Frame, data []byte) (src, dst ident.Line, ok bool) {
	p := &c.packet
	p.Time, p.TapPort, p.Realm = f.Time, f.Port, 0
	c.kind = c.decoder.Frame(f.Link, data, f.Wire, p)
	if c.kind != packet.Datagram && c.kind != packet.Segment && c.kind != packet.Fragment {
		return src, dst, false
	}
	if c.o.Locate != nil {
		c.o.Locate(p)
	}
	return c.o.Homes.LineOf(p.Src, p.Realm), c.o.Homes.LineOf(p.Dst, p.Realm), true
}

// Trim gives what may be kept of the frame that Frame decoded last, which data is;
// it holds until the next call. ok is false when it is not known where its headers
// end.
func (c *Trimmer) Trim(data []byte) (out []byte, ok bool) {
	p := &c.packet
	carried := p.Payload
	if c.kind == packet.Fragment {
		carried = p.Frag.Data
	}
	at, ok := offset(data, carried)
	if !ok {
		c.Counters.Unplaced++
		return nil, false
	}
	out = data[:at]
	switch {
	case c.kind == packet.Fragment:
		c.Counters.Fragments++
		if p.Frag.Offset == 0 {
			out = data[:at+min(len(carried), transport(p.Frag.Proto))]
		}
	case c.o.Authority != "" && sip.Looks(carried):
		if kept := c.sip(p); len(kept) > 0 {
			c.buf = append(append(c.buf[:0], out...), kept...)
			out = c.buf
			c.Counters.Messages++
		}
	case c.o.Authority == "" && c.o.Names != nil && sip.Looks(carried):
		if written := c.rewrite(p); len(written) > 0 {
			c.buf = append(append(c.buf[:0], out...), written...)
			out = c.buf
			c.Counters.Rewritten++
		}
	case c.kind == packet.Datagram:
		out = data[:at+rtpHeader(carried)]
	}
	return out, true
}

// tunnelled says whether a datagram of that protocol may be a tunnel's.
func tunnelled(proto uint8) bool {
	switch proto {
	case 4, 41, 47, 97, 115: // IP in IP, IPv6 in IP, GRE, EtherIP, L2TPv3
		return true
	}
	return false
}

// transport is how long the header of a protocol is that a first fragment may
// show.
func transport(proto uint8) int {
	switch proto {
	case packet.UDP:
		return 8
	case packet.TCP:
		return 20
	}
	return 0
}

// offset finds where in a frame a view of it begins.
func offset(frame, view []byte) (int, bool) {
	at := cap(frame) - cap(view)
	if at < 0 || at > len(frame) || at+len(view) > len(frame) {
		return 0, false
	}
	if len(view) > 0 && &frame[at] != &view[0] {
		return 0, false
	}
	return at, true
}

// rtpHeader is how much of a datagram is an RTP header (RFC 3550 section 5.1):
// 12 bytes, and where an extension follows, up to the word that tells its
// length. Of RTCP, reports alone, it is as many. 0 for all else.
func rtpHeader(b []byte) int {
	if len(b) < 12 || b[0]>>6 != 2 || uint32(len(b)) > rtp.MaxPayload {
		return 0
	}
	switch pt := b[1]; {
	case pt == 200 || pt == 201:
		return 12
	case pt >= 192 && pt <= 223, pt&127 >= 72 && pt&127 <= 76:
		return 0
	}
	if b[0]&0x10 == 0 {
		return 12
	}
	if n := 16 + 4*int(b[0]&15); n <= len(b) {
		return n
	}
	return 0
}

// sip gives what may be kept of a datagram or segment that begins with a SIP
// message: whole messages whose bodies are session descriptions, and of the
// first that is not, the headers.
func (c *Trimmer) sip(p *packet.Packet) []byte {
	b, m := p.Payload, &c.message
	var kept []byte
	for len(b) > 0 && sip.Looks(b) {
		lead := len(b) - len(trimLines(b))
		if sip.Parse(b, m) != nil {
			break
		}
		all := lead + len(m.Raw)
		head := all - len(m.Body)
		if all > len(b) || head < lead {
			break
		}
		description := len(m.Body) > 0 && m.Method != sip.MESSAGE && isDescription(m.ContentType)
		n := head
		if description {
			n = all
		}
		from := len(kept)
		kept = append(kept, b[:n]...)
		blot(kept[from : from+head])
		if n < all || p.Proto != packet.TCP {
			break
		}
		b = b[all:]
	}
	return kept
}

// rewrite gives the messages of a datagram, or those that begin a segment,
// written anew, each in no more bytes than it had, so that the length on the wire
// stays true.
func (c *Trimmer) rewrite(p *packet.Packet) []byte {
	b, m := p.Payload, &c.message
	c.rewriter.names = c.o.Names
	var written []byte
	for len(b) > 0 && sip.Looks(b) && sip.Parse(b, m) == nil {
		all := len(b) - len(trimLines(b)) + len(m.Raw)
		if all > len(b) {
			break
		}
		one := c.rewriter.message(m, p, all)
		written = append(written, one...)
		if one == nil || p.Proto != packet.TCP {
			break
		}
		b = b[all:]
	}
	return written
}

func trimLines(b []byte) []byte {
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// isDescription says whether a body is a session description and nothing else.
func isDescription(contentType []byte) bool {
	name, _, _ := strings.Cut(string(contentType), ";")
	return strings.EqualFold(strings.TrimSpace(name), "application/sdp")
}

// blot writes stars over credentials in headers: what a digest was made of can
// be guessed from it.
func blot(head []byte) {
	secret := false
	for len(head) > 0 {
		n := 0
		for n < len(head) && head[n] != '\r' && head[n] != '\n' {
			n++
		}
		line := head[:n]
		if n > 0 {
			value := line
			if line[0] != ' ' && line[0] != '\t' { // else it goes on from the line before
				name, _, _ := strings.Cut(string(line), ":")
				at := min(len(name)+1, n)
				value = line[at:]
				switch strings.ToLower(strings.TrimSpace(name)) {
				case "authorization", "proxy-authorization", "authentication-info":
					secret = true
				default:
					secret = false
				}
			}
			if secret {
				for i := range value {
					if value[i] != ' ' && value[i] != '\t' {
						value[i] = '*'
					}
				}
			}
		}
		head = head[min(n+1, len(head)):]
	}
}
