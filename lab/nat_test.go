package lab

import (
	"testing"
	"time"
)

func TestNATPorts(t *testing.T) {
	ways := map[int]int{}
	for seed := range uint64(120) {
		l := wideLine(t, seed, ClassHome)
		d := l.device("phone")
		e := l.device("computer")
		x := l.mapper
		ways[x.way]++
		given := map[uint16]bool{}
		for own := uint16(5000); own < 5300; own++ {
			for _, n := range [2]*node{d, e} {
				p := n.port(own, false)
				if given[p] {
					t.Fatalf("seed %d: port %d was given twice", seed, p)
				}
				given[p] = true
				if n.port(own, false) != p {
					t.Fatalf("seed %d: the mapping of %d did not last", seed, own)
				}
			}
		}
		if first := d.port(5000, false); x.way == natKeeps && first != 5000 {
			t.Errorf("seed %d: 5000 became %d though it was free", seed, first)
		}
		if p := l.public("server").port(5060, false); p != 5060 {
			t.Errorf("seed %d: without a NAT 5060 became %d", seed, p)
		}
	}
	for _, way := range [...]int{natKeeps, natRandom, natNext, natBlock} {
		if ways[way] < 5 {
			t.Errorf("%d of 120 NATs choose ports in way %d", ways[way], way)
		}
	}
}

func TestMappingExpires(t *testing.T) {
	l := wideLine(t, 5, ClassHome)
	s := l.s
	l.mapper = &nat{way: natRandom, lo: 1024, n: 60000, timeout: 60e9}
	server := s.newAgent(s.host("server", false), dialQuietSwitch(), 5060, "", "")
	phone := s.newAgent(l.device("phone"), dialQuiet(), 5060, "1001", server.host())
	sent := func(after time.Duration, active int) uint16 {
		s.now += int64(after)
		l.active = active
		s.expire(phone)
		phone.say(s.now, server, s.newDialog(phone, server, "a", "b", "sip:b").request("OPTIONS", true, false))
		return phone.node.port(5060, false)
	}
	first := sent(0, 0)
	if p := sent(50*time.Second, 0); p != first {
		t.Error("a mapping was gone before its time")
	}
	if p := sent(70*time.Second, 1); p != first {
		t.Error("a mapping was gone in a call")
	}
	if p := sent(70*time.Second, 0); p == first {
		t.Error("a mapping of 60 s lasted 70 s")
	}
}
