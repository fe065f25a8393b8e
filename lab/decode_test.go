package lab

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// datagram is what the tests see of a frame, through gopacket's decoders.
type datagram struct {
	t            int64
	src, dst     netip.Addr
	sport, dport uint16
	proto        uint8
	seq          uint32 // TCP
	payload      []byte
}

func (d *datagram) sip() bool {
	p := d.payload
	if bytes.HasPrefix(p, []byte("SIP/2.0 ")) {
		return true
	}
	i := bytes.Index(p, []byte("\r\n"))
	return i > 0 && bytes.HasSuffix(p[:i], []byte(" SIP/2.0"))
}

func (d *datagram) rtp() bool {
	return d.proto == protoUDP && len(d.payload) >= 12 && d.payload[0] == 0x80 && !(d.payload[1] >= 200 && d.payload[1] <= 204)
}

// made is a capture read back.
type made struct {
	truth   *Truth
	frames  int
	packets []datagram
	largest int // inner IP packet
	lines   map[netip.Addr]*LineTruth
}

// makeAndRead makes a capture and decodes every frame, checking lengths, order
// and checksums on the way.
func makeAndRead(t *testing.T, opt Options) *made {
	t.Helper()
	var buf bytes.Buffer
	truth, err := Make(&buf, opt)
	if err != nil {
		t.Fatalf("Make(%+v): %v", opt, err)
	}
	return read(t, opt, truth, &buf)
}

// read decodes a capture that was made, as makeAndRead does.
func read(t *testing.T, opt Options, truth *Truth, buf *bytes.Buffer) *made {
	t.Helper()
	m := &made{truth: truth}
	var next func() ([]byte, gopacket.CaptureInfo, error)
	if opt.Format == "pcapng" {
		r, err := pcapgo.NewNgReader(buf, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Fatal(err)
		}
		next = r.ReadPacketData
	} else {
		r, err := pcapgo.NewReader(buf)
		if err != nil {
			t.Fatal(err)
		}
		next = r.ReadPacketData
	}
	shape, err := parseEncap(opt.Encap)
	if err != nil {
		t.Fatal(err)
	}
	frags := map[string][]byte{}
	var last time.Time
	for {
		data, ci, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if ci.Timestamp.Before(last) {
			t.Fatalf("frame %d at %v, after one at %v", m.frames, ci.Timestamp, last)
		}
		last = ci.Timestamp
		m.frames++
		if opt.Snaplen > 0 {
			if len(data) > opt.Snaplen {
				t.Fatalf("frame %d: %d bytes kept, snaplen %d", m.frames, len(data), opt.Snaplen)
			}
			continue
		}
		m.decode(t, shape, data, ci.Timestamp.UnixNano(), frags)
	}
	if len(frags) > 0 {
		t.Errorf("%d datagrams lack fragments", len(frags))
	}
	if m.frames != truth.Packets {
		t.Errorf("%d frames read, truth says %d", m.frames, truth.Packets)
	}
	return m
}

// decode, and what it calls for every frame, is no t.Helper: that looks for its
// caller each time, which took twice as long as all the decoding.
func (m *made) decode(t *testing.T, shape encap, data []byte, at int64, frags map[string][]byte) {
	if shape.outer > 0 {
		if data = join(t, shape, data, frags); data == nil {
			return
		}
	}
	var first gopacket.Decoder = layers.LayerTypeEthernet
	inner := strip(t, shape, data)
	switch {
	case !gopacketKnows(shape):
		data = inner
		first = layers.LayerTypeIPv4
		if data[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
	case shape.link == "sll":
		first = layers.LayerTypeLinuxSLL
	}
	p := gopacket.NewPacket(data, first, gopacket.NoCopy)
	if e := p.ErrorLayer(); e != nil {
		// Fragments and payloads on known ports (DNS, NTP) are cut or made up;
		// only what we read below matters.
		if p.NetworkLayer() == nil {
			t.Fatalf("%s: %v", p, e.Error())
		}
	}
	d := datagram{t: at}
	var body []byte // of the innermost IP packet
	var frag string
	var offset int
	more := false
layers:
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.GRE:
			if l.Protocol == layers.EthernetTypePPP {
				break layers // of PPTP, enciphered
			}
		case *layers.IPv4:
			head := l.Contents
			if fold(sum(0, head)) != 0xffff {
				t.Fatalf("IPv4 checksum is wrong: %x", head)
			}
			if int(l.Length) != len(head)+len(l.Payload) {
				t.Fatalf("IPv4 length %d, have %d", l.Length, len(head)+len(l.Payload))
			}
			d.src, d.dst = addrOf(l.SrcIP), addrOf(l.DstIP)
			body, d.proto, m.largest = l.Payload, uint8(l.Protocol), max(m.largest, int(l.Length))
			frag, offset, more = "", int(l.FragOffset)*8, l.Flags&layers.IPv4MoreFragments != 0
			if more || offset > 0 {
				frag = string(head[4:6]) + string(head[12:20])
			}
		case *layers.IPv6:
			if int(l.Length) != len(l.Payload) {
				t.Fatalf("IPv6 length %d, have %d", l.Length, len(l.Payload))
			}
			d.src, d.dst = addrOf(l.SrcIP), addrOf(l.DstIP)
			body, d.proto, m.largest = l.Payload, uint8(l.NextHeader), max(m.largest, 40+int(l.Length))
		case *layers.IPv6Fragment:
			h := l.Contents
			d.proto, body = h[0], l.Payload
			v := binary.BigEndian.Uint16(h[2:])
			offset, more = int(v&^7), v&1 != 0
			frag = string(h[4:8]) + d.src.String() + d.dst.String()
		case *layers.IPSecAH:
			d.proto, body = uint8(l.NextHeader), l.Payload
			if frag != "" { // of which it is a part
				d.proto, body = 51, append(append([]byte(nil), l.Contents...), l.Payload...)
			}
		case *layers.UDP:
			if l.SrcPort == 2152 || l.SrcPort == 4789 {
				if int(l.Length) != 8+len(l.Payload) {
					t.Fatalf("outer UDP length %d, have %d", l.Length, 8+len(l.Payload))
				}
			}
		}
	}
	if body == nil {
		t.Fatalf("no IP packet in %x", data)
	}
	if frag != "" {
		if offset != len(frags[frag]) {
			t.Fatalf("fragment at %d, %d bytes so far", offset, len(frags[frag]))
		}
		frags[frag] = append(frags[frag], body...)
		if more {
			return
		}
		body = frags[frag]
		delete(frags, frag)
		if d.proto == 51 {
			d.proto, body = body[0], body[24:]
		}
	}
	if frag == "" && !bytes.HasSuffix(inner, body) {
		t.Fatal("stripping leads elsewhere than gopacket")
	}
	pseudo := sum(sum(0, d.src.AsSlice()), d.dst.AsSlice()) + uint64(d.proto) + uint64(len(body))
	switch d.proto {
	case protoUDP, protoTCP:
		if fold(sum(uint64(fold(pseudo)), body)) != 0xffff {
			t.Fatalf("checksum of protocol %d from %v to %v is wrong", d.proto, d.src, d.dst)
		}
		d.sport, d.dport = binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
		if d.proto == protoUDP {
			if int(binary.BigEndian.Uint16(body[4:])) != len(body) {
				t.Fatalf("UDP length %d, have %d", binary.BigEndian.Uint16(body[4:]), len(body))
			}
			d.payload = body[8:]
		} else {
			d.seq = binary.BigEndian.Uint32(body[4:])
			d.payload = body[4*int(body[12]>>4):]
		}
	case protoICMP:
		if fold(sum(0, body)) != 0xffff {
			t.Fatal("ICMP checksum is wrong")
		}
	case protoICMP6:
		if fold(sum(uint64(fold(pseudo)), body)) != 0xffff {
			t.Fatal("ICMPv6 checksum is wrong")
		}
	}
	m.packets = append(m.packets, d)
}

func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

// line gives the truth of the line an address belongs to.
func (m *made) line(a netip.Addr) *LineTruth {
	if m.lines == nil {
		m.lines = map[netip.Addr]*LineTruth{}
	}
	if l, ok := m.lines[a]; ok {
		return l
	}
	name := a.String()
	m.lines[a] = nil
	for _, l := range m.truth.Lines {
		if l.Address == name {
			m.lines[a] = l
			break
		}
		if p, err := netip.ParsePrefix(l.Address); err == nil && p.Contains(a) {
			m.lines[a] = l
			break
		}
	}
	return m.lines[a]
}

// text is a parsed SIP message, as far as the tests want it.
type text struct {
	start  string
	head   map[string]string // first value of each, lower-case names
	body   string
	status string
	method string // of CSeq
}

func readSIP(t *testing.T, b []byte) text {
	s := string(b)
	i := strings.Index(s, "\r\n\r\n")
	if i < 0 {
		t.Fatalf("no end of headers: %q", s)
	}
	lines := strings.Split(s[:i], "\r\n")
	x := text{start: lines[0], head: map[string]string{}, body: s[i+4:]}
	for _, l := range lines[1:] {
		k, v, ok := strings.Cut(l, ":")
		if !ok {
			t.Fatalf("header line %q", l)
		}
		k = strings.ToLower(k)
		if _, dup := x.head[k]; !dup {
			x.head[k] = strings.TrimSpace(v)
		}
	}
	if strings.HasPrefix(x.start, "SIP/2.0 ") {
		x.status = x.start[8:11]
	}
	if f := strings.Fields(x.head["cseq"]); len(f) == 2 {
		x.method = f[1]
	}
	return x
}

// param gives a parameter of a header value.
func param(v, name string) string {
	for _, p := range strings.Split(v, ";") {
		if k, x, _ := strings.Cut(p, "="); k == name {
			return x
		}
	}
	return ""
}

// streams gathers RTP packets by source and SSRC, in order of appearance.
func (m *made) streams() [][]datagram {
	type key struct {
		src, dst     netip.Addr
		sport, dport uint16
		ssrc         uint32
	}
	at := map[key]int{}
	var out [][]datagram
	for _, d := range m.packets {
		if !d.rtp() {
			continue
		}
		k := key{d.src, d.dst, d.sport, d.dport, binary.BigEndian.Uint32(d.payload[8:])}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], d)
	}
	return out
}

// skew estimates a sender's clock error in parts per million from the least
// delays of the first and the last third of its packets.
func skew(p []datagram) float64 {
	ts0 := binary.BigEndian.Uint32(p[0].payload[4:])
	least := func(part []datagram) (at, delay float64) {
		delays := make([][2]float64, len(part))
		for i, d := range part {
			media := float64(binary.BigEndian.Uint32(d.payload[4:])-ts0) * 125_000
			delays[i] = [2]float64{media, float64(d.t-p[0].t) - media}
		}
		sort.Slice(delays, func(i, j int) bool { return delays[i][1] < delays[j][1] })
		return delays[0][0], delays[0][1]
	}
	t1, d1 := least(p[:len(p)/3])
	t2, d2 := least(p[2*len(p)/3:])
	return -(d2 - d1) / (t2 - t1) * 1e6
}
