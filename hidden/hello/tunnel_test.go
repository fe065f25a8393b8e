package hello

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// exchange is an opening of a tunnel and its answer, built by the layouts in the
// documents that the readers name.
type exchange struct {
	name      string
	ask, back []byte
	stream    bool
	want      Protocol
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func exchanges() []exchange {
	session, server := []byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte{9, 10, 11, 12, 13, 14, 15, 16}
	ask := join([]byte{0x38}, session, make([]byte, 5))
	back := join([]byte{0x40}, server, []byte{1, 0, 0, 0, 0}, session, make([]byte, 4))
	authed := func(b []byte, hmac int) []byte {
		return join(b[:9], bytes.Repeat([]byte{0xaa}, hmac), []byte{0, 0, 0, 1, 0x65, 0, 0, 0}, b[9:])
	}
	long := func(b []byte) []byte { return join(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b) }
	initiation, response := make([]byte, 148), make([]byte, 92)
	copy(initiation, []byte{1, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef, 7})
	copy(response, []byte{2, 0, 0, 0, 1, 2, 3, 4, 0xde, 0xad, 0xbe, 0xef})
	sa := func(marker bool, responder byte, version, exchange byte) []byte {
		b := join([]byte{1, 1, 1, 1, 2, 2, 2, 2}, []byte{responder, 0, 0, 0, 0, 0, 0, responder}, []byte{33, version, exchange, 8, 0, 0, 0, 0, 0, 0, 0, 40}, make([]byte, 12))
		if marker {
			b = join(make([]byte, 4), b)
		}
		return b
	}
	// Type of message, then assigned tunnel 0x1234; the reply is to that.
	request := join([]byte{0xc8, 2, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0x80, 8, 0, 0, 0, 0, 0, 1}, []byte{0x80, 8, 0, 0, 0, 9, 0x12, 0x34})
	reply := join([]byte{0xc8, 2, 0, 20, 0x12, 0x34, 0, 0, 0, 0, 0, 1}, []byte{0x80, 8, 0, 0, 0, 0, 0, 2})
	return []exchange{
		{"wireguard", initiation, response, false, WireGuard},
		{"openvpn", ask, back, false, OpenVPN},
		{"openvpn tls-auth sha1", authed(ask, 20), authed(back, 20), false, OpenVPN},
		{"openvpn tls-auth sha256", authed(ask, 32), authed(back, 32), false, OpenVPN},
		{"openvpn tls-auth sha512", authed(ask, 64), authed(back, 64), false, OpenVPN},
		{"openvpn tcp", long(ask), long(back), true, OpenVPN},
		{"ikev2", sa(false, 0, 0x20, 34), sa(false, 9, 0x20, 34), false, IKE},
		{"ikev2 behind nat", sa(true, 0, 0x20, 34), sa(true, 9, 0x20, 34), false, IKE},
		{"ikev1", sa(false, 0, 0x10, 2), sa(false, 9, 0x10, 2), false, IKE},
		{"l2tp", request, reply, false, L2TP},
	}
}

func TestTunnels(t *testing.T) {
	const key, second = 77 << 32, int64(1e9)
	for _, x := range exchanges() {
		t.Run(x.name, func(t *testing.T) {
			var table Tunnels
			if p := table.Message(key, true, x.stream, x.ask, second); p != None {
				t.Errorf("the opening alone gives %v", p)
			}
			if p := table.Message(key, true, x.stream, x.back, second); p != None {
				t.Errorf("an answer by who asked gives %v", p)
			}
			if p := table.Message(key+1<<32, false, x.stream, x.back, second); p != None {
				t.Errorf("an answer of another flow gives %v", p)
			}
			if p := table.Message(key, false, x.stream, x.back, 12*second); p != None {
				t.Errorf("an answer after 11 s gives %v", p)
			}
			if p := table.Message(key, false, x.stream, x.back, 2*second); p != x.want {
				t.Errorf("the answer gives %q, want %q", p, x.want)
			}
			if p := table.Message(key, false, x.stream, x.back, 2*second); p != None {
				t.Errorf("the answer once more gives %v", p)
			}
			// Sent back as it came, as a mirror of services does.
			table.Message(key, true, x.stream, x.ask, second)
			if p := table.Message(key, false, x.stream, x.ask, second); p != None {
				t.Errorf("the opening sent back gives %v", p)
			}
			// Of each message no shorter part opens anything.
			for n := range x.ask {
				var cut Tunnels
				cut.Message(key, true, x.stream, x.ask[:n], second)
				if p := cut.Message(key, false, x.stream, x.back, second); p != None && x.stream {
					t.Errorf("%d bytes of the opening give %v", n, p)
				}
			}
		})
	}
}

// TestTunnelsOfOthers: an answer to somebody else's opening is none.
func TestTunnelsOfOthers(t *testing.T) {
	for _, x := range exchanges() {
		var table Tunnels
		changed := bytes.Clone(x.ask)
		switch x.want {
		case WireGuard:
			changed[4]++
		case OpenVPN:
			if x.name == "openvpn tls-auth sha256" {
				continue // as long as `tls-crypt`, under which no session can be read
			}
			changed[5]++
		case IKE:
			changed[6]++
		case L2TP:
			changed[27]++
		}
		table.Message(1<<32, true, x.stream, changed, 1)
		if p := table.Message(1<<32, false, x.stream, x.back, 2); p != None {
			t.Errorf("%s: an answer to another opening gives %v", x.name, p)
		}
	}
}

// TestTunnelsDisplaced: what waits and is displaced is counted.
func TestTunnelsDisplaced(t *testing.T) {
	x := exchanges()[0]
	var table Tunnels
	for i := range uint64(2 * tunnelPlaces) {
		table.Message(i<<32|1, true, false, x.ask, int64(i))
	}
	if table.Displaced != tunnelPlaces {
		t.Errorf("%d displaced, want %d", table.Displaced, tunnelPlaces)
	}
}

func FuzzTunnels(f *testing.F) {
	for _, x := range exchanges() {
		f.Add(x.ask, x.back, x.stream)
	}
	f.Fuzz(func(t *testing.T, ask, back []byte, stream bool) {
		var table Tunnels
		if p := table.Message(1, true, stream, ask, 1); p != None {
			t.Fatalf("one message gives %v", p)
		}
		p := table.Message(1, false, stream, back, 2)
		if p != None && (!p.Tunnel() || p.String() == "") {
			t.Fatalf("protocol %d", p)
		}
		if p != None && bytes.Equal(ask, back) {
			t.Fatalf("an echo gives %v", p)
		}
	})
}
