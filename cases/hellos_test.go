package cases

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"simtrap/capture"
	"simtrap/hidden/hello"
	"simtrap/packet"
)

// print is what a client's first message is known by.
type print struct{ ja3, ja4, name string }

// clientHellos gives the fingerprints that package hello reads of a capture, by the
// client's end and the server's, and how many it had no room for.
func clientHellos(t *testing.T, path string) (map[string]print, hello.HandshakeCounters) {
	t.Helper()
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	out := map[string]print{}
	flows := map[string]uint64{}
	var table hello.Handshakes
	var d packet.Decoder
	for {
		b, err := files.Next(t.Context())
		if err != nil {
			return out, table.Counters
		}
		for i, f := range b.Frames {
			var p packet.Packet
			p.Time = f.Time
			kind := d.Frame(f.Link, b.Data(i), f.Wire, &p)
			if kind != packet.Datagram && kind != packet.Segment || len(p.Payload) == 0 || p.Cut() {
				continue
			}
			from, to := fmt.Sprintf("%s:%d", p.Src, p.SrcPort), fmt.Sprintf("%s:%d", p.Dst, p.DstPort)
			way := from < to
			name := fmt.Sprint(kind, min(from, to), max(from, to))
			if flows[name] == 0 {
				flows[name] = uint64(len(flows)+1) * 0x9e3779b97f4a7c15
			}
			h, client, ok := table.Packet(&hello.Packet{Key: flows[name], Way: way, Stream: kind == packet.Segment, Seq: p.TCPSeq, Ack: p.TCPAck, Time: p.Time, Payload: p.Payload})
			if !ok {
				continue
			}
			if !client {
				from, to = to, from
			}
			key := h.Protocol.String() + " " + from + " > " + to
			if _, again := out[key]; !again {
				out[key] = print{h.JA3, h.JA4, h.Name}
			}
		}
		b.Release()
	}
}

// theirHellos gives them as tshark reads them: JA3 is its own, JA4 is put together
// here of the fields that it takes apart, after FoxIO's technical_details/JA4.md.
// answered tells of which flows it saw the server's message as well.
func theirHellos(t *testing.T, path string) (out map[string][]print, answered map[string]bool) {
	t.Helper()
	fields := []string{"tls.handshake.type", "quic.version", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "tcp.srcport", "udp.srcport", "tcp.dstport", "udp.dstport",
		"tls.handshake.ja3", "tls.handshake.version", "tls.handshake.ciphersuite", "tls.handshake.extension.type", "tls.handshake.sig_hash_alg",
		"tls.handshake.extensions_alpn_str", "tls.handshake.extensions.supported_version", "tls.handshake.extensions_server_name", "tls.handshake.sig_hash_alg_len"}
	args := []string{"-Y", "(tls.handshake.type == 1 || tls.handshake.type == 2) && !dtls && !icmp && !icmpv6", "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, answered = map[string][]print{}, map[string]bool{}
	for row := range strings.Lines(tshark(t, path, args...)) {
		c := strings.Split(strings.TrimRight(row, "\n"), "|")
		if len(c) != len(fields) || strings.Contains(c[2]+c[3], ",") {
			continue // names with the separator in them; tunnels, which have several addresses
		}
		protocol, transport := "tls ", "t"
		if c[7] != "" {
			protocol, transport = "quic ", "q"
		}
		from, to := c[2]+c[3]+":"+c[6]+c[7], c[4]+c[5]+":"+c[8]+c[9]
		switch kind, _, _ := strings.Cut(c[0], ","); {
		case kind == "2":
			answered[protocol+to+" > "+from] = true
			continue
		case c[0] != "1":
			continue // several messages in a packet: whose fields are whose is not told
		}
		out[protocol+from+" > "+to] = append(out[protocol+from+" > "+to], print{c[10], theirJA4(t, transport, c[11:]), c[17]})
	}
	return out, answered
}

func theirJA4(t *testing.T, transport string, c []string) string {
	numbers := func(s string) (out []int) {
		for f := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' }) {
			n, err := strconv.ParseInt(f, 0, 32)
			if err != nil {
				t.Fatalf("%q: %v", f, err)
			}
			// What means nothing: 0x0a0a, 0x1a1a and so on.
			if n&0xff == n>>8 && n&0xf == 0xa {
				continue
			}
			out = append(out, int(n))
		}
		return out
	}
	hashed := func(list []int) string {
		var words []string
		for _, n := range list {
			words = append(words, fmt.Sprintf("%04x", n))
		}
		return strings.Join(words, ",")
	}
	sum := func(s string) string {
		if s == "" {
			return strings.Repeat("0", 12)
		}
		h := sha256.Sum256([]byte(s))
		return hex.EncodeToString(h[:])[:12]
	}
	suites, extensions := numbers(c[1]), numbers(c[2])
	highest := slices.Max(append(numbers(c[5]), 0))
	if highest == 0 {
		highest = numbers(c[0])[0]
	}
	version, ok := map[int]string{0x304: "13", 0x303: "12", 0x302: "11", 0x301: "10", 0x300: "s3"}[highest]
	if !ok {
		version = "00"
	}
	name := "i"
	if slices.Contains(extensions, 0) {
		name = "d"
	}
	alpn := "00"
	if first, _, _ := strings.Cut(c[4], ","); first != "" {
		alpn = first[:1] + first[len(first)-1:]
	}
	count := len(extensions)
	extensions = slices.DeleteFunc(extensions, func(n int) bool { return n == 0 || n == 16 })
	slices.Sort(suites)
	slices.Sort(extensions)
	last := hashed(extensions)
	// Certificates and delegated credentials have lists of the same form; signature_algorithms
	// (13) is the one that counts.
	signatures, lengths := numbers(c[3]), numbers(c[7])
	for _, e := range numbers(c[2]) {
		if (e == 13 || e == 34 || e == 50) && len(lengths) > 0 {
			n := min(lengths[0]/2, len(signatures))
			if e == 13 && n > 0 {
				last += "_" + hashed(signatures[:n])
			}
			signatures, lengths = signatures[n:], lengths[1:]
		}
	}
	if count == 0 {
		last = ""
	}
	return fmt.Sprintf("%s%s%s%02d%02d%s_%s_%s", transport, version, name, min(len(suites), 99), min(count, 99), alpn, sum(hashed(suites)), sum(last))
}

// sameHellos compares both readings of a capture and gives how many clients were
// told by package hello, and of how many tshark saw both ends.
func sameHellos(t *testing.T, path string) (told, both int) {
	t.Helper()
	got, lost := clientHellos(t, path)
	want, answered := theirHellos(t, path)
	for _, k := range slices.Sorted(maps.Keys(got)) {
		w, ok := want[k]
		if !ok {
			t.Logf("%s: tshark tells of no client by itself", k)
			continue
		}
		told++
		if !slices.Contains(w, got[k]) {
			t.Errorf("%s: %v, tshark %v", k, got[k], w)
		}
	}
	for k := range want {
		if !answered[k] {
			continue
		}
		both++
		if _, ok := got[k]; !ok {
			t.Logf("%s: not told (%+v)", k, lost)
		}
	}
	return told, both
}

// flights is both directions of a connection, in the order in which they were written.
type flights struct {
	sync.Mutex
	list []struct {
		client bool
		data   []byte
	}
}

func (f *flights) add(client bool, b []byte) {
	f.Lock()
	defer f.Unlock()
	f.list = append(f.list, struct {
		client bool
		data   []byte
	}{client, bytes.Clone(b)})
}

type overheard struct {
	net.Conn
	to *flights
}

func (o overheard) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	if n > 0 {
		o.to.add(true, b[:n])
	}
	return n, err
}

func (o overheard) Write(b []byte) (int, error) {
	o.to.add(false, b)
	return o.Conn.Write(b)
}

// TestTsharkPrograms has programs that people and daemons use open connections to a
// server of this test, and reads what they say beside tshark.
func TestTsharkPrograms(t *testing.T) {
	needTshark(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	const python = "import socket,ssl,sys;c=ssl._create_unverified_context();c.wrap_socket(socket.create_connection(('127.0.0.1',int(sys.argv[1]))),server_hostname='localhost').close()"
	var frames bytes.Buffer
	w := pcapgo.NewWriter(&frames)
	if err := w.WriteFileHeader(1<<16, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, x := range []struct {
		name, args string
		bare       bool // neither ALPN nor values that mean nothing
	}{
		{"curl", "-sk https://localhost:PORT/", false},
		{"curl", "-sk --tls-max 1.2 --no-alpn https://localhost:PORT/", true},
		{"openssl", "s_client -connect 127.0.0.1:PORT", true},
		{"openssl", "s_client -connect 127.0.0.1:PORT -tls1_2 -noservername -cipher ECDHE-ECDSA-AES128-GCM-SHA256", true},
		{"openssl", "s_client -connect 127.0.0.1:PORT -alpn x,h2 -servername SIP.Example -curves X25519:P-256", false},
		{"wget", "-q -O - --tries=1 --no-check-certificate https://localhost:PORT/", true},
		{"gnutls-cli", "--insecure --port PORT localhost", true},
		{"python3", "-c PYTHON PORT", true},
		{"git", "-c http.sslVerify=false ls-remote https://localhost:PORT/x", false},
		{"chromium", "--headless --no-sandbox --disable-gpu --disable-quic --ignore-certificate-errors --no-first-run --user-data-dir=FOLDER --dump-dom https://localhost:PORT/", false},
	} {
		if _, err := exec.LookPath(x.name); err != nil {
			t.Logf("%s is not installed: not compared", x.name)
			continue
		}
		said := heard(t, server, func(ctx context.Context, port string) error {
			var args []string
			for _, a := range strings.Fields(x.args) {
				args = append(args, strings.NewReplacer("PORT", port, "PYTHON", python, "FOLDER", t.TempDir()).Replace(a))
			}
			cmd := exec.CommandContext(ctx, x.name, args...)
			cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "GIT_TERMINAL_PROMPT=0")
			return cmd.Run()
		})
		if said == nil {
			t.Errorf("%s %s said nothing", x.name, x.args)
			continue
		}
		ran++
		written(t, w, ran, said)
		var table hello.Handshakes
		h := answer(&table, said)
		if h.Protocol != hello.TLS || h.Bare != x.bare {
			t.Errorf("%s %s: %+v", x.name, x.args, h)
		}
		t.Logf("%s %s: %s %s", x.name, x.args, h.JA3, h.JA4)
	}
	path := filepath.Join(t.TempDir(), "programs.pcap")
	if err := os.WriteFile(path, frames.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if told, both := sameHellos(t, path); told != ran || both != ran {
		t.Errorf("of %d programs %d told, %d answered", ran, told, both)
	}
	if os.Getenv("CI") != "" && ran < 5 {
		t.Errorf("CI is to compare with more than %d programs", ran)
	}
}

// heard runs a client against a server until it has shaken hands or given up, and
// gives what was written of its first connection.
func heard(t *testing.T, config *tls.Config, client func(ctx context.Context, port string) error) *flights {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- client(ctx, port) }()
	first := make(chan *flights, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(first)
				return
			}
			said := &flights{}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			s := tls.Server(overheard{c, said}, config)
			if s.HandshakeContext(ctx) == nil {
				_, _ = s.Write([]byte("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"))
			}
			c.Close()
			select {
			case first <- said:
			default:
			}
		}
	}()
	select {
	case said := <-first:
		cancel()
		<-over
		return said
	case err := <-over:
		select {
		case said := <-first:
			return said
		case <-time.After(2 * time.Second):
			t.Logf("client: %v", err)
			return nil
		}
	}
}

// answer reads a connection by package hello.
func answer(table *hello.Handshakes, said *flights) (out hello.Hello) {
	said.Lock()
	defer said.Unlock()
	seq := map[bool]uint32{}
	for i, f := range said.list {
		h, _, ok := table.Packet(&hello.Packet{Key: 1, Way: f.client, Stream: true, Seq: seq[f.client], Ack: seq[!f.client], Time: int64(i), Payload: f.data})
		seq[f.client] += uint32(len(f.data))
		if ok {
			return h
		}
	}
	return out
}

// written adds the frames of a connection to a capture, from a client of its own.
func written(t *testing.T, w *pcapgo.Writer, n int, said *flights) {
	t.Helper()
	said.Lock()
	defer said.Unlock()
	near, far := netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), netip.MustParseAddr("198.51.100.1")
	at := time.Unix(1_700_000_000+int64(n)*10, 0)
	seq := map[bool]uint32{true: 1000, false: 2000}
	put := func(client, syn, ack bool, b []byte) {
		src, dst, tcp := near, far, &layers.TCP{SrcPort: layers.TCPPort(40000 + n), DstPort: 443, Seq: seq[client], Ack: seq[!client], SYN: syn, ACK: ack, Window: 65535}
		if !client {
			src, dst, tcp.SrcPort, tcp.DstPort = far, near, tcp.DstPort, tcp.SrcPort
		}
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		buf := gopacket.NewSerializeBuffer()
		eth := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, tcp, gopacket.Payload(b)); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Millisecond)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(buf.Bytes()), Length: len(buf.Bytes())}, buf.Bytes()); err != nil {
			t.Fatal(err)
		}
		seq[client] += uint32(len(b))
		if syn {
			seq[client]++
		}
	}
	put(true, true, false, nil)
	put(false, true, true, nil)
	for _, f := range said.list {
		for b := range slices.Chunk(f.data, 1400) {
			put(f.client, false, true, b)
		}
	}
}

// TestTsharkHellosCorpus: the same of the captures of the corpus with TLS or QUIC: of
// one in eight, since tshark takes a second to start, or with SIMTRAP_HELLOS=all of all.
func TestTsharkHellosCorpus(t *testing.T) {
	needTshark(t)
	each := 8
	if os.Getenv("SIMTRAP_HELLOS") == "all" {
		each = 1
	}
	root := os.Getenv("SIMTRAP_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "corpus")
	}
	manifest, err := os.ReadFile(filepath.Join(root, "MANIFEST.tsv"))
	if err != nil {
		t.Skip("no corpus of captures: set SIMTRAP_CORPUS to its folder")
	}
	var mu sync.Mutex
	var told, both, files int
	t.Run("files", func(t *testing.T) {
		for line := range strings.Lines(string(manifest)) {
			c := strings.Split(line, "\t")
			if len(c) < 8 || !strings.Contains(c[6], "tls") && !strings.Contains(c[6], "quic") {
				continue
			}
			path := filepath.Join(root, c[0])
			if f, err := capture.Open([]string{path}, capture.Options{}); err != nil {
				continue
			} else {
				f.Close()
			}
			if files++; files%each != 0 {
				continue
			}
			t.Run(c[0], func(t *testing.T) {
				t.Parallel()
				a, b := sameHellos(t, path)
				mu.Lock()
				defer mu.Unlock()
				told, both = told+a, both+b
			})
		}
	})
	t.Logf("%d captures: %d clients compared, both ends of %d seen by tshark", files/each, told, both)
	if told == 0 {
		t.Error("the corpus holds no capture of TLS")
	}
}
