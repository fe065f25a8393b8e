package hello

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// flight is what one end of a connection wrote at once.
type flight struct {
	client bool
	data   []byte
}

// conversation records both directions of a handshake of crypto/tls.
func conversation(t testing.TB, client, server *tls.Config) (out []flight) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "voip.example"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server.Certificates = []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}
	client.InsecureSkipVerify = true
	near, far := net.Pipe()
	var mu sync.Mutex
	note := func(c bool) func([]byte) {
		return func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			out = append(out, flight{c, append([]byte(nil), b...)})
		}
	}
	done := make(chan error, 1)
	go func() {
		s := tls.Server(noted{far, note(false)}, server)
		err := s.Handshake()
		_, _ = io.ReadFull(s, make([]byte, 1))
		done <- err
	}()
	c := tls.Client(noted{near, note(true)}, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	near.Close()
	far.Close()
	return out
}

type noted struct {
	net.Conn
	note func([]byte)
}

func (n noted) Write(b []byte) (int, error) { n.note(b); return n.Conn.Write(b) }

// read gives flights to a table in segments of so many bytes, and what came out.
func read(t *Handshakes, list []flight, segment int) (got []Hello) {
	seq := map[bool]uint32{true: 1<<32 - 100, false: 7} // one goes past the end
	for i, f := range list {
		for b := f.data; len(b) > 0; {
			n := min(segment, len(b))
			p := &Packet{Key: 5 << 32, Way: f.client, Stream: true, Seq: seq[f.client], Ack: seq[!f.client], Time: int64(i + 1), Payload: b[:n]}
			seq[f.client] += uint32(n)
			b = b[n:]
			for range 2 { // each is sent again
				if h, _, ok := t.Packet(p); ok {
					got = append(got, h)
				}
			}
		}
	}
	return got
}

func TestTLS(t *testing.T) {
	for _, x := range []struct {
		name    string
		client  *tls.Config
		version uint16
		ja4     string // as far as crypto/tls leaves no choice
		want    Hello
	}{
		{"1.3", &tls.Config{ServerName: "sip.example", NextProtos: []string{"h2"}}, tls.VersionTLS13, "t13d", Hello{Protocol: TLS, Name: "sip.example", Version: 0x0304}},
		{"1.2", &tls.Config{ServerName: "sip.example"}, tls.VersionTLS12, "t13d", Hello{Protocol: TLS, Name: "sip.example", Version: 0x0303, Bare: true, Issuer: "voip.example", SelfIssued: true}},
		{"1.2 alone, no name", &tls.Config{MaxVersion: tls.VersionTLS12}, tls.VersionTLS12, "t12i", Hello{Protocol: TLS, Version: 0x0303, Bare: true, Issuer: "voip.example", SelfIssued: true}},
	} {
		t.Run(x.name, func(t *testing.T) {
			list := conversation(t, x.client, &tls.Config{MaxVersion: x.version, NextProtos: []string{"h2"}})
			for _, segment := range []int{1 << 14, 536, 100} {
				var table Handshakes
				got := read(&table, list, segment)
				if len(got) != 1 || !strings.HasPrefix(got[0].JA4, x.ja4) || len(got[0].JA4) != 36 || len(got[0].JA3) != 32 {
					t.Fatalf("segments of %d: %+v, %+v", segment, got, table.Counters)
				}
				got[0].JA3, got[0].JA4 = "", ""
				if d := cmp.Diff(x.want, got[0]); d != "" {
					t.Errorf("segments of %d (-want +got):\n%s", segment, d)
				}
				if table.Counters != (HandshakeCounters{}) {
					t.Errorf("segments of %d: %+v", segment, table.Counters)
				}
			}
			// One direction alone shows nothing.
			var table Handshakes
			var one []flight
			for _, f := range list {
				if f.client {
					one = append(one, f)
				}
			}
			if got := read(&table, one, 1460); len(got) != 0 {
				t.Errorf("without answers: %+v", got)
			}
		})
	}
}

// TestJA4 takes the example of FoxIO's technical_details/JA4.md.
func TestJA4(t *testing.T) {
	c := client{
		version: 0x0303, highest: 0x0304, hasName: true, hasALPN: true, alpn: "h2",
		suites:     []uint16{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		extensions: []uint16{0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015},
		signatures: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
	if got, want := c.ja4(false), "t13d1516h2_8daaf6152771_e5627efa2ab1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c = client{version: 0x0301, highest: 0x0301}
	if got, want := c.ja4(true), "q10i000000_000000000000_000000000000"; got != want {
		t.Errorf("of nothing %s, want %s", got, want)
	}
	for in, want := range map[string]string{"": "00", "http/1.1": "h1", "h": "hh", "\x0a\x0bz": "0a", "\xab\xcd": "ad"} {
		if in == "\x0a\x0bz" {
			want = "0a" // 0a0b7a
		}
		if got := firstAndLast(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// TestJA3 takes the first example of github.com/salesforce/ja3.
func TestJA3(t *testing.T) {
	c := client{
		version:    769,
		suites:     []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4},
		extensions: []uint16{0, 10, 11}, groups: []uint16{23, 24, 25}, formats: []byte{0},
	}
	if got, want := c.ja3(), "ada70206e40642a3e4461f35503241d5"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c = client{version: 769, suites: []uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}}
	if got, want := c.ja3(), "de350869b8c85de67a350c8d186f11e6"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// rfcInitial is the packet of RFC 9001 appendix A.2.
func rfcInitial(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/rfc9001-a2.hex")
	if err != nil {
		t.Fatal(err)
	}
	return unhex(t, strings.ReplaceAll(string(b), "\n", ""))
}

// quicAnswer is a server's packet with a long header.
func quicAnswer(version uint32) []byte {
	first := byte(0xc1) // Initial
	if version == quic2 {
		first = 0xd1
	}
	b := binary.BigEndian.AppendUint32([]byte{first}, version)
	return append(b, make([]byte, 100)...)
}

func quicRead(t *Handshakes, key uint64, packets ...[]byte) (h Hello, ok bool) {
	for i, b := range packets {
		if h, _, ok = t.Packet(&Packet{Key: key, Way: i < len(packets)-1, Time: 1, Payload: b}); ok && i < len(packets)-1 {
			return h, false // before the answer
		}
	}
	return h, ok
}

func TestQUIC(t *testing.T) {
	initial := rfcInitial(t)
	var table Handshakes
	h, ok := quicRead(&table, 1, initial, quicAnswer(quic1))
	want := Hello{Protocol: QUIC, Name: "example.com", Version: 0x0304, JA3: h.JA3, JA4: h.JA4}
	if d := cmp.Diff(want, h); !ok || d != "" || !strings.HasPrefix(h.JA4, "q13d02") {
		t.Errorf("%v %+v (-want +got):\n%s", ok, table.Counters, d)
	}
	changed := append([]byte(nil), initial...)
	changed[600]++
	if h, ok := quicRead(&table, 2, changed, quicAnswer(quic1)); ok || table.Counters.Broken != 1 {
		t.Errorf("changed on the way: %+v, %+v", h, table.Counters)
	}
	if h, ok := quicRead(&table, 1, initial, quicAnswer(quic2)); ok {
		t.Errorf("answered in another version: %+v", h)
	}
}

// sealed makes a client's first packet of version 2 with the keys that RFC 9369
// appendix A.1 gives for its connection ID.
func sealed(t testing.TB, number byte, frames []byte) []byte {
	t.Helper()
	return sealedTo(t, unhex(t, "8394c8f03e515708"), number, frames)
}

// sealedTo makes one to a server that goes by another name by then, of eight bytes.
func sealedTo(t testing.TB, server []byte, number byte, frames []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(unhex(t, "8b1a0bc121284290a29e0971b5cd045d"))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := unhex(t, "91f73e2351d8fa91660e909f")
	mask, err := aes.NewCipher(unhex(t, "45b95e15235d6f45a6b19cbcb0294ba9"))
	if err != nil {
		t.Fatal(err)
	}
	frames = append(frames[:len(frames):len(frames)], make([]byte, 1200-len(frames))...)
	head := append([]byte{0xd0, 0x6b, 0x33, 0x43, 0xcf, 8}, server...)
	head = append(head, 0, 0) // no connection ID of its own, no token
	head = binary.BigEndian.AppendUint16(head, 0x4000|uint16(1+len(frames)+aead.Overhead()))
	at := len(head)
	head = append(head, number)
	nonce[11] ^= number
	b := aead.Seal(append([]byte(nil), head...), nonce, frames, head)
	var m [16]byte
	mask.Encrypt(m[:], b[at+4:at+20])
	b[0] ^= m[0] & 0x0f
	b[at] ^= m[1]
	return b
}

// TestQUICPieces: version 2, with the client's message in pieces out of their order
// over two packets, with another kind of frame between.
func TestQUICPieces(t *testing.T) {
	list := conversation(t, &tls.Config{ServerName: "pieces.example", NextProtos: []string{"h3"}, CurvePreferences: []tls.CurveID{tls.X25519}}, &tls.Config{NextProtos: []string{"h3"}})
	msg := list[0].data[recordHead:]
	frame := func(from, to int) []byte {
		b := []byte{6}
		b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(from))
		b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(to-from))
		return append(b, msg[from:to]...)
	}
	ping, ack := []byte{1, 0, 0}, []byte{2, 0, 0, 1, 0, 0, 0}
	half := len(msg) / 2
	one := sealed(t, 0, join(frame(half, len(msg)), ping, frame(100, half)))
	two := sealed(t, 1, join(ack, frame(0, 60), frame(50, 100)))
	var table Handshakes
	h, ok := quicRead(&table, 9<<32, one, two, quicAnswer(quic2))
	if !ok || h.Name != "pieces.example" || h.Protocol != QUIC || h.Bare || !strings.HasPrefix(h.JA4, "q13d") || !strings.Contains(h.JA4, "h3_") {
		t.Errorf("%v %+v %+v", ok, h, table.Counters)
	}
	table = Handshakes{}
	if h, ok := quicRead(&table, 9<<32, one, quicAnswer(quic2)); ok {
		t.Errorf("half a message gives %+v", h)
	}
	retry := quicAnswer(quic2)
	retry[0] = 0xc0
	table.Packet(&Packet{Key: 9 << 32, Way: true, Time: 1, Payload: one})
	table.Packet(&Packet{Key: 9 << 32, Time: 1, Payload: retry})
	if table.places[9] != nil {
		t.Error("goes on after a Retry, which changes the keys")
	}
}

// TestTLSPieces: segments cut anyhow, over each other, out of order, with the
// first of either side in front of its others alone.
func TestTLSPieces(t *testing.T) {
	list := conversation(t, &tls.Config{ServerName: "sip.example"}, &tls.Config{MaxVersion: tls.VersionTLS12})
	ask, back, on := list[0].data, list[1].data, list[2].data
	const near, far = uint32(1<<32 - 50), uint32(1<<32 - 3)
	up := func(from, to int, ack uint32) *Packet {
		return &Packet{Key: 5, Way: true, Stream: true, Seq: near + uint32(from), Ack: far + ack, Time: 1, Payload: ask[from:min(to, len(ask))]}
	}
	down := func(from, to int) *Packet {
		return &Packet{Key: 5, Stream: true, Seq: far + uint32(from), Ack: near + uint32(len(ask)), Time: 1, Payload: back[from:min(to, len(back))]}
	}
	last := &Packet{Key: 5, Way: true, Stream: true, Seq: near + uint32(len(ask)), Ack: far + uint32(len(back)), Time: 2, Payload: on}
	whole := len(ask)
	for name, order := range map[string][]*Packet{
		"six bytes first":            {up(0, 6, 0), up(6, 8, 0), up(8, whole, 0), down(0, len(back))},
		"out of order":               {up(0, 60, 0), up(120, whole, 0), up(60, 120, 0), down(0, len(back))},
		"over each other":            {up(0, 80, 0), up(40, 130, 0), up(100, whole, 0), down(0, len(back))},
		"the first again, longer":    {up(0, 80, 0), up(0, whole, 0), down(0, len(back))},
		"server's out of order":      {up(0, whole, 0), down(200, len(back)), down(0, 200)},
		"server's over each other":   {up(0, whole, 0), down(0, 100), down(50, 300), down(0, len(back))},
		"six bytes of the server":    {up(0, whole, 0), down(0, 6), down(6, len(back))},
		"behind what was before TLS": {up(0, whole, 0), {Key: 5, Stream: true, Seq: far - 3, Ack: near + uint32(whole), Time: 1, Payload: join([]byte("ok\n"), back)}},
		"hello again after answer":   {up(0, whole, 0), down(0, 200), up(0, whole, 0), down(200, len(back))},
	} {
		var table Handshakes
		var got []Hello
		for _, p := range append(order, last) {
			if h, client, ok := table.Packet(p); ok {
				got = append(got, h)
				if client != p.Way {
					t.Errorf("%s: client %v of a packet of way %v", name, client, p.Way)
				}
			}
		}
		if len(got) != 1 || got[0].Name != "sip.example" || got[0].Issuer != "voip.example" || table.Counters != (HandshakeCounters{}) {
			t.Errorf("%s: %+v, %+v", name, got, table.Counters)
		}
	}
}

// TestQUICConversation: what clients and servers send beside the first piece of the
// message, which must neither hide it nor what others say.
func TestQUICConversation(t *testing.T) {
	list := conversation(t, &tls.Config{ServerName: "pieces.example", NextProtos: []string{"h3"}, CurvePreferences: []tls.CurveID{tls.X25519}}, &tls.Config{NextProtos: []string{"h3"}})
	msg := list[0].data[recordHead:]
	half := len(msg) / 2
	frame := func(from, to int) []byte {
		b := []byte{6}
		b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(from))
		b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(to-from))
		return append(b, msg[from:to]...)
	}
	ack := []byte{2, 0, 0, 0, 0}
	client := func(b []byte) *Packet { return &Packet{Key: 9 << 32, Way: true, Time: 1, Payload: b} }
	// A server's first packet, in which it names itself.
	server := append([]byte{0xd1, 0x6b, 0x33, 0x43, 0xcf, 0, 8}, "serverID"...)
	server = append(server, make([]byte, 100)...)
	answer := &Packet{Key: 9 << 32, Time: 1, Payload: server}
	own := unhex(t, "8394c8f03e515708")
	named := []byte("serverID")
	first, second := sealedTo(t, own, 0, frame(0, half)), sealedTo(t, own, 1, frame(half, len(msg)))
	bent := append([]byte(nil), second...)
	bent[900]++
	for name, x := range map[string]struct {
		order  []*Packet
		at     int // which of them tells
		broken uint64
	}{
		"two pieces":                        {[]*Packet{client(first), client(second), answer}, 2, 0},
		"the second first":                  {[]*Packet{client(second), client(first), answer}, 2, 0},
		"the first again":                   {[]*Packet{client(first), client(first), client(second), answer}, 3, 0},
		"acknowledged between":              {[]*Packet{client(first), answer, client(second)}, 2, 0},
		"and the rest under the new name":   {[]*Packet{client(first), answer, client(sealedTo(t, named, 1, frame(half, len(msg))))}, 2, 0},
		"an acknowledgement alone":          {[]*Packet{client(first), answer, client(sealedTo(t, named, 1, ack)), client(sealedTo(t, named, 2, frame(half, len(msg))))}, 3, 0},
		"the first three bytes":             {[]*Packet{client(sealedTo(t, own, 0, frame(0, 3))), client(sealedTo(t, own, 1, frame(3, len(msg)))), answer}, 2, 0},
		"both in a datagram":                {[]*Packet{client(join(first, second)), answer}, 1, 0},
		"one bent on the way, sent again":   {[]*Packet{client(first), client(bent), client(second), answer}, 3, 1},
		"acknowledgements after the answer": {[]*Packet{client(first), client(second), answer, client(sealedTo(t, named, 2, ack)), client(first), answer}, 2, 0},
	} {
		var table Handshakes
		told := -1
		for i, p := range x.order {
			h, way, ok := table.Packet(p)
			if !ok {
				continue
			}
			if told >= 0 || h.Name != "pieces.example" || way != p.Way {
				t.Errorf("%s: packet %d tells %+v after %d", name, i, h, told)
			}
			told = i
		}
		if told != x.at || table.Counters != (HandshakeCounters{Broken: x.broken}) {
			t.Errorf("%s: told by packet %d, want %d: %+v", name, told, x.at, table.Counters)
		}
	}
	// The next connection of the same ports is another.
	var table Handshakes
	for _, p := range []*Packet{client(first), client(second), answer} {
		table.Packet(p)
	}
	if h, ok := quicRead(&table, 9<<32, rfcInitial(t), quicAnswer(quic1)); !ok || h.Name != "example.com" || table.Counters != (HandshakeCounters{}) {
		t.Errorf("of another connection: %v %+v, %+v", ok, h, table.Counters)
	}
}

func TestHandshakesBounded(t *testing.T) {
	list := conversation(t, &tls.Config{ServerName: "sip.example"}, &tls.Config{})
	first := list[0].data
	var table Handshakes
	for i := range uint64(3 * maxSecond) {
		table.Packet(&Packet{Key: i<<32 | 1, Way: true, Stream: true, Time: 5, Payload: first})
	}
	if c := table.Counters; c.Crowded != 2*maxSecond || c.Displaced != maxSecond-handshakePlaces {
		t.Errorf("%+v", c)
	}
	// A message that never ends.
	table = Handshakes{}
	endless := append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc}, make([]byte, 1000)...)
	seq := uint32(0)
	for range 6 {
		table.Packet(&Packet{Key: 3, Way: true, Stream: true, Seq: seq, Time: 5, Payload: endless})
		seq += uint32(len(endless))
	}
	if table.Counters.TooLong != 1 {
		t.Errorf("%+v", table.Counters)
	}
	// One of QUIC that is longer than what is kept.
	table = Handshakes{}
	part := make([]byte, 1100)
	for i := range 4 {
		frame := binary.BigEndian.AppendUint16([]byte{6}, 0x4000|uint16(i*len(part)))
		frame = binary.BigEndian.AppendUint16(frame, 0x4000|uint16(len(part)))
		if copy(part, make([]byte, 4)); i == 0 {
			copy(part, []byte{clientHello, 0, 0x3f, 0xfc})
		}
		table.Packet(&Packet{Key: 3, Way: true, Time: 5, Payload: sealed(t, byte(i), append(frame, part...))})
	}
	if table.Counters != (HandshakeCounters{TooLong: 1}) || table.places[0] != nil {
		t.Errorf("%+v", table.Counters)
	}
	// A hole that is not filled before the answer.
	table = Handshakes{}
	table.Packet(&Packet{Key: 3, Way: true, Stream: true, Seq: 1, Time: 5, Payload: first[:50]})
	table.Packet(&Packet{Key: 3, Way: true, Stream: true, Seq: 90, Time: 5, Payload: first[89:]})
	if h, _, ok := table.Packet(&Packet{Key: 3, Stream: true, Seq: 1, Time: 6, Payload: list[1].data}); ok {
		t.Errorf("read through a hole: %+v", h)
	}
	if table.Counters.Holes != 1 {
		t.Errorf("%+v", table.Counters)
	}
}

func FuzzHandshakes(f *testing.F) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		list := conversation(f, &tls.Config{ServerName: "sip.example"}, &tls.Config{MaxVersion: version})
		f.Add(list[0].data, list[1].data, true, uint16(300))
	}
	f.Add(rfcInitial(f), quicAnswer(quic1), false, uint16(1))
	f.Add(sealed(f, 0, []byte{6, 0, 4, 1, 0, 0, 0}), quicAnswer(quic2), false, uint16(1))
	f.Fuzz(func(t *testing.T, ask, back []byte, stream bool, cut uint16) {
		var table Handshakes
		n := min(int(cut), len(ask))
		parts := [][]byte{ask[:n], ask[n:]}
		if !stream {
			parts = [][]byte{ask, ask}
		}
		seq := uint32(0)
		for _, b := range parts {
			if h, _, ok := table.Packet(&Packet{Key: 1, Way: true, Stream: stream, Seq: seq, Time: 1, Payload: b}); ok {
				t.Fatalf("without an answer: %+v", h)
			}
			seq += uint32(len(b))
		}
		for range 2 {
			h, client, ok := table.Packet(&Packet{Key: 1, Stream: stream, Time: 2, Payload: back})
			if ok && (client || len(h.JA4) != 36 || len(h.JA3) != 32 || len(h.Name) > maxName || len(h.Issuer) > maxIssuer) {
				t.Fatalf("%v %+v", client, h)
			}
			if x := table.places[0]; x != nil && (x.client != nil && len(x.client.data) > maxClient || x.server != nil && len(x.server.data) > maxServer) {
				t.Fatal("more is kept than may be")
			}
		}
	})
}

// FuzzClient reads a client's message by itself, which the frame around it hides
// from FuzzHandshakes.
func FuzzClient(f *testing.F) {
	list := conversation(f, &tls.Config{ServerName: "sip.example", NextProtos: []string{"h2"}}, &tls.Config{NextProtos: []string{"h2"}})
	f.Add(list[0].data[recordHead+4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h := Hello{Protocol: TLS}
		if readClient(b, &h) && len(h.JA4) != 36 {
			t.Fatal(h.JA4)
		}
		issuer, _, _ := readCertificate(b)
		if len(issuer) > maxIssuer {
			t.Fatal(issuer)
		}
		_, _ = readServer(b)
		newPieces(maxClient).frames(b)
	})
}
