package evidence

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/rtp"
)

var (
	box = ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, 7})}
	far = [4]byte{198, 51, 100, 9}
	own = [4]byte{203, 0, 113, 7}
)

// ipv4 is a raw IPv4 packet; flags is the word with the fragment's offset.
func ipv4(src, dst [4]byte, proto byte, flags uint16, body []byte) []byte {
	n := 20 + len(body)
	b := []byte{0x45, 0, byte(n >> 8), byte(n), 0, 1, byte(flags >> 8), byte(flags), 64, proto, 0, 0}
	b = append(append(b, src[:]...), dst[:]...)
	return append(b, body...)
}

func udp(sport, dport uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

func tcp(sport, dport uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0)
	return append(b, payload...)
}

func message(first, method, headers, kind, body string) string {
	if kind != "" {
		headers += "Content-Type: " + kind + "\r\n"
	}
	return first + "\r\nVia: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bK1\r\nFrom: <sip:1000@a>;tag=a\r\nTo: <sip:13800138000@b>\r\nCall-ID: one\r\nCSeq: 1 " + method + "\r\n" +
		headers + "Content-Length: " + string(appendInt(nil, len(body))) + "\r\n\r\n" + body
}

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

const (
	sdp    = "v=0\r\no=- 1 1 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
	secret = "what nobody may keep"
)

// batch holds frames of raw IP, one millisecond apart.
func batch(frames ...[]byte) *capture.Batch {
	b := capture.NewBatch(nil, nil)
	for i, f := range frames {
		b.Frames = append(b.Frames, capture.Frame{Time: 1_800_000_000_123_456_789 + int64(i)*1e6, Off: uint32(len(b.Block)), Len: uint32(len(f)), Wire: uint32(len(f)), Link: capture.LinkRaw})
		b.Block = append(b.Block, f...)
	}
	return b
}

// written cuts frames and reads what was written by a reader of others.
func written(t *testing.T, authority string, frames ...[]byte) (packets [][]byte, wire []int, c *Cutter) {
	t.Helper()
	dir := t.TempDir()
	c, err := NewCutter(dir, []ident.Line{box, box}, Options{Authority: authority, Version: "1.2"})
	if err != nil {
		t.Fatal(err)
	}
	c.Batch(batch(frames...))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "203.0.113.7.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if errors.Is(err, io.EOF) && c.Counters.Packets == 0 {
		return nil, nil, c // a file without packets has no interface
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := 1_800_000_000_123_456_789 + int64(len(packets))*1e6; len(packets) == 0 && info.Timestamp.UnixNano() != want {
			t.Errorf("time %d, want %d", info.Timestamp.UnixNano(), want)
		}
		packets = append(packets, bytes.Clone(data))
		wire = append(wire, info.Length)
	}
	if uint64(len(packets)) != c.Counters.Packets {
		t.Errorf("%d packets read, %d counted", len(packets), c.Counters.Packets)
	}
	return packets, wire, c
}

func TestCut(t *testing.T) {
	rtp := "\x80\x08\x00\x01\x00\x00\x00\xa0\x00\x00\x00\x01"
	extended := "\x92\x08\x00\x01\x00\x00\x00\xa0\x00\x00\x00\x01" + "\x00\x00\x00\x02\x00\x00\x00\x03" + "\xbe\xde\x00\x01"
	invite := message("INVITE sip:13800138000@b SIP/2.0", "INVITE", "", "application/sdp", sdp)
	digest := message("REGISTER sip:b SIP/2.0", "REGISTER", "Authorization: Digest username=\"u\", response=\""+secret+"\"\r\nProxy-Authorization: Basic "+secret+"\r\n  "+secret+"\r\nX: y\r\n", "", "")
	text := message("MESSAGE sip:b SIP/2.0", "MESSAGE", "", "text/plain", secret)
	keys := message("INFO sip:b SIP/2.0", "INFO", "", "application/dtmf-relay", secret)
	lie := message("MESSAGE sip:b SIP/2.0", "MESSAGE", "", "application/sdp", "v=0\r\n"+secret)
	for _, c := range []struct {
		name        string
		frame       []byte
		none, whole int // bytes behind the transport header, without and under authority
	}{
		{"rtp", ipv4(own, far, 17, 0, udp(4000, 4000, rtp+secret)), 12, 12},
		{"rtp to the line", ipv4(far, own, 17, 0, udp(4000, 4000, rtp+secret)), 12, 12},
		{"rtp with an extension", ipv4(own, far, 17, 0, udp(4000, 4000, extended+secret)), 24, 24},
		{"rtcp sender report", ipv4(own, far, 17, 0, udp(4001, 4001, "\x80\xc8\x00\x06\x00\x00\x00\x01\x00\x00\x00\x02"+secret)), 12, 12},
		{"rtcp with a name", ipv4(own, far, 17, 0, udp(4001, 4001, "\x81\xca\x00\x06\x00\x00\x00\x01\x01\x10"+secret)), 0, 0},
		{"control", ipv4(own, far, 17, 0, udp(44444, 44444, "req:1;id:box;pass:"+secret+";num:;")), 0, 0},
		{"too long for voice", ipv4(own, far, 17, 0, udp(4000, 4000, rtp+strings.Repeat("x", 400))), 0, 0},
		{"web", ipv4(own, far, 6, 0, tcp(50000, 80, "GET / HTTP/1.1\r\nCookie: "+secret+"\r\n\r\n")), 0, 0},
		{"call", ipv4(far, own, 17, 0, udp(5060, 5060, invite)), 0, len(invite)},
		{"call on tcp", ipv4(far, own, 6, 0, tcp(5060, 5060, invite)), 0, len(invite)},
		{"two on tcp", ipv4(far, own, 6, 0, tcp(5060, 5060, invite+text)), 0, len(invite) + len(text) - len(secret)},
		{"after the message", ipv4(far, own, 17, 0, udp(5060, 5060, invite+secret)), 0, len(invite)},
		{"text", ipv4(far, own, 17, 0, udp(5060, 5060, text)), 0, len(text) - len(secret)},
		{"keys", ipv4(far, own, 17, 0, udp(5060, 5060, keys)), 0, len(keys) - len(secret)},
		{"text as description", ipv4(far, own, 17, 0, udp(5060, 5060, lie)), 0, len(lie) - 5 - len(secret)},
		{"credentials", ipv4(own, far, 17, 0, udp(5060, 5060, digest)), 0, len(digest)},
		{"first fragment", ipv4(own, far, 17, 0x2000, udp(5060, 5060, invite[:40])), 0, 0},
		{"next fragment", ipv4(own, far, 17, 5, []byte(secret+"....")), -8, -8},
	} {
		for authority, want := range map[string]int{"": c.none, "case 7": c.whole} {
			packets, wire, cutter := written(t, authority, c.frame)
			if len(packets) != 1 {
				t.Fatalf("%s: %d packets", c.name, len(packets))
			}
			head := 28
			if c.frame[9] == 6 {
				head = 40
			}
			if got := len(packets[0]) - head; got != want || wire[0] != len(c.frame) {
				t.Errorf("%s under %q: %d bytes of %d, want %d", c.name, authority, got, wire[0], want)
			}
			if bytes.Contains(packets[0], []byte(secret)) || bytes.Contains(packets[0], []byte(secret[:12])) {
				t.Errorf("%s under %q: the secret is kept: %q", c.name, authority, packets[0])
			}
			if authority == "" && (!bytes.Equal(packets[0], c.frame[:len(packets[0])]) || cutter.Counters.Messages != 0) {
				t.Errorf("%s: not the beginning of the frame", c.name)
			}
		}
	}
	if packets, _, _ := written(t, "case 7", ipv4(far, [4]byte{203, 0, 113, 8}, 17, 0, udp(5060, 5060, invite))); len(packets) != 0 {
		t.Error("a packet of another line")
	}
	if packets, _, _ := written(t, "", ipv4(own, own, 17, 0, udp(1, 2, "x"))); len(packets) != 1 {
		t.Errorf("a packet from the line to itself is written %d times", len(packets))
	}
	if _, _, c := written(t, "", ipv4(far, [4]byte{192, 0, 2, 1}, 47, 0x2000, bytes.Repeat([]byte{0}, 64))); c.Counters.Outer != 1 {
		t.Error("a tunnel's fragment is not counted")
	}
}

// The longest packets of telephony that are accounted keep their header.
func TestCutLongestVoice(t *testing.T) {
	for n, want := range map[uint32]int{332: 12, rtp.MaxPayload: 12, rtp.MaxPayload + 1: 0} {
		b := make([]byte, n)
		b[0] = 0x80
		if got := rtpHeader(b); got != want {
			t.Errorf("%d bytes: %d kept, want %d", n, got, want)
		}
	}
}

// What is written is read again, and says where it came from.
func TestCutIsACapture(t *testing.T) {
	dir := t.TempDir()
	options := Options{Authority: "case 2026-114", Version: "1.2", First: 1_800_000_000e9, Last: 1_800_000_060e9}
	b := batch(ipv4(own, far, 17, 0, udp(1, 2, "hello")), ipv4(own, far, 17, 0, udp(1, 2, "hello")))
	b.Frames[1].Port = 3
	c, err := NewCutter(dir, []ident.Line{box}, options)
	if err != nil {
		t.Fatal(err)
	}
	c.Batch(b)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "203.0.113.7.pcapng")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"simtrap 1.2", "line 203.0.113.7", "2027-01-15T08:00:00Z to 2027-01-15T08:01:00Z", "under authority: case 2026-114"} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("the file lacks %q", want)
		}
	}
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	var got []capture.Frame
	for {
		in, err := files.Next(context.Background())
		if err != nil {
			break
		}
		got = append(got, in.Frames...)
	}
	if len(got) != 2 || got[0].Len != 28 || got[0].Wire != 33 || got[0].Link != capture.LinkRaw || got[0].Time != b.Frames[0].Time || got[1].Port == got[0].Port {
		t.Errorf("read again: %+v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	// Nothing is replaced unless told to, and nothing half made is left.
	other := ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, 1})}
	if _, err := NewCutter(dir, []ident.Line{other, box}, options); !errors.Is(err, fs.ErrExist) && (err == nil || !strings.Contains(err.Error(), "--force")) {
		t.Errorf("%v", err)
	}
	if now, _ := os.ReadFile(path); !bytes.Equal(now, raw) {
		t.Error("the file was touched")
	}
	if _, err := os.Stat(filepath.Join(dir, "203.0.113.1.pcapng")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half made: %v", err)
	}
	options.Force = true
	c, err = NewCutter(dir, []ident.Line{box}, options)
	if err != nil {
		t.Fatal(err)
	}
	c.Abort()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("aborted: %v", err)
	}
}

// TestEveryWrapping holds that the end of the headers is found whatever they
// are, and that what was carried is not written.
func TestEveryWrapping(t *testing.T) {
	for _, encap := range append(lab.Encaps(), "") {
		switch encap {
		case "atomic":
			encap = "ipv6+atomic"
		case "outer-fragments":
			encap = "gre+outer-fragments"
		case "outer6": // it says what a tunnel runs over
			encap = "gre+outer6"
		}
		for _, scenario := range []string{"goip-line", "home-plain"} {
			path := filepath.Join(t.TempDir(), "in")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			truth, err := lab.Make(f, lab.Options{Scenario: scenario, Seed: 1, Duration: 10 * time.Second, Encap: encap})
			if err != nil {
				t.Fatalf("%s: %v", encap, err)
			}
			f.Close()
			homes, err := ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24"}, 0)
			if err != nil {
				t.Fatal(err)
			}
			var lines []ident.Line
			for _, l := range truth.Lines {
				text, _, _ := strings.Cut(l.Address, "/")
				a, ok := ident.ParseAddr([]byte(text))
				if !ok {
					t.Fatal(l.Address)
				}
				lines = append(lines, homes.LineOf(a, 0))
			}
			dir := t.TempDir()
			c, err := NewCutter(dir, lines, Options{Homes: homes})
			if err != nil {
				t.Fatal(err)
			}
			files, err := capture.Open([]string{path}, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for {
				b, err := files.Next(context.Background())
				if err != nil {
					break
				}
				c.Batch(b)
				b.Release()
			}
			files.Close()
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if c.Counters.Unplaced != 0 || c.Counters.Packets == 0 && c.Counters.Outer == 0 {
				t.Errorf("%s: %+v", encap, c.Counters)
			}
			out, _ := filepath.Glob(filepath.Join(dir, "*"))
			for _, name := range out {
				raw, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				for _, never := range []string{"SIP/2.0", "pass:", "imsi", "Via:"} {
					if bytes.Contains(raw, []byte(never)) {
						t.Errorf("%s: %q is written", encap, never)
					}
				}
			}
		}
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7": "203.0.113.7.pcapng", "city/2001:db8:1:2::/64": "city_2001-db8-1-2--_64.pcapng", `a\b`: "a_b.pcapng", "../x": ".._x.pcapng",
	} {
		if got := FileName(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestManyLines(t *testing.T) {
	var lines []ident.Line
	for i := range MaxLines + 10 {
		lines = append(lines, ident.Line{Addr: ident.AddrFrom4([]byte{10, 0, byte(i >> 8), byte(i)})})
	}
	c, err := NewCutter(t.TempDir(), lines, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	if c.Lines() != MaxLines {
		t.Errorf("%d files", c.Lines())
	}
}

func TestBlot(t *testing.T) {
	in := "A: b\r\nAUTHORIZATION : Digest x\r\n\tmore\r\nC: d\rProxy-Authorization:y\nauthorization\n e\r\n"
	want := "A: b\r\nAUTHORIZATION : ****** *\r\n\t****\r\nC: d\rProxy-Authorization:*\nauthorization\n *\r\n"
	b := []byte(in)
	blot(b)
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzCut(f *testing.F) {
	f.Add(ipv4(own, far, 17, 0, udp(5060, 5060, message("MESSAGE sip:b SIP/2.0", "MESSAGE", "", "text/plain", secret))), uint16(capture.LinkRaw))
	f.Add(ipv4(own, far, 6, 0, tcp(5060, 5060, message("INVITE sip:b SIP/2.0", "INVITE", "Authorization: x\r\n", "application/sdp", sdp))), uint16(capture.LinkRaw))
	f.Add(ipv4(far, own, 17, 0x2000, udp(1, 2, "x")), uint16(capture.LinkIPv4))
	f.Fuzz(func(t *testing.T, frame []byte, link uint16) {
		for _, authority := range []string{"", "case"} {
			c := &Cutter{Trimmer: Trimmer{o: Options{Authority: authority}}, lines: make(map[ident.Line]*target)}
			var out bytes.Buffer
			c.lines[box] = &target{w: NewPacketWriter(&out, "", "")}
			b := batch(frame)
			b.Frames[0].Link = capture.LinkType(link)
			c.Batch(b)
			c.lines[box].w.Flush()
			if c.Counters.Packets == 0 {
				continue
			}
			if n := out.Len(); n > len(frame)+256 {
				t.Fatalf("%d bytes of %d", n, len(frame))
			}
			r, err := pcapgo.NewNgReader(&out, pcapgo.DefaultNgReaderOptions)
			if err != nil {
				t.Fatal(err)
			}
			data, _, err := r.ReadPacketData()
			if err != nil || len(data) > len(frame) || authority == "" && !bytes.Equal(data, frame[:len(data)]) {
				t.Fatalf("%q of %q, %v", data, frame, err)
			}
		}
	})
}

// An address that had several tenants is cut at the times of the findings about
// it: what passed before, between and after is another subscriber's.
func TestCutOfOneTenant(t *testing.T) {
	dir := t.TempDir()
	packet := ipv4(own, far, 17, 0, udp(1, 2, "hello"))
	b := batch(packet, packet, packet, packet, packet, packet)
	at := func(i int) int64 { return b.Frames[i].Time }
	c, err := NewCutter(dir, []ident.Line{box}, Options{Times: map[ident.Line][]Span{box: {{at(1), at(2)}, {at(4), at(4)}}}})
	if err != nil {
		t.Fatal(err)
	}
	c.Batch(b)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c.Counters.Packets != 3 || c.Counters.Others != 3 {
		t.Errorf("%+v", c.Counters)
	}
	text, err := os.ReadFile(filepath.Join(dir, "203.0.113.7.pcapng"))
	if err != nil || !strings.Contains(string(text), "at the times of its findings only") {
		t.Errorf("the comment does not tell of it: %v", err)
	}
}

// TestNamesAlike: lines whose file names come out alike have a file each, also
// where files are replaced.
func TestNamesAlike(t *testing.T) {
	dir := t.TempDir()
	lines := []ident.Line{{Addr: ident.AddrFrom4([]byte{203, 0, 113, 1})}, {Addr: ident.AddrFrom4([]byte{203, 0, 113, 2})}, {Addr: ident.AddrFrom4([]byte{203, 0, 113, 3})}}
	names := map[ident.Line]string{lines[0]: "a/b", lines[1]: "a_b", lines[2]: "a_b-2"}
	for _, force := range []bool{false, true} {
		c, err := NewCutter(dir, lines, Options{Name: func(l ident.Line) string { return names[l] }, Force: force})
		if err != nil {
			t.Fatalf("force %v: %v", force, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != len(lines) {
			t.Errorf("force %v: %d files of %d lines", force, len(files), len(lines))
		}
	}
}

// TestForceLink: what is replaced is a name in the folder, not what it leads to,
// and the new file is its owner's alone.
func TestForceLink(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	line := ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, 1})}
	path := filepath.Join(dir, FileName(line.String()))
	open := func(force bool) error {
		c, err := NewCutter(dir, []ident.Line{line}, Options{Force: force})
		if err != nil {
			return err
		}
		return c.Close()
	}
	if err := os.WriteFile(other, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	if err := open(false); err == nil {
		t.Error("what was there was replaced without force")
	}
	if err := open(true); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(other); err != nil || string(b) != "kept" {
		t.Errorf("the file behind the link: %q, %v", b, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the new file: %v, %v", info, err)
	}
}
