//go:build linux

package live

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"simtrap/capture"
	"simtrap/capture/afpacket"
	"simtrap/heuristics"
	"simtrap/hidden/hello"
	"simtrap/ident"
	"simtrap/pipeline"
)

// realTunnels asks for the test of them, which then runs by itself.
const realTunnels = "SIMTRAP_REALTUNNELS"

const (
	// tunnelCalls are up at once in each tunnel, in the end. They are an odd number:
	// SIPp sends those of all calls within a millisecond, and an even number of
	// packets there looks like half of them that came twice.
	tunnelCalls = 11
	// firstCalls of them come at once, the others when the first have opened the
	// flow's gate (docs/hidden.md): answerAfter for their ringing, which one end
	// sends alone, and 10 s.
	firstCalls  = 5
	answerAfter = 5 * time.Second
	othersAfter = 16 * time.Second
	// tunnelsTake is how long people are busy, and calls go on: until after the
	// first window of counting, which is over 34 s after the beginning.
	tunnelsTake = 41 * time.Second
	// clearCalls have their signalling alone enciphered.
	clearCalls = 3
	abroad     = "198.51.100.10"
)

// tunnels are subscribers on cables to a router, with somebody abroad behind it.
// Everything goes over one port of the router, where it is captured.
type tunnels struct {
	t        *testing.T
	router   *space
	far      *space
	folder   string
	cert     [2]string // the file of the certificate that all have, and its fingerprint
	key      string
	branches map[string]*branch
}

// branch is one subscriber with a tunnel of his own. Inside it he has the address
// inner and somebody abroad has outer.
type branch struct {
	*space
	name         string
	number       int // from 1
	address      string
	inner, outer string
}

// newTunnels sets all up, or skips the test where that cannot be.
func newTunnels(t *testing.T) *tunnels {
	t.Helper()
	for _, name := range []string{"sipp", "openvpn", "stunnel"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s: no real tunnels", name)
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("no tunnels here: ", err)
	}
	n := &tunnels{t: t, router: newSpace(t), far: newSpace(t), folder: newFolder(t), branches: map[string]*branch{}}
	n.router.ip(fmt.Sprintf("link add core type veth peer name eth netns %d", n.far.tid),
		"addr add 198.51.100.1/24 dev core", "link set core gso_max_segs 1", "link set core up")
	n.far.ip("addr add "+abroad+"/24 dev eth", "link set eth gso_max_segs 1", "link set eth up", "route add default via 198.51.100.1")
	if err := n.router.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }); err != nil {
		t.Skip("nothing is passed on here: ", err)
	}
	// A second of hiss, A-law.
	voice := make([]byte, 8000)
	_, _ = rand.Read(voice)
	n.write("voice.al", voice)
	n.certificate()
	return n
}

func (n *tunnels) write(name string, b []byte) string {
	n.t.Helper()
	path := filepath.Join(n.folder, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// certificate makes one that both sides of every tunnel use, and know.
func (n *tunnels) certificate() {
	n.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	made := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "voip.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	if err != nil {
		n.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		n.t.Fatal(err)
	}
	sum := sha256.Sum256(cert)
	n.cert[1] = strings.TrimSuffix(strings.ToUpper(fmt.Sprintf("% x", sum)), " ")
	n.cert[1] = strings.ReplaceAll(n.cert[1], " ", ":")
	n.cert[0] = n.write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	n.key = n.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// branch adds a subscriber.
func (n *tunnels) branch(name string) *branch {
	n.t.Helper()
	i := len(n.branches) + 1
	b := &branch{space: newSpace(n.t), name: name, number: i, address: fmt.Sprintf("203.0.113.%d", 10+i),
		inner: fmt.Sprintf("10.9.%d.2", i), outer: fmt.Sprintf("10.9.%d.1", i)}
	n.branches[name] = b
	port := fmt.Sprint("sub", i)
	n.router.ip(fmt.Sprintf("link add %s type veth peer name eth netns %d", port, b.tid),
		"addr add 203.0.113.1/32 dev "+port, "link set "+port+" gso_max_segs 1", "link set "+port+" up", "route add "+b.address+"/32 dev "+port)
	b.ip("addr add "+b.address+"/32 dev eth", "link set eth gso_max_segs 1", "link set eth up",
		"route add 203.0.113.1 dev eth", "route add default via 203.0.113.1")
	return b
}

// bindIn is a bind whose sockets are a namespace's, whoever opens them.
type bindIn struct {
	conn.Bind
	s *space
}

func (b *bindIn) Open(port uint16) (fns []conn.ReceiveFunc, actual uint16, err error) {
	_ = b.s.do(func() error {
		fns, actual, err = b.Bind.Open(port)
		return err
	})
	return fns, actual, err
}

// wireGuard makes a tunnel of WireGuard between a subscriber and abroad.
func (n *tunnels) wireGuard(b *branch) {
	n.t.Helper()
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			n.t.Fatal(err)
		}
	}
	port := 51820 + b.number
	end := func(s *space, name string, own, peer *ecdh.PrivateKey, more, address, other string) {
		var d tun.Device
		if err := s.do(func() (err error) { d, err = tun.CreateTUN(name, 1420); return err }); err != nil {
			n.t.Fatal(err)
		}
		// It asks for the port's MTU outside the namespace, cannot know and takes 1420.
		wg := device.NewDevice(d, &bindIn{conn.NewDefaultBind(), s}, device.NewLogger(device.LogLevelSilent, ""))
		n.t.Cleanup(wg.Close)
		if err := wg.IpcSet(fmt.Sprintf("private_key=%x\n%spublic_key=%x\nallowed_ip=%s/32\n", own.Bytes(),
			strings.Split(more, "|")[0], peer.PublicKey().Bytes(), other) + strings.Split(more+"|", "|")[1]); err != nil {
			n.t.Fatal(err)
		}
		s.ip("addr add "+address+" peer "+other+" dev "+name, "link set "+name+" up")
		if err := wg.Up(); err != nil {
			n.t.Fatal(err)
		}
	}
	name := fmt.Sprint("wg", b.number)
	end(n.far, name, keys[0], keys[1], fmt.Sprintf("listen_port=%d\n", port), b.outer, b.inner)
	end(b.space, name, keys[1], keys[0], fmt.Sprintf("|endpoint=%s:%d\npersistent_keepalive_interval=25\n", abroad, port), b.inner, b.outer)
}

// openVPN makes a tunnel of OpenVPN between a subscriber and abroad, over UDP or TCP.
func (n *tunnels) openVPN(b *branch, proto string) {
	n.t.Helper()
	name, port := fmt.Sprint("tun", b.number), fmt.Sprint(1194+b.number)
	common := []string{"--dev", name, "--dev-type", "tun", "--cert", n.cert[0], "--key", n.key, "--peer-fingerprint", n.cert[1],
		"--disable-dco", "--data-ciphers", "AES-128-GCM", "--verb", "1", "--keepalive", "10", "60"}
	server, client := proto+"4", proto+"4"
	if proto == "tcp" {
		server, client = "tcp4-server", "tcp4-client"
	}
	n.far.start(n.folder, "openvpn", append(common, "--proto", server, "--local", abroad, "--lport", port, "--tls-server", "--dh", "none", "--ifconfig", b.outer, b.inner)...)
	b.start(n.folder, "openvpn", append(common, "--proto", client, "--nobind", "--remote", abroad, port, "--tls-client", "--connect-retry", "1", "--ifconfig", b.inner, b.outer)...)
}

// stunnel leads what a subscriber sends to his own port 5060 to port 5070 abroad,
// under TLS 1.2, with a certificate each time.
func (n *tunnels) stunnel(b *branch) {
	n.t.Helper()
	const common = "foreground = yes\npid =\nsyslog = no\ndebug = err\n"
	n.far.start(n.folder, "stunnel", n.write("far.conf", fmt.Appendf(nil,
		"%s[sip]\naccept = %s:5061\nconnect = 127.0.0.1:5070\ncert = %s\nkey = %s\nsslVersion = TLSv1.2\n", common, abroad, n.cert[0], n.key)))
	b.start(n.folder, "stunnel", n.write("near.conf", fmt.Appendf(nil,
		"%s[sip]\nclient = yes\naccept = 127.0.0.1:5060\nconnect = %s:5061\nsslVersion = TLSv1.2\nsessionResume = no\nsni = sip.example\n", common, abroad)))
}

// through waits until a tunnel carries.
func (n *tunnels) through(b *branch) {
	n.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		conn, err := dial(b.space, "udp", b.outer+":9")
		if err == nil {
			conn.Close()
			l, err := listen(n.far, b.outer+":999")
			if err == nil {
				go func() { // until it is closed
					if c, err := l.Accept(); err == nil {
						c.Close()
					}
				}()
				c, err := dial(b.space, "tcp", b.outer+":999")
				l.Close()
				if err == nil {
					c.Close()
					return
				}
			}
		}
		if time.Now().After(end) {
			n.t.Fatalf("%s: nothing goes through the tunnel: %v", b.name, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// dial and listen open sockets of a namespace.
func dial(s *space, network, address string) (c net.Conn, err error) {
	err = s.do(func() (err error) {
		c, err = net.DialTimeout(network, address, time.Second)
		return err
	})
	return c, err
}

func listen(s *space, address string) (l net.Listener, err error) {
	err = s.do(func() (err error) { l, err = net.Listen("tcp", address); return err })
	return l, err
}

// sipp makes one side of so many of a box's calls. It has the voice sent both ways,
// so long as they last.
func (n *tunnels) sipp(s *space, scenario, name string, calls int, args ...string) *process {
	n.t.Helper()
	path, err := filepath.Abs("../../scripts/realtunnels/" + scenario + ".xml")
	if err != nil {
		n.t.Fatal(err)
	}
	return s.start(n.folder, "sipp", append([]string{"-sf", path, "-nostdin", "-trace_err", "-error_file", name + ".err", "-m", fmt.Sprint(calls), "-timeout", "60s", "-timeout_error"}, args...)...)
}

// numbers writes who calls whom, for SIPp.
func (n *tunnels) numbers() string {
	list := bytes.NewBufferString("SEQUENTIAL\n")
	for i := range tunnelCalls {
		fmt.Fprintf(list, "139%08d;;00447700%06d\n", (i+1)*7919317%100000000, (i+1)*104729%1000000)
	}
	return n.write("numbers.csv", list.Bytes())
}

// called makes the calls of a box inside its tunnel: they come from abroad, and the
// box sends their ringing before it answers. It gives both sides of them.
func (n *tunnels) called(b *branch, numbers string) []*process {
	n.t.Helper()
	answer := n.sipp(b.space, "answer", b.name+"-answer", tunnelCalls, "-i", b.inner, "-mi", b.inner, "-p", "5060", "-mp", "20000")
	answer.ready("it listens", func() bool { return listening(b.space, "-Hlun", b.inner+":5060") })
	call := func(name, port, media string, calls int, after time.Duration) *process {
		return n.sipp(n.far, "call", name, calls, "-inf", numbers, "-i", b.outer, "-mi", b.outer, "-p", port,
			"-mp", media, "-r", "10", "-d", fmt.Sprint((tunnelsTake - answerAfter - after).Milliseconds()), b.inner+":5060")
	}
	first := call(b.name+"-first", "5062", "30000", firstCalls, 0)
	time.Sleep(othersAfter)
	return []*process{answer, first, call(b.name+"-others", "5064", "31000", tunnelCalls-firstCalls, othersAfter)}
}

func listening(s *space, flags, address string) bool {
	out, err := s.run("ss", flags)
	return err == nil && bytes.Contains(out, []byte(address))
}

// people is what an honest line does in its tunnel: a download, a terminal, and a
// conference of one, with pictures. It gives how much of each went through.
type people struct {
	downloaded, typed, heard, watched atomic.Int64
}

func (n *tunnels) people(ctx context.Context, b *branch, wait *sync.WaitGroup) *people {
	n.t.Helper()
	p := &people{}
	must := func(err error) {
		if err != nil {
			n.t.Fatalf("%s: %v", b.name, err)
		}
	}
	// TCP: a server abroad that sends 300 kB a second, one that echoes.
	for port, serve := range map[string]func(net.Conn){
		"8080": func(c net.Conn) {
			block := make([]byte, 30000)
			_, _ = rand.Read(block)
			for ctx.Err() == nil {
				if _, err := c.Write(block); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		},
		"22": func(c net.Conn) { _, _ = io.Copy(c, c) },
	} {
		l, err := listen(n.far, b.outer+":"+port)
		must(err)
		context.AfterFunc(ctx, func() { l.Close() })
		wait.Go(func() {
			if c, err := l.Accept(); err == nil {
				stop := context.AfterFunc(ctx, func() { c.Close() })
				serve(c)
				stop()
				c.Close()
			}
		})
		c, err := dial(b.space, "tcp", b.outer+":"+port)
		must(err)
		context.AfterFunc(ctx, func() { c.Close() })
		count := &p.downloaded
		if port == "22" {
			count = &p.typed
			wait.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					if _, err := c.Write(make([]byte, 36)); err != nil {
						return
					}
					time.Sleep(time.Duration(60+i*i*37%240) * time.Millisecond)
				}
			})
		}
		wait.Go(func() {
			block := make([]byte, 1<<16)
			for {
				n, err := c.Read(block)
				if count.Add(int64(n)); err != nil {
					return
				}
			}
		})
	}
	// UDP, both ways: voice of 20 ms, of ever other sizes, and pictures in bursts.
	var ends [2]*net.UDPConn
	for i, s := range []*space{b.space, n.far} {
		address := net.ParseIP([]string{b.inner, b.outer}[i])
		must(s.do(func() (err error) {
			ends[i], err = net.ListenUDP("udp", &net.UDPAddr{IP: address, Port: 40000})
			return err
		}))
		context.AfterFunc(ctx, func() { ends[i].Close() })
	}
	for i, e := range ends {
		to := ends[1-i].LocalAddr()
		wait.Go(func() {
			next := time.Now()
			for k := 0; ctx.Err() == nil; k++ {
				_, _ = e.WriteTo(make([]byte, 70+k*k*31%60), to)
				if k%2 == 0 {
					for range 4 {
						_, _ = e.WriteTo(make([]byte, 900+k*17%200), to)
					}
				}
				next = next.Add(20 * time.Millisecond)
				time.Sleep(time.Until(next))
			}
		})
		wait.Go(func() {
			block := make([]byte, 2048)
			for {
				n, err := e.Read(block)
				if err != nil {
					return
				}
				if n < 200 {
					p.heard.Add(1)
				} else {
					p.watched.Add(1)
				}
			}
		})
	}
	return p
}

// TestRealTunnels: other people's programs carry calls through tunnels, and honest
// lines something else through tunnels of the same kinds. What is captured on the
// cable outside is judged while it goes on: which tunnels there are, and how many
// calls are in each.
func TestRealTunnels(t *testing.T) {
	if os.Getenv(realTunnels) == "" {
		t.Skip("scripts/realtunnels.sh runs this test, by itself: it measures moments")
	}
	n := newTunnels(t)
	wgBox, wgHome, vpnBox, vpnHome, tlsBox := n.branch("wg-box"), n.branch("wg-home"), n.branch("vpn-box"), n.branch("vpn-home"), n.branch("tls-box")
	var sources []capture.Source
	err := n.router.do(func() error {
		list, err := afpacket.Open([]string{"core"}, afpacket.Options{})
		for _, s := range list {
			sources = append(sources, s)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	live, err := pipeline.NewLive(pipeline.Config{Homes: homes}, sources...)
	if err != nil {
		t.Fatal(err)
	}
	watch, over := context.WithCancel(t.Context())
	judged := make(chan *pipeline.Result, 1)
	go func() {
		r, err := live.Run(watch)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		judged <- r
	}()
	defer func() {
		over()
		for _, s := range sources {
			if c, ok := s.(io.Closer); ok {
				c.Close()
			}
		}
	}()

	n.wireGuard(wgBox)
	n.wireGuard(wgHome)
	n.openVPN(vpnBox, "udp")
	n.openVPN(vpnHome, "udp")
	n.stunnel(tlsBox)
	for _, b := range []*branch{wgBox, wgHome, vpnBox, vpnHome} {
		n.through(b)
	}
	var wait sync.WaitGroup
	ctx, stop := context.WithTimeout(t.Context(), tunnelsTake)
	defer stop()
	twins := map[*branch]*people{wgHome: n.people(ctx, wgHome, &wait), vpnHome: n.people(ctx, vpnHome, &wait)}
	numbers := n.numbers()
	var calls []*process
	// Of these signalling alone is enciphered; voice has clear headers. SIPp sends
	// the voice of all its calls from one port, as no gateway does: one SIPp each.
	answer := n.sipp(n.far, "answer", "tls-answer", clearCalls, "-t", "t1", "-i", "127.0.0.1", "-mi", abroad, "-p", "5070", "-mp", "40000")
	answer.ready("it listens", func() bool { return listening(n.far, "-Hltn", "127.0.0.1:5070") })
	calls = append(calls, answer)
	for i := range clearCalls {
		calls = append(calls, n.sipp(tlsBox.space, "call", fmt.Sprint("tls-call", i), 1, "-t", "t1", "-inf", numbers, "-i", "127.0.0.1", "-mi", tlsBox.address, "-p", fmt.Sprint(5062+2*i),
			"-mp", fmt.Sprint(30000+10*i), "-d", "20000", "127.0.0.1:5060"))
	}
	// A connection is told of once something is known of its line.
	again := time.AfterFunc(tunnelsTake/2, func() {
		c, err := dial(tlsBox.space, "tcp", "127.0.0.1:5060")
		if err != nil {
			t.Error(err)
			return
		}
		time.Sleep(time.Second)
		c.Close()
	})
	defer again.Stop()
	made := make(chan []*process, 2)
	for _, b := range []*branch{wgBox, vpnBox} {
		go func() { made <- n.called(b, numbers) }()
	}
	calls = append(append(calls, <-made...), <-made...)
	for _, p := range calls {
		if err := p.wait(70 * time.Second); err != nil {
			said, _ := filepath.Glob(n.folder + "/*.err")
			for _, name := range said {
				b, _ := os.ReadFile(name)
				t.Logf("%s: %s", filepath.Base(name), b)
			}
			t.Fatalf("%v\n%s", err, p.said())
		}
	}
	wait.Wait()
	time.Sleep(time.Second)
	over()
	r := <-judged
	for _, l := range r.Losses {
		t.Logf("%s: %s: %d", l.Stage, l.Reason, l.Count)
	}
	found := map[string]*heuristics.Finding{}
	for i := range r.Findings {
		f := &r.Findings[i]
		found[f.Line.String()] = f
		t.Logf("%s: %+v %v", f.Line, f.Calls, f.Hellos)
	}
	for b, want := range map[*branch]string{wgBox: "wireguard", vpnBox: "openvpn"} {
		f := found[b.address]
		if f == nil {
			t.Errorf("%s: not found", b.name)
			continue
		}
		if got := f.Calls.PeakConcurrent; 5*got < 4*tunnelCalls || 5*got > 6*tunnelCalls {
			t.Errorf("%s: %d calls at once, want %d", b.name, got, tunnelCalls)
		}
		if len(f.Hellos) != 1 || f.Hellos[0].Protocol.String() != want || f.Hellos[0].Far.String() != abroad || !f.Hellos[0].Asked {
			t.Errorf("%s: opened by %+v, want %s of %s", b.name, f.Hellos, want, abroad)
		}
	}
	if f := found[tlsBox.address]; f == nil || len(f.Hellos) != 1 {
		t.Errorf("%s: %+v, want one opening", tlsBox.name, f)
	} else {
		h := f.Hellos[0]
		if h.Protocol != hello.TLS || !h.Asked || h.Port != 5061 || h.Name != "sip.example" || h.Version != 0x0303 || h.Issuer != "voip.example" || !h.SelfIssued || !h.Bare || !strings.HasPrefix(h.JA4, "t12d") {
			t.Errorf("%s: %+v", tlsBox.name, h)
		}
	}
	for b, p := range twins {
		if p.downloaded.Load() < 5e6 || p.typed.Load() < 3000 || p.heard.Load() < 2500 || p.watched.Load() < 4000 {
			t.Errorf("%s: %d bytes down, %d typed, %d packets of voice and %d of pictures", b.name, p.downloaded.Load(), p.typed.Load(), p.heard.Load(), p.watched.Load())
		}
		if f := found[b.address]; f != nil && (f.Calls.PeakConcurrent > 0 || f.Verdict > heuristics.None) {
			t.Errorf("%s: %+v, %v", b.name, f.Calls, f.Verdict)
		}
	}
}
