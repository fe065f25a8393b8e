package tunnel

import (
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"

	"simtrap/lab"
)

// flowKey is a flow of the lab, the subscriber's end first.
type flowKey struct {
	proto     uint8
	near, far netip.AddrPort
}

// capture makes a scenario and gives the intervals of its flows.
func capture(t testing.TB, name string, seed uint64, d time.Duration) (*lab.Truth, map[flowKey][]Interval) {
	t.Helper()
	in, out := io.Pipe()
	var truth *lab.Truth
	done := make(chan error, 1)
	go func() {
		var err error
		truth, err = lab.Make(out, lab.Options{Scenario: name, Seed: seed, Duration: d, Format: "nano"})
		out.CloseWithError(err)
		done <- err
	}()
	flows := map[flowKey][]Interval{}
	m := NewMeter(4096, func(k flowKey, iv *Interval) { flows[k] = append(flows[k], *iv) })
	var homes []netip.Prefix
	for _, h := range lab.Homes() {
		homes = append(homes, netip.MustParsePrefix(h))
	}
	r, err := pcapgo.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, ci, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		add(m, homes, b[14:], ci.Timestamp.UnixNano())
	}
	m.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return truth, flows
}

// add takes an IPv4 packet of the lab; pieces of cut up ones count each.
func add(m *Meter[flowKey], homes []netip.Prefix, b []byte, at int64) {
	if b[0] != 0x45 {
		return
	}
	b = b[:binary.BigEndian.Uint16(b[2:])]
	src, dst := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	proto, body := b[9], b[20:]
	var sp, dp uint16
	size := len(body)
	if frag := binary.BigEndian.Uint16(b[6:])&0x1fff != 0; !frag && (proto == 17 || proto == 6) {
		sp, dp = binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
		size -= 8
		if proto == 6 {
			size -= int(body[12]>>4)*4 - 8
		}
	}
	up := false
	for _, h := range homes {
		up = up || h.Contains(src)
	}
	k := flowKey{proto, netip.AddrPortFrom(src, sp), netip.AddrPortFrom(dst, dp)}
	if !up {
		k.near, k.far = k.far, k.near
	}
	m.Add(k, at, up, proto == 6, size)
}
