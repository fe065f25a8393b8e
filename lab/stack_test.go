package lab

import "testing"

func TestStacks(t *testing.T) {
	l := wideLine(t, 6, ClassHome)
	seen := map[int]int{}
	for range 200 {
		near, far := l.device("phone"), l.s.host("far", true)
		if h := hopsOf(near.ttl); h < 1 || h > 5 {
			t.Fatalf("a device of the line has a TTL of %d", near.ttl)
		}
		if h := hopsOf(far.ttl); h < 8 || h > 24 {
			t.Fatalf("a host abroad has a TTL of %d", far.ttl)
		}
		f := l.s.flow(far, 5060, near, 5060, protoUDP)
		var ids [4]uint16
		for i := range ids {
			f.number()
			ids[i] = f.id
		}
		steady := ids[1] == ids[0]+1 && ids[2] == ids[1]+1 && ids[3] == ids[2]+1
		switch zero := ids == [4]uint16{}; far.ids {
		case idZero:
			if !zero || !far.df {
				t.Errorf("numbered %v, may be cut up: %v", ids, !far.df)
			}
		case idRandom:
			if steady || zero {
				t.Errorf("random numbers are %v", ids)
			}
		default:
			if !steady {
				t.Errorf("a counter gave %v", ids)
			}
		}
		seen[far.ids]++
	}
	for _, way := range [...]int{idCounter, idZero, idFlow, idRandom} {
		if seen[way] < 5 {
			t.Errorf("%d of 200 hosts number in way %d", seen[way], way)
		}
	}
}

func hopsOf(ttl uint8) int {
	for _, first := range [...]int{64, 128, 255} {
		if int(ttl) <= first {
			return first - int(ttl)
		}
	}
	return -1
}
