package store

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestLineAddrs: whoever lives in the network of a line is taken for one, to its edges and
// no farther, however many are asked for.
func TestLineAddrs(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north")
		want := map[string]bool{
			"198.51.100.0": true, "198.51.100.7": true, "198.51.100.255": true, "::ffff:198.51.100.9": true, "198.51.99.255": false, "198.51.101.0": false,
			"10.1.2.9": true, "10.1.3.3": false,
			"2001:db8:1::": true, "2001:db8:1:ffff:ffff:ffff:ffff:ffff": true, "2001:db8:2::": false, "2001:db8:0:ffff::1": false,
			"::": false, "0.0.0.0": false, "255.255.255.255": false,
		}
		for i, line := range []string{"198.51.100.7", "realm-a/10.1.2.3", "2001:db8:1:5::/64"} {
			deliver(t, s, "north", uint64(i+1), revisionOf(i+1, 1, watch, line))
		}
		for i := range 150 {
			if i%8 == 0 {
				deliver(t, s, "north", uint64(i+4), revisionOf(i+4, 1, watch, fmt.Sprintf("172.16.%d.77", i)))
			}
			want[fmt.Sprintf("172.16.%d.200", i)] = i%8 == 0
		}
		var addrs []netip.Addr
		for text := range want {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		got, err := s.LineAddrs(t.Context(), addrs)
		if err != nil {
			t.Fatal(err)
		}
		for text, is := range want {
			if got[netip.MustParseAddr(text).Unmap()] != is {
				t.Errorf("%s: %v, want %v", text, !is, is)
			}
		}
		if got, err := s.LineAddrs(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("of none: %v, %v", got, err)
		}
	})
}
