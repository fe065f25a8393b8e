package pipeline

import (
	"testing"

	"simtrap/hidden/hello"
	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/packet"
)

func helloAddr(t *testing.T, s string) ident.Addr {
	t.Helper()
	a, ok := ident.ParseAddr([]byte(s))
	if !ok {
		t.Fatalf("%q is no address", s)
	}
	return a
}

// TestHellosOfTunnels: an opening that is answered is told of once, from who asked
// to who answered, and one that only a stranger sent is not.
func TestHellosOfTunnels(t *testing.T) {
	near, far := helloAddr(t, "203.0.113.7"), helloAddr(t, "198.51.100.10")
	initiation, response := make([]byte, 148), make([]byte, 92)
	copy(initiation, []byte{1, 0, 0, 0, 9, 8, 7, 6})
	copy(response, []byte{2, 0, 0, 0, 1, 1, 1, 1, 9, 8, 7, 6})
	up := packet.Packet{Time: 1e9, Src: near, Dst: far, SrcPort: 4000, DstPort: 51820, Proto: packet.UDP, Payload: initiation, Length: 148}
	down := packet.Packet{Time: 2e9, Src: far, Dst: near, SrcPort: 51820, DstPort: 4000, Proto: packet.UDP, Payload: response, Length: 92}
	var h hellos
	var out helloSeen
	if h.packet(&down, hashesOf(&down, 1), &out) || h.packet(&up, hashesOf(&up, 1), &out) {
		t.Fatal("told of before its answer")
	}
	if !h.packet(&down, hashesOf(&down, 1), &out) {
		t.Fatal("not told of")
	}
	if out.flow.Src != near || out.flow.Dst != far || out.flow.DstPort != 51820 || out.hello != (hello.Hello{Protocol: hello.WireGuard}) {
		t.Errorf("%+v", out)
	}
	if h.packet(&down, hashesOf(&down, 1), &out) {
		t.Error("told of twice")
	}
	cut := up
	cut.Payload = initiation[:64]
	if h.packet(&cut, hashesOf(&cut, 1), &out); h.packet(&down, hashesOf(&down, 1), &out) {
		t.Error("what a snap length cut was read")
	}
}

func TestOpenings(t *testing.T) {
	near, far := helloAddr(t, "203.0.113.7"), helloAddr(t, "198.51.100.10")
	flow := func(a, b uint16, proto uint8) (f tunnel.Flow) {
		f, _ = tunnel.NewFlow(near, far, a, b, proto, 0)
		return f
	}
	_, byA := tunnel.NewFlow(near, far, 500, 500, packet.UDP, 0)
	var q openings
	ike := opening{hello.IKE, byA}
	q.see(flow(500, 500, packet.UDP), ike)
	q.see(portless(flow(500, 500, packet.UDP)), ike)
	q.see(flow(4000, 51820, packet.UDP), opening{hello.WireGuard, byA})
	for _, x := range []struct {
		flow tunnel.Flow
		want opening
		ok   bool
	}{
		{flow(4000, 51820, packet.UDP), opening{hello.WireGuard, byA}, true},
		{flow(4001, 51820, packet.UDP), opening{}, false},
		{flow(4500, 4500, packet.UDP), ike, true},
		{flow(0, 0, tunnel.ESP), opening{hello.ESP, byA}, true},
		{flow(0, 0, tunnel.GRE), opening{protocol: hello.PPTP}, true},
	} {
		if got, ok := q.of(x.flow); got != x.want || ok != x.ok {
			t.Errorf("%+v: %+v, %v, want %+v", x.flow, got, ok, x.want)
		}
	}
	// The table keeps to its bound, and counts what it forgets.
	for i := range 3 * maxOpened {
		f := flow(uint16(i), uint16(i>>8), packet.UDP)
		f.Realm = ident.Realm(i)
		q.see(f, ike)
	}
	if len(q.newer) > maxOpened || len(q.older) > maxOpened || q.forgotten == 0 {
		t.Errorf("%d and %d flows kept, %d forgotten", len(q.newer), len(q.older), q.forgotten)
	}
}
